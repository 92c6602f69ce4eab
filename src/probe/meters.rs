//! How the prober itself is doing, for the exporter: lag, misses, stalls, what is in flight.
//!
//! Counters only; nothing in here decides anything.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::engine::fault::{Cause, Slots};
use crate::model::UnknownReason;

/// Upper edges of the lag buckets, in microseconds; one more bucket has no edge. Dense around
/// the timer's granularity of a millisecond and the promise of 5 ms.
pub const LAG_EDGES_MICROS: [u64; 14] = [
    100, 250, 500, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 25_000, 100_000, 500_000, 1_000_000,
    5_000_000,
];

/// What the prober has seen of itself since it started. All counters only grow, `in_flight`,
/// `queued` and `probes` excepted.
#[derive(Debug, Default)]
pub struct Meters {
    /// From due to started, of every probe that was started.
    pub start_lag: Lag,
    /// From the moment at which a probing loop meant to wake up to the moment at which it did.
    pub loop_lag: Lag,
    missed: [AtomicU64; UnknownReason::ALL.len()],
    pub(super) in_flight: AtomicU64,
    pub(super) in_flight_max: AtomicU64,
    pub(super) queued: AtomicU64,
    pub(super) probes: AtomicU64,
    pub(super) stalls: AtomicU64,
    pub(super) shed: AtomicU64,
    pub(super) undelivered: AtomicU64,
    pub(super) denied: AtomicU64,
    /// Slots that are unknown by this cause, in the order of [`Cause::ALL`].
    faults: [AtomicU64; Cause::ALL.len()],
    stalled_micros: AtomicU64,
}

impl Meters {
    /// Slots that were not started, or not finished, for this reason.
    pub fn missed(&self, reason: UnknownReason) -> u64 {
        self.missed[reason.index()].load(Relaxed)
    }

    /// Probes that are running now.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// How many probes may run at once.
    pub fn in_flight_max(&self) -> u64 {
        self.in_flight_max.load(Relaxed)
    }

    /// Probes that are scheduled now.
    pub fn probes(&self) -> u64 {
        self.probes.load(Relaxed)
    }

    /// Reports that wait because the sink is full, at the last look.
    pub fn queued(&self) -> u64 {
        self.queued.load(Relaxed)
    }

    /// How often a probing loop stood still for more than 100 ms.
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Relaxed)
    }

    /// Observations that became runs of unknown slots because the sink stayed full.
    pub fn shed(&self) -> u64 {
        self.shed.load(Relaxed)
    }

    /// Slots whose report nobody took: the sink was closed, or not read until the end.
    pub fn undelivered(&self) -> u64 {
        self.undelivered.load(Relaxed)
    }

    /// Probes that did not connect because the egress policy denies the target's address.
    pub fn denied(&self) -> u64 {
        self.denied.load(Relaxed)
    }

    /// How long probing loops stood still, in all.
    pub fn stalled(&self) -> Duration {
        Duration::from_micros(self.stalled_micros.load(Relaxed))
    }

    /// What the slots were unknown for that nobody else need judge.
    pub fn faults(&self) -> Slots {
        Slots(std::array::from_fn(|i| self.faults[i].load(Relaxed)))
    }

    pub(super) fn miss(&self, cause: Cause, n: u32) {
        self.missed[cause.reason().index()].fetch_add(u64::from(n), Relaxed);
        self.fault(cause, n);
    }

    pub(super) fn fault(&self, cause: Cause, n: u32) {
        self.faults[cause.index()].fetch_add(u64::from(n), Relaxed);
    }

    pub(super) fn stall(&self, length: Duration) {
        self.stalls.fetch_add(1, Relaxed);
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        self.stalled_micros.fetch_add(micros, Relaxed);
    }
}

/// A histogram of delays over [`LAG_EDGES_MICROS`].
#[derive(Debug, Default)]
pub struct Lag {
    counts: [AtomicU64; LAG_EDGES_MICROS.len() + 1],
    sum_micros: AtomicU64,
    max_micros: AtomicU64,
}

impl Lag {
    /// How many delays fell into each bucket: at most its edge, and more than the edge before.
    pub fn counts(&self) -> [u64; LAG_EDGES_MICROS.len() + 1] {
        std::array::from_fn(|i| self.counts[i].load(Relaxed))
    }

    /// The sum of all delays.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros.load(Relaxed))
    }

    /// The longest delay.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max_micros.load(Relaxed))
    }

    pub(super) fn record(&self, lag: Duration) {
        let micros = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
        let bucket = LAG_EDGES_MICROS.partition_point(|edge| *edge < micros);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(micros, Relaxed);
        self.max_micros.fetch_max(micros, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_on_an_edge_belongs_below_it() {
        let lag = Lag::default();
        for micros in [0, 100, 101, 5_000, 9_000_000] {
            lag.record(Duration::from_micros(micros));
        }
        let counts = lag.counts();
        assert_eq!((counts[0], counts[1], counts[7], counts[14]), (2, 1, 1, 1));
        assert_eq!(lag.sum(), Duration::from_micros(9_005_201));
        assert_eq!(lag.max(), Duration::from_secs(9));
    }
}
