//! What a large platform costs: start-up, memory, ticks and scrapes.
//!
//! `cargo bench --bench scale [SLOS [DAYS]]`, 10,000 SLOs and 30 days unless told otherwise, in a
//! temporary directory on the disk of `TMPDIR`. Filling the ledger takes a process of its own, so
//! that what it leaves behind in memory is not counted.

use std::path::PathBuf;
use std::process::Command;

#[path = "support/scale.rs"]
mod scale;

/// Says in the environment of the second process which ledger it fills.
const FILL: &str = "NINES_BENCH_FILL";

/// Names in the environment a ledger that was filled before, to be measured again.
const FILLED: &str = "NINES_BENCH_FILLED";

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u32>().ok());
    let n_slos = args.next().unwrap_or(10_000).max(1);
    let days = args.next().unwrap_or(30);
    let size = scale::Size { n_slos, days, n_ticks: 120 };
    if let Some(path) = std::env::var_os(FILL) {
        scale::fill(&PathBuf::from(path), size);
        return;
    }
    if let Some(path) = std::env::var_os(FILLED) {
        return scale::measure(&PathBuf::from(path), size);
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let itself = std::env::current_exe().expect("a path");
    let arguments = [n_slos.to_string(), days.to_string()];
    let filled = Command::new(itself).args(arguments).env(FILL, directory.path()).status();
    assert!(filled.expect("starts").success(), "the ledger is filled");
    scale::measure(directory.path(), size);
}
