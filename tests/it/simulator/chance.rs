//! Chance that can be repeated: the same seed draws the same numbers, on every machine.
//!
//! SplitMix64 (Steele, Lea, Flood 2014): tiny, and good enough to scatter events.

/// A source of numbers.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The source of this seed.
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scatter(self.0)
    }

    /// A number of `[low, high)`; `low` if there is none.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = high.saturating_sub(low).max(1).unsigned_abs();
        low + (self.bits() % width).cast_signed()
    }

    /// A number of `[low, high)`, each order of magnitude as likely as the next.
    pub fn magnitude(&mut self, low: i64, high: i64) -> i64 {
        let (low, high) = (low.max(1) as f64, high.max(2) as f64);
        let share = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        (low * (high / low).powf(share)) as i64
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.bits().is_multiple_of(n.max(1))
    }

    /// One of these, which must not be empty.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.between(0, all.len() as i64) as usize]
    }

    /// A source of its own, which what is drawn from this one later does not change.
    pub fn branch(&mut self) -> Chance {
        Chance(self.bits())
    }
}

/// Scatters the bits of a number, so that neighbours have nothing in common.
pub fn scatter(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
