//! The disk under a ledger: the one way to every byte that must survive.
//!
//! SQLite reaches it as a VFS, the few files beside the database through [`Disk`]. Not behind it
//! are the directory itself and the lock in it: they hold nothing that a crash could take.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are written over themselves at a time.
const CHUNK: usize = 1 << 20;

/// What the ledger asks of a file system. Tests put a double in its place, whose power fails
/// and whose writes go wrong.
pub trait Disk: Debug + Send + Sync {
    /// The name under which SQLite has registered it as a VFS; none for the system's files.
    fn vfs(&self) -> Option<&str> {
        None
    }

    /// How many bytes a file has.
    ///
    /// # Errors
    /// There is no such file, or the system fails.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// A file, from its beginning.
    ///
    /// # Errors
    /// As [`Disk::len`].
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>>;

    /// Makes a file of these bytes, in the place of one that may be there; durable, but for its
    /// name, when this returns.
    ///
    /// # Errors
    /// The system fails; part of the file may be there then.
    fn write(&self, path: &Path, bytes: &mut dyn Read) -> io::Result<()>;

    /// Writes the bytes of a file over themselves and waits until they are durable. After a sync
    /// that failed the system may take for clean what it never wrote; this makes it write.
    ///
    /// # Errors
    /// As [`Disk::len`]; the file is as it was, or as it was synced last.
    fn renew(&self, path: &Path) -> io::Result<()>;

    /// Renames a file; its new name is durable once the directory is synced.
    ///
    /// # Errors
    /// The system fails.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Waits until a file, or the names in a directory, are durable.
    ///
    /// # Errors
    /// They may not be.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As [`Disk::len`].
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Whether there is such a file. A file that cannot be looked at is not one that is missing.
    ///
    /// # Errors
    /// The system fails.
    fn has(&self, path: &Path) -> io::Result<bool> {
        match self.len(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The system's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn len(&self, path: &Path) -> io::Result<u64> {
        fs::metadata(path).map(|found| found.len())
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(File::open(path)?))
    }

    fn write(&self, path: &Path, bytes: &mut dyn Read) -> io::Result<()> {
        let mut file = File::create(path)?;
        io::copy(bytes, &mut file)?;
        file.sync_all()
    }

    fn renew(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        loop {
            let n = file.read_at(&mut chunk, at)?;
            if n == 0 {
                return file.sync_all();
            }
            file.write_all_at(&chunk[..n], at)?;
            at += n as u64;
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}
