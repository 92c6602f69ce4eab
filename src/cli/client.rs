//! Asking a running daemon: one GET, answered as JSON or with a clear error.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The status and body of `base` + `path`.
///
/// # Errors
/// The daemon does not answer.
pub fn get(base: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let url = format!("{}{path}", base.trim_end_matches('/'));
    crate::notify::install_crypto();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let hint = "is `nines run` running there? another address is given with --url";
        let answer =
            client.get(&url).send().await.map_err(|error| {
                anyhow::anyhow!("no answer from {url}: {}; {hint}", root(&error))
            })?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.with_context(|| format!("reading {url}"))?))
    })
}

/// The JSON at `base` + `path`.
///
/// # Errors
/// The daemon does not answer, or answers with a problem, whose words are passed on.
pub fn get_json(base: &str, path: &str) -> anyhow::Result<Value> {
    let (status, body) = get(base, path)?;
    let json: Value = serde_json::from_str(&body)
        .with_context(|| format!("{base}{path} answered {status} with something else than JSON"))?;
    if status != 200 {
        let detail = json["detail"].as_str().or(json["title"].as_str()).unwrap_or("no reason");
        bail!("{base}{path} answered {status}: {detail}");
    }
    Ok(json)
}

/// The innermost cause, which says what really happened.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
