//! Gate 10: how many incidents a year the budget allows at the repair times that are seen, and
//! how many there were. Before there is a history, at the repair times that are declared.

use std::time::Duration;

use crate::model::decimal;
use crate::model::evidence::Record;
use crate::model::number;
use crate::model::objective::{Objective, PPB};

use super::ground::{Ask, seconds};
use super::support::{Party, parties};
use super::{Answer, Finding};

/// A year of 365 days.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(super) fn judge(ask: &Ask<'_, '_>) -> Finding {
    let records: Vec<Record> =
        ask.case.mandatory().filter_map(|known| Some(known.measured?.record)).collect();
    let complete = records.len() == ask.case.mandatory().count() && !records.is_empty();
    let outages: u64 = records.iter().map(|record| record.outages).sum();
    let lasted: Duration = records.iter().map(|record| record.outage_time).sum();
    let observed = records.iter().map(|record| record.observed).min().unwrap_or_default();
    let mean = u32::try_from(outages).ok().filter(|n| *n > 0).map(|n| lasted / n);
    let declared = parties(ask).0.iter().map(Party::total).max();
    let Some(repair) = mean.filter(|mean| !mean.is_zero()).or(declared) else {
        return Finding::new(Answer::Unknown, "neither declared nor seen how long repair takes");
    };
    let allowed = per_year(ask.objective, repair);
    let said = allowed.map_or(number::NO_DATA.to_owned(), |n| shown(n, 1_000));
    let source = if mean.is_some() { "as seen" } else { "as declared" };
    let allows = format!(
        "{said} incidents a year are allowed, at {} each {source}",
        number::duration(repair)
    );
    // Incidents in a year at the observed rate, in thousandths, cut up.
    let rate = (!observed.is_zero() && complete)
        .then(|| (u128::from(outages) * YEAR.as_micros() * 1_000).div_ceil(observed.as_micros()));
    let (answer, sentence) = match (rate, allowed) {
        (Some(rate), Some(allowed)) if rate > allowed && observed >= ask.window() => {
            (Answer::Fail, format!("{allows}; {} were seen", shown(rate, 1_000)))
        }
        (Some(rate), Some(_)) if observed >= ask.window() => {
            (Answer::Pass, format!("{allows}; {} were seen", shown(rate, 1_000)))
        }
        (Some(_), _) => (
            Answer::Unknown,
            format!(
                "{allows}; {outages} in {} are too few days to tell",
                number::duration(observed)
            ),
        ),
        (None, _) => (Answer::Unknown, format!("{allows}; nothing was seen yet")),
    };
    let text = |n: Option<u128>| n.and_then(|n| decimal::ratio(i128::try_from(n).ok()?, 1_000));
    Finding::new(answer, sentence)
        .number(text(allowed), "incidents a year")
        .fact("repair_seconds", seconds(repair))
        .fact("seen_per_year", text(rate))
}

/// `year * budget / repair`, in thousandths, cut.
pub(super) fn per_year(objective: Objective, repair: Duration) -> Option<u128> {
    let budget = YEAR.as_micros() * 1_000 * u128::from(objective.budget_ppb());
    budget.checked_div(u128::from(PPB) * repair.as_micros())
}

/// A number with two digits, cut.
fn shown(n: u128, parts: u128) -> String {
    let text = decimal::fixed(i128::try_from(n).unwrap_or(i128::MAX), parts, 2).unwrap_or_default();
    decimal::trim_zeros(&text).to_owned()
}
