//! The ledger's directory: whose it is, who may write, and the reserve for a full disk.
//!
//! Deletes nothing but its own reserve and its own unfinished creations.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::damage::{Damage, Part};
use super::disk::{Disk, SystemDisk};
use super::error::LedgerError;
use super::wal;

/// The database.
pub(super) const DATABASE: &str = "ledger.db";
/// The log beside the database, while it is open or after a crash.
const LOG: &str = "ledger.db-wal";
/// A copy of the last log that was found damaged.
const DAMAGED_LOG: &str = "ledger.db-wal.damaged";
/// A database that is being made; complete once it is renamed.
const UNFINISHED: &str = "ledger.db.new";
/// Held by the one writer; holds its process number.
const LOCK: &str = "lock";
/// Bytes to give back when the disk is full.
const RESERVE: &str = "reserve";
/// Made by the system on a freshly formatted disk.
const LOST_AND_FOUND: &str = "lost+found";

/// A ledger's directory that nobody else writes to while this value lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// Keeps the lock; the system lets go of it when the process ends, however it ends.
    lock: File,
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Closing alone would not do while a child process between fork and exec has a copy.
        let _ = self.lock.unlock();
    }
}

impl Directory {
    /// Creates the directory where it is missing, checks that it is ours, and locks it.
    pub fn claim(path: &Path, disk: Arc<dyn Disk>) -> Result<Self, LedgerError> {
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => return Err(LedgerError::NotADirectory(path.into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path, disk.as_ref())?,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(LedgerError::NotADirectory(path.into()));
            }
            Err(source) => return Err(LedgerError::Unwritable { path: path.into(), source }),
        }
        refuse_foreign(path, disk.as_ref())?;
        let lock = lock(path)?;
        let directory = Directory { path: path.into(), disk, lock };
        if !directory.has(DATABASE)? && directory.has(LOG)? {
            return Err(LedgerError::Missing(directory.database()));
        }
        Ok(directory)
    }

    /// The disk under it.
    pub fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    /// Where the database is.
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Whether there is a database.
    pub fn has_database(&self) -> Result<bool, LedgerError> {
        self.has(DATABASE)
    }

    fn has(&self, name: &str) -> Result<bool, LedgerError> {
        let path = self.path.join(name);
        self.disk.has(&path).map_err(|source| LedgerError::Io { doing: "look for", path, source })
    }

    /// An empty place to make a database in, before [`Directory::adopt`].
    pub fn unfinished(&self) -> Result<PathBuf, LedgerError> {
        let path = self.path.join(UNFINISHED);
        match self.disk.remove(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(LedgerError::Unwritable { path, source })
            }
            _ => Ok(path),
        }
    }

    /// Makes the finished database the ledger, for good: it is there completely or not at all.
    pub fn adopt(&self, finished: &Path) -> Result<(), LedgerError> {
        let io = |source| LedgerError::Io { doing: "create", path: self.database(), source };
        self.disk.sync(finished).map_err(io)?;
        self.disk.rename(finished, &self.database()).map_err(io)?;
        sync_directory(&self.path, self.disk())
    }

    /// Makes the names of the database and its log durable, once both are there and before
    /// anything is acknowledged: SQLite takes no notice if its own sync of them fails, and an
    /// earlier process may have ended on such an error.
    pub fn keep_names(&self) -> Result<(), LedgerError> {
        sync_directory(&self.path, self.disk())
    }

    /// Looks for damage in the log, before SQLite drops what follows it. A damaged log is kept
    /// beside the database for whoever wants to look into it.
    pub fn inspect_log(&self) -> Result<Option<Damage>, LedgerError> {
        let found = inspect_log(&self.path, self.disk())?;
        if found.is_some() {
            // Nothing depends on the copy; a disk without room for it must not keep us out.
            let copy = |mut log| self.disk.write(&self.path.join(DAMAGED_LOG), &mut log);
            let _ = self.disk.read(&self.path.join(LOG)).and_then(copy);
        }
        Ok(found)
    }

    /// Makes sure that the log is on the disk and not in memory only, whatever became of earlier
    /// syncs, before SQLite copies it into the database and a power failure in the middle of that
    /// leaves half a commit there.
    pub fn renew_log(&self) -> Result<(), LedgerError> {
        let path = self.path.join(LOG);
        match self.disk.renew(&path) {
            Err(source) if !matches!(source.kind(), io::ErrorKind::NotFound) => {
                Err(LedgerError::Io { doing: "sync", path, source })
            }
            _ => Ok(()),
        }
    }

    /// Bytes that the ledger takes on disk, its log and reserve included.
    pub fn bytes(&self) -> u64 {
        let len = |name: &str| self.disk.len(&self.path.join(name)).unwrap_or(0);
        [DATABASE, LOG, RESERVE].into_iter().map(len).sum()
    }

    /// Sets bytes aside for a full disk; false if there is no room for them.
    pub fn reserve(&self, bytes: u64) -> bool {
        let path = self.path.join(RESERVE);
        if self.disk.len(&path).is_ok_and(|found| found == bytes) {
            return true;
        }
        // Real bytes: a hole in a sparse file would set nothing aside.
        let kept = self.disk.write(&path, &mut io::repeat(0x4e).take(bytes)).is_ok();
        if !kept {
            self.release();
        }
        kept
    }

    /// Gives the reserve back to the file system; false if there was none.
    pub fn release(&self) -> bool {
        self.disk.remove(&self.path.join(RESERVE)).is_ok()
    }
}

fn inspect_log(directory: &Path, disk: &dyn Disk) -> Result<Option<Damage>, LedgerError> {
    let path = directory.join(LOG);
    let io = |source| LedgerError::Io { doing: "read", path: path.clone(), source };
    let log = match disk.len(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        len => (len.map_err(io)?, disk.read(&path).map_err(io)?),
    };
    let why = wal::rot(log.0, log.1).map_err(io)?;
    Ok(why.map(|why| Damage::new(Part::Log, why)))
}

/// That there is a database to be read.
///
/// # Errors
/// There is none, with a log or without.
pub(super) fn look_for(directory: &Path) -> Result<(), LedgerError> {
    let has = |name: &str| {
        let path = directory.join(name);
        let io = |source| LedgerError::Io { doing: "look for", path: path.clone(), source };
        SystemDisk.has(&path).map_err(io)
    };
    match directory.is_dir() {
        false => Err(LedgerError::Absent(directory.into())),
        true if has(DATABASE)? => Ok(()),
        true if has(LOG)? => Err(LedgerError::Missing(directory.join(DATABASE))),
        true => Err(LedgerError::Absent(directory.into())),
    }
}

/// Keeps writers out of a ledger that is there, without changing anything.
pub(super) fn hold_unwritten(directory: &Path) -> Result<Option<File>, LedgerError> {
    let path = directory.join(LOCK);
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LedgerError::Io { doing: "look at", path, source }),
        Ok(lock) if lock.try_lock_shared().is_ok() => Ok(Some(lock)),
        Ok(_) => Err(LedgerError::Held { path: directory.into(), pid: None }),
    }
}

/// As [`Directory::inspect_log`], changing nothing; a log that somebody writes is left alone.
pub(super) fn inspect_log_unheld(directory: &Path) -> Result<Option<Damage>, LedgerError> {
    // A lock that cannot be looked at is taken for one that is held.
    let lock = match File::open(directory.join(LOCK)) {
        Ok(lock) => Some(lock),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => return Ok(None),
    };
    if lock.as_ref().is_some_and(|lock| lock.try_lock_shared().is_err()) {
        return Ok(None);
    }
    inspect_log(directory, &SystemDisk)
}

fn create(path: &Path, disk: &dyn Disk) -> Result<(), LedgerError> {
    let unwritable = |source| LedgerError::Unwritable { path: path.into(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unwritable)?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    sync_directory(parent.unwrap_or(Path::new(".")), disk)
}

/// Makes the names in a directory durable.
fn sync_directory(path: &Path, disk: &dyn Disk) -> Result<(), LedgerError> {
    let doing = "sync the directory";
    disk.sync(path).map_err(|source| LedgerError::Io { doing, path: path.into(), source })
}

/// A directory with other things in it and no ledger is somebody else's.
fn refuse_foreign(path: &Path, disk: &dyn Disk) -> Result<(), LedgerError> {
    let unreadable = |source| LedgerError::Unwritable { path: path.into(), source };
    if disk.has(&path.join(DATABASE)).map_err(unreadable)? {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        let ours =
            name.starts_with(DATABASE) || [LOCK, RESERVE, LOST_AND_FOUND].contains(&name.as_str());
        if !ours {
            return Err(LedgerError::Foreign { path: path.into(), example: name });
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, LedgerError> {
    let file = path.join(LOCK);
    let unwritable = |source| LedgerError::Unwritable { path: file.clone(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut lock = options.open(&file).map_err(unwritable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(LedgerError::Held { path: path.into(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(unwritable(source)),
    }
    // The number is for people only; the lock alone decides. A full disk must not keep us out.
    let _ = lock
        .set_len(0)
        .and_then(|()| lock.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(lock, "{}", std::process::id()));
    Ok(lock)
}
