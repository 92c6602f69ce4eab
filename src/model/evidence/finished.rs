//! Evidence of a window that is over and is looked at once.
//!
//! The unit is the outage here as well, with the bound for a single look (Poisson, one-sided
//! 95 %), which asks for less than the rule that may be looked at for ever. Beside it stands what
//! single probes would show if they failed independently: the bounds of Clopper and Pearson, and
//! the same after clustering has been taken out.

use std::time::Duration;

use super::{ALPHA, Evidence, Record, tails};
use crate::model::objective::{Objective, PPB};

/// `g(outages)` for one look: how many mean outages' worth of budget must have been observed for
/// so many outages to be rarer than one time in twenty. A twentieth of chi-squared's upper
/// quantile with `2 outages + 2` degrees of freedom, halved.
pub fn units(outages: u64) -> f64 {
    let (mut low, mut high) = (0.0, outages as f64 + 4.0);
    while tails::poisson_at_most(outages, high) > ALPHA {
        (low, high) = (high, high * 2.0);
    }
    // 60 halvings leave a relative error below 2^-53.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if tails::poisson_at_most(outages, middle) > ALPHA { low = middle } else { high = middle }
    }
    high
}

/// The availability that a finished window with this record supports at 95 %, in parts per
/// billion, cut; none without observed time.
pub fn supported_ppb(record: &Record, declared: Duration) -> Option<u32> {
    record.supported_by(units(record.outages), declared)
}

/// What a number of bad probes among `n` shows if probes fail independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zones {
    /// With at most so many bad ones the objective is shown to be met; none if not even a clean
    /// window would show it.
    pub met_at_most: Option<u64>,
    /// From so many bad ones on it is shown to be missed; none if not even all would show it.
    pub breached_at_least: Option<u64>,
}

impl Zones {
    /// The zones of `n` probes under an objective, at 95 % each.
    pub fn of(n: u64, objective: Objective) -> Self {
        let budget = share(objective);
        let middle = (n as f64 * budget).ceil() as u64;
        // How many from 0 on show it; the tail rises with the count.
        let shows_met = |k: u64| tails::at_most(k, n, budget) <= ALPHA;
        let shows_breached = |k: u64| tails::at_least(k, n, budget) <= ALPHA;
        let met = first(0, middle.min(n) + 1, |k| !shows_met(k));
        let breached = first(0, n + 1, shows_breached);
        Zones {
            met_at_most: met.checked_sub(1),
            breached_at_least: (breached <= n).then_some(breached),
        }
    }

    /// The availability from which on a window of these `n` probes shows it nine times in ten;
    /// none if no window does.
    pub fn likely_met_from(&self, n: u64) -> Option<f64> {
        self.met_at_most.map(|most| 1.0 - tails::upper(most, n, 0.9))
    }

    /// What so many bad probes show.
    pub fn evidence(&self, bad: u64) -> Evidence {
        if self.met_at_most.is_some_and(|most| bad <= most) {
            return Evidence::Met;
        }
        match self.breached_at_least.is_some_and(|least| bad >= least) {
            true => Evidence::Breached,
            false => Evidence::NotYetProven,
        }
    }
}

/// The least of `low..high` for which it holds, which it does from somewhere on; else `high`.
fn first(low: u64, high: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// The least number of probes, `bad` of them bad, that shows the objective when it is looked at
/// once, with an error of at most `alpha`.
pub fn probes_needed(bad: u64, objective: Objective, alpha: f64) -> u64 {
    let budget = share(objective);
    let shows = |n: &u64| tails::at_most(bad, *n, budget) <= alpha;
    let enough = std::iter::successors(Some(bad + 2), |n| n.checked_mul(2)).find(shows);
    first(bad + 1, enough.unwrap_or(u64::MAX), |n| shows(&n))
}

/// The availability that counts show, from the worst to the best that 95 % leave open, in parts
/// per billion: both cut.
pub fn interval_ppb(bad: u64, n: u64) -> Option<(u32, u32)> {
    let ppb = |lost: f64| ((1.0 - lost) * f64::from(PPB)).clamp(0.0, f64::from(PPB)) as u32;
    (n > 0).then(|| (ppb(tails::upper(bad, n, ALPHA)), ppb(tails::lower(bad, n, ALPHA))))
}

/// How many bad probes an outage has, weighted by itself: by this factor runs of failures make
/// probes say less than independent ones would (the design effect). At least 1.
///
/// `runs` are the lengths of the runs of failures, in probes.
pub fn clustering(runs: impl Iterator<Item = u64>) -> f64 {
    let (squares, sum) = runs.fold((0.0, 0.0), |(squares, sum), run| {
        let run = run as f64;
        (squares + run * run, sum + run)
    });
    if sum > 0.0 { (squares / sum).max(1.0) } else { 1.0 }
}

/// Counts that say as much as these do, if they were independent: fewer by the factor, rounded
/// toward saying less well of the service.
pub fn effective(bad: u64, n: u64, clustering: f64) -> (u64, u64) {
    let scaled = |count: u64| count as f64 / clustering;
    (scaled(bad).ceil() as u64, scaled(n).floor() as u64)
}

fn share(objective: Objective) -> f64 {
    f64::from(objective.budget_ppb()) / f64::from(PPB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::evidence::DECLARED_OUTAGE;

    fn objective(text: &str) -> Objective {
        text.parse().expect(text)
    }

    #[test]
    fn probes_needed_are_the_published_ones() {
        let check = |text: &str, alpha, expect: &[u64]| {
            for (bad, n) in expect.iter().enumerate() {
                let needed = probes_needed(bad as u64, objective(text), alpha);
                assert_eq!(needed, *n, "{bad} bad at {text}, {alpha}");
            }
        };
        check("99%", 0.05, &[299, 473, 628, 773, 913, 1_049]);
        check("99.5%", 0.05, &[598, 947, 1_258, 1_549, 1_829, 2_100]);
        check("99.9%", 0.05, &[2_995, 4_742, 6_294, 7_752, 9_151, 10_511]);
        check("99.95%", 0.05, &[5_990, 9_486, 12_590, 15_505, 18_305, 21_024]);
        check("99.99%", 0.05, &[29_956, 47_437, 62_956, 77_535, 91_533, 105_128]);
        check("99.995%", 0.05, &[59_914, 94_876, 125_914, 155_071, 183_068, 210_258]);
        check("99.999%", 0.05, &[299_572, 474_385, 629_578, 775_364, 915_350, 1_051_301]);
        check("99.9%", 0.1, &[2_302, 3_889, 5_321, 6_679]);
        check("99.999%", 0.1, &[230_258, 388_971, 532_231, 668_077]);
        check("99.9%", 0.01, &[4_603, 6_636, 8_403, 10_042]);
        check("99.999%", 0.01, &[460_515, 663_833, 840_592, 1_004_509]);
        check("99.9%", 0.025, &[3_688, 5_570, 7_223, 8_765]);
        check("99.99%", 0.025, &[36_887, 55_715, 72_245, 87_670]);
        check("99.999%", 0.025, &[368_887, 557_163, 722_467, 876_725]);
    }

    #[test]
    fn zones_of_a_month_are_the_published_ones() {
        let check = |text: &str, n, met: Option<u64>, breached, likely: f64| {
            let zones = Zones::of(n, objective(text));
            let expect = Zones { met_at_most: met, breached_at_least: Some(breached) };
            assert_eq!(zones, expect, "{text} of {n}");
            assert_eq!(zones.likely_met_from(n).is_some(), met.is_some());
            if let Some(share) = zones.likely_met_from(n) {
                let share = share * 100.0;
                assert!((share - likely).abs() < 1e-5, "{text} of {n}: {share}, not {likely}");
            }
        };
        check("99.9%", 2_592_000, Some(2_508), 2_677, 99.905_67);
        check("99.9%", 259_200, Some(232), 287, 99.917_57);
        check("99.9%", 86_400, Some(70), 103, 99.930_04);
        check("99.9%", 43_200, Some(32), 55, 99.940_08);
        check("99.95%", 259_200, Some(110), 150, 99.962_29);
        check("99.99%", 2_592_000, Some(232), 287, 99.991_76);
        check("99.99%", 259_200, Some(17), 36, 99.995_05);
        check("99.99%", 43_200, Some(0), 9, 99.999_76);
        check("99.999%", 2_592_000, Some(17), 36, 99.999_51);
        check("99.999%", 518_400, Some(1), 10, 99.999_90);
        check("99.999%", 259_200, None, 6, 0.0);
        assert_eq!(Zones::of(3, objective("50%")).breached_at_least, None);
        assert_eq!(Zones::of(0, objective("50%")).evidence(0), Evidence::NotYetProven);
    }

    #[test]
    fn units_of_one_look_are_those_of_chi_squared() {
        for (outages, expect) in [2.9957, 4.7439, 6.2958, 7.7537, 9.1535, 10.513].iter().enumerate()
        {
            let g = units(outages as u64);
            assert!((g - expect).abs() < 6e-5, "g({outages}) = {g}, not {expect}");
        }
        assert!((units(100_000) - 100_522.0).abs() < 2.0, "{}", units(100_000));
    }

    #[test]
    fn clean_time_supports_what_the_published_table_says() {
        let check = |days: u64, outage: u64, expect: &str| {
            let observed = Duration::from_secs(days * 86_400);
            let record = Record { observed, ..Record::default() };
            let ppb = supported_ppb(&record, Duration::from_secs(outage)).expect("observed");
            // The table is rounded, the answer cut.
            let text = format!("{:.5}", (f64::from(ppb) + 0.5) / 1e7);
            assert_eq!(text, expect, "{days} d, {outage} s");
        };
        for (outage, expect) in [
            (10, "99.99884"),
            (26, "99.99700"),
            (60, "99.99307"),
            (300, "99.96533"),
            (1_200, "99.86131"),
            (3_600, "99.58393"),
        ] {
            check(30, outage, expect);
        }
        for (outage, expect) in [
            (10, "99.99991"),
            (26, "99.99975"),
            (60, "99.99943"),
            (300, "99.99715"),
            (1_200, "99.98860"),
            (3_600, "99.96580"),
        ] {
            check(365, outage, expect);
        }
        assert_eq!(supported_ppb(&Record::default(), DECLARED_OUTAGE), None);
    }

    #[test]
    fn failures_in_runs_say_less_than_single_ones() {
        assert_eq!(clustering([1, 1, 1].into_iter()), 1.0);
        assert_eq!(clustering([30, 30].into_iter()), 30.0);
        assert_eq!(clustering(std::iter::empty()), 1.0);
        // Runs of geometric length with mean m: (1 + r) / (1 - r) with r = 1 - 1/m, nearly 2m - 1.
        let mean = 30_u64;
        let runs = (1..2_000_u64).flat_map(|length| {
            let share = (1.0 - 1.0 / mean as f64).powi(length as i32 - 1) / mean as f64;
            std::iter::repeat_n(length, (share * 1e6).round() as usize)
        });
        let design_effect = clustering(runs);
        assert!((design_effect - 59.0).abs() < 0.1, "{design_effect}");
        assert_eq!(effective(100, 259_200, 59.0), (2, 4_393));
    }

    /// P(X <= most) where outages come at random and last a geometric number of probes, so many
    /// on average, and `bad` probes are expected to fail in all: Panjer's recursion.
    fn clustered_at_most(most: usize, bad: f64, mean: f64) -> f64 {
        let (rate, end) = (bad / mean, 1.0 / mean);
        let length = |n: usize| end * (1.0 - end).powi(n as i32 - 1);
        let mut masses = vec![(-rate).exp()];
        for n in 1..=most {
            let terms = (1..=n).map(|k| k as f64 * length(k) * masses[n - k]);
            masses.push(rate / n as f64 * terms.sum::<f64>());
        }
        masses.iter().sum()
    }

    #[test]
    fn single_probes_prove_what_is_not_so_where_failures_come_in_outages() {
        // A month of probes every 10 s, availability exactly at the objective, mean outages in
        // probes: how often probes taken one by one would prove it, in place of once in twenty.
        for (text, bad, mean, expect) in [
            ("99.9%", 259.2, 1.0, 0.05),
            ("99.9%", 259.2, 6.0, 0.328),
            ("99.9%", 259.2, 30.0, 0.451),
            ("99.9%", 259.2, 120.0, 0.567),
            ("99.99%", 25.92, 30.0, 0.603),
        ] {
            let most = Zones::of(259_200, objective(text)).met_at_most.expect("some");
            let got = clustered_at_most(most as usize, bad, mean);
            // Published from 4,000 simulated months.
            assert!((got - expect).abs() < 0.02, "{text} {mean}: {got}, not {expect}");
        }
        assert!((clustered_at_most(0, 259.2, 120.0) - 0.117).abs() < 0.01);
        assert!((clustered_at_most(0, 25.92, 30.0) - 0.426).abs() < 0.01);
    }

    #[test]
    fn bad_probes_leave_an_interval_open() {
        assert_eq!(interval_ppb(0, 0), None);
        let (worst, best) = interval_ppb(0, 259_200).expect("counted");
        assert_eq!((worst, best), (999_988_442, PPB));
        let (worst, best) = interval_ppb(26, 259_200).expect("counted");
        assert_eq!(worst, 999_860_818);
        assert!(best > 999_899_691 && best < PPB);
    }
}
