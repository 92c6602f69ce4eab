//! How the failures of services become failures of what needs them.
//!
//! Every service is one leaf: what it loses by itself, taken from its promise, counted once
//! however many ways lead to it. Three numbers come out: the worst that any dependence between
//! leaves allows (Fréchet, Rüger; whole numbers), the exact value if leaves fail independently
//! (shared leaves are conditioned on), and the best. What redundant services lose together is a
//! leaf of its own (the beta-factor model). Soft dependencies are left out. Knows nothing of
//! objectives and windows.

mod bound;
mod event;

use std::collections::{BTreeMap, BTreeSet};

pub use bound::Bound;
use event::Event;

use super::catalog::{Catalog, Dependency, Impact, Service};
use super::decimal;
use super::name::Name;
use super::number;
use super::objective::PPB;

/// The common-cause share that is taken where none is declared: 10 %.
pub const DEFAULT_COMMON_CAUSE_PPB: u32 = PPB / 10;

/// Most parts that a structure may unfold into; beyond, nothing is computed and that is told.
const MAX_PARTS: usize = 2_000;
/// Most parts of formulas that are looked at for the exact value of a whole structure.
const MAX_WORK: usize = 20_000;
/// The same for one term, and for all steps of a search.
const MAX_TERM_WORK: usize = 2_000;
/// How finely a share of common causes is searched: a millionth.
const SHARE_STEP: u32 = 1_000;
/// Deepest nesting of groups within groups.
const MAX_DEPTH: usize = 64;

/// The services of a catalogue as leaves, with what each needs.
#[derive(Clone, Debug)]
pub struct Platform {
    names: Vec<Name>,
    index: BTreeMap<Name, usize>,
    own: Vec<Option<u32>>,
    needs: Vec<Vec<Need>>,
}

/// Services of which some are needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    need: usize,
    of: Vec<usize>,
    common_cause_ppb: Option<u32>,
}

impl Platform {
    /// The services of this catalogue.
    pub fn of(catalog: &Catalog) -> Self {
        let names: Vec<Name> = catalog.services.iter().map(|s| s.name.clone()).collect();
        let index: BTreeMap<Name, usize> = names.iter().cloned().zip(0..).collect();
        let own = |s: &Service| s.promise().map(|slo| slo.objective.budget_ppb());
        let needs = |s: &Service| needs(&s.depends_on, &index);
        Platform {
            own: catalog.services.iter().map(own).collect(),
            needs: catalog.services.iter().map(needs).collect(),
            names,
            index,
        }
    }

    /// What each service loses by its promise, in parts per billion; none without a promise.
    pub fn own(&self) -> &[Option<u32>] {
        &self.own
    }

    /// The position of a service, which is that of its leaf.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|one| one.as_str().cmp(name)).ok()
    }

    /// The name of the service at this position.
    pub fn name(&self, position: usize) -> &str {
        self.names[position].as_str()
    }

    /// The structure of something that depends on these; none if it is too entangled.
    pub fn structure(&self, depends_on: &[Dependency]) -> Option<Structure> {
        let (via, causes) = (BTreeMap::new(), BTreeMap::new());
        let mut unfold = Unfold { platform: self, parts: 0, via, causes };
        let mut root = unfold.branch(needs(depends_on, &self.index), None, 0)?;
        root.absorb();
        let via = unfold.via;
        let cause = |(members, share_ppb)| Cause { members, share_ppb };
        let causes: Vec<Cause> = unfold.causes.into_iter().map(cause).collect();
        let event = root.event(&|service| own_event(service, &causes, self.names.len()));
        Some(Structure { n_services: self.names.len(), root, causes, event, via })
    }
}

/// Hard dependencies by position; what does not exist was refused where specs are read.
fn needs(depends_on: &[Dependency], index: &BTreeMap<Name, usize>) -> Vec<Need> {
    let hard = depends_on.iter().filter(|dependency| dependency.impact == Impact::Hard);
    let need = |dependency: &Dependency| Need {
        need: dependency.need,
        of: dependency.of.iter().filter_map(|name| index.get(name).copied()).collect(),
        common_cause_ppb: dependency.common_cause_ppb,
    };
    hard.map(need).collect()
}

/// What must hold at once: services, and groups of which enough must work.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Branch {
    services: BTreeSet<usize>,
    groups: Vec<Group>,
}

/// Branches of which `need` must work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    need: usize,
    members: Vec<usize>,
    common_cause_ppb: Option<u32>,
    branches: Vec<Branch>,
}

/// Failures that take all of these services at once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cause {
    members: Vec<usize>,
    share_ppb: u32,
}

/// Follows dependencies to their end.
struct Unfold<'a> {
    platform: &'a Platform,
    parts: usize,
    /// From a service to the one that needs it, on the first way that was found.
    via: BTreeMap<usize, usize>,
    /// The largest share of common causes that is declared for the same services.
    causes: BTreeMap<Vec<usize>, u32>,
}

/// What must hold around a branch, and so need not be said in it again.
struct Scope<'a> {
    services: &'a BTreeSet<usize>,
    groups: &'a BTreeMap<(usize, Vec<usize>), Option<u32>>,
    around: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn has_service(&self, service: usize) -> bool {
        self.services.contains(&service)
            || self.around.is_some_and(|around| around.has_service(service))
    }

    fn has_group(&self, group: &(usize, Vec<usize>)) -> bool {
        self.groups.contains_key(group) || self.around.is_some_and(|a| a.has_group(group))
    }
}

impl Unfold<'_> {
    fn branch(
        &mut self,
        needs: Vec<Need>,
        around: Option<&Scope<'_>>,
        depth: usize,
    ) -> Option<Branch> {
        let mut branch = Branch::default();
        let mut open = needs;
        let mut groups = BTreeMap::new();
        while let Some(Need { need, mut of, common_cause_ppb }) = open.pop() {
            self.parts += 1;
            if self.parts > MAX_PARTS || depth > MAX_DEPTH {
                return None;
            }
            if need < of.len() {
                of.sort_unstable();
                let share = self.causes.entry(of.clone()).or_default();
                *share = common_cause_ppb.unwrap_or(DEFAULT_COMMON_CAUSE_PPB).max(*share);
                let known = |around: &Scope<'_>| around.has_group(&(need, of.clone()));
                if !around.is_some_and(known) {
                    groups.insert((need, of), common_cause_ppb);
                }
                continue;
            }
            for service in of {
                let known = around.is_some_and(|around| around.has_service(service));
                if !known && branch.services.insert(service) {
                    let its = self.platform.needs[service].clone();
                    for below in its.iter().flat_map(|need| &need.of) {
                        self.via.entry(*below).or_insert(service);
                    }
                    open.extend(its);
                }
            }
        }
        let scope = Scope { services: &branch.services, groups: &groups, around };
        let mut unfolded = Vec::with_capacity(groups.len());
        for ((need, members), common_cause_ppb) in &groups {
            let plain = |service| vec![Need { need: 1, of: vec![service], common_cause_ppb: None }];
            let branches: Option<Vec<Branch>> = members
                .iter()
                .map(|service| self.branch(plain(*service), Some(&scope), depth + 1))
                .collect();
            let (need, members) = (*need, members.clone());
            let common_cause_ppb = *common_cause_ppb;
            unfolded.push(Group { need, members, common_cause_ppb, branches: branches? });
        }
        branch.groups = unfolded;
        Some(branch)
    }
}

impl Branch {
    fn is_empty(&self) -> bool {
        self.services.is_empty() && self.groups.is_empty()
    }

    /// Says everything once, as high up as it can be said: what fails a group by itself, because
    /// too many of its branches share it, fails the whole; and what fails the whole need not be
    /// looked at again in its parts. The meaning stays the same.
    fn absorb(&mut self) {
        loop {
            for group in &mut self.groups {
                group.branches.iter_mut().for_each(Branch::absorb);
            }
            let (mut services, mut groups) = (BTreeSet::new(), BTreeSet::new());
            for group in &self.groups {
                let (shared, nested) = group.shared();
                services.extend(shared);
                groups.extend(nested);
            }
            let n = (self.services.len(), self.groups.len());
            self.services.extend(services);
            groups.retain(|nested| !self.groups.iter().any(|group| group.is(nested)));
            self.groups.extend(groups);
            let known: Vec<(usize, Vec<usize>)> =
                self.groups.iter().map(|group| (group.need, group.members.clone())).collect();
            for group in &mut self.groups {
                group.branches.iter_mut().for_each(|branch| branch.forget(&self.services, &known));
            }
            let settled = n == (self.services.len(), self.groups.len());
            self.groups.retain(Group::can_fail);
            if settled {
                return;
            }
        }
    }

    /// Leaves out what is known to work.
    fn forget(&mut self, services: &BTreeSet<usize>, groups: &[(usize, Vec<usize>)]) {
        self.services.retain(|service| !services.contains(service));
        let is =
            |group: &Group| groups.iter().any(|(n, of)| *n == group.need && *of == group.members);
        self.groups.retain(|group| !is(group));
        for group in &mut self.groups {
            group.branches.iter_mut().for_each(|branch| branch.forget(services, groups));
        }
        self.groups.retain(Group::can_fail);
    }

    fn event(&self, own: &dyn Fn(usize) -> Vec<Event>) -> Event {
        let services = self.services.iter().flat_map(|service| own(*service));
        let groups = self.groups.iter().map(|group| group.event(own));
        Event::any(services.chain(groups))
    }
}

impl Group {
    /// How many branches must fail for the group to fail.
    fn fatal(&self) -> usize {
        self.branches.len() + 1 - self.need
    }

    fn is(&self, other: &Group) -> bool {
        self.need == other.need && self.members == other.members
    }

    fn can_fail(&self) -> bool {
        self.branches.iter().filter(|branch| !branch.is_empty()).count() >= self.fatal()
    }

    /// What enough branches share to take the group down alone.
    fn shared(&self) -> (Vec<usize>, Vec<Group>) {
        let mut services: BTreeMap<usize, usize> = BTreeMap::new();
        let mut groups: BTreeMap<&Group, usize> = BTreeMap::new();
        for branch in &self.branches {
            branch.services.iter().for_each(|s| *services.entry(*s).or_default() += 1);
            branch.groups.iter().for_each(|g| *groups.entry(g).or_default() += 1);
        }
        let fatal = self.fatal();
        let services = services.into_iter().filter(|(_, n)| *n >= fatal).map(|(s, _)| s);
        let groups = groups.into_iter().filter(|(_, n)| *n >= fatal).map(|(g, _)| g.clone());
        (services.collect(), groups.collect())
    }

    fn event(&self, own: &dyn Fn(usize) -> Vec<Event>) -> Event {
        Event::at_least(self.fatal(), self.branches.iter().map(|branch| branch.event(own)))
    }
}

/// What takes a service down besides its dependencies: its own leaf, and each shared cause.
fn own_event(service: usize, causes: &[Cause], n_services: usize) -> Vec<Event> {
    let has = |(_, cause): &(usize, &Cause)| cause.members.binary_search(&service).is_ok();
    let shared = causes.iter().enumerate().filter(has).map(|(n, _)| Event::Leaf(n_services + n));
    std::iter::once(Event::Leaf(service)).chain(shared).collect()
}

/// Everything that must hold for something to work.
#[derive(Clone, Debug)]
pub struct Structure {
    n_services: usize,
    root: Branch,
    causes: Vec<Cause>,
    event: Event,
    via: BTreeMap<usize, usize>,
}

/// One thing whose failure alone is a failure of the whole.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a>(Of<'a>);

#[derive(Clone, Copy, Debug)]
enum Of<'a> {
    Service(usize),
    Group(&'a Group),
}

/// Unavailability, three times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Composed {
    /// The most that any dependence between leaves allows.
    pub worst: Bound,
    /// If leaves fail independently of each other, common causes apart; none where something
    /// promises nothing, or where the exact value would take too long.
    pub independent: Option<Independent>,
    /// The least that any dependence between leaves allows.
    pub best: Bound,
}

/// An unavailability that was computed in floating point, good to twelve digits.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Independent(f64);

/// How far apart two numbers may be and still count as equal.
const EQUAL: f64 = 1e-12;
/// The digits that are printed: parts per trillion.
const PPT: u64 = 1_000_000_000_000;

impl Independent {
    /// From 0 to 1.
    pub const fn value(self) -> f64 {
        self.0
    }

    /// Whether it is at most `numerator / denominator`, where equal to twelve digits is equal.
    pub fn fits(self, numerator: u128, denominator: u128) -> bool {
        self.0 <= numerator as f64 / denominator as f64 * (1.0 + EQUAL)
    }

    /// Whole parts per trillion, cut up (toward worse).
    fn ppt(self) -> u64 {
        let parts = self.0 * PPT as f64;
        ((parts - parts * EQUAL - 1e-6).ceil().max(0.0) as u64).min(PPT)
    }

    /// The availability as decimal text, cut toward worse to twelve digits.
    pub fn availability(self) -> String {
        let text = decimal::fixed(i128::from(PPT - self.ppt()), PPT.into(), 12).unwrap_or_default();
        decimal::trim_zeros(&text).to_owned()
    }

    /// The availability for people.
    pub fn percent(self) -> String {
        number::percent(PPT - self.ppt(), PPT)
    }
}

impl Structure {
    /// Whether this service's failure can be felt at all.
    pub fn needs(&self, service: usize) -> bool {
        fn within(branch: &Branch, service: usize) -> bool {
            let branches = || branch.groups.iter().flat_map(|group| &group.branches);
            branch.services.contains(&service) || branches().any(|one| within(one, service))
        }
        within(&self.root, service)
    }

    /// Every thing whose failure alone is a failure of the whole, each once: services first, by
    /// name, then groups.
    pub fn terms(&self) -> impl Iterator<Item = Term<'_>> {
        let services = self.root.services.iter().map(|service| Term(Of::Service(*service)));
        services.chain(self.root.groups.iter().map(|group| Term(Of::Group(group))))
    }

    /// The unavailability of the whole, where service `i` loses `own[i]` parts per billion.
    pub fn composed(&self, own: &[Option<u32>]) -> Composed {
        let known = self.root.all(&|service| own[service].is_some());
        let independent = || self.event.probability(&self.leaves(own), &mut { MAX_WORK });
        Composed {
            worst: bound::worst(&self.root, own),
            independent: known.then(independent).flatten().map(Independent),
            best: bound::best(&self.root, own),
        }
    }

    /// The unavailability of one term by itself.
    pub fn composed_term(&self, term: Term<'_>, own: &[Option<u32>]) -> Composed {
        let branch = match term.0 {
            Of::Service(service) => Branch { services: [service].into(), groups: Vec::new() },
            Of::Group(group) => Branch { services: BTreeSet::new(), groups: vec![group.clone()] },
        };
        let known = branch.all(&|service| own[service].is_some());
        let independent = || {
            // A cause that takes a lone service is part of what that service loses.
            if let Of::Service(service) = term.0 {
                return own[service].map(|ppb| f64::from(ppb) / f64::from(PPB));
            }
            let event = branch.event(&|s| own_event(s, &self.causes, self.n_services));
            event.probability(&self.leaves(own), &mut { MAX_TERM_WORK })
        };
        Composed {
            worst: bound::worst(&branch, own),
            independent: known.then(independent).flatten().map(Independent),
            best: bound::best(&branch, own),
        }
    }

    /// The largest share of common causes, in parts per billion, with which a group loses at most
    /// `numerator / denominator` by itself; none if even independent failures are too many, and
    /// for a single service.
    pub fn largest_common_cause(
        &self,
        term: Term<'_>,
        own: &[Option<u32>],
        (numerator, denominator): (u128, u128),
    ) -> Option<u32> {
        let Of::Group(group) = term.0 else { return None };
        let mut work = 10 * MAX_TERM_WORK;
        let mut fits = |share_ppb: u32| {
            let causes = [Cause { members: group.members.clone(), share_ppb }];
            let event = group.event(&|s| own_event(s, &causes, self.n_services));
            let lost = event.probability(&leaves(own, &causes), &mut work);
            lost.is_some_and(|lost| Independent(lost).fits(numerator, denominator))
        };
        if fits(PPB) {
            return Some(PPB);
        }
        let (mut low, mut high) = (0, PPB);
        if !fits(low) {
            return None;
        }
        while high - low > SHARE_STEP {
            let middle = low + (high - low) / 2;
            if fits(middle) { low = middle } else { high = middle }
        }
        Some(low)
    }

    /// The services on the way from the dependent to this one, that one left out.
    pub fn way(&self, service: usize) -> Vec<usize> {
        let mut way = Vec::new();
        let mut at = service;
        while let Some(above) = self.via.get(&at).filter(|_| way.len() < MAX_DEPTH) {
            way.push(*above);
            at = *above;
        }
        way.reverse();
        way
    }

    fn leaves(&self, own: &[Option<u32>]) -> Vec<f64> {
        leaves(own, &self.causes)
    }
}

impl<'a> Term<'a> {
    /// The services it is about: one, or the alternatives of a group.
    pub fn services(&self) -> Vec<usize> {
        match self.0 {
            Of::Service(service) => vec![service],
            Of::Group(group) => group.members.clone(),
        }
    }

    /// How many of them must work.
    pub fn need(&self) -> usize {
        match self.0 {
            Of::Service(_) => 1,
            Of::Group(group) => group.need,
        }
    }

    /// Whether it is a group with something to spare.
    pub fn is_group(&self) -> bool {
        matches!(self.0, Of::Group(_))
    }

    /// The declared share of common causes; none if nothing is declared.
    pub fn common_cause_ppb(&self) -> Option<u32> {
        match self.0 {
            Of::Service(_) => None,
            Of::Group(group) => group.common_cause_ppb,
        }
    }
}

impl Branch {
    fn all(&self, holds: &dyn Fn(usize) -> bool) -> bool {
        let mut branches = self.groups.iter().flat_map(|group| &group.branches);
        self.services.iter().all(|service| holds(*service)) && branches.all(|one| one.all(holds))
    }
}

/// The probability of every leaf: of each service what it loses alone, then of each cause.
///
/// A cause takes its share of the failures of the member that fails most, but never more than
/// all those of the member that fails least; members lose the rest by themselves.
fn leaves(own: &[Option<u32>], causes: &[Cause]) -> Vec<f64> {
    let lost = |ppb: u32| f64::from(ppb) / f64::from(PPB);
    let mut leaves: Vec<f64> = own.iter().map(|ppb| ppb.map_or(1.0, lost)).collect();
    let cause = |cause: &Cause| {
        let members = || cause.members.iter().map(|service| own[*service].map_or(1.0, lost));
        let most = members().fold(0.0, f64::max);
        (most * lost(cause.share_ppb)).min(members().fold(1.0, f64::min))
    };
    let shared: Vec<f64> = causes.iter().map(cause).collect();
    for (cause, lost) in causes.iter().zip(&shared) {
        for member in &cause.members {
            leaves[*member] = (leaves[*member] - lost).max(0.0);
        }
    }
    leaves.extend(shared);
    leaves
}

#[cfg(test)]
mod tests;
