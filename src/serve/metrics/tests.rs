//! The scrape as a whole: names, lint, completeness, and its speed in proportion.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::engine::counters::Histogram;
use crate::serve::exposition::Format;
use crate::serve::fixture::{self, NOW};
use crate::serve::own;

fn scrape(engine: &Engine, format: Format) -> String {
    let mut out = Exposition::new(format);
    write(&mut out, engine, &["app.example/tier".to_owned(), "team".to_owned()]);
    write_self(&mut out);
    String::from_utf8(out.finish().expect("no deadline")).expect("text")
}

fn write_self(out: &mut Exposition) {
    let histogram = Histogram::new(BASE_EDGES.to_vec().into());
    own::write_build(out);
    own::write_process(out, &prometheus::process_collector::ProcessCollector::for_self());
    own::write_reload(out, own::ReloadReading { successful: true, success_at: Some(NOW) });
    own::write_prober(
        out,
        &[own::ProberReading {
            vantage: "local".to_owned(),
            start_lag: histogram.clone(),
            missed_starts: 0,
            denied: 0,
            scheduler_lag: Duration::from_micros(80),
        }],
    );
    let ledger =
        own::LedgerReading { append: histogram.clone(), sync: histogram.clone(), bytes: 4_096 };
    own::write_ledger(out, &ledger);
    own::write_evaluation(out, &histogram);
    own::write_notifiers(
        out,
        &[own::NotifierReading {
            alertmanager: "http://am:9093".to_owned(),
            sent: 1,
            errors: 0,
            dropped: 0,
            queue_length: 2,
        }],
    );
}

/// Everything that starts with this, without comments.
fn samples<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(start)).collect()
}

#[test]
fn prometheus_finds_nothing_to_complain_about() {
    let text = scrape(&fixture::platform(), Format::Text);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, from the package `prometheus`, is installed");
    promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn every_family_of_the_contract_is_there() {
    let mut engine = fixture::platform();
    fixture::observe_all(&mut engine);
    let text = scrape(&engine, Format::Text);
    let names: Vec<&str> =
        text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for name in CONTRACT {
        assert!(names.contains(name), "{name}");
    }
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "a family is written twice");
}

/// CONTRACT.md, section 5, without the fit group.
const CONTRACT: &[&str] = &[
    "nines_build_info",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "nines_config_last_reload_successful",
    "nines_config_last_reload_success_timestamp_seconds",
    "nines_probes_total",
    "nines_probe_failures_total",
    "nines_probe_unknown_total",
    "nines_probe_success",
    "nines_probe_last_run_timestamp_seconds",
    "nines_probe_duration_seconds",
    "nines_probe_phase_seconds_total",
    "nines_probe_start_lag_seconds",
    "nines_tls_certificate_not_after_timestamp_seconds",
    "nines_slo_info",
    "nines_slo_objective_ratio",
    "nines_slo_window_seconds",
    "nines_slo_good_total",
    "nines_slo_bad_total",
    "nines_slo_unknown_total",
    "nines_slo_excluded_total",
    "nines_slo_sli_ratio",
    "nines_slo_coverage_ratio",
    "nines_slo_error_budget_left_ratio",
    "nines_slo_error_budget_left_seconds",
    "nines_slo_burn_rate",
    "nines_slo_exhaustion_seconds",
    "nines_slo_evidence",
    "nines_slo_supported_ratio",
    "nines_slo_alert_firing",
    "nines_slo_last_evaluation_timestamp_seconds",
    "nines_notifications_sent_total",
    "nines_notifications_errors_total",
    "nines_notifications_dropped_total",
    "nines_notifications_queue_length",
];

#[test]
fn known_series_start_at_zero_and_unknown_values_are_absent() {
    let engine = fixture::engine(vec![fixture::service(
        "a",
        "t",
        "http://a.example/",
        &[("availability", "99.9%", None)],
    )]);
    let text = scrape(&engine, Format::Text);
    let known = samples(&text, "nines_slo_").join("\n");
    let shared = "slo=\"a/availability\",slo_service=\"a\",team=\"t\"";
    insta::assert_snapshot!(known.replace(shared, "…"), @r###"
    nines_slo_info{…,objective="99.9%",window="30d",app_example_tier="gold \"1\""} 1
    nines_slo_objective_ratio{…} 0.999
    nines_slo_window_seconds{…} 2592000
    nines_slo_good_total{…} 0
    nines_slo_bad_total{…} 0
    nines_slo_unknown_total{…} 0
    nines_slo_excluded_total{…} 0
    nines_slo_alert_firing{…,severity="page"} 0
    nines_slo_alert_firing{…,severity="ticket"} 0
    nines_slo_maintenance{…,effect="exclude"} 0
    nines_slo_maintenance{…,effect="mute"} 0
    "###);
    assert_eq!(samples(&text, "nines_probe_failures_total{").len(), BadReason::ALL.len());
    assert_eq!(samples(&text, "nines_probe_unknown_total{").len(), UnknownReason::OF_PROBES.len());
    for absent in ["nines_probe_success", "nines_probe_last_run", "nines_tls"] {
        assert!(samples(&text, absent).is_empty(), "{absent}");
    }
}

#[test]
fn a_burning_slo_is_seen_in_its_series() {
    let text = scrape(&fixture::platform(), Format::Text);
    let of_registry: Vec<&str> = samples(&text, "nines_slo_")
        .into_iter()
        .filter(|line| line.contains("slo=\"artifact-registry/availability\""))
        .collect();
    let shared = "slo=\"artifact-registry/availability\",slo_service=\"artifact-registry\",\
                  team=\"platform-build\"";
    insta::assert_snapshot!(of_registry.join("\n").replace(shared, "…"), @r###"
    nines_slo_info{…,objective="99.95%",window="30d",app_example_tier="gold \"1\""} 1
    nines_slo_objective_ratio{…} 0.9995
    nines_slo_window_seconds{…} 2592000
    nines_slo_good_total{…} 535656
    nines_slo_bad_total{…} 24
    nines_slo_unknown_total{…} 0
    nines_slo_excluded_total{…} 0
    nines_slo_sli_ratio{…} 0.9999537037037037
    nines_slo_coverage_ratio{…} 1
    nines_slo_error_budget_left_ratio{…} 0.9074074074074074
    nines_slo_error_budget_left_seconds{…} 1176
    nines_slo_exhaustion_seconds{…} 2940
    nines_slo_supported_ratio{…} 0.999254342
    nines_slo_last_evaluation_timestamp_seconds{…} 1795348800
    nines_slo_burn_rate{…,window="5m"} 800
    nines_slo_burn_rate{…,window="30m"} 133.33333333333334
    nines_slo_burn_rate{…,window="1h"} 66.66666666666667
    nines_slo_burn_rate{…,window="2h"} 33.333333333333336
    nines_slo_burn_rate{…,window="6h"} 11.11111111111111
    nines_slo_burn_rate{…,window="1d"} 2.7777777777777777
    nines_slo_burn_rate{…,window="3d"} 0.9259259259259259
    nines_slo_evidence{…,state="met"} 0
    nines_slo_evidence{…,state="breached"} 0
    nines_slo_evidence{…,state="not yet proven"} 1
    nines_slo_alert_firing{…,severity="page"} 1
    nines_slo_alert_firing{…,severity="ticket"} 0
    nines_slo_maintenance{…,effect="exclude"} 0
    nines_slo_maintenance{…,effect="mute"} 0
    "###);
}

#[test]
fn counters_are_silent_between_a_restart_and_the_first_evaluation() {
    let service = fixture::service("a", "t", "http://a.example/", &[("s", "99%", None)]);
    let mut engine = fixture::engine(vec![service]);
    assert_eq!(samples(&scrape(&engine, Format::Text), "nines_slo_good_total").len(), 1);
    let record = fixture::observation(1, NOW, crate::model::Verdict::Good, 5);
    engine.restore_record(&crate::model::Record::Observation(record));
    engine.start(|_| NOW.plus(Duration::from_secs(60)), NOW);
    assert!(samples(&scrape(&engine, Format::Text), "nines_slo_good_total").is_empty());
}

#[test]
fn the_series_count_of_a_catalogue_is_what_a_full_scrape_has() {
    let services = vec![
        fixture::service(
            "a",
            "t",
            "https://a.example/",
            &[
                ("availability", "99.9%", None),
                ("fast", "99%", Some(300)),
                ("faster", "90%", Some(100)),
            ],
        ),
        fixture::service("b", "t", "b.example:5432", &[("availability", "99.9%", None)]),
    ];
    let mut engine = fixture::engine(services);
    fixture::observe_all(&mut engine);
    let mut out = Exposition::new(Format::Text);
    write(&mut out, &engine, &[]);
    // The TCP probe of the fixture shows a certificate as well, which no real one does.
    let certificates = 1;
    let expect = series_count(engine.catalog()) + certificates;
    assert_eq!(out.n_samples(), expect);
}

#[test]
fn metadata_keys_become_label_names_that_cannot_clash() {
    let check = |key, expect: &str| assert_eq!(label_name(key), expect);
    check("tier", "tier");
    check("app.example/tier", "app_example_tier");
    check("service", "label_service");
    check("slo", "label_slo");
    check("__name__", "label___name__");
    check("1st", "label_1st");
}
