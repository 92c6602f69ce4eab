//! `/api/v1/openapi.json`: it describes every route there is and nothing else, and what a running
//! daemon answers is what it says, key by key.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::e2e_surface::{METHODS, filled, routes};
use crate::harness::{Behaviour, Daemon, Target, http, specs, until};

const SOON: Duration = Duration::from_secs(60);

/// What makes every answer have everything in it that it can have: the SLO of the one service
/// burns, and others on it count in every other way.
const BESIDE: &str = "\
---
apiVersion: nines/v1
kind: Service
metadata: {name: store, displayName: Object store, labels: {team: green}}
spec:
  links: {runbook: https://runbooks.example/store}
  support: office
  dependsOn: [{service: shop}]
  probes:
    - {name: front, http: {url: \"URL/store\"}, interval: 500ms, timeout: 500ms}
  slos:
    - {name: month, objective: 99.9%, window: {calendar: month, timeZone: Europe/Berlin}, minCoverage: 1%}
    - {name: fast, latency: {under: 250ms}, objective: 99%, window: 1h}
    - {name: slices, objective: 99%, window: 1d, method: ratioTimeslices {SLICE}}
    - {name: sent, objective: 99%, window: 1d, push: {token_file: token, interval: 10s}}
---
apiVersion: nines/v1
kind: SupportTier
metadata: {name: office}
spec: {hours: 8x5, timeZone: Europe/Berlin, acknowledge: 1h, repair: 4h}
---
apiVersion: nines/v1
kind: Application
metadata: {name: shop, labels: {team: red}}
spec:
  needs: {objective: 99%, window: 30d}
  reserve: 50%
  support: {hours: 24x7, acknowledge: 5m, repair: 20m}
  dependsOn: [{need: 1, of: [{service: shop}, {service: store}], commonCause: 2%}]
---
apiVersion: nines/v1
kind: Agreement
metadata: {name: shop-for-all}
spec:
  service: shop
  slo: availability
  customer: shop
  objective: 99%
  window: {calendar: month, timeZone: UTC}
  credits: [{below: 99%, credit: 10%}]
---
apiVersion: nines/v1
kind: Maintenance
metadata: {name: always}
spec: {services: [store], window: {start: 2020-01-01T00:00:00Z, end: 2099-01-01T00:00:00Z}, effect: mute}
---
apiVersion: nines/v1
kind: Correction
metadata: {name: long-ago}
spec: {slo: store/month, from: 2026-01-01T00:00:00Z, to: 2026-01-02T00:00:00Z, outcome: excluded, reason: a test, author: ana}
";

/// The shipped example of composites, of another service than the one of the other specs.
fn composites(url: &str) -> String {
    let example = include_str!("../../slo-specs/openslo/journey.yaml");
    let example = example.replace("{name: shop,", "{name: door,");
    let example = example.replace("service: shop", "service: door");
    let example = example.replace("interval: 10s, timeout: 2s", "interval: 1s, timeout: 500ms");
    format!("---\n{}", example.replace("http://127.0.0.1:8080", url))
}

/// A daemon in which much has happened.
fn busy_daemon() -> (Target, Daemon) {
    let target = Target::start();
    target.behave_at("/", Behaviour::Status(500));
    let beside = BESIDE
        .replace("URL", &target.url())
        .replace("ratioTimeslices {SLICE}", "{ratioTimeslices: {slice: 1m}}");
    let text = specs::one_service(&target.url()) + &beside + &composites(&target.url());
    let daemon =
        Daemon::start_beside(&text, &[], |specs| std::fs::write(specs.join("token"), "secret\n"));
    until("a page", SOON, || {
        let slo = daemon.get("/api/v1/slos/shop/availability").json();
        let alerts = slo["slo"]["alerts"].as_array().cloned().unwrap_or_default();
        alerts.iter().any(|alert| alert["firing"] == true).then_some(())
    });
    (target, daemon)
}

/// The document, and a validator of one of its schemas in which no object may have a key that is
/// not described.
struct Described(Value);

impl Described {
    fn by(daemon: &Daemon) -> Self {
        Described(daemon.get("/api/v1/openapi.json").json())
    }

    fn paths(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0["paths"].as_object().into_iter().flatten()
    }

    #[track_caller]
    fn check(&self, what: &str, schema: &Value, answer: &Value) {
        let mut schemas = self.0["components"]["schemas"].clone();
        close(&mut schemas);
        let mut root = schema.clone();
        root["components"] = json!({ "schemas": schemas });
        let validator = jsonschema::draft202012::new(&root).expect("a schema");
        let wrong: Vec<String> = validator
            .iter_errors(answer)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    }
}

/// Forbids keys that are not described. The document itself allows them, so that keys may be
/// added.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("properties").is_some_and(Value::is_object)
                && map.get("type").is_some_and(|kind| kind.is_string() || kind.is_array())
            {
                map.entry("additionalProperties").or_insert(false.into());
            }
            map.values_mut().for_each(close);
        }
        Value::Array(all) => all.iter_mut().for_each(close),
        _ => {}
    }
}

#[test]
fn every_route_is_described_with_its_methods_and_nothing_else_is() {
    let (_target, daemon) = busy_daemon();
    let described = Described::by(&daemon);
    let there: BTreeSet<String> = routes().into_iter().collect();
    let told: BTreeSet<String> = described.paths().map(|(path, _)| path.clone()).collect();
    assert_eq!(told, there);
    let mut names = BTreeSet::new();
    for (path, methods) in described.paths() {
        let told = METHODS.into_iter().filter(|method| !methods[method.to_lowercase()].is_null());
        let url = format!("{}{}", daemon.url(), filled(path));
        let taken =
            |method: &&str| http::send(method, &url, &[], b"").expect("an answer").status != 405;
        let there: Vec<&str> = METHODS.into_iter().filter(|method| taken(method)).collect();
        assert_eq!(told.collect::<Vec<_>>(), there, "{path}");
        for (method, operation) in methods.as_object().into_iter().flatten() {
            assert!(operation["summary"].is_string(), "{method} {path}");
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let in_path: Vec<&str> = parameters
                .filter(|one| one["in"] == "path")
                .filter_map(|one| one["name"].as_str())
                .collect();
            let braces: Vec<&str> =
                path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
            assert_eq!(in_path, braces, "{method} {path}");
            names.extend(refs(operation));
        }
    }
    // Whatever is referred to exists, and whatever exists is referred to.
    names.extend(refs(&described.0["components"]));
    let schemas = described.0["components"]["schemas"].as_object().expect("schemas");
    let there: BTreeSet<String> =
        schemas.keys().map(|name| format!("#/components/schemas/{name}")).collect();
    names.remove("#/components/responses/Problem");
    assert_eq!(names, there);
}

fn refs(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(map) => {
            let own = map.get("$ref").and_then(Value::as_str).map(str::to_owned);
            map.values().flat_map(refs).chain(own).collect()
        }
        Value::Array(all) => all.iter().flat_map(refs).collect(),
        _ => BTreeSet::new(),
    }
}

#[test]
fn answers_are_what_the_document_says_they_are() {
    let (_target, daemon) = busy_daemon();
    let described = Described::by(&daemon);
    let mut n_checked = 0;
    for (path, methods) in described.paths() {
        let content = &methods["get"]["responses"]["200"]["content"];
        if methods["get"].is_null() {
            continue;
        }
        let more = match path.as_str() {
            "/api/v1/slos/{service}/{slo}" => vec![
                "/shop/availability?range=1m",
                "/store/month",
                "/store/fast",
                "/store/slices",
                "/store/sent",
                "/door/journey",
                "/door/journey-minutes",
            ]
            .into_iter()
            .map(|rest| format!("/api/v1/slos{rest}"))
            .collect(),
            "/api/v1/reports/{scope}/{name}" => {
                ["service/store", "team/blue?worst=5m", "application/shop?period=last-1d"]
                    .map(|rest| format!("/api/v1/reports/{rest}"))
                    .to_vec()
            }
            "/api/v1/services/{name}/fit" => {
                ["store", "door"].map(|name| format!("/api/v1/services/{name}/fit")).to_vec()
            }
            "/api/v1/slos/{service}/{slo}/badge.json" => {
                vec!["/api/v1/slos/store/sent/badge.json".to_owned()]
            }
            _ => Vec::new(),
        };
        for asked in std::iter::once(filled(path)).chain(more) {
            let answer = daemon.get(&asked);
            assert_eq!(answer.status, 200, "{asked}: {}", answer.text());
            let kind = answer.header("content-type").unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default();
            let schema = &content[kind]["schema"];
            assert!(schema.is_object(), "{asked} answers {kind:?}, which is not described");
            if kind == "application/json" {
                described.check(&asked, schema, &answer.json());
                n_checked += 1;
            }
        }
    }
    assert!(n_checked > 20, "only {n_checked} answers were looked at");
}

#[test]
fn what_is_wrong_is_answered_as_described() {
    let (_target, daemon) = busy_daemon();
    let described = Described::by(&daemon);
    let problem = &described.0["components"]["responses"]["Problem"]["content"];
    let problem = &problem["application/problem+json"]["schema"];
    for (method, asked, status) in [
        ("GET", "/api/v1/slos/shop/nothing", 404),
        ("GET", "/api/v1/slos/shop/nothing/badge.svg", 404),
        ("GET", "/api/v1/slos/shop/availability?at=2099-01-01T00:00:00Z", 400),
        ("POST", "/api/v1/slos/store/sent/results", 401),
        ("POST", "/-/reload", 403),
        ("DELETE", "/", 405),
    ] {
        let url = format!("{}{asked}", daemon.url());
        let answer = http::send(method, &url, &[], b"").expect("an answer");
        assert_eq!(answer.status, status, "{method} {asked}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        described.check(asked, problem, &answer.json());
    }
    // And what is delivered is acknowledged as described.
    let path = "/api/v1/slos/{service}/{slo}/results";
    let post = &described.0["paths"][path]["post"];
    let sent = &post["requestBody"]["content"]["application/json"]["schema"];
    let headers = [("Authorization", "Bearer secret"), ("Idempotency-Key", "one")];
    let url = format!("{}/api/v1/slos/store/sent/results", daemon.url());
    // Results are taken from the first whole interval of the process on.
    let answer = until("results to be taken", SOON, || {
        let at = daemon.status(specs::SLO).expect("evaluated").at.to_string();
        let body = json!({ "results": [{ "at": at, "good": 1 }] });
        described.check("what is sent", sent, &body);
        let body = body.to_string();
        let answer = http::send("POST", &url, &headers, body.as_bytes()).expect("an answer");
        assert!([200, 409].contains(&answer.status), "{}", answer.text());
        (answer.status == 200).then_some(answer)
    });
    let schema = &post["responses"]["200"]["content"]["application/json"]["schema"];
    described.check("the acknowledgement", schema, &answer.json());
}
