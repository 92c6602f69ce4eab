//! The time slices of several SLOs as those of one: a slice that is bad for any of them is bad
//! once, and belongs to the strictest of those for which it is.
//!
//! For each part there is a history in which the slices that a stricter part has are good, so
//! that what all parts spend adds up without counting a slice twice; and what was not measured
//! of one part is unknown in its history alone. Derived from the slices of the parts and from
//! nothing else.

use std::time::Duration;

use super::{end_of, first_slice};
use crate::engine::evaluate::Histories;
use crate::engine::revision::Revision;
use crate::engine::series::Series;
use crate::model::catalog::UnknownPolicy;
use crate::model::{Objective, Outcome, Slo, Tally, Timestamp};

/// One of the SLOs, with its slices.
#[derive(Clone, Copy, Debug)]
pub struct Sliced<'a> {
    /// Its slices.
    pub slices: Histories<'a>,
    /// What it promises.
    pub slo: &'a Slo,
    /// What it promised when; nothing if it always promised what it does.
    pub revisions: &'a [Revision],
}

impl Sliced<'_> {
    /// What the slice `[start, end)` counts as; none if there was nothing of it yet.
    fn outcome(&self, start: Timestamp, end: Timestamp) -> Option<Outcome> {
        let tally = self.slices.before(end) - self.slices.before(start);
        let unknown = match self.slo.unknown {
            UnknownPolicy::Exclude => Outcome::Unknown,
            UnknownPolicy::Bad => Outcome::Bad,
            UnknownPolicy::Good => Outcome::Good,
        };
        match tally {
            Tally { bad: 1.., .. } => Some(Outcome::Bad),
            Tally { unknown: 1.., .. } => Some(unknown),
            Tally { good: 1.., .. } => Some(Outcome::Good),
            Tally { excluded: 1.., .. } => Some(Outcome::Excluded),
            _ => None,
        }
    }

    fn objective(&self, at: Timestamp) -> Objective {
        let in_force = self.revisions.iter().rev().find(|revision| revision.from <= at);
        in_force.map_or(self.slo.objective, |revision| revision.objective)
    }
}

/// The slices of several SLOs as those of one.
#[derive(Clone, Debug, Default)]
pub struct Union {
    /// One for each part, and that of all last.
    series: Vec<Series>,
    /// Where the next slice begins; none before the first.
    next: Option<Timestamp>,
}

impl Union {
    /// Every slice of these parts that ends at `known` or before.
    pub fn of(parts: &[Sliced<'_>], slo: &Slo, known: Timestamp) -> Self {
        let mut union = Union::default();
        union.extend(parts, slo, known);
        union
    }

    /// Takes in every further slice that ends at `known` or before. All slices of the parts up to
    /// there must be there.
    pub fn extend(&mut self, parts: &[Sliced<'_>], slo: &Slo, known: Timestamp) {
        let Some(length) = slo.method.slice() else { return };
        let all = || parts.iter().flat_map(|part| part.slices.iter());
        let first = all().filter_map(Series::first).min();
        let Some(mut start) = self.next.or(first.map(|at| first_slice(slo, length, at))) else {
            return;
        };
        self.series.resize_with(parts.len() + 1, Series::default);
        loop {
            let end = end_of(slo, length, start);
            if end > known {
                break;
            }
            let outcomes: Vec<Option<Outcome>> =
                parts.iter().map(|part| part.outcome(start, end)).collect();
            let more = match end.since(start) == length {
                true => alike(all(), slo, (start, length), known),
                false => 0,
            };
            self.push(&outcomes, parts, (start, end), 1 + more);
            start = end.plus(length * more);
        }
        self.next = Some(start);
    }

    fn push(
        &mut self,
        outcomes: &[Option<Outcome>],
        parts: &[Sliced<'_>],
        (start, end): (Timestamp, Timestamp),
        n: u32,
    ) {
        let last = end.just_before();
        let bad = |n: &usize| outcomes[*n] == Some(Outcome::Bad);
        // Of equally strict ones the first.
        let takes = (0..parts.len()).filter(bad).rev().max_by_key(|n| parts[*n].objective(last));
        let own = |(n, outcome): (usize, &Option<Outcome>)| match outcome {
            Some(Outcome::Bad) if takes != Some(n) => Some(Outcome::Good),
            other => *other,
        };
        let own = outcomes.iter().enumerate().map(own);
        for (series, outcome) in self.series.iter_mut().zip(own.chain([together(outcomes)])) {
            if let Some(outcome) = outcome {
                series.push(last, end.since(start), n, Tally::of(outcome, 1));
            }
        }
    }

    /// The slices of one part that are bad for no stricter part.
    pub fn class(&self, n: usize) -> Histories<'_> {
        Histories { series: self.series.get(n..=n).unwrap_or_default(), of: self.one(n) }
    }

    /// The slices of all as one.
    pub fn whole(&self) -> Histories<'_> {
        self.class(self.series.len().saturating_sub(1))
    }

    fn one(&self, n: usize) -> &'static [usize] {
        if n < self.series.len() { &[0] } else { &[] }
    }

    /// Drops slices before `at` from memory; totals stay.
    pub fn forget_before(&mut self, at: Timestamp) {
        self.series.iter_mut().for_each(|series| series.forget_before(at));
    }
}

/// Bad if any is, and good if all are that count; not known while one of them is not.
fn together(outcomes: &[Option<Outcome>]) -> Option<Outcome> {
    let any = |outcome: Outcome| outcomes.contains(&Some(outcome));
    if outcomes.iter().all(Option::is_none) {
        return None;
    }
    Some(match () {
        () if any(Outcome::Bad) => Outcome::Bad,
        () if any(Outcome::Unknown) || outcomes.contains(&None) => Outcome::Unknown,
        () if any(Outcome::Good) => Outcome::Good,
        () => Outcome::Excluded,
    })
}

/// How many slices after the one that begins at `start` hold exactly as much.
fn alike<'a>(
    mut all: impl Iterator<Item = &'a Series>,
    slo: &Slo,
    (start, length): (Timestamp, Duration),
    known: Timestamp,
) -> u32 {
    let first = all.next().and_then(|series| series.uniform_until(start, length));
    let until = all.try_fold(first, |least, series| {
        let until = series.uniform_until(start, length)?;
        Some(least.map(|least: Timestamp| least.min(until)))
    });
    let mut until = until.flatten().unwrap_or(start).min(known);
    if let Some(calendar) = slo.window.calendar() {
        until = until.min(calendar.period(start).end);
    }
    let whole = until.since(start.plus(length)).as_micros() / length.as_micros().max(1);
    u32::try_from(whole).unwrap_or(u32::MAX - 1)
}
