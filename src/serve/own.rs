//! Every family about the monitor itself: build, process, config, prober, ledger, notifiers; and
//! the same for people.
//!
//! The names live here, the numbers come from the daemon: it implements [`SelfMetrics`] with
//! the writers below. Knows none of the rooms it speaks of.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricType;

use crate::engine::counters::Histogram;
use crate::model::Timestamp;

use super::exposition::{Exposition, Labels};
use super::faults::FaultReading;

/// The monitor's numbers about itself, written at every scrape. Must not wait.
pub trait SelfMetrics: Send + Sync {
    /// Writes the families, with the writers of this module and others of its own.
    fn write(&self, out: &mut Exposition);

    /// How the parts stand, for the page about the monitor.
    fn reading(&self) -> OwnReading {
        OwnReading::default()
    }
}

/// How the parts of the monitor stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnReading {
    /// What the prober of each vantage has counted.
    pub probers: Vec<ProberReading>,
    /// Our own faults.
    pub faults: FaultReading,
    /// What becomes of history.
    pub ledger: LedgerState,
    /// What the notifier for each Alertmanager has counted.
    pub notifiers: Vec<NotifierReading>,
}

/// How the ledger stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerState {
    /// What keeps records from becoming durable at present.
    pub failing: Option<String>,
    /// When everything handed over until then was last known to be durable.
    pub last_durable: Option<Timestamp>,
    /// Records that wait.
    pub queue_length: u64,
    /// Records that were lost.
    pub lost: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

impl<F: Fn(&mut Exposition) + Send + Sync> SelfMetrics for F {
    fn write(&self, out: &mut Exposition) {
        self(out);
    }
}

/// How the last reload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadReading {
    /// Whether it succeeded.
    pub successful: bool,
    /// When one last did.
    pub success_at: Option<Timestamp>,
}

/// Writes the config group.
pub fn write_reload(out: &mut Exposition, reading: ReloadReading) {
    let help = "Whether the last attempt to load the configuration succeeded.";
    let successful = reading.successful;
    out.gauge("nines_config_last_reload_successful", help).sample(&Labels::NONE, successful);
    let help = "When the configuration was last loaded successfully.";
    let mut family = out.gauge("nines_config_last_reload_success_timestamp_seconds", help);
    if let Some(at) = reading.success_at {
        family.sample(&Labels::NONE, at);
    }
}

/// What the prober of one vantage has counted.
#[derive(Clone, Debug, PartialEq)]
pub struct ProberReading {
    /// The vantage.
    pub vantage: String,
    /// How late probes were started.
    pub start_lag: Histogram,
    /// Slots in which no probe was started.
    pub missed_starts: u64,
    /// Probes that the egress policy kept from connecting.
    pub denied: u64,
    /// The longest time by which the scheduler woke late since the last reading.
    pub scheduler_lag: Duration,
}

/// Writes the prober's part of the probe and self groups.
pub fn write_prober(out: &mut Exposition, readings: &[ProberReading]) {
    let format = out.format();
    let labels: Vec<Labels> =
        readings.iter().map(|r| Labels::of(format, &[("vantage", &r.vantage)])).collect();
    let help = "How long after their due time probes were started.";
    let mut family = out.histogram("nines_probe_start_lag_seconds", help);
    for (labels, reading) in labels.iter().zip(readings) {
        family.sample(labels, &reading.start_lag);
    }
    let help = "Slots in which no probe was started.";
    let mut family = out.counter("nines_probe_missed_starts_total", help);
    for (labels, reading) in labels.iter().zip(readings) {
        family.sample(labels, reading.missed_starts);
    }
    let help = "Probes that did not connect: the egress policy denies their target's address.";
    let mut family = out.counter("nines_probe_egress_denied_total", help);
    for (labels, reading) in labels.iter().zip(readings) {
        family.sample(labels, reading.denied);
    }
    let help = "The longest time by which the scheduler woke late of late.";
    let mut family = out.gauge("nines_scheduler_lag_seconds", help);
    for (labels, reading) in labels.iter().zip(readings) {
        family.sample(labels, reading.scheduler_lag);
    }
}

/// What the ledger has counted.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerReading {
    /// How long appends took until they were durable.
    pub append: Histogram,
    /// How long syncs took.
    pub sync: Histogram,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Writes the ledger's part of the self group.
pub fn write_ledger(out: &mut Exposition, reading: &LedgerReading) {
    let help = "How long appending to the ledger took.";
    let mut family = out.histogram("nines_ledger_append_duration_seconds", help);
    family.sample(&Labels::NONE, &reading.append);
    let help = "How long making the ledger durable took.";
    let mut family = out.histogram("nines_ledger_sync_duration_seconds", help);
    family.sample(&Labels::NONE, &reading.sync);
    let help = "The ledger's size on disk.";
    out.gauge("nines_ledger_size_bytes", help).sample(&Labels::NONE, reading.bytes);
}

/// Writes how long the evaluation of all SLOs took.
pub fn write_evaluation(out: &mut Exposition, durations: &Histogram) {
    let help = "How long evaluating every SLO took.";
    out.histogram("nines_evaluation_duration_seconds", help).sample(&Labels::NONE, durations);
}

/// What the notifier for one Alertmanager has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifierReading {
    /// Its base URL without credentials.
    pub alertmanager: String,
    /// Alerts that it accepted.
    pub sent: u64,
    /// Alerts in requests that failed.
    pub errors: u64,
    /// Alerts that were given up.
    pub dropped: u64,
    /// Alerts that wait.
    pub queue_length: usize,
}

/// Writes the notifier group.
pub fn write_notifiers(out: &mut Exposition, readings: &[NotifierReading]) {
    let format = out.format();
    let labels: Vec<Labels> =
        readings.iter().map(|r| Labels::of(format, &[("alertmanager", &r.alertmanager)])).collect();
    let mut write = |name, help, value: fn(&NotifierReading) -> u64| {
        let mut family = out.counter(name, help);
        for (labels, reading) in labels.iter().zip(readings) {
            family.sample(labels, value(reading));
        }
    };
    let help = "Alerts that the Alertmanager accepted.";
    write("nines_notifications_sent_total", help, |r| r.sent);
    let help = "Alerts in requests to the Alertmanager that failed, counted at every try.";
    write("nines_notifications_errors_total", help, |r| r.errors);
    let help = "Alerts that were refused, too old, or pushed out of a full queue.";
    write("nines_notifications_dropped_total", help, |r| r.dropped);
    let help = "Alerts that wait to be sent.";
    let mut family = out.gauge("nines_notifications_queue_length", help);
    for (labels, reading) in labels.iter().zip(readings) {
        family.sample(labels, reading.queue_length);
    }
}

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The revision this was built from, if the build was told.
pub const REVISION: &str = match option_env!("NINES_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Writes which build this is.
pub fn write_build(out: &mut Exposition) {
    let format = out.format();
    let labels = Labels::of(format, &[("version", VERSION), ("revision", REVISION)]);
    out.info("nines_build_info", "Which build this is.").sample(&labels, true);
}

/// Writes what the kernel says about this process.
pub fn write_process(out: &mut Exposition, collector: &ProcessCollector) {
    for family in collector.collect() {
        for metric in family.get_metric() {
            match family.get_field_type() {
                MetricType::COUNTER => {
                    let value = metric.get_counter().get_value();
                    out.counter(family.name(), family.help()).sample(&Labels::NONE, value);
                }
                MetricType::GAUGE => {
                    let value = metric.get_gauge().get_value();
                    out.gauge(family.name(), family.help()).sample(&Labels::NONE, value);
                }
                // The collector has no other kinds.
                _ => {}
            }
        }
    }
}
