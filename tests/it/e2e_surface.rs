//! What anybody may ask of the port: every route there is, by every method, with everything that
//! might make the daemon go somewhere; and pages about services with hostile names.

use std::time::Duration;

use crate::harness::{Daemon, Target, browser, http, specs, until};

const SOON: Duration = Duration::from_secs(30);
pub const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// The only routes that change what the daemon does.
const CHANGING: [&str; 2] = ["/-/quit", "/-/reload"];
/// Where results go that others send, with a token.
const RESULTS: &str = "/api/v1/slos/shop/availability/results";

const APPLICATION: &str = "\
---
apiVersion: nines/v1
kind: Application
metadata: {name: shop}
spec:
  needs: {objective: 99%, window: 30d}
  dependsOn: [{service: shop}]
";

/// The paths of every route, out of the one place that declares them.
pub fn routes() -> Vec<String> {
    let source = include_str!("../../src/serve/routes.rs");
    let declared = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let routes: Vec<_> = declared.map(str::to_owned).collect();
    assert!(routes.len() > 10, "the routes have lost their way: {routes:?}");
    routes
}

/// A path of a route with names filled in.
pub fn filled(route: &str) -> String {
    match route {
        "/static/{file}" => "/static/nines.css".to_owned(),
        "/team/{name}" => "/team/blue".to_owned(),
        other => other
            .replace("{service}", "shop")
            .replace("{slo}", "availability")
            .replace("{scope}", "service")
            .replace("{name}", "shop"),
    }
}

#[test]
fn only_three_routes_change_anything_and_only_where_that_is_enabled() {
    let target = Target::start();
    // An application that goes by the name of the service, so that every route leads somewhere.
    let specs = specs::one_service(&target.url()) + APPLICATION;
    let daemon = Daemon::start(&specs, &[]);
    for route in routes().iter().map(|route| filled(route)) {
        for method in METHODS {
            let url = format!("{}{route}", daemon.url());
            let status = http::send(method, &url, &[], b"").expect("an answer").status;
            let changing = CHANGING.contains(&route.as_str());
            let expect = match method {
                "POST" | "PUT" if changing => 403,
                "POST" if route == RESULTS => 401,
                "GET" if !changing && route != RESULTS => 200,
                _ => 405,
            };
            assert_eq!(status, expect, "{method} {route}");
        }
    }
    assert_eq!(daemon.get("/-/ready").status, 200, "something made it stop");
}

#[test]
fn no_request_makes_the_daemon_go_anywhere() {
    let (target, elsewhere) = (Target::start(), Target::start());
    let daemon = Daemon::start(&specs::one_service(&target.url()), &["--web.enable-lifecycle"]);
    let url = elsewhere.url();
    let encoded = http::encode(&url);
    let host = url.trim_start_matches("http://");
    let queries = ["target", "url", "module", "address", "host", "next", "redirect", "callback"];
    let headers: Vec<_> = ["Host", "Forwarded", "X-Forwarded-Host", "Referer", "X-Original-URL"]
        .iter()
        .map(|name| (*name, host))
        .collect();
    let routes = routes().into_iter().map(|route| filled(&route));
    for route in routes.filter(|route| !CHANGING.contains(&route.as_str())) {
        for query in queries {
            let asked = format!("{}{route}?{query}={encoded}", daemon.url());
            // Refused or ignored, as the route likes; what counts is what it does not do.
            http::send("GET", &asked, &headers, url.as_bytes()).expect("an answer");
        }
    }
    // The forms that proxies are asked in, and the route that blackbox exporters have.
    for path in [format!("/probe?target={encoded}"), format!("//{host}/"), format!("/{url}/")] {
        let answer = daemon.get(&path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    for line in [format!("GET {url}/ HTTP/1.1"), format!("CONNECT {host} HTTP/1.1")] {
        raw(&daemon, &format!("{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    }
    assert_eq!(daemon.get("/-/ready").status, 200);
    assert_eq!(elsewhere.accepted(), 0, "a request made the daemon connect somewhere");
}

/// Sends bytes and reads whatever comes until the connection ends.
fn raw(daemon: &Daemon, bytes: &str) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(daemon.address()).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    stream.write_all(bytes.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    // A reset is an answer, too.
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// What a hostile author writes wherever a spec takes text. If any of it became markup, the
/// document would hold an element or an attribute of this name, or the title would change.
const HOSTILE: &str = "\"'><script>document.title='owned'</script><img src=x \
                       onerror=document.title='owned'><pwned>{{7*7}}${7*7}";

#[test]
fn hostile_text_in_every_field_is_shown_and_never_run() {
    let target = Target::start();
    let hostile = HOSTILE.replace('\'', "''");
    let text = format!(
        "\
apiVersion: nines/v1
kind: Service
metadata:
  name: shop
  displayName: '{hostile}'
  labels: {{team: '{hostile}', stage: '{hostile}'}}
spec:
  description: '{hostile}'
  links: {{'{hostile}': 'https://a.example/{hostile}', chat: '{hostile}'}}
  probes:
    - name: front
      http: {{url: \"{}/?<script>=<pwned>\", expect: {{status: [299]}}}}
      interval: 500ms
  slos: [{{name: availability, objective: 99%, window: 1h}}]
",
        target.url(),
    );
    let text = text.replace("/?<script>=<pwned>", "/?%3Cscript%3E=%3Cpwned%3E");
    let daemon = Daemon::start(&text, &[]);
    until("a failed probe", SOON, || {
        daemon.status(specs::SLO).filter(|status| status.totals.bad >= 2)
    });
    let team = format!("/team/{}", http::encode(HOSTILE));
    let pages = ["/", "/slo/shop/availability", "/service/shop", &team, "/status", "/method"];
    for path in pages {
        let answer = daemon.get(path);
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        // Without its policy, too, nothing of it is markup.
        let html = answer.text();
        for markup in ["<pwned", "<img", "<script>", "onerror=document.title='owned'>"] {
            assert!(!html.contains(markup), "{path} holds {markup}");
        }
        let dom = browser::dom(&format!("{}{path}", daemon.url()));
        assert!(!dom.contains("<pwned") && !dom.contains("<img src=\"x\""), "{path}: {dom}");
        let title = dom.split("<title>").nth(1).and_then(|rest| rest.split('<').next());
        assert!(title.is_some_and(|title| !title.starts_with("owned")), "{path}: {title:?}");
        let is_ours = ["/status", "/method"].contains(&path);
        assert!(is_ours || dom.contains("&lt;pwned&gt;"), "{path} does not show the text at all");
        assert!(!dom.contains("49${"), "{path} expanded a template");
    }
    let badge = daemon.get("/api/v1/slos/shop/availability/badge.svg").text();
    assert!(badge.starts_with("<svg") && !badge.contains("script"), "{badge}");
    let metrics = daemon.metrics();
    let teams: Vec<_> = metrics.samples.iter().filter_map(|s| s.labels.get("team")).collect();
    assert!(!teams.is_empty() && teams.iter().all(|team| *team == HOSTILE), "{teams:?}");
}
