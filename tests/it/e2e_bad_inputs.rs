//! Wrong flags, specs, directories and ports end in the promised exit code and in a message that
//! names the thing.

use std::path::Path;
use std::time::Duration;

use crate::harness::daemon::nines;
use crate::harness::process::Ran;
use crate::harness::{Daemon, Target, ports, scratch, specs};

const LIMIT: Duration = Duration::from_secs(30);

/// Fails unless the run ended with this code and its messages hold all of `named`.
#[track_caller]
fn check(ran: &Ran, code: i32, named: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    for name in named {
        assert!(ran.stderr.contains(name), "{name:?} is not named: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

/// `nines run` over one good spec, with these two settings.
fn run(dir: &Path, storage: &str, listen: &str) -> Ran {
    let file = dir.join("shop.yaml");
    std::fs::write(&file, specs::one_service("http://127.0.0.1:9/")).expect("writable");
    let file = file.to_string_lossy();
    let args = ["run", "--specs", &file, "--storage.path", storage, "--web.listen-address", listen];
    nines(&args, LIMIT)
}

#[test]
fn wrong_flags_are_a_usage_error() {
    check(&nines(&["run", "--storage.pth", "x"], LIMIT), 2, &["--storage.pth"]);
    check(&nines(&["run", "--web.listen-address", "here"], LIMIT), 2, &["here"]);
    check(&nines(&["walk"], LIMIT), 2, &["walk"]);
}

#[test]
fn invalid_specs_are_told_with_their_places() {
    let dir = scratch("bad-specs");
    let good = specs::one_service("http://127.0.0.1:9/");
    let bad =
        good.replace("objective: 99%", "objectve: 99%").replace("timeout: 500ms", "timeout: x");
    std::fs::write(dir.path().join("shop.yaml"), &bad).expect("writable");
    let place = |needle: &str| {
        let line = bad.lines().position(|line| line.contains(needle)).expect("in the spec");
        format!("shop.yaml:{}:", line + 1)
    };
    let (first, second) = (place("objectve"), place("timeout: x"));
    let named = ["objectve", "objective", first.as_str(), second.as_str()];
    let path = dir.path().to_string_lossy();
    // The report is what `check` is asked for: data, on stdout.
    let ran = nines(&["check", "--specs", &path], LIMIT);
    check(&Ran { stderr: ran.stdout.clone(), ..ran }, 3, &named);
    let storage = dir.path().join("data").display().to_string();
    let listen = ports::free().to_string();
    let args = ["run", "--specs", &path, "--storage.path", &storage];
    let args = [&args[..], &["--web.listen-address", &listen]].concat();
    check(&nines(&args, LIMIT), 3, &named);
}

#[test]
fn missing_specs_are_named() {
    let ran = nines(&["check", "--specs", "/no/such/place"], LIMIT);
    assert!(matches!(ran.code, Some(1..=3)), "{ran:?}");
    check(&ran, ran.code.unwrap_or(1), &["/no/such/place"]);
}

#[test]
fn storage_that_cannot_be_written_is_named() {
    let dir = scratch("unwritable");
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").expect("writable");
    // Below a file there can be no directory, not even for root.
    let storage = file.join("data").display().to_string();
    check(&run(dir.path(), &storage, &ports::free().to_string()), 1, &[&storage]);
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let dir = scratch("foreign");
    let foreign = dir.path().join("photos");
    std::fs::create_dir(&foreign).expect("writable");
    std::fs::write(foreign.join("holiday.jpg"), "sun").expect("writable");
    let storage = foreign.display().to_string();
    check(&run(dir.path(), &storage, &ports::free().to_string()), 1, &[&storage]);
    let left = std::fs::read_dir(&foreign).expect("still there").count();
    assert_eq!(left, 1, "something was written among foreign files");
}

#[test]
fn a_second_daemon_on_a_ledger_is_refused_and_the_first_goes_on() {
    let target = Target::start();
    let daemon = Daemon::start(&specs::one_service(&target.url()), &[]);
    let dir = scratch("second");
    let storage = daemon.storage().display().to_string();
    check(&run(dir.path(), &storage, &ports::free().to_string()), 1, &[&storage]);
    assert_eq!(daemon.get("/-/ready").status, 200);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = Target::start();
    let dir = scratch("port");
    let address = taken.url().replace("http://", "");
    let storage = dir.path().join("data").display().to_string();
    check(&run(dir.path(), &storage, &address), 1, &[&address]);
}
