//! What witnesses say about the way to the world: when it was cut, and until when that is known.
//!
//! A witness is probed on a fixed grid like any target. An answer proves that the way was open; a
//! silence of all of them between two answers is a cut. Reads no clock. Keeps true: runs are
//! judged in the order of their starts, whatever order they are reported in, and memory is
//! bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::model::Timestamp;

/// What one run of a witness proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The peer said something, be it a refusal: the way was open.
    Answered,
    /// Nothing came.
    Silent,
    /// It was not measured: our own fault, which proves nothing.
    Nothing,
}

/// Longest time for which the account of a run is waited for; beyond the interval and the timeout
/// of a witness, which together are at most 1.75 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// Cuts that are remembered. A verdict that waits looks back for its own timeout at most.
const CUTS_MAX: usize = 64;
/// Runs that one witness may have reported ahead of one that is missing.
const AHEAD_MAX: usize = 64;

/// All witnesses of one way.
#[derive(Clone, Debug)]
pub struct Witnesses {
    interval: Duration,
    of: Vec<Witness>,
    /// Runs that are not judged yet, by start: one that started earlier may still be reported.
    /// With when each ended.
    waiting: BTreeMap<(Timestamp, usize), (Timestamp, Sign)>,
    /// The start of the first run that was judged.
    begun: Option<Timestamp>,
    /// The start of the last answered run that is judged.
    answered: Option<Timestamp>,
    /// Closed cuts, oldest first: from the start of the last answered run before to the end of the
    /// first one after. A run that starts during a cut may be answered when the way opens again,
    /// so that nothing is known of the way before its end.
    cuts: VecDeque<(Timestamp, Timestamp)>,
}

#[derive(Clone, Debug, Default)]
struct Witness {
    /// Everything due before this is reported.
    next_due: Option<Timestamp>,
    ahead: BTreeSet<Timestamp>,
    /// Whether it has kept silent since the last answer of any of them.
    silent: bool,
    last: Option<Sign>,
}

impl Witnesses {
    /// So many witnesses, each due once an interval. None of them never say anything.
    pub fn new(n: usize, interval: Duration) -> Self {
        Witnesses {
            interval,
            of: vec![Witness::default(); n],
            waiting: BTreeMap::new(),
            begun: None,
            answered: None,
            cuts: VecDeque::new(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// What the last known run of each witness said; none before its first.
    pub fn last_signs(&self) -> impl Iterator<Item = Option<Sign>> {
        self.of.iter().map(|witness| witness.last)
    }

    /// Takes the account of a run: its witness, when it was due, from when to when it lasted.
    pub fn report(
        &mut self,
        witness: usize,
        due: Timestamp,
        (start, end): (Timestamp, Timestamp),
        sign: Sign,
    ) {
        let interval = self.interval;
        let Some(one) = self.of.get_mut(witness) else { return };
        one.reported(due, interval);
        self.waiting.insert((start, witness), (end, sign));
    }

    /// Takes note that a witness had no run due before `until`.
    pub fn skip(&mut self, witness: usize, until: Timestamp) {
        let interval = self.interval;
        let Some(one) = self.of.get_mut(witness) else { return };
        one.last = Some(Sign::Nothing);
        one.skip(until, interval);
    }

    /// Judges every run before which none is missing; runs that stay away are not waited for
    /// beyond a bound.
    pub fn settle(&mut self, now: Timestamp) {
        let overdue = now.minus(PATIENCE);
        let interval = self.interval;
        self.of.iter_mut().for_each(|witness| witness.skip(overdue, interval));
        let known = self.known_until();
        while let Some(entry) = self.waiting.first_entry() {
            let (start, witness) = *entry.key();
            if known.is_none_or(|known| start >= known) && start >= overdue {
                break;
            }
            let (end, sign) = entry.remove();
            self.judge(witness, (start, end), sign);
        }
    }

    /// Whether every witness has accounted for a run that started after this moment.
    pub fn are_heard_since(&self, at: Timestamp) -> bool {
        self.is_empty() || self.known_until() >= Some(at.plus(self.interval))
    }

    /// Every run that started before this moment is reported.
    fn known_until(&self) -> Option<Timestamp> {
        self.of.iter().map(|witness| witness.next_due).min().flatten()
    }

    fn judge(&mut self, witness: usize, (start, end): (Timestamp, Timestamp), sign: Sign) {
        self.of[witness].last = Some(sign);
        self.begun.get_or_insert(start);
        match sign {
            Sign::Nothing => {}
            Sign::Silent => self.of[witness].silent = true,
            Sign::Answered => {
                if self.is_cut() {
                    let from = self.answered.unwrap_or(Timestamp::MIN);
                    self.cuts.push_back((from, end));
                    if self.cuts.len() > CUTS_MAX {
                        self.cuts.pop_front();
                    }
                }
                self.of.iter_mut().for_each(|witness| witness.silent = false);
                self.answered = Some(start);
            }
        }
    }

    /// Whether every witness has kept silent since the last answer.
    pub fn is_cut(&self) -> bool {
        !self.of.is_empty() && self.of.iter().all(|witness| witness.silent)
    }

    /// Whether one of them has ever answered.
    pub fn has_answered(&self) -> bool {
        self.answered.is_some()
    }

    /// Since when the way is cut, if it is: since the last answer, or since the first run.
    pub fn cut_since(&self) -> Option<Timestamp> {
        self.answered.or(self.begun).filter(|_| self.is_cut())
    }

    /// Whether the way was cut at some time from `from` to `to`; none if that cannot be told yet.
    pub fn was_cut(&self, from: Timestamp, to: Timestamp) -> Option<bool> {
        if self.is_empty() {
            return Some(false);
        }
        if self.cuts.iter().any(|(since, until)| *since < to && from < *until) {
            return Some(true);
        }
        if self.answered.is_some_and(|answered| answered >= to) {
            return Some(false);
        }
        // An answer that is not judged yet may end the cut, but not before what is known.
        let known = self.known_until().unwrap_or(Timestamp::MIN);
        (self.is_cut() && known > from).then_some(true)
    }
}

impl Witness {
    /// Takes note that the run due at `due` is reported.
    fn reported(&mut self, due: Timestamp, interval: Duration) {
        let next = *self.next_due.get_or_insert(due);
        if due >= next {
            self.ahead.insert(due);
        }
        self.advance(interval);
        if self.ahead.len() > AHEAD_MAX
            && let Some(first) = self.ahead.first().copied()
        {
            self.skip(first, interval);
        }
    }

    /// Takes note that nothing due before `until` will be reported any more. Stays on the grid.
    fn skip(&mut self, until: Timestamp, interval: Duration) {
        let Some(next) = &mut self.next_due else { return };
        let steps = until.since(*next).as_micros().div_ceil(interval.as_micros().max(1));
        *next = next.plus(interval.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX)));
        let next = *next;
        self.ahead.retain(|due| *due >= next);
        self.advance(interval);
    }

    fn advance(&mut self, interval: Duration) {
        let Some(next) = &mut self.next_due else { return };
        while self.ahead.remove(next) {
            *next = next.plus(interval);
        }
    }
}
