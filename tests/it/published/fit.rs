//! What `nines fit` says of structures, people, incidents and the worked cases.

use serde_json::Value;

use super::{application, ask, close, number, promise, service};

/// What `fit` says of the composition of each application, worst, independent and best.
fn composed(specs: &str, names: &[String]) -> Vec<[f64; 3]> {
    let told = ask("fit", specs, "", &[]);
    let all = told["applications"].as_array().expect("a list");
    let of = |name: &String| {
        let fit = all.iter().find(|one| one["application"] == name.as_str()).expect(name);
        let gate = |gate: &&Value| gate["gate"] == "dependencies";
        let found = fit["gates"].as_array().expect("gates").iter().find(gate).expect("a gate");
        ["worst", "independent", "best"].map(|value| number(&found[value]) * 100.0)
    };
    names.iter().map(of).collect()
}

#[test]
fn fit_says_what_structures_leave() {
    let some = |need: usize, of: &[&str], share: &str| {
        let of: Vec<String> = of.iter().map(|name| format!("{{service: {name}}}")).collect();
        format!("{{need: {need}, of: [{}], commonCause: {share}}}", of.join(", "))
    };
    let each = |of: &[&str]| {
        let of: Vec<String> = of.iter().map(|name| format!("{{service: {name}}}")).collect();
        of.join(", ")
    };
    let mut specs = String::new();
    for (name, objective, n) in
        [("x", "99.99%", 3), ("v", "99.999%", 5), ("t", "99.9%", 5), ("h", "99.95%", 2)]
    {
        (0..n).for_each(|k| specs.push_str(&promise(&format!("{name}{k}"), objective, "")));
    }
    specs.push_str(&promise("shared", "99.99%", ""));
    specs.push_str(&promise("a", "99.95%", "{service: shared}"));
    specs.push_str(&promise("b", "99.95%", "{service: shared}"));
    let t5 = ["t0", "t1", "t2", "t3", "t4"];
    // Worst, independent, best.
    let unknown = f64::NAN;
    let mut rows = vec![
        (each(&["x0", "x1", "x2"]), [99.97, 99.970_003, 99.99]),
        (each(&["v0", "v1", "v2", "v3", "v4"]), [99.995, 99.995_000_1, 99.999]),
        (each(&["h0", "x0"]), [99.94, 99.940_005, 99.95]),
        (some(1, &["t0", "t1"], "0%"), [99.9, 99.999_9, 100.0]),
        (some(2, &["t0", "t1", "t2"], "0%"), [99.85, 99.999_700_2, 100.0]),
        (some(2, &["t0", "h0", "x0"], "0%"), [99.94, 99.999_935_01, 100.0]),
        (some(3, &t5[..4], "0%"), [unknown, 99.999_400_8, unknown]),
        (some(4, &t5, "0%"), [unknown, 99.999_002, unknown]),
        (some(3, &t5, "0%"), [unknown, 99.999_999, unknown]),
        (each(&["a", "b"]), [99.89, 99.890_035, unknown]),
        (some(1, &["a", "b"], "0%"), [unknown, 99.989_975, 99.99]),
    ];
    let shares = ["0%", "0.1%", "1%", "2%", "5%", "10%", "20%"];
    let betas = [
        (
            ["t0", "t1"],
            [99.999_9, 99.999_800_2, 99.998_902, 99.997_904, 99.994_909_8, 99.989_919, 99.979_936],
        ),
        (
            ["x0", "x1"],
            [
                99.999_999,
                99.999_989,
                99.999_899,
                99.999_799,
                99.999_499_1,
                99.998_999_2,
                99.997_999_4,
            ],
        ),
    ];
    for (of, expect) in betas {
        for (share, expect) in shares.into_iter().zip(expect) {
            rows.push((some(1, &of, share), [unknown, expect, unknown]));
        }
    }
    let names: Vec<String> = (0..rows.len()).map(|n| format!("app{n:02}")).collect();
    for (name, (needs, _)) in names.iter().zip(&rows) {
        specs.push_str(&application(name, "99.999%", needs, ""));
    }
    for (got, (needs, expect)) in composed(&specs, &names).into_iter().zip(rows) {
        for (got, expect) in got.into_iter().zip(expect).filter(|(_, expect)| !expect.is_nan()) {
            // Nine digits of a ratio, cut.
            close(got, expect, 1e-7, &needs);
        }
    }
}

#[test]
fn fit_says_what_people_can_carry_and_how_many_incidents_a_year_allows() {
    let support = |hours: &str, answer: &str, minutes: u64| {
        format!("  support: {{hours: {hours}, acknowledge: {answer}, repair: {minutes}m}}\n")
    };
    let mut specs = promise("core", "99.999%", "");
    let mut names = Vec::new();
    let mut add = |name: String, objective: &str, rest: &str| {
        specs.push_str(&application(&name, objective, "{service: core}", rest));
        names.push(name);
    };
    let ceilings: [(&str, &str, [f64; 3]); 7] = [
        ("24x7", "1m", [99.9954, 99.9606, 99.8565]),
        ("24x7", "5m", [99.9861, 99.9514, 99.8472]),
        ("24x7", "15m", [99.9630, 99.9282, 99.8241]),
        ("24x7", "30m", [99.9282, 99.8935, 99.7894]),
        ("24x7", "1h", [99.8588, 99.8241, 99.7199]),
        ("24x7", "4h", [99.4421, 99.4074, 99.3032]),
        // Somebody answers at once, when somebody is there: the mean wait is all of it.
        ("8x5", "1s", [97.8813, 97.8466, 97.7424]),
    ];
    let repairs = [0, 15, 60];
    for (n, (hours, answer, _)) in ceilings.iter().enumerate() {
        for minutes in repairs {
            let rest = support(hours, answer, minutes);
            add(format!("people{n}-{minutes}"), "99.9%", &rest);
        }
    }
    // A minute to notice and a second to answer are in the time an incident lasts.
    let incidents: [(&str, [f64; 6]); 4] = [
        ("99.9%", [105.1, 35.0, 26.3, 17.5, 8.76, 2.19]),
        ("99.95%", [52.6, 17.5, 13.1, 8.76, 4.38, 1.10]),
        ("99.99%", [10.5, 3.50, 2.63, 1.75, 0.876, 0.219]),
        ("99.999%", [1.05, 0.350, 0.263, 0.175, 0.088, 0.022]),
    ];
    let lasting = [5, 15, 20, 30, 60, 240];
    for (n, (objective, _)) in incidents.iter().enumerate() {
        for minutes in lasting {
            let seconds = minutes * 60 - 61;
            let rest = format!("  support: {{hours: 24x7, acknowledge: 1s, repair: {seconds}s}}\n");
            add(format!("year{n}-{minutes}"), objective, &rest);
        }
        // What is over within a minute has paged nobody.
        let rest = "  support: {hours: automatic, acknowledge: 10s, repair: 50s}\n";
        add(format!("year{n}-1"), objective, rest);
    }
    add("failover".to_owned(), "99.9%", "  support: {hours: automatic, acknowledge: 10s}\n");
    let told = ask("fit", &specs, "", &[]);
    let all = told["applications"].as_array().expect("a list");
    assert_eq!(all.len(), names.len());
    let gate = |name: &str, gate: &str| -> Value {
        let fit = all.iter().find(|one| one["application"] == name).expect(name);
        let gates = fit["gates"].as_array().expect("gates");
        gates.iter().find(|one| one["gate"] == gate).expect(gate).clone()
    };
    for (n, (hours, answer, expect)) in ceilings.into_iter().enumerate() {
        for (minutes, expect) in repairs.into_iter().zip(expect) {
            let found = gate(&format!("people{n}-{minutes}"), "support");
            let percent = number(&found["ceiling"]) * 100.0;
            close(percent, expect, 1e-4, &format!("{hours} {answer} {minutes} min"));
        }
    }
    close(number(&gate("failover", "support")["ceiling"]) * 100.0, 99.9996, 1e-4, "failover");
    for (n, expect) in [525.6, 262.8, 52.56, 5.256].into_iter().enumerate() {
        let found = gate(&format!("year{n}-1"), "incident-budget");
        close(number(&found["number"]), expect, 1e-3, &format!("{n}: a minute"));
    }
    for (n, (objective, expect)) in incidents.into_iter().enumerate() {
        for (minutes, expect) in lasting.into_iter().zip(expect) {
            let found = gate(&format!("year{n}-{minutes}"), "incident-budget");
            let (got, what) = (number(&found["number"]), format!("{objective} {minutes} min"));
            close(got, expect, 0.006 * expect.max(0.17), &what);
        }
    }
}

#[test]
fn fit_takes_what_fails_over_by_itself_to_page_nobody() {
    let tier = |hours: &str| {
        format!(
            "apiVersion: nines/v1\nkind: SupportTier\nmetadata: {{name: own}}\nspec: {{hours: \
             {hours}, acknowledge: 10s, repair: 0s}}\n"
        )
    };
    // No alert tells anybody of this service.
    let core = promise("core", "99.999%", "").replace("  probes:", "  support: own\n  probes:");
    let support = |hours: &str| -> Value {
        let team = format!("  support: {{hours: {hours}, acknowledge: 10s, repair: 10s}}\n");
        let shop = application("shop", "99.999%", "{service: core}", &team);
        let told = ask("fit", &[tier(hours), core.clone(), shop].concat(), "", &["shop"]);
        let gates = told["applications"][0]["gates"].as_array().expect("gates").clone();
        gates.into_iter().find(|one| one["gate"] == "support").expect("a gate")
    };
    let by_itself = support("automatic");
    assert_eq!((&by_itself["answer"], &by_itself["number"]), (&"pass".into(), &"20".into()));
    let parties = by_itself["parties"].as_array().expect("parties");
    assert_eq!(parties.len(), 2, "{by_itself}");
    for party in parties {
        assert_eq!((&party["detect_seconds"], &party["hours"]), (&"0".into(), &"automatic".into()));
    }
    let by_people = support("24x7");
    assert_eq!((&by_people["answer"], &by_people["number"]), (&"fail".into(), &"80".into()));
}

#[test]
fn fit_takes_five_nines_apart_and_offers_what_holds() {
    let tier = "apiVersion: nines/v1\nkind: SupportTier\nmetadata: {name: gold}\nspec: {hours: \
                24x7, acknowledge: 15m, repair: 0s}\n";
    let core =
        service("core", "99.999%", 10, "30d", "  support: gold\n").replace(", alerting: none", "");
    let team = "  support: {hours: 24x7, acknowledge: 15m}\n";
    let specs = [tier, &core, &application("shop", "99.999%", "{service: core}", team)].concat();
    let told = ask("fit", &specs, "", &["shop"]);
    let fit = &told["applications"][0];
    let gate = |gate: &str| -> Value {
        let gates = fit["gates"].as_array().expect("gates");
        gates.iter().find(|one| one["gate"] == gate).expect(gate).clone()
    };
    let answers: Vec<(&str, &str, &str)> = vec![
        ("arithmetic", "pass", "25.92"),
        ("support", "fail", "960"),
        ("detection", "fail", "0.38580247"),
        ("observation", "fail", "25"),
        ("alert-sanity", "fail", "2.5"),
    ];
    for (name, answer, number) in answers {
        let found = gate(name);
        assert_eq!(
            (&found["answer"], &found["number"]),
            (&answer.into(), &number.into()),
            "{name}"
        );
    }
    let support = gate("support");
    assert_eq!(support["times_budget"], "37.0");
    close(number(&support["ceiling"]) * 100.0, 99.963, 1e-4, "ceiling");
    let detection = gate("detection");
    assert_eq!(detection["interval_max_seconds"], "0.5184");
    assert_eq!(detection["budget_outage_seen"], "1");
    let evidence = gate("evidence");
    assert_eq!(evidence["answer"], "unknown");
    close(number(&evidence["clean_probe_seconds"]) / 86_400.0, 34.7, 0.05, "by probes");
    let years = number(&evidence["clean_outage_seconds"]) / 86_400.0 / 365.0;
    close(years, 2.85, 0.01, "by outages");
    assert_eq!(evidence["windows_met_by_luck"], "0.92");
    let offer = ["objective", "budget_seconds", "repair_at_most_seconds"];
    assert_eq!(
        offer.map(|key| fit["offer"][key].clone()),
        ["0.9995", "1296", "336"].map(Value::from)
    );
}

#[test]
fn fit_says_what_the_worked_composition_leaves() {
    let names = ["api", "cache", "database", "dns", "in-a", "in-b"];
    let promises = ["99.95%", "99%", "99.99%", "99.999%", "99.95%", "99.95%"];
    let mut specs = String::new();
    for (name, objective) in names.into_iter().zip(promises) {
        specs.push_str(&promise(name, objective, ""));
    }
    let rest = "{service: database}, {service: dns}, {service: cache, impact: soft}, {need: 1, of: \
                [{service: in-a}, {service: in-b}], commonCause: 2%}";
    for (name, impact) in [("hard", "hard"), ("soft", "soft")] {
        let needs = format!("{{service: api, impact: {impact}}}, {rest}");
        specs.push_str(&application(name, "99.999%", &needs, "  reserve: 50%\n"));
    }
    let told = ask("fit", &specs, "", &[]);
    let gate = |n: usize| {
        let gates = told["applications"][n]["gates"].as_array().expect("gates");
        gates.iter().find(|one| one["gate"] == "dependencies").expect("a gate").clone()
    };
    let all = gate(0);
    assert_eq!(told["applications"][0]["application"], "hard");
    for (key, expect) in [("independent", 99.937_982), ("worst", 99.889_8), ("best", 99.95)] {
        // The worst case is 99.889 % and something: three digits are published.
        let digit = if key == "worst" { 1e-3 } else { 1e-6 };
        close(number(&all[key]) * 100.0, expect, digit, key);
    }
    let lost = (1.0 - number(&all["independent"])) * 2_592_000.0;
    close(lost, 1_607.50, 0.01, "seconds");
    assert_eq!((&all["answer"], &all["budgets_lost"]), (&"fail".into(), &"62.02".into()));
    let required = &told["applications"][0]["dependencies"][0]["required"];
    assert_eq!(*required, "0.99999875", "four things, half of the budget reserved");
    let soft = gate(1);
    close(number(&soft["independent"]) * 100.0, 99.987_976, 1e-6, "soft");
    close((1.0 - number(&soft["independent"])) * 2_592_000.0, 311.66, 0.01, "seconds");
}
