//! Outages of one SLO as people remember them: grouped, with their start, end, cost and reasons.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::Failure;
use crate::engine::evaluate::Histories;
use crate::model::budget::Counted;
use crate::model::catalog::UnknownPolicy;
use crate::model::{Slo, SloId, Timestamp};

/// Outages that are less than this apart are one incident: flapping is not fifty incidents.
pub const GROUPED_WITHIN: Duration = Duration::from_secs(300);
/// Most incidents of one SLO that are told; the costliest are.
pub const MAX_INCIDENTS: usize = 200;

/// Outages that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Whose budget it cost.
    pub slo: SloId,
    /// When the first bad event was due.
    pub start: Timestamp,
    /// When the first event after the last bad one was due.
    pub end: Timestamp,
    /// Whether it may still go on: nothing good is known since.
    pub open: bool,
    /// How many bad events it cost, in the parts of the SLO's method.
    pub bad: u64,
    /// Why probes failed, with how many did, most first. Empty where that is not known.
    pub reasons: Vec<(&'static str, u64)>,
}

impl Incident {
    /// From its start to its end, its good moments included.
    pub fn length(&self) -> Duration {
        self.end.since(self.start)
    }
}

/// The incidents of these histories in time order, and how many of the cheapest were left out.
/// `until` is up to when is known.
pub fn incidents(
    histories: Histories<'_>,
    slo: &Slo,
    failures: &[Failure],
    until: Timestamp,
) -> (Vec<Incident>, usize) {
    let with_unknown = slo.unknown == UnknownPolicy::Bad;
    let mut outages: Vec<(Timestamp, Timestamp, u64)> = histories
        .iter()
        .flat_map(|series| series.bad_runs(Timestamp::MIN, with_unknown))
        .map(|run| {
            let (start, end) = span(slo, run.start, run.end());
            (start, end, Counted::of(run.each, slo.unknown).bad * u64::from(run.n))
        })
        .collect();
    outages.sort_unstable();
    let mut incidents: Vec<Incident> = Vec::new();
    for (start, end, bad) in outages {
        match incidents.last_mut().filter(|last| start.since(last.end) < GROUPED_WITHIN) {
            Some(last) => {
                last.end = last.end.max(end);
                last.bad += bad;
            }
            None => {
                let (slo, open, reasons) = (slo.id.clone(), false, Vec::new());
                incidents.push(Incident { slo, start, end, open, bad, reasons });
            }
        }
    }
    let left_out = incidents.len().saturating_sub(MAX_INCIDENTS);
    incidents.sort_by_key(|incident| std::cmp::Reverse(incident.bad));
    incidents.truncate(MAX_INCIDENTS);
    incidents.sort_by_key(|incident| incident.start);
    for incident in &mut incidents {
        incident.open = incident.end >= until;
        incident.reasons = reasons(incident, slo, failures);
    }
    (incidents, left_out)
}

/// Where bad events began and ended: a slice is due at its last moment, a slot at its first.
fn span(slo: &Slo, start: Timestamp, end: Timestamp) -> (Timestamp, Timestamp) {
    match slo.method.slice() {
        None => (start, end),
        Some(slice) => {
            let after = Duration::from_micros(1);
            (start.plus(after).minus(slice), end.plus(after).minus(slice))
        }
    }
}

/// Why, by the failures of the probes in that time. What no probe calls a failure was too slow.
fn reasons(incident: &Incident, slo: &Slo, failures: &[Failure]) -> Vec<(&'static str, u64)> {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut counted = 0;
    for failure in failures {
        let start = failure.start.max(incident.start);
        let shared = failure.end.min(incident.end).since(start).as_micros();
        let whole = failure.end.since(failure.start).as_micros().max(1);
        let n = (u128::from(failure.n) * shared).div_ceil(whole);
        let n = u64::try_from(n).unwrap_or(u64::MAX);
        if n > 0 {
            *counts.entry(failure.reason).or_default() += n;
            counted += n;
        }
    }
    if slo.latency_under.is_some() && slo.method.slice().is_none() && counted < incident.bad {
        counts.insert("slow", incident.bad - counted);
    }
    let mut reasons: Vec<_> = counts.into_iter().collect();
    reasons.sort_by_key(|(word, n)| (std::cmp::Reverse(*n), *word));
    reasons
}
