//! Doors for the fuzzer: bodies as they stand in rows, damaged in every way.
//!
//! Only built for it. Whatever a reader accepts, the writer writes again as the same.

use super::batch::{self, Encoder, Entry};
use super::shape;
use crate::model::{Observation, Record, Timestamp};

/// A group commit.
pub fn batch(body: &[u8]) {
    let (mut scratch, mut entries) = (Vec::new(), Vec::new());
    let declared = body.last().map_or(0, |n| i64::from(*n));
    for n in [declared, 1, 2, 3] {
        if batch::decode(body, n, &mut scratch, &mut entries).is_none() {
            continue;
        }
        let mut encoder = Encoder::default();
        for entry in &entries {
            encoder.push(&match entry.clone() {
                Entry::Observation(observation) => Record::Observation(observation),
                Entry::Gap(series, run) => Record::Gap(series, run),
            });
        }
        let long = |entry: &Entry| match entry {
            Entry::Observation(o) => {
                o.detail.as_ref().is_some_and(|detail| detail.len() > Observation::MAX_DETAIL)
            }
            Entry::Gap(..) => false,
        };
        let Some(again) = encoder.finish().filter(|_| !entries.iter().any(long)) else { continue };
        let mut copy = Vec::new();
        let read = batch::decode(&again.body, again.n, &mut scratch, &mut copy);
        assert!(read.is_some() && copy == entries, "a batch changed: {entries:?} {copy:?}");
    }
}

/// The runs of a slice, and its latencies.
pub fn slice(body: &[u8]) {
    let (start, mut scratch) = (Timestamp::from_secs(1_700_000_000), Vec::new());
    let (mut thresholds, mut runs) = (Vec::new(), Vec::new());
    if shape::decode_runs(start, body, &mut scratch, &mut thresholds, &mut runs).is_some() {
        let again = shape::encode_runs(start, &thresholds, &runs);
        let first = (thresholds.clone(), runs.clone());
        let read = shape::decode_runs(start, &again, &mut scratch, &mut thresholds, &mut runs);
        assert!(read.is_some() && first == (thresholds, runs), "runs changed: {first:?}");
    }
    if let Some(latencies) = shape::decode_latencies(body, &mut scratch) {
        let quantile = latencies.quantile(990_000);
        assert!(quantile <= latencies.max().max(latencies.min()), "{latencies:?}");
        let again = shape::encode_latencies(&latencies);
        let read = again.map(|body| shape::decode_latencies(&body, &mut scratch));
        assert!(read.is_none_or(|read| read == Some(latencies)), "latencies changed");
    }
}
