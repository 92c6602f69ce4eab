//! The window of a promise: the time before now, or the present period of a calendar.
//!
//! Knows how long a period really is: days have 23, 24 or 25 hours, months 28 to 31 days, by the
//! zone's own rules. Reads no system files: the zones are built in, so that a spec means the same
//! on every machine. Keeps true: periods follow each other without gap or overlap.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, ToSpan};

use super::text::ParseError;
use super::time::{Timestamp, format_duration, parse_duration};

/// Over which time a promise is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// The time before now, always equally long.
    Rolling(Duration),
    /// The present period of a calendar; at its end the count begins anew.
    Calendar(Calendar),
}

/// A stretch of time from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Slots due from here on belong to it.
    pub start: Timestamp,
    /// Slots due from here on do not.
    pub end: Timestamp,
}

impl Period {
    /// How long it really is.
    pub fn length(self) -> Duration {
        self.end.since(self.start)
    }
}

impl Window {
    /// The window that the tick `at` speaks of: `[at - length, at)`, or the whole calendar
    /// period in which the last moment before the tick lies. At the end of a period the tick
    /// thus speaks of all of it.
    pub fn period(&self, at: Timestamp) -> Period {
        match self {
            Window::Rolling(length) => Period { start: at.minus(*length), end: at },
            Window::Calendar(calendar) => calendar.period(at.just_before()),
        }
    }

    /// How far the tick `at` looks back: to the beginning of its period.
    pub fn look_back(&self, at: Timestamp) -> Duration {
        at.since(self.period(at).start)
    }

    /// The least time that it can cover: a February without a leap day for a month.
    pub const fn shortest(&self) -> Duration {
        match self {
            Window::Rolling(length) => *length,
            Window::Calendar(calendar) => calendar.shortest,
        }
    }

    /// The most time that it can cover.
    pub const fn longest(&self) -> Duration {
        match self {
            Window::Rolling(length) => *length,
            Window::Calendar(calendar) => calendar.longest,
        }
    }

    /// The calendar, if it follows one.
    pub const fn calendar(&self) -> Option<&Calendar> {
        match self {
            Window::Rolling(_) => None,
            Window::Calendar(calendar) => Some(calendar),
        }
    }
}

impl From<Duration> for Window {
    fn from(length: Duration) -> Self {
        Window::Rolling(length)
    }
}

impl fmt::Display for Window {
    /// `30d`, `calendar month (Europe/Berlin)`, `2 calendar weeks from 2026-01-05 (UTC)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Rolling(length) => f.write_str(&format_duration(*length)),
            Window::Calendar(calendar) => calendar.fmt(f),
        }
    }
}

impl FromStr for Window {
    type Err = ParseError;

    /// Reads what [`Window`] writes.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Ok(length) = parse_duration(text) {
            return Ok(Window::Rolling(length));
        }
        let calendar = || {
            let (periods, zone) = text.strip_suffix(')')?.rsplit_once(" (")?;
            let zone: Zone = zone.parse().ok()?;
            let (periods, begin) = match periods.split_once(" from ") {
                Some((periods, begin)) => (periods, Some(begin)),
                None => (periods, None),
            };
            let (every, word) = periods.split_once("calendar ")?;
            let every = if every.is_empty() { 1 } else { every.trim_end().parse().ok()? };
            let word = if every > 1 { word.strip_suffix('s')? } else { word };
            let unit = Unit::ALL.into_iter().find(|unit| unit.word() == word)?;
            match begin {
                Some(begin) => Calendar::from(unit, every, begin, zone),
                None => (every == 1).then(|| Calendar::of(unit, zone)),
            }
        };
        let expected = "a window such as 30d or calendar month (Europe/Berlin)";
        calendar().map(Window::Calendar).ok_or_else(|| ParseError::new(text, expected))
    }
}

/// What a calendar counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// From midnight to midnight.
    Day,
    /// From Monday on.
    Week,
    /// From the first of the month on.
    Month,
    /// From the first of January, April, July and October on.
    Quarter,
    /// From the first of January on.
    Year,
}

impl Unit {
    const ALL: [Unit; 5] = [Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year];

    /// The word in the spec language.
    pub const fn word(self) -> &'static str {
        match self {
            Unit::Day => "day",
            Unit::Week => "week",
            Unit::Month => "month",
            Unit::Quarter => "quarter",
            Unit::Year => "year",
        }
    }

    /// `n` of them on the calendar.
    fn span(self, n: i64) -> Span {
        match self {
            Unit::Day => n.days(),
            Unit::Week => n.weeks(),
            Unit::Month => n.months(),
            Unit::Quarter => (n * 3).months(),
            Unit::Year => n.years(),
        }
    }

    /// How many whole ones lie between two dates, give or take one.
    fn between(self, from: Date, to: Date) -> i64 {
        let months = || {
            let month = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
            month(to) - month(from)
        };
        let days = || to.duration_since(from).as_hours() / 24;
        match self {
            Unit::Day => days(),
            Unit::Week => days() / 7,
            Unit::Month => months(),
            Unit::Quarter => months() / 3,
            Unit::Year => months() / 12,
        }
    }

    /// Where periods begin unless somebody says otherwise: a Monday for weeks, else a first of
    /// January.
    fn anchor(self) -> DateTime {
        let day = if self == Unit::Week { 5 } else { 1 };
        DateTime::constant(1970, 1, day, 0, 0, 0, 0)
    }
}

/// A time zone that is built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// Coordinated Universal Time.
    pub fn utc() -> Self {
        Zone { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }

    /// Its IANA name, as it was written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What clocks show at a moment, within what jiff can tell apart.
    pub(super) fn civil(&self, at: Timestamp) -> DateTime {
        let micros = at.micros().clamp(-MAX_MICROS, MAX_MICROS);
        self.rules.to_datetime(jiff::Timestamp::from_microsecond(micros).unwrap_or_default())
    }

    /// When clocks show this. A time that the zone leaves out is read with the offset before the
    /// gap, one that comes twice is the first of the two.
    pub(super) fn moment(&self, civil: DateTime) -> Timestamp {
        let at = self.rules.to_timestamp(civil).unwrap_or_default();
        Timestamp::from_micros(at.as_microsecond())
    }
}

impl FromStr for Zone {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match TimeZoneDatabase::bundled().get(text) {
            Ok(rules) => Ok(Zone { name: text.to_owned(), rules }),
            Err(_) => Err(ParseError::new(text, "an IANA time zone such as Europe/Berlin or UTC")),
        }
    }
}

/// Periods of a calendar, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    unit: Unit,
    /// How many units a period has, at least 1.
    every: u32,
    /// The beginning of one of the periods, in the zone's own time.
    anchor: DateTime,
    zone: Zone,
    shortest: Duration,
    longest: Duration,
}

/// Most units that a calendar period may have.
pub const MAX_UNITS: u32 = 366;
/// Times that jiff can tell apart lie well within these years.
const MAX_MICROS: i64 = 200_000_000_000_000_000;

impl Calendar {
    /// The days, weeks (from Monday), months, quarters or years of a zone.
    pub fn of(unit: Unit, zone: Zone) -> Self {
        Self::measured(unit, 1, unit.anchor(), zone)
    }

    /// Periods of `every` units, one of which begins at this moment in the zone's own time; none
    /// for no unit at all and for more than [`MAX_UNITS`].
    pub fn from(unit: Unit, every: u32, begin: &str, zone: Zone) -> Option<Self> {
        let anchor = begin.parse::<DateTime>().ok()?;
        (1..=MAX_UNITS).contains(&every).then(|| Self::measured(unit, every, anchor, zone))
    }

    fn measured(unit: Unit, every: u32, anchor: DateTime, zone: Zone) -> Self {
        let (shortest, longest) = (Duration::MAX, Duration::ZERO);
        let mut calendar = Calendar { unit, every, anchor, zone, shortest, longest };
        // Four years have a leap day and every clock change there is.
        let begin = Timestamp::from_secs(1_704_067_200);
        let end = begin.plus(Duration::from_secs(1_461 * 86_400));
        let mut k = calendar.index(begin);
        loop {
            let period = Period { start: calendar.start(k), end: calendar.start(k + 1) };
            let length = period.length();
            calendar.shortest = calendar.shortest.min(length);
            calendar.longest = calendar.longest.max(length);
            if period.end >= end {
                return calendar;
            }
            k += 1;
        }
    }

    /// The zone that decides when a period begins.
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The period that a moment lies in.
    pub fn period(&self, at: Timestamp) -> Period {
        let k = self.index(at);
        Period { start: self.start(k), end: self.start(k + 1) }
    }

    /// Which period a moment lies in, counted from the anchor.
    fn index(&self, at: Timestamp) -> i64 {
        let at = Timestamp::from_micros(at.micros().clamp(-MAX_MICROS, MAX_MICROS));
        let date = self.zone.civil(at).date();
        let every = i64::from(self.every);
        let mut k = self.unit.between(self.anchor.date(), date).div_euclid(every);
        while self.start(k) > at {
            k -= 1;
        }
        while self.start(k + 1) <= at {
            k += 1;
        }
        k
    }

    /// When a period begins. A midnight that the zone leaves out is taken as the first moment
    /// after it, one that comes twice as the first of the two.
    fn start(&self, k: i64) -> Timestamp {
        let span = self.unit.span(k.saturating_mul(self.every.into()));
        self.zone.moment(self.anchor.saturating_add(span))
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, zone) = (self.unit.word(), self.zone.name());
        if self.every == 1 && self.anchor == self.unit.anchor() {
            return write!(f, "calendar {word} ({zone})");
        }
        match self.every {
            1 => write!(f, "calendar {word}")?,
            n => write!(f, "{n} calendar {word}s")?,
        }
        match self.anchor.time() == jiff::civil::Time::midnight() {
            true => write!(f, " from {} ({zone})", self.anchor.date()),
            false => write!(f, " from {} ({zone})", self.anchor),
        }
    }
}

mod named;

pub use named::named_period;

#[cfg(test)]
mod tests;
