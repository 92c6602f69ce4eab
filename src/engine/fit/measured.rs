//! What was measured of one promise, as the gates look at it.

use std::time::Duration;

use crate::engine::status::{Coverage, SloStatus};
use crate::engine::{Engine, evaluate::Histories};
use crate::model::budget::Counted;
use crate::model::evidence::{Evidence, Record};
use crate::model::{SloId, Timestamp};

/// One SLO's window and history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// When that was.
    pub at: Timestamp,
    /// What counted in the window.
    pub counted: Counted,
    /// Slots of the window that could not be measured.
    pub unknown: u64,
    /// How much of the window was observed.
    pub coverage: Coverage,
    /// What may be claimed about its own promise.
    pub evidence: Evidence,
    /// The availability that the history supports at 95 %, in parts per billion.
    pub supported_ppb: Option<u32>,
    /// The mean outage length that the evidence assumes.
    pub assumed_outage: Duration,
    /// Known time and outages of the whole history.
    pub record: Record,
}

impl Measured {
    /// From an evaluation and the histories behind it.
    pub fn of(status: &SloStatus, histories: Histories<'_>) -> Self {
        Measured {
            at: status.at,
            counted: status.budget.counted,
            unknown: status.tally.unknown,
            coverage: status.coverage,
            evidence: status.evidence,
            supported_ppb: status.supported_ppb,
            assumed_outage: status.assumed_outage,
            record: histories.record(),
        }
    }
}

impl Engine {
    /// What is known of this SLO as of its last evaluation; none before the first event.
    pub fn measured(&self, id: &SloId) -> Option<Measured> {
        let state = self.slo(id.as_str())?;
        let status = state.status.as_ref().filter(|status| status.budget.counted.total() > 0)?;
        Some(Measured::of(status, self.histories(state)))
    }
}
