//! Every family about the monitor's own faults: what it could not see, and why.
//!
//! The names live here, the numbers come from the daemon.

use std::time::Duration;

use super::exposition::{Exposition, Labels};

/// What the monitor knows of its own faults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultReading {
    /// The vantage.
    pub vantage: String,
    /// Whether the alert that nothing can be seen fires.
    pub blind: bool,
    /// Whether no reference answers.
    pub isolated: bool,
    /// Slots that wait for evidence.
    pub held: usize,
    /// How often slots were settled without waiting for it because too many waited.
    pub overflows: u64,
    /// Every reference.
    pub references: Vec<ReferenceReading>,
    /// Slots that are unknown, by cause.
    pub slots: Vec<(&'static str, u64)>,
    /// What went wrong in spells, by cause: how often, and for how long in all.
    pub spells: Vec<(&'static str, u64, Duration)>,
    /// How far the wall clock is ahead of our timeline, in microseconds.
    pub clock_offset_micros: i64,
    /// Probes that are running.
    pub in_flight: u64,
    /// Probes that may run at once.
    pub in_flight_max: u64,
    /// Whether so much fails at once that it may be us.
    pub suspicious: bool,
}

/// What a reference says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceReading {
    /// Its name.
    pub name: String,
    /// Whether its last run was answered; none before the first one that was measured.
    pub up: Option<bool>,
    /// How many of its runs were answered, were silent, and were not measured.
    pub runs: [u64; 3],
}

/// The results that a run of a reference can have.
const RESULTS: [&str; 3] = ["answered", "silent", "unmeasured"];

/// Writes everything about our own faults.
pub fn write_faults(out: &mut Exposition, reading: &FaultReading) {
    let format = out.format();
    let labels = Labels::of(format, &[("vantage", &reading.vantage)]);
    let help = "Whether nothing at all can be measured, and somebody is told.";
    out.gauge("nines_blind", help).sample(&labels, reading.blind);
    let help = "Whether no reference target answers: this machine is cut off.";
    out.gauge("nines_isolated", help).sample(&labels, reading.isolated);
    let help = "Slots that wait until it is known whether we were cut off.";
    out.gauge("nines_isolation_waiting_slots", help).sample(&labels, reading.held);
    let help = "Times that slots were judged without evidence because too many waited for it.";
    out.counter("nines_isolation_overflows_total", help).sample(&labels, reading.overflows);
    write_references(out, &labels, &reading.references);
    let help = "Slots that could not be measured, by what of ours was to blame.";
    let mut family = out.counter("nines_self_unknown_slots_total", help);
    for (cause, n) in &reading.slots {
        family.sample_with(&labels, &Labels::of(format, &[("cause", cause)]), *n);
    }
    let help = "How often something of ours went wrong for a while.";
    let mut family = out.counter("nines_self_faults_total", help);
    for (cause, n, _) in &reading.spells {
        family.sample_with(&labels, &Labels::of(format, &[("cause", cause)]), *n);
    }
    let help = "For how long something of ours went wrong; for clock steps, how far they went.";
    let mut family = out.counter("nines_self_fault_seconds_total", help);
    for (cause, _, total) in &reading.spells {
        family.sample_with(&labels, &Labels::of(format, &[("cause", cause)]), *total);
    }
    let help = "How far the wall clock is ahead of the timeline that history is kept on.";
    let offset = reading.clock_offset_micros as f64 / 1e6;
    out.gauge("nines_clock_offset_seconds", help).sample(&labels, offset);
    let help = "Probes that are running.";
    out.gauge("nines_probes_in_flight", help).sample(&labels, reading.in_flight);
    let help = "Probes that may run at once: as many as there are descriptors to spare.";
    out.gauge("nines_probes_in_flight_limit", help).sample(&labels, reading.in_flight_max);
    let help = "Whether most targets fail at once in unrelated services: a hint, no excuse.";
    out.gauge("nines_correlated_failure", help).sample(&labels, reading.suspicious);
}

fn write_references(out: &mut Exposition, labels: &Labels, references: &[ReferenceReading]) {
    let format = out.format();
    let help = "Whether the reference answered last time; a refusal is an answer.";
    let mut family = out.gauge("nines_reference_up", help);
    for reference in references {
        if let Some(up) = reference.up {
            family.sample_with(labels, &Labels::of(format, &[("reference", &reference.name)]), up);
        }
    }
    let help = "Runs of the reference, by what they said.";
    let mut family = out.counter("nines_reference_runs_total", help);
    for reference in references {
        let labels = labels.clone().and("reference", &reference.name);
        for (result, n) in RESULTS.into_iter().zip(reference.runs) {
            family.sample_with(&labels, &Labels::of(format, &[("result", result)]), n);
        }
    }
}
