//! An OpenSLO composite through the real binary: the shipped example, over events whose verdicts
//! are known to the second and to the millionth of an event.

use std::time::Duration;

use serde_json::Value;

use crate::harness::daemon::nines;
use crate::harness::{Behaviour, Daemon, Target, promtool, scratch, until};

const SOON: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(300);
const SPECS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/slo-specs/openslo/journey.yaml");

/// Events of one SLO each ten seconds: what they were from when to when.
fn events(slo: &str, stretches: &[(&str, &str, &str)]) -> String {
    let line = |(outcome, from, to): &(&str, &str, &str)| {
        format!(
            "{{\"slo\":\"shop/{slo}\",\"from\":\"2026-01-{from}Z\",\"to\":\"2026-01-{to}Z\",\
             \"every\":\"10s\",\"outcome\":\"{outcome}\"}}\n"
        )
    };
    stretches.iter().map(line).collect()
}

fn replayed(events: &str) -> Value {
    let directory = scratch("composite");
    let file = directory.path().join("events.ndjson");
    std::fs::write(&file, events).expect("a file of events");
    let file = file.to_str().expect("a path of text");
    let args = ["backtest", "--specs", SPECS, "--events", file, "--format", "json"];
    let ran = nines(&args, LIMIT);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("JSON on stdout")
}

fn of<'a>(all: &'a Value, slo: &str) -> &'a Value {
    let id = format!("shop/{slo}");
    let found = all["slos"].as_array().expect("SLOs").iter().find(|one| one["slo"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {all}"))
}

fn last(slo: &Value) -> &Value {
    slo["states"].as_array().and_then(|states| states.last()).expect("a last state")
}

#[test]
fn failures_that_page_nobody_alone_page_together() {
    // Ten slow pages at half weight, then three failed payments and three failed logins: of the
    // hour's 360 events, 14.4 x 0.1 % is 5.184; ten slow pages burn 0.5 * 10 / 3.6 = 1.39, so the
    // fifth failure is the one above 14.4. An hour later the first has left.
    let login = events(
        "journey-1",
        &[
            ("good", "01T00:00:00", "31T00:00:30"),
            ("bad", "31T00:00:30", "31T00:01:00"),
            ("good", "31T00:01:00", "31T01:10:00"),
        ],
    );
    let pay = events(
        "journey-2",
        &[
            ("good", "01T00:00:00", "31T00:00:00"),
            ("bad", "31T00:00:00", "31T00:00:30"),
            ("good", "31T00:00:30", "31T01:10:00"),
        ],
    );
    let browse = events(
        "journey-3",
        &[
            ("good", "01T00:00:00", "30T23:50:00"),
            ("bad", "30T23:50:00", "30T23:51:40"),
            ("good", "30T23:51:40", "31T01:10:00"),
        ],
    );
    let all = replayed(&[login, pay, browse].concat());
    let journey = of(&all, "journey");
    let pages = journey["pages"].as_array().expect("pages");
    assert_eq!(pages.len(), 1, "{pages:?}");
    assert_eq!(pages[0]["on"], "2026-01-31T00:00:41Z");
    assert_eq!(pages[0]["off"], "2026-01-31T01:00:01Z");
    // 3 + 3 + 0.5 * 10 / 10 of the 259.2 events that 99.9 % of thirty days allow.
    let state = last(journey);
    assert_eq!(state["budget"]["spent_events"], "6.5");
    assert_eq!(state["budget"]["total_events"], "259.2");
    assert_eq!(state["budget"]["spent_ratio"], "0.02507716");
    assert_eq!(state["budget"]["left_ratio"], "0.974922839");
    assert_eq!(state["sli"], "0.999974922");
    assert_eq!((&state["coverage"], &state["accounting"]), (&"1".into(), &"within budget".into()));
    // Each objective is an SLO of its own, and nobody is told of it alone.
    for (name, spent) in [("journey-1", 3), ("journey-2", 3), ("journey-3", 10)] {
        let one = of(&all, name);
        assert_eq!(last(one)["budget"]["spent_events"], spent, "{name}");
        assert_eq!(one["pages"], serde_json::json!([]), "{name}");
    }
}

#[test]
fn a_minute_in_which_several_steps_fail_is_bad_once() {
    let minutes = |slo, until| {
        events(
            slo,
            &[
                ("good", "01T00:00:00", "31T00:00:00"),
                ("bad", "31T00:00:00", until),
                ("good", until, "31T01:00:00"),
            ],
        )
    };
    let all = replayed(
        &(minutes("journey-minutes-1", "31T00:01:00")
            + &minutes("journey-minutes-2", "31T00:02:00")),
    );
    let state = last(of(&all, "journey-minutes"));
    // Two minutes, one of which the laxer objective alone finds bad: half as expensive.
    assert_eq!((&state["bad"], &state["parts_per_event"]), (&2_000_000.into(), &1_000_000.into()));
    assert_eq!(state["budget"]["spent_events"], "1.5");
    let alone =
        ["journey-minutes-1", "journey-minutes-2"].map(|slo| last(of(&all, slo))["bad"].clone());
    assert_eq!(alone, [Value::from(1), Value::from(2)]);
}

#[test]
fn a_step_without_data_leaves_the_journey_without_a_number() {
    let good = [("good", "01T00:00:00", "31T01:00:00")];
    let all = replayed(&(events("journey-1", &good) + &events("journey-2", &good)));
    let state = last(of(&all, "journey"));
    assert_eq!((&state["sli"], &state["accounting"]), (&Value::Null, &"no data".into()));
    assert_eq!(state["coverage"], "0");
    assert_eq!(last(of(&all, "journey-1"))["sli"], "1");
}

#[test]
fn events_are_those_of_the_steps_and_check_tells_what_each_costs() {
    let directory = scratch("composite");
    let file = directory.path().join("events.ndjson");
    std::fs::write(&file, events("journey", &[("good", "01T00:00:00", "02T00:00:00")]))
        .expect("a file of events");
    let file = file.to_str().expect("a path of text");
    let ran = nines(&["backtest", "--specs", SPECS, "--events", file], LIMIT);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    let told = "shop/journey is made of shop/journey-1, shop/journey-2, shop/journey-3";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    let ran = nines(&["check", "--specs", SPECS], LIMIT);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    for line in [
        "shop/journey: 99.9% over 30d",
        "one failed probe costs 0.39 % of the budget",
        "page: 1h on failing probe 6",
        "shop/journey-3: 99% over 30d",
    ] {
        assert!(ran.stdout.contains(line), "{line} in {}", ran.stdout);
    }
}

/// A journey of steps that each have a name, a target, an interval and a weight, paged above 14.4
/// over an hour. Nobody is there to be probed.
fn steps(all: &[(&str, &str, &str, &str)]) -> String {
    specs("http://127.0.0.1:1", "30d", ("14.4", "1h"), all)
}

/// A journey of two steps on one server, whose budget is a tenth and a fifth of an hour's probes.
fn journey(url: &str) -> String {
    let steps = [("login", "0.9", "200ms", "1"), ("pay", "0.8", "200ms", "1")];
    specs(url, "1h", ("1", "1m"), &steps)
}

/// Steps at a URL over a window, paged above a burn rate over a look-back.
fn specs(
    url: &str,
    window: &str,
    (above, over): (&str, &str),
    all: &[(&str, &str, &str, &str)],
) -> String {
    let step = |(name, target, interval, weight): &(&str, &str, &str, &str)| {
        format!(
            "    - target: {target}
      compositeWeight: {weight}
      indicator:
        metadata: {{name: {name}}}
        spec:
          ratioMetric:
            good: &{name}
              metricSource:
                type: nines
                spec: {{http: {{url: \"{url}/{name}\"}}, interval: {interval}}}
            total: *{name}
"
        )
    };
    format!(
        "apiVersion: openslo/v1
kind: Service
metadata: {{name: shop}}
spec: {{}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {{name: journey}}
spec:
  service: shop
  timeWindow: [{{duration: {window}, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives:
{steps}  alertPolicies:
    - kind: AlertPolicy
      metadata: {{name: burn}}
      spec:
        alertWhenBreaching: true
        alertWhenNoData: true
        conditions:
          - kind: AlertCondition
            metadata: {{name: burn}}
            spec:
              severity: page
              condition: {{kind: burnrate, op: gt, threshold: {above}, lookbackWindow: {over}}}
        notificationTargets:
          - kind: AlertNotificationTarget
            metadata: {{name: nobody}}
            spec: {{target: none}}
",
        steps = all.iter().map(step).collect::<String>()
    )
}

#[test]
fn check_tells_what_steps_do_together_that_none_does_alone() {
    let directory = scratch("composite");
    let specs = directory.path().join("specs.yaml");
    let specs_path = specs.to_str().expect("a path of text");
    let page = |all: &[(&str, &str, &str, &str)]| {
        std::fs::write(&specs, steps(all)).expect("a file of specs");
        let ran = nines(&["check", "--specs", specs_path], LIMIT);
        let line = ran.stdout.lines().find_map(|line| line.strip_prefix("  page: "));
        (line.unwrap_or(&ran.stderr).to_owned(), ran.stdout.contains("can never fire"))
    };
    // One step that fails burns ten times as fast as it may, two burn twenty: of the hour's 36
    // events that each may lose, 14.4 times is more than 518 of all three, so 173 of each.
    let three = ["a", "b", "c"].map(|name| (name, "0.9", "10s", "1"));
    let told = "1h only if several objectives fail together, within 28 min 50 s if all do";
    assert_eq!(page(&three), (told.to_owned(), false));
    let ran = nines(&["check", "--specs", specs_path, "--format", "json"], LIMIT);
    let checked: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let pair = &checked["slos"][0]["pairs"][0];
    assert_eq!(
        (&pair["fires_on_failing_probe"], &pair["fires_together_within_seconds"]),
        (&Value::Null, &"1730".into())
    );
    // The engine agrees: one step alone pages nobody, all three do within that time.
    let hours = |name: &str, outcome| {
        events(
            name,
            &[("good", "01T00:00:00", "31T00:00:00"), (outcome, "31T00:00:00", "31T02:00:00")],
        )
    };
    let pages = |failing: usize| {
        let all: Vec<String> = ["journey-1", "journey-2", "journey-3"]
            .into_iter()
            .enumerate()
            .map(|(n, name)| hours(name, if n < failing { "bad" } else { "good" }))
            .collect();
        let file = directory.path().join("events.ndjson");
        std::fs::write(&file, all.concat()).expect("a file of events");
        let file = file.to_str().expect("a path of text");
        let args = ["backtest", "--specs", specs_path, "--events", file, "--format", "json"];
        let ran = nines(&args, LIMIT);
        let all: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let pages = of(&all, "journey")["pages"].as_array().expect("pages").clone();
        pages.into_iter().map(|page| page["on"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(pages(1), Vec::<Value>::new());
    assert_eq!(pages(2).len(), 1);
    assert_eq!(pages(3), ["2026-01-31T00:28:41Z"]);
    // A rare step whose failure costs most burns at most 10; the other one pages by itself.
    let rare = [("a", "0.999", "1h", "0.01"), ("b", "0.999", "10s", "1")];
    assert_eq!(page(&rare), ("1h on failing probe 6".to_owned(), false));
    // All of what there is burns 14.3 times as fast as it may.
    let lax = [("a", "0.9", "10s", "1"), ("b", "0.9", "10s", "0.43")];
    assert_eq!(page(&lax), ("1h never".to_owned(), true));
}

#[test]
fn a_report_tells_what_the_steps_cost_together() {
    let stretches = |bad_from, bad_to| {
        [
            ("good", "01T00:00:00", bad_from),
            ("bad", bad_from, bad_to),
            ("good", bad_to, "31T01:00:00"),
        ]
    };
    let all = [
        events("journey-1", &stretches("10T00:00:00", "10T00:10:00")),
        events("journey-2", &stretches("20T00:00:00", "20T00:05:00")),
        events("journey-3", &stretches("25T00:00:00", "25T00:10:00")),
    ];
    let directory = scratch("composite");
    let file = directory.path().join("events.ndjson");
    std::fs::write(&file, all.concat()).expect("a file of events");
    let file = file.to_str().expect("a path of text");
    let args = ["report", "--specs", SPECS, "--events", file, "--service", "shop"];
    let args = [&args[..], &["--period", "2026-01", "--format", "json"]].concat();
    let ran = nines(&args, LIMIT);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let slos = report["slos"].as_array().expect("SLOs");
    let journey = slos.iter().find(|one| one["slo"] == "shop/journey").expect("the journey");
    // 60 + 30 + 60 * 0.5 / 10 of what 0.1 % of the busiest step's events allow.
    assert_eq!(journey["budget"]["spent_events"], "93", "{journey}");
    assert_eq!(journey["kept"], "open", "the month is not over");
    let costs: Vec<&Value> = journey["incidents"]
        .as_array()
        .expect("incidents")
        .iter()
        .map(|incident| &incident["bad_events"])
        .collect();
    assert_eq!(costs, ["60", "30", "3"]);
}

#[test]
fn prometheus_reads_the_rules_of_a_journey() {
    let directory = scratch("composite");
    let file = directory.path().join("rules.yaml");
    let ran = nines(&["rules", "--specs", SPECS], LIMIT);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    std::fs::write(&file, &ran.stdout).expect("a file of rules");
    promtool::check_rules(&file);
    // A tenth of what a failure of the strictest costs, at half the weight.
    let browse = "nines_slo_bad_total{slo=\"shop/journey-3\"}[1h]";
    for text in [browse, ") * 0.05", "+ on (slo_service, team)", "label_replace("] {
        assert!(ran.stdout.contains(text), "{text} in {}", ran.stdout);
    }
}

#[test]
fn a_running_daemon_tells_of_a_journey_and_of_its_steps() {
    let target = Target::start();
    let url = target.url();
    let mut daemon = Daemon::start(&journey(url.trim_end_matches('/')), &[]);
    let slo = |daemon: &Daemon, name: &str| {
        let answer = daemon.get(&format!("/api/v1/slos/shop/{name}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["slo"].clone()
    };
    let good = |slo: &Value| slo["status"]["sli"] == "1" && slo["status"]["coverage"] != "0";
    let now = until("a journey", SOON, || Some(slo(&daemon, "journey")).filter(good));
    let parts = serde_json::json!([
        {"slo": "shop/journey-1", "weight": "1"}, {"slo": "shop/journey-2", "weight": "1"},
    ]);
    assert_eq!((&now["parts"], &now["objective"]), (&parts, &"0.9".into()));
    target.behave_at("/pay", Behaviour::Status(503));
    let pages = |slo: &Value| {
        let alerts = slo["alerts"].as_array().into_iter().flatten();
        let mut burn = alerts.filter(|alert| alert["name"] == "NinesErrorBudgetBurnFast");
        burn.next().is_some_and(|alert| alert["firing"] == true)
    };
    let now = until("a page", SOON, || Some(slo(&daemon, "journey")).filter(pages));
    assert_ne!(now["status"]["sli"], "1", "a bad event of a step is never 100 %");
    let [login, pay] = ["journey-1", "journey-2"].map(|name| slo(&daemon, name));
    assert_eq!((&login["status"]["bad"], &login["alerts"]), (&0.into(), &Value::Array(Vec::new())));
    assert!(pay["status"]["bad"].as_u64() > Some(0), "{pay}");
    let page = daemon.get("/slo/shop/journey").text();
    for text in ["Made of", "/slo/shop/journey-2", "journey-1"] {
        assert!(page.contains(text), "{text} in {page}");
    }
    let shown = nines(&["slo", "show", "shop/journey", "--url", &daemon.url()], LIMIT);
    assert!(shown.stdout.contains("shop/journey-2, weight 1"), "{}{}", shown.stdout, shown.stderr);
    let exposed = daemon.get("/metrics").text();
    for series in
        ["nines_slo_bad_total", "nines_slo_sli_ratio", "nines_slo_error_budget_left_ratio"]
    {
        let series = format!("{series}{{slo=\"shop/journey\"");
        assert!(exposed.contains(&series), "{series} in {exposed}");
    }
    // The platform's side tells what was measured of it, from the daemon and from the ledger.
    let (specs, storage) = (daemon.specs(), daemon.storage());
    let [specs, storage] = [&specs, &storage].map(|path| path.display().to_string());
    let url = daemon.url();
    for source in [&["--url", &url][..], &["--specs", &specs, "--storage.path", &storage]] {
        let args = [&["fit", "--service", "shop", "--format", "json"], source].concat();
        let ran = nines(&args, LIMIT);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let one = &told["composites"][0];
        assert_eq!((&one["slo"], &one["objective"]), (&"shop/journey".into(), &"0.9".into()));
        let measured = &one["measured"];
        let sli: f64 = measured["sli"].as_str().expect("a share").parse().expect("a number");
        assert!((0.0..1.0).contains(&sli), "{told}");
        assert!(measured["coverage"].is_string() && measured["supported"].is_string(), "{told}");
        let ran = nines(&[&["fit", "--service", "shop"], source].concat(), LIMIT);
        assert!(ran.stdout.contains("shop/journey, 90% over 1h: measured "), "{}", ran.stdout);
        assert!(!ran.stdout.contains("measured no data"), "{}", ran.stdout);
    }
    // A restart goes on with the same page and forgets nothing.
    let bad = |slo: &Value| slo["status"]["bad"].as_u64().unwrap_or_default();
    let (before, on) = (bad(&now), now["alerts"][0]["on"].clone());
    daemon.kill();
    daemon.restart();
    // The page is there at once, what it is about with the first tick.
    let evaluated = |slo: &Value| pages(slo) && !slo["status"].is_null();
    let again = until("the page again", SOON, || Some(slo(&daemon, "journey")).filter(evaluated));
    assert!(bad(&again) >= before, "{again} after {now}");
    assert_eq!(again["alerts"][0]["on"], on);
    let report = daemon.get("/api/v1/reports/service/shop?period=last-1d").json();
    let told = report["slos"].as_array().into_iter().flatten();
    let mut journey = told.filter(|one| one["slo"] == "shop/journey");
    let incidents = journey.next().and_then(|one| one["incidents"].as_array().cloned());
    let incidents = incidents.unwrap_or_default();
    assert!(!incidents.is_empty(), "{report}");
    assert_eq!(incidents[0]["reasons"][0]["reason"], "status", "{incidents:?}");
}
