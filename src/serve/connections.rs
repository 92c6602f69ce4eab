//! The places of the server: how many connections sit there, and who leaves when all are taken.
//!
//! A newcomer never waits for somebody who only holds a place: first those leave who have not
//! asked anything yet, the oldest first, then those who have been answered, the stillest first.
//! Whoever is being answered stays. So thousands of half-open connections cost a scraper nothing.
//! What it keeps true: never more connections than places, and whoever does not read loses his.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::exposition::{Exposition, Labels};

/// Most connections at a time, where descriptors allow it.
pub const MAX_CONNECTIONS: usize = 512;
/// Fewest places, however few descriptors there are.
const MIN_CONNECTIONS: usize = 16;
/// The part of this process' descriptors that clients may hold.
const SHARE: usize = 4;
/// How long a client may refuse to take more of its answer.
const STALL_MAX: Duration = Duration::from_secs(10);

/// How many connections a process with so many descriptors serves at a time.
pub fn places(n_descriptors: usize) -> usize {
    (n_descriptors / SHARE).clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

/// How many connections there are, and which.
#[derive(Debug)]
pub struct Connections {
    places: usize,
    base: Instant,
    seats: Mutex<Seats>,
    /// Somebody has left, or may be asked to.
    changed: Notify,
    waits: AtomicU64,
    evicted: AtomicU64,
    stalled: AtomicU64,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, Arc<Seat>>,
}

/// What is known of one connection. Times are in milliseconds since [`Connections::base`].
#[derive(Debug)]
struct Seat {
    leave: Notify,
    leaving: AtomicBool,
    /// Whether it has ever asked for something.
    proven: AtomicBool,
    /// Whether a request is being worked on.
    busy: AtomicBool,
    /// When a byte last went either way.
    moved: AtomicU64,
    /// Whether the kernel takes no more from us, because the client reads nothing.
    full: AtomicBool,
}

impl Connections {
    /// So many empty places.
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Connections {
            places,
            base: Instant::now(),
            seats: Mutex::default(),
            changed: Notify::new(),
            waits: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
        })
    }

    /// A place, as soon as there is one; somebody may have to leave for it.
    pub(super) async fn place(self: &Arc<Self>) -> Place {
        let mut waited = false;
        loop {
            // From here on a change is not missed.
            let changed = self.changed.notified();
            if let Some(place) = self.take() {
                return place;
            }
            if !self.evict() && !std::mem::replace(&mut waited, true) {
                self.waits.fetch_add(1, Relaxed);
            }
            changed.await;
        }
    }

    fn take(self: &Arc<Self>) -> Option<Place> {
        let now = self.now();
        let mut seats = self.seats();
        if seats.taken.len() >= self.places {
            return None;
        }
        let seat = Arc::new(Seat {
            leave: Notify::new(),
            leaving: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            moved: AtomicU64::new(now),
            full: AtomicBool::new(false),
        });
        let id = seats.next;
        seats.next += 1;
        seats.taken.insert(id, Arc::clone(&seat));
        Some(Place { id, seat, connections: Arc::clone(self) })
    }

    /// Asks somebody to leave, unless somebody is about to; false if nobody can be asked.
    fn evict(&self) -> bool {
        let seats = self.seats();
        if seats.taken.values().any(|seat| seat.leaving.load(Relaxed)) {
            return true;
        }
        // In the order of their coming, so that of equals the oldest leaves.
        let idle = seats.taken.values().filter(|seat| !seat.busy.load(Relaxed));
        let rank = |seat: &&Arc<Seat>| match seat.proven.load(Relaxed) {
            false => (false, 0),
            true => (true, seat.moved.load(Relaxed)),
        };
        let Some(seat) = idle.min_by_key(rank) else { return false };
        seat.leaving.store(true, Relaxed);
        seat.leave.notify_one();
        self.evicted.fetch_add(1, Relaxed);
        true
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Writes how full it is.
    pub fn write(&self, out: &mut Exposition) {
        let n = self.seats().taken.len();
        out.gauge("nines_http_connections", "HTTP connections that are open.")
            .sample(&Labels::NONE, n);
        let mut counter = |name, help, value: &AtomicU64| {
            out.counter(name, help).sample(&Labels::NONE, value.load(Relaxed));
        };
        let help = "How often a connection had to wait because all places were taken and busy.";
        counter("nines_http_connection_waits_total", help, &self.waits);
        let help = "Idle connections that were closed because others needed their places.";
        counter("nines_http_connections_evicted_total", help, &self.evicted);
        let help = "Connections that were closed because the client took no more of its answer.";
        counter("nines_http_connections_stalled_total", help, &self.stalled);
    }
}

/// The place of one open connection.
pub(super) struct Place {
    id: u64,
    seat: Arc<Seat>,
    connections: Arc<Connections>,
}

impl Place {
    /// Returns when the connection has to end: others need the place, or the client has stopped
    /// reading.
    pub(super) async fn lost(&self) {
        let stalled = async {
            let limit = u64::try_from(STALL_MAX.as_millis()).unwrap_or(u64::MAX);
            loop {
                tokio::time::sleep(STALL_MAX / 4).await;
                let still = self.connections.now().saturating_sub(self.seat.moved.load(Relaxed));
                if self.seat.full.load(Relaxed) && still > limit {
                    self.connections.stalled.fetch_add(1, Relaxed);
                    return;
                }
            }
        };
        tokio::select! {
            () = self.seat.leave.notified() => {}
            () = stalled => {}
        }
    }

    /// A request is worked on until what is returned is dropped.
    pub(super) fn busy(&self) -> Busy {
        self.seat.proven.store(true, Relaxed);
        self.seat.busy.store(true, Relaxed);
        Busy { seat: Arc::clone(&self.seat), connections: Arc::clone(&self.connections) }
    }

    /// A stream whose movements are seen.
    pub(super) fn watch<S>(&self, stream: S) -> Watched<S> {
        Watched { stream, seat: Arc::clone(&self.seat), connections: Arc::clone(&self.connections) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.seats().taken.remove(&self.id);
        self.connections.changed.notify_one();
    }
}

/// A request that is being worked on.
pub(super) struct Busy {
    seat: Arc<Seat>,
    connections: Arc<Connections>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.seat.moved.store(self.connections.now(), Relaxed);
        self.seat.busy.store(false, Relaxed);
        self.connections.changed.notify_one();
    }
}

/// A stream that notes when a byte moves and when none can.
pub(super) struct Watched<S> {
    stream: S,
    seat: Arc<Seat>,
    connections: Arc<Connections>,
}

impl<S> Watched<S> {
    fn moved(&self) {
        self.seat.moved.store(self.connections.now(), Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        // What arrives while an answer waits to be taken is no sign of reading it.
        if buf.filled().len() > before && !self.seat.full.load(Relaxed) {
            self.moved();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.seat.full.store(polled.is_pending(), Relaxed);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.moved();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a place is told to go.
    async fn is_lost(place: &Place) -> bool {
        tokio::time::timeout(Duration::from_millis(1), place.lost()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_asked_leaves_first_and_who_is_being_answered_stays() {
        let connections = Connections::new(3);
        let answered = connections.place().await;
        drop(answered.busy());
        let busy = connections.place().await;
        let _work = busy.busy();
        let fresh = connections.place().await;
        let newcomer = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.place().await }
        });
        fresh.lost().await;
        assert!(!is_lost(&answered).await && !is_lost(&busy).await);
        drop(fresh);
        let newcomer = newcomer.await.expect("a place");
        // The newcomer asks, so that the one who has been still for longest is next.
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(newcomer.busy());
        let next = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.place().await }
        });
        answered.lost().await;
        assert!(!is_lost(&newcomer).await && !is_lost(&busy).await);
        drop(answered);
        next.await.expect("a place");
        assert_eq!((connections.evicted.load(Relaxed), connections.waits.load(Relaxed)), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_only_while_everybody_is_busy() {
        let connections = Connections::new(1);
        let place = connections.place().await;
        let work = place.busy();
        let newcomer = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.place().await }
        });
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
        assert!(!newcomer.is_finished() && !is_lost(&place).await);
        drop(work);
        place.lost().await;
        drop(place);
        newcomer.await.expect("a place");
        assert_eq!(connections.waits.load(Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_loses_the_place() {
        use tokio::io::AsyncWriteExt;
        let connections = Connections::new(1);
        let place = connections.place().await;
        let (near, _far) = tokio::io::duplex(16);
        let mut stream = place.watch(near);
        let started = Instant::now();
        tokio::select! {
            written = stream.write_all(&[0; 64]) => panic!("nobody reads: {written:?}"),
            () = place.lost() => {}
        }
        assert!(started.elapsed() >= STALL_MAX, "{:?}", started.elapsed());
        assert_eq!(connections.stalled.load(Relaxed), 1);
    }

    #[test]
    fn places_leave_descriptors_for_probes() {
        for (descriptors, expect) in [(0, 16), (64, 16), (1_024, 256), (20_000, 512)] {
            assert_eq!(places(descriptors), expect, "{descriptors}");
        }
    }
}
