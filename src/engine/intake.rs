//! Results that others send: into open slots, each delivery once, until a slot is closed.
//!
//! What it keeps true: a delivery is taken as a whole or not at all; under one key once, for as
//! long as any of its slots could still count it; a slot that is closed never changes. Pure: it
//! keeps nothing itself, and answers with what must be kept.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schedule::fnv_1a;
use crate::model::time::{format_duration, micros};
use crate::model::{Counts, Timestamp, UnknownReason, Verdict};

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
    /// Good, bad and unknown of each slot with results, by when it is due.
    slots: BTreeMap<i64, [u32; 3]>,
    /// Deliveries by their key.
    keys: BTreeMap<String, Key>,
    /// The number of the next delivery.
    next: u64,
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

    /// From where on slots were open when this was kept; none if they had another length.
    pub fn open_since(step: Duration, kept: &str) -> Option<Timestamp> {
        let kept: Kept = serde_json::from_str(kept).ok()?;
        (kept.step == micros(step)).then(|| Timestamp::from_micros(kept.closed))
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
        let verdict = self.verdict(due);
        self.kept.slots.retain(|due, _| *due >= held_since);
        verdict
    }

    /// What was sent for a slot, or that nothing was.
    fn verdict(&self, due: Timestamp) -> Verdict {
        match self.kept.slots.get(&due.micros()) {
            Some([good, bad, unknown]) => {
                Verdict::Counted(Counts { good: *good, bad: *bad, unknown: *unknown })
            }
            None => Verdict::Unknown(UnknownReason::Source),
        }
    }

    /// The slots with results that are due in `[from, to)`, in order.
    pub fn slots(&self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Verdict)> {
        let range = self.kept.slots.range(from.micros()..to.micros().max(from.micros()));
        let at = |(due, _): (&i64, _)| Timestamp::from_micros(*due);
        range.map(at).map(|due| (due, self.verdict(due))).collect()
    }
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
