//! A canary wherever a secret may stand: it reaches the target, and shows up nowhere else.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::harness::daemon::nines;
use crate::harness::process::Ran;
use crate::harness::server::{Reply, Server};
use crate::harness::{Daemon, Webhook, scratch, until};

const CANARY: &str = "c4nary-5ecret";
const SOON: Duration = Duration::from_secs(60);

/// A probe that fails, so that everything there is to say about it is said: with a header from a
/// file, and with a key in its query.
fn specs(url: &str) -> String {
    format!(
        "\
apiVersion: nines/v1
kind: AlertPolicy
metadata: {{name: quick}}
spec: {{pairs: [{{severity: page, long: 10s, short: 5s, budget: 10%}}]}}
---
apiVersion: nines/v1
kind: Service
metadata: {{name: shop, labels: {{team: blue}}}}
spec:
  probes:
    - name: front
      http:
        url: \"{url}/path?token={CANARY}&{CANARY}\"
        headersFromFile: {{Authorization: token.txt}}
      interval: 500ms
      timeout: 500ms
    - {{name: nowhere, http: {{url: \"http://127.0.0.1:9/?key={CANARY}\"}}, interval: 1s}}
    - {{name: nobody, http: {{url: \"https://{host}/?key={CANARY}\"}}, interval: 1s}}
  slos: [{{name: availability, objective: 99%, window: 1h, alerting: {{policy: quick}}}}]
",
        host = url.trim_start_matches("http://"),
    )
}

/// Fails if the canary stands in one of these.
#[track_caller]
fn nowhere(places: &[(&str, &[u8])]) {
    for (place, bytes) in places {
        let found = bytes.windows(CANARY.len()).position(|window| window == CANARY.as_bytes());
        let Some(at) = found else { continue };
        let around = &bytes[at.saturating_sub(80)..(at + 80).min(bytes.len())];
        panic!("{place} shows the secret: …{}…", String::from_utf8_lossy(around));
    }
}

/// Everything below a directory, one after the other.
fn contents(directory: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => all.extend(contents(&path)),
            false => all.extend(std::fs::read(path).expect("readable")),
        }
    }
    all
}

#[test]
fn a_secret_reaches_the_target_and_nothing_else() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    let target = Server::start(move |request| {
        log.lock().unwrap_or_else(PoisonError::into_inner).push(request.path.clone());
        // It repeats what it was told, as debug pages do.
        Some(Reply::text(500, &request.path))
    });
    let pager = Webhook::start();
    let secret = |dir: &Path| std::fs::write(dir.join("token.txt"), format!("Bearer {CANARY}\n"));
    let args = ["--alertmanager.url", &pager.url(), "--log.level", "debug"];
    let daemon = Daemon::start_beside(&specs(&target.url()), &args, secret);
    until("the canary to reach the target", SOON, || {
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().any(|path| path.contains(CANARY)).then_some(())
    });
    let firing = || daemon.metrics().sum("nines_slo_alert_firing", &[("severity", "page")]);
    until("an alert", SOON, || firing().filter(|n| *n > 0.0));
    until("a notification", SOON, || pager.posts().first().map(drop));

    let slo = "/api/v1/slos/shop/availability";
    let paths = [
        "/",
        "/slo/shop/availability",
        "/metrics",
        "/api/v1/services",
        "/api/v1/slos",
        slo,
        &format!("{slo}?range=1m"),
        "/api/v1/alerts",
        "/api/v1/rules",
        "/nothing",
    ];
    for path in paths {
        nowhere(&[(path, &daemon.get(path).body)]);
    }
    for post in pager.posts() {
        nowhere(&[("a notification", &post)]);
    }
    let (storage, printed) = (contents(&daemon.storage()), daemon.printed());
    assert!(storage.len() > 1_000 && printed.contains("serving HTTP"));
    nowhere(&[("the ledger", &storage), ("the log", printed.as_bytes())]);
}

#[test]
fn messages_about_a_secret_do_not_repeat_it() {
    let dir = scratch("secrets");
    let path = dir.path().join("a.yaml");
    let file = path.to_string_lossy();
    let check = |what: &str, ran: Ran| {
        assert_ne!(ran.code, Some(0), "{what}: {ran:?}");
        nowhere(&[(what, ran.stdout.as_bytes()), (what, ran.stderr.as_bytes())]);
    };
    let probe = |http: &str| {
        format!(
            "apiVersion: nines/v1\nkind: Service\nmetadata: {{name: a}}\nspec:\n  \
             probes: [{{name: p, http: {{{http}}}, interval: 1}}]\n"
        )
    };
    for http in [
        format!("url: \"http://ana:{CANARY}@h/\""),
        format!("url: \"http://h/?token={CANARY}\""),
        format!("url: \"ftp://h/?token={CANARY}\""),
        format!("url: \"http://h/#?token={CANARY}\""),
        format!("url: \"http://h/\", headers: {{Authorization: \"{CANARY}\"}}"),
        format!("url: \"http://h/\", headers: {{X-Api-Key: \"{CANARY}\"}}"),
    ] {
        std::fs::write(&path, probe(&http)).expect("writable");
        for format in ["table", "json"] {
            let args = ["check", "--format", format, "--specs", &file];
            check(&http, nines(&args, SOON));
        }
    }
    for url in [format!("http://ana:{CANARY}@h"), format!("http://h/?token={CANARY}")] {
        for flag in ["--alertmanager.url", "--web.external-url"] {
            check(flag, nines(&["run", "--specs", &file, flag, &url], SOON));
        }
        let config = dir.path().join("config.yaml");
        let text = format!("alerting: {{alertmanagers: [\"{url}\"]}}\n");
        std::fs::write(&config, text).expect("writable");
        let config = config.to_string_lossy();
        check("a config", nines(&["check", "--specs", &file, "--config.file", &config], SOON));
    }
    check("a probe", nines(&["probe", &format!("http://ana:{CANARY}@127.0.0.1:9/")], SOON));
    check("a probe", nines(&["probe", &format!("http://127.0.0.1:9/?t={CANARY}")], SOON));
}
