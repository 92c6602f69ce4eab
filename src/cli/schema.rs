//! `nines schema`: the JSON Schema of the files, for editors.

use std::io::Write;

use crate::spec::schema::{self, Which};

/// Writes the JSON Schema (draft 2020-12) of one document of such a file.
///
/// # Errors
/// It cannot be written.
pub fn json(which: Which, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{:#}", schema::json(which))?;
    Ok(())
}
