//! `nines rules`: Prometheus rules that page in place of the daemon (`alerting.mode: rules`).

use std::io::Write;

use anyhow::Context;

use crate::model::Catalog;
use crate::notify::rules;

/// Writes the rule file for this catalogue.
///
/// # Errors
/// The output cannot be written.
pub fn run(catalog: &Catalog, out: &mut dyn Write) -> anyhow::Result<()> {
    let text = rules::file(catalog).context("the rules cannot be written as YAML")?;
    out.write_all(text.as_bytes())?;
    Ok(())
}
