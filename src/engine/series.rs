//! The history of one indicator in memory: runs of equal events with running totals before each.
//!
//! Any window is a difference of two cumulative tallies, found by binary search: exact to the
//! event, for every length, in time independent of how much happened. Healthy time costs
//! nothing. When a target flaps so much that its runs pile up, those older than a day are put
//! on a grid of one minute in such a way that windows err toward worse: within a minute bad and
//! unknown events move to its last event, good ones to its first.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::time::micros;
use crate::model::{Tally, Timestamp, evidence};

/// Runs that are always kept exactly, whatever their age.
const EXACT_RUNS: usize = 4_096;
/// Runs younger than this, seen from the newest, are never put on the grid.
const EXACT_FOR: Duration = Duration::from_secs(86_400);
/// The grid.
const GRID: Duration = Duration::from_secs(60);

/// The history of one indicator.
#[derive(Clone, Debug)]
pub struct Series {
    segments: VecDeque<Segment>,
    /// Everything counted before the first segment that is held.
    base: Tally,
    /// When the first event of all was due.
    first: Option<Timestamp>,
    /// When the last event was due that is no longer held.
    forgotten: Option<Timestamp>,
    /// What all of it says about outages.
    record: Learned,
    /// What the part says that is no longer held.
    past: Learned,
    /// How many segments trigger the next thinning.
    thin_at: usize,
}

impl Default for Series {
    fn default() -> Self {
        Series {
            segments: VecDeque::new(),
            base: Tally::ZERO,
            first: None,
            forgotten: None,
            record: Learned::default(),
            past: Learned::default(),
            thin_at: EXACT_RUNS,
        }
    }
}

/// What a stretch of history says about outages.
#[derive(Clone, Copy, Debug, Default)]
struct Learned {
    record: evidence::Record,
    in_outage: bool,
}

impl Learned {
    /// Known time and outages. Unknown time neither ends nor lengthens an outage. `last` is when
    /// the event before was due.
    fn learn(&mut self, (start, step, n): (i64, i64, u32), each: Tally, last: Option<i64>) {
        if each.known() == 0 {
            return;
        }
        let slot = match (step, last) {
            (0, Some(last)) => (start - last).max(0),
            _ => step,
        };
        let time = Duration::from_micros(slot.unsigned_abs()).saturating_mul(n);
        self.record.observed += time;
        if each.bad > 0 {
            self.record.outages += u64::from(!self.in_outage);
            self.record.outage_time += time;
        }
        self.in_outage = each.bad > 0;
    }
}

/// `n` events, `step` apart, each counting `each`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    start: i64,
    step: i64,
    n: u32,
    /// Whether these are several events of one minute that are told apart no longer.
    coarse: bool,
    each: Each,
    /// Everything counted before this segment.
    before: Tally,
}

/// What a single event counts; a compact [`Tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Each {
    good: u32,
    bad: u32,
    unknown: u32,
    excluded: u32,
}

impl Each {
    fn of(tally: Tally) -> Self {
        let clip = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Each {
            good: clip(tally.good),
            bad: clip(tally.bad),
            unknown: clip(tally.unknown),
            excluded: clip(tally.excluded),
        }
    }

    fn tally(self) -> Tally {
        Tally {
            good: self.good.into(),
            bad: self.bad.into(),
            unknown: self.unknown.into(),
            excluded: self.excluded.into(),
        }
    }
}

impl Segment {
    /// How many of the events are due before `at`.
    fn due_before(&self, at: i64) -> u64 {
        if at <= self.start {
            return 0;
        }
        if self.step == 0 {
            return self.n.into();
        }
        let passed = (at - self.start).unsigned_abs();
        passed.div_ceil(self.step.unsigned_abs()).min(self.n.into())
    }

    /// When the event after `n` others is due.
    fn nth(&self, n: u64) -> Timestamp {
        Timestamp::from_micros(self.start + self.step * n as i64)
    }

    fn last(&self) -> i64 {
        self.start + self.step * (i64::from(self.n) - 1)
    }

    fn end(&self) -> i64 {
        self.start + self.step * i64::from(self.n)
    }

    fn total(&self) -> Tally {
        self.before + self.each.tally().times(self.n.into())
    }

    /// The events without the first few.
    fn without(&self, first: u64) -> EventRun {
        EventRun {
            start: Timestamp::from_micros(self.start + self.step * first as i64),
            step: Duration::from_micros(self.step.unsigned_abs()),
            n: self.n - first as u32,
            each: self.each.tally(),
        }
    }
}

/// Events that follow one another and count alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// When the first was due.
    pub start: Timestamp,
    /// From one to the next.
    pub step: Duration,
    /// How many events.
    pub n: u32,
    /// What each counts.
    pub each: Tally,
    /// Whether these are several events of one minute that are told apart no longer.
    pub coarse: bool,
}

/// Equal events, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRun {
    /// When the first was due.
    pub start: Timestamp,
    /// From one to the next.
    pub step: Duration,
    /// How many events.
    pub n: u32,
    /// What each counts.
    pub each: Tally,
}

impl EventRun {
    /// When the event after the last one is due, at the same pace.
    pub fn end(&self) -> Timestamp {
        self.start.plus(self.step.saturating_mul(self.n))
    }
}

impl Series {
    /// Adds `n` events, the first due at `start`, each `step` after the other. Events must come
    /// in time order; a single event may have a step of zero when its successor is not known.
    /// The counts of one event are clipped to 32 bits.
    pub fn push(&mut self, start: Timestamp, step: Duration, n: u32, each: Tally) {
        if n == 0 {
            return;
        }
        let (start, step) = (start.micros(), micros(step));
        self.first.get_or_insert(Timestamp::from_micros(start));
        let last = self.segments.back().map(Segment::last);
        self.record.learn((start, step, n), each, last);
        let each = Each::of(each);
        if let Some(last) = self.segments.back_mut() {
            debug_assert!(start >= last.last(), "events must come in time order");
            if last.n == 1 && last.step == 0 && last.each == each && step == 0 && start > last.start
            {
                last.step = start - last.start;
            }
            let fits = (step == last.step || n == 1 && step == 0) && start == last.end();
            if fits
                && last.each == each
                && last.step > 0
                && let Some(total) = last.n.checked_add(n)
            {
                last.n = total;
                return;
            }
        }
        let before = self.total();
        self.segments.push_back(Segment { start, step, n, coarse: false, each, before });
        if self.segments.len() >= self.thin_at {
            self.thin();
        }
    }

    /// Everything counted so far.
    pub fn total(&self) -> Tally {
        self.segments.back().map_or(self.base, Segment::total)
    }

    /// Everything due before `at`.
    pub fn before(&self, at: Timestamp) -> Tally {
        self.look(at).0
    }

    /// Everything due before `at`, and when the first event is due that is not.
    pub fn look(&self, at: Timestamp) -> (Tally, Option<Timestamp>) {
        let at = at.micros();
        let next = match self.segments.back() {
            // The newest segment answers most questions.
            Some(last) if last.start < at => self.segments.len(),
            _ => self.segments.partition_point(|segment| segment.start < at),
        };
        let start = |n: usize| self.segments.get(n).map(|s| Timestamp::from_micros(s.start));
        let Some(segment) = next.checked_sub(1).map(|n| &self.segments[n]) else {
            return (self.base, start(0));
        };
        let n = segment.due_before(at);
        let tally = segment.before + segment.each.tally().times(n);
        match n < u64::from(segment.n) {
            true => (tally, Some(segment.nth(n))),
            false => (tally, start(next)),
        }
    }

    /// Everything due in `[at - length, at)`.
    pub fn window(&self, length: Duration, at: Timestamp) -> Tally {
        self.before(at) - self.before(at.minus(length))
    }

    /// When the first event of all was due.
    pub fn first(&self) -> Option<Timestamp> {
        self.first
    }

    /// When the last event was due.
    pub fn last(&self) -> Option<Timestamp> {
        self.segments.back().map(|last| Timestamp::from_micros(last.last()))
    }

    /// When the last event was due, if it was good or bad.
    pub fn last_known(&self) -> Option<Timestamp> {
        let last = self.segments.back().filter(|last| last.each.good > 0 || last.each.bad > 0)?;
        Some(Timestamp::from_micros(last.last()))
    }

    /// Up to where the events due before `at` speak: when the one after the last of them would
    /// be due; none if there are none.
    pub fn end_before(&self, at: Timestamp) -> Option<Timestamp> {
        let at = at.micros();
        let n = self.segments.partition_point(|segment| segment.start < at);
        let segment = &self.segments[n.checked_sub(1)?];
        Some(segment.nth(segment.due_before(at)))
    }

    /// Up to where the events speak: when the one after the last would be due.
    pub fn end(&self) -> Option<Timestamp> {
        self.segments.back().map(|last| Timestamp::from_micros(last.end()))
    }

    /// How many events will be due from `at` on and before `end` if they go on at the pace they
    /// had before `at`; none if that pace cannot be told.
    pub fn still_due(&self, at: Timestamp, end: Timestamp) -> Option<u64> {
        let (at, end) = (at.micros(), end.micros());
        let n = self.segments.partition_point(|segment| segment.start < at);
        let segment = &self.segments[n.checked_sub(1)?];
        let (step, each) = (segment.step.unsigned_abs(), segment.each.tally().scheduled());
        if step == 0 {
            return None;
        }
        let missed = at.saturating_sub(segment.end()).max(0).unsigned_abs().div_ceil(step);
        let passed = segment.due_before(at).saturating_add(missed).saturating_mul(step);
        let next = segment.start.saturating_add_unsigned(passed);
        let time = end.saturating_sub(next).max(0).unsigned_abs();
        Some(time.div_ceil(step).saturating_mul(each))
    }

    /// Until when each stretch of this length from `from` on holds exactly the same events, as
    /// far as one run reaches; none if not even the first does.
    pub fn uniform_until(&self, from: Timestamp, length: Duration) -> Option<Timestamp> {
        let (from, length) = (from.micros(), micros(length));
        let n = self.segments.partition_point(|segment| segment.start <= from);
        let segment = &self.segments[n.checked_sub(1)?];
        let even = segment.step > 0 && length % segment.step == 0;
        (even && from.saturating_add(length) <= segment.end())
            .then(|| Timestamp::from_micros(segment.end()))
    }

    /// What the whole history says about outages.
    pub fn record(&self) -> evidence::Record {
        self.record.record
    }

    /// Segments with bad events that are due at or after `from`, oldest first. `unknown` asks for
    /// unknown ones, too.
    pub fn bad_runs(&self, from: Timestamp, unknown: bool) -> impl Iterator<Item = EventRun> {
        let from = from.micros();
        let start = self.segments.partition_point(|segment| segment.last() < from);
        self.segments.range(start..).filter_map(move |segment| {
            let skip = segment.due_before(from);
            let each = segment.each;
            (each.bad > 0 || unknown && each.unknown > 0).then(|| segment.without(skip))
        })
    }

    /// How many bad events each outage that is held has, oldest first. Unknown time neither ends
    /// nor lengthens an outage.
    pub fn outages(&self) -> Vec<u64> {
        let (mut all, mut goes_on) = (Vec::new(), false);
        for Segment { each, n, .. } in self.segments.iter().filter(|s| s.each.tally().known() > 0) {
            let bad = u64::from(each.bad) * u64::from(*n);
            match all.last_mut().filter(|_| goes_on) {
                Some(outage) if bad > 0 => *outage += bad,
                _ if bad > 0 => all.push(bad),
                _ => {}
            }
            goes_on = bad > 0;
        }
        all
    }

    /// Every event that is held, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = EventRun> {
        self.segments.iter().map(|segment| segment.without(0))
    }

    /// The events due in `[from, to)` as a history of their own.
    pub fn clip(&self, from: Timestamp, to: Timestamp) -> Series {
        let mut clipped = Series::default();
        for segment in &self.segments {
            let first = segment.due_before(from.micros());
            let n = segment.due_before(to.micros()).saturating_sub(first);
            let start = segment.start + segment.step * first as i64;
            let step = Duration::from_micros(segment.step.unsigned_abs());
            let n = u32::try_from(n).unwrap_or(u32::MAX);
            clipped.push(Timestamp::from_micros(start), step, n, segment.each.tally());
        }
        clipped
    }

    /// A history that begins where this one does, and holds nothing of what this one holds.
    pub(super) fn beneath(&self) -> Series {
        Series {
            base: self.base,
            first: self.first,
            forgotten: self.forgotten,
            record: self.past,
            past: self.past,
            ..Series::default()
        }
    }

    /// The events that are held beyond the first `counted` of all that ever were.
    pub(super) fn beyond(&self, counted: u64) -> impl Iterator<Item = Piece> {
        let from = self.segments.partition_point(|s| s.total().scheduled() <= counted);
        self.segments.range(from..).map(move |segment| {
            let each = segment.each.tally();
            let known = counted.saturating_sub(segment.before.scheduled());
            let skip = known.checked_div(each.scheduled()).unwrap_or(0).min(segment.n.into());
            Piece {
                start: Timestamp::from_micros(segment.start + segment.step * skip as i64),
                step: Duration::from_micros(segment.step.unsigned_abs()),
                n: segment.n - skip as u32,
                each,
                coarse: segment.coarse,
            }
        })
    }

    /// For how many whole seconds from `at` on every window between the given edges (distances
    /// back from `at`) keeps exactly the counts it has at `at`: as much enters each second as
    /// leaves. Zero when that cannot be told.
    pub fn steady_seconds(&self, edges: &[Duration], at: Timestamp) -> u64 {
        const SECOND: i64 = 1_000_000;
        let mut pace = None;
        let mut until = i64::MAX;
        for edge in edges {
            let x = at.minus(*edge).micros();
            let next = self.segments.partition_point(|segment| segment.start < x);
            let here = next.checked_sub(1).map(|n| &self.segments[n]).filter(|s| x < s.end());
            let boundary = match here {
                Some(segment) => segment.end(),
                None => self.segments.get(next).map_or(i64::MAX, |segment| segment.start),
            };
            let here = here.map(|segment| (segment.each, segment.step));
            if here.is_some_and(|(_, step)| step == 0 || SECOND % step != 0) {
                return 0;
            }
            if *pace.get_or_insert(here) != here {
                return 0;
            }
            until = until.min(boundary.saturating_sub(x));
        }
        u64::try_from(until / SECOND).unwrap_or(0)
    }

    /// Drops what is due before `at` from memory. Totals stay; windows that reach back beyond
    /// `at` come out too small.
    pub fn forget_before(&mut self, at: Timestamp) {
        while let Some(segment) = self.segments.front() {
            if segment.last() >= at.micros() || self.segments.len() == 1 {
                break;
            }
            let shape = (segment.start, segment.step, segment.n);
            let last = self.forgotten.map(Timestamp::micros);
            self.past.learn(shape, segment.each.tally(), last);
            self.base = segment.total();
            self.forgotten = Some(Timestamp::from_micros(segment.last()));
            self.segments.pop_front();
        }
    }

    /// When the last event was due that is no longer held; none while everything is.
    pub fn forgotten(&self) -> Option<Timestamp> {
        self.forgotten
    }

    /// Makes the totals at `at` be `total`, if they are less: what is missing was counted before
    /// anything that is held.
    pub fn continue_from(&mut self, total: Tally, at: Timestamp) {
        let held = self.before(at);
        let missing = Tally {
            good: total.good.saturating_sub(held.good),
            bad: total.bad.saturating_sub(held.bad),
            unknown: total.unknown.saturating_sub(held.unknown),
            excluded: total.excluded.saturating_sub(held.excluded),
        };
        self.base += missing;
        self.segments.iter_mut().for_each(|segment| segment.before += missing);
    }

    /// How many segments are held.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Puts everything older than a day on the grid.
    fn thin(&mut self) {
        let newest = self.segments.back().map_or(0, Segment::last);
        let edge = Timestamp::from_micros(newest).minus(EXACT_FOR).floor(GRID).micros();
        let old = self.segments.partition_point(|segment| segment.last() < edge);
        let mut thinned = Thinning { base: self.base, ..Thinning::default() };
        for segment in self.segments.drain(..old) {
            thinned.take(segment);
        }
        thinned.close_minute();
        for segment in thinned.segments.into_iter().rev() {
            self.segments.push_front(segment);
        }
        // A quarter more: then little is held that could be thinner, and each run that comes costs
        // a look at four that are there.
        self.thin_at = EXACT_RUNS.max(self.segments.len() + self.segments.len() / 4);
        self.segments.shrink_to(self.thin_at);
    }
}

/// Rebuilds segments on the grid of a minute.
#[derive(Default)]
struct Thinning {
    segments: Vec<Segment>,
    base: Tally,
    minute: i64,
    first: i64,
    last: i64,
    count: Tally,
}

impl Thinning {
    fn take(&mut self, segment: Segment) {
        // A long uniform run is cheap already and stays exact.
        if i64::from(segment.n) * segment.step >= 2 * micros(GRID) {
            self.close_minute();
            let before = self.before();
            self.segments.push(Segment { before, ..segment });
            return;
        }
        for k in 0..i64::from(segment.n) {
            let due = segment.start + k * segment.step;
            let minute = due.div_euclid(micros(GRID));
            if !self.count.is_empty() && minute != self.minute {
                self.close_minute();
            }
            if self.count.is_empty() {
                (self.minute, self.first) = (minute, due);
            }
            self.last = due;
            self.count += segment.each.tally();
        }
    }

    fn close_minute(&mut self) {
        let count = std::mem::take(&mut self.count);
        let early = Tally { good: count.good, excluded: count.excluded, ..Tally::ZERO };
        let late = Tally { bad: count.bad, unknown: count.unknown, ..Tally::ZERO };
        for (at, tally) in [(self.first, early), (self.last, late)] {
            if !tally.is_empty() {
                let (each, before) = (Each::of(tally), self.before());
                // A lone event stays when it was due; of several, none can be told from the others.
                let coarse = count.scheduled() > 1;
                self.segments.push(Segment { start: at, step: 0, n: 1, coarse, each, before });
            }
        }
    }

    fn before(&self) -> Tally {
        self.segments.last().map_or(self.base, Segment::total)
    }
}

#[cfg(test)]
mod tests;
