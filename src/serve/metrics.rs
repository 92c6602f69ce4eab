//! Every family about the catalogue: what the engine knows of each probe and each SLO.
//!
//! Renders what is there and computes nothing. What has no data has no sample; counters whose
//! series are known start at 0. How many series a catalogue makes is [`series_count`].

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::counters::{BASE_EDGES, Counters};
use crate::engine::{Alert, AlertKind, Engine, Exhaustion, ProbeState, SloState, SloStatus};
use crate::model::evidence::Evidence;
use crate::model::maintenance::Effect;
use crate::model::objective::PPB;
use crate::model::time::format_duration;
use crate::model::{
    BadReason, Catalog, Check, Phases, Probe, Service, Severity, Slo, Tally, UnknownReason,
};

use super::exposition::{Exposition, Format, Labels, histogram_samples};

/// Room that one sample takes, on average, in bytes; only a hint for the first allocation.
const SAMPLE_BYTES: usize = 160;

/// Writes the probe and SLO groups. `metric_labels` are the metadata labels that become labels
/// of `nines_slo_info`.
pub fn write(out: &mut Exposition, engine: &Engine, metric_labels: &[String]) {
    out.reserve(SAMPLE_BYTES * series_count(engine.catalog()));
    write_probes(out, engine.probes());
    write_slos(out, engine, metric_labels);
}

fn write_probes(out: &mut Exposition, probes: &[ProbeState]) {
    let format = out.format();
    let labels = |p: &ProbeState| {
        Labels::of(format, &[("probe", p.probe.id.as_str()), ("vantage", &p.vantage)])
    };
    let probes: Vec<(Labels, &Counters)> =
        probes.iter().filter(|p| is_probed(&p.probe)).map(|p| (labels(p), &p.counters)).collect();
    write_probe_outcomes(out, &probes);

    let help = "Latency of probes, from the start to the last byte; a timeout counts as itself.";
    let mut family = out.histogram("nines_probe_duration_seconds", help);
    for (labels, counters) in &probes {
        family.sample_with_spread(labels, &counters.latency, &counters.spread);
    }
    let phases = labels_of(format, "phase", Phases::NAMES);
    let help = "Time spent in each phase of probes.";
    let mut family = out.counter("nines_probe_phase_seconds_total", help);
    for (labels, counters) in &probes {
        for (phase, spent) in phases.iter().zip(counters.phases) {
            family.sample_with(labels, phase, spent);
        }
    }
    let help = "When the first certificate of the chain that was shown last expires.";
    let mut family = out.gauge("nines_tls_certificate_not_after_timestamp_seconds", help);
    for (labels, counters) in &probes {
        if let Some(at) = counters.certificate_not_after {
            family.sample(labels, at);
        }
    }
}

/// Whether a probe is one, and not somebody else who counts.
fn is_probed(probe: &Probe) -> bool {
    probe.check.source().is_none()
}

fn write_probe_outcomes(out: &mut Exposition, probes: &[(Labels, &Counters)]) {
    let format = out.format();
    let mut family = out.counter("nines_probes_total", "Probes whose result was good or bad.");
    for (labels, counters) in probes {
        family.sample(labels, counters.runs);
    }
    let reasons = labels_of(format, "reason", BadReason::ALL.iter().map(|reason| reason.word()));
    let mut family =
        out.counter("nines_probe_failures_total", "Probes whose result was bad, by reason.");
    for (labels, counters) in probes {
        for (reason, n) in reasons.iter().zip(counters.failures) {
            family.sample_with(labels, reason, n);
        }
    }
    let reasons =
        labels_of(format, "reason", UnknownReason::OF_PROBES.iter().map(|reason| reason.word()));
    let help = "Slots in which nothing could be measured, by reason.";
    let mut family = out.counter("nines_probe_unknown_total", help);
    for (labels, counters) in probes {
        for (reason, n) in reasons.iter().zip(counters.unknown) {
            family.sample_with(labels, reason, n);
        }
    }
    let help = "Whether the last result that was good or bad was good.";
    let mut family = out.gauge("nines_probe_success", help);
    for (labels, counters) in probes {
        if let Some(success) = counters.last_success {
            family.sample(labels, success);
        }
    }
    let help = "When the last probe that really ran was started.";
    let mut family = out.gauge("nines_probe_last_run_timestamp_seconds", help);
    for (labels, counters) in probes {
        if let Some(at) = counters.last_run {
            family.sample(labels, at);
        }
    }
}

/// One label with each of its values.
fn labels_of(
    format: Format,
    key: &str,
    values: impl IntoIterator<Item = &'static str>,
) -> Vec<Labels> {
    values.into_iter().map(|value| Labels::of(format, &[(key, value)])).collect()
}

/// The SLOs with the label set that all their families share.
type Slos<'a> = [(Labels, &'a SloState)];

fn write_slos(out: &mut Exposition, engine: &Engine, metric_labels: &[String]) {
    let format = out.format();
    let labels = |state: &SloState| {
        let id = &state.slo.id;
        Labels::of(
            format,
            &[("slo", id.as_str()), ("slo_service", id.service()), ("team", &state.team)],
        )
    };
    let slos: Vec<(Labels, &SloState)> =
        engine.slos().iter().map(|state| (labels(state), state)).collect();
    write_facts(out, engine.catalog(), &slos, metric_labels);
    write_totals(out, engine, &slos);
    write_measures(out, &slos);
    write_burn(out, &slos);
    write_evidence(out, &slos);
    write_alerts(out, &slos);
    write_maintenance(out, &slos);
}

fn write_facts(out: &mut Exposition, catalog: &Catalog, slos: &Slos, metric_labels: &[String]) {
    let mut keys: Vec<(&String, String)> = Vec::new();
    // The team has a label of its own everywhere.
    let metric_labels = metric_labels.iter().filter(|key| *key != "team");
    for (key, name) in metric_labels.map(|key| (key, label_name(key))) {
        // Two keys that become the same name would break the whole scrape.
        if keys.iter().all(|(_, other)| *other != name) {
            keys.push((key, name));
        }
    }
    let mut family = out.info("nines_slo_info", "What is promised, in words.");
    // The engine holds its SLOs in the order of its catalogue.
    for ((labels, state), (service, slo)) in slos.iter().zip(catalog.slos()) {
        debug_assert_eq!(state.slo.id, slo.id);
        let mut labels = labels
            .clone()
            .and("objective", &state.slo.objective.to_string())
            .and("window", &state.slo.window.to_string());
        if let Some(under) = state.slo.latency_under {
            labels = labels.and("latency_under", &format_duration(under));
        }
        for (key, name) in &keys {
            labels = labels.and(name, service.labels.get(*key).map_or("", String::as_str));
        }
        family.sample(&labels, true);
    }
    let mut family = out.gauge("nines_slo_objective_ratio", "The promised share of good events.");
    for (labels, state) in slos {
        family.sample(labels, f64::from(state.slo.objective.ppb()) / f64::from(PPB));
    }
    let mut family = out.gauge("nines_slo_window_seconds", "How long the window is.");
    for (labels, state) in slos {
        // Of a calendar the true length of the present period, once there is one.
        let present = state.status.as_ref().map(|status| status.budget.window);
        family.sample(labels, present.unwrap_or_else(|| state.slo.window.shortest()));
    }
}

/// The label name for a metadata key; one that would clash gets the prefix `label_`.
fn label_name(key: &str) -> String {
    const TAKEN: [&str; 10] = [
        "slo",
        "slo_service",
        "team",
        "objective",
        "window",
        "latency_under",
        "service",
        "job",
        "instance",
        "type",
    ];
    let valid = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = key.chars().map(valid).collect();
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if TAKEN.contains(&name.as_str()) || !starts_well { format!("label_{name}") } else { name }
}

fn write_totals(out: &mut Exposition, engine: &Engine, slos: &Slos) {
    let totals: Vec<Option<Tally>> = slos.iter().map(|(_, s)| total(engine, s)).collect();
    let mut write = |name, help, part: fn(&Tally) -> u64| {
        let mut family = out.counter(name, help);
        for ((labels, state), total) in slos.iter().zip(&totals) {
            match (total, state.slo.method.parts()) {
                (None, _) => {}
                (Some(total), 1) => family.sample(labels, part(total)),
                (Some(total), parts) => family.sample(labels, part(total) as f64 / parts as f64),
            }
        }
    };
    write("nines_slo_good_total", "Good events since the SLO's history began.", |t| t.good);
    write("nines_slo_bad_total", "Bad events since the SLO's history began.", |t| t.bad);
    let help = "Events that could not be measured since the SLO's history began.";
    write("nines_slo_unknown_total", help, |t| t.unknown);
    let help = "Events that were left out since the SLO's history began, at once or later.";
    write("nines_slo_excluded_total", help, |t| t.excluded);
}

/// The totals of an SLO: 0 before anything happened, but nothing between a restart and the
/// first evaluation, because a counter that falls to 0 and comes back reads as a burst.
fn total(engine: &Engine, state: &SloState) -> Option<Tally> {
    match &state.status {
        Some(_) => Some(engine.counted(state)),
        None => engine.first(state).is_none().then_some(Tally::ZERO),
    }
}

fn write_measures(out: &mut Exposition, slos: &Slos) {
    let mut write = |name, help, value: fn(&SloStatus) -> Option<f64>| {
        let mut family = out.gauge(name, help);
        for (labels, state) in slos {
            if let Some(value) = state.status.as_ref().and_then(value) {
                family.sample(labels, value);
            }
        }
    };
    write("nines_slo_sli_ratio", "The share of good events over the window.", |status| {
        let counted = status.budget.counted;
        (counted.total() > 0).then(|| counted.good as f64 / counted.total() as f64)
    });
    let help = "The share of the window's scheduled events that were measured.";
    write("nines_slo_coverage_ratio", help, |status| Some(status.coverage.as_f64()));
    let help = "The share of the error budget that is left; negative when it is overspent.";
    write("nines_slo_error_budget_left_ratio", help, |s| s.budget.left_ratio_f64());
    let help = "The error budget that is left, as time of full outage; negative when overspent.";
    write("nines_slo_error_budget_left_seconds", help, |s| s.budget.left_seconds_f64());
    let help = "Time until the budget is gone if it goes on like this; +Inf if it never will be.";
    write("nines_slo_exhaustion_seconds", help, |status| match status.exhaustion {
        Exhaustion::Unknown => None,
        Exhaustion::Never => Some(f64::INFINITY),
        Exhaustion::In(left) => Some(left.as_secs_f64()),
    });
    let help = "The availability that the history supports at 95 % confidence.";
    write("nines_slo_supported_ratio", help, |status| {
        status.proof.supported_ppb.map(|ppb| f64::from(ppb) / f64::from(PPB))
    });
    let help = "When the SLO was last evaluated.";
    let mut family = out.gauge("nines_slo_last_evaluation_timestamp_seconds", help);
    for (labels, state) in slos {
        if let Some(status) = &state.status {
            family.sample(labels, status.at);
        }
    }
}

fn write_burn(out: &mut Exposition, slos: &Slos) {
    let format = out.format();
    let help = "The burn rate over a window of the alert policy, as alerts are decided on it.";
    let mut windows: BTreeMap<Duration, Labels> = BTreeMap::new();
    let mut family = out.gauge("nines_slo_burn_rate", help);
    for (labels, state) in slos {
        let Some(status) = &state.status else { continue };
        for burn in &status.burns {
            let label = || Labels::of(format, &[("window", &format_duration(burn.window))]);
            let window = windows.entry(burn.window).or_insert_with(label);
            if let Some((numerator, denominator)) = status.burn(burn) {
                family.sample_with(labels, window, numerator as f64 / denominator as f64);
            }
        }
    }
}

fn write_evidence(out: &mut Exposition, slos: &Slos) {
    let format = out.format();
    let help = "1 for what may be claimed about the service, 0 for the other states.";
    let states =
        Evidence::ALL.map(|state| (state, Labels::of(format, &[("state", state.words())])));
    let mut family = out.gauge("nines_slo_evidence", help);
    for (labels, state) in slos {
        if let Some(status) = &state.status {
            for (evidence, label) in &states {
                family.sample_with(labels, label, status.evidence == *evidence);
            }
        }
    }
}

fn write_alerts(out: &mut Exposition, slos: &Slos) {
    let format = out.format();
    let help = "Whether the burn alert of this severity fires.";
    let severities = Severity::ALL.map(|severity| {
        (AlertKind::of(severity), Labels::of(format, &[("severity", severity.word())]))
    });
    let mut family = out.gauge("nines_slo_alert_firing", help);
    for (labels, state) in slos {
        for (kind, severity) in &severities {
            if let Some(alert) = state.alerts.iter().find(|alert| alert.kind == *kind) {
                family.sample_with(labels, severity, Alert::is_firing(alert));
            }
        }
    }
}

fn write_maintenance(out: &mut Exposition, slos: &Slos) {
    let format = out.format();
    let help = "Whether a Maintenance of this effect goes on.";
    let effects =
        Effect::ALL.map(|effect| (effect, Labels::of(format, &[("effect", effect.word())])));
    let mut family = out.gauge("nines_slo_maintenance", help);
    for (labels, state) in slos {
        for (effect, label) in &effects {
            family.sample_with(labels, label, state.ongoing(*effect).is_some());
        }
    }
}

/// How many series a catalogue makes in the probe, SLO and fit groups, seen from one vantage, once
/// everything has data.
pub fn series_count(catalog: &Catalog) -> usize {
    let of_service = |service: &Service| {
        let probes = service.probes.iter().map(|probe| of_probe(probe, &service.slos));
        let slos = service.slos.iter().map(of_slo);
        probes.sum::<usize>() + slos.sum::<usize>()
    };
    let fit = catalog.applications.len() * super::fit::SERIES_EACH;
    catalog.services.iter().map(of_service).sum::<usize>() + fit
}

fn of_probe(probe: &Probe, slos: &[Slo]) -> usize {
    if !is_probed(probe) {
        return super::sources::SERIES;
    }
    let uses = slos.iter().filter(|slo| slo.probes.contains(&probe.id));
    let thresholds = uses.filter_map(|slo| u64::try_from(slo.latency_under?.as_micros()).ok());
    let mut edges: Vec<u64> = BASE_EDGES.into_iter().chain(thresholds).collect();
    edges.sort_unstable();
    edges.dedup();
    let shows_certificate = match &probe.check {
        Check::Http(check) => check.url.scheme_str() == Some("https"),
        Check::Tcp(_) | Check::Name(_) | Check::Source(_) => false,
        Check::Tls(_) => true,
    };
    // Probes, success, last run.
    let plain = 3 + usize::from(shows_certificate);
    let reasons = BadReason::ALL.len() + UnknownReason::OF_PROBES.len();
    plain + reasons + Phases::NAMES.len() + histogram_samples(edges.len())
}

fn of_slo(slo: &Slo) -> usize {
    // Info, objective, window; four totals; SLI, coverage, budget twice, exhaustion, supported,
    // last evaluation; both effects of Maintenance.
    let plain = 3 + 4 + 7 + Effect::ALL.len();
    let alerting = slo.policy.as_ref().map_or(0, |p| Severity::ALL.len() + p.windows().len());
    plain + Evidence::ALL.len() + alerting
}

#[cfg(test)]
mod tests;
