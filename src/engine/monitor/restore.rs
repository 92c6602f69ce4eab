//! Taking history back after a restart, in the order in which the ledger kept it: states first.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::epoch::KeptEpoch;
use super::layout::{Feed, Line, counted};
use super::waiting::{Slots, Waiting};
use super::{Effect, Engine};
use crate::engine::alert::{self, Life};
use crate::engine::identity;
use crate::engine::revision::{Revision, Revisions, Rule};
use crate::engine::roll::{Roll, SLICE, Taken};
use crate::engine::state::Account;
use crate::model::time::micros;
use crate::model::{
    Observation, Probe, Record, Run, SeriesId, SloId, Tally, Timestamp, UnknownReason, Verdict,
};

/// What was kept beside history, until it is put in its place.
#[derive(Debug, Default)]
pub(super) struct Kept {
    totals: Option<KeptTotals>,
    promises: BTreeMap<SloId, Revisions>,
    /// Whether promises were kept at all.
    with_promises: bool,
    /// Whether `promises` have been put in their place.
    settled: bool,
    /// Alerts that fired, of SLOs that are not declared any more.
    orphans: BTreeMap<String, Life>,
    /// Slots that are in no slice.
    waiting: Waiting,
}

/// The name under which totals are kept.
pub(super) const TOTALS: &str = "totals";

/// The name of the state that says that promises are kept; a ledger of before has none.
const PROMISES: &str = "promises";

/// Under this prefix, with the number of a series behind it, the last change of its grid is kept.
const GRID: &str = "grid/";

/// From one grid to another, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Change {
    /// The step before.
    pub before: u64,
    /// Slots before this are those of the grid before.
    pub at: i64,
    /// The first slot of the grid after it.
    pub first: i64,
    /// The step after it.
    pub step: u64,
}

impl Change {
    pub fn record(&self, series: SeriesId) -> Record {
        let json = serde_json::to_string(self).expect("a struct of numbers always becomes JSON");
        Record::State { name: format!("{GRID}{}", series.0), json }
    }

    /// What a start at `now` changes, whose first slot is due at `first`, where history was made
    /// on another grid and does not say so yet.
    fn at_start(roll: &Roll, first: Timestamp, step: Duration, now: Timestamp) -> Option<Self> {
        let next = roll.next_due()?;
        let apart = first.since(next).as_micros();
        let goes_on = next <= first && apart.is_multiple_of(step.as_micros().max(1));
        if roll.step() == step && (goes_on || roll.turn_ahead().is_some()) {
            return None;
        }
        let last = roll.last_due();
        let after = last.map_or(now, |last| now.max(last.just_after()));
        let before = last.map_or(step, |last| next.since(last));
        Some(Change {
            before: micros(before).unsigned_abs(),
            at: after.min(first).micros(),
            first: first.micros(),
            step: micros(step).unsigned_abs(),
        })
    }

    fn read(name: &str, json: &str) -> Option<(SeriesId, Change)> {
        let series = name.strip_prefix(GRID)?.parse().ok()?;
        Some((SeriesId(series), serde_json::from_str(json).ok()?))
    }
}

/// The totals of every history at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptTotals {
    /// In microseconds since the epoch.
    at: i64,
    /// Series, threshold in microseconds, and good, bad, unknown, excluded: of histories that
    /// every slot there ever was is part of.
    totals: Vec<(u32, Option<u32>, [u64; 4])>,
    /// The same for histories that some slots only are part of, by the rule.
    #[serde(default)]
    ruled: Vec<(u32, Rule, [u64; 4])>,
    /// Of series whose probes are gone, up to when this speaks, if not up to `at`: slots after
    /// that become known when they come back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ended: BTreeMap<u32, i64>,
    /// What epochs saw of which not everything is brought back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    epochs: Vec<KeptEpoch>,
}

impl KeptTotals {
    /// Up to when every slot of each series is in it, in microseconds.
    fn ends(&self) -> BTreeMap<u32, i64> {
        let whole = self.totals.iter().map(|(series, ..)| *series);
        let all = whole.chain(self.ruled.iter().map(|(series, ..)| *series));
        all.map(|series| (series, self.ended.get(&series).copied().unwrap_or(self.at))).collect()
    }
}

impl Engine {
    /// Takes back a closed slice: its runs, and the thresholds their classes count.
    pub fn restore_slice(
        &mut self,
        series: SeriesId,
        end: Timestamp,
        thresholds: &[u32],
        runs: &[Run],
    ) {
        self.settle();
        self.hand_over(|_, _| {});
        let Some(&line) = self.line_of.get(&series) else { return };
        for run in runs {
            let runs = self.lines[line].roll.restore_run(*run);
            self.feed(line, &runs, Some(thresholds));
        }
        self.lines[line].roll.closed_until(end);
    }

    /// Takes back a record that was not in a slice yet.
    pub fn restore_record(&mut self, record: &Record) {
        match record {
            Record::Observation(Observation { series, due, verdict, latency, .. }) => {
                self.restore_slot(*series, *due, *verdict, *latency);
            }
            Record::Gap(series, run) => self.kept.waiting.push(*series, Slots::Missed(*run)),
            Record::State { name, json } => self.restore_state(name, json),
            Record::Slice(slice) => {
                self.restore_slice(slice.series, slice.end, &slice.thresholds, &slice.runs);
            }
        }
    }

    /// Takes back the result of a slot that is in no slice: when it was due, the verdict and the
    /// latency.
    pub fn restore_slot(
        &mut self,
        series: SeriesId,
        due: Timestamp,
        verdict: Verdict,
        latency: Option<Duration>,
    ) {
        self.kept.waiting.push(series, Slots::Observed(due, verdict, latency));
    }

    /// Hands what waits to its lines, which put it in order; what is to be done `then` with a line
    /// is done before the next one has its turn.
    fn hand_over(&mut self, mut then: impl FnMut(&mut Engine, usize)) {
        let mut waiting = std::mem::take(&mut self.kept.waiting).by_series().peekable();
        while let Some((series, first)) = waiting.next() {
            let line = match self.line_of.get(&series) {
                Some(line) => *line,
                // Of a probe that is no longer declared: its slots are to become slices.
                None => self.add_line(Line::new(series, Duration::from_secs(1))),
            };
            first.restore(&mut self.lines[line].roll);
            while let Some((_, slots)) = waiting.next_if(|(of, _)| *of == series) {
                slots.restore(&mut self.lines[line].roll);
            }
            then(self, line);
        }
    }

    /// Accepts what has been handed to a line.
    fn accept_restored(&mut self, line: usize) {
        let runs = self.lines[line].roll.finish_restore();
        self.feed(line, &runs, None);
    }

    /// Takes back a named state; one that nothing here goes by is left alone.
    pub fn restore_state(&mut self, name: &str, json: &str) {
        if name == TOTALS {
            self.kept.totals = serde_json::from_str(json).ok();
            return;
        }
        if self.book.restore(name, json) || self.restore_shifts(name, json) {
            return;
        }
        self.kept.with_promises |= name == PROMISES;
        if let Some((series, change)) = Change::read(name, json) {
            let line = self.line_of.get(&series).map(|line| &mut self.lines[*line].roll);
            if let Some(roll) = line.filter(|roll| roll.last_due().is_none()) {
                let [before, step] = [change.before, change.step].map(Duration::from_micros);
                let [at, first] = [change.at, change.first].map(Timestamp::from_micros);
                roll.recall(before, at, first, step);
            }
            return;
        }
        if let Some((slo, revisions)) = Revisions::read(name, json) {
            self.kept.promises.insert(slo, revisions);
            return;
        }
        let Ok(life) = serde_json::from_str::<Life>(json) else { return };
        let slo = alert::slo_of_state(name);
        let state = slo.as_ref().and_then(|id| self.slo_of.get(id));
        if slo.is_some() && state.is_none() && life.is_firing() {
            self.kept.orphans.insert(name.to_owned(), life);
        }
        let alerts = state.map(|slo| &mut self.slos[*slo].alerts);
        let all = alerts.into_iter().flatten().chain([&mut self.blind, &mut self.watchdog]);
        all.filter(|alert| alert.state_name() == name).for_each(|alert| alert.life = life);
    }

    /// Puts the promises that were kept in their place, before any history comes.
    fn settle(&mut self) {
        if !self.kept.with_promises || std::mem::replace(&mut self.kept.settled, true) {
            return;
        }
        let mut promises = self.kept.promises.clone();
        for state in self.slos.iter_mut().filter(|state| !state.slo.is_composite()) {
            // An SLO that is new counts from its first moment on, which is yet to come.
            state.account.revisions = promises.remove(&state.slo.id).unwrap_or_default();
        }
        for (slo, revisions) in promises {
            self.absent.insert(slo, Account { revisions, ..Account::default() });
        }
        self.bring_lines_back();
        self.lay_out();
    }

    /// Ends restoring: records that no slice has replaced are accepted, in their order.
    pub fn finish_restore(&mut self) {
        self.settle();
        self.hand_over(Engine::accept_restored);
        let ended = self.kept.totals.as_ref().map(KeptTotals::ends).unwrap_or_default();
        for line in 0..self.lines.len() {
            self.accept_restored(line);
            let roll = &mut self.lines[line].roll;
            if let Some(end) = ended.get(&roll.series().0) {
                roll.remember_until(Timestamp::from_micros(*end));
            }
            if line >= self.probes.len() {
                let next = roll.next_due();
                roll.end(next.unwrap_or(Timestamp::MIN));
                self.lines[line].torn_at = next;
            }
        }
        self.apply_totals();
        self.lay_over();
    }

    /// Begins to live: accounts for the time since each series was last heard of, as unknown,
    /// up to the first slot that will be probed. `first_due` says which one that is.
    pub fn start(
        &mut self,
        mut first_due: impl FnMut(&Probe) -> Timestamp,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.settle();
        self.hand_over(|_, _| {});
        for probe in 0..self.probes.len() {
            let declared = &self.probes[probe].probe;
            let (until, interval) = (first_due(declared), declared.interval);
            let series = self.probes[probe].series;
            let roll = &mut self.lines[probe].roll;
            effects.extend(
                Change::at_start(roll, until, interval, now)
                    .map(|change| Effect::Append(change.record(series))),
            );
            if roll.step() != interval {
                roll.turn(now, until, interval);
            }
            let taken = roll.close_gap(until, UnknownReason::NotRunning);
            self.not_running(probe, &taken, &mut effects);
        }
        self.promise(now, &mut effects);
        effects.extend(self.amend(now));
        effects.extend(self.begin_counting(now));
        self.started = Some(now);
        self.watchdog.life.fired_at.get_or_insert(now.micros());
        self.last_slice = Some(now.floor(SLICE));
        effects
    }

    /// Takes in slots of a line that nobody watched.
    pub(super) fn not_running(&mut self, line: usize, taken: &Taken, effects: &mut Vec<Effect>) {
        let series = self.lines[line].roll.series();
        for gap in &taken.lost {
            self.count_unknown(line, gap);
            self.stats.not_running += u64::from(gap.n);
            effects.push(Effect::Append(Record::Gap(series, *gap)));
        }
        self.feed(line, &taken.accepted, None);
    }

    /// Notes what is promised from this start on, where that is not what was promised before.
    fn promise(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Kept { with_promises, orphans, .. } = std::mem::take(&mut self.kept);
        // A ledger that knows no promises has history that counts for every SLO.
        let from = if with_promises { now } else { Timestamp::MIN };
        if !with_promises {
            let (name, json) = (PROMISES.to_owned(), "true".to_owned());
            effects.push(Effect::Append(Record::State { name, json }));
        }
        let mut changed = false;
        let series_of = self.series_of();
        let checks = identity::of_probes(self.probes.iter().map(|state| &state.probe));
        for state in self.slos.iter_mut().filter(|state| !state.slo.is_composite()) {
            let probes = counted(&state.slo, &series_of);
            let revision = Revision::new(&state.slo, probes, &checks, from);
            let revised = state.account.revisions.revise(revision);
            self.stats.joined_revisions += u64::from(revised.joined);
            changed |= revised.changed;
            if revised.changed || !with_promises {
                effects.push(Effect::Append(state.account.revisions.record(&state.slo.id)));
            }
        }
        for (slo, account) in &mut self.absent {
            if account.revisions.is_declared() {
                account.revisions.withdraw(now);
                effects.push(Effect::Append(account.revisions.record(slo)));
                changed = true;
            }
        }
        for (name, life) in orphans {
            effects.push(Effect::Append(alert::resolved_state(name, life, now)));
        }
        if changed {
            self.forget_absent(now);
            effects.extend(self.lay_out());
        }
    }

    /// The totals of every history at `at`, so that they go on after a restart that brings back
    /// less than was ever counted.
    pub(super) fn totals_record(&self, at: Timestamp) -> Record {
        let (mut totals, mut ruled, mut ended) = (Vec::new(), Vec::new(), BTreeMap::new());
        for line in &self.lines {
            let series = line.roll.series().0;
            let last = line.roll.last_due().filter(|_| line.roll.is_complete());
            let end = last.map(|last| last.just_after()).filter(|end| *end < at);
            ended.extend(end.map(|end| (series, end.micros())));
            let at = end.unwrap_or(at);
            for feed in line.feeds.iter().filter(|feed| !feed.intervals) {
                let Tally { good, bad, unknown, excluded } = self.series[feed.indicator].before(at);
                let counts = [good, bad, unknown, excluded];
                match feed.rule.whole() {
                    Some(threshold) => totals.push((series, threshold, counts)),
                    None => ruled.push((series, feed.rule.until(at), counts)),
                }
            }
        }
        let epochs = self.kept_epochs();
        let kept = KeptTotals { at: at.micros(), totals, ruled, ended, epochs };
        let json = serde_json::to_string(&kept).expect("a struct of numbers always becomes JSON");
        Record::State { name: TOTALS.to_owned(), json }
    }

    /// Adds to each history what was counted before anything that was restored.
    fn apply_totals(&mut self) {
        let totals = self.kept.totals.take();
        self.restore_epochs(totals.as_ref().map(|kept| &kept.epochs[..]).unwrap_or_default());
        let Some(KeptTotals { at, totals, ruled, ended, .. }) = totals else { return };
        let whole = |(series, threshold, counts)| (series, Rule::always(threshold), counts);
        for (series, rule, counts) in totals.into_iter().map(whole).chain(ruled) {
            let Some(&line) = self.line_of.get(&SeriesId(series)) else { continue };
            let at = Timestamp::from_micros(ended.get(&series).copied().unwrap_or(at));
            let [good, bad, unknown, excluded] = counts;
            let total = Tally { good, bad, unknown, excluded };
            // A rule may have gone on since; what was due before counted by the part until then.
            let alike = |feed: &&Feed| !feed.intervals && feed.rule.until(at) == rule;
            for feed in self.lines[line].feeds.iter().filter(alike) {
                self.series[feed.indicator].continue_from(total, at);
            }
        }
    }
}

#[cfg(test)]
mod tests;
