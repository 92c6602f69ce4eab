//! Derived histories against a count of single slots.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::maintenance::When;
use crate::model::window::Period;

fn at(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}

fn maintenance(effect: Effect, from: i64, to: i64) -> Arc<Maintenance> {
    Arc::new(Maintenance {
        name: format!("m{from}").parse().expect("a name"),
        services: vec!["svc".parse().expect("a name")],
        when: When::Once(Period { start: at(from), end: at(to) }),
        effect,
        reason: None,
        author: None,
    })
}

const OUTCOMES: [Outcome; 4] = [Outcome::Good, Outcome::Bad, Outcome::Unknown, Outcome::Excluded];

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(&OUTCOMES[..])
}

/// Stretches of equal slots, a second apart.
fn slots() -> impl Strategy<Value = Vec<Outcome>> {
    prop::collection::vec((outcome(), 1_usize..60), 1..30).prop_map(|runs| {
        runs.into_iter().flat_map(|(outcome, n)| std::iter::repeat_n(outcome, n)).collect()
    })
}

fn strips() -> impl Strategy<Value = Vec<(i64, i64, Outcome)>> {
    prop::collection::vec((0_i64..900, 0_i64..300, outcome()), 0..6)
}

fn windows() -> impl Strategy<Value = Vec<(i64, i64, bool)>> {
    prop::collection::vec((0_i64..900, 1_i64..200, any::<bool>()), 0..4)
}

fn amendments(strips: &[(i64, i64, Outcome)], windows: &[(i64, i64, bool)]) -> Amendments {
    let strip = |(from, n, outcome): &(i64, i64, Outcome)| Strip {
        from: at(*from),
        to: at(from + n),
        outcome: *outcome,
    };
    let window = |(from, n, mutes): &(i64, i64, bool)| {
        maintenance(if *mutes { Effect::Mute } else { Effect::Exclude }, *from, from + n)
    };
    let strips: Vec<Strip> = strips.iter().map(strip).collect();
    Amendments::new(windows.iter().map(window).collect(), &strips)
}

/// How one slot is to count, by the letter of the order.
fn naive(
    n: i64,
    measured: Outcome,
    strips: &[(i64, i64, Outcome)],
    windows: &[(i64, i64, bool)],
) -> Outcome {
    let within = |from: i64, length: i64| from <= n && n < from + length;
    let corrected = strips.iter().rev().find(|(from, length, _)| within(*from, *length));
    let excluded = windows.iter().any(|(from, length, mutes)| !mutes && within(*from, *length));
    match corrected {
        Some((_, _, outcome)) => *outcome,
        None if excluded => Outcome::Excluded,
        None => measured,
    }
}

fn window(histories: Histories<'_>, from: i64, to: i64) -> Tally {
    histories.before(at(to)) - histories.before(at(from))
}

proptest! {
    /// Every window counts what a walk over its slots counts, however history grew.
    #[test]
    fn every_window_equals_a_count_of_single_slots(
        slots in slots(), strips in strips(), windows in windows(), part in 1_usize..400,
        from in 0_i64..900, length in 0_i64..900,
    ) {
        let amendments = amendments(&strips, &windows);
        let mut series = vec![Series::default()];
        let mut amended: Option<Amended> = None;
        for (k, chunk) in slots.chunks(part).enumerate() {
            let first = (k * part) as i64;
            for (n, outcome) in chunk.iter().enumerate() {
                let due = at(first + n as i64);
                series[0].push(due, Duration::from_secs(1), 1, Tally::of(*outcome, 1));
            }
            let measured = Histories { series: &series, of: &[0] };
            match &mut amended {
                Some(amended) => amended.extend(measured, &amendments),
                None => amended = amendments.apply(measured),
            }
        }
        let measured = Histories { series: &series, of: &[0] };
        let counted = amended.as_ref().map_or(measured, Amended::histories);
        let expect = |from: i64, to: i64| {
            let all = slots.iter().zip(0_i64..).filter(|(_, n)| (from..to).contains(n));
            let count = |(outcome, n): (&Outcome, i64)| naive(n, *outcome, &strips, &windows);
            all.map(|slot| Tally::of(count(slot), 1)).sum::<Tally>()
        };
        for (from, to) in [(from, from + length), (0, 2_000)] {
            let tally = window(counted, from, to);
            prop_assert_eq!(tally, expect(from, to));
            prop_assert_eq!(tally.scheduled(), window(measured, from, to).scheduled());
        }
        // At once or little by little: the same.
        let at_once = amendments.apply(measured);
        let at_once = at_once.as_ref().map_or(measured, Amended::histories);
        prop_assert_eq!(window(at_once, from, from + length), expect(from, from + length));
        prop_assert_eq!(at_once.record(), counted.record());
    }

    /// Where memory has let go, totals go on and windows that are held are exact.
    #[test]
    fn forgetting_changes_no_window_that_is_still_held(
        slots in slots(), strips in strips(), edge in 0_i64..600,
    ) {
        let amendments = amendments(&strips, &[]);
        let mut series = vec![Series::default()];
        for (outcome, n) in slots.iter().zip(0_i64..) {
            series[0].push(at(n), Duration::from_secs(1), 1, Tally::of(*outcome, 1));
        }
        let whole = amendments.over(series.clone());
        series[0].forget_before(at(edge));
        let part = amendments.over(series.clone());
        let held = part[0].forgotten().map_or(0, |last| last.micros() / 1_000_000 + 1);
        for from in [held, held + 50] {
            let count = |series: &Series| series.before(at(2_000)) - series.before(at(from));
            prop_assert_eq!(count(&part[0]), count(&whole[0]));
        }
        prop_assert_eq!(part[0].total().scheduled(), whole[0].total().scheduled());
    }
}

#[test]
fn without_anything_to_say_there_is_no_second_history() {
    let mute = Amendments::new(vec![maintenance(Effect::Mute, 0, 10)], &[]);
    for amendments in [Amendments::default(), mute] {
        assert!(amendments.apply(Histories { series: &[Series::default()], of: &[0] }).is_none());
    }
}

#[test]
fn a_strip_lies_over_those_before_it_and_leaves_what_sticks_out() {
    let strip = |from, to, outcome| Strip { from: at(from), to: at(to), outcome };
    let amendments = Amendments::new(
        Vec::new(),
        &[
            strip(0, 100, Outcome::Excluded),
            strip(40, 60, Outcome::Bad),
            strip(50, 50, Outcome::Good),
            strip(90, 120, Outcome::Good),
        ],
    );
    assert_eq!(
        amendments.strips,
        [
            strip(0, 40, Outcome::Excluded),
            strip(40, 60, Outcome::Bad),
            strip(60, 90, Outcome::Excluded),
            strip(90, 120, Outcome::Good),
        ]
    );
    let corrects = |from, to| amendments.corrects(at(from), at(to));
    assert!(corrects(0, 1) && corrects(119, 500) && !corrects(120, 500) && !corrects(-9, 0));
}

/// Two days of a target that answers every other second, so that history older than a day is
/// kept by the minute only.
fn flapping() -> Vec<Series> {
    let mut series = Series::default();
    for n in 0..2 * 86_400 {
        let outcome = if n % 2 == 0 { Outcome::Good } else { Outcome::Bad };
        series.push(at(n), Duration::from_secs(1), 1, Tally::of(outcome, 1));
    }
    vec![series]
}

#[test]
fn an_edge_in_a_minute_that_is_told_apart_no_longer_errs_toward_worse_and_says_so() {
    let series = flapping();
    let measured = Histories { series: &series, of: &[0] };
    let check = |from: i64, to: i64, outcome, expect: Tally, coarse| {
        let amendments =
            Amendments::new(Vec::new(), &[Strip { from: at(from), to: at(to), outcome }]);
        let amended = amendments.apply(measured).expect("a correction");
        let before = |histories: Histories<'_>| histories.before(at(7_200));
        let tally = before(amended.histories());
        assert_eq!(tally, expect, "{from} to {to} {outcome:?}");
        assert_eq!(tally.scheduled(), before(measured).scheduled());
        assert_eq!(amended.coarse(), coarse, "{from} to {to} {outcome:?}");
    };
    let tally = |good, bad, excluded| Tally { good, bad, unknown: 0, excluded };
    // Whole minutes are exact.
    check(600, 1_200, Outcome::Excluded, tally(3_300, 3_300, 600), 0);
    // Half minutes at both ends: their bad events stay, and their good ones leave all the same.
    check(630, 1_170, Outcome::Excluded, tally(3_300, 3_360, 540), 120);
    check(630, 1_170, Outcome::Good, tally(3_840, 3_360, 0), 120);
    check(630, 1_170, Outcome::Bad, tally(3_300, 3_900, 0), 120);
    // What is younger is exact to the event.
    let amendments = Amendments::new(
        Vec::new(),
        &[Strip { from: at(170_001), to: at(170_011), outcome: Outcome::Excluded }],
    );
    let amended = amendments.apply(measured).expect("a correction");
    assert_eq!(window(amended.histories(), 170_000, 170_020), tally(5, 5, 10));
    assert_eq!(amended.coarse(), 0);
}

#[test]
fn maintenance_is_ongoing_from_its_beginning_to_before_its_end() {
    let both = vec![maintenance(Effect::Mute, 10, 20), maintenance(Effect::Exclude, 15, 30)];
    let amendments = Amendments::new(both, &[]);
    let ongoing = |n| {
        let Ongoing { exclude, mute, until } = amendments.maintenance(at(n));
        (exclude.is_some(), mute.is_some(), until)
    };
    assert_eq!(ongoing(9), (false, false, at(10)));
    assert_eq!(ongoing(10), (false, true, at(15)));
    assert_eq!(ongoing(15), (true, true, at(20)));
    assert_eq!(ongoing(20), (true, false, at(30)));
    assert_eq!(ongoing(30), (false, false, FAR));
    assert_eq!(amendments.unmuted_from(at(12), at(100)), Some(at(20)));
    assert_eq!(amendments.unmuted_from(at(12), at(20)), None);
    assert_eq!(amendments.unmuted_from(at(5), at(20)), Some(at(5)));
}

#[test]
fn the_order_of_slots_in_two_series_does_not_matter() {
    let mut series = vec![Series::default(), Series::default()];
    let amendments =
        Amendments::new(Vec::new(), &[Strip { from: at(5), to: at(9), outcome: Outcome::Good }]);
    let mut amended = Amended::of(Histories { series: &series, of: &[0, 1] }, &amendments);
    let mut expect: BTreeMap<bool, u64> = BTreeMap::new();
    for n in 0..20 {
        // One series is ahead of the other.
        for (one, due) in [(0, n), (1, n / 2)] {
            if one == 0 || n % 2 == 0 {
                series[one].push(at(due), Duration::ZERO, 1, Tally::of(Outcome::Bad, 1));
                *expect.entry((5..9).contains(&due)).or_default() += 1;
            }
        }
        amended.extend(Histories { series: &series, of: &[0, 1] }, &amendments);
    }
    let total = amended.histories().before(at(100));
    assert_eq!((total.good, total.bad), (expect[&true], expect[&false]));
}
