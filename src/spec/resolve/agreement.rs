//! Agreements: whom something is promised, in which periods it is settled, and what is owed.

use super::service::is_retained;
use super::{Context, raw, refer};
use crate::model::catalog::{Agreement, Application, Credit, UnknownPolicy};
use crate::model::window::Calendar;
use crate::model::{Name, Objective, Service, Slo, Window};
use crate::spec::mirror::{Field, Given, quoted};
use crate::spec::nearest::did_you_mean;
use crate::spec::problem::{At, Problems};

/// Most agreements: each is settled anew for every report.
const MAX_AGREEMENTS: usize = 10_000;

/// Builds every agreement, by name; none if something in one was wrong. `services` are those that
/// could be built, and all there are if `whole`.
pub(super) fn agreements(
    raws: &[raw::Agreement],
    (services, whole): (&[Service], bool),
    applications: &[Application],
    cx: &mut Context,
) -> Option<Vec<Agreement>> {
    if let Some(first) = raws.get(MAX_AGREEMENTS).and_then(raw::Agreement::name) {
        let message = format!("more than {MAX_AGREEMENTS} agreements");
        cx.problems.error(&first.at, message).hint("leave out those that have ended");
    }
    let mut agreements = Vec::new();
    let mut well = true;
    for raw in raws {
        let built = agreement(raw, (services, whole), applications, cx);
        well &= built.is_some();
        agreements.extend(built);
    }
    agreements.sort_by(|a, b| a.name.cmp(&b.name));
    well.then_some(agreements)
}

fn agreement(
    raw: &raw::Agreement,
    services: (&[Service], bool),
    applications: &[Application],
    cx: &mut Context,
) -> Option<Agreement> {
    let spec = raw.spec.value()?;
    let slo = slo(spec, services, cx);
    let calendar = spec.window.given().and_then(|window| calendar(window, cx));
    let objective = spec.objective.given();
    let credits = credits(&spec.credits, cx.problems);
    let customer = spec.customer.given();
    if let (Some(objective), Some(slo)) = (objective, slo) {
        margin(objective, slo, cx.problems);
    }
    if let (Some(objective), Some(credits)) = (objective, &credits) {
        first_tier(objective.value, credits, &spec.credits, cx.problems);
    }
    if let (Some(objective), Some(customer)) = (objective, customer) {
        need(objective, &customer.value.0, applications, cx.problems);
    }
    Some(Agreement {
        name: raw.name()?.value.clone(),
        slo: slo?.id.clone(),
        customer: customer?.value.0.clone(),
        objective: objective?.value,
        calendar: calendar?,
        credits: credits?,
    })
}

/// The SLO that is meant.
fn slo<'s>(
    spec: &raw::AgreementSpec,
    (services, whole): (&'s [Service], bool),
    cx: &mut Context,
) -> Option<&'s Slo> {
    let (service, slo) = (spec.service.given()?, spec.slo.given()?);
    if !refer("Service", service, &cx.services, cx.problems) {
        return None;
    }
    let built = services.iter().find(|built| built.name == service.value)?;
    let found = built.slos.iter().find(|built| built.id.name() == slo.value.as_str());
    if found.is_none() && whole {
        unknown_slo(slo, built, cx.problems);
    }
    found
}

fn unknown_slo(slo: &Given<Name>, service: &Service, problems: &mut Problems) {
    let known = || service.slos.iter().map(|slo| slo.id.name());
    let expected = match service.slos.is_empty() {
        true => format!("{} promises nothing", service.name),
        false => format!("one of {}", quoted(known())),
    };
    let text = slo.value.as_str();
    problems
        .error(&slo.at, format!("{} has no SLO {text:?}", service.name))
        .expected(expected)
        .maybe_hint(did_you_mean(text, known()));
}

fn calendar(window: &Given<raw::CalendarWindow>, cx: &mut Context) -> Option<Calendar> {
    let raw = &window.value;
    let calendar = Calendar::of(*raw.calendar.value()?, raw.time_zone.value()?.0.clone());
    is_retained(&Window::Calendar(calendar.clone()), &window.at, cx).then_some(calendar)
}

/// The tiers, if they say what is owed for every share; nothing owed without any.
fn credits(field: &Field<raw::CreditTiers>, problems: &mut Problems) -> Option<Vec<Credit>> {
    let tiers = match field {
        Field::Absent => return Some(Vec::new()),
        Field::Broken => return None,
        Field::Given(given) => &given.value.items,
    };
    let mut credits: Vec<Credit> = Vec::new();
    let before = problems.n_errors();
    for tier in tiers {
        let (Some(below), Some(credit)) = (tier.value.below.given(), tier.value.credit.given())
        else {
            continue;
        };
        if credit.value.ppb() == 0 {
            let problem = problems.error(&credit.at, "a credit of nothing");
            problem.expected("a share above 0%; leave out a tier in which nothing is owed");
        }
        if let Some(last) = credits.last() {
            if below.value >= last.below {
                let message = format!("{} is not below the tier before it", below.value);
                let problem = problems.error(&below.at, message);
                problem.expected(format!("less than {}: the mildest tier comes first", last.below));
            }
            if credit.value <= last.credit {
                let message = format!("{} is not more than the tier before it", credit.value);
                problems.error(&credit.at, message).expected(format!("more than {}", last.credit));
            }
        }
        credits.push(Credit { below: below.value, credit: credit.value });
    }
    (problems.n_errors() == before && credits.len() == tiers.len()).then_some(credits)
}

/// Who agrees on as much as the SLO aims at is told that the budget is spent when it is owed.
fn margin(objective: &Given<Objective>, slo: &Slo, problems: &mut Problems) {
    let (agreed, aimed) = (objective.value, slo.objective);
    if agreed >= aimed {
        let message = match agreed == aimed {
            true => format!("{agreed} is agreed, and {} aims at no more", slo.id),
            false => format!("{agreed} is agreed, and {} only aims at {aimed}", slo.id),
        };
        problems
            .warn(&objective.at, message)
            .hint("agree on less than the objective, so that people act before anything is owed");
    }
    if slo.unknown == UnknownPolicy::Good {
        let message = format!("{} counts time that nobody measured as good", slo.id);
        problems.warn(&objective.at, message).hint("a customer may see that otherwise");
    }
}

/// Where the first tier is not what is agreed, breaking the agreement costs nothing at first, or
/// keeping it costs.
fn first_tier(
    agreed: Objective,
    credits: &[Credit],
    field: &Field<raw::CreditTiers>,
    problems: &mut Problems,
) {
    let (Some(first), Some(at)) = (credits.first(), first_at(field)) else { return };
    if first.below < agreed {
        let message = format!("from {} to {agreed} it is broken, and nothing is owed", first.below);
        problems.warn(at, message).hint(format!("begin with `below: {agreed}`"));
    } else if first.below > agreed {
        let message = format!("from {agreed} to {} it is kept, and still owes", first.below);
        problems.warn(at, message).hint(format!("begin with `below: {agreed}`"));
    }
}

fn first_at(field: &Field<raw::CreditTiers>) -> Option<&At> {
    field.given()?.value.items.first()?.value.below.given().map(|below| &below.at)
}

/// A customer that needs more than it was promised.
fn need(
    objective: &Given<Objective>,
    customer: &str,
    applications: &[Application],
    problems: &mut Problems,
) {
    let needs = applications.iter().find(|one| one.name.as_str() == customer);
    if let Some(needs) = needs.filter(|needs| needs.objective > objective.value) {
        let (agreed, needed) = (objective.value, needs.objective);
        let message = format!("{agreed} is agreed, and {customer} needs {needed}");
        problems.warn(&objective.at, message).hint("`nines fit` says what can be offered");
    }
}
