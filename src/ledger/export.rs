//! All of a ledger as text: every row, exact, of one moment.
//!
//! What is damaged is left out and told; nothing is moved aside.

use std::io::{self, Write};

use rusqlite::types::ValueRef;

use super::batch::decode;
use super::damage::{Damage, Part};
use super::dump::{Begin, DamageLine, LatenciesLine, Line, Lines, SCHEMA, SliceLine};
use super::error::LedgerError;
use super::prepared::{batch_crc, latencies_crc, slice_crc, state_crc};
use super::reader::{Moment, Reader};
use super::restore::survey;
use super::shape::{decode_latencies, decode_runs};
use super::store::{blob, int, text};
use crate::model::{Latencies, Timestamp};

/// What an export wrote, and what it could not.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// Lines, without the last one.
    pub lines: u64,
    /// What is damaged and therefore not in them.
    pub damage: Vec<Damage>,
}

impl Reader {
    /// Writes everything that is whole; somebody else may be writing the ledger meanwhile.
    ///
    /// # Errors
    /// SQLite cannot read the database, or `out` takes no more; what was written by then is not
    /// whole, and an import refuses it.
    pub fn export(&self, out: &mut dyn Write) -> Result<Exported, LedgerError> {
        let mut failed = None;
        let done = self.at_once(|moment| {
            let mut export = Export { moment, lines: Lines::new(out), failed: None };
            let survey = survey(moment.db, &moment.head, Timestamp::MIN, &mut |_| {})?;
            let mut damage = moment.damage.clone();
            damage.extend(survey.report.damage);
            export.all(&mut damage)?;
            let lines = match export.failed {
                None => export.lines.end().unwrap_or_else(|error| {
                    failed = Some(error);
                    0
                }),
                error => {
                    failed = error;
                    0
                }
            };
            Ok(Exported { lines, damage })
        })?;
        match failed {
            None => Ok(done),
            Some(source) => {
                Err(LedgerError::Io { doing: "export", path: self.path().to_owned(), source })
            }
        }
    }
}

struct Export<'a, 'b> {
    moment: &'a Moment<'a>,
    lines: Lines<'b>,
    /// Why no line is written any more.
    failed: Option<io::Error>,
}

impl Export<'_, '_> {
    fn put(&mut self, line: &Line) {
        if self.failed.is_none() {
            self.failed = self.lines.put(line).err();
        }
    }

    fn all(&mut self, damage: &mut Vec<Damage>) -> rusqlite::Result<()> {
        let head = &self.moment.head;
        self.put(&Line::Ledger(Begin {
            schema: SCHEMA.to_owned(),
            epoch: hex(&head.epoch),
            first_seq: head.first_seq,
            last_seq: head.last_seq,
            next_series: head.next_series,
        }));
        let mut series: Vec<_> = self.moment.series.iter().collect();
        series.sort_by_key(|(_, id)| **id);
        for ((probe, vantage), id) in series {
            let (probe, vantage) = (probe.clone(), vantage.clone());
            self.put(&Line::Series { id: id.0, probe, vantage });
        }
        self.states()?;
        self.quarantine()?;
        self.slices(damage)?;
        self.batches()
    }

    fn states(&mut self) -> rusqlite::Result<()> {
        let mut query =
            self.moment.db.prepare("SELECT name, json, crc FROM state ORDER BY name")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            if let (Some(name), Some(json)) = (text(row, 0), text(row, 1))
                && int(row, 2) == Some(state_crc(name, json))
            {
                self.put(&Line::State { name: name.to_owned(), json: json.to_owned() });
            }
        }
        Ok(())
    }

    fn quarantine(&mut self) -> rusqlite::Result<()> {
        let sql = "SELECT part, first_seq, last_seq, series, \"from\", \"to\", why, body \
                   FROM quarantine ORDER BY id";
        let mut query = self.moment.db.prepare(sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let body = match row.get_ref(7)? {
                ValueRef::Blob(bytes) => Some(hex(bytes)),
                _ => None,
            };
            self.put(&Line::Damage(DamageLine {
                part: text(row, 0).unwrap_or_default().to_owned(),
                first_seq: int(row, 1),
                last_seq: int(row, 2),
                series: int(row, 3),
                from: int(row, 4),
                to: int(row, 5),
                why: text(row, 6).unwrap_or_default().to_owned(),
                body,
            }));
        }
        Ok(())
    }

    fn slices(&mut self, damage: &mut Vec<Damage>) -> rusqlite::Result<()> {
        let sql = "SELECT s.\"from\", s.series, s.\"to\", s.crc, s.body, s.latencies IS NOT NULL, \
                   l.crc, l.body FROM slice s LEFT JOIN latencies l ON l.id = s.latencies \
                   ORDER BY s.\"from\", s.series";
        let mut query = self.moment.db.prepare(sql)?;
        let mut rows = query.query([])?;
        let (mut scratch, mut runs) = (Vec::new(), Vec::new());
        let mut thresholds = Vec::new();
        while let Some(row) = rows.next()? {
            let numbers: Option<Vec<i64>> =
                [0, 1, 2, 3, 5].map(|at| int(row, at)).into_iter().collect();
            let (Some(&[from, series, to, crc, with]), Some(body)) =
                (numbers.as_deref(), blob(row, 4))
            else {
                continue;
            };
            let start = Timestamp::from_micros(from);
            let whole = crc == slice_crc(from, series, to, with != 0, body)
                && decode_runs(start, body, &mut scratch, &mut thresholds, &mut runs).is_some();
            let (true, Ok(series)) = (whole, u32::try_from(series)) else { continue };
            let mut latencies = Latencies::default();
            if with != 0 {
                let key = (from, series.into(), to);
                match histogram(row, key, &mut scratch) {
                    Some(found) => latencies = found,
                    None => {
                        let why = "a histogram is damaged; its slice is exported without it";
                        let told = Damage::new(Part::Latencies, why).series(series.into());
                        damage.push(told.between(from, to));
                    }
                }
            }
            self.put(&Line::Slice(SliceLine {
                series,
                from,
                to,
                thresholds: thresholds.clone(),
                runs: runs.iter().map(Into::into).collect(),
                latencies: LatenciesLine::new(&latencies),
            }));
        }
        Ok(())
    }

    fn batches(&mut self) -> rusqlite::Result<()> {
        let sql = "SELECT seq, first_due, last_due, n, crc, body FROM batch ORDER BY seq";
        let mut query = self.moment.db.prepare(sql)?;
        let mut rows = query.query([])?;
        let (mut scratch, mut entries) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            let numbers: Option<Vec<i64>> = (0..5).map(|at| int(row, at)).collect();
            let (Some(&[seq, first, last, n, crc]), Some(body)) =
                (numbers.as_deref(), blob(row, 5))
            else {
                continue;
            };
            let whole = crc == batch_crc(seq, first, last, n, body);
            if whole && decode(body, n, &mut scratch, &mut entries).is_some() {
                for entry in &entries {
                    self.put(&Line::of_entry(seq, entry));
                }
            }
        }
        Ok(())
    }
}

fn histogram(
    row: &rusqlite::Row<'_>,
    (from, series, to): (i64, i64, i64),
    scratch: &mut Vec<u8>,
) -> Option<Latencies> {
    let (crc, body) = (int(row, 6)?, blob(row, 7)?);
    (crc == latencies_crc(from, series, to, body)).then(|| decode_latencies(body, scratch))?
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
