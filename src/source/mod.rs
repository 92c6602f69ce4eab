//! Sources: whoever counts in place of a probe is asked here, on time, and heard out.
//!
//! One task for each SLO that a Prometheus feeds, on the runtime that serves: a question is rare
//! and may be late, for it names the moment it is about. What it keeps true: every slot of a
//! source is reported once and in order; a question is one attempt. It knows no SLOs, and judges
//! no answer: `engine::sampler` does.

mod meters;
mod prometheus;
mod push;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::engine::intake::Intake;
use crate::engine::isolation::{Counted, Report};
use crate::engine::sampler::{Answer, Failure, MAX_GAP, Part, Sampler};
use crate::engine::schedule::Grid;
use crate::model::source::{self, Server, Source};
use crate::model::{Egress, Probe, Run, SeriesId, Timestamp, UnknownReason, Verdict};

pub use self::meters::{Meters, Reading};
pub use self::prometheus::ServerError;
use self::prometheus::{Prometheus, Refusal};
use self::push::Closer;
pub use self::push::{PostBoxes, PushError};

/// Under this prefix, with the probe's id behind it, is kept what a source needs to go on.
pub const STATE: &str = "source/";

/// How long after its moment a question is asked, at most: a scrape that began before may take
/// some time to be stored.
const MAX_PATIENCE: Duration = Duration::from_secs(2);
/// A clock that differs from ours by less than this is right enough: nobody scrapes faster.
const UNREMARKABLE_OFFSET: i64 = 1_000_000;
/// The servers that may be asked, ready to be.
#[derive(Clone, Debug, Default)]
pub struct Servers(BTreeMap<String, Arc<Prometheus>>);

impl Servers {
    /// Makes servers ready. Those of `before` that are the same go on.
    ///
    /// # Errors
    /// What keeps one from being asked.
    pub fn new(
        servers: &[Server],
        egress: &Egress,
        before: &Servers,
    ) -> Result<Servers, ServerError> {
        let ready = |server: &Server| {
            let name = server.name.to_string();
            let known = before.0.get(&name).filter(|known| known.server() == server);
            let ready = match known {
                Some(known) => Arc::clone(known),
                None => Arc::new(Prometheus::new(server, egress)?),
            };
            Ok((name, ready))
        };
        servers.iter().map(ready).collect::<Result<_, _>>().map(Servers)
    }

    fn of(&self, asked: &source::Prometheus) -> Option<Arc<Prometheus>> {
        self.0.get(asked.server.as_str()).cloned()
    }
}

/// What somebody else counts, and where to go on with it.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whose slots.
    pub series: SeriesId,
    /// The probe that it counts in place of.
    pub probe: Probe,
    /// The first slot that is not accounted for.
    pub first: Timestamp,
    /// What was kept to go on, if anything.
    pub kept: Option<String>,
    /// Where the last slot ends that was counted.
    pub counted_until: Option<Timestamp>,
}

/// What history tells of the slots of a source.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    /// The first slot that is not accounted for; none before any.
    pub next: Option<Timestamp>,
    /// Where other slots begin after that, if they do: from when on, and the first of them.
    pub turn: Option<(Timestamp, Timestamp)>,
    /// From one slot to the next, of the newest ones.
    pub step: Duration,
    /// Where the last slot ends that was counted.
    pub counted_until: Option<Timestamp>,
}

/// Every source that is asked.
#[derive(Debug)]
pub struct Sources {
    tasks: BTreeMap<SeriesId, Task>,
    /// Those that make way for others.
    stopped: BTreeMap<SeriesId, (Probe, Progress)>,
    servers: Servers,
    boxes: Arc<PostBoxes>,
    meters: Arc<Meters>,
    clock: Clock,
    sink: mpsc::Sender<Vec<Report>>,
}

#[derive(Debug)]
struct Task {
    probe: Probe,
    server: Option<Arc<Prometheus>>,
    stop: oneshot::Sender<()>,
    handle: JoinHandle<Progress>,
}

/// Where a task was when it ended.
#[derive(Debug)]
struct Progress {
    due: Timestamp,
    kept: String,
}

impl Progress {
    /// The moment after the last slot that is closed, or has results that were taken; none if it
    /// is not others that send them.
    fn promised_until(&self) -> Option<Timestamp> {
        Some(Intake::read(&self.kept)?.ends())
    }

    /// Where a source with other slots begins, what it goes on with, and the slots before that.
    fn turn(
        &self,
        before: &Probe,
        next: &Probe,
        at: Timestamp,
    ) -> (Timestamp, Option<String>, Vec<Run>) {
        let (from, runs) = self.give_up(before, at);
        let first = Grid::of(next, "").first_due_at_or_after(from);
        let taken = Intake::read(&self.kept).filter(|_| of(next).is_none());
        (first, taken.map(|intake| intake.turn(from, first, next.interval).kept()), runs)
    }

    /// The slots of a source that is no more, up to its end, which comes first.
    fn give_up(&self, probe: &Probe, at: Timestamp) -> (Timestamp, Vec<Run>) {
        let (due, step) = (self.due, probe.interval);
        let until = self.promised_until().map_or(at, |until| until.max(at));
        let reason = UnknownReason::Source;
        if let Some(intake) = Intake::read(&self.kept).filter(|_| of(probe).is_none()) {
            return (until, intake.runs(due, until, reason));
        }
        let n = until.since(due).as_micros().div_ceil(step.as_micros().max(1));
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let run = Run { start: due, step, n, verdict: Verdict::Unknown(reason), class: 0 };
        (until, Vec::from_iter((n > 0).then_some(run)))
    }
}

impl Sources {
    /// Begins to ask. Slots are reported to `sink`.
    pub fn start(
        orders: Vec<Order>,
        servers: Servers,
        clock: Clock,
        sink: mpsc::Sender<Vec<Report>>,
    ) -> Self {
        let meters = Arc::new(Meters::default());
        let (tasks, stopped, boxes) = (BTreeMap::new(), BTreeMap::new(), Arc::default());
        let mut sources = Sources { tasks, stopped, servers, boxes, meters, clock, sink };
        orders.into_iter().for_each(|order| sources.begin(order));
        sources
    }

    /// What they have counted about themselves.
    pub fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.meters)
    }

    /// Where results go that others send.
    pub fn boxes(&self) -> Arc<PostBoxes> {
        Arc::clone(&self.boxes)
    }

    /// The servers that are asked.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Stops those that will not go on as they are, so that nothing more is taken for them. Says
    /// up to when slots are promised of which results were taken: they are due before that.
    pub async fn make_way(
        &mut self,
        probes: &[(SeriesId, Probe)],
        servers: &Servers,
    ) -> BTreeMap<SeriesId, Timestamp> {
        let declared: BTreeMap<_, _> =
            probes.iter().map(|(series, probe)| (*series, probe)).collect();
        for (series, task) in std::mem::take(&mut self.tasks) {
            let same = declared.get(&series).is_some_and(|probe| {
                let server = of(probe).and_then(|asked| servers.of(asked));
                **probe == task.probe && same_server(&server, &task.server)
            });
            if same {
                self.tasks.insert(series, task);
                continue;
            }
            // An error says that it has ended already.
            let _ = task.stop.send(());
            if let Ok(progress) = task.handle.await {
                self.stopped.insert(series, (task.probe, progress));
            }
        }
        let promised = |(series, (_, progress)): (&SeriesId, &(Probe, Progress))| {
            Some((*series, progress.promised_until()?))
        };
        self.stopped.iter().filter_map(promised).collect()
    }

    /// Goes on with other sources from `at` on, or later where more is promised than that. Those
    /// that are the same are left alone.
    pub async fn replace(&mut self, probes: &[(SeriesId, Probe)], servers: Servers, at: Timestamp) {
        self.make_way(probes, &servers).await;
        self.servers = servers;
        let mut stopped = std::mem::take(&mut self.stopped);
        let sources = probes.iter().filter(|(_, probe)| probe.check.source().is_some());
        for (series, probe) in sources {
            if self.tasks.contains_key(series) {
                continue;
            }
            let was = stopped.remove(series);
            let (first, kept) = match was {
                Some((before, progress)) if goes_on(&before, probe) => {
                    (progress.due, Some(progress.kept))
                }
                Some((before, progress)) => {
                    let (first, kept, runs) = progress.turn(&before, probe, at);
                    self.report(*series, runs).await;
                    (first, kept)
                }
                None => (Grid::of(probe, "").first_due_at_or_after(at), None),
            };
            let (series, probe) = (*series, probe.clone());
            self.begin(Order { series, probe, first, kept, counted_until: None });
        }
        for (series, was) in stopped {
            self.meters.forget(&was.0.id);
            self.boxes.remove(&was.0.id);
            let runs = was.1.give_up(&was.0, at).1;
            self.report(series, runs).await;
        }
    }

    /// Reports the slots that a source left behind.
    async fn report(&self, series: SeriesId, runs: Vec<Run>) {
        let reports =
            runs.into_iter().map(|run| Report::Counted(Counted { series, run, state: None }));
        // An error says that the engine has ended, which tells it elsewhere.
        let _ = self.sink.send(reports.collect()).await;
    }

    fn begin(&mut self, order: Order) {
        let Some(source) = order.probe.check.source().cloned() else { return };
        let (stop, stopped) = oneshot::channel();
        self.meters.expect(&order.probe.id);
        let (series, probe) = (order.series, order.probe.clone());
        let (server, handle) = match source {
            Source::Prometheus(asked) => {
                let server = self.servers.of(&asked);
                let follower = self.follower(&order, asked, server.clone());
                (server, tokio::spawn(follower.follow(order.first, stopped)))
            }
            Source::Push(push) => {
                let closer = self.closer(&order, &push);
                (None, tokio::spawn(closer.follow(order.first, stopped)))
            }
        };
        self.tasks.insert(series, Task { probe, server, stop, handle });
    }

    fn follower(
        &self,
        order: &Order,
        asked: source::Prometheus,
        server: Option<Arc<Prometheus>>,
    ) -> Follower {
        let (step, kept) = (order.probe.interval, order.kept.as_deref());
        Follower {
            series: order.series,
            probe: order.probe.clone(),
            sampler: Sampler::new(asked.clone(), step, kept, order.counted_until),
            asked,
            server,
            meters: Arc::clone(&self.meters),
            clock: self.clock,
            sink: self.sink.clone(),
            failing: None,
        }
    }

    fn closer(&self, order: &Order, push: &source::Push) -> Closer {
        let intake = Intake::new(order.probe.interval, order.kept.as_deref(), order.first);
        Closer {
            series: order.series,
            probe: order.probe.clone(),
            grace: push.grace,
            post: self.boxes.open(&order.probe, push, intake, &self.meters),
            meters: Arc::clone(&self.meters),
            clock: self.clock,
            sink: self.sink.clone(),
        }
    }

    /// Asks no more. Slots that are open stay so.
    pub async fn stop(self) {
        for task in self.tasks.into_values() {
            let _ = task.stop.send(());
            let _ = task.handle.await;
        }
    }
}

fn of(probe: &Probe) -> Option<&source::Prometheus> {
    match probe.check.source()? {
        Source::Prometheus(asked) => Some(asked),
        Source::Push(_) => None,
    }
}

/// Whether a source goes on where another one was: the same slots, asked of the same kind.
fn goes_on(before: &Probe, next: &Probe) -> bool {
    before.interval == next.interval && of(before).is_some() == of(next).is_some()
}

fn same_server(one: &Option<Arc<Prometheus>>, other: &Option<Arc<Prometheus>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// Follows what one Prometheus counts for one SLO.
struct Follower {
    series: SeriesId,
    probe: Probe,
    asked: source::Prometheus,
    server: Option<Arc<Prometheus>>,
    sampler: Sampler,
    meters: Arc<Meters>,
    clock: Clock,
    sink: mpsc::Sender<Vec<Report>>,
    failing: Option<Failure>,
}

impl Follower {
    /// Asks at every point of the grid from `due` on until told to stop.
    async fn follow(mut self, mut due: Timestamp, mut stop: oneshot::Receiver<()>) -> Progress {
        tokio::select! {
            biased;
            _ = &mut stop => return self.progress(due),
            answer = self.ask(due) => {
                let (answer, detail) = split(answer);
                let failure = self.sampler.begin(due, answer);
                self.note(failure, detail, due);
            }
        }
        loop {
            due = self.skip_what_is_too_old(due).await;
            let end = due.plus(self.probe.interval);
            let answer = tokio::select! {
                biased;
                _ = &mut stop => return self.progress(due),
                answer = self.ask(end) => answer,
            };
            let (answer, detail) = split(answer);
            let sampled = self.sampler.sample(end, answer);
            self.note(sampled.failure, detail, end);
            let known = matches!(sampled.verdict, Verdict::Counted(_));
            self.meters.slots(&self.probe.id, known, 1);
            let run = self.run(due, sampled.verdict, 1);
            let state = sampled.state.map(|json| (format!("{STATE}{}", self.probe.id), json));
            let counted = Counted { series: self.series, run, state };
            if self.sink.send(vec![Report::Counted(counted)]).await.is_err() {
                return self.progress(end);
            }
            due = end;
        }
    }

    fn progress(&self, due: Timestamp) -> Progress {
        Progress { due, kept: self.sampler.kept() }
    }

    fn run(&self, start: Timestamp, verdict: Verdict, n: u32) -> Run {
        Run { start, step: self.probe.interval, n, verdict, class: 0 }
    }

    /// After a long sleep of this machine the oldest slots are given up; what rose in them is
    /// not counted any more anyhow.
    async fn skip_what_is_too_old(&mut self, due: Timestamp) -> Timestamp {
        let behind = self.clock.now().since(due.plus(self.probe.interval));
        if behind <= MAX_GAP {
            return due;
        }
        let n = (behind - MAX_GAP).as_micros().div_ceil(self.probe.interval.as_micros().max(1));
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let run = self.run(due, Verdict::Unknown(UnknownReason::Late), n);
        self.meters.slots(&self.probe.id, false, n);
        // An error says that the engine has ended, which the next report finds out as well.
        let _ = self.sink.send(vec![Report::Missed(self.series, run)]).await;
        run.end()
    }

    /// Asks about one moment, once it is there and what was scraped before it can be stored.
    async fn ask(&self, at: Timestamp) -> Result<Answer, Refusal> {
        let patience = MAX_PATIENCE.min(self.probe.interval / 4);
        tokio::time::sleep_until(self.clock.instant(at.plus(patience))).await;
        let refuse = |failure, detail: &str| Err(Refusal { failure, detail: detail.to_owned() });
        let Some(server) = &self.server else {
            return refuse(Failure::Config, "no server of that name is configured");
        };
        self.meters.request(&self.probe.id);
        let offset = offset(self.clock);
        let asked = Timestamp::from_micros(at.micros().saturating_add(offset));
        let deadline = Instant::now() + self.probe.interval;
        let answer = tokio::time::timeout_at(deadline, server.ask(&self.asked.measure, asked));
        match answer.await {
            Ok(answer) => answer.map(|answer| shifted(answer, offset)),
            Err(_) => refuse(Failure::Timeout, "too many questions wait for this server"),
        }
    }

    /// Counts how it went, and says in the log when that changes.
    fn note(&mut self, failure: Option<Failure>, detail: Option<String>, at: Timestamp) {
        self.meters.outcome(&self.probe.id, failure, detail.clone(), at);
        if std::mem::replace(&mut self.failing, failure) == failure {
            return;
        }
        let (slo, server) = (self.probe.id.as_str(), self.asked.server.as_str());
        match failure {
            None => tracing::info!(slo, server, "the source counts again"),
            Some(Failure::First) => {
                tracing::info!(slo, server, "the source is counted from here on");
            }
            Some(failure) => {
                let detail = detail.unwrap_or_default();
                tracing::warn!(slo, server, reason = failure.word(), detail, "nothing is counted");
            }
        }
    }
}

/// By how much the wall clock, which servers go by, is ahead of ours, in microseconds.
pub fn offset(clock: Clock) -> i64 {
    let offset = clock.wall_offset_micros();
    if offset.abs() < UNREMARKABLE_OFFSET { 0 } else { offset }
}

/// The answer in our time.
fn shifted(mut answer: Answer, offset: i64) -> Answer {
    let seconds = offset as f64 / 1e6;
    let scraped = answer.samples.iter_mut().filter(|sample| sample.part == Part::Scraped);
    scraped.for_each(|sample| sample.value -= seconds);
    let back = |at: Timestamp| Timestamp::from_micros(at.micros().saturating_sub(offset));
    answer.started = answer.started.map(back);
    answer
}

fn split(answer: Result<Answer, Refusal>) -> (Result<Answer, Failure>, Option<String>) {
    match answer {
        Ok(answer) => (Ok(answer), None),
        Err(Refusal { failure, detail }) => (Err(failure), Some(detail)),
    }
}

/// Where a source goes on in a process that begins to live at `now`, with the runs of the slots
/// before that it must account for.
pub fn resume(
    (series, probe): &(SeriesId, Probe),
    kept: Option<String>,
    past: &Past,
    now: Timestamp,
) -> Option<(Order, Vec<Run>)> {
    let (first, runs, kept) = match probe.check.source()? {
        Source::Push(push) => push::resume(probe, push, kept.as_deref(), past, now),
        Source::Prometheus(_) => {
            let first = Grid::of(probe, "").first_due_at_or_after(now.just_after());
            (first, push::left_over(kept.as_deref(), past, now), kept)
        }
    };
    let (series, probe, counted_until) = (*series, probe.clone(), past.counted_until);
    Some((Order { series, probe, first, kept, counted_until }, runs))
}

#[cfg(test)]
mod tests;
