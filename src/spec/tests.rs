use std::time::Instant;

use proptest::prelude::*;

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
    let keys = "`name`, `displayName`, `description`, `probe`, `probes`, `latency`, `objective`, \
                `window`, `method`, `unknown`, `alerting`";
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
fn keys_are_known_unique_and_complete() {
    check(&spec("probs: []"), &["5:3 spec.probs: unknown key \"probs\""]);
    check(&spec("? [a]\n  : b"), &["5:5 spec: a list as a key"]);
    check(&spec("links: {a: b, a: c}"), &["5:17 : duplicate key \"a\""]);
    check(
        &spec("probes: [{tcp: {address: \"h:1\"}}]"),
        &["5:12 spec.probes[0]: missing key `name`"],
    );
    check(&spec("description: {}"), &["5:16 spec.description: a mapping as `description`"]);
    check(&spec("description:"), &["5:14 spec.description: nothing as `description`"]);
    check(&spec("probes: 5"), &["5:11 spec.probes: the number \"5\" as `probes`"]);
    check(&spec("<<: {a: b}"), &["5:3 spec.<<: unknown key \"<<\""]);
    check(
        "apiVersion: nines/v1\nkind: Service\n",
        &["1:1 : missing key `metadata`", "1:1 : missing key `spec`"],
    );
}

#[test]
fn text_that_yaml_takes_for_something_else_must_be_quoted() {
    let unquoted = &["5:16 spec.description: the number \"1.10\" where text is expected"];
    check(&spec("description: 1.10"), unquoted);
    check(&spec("description: \"1.10\""), &[]);
    let unquoted = &["5:16 spec.description: the boolean \"true\" where text is expected"];
    check(&spec("description: true"), unquoted);
    check(&spec("description: !!str true"), &[]);
    check(&spec("description: yes"), &[]);
}

#[test]
fn versions_and_kinds_that_are_not_read_are_refused_by_name() {
    let version = |v: &str| spec("{}").replace("nines/v1", v).replace("spec:\n  {}", "spec: {}");
    check(&version("nines/v1"), &[]);
    check(&version("nines/v2"), &["1:13 apiVersion: unknown word \"nines/v2\""]);
    check(
        &version("openslo/v1"),
        &["1:13 apiVersion: `openslo/v1` is not read by this version of nines"],
    );
    for kind in ["Application", "Agreement", "Maintenance", "Correction"] {
        let text = version("nines/v1").replace("Service", kind);
        let told = format!("2:7 kind: kind `{kind}` is not read by this version of nines");
        check(&text, &[told.as_str()]);
    }
    let servce = version("nines/v1").replace("Service", "Servce");
    let problem = read(&servce).expect_err("wrong").remove(0);
    assert_eq!(problem.hint.as_deref(), Some("did you mean `Service`?"));
    check("apiVersion: nines/v1\n", &["1:1 : missing key `kind`"]);
    check("- a\n", &["1:1 : a list as a document"]);
    check("hello\n", &["1:1 : text \"hello\" as a document"]);
}

#[test]
fn what_only_later_versions_read_is_refused_and_not_called_misspelt() {
    let later = |what: &str| format!("{what} is not read by this version of nines");
    let check = |text: String, at: &str, what: &str| {
        check(&text, &[format!("{at}: {}", later(what)).as_str()]);
        let problem = read(&text).expect_err("refused").remove(0);
        assert_eq!(problem.hint, None, "{text}");
    };
    for kind in ["icmp", "dns", "grpc", "postgres", "script", "udp"] {
        check(
            probe(&format!("{kind}: {{}}")),
            &format!("5:22 spec.probes[0].{kind}"),
            &format!("`{kind}`"),
        );
    }
    let good = "objective: 99%, window: 30d";
    for key in ["minCoverage", "prometheus", "push"] {
        let text = slo(&format!("{good}, {key}: 1"));
        check(text, &format!("6:49 spec.slos[0].{key}"), &format!("`{key}`"));
    }
    let text = slo(&format!("{good}, method: {{timeslices: {{slice: 1m}}}}"));
    check(text, "6:58 spec.slos[0].method.timeslices", "`timeslices`");
    let text = slo(&format!("{good}, method: ratioTimeslices"));
    check(text, "6:57 spec.slos[0].method", "`ratioTimeslices`");
    check(http(", version: http3"), "5:56 spec.probes[0].http.version", "`http3`");
    let text = slo("objective: 99%, window: {calendar: month}");
    super::tests::check(
        &text,
        &[
            "6:45 spec.slos[0].window.calendar: calendar windows are not read by this version of nines",
        ],
    );
}

#[test]
fn names_are_unique_and_references_lead_somewhere() {
    let twice = format!("{0}---\n{0}", spec("links: {}"));
    check(&twice, &["9:18 metadata.name: a second Service \"a\""]);
    let problems = read(&twice).expect_err("twice");
    assert_eq!(problems[0].hint.as_deref(), Some("the first is at specs/a.yaml:3"));
    let p = "{name: p, tcp: {address: \"h:1\"}}";
    check(
        &spec(&format!("probes: [{p}, {p}]")),
        &["5:53 spec.probes[1].name: a second probe \"p\""],
    );
    let s = "objective: 99%, window: 30d";
    check(&slo(&format!("{s}}}, {{name: s, {s}")), &["6:57 spec.slos[1].name: a second SLO \"s\""]);
    check(&spec("support: gold"), &["5:12 spec.support: unknown SupportTier \"gold\""]);
    check(&slo(&format!("{s}, probe: q")), &["6:56 spec.slos[0].probe: unknown probe \"q\""]);
    check(
        &slo(&format!("{s}, alerting: {{policy: worbook}}")),
        &["6:68 spec.slos[0].alerting.policy: unknown AlertPolicy \"worbook\""],
    );
    check(
        &spec("dependsOn: [{service: b}, {need: 1, of: [{service: c}]}]"),
        &[
            "5:25 spec.dependsOn[0].service: unknown Service \"b\"",
            "5:54 spec.dependsOn[1].of[0].service: unknown Service \"c\"",
        ],
    );
    check(
        &spec("slos: [{name: s, objective: 99%, window: 30d}]"),
        &["5:10 spec.slos[0]: an SLO of a service without probes"],
    );
}

#[test]
fn nothing_is_called_missing_that_may_be_in_what_could_not_be_read() {
    let text = format!("{}---\na: [\n", spec("support: gold"));
    let problems = read(&text).expect_err("broken");
    assert_eq!(problems.len(), 1, "{}", told(&problems));
    let text = format!("{}---\n{}", spec("support: gold"), "kind: SupportTeir\n");
    check(&text, &["7:7 kind: unknown kind \"SupportTeir\""]);
}

#[test]
fn services_that_need_each_other_are_named_in_a_circle() {
    let service = |name: &str, needs: &str| {
        format!(
            "{{apiVersion: nines/v1, kind: Service, metadata: {{name: {name}}}, \
             spec: {{dependsOn: [{{service: {needs}}}]}}}}\n---\n"
        )
    };
    let circle = [service("a", "b"), service("b", "c"), service("c", "b")].concat();
    check(&circle, &["5:89 spec.dependsOn[0].service: services need each other: b -> c -> b"]);
    check(
        &service("a", "a"),
        &["1:89 spec.dependsOn[0].service: services need each other: a -> a"],
    );
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
fn some_of_several_must_be_possible() {
    let check = |dependency: &str, expect: &[&str]| {
        let others = "---\n{apiVersion: nines/v1, kind: Service, metadata: {name: b}, spec: {}}\n\
                      ---\n{apiVersion: nines/v1, kind: Service, metadata: {name: c}, spec: {}}\n";
        check(&format!("{}{others}", spec(&format!("dependsOn: [{{{dependency}}}]"))), expect);
    };
    let of = "of: [{service: b}, {service: c}]";
    check(&format!("need: 2, {of}"), &[]);
    check(&format!("need: 1, {of}, commonCause: 2%"), &[]);
    check(&format!("need: 3, {of}"), &["5:22 spec.dependsOn[0].need: 3 of 2 can never be there"]);
    check(&format!("need: 0, {of}"), &["5:22 spec.dependsOn[0].need: the number \"0\" as `need`"]);
    check(of, &["5:15 spec.dependsOn[0]: `of` without `need`"]);
    check("need: 1, service: b", &["5:22 spec.dependsOn[0].need: `need` without `of`"]);
    check(
        &format!("service: b, {of}"),
        &[
            "5:32 spec.dependsOn[0].of: `of` stands beside `service`",
            "5:43 spec.dependsOn[0].of[0].service: \"b\" is depended on twice",
        ],
    );
    check(
        &format!("need: 1, {of}"),
        &[
            "warning 5:15 spec.dependsOn[0]: no `commonCause`: 10% of the failures are taken to hit \
         all at once",
        ],
    );
    check(
        "need: 1, of: [{service: b}, {service: b}], commonCause: 1%",
        &["5:54 spec.dependsOn[0].of[1].service: \"b\" is depended on twice"],
    );
}

#[test]
fn objectives_are_read_from_their_text_and_lie_between_all_and_nothing() {
    let ppb = |text: &str| {
        let catalog = catalog(&slo(&format!("objective: {text}, window: 30d")));
        catalog.services[0].slos[0].objective.ppb()
    };
    assert_eq!(ppb("99.99999%"), 999_999_900);
    assert_eq!(ppb("0.999999999"), 999_999_999);
    assert_eq!(ppb("\"0.29\""), 290_000_000);
    for bad in ["0", "1", "100%", "0%", "99.9999999999%", "1.5", "-0.5", "1e-1", "x", "true", "[1]"]
    {
        let problems = read(&slo(&format!("objective: {bad}, window: 30d"))).expect_err(bad);
        let at: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(at, ["spec.slos[0].objective"], "{bad}");
    }
}

#[test]
fn windows_are_whole_kept_and_longer_than_what_is_looked_at() {
    let check = |window: &str, expect: &[&str]| {
        let text = slo(&format!("objective: 99%, alerting: none, window: {window}"));
        check(&text, expect);
    };
    check("30d", &[]);
    check("10s", &[]);
    let at = "6:60 spec.slos[0].window";
    check("0s", &[&format!("{at}: 0s is out of bounds")]);
    check("9s", &[&format!("{at}: the window is shorter than the interval of a/p")]);
    check("20500ms", &[&format!("{at}: 20s500ms is not a whole number of seconds")]);
    check("401d", &[&format!("{at}: the window 401d is longer than history is kept")]);
    check("30", &[&format!("{at}: the number \"30\" as `window`")]);
    let short = slo("objective: 99%, window: 2d");
    super::tests::check(
        &short,
        &[
            "6:44 spec.slos[0].window: policy `workbook` looks back 3d, further than the window of 2d",
        ],
    );
}

#[test]
fn probes_run_within_their_bounds() {
    let check = |keys: &str, expect: &[&str]| {
        check(&probe(&format!("tcp: {{address: \"h:1\"}}, {keys}")), expect);
    };
    check("interval: 10ms, timeout: 10ms", &[]);
    check("interval: 1d", &[]);
    check("interval: 9ms", &["5:55 spec.probes[0].interval: 9ms is out of bounds"]);
    check("interval: 2d", &["5:55 spec.probes[0].interval: 2d is out of bounds"]);
    check("timeout: 0s", &["5:54 spec.probes[0].timeout: a timeout of 0"]);
    check(
        "interval: 1s, timeout: 2s",
        &["5:68 spec.probes[0].timeout: the timeout 2s is above the interval 1s"],
    );
    check(
        "timeout: 11s",
        &["5:54 spec.probes[0].timeout: the timeout 11s is above the interval 10s"],
    );
    super::tests::check(&probe("interval: 1s"), &["5:12 spec.probes[0]: a key is missing"]);
    check("tls: {address: \"h:1\"}", &["5:50 spec.probes[0].tls: `tls` stands beside `tcp`"]);
}

#[test]
fn urls_are_absolute_and_hold_no_secret() {
    let url = |url: &str| {
        let text = probe(&format!("http: {{url: {url:?}}}"));
        let result = read(&text);
        if let Err(problems) = &result {
            let at: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
            assert_eq!(at, ["spec.probes[0].http.url"], "{url}");
        }
        result.is_ok()
    };
    for good in
        ["http://h", "https://h:1/", "http://[::1]:80/a?b=c", "http://h/a@b", "http://1.2.3.4/"]
    {
        assert!(url(good), "{good}");
    }
    for bad in [
        "h",
        "/x",
        "ftp://h/",
        "http://",
        "http:///x",
        "http://h:0/",
        "http://h:65536/",
        "http://h:x/",
        "http://h/#top",
        "http://u@h/",
        "http://u:p@h/",
        "http://h/ x",
        "unix:/run/x",
        "",
    ] {
        assert!(!url(bad), "{bad}");
    }
    assert!(!url(&format!("http://h/{}", "x".repeat(3_000))));
}

#[test]
fn a_secret_is_refused_and_repeated_nowhere() {
    let text = "url: \"http://ana:hunter2@h/\", headers: {Authorization: Bearer hunter2}, bodi: x";
    let problems = read(&probe(&format!("http: {{{text}}}"))).expect_err("secrets");
    let reports: String = problems.iter().map(|p| p.render(false)).collect();
    let json = serde_json::to_string(&problems).expect("JSON");
    assert_eq!(problems.len(), 3, "{reports}");
    assert!(!reports.contains("hunter2") && !json.contains("hunter2"), "{reports}");
    check(
        &http(", headers: {cookie: a}"),
        &["5:57 spec.probes[0].http.headers.cookie: header `cookie` carries a secret"],
    );
}

#[test]
fn headers_are_headers_and_come_once() {
    let at = "spec.probes[0].http";
    let check = |keys: &str, expect: String| check(&http(&format!(", {keys}")), &[&expect]);
    check("headers: {\"a b\": c}", format!("5:57 {at}.headers.a b: not a header name"));
    check("headers: {a: \"b\\nc\"}", format!("5:60 {at}.headers.a: not a header value"));
    check("headers: {a: b, A: c}", format!("5:63 {at}.headers.A: header `a` twice"));
    check(
        "headers: {Content-Length: \"1\"}",
        format!(
            "5:57 {at}.headers.Content-Length: header `content-length` is set by the probe itself"
        ),
    );
    check(
        "headers: {a: b}, headersFromFile: {A: f}",
        format!("5:82 {at}.headersFromFile.A: header `a` twice"),
    );
    check(
        "expect: {headers: {\"a b\": c}}",
        format!("5:66 {at}.expect.headers.a b: not a header name"),
    );
}

#[test]
fn what_is_expected_must_be_possible() {
    let at = "spec.probes[0].http";
    let check = |keys: &str, expect: &str| {
        check(&http(&format!(", {keys}")), &[&expect.replace('@', at)]);
    };
    check(
        "method: HEAD, expect: {body: {contains: x}}",
        "5:87 @.expect.body.contains: an answer to HEAD has no body",
    );
    check(
        "maxBody: 1B, expect: {body: {contains: xy}}",
        "5:86 @.expect.body.contains: this text is longer than `maxBody`",
    );
    check("maxBody: 65MiB", "5:56 @.maxBody: text \"65MiB\" as `maxBody`");
    check("method: get", "5:55 @.method: unknown word \"get\"");
    check("tls: {serverName: x}", "5:52 @.tls: `tls` has no effect on an http:// URL");
    for bad in ["20", "600", "6xx", "299-200", "0200", "+20", "abc", "[200, 99]"] {
        let problems = read(&http(&format!(", expect: {{status: {bad}}}"))).expect_err(bad);
        assert_eq!(problems.len(), 1, "{bad}: {}", told(&problems));
    }
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
fn labels_are_those_of_prometheus() {
    let label = |text: &str| {
        let text = spec("{}").replace("{name: a}", &format!("{{name: a, labels: {{{text}}}}}"));
        read(&text.replace("spec:\n  {}", "spec: {}")).map(drop).map_err(|p| told(&p))
    };
    assert_eq!(label("team: a, _x9: \"b c ü\""), Ok(()));
    assert!(label("a-b: c").is_err_and(|told| told.contains("is not a label name")));
    assert!(label("9a: c").is_err());
    assert!(label("__a: c").is_err());
    assert!(label("a: \"x\\ny\"").is_err_and(|told| told.contains("control characters")));
    assert!(label(&format!("a: {}", "x".repeat(256))).is_ok());
    assert!(label(&format!("a: {}", "x".repeat(257))).is_err());
}

#[test]
fn pairs_are_pairs() {
    let pair = "{severity: page, long: 1h, short: 5m, budget: 2%}";
    let with = |from: &str, to: &str| policy(&pair.replace(from, to), "minBad: 1");
    check(&policy(pair, "minBad: 1"), &[]);
    let at = "spec.pairs[0]";
    check(
        &with("5m", "1h"),
        &[&format!("5:45 {at}.short: the short window is not shorter than the long one")],
    );
    check(&with("5m", "0s"), &[&format!("5:45 {at}.short: 0s is out of bounds")]);
    check(
        &with("5m", "1500ms"),
        &[&format!("5:45 {at}.short: 1s500ms is not a whole number of seconds")],
    );
    check(&with("2%", "0%"), &[&format!("5:57 {at}.budget: a budget of 0 would always fire")]);
    check(&with("page", "pager"), &[&format!("5:22 {at}.severity: unknown word \"pager\"")]);
    check(
        &policy(&format!("{pair}, {pair}"), "minBad: 1"),
        &["5:62 spec.pairs[1]: a second page pair 1h/5m"],
    );
    check(&policy(pair, "minBad: 0"), &["6:11 spec.minBad: the number \"0\" as `minBad`"]);
    check(&policy(pair, "shortThreshold: 2x"), &["6:19 spec.shortThreshold: unknown word \"2x\""]);
    check(&policy("", "minBad: 1"), &["5:10 spec.pairs: a list of 0"]);
}

#[test]
fn the_built_in_policy_may_be_spelt_out_but_not_changed() {
    let pairs = "{severity: page, long: 1h, short: 5m, budget: 2%}, \
                 {severity: page, long: 6h, short: 30m, budget: 5%}, \
                 {severity: ticket, long: 1d, short: 2h, budget: 10%}, \
                 {severity: ticket, long: 3d, short: 6h, budget: 10%}";
    let same = policy(pairs, "minBad: 1").replace("name: x", "name: workbook");
    assert_eq!(catalog(&same).policies, [AlertPolicy::workbook()]);
    check(
        &same.replace("minBad: 1", "minBad: 2"),
        &["3:18 metadata.name: `workbook` is built in and cannot be changed"],
    );
}

#[test]
fn tiers_have_hours_zones_and_times() {
    let check = |keys: &str, expect: &[&str]| {
        let text = "apiVersion: nines/v1\nkind: SupportTier\nmetadata: {name: t}\nspec: ";
        check(&format!("{text}{{{keys}}}\n"), expect);
    };
    check("hours: 24x7, acknowledge: 5m, repair: 1h", &[]);
    check(
        "hours: 8x5, timeZone: Mars/Base, acknowledge: 5m, repair: 1h",
        &["4:30 spec.timeZone: text \"Mars/Base\" as `timeZone`"],
    );
    for hours in ["25x7", "8x8", "8*5", "always", "+8x5"] {
        let expect = format!("4:15 spec.hours: text {hours:?} as `hours`");
        check(&format!("hours: {hours}, acknowledge: 5m, repair: 1h"), &[&expect]);
    }
    check(
        "hours: 8x5, acknowledge: 0s, repair: 31d",
        &["4:33 spec.acknowledge: 0s is out of bounds", "4:45 spec.repair: 31d is out of bounds"],
    );
}

#[test]
fn a_latency_that_changes_nothing_is_warned_about() {
    let with =
        |under: &str| slo(&format!("objective: 99%, window: 30d, latency: {{under: {under}}}"));
    check(&with("4999ms"), &[]);
    check(
        &with("5s"),
        &[
            "warning 6:66 spec.slos[0].latency.under: probe a/p gives up after 5s, so this changes nothing",
        ],
    );
    check(&with("0ms"), &["6:66 spec.slos[0].latency.under: a latency of 0"]);
}

#[test]
fn bytes_that_cannot_be_sent_alone_are_warned_about() {
    check(
        &probe("tcp: {address: \"h:1\", send: \"\\xd2\"}"),
        &[
            "warning 5:50 spec.probes[0].tcp.send: text is sent as UTF-8: escapes from \\x80 to \\xff \
         become two bytes",
        ],
    );
    check(&probe("tcp: {address: \"h:1\", send: \"\\x7f\\0\"}"), &[]);
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
