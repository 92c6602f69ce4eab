//! Reading everything that is kept, and telling what of it cannot be believed.
//!
//! Every row is checked before it is believed; rows must come in ascending order, each once;
//! the books must agree with what was found. Histograms are not touched, and nothing is changed.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use super::batch::{Entry, decode, last_slot};
use super::cover::{Cover, uncovered, within};
use super::damage::{Damage, Part};
use super::frontier::{BySeries, Frontier};
use super::head::{Digest, Head};
use super::prepared::{batch_crc, shelf_crc, slice_crc, state_crc};
use super::restore::{RestoreReport, Restored};
use super::shape::decode_runs;
use super::store::{blob, bytes, int, text};
use crate::model::{Run, SeriesId, Timestamp};

/// What reading everything found.
pub(super) struct Survey {
    pub report: RestoreReport,
    pub mend: Mend,
    pub frontier: Frontier,
}

/// Reads as [`Ledger::restore`] does, and changes nothing.
pub(super) fn survey(
    db: &Connection,
    head: &Head,
    since: Timestamp,
    sink: &mut dyn FnMut(Restored<'_>),
) -> rusqlite::Result<Survey> {
    let known = Damage::quarantined(db)?;
    let mut reading = Reading {
        db,
        head,
        since: since.micros(),
        sink,
        report: RestoreReport { known, ..RestoreReport::default() },
        mend: Mend::default(),
        cover: BySeries::default(),
        frontier: Frontier::default(),
        scratch: Vec::new(),
    };
    reading.all()?;
    let Reading { report, mend, frontier, .. } = reading;
    Ok(Survey { report, mend, frontier })
}

/// A statement that deletes one row, and what was found in it: more than its key, because a
/// damaged key may be that of another, healthy row.
pub(super) struct Deletion(pub &'static str, pub Vec<Value>);

impl Deletion {
    fn new(sql: &'static str, row: &Row<'_>, columns: &[usize]) -> rusqlite::Result<Self> {
        let values: rusqlite::Result<_> = columns.iter().map(|at| row.get(*at)).collect();
        Ok(Deletion(sql, values?))
    }
}

/// What has to be written once everything has been read.
#[derive(Default)]
pub(super) struct Mend {
    /// Damaged rows: what is wrong, what they held, and how to delete them.
    pub aside: Vec<(Damage, Vec<u8>, Option<Deletion>)>,
    /// How many slices there really are, where the books say something else.
    pub shelves: BTreeMap<(i64, i64), Digest>,
}

struct Reading<'a> {
    db: &'a Connection,
    head: &'a Head,
    since: i64,
    sink: &'a mut dyn FnMut(Restored<'_>),
    report: RestoreReport,
    mend: Mend,
    cover: BySeries<Cover>,
    frontier: Frontier,
    scratch: Vec<u8>,
}

impl Reading<'_> {
    fn all(&mut self) -> rusqlite::Result<()> {
        self.states()?;
        let shelves = self.shelves()?;
        self.slices(shelves)?;
        self.batches()
    }

    /// Notes damage, and what to do about the row, if it is one.
    fn aside(&mut self, damage: Damage, body: Vec<u8>, row: Option<Deletion>) {
        self.report.damage.push(damage.clone());
        self.mend.aside.push((damage, body, row));
    }

    fn states(&mut self) -> rusqlite::Result<()> {
        let mut found = Digest::default();
        let mut damaged = 0;
        let db = self.db;
        let mut query = db.prepare("SELECT name, json, crc FROM state ORDER BY name")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            match (text(row, 0), text(row, 1), int(row, 2)) {
                (Some(name), Some(json), Some(crc)) if crc == state_crc(name, json) => {
                    found.add(crc);
                    self.report.states += 1;
                    (self.sink)(Restored::State { name, json });
                }
                _ => {
                    damaged += 1;
                    let name = String::from_utf8_lossy(&bytes(row, 0)).into_owned();
                    let damage = Damage::new(Part::State, format!("{name:?} is damaged"));
                    let sql = "DELETE FROM state WHERE name IS ?1 AND json IS ?2 AND crc IS ?3";
                    let delete = Deletion::new(sql, row, &[0, 1, 2])?;
                    self.aside(damage, bytes(row, 1), Some(delete));
                }
            }
        }
        if damaged == 0 && found != self.head.states {
            let why = format!("{} of {} states are there", found.n, self.head.states.n);
            self.aside(Damage::new(Part::State, why), Vec::new(), None);
        }
        Ok(())
    }

    /// The counts of slices, checked against the books.
    fn shelves(&mut self) -> rusqlite::Result<Shelves> {
        let mut shelves = Shelves { counts: BTreeMap::new(), trusted: true };
        let mut found = Digest::default();
        let sql = "SELECT \"from\", \"to\", n, sum, crc FROM shelf ORDER BY \"from\", \"to\"";
        let db = self.db;
        let mut query = db.prepare(sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let numbers: Option<Vec<i64>> = (0..5).map(|at| int(row, at)).collect();
            match numbers.as_deref() {
                Some(&[from, to, n, sum, crc]) if crc == shelf_crc(from, to, n, sum) => {
                    found.add(crc);
                    shelves.counts.insert((from, to), Digest { n, sum });
                }
                _ => {
                    let why = "a count of slices is damaged";
                    let sql = "DELETE FROM shelf \
                               WHERE \"from\" IS ?1 AND \"to\" IS ?2 AND crc IS ?3";
                    let delete = Deletion::new(sql, row, &[0, 1, 4])?;
                    self.aside(Damage::new(Part::Books, why), Vec::new(), Some(delete));
                    shelves.trusted = false;
                }
            }
        }
        if shelves.trusted && found != self.head.shelves {
            let why = format!("{} of {} counts of slices are there", found.n, self.head.shelves.n);
            self.aside(Damage::new(Part::Books, why), Vec::new(), None);
            shelves.trusted = false;
        }
        Ok(shelves)
    }

    fn slices(&mut self, shelves: Shelves) -> rusqlite::Result<()> {
        let since = self.since;
        let first = shelves.first(since);
        let mut found = Shelf::default();
        let (mut thresholds, mut runs) = (Vec::new(), Vec::new());
        let mut last = (i64::MIN, i64::MIN);
        let sql = "SELECT \"from\", series, \"to\", latencies IS NOT NULL, crc, body FROM slice \
                   WHERE \"from\" >= ?1 ORDER BY \"from\", series";
        let db = self.db;
        let mut query = db.prepare(sql)?;
        let mut rows = query.query([first])?;
        while let Some(row) = rows.next()? {
            let Some(slice) = Found::read(row) else {
                self.damaged_slice(row, "its checksum is wrong")?;
                continue;
            };
            if (slice.from, slice.series) <= last {
                let why = "a slice is there twice or out of order";
                let damage = Damage::new(Part::Slice, why).between(slice.from, slice.to);
                self.aside(damage.series(slice.series), Vec::new(), None);
                continue;
            }
            last = (slice.from, slice.series);
            found.add((slice.from, slice.to), slice.crc);
            if slice.to <= since {
                continue;
            }
            if self.overlaps(&slice) {
                found.forget((slice.from, slice.to), slice.crc);
                self.damaged_slice(row, "it overlaps an earlier slice of its series")?;
                continue;
            }
            let start = Timestamp::from_micros(slice.from);
            let read =
                decode_runs(start, slice.body, &mut self.scratch, &mut thresholds, &mut runs);
            match (read, u32::try_from(slice.series)) {
                (Some(()), Ok(series)) => self.slice(series, &slice, &thresholds, &runs),
                _ => {
                    found.forget((slice.from, slice.to), slice.crc);
                    self.damaged_slice(row, "its content is not what this version writes")?;
                }
            }
        }
        self.count(shelves, found.finish(), first);
        Ok(())
    }

    /// Whether a slice overlaps an earlier one: its slots would count twice.
    fn overlaps(&mut self, found: &Found<'_>) -> bool {
        let series = u32::try_from(found.series).unwrap_or(u32::MAX);
        self.cover.of(series).last().is_some_and(|(_, to)| *to > found.from)
    }

    fn slice(&mut self, series: u32, found: &Found<'_>, thresholds: &[u32], runs: &[Run]) {
        let cover = self.cover.of(series);
        match cover.last_mut() {
            Some(last) if last.1 == found.from => last.1 = found.to,
            _ => cover.push((found.from, found.to)),
        }
        self.frontier.note_slice(series, found.from, found.to);
        self.report.slices += 1;
        self.newest(runs.last().map(last_slot));
        let (start, end) = (Timestamp::from_micros(found.from), Timestamp::from_micros(found.to));
        let series = SeriesId(series);
        (self.sink)(Restored::Slice { series, start, end, thresholds, runs });
    }

    fn damaged_slice(&mut self, row: &Row<'_>, why: &str) -> rusqlite::Result<()> {
        let mut damage = Damage::new(Part::Slice, why);
        if let (Some(from), Some(series), Some(to)) = (int(row, 0), int(row, 1), int(row, 2)) {
            damage = damage.series(series).between(from, to);
        }
        let sql = "DELETE FROM slice \
                   WHERE \"from\" IS ?1 AND series IS ?2 AND crc IS ?3 AND body IS ?4";
        let delete = Deletion::new(sql, row, &[0, 1, 4, 5])?;
        self.aside(damage, bytes(row, 5), Some(delete));
        Ok(())
    }

    /// Compares the slices that are there with the books.
    fn count(&mut self, shelves: Shelves, found: BTreeMap<(i64, i64), Digest>, first: i64) {
        for (&(from, to), &counted) in &found {
            if shelves.counts.get(&(from, to)) != Some(&counted) {
                self.mend.shelves.insert((from, to), counted);
                if shelves.trusted && !shelves.counts.contains_key(&(from, to)) {
                    let damage = Damage::new(Part::Books, "slices are there that nobody counted");
                    self.aside(damage.between(from, to), Vec::new(), None);
                }
            }
        }
        for (&(from, to), &wanted) in shelves.counts.range((first, i64::MIN)..) {
            let counted = found.get(&(from, to)).copied().unwrap_or_default();
            if counted != wanted {
                self.mend.shelves.insert((from, to), counted);
                let missing = wanted.n - counted.n;
                let why = format!("{missing} of {} slices are missing or damaged", wanted.n);
                self.aside(Damage::new(Part::Slice, why).between(from, to), Vec::new(), None);
            }
        }
    }

    fn batches(&mut self) -> rusqlite::Result<()> {
        let mut entries = Vec::new();
        let mut next = self.head.first_seq;
        let mut quiet = i64::MIN;
        let sql = "SELECT seq, first_due, last_due, n, format, crc, body FROM batch ORDER BY seq";
        let db = self.db;
        let mut query = db.prepare(sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            if !self.batch(row, seq, &mut entries) {
                let mut damage = Damage::new(Part::Batch, "its checksum is wrong").seqs(seq, seq);
                if let (Some(first), Some(last)) = (int(row, 1), int(row, 2)) {
                    damage = damage.between(first, last.saturating_add(1));
                }
                let delete = "DELETE FROM batch WHERE seq = ?1 AND crc IS ?2 AND body IS ?3";
                self.aside(damage, bytes(row, 6), Some(Deletion::new(delete, row, &[0, 5, 6])?));
                continue;
            }
            self.missing_batches(next, seq, quiet, int(row, 1).unwrap_or(i64::MAX));
            if seq < next {
                let why = "a batch is there twice or out of order";
                self.aside(Damage::new(Part::Batch, why).seqs(seq, seq), Vec::new(), None);
                continue;
            }
            next = seq + 1;
            quiet = int(row, 2).unwrap_or(quiet);
            self.report.batches += 1;
            for entry in entries.drain(..) {
                self.entry(entry);
            }
        }
        self.missing_batches(next, self.head.last_seq + 1, quiet, i64::MAX);
        Ok(())
    }

    /// Reads a batch into `entries`; false if it cannot be believed.
    fn batch(&mut self, row: &Row<'_>, seq: i64, entries: &mut Vec<Entry>) -> bool {
        let numbers: Option<Vec<i64>> = (1..6).map(|at| int(row, at)).collect();
        let (Some(&[first, last, n, format, crc]), Some(body)) = (numbers.as_deref(), blob(row, 6))
        else {
            return false;
        };
        format == super::batch::FORMAT
            && crc == batch_crc(seq, first, last, n, body)
            && decode(body, n, &mut self.scratch, entries).is_some()
    }

    fn missing_batches(&mut self, next: i64, seq: i64, after: i64, before: i64) {
        // Damaged ones have been told, now or when an earlier restore set them aside.
        let mut next = next;
        let told = self.report.known.iter().chain(&self.report.damage);
        for (first, last) in told.filter_map(|damage| damage.seqs) {
            if (first..=last).contains(&next) {
                next = last + 1;
            }
        }
        if next < seq {
            let damage = Damage::new(Part::Batch, "missing").seqs(next, seq - 1);
            self.aside(damage.between(after, before), Vec::new(), None);
        }
    }

    fn entry(&mut self, entry: Entry) {
        match entry {
            Entry::Observation(observation) => {
                let (series, due) = (observation.series.0, observation.due.micros());
                if due < self.since || within(self.cover.of(series), due) {
                    return;
                }
                self.frontier.note_records(series, due, due);
                self.report.observations += 1;
                self.newest(Some(observation.due));
                (self.sink)(Restored::Observation(observation));
            }
            Entry::Gap(series, run) => {
                for run in uncovered(&run, self.cover.of(series.0), self.since) {
                    let last = last_slot(&run);
                    self.frontier.note_records(series.0, run.start.micros(), last.micros());
                    self.report.gaps += 1;
                    self.report.newest = self.report.newest.max(Some(last));
                    (self.sink)(Restored::Gap(series, run));
                }
            }
        }
    }

    fn newest(&mut self, due: Option<Timestamp>) {
        self.report.newest = self.report.newest.max(due);
    }
}

/// How many slices there must be, from one moment to another.
struct Shelves {
    counts: BTreeMap<(i64, i64), Digest>,
    /// Whether the counts themselves are whole.
    trusted: bool,
}

impl Shelves {
    /// Where to begin in order to see every slice that ends after `since`.
    fn first(&self, since: i64) -> i64 {
        if !self.trusted {
            return i64::MIN;
        }
        let ends_after = |((from, to), _): (&(i64, i64), _)| (*to > since).then_some(*from);
        self.counts.iter().filter_map(ends_after).min().unwrap_or(since)
    }
}

/// Counts the slices that are there; neighbours mostly share their beginning and end.
#[derive(Default)]
struct Shelf {
    key: (i64, i64),
    digest: Digest,
    done: BTreeMap<(i64, i64), Digest>,
}

impl Shelf {
    fn add(&mut self, key: (i64, i64), crc: i64) {
        self.turn(key);
        self.digest.add(crc);
    }

    fn forget(&mut self, key: (i64, i64), crc: i64) {
        self.turn(key);
        self.digest.remove(crc);
    }

    fn turn(&mut self, key: (i64, i64)) {
        if key != self.key {
            let digest = std::mem::take(&mut self.digest);
            self.done.entry(self.key).or_default().merge(digest);
            self.key = key;
        }
    }

    fn finish(mut self) -> BTreeMap<(i64, i64), Digest> {
        self.turn((i64::MIN, i64::MIN));
        self.done.retain(|_, digest| digest.n > 0);
        self.done
    }
}

/// A slice's row whose checksum is right.
struct Found<'a> {
    from: i64,
    series: i64,
    to: i64,
    crc: i64,
    body: &'a [u8],
}

impl<'a> Found<'a> {
    fn read(row: &'a Row<'_>) -> Option<Self> {
        let (from, series, to) = (int(row, 0)?, int(row, 1)?, int(row, 2)?);
        let (crc, body) = (int(row, 4)?, blob(row, 5)?);
        let right = slice_crc(from, series, to, int(row, 3)? != 0, body);
        (crc == right).then_some(Found { from, series, to, crc, body })
    }
}
