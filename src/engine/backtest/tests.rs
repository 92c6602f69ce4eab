//! The golden incidents: fifteen histories whose alerts are known to the second. They were
//! computed independently, with integers, from per-second simulation of the published rules.

use std::sync::Arc;

use super::*;
use crate::engine::evaluate::{self, Moment};
use crate::model::{Outcome, Tally};

/// Clean seconds before every incident.
const CLEAN: i64 = 30 * 86_400;
/// Seconds after which the last ticket of all has long been closed.
const AFTER: i64 = 8 * 86_400;

fn slo(objective: &str, short_threshold: ShortThreshold) -> Slo {
    let mut policy = (*AlertPolicy::workbook()).clone();
    policy.short_threshold = short_threshold;
    Slo {
        policy: Some(Arc::new(policy)),
        ..Slo::new(
            "golden/availability".parse().expect("valid"),
            objective.parse().expect("valid"),
            Duration::from_secs(30 * 86_400),
        )
    }
}

/// (start, length, bad events of 100,000 a second) of each part of an incident.
type Incident<'a> = &'a [(i64, u32, u64)];

fn history(incident: Incident<'_>) -> Series {
    const EVENTS: u64 = 100_000;
    let good = Tally::of(Outcome::Good, EVENTS);
    let (mut series, mut now) = (Series::default(), -CLEAN);
    for &(start, length, bad) in incident {
        if start > now {
            series.push(Timestamp::from_secs(now), SECOND, (start - now) as u32, good);
        }
        let each = Tally { good: EVENTS - bad, bad, ..Tally::ZERO };
        series.push(Timestamp::from_secs(start), SECOND, length, each);
        now = start + i64::from(length);
    }
    series.push(Timestamp::from_secs(now), SECOND, (AFTER - now) as u32, good);
    series
}

fn replayed(slots: Histories<'_>, slo: &Slo) -> Option<Replay> {
    let (first, last) = ticks(slots)?;
    let subject = Subject::one(Slots::of(slo, slots), last);
    replay(&subject, (first, last), None, &Amendments::default())
}

fn write(intervals: &[Interval]) -> String {
    let seconds = |at: Timestamp| at.micros() / 1_000_000;
    let text: Vec<_> = intervals
        .iter()
        .map(|i| format!("{}-{}", seconds(i.on), i.off.map_or(-1, seconds)))
        .collect();
    if text.is_empty() { "-".to_owned() } else { text.join(", ") }
}

/// Fast page, slow page, 3x ticket, 1x ticket, page, page under the 1x variant.
struct Golden {
    id: &'static str,
    objective: &'static str,
    incident: &'static [(i64, u32, u64)],
    /// Share of the budget spent in all, in millionths of a percent, cut.
    spent: &'static str,
    pairs: [&'static str; 4],
    page: &'static str,
    page_1x: &'static str,
}

const GOLDEN: &[Golden] = &[
    Golden {
        id: "A",
        objective: "99.9%",
        incident: &[(0, 45, 100_000)],
        spent: "0.0173",
        pairs: ["-", "-", "-", "-"],
        page: "-",
        page_1x: "-",
    },
    Golden {
        id: "B",
        objective: "99.9%",
        incident: &[(0, 60, 100_000)],
        spent: "0.0231",
        pairs: ["52-356", "-", "-", "-"],
        page: "52-356",
        page_1x: "52-360",
    },
    Golden {
        id: "C",
        objective: "99.9%",
        incident: &[(0, 600, 100_000)],
        spent: "0.2314",
        pairs: ["52-896", "130-2390", "260-7779", "260-22179"],
        page: "52-2390",
        page_1x: "52-2399",
    },
    Golden {
        id: "D",
        objective: "99.9%",
        incident: &[(0, 600, 15_000)],
        spent: "0.0347",
        pairs: ["346-872", "-", "-", "-"],
        page: "346-872",
        page_1x: "346-898",
    },
    Golden {
        id: "E",
        objective: "99.9%",
        incident: &[(0, 14_400, 1_000)],
        spent: "0.0555",
        pairs: ["-", "12961-15120", "-", "-"],
        page: "12961-15120",
        page_1x: "12961-16020",
    },
    Golden {
        id: "F",
        objective: "99.9%",
        incident: &[(0, 86_400, 500)],
        spent: "0.1666",
        pairs: ["-", "-", "51841-89280", "51841-103680"],
        page: "-",
        page_1x: "-",
    },
    Golden {
        id: "G",
        objective: "99.9%",
        incident: &[(0, 172_800, 200)],
        spent: "0.1333",
        pairs: ["-", "-", "-", "129601-183600"],
        page: "-",
        page_1x: "-",
    },
    Golden {
        id: "H",
        objective: "99.9%",
        incident: &[(0, 300, 100_000), (600, 300, 100_000), (1_200, 300, 100_000)],
        spent: "0.3472",
        pairs: ["52-596, 605-1196, 1205-1796", "130-3290", "260-8679", "260-23079"],
        page: "52-3290",
        page_1x: "52-3299",
    },
    Golden {
        id: "I",
        objective: "99.9%",
        incident: &[(0, 480, 10_000), (1_680, 42, 10_000)],
        spent: "0.0201",
        pairs: ["-", "-", "-", "-"],
        page: "-",
        page_1x: "1719-2019",
    },
    Golden {
        id: "J",
        objective: "99.9%",
        incident: &[(0, 480, 10_000), (1_680, 60, 10_000)],
        spent: "0.0208",
        pairs: ["1724-1997", "-", "-", "-"],
        page: "1724-1997",
        page_1x: "1719-2037",
    },
    Golden {
        id: "K",
        objective: "99.99%",
        incident: &[(0, 26, 100_000)],
        spent: "0.1003",
        pairs: ["6-326", "13-1825", "26-7224", "26-21624"],
        page: "6-1825",
        page_1x: "6-1826",
    },
    Golden {
        id: "L",
        objective: "99.99%",
        incident: &[(0, 5, 100_000)],
        spent: "0.0192",
        pairs: ["-", "-", "-", "-"],
        page: "-",
        page_1x: "-",
    },
    Golden {
        id: "M",
        objective: "99.999%",
        incident: &[(0, 1, 100_000)],
        spent: "0.0385",
        pairs: ["1-301", "-", "-", "-"],
        page: "1-301",
        page_1x: "1-301",
    },
    Golden {
        id: "N",
        objective: "99.999%",
        incident: &[(0, 2_580, 1_000)],
        spent: "0.9953",
        pairs: ["52-2876", "130-4370", "260-9759", "260-24159"],
        page: "52-4370",
        page_1x: "52-4379",
    },
    Golden {
        id: "O",
        objective: "99.99%",
        incident: &[(0, 21_600, 144)],
        spent: "0.1200",
        pairs: ["-", "9001-22650", "18001-27300", "18001-41700"],
        page: "9001-22650",
        page_1x: "9001-23275",
    },
];

fn run(golden: &Golden, short: ShortThreshold) -> Replay {
    let series = [history(golden.incident)];
    let slo = slo(golden.objective, short);
    replayed(Histories { series: &series, of: &[0] }, &slo).expect("a policy and a history")
}

/// Every golden incident under one rule for short windows.
fn suite(short: ShortThreshold) -> Vec<(&'static Golden, Replay)> {
    GOLDEN.iter().map(|golden| (golden, run(golden, short))).collect()
}

fn scores(suite: &[(&Golden, Replay)], severity: Severity) -> Score {
    let scores = suite.iter().map(|(_, replay)| replay.severities[severity.index()].score);
    scores.fold(Score::default(), std::ops::Add::add)
}

#[test]
fn golden_incidents_page_and_ticket_to_the_second() {
    let suite = suite(ShortThreshold::Same);
    for (golden, replay) in &suite {
        for (n, expect) in golden.pairs.iter().enumerate() {
            assert_eq!(write(&replay.pairs[n]), *expect, "{} pair {n}", golden.id);
        }
        assert_eq!(write(&replay.severities[0].firing), golden.page, "{}", golden.id);
    }
    let page = scores(&suite, Severity::Page);
    assert_eq!((page.both, page.alerted, page.significant), (10, 10, 11));
    let ticket = scores(&suite, Severity::Ticket);
    assert_eq!((ticket.both, ticket.alerted, ticket.significant), (7, 7, 7));
}

#[test]
fn golden_incidents_page_to_the_second_under_the_1x_variant() {
    let suite = suite(ShortThreshold::One);
    for (golden, replay) in &suite {
        assert_eq!(write(&replay.severities[0].firing), golden.page_1x, "{}", golden.id);
    }
    let page = scores(&suite, Severity::Page);
    assert_eq!((page.both, page.alerted, page.significant), (11, 11, 11));
}

#[test]
fn golden_incidents_spend_their_share_of_the_budget() {
    for golden in GOLDEN {
        let series = [history(golden.incident)];
        let slo = slo(golden.objective, ShortThreshold::Same);
        let histories = Histories { series: &series, of: &[0] };
        let status = status_at(histories, &slo, Timestamp::from_secs(AFTER));
        let spent = status.budget.spent_ratio().expect("there are events");
        assert!(spent.starts_with(golden.spent.trim_end_matches('0')), "{}: {spent}", golden.id);
    }
}

#[test]
fn stepping_over_quiet_seconds_changes_nothing() {
    // The same history tick by tick: J under both rules, with the seconds around every edge.
    for short in [ShortThreshold::Same, ShortThreshold::One] {
        let golden = GOLDEN.iter().find(|golden| golden.id == "J").expect("listed");
        let series = [history(golden.incident)];
        let histories = Histories { series: &series, of: &[0] };
        let slo = slo(golden.objective, short);
        let policy = slo.policy.as_ref().expect("set");
        let mut every_second = Run::new(policy);
        for t in -10..12_000 {
            let moment = Moment::new(histories, Timestamp::from_secs(t));
            let judge = |pair| evaluate::judge_pair(&moment, &slo, pair, policy);
            let verdicts: Vec<_> = policy.pairs.iter().map(judge).collect();
            every_second.tick(&verdicts, Timestamp::from_secs(t));
        }
        let stepped = replayed(histories, &slo).expect("a policy and a history");
        assert_eq!(every_second.pairs, stepped.pairs);
        assert_eq!(every_second.firing[0], stepped.severities[0].firing);
    }
}

/// A policy of one pair of the workbook.
fn single(pair: usize) -> Arc<AlertPolicy> {
    let mut policy = (*AlertPolicy::workbook()).clone();
    policy.pairs = vec![policy.pairs[pair]];
    Arc::new(policy)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]

    /// Detection `L * B * b / e` and reset `S * (1 - B * b / e)` of a step incident after clean
    /// history, in whole ticks: fires at the first tick strictly past the one, and is reset at
    /// the first tick not before the other.
    #[test]
    fn the_closed_formulas_hold_for_the_engine(
        objective in 0_usize..4, pair in 0_usize..4, burn in 2_u64..400, extra in 0_u32..4_000,
    ) {
        let objective = ["99.9%", "99.95%", "99.99%", "99.999%"][objective];
        let slo = Slo { policy: Some(single(pair)), ..slo(objective, ShortThreshold::Same) };
        let policy = slo.policy.clone().expect("set");
        let (long, short) = (policy.pairs[0].long.as_secs(), policy.pairs[0].short.as_secs());
        // Bad events of 100,000 a second: `burn` times the budget.
        let budget = u64::from(slo.objective.budget_ppb()) / 10_000;
        let bad = (burn * budget).min(100_000);
        let (numerator, denominator) = policy.pairs[0].burn_threshold(slo.window.longest());
        let (numerator, denominator) = (numerator as u64, denominator as u64);
        // t_L = long * (numerator / denominator) * budget / bad
        let detect = long * numerator * budget / (denominator * bad) + 1;
        let length = u32::try_from(detect).expect("hours") + extra + short as u32;
        let fires = bad * denominator > numerator * budget;
        let series = [history(&[(0, length, bad)])];
        let histories = Histories { series: &series, of: &[0] };
        let replay = replayed(histories, &slo).expect("both");
        if !fires {
            proptest::prop_assert_eq!(write(&replay.pairs[0]), "-");
        } else if u64::from(length) <= long - short {
            // S * (1 - B * b / e), up: the tick at which the short window is down again.
            let still = short * numerator * budget / (denominator * bad);
            let expect = format!("{detect}-{}", u64::from(length) + short - still);
            proptest::prop_assert_eq!(write(&replay.pairs[0]), expect);
        } else {
            let on = write(&replay.pairs[0]);
            proptest::prop_assert!(on.starts_with(&format!("{detect}-")), "{}", on);
        }
    }

    /// A prober at an interval of `I` fires on failing probe `floor(B * b * L / I) + 1`.
    #[test]
    fn a_pair_fires_on_the_failing_probe_that_the_formula_names(
        objective in 0_usize..4, pair in 0_usize..2, interval in 0_usize..5,
    ) {
        let objective = ["99.9%", "99.95%", "99.99%", "99.999%"][objective];
        let interval = [1, 5, 10, 30, 60][interval];
        let slo = Slo { policy: Some(single(pair)), ..slo(objective, ShortThreshold::Same) };
        let policy = slo.policy.clone().expect("set");
        let long = policy.pairs[0].long.as_secs();
        let (numerator, denominator) = policy.pairs[0].burn_threshold(slo.window.longest());
        let ppb = u128::from(slo.objective.budget_ppb());
        let scale = denominator * 1_000_000_000 * u128::from(interval as u64);
        let probes = numerator * ppb * u128::from(long) / scale + 1;
        let step = Duration::from_secs(interval as u64);
        let mut series = Series::default();
        let clean = u32::try_from(CLEAN / interval).expect("fits");
        series.push(Timestamp::from_secs(-CLEAN), step, clean, Tally::of(Outcome::Good, 1));
        series.push(Timestamp::from_secs(0), step, 400, Tally::of(Outcome::Bad, 1));
        let series = [series];
        let histories = Histories { series: &series, of: &[0] };
        let replay = replayed(histories, &slo).expect("both");
        let expect = (probes as i64 - 1) * interval + 1;
        proptest::prop_assert_eq!(replay.pairs[0][0].on, Timestamp::from_secs(expect));
    }
}

/// One look-back that alone decides, and must hold for a while.
fn held(long: u64, hold: u64) -> Arc<AlertPolicy> {
    let pair = Pair {
        severity: Severity::Page,
        long: Duration::from_secs(long),
        short: Duration::from_secs(long),
        limit: crate::model::Limit::Burn { nano: 14_400_000_000, or_equal: false },
        hold: Duration::from_secs(hold),
    };
    Arc::new(AlertPolicy { pairs: vec![pair], ..(*AlertPolicy::workbook()).clone() })
}

#[test]
fn a_condition_that_must_hold_fires_once_it_has_held_all_that_time() {
    let pages = |incident: Incident<'_>, long, hold| {
        let series = [history(incident)];
        let histories = Histories { series: &series, of: &[0] };
        let slo = Slo { policy: Some(held(long, hold)), ..slo("99.9%", ShortThreshold::Same) };
        let replay = replayed(histories, &slo).expect("a policy and a history");
        write(&replay.severities[0].firing)
    };
    let outage: Incident<'_> = &[(0, 600, 100_000)];
    assert_eq!(pages(outage, 3_600, 0), "52-4149");
    assert_eq!(pages(outage, 3_600, 300), "352-4149");
    assert_eq!(pages(outage, 3_600, 4_096), "4148-4149");
    assert_eq!(pages(outage, 3_600, 4_097), "-");
    // 2 % for ten minutes; and a second that is out of sight after a minute.
    let burn: Incident<'_> = &[(0, 600, 2_000)];
    assert_eq!(pages(burn, 60, 300), "344-617");
    assert_eq!(pages(&[(0, 1, 100_000)], 60, 0), "1-61");
    assert_eq!(pages(&[(0, 1, 100_000)], 60, 59), "60-61");
    assert_eq!(pages(&[(0, 1, 100_000)], 60, 60), "-");
    // A good minute in between starts the time anew.
    let twice: Incident<'_> = &[(0, 200, 2_000), (320, 400, 2_000)];
    assert_eq!(pages(twice, 60, 300), "664-737");
}

#[test]
fn stepping_over_what_holds_changes_nothing() {
    let series = [history(&[(0, 200, 2_000), (320, 300, 2_000), (700, 1, 100_000)])];
    let histories = Histories { series: &series, of: &[0] };
    let slo = Slo { policy: Some(held(60, 45)), ..slo("99.9%", ShortThreshold::Same) };
    let policy = slo.policy.as_ref().expect("set");
    let mut every_second = Run::new(policy);
    for t in -10..1_200 {
        let moment = Moment::new(histories, Timestamp::from_secs(t));
        let verdict = evaluate::judge_pair(&moment, &slo, &policy.pairs[0], policy);
        every_second.tick(&[verdict], Timestamp::from_secs(t));
    }
    let stepped = replayed(histories, &slo).expect("a policy and a history");
    assert_eq!(every_second.pairs, stepped.pairs);
    assert_eq!(stepped.pairs[0].len(), 3);
}

#[test]
fn reaching_a_burn_rate_is_enough_only_where_somebody_says_so() {
    // Exactly 14.4 times the budget, for a minute.
    let series = [history(&[(0, 600, 1_440)])];
    let histories = Histories { series: &series, of: &[0] };
    let fires = |or_equal| {
        let mut policy = (*held(60, 0)).clone();
        policy.pairs[0].limit = crate::model::Limit::Burn { nano: 14_400_000_000, or_equal };
        let slo = Slo { policy: Some(Arc::new(policy)), ..slo("99.9%", ShortThreshold::Same) };
        write(&replayed(histories, &slo).expect("a history").severities[0].firing)
    };
    assert_eq!((fires(false).as_str(), fires(true).as_str()), ("-", "60-601"));
}
