//! The ledger's books: how many rows of each kind there must be, and what they add up to.
//!
//! Checksums tell that a row was changed; the books tell that one is gone. They are written in
//! the transaction that changes the rows. Sums wrap on purpose: they are order-free digests.

use rusqlite::{Connection, OptionalExtension, params};

use super::pack::Seal;

/// How many rows, and the sum of their checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub n: i64,
    pub sum: i64,
}

impl Digest {
    pub fn add(&mut self, crc: i64) {
        self.n += 1;
        self.sum = self.sum.wrapping_add(crc);
    }

    pub fn remove(&mut self, crc: i64) {
        self.n -= 1;
        self.sum = self.sum.wrapping_sub(crc);
    }

    pub fn merge(&mut self, other: Digest) {
        self.n += other.n;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// The one row of the `head` table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Random, made with the ledger: tells it from a ledger that took its place.
    pub epoch: Vec<u8>,
    /// Counts transactions: tells whether a commit whose answer was an error took place.
    pub commits: i64,
    /// The oldest batch that must be there.
    pub first_seq: i64,
    /// The newest batch; `first_seq - 1` when there is none.
    pub last_seq: i64,
    /// The next free number of a series.
    pub next_series: i64,
    /// The next free number of a histogram.
    pub next_latencies: i64,
    pub series: Digest,
    pub states: Digest,
    pub shelves: Digest,
}

impl Head {
    /// The books of an empty ledger.
    pub fn new(epoch: Vec<u8>) -> Self {
        Head { epoch, first_seq: 1, next_series: 1, next_latencies: 1, ..Head::default() }
    }

    /// Reads the books; none if they are damaged.
    pub fn load(db: &Connection) -> rusqlite::Result<Option<Head>> {
        let sql = "SELECT epoch, commits, first_seq, last_seq, next_series, next_latencies, \
                   series_n, series_sum, states_n, states_sum, shelves_n, shelves_sum, crc \
                   FROM head WHERE id = 1";
        let row = db.prepare_cached(sql)?.query_row([], |row| {
            let digest = |at: usize| -> rusqlite::Result<Digest> {
                Ok(Digest { n: row.get(at)?, sum: row.get(at + 1)? })
            };
            let head = Head {
                epoch: row.get(0)?,
                commits: row.get(1)?,
                first_seq: row.get(2)?,
                last_seq: row.get(3)?,
                next_series: row.get(4)?,
                next_latencies: row.get(5)?,
                series: digest(6)?,
                states: digest(8)?,
                shelves: digest(10)?,
            };
            Ok((row.get::<_, i64>(12)? == head.crc()).then_some(head))
        });
        match row.optional() {
            Ok(found) => Ok(found.flatten()),
            Err(error) if error.sqlite_error_code().is_none() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the books; to be called in the transaction that changed the rows.
    pub fn store(&self, db: &Connection) -> rusqlite::Result<()> {
        db.prepare_cached(
            "INSERT OR REPLACE INTO head(id, epoch, commits, first_seq, last_seq, next_series, \
             next_latencies, series_n, series_sum, states_n, states_sum, shelves_n, shelves_sum, \
             crc) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            self.epoch,
            self.commits,
            self.first_seq,
            self.last_seq,
            self.next_series,
            self.next_latencies,
            self.series.n,
            self.series.sum,
            self.states.n,
            self.states.sum,
            self.shelves.n,
            self.shelves.sum,
            self.crc(),
        ])?;
        Ok(())
    }

    fn crc(&self) -> i64 {
        let numbers = [
            self.commits,
            self.first_seq,
            self.last_seq,
            self.next_series,
            self.next_latencies,
            self.series.n,
            self.series.sum,
            self.states.n,
            self.states.sum,
            self.shelves.n,
            self.shelves.sum,
        ];
        numbers.into_iter().fold(Seal::new("head").bytes(&self.epoch), Seal::int).done()
    }

    /// Books made anew from the rows that are there, for a ledger whose own are damaged. What
    /// was missing before can no longer be told, which is why the damage is reported.
    pub fn from_rows(db: &Connection) -> rusqlite::Result<Head> {
        let digest = |table: &str| {
            let sum = "CAST(coalesce(sum(crc), 0) AS INTEGER)";
            db.query_row(&format!("SELECT count(*), {sum} FROM {table}"), [], |row| {
                Ok(Digest { n: row.get(0)?, sum: row.get(1)? })
            })
        };
        let pair = |sql: &str| db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
        let (first, last): (Option<i64>, Option<i64>) =
            pair("SELECT min(seq), max(seq) FROM batch")?;
        let (series, latencies): (Option<i64>, Option<i64>) =
            pair("SELECT (SELECT max(id) FROM series), (SELECT max(id) FROM latencies)")?;
        let epoch = db.query_row("SELECT randomblob(16)", [], |row| row.get(0))?;
        Ok(Head {
            first_seq: first.unwrap_or(1),
            last_seq: last.unwrap_or(0),
            next_series: series.unwrap_or(0) + 1,
            next_latencies: latencies.unwrap_or(0) + 1,
            series: digest("series")?,
            states: digest("state")?,
            shelves: digest("shelf")?,
            ..Head::new(epoch)
        })
    }
}
