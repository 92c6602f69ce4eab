//! What is kept, what replaces what, and what may go.

use super::*;

#[test]
fn everything_comes_back_in_order_after_a_restart() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    let hour = [slice(1, 0, 3_600, None), slice(2, 0, 3_600, Some(50)), state("alerts", "{}")];
    ledger.append(&hour).expect("kept");
    ledger.append(&[good(2, 3_605), bad(1, 3_600), gap(2, 3_610, 3)]).expect("kept");
    ledger.append(&[good(1, 3_605), state("alerts", "[1]"), state("a", "2")]).expect("kept");
    let (before, _) = history(&mut ledger, Timestamp::MIN);
    drop(ledger);

    let mut ledger = open(directory.path());
    let (after, report) = history(&mut ledger, Timestamp::MIN);
    assert_eq!(before, after);
    let starts: Vec<_> = after.iter().map(|line| &line[..line.len().min(33)]).collect();
    insta::assert_debug_snapshot!(starts, @r#"
    [
        "State { name: \"a\", json: \"2\" }",
        "State { name: \"alerts\", json: \"[1",
        "Slice { series: SeriesId(1), star",
        "Slice { series: SeriesId(2), star",
        "Observation(Observation { series:",
        "Observation(Observation { series:",
        "Gap(SeriesId(2), Run { start: Tim",
        "Observation(Observation { series:",
    ]
    "#);
    let counts = (report.states, report.slices, report.observations, report.gaps, report.batches);
    assert_eq!(counts, (2, 2, 3, 1, 2));
    assert_eq!(report.newest, Some(at(3_620)));
    assert_eq!((report.damage, report.known), (vec![], vec![]));
}

#[test]
fn a_slice_replaces_what_is_due_within_it_and_nothing_else() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    let records = [bad(1, -5), bad(1, 0), bad(1, 3_595), bad(1, 3_600), bad(2, 10)];
    ledger.append(&records).expect("kept");
    ledger.append(&[gap(1, 3_590, 5)]).expect("kept");
    ledger.append(&[slice(1, 0, 3_600, None)]).expect("kept");
    let slots = slots(&mut ledger);
    let of = |series, verdict| slots.get(&(SeriesId(series), verdict)).copied().unwrap_or(0);
    assert_eq!(of(1, Verdict::Good), 720);
    assert_eq!(of(1, Verdict::Bad(BadReason::Status)), 2);
    assert_eq!(of(1, Verdict::Unknown(UnknownReason::NotRunning)), 3);
    assert_eq!(of(2, Verdict::Bad(BadReason::Status)), 1);
}

#[test]
fn compacting_keeps_every_batch_that_holds_something_no_slice_replaced() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    for secs in (0..7_200).step_by(600) {
        ledger.append(&[good(1, secs), good(2, secs)]).expect("kept");
    }
    ledger.append(&[slice(1, 0, 3_600, None), slice(2, 0, 1_800, None)]).expect("kept");
    let before = slots(&mut ledger);
    let done = ledger.compact(at(3_600)).expect("compacts");
    assert_eq!(done.batches, 3, "series 2 is sliced up to 1,800 only");
    assert_eq!(done.held_back, Some((SeriesId(2), at(1_800))));
    assert_eq!(slots(&mut ledger), before);

    ledger.append(&[slice(2, 1_800, 3_600, None)]).expect("kept");
    let before = slots(&mut ledger);
    let done = ledger.compact(at(3_600)).expect("compacts");
    assert_eq!((done.batches, done.held_back), (3, None));
    assert_eq!(slots(&mut ledger), before);

    let done = ledger.compact(at(9_000)).expect("compacts");
    assert_eq!((done.batches, done.held_back), (0, Some((SeriesId(1), at(3_600)))));
    drop(ledger);
    // Without a restore before: it finds out for itself.
    let mut ledger = open(directory.path());
    let done = ledger.compact(at(9_000)).expect("compacts");
    assert_eq!(done.batches, 0);
    assert_eq!(slots(&mut ledger), before);
}

#[test]
fn compacting_is_bounded_and_goes_on_where_it_stopped() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    let n = super::super::tiers::MAX_COMPACTED;
    for secs in 0..n + 10 {
        ledger.append(&[good(1, secs)]).expect("kept");
    }
    ledger.append(&[slice(1, 0, 3_600, None)]).expect("kept");
    let first = ledger.compact(at(3_600)).expect("compacts");
    assert_eq!((first.batches, first.more), (n, true));
    let second = ledger.compact(at(3_600)).expect("compacts");
    assert_eq!((second.batches, second.more), (10, false));
}

#[test]
fn a_day_rolls_up_into_one_slice_a_series_without_changing_a_count() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    let day = at(0).floor(Duration::from_secs(86_400));
    let from = day.micros() / 1_000_000 - 1_800_000_000;
    for hour in 0..26 {
        let (a, b) = (from + hour * 3_600, from + (hour + 1) * 3_600);
        let mut records = vec![slice(1, a, b, (hour == 3).then_some(a + 100))];
        // Series 2 has a hole in the middle of the day.
        records.extend((hour != 12).then(|| slice(2, a, b, None)));
        ledger.append(&records).expect("kept");
    }
    let (slots_before, all) = (slots(&mut ledger), (Timestamp::MIN, at(1 << 30)));
    let latencies = ledger.latencies(SeriesId(1), all.0, all.1).expect("readable");
    let done = ledger.roll_up(Stretch::day_of(day)).expect("rolls up");
    assert_eq!((done.merged, done.into, done.damaged), (24 + 23, 1 + 2, 0));
    assert_eq!(slots(&mut ledger), slots_before);
    assert_eq!(ledger.latencies(SeriesId(1), all.0, all.1).expect("readable"), latencies);
    assert_eq!(latencies.latencies.len(), 26 * 720);
    let (_, report) = history(&mut ledger, Timestamp::MIN);
    assert_eq!((report.slices, report.damage), (1 + 2 + 2 + 2, vec![]));
    assert_eq!(ledger.roll_up(Stretch::day_of(day)).expect("again").merged, 0, "it is idempotent");
}

#[test]
fn a_complete_hour_becomes_one_slice_a_series_and_the_running_one_stays() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    let hour = at(0).floor(Duration::from_secs(3_600)).micros() / 1_000_000 - 1_800_000_000;
    for from in (hour..hour + 5_400).step_by(600) {
        let bad = (from == hour + 1_200).then_some(from + 100);
        ledger.append(&[slice(1, from, from + 600, bad)]).expect("kept");
        ledger.append(&[slice(2, from, from + 600, None)]).expect("kept");
    }
    let (slots_before, all) = (slots(&mut ledger), (Timestamp::MIN, at(1 << 30)));
    let latencies = ledger.latencies(SeriesId(1), all.0, all.1).expect("readable");
    let done = ledger.roll_up(Stretch::hour_of(at(hour + 4_000)).before()).expect("rolls up");
    assert_eq!((done.merged, done.into, done.damaged), (2 * 6, 2, 0));
    assert_eq!(slots(&mut ledger), slots_before);
    assert_eq!(ledger.latencies(SeriesId(1), all.0, all.1).expect("readable"), latencies);
    // Of the running hour three each are left; the day takes all that is there.
    let (_, report) = history(&mut ledger, Timestamp::MIN);
    assert_eq!((report.slices, report.damage), (2 + 2 * 3, vec![]));
    let done = ledger.roll_up(Stretch::day_of(at(hour))).expect("rolls up");
    assert_eq!((done.merged, done.into), (2 * 4, 2));
    assert_eq!(slots(&mut ledger), slots_before);
}

#[test]
fn slices_under_other_thresholds_are_not_mixed() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    let day = at(0).floor(Duration::from_secs(86_400)).micros() / 1_000_000 - 1_800_000_000;
    let mut second = slice(1, day + 3_600, day + 7_200, None);
    if let Record::Slice(slice) = &mut second {
        slice.thresholds = vec![500_000];
    }
    ledger.append(&[slice(1, day, day + 3_600, None), second]).expect("kept");
    assert_eq!(ledger.roll_up(Stretch::day_of(at(0))).expect("rolls up").merged, 0);
}

#[test]
fn what_has_expired_is_gone_and_the_books_know_it() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    for hour in 0..4 {
        let (a, b) = (hour * 3_600, (hour + 1) * 3_600);
        let records: Vec<_> = (1..=3).map(|series| slice(series, a, b, None)).collect();
        ledger.append(&records).expect("kept");
        ledger.append(&[bad(1, a + 7)]).expect("kept");
    }
    let mut slices = 0;
    while let Some(done) = Some(ledger.expire(at(7_200)).expect("expires")).filter(|d| d.more) {
        slices += done.slices;
    }
    assert_eq!(slices, 6);
    let (_, report) = history(&mut ledger, Timestamp::MIN);
    assert_eq!((report.slices, report.batches, report.damage), (6, 2, vec![]));
    let left: i64 = ledger
        .db
        .query_row("SELECT count(*) FROM latencies", [], |row| row.get(0))
        .expect("readable");
    assert_eq!(left, 6);
}

#[test]
fn a_slice_given_twice_counts_once() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    ledger.append(&[slice(1, 0, 3_600, None)]).expect("kept");
    ledger.append(&[slice(1, 0, 3_600, Some(100))]).expect("kept");
    ledger.append(&[slice(2, 0, 3_600, None), slice(2, 0, 1_800, None)]).expect("kept");
    let slots = slots(&mut ledger);
    assert_eq!(slots[&(SeriesId(1), Verdict::Good)], 719);
    assert_eq!(slots[&(SeriesId(2), Verdict::Good)], 360);
    assert_eq!(history(&mut ledger, Timestamp::MIN).1.damage, vec![]);
}

#[test]
fn overlapping_slices_are_told_and_never_counted_twice() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    ledger.append(&[slice(1, 0, 3_600, None), slice(1, 1_800, 5_400, None)]).expect("kept");
    let (_, report) = history(&mut ledger, Timestamp::MIN);
    assert!(!report.damage.is_empty());
    assert_eq!(slots(&mut ledger)[&(SeriesId(1), Verdict::Good)], 720);
    assert_eq!(history(&mut ledger, Timestamp::MIN).1.damage, vec![], "it was set aside");
}

#[test]
fn since_leaves_out_what_ended_before() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    for hour in 0..3 {
        ledger.append(&[slice(1, hour * 3_600, (hour + 1) * 3_600, None)]).expect("kept");
    }
    ledger.append(&[gap(2, 0, 1_000), good(3, 100), good(3, 4_000)]).expect("kept");
    let (_, report) = history(&mut ledger, at(3_601));
    assert_eq!((report.slices, report.gaps, report.observations), (2, 1, 1));
    let (lines, _) = history(&mut ledger, at(3_601));
    assert!(lines.iter().any(|line| line.starts_with("Gap") && line.contains("n: 279")));
}

#[test]
fn latencies_of_a_range_come_from_slices_and_from_what_none_has_replaced() {
    let directory = scratch();
    let mut ledger = open(directory.path());
    let records: Vec<_> = (0..5_400).step_by(5).map(|secs| good(1, secs)).collect();
    ledger.append(&records).expect("kept");
    ledger.append(&[good(2, 3_700)]).expect("kept");
    ledger.append(&[slice(1, 0, 3_600, None)]).expect("kept");
    let reader = Reader::open(directory.path()).expect("opens beside the writer");
    let ask = |from, to| {
        let read = ledger.latencies(SeriesId(1), at(from), at(to)).expect("readable");
        assert_eq!(reader.latencies(SeriesId(1), at(from), at(to)).expect("readable"), read);
        let secs = |t: Option<Timestamp>| t.map(|t| t.micros() / 1_000_000 - 1_800_000_000);
        (read.latencies.len(), secs(read.from), secs(read.to))
    };
    assert_eq!(ask(0, 5_400), (1_080, Some(0), Some(5_395)));
    assert_eq!(ask(3_500, 3_600), (720, Some(0), Some(3_600)), "a slice counts as a whole");
    assert_eq!(ask(3_600, 3_700), (20, Some(3_600), Some(3_695)));
    assert_eq!(ask(6_000, 7_000), (0, None, None));
}

/// What a reader of the whole history knows, kept the simplest way.
#[derive(Default)]
struct Naive {
    slices: BTreeMap<(u32, i64), (i64, BTreeMap<Verdict, u64>)>,
    loose: Vec<(u32, i64, Verdict)>,
}

impl Naive {
    fn take(&mut self, record: &Record) {
        match record {
            Record::Observation(o) => self.loose.push((o.series.0, o.due.micros(), o.verdict)),
            Record::Gap(series, run) => {
                for k in 0..run.n {
                    let due = run.start.plus(run.step * k).micros();
                    self.loose.push((series.0, due, run.verdict));
                }
            }
            Record::Slice(slice) => {
                let mut counts = BTreeMap::new();
                for run in &slice.runs {
                    *counts.entry(run.verdict).or_default() += u64::from(run.n);
                }
                let key = (slice.series.0, slice.start.micros());
                self.slices.insert(key, (slice.end.micros(), counts));
            }
            Record::State { .. } => {}
        }
    }

    fn slots(&self) -> BTreeMap<(SeriesId, Verdict), u64> {
        let mut slots = BTreeMap::new();
        for ((series, _), (_, counts)) in &self.slices {
            for (verdict, n) in counts {
                *slots.entry((SeriesId(*series), *verdict)).or_default() += n;
            }
        }
        for (series, due, verdict) in &self.loose {
            let covers = |((s, from), (to, _)): (&(u32, i64), &(i64, _))| {
                s == series && from <= due && due < to
            };
            if !self.slices.iter().any(covers) {
                *slots.entry((SeriesId(*series), *verdict)).or_default() += 1;
            }
        }
        slots
    }
}

#[derive(Clone, Debug)]
enum Step {
    Records(Vec<(u8, u32, i64)>),
    CloseHour(i64),
    Compact(i64),
    RollUp,
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    let record = (0_u8..3, 1_u32..4, 0_i64..5_000);
    prop_oneof![
        4 => prop::collection::vec(record, 1..20).prop_map(Step::Records),
        2 => (0_i64..6).prop_map(Step::CloseHour),
        1 => (0_i64..6).prop_map(Step::Compact),
        1 => Just(Step::RollUp),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn counts_are_those_of_a_naive_model_whatever_happens_in_between(
        steps in prop::collection::vec(any_step(), 1..25),
    ) {
        let directory = scratch();
        let mut ledger = open(directory.path());
        let mut naive = Naive::default();
        for step in steps {
            let mut records = Vec::new();
            match step {
                Step::Records(some) => records.extend(some.into_iter().map(|(kind, series, k)| {
                    match kind {
                        0 => good(series, k * 5),
                        1 => bad(series, k * 5),
                        _ => gap(series, k * 5, 100),
                    }
                })),
                Step::CloseHour(hour) => for series in 1..4 {
                    let (from, to) = (hour * 3_600, (hour + 1) * 3_600);
                    // A slice that a roll-up has merged already is not closed again.
                    let known = |((s, a), (b, _)): (&(u32, i64), &(i64, _))| {
                        *s == series && *a <= at(from).micros() && at(from).micros() < *b
                    };
                    if !naive.slices.iter().any(known) {
                        records.push(slice(series, from, to, (series == 1).then_some(from)));
                    }
                },
                Step::Compact(hour) => {
                    ledger.compact(at(hour * 3_600)).expect("compacts");
                }
                Step::RollUp => {
                    ledger.roll_up(Stretch::day_of(at(0))).expect("rolls up");
                }
                Step::Reopen => {
                    drop(ledger);
                    ledger = open(directory.path());
                }
            }
            records.iter().for_each(|record| naive.take(record));
            ledger.append(&records).expect("kept");
        }
        prop_assert_eq!(slots(&mut ledger), naive.slots());
        prop_assert_eq!(history(&mut ledger, Timestamp::MIN).1.damage, vec![]);
    }
}
