//! Wrong flags, specs, directories and ports end in the promised exit code and in a message that
//! names the thing.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::daemon::{BINARY, nines};
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
    // What is said and cannot be meant is wrong usage as well, whoever finds out.
    let dir = scratch("usage");
    let file = dir.path().join("shop.yaml");
    std::fs::write(&file, specs::one_service("http://127.0.0.1:9/")).expect("writable");
    let file = file.to_string_lossy();
    let of_shop = ["report", "--service", "shop"];
    let backtest = ["backtest", "--specs", &file];
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    let cases: [(&[&[&str]], &[&str]); 17] = [
        (&[&["check", &file]], &["a path is named with '--specs'"]),
        (&[&["ledger", "verify", &file]], &["a path is named with '--storage.path'"]),
        (&[&["check"]], &["no specs are named", "--specs PATH"]),
        (&[&["rules"]], &["no specs are named"]),
        (&[&["fit"]], &["no specs are named"]),
        (&[&["run"]], &["no specs are named"]),
        (&[&of_shop, &["--specs", &file]], &["--storage.path DIR or --events FILE"]),
        (&[&of_shop, &["--period", "last-30x"]], &["last-30x", "last-30d"]),
        (&[&of_shop, &["--time-zone", "Mars/Olympus"]], &["Mars/Olympus", "Europe/Berlin"]),
        (&[&of_shop, &["--worst", "3x"]], &["3x", "30d"]),
        (&[&of_shop, &["--url", "127.0.0.1:1"]], &["--url", "begins with http://"]),
        (&[&["slo", "show", "shop"]], &["\"shop\"", "artifact-registry/"]),
        (&[&["probe", "shop.example"]], &["tcp://host:port"]),
        (&[&["probe", "http://h/", "--header", "x"]], &["`Name: value`"]),
        (&[&["probe", "http://h/", "--timeout", "0s"]], &["--timeout 5s"]),
        (&[&backtest, &["--from", early]], &["--events <FILE>|--storage.path <DIR>>"]),
        (
            &[&backtest, &["--storage.path", "x", "--from", late, "--to", early]],
            &["--from is not before --to"],
        ),
    ];
    for (args, named) in cases {
        check(&nines(&args.concat(), LIMIT), 2, named);
    }
    let ran = nines(&["slo", "list", "--url", "http://ana:secret@127.0.0.1:1"], LIMIT);
    check(&ran, 2, &["without user"]);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let dir = scratch("absent");
    let file = dir.path().join("shop.yaml");
    std::fs::write(&file, specs::one_service("http://127.0.0.1:9/")).expect("writable");
    let file = file.to_string_lossy();
    let nothing = dir.path().join("nothing");
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).expect("writable");
    let [nothing, empty] = [&nothing, &empty].map(|path| path.display().to_string());
    let specs = ["--specs", &file];
    // No directory, one without a ledger, and a file are no ledger; whoever asks.
    for place in [nothing.as_str(), &empty, &file] {
        let at = ["--storage.path", place];
        let commands: [&[&str]; 6] = [
            &["ledger", "verify"],
            &["ledger", "export"],
            &["ledger", "rescue", "--to", &nothing],
            &["backtest", "--specs", &file],
            &["fit", "--specs", &file],
            &["report", "--service", "shop", "--specs", &file],
        ];
        for command in commands {
            let told = format!("there is no ledger at {place}; name its directory with --storage");
            check(&nines(&[command, &at].concat(), LIMIT), 1, &[&told]);
        }
    }
    let ran = nines(&[&["fit", "dreams"], &specs[..]].concat(), LIMIT);
    check(&ran, 1, &["there is no application \"dreams\"; none is declared"]);
    let ran = nines(&[&["fit", "--service", "shpo"], &specs[..]].concat(), LIMIT);
    check(&ran, 1, &["there is no service \"shpo\"; there are shop"]);
    check(&nines(&[&["fit"], &specs[..]].concat(), LIMIT), 0, &["no application is declared"]);
    let ran = nines(&[&["backtest", "--events", "/dev/null"], &specs[..]].concat(), LIMIT);
    check(&ran, 0, &["nothing to replay: /dev/null holds no event"]);
    // A reason that is part of the message is not repeated after it.
    let ran = nines(&[&["backtest", "--events", &empty], &specs[..]].concat(), LIMIT);
    check(&ran, 1, &["Is a directory"]);
    assert_eq!(ran.stderr.matches("Is a directory").count(), 1, "{}", ran.stderr);
    let target = Target::start();
    let daemon = Daemon::start(&specs::one_service(&target.url()), &[]);
    let ask = |args: &[&str]| nines(&[args, &["--url", &daemon.url()]].concat(), LIMIT);
    check(&ask(&["slo", "list", "--team", "blu"]), 1, &["no team \"blu\"; there are blue"]);
    let known = "there are shop/availability";
    check(&ask(&["slo", "show", "shop/x"]), 1, &["no SLO \"shop/x\"", known]);
    check(&ask(&["slo", "show", "shpo/x"]), 1, &["no SLO \"shpo/x\"", known]);
    check(&ask(&["fit", "--service", "shpo"]), 1, &["no service \"shpo\"; there are shop"]);
    check(&ask(&["report", "--service", "shpo"]), 1, &["no service \"shpo\"; there are shop"]);
}

#[test]
fn a_reader_that_has_read_enough_is_no_error_and_a_full_disk_is_one() {
    let dir = scratch("pipes");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ledger-v2/ledger.db");
    std::fs::copy(golden, dir.path().join("ledger.db")).expect("the golden ledger");
    let storage = dir.path().display().to_string();
    for args in [&["schema"][..], &["ledger", "export", "--storage.path", &storage]] {
        let start = |out: Stdio| {
            let mut command = Command::new(BINARY);
            command.args(args).stdin(Stdio::null()).stdout(out).stderr(Stdio::piped());
            command.spawn().expect("nines starts")
        };
        let mut child = start(Stdio::piped());
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), &*told), (Some(0), ""), "{args:?}");
        let full = File::options().write(true).open("/dev/full").expect("Linux has one");
        let ended = start(full.into()).wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert!(told.contains("cannot write to stdout: No space left"), "{told}");
    }
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
fn a_correction_is_no_suggestion_for_what_it_withdraws() {
    let dir = scratch("withdraws");
    let file = dir.path().join("correction.yaml");
    let text = "apiVersion: nines/v1\nkind: Correction\nmetadata: {name: not-ours}\nspec: \
                {withdraws: fault, reason: ours, author: ana}\n";
    std::fs::write(&file, text).expect("writable");
    let ran = nines(&["check", "--specs", &file.to_string_lossy()], LIMIT);
    let named = ["unknown Correction \"fault\"", "expected: there is no Correction at all"];
    check(&Ran { stderr: ran.stdout.clone(), ..ran }, 3, &named);
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
