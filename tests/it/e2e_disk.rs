//! A disk without room, and one that may not be written: probing goes on, failures are kept,
//! everybody is told, and nothing needs a restart.

use std::time::Duration;

use crate::harness::daemon::Status;
use crate::harness::disk::{FragileDisk, SmallDisk};
use crate::harness::{Behaviour, Daemon, Target, http, until};

const SLO: &str = "shop/availability";
const SOON: Duration = Duration::from_secs(60);
const PROBES_A_SECOND: u64 = 20;

fn specs(url: &str) -> String {
    let probe = |n: u64| {
        format!(
            "    - {{name: p{n}, http: {{url: \"{url}/{n}\"}}, interval: 500ms, timeout: 500ms}}\n"
        )
    };
    let probes: String = (0..PROBES_A_SECOND / 2).map(probe).collect();
    format!(
        "apiVersion: nines/v1\nkind: Service\nmetadata: {{name: shop}}\nspec:\n  probes:\n{probes}  \
         slos:\n    - {{name: availability, objective: 99%, window: 1h}}\n"
    )
}

fn value(daemon: &Daemon, name: &str) -> f64 {
    let exposition = daemon.metrics();
    let sample = exposition.samples.iter().find(|sample| sample.name == name);
    sample.unwrap_or_else(|| panic!("{name} is exported")).value
}

/// Up to when everything is durable, by the daemon's own word.
fn durable_until(daemon: &Daemon) -> f64 {
    value(daemon, "nines_ledger_last_durable_timestamp_seconds")
}

/// Fills the disk, and the reserve that the ledger gives back, until it cannot write.
fn exhaust(disk: &SmallDisk, daemon: &Daemon) {
    until("the ledger to fail", SOON, || {
        disk.fill();
        let reserve = disk.path().join("reserve").exists();
        (value(daemon, "nines_ledger_failing") == 1.0 && !reserve).then_some(())
    });
}

fn status(daemon: &Daemon) -> Status {
    until("an evaluation", SOON, || daemon.status(SLO))
}

/// Waits until every slot since `origin` is accounted for, once.
fn accounted(daemon: &Daemon, origin: Status) -> Status {
    let now = nines::clock::wall_now();
    until("every slot to be accounted for", SOON, || {
        let status = daemon.status(SLO).filter(|status| status.at >= now)?;
        let counted = status.totals.scheduled() - origin.totals.scheduled();
        let scheduled = status.at.since(origin.at).as_secs() * PROBES_A_SECOND;
        assert!(counted <= scheduled, "{counted} of {scheduled} slots: {status:?}");
        (counted == scheduled).then_some(status)
    })
}

#[test]
fn a_full_disk_stops_no_probe_and_costs_no_failure() {
    let target = Target::start();
    let mut daemon = Daemon::prepare(&specs(&target.url()), &[]);
    let disk = SmallDisk::mount(&daemon.storage(), 12);
    daemon.launch_with(disk.launcher());
    daemon.restart();
    let origin = status(&daemon);
    exhaust(&disk, &daemon);

    // It says so, lives, and goes on probing and counting.
    let ready = until("not to be ready", SOON, || {
        // The reserve may come free only now.
        disk.fill();
        Some(daemon.get("/-/ready")).filter(|answer| answer.status == 503)
    });
    assert!(ready.text().contains("no room left"), "{}", ready.text());
    assert_eq!(daemon.get("/-/healthy").status, 200);
    target.behave(Behaviour::Status(500));
    let before = status(&daemon).totals;
    let bad = until("failures", SOON, || {
        let totals = status(&daemon).totals;
        (totals.bad >= before.bad + 40).then_some(totals.bad)
    });
    assert_eq!(value(&daemon, "nines_ledger_lost_records_total"), 0.0);
    assert!(value(&daemon, "nines_ledger_commit_failures_total") > 1.0);

    // Room returns: ready again by itself, and what waited is durable.
    target.behave(Behaviour::Good);
    disk.empty();
    until("to be ready again", SOON, || (daemon.get("/-/ready").status == 200).then_some(()));
    until("everything to be durable", SOON, || {
        (value(&daemon, "nines_ledger_failing") == 0.0).then_some(())
    });
    daemon.kill();
    daemon.restart();
    let after = accounted(&daemon, origin);
    assert!(after.totals.bad >= bad, "{bad} failures were known, {after:?}");

    // Killed while there is no room: what was acknowledged before that is there.
    exhaust(&disk, &daemon);
    let acknowledged = after.totals;
    daemon.kill();
    disk.empty();
    daemon.restart();
    let after = accounted(&daemon, origin);
    assert!(after.totals.bad >= acknowledged.bad, "{acknowledged:?} before, {after:?}");
    assert!(after.totals.good >= acknowledged.good, "{acknowledged:?} before, {after:?}");
}

#[test]
fn a_disk_that_turns_read_only_under_the_daemon_stops_no_probe_and_is_told() {
    let target = Target::start();
    let mut daemon = Daemon::prepare(&specs(&target.url()), &[]);
    let disk = FragileDisk::mount(&daemon.storage(), 64);
    daemon.launch_with(disk.launcher());
    daemon.restart();
    let origin = status(&daemon);
    target.behave(Behaviour::Status(500));
    let acknowledged = until("failures that are durable", SOON, || {
        let totals = status(&daemon).totals;
        (totals.bad >= origin.totals.bad + 40 && durable_until(&daemon) > origin.at.as_secs_f64())
            .then_some(totals)
    });
    let durable = durable_until(&daemon);
    until("all of them to be durable", SOON, || {
        (durable_until(&daemon) > durable + 2.0).then_some(())
    });

    disk.fail();
    until("the ledger to fail", SOON, || {
        (value(&daemon, "nines_ledger_failing") == 1.0).then_some(())
    });
    let ready = until("not to be ready", SOON, || {
        Some(daemon.get("/-/ready")).filter(|answer| answer.status == 503)
    });
    assert!(ready.text().contains("ledger"), "{}", ready.text());
    assert_eq!(daemon.get("/-/healthy").status, 200);
    let before = status(&daemon);
    until("failures to be counted all the same", SOON, || {
        (status(&daemon).totals.bad >= before.totals.bad + 40).then_some(())
    });
    accounted(&daemon, origin);
    assert_eq!(value(&daemon, "nines_ledger_lost_records_total"), 0.0);

    // A boot checks the disk; what was acknowledged is there.
    daemon.kill();
    target.behave(Behaviour::Good);
    disk.repair();
    daemon.restart();
    let after = accounted(&daemon, origin);
    assert!(after.totals.bad >= acknowledged.bad, "{acknowledged:?} were known, {after:?}");
}

#[test]
fn a_disk_that_may_not_be_written_is_refused_with_the_remedy_and_left_alone() {
    let target = Target::start();
    let mut daemon = Daemon::prepare(&specs(&target.url()), &[]);
    let disk = SmallDisk::mount(&daemon.storage(), 24);
    daemon.launch_with(disk.launcher());
    daemon.restart();
    let origin = status(&daemon);
    // What is killed before any of it is durable has no history to go on with.
    until("the beginning to be durable", SOON, || {
        let name = "nines_ledger_last_durable_timestamp_seconds";
        let exposition = daemon.metrics();
        let durable = exposition.samples.iter().find(|sample| sample.name == name)?.value;
        (durable > origin.at.as_secs_f64() + 1.0).then_some(())
    });
    daemon.kill();
    disk.read_only(true);
    let output = daemon.command().output().expect("it starts and ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write to") && said.contains("make it writable"), "{said}");
    assert!(http::get(&daemon.url()).is_err(), "nothing is served");
    disk.read_only(false);
    daemon.restart();
    accounted(&daemon, origin);
}
