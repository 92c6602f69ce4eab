//! What others read: `/metrics`, the API and the pages.
//!
//! Renders what the engine knows and decides nothing; read-only but for reload and quit, which
//! it passes on. Answers from memory: no request makes anything be probed, stored or sent.

mod api;
mod badge;
mod body;
mod condition;
mod connections;
pub mod exposition;
pub mod faults;
mod fit;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
pub mod gate;
pub mod metrics;
mod negotiate;
mod number;
pub mod own;
mod page;
mod problem;
mod promapi;
mod protobuf;
mod report;
pub mod results;
mod routes;
mod scrape;
mod server;
mod site;
pub mod sources;

pub use connections::places;
pub use exposition::Exposition;
pub use gate::Gate;
pub use own::SelfMetrics;
pub use report::Archive;
pub use server::Server;
pub use site::{Command, Load, Readiness, ReloadFailure, Site};

#[cfg(test)]
mod fixture;
