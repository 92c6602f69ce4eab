//! `nines backtest`: the daemon's own engine over any history.
//!
//! Reads events from a file or a ledger, ticks once a second of event time and prints what
//! would have paged, when, what it cost, and how well the alert policy told what mattered.

pub(super) mod events;

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};

use crate::engine::amend::Amendments;
use crate::engine::backtest::{self, Interval, Replay, Score};
use crate::engine::render;
use crate::engine::series::Series;
use crate::engine::subject::{Recorded, Slots, Subject};
use crate::engine::{Book, SloStatus};
use crate::model::{Catalog, Severity, ShortThreshold, Slo, SloId, Timestamp, decimal, number};

use super::Format;

/// Where the history comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Events, one a line; `-` is the standard input.
    Events(PathBuf),
    /// A ledger of this process's vantage, restricted to a stretch of time.
    Ledger {
        /// Its directory.
        path: PathBuf,
        /// The vantage whose history is meant.
        vantage: String,
        /// Slots due from here on.
        from: Option<Timestamp>,
        /// Slots due before this.
        to: Option<Timestamp>,
    },
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Events(path) if path.as_os_str() == "-" => f.write_str("the standard input"),
            Source::Events(path) => write!(f, "{}", path.display()),
            Source::Ledger { path, vantage, .. } => {
                write!(f, "{} (vantage {vantage:?})", path.display())
            }
        }
    }
}

/// One SLO's history and what came of it.
struct Finding<'a> {
    slo: &'a Slo,
    /// Of the SLO, and of its parts.
    amendments: Vec<&'a Amendments>,
    /// Its first and its last tick; none without any event.
    ticks: Option<(Timestamp, Timestamp)>,
    subject: Subject<'a>,
    /// Under the policy as declared, and under each rule for short windows.
    replays: Option<[Replay; 3]>,
}

/// The history of an SLO as it is to count.
struct Counting<'a> {
    slo: &'a Slo,
    amendments: &'a Amendments,
    recorded: Recorded,
    /// Whether the source says anything of it.
    is_there: bool,
}

impl Counting<'_> {
    fn slots(&self) -> Slots<'_> {
        self.recorded.slots(self.slo)
    }
}

/// Replays and prints.
///
/// # Errors
/// The history cannot be read, or nothing in it belongs to the specs.
pub fn run(
    catalog: &Catalog,
    source: &Source,
    at: &[Timestamp],
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (histories, book) = read(catalog, source)?;
    let ids = || catalog.slos().map(|(_, slo)| &slo.id);
    let amendments = book.amendments(ids());
    let counting: BTreeMap<&SloId, Counting<'_>> = catalog
        .slos()
        .zip(&amendments)
        .map(|((_, slo), amendments)| {
            let measured = histories.get(&slo.id);
            let recorded = measured.map(|one| one.over(amendments)).unwrap_or_default();
            (&slo.id, Counting { slo, amendments, recorded, is_there: measured.is_some() })
        })
        .collect();
    let findings: Vec<Finding<'_>> = catalog
        .slos()
        .zip(&amendments)
        .filter_map(|((_, slo), amendments)| find(slo, &counting, amendments))
        .collect();
    if findings.is_empty() {
        eprintln!("nines: nothing to replay: {source} holds no event of an SLO in the specs");
    }
    match format {
        Format::Json => {
            let slos: Vec<Value> = findings.iter().map(|finding| finding.json(at)).collect();
            let suite = json!({"page": suite(&findings, 0), "ticket": suite(&findings, 1)});
            let all = json!({"schema": "nines.backtest/v1", "slos": slos, "score": suite});
            writeln!(out, "{all}")?;
        }
        Format::Table => findings.iter().try_for_each(|finding| finding.table(out))?,
    }
    Ok(())
}

/// What came of a history, or of those of the parts; none where there is none.
fn find<'a>(
    slo: &'a Slo,
    counting: &'a BTreeMap<&SloId, Counting<'a>>,
    own: &'a Amendments,
) -> Option<Finding<'a>> {
    let of: Vec<&Counting<'_>> = match slo.is_composite() {
        true => slo.parts.iter().map(|part| counting.get(&part.slo)).collect::<Option<_>>()?,
        false => vec![counting.get(&slo.id)?],
    };
    if !of.iter().any(|one| one.is_there) {
        return None;
    }
    let ends = of.iter().filter_map(|one| backtest::ticks(one.slots().slots));
    let ticks = ends.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
    let known = ticks.map_or(Timestamp::MIN, |(_, last)| last);
    let slots = of.iter().map(|one| one.slots());
    let subject = match slo.is_composite() {
        true => Subject::several(slo, slots.collect(), known),
        false => Subject::one(of[0].slots(), known),
    };
    let declared = slo.policy.as_ref().map(|policy| policy.short_threshold);
    let replay = |short| backtest::replay(&subject, ticks?, Some(short), own);
    let replays = declared.zip(replay(ShortThreshold::Same).zip(replay(ShortThreshold::One))).map(
        |(declared, (same, one))| match declared {
            ShortThreshold::Same => [same.clone(), same, one],
            ShortThreshold::One => [one.clone(), same, one],
        },
    );
    let amendments = of.iter().map(|one| one.amendments).collect();
    Some(Finding { slo, amendments, ticks, subject, replays })
}

/// Histories as they were measured.
pub type Measured = BTreeMap<SloId, Recorded>;

/// Every history of the catalogue in a source, and what is to be laid over it.
///
/// # Errors
/// The source cannot be read.
pub fn read(catalog: &Catalog, source: &Source) -> anyhow::Result<(Measured, Book)> {
    match source {
        Source::Events(path) => {
            let find = |id: &str| catalog.slos().map(|(_, s)| s).find(|s| s.id.as_str() == id);
            let known: Vec<_> = catalog.slos().take(8).map(|(_, slo)| slo.id.as_str()).collect();
            let known = known.join(", ");
            let name = path.display();
            let histories = if path.as_os_str() == "-" {
                events::read(&mut std::io::stdin().lock(), find, &known)
            } else {
                let file = std::fs::File::open(path)
                    .with_context(|| format!("cannot open the events file {name}"))?;
                events::read(&mut BufReader::new(file), find, &known)
            };
            let histories = histories.with_context(|| format!("in events {name}"))?;
            let id = |(id, series): (String, Series)| {
                Some((id.parse().ok()?, Recorded::new(vec![series], Vec::new())))
            };
            Ok((histories.into_iter().filter_map(id).collect(), Book::of(catalog)))
        }
        Source::Ledger { path, vantage, from, to } => {
            crate::daemon::history::of_ledger(catalog, path, vantage, *from, *to)
        }
    }
}

impl Finding<'_> {
    fn status(&self, at: Timestamp) -> SloStatus {
        let status = self.subject.status_at(at);
        let is_corrected = |own: &&Amendments| own.mark(status.clone()).corrected;
        let corrected = self.amendments.iter().any(is_corrected);
        SloStatus { corrected, ..status }
    }

    fn json(&self, at: &[Timestamp]) -> Value {
        let last = self.ticks.map(|(_, last)| last);
        let states: Vec<Value> = at
            .iter()
            .copied()
            .chain(last)
            .map(|at| {
                let status = self.status(at);
                render::outlook_json(&status, self.subject.survival(&status))
            })
            .collect();
        let mut json = json!({
            "slo": self.slo.id.as_str(),
            "objective": self.slo.objective.ratio(),
            "window": self.slo.window.to_string(),
            "states": states,
            "alerts": [],
            "pages": [],
            "tickets": [],
            "score": {"page": score_json(Score::default()), "ticket": score_json(Score::default())},
        });
        if let Some([declared, same, one]) = &self.replays {
            json["alerts"] = self.alerts_json(declared);
            merge(&mut json, replay_json(declared));
            json["variants"] = json!({"same": replay_json(same), "1x": replay_json(one)});
        }
        json
    }

    fn alerts_json(&self, replay: &Replay) -> Value {
        let pairs = self.slo.policy.iter().flat_map(|policy| &policy.pairs).zip(&replay.pairs);
        let mut alerts: Vec<(Timestamp, Value)> = Vec::new();
        for (pair, intervals) in pairs {
            for interval in intervals {
                let status = self.status(interval.on);
                let mut alert = interval_json(interval);
                alert["severity"] = pair.severity.word().into();
                alert["pair"] = pair.name().into();
                alert["spent_ratio_at_on"] = status.budget.spent_ratio().into();
                alerts.push((interval.on, alert));
            }
        }
        alerts.sort_by_key(|(on, _)| *on);
        alerts.into_iter().map(|(_, alert)| alert).collect()
    }

    fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Some((first, last)) = self.ticks else { return Ok(()) };
        let status = self.status(last);
        let counted = status.budget.counted;
        writeln!(
            out,
            "{}: {} over {}, {first} to {last}",
            self.slo.id, self.slo.objective, self.slo.window,
        )?;
        writeln!(
            out,
            "  {} good ({} bad of {}{}), coverage {}, {}, {}",
            number::percent(counted.good, counted.total()),
            status.budget.bad_events(),
            status.budget.events(counted.total()),
            if status.corrected { ", corrected" } else { "" },
            number::percent_of(status.coverage.numerator as i128, status.coverage.denominator),
            status.budget.standing(),
            status.accounting.words(),
        )?;
        let Some([declared, same, one]) = &self.replays else {
            return writeln!(out, "  no alert policy");
        };
        for severity in Severity::ALL {
            for interval in &declared.severities[severity.index()].firing {
                let off = interval.off.map_or("still firing".to_owned(), |off| off.to_string());
                writeln!(out, "  {} from {} until {off}", severity.word(), interval.on)?;
            }
            let told = |replay: &Replay| {
                let score = replay.severities[severity.index()].score;
                let ratio = |of| share(score.both, of).unwrap_or_else(|| "-".to_owned());
                format!("precision {} recall {}", ratio(score.alerted), ratio(score.significant))
            };
            writeln!(
                out,
                "  {}: {} (short window at 1x: {})",
                severity.word(),
                told(same),
                told(one)
            )?;
        }
        Ok(())
    }
}

fn merge(json: &mut Value, other: Value) {
    if let (Value::Object(json), Value::Object(other)) = (json, other) {
        json.extend(other);
    }
}

fn replay_json(replay: &Replay) -> Value {
    let [page, ticket] = &replay.severities;
    let intervals = |all: &[Interval]| all.iter().map(interval_json).collect::<Value>();
    json!({
        "pages": intervals(&page.firing),
        "tickets": intervals(&ticket.firing),
        "score": {"page": score_json(page.score), "ticket": score_json(ticket.score)},
    })
}

fn interval_json(interval: &Interval) -> Value {
    let off = interval.off.map(|off| off.to_string());
    json!({"on": interval.on.to_string(), "off": off})
}

/// Precision and recall over every SLO together, under both rules for short windows.
fn suite(findings: &[Finding<'_>], severity: usize) -> Value {
    let total = |variant: usize| {
        let replays = findings.iter().filter_map(|finding| finding.replays.as_ref());
        let scores = replays.map(|replays| replays[variant].severities[severity].score);
        score_json(scores.fold(Score::default(), std::ops::Add::add))
    };
    let mut json = total(0);
    json["variants"] = json!({"same": total(1), "1x": total(2)});
    json
}

fn score_json(score: Score) -> Value {
    json!({
        "precision": share(score.both, score.alerted),
        "recall": share(score.both, score.significant),
        "alerted": score.alerted,
        "significant": score.significant,
        "both": score.both,
    })
}

/// A share as decimal text; none of nothing.
fn share(of: u64, all: u64) -> Option<String> {
    decimal::ratio(of.into(), all.into())
}
