//! An SLO that a real Prometheus feeds ends with the integers of the exporter that it scraped:
//! over resets, a series that appears late, a Prometheus that is killed, and a daemon that is.
//! What was lost meanwhile is unknown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nines::model::Tally;

use crate::harness::daemon::nines;
use crate::harness::server::{Reply, Server};
use crate::harness::{Daemon, Place, Prometheus, until};

const SOON: Duration = Duration::from_secs(60);

/// An exporter whose counters the test drives, and which remembers everything it ever counted.
struct Exporter {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// What it shows: good and bad since it was started last.
    shown: [u64; 2],
    /// What was counted since the test began to look.
    ever: [u64; 2],
    /// Another value that it shows.
    queue: f64,
}

impl Exporter {
    fn start(good: u64) -> Self {
        let state = Arc::new(Mutex::new(State { shown: [good, 0], ..State::default() }));
        let shown = Arc::clone(&state);
        let server = Server::start(move |_| {
            let State { shown: [good, bad], queue, .. } =
                *shown.lock().unwrap_or_else(PoisonError::into_inner);
            let mut text = format!(
                "# TYPE shop_requests_total counter\n\
                 shop_requests_total{{code=\"200\"}} {good}\n\
                 # TYPE shop_queue gauge\nshop_queue {queue}\n"
            );
            // As client libraries do: a series appears with its first event.
            if bad > 0 {
                text.push_str(&format!("shop_requests_total{{code=\"500\"}} {bad}\n"));
            }
            Some(Reply::text(200, &text))
        });
        Exporter { server, state }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn count(&self, good: u64, bad: u64) {
        self.change(|state| {
            for (n, more) in [good, bad].into_iter().enumerate() {
                state.shown[n] += more;
                state.ever[n] += more;
            }
        });
    }

    /// Begins at zero, and counts this before anybody looks.
    fn restart(&self, good: u64, bad: u64) {
        self.change(|state| state.shown = [0, 0]);
        self.count(good, bad);
    }

    fn ever(&self) -> [u64; 2] {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ever
    }
}

fn config(prometheus: &Prometheus) -> String {
    let url = prometheus.url();
    format!("prometheus: {{main: {{url: \"{url}\", interval: 2s, timeout: 1s}}}}\n")
}

fn daemon(prometheus: &Prometheus, specs: &str) -> Daemon {
    let config = Some(config(prometheus));
    Daemon::start_at(Place { config, ..Place::default() }, specs, &[])
}

const SPECS: &str = r#"
apiVersion: nines/v1
kind: Service
metadata: {name: shop}
spec:
  slos:
    - name: availability
      prometheus:
        server: main
        good: shop_requests_total{code="200"}
        total: shop_requests_total
      objective: 99%
      window: 30d
    - name: errors
      prometheus: {server: main, bad: 'shop_requests_total{code="500"}', total: shop_requests_total}
      objective: 99%
      window: 30d
"#;
const SLOS: [&str; 2] = ["shop/availability", "shop/errors"];

fn intervals(daemon: &Daemon, slo: &str, what: &str) -> u64 {
    let name = format!("nines_source_intervals_{what}_total");
    let metrics = daemon.metrics();
    let of = |sample: &&crate::harness::exposition::Sample| {
        sample.name == name && sample.labels.get("slo").map(String::as_str) == Some(slo)
    };
    metrics.samples.iter().find(of).map_or(0, |sample| sample.value as u64)
}

fn totals(daemon: &Daemon, slo: &str) -> Tally {
    daemon.status(slo).map(|status| status.totals).unwrap_or_default()
}

/// Waits until both SLOs have counted exactly what the exporter has.
#[track_caller]
fn agree(daemon: &Daemon, exporter: &Exporter) {
    for slo in SLOS {
        let [good, bad] = exporter.ever();
        let mut seen = Tally::ZERO;
        let what = format!("{slo} to count {good} good and {bad} bad");
        until(&what, SOON, || {
            seen = totals(daemon, slo);
            assert!(seen.good <= good && seen.bad <= bad, "{slo} has counted too much: {seen:?}");
            ((seen.good, seen.bad) == (good, bad)).then_some(())
        });
    }
}

#[test]
fn what_a_prometheus_feeds_ends_with_the_integers_of_the_exporter() {
    let exporter = Exporter::start(1_000);
    let mut prometheus = Prometheus::scraping(&[("shop", exporter.server.address().to_string())]);
    prometheus.wait_for("shop_requests_total", SOON);
    let mut daemon = daemon(&prometheus, SPECS);
    for slo in SLOS {
        until("the first interval", SOON, || {
            (intervals(&daemon, slo, "counted") > 0).then_some(())
        });
    }
    agree(&daemon, &exporter);

    // The first bad ones make a series of their own, which counts from its first event on.
    exporter.count(500, 20);
    agree(&daemon, &exporter);

    exporter.restart(30, 5);
    agree(&daemon, &exporter);

    let before = SLOS.map(|slo| totals(&daemon, slo));
    prometheus.kill();
    exporter.count(100, 7);
    let unknown = intervals(&daemon, SLOS[0], "unknown");
    until("two intervals without a Prometheus", SOON, || {
        (intervals(&daemon, SLOS[0], "unknown") >= unknown + 2).then_some(())
    });
    for (slo, before) in SLOS.iter().zip(before) {
        let now = totals(&daemon, slo);
        assert_eq!((now.good, now.bad), (before.good, before.bad), "lost time counts as nothing");
    }
    prometheus.restart();
    agree(&daemon, &exporter);
    for (slo, before) in SLOS.iter().zip(before) {
        let lost = totals(&daemon, slo).unknown - before.unknown;
        assert!(lost >= 2, "{slo}: only {lost} intervals of a dead Prometheus are unknown");
    }

    daemon.kill();
    exporter.count(40, 3);
    daemon.restart();
    agree(&daemon, &exporter);

    // Nothing more happens, so nothing more is counted; and the ledger is whole.
    let settled = intervals(&daemon, SLOS[0], "counted");
    until("two quiet intervals", SOON, || {
        (intervals(&daemon, SLOS[0], "counted") >= settled + 2).then_some(())
    });
    agree(&daemon, &exporter);
    assert!(daemon.terminate().success());
    let storage = daemon.storage().display().to_string();
    let verified = nines(&["ledger", "verify", "--storage.path", &storage], SOON);
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
}

#[test]
fn a_reload_keeps_what_a_prometheus_has_fed_and_goes_on_where_it_was() {
    let exporter = Exporter::start(1_000);
    let prometheus = Prometheus::scraping(&[("shop", exporter.server.address().to_string())]);
    prometheus.wait_for("shop_requests_total", SOON);
    let before = config(&prometheus);
    let place = Place { config: Some(before.clone()), ..Place::default() };
    let daemon = Daemon::start_at(place, SPECS, &["--web.enable-lifecycle"]);
    for slo in SLOS {
        until("the first interval", SOON, || {
            (intervals(&daemon, slo, "counted") > 0).then_some(())
        });
    }
    exporter.count(500, 20);
    agree(&daemon, &exporter);
    // Another promise asks on; another way to ask begins to ask anew, and so does the way back.
    let promise = SPECS.replacen("objective: 99%", "objective: 90%", 1);
    let slower = before.replace("timeout: 1s", "timeout: 1500ms");
    let changes = [(&promise, &before), (&promise, &slower), (&SPECS.to_owned(), &before)];
    for (n, (specs, config)) in (1..).zip(changes) {
        let counted =
            SLOS.map(|slo| (slo, totals(&daemon, slo), intervals(&daemon, slo, "counted")));
        // Nobody has seen these when the reload comes.
        exporter.count(10 * n, n);
        daemon.write_specs("specs.yaml", specs);
        std::fs::write(daemon.specs().with_file_name("config.yml"), config).expect("writable");
        let reloaded = daemon.reload();
        assert_eq!(reloaded.status, 200, "{}", reloaded.text());
        for (slo, totals_then, intervals_then) in counted {
            let now = totals(&daemon, slo);
            assert!(now.good >= totals_then.good && now.bad >= totals_then.bad, "{slo}: {now:?}");
            assert!(intervals(&daemon, slo, "counted") >= intervals_then, "{slo} begins anew");
        }
        agree(&daemon, &exporter);
    }
}

const OPENSLO: &str = r#"
apiVersion: openslo/v1
kind: Service
metadata: {name: shop}
spec: {description: the shop}
---
apiVersion: openslo/v1
kind: DataSource
metadata: {name: metrics}
spec: {type: Prometheus, connectionDetails: {server: main}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: errors}
spec:
  service: shop
  indicator:
    metadata: {name: errors}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {metricSourceRef: metrics, spec: {query: 'shop_requests_total{code="500"}'}}}
        total: {metricSource: {metricSourceRef: metrics, spec: {query: shop_requests_total}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{target: 0.99}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: queue}
spec:
  service: shop
  indicator:
    metadata: {name: queue}
    spec:
      thresholdMetric: {metricSource: {metricSourceRef: metrics, spec: {query: shop_queue}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{op: lte, value: 10, target: 0.9}]
"#;

#[test]
fn an_openslo_document_over_a_prometheus_is_executed() {
    let exporter = Exporter::start(7);
    let prometheus = Prometheus::scraping(&[("shop", exporter.server.address().to_string())]);
    prometheus.wait_for("shop_queue", SOON);
    let daemon = daemon(&prometheus, OPENSLO);
    until("the first interval", SOON, || {
        (intervals(&daemon, "shop/errors", "counted") > 0).then_some(())
    });
    exporter.count(90, 10);
    until("the counts of the exporter", SOON, || {
        let Tally { good, bad, .. } = totals(&daemon, "shop/errors");
        assert!(good <= 90 && bad <= 10, "{good} good and {bad} bad are too many");
        ((good, bad) == (90, 10)).then_some(())
    });
    // A gauge is judged at the end of each interval: one event each.
    let queue = || totals(&daemon, "shop/queue");
    until("a short queue", SOON, || (queue().good >= 2).then_some(()));
    assert_eq!(queue().bad, 0);
    exporter.change(|state| state.queue = 10.5);
    until("a long queue", SOON, || (queue().bad >= 2).then_some(()));
    exporter.change(|state| state.queue = 10.0);
    let good = queue().good;
    until("a short queue again", SOON, || (queue().good > good).then_some(()));
    let slo = daemon.get("/api/v1/slos/shop/queue").json();
    assert_eq!(slo["slo"]["source"], serde_json::json!({"kind": "prometheus", "server": "main"}));
    let page = daemon.get("/slo/shop/queue").text();
    assert!(page.contains("Prometheus `main`"), "the page does not say who counts:\n{page}");
}

#[test]
fn what_cannot_be_counted_is_refused_with_its_place() {
    let run = |specs: &str, config: &str| {
        let dir = crate::harness::scratch("refused");
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir(path("specs")).expect("writable");
        std::fs::write(path("specs/specs.yaml"), specs).expect("writable");
        std::fs::write(path("config.yml"), config).expect("writable");
        let (specs, config, storage) = (path("specs"), path("config.yml"), path("data"));
        let args = ["run", "--specs", &specs, "--config.file", &config, "--storage.path", &storage];
        let ran = nines(&args, SOON);
        assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
        ran.stderr
    };
    let told = run(OPENSLO, "prometheus: {other: {url: \"http://127.0.0.1:9\"}}\n");
    assert!(told.contains("shop/queue: no Prometheus `main` in the config file"), "{told}");
    assert!(told.contains("specs.yaml:"), "{told}");
    let raw = OPENSLO.replace(
        "thresholdMetric: {metricSource: {metricSourceRef: metrics, spec: {query: shop_queue}}}",
        "ratioMetric: {rawType: success, raw: {metricSource: {metricSourceRef: metrics, \
         spec: {query: shop_queue}}}}",
    );
    let raw = raw.replace("op: lte, value: 10, ", "");
    let told = run(&raw, "prometheus: {main: {url: \"http://127.0.0.1:9\"}}\n");
    assert!(told.contains("shop/queue is a ratio that Prometheus `main` works out"), "{told}");
}
