//! Bytes of the ledger: variable-length integers, deflated bodies, checksums.
//!
//! Knows nothing of what the bytes mean. Every reader is bounded and total: bytes that this
//! file's writers cannot have written give `None`, never a panic and never a huge allocation.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Longest body once inflated; larger claims are refused, so damage cannot ask for memory.
pub(super) const MAX_RAW: usize = 64 << 20;

/// Bodies shorter than this are kept as they are: deflating them gains nothing.
const MIN_DEFLATED: usize = 96;
const RAW: u8 = 0;
const DEFLATED: u8 = 1;

/// Appends an unsigned integer: seven bits a byte, low bits first.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed integer, zigzag: small ones of either sign stay short.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Reads what [`put`] and [`put_signed`] wrote.
pub(super) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn take(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub fn signed(&mut self) -> Option<i64> {
        self.take().map(|v| (v >> 1) as i64 ^ -((v & 1) as i64))
    }

    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    /// A count of things that take at least a byte each: never more than what is left.
    pub fn count(&mut self) -> Option<usize> {
        usize::try_from(self.take()?).ok().filter(|n| *n <= self.0.len())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How much work to put into making a body small.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    /// It is replaced within hours, and its writer is in a hurry.
    Briefly,
    /// It stays.
    ForLong,
}

/// Turns raw bytes into a stored body: a byte that tells the form, then the bytes, deflated
/// where that is shorter.
pub(super) fn pack(raw: &[u8], keep: Keep) -> Vec<u8> {
    let level = match keep {
        Keep::Briefly => Compression::fast(),
        Keep::ForLong => Compression::default(),
    };
    if raw.len() >= MIN_DEFLATED
        && let Some(body) = deflated(raw, level)
    {
        return body;
    }
    let mut body = Vec::with_capacity(raw.len() + 1);
    body.push(RAW);
    body.extend_from_slice(raw);
    body
}

fn deflated(raw: &[u8], level: Compression) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(raw.len());
    body.push(DEFLATED);
    put(&mut body, raw.len() as u64);
    // The vector never grows: output that does not fit is not shorter than the input.
    let done =
        Compress::new(level, false).compress_vec(raw, &mut body, FlushCompress::Finish).ok()?;
    (done == Status::StreamEnd).then_some(body)
}

/// The raw bytes of a stored body; `scratch` holds them where they must be inflated.
pub(super) fn unpack<'a>(body: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let mut cursor = Cursor(body);
    match cursor.byte()? {
        RAW => Some(cursor.0),
        DEFLATED => {
            let n = usize::try_from(cursor.take()?).ok().filter(|n| *n <= MAX_RAW)?;
            scratch.clear();
            // One byte to spare, so that a stream that goes on is told from one that ends.
            scratch.reserve_exact(n + 1);
            let done = Decompress::new(false)
                .decompress_vec(cursor.0, scratch, FlushDecompress::Finish)
                .ok()?;
            (done == Status::StreamEnd && scratch.len() == n).then_some(scratch.as_slice())
        }
        _ => None,
    }
}

/// CRC-32C over a row: its kind, its keys and its content, so that a row whose key was changed
/// is as damaged as one whose content was.
pub(super) struct Seal(u32);

impl Seal {
    pub fn new(kind: &str) -> Self {
        Seal(crc32c::crc32c(kind.as_bytes()))
    }

    pub fn int(self, value: i64) -> Self {
        Seal(crc32c::crc32c_append(self.0, &value.to_le_bytes()))
    }

    /// The length is sealed too: moving bytes from one field to the next is seen.
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let Seal(crc) = self.int(bytes.len() as i64);
        Seal(crc32c::crc32c_append(crc, bytes))
    }

    pub fn done(self) -> i64 {
        i64::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_survive(unsigned: Vec<u64>, signed: Vec<i64>) {
            let mut out = Vec::new();
            unsigned.iter().for_each(|v| put(&mut out, *v));
            signed.iter().for_each(|v| put_signed(&mut out, *v));
            let mut cursor = Cursor(&out);
            for v in unsigned { prop_assert_eq!(cursor.take(), Some(v)); }
            for v in signed { prop_assert_eq!(cursor.signed(), Some(v)); }
            prop_assert!(cursor.is_empty());
        }

        #[test]
        fn bodies_survive_and_are_never_longer_than_a_byte_more(
            raw in prop::collection::vec(0_u8..4, 0..2_000),
        ) {
            let body = pack(&raw, Keep::ForLong);
            prop_assert!(body.len() <= raw.len() + 1);
            let mut scratch = Vec::new();
            prop_assert_eq!(unpack(&body, &mut scratch), Some(raw.as_slice()));
        }

        #[test]
        fn noise_is_incompressible_and_survives(raw: Vec<u8>) {
            let (body, mut scratch) = (pack(&raw, Keep::Briefly), Vec::new());
            prop_assert_eq!(unpack(&body, &mut scratch), Some(raw.as_slice()));
        }

        #[test]
        fn unpacking_noise_never_panics(body: Vec<u8>) {
            let _ = unpack(&body, &mut Vec::new());
            let _ = Cursor(&body).take();
        }
    }

    #[test]
    fn a_body_that_claims_to_be_huge_is_refused_before_memory_is_asked_for() {
        let mut body = vec![DEFLATED];
        put(&mut body, u64::MAX);
        assert_eq!(unpack(&body, &mut Vec::new()), None);
        assert_eq!(unpack(&[], &mut Vec::new()), None);
        assert_eq!(unpack(&[7, 1, 2], &mut Vec::new()), None);
    }
}
