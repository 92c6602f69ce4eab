//! The ledger against `kill -9`: what was acknowledged is there, whenever the process dies.
//!
//! The test binary starts itself again as the process that is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nines::ledger::{Ledger, Options, Restored, Stretch};
use nines::model::{Observation, Phases, Record, SeriesId, Slice, Timestamp, Verdict};

#[path = "../../benches/support/ledger.rs"]
mod bench;

const DIRECTORY: &str = "NINES_TEST_LEDGER_TO_FILL";
const ROUNDS: u64 = 20;

fn open(directory: &Path) -> Ledger {
    let options = Options { reserve_bytes: 0, ..Options::default() };
    Ledger::open(directory, options).expect("a killed process holds no lock")
}

/// An observation that tells by its due time which append it came with.
fn observation(series: u32, append: i64, k: i64) -> Record {
    Record::Observation(Observation {
        series: SeriesId(series),
        due: Timestamp::from_secs(append * 100 + k),
        lag: Duration::ZERO,
        latency: Some(Duration::from_micros(20_000)),
        phases: Phases::default(),
        verdict: Verdict::Good,
        detail: None,
        certificate_not_after: None,
    })
}

/// Observations of one series, and every tenth time a slice of another.
fn records(append: i64) -> Vec<Record> {
    let mut records: Vec<_> = (0..7).map(|k| observation(1, append, k)).collect();
    if append % 10 == 0 {
        records.push(Record::Slice(Slice {
            series: SeriesId(2),
            start: Timestamp::from_secs(append * 100),
            end: Timestamp::from_secs(append * 100 + 100),
            thresholds: Vec::new(),
            runs: Vec::new(),
            latencies: Default::default(),
        }));
    }
    records
}

/// Appends, and says so, until it is killed. Does nothing in an ordinary run.
#[test]
fn a_child_appends_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let mut ledger = open(Path::new(&directory));
    let mut newest = 0;
    ledger
        .restore(Timestamp::MIN, &mut |piece| {
            if let Restored::Observation(observation) = piece {
                newest = newest.max(observation.due.micros() / 100_000_000);
            }
        })
        .expect("readable");
    for append in newest + 1.. {
        ledger.append(&records(append)).expect("kept");
        println!("acknowledged {append}");
        if append % 50 == 0 {
            ledger.compact(Timestamp::MIN).expect("compacts");
            ledger.roll_up(Stretch::day_of(Timestamp::from_secs(append * 100))).expect("rolls up");
        }
    }
}

/// Lets a child append until it has acknowledged `n` more and some time has passed; kills it.
fn kill_after(directory: &Path, n: u64, then: Duration) -> i64 {
    let me = std::env::current_exe().expect("this test is a file");
    let mut child = Command::new(me)
        .args(["--exact", "ledger::a_child_appends_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let numbers = lines.map_while(Result::ok).filter_map(|line| {
        // The test harness may have written to the same line.
        line.split_once("acknowledged ").and_then(|(_, n)| n.parse::<i64>().ok())
    });
    let (mut last, mut seen, mut pid) = (0, 0, Some(child.id()));
    for number in numbers {
        last = number;
        seen += 1;
        if seen >= n
            && let Some(pid) = pid.take()
        {
            let kill = format!("sleep 0.{:06}; kill -9 {pid}", then.as_micros());
            Command::new("sh").args(["-c", &kill]).spawn().expect("sh").wait().expect("sh ends");
        }
    }
    assert!(!child.wait().expect("ended").success(), "it was killed");
    assert!(seen >= n, "it acknowledged {seen} only");
    last
}

#[test]
fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("ledger");
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        // Anywhere within a few commits, and the first ones soon after opening.
        let moment = Duration::from_micros(round * 7_919 % 40_000);
        acknowledged = kill_after(&path, 1 + round % 5, moment).max(acknowledged);
        let mut ledger = open(&path);
        let mut dues = Vec::new();
        let report = ledger.restore(Timestamp::MIN, &mut |piece| {
            if let Restored::Observation(observation) = piece {
                dues.push(observation.due.micros() / 1_000_000);
            }
        });
        let report = report.expect("readable");
        assert_eq!((report.damage, report.known), (vec![], vec![]), "round {round}");
        ledger.verify().expect("the file is whole");
        let appends = dues.len() as i64 / 7;
        assert!(appends >= acknowledged, "round {round}: {appends} of {acknowledged} are there");
        let expect: Vec<_> = (1..=appends).flat_map(|a| (0..7).map(move |k| a * 100 + k)).collect();
        assert_eq!(dues, expect, "round {round}: each append is there once and as a whole");
    }
}

#[test]
fn the_bench_runs_and_counts_every_slot() {
    bench::run(bench::Plan { series: 20, days: 2, commits: (3, 3) });
}
