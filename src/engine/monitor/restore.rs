//! Taking history back after a restart, in the order in which the ledger kept it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Effect, Engine, SLICE, push, within};
use crate::engine::alert;
use crate::engine::roll::Roll;
use crate::model::{Probe, Record, Run, SeriesId, Tally, Timestamp, UnknownReason, Verdict};

/// The name under which totals are kept.
pub(super) const TOTALS: &str = "totals";

/// The totals of every history at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptTotals {
    /// In microseconds since the epoch.
    at: i64,
    /// Series, threshold in microseconds, and good, bad, unknown, excluded.
    totals: Vec<(u32, Option<u32>, [u64; 4])>,
}

impl Engine {
    /// Takes back a closed slice: its runs, and the thresholds their classes count.
    pub fn restore_slice(
        &mut self,
        series: SeriesId,
        end: Timestamp,
        thresholds: &[u32],
        runs: &[Run],
    ) {
        for run in runs {
            match self.probe_of.get(&series) {
                Some(&probe) => {
                    for run in self.rolls[probe].restore_run(*run) {
                        self.feed(probe, run, thresholds);
                    }
                }
                None => return,
            }
        }
        if let Some(&probe) = self.probe_of.get(&series) {
            self.rolls[probe].closed_until(end);
        }
    }

    /// Takes back a record that was not in a slice yet.
    pub fn restore_record(&mut self, record: &Record) {
        match record {
            Record::Observation(observation) => {
                self.restore(observation.series, |roll| roll.restore_observation(observation));
            }
            Record::Gap(series, run) => self.restore(*series, |roll| roll.restore_gap(*run)),
            Record::State { name, json } => self.restore_state(name, json),
            Record::Slice(slice) => {
                self.restore_slice(slice.series, slice.end, &slice.thresholds, &slice.runs);
            }
        }
    }

    fn restore(&mut self, series: SeriesId, restore: impl FnOnce(&mut Roll)) {
        if let Some(&probe) = self.probe_of.get(&series) {
            restore(&mut self.rolls[probe]);
        } else {
            let empty = || Roll::new(series, Duration::from_secs(1), Vec::new());
            restore(self.orphans.entry(series).or_insert_with(empty));
        }
    }

    /// Takes back a named state; one that nothing here goes by is left alone.
    pub fn restore_state(&mut self, name: &str, json: &str) {
        if name == TOTALS {
            self.kept_totals = serde_json::from_str(json).ok();
            return;
        }
        let slo = alert::slo_of_state(name).and_then(|id| self.slo_of.get(&id));
        let alerts = slo.map(|slo| &mut self.slos[*slo].alerts);
        let all = alerts.into_iter().flatten().chain([&mut self.blind, &mut self.watchdog]);
        for alert in all.filter(|alert| alert.state_name() == name) {
            if let Ok(life) = serde_json::from_str(json) {
                alert.life = life;
            }
        }
    }

    /// Ends restoring: records that no slice has replaced are accepted, in their order.
    pub fn finish_restore(&mut self) {
        for probe in 0..self.rolls.len() {
            let runs = self.rolls[probe].finish_restore();
            self.feed_all(probe, &runs);
        }
        self.orphans.values_mut().for_each(|roll| drop(roll.finish_restore()));
        self.apply_totals();
    }

    /// Begins to live: accounts for the time since each series was last heard of, as unknown,
    /// up to the first slot that will be probed. `first_due` says which one that is.
    pub fn start(
        &mut self,
        mut first_due: impl FnMut(&Probe) -> Timestamp,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        for probe in 0..self.probes.len() {
            let until = first_due(&self.probes[probe].probe);
            let taken = self.rolls[probe].close_gap(until, UnknownReason::NotRunning);
            let series = self.probes[probe].series;
            if let Some(gap) = taken.lost {
                let index = UnknownReason::NotRunning.index();
                self.probes[probe].counters.unknown[index] += u64::from(gap.n);
                self.stats.not_running += u64::from(gap.n);
                effects.push(Effect::Append(Record::Gap(series, gap)));
            }
            self.feed_all(probe, &taken.accepted);
        }
        self.started = Some(now);
        self.watchdog.life.fired_at.get_or_insert(now.micros());
        self.last_slice = Some(now.floor(SLICE));
        effects
    }

    /// The totals of every history at `at`, so that they go on after a restart that brings back
    /// less than was ever counted.
    pub(super) fn totals_record(&self, at: Timestamp) -> Record {
        let mut totals = Vec::new();
        for (probe, feeds) in self.probes.iter().zip(&self.feeds) {
            for feed in feeds {
                let Tally { good, bad, unknown, excluded } = self.series[feed.indicator].before(at);
                let counts = [good, bad, unknown, excluded];
                totals.push((probe.series.0, feed.threshold, counts));
            }
        }
        let kept = KeptTotals { at: at.micros(), totals };
        let json = serde_json::to_string(&kept).expect("a struct of numbers always becomes JSON");
        Record::State { name: TOTALS.to_owned(), json }
    }

    /// Adds to each history what was counted before anything that was restored.
    fn apply_totals(&mut self) {
        let Some(kept) = self.kept_totals.take() else { return };
        for (series, threshold, [good, bad, unknown, excluded]) in kept.totals {
            let Some(&probe) = self.probe_of.get(&SeriesId(series)) else { continue };
            let total = Tally { good, bad, unknown, excluded };
            for feed in self.feeds[probe].iter().filter(|feed| feed.threshold == threshold) {
                self.series[feed.indicator].continue_from(total, Timestamp::from_micros(kept.at));
            }
        }
    }

    /// Feeds a stored run whose class counts other thresholds, perhaps, than today's.
    fn feed(&mut self, probe: usize, run: Run, thresholds: &[u32]) {
        for feed in &self.feeds[probe] {
            let outcome = match (feed.threshold, run.verdict) {
                (Some(threshold), Verdict::Good) => within(run.class, threshold, thresholds),
                (_, verdict) => verdict.outcome(),
            };
            push(&mut self.series[feed.indicator], &run, outcome);
        }
    }
}
