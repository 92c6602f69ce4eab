//! `nines health`: whether a daemon is healthy and ready; for container health checks.

use std::io::Write;

use anyhow::bail;

use super::client::Daemon;

/// Asks, prints one line and fails unless the daemon is both.
///
/// # Errors
/// No answer, or an answer that says no.
pub fn run(daemon: &Daemon, out: &mut dyn Write) -> anyhow::Result<()> {
    for path in ["/-/healthy", "/-/ready"] {
        let (status, body) = daemon.get(path)?;
        if status != 200 {
            bail!("{}{path} answered {status}: {}", daemon.url, body.trim());
        }
    }
    writeln!(out, "healthy and ready")?;
    Ok(())
}
