//! Composites live against the same over the whole history at once: while slots come, after a
//! restart, after a reload, and with a Correction laid over a part.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::engine::alert::AlertKind;
use crate::engine::monitor::{Effect, Options};
use crate::engine::subject::{Slots, Subject};
use crate::engine::{Accounting, Alert};
use crate::model::catalog::{Catalog, Method, Part as Weighed, Service};
use crate::model::check::{Check, TcpCheck};
use crate::model::correction::{Act, Correction};
use crate::model::{
    AlertPolicy, BadReason, Limit, Outcome, Pair, Probe, Record, Run, SeriesId, Severity,
    ShortThreshold, UnknownReason, Verdict, Weight, Window,
};

const STEP: Duration = Duration::from_secs(10);
const NAMES: [&str; 3] = ["events", "minutes", "ratios"];

fn begin() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().expect("a time")
}

fn method(name: &str) -> Method {
    let slice = Duration::from_secs(60);
    let objective = "80%".parse().expect("a share");
    match name {
        "events" => Method::Occurrences,
        "minutes" => Method::Timeslices { slice, objective },
        _ => Method::RatioTimeslices { slice },
    }
}

/// A composite for each method over two probes; the second part has this weight, in halves.
fn catalog(halves: u64) -> Catalog {
    let probe = |name: &str| Probe {
        id: format!("svc/{name}").parse().expect("valid"),
        check: Check::Tcp(TcpCheck {
            endpoint: "127.0.0.1:1".parse().expect("valid"),
            send: None,
            expect: None,
        }),
        interval: STEP,
        timeout: Duration::from_secs(1),
    };
    let window = || Window::Rolling(Duration::from_secs(3_600));
    let part = |name: &str, n: u32, probe: &str, objective: &str| Slo {
        probes: vec![format!("svc/{probe}").parse().expect("valid")],
        method: method(name),
        ..Slo::new(
            format!("svc/{name}-{n}").parse().expect("valid"),
            objective.parse().expect("valid"),
            window(),
        )
    };
    let policy = Arc::new(AlertPolicy {
        name: "p".parse().expect("valid"),
        pairs: vec![Pair {
            severity: Severity::Page,
            long: Duration::from_secs(600),
            short: Duration::from_secs(600),
            limit: Limit::Burn { nano: 2_000_000_000, or_equal: false },
            hold: Duration::from_secs(5),
        }],
        short_threshold: ShortThreshold::Same,
        min_bad: 1,
    });
    let of = |name: &&str| {
        let parts = [part(name, 1, "a", "90%"), part(name, 2, "b", "95%")];
        let weights = [2, halves].map(|halves| Weight::from_nano(halves * 500_000_000));
        let weigh = |(slo, weight): (&Slo, Option<Weight>)| {
            Some(Weighed { slo: slo.id.clone(), weight: weight? })
        };
        let whole = Slo {
            method: method(name),
            probes: parts.iter().flat_map(|part| part.probes.clone()).collect(),
            mean_outage: Duration::from_secs(420),
            parts: parts.iter().zip(weights).filter_map(weigh).collect(),
            policy: Some(Arc::clone(&policy)),
            ..Slo::new(format!("svc/{name}").parse().expect("valid"), parts[1].objective, window())
        };
        [vec![whole], parts.to_vec()].concat()
    };
    let service = Service {
        name: "svc".parse().expect("valid"),
        display_name: None,
        labels: BTreeMap::new(),
        description: None,
        links: BTreeMap::new(),
        support: None,
        depends_on: Vec::new(),
        probes: vec![probe("a"), probe("b")],
        slos: NAMES.iter().flat_map(of).collect(),
    };
    Catalog { services: vec![service], ..Catalog::default() }
}

fn series() -> BTreeMap<crate::model::ProbeId, SeriesId> {
    ["a", "b"]
        .into_iter()
        .zip([1, 2])
        .map(|(name, n)| (format!("svc/{name}").parse().expect("valid"), SeriesId(n)))
        .collect()
}

fn engine(catalog: Catalog) -> Engine {
    let options = Options { vantage: "here".to_owned(), resend_delay: Duration::from_secs(60) };
    Engine::new(Arc::new(catalog), &series(), options)
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Good => Verdict::Good,
        Outcome::Bad => Verdict::Bad(BadReason::Connect),
        _ => Verdict::Unknown(UnknownReason::LocalFault),
    }
}

/// Hands in the slots of both probes that are due from `from` on, ticking after each.
fn live(
    engine: &mut Engine,
    from: Timestamp,
    slots: &[(Outcome, Outcome)],
    mut each: impl FnMut(&Engine, Timestamp),
) -> Vec<Record> {
    let mut kept = Vec::new();
    for (k, (a, b)) in (0..).zip(slots) {
        let start = from.plus(STEP * k);
        let mut effects = Vec::new();
        for (series, outcome) in [(1, a), (2, b)] {
            let run = Run { start, step: STEP, n: 1, verdict: verdict(*outcome), class: 0 };
            engine.miss(SeriesId(series), run, &mut effects);
        }
        let now = start.plus(STEP);
        effects.extend(engine.tick(now));
        kept.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Append(record) => Some(record),
            _ => None,
        }));
        each(engine, now);
    }
    kept
}

fn state<'a>(engine: &'a Engine, name: &str) -> &'a SloState {
    engine.slo(&format!("svc/{name}")).expect("there")
}

/// The same over the whole history at once.
fn at_once<T>(engine: &Engine, name: &str, say: impl FnOnce(&Subject<'_>) -> T) -> T {
    let state = state(engine, name);
    let at = state.status.as_ref().expect("evaluated").at;
    let parts = engine.parts(state).map(|part| Slots {
        slo: &part.slo,
        slots: engine.histories(part),
        intervals: engine.intervals(part),
        revisions: part.revisions(),
    });
    let parts = parts.collect();
    say(&Subject::several(&state.slo, parts, at))
}

/// Everything that is said, but for the pairs, which remember.
fn said(status: &SloStatus) -> SloStatus {
    SloStatus { pairs: Vec::new(), corrected: false, ..status.clone() }
}

fn agrees(engine: &Engine) -> Result<(), TestCaseError> {
    for name in NAMES {
        let now = state(engine, name).status.as_ref().expect("evaluated");
        let whole = at_once(engine, name, |subject| subject.status_at(now.at));
        prop_assert_eq!(said(now), said(&whole), "{}", name);
    }
    Ok(())
}

fn fires(engine: &Engine, name: &str) -> bool {
    let alerts = &state(engine, name).alerts;
    alerts.iter().any(|alert: &Alert| alert.kind == AlertKind::BurnFast && alert.is_firing())
}

fn restored(kept: &[Record], catalog: Catalog, now: Timestamp) -> Engine {
    let ends = kept.iter().filter_map(|record| match record {
        Record::Slice(slice) => Some(slice.end),
        _ => None,
    });
    let covered = ends.max().unwrap_or(Timestamp::MIN);
    let mut again = engine(catalog);
    let states = |record: &&Record| !matches!(record, Record::Slice(_) | Record::Gap(..));
    let slices = |record: &&Record| matches!(record, Record::Slice(_));
    let open = |record: &&Record| matches!(record, Record::Gap(_, run) if run.start >= covered);
    let parts = kept.iter().filter(states).chain(kept.iter().filter(slices));
    parts.chain(kept.iter().filter(open)).for_each(|record| again.restore_record(record));
    again.finish_restore();
    again.start(|_| now, now);
    again.tick(now);
    again
}

fn outcomes(n: usize) -> impl Strategy<Value = Vec<(Outcome, Outcome)>> {
    let one = || {
        let outcome = prop_oneof![
            8 => Just(Outcome::Good), 2 => Just(Outcome::Bad), 2 => Just(Outcome::Unknown)
        ];
        prop::collection::vec((outcome, 1_usize..40), 1..30).prop_map(move |runs| {
            let flat = runs.into_iter().flat_map(|(outcome, n)| vec![outcome; n]);
            flat.chain(std::iter::repeat(Outcome::Good)).take(n).collect::<Vec<_>>()
        })
    };
    (one(), one()).prop_map(|(a, b)| a.into_iter().zip(b).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn live_a_restart_and_the_whole_history_say_the_same(
        slots in outcomes(240), halves in 1_u64..5,
    ) {
        let mut running = engine(catalog(halves));
        running.start(|_| begin(), begin());
        let mut held = [false; 3].map(|fires| vec![fires]);
        let mut told = Ok(());
        let kept = live(&mut running, begin(), &slots, |engine, now| {
            for (name, held) in NAMES.iter().zip(&mut held) {
                // Every second in between is judged as well, and remembers the one before.
                let seconds = (0..10).rev().map(|back| now.minus(Duration::from_secs(back)));
                let seconds = seconds.filter(|at| *at > begin().plus(STEP));
                let judged = |all: &Subject<'_>| {
                    let step = |held: Vec<bool>, at| all.joint(at).firing_pairs(&held);
                    seconds.fold(held.clone(), step)
                };
                *held = at_once(engine, name, judged);
                if told.is_ok() && fires(engine, name) != held[0] {
                    told = Err((name.to_string(), now));
                }
            }
        });
        prop_assert_eq!(told, Ok(()));
        agrees(&running)?;
        let end = begin().plus(STEP * 240);
        let again = restored(&kept, catalog(halves), end);
        agrees(&again)?;
        for name in NAMES {
            let [before, after] = [&running, &again].map(|engine| state(engine, name));
            prop_assert_eq!(&after.status, &before.status, "{}", name);
        }
    }

    #[test]
    fn a_reload_weighs_anew_and_a_correction_of_a_part_reaches_the_whole(
        slots in outcomes(200), from in 0_u32..150, length in 1_u32..60,
    ) {
        let mut running = engine(catalog(1));
        running.start(|_| begin(), begin());
        live(&mut running, begin(), &slots[..190], |_, _| {});
        let counted = |engine: &Engine, name: &str| {
            let counted = engine.counted(state(engine, name));
            (counted.good, counted.bad, counted.unknown)
        };
        let before = NAMES.map(|name| counted(&running, name));
        let mut changed = catalog(4);
        let start = begin().plus(STEP * from);
        let correction = |name: &&str| Arc::new(Correction {
            name: format!("c-{name}").parse().expect("valid"),
            act: Act::Set {
                slo: format!("svc/{name}-1").parse().expect("valid"),
                from: start,
                to: start.plus(STEP * length),
                outcome: Outcome::Excluded,
            },
            reason: "a test".to_owned(),
            author: "ana".to_owned(),
            at: None,
        });
        changed.corrections = NAMES.iter().map(correction).collect();
        let at = begin().plus(STEP * 190);
        running.reload(Arc::new(changed), &series(), at);
        live(&mut running, at, &slots[190..], |_, _| {});
        for name in NAMES {
            let now = state(&running, name).status.as_ref().expect("evaluated");
            let whole = at_once(&running, name, |subject| subject.status_at(now.at));
            let [now, whole] = [now, &whole].map(|s| (s.tally, s.budget, s.accounting, s.coverage));
            prop_assert_eq!(now, whole, "{}", name);
            let (good, bad, unknown) = counted(&running, name);
            let was = before[NAMES.iter().position(|one| *one == name).expect("one of them")];
            prop_assert!(good >= was.0 && bad >= was.1 && unknown >= was.2, "{}: counters fell", name);
        }
        prop_assert!(state(&running, "events").status.as_ref().is_some_and(|s| s.corrected));
    }
}

#[test]
fn a_part_that_is_not_measured_leaves_the_whole_without_data() {
    let mut running = engine(catalog(2));
    running.start(|_| begin(), begin());
    let slots = vec![(Outcome::Good, Outcome::Unknown); 120];
    live(&mut running, begin(), &slots, |_, _| {});
    for name in NAMES {
        let whole = state(&running, name);
        let status = whole.status.as_ref().expect("evaluated");
        assert_eq!(status.accounting, Accounting::NoData, "{name}");
        assert_eq!(status.budget.counted.sli(), None, "no data is no 100 %");
        assert_eq!(status.coverage.ratio(), "0");
        let no_data = whole.alerts.iter().find(|alert| alert.kind == AlertKind::NoData);
        assert!(no_data.is_some_and(Alert::is_firing), "{name}: somebody has to know");
        let alone = state(&running, &format!("{name}-1"));
        let alone = alone.status.as_ref().expect("evaluated");
        assert_eq!(alone.accounting, Accounting::WithinBudget);
    }
    // What the others spend does not wait for it.
    let at = begin().plus(STEP * 120);
    let slots = vec![(Outcome::Bad, Outcome::Unknown); 60];
    live(&mut running, at, &slots, |_, _| {});
    for name in NAMES {
        let status = state(&running, name).status.as_ref().expect("evaluated");
        assert_eq!(status.accounting, Accounting::Spent, "{name}");
        assert!(fires(&running, name), "{name}");
    }
}

#[test]
fn a_burning_part_pages_for_the_whole_as_its_weight_says() {
    // One bad slot in ten for ten minutes: exactly what the first part allows is a burn of 1,
    // and twice what the second allows is a burn of 2.
    let slots: Vec<_> = (0..360)
        .map(|k| match k >= 300 && k % 10 == 0 {
            true => (Outcome::Bad, Outcome::Bad),
            false => (Outcome::Good, Outcome::Good),
        })
        .collect();
    for (halves, fires_then) in [(1, false), (2, true)] {
        let mut running = engine(catalog(halves));
        running.start(|_| begin(), begin());
        live(&mut running, begin(), &slots, |_, _| {});
        let status = state(&running, "events").status.as_ref().expect("evaluated");
        let burn = status.burns[0].spending();
        // 1 + 2 / 2 = 2 is not above 2; 1 + 2 = 3 is.
        assert_eq!(burn.burns_above((2, 1)), fires_then, "{halves}");
        assert_eq!(fires(&running, "events"), fires_then, "{halves}");
    }
}

#[test]
fn evidence_of_a_composite_assumes_outages_of_its_own_length() {
    let mut engine = engine(catalog(2));
    engine.start(|_| begin(), begin());
    live(&mut engine, begin(), &[(Outcome::Good, Outcome::Good); 60], |_, _| {});
    for name in NAMES {
        let proof = state(&engine, name).status.as_ref().expect("evaluated").proof;
        let declared = Duration::from_secs(420);
        assert_eq!(proof.assumed_outage, declared, "{name}");
        assert_eq!(proof.supported_ppb, proof.record.supported_ppb(declared), "{name}");
        let part = state(&engine, &format!("{name}-1")).status.as_ref().expect("evaluated").proof;
        assert_eq!(part.assumed_outage, Duration::from_secs(300), "{name}");
    }
}
