//! How an SLO stands, in one word: the order in which people want to know it.

use std::time::Duration;

use crate::engine::alert::burn_conditions;
use crate::engine::{Accounting, Alert, AlertKind, SloState, SloStatus};
use crate::model::decimal::cmp_products;
use crate::model::{Severity, Slo, Timestamp};

/// How an SLO or a service stands, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// More than the whole budget is spent.
    Missed,
    /// A page pair of the alert policy fires.
    BurningFast,
    /// A ticket pair fires.
    BurningSlow,
    /// Less than a quarter of the budget is left.
    BudgetLow,
    /// Nothing was measured, ever or for a while.
    NoData,
    /// None of these.
    Meeting,
    /// Nothing is promised.
    NoObjective,
}

impl Condition {
    /// Every condition that an SLO can be in, worst first.
    pub const OF_SLO: [Condition; 6] = [
        Condition::Missed,
        Condition::BurningFast,
        Condition::BurningSlow,
        Condition::BudgetLow,
        Condition::NoData,
        Condition::Meeting,
    ];

    /// How this SLO stands.
    pub fn of(state: &SloState) -> Self {
        let burns = Severity::ALL.map(|severity| is_firing(state, AlertKind::of(severity)));
        Self::judge(state.status.as_ref(), burns, is_firing(state, AlertKind::NoData))
    }

    /// How an SLO stood at the moment of this evaluation.
    pub fn then(slo: &Slo, status: Option<&SloStatus>) -> Self {
        let burns = status.map(|status| burn_conditions(slo, &status.pairs));
        Self::judge(status, burns.unwrap_or_default(), false)
    }

    fn judge(status: Option<&SloStatus>, [fast, slow]: [bool; 2], silent: bool) -> Self {
        let Some(status) = status.filter(|status| status.budget.counted.total() > 0) else {
            return Condition::NoData;
        };
        let low = |(left, whole): (i128, u128)| left.saturating_mul(4) < whole as i128;
        if status.accounting.is_missed() {
            Condition::Missed
        } else if fast {
            Condition::BurningFast
        } else if slow {
            Condition::BurningSlow
        } else if status.accounting == Accounting::NoData {
            Condition::NoData
        } else if status.budget.left().is_some_and(low) {
            Condition::BudgetLow
        } else if silent {
            Condition::NoData
        } else {
            Condition::Meeting
        }
    }

    /// The words used on pages.
    pub const fn words(self) -> &'static str {
        match self {
            Condition::Missed => "Objective missed",
            Condition::BurningFast => "Burning fast",
            Condition::BurningSlow => "Burning slow",
            Condition::BudgetLow => "Budget low",
            Condition::NoData => "No data",
            Condition::Meeting => "Meeting objective",
            Condition::NoObjective => "No objective",
        }
    }

    /// The word in links and style sheets.
    pub const fn slug(self) -> &'static str {
        match self {
            Condition::Missed => "missed",
            Condition::BurningFast => "burning-fast",
            Condition::BurningSlow => "burning-slow",
            Condition::BudgetLow => "budget-low",
            Condition::NoData => "no-data",
            Condition::Meeting => "meeting",
            Condition::NoObjective => "no-objective",
        }
    }

    /// The condition of this slug.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::OF_SLO.into_iter().find(|condition| condition.slug() == slug)
    }

    /// Since when, where an alert knows.
    pub fn since(self, state: &SloState) -> Option<Timestamp> {
        let kind = match self {
            Condition::Missed => AlertKind::Exhausted,
            Condition::BurningFast => AlertKind::BurnFast,
            Condition::BurningSlow => AlertKind::BurnSlow,
            Condition::NoData => AlertKind::NoData,
            Condition::BudgetLow | Condition::Meeting | Condition::NoObjective => return None,
        };
        firing(state, kind).and_then(Alert::fired_at)
    }
}

/// The alert of this kind, if it fires.
pub fn firing(state: &SloState, kind: AlertKind) -> Option<&Alert> {
    state.alerts.iter().find(|alert| alert.kind == kind && alert.is_firing())
}

fn is_firing(state: &SloState, kind: AlertKind) -> bool {
    firing(state, kind).is_some()
}

/// The highest burn rate over the long window of a pair that fires with this severity, and that
/// window.
pub fn burn(slo: &Slo, status: &SloStatus, severity: Severity) -> Option<((u128, u128), Duration)> {
    let policy = slo.policy.as_ref()?;
    let firing = policy.pairs.iter().zip(&status.pairs);
    let firing = firing.filter(|(pair, fires)| **fires && pair.severity == severity);
    let rates = firing.filter_map(|(pair, _)| Some((rate(status, pair.long)?, pair.long)));
    rates.max_by(|(a, _), (b, _)| cmp_products(a.0, b.1, b.0, a.1))
}

/// The burn rate over one window of the policy.
pub fn rate(status: &SloStatus, window: Duration) -> Option<(u128, u128)> {
    let burn = status.burns.iter().find(|burn| burn.window == window)?;
    status.burn(burn)
}
