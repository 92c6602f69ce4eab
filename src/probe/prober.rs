//! The prober: threads of its own that start every probe when it is due and report every slot.
//!
//! Shares no thread with storage, HTTP or alerting. Each thread has a share of the probes, one
//! schedule over them and one loop that starts what is due, notices its own stalls and hands
//! over what was found out. Stops only by [`Prober::stop`] or by being dropped.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::meters::Meters;
use super::outbox::Outbox;
use super::tls::Clients;
use super::watch::TICK;
use super::{Env, Seen, Target};
use crate::clock::Clock;
use crate::engine::fault::Cause;
use crate::engine::isolation::Report;
use crate::engine::schedule::{Due, Schedule, Ticket};
use crate::model::check::Check;
use crate::model::{
    Egress, Observation, Phases, Probe, Run, SeriesId, Timestamp, UnknownReason, Verdict,
};

/// Commands that may wait for one thread: reloads come one at a time.
const COMMANDS_MAX: usize = 4;
/// Descriptors that are kept free for the ledger, the listeners and the notifier, beside those
/// of HTTP clients.
const DESCRIPTORS_RESERVED: usize = 128;
/// Fewest probes that may be in flight, however few descriptors there are.
const IN_FLIGHT_MIN: usize = 16;
/// Probes of one thread that may have been started and not have had their turn yet. The turns of
/// so many take some 10 ms. If there were more of them than the thread can serve, all would
/// wait so long that none was in time.
const WAITING_MAX: usize = 256;
/// For how long a slot waits for the turns of those before it, until it is given up: longer than
/// most pauses, after which everything is started that became due meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);
/// How soon to look again whether more can be started: what the timer can tell apart.
const PAUSE: Duration = Duration::from_millis(1);
/// How long the engine's thread is left alone between two handings over: waking it costs as much
/// as a tenth of a probe.
const HAND_OVER: Duration = Duration::from_millis(5);

/// How to probe.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many threads probe, at least 1. One carries some 10,000 plain probes a second.
    pub threads: usize,
    /// The place from which this process probes; part of each probe's phase.
    pub vantage: String,
    /// The name servers to ask; those of this machine if empty.
    pub nameservers: Vec<SocketAddr>,
    /// How many probes may be in flight at once over all threads; slots beyond that are unknown.
    pub in_flight_max: usize,
    /// How long a stop waits for probes in flight, and then for the sink.
    pub drain: Duration,
    /// Where probes may connect to.
    pub egress: Egress,
}

impl Default for Config {
    /// One thread, the vantage `local`, this machine's name servers, as many probes in flight as
    /// its descriptor limit allows without HTTP clients, and 5 s to drain.
    fn default() -> Self {
        Config {
            threads: 1,
            vantage: "local".to_owned(),
            nameservers: Vec::new(),
            in_flight_max: in_flight_max(descriptors(), 0),
            drain: Duration::from_secs(5),
            egress: Egress::default(),
        }
    }
}

/// How many probes may be in flight in a process that may open so many descriptors, of which
/// others may take `taken`.
pub fn in_flight_max(n_descriptors: usize, taken: usize) -> usize {
    n_descriptors.saturating_sub(taken + DESCRIPTORS_RESERVED).max(IN_FLIGHT_MIN)
}

/// How many descriptors this process may open; the usual 1,024 if it cannot be told.
pub fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    soft.and_then(|soft| soft.parse().ok()).unwrap_or(1_024)
}

/// Why probing could not begin.
#[derive(Debug, thiserror::Error)]
#[error("cannot start a probing thread: {0}; check the process limits of this machine")]
pub struct StartError(#[from] io::Error);

/// Running probes.
#[derive(Debug)]
pub struct Prober {
    threads: Vec<Thread>,
    meters: Arc<Meters>,
    clock: Clock,
}

#[derive(Debug)]
struct Thread {
    commands: mpsc::Sender<Command>,
    handle: JoinHandle<()>,
}

type Targets = Vec<(SeriesId, Probe, Arc<Target>)>;

enum Command {
    Replace(Exchange),
    Stop(oneshot::Sender<Timestamp>),
}

/// Other targets, from a moment on.
struct Exchange {
    targets: Targets,
    at: Timestamp,
    done: oneshot::Sender<()>,
}

impl Prober {
    /// Starts probing. Every slot that is due after `from`, the present moment, is reported to
    /// `sink` exactly once, in batches, within about 15 ms of being known. A full sink never
    /// delays a probe.
    ///
    /// # Errors
    /// When the system refuses a thread or what its loop needs.
    pub fn start(
        probes: Vec<(SeriesId, Probe)>,
        clock: Clock,
        config: Config,
        from: Timestamp,
        sink: mpsc::Sender<Vec<Report>>,
    ) -> Result<Prober, StartError> {
        let meters = Arc::new(Meters::default());
        meters.in_flight_max.store(config.in_flight_max as u64, Relaxed);
        let n = config.threads.max(1);
        let mut threads = Vec::with_capacity(n);
        for (i, share) in shares(probes, n).into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
            let meters = Arc::clone(&meters);
            let (config, sink) = (config.clone(), sink.clone());
            let schedule = Schedule::new(config.in_flight_max.div_ceil(n));
            let handle =
                std::thread::Builder::new().name(format!("probe-{i}")).spawn(move || {
                    let env = {
                        let _inside = runtime.enter();
                        let egress = config.egress.clone();
                        Env::new(&config.nameservers, clock, egress, Arc::clone(&meters))
                    };
                    let desk = Arc::new(Desk::new(env, meters));
                    let targets = BTreeMap::new();
                    let slept = clock.slept();
                    let (next, handed_over) = (None, Instant::now());
                    let mut worker =
                        Worker { desk, schedule, targets, next, config, sink, slept, handed_over };
                    worker.replace(share, from);
                    worker.work(runtime, inbox);
                })?;
            threads.push(Thread { commands, handle });
        }
        Ok(Prober { threads, meters, clock })
    }

    /// Probes exactly these from `at` on, a moment shortly ahead: slots that are due before it are
    /// still those of the probes before. Probes that did not change keep their phase, their
    /// connection and what is in flight. Returns once that is so.
    pub async fn replace(&self, probes: Vec<(SeriesId, Probe)>, at: Timestamp) {
        let mut done = Vec::new();
        for (thread, share) in self.threads.iter().zip(shares(probes, self.threads.len())) {
            let (sender, receiver) = oneshot::channel();
            // A thread that has ended does not answer either, and has nothing to replace.
            let exchange = Exchange { targets: share, at, done: sender };
            if thread.commands.send(Command::Replace(exchange)).await.is_ok() {
                done.push(receiver);
            }
        }
        for receiver in done {
            let _ = receiver.await;
        }
    }

    /// Starts nothing more, waits for what is in flight and for the sink, each for at most
    /// [`Config::drain`], and ends the threads. The sink must be read meanwhile. Every slot due
    /// until the returned moment has been reported, and none that is due after the return; those
    /// that could not finish are `not-running`.
    pub async fn stop(self) -> Timestamp {
        let mut ends = Vec::new();
        for thread in &self.threads {
            let (sender, receiver) = oneshot::channel();
            if thread.commands.send(Command::Stop(sender)).await.is_ok() {
                ends.push(receiver);
            }
        }
        let mut until = None;
        for end in ends {
            // A thread that broke down has nothing more to tell.
            let Ok(end) = end.await else { continue };
            until = Some(until.map_or(end, |until: Timestamp| until.min(end)));
        }
        for thread in self.threads {
            // The answer was its last act, so this does not wait.
            let _ = thread.handle.join();
        }
        until.unwrap_or_else(|| self.clock.now())
    }

    /// What the prober sees of itself.
    pub fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.meters)
    }
}

/// Deals the probes out to `n` threads, a series always to the same one, and prepares them.
fn shares(probes: Vec<(SeriesId, Probe)>, n: usize) -> Vec<Targets> {
    let mut clients = Clients::default();
    let mut shares: Vec<Targets> = (0..n).map(|_| Vec::new()).collect();
    let own = |(_, probe): &(SeriesId, Probe)| probe.check.source().is_none();
    for (series, probe) in probes.into_iter().filter(own) {
        let target = Arc::new(Target::new(&probe.check, probe.timeout, &mut clients));
        shares[series.0 as usize % n].push((series, probe, target));
    }
    shares
}

/// What the loop of a thread and its probes share.
struct Desk {
    env: Env,
    meters: Arc<Meters>,
    results: Mutex<Results>,
    /// Whether probes are dropped on purpose from now on.
    stopped: AtomicBool,
    /// Probes that have been started and not had their turn yet.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Results {
    outbox: Outbox,
    finished: Vec<Ticket>,
}

impl Desk {
    fn new(env: Env, meters: Arc<Meters>) -> Self {
        let (results, stopped) = (Mutex::default(), AtomicBool::new(false));
        Desk { env, meters, results, stopped, waiting: AtomicUsize::new(0) }
    }

    /// Whether as many probes wait for their first turn as may.
    fn is_crowded(&self) -> bool {
        self.waiting.load(Relaxed) >= WAITING_MAX
    }

    fn results(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A started slot. Reports even if its probe is dropped half-way.
struct Slot {
    desk: Arc<Desk>,
    ticket: Ticket,
    seen: Option<Seen>,
}

impl Slot {
    /// Reports this.
    fn fill(mut self, seen: Seen) {
        self.seen = Some(seen);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Ticket { series, due, step, .. } = self.ticket;
        let meters = &self.desk.meters;
        let Seen { observation, doubt, cause } = self.seen.take().unwrap_or_else(|| {
            let (cause, detail) = match self.desk.stopped.load(Relaxed) {
                true => (Cause::Restart, "given up before it was done"),
                false => (Cause::Local, "the probe itself broke; see the log"),
            };
            meters.miss(cause, 1);
            Seen { observation: unmeasured(series, due, cause, detail), doubt: None, cause: None }
        });
        if let Some(cause) = cause.filter(|_| doubt.is_none()) {
            meters.fault(cause, 1);
        }
        let mut results = self.desk.results();
        results.outbox.observed(observation, doubt, step, meters);
        results.finished.push(self.ticket);
    }
}

/// The account of a started slot that came to nothing.
fn unmeasured(series: SeriesId, due: Timestamp, cause: Cause, detail: &str) -> Observation {
    Observation {
        series,
        due,
        lag: Duration::ZERO,
        latency: None,
        phases: Phases::default(),
        verdict: Verdict::Unknown(cause.reason()),
        detail: Some(detail.into()),
        certificate_not_after: None,
    }
}

struct Worker {
    desk: Arc<Desk>,
    schedule: Schedule,
    targets: BTreeMap<SeriesId, (Probe, Arc<Target>)>,
    /// What is probed instead from a moment on that has not come.
    next: Option<Exchange>,
    config: Config,
    sink: mpsc::Sender<Vec<Report>>,
    /// For how long this machine had slept at the last look.
    slept: Duration,
    /// When the sink was last given what was found out.
    handed_over: Instant,
}

impl Worker {
    /// The whole life of a probing thread.
    fn work(mut self, runtime: Runtime, mut inbox: mpsc::Receiver<Command>) {
        let stop = runtime.block_on(self.probe(&mut inbox));
        let until = self.now_awake();
        runtime.block_on(async {
            self.start_due(until, Duration::ZERO);
            self.drain().await;
        });
        // What is still in flight is dropped with its runtime, and reports that.
        self.desk.stopped.store(true, Relaxed);
        drop(runtime);
        self.settle();
        self.hand_over();
        self.deliver();
        self.desk.meters.probes.fetch_sub(self.targets.len() as u64, Relaxed);
        if let Some(stop) = stop {
            // The prober may have been dropped meanwhile.
            let _ = stop.send(until);
        }
    }

    /// Probes until told to stop, or until the prober is gone.
    async fn probe(
        &mut self,
        inbox: &mut mpsc::Receiver<Command>,
    ) -> Option<oneshot::Sender<Timestamp>> {
        loop {
            self.tick();
            let clock = self.desk.env.clock;
            let tick = Instant::now() + TICK;
            let next = self.next.as_ref().map(|exchange| exchange.at);
            let wake = [self.schedule.next_due(), next].into_iter().flatten().min();
            let wake = wake.map_or(tick, |due| clock.instant(due).min(tick));
            // What is due already has to wait for others.
            let wake = if self.desk.is_crowded() { Instant::now() + PAUSE } else { wake };
            tokio::select! {
                biased;
                command = inbox.recv() => match command {
                    None => return None,
                    Some(Command::Stop(stop)) => return Some(stop),
                    Some(Command::Replace(exchange)) => {
                        if let Some(before) = self.next.take() {
                            let now = self.now_awake();
                            self.exchange(before, now);
                        }
                        self.next = Some(exchange);
                    }
                },
                () = tokio::time::sleep_until(wake) => {
                    self.desk.meters.loop_lag.record(wake.elapsed());
                }
            }
        }
    }

    /// One turn of the loop: notice stalls and sleep, settle what is done, start what is due.
    fn tick(&mut self) {
        self.stamp();
        self.settle();
        if self.handed_over.elapsed() >= HAND_OVER {
            self.hand_over();
        }
        let now = self.now_awake();
        self.start_due(now, PATIENCE);
    }

    /// Notices a stall that has just ended.
    fn stamp(&self) {
        if let Some(length) = self.desk.env.watch.stamp(Instant::now()) {
            self.desk.meters.stall(length);
        }
    }

    /// The present moment, once the slots are accounted for that were due while this machine was
    /// suspended.
    fn now_awake(&mut self) -> Timestamp {
        let clock = self.desk.env.clock;
        loop {
            let now = clock.now();
            let slept = clock.slept();
            if slept <= self.slept {
                return now;
            }
            // It woke up before the second of these two looks; the first may have been before.
            self.slept = slept;
            let woken = clock.now();
            while let Some((series, run)) = self.schedule.pop_not_running(woken) {
                self.miss(series, run);
            }
        }
    }

    /// Takes back the tickets of what is done.
    fn settle(&mut self) {
        let mut results = self.desk.results();
        let n = results.finished.len() as u64;
        results.finished.drain(..).for_each(|ticket| self.schedule.finish(ticket));
        self.desk.meters.in_flight.fetch_sub(n, Relaxed);
    }

    /// Hands over what was found out, as much of it as the sink takes.
    fn hand_over(&mut self) {
        self.desk.results().outbox.flush(&self.sink, &self.desk.meters);
        self.handed_over = Instant::now();
    }

    /// Starts what is due, if it can be started; what has waited for that beyond the patience is
    /// given up.
    fn start_due(&mut self, now: Timestamp, patience: Duration) {
        if let Some(exchange) = self.next.take_if(|exchange| exchange.at <= now) {
            self.exchange(exchange, now);
        }
        self.start_until(now, now, patience);
    }

    /// Starts what is due before the exchange, and probes the new targets from then on.
    fn exchange(&mut self, exchange: Exchange, now: Timestamp) {
        let Exchange { targets, at, done } = exchange;
        let last = at.just_before();
        // Slots that still waited would be lost with the probes that go.
        self.start_until(last, now, Duration::ZERO);
        self.replace(targets, last);
        // The caller may have stopped waiting.
        let _ = done.send(());
    }

    fn start_until(&mut self, last: Timestamp, now: Timestamp, patience: Duration) {
        loop {
            if self.desk.is_crowded() {
                let last = last.min(now.minus(patience));
                let Some((series, run)) = self.schedule.pop_refused(last, now) else { return };
                self.miss(series, run);
                continue;
            }
            match self.schedule.pop_until(last, now) {
                None => return,
                Some(Due::Start(ticket)) => self.start(ticket),
                Some(Due::Missed(series, run)) => self.miss(series, run),
            }
        }
    }

    fn start(&self, ticket: Ticket) {
        self.desk.meters.in_flight.fetch_add(1, Relaxed);
        let slot = Slot { desk: Arc::clone(&self.desk), ticket, seen: None };
        let Some((_, target)) = self.targets.get(&ticket.series) else { return };
        let target = Arc::clone(target);
        self.desk.waiting.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            slot.desk.waiting.fetch_sub(1, Relaxed);
            let desk = Arc::clone(&slot.desk);
            let seen = target.observe(ticket.series, ticket.due, &desk.env).await;
            desk.meters.start_lag.record(seen.observation.lag);
            slot.fill(seen);
        });
    }

    fn miss(&self, series: SeriesId, run: Run) {
        let cause = match run.verdict {
            Verdict::Unknown(UnknownReason::Late) => Cause::Late,
            Verdict::Unknown(UnknownReason::NotRunning) => Cause::Suspend,
            _ => Cause::Inflight,
        };
        self.desk.meters.miss(cause, run.n);
        self.desk.results().outbox.missed(series, run);
    }

    /// Makes these the targets of slots due after `last`. What was due by then must have been
    /// started.
    fn replace(&mut self, targets: Targets, last: Timestamp) {
        let mut old = std::mem::take(&mut self.targets);
        let n_old = old.len() as u64;
        for (series, probe, target) in targets {
            let kept = old.remove(&series).filter(|(known, _)| *known == probe);
            let kept = kept.filter(|_| !reads_files(&probe.check));
            self.targets.insert(series, kept.unwrap_or((probe, target)));
        }
        let probes = self.targets.iter().map(|(series, (probe, _))| (*series, probe));
        self.schedule.replace(probes, &self.config.vantage, last);
        self.desk.meters.probes.fetch_add(self.targets.len() as u64, Relaxed);
        self.desk.meters.probes.fetch_sub(n_old, Relaxed);
    }

    /// Waits until nothing is in flight any more, but not for ever.
    async fn drain(&mut self) {
        let deadline = Instant::now() + self.config.drain;
        loop {
            self.stamp();
            self.settle();
            self.hand_over();
            if self.schedule.n_in_flight() == 0 || Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Waits until the sink has taken everything, but not for ever; counts what it did not take.
    fn deliver(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(self.wait_for_sink());
        }
        let lost = self.desk.results().outbox.discard();
        self.desk.meters.undelivered.fetch_add(lost, Relaxed);
    }

    async fn wait_for_sink(&mut self) {
        let deadline = Instant::now() + self.config.drain;
        while !self.desk.results().outbox.is_empty() && Instant::now() < deadline {
            // Room or the end of the sink; both are dealt with by settling.
            let _ = tokio::time::timeout(TICK, self.sink.reserve()).await.map(drop);
            self.hand_over();
        }
    }
}

/// Whether a check depends on files that may have changed although the spec has not.
fn reads_files(check: &Check) -> bool {
    match check {
        Check::Http(check) => check.tls.ca_file.is_some(),
        Check::Tls(check) => check.tls.ca_file.is_some(),
        Check::Tcp(_) | Check::Name(_) | Check::Source(_) => false,
    }
}
