//! What is known about one SLO at one moment. Values only; how they come about is in
//! `evaluate`.

use std::time::Duration;

use crate::model::budget::{Budget, Counted, Spending};
use crate::model::decimal::{self, cmp_products};
use crate::model::evidence::{self, Evidence};
use crate::model::objective::PPB;
use crate::model::window::Period;
use crate::model::{Share, Tally, Timestamp, number};

/// The evaluation of one SLO at one tick.
#[derive(Clone, Debug, PartialEq)]
pub struct SloStatus {
    /// The tick. Everything due before it is in here.
    pub at: Timestamp,
    /// The window: of a calendar the whole present period, the rest of it included.
    pub period: Period,
    /// Slots in the window before the tick.
    pub tally: Tally,
    /// Slots since the history of this SLO began.
    pub totals: Tally,
    /// What would have counted in the window if all that is unknown was bad, and if all of it was
    /// good.
    pub bounds: [Counted; 2],
    /// The budget of the window.
    pub budget: Budget,
    /// How much of the window was observed.
    pub coverage: Coverage,
    /// The burn rate over every window of the alert policy, shortest first.
    pub burns: Vec<Burn>,
    /// When the budget will be gone.
    pub exhaustion: Exhaustion,
    /// The same by the look-back that says so latest.
    pub exhaustion_latest: Exhaustion,
    /// What was counted.
    pub accounting: Accounting,
    /// What may be claimed.
    pub evidence: Evidence,
    /// What that rests on.
    pub proof: Proof,
    /// Which pairs of the alert policy fire, in the policy's order.
    pub pairs: Vec<bool>,
    /// Whether a Correction says how slots of the window before the tick count.
    pub corrected: bool,
}

/// What evidence rests on. It may be looked at as often as one likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Since when it counts: what is promised has been the same, and history has been there.
    pub since: Timestamp,
    /// Known time and outages since then.
    pub record: evidence::Record,
    /// The availability that they support at 95 %, in parts per billion.
    pub supported_ppb: Option<u32>,
    /// The mean outage length that is assumed.
    pub assumed_outage: Duration,
    /// When the objective could be supported at the earliest, if from now on nothing fails; none
    /// where it is met or breached.
    pub earliest: Option<Timestamp>,
}

/// The burn rate over one look-back window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burn {
    /// The look-back.
    pub window: Duration,
    /// What counted in it.
    pub counted: Counted,
    /// Bad parts per billion of all events that were allowed in it.
    pub allowed_ppb: u128,
}

impl Burn {
    /// What counted, and what was allowed.
    pub const fn spending(&self) -> Spending {
        Spending { counted: self.counted, allowed_ppb: self.allowed_ppb }
    }
}

impl SloStatus {
    /// The burn rate over one look-back as an exact fraction; none without events.
    pub fn burn(&self, burn: &Burn) -> Option<(u128, u128)> {
        burn.spending().burn()
    }
}

/// Observed over scheduled, as an exact fraction of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Slots that were measured, weighted by the share of the window that history covers.
    pub numerator: u128,
    /// What `numerator` would be if every slot of the window had been measured.
    pub denominator: u128,
}

impl Coverage {
    /// Nothing was scheduled, so nothing was observed.
    pub const NONE: Coverage = Coverage { numerator: 0, denominator: 1 };

    /// Whether it is at least this much.
    pub fn reaches(self, least: Share) -> bool {
        cmp_products(self.numerator, PPB.into(), self.denominator, least.ppb().into()).is_ge()
    }

    /// As decimal text from 0 to 1, cut.
    pub fn ratio(self) -> String {
        decimal::ratio(self.numerator as i128, self.denominator).unwrap_or_else(|| "0".to_owned())
    }

    /// For exposition.
    pub fn as_f64(self) -> f64 {
        self.numerator as f64 / self.denominator.max(1) as f64
    }
}

/// What was counted in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounting {
    /// At most the whole budget is spent.
    WithinBudget,
    /// More than the whole budget is spent.
    Spent,
    /// Of a calendar period: even if all the rest of it is bad, the objective will be met.
    Safe,
    /// Of a calendar period: even if all the rest of it is good, the objective will be missed.
    Lost,
    /// Less was measured than the SLO wants for a verdict.
    NoData,
}

impl Accounting {
    /// What this budget comes to.
    pub fn of(budget: &Budget) -> Self {
        match (budget.is_spent(), budget.rest > 0) {
            (true, true) => Accounting::Lost,
            (true, false) => Accounting::Spent,
            (false, _) if budget.is_safe() => Accounting::Safe,
            (false, _) => Accounting::WithinBudget,
        }
    }

    /// Whether more than the whole budget is spent.
    pub const fn is_missed(self) -> bool {
        matches!(self, Accounting::Spent | Accounting::Lost)
    }

    /// The words used everywhere.
    pub const fn words(self) -> &'static str {
        match self {
            Accounting::WithinBudget => "within budget",
            Accounting::Spent => "spent",
            Accounting::Safe => "safe",
            Accounting::Lost => "lost",
            Accounting::NoData => number::NO_DATA,
        }
    }
}

/// When the budget will be gone if it goes on like this, old failures expiring on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhaustion {
    /// No data, no forecast.
    Unknown,
    /// It is not burning faster than it refills.
    Never,
    /// After this long; zero when it is gone already.
    In(Duration),
}
