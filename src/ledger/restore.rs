//! Handing back history, and setting aside what is damaged.

use rusqlite::params_from_iter;

use super::damage::{Damage, MAX_QUARANTINED, Part};
use super::head::Head;
use super::store;
use super::survey::{Deletion, Mend, Survey, survey};
use super::{Ledger, LedgerError};
use crate::model::{Observation, Run, SeriesId, Timestamp};

/// One piece of history, in the order in which it is to be taken in.
#[derive(Debug)]
pub enum Restored<'a> {
    /// A named state.
    State {
        /// Its name.
        name: &'a str,
        /// Its content, JSON.
        json: &'a str,
    },
    /// A closed slice of one series. Its latencies stay in the ledger until they are asked
    /// for: [`Ledger::latencies`].
    Slice {
        /// Whose history.
        series: SeriesId,
        /// Where it begins.
        start: Timestamp,
        /// Where it ends, not included.
        end: Timestamp,
        /// The latency thresholds that `Run::class` counts, in microseconds.
        thresholds: &'a [u32],
        /// Every slot of the slice, in time order.
        runs: &'a [Run],
    },
    /// An observation that no slice has replaced.
    Observation(Observation),
    /// Slots accounted for without an observation, as far as no slice has replaced them.
    Gap(SeriesId, Run),
}

/// What a restore handed back, and what it could not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RestoreReport {
    /// States handed back.
    pub states: u64,
    /// Slices handed back.
    pub slices: u64,
    /// Observations handed back.
    pub observations: u64,
    /// Gaps handed back.
    pub gaps: u64,
    /// Batches read.
    pub batches: u64,
    /// When the latest slot is due that is known of any series. From there on, time is unknown.
    pub newest: Option<Timestamp>,
    /// Damage found this time. It has been moved aside; time that nothing accounts for is
    /// unknown.
    pub damage: Vec<Damage>,
    /// Damage found and moved aside earlier, which still concerns the time that is kept.
    pub known: Vec<Damage>,
}

impl Ledger {
    /// Hands back all states; then the slices that end after `since`, by start and series; then
    /// the observations and gaps due from `since` on that no slice has replaced, in the order
    /// in which they arrived.
    ///
    /// # Errors
    /// SQLite cannot read the database file, or damaged rows cannot be moved aside.
    pub fn restore(
        &mut self,
        since: Timestamp,
        sink: &mut dyn FnMut(Restored<'_>),
    ) -> Result<RestoreReport, LedgerError> {
        let survey = survey(&self.db, &self.head, since, sink).map_err(|e| self.sql("read", e))?;
        let Survey { mut report, mend, frontier } = survey;
        self.frontier = Some(frontier);
        report.damage.splice(0..0, self.damage.iter().cloned());
        if !report.damage.is_empty() {
            self.mend(mend, &report.known)?;
            self.damage.clear();
        }
        Ok(report)
    }

    /// Moves damaged rows aside and sets the books right.
    fn mend(&mut self, mend: Mend, known: &[Damage]) -> Result<(), LedgerError> {
        let mut head = self.head.clone();
        let opening = self.damage.clone();
        let opening = opening.iter().map(|damage| (damage, &[][..]));
        let reading = mend.aside.iter().map(|(damage, body, _)| (damage, body.as_slice()));
        let fresh = opening.chain(reading).filter(|(damage, _)| !known.contains(damage));
        let room = usize::try_from(MAX_QUARANTINED).unwrap_or(0).saturating_sub(known.len());
        let fresh: Vec<_> = fresh.take(room).collect();
        let names = self.damage.iter().any(|damage| damage.part == Part::Series);
        self.transact("mend", |tx| {
            for (damage, body) in fresh {
                damage.quarantine(tx, body)?;
            }
            for Deletion(sql, values) in mend.aside.iter().filter_map(|(.., row)| row.as_ref()) {
                tx.prepare_cached(sql)?.execute(params_from_iter(values))?;
            }
            if names {
                store::drop_damaged_series(tx)?;
            }
            for (&(from, to), digest) in &mend.shelves {
                store::put_shelf(tx, &mut head, from, to, *digest)?;
            }
            let rows = Head::from_rows(tx)?;
            (head.series, head.states, head.shelves) = (rows.series, rows.states, rows.shelves);
            store::settle(tx, &mut head, &store::Shelves::new())
        })?;
        self.head = head;
        Ok(())
    }
}
