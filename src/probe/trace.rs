//! Where the time of one probe goes, on the monotonic clock.
//!
//! Judges nothing. What it keeps true: the phases add up to the time between start and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::reason::Failure;
use crate::model::{Phases, Timestamp};

/// A phase of a probe in progress.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Between phases; the time counts for the next one.
    Idle,
    Dns,
    Connect,
    Tls,
    Send,
    Wait,
    Receive,
    /// Sending, waiting and receiving, told apart by marks that the connection leaves.
    Exchange(Arc<Marks>),
}

/// The course of one probe so far. It outlives a probe that is cut off by its timeout.
#[derive(Debug)]
pub(super) struct Trace {
    start: Instant,
    /// No time is booked beyond it: a probe that is finished late did not take longer.
    deadline: Instant,
    since: Instant,
    end: Option<Instant>,
    phase: Phase,
    phases: Phases,
    /// A judgement that stands whatever follows: the status was wrong already.
    pub(super) judged: Option<Failure>,
    /// When the first certificate of the presented chain expires.
    pub(super) certificate_not_after: Option<Timestamp>,
}

impl Trace {
    /// A probe that starts now and has this much time.
    pub(super) fn start(timeout: Duration) -> Self {
        let now = Instant::now();
        Trace {
            start: now,
            deadline: now + timeout,
            since: now,
            end: None,
            phase: Phase::Idle,
            phases: Phases::default(),
            judged: None,
            certificate_not_after: None,
        }
    }

    /// When the probe started.
    pub(super) fn started(&self) -> Instant {
        self.start
    }

    /// When its time is up.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Ends the present phase and begins another.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.book(Instant::now().min(self.deadline));
        self.phase = phase;
    }

    /// Whether the probe is still looking for the address.
    pub(super) fn in_dns(&self) -> bool {
        matches!(self.phase, Phase::Dns)
    }

    /// The last byte has arrived; what follows is thinking, and takes no time.
    pub(super) fn stop(&mut self) {
        let now = Instant::now().min(self.deadline);
        self.book(now);
        self.end = Some(now);
        self.phase = Phase::Idle;
    }

    /// The whole time and its parts, up to the last byte, but never past the deadline.
    pub(super) fn finish(mut self) -> (Duration, Phases) {
        let end = self.end.unwrap_or_else(|| Instant::now().min(self.deadline));
        self.book(end);
        (end.saturating_duration_since(self.start), self.phases)
    }

    fn book(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        match &self.phase {
            Phase::Idle => return,
            Phase::Dns => self.phases.dns += passed,
            Phase::Connect => self.phases.connect += passed,
            Phase::Tls => self.phases.tls += passed,
            Phase::Send => self.phases.send += passed,
            Phase::Wait => self.phases.wait += passed,
            Phase::Receive => self.phases.receive += passed,
            Phase::Exchange(marks) => {
                let (send, wait) = marks.split(self.since, now);
                self.phases.send += send;
                self.phases.wait += wait;
                self.phases.receive += passed.saturating_sub(send + wait);
            }
        }
        self.since = now;
    }
}

/// What a connection saw of one request and its answer: moments in nanoseconds since one before
/// the connection was made, 0 for not yet. It may live in another task, hence atomics.
#[derive(Debug)]
pub(super) struct Marks {
    base: Instant,
    sent: AtomicU64,
    answered: AtomicU64,
    n_read: AtomicU64,
    n_arrived: AtomicU64,
}

impl Marks {
    /// Marks of a connection that is made now.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Marks {
            base: Instant::now(),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            n_read: AtomicU64::new(0),
            n_arrived: AtomicU64::new(0),
        })
    }

    /// Forgets the request before.
    pub(super) fn reset(&self) {
        for mark in [&self.sent, &self.answered, &self.n_read, &self.n_arrived] {
            mark.store(0, Ordering::Relaxed);
        }
    }

    /// Bytes have been handed to the system. Only those before the answer count.
    pub(super) fn wrote(&self) {
        if self.answered.load(Ordering::Relaxed) == 0 {
            self.sent.store(self.nanos(), Ordering::Relaxed);
        }
    }

    /// So many bytes have arrived; returns how many in all.
    pub(super) fn read(&self, n: usize) -> u64 {
        self.n_read.fetch_add(n as u64, Ordering::Relaxed) + n as u64
    }

    /// So many bytes have arrived below TLS; returns how many in all.
    pub(super) fn arrived(&self, n: usize) -> u64 {
        self.n_arrived.fetch_add(n as u64, Ordering::Relaxed) + n as u64
    }

    /// The answer has begun, if it had not before.
    pub(super) fn answer(&self) {
        if self.answered.load(Ordering::Relaxed) == 0 {
            self.answered.store(self.nanos(), Ordering::Relaxed);
        }
    }

    /// Whether part of an answer has arrived.
    pub(super) fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed) != 0
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// How long sending and waiting took of the time from `from` to `to`.
    fn split(&self, from: Instant, to: Instant) -> (Duration, Duration) {
        let mark = |mark: &AtomicU64| match mark.load(Ordering::Relaxed) {
            0 => to,
            nanos => (self.base + Duration::from_nanos(nanos - 1)).clamp(from, to),
        };
        let answered = mark(&self.answered);
        let sent = mark(&self.sent).min(answered);
        (sent - from, answered - sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn phases_add_up_to_the_latency() {
        let pass = |ms| tokio::time::advance(Duration::from_millis(ms));
        let mut trace = Trace::start(Duration::from_secs(9));
        trace.enter(Phase::Dns);
        pass(3).await;
        trace.enter(Phase::Connect);
        pass(5).await;
        let marks = Marks::new();
        trace.enter(Phase::Exchange(marks.clone()));
        pass(7).await;
        marks.wrote();
        pass(11).await;
        marks.answer();
        pass(13).await;
        marks.wrote();
        let (latency, phases) = trace.finish();
        assert_eq!(marks.read(1) + marks.read(2), 4);
        let ms = phases.durations().map(|d| d.as_millis());
        assert_eq!(ms, [3, 5, 0, 7, 11, 13]);
        assert_eq!(phases.durations().iter().sum::<Duration>(), latency);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_never_comes_leaves_the_rest_to_waiting() {
        let mut trace = Trace::start(Duration::from_secs(9));
        let marks = Marks::new();
        trace.enter(Phase::Exchange(marks.clone()));
        tokio::time::advance(Duration::from_secs(1)).await;
        marks.wrote();
        tokio::time::advance(Duration::from_secs(2)).await;
        let (latency, phases) = trace.finish();
        assert_eq!((latency, phases.wait), (Duration::from_secs(3), Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_booked_beyond_the_deadline() {
        let pass = |ms| tokio::time::advance(Duration::from_millis(ms));
        let mut trace = Trace::start(Duration::from_millis(10));
        trace.enter(Phase::Connect);
        pass(25).await;
        let marks = Marks::new();
        trace.enter(Phase::Exchange(marks.clone()));
        marks.wrote();
        pass(5).await;
        marks.answer();
        trace.stop();
        let (latency, phases) = trace.finish();
        assert_eq!((latency, phases.connect), (Duration::from_millis(10), latency));
    }
}
