//! The published figures, the worked case, and what each gate says when it fails.

use std::time::Duration;

use serde_json::Value;

use super::support::{NOTICE, Party};
use super::*;
use crate::engine::status::Coverage;
use crate::model::budget::Counted;
use crate::model::catalog::{Support, SupportHours};
use crate::model::evidence::{Evidence, Record};
use crate::model::{Catalog, SloId, Timestamp};
use crate::spec::{Options, SourceFile, load};

fn catalog(yaml: &str) -> Catalog {
    let file = SourceFile { path: "a.yaml".into(), root: "".into(), content: yaml.into() };
    match load(&[file], &Options::default()) {
        Ok(loaded) => loaded.catalog,
        Err(problems) => panic!("{}", problems.iter().map(|p| p.render(false)).collect::<String>()),
    }
}

fn tier(name: &str, rest: &str) -> String {
    format!(
        "---\n{{apiVersion: nines/v1, kind: SupportTier, metadata: {{name: {name}}}, spec: {{{rest}}}}}\n"
    )
}

/// A service that promises this over 30 days, with more keys.
fn service(name: &str, objective: &str, every: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: nines/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  \
         probes: [{{name: p, tcp: {{address: \"h:1\"}}, interval: {every}}}]\n  \
         slos: [{{name: availability, objective: {objective}, window: 30d}}]\n  {rest}\n"
    )
}

fn application(objective: &str, depends_on: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: nines/v1\nkind: Application\nmetadata: {{name: shop}}\nspec:\n  \
         needs: {{objective: {objective}, window: 30d}}\n  dependsOn: {depends_on}\n  {rest}\n"
    )
}

/// What a fit without history says of the only application.
fn fit_of(yaml: &str) -> Value {
    let catalog = catalog(yaml);
    let ground = Ground::new(&catalog, &|_| None);
    render::fits_json(&assess_all(&ground))["applications"][0].clone()
}

fn gate<'v>(fit: &'v Value, name: &str) -> &'v Value {
    let gates = fit["gates"].as_array().expect("gates");
    gates.iter().find(|gate| gate["gate"] == name).expect(name)
}

/// Five nines over 30 days, probed every 10 s from one place, 24x7 with 15 minutes to answer.
fn five_nines() -> String {
    [
        tier("gold", "hours: 24x7, acknowledge: 15m, repair: 0s"),
        service("core", "99.999%", "10s", "support: gold"),
        application("99.999%", "[{service: core}]", "support: {hours: 24x7, acknowledge: 15m}"),
    ]
    .concat()
}

#[test]
fn five_nines_with_a_human_in_the_loop_are_offered_three_and_a_half() {
    let fit = fit_of(&five_nines());
    let number = |name: &str| gate(&fit, name)["number"].as_str().expect(name).to_owned();
    let answer = |name: &str| gate(&fit, name)["answer"].as_str().expect(name).to_owned();
    assert_eq!((answer("arithmetic"), number("arithmetic")), ("pass".into(), "25.92".into()));
    // Exactly the budget: it fits, and nothing is left.
    assert_eq!((answer("dependencies"), number("dependencies")), ("pass".into(), "0.99999".into()));
    assert_eq!((answer("own-share"), number("own-share")), ("unknown".into(), "0".into()));
    assert_eq!(answer("redundancy"), "pass");
    assert_eq!((answer("support"), number("support")), ("fail".into(), "960".into()));
    assert_eq!(gate(&fit, "support")["times_budget"], "37.0");
    assert_eq!(gate(&fit, "support")["ceiling"], "0.999629629");
    // One lost probe is 38.6 % of the budget; it takes one every 0.518 s; 26 s are seen for sure.
    assert_eq!((answer("detection"), number("detection")), ("fail".into(), "0.38580247".into()));
    assert_eq!(gate(&fit, "detection")["interval_max_seconds"], "0.5184");
    assert_eq!(gate(&fit, "detection")["budget_outage_seen"], "1");
    assert_eq!((answer("observation"), number("observation")), ("fail".into(), "25".into()));
    assert_eq!(answer("evidence"), "unknown");
    let seconds = |key: &str| -> f64 {
        gate(&fit, "evidence")[key].as_str().and_then(|text| text.parse().ok()).expect(key)
    };
    assert_eq!(format!("{:.1}", seconds("clean_probe_seconds") / 86_400.0), "34.7");
    assert_eq!(format!("{:.2}", seconds("clean_outage_seconds") / 86_400.0 / 365.0), "2.85");
    assert_eq!(gate(&fit, "evidence")["windows_met_by_luck"], "0.92");
    assert_eq!((answer("alert-sanity"), number("alert-sanity")), ("fail".into(), "2.5".into()));
    assert_eq!(answer("incident-budget"), "unknown");
    assert_eq!(fit["fit"], "fail");
    // 99.95 %: 21.6 min, of which 5.6 are left for the repair.
    let offer = &fit["offer"];
    let offered =
        ["objective", "budget_seconds", "repair_at_most_seconds"].map(|key| offer[key].clone());
    assert_eq!(offered, ["0.9995", "1296", "336"].map(Value::from));
    let conditions = serde_json::json!(["own-share", "evidence", "incident-budget"]);
    assert_eq!(offer["conditions"], conditions);
}

#[test]
fn one_outage_caps_what_support_can_carry() {
    let check = |hours: SupportHours, acknowledge_s: u64, expect: [&str; 3]| {
        for (repair, expect) in [0, 15, 60].into_iter().zip(expect) {
            let (acknowledge, repair) =
                (Duration::from_secs(acknowledge_s), Duration::from_secs(repair * 60));
            let support = Support { hours, acknowledge, repair };
            let party = Party { who: "x".into(), detect: NOTICE, support };
            let month = Duration::from_secs(30 * 86_400);
            let text = support::ceiling(party.total(), month).expect("a number");
            // Published figures are rounded, ours are cut.
            let percent = text.parse::<f64>().expect("a ratio") * 100.0;
            assert_eq!(format!("{:.4}", percent + 4e-8), expect, "{hours} {acknowledge_s} s");
        }
    };
    let always = SupportHours::Always;
    check(always, 60, ["99.9954", "99.9606", "99.8565"]);
    check(always, 300, ["99.9861", "99.9514", "99.8472"]);
    check(always, 900, ["99.9630", "99.9282", "99.8241"]);
    check(always, 1_800, ["99.9282", "99.8935", "99.7894"]);
    check(always, 3_600, ["99.8588", "99.8241", "99.7199"]);
    check(always, 14_400, ["99.4421", "99.4074", "99.3032"]);
    let office = SupportHours::Weekly { hours: 8, days: 5 };
    check(office, 0, ["97.8813", "97.8466", "97.7424"]);
}

#[test]
fn a_year_allows_so_many_outages() {
    let minutes = [1, 5, 15, 20, 30, 60, 240];
    let check = |objective: &str, expect: [f64; 7]| {
        let objective: Objective = objective.parse().expect("an objective");
        for (minutes, expect) in minutes.into_iter().zip(expect) {
            let repair = Duration::from_secs(minutes * 60);
            let n = incident_budget::per_year(objective, repair).expect("a number") as f64 / 1e3;
            // To the digits that are published.
            assert!((n - expect).abs() < 0.006 * expect.max(0.2), "{objective} {minutes}: {n}");
        }
    };
    check("99.9%", [525.6, 105.1, 35.0, 26.3, 17.5, 8.76, 2.19]);
    check("99.95%", [262.8, 52.6, 17.5, 13.1, 8.76, 4.38, 1.10]);
    check("99.99%", [52.6, 10.5, 3.50, 2.63, 1.75, 0.876, 0.219]);
    check("99.999%", [5.26, 1.05, 0.350, 0.263, 0.175, 0.088, 0.022]);
}

#[test]
fn noise_pages_are_near_those_of_a_simulation() {
    let slo = catalog(&service("a", "99%", "10s", "description: x")).services[0].slos[0].clone();
    let noise = |objective: &str, seconds: u64| {
        let slo = crate::model::Slo { objective: objective.parse().expect("valid"), ..slo.clone() };
        alert_sanity::noise_pages(&slo, &[Duration::from_secs(seconds)])
    };
    // Simulated pages in 30 days of a service exactly at its objective. Ours is an estimate from
    // above; where pages come often, some that it counts fall into one.
    let cells = [
        ("99.9%", 10, 0.01),
        ("99.9%", 30, 9.6),
        ("99.9%", 60, 42.7),
        ("99.95%", 10, 2.0),
        ("99.95%", 30, 43.7),
        ("99.95%", 60, 21.5),
        ("99.99%", 1, 0.05),
        ("99.99%", 5, 6.0),
        ("99.99%", 10, 25.5),
        ("99.99%", 30, 8.5),
        ("99.999%", 1, 25.7),
        ("99.999%", 5, 5.7),
        ("99.999%", 10, 2.5),
        ("99.999%", 30, 0.9),
        ("99.999%", 60, 0.4),
    ];
    for (objective, seconds, simulated) in cells {
        let shown = noise(objective, seconds);
        let (least, most) = (simulated * 0.9 - 0.06, simulated * 1.25 + 0.05);
        assert!(shown >= least && shown <= most, "{objective} {seconds} s: {shown}");
    }
}

/// The application of the composition's worked example, with half of its budget reserved.
fn ordinary() -> String {
    let rest = "description: x";
    [
        service("api", "99.95%", "1s", rest),
        service("cache", "99%", "1s", rest),
        service("database", "99.99%", "1s", rest),
        service("dns", "99.999%", "1s", rest),
        service("ingress-a", "99.95%", "1s", rest),
        service("ingress-b", "99.95%", "1s", rest),
        application(
            "99.999%",
            "[{service: api}, {service: database}, {service: dns}, {service: cache, impact: soft}, \
             {need: 1, of: [{service: ingress-a}, {service: ingress-b}], commonCause: 2%}]",
            "reserve: 50%",
        ),
    ]
    .concat()
}

#[test]
fn offenders_are_named_and_told_what_they_would_have_to_offer() {
    let fit = fit_of(&ordinary());
    let dependencies = gate(&fit, "dependencies");
    assert_eq!(dependencies["answer"], "fail");
    assert_eq!(dependencies["budgets_lost"], "62.02");
    let group = "1 of ingress-a, ingress-b";
    let offenders = serde_json::json!({
        "worst": ["api", "database", group],
        "independent": ["api", "database", group],
        "best": ["api", "database"],
    });
    assert_eq!(dependencies["offenders"], offenders);
    assert_eq!(
        dependencies["sentence"],
        "what it depends on leaves 99.937 % of the 99.999 % that is needed (worst 99.88 %, best \
         99.95 %), 62.02 times the budget: each of api and database alone loses more than the \
         whole budget"
    );
    // Four things, half of the budget reserved.
    let required: Vec<&Value> =
        fit["dependencies"].as_array().expect("terms").iter().map(|t| &t["required"]).collect();
    assert_eq!(required, ["0.99999875"; 4]);
    assert_eq!(fit["soft"], serde_json::json!(["cache"]));
    assert_eq!(gate(&fit, "own-share")["answer"], "fail");
    let redundancy = gate(&fit, "redundancy");
    assert_eq!(redundancy["answer"], "fail");
    let largest = redundancy["number"].as_str().expect("a share");
    assert!(largest.starts_with("0.0195"), "{largest}");
    assert!(redundancy["sentence"].as_str().expect("words").contains("at most 1.95 % of common"));
}

#[test]
fn a_share_that_nobody_declared_is_unknown_and_not_wrong() {
    let two = [
        service("a", "99.9%", "1s", "description: x"),
        service("b", "99.9%", "1s", "description: x"),
    ];
    let group = |share: &str| {
        let of = format!("[{{need: 1, of: [{{service: a}}, {{service: b}}]{share}}}]");
        let fit = fit_of(&[two.concat(), application("99.999%", &of, "reserve: 0%")].concat());
        gate(&fit, "redundancy")["answer"].as_str().expect("an answer").to_owned()
    };
    assert_eq!(group(""), "unknown");
    assert_eq!(group(", commonCause: 1%"), "fail");
    assert_eq!(group(", commonCause: 0.9%"), "pass");
}

#[test]
fn what_promises_nothing_is_unknown_unless_the_rest_fails_already() {
    let silent = "---\n{apiVersion: nines/v1, kind: Service, metadata: {name: b}, spec: {}}\n";
    let answers = |objective: &str| {
        let a = service("a", objective, "1s", "description: x");
        let app = application("99.9%", "[{service: a}, {service: b}]", "reserve: 0%");
        let fit = fit_of(&[a, silent.to_owned(), app].concat());
        ["dependencies", "own-share", "detection", "alert-sanity"]
            .map(|name| gate(&fit, name)["answer"].as_str().expect(name).to_owned())
    };
    assert_eq!(answers("99.99%"), ["unknown"; 4]);
    assert_eq!(answers("99%"), ["fail", "fail", "unknown", "unknown"]);
}

/// A month of history: so many outages, so much bad time, and a supported availability.
fn measured(days: u64, outages: u64, bad_seconds: u64, supported_ppb: u32) -> Measured {
    let observed = Duration::from_secs(days * 86_400);
    let counted = Counted { good: days * 86_400 - bad_seconds, bad: bad_seconds };
    let record = Record { observed, outages, outage_time: Duration::from_secs(bad_seconds) };
    Measured {
        at: Timestamp::from_secs(1_795_348_800),
        counted,
        unknown: 0,
        coverage: Coverage { numerator: 1, denominator: 1 },
        evidence: Evidence::NotYetProven,
        supported_ppb: Some(supported_ppb),
        assumed_outage: record.mean_outage(Duration::from_secs(300)),
        record,
    }
}

/// Fits of an application at 99.9 % on one service probed every second, with this history.
fn with_history(history: Measured) -> Value {
    let yaml = [
        tier("gold", "hours: 24x7, acknowledge: 5m, repair: 20m"),
        service("a", "99.95%", "1s", "support: gold"),
        application("99.9%", "[{service: a}]", "support: {hours: 24x7, acknowledge: 5m}"),
    ];
    let catalog = catalog(&yaml.concat());
    let id: SloId = "a/availability".parse().expect("an id");
    let ground = Ground::new(&catalog, &|asked| (*asked == id).then_some(history));
    render::fits_json(&assess_all(&ground))["applications"][0].clone()
}

#[test]
fn history_decides_what_declarations_cannot() {
    let answers = |history| {
        let fit = with_history(history);
        ["evidence", "incident-budget", "observation"]
            .map(|name| gate(&fit, name)["answer"].as_str().expect(name).to_owned())
    };
    assert_eq!(answers(measured(60, 0, 0, 999_780_000)), ["pass", "pass", "pass"]);
    assert_eq!(answers(measured(20, 0, 0, 998_000_000)), ["unknown", "unknown", "pass"]);
    // Nine outages of five minutes in 30 days: 45 minutes of 43.
    assert_eq!(answers(measured(30, 9, 2_700, 995_000_000)), ["fail", "fail", "pass"]);
    let blind = Measured { unknown: 2_593, ..measured(60, 0, 0, 999_780_000) };
    assert_eq!(answers(blind), ["pass", "pass", "fail"]);
}

#[test]
fn the_wait_for_evidence_is_that_of_the_rule() {
    // 3.788 means of 300 s without an outage, against a budget of 0.1 %, after 5 days of them.
    let fit = with_history(measured(5, 0, 0, 997_000_000));
    let wait: f64 = gate(&fit, "evidence")["remaining_seconds"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a number");
    assert!((wait - (3.788 * 300.0 / 0.001 - 5.0 * 86_400.0)).abs() < 200.0, "{wait}");
}

#[test]
fn without_history_the_longest_outage_that_a_needed_service_declares_counts() {
    let declares = |name: &str, length: &str| {
        let of = format!("window: 30d, meanOutage: {length}");
        service(name, "99.99%", "1s", "description: x").replace("window: 30d", &of)
    };
    let told = |needs: &str| {
        let all = [declares("a", "30s"), declares("b", "90s"), declares("c", "1d")].concat();
        let fit = fit_of(&(all + &application("99.9%", needs, "description: x")));
        gate(&fit, "evidence").clone()
    };
    // -ln(5 %) m / b.
    for (needs, expect, words) in [
        ("[{service: a}]", "89872", "if outages last 30 s"),
        ("[{service: a}, {service: b}]", "269616", "if outages last 1 min 30 s"),
    ] {
        let gate = told(needs);
        assert_eq!(gate["clean_outage_seconds"], expect, "{gate}");
        let sentence = gate["sentence"].as_str().unwrap_or_default();
        assert!(sentence.ends_with(words), "{gate}");
    }
}

#[test]
fn promises_and_measurements_stand_side_by_side() {
    let fit = with_history(measured(60, 2, 60, 999_000_000));
    let of = &fit["dependencies"][0]["of"][0];
    assert_eq!((&of["service"], &of["promise"]), (&"a".into(), &"0.9995".into()));
    assert_eq!(of["measured"]["sli"], "0.999988425");
    assert_eq!(of["measured"]["supported"], "0.999");
}

#[test]
fn a_service_learns_whom_it_leaves_without_support_and_what_would_help() {
    let app = |name: &str, objective: &str, of: &str| {
        application(objective, of, "reserve: 0%").replace("name: shop", &format!("name: {name}"))
    };
    let rest = "description: x";
    let yaml = [
        service("database", "99.9%", "1s", rest),
        service("dns", "99.99%", "1s", rest),
        service("disk", "99%", "1s", rest),
        service("store", "99.9%", "1s", "dependsOn: [{service: disk}]"),
        app("easy", "99%", "[{service: database}]"),
        app("firm", "99.9%", "[{service: database}, {service: dns}]"),
        app("hard", "99.99%", "[{service: database}, {service: dns}]"),
        app("soft", "99.99%", "[{service: database, impact: soft}, {service: dns}]"),
        app("tight", "99.95%", "[{service: database}]"),
    ];
    let catalog = catalog(&yaml.concat());
    let ground = Ground::new(&catalog, &|_| None);
    let json = render::service_json(&service::assess(&ground, "database").expect("there"));
    let row = |name: &str, answer: &str, required: Value| {
        (Value::from(name), Value::from(answer), required)
    };
    let rows: Vec<_> = json["applications"]
        .as_array()
        .expect("applications")
        .iter()
        .map(|one| (one["application"].clone(), one["answer"].clone(), one["required"].clone()))
        .collect();
    assert_eq!(
        rows,
        [
            row("easy", "pass", Value::Null),
            row("firm", "fail", "0.99909991".into()),
            // DNS takes all of its budget already.
            row("hard", "fail", Value::Null),
            row("tight", "fail", "0.9995".into()),
        ]
    );
    let fixes = serde_json::json!([{"objective": "0.9995", "supports": 2}]);
    assert_eq!(json["fixes"], fixes);
    assert_eq!(json["possible"], "pass");
    let store = render::service_json(&service::assess(&ground, "store").expect("there"));
    assert_eq!(
        (&store["possible"], &store["composition"]["worst"]),
        (&"fail".into(), &"0.989".into())
    );
    let told = service::impossible(&ground);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1, "promises 99.9 %, but what store depends on leaves at best 99 %");
    assert!(service::assess(&ground, "nothing").is_none());
}

#[test]
fn check_warns_of_every_gate_that_declarations_fail() {
    let catalog = catalog(&five_nines());
    let ground = Ground::new(&catalog, &|_| None);
    let told: Vec<String> = warnings(&ground).into_iter().map(|(_, one)| one).collect();
    let gates: Vec<&str> = told.iter().map(|one| one.split(": ").nth(1).expect("a gate")).collect();
    assert_eq!(gates, ["support", "detection", "observation", "alert-sanity"]);
    assert!(told[0].starts_with("shop: support: core (gold) takes 16 min (24x7: 1 min to notice, 15 min to answer), 37.0 times the 25.92 s that are allowed; one such outage leaves 99.962 %"), "{}", told[0]);
}
