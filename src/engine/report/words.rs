//! A report's numbers as people read them, the same in tables, on pages and in Markdown.

use std::time::Duration;

use super::{AgreementReport, Extent, Incident, Kept, Proof, Settlement, SloReport};
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

/// How much of the budget is spent, in time and in events; where much of the period does not
/// count, of what the rest of it allows.
pub(super) fn spent(budget: &Budget, extent: &Extent) -> String {
    let (cost, allowed) = budget.cost(budget.counted.bad);
    if allowed == 0 {
        return number::NO_DATA.to_owned();
    }
    let budget = match extent.is_scaled(budget) {
        true => &extent.unscaled(budget),
        false => budget,
    };
    format!(
        "{}: {}, {} of {} events",
        number::spent(cost, allowed),
        time_spent(budget),
        events(budget.counted.bad, budget),
        number::decimal_count(&budget.total_events()),
    )
}

fn time_spent(budget: &Budget) -> String {
    let spent = number::duration_up(budget.cost_time(budget.counted.bad));
    format!("{spent} of {}", number::duration(budget.total_time()))
}

/// What was counted, what that allows, and what it comes to if it is scaled to the whole period;
/// none where the budget is that of what was counted.
pub(super) fn scaled(budget: &Budget, extent: &Extent) -> Option<String> {
    let to_come = match extent.to_come.is_zero() {
        true => String::new(),
        false => format!(" and {} to come", number::duration(extent.to_come)),
    };
    let whole = number::duration(extent.whole);
    extent.is_scaled(budget).then(|| {
        format!(
            "{} of {whole} counted{to_come}, which allows {}; scaled to all {whole}, that is {}",
            number::duration(extent.counted),
            number::duration(extent.unscaled(budget).total_time()),
            time_spent(budget),
        )
    })
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
    format!("{length}, {} bad, {}{reasons}", events(incident.bad, budget), cost(incident, budget),)
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
    number::of_budget(cost, allowed)
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
        "{}: {}{so_far}, coverage {}, budget {}; {owed}",
        settled.kept.words(),
        delivered(&settled.budget),
        coverage(settled.coverage),
        spent(&settled.budget, &settled.extent),
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
