//! A report's numbers as people read them, the same in tables, on pages and in Markdown.

use std::time::Duration;

use super::{AgreementReport, Incident, Kept, Proof, Settlement, SloReport};
use crate::engine::book::{Touch, TouchKind};
use crate::engine::status::Coverage;
use crate::model::budget::{Budget, Counted};
use crate::model::catalog::{Agreement, Credit};
use crate::model::evidence::Evidence;
use crate::model::worst::Worst;
use crate::model::{Tally, Timestamp, number};

/// What was good: `99.976 % (600 bad of 2 592 000)`.
pub(super) fn delivered(budget: &Budget) -> String {
    good(budget.counted, budget)
}

fn good(counted: Counted, budget: &Budget) -> String {
    if counted.total() == 0 {
        return number::NO_DATA.to_owned();
    }
    let (bad, total) = (events(counted.bad, budget), events(counted.total(), budget));
    format!("{} ({bad} bad of {total})", number::percent(counted.good, counted.total()))
}

/// How many events that is: whole ones, or slices with a fraction.
fn events(parts: u64, budget: &Budget) -> String {
    match budget.parts {
        1 => number::count(parts),
        _ => budget.events(parts),
    }
}

/// What the budget was and how much of it is spent.
pub(super) fn spent(budget: &Budget) -> String {
    let (cost, allowed) = budget.cost(budget.counted.bad);
    if allowed == 0 {
        return number::NO_DATA.to_owned();
    }
    format!(
        "{} of {} spent ({})",
        number::duration(budget.cost_time(budget.counted.bad)),
        number::duration(budget.total_time()),
        number::percent_up(cost, allowed),
    )
}

pub(super) fn coverage(coverage: Coverage) -> String {
    let numerator = i128::try_from(coverage.numerator).unwrap_or(i128::MAX);
    number::percent_of(numerator, coverage.denominator)
}

/// What the evidence lets one claim, with the assumption it rests on.
pub fn claim(
    evidence: Evidence,
    supported_ppb: Option<u32>,
    assumed_outage: Duration,
    earliest: Option<Timestamp>,
) -> String {
    let words = evidence.words();
    let Some(ppb) = supported_ppb else { return words.to_owned() };
    let (supported, outage) = (number::percent_ppb(ppb), number::duration(assumed_outage));
    let claim = format!(
        "{words}; with 95 % confidence {supported} is supported, taking outages to last {outage} \
         on average"
    );
    match earliest.filter(|_| evidence == Evidence::NotYetProven) {
        Some(at) => format!("{claim}; without another outage it is proven on {at} at the earliest"),
        None => claim,
    }
}

pub(super) fn proof(proof: &Proof) -> String {
    claim(proof.evidence, proof.supported_ppb, proof.assumed_outage, proof.earliest)
}

/// What single events would show, beside the rule of outages.
pub(super) fn singly(proof: &Proof) -> Option<String> {
    let singly = proof.singly.as_ref()?;
    let (worst, best) = singly.interval_ppb;
    let zones = match (singly.zones.met_at_most, singly.zones.breached_at_least) {
        (Some(met), Some(breached)) => {
            format!("at most {met} bad would show it met, {breached} show it broken")
        }
        (None, Some(breached)) => {
            format!("no count would show it met, {breached} show it broken")
        }
        (Some(met), None) => format!("at most {met} bad would show it met"),
        (None, None) => "no count would show anything".to_owned(),
    };
    Some(format!(
        "if events failed independently: {} to {}; {zones}",
        number::percent_ppb(worst),
        number::percent_ppb(best)
    ))
}

/// The worst window of one size and when it began.
pub(super) fn worst(worst: &Worst, budget: &Budget) -> String {
    let size = match worst.length.as_secs() {
        60 => "minute".to_owned(),
        3_600 => "hour".to_owned(),
        86_400 => "day".to_owned(),
        _ => number::duration(worst.length),
    };
    if worst.counted.bad == 0 {
        return format!("no {size} had a bad event");
    }
    format!(
        "the worst {size} was {} and began at {}",
        good(worst.counted, budget),
        worst.start.floor_second()
    )
}

/// An incident in one sentence.
pub(super) fn incident(incident: &Incident, budget: &Budget) -> String {
    let reasons: Vec<String> = incident
        .reasons
        .iter()
        .map(|(reason, n)| format!("{reason} {}", number::count(*n)))
        .collect();
    let reasons = match reasons.is_empty() {
        true => String::new(),
        false => format!(": {}", reasons.join(", ")),
    };
    let length = match incident.open {
        true => format!("{} so far", number::duration(incident.length())),
        false => number::duration(incident.length()),
    };
    format!(
        "{length}, {} bad, {} of the budget{reasons}",
        events(incident.bad, budget),
        cost(incident, budget),
    )
}

/// What a Maintenance or a Correction did, with who says so and why.
pub(super) fn touch(touch: &Touch, measured: Tally, budget: &Budget) -> String {
    let (kind, effect) = match touch.kind {
        TouchKind::Maintenance(effect) => ("maintenance", effect.word()),
        TouchKind::Correction(outcome) => ("correction", outcome.word()),
    };
    let author = touch.author.as_ref().map(|author| format!(", by {author}"));
    let reason = touch.reason.as_ref().map(|reason| format!(": {reason}"));
    let holds = if touch.holds { "" } else { " (withdrawn)" };
    format!(
        "{kind} {} from {} to {}, {effect}{holds}, {} good and {} bad measured{}{}",
        touch.name,
        touch.period.start,
        touch.period.end,
        events(measured.good, budget),
        events(measured.bad, budget),
        author.unwrap_or_default(),
        reason.unwrap_or_default(),
    )
}

/// The share of the whole budget that an incident took.
pub(super) fn cost(incident: &Incident, budget: &Budget) -> String {
    let (cost, allowed) = budget.cost(incident.bad);
    number::percent_up(cost, allowed)
}

/// What one period of an agreement comes to.
pub(super) fn settlement(agreement: &Agreement, settled: &Settlement) -> String {
    let so_far = if settled.until < settled.period.end { " so far" } else { "" };
    let owed = match (settled.credit, settled.kept) {
        (_, Kept::NoData) => "nothing can be said about credits".to_owned(),
        (Some(Credit { below, credit }), _) => {
            format!("a credit of {credit} is owed{so_far} (below {below})")
        }
        (None, Kept::No) if agreement.credits.is_empty() => "no credits are agreed".to_owned(),
        (None, _) => format!("no credit is owed{so_far}"),
    };
    format!(
        "{}: {}{so_far}, coverage {}; {owed}",
        settled.kept.words(),
        delivered(&settled.budget),
        coverage(settled.coverage),
    )
}

/// A report in one line.
pub(super) fn headline(slos: &[SloReport<'_>], agreements: &[AgreementReport<'_>]) -> String {
    let n = |kept| slos.iter().filter(|slo| slo.kept == kept).count();
    let mut told = Vec::new();
    for kept in [Kept::No, Kept::NoData, Kept::Open, Kept::Yes] {
        if n(kept) > 0 {
            told.push(format!("{} {}", n(kept), kept.words()));
        }
    }
    let credits = agreements.iter().flat_map(|one| &one.periods);
    let credits = credits.filter(|settled| settled.credit.is_some()).count();
    let all = match slos.len() {
        0 => "No objective is declared.".to_owned(),
        1 => format!("1 objective: {}.", told.join(", ")),
        n => format!("{n} objectives: {}.", told.join(", ")),
    };
    match credits {
        0 => all,
        1 => format!("{all} 1 credit is owed."),
        n => format!("{all} {n} credits are owed."),
    }
}
