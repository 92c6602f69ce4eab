//! How much of a period its account speaks of: the time that counts, and what is still to come.
//! The rest was not measured or is left out; a budget of the whole period is scaled to hold it.

use std::time::Duration;

use super::history::Past;
use crate::model::budget::Budget;
use crate::model::catalog::UnknownPolicy;

/// A period of which at most one in so many parts is missing is told as a whole: a restart in a
/// month is no reason for a second budget beside the first.
const PARTS_MISSING: u32 = 1_000;

/// How much of a period its account speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The time whose events count; where several probes count, the mean of theirs.
    pub counted: Duration,
    /// What is still to come of the period, where it is known how much is due in it.
    pub to_come: Duration,
    /// How long the whole period is.
    pub whole: Duration,
}

impl Extent {
    /// That of one SLO, with so many events still to come.
    pub(super) fn of(past: &Past, unknown: UnknownPolicy, rest: u64) -> Self {
        let to_come = if rest > 0 { past.period.end.since(past.until) } else { Duration::ZERO };
        Extent { counted: past.counted_time(unknown), to_come, whole: past.period.length() }
    }

    /// What counts and what is to come, which together are at most the period.
    fn judged(&self) -> Duration {
        self.counted.saturating_add(self.to_come).min(self.whole)
    }

    /// The budget of what counts and what is to come alone, scaled to nothing.
    pub fn unscaled(&self, budget: &Budget) -> Budget {
        Budget { window: self.judged(), ..*budget }
    }

    /// Whether something counts, and so little that scaling makes a difference.
    pub(super) fn is_scaled(&self, budget: &Budget) -> bool {
        let missing = self.whole.saturating_sub(self.judged());
        budget.counted.total() > 0 && missing.saturating_mul(PARTS_MISSING) > self.whole
    }
}
