//! What can go wrong with a ledger, by who can mend it and how.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the ledger cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The path names something else than a directory.
    #[error("{} is not a directory; name a directory for the ledger", .0.display())]
    NotADirectory(PathBuf),
    /// The directory belongs to something else.
    #[error(
        "{} is not a ledger and not empty (it holds {example:?}); name a new or empty directory",
        path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One of the names found in it.
        example: String,
    },
    /// The operating system does not let us write there.
    #[error(
        "cannot write to {}: {source}; make it writable for the user that runs nines, \
         or name another directory", path.display()
    )]
    Unwritable {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the ledger open for writing.
    #[error(
        "{} is in use by another nines{}; stop that one first, or name another directory",
        path.display(), pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    Held {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, where it could be read.
        pid: Option<u32>,
    },
    /// The database is some other application's.
    #[error(
        "{} is an SQLite database of another application (application_id {found:#x}); \
         name another directory", path.display()
    )]
    WrongApplication {
        /// The database.
        path: PathBuf,
        /// Its application_id.
        found: i64,
    },
    /// The database was written by a later version.
    #[error(
        "{} has format {found}, and this nines reads formats up to {supported}; \
         run a newer nines, or restore a backup that an older one made", path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format this program reads.
        supported: i64,
    },
    /// The database was written by an earlier version, and is only read.
    #[error(
        "{} has format {found}, and this nines reads format {supported}; start `nines run` on it \
         once, which upgrades it", path.display()
    )]
    Older {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format this program reads.
        supported: i64,
    },
    /// There is none, and it was only to be read.
    #[error("there is no ledger at {}; name its directory with --storage.path", .0.display())]
    Absent(PathBuf),
    /// There is a ledger's log, but no database.
    #[error(
        "{} is missing although its log is there; restore both from a backup, or move the log \
         away to begin an empty history", .0.display()
    )]
    Missing(PathBuf),
    /// SQLite cannot read the database file.
    #[error(
        "{} is damaged beyond what its checksums can set aside ({detail}), and was left as it is; \
         restore a backup, or save what can be read into a new ledger with `nines ledger rescue` \
         (docs/reference/ledger.md)", path.display()
    )]
    Malformed {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// An import would change a history that is there already.
    #[error("{} is not empty; name a new directory", .0.display())]
    NotEmpty(PathBuf),
    /// What was to be imported is not whole, or no export.
    #[error("not a whole export, and nothing was imported: {0}")]
    Broken(super::dump::Broken),
    /// SQLite does not keep a setting that the durability promise rests on.
    #[error("SQLite answered {found:?} to {pragma} = {wanted:?} for {}; is it a network file system \
             without shared memory? name a directory on a local disk", path.display())]
    Pragma {
        /// The database.
        path: PathBuf,
        /// The setting.
        pragma: &'static str,
        /// What was asked for.
        wanted: String,
        /// What is in force.
        found: String,
    },
    /// No room left on the disk, or the size limit of the ledger is reached.
    #[error("no room left for {}; free disk space or raise the limit", .0.display())]
    Full(PathBuf),
    /// The system failed to read or write.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Any other complaint of SQLite's.
    #[error("cannot {doing} {}: {source}", path.display())]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Records are not on disk yet; they are kept in memory and tried again.
    #[error("not durable yet, and tried again until it is: {0}")]
    NotDurable(String),
    /// The writer thread is gone.
    #[error("the ledger's writer has stopped; restart nines")]
    Stopped,
}

impl LedgerError {
    /// Whether trying again later can help without anybody changing the configuration.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            LedgerError::Full(_)
                | LedgerError::Io { .. }
                | LedgerError::Sql { .. }
                | LedgerError::Unwritable { .. }
                | LedgerError::Held { .. }
                | LedgerError::NotDurable(_)
        )
    }

    /// Sorts an error of SQLite's by its cause.
    pub(super) fn sql(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => LedgerError::Full(path),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                LedgerError::Malformed { path, detail: source.to_string() }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                LedgerError::Unwritable { path, source: io::Error::other(source) }
            }
            _ => LedgerError::Sql { doing, path, source },
        }
    }
}
