//! Tails of the binomial and the Poisson distribution, and the exact bounds that come of them.
//!
//! A tail is the probability of its largest term times a sum of ratios, all positive, so nothing
//! cancels: relative errors stay near 1e-12 up to 10^9 probes. The term itself is taken by its
//! distance from the mean (C. Loader, "Fast and accurate computation of binomial probabilities",
//! 2000) and not as a difference of log-gammas. Bounded: a sum ends after some multiple of the
//! standard deviation, a root after a fixed number of halvings.

use std::f64::consts::TAU;

/// Halvings of an interval within [0, 1] until its ends are neighbours as numbers, or nearly.
const HALVINGS: usize = 120;

/// P(X <= k) of n trials that each fail with probability p, 0 < p < 1.
pub fn at_most(k: u64, n: u64, p: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    if k as f64 >= n as f64 * p {
        return 1.0 - at_least(k + 1, n, p);
    }
    let (odds, mut term, mut sum) = ((1.0 - p) / p, mass(k, n, p), 0.0);
    for i in (0..=k).rev() {
        sum += term;
        term *= i as f64 / (n - i + 1) as f64 * odds;
        if term <= sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// P(X >= k) of n trials that each fail with probability p, 0 < p < 1.
pub fn at_least(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if k as f64 <= n as f64 * p {
        return 1.0 - at_most(k - 1, n, p);
    }
    let (odds, mut term, mut sum) = (p / (1.0 - p), mass(k, n, p), 0.0);
    for i in k..=n {
        sum += term;
        term *= (n - i) as f64 / (i + 1) as f64 * odds;
        if term <= sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// The least failure probability under which k failures or fewer of n are as rare as `alpha`:
/// the upper bound of Clopper and Pearson, one-sided. With `alpha` 0.9 it is the probability
/// with which k or fewer are found nine times in ten.
pub fn upper(k: u64, n: u64, alpha: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    root(|p| at_most(k, n, p) > alpha)
}

/// The greatest failure probability under which k failures or more of n are as rare as `alpha`:
/// the lower bound of Clopper and Pearson, one-sided.
pub fn lower(k: u64, n: u64, alpha: f64) -> f64 {
    if k == 0 {
        return 0.0;
    }
    root(|p| at_least(k, n, p) <= alpha)
}

/// P(X <= k) of a Poisson count with this mean, above 0.
pub fn poisson_at_most(k: u64, mean: f64) -> f64 {
    if k as f64 >= mean {
        let (mut term, mut sum) = (poisson_mass(k + 1, mean), 0.0);
        let mut i = k as f64 + 1.0;
        while term > sum * f64::EPSILON {
            sum += term;
            i += 1.0;
            term *= mean / i;
        }
        return 1.0 - sum;
    }
    let (mut term, mut sum) = (poisson_mass(k, mean), 0.0);
    for i in (0..=k).rev() {
        sum += term;
        term *= i as f64 / mean;
        if term <= sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// Where `holds` ends, which it does somewhere between 0 and 1 and for good.
fn root(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if holds(middle) { low = middle } else { high = middle }
    }
    high
}

/// P(X = k), 0 <= k <= n.
fn mass(k: u64, n: u64, p: f64) -> f64 {
    let (x, all) = (k as f64, n as f64);
    if k == 0 {
        return (all * (-p).ln_1p()).exp();
    }
    if k == n {
        return (all * p.ln()).exp();
    }
    let exponent = stirling_error(all)
        - stirling_error(x)
        - stirling_error(all - x)
        - deviance(x, all * p)
        - deviance(all - x, all * (1.0 - p));
    exponent.exp() * (all / (TAU * x * (all - x))).sqrt()
}

fn poisson_mass(k: u64, mean: f64) -> f64 {
    let x = k as f64;
    if k == 0 {
        return (-mean).exp();
    }
    (-stirling_error(x) - deviance(x, mean)).exp() / (TAU * x).sqrt()
}

/// `ln n!` less Stirling's formula, for whole n above 0.
fn stirling_error(n: f64) -> f64 {
    if n <= 15.0 {
        let factorial: f64 = (1..=n as u32).map(f64::from).product();
        return factorial.ln() - (n + 0.5) * n.ln() + n - TAU.ln() / 2.0;
    }
    let square = n * n;
    let inner = 1.0 / 1_260.0 - (1.0 / 1_680.0 - 1.0 / 1_188.0 / square) / square;
    (1.0 / 12.0 - (1.0 / 360.0 - inner / square) / square) / n
}

/// `x ln(x / mean) + mean - x`, without loss where the two are close.
fn deviance(x: f64, mean: f64) -> f64 {
    let (distance, sum) = (x - mean, x + mean);
    if distance.abs() >= 0.1 * sum {
        return x * (x / mean).ln() + mean - x;
    }
    let v = distance / sum;
    let (mut total, mut power) = (distance * v, 2.0 * x * v);
    // Each step gains two digits at least, since v is below 0.1.
    for j in 1..=12_u32 {
        power *= v * v;
        total += power / f64::from(2 * j + 1);
    }
    total
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(got: f64, expect: f64, relative: f64, what: &str) {
        assert!((got - expect).abs() <= relative * expect.abs(), "{what}: {got}, not {expect}");
    }

    #[test]
    fn tails_agree_with_the_published_edges() {
        let check = |k, n, b, expect| close(at_most(k, n, b), expect, 1.1e-6, &format!("{k} {n}"));
        check(0, 29_955, 1e-4, 0.050_004_1);
        check(0, 29_956, 1e-4, 0.049_999_1);
        check(1, 47_436, 1e-4, 0.050_003_2);
        check(1, 47_437, 1e-4, 0.049_999_1);
        check(3, 77_534, 1e-4, 0.050_000_6);
        check(3, 77_535, 1e-4, 0.049_997_3);
    }

    #[test]
    fn bounds_of_clopper_and_pearson_agree_with_the_published_ones() {
        let check = |k, expect| close(upper(k, 259_200, 0.05), expect, 5e-6, &format!("{k}"));
        check(0, 1.155_75e-5);
        check(3, 2.991_35e-5);
        check(26, 1.391_82e-4);
        // Without failures there is a closed form: 1 - alpha^(1/n).
        for n in [10, 29_956, 1_000_000_000] {
            let closed = -(0.05_f64.ln() / n as f64).exp_m1();
            close(upper(0, n, 0.05), closed, 1e-9, "closed form");
            close(lower(n, n, 0.05), (0.05_f64.ln() / n as f64).exp(), 1e-9, "closed form");
        }
        assert_eq!((lower(0, 7, 0.05), upper(7, 7, 0.05)), (0.0, 1.0));
    }

    #[test]
    fn huge_counts_are_answered_and_consistent() {
        for (k, n) in [(50_000_000, 50_001_000), (500, 1_000_000_000), (999_999_000, 1_000_000_000)]
        {
            let (low, high) = (lower(k, n, 0.05), upper(k, n, 0.05));
            let share = k as f64 / n as f64;
            assert!(low < share && share < high, "{k} of {n}: {low} to {high}");
            close(at_most(k, n, high), 0.05, 1e-6, "the upper tail");
            close(at_least(k, n, low), 0.05, 1e-6, "the lower tail");
        }
    }

    #[test]
    fn a_binomial_of_many_rare_trials_is_a_poisson_count() {
        for k in [0, 1, 5, 20, 400] {
            let mean = 1.2 * k as f64 + 3.0;
            let rare = at_most(k, 1_000_000_000, mean / 1e9);
            close(rare, poisson_at_most(k, mean), 1e-5, &format!("{k}"));
        }
        close(poisson_at_most(2, 1.0), 2.5 * (-1.0_f64).exp(), 1e-14, "by hand");
    }

    proptest! {
        #[test]
        fn tails_are_sums_of_exact_terms(n in 1_u64..60, k in 0_u64..60, p in 0.001_f64..0.999) {
            let k = k.min(n);
            // C(n, i) is exact in a float up to 2^53, as are all of n below 57; close enough here.
            let choose = |i: u64| (0..i).fold(1.0, |c, j| c * (n - j) as f64 / (j + 1) as f64);
            let term = |i: u64| choose(i) * p.powi(i as i32) * (1.0 - p).powi((n - i) as i32);
            let (below, above): (f64, f64) = ((0..=k).map(term).sum(), (k..=n).map(term).sum());
            prop_assert!((at_most(k, n, p) - below).abs() < 1e-12);
            prop_assert!((at_least(k, n, p) - above).abs() < 1e-12);
        }
    }
}
