//! The only reader of time.
//!
//! A running daemon lives on one timeline: the wall time at its start plus the monotonic time
//! since. A step of the wall clock therefore neither creates nor deletes time; how far the two
//! have come apart is told by [`Clock::wall_offset_micros`]. In tests tokio's paused time drives
//! it.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::model::Timestamp;

/// A timeline that never steps.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Timestamp,
    start: Instant,
}

impl Clock {
    /// A timeline that starts at the present wall time.
    pub fn start() -> Self {
        Clock { epoch: wall_now(), start: Instant::now() }
    }

    /// A timeline that starts at `epoch`, whatever the wall clock says; for tests and replays.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Clock { epoch, start: Instant::now() }
    }

    /// The present moment of this timeline.
    pub fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// The moment of this timeline that belongs to a monotonic instant.
    pub fn at(&self, instant: Instant) -> Timestamp {
        match instant.checked_duration_since(self.start) {
            Some(after) => self.epoch.plus(after),
            None => self.epoch.minus(self.start.duration_since(instant)),
        }
    }

    /// The monotonic instant that belongs to a moment of this timeline; the start of the
    /// timeline for moments before it.
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.start + at.since(self.epoch)
    }

    /// How far the wall clock is ahead of this timeline, in microseconds; negative when behind.
    pub fn wall_offset_micros(&self) -> i64 {
        wall_now().micros().saturating_sub(self.now().micros())
    }
}

/// The wall clock, read once.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall_now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_micros(crate::model::time::micros(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn thirty_days_pass_in_an_instant() {
        let clock = Clock::starting_at(Timestamp::from_secs(1_000));
        let month = Duration::from_secs(30 * 86_400);
        tokio::time::advance(month).await;
        assert_eq!(clock.now(), Timestamp::from_secs(1_000).plus(month));
        assert_eq!(clock.at(clock.instant(clock.now())), clock.now());
    }
}
