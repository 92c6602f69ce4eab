//! Services with their SLOs, the worst first, as several pages list them.

use crate::engine::{Engine, SloState};
use crate::model::{Service, Timestamp};
use crate::serve::condition::Condition;

use super::headline::headline;
use super::view::{SloView, links};

/// A service with its SLOs, worst first.
#[derive(Debug)]
pub struct ServiceView {
    pub name: String,
    pub title: String,
    pub team: String,
    pub description: String,
    pub links: Vec<(String, String)>,
    pub condition: Condition,
    pub slos: Vec<SloView>,
}

/// Every service of the catalogue that is wanted, the worst first.
pub fn service_views(
    engine: &Engine,
    now: Timestamp,
    is_wanted: impl Fn(&Service) -> bool,
) -> Vec<ServiceView> {
    let view = |(service, states): (&Service, Vec<&SloState>)| {
        let mut slos: Vec<SloView> = states.iter().map(|state| SloView::now(state, now)).collect();
        slos.sort_by(|a, b| (a.condition, a.left, &a.id).cmp(&(b.condition, b.left, &b.id)));
        ServiceView {
            name: service.name.to_string(),
            title: service.title().to_owned(),
            team: service.team().to_owned(),
            description: service.description.clone().unwrap_or_default(),
            links: links(service),
            condition: worst(states.into_iter()),
            slos,
        }
    };
    let wanted = by_service(engine).into_iter().filter(|(service, _)| is_wanted(service));
    let mut services: Vec<ServiceView> = wanted.map(view).collect();
    services.sort_by(|a, b| (a.condition, left(a), &a.name).cmp(&(b.condition, left(b), &b.name)));
    services
}

/// The sentence over every service that is wanted.
pub fn sentence(engine: &Engine, is_wanted: impl Fn(&Service) -> bool) -> String {
    let wanted = by_service(engine).into_iter().filter(|(service, _)| is_wanted(service));
    let services: Vec<(&str, Condition, Vec<&SloState>)> = wanted
        .map(|(service, slos)| (service.name.as_str(), worst(slos.iter().copied()), slos))
        .collect();
    headline(&services)
}

/// How a service of this name stands; none if there is none.
pub fn condition_of(engine: &Engine, service: &str) -> Option<Condition> {
    engine.catalog().service(service)?;
    Some(worst(engine.slos().iter().filter(|state| state.slo.id.service() == service)))
}

fn left(service: &ServiceView) -> i128 {
    service.slos.iter().map(|slo| slo.left).min().unwrap_or(i128::MAX)
}

fn worst<'a>(slos: impl Iterator<Item = &'a SloState>) -> Condition {
    slos.map(Condition::of).min().unwrap_or(Condition::NoObjective)
}

/// The services of the catalogue, each with the states of its SLOs.
fn by_service(engine: &Engine) -> Vec<(&Service, Vec<&SloState>)> {
    // The engine holds its SLOs in the order of its catalogue.
    let mut states = engine.slos().iter();
    let services = engine.catalog().services.iter();
    services.map(|s| (s, states.by_ref().take(s.slos.len()).collect())).collect()
}
