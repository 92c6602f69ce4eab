//! `nines backtest` over the golden incidents: fifteen histories whose alerts are known to the
//! second, from independent per-second simulation of the published rules.

use std::time::Duration;

use serde_json::Value;

use crate::harness::daemon::nines;

const LIMIT: Duration = Duration::from_secs(300);

/// The moment at which every incident begins, in seconds since the epoch.
const START: i64 = 1_769_817_600;

/// Per incident: the budget spent in all, each pair's intervals, the page, and the page under
/// `shortThreshold: 1x`, in seconds from the start.
const GOLDEN: [(&str, &str, [&str; 4], &str, &str); 15] = [
    ("a", "0.017361111", ["", "", "", ""], "", ""),
    ("b", "0.023148148", ["52-356", "", "", ""], "52-356", "52-360"),
    ("c", "0.231481481", ["52-896", "130-2390", "260-7779", "260-22179"], "52-2390", "52-2399"),
    ("d", "0.034722222", ["346-872", "", "", ""], "346-872", "346-898"),
    ("e", "0.055555555", ["", "12961-15120", "", ""], "12961-15120", "12961-16020"),
    ("f", "0.166666666", ["", "", "51841-89280", "51841-103680"], "", ""),
    ("g", "0.133333333", ["", "", "", "129601-183600"], "", ""),
    (
        "h",
        "0.347222222",
        ["52-596 605-1196 1205-1796", "130-3290", "260-8679", "260-23079"],
        "52-3290",
        "52-3299",
    ),
    ("i", "0.020138888", ["", "", "", ""], "", "1719-2019"),
    ("j", "0.020833333", ["1724-1997", "", "", ""], "1724-1997", "1719-2037"),
    ("k", "0.100308641", ["6-326", "13-1825", "26-7224", "26-21624"], "6-1825", "6-1826"),
    ("l", "0.019290123", ["", "", "", ""], "", ""),
    ("m", "0.038580246", ["1-301", "", "", ""], "1-301", "1-301"),
    ("n", "0.99537037", ["52-2876", "130-4370", "260-9759", "260-24159"], "52-4370", "52-4379"),
    ("o", "0.12", ["", "9001-22650", "18001-27300", "18001-41700"], "9001-22650", "9001-23275"),
];

/// The pairs of the built-in policy.
const PAIRS: [&str; 4] = ["1h/5m", "6h/30m", "1d/2h", "3d/6h"];

/// The share of the budget that is spent when the first page comes.
const SPENT_AT_FIRST_PAGE: [(&str, &str); 10] = [
    ("b", "0.0200"),
    ("c", "0.0200"),
    ("d", "0.0200"),
    ("e", "0.0500"),
    ("h", "0.0200"),
    ("j", "0.0202"),
    ("k", "0.0231"),
    ("m", "0.0385"),
    ("n", "0.0200"),
    ("o", "0.0500"),
];

fn replay() -> Value {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/backtest");
    let (specs, events) = (format!("{golden}/specs.yaml"), format!("{golden}/events.ndjson"));
    let args = ["backtest", "--specs", &specs, "--events", &events, "--format", "json"];
    let ran = nines(&args, LIMIT);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("JSON on stdout")
}

/// `on-off` of every interval, in seconds from the start.
fn intervals<'a>(list: impl IntoIterator<Item = &'a Value>) -> String {
    let second = |at: &Value| {
        let at: nines::model::Timestamp =
            at.as_str().and_then(|text| text.parse().ok()).expect("a time");
        at.micros() / 1_000_000 - START
    };
    let text = |i: &Value| format!("{}-{}", second(&i["on"]), second(&i["off"]));
    list.into_iter().map(text).collect::<Vec<_>>().join(" ")
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

#[test]
fn golden_incidents_come_out_to_the_second() {
    let all = replay();
    assert_eq!(all["schema"], "nines.backtest/v1");
    let slos = array(&all["slos"]);
    assert_eq!(slos.len(), GOLDEN.len());
    for (slo, (id, spent, pairs, page, page_1x)) in slos.iter().zip(GOLDEN) {
        assert_eq!(slo["slo"], format!("{id}/availability"));
        let last = array(&slo["states"]).last().expect("a last state");
        assert_eq!(last["budget"]["spent_ratio"], spent, "{id}");
        assert_eq!(last["coverage"], "1", "{id}");
        for (name, expect) in PAIRS.iter().zip(pairs) {
            let of = array(&slo["alerts"]).iter().filter(|alert| alert["pair"] == *name);
            assert_eq!(intervals(of), expect, "{id} {name}");
        }
        assert_eq!(intervals(array(&slo["pages"])), page, "{id}");
        assert_eq!(intervals(array(&slo["variants"]["1x"]["pages"])), page_1x, "{id} under 1x");
        if let Some((_, expect)) = SPENT_AT_FIRST_PAGE.iter().find(|(of, _)| *of == id) {
            let page = array(&slo["alerts"]).iter().find(|a| a["severity"] == "page");
            let at_on = page.and_then(|a| a["spent_ratio_at_on"].as_str()).expect("a ratio");
            assert!(at_on.starts_with(expect), "{id}: {at_on}");
        }
    }
    let score = |of: &Value| format!("{}/{} {}", of["both"], of["alerted"], of["significant"]);
    assert_eq!(score(&all["score"]["page"]), "10/10 11");
    assert_eq!(score(&all["score"]["ticket"]), "7/7 7");
    assert_eq!(score(&all["score"]["page"]["variants"]["1x"]), "11/11 11");
    assert_eq!(all["score"]["page"]["precision"], "1");
    assert_eq!(all["score"]["page"]["recall"], "0.909090909");
}

#[test]
fn maintenance_and_corrections_count_as_in_the_daemon() {
    let dir = crate::harness::scratch("backtest");
    let specs = "\
apiVersion: nines/v1
kind: Service
metadata: {name: a}
spec:
  probes: [{name: p, tcp: {address: \"h:1\"}, interval: 1s}]
  slos: [{name: availability, objective: 99%, window: 30d}]
---
apiVersion: nines/v1
kind: Maintenance
metadata: {name: mute}
spec:
  services: [a]
  effect: mute
  window: {start: 2026-01-01T09:00:00Z, end: 2026-01-01T10:12:00Z}
---
apiVersion: nines/v1
kind: Maintenance
metadata: {name: exclude}
spec:
  services: [a]
  effect: exclude
  window: {weekly: \"Thu 13:00-13:30\", timeZone: Europe/Berlin}
---
apiVersion: nines/v1
kind: Correction
metadata: {name: ours}
spec: {slo: a/availability, from: 2026-01-01T14:00:00Z, to: 2026-01-01T14:10:00Z,
       outcome: good, reason: r, author: w}
";
    // Down from 10:00 to 10:20, from 12:00 to 12:30 and from 14:00 to 14:10.
    let stretch = |from: &str, to: &str, outcome: &str| {
        let day = "2026-01-01T";
        format!(
            "{{\"slo\":\"a/availability\",\"from\":\"{day}{from}:00Z\",\"to\":\"{day}{to}:00Z\",\
             \"every\":\"1s\",\"outcome\":\"{outcome}\"}}\n"
        )
    };
    let edges = ["00:00", "10:00", "10:20", "12:00", "12:30", "14:00", "14:10", "20:00"];
    let outcomes = ["good", "bad"].into_iter().cycle();
    let events: String =
        edges.windows(2).zip(outcomes).map(|(edge, o)| stretch(edge[0], edge[1], o)).collect();
    let (a, b) = (dir.path().join("specs.yaml"), dir.path().join("events.ndjson"));
    std::fs::write(&a, specs).expect("written");
    std::fs::write(&b, events).expect("written");
    let (a, b) = (a.display().to_string(), b.display().to_string());
    let ran = nines(&["backtest", "--specs", &a, "--events", &b, "--format", "json"], LIMIT);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let all: Value = serde_json::from_str(&ran.stdout).expect("JSON on stdout");
    let slo = &all["slos"][0];
    let last = array(&slo["states"]).last().expect("a last state");
    let counts = ["good", "bad", "excluded"].map(|key| last[key].as_u64().expect("a count"));
    // 13:00 in Berlin is 12:00 in UTC.
    assert_eq!(counts, [72_000 - 1_200 - 1_800, 1_200, 1_800]);
    assert_eq!(last["corrected"], true);
    let pages: Vec<&str> =
        array(&slo["pages"]).iter().map(|page| page["on"].as_str().expect("a time")).collect();
    assert_eq!(pages, ["2026-01-01T10:12:00Z"], "mute until then; the others never were");
}
