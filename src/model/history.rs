//! History as it is kept: runs of equal slots, and closed slices of a series.
//!
//! A probe's schedule is known, so a run of equal verdicts says all there is to say about its
//! slots; healthy time costs nothing.

use std::time::Duration;

use super::latency::Latencies;
use super::observation::Observation;
use super::outcome::Verdict;
use super::time::Timestamp;

/// A probe seen from a vantage, numbered by the ledger; the number is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);

/// Consecutive slots of one series with the same verdict and latency class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// When the first slot was due.
    pub start: Timestamp,
    /// From one slot to the next; positive.
    pub step: Duration,
    /// How many slots, at least one.
    pub n: u32,
    /// What they all were.
    pub verdict: Verdict,
    /// How many of the latency thresholds in force the answers exceeded: 0 is within all of
    /// them. The thresholds stand beside the runs, ascending.
    pub class: u8,
}

impl Run {
    /// When the slot after the last one is due.
    pub fn end(&self) -> Timestamp {
        self.start.plus(self.step.saturating_mul(self.n))
    }

    /// Whether a slot that is due at `due` with this verdict and class continues the run.
    pub fn continues_at(
        &self,
        due: Timestamp,
        step: Duration,
        verdict: Verdict,
        class: u8,
    ) -> bool {
        self.verdict == verdict
            && self.class == class
            && self.step == step
            && self.end() == due
            && self.n < u32::MAX
    }
}

/// A closed slice of one series: everything that is kept about it once it is past.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Whose history.
    pub series: SeriesId,
    /// Where the slice begins; slots due from here on belong to it.
    pub start: Timestamp,
    /// Where the slice ends; slots due from here on do not belong to it.
    pub end: Timestamp,
    /// The latency thresholds that `Run::class` counts, in microseconds, ascending.
    pub thresholds: Vec<u32>,
    /// Every slot of the slice, in time order, without overlap.
    pub runs: Vec<Run>,
    /// Latencies of every slot that has one.
    pub latencies: Latencies,
}

/// One thing to be kept for good.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The result of one slot.
    Observation(Observation),
    /// Slots that were accounted for without an observation: the monitor's own gaps.
    Gap(SeriesId, Run),
    /// A closed slice; it replaces the observations and gaps that are due within it.
    Slice(Slice),
    /// A small named state that replaces the one of the same name: open alerts and the like.
    State {
        /// Its name.
        name: String,
        /// Its content, JSON.
        json: String,
    },
}
