//! The running prober: every slot once, open loop, through exchanges and stops.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use tokio::sync::mpsc;

use super::*;
use crate::engine::schedule::Grid;
use crate::model::Probe;

fn probe(name: &str, check: Check, interval_ms: u64) -> Probe {
    Probe {
        id: format!("svc/{name}").parse().expect("an id"),
        check,
        interval: Duration::from_millis(interval_ms),
        timeout: Duration::from_millis(interval_ms),
    }
}

fn config(threads: usize) -> Config {
    Config { threads, drain: Duration::from_secs(20), ..Config::default() }
}

/// Every slot by series: when it was due and what became of it.
type Slots = BTreeMap<SeriesId, Vec<(Timestamp, Verdict)>>;

fn add(slots: &mut Slots, reports: Vec<Report>) {
    for report in reports {
        match report {
            Report::Observed(seen) | Report::Doubted(seen, _) => {
                slots.entry(seen.series).or_default().push((seen.due, seen.verdict));
            }
            Report::Missed(series, run) => {
                let run = (0..run.n).map(|k| (run.start.plus(run.step * k), run.verdict));
                slots.entry(series).or_default().extend(run);
            }
            Report::Counted(_) => panic!("a prober counts for itself"),
        }
    }
}

async fn receive(slots: &mut Slots, reports: &mut mpsc::Receiver<Vec<Report>>, n: usize) {
    while slots.values().map(Vec::len).sum::<usize>() < n {
        add(slots, reports.recv().await.expect("the prober runs"));
    }
}

/// Stops, reads the rest, and returns the moment up to which everything is told.
async fn stop(
    prober: Prober,
    slots: &mut Slots,
    mut reports: mpsc::Receiver<Vec<Report>>,
) -> Timestamp {
    let rest = tokio::spawn(async move {
        let mut rest = Vec::new();
        while let Some(more) = reports.recv().await {
            rest.extend(more);
        }
        rest
    });
    let until = prober.stop().await;
    add(slots, rest.await.expect("no panic"));
    until
}

/// The slots of a series are exactly the points of its grid from `from` up to `until` at least:
/// threads stop one after the other.
fn assert_complete(slots: &Slots, series: u32, probe: &Probe, from: Timestamp, until: Timestamp) {
    let grid = Grid::new(&probe.id, "local", probe.interval);
    let mut seen: Vec<_> = slots[&SeriesId(series)].iter().map(|(due, _)| *due).collect();
    seen.sort_unstable();
    let until = seen.last().map_or(until, |last| until.max(*last));
    let mut want = Vec::new();
    let mut due = grid.first_due_at_or_after(from.just_after());
    while due <= until {
        want.push(due);
        due = due.plus(probe.interval);
    }
    assert_eq!(seen, want, "series {series}");
}

#[tokio::test]
async fn every_slot_is_reported_once_through_exchanges_and_a_stop() {
    let server = Server::start(|stream| answer(stream, OK));
    // The server is slow where the machine is busy, and must not be blamed for that here.
    let honest =
        |name: &str| Probe { timeout: LONG, ..probe(name, Check::Http(http(server.at)), 20) };
    let (sink, mut reports) = mpsc::channel(64);
    let (clock, mut slots) = (Clock::start(), Slots::new());
    let from = clock.now();
    let kept: Vec<_> = (0..4).map(|i| honest(&format!("kept-{i}"))).collect();
    let numbered = |probes: &[Probe]| {
        probes.iter().cloned().enumerate().map(|(i, p)| (SeriesId(i as u32), p)).collect::<Vec<_>>()
    };
    let mut first = numbered(&kept);
    first.push((SeriesId(90), honest("goes")));
    let prober = Prober::start(first, clock, config(2), from, sink).expect("starts");
    receive(&mut slots, &mut reports, 50).await;
    for round in 0..5 {
        let mut next = numbered(&kept);
        next.push((SeriesId(100 + round), honest("comes")));
        prober.replace(next, clock.now().plus(Duration::from_millis(5))).await;
        assert_eq!(prober.meters().probes(), 5);
        let n = slots.values().map(Vec::len).sum::<usize>();
        receive(&mut slots, &mut reports, n + 30).await;
    }
    let meters = prober.meters();
    let until = stop(prober, &mut slots, reports).await;
    for (i, probe) in kept.iter().enumerate() {
        assert_complete(&slots, i as u32, probe, from, until);
    }
    assert!(slots.contains_key(&SeriesId(90)) && slots.contains_key(&SeriesId(104)));
    let all = slots.values().flatten();
    let good = all.clone().filter(|(_, verdict)| *verdict == Verdict::Good).count();
    assert!(good * 2 > all.clone().count(), "{slots:?}");
    let bad = all.filter(|(_, verdict)| matches!(verdict, Verdict::Bad(_))).count();
    assert_eq!((meters.in_flight(), meters.queued(), meters.undelivered()), (0, 0, 0));
    assert_eq!((meters.probes(), bad), (0, 0), "{slots:?}");
    assert!(meters.start_lag.counts().iter().sum::<u64>() >= good as u64);
}

#[tokio::test]
async fn a_target_that_never_answers_delays_no_start() {
    let server = Server::start(hold);
    let slow = probe("slow", Check::Http(http(server.at)), 200);
    let (sink, mut reports) = mpsc::channel(64);
    let (clock, mut slots) = (Clock::start(), Slots::new());
    let from = clock.now();
    let probes = vec![(SeriesId(7), slow.clone())];
    let prober = Prober::start(probes, clock, config(1), from, sink).expect("starts");
    receive(&mut slots, &mut reports, 5).await;
    let until = stop(prober, &mut slots, reports).await;
    assert_complete(&slots, 7, &slow, from, until);
    // On a machine that is not itself at a standstill these are time-outs.
    let honest = |verdict: &Verdict| {
        matches!(verdict, Verdict::Bad(BadReason::Timeout) | Verdict::Unknown(_))
    };
    assert!(slots[&SeriesId(7)].iter().all(|(_, verdict)| honest(verdict)), "{slots:?}");
}

#[tokio::test]
async fn a_stop_that_cannot_wait_says_what_it_gave_up() {
    let server = Server::start(hold);
    let mut slow = probe("slow", Check::Http(http(server.at)), 30_000);
    slow.interval = Duration::from_millis(10);
    slow.timeout = Duration::from_secs(30);
    let (sink, reports) = mpsc::channel(64);
    let (clock, mut slots) = (Clock::start(), Slots::new());
    let from = clock.now();
    let config = Config { drain: Duration::ZERO, ..config(1) };
    let probes = vec![(SeriesId(7), slow.clone())];
    let prober = Prober::start(probes, clock, config, from, sink).expect("starts");
    let meters = prober.meters();
    while meters.in_flight() < 3 {
        tokio::task::yield_now().await;
    }
    // Nobody waits for the sink either: it has room.
    let until = stop(prober, &mut slots, reports).await;
    assert_complete(&slots, 7, &slow, from, until);
    let given_up = Verdict::Unknown(UnknownReason::NotRunning);
    let n = slots[&SeriesId(7)].iter().filter(|(_, verdict)| *verdict == given_up).count();
    assert!(n >= 3, "{slots:?}");
    assert_eq!(meters.missed(UnknownReason::NotRunning), n as u64);
}

#[tokio::test]
async fn slots_of_a_suspended_machine_are_not_running_and_time_goes_on_where_it_is() {
    static SLEPT: AtomicU64 = AtomicU64::new(0);
    let server = Server::start(|stream| answer(stream, OK));
    let honest = probe("honest", Check::Http(http(server.at)), 100);
    let silent = Server::start(hold);
    let slow = probe("slow", Check::Http(http(silent.at)), 1_000);
    let (sink, mut reports) = mpsc::channel(64);
    let (clock, mut slots) = (Clock::start().sleeping(&SLEPT), Slots::new());
    let from = clock.now();
    let probes = vec![(SeriesId(7), honest.clone()), (SeriesId(8), slow.clone())];
    let prober = Prober::start(probes, clock, config(1), from, sink).expect("starts");
    while prober.meters().in_flight() == 0 || !slots.contains_key(&SeriesId(7)) {
        receive(&mut slots, &mut reports, 1).await;
    }
    let asleep = clock.now();
    SLEPT.store(3_600_000_000, Ordering::SeqCst);
    let awake = clock.now();
    let n = 36_000 + 3_600 + slots.values().map(Vec::len).sum::<usize>();
    receive(&mut slots, &mut reports, n + 40).await;
    let until = stop(prober, &mut slots, reports).await;
    assert_complete(&slots, 7, &honest, from, until);
    assert_complete(&slots, 8, &slow, from, until);
    let not_running = Verdict::Unknown(UnknownReason::NotRunning);
    for (due, verdict) in &slots[&SeriesId(7)] {
        let slept = (asleep..awake).contains(due);
        assert!(!slept || *verdict == not_running, "{due} {verdict:?}");
    }
    let after = slots[&SeriesId(7)].iter().filter(|(due, _)| *due > awake);
    assert!(after.clone().any(|(_, verdict)| *verdict == Verdict::Good), "nothing goes on");
    // What was in flight when it fell asleep is nobody's timeout.
    let in_flight = slots[&SeriesId(8)].iter().rfind(|(due, _)| *due <= asleep);
    assert!(!in_flight.is_some_and(|(_, v)| matches!(v, Verdict::Bad(_))), "{in_flight:?}");
}

#[tokio::test]
async fn a_sink_that_is_full_stops_no_probe_and_loses_no_slot() {
    let server = Server::start(|stream| answer(stream, OK));
    let probe = probe("p", Check::Http(http(server.at)), 10);
    let (sink, mut reports) = mpsc::channel(1);
    let (clock, mut slots) = (Clock::start(), Slots::new());
    let from = clock.now();
    let probes = vec![(SeriesId(1), probe.clone())];
    let prober = Prober::start(probes, clock, config(1), from, sink).expect("starts");
    let meters = prober.meters();
    while meters.queued() < 20 {
        tokio::task::yield_now().await;
    }
    receive(&mut slots, &mut reports, 20).await;
    let until = stop(prober, &mut slots, reports).await;
    assert_complete(&slots, 1, &probe, from, until);
    assert_eq!((meters.shed(), meters.undelivered()), (0, 0));
}

#[tokio::test]
async fn hostile_targets_do_not_hold_up_honest_ones() {
    let honest = Server::start(|stream| answer(stream, OK));
    let silent = Server::start(hold);
    let flood = Server::start(|stream| {
        answer(stream, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        while stream.write_all(b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n").is_ok() {}
    });
    let mut probes = Vec::new();
    for i in 0..40 {
        let (at, interval_ms) = match i {
            // Honest ones have time enough even where the whole machine is short of it.
            0..10 => (honest.at, 3_000),
            10..35 => (silent.at, 250),
            _ => (flood.at, 500),
        };
        let check = Check::Http(http(at));
        probes.push((SeriesId(i), probe(&format!("p{i}"), check, interval_ms)));
    }
    let (sink, mut reports) = mpsc::channel(64);
    let (clock, mut slots) = (Clock::start(), Slots::new());
    let from = clock.now();
    let prober = Prober::start(probes.clone(), clock, config(1), from, sink).expect("starts");
    while slots.range(..SeriesId(10)).map(|(_, slots)| slots.len()).sum::<usize>() < 10 {
        add(&mut slots, reports.recv().await.expect("the prober runs"));
    }
    let until = stop(prober, &mut slots, reports).await;
    for (series, probe) in probes.iter().filter(|(series, _)| slots.contains_key(series)) {
        assert_complete(&slots, series.0, probe, from, until);
    }
    let honest = slots.range(..SeriesId(10)).flat_map(|(_, slots)| slots);
    let bad: Vec<_> = honest.filter(|(_, v)| matches!(v, Verdict::Bad(_))).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

/// More is due than one thread can probe. It probes what it can, nearly on time, gives up the
/// rest, and forgets no slot.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_prober_that_is_overloaded_does_what_it_can() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = closed.local_addr().expect("bound");
    drop(closed);
    let many: Vec<_> = (0..60_000)
        .map(|i| (SeriesId(i), probe(&format!("p-{i}"), tcp(at, None, None), 1_000)))
        .collect();
    let (sink, mut reports) = mpsc::channel(1_024);
    let (clock, mut slots) = (Clock::start(), Slots::new());
    let from = clock.now();
    let prober = Prober::start(many.clone(), clock, config(1), from, sink).expect("starts");
    receive(&mut slots, &mut reports, 3 * many.len()).await;
    let meters = prober.meters();
    let until = stop(prober, &mut slots, reports).await;
    for (series, probe) in many.iter().step_by(1_000) {
        assert_complete(&slots, series.0, probe, from, until);
    }
    let n = |of: fn(&Verdict) -> bool| slots.values().flatten().filter(|(_, v)| of(v)).count();
    let refused = n(|verdict| matches!(verdict, Verdict::Bad(_)));
    let (late, inflight) = (UnknownReason::Late, UnknownReason::Inflight);
    let given_up = meters.missed(inflight) + meters.missed(late);
    assert!(given_up > 0, "this machine is fast: {refused} probes");
    assert!(refused > 1_000, "{refused} probed, {given_up} given up");
    let started: u64 = meters.start_lag.counts().iter().sum();
    let mean = meters.start_lag.sum() / u32::try_from(started).expect("few");
    assert!(mean < Duration::from_secs(2), "probes start {mean:?} late");
    assert!(meters.in_flight() == 0);
}
