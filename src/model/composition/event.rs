//! Failures as a monotone formula over leaves, and its exact probability if leaves are
//! independent.
//!
//! Parts that share no leaf are multiplied; a leaf that several parts share is looked at both
//! ways, down and up, which is exact. How much of that is done is bounded. Every step adds and
//! multiplies non-negative numbers only, so nothing small is lost beside something large.

use std::collections::{BTreeMap, BTreeSet};

/// What is known of parts that were weighed before.
type Known = BTreeMap<Event, f64>;

/// Something that may happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// This leaf fails.
    Leaf(usize),
    /// At least so many of these happen; 1 or more.
    AtLeast(usize, Vec<Event>),
}

/// What is left of an event once a leaf is known.
enum Left {
    Never,
    Always,
    Maybe(Event),
}

impl Event {
    /// One of these happens.
    pub(super) fn any(events: impl IntoIterator<Item = Event>) -> Self {
        let mut flat = Vec::new();
        for event in events {
            match event {
                Event::AtLeast(1, inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        Event::AtLeast(1, flat)
    }

    /// At least so many of these happen.
    pub(super) fn at_least(n: usize, events: impl IntoIterator<Item = Event>) -> Self {
        match n {
            1 => Event::any(events),
            _ => Event::AtLeast(n, events.into_iter().collect()),
        }
    }

    /// The probability, where leaf `i` fails with `leaves[i]`; none if more parts of formulas
    /// would have to be looked at than `work`, from which what was done is taken.
    pub(super) fn probability(&self, leaves: &[f64], work: &mut usize) -> Option<f64> {
        self.weigh(leaves, work, &mut Known::new())
    }

    fn weigh(&self, leaves: &[f64], work: &mut usize, known: &mut Known) -> Option<f64> {
        let (n, parts) = match self {
            Event::Leaf(leaf) => return Some(leaves[*leaf]),
            Event::AtLeast(n, parts) => (*n, parts),
        };
        let uses = self.uses();
        *work = work.checked_sub(uses.iter().map(Vec::len).sum::<usize>() + parts.len())?;
        let of = owners(&uses);
        // A leaf in several parts, the one in most of them.
        let shared = of.iter().filter(|(_, of)| of.len() > 1).max_by_key(|(_, of)| of.len());
        let Some((&leaf, _)) = shared else {
            let each = parts.iter().map(|part| part.weigh(leaves, work, known));
            return Some(at_least(n, &each.collect::<Option<Vec<f64>>>()?));
        };
        if let Some(weight) = known.get(self) {
            return Some(*weight);
        }
        let weight = match n {
            1 => self.weigh_any(leaf, &uses, leaves, work, known)?,
            _ => self.weigh_both(leaf, leaves, work, known)?,
        };
        known.insert(self.clone(), weight);
        Some(weight)
    }

    /// One of the parts happens, several of which share a leaf.
    fn weigh_any(
        &self,
        leaf: usize,
        uses: &[Vec<usize>],
        leaves: &[f64],
        work: &mut usize,
        known: &mut Known,
    ) -> Option<f64> {
        let Event::AtLeast(_, parts) = self else { return self.weigh(leaves, work, known) };
        let plain = |part: &Event| match part {
            Event::Leaf(leaf) => Some(*leaf),
            Event::AtLeast(..) => None,
        };
        let alone: BTreeSet<usize> = parts.iter().filter_map(plain).collect();
        if alone.iter().any(|leaf| uses.iter().filter(|of| of.contains(leaf)).count() > 1) {
            // Leaves that suffice alone come first; the rest matters only while all of them hold.
            let none: f64 = alone.iter().map(|leaf| 1.0 - leaves[*leaf]).product();
            let one = alone.iter().fold(0.0, |one, leaf| one + (1.0 - one) * leaves[*leaf]);
            let rest = parts.iter().filter(|part| plain(part).is_none());
            let rest: Vec<Event> = rest.filter_map(|part| part.without(&alone)).collect();
            return Some(one + none * Event::any(rest).weigh(leaves, work, known)?);
        }
        let (with, without) = split(uses, leaf);
        if without.is_empty() {
            return self.weigh_both(leaf, leaves, work, known);
        }
        // Parts that share nothing with those around the leaf are independent of them.
        let pick = |of: &[usize]| Event::any(of.iter().map(|part| parts[*part].clone()));
        let one = pick(&with).weigh(leaves, work, known)?;
        Some(one + (1.0 - one) * pick(&without).weigh(leaves, work, known)?)
    }

    /// Looks at a leaf both ways.
    fn weigh_both(
        &self,
        leaf: usize,
        leaves: &[f64],
        work: &mut usize,
        known: &mut Known,
    ) -> Option<f64> {
        let mut side = |down: bool| match self.given(leaf, down) {
            Left::Never => Some(0.0),
            Left::Always => Some(1.0),
            Left::Maybe(event) => event.weigh(leaves, work, known),
        };
        let (down, up) = (side(true)?, side(false)?);
        Some(leaves[leaf] * down + (1.0 - leaves[leaf]) * up)
    }

    /// What is left of it while none of these leaves fails; none if it cannot happen then.
    fn without(&self, up: &BTreeSet<usize>) -> Option<Event> {
        let (n, parts) = match self {
            Event::Leaf(leaf) => return (!up.contains(leaf)).then(|| self.clone()),
            Event::AtLeast(n, parts) => (*n, parts),
        };
        let left: Vec<Event> = parts.iter().filter_map(|part| part.without(up)).collect();
        (left.len() >= n).then(|| Event::at_least(n, left))
    }

    /// The leaves of each part, ascending, each once.
    fn uses(&self) -> Vec<Vec<usize>> {
        let Event::AtLeast(_, parts) = self else { return Vec::new() };
        let leaves = |part: &Event| {
            let mut leaves = Vec::new();
            part.collect(&mut leaves);
            leaves.sort_unstable();
            leaves.dedup();
            leaves
        };
        parts.iter().map(leaves).collect()
    }

    fn collect(&self, leaves: &mut Vec<usize>) {
        match self {
            Event::Leaf(leaf) => leaves.push(*leaf),
            Event::AtLeast(_, parts) => parts.iter().for_each(|part| part.collect(leaves)),
        }
    }

    /// What is left of it once this leaf is known to be down or up.
    fn given(&self, leaf: usize, down: bool) -> Left {
        let (n, parts) = match self {
            Event::Leaf(this) if *this == leaf && down => return Left::Always,
            Event::Leaf(this) if *this == leaf => return Left::Never,
            Event::Leaf(_) => return Left::Maybe(self.clone()),
            Event::AtLeast(n, parts) => (*n, parts),
        };
        let (mut n, mut left) = (n, Vec::with_capacity(parts.len()));
        for part in parts {
            match part.given(leaf, down) {
                Left::Never => {}
                Left::Always => n = n.saturating_sub(1),
                Left::Maybe(event) => left.push(event),
            }
        }
        match n {
            0 => Left::Always,
            _ if left.len() < n => Left::Never,
            _ => Left::Maybe(Event::at_least(n, left)),
        }
    }
}

/// The parts that use each leaf.
fn owners(uses: &[Vec<usize>]) -> BTreeMap<usize, Vec<usize>> {
    let mut owners: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (part, leaves) in uses.iter().enumerate() {
        for leaf in leaves {
            owners.entry(*leaf).or_default().push(part);
        }
    }
    owners
}

/// The parts that hang together with those that use this leaf, and the others.
fn split(uses: &[Vec<usize>], leaf: usize) -> (Vec<usize>, Vec<usize>) {
    let owners = owners(uses);
    let mut with = vec![false; uses.len()];
    let mut open = owners.get(&leaf).cloned().unwrap_or_default();
    while let Some(part) = open.pop() {
        if !std::mem::replace(&mut with[part], true) {
            open.extend(uses[part].iter().filter_map(|leaf| owners.get(leaf)).flatten());
        }
    }
    (0..uses.len()).partition(|part| with[*part])
}

/// The probability that at least `n` of independent events happen (Poisson-binomial).
fn at_least(n: usize, each: &[f64]) -> f64 {
    if n == 1 {
        return each.iter().fold(0.0, |one, p| one + (1.0 - one) * p);
    }
    // The probability of exactly 0, 1, .. n - 1 so far, and of n or more.
    let mut exactly = vec![0.0; n + 1];
    exactly[0] = 1.0;
    for p in each {
        exactly[n] += exactly[n - 1] * p;
        for k in (1..n).rev() {
            exactly[k] = exactly[k] * (1.0 - p) + exactly[k - 1] * p;
        }
        exactly[0] *= 1.0 - p;
    }
    exactly[n]
}
