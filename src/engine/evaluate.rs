//! Evaluation of one SLO at one moment, over the histories of its indicators.
//!
//! Every comparison that decides an alert is an integer comparison, strictly "above". A window
//! that history or measurement covers too little does not decide, unless the bad events alone
//! already settle it.

pub mod composite;

use std::ops::Add;
use std::time::Duration;

use crate::model::budget::{Budget, Counted, Spending};
use crate::model::catalog::{Method, UnknownPolicy};
use crate::model::decimal::cmp_products;
use crate::model::evidence::{self, Evidence};
use crate::model::objective::PPB;
use crate::model::window::Period;
use crate::model::{AlertPolicy, Objective, Pair, Share, ShortThreshold, Slo, Tally, Timestamp};

use super::forecast;
use super::monitor::Epoch;
use super::revision::Revision;
use super::series::Series;
use super::slices;
use super::status::{Accounting, Burn, Coverage, Proof, SloStatus};

/// The least coverage at which a pair decides, unless the SLO says otherwise, in parts per
/// billion.
const HALF: u32 = 500_000_000;

/// The histories that make up one SLO, read as one.
#[derive(Clone, Copy, Debug)]
pub struct Histories<'a> {
    /// All indicators.
    pub series: &'a [Series],
    /// Positions of those that count for this SLO.
    pub of: &'a [usize],
}

impl<'a> Histories<'a> {
    /// The histories one by one.
    pub fn iter(&self) -> impl Iterator<Item = &'a Series> + use<'a> {
        let series = self.series;
        self.of.iter().map(move |at| &series[*at])
    }

    /// Everything due before `at`.
    pub fn before(&self, at: Timestamp) -> Tally {
        self.iter().map(|series| series.before(at)).sum()
    }

    /// Everything due before `at`, and when the first event is due that is not.
    fn look(&self, at: Timestamp) -> (Tally, Option<Timestamp>) {
        let mut looks = self.iter().map(|series| series.look(at));
        let (mut before, mut next) = looks.next().unwrap_or_default();
        for (tally, first) in looks {
            before += tally;
            next = next.into_iter().chain(first).min();
        }
        (before, next)
    }

    /// Everything due in `[at - length, at)`.
    pub fn window(&self, length: Duration, at: Timestamp) -> Tally {
        self.before(at) - self.before(at.minus(length))
    }

    /// The evidence record over all histories: outages of each add up, time does not.
    pub fn record(&self) -> evidence::Record {
        self.iter().map(Series::record).fold(evidence::Record::default(), |all, one| {
            evidence::Record {
                observed: all.observed.max(one.observed),
                outages: all.outages + one.outages,
                outage_time: all.outage_time + one.outage_time,
            }
        })
    }
}

/// The histories at one tick, with what every look-back from it has in common.
#[derive(Clone, Debug)]
pub struct Moment<'a> {
    histories: Histories<'a>,
    at: Timestamp,
    before: Tally,
    first: Option<Timestamp>,
    end: Option<Timestamp>,
    /// The slots, where what is judged are slices of them.
    slots: Option<Histories<'a>>,
    /// Which intervals were measured, where a slot is not one event.
    intervals: Option<Histories<'a>>,
    /// What was promised when; nothing if the SLO always promised what it does.
    revisions: &'a [Revision],
    /// Since when evidence counts.
    epoch: Epoch,
    /// Windows that are asked for more than once.
    known: Vec<(Duration, Tally)>,
    /// When the first event leaves one of those; none if all are empty.
    leaves: Option<Timestamp>,
}

impl<'a> Moment<'a> {
    /// The same, with the slots of which the histories are slices, perhaps.
    pub fn over_slots(self, slots: Histories<'a>) -> Self {
        Moment { slots: Some(slots), ..self }
    }

    /// The same, with the intervals that were measured or not where a slot is not one event.
    pub fn measured_by(self, intervals: Option<Histories<'a>>) -> Self {
        Moment { intervals, ..self }
    }

    /// The histories as they stand at the tick `at`.
    pub fn new(histories: Histories<'a>, at: Timestamp) -> Self {
        Moment {
            histories,
            at,
            before: histories.before(at),
            first: histories.iter().filter_map(Series::first).min(),
            end: histories.iter().filter_map(|series| series.end_before(at)).max(),
            slots: None,
            intervals: None,
            revisions: &[],
            epoch: Epoch::default(),
            known: Vec::new(),
            leaves: None,
        }
    }

    /// The same, each slot held to the revision that was in force when it was due.
    pub fn under(self, revisions: &'a [Revision]) -> Self {
        Moment { revisions, ..self }
    }

    /// The same, with evidence that counts from another moment on.
    pub fn since(self, epoch: Epoch) -> Self {
        Moment { epoch, ..self }
    }

    /// The same, with every window of an SLO counted once and for all.
    pub fn of_slo(histories: Histories<'a>, slo: &Slo, at: Timestamp) -> Self {
        let mut moment = Moment::new(histories, at);
        let pairs = slo.policy.iter().flat_map(|policy| &policy.pairs);
        let look_back = slo.window.look_back(at);
        let lengths = pairs.flat_map(|pair| [pair.long, pair.short]).chain([look_back]);
        let mut known: Vec<(Duration, Tally)> = Vec::with_capacity(9);
        for length in lengths {
            if known.iter().all(|(other, _)| *other != length) {
                let (before, next) = histories.look(at.minus(length));
                known.push((length, moment.before - before));
                let leaves = next.map(|next| next.plus(length));
                moment.leaves = moment.leaves.into_iter().chain(leaves).min();
            }
        }
        moment.known = known;
        moment
    }

    /// Everything due in `[at - length, at)`.
    pub fn window(&self, length: Duration) -> Tally {
        match self.known.iter().find(|(other, _)| *other == length) {
            Some((_, tally)) => *tally,
            None => self.before - self.histories.before(self.at.minus(length)),
        }
    }

    /// Up to when no event leaves a window of the SLO; none if all of them are empty.
    pub(super) fn leaves(&self) -> Option<Timestamp> {
        self.leaves
    }

    /// When the first event of all was due, and up to when events speak.
    pub(super) fn reach(&self) -> Option<(Timestamp, Timestamp)> {
        self.first.zip(self.end)
    }

    /// What was promised when.
    pub fn revisions(&self) -> &'a [Revision] {
        self.revisions
    }

    /// The histories themselves.
    pub fn histories(&self) -> Histories<'a> {
        self.histories
    }

    /// The tick.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// How many events are still to come in a period, if they go on as they came; none if that
    /// cannot be told.
    pub fn rest(&self, slo: &Slo, period: Period) -> Option<u64> {
        slo.window.calendar()?;
        if slo.method.slice().is_some() {
            return Some(slices::still_due(slo.method, (period.start, period.end), self.at));
        }
        let rest = |series: &Series| series.still_due(self.at, period.end);
        self.histories.iter().map(rest).sum()
    }

    /// How much of the window was measured: of slices, how much of their slots; of what others
    /// count, how many of the intervals.
    fn coverage(&self, whole: &Look, slo: &Slo) -> Coverage {
        match self.intervals.or(self.slots) {
            None => whole.coverage(),
            Some(slots) => Look::back(&Moment::new(slots, self.at), slo, whole.length).coverage(),
        }
    }

    /// What counted in `[at - length, at)`, and what was allowed.
    pub fn spending(&self, slo: &Slo, length: Duration) -> Spending {
        self.weigh(slo, length, self.window(length)).spending
    }

    /// Holds every slot of `[at - length, at)` to the objective that was in force when it was
    /// due. `whole` is what the stretch counts.
    fn weigh(&self, slo: &Slo, length: Duration, whole: Tally) -> Weighed {
        let from = self.at.minus(length);
        let (mut weighed, mut end) = (Weighed::default(), self.at);
        for revision in self.revisions.iter().rev().filter(|revision| revision.from < self.at) {
            if revision.from <= from && end == self.at {
                // What is nearly always so: it was in force all along.
                return Weighed::of(whole, revision.objective, revision.unknown);
            }
            let begin = revision.from.max(from);
            let tally = self.histories.before(end) - self.histories.before(begin);
            weighed = weighed + Weighed::of(tally, revision.objective, revision.unknown);
            end = begin;
            if begin == from {
                return weighed;
            }
        }
        let tally = match end == self.at {
            true => whole,
            false => self.histories.before(end) - self.histories.before(from),
        };
        weighed + Weighed::of(tally, slo.objective, slo.unknown)
    }

    /// How much of `[at - length, at)` lies after the first event, up to where events speak.
    fn span(&self, length: Duration) -> Duration {
        match (self.first, self.end) {
            (Some(first), Some(end)) => end.max(self.at).since(first).min(length),
            _ => Duration::ZERO,
        }
    }
}

/// Slots with what the objectives in force allowed of them.
#[derive(Clone, Copy, Debug, Default)]
struct Weighed {
    spending: Spending,
    /// What would have been allowed if every slot had been measured.
    allowed_expected_ppb: u128,
}

impl Weighed {
    fn of(tally: Tally, objective: Objective, unknown: UnknownPolicy) -> Self {
        let budget = u128::from(objective.budget_ppb());
        Weighed {
            spending: Spending::of(Counted::of(tally, unknown), objective),
            allowed_expected_ppb: budget * u128::from(tally.expected()),
        }
    }
}

impl Add for Weighed {
    type Output = Weighed;

    fn add(self, other: Weighed) -> Weighed {
        Weighed {
            spending: self.spending + other.spending,
            allowed_expected_ppb: self
                .allowed_expected_ppb
                .saturating_add(other.allowed_expected_ppb),
        }
    }
}

/// One look-back with what is needed to judge it.
#[derive(Clone, Copy, Debug)]
struct Look {
    tally: Tally,
    weighed: Weighed,
    length: Duration,
    /// How much of the look-back the history covers.
    span: Duration,
    /// The intervals of it that were measured or not, where a slot is not one event.
    intervals: Option<Tally>,
}

impl Look {
    fn back(moment: &Moment<'_>, slo: &Slo, length: Duration) -> Self {
        let tally = moment.window(length);
        let span = moment.span(length);
        let single = slo.method == Method::Occurrences;
        let intervals = moment.intervals.filter(|_| single);
        let intervals = intervals.map(|intervals| intervals.window(length, moment.at));
        Look { tally, weighed: moment.weigh(slo, length, tally), length, span, intervals }
    }

    fn spending(&self) -> Spending {
        self.weighed.spending
    }

    fn counted(&self) -> Counted {
        self.weighed.spending.counted
    }

    /// Measured slots over the slots a fully covered look-back would have.
    fn coverage(&self) -> Coverage {
        let scheduled = u128::from(self.tally.expected());
        match scheduled * self.length.as_micros() {
            0 => Coverage::NONE,
            denominator => Coverage {
                numerator: u128::from(self.tally.known()) * self.span.as_micros(),
                denominator,
            },
        }
    }

    /// Whether the look-back says enough to decide whether it burns above `burn`: at least
    /// `min_coverage` of it counts, half if that is not said, or its bad events would be too many
    /// even if all the rest were good.
    fn decides(&self, burn: (u128, u128), min_coverage: Option<Share>) -> bool {
        self.covers(min_coverage) || self.settles(burn)
    }

    /// Whether at least `min_coverage` of it counts, half if that is not said.
    fn covers(&self, min_coverage: Option<Share>) -> bool {
        let scheduled = u128::from(self.tally.expected());
        let (length, span) = (self.length.as_micros(), self.span.as_micros());
        let least = min_coverage.map_or(HALF, Share::ppb);
        let (measured, of) = match self.intervals {
            Some(intervals) => (intervals.known().into(), intervals.expected().into()),
            None => (u128::from(self.counted().total()), scheduled),
        };
        cmp_products(measured * span, PPB.into(), of * length, least.into()).is_ge()
    }

    /// Whether nothing of it was measured, and not because it is left out: time that is excluded
    /// is nothing that could have been seen.
    fn is_blind(&self) -> bool {
        let left_out = self.tally.excluded > 0 && self.tally.expected() == 0;
        self.counted().total() == 0 && !left_out
    }

    /// Whether the bad events alone are too many, even if all the rest were good.
    fn settles(&self, burn: (u128, u128)) -> bool {
        let (length, span) = (self.length.as_micros(), self.span.as_micros());
        // bad > burn * budget * (scheduled * length / span), without dividing.
        let bad = u128::from(self.counted().bad) * u128::from(PPB);
        let allowed = self.weighed.allowed_expected_ppb;
        let (numerator, denominator) = burn;
        let (bad, allowed) = (bad.saturating_mul(denominator), allowed.saturating_mul(numerator));
        cmp_products(bad, span, allowed, length).is_gt()
    }
}

/// What one pair says at one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairVerdict {
    /// The long window burns above the threshold: the spending is significant.
    pub significant: bool,
    /// Long and short agree: the pair fires.
    pub fires: bool,
    /// The short window measured nothing, so it can neither start nor end an alert.
    pub blind: bool,
}

/// Judges one pair of the policy at one tick. A pair that must hold for a while fires if it would
/// have fired at every tick of that while; so nothing needs to be remembered.
pub fn judge_pair(
    moment: &Moment<'_>,
    slo: &Slo,
    pair: &Pair,
    policy: &AlertPolicy,
) -> PairVerdict {
    let now = judge_now(moment, slo, pair, policy);
    let holds = |back| {
        let then = moment.at.minus(Duration::from_secs(back));
        let then = Moment::new(moment.histories, then).under(moment.revisions);
        let then = then.measured_by(moment.intervals);
        judge_now(&then, slo, pair, policy).fires
    };
    let fires = now.fires && (1..=pair.hold.as_secs()).rev().all(holds);
    PairVerdict { fires, ..now }
}

fn judge_now(moment: &Moment<'_>, slo: &Slo, pair: &Pair, policy: &AlertPolicy) -> PairVerdict {
    let long = Look::back(moment, slo, pair.long);
    let short = Look::back(moment, slo, pair.short);
    let blind = short.is_blind();
    if long.counted().bad == 0 {
        // What is nearly always so: no burn rate is negative.
        return PairVerdict { significant: false, fires: false, blind };
    }
    let threshold = pair.burn_threshold(slo.window.period(moment.at).length());
    let significant =
        long.spending().burns_above(threshold) && long.decides(threshold, slo.min_coverage);
    let short_threshold = match policy.short_threshold {
        ShortThreshold::Same => threshold,
        ShortThreshold::One => (1, 1),
    };
    let goes_on = short.counted().bad >= policy.min_bad.saturating_mul(slo.method.parts())
        && short.spending().burns_above(short_threshold);
    PairVerdict { significant, fires: significant && goes_on, blind }
}

/// Whether each pair fires at this moment, given whether it did at the tick before. A pair whose
/// short window is blind stays as it is: unknown time is no recovery, and no outage either.
pub fn firing_pairs(moment: &Moment<'_>, slo: &Slo, before: &[bool]) -> Vec<bool> {
    let Some(policy) = &slo.policy else { return Vec::new() };
    let judge = |(n, pair)| {
        let verdict = judge_pair(moment, slo, pair, policy);
        if verdict.blind { before.get(n).copied().unwrap_or(false) } else { verdict.fires }
    };
    policy.pairs.iter().enumerate().map(judge).collect()
}

/// Whether no pair can fire at any tick from `from` to `until`: not even if a pair's long window
/// held the bad events of all its positions and only the events that all of them share, and
/// all of them were held to the strictest revision there ever was.
pub fn stays_quiet(
    histories: Histories<'_>,
    slo: &Slo,
    revisions: &[Revision],
    from: Timestamp,
    until: Timestamp,
) -> bool {
    let strictest = revisions.iter().map(|r| r.objective).fold(slo.objective, Objective::max);
    let windows = revisions.iter().map(|r| r.window.shortest());
    let shortest = windows.fold(slo.window.shortest(), Duration::min);
    let any = |unknown| slo.unknown == unknown || revisions.iter().any(|r| r.unknown == unknown);
    let (bad_counts, left_out) = (any(UnknownPolicy::Bad), any(UnknownPolicy::Exclude));
    let bad = |tally: Tally| tally.bad + if bad_counts { tally.unknown } else { 0 };
    let total = |tally: Tally| tally.known() + if left_out { 0 } else { tally.unknown };
    let (before_from, before_until) = (histories.before(from), histories.before(until));
    slo.policy.iter().flat_map(|policy| &policy.pairs).all(|pair| {
        let bad = bad(before_until - histories.before(from.minus(pair.long)));
        if bad == 0 {
            return true;
        }
        let shared_since = until.minus(pair.long);
        if shared_since >= from {
            return false;
        }
        let shared = total(before_from - histories.before(shared_since));
        let worst = Counted { good: shared.saturating_sub(bad), bad };
        !worst.burns_above(strictest, pair.burn_threshold(shortest))
    })
}

/// Evaluates everything about one SLO at one tick. `pairs` says which pairs fire.
pub fn evaluate(moment: &Moment<'_>, slo: &Slo, pairs: Vec<bool>) -> SloStatus {
    let period = slo.window.period(moment.at);
    let whole = Look::back(moment, slo, moment.at.since(period.start));
    let budget = Budget::of(whole.spending(), slo.objective, period.length())
        .with_rest(moment.rest(slo, period).unwrap_or_default())
        .in_parts(slo.method.parts());
    let windows = slo.policy.as_ref().map(|policy| policy.windows()).unwrap_or_default();
    let burn = |window| {
        let Spending { counted, allowed_ppb } = moment.spending(slo, window);
        Burn { window, counted, allowed_ppb }
    };
    let record = moment.epoch.record(moment.histories);
    let coverage = moment.coverage(&whole, slo);
    let accounting = match Accounting::of(&budget) {
        counted if covers(slo, coverage) => counted,
        counted if counted.is_missed() && whole_settles(moment, slo, &whole) => counted,
        _ => Accounting::NoData,
    };
    let evidence = match accounting {
        Accounting::Spent | Accounting::Lost => Evidence::Breached,
        Accounting::NoData => Evidence::NotYetProven,
        _ if is_met(&record, &whole, slo) => Evidence::Met,
        _ => Evidence::NotYetProven,
    };
    let (exhaustion, exhaustion_latest) = forecast::exhaustion(moment, slo, &budget);
    SloStatus {
        at: moment.at,
        period,
        tally: whole.tally,
        totals: moment.before,
        bounds: Counted::bounds(whole.tally),
        budget,
        coverage,
        burns: windows.into_iter().map(burn).collect(),
        exhaustion,
        exhaustion_latest,
        accounting,
        evidence,
        proof: Proof {
            since: moment.epoch.from.max(moment.first.unwrap_or(moment.at)),
            record,
            supported_ppb: record.supported_ppb(slo.mean_outage),
            assumed_outage: record.mean_outage(slo.mean_outage),
            earliest: match evidence {
                Evidence::NotYetProven => {
                    record.earliest(slo.objective, slo.mean_outage, moment.at)
                }
                Evidence::Met | Evidence::Breached => None,
            },
        },
        pairs,
        corrected: false,
    }
}

/// Whether more than the whole budget is spent, and enough of the window was seen to say so.
pub fn is_exhausted(moment: &Moment<'_>, slo: &Slo) -> bool {
    let period = slo.window.period(moment.at);
    let whole = Look::back(moment, slo, moment.at.since(period.start));
    if let Some(rest) = moment.rest(slo, period) {
        // What is still to come is in the budget, so the bad events alone settle it.
        let budget = Budget::of(whole.spending(), slo.objective, period.length());
        let covered = || covers(slo, moment.coverage(&whole, slo));
        return budget.with_rest(rest).is_spent()
            && (covered() || whole_settles(moment, slo, &whole));
    }
    whole.spending().burns_above((1, 1)) && whole.decides((1, 1), slo.min_coverage)
}

/// Whether enough of the window was measured for a verdict, by the SLO's own word.
fn covers(slo: &Slo, coverage: Coverage) -> bool {
    slo.min_coverage.is_none_or(|least| coverage.reaches(least))
}

/// Whether the bad events of the window alone are more than its whole budget, even if everything
/// else in it were good, what is still to come of a calendar period included.
fn whole_settles(moment: &Moment<'_>, slo: &Slo, whole: &Look) -> bool {
    let period = slo.window.period(moment.at);
    let rest = moment.rest(slo, period).unwrap_or_default();
    let to_come = u128::from(slo.objective.budget_ppb()) * u128::from(rest);
    let (length, span) = (whole.length.as_micros(), whole.span.as_micros());
    let bad = u128::from(whole.counted().bad) * u128::from(PPB);
    // Without dividing: bad - what the rest allows > what a fully covered window allows so far.
    let allowed = whole.weighed.allowed_expected_ppb;
    cmp_products(bad.saturating_sub(to_come), span, allowed, length).is_gt()
}

/// Met needs support by outages, and unknown slots that could not have overturned it.
fn is_met(record: &evidence::Record, whole: &Look, slo: &Slo) -> bool {
    let counted = Counted::of(whole.tally, UnknownPolicy::Bad);
    let worst = Spending { counted, allowed_ppb: whole.weighed.allowed_expected_ppb };
    record.supports(slo.objective, slo.mean_outage) && !worst.burns_above((1, 1))
}

#[cfg(test)]
mod tests;
