//! What `/metrics` says, to Prometheus, to promtool and to anybody who asks in another format.

use std::io::Read;
use std::time::Duration;

use crate::harness::http::{self, Answer};
use crate::harness::{Daemon, Exposition, Prometheus, Target, promtool, specs, until};

const SOON: Duration = Duration::from_secs(30);

/// What must be there for a plain HTTP probe with one SLO, once something was probed.
const CONTRACT: &[&str] = &[
    "nines_build_info",
    "nines_config_last_reload_successful",
    "nines_config_last_reload_success_timestamp_seconds",
    "nines_probes_total",
    "nines_probe_failures_total",
    "nines_probe_unknown_total",
    "nines_probe_success",
    "nines_probe_last_run_timestamp_seconds",
    "nines_probe_duration_seconds_bucket",
    "nines_probe_phase_seconds_total",
    "nines_probe_start_lag_seconds_bucket",
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
    "nines_slo_evidence",
    "nines_slo_alert_firing",
    "nines_slo_last_evaluation_timestamp_seconds",
    "nines_notifications_sent_total",
    "nines_notifications_errors_total",
    "nines_notifications_dropped_total",
    "nines_notifications_queue_length",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
];

/// Label names that clash with what service discovery attaches.
const CLASHING: &[&str] = &["service", "job", "instance", "type"];

fn probing_daemon() -> (Target, Daemon) {
    let target = Target::start();
    // Nobody listens there: the notifier's series exist all the same.
    let nobody = format!("http://{}", crate::harness::ports::free());
    let daemon =
        Daemon::start(&specs::one_service(&target.url()), &["--alertmanager.url", &nobody]);
    until("a few observations", SOON, || {
        daemon.status(specs::SLO).filter(|status| status.totals.good >= 4)
    });
    (target, daemon)
}

fn scrape(daemon: &Daemon, headers: &[(&str, &str)]) -> Answer {
    let answer = http::send("GET", &format!("{}/metrics", daemon.url()), headers, b"");
    answer.expect("nines answers a scrape")
}

#[test]
fn the_exposition_keeps_the_contract_and_promtool_finds_nothing_to_say() {
    let (_target, daemon) = probing_daemon();
    let answer = scrape(&daemon, &[]);
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let linted = promtool::check_metrics(&answer.body);
    assert_eq!((linted.code, linted.stdout.as_str()), (Some(0), ""), "{}", linted.stderr);

    let exposition = Exposition::parse(&answer.text());
    let missing: Vec<_> =
        CONTRACT.iter().filter(|name| exposition.sum(name, &[]).is_none()).collect();
    assert!(missing.is_empty(), "not exported: {missing:?}");
    for sample in &exposition.samples {
        let clash = CLASHING.iter().find(|label| sample.labels.contains_key(**label));
        assert!(clash.is_none(), "{} carries the label {clash:?}", sample.name);
        let slo = sample.name.starts_with("nines_slo_");
        let keys = ["slo", "slo_service", "team"];
        assert!(
            !slo || keys.iter().all(|key| sample.labels.contains_key(*key)),
            "{} lacks one of {keys:?}: {:?}",
            sample.name,
            sample.labels
        );
    }
    let firing = |severity| exposition.sum("nines_slo_alert_firing", &[("severity", severity)]);
    assert_eq!((firing("page"), firing("ticket")), (Some(0.0), Some(0.0)));
    for reason in nines::model::BadReason::ALL {
        let failures = exposition.sum("nines_probe_failures_total", &[("reason", reason.word())]);
        assert_eq!(failures, Some(0.0), "{reason} does not exist at 0");
    }
}

#[test]
fn open_metrics_and_gzip_are_spoken_on_request() {
    let (_target, daemon) = probing_daemon();
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let answer = scrape(&daemon, &[("Accept", accept)]);
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    assert!(answer.text().ends_with("\n# EOF\n"), "no end: {}", answer.text());

    let answer = scrape(&daemon, &[("Accept-Encoding", "gzip")]);
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    let read = flate2::read::MultiGzDecoder::new(&answer.body[..]).read_to_string(&mut text);
    assert_eq!(read.ok(), Some(text.len()), "not gzip");
    let (zipped, plain) = (Exposition::parse(&text), daemon.metrics());
    assert_eq!(zipped.families, plain.families);
}

#[test]
fn prometheus_scrapes_what_the_daemon_counts() {
    let (_target, daemon) = probing_daemon();
    let prometheus = Prometheus::scraping(&[("nines", daemon.address().to_string())]);
    let up = prometheus.wait_for("up{job=\"nines\"} == 1", SOON);
    assert_eq!(up.len(), 1);
    let good = prometheus.wait_for("nines_slo_good_total{slo=\"shop/availability\"} > 4", SOON);
    assert_eq!((good[0].0["slo_service"].as_str(), good[0].0["team"].as_str()), ("shop", "blue"));
    // Prometheus asks for OpenMetrics first, in which a wrong `# TYPE` fails the scrape.
    let renamed = prometheus.query("{__name__=~\"nines_.*\", exported_job!=\"\"}");
    assert_eq!(renamed, Ok(vec![]), "labels clash with Prometheus' own");
    let rate = prometheus.wait_for("rate(nines_probes_total[10s]) > 1", SOON);
    assert!(rate[0].1 < 3.0, "two probes a second: {rate:?}");
}
