//! An objective: a share of good outcomes, held exactly.

use std::fmt;
use std::str::FromStr;

use super::decimal;
use super::text::ParseError;

/// Parts per billion in a whole.
pub const PPB: u32 = 1_000_000_000;

/// The promised share of good outcomes, strictly between 0 and 1, as whole parts per billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Objective(u32);

impl Objective {
    /// The objective of this many good parts per billion; none for 0 and for a billion or more.
    pub const fn from_ppb(ppb: u32) -> Option<Self> {
        if ppb == 0 || ppb >= PPB { None } else { Some(Objective(ppb)) }
    }

    /// Good parts per billion, 1 to 999,999,999.
    pub const fn ppb(self) -> u32 {
        self.0
    }

    /// Allowed bad parts per billion (the error budget ratio), 1 to 999,999,999.
    pub const fn budget_ppb(self) -> u32 {
        PPB - self.0
    }

    /// The ratio as decimal text, such as `0.9995`.
    pub fn ratio(self) -> String {
        decimal::ratio(i128::from(self.0), u128::from(PPB)).unwrap_or_default()
    }
}

impl fmt::Display for Objective {
    /// As a percentage with every digit that was declared, such as `99.95%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&percent_of_ppb(self.0))
    }
}

impl FromStr for Objective {
    type Err = ParseError;

    /// Reads `99.95%` or `0.9995`, up to nine decimals of the ratio.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let expected = "an objective above 0 and below 100%, such as 99.95% or 0.9995, with at most nine \
             decimals of the ratio (seven of the percentage)";
        parse_ppb(text)
            .and_then(Self::from_ppb)
            .ok_or_else(|| ParseError::new(text.trim(), expected))
    }
}

/// A share of something between 0 and 100 %, both included, as whole parts per billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    /// The share of this many parts per billion; none above a billion.
    pub const fn from_ppb(ppb: u32) -> Option<Self> {
        if ppb > PPB { None } else { Some(Share(ppb)) }
    }

    /// Parts per billion, 0 to 1,000,000,000.
    pub const fn ppb(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&percent_of_ppb(self.0))
    }
}

impl FromStr for Share {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_ppb(text)
            .and_then(Self::from_ppb)
            .ok_or_else(|| ParseError::new(text.trim(), "a share from 0% to 100%, such as 2%"))
    }
}

fn percent_of_ppb(ppb: u32) -> String {
    let text = decimal::fixed(i128::from(ppb) * 100, u128::from(PPB), 7).unwrap_or_default();
    format!("{}%", decimal::trim_zeros(&text))
}

/// Reads a percentage or a ratio as exact parts per billion; none if it has more digits than
/// that, is negative, or is no plain decimal number.
fn parse_ppb(text: &str) -> Option<u32> {
    let text = text.trim();
    let (number, digits) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 7),
        None => (text, 9),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let fraction = if fraction.len() > 1 { fraction.trim_end_matches('0') } else { fraction };
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    if !plain(whole) || !plain(fraction) || fraction.len() > digits {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(digits).ok()?);
    let padded = format!("{fraction:0<digits$}");
    let ppb = whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(padded.parse().ok()?)?;
    u32::try_from(ppb).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_read_exactly() {
        let check = |text: &str, expect: Option<u32>| {
            assert_eq!(text.parse::<Objective>().ok().map(Objective::ppb), expect, "{text:?}");
        };
        check("99.95%", Some(999_500_000));
        check("0.9995", Some(999_500_000));
        check("99.999 %", Some(999_990_000));
        check("0.999999999", Some(999_999_999));
        check("99.9999999%", Some(999_999_999));
        check("99.90000000000%", Some(999_000_000));
        for bad in [
            "0",
            "0%",
            "1",
            "100%",
            "99.9999999999%",
            "0.9999999999",
            "",
            "99,9%",
            "-1",
            "1e-3",
            "101%",
            ".5",
            "5.",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn objectives_are_written_with_every_declared_digit() {
        let check = |text: &str, percent: &str, ratio: &str| {
            let objective: Objective = text.parse().expect(text);
            assert_eq!(
                (objective.to_string().as_str(), objective.ratio().as_str()),
                (percent, ratio)
            );
        };
        check("0.9995", "99.95%", "0.9995");
        check("99.9999999%", "99.9999999%", "0.999999999");
        check("99%", "99%", "0.99");
    }
}
