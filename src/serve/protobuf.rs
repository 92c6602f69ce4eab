//! Messages of `io.prometheus.client`, as much of them as a scrape has: metrics of the kinds we
//! write, histograms in their classic and their native form.
//!
//! Written by hand, straight into a buffer: prost's types would be built for every sample and
//! thrown away. Fields go out in the order of their numbers. It keeps no state.

use crate::engine::counters::Histogram;
use crate::engine::exponential::{Exponential, ZERO_EXPONENT};

/// `MetricType`, and the field of `Metric` that holds a value of that type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A counter.
    Counter,
    /// A gauge; there is none for facts.
    Gauge,
    /// A histogram.
    Histogram,
}

impl Type {
    const fn number(self) -> u64 {
        match self {
            Type::Counter => 0,
            Type::Gauge => 1,
            Type::Histogram => 4,
        }
    }

    const fn field(self) -> u32 {
        match self {
            Type::Counter => 3,
            Type::Gauge => 2,
            Type::Histogram => 7,
        }
    }
}

/// How a field is written (Protocol Buffers, encoding, "message structure").
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
}

/// The field of `MetricFamily` with one metric each.
const METRIC: u32 = 4;

/// Begins a `MetricFamily`.
pub fn push_family(family: &mut Vec<u8>, name: &str, help: &str, kind: Type) {
    push_bytes(family, 1, name.as_bytes());
    push_bytes(family, 2, help.as_bytes());
    push_uint(family, 3, kind.number());
}

/// Appends a counter or a gauge with these rendered labels to a `MetricFamily`.
pub fn push_sample(family: &mut Vec<u8>, kind: Type, labels: [&[u8]; 2], value: f64) {
    // The value in its message, and that in the metric's: a byte of key or length each.
    const VALUE: usize = 1 + 8;
    push_key(family, METRIC, Wire::Bytes);
    push_varint(family, (labels[0].len() + labels[1].len() + 2 + VALUE) as u64);
    family.extend_from_slice(labels[0]);
    family.extend_from_slice(labels[1]);
    push_key(family, kind.field(), Wire::Bytes);
    push_varint(family, VALUE as u64);
    push_double(family, 1, value);
}

/// Appends a histogram with these rendered labels to a `MetricFamily`: the classic buckets, and
/// the native ones if there are any. Who takes both decides which to keep.
pub fn push_histogram(
    family: &mut Vec<u8>,
    labels: &[u8],
    classic: &Histogram,
    native: Option<&Exponential>,
) {
    let mut message = Vec::with_capacity(512);
    push_uint(&mut message, 1, classic.total());
    push_double(&mut message, 2, classic.sum.as_secs_f64());
    let mut below = 0;
    // The bucket beyond all edges is the count.
    for (edge, n) in classic.edges.iter().zip(&classic.counts) {
        below += n;
        let mut bucket = Vec::with_capacity(20);
        push_uint(&mut bucket, 1, below);
        push_double(&mut bucket, 2, *edge as f64 / 1e6);
        push_bytes(&mut message, 3, &bucket);
    }
    if let Some(native) = native {
        push_native(&mut message, native);
    }
    let mut metric = labels.to_vec();
    push_bytes(&mut metric, Type::Histogram.field(), &message);
    push_bytes(family, METRIC, &metric);
}

fn push_native(message: &mut Vec<u8>, native: &Exponential) {
    push_sint(message, 5, native.resolution().into());
    push_double(message, 6, f64::from(ZERO_EXPONENT).exp2());
    push_uint(message, 7, native.zero());
    let buckets = native.buckets();
    // Runs of neighbours, each with its distance from the end of the one before.
    let mut next = 0;
    for run in buckets.chunk_by(|a, b| a.0 + 1 == b.0) {
        let first = i64::from(run[0].0);
        push_span(message, first - next, run.len());
        next = first + run.len() as i64;
    }
    if buckets.is_empty() {
        // Without a span it would read as a classic histogram.
        push_span(message, 0, 0);
    }
    let mut deltas = Vec::with_capacity(2 * buckets.len());
    let mut before = 0;
    for (_, n) in buckets {
        push_varint(&mut deltas, zigzag((*n as i64).wrapping_sub(before)));
        before = *n as i64;
    }
    if !deltas.is_empty() {
        push_bytes(message, 13, &deltas);
    }
}

fn push_span(message: &mut Vec<u8>, offset: i64, length: usize) {
    let mut span = Vec::with_capacity(8);
    push_sint(&mut span, 1, offset);
    push_uint(&mut span, 2, length as u64);
    push_bytes(message, 12, &span);
}

/// Appends a `LabelPair` to a `Metric`.
pub fn push_label(labels: &mut Vec<u8>, key: &str, value: &str) {
    let field = |text: &str| 1 + varint_len(text.len() as u64) + text.len();
    push_key(labels, 1, Wire::Bytes);
    push_varint(labels, (field(key) + field(value)) as u64);
    push_bytes(labels, 1, key.as_bytes());
    push_bytes(labels, 2, value.as_bytes());
}

/// Appends a whole number in groups of seven bits, the lowest first.
pub fn push_varint(bytes: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

const fn varint_len(n: u64) -> usize {
    let bits = u64::BITS - (n | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn push_key(bytes: &mut Vec<u8>, field: u32, wire: Wire) {
    push_varint(bytes, u64::from(field << 3 | wire as u32));
}

fn push_bytes(bytes: &mut Vec<u8>, field: u32, content: &[u8]) {
    push_key(bytes, field, Wire::Bytes);
    push_varint(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

fn push_uint(bytes: &mut Vec<u8>, field: u32, n: u64) {
    push_key(bytes, field, Wire::Varint);
    push_varint(bytes, n);
}

fn push_sint(bytes: &mut Vec<u8>, field: u32, n: i64) {
    push_uint(bytes, field, zigzag(n));
}

/// Small numbers of either sign as small numbers.
const fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn push_double(bytes: &mut Vec<u8>, field: u32, value: f64) {
    push_key(bytes, field, Wire::Fixed64);
    bytes.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests;
