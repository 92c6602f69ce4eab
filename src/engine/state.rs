//! What the engine holds for each SLO and each probe, as the surfaces read it.

use std::sync::Arc;

use crate::model::{Probe, SeriesId, Slo};

use super::alert::Alert;
use super::counters::Counters;
use super::slices::Slices;
use super::status::SloStatus;

/// One SLO as it stands.
#[derive(Clone, Debug)]
pub struct SloState {
    /// The declaration.
    pub slo: Slo,
    /// The owner of its service, or nothing.
    pub team: String,
    /// The latest evaluation; none before the first tick.
    pub status: Option<SloStatus>,
    /// Its alerts, in the order of `AlertKind::OF_SLO`.
    pub alerts: Vec<Alert>,
    /// Positions of its indicators.
    pub(super) indicators: Vec<usize>,
    /// Its history in slices, if it counts those.
    pub(super) slices: Option<Slices>,
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
