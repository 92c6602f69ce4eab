//! From the ledger to the engine: numbers of series, and history after a restart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::engine::book::CORRECTION_STATE;
use crate::engine::report::{Failure, History, Question};
use crate::engine::series::Series;
use crate::engine::subject::Recorded;
use crate::engine::{self, Book, Engine};
use crate::ledger::{Ledger, Reader, Restored};
use crate::model::uptime;
use crate::model::window::Period;
use crate::model::{
    Catalog, Observation, ProbeId, Record, Run, SeriesId, Settings, SloId, Timestamp, Verdict,
};
use crate::serve::Archive;
use crate::source;

/// The number of every probe of the catalogue; new ones are durable when this returns.
///
/// # Errors
/// A number cannot be written.
pub fn series_of(
    ledger: &mut Ledger,
    catalog: &Catalog,
    vantage: &str,
) -> anyhow::Result<BTreeMap<ProbeId, SeriesId>> {
    let ids: Vec<ProbeId> = catalog.probes().map(|probe| probe.id.clone()).collect();
    let numbers = ledger.number(&ids, vantage)?;
    Ok(ids.into_iter().zip(numbers).collect())
}

/// Hands everything that the engine may still need back to it, and tells what was damaged.
/// Returns what sources kept to go on, by name.
///
/// # Errors
/// The ledger cannot be read.
pub fn restore(
    ledger: &mut Ledger,
    engine: &mut Engine,
    now: Timestamp,
) -> anyhow::Result<BTreeMap<String, String>> {
    let since = now.minus(engine.memory());
    // A month of a large platform takes seconds: one thread reads while the other takes in.
    let (sender, loads) = mpsc::sync_channel::<Load>(MAX_LOADS);
    // What has been emptied is filled again, so that reading takes no more memory the more it is.
    let (emptied, empties) = mpsc::channel::<Load>();
    let (report, of_sources) = std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().name("history".to_owned());
        let reading = reader.spawn_scoped(scope, move || {
            let (mut load, mut of_sources) = (Load::default(), BTreeMap::new());
            let report = ledger.restore(since, &mut |restored| match restored {
                Restored::State { name, json } if name.starts_with(source::STATE) => {
                    of_sources.insert(name.to_owned(), json.to_owned());
                }
                restored => {
                    load.push(restored);
                    if load.pieces.len() >= PIECES_OF_LOAD {
                        let empty = empties.try_recv().unwrap_or_default();
                        // Nobody takes it any more only if taking it in has panicked.
                        let _ = sender.send(std::mem::replace(&mut load, empty));
                    }
                }
            });
            let _ = sender.send(load);
            anyhow::Ok((report?, of_sources))
        });
        let reading = reading?;
        for mut load in loads {
            load.take_in(engine);
            // Reading may be over.
            let _ = emptied.send(load);
        }
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    engine.finish_restore();
    for damage in &report.damage {
        tracing::error!(%damage, "the ledger is damaged; its time is unknown, the rest is intact");
    }
    tracing::info!(
        slices = report.slices,
        observations = report.observations,
        newest = ?report.newest.map(|newest| newest.to_string()),
        "history restored"
    );
    Ok(of_sources)
}

/// Pieces of history that go from one thread to the other at a time.
const PIECES_OF_LOAD: usize = 1_024;
/// Loads that may wait to be taken in: a megabyte.
const MAX_LOADS: usize = 4;

/// Pieces of history on their way to the engine, in their order.
#[derive(Default)]
struct Load {
    pieces: Vec<Piece>,
    runs: Vec<Run>,
    thresholds: Vec<u32>,
}

/// A piece of history; of a slice, how many of the load's thresholds and runs are its own.
enum Piece {
    State { name: String, json: String },
    Slot { series: SeriesId, due: Timestamp, verdict: Verdict, latency: Option<Duration> },
    Gap(SeriesId, Run),
    Slice { series: SeriesId, end: Timestamp, n_thresholds: usize, n_runs: usize },
}

impl Load {
    fn push(&mut self, restored: Restored<'_>) {
        self.pieces.push(match restored {
            Restored::State { name, json } => {
                Piece::State { name: name.to_owned(), json: json.to_owned() }
            }
            Restored::Slice { series, end, thresholds, runs, .. } => {
                self.thresholds.extend_from_slice(thresholds);
                self.runs.extend_from_slice(runs);
                let (n_thresholds, n_runs) = (thresholds.len(), runs.len());
                Piece::Slice { series, end, n_thresholds, n_runs }
            }
            Restored::Observation(Observation { series, due, verdict, latency, .. }) => {
                Piece::Slot { series, due, verdict, latency }
            }
            Restored::Gap(series, run) => Piece::Gap(series, run),
        });
    }

    /// Hands everything to the engine, and is empty then.
    fn take_in(&mut self, engine: &mut Engine) {
        let (mut thresholds, mut runs) = (self.thresholds.as_slice(), self.runs.as_slice());
        for piece in self.pieces.drain(..) {
            match piece {
                Piece::State { name, json } => engine.restore_state(&name, &json),
                Piece::Slot { series, due, verdict, latency } => {
                    engine.restore_slot(series, due, verdict, latency);
                }
                Piece::Gap(series, run) => engine.restore_record(&Record::Gap(series, run)),
                Piece::Slice { series, end, n_thresholds, n_runs } => {
                    let (its_thresholds, other_thresholds) = thresholds.split_at(n_thresholds);
                    let (its_runs, other_runs) = runs.split_at(n_runs);
                    engine.restore_slice(series, end, its_thresholds, its_runs);
                    (thresholds, runs) = (other_thresholds, other_runs);
                }
            }
        }
        self.thresholds.clear();
        self.runs.clear();
    }
}

fn take(engine: &mut Engine, restored: Restored<'_>) {
    match restored {
        Restored::State { name, json } => engine.restore_state(name, json),
        Restored::Slice { series, end, thresholds, runs, .. } => {
            engine.restore_slice(series, end, thresholds, runs);
        }
        Restored::Observation(observation) => {
            engine.restore_record(&Record::Observation(observation));
        }
        Restored::Gap(series, run) => engine.restore_record(&Record::Gap(series, run)),
    }
}

/// The histories of every SLO of the catalogue as a ledger holds them, without changing it, and
/// what is to be laid over them: Corrections that were entered once count as in the daemon.
///
/// # Errors
/// There is no ledger, or it cannot be read. A daemon may be writing it meanwhile.
pub fn of_ledger(
    catalog: &Catalog,
    path: &Path,
    vantage: &str,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> anyhow::Result<(BTreeMap<SloId, Recorded>, Book)> {
    let (ledger, mut engine) = open(Arc::new(catalog.clone()), path, vantage)?;
    let since = from.unwrap_or(Timestamp::MIN);
    let report = ledger.restore(since, &mut |restored| match restored {
        // All of it is held to what this catalogue promises, whatever was promised then.
        Restored::State { name, .. } if !name.starts_with(CORRECTION_STATE) => {}
        restored => take(&mut engine, restored),
    })?;
    engine.finish_restore();
    let objections = engine.objections(catalog);
    anyhow::ensure!(objections.is_empty(), "{}", objections.join("; "));
    engine.amend(Timestamp::MIN);
    for damage in &report.damage {
        tracing::warn!(%damage, "the ledger is damaged; its time is unknown, the rest is intact");
    }
    let clip = |series: &Series| {
        let end = to.or(series.end()).unwrap_or(Timestamp::MIN);
        series.clip(from.unwrap_or(Timestamp::MIN), end)
    };
    let histories = engine.slos().iter().filter_map(|state| {
        let series: Vec<Series> = engine.as_measured(state).iter().map(clip).collect();
        let any = series.iter().any(|series| series.first().is_some());
        let intervals = engine.intervals_as_measured(state);
        let intervals = intervals.iter().flat_map(|all| all.iter()).map(clip).collect();
        any.then(|| (state.slo.id.clone(), Recorded::new(series, intervals)))
    });
    Ok((histories.collect(), engine.book().clone()))
}

/// What a report asks for, as a ledger holds it, without changing it: each event under the promise
/// of its time, and why probes failed.
///
/// # Errors
/// There is no ledger, or it cannot be read. A daemon may be writing it meanwhile.
pub fn past_of_ledger(
    question: &Question<'_>,
    path: &Path,
    vantage: &str,
) -> anyhow::Result<BTreeMap<SloId, History>> {
    let (services, from) = question.reach();
    let services = services.into_iter().cloned().collect();
    let Catalog { maintenances, corrections, .. } = question.catalog;
    let (maintenances, corrections) = (maintenances.clone(), corrections.clone());
    let catalog = Catalog { services, maintenances, corrections, ..Catalog::default() };
    let catalog = Arc::new(catalog);
    let intervals: BTreeMap<ProbeId, Duration> =
        catalog.probes().map(|probe| (probe.id.clone(), probe.interval)).collect();
    let (ledger, mut engine) = open(catalog, path, vantage)?;
    let steps: BTreeMap<SeriesId, Duration> = engine
        .probes()
        .iter()
        .filter_map(|state| Some((state.series, *intervals.get(&state.probe.id)?)))
        .collect();
    let mut failures: BTreeMap<SeriesId, Vec<Failure>> = BTreeMap::new();
    let mut note = |series: SeriesId, run: &Run| {
        if let Some(failure) = Failure::of(run) {
            failure.push_to(failures.entry(series).or_default());
        }
    };
    let report = ledger.restore(from, &mut |restored| {
        match &restored {
            Restored::Slice { series, runs, .. } => runs.iter().for_each(|run| note(*series, run)),
            Restored::Observation(observation) => {
                let step = steps.get(&observation.series).copied().unwrap_or_default();
                let (start, verdict) = (observation.due, observation.verdict);
                note(observation.series, &Run { start, step, n: 1, verdict, class: 0 });
            }
            Restored::Gap(..) | Restored::State { .. } => {}
        }
        take(&mut engine, restored);
    })?;
    engine.finish_restore();
    engine.amend(Timestamp::MIN);
    for damage in &report.damage {
        tracing::warn!(%damage, "the ledger is damaged; its time is unknown, the rest is intact");
    }
    let end = Timestamp::from_micros(i64::MAX);
    let history = |state: &engine::SloState| {
        let series = engine.histories(state).iter().map(|series| series.clip(from, end)).collect();
        let intervals = engine.intervals(state);
        let intervals = intervals.iter().flat_map(|all| all.iter());
        let intervals = intervals.map(|series| series.clip(from, end)).collect();
        let revisions = state.revisions().to_vec();
        let mut counted: Vec<SeriesId> =
            revisions.iter().flat_map(|r| &r.probes).map(|(series, _)| *series).collect();
        counted.sort_unstable();
        counted.dedup();
        let failures = counted.iter().filter_map(|series| failures.get(series));
        let mut failures: Vec<Failure> = failures.flatten().copied().collect();
        failures.sort_by_key(|failure| failure.start);
        let cutoff = engine.probes().iter().filter(|one| state.slo.probes.contains(&one.probe.id));
        let cutoff = cutoff.map(|one| uptime::cutoff(one.probe.interval, one.probe.timeout)).max();
        let Period { start, end } = question.period;
        let touches = engine.touching(&state.slo.id, start, end);
        (state.slo.id.clone(), History { series, intervals, revisions, failures, cutoff, touches })
    };
    Ok(engine.slos().iter().map(history).collect())
}

/// The ledger of a daemon as its own pages read it: through connections that cannot write, one
/// for each question.
pub struct LedgerArchive {
    path: PathBuf,
    vantage: String,
}

impl LedgerArchive {
    /// The archive that these settings name.
    pub fn new(settings: &Settings) -> Self {
        LedgerArchive { path: settings.storage_path.clone(), vantage: settings.vantage.clone() }
    }
}

impl Archive for LedgerArchive {
    fn past(&self, question: &Question<'_>) -> Result<BTreeMap<SloId, History>, String> {
        past_of_ledger(question, &self.path, &self.vantage).map_err(|error| format!("{error:#}"))
    }
}

/// A ledger to read, and an engine for what the catalogue declares, which has no history yet.
fn open(catalog: Arc<Catalog>, path: &Path, vantage: &str) -> anyhow::Result<(Reader, Engine)> {
    let ledger = Reader::open(path)?;
    let known: BTreeMap<ProbeId, SeriesId> = ledger
        .all_series()?
        .into_iter()
        .filter(|(_, of, _)| *of == vantage)
        .filter_map(|(probe, _, series)| Some((probe.parse().ok()?, series)))
        .collect();
    let options =
        engine::Options { vantage: vantage.to_owned(), resend_delay: Duration::from_secs(60) };
    let engine = Engine::new(catalog, &known, options);
    Ok((ledger, engine))
}
