//! Gate 7: whether the monitor's own blindness leaves enough to be seen. Time in which nothing
//! was measured could have been an outage, so it must stay below the budget.

use std::time::Duration;

use crate::model::number;

use super::ground::{Ask, Known, seconds};
use super::{Answer, Finding};

/// What one restart hides, at worst: the stop, the start, and the way back to the first result.
const RESTART: Duration = Duration::from_secs(30);
/// How often one is expected: once in this long.
const RESTART_EVERY: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn judge(ask: &Ask<'_, '_>) -> Finding {
    // Slots are not finer than seconds where it matters, so part of a second allows nothing.
    let allowed = Duration::from_secs(ask.budget().as_secs());
    let months = ask.window().as_secs().div_ceil(RESTART_EVERY.as_secs()).max(1);
    let expected = RESTART * u32::try_from(months).unwrap_or(u32::MAX);
    let needed = ask.case.needed().map(|service| ask.case.ground.known(service));
    let blindest = needed.filter_map(|known| Some((blind(ask, known)?, known))).max_by_key(|b| b.0);
    let measured = blindest.as_ref().map(|(blind, _)| *blind);
    let holds = expected <= allowed && measured.is_none_or(|blind| blind <= allowed);
    let seen = match &blindest {
        Some((blind, known)) if *blind > Duration::ZERO => {
            format!("; {} of {} were not measured", number::duration(*blind), known.service.name)
        }
        _ => String::new(),
    };
    let sentence = format!(
        "{} may pass unmeasured; a restart of {} every 30 d hides {}{seen}",
        number::duration(allowed),
        number::duration(RESTART),
        number::duration(expected),
    );
    Finding::new(Answer::of(holds), sentence)
        .number(seconds(allowed), "seconds")
        .fact("expected_seconds", seconds(expected))
        .fact("measured_seconds", measured.and_then(seconds))
}

/// How much of a service's window was scheduled and not measured, where its window is no longer
/// than that of the need.
fn blind(ask: &Ask<'_, '_>, known: &Known<'_>) -> Option<Duration> {
    let (measured, promise) = (known.measured?, known.promise?);
    let slots = u32::try_from(measured.unknown).ok()?;
    let each = known.interval() / u32::try_from(known.intervals.len().max(1)).ok()?;
    (promise.window.longest() <= ask.case.application.window.longest())
        .then(|| each.saturating_mul(slots))
}
