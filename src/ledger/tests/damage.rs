//! Damage at rest: whatever one byte becomes, nothing is silently different, and nothing panics.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;

use super::*;

/// A small ledger with something of everything in it.
fn fill(directory: &Path) {
    let mut ledger = open(directory);
    for (probe, vantage) in [("registry/pull", "here"), ("registry/push", "here")] {
        ledger.series(&probe.parse().expect("valid"), vantage).expect("numbered");
    }
    ledger.append(&[state("alerts", "[1,2]"), state("outages", "{\"open\":[]}")]).expect("kept");
    let slices: Vec<_> = (0..6)
        .flat_map(|hour| {
            let (from, to) = (hour * 600, (hour + 1) * 600);
            [slice(1, from, to, (hour == 2).then_some(from + 50)), slice(2, from, to, None)]
        })
        .collect();
    // These are replaced by slices, and count again should one of those be lost.
    ledger.append(&[good(1, 5), bad(1, 1_250), good(2, 5)]).expect("kept");
    ledger.append(&slices).expect("kept");
    for secs in (3_600..3_640).step_by(10) {
        ledger.append(&[good(1, secs), bad(2, secs), gap(1, secs + 5, 1)]).expect("kept");
    }
    ledger.close().expect("closes");
}

/// What a healthy ledger says, and everything that was ever written.
struct Truth {
    bytes: Vec<u8>,
    history: Vec<String>,
    written: BTreeSet<String>,
    latencies: Vec<LatencyRange>,
    series: Vec<String>,
}

impl Truth {
    fn of(directory: &Path) -> Truth {
        fill(directory);
        let bytes = fs::read(directory.join("ledger.db")).expect("readable");
        let mut ledger = open(directory);
        let (history, _) = history(&mut ledger, Timestamp::MIN);
        let mut written: BTreeSet<_> = history.iter().cloned().collect();
        for record in [good(1, 5), bad(1, 1_250), good(2, 5)] {
            let Record::Observation(o) = record else { unreachable!("made so above") };
            written.insert(format!("{:?}", Restored::Observation(o)));
        }
        let (latencies, series) = (latencies(&ledger), series(&ledger));
        Truth { bytes, history, written, latencies, series }
    }

    /// Opens a ledger whose database is `bytes`: it must be as it was, or say what is not.
    fn judge(&self, directory: &Path, bytes: &[u8], what: &str) -> Judgement {
        let _ = fs::remove_file(directory.join("ledger.db-wal"));
        fs::write(directory.join("ledger.db"), bytes).expect("writable");
        let Ok(mut ledger) = Ledger::open(directory, plain()) else { return Judgement::Refused };
        let mut lines = Vec::new();
        let restored = ledger.restore(Timestamp::MIN, &mut |p| lines.push(format!("{p:?}")));
        let Ok(report) = restored else { return Judgement::Refused };
        let twice = lines.iter().collect::<BTreeSet<_>>().len() < lines.len();
        assert!(!twice, "{what}: something came back twice");
        let invented: Vec<_> = lines.iter().filter(|l| !self.written.contains(*l)).collect();
        assert!(invented.is_empty(), "{what}: {invented:?} was never written");
        if report.damage.is_empty() {
            assert_eq!(lines, self.history, "{what}: silently different");
            assert_eq!(series(&ledger), self.series, "{what}: silently other series");
        }
        self.judge_latencies(&ledger, &report, what);
        if report.damage.is_empty() {
            return Judgement::Whole;
        }
        self.judge_again(ledger, &lines, what);
        Judgement::Told
    }

    fn judge_latencies(&self, ledger: &Ledger, report: &RestoreReport, what: &str) {
        for (series, known) in [1, 2].into_iter().zip(&self.latencies) {
            let all = ledger.latencies(SeriesId(series), Timestamp::MIN, at(1 << 30));
            let Ok(read) = all else { continue };
            let told = read.damaged > 0 || !report.damage.is_empty();
            assert!(told || read == *known, "{what}: silently other latencies");
        }
    }

    /// What was moved aside stays aside, and the rest stays as it is.
    fn judge_again(&self, ledger: Ledger, lines: &[String], what: &str) {
        let directory = ledger.path.parent().expect("a directory").to_owned();
        drop(ledger);
        let Ok(mut ledger) = Ledger::open(&directory, plain()) else { return };
        let mut again = Vec::new();
        let restored = ledger.restore(Timestamp::MIN, &mut |p| again.push(format!("{p:?}")));
        if let Ok(report) = restored {
            let lost: Vec<_> = lines.iter().filter(|l| !again.contains(l)).collect();
            let found: Vec<_> = again.iter().filter(|l| !lines.contains(l)).collect();
            assert!(again == lines, "{what}: the second time without {lost:?}, with {found:?}");
            assert!(!report.known.is_empty(), "{what}: forgotten the second time");
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Judgement {
    Whole,
    Told,
    Refused,
}

fn latencies(ledger: &Ledger) -> Vec<LatencyRange> {
    let all = |series| ledger.latencies(SeriesId(series), Timestamp::MIN, at(1 << 30));
    [1, 2].into_iter().map(|series| all(series).expect("readable")).collect()
}

fn series(ledger: &Ledger) -> Vec<String> {
    ledger.all_series().map(|series| format!("{series:?}")).collect()
}

/// Runs cases on all processors, each thread with a directory of its own.
fn judge_all(truth: &Truth, cases: &[(Range<usize>, u8)]) -> BTreeMap<Judgement, usize> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let some = |part: &[(Range<usize>, u8)]| {
        let directory = scratch();
        let mut counts = BTreeMap::new();
        for (range, mask) in part {
            let mut bytes = truth.bytes.clone();
            bytes[range.clone()].iter_mut().for_each(|b| *b ^= mask);
            let what = format!("bytes {range:?} xor {mask:#x}");
            let judgement = truth.judge(directory.path(), &bytes, &what);
            *counts.entry(judgement).or_default() += 1;
        }
        counts
    };
    let mut counts = BTreeMap::new();
    std::thread::scope(|scope| {
        let parts = cases.chunks(cases.len().div_ceil(threads).max(1));
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || some(part))).collect();
        for thread in threads {
            let part: BTreeMap<Judgement, usize> = thread.join().expect("no case may fail");
            part.into_iter().for_each(|(k, n)| *counts.entry(k).or_default() += n);
        }
    });
    counts
}

fn all_of_it() -> bool {
    std::env::var_os("NINES_DAMAGE_ALL").is_some()
}

/// Bytes of empty room that are flipped together; each on its own with `NINES_DAMAGE_ALL`.
const EMPTY_TOGETHER: usize = 64;

#[test]
fn no_flipped_byte_is_silently_wrong() {
    let directory = scratch();
    let truth = Truth::of(directory.path());
    let singly = all_of_it();
    // Every byte is flipped: each that says something and each at the head of a page on its
    // own, and the empty room in between in stretches, which must make no difference at all.
    let empty = |at: usize| !singly && at % 8_192 >= 128 && truth.bytes[at] == 0;
    let (mut cases, mut rooms) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < truth.bytes.len() {
        let to = (at..truth.bytes.len()).take_while(|at| empty(*at)).take(EMPTY_TOGETHER).count();
        if to > 0 {
            rooms.push((at..at + to, 1_u8 << (at % 8)));
        } else {
            cases.push((at..at + 1, 1_u8 << (at % 8)));
        }
        at += to.max(1);
    }
    let counts = judge_all(&truth, &cases);
    // The rows alone are thousands of bytes: were they not checked, this would tell.
    assert!(counts[&Judgement::Told] > 750, "{counts:?}");
    assert!(counts[&Judgement::Whole] > 100, "{counts:?}");
    let told = |(range, mask): (Range<usize>, u8)| {
        let alone = judge_all(&truth, &[(range.clone(), mask)]);
        let whole = alone.contains_key(&Judgement::Whole);
        if whole { Vec::new() } else { range.map(|at| (at..at + 1, mask)).collect() }
    };
    // Some of what is zero is content.
    let n = rooms.len();
    let content: Vec<_> = rooms.into_iter().flat_map(told).collect();
    let zeros = judge_all(&truth, &content);
    println!(
        "{} bytes: {counts:?} singly, {n} stretches of empty room, {zeros:?} of zeros that count",
        truth.bytes.len()
    );
}

#[test]
fn no_flipped_body_is_refused_as_a_whole() {
    let directory = scratch();
    let truth = Truth::of(directory.path());
    let db = Connection::open(directory.path().join("ledger.db")).expect("opens");
    let mut query = db.prepare("SELECT body FROM batch UNION ALL SELECT body FROM slice").unwrap();
    let bodies = query.query_map([], |row| row.get::<_, Vec<u8>>(0)).expect("readable");
    let mut cases = Vec::new();
    for body in bodies {
        let body = body.expect("readable");
        let found = truth.bytes.windows(body.len()).position(|bytes| bytes == body);
        let from = found.expect("bodies this short are on their page");
        cases.extend((from..from + body.len()).map(|at| (at..at + 1, 0xff)));
    }
    let counts = judge_all(&truth, &cases);
    assert_eq!(counts.get(&Judgement::Told), Some(&cases.len()), "{counts:?}");
}

#[test]
fn no_torn_sector_is_silently_wrong() {
    let directory = scratch();
    let truth = Truth::of(directory.path());
    let sectors = truth.bytes.len() / 512;
    let cases: Vec<_> =
        (0..sectors).map(|sector| (sector * 512..(sector + 1) * 512, 0xa5)).collect();
    let counts = judge_all(&truth, &cases);
    assert!(counts[&Judgement::Refused] + counts.get(&Judgement::Told).unwrap_or(&0) >= 16);
}

#[test]
fn no_truncation_is_silently_wrong() {
    let directory = scratch();
    let truth = Truth::of(directory.path());
    let full = truth.bytes.len();
    // Every length around the edges of pages, and others in between.
    let says = |len: &usize| all_of_it() || len.is_multiple_of(101) || (len + 8) % 8_192 < 16;
    for len in (0..full).filter(says) {
        let what = format!("cut at {len}");
        let judgement = truth.judge(directory.path(), &truth.bytes[..len], &what);
        // The last page is an empty quarantine: nothing is lost with its end.
        assert!(judgement != Judgement::Whole || len > full - 8_192, "{what}");
    }
}

#[test]
fn a_damaged_batch_is_told_with_its_number_and_time_and_the_rest_stays() {
    let directory = scratch();
    fill(directory.path());
    let db = Connection::open(directory.path().join("ledger.db")).expect("opens");
    db.execute("UPDATE batch SET body = zeroblob(20) WHERE seq = 3", []).expect("damaged");
    db.execute("DELETE FROM batch WHERE seq = 4", []).expect("damaged");
    drop(db);
    let mut ledger = open(directory.path());
    let (lines, report) = history(&mut ledger, Timestamp::MIN);
    let told: Vec<_> = report.damage.iter().map(ToString::to_string).collect();
    insta::assert_debug_snapshot!(told, @r#"
    [
        "batch 3 from 2027-01-15T09:00:10Z to 2027-01-15T09:00:15.000001Z: its checksum is wrong",
        "batch 4 from 2027-01-15T09:00:05Z to 2027-01-15T09:00:30Z: missing",
    ]
    "#);
    assert_eq!(lines.iter().filter(|line| line.starts_with("Obs")).count(), 4);
    let (_, second) = history(&mut ledger, Timestamp::MIN);
    assert_eq!((second.damage, second.known.len()), (vec![], 2));
    // New batches are numbered on, and the hole is not taken for a new one.
    ledger.append(&[good(1, 3_700)]).expect("kept");
    assert_eq!(history(&mut ledger, Timestamp::MIN).1.damage, vec![]);
    // Once its time has expired, so has the note.
    while ledger.expire(at(3_690)).expect("expires").more {}
    assert_eq!(history(&mut ledger, Timestamp::MIN).1.known, vec![]);
}

#[test]
fn a_lost_slice_brings_back_the_batch_it_replaced_and_is_told() {
    let directory = scratch();
    fill(directory.path());
    let db = Connection::open(directory.path().join("ledger.db")).expect("opens");
    db.execute(
        "DELETE FROM slice WHERE series = 1 AND \"from\" = (SELECT min(\"from\") FROM slice)",
        [],
    )
    .expect("damaged");
    drop(db);
    let mut ledger = open(directory.path());
    let (lines, report) = history(&mut ledger, Timestamp::MIN);
    let told: Vec<_> = report.damage.iter().map(ToString::to_string).collect();
    insta::assert_debug_snapshot!(told, @r#"
    [
        "slice from 2027-01-15T08:00:00Z to 2027-01-15T08:10:00Z: 1 of 2 slices are missing or damaged",
    ]
    "#);
    assert_eq!(lines.iter().filter(|line| line.starts_with("Obs")).count(), 8 + 1);
}

#[test]
fn what_sqlite_cannot_read_is_refused_with_a_way_out_and_left_alone() {
    let directory = scratch();
    fill(directory.path());
    let path = directory.path().join("ledger.db");
    let mut bytes = fs::read(&path).expect("readable");
    bytes[100..200].fill(0x55);
    fs::write(&path, &bytes).expect("writable");
    let error = Ledger::open(directory.path(), plain()).expect_err("unreadable");
    assert!(matches!(error, LedgerError::Malformed { .. }), "{error:?}");
    assert!(error.to_string().contains("`nines ledger rescue`"), "{error}");
    assert_eq!(fs::read(&path).expect("still there"), bytes);
}

/// Saves what can be read of a ledger that is refused; what came back, which must have been
/// written and be there once.
fn rescued(truth: &Truth, bytes: &[u8], what: &str) -> Vec<String> {
    let (from, to) = (scratch(), scratch());
    fs::write(from.path().join("ledger.db"), bytes).expect("writable");
    let saved = Ledger::rescue(from.path(), to.path());
    let saved = saved.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(fs::read(from.path().join("ledger.db")).expect("there"), bytes, "{what}: changed");
    let (lines, report) = history(&mut open(to.path()), Timestamp::MIN);
    let twice = lines.iter().collect::<BTreeSet<_>>().len() < lines.len();
    assert!(!twice, "{what}: something came back twice");
    let invented: Vec<_> = lines.iter().filter(|l| !truth.written.contains(*l)).collect();
    assert!(invented.is_empty(), "{what}: {invented:?} was never written");
    let told = !saved.damage.is_empty() || !report.damage.is_empty() || !report.known.is_empty();
    assert!(lines == truth.history || told, "{what}: silently less");
    lines
}

#[test]
fn what_is_refused_as_a_whole_is_rescued_but_for_the_damaged_page() {
    let directory = scratch();
    let truth = Truth::of(directory.path());
    // Without the definitions of its tables, a ledger comes back whole.
    let mut bytes = truth.bytes.clone();
    bytes[16..8_192].fill(0x55);
    assert_eq!(rescued(&truth, &bytes, "page 1"), truth.history);
    assert_eq!(rescued(&truth, &truth.bytes, "nothing"), truth.history);
    // Each other page costs what is on it.
    let pages = truth.bytes.len() / 8_192;
    let mut left = Vec::new();
    for page in 1..pages {
        let mut bytes = truth.bytes.clone();
        bytes[page * 8_192..(page + 1) * 8_192].fill(0x55);
        left.push(rescued(&truth, &bytes, &format!("page {}", page + 1)).len());
    }
    let all = truth.history.len();
    let whole = left.iter().filter(|n| **n == all).count();
    assert!(whole >= 4 && left.iter().sum::<usize>() > all * (pages - 4), "{left:?} of {all}");
}

#[test]
fn a_full_database_fails_cleanly_stays_readable_and_takes_records_again() {
    let directory = scratch();
    let options = Options { max_bytes: Some(20 * 8_192), ..plain() };
    let mut ledger = Ledger::open(directory.path(), options).expect("opens");
    let mut kept = 0;
    let error = loop {
        let records: Vec<_> = (0..200).map(|k| bad(k, i64::from(k * 37) + kept)).collect();
        match ledger.append(&records) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LedgerError::Full(_)), "{error:?}");
    assert!(kept > 3, "{kept}");
    let (lines, report) = history(&mut ledger, Timestamp::MIN);
    assert_eq!((lines.len(), report.damage), (kept as usize * 200, vec![]));
    drop(ledger);

    let mut ledger = open(directory.path());
    let appended = ledger.append(&[bad(1, 1)]).expect("there is room now");
    assert_eq!(appended.seq, kept + 1, "what failed has left no trace");
    assert_eq!(history(&mut ledger, Timestamp::MIN).0.len(), kept as usize * 200 + 1);
}

#[test]
fn a_rotten_log_is_told_and_a_torn_one_costs_the_last_appends_only() {
    let (filled, copy) = (scratch(), scratch());
    let mut ledger = open(filled.path());
    let mut prefixes = vec![Vec::new()];
    for append in 0..6 {
        ledger.append(&[bad(1, append * 10), good(2, append * 10)]).expect("kept");
        prefixes.push(history(&mut ledger, Timestamp::MIN).0);
    }
    let read = |name: &str| fs::read(filled.path().join(name)).expect("there while it is open");
    let (database, log) = (read("ledger.db"), read("ledger.db-wal"));
    let mut counts: BTreeMap<(usize, bool), usize> = BTreeMap::new();
    // Every byte of every header of a frame, and some of the pages.
    let says = |at: &usize| (at - 32) % 8_216 < 24 || at.is_multiple_of(61);
    for at in (0..32).chain((32..log.len()).filter(says)) {
        let mut log = log.clone();
        log[at] ^= 1 << (at % 8);
        fs::write(copy.path().join("ledger.db"), &database).expect("writable");
        fs::write(copy.path().join("ledger.db-wal"), &log).expect("writable");
        let mut ledger = open(copy.path());
        let (lines, report) = history(&mut ledger, Timestamp::MIN);
        let appends = prefixes.iter().position(|prefix| *prefix == lines);
        let appends = appends.unwrap_or_else(|| panic!("byte {at}: not a beginning: {lines:?}"));
        let told = report.damage.iter().any(|damage| damage.part == Part::Log);
        // A commit that is cut off from what went before looks like one that was never synced.
        assert!(told || appends >= 4, "byte {at}: {appends} of 6 appends, and nothing told");
        *counts.entry((appends, told)).or_default() += 1;
    }
    let rotten: usize = (0..5).map(|n| counts[&(n, true)]).sum();
    assert!(rotten > 100, "{counts:?}");
    assert_eq!(counts.get(&(6, true)), None, "a whole log is not rotten: {counts:?}");
}
