//! What may be claimed about a service, beside what was counted.
//!
//! This file has the rule of a daemon that looks all the time; `finished` has that of a window
//! that is over, `bands` the bounds that others use, `peeking` what single probes show, `survival`
//! what outages to come leave of a budget, `tails` the distributions. The unit of evidence is the
//! outage, because failures come in outages and not one by one. Outages are taken as a Poisson
//! process, their mean length is declared (and raised to the observed mean); both
//! assumptions are printed beside every verdict. The rule may be looked at as often as one likes:
//! it is the Poisson limit of a test martingale with a Beta(1/2, 1/2) prior cut at the budget
//! (Ville's inequality), so peeking does not inflate its error.

pub mod bands;
pub mod finished;
pub mod peeking;
pub mod survival;
pub mod tails;

use std::sync::OnceLock;
use std::time::Duration;

use super::objective::{Objective, PPB};
use super::time::Timestamp;

/// What may be claimed about a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// The objective is supported at 95 % confidence, and the budget is not spent.
    Met,
    /// The budget is spent.
    Breached,
    /// Neither.
    NotYetProven,
}

impl Evidence {
    /// Every state, in the order in which metrics list them.
    pub const ALL: [Evidence; 3] = [Evidence::Met, Evidence::Breached, Evidence::NotYetProven];

    /// The words used everywhere.
    pub const fn words(self) -> &'static str {
        match self {
            Evidence::Met => "met",
            Evidence::Breached => "breached",
            Evidence::NotYetProven => "not yet proven",
        }
    }
}

/// Mean outage length that is assumed until a longer one is observed, where an SLO declares none:
/// five minutes.
pub const DECLARED_OUTAGE: Duration = Duration::from_secs(300);

/// The chance of claiming what is not so that every claim allows: confidence is 95 %.
pub const ALPHA: f64 = 0.05;
/// 1 / alpha.
pub const LEVEL: f64 = 20.0;

/// What an epoch has shown so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Known time: slots that were good or bad, times their interval.
    pub observed: Duration,
    /// How many outages began.
    pub outages: u64,
    /// Their total length.
    pub outage_time: Duration,
}

impl Record {
    /// The mean outage length the rule uses: the declared one, or the observed mean if longer.
    pub fn mean_outage(&self, declared: Duration) -> Duration {
        match u32::try_from(self.outages) {
            Ok(n) if n > 0 => declared.max(self.outage_time / n),
            _ => declared,
        }
    }

    /// The availability that this record supports at 95 %, in parts per billion, cut; none
    /// without observed time.
    pub fn supported_ppb(&self, declared: Duration) -> Option<u32> {
        self.supported_by(evidence_units(self.outages), declared)
    }

    /// The same where so many mean outages' worth of budget must have been observed.
    fn supported_by(&self, units: f64, declared: Duration) -> Option<u32> {
        if self.observed.is_zero() {
            return None;
        }
        let mean = self.mean_outage(declared).as_secs_f64();
        let unavailability = units * mean / self.observed.as_secs_f64();
        let ppb = (1.0 - unavailability).clamp(0.0, 1.0) * f64::from(PPB);
        // The unavailability is positive, so this stays below a billion.
        Some((ppb.floor() as u32).min(PPB - 1))
    }

    /// Whether this record supports the objective at 95 %.
    pub fn supports(&self, objective: Objective, declared: Duration) -> bool {
        self.supported_ppb(declared).is_some_and(|ppb| ppb >= objective.ppb())
    }

    /// How much known time it takes, with the outages there were and no other, to support the
    /// objective at 95 %, in whole seconds, cut up; none beyond [`Duration::MAX`].
    pub fn needed(&self, objective: Objective, declared: Duration) -> Option<Duration> {
        let mean = self.mean_outage(declared).as_secs_f64();
        let budget = f64::from(objective.budget_ppb()) / f64::from(PPB);
        let seconds = (evidence_units(self.outages) * mean / budget).ceil();
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// The first moment at which the objective could be supported, if from `now` on all time is
    /// known and nothing fails; `now` if it is supported already.
    pub fn earliest(
        &self,
        objective: Objective,
        declared: Duration,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let needed = self.needed(objective, declared)?;
        Some(now.plus(needed.saturating_sub(self.observed)).ceil_second())
    }

    /// What this record has that an earlier one of the same history had not yet. An outage that
    /// went on in between is one of its own.
    pub fn since(&self, earlier: &Record) -> Record {
        let outage_time = self.outage_time.saturating_sub(earlier.outage_time);
        let begun = self.outages.saturating_sub(earlier.outages);
        Record {
            observed: self.observed.saturating_sub(earlier.observed),
            outages: begun.max(u64::from(!outage_time.is_zero())),
            outage_time,
        }
    }

    /// The chance that no outage begins within `ahead`, given these: outages come as a Poisson
    /// process whose rate is known by them alone (Jeffreys' prior). None without observed time.
    pub fn quiet_chance(&self, ahead: Duration) -> Option<f64> {
        let (observed, ahead) = (self.observed.as_secs_f64(), ahead.as_secs_f64());
        let chance = (observed / (observed + ahead)).powf(self.outages as f64 + 0.5);
        (observed > 0.0).then_some(chance)
    }
}

impl std::ops::Add for Record {
    type Output = Record;

    fn add(self, other: Record) -> Record {
        Record {
            observed: self.observed + other.observed,
            outages: self.outages + other.outages,
            outage_time: self.outage_time + other.outage_time,
        }
    }
}

/// Up to this many outages the number of units is worked out once a process: every SLO asks for
/// it at every tick, and it takes longer than all the rest of an evaluation.
const N_REMEMBERED: usize = 16_384;

static UNITS: [OnceLock<f64>; N_REMEMBERED] = [const { OnceLock::new() }; N_REMEMBERED];

/// `g(outages)`: how many mean outages' worth of budget must have been observed, with this many
/// outages, before the objective is supported at 95 % however often one looks.
///
/// Solves `E(S, x) = 20` for x with `E(S, x) = 1/2 * sum over k >= 0 of
/// x^k / (a (a+1) ... (a+k))`, a = S + 1/2: all terms positive, so E rises with x.
pub fn evidence_units(outages: u64) -> f64 {
    let remembered = usize::try_from(outages).ok().and_then(|n| UNITS.get(n));
    remembered.map_or_else(|| solve(outages), |units| *units.get_or_init(|| solve(outages)))
}

fn solve(outages: u64) -> f64 {
    let (mut low, mut high) = (0.0, 4.0);
    while martingale(outages, high) < LEVEL {
        (low, high) = (high, high * 2.0);
    }
    // 60 halvings leave a relative error below 2^-53.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if martingale(outages, middle) < LEVEL { low = middle } else { high = middle }
    }
    high
}

fn martingale(outages: u64, x: f64) -> f64 {
    let mut factor = outages as f64 + 0.5;
    let mut term = 0.5 / factor;
    let mut sum = term;
    // Terms grow while a + k < x and then fall; the sum is left once it is past the level or
    // the terms no longer matter.
    while sum < LEVEL && (factor < x || term > sum * 1e-16) {
        factor += 1.0;
        term *= x / factor;
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_units_are_those_of_the_anytime_rule() {
        // Howard-style mixture computed independently: 3.788, 6.657, 8.862, 10.828, 12.661, 14.405.
        for (outages, expect) in [3.788, 6.657, 8.862, 10.828, 12.661, 14.405].iter().enumerate() {
            let g = evidence_units(outages as u64);
            assert!((g - expect).abs() < 6e-4, "g({outages}) = {g}, not {expect}");
        }
    }

    #[test]
    fn many_outages_are_answered_in_bounded_time_and_in_order() {
        let g: Vec<_> = [10, 100, 1_000, 100_000].iter().map(|n| evidence_units(*n)).collect();
        assert!(g.windows(2).all(|w| w[0] < w[1]));
        assert!(g[3] > 100_000.0 && g[3] < 102_000.0, "{g:?}");
    }

    #[test]
    fn clean_months_support_less_than_they_measure() {
        let month = Duration::from_secs(30 * 86_400);
        let clean = Record { observed: month, ..Record::default() };
        // 1 - 3.788 * 300 s / 2,592,000 s = 99.9561 %.
        let ppb = clean.supported_ppb(DECLARED_OUTAGE).expect("time was observed");
        assert_eq!(ppb / 1_000, 999_561);
        assert!(clean.supports("99.95%".parse().expect("valid"), DECLARED_OUTAGE));
        assert!(!clean.supports("99.99%".parse().expect("valid"), DECLARED_OUTAGE));
        assert_eq!(Record::default().supported_ppb(DECLARED_OUTAGE), None);
    }

    #[test]
    fn the_date_of_proof_is_as_far_as_time_is_missing() {
        let day = Duration::from_secs(86_400);
        let record = Record { observed: day * 30, ..Record::default() };
        let (objective, now) = ("99.99%".parse().expect("valid"), Timestamp::from_secs(0));
        // 3.788 * 300 s / 0.0001 = 131.5 d in all, 101.5 d of them missing.
        let needed = record.needed(objective, DECLARED_OUTAGE).expect("in reach");
        assert_eq!(needed.as_secs() / 8_640, 1_315);
        let earliest = record.earliest(objective, DECLARED_OUTAGE, now).expect("in reach");
        assert_eq!(earliest.since(now), needed - day * 30);
        let proven = Record { observed: needed, ..record };
        assert!(proven.supports(objective, DECLARED_OUTAGE));
        assert_eq!(proven.earliest(objective, DECLARED_OUTAGE, now), Some(now));
        let short = Record { observed: needed - Duration::from_secs(1), ..record };
        assert!(!short.supports(objective, DECLARED_OUTAGE));
    }

    #[test]
    fn the_chance_of_quiet_follows_from_what_was_seen() {
        let days = |n: u64| Duration::from_secs(n * 86_400);
        let check = |outages, ahead, expect: f64| {
            let record = Record { observed: days(30), outages, ..Record::default() };
            let chance = record.quiet_chance(days(ahead)).expect("observed");
            assert!((chance - expect).abs() < 5e-6, "{chance}, not {expect}");
        };
        check(2, 10, 0.487_14);
        // 0.70711, the square root of a half.
        check(0, 30, std::f64::consts::FRAC_1_SQRT_2);
        assert_eq!(Record::default().quiet_chance(days(1)), None);
    }

    #[test]
    fn a_longer_observed_outage_raises_the_assumption() {
        let record = Record {
            observed: Duration::from_secs(86_400 * 30),
            outages: 2,
            outage_time: Duration::from_secs(2_400),
        };
        assert_eq!(record.mean_outage(DECLARED_OUTAGE), Duration::from_secs(1_200));
    }
}
