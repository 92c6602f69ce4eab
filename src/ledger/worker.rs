//! The writer's thread: group commits, retries, upkeep.
//!
//! One transaction at a time, each bounded, the most urgent first. After an error nothing is
//! given up: the database is opened anew where that can help, and the same rows are tried
//! again, each exactly once in the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::prepared::Prepared;
use super::writer::{Request, Shared, Upkeep, is_good};
use super::{Appended, Ledger, LedgerError};
use crate::clock::Clock;
use crate::engine::alert::ALERT_STATE;
use crate::model::{ProbeId, Record, SeriesId};

/// Encoded bytes of good observations that wait for a disk which does not take them; beyond it
/// the oldest are let go. As much again for everything else.
pub const MAX_BACKLOG_BYTES: usize = 32 << 20;

/// Most encoded bytes in one transaction, so that a failure does not wait behind it for long.
const MAX_COMMIT_BYTES: usize = 2 << 20;

/// Most slices in one transaction, for the same reason.
const MAX_COMMIT_SLICES: usize = 500;

/// Time between attempts after an error: doubling from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How often stopping tries to write what is left.
const STOP_ATTEMPTS: u32 = 4;

/// A reserve is set aside again when the disk has taken everything for this long.
const RESERVE_AFTER: Duration = Duration::from_secs(60);

/// What waits for the disk, most urgent lane first.
#[derive(Default)]
struct Backlog {
    lanes: [VecDeque<Prepared>; 4],
}

/// Failures, gaps and alerts; successes and all other states too while all is well.
const URGENT: usize = 0;
/// Successes, while the disk does not take everything.
const GOOD: usize = 1;
/// States but for alerts, while the disk does not take everything: they sum up what was handed
/// over before them, successes too, and must not be there without it.
const STATES: usize = 2;
/// Slices.
const SLICES: usize = 3;

impl Backlog {
    fn is_empty(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }

    fn bytes(&self, lane: usize) -> usize {
        self.lanes[lane].iter().map(Prepared::bytes).sum()
    }

    fn push(&mut self, lane: usize, prepared: Prepared) {
        if !prepared.is_empty() {
            self.lanes[lane].push_back(prepared);
        }
    }

    /// The first lane that has something, and how much of it makes one transaction.
    fn next(&self) -> Option<(usize, usize)> {
        let (lane, parts) = self.lanes.iter().enumerate().find(|(_, parts)| !parts.is_empty())?;
        let mut bytes = 0;
        let fits = parts.iter().take_while(|part| {
            bytes += part.bytes();
            bytes <= MAX_COMMIT_BYTES
        });
        let n = if lane == SLICES { 1 } else { fits.count().max(1) };
        Some((lane, n))
    }

    /// Lets go of the oldest until the bounds hold: how many successes, how many others. What
    /// was being tried stays: it may have taken place, and must then not be written again.
    fn shed(&mut self, trying: Option<(usize, usize)>) -> (u64, u64) {
        let held = |lane| trying.filter(|(tried, _)| *tried == lane).map_or(0, |(_, n)| n);
        let drop_one = |lanes: &mut [VecDeque<Prepared>; 4], lane: usize| {
            lanes[lane].remove(held(lane)).map(|part| part.n)
        };
        let (mut good, mut others) = (0, 0);
        while self.bytes(GOOD) > MAX_BACKLOG_BYTES
            && let Some(n) = drop_one(&mut self.lanes, GOOD)
        {
            good += n;
        }
        // Slices first: their failures are in the urgent lane as well.
        let others_lanes = [SLICES, URGENT, STATES];
        while others_lanes.iter().map(|lane| self.bytes(*lane)).sum::<usize>() > MAX_BACKLOG_BYTES
            && let Some(n) = others_lanes.iter().find_map(|lane| drop_one(&mut self.lanes, *lane))
        {
            others += n;
        }
        (good, others)
    }
}

/// Whether a record sums up others. An alert does not: it is what people were told because of
/// failures, and must not be forgotten where those are known.
fn sums_up(record: &Record) -> bool {
    matches!(record, Record::State { name, .. } if !name.starts_with(ALERT_STATE))
}

/// The state of the thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    ledger: Ledger,
    clock: Clock,
    backlog: Backlog,
    /// Set while the disk does not take everything.
    failing: Option<Failing>,
    /// What the ledger was writing when it failed: lane and number of parts.
    trying: Option<(usize, usize)>,
    upkeep: Option<Upkeep>,
    /// When the reserve was given back.
    released: Option<Instant>,
}

struct Failing {
    retry: Instant,
    backoff: Duration,
    /// Whether it is room that is lacking.
    full: bool,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, ledger: Ledger, clock: Clock) -> Self {
        let bytes_on_disk = ledger.bytes_on_disk();
        shared.stats().bytes_on_disk = bytes_on_disk;
        let backlog = Backlog::default();
        Worker {
            shared,
            ledger,
            clock,
            backlog,
            failing: None,
            trying: None,
            upkeep: None,
            released: None,
        }
    }

    pub fn run(mut self) -> Result<(), LedgerError> {
        loop {
            let more = !self.backlog.is_empty() && self.failing.is_none();
            let step = self.upkeep.is_some() && self.failing.is_none();
            let retry = self.failing.as_ref().map(|failing| failing.retry);
            let wake_at = if more || step { Some(Instant::now()) } else { retry };
            let shared = self.shared.clone();
            let idle = self.upkeep.is_none() && self.failing.as_ref().is_none_or(|f| f.full);
            let mut inbox = shared.wait(wake_at, idle);
            let requests = std::mem::take(&mut inbox.requests);
            let stop = inbox.stop;
            // Upkeep waits for the records that were handed over before it.
            let upkeep = idle && !inbox.upkeep.is_empty();
            let records = inbox.take_due(!requests.is_empty() || stop || upkeep);
            if upkeep {
                self.upkeep = inbox.upkeep.pop_front();
            }
            drop(inbox);
            self.take_in(&records);
            if stop {
                return self.stop(requests);
            }
            self.work(!requests.is_empty());
            requests.into_iter().for_each(|request| self.answer(request));
        }
    }

    /// Encodes records; successes and what sums them up apart while the disk does not take
    /// everything.
    fn take_in(&mut self, records: &[Record]) {
        let slice = |record: &&Record| matches!(record, Record::Slice(_));
        let apart = self.failing.is_some();
        let later = |record: &&Record| is_good(record) || sums_up(record);
        let now = |record: &&Record| !(slice(record) || apart && later(record));
        self.backlog.push(URGENT, Prepared::new(records.iter().filter(now)));
        if apart {
            let good = records.iter().filter(|record| is_good(record));
            self.backlog.push(GOOD, Prepared::new(good));
            let sums = records.iter().filter(|record| sums_up(record));
            self.backlog.push(STATES, Prepared::new(sums));
        }
        let slices: Vec<_> = records.iter().filter(slice).collect();
        for some in slices.chunks(MAX_COMMIT_SLICES) {
            self.backlog.push(SLICES, Prepared::new(some.iter().copied()));
        }
        if apart {
            let (good, others) = self.backlog.shed(self.trying);
            let mut stats = self.shared.stats();
            stats.shed_successes += good;
            stats.lost_records += others;
        }
    }

    /// One transaction of the most urgent kind; everything that waits when somebody waits.
    fn work(&mut self, everything: bool) {
        let due = self.failing.as_ref().is_none_or(|f| f.retry <= Instant::now());
        if !self.backlog.is_empty() && (everything || due) {
            while self.commit() && (everything || self.failing.is_some()) {}
        }
        // Letting go of old history is what makes room again.
        if due && (self.backlog.is_empty() || self.failing.as_ref().is_some_and(|f| f.full)) {
            self.step();
        }
        let lanes = [URGENT, GOOD, STATES, SLICES];
        let bytes: usize = lanes.iter().map(|lane| self.backlog.bytes(*lane)).sum();
        self.shared.stats().backlog_bytes = bytes as u64;
    }

    /// Writes one transaction; false if there was none to write or it failed.
    fn commit(&mut self) -> bool {
        if !self.certain() {
            return false;
        }
        let Some((lane, n)) = self.backlog.next() else {
            self.recovered();
            return false;
        };
        let parts = &self.backlog.lanes[lane].make_contiguous()[..n];
        match self.ledger.append_prepared(parts) {
            Ok(appended) => {
                self.durable(lane, n, Some(appended));
                true
            }
            Err(error) => {
                self.trying = Some((lane, n));
                self.failed(error)
            }
        }
    }

    /// Finds out whether what failed took place after all; false if that cannot be told yet.
    fn certain(&mut self) -> bool {
        if self.ledger.doubt.is_none() {
            return true;
        }
        match self.ledger.reopen() {
            Ok(took_place) => {
                if let (true, Some((lane, n))) = (took_place, self.trying.take()) {
                    self.durable(lane, n, None);
                }
                true
            }
            Err(error) => {
                self.failed(error);
                false
            }
        }
    }

    fn durable(&mut self, lane: usize, n: usize, appended: Option<Appended>) {
        let parts: Vec<_> = self.backlog.lanes[lane].drain(..n).collect();
        if appended.is_none() {
            self.ledger.note(&parts);
        }
        let mut stats = self.shared.stats();
        stats.commits += 1;
        stats.durable_records += parts.iter().map(|part| part.n).sum::<u64>();
        stats.bytes_on_disk = self.ledger.bytes_on_disk();
        if let Some(appended) = appended {
            stats.append.record(appended.timing.write);
            stats.sync.record(appended.timing.sync);
        }
        drop(stats);
        self.trying = None;
        self.recovered();
    }

    /// Everything that was handed over is durable.
    fn recovered(&mut self) {
        if !self.backlog.is_empty() {
            return;
        }
        if self.failing.take().is_some() {
            tracing::info!("the ledger takes records again");
        }
        let mut stats = self.shared.stats();
        stats.failing = None;
        stats.last_durable = Some(self.clock.now());
    }

    /// Notes an error and when to try again; true if it is worth trying at once.
    fn failed(&mut self, error: LedgerError) -> bool {
        let mut stats = self.shared.stats();
        stats.failed_commits += 1;
        stats.failing = Some(error.to_string());
        drop(stats);
        let full = matches!(error, LedgerError::Full(_));
        if full && self.ledger.directory.release() {
            tracing::warn!("no room left: the ledger's reserve has been given back");
            self.released = Some(Instant::now());
            return true;
        }
        let backoff = match &self.failing {
            Some(failing) => (failing.backoff * 2).min(BACKOFF.1),
            None => BACKOFF.0,
        };
        if self.failing.is_none() {
            tracing::error!(%error, "the ledger does not take records; they wait in memory");
        }
        self.failing = Some(Failing { retry: Instant::now() + backoff, backoff, full });
        false
    }

    /// One step of upkeep.
    fn step(&mut self) {
        if !self.certain() {
            return;
        }
        let Some(upkeep) = self.upkeep else {
            self.recovered();
            return self.reserve();
        };
        let more = match upkeep {
            Upkeep::Compact(before) => self.ledger.compact(before).map(|done| {
                self.shared.stats().held_back = done.held_back;
                done.more
            }),
            Upkeep::RollUp(stretch) => self.ledger.roll_up_step(stretch).map(|done| done.more),
            Upkeep::Expire(before) => self.ledger.expire(before).map(|done| done.more),
        };
        match more {
            Ok(more) => {
                self.upkeep = more.then_some(upkeep);
                self.recovered();
            }
            Err(error) => {
                self.failed(error);
            }
        }
        self.shared.stats().bytes_on_disk = self.ledger.bytes_on_disk();
    }

    /// Sets a reserve aside again, some time after the last one was needed.
    fn reserve(&mut self) {
        let bytes = self.ledger.options.reserve_bytes;
        if self.released.is_some_and(|at| at.elapsed() > RESERVE_AFTER) {
            self.released = (!self.ledger.directory.reserve(bytes)).then(Instant::now);
        }
    }

    fn answer(&mut self, request: Request) {
        // Whoever asked may have gone; then nobody misses the answer.
        match request {
            Request::Flush(reply) => {
                let _ = reply.send(self.flushed());
            }
            Request::Series(wanted, reply) => {
                let _ = reply.send(self.number(&wanted));
            }
        }
    }

    fn flushed(&self) -> Result<(), LedgerError> {
        if self.backlog.is_empty() {
            return Ok(());
        }
        let why = self.shared.stats().failing.clone().unwrap_or_default();
        Err(LedgerError::NotDurable(why))
    }

    fn number(&mut self, wanted: &[(ProbeId, String)]) -> Result<Vec<SeriesId>, LedgerError> {
        if self.ledger.doubt.is_some() && !self.certain() {
            return Err(LedgerError::NotDurable(
                self.shared.stats().failing.clone().unwrap_or_default(),
            ));
        }
        self.ledger.number_all(wanted)
    }

    /// Writes what is left, brings it into the database, and ends.
    fn stop(mut self, requests: Vec<Request>) -> Result<(), LedgerError> {
        for _ in 0..STOP_ATTEMPTS {
            while self.commit() {}
            if self.backlog.is_empty() {
                break;
            }
        }
        let done = self.flushed();
        requests.into_iter().for_each(|request| self.answer(request));
        done.and(self.ledger.close())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{at, bad, good, open, scratch, state};

    /// Of which lanes the commits are, in turn, that bring everything to the disk which came
    /// while it refused.
    fn commits_of(handed_over: &[&[Record]]) -> Vec<usize> {
        let directory = scratch();
        let ledger = open(directory.path());
        let mut worker = Worker::new(Arc::default(), ledger, Clock::starting_at(at(0)));
        let (retry, backoff) = (Instant::now(), Duration::ZERO);
        worker.failing = Some(Failing { retry, backoff, full: false });
        handed_over.iter().for_each(|records| worker.take_in(records));
        let mut order = Vec::new();
        while let Some((lane, n)) = worker.backlog.next() {
            worker.backlog.lanes[lane].drain(..n);
            order.push(lane);
        }
        order
    }

    #[test]
    fn a_state_waits_for_the_successes_before_it_while_the_disk_refuses() {
        let first = [good(1, 0), state("totals", "1")];
        let then = [good(1, 1), state("totals", "2")];
        let order = commits_of(&[&first, &then]);
        assert_eq!(order, [GOOD, STATES], "what is summed up comes first");
    }

    #[test]
    fn an_alert_is_kept_with_the_failures_it_is_about_while_the_disk_refuses() {
        let first = [good(1, 0), bad(1, 1)];
        let then = [good(1, 2), state("alert/NinesErrorBudgetBurnFast/svc/all", "{}")];
        let order = commits_of(&[&first, &then]);
        assert_eq!(order, [URGENT, GOOD], "no commit has the failures without the alert");
    }
}
