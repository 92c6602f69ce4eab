//! Sums of fractions by whole numbers of any size, by nothing but long multiplication.

/// A natural number: digits of base 2^32, the lowest first, the highest not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Big(Vec<u32>);

impl Big {
    fn of(mut n: u128) -> Self {
        let mut digits = Vec::new();
        while n > 0 {
            digits.push(n as u32);
            n >>= 32;
        }
        Big(digits)
    }

    fn times(&self, other: &Big) -> Big {
        let mut product = Big(Vec::new());
        for (place, digit) in self.0.iter().enumerate() {
            let mut row = vec![0; place];
            let mut carry = 0_u64;
            for other in &other.0 {
                carry += u64::from(*digit) * u64::from(*other);
                row.push(carry as u32);
                carry >>= 32;
            }
            row.push(carry as u32);
            product = product.plus(&Big(row));
        }
        product
    }

    fn plus(&self, other: &Big) -> Big {
        let (mut sum, mut carry) = (Vec::new(), 0_u64);
        for place in 0..=self.0.len().max(other.0.len()) {
            let digit = |of: &Big| u64::from(of.0.get(place).copied().unwrap_or(0));
            carry += digit(self) + digit(other);
            sum.push(carry as u32);
            carry >>= 32;
        }
        while sum.last() == Some(&0) {
            sum.pop();
        }
        Big(sum)
    }

    fn above(&self, other: &Big) -> bool {
        let lengths = self.0.len().cmp(&other.0.len());
        lengths.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_gt()
    }
}

/// A sum of fractions.
#[derive(Clone, Debug)]
pub struct Sum(Big, Big);

impl Sum {
    /// The sum of these. One with nothing below the line has no value, and adds nothing.
    pub fn of(fractions: impl Iterator<Item = (u128, u128)>) -> Self {
        let mut sum = Sum(Big::of(0), Big::of(1));
        for (above, below) in fractions.filter(|(_, below)| *below > 0) {
            let (above, below) = (Big::of(above), Big::of(below));
            sum = Sum(sum.0.times(&below).plus(&above.times(&sum.1)), sum.1.times(&below));
        }
        sum
    }

    /// Whether it is more than this fraction.
    pub fn above(&self, (above, below): (u128, u128)) -> bool {
        self.0.times(&Big::of(below)).above(&self.1.times(&Big::of(above)))
    }

    /// Whether `n` is so many times this, cut up to a whole number: `numerator / denominator`.
    pub fn is(&self, n: u128, (numerator, denominator): (u128, u128)) -> bool {
        let value = self.0.times(&Big::of(numerator));
        let unit = self.1.times(&Big::of(denominator));
        let fits = !value.above(&unit.times(&Big::of(n)));
        fits && (n == 0 || value.above(&unit.times(&Big::of(n - 1))))
    }
}
