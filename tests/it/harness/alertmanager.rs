//! Debian's Alertmanager, alone (no cluster), without delay, delivering to a webhook.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, program};
use super::{Namespace, http, ports, scratch};

/// Longest time Alertmanager gets to be ready.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running Alertmanager.
pub struct Alertmanager {
    address: SocketAddr,
    // Dropped in this order: the process before its directory.
    _process: Process,
    _dir: TempDir,
}

impl Alertmanager {
    /// Starts an Alertmanager that sends everything to `webhook` at once, one group an alert.
    pub fn delivering_to(webhook: &str) -> Self {
        Self::inhibiting(webhook, " []\n")
    }

    /// The same with inhibition rules, as they stand after `inhibit_rules:`.
    pub fn inhibiting(webhook: &str, rules: &str) -> Self {
        Self::launch(&[], ports::free(), webhook, rules)
    }

    /// The same inside a namespace, at its own address.
    pub fn within(namespace: &Namespace, webhook: &str) -> Self {
        let mut address = ports::free();
        address.set_ip(namespace.service());
        Self::launch(&namespace.wrapper(), address, webhook, " []\n")
    }

    fn launch(wrapper: &[String], address: SocketAddr, webhook: &str, rules: &str) -> Self {
        let dir = scratch("alertmanager");
        let config_text = format!("inhibit_rules:{rules}{}", CONFIG.replace("WEBHOOK", webhook));
        let config = dir.path().join("alertmanager.yml");
        std::fs::write(&config, config_text).expect("a writable directory");
        let program = program("prometheus-alertmanager", "prometheus-alertmanager");
        let mut words = wrapper.to_vec();
        words.push(program.display().to_string());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--cluster.listen-address=", "--log.level=warn"]);
        let mut process = Process::start("alertmanager", &mut command, dir.path().join("log"));
        process.answers(&format!("http://{address}/-/ready"), START_LIMIT);
        Alertmanager { address, _process: process, _dir: dir }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The active alerts of this name, as its API v2 tells them.
    pub fn active(&self, alertname: &str) -> Vec<Value> {
        let filter = http::encode(&format!("alertname=\"{alertname}\""));
        let url = format!("{}/api/v2/alerts?filter={filter}", self.url());
        let answer = http::get(&url).expect("Alertmanager answers").json();
        answer.as_array().cloned().unwrap_or_default()
    }
}

const CONFIG: &str = "\
route:
  receiver: test
  group_by: ['...']
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: test
    webhook_configs:
      - url: WEBHOOK
        send_resolved: true
";
