//! The truth about one target: what it did, when. Only the oracle and the wire know it.

use super::chance::Chance;
use super::{DAY, HOUR, MINUTE, MS, SECOND};

/// What a target does with those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Answers well and in time.
    Up,
    /// Answers well, but later than promised.
    Slow,
    /// Refuses connections.
    Refusing,
    /// Answers with an error.
    Failing,
    /// Takes connections and says nothing.
    Silent,
    /// Cuts connections.
    Cutting,
}

impl State {
    /// Whether a probe is answered well.
    pub fn is_good(self) -> bool {
        matches!(self, State::Up | State::Slow)
    }
}

/// The life of a target.
#[derive(Clone, Debug)]
pub struct Target {
    /// From when on it does what, ascending; [`State::Up`] before the first.
    changes: Vec<(i64, State)>,
    /// How long an answer takes while it is up.
    pub quick: i64,
    /// How long a good answer takes while it is slow.
    pub slow: i64,
}

const FAULTS: [State; 5] =
    [State::Slow, State::Refusing, State::Failing, State::Silent, State::Cutting];

impl Target {
    /// A target that fails now and then between `from` and `to`, at every length from less than
    /// an interval to hours, and sometimes flaps.
    pub fn new(chance: &mut Chance, (from, to): (i64, i64), (quick, slow): (i64, i64)) -> Self {
        let mut changes = Vec::new();
        let calm = chance.one_of(&[HOUR, 6 * HOUR, DAY, 4 * DAY]);
        let mut at = from + chance.between(SECOND, calm);
        while at < to {
            if chance.once_in(6) {
                for _ in 0..chance.between(2, 40) {
                    changes.push((at, chance.one_of(&FAULTS)));
                    at += chance.magnitude(100 * MS, MINUTE);
                    changes.push((at, State::Up));
                    at += chance.magnitude(100 * MS, MINUTE);
                }
            } else {
                changes.push((at, chance.one_of(&FAULTS)));
                at += chance.magnitude(100 * MS, 2 * HOUR);
                if chance.once_in(4) {
                    changes.push((at, chance.one_of(&FAULTS)));
                    at += chance.magnitude(SECOND, HOUR);
                }
                changes.push((at, State::Up));
            }
            at += chance.between(SECOND, calm);
        }
        Target { changes, quick, slow }
    }

    /// What it does at a moment.
    pub fn at(&self, at: i64) -> State {
        match self.changes.partition_point(|(from, _)| *from <= at) {
            0 => State::Up,
            n => self.changes[n - 1].1,
        }
    }

    /// When it began to speak again after it had been silent.
    pub fn recoveries(&self) -> impl Iterator<Item = i64> + '_ {
        let silent = |pair: &[(i64, State)]| (pair[0].1 == State::Silent).then_some(pair[1].0);
        self.changes.windows(2).filter_map(silent)
    }

    /// When it changed.
    pub fn moments(&self) -> impl Iterator<Item = i64> + '_ {
        self.changes.iter().map(|(at, _)| *at)
    }

    /// Whether it was at fault at some time of `[from, to]`; being slow is one if `slow` says so.
    pub fn at_fault(&self, from: i64, to: i64, slow: bool) -> bool {
        let fault = |state: State| !state.is_good() || slow && state == State::Slow;
        let first = self.changes.partition_point(|(at, _)| *at <= from);
        let within = self.changes[first..].iter().take_while(|(at, _)| *at <= to);
        fault(self.at(from)) || within.into_iter().any(|(_, state)| fault(*state))
    }

    /// Every stretch of `[from, to)` in which each probe would have been bad; slowness counts if
    /// `slow` says so. Ascending, each as long as it can be.
    pub fn outages(&self, from: i64, to: i64, slow: bool) -> Vec<(i64, i64)> {
        let mut found: Vec<(i64, i64)> = Vec::new();
        let ends = self.changes.iter().skip(1).map(|(at, _)| *at).chain([i64::MAX]);
        for ((at, state), end) in self.changes.iter().zip(ends) {
            if state.is_good() && !(slow && *state == State::Slow) {
                continue;
            }
            match found.last_mut() {
                Some(last) if last.1 == *at => last.1 = end,
                _ => found.push((*at, end)),
            }
        }
        found.retain(|outage| (from..to).contains(&outage.1));
        found
    }
}
