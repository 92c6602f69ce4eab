//! Waiting for something to become true, or to stay true. The only place in the tests that sleeps.

use std::time::Duration;

use tokio::time::Instant;

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `look` finds something and returns it; fails once `limit` has passed without.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        pause();
    }
}

/// Looks for all of `period` and fails as soon as `holds` is false.
#[track_caller]
pub fn throughout(what: &str, period: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < period {
        assert!(holds(), "{what}: no longer true after {:?}", start.elapsed());
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "the one pause between two looks")]
fn pause() {
    std::thread::sleep(LOOK_EVERY);
}
