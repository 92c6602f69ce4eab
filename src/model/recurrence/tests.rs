//! Occurrences as calendars and clocks have them. Dates are those that RFC 5545, section 3.8.5.3,
//! gives for the same rules.

use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> Zone {
    name.parse().expect("a zone")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

/// The first occurrences from a moment on, joined where they touch.
fn occurrences(recurrence: &Recurrence, from: &str, n: usize) -> Vec<(String, String)> {
    let (mut now, end) = (at(from), at(from).plus(Duration::from_secs(4_000 * 86_400)));
    let mut found: Vec<(String, String)> = Vec::new();
    while found.len() < n && now < end {
        let held = recurrence.at(now);
        assert!(held.until > now, "time goes on at {now}");
        if held.inside {
            found.push((now.to_string(), held.until.to_string()));
        }
        now = held.until;
    }
    found
}

fn check_weekly(text: &str, zone_name: &str, from: &str, expect: &[(&str, &str)]) {
    let weekly = Recurrence::weekly(text, zone(zone_name)).expect("readable");
    let found = occurrences(&weekly, from, expect.len());
    let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(found, expect, "{text} {zone_name}");
}

#[test]
fn a_week_comes_again_at_the_same_time_of_day_whatever_clocks_do() {
    // The night in which clocks go forward has one hour of it, the one in which they go back three.
    check_weekly(
        "Sun 02:00-04:00",
        "Europe/Berlin",
        "2026-03-22T00:00:00Z",
        &[
            ("2026-03-22T01:00:00Z", "2026-03-22T03:00:00Z"),
            ("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
            ("2026-04-05T00:00:00Z", "2026-04-05T02:00:00Z"),
        ],
    );
    check_weekly(
        "Sun 02:00-04:00",
        "Europe/Berlin",
        "2026-10-18T00:00:00Z",
        &[
            ("2026-10-18T00:00:00Z", "2026-10-18T02:00:00Z"),
            ("2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z"),
            ("2026-11-01T01:00:00Z", "2026-11-01T03:00:00Z"),
        ],
    );
    // The hour that is left out is not there at all.
    check_weekly(
        "Sun 02:00-03:00",
        "Europe/Berlin",
        "2026-03-28T00:00:00Z",
        &[("2026-04-05T00:00:00Z", "2026-04-05T01:00:00Z")],
    );
    check_weekly(
        "Fri,Sat 22:00-02:00",
        "UTC",
        "2026-01-01T00:00:00Z",
        &[
            ("2026-01-02T22:00:00Z", "2026-01-03T02:00:00Z"),
            ("2026-01-03T22:00:00Z", "2026-01-04T02:00:00Z"),
            ("2026-01-09T22:00:00Z", "2026-01-10T02:00:00Z"),
        ],
    );
    check_weekly(
        "Sat-Mon 00:00-24:00",
        "America/New_York",
        "2026-03-06T00:00:00Z",
        &[
            ("2026-03-07T05:00:00Z", "2026-03-08T05:00:00Z"),
            ("2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
            ("2026-03-09T04:00:00Z", "2026-03-10T04:00:00Z"),
        ],
    );
}

#[test]
fn what_is_no_week_is_refused() {
    for text in [
        "",
        "Sun",
        "02:00-04:00",
        "Sun 2:00-4:00",
        "Sun 02:00",
        "sun 02:00-04:00",
        "Sun 24:00-02:00",
        "Sun 02:00-02:00",
        "Sun 02:60-03:00",
        "Sunday 02:00-04:00",
        "Sun, Mon 02:00-04:00",
        "Sun 02:00 - 04:00",
        "Sun 02:00-25:00",
        "Sun 02:00-04:00 UTC",
    ] {
        assert!(Recurrence::weekly(text, Zone::utc()).is_err(), "{text}");
    }
}

/// The days on which a rule has occurrences begin, of an hour each at 09:00 in New York.
fn check_rule(rule: &str, begin: &str, expect: &[&str]) {
    let begin: Civil = format!("{begin}T09:00:00").parse().expect("a local time");
    let hour = Duration::from_secs(3_600);
    let new_york = zone("America/New_York");
    let recurrence = Recurrence::by_rule(rule, begin, hour, new_york.clone()).expect("readable");
    let from = new_york.moment(begin.0).to_string();
    let found = occurrences(&recurrence, &from, expect.len());
    let day = |(start, _): &(String, String)| {
        let civil = new_york.civil(at(start));
        assert_eq!(civil.time(), begin.0.time(), "{rule}");
        civil.date().to_string()
    };
    assert_eq!(found.iter().map(day).collect::<Vec<_>>(), expect, "{rule}");
}

#[test]
fn rules_are_read_as_their_rfc_has_them() {
    let check = check_rule;
    check(
        "FREQ=DAILY;INTERVAL=10;COUNT=5",
        "1997-09-02",
        &["1997-09-02", "1997-09-12", "1997-09-22", "1997-10-02", "1997-10-12"],
    );
    check(
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
        "1997-08-05",
        &["1997-08-05", "1997-08-10", "1997-08-19", "1997-08-24"],
    );
    check(
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
        "1997-08-05",
        &["1997-08-05", "1997-08-17", "1997-08-19", "1997-08-31"],
    );
    check(
        "RRULE:FREQ=MONTHLY;BYDAY=1FR",
        "1997-09-05",
        &["1997-09-05", "1997-10-03", "1997-11-07", "1997-12-05", "1998-01-02", "1998-02-06"],
    );
    check(
        "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
        "1997-09-07",
        &[
            "1997-09-07",
            "1997-09-28",
            "1997-11-02",
            "1997-11-30",
            "1998-01-04",
            "1998-01-25",
            "1998-03-01",
            "1998-03-29",
            "1998-05-03",
            "1998-05-31",
        ],
    );
    check(
        "FREQ=MONTHLY;BYMONTHDAY=-3",
        "1997-09-28",
        &["1997-09-28", "1997-10-29", "1997-11-28", "1997-12-29", "1998-01-29", "1998-02-26"],
    );
    check(
        "FREQ=MONTHLY;BYDAY=TU,WE,TH;BYSETPOS=3;COUNT=3",
        "1997-09-04",
        &["1997-09-04", "1997-10-07", "1997-11-06"],
    );
    check(
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
        "1997-09-29",
        &["1997-09-29", "1997-10-30", "1997-11-27", "1997-12-30", "1998-01-29"],
    );
    check(
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        "1998-02-13",
        &["1998-02-13", "1998-03-13", "1998-11-13", "1999-08-13", "2000-10-13"],
    );
    check(
        "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
        "1997-09-10",
        &[
            "1997-09-10",
            "1997-09-11",
            "1997-09-12",
            "1997-09-13",
            "1997-09-14",
            "1997-09-15",
            "1999-03-10",
            "1999-03-11",
            "1999-03-12",
            "1999-03-13",
        ],
    );
    // Of months without such a day there is none.
    check("FREQ=MONTHLY", "2026-01-31", &["2026-01-31", "2026-03-31", "2026-05-31"]);
    check("FREQ=DAILY;BYMONTH=2;BYDAY=SU", "2026-02-22", &["2026-02-22", "2027-02-07"]);
}

#[test]
fn a_rule_ends_with_its_count_or_its_until() {
    let begin: Civil = "1997-09-02T09:00:00".parse().expect("a local time");
    let check = |rule: &str, last: &str| {
        let hour = Duration::from_secs(3_600);
        let rule =
            Recurrence::by_rule(rule, begin, hour, zone("America/New_York")).expect("readable");
        let last = at(last);
        assert!(rule.at(last).inside, "{rule}");
        assert_eq!(occurrences(&rule, &last.plus(hour).to_string(), 1), [], "{rule}");
    };
    check("FREQ=DAILY;UNTIL=19971224T000000Z", "1997-12-23T14:00:00Z");
    check("FREQ=DAILY;UNTIL=19971223T140000Z", "1997-12-23T14:00:00Z");
    check("FREQ=DAILY;COUNT=10", "1997-09-11T13:00:00Z");
}

#[test]
fn what_is_no_rule_or_does_not_begin_where_it_starts_is_refused() {
    let begin: Civil = "2026-12-06T02:00:00".parse().expect("a local time");
    let read = |rule: &str| Recurrence::by_rule(rule, begin, MAX_LENGTH, Zone::utc());
    assert!(read("FREQ=WEEKLY;BYDAY=SU").is_ok());
    for rule in [
        "",
        "FREQ=SECONDLY",
        "FREQ=YEARLY",
        "BYDAY=SU",
        "FREQ=WEEKLY;BYDAY=MO",
        "FREQ=WEEKLY;FREQ=DAILY",
        "FREQ=WEEKLY;COUNT=0",
        "FREQ=WEEKLY;COUNT=2;UNTIL=20270101T000000Z",
        "FREQ=WEEKLY;UNTIL=20270101",
        "FREQ=WEEKLY;BYDAY=1SU",
        "FREQ=WEEKLY;BYMONTHDAY=6",
        "FREQ=WEEKLY;BYSETPOS=1",
        "FREQ=MONTHLY;BYSETPOS=1",
        "FREQ=MONTHLY;BYDAY=6SU",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=DAILY;BYHOUR=2",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=MONTHLY;BYMONTH=13",
        "FREQ=DAILY;",
        "FREQ=DAILY;COUNT=1001",
        "FREQ=MONTHLY;INTERVAL=12;COUNT=999",
        "FREQ=WEEKLY;BYDAY=é",
        "FREQ=WEEKLY;WKST=1MO",
    ] {
        assert!(read(rule).is_err(), "{rule}");
    }
    for text in ["2026-12-06T02:00:00Z", "2026-12-06", "2026-12-06T02:00:00+01:00", "soon"] {
        assert!(text.parse::<Civil>().is_err(), "{text}");
    }
}

proptest! {
    /// In a zone whose clocks never change, a week is so many minutes.
    #[test]
    fn in_utc_a_week_is_a_set_of_minutes(
        day in 0_usize..7, more in 0_usize..7, begin in 0_i64..1_440, end in 0_i64..1_440,
        minute in 0_i64..20_000_000,
    ) {
        prop_assume!(begin != end);
        let clock = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
        let days = format!("{}-{}", WEEK[day].0, WEEK[(day + more) % 7].0);
        let text = format!("{days} {}-{}", clock(begin), clock(end));
        let weekly = Recurrence::weekly(&text, Zone::utc()).expect("readable");
        let length = (end - begin).rem_euclid(1_440);
        // 1970-01-05 was a Monday.
        let of_week = |minute: i64| (minute - 4 * 1_440).rem_euclid(7 * 1_440);
        let inside = |minute: i64| (0..=more).any(|k| {
            let start = ((day + k) % 7) as i64 * 1_440 + begin;
            (of_week(minute) - start).rem_euclid(7 * 1_440) < length
        });
        let held = weekly.at(Timestamp::from_secs(minute * 60));
        prop_assert_eq!(held.inside, inside(minute), "{}", text);
        let until = held.until.micros() / 60_000_000;
        prop_assert!((minute..until).all(|minute| inside(minute) == held.inside), "{}", text);
    }

    /// Wherever one looks, the same moments are inside.
    #[test]
    fn nothing_changes_before_the_moment_that_is_said(
        rule in prop_oneof![
            Just("FREQ=DAILY;INTERVAL=3"), Just("FREQ=WEEKLY;BYDAY=SU,WE"),
            Just("FREQ=MONTHLY;BYDAY=-1SU"), Just("FREQ=DAILY"),
        ],
        hours in 1_u64..100, hour in 0_i64..9_000, step in 1_i64..200,
    ) {
        // A Sunday and a Wednesday, the last of its kind in the month, in a zone with half hours.
        let begin: Civil = "2026-03-29T02:00:00".parse().expect("a local time");
        let lord_howe = zone("Australia/Lord_Howe");
        let length = Duration::from_secs(hours * 3_600);
        let rule = Recurrence::by_rule(rule, begin, length, lord_howe).expect("readable");
        let from = at("2026-03-01T00:00:00Z").plus(Duration::from_secs(hour as u64 * 3_600));
        let held = rule.at(from);
        let mut later = from;
        while later < held.until {
            prop_assert_eq!(rule.at(later).inside, held.inside);
            later = later.plus(Duration::from_secs(step as u64 * 1_800));
        }
    }
}
