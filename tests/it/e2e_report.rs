//! A running daemon tells what was promised, delivered and owed: over HTTP, on pages, and to
//! `nines report`, which says the same from the ledger beside it.

use std::time::Duration;

use serde_json::Value;

use crate::harness::daemon::nines;
use crate::harness::{Behaviour, Daemon, Target, browser, specs, until};

const SOON: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(60);

const AGREEMENT: &str = "\
---
apiVersion: nines/v1
kind: Application
metadata: {name: checkout, displayName: Check-out, labels: {team: red}}
spec:
  needs: {objective: 90%, window: 1h}
  dependsOn: [{service: shop}]
---
apiVersion: nines/v1
kind: Agreement
metadata: {name: shop-for-checkout}
spec:
  service: shop
  slo: availability
  customer: checkout
  objective: 98%
  window: {calendar: year}
  credits: [{below: 98%, credit: 10%}, {below: 50%, credit: 100%}]
";

#[test]
fn a_daemon_reports_an_outage_with_its_reason_and_what_it_owes() {
    let target = Target::start();
    let specs = specs::one_service(&target.url()) + AGREEMENT;
    let daemon = Daemon::start(&specs, &[]);
    let report = |kind: &str, name: &str| {
        let answer = daemon.get(&format!("/api/v1/reports/{kind}/{name}?period=last-1d"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let slo = || report("service", "shop")["slos"][0].clone();
    until("good results", SOON, || (slo()["good"].as_u64() >= Some(4)).then_some(()));
    target.behave(Behaviour::Status(503));
    until("an outage", SOON, || (slo()["bad"].as_u64() >= Some(4)).then_some(()));
    target.behave(Behaviour::default());
    let is_over = |slo: &Value| {
        slo["incidents"].as_array().is_some_and(|all| all.len() == 1 && all[0]["open"] == false)
    };
    let now = until("its end", SOON, || Some(slo()).filter(is_over));

    let incident = &now["incidents"][0];
    let reasons = incident["reasons"].as_array().expect("a list");
    assert_eq!(reasons[0]["reason"], "status", "{incident}");
    let all: u64 = reasons.iter().filter_map(|one| one["n"].as_u64()).sum();
    assert_eq!(all.to_string(), incident["bad_events"].as_str().expect("a count"));
    assert_eq!(now["kept"], "broken", "more than 1 % is bad");
    assert_eq!(now["evidence"]["state"], "breached");
    // More than a tenth is bad where one in a hundred may be: nobody reads that as -1,000 %.
    let listed = nines(&["slo", "list", "--url", &daemon.url()], LIMIT);
    assert!(listed.stdout.contains("times over ("), "{}{}", listed.stdout, listed.stderr);
    let home = browser::dom(&daemon.url());
    assert!(home.contains("times over</span>") && !home.contains(">-"), "{home}");
    let minute = until("a minute of history", SOON * 3, || {
        let slo = slo();
        let all = slo["worst"].as_array().expect("a list").clone();
        all.into_iter().find(|one| one["length"] == "1m")
    });
    assert!(minute["bad"].as_u64() >= Some(4), "{minute}");

    let application = report("application", "checkout");
    assert_eq!(application["application"]["objective"], "0.9");
    let settled = &application["agreements"][0]["periods"][0];
    assert_eq!((&settled["over"], &settled["credit"]), (&false.into(), &"0.1".into()), "{settled}");
    assert_eq!(report("team", "blue")["slos"].as_array().map(Vec::len), Some(1));
    let missing = daemon.get("/api/v1/reports/service/shpo");
    assert_eq!(missing.status, 404, "{}", missing.text());
    assert!(missing.text().contains("shop"), "{}", missing.text());
    let wrong = daemon.get("/api/v1/reports/service/shop?period=2026-13");
    assert_eq!((wrong.status, wrong.text().contains("2026-Q4")), (400, true), "{}", wrong.text());
    let agreements = daemon.get("/api/v1/agreements").json();
    assert_eq!(agreements["agreements"][0]["credits"][1]["credit"], "1");

    let incidents = daemon.get("/api/v1/incidents?team=blue").json();
    assert_eq!(incidents["schema"], "nines.incidents/v1");
    let start = &incidents["incidents"][0]["start"];
    assert_eq!((start, &incidents["incidents"][0]["team"]), (&incident["start"], &"blue".into()));
    assert_eq!(daemon.get("/api/v1/incidents?period=2026").status, 400, "a year is too long");

    let page = browser::dom(&format!("{}/report/service/shop?period=last-1d", daemon.url()));
    let began = incident["shown"]["start"].as_str().expect("a time");
    let counted = "of 1 d counted, which allows";
    for part in
        [counted, "shop/availability", "Broken", "a credit of 10% is owed so far", "status", began]
    {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    let page = browser::dom(&format!("{}/incidents", daemon.url()));
    assert!(page.contains("1 incident, over.") && page.contains(began), "{page}");

    // From the ledger, beside the daemon that writes it, and from the daemon: the same.
    let (specs, storage) = (daemon.specs().display().to_string(), daemon.storage());
    let storage = storage.display().to_string();
    let mut args =
        vec!["report", "--service", "shop", "--period", "last-1d", "--fail-on", "broken"];
    args.extend(["--specs", &specs, "--storage.path", &storage, "--format", "json"]);
    let ran = nines(&args, LIMIT);
    assert_eq!(ran.code, Some(4), "{}{}", ran.stdout, ran.stderr);
    let read: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    // A busy machine may have added a timeout meanwhile; what failed by its status is the same.
    let first = &read["slos"][0]["incidents"][0];
    assert_eq!(first["reasons"][0], incident["reasons"][0]);
    assert_eq!(first["start"], incident["start"]);
    let url = daemon.url();
    let args = ["report", "--application", "checkout", "--period", "last-1d", "--url", &url];
    let ran = nines(&args, LIMIT);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("a credit of 10% is owed so far (below 98%)"), "{}", ran.stdout);
}

#[test]
fn the_evidence_of_an_slo_says_when_it_can_be_proven() {
    let target = Target::start();
    let daemon = Daemon::start(&specs::one_service(&target.url()), &[]);
    let status = |daemon: &Daemon| {
        let slo = daemon.get("/api/v1/slos/shop/availability").json();
        Some(slo["slo"]["status"].clone()).filter(|status| status["good"].as_u64() >= Some(2))
    };
    let status = until("results", SOON, || status(&daemon));
    assert_eq!(status["evidence"], "not yet proven");
    let proof = &status["proof"];
    assert_eq!((&proof["outages"], &proof["assumed_outage_seconds"]), (&0.into(), &"300".into()));
    // 3.788 * 300 s / 1 % = 113,640 s, a day and 7.6 h after the first probe.
    let at = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).expect("a time");
    let (since, earliest): (nines::model::Timestamp, nines::model::Timestamp) =
        (at(&proof["since"]), at(&proof["earliest"]));
    let wait = earliest.since(since).as_secs();
    assert!((113_600..113_900).contains(&wait), "{wait} s, {proof}");
    // One outage of the assumed 300 s would be too much for the 36 s that an hour allows.
    let (holds, quiet) = (&status["survival"], &status["quiet"]);
    assert!(quiet["chance"].is_string(), "{status}");
    assert_eq!((&holds["seconds"], &holds["chance"]), (&quiet["seconds"], &quiet["chance"]));
    let ran = nines(&["slo", "show", "shop/availability", "--url", &daemon.url()], LIMIT);
    assert!(ran.stdout.contains("that it is not overspent in 1 h"), "{}", ran.stdout);
    assert!(ran.stdout.contains("at the earliest"), "{}", ran.stdout);
    assert!(ran.stdout.contains("that no outage begins in 1 h"), "{}", ran.stdout);
    let page = browser::dom(&format!("{}/slo/shop/availability", daemon.url()));
    assert!(page.contains("it is proven on"), "{page}");
    assert!(page.contains("likely, over 1 h, if outages go on as they came"), "{page}");
}
