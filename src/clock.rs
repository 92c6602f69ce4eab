//! The only reader of time.
//!
//! A running daemon lives on one timeline: the wall time at its start plus the time since, of
//! which the monotonic clock counts what the machine was awake and the boot-time clock what it
//! slept. A step of the wall clock therefore neither creates nor deletes time, and a suspended
//! machine does not lose any; how far wall and timeline have come apart is told by
//! [`Clock::wall_offset_micros`]. In tests tokio's paused time drives it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::model::Timestamp;

/// A timeline that never steps back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Timestamp,
    start: Instant,
    sleep: Sleep,
}

/// Who knows for how long the machine has slept.
#[derive(Clone, Copy, Debug)]
enum Sleep {
    /// The kernel; the time it had slept when the timeline started.
    Kernel(Duration),
    /// A test, in microseconds.
    Script(&'static AtomicU64),
}

impl Clock {
    /// A timeline that starts at the present wall time.
    pub fn start() -> Self {
        Clock::starting_at(wall_now())
    }

    /// A timeline that starts at `epoch`, whatever the wall clock says.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Clock { epoch, start: Instant::now(), sleep: Sleep::Kernel(kernel_slept()) }
    }

    /// The same timeline on a machine that has slept for as many microseconds since its start as
    /// the script says; for tests.
    #[must_use]
    pub fn sleeping(self, script: &'static AtomicU64) -> Self {
        Clock { sleep: Sleep::Script(script), ..self }
    }

    /// When the timeline started.
    pub const fn started(&self) -> Timestamp {
        self.epoch
    }

    /// The present moment of this timeline.
    pub fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// For how long the machine was suspended since the timeline started. Grows only.
    pub fn slept(&self) -> Duration {
        match self.sleep {
            Sleep::Kernel(at_start) => kernel_slept().saturating_sub(at_start),
            Sleep::Script(script) => Duration::from_micros(script.load(Relaxed)),
        }
    }

    /// The moment of this timeline that belongs to a monotonic instant since the machine last
    /// woke up.
    pub fn at(&self, instant: Instant) -> Timestamp {
        let woken = self.epoch.plus(self.slept());
        match instant.checked_duration_since(self.start) {
            Some(after) => woken.plus(after),
            None => woken.minus(self.start.duration_since(instant)),
        }
    }

    /// The monotonic instant that belongs to a moment of this timeline, if the machine stays
    /// awake; the start of the timeline for moments before it.
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.start + at.since(self.epoch).saturating_sub(self.slept())
    }

    /// How far the wall clock is ahead of this timeline, in microseconds; negative when behind.
    pub fn wall_offset_micros(&self) -> i64 {
        let (mut best, mut offset) = (Duration::MAX, 0);
        // Whoever is interrupted between two clocks sees a distance that is not there.
        for _ in 0..READS_MAX {
            let before = self.now();
            let wall = wall_now();
            let took = self.now().since(before);
            if took < best {
                (best, offset) = (took, wall.micros().saturating_sub(before.micros()));
            }
            if took < TORN {
                break;
            }
        }
        offset
    }
}

/// A pair of clocks that took longer to read than this was torn apart by something.
const TORN: Duration = Duration::from_millis(1);
/// How often a pair of clocks is read to get one that was not.
const READS_MAX: usize = 5;
/// Sleep shorter than this is the noise of reading two clocks.
const NOISE: Duration = Duration::from_millis(10);

/// For how long this machine has been suspended since it was booted, so far as is known.
fn kernel_slept() -> Duration {
    /// In microseconds. One for all: it is the machine that sleeps.
    static SLEPT: AtomicU64 = AtomicU64::new(0);
    let known = SLEPT.load(Relaxed);
    let Some(slept) = (0..READS_MAX).find_map(|_| boot_time_ahead()) else {
        return Duration::from_micros(known);
    };
    let slept = u64::try_from(slept.as_micros()).unwrap_or(u64::MAX);
    if u128::from(slept.saturating_sub(known)) < NOISE.as_micros() {
        return Duration::from_micros(known);
    }
    Duration::from_micros(SLEPT.fetch_max(slept, Relaxed).max(slept))
}

/// How far the clock that counts suspended time is ahead of the one that does not; none if they
/// could not be read in one go.
#[cfg(target_os = "linux")]
fn boot_time_ahead() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| {
        let time = clock_gettime(clock);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
    };
    let before = read(ClockId::Monotonic);
    let boot = read(ClockId::Boottime);
    let after = read(ClockId::Monotonic);
    (after.saturating_sub(before) < TORN).then(|| boot.saturating_sub(after))
}

/// Elsewhere a suspended machine looks like one that stood still.
#[cfg(not(target_os = "linux"))]
fn boot_time_ahead() -> Option<Duration> {
    Some(Duration::ZERO)
}

/// The wall clock, read once.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall_now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_micros(crate::model::time::micros(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn thirty_days_pass_in_an_instant() {
        let clock = Clock::starting_at(Timestamp::from_secs(1_000));
        let month = Duration::from_secs(30 * 86_400);
        tokio::time::advance(month).await;
        assert_eq!(clock.now(), Timestamp::from_secs(1_000).plus(month));
        assert_eq!(clock.at(clock.instant(clock.now())), clock.now());
    }

    #[tokio::test(start_paused = true)]
    async fn sleep_is_time_and_does_not_put_off_what_is_due() {
        static SLEPT: AtomicU64 = AtomicU64::new(0);
        let clock = Clock::starting_at(Timestamp::from_secs(1_000)).sleeping(&SLEPT);
        let due = Timestamp::from_secs(4_610);
        assert_eq!(clock.instant(due) - Instant::now(), Duration::from_secs(3_610));
        SLEPT.store(3_600_000_000, Relaxed);
        assert_eq!(clock.now(), Timestamp::from_secs(4_600));
        assert_eq!(clock.instant(due) - Instant::now(), Duration::from_secs(10));
        assert_eq!(clock.at(clock.instant(due)), due);
    }

    #[test]
    fn an_awake_machine_has_not_slept_and_its_clocks_agree() {
        let clock = Clock::start();
        for _ in 0..10_000 {
            assert_eq!(clock.slept(), Duration::ZERO);
        }
        assert!(clock.wall_offset_micros().abs() < 50_000);
    }
}
