//! For how long an evaluation says the same.
//!
//! Counts change when a slot comes and when one leaves a window. Most ticks lie between two
//! slots: they find what the one before found, and need not look. What it keeps true: a tick
//! that does not look leaves the status that looking would have made. Where time alone changes
//! what is said, as in calendar periods, forecasts and while an alert lives, every tick looks.

use crate::model::{Slo, Timestamp, Window};

use super::evaluate::Moment;
use super::status::SloStatus;

/// Until when an evaluation says the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steady {
    /// The last moment at which it does; none if it has to be made anew at each tick.
    until: Option<Timestamp>,
    /// Of a history that is shorter than a look-back, since when and until when it speaks: its
    /// share of the window grows.
    young: Option<(Timestamp, Timestamp)>,
}

impl Steady {
    /// How long what was evaluated at this moment stays so, as far as the windows tell.
    pub(super) fn of(moment: &Moment<'_>, slo: &Slo, status: &SloStatus) -> Self {
        let Window::Rolling(length) = slo.window else { return Steady::default() };
        let pairs = || slo.policy.iter().flat_map(|policy| &policy.pairs);
        let burns = |window, threshold| {
            let burn = status.burns.iter().find(|burn| burn.window == window);
            burn.is_some_and(|burn| burn.spending().burns_above(threshold))
        };
        let forecasts = |long, short| burns(long, (1, 1)) && burns(short, (1, 1));
        let timed = pairs().any(|p| !p.hold.is_zero() || forecasts(p.long, p.short));
        let (Some((first, end)), Some(leaves)) = (moment.reach(), moment.leaves()) else {
            return Steady::default();
        };
        if timed || slo.method.slice().is_some() {
            return Steady::default();
        }
        let longest = pairs().map(|pair| pair.long).fold(length, Ord::max);
        let young = moment.at().since(first) < longest;
        // What a short history does not decide, it may decide once it is longer.
        let whole = status.budget.spending();
        let undecided = || {
            whole.burns_above((1, 1)) || pairs().any(|p| burns(p.long, p.burn_threshold(length)))
        };
        if young && undecided() {
            return Steady::default();
        }
        Steady { until: Some(leaves), young: young.then_some((first, end)) }
    }

    /// The same, but at most until this moment; not at all if there is none.
    pub(super) fn at_most(self, until: Option<Timestamp>) -> Self {
        Steady { until: self.until.zip(until).map(|(a, b)| a.min(b)), ..self }
    }

    /// Whether a tick at `now` would find the same.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now <= until)
    }

    /// Makes a status that stays as it is be that of a later tick.
    pub(super) fn move_on(&self, status: &mut SloStatus, at: Timestamp) {
        let length = status.period.length();
        // What is missing until then is known time, of which no more has come.
        let earliest = &mut status.proof.earliest;
        *earliest = earliest.map(|earliest| earliest.plus(at.since(status.at)));
        (status.at, status.period.start, status.period.end) = (at, at.minus(length), at);
        if let Some((first, end)) = self.young {
            let span = end.max(at).since(first).min(length);
            status.coverage.numerator = u128::from(status.tally.known()) * span.as_micros();
        }
    }
}

#[cfg(test)]
mod tests;
