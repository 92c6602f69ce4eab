//! What the gates stand on: the platform with its promises, people, probes and measurements, and
//! one application's place in it. Worked out once, asked at many objectives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::feasibility::{self, Feasibility};
use crate::model::budget::{Budget, Counted};
use crate::model::catalog::{Service, SupportTier};
use crate::model::composition::{Composed, Platform, Structure};
use crate::model::objective::PPB;
use crate::model::{Application, Catalog, Objective, Slo, SloId};

use super::alert_sanity::noise_pages;
use super::measured::Measured;

/// A platform that applications can be held against.
#[derive(Debug)]
pub struct Ground<'a> {
    catalog: &'a Catalog,
    platform: Platform,
    services: Vec<Known<'a>>,
    sights: RefCell<BTreeMap<(usize, Objective, Duration), Rc<Sight>>>,
}

/// What is known of one service.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub service: &'a Service,
    pub promise: Option<&'a Slo>,
    pub tier: Option<&'a SupportTier>,
    pub measured: Option<Measured>,
    /// Its composite SLOs, which are no promise by themselves, with what was measured of each.
    pub composites: Vec<(&'a Slo, Option<Measured>)>,
    /// The intervals of the probes behind the promise.
    pub intervals: Vec<Duration>,
    /// The longest timeout of these probes.
    pub timeout: Duration,
}

/// What the probes and alerts of one service can tell of an objective that is not its own.
#[derive(Debug)]
pub(super) struct Sight {
    pub feasibility: Feasibility,
    /// Pages that single lost probes cause in 30 days while the objective is just met.
    pub noise: f64,
}

impl<'a> Ground<'a> {
    /// The platform of this catalogue, with what was measured of each promise.
    pub fn new(catalog: &'a Catalog, history: &dyn Fn(&SloId) -> Option<Measured>) -> Self {
        let services = catalog.services.iter().map(|service| {
            let promise = service.promise();
            let counts = |id: &_| promise.is_some_and(|slo| slo.probes.contains(id));
            let probes = || service.probes.iter().filter(|probe| counts(&probe.id));
            let composites = service.slos.iter().filter(|slo| slo.is_composite());
            Known {
                service,
                composites: composites.map(|slo| (slo, history(&slo.id))).collect(),
                promise,
                tier: service.support.as_ref().and_then(|name| catalog.tier(name)),
                measured: promise.and_then(|slo| history(&slo.id)),
                intervals: probes().map(|probe| probe.interval).collect(),
                timeout: probes().map(|probe| probe.timeout).max().unwrap_or_default(),
            }
        });
        let services = services.collect();
        Ground { catalog, platform: Platform::of(catalog), services, sights: RefCell::default() }
    }

    /// What was declared.
    pub fn catalog(&self) -> &'a Catalog {
        self.catalog
    }

    pub(super) fn platform(&self) -> &Platform {
        &self.platform
    }

    pub(super) fn known(&self, service: usize) -> &Known<'a> {
        &self.services[service]
    }

    pub(super) fn services(&self) -> &[Known<'a>] {
        &self.services
    }

    /// What can be seen of this objective through a service's probes; none without a promise.
    pub(super) fn sight(
        &self,
        service: usize,
        objective: Objective,
        window: Duration,
    ) -> Option<Rc<Sight>> {
        let known = self.known(service);
        let promise = known.promise?;
        let key = (service, objective, window);
        if let Some(sight) = self.sights.borrow().get(&key) {
            return Some(Rc::clone(sight));
        }
        let slo = Slo { objective, window: window.into(), ..promise.clone() };
        let feasibility = feasibility::assess_slo(&slo, &known.intervals);
        let noise = noise_pages(&slo, &known.intervals);
        let sight = Rc::new(Sight { feasibility, noise });
        self.sights.borrow_mut().insert(key, Rc::clone(&sight));
        Some(sight)
    }
}

impl Known<'_> {
    /// The longest time from one probe to the next.
    pub fn interval(&self) -> Duration {
        self.intervals.iter().max().copied().unwrap_or_default()
    }
}

/// One thing that is needed: a service, or enough of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct TermFacts {
    /// The services, by name; one, or the alternatives.
    pub of: Vec<String>,
    /// How many of them must work.
    pub need: usize,
    /// Whether there is one to spare.
    pub is_group: bool,
    /// The declared share of common causes, in parts per billion.
    pub common_cause_ppb: Option<u32>,
    /// The services on the way there, from the top.
    pub way: Vec<String>,
    /// What it loses.
    pub composed: Composed,
    /// What it would have to promise, in parts per billion, if all needed things lost the same;
    /// none where that is finer than a billionth.
    pub required: Option<Objective>,
    /// The largest share of common causes with which it stays within the whole budget, in parts
    /// per billion; none for a single service, and where no share is small enough.
    pub largest_common_cause_ppb: Option<u32>,
    /// What is measured of each service of `of`.
    pub measured: Vec<Option<Measured>>,
    /// What each service of `of` promises.
    pub promises: Vec<Option<Objective>>,
    pub(super) services: Vec<usize>,
}

impl TermFacts {
    /// It for people: `orders-db`, or `1 of dns-a, dns-b`.
    pub fn title(&self) -> String {
        match self.is_group {
            true => format!("{} of {}", self.need, self.of.join(", ")),
            false => self.of.concat(),
        }
    }
}

/// One application on the ground.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub ground: &'a Ground<'a>,
    pub application: &'a Application,
    pub structure: Option<Structure>,
    pub composed: Option<Composed>,
    pub terms: Vec<TermFacts>,
}

impl<'a> Case<'a> {
    /// The application's place.
    pub fn of(ground: &'a Ground<'a>, application: &'a Application) -> Self {
        let structure = ground.platform.structure(&application.depends_on);
        let own = ground.platform.own();
        let composed = structure.as_ref().map(|structure| structure.composed(own));
        let terms = structure.as_ref().map(|one| terms(ground, application, one));
        Case { ground, application, composed, terms: terms.unwrap_or_default(), structure }
    }

    /// The services without which nothing works.
    pub fn mandatory(&self) -> impl Iterator<Item = &'a Known<'a>> {
        let alone = self.terms.iter().filter(|term| !term.is_group);
        alone.map(|term| self.ground.known(term.services[0]))
    }

    /// Every service that is needed, alone or as an alternative, by position.
    pub fn needed(&self) -> impl Iterator<Item = usize> {
        self.terms.iter().flat_map(|term| &term.services).copied()
    }
}

fn terms(ground: &Ground<'_>, application: &Application, structure: &Structure) -> Vec<TermFacts> {
    let platform = &ground.platform;
    let name = |service: usize| platform.name(service).to_owned();
    let n = structure.terms().count();
    let required = required(application, n);
    let budget = (application.objective.budget_ppb().into(), PPB.into());
    let facts = |term: crate::model::composition::Term<'_>| {
        let services = term.services();
        let way = if term.is_group() { Vec::new() } else { structure.way(services[0]) };
        TermFacts {
            of: services.iter().map(|service| name(*service)).collect(),
            need: term.need(),
            is_group: term.is_group(),
            common_cause_ppb: term.common_cause_ppb(),
            way: way.into_iter().map(name).collect(),
            composed: structure.composed_term(term, platform.own()),
            required,
            largest_common_cause_ppb: structure.largest_common_cause(term, platform.own(), budget),
            measured: services.iter().map(|s| ground.known(*s).measured).collect(),
            promises: services
                .iter()
                .map(|s| ground.known(*s).promise.map(|p| p.objective))
                .collect(),
            services,
        }
    };
    structure.terms().map(facts).collect()
}

/// What each of `n` things would have to promise: `(1 - reserve) * budget / n`, cut to a
/// billionth.
fn required(application: &Application, n: usize) -> Option<Objective> {
    let kept = application.reserve.map_or(0, |reserve| reserve.ppb());
    let lost = u64::from(application.objective.budget_ppb()) * u64::from(PPB - kept);
    let each = lost / u64::from(PPB) / u64::try_from(n.max(1)).ok()?;
    let each = u32::try_from(each).ok().filter(|each| *each > 0)?;
    Objective::from_ppb(PPB - each)
}

/// The question of whether an application could be carried at this objective.
#[derive(Debug)]
pub(super) struct Ask<'c, 'g> {
    pub case: &'c Case<'g>,
    pub objective: Objective,
}

impl<'c, 'g> Ask<'c, 'g> {
    /// How long the window is; of a calendar, its shortest period.
    pub fn window(&self) -> Duration {
        self.case.application.window.shortest()
    }

    /// The budget as time of full outage.
    pub fn budget(&self) -> Duration {
        budget_time(self.objective, self.window())
    }

    /// The budget as a fraction.
    pub fn budget_ratio(&self) -> (u128, u128) {
        (self.objective.budget_ppb().into(), PPB.into())
    }

    /// What each needed service can tell of this objective; none for one without a promise.
    pub fn sights(&self) -> impl Iterator<Item = (&'g Known<'g>, Option<Rc<Sight>>)> + use<'c, 'g> {
        let (case, objective, window) = (self.case, self.objective, self.window());
        let sight = move |service| {
            (case.ground.known(service), case.ground.sight(service, objective, window))
        };
        case.needed().map(sight)
    }
}

/// The budget of an objective as time of full outage.
pub(super) fn budget_time(objective: Objective, window: Duration) -> Duration {
    Budget::new(Counted::default(), objective, window).total_time()
}

/// Seconds as decimal text.
pub(super) fn seconds(duration: Duration) -> Option<String> {
    crate::model::decimal::ratio(i128::try_from(duration.as_micros()).ok()?, 1_000_000)
}

/// How many times `of` holds `whole`, with one digit, cut.
pub(super) fn times(whole: Duration, of: Duration) -> String {
    let micros = i128::try_from(whole.as_micros()).unwrap_or(i128::MAX);
    crate::model::decimal::fixed(micros, of.as_micros().max(1), 1).unwrap_or_default()
}

/// `a`, `a and b`, `a, b and c`; and how many more there are, beyond a few.
pub(super) fn list(names: &[String]) -> String {
    const MOST: usize = 4;
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= MOST => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", names[..MOST - 1].join(", "), names.len() + 1 - MOST),
    }
}
