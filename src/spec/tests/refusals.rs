//! What the reader refuses, and the place and the words with which it does.

use super::*;

#[test]
fn keys_are_known_unique_and_complete() {
    check(&spec("probs: []"), &["5:3 spec.probs: unknown key \"probs\""]);
    check(&spec("? [a]\n  : b"), &["5:5 spec: a list as a key"]);
    let active = "5:14 spec.links.a: a link that could run a script";
    for link in ["javascript:x()", " JavaScript:x()", "java\\tscript:x", "data:text/html,x"] {
        check(&spec(&format!("links: {{a: \"{link}\"}}")), &[active]);
    }
    check(&spec("links: {a: \"https://h/#javascript:x\", b: \"#chat\", c: \"mailto:a@b\"}"), &[]);
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
    check(&version("openslo/v1"), &[]);
    let v2 = version("openslo/v2");
    check(&v2, &["1:13 apiVersion: `openslo/v2` is not read by nines"]);
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
    check(http(", version: http3"), "5:56 spec.probes[0].http.version", "`http3`");
}

#[test]
fn slices_are_whole_minutes_that_hold_a_slot_and_fit_the_window() {
    let check = |method: &str, at: &str, told: &str| {
        let text = slo(&format!("objective: 99%, window: 1d, alerting: none, method: {method}"));
        let told = format!("{at} {told}");
        let expect = [told.as_str()];
        super::check(&text, if told == " " { &[] } else { &expect });
    };
    let method = "spec.slos[0].method";
    check("{timeslices: {slice: 5m, sliceObjective: 95%}}", "", "");
    check("{timeslices: {slice: 1h, sliceObjective: 1}}", "", "");
    check("{ratioTimeslices: {slice: 1m}}", "", "");
    let without = |word: &str| format!("{method}: `{word}` without the length of a slice");
    check("timeslices", "6:72", &without("timeslices"));
    check("ratioTimeslices", "6:72", &without("ratioTimeslices"));
    check(
        "{timeslices: {slice: 1m}}",
        "6:85",
        &format!("{method}.timeslices: missing key `sliceObjective`"),
    );
    check(
        "{ratioTimeslices: {slice: 1m, sliceObjective: 1}}",
        "6:102",
        &format!("{method}.ratioTimeslices.sliceObjective: unknown key \"sliceObjective\""),
    );
    let slice = format!("{method}.ratioTimeslices.slice");
    let odd = |text: &str| format!("{slice}: a slice of {text} is not a whole number of minutes");
    check("{ratioTimeslices: {slice: 30s}}", "6:98", &odd("30s"));
    check("{ratioTimeslices: {slice: 90s}}", "6:98", &odd("1m30s"));
    check("{ratioTimeslices: {slice: 0s}}", "6:98", &odd("0s"));
    let long = format!("{slice}: a slice of 2d is longer than the window of 1d");
    check("{ratioTimeslices: {slice: 2d}}", "6:98", &long);
    check(
        "{timeslices: {slice: 1m, sliceObjective: 0%}}",
        "6:113",
        &format!("{method}.timeslices.sliceObjective: slices that are good whatever happens"),
    );
}

#[test]
fn a_calendar_window_has_a_unit_and_a_zone_that_exist() {
    let window = |keys: &str| slo(&format!("objective: 99%, window: {{{keys}}}"));
    let at = "6:45 spec.slos[0].window";
    check(&window("calendar: month, timeZone: Europe/Berlin"), &[]);
    check(&window("calendar: quarter"), &[]);
    check(
        &window("calendar: fortnight"),
        &["6:55 spec.slos[0].window.calendar: unknown word \"fortnight\""],
    );
    check(
        &window("calendar: week, timeZone: Europe/Bern"),
        &["6:71 spec.slos[0].window.timeZone: text \"Europe/Bern\" as `timeZone`"],
    );
    check(&window("timeZone: UTC"), &["6:44 spec.slos[0].window: missing key `calendar`"]);
    check(
        &window("rolling: 30d, calendar: month"),
        &[format!("{at}.rolling: unknown key \"rolling\"").as_str()],
    );
    // A day has 23 hours at times, so pairs of a day are left out.
    check(
        &window("calendar: day, timeZone: Europe/Berlin"),
        &["warning 6:44 spec.slos[0].window: 2 of 4 pairs of the default policy look back less \
           than calendar day (Europe/Berlin); they alone alert"],
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
        &["warning 5:15 spec.dependsOn[0]: no `commonCause`: 10% of the failures are taken to \
             hit all at once"],
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
}

#[test]
fn pairs_that_look_back_further_than_the_window_are_refused_or_left_out() {
    let long = slo("objective: 99%, window: 2d, alerting: {policy: workbook}");
    let message = "policy `workbook` looks back 3d, further than the window of 2d";
    super::check(&long, &[&format!("6:67 spec.slos[0].alerting.policy: {message}")]);
    let default = |window: &str, n_pairs: usize, n_warnings: usize| {
        let text = slo(&format!("objective: 99%, window: {window}"));
        let loaded = super::read(&text).expect("valid");
        let (_, slo) = loaded.catalog.slos().next().expect("one");
        assert_eq!(slo.policy.as_ref().map_or(0, |policy| policy.pairs.len()), n_pairs);
        assert_eq!(loaded.warnings.len(), n_warnings, "{window}");
    };
    default("3d", 4, 0);
    default("2d", 3, 1);
    default("1h", 1, 1);
    default("30m", 0, 1);
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
    super::check(&probe("interval: 1s"), &["5:12 spec.probes[0]: a key is missing"]);
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
    check("hours: automatic, acknowledge: 10s, repair: 0s", &[]);
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
        &["warning 6:66 spec.slos[0].latency.under: probe a/p gives up after 5s, so this \
             changes nothing"],
    );
    check(&with("0ms"), &["6:66 spec.slos[0].latency.under: a latency of 0"]);
}

#[test]
fn bytes_that_cannot_be_sent_alone_are_warned_about() {
    check(
        &probe("tcp: {address: \"h:1\", send: \"\\xd2\"}"),
        &["warning 5:50 spec.probes[0].tcp.send: text is sent as UTF-8: escapes from \\x80 to \
             \\xff become two bytes"],
    );
    check(&probe("tcp: {address: \"h:1\", send: \"\\x7f\\0\"}"), &[]);
}

/// An application with these keys in its spec, from line 5 on, and a service `a`.
fn application(keys: &str) -> String {
    let a = spec("description: b");
    format!(
        "apiVersion: nines/v1\nkind: Application\nmetadata: {{name: shop}}\nspec:\n  {keys}\n---\n{a}"
    )
}

#[test]
fn applications_say_what_they_need_and_of_whom() {
    let whole = "needs: {objective: 99.9%, window: 30d}\n  dependsOn: [{service: a}]";
    check(&application(whole), &[]);
    check(
        &application("dependsOn: [{service: aa}]"),
        &[
            "5:3 spec: missing key `needs`",
            "5:25 spec.dependsOn[0].service: unknown Service \"aa\"",
        ],
    );
    let problem = read(&application("dependsOn: [{service: aa}]")).expect_err("wrong").remove(1);
    assert_eq!(problem.hint.as_deref(), Some("did you mean `a`?"));
    check(
        &application("needs: {objective: 100%, window: 401d}\n  dependsOn: []"),
        &[
            "5:22 spec.needs.objective: text \"100%\" as `objective`",
            "5:36 spec.needs.window: the window 401d is longer than history is kept",
            "6:14 spec.dependsOn: a list of 0",
        ],
    );
    let with = |more: &str| application(&format!("{whole}\n  {more}"));
    check(&with("reserve: 50%\n  support: {hours: 8x5, acknowledge: 15m}"), &[]);
    check(
        &with("reserve: 100%\n  support: {hours: 8x8, acknowledge: 0s, repair: 31d}"),
        &[
            "7:12 spec.reserve: a reserve of the whole budget",
            "8:20 spec.support.hours: text \"8x8\" as `hours`",
            "8:38 spec.support.acknowledge: 0s is out of bounds",
            "8:50 spec.support.repair: 31d is out of bounds",
        ],
    );
    check(
        &format!(
            "{}---\n{}",
            application(whole),
            application(whole).split("---").next().expect("one")
        ),
        &["16:18 metadata.name: a second Application \"shop\""],
    );
}

#[test]
fn the_parts_of_an_application_reach_the_catalogue() {
    let text = application(
        "needs: {objective: 99.9%, window: 28d}\n  reserve: 40%\n  \
         support: {hours: 24x7, acknowledge: 5m, repair: 20m}\n  dependsOn: [{service: a, impact: soft}]",
    );
    let catalog = catalog(&text);
    let shop = catalog.application("shop").expect("declared");
    assert_eq!((shop.objective.ppb(), shop.window.to_string()), (999_000_000, "28d".into()));
    assert_eq!(shop.reserve.map(|reserve| reserve.to_string()).as_deref(), Some("40%"));
    let support = shop.support.expect("declared");
    assert_eq!((support.acknowledge.as_secs(), support.repair.as_secs()), (300, 1_200));
    assert_eq!(shop.depends_on[0].impact, crate::model::catalog::Impact::Soft);
}
