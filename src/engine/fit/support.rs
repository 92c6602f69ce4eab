//! Gate 5: whether people are fast enough. One total outage, from its beginning to its repair,
//! must fit into the budget, for every service that is needed and for the application's own team.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::catalog::{Support, SupportHours};
use crate::model::decimal;
use crate::model::number;
use crate::model::policy::Severity;

use super::ground::{Ask, Known, seconds, times};
use super::{Answer, Finding};

/// From the outage to a ringing pager, at best: evaluation, Alertmanager's usual wait for a group
/// (30 s) and delivery.
pub(super) const NOTICE: Duration = Duration::from_secs(60);

/// One party and how long an outage lasts in its hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Party {
    pub who: String,
    pub detect: Duration,
    pub support: Support,
}

impl Party {
    /// One that is paged, and hears of it so long after the outage began; what is automatic is not
    /// paged: noticing is in the time that it takes to react.
    fn new(who: String, support: Support, detect: Duration) -> Self {
        let detect = if is_automatic(support) { Duration::ZERO } else { detect };
        Party { who, detect, support }
    }

    /// Until somebody answers, on average over the week.
    pub fn response(&self) -> Duration {
        self.detect + self.support.hours.mean_wait() + self.support.acknowledge
    }

    /// Until it is repaired.
    pub fn total(&self) -> Duration {
        self.response() + self.support.repair
    }
}

pub(super) fn judge(ask: &Ask<'_, '_>) -> Finding {
    let (parties, missing) = parties(ask);
    let budget = ask.budget();
    let slowest = parties.iter().max_by_key(|party| party.total());
    let late = slowest.filter(|party| party.total() > budget);
    let answer = match (late, missing.as_slice()) {
        (Some(_), _) => Answer::Fail,
        (None, []) => Answer::Pass,
        (None, _) => Answer::Unknown,
    };
    let sentence = match (answer, slowest) {
        (Answer::Unknown, _) | (_, None) => format!("not known: {}", missing.join(", ")),
        (Answer::Pass, Some(party)) => {
            let total = number::duration(party.total());
            format!(
                "an outage in the hands of {} ends after {total} of the {} that are allowed",
                party.who,
                number::duration(budget)
            )
        }
        (Answer::Fail, Some(party)) => too_late(party, budget, ask.window()),
    };
    Finding::new(answer, sentence)
        .number(slowest.and_then(|party| seconds(party.total())), "seconds")
        .fact("ceiling", slowest.and_then(|party| ceiling(party.total(), ask.window())))
        .fact("times_budget", slowest.map(|party| times(party.total(), budget)))
        .fact("parties", parties.iter().map(|party| party_json(party, ask)).collect::<Value>())
}

/// Whether nobody has to be told.
fn is_automatic(support: Support) -> bool {
    support.hours == SupportHours::Automatic
}

fn too_late(party: &Party, budget: Duration, window: Duration) -> String {
    let Support { hours, acknowledge, repair } = party.support;
    let wait = hours.mean_wait();
    let waits = match wait.is_zero() {
        true => String::new(),
        false => format!(" and {} of waiting for somebody on average", number::duration(wait)),
    };
    let repairs = match repair.is_zero() {
        true => String::new(),
        false => format!(", {} to repair", number::duration(repair)),
    };
    let answers = match is_automatic(party.support) {
        true => format!("{} to react", number::duration(acknowledge)),
        false => format!(
            "{} to notice{waits}, {} to answer",
            number::duration(party.detect),
            number::duration(acknowledge)
        ),
    };
    format!(
        "{} takes {} ({hours}: {answers}{repairs}), {} times the {} that are allowed; one such \
         outage leaves {}",
        party.who,
        number::duration(party.total()),
        times(party.total(), budget),
        number::duration(budget),
        ceiling_percent(party.total(), window),
    )
}

/// Everybody who would have to react, and whose reaction is not known.
pub(super) fn parties(ask: &Ask<'_, '_>) -> (Vec<Party>, Vec<String>) {
    let (mut parties, mut missing) = (Vec::new(), Vec::new());
    match ask.case.application.support {
        Some(support) => {
            let who = format!("the team of {}", ask.case.application.name);
            parties.push(Party::new(who, support, NOTICE));
        }
        None => missing.push(format!("{} declares no support", ask.case.application.name)),
    }
    for known in ask.case.mandatory() {
        let name = &known.service.name;
        let automatic = known.tier.filter(|tier| is_automatic(tier.support()));
        let detect = automatic.map(|_| Duration::ZERO).or_else(|| detection(ask, known));
        match (known.tier, detect) {
            (None, _) => missing.push(format!("{name} has no support tier")),
            (_, None) => missing.push(format!("nobody is paged for {name}")),
            (Some(tier), Some(detect)) => {
                let who = format!("{name} ({})", tier.name);
                parties.push(Party::new(who, tier.support(), detect));
            }
        }
    }
    (parties, missing)
}

/// How long it takes until a total outage of a service pages by its own promise: the worst
/// phase, the failing probes that the alert waits for, and a timeout; never below [`NOTICE`].
fn detection(ask: &Ask<'_, '_>, known: &Known<'_>) -> Option<Duration> {
    let promise = known.promise?;
    let position = ask.case.ground.platform().position(known.service.name.as_str())?;
    let sight = ask.case.ground.sight(position, promise.objective, promise.window.shortest())?;
    let pages = sight.feasibility.pairs.iter().filter(|p| p.pair.severity == Severity::Page);
    let failing = pages.filter_map(|pair| pair.fires_on).min()?;
    let probes = u32::try_from(failing).ok()?;
    let rule = known.interval().checked_mul(probes)?.checked_add(known.timeout)?;
    Some(rule.max(NOTICE))
}

/// The availability that one outage of this length in the window leaves, cut.
pub(super) fn ceiling(outage: Duration, window: Duration) -> Option<String> {
    let (window, outage) = (window.as_micros(), outage.as_micros().min(window.as_micros()));
    decimal::ratio(i128::try_from(window - outage).ok()?, window)
}

fn ceiling_percent(outage: Duration, window: Duration) -> String {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    number::percent(millis(window.saturating_sub(outage)), millis(window))
}

fn party_json(party: &Party, ask: &Ask<'_, '_>) -> Value {
    json!({
        "who": party.who,
        "hours": party.support.hours.to_string(),
        "detect_seconds": seconds(party.detect),
        "wait_seconds": seconds(party.support.hours.mean_wait()),
        "longest_wait_seconds": seconds(party.support.hours.longest_wait()),
        "acknowledge_seconds": seconds(party.support.acknowledge),
        "repair_seconds": seconds(party.support.repair),
        "total_seconds": seconds(party.total()),
        "ceiling": ceiling(party.total(), ask.window()),
    })
}
