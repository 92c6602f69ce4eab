//! Evaluation of a composite: of several SLOs that spend one budget.
//!
//! Each part spends of the common budget the share that it spends of its own, times its weight
//! (OpenSLO v1, "Notes (Composite SLO)"). The shares are fractions over as many events as each
//! part has, so their sum is kept exact and compared as such. It has no history of its own. What
//! it keeps true: one part of weight 1 is judged as it is by itself, and a part that was measured
//! too little counts in an alert by what is certain of it alone.

use std::borrow::Cow;
use std::time::Duration;

use super::{Counted, Histories, Look, Moment, PairVerdict, covers, evidence, forecast};
use crate::engine::forecast::Spender;
use crate::engine::status::{Accounting, Burn, Coverage, Exhaustion, Proof, SloStatus};
use crate::model::budget::{Budget, Spending};
use crate::model::catalog::{Method, UnknownPolicy};
use crate::model::decimal::cmp_products;
use crate::model::evidence::Evidence;
use crate::model::objective::PPB;
use crate::model::wide::Sum;
use crate::model::window::Period;
use crate::model::{AlertPolicy, Objective, Pair, ShortThreshold, Slo, Tally, Timestamp, Weight};

/// Parts of one event in which the common budget is told, where events are counted one by one.
/// What is told is cut up to a whole part; what is decided is not cut.
const FINE: u64 = 1_000_000;

/// One of the SLOs that a composite is made of, at one tick.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// What it promises.
    pub slo: Cow<'a, Slo>,
    /// How much of its burning counts.
    pub weight: Weight,
    /// What it is judged by; of time slices, those that are bad for no stricter part.
    pub moment: Moment<'a>,
    /// What its evidence rests on.
    pub record: evidence::Record,
    /// Since when that counts.
    pub since: Timestamp,
}

impl Part<'_> {
    /// Bad events, weighed: the numerator of what they take of the common budget, whose
    /// denominator is what was allowed.
    fn weighed(&self, bad: u64) -> u128 {
        u128::from(self.weight.nano()) * u128::from(bad)
    }
}

/// A composite at one tick.
#[derive(Clone, Debug)]
pub struct Joint<'a> {
    /// The composite.
    pub slo: &'a Slo,
    /// What it is made of.
    pub parts: Vec<Part<'a>>,
    /// The tick.
    pub at: Timestamp,
    /// The time slices of all parts as one; else the events of each add up.
    pub whole: Option<Histories<'a>>,
}

/// What a window of a composite comes to.
#[derive(Clone, Debug)]
pub struct Account {
    /// Events, or slices, of the window, in the parts of the budget.
    pub tally: Tally,
    /// What would have counted if all that is unknown was bad, and if all of it was good.
    pub bounds: [Counted; 2],
    /// The common budget, told in events of the strictest objective.
    pub budget: Budget,
    /// What was counted.
    pub accounting: Accounting,
    /// The least that was measured of any part.
    pub coverage: Coverage,
    /// Whether the objective would be met even if all that is unknown was bad.
    pub withstands: bool,
}

impl Joint<'_> {
    /// The same parts at an earlier tick.
    fn then(&self, at: Timestamp) -> Joint<'_> {
        let parts = self.parts.iter().map(|part| {
            let Part { weight, record, since, .. } = *part;
            let moment = Moment::new(part.moment.histories, at).under(part.moment.revisions);
            let moment = moment.measured_by(part.moment.intervals);
            Part { slo: Cow::Borrowed(&*part.slo), weight, moment, record, since }
        });
        Joint { slo: self.slo, parts: parts.collect(), at, whole: self.whole }
    }

    /// When the first event of any part was due.
    pub fn first(&self) -> Option<Timestamp> {
        self.parts.iter().filter_map(|part| part.moment.first).min()
    }

    fn looks(&self, length: Duration) -> Vec<Look> {
        let look = |part: &Part<'_>| Look::back(&part.moment, &part.slo, length);
        self.parts.iter().map(look).collect()
    }

    /// The burn rate of all together: each bad share over what is allowed, weighed.
    fn burn(&self, looks: &[Look]) -> Sum {
        let mut sum = Sum::default();
        for (part, look) in self.parts.iter().zip(looks) {
            let Spending { counted, allowed_ppb } = look.spending();
            sum.add((part.weighed(counted.bad), 1), (allowed_ppb, 1));
        }
        sum
    }

    /// The burn rate that there is at least: a part of which too little was measured burns as if
    /// everything else in its look-back had been good.
    fn certain(&self, looks: &[Look]) -> Sum {
        let mut sum = Sum::default();
        for (part, look) in self.parts.iter().zip(looks) {
            let Spending { counted, allowed_ppb } = look.spending();
            let bad = part.weighed(counted.bad);
            match look.covers(part.slo.min_coverage) {
                true => sum.add((bad, 1), (allowed_ppb, 1)),
                false => {
                    let (length, span) = (look.length.as_micros(), look.span.as_micros());
                    sum.add((bad, span), (look.weighed.allowed_expected_ppb, length));
                }
            }
        }
        sum
    }

    /// The share of the whole budget that is spent; of a calendar of that of its whole period.
    fn spent(&self, looks: &[Look], rests: &[u64]) -> Sum {
        let mut sum = Sum::default();
        for ((part, look), rest) in self.parts.iter().zip(looks).zip(rests) {
            let allowed = look.spending().allowed_ppb.saturating_add(part.to_come(*rest));
            sum.add((part.weighed(look.counted().bad), 1), (allowed, 1));
        }
        sum
    }

    /// The same if everything that is still to come is bad. Time slices that are bad for several
    /// parts are bad for the strictest alone.
    fn spent_at_worst(&self, looks: &[Look], rests: &[u64]) -> Sum {
        let slices = self.whole.is_some();
        let strictest = self.parts.iter().map(|part| part.slo.objective).max();
        let takes = self.parts.iter().position(|part| Some(part.slo.objective) == strictest);
        let mut sum = Sum::default();
        for (n, (part, look)) in self.parts.iter().zip(looks).enumerate() {
            let allowed = look.spending().allowed_ppb.saturating_add(part.to_come(rests[n]));
            let more = if slices && takes != Some(n) { 0 } else { rests[n] };
            let bad = look.counted().bad.saturating_add(more);
            sum.add((part.weighed(bad), 1), (allowed, 1));
        }
        sum
    }

    /// The same if everything that was not measured was this; without what is still to come.
    fn spent_if_unknown_was(&self, unknown: UnknownPolicy, looks: &[Look]) -> Sum {
        let mut sum = Sum::default();
        for (part, look) in self.parts.iter().zip(looks) {
            let bad = Counted::of(look.tally, unknown).bad;
            sum.add((part.weighed(bad), 1), (look.weighed.allowed_expected_ppb, 1));
        }
        sum
    }

    /// How many events of each part are still to come in the period.
    fn rests(&self, period: Period) -> Vec<u64> {
        let rest = |part: &Part<'_>| part.moment.rest(&part.slo, period).unwrap_or_default();
        self.parts.iter().map(rest).collect()
    }

    /// Everything due in `[at - length, at)`, in the parts in which the budget is told.
    fn tally(&self, looks: &[Look], length: Duration) -> Tally {
        let sum = || looks.iter().map(|look| look.tally).sum();
        let tally: Tally = self.whole.map_or_else(sum, |whole| whole.window(length, self.at));
        tally.times(self.fine())
    }

    /// In how many parts an event is told, beyond those in which it is counted.
    fn fine(&self) -> u64 {
        if self.slo.method.parts() > 1 { 1 } else { FINE }
    }

    /// What is spent, told as events of the strictest objective: of so many that counted, with so
    /// many still to come.
    fn told(&self, spent: &Sum, (counted, rest): (u64, u64), window: Duration) -> Budget {
        let (parts, fine) = (self.slo.method.parts(), self.fine());
        let (counted, rest) = (counted.saturating_mul(fine), rest.saturating_mul(fine));
        let budget = u128::from(self.slo.objective.budget_ppb());
        let whole = budget * (u128::from(counted) + u128::from(rest));
        let mut bad = spent.of(whole).div_ceil(PPB.into());
        if !spent.exceeds((1, 1)) {
            // Cut up it may not seem to be more than all of it.
            bad = bad.min(whole / u128::from(PPB));
        }
        let bad = u64::try_from(bad).unwrap_or(u64::MAX);
        let events = Counted { good: counted.saturating_sub(bad), bad };
        let spending = Spending { counted: events, allowed_ppb: budget * u128::from(counted) };
        let told = Budget::of(spending, self.slo.objective, window);
        told.with_rest(rest).in_parts(parts * fine)
    }

    /// What `[at - length, at)` comes to, with so many events of each part still to come in a
    /// window of this length.
    pub fn account(&self, length: Duration, rests: &[u64], window: Duration) -> Account {
        let looks = self.looks(length);
        let spent = self.spent(&looks, rests);
        let is_spent = spent.exceeds((1, 1));
        let is_safe = || !self.spent_at_worst(&looks, rests).exceeds((1, 1));
        let goes_on = rests.iter().any(|rest| *rest > 0);
        let counts = looks.iter().map(|look| look.counted().total());
        // The part with most events says how fine the whole is told.
        let (events, rest) = counts
            .clone()
            .zip(rests.iter().copied())
            .max_by_key(|(events, rest)| events.saturating_add(*rest))
            .unwrap_or_default();
        // One part of which nothing is known leaves the whole open, unless the others settle it.
        let is_known = counts.sum::<u64>() > 0 && !looks.iter().any(Look::is_blind);
        let coverage = self.coverage(&looks);
        let accounting = match (is_spent, goes_on) {
            (true, true) => Accounting::Lost,
            (true, false) => Accounting::Spent,
            (false, _) if !is_known || !covers(self.slo, coverage) => Accounting::NoData,
            (false, true) if is_safe() => Accounting::Safe,
            (false, _) => Accounting::WithinBudget,
        };
        let told = if is_known || is_spent { (events, rest) } else { (0, 0) };
        let [worst, best] = [UnknownPolicy::Bad, UnknownPolicy::Good]
            .map(|unknown| self.spent_if_unknown_was(unknown, &looks));
        let expected = looks.iter().map(|look| look.tally.expected()).max().unwrap_or_default();
        Account {
            tally: self.tally(&looks, length),
            bounds: [&worst, &best].map(|spent| self.told(spent, (expected, 0), window).counted),
            budget: self.told(&spent, told, window),
            accounting,
            coverage,
            withstands: !worst.exceeds((1, 1)),
        }
    }

    /// What so many bad events of one part cost, in the parts in which this budget is told: that
    /// of `[at - length, at)` with so many events of each part still to come.
    pub fn cost(
        &self,
        (part, bad): (usize, u64),
        (length, rests): (Duration, &[u64]),
        budget: &Budget,
    ) -> u64 {
        let of = &self.parts[part];
        let look = Look::back(&of.moment, &of.slo, length);
        let allowed = look.spending().allowed_ppb.saturating_add(of.to_come(rests[part]));
        let mut sum = Sum::default();
        sum.add((of.weighed(bad), 1), (allowed, 1));
        let share = u128::from(budget.objective.budget_ppb());
        let whole = share * u128::from(budget.counted.total().saturating_add(budget.rest));
        u64::try_from(sum.of(whole).div_ceil(PPB.into())).unwrap_or(u64::MAX)
    }

    fn coverage(&self, looks: &[Look]) -> Coverage {
        let of = |(part, look): (&Part<'_>, &Look)| part.moment.coverage(look, &part.slo);
        let less = |a: &Coverage, b: &Coverage| {
            cmp_products(a.numerator, b.denominator, b.numerator, a.denominator)
        };
        self.parts.iter().zip(looks).map(of).min_by(less).unwrap_or(Coverage::NONE)
    }

    /// Judges one pair of the policy, as [`super::judge_pair`] does for one SLO.
    pub fn judge_pair(&self, pair: &Pair, policy: &AlertPolicy) -> PairVerdict {
        let now = self.judge_now(pair, policy);
        let held = |back| {
            let then = self.then(self.at.minus(Duration::from_secs(back)));
            then.judge_now(pair, policy).fires
        };
        let fires = now.fires && (1..=pair.hold.as_secs()).rev().all(held);
        PairVerdict { fires, ..now }
    }

    fn judge_now(&self, pair: &Pair, policy: &AlertPolicy) -> PairVerdict {
        let (long, short) = (self.looks(pair.long), self.looks(pair.short));
        // What one part did is not known, so it can neither begin an alert nor end it.
        let blind = short.iter().any(Look::is_blind);
        if long.iter().all(|look| look.counted().bad == 0) {
            return PairVerdict { significant: false, fires: false, blind };
        }
        let threshold = pair.burn_threshold(self.slo.window.period(self.at).length());
        let significant = self.certain(&long).exceeds(threshold);
        let short_threshold = match policy.short_threshold {
            ShortThreshold::Same => threshold,
            ShortThreshold::One => (1, 1),
        };
        let bad = short.iter().fold(0_u64, |bad, look| bad.saturating_add(look.counted().bad));
        let goes_on = bad >= policy.min_bad.saturating_mul(self.slo.method.parts())
            && self.burn(&short).exceeds(short_threshold);
        let fires = significant && goes_on;
        PairVerdict { significant, fires, blind: blind && !fires }
    }

    /// Whether each pair fires, given whether it did at the tick before.
    pub fn firing_pairs(&self, before: &[bool]) -> Vec<bool> {
        let Some(policy) = &self.slo.policy else { return Vec::new() };
        let judge = |(n, pair)| {
            let verdict = self.judge_pair(pair, policy);
            if verdict.blind { before.get(n).copied().unwrap_or(false) } else { verdict.fires }
        };
        policy.pairs.iter().enumerate().map(judge).collect()
    }

    /// Whether more than the whole budget is spent, and enough was seen to say so.
    pub fn is_exhausted(&self) -> bool {
        let period = self.slo.window.period(self.at);
        let looks = self.looks(self.at.since(period.start));
        match self.slo.window.calendar() {
            Some(_) => self.spent(&looks, &self.rests(period)).exceeds((1, 1)),
            None => self.certain(&looks).exceeds((1, 1)),
        }
    }

    /// Evaluates everything. `pairs` says which pairs fire.
    pub fn evaluate(&self, pairs: Vec<bool>) -> SloStatus {
        let period = self.slo.window.period(self.at);
        let length = self.at.since(period.start);
        let rests = self.rests(period);
        let account = self.account(length, &rests, period.length());
        let windows = self.slo.policy.as_ref().map(|policy| policy.windows()).unwrap_or_default();
        let (exhaustion, exhaustion_latest) = self.exhaustion(&account, &rests, period);
        let (evidence, proof) = self.proof(&account);
        let total = |part: &Part<'_>| part.moment.before;
        let sum = || self.parts.iter().map(total).sum();
        let totals: Tally = self.whole.map_or_else(sum, |whole| whole.before(self.at));
        SloStatus {
            at: self.at,
            period,
            tally: account.tally,
            totals: totals.times(self.fine()),
            bounds: account.bounds,
            budget: account.budget,
            coverage: account.coverage,
            burns: windows.into_iter().map(|window| self.burn_over(window)).collect(),
            exhaustion,
            exhaustion_latest,
            accounting: account.accounting,
            evidence,
            proof,
            pairs,
            corrected: false,
        }
    }

    fn burn_over(&self, window: Duration) -> Burn {
        let looks = self.looks(window);
        let most = looks.iter().map(|look| look.counted().total()).max().unwrap_or_default();
        let Budget { counted, allowed_ppb, .. } = self.told(&self.burn(&looks), (most, 0), window);
        Burn { window, counted, allowed_ppb }
    }

    /// The share of bad that surely keeps the whole within its budget, wherever it falls: that of
    /// the part of which one bad event costs most. None if that is less than any.
    pub fn surely(&self) -> Option<Objective> {
        let share = |part: &Part<'_>| {
            let budget = u128::from(part.slo.objective.budget_ppb()) * u128::from(PPB);
            budget / u128::from(part.weight.nano())
        };
        let least = self.parts.iter().map(share).min()?.min(u128::from(PPB) - 1);
        Objective::from_ppb(PPB - u32::try_from(least).ok().filter(|least| *least > 0)?)
    }

    /// What evidence rests on: outages of every part add up, and the time that is known is that of
    /// the part of which least is.
    pub fn record(&self) -> evidence::Record {
        let all = |one: evidence::Record, other: evidence::Record| evidence::Record {
            observed: one.observed.min(other.observed),
            outages: one.outages + other.outages,
            outage_time: one.outage_time + other.outage_time,
        };
        self.parts.iter().map(|part| part.record).reduce(all).unwrap_or_default()
    }

    /// What may be claimed.
    fn proof(&self, account: &Account) -> (Evidence, Proof) {
        let record = self.record();
        let (surely, declared) = (self.surely(), self.slo.mean_outage);
        let supports = || surely.is_some_and(|surely| record.supports(surely, declared));
        let evidence = match account.accounting {
            Accounting::Spent | Accounting::Lost => Evidence::Breached,
            Accounting::NoData => Evidence::NotYetProven,
            _ if account.withstands && supports() => Evidence::Met,
            _ => Evidence::NotYetProven,
        };
        let earliest = surely.and_then(|s| record.earliest(s, declared, self.at));
        let since = self.parts.iter().map(|part| part.since).max();
        let proof = Proof {
            since: since.unwrap_or(self.at),
            record,
            supported_ppb: record.supported_ppb(declared),
            assumed_outage: record.mean_outage(declared),
            earliest: earliest.filter(|_| evidence == Evidence::NotYetProven),
        };
        (evidence, proof)
    }

    /// When the common budget will be gone.
    fn exhaustion(
        &self,
        account: &Account,
        rests: &[u64],
        period: Period,
    ) -> (Exhaustion, Exhaustion) {
        let both = |exhaustion| (exhaustion, exhaustion);
        if account.budget.counted.total() == 0 {
            return both(Exhaustion::Unknown);
        }
        if account.accounting.is_missed() {
            return both(Exhaustion::In(Duration::ZERO));
        }
        let Some(policy) = &self.slo.policy else { return both(Exhaustion::Never) };
        let burns = |looks: &[Look]| self.burn(looks).exceeds((1, 1));
        let going_on = |pair: &Pair| {
            let short = self.looks(pair.short);
            (burns(&self.looks(pair.long)) && burns(&short)).then_some(short)
        };
        let rates: Vec<Vec<Look>> = policy.pairs.iter().filter_map(going_on).collect();
        if rates.is_empty() {
            return both(Exhaustion::Never);
        }
        let looks = self.looks(self.at.since(period.start));
        let spender = |n: usize| {
            let part = &self.parts[n];
            let own = Budget::of(looks[n].spending(), part.slo.objective, period.length());
            Spender {
                moment: &part.moment,
                slo: &part.slo,
                budget: own.with_rest(rests[n]),
                weight: part.weight.nano() as f64 / Weight::ONE.nano() as f64,
                rates: rates.iter().map(|looks| looks[n].counted()).collect(),
            }
        };
        let spenders: Vec<Spender<'_>> = (0..self.parts.len()).map(spender).collect();
        forecast::joint(&self.slo.window, &spenders)
    }
}

impl Part<'_> {
    /// Bad parts per billion that are allowed of what is still to come.
    fn to_come(&self, rest: u64) -> u128 {
        u128::from(self.slo.objective.budget_ppb()) * u128::from(rest)
    }
}

/// Whether the slices of the parts of an SLO are taken together, each of them bad once.
pub const fn joins_slices(method: Method) -> bool {
    matches!(method, Method::Timeslices { .. })
}
