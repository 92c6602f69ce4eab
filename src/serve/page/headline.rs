//! The one sentence that says how the platform stands.

use crate::engine::{AlertKind, Exhaustion, SloState};
use crate::model::{Severity, number};
use crate::serve::condition::{self, Condition};

/// The sentence over these services: each with its condition and its SLOs. Services that
/// promise nothing do not count.
pub fn headline(services: &[(&str, Condition, Vec<&SloState>)]) -> String {
    let count = |wanted: Condition| services.iter().filter(|(_, c, _)| *c == wanted).count();
    let n = services.len() - count(Condition::NoObjective);
    if n == 0 {
        return "No service has an objective yet.".to_owned();
    }
    let (missed, silent) = (count(Condition::Missed), count(Condition::NoData));
    let mut parts = vec![standing(n, missed, silent)];
    parts.extend(burning(services));
    if silent > 0 && silent < n {
        let verb = if silent == 1 { "has" } else { "have" };
        let names: Vec<&str> = services
            .iter()
            .filter(|(_, condition, _)| *condition == Condition::NoData)
            .map(|(name, _, _)| *name)
            .collect();
        let who = match names.as_slice() {
            [one] => (*one).to_owned(),
            [one, other] => format!("{one} and {other}"),
            many => format!("{} services", many.len()),
        };
        parts.push(format!("{who} {verb} no data"));
    }
    format!("{}.", parts.join("; "))
}

fn standing(n: usize, missed: usize, silent: usize) -> String {
    match (missed, n - missed - silent) {
        (0, 0) if n == 1 => "The only service has no data".to_owned(),
        (0, 0) => format!("None of the {n} services has data"),
        (0, _) if n == 1 => "The only service is within its objectives".to_owned(),
        (0, within) if within == n => format!("All {n} services are within their objectives"),
        (0, 1) => format!("1 of {n} services is within its objectives"),
        (0, within) => format!("{within} of {n} services are within their objectives"),
        (1, _) if n == 1 => "The only service is outside its objectives".to_owned(),
        (1, _) => format!("1 of {n} services is outside its objectives"),
        (missed, _) => format!("{missed} of {n} services are outside their objectives"),
    }
}

/// The SLO that burns most urgently, and how many more do.
fn burning(services: &[(&str, Condition, Vec<&SloState>)]) -> Option<String> {
    let all = services.iter().flat_map(|(_, _, slos)| slos);
    let burns = |slo: &&&SloState| severity(slo).is_some();
    let burning: Vec<&SloState> = all.filter(burns).copied().collect();
    // Pages before tickets, then what is gone soonest.
    let first = burning.iter().min_by_key(|slo| (severity(slo), left(slo)))?;
    let rate = first.status.as_ref().zip(severity(first));
    let rate = rate.and_then(|(status, severity)| condition::burn(&first.slo, status, severity));
    let rate = rate.map_or_else(String::new, |(rate, _)| format!(" {}", number::burn(rate)));
    let id = &first.slo.id;
    let left = match first.status.as_ref().map(|status| status.exhaustion) {
        Some(Exhaustion::In(left)) if left.is_zero() => " with no budget left".to_owned(),
        Some(Exhaustion::In(left)) => format!(" and has {} left", number::duration(left)),
        _ => String::new(),
    };
    let more = match burning.len() - 1 {
        0 => String::new(),
        1 => "; 1 more objective is burning".to_owned(),
        n => format!("; {n} more objectives are burning"),
    };
    Some(format!("{id} is burning{rate}{left}{more}"))
}

/// How loudly this SLO burns, if it does.
fn severity(slo: &SloState) -> Option<Severity> {
    let fires = |severity: &Severity| condition::firing(slo, AlertKind::of(*severity)).is_some();
    Severity::ALL.into_iter().find(fires)
}

fn left(slo: &SloState) -> std::time::Duration {
    match slo.status.as_ref().map(|status| status.exhaustion) {
        Some(Exhaustion::In(left)) => left,
        _ => std::time::Duration::MAX,
    }
}
