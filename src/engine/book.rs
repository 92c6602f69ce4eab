//! The book of amendments: every Maintenance that is declared, and every Correction that ever was.
//!
//! Decides which Corrections hold, and what touched an SLO over a stretch of time. What it keeps
//! true: a Correction that was entered is never changed and never leaves, whatever the files say
//! later; entries are kept for good as named states, so a restart goes on with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::correction::{Act, MAX_CORRECTIONS};
use crate::model::maintenance::Effect;
use crate::model::window::Period;
use crate::model::{
    Catalog, Correction, Maintenance, Name, Outcome, Record, SloId, Tally, Timestamp,
};

use super::amend::{Amendments, Strip};
use super::evaluate::Histories;

/// Under this prefix, with its name behind it, a Correction is kept.
pub const CORRECTION_STATE: &str = "correction/";

/// Most stretches that a Maintenance adds to an answer about what touched an SLO.
const MAX_STRETCHES: usize = 1_000;

/// Every Maintenance and every Correction.
#[derive(Clone, Debug, Default)]
pub struct Book {
    maintenances: Vec<Arc<Maintenance>>,
    entries: BTreeMap<Name, Entry>,
}

/// A Correction in the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it says.
    pub correction: Arc<Correction>,
    /// Since when it is kept; none before it is.
    pub entered: Option<Timestamp>,
    /// Whether the spec files still have it.
    pub declared: bool,
}

/// What touched an SLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The name of the Maintenance or the Correction.
    pub name: Name,
    /// What it did.
    pub kind: TouchKind,
    /// When, within the stretch that was asked for.
    pub period: Period,
    /// Why, if that was said.
    pub reason: Option<String>,
    /// Who said so, if that was said.
    pub author: Option<String>,
    /// The Corrections by which a Correction was withdrawn; it does not hold if one of them does.
    pub withdrawn_by: Vec<Name>,
    /// Whether it holds.
    pub holds: bool,
}

/// What touched an SLO, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TouchKind {
    /// A Maintenance.
    Maintenance(Effect),
    /// A Correction that has slots count as this.
    Correction(Outcome),
}

impl Book {
    /// What these specs declare, by themselves: as if all of it had been entered long ago.
    pub fn of(catalog: &Catalog) -> Self {
        let mut book = Book::default();
        book.declare(catalog);
        book.enter(Timestamp::MIN);
        book
    }

    /// Goes on with what these specs declare. Corrections that are in the book already stay as
    /// they are, and so do those that the specs do not have any more.
    pub(super) fn declare(&mut self, catalog: &Catalog) {
        self.maintenances.clone_from(&catalog.maintenances);
        // What was never kept was never entered.
        self.entries.retain(|_, entry| entry.entered.is_some());
        self.entries.values_mut().for_each(|entry| entry.declared = false);
        for correction in &catalog.corrections {
            let fresh =
                || Entry { correction: Arc::clone(correction), entered: None, declared: true };
            self.entries.entry(correction.name.clone()).or_insert_with(fresh).declared = true;
        }
    }

    /// Why the book cannot go on with these specs; nothing if it can.
    pub fn objections(&self, catalog: &Catalog) -> Vec<String> {
        let changed = |correction: &&Arc<Correction>| {
            let known = self.entries.get(&correction.name);
            known.is_some_and(|known| known.correction != **correction)
        };
        let change = |correction: &Arc<Correction>| {
            format!(
                "Correction {:?} is not what it was when it took effect; put it back as it was, \
                 and withdraw it by another one: `withdraws: {}`",
                correction.name.as_str(),
                correction.name
            )
        };
        let mut told: Vec<String> =
            catalog.corrections.iter().filter(changed).map(change).collect();
        let new = catalog.corrections.iter().filter(|c| !self.entries.contains_key(&c.name));
        let all = self.entries.len() + new.count();
        if all > MAX_CORRECTIONS {
            told.push(format!("{all} Corrections are known, more than {MAX_CORRECTIONS}"));
        }
        told
    }

    /// Corrections that the spec files do not have any more.
    pub fn undeclared(&self) -> impl Iterator<Item = &Name> {
        self.entries.iter().filter(|(_, entry)| !entry.declared).map(|(name, _)| name)
    }

    /// Every Correction that has been entered, by name.
    pub fn corrections(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.entered.is_some())
    }

    /// The same, the one that ranks highest last.
    fn ranked(&self) -> Vec<&Correction> {
        let mut ranked: Vec<&Correction> =
            self.corrections().map(|entry| &*entry.correction).collect();
        ranked.sort_by_key(|correction| correction.rank());
        ranked
    }

    /// Enters what is new; the records keep it for good.
    pub(super) fn enter(&mut self, now: Timestamp) -> Vec<Record> {
        let new = self.entries.values_mut().filter(|entry| entry.entered.is_none());
        let enter = |entry: &mut Entry| {
            entry.entered = Some(now);
            Kept::record(&entry.correction, now)
        };
        new.map(enter).collect()
    }

    /// Takes back what [`Book::enter`] kept; false for other states. What was entered stands,
    /// whatever is declared now.
    pub(super) fn restore(&mut self, name: &str, json: &str) -> bool {
        let Some(name) = name.strip_prefix(CORRECTION_STATE) else { return false };
        let Some((correction, entered)) = Kept::read(name, json) else { return true };
        let declared = self.entries.get(&correction.name).is_some_and(|known| known.declared);
        let (name, correction) = (correction.name.clone(), Arc::new(correction));
        self.entries.insert(name, Entry { correction, entered: Some(entered), declared });
        true
    }

    /// Which Corrections hold: those that no Correction withdraws that holds. Specs have no
    /// circles; what is in one would not hold.
    fn holding(&self) -> BTreeSet<&Name> {
        let mut doubts: BTreeMap<&Name, usize> = BTreeMap::new();
        for name in self.corrections().filter_map(|entry| entry.correction.withdraws()) {
            *doubts.entry(name).or_default() += 1;
        }
        let all = self.corrections().map(|entry| &*entry.correction);
        let certain = |correction: &&Correction| !doubts.contains_key(&correction.name);
        let mut settled: Vec<&Correction> = all.filter(certain).collect();
        let (mut holding, mut withdrawn) = (BTreeSet::new(), BTreeSet::new());
        while let Some(correction) = settled.pop() {
            let holds = !withdrawn.contains(&correction.name);
            holding.extend(holds.then_some(&correction.name));
            let Some(target) = correction.withdraws() else { continue };
            withdrawn.extend(holds.then_some(target));
            let left = doubts.entry(target).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                settled.extend(self.entries.get(target).map(|entry| &*entry.correction));
            }
        }
        holding
    }

    /// What says of each of these SLOs how its slots are to count.
    pub fn amendments<'a>(&self, slos: impl Iterator<Item = &'a SloId>) -> Vec<Amendments> {
        let holding = self.holding();
        let mut strips: BTreeMap<&SloId, Vec<Strip>> = BTreeMap::new();
        let holds = |correction: &&Correction| holding.contains(&correction.name);
        for correction in self.ranked().into_iter().filter(holds) {
            if let Act::Set { slo, from, to, outcome } = &correction.act {
                let strip = Strip { from: *from, to: *to, outcome: *outcome };
                strips.entry(slo).or_default().push(strip);
            }
        }
        let of = |slo: &'a SloId| {
            let maintenances = self.maintenances.iter().filter(|m| m.concerns(slo.service()));
            let strips = strips.get(slo).map(Vec::as_slice).unwrap_or_default();
            Amendments::new(maintenances.cloned().collect(), strips)
        };
        slos.map(of).collect()
    }

    /// Everything that touched an SLO in `[from, to)`: Maintenance in time order, then
    /// Corrections, those that do not hold any more included, the one that ranks highest last.
    pub fn touching(&self, slo: &SloId, from: Timestamp, to: Timestamp) -> Vec<Touch> {
        let mut touches = Vec::new();
        for maintenance in self.maintenances.iter().filter(|m| m.concerns(slo.service())) {
            for period in maintenance.stretches(from, to, MAX_STRETCHES) {
                touches.push(Touch {
                    name: maintenance.name.clone(),
                    kind: TouchKind::Maintenance(maintenance.effect),
                    period,
                    reason: maintenance.reason.clone(),
                    author: maintenance.author.clone(),
                    withdrawn_by: Vec::new(),
                    holds: true,
                });
            }
        }
        touches.sort_by_key(|touch| touch.period.start);
        let holding = self.holding();
        for correction in self.ranked() {
            let Act::Set { slo: of, from: begin, to: end, outcome } = &correction.act else {
                continue;
            };
            let period = Period { start: (*begin).max(from), end: (*end).min(to) };
            if of != slo || period.start >= period.end {
                continue;
            }
            touches.push(Touch {
                name: correction.name.clone(),
                kind: TouchKind::Correction(*outcome),
                period,
                reason: Some(correction.reason.clone()),
                author: Some(correction.author.clone()),
                withdrawn_by: self.withdrawn_by(&correction.name),
                holds: holding.contains(&correction.name),
            });
        }
        touches
    }

    /// The Corrections that withdraw this one.
    pub fn withdrawn_by(&self, name: &Name) -> Vec<Name> {
        let withdraws = |entry: &&Entry| entry.correction.withdraws() == Some(name);
        self.corrections().filter(withdraws).map(|e| e.correction.name.clone()).collect()
    }

    /// The Correction of this name.
    pub fn correction(&self, name: &Name) -> Option<&Entry> {
        self.entries.get(name)
    }
}

impl Touch {
    /// What was measured in the stretch that it touched.
    pub fn measured(&self, slots: Histories<'_>) -> Tally {
        slots.before(self.period.end) - slots.before(self.period.start)
    }
}

/// A Correction as it is kept. Times are microseconds since the epoch.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    slo: Option<String>,
    from: Option<i64>,
    to: Option<i64>,
    outcome: Option<String>,
    withdraws: Option<String>,
    reason: String,
    author: String,
    at: Option<i64>,
    entered: i64,
}

impl Kept {
    fn record(correction: &Correction, entered: Timestamp) -> Record {
        let mut kept = Kept {
            slo: None,
            from: None,
            to: None,
            outcome: None,
            withdraws: None,
            reason: correction.reason.clone(),
            author: correction.author.clone(),
            at: correction.at.map(Timestamp::micros),
            entered: entered.micros(),
        };
        match &correction.act {
            Act::Set { slo, from, to, outcome } => {
                kept.slo = Some(slo.to_string());
                (kept.from, kept.to) = (Some(from.micros()), Some(to.micros()));
                kept.outcome = Some(outcome.word().to_owned());
            }
            Act::Withdraw(name) => kept.withdraws = Some(name.to_string()),
        }
        let json = serde_json::to_string(&kept).expect("numbers and text always become JSON");
        Record::State { name: format!("{CORRECTION_STATE}{}", correction.name), json }
    }

    fn read(name: &str, json: &str) -> Option<(Correction, Timestamp)> {
        let kept: Kept = serde_json::from_str(json).ok()?;
        let act = match kept.withdraws {
            Some(name) => Act::Withdraw(name.parse().ok()?),
            None => Act::Set {
                slo: kept.slo?.parse().ok()?,
                from: Timestamp::from_micros(kept.from?),
                to: Timestamp::from_micros(kept.to?),
                outcome: Outcome::from_word(&kept.outcome?)?,
            },
        };
        let correction = Correction {
            name: name.parse().ok()?,
            act,
            reason: kept.reason,
            author: kept.author,
            at: kept.at.map(Timestamp::from_micros),
        };
        Some((correction, Timestamp::from_micros(kept.entered)))
    }
}

#[cfg(test)]
mod tests;
