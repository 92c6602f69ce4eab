//! Slots that no slice has replaced, from when they are read until all of them have been.
//!
//! They come in the order in which they were kept, which may not be that in which they were due.
//! So they wait, in one list for all series: it is gone for good once they are taken in, where a
//! list of each series would leave holes all over what memory this process has.

use std::time::Duration;

use crate::engine::roll::Roll;
use crate::model::{Run, SeriesId, Timestamp, Verdict};

/// What waits, and of which series it is.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<(SeriesId, Slots)>);

/// What was kept of one slot, or of several in a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slots {
    /// The result of a slot: when it was due, the verdict and the latency.
    Observed(Timestamp, Verdict, Option<Duration>),
    /// Slots that nobody observed.
    Missed(Run),
}

impl Waiting {
    /// Adds slots of a series.
    pub fn push(&mut self, series: SeriesId, slots: Slots) {
        self.0.push((series, slots));
    }

    /// Everything, series by series, and of each series in the order in which it came.
    pub fn by_series(self) -> impl Iterator<Item = (SeriesId, Slots)> {
        let places = self.0.iter().enumerate();
        let mut order: Vec<(SeriesId, usize)> =
            places.map(|(at, (series, _))| (*series, at)).collect();
        order.sort_unstable();
        order.into_iter().map(move |(_, at)| self.0[at])
    }
}

impl Slots {
    /// Hands these back to the roll of their series.
    pub fn restore(self, roll: &mut Roll) {
        match self {
            Slots::Observed(due, verdict, latency) => roll.restore_slot(due, verdict, latency),
            Slots::Missed(run) => roll.restore_gap(run),
        }
    }
}
