//! Epochs over reloads and restarts.

use std::sync::Arc;

use super::super::tests::{at, catalog, engine, keep, observation, restore, secs};
use super::*;
use crate::model::catalog::{Method, UnknownPolicy};
use crate::model::check::Check;
use crate::model::{BadReason, Catalog, Share, ShortThreshold, Verdict};

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

/// The same with another target of the first probe, under the same name.
fn elsewhere(before: &Catalog) -> Catalog {
    let mut next = before.clone();
    let Check::Tcp(check) = &mut next.services[0].probes[0].check else { panic!("TCP") };
    check.endpoint.port = 2;
    next
}

#[test]
fn another_target_under_the_same_name_begins_a_new_epoch() {
    let before = declared();
    let mut engine = engine(&before);
    engine.start(|_| at(0), at(0));
    live(&mut engine, (0, 60_000), (6_000, 12_000));
    assert_eq!(proof(&engine).record.outages, 2);
    let mut next = elsewhere(&before);
    let ids = engine.series_of();
    engine.reload(Arc::new(next.clone()), &ids, at(60_000));
    live(&mut engine, (60_000, 90_000), (0, 0));
    let new = proof(&engine);
    assert_eq!((new.since, new.record.outages), (at(60_000), 0));
    assert_eq!(new.record.observed, secs(30_000));
    // The budget goes on: what was counted was counted.
    let state = engine.slo("svc/both").expect("declared");
    assert_eq!(state.status.as_ref().expect("evaluated").totals.bad, 20);
    assert_eq!(state.revisions().len(), 2);
    // What is only said about it begins none.
    next.services[0].description = Some("other words".to_owned());
    next.services[0].links.insert("runbook".to_owned(), "https://h/".to_owned());
    next.services[0].slos[0].description = Some("more words".to_owned());
    engine.reload(Arc::new(next.clone()), &ids, at(90_000));
    live(&mut engine, (90_000, 96_000), (0, 0));
    assert_eq!(proof(&engine).since, at(60_000));
    // A probe that gives up sooner tells failures that the one before did not.
    next.services[0].probes[1].timeout = std::time::Duration::from_millis(500);
    engine.reload(Arc::new(next.clone()), &ids, at(96_000));
    live(&mut engine, (96_000, 99_000), (0, 0));
    assert_eq!(proof(&engine).since, at(96_000));
    // How often it is looked at changes nothing of what is seen.
    next.services[0].probes[0].interval = secs(300);
    engine.reload(Arc::new(next), &ids, at(99_000));
    let state = engine.slo("svc/both").expect("declared");
    assert_eq!((state.account.epoch.from, state.revisions().len()), (at(96_000), 3));
}

#[test]
fn a_restart_that_probes_another_target_begins_a_new_epoch_and_another_restart_none() {
    let before = declared();
    let mut first = engine(&before);
    let mut records = Vec::new();
    keep(&mut records, first.start(|_| at(0), at(0)));
    records.extend(live(&mut first, (0, 60_000), (6_000, 12_000)));
    // With other words alone it is the same epoch.
    let mut same = (*before).clone();
    same.services[0].description = Some("other words".to_owned());
    let mut second = restore(engine(&Arc::new(same)), &records);
    keep(&mut records, second.start(|_| at(60_000), at(60_000)));
    records.extend(live(&mut second, (60_000, 66_000), (0, 0)));
    assert_eq!((proof(&second).since, proof(&second).record.outages), (at(0), 2));
    let next = Arc::new(elsewhere(&before));
    for (start, end) in [(66_000, 72_000), (72_000, 78_000)] {
        let mut engine = restore(engine(&next), &records);
        keep(&mut records, engine.start(|_| at(start), at(start)));
        records.extend(live(&mut engine, (start, end), (0, 0)));
        let proof = proof(&engine);
        assert_eq!((proof.since, proof.record.outages), (at(66_000), 0));
        assert_eq!(proof.record.observed, secs((end - 66_000) as u64));
    }
}

#[test]
fn slices_that_were_spoilt_before_an_epoch_are_none_of_its_outages() {
    let mut sliced = (*declared()).clone();
    let objective = Share::from_ppb(500_000_000).expect("a half");
    sliced.services[0].slos[0].method = Method::Timeslices { slice: secs(6_000), objective };
    let before = Arc::new(sliced);
    let mut engine = engine(&before);
    engine.start(|_| at(0), at(0));
    // Four outages of two slots in ten spoil no slice.
    for n in 0..4 {
        let from = n * 6_000;
        live(&mut engine, (from, from + 6_000), (from + 1_200, from + 2_400));
    }
    assert_eq!(proof(&engine).record.outages, 0);
    let mut next = (*before).clone();
    next.services[0].slos[0].objective = "95%".parse().expect("an objective");
    let ids = engine.series_of();
    engine.reload(Arc::new(next), &ids, at(24_000));
    live(&mut engine, (24_000, 48_000), (30_000, 36_000));
    let new = proof(&engine);
    assert_eq!((new.since, new.record.outages), (at(24_000), 1), "{new:?}");
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

#[test]
fn another_mean_outage_is_taken_at_a_reload_and_begins_no_epoch() {
    let before = declared();
    let mut engine = engine(&before);
    engine.start(|_| at(0), at(0));
    live(&mut engine, (0, 600_000), (0, 0));
    let old = proof(&engine);
    assert_eq!(old.assumed_outage, secs(300));
    let mut next = (*before).clone();
    next.services[0].slos[0].mean_outage = secs(60);
    let ids = engine.series_of();
    engine.reload(Arc::new(next.clone()), &ids, at(600_000));
    // Nothing new was seen: the next tick has to look all the same.
    engine.tick(at(600_002));
    let new = proof(&engine);
    assert_eq!((new.since, new.record), (old.since, old.record));
    assert_eq!(
        (new.assumed_outage, engine.slo("svc/both").map(|s| s.revisions().len())),
        (secs(60), Some(1))
    );
    let lost =
        |proof: &crate::engine::status::Proof| 1_000_000_000 - proof.supported_ppb.expect("seen");
    assert!(lost(&old).abs_diff(5 * lost(&new)) <= 5, "{old:?} {new:?}");
    // An outage of 200 minutes: it is the longer one that counts.
    live(&mut engine, (600_000, 660_000), (606_000, 618_000));
    assert_eq!(proof(&engine).assumed_outage, secs(12_000));
    next.services[0].slos[0].mean_outage = secs(20_000);
    engine.reload(Arc::new(next), &ids, at(660_000));
    engine.tick(at(660_002));
    assert_eq!((proof(&engine).since, proof(&engine).assumed_outage), (old.since, secs(20_000)));
}
