//! The pages: is anything burning, whose is it, how long is left; and everything about one SLO.
//!
//! Server-rendered and complete without a script; the script only refreshes it. Numbers come
//! through `model::number` only. What is shown is put together in a file for each page, in values.

mod application;
mod headline;
mod home;
mod listing;
mod method;
mod report;
mod service;
mod slo;
mod status;
mod team;
mod view;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, RawQuery, State};
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;

use super::api;
use super::fit::Snapshot;
use super::problem::Problem;
use super::report::{Asked, Over, Which};
use super::routes::Shared;
use crate::engine::fit;
use crate::engine::report::render;
use home::Filter;
use method::MethodPage;
use service::ServicePage;
use status::StatusPage;
use team::TeamPage;
pub use view::SloView;

/// `GET /?team=&state=`.
///
/// # Errors
/// Other parameters, and states that do not exist.
pub async fn home(
    State(shared): State<Shared>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(filter) = filter.map_err(|error| api::query_problem(&error, "team and state"))?;
    filter.check()?;
    let site = shared.site.clone();
    let render = move || {
        let load = site.load.borrow().clone();
        let home = home::Home::of(&site.engine(), filter, &load, site.clock.now());
        home.render()
    };
    html(shared.blocking(render).await?)
}

/// When to look.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct At {
    at: Option<String>,
}

/// `GET /slo/{service}/{slo}?at=`.
///
/// # Errors
/// Unknown SLOs, and moments that cannot be read or have not come yet.
pub async fn slo(
    State(shared): State<Shared>,
    Path((service, slo)): Path<(String, String)>,
    at: Result<Query<At>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(At { at }) = at.map_err(|error| api::query_problem(&error, "at"))?;
    let site = shared.site.clone();
    let id = format!("{service}/{slo}");
    let now = site.clock.now();
    let at = at.map(|text| api::parse_moment(&text, now)).transpose()?;
    let render = move || {
        let engine = site.engine();
        let page = slo::SloPage::of(&engine, &id, at, now);
        page.map(|page| page.render()).ok_or_else(|| api::unknown_slo(&engine, &id))
    };
    html(shared.blocking(render).await??)
}

/// `GET /service/{name}`.
///
/// # Errors
/// Unknown services.
pub async fn service(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let site = shared.site.clone();
    let render = move || {
        // The page is worth having without its incidents.
        let incidents = Which::lately(&name).incidents(&site).ok();
        let engine = site.engine();
        let page = ServicePage::of(&engine, &name, incidents.as_ref(), site.clock.now());
        page.map(|page| page.render()).ok_or_else(|| {
            let known = engine.catalog().services.iter().map(|service| service.name.as_str());
            Problem::unknown("service", &name, known)
        })
    };
    html(shared.blocking(render).await??)
}

/// `GET /team/{name}`.
///
/// # Errors
/// Teams that own nothing.
pub async fn team(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let site = shared.site.clone();
    let render = move || {
        let snapshot = Snapshot::of(&site);
        let page = TeamPage::of(&site.engine(), &snapshot, &name, site.clock.now());
        page.map(|page| page.render())
    };
    html(shared.blocking(render).await??)
}

/// `GET /method`.
///
/// # Errors
/// When rendering fails.
pub async fn method(State(shared): State<Shared>) -> Result<Response, Problem> {
    let site = shared.site.clone();
    let render = move || {
        let catalog = site.engine().shared_catalog();
        MethodPage::of(&catalog, &site.settings.load()).render()
    };
    html(shared.blocking(render).await?)
}

/// `GET /status`.
///
/// # Errors
/// When rendering fails.
pub async fn status(State(shared): State<Shared>) -> Result<Response, Problem> {
    let site = shared.site.clone();
    html(shared.blocking(move || StatusPage::of(&site).render()).await?)
}

/// `GET /applications`.
///
/// # Errors
/// When rendering fails.
pub async fn applications(State(shared): State<Shared>) -> Result<Response, Problem> {
    let site = shared.site.clone();
    let render = move || {
        let snapshot = Snapshot::of(&site);
        application::ApplicationsPage::of(&fit::assess_all(&snapshot.ground())).render()
    };
    html(shared.blocking(render).await?)
}

/// `GET /application/{name}`.
///
/// # Errors
/// Unknown applications.
pub async fn application(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let site = shared.site.clone();
    let render = move || {
        let snapshot = Snapshot::of(&site);
        let ground = snapshot.ground();
        let one = snapshot.catalog().application(&name);
        let one = one.ok_or_else(|| snapshot.unknown(&name))?;
        Ok(application::ApplicationPage::of(&fit::assess(&ground, one)).render())
    };
    html(shared.blocking(render).await??)
}

/// `GET /report/{scope}/{name}?period=&timeZone=`.
///
/// # Errors
/// Unknown scopes, names and periods, and history that cannot be read.
pub async fn report(
    State(shared): State<Shared>,
    Path((scope, name)): Path<(String, String)>,
    over: Result<Query<Over>, QueryRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Query(over) = over.map_err(|error| api::query_problem(&error, "period and timeZone"))?;
    let site = shared.site.clone();
    let render = move || {
        let asked = Asked::new(&site, &scope, &name, &over)?;
        let answer = render::report_json(&asked.answer(&site)?);
        Ok(report::ReportPage::of(&answer, &behind(query)).render())
    };
    html(shared.blocking(render).await??)
}

/// `GET /incidents?team=&service=&period=&timeZone=`.
///
/// # Errors
/// Unknown teams, services and periods, and history that cannot be read.
pub async fn incidents(
    State(shared): State<Shared>,
    which: Result<Query<Which>, QueryRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let known = "team, service, period and timeZone";
    let Query(which) = which.map_err(|error| api::query_problem(&error, known))?;
    let site = shared.site.clone();
    let render = move || {
        let answer = which.incidents(&site)?;
        Ok(report::IncidentsPage::of(&answer, &behind(query)).render())
    };
    html(shared.blocking(render).await??)
}

/// What stands behind the path, to be asked of the API as well.
fn behind(query: Option<String>) -> String {
    query.map(|query| format!("?{query}")).unwrap_or_default()
}

fn html(rendered: askama::Result<String>) -> Result<Response, Problem> {
    match rendered {
        Ok(html) => Ok(Html(html).into_response()),
        Err(error) => {
            let detail = format!("rendering the page failed: {error}");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
    }
}

/// A file that pages load: its name, its kind, its content.
type Asset = (&'static str, &'static str, &'static str);

const ASSETS: [Asset; 3] = [
    ("nines.css", "text/css; charset=utf-8", include_str!("page/nines.css")),
    ("nines.js", "text/javascript; charset=utf-8", include_str!("page/nines.js")),
    ("nines.svg", "image/svg+xml", include_str!("page/nines.svg")),
];

/// Changes whenever an asset does, so that browsers may keep assets for good.
fn assets_version() -> String {
    let sum =
        ASSETS.iter().fold(0, |sum, (_, _, text)| crc32c::crc32c_append(sum, text.as_bytes()));
    format!("{sum:08x}")
}

/// `GET /static/{file}`.
///
/// # Errors
/// Files that do not exist.
pub async fn asset(Path(file): Path<String>) -> Result<Response, Problem> {
    let asset = ASSETS.into_iter().find(|(name, _, _)| *name == file);
    let (_, kind, text) = asset.ok_or_else(|| Problem::not_found("there is no such file"))?;
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=31536000, immutable")];
    Ok((headers, text).into_response())
}

#[cfg(test)]
mod tests;
