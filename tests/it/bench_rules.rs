//! The benchmark of evaluation beside Prometheus rules, tiny: both evaluate, and the rules find
//! every SLO. Asserts no times.

use std::time::Duration;

#[path = "../../benches/support/rules.rs"]
mod rules;

#[test]
fn prometheus_and_the_engine_evaluate_the_same_slos() {
    assert!(rules::is_installed(), "install prometheus");
    let (every, measured) = (Duration::from_secs(1), Duration::from_secs(4));
    let figures = rules::run(&rules::Plan { n_slos: 3, every, measured });
    assert_eq!(figures.n_recorded, 3, "{figures}");
    assert!(figures.n_rules >= 10 && figures.ours.nanos > 0, "{figures}");
    // Four seconds and what the edges add or take, which on a busy machine is much.
    assert!(figures.ours.n >= 3 && figures.theirs.n >= 1, "{figures}");
}
