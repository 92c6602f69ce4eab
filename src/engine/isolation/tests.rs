//! Verdicts under cut ways, silent resolvers and missing evidence; and an oracle that knows the
//! truth.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PROBE: SeriesId = SeriesId(7);
/// The timeout of every reference.
const PATIENCE: i64 = 750;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(ms * 1_000)
}

fn ms(ms: i64) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

fn observation(series: SeriesId, due: i64, verdict: Verdict) -> Observation {
    Observation {
        series,
        due: at(due),
        lag: Duration::ZERO,
        latency: Some(ms(1)),
        phases: Phases::default(),
        verdict,
        detail: Some("seen".into()),
        certificate_not_after: None,
    }
}

fn doubted(series: SeriesId, due: i64, elapsed: i64, about: Silence) -> Report {
    let verdict = match about {
        Silence::Target => Verdict::Bad(BadReason::Timeout),
        Silence::Route | Silence::Resolver => Verdict::Unknown(UnknownReason::LocalFault),
    };
    Report::Doubted(observation(series, due, verdict), Doubt { about, elapsed: ms(elapsed) })
}

/// Three targets and two names, at different phases of the second.
fn references() -> Vec<Reference> {
    (0..5)
        .map(|n| Reference { name: format!("r{n}"), series: SeriesId(100 + n), is_name: n >= 3 })
        .collect()
}

const PHASES: [i64; 5] = [100, 450, 800, 200, 700];

/// Everything that happens, by the moment at which it is known.
struct World {
    isolation: Isolation,
    /// When the way was cut, and when name servers were silent.
    cuts: Vec<(i64, i64)>,
    mute: Vec<(i64, i64)>,
    /// After how long a reference that hears nothing asks once more, as TCP does.
    retry: i64,
    events: Vec<(i64, Report)>,
    settled: Vec<(i64, Observation)>,
}

fn within(spans: &[(i64, i64)], ms: i64) -> bool {
    spans.iter().any(|(from, to)| (*from..*to).contains(&ms))
}

impl World {
    fn new(cuts: &[(i64, i64)], mute: &[(i64, i64)]) -> Self {
        World {
            isolation: Isolation::new(references(), SECOND),
            cuts: cuts.to_vec(),
            mute: mute.to_vec(),
            retry: PATIENCE,
            events: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// The references run from second 0 to this one.
    fn references_until(&mut self, seconds: i64) {
        for (n, phase) in PHASES.iter().enumerate() {
            let series = SeriesId(100 + u32::try_from(n).expect("small"));
            for due in (0..seconds).map(|second| second * 1_000 + phase) {
                let silent = |at| within(&self.cuts, at) || (n >= 3 && within(&self.mute, at));
                let asked = [due, due + self.retry].into_iter();
                let mut answers = asked.filter(|at| *at < due + PATIENCE && !silent(*at));
                let run = match answers.next() {
                    None => (due + PATIENCE + 5, doubted(series, due, PATIENCE, Silence::Target)),
                    Some(at) => {
                        let latency = Some(ms(at + 1 - due));
                        let seen = observation(series, due, Verdict::Good);
                        (at + 5, Report::Observed(Observation { latency, ..seen }))
                    }
                };
                self.events.push(run);
            }
        }
    }

    fn probe(&mut self, known: i64, report: Report) {
        self.events.push((known, report));
    }

    /// Lets it all happen, with a look every 100 ms until a while after the end.
    fn run(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        events.sort_by_key(|(known, _)| *known);
        let end = events.last().map_or(0, |(known, _)| *known) + 3_000;
        let mut events = events.into_iter().peekable();
        for now in (0..end).step_by(100) {
            let mut settled = Vec::new();
            while let Some((_, report)) = events.next_if(|(known, _)| *known <= now) {
                self.isolation.take(report, &mut settled);
            }
            self.isolation.release(at(now), &mut settled);
            self.settled.extend(settled.into_iter().filter_map(|report| match report {
                Report::Observed(observation) => Some((now, observation)),
                Report::Missed(..) | Report::Counted(_) => None,
                Report::Doubted(..) => panic!("a doubted report was settled"),
            }));
        }
    }

    #[track_caller]
    fn verdicts(&self) -> Vec<Verdict> {
        self.settled.iter().map(|(_, observation)| observation.verdict).collect()
    }
}

const ISOLATED: Verdict = Verdict::Unknown(UnknownReason::Isolated);
const LOCAL: Verdict = Verdict::Unknown(UnknownReason::LocalFault);
const TIMEOUT: Verdict = Verdict::Bad(BadReason::Timeout);
const DNS: Verdict = Verdict::Bad(BadReason::Dns);

/// One doubted probe in a world of 20 s with one cut and one silence of the resolver.
#[track_caller]
fn check(cut: (i64, i64), mute: (i64, i64), due: i64, about: Silence, expect: Verdict) {
    let mut world = World::new(&[cut], &[mute]);
    world.references_until(20);
    world.probe(due + 505, doubted(PROBE, due, 500, about));
    world.run();
    assert_eq!(world.verdicts(), [expect], "{about:?} at {due}, cut {cut:?}, mute {mute:?}");
    let (settled, _) = world.settled[0];
    assert!(settled <= due + 505 + 2_100, "settled only at {settled}");
}

#[test]
fn silence_is_ours_while_no_reference_answers_and_the_targets_otherwise() {
    let (cut, never) = ((5_000, 8_000), (0, 0));
    for about in [Silence::Target, Silence::Route, Silence::Resolver] {
        check(cut, never, 6_000, about, ISOLATED);
    }
    // It began before the cut, or ended after it: what was cut is ours all the same.
    check(cut, never, 4_700, Silence::Target, ISOLATED);
    check(cut, never, 7_900, Silence::Target, ISOLATED);
    for due in [2_000, 3_400, 9_200, 15_000] {
        check(cut, never, due, Silence::Target, TIMEOUT);
        check(cut, never, due, Silence::Route, LOCAL);
        check(cut, never, due, Silence::Resolver, DNS);
    }
}

#[test]
fn a_silent_resolver_excuses_names_and_nothing_else() {
    let (never, mute) = ((0, 0), (5_000, 8_000));
    check(never, mute, 6_000, Silence::Resolver, LOCAL);
    check(never, mute, 6_000, Silence::Target, TIMEOUT);
    check(never, mute, 12_000, Silence::Resolver, DNS);
}

#[test]
fn one_reference_that_answers_is_proof() {
    let mut world = World::new(&[], &[]);
    world.references_until(20);
    // Two of three are down from second 5 on, for good.
    for (known, report) in &mut world.events {
        let Report::Observed(run) = report else { continue };
        if run.series.0 < 102 && run.due >= at(5_000) {
            *known += PATIENCE;
            *report = Report::Doubted(
                run.clone(),
                Doubt { about: Silence::Target, elapsed: ms(PATIENCE) },
            );
        }
    }
    world.probe(10_500, doubted(PROBE, 10_000, 500, Silence::Target));
    world.run();
    assert_eq!(world.verdicts(), [TIMEOUT]);
    assert_eq!(world.isolation.sight(), Sight::Clear);
}

#[test]
fn nothing_waits_without_references_and_nothing_is_excused() {
    let mut isolation = Isolation::new(Vec::new(), SECOND);
    for about in [Silence::Target, Silence::Route, Silence::Resolver] {
        let mut settled = Vec::new();
        let report = doubted(PROBE, 0, 500, about);
        let Report::Doubted(seen, _) = report.clone() else { panic!("doubted") };
        isolation.take(report, &mut settled);
        assert_eq!(settled, [Report::Observed(seen)]);
    }
    assert_eq!(isolation.slots().of(Cause::Route), 1);
    assert_eq!(isolation.slots().of(Cause::Resolver), 1);
}

#[test]
fn a_machine_that_is_late_itself_waits_before_it_blames_a_target() {
    let mut isolation = Isolation::new(references(), SECOND);
    let mut settled = Vec::new();
    let hear = |isolation: &mut Isolation, seconds: std::ops::Range<i64>, from: i64| {
        for (n, phase) in PHASES.iter().enumerate() {
            let series = SeriesId(100 + u32::try_from(n).expect("small"));
            for second in seconds.clone() {
                let due = second * 1_000 + phase;
                let run = match due < from {
                    true => Report::Observed(observation(series, due, Verdict::Good)),
                    false => doubted(series, due, PATIENCE, Silence::Target),
                };
                isolation.take(run, &mut Vec::new());
            }
        }
    };
    hear(&mut isolation, 0..10, 10_000);
    isolation.take(doubted(PROBE, 10_000, 500, Silence::Target), &mut settled);
    isolation.release(at(13_000), &mut settled);
    assert_eq!(settled, [], "nobody has been heard since, and that is our own fault");
    hear(&mut isolation, 10..12, 10_000);
    isolation.release(at(13_100), &mut settled);
    let isolated = Verdict::Unknown(UnknownReason::Isolated);
    assert!(matches!(&settled[..], [Report::Observed(seen)] if seen.verdict == isolated));
}

#[test]
fn references_that_were_not_measured_excuse_nothing() {
    let mut isolation = Isolation::new(references(), SECOND);
    let mut settled = Vec::new();
    for (n, phase) in PHASES.iter().enumerate() {
        let series = SeriesId(100 + u32::try_from(n).expect("small"));
        for second in 0..20 {
            let run = observation(series, second * 1_000 + phase, LOCAL);
            isolation.take(Report::Observed(run), &mut settled);
        }
    }
    isolation.take(doubted(PROBE, 10_000, 500, Silence::Target), &mut settled);
    isolation.release(at(12_400), &mut settled);
    assert_eq!(settled, [], "evidence may still come");
    isolation.release(at(12_500), &mut settled);
    assert!(matches!(&settled[..], [Report::Observed(seen)] if seen.verdict == TIMEOUT));
}

#[test]
fn what_follows_a_doubted_slot_waits_behind_it() {
    let mut world = World::new(&[(5_000, 8_000)], &[]);
    world.references_until(20);
    world.probe(6_205, doubted(PROBE, 6_000, 200, Silence::Target));
    world.probe(6_206, Report::Observed(observation(PROBE, 6_200, Verdict::Good)));
    let other = SeriesId(8);
    world.probe(6_207, Report::Observed(observation(other, 6_200, Verdict::Good)));
    world.run();
    let order: Vec<_> = world.settled.iter().map(|(_, seen)| (seen.series, seen.verdict)).collect();
    assert_eq!(order, [(other, Verdict::Good), (PROBE, ISOLATED), (PROBE, Verdict::Good)]);
    assert_eq!(world.isolation.n_held(), 0);
}

#[test]
fn an_unknown_slot_has_no_latency_and_says_why() {
    let mut world = World::new(&[(5_000, 8_000)], &[]);
    world.references_until(20);
    world.probe(6_505, doubted(PROBE, 6_000, 500, Silence::Target));
    world.run();
    let (_, seen) = &world.settled[0];
    assert_eq!((seen.latency, seen.phases), (None, Phases::default()));
    assert_eq!(seen.detail.as_deref(), Some("cut off: no reference answered; seen"));
    assert_eq!(world.isolation.slots().of(Cause::Isolated), 1);
}

#[test]
fn the_cut_is_told_from_its_last_answer_on_until_the_next() {
    let mut world = World::new(&[(5_000, 60_000)], &[]);
    world.references_until(20);
    world.run();
    assert_eq!(world.isolation.sight(), Sight::CutOff(at(4_800)));
    assert!(world.isolation.standings().all(|standing| standing.last == Some(Sign::Silent)));
    let mut settled = Vec::new();
    let back =
        Report::Observed(observation(SeriesId(100), 20_100, Verdict::Bad(BadReason::Status)));
    world.isolation.take(back, &mut settled);
    world.isolation.release(at(23_000), &mut settled);
    assert_eq!(world.isolation.sight(), Sight::Clear, "any answer will do");
}

#[test]
fn the_queue_is_bounded_and_its_overflow_is_counted() {
    let mut isolation = Isolation::new(references(), SECOND);
    let mut settled = Vec::new();
    let n = i64::try_from(HELD_MAX).expect("small") + 10;
    for due in 0..n {
        isolation.take(doubted(PROBE, due, 1, Silence::Target), &mut settled);
    }
    assert_eq!(isolation.overflows(), 1);
    isolation.finish(&mut settled);
    assert_eq!((settled.len() as i64, isolation.n_held()), (n, 0));
}

#[test]
fn missed_runs_of_references_hold_nothing_up() {
    let mut world = World::new(&[(5_000, 8_000)], &[]);
    world.references_until(20);
    // One reference was not started for 12 s: accounted for as a single run.
    let missed = |due: i64| (2_000..14_000).contains(&due);
    world.events.retain(|(known, report)| report.series().0 != 100 || !missed(*known));
    let run = Run {
        start: at(2_100),
        step: SECOND,
        n: 12,
        verdict: Verdict::Unknown(UnknownReason::Late),
        class: 0,
    };
    world.probe(14_050, Report::Missed(SeriesId(100), run));
    world.probe(10_505, doubted(PROBE, 10_000, 500, Silence::Target));
    world.run();
    assert_eq!(world.verdicts(), [TIMEOUT], "two others answered");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The truth: targets that answer at once, some of which are really down at times, behind a
    /// way that is cut at times. A probe fails if it starts while either is so.
    #[test]
    fn no_cut_is_blamed_on_a_target_and_no_outage_hides_beyond_a_cut(
        cuts in prop::collection::vec((0_i64..50_000, 1_000_i64..9_000), 0..4),
        down in prop::collection::vec((0_i64..50_000, 1_i64..20_000), 0..4),
        timeout in 50_i64..3_000,
        retry in 1..=PATIENCE,
    ) {
        let spans = |spans: &[(i64, i64)]| -> Vec<(i64, i64)> {
            spans.iter().map(|(from, length)| (*from, from + length)).collect()
        };
        // A run that starts during the cut but is answered after it is no silence: only a cut that
        // is longer by the patience of the references silences them all for certain.
        let longer = if retry < PATIENCE { PATIENCE } else { 0 };
        let cuts: Vec<_> = cuts.iter().map(|(from, length)| (*from, length + longer)).collect();
        let (cuts, down) = (spans(&cuts), spans(&down));
        let mut world = World::new(&cuts, &[]);
        world.retry = retry;
        world.references_until(70);
        let mut n_failed = 0;
        for due in (0..60_000).step_by(370) {
            if within(&cuts, due) || within(&down, due) {
                n_failed += 1;
                world.probe(due + timeout, doubted(PROBE, due, timeout, Silence::Target));
            } else {
                world.probe(due + 1, Report::Observed(observation(PROBE, due, Verdict::Good)));
            }
        }
        world.run();
        prop_assert_eq!(world.settled.len(), (0..60_000).step_by(370).count());
        let mut failed = 0;
        for (known, seen) in &world.settled {
            let due = seen.due.micros() / 1_000;
            prop_assert!(known - due <= timeout.max(1) + 2_100 + timeout, "{due} only at {known}");
            failed += i32::from(seen.verdict != Verdict::Good);
            if within(&cuts, due) && !within(&down, due) {
                prop_assert_eq!(seen.verdict, ISOLATED, "blamed at {}", due);
            }
            // An interval of the references, their timeout, and no cut in sight.
            let (from, to) = (due - 1_000, due + timeout + 1_000);
            let near = cuts.iter().any(|(since, until)| *since < to && from < *until);
            if within(&down, due) && !near {
                prop_assert_eq!(seen.verdict, TIMEOUT, "hidden at {}", due);
            }
        }
        prop_assert_eq!(failed, n_failed);
    }
}
