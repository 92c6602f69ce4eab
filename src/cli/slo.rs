//! `nines slo list|show`: how the SLOs of a running daemon stand.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::bail;

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::model::{Objective, Share, decimal, number, text as words};

use super::Format;
use super::client::Daemon;

/// What makes the command end with code 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// More than the whole budget is spent.
    Spent,
    /// A page is firing.
    Page,
    /// A ticket is firing.
    Ticket,
    /// There is no status, or nothing was measured in the window.
    NoData,
}

/// Lists every SLO, or those of a team. Says whether none of `fail_on` holds for any.
///
/// # Errors
/// The daemon does not answer, or there is no SLO of that team.
pub fn list(
    daemon: &Daemon,
    team: Option<&str>,
    fail_on: &[FailOn],
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let query = team.map(|team| format!("?team={}", escape(team))).unwrap_or_default();
    let json = daemon.get_json(&format!("/api/v1/slos{query}"))?;
    let none = Vec::new();
    let slos = json["slos"].as_array().unwrap_or(&none);
    if let Some(team) = team.filter(|_| slos.is_empty()) {
        // A name that is misspelt would pass every question that scripts ask.
        let all = daemon.get_json("/api/v1/slos")?;
        let all = all["slos"].as_array().unwrap_or(&none);
        let teams: BTreeSet<&str> = all.iter().filter_map(|slo| slo["team"].as_str()).collect();
        let teams = teams.into_iter().filter(|team| !team.is_empty());
        bail!(words::unknown("team", team, teams));
    }
    match format {
        Format::Json => writeln!(out, "{json}")?,
        Format::Table => {
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            table.set_header([
                "SLO",
                "TEAM",
                "OBJECTIVE",
                "WINDOW",
                "SLI",
                "COVERAGE",
                "BUDGET LEFT",
                "STATE",
            ]);
            for slo in slos {
                table.add_row(row(slo));
            }
            writeln!(out, "{}", trim_lines(&table))?;
        }
    }
    Ok(!slos.iter().any(|slo| fail_on.iter().any(|wish| holds(slo, *wish))))
}

/// Shows one SLO. Says whether none of `fail_on` holds for it.
///
/// # Errors
/// The daemon does not answer, or does not know the SLO.
pub fn show(
    daemon: &Daemon,
    id: &str,
    at: Option<&str>,
    fail_on: &[FailOn],
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let query = at.map(|at| format!("?at={}", escape(at))).unwrap_or_default();
    let json = daemon.get_json(&format!("/api/v1/slos/{id}{query}"))?;
    let slo = &json["slo"];
    match format {
        Format::Json => writeln!(out, "{json}")?,
        Format::Table => {
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            for row in details(slo) {
                table.add_row(row);
            }
            writeln!(out, "{}", trim_lines(&table))?;
        }
    }
    Ok(!fail_on.iter().any(|wish| holds(slo, *wish)))
}

fn holds(slo: &Value, wish: FailOn) -> bool {
    let status = &slo["status"];
    let firing = |name: &str| {
        let alerts = slo["alerts"].as_array().into_iter().flatten();
        alerts.into_iter().any(|a| a["name"] == name && a["firing"] == true)
    };
    match wish {
        FailOn::Spent => status["accounting"] == "spent" || status["accounting"] == "lost",
        FailOn::Page => firing("NinesErrorBudgetBurnFast"),
        FailOn::Ticket => firing("NinesErrorBudgetBurnSlow"),
        FailOn::NoData => status["sli"].is_null() || status["accounting"] == number::NO_DATA,
    }
}

fn row(slo: &Value) -> [String; 8] {
    let status = &slo["status"];
    [
        text(&slo["id"]),
        text(&slo["team"]),
        objective(slo),
        text(&slo["window"]),
        sli(slo),
        coverage(status),
        left(status),
        state(slo),
    ]
}

fn details(slo: &Value) -> Vec<[String; 2]> {
    let status = &slo["status"];
    let parts = status["parts_per_event"].as_u64().unwrap_or(1);
    let count = |key: &str| events(status[key].as_u64().unwrap_or(0), parts);
    let mut rows = vec![
        ["SLO".to_owned(), text(&slo["id"])],
        ["team".to_owned(), text(&slo["team"])],
        ["objective".to_owned(), format!("{} over {}", objective(slo), text(&slo["window"]))],
        ["as of".to_owned(), text(&status["at"])],
        ["SLI".to_owned(), sli(slo)],
        [
            if slo["slice"].is_null() { "slots" } else { "slices" }.to_owned(),
            format!(
                "{} good, {} bad, {} unknown, {} excluded",
                count("good"),
                count("bad"),
                count("unknown"),
                count("excluded")
            ),
        ],
        ["coverage".to_owned(), coverage(status)],
        ["budget left".to_owned(), left(status)],
        ["accounting".to_owned(), text(&status["accounting"])],
        ["evidence".to_owned(), text(&status["evidence"])],
        ["supported".to_owned(), supported(status)],
        ["budget gone in".to_owned(), gone(status)],
        ["quiet".to_owned(), chance(&status["quiet"], "no outage begins in")],
        ["budget holds".to_owned(), chance(&status["survival"], "it is not overspent in")],
        ["state".to_owned(), state(slo)],
    ];
    let parts = slo["parts"].as_array().into_iter().flatten();
    rows.extend(parts.map(|part| {
        ["made of".to_owned(), format!("{}, weight {}", text(&part["slo"]), text(&part["weight"]))]
    }));
    let targets = slo["notification_targets"].as_array().into_iter().flatten();
    let targets: Vec<String> =
        targets.map(|t| format!("{} ({})", text(&t["name"]), text(&t["target"]))).collect();
    if !targets.is_empty() {
        rows.push(["to be told".to_owned(), targets.join(", ")]);
    }
    for (effect, does) in [("exclude", "not counted"), ("mute", "alerts muted")] {
        if let Some(name) = slo["maintenance"][effect].as_str() {
            rows.push(["maintenance".to_owned(), format!("{name}: {does}")]);
        }
    }
    rows.extend(slo["amendments"].as_array().into_iter().flatten().map(amendment));
    for past in slo["periods"].as_array().into_iter().flatten() {
        let said = format!("{}, {}", sli_of(slo, past), text(&past["accounting"]));
        rows.push([format!("until {}", text(&past["period"]["end"])), said]);
    }
    for burn in status["burn"].as_array().into_iter().flatten() {
        let rate = burn["rate"].as_str().map_or(number::NO_DATA.to_owned(), |r| format!("{r}x"));
        rows.push([format!("burn over {}", text(&burn["window"])), rate]);
    }
    rows
}

/// The availability that is supported, and what that rests on.
fn supported(status: &Value) -> String {
    let proof = &status["proof"];
    let share = status["supported"].as_str().and_then(|text| text.parse::<Share>().ok());
    let Some(share) = share else { return number::NO_DATA.to_owned() };
    let n = proof["outages"].as_u64().unwrap_or(0);
    let outages = if n == 1 { "1 outage".to_owned() } else { format!("{n} outages") };
    let earliest = match proof["earliest"].as_str() {
        Some(at) => format!("; proven on {at} at the earliest"),
        None => String::new(),
    };
    format!(
        "{share} since {}, {outages} in {}, taken to last {}{earliest}",
        text(&proof["since"]),
        time(&proof["observed_seconds"]),
        time(&proof["assumed_outage_seconds"]),
    )
}

/// When the budget is gone, by the look-back that says so first and the one that says so last.
fn gone(status: &Value) -> String {
    let told = |value: &Value| match value.as_str() {
        Some("never") => "not at this rate".to_owned(),
        Some("unknown") | None => number::NO_DATA.to_owned(),
        Some(_) => time(value),
    };
    let (soonest, latest) = (&status["exhaustion"], &status["exhaustion_latest"]);
    match soonest == latest {
        true => told(soonest),
        false => format!("{}, or {} by another look-back", told(soonest), told(latest)),
    }
}

/// The chance of something in the time ahead.
fn chance(of: &Value, what: &str) -> String {
    match of["chance"].as_str().and_then(|text| text.parse::<Share>().ok()) {
        Some(chance) => format!("{chance} that {what} {}", time(&of["seconds"])),
        None => number::NO_DATA.to_owned(),
    }
}

/// Seconds for people.
fn time(seconds: &Value) -> String {
    let seconds = seconds.as_str().and_then(|text| text.parse().ok());
    seconds.map_or(number::NO_DATA.to_owned(), number::seconds)
}

/// What says how slots of the window count, by whom and why.
fn amendment(amendment: &Value) -> [String; 2] {
    let mut said = format!(
        "{} from {} to {}: {}",
        text(&amendment["name"]),
        text(&amendment["from"]),
        text(&amendment["to"]),
        text(&amendment["effect"])
    );
    for (word, key) in [("", "reason"), ("by ", "author")] {
        if let Some(text) = amendment[key].as_str() {
            said.push_str(&format!(", {word}{text}"));
        }
    }
    if amendment["holds"] == false {
        said.push_str("; withdrawn");
    }
    [text(&amendment["kind"]), said]
}

/// So many events: whole ones, or slices to the hundredth, cut up.
fn events(n: u64, parts: u64) -> String {
    let hundredths = (u128::from(n) * 100).div_ceil(parts.max(1).into());
    let text = decimal::fixed(hundredths as i128, 100, 2).unwrap_or_default();
    decimal::trim_zeros(&text).to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// The share of good of the present window.
fn sli(slo: &Value) -> String {
    sli_of(slo, &slo["status"])
}

/// The one percentage formatter over the counts, which is what the ratio was made of; of several
/// SLOs together the ratio itself, since no count of theirs is.
fn sli_of(slo: &Value, status: &Value) -> String {
    let count = |key: &str| status[key].as_u64().unwrap_or(0);
    let percent = match slo["parts"].as_array().is_some_and(|parts| !parts.is_empty()) {
        true => share(&status["sli"]),
        false => number::percent(count("good"), count("good") + count("bad")),
    };
    let corrected = status["corrected"] == true;
    if corrected { format!("{percent} (corrected)") } else { percent }
}

fn objective(slo: &Value) -> String {
    let objective = slo["objective"].as_str().and_then(|text| text.parse::<Objective>().ok());
    objective.map_or("-".to_owned(), |objective| objective.to_string())
}

fn coverage(status: &Value) -> String {
    share(&status["coverage"])
}

fn share(ratio: &Value) -> String {
    let share = ratio.as_str().and_then(|text| text.parse::<Share>().ok());
    share.map_or(number::NO_DATA.to_owned(), |share| share.to_string())
}

fn left(status: &Value) -> String {
    let budget = &status["budget"];
    let billionths = |key: &str| budget[key].as_str().and_then(decimal::billionths);
    let total = budget["total_events"].as_str().unwrap_or("0");
    match billionths("left_ratio").zip(billionths("left_seconds")) {
        Some((left, nanos)) => {
            let time = number::left_time((left, 1_000_000_000), nanos.div_euclid(1_000));
            format!("{time} ({total} events in all)")
        }
        None => number::NO_DATA.to_owned(),
    }
}

fn state(slo: &Value) -> String {
    if slo["status"]["sli"].is_null() {
        return number::NO_DATA.to_owned();
    }
    let states = [
        (FailOn::Page, "burning fast"),
        (FailOn::Spent, "objective missed"),
        (FailOn::Ticket, "burning"),
        (FailOn::NoData, number::NO_DATA),
    ];
    let word = states.iter().find(|(wish, _)| holds(slo, *wish)).map(|(_, word)| *word);
    word.unwrap_or("meeting objective").to_owned()
}

/// A table without the blanks that a terminal would not show anyway.
pub(super) fn trim_lines(table: &Table) -> String {
    table.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Percent-encodes everything that a query value may not hold.
pub(super) fn escape(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~:".contains(&b);
    text.bytes()
        .map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
