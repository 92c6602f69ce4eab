//! Sums of fractions that no machine integer holds, compared exactly.
//!
//! Each part of a composite SLO has a number of events of its own, so what they take of one
//! budget has no common denominator that fits. It deliberately does no more than that: add,
//! compare, and cut a multiple up to a whole number.

use std::cmp::Ordering;

use super::decimal::gcd;

/// A natural number of any size: digits of base 2^64, the lowest first, the highest not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Natural(Vec<u64>);

impl Natural {
    fn of(n: u128) -> Self {
        Natural(vec![n as u64, (n >> 64) as u64]).trimmed()
    }

    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn times(&self, other: &Natural) -> Natural {
        let mut digits = vec![0_u64; self.0.len() + other.0.len()];
        for (n, a) in self.0.iter().enumerate() {
            let mut carry = 0_u128;
            for (m, b) in other.0.iter().enumerate() {
                // No overflow: (2^64-1)^2 + 2*(2^64-1) = 2^128 - 1.
                carry += u128::from(*a) * u128::from(*b) + u128::from(digits[n + m]);
                digits[n + m] = carry as u64;
                carry >>= 64;
            }
            digits[n + other.0.len()] = carry as u64;
        }
        Natural(digits).trimmed()
    }

    fn plus(&self, other: &Natural) -> Natural {
        let mut digits = Vec::with_capacity(self.0.len().max(other.0.len()) + 1);
        let mut carry = 0_u128;
        for n in 0..self.0.len().max(other.0.len()) {
            let digit = |of: &Natural| u128::from(of.0.get(n).copied().unwrap_or(0));
            carry += digit(self) + digit(other);
            digits.push(carry as u64);
            carry >>= 64;
        }
        digits.push(carry as u64);
        Natural(digits).trimmed()
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Natural) -> Ordering {
        let digits = || self.0.iter().rev().cmp(other.0.iter().rev());
        self.0.len().cmp(&other.0.len()).then_with(digits)
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Natural) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A sum of fractions, exact whatever their denominators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    numerator: Natural,
    denominator: Natural,
}

impl Default for Sum {
    fn default() -> Self {
        Sum { numerator: Natural::of(0), denominator: Natural::of(1) }
    }
}

impl Sum {
    /// Adds `a * b / (c * d)`. What has a denominator of 0 has no value and adds nothing.
    pub fn add(&mut self, (a, b): (u128, u128), (c, d): (u128, u128)) {
        if a == 0 || b == 0 || c == 0 || d == 0 {
            return;
        }
        let (numerator, denominator) = match (a.checked_mul(b), c.checked_mul(d)) {
            (Some(numerator), Some(denominator)) => {
                let divisor = gcd(numerator, denominator);
                (Natural::of(numerator / divisor), Natural::of(denominator / divisor))
            }
            _ => (Natural::of(a).times(&Natural::of(b)), Natural::of(c).times(&Natural::of(d))),
        };
        if denominator == self.denominator {
            self.numerator = self.numerator.plus(&numerator);
            return;
        }
        let own = self.numerator.times(&denominator);
        self.numerator = own.plus(&numerator.times(&self.denominator));
        self.denominator = self.denominator.times(&denominator);
    }

    /// Whether it is strictly above `numerator / denominator`. Exact: equality is not above.
    pub fn exceeds(&self, (numerator, denominator): (u128, u128)) -> bool {
        let own = self.numerator.times(&Natural::of(denominator));
        own > self.denominator.times(&Natural::of(numerator))
    }

    /// So much of a whole, cut up to an integer; the greatest one where it is more than that.
    pub fn of(&self, whole: u128) -> u128 {
        let wanted = self.numerator.times(&Natural::of(whole));
        if wanted.is_zero() {
            return 0;
        }
        let falls_short = |n: u128| self.denominator.times(&Natural::of(n)) < wanted;
        let grow = |n: u128, bit: u32| match n | (1_u128 << bit) {
            more if falls_short(more) => more,
            _ => n,
        };
        (0..u128::BITS).rev().fold(0, grow).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(fractions: &[(u128, u128)]) -> Sum {
        let mut sum = Sum::default();
        fractions.iter().for_each(|(n, d)| sum.add((*n, 1), (*d, 1)));
        sum
    }

    #[test]
    fn three_thirds_are_one_and_not_more() {
        let thirds = sum(&[(1, 3), (1, 3), (1, 3)]);
        assert!(!thirds.exceeds((1, 1)) && thirds.exceeds((999_999_999, 1_000_000_000)));
        assert_eq!((thirds.of(7), sum(&[(1, 3)]).of(7), Sum::default().of(7)), (7, 3, 0));
        assert_eq!(sum(&[(1, 0), (1, 2)]), sum(&[(1, 2)]), "what has no value adds nothing");
        assert_eq!(sum(&[(u128::MAX, 1)]).of(2), u128::MAX, "no integer is greater");
    }

    #[test]
    fn denominators_that_have_nothing_in_common_stay_exact() {
        // Eight primes above 2^60: their product has 480 bits.
        let primes = [
            1_152_921_504_606_847_009_u128,
            1_152_921_504_606_847_067,
            1_152_921_504_606_847_081,
            1_152_921_504_606_847_123,
            1_152_921_504_606_847_127,
            1_152_921_504_606_847_179,
            1_152_921_504_606_847_189,
            1_152_921_504_606_847_203,
        ];
        let eighths: Vec<(u128, u128)> = primes.iter().map(|p| (p / 8, *p)).collect();
        // Each is a hair less than an eighth, so all of them are less than one.
        assert!(!sum(&eighths).exceeds((1, 1)));
        let above: Vec<(u128, u128)> = primes.iter().map(|p| (p / 8 + 1, *p)).collect();
        assert!(sum(&above).exceeds((1, 1)));
        assert_eq!((sum(&eighths).of(1 << 40), sum(&above).of(1 << 40)), (1 << 40, (1 << 40) + 1));
    }

    proptest! {
        #[test]
        fn a_sum_agrees_with_one_denominator_that_fits(
            parts in prop::collection::vec((0_u32..1 << 20, 1_u32..1 << 12), 1..6),
            n in 0_u64..1 << 30, d in 1_u64..1 << 30, whole in 0_u32..,
        ) {
            let parts: Vec<(u128, u128)> =
                parts.into_iter().map(|(n, d)| (n.into(), d.into())).collect();
            let all: u128 = parts.iter().map(|(_, d)| d).product();
            let top: u128 = parts.iter().map(|(n, d)| n * (all / d)).sum();
            let sum = sum(&parts);
            let (n, d) = (u128::from(n), u128::from(d));
            prop_assert_eq!(sum.exceeds((n, d)), top * d > all * n);
            prop_assert_eq!(sum.of(whole.into()), (top * u128::from(whole)).div_ceil(all));
        }

        #[test]
        fn products_need_not_fit(a: u64, b: u64, c in 1_u64.., d in 1_u64..) {
            let wide = |n: u64| u128::from(n) * u128::from(u64::MAX);
            let mut sum = Sum::default();
            sum.add((wide(a), wide(b)), (wide(c), wide(d)));
            let narrow = (u128::from(a) * u128::from(b), u128::from(c) * u128::from(d));
            prop_assert!(!sum.exceeds(narrow));
            let less = narrow.0.saturating_sub(1);
            prop_assert_eq!(sum.exceeds((less, narrow.1)), narrow.0 > 0);
        }
    }
}
