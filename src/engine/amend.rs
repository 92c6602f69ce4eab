//! What Maintenance and Corrections make of one SLO's history.
//!
//! Measured history is never touched: a second one is derived from it, in which slots count as
//! they are to count. What it keeps true: each slot counts once, as the Correction that ranks
//! highest says, else as excluded if a Maintenance excludes it, else as it was measured; without
//! any of them the derived history is the measured one.

use std::sync::Arc;
use std::time::Duration;

use crate::model::maintenance::{Effect, Maintenance};
use crate::model::{Name, Outcome, Tally, Timestamp};

use super::evaluate::Histories;
use super::series::{Piece, Series};
use super::status::SloStatus;

/// What coarse history is told apart by.
const MINUTE: Duration = Duration::from_secs(60);
/// When nothing changes any more.
const FAR: Timestamp = Timestamp::from_micros(i64::MAX);

/// Everything that says of one SLO how its slots are to count, and when its alerts are mute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amendments {
    /// Maintenance of its service.
    pub(super) maintenances: Vec<Arc<Maintenance>>,
    /// Corrections that hold, laid over one another: in time order, without overlap.
    strips: Vec<Strip>,
}

/// Slots due in `[from, to)` count as this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strip {
    pub from: Timestamp,
    pub to: Timestamp,
    pub outcome: Outcome,
}

/// How slots count from one moment to another; none for as they were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    from: Timestamp,
    until: Timestamp,
    outcome: Option<Outcome>,
}

impl Amendments {
    /// Of this Maintenance, and of these Corrections, the one that ranks highest last.
    pub(super) fn new(maintenances: Vec<Arc<Maintenance>>, ranked: &[Strip]) -> Self {
        let mut strips: Vec<Strip> = Vec::new();
        for strip in ranked.iter().filter(|strip| strip.from < strip.to) {
            let beneath = std::mem::take(&mut strips);
            let left = |s: &Strip| Strip { to: s.to.min(strip.from), ..*s };
            let right = |s: &Strip| Strip { from: s.from.max(strip.to), ..*s };
            let before = beneath.iter().map(left);
            let after = beneath.iter().map(right);
            let whole = |s: &Strip| s.from < s.to;
            strips.extend(before.filter(whole).chain([*strip]).chain(after.filter(whole)));
        }
        Amendments { maintenances, strips }
    }

    /// Whether slots count as they were measured, all of them.
    pub fn change_nothing(&self) -> bool {
        let excludes = |m: &Arc<Maintenance>| m.effect == Effect::Exclude;
        self.strips.is_empty() && !self.maintenances.iter().any(excludes)
    }

    /// Whether a Correction says how slots of `[from, to)` count.
    pub fn corrects(&self, from: Timestamp, to: Timestamp) -> bool {
        let next = self.strips.partition_point(|strip| strip.to <= from);
        self.strips.get(next).is_some_and(|strip| strip.from < to)
    }

    /// An evaluation of what these were laid over, saying whether a Correction is in it.
    pub fn mark(&self, status: SloStatus) -> SloStatus {
        let corrected = self.corrects(status.period.start, status.at);
        SloStatus { corrected, ..status }
    }

    /// The history of these slots as they are to count; none if that is as they were measured.
    pub fn apply(&self, slots: Histories<'_>) -> Option<Amended> {
        (!self.change_nothing()).then(|| Amended::of(slots, self))
    }

    /// The same of histories that stand alone.
    pub fn over(&self, measured: Vec<Series>) -> Vec<Series> {
        let of: Vec<usize> = (0..measured.len()).collect();
        let amended = self.apply(Histories { series: &measured, of: &of });
        amended.map_or(measured, |amended| amended.series)
    }

    /// The Maintenance that a moment lies in, one for each effect, and up to when that is so.
    pub fn maintenance(&self, at: Timestamp) -> Ongoing {
        let mut ongoing = Ongoing { exclude: None, mute: None, until: FAR };
        for maintenance in &self.maintenances {
            let held = maintenance.at(at);
            ongoing.until = ongoing.until.min(held.until);
            let of = match maintenance.effect {
                Effect::Exclude => &mut ongoing.exclude,
                Effect::Mute => &mut ongoing.mute,
            };
            if held.inside && of.is_none() {
                *of = Some(maintenance.name.clone());
            }
        }
        ongoing
    }

    /// The first tick from `at` on, and before `limit`, at which no Maintenance mutes alerts.
    pub(super) fn unmuted_from(&self, at: Timestamp, limit: Timestamp) -> Option<Timestamp> {
        let mut at = at;
        while at < limit {
            let ongoing = self.maintenance(at);
            if ongoing.mute.is_none() {
                return Some(at);
            }
            at = ongoing.until.ceil_second();
        }
        None
    }

    fn stretch(&self, at: Timestamp) -> Stretch {
        let next = self.strips.partition_point(|strip| strip.to <= at);
        let (outcome, mut until) = match self.strips.get(next) {
            Some(strip) if strip.from <= at => (Some(strip.outcome), strip.to),
            Some(strip) => (None, strip.from),
            None => (None, FAR),
        };
        if outcome.is_some() {
            return Stretch { from: at, until, outcome };
        }
        let mut excluded = None;
        for maintenance in self.maintenances.iter().filter(|m| m.effect == Effect::Exclude) {
            let held = maintenance.at(at);
            until = until.min(held.until);
            excluded = excluded.or(held.inside.then_some(Outcome::Excluded));
        }
        Stretch { from: at, until, outcome: excluded }
    }
}

/// The Maintenance that goes on at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ongoing {
    /// One that excludes slots.
    pub exclude: Option<Name>,
    /// One that mutes alerts.
    pub mute: Option<Name>,
    /// Up to when it is so at least.
    pub until: Timestamp,
}

/// The history of one SLO as it is to count.
#[derive(Clone, Debug)]
pub struct Amended {
    series: Vec<Series>,
    of: Vec<usize>,
    /// How many events of each measured history are in here.
    taken: Vec<u64>,
    now: Stretch,
    coarse: u64,
}

impl Amended {
    fn of(slots: Histories<'_>, amendments: &Amendments) -> Self {
        let series: Vec<Series> = slots.iter().map(Series::beneath).collect();
        let mut amended = Amended {
            of: (0..series.len()).collect(),
            taken: series.iter().map(|series| series.total().scheduled()).collect(),
            series,
            now: Stretch { from: FAR, until: FAR, outcome: None },
            coarse: 0,
        };
        amended.extend(slots, amendments);
        amended
    }

    /// Takes in what has been measured since.
    pub(super) fn extend(&mut self, slots: Histories<'_>, amendments: &Amendments) {
        for (n, measured) in slots.iter().enumerate() {
            for piece in measured.beyond(self.taken[n]) {
                self.take(n, piece, amendments);
            }
            self.taken[n] = measured.total().scheduled();
        }
    }

    fn take(&mut self, n: usize, piece: Piece, amendments: &Amendments) {
        if piece.coarse {
            return self.take_coarse(n, piece, amendments);
        }
        let Piece { mut start, step, n: mut left, each, .. } = piece;
        while left > 0 {
            if start < self.now.from || start >= self.now.until {
                self.now = amendments.stretch(start);
            }
            let alike = match step.is_zero() {
                true => 1,
                false => self.now.until.since(start).as_micros().div_ceil(step.as_micros()),
            };
            let alike = u32::try_from(alike).unwrap_or(left).clamp(1, left);
            self.series[n].push(start, step, alike, counted(each, self.now.outcome));
            start = start.plus(step.saturating_mul(alike));
            left -= alike;
        }
    }

    /// Several events of one minute. Where the minute is to count in more than one way, each of
    /// them counts in the worst way that it may have to.
    fn take_coarse(&mut self, n: usize, piece: Piece, amendments: &Amendments) {
        let minute = piece.start.floor(MINUTE);
        let mut ways = Vec::new();
        let mut at = minute;
        while at < minute.plus(MINUTE) {
            let stretch = amendments.stretch(at);
            ways.push(stretch.outcome);
            at = stretch.until;
        }
        let worst = |as_measured: Outcome, n: u64| {
            let ways = ways.iter().map(|way| way.unwrap_or(as_measured));
            Tally::of(ways.max_by_key(|way| badness(*way)).unwrap_or(as_measured), n)
        };
        let Tally { good, bad, unknown, excluded } = piece.each;
        let each = [
            worst(Outcome::Good, good),
            worst(Outcome::Bad, bad),
            worst(Outcome::Unknown, unknown),
            worst(Outcome::Excluded, excluded),
        ];
        if ways.iter().any(|way| *way != ways[0]) {
            self.coarse += piece.each.scheduled() * u64::from(piece.n);
        }
        self.series[n].push(piece.start, piece.step, piece.n, each.into_iter().sum());
    }

    /// The history itself.
    pub fn histories(&self) -> Histories<'_> {
        Histories { series: &self.series, of: &self.of }
    }

    /// Events at an edge of an amendment that history no longer tells apart, and that count in
    /// the worst way they may have to.
    pub fn coarse(&self) -> u64 {
        self.coarse
    }

    /// How many segments are held.
    pub(super) fn segments(&self) -> usize {
        self.series.iter().map(Series::segments).sum()
    }

    /// Drops what is due before `at` from memory; totals stay.
    pub(super) fn forget_before(&mut self, at: Timestamp) {
        self.series.iter_mut().for_each(|series| series.forget_before(at));
    }
}

/// What an event counts where slots count as this.
fn counted(each: Tally, outcome: Option<Outcome>) -> Tally {
    outcome.map_or(each, |outcome| Tally::of(outcome, each.scheduled()))
}

/// Which way to count is worse: what is left out takes a good event away.
const fn badness(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Good => 0,
        Outcome::Excluded => 1,
        Outcome::Unknown => 2,
        Outcome::Bad => 3,
    }
}

#[cfg(test)]
mod tests;
