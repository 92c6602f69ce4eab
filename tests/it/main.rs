//! Tests of the whole, in one binary.

mod e2e_web;
mod harness;
mod metrics;
mod openslo;
mod published;

mod backtest;
mod dashboards;
mod deploy;
mod simulator;
mod tidy;
mod tutorial;

mod bench_fit;
mod bench_rules;
mod bench_scale;
mod bench_smoke;
mod bench_soak;
mod composite;
mod composite_agreements;
mod e2e_alerting;
mod e2e_amend;
mod e2e_bad_alertmanager;
mod e2e_bad_inputs;
mod e2e_dashboards;
mod e2e_demo;
mod e2e_disk;
mod e2e_fit;
mod e2e_hostile_clients;
mod e2e_hostile_targets;
mod e2e_kill;
mod e2e_openapi;
mod e2e_reload;
mod e2e_report;
mod e2e_scrape;
mod e2e_secrets;
mod e2e_self_isolation;
mod e2e_self_limits;
mod e2e_self_time;
mod e2e_source_prometheus;
mod e2e_source_push;
mod e2e_surface;
mod ledger;
mod ledger_commands;
mod ledger_golden;
mod report;
