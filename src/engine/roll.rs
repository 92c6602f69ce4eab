//! One series on its way into history: puts slots in order and rolls them up into runs.
//!
//! Every slot of the grid is accounted for exactly once. A slot that arrives before its
//! predecessors waits for them; predecessors that stay away are unknown. When the interval
//! changes, the slots of the old grid end where those of the new one begin.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::{
    Latencies, Observation, Run, SeriesId, Slice, Timestamp, UnknownReason, Verdict,
};

/// How many slots may wait for a predecessor. A probe has at most two in flight when its
/// timeout is at most its interval; more than this many ahead means that one was lost.
const MAX_EARLY: usize = 16;

/// The class of a good answer whose latency is not known, as after a stall of our own: it says
/// nothing about any threshold.
pub const UNMEASURED: u8 = u8::MAX;

/// When a slot is due that never comes.
const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

/// How long the results of a probe that has gone are waited for, beside two of its intervals.
const PATIENCE: Duration = Duration::from_secs(60);

/// From one edge between slices to the next, in wall time. A start reads the slices of the day and
/// the observations since the last one; at a probe every 5 s the two together are fewest near ten
/// minutes.
pub(super) const SLICE: Duration = Duration::from_secs(600);

/// The open end of one series.
#[derive(Clone, Debug)]
pub struct Roll {
    series: SeriesId,
    step: Duration,
    /// Latency thresholds in microseconds, ascending.
    thresholds: Vec<u32>,
    next_due: Option<Timestamp>,
    /// When the last slot that is accounted for was due.
    last_due: Option<Timestamp>,
    early: BTreeMap<Timestamp, Slots>,
    /// When the present grid began, if another one came before it.
    since: Option<Timestamp>,
    /// Changes of the grid whose moment the slots have not reached, soonest first.
    turns: VecDeque<Turn>,
    open_since: Option<Timestamp>,
    runs: Vec<Run>,
    /// Latencies of the slots that are in no slice, by the last edge before each.
    latencies: Vec<(Timestamp, Latencies)>,
}

/// A change of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    /// The slots of the grid before it are due before this.
    at: Timestamp,
    /// The first slot of the grid after it, not before `at`; [`NEVER`] if there is none.
    first: Timestamp,
    /// From one slot to the next.
    step: Duration,
}

/// One slot, or several in a row of which nothing is known.
#[derive(Clone, Copy, Debug)]
struct Slots {
    verdict: Verdict,
    latency: Option<Duration>,
    step: Duration,
    /// Whether the step may have been another one when this was kept.
    guessed: bool,
    n: u32,
}

/// What became of a slot that was handed in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// Slots that are now part of history, in order.
    pub accepted: Vec<Run>,
    /// Those among them that nobody observed; they are to be kept for good.
    pub lost: Vec<Run>,
    /// The slot was accounted for before, or is none any more, and is ignored.
    pub duplicate: bool,
}

impl Roll {
    /// The empty history of a series with this interval and these ascending latency thresholds
    /// (in microseconds).
    pub fn new(series: SeriesId, step: Duration, thresholds: Vec<u32>) -> Self {
        Roll {
            series,
            step,
            thresholds,
            next_due: None,
            last_due: None,
            early: BTreeMap::new(),
            since: None,
            turns: VecDeque::new(),
            open_since: None,
            runs: Vec::new(),
            latencies: Vec::new(),
        }
    }

    /// The series.
    pub fn series(&self) -> SeriesId {
        self.series
    }

    /// The latency thresholds that the class of a run counts, in microseconds, ascending.
    pub fn thresholds(&self) -> &[u32] {
        &self.thresholds
    }

    /// When the first slot that is not accounted for is due; none before any history.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.next_due
    }

    /// When the last slot that is accounted for was due; none before any history.
    pub fn last_due(&self) -> Option<Timestamp> {
        self.last_due
    }

    /// From one slot to the next, on the newest grid.
    pub fn step(&self) -> Duration {
        self.turns.back().map_or(self.step, |turn| turn.step)
    }

    /// Where the grid changes next, and the first slot after that.
    pub fn turn_ahead(&self) -> Option<(Timestamp, Timestamp)> {
        self.turns.front().map(|turn| (turn.at, turn.first))
    }

    /// Whether no slot is due after those that are accounted for.
    pub fn is_complete(&self) -> bool {
        self.next_due == Some(NEVER)
    }

    /// Whether there are slots that no slice holds yet.
    pub fn is_open(&self) -> bool {
        !self.runs.is_empty() || !self.early.is_empty()
    }

    /// From `at` on the slots are those of another grid, the first of them due at `first`. What
    /// is due before `at` on the grid before is still to come.
    pub fn turn(&mut self, at: Timestamp, first: Timestamp, step: Duration) {
        self.turns.retain(|turn| turn.at < at);
        self.turns.push_back(Turn { at, first, step });
        self.next_due.get_or_insert(at);
        self.pass_turns();
    }

    /// Before history is taken back: the grid changed in its course, from steps of `before`.
    pub fn recall(&mut self, before: Duration, at: Timestamp, first: Timestamp, step: Duration) {
        self.step = before;
        self.turns.push_back(Turn { at, first, step });
    }

    /// Goes on, as [`Roll::turn`] does, with a series that ended before all of its slots were
    /// known: those from `next` up to `at` are unknown, on the grid that begins then.
    pub fn come_back(
        &mut self,
        next: Timestamp,
        (at, first): (Timestamp, Timestamp),
        step: Duration,
    ) -> Taken {
        if self.is_complete() {
            (self.since, self.step) = (None, step);
            self.next_due = Some(self.on_grid_of(first, next));
        }
        self.turn(at, first, step);
        let lost = self.fill(at, UnknownReason::NotRunning);
        Taken { accepted: lost.clone(), lost, duplicate: false }
    }

    /// All slots due before `end` are accounted for, though history no longer holds any of them.
    pub fn remember_until(&mut self, end: Timestamp) {
        if self.last_due.is_none() {
            let last = Timestamp::from_micros(end.micros().saturating_sub(1));
            (self.last_due, self.next_due) = (Some(last), Some(end));
            self.pass_turns();
        }
    }

    /// No slot is due from `at` on.
    pub fn end(&mut self, at: Timestamp) {
        self.turn(at, NEVER, self.step());
    }

    /// Counts other thresholds from now on. What is open is closed into a slice with those
    /// before, if there is any.
    pub fn measure_by(&mut self, thresholds: Vec<u32>) -> Option<Slice> {
        if self.thresholds == thresholds {
            return None;
        }
        let closed = self.last_due.and_then(|last| self.close(last.just_after()));
        self.thresholds = thresholds;
        closed
    }

    /// Hands in the result of one slot.
    pub fn observe(&mut self, observation: &Observation) -> Taken {
        self.take(observation.due, self.one(observation))
    }

    /// The part of a run of missed slots that lies on the grid of its start. A run that was told
    /// late may reach beyond the end of that grid.
    pub fn clip(&self, run: Run) -> Run {
        let (_, _, until) = self.grid_of(run.start);
        let n = until.map_or(run.n, |until| run.n.min(slots_before(run.start, run.step, until)));
        Run { n, ..run }
    }

    /// Hands in slots in a row that nobody observed, with the verdict that says why.
    pub fn miss(&mut self, run: Run) -> Taken {
        let run = self.clip(run);
        self.take(run.start, Slots::of(run))
    }

    fn one(&self, observation: &Observation) -> Slots {
        let (verdict, latency) = (observation.verdict, observation.latency);
        let (_, step, _) = self.grid_of(observation.due);
        Slots { verdict, latency, step, guessed: false, n: 1 }
    }

    /// The grid on which a slot would be due at `due`: the first point of it, if another grid
    /// came before; the step; and until when it lasts.
    fn grid_of(&self, due: Timestamp) -> (Option<Timestamp>, Duration, Option<Timestamp>) {
        let past = self.turns.partition_point(|turn| turn.at <= due);
        let until = self.turns.get(past).map(|turn| turn.at);
        match past.checked_sub(1).map(|last| self.turns[last]) {
            Some(turn) => (Some(turn.first), turn.step, until),
            None => (self.since, self.step, until),
        }
    }

    fn take(&mut self, due: Timestamp, slots: Slots) -> Taken {
        let mut taken = Taken::default();
        let (point, step, _) = self.grid_of(due);
        let expected = *self.next_due.get_or_insert(due);
        let is_slot = point.is_none_or(|point| is_on_grid(due, point, step));
        if due < expected || self.early.contains_key(&due) || !is_slot {
            taken.duplicate = true;
            return taken;
        }
        self.early.insert(due, slots);
        self.accept_waiting(&mut taken);
        if self.early.len() > MAX_EARLY {
            self.give_up_on_lost(&mut taken);
        }
        taken
    }

    /// Accepts waiting slots for as long as they follow without a hole.
    fn accept_waiting(&mut self, taken: &mut Taken) {
        while let Some(entry) = self.early.first_entry() {
            if Some(*entry.key()) != self.next_due {
                break;
            }
            let (due, slots) = entry.remove_entry();
            taken.accepted.push(self.accept(due, slots));
            self.pass_turns();
        }
    }

    /// The slots before the first waiting one will not come any more.
    fn give_up_on_lost(&mut self, taken: &mut Taken) {
        let Some(first) = self.early.keys().next().copied() else { return };
        taken.lost = self.fill(first, UnknownReason::LocalFault);
        taken.accepted.extend(&taken.lost);
        self.next_due = Some(first);
        self.accept_waiting(taken);
    }

    /// Goes on with the next grid once the slots of the one before are accounted for.
    fn pass_turns(&mut self) {
        while let Some(turn) = self.turns.front().copied()
            && self.next_due.is_some_and(|next| next >= turn.at)
        {
            (self.since, self.step) = (Some(turn.first), turn.step);
            // History that is taken back may begin behind the turn.
            if self.last_due.is_none_or(|last| last < turn.at) {
                self.next_due = Some(turn.first);
            }
            self.turns.pop_front();
        }
    }

    /// Accounts for every slot before the one at `until` that nobody observed, as unknown; and
    /// lets the grid go on there. Slots that wait for a predecessor are accepted first.
    pub fn close_gap(&mut self, until: Timestamp, reason: UnknownReason) -> Taken {
        let mut taken = Taken::default();
        if self.next_due.is_none() {
            let first = self.turns.front().map_or(until, |turn| turn.first.min(until));
            self.next_due = self.early.keys().next().copied().or(Some(first));
        }
        let waiting = self.restore_waiting(Some(until));
        taken.accepted.extend(waiting);
        self.pass_turns();
        if self.turns.is_empty() {
            self.next_due = self.next_due.map(|next| self.on_grid_of(until, next));
        }
        taken.lost = self.fill(until, reason);
        taken.accepted.extend(&taken.lost);
        // Slots that are known from later on stay known; else the grid goes on here, whatever
        // the interval was when the last known slot was due.
        let ahead = self.last_due.is_some_and(|last| last >= until);
        if !ahead && !self.is_complete() {
            self.next_due = Some(until);
        }
        taken
    }

    /// The first slot from `next` on of the grid that `until` lies on. History that was made at
    /// another interval may end between the slots of this one.
    fn on_grid_of(&self, until: Timestamp, next: Timestamp) -> Timestamp {
        let n = until.since(next).as_micros() / self.step.as_micros().max(1);
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        if next < until { until.minus(self.step.saturating_mul(n)) } else { next }
    }

    /// Gives up on the last slots before the end, if they should have been heard of by `now`.
    pub fn abandon(&mut self, now: Timestamp) -> Option<Taken> {
        let end = *self.turns.back().filter(|turn| turn.first == NEVER)?;
        let patience = 2 * end.step + PATIENCE;
        (now.since(end.at) > patience).then(|| self.close_gap(end.at, UnknownReason::LocalFault))
    }

    fn fill(&mut self, until: Timestamp, reason: UnknownReason) -> Vec<Run> {
        let mut filled = Vec::new();
        while let Some(start) = self.next_due.filter(|start| *start < until) {
            let turn = self.turns.front().map_or(until, |turn| turn.at.min(until));
            let n = slots_before(start, self.step, turn);
            if n == 0 {
                break;
            }
            let verdict = Verdict::Unknown(reason);
            let run = Run { start, step: self.step, n, verdict, class: 0 };
            filled.push(self.append(run));
            self.pass_turns();
        }
        filled
    }

    /// Takes a run of a stored slice. Slots that are accounted for already are left out.
    pub fn restore_run(&mut self, run: Run) -> Vec<Run> {
        let mut accepted = self.restore_waiting(Some(run.start));
        accepted.extend(self.unknown_part(run).map(|run| self.append(run)));
        self.leave_turns_behind();
        accepted
    }

    /// Takes stored slots that nobody observed. They wait for the end: after the disk refused to
    /// take anything for a while, failures were kept before successes that are much older.
    pub fn restore_gap(&mut self, run: Run) {
        self.early.insert(run.start, Slots::of(run));
    }

    /// Takes a stored result, which waits as well. The interval may have been another one when it
    /// was made, so nothing is concluded from distances: gaps have been stored as gaps.
    pub fn restore_slot(&mut self, due: Timestamp, verdict: Verdict, latency: Option<Duration>) {
        let (point, step, _) = self.grid_of(due);
        let guessed = point.is_none();
        self.early.insert(due, Slots { verdict, latency, step, guessed, n: 1 });
    }

    /// Accepts every restored slot, in the order of their due times.
    pub fn finish_restore(&mut self) -> Vec<Run> {
        let accepted = self.restore_waiting(None);
        self.pass_turns();
        accepted
    }

    /// Accepts restored slots, those due before `until` if that is given.
    fn restore_waiting(&mut self, until: Option<Timestamp>) -> Vec<Run> {
        let mut accepted = Vec::new();
        while let Some(entry) = self.early.first_entry() {
            if until.is_some_and(|until| *entry.key() >= until) {
                break;
            }
            let Some((due, mut slots)) = self.early.pop_first() else { break };
            // The step that makes single slots meet, if the interval was shorter then.
            let before = self.last_due.map(|last| due.since(last));
            if slots.guessed && before.is_some_and(|gap| !gap.is_zero() && gap < slots.step) {
                slots.step = before.unwrap_or(slots.step);
            }
            let Slots { verdict, step, n, .. } = slots;
            let run = Run { start: due, step, n, verdict, class: 0 };
            match self.unknown_part(run) {
                Some(part) if part.n < n => accepted.push(self.append(part)),
                Some(_) => accepted.push(self.accept(due, slots)),
                None => {}
            }
            self.leave_turns_behind();
        }
        accepted
    }

    /// History that is taken back has come to slots after a turn. Where its last slot would end
    /// tells nothing: after another turn, which nobody recalls, more may come before this one.
    fn leave_turns_behind(&mut self) {
        while let Some(turn) = self.turns.front().copied()
            && self.last_due.is_some_and(|last| last >= turn.at)
        {
            (self.since, self.step) = (Some(turn.first), turn.step);
            self.turns.pop_front();
        }
    }

    /// The slots of a run that are not accounted for yet.
    fn unknown_part(&self, run: Run) -> Option<Run> {
        let n_known = match self.last_due {
            Some(last) if last >= run.start => {
                last.since(run.start).as_micros() / run.step.as_micros().max(1) + 1
            }
            _ => 0,
        };
        let n_known = u32::try_from(n_known).unwrap_or(u32::MAX).min(run.n);
        let start = run.start.plus(run.step.saturating_mul(n_known));
        (n_known < run.n).then(|| Run { start, n: run.n - n_known, ..run })
    }

    /// Notes that everything before `end` is in closed slices.
    pub fn closed_until(&mut self, end: Timestamp) {
        self.runs.clear();
        self.open_since = Some(end);
    }

    fn accept(&mut self, due: Timestamp, slots: Slots) -> Run {
        let Slots { verdict, latency, step, n, .. } = slots;
        let class = match (verdict, latency) {
            (Verdict::Good, Some(latency)) => self.class(latency),
            (Verdict::Good, None) if !self.thresholds.is_empty() => UNMEASURED,
            _ => 0,
        };
        if let Some(latency) = latency {
            self.record(due, latency);
        }
        self.append(Run { start: due, step, n, verdict, class })
    }

    fn record(&mut self, due: Timestamp, latency: Duration) {
        let edge = due.floor(SLICE);
        match self.latencies.iter_mut().rev().find(|(at, _)| *at == edge) {
            Some((_, open)) => open.record(latency),
            None => {
                let mut open = Latencies::default();
                open.record(latency);
                // Nearly always there is one at a time.
                self.latencies.reserve_exact(1);
                self.latencies.push((edge, open));
            }
        }
    }

    fn append(&mut self, run: Run) -> Run {
        self.open_since.get_or_insert(run.start);
        self.next_due = Some(run.end());
        self.last_due = Some(run.start.plus(run.step.saturating_mul(run.n - 1)));
        match self.runs.last_mut() {
            Some(last) if last.continues_at(run.start, run.step, run.verdict, run.class) => {
                last.n = last.n.saturating_add(run.n);
            }
            _ => self.runs.push(run),
        }
        run
    }

    /// How many thresholds this latency exceeds, exactly.
    fn class(&self, latency: Duration) -> u8 {
        let exceeded = |t: &&u32| latency > Duration::from_micros((**t).into());
        let exceeded = self.thresholds.iter().filter(exceeded).count();
        u8::try_from(exceeded).unwrap_or(u8::MAX).min(UNMEASURED - 1)
    }

    /// Closes everything due before `end`, a multiple of `SLICE` or later than every slot that
    /// was accepted, into a slice; none if there is nothing. What was heard of slots after it
    /// meanwhile, as a slower series held up the edge, is left to the next slice. The slice
    /// speaks of no time after its last slot: of a probe that is no longer declared nothing is
    /// known there, and what comes to be known later must not look as if it were in a slice.
    pub fn close(&mut self, end: Timestamp) -> Option<Slice> {
        let known = match self.is_complete() {
            true => self.last_due.map(|last| last.just_after()),
            false => self.next_due,
        };
        let end = known.map_or(end, |known| known.min(end));
        let start = self.open_since.filter(|start| *start < end)?;
        let (mut closed, mut open) = (Vec::new(), Vec::new());
        for run in self.runs.drain(..) {
            let (before, after) = split(run, end);
            closed.extend(before);
            open.extend(after);
        }
        self.runs = open;
        self.open_since = Some(end);
        let mut latencies = Latencies::default();
        self.latencies.retain(|(edge, open)| {
            let stays = *edge >= end;
            if !stays {
                latencies.merge(open);
            }
            stays
        });
        (!closed.is_empty()).then(|| Slice {
            series: self.series,
            start,
            end,
            thresholds: self.thresholds.clone(),
            runs: closed,
            latencies,
        })
    }
}

impl Slots {
    /// Slots in a row of which nothing more is known than the run says.
    fn of(run: Run) -> Self {
        Slots { verdict: run.verdict, latency: None, step: run.step, guessed: false, n: run.n }
    }
}

/// How many of the slots from `start` on are due before `end`.
fn slots_before(start: Timestamp, step: Duration, end: Timestamp) -> u32 {
    let n = end.since(start).as_micros().div_ceil(step.as_micros().max(1));
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Whether a slot is due at `due` on the grid of which `point` is the first.
fn is_on_grid(due: Timestamp, point: Timestamp, step: Duration) -> bool {
    let apart = due.since(point).as_micros();
    due >= point && apart.checked_rem(step.as_micros()) == Some(0)
}

/// The slots of a run that are due in `[from, to)`.
pub(super) fn part(run: &Run, from: Timestamp, to: Timestamp) -> Option<Run> {
    let before = split(*run, to).0?;
    if from <= before.start { Some(before) } else { split(before, from).1 }
}

/// The parts of a run before and from `at` on.
fn split(run: Run, at: Timestamp) -> (Option<Run>, Option<Run>) {
    let n = slots_before(run.start, run.step, at).min(run.n);
    let before = (n > 0).then_some(Run { n, ..run });
    let start = run.start.plus(run.step.saturating_mul(n));
    let after = (n < run.n).then_some(Run { start, n: run.n - n, ..run });
    (before, after)
}

#[cfg(test)]
mod tests;
