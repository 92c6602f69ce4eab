//! The JSON API about services and SLOs.
//!
//! Every answer names its schema; ratios are decimal text. Statuses are rendered by the engine's
//! own renderer, so `nines backtest` and `nines slo` say the same.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine::render::{outlook_json, revisions_json, slo_json, status_json, touches_json};
use crate::engine::{Engine, SloState, Touch};
use crate::model::catalog::{Dependency, Impact};
use crate::model::maintenance::Effect;
use crate::model::time::{MAX_DURATION, format_duration, parse_duration};
use crate::model::{Name, Service, Tally, Timestamp};

use super::problem::Problem;
use super::routes::Shared;
use super::site::Site;

/// Most states that one answer about a range has.
pub const MAX_STATES: u32 = 241;

/// Most past calendar periods that one answer has.
pub const MAX_PERIODS: usize = 12;

/// `GET /api/v1/openapi.json`: every route, in OpenAPI 3.1.
pub async fn description() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}

/// `GET /api/v1/services`.
pub async fn services(State(shared): State<Shared>) -> Json<Value> {
    let engine = shared.site.engine();
    let services: Value = engine.catalog().services.iter().map(service_json).collect();
    Json(json!({ "schema": "nines.services/v1", "services": services }))
}

fn service_json(service: &Service) -> Value {
    let probe = |probe: &crate::model::Probe| {
        json!({
            "id": probe.id.as_str(),
            "kind": probe.check.kind(),
            "target": probe.check.target(),
            "interval": format_duration(probe.interval),
            "timeout": format_duration(probe.timeout),
        })
    };
    let slos: Vec<&str> = service.slos.iter().map(|slo| slo.id.as_str()).collect();
    json!({
        "name": service.name.as_str(),
        "title": service.title(),
        "team": service.team(),
        "description": service.description,
        "labels": service.labels,
        "links": service.links,
        "support": service.support.as_ref().map(|tier| tier.as_str()),
        "depends_on": service.depends_on.iter().map(dependency_json).collect::<Value>(),
        "probes": service.probes.iter().map(probe).collect::<Value>(),
        "slos": slos,
    })
}

fn dependency_json(dependency: &Dependency) -> Value {
    let of: Vec<&str> = dependency.of.iter().map(|name| name.as_str()).collect();
    let impact = match dependency.impact {
        Impact::Hard => "hard",
        Impact::Soft => "soft",
    };
    json!({ "need": dependency.need, "of": of, "impact": impact })
}

/// Which SLOs to list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    team: Option<String>,
    service: Option<String>,
}

impl Filter {
    fn takes(&self, state: &SloState) -> bool {
        self.team.as_ref().is_none_or(|team| *team == state.team)
            && self.service.as_ref().is_none_or(|service| *service == state.slo.id.service())
    }
}

/// `GET /api/v1/slos?team=&service=`.
///
/// # Errors
/// Other parameters.
pub async fn slos(
    State(shared): State<Shared>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(filter) = filter.map_err(|error| query_problem(&error, "team and service"))?;
    let site = shared.site.clone();
    let render = move || {
        let engine = site.engine();
        let slos = engine.slos().iter().filter(|state| filter.takes(state));
        Json(json!({ "schema": "nines.slos/v1", "slos": slos.map(state_json).collect::<Value>() }))
    };
    shared.blocking(render).await
}

fn state_json(state: &SloState) -> Value {
    let mut slo = slo_json(&state.slo, &state.team, state.status.as_ref(), &state.alerts);
    let goes_on = |effect| state.ongoing(effect).map(Name::as_str);
    slo["maintenance"] = json!({
        "exclude": goes_on(Effect::Exclude),
        "mute": goes_on(Effect::Mute),
    });
    slo
}

/// When to look.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    at: Option<String>,
    range: Option<String>,
}

/// `GET /api/v1/slos/{service}/{slo}?at=&range=`.
///
/// # Errors
/// Unknown SLOs, unreadable moments and ranges, and moments that have not come yet.
pub async fn slo(
    State(shared): State<Shared>,
    Path((service, slo)): Path<(String, String)>,
    moment: Result<Query<Moment>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(moment) = moment.map_err(|error| query_problem(&error, "at and range"))?;
    let id = format!("{service}/{slo}");
    let site = shared.site.clone();
    shared.blocking(move || answer_slo(&site, &id, &moment)).await?.map(Json)
}

fn answer_slo(site: &Site, id: &str, moment: &Moment) -> Result<Value, Problem> {
    let now = site.clock.now();
    let at = moment.at.as_deref().map(|text| parse_moment(text, now)).transpose()?;
    let mut slo = {
        let engine = site.engine();
        let state = engine.slo(id).ok_or_else(|| unknown_slo(&engine, id))?;
        let mut slo = state_json(state);
        if state.slo.window.calendar().is_some() {
            let past = engine.past_periods(id, MAX_PERIODS);
            slo["periods"] = past.iter().map(status_json).collect();
        }
        slo["revisions"] = revisions_json(state.revisions());
        slo["coarse_events"] = state.coarse().into();
        slo["amendments"] = touches_json(&touches(&engine, state, at));
        let past = at.map(|at| engine.evaluate_at(id, at));
        let status = past.as_ref().map_or(state.status.as_ref(), Option::as_ref);
        let outlook = |status| outlook_json(status, engine.survival(id, status));
        slo["status"] = status.map(outlook).into();
        slo
    };
    if let Some(range) = &moment.range {
        let range = parse_range(range)?;
        slo["states"] = states(site, id, range, at.unwrap_or(now.floor_second()));
    }
    Ok(json!({ "schema": "nines.slo/v1", "slo": slo }))
}

/// What touched the window of an SLO before `at`, or before its last evaluation.
pub fn touches(engine: &Engine, state: &SloState, at: Option<Timestamp>) -> Vec<(Touch, Tally)> {
    let Some(at) = at.or(state.status.as_ref().map(|status| status.at)) else { return Vec::new() };
    let slo = state.slo_at(at);
    engine.touching(&slo.id, slo.window.period(at).start, at)
}

/// Evenly spaced states over the range that ends at `to`, oldest first.
fn states(site: &Site, id: &str, range: Duration, to: Timestamp) -> Value {
    let least = range.as_secs().div_ceil(u64::from(MAX_STATES - 1)).max(1);
    let step = Duration::from_secs(least);
    let n = u32::try_from(range.as_secs() / least).unwrap_or(MAX_STATES - 1);
    let moments = (0..=n).rev().map(|back| to.minus(step.saturating_mul(back)));
    // The lock is taken for each, so that a long range never holds up the next tick.
    moments.filter_map(|at| site.engine().evaluate_at(id, at)).map(|s| status_json(&s)).collect()
}

/// That there is no such SLO, and which ones there are.
pub fn unknown_slo(engine: &Engine, id: &str) -> Problem {
    let service = id.split('/').next().unwrap_or_default();
    let catalog = engine.catalog();
    match catalog.service(service) {
        Some(known) => Problem::unknown("SLO", id, known.slos.iter().map(|slo| slo.id.as_str())),
        None => Problem::unknown("SLO", id, catalog.slos().map(|(_, slo)| slo.id.as_str())),
    }
}

/// A moment as RFC 3339 or as Unix seconds, not in the future, cut to the second.
///
/// # Errors
/// Anything else.
pub fn parse_moment(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let at = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Timestamp::from_micros((seconds * 1e6) as i64),
        _ => text.parse().map_err(|error: crate::model::ParseError| {
            Problem::bad_request(format!("at: {error}, or Unix seconds"))
        })?,
    };
    if at > now {
        return Err(Problem::bad_request(format!("at: {at} has not come yet; it is {now}")));
    }
    Ok(at.floor_second())
}

fn parse_range(text: &str) -> Result<Duration, Problem> {
    let range =
        parse_duration(text).map_err(|error| Problem::bad_request(format!("range: {error}")))?;
    debug_assert!(range <= MAX_DURATION);
    Ok(range)
}

/// That the query is not understood, and which parameters there are.
pub fn query_problem(error: &QueryRejection, known: &str) -> Problem {
    Problem::bad_request(format!("{}; parameters here are {known}", error.body_text()))
}
