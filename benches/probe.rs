//! What one probe costs beside a bare loop over sockets: `cargo bench --bench probe`.
//!
//! `cargo bench --bench probe -- [PROBES [INTERVAL_MS]]`, 200 probes every 100 ms unless told
//! otherwise. The target is this program again, in a process of its own.

use std::process::Command;
use std::time::Duration;

#[path = "support/probe.rs"]
mod support;

use support::{Plan, SERVE, run, serve};

fn main() {
    if std::env::var_os(SERVE).is_some() {
        return serve();
    }
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u32>().ok());
    let plan = Plan {
        probes: args.next().unwrap_or(200),
        interval: Duration::from_millis(args.next().unwrap_or(100).into()),
        warm_up: Duration::from_secs(2),
        measured: Duration::from_secs(5),
        bare: 5_000,
        blackbox: 1_000,
    };
    let me = std::env::current_exe().expect("this program is a file");
    println!("{}", run(&plan, Command::new(me)));
}
