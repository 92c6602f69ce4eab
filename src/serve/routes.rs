//! Which path is answered by what, and what every answer has in common.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue,
    REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::{Semaphore, oneshot};
use tower_http::catch_panic::CatchPanicLayer;

use super::connections::Connections;
use super::gate::Gate;
use super::problem::Problem;
use super::site::{Command, Readiness, ReloadFailure, Site};
use super::{api, badge, fit, page, promapi, report, results, scrape};

/// Most bytes of a request's body, which only results that are sent here need.
const MAX_BODY: u64 = 64 * 1024;
/// How long an answer may take to begin.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Most answers that are rendered at a time; each may need tens of megabytes.
const MAX_RENDERING: usize = 4;

/// What every handler reads from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What is served.
    pub site: Site,
    /// How full the server is.
    pub connections: Arc<Connections>,
    gate: Arc<ArcSwap<Gate>>,
    rendering: Arc<Semaphore>,
}

impl Shared {
    /// Runs something that computes for a while off the threads that serve requests, a bounded
    /// number at a time.
    ///
    /// # Errors
    /// When it panics.
    pub async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.rendering.acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.map_err(|_| panicked())
    }
}

/// Everything that is served.
pub fn router(site: Site, connections: Arc<Connections>, gate: Arc<ArcSwap<Gate>>) -> Router {
    let rendering = Arc::new(Semaphore::new(MAX_RENDERING));
    let shared = Shared { site, connections, gate, rendering };
    Router::new()
        .route("/", get(page::home))
        .route("/slo/{service}/{slo}", get(page::slo))
        .route("/service/{name}", get(page::service))
        .route("/team/{name}", get(page::team))
        .route("/method", get(page::method))
        .route("/status", get(page::status))
        .route("/applications", get(page::applications))
        .route("/application/{name}", get(page::application))
        .route("/report/{scope}/{name}", get(page::report))
        .route("/incidents", get(page::incidents))
        .route("/static/{file}", get(page::asset))
        .route("/metrics", get(scrape::metrics))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/reload", put(reload).post(reload))
        .route("/-/quit", put(quit).post(quit))
        .route("/api/v1/services", get(api::services))
        .route("/api/v1/services/{name}/fit", get(fit::service))
        .route("/api/v1/applications", get(fit::applications))
        .route("/api/v1/applications/{name}/fit", get(fit::application))
        .route("/api/v1/reports/{scope}/{name}", get(report::report))
        .route("/api/v1/incidents", get(report::incidents))
        .route("/api/v1/agreements", get(report::agreements))
        .route("/api/v1/slos", get(api::slos))
        .route("/api/v1/slos/{service}/{slo}", get(api::slo))
        .route("/api/v1/slos/{service}/{slo}/badge.svg", get(badge::svg))
        .route("/api/v1/slos/{service}/{slo}/badge.json", get(badge::json))
        .route("/api/v1/slos/{service}/{slo}/results", post(results::deliver))
        .route("/api/v1/alerts", get(promapi::alerts))
        .route("/api/v1/rules", get(promapi::rules))
        .route("/api/v1/openapi.json", get(api::description))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY as usize))
        .layer(CatchPanicLayer::custom(|_| panicked().into_response()))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

async fn healthy() -> &'static str {
    "nines is healthy\n"
}

async fn ready(State(shared): State<Shared>) -> Response {
    let readiness = shared.site.readiness.borrow().clone();
    match readiness {
        Readiness::Ready => "nines is ready\n".into_response(),
        Readiness::Waiting(why) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}"))
                .into_response()
        }
    }
}

async fn reload(State(shared): State<Shared>) -> Result<&'static str, Problem> {
    let (answer, answered) = oneshot::channel();
    command(&shared, Command::Reload(answer))?;
    match answered.await {
        Ok(Ok(())) => Ok("reloaded\n"),
        Ok(Err(failure)) => {
            let status = match *failure {
                ReloadFailure::Refused(_) => StatusCode::BAD_REQUEST,
                ReloadFailure::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            let problems = failure.problems().join("\n");
            let detail = format!(
                "the configuration before stays in force; nothing was changed:\n{problems}"
            );
            Err(Problem::new(status, detail))
        }
        Err(_) => Err(stopping()),
    }
}

async fn quit(State(shared): State<Shared>) -> Result<&'static str, Problem> {
    command(&shared, Command::Quit)?;
    Ok("stopping\n")
}

fn command(shared: &Shared, command: Command) -> Result<(), Problem> {
    if !shared.site.settings.load().enable_lifecycle {
        let detail = "reload and quit are off; start nines with --web.enable-lifecycle";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    shared.site.commands.try_send(command).map_err(|_| stopping())
}

fn stopping() -> Problem {
    let detail = "the monitor is stopping or busy with another request of this kind; try later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

fn panicked() -> Problem {
    let detail = "making this answer failed; the log says why";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

async fn not_found(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at {}", request.uri().path()))
}

async fn not_allowed(method: Method) -> Problem {
    let detail = format!("{method} does not work here; the Allow header lists what does");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// Why a request is not even looked at; none if it is.
fn refusal(request: &Request) -> Option<Problem> {
    if !request.method().is_safe() && is_foreign(request) {
        let detail = "a page of another site may not do this; use the command line";
        return Some(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let detail = format!("a request body may have at most {MAX_BODY} bytes");
    let too_large = content_length(request.headers()) > MAX_BODY;
    too_large.then(|| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
}

/// Whether a browser sends this on behalf of a page that is not ours. Programs send neither
/// header. There are no cookies, but a page may reach what only its reader's machine can.
fn is_foreign(request: &Request) -> bool {
    let text = |name: &str| {
        request.headers().get(name).map(|value| value.to_str().unwrap_or("unreadable"))
    };
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return false };
    let ours = text("host").unwrap_or_default();
    origin.split_once("://").is_none_or(|(_, origin)| origin != ours)
}

/// Lets in who may come in, bounds every request and marks every answer.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let gate = shared.gate.load_full();
    let passed = gate.pass(request.method(), request.uri().path(), request.headers()).await;
    let mut response = match passed.err().or_else(|| refusal(&request)) {
        Some(problem) => refused(problem),
        None => match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                let detail = format!("no answer within {} s", ANSWER_TIMEOUT.as_secs());
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
            }
        },
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    gate.mark(headers);
    response
}

/// An answer to somebody who is not let in says how to come in.
fn refused(problem: Problem) -> Response {
    let unknown = problem.status == StatusCode::UNAUTHORIZED;
    let mut response = problem.into_response();
    if unknown {
        let challenge = HeaderValue::from_static("Basic realm=\"nines\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn content_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// Pages load their own style, script and pictures and nothing else; nobody frames them.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-cache"),
];
