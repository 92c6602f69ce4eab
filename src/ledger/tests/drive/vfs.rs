//! The double as SQLite sees it: files by name, locks, and the shared index of the log.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::time::Duration;

use sqlite_vfs::wip::{WalIndex, WalIndexLock};
use sqlite_vfs::{DatabaseHandle, LockKind, OpenAccess, OpenKind, OpenOptions, Vfs};

use super::{Drive, Step};

const REGION: usize = 32_768;

/// Makes a drive known to SQLite, for good.
pub(super) fn register(drive: &Drive) {
    sqlite_vfs::register(&drive.name, Port(drive.clone()), false).expect("a name of its own");
}

/// Locks and shared memory: what processes share about files, and what no crash leaves behind.
#[derive(Default)]
pub(super) struct Sharing {
    next: u64,
    open: u64,
    locks: BTreeMap<usize, BTreeMap<u64, LockKind>>,
    indexes: BTreeMap<String, Index>,
}

/// The shared index of one log.
#[derive(Default)]
struct Index {
    users: u64,
    regions: Vec<Box<[u8; REGION]>>,
    /// Who holds what of each lock.
    locks: BTreeMap<u8, BTreeMap<u64, WalIndexLock>>,
}

impl Sharing {
    pub fn is_idle(&self) -> bool {
        self.open == 0
    }
}

struct Port(Drive);

/// One open file.
struct Handle {
    drive: Drive,
    id: u64,
    name: String,
    file: usize,
    /// As the system's VFS does: the first sync of a log makes its name durable as well.
    new_name: bool,
    lock: LockKind,
}

impl Vfs for Port {
    type Handle = Handle;

    fn open(&self, name: &str, options: OpenOptions) -> io::Result<Handle> {
        let mut state = self.0.state();
        let file = match options.access {
            OpenAccess::Create | OpenAccess::CreateNew => state.find_or_create(name)?,
            OpenAccess::Write => {
                state.check(Step::Open)?;
                state.find(name)?
            }
            OpenAccess::Read => {
                state.check(Step::Look)?;
                state.find(name)?
            }
        };
        state.sharing.next += 1;
        state.sharing.open += 1;
        let new_name = matches!(options.kind, OpenKind::Wal | OpenKind::MainJournal)
            && options.access == OpenAccess::Create;
        let (id, name, lock) = (state.sharing.next, name.to_owned(), LockKind::None);
        Ok(Handle { drive: self.0.clone(), id, name, file, new_name, lock })
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.0.state().remove(name)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        let mut state = self.0.state();
        state.check(Step::Look)?;
        Ok(state.find(name).is_ok())
    }

    fn temporary_name(&self) -> String {
        unreachable!("the ledger keeps what is temporary in memory")
    }

    fn random(&self, buffer: &mut [i8]) {
        // The process's own chance would do as well; SQLite asks once and goes on from there.
        buffer.fill(7);
    }

    fn sleep(&self, duration: Duration) -> Duration {
        // One thread has it all, so that waiting for a lock would be for ever.
        duration
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.drive.state();
        state.sharing.open -= 1;
        if let Some(locks) = state.sharing.locks.get_mut(&self.file) {
            locks.remove(&self.id);
        }
    }
}

impl DatabaseHandle for Handle {
    type WalIndex = Shared;

    fn size(&self) -> io::Result<u64> {
        let mut state = self.drive.state();
        state.check(Step::Look)?;
        Ok(state.model.content(self.file).len() as u64)
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.drive.state();
        state.check(Step::Read)?;
        let content = state.model.content(self.file);
        let from = content.len().min(offset as usize);
        let there = &content[from..content.len().min(from + buffer.len())];
        buffer[..there.len()].copy_from_slice(there);
        // SQLite asks for zeros in the place of what is not there.
        buffer[there.len()..].fill(0);
        let whole = there.len() == buffer.len();
        if whole { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn write_all_at(&mut self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.drive.state().write(self.file, offset, buffer)
    }

    fn sync(&mut self, _: bool) -> io::Result<()> {
        let mut state = self.drive.state();
        state.sync(self.file)?;
        if std::mem::take(&mut self.new_name) {
            // The system's VFS does not tell SQLite of an error here either.
            let _ = state.sync_names();
        }
        Ok(())
    }

    fn set_len(&mut self, size: u64) -> io::Result<()> {
        let mut state = self.drive.state();
        // A hint that a file will grow comes this way as well; the system's VFS ignores it.
        if size > state.model.content(self.file).len() as u64 {
            return Ok(());
        }
        state.cut(self.file, size)
    }

    fn lock(&mut self, wanted: LockKind) -> io::Result<bool> {
        let mut state = self.drive.state();
        let holders = state.sharing.locks.entry(self.file).or_default();
        let others = holders.iter().filter(|(id, _)| **id != self.id).map(|(_, kind)| *kind);
        let free = match wanted {
            LockKind::None => true,
            LockKind::Shared => {
                self.lock > wanted || !others.clone().any(|k| k >= LockKind::Pending)
            }
            LockKind::Reserved => !others.clone().any(|k| k >= LockKind::Reserved),
            LockKind::Pending | LockKind::Exclusive => !others.clone().any(|k| k != LockKind::None),
        };
        if free {
            self.lock = wanted;
            holders.insert(self.id, wanted);
        }
        Ok(free)
    }

    fn reserved(&mut self) -> io::Result<bool> {
        let state = self.drive.state();
        let holders = state.sharing.locks.get(&self.file);
        Ok(holders.is_some_and(|all| all.values().any(|kind| *kind >= LockKind::Reserved)))
    }

    fn current_lock(&self) -> io::Result<LockKind> {
        Ok(self.lock)
    }

    fn wal_index(&self, _: bool) -> io::Result<Shared> {
        let mut state = self.drive.state();
        state.sharing.indexes.entry(self.name.clone()).or_default().users += 1;
        Ok(Shared { drive: self.drive.clone(), id: self.id, name: self.name.clone() })
    }
}

/// One user's part in the shared index of a log.
struct Shared {
    drive: Drive,
    id: u64,
    name: String,
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut Index) -> T) -> T {
        work(self.drive.state().sharing.indexes.entry(self.name.clone()).or_default())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.with(|index| {
            index.users -= 1;
            index.locks.values_mut().for_each(|holders| holders.retain(|id, _| *id != self.id));
            if index.users == 0 {
                // Whoever comes first makes the index anew from the log.
                index.regions.clear();
            }
        });
    }
}

impl WalIndex for Shared {
    fn map(&mut self, region: u32) -> io::Result<[u8; REGION]> {
        Ok(self.with(|index| {
            let n = region as usize + 1;
            if index.regions.len() < n {
                index.regions.resize_with(n, || Box::new([0; REGION]));
            }
            *index.regions[region as usize]
        }))
    }

    fn lock(&mut self, locks: Range<u8>, wanted: WalIndexLock) -> io::Result<bool> {
        Ok(self.with(|index| {
            let free = |at: u8| {
                let holders = index.locks.get(&at);
                let others = holders.into_iter().flatten().filter(|(id, _)| **id != self.id);
                let mut others = others.map(|(_, kind)| *kind);
                match wanted {
                    WalIndexLock::None => true,
                    WalIndexLock::Shared => !others.any(|kind| kind == WalIndexLock::Exclusive),
                    WalIndexLock::Exclusive => !others.any(|kind| kind != WalIndexLock::None),
                }
            };
            let all = locks.clone().all(free);
            if all {
                for at in locks {
                    index.locks.entry(at).or_default().insert(self.id, wanted);
                }
            }
            all
        }))
    }

    fn delete(self) -> io::Result<()> {
        Ok(())
    }

    fn pull(&mut self, region: u32, data: &mut [u8; REGION]) -> io::Result<()> {
        self.with(|index| {
            if let Some(known) = index.regions.get(region as usize) {
                data.copy_from_slice(&known[..]);
            }
        });
        Ok(())
    }

    fn push(&mut self, region: u32, data: &[u8; REGION]) -> io::Result<()> {
        self.with(|index| {
            if let Some(known) = index.regions.get_mut(region as usize) {
                known.copy_from_slice(data);
            }
        });
        Ok(())
    }
}
