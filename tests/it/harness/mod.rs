//! Real servers around the real daemon: each on a free loopback port, in a directory of its own,
//! stopped by its own process id, killed when dropped.
//!
//! A missing program is a failure that names the Debian package, never a skipped test. Waiting is
//! polling a condition with a deadline ([`wait`]); nothing sleeps for luck.

pub mod alertmanager;
pub mod browser;
pub mod daemon;
pub mod disk;
pub mod exposition;
pub mod http;
pub mod load;
pub mod namespace;
pub mod nginx;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod promtool;
pub mod server;
pub mod specs;
pub mod target;
pub mod wait;
pub mod webhook;

mod works;

pub use alertmanager::Alertmanager;
pub use daemon::{Daemon, Place};
pub use exposition::Exposition;
pub use namespace::Namespace;
pub use nginx::Nginx;
pub use prometheus::Prometheus;
pub use target::{Behaviour, Target};
pub use wait::{throughout, until};
pub use webhook::Webhook;

/// A directory for one test under the build's own scratch space; removed when dropped.
pub fn scratch(name: &str) -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("the build's scratch directory is writable")
}
