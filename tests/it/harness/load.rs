//! How a daemon is doing under load: start lag out of its own metrics, memory out of the system's.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::daemon::Daemon;
use super::exposition::Exposition;
use super::wait::until;

/// Specs of a service with a probe for each request, all with this interval and timeout.
pub fn many_probes(service: &str, requests: &[String], interval: &str, timeout: &str) -> String {
    let mut text = String::new();
    for (n, request) in requests.iter().enumerate() {
        if n.is_multiple_of(A_SERVICE) {
            text.push_str(&format!(
                "---\napiVersion: nines/v1\nkind: Service\nmetadata: {{name: {service}{}}}\nspec:\n  \
                 probes:\n",
                n / A_SERVICE
            ));
        }
        let http = format!("http: {{{request}, maxBody: 64KiB}}");
        let times = format!("interval: {interval}, timeout: {timeout}");
        text.push_str(&format!("    - {{name: p{n}, {http}, {times}}}\n"));
    }
    text
}

/// How many probes a service may have, and some less.
const A_SERVICE: usize = 250;

/// The start lags of at least so many probes that start from now on.
pub fn start_lag(daemon: &Daemon, n_least: u64, limit: Duration) -> StartLag {
    let before = StartLag::read(&daemon.metrics());
    seldom("enough probes to start", limit, || {
        let now = StartLag::read(&daemon.metrics());
        let lag = now.since(&before);
        (lag.n() >= n_least).then_some(lag)
    })
}

/// As [`until`], but looks every two seconds only: a scrape of hundreds of probes is work.
pub fn seldom<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let mut last = Instant::now();
    until(what, limit, || {
        if last.elapsed() < Duration::from_secs(2) {
            return None;
        }
        let found = look();
        last = Instant::now();
        found
    })
}

/// The start lags of so many probes in a row, as soon as 99 of 100 are as short as before or
/// shorter than 25 ms. The edges of the buckets lie up to a factor of five apart, and this machine
/// has other things to do at times, so one window after another is looked at.
pub fn start_lag_as_before(
    daemon: &Daemon,
    before: &StartLag,
    n_least: u64,
    limit: Duration,
) -> StartLag {
    let bound = Duration::from_millis(25).max(5 * before.p99());
    until(&format!("a start lag of at most {bound:?}"), limit, || {
        let lag = start_lag(daemon, n_least, limit);
        println!("start lag p99 {:?}, before {:?}", lag.p99(), before.p99());
        (lag.p99() <= bound).then_some(lag)
    })
}

/// How many probes started within which lag; edges in microseconds, cumulative.
#[derive(Clone, Debug, Default)]
pub struct StartLag(BTreeMap<u64, u64>);

impl StartLag {
    /// All that has been counted so far.
    pub fn read(metrics: &Exposition) -> Self {
        let mut counts = BTreeMap::new();
        for sample in &metrics.samples {
            if sample.name == "nines_probe_start_lag_seconds_bucket" {
                let edge: f64 = sample.labels["le"].replace("+Inf", "inf").parse().expect("edge");
                *counts.entry((edge * 1e6) as u64).or_default() += sample.value as u64;
            }
        }
        StartLag(counts)
    }

    fn since(&self, before: &StartLag) -> StartLag {
        let earlier = |edge| before.0.get(edge).copied().unwrap_or(0);
        StartLag(self.0.iter().map(|(edge, n)| (*edge, n - earlier(edge))).collect())
    }

    /// How many started.
    pub fn n(&self) -> u64 {
        self.0.values().last().copied().unwrap_or(0)
    }

    /// The edge below which 99 of 100 lags lie.
    pub fn p99(&self) -> Duration {
        let enough = (self.n() * 99).div_ceil(100);
        let edge = self.0.iter().find(|(_, n)| **n >= enough).map_or(u64::MAX, |(edge, _)| *edge);
        Duration::from_micros(edge)
    }
}

#[test]
fn the_99th_of_100_lags_is_found_between_two_readings() {
    let at = |n: [u64; 3]| StartLag([1_000, 5_000, u64::MAX].into_iter().zip(n).collect());
    let lag = at([199, 300, 300]).since(&at([100, 200, 200]));
    assert_eq!((lag.n(), lag.p99()), (100, Duration::from_millis(1)));
    assert_eq!(at([98, 100, 100]).p99(), Duration::from_millis(5));
    assert_eq!(at([0, 0, 1]).p99(), Duration::from_micros(u64::MAX));
}
