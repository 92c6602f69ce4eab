//! What a ledger must say after each of its transactions, kept the simplest way.
//!
//! Slots are compared one by one: series, due time, verdict. The oracle knows nothing of rows,
//! logs or pages; it is told which steps were asked for, and what each of them promises.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// One slot: series, due in microseconds, verdict.
pub(super) type Slot = (u32, i64, Verdict);

/// Everything that a ledger tells about history.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Account {
    /// Every slot, and how often it is there.
    pub slots: BTreeMap<Slot, u64>,
    pub states: BTreeMap<String, String>,
    pub names: Vec<(String, u32)>,
    /// How many latencies there are of each series.
    pub latencies: BTreeMap<u32, u64>,
}

/// A step of a workload: what is asked of a ledger.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Number(&'static str),
    Append(Vec<Record>),
    Compact(i64),
    RollUp,
    Expire(i64),
    Restore,
    Reopen,
    /// Opened anew without being closed, as after an error.
    Renew,
}

struct SliceOf {
    to: i64,
    runs: Vec<Run>,
    latencies: u64,
}

#[derive(Default)]
struct BatchOf {
    loose: Vec<(Slot, bool)>,
}

/// The model.
#[derive(Default)]
pub(super) struct Oracle {
    slices: BTreeMap<(u32, i64), SliceOf>,
    batches: Vec<BatchOf>,
    states: BTreeMap<String, String>,
    names: Vec<(String, u32)>,
    /// What was due before this may be gone.
    expired: i64,
}

impl Oracle {
    /// Takes a step, after which so many batches are left; what a ledger must say after each of
    /// the transactions that it took. Which batches go is the ledger's choice, as long as
    /// everything in them has been replaced or has expired.
    pub fn take(&mut self, step: &Step, left: usize) -> Vec<Account> {
        match step {
            Step::Number(name) => {
                if !self.names.iter().any(|(known, _)| known == name) {
                    self.names.push(((*name).to_owned(), self.names.len() as u32 + 1));
                }
            }
            Step::Append(records) => self.append(records),
            Step::Compact(_) => drop(self.let_go(left)),
            Step::Expire(before) => return self.expire(at(*before).micros(), left),
            Step::RollUp => self.roll_up(),
            Step::Restore | Step::Reopen | Step::Renew => {}
        }
        vec![self.account()]
    }

    fn append(&mut self, records: &[Record]) {
        let mut batch = BatchOf::default();
        for record in records {
            match record {
                Record::Observation(o) => {
                    let slot = (o.series.0, o.due.micros(), o.verdict);
                    batch.loose.push((slot, o.latency.is_some()));
                }
                Record::Gap(series, run) => {
                    batch.loose.extend(dues(run).map(|due| ((series.0, due, run.verdict), false)));
                }
                Record::Slice(slice) => {
                    let (to, runs) = (slice.end.micros(), slice.runs.clone());
                    let latencies = slice.latencies.len();
                    let key = (slice.series.0, slice.start.micros());
                    self.slices.insert(key, SliceOf { to, runs, latencies });
                }
                Record::State { name, json } => {
                    self.states.insert(name.clone(), json.clone());
                }
            }
        }
        if !batch.loose.is_empty() {
            self.batches.push(batch);
        }
    }

    fn covered(&self, (series, due, _): Slot) -> bool {
        let mut of = self.slices.range((series, i64::MIN)..=(series, due));
        of.any(|(_, slice)| due < slice.to)
    }

    /// Lets go of batches in front until so many are left; whether there were any.
    fn let_go(&mut self, left: usize) -> bool {
        let n = self.batches.len() - left;
        let kept = |(slot, _): &&(Slot, bool)| slot.1 >= self.expired && !self.covered(*slot);
        let lost: Vec<_> = self.batches[..n].iter().flat_map(|b| &b.loose).filter(kept).collect();
        assert!(lost.is_empty(), "{lost:?} are in no slice and were let go");
        self.batches.drain(..n);
        n > 0
    }

    /// Slices that follow one another become one.
    fn roll_up(&mut self) {
        let mut merged: BTreeMap<(u32, i64), SliceOf> = BTreeMap::new();
        for ((series, from), slice) in std::mem::take(&mut self.slices) {
            match merged.range_mut((series, i64::MIN)..(series, from)).next_back() {
                Some((_, before)) if before.to == from => {
                    before.to = slice.to;
                    before.runs.extend(slice.runs);
                    before.latencies += slice.latencies;
                }
                _ => {
                    merged.insert((series, from), slice);
                }
            }
        }
        self.slices = merged;
    }

    /// Batches go first, then slices, those that share their beginning and end together.
    fn expire(&mut self, before: i64, left: usize) -> Vec<Account> {
        let mut accounts = Vec::new();
        self.expired = self.expired.max(before);
        if self.let_go(left) {
            accounts.push(self.account());
        }
        let ended = self.slices.iter().filter(|(_, slice)| slice.to <= before);
        let shelves: BTreeSet<_> = ended.map(|((_, from), slice)| (*from, slice.to)).collect();
        for (from, to) in shelves {
            self.slices.retain(|key, slice| (key.1, slice.to) != (from, to));
            accounts.push(self.account());
        }
        if accounts.is_empty() { vec![self.account()] } else { accounts }
    }

    pub fn account(&self) -> Account {
        let mut slots = BTreeMap::new();
        let mut latencies = BTreeMap::new();
        for ((series, _), slice) in &self.slices {
            *latencies.entry(*series).or_default() += slice.latencies;
            for run in &slice.runs {
                for due in dues(run) {
                    *slots.entry((*series, due, run.verdict)).or_default() += 1;
                }
            }
        }
        let loose = self.batches.iter().flat_map(|batch| &batch.loose);
        for (slot, latency) in loose.filter(|(slot, _)| !self.covered(*slot)) {
            *slots.entry(*slot).or_default() += 1;
            *latencies.entry(slot.0).or_default() += u64::from(*latency);
        }
        latencies.retain(|_, n| *n > 0);
        let (states, names) = (self.states.clone(), self.names.clone());
        Account { slots, states, names, latencies }
    }
}

fn dues(run: &Run) -> impl Iterator<Item = i64> {
    let (start, step) = (run.start.micros(), run.step.as_micros() as i64);
    (0..i64::from(run.n)).map(move |k| start + k * step)
}

/// What a ledger says; an error if it cannot be read.
pub(super) fn account_of(ledger: &mut Ledger) -> Result<(Account, RestoreReport), LedgerError> {
    let mut account = Account::default();
    let mut count = |slot: Slot| *account.slots.entry(slot).or_default() += 1;
    let mut states = BTreeMap::new();
    let report = ledger.restore(Timestamp::MIN, &mut |piece| match piece {
        Restored::State { name, json } => {
            states.insert(name.to_owned(), json.to_owned());
        }
        Restored::Slice { series, runs, .. } => {
            for run in runs {
                dues(run).for_each(|due| count((series.0, due, run.verdict)));
            }
        }
        Restored::Observation(o) => count((o.series.0, o.due.micros(), o.verdict)),
        Restored::Gap(series, run) => {
            dues(&run).for_each(|due| count((series.0, due, run.verdict)));
        }
    })?;
    account.states = states;
    account.names = ledger.all_series().map(|(name, _, id)| (name.to_owned(), id.0)).collect();
    account.names.sort_by_key(|(_, id)| *id);
    let series: BTreeSet<u32> = account.slots.keys().map(|slot| slot.0).collect();
    for series in series {
        let range = ledger.latencies(SeriesId(series), Timestamp::MIN, at(1 << 30))?;
        assert_eq!(range.damaged, 0, "latencies of series {series}");
        if !range.latencies.is_empty() {
            account.latencies.insert(series, range.latencies.len());
        }
    }
    Ok((account, report))
}

/// Takes a step on a ledger; how it went. What `open` opens takes the place of one that is
/// closed.
pub(super) fn perform(
    ledger: &mut Option<Ledger>,
    step: &Step,
    open: &dyn Fn() -> Result<Ledger, LedgerError>,
) -> Result<(), LedgerError> {
    if ledger.is_none() {
        *ledger = Some(open()?);
    }
    let Some(open_one) = ledger.as_mut() else { return Ok(()) };
    match step {
        Step::Number(name) => open_one.series(&name.parse().expect("valid"), "here").map(drop),
        Step::Append(records) => open_one.append(records).map(drop),
        Step::Compact(before) => open_one.compact(at(*before)).map(drop),
        Step::RollUp => open_one.roll_up(Stretch::day_of(at(0))).map(drop),
        Step::Expire(before) => {
            while open_one.expire(at(*before))?.more {}
            Ok(())
        }
        Step::Restore => open_one.restore(Timestamp::MIN, &mut |_| {}).map(drop),
        Step::Reopen => {
            let closed = ledger.take().map_or(Ok(()), Ledger::close);
            *ledger = Some(open()?);
            closed
        }
        Step::Renew => open_one.reopen().map(drop),
    }
}

/// A workload of everything that a ledger is asked in a day, in an order that the seed chooses:
/// series of two probes, a slot every five seconds, none missing.
pub(super) fn workload(seed: u64, rounds: i64) -> Vec<Step> {
    let mut rng = drive::Rng(seed);
    let mut steps = vec![
        Step::Number("shop/home"),
        Step::Number("shop/cart"),
        Step::Append(vec![state("alerts", "[]")]),
    ];
    for round in 0..rounds {
        let (from, to) = (round * 60, round * 60 + 60);
        for part in (from..to).step_by(20) {
            let mut records = Vec::new();
            for secs in (part..part + 20).step_by(5) {
                records.push(if rng.below(4) == 0 { bad(1, secs) } else { good(1, secs) });
            }
            records.push(match rng.below(3) {
                0 => gap(2, part, 4),
                _ => gap(2, part, 2),
            });
            if matches!(&records[4], Record::Gap(_, run) if run.n == 2) {
                records.extend([good(2, part + 10), bad(2, part + 15)]);
            }
            if rng.below(3) == 0 {
                records.push(state("alerts", &format!("[{part}]")));
            }
            if rng.below(8) == 0 {
                // Long enough for pages of its own.
                records.push(state("long", &"x".repeat(12_000 + part as usize)));
            }
            steps.push(Step::Append(records));
        }
        let bad_at = (rng.below(2) == 0).then_some(from + 5);
        let slices = vec![slice(1, from, to, bad_at), slice(2, from, to, None)];
        steps.push(Step::Append(slices));
        match rng.below(8) {
            0 => steps.push(Step::Compact(to)),
            1 => steps.extend([Step::Compact(to), Step::RollUp]),
            2 => steps.push(Step::Expire(to - 120)),
            3 => steps.push(Step::Reopen),
            4 => steps.push(Step::Renew),
            5 => steps.push(Step::Restore),
            6 if round == 3 => steps.push(Step::Number("shop/pay")),
            _ => {}
        }
    }
    steps
}
