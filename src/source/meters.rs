//! What sources count about themselves.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::sampler::Failure;
use crate::model::{ProbeId, Timestamp};

/// The counts of every source.
#[derive(Debug, Default)]
pub struct Meters(Mutex<BTreeMap<ProbeId, Reading>>);

/// What one source has counted about itself since this process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Questions that were asked, or deliveries that were taken, each time they came.
    pub requests: u64,
    /// Answers that do not count, by [`Failure`], in the order of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// The last moment of which an answer counted.
    pub success_at: Option<Timestamp>,
    /// Slots that were counted.
    pub counted: u64,
    /// Slots that were not.
    pub unknown: u64,
    /// Why the last answer does not count, for people; none if it does.
    pub why: Option<String>,
}

impl Meters {
    /// Every source with its counts, in id order.
    pub fn readings(&self) -> BTreeMap<ProbeId, Reading> {
        self.all().clone()
    }

    /// From now on there is this source.
    pub(super) fn expect(&self, source: &ProbeId) {
        self.all().entry(source.clone()).or_default();
    }

    /// From now on there is none of this name.
    pub(super) fn forget(&self, source: &ProbeId) {
        self.all().remove(source);
    }

    pub(super) fn request(&self, source: &ProbeId) {
        self.change(source, |reading| reading.requests += 1);
    }

    pub(super) fn slots(&self, source: &ProbeId, known: bool, n: u32) {
        self.change(source, |reading| match known {
            true => reading.counted += u64::from(n),
            false => reading.unknown += u64::from(n),
        });
    }

    pub(super) fn outcome(
        &self,
        source: &ProbeId,
        failure: Option<Failure>,
        detail: Option<String>,
        at: Timestamp,
    ) {
        self.change(source, |reading| match failure {
            None => (reading.success_at, reading.why) = (Some(at), None),
            Some(failure) => {
                reading.failures[failure as usize] += 1;
                let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
                reading.why = Some(format!("{}{detail}", failure.word()));
            }
        });
    }

    fn change(&self, source: &ProbeId, change: impl FnOnce(&mut Reading)) {
        if let Some(reading) = self.all().get_mut(source) {
            change(reading);
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ProbeId, Reading>> {
        // A writer cannot leave it half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
