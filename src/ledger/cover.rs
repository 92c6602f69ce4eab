//! What slices cover: single slots of a batch that a slice has replaced do not count again.

use crate::model::Run;

/// Stretches of time of one series that slices cover, ascending and apart.
pub(super) type Cover = Vec<(i64, i64)>;

/// Whether slices cover the slot that is due at a moment.
pub(super) fn within(cover: &[(i64, i64)], due: i64) -> bool {
    let at = cover.partition_point(|(from, _)| *from <= due);
    at > 0 && due < cover[at - 1].1
}

/// The parts of a run that are due from `since` on and that no slice covers.
pub(super) fn uncovered(run: &Run, cover: &[(i64, i64)], since: i64) -> Vec<Run> {
    let step = crate::model::time::micros(run.step);
    let start = run.start.micros();
    if step <= 0 {
        let kept = start >= since && !within(cover, start);
        return if kept { vec![*run] } else { Vec::new() };
    }
    // The number of the first slot that is due at `moment` or later.
    let slot = |moment: i64| {
        let ahead = i128::from(moment) - i128::from(start) + i128::from(step) - 1;
        (ahead.max(0) / i128::from(step)).min(i128::from(run.n)) as u32
    };
    let mut parts = Vec::new();
    let mut keep = |from: u32, to: u32| {
        if from < to {
            let start = run.start.plus(run.step.saturating_mul(from));
            parts.push(Run { start, n: to - from, ..*run });
        }
    };
    let mut at = slot(since);
    for &(from, to) in cover {
        keep(at, slot(from));
        at = at.max(slot(to));
    }
    keep(at, run.n);
    parts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Timestamp, Verdict};

    proptest! {
        #[test]
        fn exactly_the_slots_that_no_slice_covers_are_left(
            start in 0_i64..100, step in 0_u64..20, n in 1_u32..30, since in 0_i64..200,
            edges in prop::collection::btree_set(0_i64..700, 0..8),
        ) {
            let edges: Vec<_> = edges.into_iter().collect();
            let cover: Vec<_> = edges.chunks_exact(2).map(|e| (e[0], e[1])).collect();
            let run = Run {
                start: Timestamp::from_micros(start),
                step: Duration::from_micros(step),
                n,
                verdict: Verdict::Good,
                class: 0,
            };
            let dues = |run: &Run| {
                let (start, step) = (run.start.micros(), run.step.as_micros() as i64);
                (0..i64::from(run.n)).map(|k| start + k * step).collect::<Vec<_>>()
            };
            let left: Vec<i64> = uncovered(&run, &cover, since).iter().flat_map(dues).collect();
            let mut expect = dues(&run);
            expect.retain(|d| *d >= since && !cover.iter().any(|(a, b)| a <= d && d < b));
            prop_assert_eq!(left, expect);
        }
    }
}
