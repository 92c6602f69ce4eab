//! What the ledger costs: `cargo bench --bench ledger`.
//!
//! `cargo bench --bench ledger -- [SERIES [DAYS]]`, 10,000 series and 30 days unless told
//! otherwise, in a temporary directory on the disk of `TMPDIR`.

#[path = "support/ledger.rs"]
mod support;

use support::{Plan, run};

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u32>().ok());
    let series = args.next().unwrap_or(10_000).max(1);
    let days = args.next().unwrap_or(30).max(1);
    run(Plan { series, days, commits: (300, 100) });
}
