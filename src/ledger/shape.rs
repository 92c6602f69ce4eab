//! A slice's runs and a slice's latencies as bodies, and back.
//!
//! They are two bodies in two tables, so that reading months of runs never touches a
//! histogram. Runs cost next to nothing while a target is healthy. Latencies are kept as the
//! buckets that occur, bucket for bucket those of HdrHistogram, with the exact sum and extremes;
//! its own V2 format is somewhat larger, lacks the extremes, and must walk 17,408 counters.

use std::time::Duration;

use super::pack::{Cursor, Keep, pack, put, put_signed, unpack};
use crate::model::{Counts, Latencies, Run, Timestamp, Verdict};

/// Bits of a value that tell its bucket: three significant digits need 2^11 values.
const BUCKET_BITS: u32 = 11;

/// The body of a run list and its thresholds.
pub(super) fn encode_runs(start: Timestamp, thresholds: &[u32], runs: &[Run]) -> Vec<u8> {
    let mut raw = Vec::new();
    put(&mut raw, thresholds.len() as u64);
    thresholds.iter().for_each(|t| put(&mut raw, u64::from(*t)));
    put(&mut raw, runs.len() as u64);
    let (mut expected, mut step) = (start, 0);
    for run in runs {
        put_signed(&mut raw, run.start.micros().wrapping_sub(expected.micros()));
        let run_step = crate::model::time::micros(run.step);
        put_signed(&mut raw, run_step.wrapping_sub(step));
        put(&mut raw, run.n.into());
        put_verdict(&mut raw, run.verdict);
        raw.push(run.class);
        (expected, step) = (run.end(), run_step);
    }
    pack(&raw, Keep::ForLong)
}

/// Reads a run list back; none if the body is not one that [`encode_runs`] wrote.
pub(super) fn decode_runs(
    start: Timestamp,
    body: &[u8],
    scratch: &mut Vec<u8>,
    thresholds: &mut Vec<u32>,
    runs: &mut Vec<Run>,
) -> Option<()> {
    thresholds.clear();
    runs.clear();
    let mut raw = Cursor(unpack(body, scratch)?);
    for _ in 0..raw.count()? {
        thresholds.push(u32::try_from(raw.take()?).ok()?);
    }
    let (mut expected, mut step) = (start, 0_i64);
    for _ in 0..raw.count()? {
        let start = Timestamp::from_micros(expected.micros().wrapping_add(raw.signed()?));
        step = step.wrapping_add(raw.signed()?);
        let run = Run {
            start,
            step: Duration::from_micros(u64::try_from(step).ok()?),
            n: u32::try_from(raw.take()?).ok()?,
            verdict: take_verdict(&mut raw)?,
            class: raw.byte()?,
        };
        expected = run.end();
        runs.push(run);
    }
    raw.is_empty().then_some(())
}

/// A verdict: its number, and behind that of counted slots the counts.
pub(super) fn put_verdict(out: &mut Vec<u8>, verdict: Verdict) {
    out.push(verdict.code());
    if let Verdict::Counted(Counts { good, bad, unknown }) = verdict {
        [good, bad, unknown].iter().for_each(|count| put(out, u64::from(*count)));
    }
}

/// Reads what [`put_verdict`] wrote.
pub(super) fn take_verdict(raw: &mut Cursor<'_>) -> Option<Verdict> {
    let code = raw.byte()?;
    if code != Verdict::COUNTED {
        return Verdict::from_code(code);
    }
    let mut count = || u32::try_from(raw.take()?).ok();
    Some(Verdict::Counted(Counts { good: count()?, bad: count()?, unknown: count()? }))
}

/// The body of the latencies of a slice; none when there are none.
pub(super) fn encode_latencies(latencies: &Latencies) -> Option<Vec<u8>> {
    let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    let (min, max) = (latencies.min()?, latencies.max()?);
    let mut raw = Vec::new();
    put(&mut raw, micros(min));
    put(&mut raw, micros(max));
    put(&mut raw, micros(latencies.sum()));
    let mut next = 0;
    for &(value, n) in latencies.buckets() {
        // Even: the count of the next bucket. Odd: how many buckets to skip before it. So the
        // dense middle of a histogram takes one byte a bucket.
        let bucket = bucket_of(value);
        if bucket > next {
            put(&mut raw, (bucket - next) << 1 | 1);
        }
        put(&mut raw, u64::from(n) << 1);
        next = bucket + 1;
    }
    Some(pack(&raw, Keep::ForLong))
}

/// Reads latencies back; none if the body is not one that [`encode_latencies`] wrote.
pub(super) fn decode_latencies(body: &[u8], scratch: &mut Vec<u8>) -> Option<Latencies> {
    let mut raw = Cursor(unpack(body, scratch)?);
    let (min, max, sum) = (raw.take()?, raw.take()?, raw.take()?);
    let mut buckets = Vec::with_capacity(raw.0.len());
    let mut next = 0_u64;
    while !raw.is_empty() {
        let token = raw.take()?;
        if token & 1 == 1 {
            next = next.checked_add(token >> 1)?;
        } else {
            buckets.push((value_of(next)?, u32::try_from(token >> 1).ok()?));
            next += 1;
        }
    }
    let [min, max, sum] = [min, max, sum].map(Duration::from_micros);
    Some(Latencies::from_parts(&buckets, sum, min, max))
}

/// The number of the bucket that a value opens: buckets are numbered without holes, so that
/// neighbours differ by one and not by their width.
fn bucket_of(value: u32) -> u64 {
    let shift = (u32::BITS - value.leading_zeros()).saturating_sub(BUCKET_BITS);
    (u64::from(shift) << (BUCKET_BITS - 1)) + u64::from(value >> shift)
}

fn value_of(bucket: u64) -> Option<u32> {
    let shift = (bucket >> (BUCKET_BITS - 1)).saturating_sub(1);
    let top = bucket - (shift << (BUCKET_BITS - 1));
    u32::try_from(top.checked_shl(u32::try_from(shift).ok().filter(|s| *s < 32)?)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::tests::any_run;
    use crate::model::latency::HIGHEST;

    proptest! {
        #[test]
        fn run_lists_survive(
            start in -1_000_000_i64..2_000_000_000_000_000,
            thresholds: Vec<u32>,
            runs in prop::collection::vec(any_run(), 0..60),
        ) {
            let start = Timestamp::from_micros(start);
            let body = encode_runs(start, &thresholds, &runs);
            let (mut t, mut r) = (Vec::new(), Vec::new());
            let read = decode_runs(start, &body, &mut Vec::new(), &mut t, &mut r);
            prop_assert_eq!((read, t, r), (Some(()), thresholds, runs));
        }

        #[test]
        fn latencies_survive_with_their_extremes(values: Vec<u32>) {
            let mut latencies = Latencies::default();
            values.iter().for_each(|v| latencies.record_micros(u64::from(*v), 1));
            let read = encode_latencies(&latencies)
                .map(|body| decode_latencies(&body, &mut Vec::new()).expect("just written"));
            prop_assert_eq!(read.unwrap_or_default(), latencies);
        }

        #[test]
        fn noise_is_refused_without_a_panic(raw: Vec<u8>) {
            let body = pack(&raw, Keep::ForLong);
            let (mut t, mut r) = (Vec::new(), Vec::new());
            let _ = decode_runs(Timestamp::default(), &body, &mut Vec::new(), &mut t, &mut r);
            let _ = decode_latencies(&body, &mut Vec::new());
        }
    }

    #[test]
    fn buckets_are_numbered_without_holes() {
        let mut value = 0_u32;
        for bucket in 0..17_000 {
            assert_eq!((value_of(bucket), bucket_of(value)), (Some(value), bucket));
            value += 1 << (u32::BITS - value.leading_zeros()).saturating_sub(BUCKET_BITS);
        }
        assert!(u64::from(value) > HIGHEST / 2);
    }

    #[test]
    fn an_hour_of_health_takes_a_few_dozen_bytes() {
        let start = Timestamp::from_secs(1_800_000_000);
        let step = Duration::from_secs(5);
        let first = start.plus(Duration::from_micros(1_234_567));
        let run = Run { start: first, step, n: 720, verdict: Verdict::Good, class: 0 };
        let body = encode_runs(start, &[300_000], &[run]);
        assert!(body.len() <= 24, "{} bytes", body.len());
    }
}
