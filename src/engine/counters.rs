//! Running totals of one probe since this process started, for exposition.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{BadReason, Observation, Timestamp, UnknownReason, Verdict};

use super::exponential::Exponential;

/// Upper edges, in microseconds, that every probe's latency histogram has.
pub const BASE_EDGES: [u64; 14] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 60_000_000,
];

/// Totals of one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Counters {
    /// Slots that were good or bad.
    pub runs: u64,
    /// Bad slots by reason, in the order of [`BadReason::ALL`].
    pub failures: [u64; BadReason::ALL.len()],
    /// Unknown slots by reason, in the order of [`UnknownReason::ALL`].
    pub unknown: [u64; UnknownReason::ALL.len()],
    /// Whether the last known slot was good; none before the first.
    pub last_success: Option<bool>,
    /// When the last probe that really ran was started.
    pub last_run: Option<Timestamp>,
    /// Total time in each phase, in the order of `Phases::NAMES`.
    pub phases: [Duration; 6],
    /// The latency histogram.
    pub latency: Histogram,
    /// The same latencies over exponential buckets.
    pub spread: Exponential,
    /// When the certificate shown last expires.
    pub certificate_not_after: Option<Timestamp>,
}

impl Counters {
    /// Nothing counted, with these latency thresholds (in microseconds) among the edges.
    pub fn new(thresholds: &[u32]) -> Self {
        Counters {
            runs: 0,
            failures: [0; BadReason::ALL.len()],
            unknown: [0; UnknownReason::ALL.len()],
            last_success: None,
            last_run: None,
            phases: [Duration::ZERO; 6],
            latency: Histogram::new(edges(thresholds)),
            spread: Exponential::default(),
            certificate_not_after: None,
        }
    }

    /// Has these latency thresholds (in microseconds) among the edges from now on.
    pub(super) fn measure_by(&mut self, thresholds: &[u32]) {
        self.latency.rebucket(edges(thresholds));
    }

    /// Counts one observation.
    pub fn count(&mut self, observation: &Observation) {
        match observation.verdict {
            Verdict::Good => self.last_success = Some(true),
            Verdict::Bad(reason) => {
                self.failures[reason.index()] += 1;
                self.last_success = Some(false);
            }
            Verdict::Unknown(reason) => self.unknown[reason.index()] += 1,
            Verdict::Excluded | Verdict::Counted(_) => {}
        }
        if matches!(observation.verdict, Verdict::Good | Verdict::Bad(_)) {
            self.runs += 1;
        }
        if let Some(latency) = observation.latency {
            self.last_run = Some(observation.due.plus(observation.lag));
            self.latency.count(latency);
            self.spread.count(latency);
            for (total, spent) in self.phases.iter_mut().zip(observation.phases.durations()) {
                *total += spent;
            }
        }
        if observation.certificate_not_after.is_some() {
            self.certificate_not_after = observation.certificate_not_after;
        }
    }
}

/// The edges of a probe with these latency thresholds.
fn edges(thresholds: &[u32]) -> Arc<[u64]> {
    let mut edges: Vec<u64> = BASE_EDGES.to_vec();
    edges.extend(thresholds.iter().map(|t| u64::from(*t)));
    edges.sort_unstable();
    edges.dedup();
    edges.into()
}

/// A histogram over fixed edges.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper edges in microseconds, included in their bucket, ascending.
    pub edges: Arc<[u64]>,
    /// How many values fell into each bucket, not cumulated; the last one is beyond all edges.
    pub counts: Vec<u64>,
    /// The exact sum.
    pub sum: Duration,
}

impl Histogram {
    /// An empty histogram over these ascending upper edges in microseconds.
    pub fn new(edges: Arc<[u64]>) -> Self {
        let counts = vec![0; edges.len() + 1];
        Histogram { edges, counts, sum: Duration::ZERO }
    }

    /// Counts one value.
    pub fn count(&mut self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        // A value of 300.0004 ms is above an edge of 300 ms: whole microseconds are rounded up.
        let micros = micros.saturating_add(u64::from(!value.subsec_nanos().is_multiple_of(1_000)));
        let bucket = self.edges.partition_point(|edge| *edge < micros);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// Goes on with other edges. Where a bucket is divided, what it holds goes into the upper
    /// part: no count falls, and none looks faster than it was.
    fn rebucket(&mut self, edges: Arc<[u64]>) {
        if self.edges == edges {
            return;
        }
        let mut counts = vec![0; edges.len() + 1];
        let uppers = self.edges.iter().copied().chain([u64::MAX]);
        for (upper, n) in uppers.zip(&self.counts) {
            counts[edges.partition_point(|edge| *edge < upper)] += n;
        }
        (self.edges, self.counts) = (edges, counts);
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_edges_and_edges_belong_to_their_bucket() {
        let mut counters = Counters::new(&[300_000]);
        let at = counters.latency.edges.iter().position(|e| *e == 300_000).expect("an edge");
        for nanos in [300_000_000, 299_999_999, 300_000_001] {
            counters.latency.count(Duration::from_nanos(nanos));
        }
        assert_eq!((counters.latency.counts[at], counters.latency.counts[at + 1]), (2, 1));
        assert_eq!(counters.latency.total(), 3);
    }

    #[test]
    fn other_thresholds_lose_no_count_and_make_nothing_look_faster() {
        let mut counters = Counters::new(&[300_000]);
        for millis in [1, 260, 290, 310, 90_000] {
            counters.latency.count(Duration::from_millis(millis));
        }
        counters.measure_by(&[270_000]);
        let below = |counters: &Counters, edge: u64| {
            let until = counters.latency.edges.partition_point(|known| *known <= edge);
            counters.latency.counts[..until].iter().sum::<u64>()
        };
        assert_eq!([250_000, 270_000, 500_000].map(|edge| below(&counters, edge)), [1, 1, 4]);
        assert_eq!((counters.latency.total(), counters.latency.sum.as_millis()), (5, 90_861));
        assert!(!counters.latency.edges.contains(&300_000));
    }
}
