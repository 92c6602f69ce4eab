//! The words of `nines` as types: time, outcomes, tallies, objectives, budgets and catalogue.
//!
//! Pure: no I/O, no clock, no randomness, no logging, no YAML, no HTTP. What it keeps true:
//! counts are integers, objectives are exact, and a wrong value cannot be constructed.

pub mod budget;
pub mod catalog;
pub mod check;
pub mod composition;
pub mod correction;
pub mod decimal;
pub mod egress;
pub mod evidence;
pub mod history;
pub mod latency;
pub mod maintenance;
pub mod name;
pub mod number;
pub mod objective;
pub mod observation;
pub mod outcome;
pub mod policy;
pub mod recurrence;
pub mod settings;
pub mod source;
pub mod tally;
pub mod text;
pub mod time;
pub mod uptime;
pub mod web;
pub mod wide;
pub mod window;
pub mod worst;

pub use catalog::{Application, Catalog, Part, Probe, Service, Slo, SupportTier, Weight};
pub use check::Check;
pub use correction::Correction;
pub use egress::Egress;
pub use history::{Record, Run, SeriesId, Slice};
pub use latency::Latencies;
pub use maintenance::Maintenance;
pub use name::{Name, ProbeId, SloId};
pub use objective::{Objective, Share};
pub use observation::{Observation, Phases};
pub use outcome::{BadReason, Counts, Outcome, UnknownReason, Verdict};
pub use policy::{AlertPolicy, Limit, Pair, Severity, ShortThreshold};
pub use settings::Settings;
pub use source::Source;
pub use tally::Tally;
pub use text::ParseError;
pub use time::Timestamp;
pub use window::Window;
