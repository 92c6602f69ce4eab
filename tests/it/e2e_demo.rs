//! `nines demo` needs nothing and shows a burning budget within a minute.

use std::process::Command;
use std::time::Duration;

use crate::harness::daemon::BINARY;
use crate::harness::process::Process;
use crate::harness::{Exposition, http, ports, scratch, until};

/// The promise of the demo, from its start.
const PROMISE: Duration = Duration::from_secs(60);

#[test]
fn the_demo_prints_an_address_and_burns_a_budget_within_a_minute() {
    let dir = scratch("demo");
    let mut command = Command::new(BINARY);
    command.args(["demo", "--web.listen-address", &ports::free().to_string()]);
    let mut demo =
        Process::start("nines demo", command.current_dir(dir.path()), dir.path().join("log"));
    let burning = until("a budget to burn", PROMISE, || {
        assert_eq!(demo.ended(), None, "{}", demo.printed());
        let url = url_in(&demo.printed())?;
        let exposition = Exposition::parse(&http::get(&format!("{url}/metrics")).ok()?.text());
        let left = |s: &&crate::harness::exposition::Sample| {
            s.name == "nines_slo_error_budget_left_ratio" && s.value < 1.0
        };
        exposition.samples.iter().find(left).cloned().map(|sample| (url, sample))
    });
    let (url, sample) = burning;
    assert_eq!(http::get(&format!("{url}/")).expect("the page").status, 200);
    let page = format!("{url}/slo/{}", sample.labels["slo"]);
    assert_eq!(http::get(&page).expect("the page").status, 200, "{page}");
    assert!(demo.terminate().success(), "{}", demo.printed());
}

/// The first loopback URL in what was printed, without a trailing slash.
fn url_in(printed: &str) -> Option<String> {
    let start = printed.find("http://127.0.0.1:")?;
    let url = printed[start..].split(|c: char| c.is_whitespace() || "\"'`,)".contains(c)).next()?;
    Some(url.trim_end_matches(['/', '.']).to_owned())
}
