//! Memory over weeks that pass in seconds: `cargo bench --bench soak`.
//!
//! `cargo bench --bench soak -- [SERIES [DAYS]]`, 20 series over 21 days unless told otherwise:
//! healthy ones, ones with an outage a day, and ones of which every other slot is bad. Each has a
//! process of its own, so that what one leaves behind in memory is not counted with the next.

use std::process::Command;

#[path = "support/soak.rs"]
mod soak;

use soak::{KINDS, Plan};

/// Says in the environment of a process which kind of target it simulates.
const KIND: &str = "NINES_BENCH_KIND";

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u32>().ok());
    let (n_series, days) = (args.next().unwrap_or(20), args.next().unwrap_or(21));
    let plan = Plan { n_series, interval: 10, days };
    if let Ok(kind) = std::env::var(KIND) {
        let kind = KINDS.iter().find(|(name, _)| *name == kind).expect("one of the kinds");
        soak::print(*kind, plan, &soak::run(*kind, plan));
        return;
    }
    let itself = std::env::current_exe().expect("a path");
    for (kind, _) in KINDS {
        let arguments = [plan.n_series.to_string(), plan.days.to_string()];
        let done = Command::new(&itself).args(arguments).env(KIND, kind).status();
        assert!(done.expect("starts").success(), "{kind}");
    }
}
