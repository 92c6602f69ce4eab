//! Decisions: what the observations so far mean, for every SLO, at every second.
//!
//! Pure: `(state, event, now) -> effects`. Does no I/O, reads no clock, draws no randomness and
//! logs nothing; the daemon carries events in and effects out. The same code runs live and in
//! `backtest`.

pub mod alert;
pub mod amend;
pub mod backtest;
pub mod book;
pub mod correlation;
pub mod counters;
pub mod evaluate;
pub mod exponential;
pub mod fault;
pub mod feasibility;
pub mod fit;
pub mod forecast;
mod identity;
pub mod intake;
pub mod isolation;
pub mod monitor;
pub mod render;
pub mod report;
pub mod revision;
pub mod roll;
pub mod sampler;
pub mod schedule;
pub mod series;
pub mod slices;
pub mod state;
pub mod status;
pub mod steady;
pub mod subject;
pub mod witness;

pub use alert::{Alert, AlertKind, Notice};
pub use book::{Book, Touch, TouchKind};
pub use fault::Cause;
pub use isolation::{Counted, Isolation, Report};
pub use monitor::{Blindness, Effect, Engine, EngineStats, Options};
pub use revision::Revision;
pub use state::{ProbeState, SloState};
pub use status::{Accounting, Burn, Coverage, Exhaustion, SloStatus};
