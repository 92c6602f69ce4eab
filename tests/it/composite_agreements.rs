//! Agreements on an OpenSLO composite, settled by the command line over events whose cost is known
//! to the millionth of an event.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::daemon::BINARY;
use crate::harness::process::{Ran, run};
use crate::harness::scratch;

const LIMIT: Duration = Duration::from_secs(300);
const SPECS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/slo-specs/openslo/journey.yaml");

/// An agreement on the journey; its two strict steps are probed every ten seconds at 99.9 %, the
/// lax one at 99 % and half the weight, so that one bad event of it costs a twentieth of one.
fn agreement(calendar: &str, credits: &str) -> String {
    format!(
        "---\napiVersion: nines/v1\nkind: Agreement\nmetadata: {{name: journey}}\nspec: {{service: \
         shop, slo: journey, customer: marketplace, objective: 99.9%, window: {{calendar: \
         {calendar}}}, credits: [{credits}]}}\n"
    )
}

const CREDITS: &str = "{below: 99.9%, credit: 10%}, {below: 99.5%, credit: 25%}";

/// Events of one step each ten seconds from the first of January on, all good but these.
fn step(name: &str, end: &str, outages: &[(&str, &str)]) -> String {
    let line = |outcome: &str, from: &str, to: &str| {
        format!(
            "{{\"slo\":\"shop/{name}\",\"from\":\"2026-{from}Z\",\"to\":\"2026-{to}Z\",\
             \"every\":\"10s\",\"outcome\":\"{outcome}\"}}\n"
        )
    };
    let (mut text, mut now) = (String::new(), "01-01T00:00:00");
    for (from, to) in outages {
        text.push_str(&line("good", now, from));
        text.push_str(&line("bad", from, to));
        now = to;
    }
    text + &line("good", now, end)
}

fn report(agreement: &str, events: &str, args: &[&str]) -> Ran {
    let place = scratch("composite-agreements");
    let path = place.path().join("specs.yaml");
    let specs = std::fs::read_to_string(SPECS).expect("the example");
    std::fs::write(&path, specs + agreement).expect("writable");
    let mut command = Command::new(BINARY);
    command.arg("report").arg("--specs").arg(&path).args(["--events", "-"]);
    command.args(["--service", "shop"]).args(args);
    run("nines", &mut command, events.as_bytes(), LIMIT)
}

/// The periods of the agreement.
fn settled(agreement: &str, events: &str, period: &str) -> Vec<Value> {
    let ran = report(agreement, events, &["--period", period, "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(told["agreements"].as_array().map(Vec::len), Some(1), "{told}");
    told["agreements"][0]["periods"].as_array().expect("periods").clone()
}

#[test]
fn months_in_which_no_step_is_broken_may_break_the_agreement() {
    // January: half an hour and twenty minutes, 180 and 120 of the 267.84 events that 99.9 % of it
    // allow. February: 400 events of the lax step, which cost 20. March has come half way.
    let end = "03-15T00:00:00";
    let events = step("journey-1", end, &[("01-10T00:00:00", "01-10T00:30:00")])
        + &step("journey-2", end, &[("01-20T00:00:00", "01-20T00:20:00")])
        + &step("journey-3", end, &[("02-05T00:00:00", "02-05T01:06:40")]);
    let agreement = agreement("month", CREDITS);
    let periods = settled(&agreement, &events, "2026-Q1");
    let told = |one: &Value| {
        let keys =
            ["kept", "sli", "coverage", "credit", "credit_below"].map(|key| one[key].clone());
        let [kept, sli, coverage, credit, below] = keys;
        let spent = one["budget"]["spent_events"].clone();
        assert_eq!(coverage, "1", "{one}");
        (kept, sli, spent, credit, below, one["over"].clone())
    };
    let none = Value::Null;
    let all: Vec<_> = periods.iter().map(told).collect();
    assert_eq!(
        all,
        [
            // 1 - 300 / 267,840, and 1 - 20 / 241,920.
            (
                "broken".into(),
                "0.998879928".into(),
                "300".into(),
                "0.1".into(),
                "0.999".into(),
                true.into()
            ),
            (
                "kept".into(),
                "0.999917328".into(),
                "20".into(),
                none.clone(),
                none.clone(),
                true.into()
            ),
            ("open".into(), "1".into(), "0".into(), none.clone(), none, false.into()),
        ]
    );
    assert_eq!(
        (&periods[0]["budget"]["total_events"], &periods[0]["budget"]["spent_seconds"]),
        (&"267.84".into(), &"3000".into())
    );
    // What is owed fails a pipeline that asks, and is read in every form.
    let ran = report(&agreement, &events, &["--period", "2026-Q1", "--fail-on", "credit"]);
    assert_eq!(ran.code, Some(4), "{}{}", ran.stdout, ran.stderr);
    for text in [
        "agreement journey with marketplace about shop/journey",
        "112.01 % spent: 50 min of 44 min 38 s, 300 of 267.84 events; a credit of 10% is owed",
        "no credit is owed so far",
    ] {
        assert!(ran.stdout.contains(text), "{text} in {}", ran.stdout);
    }
    let ran = report(&agreement, &events, &["--period", "2026-02", "--fail-on", "credit"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    // Four hours of both strict steps owe the deeper tier.
    let outage = [("01-10T00:00:00", "01-10T04:00:00")];
    let end = "02-01T00:00:10";
    let events = step("journey-1", end, &outage)
        + &step("journey-2", end, &outage)
        + &step("journey-3", end, &[]);
    let periods = settled(&agreement, &events, "2026-01");
    assert_eq!(
        (&periods[0]["credit"], &periods[0]["sli"]),
        (&"0.25".into(), &"0.989247311".into())
    );
}

#[test]
fn delivering_exactly_what_a_tier_says_owes_nothing() {
    // 54 of a day's 8,640 events leave 99.375 %: 27 and 26 of the strict steps, and 20 of the lax
    // one for the last. One more of that is a twentieth of an event too much.
    let end = "01-02T00:00:10";
    let agreement = agreement("day", "{below: 99.375%, credit: 10%}");
    let credit = |lax_end: &str| {
        let events = step("journey-1", end, &[("01-01T01:00:00", "01-01T01:04:30")])
            + &step("journey-2", end, &[("01-01T02:00:00", "01-01T02:04:20")])
            + &step("journey-3", end, &[("01-01T03:00:00", lax_end)]);
        let periods = settled(&agreement, &events, "2026-01-01");
        (periods[0]["budget"]["spent_events"].clone(), periods[0]["credit"].clone())
    };
    assert_eq!(credit("01-01T03:03:20"), ("54".into(), Value::Null));
    assert_eq!(credit("01-01T03:03:30"), ("54.05".into(), "0.1".into()));
}

#[test]
fn what_is_excluded_owes_nothing_and_what_is_unknown_says_nothing() {
    let end = "02-01T00:00:10";
    let outage = [("01-10T00:00:00", "01-10T00:30:00")];
    let (login, browse) = (step("journey-1", end, &outage), step("journey-3", end, &[]));
    let pay = step("journey-2", end, &[("01-20T00:00:00", "01-20T00:20:00")]);
    let works = "---\napiVersion: nines/v1\nkind: Maintenance\nmetadata: {name: works}\nspec: \
                 {services: [shop], effect: exclude, window: {start: 2026-01-10T00:00:00Z, end: \
                 2026-01-10T00:30:00Z}}\n";
    let agreement = agreement("month", CREDITS);
    let all = [login.as_str(), &pay, &browse].concat();
    let periods = settled(&format!("{agreement}{works}"), &all, "2026-01");
    assert_eq!(periods[0]["budget"]["spent_events"], "120", "{}", periods[0]);
    assert_eq!((&periods[0]["kept"], &periods[0]["credit"]), (&"kept".into(), &Value::Null));
    // Nobody measured the payments: the rest is not enough to break anything, so nothing is said.
    let ran = report(&agreement, &[login, browse].concat(), &["--period", "2026-01"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told = "no data: no data, coverage 0 %, budget no data; nothing can be said about credits";
    assert!(ran.stdout.contains(told), "{}", ran.stdout);
    // Unless what is known breaks it by itself.
    let worse = step("journey-1", end, &[("01-10T00:00:00", "01-10T03:00:00")]);
    let periods = settled(&agreement, &worse, "2026-01");
    assert_eq!((&periods[0]["kept"], &periods[0]["credit"]), (&"broken".into(), &"0.1".into()));
}
