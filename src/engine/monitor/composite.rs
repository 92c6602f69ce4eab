//! SLOs that are made of others: they have no history of their own, and are evaluated from those
//! of their parts once these have been.

use super::Engine;
use crate::engine::amend::Amended;
use crate::engine::evaluate::composite::{Joint, Part, joins_slices};
use crate::engine::evaluate::{self, Histories, Moment};
use crate::engine::series::Series;
use crate::engine::slices::union::{Sliced, Union};
use crate::engine::state::SloState;
use crate::engine::status::SloStatus;
use crate::engine::steady::Steady;
use crate::model::{Slo, Tally, Timestamp};

impl Engine {
    /// The SLOs that this one is made of, in its order; none for one that counts by itself.
    pub fn parts<'a>(&'a self, state: &'a SloState) -> impl Iterator<Item = &'a SloState> {
        let position = |part: &crate::model::Part| self.slo_of.get(&part.slo).copied();
        state.slo.parts.iter().filter_map(position).map(|at| &self.slos[at])
    }

    /// Its parts, or itself.
    fn counting<'a>(&'a self, state: &'a SloState) -> impl Iterator<Item = &'a SloState> {
        let itself = (!state.slo.is_composite()).then_some(state);
        itself.into_iter().chain(self.parts(state))
    }

    /// Up to when all of its slots are known; none while that cannot be told of some.
    pub(super) fn known(&self, state: &SloState) -> Option<Timestamp> {
        let lines = self.counting(state).flat_map(|one| &one.account.lines);
        lines.map(|line| self.lines[*line].roll.next_due()).min().flatten()
    }

    /// When the first slot of it was due; none before any.
    pub fn first(&self, state: &SloState) -> Option<Timestamp> {
        let first = |one| self.histories(one).iter().filter_map(Series::first).min();
        self.counting(state).filter_map(first).min()
    }

    /// Whether memory no longer reaches back to this moment.
    pub(super) fn forgets(&self, state: &SloState, from: Timestamp) -> bool {
        let forgotten = |one| self.histories(one).iter().filter_map(Series::forgotten).max();
        self.counting(state).filter_map(forgotten).any(|forgotten| from <= forgotten)
    }

    /// Takes in slices that end at `known` or before.
    pub(super) fn extend_slices(&mut self, slo: usize, known: Timestamp) {
        if self.slos[slo].slo.is_composite() {
            self.extend_union(slo, known);
            return;
        }
        let state = &mut self.slos[slo];
        if let Some(slices) = &mut state.slices {
            let slots = Histories { series: &self.series, of: &state.account.indicators };
            let slots = state.amended.as_ref().map_or(slots, Amended::histories);
            let of = &state.account.intervals;
            let intervals = Histories { series: &self.series, of };
            let intervals = state.amended_intervals.as_ref().map_or(intervals, Amended::histories);
            let intervals = (!of.is_empty()).then_some(intervals);
            slices.extend(slots, intervals, &state.slo, known);
        }
    }

    fn extend_union(&mut self, slo: usize, known: Timestamp) {
        let mut union = self.slos[slo].union.take();
        let state = &self.slos[slo];
        if joins_slices(state.slo.method) {
            let sliced = |part| Sliced {
                slices: self.judged(part),
                slo: &part.slo,
                revisions: part.revisions(),
            };
            let parts: Vec<Sliced<'_>> = self.parts(state).map(sliced).collect();
            union.get_or_insert_default().extend(&parts, &state.slo, known);
        }
        self.slos[slo].union = union;
    }

    /// Takes slices of parts together anew, after they have changed or count in another way; what
    /// counters said they go on from.
    pub(super) fn take_together(&mut self) {
        for slo in 0..self.slos.len() {
            let state = &self.slos[slo];
            let Some(at) = state.status.as_ref().map(|status| status.at) else { continue };
            let so_far = |state: &SloState| {
                state.union.as_ref().map_or(Tally::ZERO, |union| union.whole().before(at))
            };
            if state.union.is_none() {
                continue;
            }
            let before = so_far(state);
            self.slos[slo].union = None;
            self.extend_union(slo, at);
            let after = so_far(&self.slos[slo]);
            self.slos[slo].shift.go_on(before, after);
        }
    }

    fn joint<'a>(&'a self, state: &'a SloState, declared: &'a Slo, at: Timestamp) -> Joint<'a> {
        let union = state.union.as_ref();
        let part = |(n, (one, part)): (usize, (&'a SloState, &'a crate::model::Part))| {
            let (slots, judged) = (self.histories(one), self.judged(one));
            let weighed = union.map_or(judged, |union| union.class(n));
            let moment = Moment::of_slo(weighed, declared, at).over_slots(slots);
            let moment = moment.under(one.revisions()).measured_by(self.intervals(one));
            let epoch = one.epoch();
            let first = slots.iter().filter_map(Series::first).min();
            Part {
                slo: one.slo_at(at),
                weight: part.weight,
                record: epoch.record(judged),
                since: epoch.from.max(first.unwrap_or(at)),
                moment,
            }
        };
        let parts = self.parts(state).zip(&state.slo.parts).enumerate().map(part).collect();
        Joint { slo: declared, parts, at, whole: union.map(Union::whole) }
    }

    /// Whether each pair fires at a tick, given whether it did at the one before.
    pub(super) fn firing_pairs(
        &self,
        state: &SloState,
        before: &[bool],
        at: Timestamp,
    ) -> Vec<bool> {
        let declared = state.slo_at(at);
        if state.slo.is_composite() {
            return self.joint(state, &declared, at).firing_pairs(before);
        }
        let moment = Moment::new(self.judged(state), at).under(state.revisions());
        let moment = moment.measured_by(self.intervals(state));
        evaluate::firing_pairs(&moment, &declared, before)
    }

    /// The status of a composite at a tick, given which pairs fired at the one before, and whether
    /// its budget is exhausted. It is looked at anew at every tick.
    pub(super) fn evaluated_composite(
        &self,
        state: &SloState,
        before: &[bool],
        at: Timestamp,
    ) -> (SloStatus, bool, Steady) {
        let joint = self.joint(state, &state.slo, at);
        let status = joint.evaluate(joint.firing_pairs(before));
        (self.marked(state, status), joint.is_exhausted(), Steady::default())
    }

    /// The status of a composite at any moment.
    pub(super) fn composite_at(&self, state: &SloState, at: Timestamp) -> SloStatus {
        let joint = self.joint(state, &state.slo, at);
        self.marked(state, joint.evaluate(joint.firing_pairs(&[])))
    }

    /// What a part is corrected by corrects the whole.
    fn marked(&self, state: &SloState, status: SloStatus) -> SloStatus {
        let is_corrected = |part: &SloState| part.amendments.mark(status.clone()).corrected;
        let corrected = self.parts(state).any(is_corrected);
        SloStatus { corrected, ..status }
    }

    /// What all parts counted, for counters, which never fall.
    pub(super) fn counted_together(&self, state: &SloState) -> Tally {
        match (&state.union, &state.status) {
            (Some(union), Some(status)) => state.shift.of(union.whole().before(status.at)),
            _ => self.parts(state).map(|part| self.counted(part)).sum(),
        }
    }
}

#[cfg(test)]
mod tests;
