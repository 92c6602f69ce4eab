//! The names of our metrics: what boards and docs may name. That the exporter has every one of
//! them is shown where a real daemon is scraped.

/// Every family that `/metrics` can show.
pub const KNOWN: &[&str] = &[
    "nines_application_fit",
    "nines_application_supported_ratio",
    "nines_blind",
    "nines_build_info",
    "nines_clock_offset_seconds",
    "nines_config_last_reload_success_timestamp_seconds",
    "nines_config_last_reload_successful",
    "nines_correlated_failure",
    "nines_engine_duplicate_results_total",
    "nines_engine_history_runs",
    "nines_engine_joined_revisions_total",
    "nines_engine_lost_slots_total",
    "nines_engine_stranger_results_total",
    "nines_evaluation_duration_seconds",
    "nines_exposed_series",
    "nines_http_connection_waits_total",
    "nines_http_connections",
    "nines_http_connections_evicted_total",
    "nines_http_connections_stalled_total",
    "nines_isolated",
    "nines_isolation_overflows_total",
    "nines_isolation_waiting_slots",
    "nines_ledger_append_duration_seconds",
    "nines_ledger_commit_failures_total",
    "nines_ledger_failing",
    "nines_ledger_last_durable_timestamp_seconds",
    "nines_ledger_lost_records_total",
    "nines_ledger_queue_length",
    "nines_ledger_shed_successes_total",
    "nines_ledger_size_bytes",
    "nines_ledger_sync_duration_seconds",
    "nines_notifications_dropped_total",
    "nines_notifications_errors_total",
    "nines_notifications_queue_length",
    "nines_notifications_sent_total",
    "nines_probe_duration_seconds",
    "nines_probe_egress_denied_total",
    "nines_probe_failures_total",
    "nines_probe_last_run_timestamp_seconds",
    "nines_probe_missed_starts_total",
    "nines_probe_phase_seconds_total",
    "nines_probe_start_lag_seconds",
    "nines_probe_success",
    "nines_probe_unknown_total",
    "nines_probes_in_flight",
    "nines_probes_in_flight_limit",
    "nines_probes_total",
    "nines_reference_runs_total",
    "nines_reference_up",
    "nines_scheduler_lag_seconds",
    "nines_self_fault_seconds_total",
    "nines_self_faults_total",
    "nines_self_unknown_slots_total",
    "nines_slo_alert_firing",
    "nines_slo_bad_total",
    "nines_slo_burn_rate",
    "nines_slo_coverage_ratio",
    "nines_slo_error_budget_left_ratio",
    "nines_slo_error_budget_left_seconds",
    "nines_slo_evidence",
    "nines_slo_excluded_total",
    "nines_slo_exhaustion_seconds",
    "nines_slo_good_total",
    "nines_slo_info",
    "nines_slo_last_evaluation_timestamp_seconds",
    "nines_slo_maintenance",
    "nines_slo_objective_ratio",
    "nines_slo_sli_ratio",
    "nines_slo_supported_ratio",
    "nines_slo_unknown_total",
    "nines_slo_window_seconds",
    "nines_source_failures_total",
    "nines_source_intervals_counted_total",
    "nines_source_intervals_unknown_total",
    "nines_source_last_success_timestamp_seconds",
    "nines_source_requests_total",
    "nines_tls_certificate_not_after_timestamp_seconds",
];

/// Families that only some targets, or some configurations, have.
pub const SELDOM: &[&str] = &[
    "nines_application_fit",
    "nines_application_supported_ratio",
    "nines_reference_runs_total",
    "nines_reference_up",
    "nines_source_failures_total",
    "nines_source_intervals_counted_total",
    "nines_source_intervals_unknown_total",
    "nines_source_last_success_timestamp_seconds",
    "nines_source_requests_total",
    "nines_tls_certificate_not_after_timestamp_seconds",
];

/// Every metric name in `text` that is not in `known`. Histograms are known by their family.
pub fn unknown_in(text: &str, known: &[&str]) -> Vec<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = text.split(|c: char| !word(c)).filter(|name| name.starts_with("nines_"));
    let is_known = |name: &str| {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
        known.contains(&name) || family.is_some_and(|family| known.contains(&family))
    };
    names.filter(|name| !is_known(name)).map(|name| format!("no metric {name}")).collect()
}

#[test]
fn unknown_metrics_are_found_in_any_text() {
    let check = |text: &str, expect: &[&str]| {
        assert_eq!(unknown_in(text, &["nines_a_total", "nines_b_seconds"]), expect, "{text}");
    };
    check("rate(nines_a_total[5m]) of `nines_b_seconds_bucket{le=\"1\"}`", &[]);
    check("nines_a and nines_a_total_bucket", &["no metric nines_a"]);
    check("run nines_c{x=\"y\"} by nines", &["no metric nines_c"]);
}
