//! Alerts: their names, labels and life.
//!
//! An alert fires at the tick at which its condition first holds and resolves at the tick at
//! which it first does not; there is no waiting time. Labels never carry a value that changes,
//! so an alert keeps its identity; values live in annotations. While firing it is sent again
//! every resend delay, once resolved it is sent again for fifteen minutes, and it carries an end
//! four delays ahead, so that it outlives a lost message but not a dead monitor.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Severity, SloId, Timestamp};

/// How long a resolved alert is still sent.
pub const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);

/// The alerts there are. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// A page pair of the policy fires.
    BurnFast,
    /// A ticket pair of the policy fires.
    BurnSlow,
    /// The whole budget is spent.
    Exhausted,
    /// Nothing was measured for a while.
    NoData,
    /// Always fires, so that its absence can be noticed.
    Watchdog,
}

impl AlertKind {
    /// The alerts that every SLO has.
    pub const OF_SLO: [AlertKind; 4] =
        [AlertKind::BurnFast, AlertKind::BurnSlow, AlertKind::Exhausted, AlertKind::NoData];

    /// The `alertname` label.
    pub const fn name(self) -> &'static str {
        match self {
            AlertKind::BurnFast => "NinesErrorBudgetBurnFast",
            AlertKind::BurnSlow => "NinesErrorBudgetBurnSlow",
            AlertKind::Exhausted => "NinesErrorBudgetExhausted",
            AlertKind::NoData => "NinesNoData",
            AlertKind::Watchdog => "Watchdog",
        }
    }

    /// The `severity` label.
    pub const fn severity(self) -> &'static str {
        match self {
            AlertKind::BurnFast => "critical",
            AlertKind::BurnSlow | AlertKind::Exhausted | AlertKind::NoData => "warning",
            AlertKind::Watchdog => "none",
        }
    }

    /// The alert that pairs of this severity raise.
    pub const fn of(severity: Severity) -> Self {
        match severity {
            Severity::Page => AlertKind::BurnFast,
            Severity::Ticket => AlertKind::BurnSlow,
        }
    }
}

/// One alert of one SLO, with its life so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Which one.
    pub kind: AlertKind,
    /// Whose; none for the watchdog.
    pub slo: Option<SloId>,
    /// The labels that identify it, `alertname` and `severity` included.
    pub labels: BTreeMap<&'static str, String>,
    /// What people read: `summary`, `description` and the links the service declares.
    pub annotations: BTreeMap<String, String>,
    /// Where it stands.
    pub life: Life,
    /// The tick of the evaluation that this describes.
    pub evaluated_at: Timestamp,
}

/// Where an alert stands. Survives a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Since when it fires, in microseconds since the epoch; of the last firing when resolved.
    pub fired_at: Option<i64>,
    /// When it resolved; none while it fires.
    pub resolved_at: Option<i64>,
    /// When it was last sent.
    #[serde(skip)]
    pub sent_at: Option<i64>,
}

/// One alert as it is sent to an Alertmanager.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The identity.
    pub labels: BTreeMap<&'static str, String>,
    /// What people read.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires; the same in firing and resolved messages.
    pub starts_at: Timestamp,
    /// For a firing alert when it lapses unless sent again; for a resolved one when it resolved.
    pub ends_at: Timestamp,
    /// Whether `ends_at` says that it is over.
    pub resolved: bool,
    /// The path and query, below the external URL, of the page that shows it.
    pub path: String,
}
