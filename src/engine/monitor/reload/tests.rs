//! Reloads against a naive model that keeps every slot and every promise, and against restarts.

use proptest::prelude::*;

use super::super::tests::{at, keep, observation, restore, secs};
use super::*;
use crate::engine::Options;
use crate::model::catalog::UnknownPolicy;
use crate::model::check::{Check, TcpCheck};
use crate::model::{
    AlertPolicy, BadReason, Limit, Outcome, Pair, Probe, Record, Severity, Share, ShortThreshold,
    Tally, Verdict,
};

/// What may be declared: probes `a` and `b`, an SLO over both and a latency SLO over the first.
#[derive(Clone, Debug, PartialEq)]
struct Declared {
    /// Intervals of `a` and `b` in seconds; none for no such probe.
    intervals: [Option<u64>; 2],
    /// Objective in percent, unknown policy and window in seconds of `both`.
    both: Option<(u32, UnknownPolicy, u64)>,
    /// Threshold in milliseconds of `fast`.
    fast: Option<u64>,
    team: &'static str,
}

const PLAIN: Declared = Declared {
    intervals: [Some(1), Some(2)],
    both: Some((90, UnknownPolicy::Exclude, 300)),
    fast: Some(100),
    team: "blue",
};

impl Declared {
    fn catalog(&self) -> Arc<Catalog> {
        let probe = |(name, interval): (&str, Option<u64>)| {
            Some(Probe {
                id: format!("svc/{name}").parse().expect("valid"),
                check: Check::Tcp(TcpCheck {
                    endpoint: "127.0.0.1:1".parse().expect("valid"),
                    send: None,
                    expect: None,
                }),
                interval: secs(interval?),
                timeout: secs(1),
            })
        };
        let probes: Vec<Probe> =
            ["a", "b"].into_iter().zip(self.intervals).filter_map(probe).collect();
        let policy = Arc::new(AlertPolicy {
            name: "test".parse().expect("valid"),
            pairs: vec![Pair {
                severity: Severity::Page,
                long: secs(60),
                short: secs(10),
                limit: Limit::Budget(Share::from_ppb(200_000_000).expect("a share")),
                hold: Duration::ZERO,
            }],
            short_threshold: ShortThreshold::Same,
            min_bad: 1,
        });
        let slo =
            |name: &str, of: &[Probe], under: Option<u64>, percent: u32, unknown, window| Slo {
                probes: of.iter().map(|probe| probe.id.clone()).collect(),
                latency_under: under.map(Duration::from_millis),
                unknown,
                policy: Some(Arc::clone(&policy)),
                ..Slo::new(
                    format!("svc/{name}").parse().expect("valid"),
                    format!("{percent}%").parse().expect("valid"),
                    secs(window),
                )
            };
        let both = self
            .both
            .map(|(percent, unknown, window)| slo("both", &probes, None, percent, unknown, window));
        let exclude = UnknownPolicy::Exclude;
        let fast = self.fast.map(|under| slo("fast", &probes[..1], Some(under), 80, exclude, 300));
        let slos = both.into_iter().chain(fast).collect();
        let services = vec![Service {
            name: "svc".parse().expect("valid"),
            display_name: None,
            labels: BTreeMap::from([("team".to_owned(), self.team.to_owned())]),
            description: None,
            links: BTreeMap::new(),
            support: None,
            depends_on: Vec::new(),
            probes,
            slos,
        }];
        Arc::new(Catalog { services, policies: vec![policy], ..Catalog::default() })
    }

    fn probes(&self) -> Vec<(SeriesId, Probe)> {
        let catalog = self.catalog();
        let series = numbers();
        catalog.probes().map(|probe| (series[&probe.id], probe.clone())).collect()
    }
}

/// As the ledger does it: every probe keeps its number for good.
fn numbers() -> BTreeMap<ProbeId, SeriesId> {
    let id = |name: &str| format!("svc/{name}").parse().expect("valid");
    BTreeMap::from([(id("a"), SeriesId(1)), (id("b"), SeriesId(2))])
}

fn engine(declared: &Declared) -> Engine {
    let options = Options { vantage: "here".to_owned(), resend_delay: secs(60) };
    Engine::new(declared.catalog(), &numbers(), options)
}

fn first_due(probe: &Probe, from: Timestamp) -> Timestamp {
    Grid::new(&probe.id, "here", probe.interval).first_due_at_or_after(from)
}

/// What a slot turned out to be: in stretches, so that budgets are really spent.
fn truth(series: SeriesId, due: Timestamp) -> (Verdict, u64) {
    let hash =
        |n: i64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()).unsigned_abs() >> 40;
    let stretch = hash(due.micros() / 20_000_000 + i64::from(series.0) * 7_919) % 10;
    let single = hash(due.micros() / 100_000) % 10;
    match (stretch, single) {
        (0..2, 0..7) => (Verdict::Bad(BadReason::Connect), 5),
        (2, 0..5) => (Verdict::Unknown(crate::model::UnknownReason::LocalFault), 0),
        (3..6, 0..5) => (Verdict::Good, 150),
        _ => (Verdict::Good, 20),
    }
}

/// Probes as the prober does: slots before a reload by the old catalogue, the rest by the new.
struct World {
    declared: Declared,
    since: Timestamp,
    /// Slots that are due and not reported, with the moment of their report.
    in_flight: Vec<(Timestamp, SeriesId, Timestamp)>,
    /// Up to when slots have been started.
    until: Timestamp,
    lag: Duration,
    /// Every slot that ever was.
    slots: BTreeMap<(Timestamp, SeriesId), (Verdict, u64)>,
}

impl World {
    fn new(declared: &Declared, lag: Duration) -> Self {
        let (since, until) = (at(0), at(0));
        let (in_flight, slots) = (Vec::new(), BTreeMap::new());
        World { declared: declared.clone(), since, in_flight, until, lag, slots }
    }

    /// Starts everything that is due before `now`.
    fn start(&mut self, now: Timestamp) {
        for (series, probe) in self.declared.probes() {
            let mut due = first_due(&probe, self.until);
            while due < now {
                self.in_flight.push((due.plus(self.lag), series, due));
                self.slots.insert((due, series), truth(series, due));
                due = due.plus(probe.interval);
            }
        }
        self.until = now;
    }

    /// Reports what is known by `now`.
    fn report(&mut self, now: Timestamp, engines: &mut [&mut Engine], effects: &mut Vec<Effect>) {
        self.in_flight.sort_unstable();
        let known = self.in_flight.partition_point(|(report, ..)| *report <= now);
        for (_, series, due) in self.in_flight.drain(..known) {
            let (verdict, latency) = truth(series, due);
            let second = due.since(at(0)).as_micros();
            let mut observed = observation(series.0, 0, verdict, latency);
            observed.due = at(0).plus(Duration::from_micros(u64::try_from(second).expect("small")));
            for (n, engine) in engines.iter_mut().enumerate() {
                let mut ignored = Vec::new();
                let effects = if n == 0 { &mut *effects } else { &mut ignored };
                engine.observe(observed.clone(), effects);
            }
        }
    }

    fn become_(&mut self, declared: &Declared, at: Timestamp) {
        self.start(at);
        (self.declared, self.since) = (declared.clone(), at);
    }
}

/// Which promise an SLO made from when on, and by which it counts.
type Promises = Vec<(Timestamp, Option<Promise>)>;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Promise {
    budget_ppb: u32,
    unknown: UnknownPolicy,
    window: u64,
    under: Option<u64>,
    probes: [bool; 2],
}

fn promise(declared: &Declared, name: &str) -> Option<Promise> {
    let exclude = UnknownPolicy::Exclude;
    let probes = declared.intervals.map(|interval| interval.is_some());
    match name {
        "both" => declared.both.map(|(percent, unknown, window)| {
            let budget_ppb = (100 - percent) * 10_000_000;
            Promise { budget_ppb, unknown, window, under: None, probes }
        }),
        _ => declared.fast.map(|under| Promise {
            budget_ppb: 200_000_000,
            unknown: exclude,
            window: 300,
            under: Some(under),
            probes: [true, false],
        }),
    }
}

/// Counts and what was allowed in `[from, to)`, slot by slot.
fn naive(world: &World, promises: &Promises, from: Timestamp, to: Timestamp) -> (Tally, u128) {
    let (mut tally, mut allowed) = (Tally::ZERO, 0);
    for (&(due, series), &(verdict, latency)) in
        world.slots.range((from, SeriesId(0))..(to, SeriesId(0)))
    {
        let in_force = promises.iter().rev().find(|(since, _)| *since <= due);
        let Some((_, Some(promise))) = in_force else { continue };
        if !promise.probes[series.0 as usize - 1] {
            continue;
        }
        let slow = promise.under.is_some_and(|under| latency > under);
        let outcome = match verdict.outcome() {
            Outcome::Good if slow => Outcome::Bad,
            outcome => outcome,
        };
        tally += Tally::of(outcome, 1);
        let counts = outcome != Outcome::Unknown || promise.unknown != UnknownPolicy::Exclude;
        allowed += u128::from(promise.budget_ppb) * u128::from(counts);
    }
    (tally, allowed)
}

fn assert_equals_naive(engine: &Engine, world: &World, promises: &BTreeMap<&str, Promises>) {
    for state in engine.slos() {
        let Some(status) = &state.status else { continue };
        let promises = &promises[state.slo.id.name()];
        let in_force = promises.iter().rev().find(|(since, _)| *since <= status.at);
        let Some((_, Some(promise))) = in_force else { continue };
        let window = secs(promise.window);
        let (tally, allowed) = naive(world, promises, status.at.minus(window), status.at);
        let context = || format!("{} at {}: {promises:?}", state.slo.id, status.at);
        assert_eq!(status.tally, tally, "{}", context());
        assert_eq!(status.budget.allowed_ppb, allowed, "{}", context());
        let (totals, _) = naive(world, promises, Timestamp::MIN, status.at);
        assert_eq!(status.totals, totals, "{}", context());
        for burn in &status.burns {
            let (tally, allowed) = naive(world, promises, status.at.minus(burn.window), status.at);
            assert_eq!((burn.allowed_ppb, burn.counted.bad >= tally.bad), (allowed, true));
        }
    }
}

fn assert_same(one: &Engine, other: &Engine) {
    assert_eq!(one.slos().len(), other.slos().len());
    for (one, other) in one.slos().iter().zip(other.slos()) {
        assert_eq!(one.revisions(), other.revisions());
        let known = |state: &SloState| {
            state.status.as_ref().map(|status| {
                let status = status.clone();
                (status.at, status.tally, status.totals, status.budget, status.burns, status.pairs)
            })
        };
        assert_eq!(known(one), known(other), "{}", one.slo.id);
        for (one, other) in one.alerts.iter().zip(&other.alerts).take(3) {
            assert_eq!(one.life.fired_at, other.life.fired_at, "{:?}", one.labels);
            assert_eq!(one.life.resolved_at, other.life.resolved_at, "{:?}", one.labels);
        }
    }
}

fn declared() -> impl Strategy<Value = Declared> {
    let unknown = prop_oneof![
        Just(UnknownPolicy::Exclude),
        Just(UnknownPolicy::Bad),
        Just(UnknownPolicy::Good)
    ];
    let both =
        (prop_oneof![Just(90_u32), Just(95)], unknown, prop_oneof![Just(200_u64), Just(300)]);
    let fast = prop_oneof![Just(100_u64), Just(30), Just(200)];
    let second = prop::option::weighted(0.7, 1_u64..4);
    (1_u64..4, second, prop::option::weighted(0.8, both), prop::option::weighted(0.8, fast))
        .prop_map(|(a, b, both, fast)| Declared {
            intervals: [Some(a), b],
            both,
            fast,
            team: "blue",
        })
}

/// Reloads by the microsecond of a life of 700 s.
fn reloads() -> impl Strategy<Value = BTreeMap<u64, Declared>> {
    prop::collection::btree_map(1_000_000_u64..600_000_000, declared(), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Every slot counts once, by what was promised when it was due, whatever is in flight while
    /// the catalogue changes.
    #[test]
    fn a_life_with_reloads_equals_a_naive_count(
        first in declared(), reloads in reloads(), lag_ms in 0_u64..1_800,
    ) {
        let mut engine = engine(&first);
        let mut world = World::new(&first, Duration::from_millis(lag_ms));
        let mut promises: BTreeMap<&str, Promises> = BTreeMap::new();
        let note = |promises: &mut BTreeMap<&str, Promises>, declared: &Declared, from| {
            for name in ["both", "fast"] {
                let all = promises.entry(name).or_default();
                let next = promise(declared, name);
                if all.last().is_none_or(|(_, last)| *last != next) {
                    all.push((from, next));
                }
            }
        };
        note(&mut promises, &first, Timestamp::MIN);
        engine.start(|probe| first_due(probe, at(0)), at(0));
        let mut kept = Vec::new();
        let mut reloads = reloads.into_iter().peekable();
        for second in 1..700 {
            let now = at(second);
            while let Some((micros, next)) =
                reloads.next_if(|(micros, _)| at(0).plus(Duration::from_micros(*micros)) <= now)
            {
                let moment = at(0).plus(Duration::from_micros(micros));
                world.start(moment);
                world.report(moment, &mut [&mut engine], &mut kept);
                engine.reload(next.catalog(), &numbers(), moment);
                world.become_(&next, moment);
                note(&mut promises, &next, moment);
            }
            world.start(now);
            world.report(now, &mut [&mut engine], &mut kept);
            engine.tick(now);
            if second % 7 == 0 {
                assert_equals_naive(&engine, &world, &promises);
            }
        }
        prop_assert_eq!(engine.stats(), crate::engine::EngineStats::default());
        // Whatever came and went, each slot is in exactly one outcome.
        let taken = kept.iter().filter(|effect| {
            matches!(effect, Effect::Append(Record::Observation(_)))
        });
        prop_assert_eq!(taken.count(), world.slots.len() - world.in_flight.len());
    }

    /// After a reload a restart finds the same, whether the reload or the restart brought the
    /// change.
    #[test]
    fn a_restart_after_a_reload_changes_nothing(
        first in declared(), second in declared(), third in declared(),
        cut in 20_i64..650, gap in 1_i64..40, at_start: bool, restart_after in 0_i64..5,
    ) {
        // A process that finds another interval when it starts cannot know what it was while
        // nobody probed.
        let intervals = if at_start { second.intervals } else { third.intervals };
        let third = Declared { intervals, ..third };
        let mut live = engine(&first);
        let mut world = World::new(&first, Duration::ZERO);
        let mut records = Vec::new();
        keep(&mut records, live.start(|probe| first_due(probe, at(0)), at(0)));
        let mut again: Option<Engine> = None;
        for now in 1..700 {
            world.start(at(now));
            let mut effects = Vec::new();
            let mut engines: Vec<&mut Engine> = [&mut live].into_iter().chain(&mut again).collect();
            world.report(at(now), &mut engines, &mut effects);
            keep(&mut records, effects);
            keep(&mut records, live.tick(at(now)));
            if let Some(again) = &mut again {
                again.tick(at(now));
                if now > cut + gap + restart_after {
                    assert_same(&live, again);
                }
            }
            if now == cut {
                keep(&mut records, live.reload(second.catalog(), &numbers(), at(now)));
                world.become_(&second, at(now));
            }
            if now == cut + gap && !at_start {
                keep(&mut records, live.reload(third.catalog(), &numbers(), at(now)));
                world.become_(&third, at(now));
            }
            if now == cut + gap && at_start {
                let moment = at(now).plus(Duration::from_millis(500));
                let mut effects = Vec::new();
                world.start(moment);
                world.report(moment, &mut [&mut live], &mut effects);
                keep(&mut records, effects);
                let mut engine = restore(engine(&third), &records);
                engine.start(|probe| first_due(probe, moment), moment);
                keep(&mut records, live.reload(third.catalog(), &numbers(), moment));
                world.become_(&third, moment);
                again = Some(engine);
            }
            if now == cut + gap + restart_after && !at_start {
                let mut engine = restore(engine(&third), &records);
                engine.start(|probe| first_due(probe, at(now)), at(now));
                if restart_after > 0 {
                    // At the moment of the reload itself this second has been judged already.
                    engine.tick(at(now));
                }
                again = Some(engine);
            }
        }
    }

    /// The sum over the parts of a window is the whole, wherever it is parted.
    #[test]
    fn a_window_is_the_sum_of_its_parts(reloads in reloads(), parts in 1_u64..300) {
        let mut engine = engine(&PLAIN);
        let mut world = World::new(&PLAIN, Duration::ZERO);
        engine.start(|probe| first_due(probe, at(0)), at(0));
        for (micros, next) in reloads {
            let moment = at(0).plus(Duration::from_micros(micros));
            let next = Declared { both: next.both.or(PLAIN.both), ..next };
            world.start(moment);
            world.report(moment, &mut [&mut engine], &mut Vec::new());
            engine.reload(next.catalog(), &numbers(), moment);
            world.become_(&next, moment);
        }
        world.start(at(700));
        world.report(at(700), &mut [&mut engine], &mut Vec::new());
        let state = engine.slo("svc/both").expect("declared");
        let spending = |length: u64, end: Timestamp| {
            let moment = crate::engine::evaluate::Moment::new(engine.histories(state), end);
            moment.under(state.revisions()).spending(&state.slo, secs(length))
        };
        let (whole, late) = (spending(300, at(700)), spending(parts, at(700)));
        let early = spending(300 - parts, at(700 - i64::try_from(parts).expect("small")));
        prop_assert_eq!(early + late, whole);
    }
}

#[test]
fn a_reload_of_the_same_changes_nothing_at_all() {
    let mut engine = engine(&PLAIN);
    let mut world = World::new(&PLAIN, Duration::from_millis(700));
    engine.start(|probe| first_due(probe, at(0)), at(0));
    let mut live = |engine: &mut Engine, range: std::ops::Range<i64>| {
        for now in range {
            world.start(at(now));
            world.report(at(now), &mut [engine], &mut Vec::new());
            engine.tick(at(now));
        }
    };
    live(&mut engine, 1..400);
    let before = format!("{engine:?}");
    assert_eq!(engine.reload(PLAIN.catalog(), &numbers(), at(400)), []);
    assert_eq!(format!("{engine:?}"), before);
}

/// An outage of everything: both alerts fire at second 60.
fn burning() -> (Engine, Vec<Record>) {
    let mut engine = engine(&PLAIN);
    let mut records = Vec::new();
    keep(&mut records, engine.start(|probe| first_due(probe, at(0)), at(0)));
    for now in 1..60 {
        let mut effects = Vec::new();
        for (series, probe) in PLAIN.probes() {
            let mut due = first_due(&probe, at(now - 1));
            while due < at(now) {
                let bad = observation(series.0, 0, Verdict::Bad(BadReason::Connect), 1);
                engine.observe(crate::model::Observation { due, ..bad }, &mut effects);
                due = due.plus(probe.interval);
            }
        }
        effects.extend(engine.tick(at(now)));
        keep(&mut records, effects);
    }
    assert!(engine.slos().iter().all(|state| state.alerts[0].is_firing()));
    (engine, records)
}

fn notices(effects: &[Effect]) -> Vec<(String, String, bool)> {
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Notify(n) if n.labels["alertname"] == "NinesErrorBudgetBurnFast" => {
            Some((n.labels["slo"].clone(), n.labels["team"].clone(), n.resolved))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn alerts_of_an_slo_that_has_gone_resolve_and_stay_so() {
    let (mut engine, mut records) = burning();
    let without = Declared { fast: None, ..PLAIN };
    keep(&mut records, engine.reload(without.catalog(), &numbers(), at(60)));
    assert_eq!(engine.slos().len(), 1, "its series are gone");
    let gone = ("svc/fast".to_owned(), "blue".to_owned(), true);
    assert_eq!(notices(&engine.tick(at(60))), std::slice::from_ref(&gone));
    let told: Vec<_> =
        (61..2_000).filter(|t| notices(&engine.tick(at(*t))).contains(&gone)).collect();
    assert_eq!((told.len(), told[0], told[13]), (14, 120, 900), "for fifteen minutes");
    // Later it comes back and is another alert; and so it is after a restart.
    let again = restore(self::engine(&PLAIN), &records);
    for mut engine in [engine, again] {
        engine.reload(PLAIN.catalog(), &numbers(), at(2_000));
        assert!(!engine.slo("svc/fast").expect("back").alerts[0].is_firing());
    }
}

#[test]
fn an_alert_that_changes_its_labels_ends_under_the_old_ones() {
    let (mut engine, _) = burning();
    let red = Declared { team: "red", ..PLAIN };
    engine.reload(red.catalog(), &numbers(), at(60));
    let mut told = notices(&engine.tick(at(60)));
    told.sort();
    let expect = |slo: &str, team: &str, over| (slo.to_owned(), team.to_owned(), over);
    let both = [expect("svc/both", "blue", true), expect("svc/both", "red", false)];
    let fast = [expect("svc/fast", "blue", true), expect("svc/fast", "red", false)];
    assert_eq!(told, [both, fast].concat());
    // And back again before the end was told for long enough.
    engine.reload(PLAIN.catalog(), &numbers(), at(70));
    let told = notices(&engine.tick(at(70)));
    assert!(told.contains(&expect("svc/both", "blue", false)));
    assert!(!told.contains(&expect("svc/both", "blue", true)), "it lives");
}

#[test]
fn another_objective_holds_from_its_moment_on() {
    let (mut engine, _) = burning();
    let allowed = |engine: &Engine| {
        let status = engine.slo("svc/both").and_then(|state| state.status.clone());
        status.expect("evaluated").budget.total_events()
    };
    // 59 s at 1.5 slots a second, of which one in ten may be bad.
    let before = allowed(&engine);
    let strict = Declared { both: Some((99, UnknownPolicy::Exclude, 300)), ..PLAIN };
    let kept = engine.reload(strict.catalog(), &numbers(), at(60));
    assert!(kept.iter().any(|effect| matches!(effect,
        Effect::Append(Record::State { name, .. }) if name == "promise/svc/both")));
    engine.tick(at(60));
    assert_eq!(allowed(&engine), before, "what is past is held to what was promised then");
    let revisions = engine.slo("svc/both").expect("declared").revisions().to_vec();
    let told: Vec<_> = revisions.iter().map(|r| (r.from, r.objective.to_string())).collect();
    assert_eq!(told, [(Timestamp::MIN, "90%".to_owned()), (at(60), "99%".to_owned())]);
}

#[test]
fn no_data_is_no_alarm_right_after_a_change() {
    let mut engine = engine(&Declared { intervals: [Some(3), None], ..PLAIN });
    engine.start(|probe| first_due(probe, at(0)), at(0));
    engine.tick(at(10_000));
    assert!(engine.slos()[0].alerts[3].is_firing(), "three hours without any result");
    let other = Declared { both: None, fast: Some(30), intervals: [Some(1), Some(1)], ..PLAIN };
    let and_new = Declared { both: PLAIN.both, ..other.clone() };
    engine.reload(other.catalog(), &numbers(), at(10_000));
    engine.reload(and_new.catalog(), &numbers(), at(10_001));
    engine.tick(at(10_002));
    assert!(!engine.slo("svc/both").expect("declared").alerts[3].is_firing());
    engine.tick(at(10_125));
    assert!(engine.slo("svc/both").expect("declared").alerts[3].is_firing());
}
