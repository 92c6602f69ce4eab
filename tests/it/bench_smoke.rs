//! The benchmark of probing, tiny: it runs, and counts every slot. Asserts no times.

use std::process::Command;
use std::time::Duration;

#[path = "../../benches/support/probe.rs"]
mod probe;

/// The target of the benchmark. Does nothing in an ordinary run.
#[test]
fn a_child_serves_until_it_is_orphaned() {
    if std::env::var_os(probe::SERVE).is_some() {
        probe::serve();
    }
}

#[test]
fn the_probe_bench_runs_and_counts_every_slot() {
    let mut target = Command::new(std::env::current_exe().expect("this test is a file"));
    target.args(["--exact", "bench_smoke::a_child_serves_until_it_is_orphaned", "--nocapture"]);
    let plan = probe::Plan {
        probes: 5,
        interval: Duration::from_millis(100),
        warm_up: Duration::from_millis(200),
        measured: Duration::from_secs(1),
        bare: 20,
        blackbox: 5,
        scraped: (3, Duration::from_secs(1)),
    };
    let figures = probe::run(&plan, target);
    // Fifty slots and what the edges of the measurement add.
    let (n_slots, n_good) = figures.n_slots;
    assert!(n_slots >= 50 && n_good > 0 && n_good <= n_slots, "{figures}");
    assert!(figures.full.n >= n_good && figures.lags.len() == figures.full.n, "{figures}");
    assert_eq!((figures.bare.n, figures.blackbox.as_ref().map_or(5, |cost| cost.n)), (20, 5));
    // Three targets, each once a second, and what the edges of the measurement add or take.
    let scraped = figures.scraped.as_ref().map_or(3, |(exporter, _)| exporter.n);
    assert!((1..=12).contains(&scraped), "{figures}");
    assert!(figures.memory.len() == 60 && figures.memory.iter().all(|(_, kib)| *kib > 0.0));
}
