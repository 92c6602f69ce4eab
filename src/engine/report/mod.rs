//! What was promised over a period, what was delivered, and what that comes to: budget, incidents,
//! worst windows, evidence and what agreements owe.
//!
//! Pure: it is handed histories and judges them; a ledger, events or a daemon's answer come to the
//! same report. Each event is held to the objective that was in force when it was due. What it
//! keeps true: a period that is not over is never called kept unless nothing could break it any
//! more, and one without data is neither kept nor broken.

mod composite;
mod extent;
mod history;
mod incident;
pub mod render;
mod settle;
mod words;

#[cfg(test)]
mod tests;

pub use extent::Extent;
pub use history::{Failure, History};
pub use incident::{GROUPED_WITHIN, Incident, MAX_INCIDENTS, incidents};
pub use settle::Settlement;
pub use words::claim;

use std::collections::BTreeMap;
use std::time::Duration;

use super::book::Touch;
use super::evaluate::{Histories, Moment};
use super::revision::Revision;
use super::slices::{self, Slices};
use super::status::{Accounting, Coverage};
use crate::model::budget::{Budget, Counted, Spending};
use crate::model::catalog::{Agreement, UnknownPolicy};
use crate::model::evidence::finished::{self, Zones};
use crate::model::evidence::{Evidence, Record};
use crate::model::uptime::Uptime;
use crate::model::window::Period;
use crate::model::worst::Worst;
use crate::model::{Application, Catalog, Objective, Service, Slo, SloId, Tally, Timestamp};
use history::Past;

/// What a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every SLO of a service, and the agreements about them.
    Service(String),
    /// What an application needs: the promise of each service, and its own agreements.
    Application(String),
    /// Every SLO of a team's services.
    Team(String),
    /// Every SLO there is.
    Everything,
}

impl Scope {
    /// The words for the kinds of scope.
    pub const KINDS: [&str; 3] = ["service", "application", "team"];

    /// The scope of this kind and name; none for other kinds.
    pub fn new(kind: &str, name: &str) -> Option<Self> {
        let name = name.to_owned();
        match kind {
            "service" => Some(Scope::Service(name)),
            "application" => Some(Scope::Application(name)),
            "team" => Some(Scope::Team(name)),
            _ => None,
        }
    }

    /// Its kind, as in [`Scope::KINDS`].
    pub const fn kind(&self) -> &'static str {
        match self {
            Scope::Service(_) => "service",
            Scope::Application(_) => "application",
            Scope::Team(_) => "team",
            Scope::Everything => "everything",
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Scope::Service(name) | Scope::Application(name) | Scope::Team(name) => name,
            Scope::Everything => "",
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// What was declared.
    pub catalog: &'a Catalog,
    /// About what.
    pub scope: Scope,
    /// Over which time.
    pub period: Period,
    /// The present.
    pub now: Timestamp,
    /// The lengths of the windows whose worst is told.
    pub lengths: &'a [Duration],
}

impl<'a> Question<'a> {
    /// The SLOs the report tells, in id order; none if nothing goes by that name.
    pub fn slos(&self) -> Option<Vec<(&'a Service, &'a Slo)>> {
        let catalog = self.catalog;
        let of_services = |takes: &dyn Fn(&Service) -> bool| -> Vec<(&'a Service, &'a Slo)> {
            catalog.slos().filter(|(service, _)| takes(service)).collect()
        };
        match &self.scope {
            Scope::Service(name) => {
                catalog.service(name)?;
                Some(of_services(&|service| service.name.as_str() == name))
            }
            Scope::Everything => Some(of_services(&|_| true)),
            Scope::Team(name) => {
                let is_known = catalog.services.iter().any(|service| service.team() == name);
                is_known.then(|| of_services(&|service| service.team() == name))
            }
            Scope::Application(name) => {
                let application = catalog.application(name)?;
                Some(needed(catalog, application))
            }
        }
    }

    /// The agreements the report tells, by name.
    pub fn agreements(&self) -> Vec<&'a Agreement> {
        let slos = self.slos().unwrap_or_default();
        let told = |agreement: &&Agreement| match &self.scope {
            Scope::Application(name) => agreement.customer == *name,
            _ => slos.iter().any(|(_, slo)| slo.id == agreement.slo),
        };
        self.catalog.agreements.iter().filter(told).collect()
    }

    /// The services whose history is needed, and from when on.
    pub fn reach(&self) -> (Vec<&'a Service>, Timestamp) {
        let slos = self.slos().unwrap_or_default();
        let mut services: Vec<&Service> = slos.iter().map(|(service, _)| *service).collect();
        let mut from = self.period.start;
        for agreement in self.agreements() {
            services.extend(self.catalog.service(agreement.slo.service()));
            let periods = settle::periods(agreement, self.period);
            from = periods.iter().fold(from, |from, period| from.min(period.start));
        }
        services.sort_by(|a, b| a.name.cmp(&b.name));
        services.dedup_by(|a, b| a.name == b.name);
        (services, from)
    }

    /// The names of what reports can be about, of the kind that is asked for.
    pub fn known(&self) -> Vec<String> {
        let catalog = self.catalog;
        let mut names: Vec<String> = match self.scope {
            Scope::Service(_) => catalog.services.iter().map(|s| s.name.to_string()).collect(),
            Scope::Application(_) => {
                catalog.applications.iter().map(|a| a.name.to_string()).collect()
            }
            Scope::Team(_) => catalog.services.iter().map(|s| s.team().to_owned()).collect(),
            Scope::Everything => Vec::new(),
        };
        names.retain(|name| !name.is_empty());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Answers over these histories; none if nothing goes by that name.
    pub fn answer(self, histories: &BTreeMap<SloId, History>) -> Option<Report<'a>> {
        let nothing = History::default();
        let history = |id: &SloId| histories.get(id).unwrap_or(&nothing);
        let slos: Vec<SloReport<'a>> = self
            .slos()?
            .into_iter()
            .map(|(service, slo)| match slo.is_composite() {
                true => composite::about(&self, service, slo, histories),
                false => self.about(service, slo, history(&slo.id)),
            })
            .collect();
        let settled = |agreement: &'a Agreement| {
            let all = || self.catalog.slos();
            let (service, slo) = all().find(|(_, slo)| slo.id == agreement.slo)?;
            let settle = |period| match slo.is_composite() {
                true => composite::settle(agreement, (service, slo), histories, period, self.now),
                false => settle::settle(agreement, slo, history(&slo.id), period, self.now),
            };
            let periods = settle::periods(agreement, self.period);
            Some(AgreementReport { agreement, periods: periods.into_iter().map(settle).collect() })
        };
        let agreements = self.agreements().into_iter().filter_map(settled).collect();
        let application = match &self.scope {
            Scope::Application(name) => self.catalog.application(name),
            _ => None,
        };
        let Question { scope, period, now, .. } = self;
        Some(Report { scope, period, now, application, slos, agreements })
    }

    fn about(&self, service: &'a Service, slo: &'a Slo, history: &History) -> SloReport<'a> {
        let past = Past::of(history, self.period, self.now);
        let slices = Slices::of(past.slots(), past.intervals(), slo, past.until);
        let judged = slices.as_ref().map_or(past.slots(), Slices::histories);
        let moment = Moment::new(judged, past.until).under(&history.revisions);
        let tally = tally(judged, &past);
        let objective = in_force(&history.revisions, past.until).unwrap_or(slo.objective);
        let spending = moment.spending(&Slo { objective, ..slo.clone() }, past.length());
        let rest = rest(judged, slo, &past);
        let budget = Budget::of(spending, objective, self.period.length())
            .with_rest(rest)
            .in_parts(slo.method.parts());
        let (incidents, left_out) = incidents(judged, slo, &history.failures, past.until);
        let unknown = tally_of_unknown(tally, slo.unknown);
        let coverage = past.coverage();
        let kept = Kept::of(&budget, tally, slo, coverage);
        SloReport {
            service,
            slo,
            objective,
            until: past.until,
            tally,
            bounds: Counted::bounds(tally),
            budget,
            extent: Extent::of(&past, slo.unknown, rest),
            coverage,
            kept,
            proof: Proof::of(
                &past,
                past.slots().record(),
                (objective, slo.mean_outage),
                withstands((&budget, unknown), objective),
                kept,
            ),
            incidents,
            left_out,
            worst: history::worst(judged, slo.unknown, &past, self.lengths),
            uptime: past.uptime(history.cutoff),
            revisions: during(&history.revisions, self.period),
            touches: history.touches.clone(),
        }
    }
}

/// The promise of every service that an application needs, in id order.
fn needed<'a>(catalog: &'a Catalog, application: &Application) -> Vec<(&'a Service, &'a Slo)> {
    let mut names: Vec<_> = application.depends_on.iter().flat_map(|one| &one.of).collect();
    names.sort_unstable();
    names.dedup();
    let promise = |service: &'a Service| Some((service, service.promise()?));
    let services = names.into_iter().filter_map(|name| catalog.service(name.as_str()));
    services.filter_map(promise).collect()
}

/// Whether the objective would be met even if all that was not measured was bad.
fn withstands((budget, unknown): (&Budget, u64), objective: Objective) -> bool {
    let counted = budget.counted;
    let worst = Counted { bad: counted.bad.saturating_add(unknown), ..counted };
    !Spending::of(worst, objective).burns_above((1, 1))
}

/// Slots of the window that could still have been bad: those that were not measured and do not
/// count as bad already.
fn tally_of_unknown(tally: Tally, policy: UnknownPolicy) -> u64 {
    match policy {
        UnknownPolicy::Bad => 0,
        UnknownPolicy::Exclude | UnknownPolicy::Good => tally.unknown,
    }
}

/// What was promised at the end of a stretch.
fn in_force(revisions: &[Revision], until: Timestamp) -> Option<Objective> {
    let last = revisions.iter().rev().find(|revision| revision.from < until);
    last.filter(|revision| revision.is_declared()).map(|revision| revision.objective)
}

/// The revisions in force at some time of the period; nothing if that is only one.
fn during(revisions: &[Revision], period: Period) -> Vec<Revision> {
    let next = revisions.iter().skip(1).map(|revision| revision.from);
    let ends = next.chain([Timestamp::from_micros(i64::MAX)]);
    let within = |(revision, end): &(&Revision, Timestamp)| {
        revision.from < period.end && *end > period.start
    };
    let told: Vec<Revision> =
        revisions.iter().zip(ends).filter(within).map(|(revision, _)| revision.clone()).collect();
    if told.len() > 1 { told } else { Vec::new() }
}

/// What a report says.
#[derive(Debug)]
pub struct Report<'a> {
    /// About what.
    pub scope: Scope,
    /// Over which time.
    pub period: Period,
    /// When it was made.
    pub now: Timestamp,
    /// The application, if it is about one.
    pub application: Option<&'a Application>,
    /// Every SLO.
    pub slos: Vec<SloReport<'a>>,
    /// Every agreement.
    pub agreements: Vec<AgreementReport<'a>>,
}

impl Report<'_> {
    /// Whether the period is over.
    pub fn is_over(&self) -> bool {
        self.period.end <= self.now
    }
}

/// One SLO over the period.
#[derive(Debug)]
pub struct SloReport<'a> {
    /// Whose it is.
    pub service: &'a Service,
    /// The declaration.
    pub slo: &'a Slo,
    /// What was promised at the end of the period.
    pub objective: Objective,
    /// Up to when it is told: the end of the period, or as far as is known.
    pub until: Timestamp,
    /// What happened.
    pub tally: Tally,
    /// What would have counted if all that is unknown was bad, and if all of it was good.
    pub bounds: [Counted; 2],
    /// The budget of the whole period.
    pub budget: Budget,
    /// How much of the period that speaks of.
    pub extent: Extent,
    /// How much was measured, up to `until`.
    pub coverage: Coverage,
    /// Whether the objective was kept over this period, whatever its own window is.
    pub kept: Kept,
    /// What may be claimed.
    pub proof: Proof,
    /// Outages, grouped, in time order.
    pub incidents: Vec<Incident>,
    /// How many cheaper incidents were left out.
    pub left_out: usize,
    /// The worst window of each size that fits.
    pub worst: Vec<Worst>,
    /// Time up, down and inactive.
    pub uptime: Uptime,
    /// What was promised when, if that changed.
    pub revisions: Vec<Revision>,
    /// Maintenance and Corrections, with what was measured in each.
    pub touches: Vec<(Touch, Tally)>,
}

/// One agreement over the period.
#[derive(Debug)]
pub struct AgreementReport<'a> {
    /// The declaration.
    pub agreement: &'a Agreement,
    /// Its own periods, oldest first.
    pub periods: Vec<Settlement>,
}

/// Whether a promise was kept over a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was, or nothing can break it any more.
    Yes,
    /// It was not, or nothing can mend it any more.
    No,
    /// The period is not over and both can still happen.
    Open,
    /// Nothing was measured.
    NoData,
}

impl Kept {
    /// What a budget says, if as much was measured as the SLO asks for, or if nothing that was
    /// not measured could change it.
    fn of(budget: &Budget, tally: Tally, slo: &Slo, coverage: Coverage) -> Self {
        if budget.counted.total() == 0 {
            return Kept::NoData;
        }
        if !covers(slo, coverage) {
            let is_lost = at_best(budget, tally, coverage).is_spent();
            return if is_lost { Kept::No } else { Kept::NoData };
        }
        Kept::by(Accounting::of(budget), budget)
    }

    fn by(accounting: Accounting, budget: &Budget) -> Self {
        match accounting {
            Accounting::Spent | Accounting::Lost => Kept::No,
            Accounting::Safe => Kept::Yes,
            Accounting::WithinBudget if budget.rest > 0 => Kept::Open,
            Accounting::WithinBudget => Kept::Yes,
            Accounting::NoData => Kept::NoData,
        }
    }

    /// The words used everywhere.
    pub const fn words(self) -> &'static str {
        match self {
            Kept::Yes => "kept",
            Kept::No => "broken",
            Kept::Open => "open",
            Kept::NoData => "no data",
        }
    }
}

/// Whether as much was measured as the SLO asks for.
fn covers(slo: &Slo, coverage: Coverage) -> bool {
    slo.min_coverage.is_none_or(|least| coverage.reaches(least))
}

/// The budget if everything that was not measured had been good, the time before history began
/// included, held to what is promised now.
fn at_best(budget: &Budget, tally: Tally, coverage: Coverage) -> Budget {
    let Coverage { numerator, denominator } = coverage;
    let all = u128::from(tally.known()).saturating_mul(denominator).div_ceil(numerator.max(1));
    let all = u64::try_from(all).unwrap_or(u64::MAX).max(tally.known());
    let counted = Counted { good: all - tally.bad, bad: tally.bad };
    let more = all.saturating_sub(budget.counted.total());
    let allowed_ppb = u128::from(budget.objective.budget_ppb()) * u128::from(more);
    let spending = Spending { counted, allowed_ppb: budget.allowed_ppb + allowed_ppb };
    Budget::of(spending, budget.objective, budget.window)
        .with_rest(budget.rest)
        .in_parts(budget.parts)
}

/// What a period lets one claim, with what that rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// What may be claimed.
    pub evidence: Evidence,
    /// Whether the period is over, so that it is looked at once; else the rule holds for as many
    /// looks as one likes, and asks for more.
    pub is_final: bool,
    /// Known time and outages.
    pub record: Record,
    /// The mean outage length that is assumed.
    pub assumed_outage: Duration,
    /// The availability that is supported at 95 %, in parts per billion.
    pub supported_ppb: Option<u32>,
    /// Bad and all events, what they would show if they failed independently, and the interval
    /// that leaves, in parts per billion; none where an event is no probe or request.
    pub singly: Option<Singly>,
    /// When the objective could be supported at the earliest, if nothing fails from now on; none
    /// where it is met or broken.
    pub earliest: Option<Timestamp>,
}

/// What single events would show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Singly {
    /// Bad events.
    pub bad: u64,
    /// Good and bad events.
    pub total: u64,
    /// How many of them show what.
    pub zones: Zones,
    /// The availability that is left open, worst and best.
    pub interval_ppb: (u32, u32),
    /// How many failures come together: by this factor they say less.
    pub clustering: f64,
    /// The interval with clustering taken out.
    pub clustered_ppb: Option<(u32, u32)>,
}

impl Proof {
    fn of(
        past: &Past,
        record: Record,
        (objective, declared): (Objective, Duration),
        withstands: bool,
        kept: Kept,
    ) -> Self {
        let is_final = past.until >= past.period.end;
        let supported_ppb = match is_final {
            true => finished::supported_ppb(&record, declared),
            false => record.supported_ppb(declared),
        };
        let is_supported = supported_ppb.is_some_and(|ppb| ppb >= objective.ppb());
        let evidence = match kept {
            Kept::No => Evidence::Breached,
            Kept::Yes | Kept::Open if is_supported && withstands => Evidence::Met,
            Kept::Yes | Kept::Open | Kept::NoData => Evidence::NotYetProven,
        };
        let earliest = record.earliest(objective, declared, past.until);
        Proof {
            evidence,
            is_final,
            assumed_outage: record.mean_outage(declared),
            supported_ppb,
            singly: Singly::of(past, objective),
            earliest: earliest.filter(|_| evidence == Evidence::NotYetProven),
            record,
        }
    }
}

impl Singly {
    fn of(past: &Past, objective: Objective) -> Option<Self> {
        let tally = tally(past.slots(), past);
        let (bad, total) = (tally.bad, tally.known());
        let clustering = finished::clustering(past.failure_runs().into_iter());
        let (few_bad, few) = finished::effective(bad, total, clustering);
        Some(Singly {
            bad,
            total,
            zones: Zones::of(total, objective),
            interval_ppb: finished::interval_ppb(bad, total)?,
            clustering,
            clustered_ppb: finished::interval_ppb(few_bad, few),
        })
    }
}

/// Everything due in the period, up to where it is told.
fn tally(histories: Histories<'_>, past: &Past) -> Tally {
    histories.window(past.length(), past.until)
}

/// How many events are still to come in the period, in parts.
fn rest(judged: Histories<'_>, slo: &Slo, past: &Past) -> u64 {
    let Period { start, end } = past.period;
    if past.until >= end {
        return 0;
    }
    if slo.method.slice().is_some() {
        return slices::still_due(slo.method, (start, end), past.until);
    }
    judged.iter().filter_map(|series| series.still_due(past.until, end)).sum()
}
