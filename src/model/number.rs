//! The one formatter for numbers that people see.
//!
//! Cuts toward worse, shows as many nines as the data supports, and never writes 100 % when a
//! bad event exists.

use std::time::Duration;

use super::decimal;

/// What stands where there is no number.
pub const NO_DATA: &str = "no data";

/// Most digits after the point of a percentage.
const MAX_DIGITS: u32 = 9;

/// good / total as a percentage such as `99.9996 %`; [`NO_DATA`] when nothing was counted.
///
/// Digits: two beyond the leading nines, at most as many as `total` events can tell apart, and
/// at least as many as keep a bad event visible.
pub fn percent(good: u64, total: u64) -> String {
    let bad = u128::from(total.saturating_sub(good));
    if total == 0 {
        return NO_DATA.to_owned();
    }
    if bad == 0 {
        return "100 %".to_owned();
    }
    // Nines: the largest n with bad / total < 10^-n.
    let nines = (0..18).take_while(|n| bad * 10_u128.pow(n + 1) < u128::from(total)).count() as u32;
    let digits = nines.saturating_sub(1).max(1) + 1;
    let text = decimal::fixed(i128::from(good) * 100, total.into(), digits.min(MAX_DIGITS));
    format!("{} %", decimal::trim_zeros(&text.unwrap_or_default()))
}

/// Parts per billion as a percentage with every digit that is not a trailing zero.
pub fn percent_ppb(ppb: u32) -> String {
    let text = decimal::fixed(i128::from(ppb) * 100, 1_000_000_000, 7).unwrap_or_default();
    format!("{} %", decimal::trim_zeros(&text))
}

/// A fraction as a percentage with two digits, cut toward worse (down), such as `-12.35 %`.
pub fn percent_of(numerator: i128, denominator: u128) -> String {
    match decimal::fixed(numerator.saturating_mul(100), denominator, 2) {
        Some(text) => format!("{} %", decimal::trim_zeros(&text)),
        None => NO_DATA.to_owned(),
    }
}

/// The same cut up, for shares of which less is better, such as what is spent.
pub fn percent_up(numerator: u128, denominator: u128) -> String {
    let numerator = i128::try_from(numerator).unwrap_or(i128::MAX);
    percent_of(-numerator, denominator).trim_start_matches('-').to_owned()
}

/// A burn rate such as `22x`, `14.4x` or `0.93x`: three digits, cut toward worse (up).
/// [`NO_DATA`] for a denominator of zero.
pub fn burn((numerator, denominator): (u128, u128)) -> String {
    match three_digits(numerator, denominator) {
        Some((rate, scale)) => {
            let rate = i128::try_from(rate).unwrap_or(i128::MAX);
            let text = decimal::fixed(rate, scale, 2).unwrap_or_default();
            format!("{}x", decimal::trim_zeros(&text))
        }
        None => NO_DATA.to_owned(),
    }
}

/// `numerator / denominator` cut up to three digits, as an integer and what that is divided by;
/// whole from 100 on. None for a denominator of zero.
fn three_digits(numerator: u128, denominator: u128) -> Option<(u128, u128)> {
    let scaled = |scale: u128| numerator.saturating_mul(scale).div_ceil(denominator);
    if denominator == 0 {
        return None;
    }
    let scale = match scaled(100) {
        0..1_000 => 100,
        1_000..10_000 => 10,
        _ => 1,
    };
    Some((scaled(scale), scale))
}

/// How many times a budget is spent, such as `2.5` or `2 050`: three digits, cut up. None below
/// twice, where people read a percentage.
fn times(spent: u128, whole: u128) -> Option<String> {
    if whole == 0 || spent < whole.saturating_mul(2) {
        return None;
    }
    let (times, scale) = three_digits(spent, whole)?;
    Some(match scale {
        1 => count(u64::try_from(times).unwrap_or(u64::MAX)),
        _ => {
            let text = decimal::fixed(i128::try_from(times).ok()?, scale, 2)?;
            decimal::trim_zeros(&text).to_owned()
        }
    })
}

/// What is spent of a budget: `23.15 % spent`, and from twice the budget on
/// `spent 2 050 times over`. Cut up.
pub fn spent(spent: u128, whole: u128) -> String {
    match times(spent, whole) {
        Some(times) => format!("spent {times} times over"),
        None if whole == 0 => NO_DATA.to_owned(),
        None => format!("{} spent", percent_up(spent, whole)),
    }
}

/// What something costs of a budget: `12.5 % of the budget`, and from twice the budget on
/// `2 050 times the budget`. Cut up.
pub fn of_budget(cost: u128, whole: u128) -> String {
    match times(cost, whole) {
        Some(times) => format!("{times} times the budget"),
        None => format!("{} of the budget", percent_up(cost, whole)),
    }
}

/// What is left of a budget: `76.85 %`, negative once it is overspent, and from twice the budget
/// on `spent 2 050 times over`. Cut toward worse.
pub fn left(left: i128, whole: u128) -> String {
    match overspent(left, whole) {
        Some(times) => format!("spent {times} times over"),
        None => percent_of(left, whole),
    }
}

/// The same in time, of which `micros` are left: `33 min 12 s`, `overspent by 10 min`, and from
/// twice the budget on `spent 2 050 times over`. Cut toward worse.
pub fn left_time((left, whole): (i128, u128), micros: i128) -> String {
    let time = Duration::from_micros(u64::try_from(micros.unsigned_abs()).unwrap_or(u64::MAX));
    match overspent(left, whole) {
        Some(times) => format!("spent {times} times over"),
        None if micros < 0 => format!("overspent by {}", duration_up(time)),
        None => duration(time),
    }
}

/// The same beside the budget: `33 min 12 s of 43 min 12 s of budget left`, `budget of 43 min
/// 12 s overspent by 10 min`, `budget of 43 min 12 s spent 2 050 times over`.
pub fn budget((left, whole): (i128, u128), micros: i128, total: Duration) -> String {
    let (time, total) = (left_time((left, whole), micros), duration(total));
    match left < 0 {
        true => format!("budget of {total} {time}"),
        false => format!("{time} of {total} of budget left"),
    }
}

/// How many times a budget is spent of which this is left, from twice on.
fn overspent(left: i128, whole: u128) -> Option<String> {
    let over = (left < 0).then(|| left.unsigned_abs())?;
    times(whole.saturating_add(over), whole)
}

/// A count with narrow no-break spaces between its thousands: `2 592 000`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A count with a fraction, as decimal text, for people: thousands set apart, and two digits of
/// the fraction, cut, unless that is all there is.
pub fn decimal_count(text: &str) -> String {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    match (whole.parse(), digits.get(..2).unwrap_or(digits)) {
        (Ok(0), _) | (Err(_), _) => text.to_owned(),
        (Ok(n), digits) => decimal::trim_zeros(&format!("{}.{digits}", count(n))).to_owned(),
    }
}

/// A length of time for people, cut to two units: `25.92 s`, `26 min 47 s`, `8 d 1 h`, `120 ms`.
pub fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let secs = duration.as_secs();
    match secs {
        0 if ms == 0 && !duration.is_zero() => format!("{} µs", duration.as_micros()),
        0 => format!("{ms} ms"),
        1..60 => {
            let text = decimal::fixed(ms as i128, 1_000, 2).unwrap_or_default();
            format!("{} s", decimal::trim_zeros(&text))
        }
        60..3_600 => two_units(secs, 60, "min", 1, "s"),
        3_600..86_400 => two_units(secs, 3_600, "h", 60, "min"),
        _ => two_units(secs, 86_400, "d", 3_600, "h"),
    }
}

fn two_units(secs: u64, large: u64, large_name: &str, small: u64, small_name: &str) -> String {
    match secs % large / small {
        0 => format!("{} {large_name}", secs / large),
        rest => format!("{} {large_name} {rest} {small_name}", secs / large),
    }
}

/// The same cut up, for time that is spent.
pub fn duration_up(time: Duration) -> String {
    // What the shorter of the two units is, in microseconds.
    let unit = match time.as_secs() {
        0 if time.as_millis() == 0 => 1,
        0 => 1_000,
        1..60 => 10_000,
        60..3_600 => 1_000_000,
        3_600..86_400 => 60_000_000,
        _ => 3_600_000_000,
    };
    let micros = time.as_nanos().div_ceil(1_000).div_ceil(unit) * unit;
    duration(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
}

/// Signed seconds for people, such as `-1 min 2 s`.
pub fn seconds(seconds: f64) -> String {
    let magnitude = Duration::try_from_secs_f64(seconds.abs()).unwrap_or(Duration::MAX);
    let sign = if seconds < 0.0 { "-" } else { "" };
    format!("{sign}{}", duration(magnitude))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentages_show_the_nines_that_the_data_supports() {
        let check = |good, total, expect: &str| assert_eq!(percent(good, total), expect);
        check(0, 0, "no data");
        check(10, 10, "100 %");
        check(9, 10, "90 %");
        check(2_591_400, 2_592_000, "99.976 %");
        check(999_996, 1_000_000, "99.9996 %");
        check(9_999_999, 10_000_000, "99.99999 %");
        check(0, 7, "0 %");
        check(1, 3, "33.33 %");
    }

    #[test]
    fn durations_are_short_and_cut() {
        let check = |ms, expect: &str| assert_eq!(duration(Duration::from_millis(ms)), expect);
        check(25_920, "25.92 s");
        check(1_607_500, "26 min 47 s");
        check(120, "120 ms");
        check(0, "0 ms");
        check(86_400_000 * 8 + 3_600_000, "8 d 1 h");
        assert_eq!(seconds(-62.4), "-1 min 2 s");
    }

    #[test]
    fn burn_rates_have_three_digits_and_are_cut_up() {
        let check = |n, d, expect: &str| assert_eq!(burn((n, d)), expect, "{n}/{d}");
        check(0, 7, "0x");
        check(1, 1_000, "0.01x");
        check(144, 10, "14.4x");
        check(25, 27, "0.93x");
        check(1_000_001, 1_000_000, "1.01x");
        check(999, 100, "9.99x");
        check(9_991, 1_000, "10x");
        check(1_335, 10, "134x");
        check(22, 1, "22x");
        check(1, 0, NO_DATA);
    }

    #[test]
    fn what_is_spent_is_cut_up() {
        let check = |n, d, expect: &str| assert_eq!(percent_up(n, d), expect, "{n}/{d}");
        check(600, 2_592, "23.15 %");
        check(1, 1_000_000, "0.01 %");
        check(0, 5, "0 %");
        check(5, 5, "100 %");
        check(1, 0, NO_DATA);
    }

    #[test]
    fn a_budget_that_is_spent_many_times_is_told_in_times() {
        let check = |spent: u128, whole: u128, expect: [&str; 3]| {
            let rest = whole as i128 - spent as i128;
            let got = [super::spent(spent, whole), of_budget(spent, whole), left(rest, whole)];
            assert_eq!(got.map(|text| text.replace('\u{202f}', "_")), expect, "{spent}/{whole}");
        };
        check(600, 2_592, ["23.15 % spent", "23.15 % of the budget", "76.85 %"]);
        check(1_999, 1_000, ["199.9 % spent", "199.9 % of the budget", "-99.9 %"]);
        let times = |n: &str| [format!("spent {n} times over"), format!("{n} times the budget")];
        for (spent, whole, n) in [
            (2_000, 1_000, "2"),
            (2_001, 1_000, "2.01"),
            (20_500, 1_000, "20.5"),
            (20_501, 1_000, "20.6"),
            (100_001, 1_000, "101"),
            (2_050_000, 1_000, "2_050"),
        ] {
            let [over, of] = times(n);
            check(spent, whole, [&over, &of, &over]);
        }
        check(1, 0, [NO_DATA, "no data of the budget", NO_DATA]);
    }

    #[test]
    fn what_is_left_in_time_stands_beside_its_budget() {
        let whole = Duration::from_secs(2_592);
        let check = |left: i128, expect: &str| {
            let text = budget((left, 2_592), left * 1_000_000, whole);
            assert_eq!(text.replace('\u{202f}', "_"), expect, "{left}");
        };
        check(1_992, "33 min 12 s of 43 min 12 s of budget left");
        check(0, "0 ms of 43 min 12 s of budget left");
        check(-600, "budget of 43 min 12 s overspent by 10 min");
        check(-2_592, "budget of 43 min 12 s spent 2 times over");
        check(-2_592 * 2_049, "budget of 43 min 12 s spent 2_050 times over");
    }

    #[test]
    fn time_that_is_spent_is_cut_up() {
        let check = |micros, expect: &str| {
            assert_eq!(duration_up(Duration::from_micros(micros)), expect, "{micros}");
        };
        check(0, "0 ms");
        check(1, "1 µs");
        check(1_001, "2 ms");
        check(18_000_000, "18 s");
        check(18_000_001, "18.01 s");
        check(59_999_999, "1 min");
        check(119_000_001, "2 min");
        check(3_600_000_001, "1 h 1 min");
        check(86_399_000_000, "1 d");
        check(86_400_000_001, "1 d 1 h");
    }

    #[test]
    fn thousands_are_set_apart() {
        let check = |n, expect: &str| assert_eq!(count(n).replace('\u{202f}', "_"), expect);
        check(0, "0");
        check(999, "999");
        check(1_000, "1_000");
        check(2_592_000, "2_592_000");
        let check = |text, expect: &str| {
            assert_eq!(decimal_count(text).replace('\u{202f}', "_"), expect);
        };
        check("2592", "2_592");
        check("10", "10");
        check("25920.999", "25_920.99");
        check("25920.001", "25_920");
        check("0.02592", "0.02592");
    }

    proptest! {
        #[test]
        fn a_bad_event_is_never_written_as_a_hundred_percent(bad in 1_u64..=1_000, good: u32) {
            let total = u64::from(good) + bad;
            prop_assert!(!percent(u64::from(good), total).starts_with("100"));
        }
    }
}
