//! The harness itself is tried against the real programs, without the daemon.

use std::time::Duration;

use super::server::{Reply, Server};
use super::*;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn nginx_refuses_while_stopped_and_answers_again() {
    let mut nginx = Nginx::start();
    assert_eq!(http::get(&nginx.url()).expect("nginx runs").text(), "nginx is here\n");
    nginx.stop();
    assert!(http::get(&nginx.url()).is_err());
    nginx.resume();
    assert_eq!(http::get(&nginx.url()).expect("nginx runs").status, 200);
}

#[test]
fn prometheus_scrapes_and_answers() {
    let exporter = Server::start(|_| {
        let body = "# HELP tiny_things_total Things.\n# TYPE tiny_things_total counter\n\
                    tiny_things_total{kind=\"x\"} 42\n";
        Some(Reply { content_type: "text/plain; version=0.0.4", ..Reply::text(200, body) })
    });
    let prometheus = Prometheus::scraping(&[("tiny", exporter.address().to_string())]);
    let found = prometheus.wait_for("tiny_things_total{job=\"tiny\"}", SOON);
    assert_eq!((found[0].0["kind"].as_str(), found[0].1), ("x", 42.0));
    assert_eq!(prometheus.query("1 / 0").expect("a scalar")[0].1, f64::INFINITY);
    assert!(prometheus.query("rate(").is_err());
}

#[test]
fn promtool_and_amtool_tell_good_from_bad() {
    let good = b"# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n";
    assert_eq!(promtool::check_metrics(good).code, Some(0));
    let bad = promtool::check_metrics(b"# TYPE a_days gauge\na_days 1\n");
    assert_eq!(bad.code, Some(3), "{bad:?}");

    let dir = scratch("rules");
    let (rules, tests) = (dir.path().join("rules.yml"), dir.path().join("tests.yml"));
    let rule = "groups: [{name: g, rules: [{record: 'job:up:sum', expr: 'sum by (job) (up)'}]}]\n";
    std::fs::write(&rules, rule).expect("writable");
    let test = |value| {
        format!(
            "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    \
             input_series: [{{series: 'up{{job=\"a\"}}', values: '1 1'}}]\n    promql_expr_test:\n      \
             - {{expr: 'job:up:sum', eval_time: 1m, exp_samples: [{{labels: \
             'job:up:sum{{job=\"a\"}}', value: {value}}}]}}\n"
        )
    };
    std::fs::write(&tests, test(1)).expect("writable");
    let checked = promtool::check_rules(&rules);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let ran = promtool::test_rules(&tests);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    std::fs::write(&tests, test(2)).expect("writable");
    assert_ne!(promtool::test_rules(&tests).code, Some(0));
    std::fs::write(&rules, "groups: [{name: g, rules: [{record: x, expr: 'sum('}]}]\n")
        .expect("writable");
    assert_ne!(promtool::check_rules(&rules).code, Some(0));
    assert_ne!(promtool::amtool(&["check-config", &rules.to_string_lossy()]).code, Some(0));
}

#[test]
fn alertmanager_delivers_what_it_is_told_and_its_end() {
    let webhook = Webhook::start();
    let alertmanager = Alertmanager::delivering_to(&webhook.url());
    let tell = |ends_at: &str| {
        let alert = format!("[{{\"labels\":{{\"alertname\":\"Tried\"}}{ends_at}}}]");
        let headers = [("Content-Type", "application/json")];
        let url = format!("{}/api/v2/alerts", alertmanager.url());
        http::send("POST", &url, &headers, alert.as_bytes()).expect("an answer").status
    };
    assert_eq!(tell(""), 200);
    until("the page", SOON, || (webhook.statuses("Tried") == ["firing"]).then_some(()));
    assert_eq!(alertmanager.active("Tried").len(), 1);
    assert_eq!(alertmanager.active("Other").len(), 0);
    let start = alertmanager.active("Tried")[0]["startsAt"].as_str().map(str::to_owned);
    let start = start.expect("a start");
    assert_eq!(tell(&format!(",\"startsAt\":\"{start}\",\"endsAt\":\"{start}\"")), 200);
    until("its end", SOON, || (webhook.statuses("Tried") == ["firing", "resolved"]).then_some(()));
}

#[test]
fn targets_do_as_they_are_told_and_remember() {
    let mut target = Target::start();
    let url = target.url();
    let status = |path: &str| http::get(&format!("{url}{path}")).ok().map(|a| a.status);
    let served = || target.served().iter().map(|s| (s.path.clone(), s.status)).collect::<Vec<_>>();
    let logged = |n| until("the log line", SOON, || (served().len() == n).then_some(()));
    assert_eq!(status("/a"), Some(200));
    // An answer is logged after it is given, by one thread a connection.
    logged(1);
    target.behave(Behaviour::Status(503));
    target.behave_at("/b", Behaviour::Slow(Duration::from_millis(30)));
    assert_eq!(status("/a"), Some(503));
    logged(2);
    assert_eq!(status("/b"), Some(200));
    logged(3);
    target.stop();
    assert_eq!(status("/a"), None);
    target.resume();
    assert_eq!(status("/a"), Some(503));
    let served = || target.served().iter().map(|s| (s.path.clone(), s.status)).collect::<Vec<_>>();
    until("the last log line", SOON, || (served().len() == 4).then_some(()));
    let expect = [("/a", 200), ("/a", 503), ("/b", 200), ("/a", 503)];
    assert_eq!(served(), expect.map(|(path, status)| (path.to_owned(), status)));
    assert_eq!(target.accepted(), 4);
}

#[test]
fn silent_targets_hold_their_clients_until_they_go() {
    let target = Target::start();
    target.behave(Behaviour::Silent);
    let url = target.url();
    let client = std::thread::spawn(move || http::get(&url).is_err());
    until("the connection", SOON, || (target.accepted() == 1).then_some(()));
    throughout("silence", Duration::from_millis(200), || !client.is_finished());
    drop(target);
    assert!(client.join().expect("no panic"), "it was answered");
}

#[test]
fn chromium_reads_and_photographs_pages() {
    let page = Server::start(|_| {
        let body = "<!doctype html><title>t</title><p id=p>no</p>\
                    <script>p.textContent = 'script ran'</script>";
        Some(Reply { content_type: "text/html", ..Reply::text(200, body) })
    });
    assert!(browser::dom(&page.url()).contains("script ran"));
    let dir = scratch("picture");
    let png = dir.path().join("page.png");
    browser::screenshot(&page.url(), (320, 200), &png);
    let bytes = std::fs::read(&png).expect("just written");
    assert_eq!(&bytes[1..4], b"PNG");
}

#[test]
#[should_panic(expected = "install the Debian package `nothing-of-the-kind`")]
fn missing_programs_name_their_package() {
    process::program("nines-has-no-such-program", "nothing-of-the-kind");
}

#[test]
#[should_panic(expected = "in vain for the impossible")]
fn waiting_ends_at_its_deadline() {
    until("the impossible", Duration::from_millis(50), || None::<()>);
}

#[test]
#[should_panic(expected = "no longer true")]
fn what_must_stay_true_is_watched() {
    let mut looks = 0;
    throughout("two looks", Duration::from_secs(5), || {
        looks += 1;
        looks < 3
    });
}
