//! Lives of processes one after another, each with what the ones before kept.

use std::sync::Arc;

use super::super::tests::{at, catalog, engine, keep, observation, restore};
use super::*;
use crate::engine::schedule::Grid;
use crate::model::catalog::UnknownPolicy;
use crate::model::{Catalog, ShortThreshold};

fn both() -> Arc<Catalog> {
    catalog([1, 1], UnknownPolicy::Exclude, ShortThreshold::Same)
}

/// The same without its second probe.
fn first_only() -> Arc<Catalog> {
    let mut catalog = Catalog::clone(&both());
    let service = &mut catalog.services[0];
    service.probes.truncate(1);
    service.slos.iter_mut().for_each(|slo| slo.probes.truncate(1));
    Arc::new(catalog)
}

/// A process that lives for some seconds and is killed. The second probe sees nothing in some of
/// the first seconds of all.
fn live(catalog: &Arc<Catalog>, records: &mut Vec<Record>, (from, to): (i64, i64)) -> Engine {
    let mut engine = restore(engine(catalog), records);
    keep(records, engine.start(|_| at(from), at(from)));
    for now in from + 1..=to {
        let mut effects = Vec::new();
        for series in (1..).take(engine.probes().len()) {
            let verdict = match (series, now) {
                (2, 100..150) => Verdict::Unknown(UnknownReason::LocalFault),
                _ => Verdict::Good,
            };
            engine.observe(observation(series, now - 1, verdict, 1), &mut effects);
        }
        effects.extend(engine.tick(at(now)));
        keep(records, effects);
    }
    engine
}

/// The second probe is not declared for a while: what it lacked before that becomes known when it
/// is declared again.
fn come_back() -> (Engine, Vec<Record>) {
    let mut records = Vec::new();
    live(&both(), &mut records, (0, 1_000));
    live(&first_only(), &mut records, (1_010, 2_500));
    let engine = live(&both(), &mut records, (2_510, 2_520));
    (engine, records)
}

/// What all slots ever came to, by an SLO over both probes.
fn totals(engine: &Engine) -> Tally {
    let state = engine.slo("svc/both").expect("declared");
    state.status.as_ref().expect("evaluated").totals
}

#[test]
fn slots_before_a_probe_was_not_declared_are_kept_when_it_is_again() {
    let (before, mut records) = come_back();
    // A second of each before the first end, ten between, and what the second probe did not see.
    assert_eq!(totals(&before).unknown, 50 + 2 * 10 + 10);
    let after = live(&both(), &mut records, (2_520, 2_521));
    let Tally { good, unknown, .. } = totals(&before);
    assert_eq!(totals(&after), Tally { good: good + 2, unknown, ..Tally::ZERO });
}

#[test]
fn totals_say_nothing_of_slots_that_become_known_when_a_probe_comes_back() {
    let (before, records) = come_back();
    // The first ten minutes are too old to be brought back.
    let old = at(600);
    let recent = |record: &&Record| match record {
        Record::Slice(slice) => slice.start >= old,
        Record::Observation(observation) => observation.due >= old,
        Record::Gap(_, run) => run.start >= old,
        Record::State { .. } => true,
    };
    let mut recent: Vec<Record> = records.iter().filter(recent).cloned().collect();
    let after = live(&both(), &mut recent, (2_520, 2_521));
    let Tally { good, unknown, .. } = totals(&before);
    assert_eq!(totals(&after), Tally { good: good + 2, unknown, ..Tally::ZERO });
}

#[test]
fn history_ends_with_the_last_slot_of_a_probe_that_is_not_declared_any_more() {
    let mut records = Vec::new();
    live(&both(), &mut records, (0, 10));
    let mut effects = Vec::new();
    let mut ahead = restore(engine(&both()), &records);
    ahead.observe(observation(2, 10, Verdict::Good, 1), &mut effects);
    keep(&mut records, effects);
    let gone = restore(engine(&first_only()), &records);
    let after = at(10).just_after();
    assert_eq!(gone.resume_at(at(-3_600)), after, "the clock has gone back");
    assert_eq!(gone.resume_at(at(11)), at(11));
}

fn every(seconds: u64) -> Arc<Catalog> {
    catalog([seconds, seconds], UnknownPolicy::Exclude, ShortThreshold::Same)
}

#[test]
fn slots_of_a_shorter_interval_are_accounted_for_though_nothing_of_them_was_kept() {
    let hourly = every(3_600);
    let mut records = Vec::new();
    let mut first = engine(&hourly);
    keep(&mut records, first.start(|_| at(0), at(0)));
    let mut effects = Vec::new();
    for series in [1, 2] {
        first.observe(observation(series, 0, Verdict::Good, 1), &mut effects);
    }
    effects.extend(first.tick(at(700)));
    keep(&mut records, effects);
    assert!(records.iter().any(|record| matches!(record, Record::Slice(_))), "it is in a slice");
    // Each of these lives is killed before anything but its beginning is durable.
    for from in [710, 720] {
        let mut lost = Vec::new();
        let begun = restore(engine(&both()), &records).start(|_| at(from), at(from));
        keep(&mut records, begun);
        live(&both(), &mut lost, (from, from + 5));
    }
    let last = live(&both(), &mut records, (730, 735));
    let expect = Tally { good: 2 * (1 + 5), unknown: 2 * 20, ..Tally::ZERO };
    assert_eq!(totals(&last), expect);
}

#[test]
fn a_reload_and_then_a_restart_with_another_interval_lose_no_slot_to_the_next_restart() {
    let mut records = Vec::new();
    let mut first = live(&both(), &mut records, (200, 300));
    let numbers = first.series_of();
    keep(&mut records, first.reload(every(60), &numbers, at(300)));
    live(&both(), &mut records, (330, 340));
    let last = live(&both(), &mut records, (360, 365));
    let due = |probe: &Probe| Grid::of(probe, "here").first_due_at_or_after(at(300)) < at(330);
    let in_between = every(60).probes().filter(|probe| due(probe)).count() as u64;
    let (good, unknown) = (2 * (100 + 10 + 5), 2 * 20 + in_between);
    assert_eq!(totals(&last), Tally { good, unknown, ..Tally::ZERO });
}

/// What a ledger still hands back to a process that starts at this second.
fn remembered(records: &[Record], now: i64, engine: &Engine) -> Vec<Record> {
    let since = at(now).minus(engine.memory());
    let recent = |record: &&Record| match record {
        Record::Slice(slice) => slice.end > since,
        _ => true,
    };
    records.iter().filter(recent).cloned().collect()
}

#[test]
fn slots_up_to_the_start_without_their_probe_count_whenever_it_comes_back() {
    let mut records = Vec::new();
    live(&both(), &mut records, (0, 1_000));
    let mut gone = live(&first_only(), &mut records, (1_010, 1_300));
    let (good, unknown) = (2_000 - 50 + 290, 50 + 2 * 10);
    // Back by a reload.
    let numbers = engine(&both()).series_of();
    gone.reload(both(), &numbers, at(1_300));
    let again = both();
    let second = again.probes().nth(1).expect("two");
    let due = Grid::of(second, "here").first_due_at_or_after(at(1_300));
    let mut effects = Vec::new();
    let seen = |series, due| Observation { due, ..observation(series, 0, Verdict::Good, 1) };
    for (series, due) in [(1, at(1_300)), (2, due), (1, at(1_301))] {
        gone.observe(seen(series, due), &mut effects);
    }
    gone.tick(at(1_301));
    // The second probe was promised until 1010, when a process without it began.
    assert_eq!(totals(&gone), Tally { good: good + 2, unknown, ..Tally::ZERO });
    // Back by a restart: soon, and when memory no longer reaches back to its last slot.
    for down in [100, 5 * 86_400] {
        let from = 1_300 + down;
        let mut known = remembered(&records, from, &gone);
        let back = live(&both(), &mut known, (from, from + 5));
        let unknown = unknown + u64::try_from(down).expect("ahead");
        assert_eq!(totals(&back), Tally { good: good + 10, unknown, ..Tally::ZERO }, "{down}");
    }
}

#[test]
fn a_time_without_a_process_is_unknown_however_long_it_was() {
    for down in [3_600, 5 * 86_400] {
        let mut records = Vec::new();
        let before = live(&both(), &mut records, (200, 1_200));
        let from = 1_200 + down;
        let mut known = remembered(&records, from, &before);
        // All of it is in slices, which are too old after days.
        known.retain(|record| matches!(record, Record::Slice(_) | Record::State { .. }));
        let after = live(&both(), &mut known, (from, from + 5));
        let missed = 2 * u64::try_from(down).expect("ahead");
        assert_eq!(totals(&before).good, 2 * 1_000, "up to a full ten minutes");
        let expect = Tally { good: 2 * 1_005, unknown: missed, ..Tally::ZERO };
        assert_eq!(totals(&after), expect, "{down}");
        let status = after.slo("svc/both").and_then(|state| state.status.as_ref());
        let window = Tally { good: 2 * 5, unknown: 2 * 295, ..Tally::ZERO };
        assert_eq!(status.map(|status| status.tally), Some(window), "{down}");
    }
}
