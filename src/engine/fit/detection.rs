//! Gate 6: whether probing is fine enough. An outage as long as the budget must be seen for
//! certain, and one lost probe must not be taken for it: either it cannot page, or the alert
//! waits for more failing probes than one and those still fit into the budget.

use std::time::Duration;

use crate::model::decimal;
use crate::model::number;
use crate::model::policy::Severity;

use super::ground::{Ask, Known, Sight, list, seconds};
use super::{Answer, Finding};

/// What the probes of one service do to the budget.
struct Look<'a> {
    name: &'a str,
    interval: Duration,
    min_bad: u64,
    /// The longest interval at which one lost probe does not page.
    longest: Option<Duration>,
    holds: bool,
}

pub(super) fn judge(ask: &Ask<'_, '_>) -> Finding {
    let (mut looks, mut blind) = (Vec::new(), Vec::new());
    for (known, sight) in ask.sights() {
        match sight {
            Some(sight) => looks.push(look(ask, known, &sight)),
            None => blind.push(known.service.name.to_string()),
        }
    }
    let worst = looks.iter().max_by_key(|look| (!look.holds, look.interval));
    let answer = match (worst, blind.as_slice()) {
        (Some(look), _) if !look.holds => Answer::Fail,
        (_, [_, ..]) => Answer::Unknown,
        _ => Answer::Pass,
    };
    let Some(worst) = worst else {
        let sentence = match blind.as_slice() {
            [] => "nothing is needed, so nothing has to be seen".to_owned(),
            blind => format!("nothing is promised for {}, so nothing is seen of it", list(blind)),
        };
        return Finding::new(answer, sentence);
    };
    Finding::new(answer, sentence(ask, worst, answer, &blind))
        .number(cost(ask, worst), "ratio")
        .fact("interval_seconds", seconds(worst.interval))
        .fact("interval_max_seconds", worst.longest.and_then(seconds))
        .fact("budget_outage_seen", seen(ask, worst))
        .fact("service", worst.name)
}

fn look<'a>(ask: &Ask<'_, '_>, known: &'a Known<'a>, sight: &Sight) -> Look<'a> {
    let (interval, budget) = (known.interval(), ask.budget());
    let policy = known.promise.and_then(|slo| slo.policy.as_deref());
    let min_bad = policy.map_or(1, |policy| policy.min_bad);
    let pages = || sight.feasibility.pairs.iter().filter(|p| p.pair.severity == Severity::Page);
    let one_pages = pages().any(|pair| pair.fires_on == Some(1));
    let fits = u32::try_from(min_bad).ok().and_then(|n| interval.checked_mul(n));
    Look {
        name: known.service.name.as_str(),
        interval,
        min_bad,
        longest: pages().map(|pair| pair.interval_max).min(),
        holds: !one_pages && fits.is_some_and(|fits| fits <= budget),
    }
}

/// The share of the budget that one lost probe costs, cut up.
fn cost(ask: &Ask<'_, '_>, look: &Look<'_>) -> Option<String> {
    let micros = i128::try_from(look.interval.as_micros()).ok()?;
    let cut = decimal::ratio(-micros, ask.budget().as_micros())?;
    Some(cut.replacen('-', "", 1))
}

/// The chance that an outage as long as the budget is seen, as decimal text, cut.
fn seen(ask: &Ask<'_, '_>, look: &Look<'_>) -> Option<String> {
    let (budget, interval) = (ask.budget().as_micros(), look.interval.as_micros());
    decimal::ratio(i128::try_from(budget.min(interval)).ok()?, interval)
}

fn sentence(ask: &Ask<'_, '_>, look: &Look<'_>, answer: Answer, blind: &[String]) -> String {
    let budget = ask.budget();
    let cost = number::of_budget(look.interval.as_micros(), budget.as_micros());
    let lost = format!(
        "one lost probe of {}, every {}, costs {cost}",
        look.name,
        number::duration(look.interval)
    );
    match answer {
        Answer::Pass => lost,
        Answer::Unknown => format!("{lost}; nothing is promised for {}", list(blind)),
        Answer::Fail if look.min_bad > 1 => format!(
            "{lost}; {} failing ones only fit into it every {}",
            look.min_bad,
            number::duration(budget / u32::try_from(look.min_bad).unwrap_or(u32::MAX))
        ),
        Answer::Fail => {
            let longest = number::duration(look.longest.unwrap_or(budget));
            let patient = number::duration(budget / 3);
            format!(
                "{lost} and pages; it takes a probe every {longest}, or `minBad: 3` and one \
                 every {patient}"
            )
        }
    }
}
