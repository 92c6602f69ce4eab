//! Latencies as a sparse HDR histogram: 1 µs to 60 s at three significant digits.
//!
//! While a slice is open only the buckets that occur are held. Bucket edges are those of
//! HdrHistogram with a unit of one microsecond (Gil Tene's layout: powers of two, each split
//! into 1,024 equal buckets), so converting loses nothing. Merging is exact and associative.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Lowest latency that is told apart from zero, in microseconds.
pub const LOWEST: u64 = 1;
/// Highest latency, in microseconds; anything longer is counted there.
pub const HIGHEST: u64 = 60_000_000;
/// Significant decimal digits of a bucket: a bucket is at most 0.098 % of its value wide.
pub const DIGITS: u8 = 3;

/// 2^11 values fit into the first bucket group at three digits: 2 * 10^3 rounded up.
const SUB_BUCKET_BITS: u32 = 11;

/// Counts of latencies by bucket, with the exact extremes and sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// (lowest value of the bucket in microseconds, count), ascending by value.
    buckets: Vec<(u32, u32)>,
    sum: u64,
    min: u32,
    max: u32,
}

impl Latencies {
    /// Counts one latency. Below a microsecond counts as zero, above a minute as a minute.
    pub fn record(&mut self, latency: Duration) {
        self.record_micros(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), 1);
    }

    /// Counts `n` latencies of this many microseconds.
    pub fn record_micros(&mut self, micros: u64, n: u32) {
        if n == 0 {
            return;
        }
        let value = micros.min(HIGHEST) as u32;
        let first = self.buckets.is_empty();
        self.min = if first { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.sum = self.sum.saturating_add(u64::from(value) * u64::from(n));
        self.add(lowest_equivalent(value), n);
    }

    fn add(&mut self, bucket: u32, n: u32) {
        match self.buckets.binary_search_by_key(&bucket, |(value, _)| *value) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(n),
            Err(at) => self.buckets.insert(at, (bucket, n)),
        }
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Latencies) {
        if other.is_empty() {
            return;
        }
        self.min = if self.is_empty() { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.sum = self.sum.saturating_add(other.sum);
        for &(bucket, n) in &other.buckets {
            self.add(bucket, n);
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// How many latencies were counted.
    pub fn len(&self) -> u64 {
        self.buckets.iter().map(|(_, n)| u64::from(*n)).sum()
    }

    /// The exact lowest latency; none when empty.
    pub fn min(&self) -> Option<Duration> {
        (!self.is_empty()).then(|| Duration::from_micros(self.min.into()))
    }

    /// The exact highest latency; none when empty.
    pub fn max(&self) -> Option<Duration> {
        (!self.is_empty()).then(|| Duration::from_micros(self.max.into()))
    }

    /// The exact sum of all latencies.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum)
    }

    /// (lowest value of the bucket in microseconds, count), ascending.
    pub fn buckets(&self) -> &[(u32, u32)] {
        &self.buckets
    }

    /// Rebuilds what [`Latencies::buckets`], [`Latencies::sum`] and the extremes described.
    /// Buckets must ascend; values are brought to the edge of their bucket.
    pub fn from_parts(buckets: &[(u32, u32)], sum: Duration, min: Duration, max: Duration) -> Self {
        let mut latencies = Latencies::default();
        for &(bucket, n) in buckets {
            latencies.add(lowest_equivalent(bucket), n);
        }
        let clamp =
            |d: Duration| u32::try_from(d.as_micros()).unwrap_or(u32::MAX).min(HIGHEST as u32);
        latencies.sum = u64::try_from(sum.as_micros()).unwrap_or(u64::MAX);
        (latencies.min, latencies.max) = (clamp(min), clamp(max));
        latencies
    }

    /// The latency that at least this share of the samples did not exceed, as the upper edge of
    /// its bucket but never above the exact maximum. `per_million` is 0 to 1,000,000; none when
    /// empty.
    pub fn quantile(&self, per_million: u32) -> Option<Duration> {
        let n = u128::from(self.len());
        if n == 0 {
            return None;
        }
        let rank = (n * u128::from(per_million.min(1_000_000))).div_ceil(1_000_000).max(1);
        let mut seen = 0_u128;
        for &(bucket, count) in &self.buckets {
            seen += u128::from(count);
            if seen >= rank {
                let micros = highest_equivalent(bucket).min(self.max).max(self.min);
                return Some(Duration::from_micros(micros.into()));
            }
        }
        self.max()
    }

    /// The same counts as a dense HdrHistogram, for its interchange formats.
    pub fn to_hdr(&self) -> Histogram<u64> {
        let mut dense = Histogram::new_with_bounds(LOWEST, HIGHEST, DIGITS)
            .expect("the bounds are constants that HdrHistogram accepts");
        for &(bucket, n) in &self.buckets {
            dense.saturating_record_n(bucket.into(), n.into());
        }
        dense
    }
}

/// The lowest value that shares a bucket with `micros`.
fn lowest_equivalent(micros: u32) -> u32 {
    let shift = bucket_shift(micros);
    (micros >> shift) << shift
}

/// The highest value that shares a bucket with `micros`.
fn highest_equivalent(micros: u32) -> u32 {
    let shift = bucket_shift(micros);
    (((micros >> shift) + 1) << shift) - 1
}

/// The bucket of `micros` is 2^shift microseconds wide.
fn bucket_shift(micros: u32) -> u32 {
    (u32::BITS - micros.leading_zeros()).saturating_sub(SUB_BUCKET_BITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Latencies {
        let mut latencies = Latencies::default();
        values.iter().for_each(|v| latencies.record_micros(*v, 1));
        latencies
    }

    proptest! {
        #[test]
        fn bucket_edges_are_those_of_hdr_histogram(value in 0_u64..=HIGHEST) {
            let hdr = Histogram::<u64>::new_with_bounds(LOWEST, HIGHEST, DIGITS).expect("valid");
            let (lowest, highest) =
                (lowest_equivalent(value as u32), highest_equivalent(value as u32));
            prop_assert_eq!(u64::from(lowest), hdr.lowest_equivalent(value));
            prop_assert_eq!(u64::from(highest), hdr.highest_equivalent(value));
        }

        #[test]
        fn merging_equals_recording_everything(a: Vec<u32>, b: Vec<u32>) {
            let wide = |v: &[u32]| v.iter().map(|v| u64::from(*v)).collect::<Vec<_>>();
            let mut merged = of(&wide(&a));
            merged.merge(&of(&wide(&b)));
            prop_assert_eq!(merged, of(&wide(&[a, b].concat())));
        }

        #[test]
        fn quantiles_are_within_a_thousandth_and_never_above_the_maximum(
            mut values in prop::collection::vec(1_u64..=HIGHEST, 1..200), q in 0_u32..=1_000_000,
        ) {
            let latencies = of(&values);
            values.sort_unstable();
            let rank = (values.len() * q as usize).div_ceil(1_000_000).max(1);
            let exact = values[rank - 1];
            let read = latencies.quantile(q).expect("not empty").as_micros() as u64;
            prop_assert!(read >= exact && read - exact <= exact / 1_000 + 1, "{} for {}", read, exact);
            prop_assert!(read <= *values.last().expect("not empty"));
        }
    }

    #[test]
    fn extremes_and_sum_are_exact_and_long_latencies_count_at_a_minute() {
        let latencies = of(&[59_999_999, 7, 100_000_000]);
        assert_eq!(latencies.min(), Some(Duration::from_micros(7)));
        assert_eq!(latencies.max(), Some(Duration::from_secs(60)));
        assert_eq!(latencies.sum(), Duration::from_micros(59_999_999 + 7 + 60_000_000));
        assert_eq!(latencies.len(), 3);
        assert_eq!(Latencies::default().quantile(500_000), None);
    }

    #[test]
    fn the_dense_form_holds_the_same_counts() {
        let hdr = of(&[1_000, 2_000, 2_000, 2_000]).to_hdr();
        assert_eq!((hdr.len(), hdr.count_at(2_000), hdr.count_at(1_000)), (4, 3, 1));
    }
}
