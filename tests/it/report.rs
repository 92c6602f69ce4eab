//! `nines report` over events whose numbers are known: worst windows, uptime, evidence and what
//! agreements owe, each by the command line.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use nines::model::Timestamp;
use serde_json::Value;

use crate::harness::daemon::BINARY;
use crate::harness::process::{Ran, run};
use crate::harness::scratch;

const LIMIT: Duration = Duration::from_secs(120);
/// 2026-11-01T00:00:00Z.
const MONTH: i64 = 1_793_491_200;

/// A service with an SLO at this objective over 30 d and an agreement on half as many nines.
fn specs(objective: &str) -> String {
    format!(
        "\
apiVersion: nines/v1
kind: Service
metadata: {{name: shop, labels: {{team: blue}}}}
spec:
  probes: [{{name: front, tcp: {{address: \"shop.example:80\"}}, interval: 1s, timeout: 1s}}]
  slos: [{{name: availability, objective: {objective}, window: 30d, alerting: none}}]
---
apiVersion: nines/v1
kind: Agreement
metadata: {{name: sla}}
spec:
  service: shop
  slo: availability
  customer: checkout
  objective: 99%
  window: {{calendar: month}}
  credits: [{{below: 99%, credit: 10%}}, {{below: 95%, credit: 50%}}]
"
    )
}

/// Events from second to second of the month, `every` seconds apart, each counting good and bad.
fn events(parts: &[(i64, i64, u64, u64, u64)]) -> String {
    let at = |second: i64| Timestamp::from_secs(MONTH + second);
    let mut text = String::new();
    for (from, to, every, good, bad) in parts {
        let (from, to) = (at(*from), at(*to));
        let times = format!("\"from\":\"{from}\",\"to\":\"{to}\",\"every\":\"{every}s\"");
        let slo = "\"slo\":\"shop/availability\"";
        writeln!(text, "{{{slo},{times},\"good\":{good},\"bad\":{bad}}}").expect("memory");
    }
    text
}

fn report(objective: &str, events: &str, args: &[&str]) -> Ran {
    let place = scratch("report");
    let path = place.path().join("specs.yaml");
    std::fs::write(&path, specs(objective)).expect("writable");
    let mut command = Command::new(BINARY);
    command.arg("report").arg("--specs").arg(&path).args(["--events", "-"]);
    command.args(["--service", "shop"]).args(args);
    run("nines", &mut command, events.as_bytes(), LIMIT)
}

fn json(objective: &str, events: &str, period: &str) -> Value {
    let ran = report(objective, events, &["--period", period, "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("JSON")
}

fn worst<'r>(report: &'r Value, length: &str) -> &'r Value {
    let all = report["slos"][0]["worst"].as_array().expect("a curve");
    all.iter().find(|one| one["length"] == length).expect(length)
}

#[test]
fn the_worst_windows_of_a_day_are_the_published_ones() {
    let outages = [(100, 160), (400, 430), (3_600, 3_720), (50_000, 50_010)];
    let (mut parts, mut now) = (Vec::new(), 0);
    for (start, end) in outages {
        parts.extend([(now, start, 1, 1, 0), (start, end, 1, 0, 1)]);
        now = end;
    }
    parts.push((now, 86_400, 1, 1, 0));
    let all = json("99.9%", &events(&parts), "2026-11-01");
    for (length, down, start) in [
        ("1m", 60, 100),
        ("2m", 120, 3_600),
        ("10m", 120, 3_120),
        ("1h", 190, 100),
        ("2h", 210, 0),
        ("12h", 210, 0),
        ("1d", 220, 0),
    ] {
        let one = worst(&all, length);
        let began = Timestamp::from_secs(MONTH + start).to_string();
        assert_eq!((&one["bad"], &one["start"]), (&down.into(), &began.into()), "{length}");
    }
    assert_eq!(worst(&all, "1h")["sli"], "0.947222222");
    let incidents = all["slos"][0]["incidents"].as_array().expect("a list");
    assert_eq!(incidents.len(), 3, "two outages are 240 s apart");
    assert_eq!(all["slos"][0]["budget"]["spent_seconds"], "220");
}

#[test]
fn the_knee_of_a_quarter_is_where_the_incident_was() {
    // Ninety days with two hours at 8 % errors.
    let (day, begin) = (86_400, 40 * 86_400);
    let parts = [
        (0, begin, 60, 600, 0),
        (begin, begin + 7_200, 60, 552, 48),
        (begin + 7_200, 90 * day, 60, 600, 0),
    ];
    let all = json("99.9%", &events(&parts), "last-90d");
    let slis: Vec<_> =
        ["1m", "2h", "6h", "1d"].map(|length| worst(&all, length)["sli"].clone()).into();
    assert_eq!(slis, ["0.92", "0.92", "0.973333333", "0.993333333"]);
    assert_eq!(all["slos"][0]["sli"], "0.999925925");
    let began = Timestamp::from_secs(MONTH + begin).to_string();
    assert_eq!(worst(&all, "2h")["start"], began);
}

#[test]
fn user_time_is_that_of_segments() {
    // Events at 0, 10, 20 … and a gap that is longer than the cutoff.
    let parts = [(0, 20, 10, 1, 0), (20, 40, 10, 0, 1), (40, 60, 10, 1, 0), (650, 670, 10, 1, 0)];
    let all = json("99.9%", &events(&parts), "2026-11-01");
    let uptime = &all["slos"][0]["uptime"];
    let seconds = ["up_seconds", "down_seconds", "inactive_seconds"].map(|key| uptime[key].clone());
    assert_eq!(seconds, ["40", "20", "600"]);
    assert_eq!(uptime["ratio"], "0.666666666");
    assert_eq!(all["slos"][0]["sli"], "0.75");
}

#[test]
fn zones_and_evidence_of_a_finished_month_are_the_published_ones() {
    // Thirty days at one probe in 10 s, all bad ones alone; met and breached by single probes.
    for (objective, bad, state, zones, any_time) in [
        ("99.9%", 232, "met", [232, 287], None),
        ("99.9%", 233, "not yet proven", [232, 287], None),
        ("99.9%", 287, "breached", [232, 287], None),
        ("99.99%", 17, "met", [17, 36], None),
        ("99.99%", 36, "breached", [17, 36], None),
        ("99.99%", 52, "breached", [17, 36], Some(20.0)),
    ] {
        let all = json(objective, &scattered(bad), "2026-11");
        let singly = &all["slos"][0]["evidence"]["singly"];
        assert_eq!((&singly["bad"], &singly["total"]), (&bad.into(), &259_200.into()));
        assert_eq!(singly["state"], state, "{objective} {bad}");
        assert_eq!(singly["met_at_most"], zones[0], "{objective}");
        assert_eq!(singly["breached_at_least"], zones[1], "{objective}");
        assert_eq!(singly["clustering"], 1.0);
        if let Some(level) = any_time {
            assert_eq!(singly["any_time"]["breached"], level);
        }
    }
    let clean = json("99.999%", &scattered(0), "2026-11");
    let evidence = &clean["slos"][0]["evidence"];
    let singly = &evidence["singly"];
    assert_eq!((&singly["met_at_most"], &singly["breached_at_least"]), (&Value::Null, &6.into()));
    assert_eq!(singly["interval"], serde_json::json!(["0.999988442", "1"]));
    assert_eq!(singly["any_time"]["needed"], 378_840);
    assert_eq!(
        (&evidence["state"], &evidence["supported"]),
        (&"not yet proven".into(), &"0.999653271".into())
    );
}

/// A month of probes every 10 s, of which this many fail, one at a time.
fn scattered(bad: i64) -> String {
    let (mut parts, mut now) = (Vec::new(), 0);
    for n in 0..bad {
        let at = 10 + n * 4_000;
        parts.extend([(now, at, 10, 1, 0), (at, at + 10, 10, 0, 1)]);
        now = at + 10;
    }
    parts.push((now, 30 * 86_400, 10, 1, 0));
    events(&parts)
}

#[test]
fn agreements_and_promises_fail_a_pipeline_where_it_asks() {
    // 2 % of the month is bad: the agreement on 99 % owes its first tier.
    let month = 30 * 86_400;
    let text = events(&[(0, month / 50, 10, 0, 1), (month / 50, month, 10, 1, 0)]);
    let code = |args: &[&str]| {
        let args: Vec<&str> = ["--period", "2026-11"].iter().chain(args).copied().collect();
        report("99.9%", &text, &args).code
    };
    assert_eq!(code(&[]), Some(0));
    for wish in ["broken", "credit", "unproven"] {
        assert_eq!(code(&["--fail-on", wish]), Some(4), "{wish}");
    }
    assert_eq!(code(&["--fail-on", "no-data"]), Some(0));
    let ran = report("99.9%", &text, &["--period", "2026-11"]);
    let owed = "a credit of 10% is owed (below 99%)";
    assert!(ran.stdout.contains(owed), "{}", ran.stdout);
    let ran = report("99.9%", &text, &["--period", "2026-11", "--format", "markdown"]);
    assert!(ran.stdout.starts_with("# service shop, 2026-11-01T00:00:00Z"), "{}", ran.stdout);
    assert!(ran.stdout.contains("| sla | checkout | shop/availability |"), "{}", ran.stdout);
    let ran = report("99.9%", &text, &["--period", "2026-11", "--format", "csv"]);
    let lines: Vec<&str> = ran.stdout.split("\r\n").collect();
    assert_eq!((lines.len(), lines[3]), (4, ""), "{lines:?}");
    assert!(
        lines[1].starts_with("slo,shop/availability,shop/availability,2026-11-01T"),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("agreement,sla,") && lines[2].contains(",0.1,"), "{lines:?}");
}

#[test]
fn a_budget_of_a_period_that_was_hardly_measured_says_what_was_counted_and_what_that_allows() {
    // Four hours of a month, and an outage of 18 s in them.
    let (end, hour) = (30 * 86_400, 3_600);
    let begin = end - 4 * hour;
    let bad = begin + 600;
    let parts = [(begin, bad, 1, 1, 0), (bad, bad + 18, 1, 0, 1), (bad + 18, end + 60, 1, 1, 0)];
    let all = json("99%", &events(&parts), "2026-11");
    let budget = serde_json::json!({
        "total_events": "144", "spent_events": 18, "spent_ratio": "0.125", "left_ratio": "0.875",
        "total_seconds": "25920", "spent_seconds": "3240", "left_seconds": "22680",
        "unscaled": {
            "counted_seconds": "14400", "to_come_seconds": "0",
            "total_seconds": "144", "spent_seconds": "18",
        },
    });
    assert_eq!(all["slos"][0]["budget"], budget);
    assert_eq!(all["agreements"][0]["periods"][0]["budget"], budget);
    let told = "12.5 % spent: 18 s of 2 min 24 s, 18 of 144 events";
    let scaled = "4 h of 30 d counted, which allows 2 min 24 s; scaled to all 30 d, that is 54 min of 7 h \
         12 min";
    for format in ["table", "markdown"] {
        let ran = report("99%", &events(&parts), &["--period", "2026-11", "--format", format]);
        assert_eq!(ran.stdout.matches(told).count(), 2, "{}", ran.stdout);
        assert_eq!(ran.stdout.matches(scaled).count(), 2, "{}", ran.stdout);
    }
    let ran = report("99%", &events(&parts), &["--period", "2026-11", "--format", "csv"]);
    let mut lines = ran.stdout.lines();
    let header = lines.next().unwrap_or_default();
    let last = ",counted_seconds,to_come_seconds,unscaled_budget_seconds,unscaled_spent_seconds";
    assert!(header.ends_with(last), "{header}");
    assert!(lines.clone().all(|line| line.ends_with(",14400,0,144,18")), "{}", ran.stdout);
    assert_eq!(lines.count(), 2);
    // As far as a period has come, what is to come counts as well: 10 of 30 days, half of them
    // measured.
    let day = 86_400;
    let parts = [(5 * day, 6 * day, 10, 0, 1), (6 * day, 10 * day, 10, 1, 0)];
    let ran = report("99%", &events(&parts), &["--period", "2026-11"]);
    let told = "spent 4 times over: 1 d of 6 h, 8\u{202f}640 of 2\u{202f}160 events";
    let scaled = "5 d of 30 d counted and 20 d to come, which allows 6 h; scaled to all 30 d, that is 1 d 5 h \
         of 7 h 12 min";
    for text in [told, scaled, "1 d, 8\u{202f}640 bad, 4 times the budget"] {
        assert!(ran.stdout.contains(text), "{text} in {}", ran.stdout);
    }
    // Where everything counts, or all but a restart, there is nothing to scale; three quarters
    // of an hour in a month are more than a thousandth of it.
    let part = |missing: i64| {
        let parts = [(0, 600, 1, 0, 1), (600, day, 1, 1, 0), (day + missing, end, 1, 1, 0)];
        let ran = report("99.9%", &events(&parts), &["--period", "2026-11"]);
        (ran.stdout.contains("scaled"), ran.stdout)
    };
    let (scaled, told) = part(0);
    let whole = "23.15 % spent: 10 min of 43 min 12 s, 600 of 2\u{202f}592 events";
    assert!(told.contains(whole) && !scaled, "{told}");
    assert!(!part(30).0 && part(2_700).0);
}

#[test]
fn what_was_excluded_is_told_with_who_said_so() {
    let amended = "\
---
apiVersion: nines/v1
kind: Correction
metadata: {name: probe-host-fault}
spec:
  slo: shop/availability
  from: 2026-11-02T00:00:00Z
  to: 2026-11-02T01:00:00Z
  outcome: excluded
  reason: the probe host lost its uplink
  author: ana
---
apiVersion: nines/v1
kind: Maintenance
metadata: {name: upgrade}
spec:
  services: [shop]
  window: {start: 2026-11-05T02:00:00Z, end: 2026-11-05T04:00:00Z}
  effect: exclude
";
    let place = scratch("amended");
    let path = place.path().join("specs.yaml");
    std::fs::write(&path, specs("99.9%") + amended).expect("writable");
    let (day, hour) = (86_400, 3_600);
    // An hour in which the prober was at fault, and an hour of an upgrade.
    let (works, end) = (4 * day + 2 * hour, 30 * day);
    let text = events(&[
        (0, day, 10, 1, 0),
        (day, day + hour, 10, 0, 1),
        (day + hour, works, 10, 1, 0),
        (works, works + hour, 10, 0, 1),
        (works + hour, end, 10, 1, 0),
    ]);
    let ask = |format: &str| {
        let mut command = Command::new(BINARY);
        command.arg("report").arg("--specs").arg(&path).args(["--events", "-", "--format", format]);
        command.args(["--service", "shop", "--period", "2026-11"]);
        let ran = run("nines", &mut command, text.as_bytes(), LIMIT);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
    };
    let all: Value = serde_json::from_str(&ask("json")).expect("JSON");
    let slo = &all["slos"][0];
    assert_eq!(
        (&slo["bad"], &slo["excluded"], &slo["kept"]),
        (&0.into(), &1_080.into(), &"kept".into())
    );
    assert_eq!(slo["incidents"], serde_json::json!([]));
    let of = |n: usize| {
        let one = &slo["amendments"][n];
        (one["name"].clone(), one["author"].clone(), one["measured"]["bad"].clone())
    };
    assert_eq!(of(0), ("upgrade".into(), Value::Null, 360.into()));
    assert_eq!(of(1), ("probe-host-fault".into(), "ana".into(), 360.into()));
    let told = "correction probe-host-fault from 2026-11-02T00:00:00Z to 2026-11-02T01:00:00Z, \
                excluded, 0 good and 360 bad measured, by ana: the probe host lost its uplink";
    for format in ["table", "markdown"] {
        assert!(ask(format).contains(told), "{}", ask(format));
    }
    let settled = &all["agreements"][0]["periods"][0];
    assert_eq!((&settled["bad"], &settled["credit"]), (&0.into(), &Value::Null));
}

#[test]
fn what_is_withdrawn_gives_a_report_its_numbers_back() {
    let correction = |name: &str, keys: &str| {
        format!(
            "---\napiVersion: nines/v1\nkind: Correction\nmetadata: {{name: {name}}}\nspec: \
             {{{keys}, reason: ours, author: ana}}\n"
        )
    };
    let fault = correction(
        "fault",
        "slo: shop/availability, from: 2026-11-02T00:00:00Z, to: 2026-11-02T01:00:00Z, outcome: \
         good",
    );
    let works = "---\napiVersion: nines/v1\nkind: Maintenance\nmetadata: {name: works}\nspec: \
                 {services: [shop], effect: exclude, window: {start: 2026-11-05T02:00:00Z, end: \
                 2026-11-05T04:00:00Z}}\n";
    let (day, hour) = (86_400, 3_600);
    let begin = 4 * day + 2 * hour;
    let text = events(&[
        (0, day, 10, 1, 0),
        (day, day + hour, 10, 0, 1),
        (day + hour, begin, 10, 1, 0),
        (begin, begin + 3 * hour, 10, 0, 1),
        (begin + 3 * hour, 30 * day, 10, 1, 0),
    ]);
    let told = |more: &[&str]| {
        let place = scratch("withdrawn");
        let path = place.path().join("specs.yaml");
        std::fs::write(&path, specs("99.9%") + &more.concat()).expect("writable");
        let mut command = Command::new(BINARY);
        command.arg("report").arg("--specs").arg(&path).args(["--events", "-", "--format", "json"]);
        command.args(["--service", "shop", "--period", "2026-11"]);
        let ran = run("nines", &mut command, text.as_bytes(), LIMIT);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let mut all: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let amendments = all["slos"][0]["amendments"].take();
        all["made_at"].take();
        (all, amendments.as_array().map_or(0, Vec::len))
    };
    let (measured, _) = told(&[]);
    let bad = |all: &Value| (all["slos"][0]["bad"].clone(), all["slos"][0]["excluded"].clone());
    assert_eq!(bad(&measured), (1_440.into(), 0.into()));
    let (corrected, n) = told(&[&fault, works]);
    // An hour counts as good, two of three are left out.
    assert_eq!((bad(&corrected), n), ((360.into(), 720.into()), 2));
    for key in ["budget", "incidents", "evidence", "worst", "sli"] {
        assert_ne!(corrected["slos"][0][key], measured["slos"][0][key], "{key}");
    }
    assert_ne!(corrected["agreements"][0]["periods"], measured["agreements"][0]["periods"]);
    // Withdrawn, it stays on record and counts nothing; work that is gone is as if never there.
    let withdrawn = correction("not-ours", "withdraws: fault");
    let (back, n) = told(&[&fault, &withdrawn]);
    assert_eq!(n, 1);
    assert_eq!(back, measured);
    let (again, _) = told(&[]);
    assert_eq!(again, measured);
}

#[test]
fn what_cannot_be_reported_is_told_with_what_can() {
    let told = |args: &[&str]| {
        let ran = report("99.9%", "", args);
        assert_eq!(ran.code, Some(2), "{}", ran.stdout);
        ran.stderr
    };
    assert!(told(&["--period", "2026-13"]).contains("2026-Q4"));
    assert!(told(&["--time-zone", "Mars/Olympus"]).contains("Europe/Berlin"));
    let ran = report("99.9%", "", &["--team", "blue"]);
    assert_eq!(ran.code, Some(2), "one thing at a time: {}", ran.stderr);
}

/// What `backtest` says of the last moment of these events, under an SLO over this window that
/// looks back a minute.
fn last_state(window: &str, events: &str) -> Value {
    let place = scratch("forecast");
    let path = place.path().join("specs.yaml");
    let policy = "\
---
apiVersion: nines/v1
kind: AlertPolicy
metadata: {name: quick}
spec: {pairs: [{severity: page, long: 60s, short: 5s, budget: 1%}]}
";
    let slo = format!("window: {window}, alerting: {{policy: quick}}");
    let text = specs("99.9%").replace("window: 30d, alerting: none", &slo) + policy;
    std::fs::write(&path, text).expect("writable");
    let mut command = Command::new(BINARY);
    command.arg("backtest").arg("--specs").arg(&path).args(["--events", "-", "--format", "json"]);
    let ran = run("nines", &mut command, events.as_bytes(), LIMIT);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let all: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    all["slos"][0]["states"].as_array().and_then(|all| all.last()).expect("a state").clone()
}

#[test]
fn forecasts_let_old_failures_expire() {
    // Seconds of 1,000 events: outages that are over, and so many bad ones of the last minute.
    let day = 86_400;
    let history = |outages: &[(i64, i64)], bad: u64| {
        let (mut parts, mut now) = (Vec::new(), 0);
        for (start, length) in outages {
            parts.extend([(now, *start, 1, 10_000, 0), (*start, start + length, 1, 0, 10_000)]);
            now = start + length;
        }
        let end = 30 * day - 60;
        parts.extend([(now, end, 1, 10_000, 0), (end, end + 60, 1, 10_000 - bad, bad)]);
        events(&parts)
    };
    let days = |state: &Value| {
        let seconds = state["exhaustion"].as_str().and_then(|text| text.parse::<f64>().ok());
        seconds.expect("a time") / 86_400.0
    };
    let check = |outages: &[(i64, i64)], bad, expect: f64| {
        let state = last_state("30d", &history(outages, bad));
        assert!((days(&state) - expect).abs() < 0.01, "{} d, not {expect}", days(&state));
    };
    check(&[(day, 600), (25 * day, 1_200)], 20, 8.056);
    check(&[], 15, 20.0);
    let slow = last_state("30d", &history(&[(10 * day, 1_296)], 8));
    assert_eq!(
        (&slow["exhaustion"], &slow["exhaustion_latest"]),
        (&"never".into(), &"never".into())
    );
}

#[test]
fn the_chance_of_quiet_is_the_published_one() {
    let month = 30 * 86_400;
    let clean = last_state("30d", &events(&[(0, month, 60, 1, 0)]));
    assert_eq!(clean["quiet"], serde_json::json!({"seconds": "2592000", "chance": "0.7071"}));
    let twice = [
        (0, month / 3, 60, 1, 0),
        (month / 3, month / 3 + 60, 60, 0, 1),
        (month / 3 + 60, month / 2, 60, 1, 0),
        (month / 2, month / 2 + 60, 60, 0, 1),
        (month / 2 + 60, month, 60, 1, 0),
    ];
    let twice = last_state("10d", &events(&twice));
    assert_eq!(twice["quiet"], serde_json::json!({"seconds": "864000", "chance": "0.48713"}));
    assert_eq!(twice["proof"]["outages"], 2);
}

#[test]
fn the_chance_that_the_budget_holds_is_that_of_outages_like_those_seen() {
    // Two outages of ten minutes in thirty days; ten days allow 14 bad minutes, so another one,
    // and not two: terms 0 and 1 of a negative binomial (2.5; 30 d of 40 d).
    let minutes = |from: i64, to: i64| (from * 60, to * 60);
    let mut parts = Vec::new();
    for ((from, to), bad) in [
        (minutes(0, 10_000), 0),
        (minutes(10_000, 10_010), 1),
        (minutes(10_010, 20_000), 0),
        (minutes(20_000, 20_010), 1),
        (minutes(20_010, 43_200), 0),
    ] {
        parts.push((from, to, 60, 1 - bad, bad));
    }
    let state = last_state("10d", &events(&parts));
    assert_eq!(state["quiet"]["chance"], "0.48713");
    assert_eq!(state["survival"], serde_json::json!({"seconds": "864000", "chance": "0.7916"}));
    // Over the month they were in, 20 of 43 bad minutes are spent: two more outages fit at once,
    // a third and a fourth after those have left.
    let state = last_state("30d", &events(&parts));
    let chance: f64 = state["survival"]["chance"].as_str().expect("text").parse().expect("one");
    // Between terms 0 to 2 and 0 to 4 of (2.5; 30 d of 60 d).
    assert!((0.592..0.835).contains(&chance), "{chance}");
}
