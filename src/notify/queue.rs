//! What waits for one Alertmanager, and what became of the rest.
//!
//! Bounded by [`MAX_QUEUED`]; one place per label set; oldest first. Never waits, never sends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::Notice;

use super::Reading;

/// Most notices that wait for one Alertmanager, as Prometheus' `notification-queue-capacity`.
pub const MAX_QUEUED: usize = 10_000;
/// Most notices in one request, as in Prometheus.
pub const MAX_BATCH: usize = 64;

type Identity = BTreeMap<&'static str, String>;

/// A notice that waits.
#[derive(Clone, Debug)]
pub struct Queued {
    pub notice: Arc<Notice>,
    pub since: Instant,
    place: u64,
}

/// The queue of one Alertmanager with its counters.
#[derive(Debug)]
pub struct Queue {
    label: String,
    waiting: Mutex<Waiting>,
    arrived: Notify,
    sent: AtomicU64,
    errors: AtomicU64,
    dropped: AtomicU64,
    /// 0 before the first answer, 1 when the last was an acceptance, 2 when it was not.
    accepting: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    by_place: BTreeMap<u64, Queued>,
    places: BTreeMap<Identity, u64>,
    next: u64,
}

impl Queue {
    /// An empty queue for the Alertmanager of this label.
    pub fn new(label: &str) -> Self {
        Queue {
            label: label.to_owned(),
            waiting: Mutex::default(),
            arrived: Notify::new(),
            sent: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            accepting: AtomicU64::new(0),
        }
    }

    /// Adds a notice, in the place of an older one of the same alert if that still waits.
    pub fn push(&self, notice: Arc<Notice>, now: Instant) {
        let mut waiting = self.waiting();
        let place = match waiting.places.get(&notice.labels) {
            Some(place) => *place,
            None => {
                let place = waiting.next;
                waiting.next += 1;
                waiting.places.insert(notice.labels.clone(), place);
                place
            }
        };
        waiting.by_place.insert(place, Queued { notice, since: now, place });
        self.shrink(&mut waiting);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Takes the oldest notices, after dropping those that have waited too long.
    pub fn take(&self, now: Instant, age_max: Duration) -> Vec<Queued> {
        let mut waiting = self.waiting();
        let mut batch = Vec::new();
        while batch.len() < MAX_BATCH
            && let Some((_, queued)) = waiting.by_place.pop_first()
        {
            waiting.places.remove(&queued.notice.labels);
            if now.duration_since(queued.since) > age_max {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            } else {
                batch.push(queued);
            }
        }
        batch
    }

    /// Puts a batch that could not be delivered back where it was, except for notices that
    /// something newer has replaced meanwhile.
    pub fn put_back(&self, batch: Vec<Queued>) {
        let mut waiting = self.waiting();
        for queued in batch {
            if !waiting.places.contains_key(&queued.notice.labels) {
                waiting.places.insert(queued.notice.labels.clone(), queued.place);
                waiting.by_place.insert(queued.place, queued);
            }
        }
        self.shrink(&mut waiting);
    }

    /// Returns once something waits.
    pub async fn filled(&self) {
        while self.waiting().by_place.is_empty() {
            self.arrived.notified().await;
        }
    }

    /// Drops and counts everything that waits.
    pub fn give_up(&self) {
        let mut waiting = self.waiting();
        self.dropped.fetch_add(waiting.by_place.len() as u64, Ordering::Relaxed);
        *waiting = Waiting { next: waiting.next, ..Waiting::default() };
    }

    /// Counts a batch that was accepted.
    pub fn count_sent(&self, n: usize) {
        self.sent.fetch_add(n as u64, Ordering::Relaxed);
        self.accepting.store(1, Ordering::Relaxed);
    }

    /// Counts a batch whose delivery failed, and that it is given up if it is.
    pub fn count_error(&self, n: usize, given_up: bool) {
        self.errors.fetch_add(n as u64, Ordering::Relaxed);
        self.accepting.store(2, Ordering::Relaxed);
        if given_up {
            self.dropped.fetch_add(n as u64, Ordering::Relaxed);
        }
    }

    /// The counters.
    pub fn reading(&self) -> Reading {
        Reading {
            alertmanager: self.label.clone(),
            sent: self.sent.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            queue_length: self.waiting().by_place.len(),
            accepting: match self.accepting.load(Ordering::Relaxed) {
                0 => None,
                last => Some(last == 1),
            },
        }
    }

    fn shrink(&self, waiting: &mut Waiting) {
        while waiting.by_place.len() > MAX_QUEUED {
            if let Some((_, oldest)) = waiting.by_place.pop_first() {
                waiting.places.remove(&oldest.notice.labels);
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The lock; a panic elsewhere leaves the maps whole, since nothing between them can panic.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::notice;
    use super::*;

    fn names(batch: &[Queued]) -> Vec<(String, bool)> {
        batch.iter().map(|q| (q.notice.labels["slo"].clone(), q.notice.resolved)).collect()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_newer_notice_takes_the_place_of_an_older_one() {
        let (queue, now) = (Queue::new("am"), Instant::now());
        for (slo, resolved) in [("a", false), ("b", false), ("a", true)] {
            queue.push(notice(slo, resolved).into(), now);
        }
        let batch = queue.take(now, LONG);
        assert_eq!(names(&batch), [("a".to_owned(), true), ("b".to_owned(), false)]);
        assert_eq!(queue.reading().dropped, 0);
    }

    #[test]
    fn a_batch_that_failed_goes_back_in_front_unless_replaced() {
        let (queue, now) = (Queue::new("am"), Instant::now());
        queue.push(notice("a", false).into(), now);
        queue.push(notice("b", false).into(), now);
        let batch = queue.take(now, LONG);
        queue.push(notice("c", false).into(), now);
        queue.push(notice("b", true).into(), now);
        queue.put_back(batch);
        let batch = queue.take(now, LONG);
        let expect = [("a", false), ("c", false), ("b", true)];
        assert_eq!(names(&batch), expect.map(|(slo, resolved)| (slo.to_owned(), resolved)));
    }

    #[test]
    fn a_full_queue_loses_its_oldest_and_counts_them() {
        let (queue, now) = (Queue::new("am"), Instant::now());
        for n in 0..MAX_QUEUED + 3 {
            queue.push(notice(&format!("s{n}"), false).into(), now);
        }
        let reading = queue.reading();
        assert_eq!((reading.queue_length, reading.dropped), (MAX_QUEUED, 3));
        assert_eq!(names(&queue.take(now, LONG))[0].0, "s3");
    }

    #[test]
    fn what_waited_too_long_is_dropped_and_counted() {
        let (queue, now) = (Queue::new("am"), Instant::now());
        queue.push(notice("old", false).into(), now);
        queue.push(notice("new", false).into(), now + LONG);
        let batch = queue.take(now + LONG + Duration::from_secs(1), LONG);
        assert_eq!(names(&batch), [("new".to_owned(), false)]);
        assert_eq!(queue.reading().dropped, 1);
    }
}
