//! Maintenance and Corrections through the real daemon: by reload, over restarts, at a real
//! Alertmanager.

use std::time::Duration;

use nines::model::Timestamp;
use serde_json::Value;

use crate::harness::daemon::nines;
use crate::harness::{
    Alertmanager, Behaviour, Daemon, Exposition, Target, Webhook, specs, throughout, until,
};

const SOON: Duration = Duration::from_secs(60);
const LIFECYCLE: &str = "--web.enable-lifecycle";
const PAGE: &str = "NinesErrorBudgetBurnFast";

fn slo(daemon: &Daemon) -> Value {
    let answer = daemon.get(&format!("/api/v1/slos/{}", specs::SLO));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["slo"].clone()
}

/// The status of the SLO as it was, or is said to have been, at a moment.
fn status_at(daemon: &Daemon, at: Timestamp) -> Value {
    let answer = daemon.get(&format!("/api/v1/slos/{}?at={at}", specs::SLO));
    answer.json()["slo"]["status"].clone()
}

fn count(status: &Value, outcome: &str) -> u64 {
    status[outcome].as_u64().unwrap_or_else(|| panic!("no {outcome} in {status}"))
}

fn correction(name: &str, from: Timestamp, to: Timestamp, outcome: &str) -> String {
    format!(
        "apiVersion: nines/v1\nkind: Correction\nmetadata: {{name: {name}}}\nspec: {{slo: {}, \
         from: \"{from}\", to: \"{to}\", outcome: {outcome}, reason: a fault of ours, \
         author: ana}}\n",
        specs::SLO
    )
}

fn withdrawal(name: &str, of: &str) -> String {
    format!(
        "apiVersion: nines/v1\nkind: Correction\nmetadata: {{name: {name}}}\nspec: {{withdraws: \
         {of}, reason: it was not ours, author: ben}}\n"
    )
}

fn maintenance(effect: &str, from: Timestamp, to: Timestamp) -> String {
    format!(
        "apiVersion: nines/v1\nkind: Maintenance\nmetadata: {{name: works}}\nspec:\n  services: \
         [shop]\n  effect: {effect}\n  window: {{start: \"{from}\", end: \"{to}\"}}\n"
    )
}

/// Some good seconds and some bad ones, and the moment at which all of it was counted.
fn broken_for_a_while(target: &Target, daemon: &Daemon) -> Timestamp {
    until("good slots", SOON, || daemon.status(specs::SLO).filter(|s| s.totals.good >= 10));
    target.behave(Behaviour::Status(500));
    until("bad slots", SOON, || daemon.status(specs::SLO).filter(|s| s.totals.bad >= 10));
    target.behave(Behaviour::Good);
    let bad = daemon.status(specs::SLO).expect("evaluated").totals.bad;
    let after = |s: &crate::harness::daemon::Status| s.totals.good >= 20 && s.totals.bad >= bad;
    until("good slots again", SOON, || daemon.status(specs::SLO).filter(after)).at
}

#[test]
fn a_correction_changes_the_budget_and_its_withdrawal_gives_the_numbers_back() {
    let target = Target::start();
    let mut daemon = Daemon::start(&specs::one_service(&target.url()), &[LIFECYCLE]);
    let at = broken_for_a_while(&target, &daemon);
    let measured = status_at(&daemon, at);
    let (good, bad) = (count(&measured, "good"), count(&measured, "bad"));
    assert_eq!((count(&measured, "excluded"), &measured["corrected"]), (0, &Value::Bool(false)));
    let counters = daemon.metrics();

    let from = at.minus(Duration::from_secs(3_600));
    daemon.write_specs("fault.yaml", &correction("fault", from, at, "excluded"));
    assert_eq!(daemon.reload().status, 200);
    let corrected = status_at(&daemon, at);
    assert_eq!(count(&corrected, "excluded"), good + bad, "{corrected}");
    assert_eq!((count(&corrected, "good"), count(&corrected, "bad")), (0, 0));
    assert_eq!(corrected["scheduled"], measured["scheduled"]);
    assert_eq!(corrected["corrected"], true);
    until("an evaluation with it", SOON, || {
        (slo(&daemon)["status"]["corrected"] == true).then_some(())
    });
    let now = slo(&daemon);
    let told = &now["amendments"][0];
    assert_eq!(
        (&told["name"], &told["author"], &told["holds"]),
        (&"fault".into(), &"ana".into(), &true.into())
    );
    assert_eq!((count(&told["measured"], "good"), count(&told["measured"], "bad")), (good, bad));
    let page = daemon.get(&format!("/slo/{}", specs::SLO)).text();
    assert!(page.contains("a fault of ours") && page.contains("corrected"), "{page}");
    let shown = nines(&["slo", "show", specs::SLO, "--url", &daemon.url()], SOON);
    assert!(shown.stdout.contains("a fault of ours, by ana"), "{}", shown.stdout);

    // Counters never fall; what was left out is counted besides.
    let sum = |metrics: &Exposition, name: &str| metrics.sum(name, &[]).expect(name);
    let later = daemon.metrics();
    for name in ["nines_slo_good_total", "nines_slo_bad_total"] {
        assert!(sum(&later, name) >= sum(&counters, name), "{name}");
    }
    assert!(sum(&later, "nines_slo_excluded_total") >= (good + bad) as f64);

    // Neither a restart nor a file that is gone takes it back; a changed one is refused.
    assert!(daemon.terminate().success());
    daemon.remove_specs("fault.yaml");
    daemon.restart();
    until("an evaluation", SOON, || daemon.status(specs::SLO));
    assert_eq!(count(&status_at(&daemon, at), "excluded"), good + bad);
    assert!(daemon.logged().contains("in no spec file any more"), "{}", daemon.logged());
    daemon.write_specs("fault.yaml", &correction("fault", from, at, "good"));
    let answer = daemon.reload();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("withdraws: fault"), "{}", answer.text());

    // Withdrawn, with its file put back.
    daemon.write_specs("fault.yaml", &correction("fault", from, at, "excluded"));
    daemon.write_specs("ours.yaml", &withdrawal("ours", "fault"));
    assert_eq!(daemon.reload().status, 200);
    same_numbers(&status_at(&daemon, at), &measured);
    let now = slo(&daemon);
    let told = &now["amendments"][0];
    assert_eq!((&told["holds"], &told["withdrawn_by"][0]), (&false.into(), &"ours".into()));
    assert!(daemon.terminate().success());
    daemon.restart();
    until("an evaluation", SOON, || daemon.status(specs::SLO));
    same_numbers(&status_at(&daemon, at), &measured);
}

/// Everything that is counted up to a moment. What history as a whole supports goes on.
fn same_numbers(one: &Value, other: &Value) {
    for key in [
        "good",
        "bad",
        "unknown",
        "excluded",
        "sli",
        "coverage",
        "budget",
        "accounting",
        "burn",
        "corrected",
    ] {
        assert_eq!(one[key], other[key], "{key}");
    }
}

#[test]
fn excluded_slots_leave_the_sli_and_nobody_is_paged() {
    let (target, webhook) = (Target::start(), Webhook::start());
    let alertmanager = Alertmanager::delivering_to(&webhook.url());
    let args = ["--alertmanager.url", &alertmanager.url(), LIFECYCLE];
    let now = nines::clock::wall_now();
    let (from, to) = (now.minus(Duration::from_secs(60)), now.plus(Duration::from_secs(3_600)));
    let mut daemon = Daemon::prepare(&specs::one_service(&target.url()), &args);
    daemon.write_specs("works.yaml", &maintenance("exclude", from, to));
    target.behave(Behaviour::Status(500));
    daemon.restart();
    let status = until("excluded slots", SOON, || {
        daemon.status(specs::SLO).filter(|status| status.totals.excluded >= 60)
    });
    assert_eq!((status.totals.good, status.totals.bad), (0, 0));
    assert_eq!(webhook.statuses(PAGE), [""; 0]);
    let metrics = daemon.metrics();
    let on = |effect| metrics.sum("nines_slo_maintenance", &[("effect", effect)]);
    assert_eq!((on("exclude"), on("mute")), (Some(1.0), Some(0.0)));
    assert!(metrics.sum("nines_slo_excluded_total", &[]) >= Some(60.0));
    assert_eq!(slo(&daemon)["maintenance"]["exclude"], "works");

    // Without it, the same slots are what they were measured as.
    daemon.remove_specs("works.yaml");
    daemon.signal("HUP");
    until("the page", SOON, || (webhook.statuses(PAGE) == ["firing"]).then_some(()));
    let status = daemon.status(specs::SLO).expect("evaluated");
    assert!(status.totals.bad >= 60 && status.totals.excluded == 0, "{status:?}");
}

#[test]
fn a_mute_keeps_a_page_from_an_alertmanager_until_it_is_over() {
    let (target, webhook) = (Target::start(), Webhook::start());
    let alertmanager = Alertmanager::delivering_to(&webhook.url());
    let args = ["--alertmanager.url", &alertmanager.url(), LIFECYCLE];
    let daemon = Daemon::start(&specs::one_service(&target.url()), &args);
    let now = nines::clock::wall_now();
    let (from, to) = (now.minus(Duration::from_secs(60)), now.plus(Duration::from_secs(3_600)));
    daemon.write_specs("works.yaml", &maintenance("mute", from, to));
    assert_eq!(daemon.reload().status, 200);
    until("good slots", SOON, || daemon.status(specs::SLO).filter(|s| s.totals.good >= 4));
    target.behave(Behaviour::Status(500));
    let muted = |daemon: &Daemon| {
        let alerts = slo(daemon)["alerts"].as_array().cloned().unwrap_or_default();
        let page = alerts.into_iter().find(|alert| alert["name"] == PAGE).expect("declared");
        (page["muted"] == true, page["firing"] == true)
    };
    until("a page that is muted", SOON, || (muted(&daemon) == (true, false)).then_some(()));
    throughout("silence", Duration::from_secs(3), || {
        muted(&daemon) == (true, false) && alertmanager.active(PAGE).is_empty()
    });
    assert_eq!(webhook.statuses(PAGE), [""; 0]);
    let status = daemon.status(specs::SLO).expect("evaluated");
    assert!(status.totals.bad > 8 && status.totals.excluded == 0, "it counts: {status:?}");

    // It ends, and what still holds is told.
    let over = nines::clock::wall_now().floor_second();
    daemon.write_specs("works.yaml", &maintenance("mute", from, over));
    assert_eq!(daemon.reload().status, 200);
    until("the page", SOON, || (webhook.statuses(PAGE) == ["firing"]).then_some(()));
    assert_eq!(muted(&daemon), (false, true));
}
