//! Debian's Prometheus, scraping every second, with its query API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, program};
use super::{http, ports, scratch, until};

/// Longest time Prometheus gets to be ready.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running Prometheus.
pub struct Prometheus {
    address: SocketAddr,
    features: &'static str,
    // Dropped in this order: the process before its directory.
    process: Option<Process>,
    dir: TempDir,
}

/// One sample of an answer: its labels and its value.
pub type Sample = (BTreeMap<String, String>, f64);

impl Prometheus {
    /// Starts a Prometheus that scrapes each `(job, host:port)` every second.
    pub fn scraping(jobs: &[(&str, String)]) -> Self {
        Self::scraping_with(jobs, "")
    }

    /// The same with more settings for each job, as in a YAML mapping on one line.
    pub fn scraping_with(jobs: &[(&str, String)], more: &str) -> Self {
        Self::begin(jobs, more, "")
    }

    /// The same as [`Prometheus::scraping`], taking native histograms.
    pub fn scraping_natively(jobs: &[(&str, String)]) -> Self {
        Self::begin(jobs, "", "native-histograms")
    }

    fn begin(jobs: &[(&str, String)], more: &str, features: &'static str) -> Self {
        let (dir, address) = (scratch("prometheus"), ports::free());
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, config_text(jobs, more)).expect("a writable directory");
        let mut prometheus = Prometheus { address, features, process: None, dir };
        prometheus.restart();
        prometheus
    }

    /// Ends it as a power cut of the process would; its data stay.
    pub fn kill(&mut self) {
        self.process.take().expect("it is running").kill();
    }

    /// Starts it again on the same port over the same data.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it is running already");
        let (dir, address) = (&self.dir, self.address);
        let config = dir.path().join("prometheus.yml");
        let mut command = Command::new(program("prometheus", "prometheus"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--enable-feature={}", self.features))
            .arg("--log.level=warn");
        let mut process = Process::start("prometheus", &mut command, dir.path().join("log"));
        process.answers(&format!("http://{address}/-/ready"), START_LIMIT);
        self.process = Some(process);
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Evaluates an expression now.
    ///
    /// # Errors
    /// What Prometheus says is wrong with the expression.
    pub fn query(&self, expression: &str) -> Result<Vec<Sample>, String> {
        let url =
            format!("http://{}/api/v1/query?query={}", self.address, http::encode(expression));
        let answer = http::get(&url).map_err(|error| error.to_string())?.json();
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        let data = &answer["data"];
        match data["resultType"].as_str() {
            Some("vector") => {
                Ok(data["result"].as_array().into_iter().flatten().map(sample).collect())
            }
            Some("scalar") => Ok(vec![(BTreeMap::new(), number(&data["result"][1]))]),
            other => Err(format!("a result of type {other:?}")),
        }
    }

    /// Waits until an expression has a result and returns it.
    #[track_caller]
    pub fn wait_for(&self, expression: &str, limit: Duration) -> Vec<Sample> {
        until(expression, limit, || self.query(expression).ok().filter(|found| !found.is_empty()))
    }
}

fn config_text(jobs: &[(&str, String)], more: &str) -> String {
    let mut text = "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n\
                    scrape_configs:\n"
        .to_owned();
    for (job, address) in jobs {
        text.push_str(&format!(
            "  - {{job_name: {job}, static_configs: [{{targets: ['{address}']}}], {more}}}\n"
        ));
    }
    text
}

fn sample(result: &Value) -> Sample {
    let labels = result["metric"].as_object().into_iter().flatten();
    let labels = labels.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned()));
    (labels.collect(), number(&result["value"][1]))
}

/// Prometheus writes numbers as text; infinities and NaN included.
fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("+Inf") => f64::INFINITY,
        Some("-Inf") => f64::NEG_INFINITY,
        text => text.and_then(|t| t.parse().ok()).unwrap_or(f64::NAN),
    }
}
