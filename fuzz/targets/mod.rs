//! One file a target: what it feeds, and what must hold whatever is fed.

mod certificate;
mod config;
mod dns;
mod events;
mod exposition;
mod http1;
mod http2;
mod ledger_batch;
mod ledger_slice;
mod request;
mod shared;
mod specs;

/// What runs one input.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const ALL: [(&str, Target); 11] = [
    ("certificate", certificate::run),
    ("config", config::run),
    ("dns", dns::run),
    ("events", events::run),
    ("exposition", exposition::run),
    ("http1", http1::run),
    ("http2", http2::run),
    ("ledger_batch", ledger_batch::run),
    ("ledger_slice", ledger_slice::run),
    ("request", request::run),
    ("specs", specs::run),
];
