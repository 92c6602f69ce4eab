//! The error budget of a window: what was allowed, what was spent, what is left. All integers.

use std::cmp::Ordering;
use std::ops::Add;
use std::time::Duration;

use super::catalog::UnknownPolicy;
use super::decimal::{self, cmp_products};
use super::number;
use super::objective::{Objective, PPB};
use super::tally::Tally;

/// Slots that count, after unknown time has been put where the SLO's policy puts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Good slots.
    pub good: u64,
    /// Bad slots.
    pub bad: u64,
}

impl Counted {
    /// What of a tally counts under this policy.
    pub const fn of(tally: Tally, unknown: UnknownPolicy) -> Self {
        let (mut good, mut bad) = (tally.good, tally.bad);
        match unknown {
            UnknownPolicy::Exclude => {}
            UnknownPolicy::Bad => bad = bad.saturating_add(tally.unknown),
            UnknownPolicy::Good => good = good.saturating_add(tally.unknown),
        }
        Counted { good, bad }
    }

    /// What would count if all that is unknown was bad, and if all of it was good: what was
    /// measured lies between the two.
    pub const fn bounds(tally: Tally) -> [Counted; 2] {
        [Counted::of(tally, UnknownPolicy::Bad), Counted::of(tally, UnknownPolicy::Good)]
    }

    /// good + bad.
    pub const fn total(self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    /// good / total as decimal text, cut; none without events.
    pub fn sli(self) -> Option<String> {
        decimal::ratio(self.good.into(), self.total().into())
    }

    /// Whether the bad share is strictly above `numerator / denominator` times the budget ratio
    /// of the objective. Exact: equality is not above.
    pub fn burns_above(self, objective: Objective, threshold: (u128, u128)) -> bool {
        Spending::of(self, objective).burns_above(threshold)
    }
}

impl Add for Counted {
    type Output = Counted;

    fn add(self, other: Counted) -> Counted {
        Counted {
            good: self.good.saturating_add(other.good),
            bad: self.bad.saturating_add(other.bad),
        }
    }
}

/// What counted, and how much of it the objective allowed to be bad. Adds up over stretches of
/// time with different objectives: each event is held to the objective that was in force when
/// it was due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// What counted.
    pub counted: Counted,
    /// Bad parts per billion of all events that were allowed: the sum of the budget ratio over
    /// the events, times 10^9.
    pub allowed_ppb: u128,
}

impl Spending {
    /// Events that are all held to one objective.
    pub fn of(counted: Counted, objective: Objective) -> Self {
        let allowed_ppb = u128::from(objective.budget_ppb()) * u128::from(counted.total());
        Spending { counted, allowed_ppb }
    }

    /// Whether strictly more than `numerator / denominator` times what was allowed is bad.
    /// Exact: equality is not above.
    pub fn burns_above(self, (numerator, denominator): (u128, u128)) -> bool {
        let ordering = cmp_products(self.bad_ppb(), denominator, self.allowed_ppb, numerator);
        ordering == Ordering::Greater
    }

    /// The burn rate, bad over allowed, as an exact fraction; none without events.
    pub fn burn(self) -> Option<(u128, u128)> {
        (self.allowed_ppb > 0).then(|| (self.bad_ppb(), self.allowed_ppb))
    }

    /// Bad parts per billion of all events that happened.
    fn bad_ppb(self) -> u128 {
        u128::from(self.counted.bad) * u128::from(PPB)
    }
}

impl Add for Spending {
    type Output = Spending;

    fn add(self, other: Spending) -> Spending {
        Spending {
            counted: self.counted + other.counted,
            allowed_ppb: self.allowed_ppb.saturating_add(other.allowed_ppb),
        }
    }
}

/// An error budget over a window of known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What counted in the window.
    pub counted: Counted,
    /// Bad parts per billion of all events that were allowed, each by the objective that was in
    /// force when it was due: the budget in events times 10^9.
    pub allowed_ppb: u128,
    /// What is promised now.
    pub objective: Objective,
    /// How long the window is: for a calendar, all of its present period.
    pub window: Duration,
    /// Events that are still to come in the window, for a calendar; else 0.
    pub rest: u64,
    /// How much one event counts in all of these: 1, or the parts of a slice that counts by its
    /// ratio.
    pub parts: u64,
}

impl Budget {
    /// The budget of a window that one objective was in force for.
    pub fn new(counted: Counted, objective: Objective, window: Duration) -> Self {
        Budget::of(Spending::of(counted, objective), objective, window)
    }

    /// The budget of a window in which the objective may have changed; `objective` is the last.
    pub const fn of(spending: Spending, objective: Objective, window: Duration) -> Self {
        let Spending { counted, allowed_ppb } = spending;
        Budget { counted, allowed_ppb, objective, window, rest: 0, parts: 1 }
    }

    /// What counted and what was allowed.
    pub const fn spending(&self) -> Spending {
        Spending { counted: self.counted, allowed_ppb: self.allowed_ppb }
    }

    /// The same where as many events are still to come: the budget is that of the whole window.
    pub const fn with_rest(self, rest: u64) -> Self {
        Budget { rest, ..self }
    }

    /// The same where each event counts so many parts.
    pub const fn in_parts(self, parts: u64) -> Self {
        Budget { parts, ..self }
    }

    /// How many events are bad, as decimal text, cut up: a part of a slice is none of it.
    pub fn bad_events(&self) -> String {
        self.events(self.counted.bad)
    }

    /// How many events this many parts are, as decimal text, cut up.
    pub fn events(&self, parts: u64) -> String {
        let text = decimal::ratio(-i128::from(parts), self.parts.into());
        text.map(|text| text.replacen('-', "", 1)).unwrap_or_default()
    }

    /// Events of the window, those to come included.
    const fn total(&self) -> u64 {
        self.counted.total().saturating_add(self.rest)
    }

    /// Bad parts per billion that are allowed in the whole window: what is to come is held to
    /// what is promised now.
    fn allowed(&self) -> u128 {
        let rest = u128::from(self.objective.budget_ppb()) * u128::from(self.rest);
        self.allowed_ppb.saturating_add(rest)
    }

    /// Bad parts per billion of all events that happened.
    fn spent_ppb(&self) -> u128 {
        self.spending().bad_ppb()
    }

    /// Whether more than the whole budget is spent. Spending exactly all of it is not more.
    pub fn is_spent(&self) -> bool {
        self.spent_ppb() > self.allowed()
    }

    /// Whether even a rest in which every event is bad leaves the objective met.
    pub fn is_safe(&self) -> bool {
        let worst = u128::from(self.counted.bad.saturating_add(self.rest)) * u128::from(PPB);
        self.rest > 0 && worst <= self.allowed()
    }

    /// How many bad events the window allows, as decimal text, cut.
    pub fn total_events(&self) -> String {
        let whole = u128::from(PPB) * u128::from(self.parts.max(1));
        decimal::ratio(self.allowed() as i128, whole).unwrap_or_default()
    }

    /// Spent over total, as decimal text, cut; none without events.
    pub fn spent_ratio(&self) -> Option<String> {
        decimal::ratio(self.spent_ppb() as i128, self.allowed())
    }

    /// Left over total, as decimal text, cut toward worse; negative once overspent; none without
    /// events.
    pub fn left_ratio(&self) -> Option<String> {
        decimal::ratio(self.left_ppb(), self.allowed())
    }

    /// Left over total as an exact fraction; negative once overspent; none without events.
    pub fn left(&self) -> Option<(i128, u128)> {
        let allowed = self.allowed();
        (allowed > 0).then(|| (self.left_ppb(), allowed))
    }

    /// Left over total for exposition; never above the exact value's neighbourhood and never
    /// exactly 1 once anything is spent.
    pub fn left_ratio_f64(&self) -> Option<f64> {
        let allowed = self.allowed();
        (allowed > 0).then(|| self.left_ppb() as f64 / allowed as f64)
    }

    /// What is left, as seconds of full outage over the window, cut toward worse; negative once
    /// overspent; none without events.
    pub fn left_seconds(&self) -> Option<String> {
        let (numerator, denominator) = self.left_micros()?;
        decimal::ratio(numerator, denominator * 1_000_000)
    }

    /// What is left in seconds, for exposition.
    pub fn left_seconds_f64(&self) -> Option<f64> {
        let (numerator, denominator) = self.left_micros()?;
        Some(numerator as f64 / denominator as f64 / 1e6)
    }

    /// What is left as time of full outage over the window, in microseconds, cut toward worse;
    /// negative once overspent; none without events.
    pub fn left_time(&self) -> Option<i128> {
        let (numerator, denominator) = self.left_micros()?;
        Some(numerator.div_euclid(i128::try_from(denominator).ok()?))
    }

    /// What is left, in words beside the budget itself, both in time.
    pub fn standing(&self) -> String {
        let total = self.total_time();
        match self.left().zip(self.left_time()) {
            Some((left, micros)) => number::budget(left, micros, total),
            None => format!("{} of {} of budget left", number::NO_DATA, number::duration(total)),
        }
    }

    /// The whole budget as time of full outage: (1 - objective) * window, where the objective
    /// is the mean of those in force, weighed by the events of each; the present one without
    /// events.
    pub fn total_time(&self) -> Duration {
        let (window, ppb) = (self.window.as_micros(), u128::from(PPB));
        let total = u128::from(self.total());
        let present = u128::from(self.objective.budget_ppb());
        let micros = match self.allowed() == present * total {
            true => window * present / ppb,
            // Whole parts first: ten years times all that is allowed would not fit.
            false => {
                let (whole, rest) = (self.allowed() / total, self.allowed() % total);
                (window * whole + window * rest / total) / ppb
            }
        };
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// What so many bad events take of the whole budget, as a fraction; the divisor is 0 without
    /// events.
    pub fn cost(&self, bad: u64) -> (u128, u128) {
        (u128::from(bad) * u128::from(PPB), self.allowed())
    }

    /// What so many bad events are worth as time of full outage over the window, cut up; nothing
    /// without events.
    pub fn cost_time(&self, bad: u64) -> Duration {
        let micros = self.window.as_micros().saturating_mul(bad.into());
        let micros = micros.div_ceil(u128::from(self.total().max(1)));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn left_ppb(&self) -> i128 {
        self.allowed() as i128 - self.spent_ppb() as i128
    }

    /// Microseconds left as a fraction: window * (budget ratio - bad / total).
    fn left_micros(&self) -> Option<(i128, u128)> {
        let total = u128::from(self.total());
        let window = i128::try_from(self.window.as_micros()).ok()?;
        // Dividing by 10^9 early would lose exactness; ten years in microseconds times 2^64
        // parts per billion would not fit, so the product is reduced by what both share.
        let divisor = decimal::gcd(self.window.as_micros(), u128::from(PPB)).max(1);
        let numerator = self.left_ppb().checked_mul(window / divisor as i128)?;
        (total > 0).then_some((numerator, total * (u128::from(PPB) / divisor)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(good: u64, bad: u64, objective: &str, days: u64) -> Budget {
        let objective = objective.parse().expect("valid");
        Budget::new(Counted { good, bad }, objective, Duration::from_secs(days * 86_400))
    }

    #[test]
    fn a_budget_is_exact_to_the_last_digit() {
        let b = budget(2_591_400, 600, "99.9%", 30);
        assert_eq!(b.counted.sli().as_deref(), Some("0.999768518"));
        assert_eq!(b.total_events(), "2592");
        assert_eq!(b.spent_ratio().as_deref(), Some("0.231481481"));
        assert_eq!(b.left_ratio().as_deref(), Some("0.768518518"));
        assert_eq!(b.left_seconds().as_deref(), Some("1992"));
        assert!(!b.is_spent());
    }

    #[test]
    fn spending_exactly_the_budget_is_not_overspending_it() {
        assert!(!budget(999, 1, "99.9%", 30).is_spent());
        assert!(budget(998, 1, "99.9%", 30).is_spent());
        assert_eq!(budget(0, 10, "99.9%", 30).left_ratio().as_deref(), Some("-999"));
    }

    #[test]
    fn budgets_in_seconds_follow_the_window() {
        let check = |objective, days, ms| {
            let b = budget(1, 0, objective, days);
            assert_eq!(b.total_time(), Duration::from_millis(ms), "{objective} {days} d");
        };
        check("99.999%", 30, 25_920);
        check("99.999%", 28, 24_192);
        check("99.95%", 7, 302_400);
        check("99%", 365, 315_360_000);
        check("99.995%", 1, 4_320);
    }

    #[test]
    fn a_budget_with_a_rest_is_that_of_the_whole_window() {
        // 2,592 of 2,592,000 may be bad; a third of the month has passed.
        let month = |bad: u64, rest| budget(864_000 - bad, bad, "99.9%", 30).with_rest(rest);
        let third = month(600, 1_728_000);
        assert_eq!(third.total_events(), "2592");
        assert_eq!(
            (third.left_ratio().as_deref(), third.left_seconds().as_deref()),
            (Some("0.768518518"), Some("1992"))
        );
        assert!(!month(2_592, 1_728_000).is_spent());
        assert!(month(2_593, 1_728_000).is_spent());
        // Safe once the rest is no more than what is left.
        assert!(!third.is_safe());
        let end = |rest| budget(2_591_400 - rest, 600, "99.9%", 30).with_rest(rest);
        assert!(end(1_992).is_safe() && !end(1_993).is_safe());
        assert!(!end(0).is_safe(), "without a rest there is nothing to be safe from");
    }

    #[test]
    fn a_budget_is_the_sum_of_what_each_objective_allowed() {
        // 1,000,000 events at 99.9 % and 3,000,000 at 99 %: 1,000 + 30,000 may be bad.
        let tight = budget(999_900, 100, "99.9%", 30).spending();
        let loose = budget(2_990_000, 10_000, "99%", 30).spending();
        let objective = "99%".parse().expect("valid");
        let both = Budget::of(tight + loose, objective, Duration::from_secs(30 * 86_400));
        assert_eq!(both.total_events(), "31000");
        assert_eq!(both.spent_ratio().as_deref(), Some("0.325806451"));
        // 31,000 of 4,000,000 of 30 d.
        assert_eq!(both.total_time(), Duration::from_secs(20_088));
        assert_eq!(both.left_seconds().as_deref(), Some("13543.2"));
        assert!(both.spending().burns_above((10_099, 31_000)));
        assert!(!both.spending().burns_above((10_100, 31_000)), "equality is not above");
        assert_eq!(both.spending().burn(), Some((10_100 * 1_000_000_000, 31_000 * 1_000_000_000)));
    }

    #[test]
    fn nothing_counted_has_no_ratio() {
        let b = budget(0, 0, "99.9%", 30);
        assert_eq!((b.spent_ratio(), b.left_ratio(), b.left_seconds()), (None, None, None));
        assert!(!b.is_spent());
    }

    #[test]
    fn unknown_slots_count_as_the_policy_says() {
        let tally = Tally { good: 10, bad: 1, unknown: 5, excluded: 3 };
        let check =
            |policy, good, bad| assert_eq!(Counted::of(tally, policy), Counted { good, bad });
        check(UnknownPolicy::Exclude, 10, 1);
        check(UnknownPolicy::Bad, 10, 6);
        check(UnknownPolicy::Good, 15, 1);
    }
}
