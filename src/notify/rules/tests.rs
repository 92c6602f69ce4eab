//! The rules as Prometheus reads them: lint, judgement over series, and labels.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::model::check::{Check, TcpCheck};
use crate::model::maintenance::{Maintenance, When};
use crate::model::recurrence::Recurrence;
use crate::model::window::Zone;

fn slo(name: &str, objective: &str, days: u64, policy: AlertPolicy) -> Slo {
    Slo {
        probes: vec!["registry/pull".parse().expect("an id")],
        policy: Some(policy.into()),
        ..Slo::new(
            format!("registry/{name}").parse().expect("an id"),
            objective.parse().expect("an objective"),
            Duration::from_secs(days * 86_400),
        )
    }
}

fn catalog(slos: Vec<Slo>) -> Catalog {
    let endpoint = "db.example:5432".parse().expect("an endpoint");
    let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let service = Service {
        name: "registry".parse().expect("a name"),
        display_name: None,
        labels: BTreeMap::from([text(("team", "build {{ .X }}"))]),
        description: None,
        links: BTreeMap::from([text(("runbook", "https://runbooks.example/{{ $labels.slo }}"))]),
        support: None,
        depends_on: Vec::new(),
        probes: vec![Probe {
            id: "registry/pull".parse().expect("an id"),
            check: Check::Tcp(TcpCheck { endpoint, send: None, expect: None }),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
        }],
        slos,
    };
    Catalog { services: vec![service], ..Catalog::default() }
}

fn workbook() -> AlertPolicy {
    AlertPolicy::workbook().as_ref().clone()
}

fn promtool(dir: &Path, args: &[&str]) {
    let output = Command::new("promtool")
        .current_dir(dir)
        .args(args)
        .output()
        .expect("promtool, from the package `prometheus`, is installed");
    let said = [output.stdout, output.stderr].map(|s| String::from_utf8_lossy(&s).into_owned());
    assert!(output.status.success(), "{}", said.concat());
}

/// A directory with `rules.yml` for this catalogue and `test.yml`.
fn written(catalog: &Catalog, test: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let rules = file(catalog).expect("rules");
    std::fs::write(dir.path().join("rules.yml"), rules).expect("written");
    std::fs::write(dir.path().join("test.yml"), test).expect("written");
    dir
}

fn every_shape() -> Catalog {
    let strict = AlertPolicy { min_bad: 3, short_threshold: ShortThreshold::One, ..workbook() };
    let mut slos = vec![
        slo("availability", "99.9%", 30, workbook()),
        slo("strict", "99.999%", 7, strict),
        slo("unknown-is-bad", "99.5%", 28, workbook()),
        slo("unknown-is-good", "99.5%", 28, workbook()),
        slo("silent", "99%", 30, workbook()),
    ];
    slos[2].unknown = UnknownPolicy::Bad;
    slos[3].unknown = UnknownPolicy::Good;
    slos[4].policy = None;
    slos[0].min_coverage = Some("90%".parse().expect("a share"));
    maintained(catalog(slos))
}

/// The same with Maintenance of both effects.
fn maintained(catalog: Catalog) -> Catalog {
    let maintenance = |effect: Effect| {
        let weekly = "Sun 02:00-04:00";
        let weekly = Recurrence::weekly(weekly, Zone::utc()).expect("readable");
        Arc::new(Maintenance {
            name: effect.word().parse().expect("a name"),
            services: vec!["registry".parse().expect("a name")],
            when: When::Again(Box::new(weekly)),
            effect,
            reason: None,
            author: None,
        })
    };
    Catalog { maintenances: Effect::ALL.map(maintenance).into(), ..catalog }
}

#[test]
fn a_mute_silences_every_alert_of_the_slo_and_an_exclusion_its_lack_of_data() {
    // Broken from the beginning; mute for an hour, then excluded.
    let series = [
        UP,
        ("nines_slo_good_total", "0x400"),
        ("nines_slo_bad_total", "0+12x180 2160x220"),
        ("nines_slo_error_budget_left_ratio", "-1x400"),
        ("mute", "0x30 1x60 0x310"),
        ("exclude", "0x180 1x60 0x160"),
    ];
    let burning: &[&str] = &[
        "NinesErrorBudgetBurnFast critical",
        "NinesErrorBudgetBurnSlow warning",
        "NinesErrorBudgetExhausted warning",
    ];
    judged_of(
        &maintained(catalog(vec![slo("availability", "99.9%", 30, workbook())])),
        &series,
        &[
            ("60m", &[]),
            ("150m", burning),
            ("235m", &["NinesErrorBudgetBurnSlow warning", "NinesErrorBudgetExhausted warning"]),
            (
                "250m",
                &[
                    "NinesErrorBudgetBurnSlow warning",
                    "NinesErrorBudgetExhausted warning",
                    "NinesNoData warning",
                ],
            ),
        ],
    );
}

#[test]
fn prometheus_finds_nothing_to_complain_about() {
    let dir = written(&every_shape(), "");
    promtool(dir.path(), &["check", "rules", "--lint=all", "--lint-fatal", "rules.yml"]);
}

#[test]
fn every_expression_is_promql() {
    let text = file(&every_shape()).expect("rules");
    let yaml: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
    let groups = yaml["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 5, "an SLO without a policy has no rules");
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")) {
        let expr = rule["expr"].as_str().expect("text");
        promql_parser::parser::parse(expr).expect(expr);
    }
}

#[test]
fn thresholds_are_exact_decimals() {
    let check = |objective: &str, days: u64, events: u64, expect: [&str; 4]| {
        let catalog = catalog(vec![slo("s", objective, days, workbook())]);
        let service = &catalog.services[0];
        let policy = workbook();
        let effects = BTreeSet::new();
        let rules = SloRules { service, slo: &service.slos[0], policy: &policy, effects };
        let of =
            |pair: &Pair| rules.threshold(pair.burn_threshold(rules.slo.window.shortest()), events);
        assert_eq!(policy.pairs.iter().map(of).collect::<Vec<_>>(), expect, "{objective}");
    };
    check("99.9%", 30, 1, ["0.0144", "0.006", "0.003", "0.001"]);
    check("99.999%", 30, 1, ["0.000144", "0.00006", "0.00003", "0.00001"]);
    check("99.95%", 7, 1, ["0.00168", "0.0007", "0.00035", "0.000116666666666666"]);
    check("99.9%", 30, 720, ["10.368", "4.32", "2.16", "0.72"]);
}

#[test]
fn one_slo_reads_like_this() {
    let mut policy = workbook();
    policy.pairs.truncate(1);
    let text = file(&catalog(vec![slo("availability", "99.9%", 30, policy)])).expect("rules");
    insta::assert_snapshot!(text, @r###"
    # Written by `nines rules`; generate it again when the specs change.
    # For `alerting.mode: rules`: then Prometheus pages and nines does not.
    groups:
    - name: nines
      rules:
      - alert: NinesDown
        expr: absent(nines_build_info)
        for: 5m
        labels:
          severity: critical
        annotations:
          description: Prometheus has no nines_build_info. Either every nines is down, or its scrape fails.
          summary: No nines is scraped; no objective is being measured.
      - alert: NinesLedgerFailing
        expr: max by (instance) (nines_ledger_failing) == 1
        for: 2m
        labels:
          severity: critical
        annotations:
          description: 'Results wait in memory, successes are let go first, and what waits is lost if nines ends. GET /-/ready says why: make room, or make the disk writable; nines goes on by itself.'
          summary: The disk of nines does not take its history.
      - alert: NinesLedgerLosing
        expr: max by (instance) (increase(nines_ledger_lost_records_total[15m])) > 0
        labels:
          severity: critical
        annotations:
          description: The disk did not take them for so long that memory ran out; their time is unknown after a restart.
          summary: nines has lost results, failures among them.
      - alert: NinesBlind
        expr: max by (vantage) (nines_blind) == 1
        labels:
          severity: critical
        annotations:
          description: No reference answers, or every slot of every probe is unknown. What fails meanwhile is nobody's fault; mend the monitor's machine or its network.
          summary: 'nines sees nothing: no objective is being measured from here.'
    - name: nines/registry/availability
      rules:
      - record: slo:nines_slo_errors:ratio_rate5m
        expr: |-
          (sum by (slo, slo_service, team) (rate(nines_slo_bad_total{slo="registry/availability"}[5m])))
          /
          (sum by (slo, slo_service, team) (rate(nines_slo_good_total{slo="registry/availability"}[5m])) + sum by (slo, slo_service, team) (rate(nines_slo_bad_total{slo="registry/availability"}[5m])))
        labels:
          slo: registry/availability
      - record: slo:nines_slo_errors:ratio_rate1h
        expr: |-
          (sum by (slo, slo_service, team) (rate(nines_slo_bad_total{slo="registry/availability"}[1h])))
          /
          (sum by (slo, slo_service, team) (rate(nines_slo_good_total{slo="registry/availability"}[1h])) + sum by (slo, slo_service, team) (rate(nines_slo_bad_total{slo="registry/availability"}[1h])))
        labels:
          slo: registry/availability
      - record: slo:nines_slo_events:increase1h
        expr: sum by (slo, slo_service, team) (increase(nines_slo_good_total{slo="registry/availability"}[1h])) + sum by (slo, slo_service, team) (increase(nines_slo_bad_total{slo="registry/availability"}[1h]))
        labels:
          slo: registry/availability
      - alert: NinesErrorBudgetBurnFast
        expr: |-
          (
            slo:nines_slo_errors:ratio_rate1h{slo="registry/availability"} > 0.0144
            and
            slo:nines_slo_errors:ratio_rate5m{slo="registry/availability"} > 0.0144
            and
            (slo:nines_slo_events:increase1h{slo="registry/availability"} >= 360 or slo:nines_slo_errors:ratio_rate1h{slo="registry/availability"} * slo:nines_slo_events:increase1h{slo="registry/availability"} > 10.368)
          )
        labels:
          service: registry
          severity: critical
          slo: registry/availability
          slo_service: registry
          team: build {{ "{{" }} .X }}
        annotations:
          description: '{{ $value | humanizePercentage }} of its events were bad over the window that tripped; 99.9% over 30d allows 0.1% of them.'
          runbook_url: https://runbooks.example/{{ "{{" }} $labels.slo }}
          summary: registry/availability is burning its error budget fast.
      - alert: NinesErrorBudgetExhausted
        expr: 1 - max by (slo, slo_service, team) (nines_slo_error_budget_left_ratio{slo="registry/availability"}) and max by (slo, slo_service, team) (nines_slo_error_budget_left_ratio{slo="registry/availability"}) < 0
        labels:
          service: registry
          severity: warning
          slo: registry/availability
          slo_service: registry
          team: build {{ "{{" }} .X }}
        annotations:
          description: '{{ if ge $value 2.0 }}The error budget over 30d is spent {{ $value | printf "%.1f" }} times over.{{ else }}{{ $value | humanizePercentage }} of the error budget over 30d is spent.{{ end }}'
          runbook_url: https://runbooks.example/{{ "{{" }} $labels.slo }}
          summary: registry/availability has spent its whole error budget.
      - alert: NinesNoData
        expr: sum by (slo, slo_service, team) (increase(nines_slo_good_total{slo="registry/availability"}[2m])) + sum by (slo, slo_service, team) (increase(nines_slo_bad_total{slo="registry/availability"}[2m])) == 0
        for: 2m
        labels:
          service: registry
          severity: warning
          slo: registry/availability
          slo_service: registry
          team: build {{ "{{" }} .X }}
        annotations:
          description: No probe of it has been good or bad for 2m or longer; whether it keeps its promise is unknown.
          runbook_url: https://runbooks.example/{{ "{{" }} $labels.slo }}
          summary: registry/availability is not being measured.
    "###);
}

/// Alerts that fire, as Prometheus judges the rules over these series, one value a minute.
fn judged(series: &[(&str, &str)], expect: &[(&str, &[&str])]) {
    let catalog = catalog(vec![slo("availability", "99.9%", 30, workbook())]);
    judged_of(&catalog, series, expect);
}

fn judged_of(catalog: &Catalog, series: &[(&str, &str)], expect: &[(&str, &[&str])]) {
    let slo_labels = "{slo=\"registry/availability\",slo_service=\"registry\",team=\"build\"}";
    let mut test = "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  \
                    input_series:\n"
        .to_owned();
    for (name, values) in series {
        let (name, labels) = match *name {
            "nines_build_info" => (*name, String::new()),
            "nines_blind" => (*name, "{vantage=\"local\"}".to_owned()),
            "mute" | "exclude" => {
                ("nines_slo_maintenance", slo_labels.replace('}', &format!(",effect=\"{name}\"}}")))
            }
            _ => (*name, slo_labels.to_owned()),
        };
        test.push_str(&format!("  - series: '{name}{labels}'\n    values: '{values}'\n"));
    }
    test.push_str("  promql_expr_test:\n");
    for (at, alerts) in expect {
        let expr = "count by (alertname, severity, slo, slo_service, service, team) \
                    (ALERTS{alertstate=\"firing\"})";
        test.push_str(&format!("  - expr: '{expr}'\n    eval_time: {at}\n    exp_samples:\n"));
        if alerts.is_empty() {
            test.truncate(test.len() - 1);
            test.push_str(" []\n");
        }
        for alert in *alerts {
            let (name, severity) = alert.split_once(' ').expect("name and severity");
            let own = "service=\"registry\",slo=\"registry/availability\",slo_service=\"registry\",\
                       team=\"build {{ .X }}\"";
            let labels = match name {
                "NinesDown" | "NinesLedgerFailing" | "NinesLedgerLosing" | "NinesBlind" => {
                    format!("alertname=\"{name}\",severity=\"{severity}\"")
                }
                _ => format!("alertname=\"{name}\",severity=\"{severity}\",{own}"),
            };
            test.push_str(&format!("    - labels: '{{{labels}}}'\n      value: 1\n"));
        }
    }
    let dir = written(catalog, &test);
    promtool(dir.path(), &["test", "rules", "test.yml"]);
}

const UP: (&str, &str) = ("nines_build_info", "1x400");

#[test]
fn a_burn_fires_and_its_recovery_resolves() {
    // Ten minutes of outage after two good hours, 12 events a minute.
    let series = [
        UP,
        ("nines_slo_good_total", "0+12x120 1440+0x9 1440+12x200"),
        ("nines_slo_bad_total", "0+0x120 12+12x9 120+0x200"),
        ("nines_slo_error_budget_left_ratio", "1x400"),
    ];
    judged(
        &series,
        &[
            ("119m", &[]),
            ("125m", &["NinesErrorBudgetBurnFast critical", "NinesErrorBudgetBurnSlow warning"]),
            ("150m", &["NinesErrorBudgetBurnFast critical", "NinesErrorBudgetBurnSlow warning"]),
            ("165m", &["NinesErrorBudgetBurnSlow warning"]),
        ],
    );
}

#[test]
fn a_blind_monitor_is_told_at_once_and_until_it_sees() {
    let series = [UP, ("nines_blind", "0x10 1x5 0x10")];
    judged(&series, &[("9m", &[]), ("12m", &["NinesBlind critical"]), ("20m", &[])]);
}

#[test]
fn a_few_bad_events_after_a_cold_start_do_not_fire() {
    let series =
        [UP, ("nines_slo_good_total", "0+6x1 6+12x30"), ("nines_slo_bad_total", "0+6x1 6+0x30")];
    judged(&series, &[("3m", &[])]);
}

#[test]
fn silence_and_absence_and_a_spent_budget_are_told() {
    let series = [
        UP,
        ("nines_slo_good_total", "0+12x60 720+0x60"),
        ("nines_slo_bad_total", "0x120"),
        ("nines_slo_error_budget_left_ratio", "0x100 -0.1x20"),
    ];
    judged(
        &series,
        &[
            ("60m", &[]),
            ("66m", &["NinesNoData warning"]),
            ("110m", &["NinesErrorBudgetExhausted warning", "NinesNoData warning"]),
        ],
    );
    judged(&[("nines_build_info", "1x10 _x60")], &[("10m", &[]), ("30m", &["NinesDown critical"])]);
}

#[test]
fn a_budget_that_is_spent_many_times_is_told_in_times_by_prometheus_too() {
    let told = |left: &str| {
        let id = "slo=\"registry/availability\",slo_service=\"registry\",team=\"build\"";
        let test = format!(
            "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  \
             input_series:\n  - series: 'nines_slo_error_budget_left_ratio{{{id}}}'\n    values: \
             '{left}x5'\n  alert_rule_test:\n  - alertname: NinesErrorBudgetExhausted\n    \
             eval_time: 3m\n    exp_alerts: [{{exp_labels: {{}}, exp_annotations: {{}}}}]\n"
        );
        let slo = slo("availability", "99.9%", 30, workbook());
        let dir = written(&catalog(vec![slo]), &test);
        // Nothing fits what is expected, so promtool says what there is.
        let mut command = std::process::Command::new("promtool");
        let ran = command.current_dir(dir.path()).args(["test", "rules", "test.yml"]).output();
        let ran = ran.expect("promtool, of the Debian package prometheus");
        String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
    };
    for (left, expect) in [
        ("-0.1", "110% of the error budget over 30d is spent."),
        ("-2049", "The error budget over 30d is spent 2050.0 times over."),
    ] {
        let told = told(left);
        assert!(told.contains(expect), "{told}");
    }
}

#[test]
fn a_disk_that_takes_nothing_is_told_and_so_is_what_it_costs() {
    let series = [
        UP,
        ("nines_slo_good_total", "0+12x400"),
        ("nines_slo_bad_total", "0x400"),
        ("nines_ledger_failing", "0x9 1x0 0x9 1x20 0x40"),
        ("nines_ledger_lost_records_total", "0x30 0+10x5 50x60"),
    ];
    judged(
        &series,
        &[
            ("11m", &[]),
            ("25m", &["NinesLedgerFailing critical"]),
            ("34m", &["NinesLedgerFailing critical", "NinesLedgerLosing critical"]),
            ("60m", &[]),
        ],
    );
}

#[test]
fn a_pair_that_must_hold_has_a_rule_of_its_own_with_that_time() {
    let mut policy = workbook();
    policy.pairs[1].hold = Duration::from_secs(300);
    let text = file(&catalog(vec![slo("held", "99.9%", 30, policy)])).expect("a rule file");
    let rules: serde_yaml::Value = serde_yaml::from_str(&text).expect("YAML");
    let all = rules["groups"][1]["rules"].as_sequence().expect("rules");
    let fast: Vec<_> = all
        .iter()
        .filter(|rule| rule["alert"] == "NinesErrorBudgetBurnFast")
        .map(|rule| (rule["for"].as_str(), rule["expr"].as_str().expect("text").contains("6h")))
        .collect();
    assert_eq!(fast, [(None, false), (Some("5m"), true)]);
}
