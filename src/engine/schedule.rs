//! When probes are due: a fixed grid for each, and one heap over all of them.
//!
//! Open loop: a slow predecessor never delays a start. It starts nothing itself and reads no
//! clock. What it keeps true: every slot of a scheduled probe comes out exactly once, as a start
//! or as part of a run of missed slots.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use crate::model::time::micros;
use crate::model::{Probe, ProbeId, Run, SeriesId, Timestamp, UnknownReason, Verdict};

/// Latest start that still says something about the due time, however long the interval. Until
/// then a slot is started late; after that, or after a whole interval if that is shorter, it is
/// unknown. A minute is the finest grain to which old history is kept.
pub const LATENESS_MAX: Duration = Duration::from_secs(60);

/// The moments at which one probe is due: `phase + k * interval` since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    interval: i64,
    phase: i64,
}

impl Grid {
    /// The grid of a probe as seen from a vantage. The phase spreads probes over their interval
    /// and never changes: it is the FNV-1a hash (64 bits) of the probe's id, a zero byte and the
    /// vantage, modulo the interval in microseconds. An interval below 1 µs counts as 1 µs.
    pub fn new(id: &ProbeId, vantage: &str, interval: Duration) -> Self {
        let interval = micros(interval).max(1);
        let bytes = id.as_str().bytes().chain([0]).chain(vantage.bytes());
        let phase = (fnv_1a(bytes) % interval.unsigned_abs()).cast_signed();
        Grid { interval, phase }
    }

    /// The grid of a probe, or that of whoever counts in its place: on whole multiples of the
    /// interval since the epoch then, for others must know it, too.
    pub fn of(probe: &Probe, vantage: &str) -> Self {
        match probe.check.source() {
            Some(_) => Grid { interval: micros(probe.interval).max(1), phase: 0 },
            None => Grid::new(&probe.id, vantage, probe.interval),
        }
    }

    /// From one due time to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_micros(self.interval.unsigned_abs())
    }

    /// The first due time since the Unix epoch, below the interval.
    pub fn phase(&self) -> Duration {
        Duration::from_micros(self.phase.unsigned_abs())
    }

    /// The first due time that is not before `now`.
    pub fn first_due_at_or_after(&self, now: Timestamp) -> Timestamp {
        let ahead = self.phase.saturating_sub(now.micros()).rem_euclid(self.interval);
        Timestamp::from_micros(now.micros().saturating_add(ahead))
    }
}

/// FNV-1a, 64 bits: tiny, well spread over short names, and the same on every machine for ever.
pub(super) fn fnv_1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What to do about slots that have become due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Start the probe now, and hand the ticket back when it is done.
    Start(Ticket),
    /// These slots are not started: too late (`late`) or too many in flight (`inflight`).
    Missed(SeriesId, Run),
}

/// A started slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Whose slot.
    pub series: SeriesId,
    /// When it was due.
    pub due: Timestamp,
    /// From this slot to the next.
    pub step: Duration,
    /// Tells the probe that was started from a later one under the same series.
    edition: u32,
}

/// Which probe is due next, over many probes.
#[derive(Clone, Debug)]
pub struct Schedule {
    heap: BinaryHeap<Reverse<(Timestamp, SeriesId)>>,
    entries: BTreeMap<SeriesId, Entry>,
    n_in_flight: usize,
    n_in_flight_max: usize,
    edition: u32,
}

#[derive(Clone, Debug)]
struct Entry {
    grid: Grid,
    timeout: Duration,
    n_in_flight: u32,
    edition: u32,
}

impl Entry {
    /// With a timeout within the interval two: the one that is about to time out, and the next.
    fn n_in_flight_max(&self) -> u32 {
        let intervals = micros(self.timeout).unsigned_abs().div_ceil(self.interval());
        u32::try_from(intervals.saturating_add(1)).unwrap_or(u32::MAX)
    }

    fn interval(&self) -> u64 {
        self.grid.interval.unsigned_abs()
    }

    /// How many slots from `due` on are too late at `now`.
    fn n_late(&self, due: Timestamp, now: Timestamp) -> u32 {
        let tolerance = self.grid.interval().min(LATENESS_MAX);
        let beyond = now.since(due).saturating_sub(tolerance);
        u32::try_from(micros(beyond).unsigned_abs().div_ceil(self.interval())).unwrap_or(u32::MAX)
    }
}

impl Schedule {
    /// An empty schedule that lets at most this many probes be in flight at once.
    pub fn new(n_in_flight_max: usize) -> Self {
        Schedule {
            heap: BinaryHeap::new(),
            entries: BTreeMap::new(),
            n_in_flight: 0,
            n_in_flight_max,
            edition: 0,
        }
    }

    /// Makes these the scheduled probes. Those that were scheduled on the same grid go on with
    /// their next slot; the first slot of the others is the first one due after `now`. Slots that
    /// were due until then must have been popped, or they are lost with the probes that go.
    pub fn replace<'a>(
        &mut self,
        probes: impl Iterator<Item = (SeriesId, &'a Probe)>,
        vantage: &str,
        now: Timestamp,
    ) {
        let next: BTreeMap<_, _> =
            self.heap.drain().map(|Reverse((due, series))| (series, due)).collect();
        let mut old = std::mem::take(&mut self.entries);
        let after = now.just_after();
        self.edition = self.edition.wrapping_add(1);
        for (series, probe) in probes {
            let grid = Grid::new(&probe.id, vantage, probe.interval);
            let known = old.remove(&series);
            let due = match &known {
                Some(entry) if entry.grid == grid => next.get(&series).copied(),
                _ => None,
            };
            let due = due.unwrap_or_else(|| grid.first_due_at_or_after(after));
            let (n_in_flight, edition) =
                known.map_or((0, self.edition), |entry| (entry.n_in_flight, entry.edition));
            let entry = Entry { grid, timeout: probe.timeout, n_in_flight, edition };
            if self.entries.insert(series, entry).is_none() {
                self.heap.push(Reverse((due, series)));
            }
        }
    }

    /// When the next slot is due; none if nothing is scheduled.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// The earliest slots that are due by `now` and have not come out yet; none when there are
    /// no more. Call it until then.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<Due> {
        self.pop_until(now, now)
    }

    /// The same for slots that are due by `last`, which may be before `now`: what comes after it
    /// is left to whoever is scheduled then.
    pub fn pop_until(&mut self, last: Timestamp, now: Timestamp) -> Option<Due> {
        self.pop(last, now, true)
    }

    /// The earliest slots that are due by `last` and have not come out yet, none of them to be
    /// started: for a prober that has as much to start as it can.
    pub fn pop_refused(&mut self, last: Timestamp, now: Timestamp) -> Option<(SeriesId, Run)> {
        match self.pop(last, now, false)? {
            Due::Missed(series, run) => Some((series, run)),
            Due::Start(_) => None,
        }
    }

    fn pop(&mut self, last: Timestamp, now: Timestamp, may_start: bool) -> Option<Due> {
        let mut top = self.heap.peek_mut()?;
        let Reverse((due, series)) = *top;
        if due > last.min(now) {
            return None;
        }
        let Some(entry) = self.entries.get_mut(&series) else {
            PeekMut::pop(top);
            return self.pop(last, now, may_start);
        };
        let step = entry.grid.interval();
        let n_left = micros(last.since(due)).unsigned_abs() / entry.interval() + 1;
        let n_left = u32::try_from(n_left).unwrap_or(u32::MAX);
        let n_late = entry.n_late(due, now).min(n_left);
        let next = due.plus(step.saturating_mul(n_late.max(1)));
        if next > due {
            top.0 = (next, series);
        } else {
            // Time ends here: a clamped due time would come out for ever.
            PeekMut::pop(top);
        }
        let missed = |n, reason| {
            let verdict = Verdict::Unknown(reason);
            Some(Due::Missed(series, Run { start: due, step, n, verdict, class: 0 }))
        };
        if n_late > 0 {
            return missed(n_late, UnknownReason::Late);
        }
        let full = entry.n_in_flight >= entry.n_in_flight_max();
        if full || !may_start || self.n_in_flight >= self.n_in_flight_max {
            return missed(1, UnknownReason::Inflight);
        }
        entry.n_in_flight += 1;
        self.n_in_flight += 1;
        Some(Due::Start(Ticket { series, due, step, edition: entry.edition }))
    }

    /// The earliest slots due before `until` that have not come out yet, as missed because nobody
    /// was running; none when there are no more.
    pub fn pop_not_running(&mut self, until: Timestamp) -> Option<(SeriesId, Run)> {
        loop {
            let mut top = self.heap.peek_mut()?;
            let Reverse((due, series)) = *top;
            if due >= until {
                return None;
            }
            let Some(entry) = self.entries.get(&series) else {
                PeekMut::pop(top);
                continue;
            };
            let n = micros(until.since(due)).unsigned_abs().div_ceil(entry.interval());
            let n = u32::try_from(n).unwrap_or(u32::MAX);
            let step = entry.grid.interval();
            top.0 = (due.plus(step.saturating_mul(n)), series);
            let verdict = Verdict::Unknown(UnknownReason::NotRunning);
            return Some((series, Run { start: due, step, n, verdict, class: 0 }));
        }
    }

    /// Takes note that a started slot is done. Each ticket must come back once.
    pub fn finish(&mut self, ticket: Ticket) {
        self.n_in_flight = self.n_in_flight.saturating_sub(1);
        if let Some(entry) = self.entries.get_mut(&ticket.series)
            && entry.edition == ticket.edition
        {
            entry.n_in_flight = entry.n_in_flight.saturating_sub(1);
        }
    }

    /// How many started slots are not done.
    pub fn n_in_flight(&self) -> usize {
        self.n_in_flight
    }

    /// How many probes are scheduled.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no probe is scheduled.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests;
