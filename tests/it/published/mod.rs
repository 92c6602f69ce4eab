//! Published tables, read off the command line: what `nines check` says of evidence, `nines fit`
//! of structures, people and incidents, `nines report` of periods and what was not measured.

mod fit;
mod report;

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::daemon::BINARY;
use crate::harness::process::run;
use crate::harness::scratch;

const LIMIT: Duration = Duration::from_secs(120);

/// What a command says of these specs, given these events.
fn ask(command: &str, specs: &str, events: &str, args: &[&str]) -> Value {
    let place = scratch("published");
    let path = place.path().join("specs.yaml");
    std::fs::write(&path, specs).expect("writable");
    let mut asked = Command::new(BINARY);
    asked.arg(command).arg("--specs").arg(&path).args(["--format", "json"]).args(args);
    let ran = run("nines", &mut asked, events.as_bytes(), LIMIT);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    serde_json::from_str(&ran.stdout).expect("JSON")
}

/// A service that is probed so often and promises this over this window.
fn service(name: &str, objective: &str, seconds: u64, window: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: nines/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  probes: \
         [{{name: p, tcp: {{address: \"h:1\"}}, interval: {seconds}s, timeout: 1s}}]\n  slos: \
         [{{name: availability, objective: {objective}, window: {window}, alerting: none}}]\n\
         {rest}"
    )
}

fn promise(name: &str, objective: &str, needs: &str) -> String {
    let rest = if needs.is_empty() { String::new() } else { format!("  dependsOn: [{needs}]\n") };
    service(name, objective, 1, "30d", &rest)
}

fn application(name: &str, objective: &str, needs: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: nines/v1\nkind: Application\nmetadata: {{name: {name}}}\nspec:\n  needs: \
         {{objective: {objective}, window: 30d}}\n  dependsOn: [{needs}]\n{rest}"
    )
}

/// Decimal text as a number.
fn number(value: &Value) -> f64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    text.parse().expect("a number")
}

/// That a figure is the published one, to its last digit; ours may be cut and not rounded.
fn close(got: f64, expect: f64, digit: f64, what: &str) {
    assert!((got - expect).abs() <= digit * 1.01, "{what}: {got}, not {expect}");
}

#[test]
fn check_says_how_many_probes_show_an_objective() {
    let one_look: [(&str, &str, &[u64]); 14] = [
        ("99%", "0.95", &[299, 473, 628, 773, 913, 1_049]),
        ("99.5%", "0.95", &[598, 947, 1_258, 1_549, 1_829, 2_100]),
        ("99.9%", "0.95", &[2_995, 4_742, 6_294, 7_752, 9_151, 10_511]),
        ("99.95%", "0.95", &[5_990, 9_486, 12_590, 15_505, 18_305, 21_024]),
        ("99.99%", "0.95", &[29_956, 47_437, 62_956, 77_535, 91_533, 105_128]),
        ("99.995%", "0.95", &[59_914, 94_876, 125_914, 155_071, 183_068, 210_258]),
        ("99.999%", "0.95", &[299_572, 474_385, 629_578, 775_364, 915_350, 1_051_301]),
        ("99.9%", "0.9", &[2_302, 3_889, 5_321, 6_679]),
        ("99.999%", "0.9", &[230_258, 388_971, 532_231, 668_077]),
        ("99.9%", "0.99", &[4_603, 6_636, 8_403, 10_042]),
        ("99.999%", "0.99", &[460_515, 663_833, 840_592, 1_004_509]),
        ("99.9%", "0.975", &[3_688, 5_570, 7_223, 8_765]),
        ("99.99%", "0.975", &[36_887, 55_715, 72_245, 87_670]),
        ("99.999%", "0.975", &[368_887, 557_163, 722_467, 876_725]),
    ];
    let any_time: [(&str, &str, &[u64]); 4] = [
        ("99.9%", "any_time", &[3_787, 6_655, 8_859, 10_825, 12_657, 14_401]),
        ("99.95%", "any_time", &[7_575, 13_312, 17_721, 21_653]),
        ("99.99%", "any_time", &[37_883, 66_570, 88_616, 108_281]),
        ("99.999%", "any_time", &[378_840, 665_720, 886_190, 1_082_840]),
    ];
    let rows: Vec<_> = one_look.into_iter().chain(any_time).collect();
    let named = |n: usize| format!("s{n:02}");
    let all: String =
        rows.iter().enumerate().map(|(n, row)| service(&named(n), row.0, 10, "30d", "")).collect();
    let told = ask("check", &all, "", &[]);
    for (n, (objective, rule, expect)) in rows.iter().enumerate() {
        let needed = &told["slos"][n]["evidence"]["probes"][rule];
        let needed: Vec<u64> = needed.as_array().expect("a list")[..expect.len()]
            .iter()
            .map(|n| n.as_u64().expect("a count"))
            .collect();
        assert_eq!(needed, *expect, "{objective} {rule}");
    }
    let others = ["wilson", "jeffreys"].map(|rule| &told["slos"][2]["evidence"]["probes"][rule]);
    assert_eq!(others, [&Value::from(2_703), &Value::from(1_920)]);
    let units = |rule: &str| -> Vec<f64> {
        told["evidence_units"][rule].as_array().expect("a list").iter().map(number).collect()
    };
    let one_look = [2.9957, 4.7439, 6.2958, 7.7537, 9.1535, 10.5130];
    let any_time = [3.788, 6.657, 8.862, 10.828, 12.661, 14.405];
    for (rule, expect, digit) in [("one_look", one_look, 1e-4), ("any_time", any_time, 1e-3)] {
        for (got, expect) in units(rule).into_iter().zip(expect) {
            close(got, expect, digit, rule);
        }
    }
}

#[test]
fn check_says_how_long_that_takes_and_what_a_month_shows() {
    // Hours of clean time, or with one to three failures.
    let times: [(&str, u64, [f64; 4], f64); 8] = [
        ("99.9%", 5, [4.2, 6.6, 8.7, 10.8], 0.1),
        ("99.9%", 10, [8.3, 13.2, 17.5, 21.5], 0.1),
        ("99.9%", 30, [25.0, 40.0, 52.8, 64.8], 1.2),
        ("99.99%", 1, [8.3, 13.2, 17.5, 21.5], 0.1),
        ("99.99%", 60, [499.2, 789.6, 1_048.8, 1_291.2], 2.4),
        ("99.999%", 1, [84.0, 132.0, 175.2, 216.0], 2.4),
        ("99.999%", 10, [832.8, 1_317.6, 1_749.6, 2_152.8], 2.4),
        ("99.999%", 60, [4_992.0, 7_896.0, 10_488.0, 12_912.0], 24.0),
    ];
    let months: [(&str, u64, Option<u64>, u64, f64); 11] = [
        ("99.9%", 1, Some(2_508), 2_677, 99.905_67),
        ("99.9%", 10, Some(232), 287, 99.917_57),
        ("99.9%", 30, Some(70), 103, 99.930_04),
        ("99.9%", 60, Some(32), 55, 99.940_08),
        ("99.95%", 10, Some(110), 150, 99.962_29),
        ("99.99%", 1, Some(232), 287, 99.991_76),
        ("99.99%", 10, Some(17), 36, 99.995_05),
        ("99.99%", 60, Some(0), 9, 99.999_76),
        ("99.999%", 1, Some(17), 36, 99.999_51),
        ("99.999%", 5, Some(1), 10, 99.999_90),
        ("99.999%", 10, None, 6, 0.0),
    ];
    let mut all = String::new();
    for (n, (objective, every, ..)) in times.iter().enumerate() {
        all.push_str(&service(&format!("a{n:02}"), objective, *every, "30d", ""));
    }
    for (n, (objective, every, ..)) in months.iter().enumerate() {
        all.push_str(&service(&format!("b{n:02}"), objective, *every, "30d", ""));
    }
    let told = ask("check", &all, "", &[]);
    for (n, (objective, every, expect, digit)) in times.into_iter().enumerate() {
        let seconds = &told["slos"][n]["evidence"]["probes_seconds"];
        for (failures, expect) in expect.into_iter().enumerate() {
            let hours = number(&seconds[failures]) / 3_600.0;
            close(hours, expect, digit, &format!("{objective} {every} s, {failures}"));
        }
    }
    for (n, (objective, every, met, breached, likely)) in months.into_iter().enumerate() {
        let window = &told["slos"][times.len() + n]["evidence"]["window"];
        let what = format!("{objective} {every} s: {window}");
        assert_eq!(window["probes"], 2_592_000 / every, "{what}");
        assert_eq!(window["met_at_most"], met.map_or(Value::Null, Value::from), "{what}");
        assert_eq!(window["breached_at_least"], breached, "{what}");
        if met.is_some() {
            close(number(&window["likely_met_from"]) * 100.0, likely, 1e-5, &what);
        }
    }
}

#[test]
fn check_and_report_say_what_length_of_outages_is_declared_and_reckon_with_it() {
    let all = service("a", "99.9%", 10, "30d, meanOutage: 90s", "")
        + &service("b", "99.9%", 10, "30d", "")
        + &service("c", "99.9%", 10, "30d, meanOutage: 1200s", "");
    let told = ask("check", &all, "", &[]);
    for (n, assumed, days, lengths) in
        [(0, "90", 3.95, 7), (1, "300", 13.15, 6), (2, "1200", 52.6, 6)]
    {
        let slo = &told["slos"][n];
        assert_eq!(slo["assumed_outage_seconds"], assumed);
        close(number(&slo["met_after_seconds"]) / 86_400.0, days, 0.02, assumed);
        let outages = slo["evidence"]["outages"].as_array().expect("a list");
        let own = outages.iter().find(|one| one["outage_seconds"] == assumed).expect("told");
        close(number(&own["any_time_seconds"]), number(&slo["met_after_seconds"]), 1.0, assumed);
        assert_eq!(outages.len(), lengths, "{outages:?}");
    }
    // Fifteen days of November with one outage of 180 s; the period goes on, so g(1) is 6.657.
    let event = |slo: &str, from: &str, to: &str, counts: &str| {
        format!(
            "{{\"slo\":\"{slo}/availability\",\"from\":\"2025-11-{from}Z\",\
             \"to\":\"2025-11-{to}Z\",\"every\":\"10s\",{counts}}}\n"
        )
    };
    let events: String = ["a", "b", "c"]
        .into_iter()
        .map(|slo| {
            event(slo, "10T00:00:00", "20T00:00:00", "\"good\":1,\"bad\":0")
                + &event(slo, "20T00:00:00", "20T00:03:00", "\"good\":0,\"bad\":1")
                + &event(slo, "20T00:03:00", "25T00:00:00", "\"good\":1,\"bad\":0")
        })
        .collect();
    // That is longer than a declares, and shorter than b and c do.
    for (slo, assumed) in [("a", "180"), ("b", "300"), ("c", "1200")] {
        let args = ["--events", "-", "--service", slo, "--period", "2025-11"];
        let proof = ask("report", &all, &events, &args)["slos"][0]["evidence"].clone();
        assert_eq!(
            (&proof["outages"], &proof["assumed_outage_seconds"]),
            (&1.into(), &assumed.into())
        );
        let supported = 1.0 - 6.657 * number(&assumed.into()) / (15.0 * 86_400.0);
        close(number(&proof["supported"]), supported, 1e-6, slo);
    }
}

#[test]
fn check_says_what_lengths_of_outages_make_of_clean_time_and_of_met_windows() {
    const DAY: f64 = 86_400.0;
    const YEAR: f64 = 365.0 * DAY;
    let lengths = ["10", "26", "60", "300", "1200", "3600"];
    let needed = [
        ("99.9%", [0.3467, 0.9, 2.1, 10.4, 41.6, 125.0].map(|days| days * DAY)),
        ("99.95%", [0.6934, 1.803, 4.2, 20.8, 83.2, 250.0].map(|days| days * DAY)),
        ("99.99%", [3.5, 9.0, 20.8, 104.0, 416.0, 3.42 * 365.0].map(|days| days * DAY)),
        ("99.999%", [34.7 * DAY, 90.0 * DAY, 208.0 * DAY, 2.85 * YEAR, 11.4 * YEAR, 34.2 * YEAR]),
    ];
    let all: String = needed
        .iter()
        .enumerate()
        .map(|(n, (objective, _))| service(&format!("s{n}"), objective, 10, "30d", ""))
        .collect();
    let told = ask("check", &all, "", &[]);
    let outages = |n: usize| told["slos"][n]["evidence"]["outages"].as_array().expect("a list");
    for (n, (objective, expect)) in needed.into_iter().enumerate() {
        for ((one, length), expect) in outages(n).iter().zip(lengths).zip(expect) {
            assert_eq!(one["outage_seconds"], length);
            let seconds = number(&one["one_look_seconds"]);
            close(seconds / expect, 1.0, 0.015, &format!("{objective} {length} s"));
        }
    }
    let clean = [
        ("clean_30d", ["99.99884", "99.99700", "99.99307", "99.96533", "99.86131", "99.58393"]),
        ("clean_365d", ["99.99991", "99.99975", "99.99943", "99.99715", "99.98860", "99.96580"]),
    ];
    for (key, expect) in clean {
        for (one, expect) in outages(0).iter().zip(expect) {
            // Published figures are rounded, ours are cut.
            let percent = number(&one[key]) * 100.0 + 5e-8;
            assert_eq!(format!("{percent:.5}"), expect, "{key} {}", one["outage_seconds"]);
        }
    }
    // How often a window is met: at the objective, at half its budget, one nine better.
    let met: [(usize, [[f64; 3]; 4]); 3] = [
        (
            0,
            [
                [0.522, 0.997, 1.0],
                [0.548, 0.913, 0.999],
                [0.599, 0.82, 0.972],
                [0.688, 0.834, 0.965],
            ],
        ),
        (
            2,
            [
                [0.569, 0.857, 0.99],
                [0.669, 0.825, 0.964],
                [0.84, 0.917, 0.983],
                [0.935, 0.967, 0.993],
            ],
        ),
        (
            3,
            [
                [0.752, 0.868, 0.972],
                [0.924, 0.961, 0.992],
                [0.979, 0.99, 0.998],
                [0.993, 0.996, 0.999],
            ],
        ),
    ];
    for (n, expect) in met {
        for (one, expect) in outages(n).iter().skip(2).zip(expect) {
            for (got, expect) in one["windows_met"].as_array().expect("three").iter().zip(expect) {
                close(number(got), expect, 6e-4, &format!("{n}: {one}"));
            }
        }
    }
}
