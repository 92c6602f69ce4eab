//! Wall time as a number of microseconds, and durations as people write them.
//!
//! Nothing here reads a clock: pure code receives `now`. Latency and sleeping use the
//! monotonic clock at the edge and never this type.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::text::ParseError;

/// A moment of wall time: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest moment that can be written down; stands for "before everything".
    pub const MIN: Timestamp = Timestamp(i64::MIN);

    /// The moment this many microseconds after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// The moment this many whole seconds after the Unix epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Timestamp(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch, with the fraction; for exposition only, never for accounting.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// This moment plus a duration, clamped to what can be represented.
    pub fn plus(self, by: Duration) -> Self {
        Timestamp(self.0.saturating_add(micros(by)))
    }

    /// This moment minus a duration, clamped to what can be represented.
    pub fn minus(self, by: Duration) -> Self {
        Timestamp(self.0.saturating_sub(micros(by)))
    }

    /// The next moment that there is, a microsecond later.
    pub const fn just_after(self) -> Self {
        Timestamp(self.0.saturating_add(1))
    }

    /// The moment before this one, a microsecond earlier.
    pub const fn just_before(self) -> Self {
        Timestamp(self.0.saturating_sub(1))
    }

    /// Time passed since `earlier`; zero when `earlier` is not earlier.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The last multiple of `step` since the epoch that is not after this moment.
    /// A zero step leaves the moment as it is.
    pub fn floor(self, step: Duration) -> Self {
        match micros(step) {
            0 => self,
            step => Timestamp(self.0.saturating_sub(self.0.rem_euclid(step))),
        }
    }

    /// The start of the second this moment lies in.
    pub fn floor_second(self) -> Self {
        self.floor(Duration::from_secs(1))
    }

    /// The first whole second that is not before this moment.
    pub fn ceil_second(self) -> Self {
        self.plus(Duration::from_micros(999_999)).floor_second()
    }
}

/// Whole microseconds of a duration, saturating at `i64::MAX`.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with as much of a fraction as there is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.parse::<jiff::Timestamp>().map(|at| Timestamp(at.as_microsecond())).map_err(|_| {
            ParseError::new(text, "a time as RFC 3339 writes it, such as 2026-01-31T00:00:07Z")
        })
    }
}

/// The units of a written duration, longest first, in microseconds.
const UNITS: [(&str, u64); 7] = [
    ("w", 604_800_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Longest duration a spec may name: ten years. Keeps every product of the accounting in range.
pub const MAX_DURATION: Duration = Duration::from_secs(3_660 * 86_400);

/// Reads `500ms`, `5s`, `1h30m`, `30d`, `4w`: whole numbers with units, longest unit first.
///
/// # Errors
/// Anything else, a repeated or misordered unit, and more than [`MAX_DURATION`].
pub fn parse_duration(text: &str) -> Result<Duration, ParseError> {
    const EXPECTED: &str = "a duration such as 500ms, 5s, 1h30m, 30d or 4w";
    let fail = || ParseError::new(text, EXPECTED);
    let mut rest = text.trim();
    let mut total: u64 = 0;
    let mut smallest = usize::MAX;
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = rest[..digits].parse().map_err(|_| fail())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = UNITS.iter().position(|(name, _)| *name == &rest[..letters]).ok_or_else(fail)?;
        if smallest != usize::MAX && unit <= smallest {
            return Err(fail());
        }
        smallest = unit;
        rest = &rest[letters..];
        total = count
            .checked_mul(UNITS[unit].1)
            .and_then(|part| part.checked_add(total))
            .ok_or_else(|| ParseError::new(text, "a duration of at most ten years"))?;
    }
    let duration = Duration::from_micros(total);
    if duration > MAX_DURATION {
        return Err(ParseError::new(text, "a duration of at most ten years"));
    }
    Ok(duration)
}

/// Writes a duration the way [`parse_duration`] reads it, days being the longest unit: `30d`,
/// `1h30m`, `300ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, size) in &UNITS[1..] {
        if rest >= *size {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<u64, ()>) {
        let read = parse_duration(text).map(|d| d.as_micros() as u64).map_err(drop);
        assert_eq!(read, expect, "{text:?}");
    }

    #[test]
    fn durations_are_read_as_the_spec_language_writes_them() {
        check("500ms", Ok(500_000));
        check("5s", Ok(5_000_000));
        check("1h30m", Ok(5_400_000_000));
        check("30d", Ok(2_592_000_000_000));
        check("4w", Ok(2_419_200_000_000));
        check("0s", Ok(0));
        for bad in ["", "5", "s", "5 s", "1.5d", "30m1h", "1h1h", "1M", "-5s", "99999999999w", "5S"]
        {
            check(bad, Err(()));
        }
    }

    #[test]
    fn durations_round_trip_through_text() {
        for text in ["30d", "1h30m", "300ms", "5m", "3d", "1d1h1m1s1ms1us", "0s"] {
            let duration = parse_duration(text).expect(text);
            assert_eq!(format_duration(duration), text);
        }
        assert_eq!(format_duration(parse_duration("4w").expect("valid")), "28d");
    }

    #[test]
    fn timestamps_are_written_and_read_as_rfc_3339() {
        let at: Timestamp = "2026-01-31T00:00:07Z".parse().expect("valid");
        assert_eq!(at.to_string(), "2026-01-31T00:00:07Z");
        assert_eq!(at.plus(Duration::from_millis(250)).to_string(), "2026-01-31T00:00:07.25Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn seconds_are_floored_and_ceiled_on_both_sides_of_the_epoch() {
        let check = |us, floor, ceil| {
            let at = Timestamp::from_micros(us);
            assert_eq!(at.floor_second(), Timestamp::from_secs(floor));
            assert_eq!(at.ceil_second(), Timestamp::from_secs(ceil));
        };
        check(1_500_000, 1, 2);
        check(2_000_000, 2, 2);
        check(-500_000, -1, 0);
    }
}
