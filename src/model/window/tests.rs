//! Lengths that a calendar really has, and that its periods follow each other.

use proptest::prelude::*;

use super::*;

fn calendar(unit: Unit, zone: &str) -> Calendar {
    Calendar::of(unit, zone.parse().expect("a zone"))
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// The half hours of the period in which this moment lies.
fn half_hours(unit: Unit, zone: &str, moment: &str) -> u64 {
    calendar(unit, zone).period(at(moment)).length().as_secs() / 1_800
}

#[test]
fn months_have_the_length_that_their_zone_gives_them() {
    let check = |zone: &str, moment: &str, hours_twice: u64| {
        assert_eq!(half_hours(Unit::Month, zone, moment), hours_twice, "{zone} {moment}");
    };
    check("Europe/Berlin", "2026-03-15T00:00:00Z", 2 * 743);
    check("Europe/Berlin", "2026-10-15T00:00:00Z", 2 * 745);
    check("America/New_York", "2026-03-15T00:00:00Z", 2 * 743);
    check("America/New_York", "2026-11-15T00:00:00Z", 2 * 721);
    check("Australia/Lord_Howe", "2026-04-15T00:00:00Z", 1_441);
    check("Australia/Lord_Howe", "2026-10-15T00:00:00Z", 1_487);
    check("UTC", "2026-03-15T00:00:00Z", 2 * 744);
    check("Asia/Kolkata", "2026-03-15T00:00:00Z", 2 * 744);
    check("UTC", "2026-02-15T00:00:00Z", 2 * 672);
    check("UTC", "2028-02-15T00:00:00Z", 2 * 696);
}

#[test]
fn days_and_quarters_and_years_follow_the_clock_changes_and_leap_days() {
    let check = |unit, zone: &str, moment: &str, hours: u64| {
        assert_eq!(half_hours(unit, zone, moment), 2 * hours, "{zone} {moment}");
    };
    check(Unit::Day, "Europe/Berlin", "2026-03-29T12:00:00Z", 23);
    check(Unit::Day, "Europe/Berlin", "2026-10-25T12:00:00Z", 25);
    check(Unit::Day, "America/New_York", "2026-03-08T18:00:00Z", 23);
    check(Unit::Day, "America/New_York", "2026-11-01T18:00:00Z", 25);
    check(Unit::Week, "Europe/Berlin", "2026-03-29T12:00:00Z", 167);
    check(Unit::Quarter, "Europe/Berlin", "2026-02-01T12:00:00Z", 2_159);
    check(Unit::Quarter, "America/New_York", "2026-02-01T12:00:00Z", 2_159);
    check(Unit::Year, "Europe/Berlin", "2026-05-01T00:00:00Z", 8_760);
    check(Unit::Year, "Europe/Berlin", "2028-05-01T00:00:00Z", 8_784);
}

#[test]
fn periods_begin_where_people_say_they_do() {
    let check = |unit, zone: &str, moment: &str, start: &str| {
        let period = calendar(unit, zone).period(at(moment));
        assert_eq!(period.start, at(start), "{unit:?} {zone} {moment}");
    };
    check(Unit::Day, "Europe/Berlin", "2026-06-10T21:59:59Z", "2026-06-09T22:00:00Z");
    check(Unit::Day, "Europe/Berlin", "2026-06-10T22:00:00Z", "2026-06-10T22:00:00Z");
    check(Unit::Week, "UTC", "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z");
    check(Unit::Week, "UTC", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z");
    check(Unit::Quarter, "UTC", "2026-06-30T23:59:59Z", "2026-04-01T00:00:00Z");
    check(Unit::Year, "America/New_York", "2027-01-01T04:59:59Z", "2026-01-01T05:00:00Z");
    // Days that begin at one, because their midnight does not exist.
    check(Unit::Day, "Africa/Cairo", "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z");
    check(Unit::Month, "UTC", "1969-12-31T23:00:00Z", "1969-12-01T00:00:00Z");
}

#[test]
fn a_tick_at_the_end_of_a_period_speaks_of_all_of_it() {
    let window = Window::Calendar(calendar(Unit::Month, "UTC"));
    let february = window.period(at("2026-03-01T00:00:00Z"));
    assert_eq!(
        (february.start, february.end),
        (at("2026-02-01T00:00:00Z"), at("2026-03-01T00:00:00Z"))
    );
    assert_eq!(window.period(at("2026-03-01T00:00:01Z")).start, at("2026-03-01T00:00:00Z"));
    let rolling = Window::Rolling(Duration::from_secs(60)).period(at("2026-03-01T00:00:00Z"));
    assert_eq!(rolling.start, at("2026-02-28T23:59:00Z"));
}

#[test]
fn several_units_are_counted_from_where_somebody_said() {
    let zone = || "Europe/Berlin".parse().expect("a zone");
    let sprint = Calendar::from(Unit::Week, 2, "2026-01-05 09:00:00", zone()).expect("valid");
    let period = sprint.period(at("2026-04-01T00:00:00Z"));
    // Nine o'clock stays nine o'clock over the change of the clocks.
    assert_eq!(
        (period.start, period.end),
        (at("2026-03-30T07:00:00Z"), at("2026-04-13T07:00:00Z"))
    );
    assert_eq!(sprint.to_string(), "2 calendar weeks from 2026-01-05T09:00:00 (Europe/Berlin)");
    // The end of January, counted from January each time: the 28th does not stick.
    let late = Calendar::from(Unit::Month, 1, "2026-01-31 00:00:00", Zone::utc()).expect("valid");
    let period = late.period(at("2026-03-15T00:00:00Z"));
    assert_eq!(
        (period.start, period.end),
        (at("2026-02-28T00:00:00Z"), at("2026-03-31T00:00:00Z"))
    );
    assert_eq!(Calendar::from(Unit::Day, 0, "2026-01-31 00:00:00", Zone::utc()), None);
    assert_eq!(Calendar::from(Unit::Day, 1, "2026-02-31 00:00:00", Zone::utc()), None);
}

#[test]
fn the_shortest_and_the_longest_period_are_known() {
    let hours = |unit, zone: &str| {
        let window = Window::Calendar(calendar(unit, zone));
        (window.shortest().as_secs() / 3_600, window.longest().as_secs() / 3_600)
    };
    assert_eq!(hours(Unit::Day, "Europe/Berlin"), (23, 25));
    assert_eq!(hours(Unit::Week, "UTC"), (168, 168));
    assert_eq!(hours(Unit::Month, "Europe/Berlin"), (672, 745));
    assert_eq!(hours(Unit::Quarter, "UTC"), (2_160, 2_208));
    assert_eq!(hours(Unit::Year, "UTC"), (8_760, 8_784));
}

proptest! {
    #[test]
    fn periods_follow_each_other_and_hold_their_moments(
        seconds in 0_i64..4_000_000_000,
        unit in prop::sample::select(vec![
            Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year,
        ]),
        zone in prop::sample::select(vec![
            "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo",
            "America/Havana", "Pacific/Apia", "Asia/Kolkata",
        ]),
    ) {
        let calendar = calendar(unit, zone);
        let at = Timestamp::from_secs(seconds);
        let period = calendar.period(at);
        prop_assert!(period.start <= at && at < period.end);
        prop_assert_eq!(calendar.period(period.end).start, period.end);
        let last = period.end.just_before();
        prop_assert_eq!(calendar.period(last), period);
    }
}

#[test]
fn windows_are_read_as_they_are_written() {
    for text in [
        "30d",
        "1h30m",
        "calendar month (Europe/Berlin)",
        "calendar week (UTC)",
        "2 calendar weeks from 2026-01-05 (UTC)",
        "calendar quarter from 2026-02-01 (Asia/Kolkata)",
        "3 calendar days from 2026-02-01T06:00:00 (America/New_York)",
    ] {
        let window: Window = text.parse().expect(text);
        assert_eq!(window.to_string(), text);
    }
    for text in ["", "month", "calendar fortnight (UTC)", "2 calendar weeks (UTC)", "calendar day"]
    {
        assert!(text.parse::<Window>().is_err(), "{text}");
    }
}
