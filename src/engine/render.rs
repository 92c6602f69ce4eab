//! SLOs and their statuses as JSON, the same for the HTTP API, `nines backtest` and `nines slo`.
//!
//! Ratios are decimal text, cut toward worse; a key without a value is `null`. Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::model::budget::{Budget, Counted};
use crate::model::catalog::NotificationTarget;
use crate::model::decimal;
use crate::model::time::format_duration;
use crate::model::window::Period;
use crate::model::{Name, Part, Slo, Source, Tally, Timestamp};

use super::alert::Alert;
use super::book::{Touch, TouchKind};
use super::forecast;
use super::revision::Revision;
use super::status::{Exhaustion, Proof, SloStatus};

/// An SLO with what is known of it; `null` for a status before the first evaluation.
pub fn slo_json(slo: &Slo, team: &str, status: Option<&SloStatus>, alerts: &[Alert]) -> Value {
    let probes: Vec<&str> = slo.probes.iter().map(|probe| probe.as_str()).collect();
    json!({
        "id": slo.id.as_str(),
        "service": slo.id.service(),
        "team": team,
        "display_name": slo.display_name,
        "description": slo.description,
        "objective": slo.objective.ratio(),
        "window": slo.window.to_string(),
        "probes": probes,
        "parts": slo.parts.iter().map(part_json).collect::<Value>(),
        "latency_under": slo.latency_under.map(format_duration),
        "method": slo.method.word(),
        "slice": slo.method.slice().map(format_duration),
        "unknown": slo.unknown.word(),
        "min_coverage": slo.min_coverage.and_then(|share| ppb_text(share.ppb())),
        "source": slo.source.as_ref().map(source_json),
        "notification_targets": slo.notify.iter().map(target_json).collect::<Value>(),
        "policy": slo.policy.as_ref().map(|policy| policy.name.as_str()),
        "status": status.map(status_json),
        "alerts": alerts.iter().map(alert_json).collect::<Value>(),
    })
}

/// One of the SLOs that another is made of.
fn part_json(part: &Part) -> Value {
    json!({"slo": part.slo.as_str(), "weight": part.weight.to_string()})
}

/// Who counts in place of a probe.
fn source_json(source: &Source) -> Value {
    let server = match source {
        Source::Prometheus(prometheus) => Some(prometheus.server.as_str()),
        Source::Push(_) => None,
    };
    json!({"kind": source.kind(), "server": server})
}

fn target_json(target: &NotificationTarget) -> Value {
    json!({
        "name": target.name.as_str(),
        "target": target.target,
        "description": target.description,
    })
}

/// What an SLO promised when, oldest first; `effective_from` is `null` for the time since its
/// history began, `declared` false for a time in which it promised nothing, `measured_anew` true
/// where probes have another target or another check than before.
pub fn revisions_json(revisions: &[Revision]) -> Value {
    let revision = |(n, revision): (usize, &Revision)| {
        let before = n.checked_sub(1).map(|before| &revisions[before]);
        let under = revision.threshold.map(|micros| Duration::from_micros(micros.into()));
        let probes: Vec<&str> = revision.probes.iter().map(|(_, probe)| probe.as_str()).collect();
        let from = (revision.from > Timestamp::MIN).then(|| revision.from.to_string());
        json!({
            "effective_from": from,
            "declared": revision.is_declared(),
            "objective": revision.objective.ratio(),
            "window": revision.window.to_string(),
            "unknown": revision.unknown.word(),
            "latency_under": under.map(format_duration),
            "probes": probes,
            "measured_anew": before.is_some_and(|before| !before.measures_as(revision)),
        })
    };
    revisions.iter().enumerate().map(revision).collect()
}

/// Everything that touched an SLO, with what was measured where it did.
pub fn touches_json(touches: &[(Touch, Tally)]) -> Value {
    let touch = |(touch, measured): &(Touch, Tally)| {
        let (kind, does) = match touch.kind {
            TouchKind::Maintenance(effect) => ("maintenance", effect.word()),
            TouchKind::Correction(outcome) => ("correction", outcome.word()),
        };
        json!({
            "kind": kind,
            "name": touch.name.as_str(),
            "effect": does,
            "from": touch.period.start.to_string(),
            "to": touch.period.end.to_string(),
            "reason": touch.reason,
            "author": touch.author,
            "holds": touch.holds,
            "withdrawn_by": touch.withdrawn_by.iter().map(Name::as_str).collect::<Vec<_>>(),
            "measured": tally_json(*measured),
        })
    };
    touches.iter().map(touch).collect()
}

/// An alert with where it stands.
pub fn alert_json(alert: &Alert) -> Value {
    let resolved = alert.life.resolved_at.map(Timestamp::from_micros);
    json!({
        "name": alert.kind.name(),
        "severity": alert.kind.severity(),
        "firing": alert.is_firing(),
        "muted": alert.is_muted,
        "on": alert.fired_at().map(|at| at.to_string()),
        "off": resolved.map(|at| at.to_string()),
        "summary": alert.annotations.get("summary"),
        "description": alert.annotations.get("description"),
    })
}

/// Everything that is known: counts, budget, burn rates, forecast and evidence.
pub fn status_json(status: &SloStatus) -> Value {
    let tally = status.tally;
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    put("at", status.at.to_string().into());
    let Period { start, end } = status.period;
    put("period", json!({ "start": start.to_string(), "end": end.to_string() }));
    put("good", tally.good.into());
    put("bad", tally.bad.into());
    put("unknown", tally.unknown.into());
    put("excluded", tally.excluded.into());
    put("scheduled", tally.scheduled().into());
    if status.budget.parts > 1 {
        put("parts_per_event", status.budget.parts.into());
    }
    put("sli", status.budget.counted.sli().into());
    let [low, high] = status.bounds.map(Counted::sli);
    put("sli_low", low.into());
    put("sli_high", high.into());
    put("corrected", status.corrected.into());
    put("coverage", status.coverage.ratio().into());
    put("budget", budget_json(&status.budget));
    put("accounting", status.accounting.words().into());
    put("evidence", status.evidence.words().into());
    put("supported", status.proof.supported_ppb.and_then(ppb_text).into());
    put("proof", proof_json(status));
    put("burn", burns_json(status));
    put("exhaustion", exhaustion_json(status.exhaustion));
    put("exhaustion_latest", exhaustion_json(status.exhaustion_latest));
    put("quiet", quiet_json(status));
    put("totals", tally_json(status.totals));
    Value::Object(map)
}

/// What the evidence rests on.
fn proof_json(status: &SloStatus) -> Value {
    let Proof { since, record, assumed_outage, earliest, .. } = status.proof;
    json!({
        "since": since.to_string(),
        "observed_seconds": seconds_json(record.observed),
        "outages": record.outages,
        "outage_seconds": seconds_json(record.outage_time),
        "assumed_outage_seconds": seconds_json(assumed_outage),
        "earliest": earliest.map(|at| at.to_string()),
    })
}

/// The chance that no outage begins in what is left of a calendar period, or in a rolling
/// window's length.
fn quiet_json(status: &SloStatus) -> Value {
    let ahead = forecast::ahead(status);
    chance_json(ahead, status.proof.record.quiet_chance(ahead))
}

/// A chance, cut, and the time it is about.
fn chance_json(ahead: Duration, chance: Option<f64>) -> Value {
    let parts = chance.map(|chance| (chance * 1e5).floor() as i128);
    json!({
        "seconds": seconds_json(ahead),
        "chance": parts.and_then(|parts| decimal::ratio(parts, 100_000)),
    })
}

/// A status with the chance that its budget holds.
pub fn outlook_json(status: &SloStatus, survival: Option<f64>) -> Value {
    let mut json = status_json(status);
    json["survival"] = chance_json(forecast::ahead(status), survival);
    json
}

/// Decimal text, cut.
pub(super) fn seconds_json(time: Duration) -> Value {
    let micros = i128::try_from(time.as_micros()).unwrap_or(i128::MAX);
    decimal::ratio(micros, 1_000_000).into()
}

/// A budget: how much there was, is spent and is left.
pub fn budget_json(budget: &Budget) -> Value {
    json!({
        "total_events": budget.total_events(),
        "spent_events": match budget.parts {
            1 => budget.counted.bad.into(),
            _ => Value::from(budget.bad_events()),
        },
        "spent_ratio": budget.spent_ratio(),
        "left_ratio": budget.left_ratio(),
        "left_seconds": budget.left_seconds(),
    })
}

pub(super) fn tally_json(tally: Tally) -> Value {
    json!({
        "good": tally.good,
        "bad": tally.bad,
        "unknown": tally.unknown,
        "excluded": tally.excluded,
    })
}

fn burns_json(status: &SloStatus) -> Value {
    let burns = status.burns.iter().map(|burn| {
        // Cut up: a burn rate that is printed too low is not "toward worse".
        let rate = status.burn(burn).and_then(|(numerator, denominator)| {
            let (numerator, denominator) = (i128::try_from(numerator).ok()?, denominator);
            decimal::ratio(-numerator, denominator).map(|text| text.replacen('-', "", 1))
        });
        json!({ "window": format_duration(burn.window), "rate": rate })
    });
    burns.collect()
}

/// `"never"`, `"unknown"`, or the seconds left as decimal text.
fn exhaustion_json(exhaustion: Exhaustion) -> Value {
    match exhaustion {
        Exhaustion::Unknown => "unknown".into(),
        Exhaustion::Never => "never".into(),
        Exhaustion::In(left) => seconds_json(left),
    }
}

pub(super) fn ppb_text(ppb: u32) -> Option<String> {
    decimal::ratio(ppb.into(), 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::status::{Accounting, Burn, Coverage};
    use crate::model::budget::Spending;
    use crate::model::evidence::{self, Evidence};

    #[test]
    fn unknown_time_bounds_what_can_be_said() {
        let tally = Tally { good: 2_591_970, bad: 0, unknown: 30, excluded: 7 };
        let text = |text: &str| Some(text.to_owned());
        let bounds = |tally| Counted::bounds(tally).map(Counted::sli);
        assert_eq!(bounds(tally), [text("0.999988425"), text("1")]);
        let half = Tally { good: 1, bad: 1, unknown: 2, excluded: 0 };
        assert_eq!(bounds(half), [text("0.25"), text("0.75")]);
        assert_eq!(bounds(Tally::ZERO), [None, None]);
    }

    #[test]
    fn a_status_is_rendered_as_the_contract_shows_it() {
        let counted = Counted { good: 2_591_400, bad: 600 };
        let objective = "99.9%".parse().expect("valid");
        let burn = |seconds, counted| {
            let Spending { counted, allowed_ppb } = Spending::of(counted, objective);
            Burn { window: Duration::from_secs(seconds), counted, allowed_ppb }
        };
        let status = SloStatus {
            at: Timestamp::from_secs(1_769_904_000),
            period: Period {
                start: Timestamp::from_secs(1_769_904_000 - 30 * 86_400),
                end: Timestamp::from_secs(1_769_904_000),
            },
            tally: Tally { good: 2_591_400, bad: 600, unknown: 0, excluded: 0 },
            totals: Tally { good: 3_000_000, bad: 700, unknown: 1, excluded: 2 },
            bounds: [counted, counted],
            budget: Budget::new(counted, objective, Duration::from_secs(30 * 86_400)),
            coverage: Coverage { numerator: 1, denominator: 1 },
            burns: vec![burn(300, Counted { good: 2, bad: 1 }), burn(3_600, Counted::default())],
            exhaustion: Exhaustion::In(Duration::from_millis(11_400_500)),
            exhaustion_latest: Exhaustion::Never,
            accounting: Accounting::WithinBudget,
            evidence: Evidence::NotYetProven,
            proof: Proof {
                since: Timestamp::from_secs(1_769_904_000 - 30 * 86_400),
                record: evidence::Record {
                    observed: Duration::from_secs(30 * 86_400),
                    outages: 1,
                    outage_time: Duration::from_secs(600),
                },
                supported_ppb: Some(998_000_000),
                assumed_outage: Duration::from_secs(600),
                earliest: Some(Timestamp::from_secs(1_775_520_000)),
            },
            pairs: Vec::new(),
            corrected: false,
        };
        insta::assert_snapshot!(status_json(&status), @r#"{"accounting":"within budget","at":"2026-02-01T00:00:00Z","bad":600,"budget":{"left_ratio":"0.768518518","left_seconds":"1992","spent_events":600,"spent_ratio":"0.231481481","total_events":"2592"},"burn":[{"rate":"333.333333334","window":"5m"},{"rate":null,"window":"1h"}],"corrected":false,"coverage":"1","evidence":"not yet proven","excluded":0,"exhaustion":"11400.5","exhaustion_latest":"never","good":2591400,"period":{"end":"2026-02-01T00:00:00Z","start":"2026-01-02T00:00:00Z"},"proof":{"assumed_outage_seconds":"600","earliest":"2026-04-07T00:00:00Z","observed_seconds":"2592000","outage_seconds":"600","outages":1,"since":"2026-01-02T00:00:00Z"},"quiet":{"chance":"0.35355","seconds":"2592000"},"scheduled":2592000,"sli":"0.999768518","sli_high":"0.999768518","sli_low":"0.999768518","supported":"0.998","totals":{"bad":700,"excluded":2,"good":3000000,"unknown":1},"unknown":0}"#);
    }
}
