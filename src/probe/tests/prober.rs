//! The prober: every slot on the grid is accounted for once, whatever happens meanwhile.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::server::{Act::*, Server, http, ok, pause, until};
use super::*;
use crate::engine::schedule::Grid;
use crate::model::{Probe, Run};

const VANTAGE: &str = "here";
const INTERVAL: Duration = Duration::from_millis(50);

type Slots = BTreeMap<SeriesId, Vec<(Timestamp, Verdict)>>;

fn config(threads: usize) -> Config {
    Config { threads, vantage: VANTAGE.to_owned(), ..Config::default() }
}

fn spec(name: &str, server: &Server, interval: Duration) -> Probe {
    Probe {
        id: format!("tests/{name}").parse().expect("an identifier"),
        check: Check::Http(get(server.address)),
        interval,
        timeout: interval,
    }
}

/// Every slot that is due after `from` and not after `to`.
fn due(probe: &Probe, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let grid = Grid::new(&probe.id, VANTAGE, probe.interval);
    let first = grid.first_due_at_or_after(from.plus(Duration::from_micros(1)));
    let all = std::iter::successors(Some(first), |at| Some(at.plus(probe.interval)));
    all.take_while(|at| *at <= to).collect()
}

/// Every slot that was reported, in the order of due times.
fn slots(reports: &[Report]) -> Slots {
    let mut slots = Slots::new();
    for report in reports {
        let (series, run) = match report {
            Report::Missed(series, run) => (*series, *run),
            Report::Observed(Observation { series, due, verdict, .. }) => {
                (*series, Run { start: *due, step: INTERVAL, n: 1, verdict: *verdict, class: 0 })
            }
        };
        let starts = (0..run.n).map(|k| run.start.plus(run.step * k));
        slots.entry(series).or_default().extend(starts.map(|at| (at, run.verdict)));
    }
    slots.values_mut().for_each(|slots| slots.sort());
    slots
}

fn moments(slots: &Slots, series: u32) -> Vec<Timestamp> {
    slots.get(&SeriesId(series)).into_iter().flatten().map(|(at, _)| *at).collect()
}

/// Collects everything until the prober lets go of the sink.
fn collect(mut inbox: mpsc::Receiver<Vec<Report>>) -> tokio::task::JoinHandle<Vec<Report>> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(batch) = inbox.recv().await {
            all.extend(batch);
        }
        all
    })
}

/// How late the starts were, sorted.
fn lags(reports: &[Report], of: u32) -> Vec<Duration> {
    let lag = |report: &Report| match report {
        Report::Observed(it) if it.series == SeriesId(of) => Some(it.lag),
        _ => None,
    };
    let mut lags: Vec<_> = reports.iter().filter_map(lag).collect();
    lags.sort();
    lags
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_slot_is_reported_once_across_replacement_and_stop() {
    let server = Server::start(ok()).await;
    let [kept, goes, comes] = ["kept", "goes", "comes"].map(|name| spec(name, &server, INTERVAL));
    let clock = Clock::start();
    let (sink, inbox) = mpsc::channel(16);
    let all = collect(inbox);
    let from = clock.now();
    let before = vec![(SeriesId(1), kept.clone()), (SeriesId(2), goes.clone())];
    let prober = Prober::start(before, clock, config(2), from, sink).expect("starts");
    pause(1_000).await;
    let replaced = clock.now();
    prober.replace(vec![(SeriesId(1), kept.clone()), (SeriesId(3), comes.clone())]).await;
    let replaced = (replaced, clock.now());
    assert_eq!(prober.meters().probes(), 2);
    pause(1_000).await;
    let meters = prober.meters();
    let until = prober.stop().await;
    let reports = all.await.expect("collects");
    let slots = slots(&reports);
    assert_eq!(moments(&slots, 1), due(&kept, from, until), "from the start to the stop");
    let gone = moments(&slots, 2);
    assert!(gone.starts_with(&due(&goes, from, replaced.0)), "until it was replaced");
    assert!(due(&goes, from, replaced.1).starts_with(&gone), "and not after");
    let come = moments(&slots, 3);
    assert!(come.ends_with(&due(&comes, replaced.1, until)), "from then to the stop");
    assert!(due(&comes, replaced.0, until).ends_with(&come), "and not before");
    assert_eq!(slots.len(), 3);
    let good = slots.values().flatten().filter(|(_, verdict)| *verdict == Verdict::Good);
    assert!(good.count() > 0);
    assert_eq!((meters.in_flight(), meters.undelivered(), meters.probes()), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_keep_to_the_grid_beside_a_target_that_never_answers() {
    let server = Server::start(ok()).await;
    let silent = Server::start(http([Hang])).await;
    let fast = spec("fast", &server, INTERVAL);
    let slow = Duration::from_millis(500);
    let mut probes = vec![(SeriesId(0), fast.clone())];
    probes.extend((1..20).map(|n| (SeriesId(n), spec(&format!("slow-{n}"), &silent, slow))));
    let clock = Clock::start();
    let (sink, inbox) = mpsc::channel(16);
    let all = collect(inbox);
    let from = clock.now();
    let prober = Prober::start(probes.clone(), clock, config(1), from, sink).expect("starts");
    pause(2_000).await;
    let until = prober.stop().await;
    let reports = all.await.expect("collects");
    let slots = slots(&reports);
    for (series, probe) in &probes {
        assert_eq!(moments(&slots, series.0), due(probe, from, until), "{}", probe.id);
    }
    let never_good = slots[&SeriesId(7)].iter().all(|(_, verdict)| *verdict != Verdict::Good);
    assert!(never_good && slots[&SeriesId(7)].len() >= 3);
    // Waiting for the others would have cost up to half a second at each start.
    let lags = lags(&reports, 0);
    assert!(lags.len() >= slots[&SeriesId(0)].len() / 2, "{} started", lags.len());
    assert!(lags[lags.len() / 2] < Duration::from_millis(25), "half of them within {lags:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_not_read_loses_no_slot_and_delays_no_start() {
    let server = Server::start(ok()).await;
    let probe = spec("unread", &server, Duration::from_millis(20));
    let clock = Clock::start();
    let (sink, inbox) = mpsc::channel(1);
    let from = clock.now();
    let probes = vec![(SeriesId(0), probe.clone())];
    let prober = Prober::start(probes, clock, config(1), from, sink).expect("starts");
    let meters = prober.meters();
    until("reports that wait", || (meters.queued() > 20).then_some(())).await;
    let all = collect(inbox);
    until("everything to be taken", || (meters.queued() == 0).then_some(())).await;
    let until = prober.stop().await;
    let reports = all.await.expect("collects");
    assert_eq!(moments(&slots(&reports), 0), due(&probe, from, until));
    assert_eq!((meters.shed(), meters.undelivered()), (0, 0));
    assert!(lags(&reports, 0).len() > 10, "it went on probing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_gives_up_what_does_not_finish_and_says_so() {
    let silent = Server::start(http([Hang])).await;
    let probe = spec("silent", &silent, Duration::from_secs(600));
    // A grid of ten minutes: begin just before a slot.
    let grid = Grid::new(&probe.id, VANTAGE, probe.interval);
    let slot = grid.first_due_at_or_after(Timestamp::from_secs(1_000_000));
    let from = slot.minus(Duration::from_millis(1));
    let clock = Clock::starting_at(from);
    let (sink, inbox) = mpsc::channel(16);
    let all = collect(inbox);
    let drain = Duration::from_millis(50);
    let config = Config { drain, ..config(1) };
    let probes = vec![(SeriesId(4), probe)];
    let prober = Prober::start(probes, clock, config, from, sink).expect("starts");
    until("a connection", || (silent.n_accepted() == 1).then_some(())).await;
    assert_eq!(prober.meters().in_flight(), 1);
    prober.stop().await;
    let not_running = Verdict::Unknown(UnknownReason::NotRunning);
    let slots = slots(&all.await.expect("collects"));
    assert_eq!(slots, Slots::from([(SeriesId(4), vec![(slot, not_running)])]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_in_flight_are_unknown_and_still_accounted_for() {
    let silent = Server::start(http([Hang])).await;
    let interval = Duration::from_millis(500);
    let probes: Vec<_> =
        (0..10).map(|n| (SeriesId(n), spec(&format!("crowd-{n}"), &silent, interval))).collect();
    let clock = Clock::start();
    let (sink, inbox) = mpsc::channel(16);
    let all = collect(inbox);
    let config = Config { in_flight_max: 3, ..config(1) };
    let from = clock.now();
    let prober = Prober::start(probes.clone(), clock, config, from, sink).expect("starts");
    pause(1_200).await;
    assert!(prober.meters().in_flight() <= 3);
    let meters = prober.meters();
    let until = prober.stop().await;
    let slots = slots(&all.await.expect("collects"));
    for (series, probe) in &probes {
        assert_eq!(moments(&slots, series.0), due(probe, from, until), "{}", probe.id);
    }
    let crowded = Verdict::Unknown(UnknownReason::Inflight);
    let n_crowded = slots.values().flatten().filter(|(_, verdict)| *verdict == crowded).count();
    assert!(n_crowded > 0);
    assert_eq!(meters.missed(UnknownReason::Inflight), n_crowded as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_asked_for_where_the_configuration_says() {
    let server = Server::start(ok()).await;
    // Nobody answers there, so only the hosts file could help.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let nameservers = vec![silent.local_addr().expect("bound")];
    let url = format!("http://target.test:{}/", server.address.port()).parse().expect("a URL");
    let check = Check::Http(HttpCheck { url, ..get(server.address) });
    let probe = Probe { check, ..spec("named", &server, Duration::from_millis(100)) };
    let clock = Clock::start();
    let (sink, inbox) = mpsc::channel(16);
    let all = collect(inbox);
    let config = Config { nameservers, ..config(1) };
    let probes = vec![(SeriesId(0), probe)];
    let prober = Prober::start(probes, clock, config, clock.now(), sink).expect("starts");
    let mut query = [0; 512];
    let (n, _) = silent.recv_from(&mut query).await.expect("a question");
    assert!(query[..n].windows(8).any(|bytes| bytes == b"\x06target\x04"), "{:?}", &query[..n]);
    prober.stop().await;
    let slots = slots(&all.await.expect("collects"));
    let unknown = |(_, verdict): &(_, Verdict)| verdict.outcome() == crate::model::Outcome::Unknown;
    assert!(slots[&SeriesId(0)].iter().all(unknown), "{slots:?}");
}
