//! The real daemon short of ports and of descriptors: no target is blamed, and no slot is lost.

use std::time::Duration;

use crate::harness::daemon::Status;
use crate::harness::process::program;
use crate::harness::{Behaviour, Daemon, Namespace, Place, Target, until};

const SLO: &str = "shop/availability";
const SOON: Duration = Duration::from_secs(30);

/// So many probes, each at this interval, of one target.
fn specs(url: &str, probes: u64, interval: &str) -> String {
    let probe = |n| {
        format!(
            "    - {{name: p{n}, http: {{url: \"{url}/{n}\"}}, interval: {interval}, \
             timeout: {interval}}}\n"
        )
    };
    let probes: String = (0..probes).map(probe).collect();
    format!(
        "apiVersion: nines/v1\nkind: Service\nmetadata: {{name: shop}}\nspec:\n  probes:\n{probes}  \
         slos:\n    - {{name: availability, objective: 99%, window: 1h}}\n"
    )
}

fn status_with(daemon: &Daemon, what: &str, is: impl Fn(&Status) -> bool) -> Status {
    until(what, SOON, || daemon.status(SLO).filter(&is))
}

/// Slots that are unknown by this cause.
fn slots(daemon: &Daemon, cause: &str) -> u64 {
    let slots = daemon.metrics().sum("nines_self_unknown_slots_total", &[("cause", cause)]);
    slots.expect("every cause exists from the start") as u64
}

#[track_caller]
fn whole(from: Status, to: Status, a_second: u64) {
    let seconds = to.at.since(from.at).as_secs();
    let slots = to.totals.scheduled() - from.totals.scheduled();
    assert_eq!(slots, a_second * seconds, "{from:?} to {to:?}");
}

#[test]
fn five_hundred_ports_last_for_any_number_of_probes_and_none_left_is_our_fault() {
    let namespace = Namespace::new();
    namespace.set("ipv4/ip_local_port_range", "20000 20499");
    let target = Target::start_at(namespace.beyond_uplink(0));
    let place = Place {
        wrapper: namespace.wrapper(),
        address: Some(namespace.service()),
        ..Place::default()
    };
    let daemon = Daemon::start_at(place, &specs(&target.url(), 40, "200ms"), &[]);
    let first = status_with(&daemon, "the first evaluation", |_| true);
    // Three times as many connections as ports, within a tenth of the time that a port would be
    // kept in TIME_WAIT.
    let after = status_with(&daemon, "1500 answers", |status| status.totals.good >= 1_500);
    whole(first, after, 200);
    assert_eq!(slots(&daemon, "ports"), 0, "connections leave their ports behind");
    assert_eq!(after.totals.bad, 0, "{after:?}");

    namespace.set("ipv4/ip_local_reserved_ports", "20000-20499");
    until("no port to be left", SOON, || (slots(&daemon, "ports") >= 200).then_some(()));
    namespace.set("ipv4/ip_local_reserved_ports", "");
    let good = status_with(&daemon, "a status", |_| true).totals.good;
    let after = status_with(&daemon, "ports again", |status| status.totals.good >= good + 400);
    whole(first, after, 200);
    assert_eq!(after.totals.bad, 0, "blamed on the target: {after:?}");
    assert!(daemon.logged().contains("cause=ports"), "no line in the log");
}

#[test]
fn sixty_four_descriptors_are_enough_to_measure_something_and_blame_nobody() {
    let target = Target::start();
    target.behave(Behaviour::Slow(Duration::from_millis(250)));
    let prlimit = program("prlimit", "util-linux").display().to_string();
    let place = Place { wrapper: vec![prlimit, "--nofile=64".to_owned()], ..Place::default() };
    let mut daemon = Daemon::start_at(place, &specs(&target.url(), 50, "500ms"), &[]);
    let first = status_with(&daemon, "the first evaluation", |_| true);
    // Two dozen are always in flight, more than there are descriptors for.
    let after = status_with(&daemon, "some answers", |status| {
        status.totals.good >= 100 && status.at.since(first.at) >= Duration::from_secs(6)
    });
    whole(first, after, 100);
    assert_eq!(after.totals.bad, 0, "blamed on the target: {after:?}");
    let limit = daemon.metrics().sum("nines_probes_in_flight_limit", &[]).expect("a bound");
    assert!((16.0..40.0).contains(&limit), "{limit} at 64 descriptors");
    assert!(slots(&daemon, "inflight") + slots(&daemon, "descriptors") > 0, "{after:?}");
    assert!(daemon.terminate().success(), "the ledger needs descriptors as well");
}
