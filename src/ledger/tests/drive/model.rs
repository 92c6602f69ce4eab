//! What a disk holds, what of it is durable, and what may be left once the power has failed.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Disks write this many bytes or none of them.
const SECTOR: u64 = 512;

/// One change of a disk. Files are numbered in the order in which they were created.
#[derive(Clone, Debug)]
pub(in super::super) enum Op {
    Create(String),
    Write(usize, u64, Arc<[u8]>),
    Cut(usize, u64),
    Sync(usize),
    /// A sync that failed: what it was to write is readable for now and never written.
    Forsake(usize),
    Remove(String),
    Rename(String, String),
    SyncNames,
}

/// Files, names, and what has yet to become durable of both.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Model {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<Op>,
}

#[derive(Clone, Debug, Default)]
struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
struct Change {
    what: What,
    /// A sync that failed has given up on it.
    forsaken: bool,
}

#[derive(Clone, Debug)]
enum What {
    Write(u64, Arc<[u8]>),
    Cut(u64),
}

/// Which part of what is not durable survives.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Nothing,
    Everything,
    /// The first so many, the next one torn.
    Beginning,
    /// Any of them, each as a whole.
    Some,
    /// Any sectors of any of them; files may have grown without their content.
    Sectors,
}

impl Model {
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub fn content(&self, file: usize) -> &[u8] {
        &self.files[file].now
    }

    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(name) => {
                self.files.push(File::default());
                self.rename_now(op);
                debug_assert_eq!(self.names.get(name), Some(&(self.files.len() - 1)));
            }
            Op::Write(file, at, bytes) => {
                self.files[*file].change(What::Write(*at, bytes.clone()));
            }
            Op::Cut(file, len) => self.files[*file].change(What::Cut(*len)),
            Op::Sync(file) => self.files[*file].sync(),
            Op::Forsake(file) => self.files[*file].forsake(),
            Op::Remove(_) | Op::Rename(..) => self.rename_now(op),
            Op::SyncNames => {
                self.durable_names = self.names.clone();
                self.pending_names.clear();
            }
        }
    }

    fn rename_now(&mut self, op: &Op) {
        let newest = self.files.len().saturating_sub(1);
        // The number of a created file is kept, so that the change can be had again later.
        let op = match op {
            Op::Create(name) => Op::Rename(format!("\0{newest}"), name.clone()),
            op => op.clone(),
        };
        rename(&mut self.names, &op);
        self.pending_names.push(op);
    }

    /// What is there when the power comes back.
    pub fn survive(&self, rng: &mut Rng) -> Model {
        let lucks = [Luck::Nothing, Luck::Everything, Luck::Beginning, Luck::Some, Luck::Sectors];
        let luck = lucks[rng.below(5) as usize];
        let mut names = self.durable_names.clone();
        let n = self.pending_names.len() as u64;
        let n = match luck {
            Luck::Nothing => 0,
            Luck::Everything => n,
            _ => rng.below(n + 1),
        };
        for op in &self.pending_names[..n as usize] {
            rename(&mut names, op);
        }
        let files: Vec<_> = self.files.iter().map(|file| file.survive(luck, rng)).collect();
        Model { files, durable_names: names.clone(), names, pending_names: Vec::new() }
    }
}

fn rename(names: &mut BTreeMap<String, usize>, op: &Op) {
    match op {
        Op::Remove(name) => {
            names.remove(name);
        }
        Op::Rename(from, to) => {
            let created = from.strip_prefix('\0').and_then(|n| n.parse().ok());
            if let Some(file) = created.or_else(|| names.remove(from)) {
                names.insert(to.clone(), file);
            }
        }
        _ => {}
    }
}

impl File {
    fn change(&mut self, what: What) {
        apply(&mut self.now, &what);
        self.pending.push(Change { what, forsaken: false });
    }

    fn sync(&mut self) {
        for change in self.pending.iter().filter(|change| !change.forsaken) {
            apply(&mut self.durable, &change.what);
        }
        self.pending.retain(|change| change.forsaken);
        if self.pending.is_empty() {
            debug_assert_eq!(self.now, self.durable);
        }
    }

    fn forsake(&mut self) {
        self.pending.iter_mut().for_each(|change| change.forsaken = true);
    }

    fn survive(&self, luck: Luck, rng: &mut Rng) -> File {
        let mut bytes = self.durable.clone();
        let whole = match luck {
            Luck::Nothing => 0,
            Luck::Everything => self.pending.len(),
            _ => rng.below(self.pending.len() as u64 + 1) as usize,
        };
        for (k, Change { what, forsaken }) in self.pending.iter().enumerate() {
            let kept = match luck {
                Luck::Nothing => false,
                Luck::Everything => true,
                Luck::Beginning => k < whole,
                Luck::Some | Luck::Sectors => rng.below(2) == 0,
            };
            let torn = match luck {
                Luck::Beginning => k == whole,
                Luck::Sectors => true,
                _ => false,
            };
            match what {
                _ if *forsaken => {}
                What::Write(at, data) if torn => tear(&mut bytes, *at, data, rng),
                what if kept => apply(&mut bytes, what),
                _ => {}
            }
        }
        File { now: bytes.clone(), durable: bytes, pending: Vec::new() }
    }
}

fn apply(bytes: &mut Vec<u8>, what: &What) {
    match what {
        What::Cut(len) => bytes.resize(*len as usize, 0),
        What::Write(at, data) => {
            let (at, end) = (*at as usize, *at as usize + data.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at..end].copy_from_slice(data);
        }
    }
}

/// Writes some of the sectors that a write touches.
fn tear(bytes: &mut Vec<u8>, at: u64, data: &[u8], rng: &mut Rng) {
    let end = at + data.len() as u64;
    if rng.below(4) == 0 && bytes.len() < end as usize {
        bytes.resize(end as usize, 0);
    }
    let mut from = at;
    while from < end {
        let to = ((from / SECTOR + 1) * SECTOR).min(end);
        if rng.below(2) == 0 {
            let part = data[(from - at) as usize..(to - at) as usize].into();
            apply(bytes, &What::Write(from, part));
        }
        from = to;
    }
}

/// Chance that is the same every time (splitmix64 by Steele, Lea and Flood).
#[derive(Clone, Debug)]
pub(in super::super) struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is small: the bias does not matter.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
