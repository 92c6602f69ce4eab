//! From the ledger to the engine: numbers of series, and history after a restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::series::Series;
use crate::engine::{self, Engine};
use crate::ledger::{Ledger, Reader, Restored};
use crate::model::{Catalog, ProbeId, Record, SeriesId, SloId, Timestamp};

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
///
/// # Errors
/// The ledger cannot be read.
pub fn restore(ledger: &mut Ledger, engine: &mut Engine, now: Timestamp) -> anyhow::Result<()> {
    let since = now.minus(engine.memory());
    let report = ledger.restore(since, &mut |restored| take(engine, restored))?;
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
    Ok(())
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

/// The histories of every SLO of the catalogue as a ledger holds them, without changing it.
///
/// # Errors
/// There is no ledger, or it cannot be read. A daemon may be writing it meanwhile.
pub fn of_ledger(
    catalog: &Catalog,
    path: &Path,
    vantage: &str,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> anyhow::Result<BTreeMap<SloId, Vec<Series>>> {
    anyhow::ensure!(path.is_dir(), "there is no ledger at {}", path.display());
    let ledger = Reader::open(path)?;
    let known: BTreeMap<ProbeId, SeriesId> = ledger
        .all_series()?
        .into_iter()
        .filter(|(_, of, _)| *of == vantage)
        .filter_map(|(probe, _, series)| Some((probe.parse().ok()?, series)))
        .collect();
    let options =
        engine::Options { vantage: vantage.to_owned(), resend_delay: Duration::from_secs(60) };
    let mut engine = Engine::new(Arc::new(catalog.clone()), &known, options);
    let since = from.unwrap_or(Timestamp::MIN);
    let report = ledger.restore(since, &mut |restored| match restored {
        // All of it is held to what this catalogue promises, whatever was promised then.
        Restored::State { .. } => {}
        restored => take(&mut engine, restored),
    })?;
    engine.finish_restore();
    for damage in &report.damage {
        tracing::warn!(%damage, "the ledger is damaged; its time is unknown, the rest is intact");
    }
    let clip = |series: &Series| {
        let end = to.or(series.end()).unwrap_or(Timestamp::MIN);
        series.clip(from.unwrap_or(Timestamp::MIN), end)
    };
    let histories = engine.slos().iter().filter_map(|state| {
        let series: Vec<Series> = engine.histories(state).iter().map(clip).collect();
        let any = series.iter().any(|series| series.first().is_some());
        any.then(|| (state.slo.id.clone(), series))
    });
    Ok(histories.collect())
}
