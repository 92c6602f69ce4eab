//! Fit: can this platform carry what this application needs?
//!
//! A contract check between two declarations and one measurement. Ten gates, a file each, answer
//! pass, fail or unknown, with a number and a sentence; the offer is the highest objective at
//! which none of them fails. Promises are taken as what each service loses by itself, besides
//! what it depends on. Pure: what was measured is handed in.

mod alert_sanity;
mod arithmetic;
mod dependencies;
mod detection;
mod evidence;
mod ground;
mod incident_budget;
mod measured;
mod observation;
mod offer;
mod own_share;
mod poisson;
mod redundancy;
pub mod render;
pub mod service;
mod support;

use serde_json::{Map, Value};

use crate::model::composition::Composed;
use crate::model::{Application, Objective};

pub use ground::{Ground, TermFacts};
pub use measured::Measured;
pub use offer::Offer;
pub use poisson::windows_met;

use ground::{Ask, Case};

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It holds.
    Pass,
    /// Nobody can tell yet.
    Unknown,
    /// It does not hold.
    Fail,
}

impl Answer {
    /// Every answer, best first.
    pub const ALL: [Answer; 3] = [Answer::Pass, Answer::Unknown, Answer::Fail];

    /// The word used everywhere.
    pub const fn word(self) -> &'static str {
        match self {
            Answer::Pass => "pass",
            Answer::Unknown => "unknown",
            Answer::Fail => "fail",
        }
    }

    const fn of(holds: bool) -> Self {
        if holds { Answer::Pass } else { Answer::Fail }
    }
}

/// One of the ten questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// Is the budget long enough to be measured?
    Arithmetic,
    /// Do the services that are needed lose little enough together?
    Dependencies,
    /// Do they leave the share that the application keeps for itself?
    OwnShare,
    /// Is redundancy independent enough for what is claimed of it?
    Redundancy,
    /// Are people fast enough?
    Support,
    /// Is probing fine enough to see the budget go?
    Detection,
    /// Does the monitor's own downtime leave enough to be seen?
    Observation,
    /// Does the history support it?
    Evidence,
    /// Can the alerts fire, and do they fire for a reason?
    AlertSanity,
    /// Are incidents few and short enough?
    IncidentBudget,
}

type Judge = fn(&Ask<'_, '_>) -> Finding;

impl Gate {
    /// Every gate, in the order in which they are told.
    pub const ALL: [Gate; 10] = [
        Gate::Arithmetic,
        Gate::Dependencies,
        Gate::OwnShare,
        Gate::Redundancy,
        Gate::Support,
        Gate::Detection,
        Gate::Observation,
        Gate::Evidence,
        Gate::AlertSanity,
        Gate::IncidentBudget,
    ];

    /// The word used everywhere.
    pub const fn word(self) -> &'static str {
        match self {
            Gate::Arithmetic => "arithmetic",
            Gate::Dependencies => "dependencies",
            Gate::OwnShare => "own-share",
            Gate::Redundancy => "redundancy",
            Gate::Support => "support",
            Gate::Detection => "detection",
            Gate::Observation => "observation",
            Gate::Evidence => "evidence",
            Gate::AlertSanity => "alert-sanity",
            Gate::IncidentBudget => "incident-budget",
        }
    }

    /// Whether declarations alone decide it.
    pub const fn is_declared(self) -> bool {
        !matches!(self, Gate::Evidence | Gate::IncidentBudget)
    }

    const fn judge(self) -> Judge {
        match self {
            Gate::Arithmetic => arithmetic::judge,
            Gate::Dependencies => dependencies::judge,
            Gate::OwnShare => own_share::judge,
            Gate::Redundancy => redundancy::judge,
            Gate::Support => support::judge,
            Gate::Detection => detection::judge,
            Gate::Observation => observation::judge,
            Gate::Evidence => evidence::judge,
            Gate::AlertSanity => alert_sanity::judge,
            Gate::IncidentBudget => incident_budget::judge,
        }
    }
}

/// The answer of one gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Pass, fail or unknown.
    pub answer: Answer,
    /// The number it rests on, as decimal text, and its unit; none if there is none.
    pub number: Option<(String, &'static str)>,
    /// The number in words.
    pub sentence: String,
    /// More numbers, for programs.
    pub facts: Map<String, Value>,
}

impl Finding {
    fn new(answer: Answer, sentence: impl Into<String>) -> Self {
        Finding { answer, number: None, sentence: sentence.into(), facts: Map::new() }
    }

    fn number(mut self, value: Option<String>, unit: &'static str) -> Self {
        self.number = value.map(|value| (value, unit));
        self
    }

    fn fact(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(key.to_owned(), value.into());
        self
    }
}

/// Whether the platform carries one application's need.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit<'a> {
    /// What is needed, and by whom.
    pub application: &'a Application,
    /// The answer of every gate, in the order of [`Gate::ALL`].
    pub findings: Vec<Finding>,
    /// What all needed services lose together; none if they are too entangled to compute.
    pub composed: Option<Composed>,
    /// What is needed, each thing once.
    pub terms: Vec<TermFacts>,
    /// The highest objective at which no gate fails; none if there is none.
    pub offer: Option<Offer>,
}

impl Fit<'_> {
    /// Every gate with its answer.
    pub fn gates(&self) -> impl Iterator<Item = (Gate, &Finding)> {
        Gate::ALL.into_iter().zip(&self.findings)
    }

    /// The worst answer of all gates.
    pub fn answer(&self) -> Answer {
        self.findings.iter().map(|finding| finding.answer).max().unwrap_or(Answer::Unknown)
    }
}

/// Judges one application.
pub fn assess<'a>(ground: &'a Ground<'a>, application: &'a Application) -> Fit<'a> {
    let case = Case::of(ground, application);
    Fit {
        application,
        findings: case.findings(application.objective),
        offer: offer::offer(&case),
        composed: case.composed,
        terms: case.terms,
    }
}

/// Judges every application of the ground's catalogue, by name.
pub fn assess_all<'a>(ground: &'a Ground<'a>) -> Vec<Fit<'a>> {
    ground.catalog().applications.iter().map(|one| assess(ground, one)).collect()
}

/// What declarations alone show to be impossible, as the application's name and a sentence.
pub fn warnings(ground: &Ground<'_>) -> Vec<(String, String)> {
    let told = |fit: Fit<'_>| {
        let name = fit.application.name.to_string();
        let failed = fit
            .gates()
            .filter(|(gate, finding)| gate.is_declared() && finding.answer == Answer::Fail);
        let tell = |(gate, finding): (Gate, &Finding)| {
            (name.clone(), format!("{name}: {}: {}", gate.word(), finding.sentence))
        };
        failed.map(tell).collect::<Vec<_>>()
    };
    assess_all(ground).into_iter().flat_map(told).collect()
}

impl Case<'_> {
    fn findings(&self, objective: Objective) -> Vec<Finding> {
        let ask = Ask { case: self, objective };
        Gate::ALL.map(|gate| gate.judge()(&ask)).into()
    }
}

#[cfg(test)]
mod tests;
