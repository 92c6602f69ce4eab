//! Reports and incidents for programs and, by the same question, for pages.
//!
//! The past may reach back beyond what the engine remembers, so it is read from wherever history
//! is kept, through a handle: what is behind it is not this room's business. Bounded: few answers
//! at a time are made, and periods of incidents have a greatest length.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api;
use super::problem::Problem;
use super::routes::Shared;
use super::site::Site;
use crate::engine::report::{History, Question, Report, Scope, render};
use crate::model::window::{Period, Zone, named_period};
use crate::model::worst::sizes_with;
use crate::model::{Catalog, SloId, Timestamp};

/// Longest period whose incidents are listed: all of them are read at once.
const MAX_INCIDENTS_PERIOD: Duration = Duration::from_secs(93 * 86_400);

/// Where history is kept.
pub trait Archive: Send + Sync {
    /// The histories that a question asks for.
    ///
    /// # Errors
    /// They cannot be read, with the reason in words.
    fn past(&self, question: &Question<'_>) -> Result<BTreeMap<SloId, History>, String>;
}

impl<F> Archive for F
where
    F: Fn(&Question<'_>) -> Result<BTreeMap<SloId, History>, String> + Send + Sync,
{
    fn past(&self, question: &Question<'_>) -> Result<BTreeMap<SloId, History>, String> {
        self(question)
    }
}

/// Over which time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Over {
    period: Option<String>,
    time_zone: Option<String>,
    worst: Option<String>,
}

impl Over {
    /// The period that is meant, or this.
    fn period(&self, default: &str, now: Timestamp) -> Result<Period, Problem> {
        let bad = |error: crate::model::ParseError| Problem::bad_request(error.to_string());
        let zone = self.time_zone.as_deref().map(str::parse::<Zone>).transpose().map_err(bad)?;
        let zone = zone.unwrap_or_else(Zone::utc);
        named_period(self.period.as_deref().unwrap_or(default), &zone, now).map_err(bad)
    }
}

/// What was declared when a question was asked, which reports borrow from.
#[derive(Debug)]
pub struct Asked {
    catalog: Arc<Catalog>,
    scope: Scope,
    period: Period,
    now: Timestamp,
    lengths: Vec<Duration>,
}

impl Asked {
    /// About this kind and name, over this time.
    ///
    /// # Errors
    /// Kinds and periods that do not exist.
    pub fn new(site: &Site, kind: &str, name: &str, over: &Over) -> Result<Self, Problem> {
        let scope = Scope::new(kind, name).ok_or_else(|| {
            let known = Scope::KINDS.join(", ");
            Problem::not_found(format!("there are no reports about a {kind:?}; there are {known}"))
        })?;
        let now = site.clock.now();
        let period = over.period("this-month", now)?;
        let lengths = sizes_with(over.worst.as_deref().unwrap_or_default());
        let lengths = lengths.map_err(|error| Problem::bad_request(format!("worst: {error}")))?;
        let catalog = site.engine().shared_catalog();
        Ok(Asked { catalog, scope, period, now, lengths })
    }

    /// The report.
    ///
    /// # Errors
    /// Nothing goes by that name, or history cannot be read.
    pub fn answer(&self, site: &Site) -> Result<Report<'_>, Problem> {
        let Asked { catalog, scope, period, now, lengths } = self;
        let (scope, period, now) = (scope.clone(), *period, *now);
        let question = Question { catalog, scope, period, now, lengths };
        if question.slos().is_none() {
            let known = question.known();
            let (kind, name) = (self.scope.kind(), self.scope.name());
            return Err(Problem::unknown(kind, name, known.iter().map(String::as_str)));
        }
        let past = site.archive.past(&question).map_err(unreadable)?;
        question.answer(&past).ok_or_else(|| Problem::not_found("it has just gone"))
    }
}

fn unreadable(why: String) -> Problem {
    let detail = format!("history cannot be read: {why}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// `GET /api/v1/reports/{scope}/{name}?period=&timeZone=&worst=`.
///
/// # Errors
/// Unknown scopes, names and periods, and history that cannot be read.
pub async fn report(
    State(shared): State<Shared>,
    Path((scope, name)): Path<(String, String)>,
    over: Result<Query<Over>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(over) =
        over.map_err(|error| api::query_problem(&error, "period, timeZone and worst"))?;
    let site = shared.site.clone();
    let make = move || {
        let asked = Asked::new(&site, &scope, &name, &over)?;
        let report = asked.answer(&site)?;
        Ok(render::report_json(&report))
    };
    shared.blocking(make).await?.map(Json)
}

/// Whose incidents, over which time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Which {
    team: Option<String>,
    service: Option<String>,
    period: Option<String>,
    time_zone: Option<String>,
}

impl Which {
    /// Those of one service over the last week.
    pub fn lately(service: &str) -> Self {
        let (service, period) = (Some(service.to_owned()), Some("last-7d".to_owned()));
        Which { service, period, ..Which::default() }
    }

    /// The incidents of all teams, or of one, or of a service, as JSON.
    ///
    /// # Errors
    /// Unknown teams, services and periods, periods that are too long, and history that cannot
    /// be read.
    pub fn incidents(&self, site: &Site) -> Result<Value, Problem> {
        let Which { team, service, period, time_zone } = self.clone();
        let over = Over { period, time_zone, worst: None };
        let now = site.clock.now();
        let period = over.period("last-7d", now)?;
        if period.length() > MAX_INCIDENTS_PERIOD {
            let days = MAX_INCIDENTS_PERIOD.as_secs() / 86_400;
            let detail = format!("incidents are listed over at most {days} d; ask for less");
            return Err(Problem::bad_request(detail));
        }
        let scope = match (team, service) {
            (_, Some(service)) => Scope::Service(service),
            (Some(team), None) => Scope::Team(team),
            (None, None) => Scope::Everything,
        };
        let catalog = site.engine().shared_catalog();
        let asked = Asked { catalog, scope, period, now, lengths: Vec::new() };
        Ok(render::incidents_json(&asked.answer(site)?))
    }
}

/// `GET /api/v1/incidents?team=&service=&period=&timeZone=`.
///
/// # Errors
/// As [`Which::incidents`], and other parameters.
pub async fn incidents(
    State(shared): State<Shared>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let known = "team, service, period and timeZone";
    let Query(which) = which.map_err(|error| api::query_problem(&error, known))?;
    let site = shared.site.clone();
    shared.blocking(move || which.incidents(&site)).await?.map(Json)
}

/// `GET /api/v1/agreements`.
pub async fn agreements(State(shared): State<Shared>) -> Json<Value> {
    let catalog = shared.site.engine().shared_catalog();
    let agreements: Value = catalog.agreements.iter().map(render::agreement_json).collect();
    Json(json!({ "schema": "nines.agreements/v1", "agreements": agreements }))
}
