//! What other rules make of single probes: the bounds of Wilson and of Jeffreys.
//!
//! Both ask for fewer probes than Clopper and Pearson and are wrong more often than they say where
//! it matters, at few failures. They are here to be compared with what others print; nothing is
//! claimed by them.

use super::ALPHA;
use super::peeking::ln_beta_half;

/// The quantile of the normal distribution that 95 % lie below.
const Z: f64 = 1.644_853_626_951_472_2;

/// The greatest failure probability that `bad` of `n` probes leave open by Wilson, one-sided
/// 95 %; 1 without probes.
pub fn wilson(bad: u64, n: u64) -> f64 {
    if n == 0 {
        return 1.0;
    }
    let (all, square) = (n as f64, Z * Z);
    let share = bad as f64 / all;
    let spread = (share * (1.0 - share) / all + square / (4.0 * all * all)).sqrt();
    ((share + square / (2.0 * all) + Z * spread) / (1.0 + square / all)).min(1.0)
}

/// The same by Jeffreys: the quantile of Beta(bad + 1/2, n - bad + 1/2).
pub fn jeffreys(bad: u64, n: u64) -> f64 {
    let bad = bad.min(n);
    let (mut low, mut high) = (0.0, 1.0);
    // 60 halvings leave less than the last digit of any share.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if below(bad, n, middle) < 1.0 - ALPHA { low = middle } else { high = middle }
    }
    high
}

/// How many good probes in a row show a budget by each: Wilson, Jeffreys.
pub fn clean_probes(budget: f64) -> (u64, u64) {
    let wilson = (Z * Z * (1.0 - budget) / budget).ceil() as u64;
    let (mut low, mut high) = (0, (3.0 / budget).ceil() as u64);
    while low < high {
        let middle = low + (high - low) / 2;
        if jeffreys_shows(middle, budget) { high = middle } else { low = middle + 1 }
    }
    (wilson, low)
}

fn jeffreys_shows(n: u64, budget: f64) -> bool {
    below(0, n, budget) >= 1.0 - ALPHA
}

/// The regularised incomplete beta function at `x`, for Beta(bad + 1/2, n - bad + 1/2).
fn below(bad: u64, n: u64, x: f64) -> f64 {
    let (a, b) = (bad as f64 + 0.5, (n - bad) as f64 + 0.5);
    let weight = (a * x.ln() + b * (-x).ln_1p() - ln_beta_half(a - 0.5, b - 0.5)).exp();
    // From the side where the fraction converges soon.
    match x < (a + 1.0) / (a + b + 2.0) {
        true => weight / a * fraction(a, b, x),
        false => 1.0 - weight / b * fraction(b, a, 1.0 - x),
    }
}

/// The continued fraction of the incomplete beta function, by Lentz's method: some multiple of the
/// root of the larger parameter in steps.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    /// Beyond what counts of 10^9 take.
    const MAX_STEPS: u32 = 200_000;
    /// In place of zero.
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut above = 1.0;
    let mut below = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut product = below;
    for step in 1..MAX_STEPS {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut last = 1.0;
        for part in [even, odd] {
            below = 1.0 / away(1.0 + part * below);
            above = away(1.0 + part / above);
            last = below * above;
            product *= last;
        }
        if (last - 1.0).abs() < 1e-15 {
            break;
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_the_published_ones() {
        let check = |bad, by_wilson: f64, by_jeffreys: f64| {
            for (got, expect) in
                [(wilson(bad, 259_200), by_wilson), (jeffreys(bad, 259_200), by_jeffreys)]
            {
                assert!((got / expect - 1.0).abs() < 6e-6, "{bad}: {got}, not {expect}");
            }
        };
        check(0, 1.043_79e-5, 7.410_19e-6);
        check(3, 2.896_03e-5, 2.713_55e-5);
        check(26, 1.383_01e-4, 1.369_45e-4);
        assert_eq!(clean_probes(1e-3), (2_703, 1_920));
    }

    #[test]
    fn bounds_of_any_counts_are_shares() {
        for (bad, n) in [(0, 1), (1, 1), (5, 10), (999_999, 1_000_000), (1 << 30, 1 << 31)] {
            let both = [wilson(bad, n), jeffreys(bad, n)];
            assert!(both.iter().all(|bound| (0.0..=1.0).contains(bound)), "{bad} {n}: {both:?}");
        }
        // Beta(1/2, 1/2) is the arcsine law.
        let half = std::f64::consts::FRAC_PI_2;
        assert!((jeffreys(0, 0) - (0.95 * half).sin().powi(2)).abs() < 1e-12);
        assert_eq!(wilson(0, 0), 1.0);
    }
}
