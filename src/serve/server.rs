//! Accepts connections and keeps them within bounds: how many, how long, how large.
//!
//! Speaks HTTP/1.1. Binding comes first and apart, so that a taken port is an error at the start.
//! Runs on whatever runtime it is polled on; which one that is, is the daemon's business.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::http1::Builder;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Gate;
use super::connections::{Connections, MAX_CONNECTIONS, Place};
use super::routes;
use super::site::Site;

/// How many connections may wait in the kernel; it takes fewer if it is set up so.
const BACKLOG: i32 = 4_096;
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
    places: usize,
    gate: Arc<ArcSwap<Gate>>,
}

impl Server {
    /// Takes the port; port 0 takes a free one.
    ///
    /// # Errors
    /// What the kernel says, with the address it says it about.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let name = |error: io::Error| {
            let hint = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "; another process listens there already; choose another address with \
                     --web.listen-address"
                }
                io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
                io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
                _ => "",
            };
            io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}{hint}"))
        };
        let listener = listen(addr).map_err(name)?;
        let addr = listener.local_addr()?;
        let (head_timeout, places) = (HEAD_TIMEOUT, MAX_CONNECTIONS);
        Ok(Server { listener, addr, head_timeout, places, gate: Arc::default() })
    }

    /// Lets in who passes this gate; everybody without one.
    pub fn behind(self, gate: Arc<Gate>) -> Self {
        self.gate.store(gate);
        self
    }

    /// Where its gate is, for somebody who puts another there; connections that are open go on.
    pub fn gate(&self) -> Arc<ArcSwap<Gate>> {
        Arc::clone(&self.gate)
    }

    /// Serves at most so many connections at a time.
    pub fn with_places(self, places: usize) -> Self {
        Server { places, ..self }
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
        let connections = Connections::new(self.places);
        let gate = self.gate;
        let app = routes::router(site, Arc::clone(&connections), Arc::clone(&gate));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        info!(address = %self.addr, tls = gate.load().acceptor().is_some(), "serving HTTP");
        loop {
            let (stream, place) = tokio::select! {
                accepted = accept(&listener, &connections) => accepted,
                () = &mut shutdown => break,
            };
            while tasks.try_join_next().is_some() {}
            let (app, stopped) = (app.clone(), stopped.clone());
            let gate = gate.load_full();
            tasks.spawn(enter(gate, stream, place, app, stopped, self.head_timeout));
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
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, connections.place().await),
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection, encrypted if the gate says so.
async fn enter(
    gate: Arc<Gate>,
    stream: TcpStream,
    place: Place,
    app: axum::Router,
    stopped: watch::Receiver<bool>,
    head_timeout: Duration,
) {
    // Small answers should not wait for more; failing to say so only makes them slower.
    let _ = stream.set_nodelay(true);
    let stream = place.watch(stream);
    let Some(acceptor) = gate.acceptor() else {
        return connection(stream, place, app, stopped, head_timeout).await;
    };
    let shaken = tokio::select! {
        shaken = timeout(head_timeout, acceptor.accept(stream)) => shaken,
        () = place.lost() => return,
    };
    // Whoever speaks no TLS, or shows no certificate that is good here, is no error of ours.
    let Ok(Ok(stream)) = shaken else { return };
    if gate.admits(stream.get_ref().1.peer_certificates()) {
        connection(stream, place, app, stopped, head_timeout).await;
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    place: Place,
    app: axum::Router,
    mut stopped: watch::Receiver<bool>,
    head_timeout: Duration,
) {
    let mut builder = Builder::new();
    // Without a timer hyper does not enforce its timeout.
    builder.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(MAX_HEAD);
    let place = Arc::new(place);
    let app = TowerToHyperService::new(app);
    let service = service_fn({
        let place = Arc::clone(&place);
        move |request| {
            let (busy, answer) = (place.busy(), app.call(request));
            async move {
                let answer = answer.await;
                drop(busy);
                answer
            }
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // Clients go away in the middle all the time; that is nobody's error.
        _ = connection.as_mut() => return,
        () = place.lost() => return,
        () = sleep(MAX_AGE) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

/// A listener with a long queue: at the usual length, half-open connections alone could keep
/// others from being seen.
fn listen(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // As everywhere: a restart does not wait for connections that are long gone.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
