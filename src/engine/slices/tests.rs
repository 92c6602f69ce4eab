//! Slices against a naive model that puts every slot into its slice by hand, over missing data,
//! cut periods and the changes of the clocks; and through a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::engine::backtest::status_at;
use crate::engine::monitor::{Effect, Engine, Options};
use crate::engine::status::Accounting;
use crate::model::catalog::{Catalog, Service};
use crate::model::check::{Check, TcpCheck};
use crate::model::window::{Calendar, Unit, Window};
use crate::model::{
    BadReason, Observation, Phases, Probe, Record, Run, SeriesId, UnknownReason, Verdict,
};

const MINUTE: Duration = Duration::from_secs(60);

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn slo(method: Method, window: Window, unknown: UnknownPolicy) -> Slo {
    Slo {
        probes: vec!["svc/p".parse().expect("valid")],
        method,
        unknown,
        ..Slo::new(
            "svc/availability".parse().expect("valid"),
            "90%".parse().expect("valid"),
            window,
        )
    }
}

fn day(zone: &str) -> Window {
    Window::Calendar(Calendar::of(Unit::Day, zone.parse().expect("a zone")))
}

fn timeslices(minutes: u32, objective: &str) -> Method {
    Method::Timeslices { slice: MINUTE * minutes, objective: objective.parse().expect("a share") }
}

fn ratio(minutes: u32) -> Method {
    Method::RatioTimeslices { slice: MINUTE * minutes }
}

#[test]
fn a_slice_is_judged_by_what_was_measured_of_it() {
    let check = |method, tally: [u64; 4], unknown, expect: Outcome| {
        let [good, bad, other, excluded] = tally;
        let tally = Tally { good, bad, unknown: other, excluded };
        assert_eq!(judge(method, tally, unknown), Tally::of(expect, 1), "{tally:?}");
    };
    use Outcome::{Bad, Excluded, Good, Unknown};
    use UnknownPolicy::Exclude;
    let five_of_six = timeslices(1, "83%");
    check(five_of_six, [6, 0, 0, 0], Exclude, Good);
    check(five_of_six, [5, 1, 0, 0], Exclude, Good);
    check(five_of_six, [4, 2, 0, 0], Exclude, Bad);
    // Exactly the share is enough.
    check(timeslices(1, "50%"), [3, 3, 0, 0], Exclude, Good);
    // Half of it measured decides; less does not, unless nothing could change it.
    check(five_of_six, [3, 0, 3, 0], Exclude, Good);
    check(five_of_six, [2, 0, 4, 0], Exclude, Unknown);
    check(five_of_six, [0, 2, 4, 0], Exclude, Bad);
    check(timeslices(1, "30%"), [2, 0, 4, 0], Exclude, Good);
    check(five_of_six, [0, 0, 6, 0], Exclude, Unknown);
    check(five_of_six, [0, 0, 0, 6], Exclude, Excluded);
    check(five_of_six, [1, 0, 0, 5], Exclude, Good);
    check(five_of_six, [4, 0, 2, 0], UnknownPolicy::Bad, Bad);
    check(five_of_six, [0, 0, 6, 0], UnknownPolicy::Bad, Bad);
    check(five_of_six, [5, 0, 1, 0], UnknownPolicy::Good, Good);
    assert_eq!(judge(five_of_six, Tally::ZERO, Exclude), Tally::ZERO);
}

#[test]
fn a_ratio_is_exact_for_usual_numbers_of_slots_and_else_cut_toward_worse() {
    let parts = ratio(1).parts();
    let bad = |bad, total| {
        let tally = Tally { good: total - bad, bad, ..Tally::ZERO };
        let judged = judge(ratio(1), tally, UnknownPolicy::Exclude);
        assert_eq!(judged.good + judged.bad, parts);
        judged.bad
    };
    for total in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 20, 30, 60, 100, 120, 300, 600] {
        assert_eq!(bad(1, total) * total, parts, "{total}");
    }
    assert_eq!(bad(1, 17), parts / 17 + 1);
    assert_eq!((bad(0, 17), bad(17, 17)), (0, parts));
}

#[test]
fn the_mean_of_slice_ratios_is_not_the_ratio_of_their_sum() {
    // An hour with six probes a minute, then an hour with one of which half fail: of 420
    // probes 30 are bad, 7.1 %; of the minutes a quarter.
    let mut series = Series::default();
    let step = Duration::from_secs(10);
    series.push(at("2026-06-01T00:00:00Z"), step, 360, Tally::of(Outcome::Good, 1));
    for minute in 0..60 {
        let due = at("2026-06-01T01:00:00Z").plus(MINUTE * minute);
        let outcome = if minute % 2 == 0 { Outcome::Bad } else { Outcome::Good };
        series.push(due, MINUTE, 1, Tally::of(outcome, 1));
    }
    let window = Window::Rolling(MINUTE * 120);
    let slots = [series];
    let histories = Histories { series: &slots, of: &[0] };
    let sli = |method| {
        let slo = slo(method, window.clone(), UnknownPolicy::Exclude);
        let status = status_at(histories, &slo, at("2026-06-01T02:00:00Z"));
        (status.budget.counted.sli().expect("events"), status.budget.bad_events())
    };
    assert_eq!(sli(Method::Occurrences), ("0.928571428".to_owned(), "30".to_owned()));
    assert_eq!(sli(timeslices(1, "95%")), ("0.75".to_owned(), "30".to_owned()));
    assert_eq!(sli(ratio(1)), ("0.75".to_owned(), "30".to_owned()));
    assert_eq!(sli(ratio(2)), ("0.75".to_owned(), "15".to_owned()));
    assert_eq!(sli(timeslices(2, "95%")), ("0.5".to_owned(), "30".to_owned()));
}

#[test]
fn a_calendar_day_of_slices_is_safe_or_lost_by_slices() {
    // 1,440 minutes, of which 144 may be bad.
    let slo = slo(timeslices(1, "95%"), day("UTC"), UnknownPolicy::Exclude);
    let minutes = |bad: u32| {
        let mut series = Series::default();
        let mut due = at("2026-06-01T00:00:00Z");
        let step = Duration::from_secs(10);
        for (outcome, n) in [(Outcome::Bad, bad * 6), (Outcome::Good, 8_640 - bad * 6)] {
            series.push(due, step, n, Tally::of(outcome, 1));
            due = due.plus(step * n);
        }
        [series]
    };
    let said = |bad, moment: &str| {
        let series = minutes(bad);
        let status = status_at(Histories { series: &series, of: &[0] }, &slo, at(moment));
        (status.accounting, status.budget.total_events(), status.budget.rest)
    };
    assert_eq!(said(145, "2026-06-01T12:00:00Z"), (Accounting::Lost, "144".to_owned(), 720));
    assert_eq!(said(44, "2026-06-01T22:19:59Z").0, Accounting::WithinBudget);
    assert_eq!(said(44, "2026-06-01T22:20:00Z"), (Accounting::Safe, "144".to_owned(), 100));
    assert_eq!(said(145, "2026-06-02T00:00:00Z").0, Accounting::Spent);
}

/// A slot that somebody put into its slice by hand.
type Slot = (Timestamp, Outcome);

/// Every slice by its end, as a walk over all slots finds it.
fn naive(slots: &[Slot], slo: &Slo, known: Timestamp) -> Vec<(Timestamp, Tally)> {
    let length = slo.method.slice().expect("slices").as_micros() as i64;
    let slice_of = |due: Timestamp| match &slo.window {
        Window::Rolling(_) => {
            let start = due.micros().div_euclid(length) * length;
            start + length
        }
        Window::Calendar(calendar) => {
            let period = calendar.period(due);
            let passed = (due.micros() - period.start.micros()).div_euclid(length) * length;
            (period.start.micros() + passed + length).min(period.end.micros())
        }
    };
    let mut all: BTreeMap<i64, Tally> = BTreeMap::new();
    for (due, outcome) in slots {
        *all.entry(slice_of(*due)).or_default() += Tally::of(*outcome, 1);
    }
    let judged = all
        .into_iter()
        .map(|(end, tally)| (Timestamp::from_micros(end), judge(slo.method, tally, slo.unknown)));
    judged.filter(|(end, _)| *end <= known).collect()
}

fn methods() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![
        timeslices(1, "95%"),
        timeslices(5, "60%"),
        timeslices(7, "100%"),
        timeslices(60, "99%"),
        ratio(1),
        ratio(7),
        ratio(60),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn slices_equal_a_walk_over_every_slot_however_they_come(
        stretches in prop::collection::vec(
            (prop::sample::select(vec![
                Outcome::Good, Outcome::Good, Outcome::Bad, Outcome::Unknown, Outcome::Excluded,
            ]), 1_u32..700),
            1..16,
        ),
        method in methods(),
        window in prop::sample::select(vec![
            Window::Rolling(MINUTE * 1_440), day("Europe/Berlin"), day("Australia/Lord_Howe"),
        ]),
        unknown in prop::sample::select(vec![
            UnknownPolicy::Exclude, UnknownPolicy::Bad, UnknownPolicy::Good,
        ]),
        begin in prop::sample::select(vec![
            "2026-03-28T18:00:07Z", "2026-10-24T18:00:03Z", "2026-04-04T09:30:01Z",
        ]),
        step in prop::sample::select(vec![7_u64, 10, 60]),
        cuts in prop::collection::vec(0_u64..60_000, 0..6),
        looks in prop::collection::vec((0_u64..60_000, 0_u64..100_000), 6),
    ) {
        let slo = slo(method, window, unknown);
        let from = at(begin);
        let (mut series, mut slots, mut due) = (Series::default(), Vec::new(), from);
        for (outcome, n) in stretches {
            series.push(due, Duration::from_secs(step), n, Tally::of(outcome, 1));
            for _ in 0..n {
                slots.push((due, outcome));
                due = due.plus(Duration::from_secs(step));
            }
        }
        let series = [series];
        let histories = Histories { series: &series, of: &[0] };
        let known = due;
        let expect = naive(&slots, &slo, known);
        let whole = Slices::of(histories, None, &slo, known).expect("slices");
        // In pieces, as they come live.
        let mut pieces = Slices::default();
        let mut cuts: Vec<_> = cuts.iter().map(|c| from.plus(Duration::from_secs(*c))).collect();
        cuts.sort_unstable();
        for cut in cuts.into_iter().filter(|cut| *cut < known).chain([known]) {
            pieces.extend(histories, None, &slo, cut);
        }
        for (back, after) in looks {
            let moment = from.plus(Duration::from_secs(after)).min(known);
            let begin = moment.minus(Duration::from_secs(back));
            let within = |(end, _): &&(Timestamp, Tally)| *end > begin && *end <= moment;
            let sum: Tally = expect.iter().filter(within).map(|(_, tally)| *tally).sum();
            for slices in [&whole, &pieces] {
                let histories = slices.histories();
                prop_assert_eq!(histories.before(moment) - histories.before(begin), sum);
            }
        }
    }
}

/// What somebody else counted in an interval, and whether it was measured.
fn counted_interval() -> impl Strategy<Value = (Tally, Tally)> {
    let (good, missed) = (Tally::of(Outcome::Good, 1), Tally::of(Outcome::Unknown, 1));
    prop_oneof![
        4 => (1_u64..50, 0_u64..5)
            .prop_map(move |(good_n, bad)| (Tally { good: good_n, bad, ..Tally::ZERO }, good)),
        2 => Just((missed, missed)),
        // Measured, and of the only event in it nobody knows what it was.
        1 => Just((missed, good)),
    ]
}

proptest! {
    #[test]
    fn slices_of_what_somebody_else_counted_equal_a_walk_over_every_interval(
        stretches in prop::collection::vec((counted_interval(), 1_u32..200), 1..12),
        method in methods(),
        unknown in prop::sample::select(vec![
            UnknownPolicy::Exclude, UnknownPolicy::Bad, UnknownPolicy::Good,
        ]),
        step in prop::sample::select(vec![10_u64, 60]),
        cut in 0_u64..60_000,
    ) {
        let slo = slo(method, Window::Rolling(MINUTE * 1_440), unknown);
        let length = slo.method.slice().expect("slices");
        let (from, step) = (at("2026-06-01T00:00:00Z"), Duration::from_secs(step));
        let (mut events, mut measured, mut due) = (Series::default(), Series::default(), from);
        let mut by_end: BTreeMap<Timestamp, (Tally, Tally)> = BTreeMap::new();
        for ((counted, interval), n) in stretches {
            events.push(due, step, n, counted);
            measured.push(due, step, n, interval);
            for _ in 0..n {
                let slice = by_end.entry(due.floor(length).plus(length)).or_default();
                slice.0 += counted;
                slice.1 += interval;
                due = due.plus(step);
            }
        }
        // By half of the intervals, then by what was counted in those.
        let expect: Tally = by_end
            .iter()
            .filter(|(end, _)| **end <= due)
            .map(|(_, (counted, intervals))| {
                let of = match intervals.good * 2 >= intervals.good + intervals.unknown {
                    true => Tally { unknown: 0, ..*counted },
                    false => Tally::of(Outcome::Unknown, 1),
                };
                judge(method, of, unknown)
            })
            .sum();
        let (events, measured) = ([events], [measured]);
        let slots = Histories { series: &events, of: &[0] };
        let intervals = Histories { series: &measured, of: &[0] };
        let whole = Slices::of(slots, Some(intervals), &slo, due).expect("slices");
        let mut pieces = Slices::default();
        for known in [from.plus(Duration::from_secs(cut)).min(due), due] {
            pieces.extend(slots, Some(intervals), &slo, known);
        }
        for slices in [whole, pieces] {
            prop_assert_eq!(slices.histories().before(due), expect);
        }
    }
}

/// A service with one probe each 10 s and an SLO for each method.
fn catalog() -> Arc<Catalog> {
    let probe = Probe {
        id: "svc/p".parse().expect("valid"),
        check: Check::Tcp(TcpCheck {
            endpoint: "127.0.0.1:1".parse().expect("valid"),
            send: None,
            expect: None,
        }),
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
    };
    let one = |name: &str, method, window| Slo {
        id: format!("svc/{name}").parse().expect("valid"),
        ..slo(method, window, UnknownPolicy::Exclude)
    };
    let service = Service {
        name: "svc".parse().expect("valid"),
        display_name: None,
        labels: BTreeMap::new(),
        description: None,
        links: BTreeMap::new(),
        support: None,
        depends_on: Vec::new(),
        probes: vec![probe],
        slos: vec![
            one("a", timeslices(1, "95%"), Window::Rolling(MINUTE * 60)),
            one("b", ratio(1), day("UTC")),
        ],
    };
    Arc::new(Catalog { services: vec![service], ..Catalog::default() })
}

fn engine() -> Engine {
    let ids = BTreeMap::from([("svc/p".parse().expect("valid"), SeriesId(1))]);
    let options = Options { vantage: "here".to_owned(), resend_delay: MINUTE };
    Engine::new(catalog(), &ids, options)
}

#[test]
fn periods_that_are_over_stay_available_after_the_count_has_begun_anew() {
    let begin = at("2026-06-01T22:00:00Z");
    let mut engine = engine();
    engine.start(|_| begin, begin);
    // Two hours of the first day with a bad one of the last minutes, then two days and an hour.
    for k in 0..(6 * 60 * 51) {
        let due = begin.plus(Duration::from_secs(10) * k);
        let bad = (600..606).contains(&k);
        let run = Run {
            start: due,
            step: Duration::from_secs(10),
            n: 1,
            verdict: if bad { Verdict::Bad(BadReason::Connect) } else { Verdict::Good },
            class: 0,
        };
        engine.miss(SeriesId(1), run, &mut Vec::new());
        if k % 360 == 359 {
            engine.tick(due.plus(Duration::from_secs(10)));
        }
    }
    let past = engine.past_periods("svc/b", 12);
    let said: Vec<_> = past
        .iter()
        .map(|status| (status.period.end.to_string(), status.budget.bad_events(), status.at))
        .collect();
    let day = |text: &str, bad: &str| (text.to_owned(), bad.to_owned(), at(text));
    let expect = [
        day("2026-06-04T00:00:00Z", "0"),
        day("2026-06-03T00:00:00Z", "0"),
        day("2026-06-02T00:00:00Z", "1"),
    ];
    assert_eq!(said, expect);
    let present = engine.slo("svc/b").and_then(|s| s.status.as_ref()).expect("a status");
    assert_eq!(
        (present.budget.bad_events().as_str(), present.period.start),
        ("0", at("2026-06-04T00:00:00Z"))
    );
    assert_eq!(engine.past_periods("svc/a", 12), []);
    assert_eq!(engine.past_periods("svc/b", 1).len(), 1);
}

#[test]
fn a_restart_comes_to_the_same_slices_and_what_was_missed_is_unknown() {
    let begin = at("2026-06-01T00:00:00Z");
    let (mut live, mut kept) = (engine(), Vec::new());
    live.start(|_| begin, begin);
    for k in 0..360_u32 {
        let due = begin.plus(Duration::from_secs(10) * k);
        let bad = (60..75).contains(&k) || k == 200;
        let verdict = if bad { Verdict::Bad(BadReason::Connect) } else { Verdict::Good };
        let observation = Observation {
            series: SeriesId(1),
            due,
            lag: Duration::ZERO,
            latency: Some(Duration::from_millis(3)),
            phases: Phases::default(),
            verdict,
            detail: None,
            certificate_not_after: None,
        };
        let mut effects = Vec::new();
        live.observe(observation, &mut effects);
        effects.extend(live.tick(due.plus(Duration::from_secs(10))));
        kept.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Append(record) => Some(record),
            _ => None,
        }));
    }
    let counts = |engine: &Engine, id| {
        let status = engine.slo(id).and_then(|state| state.status.as_ref()).expect("a status");
        (status.tally, status.budget.bad_events(), status.budget.rest)
    };
    // 15 bad slots are two slices and a half; the single one makes a slice of five of six bad.
    assert_eq!(
        counts(&live, "svc/a"),
        (Tally { good: 56, bad: 4, ..Tally::ZERO }, "4".to_owned(), 0)
    );
    let parts = ratio(1).parts();
    assert_eq!(counts(&live, "svc/b").1, "2.666666667");
    assert_eq!(counts(&live, "svc/b").2, 1_380 * parts);
    let mut again = engine();
    let end = begin.plus(MINUTE * 60);
    let slices = |record: &&Record| matches!(record, Record::Slice(_));
    let last = kept.iter().filter(slices).filter_map(|r| match r {
        Record::Slice(slice) => Some(slice.end),
        _ => None,
    });
    let covered = last.max().expect("slices were closed");
    kept.retain(|record| match record {
        Record::Observation(observation) => observation.due >= covered,
        _ => true,
    });
    kept.sort_by_key(|record| !matches!(record, Record::Slice(_)));
    kept.iter().for_each(|record| again.restore_record(record));
    again.finish_restore();
    again.start(|_| end, end);
    again.tick(end);
    for id in ["svc/a", "svc/b"] {
        assert_eq!(counts(&again, id), counts(&live, id), "{id}");
    }
    // Twenty minutes nobody was there: unknown slices, and none of them good or bad.
    let mut late = engine();
    kept.iter().for_each(|record| late.restore_record(record));
    late.finish_restore();
    let back = end.plus(MINUTE * 20);
    late.start(|_| back, back);
    late.tick(back);
    let (tally, ..) = counts(&late, "svc/a");
    assert_eq!(tally, Tally { good: 39, bad: 1, unknown: 20, excluded: 0 });
    let gap = Run {
        start: end,
        step: Duration::from_secs(10),
        n: 120,
        verdict: Verdict::Unknown(UnknownReason::NotRunning),
        class: 0,
    };
    let mut told = engine();
    kept.push(Record::Gap(SeriesId(1), gap));
    kept.iter().for_each(|record| told.restore_record(record));
    told.finish_restore();
    told.start(|_| back, back);
    told.tick(back);
    assert_eq!(counts(&told, "svc/b"), counts(&late, "svc/b"));
}
