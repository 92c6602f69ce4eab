//! The operator's config file, good and bad.

use super::*;
use crate::model::source::Credentials;

fn read(text: &str) -> Result<Config, Vec<Problem>> {
    let content = text.as_bytes().to_vec();
    load(&SourceFile { path: "/etc/nines/config.yaml".into(), root: "/etc/nines".into(), content })
}

#[track_caller]
fn check(text: &str, expect: &[&str]) {
    let problems = read(text).err().unwrap_or_default();
    let told: Vec<String> = problems
        .iter()
        .map(|p| format!("{}:{} {}: {}", p.line, p.column, p.path, p.message))
        .collect();
    assert_eq!(told, expect, "in\n{text}");
}

fn rule(text: &str) -> egress::Rule {
    text.parse().expect("a rule")
}

#[test]
fn everything_in_the_file_reaches_the_settings() {
    let config = read(
        "specs: [specs, /srv/specs]
storage: {path: data, retention: 90d}
web: {listen: \":9999\", externalUrl: https://nines.example/, configFile: web.yml}
alerting:
  mode: rules
  alertmanagers: [\"http://am-1:9093\", \"http://am-2:9093/am/\"]
  resendDelay: 30s
vantage: {name: berlin}
labels: [stage, tier_1]
limits: {probes: 5, slos: 6, startsPerSecond: 7}
allowFilesOutsideSpecs: true
egress: {allow: [10.0.0.0/8, \"[fd00::/8]:443\"], deny: [10.1.2.3]}
autoReloadInterval: 30s
",
    )
    .expect("good");
    let mut settings = Settings { enable_lifecycle: true, ..Settings::default() };
    config.apply(&mut settings);
    let expect = Settings {
        specs: vec!["/etc/nines/specs".into(), "/srv/specs".into()],
        storage_path: "/etc/nines/data".into(),
        retention: Duration::from_secs(90 * 86_400),
        listen: "0.0.0.0:9999".parse().expect("an address"),
        external_url: "https://nines.example".into(),
        web_config: Some("/etc/nines/web.yml".into()),
        enable_lifecycle: true,
        alerting: Alerting::Rules,
        alertmanagers: vec!["http://am-1:9093".into(), "http://am-2:9093/am".into()],
        resend_delay: Duration::from_secs(30),
        vantage: "berlin".into(),
        metric_labels: vec!["stage".into(), "tier_1".into()],
        limits: crate::model::settings::Limits { probes: 5, slos: 6, starts_per_second: 7 },
        egress: Egress {
            allow: vec![rule("10.0.0.0/8"), rule("[fd00::/8]:443")],
            deny: vec![rule("10.1.2.3")],
        },
        references: References::default(),
        prometheus: Vec::new(),
        auto_reload_interval: Some(Duration::from_secs(30)),
    };
    assert_eq!(settings, expect);
    assert_eq!(config.allow_files_outside, Some(true));
}

#[test]
fn what_is_not_in_the_file_stays_as_it_is() {
    for empty in ["", "# nothing\n", "---\n", "storage: {}\nlimits: {}\n"] {
        let mut settings = Settings::default();
        read(empty).expect(empty).apply(&mut settings);
        assert_eq!(settings, Settings::default(), "{empty:?}");
    }
    let one = read("specs: a\n").expect("one path");
    assert_eq!(one.specs, Some(vec!["/etc/nines/a".into()]));
    let mut settings = Settings::default();
    read("web: {listen: \"127.0.0.1:1\"}").expect("good").apply(&mut settings);
    assert_eq!(settings.external_url, "http://127.0.0.1:1");
}

#[test]
fn every_problem_is_told_in_one_go() {
    check(
        "storage: {retension: 9d}\nweb: {listen: 10099}\nvantage: {name: Berlin}\n\
         labels: [slo, a-b]\n",
        &[
            "1:11 storage.retension: unknown key \"retension\"",
            "2:15 web.listen: the number \"10099\" where text is expected",
            "3:17 vantage.name: text \"Berlin\" as `name`",
            "4:10 labels[0]: text \"slo\" as `labels[0]`",
            "4:15 labels[1]: text \"a-b\" as `labels[1]`",
        ],
    );
    check("alerting: {mode: on}", &["1:18 alerting.mode: unknown word \"on\""]);
    check("storage: {retention: 1h}", &["1:22 storage.retention: 1h is out of bounds"]);
    check("alerting: {resendDelay: 0s}", &["1:25 alerting.resendDelay: 0s is out of bounds"]);
    check("limits: {probes: 0}", &["1:18 limits.probes: the number \"0\" as `probes`"]);
    check(
        "egress: {deny: [10.0.0.0/40, example.org]}",
        &[
            "1:17 egress.deny[0]: text \"10.0.0.0/40\" as `deny[0]`",
            "1:30 egress.deny[1]: text \"example.org\" as `deny[1]`",
        ],
    );
    check("vantage: {}\n---\nvantage: {}\n", &["3:1 : a second document"]);
    check("- a", &["1:1 : a list in place of a mapping"]);
}

#[test]
fn urls_with_passwords_are_refused_and_not_repeated() {
    let problems =
        read("alerting: {alertmanagers: [\"http://ana:hunter2@h\"]}").expect_err("secret");
    let text: String = problems.iter().map(|p| p.render(false)).collect();
    assert!(text.contains("user name or password") && !text.contains("hunter2"), "{text}");
    let error = parse_base_url("http://ana:hunter2@h").expect_err("secret").to_string();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn addresses_are_read_as_prometheus_reads_them() {
    let check = |text: &str, expect: Option<&str>| {
        let read = parse_listen(text).ok().map(|address| address.to_string());
        assert_eq!(read.as_deref(), expect, "{text}");
    };
    check("127.0.0.1:10099", Some("127.0.0.1:10099"));
    check(":10099", Some("0.0.0.0:10099"));
    check("localhost:1", Some("127.0.0.1:1"));
    check("[::1]:1", Some("[::1]:1"));
    for bad in ["10099", "h:1", "127.0.0.1", "127.0.0.1:65536", ""] {
        check(bad, None);
    }
}

#[test]
fn references_are_read_with_the_grammar_of_specs() {
    let config = read(
        "reference:
  interval: 500ms
  targets:
    - {name: gateway, tcp: {address: \"192.0.2.1:53\"}}
    - {name: peer, http: {url: \"https://peer.example/\", tls: {caFile: ca.pem}}}
    - {name: outside, tls: {address: \"one.example:443\"}}
  names: [one.example, two.test]
",
    )
    .expect("good");
    assert_eq!(config.warnings, []);
    let references = config.references.expect("given");
    assert_eq!(references.interval(), Duration::from_millis(500));
    let shown: Vec<_> = references
        .targets
        .iter()
        .chain(&references.names)
        .map(|probe| format!("{} {} {:?}", probe.id, probe.check.target(), probe.timeout))
        .collect();
    let expect = [
        "reference/gateway 192.0.2.1:53 375ms",
        "reference/peer https://peer.example/ 375ms",
        "reference/outside one.example:443 375ms",
        "resolver/name-0 one.example 375ms",
        "resolver/name-1 two.test 375ms",
    ];
    assert_eq!(shown, expect);
    let crate::model::check::Check::Http(peer) = &references.targets[1].check else {
        panic!("http");
    };
    assert_eq!(peer.tls.ca_file, Some("/etc/nines/ca.pem".into()), "beside the config file");
}

#[test]
fn wrong_references_are_told_with_their_place() {
    check("reference: {}\n", &["1:12 reference: no references"]);
    check(
        "reference:
  interval: 2s
  targets:
    - {name: a, tcp: {address: \"192.0.2.1:53\"}}
    - {name: a, tcp: {address: \"192.0.2.2:53\"}}
    - {name: b}
  names: [192.0.2.3]
",
        &[
            "2:13 reference.interval: 2s is out of bounds",
            "5:14 reference.targets[1].name: a second reference \"a\"",
            "6:7 reference.targets[2]: a key is missing",
            "7:11 reference.names[0]: an address, which needs no resolver",
        ],
    );
}

#[test]
fn few_references_and_those_that_are_promised_to_somebody_are_warned_of() {
    let config = read("reference: {targets: [{name: a, tcp: {address: \"192.0.2.1:53\"}}]}\n");
    let config = config.expect("good");
    let told: Vec<_> = config.warnings.iter().map(|w| w.message.as_str()).collect();
    assert_eq!(told, ["only 1 to tell whether we are cut off"]);
    let spec = "apiVersion: nines/v1
kind: Service
metadata: {name: shop}
spec:
  probes: [{name: front, http: {url: \"http://192.0.2.1:8080/\"}}]
";
    let file =
        SourceFile { path: "shop.yaml".into(), root: "".into(), content: spec.as_bytes().to_vec() };
    let loaded = super::super::load(&[file], &Default::default()).expect("good");
    let shared = config.shared_with(&loaded.catalog);
    let told: Vec<_> = shared.iter().map(|w| (w.line, w.message.as_str())).collect();
    assert_eq!(told, [(1, "192.0.2.1 is probed for an SLO, too, by shop/front")]);
}

#[test]
fn servers_are_named_with_their_secrets_in_files() {
    let config = read(
        "prometheus:
  main: {url: \"https://prom.example/x/\", bearer_token_file: token, ca_file: ca.pem}
  other:
    url: http://127.0.0.1:9090
    basic_auth: {username: ana, password_file: password}
    timeout: 20s
    interval: 15s
",
    )
    .expect("good");
    let mut settings = Settings::default();
    config.apply(&mut settings);
    let [main, other] = &settings.prometheus[..] else { panic!("two servers") };
    assert_eq!((main.name.as_str(), main.url.as_str()), ("main", "https://prom.example/x"));
    assert_eq!(main.credentials, Credentials::Bearer("/etc/nines/token".into()));
    assert_eq!(main.ca_file, Some("/etc/nines/ca.pem".into()));
    assert_eq!((main.interval, main.timeout), (Server::INTERVAL, Server::TIMEOUT));
    let password_file = "/etc/nines/password".into();
    assert_eq!(other.credentials, Credentials::Basic { username: "ana".into(), password_file });
    // No question takes longer than until the next one.
    assert_eq!(other.timeout, Duration::from_secs(15));
}

#[test]
fn servers_that_cannot_be_asked_are_refused() {
    let expect = "1:19 prometheus.main.url: a URL with a user name or password in it";
    check(
        "prometheus: {main: {url: \"http://ana:secret@prom\"}}",
        &[expect.replace("1:19", "1:26").as_str()],
    );
    check(
        "prometheus: {Main: {url: \"http://prom\"}}",
        &["1:14 prometheus.Main: \"Main\" as the name of a server"],
    );
    check(
        "prometheus: {main: {url: \"http://prom\", interval: 10m}}",
        &["1:51 prometheus.main.interval: 10m is out of bounds"],
    );
    check(
        "prometheus: {main: {url: \"http://p\", bearer_token_file: a, basic_auth: {username: b, \
         password_file: c}}}",
        &["1:72 prometheus.main.basic_auth: `basic_auth` stands beside `bearer_token_file`"],
    );
}
