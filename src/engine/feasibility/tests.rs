//! The published tables of the closed formulas, and their laws.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn slo(objective: &str, window_days: u64, policy: Option<Arc<AlertPolicy>>) -> Slo {
    Slo {
        probes: vec!["a/p".parse().expect("an id")],
        policy,
        ..Slo::new(
            "a/b".parse().expect("an id"),
            objective.parse().expect(objective),
            Duration::from_secs(window_days * 86_400),
        )
    }
}

fn workbook(objective: &str, interval: Duration) -> Feasibility {
    assess_slo(&slo(objective, 30, Some(AlertPolicy::workbook())), &[interval])
}

/// A policy with one pair.
fn policy(severity: Severity, minutes: (u64, u64), percent: u32, min_bad: u64) -> Arc<AlertPolicy> {
    Arc::new(AlertPolicy {
        name: "test".parse().expect("a name"),
        pairs: vec![Pair {
            severity,
            long: Duration::from_secs(minutes.0 * 60),
            short: Duration::from_secs(minutes.1 * 60),
            limit: crate::model::Limit::Budget(
                crate::model::Share::from_ppb(percent * 10_000_000).expect("a share"),
            ),
            hold: Duration::ZERO,
        }],
        short_threshold: ShortThreshold::Same,
        min_bad,
    })
}

#[test]
fn failing_probes_needed_are_those_of_the_closed_form() {
    let check = |objective: &str, expect: [(u64, u64); 5]| {
        for (secs, (fast, slow)) in [1, 5, 10, 30, 60].into_iter().zip(expect) {
            let pairs = workbook(objective, Duration::from_secs(secs)).pairs;
            let fires = (pairs[0].fires_on, pairs[1].fires_on);
            assert_eq!(fires, (Some(fast), Some(slow)), "{objective} every {secs} s");
        }
    };
    check("99.9%", [(52, 130), (11, 26), (6, 13), (2, 5), (1, 3)]);
    check("99.95%", [(26, 65), (6, 13), (3, 7), (1, 3), (1, 2)]);
    check("99.99%", [(6, 13), (2, 3), (1, 2), (1, 1), (1, 1)]);
    check("99.999%", [(1, 2), (1, 1), (1, 1), (1, 1), (1, 1)]);
}

#[test]
fn one_lost_probe_cannot_page_at_the_longest_interval_and_pages_above_it() {
    let check = |objective: &str, micros: u64| {
        let most = Duration::from_micros(micros);
        let fast = workbook(objective, most).pairs[0];
        assert_eq!((fast.interval_max, fast.fires_on), (most, Some(2)), "{objective}");
        let longer = workbook(objective, most + Duration::from_micros(1));
        assert_eq!(longer.pairs[0].fires_on, Some(1), "{objective}");
        let finding = Finding::OneLostProbePages(fast.pair, most);
        assert!(longer.findings.contains(&finding), "{:?}", longer.findings);
        assert_eq!(workbook(objective, most).findings, [], "{objective}");
    };
    check("99.9%", 51_840_000);
    check("99.95%", 25_920_000);
    check("99.99%", 5_184_000);
    check("99.999%", 518_400);
}

#[test]
fn one_lost_probe_costs_its_interval_of_the_budget() {
    let check = |secs, per_mille: u128| {
        let lost = workbook("99.999%", Duration::from_secs(secs)).lost_probe;
        assert_eq!(lost.times(Fraction::new(1_000, 1)).map(Fraction::floor), Some(per_mille));
    };
    // 3.86, 19.3, 38.6, 115.7 and 231.5 %, cut.
    check(1, 38);
    check(5, 192);
    check(10, 385);
    check(30, 1_157);
    check(60, 2_314);
}

#[test]
fn a_lost_probe_that_spends_everything_is_found() {
    let found = |secs| {
        let all = workbook("99.999%", Duration::from_secs(secs)).findings;
        all.contains(&Finding::LostProbeSpendsAll)
    };
    assert!(!found(25));
    assert!(found(26));
}

#[test]
fn clean_probes_are_those_of_the_exact_binomial() {
    let check = |objective: &str, n| {
        let objective = objective.parse().expect(objective);
        assert_eq!(clean_probes(objective), n, "{objective}");
    };
    check("99%", 299);
    check("99.5%", 598);
    check("99.9%", 2_995);
    check("99.95%", 5_990);
    check("99.99%", 29_956);
    check("99.995%", 59_914);
    check("99.999%", 299_572);
    check("50%", 5);
    check("4%", 1);
    check("0.000000001", 1);
}

#[test]
fn clean_time_is_the_probes_times_the_interval() {
    let time = |objective, secs| workbook(objective, Duration::from_secs(secs)).evidence_time;
    assert_eq!(time("99.999%", 10), Some(Duration::from_secs(2_995_720)));
    assert_eq!(time("99.9%", 1), Some(Duration::from_secs(2_995)));
    assert_eq!(time("99.99%", 60), Some(Duration::from_secs(29_956 * 60)));
}

#[test]
fn the_daemon_calls_the_objective_met_after_that_long_and_no_sooner() {
    use crate::model::evidence::Record;
    for objective in ["99%", "99.9%", "99.999%"] {
        for length in [1, 60, 300, 86_400].map(Duration::from_secs) {
            let slo = Slo { mean_outage: length, ..slo(objective, 30, None) };
            let after = met_after(&slo);
            let supports =
                |observed| Record { observed, ..Record::default() }.supports(slo.objective, length);
            assert!(supports(after + after / 1_000), "{objective} {length:?}");
            assert!(!supports(after - after / 1_000), "{objective} {length:?}");
        }
    }
}

#[test]
fn a_pair_is_dead_from_where_it_asks_for_everything() {
    // The fast pair of 30 d burns at 14.4: dead from a budget of 1/14.4, that is 6.94 %, on.
    let dead = |objective| {
        let all = workbook(objective, Duration::from_secs(1)).findings;
        all.iter().filter(|f| matches!(f, Finding::Dead(_))).count()
    };
    assert_eq!(dead("93.06%"), 0);
    assert_eq!(dead("93.05%"), 1);
    assert_eq!(dead("83.34%"), 1);
    assert_eq!(dead("83.33%"), 2);
    // Exactly everything is not more than everything: 50 % in an hour of two at 50 %.
    let half = slo("50%", 1, Some(policy(Severity::Page, (1_440, 60), 100, 1)));
    assert_eq!(assess_slo(&half, &[Duration::from_secs(1)]).findings, []);
    let exact = slo("50%", 1, Some(policy(Severity::Page, (720, 60), 100, 1)));
    let found = assess_slo(&exact, &[Duration::from_secs(1)]).findings;
    assert!(matches!(found[..], [Finding::Dead(_)]), "{found:?}");
}

#[test]
fn a_least_number_of_bad_probes_delays_the_page_and_ends_the_warning() {
    let with = |min_bad| {
        let slo = slo("99.999%", 30, Some(policy(Severity::Page, (60, 5), 2, min_bad)));
        assess_slo(&slo, &[Duration::from_secs(5)])
    };
    assert_eq!(with(1).pairs[0].fires_on, Some(1));
    assert!(matches!(with(1).findings[..], [Finding::OneLostProbePages(..)]));
    assert_eq!((with(3).pairs[0].fires_on, with(3).findings), (Some(3), vec![]));
    assert_eq!(with(60).pairs[0].fires_on, Some(60));
    // 300 s hold sixty probes every 5 s, and no more.
    assert_eq!(with(61).pairs[0].fires_on, None);
    assert!(matches!(with(61).findings[..], [Finding::TooFewSlots(_, 61)]));
}

#[test]
fn a_ticket_from_one_lost_probe_is_no_page() {
    let slo = slo("99.999%", 30, Some(policy(Severity::Ticket, (60, 5), 2, 1)));
    assert_eq!(assess_slo(&slo, &[Duration::from_secs(5)]).findings, []);
}

#[test]
fn a_short_window_below_the_interval_is_found() {
    let slo = slo("99%", 30, Some(policy(Severity::Ticket, (60, 1), 2, 1)));
    let found = assess_slo(&slo, &[Duration::from_secs(90)]).findings;
    assert!(matches!(found[..], [Finding::ShortBelowInterval(_)]), "{found:?}");
}

#[test]
fn several_probes_act_like_one_that_is_as_fast_as_all() {
    let slo = slo("99.99%", 30, Some(AlertPolicy::workbook()));
    let ten = Duration::from_secs(10);
    let both = assess_slo(&slo, &[ten, ten]);
    let one = assess_slo(&slo, &[Duration::from_secs(5)]);
    assert_eq!(both.pairs, one.pairs);
    assert_eq!((both.lost_probe, both.evidence_time), (one.lost_probe, one.evidence_time));
}

#[test]
fn intervals_without_a_common_measure_stay_in_range() {
    let primes = [10_007, 10_009, 10_037, 10_039, 10_061, 10_067, 10_069, 10_079, 10_091_u64];
    let intervals: Vec<_> = primes.iter().map(|p| Duration::from_micros(p * 1_000 + 1)).collect();
    let slo = slo("99.999%", 30, Some(AlertPolicy::workbook()));
    let all = assess_slo(&slo, &intervals);
    let slots = all.slots.floor();
    assert!((2_320_000..2_330_000).contains(&slots), "{slots}");
}

proptest! {
    #[test]
    fn the_number_to_fire_is_the_first_that_exceeds_the_threshold(
        objective in 500_000_000_u32..1_000_000_000, secs in 1_u64..120, percent in 1_u32..=20,
    ) {
        let objective = Objective::from_ppb(objective).expect("in range");
        let mut slo = slo("99%", 30, Some(policy(Severity::Page, (60, 5), percent, 1)));
        slo.objective = objective;
        let pair = assess_slo(&slo, &[Duration::from_secs(secs)]).pairs[0];
        let threshold = pair.pair.burn_threshold(slo.window.longest());
        // As if the hour were long enough for slots to be whole: everything times `secs`.
        let burns = |bad: u64| Counted { good: 3_600 - bad * secs, bad: bad * secs }
            .burns_above(objective, threshold);
        match pair.fires_on {
            Some(n) => {
                prop_assert!(n * secs > 3_600 || burns(n));
                prop_assert!(n == 1 || !burns(n - 1));
            }
            None => prop_assert!(!burns(3_600 / secs)),
        }
    }

    #[test]
    fn probing_more_often_never_makes_one_lost_probe_dearer(a in 1_u64..3_600, b in 1_u64..3_600) {
        let lost = |secs| workbook("99.99%", Duration::from_secs(secs)).lost_probe;
        let (fast, slow) = (lost(a.min(b)), lost(a.max(b)));
        let left = (fast.numerator, slow.denominator);
        let right = (slow.numerator, fast.denominator);
        let order = cmp_products(left.0, left.1, right.0, right.1);
        prop_assert!(order.is_le());
    }
}
