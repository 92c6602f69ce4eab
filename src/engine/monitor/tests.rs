//! The engine against a naive model that keeps every slot of every second in a map.

use proptest::prelude::*;

use super::*;
use crate::model::catalog::{Service, UnknownPolicy};
use crate::model::check::{Check, TcpCheck};
use crate::model::objective::PPB;
use crate::model::{
    AlertPolicy, BadReason, Outcome, Pair, Phases, Probe, Severity, Share, ShortThreshold, Slo,
    Tally, UnknownReason,
};

const BASE: i64 = 1_800_000_000;

pub(super) fn at(n: i64) -> Timestamp {
    Timestamp::from_secs(BASE + n)
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Two probes at their own intervals, an SLO over both and a latency SLO over the first.
pub(super) fn catalog(
    intervals: [u64; 2],
    unknown: UnknownPolicy,
    short: ShortThreshold,
) -> Arc<Catalog> {
    let service: crate::model::Name = "svc".parse().expect("valid");
    let probe = |name: &str, interval| Probe {
        id: format!("svc/{name}").parse().expect("valid"),
        check: Check::Tcp(TcpCheck {
            endpoint: "127.0.0.1:1".parse().expect("valid"),
            send: None,
            expect: None,
        }),
        interval: secs(interval),
        timeout: secs(1),
    };
    let pair = |severity, long, short, percent: u32| Pair {
        severity,
        long: secs(long),
        short: secs(short),
        limit: crate::model::Limit::Budget(Share::from_ppb(percent * 10_000_000).expect("a share")),
        hold: Duration::ZERO,
    };
    let policy = Arc::new(AlertPolicy {
        name: "test".parse().expect("valid"),
        pairs: vec![
            pair(Severity::Page, 60, 10, 20),
            pair(Severity::Page, 120, 30, 30),
            pair(Severity::Ticket, 200, 40, 40),
        ],
        short_threshold: short,
        min_bad: 2,
    });
    let slo = |name: &str, probes: &[&str], under: Option<u64>| Slo {
        probes: probes.iter().map(|p| format!("svc/{p}").parse().expect("valid")).collect(),
        latency_under: under.map(Duration::from_millis),
        unknown,
        policy: Some(Arc::clone(&policy)),
        ..Slo::new(
            format!("svc/{name}").parse().expect("valid"),
            "90%".parse().expect("valid"),
            secs(300),
        )
    };
    let service = Service {
        name: service,
        display_name: None,
        labels: BTreeMap::new(),
        description: None,
        links: BTreeMap::new(),
        support: None,
        depends_on: Vec::new(),
        probes: vec![probe("a", intervals[0]), probe("b", intervals[1])],
        slos: vec![slo("both", &["a", "b"], None), slo("fast", &["a"], Some(100))],
    };
    Arc::new(Catalog { services: vec![service], policies: vec![policy], ..Catalog::default() })
}

pub(super) fn engine(catalog: &Arc<Catalog>) -> Engine {
    let ids = catalog.probes().zip(1..).map(|(probe, n)| (probe.id.clone(), SeriesId(n))).collect();
    let options = Options { vantage: "here".to_owned(), resend_delay: secs(60) };
    Engine::new(Arc::clone(catalog), &ids, options)
}

pub(super) fn observation(series: u32, due: i64, verdict: Verdict, latency_ms: u64) -> Observation {
    Observation {
        series: SeriesId(series),
        due: at(due),
        lag: Duration::ZERO,
        latency: Some(Duration::from_millis(latency_ms)),
        phases: Phases::default(),
        verdict,
        detail: None,
        certificate_not_after: None,
    }
}

/// What a slot turned out to be: its verdict and latency.
fn slot() -> impl Strategy<Value = (Verdict, u64)> {
    prop_oneof![
        6 => (Just(Verdict::Good), prop_oneof![Just(20_u64), Just(100), Just(101)]),
        3 => (Just(Verdict::Bad(BadReason::Connect)), Just(5_u64)),
        1 => (Just(Verdict::Unknown(UnknownReason::LocalFault)), Just(0_u64)),
    ]
}

/// Stretches of equal slots, so that pairs really fire.
fn slots() -> impl Strategy<Value = Vec<(Verdict, u64)>> {
    prop::collection::vec((slot(), 1_usize..40), 10..40).prop_map(|stretches| {
        stretches.into_iter().flat_map(|(slot, n)| std::iter::repeat_n(slot, n)).collect()
    })
}

/// Every slot that there ever was, and nothing else.
#[derive(Default)]
struct Naive {
    /// (due, series) -> verdict and latency.
    slots: BTreeMap<(i64, u32), (Verdict, u64)>,
}

impl Naive {
    fn tally(&self, from: i64, to: i64, of: &[u32], under: Option<u64>) -> Tally {
        let mut tally = Tally::ZERO;
        for ((_, series), (verdict, latency)) in self.slots.range((from, 0)..(to, 0)) {
            if !of.contains(series) {
                continue;
            }
            let slow = under.is_some_and(|under| *latency > under);
            let outcome = match verdict.outcome() {
                Outcome::Good if slow => Outcome::Bad,
                outcome => outcome,
            };
            tally += Tally::of(outcome, 1);
        }
        tally
    }

    /// One pair by the letter of the rule, from counts alone, where the window is full.
    fn fires(
        &self,
        pair: &Pair,
        slo: &Slo,
        policy: &AlertPolicy,
        t: i64,
        of: &[u32],
    ) -> Option<bool> {
        let under = slo.latency_under.map(|under| under.as_millis() as u64);
        let count = |length: Duration| {
            let tally = self.tally(t - length.as_secs() as i64, t, of, under);
            let bad = match slo.unknown {
                UnknownPolicy::Bad => tally.bad + tally.unknown,
                _ => tally.bad,
            };
            let good = match slo.unknown {
                UnknownPolicy::Good => tally.good + tally.unknown,
                _ => tally.good,
            };
            (u128::from(bad), u128::from(bad + good), u128::from(tally.expected()))
        };
        let budget = u128::from(slo.objective.budget_ppb());
        let (long_bad, long_all, long_expected) = count(pair.long);
        let (short_bad, short_all, _) = count(pair.short);
        if short_all == 0 {
            return None;
        }
        // bad / all > share * window / long * budget, in whole numbers.
        let crate::model::Limit::Budget(share) = pair.limit else { panic!("{pair:?}") };
        let share = u128::from(share.ppb()) * slo.window.longest().as_secs() as u128;
        let scale = u128::from(PPB) * u128::from(PPB) * pair.long.as_secs() as u128;
        let long = long_bad * scale > share * budget * long_all
            && (2 * long_all >= long_expected || long_bad * scale > share * budget * long_expected);
        let short = match policy.short_threshold {
            ShortThreshold::Same => short_bad * scale > share * budget * short_all,
            ShortThreshold::One => short_bad * u128::from(PPB) > budget * short_all,
        };
        Some(long && short && short_bad >= u128::from(policy.min_bad))
    }
}

fn policies() -> impl Strategy<Value = (UnknownPolicy, ShortThreshold)> {
    (
        prop_oneof![
            Just(UnknownPolicy::Exclude),
            Just(UnknownPolicy::Bad),
            Just(UnknownPolicy::Good)
        ],
        prop_oneof![Just(ShortThreshold::Same), Just(ShortThreshold::One)],
    )
}

/// Takes every record back into a new engine, as after a restart.
fn restart(catalog: &Arc<Catalog>, records: &[Record]) -> Engine {
    restore(engine(catalog), records)
}

/// Takes every record back as the ledger hands them over: states, slices, then the rest.
pub(super) fn restore(mut engine: Engine, records: &[Record]) -> Engine {
    let states: BTreeMap<_, _> = records
        .iter()
        .filter_map(|record| match record {
            Record::State { name, json } => Some((name, json)),
            _ => None,
        })
        .collect();
    states.into_iter().for_each(|(name, json)| engine.restore_state(name, json));
    let slices = records.iter().filter(|record| matches!(record, Record::Slice(_)));
    slices.for_each(|record| engine.restore_record(record));
    let covered = |series: SeriesId, due: Timestamp| {
        records.iter().any(|record| {
            let Record::Slice(slice) = record else { return false };
            slice.series == series && (slice.start..slice.end).contains(&due)
        })
    };
    for record in records {
        let replaced = match record {
            Record::Slice(_) => true,
            Record::Observation(o) => covered(o.series, o.due),
            Record::Gap(series, run) => covered(*series, run.start),
            Record::State { .. } => true,
        };
        if !replaced {
            engine.restore_record(record);
        }
    }
    engine.finish_restore();
    engine
}

pub(super) fn keep(records: &mut Vec<Record>, effects: Vec<Effect>) {
    records.extend(effects.into_iter().filter_map(|effect| match effect {
        Effect::Append(record) => Some(record),
        _ => None,
    }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_equals_a_naive_count_of_every_second(
        a in slots(), b in slots(), intervals in [1_u64..4, 1_u64..8],
        (unknown, short) in policies(), restart_at in 50_i64..400, down in 0_i64..60,
    ) {
        let catalog = catalog(intervals, unknown, short);
        let (mut engine, mut naive) = (engine(&catalog), Naive::default());
        let mut records = Vec::new();
        keep(&mut records, engine.start(|_| at(0), at(0)));
        let slots = [&a, &b];
        let mut next = [0_i64; 2];
        let mut taken = [0_usize; 2];
        let mut now = 0;
        'life: loop {
            now += 1;
            if now == restart_at {
                engine = restart(&catalog, &records);
                // Each probe goes on at its own grid; what lies between is unknown.
                let resume = now + down;
                let first = |n: usize| next[n] + (resume - next[n]).max(0)
                    .div_euclid(intervals[n] as i64) * intervals[n] as i64;
                let first = [first(0), first(1)];
                let due = |probe: &Probe| at(first[usize::from(probe.id.name() == "b")]);
                keep(&mut records, engine.start(due, at(resume)));
                for n in 0..2 {
                    while next[n] < first[n] {
                        let gap = (Verdict::Unknown(UnknownReason::NotRunning), 0);
                        naive.slots.insert((next[n], n as u32 + 1), gap);
                        next[n] += intervals[n] as i64;
                    }
                }
                now = resume;
            }
            for n in 0..2 {
                while next[n] < now {
                    let slot = slots[n].get(taken[n]).copied();
                    let Some((verdict, latency)) = slot else { break 'life };
                    taken[n] += 1;
                    let mut effects = Vec::new();
                    let observed = observation(n as u32 + 1, next[n], verdict, latency);
                    engine.observe(observed, &mut effects);
                    keep(&mut records, effects);
                    naive.slots.insert((next[n], n as u32 + 1), (verdict, latency));
                    next[n] += intervals[n] as i64;
                }
            }
            keep(&mut records, engine.tick(at(now)));
            for (position, of) in [&[1_u32, 2][..], &[1]].iter().enumerate() {
                let state = &engine.slos()[position];
                let slo = &state.slo;
                let status = state.status.as_ref().expect("evaluated");
                let under = slo.latency_under.map(|under| under.as_millis() as u64);
                prop_assert_eq!(status.at, at(now));
                if now % 16 == 0 {
                    prop_assert_eq!(status.totals, naive.tally(i64::MIN, now, of, under));
                }
                prop_assert_eq!(status.tally, naive.tally(now - 300, now, of, under));
                for burn in &status.burns {
                    let tally = naive.tally(now - burn.window.as_secs() as i64, now, of, under);
                    let counted = crate::model::budget::Counted::of(tally, unknown);
                    prop_assert_eq!(burn.counted, counted);
                }
                // The guard of a cold start has a test of its own, and so have blind windows.
                let policy = slo.policy.as_ref().expect("set");
                for (n, pair) in policy.pairs.iter().enumerate().filter(|_| now > 200) {
                    if let Some(expect) = naive.fires(pair, slo, policy, now, of) {
                        prop_assert_eq!(status.pairs[n], expect, "pair {} at {}", n, now);
                    }
                }
            }
        }
        let whole = naive.tally(i64::MIN, i64::MAX, &[1, 2], None);
        prop_assert_eq!(whole.scheduled() as usize, naive.slots.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Seconds that are made up for in one go are judged like those that were not.
    #[test]
    fn ticks_made_up_for_change_no_alert(
        a in slots(), b in slots(), intervals in [1_u64..4, 1_u64..8], every in 2_i64..30,
        (unknown, short) in policies(),
    ) {
        let catalog = catalog(intervals, unknown, short);
        let (mut steady, mut lazy) = (engine(&catalog), engine(&catalog));
        steady.start(|_| at(0), at(0));
        lazy.start(|_| at(0), at(0));
        let slots = [&a, &b];
        let end = (0..2).map(|n| slots[n].len() as i64 * intervals[n] as i64).min().unwrap_or(0);
        for now in 1..end {
            for n in 0..2 {
                let step = intervals[n] as i64;
                if (now - 1) % step == 0 {
                    let (verdict, latency) = slots[n][((now - 1) / step) as usize];
                    let one = observation(n as u32 + 1, now - 1, verdict, latency);
                    steady.observe(one.clone(), &mut Vec::new());
                    lazy.observe(one, &mut Vec::new());
                }
            }
            steady.tick(at(now));
            // The first evaluation looks at its own second only, so both begin together.
            if now % every == 0 || now < 9 {
                lazy.tick(at(now));
                for (one, other) in steady.slos().iter().zip(lazy.slos()) {
                    prop_assert_eq!(&one.status, &other.status);
                    for (one, other) in one.alerts.iter().zip(&other.alerts).take(2) {
                        prop_assert_eq!(one.life.fired_at, other.life.fired_at);
                        prop_assert_eq!(one.life.resolved_at, other.life.resolved_at);
                    }
                }
            }
        }
    }
}

#[test]
fn a_cold_start_pages_only_once_the_bad_events_alone_settle_it() {
    // 20 % of 300 s at 10 % is 6 s of budget in the 60 s window at one slot a second: a full
    // window needs more than 6 bad slots to burn above the threshold, and so does a young one.
    let catalog = catalog([1, 1], UnknownPolicy::Exclude, ShortThreshold::Same);
    let mut engine = engine(&catalog);
    engine.start(|_| at(0), at(0));
    let mut paged_at = None;
    for now in 1..30 {
        for series in [1, 2] {
            let bad = Verdict::Bad(BadReason::Connect);
            engine.observe(observation(series, now - 1, bad, 1), &mut Vec::new());
        }
        engine.tick(at(now));
        if engine.slos()[0].alerts[0].is_firing() {
            paged_at.get_or_insert(now);
        }
    }
    assert_eq!(paged_at, Some(7));
}

#[test]
fn a_blind_short_window_neither_resolves_nor_raises() {
    let catalog = catalog([1, 1], UnknownPolicy::Exclude, ShortThreshold::Same);
    let mut engine = engine(&catalog);
    engine.start(|_| at(0), at(0));
    let live = |engine: &mut Engine, range: std::ops::Range<i64>, verdict: Verdict| {
        for now in range {
            for series in [1, 2] {
                engine.observe(observation(series, now - 1, verdict, 1), &mut Vec::new());
            }
            engine.tick(at(now));
        }
        engine.slos()[0].alerts[0].is_firing()
    };
    assert!(!live(&mut engine, 1..100, Verdict::Good));
    assert!(live(&mut engine, 100..130, Verdict::Bad(BadReason::Connect)));
    assert!(live(&mut engine, 130..400, Verdict::Unknown(UnknownReason::Isolated)));
    assert!(!live(&mut engine, 400..500, Verdict::Good));
}

#[test]
fn an_alert_survives_a_restart_without_a_flap() {
    let catalog = catalog([1, 1], UnknownPolicy::Exclude, ShortThreshold::Same);
    let mut engine = engine(&catalog);
    let mut records = Vec::new();
    keep(&mut records, engine.start(|_| at(0), at(0)));
    let live = |engine: &mut Engine,
                range: std::ops::Range<i64>,
                verdict: Verdict,
                records: &mut Vec<Record>| {
        let mut notices = Vec::new();
        for now in range {
            let mut effects = Vec::new();
            for series in [1, 2] {
                engine.observe(observation(series, now - 1, verdict, 1), &mut effects);
            }
            effects.extend(engine.tick(at(now)));
            notices.extend(effects.iter().filter_map(|effect| match effect {
                Effect::Notify(n) if n.labels["alertname"] == "NinesErrorBudgetBurnFast" => {
                    Some(n.clone())
                }
                _ => None,
            }));
            keep(records, effects);
        }
        notices
    };
    live(&mut engine, 1..100, Verdict::Good, &mut records);
    let bad = Verdict::Bad(BadReason::Connect);
    let before = live(&mut engine, 100..140, bad, &mut records);
    let mut engine = restart(&catalog, &records);
    keep(&mut records, engine.start(|_| at(150), at(150)));
    let after = live(&mut engine, 151..170, bad, &mut records);
    assert!(before.iter().chain(&after).all(|notice| !notice.resolved));
    let starts: std::collections::BTreeSet<_> = before
        .iter()
        .filter(|n| n.labels["slo"] == "svc/both")
        .chain(after.iter().filter(|n| n.labels["slo"] == "svc/both"))
        .map(|n| n.starts_at)
        .collect();
    assert_eq!(starts.len(), 1, "one start, before and after");
    assert!(!after.is_empty(), "a new process tells it again at once");
}

#[test]
fn time_goes_on_after_the_last_slot_that_counts_wherever_the_wall_clock_is() {
    let catalog = catalog([5, 3_600], UnknownPolicy::Exclude, ShortThreshold::Same);
    let mut engine = engine(&catalog);
    assert_eq!(engine.resume_at(at(7)), at(7), "without history there is nothing to respect");
    let good = Verdict::Good;
    for due in [0, 5, 10] {
        engine.observe(observation(1, due, good, 1), &mut Vec::new());
    }
    engine.observe(observation(2, 0, good, 1), &mut Vec::new());
    // The second probe is next due in an hour, which is no reason to wait for it.
    assert_eq!(engine.resume_at(at(14)), at(14));
    assert_eq!(engine.resume_at(at(-86_400)), at(10).just_after());
}

#[test]
fn missing_data_is_told_after_a_while_and_not_as_an_outage() {
    let catalog = catalog([1, 1], UnknownPolicy::Exclude, ShortThreshold::Same);
    let mut engine = engine(&catalog);
    engine.start(|_| at(0), at(0));
    let mut no_data_at = None;
    for now in 1..400 {
        // Data stops at second 100: no result comes at all.
        for series in [1, 2].into_iter().filter(|_| now <= 100) {
            engine.observe(observation(series, now - 1, Verdict::Good, 1), &mut Vec::new());
        }
        engine.tick(at(now));
        let alerts = &engine.slos()[0].alerts;
        assert!(!alerts[0].is_firing() && !alerts[2].is_firing());
        if alerts[3].is_firing() {
            no_data_at.get_or_insert(now);
        }
    }
    assert_eq!(no_data_at, Some(220));
}

#[test]
fn complete_slices_are_closed_and_rebuild_the_same_state() {
    let catalog = catalog([1, 5], UnknownPolicy::Exclude, ShortThreshold::Same);
    let mut engine = engine(&catalog);
    let (mut records, mut effects) = (Vec::new(), engine.start(|_| at(0), at(0)));
    for now in 1..9_000_i64 {
        let verdict = match now % 977 {
            0..20 => Verdict::Bad(BadReason::Timeout),
            _ => Verdict::Good,
        };
        engine.observe(observation(1, now - 1, verdict, (now % 150) as u64), &mut effects);
        if (now - 1) % 5 == 0 {
            engine.observe(observation(2, now - 1, verdict, 3), &mut effects);
        }
        effects.extend(engine.tick(at(now)));
        keep(&mut records, std::mem::take(&mut effects));
    }
    let slices: Vec<_> = records
        .iter()
        .filter_map(|r| if let Record::Slice(s) = r { Some(s) } else { None })
        .collect();
    assert_eq!(slices.len(), 14 * 2, "140 full minutes of two series");
    assert!(slices.iter().all(|slice| !slice.latencies.is_empty()));
    // Totals go on even if the first slices are not brought back.
    let edge = slices.iter().map(|slice| slice.end).min().expect("not empty");
    let recent = |record: &&Record| match record {
        Record::Slice(slice) => slice.start >= edge,
        Record::Observation(observation) => observation.due >= edge,
        _ => true,
    };
    let recent: Vec<Record> = records.iter().filter(recent).cloned().collect();
    for records in [&records, &recent] {
        let mut again = restart(&catalog, records);
        again.start(|probe| at(if probe.id.name() == "a" { 8_999 } else { 9_000 }), at(8_999));
        again.tick(at(8_999));
        for (before, after) in engine.slos().iter().zip(again.slos()) {
            let status = |state: &SloState| state.status.clone().expect("set");
            let (before, after) = (status(before), status(after));
            assert_eq!((before.tally, before.totals), (after.tally, after.totals));
            assert_eq!(before.burns, after.burns);
        }
    }
}

#[test]
fn a_good_answer_of_unknown_latency_says_nothing_about_a_threshold() {
    let catalog = catalog([1, 1], UnknownPolicy::Exclude, ShortThreshold::Same);
    let mut engine = engine(&catalog);
    engine.start(|_| at(0), at(0));
    for series in [1, 2] {
        let unmeasured = Observation { latency: None, ..observation(series, 0, Verdict::Good, 0) };
        engine.observe(unmeasured, &mut Vec::new());
    }
    engine.tick(at(1));
    let totals: Vec<Tally> = engine
        .slos()
        .iter()
        .map(|state| state.status.as_ref().expect("evaluated").totals)
        .collect();
    assert_eq!(totals, [Tally::of(Outcome::Good, 2), Tally::of(Outcome::Unknown, 1)]);
}

#[test]
fn an_slo_that_never_promised_anything_else_is_looked_at_where_a_slot_comes() {
    let catalog = catalog([5, 5], UnknownPolicy::Exclude, ShortThreshold::Same);
    let mut engine = engine(&catalog);
    let mut effects = engine.start(|_| at(0), at(0));
    for due in (0..1_000).step_by(5) {
        for series in [1, 2] {
            engine.observe(observation(series, due, Verdict::Good, 20), &mut effects);
        }
        engine.tick(at(due + 1));
    }
    for state in &engine.slos {
        assert_eq!(state.revisions().len(), 1, "a start notes what is promised");
        assert!(state.steady.holds_at(at(999)), "{:?}", state.steady);
        assert!(!state.steady.holds_at(at(1_001)), "{:?}", state.steady);
    }
}

#[test]
fn an_exhausted_slo_that_alerts_nobody_is_not_looked_at_for_that() {
    let mut catalog = catalog([5, 5], UnknownPolicy::Exclude, ShortThreshold::Same);
    let quiet = Arc::make_mut(&mut catalog);
    quiet.services[0].slos.iter_mut().for_each(|slo| slo.policy = None);
    let mut engine = engine(&catalog);
    let mut effects = engine.start(|_| at(0), at(0));
    // What a tick that does not look leaves is compared with a real one, in builds that check.
    for second in 0..1_200 {
        for series in [1, 2] {
            let verdict = match second {
                ..300 => Verdict::Bad(BadReason::Status),
                _ => Verdict::Good,
            };
            if second % 5 == 0 {
                engine.observe(observation(series, second, verdict, 20), &mut effects);
            }
        }
        engine.tick(at(second + 1));
    }
    assert!(engine.slos.iter().all(|state| state.steady.holds_at(at(1_199))));
}

#[test]
fn a_slot_of_which_nothing_is_known_is_looked_at_once_it_is_due() {
    let catalog = catalog([5, 5], UnknownPolicy::Bad, ShortThreshold::Same);
    let mut engine = engine(&catalog);
    let later = |due| at(due).plus(Duration::from_millis(1_400));
    let mut effects = engine.start(|p| if p.id.name() == "a" { at(0) } else { later(0) }, at(0));
    for due in (0..500).step_by(5) {
        let unknown = observation(2, due, Verdict::Unknown(UnknownReason::LocalFault), 0);
        engine.observe(observation(1, due, Verdict::Good, 20), &mut effects);
        engine.observe(Observation { due: later(due), ..unknown }, &mut effects);
        for second in 1..5 {
            engine.tick(at(due + second).plus(Duration::from_millis(600)));
        }
    }
    assert_eq!(engine.slos[0].status.as_ref().map(|status| status.totals.unknown), Some(100));
}
