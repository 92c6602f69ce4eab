//! The oracle's own history of one probe: every slot one by one, and counts over them.
//!
//! No runs, no differences of windows, no slices: a list, and how many of which kind stand before
//! each place in it.

use std::collections::BTreeMap;

use nines::model::{Outcome, Probe, Tally, UnknownReason, Verdict};

use super::target::Target;

/// One slot as it was reported, or as it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// On the timeline of its process.
    pub due: i64,
    pub verdict: Verdict,
    /// In microseconds, if it was measured.
    pub latency: Option<u32>,
    /// Whether the disk has it.
    pub durable: bool,
}

/// The history of one probe.
pub struct Line<'w> {
    pub probe: Probe,
    pub target: &'w Target,
    slots: Vec<Slot>,
    /// Everything before this place is durable.
    settled: usize,
    /// By latency threshold: the count before each place, and before the end.
    before: BTreeMap<Option<u32>, Vec<Tally>>,
}

impl<'w> Line<'w> {
    pub fn new(probe: Probe, target: &'w Target) -> Self {
        Line { probe, target, slots: Vec::new(), settled: 0, before: BTreeMap::new() }
    }

    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub fn interval(&self) -> i64 {
        self.probe.interval.as_micros() as i64
    }

    pub fn timeout(&self) -> i64 {
        self.probe.timeout.as_micros() as i64
    }

    /// The slots due in `[from, to)`.
    pub fn within(&self, from: i64, to: i64) -> &[Slot] {
        let place = |at| self.slots.partition_point(|slot| slot.due < at);
        &self.slots[place(from)..place(to).max(place(from))]
    }

    /// Puts a slot in its place.
    ///
    /// # Errors
    /// It is there already.
    pub fn put(&mut self, slot: Slot) -> Result<(), String> {
        let n_later = self.slots.iter().rev().take_while(|known| known.due > slot.due).count();
        let place = self.slots.len() - n_later;
        if place > 0 && self.slots[place - 1].due == slot.due {
            let known = self.slots[place - 1];
            return Err(format!("{}: slot {} came twice: {known:?}", self.probe.id, slot.due));
        }
        self.slots.insert(place, slot);
        self.changed_at(place);
        Ok(())
    }

    fn changed_at(&mut self, place: usize) {
        self.settled = self.settled.min(place);
        self.before.values_mut().for_each(|before| before.truncate(place + 1));
    }

    /// The disk has every slot due in `[from, to)`.
    pub fn durable(&mut self, from: i64, to: i64) {
        let n_later = self.slots.iter().rev().take_while(|slot| slot.due >= from).count();
        let first = self.slots.len() - n_later;
        let these = self.slots[first..].iter_mut();
        these.take_while(|slot| slot.due < to).for_each(|slot| slot.durable = true);
    }

    /// The process died: what the disk does not have never was. Hands back when the first slot
    /// was due that was lost.
    pub fn forget(&mut self) -> Option<i64> {
        let settled = self.slots[self.settled..].iter().take_while(|slot| slot.durable).count();
        self.settled += settled;
        let first = self.slots.get(self.settled)?.due;
        let tail = self.slots.split_off(self.settled);
        let kept: Vec<Slot> = tail.into_iter().filter(|slot| slot.durable).collect();
        self.changed_at(self.settled);
        for slot in kept {
            self.fill(slot.due);
            self.slots.push(slot);
        }
        Some(first)
    }

    /// Accounts for what is not there before `until` as not having been watched.
    pub fn fill(&mut self, until: i64) {
        let Some(last) = self.slots.last() else { return };
        let mut due = last.due + self.interval();
        while due < until {
            let verdict = Verdict::Unknown(UnknownReason::NotRunning);
            self.slots.push(Slot { due, verdict, latency: None, durable: false });
            due += self.interval();
        }
    }

    /// Up to when every slot is there: when the first that is missing is due.
    pub fn known_until(&self) -> Option<i64> {
        let first = self.slots.len().saturating_sub(40);
        let slots = &self.slots[first..];
        let step = self.interval();
        let whole = slots.windows(2).take_while(|pair| pair[1].due == pair[0].due + step).count();
        slots.get(whole).map(|slot| slot.due + step)
    }

    /// How the slots count that are due before `at`, under a latency threshold in microseconds.
    pub fn count_before(&mut self, at: i64, threshold: Option<u32>) -> Tally {
        let place = self.slots.partition_point(|slot| slot.due < at);
        let before = self.before.entry(threshold).or_insert_with(|| vec![Tally::ZERO]);
        while before.len() <= place {
            let slot = &self.slots[before.len() - 1];
            let total = before[before.len() - 1] + Tally::of(slot.outcome(threshold), 1);
            before.push(total);
        }
        before[place]
    }
}

impl Slot {
    /// How the slot counts under a latency threshold.
    pub fn outcome(&self, threshold: Option<u32>) -> Outcome {
        match (self.verdict.outcome(), threshold, self.latency) {
            (Outcome::Good, Some(threshold), Some(took)) if took > threshold => Outcome::Bad,
            (Outcome::Good, Some(_), None) => Outcome::Unknown,
            (outcome, ..) => outcome,
        }
    }
}
