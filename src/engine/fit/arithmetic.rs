//! Gate 1: how long the budget is. What is shorter than a second cannot be counted, because
//! everything here is evaluated at whole seconds.

use std::time::Duration;

use crate::model::number;

use super::ground::{Ask, seconds};
use super::{Answer, Finding};

pub(super) fn judge(ask: &Ask<'_, '_>) -> Finding {
    let budget = ask.budget();
    let holds = budget >= Duration::from_secs(1);
    let mut sentence = format!(
        "{} over {} allows {} of full outage",
        number::percent_ppb(ask.objective.ppb()),
        ask.case.application.window,
        number::duration(budget),
    );
    if !holds {
        sentence.push_str(", which is less than the second at which anything is evaluated");
    }
    Finding::new(Answer::of(holds), sentence).number(seconds(budget), "seconds")
}
