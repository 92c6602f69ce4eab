//! The real daemon, cut off from the world in a network namespace of its own: what fails meanwhile
//! is unknown, and what fails while we are connected is the target's.

use std::time::Duration;

use crate::harness::daemon::Status;
use crate::harness::{
    Alertmanager, Daemon, Namespace, Place, Target, Webhook, specs, throughout, until,
};

const PAGE: &str = "NinesErrorBudgetBurnFast";
const BLIND: &str = "NinesBlind";
const SOON: Duration = Duration::from_secs(90);

/// A target and three references beyond the uplink; Alertmanager inside, and a webhook that it
/// reaches whatever becomes of the uplink.
struct Scene {
    // Dropped in this order: the namespace last.
    daemon: Daemon,
    _alertmanager: Alertmanager,
    webhook: Webhook,
    _target: Target,
    _references: Vec<Target>,
    namespace: Namespace,
}

impl Scene {
    fn start() -> Self {
        let namespace = Namespace::new();
        let webhook = Webhook::start_at(namespace.outside());
        let alertmanager = Alertmanager::within(&namespace, &webhook.url());
        let target = Target::start_at(namespace.beyond_uplink(0));
        let references: Vec<_> =
            (1..=3).map(|n| Target::start_at(namespace.beyond_uplink(n))).collect();
        let place = Place {
            wrapper: namespace.wrapper(),
            address: Some(namespace.service()),
            config: Some(config(&references)),
            ..Place::default()
        };
        let specs = specs::one_service(&target.url());
        let daemon = Daemon::start_at(place, &specs, &["--alertmanager.url", &alertmanager.url()]);
        let scene = Scene {
            daemon,
            _alertmanager: alertmanager,
            webhook,
            _target: target,
            _references: references,
            namespace,
        };
        scene.status_with("healthy history", |status| status.totals.good >= 6);
        until("every reference to answer", SOON, || {
            (scene.daemon.metrics().sum("nines_reference_up", &[]) == Some(3.0)).then_some(())
        });
        scene
    }

    fn status_with(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        until(what, SOON, || self.daemon.status(specs::SLO).filter(&is))
    }

    fn isolated_slots(&self) -> u64 {
        let reason = [("reason", "isolated")];
        self.daemon.metrics().sum("nines_probe_unknown_total", &reason).unwrap_or(0.0) as u64
    }

    fn cut_off(&self) -> bool {
        self.daemon.metrics().sum("nines_isolated", &[]) == Some(1.0)
    }

    fn wait_for(&self, alert: &str, statuses: &[&str]) {
        let what = format!("{alert} to be told as {statuses:?}");
        until(&what, SOON, || (self.webhook.statuses(alert) == statuses).then_some(()));
    }
}

/// Three references, one of which is asked for a page.
fn config(references: &[Target]) -> String {
    let mut targets = String::new();
    for (n, reference) in references.iter().enumerate() {
        let check = match n {
            0 => format!("http: {{url: \"{}/\"}}", reference.url()),
            _ => format!("tcp: {{address: \"{}\"}}", reference.address()),
        };
        targets.push_str(&format!("    - {{name: r{n}, {check}}}\n"));
    }
    format!("reference:\n  interval: 1s\n  targets:\n{targets}")
}

/// Every slot of the two a second is in the totals.
#[track_caller]
fn whole(from: Status, to: Status) {
    let seconds = to.at.since(from.at).as_secs();
    let slots = to.totals.scheduled() - from.totals.scheduled();
    assert_eq!(slots, 2 * seconds, "{from:?} to {to:?}");
}

#[test]
fn a_cut_is_ours_and_is_told_and_pages_for_no_target() {
    let scene = Scene::start();
    let before = scene.status_with("a status", |_| true);
    assert_eq!(before.totals.bad, 0, "{before:?}");

    // The plug is pulled at the far end: silence.
    scene.namespace.set_far_end(false);
    until("the daemon to know that it is cut off", SOON, || scene.cut_off().then_some(()));
    scene.wait_for(BLIND, &["firing"]);
    let page = scene.daemon.get("/").text();
    assert!(page.contains("cut off"), "the home page says nothing: {page}");
    scene.namespace.set_far_end(true);
    scene.wait_for(BLIND, &["firing", "resolved"]);
    let good = scene.status_with("a status", |_| true).totals.good;
    let after = scene.status_with("good answers again", |s| s.totals.good >= good + 4);
    whole(before, after);
    let isolated = scene.isolated_slots();
    assert_eq!(after.totals.bad, 0, "blamed on the target: {after:?}");
    assert!(isolated >= 8, "only {isolated} slots of more than five seconds");
    assert_eq!(after.totals.unknown - before.totals.unknown, isolated, "{after:?}");
    assert_eq!(scene.webhook.statuses(PAGE), [""; 0], "somebody was paged for a target");
}

#[test]
fn a_machine_without_a_route_blames_nobody() {
    let scene = Scene::start();
    let before = scene.status_with("a status", |_| true);
    scene.namespace.set_near_end(false);
    until("the daemon to be cut off for a while", SOON, || {
        (scene.cut_off() && scene.isolated_slots() >= 4).then_some(())
    });
    scene.namespace.set_near_end(true);
    until("the daemon to know that it is not", SOON, || (!scene.cut_off()).then_some(()));
    let good = scene.status_with("a status", |_| true).totals.good;
    let after = scene.status_with("good answers again", |s| s.totals.good >= good + 4);
    whole(before, after);
    assert_eq!(after.totals.bad, 0, "blamed on the target: {after:?}");
    assert_eq!(after.totals.unknown - before.totals.unknown, scene.isolated_slots(), "{after:?}");
}

#[test]
fn a_silent_target_is_bad_and_paged_while_the_references_answer() {
    let scene = Scene::start();
    let before = scene.status_with("a status", |_| true);
    // Nobody answers for the target's address any more.
    scene.namespace.set_beyond(0, false);
    scene.wait_for(PAGE, &["firing"]);
    scene.namespace.set_beyond(0, true);
    scene.wait_for(PAGE, &["firing", "resolved"]);
    let after = scene.status_with("a status", |_| true);
    whole(before, after);
    assert!(after.totals.bad >= 2, "an outage hides: {after:?}");
    assert_eq!(scene.isolated_slots(), 0, "an outage hides behind isolation");
    assert_eq!(scene.webhook.statuses(BLIND), [""; 0]);
}

#[test]
fn a_verdict_that_waits_at_a_stop_is_not_forgotten() {
    let mut scene = Scene::start();
    // Silent from now on; the failures of the last second wait for evidence.
    scene.namespace.set_beyond(0, false);
    until("a verdict to wait", SOON, || {
        let waiting = scene.daemon.metrics().sum("nines_isolation_waiting_slots", &[]);
        waiting.filter(|n| *n > 0.0)
    });
    assert!(scene.daemon.terminate().success(), "SIGTERM is a graceful stop");
    scene.namespace.set_beyond(0, true);
    scene.daemon.restart();
    let after = scene.status_with("a status", |status| status.totals.good >= 8);
    assert!(after.totals.bad >= 1, "the failures before the stop are gone: {after:?}");
    throughout("nothing is judged as isolated", Duration::from_secs(2), || {
        scene.isolated_slots() == 0
    });
}
