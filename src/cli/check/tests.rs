//! What `nines check` prints, and how it exits.

use std::fs;

use super::*;

fn checked(text: &str, format: Format, strict: bool) -> (u8, String) {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("a.yaml"), text).expect("written");
    let check = Check {
        specs: vec![dir.path().to_owned()],
        config: spec::config::Config::default(),
        options: spec::Options::default(),
        strict,
        format,
        colour: false,
        series_count: |catalog| 100 * catalog.probes().count(),
    };
    let mut out = Vec::new();
    let code = run(&check, &mut out).expect("checked");
    let shown = String::from_utf8(out).expect("text");
    (code, shown.replace(&format!("{}/", dir.path().display()), ""))
}

const FIVE_NINES: &str = "apiVersion: nines/v1
kind: Service
metadata: {name: dns}
spec:
  probes: [{name: port, tcp: {address: \"dns.example:53\"}, interval: 10s}]
  slos:
    - {name: availability, objective: 99.999%, window: 30d}
";

#[test]
fn five_nines_every_ten_seconds_are_told_in_words() {
    let (code, shown) = checked(FIVE_NINES, Format::Table, false);
    assert_eq!(code, 0);
    let expect = "\
warning: dns/availability: one lost probe pages (pair 1h/5m)
 --> a.yaml:7:14 (spec.slos[0].name)
  |
7 |     - {name: availability, objective: 99.999%, window: 30d}
  |              ^^^^^^^^^^^^
  = hint: use a policy with `minBad: 3`, or a probe at least every 518 ms

dns/availability: 99.999% over 30d
  25.92 s of budget in 30d; one failed probe costs 38.59 % of the budget
  page: 1h/5m on failing probe 1, 6h/30m on failing probe 1
  ticket: 1d/2h on failing probe 1, 3d/6h on failing probe 1
  proven at 95 % by 299572 good probes in a row (34 d 16 h) if failures come singly, by ";
    assert!(shown.starts_with(expect), "{shown}");
    let end = "\
1 file, 1 service, 1 probe (0.1 starts a second), 1 SLO; this config exposes 100 series
0 errors, 1 warning
";
    assert!(shown.ends_with(end), "{shown}");
}

#[test]
fn warnings_fail_only_a_strict_check_and_errors_every_one() {
    assert_eq!(checked(FIVE_NINES, Format::Json, false).0, 0);
    assert_eq!(checked(FIVE_NINES, Format::Json, true).0, INVALID);
    let fine = FIVE_NINES.replace("99.999%", "99.9%");
    assert_eq!(checked(&fine, Format::Json, true).0, 0);
    let wrong = FIVE_NINES.replace("objective", "objektive");
    assert_eq!(checked(&wrong, Format::Json, false).0, INVALID);
    assert_eq!(checked(&wrong, Format::Table, false).0, INVALID);
}

#[test]
fn a_correction_of_time_that_is_still_to_come_is_warned_of_where_it_ends() {
    let correction = |to: &str| {
        let fine = FIVE_NINES.replace("99.999%", "99.9%");
        format!(
            "{fine}---\napiVersion: nines/v1\nkind: Correction\nmetadata: {{name: c}}\nspec:\n  \
             slo: dns/availability\n  from: 2020-01-01T00:00:00Z\n  to: {to}\n  \
             outcome: good\n  reason: r\n  author: a\n"
        )
    };
    assert_eq!(checked(&correction("2020-01-02T00:00:00Z"), Format::Json, true).0, 0);
    let (code, shown) = checked(&correction("2999-01-01T00:00:00Z"), Format::Table, true);
    assert_eq!(code, INVALID);
    let start = "warning: a Correction of time that is still to come: it is ";
    assert!(shown.starts_with(start), "{shown}");
    assert!(shown.contains(" --> a.yaml:15:7 (spec.to)"), "{shown}");
}

#[test]
fn programs_get_numbers_as_exact_text() {
    let (_, shown) = checked(FIVE_NINES, Format::Json, false);
    let report: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(report["schema"], "nines.check/v1");
    assert_eq!((&report["valid"], &report["series"]), (&json!(true), &json!(100)));
    assert_eq!(report["problems"][0]["level"], "warning");
    assert_eq!(report["problems"][0]["line"], 7);
    let slo = &report["slos"][0];
    assert_eq!(slo["slo"], "dns/availability");
    assert_eq!(slo["budget_seconds"], "25.92");
    assert_eq!(slo["lost_probe_budget_ratio"], "0.385802469");
    assert_eq!(slo["pairs"][0]["burn"], "14.4");
    assert_eq!(slo["pairs"][0]["one_lost_probe_interval_max_seconds"], "0.5184");
    assert_eq!(slo["evidence_seconds"], "2995720");
}

#[test]
fn what_is_wrong_is_reported_in_full_to_programs_as_well() {
    let wrong = FIVE_NINES.replace("objective", "objektive").replace("port,", "port, x: 1,");
    let (_, shown) = checked(&wrong, Format::Json, false);
    let report: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((&report["valid"], &report["errors"]), (&json!(false), &json!(2)));
    assert_eq!(report["problems"][1]["hint"], "did you mean `objective`?");
    assert_eq!((&report["series"], &report["slos"]), (&Value::Null, &json!([])));
}

#[test]
fn the_shipped_examples_pass_a_strict_check() {
    let (code, shown) = shipped(&["quickstart.yaml", "platform"]);
    assert_eq!(code, 0, "{shown}");
}

#[test]
fn the_worked_platform_is_warned_of_nothing_but_the_need_that_it_cannot_carry() {
    let (code, shown) = shipped(&["worked"]);
    assert_eq!(code, INVALID, "{shown}");
    let warnings: Vec<&str> = shown.lines().filter(|line| line.contains("warning\u{1b}")).collect();
    assert!(warnings.iter().all(|line| line.contains("payments: ")), "{warnings:#?}");
    let gates = ["dependencies", "own-share", "redundancy", "support", "detection", "observation"];
    for gate in gates {
        let told = format!("payments: {gate}: ");
        assert!(warnings.iter().any(|line| line.contains(&told)), "{gate}: {warnings:#?}");
    }
}

/// A strict check of shipped files, in colour.
fn shipped(names: &[&str]) -> (u8, String) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("slo-specs");
    let check = Check {
        specs: names.iter().map(|name| root.join(name)).collect(),
        config: spec::config::Config::default(),
        options: spec::Options::default(),
        strict: true,
        format: Format::Table,
        colour: true,
        series_count: |_| 0,
    };
    let mut out = Vec::new();
    let code = run(&check, &mut out).expect("checked");
    (code, String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn the_web_config_that_the_config_names_is_checked_as_well() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("web.yml");
    let config = spec::SourceFile {
        path: dir.path().join("config.yml"),
        root: dir.path().to_owned(),
        content: b"web: {configFile: web.yml}".to_vec(),
    };
    let config = spec::config::load(&config).expect("a config");
    assert!(entry_problems(&config).is_err(), "there is no such file");
    fs::write(&path, "tls_server_config: {cert_file: a, key_fiel: b}\n").expect("written");
    let problems = entry_problems(&config).expect("read");
    let told: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(told, ["unknown key \"key_fiel\""]);
    fs::write(&path, "tls_server_config: {cert_file: a, key_file: b}\n").expect("written");
    assert!(entry_problems(&config).is_err(), "there is no such certificate");
    fs::write(&path, "").expect("written");
    assert_eq!(entry_problems(&config).expect("read"), []);
}
