//! The real daemon while time does not pass as it should: stopped and continued, and with a wall
//! clock that is stepped. No target is blamed, no slot is lost and none counted twice.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::daemon::Status;
use crate::harness::{Daemon, Place, Target, scratch, throughout, until};

const PROBES: u64 = 10;
const SLO: &str = "shop/availability";
const SOON: Duration = Duration::from_secs(30);

fn specs(url: &str) -> String {
    let probe = |n| {
        format!(
            "    - {{name: p{n}, http: {{url: \"{url}/{n}\"}}, interval: 500ms, timeout: 500ms}}\n"
        )
    };
    let probes: String = (0..PROBES).map(probe).collect();
    format!(
        "apiVersion: nines/v1\nkind: Service\nmetadata: {{name: shop}}\nspec:\n  probes:\n{probes}  \
         slos:\n    - {{name: availability, objective: 99%, window: 1h}}\n"
    )
}

fn status_with(daemon: &Daemon, what: &str, is: impl Fn(&Status) -> bool) -> Status {
    until(what, SOON, || daemon.status(SLO).filter(&is))
}

/// Waits for a status of at least `more` after `from`, in which every slot since is accounted for
/// once and none is bad.
#[track_caller]
fn whole(daemon: &Daemon, from: Status, more: Duration) -> Status {
    let to = status_with(daemon, "time to go on", |status| status.at.since(from.at) >= more);
    let seconds = to.at.since(from.at).as_secs();
    let slots = to.totals.scheduled() - from.totals.scheduled();
    assert_eq!(slots, 2 * PROBES * seconds, "{from:?} to {to:?}");
    assert_eq!(to.totals.bad, 0, "blamed on the target: {to:?}");
    to
}

fn faults(daemon: &Daemon, cause: &str) -> u64 {
    let faults = daemon.metrics().sum("nines_self_faults_total", &[("cause", cause)]);
    faults.expect("every cause exists from the start") as u64
}

/// Stops the daemon for as long, as a debugger or a hypervisor would.
fn stop_for(daemon: &mut Daemon, target: &Target, time: Duration) {
    daemon.signal("STOP");
    let mut served = target.served().len();
    // What was in flight is answered within moments; then nothing may come any more.
    until("the daemon to stand still", SOON, || {
        let before = std::mem::replace(&mut served, target.served().len());
        (before == served).then_some(())
    });
    throughout("a stopped daemon asks nothing", time, || target.served().len() <= served + 20);
    daemon.signal("CONT");
}

#[test]
fn a_stopped_daemon_blames_nobody_and_accounts_for_every_slot() {
    let target = Target::start();
    let mut daemon = Daemon::start(&specs(&target.url()), &[]);
    let mut status = status_with(&daemon, "some answers", |status| status.totals.good >= 40);
    let first = status;
    let long = std::env::var_os("NINES_LONG").is_some().then_some(60);
    for seconds in [1, 5].into_iter().chain(long) {
        let stalls = faults(&daemon, "stall");
        let time = Duration::from_secs(seconds);
        stop_for(&mut daemon, &target, time);
        let before = status;
        status = whole(&daemon, first, status.at.since(first.at) + time + Duration::from_secs(3));
        assert!(faults(&daemon, "stall") > stalls, "nobody has noticed");
        let unknown = status.totals.unknown - before.totals.unknown;
        assert!(seconds < 5 || unknown >= PROBES, "{unknown} unknown in {seconds} s: {status:?}");
    }
    assert!(daemon.logged().contains("stood still"), "no line in the log");
}

/// A wall clock that a test can set, for a daemon.
struct FakeClock {
    dir: TempDir,
}

impl FakeClock {
    fn new() -> Self {
        let clock = FakeClock { dir: scratch("clock") };
        clock.set(0);
        clock
    }

    /// So many seconds away from the true time.
    fn set(&self, seconds: i64) {
        // In one piece: a file that is being written would be a wrong time.
        let (new, file) = (self.dir.path().join("new"), self.file());
        std::fs::write(&new, format!("{seconds:+}\n")).expect("a writable directory");
        std::fs::rename(new, file).expect("a writable directory");
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("offset")
    }

    fn place(&self) -> Place {
        let variable = |name: &str, value: String| (name.to_owned(), value);
        let environment = vec![
            variable("LD_PRELOAD", library().display().to_string()),
            variable("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            variable("FAKETIME_NO_CACHE", "1".to_owned()),
            variable("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        Place { environment, ..Place::default() }
    }
}

/// The library of the Debian package `faketime`.
fn library() -> PathBuf {
    let name = "faketime/libfaketimeMT.so.1";
    let libraries = std::fs::read_dir("/usr/lib").expect("a Linux system");
    let mut places = libraries.filter_map(|entry| Some(entry.ok()?.path().join(name)));
    places.find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("`{name}` is missing: install the Debian package `faketime`, as tests/run does")
    })
}

fn offset(daemon: &Daemon) -> f64 {
    daemon.metrics().sum("nines_clock_offset_seconds", &[]).expect("an offset")
}

#[test]
fn steps_of_the_wall_clock_change_no_verdict_and_double_no_slot() {
    let (target, clock) = (Target::start(), FakeClock::new());
    let daemon = Daemon::start_at(clock.place(), &specs(&target.url()), &[]);
    let first = status_with(&daemon, "some answers", |status| status.totals.good >= 40);
    assert!(offset(&daemon).abs() < 1.0, "{}", offset(&daemon));
    let (hour, day) = (3_600, 86_400);
    for (n, seconds) in [hour, -hour, day, -day, 0].into_iter().enumerate() {
        let from = status_with(&daemon, "a status", |_| true);
        clock.set(seconds);
        let n = n as u64 + 1;
        until("the step to be noticed", SOON, || {
            (faults(&daemon, "clock-step") == n).then_some(())
        });
        let away = offset(&daemon) - seconds as f64;
        assert!(away.abs() < 1.0, "the offset is {away} s from the truth");
        whole(&daemon, first, from.at.since(first.at) + Duration::from_secs(2));
    }
    let last = status_with(&daemon, "a status", |_| true);
    let missed = last.totals.unknown - first.totals.unknown;
    assert!(missed <= PROBES, "steps cost {missed} slots");
    assert!(daemon.logged().contains("the wall clock was stepped"), "no line in the log");
}

#[test]
fn a_restart_under_a_clock_that_has_gone_back_goes_on_where_history_ends() {
    let (target, clock) = (Target::start(), FakeClock::new());
    let mut daemon = Daemon::start_at(clock.place(), &specs(&target.url()), &[]);
    let first = status_with(&daemon, "some answers", |status| status.totals.good >= 40);
    daemon.kill();
    clock.set(-3_600);
    daemon.restart();
    let more = Duration::from_secs(3);
    let after = whole(&daemon, first, first.at.since(first.at) + more);
    assert!(after.totals.good > first.totals.good, "nothing is measured for an hour: {after:?}");
    assert!(offset(&daemon) < -3_500.0, "{}", offset(&daemon));
    let doubled = daemon.metrics().sum("nines_engine_duplicate_results_total", &[]);
    assert_eq!(doubled, Some(0.0));
}
