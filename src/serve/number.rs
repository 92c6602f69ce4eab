//! Numbers as the formats write them.
//!
//! Whole numbers, durations and moments go from integers to digits: exact, and several times as
//! fast as the formatting machinery. Only what is a fraction by nature takes that.

use std::io::Write as _;
use std::time::Duration;

use crate::model::Timestamp;

/// Something that can be the value of a sample.
pub trait Value {
    /// Appends it as both text formats write numbers.
    fn push_to(self, text: &mut Vec<u8>);

    /// The number that a reader makes of it.
    fn as_f64(&self) -> f64;
}

impl Value for u64 {
    fn push_to(self, text: &mut Vec<u8>) {
        push_integer(text, self);
    }

    fn as_f64(&self) -> f64 {
        *self as f64
    }
}

impl Value for usize {
    fn push_to(self, text: &mut Vec<u8>) {
        push_integer(text, self as u64);
    }

    fn as_f64(&self) -> f64 {
        *self as f64
    }
}

impl Value for bool {
    fn as_f64(&self) -> f64 {
        f64::from(u8::from(*self))
    }

    fn push_to(self, text: &mut Vec<u8>) {
        text.push(if self { b'1' } else { b'0' });
    }
}

impl Value for f64 {
    fn as_f64(&self) -> f64 {
        *self
    }

    fn push_to(self, text: &mut Vec<u8>) {
        // Below 2^53 a whole number is exact as an integer, and much faster to write.
        if (0.0..9e15).contains(&self) && self as u64 as f64 == self {
            push_integer(text, self as u64);
        } else if self.is_finite() {
            write!(text, "{self}").expect("memory takes it");
        } else if self.is_nan() {
            text.extend_from_slice(b"NaN");
        } else {
            text.extend_from_slice(if self > 0.0 { b"+Inf" } else { b"-Inf" });
        }
    }
}

impl Value for Duration {
    /// As seconds.
    fn push_to(self, text: &mut Vec<u8>) {
        push_seconds(text, self.as_secs(), self.subsec_nanos().into(), 9);
    }

    fn as_f64(&self) -> f64 {
        self.as_secs_f64()
    }
}

impl Value for Timestamp {
    /// As seconds since the epoch.
    fn push_to(self, text: &mut Vec<u8>) {
        if self.micros() < 0 {
            text.push(b'-');
        }
        let micros = self.micros().unsigned_abs();
        push_seconds(text, micros / 1_000_000, micros % 1_000_000, 6);
    }

    fn as_f64(&self) -> f64 {
        self.as_secs_f64()
    }
}

/// Seconds with as much of a fraction as there is, given in units of ten to the minus `n_digits`.
pub(super) fn push_seconds(text: &mut Vec<u8>, whole: u64, fraction: u64, n_digits: usize) {
    push_integer(text, whole);
    if fraction == 0 {
        return;
    }
    let point = text.len();
    text.resize(point + 1 + n_digits, b'0');
    text[point] = b'.';
    let mut rest = fraction;
    for digit in text[point + 1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let n_zeros = text.iter().rev().take_while(|digit| **digit == b'0').count();
    text.truncate(text.len() - n_zeros);
}

fn push_integer(text: &mut Vec<u8>, mut n: u64) {
    if n < 10 {
        // What most counters say.
        text.push(b'0' + n as u8);
        return;
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    while n > 0 {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
    }
    text.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: impl Value) -> String {
        let mut text = Vec::new();
        value.push_to(&mut text);
        String::from_utf8(text).expect("ASCII")
    }

    #[test]
    fn numbers_are_written_in_full_and_without_an_exponent() {
        let check = |value: f64, expect| assert_eq!(text(value), expect);
        check(0.0, "0");
        check(0.000_000_25, "0.00000025");
        check(-1.5, "-1.5");
        check(2_592_000.0, "2592000");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "+Inf");
        check(f64::NEG_INFINITY, "-Inf");
        assert_eq!((text(u64::MAX), text(true)), ("18446744073709551615".to_owned(), "1".into()));
    }

    #[test]
    fn times_are_seconds_with_as_much_of_a_fraction_as_there_is() {
        let check = |nanos, expect| assert_eq!(text(Duration::from_nanos(nanos)), expect);
        check(0, "0");
        check(1, "0.000000001");
        check(1_500_000_000, "1.5");
        check(3_001_000_000, "3.001");
        check(7_000_000_000, "7");
        assert_eq!(text(Timestamp::from_micros(1_800_000_000_250_000)), "1800000000.25");
        assert_eq!(text(Timestamp::from_micros(-1_500_000)), "-1.5");
    }

    proptest! {
        #[test]
        fn every_number_reads_back_as_itself(n: u64, x: f64, nanos in 0_u64..1 << 50) {
            prop_assert_eq!(text(n).parse(), Ok(n));
            prop_assert!(x.is_nan() || text(x).parse::<f64>() == Ok(x));
            let seconds = Duration::from_nanos(nanos).as_secs_f64();
            let read: f64 = text(Duration::from_nanos(nanos)).parse().expect("a number");
            prop_assert!((read - seconds).abs() <= seconds * f64::EPSILON);
        }
    }
}
