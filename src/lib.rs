//! `nines`: an SLO monitor that probes, counts exactly, evaluates error budgets and pages.
//!
//! Folders are layers; each looks only to the left:
//!
//! `model <- spec <- engine <- {probe, source, ledger, notify, serve} <- daemon <- cli <- main`

pub mod cli;
pub mod clock;
pub mod daemon;
pub mod engine;
pub mod ledger;
pub mod model;
pub mod notify;
pub mod probe;
pub mod serve;
pub mod source;
pub mod spec;
