//! What the engine holds for each SLO and each probe, as the surfaces read it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Probe, SeriesId, Slo, Timestamp};

use super::alert::Alert;
use super::amend::{Amended, Amendments, Ongoing};
use super::counters::Counters;
use super::monitor::{Epoch, Shift};
use super::revision::{Revision, Revisions};
use super::slices::Slices;
use super::slices::union::Union;
use super::status::SloStatus;
use super::steady::Steady;

/// One SLO as it stands.
#[derive(Clone, Debug)]
pub struct SloState {
    /// The declaration.
    pub slo: Slo,
    /// The owner of its service, or nothing.
    pub team: String,
    /// The latest evaluation; none before the first tick.
    pub status: Option<SloStatus>,
    /// Until when the next ticks find the same.
    pub(super) steady: Steady,
    /// Its alerts, in the order of `AlertKind::OF_SLO`.
    pub alerts: Vec<Alert>,
    /// What it promised when, and the histories that this rests on.
    pub(super) account: Account,
    /// Its history in slices, if it counts those.
    pub(super) slices: Option<Slices>,
    /// The slices of its parts as its own, if it is made of SLOs that count those.
    pub(super) union: Option<Union>,
    /// What says how its slots are to count.
    pub(super) amendments: Amendments,
    /// Its history as it is to count, if that is not as it was measured.
    pub(super) amended: Option<Amended>,
    /// The same of the intervals of an SLO that somebody else counts.
    pub(super) amended_intervals: Option<Amended>,
    /// The series that `amended` was derived from, and the epoch.
    pub(super) laid_over: (Vec<SeriesId>, Epoch),
    /// The epoch as `amended` has it.
    pub(super) amended_epoch: Epoch,
    /// Which Maintenance goes on, as of the last tick.
    pub(super) ongoing: Option<Ongoing>,
    /// How far its counters are from what was measured.
    pub(super) shift: Shift,
    /// Up to when that is so.
    pub(super) counted_until: Option<Timestamp>,
    /// When its probes last changed in a reload: until a while after, no data is no surprise.
    pub(super) disturbed: Option<Timestamp>,
}

/// What an SLO promised when, and the histories that this rests on. Outlives the declaration for
/// a while, so that an SLO that comes back goes on where it was.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// What was promised when.
    pub revisions: Revisions,
    /// Every series that counts, or did under an older revision.
    pub series: Vec<SeriesId>,
    /// Positions of the indicators, one for each of `series`.
    pub indicators: Vec<usize>,
    /// Those of `series` that somebody else counts.
    pub counted: Vec<SeriesId>,
    /// Positions of the histories of their intervals, measured or not, one for each of those.
    pub intervals: Vec<usize>,
    /// Positions of the lines, one for each of `series`.
    pub lines: Vec<usize>,
    /// How far back the histories are needed.
    pub memory: Duration,
    /// Since when evidence counts.
    pub epoch: Epoch,
}

impl SloState {
    /// What it promised when, oldest first; the last is in force, or about to be.
    pub fn revisions(&self) -> &[Revision] {
        self.account.revisions.all()
    }

    /// Since when evidence counts.
    pub(super) fn epoch(&self) -> Epoch {
        let epoch = if self.amended.is_some() { self.amended_epoch } else { self.account.epoch };
        // Outages in slots before it are no outages in slices.
        self.slices.as_ref().map_or(epoch, |slices| epoch.over(slices.histories()))
    }

    /// Makes the evaluation be that of `now`, if it is the same still; false if it may not be.
    pub(super) fn go_on(&mut self, now: Timestamp) -> bool {
        let steady = self.steady.holds_at(now);
        if let Some(status) = self.status.as_mut().filter(|_| steady)
            && status.at < now.floor_second()
        {
            self.steady.move_on(status, now.floor_second());
            self.counted_until = Some(now.floor_second());
        }
        steady
    }

    /// Whether it never promised anything else than it does now.
    pub(super) fn promised_always(&self) -> bool {
        let revisions = self.revisions();
        revisions.len() <= 1 && revisions.iter().all(|only| only.from == Timestamp::MIN)
    }

    /// The SLO as it was promised at a tick.
    pub fn slo_at(&self, at: Timestamp) -> Cow<'_, Slo> {
        let latest = self.revisions().last().is_none_or(|latest| latest.from <= at);
        match self.account.revisions.in_force(at).filter(|_| !latest) {
            Some(revision) => Cow::Owned(revision.of(&self.slo)),
            None => Cow::Borrowed(&self.slo),
        }
    }
}

/// One probe as it stands.
#[derive(Clone, Debug)]
pub struct ProbeState {
    /// The declaration.
    pub probe: Probe,
    /// Its history's number.
    pub series: SeriesId,
    /// From where it runs.
    pub vantage: Arc<str>,
    /// Its totals since this process started.
    pub counters: Counters,
}
