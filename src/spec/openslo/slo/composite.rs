//! Composite SLOs: objectives that each measure something of their own, and the SLO that is made of
//! them.
//!
//! The rules are those of the specification and of the Go SDK: what is measured stands with the
//! SLO or with every one of its objectives, and a weight is above 0.

use super::{Common, Sli, display_name, is_free, name_of};
use crate::model::catalog::{Part, Service};
use crate::model::{ProbeId, Slo, SloId, Weight};
use crate::spec::mirror::{Field, Given};
use crate::spec::openslo::Known;
use crate::spec::openslo::raw::{OpenIndicator, OpenObjective, OpenSloSpec};
use crate::spec::problem::At;
use crate::spec::resolve::Context;

/// What each objective of an SLO measures.
pub(super) struct Measured<'a> {
    /// One for each objective; none (and reported) where something is wrong.
    pub slis: Vec<Option<Sli<'a>>>,
    /// Whether the objectives say it and not the SLO.
    pub is_composite: bool,
}

/// What every objective measures.
pub(super) fn indicators<'a>(
    given: &'a Given<OpenSloSpec>,
    known: &Known<'a>,
    cx: &mut Context,
) -> Measured<'a> {
    let spec = &given.value;
    let objectives = spec.objectives.value().map(|list| list.items.as_slice()).unwrap_or_default();
    let has_own = |objective: &Given<OpenObjective>| {
        let raw = &objective.value;
        !raw.indicator.is_absent() || !raw.indicator_ref.is_absent()
    };
    let is_composite = objectives.iter().any(has_own);
    for objective in objectives {
        weight(&objective.value, is_composite && objectives.len() > 1, cx);
    }
    let whole = [place(&spec.indicator), place(&spec.indicator_ref)].into_iter().flatten().next();
    if is_composite {
        let own = |objective: &'a Given<OpenObjective>| {
            let raw = &objective.value;
            let keys =
                [("indicator", place(&raw.indicator)), ("indicatorRef", place(&raw.indicator_ref))];
            for (key, at) in keys {
                if let (Some(at), Some(_)) = (at, whole) {
                    let message = format!("`{key}` in an objective beside that of the SLO");
                    let problem = cx.problems.error(at, message);
                    problem.expected("what is measured with the SLO, or with every objective");
                }
            }
            let nothing = "an objective of a composite SLO that measures nothing";
            sli((&raw.indicator, &raw.indicator_ref), (&objective.at, nothing), known, cx)
        };
        let slis = objectives.iter().map(own).collect::<Vec<_>>();
        return Measured {
            slis: slis.into_iter().map(|sli| sli.filter(|_| whole.is_none())).collect(),
            is_composite,
        };
    }
    let nothing = "an SLO that measures nothing";
    let sli = sli((&spec.indicator, &spec.indicator_ref), (&given.at, nothing), known, cx);
    let threshold = sli.is_some_and(|(_, sli)| sli.threshold.given().is_some());
    if threshold && objectives.len() > 1 {
        let problem =
            cx.problems.error(&objectives[1].at, "a second objective of a threshold metric");
        problem.expected("exactly one; write an SLO for each");
    }
    Measured { slis: vec![sli; objectives.len()], is_composite }
}

fn place<T>(field: &Field<T>) -> Option<&At> {
    field.given().map(|given| &given.at)
}

/// What is measured, of which there is exactly one.
fn sli<'a>(
    (inline, reference): (&'a Field<OpenIndicator>, &'a Field<crate::model::Name>),
    (at, nothing): (&At, &str),
    known: &Known<'a>,
    cx: &mut Context,
) -> Option<Sli<'a>> {
    match (inline, reference) {
        (Field::Given(_), Field::Given(reference)) => {
            let problem = cx.problems.error(&reference.at, "`indicatorRef` beside `indicator`");
            problem.expected("one of the two");
            None
        }
        (Field::Given(inline), _) => {
            Some((name_of(&inline.value.metadata)?, inline.value.spec.value()?))
        }
        (_, Field::Given(reference)) => {
            let sli = known.slis.find(reference, cx.problems)?;
            Some((name_of(&sli.metadata)?, sli.spec.value()?))
        }
        (Field::Absent, Field::Absent) => {
            let problem = cx.problems.error(at, nothing);
            problem.expected("`indicator` or `indicatorRef`");
            None
        }
        _ => None,
    }
}

/// How much an objective weighs: 1 unless it says otherwise. Reported where there is nothing to
/// weigh it against.
fn weight(raw: &OpenObjective, weighs: bool, cx: &mut Context) -> Option<Weight> {
    let given = match &raw.weight {
        Field::Absent => return Some(Weight::ONE),
        Field::Broken => return None,
        Field::Given(given) => given,
    };
    if !weighs {
        let message = "`compositeWeight` in an SLO that is not composite";
        let problem = cx.problems.error(&given.at, message);
        problem.expected("several objectives, each with its own `indicator` or `indicatorRef`");
        return None;
    }
    let weight = Weight::from_nano(given.value.nano);
    if weight.is_none() {
        let problem = cx.problems.error(&given.at, "a weight of 0");
        problem.expected("a number above 0, such as 0.5").hint("leave the objective out");
    }
    weight
}

/// Adds the SLO that is made of these objectives; says where it is declared.
pub(super) fn add(
    common: &Common<'_>,
    built: &[SloId],
    service: &mut Service,
    cx: &mut Context,
) -> Option<(String, At)> {
    let Common { document, spec, name, .. } = common;
    let id = SloId::new(&service.name, &name.value);
    is_free(&id, name, service, cx)?;
    let objectives = &spec.objectives.value()?.items;
    let of = |id: &SloId| service.slos.iter().find(|slo| slo.id == *id);
    let slos: Vec<&Slo> = built.iter().filter_map(of).collect();
    let method = slos.first()?.method;
    for (objective, slo) in objectives.iter().zip(&slos) {
        if let Some(at) =
            place(&objective.value.slice).filter(|_| slo.method.slice() != method.slice())
        {
            let problem = cx.problems.error(at, "another slice than that of the first objective");
            problem.expected("slices of one length: a slice is that of every objective");
            return None;
        }
    }
    let weighed = objectives.iter().zip(built).map(|(objective, slo)| {
        // What is wrong has been reported.
        let nano = objective.value.weight.value().map(|weight| weight.nano);
        let weight = nano.map_or(Some(Weight::ONE), Weight::from_nano)?;
        Some(Part { slo: slo.clone(), weight })
    });
    let parts: Vec<Part> = weighed.collect::<Option<_>>()?;
    let mut probes: Vec<ProbeId> = slos.iter().flat_map(|slo| slo.probes.clone()).collect();
    probes.sort();
    probes.dedup();
    let strictest = slos.iter().map(|slo| slo.objective).max()?;
    let mean_outage = slos.iter().map(|slo| slo.mean_outage).max()?;
    service.slos.push(Slo {
        display_name: display_name(document),
        description: spec.description.value().map(|text| text.0.clone()),
        probes,
        parts,
        method,
        mean_outage,
        policy: common.policy.clone(),
        notify: common.targets.clone(),
        ..Slo::new(id.clone(), strictest, common.window.clone())
    });
    Some((id.to_string(), name.at.clone()))
}
