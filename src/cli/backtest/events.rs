//! Events written down one a line (NDJSON), read into histories.
//!
//! Reads everything or nothing: the first line that is wrong is an error with its number. Counts
//! are exact; a range of equal events costs as much as one.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::time::Duration;

use serde::Deserialize;

use crate::engine::series::Series;
use crate::model::time::parse_duration;
use crate::model::{Slo, Tally, Timestamp};

/// Longest line, in bytes. The longest meaningful one is far shorter.
const MAX_LINE: usize = 16 * 1024;

/// What is wrong with one line.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// The line does not say what an event must say.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// The file could not be read.
    #[error("line {line}: cannot be read: {source}")]
    Read {
        /// The number of the line after the last one that could be read, from 1.
        line: usize,
        /// Why.
        source: std::io::Error,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    slo: String,
    at: Option<String>,
    from: Option<String>,
    to: Option<String>,
    every: Option<String>,
    outcome: Option<String>,
    good: Option<u64>,
    bad: Option<u64>,
    unknown: Option<u64>,
    excluded: Option<u64>,
    latency: Option<String>,
}

/// Equal events at equal distances.
struct Events {
    start: Timestamp,
    step: Duration,
    n: u32,
    each: Tally,
}

/// Reads the history of each SLO that occurs. `find` looks an SLO up by id; `near` names the
/// known id that is most like an unknown one.
///
/// # Errors
/// The first line that is not an event, that names an unknown SLO, or that goes back in time.
pub fn read<'a>(
    input: &mut dyn BufRead,
    find: impl Fn(&str) -> Option<&'a Slo>,
    known: &str,
) -> Result<BTreeMap<String, Series>, EventsError> {
    let mut histories: BTreeMap<String, (Series, Timestamp)> = BTreeMap::new();
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        let mut bounded = std::io::Read::take(&mut *input, MAX_LINE as u64 + 1);
        match bounded.read_line(&mut text) {
            Ok(0) => break,
            Ok(_) if text.len() > MAX_LINE => {
                let problem = format!("longer than {MAX_LINE} bytes");
                return Err(EventsError::Line { line, problem });
            }
            Ok(_) => {}
            Err(source) => return Err(EventsError::Read { line, source }),
        }
        if text.trim().is_empty() {
            continue;
        }
        let fail = |problem| EventsError::Line { line, problem };
        let parsed: Line = serde_json::from_str(&text).map_err(|e| fail(json_problem(&e)))?;
        let slo = find(&parsed.slo).ok_or_else(|| {
            fail(format!("no SLO {:?} in the specs; there are {known}", parsed.slo))
        })?;
        if slo.is_composite() {
            let parts: Vec<&str> = slo.parts.iter().map(|part| part.slo.as_str()).collect();
            let parts = parts.join(", ");
            return Err(fail(format!("{} is made of {parts}: write their events", slo.id)));
        }
        let events = events(&parsed, slo).map_err(fail)?;
        let (series, until) =
            histories.entry(parsed.slo).or_insert((Series::default(), Timestamp::MIN));
        if events.start < *until {
            let problem = format!(
                "{} is before {until}; events of one SLO must come in time order",
                events.start
            );
            return Err(fail(problem));
        }
        *until = events.start.plus(events.step * (events.n - 1));
        series.push(events.start, events.step, events.n, events.each);
    }
    Ok(histories.into_iter().map(|(id, (series, _))| (id, series)).collect())
}

/// serde's message without its own line number, which is always 1.
fn json_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    format!("{text} (column {})", error.column())
}

fn events(line: &Line, slo: &Slo) -> Result<Events, String> {
    let each = counts(line, slo)?;
    let time = |name: &str, text: &str| -> Result<Timestamp, String> {
        text.parse().map_err(|error| format!("`{name}`: {error}"))
    };
    match (&line.at, &line.from, &line.to, &line.every) {
        (Some(at), None, None, None) => {
            Ok(Events { start: time("at", at)?, step: Duration::ZERO, n: 1, each })
        }
        (None, Some(from), Some(to), Some(every)) => {
            let (start, end) = (time("from", from)?, time("to", to)?);
            let step = parse_duration(every).map_err(|error| format!("`every`: {error}"))?;
            if step.is_zero() || start >= end {
                return Err("`from` must be before `to`, and `every` longer than 0s".to_owned());
            }
            let n = end.since(start).as_micros().div_ceil(step.as_micros());
            let n = u32::try_from(n).map_err(|_| "more than 4,294,967,295 events".to_owned())?;
            Ok(Events { start, step, n, each })
        }
        _ => Err("an event has either `at`, or `from`, `to` and `every`".to_owned()),
    }
}

fn counts(line: &Line, slo: &Slo) -> Result<Tally, String> {
    let counts = [line.good, line.bad, line.unknown, line.excluded];
    let has_counts = counts.iter().any(Option::is_some);
    match (&line.outcome, has_counts, &line.latency) {
        (Some(outcome), false, None) => outcome_of(outcome),
        (None, true, None) => {
            let [good, bad, unknown, excluded] = counts.map(Option::unwrap_or_default);
            if [good, bad, unknown, excluded].iter().any(|n| u32::try_from(*n).is_err()) {
                return Err("a count of more than 4,294,967,295 in one event".to_owned());
            }
            Ok(Tally { good, bad, unknown, excluded })
        }
        (None, false, Some(latency)) => {
            let under = slo.latency_under.ok_or_else(|| {
                format!("{} has no latency threshold; give an `outcome` instead", slo.id)
            })?;
            let latency = parse_duration(latency).map_err(|error| format!("`latency`: {error}"))?;
            outcome_of(if latency <= under { "good" } else { "bad" })
        }
        _ => Err("an event has one of `outcome`, counts (`good`, `bad`, `unknown`, `excluded`) \
                  and `latency`"
            .to_owned()),
    }
}

fn outcome_of(word: &str) -> Result<Tally, String> {
    use crate::model::Outcome::{Bad, Excluded, Good, Unknown};
    [Good, Bad, Unknown, Excluded]
        .into_iter()
        .find(|outcome| outcome.word() == word)
        .map(|outcome| Tally::of(outcome, 1))
        .ok_or_else(|| format!("`outcome`: {word:?} is not one of good, bad, unknown, excluded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slo() -> Slo {
        Slo {
            latency_under: Some(Duration::from_millis(300)),
            ..Slo::new(
                "svc/availability".parse().expect("valid"),
                "99.9%".parse().expect("valid"),
                Duration::from_secs(86_400),
            )
        }
    }

    fn read_text(text: &str) -> Result<Tally, String> {
        let slo = slo();
        let find = |id: &str| (id == "svc/availability").then_some(&slo);
        read(&mut text.as_bytes(), find, "svc/availability")
            .map(|all| all.values().map(Series::total).sum())
            .map_err(|error| error.to_string())
    }

    fn line(rest: &str) -> String {
        format!("{{\"slo\":\"svc/availability\",{rest}}}\n")
    }

    #[test]
    fn every_form_of_event_is_counted() {
        let range =
            "\"from\":\"2026-01-01T00:00:00Z\",\"to\":\"2026-01-01T00:01:00Z\",\"every\":\"7s\"";
        let text = [
            line("\"at\":\"2025-12-31T23:59:07Z\",\"good\":1,\"bad\":0"),
            line(&format!("{range},\"outcome\":\"unknown\"")),
            line("\"at\":\"2026-01-01T00:01:00Z\",\"latency\":\"300ms\""),
            "\n".to_owned(),
            line("\"at\":\"2026-01-01T00:01:01Z\",\"latency\":\"301ms\""),
            line("\"at\":\"2026-01-01T00:01:02Z\",\"good\":85,\"bad\":15,\"excluded\":2"),
        ];
        let expect = Tally { good: 87, bad: 16, unknown: 9, excluded: 2 };
        assert_eq!(read_text(&text.concat()), Ok(expect));
    }

    #[test]
    fn a_wrong_line_is_told_by_its_number_and_nothing_is_half_read() {
        let good = line("\"at\":\"2026-01-01T00:00:10Z\",\"outcome\":\"good\"");
        let check = |bad: &str, named: &str| {
            let error = read_text(&format!("{good}{bad}")).expect_err(bad);
            assert!(error.starts_with("line 2: ") && error.contains(named), "{error}");
        };
        check("nonsense", "expected");
        check(&line("\"at\":\"2026-01-01T00:00:09Z\",\"outcome\":\"good\""), "time order");
        check(&line("\"at\":\"yesterday\",\"outcome\":\"good\""), "`at`");
        check(&line("\"at\":\"2026-01-01T00:00:11Z\",\"outcome\":\"fine\""), "fine");
        check(&line("\"at\":\"2026-01-01T00:00:11Z\""), "`outcome`");
        check(&line("\"at\":\"2026-01-01T00:00:11Z\",\"good\":1,\"outcome\":\"good\""), "one of");
        check(&line("\"at\":\"2026-01-01T00:00:11Z\",\"goood\":1"), "goood");
        check(&line("\"from\":\"2026-01-01T00:00:11Z\",\"outcome\":\"good\""), "`every`");
        check("{\"slo\":\"svc/x\",\"at\":\"2026-01-01T00:00:11Z\",\"good\":1}", "svc/x");
        check(&line(&format!("\"latency\":\"{}\"", " ".repeat(MAX_LINE))), "longer");
    }
}
