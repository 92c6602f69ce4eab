//! Records turned into rows, ready for one transaction.
//!
//! Encoding needs no database, so a writer whose disk is full goes on preparing, and keeps
//! what it cannot store in a twentieth of the memory.

use std::collections::BTreeMap;

use super::batch::{Batch, Encoder, MAX_ENTRIES, last_slot};
use super::pack::Seal;
use super::shape::{encode_latencies, encode_runs};
use crate::model::{Record, Slice, Timestamp};

/// Rows of one or more records, in their order.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub batches: Vec<Batch>,
    pub slices: Vec<SliceRow>,
    pub states: Vec<(String, String)>,
    /// First and last due of what the batches hold of each series.
    pub spans: BTreeMap<u32, (i64, i64)>,
    /// How many records these are the rows of.
    pub n: u64,
}

/// A slice as it is stored.
#[derive(Debug)]
pub(super) struct SliceRow {
    pub series: i64,
    pub from: i64,
    pub to: i64,
    pub body: Vec<u8>,
    pub latencies: Option<Vec<u8>>,
}

impl Prepared {
    pub fn new<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut prepared = Prepared::default();
        let mut encoder = Encoder::default();
        for record in records {
            match record {
                Record::Observation(o) => prepared.span(o.series.0, o.due, o.due),
                Record::Gap(series, run) => prepared.span(series.0, run.start, last_slot(run)),
                Record::Slice(slice) => prepared.slices.push(SliceRow::new(slice)),
                Record::State { name, json } => prepared.states.push((name.clone(), json.clone())),
            }
            prepared.n += 1;
            encoder.push(record);
            if encoder.n() == MAX_ENTRIES {
                prepared.batches.extend(std::mem::take(&mut encoder).finish());
            }
        }
        prepared.batches.extend(encoder.finish());
        prepared
    }

    fn span(&mut self, series: u32, first: Timestamp, last: Timestamp) {
        let (first, last) = (first.micros(), last.micros());
        let span = self.spans.entry(series).or_insert((first, last));
        *span = (span.0.min(first), span.1.max(last));
    }

    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Bytes of all bodies.
    pub fn bytes(&self) -> usize {
        let slice = |s: &SliceRow| s.body.len() + s.latencies.as_ref().map_or(0, Vec::len);
        self.batches.iter().map(|b| b.body.len()).sum::<usize>()
            + self.slices.iter().map(slice).sum::<usize>()
            + self.states.iter().map(|(name, json)| name.len() + json.len()).sum::<usize>()
    }
}

impl SliceRow {
    fn new(slice: &Slice) -> Self {
        SliceRow {
            series: slice.series.0.into(),
            from: slice.start.micros(),
            to: slice.end.micros(),
            body: encode_runs(slice.start, &slice.thresholds, &slice.runs),
            latencies: encode_latencies(&slice.latencies),
        }
    }

    pub fn crc(&self) -> i64 {
        slice_crc(self.from, self.series, self.to, self.latencies.is_some(), &self.body)
    }
}

/// The checksum of a slice; it also tells whether there is a histogram.
pub(super) fn slice_crc(from: i64, series: i64, to: i64, latencies: bool, body: &[u8]) -> i64 {
    let keys = Seal::new("slice").int(from).int(series).int(to);
    keys.int(i64::from(latencies)).bytes(body).done()
}

/// The checksum of a histogram; it belongs to one slice and no other.
pub(super) fn latencies_crc(from: i64, series: i64, to: i64, body: &[u8]) -> i64 {
    Seal::new("latencies").int(from).int(series).int(to).bytes(body).done()
}

/// The checksum of a batch.
pub(super) fn batch_crc(seq: i64, first_due: i64, last_due: i64, n: i64, body: &[u8]) -> i64 {
    let keys = Seal::new("batch").int(seq).int(first_due).int(last_due).int(n);
    keys.int(super::batch::FORMAT).bytes(body).done()
}

/// The checksum of a count of slices.
pub(super) fn shelf_crc(from: i64, to: i64, n: i64, sum: i64) -> i64 {
    Seal::new("shelf").int(from).int(to).int(n).int(sum).done()
}

/// The checksum of a state.
pub(super) fn state_crc(name: &str, json: &str) -> i64 {
    Seal::new("state").bytes(name.as_bytes()).bytes(json.as_bytes()).done()
}

/// The checksum of a series' name.
pub(super) fn series_crc(id: i64, probe: &str, vantage: &str) -> i64 {
    Seal::new("series").int(id).bytes(probe.as_bytes()).bytes(vantage.as_bytes()).done()
}
