//! The monitor's numbers about itself, read from where they arise at every scrape.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::engine::Engine;
use crate::engine::counters::Histogram;
use crate::engine::fault::Cause;
use crate::engine::isolation::{Sight, Standing};
use crate::engine::witness::Sign;
use crate::ledger::{self, Writer};
use crate::model::{ProbeId, Settings, UnknownReason};
use crate::probe::{self, LAG_EDGES_MICROS, Meters};
use crate::serve::exposition::{Exposition, Labels};
use crate::serve::faults::{FaultReading, ReferenceReading, write_faults};
use crate::serve::own::{
    self, LedgerReading, LedgerState, NotifierReading, OwnReading, ProberReading, ReloadReading,
    SelfMetrics,
};

use crate::serve::Load;
use crate::serve::sources::{SourceReading, write_sources};
use crate::source;
use tokio::sync::watch;

use super::Pager;
use super::faults::Faults;

/// Upper edges of the durations of an evaluation, in microseconds.
const EVALUATION_EDGES: [u64; 10] =
    [100, 500, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000];

/// Handles to every part that counts.
pub struct Own {
    vantage: String,
    engine: Arc<RwLock<Engine>>,
    meters: Arc<Meters>,
    writer: Arc<Writer>,
    pager: Pager,
    durations: Arc<Mutex<Histogram>>,
    load: watch::Receiver<Load>,
    faults: Arc<Faults>,
    sources: Arc<source::Meters>,
}

impl Own {
    /// Handles to the parts of a daemon.
    pub fn new(
        settings: &Settings,
        engine: &Arc<RwLock<Engine>>,
        faults: &Arc<Faults>,
        writer: &Arc<Writer>,
        pager: &Pager,
        load: watch::Receiver<Load>,
    ) -> Self {
        Own {
            vantage: settings.vantage.clone(),
            engine: Arc::clone(engine),
            meters: faults.meters(),
            writer: Arc::clone(writer),
            pager: pager.clone(),
            durations: Arc::new(Mutex::new(Histogram::new(Arc::new(EVALUATION_EDGES)))),
            load,
            faults: Arc::clone(faults),
            sources: Arc::default(),
        }
    }

    /// The same, with what sources count about themselves.
    pub fn with_sources(self, sources: Arc<source::Meters>) -> Self {
        Own { sources, ..self }
    }

    /// Where the engine's thread writes down how long evaluations took.
    pub fn durations(&self) -> Arc<Mutex<Histogram>> {
        Arc::clone(&self.durations)
    }

    fn prober(&self) -> ProberReading {
        let missed = UnknownReason::ALL.iter().map(|reason| self.meters.missed(*reason)).sum();
        ProberReading {
            vantage: self.vantage.clone(),
            start_lag: lag(&self.meters.start_lag),
            missed_starts: missed,
            denied: self.meters.denied(),
            scheduler_lag: self.meters.loop_lag.max(),
        }
    }

    fn engine(&self, out: &mut Exposition) {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        let (stats, segments) = (engine.stats(), engine.segments());
        drop(engine);
        let mut counter = |name, help, value: u64| {
            out.counter(name, help).sample(&Labels::NONE, value);
        };
        let help = "Results for slots that were accounted for already.";
        counter("nines_engine_duplicate_results_total", help, stats.duplicates);
        let help = "Slots whose result never came; they count as unknown.";
        counter("nines_engine_lost_slots_total", help, stats.lost);
        let help = "Results of probes that are not declared.";
        counter("nines_engine_stranger_results_total", help, stats.strangers);
        let help = "Older promises that were joined with others: an SLO changed too often.";
        counter("nines_engine_joined_revisions_total", help, stats.joined_revisions);
        let help = "Runs of equal slots held in memory.";
        out.gauge("nines_engine_history_runs", help).sample(&Labels::NONE, segments);
    }

    fn faults(&self) -> FaultReading {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        let (blind, slots) = (engine.is_blind(), self.faults.slots(&engine));
        drop(engine);
        let spells = self.faults.spells().map(|(cause, spells)| (cause, spells.n, spells.total));
        let isolation = self.faults.isolation();
        let reference = |standing: Standing| ReferenceReading {
            name: standing.name,
            up: standing.last.and_then(|sign| match sign {
                Sign::Answered => Some(true),
                Sign::Silent => Some(false),
                Sign::Nothing => None,
            }),
            runs: standing.runs,
        };
        FaultReading {
            vantage: self.vantage.clone(),
            blind,
            isolated: matches!(isolation.sight(), Sight::CutOff(_)),
            held: isolation.n_held(),
            overflows: isolation.overflows(),
            references: isolation.standings().map(reference).collect(),
            slots: Cause::ALL.map(|cause| (cause.word(), slots.of(cause))).to_vec(),
            spells: spells.to_vec(),
            clock_offset_micros: self.faults.wall_offset_micros(),
            in_flight: self.meters.in_flight(),
            in_flight_max: self.meters.in_flight_max(),
            suspicious: self.faults.is_suspicious(),
        }
    }

    fn sources(&self) -> Vec<SourceReading> {
        let reading = |(slo, reading): (ProbeId, source::Reading)| SourceReading {
            slo: slo.to_string(),
            requests: reading.requests,
            failures: reading.failures,
            success_at: reading.success_at,
            counted: reading.counted,
            unknown: reading.unknown,
        };
        self.sources.readings().into_iter().map(reading).collect()
    }

    fn notifiers(&self) -> Vec<NotifierReading> {
        let pager = self.pager.load();
        let readings = pager.iter().flat_map(|handle| handle.readings());
        let reading = readings.map(|reading| NotifierReading {
            alertmanager: reading.alertmanager,
            sent: reading.sent,
            errors: reading.errors,
            dropped: reading.dropped,
            queue_length: reading.queue_length,
        });
        reading.collect()
    }

    fn ledger(&self, out: &mut Exposition) {
        let stats = self.writer.stats();
        let reading = LedgerReading {
            append: durations(&stats.append),
            sync: durations(&stats.sync),
            bytes: stats.bytes_on_disk,
        };
        own::write_ledger(out, &reading);
        let mut counter = |name, help, value: u64| {
            out.counter(name, help).sample(&Labels::NONE, value);
        };
        let help = "Group commits that failed; each is tried again.";
        counter("nines_ledger_commit_failures_total", help, stats.failed_commits);
        let help = "Successes let go because the disk did not keep up; slices still count them.";
        counter("nines_ledger_shed_successes_total", help, stats.shed_successes);
        let help = "Records lost because the disk did not keep up for long.";
        counter("nines_ledger_lost_records_total", help, stats.lost_records);
        let help = "1 while the disk does not take what is to be kept; probing goes on.";
        let failing = u64::from(stats.failing.is_some());
        out.gauge("nines_ledger_failing", help).sample(&Labels::NONE, failing);
        let help = "Records that wait for the ledger.";
        out.gauge("nines_ledger_queue_length", help).sample(&Labels::NONE, stats.queued_records);
        let help = "When everything was last known to be durable.";
        let name = "nines_ledger_last_durable_timestamp_seconds";
        let mut family = out.gauge(name, help);
        if let Some(at) = stats.last_durable {
            family.sample(&Labels::NONE, at.as_secs_f64());
        }
    }
}

impl SelfMetrics for Own {
    fn write(&self, out: &mut Exposition) {
        let Load { success_at, failure } = self.load.borrow().clone();
        let loaded = ReloadReading { successful: failure.is_none(), success_at: Some(success_at) };
        own::write_reload(out, loaded);
        own::write_prober(out, &[self.prober()]);
        self.engine(out);
        write_faults(out, &self.faults());
        self.ledger(out);
        write_sources(out, &self.sources());
        let durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner).clone();
        own::write_evaluation(out, &durations);
        own::write_notifiers(out, &self.notifiers());
    }

    fn reading(&self) -> OwnReading {
        let stats = self.writer.stats();
        let ledger = LedgerState {
            failing: stats.failing,
            last_durable: stats.last_durable,
            queue_length: stats.queued_records,
            lost: stats.lost_records,
            bytes: stats.bytes_on_disk,
        };
        let (probers, notifiers) = (vec![self.prober()], self.notifiers());
        OwnReading { probers, faults: self.faults(), ledger, notifiers }
    }
}

fn lag(lag: &probe::Lag) -> Histogram {
    let mut histogram = Histogram::new(Arc::new(LAG_EDGES_MICROS));
    histogram.counts = lag.counts().to_vec();
    histogram.sum = lag.sum();
    histogram
}

fn durations(durations: &ledger::Durations) -> Histogram {
    let mut histogram = Histogram::new(Arc::new(ledger::BOUNDS_MICROS));
    histogram.counts = durations.counts.to_vec();
    histogram.sum = durations.sum;
    histogram
}
