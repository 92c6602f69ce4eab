//! The worst window of every size within a period: how much was lost in the worst minute, the
//! worst hour, the worst day, and when those began.
//!
//! Overall availability is the right end of this curve, the knee is the length of the incident
//! that dominates. Exact: what a window of one size counts changes its slope only where one of
//! its edges crosses a border of the history, so the worst of them begins or ends at a border,
//! and there are few. Windows lie wholly within the period; those that count nothing are left
//! out, as neither good nor bad; of equals the earliest is told. Not monotone in the size: a
//! window of 3,620 s may be worse than one of 3,600 s. Comparisons are of integers.

use std::time::Duration;

use super::budget::Counted;
use super::decimal::cmp_products;
use super::text::ParseError;
use super::time::{Timestamp, micros, parse_duration};
use super::window::Period;

/// The sizes that are told: from a minute to thirty days.
pub const SIZES: [Duration; 17] = {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    [
        Duration::from_secs(MINUTE),
        Duration::from_secs(2 * MINUTE),
        Duration::from_secs(5 * MINUTE),
        Duration::from_secs(10 * MINUTE),
        Duration::from_secs(15 * MINUTE),
        Duration::from_secs(30 * MINUTE),
        Duration::from_secs(HOUR),
        Duration::from_secs(2 * HOUR),
        Duration::from_secs(3 * HOUR),
        Duration::from_secs(6 * HOUR),
        Duration::from_secs(12 * HOUR),
        Duration::from_secs(DAY),
        Duration::from_secs(2 * DAY),
        Duration::from_secs(3 * DAY),
        Duration::from_secs(7 * DAY),
        Duration::from_secs(14 * DAY),
        Duration::from_secs(30 * DAY),
    ]
};

/// Most sizes that may be asked for beside [`SIZES`]: a curve of a screen's width.
pub const MAX_MORE: usize = 120;

/// [`SIZES`] and these, which are written with commas between them, ascending.
///
/// # Errors
/// Lengths that cannot be read, are not above zero, or are more than [`MAX_MORE`].
pub fn sizes_with(more: &str) -> Result<Vec<Duration>, ParseError> {
    let texts: Vec<&str> = more.split(',').map(str::trim).filter(|text| !text.is_empty()).collect();
    if texts.len() > MAX_MORE {
        return Err(ParseError::new(more, "at most 120 lengths, such as 3m,62m"));
    }
    let mut sizes = SIZES.to_vec();
    for text in texts {
        let length = parse_duration(text)?;
        if length.is_zero() {
            return Err(ParseError::new(text, "a length above 0, such as 3m"));
        }
        sizes.push(length);
    }
    sizes.sort_unstable();
    sizes.dedup();
    Ok(sizes)
}

/// A window that none of its size is worse than.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worst {
    /// When it begins.
    pub start: Timestamp,
    /// How long it is.
    pub length: Duration,
    /// What it counts.
    pub counted: Counted,
}

/// A history that can be counted over any stretch of time.
pub trait Timeline {
    /// What is due in `[from, to)`.
    fn counted(&self, from: Timestamp, to: Timestamp) -> Counted;

    /// Every moment at which what comes in a while begins to differ from what came, in any order.
    fn borders(&self) -> Vec<Timestamp>;
}

/// The curve: the worst window of each of these lengths that fits into the period.
pub fn curve(timeline: &impl Timeline, period: Period, lengths: &[Duration]) -> Vec<Worst> {
    let borders = timeline.borders();
    let fits = lengths.iter().filter(|length| **length <= period.length());
    fits.filter_map(|length| worst(timeline, &borders, period, *length)).collect()
}

/// The worst window of one length; none if no window of it counts anything.
fn worst(
    timeline: &impl Timeline,
    borders: &[Timestamp],
    period: Period,
    length: Duration,
) -> Option<Worst> {
    let latest = period.end.minus(length);
    let near = borders.iter().flat_map(|border| [*border, border.minus(length)]);
    let starts = near.chain([period.start, latest]);
    let within = starts.filter(|start| (period.start..=latest).contains(start));
    let window = |start: Timestamp| {
        let counted = timeline.counted(start, start.plus(length));
        Worst { start, length, counted }
    };
    let counts = within.map(window).filter(|window| window.counted.total() > 0);
    counts.reduce(|worst, next| if is_worse(&next, &worst) { next } else { worst })
}

/// A larger bad share, or the same and earlier.
fn is_worse(this: &Worst, other: &Worst) -> bool {
    let (a, b) = (this.counted, other.counted);
    let of = |counted: Counted| (u128::from(counted.bad), u128::from(counted.total()));
    let ((a_bad, a_all), (b_bad, b_all)) = (of(a), of(b));
    cmp_products(a_bad, b_all, b_bad, a_all).then(other.start.cmp(&this.start)).is_gt()
}

/// Time that was up but for some outages; counts microseconds.
#[derive(Clone, Debug, Default)]
pub struct Outages {
    /// Start, end, and all that was down before the start, in microseconds.
    outages: Vec<(i64, i64, i64)>,
}

impl Outages {
    /// Of outages in time order that do not overlap.
    pub fn new(outages: impl IntoIterator<Item = Period>) -> Self {
        let mut before = 0;
        let outage = |outage: Period| {
            let (start, end) = (outage.start.micros(), outage.end.micros());
            let entry = (start, end, before);
            before += end - start;
            entry
        };
        Outages { outages: outages.into_iter().map(outage).collect() }
    }

    /// How long it was down before `at`.
    fn down_before(&self, at: i64) -> i64 {
        match self.outages.partition_point(|(start, ..)| *start < at).checked_sub(1) {
            None => 0,
            Some(last) => {
                let (start, end, before) = self.outages[last];
                before + at.min(end) - start
            }
        }
    }
}

impl Timeline for Outages {
    fn counted(&self, from: Timestamp, to: Timestamp) -> Counted {
        let (from, to) = (from.micros(), to.micros());
        let bad = (self.down_before(to) - self.down_before(from)).unsigned_abs();
        Counted { good: (to - from).unsigned_abs() - bad, bad }
    }

    fn borders(&self) -> Vec<Timestamp> {
        let both = self.outages.iter().flat_map(|(start, end, _)| [*start, *end]);
        both.map(Timestamp::from_micros).collect()
    }
}

/// Counts on a grid, such as one of minutes: for histories with too many borders. Windows begin
/// and end on the grid.
#[derive(Clone, Debug)]
pub struct Grid {
    start: Timestamp,
    step: Duration,
    /// All that was counted before each edge, the first and the last included.
    before: Vec<Counted>,
}

impl Grid {
    /// Of cells of this length, the first of which begins at `start`.
    pub fn new(start: Timestamp, step: Duration, cells: impl IntoIterator<Item = Counted>) -> Self {
        let mut before = vec![Counted::default()];
        for cell in cells {
            let last = before.last().copied().unwrap_or_default();
            before.push(last + cell);
        }
        Grid { start, step, before }
    }

    fn edge(&self, at: Timestamp) -> Counted {
        let step = micros(self.step).max(1);
        let n = (at.micros() - self.start.micros()).max(0) / step;
        let n = usize::try_from(n).unwrap_or(usize::MAX).min(self.before.len() - 1);
        self.before[n]
    }
}

impl Timeline for Grid {
    fn counted(&self, from: Timestamp, to: Timestamp) -> Counted {
        let (from, to) = (self.edge(from), self.edge(to));
        Counted { good: to.good - from.good, bad: to.bad - from.bad }
    }

    fn borders(&self) -> Vec<Timestamp> {
        let step = micros(self.step);
        let edge = |n| Timestamp::from_micros(self.start.micros() + step * n);
        (0..self.before.len() as i64).map(edge).collect()
    }
}

#[cfg(test)]
mod tests;
