//! A running daemon says whether it carries an application: to programs, to Prometheus, to
//! people, and to `nines fit`, which says the same from the ledger afterwards.

use std::time::Duration;

use serde_json::Value;

use crate::harness::daemon::nines;
use crate::harness::{Daemon, Target, browser, specs, until};

const SOON: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(60);

const APPLICATIONS: &str = "\
---
apiVersion: nines/v1
kind: Application
metadata: {name: checkout, displayName: Check-out, labels: {team: red}}
spec:
  needs: {objective: 98%, window: 1h}
  reserve: 10%
  dependsOn: [{service: shop}]
---
apiVersion: nines/v1
kind: Application
metadata: {name: dreams}
spec:
  needs: {objective: 99.999%, window: 1h}
  dependsOn: [{service: shop}]
";

fn gate<'v>(fit: &'v Value, name: &str) -> &'v Value {
    let gates = fit["applications"][0]["gates"].as_array().expect("gates");
    gates.iter().find(|gate| gate["gate"] == name).expect(name)
}

#[test]
fn a_daemon_tells_whether_it_carries_its_applications() {
    let target = Target::start();
    let text = format!("{}{APPLICATIONS}", specs::one_service(&target.url()));
    let mut daemon = Daemon::start(&text, &[]);
    let fit = |daemon: &Daemon| daemon.get("/api/v1/applications/checkout/fit").json();
    let seen = |daemon: &Daemon| {
        let fit = fit(daemon);
        let sli = fit["applications"][0]["dependencies"][0]["of"][0]["measured"]["sli"].clone();
        (sli == "1").then_some(fit)
    };
    let now = until("a measurement beside the promise", SOON, || seen(&daemon));
    assert_eq!(
        (&now["schema"], &gate(&now, "dependencies")["answer"]),
        (&"nines.fit/v1".into(), &"pass".into())
    );
    assert_eq!(gate(&now, "support")["answer"], "unknown");

    let all = daemon.get("/api/v1/applications").json();
    let names: Vec<&Value> = all["applications"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["application"])
        .collect();
    assert_eq!(names, ["checkout", "dreams"]);
    let side = daemon.get("/api/v1/services/shop/fit").json();
    assert_eq!(side["fixes"], serde_json::json!([{"objective": "0.99999", "supports": 1}]));
    let missing = daemon.get("/api/v1/applications/chekout/fit");
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("there are checkout, dreams"), "{}", missing.text());

    let metrics = daemon.metrics();
    let of = |name: &str, gate: &str| {
        let mut samples = metrics.samples.iter();
        let is = |s: &&crate::harness::exposition::Sample| {
            s.name == "nines_application_fit"
                && s.labels["application"] == name
                && s.labels["gate"] == gate
        };
        samples.find(is).map(|sample| sample.value)
    };
    assert_eq!(of("checkout", "dependencies"), Some(1.0));
    assert_eq!(of("dreams", "dependencies"), Some(0.0));
    assert_eq!(of("checkout", "support"), None, "what nobody can tell has no sample");
    let offered = metrics.samples.iter().find(|s| {
        s.name == "nines_application_supported_ratio" && s.labels["application"] == "dreams"
    });
    assert!(offered.is_some_and(|sample| sample.value < 0.99999), "{offered:?}");

    let page = browser::dom(&format!("{}/application/checkout", daemon.url()));
    for part in ["Check-out", "Needs 98 % over 1h", "own-share", "What it depends on", "100 %"] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert!(browser::dom(&format!("{}/applications", daemon.url())).contains("Does not fit"));

    let url = daemon.url();
    let ran = nines(&["fit", "dreams", "--url", &url, "--fail-on", "fail"], LIMIT);
    assert_eq!(ran.code, Some(4), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.starts_with("dreams: 99.999% over 1h: fail\n"), "{}", ran.stdout);
    let ran = nines(&["fit", "checkout", "--url", &url, "--fail-on", "fail"], LIMIT);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);

    assert!(daemon.terminate().success());
    let (specs, storage) = (daemon.specs(), daemon.storage());
    let (specs, storage) = (specs.display().to_string(), storage.display().to_string());
    let args =
        ["fit", "checkout", "--specs", &specs, "--storage.path", &storage, "--format", "json"];
    let ran = nines(&args, LIMIT);
    let after: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let measured = &after["applications"][0]["dependencies"][0]["of"][0]["measured"];
    assert_eq!(measured["sli"], "1", "{}", ran.stderr);
}
