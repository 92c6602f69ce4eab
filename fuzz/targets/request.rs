//! Requests of anybody: the first line is a method and a target, the others are headers.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, to_bytes};
use http::Request;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use nines::clock::Clock;
use nines::engine::report::Question;
use nines::engine::{Engine, Options};
use nines::model::{SeriesId, Settings, Timestamp};
use nines::serve::results::Undelivered;
use nines::serve::{Exposition, Load, Readiness, Site};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::shared;

/// Most bytes of an answer.
const MAX_ANSWER: usize = 4 << 20;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(shared::runtime);
static ROUTER: LazyLock<Router> = LazyLock::new(router);

fn router() -> Router {
    let catalog = shared::catalog();
    let series = catalog.probes().zip(1..).map(|(p, n)| (p.id.clone(), SeriesId(n))).collect();
    let options = Options { vantage: "local".to_owned(), resend_delay: Duration::from_secs(60) };
    let mut engine = Engine::new(Arc::new(catalog), &series, options);
    engine.tick(Timestamp::from_secs(1_700_000_000));
    // Nobody takes commands: the daemon is gone.
    let (commands, _) = mpsc::channel(1);
    let (_, readiness) = watch::channel(Readiness::Ready);
    let success_at = Timestamp::from_secs(1_700_000_000);
    let (_, load) = watch::channel(Load { success_at, failure: None });
    let settings = Settings { enable_lifecycle: true, ..Settings::default() };
    nines::serve::fuzz::router(Site {
        engine: Arc::new(RwLock::new(engine)),
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        own: Arc::new(|_: &mut Exposition| {}),
        archive: Arc::new(|_: &Question<'_>| Ok(BTreeMap::new())),
        deliveries: Arc::new(|_| Err(Undelivered::NotKept("nobody takes it".to_owned()))),
        readiness,
        load,
        commands,
        clock: Clock::starting_at(Timestamp::from_secs(1_700_000_001)),
    })
}

fn request(bytes: &[u8]) -> Option<Request<Body>> {
    let mut lines = bytes.split(|b| *b == b'\n');
    let first = lines.next()?;
    let blank = first.iter().position(|b| *b == b' ')?;
    let mut request = Request::builder().method(&first[..blank]).uri(&first[blank + 1..]);
    for line in lines.take(64) {
        let colon = line.iter().position(|b| *b == b':')?;
        request = request.header(&line[..colon], &line[colon + 1..]);
    }
    request.body(Body::empty()).ok()
}

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let _inside = RUNTIME.enter();
    let router = ROUTER.clone();
    let Some(request) = request(bytes) else { return };
    RUNTIME.block_on(async {
        let answer = match TowerToHyperService::new(router).call(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        assert!(answer.headers().contains_key("content-security-policy"));
        assert_ne!(answer.status().as_u16(), 500, "an answer could not be made");
        let body = to_bytes(answer.into_body(), MAX_ANSWER).await;
        body.expect("an answer within its bound");
    });
}
