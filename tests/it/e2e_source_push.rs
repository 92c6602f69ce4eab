//! Results that others send: what was acknowledged is counted, once, over `kill -9` and however
//! often it is sent; what must not be taken is refused by name.

use std::time::Duration;

use nines::model::Tally;
use serde_json::{Value, json};

use crate::harness::{Daemon, http, until};

const SOON: Duration = Duration::from_secs(60);
const SLO: &str = "jobs/backups";
const TOKEN: &str = "a-token-of-the-test";

const SPECS: &str = r#"
apiVersion: nines/v1
kind: Service
metadata: {name: jobs}
spec:
  probes: [{name: door, tcp: {address: "127.0.0.1:9"}, interval: 60s}]
  slos:
    - name: backups
      push: {token_file: token, interval: 5s, grace: 5s}
      objective: 99%
      window: 30d
    - {name: availability, probe: door, objective: 99%, window: 30d}
"#;

fn daemon() -> Daemon {
    Daemon::start_beside(SPECS, &[], |specs| std::fs::write(specs.join("token"), TOKEN))
}

fn send(daemon: &Daemon, slo: &str, headers: &[(&str, &str)], body: &str) -> http::Answer {
    let url = format!("{}/api/v1/slos/{slo}/results", daemon.url());
    http::send("POST", &url, headers, body.as_bytes()).expect("an answer")
}

fn deliver(daemon: &Daemon, key: &str, body: &Value) -> http::Answer {
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", token.as_str()), ("Idempotency-Key", key)];
    send(daemon, SLO, &headers, &body.to_string())
}

fn now() -> String {
    nines::clock::wall_now().to_string()
}

fn one(good: u32, bad: u32) -> Value {
    json!({"results": [{"at": now(), "good": good, "bad": bad}]})
}

fn totals(daemon: &Daemon) -> Tally {
    daemon.status(SLO).map(|status| status.totals).unwrap_or_default()
}

#[track_caller]
fn counts(daemon: &Daemon, good: u64, bad: u64) {
    until(&format!("{good} good and {bad} bad"), SOON, || {
        let seen = totals(daemon);
        assert!(seen.good <= good && seen.bad <= bad, "counted too much: {seen:?}");
        ((seen.good, seen.bad) == (good, bad)).then_some(())
    });
}

/// Waits until results are taken: the first interval begins with the next one of the grid.
fn first(daemon: &Daemon) {
    let mut n = 0;
    until("the first interval", SOON, || {
        n += 1;
        let answer = deliver(daemon, &format!("first-{n}"), &one(0, 0));
        (answer.status == 200).then_some(())
    });
}

#[test]
fn what_was_acknowledged_counts_once_over_kill_nine() {
    let mut daemon = daemon();
    first(&daemon);
    let (mut good, mut bad) = (0, 0);
    for round in 0..4_u32 {
        let body = one(10 + round, round);
        let key = format!("round-{round}");
        let answer = deliver(&daemon, &key, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        daemon.kill();
        (good, bad) = (good + 10 + u64::from(round), bad + u64::from(round));
        daemon.restart();
        for _ in 0..2 {
            let again = deliver(&daemon, &key, &body);
            assert_eq!((again.status, again.json()), (200, answer.json()), "another answer");
        }
        let other = deliver(&daemon, &key, &one(1, 0));
        assert_eq!(other.status, 422, "{}", other.text());
    }
    counts(&daemon, good, bad);
    // Intervals without results are unknown, not good.
    let before = totals(&daemon);
    until("an interval of silence", SOON, || {
        (totals(&daemon).unknown >= before.unknown + 2).then_some(())
    });
    assert_eq!((totals(&daemon).good, totals(&daemon).bad), (good, bad));
    daemon.kill();
    daemon.restart();
    counts(&daemon, good, bad);
}

#[test]
fn a_reload_keeps_what_was_sent_and_what_is_known_of_it() {
    let mut daemon = Daemon::start_beside(SPECS, &["--web.enable-lifecycle"], |specs| {
        std::fs::write(specs.join("token"), TOKEN)
    });
    first(&daemon);
    let read = |name: &str| daemon.metrics().sum(name, &[("slo", SLO)]).map(|n| n as u64);
    let requests = || read("nines_source_requests_total").expect("it is told");
    // Each changes more: what it promises, what is a matter of the post box, and back.
    let wider = SPECS.replace("interval: 5s, grace: 5s", "interval: 5s, grace: 8s");
    let changes = [SPECS.replacen("objective: 99%", "objective: 90%", 1), wider, SPECS.to_owned()];
    let (mut good, mut bad) = (0, 0);
    for (round, specs) in (1..).zip(&changes) {
        let (asked, body) = (requests(), one(round, 1));
        let key = format!("round-{round}");
        let answer = deliver(&daemon, &key, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        (good, bad) = (good + u64::from(round), bad + 1);
        daemon.write_specs("specs.yaml", specs);
        let reloaded = daemon.reload();
        assert_eq!(reloaded.status, 200, "{}", reloaded.text());
        // Known before, so neither another delivery nor another key.
        let again = deliver(&daemon, &key, &body);
        assert_eq!((again.status, again.json()), (200, answer.json()), "{}", again.text());
        assert_eq!(requests(), asked + 2, "round {round}");
        counts(&daemon, good, bad);
    }
    let counted = read("nines_source_intervals_counted_total").expect("it is told");
    assert!(counted >= 3, "{counted} intervals");
    daemon.kill();
    daemon.restart();
    counts(&daemon, good, bad);
}

/// Ends the process, or has it read its specs again, and goes on with these.
fn go_on(daemon: &mut Daemon, specs: &str, restarts: bool) {
    daemon.write_specs("specs.yaml", specs);
    if restarts {
        daemon.kill();
        daemon.restart();
        return;
    }
    let reloaded = daemon.reload();
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
}

#[test]
fn another_interval_or_grace_loses_nothing_and_counts_nothing_twice() {
    for restarts in [false, true] {
        let mut daemon = Daemon::start_beside(SPECS, &["--web.enable-lifecycle"], |specs| {
            std::fs::write(specs.join("token"), TOKEN)
        });
        let (mut good, mut bad, mut sent) = (0, 0, Vec::new());
        for (round, push) in (1..).zip([
            "interval: 7s, grace: 5s",
            "interval: 4s, grace: 2s",
            "interval: 10s, grace: 2s",
            "interval: 3s, grace: 9s",
            "interval: 3s, grace: 1s",
            "interval: 8s, grace: 1s",
        ]) {
            let key = format!("round-{round}");
            let (body, answer) = until("results are taken", SOON, || {
                let body = one(10 + round, round);
                let answer = deliver(&daemon, &key, &body);
                (answer.status == 200).then_some((body, answer))
            });
            (good, bad) = (good + 10 + u64::from(round), bad + u64::from(round));
            sent.push((key, body, answer));
            let specs = SPECS.replace("interval: 5s, grace: 5s", push);
            go_on(&mut daemon, &specs, restarts);
            for (key, body, answer) in &sent {
                let again = deliver(&daemon, key, body);
                assert_eq!((again.status, again.json()), (200, answer.json()), "{}", again.text());
                assert_eq!(deliver(&daemon, key, &one(1, 0)).status, 422, "{push} {key}");
            }
        }
        counts(&daemon, good, bad);
        go_on(&mut daemon, SPECS, !restarts);
        daemon.kill();
        daemon.restart();
        counts(&daemon, good, bad);
    }
}

#[test]
fn deliveries_that_are_taken_are_counted_and_refused_ones_are_not() {
    let daemon = daemon();
    let requests =
        || daemon.metrics().sum("nines_source_requests_total", &[("slo", SLO)]).map(|n| n as u64);
    assert_eq!(requests(), Some(0));
    first(&daemon);
    assert_eq!(requests(), Some(1), "those before the first interval are refused");
    let body = one(3, 1);
    for n in 2..5 {
        let answer = deliver(&daemon, "again", &body);
        assert_eq!((answer.status, requests()), (200, Some(n)), "{}", answer.text());
    }
    let refused = [
        deliver(&daemon, "again", &one(1, 0)),
        deliver(&daemon, "none", &json!({"results": []})),
        send(&daemon, SLO, &[("Authorization", "Bearer x"), ("Idempotency-Key", "k")], "{}"),
    ];
    for answer in refused {
        assert!((400..500).contains(&answer.status), "{}", answer.text());
    }
    assert_eq!(requests(), Some(4));
}

#[test]
fn what_must_not_be_taken_is_refused_as_a_problem() {
    let daemon = daemon();
    first(&daemon);
    let bearer = format!("Bearer {TOKEN}");
    let check = |slo: &str, headers: &[(&str, &str)], body: &str, expect: u16| {
        let answer = send(&daemon, slo, headers, body);
        assert_eq!(answer.status, expect, "{slo} {body}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{expect}");
        assert_eq!(answer.json()["status"], expect);
        assert!(!answer.text().contains(TOKEN));
    };
    let (auth, key) = (("Authorization", bearer.as_str()), ("Idempotency-Key", "k"));
    let good = one(1, 0).to_string();
    check("jobs/nothing", &[auth, key], &good, 404);
    check(SLO, &[key], &good, 401);
    check(SLO, &[("Authorization", "Basic YTpi"), key], &good, 401);
    check(SLO, &[("Authorization", "Bearer wrong"), key], &good, 403);
    check("jobs/availability", &[auth, key], &good, 409);
    check(SLO, &[auth], &good, 400);
    check(SLO, &[auth, key], "{", 400);
    check(SLO, &[auth, key], r#"{"results": [], "more": 1}"#, 400);
    check(SLO, &[auth, key], r#"{"results": []}"#, 422);
    check(SLO, &[auth, key], r#"{"results": [{"good": 1}]}"#, 422);
    check(SLO, &[auth, key], r#"{"results": [{"at": "2999-01-01T00:00:00Z", "good": 1}]}"#, 422);
    check(SLO, &[auth, key], r#"{"results": [{"at": "2020-01-01T00:00:00Z", "good": 1}]}"#, 409);
    let wide = r#"{"results": [{"from": "2020-01-01T00:00:01Z", "to": "2020-01-01T00:00:09Z"}]}"#;
    check(SLO, &[auth, key], wide, 422);
    check(SLO, &[auth, key], &format!("{{\"results\": [{}]}}", " ".repeat(70_000)), 413);
    assert_eq!((totals(&daemon).good, totals(&daemon).bad), (0, 0));
}

#[test]
fn a_correction_of_what_was_sent_changes_the_budget_and_its_withdrawal_gives_it_back() {
    let daemon = Daemon::start_beside(SPECS, &["--web.enable-lifecycle"], |specs| {
        std::fs::write(specs.join("token"), TOKEN)
    });
    first(&daemon);
    assert_eq!(deliver(&daemon, "some", &one(90, 10)).status, 200);
    counts(&daemon, 90, 10);
    let at = daemon.status(SLO).expect("it is evaluated").at;
    let from = at.minus(Duration::from_secs(3_600));
    let told = || {
        let answer = daemon.get(&format!("/api/v1/slos/{SLO}?at={at}")).json();
        let keys = ["good", "bad", "unknown", "excluded", "coverage", "budget", "sli"];
        keys.map(|key| answer["slo"]["status"][key].clone())
    };
    let declare = |name: &str, spec: &str| {
        let text = format!(
            "apiVersion: nines/v1\nkind: Correction\nmetadata: {{name: {name}}}\n\
             spec: {{{spec}, reason: a fault of ours, author: ana}}\n"
        );
        daemon.write_specs(&format!("{name}.yaml"), &text);
        let answer = daemon.reload();
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let measured = told();
    assert_eq!(measured[..2], [json!(90), json!(10)]);

    let excluded = format!("slo: {SLO}, from: \"{from}\", to: \"{at}\", outcome: excluded");
    declare("fault", &excluded);
    let corrected = told();
    assert_eq!((&corrected[..2], &corrected[3]), (&[json!(0), json!(0)][..], &json!(100)));
    assert_ne!(corrected[5], measured[5], "the budget");

    declare("ours", "withdraws: fault");
    assert_eq!(told(), measured);
}
