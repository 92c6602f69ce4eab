//! The demo's platform: four small services on loopback, two of which misbehave on schedule.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// The story repeats after this long.
const ROUND: Duration = Duration::from_secs(180);
/// When in a round the registry fails three pulls in ten.
const REGISTRY_FAILS: std::ops::Range<u64> = 10..70;
/// When in a round the runners answer slowly.
const RUNNERS_ARE_SLOW: std::ops::Range<u64> = 90..150;
/// How slowly.
const SLOWNESS: Duration = Duration::from_millis(120);

/// Where the services listen.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// The artifact registry.
    pub registry: SocketAddr,
    /// The CI runners.
    pub runners: SocketAddr,
    /// The object store.
    pub store: SocketAddr,
    /// The cache.
    pub cache: SocketAddr,
}

impl Platform {
    /// Starts every service on a free port of loopback; they live as long as the runtime.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start() -> anyhow::Result<Platform> {
        let story = Arc::new(Story { start: Instant::now(), pulls: AtomicU64::new(0) });
        let registry = Router::new().route("/v2/", get(pull)).with_state(Arc::clone(&story));
        let runners = Router::new().route("/queue", get(queue)).with_state(story);
        let store = Router::new().route("/health", get(async || "ok\n"));
        Ok(Platform {
            registry: serve(registry).await?,
            runners: serve(runners).await?,
            store: serve(store).await?,
            cache: cache().await?,
        })
    }

    /// The declarations, with the ports filled in.
    pub fn specs(&self) -> String {
        include_str!("platform.yaml")
            .replace("${registry}", &self.registry.port().to_string())
            .replace("${runners}", &self.runners.port().to_string())
            .replace("${store}", &self.store.port().to_string())
            .replace("${cache}", &self.cache.port().to_string())
    }
}

struct Story {
    start: Instant,
    pulls: AtomicU64,
}

impl Story {
    fn is_in(&self, part: &std::ops::Range<u64>) -> bool {
        part.contains(&(self.start.elapsed().as_secs() % ROUND.as_secs()))
    }
}

async fn pull(State(story): State<Arc<Story>>) -> (StatusCode, &'static str) {
    let n = story.pulls.fetch_add(1, Ordering::Relaxed);
    match story.is_in(&REGISTRY_FAILS) && n % 10 < 3 {
        true => (StatusCode::INTERNAL_SERVER_ERROR, "the blob store is not there\n"),
        false => (StatusCode::OK, "{}\n"),
    }
}

async fn queue(State(story): State<Arc<Story>>) -> &'static str {
    if story.is_in(&RUNNERS_ARE_SLOW) {
        tokio::time::sleep(SLOWNESS).await;
    }
    "0 jobs wait\n"
}

async fn bind() -> anyhow::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await.context("no free port on loopback")
}

async fn serve(app: Router) -> anyhow::Result<SocketAddr> {
    let listener = bind().await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

async fn cache() -> anyhow::Result<SocketAddr> {
    let listener = bind().await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        // A connection that fails is its client's business.
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0_u8; 64];
                while stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                    if stream.write_all(b"+PONG\r\n").await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(address)
}
