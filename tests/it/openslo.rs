//! `nines check` takes OpenSLO v1 in all seven kinds, and refuses what breaks one of its rules by
//! naming the rule: one valid file, and one broken thing in it at a time.

use std::time::Duration;

use serde_json::Value;

use crate::harness::daemon::nines;
use crate::harness::scratch;

const LIMIT: Duration = Duration::from_secs(30);
const VALID: &str = include_str!("../../slo-specs/openslo/search.yaml");

/// The exit code, and every error's key and words.
fn check(text: &str) -> (Option<i32>, Vec<String>) {
    let place = scratch("openslo");
    let path = place.path().join("search.yaml");
    std::fs::write(&path, text).expect("writable");
    let ran = nines(&["check", "--specs", &path.to_string_lossy(), "--format", "json"], LIMIT);
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let problems = told["problems"].as_array().expect("a list").iter();
    let errors = problems.filter(|problem| problem["level"] == "error").map(Value::to_string);
    (ran.code, errors.collect())
}

#[test]
fn all_seven_kinds_are_valid() {
    let kinds = [
        "Service",
        "SLO",
        "SLI",
        "AlertPolicy",
        "AlertCondition",
        "AlertNotificationTarget",
        "DataSource",
    ];
    assert!(kinds.iter().all(|kind| VALID.contains(&format!("\nkind: {kind}\n"))));
    assert_eq!(check(VALID), (Some(0), Vec::new()));
}

#[test]
fn each_broken_rule_is_named() {
    let rolling = "[{duration: 30d, isRolling: true}]";
    let window = |duration: &str| format!("[{{duration: {duration}, isRolling: true}}]");
    let long = "a".repeat(64);
    let long = format!("metadata: {{name: {long}}}");
    let row = |from: &'static str, to: &str, told: &'static str| (from, to.to_owned(), told);
    let rows = [
        row("apiVersion: openslo/v1\nkind: SLI", "apiVersion: openslo/v2\nkind: SLI", "openslo/v2"),
        row(
            "    total: *query",
            "    bad: *query\n    total: *query",
            "`bad` stands beside `good`",
        ),
        row(
            "{targetPercent: 99.5}",
            "{targetPercent: 99.5, op: lt}",
            "`op` in an objective of a ratio",
        ),
        row(
            rolling,
            "[{duration: 30d, isRolling: true}, {duration: 7d, isRolling: true}]",
            "a list of 2",
        ),
        row("  budgetingMethod: Occurrences\n", "", "missing key `budgetingMethod`"),
        row(rolling, &window("1.5d"), "\\\"1.5d\\\" as `duration`"),
        row(rolling, &window("0m"), "a window of no time"),
        row(rolling, &window("1mo"), "\\\"1mo\\\" as `duration`"),
        row("{targetPercent: 99.5}", "{target: 1}", "a promise that is none"),
        row("{targetPercent: 99.5}", "{targetPercent: 100}", "a promise that is none"),
        row(
            "metadata: {name: search-team}",
            "metadata: {name: others}",
            "unknown AlertNotificationTarget \\\"search-team\\\"",
        ),
        row("  indicatorRef: query\n", "  indicatorRef: gone\n", "unknown SLI \\\"gone\\\""),
        row(
            "alertPolicyRef: fast-burn",
            "alertPolicyRef: gone",
            "unknown AlertPolicy \\\"gone\\\"",
        ),
        row("conditionRef: fast}", "conditionRef: gone}", "unknown AlertCondition \\\"gone\\\""),
        row("metadata: {name: minutes}", &long, "as `name`"),
        row(
            "timeZone: Europe/Berlin",
            "timeZone: Europe/Bern",
            "\\\"Europe/Bern\\\" as `timeZone`",
        ),
    ];
    for (from, to, told) in rows {
        assert!(VALID.contains(from), "{from} is not in the file");
        let (code, errors) = check(&VALID.replacen(from, &to, 1));
        assert_eq!(code, Some(3), "{to}");
        assert!(errors.iter().any(|error| error.contains(told)), "{to}: {errors:?}");
    }
}
