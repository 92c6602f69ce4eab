//! Asking one Prometheus: one question, one answer, each judged before it is believed.
//!
//! Every part of a question travels in one query, so that all of it is evaluated over the same
//! moment of the store. Addresses are judged by the egress policy after each name lookup, and
//! connected to as judged. No redirects, no proxies, no second attempts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

use crate::engine::sampler::{Answer, Failure, MAX_SERIES, Part, Sample};
use crate::model::source::{Credentials, Measure, Server};
use crate::model::{Egress, Timestamp};

/// Questions in flight to one server; the others wait. Prometheus itself runs 20 at a time.
const MAX_IN_FLIGHT: usize = 8;
/// Largest answer, in bytes: far above [`MAX_SERIES`] series with long labels.
const MAX_ANSWER: usize = 8 << 20;
/// Largest secret, in bytes.
const MAX_SECRET: u64 = 16 * 1024;
/// The label that tells the parts of an answer apart.
const PART: &str = "nines_part";

/// Why a server cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The file with the certificates.
    #[error("Prometheus `{server}`: cannot read {}: {source}", path.display())]
    CaFile {
        /// The name of the server.
        server: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The HTTP client could not be built.
    #[error("Prometheus `{server}`: {source}; look at its url and ca_file")]
    Client {
        /// The name of the server.
        server: String,
        /// Why.
        source: reqwest::Error,
    },
}

/// Why there is no answer, in a word and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The word.
    pub failure: Failure,
    /// For people: what exactly, without secrets.
    pub detail: String,
}

impl Refusal {
    fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Refusal { failure, detail: detail.into() }
    }
}

/// One server.
#[derive(Debug)]
pub struct Prometheus {
    server: Server,
    query: String,
    runtime: String,
    literal: Option<SocketAddr>,
    egress: Egress,
    client: Client,
    places: Semaphore,
}

impl Prometheus {
    /// A server that may be reached under this policy.
    ///
    /// # Errors
    /// Its certificates cannot be read or used.
    pub fn new(server: &Server, egress: &Egress) -> Result<Self, ServerError> {
        let name = || server.name.to_string();
        let url = Url::parse(&server.url).ok();
        let port = url.as_ref().and_then(Url::port_or_known_default).unwrap_or(80);
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let literal = host.trim_matches(['[', ']']).parse().ok();
        let mut client = Client::builder()
            .timeout(server.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Judged { egress: egress.clone(), port }))
            .user_agent(concat!("nines/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &server.ca_file {
            let io = |source| ServerError::CaFile { server: name(), path: path.clone(), source };
            let pem = std::fs::read(path).map_err(io)?;
            let certificates = Certificate::from_pem_bundle(&pem);
            let certificates =
                certificates.map_err(|source| ServerError::Client { server: name(), source })?;
            client = client.tls_certs_only(certificates);
        }
        let client =
            client.build().map_err(|source| ServerError::Client { server: name(), source })?;
        Ok(Prometheus {
            query: format!("{}/api/v1/query", server.url),
            runtime: format!("{}/api/v1/status/runtimeinfo", server.url),
            literal: literal.map(|ip| SocketAddr::new(ip, port)),
            egress: egress.clone(),
            client,
            places: Semaphore::new(MAX_IN_FLIGHT),
            server: server.clone(),
        })
    }

    /// What it is.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Asks what `measure` wants to know about the moment `at`.
    ///
    /// # Errors
    /// Anything but a complete answer.
    pub async fn ask(&self, measure: &Measure, at: Timestamp) -> Result<Answer, Refusal> {
        let _place = self.places.acquire().await;
        if let Some(literal) = self.literal {
            let denied = |denied| Refusal::new(Failure::Egress, format!("{denied}"));
            self.egress.check(literal).map_err(denied)?;
        }
        let time = format!(
            "{}.{:06}",
            at.micros().div_euclid(1_000_000),
            at.micros().rem_euclid(1_000_000)
        );
        let timeout = format!("{}ms", self.server.timeout.as_millis());
        let form = [("query", question(measure)), ("time", time), ("timeout", timeout)];
        let asked = self.client.post(&self.query).form(&form);
        let response = self.send(asked).await?;
        let status = response.status();
        let body = body(response).await?;
        let samples = samples(status, &body)?;
        let started = self.started().await?;
        Ok(Answer { samples, started })
    }

    /// When the server was started; none from those that do not tell.
    async fn started(&self) -> Result<Option<Timestamp>, Refusal> {
        let response = self.send(self.client.get(&self.runtime)).await?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let told: Option<RuntimeInfo> = serde_json::from_slice(&body(response).await?).ok();
        Ok(told.and_then(|told| told.data.start_time.parse().ok()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Refusal> {
        let secret = |path: &Path| {
            let path = path.to_owned();
            async move {
                let read = read_secret(&path).await;
                let told = |error| format!("cannot read {}: {error}", path.display());
                read.map_err(|error| Refusal::new(Failure::Config, told(error)))
            }
        };
        let request = match &self.server.credentials {
            Credentials::None => request,
            Credentials::Bearer(file) => request.bearer_auth(secret(file).await?),
            Credentials::Basic { username, password_file } => {
                request.basic_auth(username, Some(secret(password_file).await?))
            }
        };
        request.send().await.map_err(refusal)
    }
}

/// The first line of a small file.
async fn read_secret(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_SECRET).read_to_string(&mut text).await?;
    Ok(text.trim().to_owned())
}

/// Looks names up and hands out the addresses that may be connected to.
struct Judged {
    egress: Egress,
    port: u16,
}

/// No address of a name may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Denied(crate::model::egress::Denied);

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let (egress, port) = (self.egress.clone(), self.port);
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), port)).await?.collect();
            let (mut allowed, mut denied) = (Vec::new(), None);
            for address in found {
                match egress.check(address) {
                    Ok(()) => allowed.push(address),
                    Err(error) => denied = Some(error),
                }
            }
            match denied {
                Some(denied) if allowed.is_empty() => Err(Denied(denied).into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

fn refusal(error: reqwest::Error) -> Refusal {
    let error = error.without_url();
    let mut cause: &(dyn std::error::Error + 'static) = &error;
    let mut failure = match () {
        () if error.is_timeout() => Failure::Timeout,
        () if error.is_connect() => Failure::Connect,
        () => Failure::Answer,
    };
    while let Some(deeper) = cause.source() {
        cause = deeper;
        if cause.is::<Denied>() {
            failure = Failure::Egress;
        }
    }
    Refusal::new(failure, cause.to_string())
}

/// A whole body within the bound.
async fn body(mut response: Response) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(refusal)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            let told = format!("an answer of more than {MAX_ANSWER} bytes");
            return Err(Refusal::new(Failure::Answer, told));
        }
    }
    Ok(body)
}

/// Everything that a measure needs in one expression; each part carries a label of its own.
fn question(measure: &Measure) -> String {
    // On lines of its own, so that a comment at the end of a part ends there.
    let part = |word: &str, expression: &str| {
        format!("label_replace((\n{expression}\n), \"{PART}\", \"{word}\", \"\", \"\")")
    };
    let scraped = |expression: &str| {
        format!("label_replace(timestamp(\n{expression}\n), \"{PART}\", \"scraped\", \"\", \"\")")
    };
    let parts = match measure {
        Measure::Good { good, total } => {
            vec![part("good", good), part("total", total), scraped(total)]
        }
        Measure::Bad { bad, total } => vec![part("bad", bad), part("total", total), scraped(total)],
        Measure::Both { good, bad } => {
            let bad_scraped = scraped(bad).replace("\"scraped\"", "\"scraped-bad\"");
            vec![part("good", good), part("bad", bad), scraped(good), bad_scraped]
        }
        Measure::Ratio { query, .. } | Measure::Threshold { query, .. } => {
            vec![part("total", query), scraped(query)]
        }
    };
    parts.join(" or ")
}

#[derive(Deserialize)]
struct RuntimeInfo {
    data: Runtime,
}

#[derive(Deserialize)]
struct Runtime {
    #[serde(rename = "startTime")]
    start_time: String,
}

#[derive(Deserialize)]
struct Told {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Series {
    metric: std::collections::BTreeMap<String, String>,
    /// None for a histogram.
    value: Option<(f64, String)>,
}

/// Reads an answer of the query API.
fn samples(status: StatusCode, body: &[u8]) -> Result<Vec<Sample>, Refusal> {
    let told: Option<Told> = serde_json::from_slice(body).ok();
    let Some(told) = told else {
        let failure = if status.is_success() { Failure::Answer } else { Failure::Status };
        return Err(Refusal::new(failure, format!("{status}, and no answer of a Prometheus")));
    };
    if let Some(error) = told.error.filter(|_| told.status != "success") {
        return Err(Refusal::new(Failure::Query, error));
    }
    if !status.is_success() {
        return Err(Refusal::new(Failure::Status, status.to_string()));
    }
    if let Some(warning) = told.warnings.into_iter().next() {
        return Err(Refusal::new(Failure::Warning, warning));
    }
    let no_answer = |told: &str| Refusal::new(Failure::Answer, told);
    let data = told.data.ok_or_else(|| no_answer("an answer without data"))?;
    if data.result_type != "vector" {
        return Err(no_answer("an answer that is no instant vector"));
    }
    let series: Vec<Series> =
        serde_json::from_value(data.result).map_err(|error| no_answer(&error.to_string()))?;
    if series.len() > 4 * MAX_SERIES {
        let told = format!("{} series; sum some of them up in the query", series.len());
        return Err(no_answer(&told));
    }
    series.into_iter().map(sample).collect()
}

fn sample(mut series: Series) -> Result<Sample, Refusal> {
    let part = series.metric.remove(PART);
    let part = match part.as_deref() {
        Some("good") => Part::Good,
        Some("bad") => Part::Bad,
        Some("total") => Part::Total,
        Some("scraped" | "scraped-bad") => Part::Scraped,
        _ => return Err(Refusal::new(Failure::Answer, "a series that was not asked for")),
    };
    let Some((_, value)) = series.value else {
        return Err(Refusal::new(Failure::Value, "a histogram where a number was asked for"));
    };
    let value = match value.as_str() {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().unwrap_or(f64::NAN),
    };
    let labels = serde_json::to_string(&series.metric).unwrap_or_default();
    Ok(Sample { part, labels, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_question_keep_their_lines_and_their_labels() {
        let (good, total) = ("a # a comment".to_owned(), "b".to_owned());
        let asked = question(&Measure::Good { good, total });
        assert!(asked.contains("(\na # a comment\n)"), "{asked}");
        assert_eq!(asked.matches(" or ").count(), 2);
    }

    #[test]
    fn an_answer_is_believed_only_if_it_is_whole() {
        let check = |status: u16, text: &str, expect: Result<usize, Failure>| {
            let status = StatusCode::from_u16(status).expect("a status");
            let read = samples(status, text.as_bytes());
            assert_eq!(read.map(|s| s.len()).map_err(|r| r.failure), expect, "{text}");
        };
        let vector = |result: &str, rest: &str| {
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}{rest}}}"#
            )
        };
        let one = r#"{"metric":{"nines_part":"good","a":"b"},"value":[1.5,"7"]}"#;
        check(200, &vector(one, ""), Ok(1));
        check(200, &vector(one, r#","infos":["PromQL info"]"#), Ok(1));
        check(200, &vector("", ""), Ok(0));
        check(200, &vector(one, r#","warnings":["a store is away"]"#), Err(Failure::Warning));
        let strange = r#"{"metric":{"a":"b"},"value":[1.5,"7"]}"#;
        check(200, &vector(strange, ""), Err(Failure::Answer));
        let histogram = r#"{"metric":{"nines_part":"good"},"histogram":[1.5,{}]}"#;
        check(200, &vector(histogram, ""), Err(Failure::Value));
        let error = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        check(400, error, Err(Failure::Query));
        check(503, "down", Err(Failure::Status));
        check(200, "<html>", Err(Failure::Answer));
        check(401, "", Err(Failure::Status));
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#;
        check(200, scalar, Err(Failure::Answer));
    }
}
