//! What stays as it is, against looking at every tick.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::engine::evaluate::{self, Histories};
use crate::engine::series::Series;
use crate::model::catalog::UnknownPolicy;
use crate::model::{AlertPolicy, Limit, Pair, Severity, Share, ShortThreshold, Tally};

fn at(n: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + n)
}

fn slo(unknown: UnknownPolicy, window: u64) -> Slo {
    let pair = |severity, long, short, percent: u32| Pair {
        severity,
        long: Duration::from_secs(long),
        short: Duration::from_secs(short),
        limit: Limit::Budget(Share::from_ppb(percent * 10_000_000).expect("a share")),
        hold: Duration::ZERO,
    };
    Slo {
        unknown,
        policy: Some(Arc::new(AlertPolicy {
            name: "test".parse().expect("valid"),
            pairs: vec![pair(Severity::Page, 60, 10, 20), pair(Severity::Ticket, 120, 30, 40)],
            short_threshold: ShortThreshold::Same,
            min_bad: 1,
        })),
        ..Slo::new(
            "svc/slo".parse().expect("valid"),
            "90%".parse().expect("valid"),
            Duration::from_secs(window),
        )
    }
}

/// Runs of a series one after the other, every so many seconds.
fn series(step: u64, phase: i64, runs: &[(u32, u8)]) -> Series {
    let mut series = Series::default();
    let mut next = at(0).plus(Duration::from_millis(phase.unsigned_abs()));
    for (n, outcome) in runs {
        let each = match outcome {
            0..=5 => Tally { good: 1, ..Tally::ZERO },
            6 | 7 => Tally { bad: 1, ..Tally::ZERO },
            _ => Tally { unknown: 1, ..Tally::ZERO },
        };
        series.push(next, Duration::from_secs(step), *n, each);
        next = next.plus(Duration::from_secs(step) * *n);
    }
    series
}

/// Everything that an evaluation at a tick says.
fn look(histories: Histories<'_>, slo: &Slo, now: Timestamp) -> (SloStatus, bool, Steady) {
    let moment = Moment::of_slo(histories, slo, now);
    let pairs = evaluate::firing_pairs(&moment, slo, &[]);
    let exhausted = evaluate::is_exhausted(&moment, slo);
    let status = evaluate::evaluate(&moment, slo, pairs);
    let steady = Steady::of(&moment, slo, &status);
    (status, exhausted, steady)
}

fn any_runs() -> impl Strategy<Value = Vec<(u32, u8)>> {
    prop::collection::vec((1_u32..20, 0_u8..10), 1..12)
}

proptest! {
    #[test]
    fn what_is_not_looked_at_is_what_looking_finds(
        steps in (1_u64..15, 1_u64..15), phases in (0_i64..1_000, 0_i64..1_000),
        runs in (any_runs(), any_runs()),
        unknown in prop::sample::select(
            vec![UnknownPolicy::Exclude, UnknownPolicy::Bad, UnknownPolicy::Good],
        ),
        window in 50_u64..400, from in 1_i64..200,
    ) {
        let both = [series(steps.0, phases.0, &runs.0), series(steps.1, phases.1, &runs.1)];
        let histories = Histories { series: &both, of: &[0, 1] };
        let slo = slo(unknown, window);
        // What comes next is not known yet.
        let next = |series: &Series| series.look(at(from)).1.or(series.end());
        let known = both.iter().filter_map(next).min();
        let (mut status, exhausted, steady) = look(histories, &slo, at(from));
        let steady = steady.at_most(known);
        for now in (from + 1..from + 40).map(at).take_while(|now| steady.holds_at(*now)) {
            steady.move_on(&mut status, now);
            let (fresh, still, _) = look(histories, &slo, now);
            prop_assert_eq!(&status, &fresh);
            prop_assert_eq!(exhausted, still);
        }
    }
}

#[test]
fn between_two_slots_nothing_is_looked_at_and_with_each_slot_everything() {
    // A slot every ten seconds, the first at 0.5 s, far longer than any window.
    let healthy = [series(10, 500, &[(200, 0)])];
    let histories = Histories { series: &healthy, of: &[0] };
    let (_, _, steady) = look(histories, &slo(UnknownPolicy::Exclude, 300), at(1_001));
    let steady = steady.at_most(Some(at(1_010).plus(Duration::from_millis(500))));
    assert!(steady.holds_at(at(1_010)) && !steady.holds_at(at(1_011)), "{steady:?}");
}

#[test]
fn time_alone_may_change_a_forecast_so_every_tick_looks() {
    // Burning, but not yet spent.
    let burning = [series(1, 0, &[(290, 0), (9, 6), (50, 0)])];
    let histories = Histories { series: &burning, of: &[0] };
    let (status, _, steady) = look(histories, &slo(UnknownPolicy::Exclude, 300), at(299));
    assert!(matches!(status.exhaustion, crate::engine::Exhaustion::In(_)), "{status:?}");
    assert_eq!(steady, Steady::default());
}
