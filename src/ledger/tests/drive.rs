//! A disk in memory whose power fails: a double of the operating system's files, under SQLite as
//! a VFS and under the ledger as [`Disk`].
//!
//! What was written and not synced may be lost, kept, torn at sectors or out of order when the
//! power goes; what was synced is there. Names are durable in the order in which they changed.
//! Every operation is in a log, from which each moment can be had again; any one can be made to
//! fail. Locks and shared memory are those of one process and never fail.

mod model;
mod vfs;

use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) use model::{Model, Op, Rng};

use super::Disk;
use vfs::Sharing;

/// A kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// EIO: anything may fail.
    Io,
    /// ENOSPC: files cannot grow.
    Full,
    /// EROFS: nothing can be changed.
    ReadOnly,
    /// A write of which about half is done.
    Short,
    /// fsync fails, and what it was to make durable is taken for clean from then on.
    Sync,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::Io, Kind::Full, Kind::ReadOnly, Kind::Short, Kind::Sync];

    /// Whether an operation can fail in this way.
    fn strikes(self, step: Step) -> bool {
        match self {
            Kind::Io => true,
            Kind::Full => matches!(step, Step::Grow | Step::Create),
            Kind::ReadOnly => !matches!(step, Step::Look | Step::Read | Step::Sync),
            Kind::Short => matches!(step, Step::Write | Step::Grow),
            Kind::Sync => step == Step::Sync,
        }
    }

    fn error(self) -> io::Error {
        match self {
            Kind::Io | Kind::Sync => io::Error::other("injected: I/O error"),
            // What the VFS turns into SQLITE_FULL.
            Kind::Full | Kind::Short => io::ErrorKind::WriteZero.into(),
            Kind::ReadOnly => io::ErrorKind::PermissionDenied.into(),
        }
    }
}

/// A kind of operation, as far as it matters to what can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Look,
    Read,
    Create,
    /// Opening a file that is there, in order to write.
    Open,
    Write,
    /// A write that makes the file longer.
    Grow,
    Cut,
    Sync,
    Name,
}

/// What is to go wrong: the operation of this number among those that can fail so, counted from
/// zero, and all that follow if it is for good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub kind: Kind,
    pub at: u64,
    pub for_good: bool,
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub(super) struct Drive {
    name: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    model: Model,
    /// Every change since the log was begun.
    log: Vec<Op>,
    fault: Option<Fault>,
    /// How many operations could have failed as the fault says.
    seen: u64,
    struck: u64,
    sharing: Sharing,
}

impl std::fmt::Debug for Drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Drive {
    /// An empty disk, known to SQLite from now on. To be used by one thread at a time.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("nines-drive-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let drive = Drive { name, state: Arc::default() };
        vfs::register(&drive);
        drive
    }

    /// Puts other content in the place of what there is; no file may be open.
    pub fn load(&self, model: Model) {
        let mut state = self.state();
        let sharing = std::mem::take(&mut state.sharing);
        assert!(sharing.is_idle(), "a file is open");
        *state = State { model, ..State::default() };
    }

    /// Forgets whoever has files open: they were killed. What they wrote and did not sync is in
    /// the system's memory still.
    pub fn abandon(&self) {
        self.state().sharing = Sharing::default();
    }

    /// What has been done to it since it was loaded.
    pub fn log(&self) -> Vec<Op> {
        self.state().log.clone()
    }

    /// How many changes there have been since it was loaded.
    pub fn changes(&self) -> usize {
        self.state().log.len()
    }

    /// What it holds at present, synced or not.
    pub fn model(&self) -> Model {
        self.state().model.clone()
    }

    /// Makes something go wrong from now on.
    pub fn fail(&self, fault: Fault) {
        let mut state = self.state();
        (state.fault, state.seen, state.struck) = (Some(fault), 0, 0);
    }

    /// Ends what goes wrong; how many operations failed.
    pub fn repair(&self) -> u64 {
        let mut state = self.state();
        state.fault = None;
        state.struck
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation that may fail; the kind of error if it does.
    fn strike(&mut self, step: Step) -> Option<Kind> {
        let fault = self.fault.filter(|fault| fault.kind.strikes(step))?;
        let at = self.seen;
        self.seen += 1;
        if at == fault.at || fault.for_good && at > fault.at {
            self.struck += 1;
            return Some(fault.kind);
        }
        None
    }

    fn check(&mut self, step: Step) -> io::Result<()> {
        self.strike(step).map_or(Ok(()), |kind| Err(kind.error()))
    }

    fn change(&mut self, op: Op) {
        self.model.apply(&op);
        self.log.push(op);
    }

    /// The file of this name.
    fn find(&self, name: &str) -> io::Result<usize> {
        self.model.find(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn find_or_create(&mut self, name: &str) -> io::Result<usize> {
        if let Ok(file) = self.find(name) {
            self.check(Step::Open)?;
            return Ok(file);
        }
        self.check(Step::Create)?;
        self.change(Op::Create(name.to_owned()));
        self.find(name)
    }

    fn write(&mut self, file: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let grows = at + bytes.len() as u64 > self.model.content(file).len() as u64;
        let struck = self.strike(if grows { Step::Grow } else { Step::Write });
        let bytes = match struck {
            // Systems write sectors; none ends within one.
            Some(Kind::Short) => &bytes[..bytes.len() / 1_024 * 512],
            Some(kind) => return Err(kind.error()),
            None => bytes,
        };
        self.change(Op::Write(file, at, bytes.into()));
        struck.map_or(Ok(()), |kind| Err(kind.error()))
    }

    fn cut(&mut self, file: usize, len: u64) -> io::Result<()> {
        self.check(Step::Cut)?;
        self.change(Op::Cut(file, len));
        Ok(())
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        let Some(kind) = self.strike(Step::Sync) else {
            self.change(Op::Sync(file));
            return Ok(());
        };
        if kind == Kind::Sync {
            self.change(Op::Forsake(file));
        }
        Err(kind.error())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.check(Step::Sync)?;
        self.change(Op::SyncNames);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.check(Step::Name)?;
        self.find(name)?;
        self.change(Op::Remove(name.to_owned()));
        Ok(())
    }
}

impl Disk for Drive {
    fn vfs(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let mut state = self.state();
        state.check(Step::Look)?;
        let file = state.find(text(path))?;
        Ok(state.model.content(file).len() as u64)
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        let mut state = self.state();
        state.check(Step::Read)?;
        let file = state.find(text(path))?;
        Ok(Box::new(Cursor::new(state.model.content(file).to_vec())))
    }

    fn write(&self, path: &Path, bytes: &mut dyn Read) -> io::Result<()> {
        let mut all = Vec::new();
        bytes.read_to_end(&mut all)?;
        let mut state = self.state();
        let file = state.find_or_create(text(path))?;
        state.cut(file, 0)?;
        state.write(file, 0, &all)?;
        state.sync(file)
    }

    fn renew(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check(Step::Open)?;
        let file = state.find(text(path))?;
        let all = state.model.content(file).to_vec();
        state.write(file, 0, &all)?;
        state.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check(Step::Name)?;
        state.find(text(from))?;
        state.change(Op::Rename(text(from).to_owned(), text(to).to_owned()));
        Ok(())
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        match state.find(text(path)) {
            Ok(file) => state.sync(file),
            // Whatever is no file is a directory.
            Err(_) => state.sync_names(),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().remove(text(path))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("tests use plain names")
}
