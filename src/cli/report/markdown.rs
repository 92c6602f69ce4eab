//! A report for a document: headings, tables, and sentences.

use std::io::{self, Write};

use serde_json::Value;

use super::{HEADINGS, items, line, text, title, worst};

/// Writes it.
pub fn write(report: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# {}\n\n{}\n", cell(&title(report)), text(&report["headline"]))?;
    if let Some(name) = report["application"]["name"].as_str() {
        let needs = text(&report["application"]["objective"]);
        let window = text(&report["application"]["window"]);
        writeln!(out, "{} needs {needs} over {window}.\n", cell(name))?;
    }
    row(out, &HEADINGS)?;
    row(out, &["---"; HEADINGS.len()])?;
    for slo in items(&report["slos"]) {
        row(out, &line(slo))?;
    }
    for slo in items(&report["slos"]).filter(|slo| slo["scheduled"] != 0) {
        detail(slo, out)?;
    }
    if items(&report["agreements"]).next().is_some() {
        writeln!(out, "\n## Agreements\n")?;
        row(out, &["agreement", "with", "about", "from", "came to"])?;
        row(out, &["---"; 5])?;
    }
    for agreement in items(&report["agreements"]) {
        for settled in items(&agreement["periods"]) {
            let mut came_to = text(&settled["sentence"]).to_owned();
            if let Some(scaled) = settled["scaled"].as_str() {
                came_to = format!("{came_to}; budget: {scaled}");
            }
            let cells = [
                text(&agreement["name"]),
                text(&agreement["customer"]),
                text(&agreement["slo"]),
                text(&settled["period"]["start"]),
                &came_to,
            ];
            row(out, &cells)?;
        }
    }
    Ok(())
}

fn detail(slo: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n## {}\n", cell(text(&slo["slo"])))?;
    let said = &slo["sentences"];
    if let Some(scaled) = said["scaled"].as_str() {
        writeln!(out, "- budget: {scaled}")?;
    }
    writeln!(out, "- evidence: {}", text(&said["evidence"]))?;
    if let Some(singly) = said["singly"].as_str() {
        writeln!(out, "- {singly}")?;
    }
    for amendment in items(&slo["amendments"]) {
        writeln!(out, "- {}", text(&amendment["sentence"]))?;
    }
    for sentence in worst(slo) {
        writeln!(out, "- {sentence}")?;
    }
    let incidents: Vec<&Value> = items(&slo["incidents"]).collect();
    if !incidents.is_empty() {
        writeln!(out)?;
        row(out, &["incident from", "to", "cost"])?;
        row(out, &["---"; 3])?;
    }
    for incident in incidents {
        let cells = [&incident["shown"]["start"], &incident["shown"]["end"], &incident["sentence"]]
            .map(text);
        row(out, &cells)?;
    }
    if let Some(n) = slo["incidents_left_out"].as_u64().filter(|n| *n > 0) {
        writeln!(out, "\nAnd {n} incidents that cost less.")?;
    }
    Ok(())
}

fn row(out: &mut dyn Write, cells: &[&str]) -> io::Result<()> {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    writeln!(out, "| {} |", cells.join(" | "))
}

/// Text that cannot break out of its cell, nor become markup.
fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' => {
                safe.extend(['\\', letter]);
            }
            '\n' | '\r' => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_out_of_its_cell() {
        assert_eq!(cell("a|b\n<i>*c*"), "a\\|b \\<i\\>\\*c\\*");
    }
}
