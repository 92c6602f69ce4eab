//! The reader as a whole: what arrives, what is told, and what cannot break it.

mod agreements;
mod amend;
mod refusals;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::model::check::{Check, Connection, HttpVersion};
use crate::model::{AlertPolicy, Severity, ShortThreshold};

fn files(texts: &[(&str, &str)]) -> Vec<SourceFile> {
    let file = |(path, text): &(&str, &str)| SourceFile {
        path: path.into(),
        root: "specs".into(),
        content: text.as_bytes().to_vec(),
    };
    texts.iter().map(file).collect()
}

fn read(text: &str) -> Result<Loaded, Vec<Problem>> {
    load(&files(&[("specs/a.yaml", text)]), &Options::default())
}

fn catalog(text: &str) -> Catalog {
    match read(text) {
        Ok(loaded) => loaded.catalog,
        Err(problems) => panic!("{}", told(&problems)),
    }
}

/// One line a problem: `line:column path: message`.
fn told(problems: &[Problem]) -> String {
    let line = |p: &Problem| {
        let level = if p.level == Level::Warning { "warning " } else { "" };
        format!("{level}{}:{} {}: {}", p.line, p.column, p.path, p.message)
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Every problem of one file must be these, and no other.
#[track_caller]
fn check(text: &str, expect: &[&str]) {
    let problems = read(text).map_or_else(|problems| problems, |loaded| loaded.warnings);
    assert_eq!(told(&problems), expect.join("\n"), "in\n{text}");
}

/// A service with this on line 5, as a part of `spec`.
fn spec(line: &str) -> String {
    format!("apiVersion: nines/v1\nkind: Service\nmetadata: {{name: a}}\nspec:\n  {line}\n")
}

/// A service with these keys in its only probe, on line 5.
fn probe(keys: &str) -> String {
    spec(&format!("probes: [{{name: p, {keys}}}]"))
}

/// As [`probe`], for the keys of an HTTP request.
fn http(keys: &str) -> String {
    probe(&format!("http: {{url: \"http://h/\"{keys}}}"))
}

/// A service with a good probe on line 5 and these keys in its only SLO, on line 6.
fn slo(keys: &str) -> String {
    let probes = "probes: [{name: p, tcp: {address: \"h:1\"}, interval: 10s}]";
    spec(&format!("{probes}\n  slos: [{{name: s, {keys}}}]"))
}

/// An alert policy with these pairs on line 5 and these keys on line 6.
fn policy(pairs: &str, keys: &str) -> String {
    format!(
        "apiVersion: nines/v1\nkind: AlertPolicy\nmetadata: {{name: x}}\nspec:\n  \
         pairs: [{pairs}]\n  {keys}\n"
    )
}

#[test]
fn an_address_that_may_not_be_reached_is_told_where_it_is_written() {
    let denied = "the egress policy denies";
    let metadata = "cloud metadata is denied unless egress.allow names this address by itself";
    for url in ["http://169.254.169.254/", "http://[::ffff:169.254.169.254]/"] {
        let problems = read(&probe(&format!("http: {{url: \"{url}\"}}"))).expect("valid").warnings;
        let told = told(&problems);
        assert!(told.starts_with("warning 5:34 spec.probes[0].http.url: "), "{told}");
        assert!(told.contains(denied) && told.contains(metadata), "{told}");
    }
    let egress = Egress { deny: vec!["10.0.0.0/8".parse().expect("a rule")], ..Egress::default() };
    let options = Options { egress, ..Options::default() };
    for keys in ["tcp: {address: \"10.1.1.1:1\"}", "tls: {address: \"10.1.1.1:1\"}"] {
        let loaded = load(&files(&[("specs/a.yaml", &probe(keys))]), &options).expect("valid");
        assert_eq!(loaded.warnings.len(), 1, "{keys}");
    }
    check(&probe("tcp: {address: \"10.1.1.1:1\"}"), &[]);
}

const EVERYTHING: &str = r##"
apiVersion: nines/v1
kind: Service
metadata: {name: web, displayName: The web, labels: {team: edge, stage: prod}}
spec:
  description: Pages.
  links: {runbook: https://r.example/, chat: "#web"}
  support: always
  dependsOn:
    - {service: db, impact: soft}
    - {need: 1, of: [{service: a}, {service: b}], commonCause: 2%}
  probes:
    - name: page
      http:
        url: "https://h.example:8443/x?y=z"
        method: POST
        headers: {X-A: "1"}
        headersFromFile: {Authorization: token, Cookie: sub/cookie}
        body: hello
        expect: {status: [200, "3xx", "401-403"], headers: {X-B: "2", X-C: }, body: {contains: ok}}
        version: http2
        tls: {serverName: other.example, caFile: ca.pem}
        connection: warm
        maxBody: 64KiB
      interval: 2s
      timeout: 500ms
    - {name: plain, http: {url: "http://h/"}}
    - {name: quick, tcp: {address: "[::1]:6379", send: "PING\r\n", expect: "+PONG"}, interval: 1s}
    - {name: cert, tls: {address: "h:443", serverName: x, caFile: ca.pem, minValidity: 14d}}
  slos:
    - {name: z, objective: 0.9995, window: 4w, probes: [quick, cert], latency: {under: 300ms}}
    - name: a
      displayName: A
      description: B
      probe: page
      objective: "99.999 %"
      window: 30d
      unknown: bad
      method: occurrences
      alerting: {policy: mine}
    - {name: b, objective: 99%, window: 1h, alerting: none, unknown: good}
    - {name: c, objective: 99%, window: 1h, alerting: off}
---
apiVersion: nines/v1
kind: SupportTier
metadata: {name: always}
spec: {hours: 12x6, timeZone: Europe/Berlin, acknowledge: 5m, repair: 1h}
---
apiVersion: nines/v1
kind: AlertPolicy
metadata: {name: mine}
spec:
  pairs: [{severity: page, long: 1h, short: 5m, budget: 2%}]
  shortThreshold: 1x
  minBad: 3
---
{apiVersion: nines/v1, kind: Service, metadata: {name: db}, spec: {}}
---
{apiVersion: nines/v1, kind: Service, metadata: {name: a}, spec: {}}
---
{apiVersion: nines/v1, kind: Service, metadata: {name: b}, spec: {}}
"##;

#[test]
fn everything_that_can_be_said_arrives_in_the_catalog() {
    let catalog = catalog(EVERYTHING);
    let names: Vec<_> = catalog.services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "db", "web"]);
    let web = catalog.service("web").expect("there");
    assert_eq!(
        (web.title(), web.team(), web.labels["stage"].as_str()),
        ("The web", "edge", "prod")
    );
    assert_eq!(web.links["chat"], "#web");
    assert_eq!(web.support.as_ref().map(|s| s.as_str()), Some("always"));
    let needs: Vec<_> = web.depends_on.iter().map(|d| (d.need, d.of.len())).collect();
    assert_eq!(needs, [(1, 1), (1, 2)]);
    assert_eq!(web.depends_on[1].common_cause_ppb, Some(20_000_000));
    let probes: Vec<_> = web.probes.iter().map(|p| p.id.name()).collect();
    assert_eq!(probes, ["cert", "page", "plain", "quick"]);
    let tier = &catalog.tiers[0];
    assert_eq!((tier.time_zone.as_str(), tier.repair.as_secs()), ("Europe/Berlin", 3_600));
}

#[test]
fn a_probe_arrives_with_every_key_and_its_files_beside_the_spec() {
    let catalog = catalog(EVERYTHING);
    let page = catalog.probes().find(|p| p.id.as_str() == "web/page").expect("there");
    assert_eq!((page.interval.as_millis(), page.timeout.as_millis()), (2_000, 500));
    let Check::Http(http) = &page.check else { panic!("{page:?}") };
    assert_eq!(http.url.to_string(), "https://h.example:8443/x?y=z");
    assert_eq!((http.method.as_str(), http.body.as_deref()), ("POST", Some("hello")));
    let paths: Vec<_> = http.header_files.iter().map(|(n, p)| (n.as_str(), p)).collect();
    let (token, cookie) = (PathBuf::from("specs/token"), PathBuf::from("specs/sub/cookie"));
    assert_eq!(paths, [("authorization", &token), ("cookie", &cookie)]);
    assert_eq!(http.expect.status, [(200, 200), (300, 399), (401, 403)]);
    let headers: Vec<_> =
        http.expect.headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
    assert_eq!(headers, [("x-b", Some("2")), ("x-c", None)]);
    assert_eq!(http.expect.body_contains.as_deref(), Some("ok"));
    assert_eq!((http.version, http.connection), (HttpVersion::Http2, Connection::Warm));
    assert_eq!(http.max_body, 65_536);
    assert_eq!(http.tls.ca_file, Some("specs/ca.pem".into()));
    let plain = catalog.probes().find(|p| p.id.as_str() == "web/plain").expect("there");
    assert_eq!((plain.interval.as_secs(), plain.timeout.as_secs()), (10, 5));
    let quick = catalog.probes().find(|p| p.id.as_str() == "web/quick").expect("there");
    assert_eq!(quick.timeout.as_secs(), 1);
    let Check::Tcp(tcp) = &quick.check else { panic!("{quick:?}") };
    assert_eq!(
        (tcp.endpoint.to_string().as_str(), tcp.send.as_deref()),
        ("[::1]:6379", Some("PING\r\n"))
    );
}

#[test]
fn a_promise_arrives_exactly_and_with_its_policy() {
    let catalog = catalog(EVERYTHING);
    let slos: Vec<_> = catalog.slos().map(|(_, slo)| slo).collect();
    let ids: Vec<_> = slos.iter().map(|slo| slo.id.as_str()).collect();
    assert_eq!(ids, ["web/a", "web/b", "web/c", "web/z"]);
    assert_eq!(slos[0].objective.ppb(), 999_990_000);
    assert_eq!(slos[3].objective.ppb(), 999_500_000);
    let mine = slos[0].policy.as_ref().expect("a policy");
    assert_eq!((mine.name.as_str(), mine.min_bad), ("mine", 3));
    assert_eq!(
        (mine.short_threshold, mine.pairs[0].severity),
        (ShortThreshold::One, Severity::Page)
    );
    assert_eq!((&slos[1].policy, &slos[2].policy), (&None, &None));
    assert_eq!(slos[3].policy, Some(AlertPolicy::workbook()));
    let probes: Vec<_> = slos[3].probes.iter().map(|id| id.name()).collect();
    assert_eq!(probes, ["cert", "quick"]);
    assert_eq!(slos[1].probes.len(), 4);
    assert_eq!(slos[3].latency_under.map(|d| d.as_millis()), Some(300));
}

#[test]
fn every_problem_of_every_file_is_told_in_one_go() {
    let one = "apiVersion: nines/v1\nkind: Service\nmetadata: {name: One}\nspec: {}\n";
    let two = slo("probe: q, objektive: 99%, window: x");
    let three = "a: [\n";
    let read = load(
        &files(&[("specs/1.yaml", one), ("specs/2.yaml", &two), ("specs/3.yaml", three)]),
        &Options::default(),
    );
    let problems = read.expect_err("wrong");
    let lines: Vec<_> = problems.iter().map(|p| (p.location(), p.message.as_str())).collect();
    assert_eq!(
        lines[..4],
        [
            ("specs/1.yaml:3:18".to_owned(), "text \"One\" as `name`"),
            ("specs/2.yaml:6:27".to_owned(), "unknown probe \"q\""),
            ("specs/2.yaml:6:30".to_owned(), "unknown key \"objektive\""),
            ("specs/2.yaml:6:54".to_owned(), "text \"x\" as `window`"),
        ]
    );
    assert!(lines[4].1.starts_with("not valid YAML"), "{lines:?}");
    assert_eq!(lines.len(), 5);
}

#[test]
fn a_problem_shows_its_line_and_how_to_mend_it() {
    let problems = read(&slo("objektive: 99%, window: 30d")).expect_err("wrong");
    let keys = "`name`, `displayName`, `description`, `probe`, `probes`, `prometheus`, `push`, \
                `latency`, `objective`, `window`, `method`, `unknown`, `minCoverage`, `meanOutage`, \
                `alerting`";
    let expect = format!(
        "error: unknown key \"objektive\"
 --> specs/a.yaml:6:20 (spec.slos[0].objektive)
  |
6 |   slos: [{{name: s, objektive: 99%, window: 30d}}]
  |                    ^^^^^^^^^
  = expected: one of {keys}
  = hint: did you mean `objective`?
"
    );
    assert_eq!(problems[0].render(false), expect);
    let json = serde_json::to_value(&problems[0]).expect("JSON");
    assert_eq!((json["level"].as_str(), json["line"].as_u64()), (Some("error"), Some(6)));
    assert_eq!(json["source"]["indent"].as_u64(), Some(19));
}

#[test]
fn a_long_chain_of_services_does_not_exhaust_the_stack() {
    let mut text = String::new();
    for n in 0..5_000 {
        text.push_str(&format!(
            "{{apiVersion: nines/v1, kind: Service, metadata: {{name: s{n}}}, \
             spec: {{dependsOn: [{{service: s{}}}]}}}}\n---\n",
            n + 1
        ));
    }
    text.push_str("{apiVersion: nines/v1, kind: Service, metadata: {name: s5000}, spec: {}}\n");
    assert_eq!(catalog(&text).services.len(), 5_001);
}

#[test]
fn files_stay_within_the_directory_of_the_specs() {
    let load = |path: &str, file: &str, allow_files_outside| {
        let text = http(&format!(", headersFromFile: {{A: {file:?}}}"));
        let file = SourceFile { path: path.into(), root: "specs".into(), content: text.into() };
        let options = Options { allow_files_outside, ..Options::default() };
        let loaded = load(&[file], &options).map_err(|p| told(&p))?;
        match &loaded.catalog.services[0].probes[0].check {
            Check::Http(http) => Ok(http.header_files[0].1.display().to_string()),
            other => Err(format!("{other:?}")),
        }
    };
    let ok = |path, file, expect: &str| assert_eq!(load(path, file, false), Ok(expect.to_owned()));
    ok("specs/a.yaml", "t", "specs/t");
    ok("specs/sub/a.yaml", "../t", "specs/t");
    ok("specs/sub/a.yaml", "./x/../t", "specs/sub/t");
    for outside in ["../t", "/etc/shadow", "../specsx/t", "x/../../t", ".."] {
        let told = load("specs/a.yaml", outside, false).expect_err(outside);
        assert!(told.contains("lies outside the directory of the specs"), "{told}");
        assert!(load("specs/a.yaml", outside, true).is_ok(), "{outside}");
    }
    assert_eq!(load("specs/a.yaml", "/etc/x", true), Ok("/etc/x".to_owned()));
}

#[test]
fn the_operators_limits_hold() {
    let text = format!(
        "{}---\n{EVERYTHING}",
        slo("objective: 99%, window: 30d").replace("name: a}", "name: x}")
    );
    let with = |probes, slos, starts_per_second| {
        let limits = Limits { probes, slos, starts_per_second };
        let options = Options { limits, ..Options::default() };
        let read = load(&files(&[("specs/a.yaml", &text)]), &options);
        read.map(drop).map_err(|problems| told(&problems))
    };
    // Starts a second: 0.1, 0.5, 0.1, 1 and 0.1.
    assert_eq!(with(5, 5, 2), Ok(()));
    assert!(with(4, 5, 2).is_err_and(|told| told.contains("5 probes, more than the 4")));
    assert!(with(5, 4, 2).is_err_and(|told| told.contains("5 SLOs, more than the 4")));
    assert!(
        with(5, 5, 1).is_err_and(|told| told.contains("2 probe starts a second, more than the 1"))
    );
}

#[test]
fn byte_order_marks_line_ends_and_empty_documents_change_nothing() {
    let plain = catalog(EVERYTHING);
    assert_eq!(catalog(&format!("\u{feff}{EVERYTHING}")), plain);
    assert_eq!(catalog(&EVERYTHING.replace('\n', "\r\n")), plain);
    assert_eq!(catalog(&format!("---\n---\n# nothing\n---\n{EVERYTHING}\n---\n...\n")), plain);
    assert_eq!(catalog("").services, []);
    assert_eq!(catalog("# only a comment\n").services, []);
    let windows = slo("objektive: 99%, window: 30d").replace('\n', "\r\n");
    check(&windows, &["6:20 spec.slos[0].objektive: unknown key \"objektive\""]);
}

#[test]
fn files_that_are_no_text_are_told_as_such() {
    let read = |content: Vec<u8>| {
        let file = SourceFile { path: "a.yaml".into(), root: "".into(), content };
        told(&load(&[file], &Options::default()).expect_err("unreadable"))
    };
    assert_eq!(read(b"a: b\nc: \xff\n".to_vec()), "2:1 : not UTF-8 text");
    assert_eq!(read(b"\xff\xfea\0".to_vec()), "1:1 : not UTF-8 text");
    assert_eq!(read(vec![b'#'; MAX_FILE + 1]), "0:0 : the file is larger than 1024 KiB");
    assert!(load(&[], &Options::default()).is_ok());
}

#[test]
fn places_point_at_the_declaration_of_each_slo() {
    let loaded = read(EVERYTHING).expect("good");
    let warning = loaded.places.warning("web/a", "look".to_owned(), None).expect("a place");
    let line = EVERYTHING.lines().nth(warning.line - 1).expect("a line");
    assert_eq!((line, warning.message.as_str()), ("    - name: a", "look"));
    assert_eq!(loaded.places.warning("web/none", String::new(), None), None);
}

#[test]
fn a_large_honest_file_is_read_in_good_time() {
    let mut text = String::new();
    for n in 0..2_000 {
        text.push_str(
            &slo("objective: 99%, window: 30d").replace("name: a}", &format!("name: s{n}}}")),
        );
        text.push_str("---\n");
    }
    let start = Instant::now();
    assert_eq!(catalog(&text).services.len(), 2_000);
    assert!(start.elapsed().as_secs() < 30);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_the_reader_panic(text in "[ -~\n\t\u{e9}]{0,200}") {
        let _ = read(&text);
        let _ = config::load(&files(&[("c.yaml", &text)])[0]);
    }

    #[test]
    fn no_damage_to_a_good_file_makes_the_reader_panic(
        at in 0..EVERYTHING.len(), n in 0_usize..40, junk in "[\\[\\]{}:,&*!|>'\"%@`#\n\t a-]{0,6}",
    ) {
        let end = (at + n).min(EVERYTHING.len());
        let text = [&EVERYTHING.as_bytes()[..at], junk.as_bytes(), &EVERYTHING.as_bytes()[end..]];
        let file = SourceFile { path: "a".into(), root: "".into(), content: text.concat() };
        if let Err(problems) = load(&[file], &Options::default()) {
            prop_assert!(problems.iter().any(|p| p.level == Level::Error));
        }
    }
}
