//! What can still be read of a ledger that SQLite refuses, into a new one.
//!
//! Works on a copy. Where the tables' definitions are lost, those of a new ledger take their
//! place: they are the same in every ledger of a format. Each table is read from both ends, and
//! batches one by one, so that a damaged page costs what is on it. What was out of reach is
//! noted in the new ledger.

use std::fs;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::damage::Damage;
use super::error::LedgerError;
use super::export;
use super::files::{self, DATABASE};
use super::schema::PAGE_BYTES;
use super::{Ledger, Options};

/// Bytes of the header of a database that tell its own size and room, and not its kind
/// (<https://www.sqlite.org/fileformat2.html#the_database_header>).
const PAGES: std::ops::Range<usize> = 28..32;
const FREE: std::ops::Range<usize> = 32..40;

/// What was saved, and what was not.
#[derive(Clone, Debug, Default)]
pub struct Rescued {
    /// Rows and notes that are in the new ledger.
    pub lines: u64,
    /// What was damaged or out of reach.
    pub damage: Vec<Damage>,
}

impl Ledger {
    /// Reads what can be read of the ledger in `from`, which nobody may be writing and which
    /// stays as it is, into a new one in `to`.
    ///
    /// # Errors
    /// Nothing at all can be read, `to` is not new or empty, or the disk does not take it.
    pub fn rescue(from: &Path, to: &Path) -> Result<Rescued, LedgerError> {
        files::look_for(from)?;
        let options = || Options { reserve_bytes: 0, ..Options::default() };
        // Empty, and the pattern of what its tables are.
        Ledger::open(to, options())?.close()?;
        let _held = files::hold_unwritten(from)?;
        let copy = Copy::make(from, to)?;
        let damage = copy.read()?;
        let mut ledger = Ledger::open(to, options())?;
        let text = fs::File::open(&copy.text).map_err(|source| copy.io(source))?;
        let lines = ledger.import(&mut BufReader::new(text))?;
        ledger.close()?;
        Ok(Rescued { lines, damage })
    }
}

/// A copy of the damaged files; removed when dropped.
struct Copy {
    path: PathBuf,
    log: PathBuf,
    /// What could be read of it.
    text: PathBuf,
    from: PathBuf,
    pattern: PathBuf,
}

impl Drop for Copy {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-text"] {
            // What is left of it is in nobody's way.
            let _ = fs::remove_file(format!("{}{end}", self.path.display()));
        }
    }
}

impl Copy {
    fn make(from: &Path, to: &Path) -> Result<Self, LedgerError> {
        let path = to.join(format!("{DATABASE}.rescue"));
        let log = to.join(format!("{DATABASE}.rescue-wal"));
        let text = to.join(format!("{DATABASE}.rescue-text"));
        let from = from.join(DATABASE);
        let copy = Copy { path, log, text, from, pattern: to.join(DATABASE) };
        copy.copy().map_err(|source| copy.io(source))?;
        Ok(copy)
    }

    fn io(&self, source: io::Error) -> LedgerError {
        LedgerError::Io { doing: "rescue", path: self.from.clone(), source }
    }

    fn copy(&self) -> io::Result<()> {
        fs::copy(&self.from, &self.path)?;
        match fs::copy(format!("{}-wal", self.from.display()), &self.log) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes what can be read, by the gentlest means by which anything can.
    fn read(&self) -> Result<Vec<Damage>, LedgerError> {
        let first = self.attempt();
        let Err(error) = first else { return first };
        self.define_anew().map_err(|source| self.io(source))?;
        if let Ok(done) = self.attempt() {
            return Ok(done);
        }
        // A damaged log hides what is in the database.
        self.copy().map_err(|source| self.io(source))?;
        match fs::remove_file(&self.log) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(self.io(source)),
            _ => {}
        }
        self.define_anew().map_err(|source| self.io(source))?;
        self.attempt().map_err(|_| error)
    }

    fn attempt(&self) -> Result<Vec<Damage>, LedgerError> {
        let sql = |source| LedgerError::sql(&self.from, "read", source);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.path, flags).map_err(sql)?;
        let text = fs::File::create(&self.text).map_err(|source| self.io(source))?;
        let mut text = BufWriter::new(text);
        let (damage, failed) = export::salvage(&db, &mut text).map_err(sql)?;
        failed.map_or(Ok(damage), |source| Err(self.io(source)))
    }

    /// Puts the first page of a new ledger in the place of the copy's, with its size.
    fn define_anew(&self) -> io::Result<()> {
        let page = PAGE_BYTES as usize;
        let (pattern, mut bytes) = (fs::read(&self.pattern)?, fs::read(&self.path)?);
        if bytes.len() < page {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let pages = u32::try_from(bytes.len() / page).unwrap_or(u32::MAX);
        bytes[..page].copy_from_slice(&pattern[..page]);
        bytes[PAGES].copy_from_slice(&pages.to_be_bytes());
        bytes[FREE].fill(0);
        fs::write(&self.path, bytes)
    }
}
