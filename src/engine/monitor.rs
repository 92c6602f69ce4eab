//! The engine: every history, every evaluation and every alert of one process.
//!
//! Fed with observations and the time, it answers with effects: what to keep for good and whom
//! to tell. What it keeps true: every slot is in exactly one tally, an SLO is evaluated at whole
//! seconds and only once everything due before is known, and replaying the records it asked to
//! keep builds the same state again.

mod ahead;
mod amend;
mod blind;
mod composite;
mod epoch;
mod layout;
mod reload;
mod restore;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Catalog, Observation, ProbeId, Record, Run, SeriesId, SloId, Timestamp, Verdict,
};

pub(super) use amend::Shift;
pub use blind::{Blindness, CUT_OFF_AFTER};
pub use epoch::Epoch;

use super::alert::{self, Alert, AlertKind, Notice};
use super::amend::{Amended, Amendments};
use super::book::Book;
use super::evaluate::{self, Histories, Moment};
use super::isolation::{Counted, Sight};
use super::roll::{Roll, SLICE, Taken};
use super::series::Series;
use super::slices::Slices;
use super::state::{Account, ProbeState, SloState};
use super::status::SloStatus;
use super::steady::Steady;
use layout::Line;

/// Ticks that are made up for one by one after a stall; earlier ones are skipped.
const MAX_CATCH_UP: Duration = Duration::from_secs(600);
/// Memory reaches back this much further than the longest window, for questions about the past.
const EXTRA_MEMORY: Duration = Duration::from_secs(4 * 86_400);

/// What the engine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Keep this for good.
    Append(Record),
    /// Everything due before this moment is in slices that were appended before.
    Compact(Timestamp),
    /// Tell every Alertmanager.
    Notify(Notice),
}

/// Choices that are the operator's.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// From where this process probes.
    pub vantage: String,
    /// How often a firing alert is sent again.
    pub resend_delay: Duration,
}

/// Numbers about the engine itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Results for slots that were accounted for already.
    pub duplicates: u64,
    /// Slots that were scheduled but never reported.
    pub lost: u64,
    /// Results of probes that are not in the catalogue.
    pub strangers: u64,
    /// Slots between the end of the history that was there and the start of this process.
    pub not_running: u64,
    /// Revisions of SLOs that were joined with an older one, because there were too many.
    pub joined_revisions: u64,
}

/// Histories, evaluations and alerts.
#[derive(Debug)]
pub struct Engine {
    catalog: Arc<Catalog>,
    book: Book,
    options: Options,
    probes: Vec<ProbeState>,
    /// Those of `probes` first, in the same order; then those of probes that have gone.
    lines: Vec<Line>,
    line_of: BTreeMap<SeriesId, usize>,
    series: Vec<Series>,
    /// How far back each of `series` is needed.
    memory: Vec<Duration>,
    slos: Vec<SloState>,
    slo_of: BTreeMap<SloId, usize>,
    /// What SLOs that are not declared any more rested on.
    absent: BTreeMap<SloId, Account>,
    /// Alerts of SLOs that have gone, while their end is still told.
    departed: Vec<Alert>,
    blind: Alert,
    watchdog: Alert,
    sight: Sight,
    /// Up to when any slot of any probe is known to have been good or bad.
    known_until: Option<Timestamp>,
    started: Option<Timestamp>,
    kept: restore::Kept,
    last_tick: Option<Timestamp>,
    last_slice: Option<Timestamp>,
    stats: EngineStats,
}

impl Engine {
    /// An engine without history for this catalogue. Probes whose series is not given are left
    /// out; SLOs over them see the others only.
    pub fn new(
        catalog: Arc<Catalog>,
        series_of: &BTreeMap<ProbeId, SeriesId>,
        options: Options,
    ) -> Self {
        let mut engine = Engine {
            blind: alert::blind(&options.vantage),
            watchdog: alert::watchdog(),
            sight: Sight::default(),
            known_until: None,
            options,
            probes: Vec::new(),
            lines: Vec::new(),
            line_of: BTreeMap::new(),
            series: Vec::new(),
            memory: Vec::new(),
            slos: Vec::new(),
            slo_of: BTreeMap::new(),
            absent: BTreeMap::new(),
            departed: Vec::new(),
            started: None,
            kept: restore::Kept::default(),
            last_tick: None,
            last_slice: None,
            stats: EngineStats::default(),
            book: Book::default(),
            catalog: Arc::clone(&catalog),
        };
        engine.book.declare(&catalog);
        engine.declare(&catalog, series_of);
        engine
    }

    /// The catalogue this engine was built for, to keep.
    pub fn shared_catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    /// The catalogue this engine was built for.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Every SLO as it stands, in id order.
    pub fn slos(&self) -> &[SloState] {
        &self.slos
    }

    /// The SLO of this id, as it stands.
    pub fn slo(&self, id: &str) -> Option<&SloState> {
        let id: SloId = id.parse().ok()?;
        self.slo_of.get(&id).map(|slo| &self.slos[*slo])
    }

    /// Every probe as it stands, in id order.
    pub fn probes(&self) -> &[ProbeState] {
        &self.probes
    }

    /// Every alert, whether it fires or not, the watchdog last.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.slos.iter().flat_map(|state| &state.alerts).chain([&self.blind, &self.watchdog])
    }

    /// The last whole second that was evaluated.
    pub fn last_tick(&self) -> Option<Timestamp> {
        self.last_tick
    }

    /// Numbers about the engine itself.
    pub fn stats(&self) -> EngineStats {
        self.stats
    }

    /// How many runs are held in memory, over all indicators.
    pub fn segments(&self) -> usize {
        let derived = self.slos.iter().flat_map(|s| [&s.amended, &s.amended_intervals]).flatten();
        let derived: usize = derived.map(Amended::segments).sum();
        derived + self.series.iter().map(Series::segments).sum::<usize>()
    }

    /// The histories that make up one SLO, as slots are to count.
    pub fn histories<'a>(&'a self, state: &'a SloState) -> Histories<'a> {
        let measured = || self.as_measured(state);
        state.amended.as_ref().map_or_else(measured, Amended::histories)
    }

    /// The intervals, measured or not, of an SLO that somebody else counts.
    pub fn intervals<'a>(&'a self, state: &'a SloState) -> Option<Histories<'a>> {
        let measured = self.intervals_as_measured(state)?;
        Some(state.amended_intervals.as_ref().map_or(measured, Amended::histories))
    }

    /// Up to where slots of this series have been counted by somebody else, if any have.
    pub fn counted_until(&self, series: SeriesId) -> Option<Timestamp> {
        self.line_of.get(&series).and_then(|line| self.lines[*line].counted_until)
    }

    /// From one slot of this series to the next; none for a series that nothing declares.
    pub fn step(&self, series: SeriesId) -> Option<Duration> {
        self.line_of.get(&series).map(|line| self.lines[*line].roll.step())
    }

    /// When the first slot of this series is due that is not accounted for; none before any.
    pub fn next_due(&self, series: SeriesId) -> Option<Timestamp> {
        self.line_of.get(&series).and_then(|line| self.lines[*line].roll.next_due())
    }

    /// Where the slots of another grid begin after [`Engine::next_due`], if they do: from when on,
    /// and the first of them.
    pub fn turn_ahead(&self, series: SeriesId) -> Option<(Timestamp, Timestamp)> {
        self.line_of.get(&series).and_then(|line| self.lines[*line].roll.turn_ahead())
    }

    /// What an SLO is judged by: its slots, or the slices of them.
    fn judged<'a>(&'a self, state: &'a SloState) -> Histories<'a> {
        let slots = self.histories(state);
        state.slices.as_ref().map_or(slots, Slices::histories)
    }

    /// The evaluation of one SLO at any moment whose window memory still covers; none for an
    /// unknown SLO, for one without history, and for a moment too long ago.
    pub fn evaluate_at(&self, id: &str, at: Timestamp) -> Option<SloStatus> {
        let state = self.slo(id)?;
        self.first(state)?;
        let slo = state.slo_at(at);
        if self.forgets(state, slo.window.period(at).start) {
            return None;
        }
        if state.slo.is_composite() {
            return Some(self.composite_at(state, at));
        }
        let histories = self.histories(state);
        let moment = Moment::new(self.judged(state), at).over_slots(histories);
        let moment = moment.under(state.revisions()).since(state.epoch());
        let moment = moment.measured_by(self.intervals(state));
        let pairs = evaluate::firing_pairs(&moment, &slo, &[]);
        Some(state.amendments.mark(evaluate::evaluate(&moment, &slo, pairs)))
    }

    /// The statuses of the calendar periods before the present one, each at its end, the last
    /// one first: as many as memory covers, at most `most`. None for a rolling window.
    pub fn past_periods(&self, id: &str, most: usize) -> Vec<SloStatus> {
        let state = self.slo(id);
        let present = state.and_then(|state| Some((&state.slo, state.status.as_ref()?)));
        let calendar = present.filter(|(slo, _)| slo.window.calendar().is_some());
        let first = calendar.map(|(_, status)| status.period.start);
        let ends = std::iter::successors(first, |end| {
            calendar.map(|(slo, _)| slo.window.period(*end).start)
        });
        let whole = |end| self.evaluate_at(id, end).filter(|past| past.tally.expected() > 0);
        ends.map_while(whole).take(most).collect()
    }

    /// How far back memory reaches, over all histories.
    pub fn memory(&self) -> Duration {
        self.memory.iter().copied().max().unwrap_or_default()
    }

    /// When the last recorded slot of any series was due: the moment after which this history
    /// can be continued without counting time twice.
    pub fn history_end(&self) -> Option<Timestamp> {
        self.lines.iter().filter_map(|line| line.roll.last_due()).max()
    }

    /// The moment at which time goes on for a process that starts at this wall time: then, or
    /// just after the last slot of any series that is accounted for, if the wall clock has gone
    /// back behind that. Starting earlier would probe slots that count already.
    pub fn resume_at(&self, wall: Timestamp) -> Timestamp {
        self.history_end().map_or(wall, |last| wall.max(last.just_after()))
    }

    /// Takes the result of one slot.
    pub fn observe(&mut self, mut observation: Observation, effects: &mut Vec<Effect>) {
        // History keeps whole microseconds: what is judged now must be what is restored then,
        // and a hair above a threshold is above it.
        observation.latency = observation.latency.map(ceil_micros);
        let series = observation.series;
        if let Some(line) = self.take(series, |roll| roll.observe(&observation), effects) {
            if let Some(probe) = self.probes.get_mut(line) {
                probe.counters.count(&observation);
            }
            effects.push(Effect::Append(Record::Observation(observation)));
        }
    }

    /// Takes slots in a row that nobody observed, with the verdict that says why.
    pub fn miss(&mut self, series: SeriesId, run: Run, effects: &mut Vec<Effect>) {
        let line = self.line_of.get(&series).map(|line| &self.lines[*line]);
        let run = line.map_or(run, |line| line.roll.clip(run));
        if let Some(line) = self.take(series, |roll| roll.miss(run), effects) {
            self.count_unknown(line, &run);
            effects.push(Effect::Append(Record::Gap(series, run)));
        }
    }

    /// Takes slots that somebody else counted, or should have, with what is needed to go on
    /// after a restart. Both are kept together.
    pub fn count(&mut self, counted: Counted, effects: &mut Vec<Effect>) {
        let before = effects.len();
        self.miss(counted.series, counted.run, effects);
        if let Some((name, json)) = counted.state
            && effects.len() > before
        {
            effects.push(Effect::Append(Record::State { name, json }));
        }
    }

    /// Puts slots into history; says whose they were unless they are to be ignored.
    fn take(
        &mut self,
        series: SeriesId,
        take: impl FnOnce(&mut Roll) -> Taken,
        effects: &mut Vec<Effect>,
    ) -> Option<usize> {
        let Some(&line) = self.line_of.get(&series) else {
            self.stats.strangers += 1;
            return None;
        };
        let taken = take(&mut self.lines[line].roll);
        self.take_in(line, taken, effects).then_some(line)
    }

    /// Counts what a line took, and keeps what it gave up; false if it was to be ignored.
    fn take_in(&mut self, line: usize, taken: Taken, effects: &mut Vec<Effect>) -> bool {
        if taken.duplicate {
            match self.probes.get(line) {
                Some(_) => self.stats.duplicates += 1,
                None => self.stats.strangers += 1,
            }
            return false;
        }
        let series = self.lines[line].roll.series();
        for lost in &taken.lost {
            self.stats.lost += u64::from(lost.n);
            self.count_unknown(line, lost);
            effects.push(Effect::Append(Record::Gap(series, *lost)));
        }
        self.feed(line, &taken.accepted, None);
        true
    }

    fn count_unknown(&mut self, line: usize, run: &Run) {
        if let (Some(probe), Verdict::Unknown(reason)) = (self.probes.get_mut(line), run.verdict) {
            probe.counters.unknown[reason.index()] += u64::from(run.n);
        }
    }

    /// Evaluates every SLO at every whole second up to `now` for which everything due before is
    /// known, moves alerts on, and closes slices that are complete.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        // What others are made of comes first.
        for composite in [false, true] {
            for slo in 0..self.slos.len() {
                if self.slos[slo].slo.is_composite() == composite {
                    self.tick_slo(slo, now, &mut effects);
                }
            }
        }
        self.tick_blind(now, &mut effects);
        self.last_tick = Some(now.floor_second());
        self.watchdog.evaluated_at = now;
        let resend = self.options.resend_delay;
        // Where a tick finds what the one before found, no alert lives.
        let moving = self.slos.iter_mut().filter(|state| !state.steady.holds_at(now));
        let all = moving.flat_map(|state| &mut state.alerts);
        let own = [&mut self.blind, &mut self.watchdog];
        for alert in all.chain(&mut self.departed).chain(own) {
            effects.extend(alert.notice(resend, now).map(Effect::Notify));
        }
        self.departed.retain(|alert| alert.fired_at().is_some());
        for line in self.probes.len()..self.lines.len() {
            if let Some(taken) = self.lines[line].roll.abandon(now) {
                self.take_in(line, taken, &mut effects);
            }
        }
        self.close_slices(now, &mut effects);
        effects
    }

    fn tick_slo(&mut self, slo: usize, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.slos[slo].go_on(now) {
            debug_assert!(self.found_what_looking_finds(&self.slos[slo], now));
            return;
        }
        let state = &self.slos[slo];
        let Some(known) = self.known(state) else { return };
        let until = now.min(known).floor_second();
        let second = Duration::from_secs(1);
        self.extend_amended(slo, until);
        let state = &self.slos[slo];
        if self.first(state).is_none_or(|first| until <= first) {
            // Not a slot was due yet: there is nothing to say, not even that all is well.
            self.transit_no_data(slo, known, now, effects);
            return;
        }
        self.extend_slices(slo, known.min(now));
        let state = &self.slos[slo];
        let done = state.status.as_ref().map(|status| status.at);
        let quiet_since = done.unwrap_or(until).max(until.minus(MAX_CATCH_UP));
        let mut at = if done.is_some() { quiet_since.plus(second) } else { until };
        if at > until {
            // Everything that is known is evaluated; but staying behind is a lack of data.
            self.transit_no_data(slo, known, now, effects);
            return;
        }
        let mut pairs: Vec<bool> = match &state.status {
            Some(status) => status.pairs.clone(),
            None => restored_pairs(state),
        };
        let histories = self.judged(state);
        let fires = pairs.iter().any(|fires| *fires) || state.slo.is_composite();
        let stays_quiet =
            || evaluate::stays_quiet(histories, &state.slo, state.revisions(), at, until);
        if at < until && !fires && stays_quiet() {
            at = until;
        }
        while at < until {
            let state = &self.slos[slo];
            let declared = state.slo_at(at);
            pairs = self.firing_pairs(state, &pairs, at);
            let fires = alert::burn_conditions(&declared, &pairs);
            self.slos[slo].transit_burns(fires, at, effects);
            at = at.plus(second);
        }
        self.finish_tick(slo, pairs, until, effects);
        self.transit_no_data(slo, known, now, effects);
        self.settle_down(slo, known);
    }

    /// The last tick of a series of ticks: the whole status, and every alert.
    fn finish_tick(
        &mut self,
        slo: usize,
        before: Vec<bool>,
        at: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let state = &self.slos[slo];
        let (status, exhausted, steady) = self.evaluated(state, &before, at);
        let fires = alert::burn_conditions(&state.slo_at(at), &status.pairs);
        let state = &mut self.slos[slo];
        state.transit_burns(fires, at, effects);
        state.transit(AlertKind::Exhausted, exhausted, at, effects);
        alert::describe(&mut state.alerts, &state.slo, &status);
        (state.status, state.steady) = (Some(status), steady);
        self.count_on(slo, at);
    }

    /// The status of an SLO at a tick, given which pairs fired at the one before; whether its
    /// budget is exhausted; and how long its windows stay as they are.
    fn evaluated(
        &self,
        state: &SloState,
        before: &[bool],
        at: Timestamp,
    ) -> (SloStatus, bool, Steady) {
        if state.slo.is_composite() {
            return self.evaluated_composite(state, before, at);
        }
        let (slots, declared) = (self.histories(state), state.slo_at(at));
        let moment = Moment::of_slo(self.judged(state), &declared, at).over_slots(slots);
        let moment = moment.under(state.revisions()).since(state.epoch());
        let moment = moment.measured_by(self.intervals(state));
        let pairs = evaluate::firing_pairs(&moment, &declared, before);
        let exhausted = evaluate::is_exhausted(&moment, &declared);
        let status = state.amendments.mark(evaluate::evaluate(&moment, &declared, pairs));
        let steady = Steady::of(&moment, &declared, &status);
        (status, exhausted, steady)
    }

    /// Notes until when the next ticks will find the same: no slot comes, none leaves a window,
    /// data is not missing, and there is no alert to be told.
    fn settle_down(&mut self, slo: usize, known: Timestamp) {
        let state = &self.slos[slo];
        let at = state.status.as_ref().map(|status| status.at);
        // A slot that has come already, known or not, may be due after this tick.
        let ahead = self.histories(state).iter().filter_map(Series::last).max() >= at;
        let last = self.histories(state).iter().filter_map(Series::last_known).max();
        let measured = last.filter(|_| !ahead).map(|at| at.plus(self.quiet(state)));
        let untold = state.alerts.iter().all(|alert| alert.fired_at().is_none());
        // What is amended, counted by somebody else or promised otherwise before also changes by
        // itself.
        let own = state.amendments == Amendments::default()
            && state.account.intervals.is_empty()
            && state.promised_always();
        let until = measured.filter(|_| untold && own).map(|until| until.min(known));
        let state = &mut self.slos[slo];
        state.steady = state.steady.at_most(until);
    }

    /// Whether an SLO of which nothing was looked at stands as if it had been.
    fn found_what_looking_finds(&self, state: &SloState, now: Timestamp) -> bool {
        let Some(status) = &state.status else { return false };
        let (fresh, exhausted, _) = self.evaluated(state, &status.pairs, status.at);
        let lines = state.account.lines.iter().map(|line| &self.lines[*line].roll);
        let known = lines.filter_map(Roll::next_due).min();
        let missing = self.histories(state).window(self.quiet(state), now).known() == 0;
        // One that alerts nobody may be exhausted for as long as it likes.
        let to_tell = !state.alerts.is_empty() && (exhausted || missing);
        *status == fresh && !to_tell && known >= Some(now)
    }

    /// Closes slices up to the last full ten minutes that are completely known.
    fn close_slices(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let last = self.last_slice;
        if last.is_some_and(|last| now.floor(SLICE) <= last) {
            return;
        }
        let known = self.lines.iter().filter_map(|line| line.roll.next_due()).min();
        let edge = known.unwrap_or(now).min(now).floor(SLICE);
        if last.is_none_or(|last| edge <= last) {
            return;
        }
        self.last_slice = Some(edge);
        let slices = self.lines.iter_mut().filter_map(|line| line.roll.close(edge));
        effects.extend(slices.map(|slice| Effect::Append(Record::Slice(slice))));
        effects.push(Effect::Append(self.totals_record(edge)));
        if self.slos.iter().any(|state| state.amended.is_some()) {
            effects.push(Effect::Append(self.shifts_record()));
        }
        effects.push(Effect::Compact(edge));
        for (series, memory) in self.series.iter_mut().zip(&self.memory) {
            series.forget_before(edge.minus(*memory));
        }
        for state in &mut self.slos {
            let account = &state.account;
            if let Some(union) = &mut state.union {
                union.forget_before(edge.minus(account.memory));
            }
            let memory = account.indicators.iter().map(|indicator| self.memory[*indicator]).max();
            if let (Some(slices), Some(memory)) = (&mut state.slices, memory) {
                slices.forget_before(edge.minus(memory));
            }
            let derived = [&mut state.amended, &mut state.amended_intervals];
            for amended in derived.into_iter().flatten() {
                amended.forget_before(edge.minus(memory.unwrap_or_default()));
            }
        }
    }
}

/// Which pairs fired before a restart, as far as the alerts that were kept tell: all pairs of a
/// severity whose alert fired, so that blind windows hold it until data says otherwise.
fn restored_pairs(state: &SloState) -> Vec<bool> {
    let Some(policy) = &state.slo.policy else { return Vec::new() };
    let fires = |kind| state.alerts.iter().any(|a| a.kind == kind && a.is_firing());
    policy.pairs.iter().map(|pair| fires(AlertKind::of(pair.severity))).collect()
}

fn ceil_micros(latency: Duration) -> Duration {
    let micros = latency.as_nanos().div_ceil(1_000);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
