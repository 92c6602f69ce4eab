//! The writer thread: promptness, order, bounds, and getting over a disk that is full.

use super::*;
use crate::clock::Clock;

fn start(directory: &Path, options: Options) -> Writer {
    let ledger = Ledger::open(directory, options).expect("opens");
    Writer::start(ledger, Clock::starting_at(at(0))).expect("starts")
}

/// Waits until the writer says so; the test's own limit is the last resort of a hanging one.
pub(super) fn until(writer: &Writer, what: &str, true_of: impl Fn(&Stats) -> bool) -> Stats {
    let start = Instant::now();
    loop {
        let stats = writer.stats();
        if true_of(&stats) {
            return stats;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "never {what}: {stats:?}");
        std::thread::yield_now();
    }
}

#[test]
fn what_was_submitted_is_there_after_a_stop_in_the_order_given() {
    let directory = scratch();
    let writer = start(directory.path(), plain());
    let ids = vec![("registry/pull".parse().expect("valid"), "here".to_owned())];
    let id = writer.series(ids.clone()).expect("numbered")[0].0;
    assert_eq!(writer.series(ids).expect("known")[0].0, id);
    for k in 0..100 {
        let submitted = writer.submit(vec![good(id, k), bad(id, k), state("k", &k.to_string())]);
        assert_eq!(submitted, Submitted { kept: 3, shed: 0, lost: 0 });
    }
    writer.stop().expect("everything is durable");
    writer.stop().expect("stopping twice is nothing");
    assert!(matches!(writer.flush(), Err(LedgerError::Stopped)));
    assert_eq!(writer.submit(vec![bad(id, 1)]).lost, 1, "too late, and counted");

    let (lines, report) = history(&mut open(directory.path()), Timestamp::MIN);
    assert_eq!((report.observations, report.states, report.damage), (200, 1, vec![]));
    assert!(lines[0].contains("\"99\""), "the last state is the state: {}", lines[0]);
    let expect: Vec<_> = (0..100).flat_map(|k| [at(k), at(k)]).map(|t| format!("{t:?}")).collect();
    let came = lines[1..].iter().zip(&expect).all(|(line, due)| line.contains(due.as_str()));
    assert!(came, "out of order");
}

#[test]
fn a_failure_is_durable_soon_and_a_success_waits_for_company() {
    let directory = scratch();
    let writer = start(directory.path(), plain());
    // A busy machine may be late now and then, but not every time.
    let prompt = (1..=8).any(|round| {
        let begun = Instant::now();
        writer.submit(vec![good(1, round)]);
        writer.submit(vec![bad(1, round)]);
        until(&writer, "durable", |stats| stats.durable_records == 2 * round as u64);
        begun.elapsed() < Duration::from_millis(50)
    });
    assert!(prompt, "never within 50 ms: {:?}", writer.stats());
    let before = writer.stats();
    let begun = Instant::now();
    writer.submit(vec![good(1, 10)]);
    let stats = until(&writer, "durable", |s| s.durable_records > before.durable_records);
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    assert_eq!(stats.commits, before.commits + 1);
    assert_eq!((stats.append.n(), stats.sync.n()), (stats.commits, stats.commits));
    assert!(stats.last_durable.is_some() && stats.bytes_on_disk > 0);
}

#[test]
fn flush_waits_for_everything_handed_over_before() {
    let directory = scratch();
    let writer = start(directory.path(), plain());
    writer.submit(vec![good(1, 0)]);
    writer.flush().expect("durable");
    assert_eq!(writer.stats().durable_records, 1);
    let reader = Reader::open(directory.path()).expect("opens beside the writer");
    let read = reader.latencies(SeriesId(1), at(0), at(1)).expect("readable");
    assert_eq!(read.latencies.len(), 1);
}

#[test]
fn upkeep_is_done_after_the_records_handed_over_before_it() {
    let directory = scratch();
    let writer = start(directory.path(), plain());
    let day = at(0).floor(Duration::from_secs(86_400)).micros() / 1_000_000 - 1_800_000_000;
    for hour in 0..24 {
        let (a, b) = (day + hour * 3_600, day + (hour + 1) * 3_600);
        writer.submit(vec![good(1, a + 5), good(2, a + 5)]);
        writer.submit(vec![slice(1, a, b, None), slice(2, a, b, None)]);
        assert!(writer.maintain(Upkeep::Compact(at(b))));
    }
    assert!(writer.maintain(Upkeep::RollUp(Stretch::day_of(at(day)))));
    // A later request is answered after earlier upkeep only if that is done: ask the disk.
    writer.stop().expect("stops");
    let mut ledger = open(directory.path());
    let (_, report) = history(&mut ledger, Timestamp::MIN);
    assert_eq!(report.damage, vec![]);
    assert_eq!(slots(&mut ledger)[&(SeriesId(1), Verdict::Good)], 24 * 720);
}

#[test]
fn upkeep_makes_the_ledger_smaller_while_it_runs() {
    let directory = scratch();
    let writer = start(directory.path(), plain());
    let records: Vec<_> = (0..720).map(|k| good(1, k * 5)).collect();
    writer.submit(records);
    writer.submit(vec![slice(1, 0, 3_600, None)]);
    writer.maintain(Upkeep::Compact(at(3_600)));
    writer.maintain(Upkeep::Compact(at(9_000)));
    writer.submit(vec![good(1, 3_700)]);
    writer.flush().expect("durable");
    // Held back by the observation that no slice has replaced: so both have been done.
    writer.maintain(Upkeep::Compact(at(9_001)));
    let stats = until(&writer, "held back", |stats| stats.held_back.is_some());
    assert_eq!(stats.held_back, Some((SeriesId(1), at(3_700))));
    writer.stop().expect("stops");
    let (_, report) = history(&mut open(directory.path()), Timestamp::MIN);
    assert_eq!((report.batches, report.slices, report.observations), (1, 1, 1));
}

#[test]
fn upkeep_is_bounded_and_the_bound_is_counted() {
    let directory = scratch();
    let writer = start(directory.path(), plain());
    let asked = 10_000;
    let taken = (0..asked).filter(|k| writer.maintain(Upkeep::Expire(at(*k)))).count() as u64;
    assert_eq!(writer.stats().refused_upkeep, asked as u64 - taken);
}

#[test]
fn a_full_disk_loses_no_failure_and_is_got_over_without_a_restart() {
    let directory = scratch();
    // Old slices fill half of what there is; letting them go is what makes room later.
    let mut ledger = open(directory.path());
    let old: Vec<_> = (0..400).map(|series| slice(series, 0, 3_600, None)).collect();
    ledger.append(&old).expect("kept");
    ledger.close().expect("closes");
    let options = Options { max_bytes: Some(60 * 8_192), reserve_bytes: 64 << 10, ..plain() };
    let writer = start(directory.path(), options);

    let mut submitted = 0;
    while writer.stats().failing.is_none() {
        let some = 5_000 + submitted * 7;
        let records = (0..500).flat_map(|k| [bad(1, some + k), good(2, some + k)]).collect();
        assert_eq!(writer.submit(records).kept, 1_000);
        submitted += 1_000;
        assert!(submitted < 10_000_000, "it never fills");
        let _ = writer.flush();
    }
    let error = writer.flush().expect_err("no room");
    assert!(matches!(&error, LedgerError::NotDurable(why) if why.contains("no room")), "{error}");
    writer.submit(vec![bad(3, 1), good(3, 2), state("alerts", "[]")]);
    let stats = until(&writer, "retried", |stats| stats.failed_commits > 2);
    assert!(stats.backlog_bytes > 0 && stats.failing.is_some());
    assert!(!directory.path().join("reserve").exists(), "the reserve was given back");

    writer.maintain(Upkeep::Expire(at(3_600)));
    let stats = until(&writer, "recovered", |stats| stats.failing.is_none());
    assert_eq!((stats.shed_successes, stats.lost_records), (0, 0));
    writer.flush().expect("durable");
    writer.stop().expect("stops");
    let (_, report) = history(&mut open(directory.path()), Timestamp::MIN);
    assert_eq!(report.observations, submitted as u64 + 2);
    assert_eq!((report.states, report.slices, report.damage), (1, 0, vec![]));
}

#[test]
fn a_full_queue_lets_go_of_successes_first_and_counts_all_it_lets_go() {
    let directory = scratch();
    // A database that takes nothing keeps the writer busy retrying, so that the queue fills.
    let writer = start(directory.path(), plain());
    let other = Connection::open(directory.path().join("ledger.db")).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    writer.submit(vec![bad(1, 0)]);
    until(&writer, "taken up", |stats| stats.queued_records == 0);
    let goods = |n: usize| (0..n).map(|k| good(1, k as i64)).collect::<Vec<_>>();
    let bads = |n: usize| (0..n).map(|k| bad(2, k as i64)).collect::<Vec<_>>();
    assert_eq!(writer.submit(goods(MAX_QUEUED + 5)).shed, 5);
    assert_eq!(writer.submit(bads(100)), Submitted { kept: 100, shed: 0, lost: 0 });
    assert_eq!(writer.submit(goods(3)).shed, 3);
    assert_eq!(writer.submit(bads(MAX_QUEUED)).lost, 100);
    let stats = writer.stats();
    assert_eq!((stats.shed_successes, stats.lost_records), (8, 100));
    other.execute_batch("ROLLBACK").expect("unlocked");
    writer.stop().expect("everything that was kept is durable");
    let (_, report) = history(&mut open(directory.path()), Timestamp::MIN);
    assert_eq!(report.observations, 2 * MAX_QUEUED as u64 + 1);
}
