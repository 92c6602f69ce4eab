//! The oracle: knows what the targets did, what was reported, and what the disk took; says what
//! the engine must say.

use std::collections::BTreeMap;
use std::sync::Arc;

use nines::engine::{Engine, Revision};
use nines::model::budget::{Counted, Spending};
use nines::model::catalog::{Method, UnknownPolicy};
use nines::model::{
    BadReason, Catalog, Objective, Observation, Outcome, Probe, ProbeId, Record, Run, SeriesId,
    Slo, SloId, Tally, Timestamp, UnknownReason, Verdict,
};

use super::alerts::{self, Alerts};
use super::joint;
use super::line::{Line, Slot};
use super::store;
use super::world::World;
use super::{DAY, MINUTE, MS, SECOND};

/// Runs beyond which a history may put its old part on a grid of a minute, toward worse.
const COARSE_RUNS: usize = 4_096;

/// How long a cut lasts at least in which every reference keeps silent once for sure: an interval
/// of theirs and their timeout.
const TELLING: i64 = 1_750 * MS;

/// When a probe really was under way, in true time.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub start: i64,
    pub end: i64,
}

/// What was counted and tried over a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// How every slot ended.
    pub slots: Tally,
    /// Outages longer than an interval that a healthy monitor must have seen.
    pub owed: u64,
    /// Alerts that must have fired by a formula's moment.
    pub due_alerts: u64,
    /// Alerts that fired.
    pub alerts: u64,
    /// Windows compared.
    pub windows: u64,
    /// Those of composites.
    pub joint: u64,
    /// Kills soon after a result had overtaken its predecessor.
    pub overtaken: u64,
}

impl Score {
    /// Adds what was counted in another world.
    pub fn add(&mut self, other: &Score) {
        self.slots += other.slots;
        self.owed += other.owed;
        self.due_alerts += other.due_alerts;
        self.alerts += other.alerts;
        self.windows += other.windows;
        self.joint += other.joint;
        self.overtaken += other.overtaken;
    }
}

/// Everything that is known.
pub struct Oracle<'w> {
    world: &'w World,
    pub lines: BTreeMap<SeriesId, Line<'w>>,
    pub series_of: BTreeMap<ProbeId, SeriesId>,
    pub catalog: Arc<Catalog>,
    /// What each SLO promised from when on, oldest first.
    promises: BTreeMap<SloId, Vec<Revision>>,
    /// From when on, in true time, the process' timeline was how far ahead.
    anchors: Vec<(i64, i64)>,
    /// When the monitor was not in its right mind, in true time.
    unhealthy: Vec<(i64, i64)>,
    /// When nothing that was sent arrived anywhere, in true time.
    cuts: Vec<(i64, i64)>,
    /// When nobody probed or read an answer, in true time.
    unattended: Vec<(i64, i64)>,
    pub alerts: Alerts,
    outages_until: i64,
    most_runs: usize,
    pub score: Score,
}

impl<'w> Oracle<'w> {
    pub fn new(world: &'w World) -> Self {
        Oracle {
            world,
            lines: BTreeMap::new(),
            series_of: BTreeMap::new(),
            catalog: Arc::default(),
            promises: BTreeMap::new(),
            anchors: Vec::new(),
            unhealthy: Vec::new(),
            cuts: Vec::new(),
            unattended: Vec::new(),
            alerts: Alerts::default(),
            outages_until: world.from,
            most_runs: 0,
            score: Score::default(),
        }
    }

    /// Something was wrong with the monitor between these moments, in true time.
    pub fn unhealthy(&mut self, from: i64, to: i64) {
        self.unhealthy.push((from, to));
    }

    /// Nothing that was sent between these moments arrived anywhere, in true time.
    pub fn cut(&mut self, from: i64, to: i64) {
        self.cuts.push((from, to));
    }

    /// Nobody probed or read an answer between these moments, in true time.
    pub fn unattended(&mut self, from: i64, to: i64) {
        self.unattended.push((from, to));
    }

    /// Whether a probe met a cut that the monitor was awake for too little of to hear each
    /// reference keep silent, before it stood still or since. Such a cut is nobody's excuse.
    fn met_untold_cut(&self, seen: Seen) -> bool {
        let woke = self.unattended.iter().map(|(_, to)| *to).filter(|to| *to <= seen.start).max();
        let slept =
            self.unattended.iter().map(|(from, _)| *from).filter(|at| *at >= seen.end).min();
        let (woke, slept) = (woke.unwrap_or(i64::MIN), slept.unwrap_or(i64::MAX));
        let mut met = self.cuts.iter().filter(|(a, b)| *a <= seen.end && *b >= seen.start);
        let untold = |(from, to): &(i64, i64)| (*to).min(slept) - (*from).max(woke) < TELLING;
        // Where cuts overlap, one that can be told is enough.
        met.clone().next().is_some() && met.all(untold)
    }

    /// From this true moment on, the process' timeline is so far ahead.
    pub fn anchor(&mut self, at: i64, offset: i64) {
        self.anchors.push((at, offset));
    }

    /// The moment of the timeline that belongs to a true one.
    pub fn timeline(&self, at: i64) -> i64 {
        let place = self.anchors.partition_point(|(from, _)| *from <= at);
        at + place.checked_sub(1).map_or(0, |place| self.anchors[place].1)
    }

    /// Whether the monitor was in its right mind all through `[from, to]`, in true time.
    pub fn healthy(&self, from: i64, to: i64) -> bool {
        !self.unhealthy.iter().any(|(start, end)| *start <= to && *end >= from)
    }

    /// The true moment that belongs to one of the timeline.
    fn truly(&self, at: i64) -> i64 {
        let known = self.anchors.iter().rev().find(|(from, offset)| from + offset <= at);
        at - known.or(self.anchors.first()).map_or(0, |(_, offset)| *offset)
    }

    /// The same, for moments of the timeline.
    pub fn healthy_timeline(&self, from: i64, to: i64) -> bool {
        self.healthy(self.truly(from), self.truly(to))
    }

    /// How long the engine may not look at most.
    pub fn look(&self) -> i64 {
        self.world.look.1
    }

    /// A process begins: it accounts for the time since each history ended.
    pub fn born(
        &mut self,
        now: i64,
        offset: i64,
        catalog: &Arc<Catalog>,
        probes: &BTreeMap<SeriesId, Probe>,
        first_due: impl Fn(&Probe) -> i64,
    ) {
        self.anchor(now, offset);
        self.catalog = Arc::clone(catalog);
        self.series_of = probes.iter().map(|(s, probe)| (probe.id.clone(), *s)).collect();
        for (series, probe) in probes {
            let target = &self.world.targets[&probe.id];
            let line =
                self.lines.entry(*series).or_insert_with(|| Line::new(probe.clone(), target));
            line.fill(first_due(probe));
        }
    }

    /// A process says what is promised: what is declared now, and before that what was promised
    /// before, but for what the last process noted and the disk never had.
    pub fn promised(&mut self, engine: &Engine) -> Result<(), String> {
        // What is made of others promises nothing of its own.
        for state in engine.slos().iter().filter(|state| !state.slo.is_composite()) {
            let (slo, all) = (&state.slo, state.revisions());
            let series: Vec<SeriesId> = slo.probes.iter().map(|id| self.series_of[id]).collect();
            let declared = all.last().is_some_and(|last| {
                let under = slo.latency_under.map(|under| under.as_micros() as u32);
                last.probes.iter().map(|(series, _)| *series).eq(series)
                    && (last.objective, last.unknown) == (slo.objective, slo.unknown)
                    && (&last.window, last.threshold) == (&slo.window, under)
            });
            let before = self.promises.insert(slo.id.clone(), all.to_vec()).unwrap_or_default();
            let durable = &before[..before.len().saturating_sub(1)];
            let same = all.starts_with(durable) && all.is_sorted_by_key(|revision| revision.from);
            if !declared || !same {
                return Err(format!("{} promises {all:?} after {before:?}", slo.id));
            }
        }
        Ok(())
    }

    /// The promises of an SLO, with until when each is in force.
    fn promises(&self, slo: &Slo) -> Vec<(Revision, i64)> {
        let all = self.promises.get(&slo.id).cloned().unwrap_or_default();
        let ends = all.iter().skip(1).map(|next| next.from.micros()).chain([i64::MAX]);
        let ends: Vec<i64> = ends.collect();
        all.into_iter().zip(ends).collect()
    }

    /// What an SLO promised at a moment: how much of it, and how unknown slots count.
    pub fn promised_at(&self, slo: &Slo, at: i64) -> (Objective, UnknownPolicy) {
        let all = self.promises.get(&slo.id).map(Vec::as_slice).unwrap_or_default();
        let in_force = all.iter().rev().find(|promise| promise.from.micros() <= at);
        let own = (slo.objective, slo.unknown);
        in_force.map_or(own, |promise| (promise.objective, promise.unknown))
    }

    /// Whether one promise of an SLO was in force all through `[from, to]`.
    pub fn promised_throughout(&self, slo: &Slo, from: i64, to: i64) -> bool {
        let begins = |(promise, _): &(Revision, i64)| promise.from.micros();
        !self.promises(slo).iter().map(begins).any(|begin| begin > from && begin <= to)
    }

    /// A process ended; the next one comes at `next`.
    pub fn died(&mut self, now: i64, next: i64) {
        let lost = self.lines.values_mut().filter_map(Line::forget).min();
        let from = lost.map_or(now, |due| self.truly(due).min(now));
        self.unattended(now, next);
        // A new process finds its feet within a few seconds.
        self.unhealthy(from, next + 2 * SECOND);
    }

    /// The result of a slot is handed to the engine.
    pub fn observed(&mut self, observation: &Observation, seen: Seen) -> Result<(), String> {
        let line = self.lines.get(&observation.series).ok_or("a series nobody numbered")?;
        let truth = |slow| line.target.at_fault(seen.start, seen.end, slow);
        let under = 100 * MS as u32;
        let latency = observation.latency.map(|took| took.as_micros() as u32);
        let slow = latency.is_some_and(|took| took > under);
        let state = line.target.at(seen.start);
        let wrong = match observation.verdict {
            Verdict::Bad(BadReason::Timeout) => !truth(false) && !self.met_untold_cut(seen),
            Verdict::Bad(_) => !truth(false),
            Verdict::Good => !state.is_good() || slow && !truth(true),
            // A monitor that hides behind what it does not know is no better than one that lies.
            Verdict::Unknown(UnknownReason::NotRunning) | Verdict::Excluded => false,
            Verdict::Counted(_) => true,
            Verdict::Unknown(_) => self.healthy(seen.start - 3 * SECOND, seen.end),
        };
        if wrong {
            return Err(format!("{}: {observation:?} in {seen:?}, but {state:?}", line.probe.id));
        }
        let due = observation.due.micros();
        let line = self.lines.get_mut(&observation.series).ok_or("a series nobody numbered")?;
        line.put(Slot { due, verdict: observation.verdict, latency, durable: false })
    }

    /// Slots that were not started are handed to the engine.
    pub fn missed(&mut self, series: SeriesId, run: Run) -> Result<(), String> {
        if self.healthy_timeline(run.start.micros(), run.end().micros()) {
            return Err(format!("slots were missed for no reason: {run:?}"));
        }
        let line = self.lines.get_mut(&series).ok_or("a series nobody numbered")?;
        for k in 0..run.n {
            let due = run.start.plus(run.step * k).micros();
            line.put(Slot { due, verdict: run.verdict, latency: None, durable: false })?;
        }
        Ok(())
    }

    /// The disk has these.
    pub fn durable(&mut self, records: &[Record]) {
        for (series, dues) in records.iter().filter_map(store::slots) {
            if let Some(line) = self.lines.get_mut(&series) {
                line.durable(dues.start, dues.end);
            }
        }
        for record in records {
            if let Record::State { name, json } = record {
                self.alerts.durable(name, json);
            }
        }
    }

    /// The engine has looked.
    pub fn looked(&mut self, engine: &Engine, _now: i64) {
        self.most_runs = self.most_runs.max(engine.segments());
    }

    /// An alert has changed.
    pub fn transition(&mut self, engine: &Engine, name: &str, json: &str) -> Result<(), String> {
        alerts::transition(self, engine, name, json)
    }

    /// How the slots of an SLO count that are due in `[from, to)`.
    pub fn count(&mut self, slo: &Slo, from: i64, to: i64) -> Tally {
        self.pieces(slo, from, to).into_iter().map(|(_, tally)| tally).sum()
    }

    /// The same, by what was promised when they were due.
    fn pieces(&mut self, slo: &Slo, from: i64, to: i64) -> Vec<(Revision, Tally)> {
        let mut pieces = Vec::new();
        for (promise, end) in self.promises(slo) {
            let (from, to) = (from.max(promise.from.micros()), to.min(end));
            let mut tally = Tally::ZERO;
            for (series, _) in promise.probes.iter().filter(|_| from < to) {
                let line = self.lines.get_mut(series).expect("every probe has a line");
                let threshold = promise.threshold;
                tally += line.count_before(to, threshold) - line.count_before(from, threshold);
            }
            pieces.push((promise, tally));
        }
        pieces
    }

    /// When the first slot of an SLO was due.
    pub fn first(&self, slo: &Slo) -> Option<i64> {
        let all = self.promises(slo);
        let firsts = all.iter().flat_map(|(promise, end)| {
            let lines = promise.probes.iter().map(|(series, _)| &self.lines[series]);
            lines.filter_map(|line| line.within(promise.from.micros(), *end).first())
        });
        firsts.map(|slot| slot.due).min()
    }

    /// Compares everything the engine says with what it must say.
    pub fn check(&mut self, engine: &Engine, now: i64) -> Result<(), String> {
        let stats = engine.stats();
        if (stats.duplicates, stats.lost, stats.strangers) != (0, 0, 0) {
            return Err(format!("every slot comes once: {stats:?}"));
        }
        for state in engine.slos() {
            let Some(status) = &state.status else { continue };
            if state.slo.is_composite() {
                self.score.joint += joint::compare(self, &state.slo, status)?;
                continue;
            }
            if let Method::Timeslices { slice, objective } = state.slo.method {
                let slice = (slice.as_micros() as i64, objective);
                self.score.joint += joint::compare_slices(self, &state.slo, status, slice)?;
                continue;
            }
            self.compare(&state.slo_at(status.at), status)?;
        }
        self.outages_seen(now)?;
        alerts::owed(self, engine, now)?;
        alerts::standing(self, engine)
    }

    /// The world is over: how every slot ended.
    pub fn finish(&mut self) {
        let slots = self.lines.values().flat_map(|line| line.slots());
        self.score.slots = slots.map(|slot| Tally::of(slot.verdict.outcome(), 1)).sum();
    }

    fn compare(&mut self, slo: &Slo, status: &nines::engine::SloStatus) -> Result<(), String> {
        let at = status.at.micros();
        let scheduled = self.scheduled_before(slo, at);
        let totals = self.count(slo, i64::MIN, at);
        if status.totals != totals || totals.scheduled() != scheduled {
            let said = status.totals;
            return Err(format!(
                "{}: {scheduled} slots before {}: {said:?}, but {totals:?}",
                slo.id, status.at
            ));
        }
        let tally = self.count(slo, at - slo.window.longest().as_micros() as i64, at);
        self.same(slo, slo.window.longest().as_micros() as i64, status.at, status.tally, tally)?;
        let length = slo.window.longest().as_micros() as i64;
        let spending = self.spending(slo, at - length, at);
        if status.budget.spending() != spending && !self.may_be_coarse(length) {
            let said = status.budget;
            return Err(format!("{}: a budget of {said:?}, but {spending:?}", slo.id));
        }
        for burn in &status.burns {
            let length = burn.window.as_micros() as i64;
            let spending = self.spending(slo, at - length, at);
            let said = Spending { counted: burn.counted, allowed_ppb: burn.allowed_ppb };
            if said != spending && !self.may_be_coarse(length) {
                let window = burn.window;
                return Err(format!("{} over {window:?}: {said:?}, but {spending:?}", slo.id));
            }
        }
        self.score.windows += 1 + status.burns.len() as u64;
        Ok(())
    }

    /// How many slots of its grid an SLO's probes have had before a moment, by arithmetic alone.
    fn scheduled_before(&self, slo: &Slo, at: i64) -> u64 {
        let all = self.promises(slo);
        let counts = all.iter().flat_map(|(promise, end)| {
            let lines = promise.probes.iter().map(|(series, _)| &self.lines[series]);
            lines.filter_map(move |line| {
                let first = line.slots().first()?.due;
                // Nobody accounts for the time after the last process that knew a probe.
                let known = match self.series_of.contains_key(&line.probe.id) {
                    true => i64::MAX,
                    false => line.slots().last()?.due + 1,
                };
                let before = |at: i64| {
                    let passed = at.min(known).saturating_sub(first).max(0).unsigned_abs();
                    passed.div_ceil(line.interval().unsigned_abs())
                };
                Some(before(at.min(*end)) - before(promise.from.micros().min(at)))
            })
        });
        counts.sum()
    }

    pub fn may_be_coarse(&self, length: i64) -> bool {
        length > DAY && self.most_runs >= COARSE_RUNS
    }

    /// Windows are exact; the far edge of those over a day may be coarse to a minute toward
    /// worse, once a history has very many runs.
    fn same(
        &mut self,
        slo: &Slo,
        length: i64,
        at: Timestamp,
        said: Tally,
        exact: Tally,
    ) -> Result<(), String> {
        if said == exact {
            return Ok(());
        }
        let from = at.micros() - length;
        let wider = self.count(slo, from - MINUTE, at.micros());
        let narrower = self.count(slo, from + MINUTE, at.micros());
        let worse = said.bad >= exact.bad && said.bad <= wider.bad;
        let not_better = said.good <= exact.good && said.good >= narrower.good;
        if self.may_be_coarse(length) && worse && not_better {
            return Ok(());
        }
        Err(format!("{} over its window at {at}: {said:?}, but {exact:?}", slo.id))
    }

    /// Every outage longer than an interval that happened before a healthy monitor was seen.
    fn outages_seen(&mut self, now: i64) -> Result<(), String> {
        let until = now - MINUTE;
        for series in self.series_of.values() {
            let line = &self.lines[series];
            for slow in [false, true] {
                for (from, to) in line.target.outages(self.outages_until, until, slow) {
                    let long = to - from > line.interval() + line.timeout() + 100 * MS;
                    if !long || !self.healthy(from - SECOND, to + line.timeout() + SECOND) {
                        continue;
                    }
                    self.score.owed += 1;
                    let slots = line.within(self.timeline(from), self.timeline(to));
                    let threshold = slow.then_some(100 * MS as u32);
                    if !slots.iter().any(|slot| slot.outcome(threshold) == Outcome::Bad) {
                        return Err(format!(
                            "{}: nothing bad in an outage of {} ms before {} (true time)",
                            line.probe.id,
                            (to - from) / MS,
                            Timestamp::from_micros(to)
                        ));
                    }
                }
            }
        }
        self.outages_until = until;
        Ok(())
    }

    /// What counted of an SLO, and what was allowed by what was promised then.
    pub fn spending(&mut self, slo: &Slo, from: i64, to: i64) -> Spending {
        let pieces = self.pieces(slo, from, to).into_iter();
        let spending = pieces.map(|(promise, tally)| {
            let counted = Counted::of(tally, promise.unknown);
            let allowed = u128::from(promise.objective.budget_ppb()) * u128::from(counted.total());
            Spending { counted, allowed_ppb: allowed }
        });
        spending.fold(Spending::default(), std::ops::Add::add)
    }
}
