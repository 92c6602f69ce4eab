//! The text form of a ledger: one JSON object a line, exact, and whole or refused.
//!
//! Knows lines, not tables. Times are microseconds since 1970, durations microseconds. The last
//! line holds the number of lines and the CRC-32C of everything before it.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::batch::Entry;
use super::damage::Damage;
use crate::model::{Counts, Latencies, Observation, Phases, Run, SeriesId, Timestamp, Verdict};

/// The form that this version writes and reads.
pub const SCHEMA: &str = "nines.ledger-export/v1";

/// Longest line that is read: a slice of a year, each of whose slots differs from the next.
const MAX_LINE: u64 = 512 << 20;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    Ledger(Begin),
    Series { id: u32, probe: String, vantage: String },
    State { name: String, json: String },
    Damage(DamageLine),
    Slice(SliceLine),
    Observation(ObservationLine),
    Gap(GapLine),
    End { lines: u64, crc32c: u32 },
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begin {
    pub schema: String,
    pub epoch: String,
    pub first_seq: i64,
    pub last_seq: i64,
    pub next_series: i64,
}

/// A row of the quarantine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DamageLine {
    pub part: String,
    pub first_seq: Option<i64>,
    pub last_seq: Option<i64>,
    pub series: Option<i64>,
    pub from: Option<i64>,
    pub to: Option<i64>,
    pub why: String,
    /// Hexadecimal.
    pub body: Option<String>,
}

impl DamageLine {
    /// A note of damage without bytes.
    pub fn new(damage: &Damage) -> Self {
        DamageLine {
            part: damage.part.word().to_owned(),
            first_seq: damage.seqs.map(|seqs| seqs.0),
            last_seq: damage.seqs.map(|seqs| seqs.1),
            series: damage.series.map(|series| series.0.into()),
            from: damage.from.map(Timestamp::micros),
            to: damage.to.map(Timestamp::micros),
            why: damage.why.clone(),
            body: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SliceLine {
    pub series: u32,
    pub from: i64,
    pub to: i64,
    pub thresholds: Vec<u32>,
    pub runs: Vec<RunLine>,
    pub latencies: Option<LatenciesLine>,
}

/// Start, step, how many, verdict, class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunLine(i64, u64, u32, VerdictText, u8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LatenciesLine {
    min: u64,
    max: u64,
    sum: u64,
    buckets: Vec<(u32, u32)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObservationLine {
    pub seq: i64,
    series: u32,
    due: i64,
    lag: u64,
    latency: Option<u64>,
    /// In the order of [`Phases::NAMES`]; none if all are zero.
    phases: Option<[u64; 6]>,
    verdict: VerdictText,
    detail: Option<String>,
    certificate_not_after: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GapLine {
    pub seq: i64,
    series: u32,
    run: RunLine,
}

/// `good`, `bad/status`, `unknown/late`, `excluded`; `counted/12/3/0` for so many good, bad and
/// unknown events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct VerdictText(Verdict);

/// What the text of a counted verdict begins with.
const COUNTED: &str = "counted/";

impl From<VerdictText> for String {
    fn from(VerdictText(verdict): VerdictText) -> String {
        if let Verdict::Counted(Counts { good, bad, unknown }) = verdict {
            return format!("{COUNTED}{good}/{bad}/{unknown}");
        }
        let outcome = verdict.outcome().word();
        verdict.reason().map_or(outcome.to_owned(), |reason| format!("{outcome}/{reason}"))
    }
}

impl TryFrom<String> for VerdictText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(counts) = text.strip_prefix(COUNTED) {
            let counts: Vec<_> = counts.split('/').filter_map(|n| n.parse().ok()).collect();
            let [good, bad, unknown] = counts[..] else {
                return Err(format!("{text:?} is no verdict"));
            };
            let verdict = VerdictText(Verdict::Counted(Counts { good, bad, unknown }));
            let same = String::from(verdict.clone()) == text;
            return same.then_some(verdict).ok_or_else(|| format!("{text:?} is no verdict"));
        }
        let all = (0..=u8::MAX).filter_map(Verdict::from_code).map(VerdictText);
        let mut found = all.filter(|verdict| String::from(verdict.clone()) == text);
        found.next().ok_or_else(|| format!("{text:?} is no verdict"))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl From<&Run> for RunLine {
    fn from(run: &Run) -> Self {
        let (start, step) = (run.start.micros(), micros(run.step));
        RunLine(start, step, run.n, VerdictText(run.verdict), run.class)
    }
}

impl From<&RunLine> for Run {
    fn from(RunLine(start, step, n, VerdictText(verdict), class): &RunLine) -> Self {
        let (start, step) = (Timestamp::from_micros(*start), Duration::from_micros(*step));
        Run { start, step, n: *n, verdict: *verdict, class: *class }
    }
}

impl LatenciesLine {
    /// None of no latencies.
    pub fn new(latencies: &Latencies) -> Option<Self> {
        let (min, max) = (micros(latencies.min()?), micros(latencies.max()?));
        let (sum, buckets) = (micros(latencies.sum()), latencies.buckets().to_vec());
        Some(LatenciesLine { min, max, sum, buckets })
    }

    pub fn latencies(&self) -> Latencies {
        let [sum, min, max] = [self.sum, self.min, self.max].map(Duration::from_micros);
        Latencies::from_parts(&self.buckets, sum, min, max)
    }
}

impl Line {
    /// An entry of the batch of this number.
    pub fn of_entry(seq: i64, entry: &Entry) -> Self {
        match entry {
            Entry::Gap(series, run) => {
                Line::Gap(GapLine { seq, series: series.0, run: run.into() })
            }
            Entry::Observation(o) => Line::Observation(ObservationLine {
                seq,
                series: o.series.0,
                due: o.due.micros(),
                lag: micros(o.lag),
                latency: o.latency.map(micros),
                phases: (o.phases != Phases::default()).then(|| o.phases.durations().map(micros)),
                verdict: VerdictText(o.verdict),
                detail: o.detail.as_deref().map(str::to_owned),
                certificate_not_after: o.certificate_not_after.map(Timestamp::micros),
            }),
        }
    }
}

impl From<&GapLine> for Entry {
    fn from(line: &GapLine) -> Entry {
        Entry::Gap(SeriesId(line.series), Run::from(&line.run))
    }
}

impl From<&ObservationLine> for Entry {
    fn from(line: &ObservationLine) -> Entry {
        let [dns, connect, tls, send, wait, receive] =
            line.phases.unwrap_or_default().map(Duration::from_micros);
        Entry::Observation(Observation {
            series: SeriesId(line.series),
            due: Timestamp::from_micros(line.due),
            lag: Duration::from_micros(line.lag),
            latency: line.latency.map(Duration::from_micros),
            phases: Phases { dns, connect, tls, send, wait, receive },
            verdict: line.verdict.0,
            detail: line.detail.as_deref().map(Into::into),
            certificate_not_after: line.certificate_not_after.map(Timestamp::from_micros),
        })
    }
}

/// Writes lines and seals them.
pub(super) struct Lines<'a> {
    out: &'a mut dyn Write,
    n: u64,
    crc: u32,
}

impl<'a> Lines<'a> {
    pub fn new(out: &'a mut dyn Write) -> Self {
        Lines { out, n: 0, crc: 0 }
    }

    pub fn put(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.crc = crc32c::crc32c_append(self.crc, &text);
        self.n += 1;
        self.out.write_all(&text)
    }

    /// Writes the last line; how many there are before it.
    pub fn end(mut self) -> io::Result<u64> {
        let (lines, crc32c) = (self.n, self.crc);
        self.put(&Line::End { lines, crc32c })?;
        self.out.flush()?;
        Ok(lines)
    }
}

/// Reads all lines but the last, which must be right.
///
/// # Errors
/// A line cannot be read or is none; the text is not whole; `take` says so.
pub(super) fn read<E: From<Broken>>(
    input: &mut dyn BufRead,
    mut take: impl FnMut(Line) -> Result<(), E>,
) -> Result<u64, E> {
    let (mut n, mut crc) = (0, 0);
    let mut text = Vec::new();
    loop {
        text.clear();
        let broken = |why: String| E::from(Broken { line: n + 1, why });
        let mut bounded = io::Read::take(&mut *input, MAX_LINE);
        bounded.read_until(b'\n', &mut text).map_err(|error| broken(error.to_string()))?;
        if text.last() != Some(&b'\n') {
            let why = if text.is_empty() { "the last line is missing" } else { "it is cut off" };
            return Err(broken(why.to_owned()));
        }
        let line: Line = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
        match line {
            Line::End { lines, crc32c } if (lines, crc32c) == (n, crc) => return Ok(n),
            Line::End { .. } => {
                return Err(broken("lines before it are missing or changed".to_owned()));
            }
            line => take(line)?,
        }
        crc = crc32c::crc32c_append(crc, &text);
        n += 1;
    }
}

/// What is wrong with a text, and in which line.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Broken {
    /// Counted from one.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}
