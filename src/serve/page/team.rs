//! What the page of one team shows: every service and every application that it owns.

use std::collections::BTreeSet;

use askama::Template;

use crate::engine::{Engine, fit};
use crate::model::{Catalog, Service, Timestamp};
use crate::serve::condition::Condition;
use crate::serve::fit::Snapshot;
use crate::serve::own::VERSION;
use crate::serve::problem::Problem;

use super::application::Row;
use super::listing::{ServiceView, sentence, service_views};
use super::view::{Ago, ago};

/// The page.
#[derive(Debug, Template)]
#[template(path = "team.html")]
pub struct TeamPage {
    root: &'static str,
    version: &'static str,
    assets: String,
    team: String,
    headline: String,
    worst: Condition,
    evaluated: Option<Ago>,
    services: Vec<ServiceView>,
    applications: Vec<Row>,
}

impl TeamPage {
    /// The page of this team.
    ///
    /// # Errors
    /// It owns nothing.
    pub fn of(
        engine: &Engine,
        snapshot: &Snapshot,
        team: &str,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        if !teams(engine.catalog()).contains(team) {
            return Err(Problem::unknown("team", team, teams(engine.catalog()).into_iter()));
        }
        let is_theirs = |service: &Service| service.team() == team;
        let services = service_views(engine, now, is_theirs);
        let ground = snapshot.ground();
        let applications = snapshot.catalog().applications.iter();
        let applications = applications.filter(|one| one.team() == team);
        Ok(TeamPage {
            root: "../",
            version: VERSION,
            assets: super::assets_version(),
            team: team.to_owned(),
            headline: sentence(engine, is_theirs),
            worst: services.first().map_or(Condition::NoObjective, |service| service.condition),
            evaluated: engine.last_tick().map(|at| ago(at, now)),
            services,
            applications: applications.map(|one| Row::of(&fit::assess(&ground, one))).collect(),
        })
    }
}

/// Everybody who owns something.
fn teams(catalog: &Catalog) -> BTreeSet<&str> {
    let services = catalog.services.iter().map(Service::team);
    let applications = catalog.applications.iter().map(|one| one.team());
    services.chain(applications).filter(|team| !team.is_empty()).collect()
}
