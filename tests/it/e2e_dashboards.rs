//! Every query of every board, on a real Prometheus that scrapes a real daemon in the middle of
//! an outage.

use std::time::Duration;

use crate::dashboards::{boards, fill};
use crate::harness::{Behaviour, Daemon, Prometheus, Target, promtool, scratch, specs, until};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn every_panel_shows_finite_numbers_during_an_outage() {
    let target = Target::start();
    // The built-in policy, because the boards name its windows.
    let daemon = Daemon::start(&specs::under_policy(&target.url(), "workbook", "3d"), &[]);
    let prometheus = Prometheus::scraping(&[("nines", daemon.address().to_string())]);
    until("healthy history", SOON, || daemon.status(specs::SLO).filter(|s| s.totals.good >= 20));
    target.behave(Behaviour::Status(503));
    prometheus.wait_for("rate(nines_slo_bad_total[10s]) > 0.5", SOON);
    for board in boards() {
        for query in board.queries() {
            let what = format!("{}: {}: {}", board.name, query.panel, query.expr);
            let samples = prometheus
                .query(&fill(&query.expr, specs::SLO))
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(!samples.is_empty(), "no data: {what}");
            let finite = samples.iter().all(|(_, value)| value.is_finite());
            assert!(finite, "not finite: {what}: {samples:?}");
        }
    }
    let plausible = |expr: &str, low: f64, high: f64| {
        let value = prometheus.wait_for(expr, SOON)[0].1;
        assert!((low..=high).contains(&value), "{expr} = {value}");
    };
    plausible("nines_slo_error_budget_left_ratio", -1e3, -1e-9);
    plausible("nines_slo_sli_ratio", 0.05, 0.99);
    plausible("nines_slo_objective_ratio", 0.99, 0.99);
    plausible("max(nines_slo_burn_rate)", 1.0, 100.0);
    plausible("sum(rate(nines_probes_total[10s]))", 1.0, 3.0);
}

/// Without a daemon: Debian's Prometheus accepts every query, whatever our own parser says.
#[test]
fn every_query_is_promql_to_prometheus_itself() {
    let dir = scratch("queries");
    let file = dir.path().join("rules.yml");
    let queries = boards().iter().flat_map(|board| board.queries()).collect::<Vec<_>>();
    let rules = queries.iter().enumerate().map(|(n, query)| {
        serde_json::json!({"record": format!("q:{n}"), "expr": fill(&query.expr, specs::SLO)})
    });
    let rules: Vec<_> = rules.collect();
    let group = serde_json::json!({"groups": [{"name": "boards", "rules": rules}]});
    std::fs::write(&file, group.to_string()).expect("writable");
    let checked = promtool::check_rules(&file);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}
