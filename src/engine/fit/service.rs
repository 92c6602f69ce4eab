//! The platform's side: what one service's promise is worth to those who need it, which
//! applications it leaves without support, and which promise would help most of them.

use crate::model::composition::{Composed, Structure};
use crate::model::objective::PPB;
use crate::model::{Application, Objective, Service, Slo};

use super::dependencies::within;
use super::ground::Ground;
use super::offer::ladder;
use super::{Answer, Measured};

/// One service and those who need it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceFit<'a> {
    /// The service.
    pub service: &'a Service,
    /// What it promises.
    pub promise: Option<Objective>,
    /// What is measured of that.
    pub measured: Option<Measured>,
    /// Its composite SLOs, which are no promise by themselves, with what is measured of each.
    pub composites: Vec<(&'a Slo, Option<Measured>)>,
    /// What it and everything it needs lose together; none if that is too entangled.
    pub composed: Option<Composed>,
    /// Whether what it needs lets it keep its promise towards those who see all of it.
    pub possible: Answer,
    /// Every application that needs it, by name.
    pub applications: Vec<Dependent<'a>>,
    /// Promises that would support more applications, lowest first.
    pub fixes: Vec<Fix>,
}

/// An application that needs the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependent<'a> {
    /// Which.
    pub application: &'a Application,
    /// Whether the platform's promises carry its need, reserve included.
    pub answer: Answer,
    /// The least that the service would have to promise for that, everything else as it is; none
    /// where this service alone cannot mend it, and where it need not be mended.
    pub required: Option<Objective>,
}

/// A promise and what it would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fix {
    /// The promise.
    pub objective: Objective,
    /// How many applications it would support that have no support now.
    pub supports: usize,
}

/// Judges a service by its name; none if there is no such service.
pub fn assess<'a>(ground: &'a Ground<'a>, name: &str) -> Option<ServiceFit<'a>> {
    let position = ground.platform().position(name)?;
    let known = ground.known(position);
    let promise = known.promise.map(|slo| slo.objective);
    let applications: Vec<Dependent<'a>> = ground
        .catalog()
        .applications
        .iter()
        .filter_map(|application| dependent(ground, position, application))
        .collect();
    let below = ground.platform().structure(&known.service.depends_on);
    Some(ServiceFit {
        service: known.service,
        promise,
        measured: known.measured,
        composites: known.composites.clone(),
        composed: whole(ground, known.service),
        possible: possible(ground, below.as_ref(), promise),
        fixes: fixes(promise, &applications),
        applications,
    })
}

/// Services that promise more than what they need lets them keep, even in the best case: each
/// with a sentence. What users see of a service includes what it depends on.
pub fn impossible(ground: &Ground<'_>) -> Vec<(crate::model::SloId, String)> {
    let told = |known: &super::ground::Known<'_>| {
        let promise = known.promise?;
        let below = ground.platform().structure(&known.service.depends_on)?;
        let best = below.composed(ground.platform().own()).best;
        let fits = best.fits(promise.objective.budget_ppb().into(), PPB.into());
        let percent = crate::model::number::percent_ppb(promise.objective.ppb());
        let sentence = format!(
            "promises {percent}, but what {} depends on leaves at best {}",
            known.service.name,
            best.percent()
        );
        (!fits).then(|| (promise.id.clone(), sentence))
    };
    ground.services().iter().filter_map(told).collect()
}

fn possible(ground: &Ground<'_>, below: Option<&Structure>, promise: Option<Objective>) -> Answer {
    let (Some(below), Some(promise)) = (below, promise) else { return Answer::Unknown };
    let best = below.composed(ground.platform().own()).best;
    Answer::of(best.fits(promise.budget_ppb().into(), PPB.into()))
}

/// The service together with what it needs.
fn whole(ground: &Ground<'_>, service: &Service) -> Option<Composed> {
    let itself = crate::model::catalog::Dependency {
        need: 1,
        of: vec![service.name.clone()],
        impact: crate::model::catalog::Impact::Hard,
        common_cause_ppb: None,
    };
    let structure = ground.platform().structure(&[itself])?;
    Some(structure.composed(ground.platform().own()))
}

fn dependent<'a>(
    ground: &'a Ground<'a>,
    position: usize,
    application: &'a Application,
) -> Option<Dependent<'a>> {
    let structure = ground.platform().structure(&application.depends_on)?;
    if !structure.needs(position) {
        return None;
    }
    // What the platform may take: (1 - reserve) of the budget.
    let kept = application.reserve.map_or(0, |reserve| reserve.ppb());
    let share = u128::from(application.objective.budget_ppb()) * u128::from(PPB - kept);
    let budget = (share, u128::from(PPB) * u128::from(PPB));
    let own = ground.platform().own();
    let answer = within(&structure.composed(own), budget);
    let carries = |lost_ppb: u32| {
        let mut own = own.to_vec();
        own[position] = Some(lost_ppb);
        within(&structure.composed(&own), budget) == Answer::Pass
    };
    let required = (answer != Answer::Pass).then(|| least_promise(carries)).flatten();
    Some(Dependent { application, answer, required })
}

/// The lowest objective that carries; none if even the highest does not.
fn least_promise(carries: impl Fn(u32) -> bool) -> Option<Objective> {
    // Losing more never helps, so the most that may be lost is found by halving.
    let (mut low, mut high) = (1, PPB);
    if !carries(low) {
        return None;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if carries(middle) { low = middle } else { high = middle }
    }
    Objective::from_ppb(PPB - low)
}

/// Objectives that people use, above the promise, each with how many applications it would
/// support; only those that support more than the one below.
fn fixes(promise: Option<Objective>, applications: &[Dependent<'_>]) -> Vec<Fix> {
    let required: Vec<Objective> = applications.iter().filter_map(|one| one.required).collect();
    let Some(highest) = required.iter().max() else { return Vec::new() };
    let mut fixes: Vec<Fix> = Vec::new();
    for objective in ladder(*highest).into_iter().rev() {
        let supports = required.iter().filter(|required| **required <= objective).count();
        let more = fixes.last().map_or(0, |fix| fix.supports);
        if promise.is_none_or(|promise| objective > promise) && supports > more {
            fixes.push(Fix { objective, supports });
        }
    }
    fixes
}
