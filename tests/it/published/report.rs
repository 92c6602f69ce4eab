//! What `nines report` says of worst windows, zones, unknown time and single failures.

use std::fmt::Write as _;

use serde_json::Value;

use super::{ask, close, number, service};

/// Events of a service `shop` from second to second after `begin`, one every `every` seconds.
fn events(begin: i64, parts: &[(i64, i64, u64, &str)]) -> String {
    let at = |second: i64| nines::model::Timestamp::from_secs(begin + second);
    let mut text = String::new();
    for (from, to, every, counts) in parts {
        writeln!(
            text,
            "{{\"slo\":\"shop/availability\",\"from\":\"{}\",\"to\":\"{}\",\"every\":\"{every}s\",\
             {counts}}}",
            at(*from),
            at(*to)
        )
        .expect("memory");
    }
    text
}

/// 2026-11-01T00:00:00Z.
const NOVEMBER: i64 = 1_793_491_200;
const REPORT: [&str; 4] = ["--service", "shop", "--events", "-"];

#[test]
fn report_says_the_worst_window_of_any_length() {
    let specs = service("shop", "99.9%", 60, "30d", "");
    let curve = |minutes: &[(u64, u64)], wanted: &str| -> Vec<(u64, u64)> {
        let mut parts = Vec::new();
        let texts: Vec<String> =
            minutes.iter().map(|(good, bad)| format!("\"good\":{good},\"bad\":{bad}")).collect();
        for (n, text) in (0..).zip(&texts) {
            parts.push((n * 60, n * 60 + 60, 60, text.as_str()));
        }
        let args = [&REPORT[..], &["--period", "2026-11-01", "--worst", wanted]].concat();
        let told = ask("report", &specs, &events(NOVEMBER, &parts), &args);
        let worst = told["slos"][0]["worst"].as_array().expect("a curve");
        let one = |one: &Value| {
            let [good, bad] = ["good", "bad"].map(|key| one[key].as_u64().expect("a count"));
            (good, good + bad)
        };
        worst.iter().map(one).collect()
    };
    let same = |(good, all): (u64, u64), (a, b): (u64, u64)| good * b == a * all;
    let good = [10, 10, 5, 0, 10, 10, 10, 8, 10, 10, 10, 10];
    let minutes: Vec<(u64, u64)> = good.into_iter().map(|good| (good, 10 - good)).collect();
    let found = curve(&minutes, "3m,4m,6m,7m,8m,9m,11m,12m");
    let expect = [
        (0, 1),
        (1, 4),
        (1, 2),
        (5, 8),
        (7, 10),
        (43, 60),
        (53, 70),
        (63, 80),
        (73, 90),
        (83, 100),
        (93, 110),
        (103, 120),
    ];
    assert_eq!(found.len(), expect.len());
    assert!(found.iter().zip(expect).all(|(got, expect)| same(*got, expect)), "{found:?}");
    // One day with four outages: a window of 3,620 s is worse than one of 3,600 s.
    let mut parts = Vec::new();
    let mut now = 0;
    for (from, to) in [(100, 160), (400, 430), (3_600, 3_720), (50_000, 50_010)] {
        parts.push((now, from, 1, "\"outcome\":\"good\""));
        parts.push((from, to, 1, "\"outcome\":\"bad\""));
        now = to;
    }
    parts.push((now, 86_400, 1, "\"outcome\":\"good\""));
    let args = [&REPORT[..], &["--period", "2026-11-01", "--worst", "330s, 3620s"]].concat();
    let told = ask("report", &specs, &events(NOVEMBER, &parts), &args);
    let worst = |seconds: u64| {
        let all = told["slos"][0]["worst"].as_array().expect("a curve").iter();
        let one = all.clone().find(|one| one["seconds"] == seconds).expect("of this length");
        (one["bad"].as_u64().expect("a count"), one["sli"].as_str().expect("a ratio").to_owned())
    };
    for (seconds, down) in [(60, 60), (120, 120), (330, 120), (600, 120), (7_200, 210)] {
        assert_eq!(worst(seconds).0, down, "{seconds} s");
    }
    assert_eq!(worst(3_600), (190, "0.947222222".to_owned()));
    assert_eq!(worst(3_620), (210, "0.941988950".trim_end_matches('0').to_owned()));
}

#[test]
fn report_gives_periods_the_length_that_their_zone_gives_them() {
    let specs = service("shop", "99.999%", 60, "30d", "");
    let rows = [
        ("2026-03", "Europe/Berlin", 2_674_800, 26.748),
        ("2026-10", "Europe/Berlin", 2_682_000, 26.82),
        ("2026-03", "America/New_York", 743 * 3_600, 26.748),
        ("2026-11", "America/New_York", 2_595_600, 25.956),
        ("2026-04", "Australia/Lord_Howe", 2_593_800, 25.938),
        ("2026-10", "Australia/Lord_Howe", 2_676_600, 26.766),
        ("2026-03", "UTC", 744 * 3_600, 26.784),
        ("2026-03", "Asia/Kolkata", 744 * 3_600, 26.784),
        ("2026-02", "UTC", 672 * 3_600, 24.192),
        ("2028-02", "UTC", 696 * 3_600, 25.056),
        ("2026-03-29", "Europe/Berlin", 23 * 3_600, 0.828),
        ("2026-10-25", "Europe/Berlin", 25 * 3_600, 0.9),
        ("2026-03-08", "America/New_York", 23 * 3_600, 0.828),
        ("2026-11-01", "America/New_York", 25 * 3_600, 0.9),
        ("2026-Q1", "Europe/Berlin", 2_159 * 3_600, 77.724),
        ("2026-Q1", "America/New_York", 2_159 * 3_600, 77.724),
    ];
    for (period, zone, seconds, budget) in rows {
        let args = [&REPORT[..], &["--period", period, "--time-zone", zone]].concat();
        // An event after it all, so that the period is over.
        let told =
            ask("report", &specs, &events(1_900_000_000, &[(0, 60, 60, "\"good\":1")]), &args);
        let moment = |key: &str| -> i64 {
            let text = told["period"][key].as_str().expect("a moment");
            let at: nines::model::Timestamp = text.parse().expect("a moment");
            at.micros() / 1_000_000
        };
        assert_eq!(moment("end") - moment("start"), seconds, "{period} {zone}");
        let total = number(&told["slos"][0]["budget"]["total_seconds"]);
        close(total, budget, 1e-9, &format!("{period} {zone}"));
    }
}

#[test]
fn report_says_what_unknown_time_leaves_open() {
    let month = 30 * 86_400;
    let (good, unknown) = ("\"outcome\":\"good\"", "\"outcome\":\"unknown\"");
    let parts = [(0, 1_000, 1, good), (1_000, 1_030, 1, unknown), (1_030, month, 1, good)];
    let args = [&REPORT[..], &["--period", "2026-11"]].concat();
    for (objective, whatever) in [("99.999%", "open"), ("99.99%", "met")] {
        let specs = service("shop", objective, 1, "30d", "");
        let told = ask("report", &specs, &events(NOVEMBER, &parts), &args);
        let slo = &told["slos"][0];
        assert_eq!((&slo["scheduled"], &slo["unknown"]), (&2_592_000.into(), &30.into()));
        assert_eq!((&slo["sli"], &slo["sli_high"]), (&"1".into(), &"1".into()));
        assert_eq!(slo["sli_low"], "0.999988425", "99.9988426 %, cut");
        assert_eq!(slo["whatever_unknown"], whatever, "{objective}");
    }
}

#[test]
fn report_says_what_each_rule_makes_of_single_failures() {
    let args = [&REPORT[..], &["--period", "2026-11"]].concat();
    for (bad, expect) in [
        (0, [1.155_75e-5, 1.043_79e-5, 7.410_19e-6]),
        (3, [2.991_35e-5, 2.896_03e-5, 2.713_55e-5]),
        (26, [1.391_82e-4, 1.383_01e-4, 1.369_45e-4]),
    ] {
        let (mut parts, mut now) = (Vec::new(), 0);
        for n in 0..bad {
            let at = 10 + n * 4_000;
            parts.push((now, at, 10, "\"outcome\":\"good\""));
            parts.push((at, at + 10, 10, "\"outcome\":\"bad\""));
            now = at + 10;
        }
        parts.push((now, 30 * 86_400, 10, "\"outcome\":\"good\""));
        let specs = service("shop", "99.9%", 10, "30d", "");
        let told = ask("report", &specs, &events(NOVEMBER, &parts), &args);
        let singly = &told["slos"][0]["evidence"]["singly"];
        assert_eq!((&singly["bad"], &singly["total"]), (&bad.into(), &259_200.into()));
        let rules = ["clopper_pearson", "wilson", "jeffreys"];
        for (rule, expect) in rules.into_iter().zip(expect) {
            let got = number(&singly["lost_at_most"][rule]);
            close(got / expect, 1.0, 1e-5, &format!("{rule} {bad}"));
        }
        close(number(&singly["likely_met_from"]) * 100.0, 99.917_57, 1e-5, "likely");
    }
}
