//! The database: its tables, its settings, its version, and how it is opened.
//!
//! Every setting that a promise rests on is read back; SQLite ignores what it does not know.
//! An earlier format becomes this one when it is opened for writing, a step at a time, each of
//! them wholly or not at all.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior,
};

use super::disk::{Disk, SystemDisk};
use super::error::LedgerError;
use super::files::Directory;
use super::head::Head;

/// "nine" in ASCII: tells our databases from others (`PRAGMA application_id`, `file(1)`).
pub(super) const APPLICATION_ID: i64 = 0x6e69_6e65;

/// The format that this program writes, and the newest that it reads (`PRAGMA user_version`).
pub(super) const FORMAT: i64 = 1 + STEPS.len() as i64;

/// From one format to the next.
pub(super) type Step = fn(&Transaction<'_>) -> rusqlite::Result<()>;

/// The first one leads from format 1 to format 2. A version keeps the steps from the format
/// before its own, and `tests/golden` a ledger of each.
const STEPS: &[Step] = &[counts];

/// Format 2 has verdicts with counts. Everything of format 1 is read as it is; only the number
/// changes, so that a version that knows no counts does not take them for damage.
fn counts(_: &Transaction<'_>) -> rusqlite::Result<()> {
    Ok(())
}

/// The oldest format that can be read without being changed.
const READABLE_FROM: i64 = 1;

/// Two histograms of a day fit into a page of this size; at 4 KiB each would waste half a page.
pub(super) const PAGE_BYTES: i64 = 8_192;

/// How long a connection waits for the other one; only checkpoints make them meet.
const BUSY: Duration = Duration::from_secs(10);

/// `from`, `to` are microseconds since 1970, the end not included. Tables whose rows are
/// read by ascending key are clustered on it, so that appending touches their last page only.
const TABLES: &str = r#"
CREATE TABLE head(
  id INTEGER PRIMARY KEY CHECK (id = 1), epoch BLOB NOT NULL, commits INTEGER NOT NULL,
  first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
  next_series INTEGER NOT NULL, next_latencies INTEGER NOT NULL,
  series_n INTEGER NOT NULL, series_sum INTEGER NOT NULL,
  states_n INTEGER NOT NULL, states_sum INTEGER NOT NULL,
  shelves_n INTEGER NOT NULL, shelves_sum INTEGER NOT NULL, crc INTEGER NOT NULL
) STRICT;
CREATE TABLE series(
  id INTEGER PRIMARY KEY, probe TEXT NOT NULL, vantage TEXT NOT NULL, crc INTEGER NOT NULL
) STRICT;
CREATE TABLE batch(
  seq INTEGER PRIMARY KEY, first_due INTEGER NOT NULL, last_due INTEGER NOT NULL,
  n INTEGER NOT NULL, format INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE slice(
  "from" INTEGER NOT NULL, series INTEGER NOT NULL, "to" INTEGER NOT NULL,
  latencies INTEGER, crc INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY ("from", series)
) STRICT, WITHOUT ROWID;
CREATE TABLE shelf(
  "from" INTEGER NOT NULL, "to" INTEGER NOT NULL,
  n INTEGER NOT NULL, sum INTEGER NOT NULL, crc INTEGER NOT NULL,
  PRIMARY KEY ("from", "to")
) STRICT, WITHOUT ROWID;
CREATE TABLE latencies(
  id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE state(
  name TEXT NOT NULL PRIMARY KEY, json TEXT NOT NULL, crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine(
  id INTEGER PRIMARY KEY, part TEXT NOT NULL, first_seq INTEGER, last_seq INTEGER, series INTEGER,
  "from" INTEGER, "to" INTEGER, why TEXT NOT NULL, body BLOB
) STRICT;
"#;

/// Opens the ledger's database for writing; makes it if there is none.
pub(super) fn open(directory: &Directory) -> Result<Connection, LedgerError> {
    let path = directory.database();
    if !directory.has_database()? {
        create(directory)?;
    }
    directory.renew_log()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = connect(&path, flags, directory.disk())?;
    upgrade(&path, &db, STEPS)?;
    require(&path, &db, "journal_mode", Value::from("wal".to_owned()))?;
    require(&path, &db, "synchronous", Value::from(2))?;
    // A log that grew through one large transaction shrinks again at the next checkpoint.
    require(&path, &db, "journal_size_limit", Value::from(64 << 20))?;
    empty_log(&path, &db)?;
    Ok(db)
}

/// Begins the log anew. What torn or failed commits left behind at its end would be taken for
/// damage once later commits have been written over its beginning.
fn empty_log(path: &Path, db: &Connection) -> Result<(), LedgerError> {
    match db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        // Without room, or while somebody reads, it stays as it is for now.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => Ok(()),
        emptied => emptied.map_err(|source| LedgerError::sql(path, "open", source)),
    }
}

/// Opens the ledger's database for reading, beside its writer.
pub(super) fn open_to_read(directory: &Path) -> Result<Connection, LedgerError> {
    let path = directory.join(super::files::DATABASE);
    super::files::look_for(directory)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = connect(&path, flags, &SystemDisk)?;
    match number(&path, &db, "user_version")? {
        found if found < READABLE_FROM => {
            Err(LedgerError::Older { path, found, supported: FORMAT })
        }
        _ => Ok(db),
    }
}

/// Brings a database from an earlier format to the newest that the steps lead to.
pub(super) fn upgrade(path: &Path, db: &Connection, steps: &[Step]) -> Result<(), LedgerError> {
    let found = number(path, db, "user_version")?;
    let formats = (found + 1)..;
    let taken = usize::try_from(found - 1).unwrap_or(0);
    for (format, step) in formats.zip(steps.iter().skip(taken)) {
        let run = || {
            let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
            step(&tx)?;
            // Within the transaction: the new tables and the new number, or neither.
            tx.pragma_update(None, "user_version", format)?;
            tx.commit()
        };
        run().map_err(|source| LedgerError::sql(path, "upgrade", source))?;
        tracing::info!(format, "the ledger has been upgraded");
    }
    Ok(())
}

/// A ledger comes into being under another name and is renamed once it is complete, so that an
/// empty or half-made database is never taken for an empty history.
fn create(directory: &Directory) -> Result<(), LedgerError> {
    let path = directory.unfinished()?;
    let sql = |source| LedgerError::sql(&path, "create", source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = connection(&path, flags, directory.disk()).map_err(sql)?;
    require(&path, &db, "page_size", Value::from(PAGE_BYTES))?;
    require(&path, &db, "auto_vacuum", Value::from(0))?;
    require(&path, &db, "application_id", Value::from(APPLICATION_ID))?;
    require(&path, &db, "user_version", Value::from(FORMAT))?;
    db.execute_batch(&format!("BEGIN; {TABLES} COMMIT;")).map_err(sql)?;
    let epoch = db.query_row("SELECT randomblob(16)", [], |row| row.get(0)).map_err(sql)?;
    Head::new(epoch).store(&db).map_err(sql)?;
    require(&path, &db, "journal_mode", Value::from("wal".to_owned()))?;
    db.close().map_err(|(_, source)| sql(source))?;
    directory.adopt(&path)
}

fn connection(path: &Path, flags: OpenFlags, disk: &dyn Disk) -> rusqlite::Result<Connection> {
    match disk.vfs() {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
        None => Connection::open_with_flags(path, flags),
    }
}

fn connect(path: &Path, flags: OpenFlags, disk: &dyn Disk) -> Result<Connection, LedgerError> {
    let sql = |source| LedgerError::sql(path, "open", source);
    let db = connection(path, flags, disk).map_err(sql)?;
    db.busy_timeout(BUSY).map_err(sql)?;
    db.set_prepared_statement_cache_capacity(64);
    refuse_others(path, &db)?;
    require(path, &db, "cell_size_check", Value::from(1))?;
    require(path, &db, "trusted_schema", Value::from(0))?;
    require(path, &db, "temp_store", Value::from(2))?;
    // A disk that cannot be mapped into memory does not answer.
    if db.pragma_query_value(None, "mmap_size", |_| Ok(())).optional().map_err(sql)?.is_some() {
        require(path, &db, "mmap_size", Value::from(0))?;
    }
    // KiB, when negative: bounds our memory, and a restart reads everything once anyway.
    require(path, &db, "cache_size", Value::from(-8_192))?;
    Ok(db)
}

fn refuse_others(path: &Path, db: &Connection) -> Result<(), LedgerError> {
    let found = number(path, db, "application_id")?;
    if found != APPLICATION_ID {
        return Err(LedgerError::WrongApplication { path: path.into(), found });
    }
    match number(path, db, "user_version")? {
        1..=FORMAT => Ok(()),
        found if found > FORMAT => {
            Err(LedgerError::Newer { path: path.into(), found, supported: FORMAT })
        }
        found => Err(LedgerError::Malformed {
            path: path.into(),
            detail: format!("no version of nines ever wrote format {found}"),
        }),
    }
}

fn number(path: &Path, db: &Connection, pragma: &str) -> Result<i64, LedgerError> {
    db.pragma_query_value(None, pragma, |row| row.get(0))
        .map_err(|source| LedgerError::sql(path, "open", source))
}

/// Sets a pragma and reads it back.
fn require(
    path: &Path,
    db: &Connection,
    pragma: &'static str,
    wanted: Value,
) -> Result<(), LedgerError> {
    let sql = |source| LedgerError::sql(path, "set up", source);
    // Some answer with the new value, some with nothing: reading it back serves all.
    db.pragma(None, pragma, &wanted, |_| Ok(())).map_err(sql)?;
    let found: Value = db.pragma_query_value(None, pragma, |row| row.get(0)).map_err(sql)?;
    if found == wanted {
        return Ok(());
    }
    Err(LedgerError::Pragma {
        path: path.into(),
        pragma,
        wanted: format!("{wanted:?}"),
        found: format!("{found:?}"),
    })
}
