//! Slices of time as events: for SLOs that count good minutes, or the mean of their ratios.
//!
//! Each slice becomes one event of a history of its own, due at its last moment, so that windows,
//! burn rates, forecasts and alerts are the same differences as for single slots. A slice counts
//! once everything in it is known. Derived from the histories of slots and from nothing else, so
//! a restart or a replay comes to the same slices.

pub mod union;

use std::time::Duration;

use crate::model::budget::Counted;
use crate::model::catalog::{Method, UnknownPolicy};
use crate::model::decimal::cmp_products;
use crate::model::objective::PPB;
use crate::model::{Outcome, Share, Slo, Tally, Timestamp};

use super::evaluate::Histories;
use super::series::Series;

/// The history of one SLO in slices.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    series: Series,
    /// Where the next slice begins; none before the first slot.
    next: Option<Timestamp>,
}

impl Slices {
    /// Every slice of these histories that ends at `known` or before; none for an SLO that
    /// counts single slots. `measured` is as in [`Slices::extend`].
    pub fn of(
        slots: Histories<'_>,
        measured: Option<Histories<'_>>,
        slo: &Slo,
        known: Timestamp,
    ) -> Option<Self> {
        slo.method.slice()?;
        let mut slices = Slices::default();
        slices.extend(slots, measured, slo, known);
        Some(slices)
    }

    /// Takes in every further slice that ends at `known` or before. All slots due before `known`
    /// must be in the histories. `measured` tells which intervals were measured if a slot is not
    /// one event: a slice of which less than half was measured is unknown then, whatever was
    /// counted in the rest.
    pub fn extend(
        &mut self,
        slots: Histories<'_>,
        measured: Option<Histories<'_>>,
        slo: &Slo,
        known: Timestamp,
    ) {
        let Some(length) = slo.method.slice() else { return };
        let first = slots.iter().filter_map(Series::first).min();
        let Some(mut start) = self.next.or(first.map(|at| first_slice(slo, length, at))) else {
            return;
        };
        let mut before = slots.before(start);
        loop {
            let end = end_of(slo, length, start);
            if end > known {
                break;
            }
            let mut tally = slots.before(end) - before;
            if let Some(measured) = measured {
                tally = weighed(tally, measured.before(end) - measured.before(start));
            }
            let more = self.alike((slots, measured), slo, (start, end), known);
            self.push((start, end), 1 + more, judge(slo.method, tally, slo.unknown));
            start = end.plus(length * more);
            before = slots.before(start);
        }
        self.next = Some(start);
    }

    /// How many slices after this one hold exactly as much, as uniform histories do. What is
    /// nearly always so costs the same for a year as for a minute.
    fn alike(
        &self,
        (slots, measured): (Histories<'_>, Option<Histories<'_>>),
        slo: &Slo,
        (start, end): (Timestamp, Timestamp),
        known: Timestamp,
    ) -> u32 {
        let length = end.since(start);
        if Some(length) != slo.method.slice() {
            return 0;
        }
        let all = slots.iter().chain(measured.iter().flat_map(Histories::iter));
        let uniform = all.map(|series| series.uniform_until(start, length)).min();
        let mut until = uniform.flatten().unwrap_or(start).min(known);
        if let Some(calendar) = slo.window.calendar() {
            until = until.min(calendar.period(start).end);
        }
        let whole = until.since(end).as_micros() / length.as_micros().max(1);
        u32::try_from(whole).unwrap_or(u32::MAX - 1)
    }

    fn push(&mut self, (start, end): (Timestamp, Timestamp), n: u32, each: Tally) {
        if !each.is_empty() {
            let last = end.just_before();
            self.series.push(last, end.since(start), n, each);
        }
    }

    /// The slices as histories that can be judged.
    pub fn histories(&self) -> Histories<'_> {
        Histories { series: std::slice::from_ref(&self.series), of: &[0] }
    }

    /// Drops slices before `at` from memory; totals stay.
    pub fn forget_before(&mut self, at: Timestamp) {
        self.series.forget_before(at);
    }
}

/// How many slices, in parts, end after `at` and within the period that ends at `end`; `start`
/// is where the period begins.
pub fn still_due(method: Method, (start, end): (Timestamp, Timestamp), at: Timestamp) -> u64 {
    let Some(length) = method.slice() else { return 0 };
    let length = length.as_micros().max(1);
    let passed = at.since(start).as_micros() / length * length;
    let rest = end.since(start).as_micros().saturating_sub(passed).div_ceil(length);
    u64::try_from(rest).unwrap_or(u64::MAX).saturating_mul(method.parts())
}

/// Where the slice begins that holds this moment: on the grid of the epoch, or of the period.
fn first_slice(slo: &Slo, length: Duration, at: Timestamp) -> Timestamp {
    match slo.window.calendar() {
        None => at.floor(length),
        Some(calendar) => {
            let start = calendar.period(at).start;
            start.plus(at.since(start) - remainder(at.since(start), length))
        }
    }
}

fn remainder(of: Duration, by: Duration) -> Duration {
    let rest = of.as_micros() % by.as_micros().max(1);
    Duration::from_micros(u64::try_from(rest).unwrap_or(0))
}

/// Where a slice ends: after its length, or with the period that it lies in.
fn end_of(slo: &Slo, length: Duration, start: Timestamp) -> Timestamp {
    let end = start.plus(length);
    slo.window.calendar().map_or(end, |calendar| end.min(calendar.period(start).end))
}

/// What was counted in a slice, of whose intervals so many were measured.
fn weighed(counted: Tally, intervals: Tally) -> Tally {
    match intervals.known().saturating_mul(2) >= intervals.expected() {
        true => Tally { unknown: 0, ..counted },
        false => Tally::of(Outcome::Unknown, 1),
    }
}

/// What a slice counts as, by the tally of its slots.
pub fn judge(method: Method, tally: Tally, unknown: UnknownPolicy) -> Tally {
    let parts = method.parts();
    let counted = Counted::of(tally, unknown);
    if tally.is_empty() {
        return Tally::ZERO;
    }
    if tally.expected() == 0 {
        return Tally::of(Outcome::Excluded, parts);
    }
    if counted.total() == 0 {
        return Tally::of(Outcome::Unknown, parts);
    }
    match method {
        Method::Occurrences => tally,
        Method::Timeslices { objective, .. } => {
            Tally::of(verdict(objective, tally, counted), parts)
        }
        Method::RatioTimeslices { .. } => {
            // Cut toward worse where the parts do not divide evenly.
            let (bad, total) = (u128::from(counted.bad), u128::from(counted.total()));
            let bad = (bad * u128::from(parts)).div_ceil(total);
            let bad = u64::try_from(bad).unwrap_or(parts).min(parts);
            Tally { good: parts - bad, bad, ..Tally::ZERO }
        }
    }
}

/// Good or bad by the slots that count, if those are half of all or leave no doubt whatever the
/// others were; else unknown.
fn verdict(objective: Share, tally: Tally, counted: Counted) -> Outcome {
    let reaches = |good: u64, total: u64| {
        cmp_products(good.into(), PPB.into(), objective.ppb().into(), total.into()).is_ge()
    };
    let all = tally.expected();
    let settled_bad = !reaches(all - counted.bad, all);
    let settled_good = reaches(counted.good, all);
    let enough = counted.total().saturating_mul(2) >= all;
    match reaches(counted.good, counted.total()) {
        true if enough || settled_good => Outcome::Good,
        false if enough || settled_bad => Outcome::Bad,
        _ => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests;
