//! Looking at all of a ledger, without changing it.
//!
//! Reads every row and every page: checksums, order, books, histograms, SQLite's own structure,
//! and the log where nobody is writing it.

use std::collections::BTreeMap;
use std::path::Path;

use super::damage::{Damage, Part};
use super::error::LedgerError;
use super::files;
use super::prepared::latencies_crc;
use super::reader::{Moment, Reader};
use super::restore::Restored;
use super::shape::decode_latencies;
use super::store::{blob, int};
use super::survey::survey;
use crate::model::{Run, SeriesId, Tally, Timestamp};

/// What a ledger holds, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Made with the ledger; another one for one that was begun anew.
    pub epoch: String,
    /// The first and the last batch that there must be; none while there is no batch.
    pub batches: Option<(i64, i64)>,
    /// Slices that are whole.
    pub slices: u64,
    /// Histograms that are whole.
    pub latencies: u64,
    /// Named states that are whole.
    pub states: u64,
    /// Each series that is named or has history.
    pub series: BTreeMap<SeriesId, SeriesExtent>,
    /// What is wrong.
    pub damage: Vec<Damage>,
    /// What was wrong earlier and has been moved aside.
    pub known: Vec<Damage>,
}

/// What is known of one series.
#[derive(Clone, Debug, Default)]
pub struct SeriesExtent {
    /// Probe and vantage; none if its name is lost.
    pub name: Option<(String, String)>,
    /// How many slots of each outcome.
    pub slots: Tally,
    /// When its first slot was due.
    pub from: Option<Timestamp>,
    /// When its last slot was due.
    pub to: Option<Timestamp>,
}

impl SeriesExtent {
    fn count(&mut self, run: &Run) {
        self.slots += Tally::of(run.verdict.outcome(), run.n.into());
        self.from = Some(self.from.map_or(run.start, |from| from.min(run.start)));
        self.to = self.to.max(Some(super::batch::last_slot(run)));
    }
}

impl Reader {
    /// Reads everything and tells what there is and what is wrong. Takes as long as reading the
    /// whole file twice; a writer goes on meanwhile.
    ///
    /// # Errors
    /// SQLite cannot read the database.
    pub fn verify(&self) -> Result<Verified, LedgerError> {
        let directory = self.path().parent().unwrap_or(Path::new("."));
        let log = files::inspect_log_unheld(directory)?;
        let mut found = self.at_once(|moment| {
            let mut found = look(moment)?;
            latencies(moment, &mut found)?;
            pages(moment, &mut found)?;
            Ok(found)
        })?;
        found.damage.extend(log);
        Ok(found)
    }
}

fn look(moment: &Moment<'_>) -> rusqlite::Result<Verified> {
    let head = &moment.head;
    let mut found = Verified {
        epoch: head.epoch.iter().map(|byte| format!("{byte:02x}")).collect(),
        batches: (head.first_seq <= head.last_seq).then_some((head.first_seq, head.last_seq)),
        damage: moment.damage.clone(),
        ..Verified::default()
    };
    for ((probe, vantage), id) in &moment.series {
        let name = Some((probe.clone(), vantage.clone()));
        found.series.insert(*id, SeriesExtent { name, ..SeriesExtent::default() });
    }
    let mut count = |series: SeriesId, run: &Run| {
        found.series.entry(series).or_default().count(run);
    };
    let report = survey(moment.db, head, Timestamp::MIN, &mut |piece| match piece {
        Restored::State { .. } => {}
        Restored::Slice { series, runs, .. } => runs.iter().for_each(|run| count(series, run)),
        Restored::Gap(series, run) => count(series, &run),
        Restored::Observation(o) => {
            let step = std::time::Duration::from_secs(1);
            count(o.series, &Run { start: o.due, step, n: 1, verdict: o.verdict, class: 0 });
        }
    })?
    .report;
    (found.states, found.slices, found.known) = (report.states, report.slices, report.known);
    found.damage.extend(report.damage);
    Ok(found)
}

/// Histograms are not read when history is restored.
fn latencies(moment: &Moment<'_>, found: &mut Verified) -> rusqlite::Result<()> {
    let sql = "SELECT s.\"from\", s.series, s.\"to\", l.crc, l.body FROM slice s \
               LEFT JOIN latencies l ON l.id = s.latencies \
               WHERE s.latencies IS NOT NULL ORDER BY s.\"from\", s.series";
    let mut query = moment.db.prepare(sql)?;
    let mut rows = query.query([])?;
    let mut scratch = Vec::new();
    while let Some(row) = rows.next()? {
        let (Some(from), Some(series), Some(to)) = (int(row, 0), int(row, 1), int(row, 2)) else {
            continue;
        };
        let read = int(row, 3).zip(blob(row, 4)).and_then(|(crc, body)| {
            (crc == latencies_crc(from, series, to, body))
                .then(|| decode_latencies(body, &mut scratch))
                .flatten()
        });
        match read {
            Some(_) => found.latencies += 1,
            None => {
                let damage = Damage::new(Part::Latencies, "missing, or its checksum is wrong");
                found.damage.push(damage.series(series).between(from, to));
            }
        }
    }
    Ok(())
}

/// SQLite's own structure, and pages that nothing refers to.
fn pages(moment: &Moment<'_>, found: &mut Verified) -> rusqlite::Result<()> {
    let mut query = moment.db.prepare("PRAGMA quick_check(10)")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said != "ok" {
            found.damage.push(Damage::new(Part::File, said));
        }
    }
    Ok(())
}
