//! From an earlier format to a later one: wholly or not at all, whenever the power fails.
//!
//! The formats that are later than that of this version are made up here.

use rusqlite::types::Value;

use super::drive::{Drive, Model, Rng};
use super::*;
use crate::ledger::schema::{FORMAT, Step, upgrade};

/// A table more, filled from what is there.
const TOWNS: Step = |tx| {
    tx.execute_batch(
        "CREATE TABLE town(id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
         INSERT INTO town SELECT id, 'town of ' || probe FROM series;",
    )
};

/// A column more, and other content in every row.
const NAMES: Step = |tx| {
    tx.execute_batch("UPDATE town SET name = upper(name); ALTER TABLE town ADD COLUMN size ANY;")
};

const FAILS: Step = |tx| tx.execute_batch("DELETE FROM series; SELECT * FROM nowhere;");

/// A ledger of this format has taken every real step already.
const TAKEN: Step = |_| Ok(());

/// The format before any step that is made up here.
const _: () = assert!(FORMAT == 2, "one step is TAKEN for each format after the first");

fn number(db: &Connection) -> i64 {
    db.pragma_query_value(None, "user_version", |row| row.get(0)).expect("readable")
}

fn towns(db: &Connection) -> Vec<String> {
    let query = db.prepare("SELECT name FROM town ORDER BY id");
    let Ok(mut query) = query else { return Vec::new() };
    let names = query.query_map([], |row| row.get(0)).expect("readable");
    names.collect::<rusqlite::Result<_>>().expect("texts")
}

fn filled(drive: &Drive, directory: &Path) -> Ledger {
    let options = Options { disk: Arc::new(drive.clone()), ..plain() };
    let mut ledger = Ledger::open(directory, options).expect("opens");
    if ledger.all_series().next().is_none() {
        for name in ["shop/home", "shop/cart"] {
            ledger.series(&name.parse().expect("valid"), "here").expect("numbered");
        }
    }
    ledger
}

#[test]
fn each_step_is_taken_once_and_a_step_that_fails_changes_nothing() {
    let directory = scratch();
    let ledger = filled(&Drive::new(), directory.path());
    let (path, db) = (&ledger.path, &ledger.db);
    assert_eq!(number(db), FORMAT);
    let error = upgrade(path, db, &[TAKEN, FAILS]).expect_err("fails");
    assert!(error.to_string().contains("cannot upgrade"), "{error}");
    let series: i64 = db.query_row("SELECT count(*) FROM series", [], |r| r.get(0)).expect("there");
    assert_eq!((number(db), series), (2, 2));
    upgrade(path, db, &[TAKEN, TOWNS]).expect("upgrades");
    assert_eq!(
        (number(db), towns(db)),
        (3, vec!["town of shop/home".into(), "town of shop/cart".into()])
    );
    upgrade(path, db, &[TAKEN, TOWNS, NAMES]).expect("upgrades");
    upgrade(path, db, &[TAKEN, TOWNS, NAMES]).expect("nothing is left to do");
    assert_eq!((number(db), towns(db)[0].as_str()), (4, "TOWN OF SHOP/HOME"));
}

#[test]
fn no_power_failure_leaves_an_upgrade_half_done() {
    let (drive, directory) = (Drive::new(), scratch());
    drop(filled(&drive, directory.path()));
    let begun = drive.model();
    drive.load(begun.clone());
    let ledger = filled(&drive, directory.path());
    upgrade(&ledger.path, &ledger.db, &[TAKEN, TOWNS, NAMES]).expect("upgrades");
    let (log, path) = (drive.log(), ledger.path.clone());
    drop(ledger);
    let mut model = begun;
    let mut seen = BTreeMap::new();
    for changes in 0..=log.len() {
        for fate in 0..5 {
            let mut rng = Rng(changes as u64 ^ fate << 32);
            drive.load(model.survive(&mut rng));
            // What SQLite leaves is looked at before this version refuses a later format.
            let vfs = drive.vfs().expect("a name");
            let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
            let db = Connection::open_with_flags_and_vfs(&path, flags, vfs).expect("opens");
            let format = number(&db);
            let expect: &[&str] = match format {
                2 => &[],
                3 => &["town of shop/home", "town of shop/cart"],
                _ => &["TOWN OF SHOP/HOME", "TOWN OF SHOP/CART"],
            };
            assert_eq!(towns(&db), expect, "before change {changes}, fate {fate}");
            upgrade(&path, &db, &[TAKEN, TOWNS, NAMES]).expect("goes on");
            assert_eq!((number(&db), towns(&db)[0].as_str()), (4, "TOWN OF SHOP/HOME"));
            let check: Value =
                db.pragma_query_value(None, "quick_check", |r| r.get(0)).expect("ok");
            assert_eq!(check, Value::from("ok".to_owned()));
            *seen.entry(format).or_insert(0) += 1;
        }
        if let Some(op) = log.get(changes) {
            model.apply(op);
        }
    }
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [2, 3, 4], "{seen:?}");
    drive.load(Model::default());
}
