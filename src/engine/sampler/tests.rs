//! Answers in, counted slots out; and a naive model that remembers every event.

use proptest::prelude::*;

use super::*;

const STEP: Duration = Duration::from_secs(30);

fn at(n: i64) -> Timestamp {
    Timestamp::from_secs(30 * n)
}

fn name(text: &str) -> crate::model::Name {
    text.parse().expect("a name")
}

fn good_of_total() -> Prometheus {
    let measure = Measure::Good { good: "g".to_owned(), total: "t".to_owned() };
    Prometheus { server: name("main"), measure, counter: true }
}

fn sampler() -> Sampler {
    Sampler::new(good_of_total(), STEP, None, None)
}

fn one(part: Part, labels: &str, value: f64) -> Sample {
    Sample { part, labels: labels.to_owned(), value }
}

/// Good and total of each series, scraped a second before `n`.
fn answer(n: i64, series: &[(&str, f64, f64)]) -> Answer {
    let samples = series.iter().flat_map(|(labels, good, total)| {
        let scraped = (30 * n - 1) as f64;
        [
            one(Part::Good, labels, *good),
            one(Part::Total, labels, *total),
            one(Part::Scraped, labels, scraped),
        ]
    });
    Answer { samples: samples.collect(), started: None }
}

fn counted(good: u32, bad: u32) -> Verdict {
    Verdict::Counted(Counts { good, bad, unknown: 0 })
}

const UNKNOWN: Verdict = Verdict::Unknown(UnknownReason::Source);

/// What the sampler says about each of these answers, one a step.
fn check(answers: &[Result<Answer, Failure>], expect: &[Result<(u32, u32), Failure>]) {
    let mut sampler = sampler();
    let said = (0..).zip(answers).map(|(n, answer)| {
        let sampled = sampler.sample(at(n), answer.clone());
        match (sampled.verdict, sampled.failure) {
            (Verdict::Counted(counts), None) => Ok((counts.good, counts.bad)),
            (UNKNOWN, Some(failure)) => Err(failure),
            other => panic!("{other:?} says two things"),
        }
    });
    assert_eq!(said.collect::<Vec<_>>(), expect);
}

#[test]
fn what_rises_is_counted_and_a_counter_that_begins_anew_counts_from_zero() {
    let answers = [(900.0, 1_000.0), (990.0, 1_100.0), (5.0, 7.0), (5.0, 7.0)];
    let answers: Vec<_> =
        (0..).zip(answers).map(|(n, (g, t))| Ok(answer(n, &[("a", g, t)]))).collect();
    check(&answers, &[Err(Failure::First), Ok((90, 10)), Ok((5, 2)), Ok((0, 0))]);
}

#[test]
fn a_reset_of_one_series_is_not_hidden_by_the_others() {
    let (a, b) = (("a", 100.0, 100.0), ("b", 1_000.0, 1_000.0));
    let after = [("a", 3.0, 4.0), ("b", 1_500.0, 1_600.0)];
    check(&[Ok(answer(0, &[a, b])), Ok(answer(1, &after))], &[Err(Failure::First), Ok((503, 101))]);
}

#[test]
fn a_newborn_series_counts_from_zero_and_one_that_comes_back_goes_on() {
    let a = ("a", 10.0, 10.0);
    check(
        &[
            Ok(answer(0, &[a])),
            Ok(answer(1, &[a, ("b", 3.0, 4.0)])),
            // `b` has gone: what it counted last is not known, so nor is the interval.
            Ok(answer(2, &[a])),
            Ok(answer(3, &[a])),
            Ok(answer(4, &[a, ("b", 5.0, 9.0)])),
        ],
        &[Err(Failure::First), Ok((3, 1)), Err(Failure::Stale), Ok((0, 0)), Ok((2, 3))],
    );
}

#[test]
fn what_was_counted_while_nobody_answered_is_in_the_next_interval() {
    let series = |n, t: f64| Ok(answer(n, &[("a", t, t + 1.0)]));
    check(
        &[series(0, 10.0), Err(Failure::Connect), Err(Failure::Timeout), series(3, 40.0)],
        &[Err(Failure::First), Err(Failure::Connect), Err(Failure::Timeout), Ok((30, 0))],
    );
    let restarted = |n, started| {
        let shown = 10.0 * n as f64;
        Ok(Answer { started: Some(at(started)), ..answer(n, &[("a", shown, shown)]) })
    };
    // The server started at 1; until 3 it may say what it knew before it stopped.
    check(
        &[restarted(0, -9), restarted(1, 1), restarted(2, 1), restarted(3, 1)],
        &[Err(Failure::First), Err(Failure::Restarted), Err(Failure::Restarted), Ok((30, 0))],
    );
}

#[test]
fn after_a_long_silence_counting_begins_anew() {
    let mut sampler = sampler();
    sampler.sample(at(0), Ok(answer(0, &[("a", 1.0, 1.0)])));
    let late = 121;
    let sampled = sampler.sample(at(late), Ok(answer(late, &[("a", 50.0, 60.0)])));
    assert_eq!(sampled.failure, Some(Failure::First));
    let sampled = sampler.sample(at(late + 1), Ok(answer(late + 1, &[("a", 51.0, 62.0)])));
    assert_eq!(sampled.verdict, counted(1, 1));
}

#[test]
fn what_cannot_be_counted_is_unknown_and_changes_nothing() {
    let first = Ok(answer(0, &[("a", 1.0, 1.0)]));
    let last = Ok(answer(2, &[("a", 4.0, 5.0)]));
    for value in [f64::NAN, f64::INFINITY, -1.0, 1.5, 1e17] {
        check(
            &[first.clone(), Ok(answer(1, &[("a", value, 9.0)])), last.clone()],
            &[Err(Failure::First), Err(Failure::Value), Ok((3, 1))],
        );
    }
    check(
        &[first.clone(), Ok(Answer::default()), last.clone()],
        &[Err(Failure::First), Err(Failure::Absent), Ok((3, 1))],
    );
    let mut stale = answer(1, &[("a", 2.0, 2.0)]);
    stale.samples[2].value = 0.0;
    check(
        &[first.clone(), Ok(stale), last.clone()],
        &[Err(Failure::First), Err(Failure::Stale), Ok((3, 1))],
    );
    check(
        &[first, Ok(answer(1, &[("a", 9.0, 2.0)])), Ok(answer(2, &[("a", 9.0, 10.0)]))],
        &[Err(Failure::First), Err(Failure::Inconsistent), Ok((8, 1))],
    );
}

#[test]
fn good_ones_that_are_not_there_yet_are_none() {
    let total_only = |n: i64, total| {
        let mut answer = answer(n, &[("a", 0.0, total)]);
        answer.samples.remove(0);
        Ok(answer)
    };
    check(
        &[total_only(0, 5.0), total_only(1, 8.0), Ok(answer(2, &[("a", 2.0, 10.0)]))],
        &[Err(Failure::First), Ok((0, 3)), Ok((2, 0))],
    );
}

#[test]
fn more_than_a_slot_holds_goes_into_the_next() {
    let many = f64::from(u32::MAX);
    check(
        &[
            Ok(answer(0, &[("a", 0.0, 0.0)])),
            Ok(answer(1, &[("a", many + 9.0, many + 10.0)])),
            Ok(answer(2, &[("a", many + 9.0, many + 10.0)])),
        ],
        &[Err(Failure::First), Ok((u32::MAX, 1)), Ok((9, 0))],
    );
}

#[test]
fn a_gauge_is_judged_at_each_step() {
    let measure =
        Measure::Threshold { query: "q".to_owned(), op: Compare::AtMost, nano: 300_000_000 };
    let asked = Prometheus { server: name("main"), measure, counter: false };
    let mut sampler = Sampler::new(asked, STEP, None, None);
    let mut say = |n, values: &[f64]| {
        let samples = values.iter().map(|value| one(Part::Total, &value.to_string(), *value));
        let answer = Answer { samples: samples.collect(), started: None };
        let sampled = sampler.sample(at(n), Ok(answer));
        assert_eq!(sampled.state, None);
        (sampled.verdict, sampled.failure)
    };
    assert_eq!(say(0, &[0.3]), (counted(1, 0), None));
    assert_eq!(say(1, &[0.1, 0.300_000_1]), (counted(0, 1), None));
    assert_eq!(say(2, &[]), (UNKNOWN, Some(Failure::Absent)));
    assert_eq!(say(3, &[0.1, f64::NAN]), (UNKNOWN, Some(Failure::Value)));
}

#[test]
fn numbers_of_an_interval_are_taken_as_they_are() {
    let asked = Prometheus { counter: false, ..good_of_total() };
    let mut sampler = Sampler::new(asked, STEP, None, None);
    for (n, good, bad) in [(0, 5, 1), (1, 3, 0)] {
        let total = f64::from(good + bad);
        let sampled = sampler.sample(at(n), Ok(answer(n, &[("a", f64::from(good), total)])));
        assert_eq!(sampled.verdict, counted(good, bad));
    }
}

#[test]
fn what_was_kept_goes_on_only_for_the_same_question_and_the_same_history() {
    let mut before = sampler();
    before.sample(at(0), Ok(answer(0, &[("a", 1.0, 1.0)])));
    let kept = before.sample(at(1), Ok(answer(1, &[("a", 2.0, 2.0)]))).state.expect("kept");
    let go_on = |asked: Prometheus, counted_until| {
        let mut after = Sampler::new(asked, STEP, Some(&kept), counted_until);
        after.begin(at(5), Ok(answer(5, &[("a", 7.0, 8.0)])));
        after.sample(at(6), Ok(answer(6, &[("a", 9.0, 10.0)]))).verdict
    };
    assert_eq!(go_on(good_of_total(), Some(at(1))), counted(7, 1));
    // The ledger knows of a slot that what was kept does not.
    assert_eq!(go_on(good_of_total(), Some(at(2))), counted(2, 0));
    let measure = Measure::Bad { bad: "g".to_owned(), total: "t".to_owned() };
    assert_eq!(go_on(Prometheus { measure, ..good_of_total() }, None), counted(0, 2));
}

/// One thing that happens between two answers to one of three counters.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Count(usize, u32, u32),
    Reset(usize),
    Silence,
    Restart,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => (0..3_usize, 0..50_u32, 0..9_u32).prop_map(|(s, g, b)| Turn::Count(s, g, b)),
        1 => (0..3_usize).prop_map(Turn::Reset),
        1 => Just(Turn::Silence),
        1 => Just(Turn::Restart),
    ]
}

proptest! {
    /// A naive model remembers every event. Whatever is reset, born, silent or restarted, all
    /// of it is counted once, as long as nothing is reset before it was seen.
    #[test]
    fn every_event_is_counted_exactly_once(turns in prop::collection::vec(turn(), 1..120)) {
        let mut sampler = sampler();
        // What each exporter shows; nothing before its first event.
        let mut shown: [Option<(u32, u32)>; 3] = [Some((70, 71)), None, None];
        let (mut ever, mut seen) = ((0_u64, 0_u64), (0_u64, 0_u64));
        let show = |n: i64, shown: &[Option<(u32, u32)>; 3]| {
            let series: Vec<_> = ["a", "b", "c"]
                .into_iter()
                .zip(shown)
                .filter_map(|(name, s)| s.map(|(g, t)| (name, f64::from(g), f64::from(t))))
                .collect();
            answer(n, &series)
        };
        sampler.sample(at(0), Ok(show(0, &shown)));
        let mut n = 0;
        // So that nothing waits at the end.
        for turn in turns.into_iter().chain([Turn::Count(0, 0, 0)]) {
            let mut answers = true;
            match turn {
                Turn::Count(s, good, bad) => {
                    let (g, t) = shown[s].unwrap_or_default();
                    shown[s] = Some((g + good, t + good + bad));
                    ever = (ever.0 + u64::from(good), ever.1 + u64::from(bad));
                }
                // A client library shows its counters again at once, at zero.
                Turn::Reset(s) => shown[s] = shown[s].map(|_| (0, 0)),
                Turn::Silence => answers = false,
                Turn::Restart => {
                    let kept = sampler.kept();
                    sampler = Sampler::new(good_of_total(), STEP, Some(&kept), None);
                }
            }
            n += 1;
            let answer = if answers { Ok(show(n, &shown)) } else { Err(Failure::Connect) };
            let sampled = sampler.sample(at(n), answer);
            if let Verdict::Counted(counts) = sampled.verdict {
                seen = (seen.0 + u64::from(counts.good), seen.1 + u64::from(counts.bad));
                prop_assert_eq!(seen, ever, "a slot that is known leaves nothing out");
            }
            prop_assert!(seen.0 <= ever.0 && seen.1 <= ever.1);
        }
        prop_assert_eq!(seen, ever);
    }
}
