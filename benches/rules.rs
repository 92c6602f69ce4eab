//! Evaluation beside Prometheus rules for the same SLOs: `cargo bench --bench rules`.
//!
//! `cargo bench --bench rules -- [SLOS [SECONDS]]`, 300 SLOs for 60 seconds unless told otherwise.
//! Needs Debian's `prometheus`.

use std::time::Duration;

#[path = "support/rules.rs"]
mod support;

use support::{Plan, is_installed, run};

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u32>().ok());
    let n_slos = args.next().unwrap_or(300).max(1);
    let measured = Duration::from_secs(args.next().unwrap_or(60).into());
    if !is_installed() {
        println!("install prometheus for this comparison");
        return;
    }
    println!("{}", run(&Plan { n_slos, every: Duration::from_secs(5), measured }));
}
