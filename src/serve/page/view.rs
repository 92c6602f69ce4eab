//! One SLO in words and numbers, as both pages show it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::{AlertKind, Exhaustion, SloState, SloStatus};
use crate::model::budget::{Budget, Counted};
use crate::model::maintenance::Effect;
use crate::model::time::format_duration;
use crate::model::{Service, Severity, Slo, Timestamp, Window, decimal, number};
use crate::serve::condition::{self, Condition};

/// SLOs whose last result is older than this say so.
const OLD: Duration = Duration::from_secs(120);

/// A moment for programs, and how long ago that was for people.
pub type Ago = (String, String);

/// One SLO.
#[derive(Debug)]
pub struct SloView {
    pub id: String,
    pub name: String,
    pub promise: String,
    pub condition: Condition,
    pub since: Option<Ago>,
    pub measured: Option<Measured>,
    pub budget: String,
    /// The burn rate and its window.
    pub burn: Option<(String, String)>,
    pub gone: String,
    /// Whether somebody is woken or told.
    pub told: &'static str,
    /// What Maintenance does at present.
    pub work: Vec<String>,
    /// Since when nothing is known, if that is a while.
    pub old: Option<Ago>,
    /// For sorting: the share of the budget that is left, in thousandths.
    pub left: i128,
}

/// What was measured over the window.
#[derive(Debug)]
pub struct Measured {
    pub sli: String,
    pub bad: String,
    pub total: String,
    pub coverage: String,
    pub partial: bool,
    pub corrected: bool,
    pub left: String,
    pub left_time: String,
    /// How far the bar reaches, from 0 to 100.
    pub bar: String,
    pub overspent: bool,
}

impl SloView {
    /// The SLO as it stands.
    pub fn now(state: &SloState, now: Timestamp) -> Self {
        let ago = |at| ago(at, now);
        let condition = Condition::of(state);
        let last = state.status.as_ref().map(|status| status.at);
        SloView {
            since: condition.since(state).map(ago),
            told: told(state),
            work: work(state),
            old: last.filter(|at| now.since(*at) > OLD).map(ago),
            ..Self::of(&state.slo, state.status.as_ref(), condition)
        }
    }

    /// The SLO as it stood at the moment of this evaluation.
    pub fn then(slo: &Slo, status: Option<&SloStatus>) -> Self {
        Self::of(slo, status, Condition::then(slo, status))
    }

    fn of(slo: &Slo, status: Option<&SloStatus>, condition: Condition) -> Self {
        let status = status.filter(|status| status.budget.counted.total() > 0);
        let window = status.map_or(slo.window.shortest(), |status| status.budget.window);
        let whole = Budget::new(Counted::default(), slo.objective, window);
        let left = status.and_then(|status| status.budget.left());
        let thousandths = |(left, whole): (i128, u128)| left * 1_000 / (whole as i128).max(1);
        SloView {
            id: slo.id.to_string(),
            name: slo.display_name.clone().unwrap_or_else(|| slo.id.name().to_owned()),
            promise: promise(slo),
            condition,
            since: None,
            measured: status.map(measured),
            budget: number::duration(status.map_or(&whole, |s| &s.budget).total_time()),
            burn: status.and_then(|status| burn(slo, status)),
            gone: gone(status),
            told: "",
            work: Vec::new(),
            old: None,
            left: left.map_or(i128::MAX, thousandths),
        }
    }
}

/// A moment and how long ago it was, in whole seconds.
pub fn ago(at: Timestamp, now: Timestamp) -> Ago {
    let text = match now.since(at).as_secs() {
        0 => "less than 1 s".to_owned(),
        seconds => number::duration(Duration::from_secs(seconds)),
    };
    (at.to_string(), text)
}

/// The links of a service that may stand on a page; `javascript:` and its like may not.
pub fn links(service: &Service) -> Vec<(String, String)> {
    web_links(&service.links)
}

/// Those of these links that may stand on a page.
pub fn web_links(links: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let is_web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
    let links = links.iter().filter(|(_, url)| is_web(url));
    links.map(|(name, url)| (name.clone(), url.clone())).collect()
}

/// Who hears of it, by the loudest alert that fires.
fn told(state: &SloState) -> &'static str {
    let firing = |kind| condition::firing(state, kind).is_some();
    if firing(AlertKind::BurnFast) {
        "paging"
    } else if AlertKind::OF_SLO.into_iter().any(firing) {
        "ticket raised"
    } else {
        ""
    }
}

/// What Maintenance does at present, in words.
fn work(state: &SloState) -> Vec<String> {
    let words = |effect| {
        let name = state.ongoing(effect)?;
        Some(match effect {
            Effect::Exclude => format!("maintenance {name}: not counted"),
            Effect::Mute if state.alerts.iter().any(|alert| alert.is_muted) => {
                format!("maintenance {name}: an alert is muted")
            }
            Effect::Mute => format!("maintenance {name}: alerts muted"),
        })
    };
    Effect::ALL.into_iter().filter_map(words).collect()
}

/// A window in words.
pub fn window_words(window: &Window) -> String {
    match window {
        Window::Rolling(length) => number::duration(*length),
        Window::Calendar(calendar) => format!("each {calendar}"),
    }
}

/// The objective in words.
fn promise(slo: &Slo) -> String {
    let objective = number::percent_ppb(slo.objective.ppb());
    let window = window_words(&slo.window);
    match slo.latency_under {
        Some(under) => {
            let under = number::duration(under);
            format!("{objective} of probes answered within {under}, over {window}")
        }
        None => format!("{objective} of probes answered well, over {window}"),
    }
}

fn measured(status: &SloStatus) -> Measured {
    let counted = status.budget.counted;
    let (left, whole) = status.budget.left().unwrap_or((0, 1));
    let micros = status.budget.left_time().unwrap_or_default().unsigned_abs();
    let time = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
    let coverage = status.coverage;
    let numerator = i128::try_from(coverage.numerator).unwrap_or(i128::MAX);
    let bar = decimal::fixed(left.max(0).saturating_mul(100), whole, 1).unwrap_or_default();
    Measured {
        sli: number::percent(counted.good, counted.total()),
        bad: events(&status.budget, counted.bad),
        total: events(&status.budget, counted.total()),
        coverage: number::percent_of(numerator, coverage.denominator),
        partial: coverage.numerator < coverage.denominator,
        corrected: status.corrected,
        left: number::left(left, whole),
        left_time: if left < 0 { number::duration_up(time) } else { number::duration(time) },
        bar,
        overspent: left < 0,
    }
}

/// How many events that is: whole ones, or slices to the hundredth, cut up.
pub fn events(budget: &Budget, parts: u64) -> String {
    match budget.parts {
        1 => number::count(parts),
        per => {
            let hundredths = (u128::from(parts) * 100).div_ceil(per.into());
            let text = decimal::fixed(hundredths as i128, 100, 2).unwrap_or_default();
            decimal::trim_zeros(&text).to_owned()
        }
    }
}

/// The burn rate that decides: of the pair that fires, else of the policy's first pair.
fn burn(slo: &Slo, status: &SloStatus) -> Option<(String, String)> {
    let firing = |severity| condition::burn(slo, status, severity);
    let first = || {
        let pair = slo.policy.as_ref()?.pairs.first()?;
        Some((condition::rate(status, pair.long)?, pair.long))
    };
    let (rate, window) = Severity::ALL.into_iter().find_map(firing).or_else(first)?;
    Some((number::burn(rate), format_duration(window)))
}

fn gone(status: Option<&SloStatus>) -> String {
    match status.map(|status| status.exhaustion) {
        Some(Exhaustion::In(left)) if left.is_zero() => "gone".to_owned(),
        Some(Exhaustion::In(left)) => number::duration(left),
        Some(Exhaustion::Never) => "not at this rate".to_owned(),
        Some(Exhaustion::Unknown) | None => number::NO_DATA.to_owned(),
    }
}
