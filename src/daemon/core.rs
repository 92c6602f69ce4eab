//! The engine's thread: results in, effects out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock::Clock;
use crate::engine::alert::ALERT_STATE;
use crate::engine::counters::Histogram;
use crate::engine::{Effect, Engine, Notice};
use crate::ledger::{Stretch, Upkeep, Writer};
use crate::model::{Catalog, ProbeId, Record, SeriesId, Timestamp};
use crate::notify;
use crate::probe::Report;

use super::faults::Faults;
use super::{Pager, Reports};

/// How often the engine looks whether a second is complete. A result that comes late in its
/// second is then judged soon after, not a whole second later.
const LOOK: Duration = Duration::from_millis(200);
/// From the engine's change to another catalogue to the moment from which it holds: enough for
/// the prober to hear of it. Slots that a prober which heard of it too late has started after
/// that moment are none; those it has not started are late.
const LEAD: Duration = Duration::from_millis(50);

/// Another configuration for the engine's thread.
pub struct Swap {
    /// What is declared.
    pub catalog: Arc<Catalog>,
    /// The series of every probe.
    pub series: BTreeMap<ProbeId, SeriesId>,
    /// Up to when slots are promised of which results were taken.
    pub promised: BTreeMap<SeriesId, Timestamp>,
    /// How often a firing alert is sent again.
    pub resend_delay: Duration,
    /// How long history is kept.
    pub retention: Duration,
    /// Where notices go.
    pub notifier: Option<notify::Handle>,
    /// Hears from when on it holds.
    pub done: oneshot::Sender<Timestamp>,
}

/// What the engine's thread works with.
pub struct Core {
    /// The engine, which surfaces read.
    pub engine: Arc<RwLock<Engine>>,
    /// The time.
    pub clock: Clock,
    /// Where records go.
    pub writer: Arc<Writer>,
    /// Where notices go, if this process pages.
    pub pager: Pager,
    /// How long history is kept.
    pub retention: Duration,
    /// How long evaluations took.
    pub durations: Arc<Mutex<Histogram>>,
    /// Our own faults, and the verdicts that wait until it is known whose they were.
    pub faults: Arc<Faults>,
}

impl Core {
    /// Starts the thread. It ends once every sender of `inbox` is gone, after a last look; the
    /// receiver hears when it has ended for whatever reason.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn spawn(
        self,
        inbox: mpsc::Receiver<Reports>,
        swaps: mpsc::Receiver<Swap>,
    ) -> anyhow::Result<(JoinHandle<()>, oneshot::Receiver<()>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (alive, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let _alive: oneshot::Sender<()> = alive;
            runtime.block_on(self.work(inbox, swaps));
        })?;
        Ok((thread, ended))
    }

    async fn work(mut self, mut inbox: mpsc::Receiver<Reports>, mut swaps: mpsc::Receiver<Swap>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                reports = inbox.recv() => match reports {
                    Some(reports) => self.observe(self.faults.sift(reports)),
                    None => break,
                },
                Some(swap) = swaps.recv() => self.swap(swap),
                _ = looks.tick() => self.look(),
            }
        }
        self.observe(self.faults.finish());
        self.look();
    }

    /// Goes on with another catalogue from a moment shortly ahead, so that the prober hears of it
    /// in time.
    fn swap(&mut self, swap: Swap) {
        let at = self.clock.now().plus(LEAD);
        let mut engine = self.engine();
        for (series, until) in swap.promised {
            engine.promise_slots(series, until);
        }
        let effects = engine.reload(swap.catalog, &swap.series, at);
        engine.resend_every(swap.resend_delay);
        drop(engine);
        self.pager.store(swap.notifier.map(Arc::new));
        self.retention = swap.retention;
        self.carry_out(effects);
        // Whoever asked is waiting, unless the process ends.
        let _ = swap.done.send(at);
    }

    fn engine(&self) -> RwLockWriteGuard<'_, Engine> {
        // A reader cannot leave it half-written, and a writer that panics ends the process.
        self.engine.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe(&self, reports: Reports) {
        let mut effects = Vec::with_capacity(reports.len());
        let mut engine = self.engine();
        for report in reports {
            match report {
                // None is doubted any more.
                Report::Observed(observation) | Report::Doubted(observation, _) => {
                    engine.observe(observation, &mut effects);
                }
                Report::Missed(series, run) => engine.miss(series, run, &mut effects),
                Report::Counted(counted) => engine.count(counted, &mut effects),
            }
        }
        drop(engine);
        self.carry_out(effects);
    }

    fn look(&self) {
        // A verdict that has waited for long enough is settled though nothing is reported.
        self.observe(self.faults.sift([]));
        let started = Instant::now();
        let mut engine = self.engine();
        engine.see(self.faults.sight());
        let effects = engine.tick(self.clock.now());
        self.faults.look(&engine);
        drop(engine);
        let mut durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        durations.count(started.elapsed());
        drop(durations);
        self.carry_out(effects);
    }

    fn carry_out(&self, effects: Vec<Effect>) {
        let (mut records, mut notices, mut compact) = (Vec::new(), Vec::new(), None);
        for effect in effects {
            match effect {
                Effect::Append(record) => {
                    log_transition(&record);
                    records.push(record);
                }
                Effect::Notify(notice) => notices.push(self.by_wall_clock(notice)),
                Effect::Compact(before) => compact = Some(before),
            }
        }
        if !records.is_empty() {
            self.writer.submit(records);
        }
        if let Some(notifier) = &*self.pager.load() {
            notifier.send(notices);
        }
        if let Some(before) = compact {
            self.maintain(before);
        }
    }

    /// The same notice in the time of those who hear it: to an Alertmanager whose clock is not
    /// ours, an alert that ends by our timeline may have ended already.
    fn by_wall_clock(&self, mut notice: Notice) -> Notice {
        let offset = self.faults.wall_offset_seconds().saturating_mul(1_000_000);
        for at in [&mut notice.starts_at, &mut notice.ends_at] {
            *at = Timestamp::from_micros(at.micros().saturating_add(offset));
        }
        notice
    }

    /// After each slice: batches that slices replace, the hour and the day that are complete, what
    /// is too old.
    fn maintain(&self, before: Timestamp) {
        let upkeep = [
            Upkeep::Compact(before),
            Upkeep::RollUp(Stretch::hour_of(before).before()),
            Upkeep::RollUp(Stretch::day_of(before).before()),
            Upkeep::Expire(before.minus(self.retention)),
        ];
        for upkeep in upkeep {
            if !self.writer.maintain(upkeep) {
                tracing::warn!(
                    ?upkeep,
                    "the ledger is too busy for upkeep; it waits for the next slice"
                );
            }
        }
    }
}

/// Alerts are what people look for in logs first.
fn log_transition(record: &Record) {
    if let Record::State { name, json } = record
        && name.starts_with(ALERT_STATE)
    {
        let state = if json.contains("\"resolved_at\":null") { "firing" } else { "resolved" };
        tracing::info!(alert = name.as_str(), state, "alert");
    }
}
