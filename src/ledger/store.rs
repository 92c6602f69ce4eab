//! Rows into tables, within a transaction that somebody else began.
//!
//! Every change of a row changes the books in the same breath.

use std::collections::BTreeMap;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::batch::{self, Batch};
use super::damage::{Damage, Part};
use super::head::{Digest, Head};
use super::prepared::{Prepared, SliceRow};
use super::prepared::{batch_crc, latencies_crc, series_crc, shelf_crc, state_crc};
use crate::model::SeriesId;

/// A change of how many slices there are from one moment to another: added and removed.
pub(super) type Shelves = BTreeMap<(i64, i64), (Digest, Digest)>;

/// Writes all rows of all parts, and the books.
pub(super) fn put(db: &Connection, head: &mut Head, parts: &[Prepared]) -> rusqlite::Result<()> {
    let mut shelves = Shelves::new();
    for part in parts {
        for batch in &part.batches {
            put_batch(db, head, batch)?;
        }
        for slice in &part.slices {
            put_slice(db, head, &mut shelves, slice)?;
        }
        for (name, json) in &part.states {
            put_state(db, head, name, json)?;
        }
    }
    settle(db, head, &shelves)
}

/// Writes the books, the counts of slices among them: the last step of every transaction.
pub(super) fn settle(db: &Connection, head: &mut Head, shelves: &Shelves) -> rusqlite::Result<()> {
    for (&(from, to), &(added, removed)) in shelves {
        let old = db
            .prepare_cached("SELECT n, sum, crc FROM shelf WHERE \"from\" = ?1 AND \"to\" = ?2")?
            .query_row([from, to], |row| {
                Ok((Digest { n: row.get(0)?, sum: row.get(1)? }, row.get::<_, i64>(2)?))
            })
            .optional()?;
        let mut digest = Digest::default();
        if let Some((old, crc)) = old {
            digest = old;
            head.shelves.remove(crc);
        }
        digest.merge(added);
        digest.n -= removed.n;
        digest.sum = digest.sum.wrapping_sub(removed.sum);
        put_shelf(db, head, from, to, digest)?;
    }
    head.commits += 1;
    head.store(db)
}

/// Writes the count of the slices from one moment to another; an empty one goes.
pub(super) fn put_shelf(
    db: &Connection,
    head: &mut Head,
    from: i64,
    to: i64,
    digest: Digest,
) -> rusqlite::Result<()> {
    if digest.n <= 0 {
        db.prepare_cached("DELETE FROM shelf WHERE \"from\" = ?1 AND \"to\" = ?2")?
            .execute([from, to])?;
        return Ok(());
    }
    let crc = shelf_crc(from, to, digest.n, digest.sum);
    head.shelves.add(crc);
    let sql = "INSERT OR REPLACE INTO shelf(\"from\", \"to\", n, sum, crc) \
               VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(sql)?.execute([from, to, digest.n, digest.sum, crc])?;
    Ok(())
}

/// Writes a batch under the next number.
pub(super) fn put_batch(db: &Connection, head: &mut Head, batch: &Batch) -> rusqlite::Result<()> {
    head.last_seq += 1;
    let Batch { first_due, last_due, n, body } = batch;
    let crc = batch_crc(head.last_seq, *first_due, *last_due, *n, body);
    db.prepare_cached(
        "INSERT INTO batch(seq, first_due, last_due, n, format, crc, body) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![head.last_seq, first_due, last_due, n, batch::FORMAT, crc, body])?;
    Ok(())
}

/// Writes a slice; it replaces one of the same series and beginning.
pub(super) fn put_slice(
    db: &Connection,
    head: &mut Head,
    shelves: &mut Shelves,
    slice: &SliceRow,
) -> rusqlite::Result<()> {
    take_slice(db, shelves, slice.from, slice.series)?;
    let mut latencies = None;
    if let Some(body) = &slice.latencies {
        let crc = latencies_crc(slice.from, slice.series, slice.to, body);
        db.prepare_cached("INSERT INTO latencies(id, crc, body) VALUES (?1, ?2, ?3)")?
            .execute(params![head.next_latencies, crc, body])?;
        latencies = Some(head.next_latencies);
        head.next_latencies += 1;
    }
    let crc = slice.crc();
    shelves.entry((slice.from, slice.to)).or_default().0.add(crc);
    db.prepare_cached(
        "INSERT INTO slice(\"from\", series, \"to\", latencies, crc, body) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![slice.from, slice.series, slice.to, latencies, crc, slice.body])?;
    Ok(())
}

/// Deletes the slice of a series that begins at a moment, and its histogram.
pub(super) fn take_slice(
    db: &Connection,
    shelves: &mut Shelves,
    from: i64,
    series: i64,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM slice WHERE \"from\" = ?1 AND series = ?2 \
               RETURNING \"to\", latencies, crc";
    let old = db
        .prepare_cached(sql)?
        .query_row([from, series], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, i64>(2)?))
        })
        .optional()?;
    let Some((to, latencies, crc)) = old else { return Ok(()) };
    shelves.entry((from, to)).or_default().1.add(crc);
    if let Some(id) = latencies {
        db.prepare_cached("DELETE FROM latencies WHERE id = ?1")?.execute([id])?;
    }
    Ok(())
}

/// Writes a state; it replaces one of the same name.
pub(super) fn put_state(
    db: &Connection,
    head: &mut Head,
    name: &str,
    json: &str,
) -> rusqlite::Result<()> {
    let old = db
        .prepare_cached("SELECT crc FROM state WHERE name = ?1")?
        .query_row([name], |row| row.get::<_, i64>(0))
        .optional()?;
    if let Some(crc) = old {
        head.states.remove(crc);
    }
    let crc = state_crc(name, json);
    head.states.add(crc);
    db.prepare_cached("INSERT OR REPLACE INTO state(name, json, crc) VALUES (?1, ?2, ?3)")?
        .execute(params![name, json, crc])?;
    Ok(())
}

/// Gives a series the next number.
pub(super) fn put_series(
    db: &Connection,
    head: &mut Head,
    (probe, vantage): &(String, String),
) -> rusqlite::Result<()> {
    let id = head.next_series;
    let crc = series_crc(id, probe, vantage);
    db.prepare_cached("INSERT INTO series(id, probe, vantage, crc) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id, probe, vantage, crc])?;
    head.series.add(crc);
    head.next_series = id + 1;
    Ok(())
}

/// Reads the names of all series; damaged and missing ones are noted.
pub(super) fn load_series(
    db: &Connection,
    head: &Head,
    damage: &mut Vec<Damage>,
) -> rusqlite::Result<BTreeMap<(String, String), SeriesId>> {
    let mut known = BTreeMap::new();
    let mut found = Digest::default();
    let mut query = db.prepare("SELECT id, probe, vantage, crc FROM series ORDER BY id")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let fields = (text(row, 1), text(row, 2), int(row, 3));
        let valid = match fields {
            (Some(probe), Some(vantage), Some(crc)) if crc == series_crc(id, probe, vantage) => {
                found.add(crc);
                u32::try_from(id).ok().map(|id| {
                    known.insert((probe.to_owned(), vantage.to_owned()), SeriesId(id));
                })
            }
            _ => None,
        };
        if valid.is_none() {
            let why = "the name is damaged; its history is kept and belongs to no probe";
            damage.push(Damage::new(Part::Series, why).series(id));
        }
    }
    let noted = damage.iter().filter(|d| d.part == Part::Series).count() as i64;
    if found != head.series && found.n + noted < head.series.n {
        let why = format!("{} names are missing", head.series.n - found.n - noted);
        damage.push(Damage::new(Part::Series, why));
    } else if found != head.series && noted == 0 {
        damage.push(Damage::new(Part::Series, "the names are not those that were written"));
    }
    Ok(known)
}

/// Deletes names whose checksums are wrong, so that they are told once.
pub(super) fn drop_damaged_series(db: &Connection) -> rusqlite::Result<()> {
    let mut damaged = Vec::new();
    let mut query = db.prepare("SELECT id, probe, vantage, crc FROM series")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let right = text(row, 1).zip(text(row, 2)).map(|(p, v)| series_crc(id, p, v));
        if right.is_none() || right != int(row, 3) {
            damaged.push((id, row.get::<_, Value>(3)?));
        }
    }
    for (id, crc) in damaged {
        let sql = "DELETE FROM series WHERE id IS ?1 AND crc IS ?2";
        db.prepare_cached(sql)?.execute(params![id, crc])?;
    }
    Ok(())
}

/// An integer column; none if damage made it something else.
pub(super) fn int(row: &Row<'_>, at: usize) -> Option<i64> {
    row.get_ref(at).ok()?.as_i64().ok()
}

/// A blob column; none if damage made it something else.
pub(super) fn blob<'a>(row: &'a Row<'_>, at: usize) -> Option<&'a [u8]> {
    row.get_ref(at).ok()?.as_blob().ok()
}

/// A text column; none if damage made it something else, or no UTF-8.
pub(super) fn text<'a>(row: &'a Row<'_>, at: usize) -> Option<&'a str> {
    row.get_ref(at).ok()?.as_str().ok()
}

/// Whatever bytes a column holds, for the quarantine.
pub(super) fn bytes(row: &Row<'_>, at: usize) -> Vec<u8> {
    match row.get_ref(at) {
        Ok(ValueRef::Blob(bytes) | ValueRef::Text(bytes)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}
