//! What was measured of one promise, as the gates look at it.

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::status::{Coverage, SloStatus};
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
    /// Known time and outages since what is promised has been the same.
    pub record: Record,
}

impl Measured {
    /// From an evaluation.
    pub fn of(status: &SloStatus) -> Self {
        Measured {
            at: status.at,
            counted: status.budget.counted,
            unknown: status.tally.unknown,
            coverage: status.coverage,
            evidence: status.evidence,
            supported_ppb: status.proof.supported_ppb,
            assumed_outage: status.proof.assumed_outage,
            record: status.proof.record,
        }
    }
}

impl Engine {
    /// What is known of this SLO as of its last evaluation; none before the first event.
    pub fn measured(&self, id: &SloId) -> Option<Measured> {
        let state = self.slo(id.as_str())?;
        let status = state.status.as_ref().filter(|status| status.budget.counted.total() > 0)?;
        Some(Measured::of(status))
    }
}
