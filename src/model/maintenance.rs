//! Work that was announced: when it is, what it concerns, and what that means for promises.
//!
//! Knows nothing of slots or alerts. Keeps true: windows are half-open, `[start, end)`.

use std::fmt;

use super::name::Name;
use super::recurrence::{Held, Recurrence};
use super::time::Timestamp;
use super::window::Period;

/// Most Maintenances that may be declared.
pub const MAX_MAINTENANCES: usize = 1_000;

/// When far-away edges are taken to be.
const FAR: Timestamp = Timestamp::from_micros(i64::MAX);

/// Work that was announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Its name.
    pub name: Name,
    /// The services it concerns, by name.
    pub services: Vec<Name>,
    /// When it is.
    pub when: When,
    /// What that means.
    pub effect: Effect,
    /// Why.
    pub reason: Option<String>,
    /// Who announced it.
    pub author: Option<String>,
}

/// What a Maintenance means for the SLOs of its services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Slots that are due in it leave the SLI.
    Exclude,
    /// Slots count, and no alert begins to fire.
    Mute,
}

impl Effect {
    /// Both.
    pub const ALL: [Effect; 2] = [Effect::Exclude, Effect::Mute];

    /// The word in the spec language.
    pub const fn word(self) -> &'static str {
        match self {
            Effect::Exclude => "exclude",
            Effect::Mute => "mute",
        }
    }
}

/// When a Maintenance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Once.
    Once(Period),
    /// Again and again.
    Again(Box<Recurrence>),
}

impl Maintenance {
    /// Whether it concerns this service.
    pub fn concerns(&self, service: &str) -> bool {
        self.services.iter().any(|name| name.as_str() == service)
    }

    /// Whether a moment lies in it, and up to when that is so at least.
    pub fn at(&self, at: Timestamp) -> Held {
        match &self.when {
            When::Once(Period { start, end }) => {
                let inside = *start <= at && at < *end;
                let edges = [*start, *end, FAR];
                let until = edges.into_iter().find(|edge| *edge > at).unwrap_or(FAR);
                Held { inside, until }
            }
            When::Again(recurrence) => recurrence.at(at),
        }
    }

    /// Every stretch of `[from, to)` that lies in it, in order, touching ones joined; at most
    /// `most` of them.
    pub fn stretches(&self, from: Timestamp, to: Timestamp, most: usize) -> Vec<Period> {
        let mut found: Vec<Period> = Vec::new();
        let mut at = from;
        while at < to {
            let held = self.at(at);
            let end = held.until.min(to);
            if held.inside {
                match found.last_mut().filter(|last| last.end == at) {
                    Some(last) => last.end = end,
                    None => found.push(Period { start: at, end }),
                }
            }
            if found.len() > most {
                found.pop();
                break;
            }
            at = end;
        }
        found
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::Once(Period { start, end }) => write!(f, "{start} to {end}"),
            When::Again(recurrence) => recurrence.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }

    fn once(start: i64, end: i64) -> Maintenance {
        Maintenance {
            name: "upgrade".parse().expect("a name"),
            services: vec!["db".parse().expect("a name")],
            when: When::Once(Period { start: at(start), end: at(end) }),
            effect: Effect::Exclude,
            reason: None,
            author: None,
        }
    }

    #[test]
    fn the_beginning_is_in_it_and_the_end_is_not() {
        let inside = |n| once(10, 20).at(at(n)).inside;
        assert_eq!([9, 10, 19, 20].map(inside), [false, true, true, false]);
        let until = |n| once(10, 20).at(at(n)).until;
        assert_eq!([9, 10, 20].map(until), [at(10), at(20), FAR]);
    }

    #[test]
    fn stretches_are_clipped_to_what_is_asked_for() {
        let stretches = |from, to| once(10, 20).stretches(at(from), at(to), 9);
        assert_eq!(stretches(12, 15), [Period { start: at(12), end: at(15) }]);
        assert_eq!(stretches(0, 100), [Period { start: at(10), end: at(20) }]);
        assert_eq!(stretches(20, 100), []);
    }
}
