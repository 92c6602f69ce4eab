//! The writer: takes records in without ever waiting for the disk, and makes them durable.
//!
//! Failures are durable within 50 ms of being handed over and successes within a second, as
//! long as the disk keeps up. When it does not, probing goes on: records wait in bounded
//! memory, good observations are let go first, and everything let go is counted.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;

use super::stats::Stats;
use super::tiers::Stretch;
use super::worker::Worker;
use super::{Ledger, LedgerError};
use crate::clock::Clock;
use crate::model::{Observation, ProbeId, Record, SeriesId, Timestamp, Verdict};

/// Records that may wait to be looked at: half a minute of 2,000 a second. Beyond it good
/// observations are let go; beyond twice as many, everything.
pub const MAX_QUEUED: usize = 65_536;

/// Upkeep that may wait.
pub const MAX_UPKEEP: usize = 64;

/// How long a failure may gather company before it is written. With a commit of 25 ms before
/// it under way, it is durable within 50 ms.
const FAILURE_DELAY: Duration = Duration::from_millis(5);

/// How long a success may gather company.
const SUCCESS_DELAY: Duration = Duration::from_millis(500);

/// What keeps a ledger small; done in small steps between commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// [`Ledger::compact`]: batches before this have been replaced by slices.
    Compact(Timestamp),
    /// [`Ledger::roll_up`]: this stretch is complete.
    RollUp(Stretch),
    /// [`Ledger::expire`]: what ended before this is not wanted any more.
    Expire(Timestamp),
}

/// What became of records that were handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Submitted {
    /// Taken in.
    pub kept: usize,
    /// Good observations let go, because the queue was full.
    pub shed: usize,
    /// Others let go, because the queue was full twice over.
    pub lost: usize,
}

/// A ledger that is written by a thread of its own.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Result<(), LedgerError>>>>,
}

impl Writer {
    /// Starts the thread; `clock` tells when something became durable.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub fn start(ledger: Ledger, clock: Clock) -> Result<Self, LedgerError> {
        let shared = Arc::new(Shared::default());
        let path = ledger.path.clone();
        let worker = Worker::new(shared.clone(), ledger, clock);
        let thread = std::thread::Builder::new()
            .name("nines-ledger".into())
            .spawn(move || worker.run())
            .map_err(|source| LedgerError::Io { doing: "start a thread for", path, source })?;
        Ok(Writer { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Hands records over; never waits for the disk. They are kept in the order given.
    pub fn submit(&self, records: Vec<Record>) -> Submitted {
        let mut inbox = self.shared.inbox();
        let submitted = inbox.take_in(records, Instant::now());
        drop(inbox);
        self.shared.wake.notify_one();
        submitted
    }

    /// Asks for upkeep; false if too much of it is waiting. It begins once everything handed
    /// over before it is durable, or at once where there is no room for that.
    pub fn maintain(&self, upkeep: Upkeep) -> bool {
        let mut inbox = self.shared.inbox();
        let known = inbox.upkeep.contains(&upkeep);
        let room = inbox.upkeep.len() < MAX_UPKEEP;
        if !known && room {
            inbox.upkeep.push_back(upkeep);
        }
        inbox.refused_upkeep += u64::from(!known && !room);
        drop(inbox);
        self.shared.wake.notify_one();
        known || room
    }

    /// The numbers of probes seen from vantages; waits until new ones are durable. For starting
    /// and reloading, not for probing.
    ///
    /// # Errors
    /// A number cannot be written, or the writer has stopped.
    pub fn series(&self, wanted: Vec<(ProbeId, String)>) -> Result<Vec<SeriesId>, LedgerError> {
        self.ask(|reply| Request::Series(wanted, reply))
    }

    /// Waits until everything handed over before is durable.
    ///
    /// # Errors
    /// The disk does not take it at present; it is kept and tried again.
    pub fn flush(&self) -> Result<(), LedgerError> {
        self.ask(Request::Flush)
    }

    /// Makes everything durable, brings it from the log into the database, and ends the thread.
    /// What is submitted afterwards is not kept. Calling it again does nothing.
    ///
    /// # Errors
    /// The disk does not take what was left, which is lost now.
    pub fn stop(&self) -> Result<(), LedgerError> {
        self.shared.inbox().stop = true;
        self.shared.wake.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or(Ok(()), |thread| thread.join().unwrap_or(Err(LedgerError::Stopped)))
    }

    /// How the writer is doing.
    pub fn stats(&self) -> Stats {
        let mut stats = self.shared.stats().clone();
        let inbox = self.shared.inbox();
        stats.queued_records = inbox.records.len() as u64;
        stats.shed_successes += inbox.shed;
        stats.lost_records += inbox.lost;
        stats.refused_upkeep = inbox.refused_upkeep;
        stats
    }

    fn ask<T>(
        &self,
        request: impl FnOnce(SyncSender<Result<T, LedgerError>>) -> Request,
    ) -> Result<T, LedgerError> {
        let (reply, answer) = sync_channel(1);
        let mut inbox = self.shared.inbox();
        if inbox.stop {
            return Err(LedgerError::Stopped);
        }
        inbox.requests.push(request(reply));
        drop(inbox);
        self.shared.wake.notify_one();
        answer.recv().unwrap_or(Err(LedgerError::Stopped))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the ledger could not be closed");
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What the handle and the thread share.
#[derive(Default)]
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    wake: Condvar,
    stats: Mutex<Stats>,
}

/// What the thread has yet to look at.
#[derive(Default)]
pub(super) struct Inbox {
    pub records: Vec<Record>,
    /// When the records must be looked at.
    due: Option<Instant>,
    pub requests: Vec<Request>,
    pub upkeep: VecDeque<Upkeep>,
    pub stop: bool,
    shed: u64,
    lost: u64,
    refused_upkeep: u64,
}

/// Something that somebody waits for.
pub(super) enum Request {
    Flush(SyncSender<Result<(), LedgerError>>),
    Series(Vec<(ProbeId, String)>, SyncSender<Result<Vec<SeriesId>, LedgerError>>),
}

impl Shared {
    pub fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do, at the latest until `wake_at`. `idle` says that
    /// upkeep may be done.
    pub fn wait(&self, wake_at: Option<Instant>, idle: bool) -> MutexGuard<'_, Inbox> {
        let mut inbox = self.inbox();
        loop {
            let now = Instant::now();
            let wake_at = wake_at.into_iter().chain(inbox.due).min();
            let upkeep = idle && !inbox.upkeep.is_empty();
            let full = inbox.records.len() >= MAX_QUEUED / 2;
            if inbox.stop || !inbox.requests.is_empty() || upkeep || full {
                return inbox;
            }
            inbox = match wake_at {
                Some(at) if at <= now => return inbox,
                Some(at) => {
                    let wait = at.duration_since(now);
                    let woken = self.wake.wait_timeout(inbox, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(inbox).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Inbox {
    fn take_in(&mut self, records: Vec<Record>, now: Instant) -> Submitted {
        let mut submitted = Submitted::default();
        for record in records {
            let good = is_good(&record);
            if self.stop || self.records.len() >= if good { MAX_QUEUED } else { 2 * MAX_QUEUED } {
                submitted.shed += usize::from(good);
                submitted.lost += usize::from(!good);
                continue;
            }
            submitted.kept += 1;
            let due = now + if good { SUCCESS_DELAY } else { FAILURE_DELAY };
            self.due = Some(self.due.map_or(due, |known| known.min(due)));
            self.records.push(record);
        }
        self.shed += submitted.shed as u64;
        self.lost += submitted.lost as u64;
        submitted
    }

    /// The records, if it is time to look at them.
    pub fn take_due(&mut self, pressed: bool) -> Vec<Record> {
        let full = self.records.len() >= MAX_QUEUED / 2;
        if pressed || full || self.due.is_some_and(|due| due <= Instant::now()) {
            self.due = None;
            return std::mem::take(&mut self.records);
        }
        Vec::new()
    }
}

/// Whether a record is a good observation: what may be let go first.
pub(super) fn is_good(record: &Record) -> bool {
    matches!(record, Record::Observation(Observation { verdict: Verdict::Good, .. }))
}
