//! The surface over real connections, and the bounds on them.

use std::io::Read as _;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;
use crate::serve::fixture::{self, Held};
use crate::serve::{Command, Readiness, ReloadFailure};

/// A server over the fixture's platform, and how to stop it.
struct Running {
    addr: SocketAddr,
    held: Option<Held>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("text")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

fn start() -> Running {
    start_with(HEAD_TIMEOUT)
}

fn start_with(head_timeout: Duration) -> Running {
    let held = fixture::held(fixture::platform());
    let mut server = Server::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    server.head_timeout = head_timeout;
    let addr = server.local_addr();
    let (stop, stopped) = oneshot::channel();
    let site = held.site.clone();
    let shutdown = async { drop(stopped.await) };
    let task = tokio::spawn(server.run(site, shutdown));
    Running { addr, held: Some(held), stop, task }
}

impl Running {
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let stream = TcpStream::connect(self.addr).await.expect("the server listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        let mut request = Request::builder().method(method).uri(path);
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", "nines");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let exchange = async {
            let response = sender.send_request(request).await.expect("an answer");
            let (parts, body) = response.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            Answer { status: parts.status, headers: parts.headers, body }
        };
        tokio::select! {
            answer = exchange => answer,
            _ = connection => panic!("the connection ended before the answer"),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[]).await
    }

    async fn problem(&self, path: &str) -> (u16, String) {
        let answer = self.get(path).await;
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let json = answer.json();
        assert_eq!(json["status"], answer.status.as_u16());
        (answer.status.as_u16(), json["detail"].as_str().expect("text").to_owned())
    }
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let first = Server::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let error = Server::bind(first.local_addr()).expect_err("taken");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains("another process listens there already"), "{error}");
    assert!(error.to_string().contains(&first.local_addr().to_string()), "{error}");
}

#[tokio::test]
async fn health_is_constant_and_readiness_is_told() {
    let server = start();
    assert_eq!(server.get("/-/healthy").await.status, StatusCode::OK);
    let (status, why) = server.problem("/-/ready").await;
    assert_eq!((status, why.as_str()), (503, "not ready: history is read"));
    let held = server.held.as_ref().expect("held");
    held.ready.send(Readiness::Ready).expect("the site listens");
    assert_eq!(server.get("/-/ready").await.status, StatusCode::OK);
}

#[tokio::test]
async fn reload_tells_how_it_went_and_quit_is_passed_on() {
    let mut server = start();
    let mut held = server.held.take().expect("held");
    let daemon = async {
        let refused = ReloadFailure::Refused(vec!["b.yaml:3: no".to_owned()]);
        let failed = ReloadFailure::Failed("no room".to_owned());
        for result in [Ok(()), Err(refused.into()), Err(failed.into())] {
            match held.commands.recv().await {
                Some(Command::Reload(answer)) => answer.send(result).expect("somebody waits"),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(held.commands.recv().await, Some(Command::Quit)));
    };
    let people = async {
        assert_eq!(server.send("POST", "/-/reload", &[]).await.status, StatusCode::OK);
        let refused = server.send("PUT", "/-/reload", &[]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.text().contains("b.yaml:3"), "{}", refused.text());
        let failed = server.send("PUT", "/-/reload", &[]).await;
        assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(server.send("POST", "/-/quit", &[]).await.status, StatusCode::OK);
    };
    tokio::join!(daemon, people);
}

#[tokio::test]
async fn lifecycle_requests_are_refused_unless_enabled() {
    let server = start();
    let held = server.held.as_ref().expect("held");
    held.site.settings.store(crate::model::Settings::default().into());
    for path in ["/-/reload", "/-/quit"] {
        let answer = server.send("POST", path, &[]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(answer.text().contains("--web.enable-lifecycle"));
    }
    let answer = server.send("GET", "/-/reload", &[]).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow").replace(' ', ""), "PUT,POST");
}

#[tokio::test]
async fn a_page_of_another_site_cannot_make_its_reader_reload_or_quit() {
    let mut server = start();
    let held = server.held.take().expect("held");
    let own = format!("http://{}", server.addr);
    let host = server.addr.to_string();
    let host = ("host", host.as_str());
    for foreign in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("origin", "")],
    ] {
        let headers = [&[host][..], foreign].concat();
        for path in ["/-/quit", "/-/reload"] {
            let answer = server.send("POST", path, &headers).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{foreign:?}");
            assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
        }
        assert_eq!(server.send("GET", "/", &headers).await.status, StatusCode::OK);
    }
    drop(held);
    for ours in [&[][..], &[("sec-fetch-site", "same-origin")], &[("origin", own.as_str())]] {
        let headers = [&[host][..], ours].concat();
        // Passed on, to a daemon that is gone.
        let answer = server.send("POST", "/-/quit", &headers).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{ours:?}");
    }
}

#[tokio::test]
async fn scrapes_are_negotiated_compressed_and_timed() {
    let server = start();
    let plain = server.get("/metrics").await;
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(plain.text().contains("nines_build_info{version="));
    assert!(plain.text().contains("nines_http_connections 1\n"));

    let open = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.2";
    let headers = [("accept", open), ("accept-encoding", "gzip")];
    let answer = server.send("GET", "/metrics", &headers).await;
    assert_eq!(
        answer.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
    );
    assert_eq!(answer.header("content-encoding"), "gzip");
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&*answer.body);
    decoder.read_to_string(&mut text).expect("gzip");
    assert!(text.ends_with("# EOF\n"));
    let exposed =
        text.lines().find_map(|l| l.strip_prefix("nines_exposed_series ")).expect("there");
    let n = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(exposed.parse(), Ok(n));

    let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                  encoding=delimited,*/*;q=0.2";
    let answer = server.send("GET", "/metrics", &[("accept", native)]).await;
    let kind = answer.header("content-type");
    assert!(kind.starts_with("application/vnd.google.protobuf; proto="), "{kind}");
    // Its first field is the family's name, behind the length of the whole.
    assert_eq!(&answer.body[1..19], b"\x0a\x10nines_build_info");

    let headers = [("x-prometheus-scrape-timeout-seconds", "0")];
    let late = server.send("GET", "/metrics", &headers).await;
    assert_eq!(late.status, StatusCode::SERVICE_UNAVAILABLE);
    let headers = [("x-prometheus-scrape-timeout-seconds", "10")];
    assert_eq!(server.send("GET", "/metrics", &headers).await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_is_marked_and_head_has_no_body() {
    let server = start();
    for path in ["/", "/slo/dns/availability", "/metrics", "/nowhere", "/api/v1/slos"] {
        let answer = server.get(path).await;
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let head = server.send("HEAD", "/metrics", &[]).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    let post = server.send("POST", "/metrics", &[]).await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post.header("content-type"), "application/problem+json");
    // The body that is promised here never comes; the answer does not wait for it.
    let mut stream = TcpStream::connect(server.addr).await.expect("the server listens");
    let head = b"POST /-/reload HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
    stream.write_all(head).await.expect("writes");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, *b"HTTP/1.1 413");
}

#[tokio::test]
async fn services_and_slos_are_listed_and_filtered() {
    let server = start();
    let services = server.get("/api/v1/services").await.json();
    assert_eq!(services["schema"], "nines.services/v1");
    let first = &services["services"][0];
    insta::assert_snapshot!(first, @r###"{"depends_on":[],"description":null,"labels":{"app.example/tier":"gold \"1\"","team":"platform-build"},"links":{"runbook":"https://runbooks.example/it"},"name":"artifact-registry","probes":[{"id":"artifact-registry/probe","interval":"5s","kind":"http","target":"https://registry.example/v2/","timeout":"2s"}],"slos":["artifact-registry/availability","artifact-registry/latency"],"support":null,"team":"platform-build","title":"artifact-registry"}"###);
    let ids = |json: &Value| {
        let slos = json["slos"].as_array().expect("an array");
        slos.iter().map(|slo| slo["id"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let all = server.get("/api/v1/slos").await.json();
    assert_eq!((all["schema"].as_str(), ids(&all).len()), (Some("nines.slos/v1"), 7));
    let of_team = server.get("/api/v1/slos?team=platform-net").await.json();
    assert_eq!(ids(&of_team), ["dns/availability", "ingress/availability"]);
    let of_both = server.get("/api/v1/slos?team=platform-net&service=dns").await.json();
    assert_eq!(ids(&of_both), ["dns/availability"]);
    let (status, detail) = server.problem("/api/v1/slos?tema=x").await;
    assert_eq!(status, 400);
    assert!(detail.contains("tema") && detail.contains("team and service"), "{detail}");
}

#[tokio::test]
async fn one_slo_is_shown_now_then_and_over_a_range() {
    let server = start();
    let path = "/api/v1/slos/artifact-registry/availability";
    let json = server.get(path).await.json();
    assert_eq!(json["schema"], "nines.slo/v1");
    let slo = &json["slo"];
    assert_eq!((slo["objective"].as_str(), slo["window"].as_str()), (Some("0.9995"), Some("30d")));
    assert_eq!(slo["status"]["bad"], 24);
    assert_eq!(slo["status"]["budget"]["left_ratio"], "0.907407407");
    assert_eq!(slo["alerts"][0]["name"], "NinesErrorBudgetBurnFast");
    assert_eq!(slo["alerts"][0]["firing"], true);

    let minute_ago = fixture::NOW.minus(Duration::from_secs(60));
    for at in [minute_ago.to_string(), (minute_ago.micros() / 1_000_000).to_string()] {
        let then = server.get(&format!("{path}?at={at}")).await.json();
        assert_eq!(then["slo"]["status"]["at"], minute_ago.to_string());
        assert_eq!(then["slo"]["status"]["bad"], 12);
    }
    let range = server.get(&format!("{path}?range=2m&at={}", fixture::NOW)).await.json();
    let states = range["slo"]["states"].as_array().expect("an array");
    let bad: Vec<_> = states.iter().map(|s| s["bad"].as_u64().expect("a number")).collect();
    assert_eq!((states.len(), bad.first(), bad.last()), (121, Some(&0), Some(&24)));
    assert!(bad.is_sorted());
    let long = server.get(&format!("{path}?range=3d&at={}", fixture::NOW)).await.json();
    assert_eq!(long["slo"]["states"].as_array().map(Vec::len), Some(241));

    for (query, status, part) in [
        (
            "/api/v1/slos/artifact-registry/availability?at=2090-01-01T00:00:00Z",
            400,
            "not come yet",
        ),
        ("/api/v1/slos/artifact-registry/availability?at=soon", 400, "soon"),
        ("/api/v1/slos/artifact-registry/availability?range=1y", 400, "30d"),
        ("/api/v1/slos/artifact-registry/speed", 404, "artifact-registry/latency"),
        ("/api/v1/slos/x/y", 404, "there are artifact-registry/availability"),
        ("/slo/dns/speed", 404, "dns/availability"),
        ("/slo/dns/availability?at=soon", 400, "soon"),
        ("/?state=green", 400, "no-data"),
        ("/static/secret", 404, "no such file"),
        ("/api/v2/slos", 404, "nothing at /api/v2/slos"),
    ] {
        let (got, detail) = server.problem(query).await;
        assert_eq!(got, status, "{query}");
        assert!(detail.contains(part), "{query}: {detail}");
    }
}

#[tokio::test]
async fn alerts_and_rules_have_the_shape_of_prometheus() {
    let server = start();
    let alerts = server.get("/api/v1/alerts").await.json();
    assert_eq!(alerts["status"], "success");
    let alerts = alerts["data"]["alerts"].as_array().expect("an array").clone();
    let firing: Vec<String> = alerts
        .iter()
        .map(|a| format!("{} {} {}", a["labels"]["alertname"], a["labels"]["slo"], a["state"]))
        .collect();
    insta::assert_snapshot!(firing.join("\n"), @r###"
    "NinesErrorBudgetBurnFast" "artifact-registry/availability" "firing"
    "NinesNoData" "ingress/availability" "firing"
    "NinesErrorBudgetExhausted" "postgres/availability" "firing"
    "###);
    assert_eq!(alerts[0]["value"], "66.666666666");
    assert!(alerts[0]["activeAt"].as_str().is_some_and(|at| at.ends_with('Z')));

    let rules = server.get("/api/v1/rules").await.json();
    let groups = rules["data"]["groups"].as_array().expect("an array");
    let names: Vec<_> = groups.iter().map(|g| g["name"].as_str().expect("text")).collect();
    assert_eq!(
        names,
        ["artifact-registry", "ci-runners", "dns", "ingress", "object-store", "postgres", "nines"]
    );
    let of_registry = groups[0]["rules"].as_array().expect("an array");
    assert_eq!(of_registry.len(), 8);
    let rule = &of_registry[0];
    assert_eq!((&rule["type"], &rule["state"]), (&"alerting".into(), &"firing".into()));
    assert_eq!(rule["alerts"].as_array().map(Vec::len), Some(1));
    for rule in groups.iter().flat_map(|g| g["rules"].as_array().expect("an array")) {
        let query = rule["query"].as_str().expect("text");
        promql_parser::parser::parse(query).expect(query);
    }
}

#[tokio::test]
async fn everything_a_page_loads_and_links_to_is_there() {
    let server = start();
    for (page, base) in [("/", "/"), ("/slo/dns/availability", "/slo/dns/")] {
        let html = server.get(page).await.text();
        let links = html.split(['"', '\'']).zip(html.split(['"', '\'']).skip(1));
        let links: Vec<&str> = links
            .filter(|(before, _)| before.ends_with("href=") || before.ends_with("src="))
            .map(|(_, link)| link.split('#').next().unwrap_or_default())
            .filter(|link| !link.is_empty() && !link.starts_with("https://"))
            .collect();
        assert!(links.len() > 10, "{links:?}");
        for link in links {
            let root = link.strip_prefix("../../").or_else(|| link.strip_prefix("./"));
            let path = match root {
                Some(rest) => format!("/{rest}"),
                None => format!("{base}{link}"),
            };
            let answer = server.get(&path.replace("&amp;", "&")).await;
            assert_eq!(answer.status, StatusCode::OK, "{page} links to {link}");
        }
    }
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let server = start_with(Duration::from_millis(30));
    for beginning in ["", "PRI", "GET / HTTP/1.1\r\nHost: nin"] {
        let mut stream = TcpStream::connect(server.addr).await.expect("the server listens");
        stream.write_all(beginning.as_bytes()).await.expect("writes");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest));
        let _ = ended.await.expect("the connection ends");
    }
}

#[tokio::test]
async fn half_open_connections_do_not_keep_others_out() {
    let held = fixture::held(fixture::platform());
    let server = Server::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let server = server.with_places(4);
    let addr = server.local_addr();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(held.site.clone(), async { drop(stopped.await) }));
    let running = Running { addr, held: Some(held), stop, task };
    let mut held_open = Vec::new();
    for n in 0..40 {
        let mut stream = TcpStream::connect(addr).await.expect("the server listens");
        let beginning: &[u8] = if n % 2 == 0 { b"" } else { b"GET / HTTP/1.1\r\nHost: n" };
        // The server may have hung up already.
        let _ = stream.write_all(beginning).await;
        held_open.push(stream);
    }
    let answer = tokio::time::timeout(HEAD_TIMEOUT / 3, running.get("/metrics")).await;
    let text = answer.expect("long before their time is up").text();
    let value = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    assert_eq!(value("nines_http_connections"), Some(4), "{text}");
    // 41 connections on 4 places.
    assert_eq!(value("nines_http_connections_evicted_total"), Some(37));
    assert_eq!(value("nines_http_connection_waits_total"), Some(0));
    drop(running.stop);
    running.task.await.expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = start();
    let mut stream = TcpStream::connect(server.addr).await.expect("the server listens");
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(2 * MAX_HEAD));
    // The server may hang up while this is still being written.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_under_way_and_then_ends() {
    let server = start();
    // An idle connection does not hold it up.
    let _idle = TcpStream::connect(server.addr).await.expect("the server listens");
    assert_eq!(server.get("/-/healthy").await.status, StatusCode::OK);
    server.stop.send(()).expect("the server runs");
    let ended = tokio::time::timeout(Duration::from_secs(20), server.task).await;
    ended.expect("in time").expect("no panic").expect("no error");
    assert!(TcpStream::connect(server.addr).await.is_err(), "still listening");
}
