//! What an SLO promised, and since when: its revisions.
//!
//! Counts and histograms never depend on a promise. Each slot is held to the revision that was
//! in force when it was due, so a change takes effect from its moment on and rewrites nothing.
//! Revisions are kept for good as named states, so a restart goes on with them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::identity;
use crate::model::catalog::UnknownPolicy;
use crate::model::{Objective, ProbeId, Record, SeriesId, Slo, SloId, Timestamp, Window};

/// Most revisions that are told apart, over four a day in a window of thirty days. Beyond it the
/// two oldest are joined under the stricter objective, and that is counted.
pub const MAX_REVISIONS: usize = 128;

/// Under this prefix, with the SLO's id behind it, the revisions of an SLO are kept.
const STATE: &str = "promise/";

/// What an SLO promised from one moment on, until the next revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Slots that are due from here on are held to it; `Timestamp::MIN` for all there ever were.
    pub from: Timestamp,
    /// The promised share.
    pub objective: Objective,
    /// Over which time.
    pub window: Window,
    /// How unknown slots count.
    pub unknown: UnknownPolicy,
    /// The time within which good answers came, in microseconds; none for any time.
    pub threshold: Option<u32>,
    /// The probes whose slots count; none while the SLO was not declared.
    pub probes: Vec<(SeriesId, ProbeId)>,
    /// What those do to find out, as a number; none where a ledger of before did not keep it.
    pub measures: Option<u64>,
}

impl Revision {
    /// What this SLO promises from `from` on over these series, given what each probe does.
    pub(super) fn new(
        slo: &Slo,
        probes: Vec<(SeriesId, ProbeId)>,
        checks: &BTreeMap<ProbeId, u64>,
        from: Timestamp,
    ) -> Self {
        Revision {
            from,
            objective: slo.objective,
            window: slo.window.clone(),
            unknown: slo.unknown,
            threshold: threshold_of(slo),
            probes,
            measures: Some(identity::of_slo(slo, checks)),
        }
    }

    /// Whether the SLO was declared.
    pub fn is_declared(&self) -> bool {
        !self.probes.is_empty()
    }

    /// The SLO as it was while this was in force.
    pub(super) fn of(&self, slo: &Slo) -> Slo {
        let under = |micros: u32| Duration::from_micros(micros.into());
        Slo {
            objective: self.objective,
            window: self.window.clone(),
            unknown: self.unknown,
            latency_under: self.threshold.map(under),
            probes: self.probes.iter().map(|(_, probe)| probe.clone()).collect(),
            ..slo.clone()
        }
    }

    fn judges(&self, series: SeriesId) -> Option<Judge> {
        let counts = self.probes.iter().any(|(known, _)| *known == series);
        counts.then_some(self.threshold)
    }

    /// Whether both say the same, each from its own moment on.
    fn agrees(&self, other: &Revision) -> bool {
        let Revision { from, measures, .. } = *other;
        self.measures_as(other) && Revision { from, measures, ..self.clone() } == *other
    }

    /// Whether both find out in the same way, of the same targets; where that is not known, they
    /// do.
    pub fn measures_as(&self, other: &Revision) -> bool {
        self.measures.zip(other.measures).is_none_or(|(one, other)| one == other)
    }

    /// Whether what was seen under one of them says something about the other.
    fn promises_as(&self, other: &Revision) -> bool {
        let promise = |revision: &Revision| (revision.objective, revision.threshold);
        promise(self) == promise(other) && self.probes == other.probes && self.measures_as(other)
    }
}

/// The latency threshold that a good answer is held to, in microseconds; none for any latency.
pub(super) type Judge = Option<u32>;

/// The latency threshold of an SLO in microseconds.
pub(super) fn threshold_of(slo: &Slo) -> Judge {
    slo.latency_under.map(|under| u32::try_from(under.as_micros()).unwrap_or(u32::MAX))
}

/// Every revision of one SLO, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revisions {
    revisions: Vec<Revision>,
}

impl Revisions {
    /// The revisions, oldest first; the last is in force now.
    pub fn all(&self) -> &[Revision] {
        &self.revisions
    }

    /// The one in force at a tick.
    pub(super) fn in_force(&self, at: Timestamp) -> Option<&Revision> {
        self.revisions.iter().rev().find(|revision| revision.from <= at)
    }

    /// Since when evidence for what is promised now has been gathered: since its objective, its
    /// threshold and its probes are what they are, and those do what they do.
    pub(super) fn epoch(&self) -> Timestamp {
        let Some(last) = self.revisions.last() else { return Timestamp::MIN };
        let same = self.revisions.iter().rev().take_while(|one| one.promises_as(last));
        same.last().map_or(Timestamp::MIN, |first| first.from)
    }

    /// Whether the SLO is declared now.
    pub(super) fn is_declared(&self) -> bool {
        self.revisions.last().is_some_and(Revision::is_declared)
    }

    /// From `next.from` on `next` is in force. Tells whether that changes anything, and whether
    /// older revisions had to be joined.
    pub(super) fn revise(&mut self, next: Revision) -> Revised {
        if let Some(last) = self.revisions.last_mut().filter(|last| last.agrees(&next)) {
            // A ledger of before did not keep what is measured; it is kept from now on.
            let changed = last.measures.is_none() && next.measures.is_some();
            last.measures = last.measures.or(next.measures);
            return Revised { changed, joined: false };
        }
        // What never was in force for a moment is no revision.
        self.revisions.retain(|revision| revision.from < next.from);
        if self.revisions.last().is_none_or(|last| !last.agrees(&next)) {
            self.revisions.push(next);
        }
        let joined = self.revisions.len() > MAX_REVISIONS;
        if joined {
            let oldest = self.revisions.remove(0);
            self.revisions[0].from = oldest.from;
            self.revisions[0].objective = self.revisions[0].objective.max(oldest.objective);
        }
        Revised { changed: true, joined }
    }

    /// From `from` on the SLO is not declared any more.
    pub(super) fn withdraw(&mut self, from: Timestamp) -> Revised {
        let Some(last) = self.revisions.last() else { return Revised::default() };
        self.revise(Revision { from, probes: Vec::new(), ..last.clone() })
    }

    /// How the slots of one series count, over all revisions.
    pub(super) fn rule(&self, series: SeriesId) -> Rule {
        let mut rule = Rule::default();
        for revision in &self.revisions {
            rule.push(revision.from, revision.judges(series));
        }
        rule
    }

    /// Every series that ever counted.
    pub(super) fn series(&self) -> impl Iterator<Item = SeriesId> {
        self.revisions.iter().flat_map(|r| &r.probes).map(|(series, _)| *series)
    }

    /// The state that keeps these for good.
    pub(super) fn record(&self, slo: &SloId) -> Record {
        let kept: Vec<Kept> = self.revisions.iter().map(Kept::of).collect();
        let json = serde_json::to_string(&kept).expect("numbers and text always become JSON");
        Record::State { name: format!("{STATE}{slo}"), json }
    }

    /// Reads what [`Revisions::record`] made; none for other states.
    pub(super) fn read(name: &str, json: &str) -> Option<(SloId, Revisions)> {
        let slo = name.strip_prefix(STATE)?.parse().ok()?;
        let kept: Vec<Kept> = serde_json::from_str(json).ok()?;
        let revisions = kept.into_iter().map(Kept::revision).collect::<Option<_>>()?;
        Some((slo, Revisions { revisions }))
    }
}

/// What a revision did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Revised {
    /// There is something new to keep.
    pub changed: bool,
    /// Two older ones are one now.
    pub joined: bool,
}

/// How the slots of one series count for one SLO: from when on, and against which threshold.
/// Slots before the first entry, and those under an entry without judge, do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Vec<(i64, KeptJudge)>", into = "Vec<(i64, KeptJudge)>")]
pub(super) struct Rule(Vec<(i64, Option<Judge>)>);

/// An entry of a rule as it is kept: JSON has one null, and slots that count against no threshold
/// are not slots that do not count.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum KeptJudge {
    Under(u32),
    Any(AnyLatency),
    Nothing,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AnyLatency {
    Any,
}

impl From<Rule> for Vec<(i64, KeptJudge)> {
    fn from(rule: Rule) -> Self {
        let kept = |judge| match judge {
            None => KeptJudge::Nothing,
            Some(None) => KeptJudge::Any(AnyLatency::Any),
            Some(Some(under)) => KeptJudge::Under(under),
        };
        rule.0.into_iter().map(|(from, judge)| (from, kept(judge))).collect()
    }
}

impl From<Vec<(i64, KeptJudge)>> for Rule {
    /// Reads also what was kept with null for both: neighbours differ, and what comes before the
    /// first counts nothing.
    fn from(kept: Vec<(i64, KeptJudge)>) -> Self {
        let mut rule = Rule::default();
        let mut before: Option<Judge> = None;
        for (from, judge) in kept {
            before = match judge {
                KeptJudge::Under(under) => Some(Some(under)),
                KeptJudge::Any(AnyLatency::Any) => Some(None),
                KeptJudge::Nothing if before.is_none() => Some(None),
                KeptJudge::Nothing => None,
            };
            rule.0.push((from, before));
        }
        rule
    }
}

impl Rule {
    fn push(&mut self, from: Timestamp, judge: Option<Judge>) {
        if self.0.last().and_then(|(_, last)| *last) != judge {
            self.0.push((from.micros(), judge));
        }
    }

    /// Every slot there ever was counts.
    pub fn always(judge: Judge) -> Rule {
        Rule(vec![(i64::MIN, Some(judge))])
    }

    /// The threshold, if every slot there ever was counts against the same.
    pub fn whole(&self) -> Option<Judge> {
        match self.0[..] {
            [(i64::MIN, judge)] => judge,
            _ => None,
        }
    }

    /// The part of it that speaks of slots due before `at`.
    pub fn until(&self, at: Timestamp) -> Rule {
        let known = self.0.partition_point(|(from, _)| *from < at.micros());
        Rule(self.0[..known].to_vec())
    }

    /// Every stretch in which slots count: since when, until when, and against which threshold.
    pub fn stretches(&self) -> impl Iterator<Item = (Timestamp, Timestamp, Judge)> {
        let ends = self.0.iter().skip(1).map(|(from, _)| *from).chain([i64::MAX]);
        self.0.iter().zip(ends).filter_map(|((from, judge), end)| {
            Some((Timestamp::from_micros(*from), Timestamp::from_micros(end), (*judge)?))
        })
    }
}

/// A revision as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// In microseconds since the epoch; nothing for the beginning of time.
    from: Option<i64>,
    /// In parts per billion.
    objective: u32,
    /// As it is written: `30d`, `calendar month (UTC)`.
    window: String,
    unknown: KeptUnknown,
    /// In microseconds.
    threshold: Option<u32>,
    /// Number and name.
    probes: Vec<(u32, String)>,
    /// What they do, as a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    measures: Option<u64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeptUnknown {
    Exclude,
    Bad,
    Good,
}

impl Kept {
    fn of(revision: &Revision) -> Self {
        let probe = |(series, id): &(SeriesId, ProbeId)| (series.0, id.to_string());
        Kept {
            from: (revision.from > Timestamp::MIN).then(|| revision.from.micros()),
            objective: revision.objective.ppb(),
            window: revision.window.to_string(),
            unknown: match revision.unknown {
                UnknownPolicy::Exclude => KeptUnknown::Exclude,
                UnknownPolicy::Bad => KeptUnknown::Bad,
                UnknownPolicy::Good => KeptUnknown::Good,
            },
            threshold: revision.threshold,
            probes: revision.probes.iter().map(probe).collect(),
            measures: revision.measures,
        }
    }

    fn revision(self) -> Option<Revision> {
        let probe = |(series, id): (u32, String)| Some((SeriesId(series), id.parse().ok()?));
        Some(Revision {
            from: self.from.map_or(Timestamp::MIN, Timestamp::from_micros),
            objective: Objective::from_ppb(self.objective)?,
            window: self.window.parse().ok()?,
            unknown: match self.unknown {
                KeptUnknown::Exclude => UnknownPolicy::Exclude,
                KeptUnknown::Bad => UnknownPolicy::Bad,
                KeptUnknown::Good => UnknownPolicy::Good,
            },
            threshold: self.threshold,
            probes: self.probes.into_iter().map(probe).collect::<Option<_>>()?,
            measures: self.measures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }

    fn revision(from: i64, objective: u32, series: &[u32]) -> Revision {
        let probe = |n: &u32| (SeriesId(*n), format!("s/p{n}").parse().expect("an id"));
        Revision {
            from: at(from),
            objective: Objective::from_ppb(objective).expect("above 0"),
            window: Duration::from_secs(1).into(),
            unknown: UnknownPolicy::Bad,
            threshold: Some(objective),
            probes: series.iter().map(probe).collect(),
            measures: Some(1),
        }
    }

    #[test]
    fn a_revision_that_says_the_same_changes_nothing() {
        let mut revisions = Revisions::default();
        assert!(revisions.revise(revision(1, 5, &[1])).changed);
        assert_eq!(revisions.revise(revision(9, 5, &[1])), Revised::default());
        assert!(revisions.revise(revision(9, 6, &[1])).changed);
        assert_eq!(revisions.all().len(), 2);
        let back = revisions.revise(revision(9, 5, &[1]));
        assert!(back.changed);
        assert_eq!(revisions.all(), [revision(1, 5, &[1])], "the other never was in force");
    }

    #[test]
    fn the_one_in_force_is_the_last_that_has_begun() {
        let mut revisions = Revisions::default();
        revisions.revise(revision(10, 5, &[1]));
        revisions.revise(revision(20, 6, &[1]));
        let in_force = |n| revisions.in_force(at(n)).map(|revision| revision.objective.ppb());
        assert_eq!([9, 10, 19, 20].map(in_force), [None, Some(5), Some(5), Some(6)]);
    }

    #[test]
    fn an_epoch_begins_with_another_promise_and_with_nothing_less() {
        let mut revisions = Revisions::default();
        assert_eq!(revisions.epoch(), Timestamp::MIN);
        revisions.revise(Revision { from: Timestamp::MIN, ..revision(0, 5, &[1]) });
        assert_eq!(revisions.epoch(), Timestamp::MIN);
        revisions.revise(Revision { unknown: UnknownPolicy::Good, ..revisions.all()[0].clone() });
        let other = Revision { from: at(10), unknown: UnknownPolicy::Good, ..revision(0, 6, &[1]) };
        revisions.revise(other.clone());
        assert_eq!(revisions.epoch(), at(10));
        revisions.revise(Revision {
            from: at(20),
            window: Duration::from_secs(2).into(),
            ..other.clone()
        });
        assert_eq!(revisions.epoch(), at(10), "another window is no other promise per event");
        revisions.withdraw(at(30));
        revisions.revise(Revision { from: at(40), ..other.clone() });
        assert_eq!(revisions.epoch(), at(40), "it was not declared for a while");
        let elsewhere = Revision { measures: Some(2), ..other };
        revisions.revise(Revision { from: at(50), ..elsewhere.clone() });
        assert_eq!(revisions.epoch(), at(50), "another target, under the same name");
        revisions.revise(Revision { from: at(60), unknown: UnknownPolicy::Bad, ..elsewhere });
        assert_eq!(revisions.epoch(), at(50));
    }

    #[test]
    fn what_was_measured_before_anybody_kept_it_is_what_is_measured_now() {
        let mut revisions = Revisions::default();
        revisions.revise(Revision { measures: None, ..revision(0, 5, &[1]) });
        let Record::State { name, json } = revisions.record(&"s/a".parse().expect("an id")) else {
            panic!("a state")
        };
        assert!(!json.contains("measures"), "as a ledger of before has it: {json}");
        let (_, mut revisions) = Revisions::read(&name, &json).expect("readable");
        assert!(revisions.revise(revision(9, 5, &[1])).changed, "there is something to keep");
        assert_eq!(revisions.all(), [revision(0, 5, &[1])]);
        assert_eq!(revisions.revise(revision(19, 5, &[1])), Revised::default());
        revisions.revise(Revision { measures: Some(2), ..revision(29, 5, &[1]) });
        assert_eq!((revisions.epoch(), revisions.all().len()), (at(29), 2));
    }

    #[test]
    fn revisions_survive_being_kept() {
        let slo: SloId = "s/a".parse().expect("an id");
        let mut revisions = Revisions::default();
        revisions.revise(Revision { from: Timestamp::MIN, ..revision(0, 5, &[1, 2]) });
        revisions.withdraw(at(9));
        let Record::State { name, json } = revisions.record(&slo) else { panic!("a state") };
        assert_eq!(Revisions::read(&name, &json), Some((slo, revisions)));
        assert_eq!(Revisions::read("alert/x/s/a", &json), None);
    }

    #[test]
    fn a_rule_says_when_a_series_counted_and_how() {
        let mut revisions = Revisions::default();
        for (from, threshold, series) in
            [(10, 5, &[1][..]), (20, 6, &[1]), (30, 6, &[1, 2]), (40, 6, &[]), (50, 7, &[2])]
        {
            revisions.revise(revision(from, threshold, series));
        }
        let stretches = |series| {
            let rule = revisions.rule(SeriesId(series));
            let all = rule.stretches().map(|(from, to, judge)| {
                (from.micros() / 1_000_000, to.micros() / 1_000_000, judge.expect("set"))
            });
            all.collect::<Vec<_>>()
        };
        let end = i64::MAX / 1_000_000;
        assert_eq!(stretches(1), [(10, 20, 5), (20, 40, 6)]);
        assert_eq!(stretches(2), [(30, 40, 6), (50, end, 7)]);
        assert_eq!(revisions.rule(SeriesId(3)), Rule::default());
        let rule = revisions.rule(SeriesId(1));
        assert_eq!(rule.until(at(20)).stretches().count(), 1);
        assert_eq!(rule.until(at(10)), Rule::default());
    }

    #[test]
    fn too_many_revisions_are_joined_toward_worse() {
        let mut revisions = Revisions::default();
        let n = u32::try_from(MAX_REVISIONS).expect("few");
        for k in 0..n {
            assert!(!revisions.revise(revision(k.into(), 1_000 - k, &[1])).joined);
        }
        assert!(revisions.revise(revision(n.into(), 5, &[1])).joined);
        assert_eq!(revisions.all().len(), MAX_REVISIONS);
        assert_eq!(
            revisions.all()[0],
            Revision { threshold: Some(999), ..revision(0, 1_000, &[1]) }
        );
    }

    #[test]
    fn a_rule_is_kept_with_all_that_it_says() {
        let check = |entries: &[(i64, Option<Judge>)], before: &str| {
            let rule = Rule(entries.to_vec());
            let json = serde_json::to_string(&rule).expect("JSON");
            let read = |json: &str| serde_json::from_str::<Rule>(json).expect("a rule");
            assert_eq!(read(&json), rule, "{json}");
            // As it was kept once, where that says enough.
            assert_eq!(read(before), rule, "{before}");
        };
        check(&[(1, Some(Some(5)))], "[[1,5]]");
        check(&[(1, Some(Some(5))), (2, None)], "[[1,5],[2,null]]");
        check(&[(1, Some(None))], "[[1,null]]");
        check(&[(1, Some(None)), (2, None), (3, Some(None))], "[[1,null],[2,null],[3,null]]");
        check(&[(1, Some(None)), (2, Some(Some(5)))], "[[1,null],[2,5]]");
        check(&[(1, Some(Some(5))), (2, Some(None))], "[[1,5],[2,\"any\"]]");
    }
}
