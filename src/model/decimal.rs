//! Exact fractions written as decimal text.
//!
//! The one place where counts become digits. Digits are cut, never rounded, so no fraction
//! below one is ever written as one. Binary floating point does not occur.

use std::cmp::Ordering;

/// Digits after the point that ratios carry in machine-readable output.
pub const RATIO_DIGITS: u32 = 9;

/// `numerator / denominator` cut down (toward negative infinity) to [`RATIO_DIGITS`] digits,
/// without trailing zeros. A denominator of zero has no value.
pub fn ratio(numerator: i128, denominator: u128) -> Option<String> {
    fixed(numerator, denominator, RATIO_DIGITS).map(|text| trim_zeros(&text).to_owned())
}

/// `numerator / denominator` cut down to exactly `digits` digits after the point (at most 18).
pub fn fixed(numerator: i128, denominator: u128, digits: u32) -> Option<String> {
    let digits = digits.min(18);
    let scale = 10_i128.pow(digits);
    let denominator = i128::try_from(denominator).ok().filter(|d| *d > 0)?;
    // Whole part first: the product then stays in range for every count that fits in 64 bits.
    let whole = numerator.div_euclid(denominator);
    let rest = numerator.rem_euclid(denominator);
    let fraction = match rest.checked_mul(scale) {
        Some(scaled) => scaled / denominator,
        None => rest / (denominator / scale).max(1),
    };
    let scaled = whole.checked_mul(scale)?.checked_add(fraction.min(scale - 1))?;
    Some(place_point(scaled, digits))
}

/// The billionths that a text from [`ratio`] says; none for other text.
pub fn billionths(text: &str) -> Option<i128> {
    let (sign, magnitude) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, digits) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = !whole.is_empty() && digits.len() <= RATIO_DIGITS as usize;
    if !is_plain || !is_number(whole) || !is_number(digits) {
        return None;
    }
    format!("{whole}{digits:0<9}").parse::<i128>().ok()?.checked_mul(sign)
}

/// Writes `scaled / 10^digits`.
fn place_point(scaled: i128, digits: u32) -> String {
    let sign = if scaled < 0 { "-" } else { "" };
    let magnitude = scaled.unsigned_abs();
    if digits == 0 {
        return format!("{sign}{magnitude}");
    }
    let scale = 10_u128.pow(digits);
    let width = digits as usize;
    format!("{sign}{}.{:0width$}", magnitude / scale, magnitude % scale)
}

/// Removes zeros after the last significant digit of a fraction, and then a bare point.
pub fn trim_zeros(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

/// Compares `a * b` with `c * d` exactly, over all 256 bits of the products.
pub fn cmp_products(a: u128, b: u128, c: u128, d: u128) -> Ordering {
    widening_mul(a, b).cmp(&widening_mul(c, d))
}

/// The product as (high, low) halves of 256 bits.
fn widening_mul(a: u128, b: u128) -> (u128, u128) {
    const MASK: u128 = u64::MAX as u128;
    let (a_hi, a_lo) = (a >> 64, a & MASK);
    let (b_hi, b_lo) = (b >> 64, b & MASK);
    let low = a_lo * b_lo;
    // No overflow: (2^64-1)^2 + 2*(2^64-1) = 2^128 - 1.
    let middle = a_hi * b_lo + (low >> 64);
    let carry = a_lo * b_hi + (middle & MASK);
    let high = a_hi * b_hi + (middle >> 64) + (carry >> 64);
    (high, (carry << 64) | (low & MASK))
}

/// Greatest common divisor; of zero and zero it is zero.
pub fn gcd(a: u128, b: u128) -> u128 {
    let (mut a, mut b) = (a, b);
    while b > u128::from(u64::MAX) {
        (a, b) = (b, a % b);
    }
    if b == 0 {
        return a;
    }
    // What is left fits the machine's own division, which is several times as fast.
    let (mut a, mut b) = (b as u64, (a % b) as u64);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ratios_are_cut_and_never_reach_one_early() {
        let check = |n, d, expect: &str| assert_eq!(ratio(n, d).as_deref(), Some(expect));
        check(2_591_400, 2_592_000, "0.999768518");
        check(999_999_999_999, 1_000_000_000_000, "0.999999999");
        check(600, 2_592, "0.231481481");
        check(1, 1, "1");
        check(0, 5, "0");
        check(-1, 3, "-0.333333334");
        check(-3, 2, "-1.5");
        assert_eq!(ratio(1, 0), None);
        assert_eq!(fixed(1, 2, 0).as_deref(), Some("0"));
    }

    #[test]
    fn what_is_no_ratio_has_no_billionths() {
        let check = |text: &str, expect| assert_eq!(billionths(text), expect, "{text:?}");
        check("-2049", Some(-2_049_000_000_000));
        check("0.000000001", Some(1));
        for text in ["", "-", ".5", "1e3", "+1", "1.0000000001", "1.-5", "x"] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn a_ratio_says_its_billionths(nano in -1_i128 << 80..1 << 80) {
            let text = ratio(nano, 1_000_000_000).expect("a denominator");
            prop_assert_eq!(billionths(&text), Some(nano), "{}", text);
        }

        #[test]
        fn a_common_divisor_divides_both_and_leaves_nothing_in_common(
            a in 0_u128..1 << 60, b in 0_u128..1 << 60, k in 1_u128..1 << 60,
        ) {
            let (a, b) = (a * k, b * k);
            let divisor = gcd(a, b);
            prop_assume!(divisor > 0);
            prop_assert_eq!((a % divisor, b % divisor, divisor % k), (0, 0, 0));
            prop_assert_eq!(gcd(a / divisor, b / divisor), 1);
        }

        #[test]
        fn wide_products_agree_with_narrow_ones(a: u64, b: u64, c: u64, d: u64) {
            let wide = cmp_products(a.into(), b.into(), c.into(), d.into());
            let (left, right) = (u128::from(a) * u128::from(b), u128::from(c) * u128::from(d));
            prop_assert_eq!(wide, left.cmp(&right));
        }

        #[test]
        fn wide_products_are_scale_free(a: u128, b in 1_u128.., k in 1_u128..1_000) {
            // (a / k) * (b * k) against a * b, where the division is exact and b * k may overflow.
            let b = b % (u128::MAX / k).max(1);
            prop_assert_eq!(cmp_products(a / k * k, b, a / k, b * k), Ordering::Equal);
        }

        #[test]
        fn no_ratio_below_one_is_written_as_one(bad in 1_u64.., total: u64) {
            prop_assume!(bad <= total);
            let text = ratio(i128::from(total - bad), u128::from(total)).expect("total is positive");
            prop_assert!(text.starts_with("0"), "{}", text);
        }
    }
}
