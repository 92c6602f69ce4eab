//! Which slots feed which histories: a line for each series, an indicator for each way in which
//! its slots count.
//!
//! SLOs that count the slots of a series in the same way share an indicator. What it keeps true:
//! laying out anew never changes what a history has counted already.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{EXTRA_MEMORY, Effect, Engine, Epoch, Shift};
use crate::engine::alert::{self, AlertKind};
use crate::engine::amend::Amendments;
use crate::engine::counters::Counters;
use crate::engine::identity;
use crate::engine::revision::{Judge, Revision, Rule, threshold_of};
use crate::engine::roll::{self, Roll};
use crate::engine::series::Series;
use crate::engine::slices::Slices;
use crate::engine::state::{Account, ProbeState, SloState};
use crate::engine::steady::Steady;
use crate::model::{
    Catalog, Outcome, Probe, ProbeId, Record, Run, SeriesId, Service, Slo, Source, Tally,
    Timestamp, Verdict,
};

/// One series on its way into history.
#[derive(Debug)]
pub(super) struct Line {
    pub roll: Roll,
    pub feeds: Vec<Feed>,
    /// Whether somebody else counts its slots.
    pub counted: bool,
    /// How long after its end a slot may be known.
    pub patience: Duration,
    /// Where the last slot ends that was counted by somebody else.
    pub counted_until: Option<Timestamp>,
    /// Slots due before this are promised, whatever is declared next.
    pub promised_until: Option<Timestamp>,
    /// Of one that ended with a process before this one, the first slot that is not known: it may
    /// have been promised.
    pub torn_at: Option<Timestamp>,
}

/// An indicator that a line feeds, and which of its slots count there.
#[derive(Debug)]
pub(super) struct Feed {
    pub indicator: usize,
    pub rule: Rule,
    /// Whether intervals are counted, by whether they were measured, and not what was counted in
    /// them.
    pub intervals: bool,
}

impl Line {
    /// A line that feeds nothing yet.
    pub fn new(series: SeriesId, step: Duration) -> Self {
        let roll = Roll::new(series, step, Vec::new());
        let (feeds, patience) = (Vec::new(), Duration::ZERO);
        let (counted_until, promised_until) = (None, None);
        let (counted, torn_at) = (false, None);
        Line { roll, feeds, counted, patience, counted_until, promised_until, torn_at }
    }

    /// Says whether somebody else counts in place of this probe.
    pub fn count_by(&mut self, probe: &Probe) {
        self.counted = probe.check.source().is_some();
        self.patience = probe.check.source().map(Source::patience).unwrap_or_default();
    }

    /// The thresholds that slots which are not accounted for yet may be held to, ascending.
    fn thresholds(&self) -> Vec<u32> {
        let open = self.roll.next_due().unwrap_or(Timestamp::MIN);
        let stretches = self.feeds.iter().flat_map(|feed| feed.rule.stretches());
        let mut all: Vec<u32> =
            stretches.filter(|(_, to, _)| *to > open).filter_map(|(_, _, judge)| judge).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Measures by the thresholds of its feeds, if those it has do not do. What is open may have
    /// to be closed into a slice for that.
    fn measure(&mut self) -> Option<Effect> {
        let wanted = self.thresholds();
        let known = self.roll.thresholds();
        if wanted.iter().all(|threshold| known.contains(threshold)) {
            return None;
        }
        self.roll.measure_by(wanted).map(|slice| Effect::Append(Record::Slice(slice)))
    }
}

/// The probes that count for an SLO, with their series.
pub(super) fn counted(
    slo: &Slo,
    series_of: &BTreeMap<ProbeId, SeriesId>,
) -> Vec<(SeriesId, ProbeId)> {
    let with_series = |probe: &ProbeId| Some((*series_of.get(probe)?, probe.clone()));
    slo.probes.iter().filter_map(with_series).collect()
}

/// The latency thresholds that any SLO holds a probe to now.
pub(super) fn thresholds(probe: &Probe, slos: &[Slo]) -> Vec<u32> {
    let uses = |slo: &&Slo| slo.probes.contains(&probe.id);
    slos.iter().filter(uses).filter_map(threshold_of).collect()
}

/// How far back the histories of an SLO are needed.
pub(super) fn memory(slo: &Slo) -> Duration {
    let longest = slo.policy.iter().flat_map(|policy| policy.windows()).max().unwrap_or_default();
    // Of a calendar also the period before the present one, for comparison and reports.
    let window = slo.window.longest() * if slo.window.calendar().is_some() { 2 } else { 1 };
    window.max(longest) + EXTRA_MEMORY
}

/// An SLO of which nothing is known yet.
pub(super) fn state(slo: &Slo, service: &Service) -> SloState {
    let alerts = match slo.policy {
        Some(_) => AlertKind::OF_SLO.map(|kind| alert::of_slo(kind, slo, service)).to_vec(),
        None => Vec::new(),
    };
    SloState {
        slo: slo.clone(),
        team: service.team().to_owned(),
        status: None,
        steady: Steady::default(),
        alerts,
        account: Account { memory: memory(slo), ..Account::default() },
        slices: slo.method.slice().filter(|_| !slo.is_composite()).map(|_| Slices::default()),
        union: None,
        amendments: Amendments::default(),
        amended: None,
        amended_intervals: None,
        laid_over: Default::default(),
        amended_epoch: Epoch::default(),
        ongoing: None,
        shift: Shift::default(),
        counted_until: None,
        disturbed: None,
    }
}

impl Engine {
    /// Takes up everything that a catalogue declares, in an engine that holds nothing yet.
    pub(super) fn declare(&mut self, catalog: &Catalog, series_of: &BTreeMap<ProbeId, SeriesId>) {
        let checks = identity::of_probes(catalog.probes());
        for service in &catalog.services {
            for probe in &service.probes {
                if let Some(series) = series_of.get(&probe.id) {
                    self.probes.push(self.probe_state(probe, *series, &service.slos));
                    let mut line = Line::new(*series, probe.interval);
                    line.count_by(probe);
                    self.add_line(line);
                }
            }
            for slo in &service.slos {
                let mut state = state(slo, service);
                if !slo.is_composite() {
                    let probes = counted(slo, series_of);
                    let revision = Revision::new(slo, probes, &checks, Timestamp::MIN);
                    state.account.revisions.revise(revision);
                }
                self.slo_of.insert(slo.id.clone(), self.slos.len());
                self.slos.push(state);
            }
        }
        self.lay_out();
    }

    pub(super) fn probe_state(&self, probe: &Probe, series: SeriesId, slos: &[Slo]) -> ProbeState {
        let vantage = self.options.vantage.as_str().into();
        let counters = Counters::new(&thresholds(probe, slos));
        ProbeState { probe: probe.clone(), series, vantage, counters }
    }

    /// The series of every probe that is declared.
    pub(super) fn series_of(&self) -> BTreeMap<ProbeId, SeriesId> {
        self.probes.iter().map(|state| (state.probe.id.clone(), state.series)).collect()
    }

    pub(super) fn add_line(&mut self, line: Line) -> usize {
        self.line_of.insert(line.roll.series(), self.lines.len());
        self.lines.push(line);
        self.lines.len() - 1
    }

    /// Makes a line for every series that ever counted for an SLO and has none.
    pub(super) fn bring_lines_back(&mut self) {
        let accounts = self.slos.iter().map(|state| &state.account).chain(self.absent.values());
        let wanted: Vec<SeriesId> =
            accounts.flat_map(|account| account.revisions.series()).collect();
        for series in wanted {
            if !self.line_of.contains_key(&series) {
                self.add_line(Line::new(series, Duration::from_secs(1)));
            }
        }
    }

    /// Connects lines and indicators as the revisions of every SLO say. An indicator goes on with
    /// what it has counted; one that is parted is copied first. Slices that had to be closed are
    /// to be kept.
    pub(super) fn lay_out(&mut self) -> Vec<Effect> {
        let mut old: Vec<Was> =
            std::mem::take(&mut self.series).into_iter().map(Was::Here).collect();
        self.memory.clear();
        self.lines.iter_mut().for_each(|line| line.feeds.clear());
        let present = self.slos.iter_mut().map(|state| &mut state.account);
        for account in present.chain(self.absent.values_mut()) {
            let before: Vec<(SeriesId, usize)> =
                account.series.drain(..).zip(account.indicators.drain(..)).collect();
            let intervals_before: Vec<(SeriesId, usize)> =
                account.counted.drain(..).zip(account.intervals.drain(..)).collect();
            account.lines.clear();
            for series in account.revisions.series() {
                let Some(&at) = self.line_of.get(&series) else { continue };
                if account.series.contains(&series) {
                    continue;
                }
                let rule = account.revisions.rule(series);
                let Line { feeds, counted, .. } = &mut self.lines[at];
                let mut feed = |intervals: bool, before: &[(SeriesId, usize)]| {
                    let alike = |feed: &&Feed| feed.rule == rule && feed.intervals == intervals;
                    let indicator = feeds.iter().find(alike).map(|feed| feed.indicator);
                    let indicator = indicator.unwrap_or_else(|| {
                        let was = before.iter().find(|(known, _)| *known == series);
                        let to = self.series.len();
                        let history = was.map(|(_, n)| old[*n].take(to, &self.series));
                        self.series.push(history.unwrap_or_default());
                        self.memory.push(Duration::ZERO);
                        feeds.push(Feed { indicator: to, rule: rule.clone(), intervals });
                        to
                    });
                    self.memory[indicator] = self.memory[indicator].max(account.memory);
                    indicator
                };
                let indicator = feed(false, &before);
                if *counted {
                    account.counted.push(series);
                    account.intervals.push(feed(true, &intervals_before));
                }
                account.series.push(series);
                account.indicators.push(indicator);
                account.lines.push(at);
            }
        }
        self.begin_epochs();
        self.lines.iter_mut().filter_map(Line::measure).collect()
    }

    /// Counts slots where they count. `thresholds` are those that the classes of the runs count,
    /// if not those that the line has now.
    pub(super) fn feed(&mut self, line: usize, runs: &[Run], thresholds: Option<&[u32]>) {
        let Line { roll, feeds, counted_until, .. } = &mut self.lines[line];
        let thresholds = thresholds.unwrap_or(roll.thresholds());
        for run in runs {
            if matches!(run.verdict, Verdict::Counted(_)) {
                *counted_until = (*counted_until).max(Some(run.end()));
            }
            if run.verdict.outcome() != Outcome::Unknown {
                self.known_until = self.known_until.max(Some(run.end()));
            }
            for Feed { indicator, rule, intervals } in feeds.iter() {
                for (from, to, judge) in rule.stretches() {
                    let Some(run) = roll::part(run, from, to) else { continue };
                    let each = match (intervals, run.verdict) {
                        (true, Verdict::Counted(_)) => Tally::of(Outcome::Good, 1),
                        (false, Verdict::Counted(_)) => run.verdict.tally(),
                        _ => Tally::of(outcome(&run, judge, thresholds), 1),
                    };
                    self.series[*indicator].push(run.start, run.step, run.n, each);
                }
            }
        }
    }
}

/// Where the history of an indicator is while others are laid out.
enum Was {
    Here(Series),
    There(usize),
}

impl Was {
    /// Moves it to the indicator at `to`, or copies it if it has been moved before.
    fn take(&mut self, to: usize, series: &[Series]) -> Series {
        match std::mem::replace(self, Was::There(to)) {
            Was::Here(history) => history,
            Was::There(at) => {
                *self = Was::There(at);
                series[at].clone()
            }
        }
    }
}

/// What the slots of a run were, held to a latency threshold in microseconds, if there is one.
fn outcome(run: &Run, judge: Judge, thresholds: &[u32]) -> Outcome {
    match (judge, run.verdict) {
        (Some(threshold), Verdict::Good) => within(run.class, threshold, thresholds),
        (_, verdict) => verdict.outcome(),
    }
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
