//! Asking a running daemon: one GET, answered as JSON or with a clear error.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Certificate, Client, Identity};
use serde_json::Value;

use crate::model::source::Credentials;
use crate::spec::http_config::HttpConfig;

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A daemon that may be asked.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Its base URL.
    pub url: String,
    /// How we show ourselves to it.
    pub http: HttpConfig,
}

impl Daemon {
    /// The status and body of what is at `path`.
    ///
    /// # Errors
    /// The daemon does not answer, or a file of the HTTP config cannot be used.
    pub fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        crate::notify::install_crypto();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = self.client()?;
        let request = match &self.http.credentials {
            Credentials::None => client.get(&url),
            Credentials::Bearer(file) => client.get(&url).bearer_auth(secret(file)?),
            Credentials::Basic { username, password_file } => {
                client.get(&url).basic_auth(username, Some(secret(password_file)?))
            }
        };
        runtime.block_on(async {
            let hint = "is `nines run` running there? another address is given with --url";
            let answer = request.send().await.map_err(|error| {
                anyhow::anyhow!("no answer from {url}: {}; {hint}", root(&error))
            })?;
            let status = answer.status().as_u16();
            Ok((status, answer.text().await.with_context(|| format!("reading {url}"))?))
        })
    }

    /// The JSON that is at `path`.
    ///
    /// # Errors
    /// The daemon does not answer, or answers with a problem, whose words are passed on.
    pub fn get_json(&self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.get(path)?;
        let at = format!("{}{path}", self.url.trim_end_matches('/'));
        let json: Value = serde_json::from_str(&body)
            .with_context(|| format!("{at} answered {status} with something else than JSON"))?;
        if status != 200 {
            let detail = json["detail"].as_str().or(json["title"].as_str()).unwrap_or("no reason");
            let hint = if status == 401 { "; name them in --http.config.file" } else { "" };
            bail!("{at} answered {status}: {detail}{hint}");
        }
        Ok(json)
    }

    fn client(&self) -> anyhow::Result<Client> {
        let mut client = Client::builder().timeout(PATIENCE);
        if let Some(path) = &self.http.ca_file {
            let trusted = Certificate::from_pem_bundle(&read(path)?)
                .with_context(|| format!("ca_file {}", path.display()))?;
            client = client.tls_certs_only(trusted);
        }
        if let Some((certificate, key)) = &self.http.identity {
            let pem = [read(certificate)?, read(key)?].concat();
            let identity = Identity::from_pem(&pem)
                .with_context(|| format!("cert_file {}", certificate.display()))?;
            client = client.identity(identity);
        }
        Ok(client.build()?)
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What a file holds, without the white space around it.
fn secret(path: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// The innermost cause, which says what really happened.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
