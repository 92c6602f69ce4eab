//! Windows over a history, against a count of single events.

use proptest::prelude::*;

use super::*;
use crate::model::Outcome;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}

/// A history as (gap before, step, number of events, outcome), and the same as single events.
fn histories() -> impl Strategy<Value = Vec<(u64, u64, u32, Outcome)>> {
    let outcome = prop_oneof![
        5 => Just(Outcome::Good), 2 => Just(Outcome::Bad),
        1 => Just(Outcome::Unknown), 1 => Just(Outcome::Excluded),
    ];
    prop::collection::vec((0_u64..50, 1_u64..12, 1_u32..40, outcome), 1..30)
}

fn build(history: &[(u64, u64, u32, Outcome)]) -> (Series, Vec<(i64, Tally)>) {
    let (mut series, mut events, mut now) = (Series::default(), Vec::new(), 0_i64);
    for &(gap, step, n, outcome) in history {
        now += gap as i64;
        series.push(at(now), secs(step), n, Tally::of(outcome, 1));
        for k in 0..i64::from(n) {
            events.push((now + k * step as i64, Tally::of(outcome, 1)));
        }
        now += step as i64 * i64::from(n);
    }
    (series, events)
}

fn naive(events: &[(i64, Tally)], from: i64, to: i64) -> Tally {
    events.iter().filter(|(due, _)| (from..to).contains(due)).map(|(_, tally)| *tally).sum()
}

proptest! {
    #[test]
    fn every_window_equals_a_count_of_single_events(
        history in histories(),
        length in 1_u64..3_000,
        ticks in prop::collection::vec(-10_i64..6_000, 20),
    ) {
        let (series, events) = build(&history);
        for tick in ticks {
            let expect = naive(&events, tick - length as i64, tick);
            prop_assert_eq!(series.window(secs(length), at(tick)), expect);
        }
        prop_assert_eq!(series.total(), naive(&events, i64::MIN, i64::MAX));
    }

    #[test]
    fn forgetting_keeps_totals_and_later_windows(history in histories(), edge in 0_i64..3_000) {
        let (mut series, events) = build(&history);
        let end = events.last().expect("not empty").0 + 1;
        series.forget_before(at(edge));
        prop_assert_eq!(series.total(), naive(&events, i64::MIN, i64::MAX));
        if end > edge {
            let length = secs((end - edge) as u64);
            prop_assert_eq!(series.window(length, at(end)), naive(&events, edge, end));
        }
    }

    #[test]
    fn single_events_and_runs_build_the_same_history(history in histories(), tick in 0_i64..6_000) {
        let (runs, events) = build(&history);
        let mut single = Series::default();
        events.iter().for_each(|(due, tally)| single.push(at(*due), secs(0), 1, *tally));
        prop_assert_eq!(single.before(at(tick)), runs.before(at(tick)));
        prop_assert_eq!(single.total(), runs.total());
    }

    #[test]
    fn steady_windows_keep_their_counts(
        history in histories(),
        tick in 0_i64..2_000,
        lengths in prop::collection::vec(1_u64..500, 1..4),
    ) {
        let (series, _) = build(&history);
        let edges: Vec<_> = lengths.iter().map(|n| secs(*n)).chain([secs(0)]).collect();
        let steady = series.steady_seconds(&edges, at(tick)).min(5_000) as i64;
        for later in [1, steady / 2, steady].iter().filter(|later| **later <= steady) {
            for length in &lengths {
                let now = series.window(secs(*length), at(tick));
                prop_assert_eq!(series.window(secs(*length), at(tick + later)), now);
            }
        }
    }

    #[test]
    fn a_clipped_history_holds_exactly_its_events(
        history in histories(), from in 0_i64..2_000, length in 0_i64..2_000, tick in 0_i64..4_000,
    ) {
        let (series, events) = build(&history);
        let clipped = series.clip(at(from), at(from + length));
        let expect = naive(&events, from, (from + length).min(tick));
        prop_assert_eq!(clipped.before(at(tick)), expect);
    }

    #[test]
    fn bad_runs_cover_exactly_the_bad_events(history in histories(), from in 0_i64..3_000) {
        let (series, events) = build(&history);
        let runs = series.bad_runs(at(from), false);
        let bad: u64 = runs.map(|run| u64::from(run.n) * run.each.bad).sum();
        prop_assert_eq!(bad, naive(&events, from, i64::MAX).bad);
    }
}

#[test]
fn healthy_time_costs_nothing() {
    let mut series = Series::default();
    for k in 0..100_000 {
        series.push(at(k * 5), secs(5), 1, Tally::of(Outcome::Good, 1));
    }
    assert_eq!(series.segments(), 1);
}

#[test]
fn a_flapping_target_is_thinned_toward_worse_and_its_last_day_stays_exact() {
    let mut series = Series::default();
    let mut events = Vec::new();
    for k in 0..3 * 86_400_i64 {
        let outcome = if k % 2 == 0 { Outcome::Good } else { Outcome::Bad };
        series.push(at(k), secs(1), 1, Tally::of(outcome, 1));
        events.push((k, Tally::of(outcome, 1)));
    }
    let end = 3 * 86_400;
    assert!(series.segments() < 2 * 86_400 + 4 * 1_440 + EXACT_RUNS, "{}", series.segments());
    assert_eq!(series.total(), naive(&events, 0, end));
    for length in [1, 59, 3_600, 86_399] {
        assert_eq!(series.window(secs(length), at(end)), naive(&events, end - length as i64, end));
    }
    for length in [100_000_u64, 150_001, 200_030] {
        let (read, exact) =
            (series.window(secs(length), at(end)), naive(&events, end - length as i64, end));
        assert!(read.bad >= exact.bad && read.good <= exact.good, "errs toward worse");
        assert!(
            read.bad - exact.bad <= 30 && exact.good - read.good <= 30,
            "by less than a minute"
        );
    }
}

#[test]
fn the_record_counts_outages_and_known_time() {
    let mut series = Series::default();
    let mut push = |start, n, outcome| series.push(at(start), secs(10), n, Tally::of(outcome, 1));
    push(0, 10, Outcome::Good);
    push(100, 3, Outcome::Bad);
    push(130, 2, Outcome::Unknown);
    push(150, 1, Outcome::Bad);
    push(160, 10, Outcome::Good);
    push(260, 1, Outcome::Bad);
    let record = series.record();
    assert_eq!((record.outages, record.outage_time), (2, secs(50)));
    assert_eq!(record.observed, secs(250));
}
