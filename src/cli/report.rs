//! `nines report`: what was promised over a period, what was delivered, and what that comes to.
//!
//! Judges a ledger, beside the daemon that writes it, or events; or asks a running daemon. Either
//! way the answer is the same JSON, from which tables, Markdown and CSV are made.

mod csv;
mod markdown;
mod table;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use super::backtest;
use super::client::Daemon;
use super::slo::escape;
use crate::engine::Book;
use crate::engine::amend::Amendments;
use crate::engine::report::{History, Question, Scope, render};
use crate::engine::subject::Recorded;
use crate::model::window::{Period, Zone, named_period};
use crate::model::worst::sizes_with;
use crate::model::{Catalog, Slo, SloId, Timestamp, text};

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people at a terminal.
    #[default]
    Table,
    /// For people, in a document.
    Markdown,
    /// For spreadsheets: a line for each objective and each period of an agreement.
    Csv,
    /// For programs; stable, with a `schema` key.
    Json,
}

/// What makes the command end with code 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// An objective or an agreement is broken.
    Broken,
    /// An agreement owes a credit.
    Credit,
    /// The evidence does not support an objective.
    Unproven,
    /// Nothing was measured.
    NoData,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Wish {
    /// About what.
    pub scope: Scope,
    /// The name of the period.
    pub period: String,
    /// The zone that says when days begin.
    pub zone: Zone,
    /// The lengths of worst windows that are wanted beside the usual ones, with commas.
    pub worst: String,
}

/// Whom to ask.
#[derive(Debug)]
pub enum Source {
    /// Declarations and a ledger: its directory and the vantage that is meant.
    Ledger(Box<Catalog>, PathBuf, String),
    /// Declarations and events, one a line; `-` is the standard input.
    Events(Box<Catalog>, PathBuf),
    /// A running daemon, by its base URL.
    Daemon(Daemon),
}

impl Source {
    fn report(&self, wish: &Wish, now: Timestamp) -> anyhow::Result<Value> {
        let catalog = match self {
            Source::Daemon(daemon) => return ask(daemon, wish),
            Source::Ledger(catalog, ..) | Source::Events(catalog, _) => catalog,
        };
        let events = match self {
            Source::Events(_, path) => Some(Events::read(catalog, path)?),
            _ => None,
        };
        // Events end with the last of them; there is no other present.
        let now = events.as_ref().and_then(Events::end).unwrap_or(now);
        let period = named_period(&wish.period, &wish.zone, now)?;
        let (scope, lengths) = (wish.scope.clone(), sizes_with(&wish.worst)?);
        let question = Question { catalog, scope, period, now, lengths: &lengths };
        let past = match (self, events) {
            (_, Some(events)) => events.past(catalog, period),
            (Source::Ledger(_, path, vantage), _) => {
                crate::daemon::history::past_of_ledger(&question, path, vantage)?
            }
            _ => BTreeMap::new(),
        };
        let (kind, name) = (wish.scope.kind(), wish.scope.name());
        let known = question.known();
        match question.answer(&past) {
            Some(report) => Ok(render::report_json(&report)),
            None => bail!(text::unknown(kind, name, known.iter().map(String::as_str))),
        }
    }
}

/// Events as they were measured, and what is to be laid over them.
struct Events(backtest::Measured, Book);

impl Events {
    fn read(catalog: &Catalog, path: &Path) -> anyhow::Result<Self> {
        let source = backtest::Source::Events(path.to_owned());
        let (measured, book) = backtest::read(catalog, &source)?;
        Ok(Events(measured, book))
    }

    /// Up to when the last of them speaks.
    fn end(&self) -> Option<Timestamp> {
        let of = |recorded: &Recorded| {
            let series = recorded.histories().iter().cloned().collect();
            History { series, ..History::default() }.end()
        };
        self.0.values().filter_map(of).max()
    }

    /// Histories as they are to count, with what touched them in the period.
    fn past(&self, catalog: &Catalog, period: Period) -> BTreeMap<SloId, History> {
        let Events(measured, book) = self;
        let amendments = book.amendments(catalog.slos().map(|(_, slo)| &slo.id));
        let history = |((_, slo), amendments): ((_, &Slo), &Amendments)| {
            let measured = measured.get(&slo.id)?;
            let slots = measured.histories();
            let touches = book.touching(&slo.id, period.start, period.end).into_iter();
            let touches = touches.map(|touch| (touch.clone(), touch.measured(slots))).collect();
            let series = measured.over(amendments).histories().iter().cloned().collect();
            Some((slo.id.clone(), History { series, touches, ..History::default() }))
        };
        catalog.slos().zip(&amendments).filter_map(history).collect()
    }
}

fn ask(daemon: &Daemon, wish: &Wish) -> anyhow::Result<Value> {
    let (kind, name) = (wish.scope.kind(), escape(wish.scope.name()));
    let (period, zone) = (escape(&wish.period), escape(wish.zone.name()));
    let mut path = format!("/api/v1/reports/{kind}/{name}?period={period}&timeZone={zone}");
    if !wish.worst.is_empty() {
        path.push_str(&format!("&worst={}", escape(&wish.worst)));
    }
    daemon.get_json(&path)
}

/// Prints the report. Says whether none of `fail_on` holds.
///
/// # Errors
/// Nothing goes by that name, the history cannot be read, or the daemon does not answer.
pub fn run(
    source: &Source,
    wish: &Wish,
    fail_on: &[FailOn],
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let report = source.report(wish, crate::clock::wall_now())?;
    match format {
        Format::Json => writeln!(out, "{report}"),
        Format::Table => table::write(&report, out),
        Format::Markdown => markdown::write(&report, out),
        Format::Csv => csv::write(&report, out),
    }
    .context("writing the report")?;
    Ok(!fail_on.iter().any(|wish| holds(&report, *wish)))
}

fn holds(report: &Value, wish: FailOn) -> bool {
    let slos = || items(&report["slos"]);
    let periods = || items(&report["agreements"]).flat_map(|one| items(&one["periods"]));
    match wish {
        FailOn::Broken => slos().chain(periods()).any(|one| one["kept"] == "broken"),
        FailOn::Credit => periods().any(|one| !one["credit"].is_null()),
        FailOn::Unproven => slos().any(|one| one["evidence"]["state"] != "met"),
        FailOn::NoData => slos().chain(periods()).any(|one| one["kept"] == "no data"),
    }
}

/// The items of a list in a report; none where there is no list.
fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// What a line about one SLO says.
const HEADINGS: [&str; 7] =
    ["SLO", "promised", "delivered", "coverage", "budget", "kept", "evidence"];

/// One SLO in a line, under [`HEADINGS`].
fn line(slo: &Value) -> [&str; HEADINGS.len()] {
    let said = &slo["sentences"];
    [
        &slo["slo"],
        &said["promised"],
        &said["delivered"],
        &said["coverage"],
        &said["spent"],
        &slo["kept"],
        &slo["evidence"]["state"],
    ]
    .map(text)
}

/// A text of a report, or a dash.
fn text(value: &Value) -> &str {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or("-")
}

/// Who the report is about and over which time.
fn title(report: &Value) -> String {
    let (scope, period) = (&report["scope"], &report["period"]);
    format!(
        "{} {}, {} to {}",
        text(&scope["kind"]),
        text(&scope["name"]),
        text(&period["start"]),
        text(&period["end"]),
    )
}

/// The worst windows that are told in words: those of an hour and a day, the shortest that lost
/// anything, and the whole period if it is as long as the longest.
fn worst(slo: &Value) -> Vec<&str> {
    let told = |one: &&Value| [60, 3_600, 86_400].iter().any(|length| one["seconds"] == *length);
    let lost = |one: &&Value| one["bad"].as_u64().is_some_and(|bad| bad > 0);
    items(&slo["worst"]).filter(told).filter(lost).map(|one| text(&one["sentence"])).collect()
}
