//! A report for a terminal.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde_json::Value;

use super::{HEADINGS, items, line, text, title, worst};
use crate::cli::slo::trim_lines;

/// Writes it: the headline, a line for each objective, then each in detail.
pub fn write(report: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}\n{}\n", title(report), text(&report["headline"]))?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEADINGS.map(str::to_uppercase));
    for slo in items(&report["slos"]) {
        table.add_row(line(slo));
    }
    writeln!(out, "{}", trim_lines(&table))?;
    for slo in items(&report["slos"]) {
        detail(slo, out)?;
    }
    for agreement in items(&report["agreements"]) {
        let (name, slo) = (text(&agreement["name"]), text(&agreement["slo"]));
        writeln!(out, "\nagreement {name} with {} about {slo}", text(&agreement["customer"]))?;
        for settled in items(&agreement["periods"]) {
            let from = text(&settled["period"]["start"]);
            writeln!(out, "  from {from}: {}", text(&settled["sentence"]))?;
            if let Some(scaled) = settled["scaled"].as_str() {
                writeln!(out, "    budget: {scaled}")?;
            }
        }
    }
    Ok(())
}

fn detail(slo: &Value, out: &mut dyn Write) -> io::Result<()> {
    if slo["scheduled"] == 0 {
        return Ok(());
    }
    writeln!(out, "\n{}", text(&slo["slo"]))?;
    let said = &slo["sentences"];
    if let Some(scaled) = said["scaled"].as_str() {
        writeln!(out, "  budget: {scaled}")?;
    }
    writeln!(out, "  evidence: {}", text(&said["evidence"]))?;
    if let Some(singly) = said["singly"].as_str() {
        writeln!(out, "  {singly}")?;
    }
    for amendment in items(&slo["amendments"]) {
        writeln!(out, "  {}", text(&amendment["sentence"]))?;
    }
    for sentence in worst(slo) {
        writeln!(out, "  {sentence}")?;
    }
    for incident in items(&slo["incidents"]) {
        let (start, end) = (text(&incident["shown"]["start"]), text(&incident["shown"]["end"]));
        writeln!(out, "  incident {start} to {end}: {}", text(&incident["sentence"]))?;
    }
    if let Some(n) = slo["incidents_left_out"].as_u64().filter(|n| *n > 0) {
        writeln!(out, "  and {n} that cost less")?;
    }
    Ok(())
}
