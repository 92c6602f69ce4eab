//! The engine: every history, every evaluation and every alert of one process.
//!
//! Fed with observations and the time, it answers with effects: what to keep for good and whom
//! to tell. What it keeps true: every slot is in exactly one tally, an SLO is evaluated at whole
//! seconds and only once everything due before is known, and replaying the records it asked to
//! keep builds the same state again.

mod blind;
mod restore;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Catalog, Observation, Outcome, Probe, ProbeId, Record, Run, SeriesId, Slo, SloId, Tally,
    Timestamp, UnknownReason, Verdict,
};

pub use blind::{Blindness, CUT_OFF_AFTER};

use super::alert::{self, Alert, AlertKind, Notice};
use super::counters::Counters;
use super::evaluate::{self, Histories, Moment};
use super::isolation::Sight;
use super::roll::{Roll, Taken};
use super::series::Series;
use super::slices::Slices;
use super::state::{ProbeState, SloState};
use super::status::SloStatus;

/// Slices are closed every ten minutes. A start reads the slices of the day and the observations
/// since the last one; at a probe every 5 s the two together are fewest near ten minutes.
const SLICE: Duration = Duration::from_secs(600);
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
}

/// One thing that counts events: a probe, with or without a latency threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Feed {
    indicator: usize,
    /// In microseconds.
    threshold: Option<u32>,
}

/// Histories, evaluations and alerts.
#[derive(Debug)]
pub struct Engine {
    catalog: Arc<Catalog>,
    options: Options,
    probes: Vec<ProbeState>,
    rolls: Vec<Roll>,
    feeds: Vec<Vec<Feed>>,
    series: Vec<Series>,
    /// How far back each of `series` is needed.
    memory: Vec<Duration>,
    slos: Vec<SloState>,
    probe_of: BTreeMap<SeriesId, usize>,
    probes_of_slo: Vec<Vec<usize>>,
    slo_of: BTreeMap<SloId, usize>,
    /// Histories of probes that are no longer declared, until they are in slices.
    orphans: BTreeMap<SeriesId, Roll>,
    blind: Alert,
    watchdog: Alert,
    sight: Sight,
    /// Up to when any slot of any probe is known to have been good or bad.
    known_until: Option<Timestamp>,
    started: Option<Timestamp>,
    kept_totals: Option<restore::KeptTotals>,
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
            rolls: Vec::new(),
            feeds: Vec::new(),
            series: Vec::new(),
            memory: Vec::new(),
            slos: Vec::new(),
            probe_of: BTreeMap::new(),
            probes_of_slo: Vec::new(),
            slo_of: BTreeMap::new(),
            orphans: BTreeMap::new(),
            started: None,
            kept_totals: None,
            last_tick: None,
            last_slice: None,
            stats: EngineStats::default(),
            catalog: Arc::clone(&catalog),
        };
        for service in &catalog.services {
            for probe in &service.probes {
                if let Some(series) = series_of.get(&probe.id) {
                    engine.add_probe(probe, *series, &service.slos);
                }
            }
            for slo in &service.slos {
                engine.add_slo(slo, service);
            }
        }
        engine
    }

    fn add_probe(&mut self, probe: &Probe, series: SeriesId, slos: &[Slo]) {
        let uses = |slo: &&Slo| slo.probes.contains(&probe.id);
        let mut thresholds: Vec<u32> = slos.iter().filter(uses).filter_map(threshold_of).collect();
        thresholds.sort_unstable();
        thresholds.dedup();
        let vantage = self.options.vantage.as_str().into();
        let counters = Counters::new(&thresholds);
        self.probe_of.insert(series, self.probes.len());
        self.rolls.push(Roll::new(series, probe.interval, thresholds));
        self.feeds.push(Vec::new());
        self.probes.push(ProbeState { probe: probe.clone(), series, vantage, counters });
    }

    fn add_slo(&mut self, slo: &Slo, service: &crate::model::Service) {
        let position = |id: &ProbeId| self.probes.iter().rposition(|p| p.probe.id == *id);
        let probes: Vec<usize> = slo.probes.iter().filter_map(position).collect();
        let threshold = threshold_of(slo);
        let longest = slo.policy.iter().flat_map(|p| p.windows()).max().unwrap_or_default();
        // Of a calendar also the period before the present one, for comparison and reports.
        let window = slo.window.longest() * if slo.window.calendar().is_some() { 2 } else { 1 };
        let memory = window.max(longest) + EXTRA_MEMORY;
        let mut indicators = Vec::new();
        for probe in &probes {
            let known = self.feeds[*probe].iter().find(|feed| feed.threshold == threshold);
            let indicator = known.map(|feed| feed.indicator).unwrap_or_else(|| {
                self.series.push(Series::default());
                self.memory.push(Duration::ZERO);
                self.series.len() - 1
            });
            if known.is_none() {
                self.feeds[*probe].push(Feed { indicator, threshold });
            }
            self.memory[indicator] = self.memory[indicator].max(memory);
            indicators.push(indicator);
        }
        self.probes_of_slo.push(probes);
        let alerts = match slo.policy {
            Some(_) => AlertKind::OF_SLO.map(|kind| alert::of_slo(kind, slo, service)).to_vec(),
            None => Vec::new(),
        };
        let team = service.team().to_owned();
        self.slo_of.insert(slo.id.clone(), self.slos.len());
        let (slo, slices) = (slo.clone(), slo.method.slice().map(|_| Slices::default()));
        self.slos.push(SloState { slo, team, status: None, alerts, indicators, slices });
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
        self.series.iter().map(Series::segments).sum()
    }

    /// The histories that make up one SLO.
    pub fn histories<'a>(&'a self, state: &'a SloState) -> Histories<'a> {
        Histories { series: &self.series, of: &state.indicators }
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
        let histories = self.histories(state);
        histories.iter().find_map(Series::first)?;
        let from = state.slo.window.period(at).start;
        if histories.iter().filter_map(Series::forgotten).any(|forgotten| from <= forgotten) {
            return None;
        }
        let moment = Moment::new(self.judged(state), at).over_slots(histories);
        let pairs = evaluate::firing_pairs(&moment, &state.slo, &[]);
        Some(evaluate::evaluate(&moment, &state.slo, pairs))
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
        self.rolls.iter().filter_map(Roll::last_due).max()
    }

    /// The moment at which time goes on for a process that starts at this wall time: then, or
    /// just after the last slot of any series that is accounted for, if the wall clock has gone
    /// back behind that. Starting earlier would probe slots that count already.
    pub fn resume_at(&self, wall: Timestamp) -> Timestamp {
        self.history_end().map_or(wall, |last| wall.max(last.plus(Duration::from_micros(1))))
    }

    /// Takes the result of one slot.
    pub fn observe(&mut self, mut observation: Observation, effects: &mut Vec<Effect>) {
        // History keeps whole microseconds: what is judged now must be what is restored then,
        // and a hair above a threshold is above it.
        observation.latency = observation.latency.map(ceil_micros);
        let series = observation.series;
        if let Some(probe) = self.take(series, |roll| roll.observe(&observation), effects) {
            self.probes[probe].counters.count(&observation);
            effects.push(Effect::Append(Record::Observation(observation)));
        }
    }

    /// Takes slots in a row that nobody observed, with the verdict that says why.
    pub fn miss(&mut self, series: SeriesId, run: Run, effects: &mut Vec<Effect>) {
        if let Some(probe) = self.take(series, |roll| roll.miss(run), effects) {
            if let Verdict::Unknown(reason) = run.verdict {
                self.probes[probe].counters.unknown[reason.index()] += u64::from(run.n);
            }
            effects.push(Effect::Append(Record::Gap(series, run)));
        }
    }

    /// Puts slots into history; says whose they were unless they are to be ignored.
    fn take(
        &mut self,
        series: SeriesId,
        take: impl FnOnce(&mut Roll) -> Taken,
        effects: &mut Vec<Effect>,
    ) -> Option<usize> {
        let Some(&probe) = self.probe_of.get(&series) else {
            self.stats.strangers += 1;
            return None;
        };
        let taken = take(&mut self.rolls[probe]);
        if taken.duplicate {
            self.stats.duplicates += 1;
            return None;
        }
        if let Some(lost) = taken.lost {
            self.stats.lost += u64::from(lost.n);
            let index = UnknownReason::LocalFault.index();
            self.probes[probe].counters.unknown[index] += u64::from(lost.n);
            effects.push(Effect::Append(Record::Gap(series, lost)));
        }
        self.feed_all(probe, &taken.accepted);
        Some(probe)
    }

    /// Evaluates every SLO at every whole second up to `now` for which everything due before is
    /// known, moves alerts on, and closes slices that are complete.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for slo in 0..self.slos.len() {
            self.tick_slo(slo, now, &mut effects);
        }
        self.tick_blind(now, &mut effects);
        self.last_tick = Some(now.floor_second());
        self.watchdog.evaluated_at = now;
        let resend = self.options.resend_delay;
        let all = self.slos.iter_mut().flat_map(|state| &mut state.alerts);
        for alert in all.chain([&mut self.blind, &mut self.watchdog]) {
            effects.extend(alert.notice(resend, now).map(Effect::Notify));
        }
        self.close_slices(now, &mut effects);
        effects
    }

    fn tick_slo(&mut self, slo: usize, now: Timestamp, effects: &mut Vec<Effect>) {
        let state = &self.slos[slo];
        let known = self.probes_of_slo[slo].iter().map(|p| self.rolls[*p].next_due()).min();
        let Some(Some(known)) = known else { return };
        let until = now.min(known).floor_second();
        let second = Duration::from_secs(1);
        let histories = Histories { series: &self.series, of: &state.indicators };
        if histories.iter().filter_map(Series::first).min().is_none_or(|first| until <= first) {
            // Not a slot was due yet: there is nothing to say, not even that all is well.
            self.transit_no_data(slo, known, now, effects);
            return;
        }
        let state = &mut self.slos[slo];
        if let Some(slices) = &mut state.slices {
            let slots = Histories { series: &self.series, of: &state.indicators };
            slices.extend(slots, &state.slo, known.min(now));
        }
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
        let histories = self.judged(&self.slos[slo]);
        let fires = pairs.iter().any(|fires| *fires);
        if at < until && !fires && evaluate::stays_quiet(histories, &self.slos[slo].slo, at, until)
        {
            at = until;
        }
        while at < until {
            let state = &self.slos[slo];
            let moment = Moment::new(self.judged(state), at);
            pairs = evaluate::firing_pairs(&moment, &state.slo, &pairs);
            let fires = alert::burn_conditions(&state.slo, &pairs);
            alert::transit_burns(&mut self.slos[slo].alerts, fires, at, effects);
            at = at.plus(second);
        }
        self.finish_tick(slo, pairs, until, effects);
        self.transit_no_data(slo, known, now, effects);
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
        let slots = self.histories(state);
        let moment = Moment::of_slo(self.judged(state), &state.slo, at).over_slots(slots);
        let pairs = evaluate::firing_pairs(&moment, &state.slo, &before);
        let fires = alert::burn_conditions(&state.slo, &pairs);
        let exhausted = evaluate::is_exhausted(&moment, &state.slo);
        let status = evaluate::evaluate(&moment, &state.slo, pairs);
        let state = &mut self.slos[slo];
        alert::transit_burns(&mut state.alerts, fires, at, effects);
        alert::transit(&mut state.alerts, AlertKind::Exhausted, exhausted, at, effects);
        alert::describe(&mut state.alerts, &state.slo, &status);
        state.status = Some(status);
    }

    /// No data: nothing known in the last while, or results that do not come at all.
    fn transit_no_data(
        &mut self,
        slo: usize,
        known: Timestamp,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let interval = self.probes_of_slo[slo].iter().map(|p| self.probes[*p].probe.interval).max();
        let quiet = alert::quiet_after(interval.unwrap_or_default());
        let state = &self.slos[slo];
        let histories = Histories { series: &self.series, of: &state.indicators };
        let begun = histories.iter().filter_map(Series::first).min().or(self.started);
        let blind = begun.is_some_and(|begun| now.since(begun) >= quiet)
            && (now.since(known) >= quiet || histories.window(quiet, now).known() == 0);
        let alerts = &mut self.slos[slo].alerts;
        alert::transit(alerts, AlertKind::NoData, blind, now.floor_second(), effects);
    }

    /// Closes slices up to the last full ten minutes that are completely known.
    fn close_slices(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let known = self.rolls.iter().filter_map(Roll::next_due).min().unwrap_or(now);
        let edge = known.min(now).floor(SLICE);
        if self.last_slice.is_none_or(|last| edge <= last) {
            return;
        }
        self.last_slice = Some(edge);
        let orphans = self.orphans.values_mut();
        let slices = self.rolls.iter_mut().chain(orphans).filter_map(|roll| roll.close(edge));
        effects.extend(slices.map(|slice| Effect::Append(Record::Slice(slice))));
        self.orphans.clear();
        effects.push(Effect::Append(self.totals_record(edge)));
        effects.push(Effect::Compact(edge));
        for (series, memory) in self.series.iter_mut().zip(&self.memory) {
            series.forget_before(edge.minus(*memory));
        }
        for state in &mut self.slos {
            let memory = state.indicators.iter().map(|indicator| self.memory[*indicator]).max();
            if let (Some(slices), Some(memory)) = (&mut state.slices, memory) {
                slices.forget_before(edge.minus(memory));
            }
        }
    }

    fn feed_all(&mut self, probe: usize, runs: &[Run]) {
        for run in runs {
            if run.verdict.outcome() != Outcome::Unknown {
                self.known_until = self.known_until.max(Some(run.end()));
            }
            let series = &mut self.series;
            for feed in &self.feeds[probe] {
                let outcome = match (feed.threshold, run.verdict) {
                    (Some(threshold), Verdict::Good) => {
                        let thresholds = self.rolls[probe].thresholds();
                        within(run.class, threshold, thresholds)
                    }
                    (_, verdict) => verdict.outcome(),
                };
                push(&mut series[feed.indicator], run, outcome);
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

/// The latency threshold of an SLO in microseconds.
fn threshold_of(slo: &Slo) -> Option<u32> {
    slo.latency_under.map(|under| u32::try_from(under.as_micros()).unwrap_or(u32::MAX))
}

/// Whether an answer of this class took at most `threshold`. The class says how many of the
/// ascending `thresholds` it exceeded; where that leaves it open, it is unknown.
fn within(class: u8, threshold: u32, thresholds: &[u32]) -> Outcome {
    let class = usize::from(class);
    let exceeded = class.checked_sub(1).and_then(|last| thresholds.get(last));
    if exceeded.is_some_and(|exceeded| *exceeded >= threshold) {
        return Outcome::Bad;
    }
    match thresholds.get(class) {
        Some(kept) if *kept <= threshold => Outcome::Good,
        _ => Outcome::Unknown,
    }
}

fn push(series: &mut Series, run: &Run, outcome: Outcome) {
    series.push(run.start, run.step, run.n, Tally::of(outcome, 1));
}

#[cfg(test)]
mod tests;
