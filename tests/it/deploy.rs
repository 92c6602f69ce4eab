//! The shipped configurations, read by the programs that they are for.

use std::time::Duration;

use crate::harness::{Alertmanager, Webhook, http, promtool, until};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/alertmanager/alertmanager.yml");
const SOON: Duration = Duration::from_secs(30);

#[test]
fn alertmanager_accepts_the_example() {
    let checked = promtool::amtool(&["check-config", CONFIG]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn every_alert_of_ours_reaches_the_right_people() {
    let check = |labels: &[&str], receiver: &str| {
        let verify = format!("--verify.receivers={receiver}");
        let config = format!("--config.file={CONFIG}");
        let args = [&["config", "routes", "test", &config, &verify], labels].concat();
        let routed = promtool::amtool(&args);
        assert_eq!(routed.code, Some(0), "{labels:?}: {routed:?}");
    };
    let slo = "slo=registry/availability";
    let team = "team=platform-build";
    check(&["alertname=NinesErrorBudgetBurnFast", "severity=critical", slo, team], "pages");
    let platform = ["alertname=NinesErrorBudgetBurnFast", "severity=critical", "team=platform"];
    check(&platform, "pages-platform");
    for ticket in ["NinesErrorBudgetBurnSlow", "NinesErrorBudgetExhausted", "NinesNoData"] {
        check(&[&format!("alertname={ticket}"), "severity=warning", slo, team], "tickets");
    }
    check(&["alertname=NinesBlind", "severity=critical", "vantage=local"], "pages");
    check(&["alertname=Watchdog", "severity=none"], "dead-man");
}

/// The inhibition, on a real Alertmanager: a page mutes the tickets of its own SLO, and only those.
#[test]
fn a_page_mutes_the_tickets_of_its_own_slo_alone() {
    let webhook = Webhook::start();
    let alertmanager = Alertmanager::inhibiting(&webhook.url(), &inhibition());
    let alert =
        |name: &str, slo: &str| serde_json::json!({"labels": {"alertname": name, "slo": slo}});
    let alerts = serde_json::json!([
        alert("NinesErrorBudgetBurnFast", "a/x"),
        alert("NinesErrorBudgetBurnSlow", "a/x"),
        alert("NinesErrorBudgetBurnSlow", "b/y"),
    ]);
    send(&alertmanager, alerts);
    let inhibited = |slo: &str| {
        let active = alertmanager.active("NinesErrorBudgetBurnSlow");
        let alert = active.into_iter().find(|alert| alert["labels"]["slo"] == slo)?;
        Some(!alert["status"]["inhibitedBy"].as_array()?.is_empty())
    };
    until("the inhibition", SOON, || inhibited("a/x").filter(|inhibited| *inhibited));
    assert_eq!(inhibited("b/y"), Some(false), "a page muted the ticket of another SLO");
}

/// A monitor that sees nothing says so once, and not once for each SLO.
#[test]
fn a_blind_monitor_mutes_the_lack_of_data_and_nothing_else() {
    let webhook = Webhook::start();
    let alertmanager = Alertmanager::inhibiting(&webhook.url(), &inhibition());
    send(
        &alertmanager,
        serde_json::json!([
            {"labels": {"alertname": "NinesBlind", "severity": "critical", "vantage": "local"}},
            {"labels": {"alertname": "NinesNoData", "slo": "a/x"}},
            {"labels": {"alertname": "NinesErrorBudgetBurnFast", "slo": "a/x"}},
        ]),
    );
    let inhibited = |name: &str| {
        let alert = alertmanager.active(name).into_iter().next()?;
        Some(!alert["status"]["inhibitedBy"].as_array()?.is_empty())
    };
    until("the inhibition", SOON, || inhibited("NinesNoData").filter(|inhibited| *inhibited));
    assert_eq!(inhibited("NinesErrorBudgetBurnFast"), Some(false), "a page is muted");
}

/// The inhibition rules of the example.
fn inhibition() -> String {
    let text = std::fs::read_to_string(CONFIG).expect("shipped");
    let rules =
        text.split_once("inhibit_rules:").and_then(|(_, rest)| rest.split_once("receivers:"));
    rules.expect("the example has inhibition rules").0.to_owned()
}

fn send(alertmanager: &Alertmanager, alerts: serde_json::Value) {
    let url = format!("{}/api/v2/alerts", alertmanager.url());
    let headers = [("Content-Type", "application/json")];
    let answer = http::send("POST", &url, &headers, alerts.to_string().as_bytes());
    assert_eq!(answer.expect("Alertmanager answers").status, 200);
}
