//! Exact integer counts of outcomes over a slice of time.

use std::ops::{Add, AddAssign, Sub};

use super::outcome::Outcome;

/// How many slots were good, bad, unknown and excluded. Their sum is the number scheduled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tally {
    /// Slots in which the target did what was expected.
    pub good: u64,
    /// Slots in which the target failed.
    pub bad: u64,
    /// Slots that could not be measured.
    pub unknown: u64,
    /// Slots that do not count.
    pub excluded: u64,
}

impl Tally {
    /// Nothing counted yet.
    pub const ZERO: Tally = Tally { good: 0, bad: 0, unknown: 0, excluded: 0 };

    /// `n` slots of one outcome.
    pub const fn of(outcome: Outcome, n: u64) -> Self {
        let mut tally = Tally::ZERO;
        match outcome {
            Outcome::Good => tally.good = n,
            Outcome::Bad => tally.bad = n,
            Outcome::Unknown => tally.unknown = n,
            Outcome::Excluded => tally.excluded = n,
        }
        tally
    }

    /// Slots that were measured and count: good + bad.
    pub const fn known(self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    /// Slots that should have been measured: good + bad + unknown.
    pub const fn expected(self) -> u64 {
        self.known().saturating_add(self.unknown)
    }

    /// Every slot: good + bad + unknown + excluded.
    pub const fn scheduled(self) -> u64 {
        self.expected().saturating_add(self.excluded)
    }

    /// Whether nothing at all was scheduled.
    pub const fn is_empty(self) -> bool {
        self.scheduled() == 0
    }

    /// This tally `n` times over.
    pub const fn times(self, n: u64) -> Self {
        Tally {
            good: self.good.saturating_mul(n),
            bad: self.bad.saturating_mul(n),
            unknown: self.unknown.saturating_mul(n),
            excluded: self.excluded.saturating_mul(n),
        }
    }
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            good: self.good.saturating_add(other.good),
            bad: self.bad.saturating_add(other.bad),
            unknown: self.unknown.saturating_add(other.unknown),
            excluded: self.excluded.saturating_add(other.excluded),
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        *self = *self + other;
    }
}

impl Sub for Tally {
    type Output = Tally;

    /// The difference of two cumulative tallies; the later one goes first.
    fn sub(self, earlier: Tally) -> Tally {
        debug_assert!(self.good >= earlier.good && self.bad >= earlier.bad);
        Tally {
            good: self.good.saturating_sub(earlier.good),
            bad: self.bad.saturating_sub(earlier.bad),
            unknown: self.unknown.saturating_sub(earlier.unknown),
            excluded: self.excluded.saturating_sub(earlier.excluded),
        }
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Tally>>(tallies: I) -> Tally {
        tallies.fold(Tally::ZERO, Add::add)
    }
}
