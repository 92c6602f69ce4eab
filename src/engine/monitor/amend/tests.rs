//! A life with Maintenance, Corrections, reloads and restarts against a list of single slots.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::tests::{at, keep, observation, restore, secs};
use super::*;
use crate::engine::Options;
use crate::model::correction::{Act, Correction};
use crate::model::maintenance::{Maintenance, When};
use crate::model::window::Period;
use crate::model::{BadReason, Outcome, SeriesId, UnknownReason, Verdict};
use crate::spec::{self, SourceFile};

const SPECS: &str = "
apiVersion: nines/v1
kind: AlertPolicy
metadata: {name: quick}
spec:
  pairs: [{severity: page, long: 60s, short: 10s, budget: 20%}]
---
apiVersion: nines/v1
kind: Service
metadata: {name: svc}
spec:
  probes:
    - {name: a, tcp: {address: \"127.0.0.1:1\"}, interval: 1s, timeout: 1s}
  slos:
    - {name: all, objective: 90%, window: 300s, alerting: {policy: quick}}
    - {name: fast, objective: 90%, window: 300s, latency: {under: 100ms}, alerting: none}
    - {name: sliced, objective: 50%, window: 10m, alerting: none,
       method: {timeslices: {slice: 1m, sliceObjective: 80%}}}
";

/// What is declared beside the service.
#[derive(Clone, Debug, Default, PartialEq)]
struct Declared {
    maintenances: Vec<(i64, i64, OnSlots)>,
    corrections: Vec<Correction>,
}

fn catalog(declared: &Declared) -> Arc<Catalog> {
    let file = SourceFile {
        path: "specs.yaml".into(),
        root: "".into(),
        content: SPECS.as_bytes().to_vec(),
    };
    let loaded = spec::load(&[file], &spec::Options::default()).expect("valid specs");
    let maintenance = |(n, (from, to, effect)): (usize, &(i64, i64, OnSlots))| {
        Arc::new(Maintenance {
            name: format!("m{n}").parse().expect("a name"),
            services: vec!["svc".parse().expect("a name")],
            when: When::Once(Period { start: at(*from), end: at(*to) }),
            effect: *effect,
            reason: None,
            author: None,
        })
    };
    Arc::new(Catalog {
        maintenances: declared.maintenances.iter().enumerate().map(maintenance).collect(),
        corrections: declared.corrections.iter().cloned().map(Arc::new).collect(),
        ..loaded.catalog
    })
}

fn correction(n: usize, slo: &str, from: i64, to: i64, outcome: Outcome) -> Correction {
    Correction {
        name: format!("c{n:03}").parse().expect("a name"),
        act: Act::Set { slo: slo.parse().expect("an id"), from: at(from), to: at(to), outcome },
        reason: "a fault of ours".to_owned(),
        author: "ana".to_owned(),
        // Written one after the other, so that the later one holds.
        at: Some(at(1_000_000 + n as i64)),
    }
}

fn withdrawal(n: usize, of: &Name) -> Correction {
    Correction { act: Act::Withdraw(of.clone()), ..correction(n, "svc/all", 0, 1, Outcome::Good) }
}

fn numbers() -> BTreeMap<crate::model::ProbeId, SeriesId> {
    BTreeMap::from([("svc/a".parse().expect("an id"), SeriesId(1))])
}

fn engine(declared: &Declared) -> Engine {
    let options = Options { vantage: "here".to_owned(), resend_delay: secs(60) };
    Engine::new(catalog(declared), &numbers(), options)
}

fn slot(n: i64) -> (Verdict, u64) {
    let hash =
        |n: i64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()).unsigned_abs() >> 40;
    match (hash(n / 25) % 10, hash(n) % 10) {
        (0..3, 0..8) => (Verdict::Bad(BadReason::Connect), 5),
        (3, 0..7) => (Verdict::Unknown(UnknownReason::LocalFault), 0),
        (4..6, 0..5) => (Verdict::Good, 150),
        _ => (Verdict::Good, 20),
    }
}

/// How a slot counts for an SLO of slots, by the letter of the order.
fn naive_slot(declared: &Declared, slo: &str, n: i64) -> Outcome {
    let (verdict, latency) = slot(n);
    let mut outcome = match verdict.outcome() {
        Outcome::Good if slo == "svc/fast" && latency > 100 => Outcome::Bad,
        outcome => outcome,
    };
    let excludes = |(from, to, effect): &(i64, i64, OnSlots)| {
        *effect == OnSlots::Exclude && *from <= n && n < *to
    };
    if declared.maintenances.iter().any(excludes) {
        outcome = Outcome::Excluded;
    }
    fn holds(all: &[Correction], one: &Correction) -> bool {
        !all.iter().any(|other| other.withdraws() == Some(&one.name) && holds(all, other))
    }
    for correction in &declared.corrections {
        if let Act::Set { slo: of, from, to, outcome: set } = &correction.act
            && of.as_str() == slo
            && (*from..*to).contains(&at(n))
            && holds(&declared.corrections, correction)
        {
            outcome = *set;
        }
    }
    outcome
}

fn naive(declared: &Declared, slo: &str, from: i64, to: i64) -> Tally {
    (from.max(0)..to).map(|n| Tally::of(naive_slot(declared, slo, n), 1)).sum()
}

/// Good and bad minutes, of those that are over.
fn naive_slices(declared: &Declared, to: i64) -> Tally {
    let minute = |start: i64| {
        let t = naive(declared, "svc/sliced", start, start + 60);
        let (counted, all) = (t.good + t.bad, t.expected());
        let outcome = match () {
            () if all == 0 => Outcome::Excluded,
            () if counted == 0 => Outcome::Unknown,
            () if 5 * t.good >= 4 * counted && (2 * counted >= all || 5 * t.good >= 4 * all) => {
                Outcome::Good
            }
            () if 5 * t.good < 4 * counted
                && (2 * counted >= all || 5 * (all - t.bad) < 4 * all) =>
            {
                Outcome::Bad
            }
            () => Outcome::Unknown,
        };
        Tally::of(outcome, 1)
    };
    // The last ten that have ended.
    let first = (to / 60 - 10).max(0);
    (first..to / 60).map(|n| minute(n * 60)).sum()
}

fn assert_equals_naive(engine: &Engine, declared: &Declared) {
    for state in engine.slos() {
        let Some(status) = &state.status else { continue };
        let id = state.slo.id.as_str();
        let now = status.at.since(at(0)).as_secs() as i64;
        let context = || format!("{id} at {now}: {declared:?}");
        if id == "svc/sliced" {
            assert_eq!(status.tally, naive_slices(declared, now), "{}", context());
            continue;
        }
        assert_eq!(status.tally, naive(declared, id, now - 300, now), "{}", context());
        assert_eq!(status.totals, naive(declared, id, 0, now), "{}", context());
        for burn in &status.burns {
            let back = burn.window.as_secs() as i64;
            let tally = naive(declared, id, now - back, now);
            assert_eq!((burn.counted.good, burn.counted.bad), (tally.good, tally.bad));
        }
        // Each slot once, and those besides that were left out later.
        let counted = engine.counted(state);
        assert!(counted.expected() <= now as u64, "{}", context());
        assert!(counted.scheduled() >= now as u64, "{}", context());
    }
}

/// What happens to what is declared.
#[derive(Clone, Debug)]
enum Change {
    Maintain(Vec<(i64, i64, OnSlots)>),
    Correct(usize, i64, i64, Outcome),
    Withdraw(usize),
    Restart,
    /// The files of all Corrections go away; they stay in force.
    Lose,
}

fn effect() -> impl Strategy<Value = OnSlots> {
    prop_oneof![Just(OnSlots::Exclude), Just(OnSlots::Mute)]
}

fn change() -> impl Strategy<Value = Change> {
    let window = (0_i64..700, 1_i64..150, effect()).prop_map(|(from, n, e)| (from, from + n, e));
    let outcome = prop::sample::select(vec![
        Outcome::Good,
        Outcome::Bad,
        Outcome::Unknown,
        Outcome::Excluded,
    ]);
    prop_oneof![
        2 => prop::collection::vec(window, 0..3).prop_map(Change::Maintain),
        4 => (0_usize..3, 0_i64..700, 1_i64..200, outcome)
            .prop_map(|(slo, from, n, outcome)| Change::Correct(slo, from, from + n, outcome)),
        2 => (0_usize..9).prop_map(Change::Withdraw),
        2 => Just(Change::Restart),
        1 => Just(Change::Lose),
    ]
}

const SLOS: [&str; 3] = ["svc/all", "svc/fast", "svc/sliced"];

fn observe(engine: &mut Engine, n: i64) -> Vec<Effect> {
    let (mut effects, (verdict, latency)) = (Vec::new(), slot(n));
    engine.observe(observation(1, n, verdict, latency), &mut effects);
    effects
}

/// A restart in no time: what was durable comes back, and the next slot is due.
fn restart(declared: &Declared, records: &[Record], now: i64) -> (Engine, Vec<Effect>) {
    let mut engine = restore(engine(declared), records);
    let effects = engine.start(|_| at(now), at(now));
    (engine, effects)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_life_with_amendments_equals_a_walk_over_single_slots(
        changes in prop::collection::btree_map(1_i64..650, change(), 1..10),
        first in prop::collection::vec((0_i64..500, 1_i64..200, effect()), 0..3),
    ) {
        let window = |(from, n, effect)| (from, from + n, effect);
        let maintenances: Vec<_> = first.into_iter().map(window).collect();
        let mut declared = Declared { maintenances, ..Declared::default() };
        let mut in_files = declared.clone();
        let mut engine = engine(&declared);
        let mut records = Vec::new();
        keep(&mut records, engine.start(|_| at(0), at(0)));
        let mut counters: BTreeMap<&str, Tally> = BTreeMap::new();
        for now in 1..660 {
            keep(&mut records, observe(&mut engine, now - 1));
            let change = changes.get(&now);
            let n = declared.corrections.len();
            match change {
                None => {}
                Some(Change::Restart) => {
                    let effects;
                    (engine, effects) = restart(&in_files, &records, now);
                    keep(&mut records, effects);
                }
                Some(Change::Maintain(windows)) => {
                    declared.maintenances.clone_from(windows);
                    in_files.maintenances.clone_from(windows);
                }
                Some(Change::Correct(slo, from, to, outcome)) => {
                    let next = correction(n, SLOS[*slo], *from, *to, *outcome);
                    declared.corrections.push(next.clone());
                    in_files.corrections.push(next);
                }
                Some(Change::Withdraw(k)) if n > 0 => {
                    let next = withdrawal(n, &declared.corrections[k % n].name);
                    declared.corrections.push(next.clone());
                    in_files.corrections.push(next);
                }
                Some(Change::Withdraw(_)) => {}
                Some(Change::Lose) => in_files.corrections.clear(),
            }
            if change.is_some() && !matches!(change, Some(Change::Restart)) {
                keep(&mut records, engine.reload(catalog(&in_files), &numbers(), at(now)));
            }
            keep(&mut records, engine.tick(at(now)));
            assert_equals_naive(&engine, &declared);
            for (state, id) in engine.slos().iter().zip(SLOS).take(2) {
                let next = engine.counted(state);
                let before = counters.insert(id, next).unwrap_or_default();
                prop_assert!(
                    next.good >= before.good && next.bad >= before.bad
                        && next.unknown >= before.unknown && next.excluded >= before.excluded,
                    "a counter of {} falls at {}: {:?} to {:?}", id, now, before, next
                );
            }
        }
        // Withdrawing everything that holds, and ending all Maintenance, gives the measured
        // numbers back.
        let mut n = declared.corrections.len();
        loop {
            let all = declared.corrections.clone();
            let open = all.iter().find(|one| {
                one.withdraws().is_none()
                    && !all.iter().any(|other| other.withdraws() == Some(&one.name)
                        && !all.iter().any(|third| third.withdraws() == Some(&other.name)))
            });
            let Some(open) = open else { break };
            let next = withdrawal(n, &open.name);
            declared.corrections.push(next.clone());
            in_files.corrections.push(next);
            n += 1;
        }
        (declared.maintenances, in_files.maintenances) = (Vec::new(), Vec::new());
        keep(&mut records, engine.reload(catalog(&in_files), &numbers(), at(660)));
        keep(&mut records, observe(&mut engine, 659));
        engine.tick(at(660));
        assert_equals_naive(&engine, &Declared::default());
        for state in engine.slos() {
            prop_assert!(state.status.as_ref().is_some_and(|status| !status.corrected));
        }
    }
}

/// An engine that has lived through this many seconds.
fn lived(declared: &Declared, until: i64, verdict: impl Fn(i64) -> Verdict) -> Engine {
    let mut engine = engine(declared);
    engine.start(|_| at(0), at(0));
    go_on(&mut engine, 0, until, verdict);
    engine
}

fn go_on(engine: &mut Engine, from: i64, until: i64, verdict: impl Fn(i64) -> Verdict) {
    for n in from..until {
        engine.observe(observation(1, n, verdict(n), 5), &mut Vec::new());
        engine.tick(at(n + 1));
    }
}

const BAD: Verdict = Verdict::Bad(BadReason::Connect);

fn pages(engine: &Engine) -> (bool, bool) {
    let state = engine.slo("svc/all").expect("declared");
    let page = state.alerts.iter().find(|a| a.kind == AlertKind::BurnFast).expect("it has one");
    (page.is_firing(), page.is_muted)
}

fn broken_from(from: i64) -> impl Fn(i64) -> Verdict {
    move |n| if n < from { Verdict::Good } else { BAD }
}

#[test]
fn what_is_mute_counts_and_fires_once_that_is_over() {
    let mute = Declared { maintenances: vec![(300, 400, OnSlots::Mute)], ..Declared::default() };
    let mut engine = lived(&mute, 399, broken_from(310));
    assert_eq!(pages(&engine), (false, true));
    let status = engine.slo("svc/all").and_then(|s| s.status.clone()).expect("evaluated");
    assert_eq!((status.tally.bad, status.tally.excluded), (89, 0), "it counts");
    assert!(engine.slo("svc/all").expect("there").ongoing(OnSlots::Mute).is_some());
    go_on(&mut engine, 399, 400, broken_from(310));
    assert_eq!(pages(&engine), (true, false), "at 400 it is over");
}

#[test]
fn what_fires_already_is_not_hidden_by_a_mute() {
    let mute = Declared { maintenances: vec![(300, 400, OnSlots::Mute)], ..Declared::default() };
    let engine = lived(&mute, 350, broken_from(200));
    assert_eq!(pages(&engine), (true, false));
    let healed = |n| if (200..320).contains(&n) { BAD } else { Verdict::Good };
    assert_eq!(pages(&lived(&mute, 350, healed)), (false, false), "and it may end");
}

#[test]
fn what_is_excluded_does_not_page_and_is_missed_by_nobody() {
    let work = Declared { maintenances: vec![(300, 700, OnSlots::Exclude)], ..Declared::default() };
    let engine = lived(&work, 690, broken_from(295));
    assert_eq!(pages(&engine), (false, false));
    let state = engine.slo("svc/all").expect("declared");
    let status = state.status.as_ref().expect("evaluated");
    assert_eq!(status.tally, Tally { excluded: 300, ..Tally::ZERO });
    assert!(state.alerts.iter().all(|alert| !alert.is_firing()), "{:?}", state.alerts);
}

#[test]
fn a_correction_ends_the_page_that_its_slots_raised() {
    let broken = |n| if n < 300 { Verdict::Good } else { BAD };
    let mut engine = lived(&Declared::default(), 360, broken);
    assert_eq!(pages(&engine), (true, false));
    let excluded = correction(0, "svc/all", 300, 360, Outcome::Excluded);
    let declared = Declared { corrections: vec![excluded], ..Declared::default() };
    engine.reload(catalog(&declared), &numbers(), at(360));
    go_on(&mut engine, 360, 361, |_| Verdict::Good);
    assert_eq!(pages(&engine), (false, false));
    let status = engine.slo("svc/all").and_then(|s| s.status.clone()).expect("evaluated");
    assert!(status.corrected);
    assert_eq!((status.tally.bad, status.tally.excluded), (0, 60));
    let id: SloId = "svc/all".parse().expect("an id");
    let touching = engine.touching(&id, at(0), at(330));
    assert_eq!(touching.len(), 1);
    assert_eq!(touching[0].1, Tally { bad: 30, ..Tally::ZERO }, "as it was measured");
    let counted = engine.counted(engine.slo("svc/all").expect("there"));
    assert_eq!(counted, Tally { good: 301, bad: 60, unknown: 0, excluded: 60 });
}
