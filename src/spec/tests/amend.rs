//! Maintenance and Corrections: what is read, and where what is wrong is told.

use std::time::Duration;

use super::{catalog, check, read, told};
use crate::model::correction::Act;
use crate::model::maintenance::Effect;
use crate::model::{Outcome, Timestamp};

const SERVICE: &str = "\
apiVersion: nines/v1
kind: Service
metadata: {name: a}
spec: {probes: [{name: p, tcp: {address: \"h:1\"}}], slos: [{name: s, objective: 99%, window: 30d}]}
---
";

/// A Maintenance with this as its spec, after the service.
fn maintenance(keys: &str) -> String {
    format!(
        "{SERVICE}apiVersion: nines/v1\nkind: Maintenance\nmetadata: {{name: m}}\nspec:\n  {keys}\n"
    )
}

/// The same with this window.
fn window(keys: &str) -> String {
    maintenance(&format!("{{services: [a], effect: mute, window: {{{keys}}}}}"))
}

/// Corrections by name and spec, after the service.
fn corrections(all: &[(&str, &str)]) -> String {
    let one = |(name, spec): &(&str, &str)| {
        format!(
            "apiVersion: nines/v1\nkind: Correction\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
        )
    };
    format!("{SERVICE}{}", all.iter().map(one).collect::<Vec<_>>().join("---\n"))
}

const GOOD: &str = "slo: a/s, from: 2026-01-01T00:00:00Z, to: 2026-01-01T01:00:00Z, \
                    outcome: excluded, reason: r, author: w";

/// The only problem of this text is this one, at the first place where `found` stands.
#[track_caller]
fn check_at(text: &str, found: &str, told: &str) {
    let at = text.find(found).expect("it stands there");
    let (before, line) = (&text[..at], text[..at].rfind('\n').map_or(0, |end| end + 1));
    let place = format!("{}:{}", before.matches('\n').count() + 1, at - line + 1);
    check(text, &[&format!("{place} {told}")]);
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

#[test]
fn maintenance_is_read_once_weekly_and_by_rule() {
    let one = |keys: &str| catalog(&window(keys)).maintenances[0].clone();
    let once = one("start: 2026-12-01T02:00:00Z, end: \"2026-12-01T05:00:00+01:00\"");
    assert_eq!((once.name.as_str(), once.effect), ("m", Effect::Mute));
    assert!(once.concerns("a") && !once.concerns("b"));
    assert!(once.at(at("2026-12-01T03:59:59Z")).inside);
    assert!(!once.at(at("2026-12-01T04:00:00Z")).inside);
    let weekly = one("weekly: \"Sun 02:00-04:00\", timeZone: Europe/Berlin");
    assert!(weekly.at(at("2026-12-06T01:00:00Z")).inside);
    assert_eq!(weekly.when.to_string(), "Sun 02:00-04:00 (Europe/Berlin)");
    assert!(one("weekly: \"Sun 02:00-04:00\"").at(at("2026-12-06T02:00:00Z")).inside);
    let rule = "rrule: FREQ=MONTHLY;BYDAY=1SU, duration: 2h, timeZone: Europe/Berlin";
    let local = one(&format!("{rule}, start: 2026-12-06T02:00:00"));
    assert!(local.at(at("2027-01-03T01:00:00Z")).inside);
    let exact = one(&format!("{rule}, start: 2026-12-06T01:00:00Z"));
    assert_eq!(exact.when, local.when, "a moment is read in the zone");
}

#[test]
fn what_is_wrong_with_a_window_is_told_where_it_stands() {
    let place = "spec.window";
    let check = |keys: &str, found: &str, told: &str| {
        check_at(&window(keys), found, &format!("{place}{told}"));
    };
    let start = "start: 2026-12-01T02:00:00Z";
    check("", "{}}", ": a key is missing");
    check(start, "{start", ": a key is missing");
    check(
        &format!("{start}, end: 2026-12-01T02:00:00Z"),
        "2026-12-01T02:00:00Z}",
        ".end: an end that is not after `start`",
    );
    check("end: 2026-12-01T02:00:00Z", "{end", ": `end` without `start`");
    check(
        "start: 2026-12-01T02:00:00, end: 2026-12-01T04:00:00Z",
        "2026-12-01T02",
        ".start: a beginning without an offset",
    );
    check("weekly: \"Sun 02:00\"", "\"Sun", ".weekly: \"Sun 02:00\" cannot be used");
    check(
        "weekly: \"Sun 02:00-04:00\", timeZone: Europe/Berlni",
        "Europe",
        ".timeZone: text \"Europe/Berlni\" as `timeZone`",
    );
    check(
        &format!("weekly: \"Sun 02:00-04:00\", {start}"),
        "2026-12-01T02",
        ".start: `start` says nothing beside `weekly`",
    );
    check(
        "rrule: FREQ=DAILY, start: 2026-12-01T02:00:00",
        "{rrule",
        ": `rrule` without `duration`",
    );
    check(
        "rrule: FREQ=DAILY, start: 2026-12-01T02:00:00, duration: 8d",
        "8d",
        ".duration: an occurrence of no time, or of more than a week",
    );
    check(
        "rrule: FREQ=YEARLY, start: 2026-12-01T02:00:00, duration: 1h",
        "FREQ",
        ".rrule: \"FREQ=YEARLY\" cannot be used",
    );
}

#[test]
fn maintenance_concerns_services_that_exist_once() {
    let of = |services: &str| {
        let keys = format!(
            "{{effect: mute, window: {{weekly: \"Sun 02:00-04:00\"}}, services: {services}}}"
        );
        maintenance(&keys)
    };
    check(&of("[a]"), &[]);
    check_at(&of("[b]"), "b]", "spec.services[0]: unknown Service \"b\"");
    check_at(&of("[a, a]"), "a]}", "spec.services[1]: a second service \"a\"");
    let text = maintenance("{services: [a], window: {weekly: \"Sun 02:00-04:00\"}}");
    check_at(&text, "{services", "spec: missing key `effect`");
}

#[test]
fn a_correction_is_read_with_author_and_reason() {
    let text = corrections(&[("c", GOOD), ("d", "withdraws: c, reason: r2, author: w2")]);
    let catalog = catalog(&text);
    let [set, withdrawal] = &catalog.corrections[..] else { panic!("two") };
    assert_eq!((set.reason.as_str(), set.author.as_str(), set.at), ("r", "w", None));
    let Act::Set { slo, from, to, outcome } = &set.act else { panic!("{set:?}") };
    assert_eq!((slo.as_str(), *outcome), ("a/s", Outcome::Excluded));
    assert_eq!((*from, *to), (at("2026-01-01T00:00:00Z"), at("2026-01-01T01:00:00Z")));
    assert_eq!(withdrawal.withdraws(), Some(&set.name));
}

#[test]
fn what_is_wrong_with_a_correction_is_told_where_it_stands() {
    let one = |spec: &str, found: &str, told: &str| {
        check_at(&corrections(&[("c", spec)]), found, told);
    };
    let but = |from: &str, to: &str| GOOD.replace(from, to);
    check(&corrections(&[("c", GOOD)]), &[]);
    one(&but("a/s", "a/x"), "a/x", "spec.slo: unknown SLO \"a/x\"");
    one(&but("a/s", "alone"), "alone", "spec.slo: text \"alone\" as `slo`");
    one(&but(", reason: r", ""), "{slo:", "spec: missing key `reason`");
    one(&but(", author: w", ""), "{slo:", "spec: missing key `author`");
    one(&but("excluded", "fine"), "fine", "spec.outcome: unknown word \"fine\"");
    one(&but("slo: a/s, ", ""), "{from", "spec: `outcome` without `slo`");
    let end = "2026-01-01T00:00:00Z, outcome";
    one(&but("T01:00:00Z", "T00:00:00Z"), end, "spec.to: an end that is not after `from`");
    one(
        &format!("{GOOD}, at: 2026-01-01T00:30:00Z"),
        "2026-01-01T00:30",
        "spec.at: written before the time that it speaks of ends",
    );
    let withdraws = |name: &str| format!("withdraws: {name}, reason: r, author: w");
    one(&withdraws("c"), "c, reason", "spec.withdraws: a Correction that withdraws itself");
    one(&withdraws("x"), "x, reason", "spec.withdraws: unknown Correction \"x\"");
    let both = [("c", GOOD), ("d", "withdraws: c, slo: a/s, reason: r, author: w")];
    let told = "spec.slo: `slo` says nothing beside `withdraws`";
    check_at(&corrections(&both), "a/s, reason", told);
}

#[test]
fn circles_of_withdrawals_and_overlaps_are_told() {
    let withdraws = |name: &str| format!("withdraws: {name}, reason: r, author: w");
    let (b, c) = (withdraws("b"), withdraws("c"));
    let text = corrections(&[("b", &c), ("c", &b)]);
    let problems = told(&read(&text).expect_err("a circle"));
    assert!(problems.contains("Corrections that withdraw each other"), "{problems}");

    let later = GOOD.replace("T00:00:00Z", "T00:30:00Z").replace("T01:00:00Z", "T02:00:00Z");
    let text = corrections(&[("c", GOOD), ("d", &later)]);
    let overlap =
        "warning 14:24 spec.from: overlaps Correction \"c\"; where both speak, \"d\" holds";
    check(&text, &[overlap]);
    let apart = GOOD.replace("T01:00:00Z", "T02:00:00Z").replace("T00:00:00Z", "T01:00:00Z");
    check(&corrections(&[("c", GOOD), ("d", &apart)]), &[]);
    let withdrawn = corrections(&[("c", GOOD), ("d", &later), ("e", &withdraws("c"))]);
    check(&withdrawn, &[]);
}

#[test]
fn a_coverage_of_nothing_is_refused() {
    let text =
        |share: &str| SERVICE.replace("window: 30d", &format!("window: 30d, minCoverage: {share}"));
    check(&text("90%"), &[]);
    let slo = &catalog(&text("90%")).services[0].slos[0];
    assert_eq!(slo.min_coverage.map(|share| share.ppb()), Some(900_000_000));
    let told = "spec.slos[0].minCoverage: a coverage of 0 is always reached";
    check_at(&text("0%"), "0%}", told);
}

#[test]
fn outages_last_as_long_as_is_declared_or_as_is_always_assumed() {
    use crate::model::evidence::DECLARED_OUTAGE;
    let text = |length: &str| SERVICE.replace("window: 30d", &format!("window: 30d, {length}"));
    let declared = |length: &str| catalog(&text(length)).services[0].slos[0].mean_outage;
    assert_eq!(declared("unknown: exclude"), DECLARED_OUTAGE);
    for (length, seconds) in [("1s", 1), ("1m30s", 90), ("5m", 300), ("1d", 86_400)] {
        assert_eq!(declared(&format!("meanOutage: {length}")), Duration::from_secs(seconds));
    }
    for length in ["0s", "999ms", "1d1s", "28d"] {
        let told = format!("spec.slos[0].meanOutage: {length} is out of bounds");
        check_at(&text(&format!("meanOutage: {length}")), &format!("{length}}}"), &told);
    }
    let told = "spec.slos[0].meanOutage: the number \"90\" as `meanOutage`";
    check_at(&text("meanOutage: 90"), "90}", told);
}
