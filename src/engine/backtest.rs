//! The daemon's own judgement over any history: what would have paged, when, and how well.
//!
//! Ticks once a second of event time. Seconds in which nothing can change are stepped over; that
//! changes no result, and a test holds it to that.

use std::time::Duration;

use crate::model::{AlertPolicy, Pair, Severity, ShortThreshold, Slo, Timestamp};

use super::amend::Amendments;
use super::evaluate::{Histories, PairVerdict};
use super::series::Series;
use super::status::SloStatus;
use super::subject::{Slots, Subject};

const SECOND: Duration = Duration::from_secs(1);

/// When something held: from the tick `on` until before the tick `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The first tick at which it held.
    pub on: Timestamp,
    /// The first tick at which it no longer did; none if it held to the end.
    pub off: Option<Timestamp>,
}

/// How well a severity told significant spending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Incident groups that spent more than a pair's share within its long window.
    pub significant: u64,
    /// Incident groups during which the severity fired.
    pub alerted: u64,
    /// Incident groups that were both.
    pub both: u64,
}

impl std::ops::Add for Score {
    type Output = Score;

    fn add(self, other: Score) -> Score {
        Score {
            significant: self.significant + other.significant,
            alerted: self.alerted + other.alerted,
            both: self.both + other.both,
        }
    }
}

/// What one severity did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeverityReplay {
    /// When it fired: the OR of its pairs.
    pub firing: Vec<Interval>,
    /// How well.
    pub score: Score,
}

/// What one alert policy did over one history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// When each pair fired, in the policy's order.
    pub pairs: Vec<Vec<Interval>>,
    /// What each severity did, in the order of [`Severity::ALL`].
    pub severities: [SeverityReplay; 2],
}

/// The first and last tick of a history: the first sees its first event, the last its last one.
pub fn ticks(histories: Histories<'_>) -> Option<(Timestamp, Timestamp)> {
    let first = histories.iter().filter_map(Series::first).min()?;
    let last = histories.iter().filter_map(Series::last).max()?;
    Some((first.floor_second().plus(SECOND), last.floor_second().plus(SECOND)))
}

/// The status of an SLO that counts by itself at any tick, with the pairs as they fire when judged
/// at that tick alone.
pub fn status_at(slots: Histories<'_>, slo: &Slo, at: Timestamp) -> SloStatus {
    Subject::one(Slots::of(slo, slots), at).status_at(at)
}

/// Ticks through a history from one tick to another under the SLO's alert policy, or under the
/// same with another rule for short windows, as Maintenance mutes it. None without policy.
pub fn replay(
    subject: &Subject<'_>,
    (first, last): (Timestamp, Timestamp),
    short_threshold: Option<ShortThreshold>,
    amendments: &Amendments,
) -> Option<Replay> {
    let mut policy = (**subject.slo().policy.as_ref()?).clone();
    policy.short_threshold = short_threshold.unwrap_or(policy.short_threshold);
    let mut run = Run::new(&policy);
    let edges = edges(&policy);
    let mut verdicts = Vec::with_capacity(policy.pairs.len());
    let mut at = first;
    while at <= last {
        subject.judge(&policy, at, &mut verdicts);
        run.tick(&verdicts, at);
        at = at.plus(SECOND * step_over(subject, &edges, &run, at));
    }
    run.hush(amendments, last);
    Some(run.finish(subject, &policy))
}

/// How far back everything lies that a verdict of this policy depends on, ascending.
fn edges(policy: &AlertPolicy) -> Vec<Duration> {
    let of = |pair: &Pair| {
        let windows = [Duration::ZERO, pair.short, pair.long];
        // Where the look-backs lay when the pair began to hold.
        let begun = windows.map(|window| window + pair.hold);
        windows.into_iter().chain(begun)
    };
    let mut edges: Vec<Duration> = policy.pairs.iter().flat_map(of).collect();
    edges.push(Duration::ZERO);
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// How many seconds to the next tick at which a verdict could differ from the one at `at`.
fn step_over(subject: &Subject<'_>, edges: &[Duration], run: &Run, at: Timestamp) -> u32 {
    let Some(longest) = edges.last() else { return u32::MAX };
    let with_unknown = subject.counts_unknown();
    // Nothing fires and nothing bad is in sight: go to the next bad event.
    if !run.holds_anything() {
        let from = at.minus(*longest);
        let next = |series: &Series| Some(series.bad_runs(from, with_unknown).next()?.start);
        match subject.events().filter_map(next).min() {
            None => return u32::MAX,
            Some(next) if next >= at => {
                let wait = next.floor_second().plus(SECOND).since(at).as_secs();
                return u32::try_from(wait).unwrap_or(u32::MAX).max(1);
            }
            Some(_) => {}
        }
    }
    // Each window loses what it gains: go to where that ends. While history is younger than a
    // window, its coverage grows and nothing is steady.
    let (slo, mut all) = (subject.slo(), subject.events());
    let (Some(series), None) = (all.next(), all.next()) else { return 1 };
    if series.first().is_none_or(|first| first > at.minus(*longest)) {
        return 1;
    }
    let steady = series.steady_seconds(edges, at);
    // What a burn rate is worth changes with the length of a calendar's period.
    let same = match slo.window.calendar() {
        Some(_) => slo.window.period(at).end.plus(SECOND).since(at).as_secs(),
        None => u64::MAX,
    };
    u32::try_from(steady.min(same)).unwrap_or(u32::MAX).max(1)
}

/// Intervals in the making.
struct Run {
    pairs: Vec<Vec<Interval>>,
    severity_of: Vec<Severity>,
    firing: [Vec<Interval>; 2],
    significant: [Vec<Interval>; 2],
    holds: Vec<bool>,
}

impl Run {
    fn new(policy: &AlertPolicy) -> Self {
        Run {
            pairs: vec![Vec::new(); policy.pairs.len()],
            severity_of: policy.pairs.iter().map(|pair| pair.severity).collect(),
            firing: Default::default(),
            significant: Default::default(),
            holds: vec![false; policy.pairs.len()],
        }
    }

    fn tick(&mut self, verdicts: &[PairVerdict], at: Timestamp) {
        let (mut firing, mut significant) = ([false; 2], [false; 2]);
        for (n, verdict) in verdicts.iter().enumerate() {
            // As live: a blind short window changes nothing.
            self.holds[n] = if verdict.blind { self.holds[n] } else { verdict.fires };
            mark(&mut self.pairs[n], self.holds[n], at);
            let severity = self.severity_of[n].index();
            firing[severity] |= self.holds[n];
            significant[severity] |= verdict.significant;
        }
        for severity in 0..2 {
            mark(&mut self.firing[severity], firing[severity], at);
            mark(&mut self.significant[severity], significant[severity], at);
        }
    }

    fn holds_anything(&self) -> bool {
        let open = |intervals: &Vec<Interval>| intervals.last().is_some_and(|i| i.off.is_none());
        self.pairs.iter().chain(&self.firing).chain(&self.significant).any(open)
    }

    /// What is mute does not begin to fire before that is over, if it still holds then.
    fn hush(&mut self, amendments: &Amendments, last: Timestamp) {
        let over = last.plus(SECOND);
        for intervals in self.pairs.iter_mut().chain(&mut self.firing) {
            intervals.retain_mut(|interval| {
                let limit = interval.off.unwrap_or(over);
                let on = amendments.unmuted_from(interval.on, limit);
                interval.on = on.unwrap_or(interval.on);
                on.is_some()
            });
        }
    }

    fn finish(self, subject: &Subject<'_>, policy: &AlertPolicy) -> Replay {
        let mut severities: [SeverityReplay; 2] = Default::default();
        for severity in Severity::ALL {
            let n = severity.index();
            let of = |pair: &&Pair| pair.severity == severity;
            let reach = policy.pairs.iter().filter(of).map(|pair| pair.long).max();
            let groups = groups(subject, reach.unwrap_or_default());
            severities[n].score = score(&groups, &self.significant[n], &self.firing[n]);
        }
        let [page, ticket] = self.firing;
        (severities[0].firing, severities[1].firing) = (page, ticket);
        Replay { pairs: self.pairs, severities }
    }
}

/// Opens or closes the last interval as `holds` says.
fn mark(intervals: &mut Vec<Interval>, holds: bool, at: Timestamp) {
    match intervals.last_mut().filter(|last| last.off.is_none()) {
        Some(open) if !holds => open.off = Some(at),
        None if holds => intervals.push(Interval { on: at, off: None }),
        _ => {}
    }
}

/// Incidents that are less than `reach` apart belong together: one alert may tell them all.
/// Each group is given from its first bad event to `reach` after its last one.
fn groups(subject: &Subject<'_>, reach: Duration) -> Vec<(Timestamp, Timestamp)> {
    let unknown = subject.counts_unknown();
    let mut spans: Vec<(Timestamp, Timestamp)> = subject
        .events()
        .flat_map(|series| series.bad_runs(Timestamp::MIN, unknown))
        .map(|run| (run.start, run.start.plus(run.step * run.n).plus(reach)))
        .collect();
    spans.sort_unstable();
    let mut groups: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (from, to) in spans {
        match groups.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(to),
            None => groups.push((from, to)),
        }
    }
    groups
}

fn score(
    groups: &[(Timestamp, Timestamp)],
    significant: &[Interval],
    firing: &[Interval],
) -> Score {
    let within = |intervals: &[Interval], group: &(Timestamp, Timestamp)| {
        intervals.iter().any(|i| group.0 <= i.on && i.on <= group.1.plus(SECOND))
    };
    let mut score = Score::default();
    for group in groups {
        let (significant, alerted) = (within(significant, group), within(firing, group));
        score.significant += u64::from(significant);
        score.alerted += u64::from(alerted);
        score.both += u64::from(significant && alerted);
    }
    score
}

#[cfg(test)]
mod tests;
