//! Numbers for many probes at once: one transaction, however many are new.

use std::collections::BTreeMap;

use super::{Ledger, LedgerError, store};
use crate::model::{ProbeId, SeriesId};

impl Ledger {
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
        let key = |probe: &ProbeId| (probe.as_str().to_owned(), vantage.to_owned());
        let mut fresh: BTreeMap<(String, String), i64> = BTreeMap::new();
        let mut head = self.head.clone();
        for probe in probes.iter().map(key).filter(|key| !self.series.contains_key(key)) {
            let id = head.next_series + fresh.len() as i64;
            fresh.entry(probe).or_insert(id);
        }
        if !fresh.is_empty() {
            self.transact("number series in", |tx| {
                let mut by_id: Vec<_> = fresh.iter().map(|(key, id)| (*id, key)).collect();
                by_id.sort_unstable();
                by_id.iter().try_for_each(|(id, key)| store::put_series(tx, &mut head, *id, key))
            })?;
            let series = |id| SeriesId(u32::try_from(id).unwrap_or(u32::MAX));
            self.series.extend(fresh.into_iter().map(|(key, id)| (key, series(id))));
            self.head = head;
        }
        let number = |probe: &ProbeId| self.series.get(&key(probe)).copied();
        Ok(probes.iter().filter_map(number).collect())
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
