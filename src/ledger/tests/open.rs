//! Opening: whose directory it is, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::ledger::schema::FORMAT;

fn refused(directory: &Path) -> LedgerError {
    Ledger::open(directory, plain()).expect_err("must be refused")
}

fn sql(directory: &Path, sql: &str) {
    let db = Connection::open(directory.join("ledger.db")).expect("opens");
    db.execute_batch(sql).expect("valid SQL");
}

#[test]
fn a_missing_directory_is_made_for_its_owner_only() {
    let outer = scratch();
    let path = outer.path().join("a/b");
    let ledger = open(&path);
    let mode = fs::metadata(&path).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(ledger.epoch().len(), 32);
}

#[test]
fn every_ledger_has_its_own_epoch_and_keeps_it() {
    let (a, b) = (scratch(), scratch());
    let first = open(a.path()).epoch();
    assert_eq!(open(a.path()).epoch(), first);
    assert_ne!(open(b.path()).epoch(), first);
}

#[test]
fn a_second_writer_is_refused_and_told_by_whom() {
    let directory = scratch();
    let _first = open(directory.path());
    let error = refused(directory.path());
    let expect = format!("(process {})", std::process::id());
    assert!(matches!(error, LedgerError::Held { .. }), "{error:?}");
    assert!(error.to_string().contains(&expect), "{error}");
}

#[test]
fn what_is_not_ours_is_refused_and_left_as_it_was() {
    let directory = scratch();
    let file = directory.path().join("notes.txt");
    fs::write(&file, "mine").expect("writable");
    assert!(matches!(refused(&file), LedgerError::NotADirectory(_)));
    assert!(matches!(refused(&file.join("deeper")), LedgerError::NotADirectory(_)));
    let error = refused(directory.path());
    assert!(matches!(&error, LedgerError::Foreign { example, .. } if example == "notes.txt"));
    let names = fs::read_dir(directory.path()).expect("readable").count();
    assert_eq!((names, fs::read(&file).expect("there")), (1, b"mine".to_vec()));
}

#[test]
fn a_fresh_file_system_is_not_foreign() {
    let directory = scratch();
    fs::create_dir(directory.path().join("lost+found")).expect("writable");
    open(directory.path());
}

#[test]
fn another_applications_database_is_refused() {
    let directory = scratch();
    sql(directory.path(), "PRAGMA application_id = 77; CREATE TABLE t(x);");
    let error = refused(directory.path());
    assert!(matches!(error, LedgerError::WrongApplication { found: 77, .. }), "{error:?}");
}

#[test]
fn a_newer_format_is_refused_and_both_numbers_are_told() {
    let directory = scratch();
    drop(open(directory.path()));
    sql(directory.path(), "PRAGMA user_version = 9");
    let error = refused(directory.path());
    assert!(matches!(error, LedgerError::Newer { found: 9, supported: FORMAT, .. }), "{error:?}");
}

#[test]
fn an_empty_database_is_not_an_empty_history() {
    let directory = scratch();
    drop(open(directory.path()));
    fs::write(directory.path().join("ledger.db"), "").expect("writable");
    assert!(matches!(refused(directory.path()), LedgerError::WrongApplication { found: 0, .. }));
    fs::remove_file(directory.path().join("ledger.db")).expect("there");
    fs::write(directory.path().join("ledger.db-wal"), "x").expect("writable");
    assert!(matches!(refused(directory.path()), LedgerError::Missing(_)));
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again() {
    let directory = scratch();
    fs::write(directory.path().join("ledger.db.new"), "half").expect("writable");
    let mut ledger = open(directory.path());
    assert_eq!(history(&mut ledger, Timestamp::MIN).1, RestoreReport::default());
}

#[test]
fn a_series_keeps_its_number_and_no_number_is_given_twice() {
    let directory = scratch();
    let id = |text: &str| text.parse::<ProbeId>().expect("valid");
    let mut ledger = open(directory.path());
    let a = ledger.series(&id("registry/pull"), "here").expect("numbered");
    let b = ledger.series(&id("registry/pull"), "there").expect("numbered");
    assert_ne!(a, b);
    drop(ledger);
    let mut ledger = open(directory.path());
    let c = ledger.series(&id("registry/push"), "here").expect("numbered");
    assert_eq!(ledger.series(&id("registry/pull"), "here").expect("known"), a);
    assert!(c > b && b > a);
    let all: Vec<_> = ledger.all_series().collect();
    let pull = |vantage, series| ("registry/pull", vantage, series);
    assert_eq!(all, [pull("here", a), pull("there", b), ("registry/push", "here", c)]);
}

#[test]
fn durability_rests_on_settings_that_are_in_force() {
    let directory = scratch();
    let ledger = open(directory.path());
    let ask = |pragma: &str| {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
        format!("{:?}", ledger.db.pragma_query_value(None, pragma, read).expect("known"))
    };
    assert_eq!(ask("journal_mode"), r#"Text("wal")"#);
    assert_eq!(ask("synchronous"), "Integer(2)");
    assert_eq!(ask("page_size"), "Integer(8192)");
}

#[test]
fn a_directory_that_may_not_be_written_is_named_with_the_remedy() {
    let directory = scratch();
    drop(open(directory.path()));
    // Root may write anywhere, except where nobody may: into a directory of the kernel's.
    let error = refused(Path::new("/proc/nines-ledger"));
    assert!(matches!(error, LedgerError::Unwritable { .. }), "{error:?}");
    assert!(error.to_string().contains("make it writable"), "{error}");
}

#[test]
fn the_reserve_takes_real_room_and_gives_it_back() {
    let directory = scratch();
    let options = Options { reserve_bytes: 1 << 20, ..plain() };
    let ledger = Ledger::open(directory.path(), options).expect("opens");
    let reserve = directory.path().join("reserve");
    let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&reserve).expect("there"));
    assert!(blocks * 512 >= 1 << 20);
    assert!(ledger.bytes_on_disk() >= 1 << 20);
    assert!(ledger.directory.release() && !reserve.exists());
}
