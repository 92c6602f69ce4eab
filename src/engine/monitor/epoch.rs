//! Since when evidence counts: an epoch begins when the objective, the threshold or the probes of
//! an SLO change, or what those do to find out, and what was proven of the promise before says
//! nothing about the new one.
//!
//! An epoch outlives the memory of the engine and its restarts: what it had seen before anything
//! that a restart brings back is kept beside the totals.

use serde::{Deserialize, Serialize};

use super::Engine;
use crate::engine::evaluate::Histories;
use crate::engine::series::Series;
use crate::model::evidence::Record;
use crate::model::{SloId, Timestamp};

/// Since when evidence counts, and what has to be left out and put in for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Slots due before this were held to another promise; `Timestamp::MIN` for none.
    pub from: Timestamp,
    /// What the histories that are held had seen before it.
    before: Record,
    /// What was seen in it before anything that is held.
    earlier: Record,
}

impl Default for Epoch {
    fn default() -> Self {
        let (before, earlier) = (Record::default(), Record::default());
        Epoch { from: Timestamp::MIN, before, earlier }
    }
}

impl Epoch {
    /// The same of histories that are derived from those that were measured.
    pub(in crate::engine) fn over(self, derived: Histories<'_>) -> Self {
        Epoch { before: before(derived, self.from), ..self }
    }

    /// What has been seen in it.
    pub fn record(&self, histories: Histories<'_>) -> Record {
        self.earlier + histories.record().since(&self.before)
    }
}

/// What an SLO's epoch had seen, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeptEpoch {
    slo: String,
    /// In microseconds since the epoch of time, as is `at`.
    from: i64,
    /// Everything due before this is in it.
    at: i64,
    /// Microseconds, number, microseconds.
    observed: u64,
    outages: u64,
    outage_time: u64,
}

impl Engine {
    /// Begins a new epoch wherever what is promised is another promise now. Slots that are still
    /// in flight from before it count as its own: a few at most.
    pub(super) fn begin_epochs(&mut self) {
        let series = &self.series;
        for state in &mut self.slos {
            let account = &mut state.account;
            let from = account.revisions.epoch();
            if from != account.epoch.from {
                let histories = Histories { series, of: &account.indicators };
                let before = before(histories, from);
                account.epoch = Epoch { from, before, earlier: Record::default() };
            }
        }
    }

    /// After history has been taken back: what it lacks of each epoch comes from what was kept.
    pub(super) fn restore_epochs(&mut self, kept: &[KeptEpoch]) {
        let series = &self.series;
        for state in &mut self.slos {
            let account = &mut state.account;
            let from = account.revisions.epoch();
            let histories = Histories { series, of: &account.indicators };
            let kept = kept
                .iter()
                .find(|kept| kept.slo == state.slo.id.as_str() && kept.from == from.micros());
            let earlier = kept.map(|kept| {
                let held = between(histories, from, Timestamp::from_micros(kept.at));
                kept.record().since(&held)
            });
            let (before, earlier) = (before(histories, from), earlier.unwrap_or_default());
            account.epoch = Epoch { from, before, earlier };
        }
    }

    /// What epochs have seen that histories no longer hold all of.
    pub(super) fn kept_epochs(&self) -> Vec<KeptEpoch> {
        let kept = |state: &super::SloState| {
            let (epoch, histories) = (state.account.epoch, self.as_measured(state));
            let is_long = histories.iter().any(|series| series.forgotten().is_some())
                || epoch.earlier != Record::default();
            let last = histories.iter().filter_map(Series::last).max().filter(|_| is_long)?;
            Some(KeptEpoch::of(&state.slo.id, &epoch, last, epoch.record(histories)))
        };
        self.slos.iter().filter_map(kept).collect()
    }
}

impl KeptEpoch {
    fn of(slo: &SloId, epoch: &Epoch, last: Timestamp, record: Record) -> Self {
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        KeptEpoch {
            slo: slo.to_string(),
            from: epoch.from.micros(),
            at: last.micros().saturating_add(1),
            observed: micros(record.observed),
            outages: record.outages,
            outage_time: micros(record.outage_time),
        }
    }

    fn record(&self) -> Record {
        let micros = std::time::Duration::from_micros;
        Record {
            observed: micros(self.observed),
            outages: self.outages,
            outage_time: micros(self.outage_time),
        }
    }
}

/// What histories had seen before `from`, where they hold it no longer as well.
fn before(histories: Histories<'_>, from: Timestamp) -> Record {
    let since = || between(histories, from, Timestamp::from_micros(i64::MAX));
    match from > Timestamp::MIN {
        true => histories.record().since(&since()),
        false => Record::default(),
    }
}

/// What histories saw in `[from, to)`, as far as they hold it.
fn between(histories: Histories<'_>, from: Timestamp, to: Timestamp) -> Record {
    let parts: Vec<Series> = histories.iter().map(|series| series.clip(from, to)).collect();
    let of: Vec<usize> = (0..parts.len()).collect();
    Histories { series: &parts, of: &of }.record()
}

#[cfg(test)]
mod tests;
