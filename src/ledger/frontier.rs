//! Up to where each series is covered by slices, and what batches hold beyond that.
//!
//! It answers one question: which batches hold nothing that no slice has replaced? It errs
//! toward keeping a batch.

use std::collections::BTreeMap;

use crate::model::{SeriesId, Timestamp};

/// One entry per series that was ever heard of.
#[derive(Debug, Default)]
pub(super) struct Frontier {
    lanes: BySeries<Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    /// The last contiguous stretch of slices: `[from, to)`.
    covered: Option<(i64, i64)>,
    /// Nothing that is due before this is in a batch only.
    open: Option<i64>,
    /// The latest due in any batch.
    newest: i64,
}

impl Frontier {
    /// Notes that a batch holds records of the series, due from `first` to `last`.
    pub fn note_records(&mut self, series: u32, first: i64, last: i64) {
        let lane = self.lanes.of(series);
        let (from, to) = lane.covered.unwrap_or((i64::MAX, i64::MIN));
        if first >= from && last < to {
            return;
        }
        let open = if first >= from && first < to { to } else { first };
        lane.newest = lane.open.map_or(last, |_| lane.newest.max(last));
        lane.open = Some(lane.open.map_or(open, |known| known.min(open)));
    }

    /// Notes a slice of the series over `[from, to)`.
    pub fn note_slice(&mut self, series: u32, from: i64, to: i64) {
        let lane = self.lanes.of(series);
        lane.covered = match lane.covered {
            Some((a, b)) if from <= b && to >= a => Some((a.min(from), b.max(to))),
            Some((a, b)) if to < a => Some((a, b)),
            _ => Some((from, to)),
        };
        if let (Some(open), Some((from, to))) = (lane.open, lane.covered)
            && open >= from
            && open < to
        {
            lane.open = (lane.newest >= to).then_some(to);
        }
    }

    /// The series with the earliest record that may be in a batch only, and when that is due.
    pub fn earliest_open(&self) -> Option<(SeriesId, Timestamp)> {
        let open = self.lanes.iter().filter_map(|(series, lane)| Some((lane.open?, series)));
        open.min().map(|(due, series)| (SeriesId(series), Timestamp::from_micros(due)))
    }

    /// Forgets what was due before a moment: it has been given up on purpose.
    pub fn give_up(&mut self, before: i64) {
        for lane in self.lanes.all_mut() {
            if lane.open.is_some_and(|open| open < before) {
                lane.open = (lane.newest >= before).then_some(before);
            }
        }
    }
}

/// Series below this are found by position: the ledger numbers them without holes, and a
/// restart looks one up for every observation of the last hour.
const DENSE: u32 = 1 << 20;

/// A value per series.
#[derive(Debug, Default)]
pub(super) struct BySeries<T> {
    dense: Vec<T>,
    sparse: BTreeMap<u32, T>,
}

impl<T: Default> BySeries<T> {
    pub fn of(&mut self, series: u32) -> &mut T {
        if series >= DENSE {
            return self.sparse.entry(series).or_default();
        }
        let at = series as usize;
        if at >= self.dense.len() {
            self.dense.resize_with(at + 1, T::default);
        }
        &mut self.dense[at]
    }

    fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let dense = self.dense.iter().enumerate().map(|(at, value)| (at as u32, value));
        dense.chain(self.sparse.iter().map(|(series, value)| (*series, value)))
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.dense.iter_mut().chain(self.sparse.values_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(frontier: &Frontier) -> Option<i64> {
        frontier.earliest_open().map(|(_, at)| at.micros())
    }

    #[test]
    fn records_are_open_until_a_slice_covers_them() {
        let mut frontier = Frontier::default();
        frontier.note_records(1, 10, 95);
        frontier.note_records(2, 20, 30);
        assert_eq!(open(&frontier), Some(10));
        frontier.note_slice(1, 0, 50);
        assert_eq!(open(&frontier), Some(20));
        frontier.note_slice(2, 0, 50);
        assert_eq!(open(&frontier), Some(50), "series 1 goes on to 95");
        frontier.note_slice(1, 50, 100);
        assert_eq!(open(&frontier), None);
        frontier.note_records(1, 60, 60);
        assert_eq!(open(&frontier), None, "a late record within a slice is replaced already");
    }

    #[test]
    fn a_hole_between_slices_keeps_its_records() {
        let mut frontier = Frontier::default();
        let far = u32::MAX;
        frontier.note_records(far, 10, 95);
        frontier.note_slice(far, 50, 100);
        assert_eq!(open(&frontier), Some(10));
        frontier.give_up(60);
        assert_eq!(open(&frontier), Some(60));
    }
}
