//! Windows of time that come again: every week, or by a rule of RFC 5545.
//!
//! A rule says on which days an occurrence begins, in the days of its time zone; each begins at
//! the same time of day. A time that the zone leaves out is read with the offset before the gap,
//! one that comes twice is the first of the two, as RFC 5545, section 3.3.5, has it. What is read
//! is a part of the rules of that RFC, and nothing of it is read differently. Keeps true: windows
//! are half-open, and the moment of every edge is exact.

use std::fmt;
use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time, Weekday};

use super::text::ParseError;
use super::time::{Timestamp, format_duration};
use super::window::{Period, Zone};

/// Longest single occurrence: whatever takes longer is no routine and has a date.
pub const MAX_LENGTH: Duration = Duration::from_secs(7 * 86_400);
/// Most occurrences that a rule may count.
pub const MAX_COUNT: u32 = 1_000;
/// Days that are looked at for the last of so many occurrences: a hundred years.
const COUNT_DAYS: u32 = 36_525;
/// Days ahead of a moment in which edges are looked for.
const AHEAD: i64 = 7;

/// Windows that come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recurrence {
    rule: Rule,
    /// When the first occurrence begins, in the zone's own time.
    begin: DateTime,
    /// The day of the last occurrence, of a rule that counts them.
    last: Option<Date>,
    length: Length,
    zone: Zone,
    /// As it was written, for people.
    text: String,
}

/// How long an occurrence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// To this time of day, so many days after its own.
    Clock { end: Time, days: i64 },
    /// This much time, whatever clocks do meanwhile.
    Exact(Duration),
}

/// A local time without a zone, such as `2026-12-06T02:00:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil(DateTime);

impl std::str::FromStr for Civil {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let plain = text.contains('T') && !text.contains(['Z', '+', '[']);
        let read = text.parse::<DateTime>().ok().filter(|_| plain);
        read.map(Civil).ok_or_else(|| ParseError::new(text, "a local time: 2026-12-06T02:00:00"))
    }
}

impl Civil {
    /// What clocks in this zone show at a moment.
    pub fn of(at: Timestamp, zone: &Zone) -> Self {
        Civil(zone.civil(at))
    }
}

/// What a moment is to windows that come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whether it lies in one.
    pub inside: bool,
    /// A later moment up to which that does not change.
    pub until: Timestamp,
}

impl Recurrence {
    /// Every week: `Sun 02:00-04:00`, `Mon-Fri 22:00-02:00`, `Sat,Sun 00:00-24:00`. An end that
    /// is not after the beginning is on the next day.
    ///
    /// # Errors
    /// Anything else, and a window of no time at all.
    pub fn weekly(text: &str, zone: Zone) -> Result<Self, ParseError> {
        let fail = || ParseError::new(text, "days and times such as \"Sun 02:00-04:00\"");
        let (days, times) = text.split_once(' ').ok_or_else(fail)?;
        let (begin, end) = times.trim().split_once('-').ok_or_else(fail)?;
        let midnight = end == "24:00";
        let begin = clock(begin).ok_or_else(fail)?;
        let end = if midnight { Time::midnight() } else { clock(end).ok_or_else(fail)? };
        if begin == end && !midnight {
            return Err(ParseError::new(text, "an end other than the beginning, such as 24:00"));
        }
        let by_day = days.split(',').map(days_of).collect::<Option<Vec<_>>>().ok_or_else(fail)?;
        let rule = Rule {
            frequency: Frequency::Weekly,
            by_day: by_day.concat().into_iter().map(|day| (None, day)).collect(),
            ..Rule::every(Frequency::Weekly)
        };
        let length = Length::Clock { end, days: i64::from(midnight || end <= begin) };
        let begin = DateTime::constant(1970, 1, 5, begin.hour(), begin.minute(), 0, 0);
        let text = format!("{text} ({})", zone.name());
        Ok(Recurrence { rule, begin, last: None, length, zone, text })
    }

    /// By a rule of RFC 5545, each occurrence for `length`, the first one at `begin`.
    ///
    /// # Errors
    /// A rule that is not read, one whose first occurrence is not at `begin`, and one that counts
    /// further than a hundred years.
    pub fn by_rule(
        text: &str,
        begin: Civil,
        length: Duration,
        zone: Zone,
    ) -> Result<Self, ParseError> {
        let rule = Rule::parse(text)?;
        let Civil(begin) = begin;
        if !rule.takes(begin.date(), begin.date()) {
            let expected = format!("a rule that its own start, {begin}, follows");
            return Err(ParseError::new(text, expected));
        }
        let count = rule.count;
        let shown =
            format!("{text} from {begin} for {} ({})", format_duration(length), zone.name());
        let length = Length::Exact(length);
        let mut recurrence = Recurrence { rule, begin, last: None, length, zone, text: shown };
        if let Some(count) = count {
            let days = recurrence.days(begin.date(), COUNT_DAYS);
            let last = days.into_iter().nth(count.saturating_sub(1) as usize);
            let expected = "a COUNT that is reached within a hundred years";
            recurrence.last = Some(last.ok_or_else(|| ParseError::new(text, expected))?);
        }
        Ok(recurrence)
    }

    /// Whether a moment lies in an occurrence, and up to when that is so at least.
    pub fn at(&self, at: Timestamp) -> Held {
        let day = self.zone.civil(at).date();
        let back = match self.length {
            Length::Clock { days, .. } => days + 1,
            Length::Exact(length) => {
                i64::try_from(length.as_secs().div_ceil(86_400)).unwrap_or(i64::MAX) + 1
            }
        };
        let mut held = Held { inside: false, until: at.plus(Duration::from_secs(86_400 * 6)) };
        for offset in -back..=AHEAD {
            let Some(period) = later(day, offset).and_then(|day| self.occurrence(day)) else {
                continue;
            };
            held.inside |= period.start <= at && at < period.end;
            for edge in [period.start, period.end].into_iter().filter(|edge| *edge > at) {
                held.until = held.until.min(edge);
            }
        }
        held
    }

    /// The occurrence that begins on this day; none if there is none, or clocks leave it no time.
    fn occurrence(&self, day: Date) -> Option<Period> {
        if !self.takes(day) {
            return None;
        }
        let start = self.zone.moment(day.to_datetime(self.begin.time()));
        let end = match self.length {
            Length::Clock { end, days } => self.zone.moment(later(day, days)?.to_datetime(end)),
            Length::Exact(length) => start.plus(length),
        };
        let ended = self.rule.until.is_some_and(|until| start > until);
        (start < end && !ended).then_some(Period { start, end })
    }

    fn takes(&self, day: Date) -> bool {
        self.last.is_none_or(|last| day <= last) && self.rule.takes(self.begin.date(), day)
    }

    /// The days of occurrences among the `n` from `first` on.
    fn days(&self, first: Date, n: u32) -> Vec<Date> {
        let days = (0..i64::from(n)).map_while(|offset| later(first, offset));
        days.filter(|day| self.rule.takes(self.begin.date(), *day))
            .take(MAX_COUNT as usize)
            .collect()
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn later(day: Date, days: i64) -> Option<Date> {
    day.checked_add(days.days()).ok()
}

/// A time of day: `02:00`.
fn clock(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i8>().ok().filter(|_| plain)
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

const WEEK: [(&str, &str, Weekday); 7] = [
    ("Mon", "MO", Weekday::Monday),
    ("Tue", "TU", Weekday::Tuesday),
    ("Wed", "WE", Weekday::Wednesday),
    ("Thu", "TH", Weekday::Thursday),
    ("Fri", "FR", Weekday::Friday),
    ("Sat", "SA", Weekday::Saturday),
    ("Sun", "SU", Weekday::Sunday),
];

/// `Sun`, or `Mon-Fri`, which may reach over the end of the week.
fn days_of(text: &str) -> Option<Vec<Weekday>> {
    let position = |text: &str| WEEK.iter().position(|(name, _, _)| *name == text);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (position(first)?, position(last)?);
    let n = (last + 7 - first) % 7;
    Some((0..=n).map(|k| WEEK[(first + k) % 7].2).collect())
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
}

/// On which days occurrences begin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    frequency: Frequency,
    interval: i64,
    /// Months that count; all of them if none is named.
    by_month: Vec<i8>,
    /// Days of the month, from its end if negative.
    by_month_day: Vec<i8>,
    /// Days of the week, perhaps the so-manieth of the month, from its end if negative.
    by_day: Vec<(Option<i8>, Weekday)>,
    /// Which days of those that a month has.
    by_set_pos: Vec<i16>,
    week_start: Weekday,
    count: Option<u32>,
    /// No occurrence begins after this.
    until: Option<Timestamp>,
}

impl Rule {
    const EXPECTED: &str = "a rule of RFC 5545 such as FREQ=MONTHLY;BYDAY=1SU, with FREQ DAILY, \
                            WEEKLY or MONTHLY, INTERVAL, COUNT or UNTIL, BYMONTH, BYMONTHDAY, \
                            BYDAY, BYSETPOS and WKST";

    fn every(frequency: Frequency) -> Self {
        Rule {
            frequency,
            interval: 1,
            by_month: Vec::new(),
            by_month_day: Vec::new(),
            by_day: Vec::new(),
            by_set_pos: Vec::new(),
            week_start: Weekday::Monday,
            count: None,
            until: None,
        }
    }

    fn parse(text: &str) -> Result<Self, ParseError> {
        let fail = || ParseError::new(text, Self::EXPECTED);
        let body = text.strip_prefix("RRULE:").unwrap_or(text);
        let mut parts = Vec::new();
        for part in body.split(';') {
            let (name, value) = part.split_once('=').ok_or_else(fail)?;
            if parts.iter().any(|(known, _)| *known == name) {
                return Err(ParseError::new(text, format!("{name} once")));
            }
            parts.push((name, value));
        }
        let frequency = match parts.iter().find(|(name, _)| *name == "FREQ") {
            Some((_, "DAILY")) => Frequency::Daily,
            Some((_, "WEEKLY")) => Frequency::Weekly,
            Some((_, "MONTHLY")) => Frequency::Monthly,
            _ => return Err(fail()),
        };
        let mut rule = Rule::every(frequency);
        for (name, value) in parts {
            rule.set(name, value).ok_or_else(|| ParseError::new(text, Self::expected(name)))?;
        }
        rule.check().map_err(|expected| ParseError::new(text, expected))?;
        Ok(rule)
    }

    fn expected(name: &str) -> String {
        match name {
            "INTERVAL" => "INTERVAL from 1 to 1000".to_owned(),
            "COUNT" => format!("COUNT from 1 to {MAX_COUNT}"),
            "UNTIL" => "UNTIL as a moment in UTC, such as 20261231T235959Z".to_owned(),
            "BYMONTH" => "BYMONTH with months from 1 to 12".to_owned(),
            "BYMONTHDAY" => "BYMONTHDAY with days from 1 to 31, or -1 to -31".to_owned(),
            "BYDAY" => "BYDAY with days such as SU, 1SU or -1FR".to_owned(),
            "BYSETPOS" => "BYSETPOS with places from 1 to 31, or -1 to -31".to_owned(),
            "WKST" => "WKST with a day such as MO".to_owned(),
            _ => Self::EXPECTED.to_owned(),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "FREQ" => {}
            "INTERVAL" => self.interval = number(value, 1, 1_000)?,
            "COUNT" => self.count = u32::try_from(number(value, 1, MAX_COUNT.into())?).ok(),
            "UNTIL" => self.until = Some(utc(value)?),
            "BYMONTH" => self.by_month = list(value, |text| narrow(number(text, 1, 12)?))?,
            "BYMONTHDAY" => self.by_month_day = list(value, |text| narrow(place(text, 31)?))?,
            "BYDAY" => self.by_day = list(value, weekday)?,
            "BYSETPOS" => {
                self.by_set_pos = list(value, |text| i16::try_from(place(text, 31)?).ok())?;
            }
            "WKST" => self.week_start = weekday(value).filter(|(nth, _)| nth.is_none())?.1,
            _ => return None,
        }
        Some(())
    }

    /// What RFC 5545, section 3.3.10, says about parts that stand together.
    fn check(&self) -> Result<(), &'static str> {
        let monthly = self.frequency == Frequency::Monthly;
        let nth = self.by_day.iter().any(|(nth, _)| nth.is_some());
        let by_none = self.by_day.is_empty() && self.by_month_day.is_empty();
        if self.count.is_some() && self.until.is_some() {
            Err("COUNT or UNTIL, not both")
        } else if nth && !monthly {
            Err("days such as 1SU with FREQ=MONTHLY only")
        } else if !self.by_month_day.is_empty() && self.frequency == Frequency::Weekly {
            Err("BYMONTHDAY without FREQ=WEEKLY")
        } else if !self.by_set_pos.is_empty() && (!monthly || by_none) {
            Err("BYSETPOS with FREQ=MONTHLY and with BYDAY or BYMONTHDAY")
        } else {
            Ok(())
        }
    }

    /// Whether an occurrence begins on this day, the first one being on `first`.
    fn takes(&self, first: Date, day: Date) -> bool {
        if day < first || !self.by_month.is_empty() && !self.by_month.contains(&day.month()) {
            return false;
        }
        let every = |n: i64| n.rem_euclid(self.interval) == 0;
        match self.frequency {
            Frequency::Daily => every(days_between(first, day)) && self.takes_in_month(day),
            Frequency::Weekly => {
                let week = |day: Date| {
                    days_between(Date::constant(1970, 1, 5), day)
                        - i64::from(day.weekday().since(self.week_start))
                };
                let named = self.by_day.iter().any(|(_, named)| *named == day.weekday());
                let is_day = match self.by_day.is_empty() {
                    true => day.weekday() == first.weekday(),
                    false => named,
                };
                is_day && every((week(day) - week(first)) / 7)
            }
            Frequency::Monthly => {
                let month = |day: Date| i64::from(day.year()) * 12 + i64::from(day.month());
                every(month(day) - month(first)) && self.takes_of_month(first, day)
            }
        }
    }

    /// Whether a day is among those that the rule names in its month.
    fn takes_in_month(&self, day: Date) -> bool {
        let (n, all) = (day.day(), day.days_in_month());
        let by_day = |(nth, weekday): &(Option<i8>, Weekday)| {
            let from_start = (n - 1) / 7 + 1;
            let from_end = -((all - n) / 7 + 1);
            *weekday == day.weekday() && nth.is_none_or(|nth| nth == from_start || nth == from_end)
        };
        let by_month_day = |named: &i8| *named == n || *named == n - all - 1;
        (self.by_day.is_empty() || self.by_day.iter().any(by_day))
            && (self.by_month_day.is_empty() || self.by_month_day.iter().any(by_month_day))
    }

    fn takes_of_month(&self, first: Date, day: Date) -> bool {
        if self.by_day.is_empty() && self.by_month_day.is_empty() {
            return day.day() == first.day();
        }
        if !self.takes_in_month(day) || self.by_set_pos.is_empty() {
            return self.takes_in_month(day);
        }
        let month = (1..=day.days_in_month()).filter_map(|n| day.with().day(n).build().ok());
        let set: Vec<Date> = month.filter(|day| self.takes_in_month(*day)).collect();
        let at = set.iter().position(|other| *other == day).unwrap_or_default();
        let (from_start, from_end) = (at as i16 + 1, at as i16 - set.len() as i16);
        self.by_set_pos.iter().any(|place| *place == from_start || *place == from_end)
    }
}

fn days_between(from: Date, to: Date) -> i64 {
    to.duration_since(from).as_hours() / 24
}

fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').map(read).collect()
}

fn number(text: &str, least: i64, most: i64) -> Option<i64> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| plain && (least..=most).contains(n))
}

/// A place from the beginning, or from the end if it is negative.
fn place(text: &str, most: i64) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(text) => number(text, 1, most).map(|n| -n),
        None => number(text.strip_prefix('+').unwrap_or(text), 1, most),
    }
}

fn narrow(n: i64) -> Option<i8> {
    i8::try_from(n).ok()
}

/// `SU`, `1SU`, `-1SU`.
fn weekday(text: &str) -> Option<(Option<i8>, Weekday)> {
    let (nth, name) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let weekday = WEEK.iter().find(|(_, short, _)| *short == name)?.2;
    match nth {
        "" => Some((None, weekday)),
        nth => Some((Some(narrow(place(nth, 5)?)?), weekday)),
    }
}

/// `20261231T235959Z`.
fn utc(text: &str) -> Option<Timestamp> {
    let form = text.len() == 16 && text.as_bytes()[8] == b'T' && text.ends_with('Z');
    let at = text.parse::<jiff::Timestamp>().ok().filter(|_| form)?;
    Some(Timestamp::from_micros(at.as_microsecond()))
}

#[cfg(test)]
mod tests;
