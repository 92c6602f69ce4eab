//! Reading beside the writer, through a connection that cannot write.
//!
//! A read sees one moment of the ledger, never half of a commit, and never delays one.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::error::LedgerError;
use super::range::{self, LatencyRange};
use super::schema;
use crate::model::{SeriesId, Timestamp};

/// A ledger open for reading only; may be shared between threads, which then take turns.
pub struct Reader {
    path: PathBuf,
    db: Mutex<Connection>,
}

impl Reader {
    /// Opens the ledger in a directory for reading; somebody else may be writing it.
    ///
    /// # Errors
    /// There is no ledger, or it is not one that this version reads.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        let db = Mutex::new(schema::open_to_read(directory)?);
        Ok(Reader { path: directory.join(super::files::DATABASE), db })
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
        range::latencies(&db, series, from, to)
            .map_err(|source| LedgerError::sql(&self.path, "read", source))
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}
