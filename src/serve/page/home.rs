//! What the home page shows, as values for its template.

use std::collections::BTreeSet;
use std::time::Duration;

use askama::Template;
use serde::Deserialize;

use crate::engine::Engine;
use crate::model::Timestamp;
use crate::serve::condition::Condition;
use crate::serve::own::VERSION;
use crate::serve::problem::Problem;
use crate::serve::site::Load;

use super::listing::{ServiceView, sentence, service_views};
use super::view::ago;

/// The slug that takes both ways of burning.
const BURNING: &str = "burning";

/// Which services to show; nothing means all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The owner.
    #[serde(default)]
    pub team: String,
    /// A condition's slug, or `burning`.
    #[serde(default)]
    pub state: String,
}

impl Filter {
    /// Refuses states that do not exist.
    pub fn check(&self) -> Result<(), Problem> {
        let known = |state: &str| {
            state.is_empty() || state == BURNING || Condition::from_slug(state).is_some()
        };
        if known(&self.state) {
            return Ok(());
        }
        let slugs: Vec<&str> = Condition::OF_SLO.iter().map(|c| c.slug()).collect();
        let detail = format!("state: {:?} is not {BURNING}, {}", self.state, slugs.join(", "));
        Err(Problem::bad_request(detail))
    }

    fn is_set(&self) -> bool {
        !self.team.is_empty() || !self.state.is_empty()
    }

    fn takes(&self, service: &ServiceView) -> bool {
        let state =
            |slug: &str| self.state == slug || (self.state == BURNING && slug.starts_with(BURNING));
        let any = || service.slos.iter().any(|slo| state(slo.condition.slug()));
        (self.team.is_empty() || self.team == service.team) && (self.state.is_empty() || any())
    }
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "home.html")]
pub struct Home {
    root: &'static str,
    headline: String,
    worst: Condition,
    tick: Option<(String, String)>,
    age: String,
    stale: bool,
    /// Why nothing can be seen, if nothing can.
    blind: Option<String>,
    n_services: usize,
    n_slos: usize,
    n_applications: usize,
    counts: Vec<(Condition, usize)>,
    teams: Vec<String>,
    filter: Filter,
    services: Vec<ServiceView>,
    /// Why the configuration is not the one that was asked for last.
    problems: Vec<String>,
    version: &'static str,
    assets: String,
}

/// Problems of the configuration that are shown; the answer to the request and the log have all.
const MAX_PROBLEMS: usize = 5;

/// Evaluations older than this say so: the engine ticks every second.
pub const STALE: Duration = Duration::from_secs(15);

impl Home {
    /// The page as of `now`.
    pub fn of(engine: &Engine, filter: Filter, load: &Load, now: Timestamp) -> Self {
        let problems = load.failure.iter().flat_map(|failure| failure.problems());
        let services = service_views(engine, now, |_| true);
        let conditions: Vec<Condition> =
            services.iter().flat_map(|s| &s.slos).map(|slo| slo.condition).collect();
        let count = |c: Condition| (c, conditions.iter().filter(|one| **one == c).count());
        let tick = engine.last_tick();
        let age = tick.map_or(Duration::ZERO, |tick| now.since(tick));
        let teams: BTreeSet<String> = services.iter().map(|s| s.team.clone()).collect();
        let mut page = Home {
            root: "./",
            headline: sentence(engine, |_| true),
            worst: services.first().map_or(Condition::NoObjective, |s| s.condition),
            tick: tick.map(|tick| (tick.to_string(), clock_time(tick))),
            age: tick.map(|tick| ago(tick, now).1).unwrap_or_default(),
            stale: age > STALE,
            blind: engine.blindness(now).map(|blindness| blindness.sentence()),
            n_services: services.len(),
            n_slos: conditions.len(),
            n_applications: engine.catalog().applications.len(),
            counts: Condition::OF_SLO.map(count).into_iter().filter(|(_, n)| *n > 0).collect(),
            teams: teams.into_iter().filter(|team| !team.is_empty()).collect(),
            filter,
            services,
            problems: problems.take(MAX_PROBLEMS).cloned().collect(),
            version: VERSION,
            assets: super::assets_version(),
        };
        page.services.retain(|service| page.filter.takes(service));
        page
    }

    fn state_is(&self, slug: &str) -> bool {
        self.filter.state == slug
    }

    fn team_is(&self, team: &str) -> bool {
        self.filter.team == team
    }
}

/// Hours, minutes and seconds in UTC.
fn clock_time(at: Timestamp) -> String {
    let text = at.floor_second().to_string();
    text.split_once('T').map_or(text.clone(), |(_, time)| time.trim_end_matches('Z').to_owned())
}
