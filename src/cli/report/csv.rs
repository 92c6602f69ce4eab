//! A report for spreadsheets (RFC 4180): a line for each objective and each period of an
//! agreement. Numbers are plain, ratios and seconds decimal text, what is not known is empty.

use std::io::{self, Write};

use serde_json::Value;

use super::items;

/// Columns: the header, and where in an objective or a settlement its value stands.
const COLUMNS: [(&str, &str); 24] = [
    ("team", "/team"),
    ("objective", "/objective"),
    ("good", "/good"),
    ("bad", "/bad"),
    ("unknown", "/unknown"),
    ("excluded", "/excluded"),
    ("parts_per_event", "/parts_per_event"),
    ("sli", "/sli"),
    ("sli_low", "/sli_low"),
    ("sli_high", "/sli_high"),
    ("coverage", "/coverage"),
    ("kept", "/kept"),
    ("budget_seconds", "/budget/total_seconds"),
    ("spent_seconds", "/budget/spent_seconds"),
    ("left_seconds", "/budget/left_seconds"),
    ("budget_events", "/budget/total_events"),
    ("spent_ratio", "/budget/spent_ratio"),
    ("evidence", "/evidence/state"),
    ("supported", "/evidence/supported"),
    ("credit", "/credit"),
    ("counted_seconds", "/budget/unscaled/counted_seconds"),
    ("to_come_seconds", "/budget/unscaled/to_come_seconds"),
    ("unscaled_budget_seconds", "/budget/unscaled/total_seconds"),
    ("unscaled_spent_seconds", "/budget/unscaled/spent_seconds"),
];

/// Writes it.
pub fn write(report: &Value, out: &mut dyn Write) -> io::Result<()> {
    let names = COLUMNS.iter().map(|(name, _)| *name);
    let header: Vec<&str> =
        ["kind", "name", "slo", "from", "to"].into_iter().chain(names).collect();
    write!(out, "{}\r\n", header.join(","))?;
    for slo in items(&report["slos"]) {
        line(out, ["slo".into(), slo["slo"].clone(), slo["slo"].clone()], &report["period"], slo)?;
    }
    for agreement in items(&report["agreements"]) {
        for settled in items(&agreement["periods"]) {
            let mut values = settled.clone();
            values["objective"] = agreement["objective"].clone();
            let names = ["agreement".into(), agreement["name"].clone(), agreement["slo"].clone()];
            line(out, names, &settled["period"], &values)?;
        }
    }
    Ok(())
}

fn line(out: &mut dyn Write, names: [Value; 3], period: &Value, values: &Value) -> io::Result<()> {
    let times = [period["start"].clone(), period["end"].clone()];
    let rest = COLUMNS.iter().map(|(_, at)| values.pointer(at).cloned().unwrap_or_default());
    let cells: Vec<String> = names.into_iter().chain(times).chain(rest).map(|v| cell(&v)).collect();
    write!(out, "{}\r\n", cells.join(","))
}

/// A value as a cell. What a spreadsheet would take for a formula is text.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => return other.to_string(),
    };
    let is_number = text.parse::<f64>().is_ok();
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number;
    let text = if is_formula { format!("'{text}") } else { text };
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formula() {
        let check = |value: Value, expect: &str| assert_eq!(cell(&value), expect);
        check("a,b".into(), "\"a,b\"");
        check("say \"x\"".into(), "\"say \"\"x\"\"\"");
        check("=cmd()".into(), "'=cmd()");
        check("-999".into(), "-999");
        check(7.into(), "7");
        check(Value::Null, "");
    }
}
