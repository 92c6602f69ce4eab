//! What is durable: a model of the ledger's promise, fast, or the ledger itself.
//!
//! The model keeps what it has been given in the order of the commits, and hands it back as the
//! ledger does: states, slices, then what no slice has replaced, in the order of arrival.

use std::collections::BTreeMap;

use nines::engine::Engine;
use nines::ledger::{Ledger, Options, Restored, Stretch};
use nines::model::{ProbeId, Record, Run, SeriesId, Slice, Timestamp};

use super::world::VANTAGE;

/// What survives the death of a process.
pub enum Store {
    /// Kept in memory.
    Model(Kept),
    /// Kept by the ledger, in a directory that goes when this does.
    Real(tempfile::TempDir, Option<Box<Ledger>>),
}

/// What the model keeps.
#[derive(Debug, Default)]
pub struct Kept {
    numbers: BTreeMap<ProbeId, SeriesId>,
    states: BTreeMap<String, String>,
    slices: BTreeMap<(i64, SeriesId), Slice>,
    /// Up to where slices have replaced the records of each series.
    covered: BTreeMap<SeriesId, Timestamp>,
    /// Observations and gaps in the order in which they were kept.
    records: Vec<Record>,
}

impl Store {
    /// Nothing is kept yet.
    pub fn model() -> Self {
        Store::Model(Kept::default())
    }

    /// An empty ledger, in memory where there is a file system in memory: its syncs are not
    /// what is tried here.
    pub fn real() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let directory =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Store::Real(directory.expect("a temporary directory"), None)
    }

    /// What a new process does first: opens, and asks for the numbers of its probes.
    pub fn open(&mut self, probes: &[ProbeId]) -> BTreeMap<ProbeId, SeriesId> {
        match self {
            Store::Model(kept) => {
                for id in probes {
                    let next = SeriesId(kept.numbers.len() as u32 + 1);
                    kept.numbers.entry(id.clone()).or_insert(next);
                }
                probes.iter().map(|id| (id.clone(), kept.numbers[id])).collect()
            }
            Store::Real(directory, ledger) => {
                // The lock of the process that died goes with its descriptors.
                *ledger = None;
                let options = Options { reserve_bytes: 0, ..Options::default() };
                let opened = Ledger::open(&directory.path().join("ledger"), options);
                let mut opened = opened.expect("a ledger that can be opened");
                let numbers = opened.number(probes, VANTAGE).expect("numbers");
                *ledger = Some(Box::new(opened));
                probes.iter().cloned().zip(numbers).collect()
            }
        }
    }

    /// Keeps the records, all of them.
    pub fn append(&mut self, records: &[Record]) {
        match self {
            Store::Model(kept) => records.iter().for_each(|record| kept.keep(record)),
            Store::Real(_, ledger) => {
                let ledger = ledger.as_mut().expect("it has been opened");
                ledger.append(records).expect("a disk that takes it");
            }
        }
    }

    /// Lets go of what slices have replaced, and of what is too old for any window.
    pub fn maintain(&mut self, before: Timestamp, oldest: Timestamp) {
        match self {
            Store::Model(kept) => kept.maintain(oldest),
            Store::Real(_, ledger) => {
                let ledger = ledger.as_mut().expect("it has been opened");
                while ledger.compact(before).expect("compacts").more {}
                ledger.roll_up(Stretch::hour_of(before).before()).expect("rolls up");
                ledger.roll_up(Stretch::day_of(before).before()).expect("rolls up");
                while ledger.expire(oldest).expect("expires").more {}
            }
        }
    }

    /// Hands everything back that ends after `since`.
    pub fn restore(&mut self, engine: &mut Engine, since: Timestamp) {
        match self {
            Store::Model(kept) => kept.restore(engine, since),
            Store::Real(_, ledger) => {
                let ledger = ledger.as_mut().expect("it has been opened");
                let report = ledger.restore(since, &mut |piece| hand_back(engine, piece));
                let report = report.expect("a ledger that can be read");
                assert_eq!((report.damage, report.known), (vec![], vec![]), "nothing is damaged");
            }
        }
        engine.finish_restore();
    }
}

fn hand_back(engine: &mut Engine, piece: Restored<'_>) {
    match piece {
        Restored::State { name, json } => engine.restore_state(name, json),
        Restored::Slice { series, end, thresholds, runs, .. } => {
            engine.restore_slice(series, end, thresholds, runs);
        }
        Restored::Observation(one) => engine.restore_record(&Record::Observation(one)),
        Restored::Gap(series, run) => engine.restore_record(&Record::Gap(series, run)),
    }
}

impl Kept {
    fn keep(&mut self, record: &Record) {
        match record {
            Record::State { name, json } => {
                self.states.insert(name.clone(), json.clone());
            }
            Record::Slice(slice) => {
                let covered = self.covered.entry(slice.series).or_insert(slice.end);
                *covered = slice.end.max(*covered);
                self.slices.insert((slice.start.micros(), slice.series), slice.clone());
            }
            Record::Observation(_) | Record::Gap(..) => self.records.push(record.clone()),
        }
    }

    /// The records that no slice has replaced, gaps only as far as that is so.
    fn open_records(&self) -> impl Iterator<Item = Record> + '_ {
        self.records.iter().filter_map(|record| {
            let end = |series| self.covered.get(series).copied().unwrap_or(Timestamp::MIN);
            match record {
                Record::Observation(one) => (one.due >= end(&one.series)).then(|| record.clone()),
                Record::Gap(series, run) => {
                    let rest = from(*run, end(series))?;
                    Some(Record::Gap(*series, rest))
                }
                _ => None,
            }
        })
    }

    fn maintain(&mut self, oldest: Timestamp) {
        self.records = self.open_records().collect();
        if self.slices.first_key_value().is_some_and(|(_, slice)| slice.end <= oldest) {
            self.slices.retain(|_, slice| slice.end > oldest);
        }
    }

    fn restore(&self, engine: &mut Engine, since: Timestamp) {
        for (name, json) in &self.states {
            engine.restore_state(name, json);
        }
        for slice in self.slices.values().filter(|slice| slice.end > since) {
            engine.restore_slice(slice.series, slice.end, &slice.thresholds, &slice.runs);
        }
        self.open_records().for_each(|record| engine.restore_record(&record));
    }
}

/// The part of a run that is due from `at` on.
fn from(run: Run, at: Timestamp) -> Option<Run> {
    let n = at.since(run.start).as_micros().div_ceil(run.step.as_micros().max(1));
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    let start = run.start.plus(run.step.saturating_mul(n));
    (n < run.n).then(|| Run { start, n: run.n - n, ..run })
}

/// The slots that a record speaks of: whose, and when they are due.
pub fn slots(record: &Record) -> Option<(SeriesId, std::ops::Range<i64>)> {
    match record {
        Record::Observation(one) => Some((one.series, one.due.micros()..one.due.micros() + 1)),
        Record::Gap(series, run) => Some((*series, run.start.micros()..run.end().micros())),
        Record::Slice(slice) => Some((slice.series, slice.start.micros()..slice.end.micros())),
        Record::State { .. } => None,
    }
}
