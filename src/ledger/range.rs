//! Latencies of one series over any range of time, by merging; never by averaging.

use rusqlite::{Connection, params};

use super::batch::{Entry, decode};
use super::cover::within;
use super::prepared::{batch_crc, latencies_crc};
use super::shape::decode_latencies;
use super::store::{blob, int};
use super::{Ledger, LedgerError};
use crate::model::{Latencies, SeriesId, Timestamp};

/// The latencies of a series, and what time they are of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatencyRange {
    /// All latencies that were recorded.
    pub latencies: Latencies,
    /// Where the time begins that they are of: earlier than what was asked for by less than a
    /// slice, because the histogram of a slice cannot be cut. None when nothing was found.
    pub from: Option<Timestamp>,
    /// Where that time ends; not included.
    pub to: Option<Timestamp>,
    /// Slices and batches that are damaged and therefore not included.
    pub damaged: u32,
}

impl Ledger {
    /// The latencies of a series over `[from, to)`. Slices that overlap the range count as a
    /// whole; observations that no slice has replaced count to the microsecond.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn latencies(
        &self,
        series: SeriesId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<LatencyRange, LedgerError> {
        latencies(&self.db, series, from, to).map_err(|source| self.sql("read", source))
    }
}

/// Reads the latencies within one transaction, so that a slice and what it replaces are never
/// both seen.
pub(super) fn latencies(
    db: &Connection,
    series: SeriesId,
    from: Timestamp,
    to: Timestamp,
) -> rusqlite::Result<LatencyRange> {
    let tx = db.unchecked_transaction()?;
    let mut range = LatencyRange::default();
    let (from, to) = (from.micros(), to.micros());
    let cover = of_slices(&tx, series, from, to, &mut range)?;
    of_batches(&tx, series, from, to, &cover, &mut range)?;
    tx.finish()?;
    Ok(range)
}

impl LatencyRange {
    fn widen(&mut self, from: i64, to: i64) {
        let (from, to) = (Timestamp::from_micros(from), Timestamp::from_micros(to));
        self.from = Some(self.from.map_or(from, |known| known.min(from)));
        self.to = self.to.max(Some(to));
    }
}

/// Adds the histograms of slices; returns the time that slices cover. The few counts of slices
/// tell where slices begin, so that each is found by its key.
fn of_slices(
    db: &Connection,
    series: SeriesId,
    from: i64,
    to: i64,
    range: &mut LatencyRange,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut cover = Vec::new();
    let mut scratch = Vec::new();
    let sql = "SELECT s.\"from\", s.\"to\", s.latencies, l.crc, l.body FROM shelf h \
               CROSS JOIN slice s ON s.\"from\" = h.\"from\" AND s.series = ?1 \
               AND s.\"to\" = h.\"to\" LEFT JOIN latencies l ON l.id = s.latencies \
               WHERE h.\"to\" > ?2 AND h.\"from\" < ?3 ORDER BY h.\"from\"";
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query(params![series.0, from, to])?;
    while let Some(row) = rows.next()? {
        let (Some(start), Some(end)) = (int(row, 0), int(row, 1)) else {
            range.damaged += 1;
            continue;
        };
        cover.push((start, end));
        if row.get_ref(2)? == rusqlite::types::ValueRef::Null {
            range.widen(start, end);
            continue;
        }
        let read = int(row, 3).zip(blob(row, 4)).and_then(|(crc, body)| {
            let right = latencies_crc(start, series.0.into(), end, body);
            (crc == right).then(|| decode_latencies(body, &mut scratch)).flatten()
        });
        match read {
            Some(latencies) => {
                range.latencies.merge(&latencies);
                range.widen(start, end);
            }
            None => range.damaged += 1,
        }
    }
    Ok(cover)
}

/// Adds the observations that no slice has replaced.
fn of_batches(
    db: &Connection,
    series: SeriesId,
    from: i64,
    to: i64,
    cover: &[(i64, i64)],
    range: &mut LatencyRange,
) -> rusqlite::Result<()> {
    let (mut scratch, mut entries) = (Vec::new(), Vec::new());
    // What slices cover without a hole from the beginning need not be looked for in batches.
    let mut first = from;
    for (start, end) in cover {
        if *start <= first {
            first = first.max(*end);
        }
    }
    let sql = "SELECT seq, first_due, last_due, n, crc, body FROM batch \
               WHERE last_due >= ?1 AND first_due < ?2 ORDER BY seq";
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query([first, to])?;
    while let Some(row) = rows.next()? {
        let numbers: Option<Vec<i64>> = (0..5).map(|at| int(row, at)).collect();
        let read = match (numbers.as_deref(), blob(row, 5)) {
            (Some(&[seq, first, last, n, crc]), Some(body))
                if crc == batch_crc(seq, first, last, n, body) =>
            {
                decode(body, n, &mut scratch, &mut entries)
            }
            _ => None,
        };
        if read.is_none() {
            range.damaged += 1;
            continue;
        }
        for entry in &entries {
            let Entry::Observation(o) = entry else { continue };
            let due = o.due.micros();
            if o.series == series && (from..to).contains(&due) && !within(cover, due) {
                range.widen(due, due + 1);
                if let Some(latency) = o.latency {
                    range.latencies.record(latency);
                }
            }
        }
    }
    Ok(())
}
