//! Reports as JSON, the same for the HTTP API and `nines report`; the tables and the Markdown of
//! the latter are made from it.
//!
//! Ratios and seconds are decimal text, cut toward worse; a key without a value is `null`. What
//! people read stands beside the numbers under `sentence` and `sentences`.

use serde_json::{Value, json};

use super::{
    AgreementReport, Extent, Incident, Kept, Proof, Report, Settlement, Singly, SloReport, words,
};
use crate::engine::render::{budget_json, ppb_text, revisions_json, seconds_json, touches_json};
use crate::engine::status::Accounting;
use crate::model::budget::{Budget, Counted, Spending};
use crate::model::catalog::{Agreement, Credit, UnknownPolicy};
use crate::model::evidence::{ALPHA, LEVEL, bands, peeking, tails};
use crate::model::objective::PPB;
use crate::model::time::format_duration;
use crate::model::uptime::Uptime;
use crate::model::window::Period;
use crate::model::worst::Worst;
use crate::model::{Tally, Timestamp, decimal, number};

/// A whole report, under its schema.
pub fn report_json(report: &Report<'_>) -> Value {
    json!({
        "schema": "nines.report/v1",
        "scope": {"kind": report.scope.kind(), "name": report.scope.name()},
        "period": period_json(report.period),
        "over": report.is_over(),
        "made_at": report.now.floor_second().to_string(),
        "headline": words::headline(&report.slos, &report.agreements),
        "application": report.application.map(|application| json!({
            "name": application.name.as_str(),
            "title": application.title(),
            "objective": application.objective.ratio(),
            "window": application.window.to_string(),
        })),
        "slos": report.slos.iter().map(slo_json).collect::<Value>(),
        "agreements": report.agreements.iter().map(agreement_report_json).collect::<Value>(),
    })
}

/// Incidents of several SLOs, the newest first, under their own schema.
pub fn incidents_json(report: &Report<'_>) -> Value {
    let of = |slo: &SloReport<'_>| -> Vec<(Timestamp, Value)> {
        let incident = |incident: &Incident| {
            let mut json = incident_json(incident, &slo.budget);
            json["service"] = slo.service.name.as_str().into();
            json["team"] = slo.service.team().into();
            (incident.start, json)
        };
        slo.incidents.iter().map(incident).collect()
    };
    let mut incidents: Vec<(Timestamp, Value)> = report.slos.iter().flat_map(of).collect();
    incidents.sort_by_key(|(start, _)| std::cmp::Reverse(*start));
    let left_out: usize = report.slos.iter().map(|slo| slo.left_out).sum();
    json!({
        "schema": "nines.incidents/v1",
        "period": period_json(report.period),
        "made_at": report.now.floor_second().to_string(),
        "incidents": incidents.into_iter().map(|(_, json)| json).collect::<Value>(),
        "left_out": left_out,
    })
}

/// An agreement as it is declared.
pub fn agreement_json(agreement: &Agreement) -> Value {
    let credit = |tier: &Credit| {
        let (below, credit) = (tier.below.ratio(), ppb_text(tier.credit.ppb()));
        json!({"below": below, "credit": credit})
    };
    json!({
        "name": agreement.name.as_str(),
        "service": agreement.slo.service(),
        "slo": agreement.slo.as_str(),
        "customer": agreement.customer,
        "objective": agreement.objective.ratio(),
        "window": agreement.calendar.to_string(),
        "credits": agreement.credits.iter().map(credit).collect::<Value>(),
    })
}

fn slo_json(report: &SloReport<'_>) -> Value {
    let budget = &report.budget;
    let incident = |incident| incident_json(incident, budget);
    let mut json = json!({
        "slo": report.slo.id.as_str(),
        "service": report.service.name.as_str(),
        "title": report.service.title(),
        "team": report.service.team(),
        "objective": report.objective.ratio(),
        "window": report.slo.window.to_string(),
        "until": report.until.to_string(),
        "kept": report.kept.words(),
        "accounting": accounting(report.kept, budget),
        "budget": period_budget_json(budget, &report.extent),
        "coverage": report.coverage.ratio(),
        "evidence": proof_json(&report.proof, report),
        "incidents": report.incidents.iter().map(incident).collect::<Value>(),
        "incidents_left_out": report.left_out,
        "worst": report.worst.iter().map(|one| worst_json(one, budget)).collect::<Value>(),
        "uptime": uptime_json(&report.uptime),
        "revisions": revisions_json(&report.revisions),
        "amendments": amendments_json(report),
        "sentences": {
            "promised": format!("{} over {}", report.objective, report.slo.window),
            "delivered": words::delivered(budget),
            "spent": words::spent(budget, &report.extent),
            "scaled": words::scaled(budget, &report.extent),
            "coverage": words::coverage(report.coverage),
            "evidence": words::proof(&report.proof),
            "singly": words::singly(&report.proof),
        },
    });
    put_counts(&mut json, (report.tally, report.bounds), budget);
    json
}

/// Everything that touched the SLO in the period, in words as well.
fn amendments_json(report: &SloReport<'_>) -> Value {
    let mut json = touches_json(&report.touches);
    let told = json.as_array_mut().into_iter().flatten();
    for ((touch, measured), told) in report.touches.iter().zip(told) {
        told["sentence"] = words::touch(touch, *measured, &report.budget).into();
    }
    json
}

fn put_counts(json: &mut Value, (tally, bounds): (Tally, [Counted; 2]), budget: &Budget) {
    let [low, high] = bounds.map(Counted::sli);
    let Value::Object(map) = json else { return };
    let counts = json!({
        "good": tally.good,
        "bad": tally.bad,
        "unknown": tally.unknown,
        "excluded": tally.excluded,
        "scheduled": tally.scheduled(),
        "parts_per_event": budget.parts,
        "sli": budget.counted.sli(),
        "sli_low": low,
        "sli_high": high,
        "whatever_unknown": whatever_unknown(tally, budget),
    });
    if let Value::Object(counts) = counts {
        map.extend(counts);
    }
}

/// What the objective is whatever the unknown was: met if all of it may have been bad, missed if
/// none of it was; else open. None without events.
fn whatever_unknown(tally: Tally, budget: &Budget) -> Option<&'static str> {
    let spent = |policy| Spending::of(Counted::of(tally, policy), budget.objective);
    let missed = |policy| spent(policy).burns_above((1, 1));
    (tally.expected() > 0).then(|| {
        match (missed(UnknownPolicy::Bad), missed(UnknownPolicy::Good)) {
            (false, _) => "met",
            (true, true) => "missed",
            (true, false) => "open",
        }
    })
}

fn accounting(kept: Kept, budget: &Budget) -> Option<&'static str> {
    (kept != Kept::NoData).then(|| Accounting::of(budget).words())
}

/// The budget of a period, in time as well: scaled to all of it, and as far as that counts or is
/// to come.
fn period_budget_json(budget: &Budget, extent: &Extent) -> Value {
    let mut json = budget_json(budget);
    json["total_seconds"] = seconds_json(budget.total_time());
    json["spent_seconds"] = seconds_json(budget.cost_time(budget.counted.bad));
    let unscaled = extent.unscaled(budget);
    json["unscaled"] = json!({
        "counted_seconds": seconds_json(extent.counted),
        "to_come_seconds": seconds_json(extent.to_come),
        "total_seconds": seconds_json(unscaled.total_time()),
        "spent_seconds": seconds_json(unscaled.cost_time(unscaled.counted.bad)),
    });
    json
}

fn proof_json(proof: &Proof, report: &SloReport<'_>) -> Value {
    json!({
        "state": proof.evidence.words(),
        "rule": if proof.is_final { "one look" } else { "any time" },
        "supported": proof.supported_ppb.and_then(ppb_text),
        "assumed_outage_seconds": seconds_json(proof.assumed_outage),
        "observed_seconds": seconds_json(proof.record.observed),
        "outages": proof.record.outages,
        "outage_seconds": seconds_json(proof.record.outage_time),
        "earliest": proof.earliest.map(|at| at.to_string()),
        "singly": proof.singly.as_ref().map(|singly| singly_json(singly, report)),
    })
}

fn singly_json(singly: &Singly, report: &SloReport<'_>) -> Value {
    let budget = f64::from(report.objective.budget_ppb()) / f64::from(PPB);
    let (bad, total) = (singly.bad, singly.total);
    let interval = |(worst, best): (u32, u32)| json!([ppb_text(worst), ppb_text(best)]);
    json!({
        "bad": bad,
        "total": total,
        "state": singly.zones.evidence(bad).words(),
        "met_at_most": singly.zones.met_at_most,
        "breached_at_least": singly.zones.breached_at_least,
        "likely_met_from": singly.zones.likely_met_from(total).map(|share| fixed(share, 9)),
        "interval": interval(singly.interval_ppb),
        // What other rules leave open at worst; nothing is claimed by them.
        "lost_at_most": {
            "clopper_pearson": fixed(tails::upper(bad, total, ALPHA), 10),
            "wilson": fixed(bands::wilson(bad, total), 10),
            "jeffreys": fixed(bands::jeffreys(bad, total), 10),
        },
        "clustering": cut(singly.clustering, 100.0),
        "interval_clustered": singly.clustered_ppb.map(interval),
        // A test martingale, of worth up to its level: what a daemon that looks all the time has.
        "any_time": {
            "met": cut(peeking::shown_met(bad, total, budget).min(LEVEL), 10_000.0),
            "breached": cut(peeking::shown_breached(bad, total, budget).min(LEVEL), 10_000.0),
            "level": LEVEL,
            "needed": peeking::probes_needed(bad, budget),
        },
    })
}

/// A share as decimal text with at most so many decimals, to the nearest.
fn fixed(share: f64, decimals: usize) -> String {
    let text = format!("{share:.decimals$}");
    decimal::trim_zeros(&text).to_owned()
}

/// A statistic with some decimals, cut.
fn cut(value: f64, scale: f64) -> f64 {
    (value * scale).floor() / scale
}

fn incident_json(incident: &Incident, budget: &Budget) -> Value {
    let (cost, allowed) = budget.cost(incident.bad);
    let cost = i128::try_from(cost).unwrap_or(i128::MAX);
    let ratio = decimal::ratio(-cost, allowed).map(|text| text.replacen('-', "", 1));
    let reason = |(reason, n): &(&str, u64)| json!({"reason": reason, "n": n});
    json!({
        "slo": incident.slo.as_str(),
        "start": incident.start.to_string(),
        "end": incident.end.to_string(),
        "open": incident.open,
        "seconds": seconds_json(incident.length()),
        "bad_events": budget.events(incident.bad),
        "cost_ratio": ratio,
        "cost_seconds": seconds_json(budget.cost_time(incident.bad)),
        "reasons": incident.reasons.iter().map(reason).collect::<Value>(),
        "shown": {
            "start": incident.start.floor_second().to_string(),
            "end": incident.end.ceil_second().to_string(),
        },
        "sentence": words::incident(incident, budget),
    })
}

fn worst_json(worst: &Worst, budget: &Budget) -> Value {
    let counted = worst.counted;
    json!({
        "length": format_duration(worst.length),
        "seconds": worst.length.as_secs(),
        "start": worst.start.to_string(),
        "good": counted.good,
        "bad": counted.bad,
        "sli": counted.sli(),
        "percent": number::percent(counted.good, counted.total()),
        "shown": {"start": worst.start.floor_second().to_string()},
        "sentence": words::worst(worst, budget),
    })
}

fn uptime_json(uptime: &Uptime) -> Value {
    let ratio = uptime.ratio().and_then(|(up, all)| decimal::ratio(i128::try_from(up).ok()?, all));
    json!({
        "up_seconds": seconds_json(uptime.up),
        "down_seconds": seconds_json(uptime.down),
        "inactive_seconds": seconds_json(uptime.inactive),
        "ratio": ratio,
    })
}

fn agreement_report_json(report: &AgreementReport<'_>) -> Value {
    let agreement = report.agreement;
    let mut json = agreement_json(agreement);
    json["periods"] = report.periods.iter().map(|one| settlement_json(agreement, one)).collect();
    json
}

fn settlement_json(agreement: &Agreement, settled: &Settlement) -> Value {
    let budget = &settled.budget;
    let mut json = json!({
        "period": period_json(settled.period),
        "until": settled.until.to_string(),
        "over": settled.until >= settled.period.end,
        "kept": settled.kept.words(),
        "accounting": accounting(settled.kept, budget),
        "budget": period_budget_json(budget, &settled.extent),
        "coverage": settled.coverage.ratio(),
        "credit": settled.credit.and_then(|tier| ppb_text(tier.credit.ppb())),
        "credit_below": settled.credit.map(|tier| tier.below.ratio()),
        "sentence": words::settlement(agreement, settled),
        "scaled": words::scaled(budget, &settled.extent),
    });
    put_counts(&mut json, (settled.tally, settled.bounds), budget);
    json
}

fn period_json(period: Period) -> Value {
    json!({"start": period.start.to_string(), "end": period.end.to_string()})
}
