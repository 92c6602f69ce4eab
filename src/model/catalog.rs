//! The resolved specs: services, their probes and their objectives. Every reference in here
//! points at something that exists.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::check::Check;
use super::name::{Name, ProbeId, SloId};
use super::objective::Objective;
use super::policy::AlertPolicy;
use super::window::Window;

/// Everything that was declared, in name order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// The services by name.
    pub services: Vec<Service>,
    /// The support tiers by name.
    pub tiers: Vec<SupportTier>,
    /// The alert policies by name, the built-in one included.
    pub policies: Vec<Arc<AlertPolicy>>,
}

impl Catalog {
    /// Every probe of every service, in id order.
    pub fn probes(&self) -> impl Iterator<Item = &Probe> {
        self.services.iter().flat_map(|service| &service.probes)
    }

    /// Every SLO with its service, in id order.
    pub fn slos(&self) -> impl Iterator<Item = (&Service, &Slo)> {
        self.services.iter().flat_map(|service| service.slos.iter().map(move |slo| (service, slo)))
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
        let plain = || self.slos.iter().filter(|slo| slo.latency_under.is_none());
        let named = plain().find(|slo| slo.id.name() == "availability");
        named.or_else(|| plain().min_by_key(|slo| slo.objective))
    }

    /// The name to show to people.
    pub fn title(&self) -> &str {
        self.display_name.as_deref().unwrap_or(self.name.as_str())
    }
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
    /// The probes whose slots count; never empty, all of the same service.
    pub probes: Vec<ProbeId>,
    /// Good means succeeded within this time, both included.
    pub latency_under: Option<Duration>,
    /// The promised share.
    pub objective: Objective,
    /// Over which time.
    pub window: Window,
    /// How unknown slots count.
    pub unknown: UnknownPolicy,
    /// When to tell somebody; none for silence.
    pub policy: Option<Arc<AlertPolicy>>,
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
    /// How soon somebody answers while somebody is there.
    pub acknowledge: Duration,
    /// How long repair takes after that.
    pub repair: Duration,
}

/// When somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SupportHours {
    /// Always: `24x7`.
    Always,
    /// `hours` a day on the first `days` days of the week, Monday first: `8x5`, `12x6`.
    Weekly {
        /// Hours a day, 1 to 24.
        hours: u8,
        /// Days a week, 1 to 7.
        days: u8,
    },
}
