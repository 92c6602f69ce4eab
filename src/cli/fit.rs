//! `nines fit`: can this platform carry what its applications need?
//!
//! Judges specs, with a ledger's history if one is named, or asks a running daemon; either way
//! the answer is the same JSON, from which the tables are made.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::engine::backtest;
use crate::engine::fit::{self, Ground, Measured, render};
use crate::engine::status::SloStatus;
use crate::engine::subject::{Recorded, Subject};
use crate::model::{Catalog, Objective, Slo, SloId, number, text as words};

use super::Format;
use super::client::Daemon;
use super::slo::trim_lines;

/// How an SLO stands after the last event of what counts for it; none without any, or where
/// nothing is known of a part of it.
fn status(
    slo: &Slo,
    counting: &[&Slo],
    histories: &BTreeMap<SloId, Recorded>,
) -> Option<SloStatus> {
    let recorded: Option<Vec<&Recorded>> =
        counting.iter().map(|one| histories.get(&one.id)).collect();
    let recorded = recorded?;
    let ends = recorded.iter().filter_map(|one| backtest::ticks(one.histories()));
    let last = ends.map(|(_, last)| last).max()?;
    let mut slots = recorded.iter().zip(counting).map(|(one, slo)| one.slots(slo));
    let subject = match slo.is_composite() {
        true => Subject::several(slo, slots.collect(), last),
        false => Subject::one(slots.next()?, last),
    };
    Some(subject.status_at(last)).filter(|status| status.budget.counted.total() > 0)
}

/// What makes the command end with code 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// A gate fails.
    Fail,
    /// A gate is unknown.
    Unknown,
}

/// Whom to ask.
#[derive(Debug)]
pub enum Source {
    /// Declarations, and the history of each promise that has one.
    Specs(Box<Catalog>, BTreeMap<SloId, Measured>),
    /// A running daemon, by its base URL.
    Daemon(Daemon),
}

impl Source {
    /// Declarations with the history of a ledger, if one is named.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn specs(catalog: Catalog, ledger: Option<(PathBuf, String)>) -> anyhow::Result<Self> {
        let mut measured = BTreeMap::new();
        if let Some((path, vantage)) = ledger {
            let (mut histories, book) =
                crate::daemon::history::of_ledger(&catalog, &path, &vantage, None, None)?;
            let amendments = book.amendments(catalog.slos().map(|(_, slo)| &slo.id));
            for ((_, slo), amendments) in catalog.slos().zip(amendments) {
                if let Some(recorded) = histories.get_mut(&slo.id) {
                    *recorded = recorded.over(&amendments);
                }
            }
            let find = |id: &SloId| catalog.slos().find(|(_, slo)| slo.id == *id);
            for (_, slo) in catalog.slos() {
                // One that is made of others has their histories, and none of its own.
                let counting: Option<Vec<&Slo>> = match slo.is_composite() {
                    true => slo.parts.iter().map(|part| Some(find(&part.slo)?.1)).collect(),
                    false => Some(vec![slo]),
                };
                let known = counting.and_then(|counting| status(slo, &counting, &histories));
                measured.extend(known.map(|status| (slo.id.clone(), Measured::of(&status))));
            }
        }
        Ok(Source::Specs(Box::new(catalog), measured))
    }

    /// One application, or all.
    fn applications(&self, name: Option<&str>) -> anyhow::Result<Value> {
        let (catalog, measured) = match self {
            Source::Daemon(daemon) => return ask(daemon, name),
            Source::Specs(catalog, measured) => (catalog, measured),
        };
        let ground = Ground::new(catalog, &|id| measured.get(id).copied());
        let Some(name) = name else { return Ok(render::fits_json(&fit::assess_all(&ground))) };
        let Some(application) = catalog.application(name) else {
            let known = catalog.applications.iter().map(|one| one.name.as_str());
            bail!(words::unknown("application", name, known));
        };
        Ok(render::fits_json(&[fit::assess(&ground, application)]))
    }

    fn service(&self, name: &str) -> anyhow::Result<Value> {
        match self {
            Source::Daemon(daemon) => {
                daemon.get_json(&format!("/api/v1/services/{}/fit", super::slo::escape(name)))
            }
            Source::Specs(catalog, measured) => {
                let ground = Ground::new(catalog, &|id| measured.get(id).copied());
                match fit::service::assess(&ground, name) {
                    Some(fit) => Ok(render::service_json(&fit)),
                    None => {
                        let known = catalog.services.iter().map(|one| one.name.as_str());
                        bail!(words::unknown("service", name, known));
                    }
                }
            }
        }
    }
}

fn ask(daemon: &Daemon, name: Option<&str>) -> anyhow::Result<Value> {
    let one = |name: &str| {
        let path = format!("/api/v1/applications/{}/fit", super::slo::escape(name));
        Ok::<_, anyhow::Error>(daemon.get_json(&path)?["applications"][0].take())
    };
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => {
            let all = daemon.get_json("/api/v1/applications")?;
            let all = all["applications"].as_array().cloned().unwrap_or_default();
            all.iter().map(|fit| text(&fit["application"])).collect()
        }
    };
    let fits: Vec<Value> = names.iter().map(|name| one(name)).collect::<anyhow::Result<_>>()?;
    Ok(json!({ "schema": "nines.fit/v1", "applications": fits }))
}

/// Prints one application with every gate, or a line for each. Says whether none of `fail_on`
/// holds for any.
///
/// # Errors
/// The daemon does not answer, or there is no such application.
pub fn applications(
    source: &Source,
    name: Option<&str>,
    fail_on: &[FailOn],
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let json = source.applications(name)?;
    let none = Vec::new();
    let fits = json["applications"].as_array().unwrap_or(&none);
    if fits.is_empty() {
        eprintln!("nines: no application is declared");
    }
    match (format, name) {
        (Format::Json, _) => writeln!(out, "{json}")?,
        (Format::Table, Some(_)) => fits.iter().try_for_each(|fit| detail(fit, out))?,
        (Format::Table, None) => list(fits, out)?,
    }
    Ok(!fits.iter().any(|fit| fail_on.iter().any(|wish| holds(fit, *wish))))
}

/// Prints the platform's side of one service. Says whether none of `fail_on` holds for those who
/// need it.
///
/// # Errors
/// The daemon does not answer, or there is no such service.
pub fn service(
    source: &Source,
    name: &str,
    fail_on: &[FailOn],
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let json = source.service(name)?;
    match format {
        Format::Json => writeln!(out, "{json}")?,
        Format::Table => service_table(&json, out)?,
    }
    let answers =
        || json["applications"].as_array().into_iter().flatten().map(|one| &one["answer"]);
    let holds = |wish: &FailOn| answers().any(|answer| *answer == word(*wish));
    Ok(!fail_on.iter().any(holds))
}

const fn word(wish: FailOn) -> &'static str {
    match wish {
        FailOn::Fail => fit::Answer::Fail.word(),
        FailOn::Unknown => fit::Answer::Unknown.word(),
    }
}

fn holds(fit: &Value, wish: FailOn) -> bool {
    let answers = fit["answers"].as_object();
    answers.is_some_and(|answers| answers.values().any(|answer| *answer == word(wish)))
}

fn list(fits: &[Value], out: &mut dyn Write) -> anyhow::Result<()> {
    let mut table = table(&["APPLICATION", "TEAM", "NEEDS", "WINDOW", "FIT", "OFFER", "FAILS"]);
    for fit in fits {
        let fails = |gate: &fit::Gate| fit["answers"][gate.word()] == fit::Answer::Fail.word();
        let failed: Vec<&str> =
            fit::Gate::ALL.iter().filter(|gate| fails(gate)).map(|gate| gate.word()).collect();
        table.add_row([
            text(&fit["application"]),
            text(&fit["team"]),
            objective(&fit["objective"]),
            text(&fit["window"]),
            text(&fit["fit"]),
            objective(&fit["offer"]["objective"]),
            if failed.is_empty() { "-".to_owned() } else { failed.join(", ") },
        ]);
    }
    Ok(writeln!(out, "{}", trim_lines(&table))?)
}

fn detail(fit: &Value, out: &mut dyn Write) -> anyhow::Result<()> {
    let (name, window) = (text(&fit["application"]), text(&fit["window"]));
    writeln!(
        out,
        "{name}: {} over {window}: {}\n",
        objective(&fit["objective"]),
        text(&fit["fit"])
    )?;
    for gate in fit["gates"].as_array().into_iter().flatten() {
        let (answer, gate_name) = (text(&gate["answer"]), text(&gate["gate"]));
        writeln!(out, "  {answer:<8} {gate_name:<16} {}", text(&gate["sentence"]))?;
    }
    writeln!(out)?;
    let mut table = table(&[
        "NEEDED",
        "PROMISED",
        "LEAVES",
        "WORST",
        "BEST",
        "MEASURED",
        "SUPPORTED",
        "REQUIRED",
    ]);
    for term in fit["dependencies"].as_array().into_iter().flatten() {
        let of = || term["of"].as_array().into_iter().flatten();
        let each = |show: &dyn Fn(&Value) -> String| -> String {
            let mut all: Vec<String> = of().map(show).collect();
            all.dedup();
            all.join(", ")
        };
        let composition = &term["composition"];
        table.add_row([
            text(&term["name"]),
            each(&|one| objective(&one["promise"])),
            percent(&composition["independent"]),
            percent(&composition["worst"]),
            percent(&composition["best"]),
            each(&|one| measured(&one["measured"])),
            each(&|one| percent(&one["measured"]["supported"])),
            objective(&term["required"]),
        ]);
    }
    writeln!(out, "{}\n", trim_lines(&table))?;
    let soft: Vec<&str> =
        fit["soft"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !soft.is_empty() {
        writeln!(out, "left out, because it goes on without: {}", soft.join(", "))?;
    }
    let offer = &fit["offer"];
    match offer["sentence"].as_str() {
        None => writeln!(out, "offer: none; a gate fails at every objective")?,
        Some(sentence) => writeln!(out, "offer: {sentence}")?,
    }
    let conditions: Vec<&str> =
        offer["conditions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !conditions.is_empty() {
        writeln!(out, "not known there: {}", conditions.join(", "))?;
    }
    Ok(())
}

fn service_table(json: &Value, out: &mut dyn Write) -> anyhow::Result<()> {
    let all = &json["composition"];
    writeln!(
        out,
        "{}: promises {}; with what it depends on {} (worst {}, best {})",
        text(&json["service"]),
        objective(&json["promise"]),
        percent(&all["independent"]),
        percent(&all["worst"]),
        percent(&all["best"]),
    )?;
    if json["possible"] == "fail" {
        writeln!(out, "it promises more than what it depends on allows, even at best")?;
    }
    for one in json["composites"].as_array().into_iter().flatten() {
        let measured = &one["measured"];
        writeln!(
            out,
            "{}, {} over {}: measured {} (coverage {}), supported {}",
            text(&one["slo"]),
            objective(&one["objective"]),
            text(&one["window"]),
            percent(&measured["sli"]),
            percent(&measured["coverage"]),
            percent(&measured["supported"]),
        )?;
    }
    let mut table = table(&["APPLICATION", "TEAM", "NEEDS", "CARRIED", "REQUIRED OF IT"]);
    for one in json["applications"].as_array().into_iter().flatten() {
        table.add_row([
            text(&one["application"]),
            text(&one["team"]),
            objective(&one["objective"]),
            text(&one["answer"]),
            objective(&one["required"]),
        ]);
    }
    writeln!(out, "\n{}", trim_lines(&table))?;
    for fix in json["fixes"].as_array().into_iter().flatten() {
        let (objective, n) = (objective(&fix["objective"]), fix["supports"].as_u64().unwrap_or(0));
        let s = if n == 1 { "" } else { "s" };
        writeln!(out, "a promise of {objective} would carry {n} more application{s}")?;
    }
    Ok(())
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table
}

fn text(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// An objective with every digit that was declared.
fn objective(value: &Value) -> String {
    let objective = value.as_str().and_then(|text| text.parse::<Objective>().ok());
    objective.map_or("-".to_owned(), |objective| objective.to_string())
}

/// The one percentage formatter over the counts.
fn measured(measured: &Value) -> String {
    let count = |key: &str| measured[key].as_u64().unwrap_or(0);
    number::percent(count("good"), count("good") + count("bad"))
}

/// A ratio as decimal text for people; up to twelve digits of it.
fn percent(ratio: &Value) -> String {
    const PARTS: u64 = 1_000_000_000_000;
    let Some(text) = ratio.as_str() else { return number::NO_DATA.to_owned() };
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let parts = format!("{digits:0<12}").get(..12).and_then(|digits| digits.parse::<u64>().ok());
    match (whole, parts) {
        ("0", Some(parts)) => number::percent(parts, PARTS),
        ("1", _) => number::percent(PARTS, PARTS),
        _ => number::NO_DATA.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_become_the_percentages_that_people_see() {
        let check = |ratio: Value, expect: &str| assert_eq!(percent(&ratio), expect, "{ratio}");
        check("0.99937982".into(), "99.937 %");
        check("0.999999999999".into(), "99.999999999 %");
        check("1".into(), "100 %");
        check("0".into(), "0 %");
        check(Value::Null, number::NO_DATA);
    }
}
