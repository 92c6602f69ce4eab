//! What the reader of OpenSLO refuses, and the place and the words with which it does.

use super::*;

#[test]
fn versions_kinds_and_names_are_checked() {
    let version = SERVICE.replace("openslo/v1", "openslo/v1alpha");
    check(&version, &["apiVersion: `openslo/v1alpha` is not read by nines"]);
    let version = SERVICE.replace("openslo/v1", "openslo.com/v2alpha");
    check(&version, &["apiVersion: `openslo.com/v2alpha` is not read by nines"]);
    check(&SERVICE.replace("Service", "Servce"), &["kind: unknown kind \"Servce\""]);
    let name = |name: &str| SERVICE.replace("name: web", &format!("name: {name}"));
    let long = "a".repeat(64);
    for bad in ["Web", "-a", "a_b", long.as_str()] {
        check(
            &name(bad),
            &[&format!("metadata.name: text {:?} as `name`", &bad[..bad.len().min(60)])],
        );
    }
    check(&name(&"a".repeat(63)), &[]);
    let display =
        |text: &str| SERVICE.replace("name: web", &format!("name: web, displayName: {text}"));
    check(&display(&"ü".repeat(63)), &[]);
    let told = format!("metadata.displayName: text {:?} as `displayName`", "u".repeat(60));
    check(&display(&"u".repeat(64)), &[&told]);
    check(&format!("{SERVICE}{SERVICE}"), &["metadata.name: a second Service \"web\""]);
    let nines = "---\napiVersion: nines/v1\nkind: Service\nmetadata: {name: web}\nspec: {}\n";
    check(&format!("{nines}{SERVICE}"), &["metadata.name: a second Service \"web\""]);
    let described =
        |n: usize| document("Service", "web", &format!("{{description: {}}}", "d".repeat(n)));
    check(&described(1_050), &[]);
    let told = format!("spec.description: text {:?} as `description`", "d".repeat(60));
    check(&described(1_051), &[&told]);
    check(
        &document("Service", "web", "{descripton: x}"),
        &["spec.descripton: unknown key \"descripton\""],
    );
    let labels = "---\napiVersion: openslo/v1\nkind: Service\nmetadata: {name: web, labels: {team: [a, b], app.kubernetes.io: x}}\nspec: {}\n";
    let catalog = catalog(labels);
    assert_eq!(catalog.services[0].team(), "a,b");
}

#[test]
fn targets_are_shares_that_can_be_missed_and_met() {
    let target = |keys: &str| slo(&format!("objectives: [{{{keys}}}]"));
    let refused = "a promise that is none, cannot be kept, or has too many digits";
    for (keys, key) in [
        ("target: 1", "target"),
        ("target: 0", "target"),
        ("target: 1.5", "target"),
        ("targetPercent: 100", "targetPercent"),
        ("targetPercent: 0", "targetPercent"),
        ("targetPercent: 99.99999999", "targetPercent"),
    ] {
        check(&target(keys), &[&format!("spec.objectives[0].{key}: {refused}")]);
    }
    check(
        &target("target: 0.9, targetPercent: 90"),
        &["spec.objectives[0].targetPercent: `targetPercent` stands beside `target`"],
    );
    check(&target("displayName: x"), &["spec.objectives[0]: a key is missing"]);
    check(&target("target: -0.9"), &["spec.objectives[0].target: the number \"-0.9\" as `target`"]);
    check(&target("target: \"0.9\""), &["spec.objectives[0].target: text \"0.9\" as `target`"]);
    check(&target("target: 9e-1"), &["spec.objectives[0].target: the number \"9e-1\" as `target`"]);
    check(&slo("objectives: []"), &["spec.objectives: a list of 0"]);
    check(
        &target("target: 0.9, op: lt"),
        &["spec.objectives[0].op: `op` in an objective of a ratio"],
    );
    check(
        &target("target: 0.9, value: 1"),
        &["spec.objectives[0].value: `value` in an objective of a ratio"],
    );
}

#[test]
fn windows_are_one_and_either_rolling_or_a_calendars() {
    let window = |keys: &str| slo(&format!("timeWindow: [{{{keys}}}]"));
    check(
        &slo(&format!("timeWindow: [{0}, {0}]", "{duration: 1d, isRolling: true}")),
        &["spec.timeWindow: a list of 2"],
    );
    check(&slo("timeWindow: []"), &["spec.timeWindow: a list of 0"]);
    let duration = "spec.timeWindow[0].duration";
    for bad in ["1.5d", "1mo", "30", "d", "-1d", "1D", "30s", "1d12h"] {
        let text = if bad.parse::<f64>().is_ok() { "the number" } else { "text" };
        let told = format!("{duration}: {text} {bad:?} as `duration`");
        check(&window(&format!("duration: {bad}, isRolling: true")), &[&told]);
    }
    check(&window("duration: 0m, isRolling: true"), &[&format!("{duration}: a window of no time")]);
    check(
        &window("duration: 1M, isRolling: true"),
        &[&format!("warning {duration}: a rolling window of 30d is taken")],
    );
    let neither = "spec.timeWindow[0]: neither a rolling window nor a calendar's";
    check(&window("duration: 1d"), &[neither]);
    check(&window("duration: 1d, isRolling: false"), &[neither]);
    let zone =
        |zone: &str| format!("calendar: {{startTime: 2026-01-01 00:00:00, timeZone: {zone}}}");
    check(
        &window(&format!("duration: 1d, isRolling: true, {}", zone("UTC"))),
        &["spec.timeWindow[0].calendar: `calendar` in a rolling window"],
    );
    check(
        &window(&format!("duration: 1d, {}", zone("Europe/Bern"))),
        &["spec.timeWindow[0].calendar.timeZone: text \"Europe/Bern\" as `timeZone`"],
    );
    check(
        &window(&format!("duration: 12h, {}", zone("UTC"))),
        &[&format!("{duration}: a calendar of minutes or hours")],
    );
    for start in ["2026-01-01", "2026-13-01 00:00:00", "2026-02-30 00:00:00", "2026-01-01T00:00:00"]
    {
        let keys = format!("duration: 1d, calendar: {{startTime: {start}, timeZone: UTC}}");
        check(
            &window(&keys),
            &["spec.timeWindow[0].calendar.startTime: no moment at which a period can begin"],
        );
    }
    check(
        &window("duration: 2Y, isRolling: true"),
        &[
            "warning spec.timeWindow[0].duration: a rolling window of 730d is taken",
            "spec.timeWindow[0]: the window 730d is longer than history is kept",
        ]
        .into_iter()
        .rev()
        .collect::<Vec<_>>(),
    );
}

#[test]
fn budgeting_methods_have_what_they_need_and_nothing_else() {
    let method = |method: &str, keys: &str| {
        slo(&format!("budgetingMethod: {method}, objectives: [{{target: 0.9{keys}}}]"))
    };
    let missing = document(
        "SLO",
        "s",
        "{service: web, indicatorRef: x, timeWindow: [{duration: 1d, isRolling: true}], objectives: [{target: 0.9}]}",
    );
    let sli = document("SLI", "x", &ratio(PROBE));
    check(&format!("{missing}{SERVICE}{sli}"), &["spec: missing key `budgetingMethod`"]);
    check(&method("occurrences", ""), &["spec.budgetingMethod: unknown word \"occurrences\""]);
    let objective = "spec.objectives[0]";
    check(
        &method("Timeslices", ""),
        &[
            &format!("{objective}: missing key `timeSliceWindow`"),
            &format!("{objective}: missing key `timeSliceTarget`"),
        ],
    );
    check(
        &method("RatioTimeslices", ""),
        &[&format!("{objective}: missing key `timeSliceWindow`")],
    );
    check(
        &method("Occurrences", ", timeSliceWindow: 1m"),
        &[&format!(
            "{objective}.timeSliceWindow: `timeSliceWindow` does nothing under this budgeting method"
        )],
    );
    check(
        &method("RatioTimeslices", ", timeSliceWindow: 1m, timeSliceTarget: 0.5"),
        &[&format!(
            "{objective}.timeSliceTarget: `timeSliceTarget` does nothing under this budgeting method"
        )],
    );
    for bad in ["0", "1.1"] {
        check(
            &method("Timeslices", &format!(", timeSliceWindow: 1m, timeSliceTarget: {bad}")),
            &[&format!("{objective}.timeSliceTarget: no share of good that a slice can have")],
        );
    }
    check(
        &method("RatioTimeslices", ", timeSliceWindow: 0m"),
        &[&format!("{objective}.timeSliceWindow: a slice of 0s is not a whole number of minutes")],
    );
    let slo = only(&method("Timeslices", ", timeSliceWindow: 5, timeSliceTarget: 1"));
    assert_eq!(slo.method.slice(), Some(Duration::from_secs(300)));
}

#[test]
fn an_sli_is_one_thing_and_says_where_it_comes_from() {
    let spec = "spec.indicator.spec";
    let ratio = |keys: &str| indicator(&format!("{{ratioMetric: {{{keys}}}}}"));
    check(&indicator("{description: x}"), &[&format!("{spec}: a key is missing")]);
    check(
        &indicator(&format!(
            "{{thresholdMetric: {PROBE}, ratioMetric: {{total: {PROBE}, good: {PROBE}}}}}"
        )),
        &[&format!("{spec}.ratioMetric: `ratioMetric` stands beside `thresholdMetric`")],
    );
    check(
        &ratio(&format!("good: {PROBE}, bad: {PROBE}, total: {PROBE}")),
        &[&format!("{spec}.ratioMetric.bad: `bad` stands beside `good`")],
    );
    check(&ratio(&format!("good: {PROBE}")), &[&format!("{spec}.ratioMetric: a key is missing")]);
    check(
        &ratio(&format!("total: {PROBE}")),
        &[&format!("{spec}.ratioMetric: `total` without `good` and `bad`")],
    );
    check(
        &ratio(&format!("raw: {PROBE}, rawType: success")),
        &[&format!("{spec}.ratioMetric.raw: a probe gives results, not a ratio")],
    );
    let other = "{metricSource: {type: nines, spec: {tcp: {address: \"h:2\"}}}}";
    check(
        &ratio(&format!("good: {PROBE}, total: {other}")),
        &[&format!("{spec}.ratioMetric.good.metricSource.spec: another probe p is there already")
            .replace("probe p", "probe web/p")],
    );
    let metric = |source: &str| ratio(&format!("good: {{metricSource: {source}}}, total: {PROBE}"));
    let source = format!("{spec}.ratioMetric.good.metricSource");
    check(&metric("{spec: {probe: web/p}}"), &[&format!("{source}: a source of no type")]);
    check(
        &metric("{type: Datadog, spec: {query: x}}"),
        &[&format!("{source}.type: nines cannot ask a source of type \"Datadog\"")],
    );
    check(&metric("{type: nines, spec: {}}"), &[&format!("{source}.spec: a mapping as `spec`")]);
    check(
        &metric("{metricSourceRef: gone, spec: {probe: web/p}}"),
        &[&format!("{source}.metricSourceRef: unknown DataSource \"gone\"")],
    );
    check(
        &indicator(
            "{ratioMetric: {good: &a {metricSource: {type: nines, spec: {probe: other/p}}}, total: *a}}",
        ),
        &[
            &format!("{source}.spec.probe: probe \"other/p\" belongs to another service"),
            &format!("{source}.spec.probe: probe \"other/p\" belongs to another service")
                .replace(".good.", ".total."),
        ]
        .into_iter()
        .rev()
        .map(String::as_str)
        .collect::<Vec<_>>(),
    );
}

#[test]
fn an_sli_that_nobody_uses_is_looked_at_and_one_that_many_use_is_told_once() {
    let sli = |spec: &str| document("SLI", "x", &ratio(&format!("{{metricSource: {spec}}}")));
    let part = |key: &str, rest: &str| format!("spec.ratioMetric.{key}.metricSource{rest}");
    let unused = sli("{type: nines, spec: {prob: web/p}}");
    let problems = read(&unused).expect_err("a misspelt key");
    assert!(told(&problems).contains(&part("good", ".spec.prob: unknown key \"prob\"")));
    let gone = "{metricSourceRef: gone, spec: {query: up}}";
    let slos = slo("indicatorRef: x").replace("name: s}", "name: s1}")
        + &slo("indicatorRef: x").replace("name: s}", "name: s2}").replace(SERVICE, "");
    let expect =
        ["total", "good"].map(|key| part(key, ".metricSourceRef: unknown DataSource \"gone\""));
    let problems = read(&(slos + &sli(gone))).expect_err("no such source");
    let mut lines: Vec<_> = told(&problems).lines().map(str::to_owned).collect();
    lines.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(lines, expect);
}

#[test]
fn references_lead_somewhere() {
    check(&slo("indicatorRef: gone"), &["spec.indicatorRef: unknown SLI \"gone\""]);
    check(&slo("service: gone"), &["spec.service: unknown Service \"gone\""]);
    check(
        &slo("alertPolicies: [{alertPolicyRef: gone}]"),
        &["spec.alertPolicies[0].alertPolicyRef: unknown AlertPolicy \"gone\""],
    );
    let policy = |condition: &str, target: &str| {
        document(
            "AlertPolicy",
            "p",
            &format!(
                "{{alertWhenBreaching: true, alertWhenNoData: true, conditions: [{{conditionRef: {condition}}}], notificationTargets: [{{targetRef: {target}}}]}}"
            ),
        )
    };
    check(
        &policy("gone", "gone"),
        &[
            "spec.conditions[0].conditionRef: unknown AlertCondition \"gone\"",
            "spec.notificationTargets[0].targetRef: unknown AlertNotificationTarget \"gone\"",
        ],
    );
    let both = "alertPolicies: [{alertPolicyRef: a, spec: {}}]";
    let text = slo(both);
    let problems = read(&text).expect_err("both");
    assert!(
        told(&problems)
            .contains("spec.alertPolicies[0].spec: `spec` stands beside `alertPolicyRef`")
    );
}

#[test]
fn alert_policies_are_executed_as_written_or_refused() {
    let target = document("AlertNotificationTarget", "t", "{target: email}");
    let policy = |flags: &str, condition: &str| {
        let policy = format!(
            "{{{flags}conditions: [{{kind: AlertCondition, metadata: {{name: c}}, spec: \
             {{severity: page, condition: {{{condition}}}}}}}], notificationTargets: [{{targetRef: t}}]}}"
        );
        slo(&format!(
            "alertPolicies: [p, {{kind: AlertPolicy, metadata: {{name: q}}, spec: {policy}}}]"
        ))
        .replace("p, {", "{")
            + &target
    };
    let flags = "alertWhenBreaching: true, alertWhenNoData: true, ";
    let good = "op: gt, threshold: 2, lookbackWindow: 1h";
    check(&policy(flags, good), &[]);
    let slo_of = only(&policy(flags, good));
    let pair = slo_of.policy.as_ref().expect("a policy").pairs[0];
    assert_eq!((pair.name(), pair.hold), ("1h".to_owned(), Duration::ZERO));
    let spec = "spec.alertPolicies[0].spec";
    let condition = format!("{spec}.conditions[0].spec");
    let bad = |keys: &str, told: &str| check(&policy(flags, keys), &[told]);
    bad(
        "threshold: 2, lookbackWindow: 1h",
        &format!("warning {condition}.condition: no `op`: `gt` is taken"),
    );
    bad(
        "op: lt, threshold: 2, lookbackWindow: 1h",
        &format!("{condition}.condition.op: an alert on a burn rate that is low"),
    );
    bad("op: gt, lookbackWindow: 1h", &format!("{condition}.condition: missing key `threshold`"));
    bad("op: gt, threshold: 2", &format!("{condition}.condition: missing key `lookbackWindow`"));
    bad(
        "op: gt, threshold: 2, lookbackWindow: 0m",
        &format!("{condition}.condition.lookbackWindow: a look-back of no time"),
    );
    bad(
        "op: gt, threshold: 2, lookbackWindow: 1h, alertAfter: 2d",
        &format!("{condition}.condition.alertAfter: longer than a day"),
    );
    bad(
        "kind: other, op: gt, threshold: 2, lookbackWindow: 1h",
        &format!("{condition}.condition.kind: unknown word \"other\""),
    );
    bad(
        "op: gt, threshold: 2, lookbackWindow: 31d",
        "spec.alertPolicies: a look-back of 31d is further than the window of 30d",
    );
    let loud = policy(flags, good).replace("severity: page", "severity: sev1");
    check(
        &loud,
        &[&format!("{condition}.severity: severity \"sev1\" is not one that nines can tell")],
    );
    check(
        &policy("alertWhenNoData: true, ", good),
        &[&format!("warning {spec}: `alertWhenBreaching` is not true, so no burn rate is told")],
    );
    check(
        &policy("alertWhenBreaching: true, ", good),
        &[&format!(
            "warning {spec}: `NinesNoData` is raised although `alertWhenNoData` is not true"
        )],
    );
    let silent = only(&policy("", good));
    assert_eq!(silent.policy, None);
    let two = policy(flags, good).replace("conditions: [", "conditions: [{conditionRef: c}, ");
    check(&two, &[&format!("{spec}.conditions: a list of 2")]);
    check(&slo("alertPolicies: null"), &[]);
}

#[test]
fn a_bare_policy_name_of_older_files_is_read_with_a_warning() {
    let policy = "{alertWhenBreaching: true, alertWhenNoData: true, conditions: [{conditionRef: c}], notificationTargets: [{targetRef: t}]}";
    let text = slo("alertPolicies: [p]")
        + &document("AlertPolicy", "p", policy)
        + &document(
            "AlertCondition",
            "c",
            "{severity: ticket, condition: {op: gt, threshold: 1, lookbackWindow: 1d}}",
        )
        + &document("AlertNotificationTarget", "t", "{target: email}");
    check(&text, &["warning spec.alertPolicies[0]: an alert policy as a bare name"]);
    assert_eq!(only(&text).policy.expect("a policy").pairs[0].severity, Severity::Ticket);
}

#[test]
fn secrets_of_a_data_source_are_refused_and_not_repeated() {
    let text = document(
        "DataSource",
        "prom",
        "{type: Prometheus, connectionDetails: {server: a, password: hunter2}}",
    );
    check(&text, &["spec.connectionDetails.password: `password` is not used"]);
    let problems = read(&text).expect_err("refused");
    assert!(problems.iter().all(|p| !p.render(false).contains("hunter2")), "{problems:?}");
    let other = document("DataSource", "dd", "{type: Datadog, connectionDetails: {site: x}}");
    check(&other, &["warning spec.type: no SLI can use a source of type \"Datadog\""]);
}

/// A composite SLO over the SLIs `a` and `b`, with these objectives.
fn composite(method: &str, objectives: &str) -> String {
    let sli = |name: &str| {
        document("SLI", name, &ratio(&PROBE.replace(":1", &format!(":{}", name.len()))))
    };
    let spec = format!(
        "{{service: web, timeWindow: {WINDOW}, budgetingMethod: {method}, objectives: [{objectives}]}}"
    );
    [document("SLO", "s", &spec), SERVICE.to_owned(), sli("a"), sli("bb")].concat()
}

#[test]
fn composites_are_held_to_the_rules_of_the_specification_and_of_the_sdk() {
    let with = |keys: &str| composite("Occurrences", keys);
    let (a, b) = ("{target: 0.99, indicatorRef: a}", "{target: 0.9, indicatorRef: bb}");
    check(&with(&format!("{a}, {b}")), &[]);
    let weight = |weight: &str| {
        with(&format!("{a}, {{target: 0.9, indicatorRef: bb, compositeWeight: {weight}}}"))
    };
    check(&weight("0.5"), &[]);
    let place = "spec.objectives[1].compositeWeight";
    check(&weight("0"), &[&format!("{place}: a weight of 0")]);
    check(&weight("-1"), &[&format!("{place}: the number \"-1\" as `compositeWeight`")]);
    check(&weight(".inf"), &[&format!("{place}: the number \".inf\" as `compositeWeight`")]);
    // Every objective measures something, and one thing.
    check(
        &with(&format!("{a}, {{target: 0.9}}")),
        &["spec.objectives[1]: an objective of a composite SLO that measures nothing"],
    );
    let inline = format!("{{metadata: {{name: p}}, spec: {}}}", ratio(PROBE));
    check(
        &with(&format!("{a}, {{target: 0.9, indicatorRef: bb, indicator: {inline}}}")),
        &["spec.objectives[1].indicatorRef: `indicatorRef` beside `indicator`"],
    );
    check(
        &with(&format!("{a}, {{target: 0.9, indicatorRef: c}}")),
        &["spec.objectives[1].indicatorRef: unknown SLI \"c\""],
    );
    // It is the objectives that say what is measured, or the SLO.
    let both =
        slo(&format!("indicator: {inline}, objectives: [{{target: 0.9, indicator: {inline}}}]"));
    check(
        &both,
        &["spec.objectives[0].indicator: `indicator` in an objective beside that of the SLO"],
    );
    // A weight weighs against others.
    let lone = "`compositeWeight` in an SLO that is not composite";
    check(
        &slo("objectives: [{target: 0.9, compositeWeight: 2}, {target: 0.99}]"),
        &[&format!("spec.objectives[0].compositeWeight: {lone}")],
    );
    check(
        &with("{target: 0.9, indicatorRef: a, compositeWeight: 2}"),
        &[&format!("spec.objectives[0].compositeWeight: {lone}")],
    );
    // Each threshold has its own operator and value; a ratio has none.
    let threshold = format!("{{metadata: {{name: t}}, spec: {{thresholdMetric: {PROBE}}}}}");
    let told = "an objective of a threshold metric";
    check(
        &with(&format!("{a}, {{target: 0.9, indicator: {threshold}}}")),
        &[
            &format!("spec.objectives[1]: no `op` in {told}"),
            &format!("spec.objectives[1]: no `value` in {told}"),
        ],
    );
    check(
        &with(&format!("{a}, {{target: 0.9, op: lte, value: 0.3, indicatorRef: bb}}")),
        &[
            "spec.objectives[1].op: `op` in an objective of a ratio",
            "spec.objectives[1].value: `value` in an objective of a ratio",
        ],
    );
}

#[test]
fn slices_of_a_composite_are_those_of_every_objective() {
    let of = |name: &str, window: &str, target: &str| {
        format!("{{target: 0.9, indicatorRef: {name}{window}{target}}}")
    };
    let (one, five) = (", timeSliceWindow: 1m", ", timeSliceWindow: 5m");
    let target = ", timeSliceTarget: 0.9";
    let both = |method: &str, a: &str, b: &str| composite(method, &format!("{a}, {b}"));
    check(&both("Timeslices", &of("a", one, target), &of("bb", one, ", timeSliceTarget: 1")), &[]);
    check(&both("RatioTimeslices", &of("a", one, ""), &of("bb", one, "")), &[]);
    let other = "another slice than that of the first objective";
    check(
        &both("RatioTimeslices", &of("a", one, ""), &of("bb", five, "")),
        &[&format!("spec.objectives[1].timeSliceWindow: {other}")],
    );
    check(
        &both("Timeslices", &of("a", one, target), &of("bb", one, "")),
        &["spec.objectives[1]: missing key `timeSliceTarget`"],
    );
}

#[test]
fn names_of_a_composite_and_of_its_objectives_are_their_own() {
    let objectives = "{target: 0.99, indicatorRef: a}, {target: 0.9, indicatorRef: bb}";
    let text = composite("Occurrences", objectives);
    let other = slo("objectives: [{target: 0.9}]").replace("name: s}", "name: s-2}");
    let other = other.split("---\napiVersion: openslo/v1\nkind: Service").next().expect("a part");
    check(&format!("{text}{other}"), &["metadata.name: a second SLO web/s-2"]);
    let correction = "---\napiVersion: nines/v1\nkind: Correction\nmetadata: {name: c}\n\
                      spec: {slo: web/s, from: 2026-01-01T00:00:00Z, to: 2026-01-01T01:00:00Z, \
                      outcome: excluded, reason: r, author: a}\n";
    check(
        &format!("{text}{correction}"),
        &["spec.slo: web/s is made of others and has no slots of its own"],
    );
}
