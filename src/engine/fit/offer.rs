//! The honest offer: the highest objective at which no gate fails.
//!
//! Among the objectives that people use, and the one that is needed: an offer of 99.9627 % would
//! be exact and nobody would sign it.

use std::time::Duration;

use crate::model::Objective;

use super::dependencies::within;
use super::ground::{Ask, Case, budget_time};
use super::support::{Party, parties};
use super::{Answer, Gate};

/// The objectives that people use, in parts per million, highest first.
const LADDER: [u32; 13] = [
    999_999, 999_995, 999_990, 999_950, 999_900, 999_500, 999_000, 995_000, 990_000, 980_000,
    950_000, 900_000, 500_000,
];

/// What can honestly be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The highest objective at which no gate fails.
    pub objective: Objective,
    /// Its budget over the window that is needed, as time of full outage.
    pub budget: Duration,
    /// How long repair may take in everybody's hands, after somebody has answered; none where
    /// nobody's reaction is known.
    pub repair: Option<Duration>,
    /// Gates that nobody can answer at this objective: conditions of the offer.
    pub conditions: Vec<Gate>,
}

/// Objectives that are worth a try, highest first.
pub(super) fn ladder(needed: Objective) -> Vec<Objective> {
    let mut ladder: Vec<Objective> =
        LADDER.into_iter().filter_map(|ppm| Objective::from_ppb(ppm * 1_000)).collect();
    ladder.push(needed);
    ladder.sort_unstable_by(|a, b| b.cmp(a));
    ladder.dedup();
    ladder
}

/// The highest objective at which no gate fails; none if every one fails.
pub(super) fn offer(case: &Case<'_>) -> Option<Offer> {
    ladder(case.application.objective).into_iter().find_map(|objective| at(case, objective))
}

/// What rules most objectives out without a look at every gate.
fn cannot_be(ask: &Ask<'_, '_>) -> bool {
    let lost = ask.case.composed.as_ref();
    lost.is_some_and(|lost| within(lost, ask.budget_ratio()) == Answer::Fail)
}

fn at(case: &Case<'_>, objective: Objective) -> Option<Offer> {
    let ask = Ask { case, objective };
    if cannot_be(&ask) {
        return None;
    }
    let mut conditions = Vec::new();
    for gate in Gate::ALL {
        match gate.judge()(&ask).answer {
            Answer::Fail => return None,
            Answer::Unknown => conditions.push(gate),
            Answer::Pass => {}
        }
    }
    let budget = budget_time(objective, ask.window());
    let responses = parties(&ask).0;
    let slowest = responses.iter().map(Party::response).max();
    let repair = slowest.map(|response| budget.saturating_sub(response));
    Some(Offer { objective, budget, repair, conditions })
}
