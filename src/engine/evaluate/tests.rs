//! Calendar windows against a naive model that walks over every slot, around the changes of the
//! clocks; and what is said of a period before and at its end.

use proptest::prelude::*;

use super::*;
use crate::engine::backtest::status_at;
use crate::engine::status::Exhaustion;
use crate::model::Outcome;
use crate::model::window::{Calendar, Unit, Window};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn slo(objective: &str, unit: Unit, zone: &str) -> Slo {
    Slo {
        policy: Some(AlertPolicy::workbook()),
        ..Slo::new(
            "svc/availability".parse().expect("valid"),
            objective.parse().expect("valid"),
            Window::Calendar(Calendar::of(unit, zone.parse().expect("a zone"))),
        )
    }
}

/// Slots every `step` seconds from a moment on: so many of each outcome, one stretch after the
/// other.
fn series(from: Timestamp, step: u64, stretches: &[(Outcome, u32)]) -> [Series; 1] {
    let (mut series, mut due, step) = (Series::default(), from, Duration::from_secs(step));
    for &(outcome, n) in stretches {
        series.push(due, step, n, Tally::of(outcome, 1));
        due = due.plus(step * n);
    }
    [series]
}

fn status(series: &[Series], slo: &Slo, moment: &str) -> SloStatus {
    status_at(Histories { series, of: &[0] }, slo, at(moment))
}

#[test]
fn a_budget_is_that_of_the_whole_period_by_the_zones_own_length() {
    let check = |zone: &str, moment: &str, micros: u64| {
        let slo = slo("99.999%", Unit::Month, zone);
        let one = series(at(moment).minus(Duration::from_secs(60)), 10, &[(Outcome::Good, 6)]);
        let status = status(&one, &slo, moment);
        assert_eq!(status.budget.total_time(), Duration::from_micros(micros), "{zone} {moment}");
    };
    check("Europe/Berlin", "2026-03-15T00:00:00Z", 26_748_000);
    check("Europe/Berlin", "2026-10-15T00:00:00Z", 26_820_000);
    check("UTC", "2026-02-15T00:00:00Z", 24_192_000);
    check("UTC", "2028-02-15T00:00:00Z", 25_056_000);
}

#[test]
fn events_of_the_whole_period_are_expected_from_its_first_second_on() {
    // A day of 25 hours in Berlin, a probe each 10 s: 9,000 slots, of which 1 % may be bad.
    let slo = slo("99%", Unit::Day, "Europe/Berlin");
    let good = series(at("2026-10-23T22:00:00Z"), 10, &[(Outcome::Good, 20_000)]);
    let early = status(&good, &slo, "2026-10-24T22:00:10Z");
    assert_eq!(early.period.start, at("2026-10-24T22:00:00Z"));
    assert_eq!(early.period.length(), Duration::from_secs(25 * 3_600));
    assert_eq!((early.tally.good, early.budget.total_events().as_str()), (1, "90"));
    // One second earlier the tick speaks of the whole day before.
    let before = status(&good, &slo, "2026-10-24T22:00:00Z");
    assert_eq!((before.tally.good, before.budget.total_events().as_str()), (8_640, "86.4"));
}

#[test]
fn a_period_is_safe_or_lost_before_its_end_and_kept_or_spent_at_it() {
    let slo = slo("90%", Unit::Day, "UTC");
    // 8,640 slots, of which 864 may be bad.
    let day = |bad: u32| {
        series(
            at("2026-06-01T00:00:00Z"),
            10,
            &[(Outcome::Good, 100), (Outcome::Bad, bad), (Outcome::Good, 9_000)],
        )
    };
    let said = |bad, moment: &str| status(&day(bad), &slo, moment).accounting;
    assert_eq!(said(864, "2026-06-01T03:00:00Z"), Accounting::WithinBudget);
    assert_eq!(said(865, "2026-06-01T03:00:00Z"), Accounting::Lost);
    // 364 are left: safe once no more than that many slots are to come.
    assert_eq!(said(500, "2026-06-01T22:59:10Z"), Accounting::WithinBudget);
    assert_eq!(said(500, "2026-06-01T22:59:11Z"), Accounting::Safe);
    assert_eq!(said(864, "2026-06-02T00:00:00Z"), Accounting::WithinBudget);
    assert_eq!(said(865, "2026-06-02T00:00:00Z"), Accounting::Spent);
    assert_eq!(said(865, "2026-06-02T00:00:01Z"), Accounting::WithinBudget);
    let lost = status(&day(865), &slo, "2026-06-01T03:00:00Z");
    assert_eq!(lost.evidence, Evidence::Breached);
    assert_eq!(lost.exhaustion, Exhaustion::In(Duration::ZERO));
}

#[test]
fn what_is_excluded_or_unknown_shrinks_the_budget_and_not_the_rest() {
    let slo = slo("90%", Unit::Day, "UTC");
    let day = series(
        at("2026-06-01T00:00:00Z"),
        10,
        &[(Outcome::Good, 1_000), (Outcome::Unknown, 640), (Outcome::Good, 1_000)],
    );
    let status = status(&day, &slo, "2026-06-01T06:00:00Z");
    // 1,520 good, 640 unknown, 6,480 to come.
    assert_eq!(status.budget.total_events(), "800");
    assert_eq!(status.tally.unknown, 640);
}

#[test]
fn a_forecast_ends_with_the_period() {
    let slo = slo("99%", Unit::Day, "UTC");
    // Two hours at 2 % bad, in the shape of each 50th slot: 86.4 of 8,640 allowed.
    let burning = |until: &str| {
        let mut series = Series::default();
        let step = Duration::from_secs(10);
        let end = at(until);
        let mut due = at("2026-06-01T00:00:00Z");
        let burns_from = end.minus(Duration::from_secs(7_200));
        for k in 0_u32.. {
            if due >= end {
                break;
            }
            let bad = due >= burns_from && k.is_multiple_of(10);
            let outcome = if bad { Outcome::Bad } else { Outcome::Good };
            series.push(due, step, 1, Tally::of(outcome, 1));
            due = due.plus(step);
        }
        status(&[series], &slo, until).exhaustion
    };
    // 72 bad of 86.4 are used; 14.4 more at one each 100 s.
    assert_eq!(burning("2026-06-01T12:00:00Z"), Exhaustion::In(Duration::from_secs(1_440)));
    assert_eq!(burning("2026-06-01T23:40:00Z"), Exhaustion::Never);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_calendar_window_equals_a_walk_over_every_slot(
        stretches in prop::collection::vec(
            (prop::sample::select(vec![
                Outcome::Good, Outcome::Good, Outcome::Bad, Outcome::Unknown, Outcome::Excluded,
            ]), 1_u32..900),
            1..24,
        ),
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
        begin in prop::sample::select(vec![
            "2026-03-28T11:00:07Z", "2026-10-24T08:00:03Z", "2026-03-07T20:00:00Z",
            "2026-04-04T09:30:01Z", "2026-10-31T14:00:02Z",
        ]),
        after in 1_u64..200_000,
        step in prop::sample::select(vec![7_u64, 30, 60]),
    ) {
        let slo = slo("97%", Unit::Day, zone);
        let from = at(begin);
        let series = series(from, step, &stretches);
        let n: u32 = stretches.iter().map(|(_, n)| n).sum();
        let end = from.plus(Duration::from_secs(step * u64::from(n)));
        // Live, nothing is judged that is not yet known.
        let moment = from.plus(Duration::from_secs(after)).min(end.floor_second());
        let period = slo.window.period(moment);
        let mut tally = Tally::ZERO;
        let mut rest = 0;
        let outcomes = stretches.iter().flat_map(|(o, n)| std::iter::repeat_n(*o, *n as usize));
        let mut outcomes = outcomes.map(Some).chain(std::iter::repeat(None));
        let mut due = from;
        while due < period.end.max(moment) {
            let outcome = outcomes.next().flatten();
            if due >= period.start && due < moment {
                tally += outcome.map_or(Tally::ZERO, |outcome| Tally::of(outcome, 1));
            }
            rest += u64::from(due >= moment && due < period.end);
            due = due.plus(Duration::from_secs(step));
        }
        let status = status_at(Histories { series: &series, of: &[0] }, &slo, moment);
        prop_assert_eq!(status.tally, tally);
        prop_assert_eq!((status.period, status.budget.rest), (period, rest));
        let (bad, all) = (u128::from(tally.bad), u128::from(tally.known() + rest));
        let spent = bad * 100 > 3 * all;
        let safe = rest > 0 && (bad + u128::from(rest)) * 100 <= 3 * all;
        let expect = match (spent, rest > 0) {
            (true, true) => Accounting::Lost,
            (true, false) => Accounting::Spent,
            (false, _) => if safe { Accounting::Safe } else { Accounting::WithinBudget },
        };
        prop_assert_eq!(status.accounting, expect);
    }
}

/// An SLO over a day with this least coverage.
fn covered(objective: &str, least: &str) -> Slo {
    let least = Some(least.parse().expect("a share"));
    Slo {
        min_coverage: least,
        window: Duration::from_secs(86_400).into(),
        ..slo(objective, Unit::Day, "UTC")
    }
}

#[test]
fn below_its_least_coverage_an_slo_has_no_verdict() {
    let check = |slo: &Slo, stretches: &[(Outcome, u32)], expect| {
        let n: u32 = stretches.iter().map(|(_, n)| n).sum();
        let begin = at("2026-06-02T00:00:00Z").minus(Duration::from_secs(10) * n);
        let series = series(begin, 10, stretches);
        let status = status(&series, slo, "2026-06-02T00:00:00Z");
        assert_eq!(status.accounting, expect, "{stretches:?}");
        let met = status.evidence == Evidence::Met;
        assert!(!(met && expect == Accounting::NoData), "{stretches:?}");
        let of = [0];
        let histories = Histories { series: &series, of: &of };
        let moment = Moment::new(histories, at("2026-06-02T00:00:00Z"));
        assert_eq!(is_exhausted(&moment, slo), status.accounting.is_missed(), "{stretches:?}");
    };
    use Accounting::{NoData, Spent, WithinBudget};
    use Outcome::{Bad, Excluded, Good, Unknown};
    let slo = covered("90%", "90%");
    // 8,640 slots in a day, 864 of which may be bad.
    check(&slo, &[(Good, 7_776), (Unknown, 864)], WithinBudget);
    check(&slo, &[(Good, 7_775), (Unknown, 865)], NoData);
    check(&slo, &[(Good, 7_775)], NoData);
    // More than a tenth of what was measured is bad, but the rest may have been good.
    check(&slo, &[(Good, 1_000), (Bad, 800), (Unknown, 6_840)], NoData);
    check(&slo, &[(Good, 1_000), (Bad, 864), (Unknown, 6_776)], NoData);
    // Nothing that was not measured could undo this.
    check(&slo, &[(Good, 1_000), (Bad, 865), (Unknown, 6_775)], Spent);
    check(&slo, &[(Good, 1_000), (Bad, 900)], Spent);
    // What is left out need not be measured; but something must be.
    check(&slo, &[(Good, 900), (Excluded, 7_740)], WithinBudget);
    check(&slo, &[(Excluded, 8_640)], NoData);
    let silent = Slo { min_coverage: None, ..slo };
    check(&silent, &[(Good, 1), (Unknown, 8_639)], WithinBudget);
}

#[test]
fn of_a_calendar_period_what_is_still_to_come_may_be_good() {
    let slo =
        Slo { min_coverage: Some("90%".parse().expect("a share")), ..slo("90%", Unit::Day, "UTC") };
    let said = |bad, unknown| {
        let stretches = [(Outcome::Bad, bad), (Outcome::Unknown, unknown), (Outcome::Good, 10)];
        let series = series(at("2026-06-01T00:00:00Z"), 10, &stretches);
        let begun = Duration::from_secs(10) * (bad + unknown + 10);
        status_at(
            Histories { series: &series, of: &[0] },
            &slo,
            at("2026-06-01T00:00:00Z").plus(begun),
        )
        .accounting
    };
    assert_eq!(said(864, 1_000), Accounting::NoData);
    assert_eq!(said(865, 1_000), Accounting::Lost);
    assert_eq!(said(10, 1), Accounting::WithinBudget);
}

#[test]
fn a_pair_decides_at_the_coverage_that_the_slo_wants() {
    let fires = |least: Option<&str>, bad: u32, unknown: u32| {
        let slo = Slo {
            min_coverage: least.map(|least| least.parse().expect("a share")),
            window: Duration::from_secs(30 * 86_400).into(),
            ..slo("99%", Unit::Day, "UTC")
        };
        // The short window is five minutes, and all bad.
        let good = 360 - bad - unknown;
        let stretches = [(Outcome::Good, good), (Outcome::Unknown, unknown), (Outcome::Bad, bad)];
        let series = series(at("2026-06-01T00:00:00Z"), 10, &stretches);
        let moment =
            Moment::new(Histories { series: &series, of: &[0] }, at("2026-06-01T01:00:00Z"));
        firing_pairs(&moment, &slo, &[])[0]
    };
    // 360 slots in the hour; 14.4 times 1 % is 14.4 %, 51.84 of them.
    assert!(fires(None, 45, 120) && fires(Some("60%"), 45, 120), "45 of 240 are more");
    assert!(!fires(Some("90%"), 45, 120), "a third of the hour is missing");
    assert!(fires(Some("90%"), 52, 120), "too many even if all the rest were good");
    assert!(!fires(None, 45, 190) && fires(Some("40%"), 45, 190));
}

#[test]
fn a_short_window_of_nothing_but_excluded_slots_ends_what_unknown_ones_hold() {
    let holds = |last: Outcome| {
        let stretches = [(Outcome::Good, 230), (Outcome::Bad, 100), (last, 30)];
        let series = series(at("2026-06-01T00:00:00Z"), 10, &stretches);
        let slo = slo("99%", Unit::Month, "UTC");
        let moment =
            Moment::new(Histories { series: &series, of: &[0] }, at("2026-06-01T01:00:00Z"));
        firing_pairs(&moment, &slo, &[true; 4])[0]
    };
    assert!(holds(Outcome::Bad) && holds(Outcome::Unknown));
    assert!(!holds(Outcome::Good) && !holds(Outcome::Excluded));
}

/// What may be claimed after these stretches, a slot every 10 s, if outages are declared to last
/// so many seconds on average.
fn claimed(declared: u64, stretches: &[(Outcome, u32)]) -> SloStatus {
    let slo = Slo {
        mean_outage: Duration::from_secs(declared),
        window: Duration::from_secs(30 * 86_400).into(),
        ..slo("99%", Unit::Month, "UTC")
    };
    let n: u32 = stretches.iter().map(|(_, n)| n).sum();
    let start = at("2026-06-01T00:00:00Z");
    let end = start.plus(Duration::from_secs(10) * n);
    status_at(Histories { series: &series(start, 10, stretches), of: &[0] }, &slo, end)
}

#[test]
fn shorter_outages_that_are_declared_prove_sooner_by_the_formula() {
    for declared in [1_u32, 60, 300, 86_400] {
        // g(0) m / b, in slots.
        let needed =
            (evidence::evidence_units(0) * f64::from(declared) / 0.01 / 10.0).ceil() as u32;
        let after = |n| claimed(declared.into(), &[(Outcome::Good, n)]);
        let (short, enough) = (after(needed - 1), after(needed));
        assert_eq!((short.evidence, enough.evidence), (Evidence::NotYetProven, Evidence::Met));
        assert_eq!(enough.proof.assumed_outage, Duration::from_secs(declared.into()));
        let earliest = short.proof.earliest.expect("not proven yet").since(short.at);
        assert!(earliest <= Duration::from_secs(10), "{declared}: {earliest:?}");
    }
}

#[test]
fn outages_that_last_longer_than_was_declared_count_for_what_they_are() {
    // Three of 200 s in 30,000 slots.
    let outage = [(Outcome::Bad, 20), (Outcome::Good, 9_980)];
    let stretches = [outage, outage, outage].concat();
    let supported = |mean: f64| {
        let lost = evidence::evidence_units(3) * mean / 300_000.0;
        Some(((1.0 - lost) * 1e9).floor() as u32)
    };
    for (declared, assumed) in [(1, 200), (60, 200), (200, 200), (300, 300), (86_400, 86_400)] {
        let proof = claimed(declared, &stretches).proof;
        assert_eq!((proof.record.outages, proof.record.observed.as_secs()), (3, 300_000));
        assert_eq!(proof.assumed_outage, Duration::from_secs(assumed), "{declared}");
        let expect = supported(assumed as f64).filter(|_| assumed < 1_000).or(Some(0));
        assert_eq!(proof.supported_ppb, expect, "{declared}");
    }
}
