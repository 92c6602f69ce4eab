//! What the writer tells about itself, for metrics and readiness.

use std::time::Duration;

use crate::model::Timestamp;

/// Upper bounds of the duration buckets, in microseconds; the last bucket has none.
pub const BOUNDS_MICROS: [u64; 12] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// How long one transaction took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Until everything was handed to SQLite.
    pub write: Duration,
    /// Committing: writing the log and waiting until the disk has it.
    pub sync: Duration,
}

/// How long things took, in buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many took as long as the bucket says and longer than the one before it says.
    pub counts: [u64; BOUNDS_MICROS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Durations {
    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        let at = BOUNDS_MICROS.partition_point(|bound| u128::from(*bound) < duration.as_micros());
        self.counts[at] += 1;
        self.sum += duration;
    }

    /// How many there were.
    pub fn n(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The state of the writer at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Time to write a group commit, without its sync.
    pub append: Durations,
    /// Time until the disk has a group commit.
    pub sync: Durations,
    /// Group commits that are durable.
    pub commits: u64,
    /// Group commits that failed; each is tried again.
    pub failed_commits: u64,
    /// Records in group commits that are durable.
    pub durable_records: u64,
    /// Bytes that the ledger takes on disk.
    pub bytes_on_disk: u64,
    /// Records handed over and not yet looked at; at most twice [`super::MAX_QUEUED`].
    pub queued_records: u64,
    /// Encoded bytes that wait for the disk; at most twice [`super::MAX_BACKLOG_BYTES`].
    pub backlog_bytes: u64,
    /// Good observations let go because the queue or the backlog was full. While this process
    /// lives, the slice of their time still counts them.
    pub shed_successes: u64,
    /// Anything else let go for the same reason, once there was no success left to let go.
    pub lost_records: u64,
    /// Upkeep refused because too much of it was waiting.
    pub refused_upkeep: u64,
    /// When everything handed over until then was last known to be durable.
    pub last_durable: Option<Timestamp>,
    /// What keeps records from becoming durable at present.
    pub failing: Option<String>,
    /// A series whose records no slice replaces, since when: its batches cannot be let go.
    pub held_back: Option<(crate::model::SeriesId, Timestamp)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_the_first_bucket_that_holds_it() {
        let mut durations = Durations::default();
        for micros in [0, 1_000, 1_001, 10_000_000, 10_000_001] {
            durations.record(Duration::from_micros(micros));
        }
        assert_eq!((durations.counts[0], durations.counts[1]), (2, 1));
        assert_eq!((durations.counts[11], durations.counts[12]), (1, 1));
        assert_eq!((durations.n(), durations.sum.as_micros()), (5, 20_002_002));
    }
}
