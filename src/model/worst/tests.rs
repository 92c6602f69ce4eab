//! The curve against published values and against models that try every window.

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn period(start: i64, end: i64) -> Period {
    Period { start: at(start), end: at(end) }
}

fn outages(list: &[(i64, i64)]) -> Outages {
    Outages::new(list.iter().map(|(start, end)| period(*start, *end)))
}

/// Good and bad of each minute.
fn minutes(cells: &[(u64, u64)]) -> (Grid, Period) {
    let cell = |(good, total): &(u64, u64)| Counted { good: *good, bad: total - good };
    let grid = Grid::new(at(0), secs(60), cells.iter().map(cell));
    (grid, period(0, 60 * cells.len() as i64))
}

/// Good over total of the worst window of 1, 2, … minutes, as a fraction in lowest terms.
fn shares(cells: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (grid, period) = minutes(cells);
    let lengths: Vec<Duration> = (1..=cells.len() as u64).map(|n| secs(60 * n)).collect();
    let reduced = |worst: &Worst| {
        let (good, total) = (worst.counted.good, worst.counted.total());
        let divisor = super::super::decimal::gcd(good.into(), total.into()) as u64;
        (good / divisor, total / divisor)
    };
    curve(&grid, period, &lengths).iter().map(reduced).collect()
}

#[test]
fn the_worst_minutes_are_the_published_ones() {
    let good = [10, 10, 5, 0, 10, 10, 10, 8, 10, 10, 10, 10];
    let expect = [
        (0, 1),
        (1, 4),
        (1, 2),
        (5, 8),
        (7, 10),
        (43, 60),
        (53, 70),
        (63, 80),
        (73, 90),
        (83, 100),
        (93, 110),
        (103, 120),
    ];
    assert_eq!(shares(&good.map(|good| (good, 10))), expect);
}

#[test]
fn windows_that_count_nothing_are_left_out() {
    let cells = [(10, 10), (0, 0), (0, 0), (4, 5), (10, 10), (20, 20)];
    assert_eq!(shares(&cells), [(4, 5), (4, 5), (4, 5), (14, 15), (24, 25), (44, 45)]);
    let (grid, all) = minutes(&[(0, 0), (0, 0)]);
    assert_eq!(curve(&grid, all, &[secs(60)]), []);
}

#[test]
fn the_curve_need_not_rise() {
    let cells = [0, 1, 0, 1, 1, 1].map(|good| (good, 1));
    assert_eq!(shares(&cells), [(0, 1), (1, 2), (1, 3), (1, 2), (3, 5), (2, 3)]);
}

#[test]
fn the_worst_time_of_a_day_is_found_to_the_second() {
    let day = outages(&[(100, 160), (400, 430), (3_600, 3_720), (50_000, 50_010)]);
    let check = |length, down: u64, start: i64| {
        let found = curve(&day, period(0, 86_400), &[secs(length)]);
        let worst = found.first().expect("a window");
        assert_eq!(
            (worst.counted.bad, worst.counted.total()),
            (down * 1_000_000, length * 1_000_000)
        );
        assert_eq!(worst.start, at(start), "{length} s");
    };
    check(60, 60, 100);
    check(120, 120, 3_600);
    check(330, 120, 3_390);
    check(600, 120, 3_120);
    check(3_600, 190, 100);
    check(3_620, 210, 100);
    check(7_200, 210, 0);
    check(43_200, 210, 0);
    check(86_400, 220, 0);
    let lengths = [secs(3_600), secs(3_620)];
    let text = |worst: &Worst| worst.counted.sli().expect("counted");
    let found: Vec<_> = curve(&day, period(0, 86_400), &lengths).iter().map(text).collect();
    assert_eq!(found, ["0.947222222", "0.94198895"]);
}

#[test]
fn one_incident_in_a_quarter_is_the_knee_of_the_curve() {
    // Two hours at 8 % errors in ninety days of ten events a second, told in minutes.
    let incident = 40 * 1_440..40 * 1_440 + 120;
    let cells: Vec<(u64, u64)> = (0..90 * 1_440)
        .map(|minute| (if incident.contains(&minute) { 552 } else { 600 }, 600))
        .collect();
    let (grid, all) = minutes(&cells);
    let hour = 3_600;
    let lengths = [60, 2 * hour, 6 * hour, 24 * hour, 90 * 24 * hour].map(secs);
    let found = curve(&grid, all, &lengths);
    let text: Vec<_> = found.iter().map(|w| w.counted.sli().expect("counted")).collect();
    assert_eq!(text, ["0.92", "0.92", "0.973333333", "0.993333333", "0.999925925"]);
    let starts: Vec<_> = found.iter().map(|worst| worst.start.micros() / 60_000_000).collect();
    let begin = 40 * 1_440;
    assert_eq!(starts, [begin, begin, begin - 240, begin - 1_320, 0]);
}

#[test]
fn windows_lie_within_the_period_and_the_earliest_of_equals_is_told() {
    let twice = outages(&[(-50, 10), (500, 510), (700, 710), (990, 1_100)]);
    let found = curve(&twice, period(0, 1_000), &[secs(10), secs(100), secs(2_000)]);
    let starts: Vec<_> = found.iter().map(|worst| (worst.start, worst.counted.bad)).collect();
    assert_eq!(starts, [(at(0), 10_000_000), (at(0), 10_000_000)]);
}

proptest! {
    #[test]
    fn no_window_of_any_start_is_worse_than_the_worst(
        gaps in prop::collection::vec((0_i64..40, 1_i64..20), 0..8),
        length in 1_u64..120,
    ) {
        let (mut list, mut now) = (Vec::new(), 0);
        for (gap, long) in gaps {
            list.push((now + gap, now + gap + long));
            now += gap + long;
        }
        let end = now + 30;
        let list = outages(&list);
        let naive = (0..=end - length as i64)
            .map(|start| (list.counted(at(start), at(start + length as i64)).bad, start))
            .max_by_key(|(bad, start)| (*bad, std::cmp::Reverse(*start)));
        let found = curve(&list, period(0, end), &[secs(length)]);
        let plain = |worst: &Worst| (worst.counted.bad, worst.start.micros() / 1_000_000);
        let found = found.first().map(plain);
        prop_assert_eq!(found, naive);
    }

    #[test]
    fn no_row_of_cells_is_worse_than_the_worst(
        cells in prop::collection::vec((0_u64..5, 0_u64..5), 1..40),
        n in 1_usize..40,
    ) {
        let cells: Vec<(u64, u64)> = cells.iter().map(|(good, bad)| (*good, good + bad)).collect();
        let mut naive: Option<(u64, u64, usize)> = None;
        for (start, window) in cells.windows(n).enumerate() {
            let (good, total) = window.iter().fold((0, 0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
            let worse = naive.is_none_or(|(g, t, _)| good * t < g * total);
            if total > 0 && worse {
                naive = Some((good, total, start));
            }
        }
        let (grid, all) = minutes(&cells);
        let found = curve(&grid, all, &[secs(60 * n as u64)]);
        let plain = |w: &Worst| {
            (w.counted.good, w.counted.total(), (w.start.micros() / 60_000_000) as usize)
        };
        prop_assert_eq!(found.first().map(plain), naive);
    }

    #[test]
    fn windows_that_are_whole_multiples_are_never_worse(
        gaps in prop::collection::vec((0_i64..40, 1_i64..20), 0..8),
        length in 1_u64..60,
        times in 2_u64..5,
    ) {
        let (mut list, mut now) = (Vec::new(), 0);
        for (gap, long) in gaps {
            list.push((now + gap, now + gap + long));
            now += gap + long;
        }
        let lengths = [secs(length), secs(length * times)];
        let found = curve(&outages(&list), period(0, now + 300), &lengths);
        let (short, long) = (found[0].counted, found[1].counted);
        prop_assert!(long.bad * short.total() <= short.bad * long.total());
    }
}
