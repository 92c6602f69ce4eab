//! What an agreement comes to: each of its periods, what was delivered in it, and what is owed.
//!
//! From the accounting of exactly its own calendar period, corrections included, whatever window
//! the SLO itself has. Shares are compared as integers: delivering exactly what a tier says is
//! not below it.

use crate::engine::slices::Slices;
use crate::engine::status::Coverage;
use crate::model::budget::{Budget, Counted};
use crate::model::catalog::{Agreement, Credit};
use crate::model::decimal::cmp_products;
use crate::model::objective::PPB;
use crate::model::window::Period;
use crate::model::{Slo, Tally, Timestamp};

use super::history::{History, Past};
use super::{Extent, Kept};

/// One period of an agreement.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// The agreement's own calendar period.
    pub period: Period,
    /// Up to when it is told: its end, or as far as it has come.
    pub until: Timestamp,
    /// What happened in it.
    pub tally: Tally,
    /// What would have counted if all that is unknown was bad, and if all of it was good.
    pub bounds: [Counted; 2],
    /// Its budget, under the objective of the agreement.
    pub budget: Budget,
    /// How much of the period that speaks of.
    pub extent: Extent,
    /// How much of it was measured, up to `until`.
    pub coverage: Coverage,
    /// Whether it was kept.
    pub kept: Kept,
    /// The tier that is owed, if any is.
    pub credit: Option<Credit>,
}

/// The periods of the agreement that a report about `period` tells: those whose middle lies in
/// it, or else the one that it ends in.
pub fn periods(agreement: &Agreement, period: Period) -> Vec<Period> {
    let middle = |of: &Period| of.start.plus(of.length() / 2);
    let just_before = |at: Timestamp| Timestamp::from_micros(at.micros() - 1);
    let last = agreement.calendar.period(just_before(period.end));
    let back = |next: &Period| Some(agreement.calendar.period(just_before(next.start)));
    let mut all: Vec<Period> = std::iter::successors(Some(last), back)
        .take_while(|one| one.end > period.start)
        .filter(|one| (period.start..period.end).contains(&middle(one)))
        .collect();
    all.reverse();
    if all.is_empty() { vec![last] } else { all }
}

/// Settles one period of an agreement over the history of its SLO.
pub fn settle(
    agreement: &Agreement,
    slo: &Slo,
    history: &History,
    period: Period,
    now: Timestamp,
) -> Settlement {
    let past = Past::of(history, period, now);
    let slices = Slices::of(past.slots(), past.intervals(), slo, past.until);
    let judged = slices.as_ref().map_or(past.slots(), Slices::histories);
    let tally = super::tally(judged, &past);
    let counted = Counted::of(tally, slo.unknown);
    let rest = super::rest(judged, slo, &past);
    let budget = Budget::new(counted, agreement.objective, period.length())
        .with_rest(rest)
        .in_parts(slo.method.parts());
    let coverage = past.coverage();
    // Of what was measured too little, only what holds whatever the rest was is owed.
    let delivered = match super::covers(slo, coverage) {
        true => counted,
        false => super::at_best(&budget, tally, coverage).counted,
    };
    Settlement {
        period,
        until: past.until,
        tally,
        bounds: Counted::bounds(tally),
        budget,
        extent: Extent::of(&past, slo.unknown, rest),
        coverage,
        kept: Kept::of(&budget, tally, slo, coverage),
        credit: owed(agreement, delivered),
    }
}

/// The deepest tier that what was delivered lies below; none without events.
pub(super) fn owed(agreement: &Agreement, counted: Counted) -> Option<Credit> {
    let is_below = |credit: &&Credit| {
        let (good, all) = (u128::from(counted.good), u128::from(counted.total()));
        cmp_products(good, PPB.into(), credit.below.ppb().into(), all).is_lt()
    };
    agreement.credits.iter().filter(is_below).min_by_key(|credit| credit.below).copied()
}
