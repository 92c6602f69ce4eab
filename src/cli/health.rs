//! `nines health`: whether a daemon is healthy and ready; for container health checks.

use std::io::Write;

use anyhow::bail;

use super::client;

/// Asks, prints one line and fails unless the daemon is both.
///
/// # Errors
/// No answer, or an answer that says no.
pub fn run(url: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    for path in ["/-/healthy", "/-/ready"] {
        let (status, body) = client::get(url, path)?;
        if status != 200 {
            bail!("{url}{path} answered {status}: {}", body.trim());
        }
    }
    writeln!(out, "healthy and ready")?;
    Ok(())
}
