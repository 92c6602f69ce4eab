//! The families about sources: whoever counts in place of a probe.
//!
//! The names live here, the numbers come from the daemon.

use crate::engine::sampler::Failure;
use crate::model::Timestamp;

use super::exposition::{Exposition, Labels};

/// Series of each source.
pub const SERIES: usize = 4 + Failure::ALL.len();

/// What one source has counted about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceReading {
    /// The SLO that it counts for.
    pub slo: String,
    /// Questions asked, or deliveries taken, each time they came.
    pub requests: u64,
    /// Answers that do not count, in the order of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// The last moment of which an answer counted.
    pub success_at: Option<Timestamp>,
    /// Slots that were counted.
    pub counted: u64,
    /// Slots that were not.
    pub unknown: u64,
}

/// Writes the source group.
pub fn write_sources(out: &mut Exposition, readings: &[SourceReading]) {
    let format = out.format();
    let labels: Vec<Labels> =
        readings.iter().map(|reading| Labels::of(format, &[("slo", &reading.slo)])).collect();
    let all = || labels.iter().zip(readings);
    let help = "Questions asked of those who count in place of probes, and results they sent.";
    let mut family = out.counter("nines_source_requests_total", help);
    for (labels, reading) in all() {
        family.sample(labels, reading.requests);
    }
    let help = "Answers of sources that do not count, by reason.";
    let mut family = out.counter("nines_source_failures_total", help);
    for (labels, reading) in all() {
        for (failure, n) in Failure::ALL.iter().zip(reading.failures) {
            family.sample_with(labels, &Labels::of(format, &[("reason", failure.word())]), n);
        }
    }
    let help = "The last moment of which an answer of the source counted.";
    let mut family = out.gauge("nines_source_last_success_timestamp_seconds", help);
    for (labels, reading) in all() {
        if let Some(at) = reading.success_at {
            family.sample(labels, at.as_secs_f64());
        }
    }
    let help = "Intervals of sources that were counted.";
    let mut family = out.counter("nines_source_intervals_counted_total", help);
    for (labels, reading) in all() {
        family.sample(labels, reading.counted);
    }
    let help = "Intervals of sources that could not be counted; they are unknown.";
    let mut family = out.counter("nines_source_intervals_unknown_total", help);
    for (labels, reading) in all() {
        family.sample(labels, reading.unknown);
    }
}
