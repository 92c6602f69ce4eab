//! The ledger: durable, append-only history, embedded on SQLite.
//!
//! It keeps and hands back; it does not judge, and deletes only what it is told to let go and
//! what slices have replaced. What it keeps true: an append that returned survives `kill -9`
//! and power loss; a damaged row is told and moved aside, never silently counted or skipped;
//! one process writes. The file format is described in `docs/reference/ledger.md`.

mod batch;
mod cover;
mod damage;
mod disk;
mod dump;
mod error;
mod export;
mod files;
mod frontier;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod head;
mod import;
mod numbers;
mod pack;
mod prepared;
mod range;
mod reader;
mod rescue;
mod restore;
mod schema;
mod shape;
mod stats;
mod store;
mod survey;
#[cfg(test)]
mod tests;
mod tiers;
mod verify;
mod wal;
mod worker;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::time::Instant;

use crate::model::{Record, SeriesId};

pub use damage::{Damage, MAX_QUARANTINED, Part};
pub use disk::{Disk, SystemDisk};
pub use dump::Broken;
pub use error::LedgerError;
pub use export::Exported;
pub use range::LatencyRange;
pub use reader::Reader;
pub use rescue::Rescued;
pub use restore::{RestoreReport, Restored};
pub use stats::{BOUNDS_MICROS, Durations, Stats, Timing};
pub use tiers::{Compacted, Expired, RolledUp, Stretch};
pub use verify::{SeriesExtent, Verified};
pub use worker::MAX_BACKLOG_BYTES;
pub use writer::{MAX_QUEUED, MAX_UPKEEP, Submitted, Upkeep, Writer};

use files::Directory;
use frontier::Frontier;
use head::Head;
use prepared::Prepared;

/// How a ledger is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes set aside in a file of their own; given back when the disk is full, so that
    /// failures can still be written. Zero for none.
    pub reserve_bytes: u64,
    /// The database does not grow beyond this many bytes; none for no limit but the disk's.
    pub max_bytes: Option<u64>,
    /// What the files are on.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    /// 8 MiB in reserve: hours of failures only, at a hundred a second.
    fn default() -> Self {
        Options { reserve_bytes: 8 << 20, max_bytes: None, disk: Arc::new(SystemDisk) }
    }
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The sequence number of the newest batch in the ledger; batches are numbered without
    /// holes.
    pub seq: i64,
    /// Bytes of everything that was encoded, without SQLite's share.
    pub bytes: usize,
    /// How long it took.
    pub timing: Timing,
}

/// The history of all series, open for writing.
pub struct Ledger {
    /// Closed before the directory is let go.
    db: Connection,
    directory: Directory,
    path: PathBuf,
    options: Options,
    head: Head,
    series: BTreeMap<(String, String), SeriesId>,
    /// Known once history has been read.
    frontier: Option<Frontier>,
    /// Found while opening, told by the next restore.
    damage: Vec<Damage>,
    /// What a roll-up under way has yet to merge.
    plan: Option<tiers::Plan>,
    /// The number of the commit of which an I/O error left open whether it took place.
    doubt: Option<i64>,
}

impl Ledger {
    /// Opens the ledger in a directory; makes both where there are none, the directory with
    /// mode 0700.
    ///
    /// # Errors
    /// The directory is not ours, not writable, or held by another process; the database is
    /// another application's, of a later version, or damaged so that SQLite cannot read it.
    /// Nothing is changed or deleted in any of these cases.
    pub fn open(directory: &Path, options: Options) -> Result<Self, LedgerError> {
        let directory = Directory::claim(directory, options.disk.clone())?;
        if options.reserve_bytes > 0 {
            // Without room for a reserve there is none; the writer tries again later.
            directory.reserve(options.reserve_bytes);
        }
        let path = directory.database();
        let damage = directory.inspect_log()?;
        let db = schema::open(&directory)?;
        let mut ledger = Ledger {
            db,
            directory,
            path,
            options,
            head: Head::default(),
            series: BTreeMap::new(),
            frontier: None,
            damage: damage.into_iter().collect(),
            plan: None,
            doubt: None,
        };
        ledger.load()?;
        ledger.directory.keep_names()?;
        Ok(ledger)
    }

    /// Opens the database anew, keeping the lock: after an I/O error nothing that the old
    /// descriptors say can be relied on. Tells whether the change whose answer was that error
    /// took place after all; if so it is durable now.
    ///
    /// # Errors
    /// As [`Ledger::open`]; to be tried again later.
    pub fn reopen(&mut self) -> Result<bool, LedgerError> {
        self.db = schema::open(&self.directory)?;
        // A log whose sync failed may be whole in memory only, and be taken for synced by the
        // system: what it holds is written once more, into the database, and synced there.
        let (log, done): (i64, i64) = self
            .db
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
            .map_err(|source| self.sql("sync", source))?;
        if log != done {
            let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            let source = rusqlite::Error::SqliteFailure(busy, None);
            return Err(self.sql("sync", source));
        }
        self.damage.clear();
        self.load()?;
        self.directory.keep_names()?;
        Ok(self.doubt.take().is_some_and(|commit| self.head.commits >= commit))
    }

    /// Every series that was ever numbered: probe, vantage and number.
    pub fn all_series(&self) -> impl Iterator<Item = (&str, &str, SeriesId)> {
        self.series.iter().map(|((probe, vantage), id)| (probe.as_str(), vantage.as_str(), *id))
    }

    /// Keeps the records, all or none of them; durable when this returns.
    ///
    /// # Errors
    /// No room, and nothing was kept; or the system failed to write: then call
    /// [`Ledger::reopen`], which tells whether the records have been kept.
    pub fn append(&mut self, records: &[Record]) -> Result<Appended, LedgerError> {
        self.append_prepared(&[Prepared::new(records)])
    }

    /// Bytes that the ledger takes on disk, its log and reserve included.
    pub fn bytes_on_disk(&self) -> u64 {
        self.directory.bytes()
    }

    /// A random number, made with the ledger, as hexadecimal digits: a ledger that was deleted
    /// and begun anew has another one.
    pub fn epoch(&self) -> String {
        self.head.epoch.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Looks at every page of the database file for damage that checksums of rows cannot
    /// show; reads the whole file.
    ///
    /// # Errors
    /// The file is damaged, or cannot be read.
    pub fn verify(&self) -> Result<(), LedgerError> {
        let found: String = self
            .db
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|source| self.sql("verify", source))?;
        if found == "ok" {
            return Ok(());
        }
        Err(LedgerError::Malformed { path: self.path.clone(), detail: found })
    }

    /// Brings everything from the log into the database file and closes both.
    ///
    /// # Errors
    /// The file cannot be written; what was appended is in the log then, and no less durable.
    pub fn close(self) -> Result<(), LedgerError> {
        let path = self.path;
        self.db.close().map_err(|(_, source)| LedgerError::sql(&path, "close", source))
    }

    fn append_prepared(&mut self, parts: &[Prepared]) -> Result<Appended, LedgerError> {
        let mut head = self.head.clone();
        let ((), timing) = self.transact("append to", |tx| store::put(tx, &mut head, parts))?;
        self.head = head;
        self.note(parts);
        let bytes = parts.iter().map(Prepared::bytes).sum();
        Ok(Appended { seq: self.head.last_seq, bytes, timing })
    }

    fn note(&mut self, parts: &[Prepared]) {
        let Some(frontier) = &mut self.frontier else { return };
        for part in parts {
            for (&series, &(first, last)) in &part.spans {
                frontier.note_records(series, first, last);
            }
            for slice in &part.slices {
                frontier.note_slice(slice.series as u32, slice.from, slice.to);
            }
        }
    }

    /// Reads the books and the series' names, and applies the size limit.
    fn load(&mut self) -> Result<(), LedgerError> {
        let sql = |source| LedgerError::sql(&self.path, "read", source);
        self.head = match Head::load(&self.db).map_err(sql)? {
            Some(head) => head,
            None => {
                let why = "the books are damaged and were made anew from the rows; what was \
                           missing before cannot be told any more";
                self.damage.push(Damage::new(Part::Books, why));
                Head::from_rows(&self.db).map_err(sql)?
            }
        };
        self.series = store::load_series(&self.db, &self.head, &mut self.damage).map_err(sql)?;
        if let Some(bytes) = self.options.max_bytes {
            self.limit(bytes)?;
        }
        Ok(())
    }

    /// Sets the most bytes that the database file may take.
    fn limit(&self, bytes: u64) -> Result<(), LedgerError> {
        let sql = |source| self.sql("limit", source);
        let page: i64 = self.db.pragma_query_value(None, "page_size", |r| r.get(0)).map_err(sql)?;
        let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
        // Answers with the larger of what was asked for and what there already is.
        let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        self.db.pragma_update_and_check(None, "max_page_count", pages, read).map(drop).map_err(sql)
    }

    fn transact<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<(T, Timing), LedgerError> {
        let start = Instant::now();
        let run = || {
            let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&tx)?;
            let write = start.elapsed();
            tx.commit()?;
            Ok((done, Timing { write, sync: start.elapsed().saturating_sub(write) }))
        };
        let done = run().map_err(|source| LedgerError::sql(&self.path, doing, source));
        if let Err(error) = &done
            && !matches!(error, LedgerError::Full(_))
        {
            self.doubt = Some(self.head.commits + 1);
        }
        done
    }

    fn sql(&self, doing: &'static str, source: rusqlite::Error) -> LedgerError {
        LedgerError::sql(&self.path, doing, source)
    }
}

#[expect(clippy::missing_fields_in_debug, reason = "the rest is SQLite's or large")]
impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("path", &self.path).field("head", &self.head).finish()
    }
}
