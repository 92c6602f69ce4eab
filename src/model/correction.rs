//! A word about the past: how slots that were measured are to count, who says so, and why.
//!
//! Changes nothing by itself: history stays as it was measured, and a Correction is laid over it.
//! Keeps true: nothing is taken back but by another Correction, and both stay.

use super::name::{Name, SloId};
use super::outcome::Outcome;
use super::time::Timestamp;

/// Most Corrections that are known at a time, those included whose files are gone: one a day for
/// 27 years.
pub const MAX_CORRECTIONS: usize = 10_000;

/// A word about the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Its name.
    pub name: Name,
    /// What it does.
    pub act: Act,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub author: String,
    /// When it was written, if it says so.
    pub at: Option<Timestamp>,
}

/// What a Correction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Slots of an SLO that are due in `[from, to)` count as this.
    Set {
        /// The SLO.
        slo: SloId,
        /// Slots due from here on.
        from: Timestamp,
        /// Slots due before this.
        to: Timestamp,
        /// What they count as.
        outcome: Outcome,
    },
    /// Another Correction does not hold any more.
    Withdraw(Name),
}

impl Correction {
    /// What decides between Corrections of the same slot: the one that was written later holds,
    /// and of two written at the same time the one whose name comes later. One that does not say
    /// when is taken to be written at its end.
    pub fn rank(&self) -> (Timestamp, &Name) {
        let end = match &self.act {
            Act::Set { to, .. } => *to,
            Act::Withdraw(_) => Timestamp::MIN,
        };
        (self.at.unwrap_or(end), &self.name)
    }

    /// The Correction that it withdraws, if it does.
    pub const fn withdraws(&self) -> Option<&Name> {
        match &self.act {
            Act::Withdraw(name) => Some(name),
            Act::Set { .. } => None,
        }
    }
}
