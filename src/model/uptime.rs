//! Time as its users saw it: up, down, or with nobody looking.
//!
//! The time between two events of one stream is up if the first of them was good, down if it was
//! bad, and inactive if they are further apart than a cutoff: then nobody can tell. What could
//! not be measured opens no segment either, so a stopped monitor is inactive and neither up nor
//! down. The last event opens no segment. In this measure a slow hour of few events weighs as
//! much as a busy one, which a share of events does not give.

use std::time::Duration;

use super::time::Timestamp;

/// How long a stream was up, down and inactive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uptime {
    /// After good events.
    pub up: Duration,
    /// After bad events.
    pub down: Duration,
    /// Nobody can tell.
    pub inactive: Duration,
}

/// How far two events of a probe may be apart: three intervals, or its timeout and two of them.
pub fn cutoff(interval: Duration, timeout: Duration) -> Duration {
    (interval * 3).max(timeout + interval * 2)
}

/// `n` events, the first at `start`, each `step` after the other: good, bad, or not measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// When the first was due.
    pub start: Timestamp,
    /// From one to the next.
    pub step: Duration,
    /// How many, at least one.
    pub n: u32,
    /// What they were; none where it could not be measured.
    pub good: Option<bool>,
}

impl Uptime {
    /// Of a stream in time order.
    pub fn of(stream: impl IntoIterator<Item = Stretch>, cutoff: Duration) -> Self {
        let mut uptime = Uptime::default();
        let mut last: Option<(Timestamp, Option<bool>)> = None;
        for stretch in stream {
            if let Some((at, good)) = last {
                uptime.add(stretch.start.since(at), 1, good, cutoff);
            }
            let more = stretch.n.saturating_sub(1);
            uptime.add(stretch.step, more, stretch.good, cutoff);
            last = Some((stretch.start.plus(stretch.step.saturating_mul(more)), stretch.good));
        }
        uptime
    }

    fn add(&mut self, each: Duration, n: u32, good: Option<bool>, cutoff: Duration) {
        let time = each.saturating_mul(n);
        match good.filter(|_| each <= cutoff) {
            Some(true) => self.up += time,
            Some(false) => self.down += time,
            None => self.inactive += time,
        }
    }

    /// Up over up and down, in microseconds; none where nothing was seen.
    pub fn ratio(&self) -> Option<(u128, u128)> {
        let (up, all) = (self.up.as_micros(), (self.up + self.down).as_micros());
        (all > 0).then_some((up, all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::decimal;

    const CUTOFF: Duration = Duration::from_secs(60);

    fn one(at: i64, good: Option<bool>) -> Stretch {
        Stretch { start: Timestamp::from_secs(at), step: Duration::ZERO, n: 1, good }
    }

    #[test]
    fn long_gaps_are_neither_up_nor_down() {
        let events = [
            (0, true),
            (10, true),
            (20, false),
            (30, false),
            (40, true),
            (50, true),
            (650, true),
            (660, true),
        ];
        let uptime = Uptime::of(events.map(|(at, good)| one(at, Some(good))), CUTOFF);
        let seconds = [uptime.up, uptime.down, uptime.inactive].map(|time| time.as_secs());
        assert_eq!(seconds, [40, 20, 600]);
        let (up, all) = uptime.ratio().expect("seen");
        assert_eq!(decimal::fixed(up as i128 * 100, all, 3).as_deref(), Some("66.666"));
        assert_eq!(events.iter().filter(|(_, good)| *good).count() * 100 / events.len(), 75);
    }

    #[test]
    fn runs_are_as_good_as_their_events() {
        let step = Duration::from_secs(10);
        let run = |start, n, good| Stretch { start: Timestamp::from_secs(start), step, n, good };
        let runs = [run(0, 3, Some(true)), run(30, 2, Some(false)), run(50, 4, None)];
        let single = runs.iter().flat_map(|run| {
            (0..run.n).map(|k| Stretch { start: run.start.plus(step * k), n: 1, ..*run })
        });
        assert_eq!(Uptime::of(runs, CUTOFF), Uptime::of(single, CUTOFF));
        let all = Uptime::of(runs, CUTOFF);
        assert_eq!([all.up, all.down, all.inactive].map(|t| t.as_secs()), [30, 20, 30]);
        assert_eq!(Uptime::of([], CUTOFF).ratio(), None);
    }

    #[test]
    fn the_cutoff_leaves_room_for_a_timeout() {
        let second = Duration::from_secs;
        assert_eq!(cutoff(second(10), second(5)), second(30));
        assert_eq!(cutoff(second(10), second(10)), second(30));
        assert_eq!(cutoff(Duration::from_millis(100), second(5)), Duration::from_millis(5_200));
    }
}
