//! Whose fault was it? Verdicts that may be our own isolation wait here for evidence.
//!
//! Stands between the prober and the engine. Pure: reports and the time in, settled reports out.
//! What it keeps true: every slot that goes in comes out once, and those of one series in the
//! order in which they came; nothing waits longer than [`HOLD_LATE_MAX`]; without references
//! nothing waits at all. An answer of the peer, a refusal too, is proof that we are connected and
//! is never doubted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    BadReason, Observation, Phases, Run, SeriesId, Timestamp, UnknownReason, Verdict,
};

use super::fault::{Cause, Slots};
use super::witness::{Sign, Witnesses};

/// Longest time for which a verdict waits: a whole interval of the references and their timeout,
/// and some time to hear of it.
const HOLD_MAX: Duration = Duration::from_secs(2);
/// The same on a machine that is too busy to hear of its references in time: rather wait than
/// blame a target for that.
pub const HOLD_LATE_MAX: Duration = Duration::from_secs(5);
/// Most slots that wait, some 12 MB. Beyond it the oldest of a series are settled by what is
/// known so far.
pub const HELD_MAX: usize = 65_536;

/// The account of one slot, or of several that were missed in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A slot that was started, with a verdict that stands.
    Observed(Observation),
    /// A slot that was started and whose verdict may be our own doing. It stands as it is if
    /// there is nobody to ask.
    Doubted(Observation, Doubt),
    /// Slots that nothing is known about; the run's verdict says why.
    Missed(SeriesId, Run),
    /// Slots that somebody else counted, or should have. Never doubted.
    Counted(Counted),
}

/// Slots that somebody else counted, or should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Whose slots.
    pub series: SeriesId,
    /// The slots; the verdict holds the counts.
    pub run: Run,
    /// What whoever reports this needs to go on after a restart, by name: kept with the slots.
    pub state: Option<(String, String)>,
}

impl Report {
    /// How many slots this accounts for.
    pub fn n_slots(&self) -> u64 {
        match self {
            Report::Observed(_) | Report::Doubted(..) => 1,
            Report::Missed(_, run) | Report::Counted(Counted { run, .. }) => u64::from(run.n),
        }
    }

    /// Whose slots.
    pub fn series(&self) -> SeriesId {
        match self {
            Report::Observed(observation) | Report::Doubted(observation, _) => observation.series,
            Report::Missed(series, _) | Report::Counted(Counted { series, .. }) => *series,
        }
    }
}

/// What is doubtful about a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// What kept silent.
    pub about: Silence,
    /// From the start of the probe until it was given up.
    pub elapsed: Duration,
}

/// What kept silent when a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The target: a timeout, or a router's word that it cannot be reached.
    Target,
    /// Our own routing table knew no way.
    Route,
    /// The name servers.
    Resolver,
}

/// Something that is probed to know ourselves: it is no target of any SLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its name, for people.
    pub name: String,
    /// The number that its reports carry. Not one of the ledger's.
    pub series: SeriesId,
    /// Whether it is a name that must resolve, and not a target that must answer.
    pub is_name: bool,
}

/// A reference as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// What its last run said.
    pub last: Option<Sign>,
    /// How many of its runs were answered, were silent, and were not measured.
    pub runs: [u64; 3],
}

/// Whether we see the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// There is nobody to ask, or nobody has said anything yet.
    #[default]
    Unknown,
    /// A reference has answered, and they have not all been silent since.
    Clear,
    /// No reference has answered since then.
    CutOff(Timestamp),
}

/// The verdicts that wait, and the evidence they wait for.
#[derive(Clone, Debug)]
pub struct Isolation {
    references: Vec<Reference>,
    runs: Vec<[u64; 3]>,
    witness_of: BTreeMap<SeriesId, usize>,
    n_targets: usize,
    network: Witnesses,
    resolver: Witnesses,
    held: BTreeMap<SeriesId, VecDeque<Report>>,
    n_held: usize,
    overflows: u64,
    slots: Slots,
}

impl Isolation {
    /// Asks these references, each of which is due once an interval.
    pub fn new(mut references: Vec<Reference>, interval: Duration) -> Self {
        references.sort_by_key(|reference| reference.is_name);
        let n_targets = references.iter().filter(|reference| !reference.is_name).count();
        let witness_of = references.iter().enumerate().map(|(n, r)| (r.series, n)).collect();
        Isolation {
            network: Witnesses::new(n_targets, interval),
            resolver: Witnesses::new(references.len() - n_targets, interval),
            runs: vec![[0; 3]; references.len()],
            references,
            witness_of,
            n_targets,
            held: BTreeMap::new(),
            n_held: 0,
            overflows: 0,
            slots: Slots::default(),
        }
    }

    /// Takes a report of a probe or of a reference. What is settled is added to `settled`, which
    /// never gets a doubted report.
    pub fn take(&mut self, report: Report, settled: &mut Vec<Report>) {
        let series = report.series();
        if let Some(&reference) = self.witness_of.get(&series) {
            self.hear(reference, &report);
            return;
        }
        let waits = matches!(report, Report::Doubted(..)) && self.has_witnesses();
        if !waits && !self.held.contains_key(&series) {
            let report = self.judge(report);
            settled.push(report);
            return;
        }
        self.held.entry(series).or_default().push_back(report);
        self.n_held += 1;
        if self.n_held > HELD_MAX {
            self.overflows += 1;
            self.empty(series, settled);
        }
    }

    /// Settles what evidence or time has settled by `now`.
    pub fn release(&mut self, now: Timestamp, settled: &mut Vec<Report>) {
        self.network.settle(now);
        self.resolver.settle(now);
        let mut held = std::mem::take(&mut self.held);
        held.retain(|_, queue| {
            while let Some(report) = queue.front() {
                let over = window(report).is_some_and(|(_, until)| self.is_over(until, now));
                if !self.is_clear(report) && !over {
                    break;
                }
                let Some(report) = queue.pop_front() else { break };
                self.n_held -= 1;
                let report = self.judge(report);
                settled.push(report);
            }
            !queue.is_empty()
        });
        self.held = held;
    }

    /// Settles everything by what is known, because no more evidence will come.
    pub fn finish(&mut self, settled: &mut Vec<Report>) {
        let waiting: Vec<SeriesId> = self.held.keys().copied().collect();
        waiting.into_iter().for_each(|series| self.empty(series, settled));
    }

    /// Whether this machine is cut off, as far as is known.
    pub fn sight(&self) -> Sight {
        match self.network.cut_since() {
            Some(since) => Sight::CutOff(since),
            None if self.network.has_answered() => Sight::Clear,
            None => Sight::Unknown,
        }
    }

    /// Since when no name server answers, although we are connected as far as we know.
    pub fn resolver_silent_since(&self) -> Option<Timestamp> {
        self.resolver.cut_since().filter(|_| !self.network.is_cut())
    }

    /// Every reference as it stands, targets before names.
    pub fn standings(&self) -> impl Iterator<Item = Standing> {
        let signs = self.network.last_signs().chain(self.resolver.last_signs());
        let standing = |((reference, runs), last): ((&Reference, &[u64; 3]), _)| Standing {
            name: reference.name.clone(),
            last,
            runs: *runs,
        };
        self.references.iter().zip(&self.runs).zip(signs).map(standing)
    }

    /// How many slots wait.
    pub fn n_held(&self) -> usize {
        self.n_held
    }

    /// How often slots were settled early because too many waited.
    pub fn overflows(&self) -> u64 {
        self.overflows
    }

    /// What the slots were unknown for that were decided here.
    pub fn slots(&self) -> Slots {
        self.slots
    }

    fn has_witnesses(&self) -> bool {
        !self.network.is_empty() || !self.resolver.is_empty()
    }

    /// Hears a reference out.
    fn hear(&mut self, reference: usize, report: &Report) {
        let (witnesses, witness) = match reference.checked_sub(self.n_targets) {
            None => (&mut self.network, reference),
            Some(name) => (&mut self.resolver, name),
        };
        let sign = sign(report);
        self.runs[reference][sign as usize] += report.n_slots();
        match report {
            Report::Observed(run) | Report::Doubted(run, _) => {
                let start = run.due.plus(run.lag);
                let end = start.plus(run.latency.unwrap_or_default());
                witnesses.report(witness, run.due, (start, end), sign);
            }
            Report::Missed(_, run) | Report::Counted(Counted { run, .. }) => {
                witnesses.skip(witness, run.end());
            }
        }
    }

    /// Whether the evidence on a report is complete.
    fn is_clear(&self, report: &Report) -> bool {
        let Report::Doubted(_, doubt) = report else { return true };
        let Some((from, until)) = window(report) else { return true };
        match self.network.was_cut(from, until) {
            None => false,
            Some(true) => true,
            Some(false) if doubt.about == Silence::Resolver => {
                self.resolver.was_cut(from, until).is_some()
            }
            Some(false) => true,
        }
    }

    /// Whether evidence on what ended at `until` is not waited for any more.
    fn is_over(&self, until: Timestamp, now: Timestamp) -> bool {
        let hold = until.plus(HOLD_MAX);
        let heard = self.network.are_heard_since(until) && self.resolver.are_heard_since(until);
        now >= if heard { hold } else { until.plus(HOLD_LATE_MAX) }
    }

    /// The verdict that stands. Where evidence is missing, so is the excuse.
    fn judge(&mut self, report: Report) -> Report {
        let window = window(&report);
        let (Report::Doubted(observation, doubt), Some((from, until))) = (&report, window) else {
            return report;
        };
        let resolver = match self.resolver.is_empty() {
            true => None,
            false => self.resolver.was_cut(from, until),
        };
        let (observation, cause) = match (doubt.about, resolver) {
            _ if self.network.was_cut(from, until) == Some(true) => {
                let why = "cut off: no reference answered";
                (unknown(observation, UnknownReason::Isolated, why), Some(Cause::Isolated))
            }
            (Silence::Target, _) => (observation.clone(), None),
            (Silence::Route, _) => (observation.clone(), Some(Cause::Route)),
            (Silence::Resolver, None) => (observation.clone(), Some(Cause::Resolver)),
            (Silence::Resolver, Some(true)) => {
                let why = "resolver: no control name resolved either";
                (unknown(observation, UnknownReason::LocalFault, why), Some(Cause::Resolver))
            }
            (Silence::Resolver, Some(false)) => (unresolved(observation, doubt.elapsed), None),
        };
        if let Some(cause) = cause {
            self.slots.count(cause, 1);
        }
        Report::Observed(observation)
    }

    fn empty(&mut self, series: SeriesId, settled: &mut Vec<Report>) {
        for report in self.held.remove(&series).into_iter().flatten() {
            self.n_held -= 1;
            let report = self.judge(report);
            settled.push(report);
        }
    }
}

/// From when until when a doubted probe waited for an answer.
fn window(report: &Report) -> Option<(Timestamp, Timestamp)> {
    let Report::Doubted(observation, doubt) = report else { return None };
    let from = observation.due.plus(observation.lag);
    Some((from, from.plus(doubt.elapsed)))
}

/// What the run of a reference proves.
fn sign(report: &Report) -> Sign {
    match report {
        Report::Doubted(..) => Sign::Silent,
        Report::Observed(Observation { verdict: Verdict::Good | Verdict::Bad(_), .. }) => {
            Sign::Answered
        }
        Report::Observed(_) | Report::Missed(..) | Report::Counted(_) => Sign::Nothing,
    }
}

/// The slot as one in which nothing was measured.
fn unknown(observation: &Observation, reason: UnknownReason, why: &str) -> Observation {
    Observation {
        verdict: Verdict::Unknown(reason),
        latency: None,
        phases: Phases::default(),
        detail: Some(explained(why, observation)),
        ..observation.clone()
    }
}

/// The slot as one whose target has no address, although other names do.
fn unresolved(observation: &Observation, elapsed: Duration) -> Observation {
    Observation {
        verdict: Verdict::Bad(BadReason::Dns),
        latency: Some(elapsed),
        phases: Phases { dns: elapsed, ..Phases::default() },
        detail: Some(explained("control names resolve, this one does not", observation)),
        ..observation.clone()
    }
}

/// Why, before what was seen; within the bound of a detail.
fn explained(why: &str, observation: &Observation) -> Arc<str> {
    let mut text = match &observation.detail {
        Some(detail) => format!("{why}; {detail}"),
        None => why.to_owned(),
    };
    while text.len() > Observation::MAX_DETAIL {
        text.pop();
    }
    text.into()
}

#[cfg(test)]
mod tests;
