//! Counts of durations by buckets that grow by a constant factor, as native histograms of
//! Prometheus have them: bucket `i` at resolution `s` ends at 2^(i / 2^s) seconds, included.
//!
//! Every duration is counted where it belongs, to the nanosecond and without floats. Counts never
//! fall; halving the resolution, which bounds the buckets, merges neighbours exactly.

use std::time::Duration;

/// The resolution that everything begins at: 16 buckets for each doubling, each 4.4 % wide.
pub const FINEST: u8 = 4;

/// What is not above 2^this seconds, about a microsecond, counts as zero.
pub const ZERO_EXPONENT: i32 = -20;

/// Most buckets; beyond it the resolution is halved. The limit that servers commonly set.
pub const MAX_BUCKETS: usize = 160;

/// What is above 2^this seconds, a day and a half, counts as that: no probe takes longer.
const LAST_EXPONENT: i32 = 17;

/// Buckets for each doubling at the finest resolution.
const PER_OCTAVE: usize = 1 << FINEST;

const N_EDGES: usize = (LAST_EXPONENT - ZERO_EXPONENT) as usize * PER_OCTAVE;

/// 2^(j / 16), times 2^80, cut.
const ROOTS: [u128; PER_OCTAVE] = [
    0x1_0000_0000_0000_0000_0000,
    0x1_0b55_86cf_9890_f629_8b92,
    0x1_172b_83c7_d517_adcd_f7c8,
    0x1_2387_a6e7_5623_866c_1fad,
    0x1_306f_e0a3_1b71_52de_8d5a,
    0x1_3dea_64c1_2342_235b_4122,
    0x1_4bfd_ad53_62a2_71d4_397a,
    0x1_5ab0_7dd4_8542_958c_9301,
    0x1_6a09_e667_f3bc_c908_b2fb,
    0x1_7a11_473e_b018_6d7d_5102,
    0x1_8ace_5422_aa0d_b5ba_7c55,
    0x1_9c49_182a_3f09_01c7_c46b,
    0x1_ae89_f995_ad3a_d5e8_734d,
    0x1_c199_bdd8_5529_c222_0cb1,
    0x1_d581_8dcf_ba48_725d_a05a,
    0x1_ea4a_fa2a_490d_9858_f73a,
];

/// The nanoseconds at which each bucket of the finest resolution ends, cut, from the one behind
/// zero on. A whole number of nanoseconds is above an edge if it is above the cut edge.
const EDGES: [u64; N_EDGES] = {
    let mut edges = [0; N_EDGES];
    let mut at = 0;
    while at < N_EDGES {
        let octave = (at + 1) / PER_OCTAVE;
        let root = ROOTS[(at + 1) % PER_OCTAVE] * 1_000_000_000;
        edges[at] = (root >> (80 - ZERO_EXPONENT - octave as i32)) as u64;
        at += 1;
    }
    edges
};

/// A histogram over exponential buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exponential {
    resolution: u8,
    zero: u64,
    /// (number of the bucket, count above 0), ascending.
    buckets: Vec<(i16, u64)>,
}

impl Default for Exponential {
    fn default() -> Self {
        Exponential { resolution: FINEST, zero: 0, buckets: Vec::new() }
    }
}

impl Exponential {
    /// Counts one duration.
    pub fn count(&mut self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let Some(finest) = finest_bucket(nanos) else {
            self.zero += 1;
            return;
        };
        let number = coarser(finest, FINEST - self.resolution);
        match self.buckets.binary_search_by_key(&number, |(known, _)| *known) {
            Ok(at) => self.buckets[at].1 += 1,
            Err(at) => self.buckets.insert(at, (number, 1)),
        }
        while self.buckets.len() > MAX_BUCKETS && self.resolution > 0 {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.resolution -= 1;
        for (number, _) in &mut self.buckets {
            *number = coarser(*number, 1);
        }
        self.buckets.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
    }

    /// How fine the buckets are: there are 2^this for each doubling, 0 to [`FINEST`]. It only
    /// ever falls.
    pub fn resolution(&self) -> u8 {
        self.resolution
    }

    /// How many durations were too short for any bucket.
    pub fn zero(&self) -> u64 {
        self.zero
    }

    /// (number of the bucket, count above 0), ascending.
    pub fn buckets(&self) -> &[(i16, u64)] {
        &self.buckets
    }

    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.zero + self.buckets.iter().map(|(_, n)| n).sum::<u64>()
    }
}

/// The bucket of the finest resolution that so many nanoseconds belong to; none for zero.
fn finest_bucket(nanos: u64) -> Option<i16> {
    const ZERO: u64 = (1_000_000_000_u128 >> -ZERO_EXPONENT) as u64;
    if nanos <= ZERO {
        return None;
    }
    let at = EDGES.partition_point(|edge| *edge < nanos).min(N_EDGES - 1);
    Some((at as i32 + 1 + ZERO_EXPONENT * PER_OCTAVE as i32) as i16)
}

/// The bucket of a resolution that is `steps` coarser in which bucket `number` lies.
const fn coarser(number: i16, steps: u8) -> i16 {
    // Upper edges belong to their buckets, hence rounding up.
    (number + (1 << steps) - 1) >> steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where bucket `number` ends, in nanoseconds, by floats that are right to about 2^-50.
    fn edge(number: i16, resolution: u8) -> f64 {
        (f64::from(number) / f64::from(1 << resolution)).exp2() * 1e9
    }

    proptest! {
        #[test]
        fn a_duration_is_above_the_edge_before_its_bucket_and_not_above_its_own(
            exponent in -20.0..16.9_f64, steps in 0_u8..=4,
        ) {
            let nanos = (exponent.exp2() * 1e9) as u64 + 1;
            let number = coarser(finest_bucket(nanos).expect("above zero"), steps);
            let (below, above) = (edge(number - 1, FINEST - steps), edge(number, FINEST - steps));
            // Half a nanosecond is what floats cannot tell at the upper end of the range.
            prop_assert!(nanos as f64 + 0.5 > below && nanos as f64 - 0.5 < above, "{nanos}");
        }

        #[test]
        fn halving_equals_having_counted_coarsely(
            nanos in prop::collection::vec(0_u64..=1 << 46, 0..300),
        ) {
            let mut counted = Exponential::default();
            nanos.iter().for_each(|n| counted.count(Duration::from_nanos(*n)));
            let steps = FINEST - counted.resolution();
            let mut expect = std::collections::BTreeMap::new();
            for bucket in nanos.iter().filter_map(|n| finest_bucket(*n)) {
                *expect.entry(coarser(bucket, steps)).or_insert(0) += 1;
            }
            prop_assert_eq!(counted.buckets().to_vec(), Vec::from_iter(expect));
            prop_assert_eq!(counted.total(), nanos.len() as u64);
            prop_assert!(counted.buckets().len() <= MAX_BUCKETS);
        }
    }

    #[test]
    fn edges_are_exact() {
        let check = |nanos, expect| assert_eq!(finest_bucket(nanos), expect, "{nanos} ns");
        // A second is the edge of bucket 0 and belongs to it.
        check(1_000_000_000, Some(0));
        check(1_000_000_001, Some(1));
        // 2^(1/16) s is 1.04427378242741… s.
        check(1_044_273_782, Some(1));
        check(1_044_273_783, Some(2));
        check(999_999_999, Some(0));
        check(60_000_000_000, Some(95));
        // 2^-20 s is 953.67 ns.
        check(953, None);
        check(954, Some(-319));
        check(0, None);
        check(u64::MAX, Some(17 * 16));
        assert_eq!(EDGES[N_EDGES - 1], (1 << 17) * 1_000_000_000);
    }

    #[test]
    fn a_wide_spread_is_told_more_coarsely_and_loses_nothing() {
        let mut counted = Exponential::default();
        let mut before = counted.clone();
        for n in 0..512_u32 {
            counted.count(Duration::from_nanos((f64::from(n) / 16.0).exp2() as u64 * 1_000));
            assert!(
                counted.total() == u64::from(n) + 1 && counted.resolution() <= before.resolution()
            );
            before.clone_from(&counted);
        }
        assert_eq!(counted.resolution(), 2);
        assert!(counted.buckets().len() <= MAX_BUCKETS);
    }
}
