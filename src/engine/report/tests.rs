//! Reports over histories whose numbers are known.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::engine::series::Series;
use crate::model::catalog::{Credit, Dependency, Impact, Method};
use crate::model::check::{Check, TcpCheck};
use crate::model::window::{Calendar, Unit, Zone};
use crate::model::worst::SIZES;
use crate::model::{BadReason, Name, Outcome, Probe, Run, Share, Verdict};

/// 2026-11-01T00:00:00Z.
const MONTH: i64 = 1_793_491_200;
const DAY: i64 = 86_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(MONTH + seconds)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn slo(objective: &str) -> Slo {
    Slo {
        probes: vec!["shop/front".parse().expect("an id")],
        ..Slo::new(
            "shop/availability".parse().expect("an id"),
            objective.parse().expect("an objective"),
            secs(30 * 86_400),
        )
    }
}

/// One service with this SLO, an application that needs it, and an agreement by the month.
fn catalog(slo: Slo) -> Catalog {
    let endpoint = "shop.example:80".parse().expect("an endpoint");
    let service = Service {
        name: name("shop"),
        display_name: None,
        labels: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        description: None,
        links: BTreeMap::new(),
        support: None,
        depends_on: Vec::new(),
        probes: vec![Probe {
            id: "shop/front".parse().expect("an id"),
            check: Check::Tcp(TcpCheck { endpoint, send: None, expect: None }),
            interval: secs(10),
            timeout: secs(5),
        }],
        slos: vec![slo],
    };
    let needs = Dependency {
        need: 1,
        of: vec![name("shop")],
        impact: Impact::Hard,
        common_cause_ppb: None,
    };
    let application = Application {
        name: name("checkout"),
        display_name: None,
        labels: BTreeMap::new(),
        description: None,
        links: BTreeMap::new(),
        objective: "99%".parse().expect("an objective"),
        window: secs(30 * 86_400).into(),
        reserve: None,
        support: None,
        depends_on: vec![needs],
    };
    let credit = |below: &str, credit: &str| Credit {
        below: below.parse().expect("an objective"),
        credit: credit.parse::<Share>().expect("a share"),
    };
    let agreement = Agreement {
        name: name("shop-for-checkout"),
        slo: "shop/availability".parse().expect("an id"),
        customer: "checkout".to_owned(),
        objective: "99.9%".parse().expect("an objective"),
        calendar: Calendar::of(Unit::Month, Zone::utc()),
        credits: vec![credit("99.9%", "10%"), credit("99%", "25%")],
    };
    let (services, applications) = (vec![service], vec![application]);
    Catalog { services, applications, agreements: vec![agreement], ..Catalog::default() }
}

/// Ten-second slots from `from` to `to` seconds into the month, with outages (start, end).
fn probed(from: i64, to: i64, outages: &[(i64, i64)]) -> History {
    let mut series = Series::default();
    let mut push = |start: i64, end: i64, outcome| {
        let n = u32::try_from((end - start) / 10).expect("few");
        series.push(at(start), secs(10), n, Tally::of(outcome, 1));
    };
    let mut now = from;
    for (start, end) in outages {
        push(now, *start, Outcome::Good);
        push(*start, *end, Outcome::Bad);
        now = *end;
    }
    push(now, to, Outcome::Good);
    History { series: vec![series], ..History::default() }
}

fn period(start: i64, end: i64) -> Period {
    Period { start: at(start), end: at(end) }
}

/// The report as JSON on the service, over the first thirty days.
fn report(catalog: &Catalog, history: History, now: i64) -> Value {
    let scope = Scope::Service("shop".to_owned());
    ask(catalog, scope, history, period(0, 30 * DAY), now)
}

fn ask(catalog: &Catalog, scope: Scope, history: History, period: Period, now: i64) -> Value {
    let question = Question { catalog, scope, period, now: at(now), lengths: &SIZES };
    let histories = BTreeMap::from([(catalog.services[0].slos[0].id.clone(), history)]);
    render::report_json(&question.answer(&histories).expect("it is declared"))
}

#[test]
fn a_month_is_told_with_its_budget_incidents_and_credit() {
    let catalog = catalog(slo("99.9%"));
    // 600 s and 3,000 s: 360 of 259,200 slots, 138.9 % of the budget.
    let mut history = probed(0, 31 * DAY, &[(DAY, DAY + 600), (5 * DAY, 5 * DAY + 3_000)]);
    let failed = |start: i64, n, reason| {
        let verdict = Verdict::Bad(reason);
        Failure::of(&Run { start: at(start), step: secs(10), n, verdict, class: 0 })
    };
    history.failures.extend(failed(DAY, 60, BadReason::Timeout));
    history.failures.extend(failed(5 * DAY, 100, BadReason::Connect));
    history.failures.extend(failed(5 * DAY + 1_000, 200, BadReason::Status));
    let all = report(&catalog, history, 40 * DAY);
    assert_eq!(all["schema"], "nines.report/v1");
    assert_eq!(
        (&all["over"], &all["headline"]),
        (&true.into(), &"1 objective: 1 broken. 1 credit is owed.".into())
    );
    let slo = &all["slos"][0];
    assert_eq!(slo["kept"], "broken");
    assert_eq!((&slo["good"], &slo["bad"]), (&258_840.into(), &360.into()));
    assert_eq!(slo["sli"], "0.998611111");
    assert_eq!(slo["budget"]["spent_ratio"], "1.388888888");
    assert_eq!(slo["budget"]["spent_seconds"], "3600");
    assert_eq!(slo["budget"]["left_seconds"], "-1008");
    assert_eq!(slo["evidence"]["state"], "breached");
    let first = &slo["incidents"][0];
    assert_eq!(
        (&first["start"], &first["end"]),
        (&at(DAY).to_string().into(), &at(DAY + 600).to_string().into())
    );
    assert_eq!(
        (&first["cost_ratio"], &first["cost_seconds"]),
        (&"0.231481482".into(), &"600".into())
    );
    assert_eq!(first["sentence"], "10 min, 60 bad, 23.15 % of the budget: timeout 60");
    let reasons = &slo["incidents"][1]["reasons"];
    assert_eq!(
        *reasons,
        serde_json::json!([{"reason": "status", "n": 200}, {"reason": "connect", "n": 100}])
    );
    let settled = &all["agreements"][0]["periods"];
    assert_eq!(settled.as_array().map(Vec::len), Some(1));
    assert_eq!((&settled[0]["kept"], &settled[0]["credit"]), (&"broken".into(), &"0.1".into()));
    let sentence = settled[0]["sentence"].as_str().expect("a sentence").replace('\u{202f}', " ");
    assert_eq!(
        sentence,
        "broken: 99.86 % (360 bad of 259 200), coverage 100 %, budget 138.89 % spent: 1 h of 43 min 12 s, 360 of 259.2 events; a credit of 10% is owed (below 99.9%)"
    );
}

#[test]
fn a_period_that_is_not_over_is_open_until_nothing_can_change_it() {
    let catalog = catalog(slo("99.9%"));
    let kept = |history, now| report(&catalog, history, now)["slos"][0]["kept"].clone();
    assert_eq!(kept(probed(0, 10 * DAY, &[(DAY, DAY + 600)]), 10 * DAY), "open");
    assert_eq!(kept(probed(0, 10 * DAY, &[(DAY, DAY + 2_600)]), 10 * DAY), "broken");
    let nearly = 30 * DAY - 600;
    assert_eq!(kept(probed(0, nearly, &[]), nearly), "kept", "ten minutes cannot break it");
    assert_eq!(kept(probed(0, nearly, &[(0, 2_590)]), nearly), "open");
    assert_eq!(kept(History::default(), 10 * DAY), "no data");
    let open = report(&catalog, probed(0, 10 * DAY, &[]), 10 * DAY);
    assert_eq!(open["over"], false);
    assert_eq!(open["slos"][0]["budget"]["total_seconds"], "2592");
    assert_eq!(open["slos"][0]["evidence"]["rule"], "any time");
    let said = open["agreements"][0]["periods"][0]["sentence"].as_str().expect("a sentence");
    assert!(
        said.starts_with("open: 100 %") && said.ends_with("no credit is owed so far"),
        "{said}"
    );
}

#[test]
fn time_without_results_is_unknown_and_late_history_covers_less() {
    let catalog = catalog(slo("99.9%"));
    // The monitor stopped after ten days.
    let stopped = report(&catalog, probed(0, 10 * DAY, &[]), 40 * DAY);
    let slo = &stopped["slos"][0];
    assert_eq!((&slo["good"], &slo["unknown"]), (&86_400.into(), &172_800.into()));
    assert_eq!((&slo["coverage"], &slo["sli_low"]), (&"0.333333333".into(), &"0.333333333".into()));
    assert_eq!(slo["evidence"]["state"], "not yet proven");
    // It began after twenty.
    let late = report(&catalog, probed(20 * DAY, 31 * DAY, &[]), 40 * DAY);
    assert_eq!(late["slos"][0]["coverage"], "0.333333333");
    // Results of the last seconds are on their way, and no time is missing.
    let live = report(&catalog, probed(0, 10 * DAY, &[]), 10 * DAY + 30);
    assert_eq!(
        (&live["slos"][0]["unknown"], &live["slos"][0]["coverage"]),
        (&0.into(), &"1".into())
    );
}

#[test]
fn a_period_of_which_too_little_was_seen_is_neither_kept_nor_broken() {
    let least = Some("90%".parse().expect("a share"));
    let catalog = catalog(Slo { min_coverage: least, ..slo("99.9%") });
    let told = |history| {
        let all = report(&catalog, history, 40 * DAY);
        let settled = &all["agreements"][0]["periods"][0];
        (all["slos"][0]["kept"].clone(), settled["kept"].clone())
    };
    let seen = |kept: &str| (Value::from(kept), Value::from(kept));
    assert_eq!(told(probed(0, 10 * DAY, &[])), seen("no data"));
    assert_eq!(told(probed(0, 28 * DAY, &[])), seen("kept"));
    // 259.2 slots may fail in all: 200 might be kept, 260 cannot, whatever the rest was.
    assert_eq!(told(probed(0, 10 * DAY, &[(DAY, DAY + 2_000)])), seen("no data"));
    assert_eq!(told(probed(0, 10 * DAY, &[(DAY, DAY + 2_600)])), seen("broken"));
    // The time before history began may have been good as well: 100 of 86,400 are no answer.
    let begun = 20 * DAY;
    assert_eq!(told(probed(begun, 30 * DAY, &[(begun, begun + 1_000)])), seen("no data"));
    assert_eq!(told(probed(begun, 30 * DAY, &[(begun, begun + 2_600)])), seen("broken"));
}

#[test]
fn what_was_seen_too_little_of_owes_only_what_is_certain() {
    let least = Some("90%".parse().expect("a share"));
    let owed = |least, bad: i64| {
        let catalog = catalog(Slo { min_coverage: least, ..slo("99.9%") });
        let history = probed(0, 10 * DAY, &[(DAY, DAY + bad)]);
        report(&catalog, history, 40 * DAY)["agreements"][0]["periods"][0]["credit"].clone()
    };
    // Of ten days 0.23 % was bad, of the month perhaps 0.08 %.
    assert_eq!((owed(least, 2_000), owed(None, 2_000)), (Value::Null, "0.1".into()));
    assert_eq!((owed(least, 2_600), owed(None, 2_600)), ("0.1".into(), "0.1".into()));
    // 3 % of ten days are 1 % of a month, exactly: not below 99 %.
    assert_eq!((owed(least, 25_920), owed(None, 25_920)), ("0.1".into(), "0.25".into()));
    assert_eq!(owed(least, 25_930), "0.25");
}

#[test]
fn an_interval_that_was_not_measured_weighs_as_much_as_one_with_many_events() {
    let least = Some("90%".parse().expect("a share"));
    let catalog = catalog(Slo { min_coverage: least, ..slo("99.9%") });
    // Every minute a thousand events; half of the minutes were not measured.
    let (mut events, mut intervals) = (Series::default(), Series::default());
    let half = u32::try_from(15 * DAY / 60).expect("few");
    let missed = Tally::of(Outcome::Unknown, 1);
    for (start, counted, measured) in [
        (0, Tally::of(Outcome::Good, 1_000), Tally::of(Outcome::Good, 1)),
        (15 * DAY, missed, missed),
    ] {
        events.push(at(start), secs(60), half, counted);
        intervals.push(at(start), secs(60), half, measured);
    }
    let told = |intervals| {
        let series = vec![events.clone()];
        let all = report(&catalog, History { series, intervals, ..History::default() }, 40 * DAY);
        (all["slos"][0]["coverage"].clone(), all["slos"][0]["kept"].clone())
    };
    assert_eq!(told(vec![intervals]), ("0.5".into(), "no data".into()));
    assert_eq!(told(Vec::new()).1, "kept", "as if a slot were an event");
}

#[test]
fn slices_of_a_source_are_judged_by_its_intervals_in_a_report_as_well() {
    let method = Method::Timeslices { slice: secs(300), objective: "90%".parse().expect("valid") };
    let catalog = catalog(Slo { method, ..slo("99.9%") });
    // Of each five minutes one was measured, with a thousand events.
    let (mut events, mut intervals) = (Series::default(), Series::default());
    for minute in 0..30 * DAY / 60 {
        let (counted, measured) = match minute % 5 {
            0 => (Tally::of(Outcome::Good, 1_000), Tally::of(Outcome::Good, 1)),
            _ => (Tally::of(Outcome::Unknown, 1), Tally::of(Outcome::Unknown, 1)),
        };
        events.push(at(minute * 60), secs(60), 1, counted);
        intervals.push(at(minute * 60), secs(60), 1, measured);
    }
    let history =
        History { series: vec![events], intervals: vec![intervals], ..History::default() };
    let all = report(&catalog, history, 40 * DAY);
    let told = ["good", "bad", "unknown"].map(|key| all["slos"][0][key].as_u64());
    assert_eq!(told, [Some(0), Some(0), Some(30 * 288)]);
}

#[test]
fn outages_that_are_near_each_other_are_one_incident() {
    let catalog = catalog(slo("99.9%"));
    let near = [(DAY, DAY + 60), (DAY + 350, DAY + 400), (DAY + 700, DAY + 720)];
    let now = DAY + 710;
    let told = ask(
        &catalog,
        Scope::Service("shop".to_owned()),
        probed(0, now, &near[..2]),
        period(0, 2 * DAY),
        now,
    );
    let incidents = told["slos"][0]["incidents"].as_array().expect("a list");
    assert_eq!(incidents.len(), 1);
    assert_eq!(
        (&incidents[0]["seconds"], &incidents[0]["bad_events"]),
        (&"400".into(), &"11".into())
    );
    assert_eq!(incidents[0]["open"], false);
    let apart = report(&catalog, probed(0, 31 * DAY, &near), 40 * DAY);
    assert_eq!(apart["slos"][0]["incidents"].as_array().map(Vec::len), Some(2));
    let mut burning = probed(0, DAY, &[]);
    burning.series[0].push(at(DAY), secs(10), 6, Tally::of(Outcome::Bad, 1));
    let open = report(&catalog, burning, DAY + 60);
    let incident = &open["slos"][0]["incidents"][0];
    assert_eq!((&incident["open"], &incident["seconds"]), (&true.into(), &"60".into()));
}

#[test]
fn only_the_costliest_incidents_are_told_and_the_others_counted() {
    let catalog = catalog(slo("99.9%"));
    let outage = |n: i64| (n * 1_000, n * 1_000 + 10 * (1 + n % 3));
    let outages: Vec<_> = (1..=MAX_INCIDENTS as i64 + 30).map(outage).collect();
    let all = report(&catalog, probed(0, 31 * DAY, &outages), 40 * DAY);
    let slo = &all["slos"][0];
    let incidents = slo["incidents"].as_array().expect("a list");
    assert_eq!((incidents.len(), &slo["incidents_left_out"]), (MAX_INCIDENTS, &30.into()));
    let cheap = incidents.iter().filter(|one| one["bad_events"] == "1").count();
    assert_eq!(cheap, outages.len() / 3 - 30, "the cheapest are left out");
    let starts: Vec<_> = incidents.iter().map(|one| one["start"].as_str()).collect();
    assert!(starts.is_sorted());
}

#[test]
fn slow_answers_have_a_reason_and_slices_cost_slices() {
    let late = Slo { latency_under: Some(secs(1)), ..slo("99.9%") };
    let catalog_of_late = catalog(late);
    let all = report(&catalog_of_late, probed(0, 31 * DAY, &[(DAY, DAY + 600)]), 40 * DAY);
    let reasons = &all["slos"][0]["incidents"][0]["reasons"];
    assert_eq!(*reasons, serde_json::json!([{"reason": "slow", "n": 60}]));

    let share = "95%".parse().expect("a share");
    let method = Method::Timeslices { slice: secs(60), objective: share };
    let catalog_of_slices = catalog(Slo { method, ..slo("99.9%") });
    let history = probed(0, 31 * DAY, &[(DAY, DAY + 10), (DAY + 120, DAY + 180)]);
    let all = report(&catalog_of_slices, history, 40 * DAY);
    let slo = &all["slos"][0];
    assert_eq!((&slo["bad"], &slo["good"]), (&2.into(), &43_198.into()));
    let incident = &slo["incidents"][0];
    assert_eq!(
        (&incident["start"], &incident["end"]),
        (&at(DAY).to_string().into(), &at(DAY + 180).to_string().into())
    );
    assert_eq!(incident["bad_events"], "2");
}

#[test]
fn agreements_settle_in_their_own_periods() {
    let mut catalog = catalog(slo("99.99%"));
    let history = probed(-40 * DAY, 61 * DAY, &[(DAY, DAY + 600), (33 * DAY, 33 * DAY + 40_000)]);
    let of = |catalog: &Catalog, start, end| {
        let scope = Scope::Application("checkout".to_owned());
        ask(catalog, scope, history.clone(), period(start, end), 61 * DAY)["agreements"][0]["periods"].clone()
    };
    let months = of(&catalog, 0, 61 * DAY);
    let credits: Vec<&Value> =
        months.as_array().expect("a list").iter().map(|m| &m["credit"]).collect();
    assert_eq!(
        credits,
        [&Value::Null, &"0.25".into()],
        "600 s keep 99.9 %, 40,000 s are below 99 %"
    );
    // A week belongs to no whole month: the month it ends in is told, as far as it has come.
    let week = of(&catalog, 2 * DAY, 9 * DAY);
    assert_eq!(week[0]["period"]["start"], at(0).to_string());
    // Another zone, nearly the same month.
    catalog.agreements[0].calendar =
        Calendar::of(Unit::Month, "Europe/Berlin".parse().expect("a zone"));
    let berlin = of(&catalog, 0, 30 * DAY);
    assert_eq!(berlin.as_array().map(Vec::len), Some(1));
    assert_eq!(berlin[0]["period"]["start"], at(-3_600).to_string());
    catalog.agreements[0].calendar = Calendar::of(Unit::Quarter, Zone::utc());
    let quarter = of(&catalog, 0, 30 * DAY);
    assert_eq!(quarter[0]["period"]["start"], at(-31 * DAY).to_string());
}

#[test]
fn a_credit_is_owed_below_its_tier_and_not_at_it() {
    let catalog = catalog(slo("99.99%"));
    let credit = |down: i64| {
        let all = report(&catalog, probed(0, 31 * DAY, &[(DAY, DAY + down)]), 40 * DAY);
        all["agreements"][0]["periods"][0]["credit"].clone()
    };
    // Of 259,200 slots 0.1 % are 259.2, 1 % are 2,592.
    assert_eq!(credit(2_590), Value::Null);
    assert_eq!(credit(2_600), "0.1");
    assert_eq!(credit(25_920), "0.1", "exactly 99 % is not below 99 %");
    assert_eq!(credit(25_930), "0.25");
}

#[test]
fn each_event_is_held_to_the_promise_of_its_time() {
    let catalog = catalog(slo("99%"));
    let mut history = probed(0, 31 * DAY, &[(DAY, DAY + 2_000)]);
    let revision = |from: Timestamp, objective: &str| Revision {
        from,
        objective: objective.parse().expect("an objective"),
        window: secs(30 * 86_400).into(),
        unknown: UnknownPolicy::Exclude,
        threshold: None,
        probes: vec![(crate::model::SeriesId(1), "shop/front".parse().expect("an id"))],
        measures: None,
    };
    history.revisions = vec![revision(Timestamp::MIN, "99.9%"), revision(at(15 * DAY), "99%")];
    let slo = &report(&catalog, history, 40 * DAY)["slos"][0];
    // Half of the month allows 0.1 %, half 1 %.
    assert_eq!(slo["budget"]["total_events"], "1425.6");
    assert_eq!((&slo["objective"], &slo["kept"]), (&"0.99".into(), &"kept".into()));
    assert_eq!(slo["revisions"].as_array().map(Vec::len), Some(2));
}

#[test]
fn evidence_of_a_clean_month_is_that_of_one_look() {
    let evidence = |objective: &str, outages: &[(i64, i64)]| {
        let all = report(&catalog(slo(objective)), probed(0, 31 * DAY, outages), 40 * DAY);
        all["slos"][0]["evidence"].clone()
    };
    let clean = evidence("99.95%", &[]);
    assert_eq!((&clean["state"], &clean["rule"]), (&"met".into(), &"one look".into()));
    // 1 - 2.9957 * 300 / 2,592,000, cut.
    assert_eq!(clean["supported"], "0.999653271");
    let open = evidence("99.99%", &[]);
    assert_eq!(open["state"], "not yet proven");
    assert_eq!(
        (&open["singly"]["met_at_most"], &open["singly"]["breached_at_least"]),
        (&17.into(), &36.into())
    );
    assert_eq!(open["singly"]["state"], "met", "single probes would show what outages do not");
    assert!(open["earliest"].as_str().is_some_and(|at| at.starts_with("2027-03")), "{open}");
    // Thirty failures that come as one outage: 1 - 4.7439 * 300 / 2,592,000.
    let one = evidence("99.9%", &[(DAY, DAY + 300)]);
    assert_eq!((&one["singly"]["clustering"], &one["outages"]), (&30.0.into(), &1.into()));
    assert_eq!((&one["state"], &one["supported"]), (&"met".into(), &"0.999450941".into()));
    assert_eq!(evidence("99.95%", &[(DAY, DAY + 300)])["state"], "not yet proven");
}

#[test]
fn the_worst_hour_is_told_with_its_start() {
    let catalog = catalog(slo("99.9%"));
    let history = probed(0, 31 * DAY, &[(DAY, DAY + 600), (9 * DAY, 9 * DAY + 1_200)]);
    let all = report(&catalog, history, 40 * DAY);
    let worst = all["slos"][0]["worst"].as_array().expect("a curve");
    assert_eq!(worst.len(), 17);
    let hour = worst.iter().find(|one| one["length"] == "1h").expect("an hour");
    let start = at(9 * DAY - 2_400);
    assert_eq!(
        hour["sentence"],
        format!("the worst hour was 66.66 % (120 bad of 360) and began at {start}")
    );
    // What is not known is not judged by the little that is.
    let short = report(&catalog, probed(DAY, DAY + 7_200, &[(DAY + 10, DAY + 20)]), 40 * DAY);
    let of = |one: &Value| (one["length"].clone(), one["bad"].clone());
    let last = short["slos"][0]["worst"].as_array().and_then(|all| all.last()).map(of);
    assert_eq!(last, Some(("2h".into(), 1.into())));
}

#[test]
fn up_and_down_time_is_that_of_segments() {
    let catalog = catalog(slo("99.9%"));
    let all = report(&catalog, probed(0, 10 * DAY, &[(DAY, DAY + 600)]), 40 * DAY);
    let uptime = &all["slos"][0]["uptime"];
    assert_eq!((&uptime["down_seconds"], &uptime["up_seconds"]), (&"600".into(), &"863400".into()));
    assert_eq!(uptime["inactive_seconds"], (20 * DAY - 10).to_string());
}

#[test]
fn what_is_not_declared_has_no_report() {
    let catalog = catalog(slo("99.9%"));
    let ask = |scope| {
        let (period, now) = (period(0, DAY), at(DAY));
        let question = Question { catalog: &catalog, scope, period, now, lengths: &[] };
        (question.slos().map(|slos| slos.len()), question.known())
    };
    assert_eq!(ask(Scope::Team("blue".to_owned())), (Some(1), vec!["blue".to_owned()]));
    assert_eq!(ask(Scope::Team("red".to_owned())), (None, vec!["blue".to_owned()]));
    assert_eq!(ask(Scope::Application("x".to_owned())).0, None);
    assert_eq!(ask(Scope::Everything).0, Some(1));
    assert_eq!(Scope::new("planet", "x"), None);
}

proptest! {
    #[test]
    fn no_window_of_slots_is_worse_than_the_worst(
        runs in prop::collection::vec((0_u8..3, 1_u32..12), 1..12),
        n in 1_u32..6,
        policy in 0_u8..2,
    ) {
        let outcomes = [Outcome::Good, Outcome::Bad, Outcome::Unknown];
        let (mut series, mut now) = (Series::default(), 0);
        for (outcome, slots) in &runs {
            let each = Tally::of(outcomes[usize::from(*outcome)], 1);
            series.push(at(now), secs(10), *slots, each);
            now += 10 * i64::from(*slots);
        }
        let unknown = [UnknownPolicy::Exclude, UnknownPolicy::Bad][usize::from(policy)];
        let history = History { series: vec![series], ..History::default() };
        let past = Past::of(&history, period(0, now), at(now));
        let length = secs(60 * u64::from(n));
        let seen = past.seen();
        let mut naive: Option<(Timestamp, Counted)> = None;
        let mut start = seen.start;
        while start.plus(length) <= seen.end {
            let tally = past.slots().window(length, start.plus(length));
            let counted = Counted::of(tally, unknown);
            let cross = |a: Counted, b: Counted| a.bad * b.total();
            let worse = naive.is_none_or(|(_, w)| cross(w, counted) < cross(counted, w));
            if counted.total() > 0 && worse {
                naive = Some((start, counted));
            }
            start = start.plus(secs(10));
        }
        let found = history::worst(past.slots(), unknown, &past, &[length]);
        let found = found.first().map(|worst| (worst.start, worst.counted));
        let share = |(_, counted): (Timestamp, Counted)| counted.sli();
        prop_assert_eq!(found.map(share), naive.map(share));
        if runs.iter().all(|(outcome, _)| *outcome < 2) {
            prop_assert_eq!(found, naive, "the earliest, where every slot counts");
        }
    }
}
