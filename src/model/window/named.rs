//! Periods by the names that people give them: a day, a week, a month, a quarter, a year, or the
//! time before now.

use jiff::civil::{Date, ISOWeekDate, Weekday};

use super::{Calendar, Period, Unit, Zone};
use crate::model::text::ParseError;
use crate::model::time::{Timestamp, parse_duration};

/// What the name of a period looks like.
const EXPECTED: &str = "a period such as 2026-11, 2026-Q4, 2026-W47, 2026, 2026-11-22, \
                        this-month, last-week or last-30d; years from 1970 to 2999";

/// The period of this name. The zone says when days begin; `now` is within `this-month`, and, cut
/// to the second, where `last-30d` ends.
///
/// # Errors
/// Other names, and days, weeks and months that do not exist.
pub fn named_period(text: &str, zone: &Zone, now: Timestamp) -> Result<Period, ParseError> {
    let fail = || ParseError::new(text, EXPECTED);
    if let Some((which, unit)) = text.split_once('-')
        && let Some(unit) = Unit::ALL.into_iter().find(|known| known.word() == unit)
    {
        let calendar = Calendar::of(unit, zone.clone());
        let present = calendar.period(now);
        return match which {
            "this" => Ok(present),
            "last" => Ok(calendar.period(Timestamp::from_micros(present.start.micros() - 1))),
            _ => Err(fail()),
        };
    }
    if let Some(length) = text.strip_prefix("last-") {
        let length = parse_duration(length).map_err(|_| fail())?;
        let end = now.floor_second();
        let start = end.minus(length).floor_second();
        return if start < end { Ok(Period { start, end }) } else { Err(fail()) };
    }
    let (unit, date) = named_date(text).ok_or_else(fail)?;
    // Every day has a noon, and every period that has the day has its noon.
    let noon = zone.rules.to_timestamp(date.at(12, 0, 0, 0)).map_err(|_| fail())?;
    let noon = Timestamp::from_micros(noon.as_microsecond());
    Ok(Calendar::of(unit, zone.clone()).period(noon))
}

/// What kind of period it is, and its first day.
fn named_date(text: &str) -> Option<(Unit, Date)> {
    let (year, rest) = text.split_once('-').unwrap_or((text, ""));
    let year = i16::try_from(digits(year, 4)?).ok().filter(|year| (1970..3000).contains(year))?;
    let small = |text: &str, n| digits(text, n).and_then(|n| i8::try_from(n).ok());
    if rest.is_empty() {
        return (!text.contains('-')).then(|| Date::new(year, 1, 1).ok())?.map(|d| (Unit::Year, d));
    }
    if let Some(quarter) = rest.strip_prefix('Q') {
        let quarter = small(quarter, 1).filter(|quarter| (1..=4).contains(quarter))?;
        return Some((Unit::Quarter, Date::new(year, quarter * 3 - 2, 1).ok()?));
    }
    if let Some(week) = rest.strip_prefix('W') {
        let monday = ISOWeekDate::new(year, small(week, 2)?, Weekday::Monday).ok()?;
        return Some((Unit::Week, monday.date()));
    }
    match rest.split_once('-') {
        None => Some((Unit::Month, Date::new(year, small(rest, 2)?, 1).ok()?)),
        Some((month, day)) => {
            Some((Unit::Day, Date::new(year, small(month, 2)?, small(day, 2)?).ok()?))
        }
    }
}

/// A number of exactly so many digits.
fn digits(text: &str, n: usize) -> Option<u32> {
    let plain = text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, zone: &str) -> Result<String, String> {
        let now = "2026-11-22T21:46:24.5Z".parse().expect("valid");
        let period = named_period(text, &zone.parse().expect("a zone"), now);
        period.map(|p| format!("{} {}", p.start, p.end)).map_err(|e| e.to_string())
    }

    #[test]
    fn periods_have_the_length_that_the_zone_gives_them() {
        let check = |text, zone, expect: &str| {
            assert_eq!(named(text, zone).as_deref(), Ok(expect), "{text} {zone}");
        };
        check("2026-11", "UTC", "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z");
        check("2026-10", "Europe/Berlin", "2026-09-30T22:00:00Z 2026-10-31T23:00:00Z");
        check("2026-Q4", "UTC", "2026-10-01T00:00:00Z 2027-01-01T00:00:00Z");
        check("2026-W47", "UTC", "2026-11-16T00:00:00Z 2026-11-23T00:00:00Z");
        check("2026-W53", "UTC", "2026-12-28T00:00:00Z 2027-01-04T00:00:00Z");
        check("2026", "UTC", "2026-01-01T00:00:00Z 2027-01-01T00:00:00Z");
        check("2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00Z 2026-10-25T23:00:00Z");
        check("2024-02-29", "UTC", "2024-02-29T00:00:00Z 2024-03-01T00:00:00Z");
        check("this-month", "UTC", "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z");
        check("last-quarter", "UTC", "2026-07-01T00:00:00Z 2026-10-01T00:00:00Z");
        check("last-30d", "UTC", "2026-10-23T21:46:24Z 2026-11-22T21:46:24Z");
    }

    #[test]
    fn what_is_no_period_is_told_with_an_example() {
        for text in [
            "",
            "26",
            "2026-",
            "2026-13",
            "2026-00",
            "2026-1",
            "2026-Q5",
            "2026-Q0",
            "2026-W54",
            "2026-W00",
            "2025-W53",
            "2026-02-29",
            "2026-11-22-1",
            "1969",
            "3000",
            "last-",
            "last-0s",
            "last-1",
            "+026",
            "2026-+1",
            "next-1d",
            "next-month",
        ] {
            let told = named(text, "UTC").expect_err(text);
            assert!(told.contains("2026-Q4"), "{told}");
        }
    }
}
