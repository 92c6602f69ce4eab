//! Reading beside the writer, through a connection that cannot write.
//!
//! A read sees one moment of the ledger, never half of a commit, and never delays one. Nothing
//! is moved aside or mended: what is damaged is told, each time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::damage::{Damage, Part};
use super::error::LedgerError;
use super::head::Head;
use super::range::{self, LatencyRange};
use super::restore::{RestoreReport, Restored};
use super::survey::survey;
use super::{files, schema, store};
use crate::model::{SeriesId, Timestamp};

/// A ledger open for reading only; may be shared between threads, which then take turns.
pub struct Reader {
    path: PathBuf,
    db: Mutex<Connection>,
}

/// One moment of a ledger: its books, the numbers of its series, and what is wrong with those.
pub(super) struct Moment<'a> {
    pub db: &'a Connection,
    pub head: Head,
    pub series: BTreeMap<(String, String), SeriesId>,
    pub damage: Vec<Damage>,
}

impl Reader {
    /// Opens the ledger in a directory for reading; somebody else may be writing it.
    ///
    /// # Errors
    /// There is no ledger, or it is not one that this version reads.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        let db = Mutex::new(schema::open_to_read(directory)?);
        Ok(Reader { path: directory.join(files::DATABASE), db })
    }

    /// As [`super::Ledger::latencies`].
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn latencies(
        &self,
        series: SeriesId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<LatencyRange, LedgerError> {
        // A read that panicked has left nothing behind that the next one could trip over.
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        range::latencies(&db, series, from, to).map_err(|source| self.sql(source))
    }

    /// Every series that was ever numbered: probe, vantage and number.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn all_series(&self) -> Result<Vec<(String, String, SeriesId)>, LedgerError> {
        self.at_once(|moment| {
            let series = moment.series.iter();
            Ok(series.map(|((probe, vantage), id)| (probe.clone(), vantage.clone(), *id)).collect())
        })
    }

    /// As [`super::Ledger::restore`], but damage is told and left where it is.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn restore(
        &self,
        since: Timestamp,
        sink: &mut dyn FnMut(Restored<'_>),
    ) -> Result<RestoreReport, LedgerError> {
        self.at_once(|moment| {
            let mut report = survey(moment.db, &moment.head, since, sink)?.report;
            report.damage.splice(0..0, moment.damage.iter().cloned());
            Ok(report)
        })
    }

    /// Where the database is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads within one transaction, so that everything is of one moment.
    pub(super) fn at_once<T>(
        &self,
        work: impl FnOnce(&Moment<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || {
            let tx = db.unchecked_transaction()?;
            let mut damage = Vec::new();
            let head = match Head::load(&tx)? {
                Some(head) => head,
                None => {
                    let why = "the books are damaged; what is missing cannot be told";
                    damage.push(Damage::new(Part::Books, why));
                    Head::from_rows(&tx)?
                }
            };
            let series = store::load_series(&tx, &head, &mut damage)?;
            let done = work(&Moment { db: &tx, head, series, damage })?;
            tx.finish()?;
            Ok(done)
        };
        read().map_err(|source| self.sql(source))
    }

    fn sql(&self, source: rusqlite::Error) -> LedgerError {
        LedgerError::sql(&self.path, "read", source)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}
