//! Results that others send: into open slots, each delivery once, until a slot is closed.
//!
//! What it keeps true: a delivery is taken as a whole or not at all; under one key once, for as
//! long as any of its slots could still count it; a slot that is closed never changes; another
//! length of slots leaves those with results as they are, until they are in history. Pure: it
//! keeps nothing itself, and answers with what must be kept.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schedule::fnv_1a;
use crate::model::time::{format_duration, micros};
use crate::model::{Counts, Run, Timestamp, UnknownReason, Verdict};

/// Most keys that are remembered. The oldest whose slots are closed goes first; a key with an
/// open slot is never forgotten.
pub const MAX_KEYS: usize = 1_000;
/// Clocks of senders may be ahead by this much.
const MAX_AHEAD: Duration = Duration::from_secs(1);
/// How long a slot that is closed is kept beside the ledger, which has it a second later.
const CLOSED_KEPT: Duration = Duration::from_secs(120);

/// So many results between two moments, or at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When the first of them came about.
    pub from: Timestamp,
    /// When the last of them did, at the latest.
    pub to: Timestamp,
    /// How many.
    pub counts: Counts,
}

/// Why a delivery is not taken. Nothing of it is, then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The key was used for something else.
    #[error("this Idempotency-Key came with other results before; take a new one")]
    KeyReused,
    /// Too many keys with open slots.
    #[error(
        "{MAX_KEYS} deliveries are remembered for intervals that are still open; send fewer, with more results in each"
    )]
    TooManyKeys,
    /// A result of the future.
    #[error("{0} has not come yet; the clock of this monitor says {1}")]
    Future(Timestamp, Timestamp),
    /// A result of a slot that does not count any more, or never did.
    #[error("the interval of {0} is closed: results are taken from {1} on")]
    Closed(Timestamp, Timestamp),
    /// A stretch that ends before it begins.
    #[error("`to` {1} is before `from` {0}")]
    Backwards(Timestamp, Timestamp),
    /// A stretch over several slots.
    #[error(
        "{0} to {1} is not within one interval of {2}, counted from the beginning of 1970; send each interval by itself"
    )]
    Crosses(Timestamp, Timestamp, String),
    /// More than a slot can hold.
    #[error("more than {max} results of a kind in the interval of {0}", max = u32::MAX)]
    TooMany(Timestamp),
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It counts.
    Now,
    /// It counted before, under the same key.
    Before,
}

/// Results by when their slot is due, in microseconds: good, bad and unknown.
type Slots = BTreeMap<i64, [u32; 3]>;

/// The open slots of one SLO.
#[derive(Clone, Debug)]
pub struct Intake {
    step: Duration,
    kept: Kept,
}

/// What survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// How long slots are, in microseconds.
    step: i64,
    /// Slots due before this are closed, in microseconds.
    closed: i64,
    /// Each slot with results.
    slots: Slots,
    /// Deliveries by their key.
    keys: BTreeMap<String, Key>,
    /// The number of the next delivery.
    next: u64,
    /// Where the first slot of this length is due, if there was another one before.
    #[serde(default)]
    from: i64,
    /// When the last of all results came about; none if that was not kept.
    #[serde(default)]
    latest: Option<i64>,
    /// Slots of other lengths, oldest first, until the ledger has them for sure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    before: Vec<Before>,
}

/// Slots of a length that came to an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    step: i64,
    /// All of them are due before this.
    until: i64,
    slots: Slots,
}

/// A delivery: its number, a hash of what it held, and when its last slot is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key(u64, u64, i64);

impl Intake {
    /// The intake of slots of this length, with what was kept, if anything. Slots due before
    /// `open` are closed.
    pub fn new(step: Duration, kept: Option<&str>, open: Timestamp) -> Self {
        let kept: Option<Kept> = kept.and_then(|json| serde_json::from_str(json).ok());
        let kept = kept.filter(|kept| kept.step == micros(step)).unwrap_or_default();
        Intake { step, kept: Kept { step: micros(step), closed: open.micros(), ..kept } }
    }

    /// What was kept, whatever the length of its slots; none if it cannot be read.
    pub fn read(kept: &str) -> Option<Self> {
        let kept: Kept = serde_json::from_str(kept).ok()?;
        Some(Intake { step: Duration::from_micros(kept.step.unsigned_abs()), kept })
    }

    /// How long slots are.
    pub fn step(&self) -> Duration {
        self.step
    }

    /// Slots due before this are closed.
    pub fn closed(&self) -> Timestamp {
        Timestamp::from_micros(self.kept.closed)
    }

    /// When the first slot of this length is due, if there was another one before.
    pub fn begins(&self) -> Timestamp {
        Timestamp::from_micros(self.kept.from)
    }

    /// The moment after the last slot from `next` on, of this length, that has results.
    pub fn promised_until(&self, next: Timestamp) -> Option<Timestamp> {
        let last = *self.kept.slots.range(next.micros()..).next_back()?.0;
        Some(Timestamp::from_micros(last + 1))
    }

    /// The moment after the last slot that is closed, or has results. It lies ahead for as long as
    /// a sender's clock was, or for as long as ours went back in a restart.
    pub fn ends(&self) -> Timestamp {
        let closed = self.kept.closed.saturating_sub(self.kept.step);
        let before = self.kept.before.iter().map(|before| &before.slots);
        let with_results =
            before.chain([&self.kept.slots]).filter_map(|slots| slots.keys().next_back());
        let last = with_results.copied().fold(closed, i64::max);
        Timestamp::from_micros(last.saturating_add(1))
    }

    /// Goes on with slots of another length, the first of them due at `first`; those before are
    /// due before `at`, all that have results among them. Which deliveries were taken stays
    /// known.
    #[must_use]
    pub fn turn(self, at: Timestamp, first: Timestamp, step: Duration) -> Self {
        let Kept { step: length, slots, keys, next, latest, mut before, .. } = self.kept;
        if !slots.is_empty() {
            before.push(Before { step: length, until: at.micros(), slots });
        }
        // What came with a key may lie anywhere in its slot, but not after all that was taken.
        let moved = |(name, Key(number, held, due)): (String, Key)| {
            let last = latest.unwrap_or(i64::MAX).min(due.saturating_add(length - 1));
            (name, Key(number, held, Timestamp::from_micros(last).floor(step).micros()))
        };
        let keys = keys.into_iter().map(moved).collect();
        let (slots, closed, from) = (Slots::new(), first.micros(), first.micros());
        let step_kept = micros(step);
        Intake {
            step,
            kept: Kept { step: step_kept, closed, slots, keys, next, from, latest, before },
        }
    }

    /// What must be kept before a delivery is acknowledged, JSON.
    pub fn kept(&self) -> String {
        serde_json::to_string(&self.kept).expect("numbers and text always become JSON")
    }

    /// Takes a delivery at `now`.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn take(&mut self, key: &str, sent: &[Sent], now: Timestamp) -> Result<Taken, Refused> {
        let key = format!("{:016x}", fnv_1a(key.bytes())) + &key.len().to_string();
        let held = fnv_1a(format!("{sent:?}").bytes());
        if let Some(Key(_, known, _)) = self.kept.keys.get(&key) {
            return if *known == held { Ok(Taken::Before) } else { Err(Refused::KeyReused) };
        }
        let mut slots: BTreeMap<i64, [u32; 3]> = BTreeMap::new();
        for result in sent {
            let due = self.slot(result, now)?;
            let so_far = *slots
                .entry(due)
                .or_insert_with(|| self.kept.slots.get(&due).copied().unwrap_or_default());
            let sum = add(so_far, result.counts);
            slots.insert(due, sum.ok_or(Refused::TooMany(result.from))?);
        }
        self.make_room()?;
        let last = slots.keys().next_back().copied().unwrap_or(self.kept.closed);
        self.kept.keys.insert(key, Key(self.kept.next, held, last));
        self.kept.next += 1;
        self.kept.slots.extend(slots);
        let latest = sent.iter().map(|result| result.to.micros()).max();
        let none_before = self.kept.next == 1;
        self.kept.latest = match self.kept.latest {
            None if !none_before => None,
            known => known.max(latest),
        };
        Ok(Taken::Now)
    }

    /// When the slot is due that a result belongs to, if that is open.
    fn slot(&self, result: &Sent, now: Timestamp) -> Result<i64, Refused> {
        let Sent { from, to, .. } = *result;
        if to < from {
            return Err(Refused::Backwards(from, to));
        }
        if to > now.plus(MAX_AHEAD) {
            return Err(Refused::Future(to, now));
        }
        let due = from.floor(self.step);
        // The end of a stretch may be that of its slot.
        if to > due.plus(self.step) || to == due.plus(self.step) && from == to {
            return Err(Refused::Crosses(from, to, format_duration(self.step)));
        }
        if due.micros() < self.kept.closed {
            return Err(Refused::Closed(from, Timestamp::from_micros(self.kept.closed)));
        }
        Ok(due.micros())
    }

    fn make_room(&mut self) -> Result<(), Refused> {
        let kept = &mut self.kept;
        if kept.keys.len() < MAX_KEYS {
            return Ok(());
        }
        let settled = kept.keys.iter().filter(|(_, key)| key.2 < kept.closed);
        let oldest = settled.min_by_key(|(_, key)| key.0).map(|(name, _)| name.clone());
        let oldest = oldest.ok_or(Refused::TooManyKeys)?;
        kept.keys.remove(&oldest);
        Ok(())
    }

    /// Closes the slot that is due at `due`, and all before it; says what it counted.
    pub fn close(&mut self, due: Timestamp) -> Verdict {
        self.kept.closed = self.kept.closed.max(due.plus(self.step).micros());
        let held_since = self.kept.closed - micros(CLOSED_KEPT + 2 * self.step);
        let verdict = verdict(self.kept.slots.get(&due.micros()));
        self.kept.slots.retain(|due, _| *due >= held_since);
        self.kept.before.retain(|before| before.until >= held_since);
        verdict
    }

    /// Every slot of this length that is due in `[from, to)`, of which `from` is one, with what
    /// was sent for it; `reason` says why the others are unknown.
    pub fn runs(&self, from: Timestamp, to: Timestamp, reason: UnknownReason) -> Vec<Run> {
        runs(&self.kept.slots, self.step, (from, to), reason)
    }

    /// The same of slots of other lengths, from `next` on, which is one of the first length that
    /// lasted longer; up to the last one that has results.
    pub fn runs_before(&self, next: Timestamp, reason: UnknownReason) -> Vec<Run> {
        let (mut all, mut begin) = (Vec::new(), Some(next.micros()));
        for Before { step, until: end, slots } in &self.kept.before {
            let end = *end;
            if end <= next.micros() {
                continue;
            }
            let mut with_results = slots.range(next.micros()..end).map(|(due, _)| *due);
            // Of a length that came after it, what had no results is not told apart from nothing.
            let Some(first) = begin.take().or_else(|| with_results.next()) else { continue };
            let Some((last, _)) = slots.range(first..end).next_back() else { continue };
            let reach = [first, last + 1].map(Timestamp::from_micros);
            let step = Duration::from_micros(step.unsigned_abs());
            all.extend(runs(slots, step, (reach[0], reach[1]), reason));
        }
        all
    }
}

/// What was sent for a slot, or that nothing was.
fn verdict(slot: Option<&[u32; 3]>) -> Verdict {
    match slot {
        Some([good, bad, unknown]) => {
            Verdict::Counted(Counts { good: *good, bad: *bad, unknown: *unknown })
        }
        None => Verdict::Unknown(UnknownReason::Source),
    }
}

/// Every slot due in `[from, to)`, `step` after each other.
fn runs(
    slots: &Slots,
    step: Duration,
    (from, to): (Timestamp, Timestamp),
    reason: UnknownReason,
) -> Vec<Run> {
    let (mut runs, mut next) = (Vec::new(), from);
    let known = slots.range(from.micros()..to.micros().max(from.micros()));
    let known = known.map(|(due, slot)| (Timestamp::from_micros(*due), Some(verdict(Some(slot)))));
    for (due, counted) in known.chain([(to, None)]) {
        let n = due.since(next).as_micros().div_ceil(step.as_micros().max(1));
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        if n > 0 {
            let verdict = Verdict::Unknown(reason);
            runs.push(Run { start: next, step, n, verdict, class: 0 });
        }
        let Some(verdict) = counted else { continue };
        runs.push(Run { start: due, step, n: 1, verdict, class: 0 });
        next = due.plus(step);
    }
    runs
}

fn add(so_far: [u32; 3], more: Counts) -> Option<[u32; 3]> {
    let [good, bad, unknown] = so_far;
    Some([
        good.checked_add(more.good)?,
        bad.checked_add(more.bad)?,
        unknown.checked_add(more.unknown)?,
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }

    fn sent(from: i64, to: i64, good: u32, bad: u32) -> Sent {
        Sent { from: at(from), to: at(to), counts: Counts { good, bad, unknown: 0 } }
    }

    fn intake() -> Intake {
        Intake::new(MINUTE, None, at(60))
    }

    fn counted(good: u32, bad: u32) -> Verdict {
        Verdict::Counted(Counts { good, bad, unknown: 0 })
    }

    #[test]
    fn results_of_an_interval_add_up_until_it_is_closed() {
        let mut intake = intake();
        let now = at(130);
        assert_eq!(
            intake.take("a", &[sent(60, 120, 5, 1), sent(121, 121, 2, 0)], now),
            Ok(Taken::Now)
        );
        assert_eq!(intake.take("b", &[sent(119, 119, 1, 1)], now), Ok(Taken::Now));
        assert_eq!(intake.close(at(60)), counted(6, 2));
        let late = intake.take("c", &[sent(119, 119, 1, 1)], now);
        assert_eq!(late, Err(Refused::Closed(at(119), at(120))));
        assert_eq!(intake.close(at(120)), counted(2, 0));
        assert_eq!(intake.close(at(180)), Verdict::Unknown(UnknownReason::Source));
    }

    #[test]
    fn a_delivery_that_is_refused_changes_nothing() {
        let check = |result: Sent, expect: Refused| {
            let mut intake = intake();
            let before = intake.kept();
            let good = sent(70, 70, 1, 0);
            assert_eq!(intake.take("k", &[good, result], at(130)), Err(expect));
            assert_eq!(intake.kept(), before);
        };
        check(sent(132, 132, 1, 0), Refused::Future(at(132), at(130)));
        check(sent(59, 59, 1, 0), Refused::Closed(at(59), at(60)));
        check(sent(90, 80, 1, 0), Refused::Backwards(at(90), at(80)));
        check(sent(90, 121, 1, 0), Refused::Crosses(at(90), at(121), "1m".to_owned()));
        check(sent(71, 71, u32::MAX, 0), Refused::TooMany(at(71)));
    }

    #[test]
    fn a_key_counts_once_and_only_for_what_it_came_with() {
        let mut intake = intake();
        let first = [sent(70, 70, 1, 0)];
        assert_eq!(intake.take("k", &first, at(80)), Ok(Taken::Now));
        let mut again = Intake::new(MINUTE, Some(&intake.kept()), at(60));
        assert_eq!(again.take("k", &first, at(80)), Ok(Taken::Before));
        assert_eq!(again.take("k", &[sent(70, 70, 2, 0)], at(80)), Err(Refused::KeyReused));
        assert_eq!(again.close(at(60)), counted(1, 0));
        assert_eq!(again.take("k", &first, at(200)), Ok(Taken::Before), "though it is closed");
    }

    #[test]
    fn a_key_with_an_open_interval_is_never_forgotten() {
        let mut intake = intake();
        for n in 0..MAX_KEYS {
            assert_eq!(intake.take(&n.to_string(), &[sent(70, 70, 1, 0)], at(80)), Ok(Taken::Now));
        }
        let more = [sent(121, 121, 1, 0)];
        assert_eq!(intake.take("more", &more, at(130)), Err(Refused::TooManyKeys));
        intake.close(at(60));
        assert_eq!(intake.take("more", &more, at(130)), Ok(Taken::Now));
        // The oldest is forgotten, and does not count again for all that.
        let forgotten = intake.take("0", &[sent(70, 70, 1, 0)], at(130));
        assert_eq!(forgotten, Err(Refused::Closed(at(70), at(120))));
    }

    proptest! {
        /// However often and in whatever order deliveries are repeated, over restarts: each
        /// counts once.
        #[test]
        fn each_delivery_counts_exactly_once(
            order in prop::collection::vec((0..20_u32, any::<bool>()), 1..80),
        ) {
            let mut intake = intake();
            let mut model = std::collections::BTreeSet::new();
            for (n, restart) in order {
                if restart {
                    intake = Intake::new(MINUTE, Some(&intake.kept()), at(60));
                }
                let taken = intake.take(&n.to_string(), &[sent(60, 61, n, 1)], at(100));
                let expect = if model.insert(n) { Taken::Now } else { Taken::Before };
                prop_assert_eq!(taken, Ok(expect));
            }
            let good = model.iter().sum();
            let bad = u32::try_from(model.len()).expect("few");
            prop_assert_eq!(intake.close(at(60)), counted(good, bad));
        }
    }
}
