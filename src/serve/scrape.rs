//! `/metrics`.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use prometheus::process_collector::ProcessCollector;
use tokio::time::Instant;

use super::exposition::{Expired, Exposition, Labels};
use super::problem::Problem;
use super::routes::Shared;
use super::{fit, metrics, negotiate, own};

/// Prometheus says here how long it waits, in seconds.
const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";
/// The longest wait that is believed.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Answers a scrape in the format that was asked for, off the threads that serve requests.
pub async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let deadline = timeout(&headers).map(|timeout| Instant::now() + timeout);
    let answer = negotiate::answer(&headers);
    let gzip = negotiate::accepts_gzip(&headers);
    let out = Exposition::new(answer.format).with_deadline(deadline);
    let out = if gzip { out.gzipped() } else { out };
    let rendered = shared.clone().blocking(move || {
        let body = render(&shared, out)?;
        // Late is late, whatever took so long.
        let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if late { Err(Expired) } else { Ok(body) }
    });
    let body = match rendered.await {
        Ok(Ok(body)) => body,
        Ok(Err(expired)) => {
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, expired.to_string())
                .into_response();
        }
        Err(problem) => return problem.into_response(),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    if let Ok(content_type) = HeaderValue::from_str(&answer.content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn render(shared: &Shared, mut out: Exposition) -> Result<Vec<u8>, Expired> {
    let site = &shared.site;
    let settings = site.settings.load();
    // What the daemon tells may wait for a lock of its own, so the engine's is taken after it.
    own::write_build(&mut out);
    own::write_process(&mut out, &ProcessCollector::for_self());
    shared.connections.write(&mut out);
    site.own.write(&mut out);
    metrics::write(&mut out, &site.engine(), &settings.metric_labels);
    fit::write(&mut out, &fit::Snapshot::of(site));
    let n_samples = out.n_samples() + 1;
    let help = "How many series this scrape has.";
    out.gauge("nines_exposed_series", help).sample(&Labels::NONE, n_samples);
    out.finish()
}

/// How long the scraper waits, if it says so.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(TIMEOUT_HEADER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|timeout| *timeout <= TIMEOUT_MAX)
}
