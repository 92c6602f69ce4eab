//! `promtool` and `amtool`: second opinions on what we write.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::{Ran, program, run};

const LIMIT: Duration = Duration::from_secs(60);

/// Lints an exposition in text format.
pub fn check_metrics(exposition: &[u8]) -> Ran {
    promtool(&["check", "metrics"], exposition)
}

/// Checks a file of rules, every lint being fatal.
pub fn check_rules(file: &Path) -> Ran {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", &file.to_string_lossy()], b"")
}

/// Runs a file of rule tests.
pub fn test_rules(file: &Path) -> Ran {
    promtool(&["test", "rules", &file.to_string_lossy()], b"")
}

/// Checks a configuration of Prometheus and the rules that it names.
pub fn check_config(file: &Path) -> Ran {
    promtool(&["check", "config", &file.to_string_lossy()], b"")
}

/// Runs `amtool` with these arguments.
pub fn amtool(args: &[&str]) -> Ran {
    let mut command = Command::new(program("amtool", "prometheus-alertmanager"));
    run("amtool", command.args(args), b"", LIMIT)
}

fn promtool(args: &[&str], input: &[u8]) -> Ran {
    let mut command = Command::new(program("promtool", "prometheus"));
    run("promtool", command.args(args), input, LIMIT)
}
