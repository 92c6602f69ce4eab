//! Gate 8: whether the history supports it. Passes where what is supported of each service,
//! composed, reaches the objective; fails where a service alone has already lost the whole
//! budget within the window; otherwise says when it could be known.

use std::time::Duration;

use crate::model::evidence::{DECLARED_OUTAGE, evidence_units};
use crate::model::number;
use crate::model::objective::PPB;

use super::ground::{Ask, Known, seconds};
use super::{Answer, Finding, poisson};

/// `-ln(5 %)`: mean outages' worth of budget without one, looked at once (the rule of three).
const CLEAN_UNITS: f64 = 2.995_732_273_553_991;
/// Longest wait that is told.
const MAX_WAIT: Duration = Duration::from_secs(1_000 * 365 * 86_400);

pub(super) fn judge(ask: &Ask<'_, '_>) -> Finding {
    let supported = supported(ask);
    let text = supported.map(|lost| lost.availability());
    if let Some((known, lost)) = overspent(ask) {
        let sentence = format!(
            "{} was bad for {} within {}, more than the whole budget of {}",
            known.service.name,
            number::duration(lost),
            known.promise.map(|slo| slo.window.to_string()).unwrap_or_default(),
            number::duration(ask.budget()),
        );
        return Finding::new(Answer::Fail, sentence).number(text, "ratio");
    }
    if let Some(lost) = supported {
        let (numerator, denominator) = ask.budget_ratio();
        if lost.fits(numerator, denominator) {
            let sentence = format!("the history supports {}", lost.percent());
            return Finding::new(Answer::Pass, sentence).number(text, "ratio");
        }
        let wait = remaining(ask);
        let after = wait.map_or("ages".to_owned(), number::duration);
        let sentence = format!(
            "the history supports {}; without another outage it takes {after} more",
            lost.percent()
        );
        return Finding::new(Answer::Unknown, sentence)
            .number(text, "ratio")
            .fact("remaining_seconds", wait.and_then(seconds));
    }
    without_history(ask)
}

/// What is supported of each service, composed; none unless all have a history.
fn supported(ask: &Ask<'_, '_>) -> Option<crate::model::composition::Independent> {
    let structure = ask.case.structure.as_ref()?;
    let lost = |known: &Known<'_>| Some(PPB - known.measured?.supported_ppb?);
    let own: Vec<Option<u32>> = ask.case.ground.services().iter().map(lost).collect();
    structure.composed(&own).independent
}

/// The service that lost most, if that is more than the budget.
fn overspent<'g>(ask: &Ask<'_, 'g>) -> Option<(&'g Known<'g>, Duration)> {
    let lost = |known: &'g Known<'g>| {
        let (measured, promise) = (known.measured?, known.promise?);
        // Over a longer window than the need's, bad time does not say when it was.
        let bad = u32::try_from(measured.counted.bad)
            .ok()
            .filter(|_| promise.window.longest() <= ask.case.application.window.longest())?;
        let slots = u32::try_from(known.intervals.len().max(1)).ok()?;
        Some((known, (known.interval() / slots).saturating_mul(bad)))
    };
    let most = ask.case.mandatory().filter_map(lost).max_by_key(|(_, lost)| *lost);
    most.filter(|(_, lost)| *lost > ask.budget())
}

/// How much longer nothing may fail until the objective is supported: the x for which the sum of
/// what each service's history supports, x older, is the budget.
fn remaining(ask: &Ask<'_, '_>) -> Option<Duration> {
    let records: Vec<(f64, f64)> = ask
        .case
        .mandatory()
        .filter_map(|known| known.measured)
        .map(|m| {
            (
                evidence_units(m.record.outages) * m.assumed_outage.as_secs_f64(),
                m.record.observed.as_secs_f64(),
            )
        })
        .collect();
    let (numerator, denominator) = ask.budget_ratio();
    let budget = numerator as f64 / denominator as f64;
    let lost =
        |wait: f64| records.iter().map(|(units, observed)| units / (observed + wait)).sum::<f64>();
    let (mut low, mut high) = (0.0, MAX_WAIT.as_secs_f64());
    if lost(high) > budget {
        return None;
    }
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if lost(middle) > budget { low = middle } else { high = middle }
    }
    Some(Duration::from_secs(high.ceil() as u64))
}

/// The least that it would take from nothing.
fn without_history(ask: &Ask<'_, '_>) -> Finding {
    let probes = ask.sights().filter_map(|(_, sight)| sight?.feasibility.evidence_time).max();
    let (numerator, denominator) = ask.budget_ratio();
    let declared = declared(ask);
    let seconds_of = CLEAN_UNITS * declared.as_secs_f64() * denominator as f64 / numerator as f64;
    let outages = Duration::from_secs(seconds_of.ceil() as u64);
    let singly = match probes {
        Some(time) => format!("{} if probes fail singly, ", number::duration(time)),
        None => String::new(),
    };
    // At other objectives nobody reads it.
    let is_need = ask.objective == ask.case.application.objective;
    let sentence = format!(
        "not every service has a history; from nothing it takes at least {singly}{} if outages \
         last {}",
        number::duration(outages),
        number::duration(declared),
    );
    Finding::new(Answer::Unknown, sentence)
        .fact("clean_probe_seconds", probes.and_then(seconds))
        .fact("clean_outage_seconds", seconds(outages))
        .fact("windows_met_by_luck", is_need.then(|| lucky(ask)))
}

/// How long outages are declared to last on average: the longest that a needed service says.
fn declared(ask: &Ask<'_, '_>) -> Duration {
    let of = |service| ask.case.ground.known(service).promise.map(|slo| slo.mean_outage);
    ask.case.needed().filter_map(of).max().unwrap_or(DECLARED_OUTAGE)
}

/// The share of windows that would look met if the availability were exactly the objective: what
/// a window without a miss is worth. As decimal text, cut.
fn lucky(ask: &Ask<'_, '_>) -> String {
    let outages = ask.budget().as_secs_f64() / declared(ask).as_secs_f64();
    format!("{:.2}", (poisson::windows_met(outages, outages) * 100.0).floor() / 100.0)
}
