//! Clients of our port that mean no good: thousands of half-open connections, heads that never
//! end, bodies that never end, readers that never read. Probes go on as before, and whoever asks
//! properly is answered.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use crate::harness::load::{many_probes, seldom, start_lag, start_lag_as_before};
use crate::harness::{Daemon, Nginx};

/// As many as are tried where descriptors allow it.
const HALF_OPEN: usize = 10_000;
/// Descriptors that the test itself needs, and those of everything else that is tested meanwhile.
const OTHERS: usize = 4_000;
/// Clients of every other bad kind.
const OF_A_KIND: usize = 40;
const PROBES: usize = 50;
/// Starts that are looked at in each phase, at 200 a second.
const STARTS: u64 = 1_500;
const LIMIT: Duration = Duration::from_secs(120);

fn soft_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}

/// Says something for ever, so many pieces a second, until it is cut off; then comes again, once
/// a second, so that it is not the test itself that keeps this machine busy.
async fn nuisance(to: SocketAddr, begin: &'static [u8], again: &'static [u8], pieces: usize) {
    let mut pace = interval(Duration::from_secs(1));
    loop {
        pace.tick().await;
        let Ok(mut stream) = TcpStream::connect(to).await else { continue };
        let mut said = stream.write_all(begin).await;
        while said.is_ok() {
            pace.tick().await;
            said = stream.write_all(&again.repeat(pieces)).await;
        }
    }
}

/// Asks for a lot and reads nothing, until it is cut off; then comes again.
async fn deaf(to: SocketAddr) {
    let mut pace = interval(Duration::from_secs(1));
    loop {
        pace.tick().await;
        let Ok(mut stream) = TcpStream::connect(to).await else { continue };
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
        while let Ok(Ok(())) = timeout(Duration::from_secs(1), stream.write_all(request)).await {}
        // Its window is full of unread answers; the other side ends this.
        let _ = stream.write_all(request).await;
    }
}

/// Opens a connection, sends part of a head or nothing, and waits to be cut off.
async fn half_open(to: SocketAddr, n: usize) {
    let Ok(mut stream) = TcpStream::connect(to).await else { return };
    if n.is_multiple_of(2) {
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: half").await;
    }
    let mut rest = [0; 64];
    while let Ok(1..) = stream.read(&mut rest).await {}
}

/// How long the slowest of some scrapes by somebody else took.
fn slowest_scrape(daemon: &Daemon) -> Duration {
    let once = || {
        let start = Instant::now();
        daemon.metrics();
        start.elapsed()
    };
    (0..20).map(|_| once()).max().expect("twenty")
}

#[test]
fn hostile_clients_neither_delay_probes_nor_keep_a_scraper_out() {
    let nginx = Nginx::start();
    let requests = vec![format!("url: \"{}\"", nginx.url()); PROBES];
    let daemon = Daemon::start(&many_probes("honest", &requests, "250ms", "250ms"), &[]);
    let quiet = start_lag(&daemon, STARTS, LIMIT);
    let quiet_scrape = slowest_scrape(&daemon);
    let quiet_memory = daemon.memory();

    let to = daemon.address();
    let runtime = Runtime::new().expect("threads");
    let mut clients = JoinSet::new();
    let n_half_open = HALF_OPEN.min(soft_limit().saturating_sub(OTHERS)).max(500);
    let _inside = runtime.enter();
    for n in 0..n_half_open {
        clients.spawn(half_open(to, n));
    }
    for _ in 0..OF_A_KIND {
        clients.spawn(nuisance(to, b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"x", 1));
        clients.spawn(nuisance(to, b"GET / HTTP/1.1\r\nHost: a\r\n", b"X-More: more\r\n", 1));
    }
    // Making what they do not read takes time, so there are few.
    for _ in 0..2 {
        clients.spawn(deaf(to));
    }
    for _ in 0..4 {
        // Half a megabyte a second each, of what never becomes a request.
        let head = b"GET / HTTP/1.1\r\n";
        clients.spawn(nuisance(to, head, b"X-More: and more\r\n", 30_000));
        let body = b"POST /-/reload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        clients.spawn(nuisance(to, body, b"4\r\nbody\r\n", 50_000));
    }
    let evicted = || daemon.metrics().sum("nines_http_connections_evicted_total", &[]);
    seldom("half-open connections to lose their places", LIMIT, || {
        evicted().filter(|n| *n >= n_half_open as f64 / 2.0)
    });
    // This machine has other things to do at times, so one row of scrapes after another is tried.
    let bound = Duration::from_secs(1).max(4 * quiet_scrape);
    let scrape = seldom("scrapes within a second", LIMIT, || {
        Some(slowest_scrape(&daemon)).filter(|slowest| *slowest < bound)
    });
    let lag = start_lag_as_before(&daemon, &quiet, STARTS, LIMIT);
    let memory = daemon.memory();
    let metrics = daemon.metrics();
    let value = |name| metrics.sum(name, &[]).expect(name);
    println!(
        "{n_half_open} half-open: start lag p99 {:?} (quiet {:?}), slowest scrape {scrape:?} \
         (quiet {quiet_scrape:?}), memory {memory} (quiet {quiet_memory}), {} evicted, {} stalled",
        lag.p99(),
        quiet.p99(),
        value("nines_http_connections_evicted_total"),
        value("nines_http_connections_stalled_total"),
    );
    assert!(memory < quiet_memory + (96 << 20), "memory {memory}, before {quiet_memory}");
    assert!(value("nines_http_connections") <= 512.0, "more connections than places");
    let lost = metrics.sum("nines_probe_unknown_total", &[("reason", "local-fault")]);
    assert_eq!(lost.unwrap_or(0.0), 0.0, "clients took descriptors from probes");
    clients.abort_all();
}
