//! Debian's blackbox_exporter doing the same probes: alone, and with the Prometheus that scrapes
//! it. Both are processes whose CPU time is counted as that of the bench itself.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::{Cost, Target, cpu, total};

const BLACKBOX: &str = "/usr/bin/prometheus-blackbox-exporter";
const PROMETHEUS: &str = "/usr/bin/prometheus";

/// Longest time that either gets to answer.
const START_LIMIT: Duration = Duration::from_secs(60);

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

fn free() -> SocketAddr {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
    port.local_addr().expect("bound")
}

/// Starts a program and waits until it listens.
fn start(mut command: Command, address: SocketAddr) -> Target {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = Target { process: command.spawn().expect("starts"), address };
    wait(|| TcpStream::connect(address).is_ok());
    started
}

fn wait(done: impl FnMut() -> bool) {
    wait_at_most(START_LIMIT, done);
}

fn wait_at_most(limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "it takes too long");
        std::thread::park_timeout(Duration::from_millis(50));
    }
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

fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(address).expect("it listens"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).expect("it reads");
    read_answer(&mut stream)
}

/// One HTTP answer, by its length or in chunks.
fn read_answer(from: &mut impl BufRead) -> String {
    let line = |from: &mut dyn BufRead| {
        let mut line = String::new();
        from.read_line(&mut line).expect("an answer");
        line.trim_end().to_ascii_lowercase()
    };
    let head: Vec<_> =
        std::iter::repeat_with(|| line(from)).take_while(|l| !l.is_empty()).collect();
    let length = head.iter().find_map(|header| header.strip_prefix("content-length: "));
    let mut body = Vec::new();
    let mut part = |from: &mut dyn BufRead, n: usize| {
        let start = body.len();
        body.resize(start + n, 0);
        from.read_exact(&mut body[start..]).expect("an answer");
    };
    if let Some(length) = length {
        part(from, length.parse().expect("a number"));
        return String::from_utf8_lossy(&body).into_owned();
    }
    loop {
        let n = usize::from_str_radix(&line(from), 16).expect("a chunk size");
        part(from, n);
        line(from);
        if n == 0 {
            return String::from_utf8_lossy(&body).into_owned();
        }
    }
}
