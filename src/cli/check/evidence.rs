//! How much would have to be seen before an objective is shown, by every rule and for outages of
//! several lengths: for programs, and for people who ask what an assumption is worth.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::engine::feasibility::{Event, Feasibility};
use crate::engine::fit;
use crate::model::evidence::finished::{self, Zones, probes_needed};
use crate::model::evidence::{Record, bands, evidence_units, peeking};
use crate::model::objective::PPB;
use crate::model::{Objective, Slo, decimal};

/// Up to how many failures or outages it is told.
const FAILURES: std::ops::Range<u64> = 0..6;
/// Mean lengths of outages in seconds: one probe, the budget of five nines over 30 days, a
/// failover, what is assumed if nothing is declared, a repair, a bad one.
const OUTAGES: [u64; 6] = [10, 26, 60, 300, 1_200, 3_600];
/// Clean time whose worth is told, in days.
const CLEAN: [u64; 2] = [30, 365];
/// How sure one is, and how often one may be wrong.
const CONFIDENCES: [(&str, f64); 4] =
    [("0.9", 0.1), ("0.95", 0.05), ("0.975", 0.025), ("0.99", 0.01)];

/// With 0 to 5 outages: how many mean outages' worth of budget must have been observed.
pub(super) fn units() -> Value {
    let of = |units: fn(u64) -> f64| FAILURES.map(|n| fixed(units(n), 4)).collect::<Value>();
    json!({"one_look": of(finished::units), "any_time": of(evidence_units)})
}

/// What it takes to show the objective of an SLO, whose window has so many slots.
pub(super) fn of_slo(slo: &Slo, each: &Feasibility) -> Value {
    let slots = (each.event == Event::Probe).then(|| each.slots.floor());
    let slots = slots.and_then(|slots| u64::try_from(slots).ok()).filter(|slots| *slots > 0);
    let window = slo.window.shortest();
    json!({
        "window": slots.map(|slots| zones(slots, slo.objective)),
        "probes": probes(slo.objective),
        "probes_seconds": slots.map(|slots| times(slots, slo, window)),
        "outages": lengths(slo).map(|length| outages(length, slo.objective, window)).collect::<Value>(),
    })
}

/// The lengths of outages that are told: those that are for everybody, and the declared one.
fn lengths(slo: &Slo) -> impl Iterator<Item = Duration> {
    let told = OUTAGES.map(Duration::from_secs).into_iter().chain([slo.mean_outage]);
    told.collect::<BTreeSet<_>>().into_iter()
}

/// What a window of so many probes shows.
fn zones(n: u64, objective: Objective) -> Value {
    let zones = Zones::of(n, objective);
    json!({
        "probes": n,
        "met_at_most": zones.met_at_most,
        "breached_at_least": zones.breached_at_least,
        "likely_met_from": zones.likely_met_from(n).map(|share| fixed(share, 9)),
    })
}

/// How many probes it takes with 0 to 5 bad ones, by each rule.
fn probes(objective: Objective) -> Value {
    let budget = ratio(objective);
    let mut json = json!({
        "any_time": FAILURES.map(|bad| peeking::probes_needed(bad, budget)).collect::<Value>(),
        "wilson": bands::clean_probes(budget).0,
        "jeffreys": bands::clean_probes(budget).1,
    });
    for (confidence, alpha) in CONFIDENCES {
        let needed = FAILURES.map(|bad| probes_needed(bad, objective, alpha));
        json[confidence] = needed.collect();
    }
    json
}

/// How long those take that it takes at 95 %, as whole seconds, cut up.
fn times(slots: u64, slo: &Slo, window: Duration) -> Value {
    let time = |bad| {
        let probes = u128::from(probes_needed(bad, slo.objective, 0.05));
        let micros = (probes * window.as_micros()).div_ceil(slots.into());
        micros.div_ceil(1_000_000).to_string()
    };
    FAILURES.map(time).collect()
}

/// What it takes, and what clean time and a window that was met are worth, if outages last so
/// long on average.
fn outages(declared: Duration, objective: Objective, window: Duration) -> Value {
    let (length, budget) = (declared.as_secs_f64(), ratio(objective));
    let needed = |units: f64| format!("{:.0}", (units * length / budget).ceil());
    let clean = |days: u64| {
        let observed = Duration::from_secs(days * 86_400);
        let record = Record { observed, ..Record::default() };
        let ppb = finished::supported_ppb(&record, declared);
        (format!("clean_{days}d"), ppb.and_then(|ppb| decimal::ratio(ppb.into(), PPB.into())))
    };
    let outages = window.as_secs_f64() * budget / length;
    // At exactly the objective, at half its budget, and one nine better.
    let met = [1.0, 0.5, 0.1].map(|share| fixed(fit::windows_met(outages * share, outages), 4));
    let mut json = json!({
        "outage_seconds": super::seconds(declared),
        "one_look_seconds": needed(finished::units(0)),
        "any_time_seconds": needed(evidence_units(0)),
        "windows_met": met,
    });
    for (key, value) in CLEAN.map(clean) {
        json[key] = value.into();
    }
    json
}

fn ratio(objective: Objective) -> f64 {
    f64::from(objective.budget_ppb()) / f64::from(PPB)
}

/// With so many decimals, cut.
fn fixed(value: f64, decimals: u32) -> String {
    let scale = 10_f64.powi(decimals.cast_signed());
    let parts = (value * scale).floor() as i128;
    decimal::ratio(parts, 10_u128.pow(decimals)).unwrap_or_default()
}
