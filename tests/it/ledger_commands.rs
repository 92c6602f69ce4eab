//! `nines ledger`: what operators do to a history, through the program itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::daemon::nines;
use crate::harness::process::Ran;
use crate::harness::{Behaviour, Daemon, Target, scratch, until};

const LIMIT: Duration = Duration::from_secs(60);

fn ledger(args: &[&str], storage: &Path) -> Ran {
    let path = storage.to_str().expect("plain names");
    nines(&[&["ledger"], args, &["--storage.path", path]].concat(), LIMIT)
}

fn golden(directory: &Path) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ledger-v1/ledger.db");
    fs::copy(golden, directory.join("ledger.db")).expect("there");
}

fn verified(storage: &Path) -> (Option<i32>, Value) {
    let ran = ledger(&["verify", "--format", "json"], storage);
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    (ran.code, report)
}

#[test]
fn a_history_goes_out_and_in_again_and_is_the_same() {
    let (from, to) = (scratch("ledger"), scratch("ledger"));
    golden(from.path());
    let file = to.path().join("history.ndjson");
    let name = file.to_str().expect("plain names");
    let ran = ledger(&["export", "--output", name], from.path());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let text = fs::read_to_string(&file).expect("written");
    let first: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["ledger"]["schema"], "nines.ledger-export/v1");
    assert!(!to.path().join("history.ndjson.partial").exists(), "left behind");

    let copy = to.path().join("copy");
    let ran = ledger(&["import", "--input", name], &copy);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ledger(&["export"], &copy).stdout, text, "exported again");
    let ran = ledger(&["import", "--input", name], &copy);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("is not empty; name a new directory"), "{ran:?}");

    let (code, report) = verified(&copy);
    assert_eq!((code, &report["whole"]), (Some(0), &Value::Bool(true)));
    assert_eq!(report["schema"], "nines.ledger-verify/v1");
    assert_eq!(
        (&report["series"][0]["probe"], &report["slices"]),
        (&"registry/pull".into(), &2.into())
    );
    assert_eq!(report["epoch"], first["ledger"]["epoch"]);
}

#[test]
fn half_an_export_is_refused_and_damage_is_told_with_code_1() {
    let (from, to) = (scratch("ledger"), scratch("ledger"));
    golden(from.path());
    let text = ledger(&["export"], from.path()).stdout;
    let half = to.path().join("half");
    fs::write(&half, &text.as_bytes()[..text.len() / 2]).expect("writable");
    let name = half.to_str().expect("plain names");
    let ran = ledger(&["import", "--input", name], &to.path().join("copy"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("not a whole export, and nothing was imported"), "{ran:?}");

    let database = from.path().join("ledger.db");
    let mut bytes = fs::read(&database).expect("readable");
    let needle = b"got 503";
    let at = bytes.windows(needle.len()).position(|window| window == needle);
    let at = at.expect("a short batch is kept as it is");
    bytes[at] = b'G';
    fs::write(&database, bytes).expect("writable");
    let (code, report) = verified(from.path());
    assert_eq!((code, &report["whole"]), (Some(1), &Value::Bool(false)));
    assert_eq!(report["damage"][0]["part"], "batch");
    let ran = ledger(&["verify"], from.path());
    assert!(ran.stdout.contains("damaged: batch 1"), "{ran:?}");
    let ran = ledger(&["export"], from.path());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("not in the export: batch 1"), "{ran:?}");
    assert_eq!(ledger(&["verify"], &to.path().join("nothing")).code, Some(1));
}

#[test]
fn a_running_daemon_is_verified_and_replayed_without_being_stopped() {
    let target = Target::start();
    target.behave(Behaviour::Good);
    let specs = format!(
        "apiVersion: nines/v1\nkind: Service\nmetadata: {{name: shop}}\nspec:\n  probes:\n    \
         - {{name: p, http: {{url: \"{}\"}}, interval: 500ms, timeout: 500ms}}\n  \
         slos:\n    - {{name: availability, objective: 99%, window: 1h}}\n",
        target.url()
    );
    let daemon = Daemon::start(&specs, &[]);
    let good = || {
        let (code, report) = verified(&daemon.storage());
        assert_eq!((code, &report["whole"]), (Some(0), &Value::Bool(true)), "{report}");
        let good = report["series"][0]["good"].as_u64().unwrap_or(0);
        (good > 3).then_some(good)
    };
    let before = until("some results", LIMIT, good);
    until("more results", LIMIT, || good().filter(|after| *after > before));
    let ran = ledger(&["import"], &daemon.storage());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("is in use by another nines"), "{ran:?}");
    let specs = daemon.storage().with_file_name("specs");
    let (specs, storage) = (specs.to_str(), daemon.storage());
    let (specs, storage) = (specs.expect("plain"), storage.to_str().expect("plain"));
    let args = ["backtest", "--specs", specs, "--storage.path", storage, "--format", "json"];
    let ran = nines(&args, LIMIT);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("shop/availability"), "{ran:?}");
    assert_eq!(daemon.get("/-/ready").status, 200);
}

#[test]
fn a_ledger_that_is_refused_says_how_to_rescue_it_and_that_works() {
    let (from, to) = (scratch("ledger"), scratch("ledger"));
    golden(from.path());
    let whole = ledger(&["export"], from.path()).stdout;
    let database = from.path().join("ledger.db");
    let mut bytes = fs::read(&database).expect("readable");
    bytes[100..8_192].fill(0x55);
    fs::write(&database, &bytes).expect("writable");
    let ran = ledger(&["verify"], from.path());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("with `nines ledger rescue`"), "{ran:?}");
    let new = to.path().join("rescued");
    let ran = ledger(&["rescue", "--to", new.to_str().expect("plain names")], from.path());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ledger(&["export"], &new).stdout, whole);
    assert_eq!(verified(&new).0, Some(0));
    assert_eq!(fs::read(&database).expect("there"), bytes, "it was changed");
}
