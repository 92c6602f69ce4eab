//! What the home page shows, as values for its template.

use std::collections::BTreeSet;
use std::time::Duration;

use askama::Template;
use serde::Deserialize;

use crate::engine::{AlertKind, Engine, Exhaustion, SloState, SloStatus};
use crate::model::time::format_duration;
use crate::model::{Service, Severity, Slo, Timestamp, decimal, number};
use crate::serve::condition::{self, Condition};
use crate::serve::own::VERSION;
use crate::serve::problem::Problem;

use super::headline::headline;

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
    headline: String,
    worst: Condition,
    tick: Option<(String, String)>,
    age: String,
    stale: bool,
    n_services: usize,
    n_slos: usize,
    counts: Vec<(Condition, usize)>,
    teams: Vec<String>,
    filter: Filter,
    services: Vec<ServiceView>,
    version: &'static str,
    assets: String,
}

/// A service with its SLOs, worst first.
#[derive(Debug)]
struct ServiceView {
    name: String,
    title: String,
    team: String,
    description: String,
    links: Vec<(String, String)>,
    condition: Condition,
    slos: Vec<SloView>,
}

/// One SLO in words.
#[derive(Debug)]
struct SloView {
    id: String,
    name: String,
    promise: String,
    condition: Condition,
    since: Option<(String, String)>,
    measured: Option<Measured>,
    budget: String,
    burn: Option<(String, String)>,
    gone: String,
    /// Whether somebody is woken or told.
    told: &'static str,
    /// Since when nothing is known, if that is a while.
    old: Option<(String, String)>,
    /// For sorting: the left share, in thousandths.
    left: i128,
}

/// What was measured over the window.
#[derive(Debug)]
struct Measured {
    sli: String,
    bad: String,
    total: String,
    coverage: String,
    partial: bool,
    left: String,
    left_time: String,
    bar: String,
    overspent: bool,
}

/// Evaluations older than this say so: the engine ticks every second.
const STALE: Duration = Duration::from_secs(15);
/// SLOs whose last result is older than this say so.
const OLD: Duration = Duration::from_secs(120);

impl Home {
    /// The page as of `now`.
    pub fn of(engine: &Engine, filter: Filter, now: Timestamp) -> Self {
        let mut services = service_views(engine, now);
        services
            .sort_by(|a, b| (a.condition, left(a), &a.name).cmp(&(b.condition, left(b), &b.name)));
        let conditions: Vec<Condition> =
            services.iter().flat_map(|s| &s.slos).map(|slo| slo.condition).collect();
        let count = |c: Condition| (c, conditions.iter().filter(|one| **one == c).count());
        let tick = engine.last_tick();
        let age = tick.map_or(Duration::ZERO, |tick| now.since(tick));
        let teams: BTreeSet<String> = services.iter().map(|s| s.team.clone()).collect();
        let mut page = Home {
            headline: sentence(engine),
            worst: services.first().map_or(Condition::NoObjective, |s| s.condition),
            tick: tick.map(|tick| (tick.to_string(), clock_time(tick))),
            age: number::duration(Duration::from_secs(age.as_secs())),
            stale: age > STALE,
            n_services: services.len(),
            n_slos: conditions.len(),
            counts: Condition::OF_SLO.map(count).into_iter().filter(|(_, n)| *n > 0).collect(),
            teams: teams.into_iter().filter(|team| !team.is_empty()).collect(),
            filter,
            services,
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

fn sentence(engine: &Engine) -> String {
    let services: Vec<(&str, Condition, Vec<&SloState>)> = by_service(engine)
        .into_iter()
        .map(|(service, slos)| (service.name.as_str(), worst(slos.iter().copied()), slos))
        .collect();
    headline(&services)
}

fn service_views(engine: &Engine, now: Timestamp) -> Vec<ServiceView> {
    let view = |(service, states): (&Service, Vec<&SloState>)| {
        let mut slos: Vec<SloView> = states.iter().map(|state| slo_view(state, now)).collect();
        slos.sort_by(|a, b| (a.condition, a.left, &a.id).cmp(&(b.condition, b.left, &b.id)));
        let link = |(name, url): (&String, &String)| (name.clone(), url.clone());
        ServiceView {
            name: service.name.to_string(),
            title: service.title().to_owned(),
            team: service.team().to_owned(),
            description: service.description.clone().unwrap_or_default(),
            links: service.links.iter().filter(|(_, url)| is_web(url)).map(link).collect(),
            condition: worst(states.into_iter()),
            slos,
        }
    };
    by_service(engine).into_iter().map(view).collect()
}

/// Only these may stand in a link; `javascript:` and its like may not.
fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn slo_view(state: &SloState, now: Timestamp) -> SloView {
    let condition = Condition::of(state);
    let status = state.status.as_ref().filter(|s| s.budget.counted.total() > 0);
    let whole = crate::model::budget::Budget {
        counted: crate::model::budget::Counted::default(),
        objective: state.slo.objective,
        window: state.slo.window,
    };
    let left = status.and_then(|s| s.budget.left());
    let ago = |at: Timestamp| {
        let seconds = Duration::from_secs(now.since(at).as_secs());
        (at.to_string(), number::duration(seconds))
    };
    SloView {
        id: state.slo.id.to_string(),
        name: state.slo.display_name.clone().unwrap_or_else(|| state.slo.id.name().to_owned()),
        promise: promise(&state.slo),
        condition,
        since: condition.since(state).map(ago),
        measured: status.map(measured),
        budget: number::duration(whole.total_time()),
        burn: burn(state),
        gone: gone(status),
        told: told(state),
        old: status.map(|status| status.at).filter(|at| now.since(*at) > OLD).map(ago),
        left: left.map_or(i128::MAX, |(left, whole)| left * 1_000 / (whole as i128).max(1)),
    }
}

/// Who hears of it, by the loudest alert that fires.
fn told(state: &SloState) -> &'static str {
    let mut kinds = state.alerts.iter().filter(|alert| alert.is_firing()).map(|alert| alert.kind);
    match (kinds.clone().any(|kind| kind == AlertKind::BurnFast), kinds.next()) {
        (true, _) => "paging",
        (false, Some(_)) => "ticket raised",
        (false, None) => "",
    }
}

/// The objective in words.
fn promise(slo: &Slo) -> String {
    let objective = number::percent_ppb(slo.objective.ppb());
    let window = number::duration(slo.window);
    match slo.latency_under {
        Some(under) => {
            let under = number::duration(under);
            format!("{objective} of probes answered within {under}, over {window}")
        }
        None => format!("{objective} of probes answered well, over {window}"),
    }
}

fn measured(status: &SloStatus) -> Measured {
    let counted = status.budget.counted;
    let (left, whole) = status.budget.left().unwrap_or((0, 1));
    let seconds = status.budget.left_seconds_f64().unwrap_or_default();
    let coverage = status.coverage;
    let numerator = i128::try_from(coverage.numerator).unwrap_or(i128::MAX);
    let bar = decimal::fixed(left.max(0).saturating_mul(100), whole, 1).unwrap_or_default();
    Measured {
        sli: number::percent(counted.good, counted.total()),
        bad: number::count(counted.bad),
        total: number::count(counted.total()),
        coverage: number::percent_of(numerator, coverage.denominator),
        partial: coverage.numerator < coverage.denominator,
        left: number::percent_of(left, whole),
        left_time: number::seconds(seconds.abs()),
        bar,
        overspent: left < 0,
    }
}

/// The burn rate that decides: of the pair that fires, else of the policy's first pair.
fn burn(state: &SloState) -> Option<(String, String)> {
    let status = state.status.as_ref()?;
    let policy = state.slo.policy.as_ref()?;
    let firing = policy.pairs.iter().zip(&status.pairs).filter(|(_, fires)| **fires);
    let rate_of = |window: Duration| {
        let burn = status.burns.iter().find(|burn| burn.window == window)?;
        status.burn(burn)
    };
    for severity in Severity::ALL {
        let Some(rate) = condition::burn(state, severity) else { continue };
        let pair =
            firing.clone().map(|(pair, _)| pair).find(|pair| rate_of(pair.long) == Some(rate));
        let window = pair.map_or_else(String::new, |pair| format_duration(pair.long));
        return Some((number::burn(rate), window));
    }
    let first = policy.pairs.first()?;
    Some((number::burn(rate_of(first.long)?), format_duration(first.long)))
}

fn gone(status: Option<&SloStatus>) -> String {
    match status.map(|status| status.exhaustion) {
        Some(Exhaustion::In(left)) if left.is_zero() => "gone".to_owned(),
        Some(Exhaustion::In(left)) => number::duration(left),
        Some(Exhaustion::Never) => "not at this rate".to_owned(),
        Some(Exhaustion::Unknown) | None => number::NO_DATA.to_owned(),
    }
}

/// Hours, minutes and seconds in UTC.
fn clock_time(at: Timestamp) -> String {
    let text = at.floor_second().to_string();
    text.split_once('T').map_or(text.clone(), |(_, time)| time.trim_end_matches('Z').to_owned())
}
