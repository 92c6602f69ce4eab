//! Accepts connections and keeps them within bounds: how many, how long, how large.
//!
//! Speaks HTTP/1.1. Binding comes first and apart, so that a taken port is an error at the start.
//! Runs on whatever runtime it is polled on; which one that is, is the daemon's business.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::exposition::{Exposition, Labels};
use super::routes;
use super::site::Site;

/// Most connections at a time; more wait in the kernel's backlog.
pub const MAX_CONNECTIONS: usize = 512;
/// Most bytes of a request's head.
const MAX_HEAD: usize = 32 * 1024;
/// How long a request's head may take, and how long a connection may be idle: longer than the
/// usual scrape interval, so that scrapers keep theirs.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection older than this ends with the answer that is under way, so that readers who
/// never read do not hold a place for ever.
const MAX_AGE: Duration = Duration::from_secs(600);
/// How long an ending connection may take for its last answer.
const GRACE: Duration = Duration::from_secs(5);
/// The pause after the kernel refused to accept, for lack of descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound port that is not served yet.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    addr: SocketAddr,
    head_timeout: Duration,
}

/// How many connections there are.
#[derive(Debug)]
pub struct Connections {
    places: Arc<Semaphore>,
    open: AtomicUsize,
    waits: AtomicU64,
}

/// The place of one open connection.
struct Place {
    _permit: OwnedSemaphorePermit,
    connections: Arc<Connections>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    /// Takes the port; port 0 takes a free one.
    ///
    /// # Errors
    /// What the kernel says, with the address it says it about.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let name = |error: io::Error| {
            let hint = match error.kind() {
                io::ErrorKind::AddrInUse => "; another process listens there already",
                io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
                _ => "",
            };
            io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}{hint}"))
        };
        let listener = std::net::TcpListener::bind(addr).map_err(name)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        Ok(Server { listener, addr, head_timeout: HEAD_TIMEOUT })
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown` is ready; then lets answers that are under way finish.
    ///
    /// # Errors
    /// When the listener cannot be handed to the runtime.
    pub async fn run(self, site: Site, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let connections = Arc::new(Connections {
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            open: AtomicUsize::new(0),
            waits: AtomicU64::new(0),
        });
        let app = routes::router(site, Arc::clone(&connections));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        info!(address = %self.addr, "serving HTTP");
        loop {
            let (stream, place) = tokio::select! {
                accepted = accept(&listener, &connections) => accepted,
                () = &mut shutdown => break,
            };
            while tasks.try_join_next().is_some() {}
            let task = connection(stream, app.clone(), stopped.clone(), self.head_timeout);
            tasks.spawn(async move {
                let _place = place;
                task.await;
            });
        }
        drop(listener);
        // Nobody listens when there is no connection.
        let _ = stop.send(true);
        let _ = timeout(2 * GRACE, async { while tasks.join_next().await.is_some() {} }).await;
        Ok(())
    }
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, connections: &Arc<Connections>) -> (TcpStream, Place) {
    let permit = match Arc::clone(&connections.places).try_acquire_owned() {
        Ok(permit) => permit,
        Err(_) => {
            connections.waits.fetch_add(1, Ordering::Relaxed);
            let permit = Arc::clone(&connections.places).acquire_owned().await;
            permit.expect("the semaphore is never closed")
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.open.fetch_add(1, Ordering::Relaxed);
                let connections = Arc::clone(connections);
                return (stream, Place { _permit: permit, connections });
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    app: axum::Router,
    mut stopped: watch::Receiver<bool>,
    head_timeout: Duration,
) {
    // Small answers should not wait for more; failing to say so only makes them slower.
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new();
    // Without a timer hyper does not enforce its timeout.
    builder.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(MAX_HEAD);
    let service = TowerToHyperService::new(app);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // Clients go away in the middle all the time; that is nobody's error.
        _ = connection.as_mut() => return,
        () = sleep(MAX_AGE) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

impl Connections {
    /// Writes how full it is.
    pub fn write(&self, out: &mut Exposition) {
        let n = self.open.load(Ordering::Relaxed);
        out.gauge("nines_http_connections", "HTTP connections that are open.")
            .sample(&Labels::NONE, n);
        let help = "How often connections had to wait because all places were taken.";
        let waits = self.waits.load(Ordering::Relaxed);
        out.counter("nines_http_connection_waits_total", help).sample(&Labels::NONE, waits);
    }
}

#[cfg(test)]
mod tests;
