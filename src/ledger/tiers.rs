//! How history grows smaller with age: batches, then slices, then one slice an hour, then one a
//! day, then gone.
//!
//! Each step is one bounded transaction; what it replaces and what it deletes go together.
//! Batches leave by range of their number, slices by range of their beginning.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::head::{Digest, Head};
use super::prepared::{SliceRow, latencies_crc, slice_crc};
use super::shape::{decode_latencies, decode_runs, encode_latencies, encode_runs};
use super::store::{self, Shelves, put_slice, settle, take_slice};
use super::{Ledger, LedgerError};
use crate::model::{Latencies, Run, SeriesId, Timestamp};

/// Most batches that one call deletes: a few tens of milliseconds, so that a failure that has
/// to be written meanwhile is not late.
pub const MAX_COMPACTED: i64 = 256;
/// Most slices that one call deletes, for the same reason.
pub const MAX_EXPIRED: i64 = 1_000;
/// About how many slices one step of a roll-up merges, for the same reason.
const MERGED_A_STEP: usize = 1_000;
/// How many keys one step of a roll-up looks at while it finds out what there is to merge.
const KEYS_A_STEP: i64 = 20_000;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A stretch of UTC time whose slices are merged once it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    start: Timestamp,
    length: Duration,
}

impl Stretch {
    /// The hour that a moment lies in.
    pub fn hour_of(moment: Timestamp) -> Self {
        Stretch { start: moment.floor(HOUR), length: HOUR }
    }

    /// The day that a moment lies in.
    pub fn day_of(moment: Timestamp) -> Self {
        Stretch { start: moment.floor(DAY), length: DAY }
    }

    /// The one before it.
    pub fn before(self) -> Self {
        Stretch { start: self.start.minus(self.length), ..self }
    }

    fn end(self) -> Timestamp {
        self.start.plus(self.length)
    }
}

/// What compacting did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Batches deleted.
    pub batches: i64,
    /// Whether another call has more to delete.
    pub more: bool,
    /// The series whose records no slice has replaced, and since when, where that kept batches
    /// that were asked to go.
    pub held_back: Option<(SeriesId, Timestamp)>,
}

/// What expiring did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Slices deleted.
    pub slices: i64,
    /// Batches deleted.
    pub batches: i64,
    /// Whether another call has more to delete.
    pub more: bool,
}

/// What rolling up did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RolledUp {
    /// Slices that were merged.
    pub merged: u64,
    /// Slices that took their place.
    pub into: u64,
    /// Slices that were left alone because they or their histograms are damaged.
    pub damaged: u64,
    /// Whether another step has more to merge.
    pub more: bool,
}

impl Ledger {
    /// Deletes the batches in front whose records are all due before a moment. Call it once the
    /// slices of all series up to that moment have been appended: a batch that may hold a record
    /// that no slice has replaced stays, whatever was asked, and so does all that came after it.
    ///
    /// # Errors
    /// Nothing was deleted: the ledger cannot be read or written.
    pub fn compact(&mut self, before: Timestamp) -> Result<Compacted, LedgerError> {
        let frontier = match &self.frontier {
            Some(frontier) => frontier,
            None => {
                self.restore(Timestamp::MIN, &mut |_| {})?;
                self.frontier.get_or_insert_default()
            }
        };
        let open = frontier.earliest_open().filter(|(_, open)| *open < before);
        let limit = open.map_or(before, |(_, open)| open);
        let (batches, more) = self.drop_batches(limit.micros())?;
        let oldest: Option<i64> = self
            .db
            .query_row("SELECT min(first_due) FROM batch", [], |row| row.get(0))
            .map_err(|source| self.sql("read", source))?;
        let kept = !more && oldest.is_some_and(|due| due < before.micros());
        Ok(Compacted { batches, more, held_back: open.filter(|_| kept) })
    }

    /// Lets go of everything that ended before a moment: slices, batches, and notes of damage.
    /// Bounded work per call: at most `MAX_COMPACTED` batches and `MAX_EXPIRED` slices.
    ///
    /// # Errors
    /// The ledger cannot be read or written; what has been deleted by then stays deleted.
    pub fn expire(&mut self, before: Timestamp) -> Result<Expired, LedgerError> {
        let before = before.micros();
        let (batches, more_batches) = self.drop_batches(before)?;
        if let Some(frontier) = &mut self.frontier {
            frontier.give_up(before);
        }
        let mut head = self.head.clone();
        let (slices, _) = self.transact("expire", |tx| drop_slices(tx, &mut head, before))?;
        self.head = head;
        let more = more_batches || slices.is_some();
        Ok(Expired { slices: slices.unwrap_or(0), batches, more })
    }

    /// Merges the slices of each series that lie within a stretch and follow one another without
    /// a hole and under the same thresholds into one.
    ///
    /// # Errors
    /// The ledger cannot be read or written; series that have been merged by then stay merged.
    pub fn roll_up(&mut self, stretch: Stretch) -> Result<RolledUp, LedgerError> {
        let mut done = RolledUp { more: true, ..RolledUp::default() };
        while done.more {
            let step = self.roll_up_step(stretch)?;
            done.merged += step.merged;
            done.into += step.into;
            done.damaged += step.damaged;
            done.more = step.more;
        }
        Ok(done)
    }

    /// One bounded step of [`Ledger::roll_up`]: at first it finds out what there is to merge,
    /// then it merges a few series in one transaction.
    ///
    /// # Errors
    /// Nothing was merged: the ledger cannot be read or written.
    pub fn roll_up_step(&mut self, stretch: Stretch) -> Result<RolledUp, LedgerError> {
        let begun = self.plan.take().filter(|plan| plan.stretch == stretch);
        let mut plan = begun.unwrap_or_else(|| Plan::new(stretch));
        if plan.scanned.is_some() {
            plan.scan(&self.db).map_err(|source| self.sql("read", source))?;
            self.plan = Some(plan);
            return Ok(RolledUp { more: true, ..RolledUp::default() });
        }
        let mut head = self.head.clone();
        let next = plan.next_step();
        let (mut done, _) = self.transact("roll up", |tx| roll_up(tx, &mut head, &next))?;
        self.head = head;
        done.more = !plan.pieces.is_empty();
        self.plan = done.more.then_some(plan);
        Ok(done)
    }

    /// Deletes batches in front that end before a moment: how many, and whether more could go.
    fn drop_batches(&mut self, before: i64) -> Result<(i64, bool), LedgerError> {
        let keep: Option<i64> = self
            .db
            .query_row("SELECT min(seq) FROM batch WHERE last_due >= ?1", [before], |r| r.get(0))
            .map_err(|source| self.sql("read", source))?;
        let first = self.head.first_seq;
        let end = keep.unwrap_or(self.head.last_seq + 1);
        let next = end.min(first.saturating_add(MAX_COMPACTED));
        if next <= first {
            return Ok((0, false));
        }
        let mut head = self.head.clone();
        head.first_seq = next;
        let (n, _) = self.transact("compact", |tx| {
            let n = tx.prepare_cached("DELETE FROM batch WHERE seq < ?1")?.execute([next])?;
            settle(tx, &mut head, &Shelves::new())?;
            Ok(n as i64)
        })?;
        self.head = head;
        Ok((n, next < end))
    }
}

/// Deletes slices that have ended before a moment, earliest first; none if there are none.
fn drop_slices(db: &Connection, head: &mut Head, before: i64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT \"from\", \"to\", crc FROM shelf WHERE \"to\" <= ?1 \
               ORDER BY \"from\", \"to\" LIMIT 1";
    let found: Option<(i64, i64, i64)> = db
        .prepare_cached(sql)?
        .query_row([before], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((from, to, crc)) = found else {
        let sql = "DELETE FROM quarantine WHERE \"to\" <= ?1";
        db.prepare_cached(sql)?.execute([before])?;
        return Ok(None);
    };
    let sql = "SELECT max(series), count(*), coalesce(sum(crc), 0) FROM (SELECT series, crc \
               FROM slice WHERE \"from\" = ?1 AND \"to\" = ?2 ORDER BY series LIMIT ?3)";
    let (last, n, sum): (Option<i64>, i64, i64) = db
        .prepare_cached(sql)?
        .query_row([from, to, MAX_EXPIRED], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut shelves = Shelves::new();
    if let Some(last) = last {
        let these = "\"from\" = ?1 AND \"to\" = ?2 AND series <= ?3";
        let histograms =
            format!("SELECT latencies FROM slice WHERE {these} AND latencies IS NOT NULL");
        let sql = format!("DELETE FROM latencies WHERE id IN ({histograms})");
        db.prepare_cached(&sql)?.execute([from, to, last])?;
        let sql = format!("DELETE FROM slice WHERE {these}");
        db.prepare_cached(&sql)?.execute([from, to, last])?;
        shelves.entry((from, to)).or_default().1 = Digest { n, sum };
    }
    if n < MAX_EXPIRED {
        // Whatever the books say, nothing is left of it.
        let sql = "DELETE FROM shelf WHERE \"from\" = ?1 AND \"to\" = ?2";
        db.prepare_cached(sql)?.execute([from, to])?;
        head.shelves.remove(crc);
        shelves.clear();
    }
    settle(db, head, &shelves)?;
    Ok(Some(n))
}

/// What there is to merge within a stretch.
#[derive(Debug)]
pub(super) struct Plan {
    stretch: Stretch,
    /// Up to which key the slices of it have been looked at; none when all have.
    scanned: Option<(i64, i64)>,
    /// Beginnings and ends of the slices of each series, in time order.
    pieces: BTreeMap<i64, Vec<(i64, i64)>>,
}

impl Plan {
    fn new(stretch: Stretch) -> Self {
        Plan { stretch, scanned: Some((stretch.start.micros(), -1)), pieces: BTreeMap::new() }
    }

    /// Takes out what one step merges: at least one series, all of it.
    fn next_step(&mut self) -> Vec<(i64, Vec<(i64, i64)>)> {
        let (mut next, mut n_pieces) = (Vec::new(), 0);
        while n_pieces < MERGED_A_STEP
            && let Some((series, pieces)) = self.pieces.pop_first()
        {
            n_pieces += pieces.len();
            next.push((series, pieces));
        }
        next
    }

    /// Looks at some more keys. Once all are known, only series are left that have neighbours.
    fn scan(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let end = self.stretch.end().micros();
        let sql = "SELECT \"from\", series, \"to\" FROM slice \
                   WHERE (\"from\", series) > (?1, ?2) AND \"from\" < ?3 \
                   ORDER BY \"from\", series LIMIT ?4";
        let mut query = db.prepare_cached(sql)?;
        let after = self.scanned.unwrap_or_default();
        let mut rows = query.query([after.0, after.1, end, KEYS_A_STEP])?;
        self.scanned = None;
        let mut n = 0;
        while let Some(row) = rows.next()? {
            let (from, series, to) = (row.get(0)?, row.get(1)?, row.get(2)?);
            n += 1;
            self.scanned = (n == KEYS_A_STEP).then_some((from, series));
            if to <= end {
                self.pieces.entry(series).or_default().push((from, to));
            }
        }
        if self.scanned.is_none() {
            self.pieces.retain(|_, pieces| pieces.windows(2).any(|pair| pair[0].1 == pair[1].0));
        }
        Ok(())
    }
}

/// A slice that may become part of a longer one.
struct Piece {
    from: i64,
    to: i64,
    thresholds: Vec<u32>,
    runs: Vec<Run>,
    latencies: Latencies,
}

fn roll_up(
    db: &Connection,
    head: &mut Head,
    series: &[(i64, Vec<(i64, i64)>)],
) -> rusqlite::Result<RolledUp> {
    let mut done = RolledUp::default();
    let mut shelves = Shelves::new();
    for (series, keys) in series {
        let pieces = pieces(db, *series, keys, &mut done)?;
        for group in pieces.chunk_by(|a, b| a.to == b.from && a.thresholds == b.thresholds) {
            if group.len() < 2 {
                continue;
            }
            for piece in group {
                take_slice(db, &mut shelves, piece.from, *series)?;
            }
            put_slice(db, head, &mut shelves, &merged(*series, group))?;
            done.merged += group.len() as u64;
            done.into += 1;
        }
    }
    if done.merged > 0 {
        settle(db, head, &shelves)?;
    }
    Ok(done)
}

/// The slices of a series that begin and end as planned, those that are still there and whole.
fn pieces(
    db: &Connection,
    series: i64,
    keys: &[(i64, i64)],
    done: &mut RolledUp,
) -> rusqlite::Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut scratch = Vec::new();
    let sql = "SELECT series, s.crc, s.body, latencies, l.crc, l.body FROM slice s \
               LEFT JOIN latencies l ON l.id = s.latencies \
               WHERE \"from\" = ?1 AND series = ?2 AND \"to\" = ?3";
    let mut query = db.prepare_cached(sql)?;
    for &(from, to) in keys {
        let mut rows = query.query([from, series, to])?;
        if let Some(row) = rows.next()? {
            match piece(row, from, series, to, &mut scratch) {
                Some(piece) => pieces.push(piece),
                None => done.damaged += 1,
            }
        }
    }
    Ok(pieces)
}

/// Reads one slice with its histogram; none if either is damaged.
fn piece(
    row: &rusqlite::Row<'_>,
    from: i64,
    series: i64,
    to: i64,
    scratch: &mut Vec<u8>,
) -> Option<Piece> {
    let (crc, body) = (store::int(row, 1)?, store::blob(row, 2)?);
    let id: Option<i64> = row.get(3).ok()?;
    if crc != slice_crc(from, series, to, id.is_some(), body) {
        return None;
    }
    let (mut thresholds, mut runs) = (Vec::new(), Vec::new());
    let start = Timestamp::from_micros(from);
    decode_runs(start, body, scratch, &mut thresholds, &mut runs)?;
    let mut latencies = Latencies::default();
    if id.is_some() {
        let (crc, body) = (store::int(row, 4)?, store::blob(row, 5)?);
        if crc != latencies_crc(from, series, to, body) {
            return None;
        }
        latencies = decode_latencies(body, scratch)?;
    }
    Some(Piece { from, to, thresholds, runs, latencies })
}

/// One slice in the place of several that follow one another.
fn merged(series: i64, group: &[Piece]) -> SliceRow {
    let (from, to) = (group[0].from, group[group.len() - 1].to);
    let mut latencies = Latencies::default();
    let mut runs: Vec<Run> = Vec::new();
    for piece in group {
        latencies.merge(&piece.latencies);
        for run in &piece.runs {
            match runs.last_mut() {
                Some(last)
                    if last.continues_at(run.start, run.step, run.verdict, run.class)
                        && last.n.checked_add(run.n).is_some() =>
                {
                    last.n += run.n;
                }
                _ => runs.push(*run),
            }
        }
    }
    let body = encode_runs(Timestamp::from_micros(from), &group[0].thresholds, &runs);
    SliceRow { series, from, to, body, latencies: encode_latencies(&latencies) }
}
