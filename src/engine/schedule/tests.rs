//! The laws of the schedule.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::check::{Check, Endpoint, TcpCheck};

fn probe(name: &str, interval_us: u64, timeout_us: u64) -> Probe {
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: 1 };
    Probe {
        id: format!("svc/{name}").parse().expect("valid"),
        check: Check::Tcp(TcpCheck { endpoint, send: None, expect: None }),
        interval: Duration::from_micros(interval_us),
        timeout: Duration::from_micros(timeout_us),
    }
}

fn at(us: i64) -> Timestamp {
    Timestamp::from_micros(us)
}

/// A schedule of one probe from second 1,000 on, and its grid.
fn single(interval_ms: u64, timeout_ms: u64) -> (Schedule, Grid) {
    let probe = probe("a", interval_ms * 1_000, timeout_ms * 1_000);
    let mut schedule = Schedule::new(1_000);
    schedule.replace([(SeriesId(0), &probe)].into_iter(), "here", Timestamp::from_secs(1_000));
    (schedule, Grid::new(&probe.id, "here", probe.interval))
}

fn drain(schedule: &mut Schedule, now: Timestamp) -> Vec<Due> {
    std::iter::from_fn(|| schedule.pop_due(now)).collect()
}

#[test]
fn the_phase_is_the_documented_hash() {
    assert_eq!(fnv_1a(b"foobar".iter().copied()), 0x8594_4171_f739_67e8);
    let id: ProbeId = "registry/pull".parse().expect("valid");
    let grid = Grid::new(&id, "local", Duration::from_secs(5));
    let hash = fnv_1a(b"registry/pull\0local".iter().copied());
    assert_eq!(grid.phase(), Duration::from_micros(hash % 5_000_000));
    assert_ne!(grid, Grid::new(&id, "elsewhere", Duration::from_secs(5)));
}

#[test]
fn a_thousand_probes_spread_over_their_interval() {
    let mut tenths = [0_u32; 10];
    for i in 0..1_000 {
        let id = format!("svc/probe-{i}").parse().expect("valid");
        let phase = Grid::new(&id, "local", Duration::from_secs(10)).phase();
        tenths[phase.as_secs() as usize] += 1;
    }
    assert!(tenths.iter().all(|n| (60..=140).contains(n)), "{tenths:?}");
}

#[test]
fn a_slow_predecessor_delays_nobody_and_the_excess_is_unknown() {
    let (mut schedule, grid) = single(1_000, 1_000);
    let first = grid.first_due_at_or_after(Timestamp::from_secs(1_000));
    let due = |k: u64| first.plus(Duration::from_secs(k));
    let mut started = Vec::new();
    for k in 0..4 {
        match schedule.pop_due(due(k)) {
            Some(Due::Start(ticket)) if k < 2 => started.push(ticket),
            Some(Due::Missed(_, run)) if k >= 2 => {
                assert_eq!((run.start, run.n), (due(k), 1));
                assert_eq!(run.verdict, Verdict::Unknown(UnknownReason::Inflight));
            }
            other => panic!("slot {k}: {other:?}"),
        }
    }
    assert_eq!(schedule.n_in_flight(), 2);
    schedule.finish(started[0]);
    assert!(matches!(schedule.pop_due(due(4)), Some(Due::Start(_))));
}

#[test]
fn after_a_pause_the_latest_slot_is_started_and_the_earlier_ones_are_late() {
    let (mut schedule, grid) = single(1_000, 500);
    let first = grid.first_due_at_or_after(Timestamp::from_secs(1_000));
    let out = drain(&mut schedule, first.plus(Duration::from_millis(10_300)));
    let late = Verdict::Unknown(UnknownReason::Late);
    let run = Run { start: first, step: Duration::from_secs(1), n: 10, verdict: late, class: 0 };
    assert_eq!(out[0], Due::Missed(SeriesId(0), run));
    assert!(matches!(out[1], Due::Start(t) if t.due == first.plus(Duration::from_secs(10))));
    assert_eq!(out.len(), 2);
}

#[test]
fn a_daily_probe_is_late_after_a_minute() {
    let (mut schedule, grid) = single(86_400_000, 1_000);
    let first = grid.first_due_at_or_after(Timestamp::from_secs(1_000));
    assert!(matches!(schedule.clone().pop_due(first.plus(LATENESS_MAX)), Some(Due::Start(_))));
    let beyond = first.plus(LATENESS_MAX).just_after();
    assert!(matches!(schedule.pop_due(beyond), Some(Due::Missed(_, run)) if run.n == 1));
}

#[test]
fn the_whole_machine_has_a_bound_too() {
    let probes: Vec<_> = (0..5).map(|i| probe(&format!("p{i}"), 1_000_000, 1)).collect();
    let mut schedule = Schedule::new(3);
    let all = probes.iter().enumerate().map(|(i, p)| (SeriesId(i as u32), p));
    schedule.replace(all, "here", at(0));
    let out = drain(&mut schedule, at(999_999));
    assert_eq!(out.iter().filter(|due| matches!(due, Due::Start(_))).count(), 3);
    assert_eq!(out.len(), 5);
}

#[test]
fn what_a_prober_cannot_start_is_told_once_and_takes_no_place() {
    let (mut schedule, grid) = single(1_000, 1_000);
    let first = grid.first_due_at_or_after(Timestamp::from_secs(1_000));
    let due = |k: u64| first.plus(Duration::from_secs(k));
    assert_eq!(schedule.pop_refused(first.just_before(), first), None);
    let (_, run) = schedule.pop_refused(first, first).expect("it is due");
    assert_eq!((run.start, run.n), (first, 1));
    assert_eq!(run.verdict, Verdict::Unknown(UnknownReason::Inflight));
    assert_eq!((schedule.pop_refused(first, first), schedule.n_in_flight()), (None, 0));
    // What has become too late meanwhile is told as that.
    let (_, run) = schedule.pop_refused(due(3), due(3)).expect("three are due");
    assert_eq!((run.start, run.n, run.verdict), (due(1), 1, Verdict::Unknown(UnknownReason::Late)));
    assert!(matches!(schedule.pop_due(due(3)), Some(Due::Start(ticket)) if ticket.due == due(2)));
}

#[test]
fn the_end_of_time_comes_out_once() {
    let (mut schedule, _) = single(1_000, 500);
    schedule.heap.clear();
    schedule.heap.push(Reverse((at(i64::MAX), SeriesId(0))));
    assert!(schedule.pop_due(at(i64::MAX)).is_some());
    assert_eq!(schedule.pop_due(at(i64::MAX)), None);
}

/// One step of a history: time passes, some started probes finish, probes are exchanged.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    FinishOldest(usize),
    Replace(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u64..60_000).prop_map(Step::Pass),
        1 => (0_u64..2_000_000).prop_map(Step::Pass),
        4 => (0_usize..8).prop_map(Step::FinishOldest),
        1 => prop::collection::vec(any::<u8>(), 0..6).prop_map(Step::Replace),
    ];
    prop::collection::vec(step, 1..80)
}

/// The probes that stand behind one byte each: five series, two grids each.
fn set(bytes: &[u8]) -> BTreeMap<SeriesId, Probe> {
    let one = |byte: &u8| {
        let interval = 10_000 + u64::from(byte & 1) * 7_000;
        (SeriesId(u32::from(byte % 5)), probe(&format!("p{}", byte % 5), interval, interval))
    };
    bytes.iter().map(one).collect()
}

/// Every slot that came out, by series: (due, verdict if missed).
type Seen = BTreeMap<SeriesId, Vec<Timestamp>>;

fn pop_all(schedule: &mut Schedule, now: Timestamp, seen: &mut Seen, open: &mut Vec<Ticket>) {
    while let Some(due) = schedule.pop_due(now) {
        match due {
            Due::Start(ticket) => {
                assert!(now.since(ticket.due) <= ticket.step, "started too late: {ticket:?}");
                seen.entry(ticket.series).or_default().push(ticket.due);
                open.push(ticket);
            }
            Due::Missed(series, run) => {
                let slots = (0..run.n).map(|k| run.start.plus(run.step * k));
                seen.entry(series).or_default().extend(slots);
            }
        }
    }
}

proptest! {
    #[test]
    fn the_first_due_time_is_on_the_grid_and_within_an_interval(
        interval in 1_u64..100_000_000, phase_of in "[a-z]{1,8}", now in -1_000_000_000_i64..i64::MAX / 2,
    ) {
        let id = format!("svc/{phase_of}").parse().expect("valid");
        let grid = Grid::new(&id, "here", Duration::from_micros(interval));
        let due = grid.first_due_at_or_after(at(now));
        prop_assert!(due >= at(now) && due.since(at(now)) < grid.interval());
        let since_phase = due.micros() - grid.phase().as_micros() as i64;
        prop_assert_eq!(since_phase.rem_euclid(interval as i64), 0);
    }

    /// good + bad + unknown = scheduled: the slots of a series are exactly the points of its grid
    /// between the moments at which it came and went, whatever happened in between.
    #[test]
    fn every_slot_comes_out_exactly_once(first: Vec<u8>, steps in steps()) {
        let mut now = at(1_000_000_000);
        let mut probes = set(&first);
        let mut schedule = Schedule::new(6);
        schedule.replace(probes.iter().map(|(s, p)| (*s, p)), "here", now);
        let (mut seen, mut want, mut open) = (Seen::new(), Seen::new(), Vec::new());
        // From when on the present probes have been scheduled.
        let after = now.just_after();
        let mut since: BTreeMap<_, _> = probes.keys().map(|s| (*s, after)).collect();
        for step in steps.into_iter().chain([Step::Pass(0), Step::Replace(Vec::new())]) {
            match step {
                Step::Pass(us) => now = now.plus(Duration::from_micros(us)),
                Step::FinishOldest(n) => {
                    open.drain(..n.min(open.len())).for_each(|ticket| schedule.finish(ticket));
                }
                Step::Replace(bytes) => {
                    pop_all(&mut schedule, now, &mut seen, &mut open);
                    let new = set(&bytes);
                    let after = now.just_after();
                    for (series, old) in &probes {
                        if new.get(series).is_some_and(|p| p.interval == old.interval) {
                            continue;
                        }
                        let grid = Grid::new(&old.id, "here", old.interval);
                        let mut due = grid.first_due_at_or_after(since[series]);
                        while due <= now {
                            want.entry(*series).or_default().push(due);
                            due = due.plus(grid.interval());
                        }
                        since.remove(series);
                    }
                    for series in new.keys() {
                        since.entry(*series).or_insert(after);
                    }
                    schedule.replace(new.iter().map(|(s, p)| (*s, p)), "here", now);
                    probes = new;
                }
            }
            pop_all(&mut schedule, now, &mut seen, &mut open);
            prop_assert_eq!(schedule.n_in_flight(), open.len());
            prop_assert!(open.len() <= 6);
        }
        seen.values_mut().for_each(|slots| slots.sort_unstable());
        prop_assert_eq!(seen, want);
    }
}

#[test]
fn slots_in_which_nobody_ran_come_out_once_and_the_grid_goes_on() {
    let (mut schedule, grid) = single(1_000, 500);
    let first = grid.first_due_at_or_after(Timestamp::from_secs(1_000));
    let until = first.plus(Duration::from_millis(3_600_500));
    let (_, run) = schedule.pop_not_running(until).expect("an hour of slots");
    assert_eq!((run.start, run.n), (first, 3_601));
    assert_eq!(run.verdict, Verdict::Unknown(UnknownReason::NotRunning));
    assert_eq!(schedule.pop_not_running(until), None);
    assert_eq!(schedule.next_due(), Some(run.end()));
    assert!(drain(&mut schedule, until).is_empty());
}
