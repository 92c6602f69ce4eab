//! What was found damaged: told to the caller and moved aside, never silently skipped.

use std::fmt;

use rusqlite::{Connection, params};

use crate::model::{SeriesId, Timestamp};

/// Most damaged rows that are kept with their bytes for whoever wants to look into them; beyond
/// that they are reported and deleted.
pub const MAX_QUARANTINED: i64 = 10_000;

/// Which part of the ledger is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A group commit of observations and gaps.
    Batch,
    /// A closed slice of one series, or slices that should be there and are not.
    Slice,
    /// The latencies of a slice; its counts are whole.
    Latencies,
    /// A named state.
    State,
    /// The name of a series.
    Series,
    /// The books that tell how many rows there must be; the rows are whole.
    Books,
    /// The log of what was not yet in the database; what it held last is lost.
    Log,
    /// SQLite's own structure; rows may be out of reach.
    File,
}

impl Part {
    /// Every part, in the order in which metrics list them.
    pub const ALL: [Part; 8] = [
        Part::Batch,
        Part::Slice,
        Part::Latencies,
        Part::State,
        Part::Series,
        Part::Books,
        Part::Log,
        Part::File,
    ];

    /// The word for it, as metrics and the quarantine table have it.
    pub const fn word(self) -> &'static str {
        match self {
            Part::Batch => "batch",
            Part::Slice => "slice",
            Part::Latencies => "latencies",
            Part::State => "state",
            Part::Series => "series",
            Part::Books => "books",
            Part::Log => "log",
            Part::File => "file",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One damaged or missing piece of history. Time that nothing handed back accounts for is
/// unknown; this says where to look and how much.
#[derive(Clone, Debug, PartialEq)]
pub struct Damage {
    /// Which part.
    pub part: Part,
    /// The sequence numbers of the first and the last batch.
    pub seqs: Option<(i64, i64)>,
    /// The series, as far as the damaged row can be believed.
    pub series: Option<SeriesId>,
    /// Nothing before this is concerned, as far as it is known.
    pub from: Option<Timestamp>,
    /// Nothing from this on is concerned, as far as it is known.
    pub to: Option<Timestamp>,
    /// What exactly is wrong.
    pub why: String,
}

impl Damage {
    pub(super) fn new(part: Part, why: impl Into<String>) -> Self {
        Damage { part, seqs: None, series: None, from: None, to: None, why: why.into() }
    }

    pub(super) fn between(mut self, from: i64, to: i64) -> Self {
        self.from = (from > i64::MIN).then_some(Timestamp::from_micros(from));
        self.to = (to < i64::MAX).then_some(Timestamp::from_micros(to));
        self
    }

    pub(super) fn seqs(mut self, first: i64, last: i64) -> Self {
        self.seqs = Some((first, last));
        self
    }

    pub(super) fn series(mut self, series: i64) -> Self {
        self.series = u32::try_from(series).ok().map(SeriesId);
        self
    }

    /// Writes the damage down for good, with the bytes that could not be read.
    pub(super) fn quarantine(&self, db: &Connection, body: &[u8]) -> rusqlite::Result<()> {
        db.prepare_cached(
            "INSERT INTO quarantine(part, first_seq, last_seq, series, \"from\", \"to\", why, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            self.part.word(),
            self.seqs.map(|s| s.0),
            self.seqs.map(|s| s.1),
            self.series.map(|s| s.0),
            self.from.map(Timestamp::micros),
            self.to.map(Timestamp::micros),
            self.why,
            body,
        ])?;
        Ok(())
    }

    /// Everything that was written down earlier.
    pub(super) fn quarantined(db: &Connection) -> rusqlite::Result<Vec<Damage>> {
        let sql = "SELECT part, first_seq, last_seq, series, \"from\", \"to\", why \
                   FROM quarantine ORDER BY id";
        let mut query = db.prepare_cached(sql)?;
        let rows = query.query_map([], |row| {
            let word = row.get_ref(0)?.as_str().unwrap_or_default();
            let part = Part::ALL.into_iter().find(|p| p.word() == word).unwrap_or(Part::Books);
            Ok(Damage {
                part,
                seqs: row.get::<_, Option<_>>(1)?.zip(row.get::<_, Option<_>>(2)?),
                series: row.get::<_, Option<u32>>(3)?.map(SeriesId),
                from: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_micros),
                to: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_micros),
                why: row.get(6)?,
            })
        })?;
        rows.collect()
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.part)?;
        match self.seqs {
            Some((first, last)) if first < last => write!(f, " {first} to {last}")?,
            Some((only, _)) => write!(f, " {only}")?,
            None => {}
        }
        if let Some(series) = self.series {
            write!(f, " of series {}", series.0)?;
        }
        if let Some(from) = self.from {
            write!(f, " from {from}")?;
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        write!(f, ": {}", self.why)
    }
}
