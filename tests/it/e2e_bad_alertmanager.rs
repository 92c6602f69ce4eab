//! An Alertmanager that refuses, fails or keeps silent is counted, and probing goes on.

use std::time::Duration;

use crate::harness::{Behaviour, Daemon, Target, specs, until};

const SOON: Duration = Duration::from_secs(90);

/// Watches a good target with an Alertmanager that behaves like this; the watchdog alert makes
/// sure that there is always something to send.
fn check(alertmanager_behaviour: Behaviour) {
    let (target, alertmanager) = (Target::start(), Target::start());
    alertmanager.behave(alertmanager_behaviour);
    let url = alertmanager.url();
    let daemon = Daemon::start(&specs::one_service(&target.url()), &["--alertmanager.url", &url]);
    let count = |name: &str| daemon.metrics().sum(name, &[]).unwrap_or(0.0);
    until("a delivery to be counted as failed", SOON, || {
        let errors = count("nines_notifications_errors_total");
        let dropped = count("nines_notifications_dropped_total");
        (errors + dropped > 0.0).then_some(())
    });
    assert!(alertmanager.accepted() > 0, "it was never asked");
    let probes = count("nines_probes_total");
    until("ten more probes", SOON, || (count("nines_probes_total") >= probes + 10.0).then_some(()));
    assert_eq!(daemon.get("/-/healthy").status, 200);
    assert_eq!(daemon.get("/-/ready").status, 200);
}

#[test]
fn an_alertmanager_that_refuses_is_counted() {
    check(Behaviour::Status(400));
}

#[test]
fn an_alertmanager_that_fails_is_counted() {
    check(Behaviour::Status(500));
}

#[test]
fn an_alertmanager_that_keeps_silent_is_counted() {
    check(Behaviour::Silent);
}
