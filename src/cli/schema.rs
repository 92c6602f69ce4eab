//! `nines schema`: the JSON Schema of the files, for editors, or their keys as Markdown.

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

/// Writes every key of such a file as Markdown tables.
///
/// # Errors
/// It cannot be written.
pub fn markdown(which: Which, out: &mut dyn Write) -> anyhow::Result<()> {
    for table in schema::tables(which) {
        writeln!(out, "### {}\n\n{}\n", table.name, table.doc)?;
        writeln!(out, "| key | value | default | meaning |\n|---|---|---|---|")?;
        for row in table.rows {
            writeln!(out, "{row}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
