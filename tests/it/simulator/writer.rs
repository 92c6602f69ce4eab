//! The way from the engine to the disk, as `ledger::Writer` promises it: group commits, failures
//! within 50 ms, successes within a second, slices last, nothing given up while the disk refuses.

use std::collections::VecDeque;

use nines::engine::alert::ALERT_STATE;
use nines::model::{Record, Verdict};

use super::chance::Chance;
use super::{MS, SECOND};

/// How long a failure and a success wait for company.
const FAILURE_DELAY: i64 = 5 * MS;
const SUCCESS_DELAY: i64 = 500 * MS;
/// Between attempts after a refusal, at first and at most.
const BACKOFF: (i64, i64) = (50 * MS, 2 * SECOND);

/// Lanes, the most urgent first: all but slices; successes, then states that sum up, while the
/// disk refuses; slices.
const URGENT: usize = 0;
const GOOD: usize = 1;
const STATES: usize = 2;
const SLICES: usize = 3;

/// Records on their way.
#[derive(Debug, Default)]
pub struct Writer {
    inbox: Vec<Record>,
    /// When the inbox must be looked at.
    due: Option<i64>,
    lanes: [VecDeque<Vec<Record>>; 4],
    /// When the transaction under way ends, and of which lane it is.
    committing: Option<(i64, usize)>,
    /// When the disk is tried again, and how long after that.
    failing: Option<(i64, i64)>,
}

fn is_good(record: &Record) -> bool {
    matches!(record, Record::Observation(one) if one.verdict == Verdict::Good)
}

impl Writer {
    /// Takes records in at `now`.
    pub fn submit(&mut self, records: Vec<Record>, now: i64) {
        for record in &records {
            let due = now + if is_good(record) { SUCCESS_DELAY } else { FAILURE_DELAY };
            self.due = Some(self.due.map_or(due, |known| known.min(due)));
        }
        self.inbox.extend(records);
    }

    /// When there is something to do next.
    pub fn next(&self) -> Option<i64> {
        if let Some((done, _)) = self.committing {
            return Some(done);
        }
        let waiting = self.lanes.iter().any(|lane| !lane.is_empty());
        let retry = self.failing.map(|(at, _)| at);
        let at_once = (waiting && retry.is_none()).then_some(0);
        at_once.or(retry.into_iter().chain(self.due).min())
    }

    /// Whether a transaction is under way.
    pub fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// Whether everything is durable.
    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.lanes.iter().all(VecDeque::is_empty)
    }

    /// Whether a kill would lose a success that is older than something durable.
    pub fn would_leave_a_hole(&self) -> bool {
        let waits = self.failing.is_some() && self.inbox.iter().any(is_good);
        waits || !self.lanes[GOOD].is_empty()
    }

    /// Does what is due at `now`; hands back what has become durable.
    pub fn work(&mut self, now: i64, refuses: bool, chance: &mut Chance) -> Vec<Record> {
        if let Some((done, lane)) = self.committing {
            if done > now {
                return Vec::new();
            }
            self.committing = None;
            if self.lanes.iter().map(VecDeque::len).sum::<usize>() == 1 {
                self.failing = None;
            }
            return self.lanes[lane].pop_front().unwrap_or_default();
        }
        self.take_in(now);
        let due = self.failing.is_none_or(|(retry, _)| retry <= now);
        let lane = self.lanes.iter().position(|lane| !lane.is_empty());
        let Some(lane) = lane.filter(|_| due) else { return Vec::new() };
        if refuses {
            let backoff = self.failing.map_or(BACKOFF.0, |(_, last)| (2 * last).min(BACKOFF.1));
            self.failing = Some((now + backoff, backoff));
        } else {
            self.committing = Some((now + chance.magnitude(200, 40 * MS), lane));
        }
        Vec::new()
    }

    fn take_in(&mut self, now: i64) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        let apart = self.failing.is_some();
        let mut parts: [Vec<Record>; 4] = Default::default();
        for record in self.inbox.drain(..) {
            let lane = match &record {
                Record::Slice(_) => SLICES,
                Record::State { name, .. } if apart && !name.starts_with(ALERT_STATE) => STATES,
                other if apart && is_good(other) => GOOD,
                _ => URGENT,
            };
            parts[lane].push(record);
        }
        for (lane, part) in parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            self.lanes[lane].push_back(part);
        }
    }

    /// What a process that is killed had under way: durable or not as a whole, who knows.
    pub fn killed(mut self, chance: &mut Chance) -> Vec<Record> {
        let under_way = self.committing.take().filter(|_| chance.once_in(2));
        under_way.and_then(|(_, lane)| self.lanes[lane].pop_front()).unwrap_or_default()
    }

    /// What a stop in good order still writes.
    pub fn stopped(mut self, refuses: bool) -> Vec<Record> {
        if refuses {
            return Vec::new();
        }
        self.due = Some(i64::MIN);
        self.take_in(0);
        self.lanes.into_iter().flatten().flatten().collect()
    }
}
