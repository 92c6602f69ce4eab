//! The shipped configurations, read by the programs that they are for.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::daemon::BINARY;
use crate::harness::process::Process;
use crate::harness::{Alertmanager, Target, Webhook, http, ports, promtool, scratch, specs, until};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/alertmanager/alertmanager.yml");
/// Where everything is that is shipped.
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
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

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(DEPLOY).join(name)).expect("shipped")
}

/// The command line, the reload and the stop of the unit, with the paths of a machine in a
/// directory of our own.
#[test]
fn the_daemon_lives_by_the_unit_and_the_config() {
    let (dir, target, at) = (scratch("unit"), Target::start(), ports::free().to_string());
    let specs_dir = dir.path().join("slo-specs");
    std::fs::create_dir(&specs_dir).expect("a writable directory");
    std::fs::write(specs_dir.join("shop.yaml"), specs::one_service(&target.url())).expect("ours");
    let etc = dir.path().display().to_string();
    let config = shipped("nines.yml")
        .replace("/etc/nines", &etc)
        .replace("/var/lib/nines", &format!("{etc}/data"))
        .replace("127.0.0.1:10099", &at);
    assert!(config.contains(&format!("specs: [{etc}/slo-specs]")) && config.contains(&at));
    std::fs::write(dir.path().join("nines.yml"), config).expect("a writable directory");

    let unit = shipped("systemd/nines.service");
    let set = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("the unit sets no {key}"))
    };
    let started = set("ExecStart").strip_prefix("/usr/local/bin/nines ").expect("our binary");
    let started = started.replace("/etc/nines", &etc);
    let mut command = Command::new(BINARY);
    command.args(started.split(' '));
    let mut daemon = Process::start("nines", &mut command, dir.path().join("nines.log"));
    daemon.answers(&format!("http://{at}/-/ready"), SOON);
    assert!(dir.path().join("data/ledger.db").exists());

    assert_eq!(set("ExecReload"), "/bin/kill -HUP $MAINPID");
    daemon.signal("HUP");
    until("the reload", SOON, || daemon.printed().contains("reloaded").then_some(()));
    assert_eq!(daemon.terminate().code(), Some(0));

    std::fs::write(specs_dir.join("shop.yaml"), "kind: Shop\n").expect("ours");
    let wrong = Process::start("nines", &mut command, dir.path().join("wrong.log")).wait(SOON);
    let final_codes: Vec<_> = set("RestartPreventExitStatus").split(' ').collect();
    let code = wrong.code().expect("it ended by itself").to_string();
    assert!(final_codes.contains(&code.as_str()), "{code} would be tried again for ever");
}

#[test]
fn prometheus_accepts_the_example_and_the_rules_beside_it() {
    let dir = scratch("prometheus");
    let target = "http://127.0.0.1:1";
    std::fs::write(dir.path().join("specs.yaml"), specs::one_service(target)).expect("writable");
    let rules = Command::new(BINARY).arg("rules").arg("--specs").arg(dir.path()).output();
    let rules = rules.expect("nines runs");
    assert!(rules.status.success());
    let config = shipped("prometheus/prometheus.yml");
    let name = "nines-rules.yml";
    assert!(config.contains(&format!("rule_files: [{name}]")));
    std::fs::write(dir.path().join(name), rules.stdout).expect("writable");
    std::fs::write(dir.path().join("prometheus.yml"), config).expect("writable");
    let checked = promtool::check_config(&dir.path().join("prometheus.yml"));
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("rules found"), "{checked:?}");
}
