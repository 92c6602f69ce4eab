//! The running process: build, start, serve, drain.
//!
//! Carries things between the rooms and decides nothing. Probing has threads of its own, and so
//! have the engine and the ledger; none of them ever waits for HTTP or for an Alertmanager.

pub mod files;
pub mod history;
pub mod reload;

mod core;
mod deliveries;
mod faults;
mod own;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{self, Clock};
use crate::engine::isolation::HOLD_LATE_MAX;
use crate::engine::schedule::Grid;
use crate::engine::{self, Counted, Effect, Engine};
use crate::ledger::{self, Ledger, Writer};
use crate::model::settings::Alerting;
use crate::model::{Catalog, Probe, ProbeId, Record, SeriesId, Settings, Timestamp};
use crate::notify::{self, Notifier};
use crate::probe::{self, Prober, Report};
use crate::serve::{self, Command, Load, Readiness, Server, Site};
use crate::source::{self, Servers, Sources};

use self::core::Core;
use self::deliveries::Deliveries;
use self::faults::Faults;
use own::Own;
use reload::{Loaded, Parts, Reloader, Request, Source};

/// Batches of reports that may wait for the engine; a full channel never delays a probe.
const MAX_REPORTS: usize = 256;
/// Requests to reload or quit that may wait.
const MAX_COMMANDS: usize = 4;
/// How long a stop waits for Alertmanagers to take what is queued.
const NOTIFY_DRAIN: Duration = Duration::from_secs(5);

/// How often it is looked whether the ledger takes records.
const READINESS_INTERVAL: Duration = Duration::from_millis(500);

/// A running monitor.
#[derive(Debug)]
pub struct Daemon {
    address: SocketAddr,
    references: Option<Prober>,
    faults: Arc<Faults>,
    reloader: tokio::task::JoinHandle<Parts>,
    reloads: mpsc::Sender<Request>,
    core: JoinHandle<()>,
    core_ended: oneshot::Receiver<()>,
    writer: Arc<Writer>,
    server: Serving,
    stop_server: oneshot::Sender<()>,
    commands: mpsc::Receiver<Command>,
}

impl Daemon {
    /// Binds, restores history, and starts to probe, evaluate, serve and page. Without a source
    /// the configuration cannot be loaded again.
    ///
    /// # Errors
    /// The port or the ledger cannot be had, or the system refuses threads. Nothing is left
    /// running then.
    pub async fn start(loaded: Loaded, source: Option<Arc<dyn Source>>) -> anyhow::Result<Daemon> {
        let Loaded { settings, catalog, gate, fingerprint } = loaded;
        let places = serve::places(probe::descriptors());
        let server = Server::bind(settings.listen)?.with_places(places).behind(gate);
        let address = server.local_addr();
        let notifier = start_notifier(&settings)?;
        let Alive { engine, series, writer, clock, now, history_end, orders } =
            come_alive(&settings, catalog).await?;
        let probes = probes(&engine, &series);
        let engine = Arc::new(RwLock::new(engine));
        let (sink, inbox) = mpsc::channel(MAX_REPORTS);
        let references = start_references(&settings, clock, now, &sink)?;
        let sources = start_sources(&settings, orders, clock, &sink)?;
        let config = probing(&settings, places);
        let prober = Prober::start(probes, clock, config, now, sink)?;
        let faults = Arc::new(Faults::new(&settings, prober.meters(), clock, history_end));
        let pager = pager(notifier.as_ref());
        let (load_in, load) = watch::channel(Load { success_at: now, failure: None });
        let own = Own::new(&settings, &engine, &faults, &writer, &pager, load.clone());
        let own = Arc::new(own.with_sources(sources.meters()));
        let core = Core {
            engine: Arc::clone(&engine),
            clock,
            writer: Arc::clone(&writer),
            pager: Arc::clone(&pager),
            retention: settings.retention,
            durations: own.durations(),
            faults: Arc::clone(&faults),
        };
        let (swaps, swaps_out) = mpsc::channel(1);
        let (core, core_ended) = core.spawn(inbox, swaps_out)?;
        let (commands, heard) = mpsc::channel(MAX_COMMANDS);
        let readiness = watch_ledger(Arc::clone(&writer));
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let deliveries = Deliveries::new(sources.boxes(), &writer, clock);
        let reloader = Reloader {
            source,
            fingerprint,
            settings: Arc::clone(&settings),
            gate: server.gate(),
            engine: Arc::clone(&engine),
            prober,
            sources,
            notifier,
            pager,
            writer: Arc::clone(&writer),
            swaps,
            load: load_in,
            clock,
        };
        let (reloads, requests) = mpsc::channel(MAX_COMMANDS);
        let reloader = tokio::spawn(reloader.work(requests));
        let archive = Arc::new(history::LedgerArchive::new(&settings.load()));
        let site =
            Site { engine, settings, own, archive, deliveries, readiness, load, commands, clock };
        let (server, stop_server) = start_serving(server, site);
        Ok(Daemon {
            address,
            references,
            faults,
            reloader,
            reloads,
            core,
            core_ended,
            writer,
            server,
            stop_server,
            commands: heard,
        })
    }

    /// Where HTTP is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lives until somebody asks it to quit.
    ///
    /// # Errors
    /// A part that must not end has ended.
    pub async fn live(&mut self) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Quit) => return Ok(()),
                    // With too many waiting, whoever asked hears that it is busy.
                    Some(Command::Reload(answer)) => drop(self.reloads.try_send(Some(answer))),
                    None => return Err(anyhow!("the HTTP server has ended")),
                },
                _ = &mut self.core_ended => return Err(anyhow!("the engine has ended")),
                served = &mut self.server => {
                    return Err(anyhow!("the HTTP server has ended: {served:?}"));
                }
            }
        }
    }

    /// Asks for the configuration to be loaded again; the log tells how it went.
    pub fn reload(&self) {
        // If too many wait already, one of those will see what this one would have seen.
        let _ = self.reloads.try_send(None);
    }

    /// Stops in good order: no new probes, those in flight reported, everything durable, what
    /// is queued for Alertmanagers sent.
    ///
    /// # Errors
    /// The disk does not take what was left.
    pub async fn stop(self) -> anyhow::Result<()> {
        drop(self.reloads);
        let Parts { prober, sources, notifier } =
            self.reloader.await.context("the part that reloads has broken down")?;
        prober.stop().await;
        sources.stop().await;
        if let Some(references) = self.references {
            settle(&self.faults).await;
            references.stop().await;
        }
        // The probers were the only ones to fill the engine's inbox, so the engine ends now.
        let core = self.core;
        let ended = tokio::task::spawn_blocking(move || core.join()).await?;
        let writer = Arc::clone(&self.writer);
        let kept = tokio::task::spawn_blocking(move || writer.stop()).await?;
        if let Some(notifier) = notifier {
            notifier.drain(NOTIFY_DRAIN).await;
        }
        // An error says that it has stopped already.
        let _ = self.stop_server.send(());
        let _ = self.server.await;
        kept.context("some results could not be kept")?;
        ended.map_err(|_| anyhow!("the engine ended in a panic; its message is above"))
    }
}

fn probing(settings: &Settings, places: usize) -> probe::Config {
    let in_flight_max = probe::in_flight_max(probe::descriptors(), places);
    let (vantage, egress) = (settings.vantage.clone(), settings.egress.clone());
    probe::Config { vantage, egress, in_flight_max, ..Default::default() }
}

fn start_notifier(settings: &Settings) -> anyhow::Result<Option<Notifier>> {
    notify::install_crypto();
    if settings.alerting != Alerting::Direct {
        return Ok(None);
    }
    let config = notify::Config {
        alertmanagers: settings.alertmanagers.clone(),
        external_url: settings.external_url.clone(),
        patience: notify::Patience::default(),
    };
    Ok(Some(Notifier::start(&config)?))
}

/// Ready as long as the ledger takes records. Probing goes on meanwhile, and healthy it is.
fn watch_ledger(writer: Arc<Writer>) -> watch::Receiver<Readiness> {
    let (ready, readiness) = watch::channel(Readiness::Ready);
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(READINESS_INTERVAL);
        loop {
            tokio::select! {
                () = ready.closed() => return,
                _ = tick.tick() => {}
            }
            let now = match writer.stats().failing {
                Some(why) => Readiness::Waiting(format!("the ledger takes no records: {why}")),
                None => Readiness::Ready,
            };
            ready.send_if_modified(|known| {
                let changed = *known != now;
                *known = now;
                changed
            });
        }
    });
    readiness
}

/// Serves the site until the sender that comes back speaks or is dropped.
fn start_serving(server: Server, site: Site) -> (Serving, oneshot::Sender<()>) {
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(server.run(site, async {
        // An error says that the daemon is gone, which ends serving just as well.
        let _ = stopped.await;
    }));
    (serving, stop)
}

/// Probes the references with a prober of their own, so that they start on time however many
/// targets keep silent.
fn start_references(
    settings: &Settings,
    clock: Clock,
    now: Timestamp,
    sink: &mpsc::Sender<Reports>,
) -> anyhow::Result<Option<Prober>> {
    let probes: Vec<_> = faults::named(&settings.references)
        .into_iter()
        .map(|(reference, probe)| (reference.series, probe))
        .collect();
    if probes.is_empty() {
        return Ok(None);
    }
    let (vantage, egress) = (settings.vantage.clone(), settings.egress.clone());
    let in_flight_max = 2 * probes.len();
    let config = probe::Config { vantage, egress, in_flight_max, ..Default::default() };
    Ok(Some(Prober::start(probes, clock, config, now, sink.clone())?))
}

/// Begins to ask those who count in place of probes.
fn start_sources(
    settings: &Settings,
    orders: Vec<source::Order>,
    clock: Clock,
    sink: &mpsc::Sender<Reports>,
) -> anyhow::Result<Sources> {
    let servers = Servers::new(&settings.prometheus, &settings.egress, &Servers::default())?;
    Ok(Sources::start(orders, servers, clock, sink.clone()))
}

/// Waits until no verdict waits for evidence any more, but not for ever.
async fn settle(faults: &Faults) {
    let deadline = tokio::time::Instant::now() + HOLD_LATE_MAX;
    while faults.n_held() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(SETTLE_LOOK).await;
    }
}

/// How often a stop looks whether verdicts still wait.
const SETTLE_LOOK: Duration = Duration::from_millis(50);

struct Restored {
    ledger: Ledger,
    engine: Engine,
    /// What sources kept to go on, by name.
    of_sources: BTreeMap<String, String>,
    series: BTreeMap<ProbeId, SeriesId>,
}

/// An engine that has begun to live.
struct Alive {
    engine: Engine,
    series: BTreeMap<ProbeId, SeriesId>,
    writer: Arc<Writer>,
    clock: Clock,
    /// When it began.
    now: Timestamp,
    history_end: Option<Timestamp>,
    /// What somebody else counts.
    orders: Vec<source::Order>,
}

/// Restores history and accounts for the time since its end.
async fn come_alive(settings: &Settings, catalog: Catalog) -> anyhow::Result<Alive> {
    let restored = restore(settings, catalog).await?;
    let Restored { ledger, mut engine, mut of_sources, series } = restored;
    let history_end = engine.history_end();
    let clock = clock_after(&engine);
    let now = clock.now();
    // The prober starts with the slots that are due after this moment.
    let after = now.just_after();
    let mut effects = Vec::new();
    let orders = resume_sources(&mut engine, &series, &mut of_sources, now, &mut effects);
    let begin_of: BTreeMap<ProbeId, Timestamp> =
        orders.iter().map(|order| (order.probe.id.clone(), order.first)).collect();
    let first_due = |probe: &Probe| {
        let grid = || Grid::of(probe, &settings.vantage).first_due_at_or_after(after);
        begin_of.get(&probe.id).copied().unwrap_or_else(grid)
    };
    for objection in engine.objections(engine.catalog()) {
        tracing::error!(objection, "the Correction goes on as it took effect");
    }
    effects.extend(engine.start(first_due, now));
    reload::tell_undeclared(&engine);
    let writer = keep(Arc::new(Writer::start(ledger, clock)?), effects).await?;
    Ok(Alive { engine, series, writer, clock, now, history_end, orders })
}

/// Where each source goes on; accounts for what was sent to it and is in no slot yet.
fn resume_sources(
    engine: &mut Engine,
    series: &BTreeMap<ProbeId, SeriesId>,
    of_sources: &mut BTreeMap<String, String>,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) -> Vec<source::Order> {
    let mut orders = Vec::new();
    for (series, probe) in probes(engine, series) {
        let kept = of_sources.remove(&format!("{}{}", source::STATE, probe.id));
        let past = source::Past {
            next: engine.next_due(series),
            turn: engine.turn_ahead(series),
            step: engine.step(series).unwrap_or(probe.interval),
            counted_until: engine.counted_until(series),
        };
        let resumed = source::resume(&(series, probe), kept, &past, now);
        let Some((order, runs)) = resumed else { continue };
        for run in runs {
            engine.count(Counted { series, run, state: None }, effects);
        }
        orders.push(order);
    }
    orders
}

/// Opens the ledger and rebuilds the engine's state from it.
async fn restore(settings: &Settings, catalog: Catalog) -> anyhow::Result<Restored> {
    let (path, vantage) = (settings.storage_path.clone(), settings.vantage.clone());
    let options = engine::Options { vantage: vantage.clone(), resend_delay: settings.resend_delay };
    let restored = tokio::task::spawn_blocking(move || -> anyhow::Result<Restored> {
        let mut ledger = Ledger::open(&path, ledger::Options::default())?;
        let series = history::series_of(&mut ledger, &catalog, &vantage)?;
        let mut engine = Engine::new(Arc::new(catalog), &series, options);
        let of_sources = history::restore(&mut ledger, &mut engine, clock::wall_now())?;
        Ok(Restored { ledger, engine, of_sources, series })
    });
    restored.await?
}

/// The timeline of this process. It never begins before the history that is there: if the wall
/// clock has gone back since, it goes on where history ends.
fn clock_after(engine: &Engine) -> Clock {
    let wall = clock::wall_now();
    let now = engine.resume_at(wall);
    if now > wall.plus(UNREMARKABLE_STEP) {
        tracing::warn!(
            wall = %wall,
            history_end = %now,
            "the wall clock is behind the recorded history; time goes on from there"
        );
    }
    Clock::starting_at(now)
}

/// How far the wall clock may have gone back without a word: more than time servers correct at
/// a time, and less than anybody misses.
const UNREMARKABLE_STEP: Duration = Duration::from_secs(1);

/// Keeps the first records of a process. There may be some for every probe and every SLO, more
/// than wait for the disk at a time.
async fn keep(writer: Arc<Writer>, effects: Vec<Effect>) -> anyhow::Result<Arc<Writer>> {
    let kept = tokio::task::spawn_blocking(move || {
        let mut records = effects.into_iter().filter_map(record).peekable();
        while records.peek().is_some() {
            writer.submit(records.by_ref().take(ledger::MAX_QUEUED / 2).collect());
            if records.peek().is_some()
                && let Err(error) = writer.flush()
            {
                tracing::warn!(%error, "what was found at the start is not yet durable");
            }
        }
        writer
    });
    Ok(kept.await?)
}

fn record(effect: Effect) -> Option<Record> {
    match effect {
        Effect::Append(record) => Some(record),
        Effect::Compact(_) | Effect::Notify(_) => None,
    }
}

fn probes(engine: &Engine, series: &BTreeMap<ProbeId, SeriesId>) -> Vec<(SeriesId, Probe)> {
    let probes = engine.catalog().probes();
    probes.filter_map(|probe| Some((*series.get(&probe.id)?, probe.clone()))).collect()
}

fn pager(notifier: Option<&Notifier>) -> Pager {
    Arc::new(ArcSwapOption::new(notifier.map(|notifier| Arc::new(notifier.handle()))))
}

/// Where notices go at present, if anywhere.
type Pager = Arc<ArcSwapOption<notify::Handle>>;

/// Serving HTTP, until it ends.
type Serving = tokio::task::JoinHandle<std::io::Result<()>>;

/// What the prober hands to the engine.
type Reports = Vec<Report>;
