//! Many hostile targets beside as many honest ones: the honest ones are probed on time and keep
//! their verdicts, the hostile ones get theirs, and memory stays bounded.
//!
//! 200 of each, or as many as the variable `NINES_HOSTILE` says.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::harness::load::{many_probes, seldom, start_lag};
use crate::harness::{Daemon, Exposition, Nginx};

const LIMIT: Duration = Duration::from_secs(180);
/// What one probe of a hostile target may cost while it runs.
const MEMORY_EACH: u64 = 1 << 20;

/// What a target says first, what it says then until its client goes away, and how long it waits
/// in between.
struct Kind {
    name: &'static str,
    request: &'static str,
    begin: &'static [u8],
    again: &'static [u8],
    pace: Duration,
    is_good: bool,
}

const AT_ONCE: Duration = Duration::ZERO;
const SLOWLY: Duration = Duration::from_millis(100);
const PLAIN: &str = "url: \"http://ADDRESS/\"";
const TLS: &str = "url: \"https://ADDRESS/\"";
const HTTP2: &str = "url: \"http://ADDRESS/\", version: http2";
const BLOCK: &[u8] = &[b'x'; 16 * 1024];

const fn kind(
    name: &'static str,
    request: &'static str,
    begin: &'static [u8],
    again: &'static [u8],
    pace: Duration,
) -> Kind {
    Kind { name, request, begin, again, pace, is_good: false }
}

const KINDS: &[Kind] = &[
    Kind {
        is_good: true,
        ..kind(
            "huge body",
            PLAIN,
            b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n",
            BLOCK,
            AT_ONCE,
        )
    },
    Kind {
        is_good: true,
        ..kind(
            "gzip bomb",
            PLAIN,
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
            BLOCK,
            AT_ONCE,
        )
    },
    kind("endless header", PLAIN, b"HTTP/1.1 200 OK\r\nX: ", BLOCK, AT_ONCE),
    kind("many headers", PLAIN, b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n", AT_ONCE),
    kind("interim answers", PLAIN, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", AT_ONCE),
    kind(
        "redirect",
        PLAIN,
        b"HTTP/1.1 302 No\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        b"",
        SLOWLY,
    ),
    kind("slow head", PLAIN, b"HTTP/1.1 200 OK\r\nX: ", b"x", SLOWLY),
    kind("slow body", PLAIN, b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x", SLOWLY),
    kind("silence", PLAIN, b"", b"", SLOWLY),
    kind("garbage", PLAIN, b"", b"\x00\xff\x13garbage", AT_ONCE),
    kind("TLS garbage", TLS, b"", b"garbage", AT_ONCE),
    kind("TLS warnings", TLS, b"", b"\x15\x03\x03\x00\x02\x01\x5a", AT_ONCE),
    kind("TLS silence", TLS, b"", b"", SLOWLY),
    kind("HTTP/2 settings", HTTP2, b"", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", AT_ONCE),
    kind(
        "HTTP/2 headers",
        HTTP2,
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x01\x88",
        b"\x00\x00\x05\x09\x00\x00\x00\x00\x01\x00\x01a\x01b",
        AT_ONCE,
    ),
];

/// Serves one kind to everybody.
async fn serve(listener: TcpListener, kind: &'static Kind) {
    let again: &'static [u8] = match kind.pace.is_zero() {
        // Small pieces one at a time would keep the test busy and not the daemon.
        true => kind.again.repeat((BLOCK.len() / kind.again.len()).max(1)).leak(),
        false => kind.again,
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(talk(stream, kind, again));
    }
}

async fn talk(mut stream: TcpStream, kind: &Kind, again: &[u8]) {
    let mut said = stream.read(&mut [0; 1024]).await.map(drop);
    said = said.and(stream.write_all(kind.begin).await);
    let mut rest = [0; 64];
    let mut pace = tokio::time::interval(kind.pace.max(Duration::from_micros(1)));
    while said.is_ok() {
        if !kind.pace.is_zero() {
            tokio::select! {
                _ = pace.tick() => {}
                // Resets come here where nothing is written.
                read = stream.read(&mut rest) => if !matches!(read, Ok(1..)) { return },
            }
        }
        said = stream.write_all(again).await;
    }
}

async fn start(kind: &'static Kind) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(serve(listener, kind));
    at
}

/// How often each probe of services of this name and a number came to this end.
fn ended(metrics: &Exposition, service: &str, n: usize, family: &str) -> Vec<f64> {
    let mut counts = vec![0.0; n];
    for sample in metrics.samples.iter().filter(|sample| sample.name == family) {
        let probe = sample.labels["probe"].strip_prefix(service);
        let i = probe.and_then(|rest| rest.split_once("/p")?.1.parse::<usize>().ok());
        if let Some(count) = i.and_then(|i| counts.get_mut(i)) {
            *count += sample.value;
        }
    }
    counts
}

#[test]
fn hostile_targets_cost_honest_ones_nothing() {
    let n: usize = std::env::var("NINES_HOSTILE").map_or(200, |n| n.parse().expect("a number"));
    let n_starts = 4 * n as u64;
    let nginx = Nginx::start();
    let honest = vec![format!("url: \"{}\"", nginx.url()); n];
    let honest = many_probes("honest", &honest, "2s", "2s");

    let quiet = Daemon::start(&honest, &[]);
    let quiet_lag = start_lag(&quiet, n_starts, LIMIT);
    let quiet_memory = quiet.memory();
    drop(quiet);

    let runtime = Runtime::new().expect("threads");
    let addresses: Vec<_> = KINDS.iter().map(|kind| runtime.block_on(start(kind))).collect();
    let kind_of = |i: usize| i % KINDS.len();
    let request =
        |i| KINDS[kind_of(i)].request.replace("ADDRESS", &addresses[kind_of(i)].to_string());
    let hostile: Vec<_> = (0..n).map(request).collect();
    let daemon = Daemon::start(&(honest + &many_probes("hostile", &hostile, "20s", "1s")), &[]);
    // Printed, not judged: other tests take what is left of the machine at the same time.
    let lag = start_lag(&daemon, n_starts, LIMIT);
    // A silent target is unknown while this machine is too busy to be sure; most are not.
    let metrics = seldom("a result of every hostile target", LIMIT, || {
        let metrics = daemon.metrics();
        let judged = ended(&metrics, "hostile", n, "nines_probes_total");
        let unknown = ended(&metrics, "hostile", n, "nines_probe_unknown_total");
        let all = judged.iter().zip(&unknown).all(|(judged, unknown)| judged + unknown >= 1.0);
        all.then_some(metrics)
    });
    let memory = daemon.memory();
    let cpu = metrics.sum("process_cpu_seconds_total", &[]).unwrap_or(0.0);
    println!(
        "{n} honest beside {n} hostile: start lag p99 {:?} (alone {:?}), most memory {memory} \
         (alone {quiet_memory}), {cpu} s of processor time",
        lag.p99(),
        quiet_lag.p99(),
    );

    let bound = quiet_memory + n as u64 * MEMORY_EACH;
    assert!(memory <= bound, "memory {memory}, without hostile targets {quiet_memory}");
    let logged = daemon.printed();
    assert!(logged.len() < 64 * 1024, "targets fill the log: {} bytes", logged.len());
    let bad: f64 = ended(&metrics, "honest", n, "nines_probe_failures_total").iter().sum();
    assert_eq!(bad, 0.0, "honest targets were called bad");
    let judged = ended(&metrics, "hostile", n, "nines_probes_total");
    let failures = ended(&metrics, "hostile", n, "nines_probe_failures_total");
    let mut of_kind = vec![0.0; KINDS.len()];
    for i in 0..n {
        let kind = &KINDS[kind_of(i)];
        let expect = if kind.is_good { 0.0 } else { judged[i] };
        assert_eq!(failures[i], expect, "{}: {} verdicts", kind.name, judged[i]);
        of_kind[kind_of(i)] += judged[i];
    }
    for (kind, n) in KINDS.iter().zip(of_kind) {
        assert!(n > 0.0, "{} never got a verdict", kind.name);
    }
}
