//! Alert policies, conditions and targets: a burn rate over one look-back becomes a pair of equal
//! windows that must hold for `alertAfter`.
//!
//! Notifications themselves are Alertmanager's; targets are kept and shown.

use std::time::Duration;

use super::raw::{Op, OpenAlertPolicySpec, OpenConditionSpec, OpenTargetSpec, OpenTargetUse};
use super::{Known, Told, name_of};
use crate::model::catalog::NotificationTarget;
use crate::model::{Limit, Name, Pair, Severity};
use crate::spec::mirror::{Field, Given};
use crate::spec::problem::Problems;

/// Longest `alertAfter`: each second of it is looked at before somebody is told.
const MAX_HOLD: Duration = Duration::from_secs(86_400);

/// What a policy comes to; none (and reported) if something in it is wrong.
pub(super) fn told(
    given: &Given<OpenAlertPolicySpec>,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Told> {
    let spec = &given.value;
    let pair = condition(spec, known, problems);
    let targets = targets(spec, known, problems);
    let (breaching, no_data) = (*spec.breaching.value()?, *spec.no_data.value()?);
    if !breaching {
        let problem =
            problems.warn(&given.at, "`alertWhenBreaching` is not true, so no burn rate is told");
        problem.hint("write `alertWhenBreaching: true`");
    } else if !no_data {
        let message = "`NinesNoData` is raised although `alertWhenNoData` is not true";
        problems.warn(&given.at, message).hint("write `alertWhenNoData: true`");
    }
    let pairs = if breaching { vec![pair?] } else { Vec::new() };
    Some(Told { pairs, targets: targets?, any: breaching || no_data })
}

fn condition(
    spec: &OpenAlertPolicySpec,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Pair> {
    let each = &spec.conditions.value()?.items.first()?.value;
    match &each.reference {
        Field::Given(name) => {
            // It has been looked at where it is declared.
            let found = known.conditions.find(name, problems)?;
            pair(found.spec.value()?)
        }
        Field::Broken => None,
        Field::Absent => {
            let spec = each.spec.value()?;
            check(spec, problems);
            pair(spec)
        }
    }
}

/// Reports what is wrong with a condition.
pub(super) fn check(spec: &OpenConditionSpec, problems: &mut Problems) {
    if let Field::Given(given) = &spec.severity
        && severity(&given.value.0).is_none()
    {
        let message = format!("severity {:?} is not one that nines can tell", given.value.0);
        problems.error(&given.at, message).expected("`page` or `critical`, `ticket` or `warning`");
    }
    let Some(burn) = spec.condition.given() else { return };
    match &burn.value.op {
        Field::Absent => {
            let problem = problems.warn(&burn.at, "no `op`: `gt` is taken");
            problem.hint("write `op: gt`, as the present schema has it");
        }
        Field::Given(op) if matches!(op.value, Op::Lt | Op::Lte) => {
            let problem = problems.error(&op.at, "an alert on a burn rate that is low");
            problem.expected("`gt` or `gte`");
        }
        _ => {}
    }
    if let Field::Given(look_back) = &burn.value.look_back
        && look_back.value.n == 0
    {
        problems.error(&look_back.at, "a look-back of no time").expected("at least 1m");
    }
    if let Field::Given(after) = &burn.value.after
        && after.value.length() > MAX_HOLD
    {
        problems.error(&after.at, "longer than a day").expected("at most 1d");
    }
}

/// The pair that a condition comes to; none if something is wrong with it.
fn pair(spec: &OpenConditionSpec) -> Option<Pair> {
    let severity = severity(&spec.severity.value()?.0)?;
    let burn = spec.condition.value()?;
    let or_equal = match burn.op {
        Field::Absent => false,
        Field::Given(Given { value: Op::Gt, .. }) => false,
        Field::Given(Given { value: Op::Gte, .. }) => true,
        _ => return None,
    };
    let window = Some(burn.look_back.value()?.length()).filter(|length| !length.is_zero())?;
    let hold = match &burn.after {
        Field::Absent => Duration::ZERO,
        Field::Given(after) => Some(after.value.length()).filter(|after| *after <= MAX_HOLD)?,
        Field::Broken => return None,
    };
    let limit = Limit::Burn { nano: burn.threshold.value()?.nano, or_equal };
    Some(Pair { severity, long: window, short: window, limit, hold })
}

fn severity(word: &str) -> Option<Severity> {
    match word.to_ascii_lowercase().as_str() {
        "page" | "critical" => Some(Severity::Page),
        "ticket" | "warning" => Some(Severity::Ticket),
        _ => None,
    }
}

fn targets(
    spec: &OpenAlertPolicySpec,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Vec<NotificationTarget>> {
    let mut all = Vec::new();
    for each in &spec.targets.value()?.items {
        all.push(target(&each.value, known, problems));
    }
    all.into_iter().collect()
}

fn target(
    each: &OpenTargetUse,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<NotificationTarget> {
    let (name, spec): (&Name, &OpenTargetSpec) = match &each.reference {
        Field::Given(name) => (&name.value, known.targets.find(name, problems)?.spec.value()?),
        Field::Broken => return None,
        Field::Absent => (&name_of(&each.metadata)?.value, each.spec.value()?),
    };
    Some(NotificationTarget {
        name: name.clone(),
        target: spec.target.value()?.0.clone(),
        description: spec.description.value().map(|text| text.0.clone()),
    })
}
