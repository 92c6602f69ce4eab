//! What one probe costs beside a bare loop over sockets: `cargo bench --bench probe`.
//!
//! `cargo bench --bench probe -- [PROBES [INTERVAL_MS [SECONDS]]]`, 200 probes every 100 ms,
//! measured for 5 seconds, unless told otherwise. The target is this program again, in a process
//! of its own. With many seconds it is a soak: the last line says how memory went. Other
//! programs are measured only where nothing is told.

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
    let probes = args.next();
    let interval = Duration::from_millis(args.next().unwrap_or(100).into());
    let plan = Plan {
        probes: probes.unwrap_or(200),
        interval,
        warm_up: interval.max(Duration::from_secs(2)),
        measured: Duration::from_secs(args.next().unwrap_or(5).into()).max(interval),
        bare: 5_000,
        blackbox: if probes.is_none() { 1_000 } else { 0 },
        scraped: (100, Duration::from_secs(10)),
    };
    let me = std::env::current_exe().expect("this program is a file");
    println!("{}", run(&plan, Command::new(me)));
}
