//! The home page: is anything burning, whose is it, how long is left.
//!
//! Server-rendered and complete without a script; the script only refreshes it. Numbers come
//! through `model::number` only. What is shown is put together in `page::home`, in values.

mod headline;
mod home;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::problem::Problem;
use super::routes::Shared;
use home::Filter;

/// `GET /?team=&state=`.
///
/// # Errors
/// Other parameters, and states that do not exist.
pub async fn home(
    State(shared): State<Shared>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(filter) = filter.map_err(|error| {
        let text = error.body_text();
        Problem::bad_request(format!("{text}; parameters here are team and state"))
    })?;
    filter.check()?;
    let site = shared.site.clone();
    let render = move || {
        let home = home::Home::of(&site.engine(), filter, site.clock.now());
        home.render()
    };
    match shared.blocking(render).await? {
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
