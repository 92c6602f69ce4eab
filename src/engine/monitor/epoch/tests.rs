//! Epochs over reloads and restarts.

use std::sync::Arc;

use super::super::tests::{at, catalog, engine, keep, observation, restore, secs};
use super::*;
use crate::model::catalog::UnknownPolicy;
use crate::model::{BadReason, Catalog, ShortThreshold, Verdict};

/// Probes every ten minutes, so that days pass in few steps.
const STEP: i64 = 600;

fn declared() -> Arc<Catalog> {
    catalog([600, 600], UnknownPolicy::Exclude, ShortThreshold::Same)
}

/// Both probes from one moment to another, bad from `bad.0` to before `bad.1`.
fn live(engine: &mut Engine, (from, to): (i64, i64), bad: (i64, i64)) -> Vec<crate::model::Record> {
    let mut records = Vec::new();
    for due in (from..to).step_by(STEP as usize) {
        let failed = (bad.0..bad.1).contains(&due);
        let verdict = if failed { Verdict::Bad(BadReason::Timeout) } else { Verdict::Good };
        let mut effects = Vec::new();
        for series in [1, 2] {
            engine.observe(observation(series, due, verdict, 5), &mut effects);
        }
        keep(&mut records, effects);
        keep(&mut records, engine.tick(at(due + 1)));
    }
    records
}

fn proof(engine: &Engine) -> crate::engine::status::Proof {
    engine.slo("svc/both").and_then(|state| state.status.as_ref()).expect("evaluated").proof
}

#[test]
fn another_objective_begins_a_new_epoch() {
    let before = declared();
    let mut engine = engine(&before);
    engine.start(|_| at(0), at(0));
    live(&mut engine, (0, 60_000), (6_000, 12_000));
    let old = proof(&engine);
    assert_eq!((old.record.outages, old.record.observed), (2, secs(60_000)));
    let mut next = (*before).clone();
    next.services[0].slos[0].objective = "95%".parse().expect("an objective");
    let ids = engine.series_of();
    engine.reload(Arc::new(next.clone()), &ids, at(60_000));
    live(&mut engine, (60_000, 90_000), (0, 0));
    let new = proof(&engine);
    assert_eq!((new.since, new.record.outages), (at(60_000), 0));
    assert_eq!(new.record.observed, secs(30_000));
    assert!(new.supported_ppb > old.supported_ppb);
    // Another policy for alerts changes no promise.
    next.services[0].slos[0].policy = None;
    engine.reload(Arc::new(next), &ids, at(90_000));
    live(&mut engine, (90_000, 96_000), (0, 0));
    assert_eq!(proof(&engine).since, at(60_000));
}

#[test]
fn what_is_no_longer_remembered_proves_nothing_of_a_new_promise() {
    let before = declared();
    let mut engine = engine(&before);
    engine.start(|_| at(0), at(0));
    // Six days, of which four and a little are remembered; the outage is on the first.
    let end = 6 * 86_400;
    live(&mut engine, (0, end), (6_000, 12_000));
    let mut next = (*before).clone();
    next.services[0].slos[0].objective = "95%".parse().expect("an objective");
    let ids = engine.series_of();
    engine.reload(Arc::new(next), &ids, at(end));
    live(&mut engine, (end, end + 30_000), (0, 0));
    let new = proof(&engine);
    assert_eq!((new.since, new.record.outages), (at(end), 0));
    assert_eq!(new.record.observed, secs(30_000));
}

#[test]
fn an_epoch_survives_a_restart_that_brings_back_less() {
    let declared = declared();
    let mut before = engine(&declared);
    let mut records = Vec::new();
    keep(&mut records, before.start(|_| at(0), at(0)));
    // Six days, of which four and a little are remembered; the outage is on the first.
    let end = 6 * 86_400;
    records.extend(live(&mut before, (0, end), (6_000, 12_000)));
    let was = proof(&before).record;
    assert_eq!((was.outages, was.observed), (2, secs(end as u64)));
    let recent = at(2 * 86_400);
    records.retain(|record| match record {
        crate::model::Record::Slice(slice) => slice.end > recent,
        crate::model::Record::Observation(observation) => observation.due >= recent,
        _ => true,
    });
    let mut after = restore(engine(&declared), &records);
    after.start(|_| at(end), at(end));
    live(&mut after, (end, end + STEP), (0, 0));
    let is = proof(&after).record;
    assert_eq!((is.outages, is.outage_time), (was.outages, was.outage_time));
    assert_eq!(is.observed, was.observed + secs(STEP as u64));
    // And again, now that what is missing is in the state alone.
    let more = live(&mut after, (end + STEP, end + 3 * STEP), (0, 0));
    records.extend(more);
    let mut again = restore(engine(&declared), &records);
    again.start(|_| at(end + 3 * STEP), at(end + 3 * STEP));
    live(&mut again, (end + 3 * STEP, end + 4 * STEP), (0, 0));
    assert_eq!(proof(&again).record.outages, was.outages);
}
