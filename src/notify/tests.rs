//! Deliveries over loopback, against Alertmanagers that answer as they are told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::model::Timestamp;

/// A notice about an SLO.
pub fn notice(slo: &str, resolved: bool) -> Notice {
    let at = Timestamp::from_secs(1_769_904_007);
    Notice {
        labels: BTreeMap::from([("alertname", "NinesNoData".to_owned()), ("slo", slo.to_owned())]),
        annotations: BTreeMap::from([("summary".to_owned(), format!("{slo}."))]),
        starts_at: at,
        ends_at: at.plus(Duration::from_secs(240)),
        resolved,
        path: format!("/slo/{slo}?at={at}"),
    }
}

/// What a fake Alertmanager does with its next request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer(u16),
    Hang,
}

/// A request as it arrived.
#[derive(Debug)]
struct Got {
    path: String,
    authorization: Option<String>,
    slos: Vec<String>,
    body: Value,
}

#[derive(Clone)]
struct Fake {
    acts: Arc<Mutex<VecDeque<Act>>>,
    got: mpsc::UnboundedSender<Got>,
}

/// An Alertmanager that acts in this order and then accepts; its address, and what it got.
async fn alertmanager(acts: &[Act]) -> (String, mpsc::UnboundedReceiver<Got>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let acts = Arc::new(Mutex::new(acts.iter().copied().collect()));
    let fake = Fake { acts, got: sender };
    let app = Router::new()
        .route("/api/v2/alerts", post(receive))
        .route("/prefix/api/v2/alerts", post(receive))
        .with_state(fake);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, receiver)
}

async fn receive(
    State(fake): State<Fake>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let alerts = body.as_array().expect("an array");
    let slos = alerts.iter().map(|a| a["labels"]["slo"].as_str().expect("text").to_owned());
    let authorization = headers.get("authorization").and_then(|v| v.to_str().ok());
    let got = Got {
        path: uri.path().to_owned(),
        authorization: authorization.map(str::to_owned),
        slos: slos.collect(),
        body: body.clone(),
    };
    fake.got.send(got).expect("the test listens");
    let act = fake.acts.lock().expect("no panic").pop_front();
    match act.unwrap_or(Act::Answer(200)) {
        Act::Answer(status) => (StatusCode::from_u16(status).expect("valid"), "because"),
        Act::Hang => std::future::pending().await,
    }
}

fn start(urls: &[&str]) -> Notifier {
    let patience = Patience {
        timeout: Duration::from_millis(300),
        pause_min: Duration::from_millis(1),
        pause_max: Duration::from_millis(4),
        age_max: Duration::from_secs(60),
    };
    let alertmanagers = urls.iter().map(|url| (*url).to_owned()).collect();
    let external_url = "http://nines.example".to_owned();
    Notifier::start(&Config { alertmanagers, external_url, patience }).expect("valid")
}

const ENOUGH: Duration = Duration::from_secs(30);

/// The counters after everything was sent or given up.
async fn drained(notifier: Notifier) -> Vec<(u64, u64, u64, usize)> {
    let handle = notifier.handle();
    notifier.drain(ENOUGH).await;
    let readings = handle.readings();
    readings.iter().map(|r| (r.sent, r.errors, r.dropped, r.queue_length)).collect()
}

#[tokio::test]
async fn an_alert_arrives_in_the_form_of_version_2() {
    let (url, mut got) = alertmanager(&[]).await;
    let url = url.replace("http://", "http://ana:secret@") + "/prefix/";
    let notifier = start(&[&url]);
    notifier.handle().send([notice("a/b", false)]);
    let request = got.recv().await.expect("one request");
    assert_eq!(request.path, "/prefix/api/v2/alerts");
    assert_eq!(request.authorization.as_deref(), Some("Basic YW5hOnNlY3JldA=="));
    insta::assert_snapshot!(request.body, @r#"[{"annotations":{"summary":"a/b."},"endsAt":"2026-02-01T00:04:07Z","generatorURL":"http://nines.example/slo/a/b?at=2026-02-01T00:00:07Z","labels":{"alertname":"NinesNoData","slo":"a/b"},"startsAt":"2026-02-01T00:00:07Z"}]"#);
    let label = notifier.handle().readings()[0].alertmanager.clone();
    assert!(label.ends_with("/prefix") && !label.contains("secret"), "{label}");
    assert_eq!(drained(notifier).await, [(1, 0, 0, 0)]);
}

#[tokio::test]
async fn what_is_refused_is_counted_and_never_sent_again() {
    let (url, mut got) = alertmanager(&[Act::Answer(400)]).await;
    let notifier = start(&[&url]);
    notifier.handle().send([notice("a", false)]);
    assert_eq!(got.recv().await.expect("a request").slos, ["a"]);
    assert_eq!(drained(notifier).await, [(0, 1, 1, 0)]);
    assert!(got.try_recv().is_err(), "sent again");
}

#[tokio::test]
async fn what_fails_is_sent_again_in_order_until_it_is_accepted() {
    let (url, mut got) = alertmanager(&[Act::Answer(500), Act::Hang, Act::Answer(503)]).await;
    let notifier = start(&[&url]);
    notifier.handle().send(["a", "b", "c"].map(|slo| notice(slo, false)));
    for _ in 0..4 {
        assert_eq!(got.recv().await.expect("a request").slos, ["a", "b", "c"]);
    }
    assert_eq!(notifier.handle().readings().len(), 1);
    assert_eq!(drained(notifier).await, [(3, 9, 0, 0)]);
    assert!(got.try_recv().is_err(), "sent twice");
}

#[tokio::test]
async fn something_newer_replaces_what_failed() {
    let (url, mut got) = alertmanager(&[Act::Hang]).await;
    let notifier = start(&[&url]);
    notifier.handle().send([notice("a", false)]);
    got.recv().await.expect("the request that hangs");
    notifier.handle().send([notice("a", true)]);
    assert_eq!(got.recv().await.expect("a request").slos, ["a"]);
    assert_eq!(drained(notifier).await, [(1, 1, 0, 0)]);
    assert!(got.try_recv().is_err(), "the older one was sent too");
}

#[tokio::test]
async fn one_that_is_down_delays_no_other() {
    // Bound but not listening: refuses, and nobody else gets the port.
    let closed = tokio::net::TcpSocket::new_v4().expect("a socket");
    closed.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let dead = format!("http://{}", closed.local_addr().expect("bound"));
    let (url, mut got) = alertmanager(&[]).await;
    let notifier = start(&[&dead, &url]);
    assert_eq!(notifier.handle().delivering(), None);
    notifier.handle().send([notice("a", false)]);
    assert_eq!(got.recv().await.expect("a request").slos, ["a"]);
    let handle = notifier.handle();
    notifier.drain(Duration::from_millis(50)).await;
    let readings = handle.readings();
    assert_eq!((readings[1].sent, readings[1].dropped), (1, 0));
    assert_eq!((readings[0].sent, readings[0].dropped), (0, 1));
    assert!(readings[0].errors >= 1);
    assert_eq!(handle.delivering(), Some(true));
}

#[tokio::test]
async fn large_sets_go_out_in_batches_and_in_order() {
    let (url, mut got) = alertmanager(&[]).await;
    let notifier = start(&[&url]);
    let slos: Vec<String> = (0..150).map(|n| format!("s{n:03}")).collect();
    notifier.handle().send(slos.iter().map(|slo| notice(slo, false)));
    assert_eq!(drained(notifier).await, [(150, 0, 0, 0)]);
    let (mut arrived, mut sizes) = (Vec::new(), Vec::new());
    while let Ok(request) = got.try_recv() {
        sizes.push(request.slos.len());
        arrived.extend(request.slos);
    }
    assert_eq!(arrived, slos);
    assert!(sizes.iter().all(|size| *size <= queue::MAX_BATCH), "{sizes:?}");
}

#[tokio::test]
async fn draining_ends_at_its_deadline_and_counts_what_is_lost() {
    let (url, mut got) = alertmanager(&[Act::Hang, Act::Hang, Act::Hang, Act::Hang]).await;
    let notifier = start(&[&url]);
    notifier.handle().send([notice("a", false), notice("b", false)]);
    got.recv().await.expect("the request that hangs");
    let handle = notifier.handle();
    notifier.drain(Duration::from_millis(20)).await;
    let reading = &handle.readings()[0];
    assert_eq!((reading.sent, reading.dropped, reading.queue_length), (0, 2, 0));
}

#[tokio::test]
async fn urls_are_checked_before_anything_starts() {
    let config = |urls: &[&str]| Config {
        alertmanagers: urls.iter().map(|url| (*url).to_owned()).collect(),
        external_url: String::new(),
        patience: Patience::default(),
    };
    let error = |urls: &[&str]| Notifier::start(&config(urls)).expect_err("invalid").to_string();
    assert_eq!(
        error(&["http://a:9093", "http://u:p@a:9093/"]),
        "alertmanager \"http://a:9093\" is listed twice; remove one of the two"
    );
    insta::assert_snapshot!(error(&["http://am?x"]), @r#"alertmanager "http://am": has a query or a fragment; write it like http://alertmanager.example:9093"#);
}
