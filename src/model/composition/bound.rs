//! What any dependence between leaves allows, in whole numbers.
//!
//! In series the sum of what is lost (worst) and the largest of it (best), after Fréchet; for k
//! of n the bounds of Rüger. Both hold for every joint distribution, and are reached where the
//! branches of groups share nothing; where they share, the bounds are still safe.

use super::{Branch, Group};
use crate::model::decimal;
use crate::model::number;
use crate::model::objective::PPB;

/// Most alternatives of a group, so that every division by a number of them is exact.
const MAX_OF: u128 = 64;
/// Parts of one part per billion: the least common multiple of 1 to [`MAX_OF`].
const PARTS: u128 = least_common_multiple();
/// The whole.
const ONE: u128 = PARTS * PPB as u128;

const fn least_common_multiple() -> u128 {
    let (mut all, mut n) = (1, 2);
    while n <= MAX_OF {
        let (mut a, mut b) = (all, n);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        all = all / a * n;
        n += 1;
    }
    all
}

/// An exact unavailability, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound(u128);

impl Bound {
    /// This many parts per billion.
    pub fn from_ppb(ppb: u32) -> Self {
        Bound((u128::from(ppb) * PARTS).min(ONE))
    }

    /// Whether it is at most `numerator / denominator`, exactly.
    pub fn fits(self, numerator: u128, denominator: u128) -> bool {
        decimal::cmp_products(self.0, denominator, numerator, ONE).is_le()
    }

    /// Whether it is the whole.
    pub const fn is_whole(self) -> bool {
        self.0 == ONE
    }

    /// For exposition and proportions.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / ONE as f64
    }

    /// The availability as decimal text, cut toward worse to nine digits.
    pub fn availability(self) -> String {
        decimal::ratio((ONE - self.0) as i128, ONE).unwrap_or_default()
    }

    /// The availability for people.
    pub fn percent(self) -> String {
        // Finer than anything shown, and a divisor of the whole.
        const SHOWN: u64 = 100_000_000_000;
        let lost = self.0.div_ceil(ONE / u128::from(SHOWN));
        let lost = u64::try_from(lost).unwrap_or(SHOWN).min(SHOWN);
        number::percent(SHOWN - lost, SHOWN)
    }
}

/// The most that a branch can lose. A service that promises nothing may lose everything.
pub(super) fn worst(branch: &Branch, own: &[Option<u32>]) -> Bound {
    let services = branch.services.iter().map(|s| own[*s].map_or(Bound(ONE), Bound::from_ppb));
    let groups = branch.groups.iter().map(|group| worst_of_group(group, own));
    let sum = services.chain(groups).fold(0_u128, |sum, bound| sum.saturating_add(bound.0));
    Bound(sum.min(ONE))
}

/// The least that a branch can lose. A service that promises nothing may lose nothing.
pub(super) fn best(branch: &Branch, own: &[Option<u32>]) -> Bound {
    let services = branch.services.iter().map(|s| own[*s].map_or(Bound(0), Bound::from_ppb));
    let groups = branch.groups.iter().map(|group| best_of_group(group, own));
    services.chain(groups).max().unwrap_or(Bound(0))
}

/// `min over r < m of (sum of the n - r smallest) / (m - r)`, where m failures are fatal.
fn worst_of_group(group: &Group, own: &[Option<u32>]) -> Bound {
    let mut lost: Vec<u128> = group.branches.iter().map(|branch| worst(branch, own).0).collect();
    lost.sort_unstable();
    let (n, fatal) = (lost.len(), group.fatal());
    let sum = |r: usize| lost[..n - r].iter().sum::<u128>().div_ceil((fatal - r) as u128);
    Bound((0..fatal).map(sum).min().unwrap_or(ONE).min(ONE))
}

/// `max over r <= n - m of (sum of the n - r largest - (m - 1)) / (n - r - m + 1)`.
fn best_of_group(group: &Group, own: &[Option<u32>]) -> Bound {
    let mut lost: Vec<u128> = group.branches.iter().map(|branch| best(branch, own).0).collect();
    lost.sort_unstable();
    let (n, fatal) = (lost.len(), group.fatal());
    let spare = |r: usize| {
        let sum: u128 = lost[r..].iter().sum();
        sum.saturating_sub((fatal - 1) as u128 * ONE) / (n - r - fatal + 1) as u128
    };
    Bound((0..=n - fatal).map(spare).max().unwrap_or(0))
}
