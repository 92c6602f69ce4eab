//! Notices when our own thread stood still: stopped, starved, or busy with something else.
//!
//! The probing loop stamps it at least every [`TICK`]. It is the witness that tells a slow target
//! from a slow monitor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How often the probing loop stamps, at least.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Longest time between two stamps that is not a stall. Ten missed ticks: more than a busy
/// scheduler makes, less than the shortest timeout that people choose.
pub(super) const STALL: Duration = Duration::from_millis(100);
/// The stamps and stalls of one probing thread.
#[derive(Debug)]
pub(super) struct Watch {
    base: Instant,
    /// The last stamp, in nanoseconds since the base; 0 before the first.
    last: AtomicU64,
    /// The end of the last stall, likewise. As probes ask about the time up to now, it decides.
    stall_end: AtomicU64,
}

impl Watch {
    /// A watch that has not been stamped. Until it is, it sees no stall.
    pub(super) fn new() -> Self {
        Watch { base: Instant::now(), last: AtomicU64::new(0), stall_end: AtomicU64::new(0) }
    }

    /// Stamps; returns the length of the stall that this stamp ends.
    pub(super) fn stamp(&self, now: Instant) -> Option<Duration> {
        let nanos = self.nanos(now).max(1);
        let last = self.last.swap(nanos, Ordering::Relaxed);
        let gap = Duration::from_nanos(nanos.saturating_sub(last));
        if last == 0 || gap <= STALL {
            return None;
        }
        self.stall_end.store(nanos, Ordering::Relaxed);
        Some(gap)
    }

    /// Whether the thread stood still at some time since `from`, perhaps until this very moment.
    pub(super) fn stood_still(&self, from: Instant) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        if last == 0 {
            return false;
        }
        if (self.base + Duration::from_nanos(last)).elapsed() > STALL {
            return true;
        }
        self.stall_end.load(Ordering::Relaxed) > self.nanos(from)
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_seen_by_the_probes_it_overlaps_and_by_no_other() {
        let pass = |ms| tokio::time::advance(Duration::from_millis(ms));
        let watch = Watch::new();
        pass(5_000).await;
        assert!(!watch.stood_still(watch.base), "not stamped yet");
        assert_eq!(watch.stamp(Instant::now()), None);
        let before = Instant::now();
        pass(100).await;
        assert!(!watch.stood_still(before), "within the bound");
        pass(1).await;
        assert!(watch.stood_still(before), "still going on");
        assert_eq!(watch.stamp(Instant::now()), Some(Duration::from_millis(101)));
        assert!(watch.stood_still(before), "over, but remembered");
        assert!(!watch.stood_still(Instant::now()), "started after it");
    }
}
