//! How often rare and independent things happen: tails of the Poisson distribution, and what a
//! window without a miss is worth. Estimates for people; nothing is accounted with them.

/// Most terms of a sum; what lies beyond is taken not to happen.
const MAX_TERMS: u64 = 100_000;
/// Terms below this share of the sum no longer matter.
const NEGLIGIBLE: f64 = 1e-12;

/// The chance that a Poisson variable of this mean is at least `least`.
pub(super) fn at_least(least: u64, mean: f64) -> f64 {
    if least == 0 {
        return 1.0;
    }
    if least > MAX_TERMS || mean <= 0.0 {
        return 0.0;
    }
    let mut term = exactly(least, mean);
    let (mut sum, mut k) = (term, least);
    while k < least + MAX_TERMS && ((k as f64) < mean || term > sum * NEGLIGIBLE) {
        k += 1;
        term *= mean / k as f64;
        sum += term;
    }
    sum.min(1.0)
}

/// The chance that it is exactly this; by logarithms, so that it neither overflows nor vanishes
/// too early.
fn exactly(k: u64, mean: f64) -> f64 {
    (k as f64 * mean.ln() - mean - ln_factorial(k)).exp()
}

/// ln k!, by Stirling's series where k is not small.
fn ln_factorial(k: u64) -> f64 {
    const SMALL: u64 = 32;
    if k < SMALL {
        return (2..=k).map(|k| (k as f64).ln()).sum();
    }
    let k = k as f64;
    let series = 1.0 / (12.0 * k) - 1.0 / (360.0 * k.powi(3)) + 1.0 / (1_260.0 * k.powi(5));
    k * k.ln() - k + 0.5 * (std::f64::consts::TAU * k).ln() + series
}

/// The chance that a window meets its budget, where outages come at random, `expected` of them in
/// a window, and last an exponential time of which the budget holds `budget` means.
pub fn windows_met(expected: f64, budget: f64) -> f64 {
    // Fewer than this many in nearly all windows.
    let most = ((expected + 12.0 * expected.sqrt() + 40.0) as u64).min(MAX_TERMS);
    // P(X(budget) >= n) for the n at hand, from P(X >= 0) = 1 on.
    let mut tail = 1.0;
    let mut sum = 0.0;
    for n in 0..=most {
        sum += exactly(n, expected) * tail;
        tail -= exactly(n, budget);
    }
    sum.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_without_a_miss_is_weak_evidence() {
        // Availability exactly at the objective, at half the budget, and one nine better.
        let check = |budget_seconds: f64, expect: [[f64; 3]; 4]| {
            for (repair, expect) in [60.0, 300.0, 1_200.0, 3_600.0].into_iter().zip(expect) {
                let budget = budget_seconds / repair;
                let shown = [1.0, 0.5, 0.1].map(|share| windows_met(budget * share, budget));
                for (shown, expect) in shown.into_iter().zip(expect) {
                    assert!((shown - expect).abs() < 6e-4, "{budget_seconds} {repair}: {shown}");
                }
            }
        };
        let three = [[0.522, 0.997, 1.0], [0.548, 0.913, 0.999], [0.599, 0.820, 0.972]];
        check(2_592.0, [three[0], three[1], three[2], [0.688, 0.834, 0.965]]);
        let four = [[0.569, 0.857, 0.990], [0.669, 0.825, 0.964], [0.840, 0.917, 0.983]];
        check(259.2, [four[0], four[1], four[2], [0.935, 0.967, 0.993]]);
        let five = [[0.752, 0.868, 0.972], [0.924, 0.961, 0.992], [0.979, 0.990, 0.998]];
        check(25.92, [five[0], five[1], five[2], [0.993, 0.996, 0.999]]);
    }

    #[test]
    fn tails_are_those_of_the_distribution() {
        let check = |least, mean: f64, expect: f64| {
            let shown = at_least(least, mean);
            assert!((shown - expect).abs() < 1e-9, "P(X({mean}) >= {least}) = {shown}");
        };
        check(0, 3.0, 1.0);
        check(1, 0.5, 1.0 - (-0.5_f64).exp());
        check(2, 2.0, 1.0 - 3.0 * (-2.0_f64).exp());
        check(1, 0.0, 0.0);
        check(500, 1_000.0, 1.0);
        check(2_000, 1_000.0, 0.0);
    }
}
