//! Debian's blackbox_exporter doing the same probes: alone, and with the Prometheus that scrapes
//! it. Both are processes whose CPU time is counted as that of the bench itself.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use super::Cost;
use super::outside::{
    START_LIMIT, Target, ask, cpu, free, read_answer, start, total, wait, wait_at_most,
};

const BLACKBOX: &str = "/usr/bin/prometheus-blackbox-exporter";
const PROMETHEUS: &str = "/usr/bin/prometheus";

/// Whether Debian's packages of both are installed.
pub fn is_installed() -> bool {
    [BLACKBOX, PROMETHEUS].into_iter().all(|program| Path::new(program).exists())
}

/// What the same number of probes cost in both.
pub struct Both {
    /// The exporter, which probes.
    pub exporter: Cost,
    /// Prometheus, which scrapes it and keeps what it says.
    pub prometheus: Cost,
}

/// Asks the exporter for `n` probes, over one connection, one after the other.
pub fn alone(to: SocketAddr, n: u32, directory: &Path) -> Cost {
    let exporter = exporter(directory);
    let mut stream = BufReader::new(TcpStream::connect(exporter.address).expect("it listens"));
    let request = format!("GET /probe?module=http&target=http://{to}/ HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut ask = |n: u32| {
        for _ in 0..n {
            stream.get_mut().write_all(request.as_bytes()).expect("it reads");
            let text = read_answer(&mut stream);
            assert!(text.contains("\nprobe_success 1\n"), "{text}");
        }
    };
    ask(n / 10);
    let before = total(&cpu(exporter.process.id()));
    ask(n);
    let nanos = total(&cpu(exporter.process.id())) - before;
    Cost { n: n.into(), nanos }
}

/// Lets Prometheus have `n_targets` probed once a second, for so long.
pub fn scraped(to: SocketAddr, n_targets: u32, measured: Duration, directory: &Path) -> Both {
    let exporter = exporter(directory);
    let file = directory.join("prometheus.yml");
    std::fs::write(&file, config(to, n_targets, exporter.address)).expect("writable");
    let address = free();
    let mut command = Command::new(PROMETHEUS);
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", directory.join("tsdb").display()));
    command.arg(format!("--web.listen-address={address}"));
    let prometheus = start(command, address);
    // Every target has had its turn before anything is counted.
    let wanted = u64::from(n_targets) * 2;
    wait(|| intervals(address) >= wanted);
    let cpus = || [&exporter, &prometheus].map(|one| total(&cpu(one.process.id())));
    let (begun, before, n_before) = (Instant::now(), cpus(), intervals(address));
    wait_at_most(measured + START_LIMIT, || begun.elapsed() >= measured);
    let (after, n) = (cpus(), intervals(address) - n_before);
    let up = value(address, "sum(probe_success)");
    assert_eq!(up, Some(n_targets.to_string()), "every probe succeeds");
    let cost = |which: usize| Cost { n, nanos: after[which] - before[which] };
    Both { exporter: cost(0), prometheus: cost(1) }
}

fn exporter(directory: &Path) -> Target {
    let file = directory.join("blackbox.yml");
    let config = "modules: {http: {prober: http, http: {preferred_ip_protocol: ip4}}}\n";
    std::fs::write(&file, config).expect("writable");
    let address = free();
    let mut command = Command::new(BLACKBOX);
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--web.listen-address={address}"));
    start(command, address)
}

/// One scrape of the exporter for each target, as its manual has it; the targets differ in what
/// they are asked for, so that each is a series of its own.
fn config(to: SocketAddr, n_targets: u32, exporter: SocketAddr) -> String {
    let targets: Vec<_> = (0..n_targets).map(|n| format!("\"http://{to}/?{n}\"")).collect();
    let targets = targets.join(", ");
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs:\n\
         - job_name: probes\n\
         \x20 metrics_path: /probe\n\
         \x20 params: {{module: [http]}}\n\
         \x20 static_configs: [{{targets: [{targets}]}}]\n\
         \x20 relabel_configs:\n\
         \x20 - {{source_labels: [__address__], target_label: __param_target}}\n\
         \x20 - {{source_labels: [__param_target], target_label: instance}}\n\
         \x20 - {{target_label: __address__, replacement: \"{exporter}\"}}\n"
    )
}

/// How many scrapes Prometheus has made: one more than the intervals between them.
fn intervals(prometheus: SocketAddr) -> u64 {
    let text = ask(prometheus, "/metrics");
    let name = "prometheus_target_interval_length_seconds_count{interval=\"1s\"} ";
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// The single value of an expression.
fn value(prometheus: SocketAddr, expression: &str) -> Option<String> {
    let text = ask(prometheus, &format!("/api/v1/query?query={expression}"));
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
}
