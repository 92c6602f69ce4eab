//! OpenSLO v1: what arrives, and what is refused with which words and where.

mod refusals;

use std::time::Duration;

use crate::model::catalog::Method;
use crate::model::source::{Compare, Measure};
use crate::model::{Catalog, Limit, Severity, Slo, Source, Window};
use crate::spec::{Level, Options, Problem, SourceFile, load};

fn read(text: &str) -> Result<(Catalog, Vec<Problem>), Vec<Problem>> {
    let file = SourceFile {
        path: "specs/a.yaml".into(),
        root: "specs".into(),
        content: text.as_bytes().to_vec(),
    };
    load(&[file], &Options::default()).map(|loaded| (loaded.catalog, loaded.warnings))
}

fn told(problems: &[Problem]) -> String {
    let line = |p: &Problem| {
        let level = if p.level == Level::Warning { "warning " } else { "" };
        format!("{level}{}: {}", p.path, p.message)
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn catalog(text: &str) -> Catalog {
    match read(text) {
        Ok((catalog, _)) => catalog,
        Err(problems) => panic!("{}\nin\n{text}", told(&problems)),
    }
}

/// Every problem of one file must be these, and no other.
#[track_caller]
fn check(text: &str, expect: &[&str]) {
    let problems = read(text).map_or_else(|problems| problems, |(_, warnings)| warnings);
    assert_eq!(told(&problems), expect.join("\n"), "in\n{text}");
    let placed = problems.iter().all(|p| p.line > 0 && p.column > 0);
    assert!(placed, "{problems:?}");
}

const SERVICE: &str =
    "---\napiVersion: openslo/v1\nkind: Service\nmetadata: {name: web}\nspec: {}\n";
const PROBE: &str = "{metricSource: {type: nines, spec: {tcp: {address: \"h:1\"}}}}";
const WINDOW: &str = "[{duration: 30d, isRolling: true}]";

fn document(kind: &str, name: &str, spec: &str) -> String {
    format!("---\napiVersion: openslo/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

/// An SLO with these keys, whose indicator is a ratio over a probe unless they say otherwise.
fn slo(keys: &str) -> String {
    let mut all = keys.to_owned();
    for (key, value) in [
        ("service", "web".to_owned()),
        ("indicator", format!("{{metadata: {{name: p}}, spec: {}}}", ratio(PROBE))),
        ("timeWindow", WINDOW.to_owned()),
        ("budgetingMethod", "Occurrences".to_owned()),
        ("objectives", "[{target: 0.99}]".to_owned()),
    ] {
        let named =
            |text: &str| text.starts_with(&format!("{key}:")) || text.contains(&format!(" {key}:"));
        let by_reference = key == "indicator" && keys.contains("indicatorRef:");
        if !(named(keys) || by_reference) {
            all = format!("{all}{}{key}: {value}", if all.is_empty() { "" } else { ", " });
        }
    }
    format!("{}{}", document("SLO", "s", &format!("{{{all}}}")), SERVICE)
}

fn ratio(metric: &str) -> String {
    format!("{{ratioMetric: {{counter: true, good: {metric}, total: {metric}}}}}")
}

fn indicator(spec: &str) -> String {
    slo(&format!("indicator: {{metadata: {{name: p}}, spec: {spec}}}"))
}

fn only(text: &str) -> Slo {
    let catalog = catalog(text);
    let slos: Vec<_> = catalog.slos().map(|(_, slo)| slo.clone()).collect();
    assert_eq!(slos.len(), 1);
    slos[0].clone()
}

#[test]
fn all_seven_kinds_arrive_in_the_model() {
    let catalog = catalog(include_str!("../../../slo-specs/openslo/search.yaml"));
    let ids: Vec<_> = catalog.slos().map(|(_, slo)| slo.id.as_str()).collect();
    assert_eq!(ids, ["search/availability", "search/latency", "search/minutes"]);
    let service = catalog.service("search").expect("there");
    assert_eq!((service.title(), service.team()), ("Search", "platform-search"));
    let probes: Vec<_> =
        service.probes.iter().map(|p| (p.id.as_str(), p.interval.as_secs())).collect();
    assert_eq!(probes, [("search/query", 5)]);
    let [availability, latency, minutes] = &service.slos[..] else { panic!("{ids:?}") };
    assert_eq!(availability.objective.to_string(), "99.5%");
    assert_eq!(availability.display_name.as_deref(), Some("Queries are answered"));
    assert_eq!(availability.window, Window::Rolling(Duration::from_secs(30 * 86_400)));
    let policy = availability.policy.as_ref().expect("a policy");
    let pairs: Vec<_> = policy.pairs.iter().map(|p| (p.severity, p.name(), p.limit)).collect();
    let burn = |nano, or_equal| Limit::Burn { nano, or_equal };
    assert_eq!(
        pairs,
        [
            (Severity::Page, "1h for 5m".to_owned(), burn(14_400_000_000, true)),
            (Severity::Ticket, "3d for 1h".to_owned(), burn(1_000_000_000, false)),
        ]
    );
    let target = &availability.notify[..];
    assert_eq!(
        (target.len(), target[0].name.as_str(), target[0].target.as_str()),
        (1, "search-team", "slack")
    );
    assert_eq!(minutes.window.to_string(), "calendar month from 2026-01-01 (Europe/Berlin)");
    let minute = Duration::from_secs(60);
    let share = "95%".parse().expect("a share");
    assert_eq!(minutes.method, Method::Timeslices { slice: minute, objective: share });
    assert_eq!(minutes.policy, None);
    assert_eq!(latency.latency_under, Some(Duration::from_millis(300)));
    assert_eq!(latency.method, Method::RatioTimeslices { slice: minute * 5 });
    assert_eq!(latency.probes[0].as_str(), "search/query");
}

#[test]
fn a_service_of_either_language_takes_promises_of_both() {
    let catalog = catalog(include_str!("../../../slo-specs/openslo/mixed.yaml"));
    let (_, slo) = catalog.slos().next().expect("one");
    assert_eq!((slo.id.as_str(), slo.probes[0].as_str()), ("mail/submission", "mail/submission"));
    assert_eq!(slo.window.longest().as_secs(), 92 * 86_400);
}

#[test]
fn each_objective_of_a_ratio_is_an_slo_of_its_own() {
    let text = slo("objectives: [{target: 0.9, displayName: low}, {targetPercent: 99.95}]");
    let catalog = catalog(&text);
    let all: Vec<_> = catalog
        .slos()
        .map(|(_, s)| (s.id.to_string(), s.objective.ppb(), s.display_name.clone()))
        .collect();
    let expect = [
        ("web/s-1".to_owned(), 900_000_000, Some("low".to_owned())),
        ("web/s-2".to_owned(), 999_500_000, None),
    ];
    assert_eq!(all, expect);
}

#[test]
fn a_composite_is_made_of_its_objectives() {
    let catalog = catalog(include_str!("../../../slo-specs/openslo/journey.yaml"));
    let service = catalog.service("shop").expect("there");
    let ids: Vec<_> = service.slos.iter().map(|slo| slo.id.name()).collect();
    let (all, minutes) = ids.split_at(4);
    assert_eq!(all, ["journey", "journey-1", "journey-2", "journey-3"]);
    assert_eq!(minutes, ["journey-minutes", "journey-minutes-1", "journey-minutes-2"]);
    let journey = &service.slos[0];
    let parts: Vec<_> =
        journey.parts.iter().map(|p| (p.slo.name().to_owned(), p.weight.to_string())).collect();
    let part = |name: &str, weight: &str| (name.to_owned(), weight.to_owned());
    assert_eq!(parts, [part("journey-1", "1"), part("journey-2", "1"), part("journey-3", "0.5")]);
    assert_eq!(journey.objective.to_string(), "99.9%", "the strictest");
    assert_eq!(journey.mean_outage, crate::model::evidence::DECLARED_OUTAGE);
    let probes: Vec<_> = journey.probes.iter().map(|probe| probe.as_str()).collect();
    assert_eq!(probes, ["shop/browse", "shop/login", "shop/pay"]);
    assert!(journey.policy.is_some() && !journey.notify.is_empty());
    for (slo, objective) in service.slos[1..4].iter().zip(["99.9%", "99.9%", "99%"]) {
        assert_eq!(slo.objective.to_string(), objective);
        assert_eq!((&slo.policy, slo.notify.len(), slo.parts.len()), (&None, 0, 0), "told as one");
        assert_eq!(slo.window, journey.window);
    }
    assert_eq!(service.slos[3].latency_under, Some(Duration::from_millis(500)));
    assert_eq!(service.promise().map(|slo| slo.id.name()), Some("journey-minutes-2"));
    assert!(matches!(service.slos[4].method, Method::Timeslices { .. }));
}

#[test]
fn a_single_objective_with_its_own_indicator_is_an_ordinary_slo() {
    let sli = document("SLI", "x", &ratio(PROBE));
    let text = slo("indicatorRef: x").replace("indicatorRef: x, ", "");
    let text = text.replace("{target: 0.99}", "{target: 0.99, indicatorRef: x}") + &sli;
    let slo = only(&text);
    assert_eq!((slo.id.as_str(), slo.parts.len(), slo.probes.len()), ("web/s", 0, 1));
}

#[test]
fn thresholds_on_a_probe_are_latencies_in_seconds_to_the_microsecond() {
    let under = |op: &str, value: &str| {
        let text = slo(&format!(
            "indicator: {{metadata: {{name: p}}, spec: {{thresholdMetric: {PROBE}}}}}, \
             objectives: [{{op: {op}, value: {value}, target: 0.99}}]"
        ));
        only(&text).latency_under.map(|under| under.as_micros())
    };
    assert_eq!(under("lte", "0.25"), Some(250_000));
    assert_eq!(under("lt", "0.25"), Some(249_999));
    assert_eq!(under("lte", "1"), Some(1_000_000));
    assert_eq!(under("lt", "0.0000015"), Some(1));
}

#[test]
fn metrics_of_a_prometheus_arrive_in_the_model_and_are_told_to_be_unmeasured() {
    let query = |text: &str| {
        format!("{{metricSource: {{metricSourceRef: prom, spec: {{query: {text}}}}}}}")
    };
    let source =
        document("DataSource", "prom", "{type: Prometheus, connectionDetails: {server: main}}");
    let measure = |spec: &str, objective: &str| {
        let text = slo(&format!(
            "indicator: {{metadata: {{name: p}}, spec: {spec}}}, objectives: [{objective}]"
        )) + &source;
        let told = match spec.contains("raw") {
            true => "web/s is a ratio that Prometheus `main` works out",
            false => "no Prometheus \"main\" in the operator's config",
        };
        check(&text, &[format!("warning metadata.name: {told}").as_str()]);
        let Some(Source::Prometheus(asked)) = only(&text).source else { panic!("metrics") };
        asked
    };
    let target = "{target: 0.9}";
    let (a, b) = (query("up"), query("all"));
    let good =
        measure(&format!("{{ratioMetric: {{counter: true, good: {a}, total: {b}}}}}"), target);
    assert_eq!((good.server.as_str(), good.counter), ("main", true));
    assert_eq!(good.measure, Measure::Good { good: "up".to_owned(), total: "all".to_owned() });
    let bad = measure(&format!("{{ratioMetric: {{bad: {a}, total: {b}}}}}"), target);
    assert_eq!(bad.measure, Measure::Bad { bad: "up".to_owned(), total: "all".to_owned() });
    let stored = measure(&format!("{{ratioMetric: {{raw: {a}, rawType: failure}}}}"), target);
    assert_eq!(stored.measure, Measure::Ratio { query: "up".to_owned(), of_good: false });
    let value = measure(&format!("{{thresholdMetric: {a}}}"), "{op: gt, value: 1.5, target: 0.9}");
    let expect =
        Measure::Threshold { query: "up".to_owned(), op: Compare::Above, nano: 1_500_000_000 };
    assert_eq!(value.measure, expect);
}

#[test]
fn windows_are_those_of_the_shorthand() {
    let window = |text: &str| only(&slo(&format!("timeWindow: [{text}]"))).window;
    let days = |n: u64| Window::Rolling(Duration::from_secs(n * 86_400));
    assert_eq!(window("{duration: 4w, isRolling: true}"), days(28));
    assert_eq!(window("{duration: 1M, isRolling: true}"), days(30));
    assert_eq!(window("{duration: 1Q, isRolling: true}"), days(90));
    let calendar = |duration: &str| {
        window(&format!(
            "{{duration: {duration}, calendar: {{startTime: 2026-01-05 00:00:00, timeZone: Europe/Berlin}}}}"
        ))
    };
    let hours = |duration| calendar(duration).longest().as_secs() / 3_600;
    assert_eq!((hours("1d"), hours("2w"), hours("1M")), (25, 14 * 24 + 1, 31 * 24 + 1));
    assert_eq!(calendar("1Y").shortest().as_secs(), 365 * 86_400);
}
