//! `POST /api/v1/slos/{service}/{slo}/results`: results that others have counted.
//!
//! Reads and checks what was sent, and hands it on. What it keeps true: an answer of success is
//! given after everything is durable, and the same request gets the same answer again.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::engine::intake::{Refused, Sent};
use crate::model::{Counts, Timestamp};

use super::problem::Problem;
use super::routes::Shared;

/// Most results of one delivery.
const MAX_RESULTS: usize = 1_000;
/// Longest key, in bytes.
const MAX_KEY: usize = 255;

/// What somebody delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The SLO, `service/name`.
    pub slo: String,
    /// The token that was shown.
    pub token: String,
    /// The key under which it counts once.
    pub key: String,
    /// The results.
    pub sent: Vec<Sent>,
}

/// Why a delivery was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// No results are expected for this SLO.
    NotExpected(String),
    /// The token is another.
    Token(String),
    /// The results cannot be taken.
    Refused(Refused),
    /// It could not be made durable, or this monitor cannot take it at present.
    NotKept(String),
}

/// Takes deliveries.
pub trait Deliveries: Send + Sync {
    /// Takes a delivery and returns once it is durable. Waits for the disk.
    ///
    /// # Errors
    /// Why it was not taken.
    fn deliver(&self, delivery: Delivery) -> Result<(), Undelivered>;
}

impl<F: Fn(Delivery) -> Result<(), Undelivered> + Send + Sync> Deliveries for F {
    fn deliver(&self, delivery: Delivery) -> Result<(), Undelivered> {
        self(delivery)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    results: Vec<Line>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: Option<String>,
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    good: u32,
    #[serde(default)]
    bad: u32,
    #[serde(default)]
    unknown: u32,
}

/// Takes counted results for one SLO.
pub async fn deliver(
    State(shared): State<Shared>,
    Path((service, slo)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let slo = format!("{service}/{slo}");
    match taken(shared, slo, &headers, body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => {
            let challenge = problem.status == StatusCode::UNAUTHORIZED;
            let mut response = problem.into_response();
            if challenge {
                let bearer = HeaderValue::from_static("Bearer realm=\"nines\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            }
            response
        }
    }
}

async fn taken(
    shared: Shared,
    slo: String,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<serde_json::Value, Problem> {
    if shared.site.engine().slo(&slo).is_none() {
        return Err(Problem::not_found(format!("there is no SLO {slo}")));
    }
    let token = bearer(headers).ok_or_else(|| {
        let detail = "show the token of the SLO: `Authorization: Bearer TOKEN`";
        Problem::new(StatusCode::UNAUTHORIZED, detail)
    })?;
    let key = key(headers)?;
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let sent = results(&body)?;
    let sum = |count: fn(&Counts) -> u32| -> u64 {
        sent.iter().map(|sent| u64::from(count(&sent.counts))).sum()
    };
    let answer = json!({
        "schema": "nines.results/v1",
        "slo": slo,
        "results": sent.len(),
        "good": sum(|counts| counts.good),
        "bad": sum(|counts| counts.bad),
        "unknown": sum(|counts| counts.unknown),
    });
    let delivery = Delivery { slo, token, key, sent };
    let deliveries = std::sync::Arc::clone(&shared.site.deliveries);
    let delivered = shared.blocking(move || deliveries.deliver(delivery)).await?;
    delivered.map(|()| answer).map_err(problem)
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let fits = |key: &&str| (1..=MAX_KEY).contains(&key.len());
    key.filter(fits).map(str::to_owned).ok_or_else(|| {
        let detail = format!(
            "an `Idempotency-Key` of 1 to {MAX_KEY} printable characters is needed, a new one for \
             each delivery and the same for each try of it"
        );
        Problem::bad_request(detail)
    })
}

fn results(body: &[u8]) -> Result<Vec<Sent>, Problem> {
    let expected = "{\"results\": [{\"at\": TIME, \"good\": 1, \"bad\": 0}]}";
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("{error}; expected {expected}")))?;
    let unprocessable = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
    if !(1..=MAX_RESULTS).contains(&body.results.len()) {
        let detail = format!("{} results; expected 1 to {MAX_RESULTS}", body.results.len());
        return Err(unprocessable(detail));
    }
    let read = |(n, line): (usize, &Line)| {
        let time = |text: &str| {
            let read = text.parse::<Timestamp>();
            read.map_err(|error| unprocessable(format!("results[{n}]: {error}")))
        };
        let (from, to) = match (&line.at, &line.from, &line.to) {
            (Some(at), None, None) => (time(at)?, time(at)?),
            (None, Some(from), Some(to)) => (time(from)?, time(to)?),
            _ => return Err(unprocessable(format!("results[{n}]: `at`, or `from` and `to`"))),
        };
        let Line { good, bad, unknown, .. } = *line;
        Ok(Sent { from, to, counts: Counts { good, bad, unknown } })
    };
    body.results.iter().enumerate().map(read).collect()
}

fn problem(undelivered: Undelivered) -> Problem {
    let (status, detail) = match undelivered {
        Undelivered::NotExpected(detail) => (StatusCode::CONFLICT, detail),
        Undelivered::Token(detail) => (StatusCode::FORBIDDEN, detail),
        Undelivered::Refused(refused) => {
            let status = match refused {
                Refused::Closed(..) => StatusCode::CONFLICT,
                Refused::TooManyKeys => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            (status, refused.to_string())
        }
        Undelivered::NotKept(detail) => (StatusCode::SERVICE_UNAVAILABLE, detail),
    };
    Problem::new(status, detail)
}
