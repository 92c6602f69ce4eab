//! All of a ledger as text: every row, exact, of one moment.
//!
//! What is damaged is left out and told; nothing is moved aside.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params_from_iter};

use super::batch::decode;
use super::damage::{Damage, Part};
use super::dump::{Begin, DamageLine, LatenciesLine, Line, Lines, SCHEMA, SliceLine};
use super::error::LedgerError;
use super::head::Head;
use super::prepared::{batch_crc, latencies_crc, slice_crc, state_crc};
use super::reader::{Moment, Reader};
use super::shape::{decode_latencies, decode_runs};
use super::store::{self, blob, int, text};
use super::survey::survey;
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
        self.begin();
        self.states()?;
        self.quarantine()?;
        self.slices(damage)?;
        self.batches()
    }

    fn begin(&mut self) {
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
    }

    fn states(&mut self) -> rusqlite::Result<()> {
        let mut query =
            self.moment.db.prepare("SELECT name, json, crc FROM state ORDER BY name")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            self.state(row);
        }
        Ok(())
    }

    fn state(&mut self, row: &Row<'_>) {
        if let (Some(name), Some(json)) = (text(row, 0), text(row, 1))
            && int(row, 2) == Some(state_crc(name, json))
        {
            self.put(&Line::State { name: name.to_owned(), json: json.to_owned() });
        }
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
        let sql = format!("{SLICE} ORDER BY s.\"from\", s.series");
        let mut query = self.moment.db.prepare(&sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            self.slice(row, damage);
        }
        Ok(())
    }

    fn slice(&mut self, row: &Row<'_>, damage: &mut Vec<Damage>) {
        let numbers: Option<Vec<i64>> =
            [0, 1, 2, 3, 5].map(|at| int(row, at)).into_iter().collect();
        let (Some(&[from, series, to, crc, with]), Some(body)) = (numbers.as_deref(), blob(row, 4))
        else {
            return;
        };
        let (mut scratch, mut thresholds, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        let start = Timestamp::from_micros(from);
        let whole = crc == slice_crc(from, series, to, with != 0, body)
            && decode_runs(start, body, &mut scratch, &mut thresholds, &mut runs).is_some();
        let (true, Ok(id)) = (whole, u32::try_from(series)) else { return };
        let mut latencies = Latencies::default();
        if with != 0 {
            match histogram(row, (from, series, to), &mut scratch) {
                Some(found) => latencies = found,
                None => {
                    let why = "a histogram is damaged; its slice is exported without it";
                    let told = Damage::new(Part::Latencies, why).series(series);
                    damage.push(told.between(from, to));
                }
            }
        }
        self.put(&Line::Slice(SliceLine {
            series: id,
            from,
            to,
            thresholds,
            runs: runs.iter().map(Into::into).collect(),
            latencies: LatenciesLine::new(&latencies),
        }));
    }

    fn batches(&mut self) -> rusqlite::Result<()> {
        let mut query = self.moment.db.prepare(&format!("{BATCH} ORDER BY seq"))?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            self.batch(row);
        }
        Ok(())
    }

    fn batch(&mut self, row: &Row<'_>) {
        let numbers: Option<Vec<i64>> = (0..5).map(|at| int(row, at)).collect();
        let (Some(&[seq, first, last, n, crc]), Some(body)) = (numbers.as_deref(), blob(row, 5))
        else {
            return;
        };
        let (mut scratch, mut entries) = (Vec::new(), Vec::new());
        let whole = crc == batch_crc(seq, first, last, n, body);
        if whole && decode(body, n, &mut scratch, &mut entries).is_some() {
            for entry in &entries {
                self.put(&Line::of_entry(seq, entry));
            }
        }
    }

    /// Rows that are found by their keys, each on its own.
    fn pick(
        &mut self,
        slices: &BTreeSet<(i64, i64)>,
        seqs: &BTreeSet<i64>,
        damage: &mut Vec<Damage>,
    ) {
        for &(from, series) in slices {
            let found = [SLICE, BARE_SLICE].into_iter().any(|sql| {
                let sql = format!("{sql} WHERE s.\"from\" = ?1 AND s.series = ?2");
                let mut told = Vec::new();
                let read =
                    each(self.moment.db, &sql, &[from, series], |row| self.slice(row, &mut told));
                damage.append(&mut told);
                read.is_ok()
            });
            if !found {
                damage.push(Damage::new(Part::Slice, "cannot be read").series(series));
            }
        }
        for &seq in seqs {
            let sql = format!("{BATCH} WHERE seq = ?1");
            if each(self.moment.db, &sql, &[seq], |row| self.batch(row)).is_err() {
                damage.push(Damage::new(Part::Batch, "cannot be read").seqs(seq, seq));
            }
        }
    }
}

const BATCH: &str = "SELECT seq, first_due, last_due, n, crc, body FROM batch";

const SLICE: &str = "SELECT s.\"from\", s.series, s.\"to\", s.crc, s.body, \
                     s.latencies IS NOT NULL, l.crc, l.body \
                     FROM slice s LEFT JOIN latencies l ON l.id = s.latencies";

/// The same where the histograms are out of reach.
const BARE_SLICE: &str = "SELECT s.\"from\", s.series, s.\"to\", s.crc, s.body, \
                          s.latencies IS NOT NULL, NULL, NULL FROM slice s";

/// Writes what can be read of a database that is damaged beyond the checks of its rows: each
/// table from both ends, batches one by one. What is missing is told, and noted in the text.
///
/// # Errors
/// Not even the tables can be found.
pub(super) fn salvage(
    db: &Connection,
    out: &mut dyn Write,
) -> rusqlite::Result<(Vec<Damage>, Option<io::Error>)> {
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    let tables: i64 = db.query_row(tables, [], |row| row.get(0))?;
    if tables == 0 {
        return Err(rusqlite::Error::QueryReturnedNoRows);
    }
    let mut damage = Vec::new();
    let mut missing = |part, why: &str| damage.push(Damage::new(part, why));
    let (seqs, whole) = keys(db, "SELECT seq, 0 FROM batch", "seq");
    let known = Head::load(db).ok().flatten();
    if known.is_none() {
        missing(Part::Books, "the books are lost; what is missing cannot be told");
    }
    let mut head = known.clone().or_else(|| Head::from_rows(db).ok()).unwrap_or_else(|| {
        let first = seqs.first().map_or(1, |key| key.0);
        Head { first_seq: first, ..Head::new(vec![0; 16]) }
    });
    let mut seqs: BTreeSet<i64> = seqs.into_iter().map(|key| key.0).collect();
    if !whole {
        missing(Part::File, "batches are on pages that cannot be read");
        let all = head.first_seq..=head.last_seq;
        seqs.extend(all.take(MAX_SOUGHT));
    }
    head.last_seq = head.last_seq.max(seqs.last().copied().unwrap_or(0));
    let mut noted = Vec::new();
    let series = store::load_series(db, &head, &mut noted).unwrap_or_else(|_| {
        missing(Part::Series, "names are on pages that cannot be read");
        BTreeMap::new()
    });
    let (slices, whole) = keys(db, "SELECT \"from\", series FROM slice", "\"from\", series");
    if !whole {
        missing(Part::File, "slices are on pages that cannot be read");
    }
    let highest = series.values().map(|id| i64::from(id.0) + 1).max().unwrap_or(1);
    let used = slices.iter().map(|key| key.1 + 1).max().unwrap_or(1);
    head.next_series = head.next_series.max(highest).max(used);
    damage.extend(noted);
    let moment = Moment { db, head, series, damage: Vec::new() };
    let mut export = Export { moment: &moment, lines: Lines::new(out), failed: None };
    export.begin();
    let states = export.states().is_err();
    let notes = export.quarantine().is_err();
    for (lost, part) in [(states, Part::State), (notes, Part::File)] {
        if lost {
            damage.push(Damage::new(part, "rows are on pages that cannot be read"));
        }
    }
    for told in &damage {
        export.put(&Line::Damage(DamageLine::new(told)));
    }
    export.pick(&slices, &seqs, &mut damage);
    let failed = match export.failed {
        None => export.lines.end().err(),
        failed => failed,
    };
    Ok((damage, failed))
}

/// Most batches that are looked for one by one.
const MAX_SOUGHT: usize = 10_000_000;

/// Pairs of numbers from both ends of a table, and whether that is all of them.
fn keys(db: &Connection, sql: &str, order: &str) -> (BTreeSet<(i64, i64)>, bool) {
    let mut found = BTreeSet::new();
    let mut add = |row: &Row<'_>| found.extend(int(row, 0).zip(int(row, 1)));
    let down = order.split(", ").map(|column| format!("{column} DESC")).collect::<Vec<_>>();
    let up = each(db, &format!("{sql} ORDER BY {order}"), &[], &mut add);
    let whole = up.is_ok();
    if !whole {
        let sql = format!("{sql} ORDER BY {}", down.join(", "));
        // It ends where it ends; that something is missing is known by now.
        let _ = each(db, &sql, &[], &mut add);
    }
    (found, whole)
}

fn each(
    db: &Connection,
    sql: &str,
    values: &[i64],
    mut take: impl FnMut(&Row<'_>),
) -> rusqlite::Result<()> {
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        take(row);
    }
    Ok(())
}

fn histogram(
    row: &Row<'_>,
    (from, series, to): (i64, i64, i64),
    scratch: &mut Vec<u8>,
) -> Option<Latencies> {
    let (crc, body) = (int(row, 6)?, blob(row, 7)?);
    (crc == latencies_crc(from, series, to, body)).then(|| decode_latencies(body, scratch))?
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
