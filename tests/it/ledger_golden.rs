//! A ledger that an earlier version wrote is read for good.
//!
//! What is in `tests/golden` is never rewritten. A new format gets a directory beside the others,
//! which `NINES_WRITE_GOLDEN=directory cargo test golden` fills.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use nines::ledger::{Ledger, Options, Restored};
use nines::model::{
    BadReason, Counts, Latencies, Observation, Phases, Record, Run, SeriesId, Slice, Timestamp,
    UnknownReason, Verdict,
};

fn open(directory: &Path) -> Ledger {
    let options = Options { reserve_bytes: 0, ..Options::default() };
    Ledger::open(directory, options).expect("opens")
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

fn run(secs: i64, n: u32, verdict: Verdict, class: u8) -> Run {
    Run { start: at(secs), step: Duration::from_secs(5), n, verdict, class }
}

/// One of everything that format 2 knows.
fn fill(ledger: &mut Ledger) {
    for (probe, vantage) in [("registry/pull", "here"), ("registry/pull", "there")] {
        ledger.series(&probe.parse().expect("valid"), vantage).expect("numbered");
    }
    let mut latencies = Latencies::default();
    for micros in [0, 1, 2_047, 2_048, 20_000, 20_000, 59_999_999] {
        latencies.record_micros(micros, 3);
    }
    let mut runs = vec![run(0, 100, Verdict::Good, 0), run(500, 2, Verdict::Good, 2)];
    let bad = BadReason::ALL.iter().map(|reason| Verdict::Bad(*reason));
    let unknown = UnknownReason::ALL.iter().map(|reason| Verdict::Unknown(*reason));
    let counted = [(0, 0, 0), (1, 2, 3), (127, 128, 0), (u32::MAX, u32::MAX, u32::MAX)]
        .map(|(good, bad, unknown)| Verdict::Counted(Counts { good, bad, unknown }));
    let all = bad.chain(unknown).chain([Verdict::Excluded]).chain(counted);
    for (k, verdict) in all.enumerate() {
        runs.push(run(600 + 10 * k as i64, 2, verdict, 0));
    }
    let (start, end, thresholds) = (at(0), at(3_600), vec![300_000, 1_000_000]);
    let full = Slice { series: SeriesId(1), start, end, thresholds, runs, latencies };
    let many = (0..200).map(|k| run(k * 10, 1, Verdict::Good, u8::from(k % 2 == 0))).collect();
    let bare = Slice { series: SeriesId(2), thresholds: vec![], runs: many, ..full.clone() };
    ledger.append(&[Record::Slice(full), Record::Slice(bare)]).expect("kept");
    let observation = Observation {
        series: SeriesId(1),
        due: at(3_605).plus(Duration::from_micros(123_456)),
        lag: Duration::from_micros(77),
        latency: Some(Duration::from_micros(20_123)),
        phases: Phases { dns: Duration::from_micros(1), ..Phases::default() },
        verdict: Verdict::Bad(BadReason::Status),
        detail: Some("got 503, expected 200 – „später“".into()),
        certificate_not_after: Some(at(9_000_000)),
    };
    let plain = Observation {
        series: SeriesId(2),
        due: at(3_600),
        latency: None,
        phases: Phases::default(),
        verdict: Verdict::Good,
        detail: None,
        certificate_not_after: None,
        ..observation.clone()
    };
    let state = Record::State { name: "alerts".into(), json: r#"{"open":["ä"]}"#.into() };
    let gap = run(3_610, 7, Verdict::Unknown(UnknownReason::NotRunning), 0);
    let (observation, plain) = (Record::Observation(observation), Record::Observation(plain));
    ledger.append(&[observation, plain, state, Record::Gap(SeriesId(2), gap)]).expect("kept");
    let counted = Verdict::Counted(Counts { good: 85, bad: 15, unknown: 1 });
    ledger.append(&[Record::Gap(SeriesId(2), run(3_645, 3, counted, 0))]).expect("kept");
}

/// Everything that can be read from a ledger, in words of this file's own, so that a change of
/// a type elsewhere is no change of the golden text.
fn text(ledger: &mut Ledger) -> String {
    let mut text = String::new();
    for (probe, vantage, SeriesId(id)) in ledger.all_series() {
        writeln!(text, "series {id} = {probe} from {vantage}").expect("a string");
    }
    let restored = ledger.restore(Timestamp::MIN, &mut |piece| text += &line(&piece));
    let report = restored.expect("readable");
    assert_eq!((report.damage, report.known), (vec![], vec![]));
    for series in [1, 2] {
        let read = ledger.latencies(SeriesId(series), at(0), at(7_200)).expect("readable");
        let latencies = read.latencies;
        let (sum, min, max) = (latencies.sum(), latencies.min(), latencies.max());
        writeln!(text, "latencies of {series}: {sum:?} {min:?} {max:?} {:?}", latencies.buckets())
            .expect("a string");
    }
    text
}

fn line(piece: &Restored<'_>) -> String {
    let slots = |run: &Run| {
        let (start, code) = (run.start.micros(), run.verdict.code());
        let counts = match run.verdict {
            Verdict::Counted(Counts { good, bad, unknown }) => format!("({good},{bad},{unknown})"),
            _ => String::new(),
        };
        format!("{start}+{:?}*{}={code:#04x}{counts}/{}", run.step, run.n, run.class)
    };
    match piece {
        Restored::State { name, json } => format!("state {name}: {json}\n"),
        Restored::Slice { series, start, end, thresholds, runs } => {
            let (from, to) = (start.micros(), end.micros());
            let runs: Vec<_> = runs.iter().map(slots).collect();
            format!("slice of {} {from}..{to} {thresholds:?} {}\n", series.0, runs.join(" "))
        }
        Restored::Gap(series, run) => format!("gap of {} {}\n", series.0, slots(run)),
        Restored::Observation(o) => format!(
            "observation of {} {} {:?} {:?} {:?} {:#04x} {:?} {:?}\n",
            o.series.0,
            o.due.micros(),
            o.lag,
            o.latency,
            o.phases.durations(),
            o.verdict.code(),
            o.detail,
            o.certificate_not_after.map(Timestamp::micros),
        ),
    }
}

/// Opens a copy of a golden ledger, which may change it.
fn says_what_it_always_said(name: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::copy(golden.join("ledger.db"), directory.path().join("ledger.db")).expect("there");
    let expect = std::fs::read_to_string(golden.join("history.txt")).expect("there");
    assert_eq!(text(&mut open(directory.path())), expect);
    // And once more, now that it is of the newest format.
    assert_eq!(text(&mut open(directory.path())), expect);
    let reader = nines::ledger::Reader::open(directory.path()).expect("opens");
    assert_eq!(reader.verify().expect("readable").damage, vec![]);
}

#[test]
fn the_golden_ledger_of_format_1_says_what_it_always_said() {
    says_what_it_always_said("ledger-v1");
}

#[test]
fn the_golden_ledger_of_format_2_says_what_it_always_said() {
    says_what_it_always_said("ledger-v2");
}

#[test]
fn a_ledger_of_format_1_is_read_beside_its_writer_without_a_change() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ledger-v1");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let copy = directory.path().join("ledger.db");
    std::fs::copy(golden.join("ledger.db"), &copy).expect("there");
    let before = std::fs::read(&copy).expect("readable");
    let reader = nines::ledger::Reader::open(directory.path()).expect("opens");
    assert_eq!(reader.verify().expect("readable").damage, vec![]);
    drop(reader);
    assert!(std::fs::read(&copy).expect("readable") == before, "reading has changed it");
}

#[test]
fn this_version_still_writes_what_the_golden_ledger_holds() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ledger-v2");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut ledger = open(directory.path());
    fill(&mut ledger);
    let text = text(&mut ledger);
    ledger.close().expect("closes");
    if let Some(new) = std::env::var_os("NINES_WRITE_GOLDEN") {
        let new = Path::new(&new);
        std::fs::create_dir_all(new).expect("writable");
        std::fs::copy(directory.path().join("ledger.db"), new.join("ledger.db")).expect("writable");
        std::fs::write(new.join("history.txt"), &text).expect("writable");
    }
    assert_eq!(text, std::fs::read_to_string(golden.join("history.txt")).expect("there"));
}
