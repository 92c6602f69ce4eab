//! Another configuration without a restart: told by signal, over HTTP and by changed files;
//! refused as a whole when anything in it is wrong; and not a slot lost on the way.

use std::net::TcpListener;
use std::time::Duration;

use nines::model::Timestamp;
use serde_json::Value;

use crate::harness::daemon::Status;
use crate::harness::{
    Alertmanager, Behaviour, Daemon, Exposition, Prometheus, Target, Webhook, specs, throughout,
    until,
};

const SOON: Duration = Duration::from_secs(60);
const LIFECYCLE: &str = "--web.enable-lifecycle";
const LAST: &str = "nines_config_last_reload_successful";

/// The service `books`, which breaks: all its answers are 500.
fn books(url: &str) -> String {
    let one = specs::one_service(&format!("{url}/books"));
    let service = one.split("---\n").nth(1).expect("two documents");
    service.replace("name: shop", "name: books")
}

fn slo(daemon: &Daemon, id: &str) -> Option<Value> {
    let answer = daemon.get(&format!("/api/v1/slos/{id}"));
    (answer.status == 200).then(|| answer.json()["slo"].clone())
}

fn has_series(metrics: &Exposition, slo: &str) -> bool {
    metrics.samples.iter().any(|s| s.labels.get("slo").is_some_and(|label| label == slo))
}

#[test]
fn services_come_and_go_by_signal_and_over_http_and_alerts_of_the_gone_resolve() {
    let (target, webhook) = (Target::start(), Webhook::start());
    target.behave_at("/books", Behaviour::Status(500));
    let alertmanager = Alertmanager::delivering_to(&webhook.url());
    let args = ["--alertmanager.url", &alertmanager.url(), LIFECYCLE];
    let mut daemon = Daemon::start(&specs::one_service(&target.url()), &args);
    let prometheus = Prometheus::scraping(&[("nines", daemon.address().to_string())]);

    daemon.write_specs("books.yaml", &books(&target.url()));
    daemon.signal("HUP");
    until("the new service", SOON, || slo(&daemon, "books/availability"));
    let page = "NinesErrorBudgetBurnFast";
    until("its page", SOON, || (webhook.statuses(page) == ["firing"]).then_some(()));
    let series = "nines_slo_bad_total{slo=\"books/availability\"}";
    prometheus.wait_for(series, SOON);

    daemon.remove_specs("books.yaml");
    let answer = daemon.reload();
    assert_eq!((answer.status, answer.text().as_str()), (200, "reloaded\n"));
    assert_eq!(slo(&daemon, "books/availability"), None);
    let metrics = daemon.metrics();
    assert!(!has_series(&metrics, "books/availability") && has_series(&metrics, specs::SLO));
    assert_eq!(metrics.sum("nines_engine_lost_slots_total", &[]), Some(0.0));
    until("the end of the page", SOON, || {
        (webhook.statuses(page) == ["firing", "resolved"]).then_some(())
    });
    until("the end of its series", SOON, || prometheus.query(series).ok().filter(Vec::is_empty));
    assert!(alertmanager.active(page).is_empty());
}

#[test]
fn a_configuration_with_a_mistake_changes_nothing_and_every_mistake_is_told() {
    let target = Target::start();
    let good = specs::one_service(&target.url());
    let mut daemon = Daemon::start(&good, &[LIFECYCLE]);
    until("the first evaluation", SOON, || daemon.status(specs::SLO));
    let bad = books(&target.url()).replace("objective:", "objektive:").replace("500ms", "0");
    daemon.write_specs("books.yaml", &bad);
    daemon.write_specs("specs.yaml", &good.replace("99%", "90%"));
    let answer = daemon.reload();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let detail = answer.json()["detail"].to_string();
    for told in ["objektive", "books.yaml:", "interval", "timeout"] {
        assert!(detail.contains(told), "{told} is not told: {detail}");
    }
    assert_eq!(daemon.metrics().sum(LAST, &[]), Some(0.0));
    assert!(daemon.get("/").text().contains("role=\"alert\""), "people see it");
    assert!(daemon.logged().contains("objektive"), "the log has it");
    let known = slo(&daemon, specs::SLO).expect("still there");
    assert_eq!((&known["objective"], slo(&daemon, "books/availability")), (&"0.99".into(), None));
    throughout("readiness", Duration::from_secs(1), || daemon.get("/-/ready").status == 200);

    // Mended, the same reload brings all of it.
    daemon.write_specs("books.yaml", &books(&target.url()));
    daemon.signal("HUP");
    until("the mended service", SOON, || slo(&daemon, "books/availability"));
    assert_eq!(slo(&daemon, specs::SLO).expect("there")["objective"], "0.9");
    until("success", SOON, || (daemon.metrics().sum(LAST, &[]) == Some(1.0)).then_some(()));
    assert!(!daemon.get("/").text().contains("role=\"alert\""));
}

#[test]
fn what_needs_a_restart_is_refused_as_a_whole() {
    let target = Target::start();
    let good = specs::one_service(&target.url());
    let dir = crate::harness::scratch("config");
    let config = dir.path().join("nines.yaml");
    std::fs::write(&config, "vantage: {name: here}\n").expect("writable");
    let daemon = Daemon::start(&good, &[LIFECYCLE, "--config.file", &config.to_string_lossy()]);
    std::fs::write(&config, "vantage: {name: there}\n").expect("writable");
    daemon.write_specs("specs.yaml", &good.replace("99%", "90%"));
    let answer = daemon.reload();
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("restart needed to change the vantage from here to there"));
    assert_eq!(slo(&daemon, specs::SLO).expect("there")["objective"], "0.99");
}

#[test]
fn another_objective_is_in_force_from_its_moment_on_and_over_a_restart() {
    let target = Target::start();
    let good = specs::one_service(&target.url());
    let mut daemon = Daemon::start(&good, &[LIFECYCLE]);
    let enough = |daemon: &Daemon, n| {
        until("some history", SOON, || daemon.status(specs::SLO).filter(|s| s.totals.good >= n))
    };
    enough(&daemon, 10);
    daemon.write_specs("specs.yaml", &good.replace("99%", "90%"));
    assert_eq!(daemon.reload().status, 200);
    let later = enough(&daemon, 20);
    let revisions = |daemon: &Daemon| slo(daemon, specs::SLO).expect("there")["revisions"].clone();
    let told = revisions(&daemon);
    assert_eq!((&told[0]["objective"], &told[0]["effective_from"]), (&"0.99".into(), &Value::Null));
    assert_eq!(told[1]["objective"], "0.9");
    let from: Timestamp =
        told[1]["effective_from"].as_str().and_then(|t| t.parse().ok()).expect("a moment");
    assert!(from < later.at);
    let budget = |daemon: &Daemon| {
        let slo = slo(daemon, specs::SLO).expect("there");
        let number =
            |value: &Value| -> f64 { value.as_str().expect("text").parse().expect("number") };
        let status = &slo["status"];
        let events =
            status["good"].as_u64().expect("a count") + status["bad"].as_u64().expect("one");
        number(&status["budget"]["total_events"]) / events as f64
    };
    // Between the two: some events are held to 1 %, the others to 10 %.
    let share = budget(&daemon);
    assert!(share > 0.011 && share < 0.099, "{share}");
    assert!(daemon.get("/slo/shop/availability").text().contains("Promised at first 99"));

    assert!(daemon.terminate().success());
    daemon.restart();
    assert_eq!(revisions(&daemon), told, "a restart goes on with them");
    until("an evaluation", SOON, || daemon.status(specs::SLO));
    let share = budget(&daemon);
    assert!(share > 0.011 && share < 0.099, "{share}");
}

#[test]
fn evidence_begins_anew_with_another_target_and_with_nothing_less() {
    let target = Target::start();
    let good = specs::one_service(&target.url());
    let mut daemon = Daemon::start(&good, &[LIFECYCLE]);
    let moment =
        |value: &Value| -> Option<Timestamp> { value.as_str().and_then(|text| text.parse().ok()) };
    // Since when evidence counts, once something has been evaluated after `since`.
    let epoch = |daemon: &Daemon, since: Timestamp| {
        until("an evaluation", SOON, || {
            let status = slo(daemon, specs::SLO)?["status"].clone();
            let known = status["proof"]["observed_seconds"] != "0";
            let later = moment(&status["at"])? > since.plus(Duration::from_secs(2));
            moment(&status["proof"]["since"]).filter(|_| known && later)
        })
    };
    let now = nines::clock::wall_now;
    let first = epoch(&daemon, now());
    daemon.write_specs("specs.yaml", &good.replace("The one service of", "Other words about"));
    assert_eq!(daemon.reload().status, 200);
    assert_eq!(epoch(&daemon, now()), first, "words begin no epoch");
    let elsewhere = good.replace(&target.url(), &format!("{}/elsewhere", target.url()));
    assert_ne!(elsewhere, good);
    daemon.write_specs("specs.yaml", &elsewhere);
    let before = now();
    assert_eq!(daemon.reload().status, 200);
    let second = epoch(&daemon, now());
    assert!(second >= before, "{second} is before {before}");
    let revisions = slo(&daemon, specs::SLO).expect("there")["revisions"].clone();
    let anew = [0, 1].map(|n| revisions[n]["measured_anew"].clone());
    assert_eq!(anew, [false, true].map(Value::Bool), "{revisions}");
    assert!(daemon.get("/slo/shop/availability").text().contains("probed in another way"));

    assert!(daemon.terminate().success());
    daemon.restart();
    assert_eq!(epoch(&daemon, now()), second, "a restart begins no epoch");
    assert!(daemon.terminate().success());
    let stopped = now();
    daemon.write_specs("specs.yaml", &good);
    daemon.restart();
    let third = epoch(&daemon, now());
    assert!(third >= stopped, "{third} is before {stopped}");
}

#[test]
fn changed_files_are_noticed_where_that_is_asked_for() {
    let target = Target::start();
    let good = specs::one_service(&target.url());
    let daemon = Daemon::start(&good, &["--config.auto-reload-interval", "1s"]);
    daemon.write_specs("books.yaml", &books(&target.url()));
    until("the new service", SOON, || slo(&daemon, "books/availability"));
}

/// How many reloads there are, half of them invalid, unless `NINES_RELOADS` says otherwise: 1000
/// for a release.
const RELOADS: u64 = 100;
const PROBES: u64 = 100;
const PROBES_A_SECOND: u64 = 10 * PROBES;

#[test]
fn no_slot_is_lost_and_nothing_half_applied_over_many_reloads() {
    let reloads = match std::env::var("NINES_RELOADS") {
        Ok(text) => text.parse().expect("NINES_RELOADS is a number"),
        Err(_) => RELOADS,
    };
    let target = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = target.local_addr().expect("bound").to_string();
    // Ends with the process.
    std::thread::spawn(move || target.incoming().for_each(drop));
    let daemon = Daemon::start(&storm(&address, 0), &[LIFECYCLE]);
    let origin = until("the first evaluation", SOON, || daemon.status("crowd/all"));
    let (mut done, mut edition) = (0, 0);
    for round in 1..=reloads {
        let valid = round % 2 == 0;
        let text = storm(&address, round);
        let broken = text.replace("kind: Service", "kind: Servce");
        daemon.write_specs("specs.yaml", if valid { &text } else { &broken });
        let answer = daemon.reload();
        assert_eq!(answer.status, if valid { 200 } else { 400 }, "{}", answer.text());
        (done, edition) = if valid { (done + 1, round) } else { (done, edition) };
        is_whole(&daemon, edition);
        let status = daemon.status("crowd/all").expect("evaluated");
        none_twice(status, origin, round);
    }
    assert_eq!(done, reloads / 2);
    let now = nines::clock::wall_now();
    let status = until("every slot to be accounted for", SOON, || {
        let status = daemon.status("crowd/all").filter(|status| status.at >= now)?;
        let seconds = status.at.since(origin.at).as_secs();
        let counted = none_twice(status, origin, reloads);
        (counted == seconds * PROBES_A_SECOND).then_some(status)
    });
    let metrics = daemon.metrics();
    for none in ["nines_engine_lost_slots_total", "nines_ledger_lost_records_total"] {
        assert_eq!(metrics.sum(none, &[]), Some(0.0), "{none}");
    }
    assert!(status.totals.good > 0, "{status:?}");
}

fn none_twice(status: Status, origin: Status, round: u64) -> u64 {
    let counted = status.totals.scheduled() - origin.totals.scheduled();
    let scheduled = status.at.since(origin.at).as_secs() * PROBES_A_SECOND;
    assert!(counted <= scheduled, "round {round}: {counted} of {scheduled} slots: {status:?}");
    counted
}

/// Objective, interval and the second service are all those of one edition.
fn is_whole(daemon: &Daemon, edition: u64) {
    let slo = slo(daemon, "crowd/all").expect("always declared");
    assert_eq!(slo["objective"], format!("0.{}", 91 + edition % 9));
    let services = daemon.get("/api/v1/services").json();
    let services = services["services"].as_array().cloned().unwrap_or_default();
    let turns = services.iter().find(|service| service["name"] == "turns").expect("declared");
    assert_eq!(turns["probes"][0]["interval"], format!("{}ms", 100 + edition % 7));
    let guest = services.iter().any(|service| service["name"] == "guest");
    assert_eq!(guest, edition.is_multiple_of(4), "edition {edition}");
}

/// A crowd of probes that never changes, and everything else that does in each edition.
fn storm(address: &str, edition: u64) -> String {
    let probe = |name: &str, interval: u64| {
        format!(
            "    - {{name: {name}, tcp: {{address: \"{address}\"}}, interval: {interval}ms, \
             timeout: {interval}ms}}\n"
        )
    };
    let service = |name: &str, probes: &str, slos: &str| {
        format!(
            "---\napiVersion: nines/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  \
             probes:\n{probes}  slos:\n{slos}"
        )
    };
    let crowd: String = (0..PROBES).map(|n| probe(&format!("p{n}"), 100)).collect();
    let all = format!("    - {{name: all, objective: {}%, window: 1h}}\n", 91 + edition % 9);
    let one = "    - {name: all, objective: 99%, window: 1h}\n";
    let mut text = service("crowd", &crowd, &all);
    text.push_str(&service("turns", &probe("front", 100 + edition % 7), one));
    if edition.is_multiple_of(4) {
        text.push_str(&service("guest", &probe("front", 100), one));
    }
    text
}
