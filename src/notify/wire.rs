//! One request to one Alertmanager: its URL, its body, and what the answer means.
//!
//! Speaks `POST /api/v2/alerts` only. Never follows redirects and never logs credentials.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde_json::{Value, json};

use crate::engine::Notice;

use super::NotifyError;

/// Most bytes of a refusal's body that are read and logged.
const MAX_EXCERPT: usize = 300;

/// An Alertmanager's address.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    label: String,
    alerts: Url,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.label).finish()
    }
}

impl Endpoint {
    /// The endpoint below a base URL.
    ///
    /// # Errors
    /// Not `http` or `https`, no host, a query or a fragment.
    pub fn parse(base: &str) -> Result<Self, NotifyError> {
        let mut url = Url::parse(base).map_err(|_| NotifyError::Url {
            // What cannot be read cannot be redacted.
            label: "<not a URL>".to_owned(),
            problem: "is not a URL",
        })?;
        let label = redacted(&url);
        let fail = |problem| NotifyError::Url { label: label.clone(), problem };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(fail("has a scheme other than http and https"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(fail("has a query or a fragment"));
        }
        let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Endpoint { label, alerts: url })
    }

    /// The base URL without credentials and without a trailing slash.
    pub fn label(&self) -> &str {
        &self.label
    }
}

fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    // Fails only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Accepted.
    Accepted,
    /// Refused; sending it again would not help.
    Refused(String),
    /// Failed; sending it again may help.
    Failed(String),
}

/// A client that takes this long at most, in all.
pub fn client(timeout: Duration) -> Result<Client, NotifyError> {
    let client = Client::builder()
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("nines/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(client)
}

/// Posts a batch.
pub async fn post(client: &Client, endpoint: &Endpoint, body: &Value) -> Delivery {
    let mut response = match client.post(endpoint.alerts.clone()).json(body).send().await {
        Ok(response) => response,
        Err(error) => return Delivery::Failed(reason(error)),
    };
    let status = response.status();
    if status.is_success() {
        return Delivery::Accepted;
    }
    let mut excerpt = Vec::new();
    // A body that breaks off is still worth its beginning.
    while let Ok(Some(chunk)) = response.chunk().await {
        excerpt.extend_from_slice(&chunk);
        if excerpt.len() >= MAX_EXCERPT {
            break;
        }
    }
    excerpt.truncate(MAX_EXCERPT);
    let text = format!("{status}: {}", String::from_utf8_lossy(&excerpt).trim());
    match is_final(status) {
        true => Delivery::Refused(text),
        false => Delivery::Failed(text),
    }
}

/// Whether a status other than success will not get better by itself.
fn is_final(status: StatusCode) -> bool {
    !status.is_server_error()
}

/// The cause at the bottom, without the URL, which may carry credentials.
fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// A batch as the API of version 2 takes it.
pub fn body<'a>(notices: impl Iterator<Item = &'a Arc<Notice>>, external_url: &str) -> Value {
    notices
        .map(|notice| {
            json!({
                "labels": notice.labels,
                "annotations": notice.annotations,
                "startsAt": notice.starts_at.to_string(),
                "endsAt": notice.ends_at.to_string(),
                "generatorURL": format!("{external_url}{}", notice.path),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_kept_and_credentials_are_not_shown() {
        let check = |base: &str, label: &str, alerts: &str| {
            let endpoint = Endpoint::parse(base).expect(base);
            assert_eq!((endpoint.label(), endpoint.alerts.as_str()), (label, alerts));
            assert!(!format!("{endpoint:?}").contains("secret"));
        };
        check("http://am:9093", "http://am:9093", "http://am:9093/api/v2/alerts");
        check("http://am:9093/", "http://am:9093", "http://am:9093/api/v2/alerts");
        check("https://am/x/y/", "https://am/x/y", "https://am/x/y/api/v2/alerts");
        check(
            "http://ana:secret@am:9093/x",
            "http://am:9093/x",
            "http://ana:secret@am:9093/x/api/v2/alerts",
        );
    }

    #[test]
    fn unusable_urls_are_refused_without_showing_secrets() {
        for base in ["am:9093", "", "ftp://a:secret@am", "http://a:secret@am?x=1", "http://am#f"] {
            let error = Endpoint::parse(base).expect_err(base).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
