//! An SLO with a whole history of it, of which every moment can be evaluated: what a backtest
//! ticks through, and what a report looks back on. One that is made of others has theirs.

use std::borrow::Cow;

use super::amend::Amendments;
use super::evaluate::composite::{Joint, Part, joins_slices};
use super::evaluate::{self, Histories, Moment, PairVerdict};
use super::forecast;
use super::revision::Revision;
use super::series::Series;
use super::slices::Slices;
use super::slices::union::{Sliced, Union};
use super::status::SloStatus;
use crate::model::catalog::UnknownPolicy;
use crate::model::{AlertPolicy, Slo, Timestamp, Weight};

/// The history of an SLO that counts by itself.
#[derive(Clone, Copy, Debug)]
pub struct Slots<'a> {
    /// What it promises.
    pub slo: &'a Slo,
    /// Its slots.
    pub slots: Histories<'a>,
    /// Which intervals were measured, where somebody else counts and a slot is not one event.
    pub intervals: Option<Histories<'a>>,
    /// What it promised when; nothing if it always promised what it does.
    pub revisions: &'a [Revision],
}

impl<'a> Slots<'a> {
    /// An SLO that always promised what it does.
    pub fn of(slo: &'a Slo, slots: Histories<'a>) -> Self {
        Slots { slo, slots, intervals: None, revisions: &[] }
    }
}

/// What was recorded of an SLO that counts by itself.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    series: Vec<Series>,
    intervals: Vec<Series>,
    of: Vec<usize>,
}

impl Recorded {
    /// The history of each probe, and, where somebody else counts, of which intervals were
    /// measured.
    pub fn new(series: Vec<Series>, intervals: Vec<Series>) -> Self {
        let of = (0..series.len().max(intervals.len())).collect();
        Recorded { series, intervals, of }
    }

    /// The same with these laid over it.
    pub fn over(&self, amendments: &Amendments) -> Self {
        let over = |series: &Vec<Series>| amendments.over(series.clone());
        Self::new(over(&self.series), over(&self.intervals))
    }

    /// Its slots.
    pub fn histories(&self) -> Histories<'_> {
        Histories { series: &self.series, of: &self.of[..self.series.len()] }
    }

    /// The same as the history of an SLO that always promised what it does.
    pub fn slots<'a>(&'a self, slo: &'a Slo) -> Slots<'a> {
        let intervals = (!self.intervals.is_empty())
            .then(|| Histories { series: &self.intervals, of: &self.of[..self.intervals.len()] });
        Slots { intervals, ..Slots::of(slo, self.histories()) }
    }
}

/// One that counts, with what it is judged by.
#[derive(Debug)]
struct Judged<'a> {
    of: Slots<'a>,
    slices: Option<Slices>,
}

impl<'a> Judged<'a> {
    fn new(of: Slots<'a>, known: Timestamp) -> Self {
        Judged { of, slices: Slices::of(of.slots, of.intervals, of.slo, known) }
    }

    fn histories(&self) -> Histories<'_> {
        self.slices.as_ref().map_or(self.of.slots, Slices::histories)
    }
}

/// An SLO with a whole history.
#[derive(Debug)]
pub struct Subject<'a> {
    slo: &'a Slo,
    /// Itself, or what it is made of.
    counting: Vec<Judged<'a>>,
    union: Option<Union>,
}

impl<'a> Subject<'a> {
    /// An SLO that counts by itself, of whose history everything due before `known` is there.
    pub fn one(of: Slots<'a>, known: Timestamp) -> Self {
        Subject { slo: of.slo, counting: vec![Judged::new(of, known)], union: None }
    }

    /// One that is made of others: these, in its order.
    pub fn several(slo: &'a Slo, parts: Vec<Slots<'a>>, known: Timestamp) -> Self {
        let counting: Vec<Judged<'a>> =
            parts.into_iter().map(|of| Judged::new(of, known)).collect();
        let union = joins_slices(slo.method).then(|| {
            let parts = counting.iter().map(|one| {
                let Slots { slo, revisions, .. } = one.of;
                Sliced { slices: one.histories(), slo, revisions }
            });
            Union::of(&parts.collect::<Vec<_>>(), slo, known)
        });
        Subject { slo, counting, union }
    }

    /// The SLO.
    pub fn slo(&self) -> &'a Slo {
        self.slo
    }

    /// What the n-th that counts is judged by; of time slices of several, those that are bad for
    /// no stricter one.
    pub fn judged(&self, n: usize) -> Histories<'_> {
        match &self.union {
            Some(union) => union.class(n),
            None => self.counting[n].histories(),
        }
    }

    /// Every history that it is judged by.
    pub fn events(&self) -> impl Iterator<Item = &Series> {
        self.counting.iter().flat_map(|one| one.histories().iter())
    }

    /// Whether what is unknown counts as bad in any of them.
    pub fn counts_unknown(&self) -> bool {
        self.counting.iter().any(|one| one.of.slo.unknown == UnknownPolicy::Bad)
    }

    fn moment(&self, n: usize, at: Timestamp) -> Moment<'_> {
        let of = &self.counting[n].of;
        let moment = Moment::new(self.judged(n), at).over_slots(of.slots).under(of.revisions);
        moment.measured_by(of.intervals)
    }

    /// What it is made of, at one moment.
    pub fn joint(&self, at: Timestamp) -> Joint<'_> {
        let parts = self.counting.iter().enumerate().map(|(n, one)| {
            let first = one.of.slots.iter().filter_map(Series::first).min();
            Part {
                slo: Cow::Borrowed(one.of.slo),
                weight: self.slo.parts.get(n).map_or(Weight::ONE, |part| part.weight),
                moment: self.moment(n, at),
                record: one.histories().record(),
                since: first.unwrap_or(at),
            }
        });
        let whole = self.union.as_ref().map(Union::whole);
        Joint { slo: self.slo, parts: parts.collect(), at, whole }
    }

    /// The status at any tick, with the pairs as they fire when judged at that tick alone.
    pub fn status_at(&self, at: Timestamp) -> SloStatus {
        if self.slo.is_composite() {
            let joint = self.joint(at);
            return joint.evaluate(joint.firing_pairs(&[]));
        }
        let moment = self.moment(0, at);
        let pairs = evaluate::firing_pairs(&moment, self.slo, &[]);
        evaluate::evaluate(&moment, self.slo, pairs)
    }

    /// The chance that the budget holds after this status of it; none without data, and for one
    /// that is made of others, whose outages may come together.
    pub fn survival(&self, status: &SloStatus) -> Option<f64> {
        let counts = !self.slo.is_composite();
        counts.then(|| forecast::survival(&self.moment(0, status.at), self.slo, status))?
    }

    /// Judges every pair of a policy at one tick.
    pub fn judge(&self, policy: &AlertPolicy, at: Timestamp, verdicts: &mut Vec<PairVerdict>) {
        verdicts.clear();
        if self.slo.is_composite() {
            let joint = self.joint(at);
            verdicts.extend(policy.pairs.iter().map(|pair| joint.judge_pair(pair, policy)));
            return;
        }
        let moment = self.moment(0, at);
        let judge = |pair| evaluate::judge_pair(&moment, self.slo, pair, policy);
        verdicts.extend(policy.pairs.iter().map(judge));
    }
}

#[cfg(test)]
mod tests;
