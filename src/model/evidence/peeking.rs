//! Evidence by single probes that may be looked at as often as one likes.
//!
//! A test martingale: the likelihood of what was seen, mixed over a Beta(1/2, 1/2) prior that is
//! cut at the budget, over its likelihood at the budget itself. By Ville's inequality it reaches
//! 1 / alpha with probability alpha at most, whenever one stops, if the objective is missed. It
//! takes probes as independent, which outages are not: shown beside the rule of outages, never
//! in its place. Belongs to an epoch with a fixed start, not to a rolling window.

use std::f64::consts::{PI, TAU};

use super::LEVEL;

/// The evidence that the bad share is below `budget` after `bad` of `n` probes: at 20 it is
/// shown at 95 %. Cut off a little above that, since what has been shown stays shown.
///
/// `E = sqrt(b (1-b)) / (a * 2 asin(sqrt b)) * sum of b^k (n+1)_k / (a+1)_k`, a = bad + 1/2: the
/// incomplete beta integral as a series of positive terms, over the likelihood at b.
pub fn shown_met(bad: u64, n: u64, budget: f64) -> f64 {
    let start = bad as f64 + 0.5;
    let norm = 2.0 * budget.sqrt().asin();
    let term = (budget * (1.0 - budget)).sqrt() / (start * norm);
    series(term, n as f64 + 1.0, start + 1.0, budget, 2.0 * LEVEL)
}

/// The same for a bad share above `budget`, the prior cut from below. At most 1 while the bad
/// share that was seen is at most the budget.
pub fn shown_breached(bad: u64, n: u64, budget: f64) -> f64 {
    let (x, all) = (bad as f64, n as f64);
    if x <= all * budget {
        return 1.0;
    }
    let norm = PI - 2.0 * budget.sqrt().asin();
    // The whole integral over the likelihood at the budget, less the part below the budget.
    let whole = (ln_beta_half(x, all - x) - x * budget.ln() - (all - x) * (-budget).ln_1p()).exp();
    let term = (budget * (1.0 - budget)).sqrt() / (x + 0.5);
    let below = series(term, all + 1.0, x + 1.5, budget, f64::MAX);
    ((whole - below) / norm).max(0.0)
}

/// The least number of probes, `bad` of them bad, that shows the objective with this budget; the
/// greatest number there is if none that can be counted does.
pub fn probes_needed(bad: u64, budget: f64) -> u64 {
    let (mut low, mut high) = (bad, bad + 2);
    while high < u64::MAX && shown_met(bad, high, budget) < LEVEL {
        (low, high) = (high, high.saturating_mul(2));
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if shown_met(bad, middle, budget) < LEVEL { low = middle } else { high = middle }
    }
    high
}

/// The sum of `term * x^k (above)_k / (below)_k`, up to `enough` or until terms do not matter.
fn series(first: f64, mut above: f64, mut below: f64, x: f64, enough: f64) -> f64 {
    let (mut term, mut sum) = (first, first);
    loop {
        let ratio = above / below * x;
        term *= ratio;
        sum += term;
        if sum >= enough || ratio < 1.0 && term <= sum * 1e-17 {
            return sum;
        }
        (above, below) = (above + 1.0, below + 1.0);
    }
}

/// `ln B(x + 1/2, y + 1/2)`.
pub(super) fn ln_beta_half(x: f64, y: f64) -> f64 {
    let (a, b) = (x + 0.5, y + 0.5);
    let (small, large) = (a.min(b), a.max(b));
    let all = a + b;
    if all < 30.0 {
        // Stirling's formula is poor here, and nothing cancels.
        return ln_gamma(a) + ln_gamma(b) - ln_gamma(all);
    }
    // ln G(large) - ln G(all) by Stirling's formula, with what is large in both taken out first.
    let difference =
        -(large - 0.5) * (small / large).ln_1p() - small * all.ln() + small + correction(large)
            - correction(all);
    ln_gamma(small) + difference
}

/// `ln G(x)` for x of at least 1/2.
fn ln_gamma(x: f64) -> f64 {
    let (mut shifted, mut product) = (x, 1.0);
    while shifted < 15.0 {
        product *= shifted;
        shifted += 1.0;
    }
    (shifted - 0.5) * shifted.ln() - shifted + TAU.ln() / 2.0 + correction(shifted) - product.ln()
}

/// What Stirling's formula leaves out; below 1e-15 wrong from 15 on, and little used below.
fn correction(x: f64) -> f64 {
    let square = x * x;
    let inner = 1.0 / 1_260.0 - (1.0 / 1_680.0 - 1.0 / 1_188.0 / square) / square;
    (1.0 / 12.0 - (1.0 / 360.0 - inner / square) / square) / x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_agrees_with_the_published_values() {
        let check = |n, b, expect: f64, digits: f64| {
            let got = shown_met(0, n, b);
            assert!((got - expect).abs() < digits, "E(0, {n}; {b}) = {got}, not {expect}");
        };
        check(3_786, 1e-3, 19.991_9, 6e-5);
        check(3_787, 1e-3, 20.009_4, 6e-5);
        check(37_883, 1e-4, 20.001_3, 6e-5);
        check(378_839, 1e-5, 19.999_84, 6e-6);
        check(378_840, 1e-5, 20.000_01, 6e-6);
    }

    #[test]
    fn probes_needed_are_the_published_ones() {
        let check = |b: f64, expect: &[u64]| {
            for (bad, n) in expect.iter().enumerate() {
                assert_eq!(probes_needed(bad as u64, b), *n, "{bad} bad at {b}");
            }
        };
        check(1e-3, &[3_787, 6_655, 8_859, 10_825, 12_657, 14_401]);
        check(5e-4, &[7_575, 13_312, 17_721, 21_653]);
        check(1e-4, &[37_883, 66_570, 88_616, 108_281]);
        check(1e-5, &[378_840, 665_720, 886_190, 1_082_840]);
    }

    #[test]
    fn the_reverse_reaches_its_level_where_it_was_computed_to() {
        let check = |n, b, bad| {
            let (before, at) = (shown_breached(bad - 1, n, b), shown_breached(bad, n, b));
            assert!(before < LEVEL && LEVEL <= at, "{bad} of {n}: {before}, {at}");
        };
        check(259_200, 1e-3, 333);
        check(259_200, 1e-4, 52);
        check(259_200, 1e-5, 13);
        check(2_592_000, 1e-3, 2_830);
        check(2_592_000, 1e-4, 337);
        check(2_592_000, 1e-5, 53);
    }

    /// The chance that a service which misses its budget of 0.1 % by nothing is ever called met
    /// within so many probes, where that is said from `needed[k]` probes on with `k` bad ones.
    fn ever_called_met(needed: &[u64], probes: u64) -> f64 {
        let budget = 1e-3;
        let (mut alive, mut called) = (vec![1.0], 0.0);
        for n in 1..=probes {
            let before = alive.clone();
            alive.push(0.0);
            let fewer = [0.0].into_iter().chain(before.iter().copied());
            for ((chance, same), fewer) in
                alive.iter_mut().zip(before.iter().chain([&0.0])).zip(fewer)
            {
                *chance = same * (1.0 - budget) + fewer * budget;
            }
            while alive.last().is_some_and(|chance| *chance < 1e-13) {
                alive.pop();
            }
            let first = needed.partition_point(|needed| *needed <= n).min(alive.len());
            called += alive[..first].iter().sum::<f64>();
            alive[..first].fill(0.0);
        }
        called
    }

    #[test]
    fn whoever_peeks_is_wrong_as_often_as_published_and_never_more_than_promised() {
        let objective = "99.9%".parse().expect("an objective");
        let once: Vec<u64> = (0..160)
            .map(|bad| super::super::finished::probes_needed(bad, objective, 0.05))
            .collect();
        let any_time: Vec<u64> = (0..160).map(|bad| probes_needed(bad, 1e-3)).collect();
        // Published from simulations of 20,000 runs.
        for (needed, probes, expect) in [
            (&once, 10_000, 0.120),
            (&once, 100_000, 0.277),
            (&any_time, 10_000, 0.029),
            (&any_time, 100_000, 0.041),
        ] {
            let got = ever_called_met(needed, probes);
            assert!((got - expect).abs() < 0.006, "{probes}: {got}, not {expect}");
        }
    }

    #[test]
    fn counts_of_any_size_are_answered() {
        for (bad, n, b) in [(0, 1_000_000_000, 1e-9), (1_000_000, 1_000_000_000, 1e-3), (7, 7, 0.5)]
        {
            assert!(shown_met(bad, n, b).is_finite() && shown_breached(bad, n, b) <= f64::MAX);
        }
        assert_eq!(probes_needed(1_000_000_000_000, 1e-9), u64::MAX);
        assert!(shown_met(7, 7, 0.5) < 1.0 && shown_breached(7, 7, 0.5) > 1.0);
    }
}
