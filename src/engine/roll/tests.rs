//! Slots in whatever order they come, over changes of the grid, restarts and slices.

use proptest::prelude::*;

use super::*;
use crate::model::{BadReason, Phases};

fn at(n: i64) -> Timestamp {
    Timestamp::from_secs(n)
}

fn observation(due: i64, verdict: Verdict, latency_ms: u64) -> Observation {
    Observation {
        series: SeriesId(1),
        due: at(due),
        lag: Duration::ZERO,
        latency: Some(Duration::from_millis(latency_ms)),
        phases: Phases::default(),
        verdict,
        detail: None,
        certificate_not_after: None,
    }
}

fn roll() -> Roll {
    Roll::new(SeriesId(1), Duration::from_secs(5), vec![100_000, 300_000])
}

fn give_back(roll: &mut Roll, kept: &Observation) {
    roll.restore_slot(kept.due, kept.verdict, kept.latency);
}

fn slots(runs: &[Run]) -> Vec<(i64, Verdict)> {
    let due = |run: &Run, k: u32| run.start.plus(run.step * k).micros() / 1_000_000;
    runs.iter().flat_map(|run| (0..run.n).map(move |k| (due(run, k), run.verdict))).collect()
}

proptest! {
    #[test]
    fn slots_come_out_once_and_in_order_however_they_arrive(
        order in Just((0_i64..40).collect::<Vec<_>>()).prop_shuffle(), window in 1_usize..8,
    ) {
        // Shuffle only within a bounded distance, as probes in flight do.
        let mut order = order;
        order.sort_by_key(|k| *k as usize / window * window);
        let mut roll = roll();
        roll.close_gap(at(0), UnknownReason::NotRunning);
        let mut accepted = Vec::new();
        for k in order {
            accepted.extend(roll.observe(&observation(k * 5, Verdict::Good, 1)).accepted);
        }
        let expect: Vec<_> = (0..40).map(|k| (k * 5, Verdict::Good)).collect();
        prop_assert_eq!(slots(&accepted), expect);
    }

    #[test]
    fn closing_at_any_moment_loses_no_slot(
        edges in prop::collection::btree_set(0_i64..9, 1..9),
    ) {
        let step = Duration::from_secs(97);
        let mut roll = Roll::new(SeriesId(1), step, vec![100_000, 300_000]);
        for k in 0..50 {
            let latency = if k % 7 == 0 { 200 } else { 1 };
            roll.observe(&observation(k * 97 + 3, Verdict::Good, latency));
        }
        let ends = edges.iter().map(|edge| at(edge * 600));
        let slices: Vec<_> = ends.filter_map(|end| roll.close(end)).collect();
        let rest = roll.close(at(10_000));
        let closed = slices.iter().chain(&rest);
        let all: Vec<_> = closed.flat_map(|slice| slots(&slice.runs)).collect();
        prop_assert_eq!(all.len(), 50);
        prop_assert!(all.is_sorted_by_key(|(due, _)| *due));
        for slice in slices.iter().chain(&rest) {
            let within = slice.start..slice.end;
            prop_assert!(slots(&slice.runs).iter().all(|(due, _)| within.contains(&at(*due))));
            prop_assert_eq!(slice.latencies.len(), slots(&slice.runs).len() as u64);
            let slow = slice.runs.iter().filter(|run| run.class == 1).map(|run| run.n);
            let long = slice.latencies.buckets().iter().filter(|(micros, _)| *micros > 1_000);
            prop_assert_eq!(long.map(|(_, n)| n).sum::<u32>(), slow.sum::<u32>());
        }
    }
}

#[test]
fn a_slice_ends_with_its_last_slot() {
    let mut roll = roll();
    roll.observe(&observation(0, Verdict::Good, 1));
    let slice = roll.close(at(600)).expect("a slice");
    assert_eq!((slice.start, slice.end), (at(0), at(5)));
    assert_eq!(roll.close(at(1_200)), None);
    roll.observe(&observation(5, Verdict::Good, 1));
    assert_eq!(roll.close(at(1_200)).map(|slice| slice.start), Some(at(5)));
}

#[test]
fn a_second_result_for_a_slot_is_ignored() {
    let mut roll = roll();
    roll.observe(&observation(0, Verdict::Good, 1));
    let again = roll.observe(&observation(0, Verdict::Good, 1));
    assert!(again.duplicate && again.accepted.is_empty());
}

#[test]
fn a_slot_that_never_comes_is_unknown_and_does_not_hold_up_the_rest() {
    let mut roll = roll();
    roll.observe(&observation(0, Verdict::Good, 1));
    let mut lost = Vec::new();
    for k in 2..40 {
        lost.extend(roll.observe(&observation(k * 5, Verdict::Good, 1)).lost);
    }
    assert_eq!(slots(&lost), [(5, Verdict::Unknown(UnknownReason::LocalFault))]);
    assert_eq!(roll.next_due(), Some(at(200)));
}

#[test]
fn a_result_that_comes_after_missed_slots_keeps_its_place() {
    let missed = Run {
        start: at(10),
        step: Duration::from_secs(5),
        n: 40,
        verdict: Verdict::Unknown(UnknownReason::Inflight),
        class: 0,
    };
    let (mut live, mut restored) = (roll(), roll());
    live.observe(&observation(0, Verdict::Good, 1));
    assert_eq!(live.miss(missed), Taken::default());
    let late = live.observe(&observation(5, Verdict::Bad(BadReason::Timeout), 1)).accepted;
    assert_eq!(late.iter().map(|run| run.n).sum::<u32>(), 41);
    give_back(&mut restored, &observation(0, Verdict::Good, 1));
    restored.restore_gap(missed);
    let late = observation(5, Verdict::Bad(BadReason::Timeout), 1);
    give_back(&mut restored, &late);
    let mut accepted = restored.finish_restore();
    accepted.extend(restored.close_gap(at(210), UnknownReason::NotRunning).accepted);
    assert_eq!(slots(&accepted).len(), 42);
    assert_eq!(slots(&accepted)[1], (5, Verdict::Bad(BadReason::Timeout)));
}

#[test]
fn gaps_are_filled_up_to_the_next_slot() {
    let mut roll = roll();
    roll.observe(&observation(0, Verdict::Good, 1));
    let gap = roll.close_gap(at(25), UnknownReason::NotRunning).lost[0];
    assert_eq!((gap.start, gap.n), (at(5), 4));
    assert_eq!(roll.next_due(), Some(at(25)));
    assert_eq!(roll.close_gap(at(25), UnknownReason::NotRunning), Taken::default());
}

#[test]
fn a_longer_interval_after_a_restart_costs_no_slot() {
    let mut roll = Roll::new(SeriesId(1), Duration::from_secs(60), Vec::new());
    for due in [0, 5, 10] {
        give_back(&mut roll, &observation(due, Verdict::Good, 1));
    }
    let gap = roll.close_gap(at(200), UnknownReason::NotRunning);
    assert_eq!(slots(&gap.lost).last().map(|(due, _)| *due), Some(140));
    assert_eq!(roll.observe(&observation(200, Verdict::Good, 1)).accepted.len(), 1);
}

proptest! {
    /// Whatever changes when, slots come out once, in order, and are those of the grid of
    /// their time; those that come although their grid has ended are none.
    #[test]
    fn the_slots_of_one_grid_end_where_those_of_the_next_begin(
        turns in prop::collection::btree_map(1_i64..300, (0_i64..9, 1_i64..9), 0..6),
        reach in 0_i64..40, lag in 0_i64..5,
    ) {
        let mut roll = roll();
        roll.close_gap(at(0), UnknownReason::NotRunning);
        let mut grid = (0, 5);
        let (mut accepted, mut expect, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        for now in 0..400_i64 {
            if let Some((offset, step)) = turns.get(&now) {
                let before = grid;
                grid = (now + offset, *step);
                roll.turn(at(now), at(grid.0), Duration::from_secs(step.unsigned_abs()));
                // The prober hears of it late and still starts slots of the grid before.
                let is_on =
                    |t: i64, (first, step): (i64, i64)| t >= first && (t - first) % step == 0;
                let stale = (now..now + reach).filter(|t| is_on(*t, before));
                for due in stale.filter(|t| !is_on(*t, grid)) {
                    let taken = roll.observe(&observation(due, Verdict::Good, 1));
                    prop_assert!(taken.duplicate, "{due} is no slot any more");
                }
            }
            let (first, step) = grid;
            if now >= first && (now - first) % step == 0 {
                expect.push((now, Verdict::Good));
                waiting.push((now + lag, now));
            }
            for (_, due) in waiting.extract_if(.., |(until, _)| *until <= now) {
                accepted.extend(roll.observe(&observation(due, Verdict::Good, 1)).accepted);
            }
        }
        for (_, due) in waiting {
            accepted.extend(roll.observe(&observation(due, Verdict::Good, 1)).accepted);
        }
        prop_assert_eq!(slots(&accepted), expect);
    }
}

#[test]
fn a_run_that_was_missed_late_ends_with_its_grid() {
    let mut roll = roll();
    roll.close_gap(at(0), UnknownReason::NotRunning);
    roll.turn(at(12), at(13), Duration::from_secs(2));
    let verdict = Verdict::Unknown(UnknownReason::Late);
    let run = Run { start: at(0), step: Duration::from_secs(5), n: 9, verdict, class: 0 };
    assert_eq!(slots(&roll.miss(run).accepted).len(), 3, "0, 5, 10");
    assert_eq!(roll.next_due(), Some(at(13)));
    assert_eq!(roll.close_gap(at(17), UnknownReason::NotRunning).accepted[0].n, 2);
}

#[test]
fn a_series_that_ended_is_complete_once_its_last_slot_is_known() {
    let mut roll = roll();
    roll.observe(&observation(0, Verdict::Good, 1));
    roll.end(at(10));
    assert!(!roll.is_complete());
    assert_eq!(roll.abandon(at(70)), None, "its results may still come");
    roll.observe(&observation(5, Verdict::Good, 1));
    assert!(roll.is_complete() && roll.observe(&observation(10, Verdict::Good, 1)).duplicate);
    roll.turn(at(100), at(101), Duration::from_secs(5));
    assert_eq!(roll.observe(&observation(101, Verdict::Good, 1)).accepted.len(), 1);
    roll.end(at(110));
    let lost = roll.abandon(at(181)).expect("long gone").lost;
    assert_eq!(slots(&lost), [(106, Verdict::Unknown(UnknownReason::LocalFault))]);
    assert!(roll.is_complete());
}

#[test]
fn a_gap_has_the_slots_of_the_grid_that_goes_on_after_it() {
    // History of a probe every second, which is probed every 5 s from 102 on.
    let second = Duration::from_secs(1);
    let verdict = Verdict::Good;
    let mut roll = roll();
    roll.restore_run(Run { start: at(0), step: second, n: 81, verdict, class: 0 });
    let gap = roll.close_gap(at(102), UnknownReason::NotRunning).lost[0];
    let dues: Vec<_> = slots(&[gap]).iter().map(|(due, _)| *due).collect();
    assert_eq!(dues, [82, 87, 92, 97]);
    assert_eq!(roll.next_due(), Some(at(102)));
    assert!(!roll.observe(&observation(102, verdict, 1)).duplicate);
}

#[test]
fn latency_classes_count_exceeded_thresholds_exactly() {
    let mut roll = roll();
    let class = |roll: &mut Roll, due, ms| {
        roll.observe(&observation(due, Verdict::Good, ms)).accepted[0].class
    };
    assert_eq!(class(&mut roll, 0, 100), 0);
    assert_eq!(class(&mut roll, 5, 101), 1);
    assert_eq!(class(&mut roll, 10, 300), 1);
    assert_eq!(class(&mut roll, 15, 301), 2);
}

#[test]
fn restored_runs_skip_what_is_known_already() {
    let mut roll = roll();
    let run = |start, n| Run {
        start: at(start),
        step: Duration::from_secs(5),
        n,
        verdict: Verdict::Good,
        class: 0,
    };
    assert_eq!(slots(&roll.restore_run(run(0, 4))).len(), 4);
    assert_eq!(slots(&roll.restore_run(run(0, 6)))[0].0, 20);
    assert_eq!(roll.restore_run(run(10, 2)), []);
}

#[test]
fn slots_that_were_kept_long_after_later_ones_are_restored_in_their_place() {
    let mut roll = roll();
    // The disk took nothing for a while: what is urgent came first then.
    let bad = Verdict::Bad(BadReason::Connect);
    let urgent = [0, 300, 310].map(|due| observation(due, bad, 1));
    let rest = (1..60).chain([61]).map(|k| observation(k * 5, Verdict::Good, 1));
    for observation in urgent.into_iter().chain(rest) {
        give_back(&mut roll, &observation);
    }
    let restored = slots(&roll.finish_restore());
    assert_eq!(restored.len(), 63);
    assert!(restored.iter().map(|(due, _)| *due).eq((0..63).map(|k| k * 5)));
}

#[test]
fn the_first_slot_of_a_longer_interval_is_restored_with_that() {
    let mut roll = roll();
    let second = Duration::from_secs(1);
    roll.recall(second, at(12), at(14), Duration::from_secs(5));
    for due in [9, 10, 11, 14] {
        give_back(&mut roll, &observation(due, Verdict::Good, 1));
    }
    roll.finish_restore();
    assert_eq!(roll.next_due(), Some(at(19)));
    let gap = roll.close_gap(at(34), UnknownReason::NotRunning).lost;
    assert!(slots(&gap).iter().map(|(due, _)| *due).eq([19, 24, 29]), "{gap:?}");
}

#[test]
fn a_turn_is_passed_once_all_slots_before_it_are_taken_back() {
    let mut roll = roll();
    roll.recall(Duration::from_secs(10), at(101), at(104), Duration::from_secs(4));
    // The last slot of a minute that another turn, long forgotten, cut short.
    for (start, step) in [(60, 60), (80, 10), (90, 10), (100, 10)] {
        let (step, verdict) = (Duration::from_secs(step), Verdict::Good);
        roll.restore_gap(Run { start: at(start), step, n: 1, verdict, class: 0 });
    }
    assert_eq!(slots(&roll.finish_restore()).len(), 4);
    assert_eq!(roll.next_due(), Some(at(104)));
}

#[test]
fn history_made_at_another_interval_is_restored_whole() {
    let mut roll = roll();
    for due in [0, 2, 6, 4, 8, 10] {
        give_back(&mut roll, &observation(due, Verdict::Good, 1));
    }
    let gap = Run {
        start: at(12),
        step: Duration::from_secs(2),
        n: 3,
        verdict: Verdict::Unknown(UnknownReason::NotRunning),
        class: 0,
    };
    roll.restore_gap(gap);
    let mut accepted = roll.finish_restore();
    accepted.extend(roll.close_gap(at(18), UnknownReason::NotRunning).accepted);
    let due: Vec<_> = slots(&accepted).iter().map(|(due, _)| *due).collect();
    assert_eq!(due, [0, 2, 4, 6, 8, 10, 12, 14, 16]);
}
