//! Laying Maintenance and Corrections over history, live.
//!
//! What it keeps true: measured history is as it was, so taking an amendment away gives the former
//! numbers back; and what counters said once they never take back.

use serde::{Deserialize, Serialize};

use super::{Effect, Engine};
use crate::engine::alert::{Alert, AlertKind};
use crate::engine::amend::{Amendments, Ongoing};
use crate::engine::book::{Book, Touch};
use crate::engine::evaluate::Histories;
use crate::engine::series::Series;
use crate::engine::slices::Slices;
use crate::engine::state::SloState;
use crate::engine::steady::Steady;
use crate::model::maintenance::Effect as OnSlots;
use crate::model::{Catalog, Name, Record, Severity, SloId, Tally, Timestamp};

/// The name under which it is kept how far counters are from what was measured.
const COUNTED: &str = "counted";

/// How far the counters of an SLO are from what was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Shift {
    good: i64,
    bad: i64,
    unknown: i64,
    excluded: i64,
}

/// SLOs, up to when slots are counted, in microseconds since the epoch, and how far off.
pub(super) type KeptShifts = Vec<(String, i64, Shift)>;

impl Shift {
    /// Counters go on as slots count, and not as they were measured.
    pub(super) fn go_on(&mut self, counted: Tally, measured: Tally) {
        let apart = |counted: u64, measured: u64| counted as i64 - measured as i64;
        self.good += apart(counted.good, measured.good);
        self.bad += apart(counted.bad, measured.bad);
        self.unknown += apart(counted.unknown, measured.unknown);
        self.excluded += apart(counted.excluded, measured.excluded);
    }

    pub(super) fn of(self, measured: Tally) -> Tally {
        Tally {
            good: measured.good.saturating_add_signed(self.good),
            bad: measured.bad.saturating_add_signed(self.bad),
            unknown: measured.unknown.saturating_add_signed(self.unknown),
            excluded: measured.excluded.saturating_add_signed(self.excluded),
        }
    }
}

impl Engine {
    /// Every Maintenance and every Correction.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Why this engine cannot go on with these specs; nothing if it can.
    pub fn objections(&self, catalog: &Catalog) -> Vec<String> {
        self.book.objections(catalog)
    }

    /// Everything that touched an SLO in `[from, to)`, with what was measured in that stretch as
    /// far as memory covers it; nothing for an unknown SLO.
    pub fn touching(&self, id: &SloId, from: Timestamp, to: Timestamp) -> Vec<(Touch, Tally)> {
        let Some(state) = self.slo(id.as_str()) else { return Vec::new() };
        let touches = self.book.touching(id, from, to).into_iter();
        let measured = |touch: &Touch| {
            let of_parts = self.parts(state).map(|part| touch.measured(self.as_measured(part)));
            touch.measured(self.as_measured(state)) + of_parts.sum()
        };
        touches.map(|touch| (touch.clone(), measured(&touch))).collect()
    }

    /// The totals of an SLO for counters, which never fall: each event as it counted when it
    /// became known, and every event that was excluded later as excluded besides.
    pub fn counted(&self, state: &SloState) -> Tally {
        let Some(status) = &state.status else { return Tally::ZERO };
        if state.slo.is_composite() {
            return self.counted_together(state);
        }
        match state.slices {
            Some(_) => state.shift.of(status.totals),
            None if state.amended.is_none() => state.shift.of(status.totals),
            None => state.shift.of(self.as_measured(state).before(status.at)),
        }
    }

    /// The histories that make up one SLO as they were measured.
    pub fn as_measured<'a>(&'a self, state: &'a SloState) -> Histories<'a> {
        Histories { series: &self.series, of: &state.account.indicators }
    }

    /// The intervals of an SLO that somebody else counts, as they were measured.
    pub fn intervals_as_measured<'a>(&'a self, state: &'a SloState) -> Option<Histories<'a>> {
        let of = &state.account.intervals;
        (!of.is_empty()).then_some(Histories { series: &self.series, of })
    }

    /// Enters Corrections that are new, and lays over every history what the book has for it.
    pub fn amend(&mut self, now: Timestamp) -> Vec<Effect> {
        let records = self.book.enter(now);
        let entered = records.into_iter().map(Effect::Append);
        entered.chain(self.lay_over()).collect()
    }

    /// Derives anew what other amendments than before make of history.
    pub(super) fn lay_over(&mut self) -> Vec<Effect> {
        let next = self.book.amendments(self.slos.iter().map(|state| &state.slo.id));
        let mut effects = Vec::new();
        for (slo, next) in next.into_iter().enumerate() {
            let state = &self.slos[slo];
            let (series, epoch) = &state.laid_over;
            let same_slots = *series == state.account.series && *epoch == state.account.epoch;
            if state.amendments != next || !same_slots {
                self.lay_over_one(slo, next);
                effects = vec![Effect::Append(self.shifts_record())];
            }
        }
        if !effects.is_empty() {
            self.take_together();
        }
        effects
    }

    fn lay_over_one(&mut self, slo: usize, next: Amendments) {
        let state = &self.slos[slo];
        let tick = state.status.as_ref().map(|status| status.at);
        let so_far = |histories: Histories<'_>| match tick {
            Some(tick) => histories.before(tick),
            None => histories.iter().map(Series::total).sum(),
        };
        let before = so_far(self.judged(state));
        let same_slots = state.laid_over.0 == state.account.series;
        let amended = next.apply(self.as_measured(state));
        let intervals = self.intervals_as_measured(state).and_then(|slots| next.apply(slots));
        let was_measured = state.amended.is_none() && amended.is_none();
        let state = &mut self.slos[slo];
        let epoch = state.account.epoch;
        state.laid_over = (state.account.series.clone(), epoch);
        let derived = amended.as_ref().map(|amended| epoch.over(amended.histories()));
        state.amended_epoch = derived.unwrap_or_default();
        (state.amended, state.amended_intervals) = (amended, intervals);
        (state.amendments, state.ongoing) = (next, None);
        state.steady = Steady::default();
        if was_measured {
            return;
        }
        // A slice is judged in one way only.
        let state = &self.slos[slo];
        let slices = state.slices.as_ref().map(|_| {
            let mut slices = Slices::default();
            let (slots, intervals) = (self.histories(state), self.intervals(state));
            slices.extend(slots, intervals, &state.slo, tick.unwrap_or(Timestamp::MIN));
            slices
        });
        self.slos[slo].slices = slices;
        let after = so_far(self.judged(&self.slos[slo]));
        let shift = &mut self.slos[slo].shift;
        if same_slots {
            shift.excluded += after.excluded.saturating_sub(before.excluded) as i64;
        }
        if self.slos[slo].slices.is_some() {
            self.slos[slo].shift.go_on(before, after);
        }
    }

    /// Takes into the derived history what has been measured, and notes which Maintenance goes on
    /// at the tick `at`.
    pub(super) fn extend_amended(&mut self, slo: usize, at: Timestamp) {
        let state = &mut self.slos[slo];
        let slots = Histories { series: &self.series, of: &state.account.indicators };
        if let Some(amended) = &mut state.amended {
            amended.extend(slots, &state.amendments);
        }
        let intervals = Histories { of: &state.account.intervals, ..slots };
        if let Some(amended) = &mut state.amended_intervals {
            amended.extend(intervals, &state.amendments);
        }
        state.note_ongoing(at);
    }

    /// Counters go on to this tick.
    pub(super) fn count_on(&mut self, slo: usize, at: Timestamp) {
        let state = &self.slos[slo];
        if let (Some(from), Some(_), None) = (state.counted_until, &state.amended, &state.slices) {
            let between = |histories: Histories<'_>| histories.before(at) - histories.before(from);
            let (counted, measured) =
                (between(self.histories(state)), between(self.as_measured(state)));
            self.slos[slo].shift.go_on(counted, measured);
        }
        self.slos[slo].counted_until = Some(at);
    }

    /// How far counters are from what was measured, to keep.
    pub(super) fn shifts_record(&self) -> Record {
        let apart = |state: &&SloState| state.shift != Shift::default() || state.amended.is_some();
        let kept = |state: &SloState| {
            Some((state.slo.id.to_string(), state.counted_until?.micros(), state.shift))
        };
        let kept: KeptShifts = self.slos.iter().filter(apart).filter_map(kept).collect();
        let json = serde_json::to_string(&kept).expect("numbers and text always become JSON");
        Record::State { name: COUNTED.to_owned(), json }
    }

    /// Takes back what [`Engine::shifts_record`] kept; false for other states.
    pub(super) fn restore_shifts(&mut self, name: &str, json: &str) -> bool {
        if name == COUNTED {
            let kept: KeptShifts = serde_json::from_str(json).unwrap_or_default();
            for (id, until, shift) in kept {
                let slo = id.parse().ok().and_then(|id: SloId| self.slo_of.get(&id));
                if let Some(state) = slo.map(|slo| &mut self.slos[*slo]) {
                    state.shift = shift;
                    state.counted_until = Some(Timestamp::from_micros(until));
                }
            }
        }
        name == COUNTED
    }

    /// Counters begin to go on as slots count, where they do not go on from before.
    pub(super) fn begin_counting(&mut self, now: Timestamp) -> Vec<Effect> {
        let amended = self.slos.iter_mut().filter(|state| state.amended.is_some());
        let begun = amended.map(|state| state.counted_until.get_or_insert(now)).count();
        (begun > 0).then(|| Effect::Append(self.shifts_record())).into_iter().collect()
    }
}

impl SloState {
    /// The Maintenance that goes on, as of the last tick.
    pub fn ongoing(&self, effect: OnSlots) -> Option<&Name> {
        let ongoing: &Ongoing = self.ongoing.as_ref()?;
        match effect {
            OnSlots::Exclude => ongoing.exclude.as_ref(),
            OnSlots::Mute => ongoing.mute.as_ref(),
        }
    }

    /// Events at the edges of amendments that history no longer tells apart.
    pub fn coarse(&self) -> u64 {
        self.amended.as_ref().map_or(0, |amended| amended.coarse())
    }

    /// Moves the two burn alerts on.
    pub(super) fn transit_burns(
        &mut self,
        fires: [bool; 2],
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        for severity in Severity::ALL {
            self.transit(AlertKind::of(severity), fires[severity.index()], at, effects);
        }
    }

    /// Moves the alerts of one kind on. One that is mute does not begin to fire; one that fires
    /// already goes on, so that nobody takes a Maintenance for a recovery.
    pub(super) fn transit(
        &mut self,
        kind: AlertKind,
        holds: bool,
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let begins = |alert: &Alert| alert.kind == kind && holds && !alert.is_firing();
        let muted = self.alerts.iter().any(begins) && self.is_muted(at);
        for alert in self.alerts.iter_mut().filter(|alert| alert.kind == kind) {
            alert.is_muted = muted;
            alert.transit(holds && !muted, at, effects);
        }
    }

    fn note_ongoing(&mut self, at: Timestamp) {
        if self.ongoing.as_ref().is_none_or(|ongoing| ongoing.until <= at) {
            self.ongoing = Some(self.amendments.maintenance(at));
        }
    }

    /// Whether alerts do not begin to fire at the tick `at`.
    pub(super) fn is_muted(&self, at: Timestamp) -> bool {
        self.amendments.maintenance(at).mute.is_some()
    }
}

#[cfg(test)]
mod tests;
