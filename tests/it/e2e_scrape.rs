//! What `/metrics` says, to Prometheus, to promtool and to anybody who asks in another format.

use std::io::Read;
use std::time::Duration;

use crate::harness::http::{self, Answer};
use crate::harness::{Behaviour, Daemon, Exposition, Prometheus, Target, promtool, specs, until};
use crate::metrics;

const SOON: Duration = Duration::from_secs(30);

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
    let exported = |name: &str| exposition.families.contains(name);
    let missing: Vec<_> = metrics::KNOWN
        .iter()
        .filter(|name| !metrics::SELDOM.contains(name) && !exported(name))
        .collect();
    assert!(missing.is_empty(), "not exported: {missing:?}");
    for process in ["process_cpu_seconds_total", "process_resident_memory_bytes"] {
        assert!(exported(process), "{process} is not exported");
    }
    let text = exposition.families.iter().cloned().collect::<Vec<_>>().join(" ");
    let strangers = metrics::unknown_in(&text, metrics::KNOWN);
    assert!(strangers.is_empty(), "exported, and not on the list in metrics.rs: {strangers:?}");
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

#[test]
fn prometheus_takes_native_histograms_that_say_what_was_measured() {
    let (target, daemon) = probing_daemon();
    target.behave(Behaviour::Slow(Duration::from_millis(120)));
    let jobs = [("nines", daemon.address().to_string())];
    let (native, classic) = (Prometheus::scraping_natively(&jobs), Prometheus::scraping(&jobs));
    let enough = "histogram_count(nines_probe_duration_seconds) > 15";
    let at = {
        native.wait_for(enough, SOON);
        native.query("time()").expect("a time")[0].1
    };
    let one = |expression: &str| match native.query(expression).as_deref() {
        Ok([(_, value)]) => *value,
        other => panic!("{expression}: {other:?}"),
    };
    let then = format!("nines_probe_duration_seconds @ {at}");
    let n = one(&format!("histogram_count({then})"));
    // Both were read in one scrape: every result that was good or bad had a latency.
    assert_eq!(n, one(&format!("nines_probes_total @ {at}")));

    // Each quantile lies in the bucket of its sample, so that it is off by its width at most, and
    // the sum is kept exactly.
    let width = 2.0_f64.powf(1.0 / 16.0);
    let quantile = |q: f64| one(&format!("histogram_quantile({q}, {then})"));
    let quantiles: Vec<f64> = (0..n as u32).map(|k| quantile((f64::from(k) + 0.5) / n)).collect();
    let (about, sum): (f64, f64) = (quantiles.iter().sum(), one(&format!("histogram_sum({then})")));
    assert!(about < sum * width && sum < about * width, "{about} for {sum}: {quantiles:?}");
    let (fastest, slowest) = (quantiles[0], quantiles[quantiles.len() - 1]);
    assert!(fastest < 0.1 && slowest > 0.12 / width, "{quantiles:?}");

    let buckets = |prometheus: &Prometheus, of: &str| prometheus.query(&format!("{of}_bucket"));
    assert_eq!(buckets(&native, "nines_probe_duration_seconds"), Ok(vec![]), "either, not both");
    assert!(!buckets(&native, "nines_probe_start_lag_seconds").expect("an answer").is_empty());
    let all = "nines_probe_duration_seconds_bucket{le=\"+Inf\"} > 4";
    classic.wait_for(all, SOON);
    // What a dashboard asks works with either.
    for prometheus in [&native, &classic] {
        let p90 = "histogram_quantile(0.9, sum by (probe) (rate(nines_probe_duration_seconds[10s]))) \
                   or histogram_quantile(0.9, sum by (probe, le) \
                   (rate(nines_probe_duration_seconds_bucket[10s]))) > 0.1";
        prometheus.wait_for(p90, SOON);
    }
}
