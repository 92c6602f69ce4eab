//! The resolved specs: services, their probes and their objectives. Every reference in here
//! points at something that exists.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::check::Check;
use super::correction::Correction;
use super::evidence::DECLARED_OUTAGE;
use super::maintenance::Maintenance;
use super::name::{Name, ProbeId, SloId};
use super::objective::{Objective, Share};
use super::policy::AlertPolicy;
use super::source::Source;
use super::window::{Calendar, Window};

/// Everything that was declared, in name order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// The services by name.
    pub services: Vec<Service>,
    /// The support tiers by name.
    pub tiers: Vec<SupportTier>,
    /// The alert policies by name, the built-in one included.
    pub policies: Vec<Arc<AlertPolicy>>,
    /// The applications by name.
    pub applications: Vec<Application>,
    /// The agreements by name.
    pub agreements: Vec<Agreement>,
    /// Announced work by name.
    pub maintenances: Vec<Arc<Maintenance>>,
    /// Words about the past by name.
    pub corrections: Vec<Arc<Correction>>,
}

impl Catalog {
    /// Every probe of every service, in id order.
    pub fn probes(&self) -> impl Iterator<Item = &Probe> {
        self.services.iter().flat_map(|service| &service.probes)
    }

    /// Every source that counts in place of a probe, in id order.
    pub fn sources(&self) -> impl Iterator<Item = (&Probe, &Source)> {
        self.probes().filter_map(|probe| Some((probe, probe.check.source()?)))
    }

    /// Every SLO with its service, in id order.
    pub fn slos(&self) -> impl Iterator<Item = (&Service, &Slo)> {
        self.services.iter().flat_map(|service| service.slos.iter().map(move |slo| (service, slo)))
    }

    /// The application of this name.
    pub fn application(&self, name: &str) -> Option<&Application> {
        self.applications.iter().find(|application| application.name.as_str() == name)
    }

    /// The support tier of this name.
    pub fn tier(&self, name: &Name) -> Option<&SupportTier> {
        self.tiers.iter().find(|tier| tier.name == *name)
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name.as_str() == name)
    }
}

/// Something the platform offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Labels; `team` is the owner that is shown everywhere.
    pub labels: BTreeMap<String, String>,
    /// What it is.
    pub description: Option<String>,
    /// Where to read more: `runbook`, `chat` and so on.
    pub links: BTreeMap<String, String>,
    /// The support tier it is run under.
    pub support: Option<Name>,
    /// The services it needs itself.
    pub depends_on: Vec<Dependency>,
    /// How it is probed, by name.
    pub probes: Vec<Probe>,
    /// What it promises, by name.
    pub slos: Vec<Slo>,
}

impl Service {
    /// The owner, or nothing.
    pub fn team(&self) -> &str {
        self.labels.get("team").map_or("", String::as_str)
    }

    /// What it promises to those who need it: its SLO `availability` if there is one, else the
    /// one that promises least among those without a latency; none without such an SLO.
    pub fn promise(&self) -> Option<&Slo> {
        let counts = |slo: &&Slo| slo.latency_under.is_none() && !slo.is_composite();
        let plain = || self.slos.iter().filter(counts);
        let named = plain().find(|slo| slo.id.name() == "availability");
        named.or_else(|| plain().min_by_key(|slo| slo.objective))
    }

    /// The name to show to people.
    pub fn title(&self) -> &str {
        self.display_name.as_deref().unwrap_or(self.name.as_str())
    }
}

/// Something that an application team runs on the platform, and what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its name.
    pub name: Name,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Labels; `team` is the owner.
    pub labels: BTreeMap<String, String>,
    /// What it is.
    pub description: Option<String>,
    /// Where to read more.
    pub links: BTreeMap<String, String>,
    /// The share of good that it needs.
    pub objective: Objective,
    /// The window over which it needs that.
    pub window: Window,
    /// The share of its budget that it keeps for its own failures.
    pub reserve: Option<Share>,
    /// What its own team does when it breaks.
    pub support: Option<Support>,
    /// The services it needs.
    pub depends_on: Vec<Dependency>,
}

impl Application {
    /// The owner, or nothing.
    pub fn team(&self) -> &str {
        self.labels.get("team").map_or("", String::as_str)
    }

    /// The name to show to people.
    pub fn title(&self) -> &str {
        self.display_name.as_deref().unwrap_or(self.name.as_str())
    }
}

/// An outward promise about one SLO, with consequences: what is owed where it is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Its name.
    pub name: Name,
    /// The SLO whose history it is settled by.
    pub slo: SloId,
    /// Whom it is with: an application's name, or words.
    pub customer: String,
    /// The share of good that is agreed.
    pub objective: Objective,
    /// The periods in which it is settled.
    pub calendar: Calendar,
    /// What is owed, the mildest tier first: `below` falls, `credit` rises.
    pub credits: Vec<Credit>,
}

/// A tier of what is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Owed where less than this share was good; delivering exactly this is not less.
    pub below: Objective,
    /// The share of the price that is given back.
    pub credit: Share,
}

/// A service that something needs: one, or some of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// How many of `of` must work, 1 to `of.len()`.
    pub need: usize,
    /// The alternatives; a single service for a plain dependency.
    pub of: Vec<Name>,
    /// Whether losing it takes the dependent down.
    pub impact: Impact,
    /// The share of failures that take all alternatives at once, in parts per billion.
    pub common_cause_ppb: Option<u32>,
}

/// What losing a dependency does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Impact {
    /// The dependent fails.
    #[default]
    Hard,
    /// The dependent goes on with less.
    Soft,
}

/// A check that is repeated on a fixed grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// `service/name`.
    pub id: ProbeId,
    /// What is done.
    pub check: Check,
    /// From one start to the next, 10 ms to 1 d.
    pub interval: Duration,
    /// How long one may take, above 0 and at most the interval.
    pub timeout: Duration,
}

/// A promise: which share of which slots is good over which window.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// `service/name`.
    pub id: SloId,
    /// Its name for people.
    pub display_name: Option<String>,
    /// What it promises, in words.
    pub description: Option<String>,
    /// The probes whose slots count, all of the same service. A source that is counted by
    /// somebody else is one of them, under the name of the SLO.
    pub probes: Vec<ProbeId>,
    /// Good means succeeded within this time, both included.
    pub latency_under: Option<Duration>,
    /// Who counts in place of a probe, if somebody else does.
    pub source: Option<Source>,
    /// The SLOs that it is made of, all of the same service, window and slices; none if it counts
    /// by itself. One that is made of others counts nothing of its own: its `probes` are theirs.
    pub parts: Vec<Part>,
    /// The promised share; where it is made of others, that of the strictest of them.
    pub objective: Objective,
    /// Over which time.
    pub window: Window,
    /// What is counted.
    pub method: Method,
    /// How unknown slots count.
    pub unknown: UnknownPolicy,
    /// The least share of a window that must have been measured for a verdict; none says nothing.
    pub min_coverage: Option<Share>,
    /// How long outages last on average, as evidence assumes until longer ones are seen; where it
    /// is made of others, the longest of theirs.
    pub mean_outage: Duration,
    /// When to tell somebody; none for silence.
    pub policy: Option<Arc<AlertPolicy>>,
    /// Whom to tell, as far as the specs say; Alertmanager's routes decide.
    pub notify: Vec<NotificationTarget>,
}

impl Slo {
    /// A promise with nothing beside it: it counts slots, of no probe yet, leaves unknown ones
    /// out, and tells nobody.
    pub fn new(id: SloId, objective: Objective, window: impl Into<Window>) -> Self {
        Slo {
            id,
            display_name: None,
            description: None,
            probes: Vec::new(),
            latency_under: None,
            source: None,
            parts: Vec::new(),
            objective,
            window: window.into(),
            method: Method::default(),
            unknown: UnknownPolicy::default(),
            min_coverage: None,
            mean_outage: DECLARED_OUTAGE,
            policy: None,
            notify: Vec::new(),
        }
    }

    /// Whether it is made of other SLOs.
    pub fn is_composite(&self) -> bool {
        !self.parts.is_empty()
    }
}

/// One of the SLOs that another is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub slo: SloId,
    /// How much of its own burning counts.
    pub weight: Weight,
}

/// What the burn rate of a part is multiplied by; above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u64);

impl Weight {
    /// As it is.
    pub const ONE: Weight = Weight(1_000_000_000);

    /// So many billionths; none for 0.
    pub const fn from_nano(nano: u64) -> Option<Self> {
        if nano == 0 { None } else { Some(Weight(nano)) }
    }

    /// In billionths.
    pub const fn nano(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = super::decimal::ratio(self.0.into(), Self::ONE.0.into());
        f.write_str(&text.unwrap_or_default())
    }
}

/// Somebody who is to be told, and by which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationTarget {
    /// Its name.
    pub name: Name,
    /// The way: `email`, `slack` and so on.
    pub target: String,
    /// What it is.
    pub description: Option<String>,
}

/// What an SLO counts: the budgeting method, as OpenSLO has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// Slots, each of which is good or bad.
    #[default]
    Occurrences,
    /// Slices of time, each of which is good if enough of its slots are.
    Timeslices {
        /// How long a slice is, in whole minutes.
        slice: Duration,
        /// The share of good slots that makes a slice good, above 0.
        objective: Share,
    },
    /// Slices of time, each of which counts by the share of its slots that are good.
    RatioTimeslices {
        /// How long a slice is, in whole minutes.
        slice: Duration,
    },
}

/// Parts of a slice that counts by its ratio, so that the ratio is a whole number of them for
/// every number of slots whose prime factors are 2 (to the 7th), 3 (twice), 5 (to the 4th), 7, 11
/// and 13. Fits 32 bits.
const PARTS: u64 = 720_720_000;

impl Method {
    /// How long a slice is; none if slots are counted.
    pub const fn slice(self) -> Option<Duration> {
        match self {
            Method::Occurrences => None,
            Method::Timeslices { slice, .. } | Method::RatioTimeslices { slice } => Some(slice),
        }
    }

    /// How much one event counts: 1, or the parts of a slice that counts by its ratio.
    pub const fn parts(self) -> u64 {
        match self {
            Method::Occurrences | Method::Timeslices { .. } => 1,
            Method::RatioTimeslices { .. } => PARTS,
        }
    }

    /// The word in the spec language.
    pub const fn word(self) -> &'static str {
        match self {
            Method::Occurrences => "occurrences",
            Method::Timeslices { .. } => "timeslices",
            Method::RatioTimeslices { .. } => "ratioTimeslices",
        }
    }
}

/// How slots that could not be measured count in the accounting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownPolicy {
    /// They do not count.
    #[default]
    Exclude,
    /// As if the target had failed.
    Bad,
    /// As if the target had been good.
    Good,
}

impl UnknownPolicy {
    /// The word in the spec language.
    pub const fn word(self) -> &'static str {
        match self {
            UnknownPolicy::Exclude => "exclude",
            UnknownPolicy::Bad => "bad",
            UnknownPolicy::Good => "good",
        }
    }
}

/// What people do when it breaks, and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupportTier {
    /// Its name.
    pub name: Name,
    /// When somebody is there.
    pub hours: SupportHours,
    /// The time zone of the hours (IANA).
    pub time_zone: String,
    /// How soon somebody answers while somebody is there; of what is automatic, how soon it reacts.
    pub acknowledge: Duration,
    /// How long repair takes after that.
    pub repair: Duration,
}

impl SupportTier {
    /// What people do under it.
    pub const fn support(&self) -> Support {
        Support { hours: self.hours, acknowledge: self.acknowledge, repair: self.repair }
    }
}

/// What people do when something breaks, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// When somebody is there.
    pub hours: SupportHours,
    /// How soon somebody answers while somebody is there; of what is automatic, how soon it reacts.
    pub acknowledge: Duration,
    /// How long repair takes after that; zero if that is not said.
    pub repair: Duration,
}

/// When somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SupportHours {
    /// Always: `24x7`.
    Always,
    /// Nobody has to be there, and nobody is paged: `automatic`.
    Automatic,
    /// `hours` a day on the first `days` days of the week, Monday first: `8x5`, `12x6`.
    Weekly {
        /// Hours a day, 1 to 24.
        hours: u8,
        /// Days a week, 1 to 7.
        days: u8,
    },
}

impl SupportHours {
    const WEEK: u64 = 7 * 24;

    /// How long a failure at a random moment of the week waits for somebody, on average: the sum
    /// of the squares of the gaps, over twice the week.
    pub fn mean_wait(self) -> Duration {
        let (night, weekend, nights) = self.gaps();
        let squares = nights * night * night + weekend * weekend;
        Duration::from_secs(squares * 3_600 / (2 * Self::WEEK))
    }

    /// How long a failure waits for somebody at worst.
    pub fn longest_wait(self) -> Duration {
        let (night, weekend, _) = self.gaps();
        Duration::from_secs(night.max(weekend) * 3_600)
    }

    /// Hours from one day to the next, hours over the days without anybody, and how many times
    /// the former comes in a week.
    fn gaps(self) -> (u64, u64, u64) {
        match self {
            SupportHours::Always | SupportHours::Automatic => (0, 0, 0),
            SupportHours::Weekly { hours, days } => {
                let night = 24_u64.saturating_sub(hours.into());
                let off = 7_u64.saturating_sub(days.into());
                (night, night + 24 * off, u64::from(days).saturating_sub(1))
            }
        }
    }
}

impl std::fmt::Display for SupportHours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SupportHours::Always => f.write_str("24x7"),
            SupportHours::Automatic => f.write_str("automatic"),
            SupportHours::Weekly { hours, days } => write!(f, "{hours}x{days}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_at_night_waits_for_the_morning() {
        let check = |hours, days, mean: u64, longest| {
            let weekly = SupportHours::Weekly { hours, days };
            let waits = (weekly.mean_wait().as_secs(), weekly.longest_wait().as_secs() / 3_600);
            assert_eq!(waits, (mean, longest), "{weekly}");
        };
        // (4 * 16^2 + 64^2) / 2 / 168 h = 15.238 h.
        check(8, 5, 54_857, 64);
        check(24, 7, 0, 0);
        check(24, 5, 24 * 24 * 4 * 3_600 / 336, 48);
        check(12, 7, 7 * 144 * 3_600 / 336, 12);
        assert_eq!(SupportHours::Always.mean_wait(), Duration::ZERO);
    }
}
