//! Numbers of series: one for each probe and vantage, durable, and never given twice.
//!
//! However many are new, they become durable in one transaction.

use std::collections::BTreeSet;

use super::{Ledger, LedgerError, store};
use crate::model::{ProbeId, SeriesId};

impl Ledger {
    /// The number of a probe seen from a vantage; a new one is durable when this returns, and
    /// no number is ever given twice.
    ///
    /// # Errors
    /// The number cannot be written.
    pub fn series(&mut self, probe: &ProbeId, vantage: &str) -> Result<SeriesId, LedgerError> {
        Ok(self.number_all(&[(probe.clone(), vantage.to_owned())])?[0])
    }

    /// The numbers of probes seen from a vantage, in their order; new ones are durable when this
    /// returns, all or none of them.
    ///
    /// # Errors
    /// The numbers cannot be written.
    pub fn number(
        &mut self,
        probes: &[ProbeId],
        vantage: &str,
    ) -> Result<Vec<SeriesId>, LedgerError> {
        let wanted: Vec<_> = probes.iter().map(|p| (p.clone(), vantage.to_owned())).collect();
        self.number_all(&wanted)
    }

    /// As many numbers as were asked for, in the same order.
    pub(super) fn number_all(
        &mut self,
        wanted: &[(ProbeId, String)],
    ) -> Result<Vec<SeriesId>, LedgerError> {
        let key =
            |(probe, vantage): &(ProbeId, String)| (probe.as_str().to_owned(), vantage.clone());
        let fresh = wanted.iter().map(key).filter(|key| !self.series.contains_key(key));
        let fresh: BTreeSet<_> = fresh.collect();
        if !fresh.is_empty() {
            let mut head = self.head.clone();
            let first = head.next_series;
            self.transact("number series in", |tx| {
                fresh.iter().try_for_each(|key| store::put_series(tx, &mut head, key))?;
                store::settle(tx, &mut head, &store::Shelves::new())
            })?;
            self.head = head;
            let numbers = (first..).map(|id| SeriesId(u32::try_from(id).unwrap_or(u32::MAX)));
            self.series.extend(fresh.into_iter().zip(numbers));
        }
        Ok(wanted.iter().map(|wanted| self.series[&key(wanted)]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::*;

    #[test]
    fn numbers_are_dense_kept_and_the_same_for_repeated_probes() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = || Ledger::open(&dir.path().join("l"), Options::default()).expect("opens");
        let ids: Vec<ProbeId> =
            ["b/x", "a/x", "b/x", "c/x"].iter().map(|id| id.parse().expect("valid")).collect();
        let mut ledger = open();
        let first = ledger.number(&ids[..2], "here").expect("written");
        let all = ledger.number(&ids, "here").expect("written");
        assert_eq!((all[0], all[1], all[2]), (first[0], first[1], first[0]));
        assert_ne!(ledger.number(&ids, "there").expect("written"), all);
        ledger.close().expect("closes");
        assert_eq!(open().number(&ids, "here").expect("read"), all);
    }
}
