//! From an outage of a real nginx to a page at a webhook, through a real Alertmanager.

use std::time::Duration;

use crate::harness::{Alertmanager, Daemon, Nginx, Webhook, specs, throughout, until};

const PAGE: &str = "NinesErrorBudgetBurnFast";

/// Longest time from an outage to the page, and from its end to the end of the page.
const SOON: Duration = Duration::from_secs(60);

/// How long nothing more may arrive. Alertmanager looks at its groups every second here.
const QUIET: Duration = Duration::from_secs(8);

/// nginx, the daemon that watches it, and everything between it and the webhook.
struct Scene {
    nginx: Nginx,
    daemon: Daemon,
    alertmanager: Alertmanager,
    webhook: Webhook,
}

impl Scene {
    fn start() -> Self {
        let (nginx, webhook) = (Nginx::start(), Webhook::start());
        let alertmanager = Alertmanager::delivering_to(&webhook.url());
        let specs = specs::one_service(&nginx.url());
        let daemon = Daemon::start(&specs, &["--alertmanager.url", &alertmanager.url()]);
        until("healthy history", SOON, || {
            daemon.status(specs::SLO).filter(|status| status.totals.good >= 20)
        });
        Scene { nginx, daemon, alertmanager, webhook }
    }

    fn wait_for(&self, what: &str, statuses: &[&str]) {
        until(what, SOON, || (self.webhook.statuses(PAGE) == statuses).then_some(()));
    }

    fn stays(&self, what: &str, statuses: &[&str]) {
        throughout(what, QUIET, || self.webhook.statuses(PAGE) == statuses);
    }

    /// The start and the labels of the page, as Alertmanager has them.
    fn page(&self) -> (String, String) {
        let active = self.alertmanager.active(PAGE);
        assert_eq!(active.len(), 1, "{active:?}");
        (active[0]["startsAt"].to_string(), active[0]["labels"].to_string())
    }
}

#[test]
fn an_outage_pages_once_and_its_end_is_told_once() {
    let mut scene = Scene::start();
    assert!(scene.webhook.statuses(PAGE).is_empty(), "a page without an outage");
    scene.nginx.stop();
    scene.wait_for("the page", &["firing"]);
    // At least eight of some thirty are bad where one in a hundred may be.
    let told = scene.alertmanager.active(PAGE)[0]["annotations"]["description"].to_string();
    assert!(told.contains("; budget of 36 s spent ") && told.contains(" times over."), "{told}");
    let labels = scene.page().1;
    for label in [r#""slo":"shop/availability""#, r#""team":"blue""#, r#""severity":"critical""#] {
        assert!(labels.contains(label), "{label} is not among {labels}");
    }
    scene.nginx.resume();
    scene.wait_for("the end of the page", &["firing", "resolved"]);
    scene.stays("one page and one end", &["firing", "resolved"]);
    assert!(!scene.webhook.statuses("Watchdog").is_empty(), "the watchdog is silent");
}

#[test]
fn a_restart_in_the_middle_of_an_alert_neither_ends_nor_repeats_it() {
    let mut scene = Scene::start();
    scene.nginx.stop();
    scene.wait_for("the page", &["firing"]);
    let page = scene.page();

    assert!(scene.daemon.terminate().success(), "SIGTERM is a graceful stop");
    scene.daemon.restart();
    scene.stays("the page over a restart", &["firing"]);
    assert_eq!(scene.page(), page, "the page changed its identity or its start");

    scene.daemon.kill();
    scene.daemon.restart();
    scene.stays("the page over kill -9", &["firing"]);
    assert_eq!(scene.page(), page, "the page changed its identity or its start");

    scene.nginx.resume();
    scene.wait_for("the end of the page", &["firing", "resolved"]);
    scene.stays("one page and one end", &["firing", "resolved"]);
}
