//! What a report looks back on: the histories of one SLO, what it promised when, and why probes
//! failed. Read from a ledger or from events; nothing here knows which.

use std::time::Duration;

use crate::engine::book::Touch;
use crate::engine::evaluate::Histories;
use crate::engine::revision::Revision;
use crate::engine::series::{EventRun, Series};
use crate::engine::status::Coverage;
use crate::model::budget::Counted;
use crate::model::catalog::UnknownPolicy;
use crate::model::uptime::{self, Uptime};
use crate::model::window::Period;
use crate::model::worst::{Grid, Timeline, Worst, curve};
use crate::model::{Outcome, Run, Tally, Timestamp, Verdict};

/// Most borders over which worst windows are found exactly; beyond it, on a grid of one minute.
const MAX_BORDERS: usize = 20_000;
/// The grid.
const MINUTE: Duration = Duration::from_secs(60);
/// Results that are less than this late are not missing; they are on their way.
const ON_THE_WAY: Duration = Duration::from_secs(120);

/// The past of one SLO.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The history of each of its probes.
    pub series: Vec<Series>,
    /// Which intervals were measured, where somebody else counts and a slot is not one event.
    pub intervals: Vec<Series>,
    /// What it promised when, oldest first; empty if it always promised what it does.
    pub revisions: Vec<Revision>,
    /// Why probes failed, by time.
    pub failures: Vec<Failure>,
    /// How far events may be apart without the time between them being lost; none where nothing
    /// says how often they come.
    pub cutoff: Option<Duration>,
    /// Maintenance and Corrections in the period that is reported on, with what was measured in
    /// each. The series count as they are to count already.
    pub touches: Vec<(Touch, Tally)>,
}

/// Consecutive failures of one probe for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When the first was due.
    pub start: Timestamp,
    /// When the slot after the last is due.
    pub end: Timestamp,
    /// How many there were.
    pub n: u64,
    /// The word for why.
    pub reason: &'static str,
}

impl History {
    /// Up to when any of it speaks; none without events.
    pub fn end(&self) -> Option<Timestamp> {
        self.series.iter().filter_map(known_until).max()
    }
}

impl Failure {
    /// The failure that a run is; none for other runs.
    pub fn of(run: &Run) -> Option<Self> {
        let Verdict::Bad(reason) = run.verdict else { return None };
        let (start, end, n) = (run.start, run.end(), run.n.into());
        Some(Failure { start, end, n, reason: reason.word() })
    }

    /// Adds it to others, joined with the last if it goes on with it.
    pub fn push_to(self, failures: &mut Vec<Failure>) {
        match failures.last_mut() {
            Some(last) if last.end == self.start && last.reason == self.reason => {
                last.end = self.end;
                last.n += self.n;
            }
            _ => failures.push(self),
        }
    }
}

/// Histories of one period, as far as it has come: nothing before it, nothing from `until` on,
/// and the time in which results are missing is unknown.
#[derive(Debug)]
pub(super) struct Past {
    series: Vec<Series>,
    of: Vec<usize>,
    intervals: Vec<Series>,
    /// The period reported on.
    pub period: Period,
    /// Up to when it is reported.
    pub until: Timestamp,
}

impl Past {
    /// The part of a history that lies in the period and before `now`.
    pub fn of(history: &History, period: Period, now: Timestamp) -> Self {
        let mut until = period.end.min(now.floor_second());
        // What is on its way is awaited: the report ends with what is known of every probe.
        for end in history.series.iter().filter_map(known_until) {
            if end < until && until.since(end) <= ON_THE_WAY {
                until = end.floor_second();
            }
        }
        let until = until.max(period.start);
        let parts = |all: &[Series]| -> Vec<Series> {
            all.iter().map(|series| part(series, period.start, until)).collect()
        };
        let (series, intervals) = (parts(&history.series), parts(&history.intervals));
        let of = (0..series.len().max(intervals.len())).collect();
        Past { series, of, intervals, period, until }
    }

    /// How much of it was measured: history that begins late covers less of it. Where somebody
    /// else counts, an interval that was not measured weighs as much as one that was, however
    /// much was counted in that.
    pub fn coverage(&self) -> Coverage {
        let measured = self.measured();
        let (tally, length) = (measured.window(self.length(), self.until), self.length());
        let first = measured.iter().filter_map(Series::first).min();
        let span = first.map_or(0, |first| self.until.since(first).min(length).as_micros());
        match u128::from(tally.expected()) * length.as_micros() {
            0 => Coverage::NONE,
            denominator => Coverage { numerator: u128::from(tally.known()) * span, denominator },
        }
    }

    /// The time whose slots, or intervals, count; where several probes count, the mean of
    /// theirs. Where nothing says how far events are apart, what is covered counts.
    pub fn counted_time(&self, unknown: UnknownPolicy) -> Duration {
        let measured = self.measured();
        let all = || measured.iter().flat_map(Series::runs);
        let counts = |run: &EventRun| u128::from(Counted::of(run.each, unknown).total());
        let length = self.length().as_micros();
        let micros = if all().any(|run| run.step.is_zero() && counts(&run) > 0) {
            let Coverage { numerator, denominator } = self.coverage();
            length.saturating_mul(numerator) / denominator.max(1)
        } else {
            let of = |run: EventRun| {
                let time = run.step.as_micros() * u128::from(run.n);
                time * counts(&run) / u128::from(run.each.scheduled()).max(1)
            };
            let n = measured.iter().filter(|series| series.first().is_some()).count();
            all().map(of).sum::<u128>() / (n.max(1) as u128)
        };
        Duration::from_micros(u64::try_from(micros.min(length)).unwrap_or(u64::MAX))
    }

    /// The same period of several histories, side by side.
    pub fn beside(pasts: &[Past], period: Period, until: Timestamp) -> Self {
        let series: Vec<Series> = pasts.iter().flat_map(|past| past.series.clone()).collect();
        let intervals = match pasts.iter().all(|past| past.intervals.is_empty()) {
            true => Vec::new(),
            false => pasts.iter().flat_map(|past| past.measured().iter().cloned()).collect(),
        };
        let of = (0..series.len().max(intervals.len())).collect();
        Past { series, of, intervals, period, until }
    }

    /// Intervals where somebody else counts, and slots where nobody does.
    fn measured(&self) -> Histories<'_> {
        self.intervals().unwrap_or(self.slots())
    }

    /// Which intervals were measured, where somebody else counts.
    pub fn intervals(&self) -> Option<Histories<'_>> {
        let of = self.of.get(..self.intervals.len()).filter(|of| !of.is_empty())?;
        Some(Histories { series: &self.intervals, of })
    }

    /// Single slots, or events.
    pub fn slots(&self) -> Histories<'_> {
        Histories { series: &self.series, of: &self.of[..self.series.len()] }
    }

    /// How long it has been going on.
    pub fn length(&self) -> Duration {
        self.until.since(self.period.start)
    }

    /// From the first event that was good or bad to the end of the last; nothing without any.
    pub fn seen(&self) -> Period {
        let known = || self.series.iter().flat_map(Series::runs).filter(|r| r.each.known() > 0);
        let start = known().map(|run| run.start).min().unwrap_or(self.until);
        let end = known().map(|run| run.end()).max().unwrap_or(self.until);
        Period { start, end: end.min(self.until) }
    }

    /// Up, down and inactive time of each probe, added up.
    pub fn uptime(&self, cutoff: Option<Duration>) -> Uptime {
        let cutoff = cutoff.unwrap_or(MINUTE);
        let of = |series: &Series| {
            let stretch = |run: EventRun| uptime::Stretch {
                start: run.start,
                step: run.step,
                n: run.n,
                good: (run.each.known() > 0).then_some(run.each.bad == 0),
            };
            Uptime::of(series.runs().map(stretch), cutoff)
        };
        let all = self.series.iter().map(of);
        all.fold(Uptime::default(), |all, one| Uptime {
            up: all.up + one.up,
            down: all.down + one.down,
            inactive: all.inactive + one.inactive,
        })
    }

    /// The lengths of the runs of failures of each probe, in events.
    pub fn failure_runs(&self) -> Vec<u64> {
        let mut lengths = Vec::new();
        for series in &self.series {
            let mut goes_on = false;
            for run in series.runs().filter(|run| run.each.known() > 0) {
                let bad = u64::from(run.n) * run.each.bad;
                match lengths.last_mut().filter(|_| goes_on && bad > 0) {
                    Some(last) => *last += bad,
                    None if bad > 0 => lengths.push(bad),
                    None => {}
                }
                goes_on = bad > 0;
            }
        }
        lengths
    }
}

/// Up to when a series speaks: when its next event would be due, and past its last one.
fn known_until(series: &Series) -> Option<Timestamp> {
    let past_last = series.last()?.floor_second().plus(Duration::from_secs(1));
    Some(series.end()?.max(past_last))
}

/// The events of `[from, to)`; what is missing up to `to` is unknown.
fn part(series: &Series, from: Timestamp, to: Timestamp) -> Series {
    let mut part = series.clip(from, to);
    let Some(end) = part.end().filter(|end| *end < to) else { return part };
    let last = part.runs().last().filter(|run| !run.step.is_zero());
    let missing =
        last.map(|run| (run.step, to.since(end).as_micros().div_ceil(run.step.as_micros())));
    if let Some((step, n)) = missing.and_then(|(step, n)| Some((step, u32::try_from(n).ok()?))) {
        part.push(end, step, n, Tally::of(Outcome::Unknown, 1));
    }
    part
}

/// Histories as one timeline, under a policy for unknown time.
struct Counting<'a>(Histories<'a>, UnknownPolicy);

impl Timeline for Counting<'_> {
    fn counted(&self, from: Timestamp, to: Timestamp) -> Counted {
        Counted::of(self.0.before(to) - self.0.before(from), self.1)
    }

    fn borders(&self) -> Vec<Timestamp> {
        // A single event of no known length ends as soon as it has begun.
        let end = |run: &EventRun| run.end().max(run.start.just_after());
        let runs = self.0.iter().flat_map(Series::runs);
        runs.flat_map(|run| [run.start, end(&run)]).collect()
    }
}

/// The worst windows of these histories: of the time from their first known event to their last,
/// so that no window is judged by the little of it that was seen.
pub(super) fn worst(
    histories: Histories<'_>,
    unknown: UnknownPolicy,
    past: &Past,
    lengths: &[Duration],
) -> Vec<Worst> {
    let period = past.seen();
    let timeline = Counting(histories, unknown);
    let n_borders: usize = histories.iter().map(|series| 2 * series.segments()).sum();
    if n_borders <= MAX_BORDERS {
        return curve(&timeline, period, lengths);
    }
    let start = period.start;
    let n_cells = u32::try_from(period.length().as_secs() / MINUTE.as_secs()).unwrap_or(u32::MAX);
    let cell = |n| timeline.counted(start.plus(MINUTE * n), start.plus(MINUTE * (n + 1)));
    curve(&Grid::new(start, MINUTE, (0..n_cells).map(cell)), period, lengths)
}
