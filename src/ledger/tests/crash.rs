//! Power failures at every operation: what was acknowledged is there once, nothing else is, and
//! the ledger opens and goes on.
//!
//! A workload is recorded once on a disk in memory. Then, before each change of that disk, the
//! power fails with several kinds of luck, and what is left is opened. How many such points are
//! tried is `NINES_CRASH_POINTS`; 100,000 for a release.

use std::sync::atomic::{AtomicU64, Ordering};

use super::drive::{Drive, Fault, Kind, Model, Op, Rng};
use super::oracle::{Account, Oracle, Step, account_of, perform, workload};
use super::*;

const POINTS: u64 = 10_000;
const ROUNDS: i64 = 8;
/// About how often a workload syncs.
const SYNCS: u64 = 60;
/// Different fates of each crash point.
const FATES: u64 = 4;

fn points() -> u64 {
    match std::env::var("NINES_CRASH_POINTS") {
        Ok(text) => text.parse().expect("NINES_CRASH_POINTS is a number"),
        Err(_) => POINTS,
    }
}

/// A small log, so that it begins anew now and then within a workload.
fn options(drive: &Drive) -> Options {
    Options { reserve_bytes: 16 << 10, disk: Arc::new(drive.clone()), ..Options::default() }
}

pub(super) fn open_on(drive: &Drive, directory: &Path) -> Result<Ledger, LedgerError> {
    let ledger = Ledger::open(directory, options(drive))?;
    ledger.db.pragma_update_and_check(None, "wal_autocheckpoint", 16, |_| Ok(())).expect("set");
    Ok(ledger)
}

/// A workload as it went: every change of the disk, and what had been promised by then.
pub(super) struct Recording {
    log: Vec<Op>,
    /// After how many changes which commit was acknowledged.
    pub acknowledged: Vec<(usize, i64)>,
    /// What the ledger must say once so many commits have taken place.
    pub accounts: Vec<Account>,
}

impl Recording {
    /// Takes the steps on a disk that works, or that fails once.
    pub fn make(
        what: &str,
        steps: Vec<Step>,
        fault: Option<Fault>,
        drive: &Drive,
        directory: &Path,
    ) -> Recording {
        drive.load(Model::default());
        if let Some(fault) = fault {
            drive.fail(fault);
        }
        let (mut oracle, mut ledger) = (Oracle::default(), None);
        let mut accounts = vec![Account::default()];
        let mut acknowledged = Vec::new();
        let open = || open_on(drive, directory);
        for step in steps {
            if let Err(error) = perform(&mut ledger, &step, &open) {
                assert!(fault.is_some(), "{what}: {error}");
                let kill = fault.is_some_and(|fault| fault.at.is_multiple_of(2));
                let kept = if kill {
                    let before = killed(ledger.take(), drive);
                    let after = ledger.insert(open().expect("it failed once"));
                    after.head.commits > before
                } else {
                    let doubtful = ledger.as_mut().filter(|ledger| ledger.doubt.is_some());
                    doubtful.is_some_and(|ledger| ledger.reopen().expect("it failed once"))
                };
                if !(kept && matches!(step, Step::Append(_))) {
                    perform(&mut ledger, &step, &open).expect("it failed once");
                }
            }
            let ledger = ledger.as_mut().expect("open");
            let commits = ledger.head.commits as usize;
            let left = ledger.head.last_seq - ledger.head.first_seq + 1;
            let mut after = oracle.take(&step, left as usize);
            if commits == accounts.len() - 1 {
                after.clear();
            }
            let last = after.last().or(accounts.last()).expect("at least one").clone();
            // One for each commit; roll-ups take several that change nothing that can be told.
            accounts.extend(after);
            assert!(accounts.len() <= commits + 1, "{what}: fewer commits than {step:?} needs");
            accounts.resize(commits + 1, last);
            acknowledged.push((drive.changes(), commits as i64));
            let (said, report) = account_of(ledger).expect("readable");
            assert_eq!(said, accounts[commits], "{what}: after {step:?}");
            assert_eq!(report.damage, vec![]);
        }
        Recording { log: drive.log(), acknowledged, accounts }
    }

    /// How many commits had been acknowledged after so many changes, and how many can have taken
    /// place.
    fn bounds(&self, changes: usize) -> (i64, i64) {
        let before = self.acknowledged.iter().take_while(|(at, _)| *at <= changes);
        let least = before.map(|(_, commits)| *commits).max().unwrap_or(0);
        let within = self.acknowledged.iter().find(|(at, _)| *at > changes);
        let most = within.map_or(self.accounts.len() as i64 - 1, |(_, commits)| *commits);
        (least, most)
    }
}

/// Ends a ledger as `kill -9` does; how many commits it knew of.
fn killed(ledger: Option<Ledger>, drive: &Drive) -> i64 {
    let Some(Ledger { db, directory, head, .. }) = ledger else { return 0 };
    // Closing would tidy up; the lock is let go of by the system.
    std::mem::forget(db);
    drop(directory);
    drive.abandon();
    head.commits
}

/// Opens what is left and compares it with what was promised.
fn judge(recording: &Recording, changes: usize, drive: &Drive, directory: &Path, what: &str) {
    let (least, most) = recording.bounds(changes);
    let opened = open_on(drive, directory);
    let mut ledger = opened.unwrap_or_else(|error| panic!("{what}: does not open: {error}"));
    let commits = ledger.head.commits;
    assert!(commits >= least, "{what}: {least} commits were acknowledged, {commits} are there");
    assert!(commits <= most, "{what}: {most} commits were begun, {commits} are there");
    let (said, report) = account_of(&mut ledger).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!((report.damage, report.known), (vec![], vec![]), "{what}");
    assert!(said == recording.accounts[commits as usize], "{what}: {}", {
        let expect = &recording.accounts[commits as usize];
        let missing = expect.slots.iter().filter(|(k, n)| said.slots.get(k) != Some(n)).count();
        let extra = said.slots.iter().filter(|(k, n)| expect.slots.get(k) != Some(n)).count();
        format!("{missing} slots are missing, {extra} were never so")
    });
    ledger.verify().unwrap_or_else(|error| panic!("{what}: {error}"));
    // It goes on where it was.
    ledger.append(&[bad(9, 1)]).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(ledger.head.commits, commits + 1, "{what}");
}

/// Crashes one recording before each of its changes; how many points that were.
fn crash_everywhere(seed: u64, drive: &Drive, directory: &Path) -> u64 {
    let what = format!("NINES_CRASH_SEED={seed}");
    // Half of the workloads meet a sync that fails and leaves what it should have written to
    // chance: what follows must not build on it.
    let fault = seed.is_multiple_of(2).then(|| Fault {
        kind: Kind::Sync,
        at: Rng(seed).below(SYNCS),
        for_good: false,
    });
    let recording = Recording::make(&what, workload(seed, ROUNDS), fault, drive, directory);
    let mut model = Model::default();
    let mut points = 0;
    for changes in 0..=recording.log.len() {
        for fate in 0..FATES {
            let mut rng = Rng(seed ^ (changes as u64) << 20 ^ fate << 50);
            let what = format!("{what} before change {changes}, fate {fate}");
            drive.load(model.survive(&mut rng));
            if fate == FATES - 1 {
                // The power fails again while the ledger is being opened or used again.
                let left = drive.model();
                judge(&recording, changes, drive, directory, &what);
                let again = drive.log();
                let n = rng.below(again.len() as u64 + 1) as usize;
                let mut model = left;
                again[..n].iter().for_each(|op| model.apply(op));
                drive.load(model.survive(&mut rng));
                judge_again(&recording, changes, drive, directory, &what);
                points += 1;
            } else {
                judge(&recording, changes, drive, directory, &what);
            }
            points += 1;
        }
        if let Some(op) = recording.log.get(changes) {
            model.apply(op);
        }
    }
    points
}

/// As [`judge`], for a ledger that may have been appended to once since.
fn judge_again(recording: &Recording, changes: usize, drive: &Drive, directory: &Path, what: &str) {
    let (least, most) = recording.bounds(changes);
    let opened = open_on(drive, directory);
    let mut ledger = opened.unwrap_or_else(|error| panic!("{what}, twice: {error}"));
    let (mut said, report) = account_of(&mut ledger).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!((report.damage, report.known), (vec![], vec![]), "{what}, twice");
    let more = i64::from(said.slots.keys().any(|(series, ..)| *series == 9));
    said.slots.retain(|(series, ..), _| *series != 9);
    said.latencies.remove(&9);
    let commits = ledger.head.commits - more;
    assert!((least..=most).contains(&commits), "{what}, twice: {commits} of {least} to {most}");
    assert!(said == recording.accounts[commits as usize], "{what}, twice: other slots");
    ledger.verify().unwrap_or_else(|error| panic!("{what}, twice: {error}"));
}

#[test]
fn no_power_failure_loses_or_repeats_or_makes_up_anything() {
    let wanted = points();
    let first: u64 = match std::env::var("NINES_CRASH_SEED") {
        Ok(text) => text.parse().expect("NINES_CRASH_SEED is a number"),
        Err(_) => 1,
    };
    let (done, next) = (AtomicU64::new(0), AtomicU64::new(first));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (drive, directory) = (Drive::new(), scratch());
                while done.load(Ordering::Relaxed) < wanted {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let points = crash_everywhere(seed, &drive, directory.path());
                    done.fetch_add(points, Ordering::Relaxed);
                }
            });
        }
    });
    let (done, seeds) = (done.into_inner(), next.into_inner() - first);
    println!("{done} crash points of {seeds} workloads in {:?}", begun.elapsed());
    assert!(done >= wanted);
}
