//! Every single I/O error, at every operation in turn, once and for good: the ledger stays
//! readable, says what is so, and takes everything once the disk works again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::crash::{Recording, open_on};
use super::drive::{Drive, Fault, Kind, Model, Rng};
use super::oracle::{Step, account_of, perform};
use super::writer::until;
use super::*;
use crate::clock::Clock;

/// Everything that a ledger is ever asked, once or twice.
fn steps() -> Vec<Step> {
    let hour = |from: i64| {
        let records =
            (from..from + 60).step_by(20).map(|secs| vec![good(1, secs), bad(1, secs + 5)]);
        let appends = records.map(Step::Append);
        let slices = Step::Append(vec![slice(1, from, from + 60, Some(from)), gap(2, from, 12)]);
        appends.chain([slices]).collect::<Vec<_>>()
    };
    let mut steps = vec![Step::Number("shop/home"), Step::Append(vec![state("alerts", "[]")])];
    steps.extend(hour(0));
    steps.extend([Step::Compact(60), Step::Reopen]);
    steps.extend(hour(60));
    steps.extend([Step::Number("shop/cart"), Step::RollUp, Step::Restore]);
    steps.extend([Step::Append(vec![state("long", &"x".repeat(40_000))]), Step::Expire(30)]);
    steps.push(Step::Append(vec![bad(1, 121)]));
    steps
}

/// What became of one run with one fault.
struct Run<'a> {
    recording: &'a Recording,
    drive: &'a Drive,
    directory: &'a Path,
    fault: Fault,
}

impl Run<'_> {
    fn open(&self) -> Result<Ledger, LedgerError> {
        open_on(self.drive, self.directory)
    }

    /// Performs all steps; false if the fault was never met.
    fn go(&self) -> bool {
        self.drive.load(Model::default());
        self.drive.fail(self.fault);
        let mut ledger = None;
        let mut struck = 0;
        for (k, step) in steps().iter().enumerate() {
            let mut tries = 0;
            // How many commits there must be when this step is done.
            let commits = self.recording.acknowledged[k].1;
            while let Err(error) = self.attempt(&mut ledger, step, commits) {
                tries += 1;
                assert!(tries < 10, "{:?}: {step:?} fails for ever: {error}", self.fault);
                self.stays_readable(&mut ledger);
                if tries == 3 {
                    struck += self.drive.repair();
                    self.lives_on(&mut ledger, k);
                }
            }
        }
        struck += self.drive.repair();
        drop(ledger);
        let mut ledger = self.open().expect("the disk works");
        let (said, report) = account_of(&mut ledger).expect("readable");
        assert_eq!((report.damage, report.known), (vec![], vec![]), "{:?}", self.fault);
        let expect = self.recording.accounts.last().expect("not empty");
        assert!(said == *expect, "{:?}: not what was written", self.fault);
        ledger.verify().expect("whole");
        struck > 0
    }

    /// Does what the contract says after an error: opens anew where that is asked for, and takes
    /// the step again unless it has taken place.
    fn attempt(
        &self,
        ledger: &mut Option<Ledger>,
        step: &Step,
        commits: i64,
    ) -> Result<(), LedgerError> {
        if let Some(open) = ledger.as_mut().filter(|ledger| ledger.doubt.is_some()) {
            open.reopen()?;
            if matches!(step, Step::Append(_)) && open.head.commits == commits {
                return Ok(());
            }
        }
        perform(ledger, step, &|| self.open())
    }

    /// As long as the disk can be read, what has been committed can be.
    fn stays_readable(&self, ledger: &mut Option<Ledger>) {
        let Some(ledger) = ledger.as_mut().filter(|ledger| ledger.doubt.is_none()) else { return };
        if self.fault.kind == Kind::Io {
            return;
        }
        let commits = ledger.head.commits;
        let (said, report) = account_of(ledger).expect("reading works");
        assert_eq!(report.damage, vec![], "{:?}", self.fault);
        let expect = &self.recording.accounts[commits as usize];
        assert!(said == *expect, "{:?}: not what was committed", self.fault);
    }

    /// The disk works again: after a restart, a power failure, or none of them.
    fn lives_on(&self, ledger: &mut Option<Ledger>, step: usize) {
        let least = step.checked_sub(1).map_or(0, |k| self.recording.acknowledged[k].1);
        match self.fault.at % 3 {
            0 => return,
            1 => *ledger = None,
            _ => {
                let left = self.drive.model();
                *ledger = None;
                self.drive.load(left.survive(&mut Rng(self.fault.at)));
            }
        }
        let mut open = self.open().expect("the disk works");
        let commits = open.head.commits;
        assert!(commits >= least, "{:?}: {commits} of {least} commits", self.fault);
        let (said, report) = account_of(&mut open).expect("readable");
        assert_eq!((report.damage, report.known), (vec![], vec![]), "{:?}", self.fault);
        let expect = &self.recording.accounts[commits as usize];
        assert!(said == *expect, "{:?}: not what was committed", self.fault);
        // Whether the step had taken place is known from the books, as after a reopening.
        open.doubt = Some(0);
        *ledger = Some(open);
    }
}

/// Runs `run` with every fault in turn, on all processors; how many operations failed.
fn every_fault(run: impl Fn(&Drive, &Path, Fault) -> bool + Sync) -> BTreeMap<String, u64> {
    let modes = Kind::ALL.into_iter().flat_map(|kind| [(kind, false), (kind, true)]);
    let work = Mutex::new(modes.collect::<Vec<_>>());
    let counts = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (drive, directory) = (Drive::new(), scratch());
                let next = || work.lock().expect("no case may fail").pop();
                while let Some((kind, for_good)) = next() {
                    let met =
                        |at: &u64| run(&drive, directory.path(), Fault { kind, at: *at, for_good });
                    let n = (0..).take_while(met).count() as u64;
                    let mode = if for_good { "for good" } else { "once" };
                    counts.lock().expect("as above").insert(format!("{kind:?} {mode}"), n);
                }
            });
        }
    });
    counts.into_inner().expect("as above")
}

#[test]
fn every_io_error_leaves_a_readable_ledger_that_goes_on() {
    let (drive, directory) = (Drive::new(), scratch());
    let recording = Recording::make("faults", steps(), None, &drive, directory.path());
    let begun = Instant::now();
    let counts = every_fault(|drive, directory, fault| {
        Run { recording: &recording, drive, directory, fault }.go()
    });
    println!("{counts:?} in {:?}", begun.elapsed());
    assert!(counts.values().all(|n| *n > 10), "{counts:?}");
}

#[test]
fn the_writer_gets_over_every_io_error_and_loses_nothing() {
    let failed = AtomicU64::new(0);
    let begun = Instant::now();
    let counts = every_fault(|drive, directory, fault| {
        drive.load(Model::default());
        let ledger = open_on(drive, directory).expect("the disk works");
        let writer = Writer::start(ledger, Clock::starting_at(at(0))).expect("starts");
        drive.fail(fault);
        let mut struck = 0;
        let mut settle = |what: &str| {
            for tries in 0.. {
                assert!(tries < 10, "{fault:?}: {what} is never durable: {:?}", writer.stats());
                match writer.flush() {
                    Ok(()) => break,
                    Err(LedgerError::NotDurable(_)) => {
                        failed.fetch_add(1, Ordering::Relaxed);
                        let stats = writer.stats();
                        assert!(stats.failing.is_some(), "{fault:?}: silent about {what}");
                    }
                    Err(other) => panic!("{fault:?}: {other}"),
                }
                if tries == 3 {
                    struck += drive.repair();
                }
            }
        };
        for secs in (0..60).step_by(15) {
            writer.submit(vec![good(1, secs), bad(1, secs + 5), good(1, secs + 10)]);
            writer.submit(vec![state("alerts", &secs.to_string())]);
            settle("an append");
        }
        writer.submit(vec![slice(1, 0, 60, Some(5)), good(1, 60)]);
        writer.maintain(Upkeep::Compact(at(60)));
        settle("a slice");
        writer.submit(vec![slice(1, 60, 120, None), bad(1, 120)]);
        writer.maintain(Upkeep::RollUp(Stretch::day_of(at(0))));
        settle("a roll-up");
        struck += drive.repair();
        assert_eq!(writer.flush().err().map(|e| e.to_string()), None, "{fault:?}");
        // Upkeep that failed is taken up again by and by.
        let stats = until(&writer, "over it", |stats| stats.failing.is_none());
        assert_eq!((stats.shed_successes, stats.lost_records), (0, 0), "{fault:?}");
        writer.stop().expect("the disk works");
        drop(writer);
        let mut ledger = open_on(drive, directory).expect("the disk works");
        let (said, report) = account_of(&mut ledger).expect("readable");
        assert_eq!((report.damage, report.known), (vec![], vec![]), "{fault:?}");
        let bads = said.slots.iter().filter(|((_, _, verdict), _)| *verdict != Verdict::Good);
        let bads: u64 = bads.map(|(_, n)| n).sum();
        assert_eq!((said.slots.values().sum::<u64>(), bads), (25, 2), "{fault:?}");
        assert_eq!(said.states["alerts"], "45", "{fault:?}");
        ledger.verify().expect("whole");
        struck > 0
    });
    let failed = failed.into_inner();
    println!("{counts:?}, {failed} refused flushes in {:?}", begun.elapsed());
    assert!(counts.values().all(|n| *n > 3) && failed > 100, "{counts:?}, {failed}");
}
