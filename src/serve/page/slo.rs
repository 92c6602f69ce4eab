//! What the page of one SLO shows, now or at a moment in the past. Alerts link here.

use std::time::Duration;

use askama::Template;

use crate::engine::status::Proof;
use crate::engine::{
    Coverage, Engine, Revision, SloState, SloStatus, Touch, TouchKind, forecast, report,
};
use crate::model::catalog::UnknownPolicy;
use crate::model::maintenance::Effect;
use crate::model::{Name, Slo, Tally, Timestamp, Window, number};
use crate::serve::api::{MAX_PERIODS, touches};
use crate::serve::condition;
use crate::serve::own::VERSION;

use super::view::{Ago, SloView, ago, links};

/// The page.
#[derive(Debug, Template)]
#[template(path = "slo.html")]
pub struct SloPage {
    root: &'static str,
    version: &'static str,
    assets: String,
    service: String,
    service_name: String,
    team: String,
    links: Vec<(String, String)>,
    description: String,
    slo: SloView,
    at: Option<String>,
    evaluated: Option<Ago>,
    claim: String,
    /// The chance that the budget holds, and for how long.
    holds: Option<(String, String)>,
    pairs: Vec<PairView>,
    counts: Vec<(String, [String; 4])>,
    periods: Vec<PeriodView>,
    probes: Vec<String>,
    /// What it is made of, with how each stands.
    parts: Vec<PartView>,
    /// What was promised before, if it was something else.
    revisions: Vec<String>,
    unknown: &'static str,
    /// What says how events of the window count, the latest ones.
    touches: Vec<TouchView>,
    more_touches: usize,
    /// Events at their edges that are told apart no longer.
    coarse: u64,
}

/// One of the SLOs that it is made of.
#[derive(Debug)]
struct PartView {
    /// Its name within the service.
    name: String,
    title: String,
    weight: String,
    promise: String,
    good: String,
    coverage: String,
    left: String,
}

/// Most Maintenance and Corrections on the page.
const MAX_TOUCHES: usize = 50;

/// A Maintenance or a Correction.
#[derive(Debug)]
struct TouchView {
    name: String,
    kind: &'static str,
    from: String,
    to: String,
    effect: String,
    withdrawn: String,
    measured: String,
    reason: String,
    author: String,
}

/// A calendar period that is over.
#[derive(Debug)]
struct PeriodView {
    from: String,
    to: String,
    good: String,
    coverage: String,
    accounting: &'static str,
}

/// One pair of windows of the alert policy.
#[derive(Debug)]
struct PairView {
    name: String,
    tells: &'static str,
    threshold: String,
    long: String,
    short: String,
    fires: bool,
}

impl SloPage {
    /// The page of the SLO of this id, as of `at` or as it stands; none if there is no such SLO.
    pub fn of(engine: &Engine, id: &str, at: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let state = engine.slo(id)?;
        let slo = &state.slo;
        let service = engine.catalog().service(slo.id.service())?;
        let past = at.map(|at| engine.evaluate_at(id, at));
        let view = match &past {
            Some(status) => SloView::then(slo, status.as_ref()),
            None => SloView::now(state, now),
        };
        let status = past.unwrap_or_else(|| state.status.clone());
        let touches = touches(engine, state, at);
        let more_touches = touches.len().saturating_sub(MAX_TOUCHES);
        let probes = service.probes.iter().filter(|probe| slo.probes.contains(&probe.id));
        let probe = |probe: &crate::model::Probe| {
            format!("{} every {}", probe.check.target(), number::duration(probe.interval))
        };
        Some(SloPage {
            root: "../../",
            version: VERSION,
            assets: super::assets_version(),
            service: service.title().to_owned(),
            service_name: service.name.to_string(),
            team: state.team.clone(),
            links: links(service),
            description: slo.description.clone().unwrap_or_default(),
            slo: view,
            at: at.map(|at| at.to_string()),
            evaluated: status.as_ref().map(|status| ago(status.at, now)),
            claim: status.as_ref().map(claim).unwrap_or_default(),
            holds: status.as_ref().and_then(|status| holds(engine, id, status)),
            pairs: status.as_ref().map(|status| pairs(slo, status)).unwrap_or_default(),
            counts: status.iter().flat_map(|status| counts(slo, status)).collect(),
            periods: engine.past_periods(id, MAX_PERIODS).iter().map(period).collect(),
            probes: probes.map(probe).collect(),
            parts: parts(engine, state, at),
            revisions: revisions(state),
            unknown: unknown(slo.unknown),
            touches: touches[more_touches..].iter().map(touch).collect(),
            more_touches,
            coarse: state.coarse(),
        })
    }
}

/// What an SLO is made of, as of `at` or as it stands.
fn parts(engine: &Engine, state: &SloState, at: Option<Timestamp>) -> Vec<PartView> {
    let view = |(one, part): (&SloState, &crate::model::Part)| {
        let status = match at {
            Some(at) => engine.evaluate_at(one.slo.id.as_str(), at),
            None => one.status.clone(),
        };
        let status = status.filter(|status| status.budget.counted.total() > 0);
        let said = |say: &dyn Fn(&SloStatus) -> String| {
            status.as_ref().map_or_else(|| number::NO_DATA.to_owned(), say)
        };
        PartView {
            name: one.slo.id.name().to_owned(),
            title: one.slo.display_name.clone().unwrap_or_else(|| one.slo.id.name().to_owned()),
            weight: part.weight.to_string(),
            promise: number::percent_ppb(one.slo.objective.ppb()),
            good: said(&|status| {
                let counted = status.budget.counted;
                number::percent(counted.good, counted.total())
            }),
            coverage: said(&|status| {
                let Coverage { numerator, denominator } = status.coverage;
                number::percent_of(numerator as i128, denominator)
            }),
            left: said(&|status| {
                let (left, whole) = status.budget.left().unwrap_or((0, 1));
                number::left(left, whole)
            }),
        }
    };
    engine.parts(state).zip(&state.slo.parts).map(view).collect()
}

fn touch((touch, measured): &(Touch, Tally)) -> TouchView {
    let (kind, effect) = match touch.kind {
        TouchKind::Maintenance(Effect::Exclude) => ("Maintenance", "not counted".to_owned()),
        TouchKind::Maintenance(Effect::Mute) => ("Maintenance", "alerts muted".to_owned()),
        TouchKind::Correction(outcome) => ("Correction", format!("counts as {}", outcome.word())),
    };
    let by: Vec<&str> = touch.withdrawn_by.iter().map(Name::as_str).collect();
    let Tally { good, bad, unknown, excluded } = *measured;
    let counts = [(good, "good"), (bad, "bad"), (unknown, "unknown"), (excluded, "excluded")];
    let counts = counts.into_iter().filter(|(n, _)| *n > 0);
    let counts: Vec<String> =
        counts.map(|(n, word)| format!("{} {word}", number::count(n))).collect();
    TouchView {
        name: touch.name.to_string(),
        kind,
        from: touch.period.start.to_string(),
        to: touch.period.end.to_string(),
        effect,
        withdrawn: match touch.holds {
            true => String::new(),
            false => format!("withdrawn by {}", by.join(", ")),
        },
        measured: if counts.is_empty() { number::NO_DATA.to_owned() } else { counts.join(", ") },
        reason: touch.reason.clone().unwrap_or_default(),
        author: touch.author.clone().unwrap_or_default(),
    }
}

fn period(status: &SloStatus) -> PeriodView {
    let (counted, coverage) = (status.budget.counted, status.coverage);
    PeriodView {
        from: status.period.start.to_string(),
        to: status.period.end.to_string(),
        good: number::percent(counted.good, counted.total()),
        coverage: number::percent_of(coverage.numerator as i128, coverage.denominator),
        accounting: status.accounting.words(),
    }
}

/// What becomes of slots that could not be measured.
const fn unknown(policy: UnknownPolicy) -> &'static str {
    match policy {
        UnknownPolicy::Exclude => "do not count",
        UnknownPolicy::Bad => "count as bad",
        UnknownPolicy::Good => "count as good",
    }
}

/// Each promise that was in force, in words; nothing if it always was the same.
fn revisions(state: &SloState) -> Vec<String> {
    let all = state.revisions();
    let revision = |(n, revision): (usize, &Revision)| {
        let since = match revision.from > Timestamp::MIN {
            true => format!("from {}", revision.from),
            false => "at first".to_owned(),
        };
        if !revision.is_declared() {
            return format!("{since} nothing");
        }
        let objective = number::percent_ppb(revision.objective.ppb());
        let under = revision.threshold.map(|micros| Duration::from_micros(micros.into()));
        let under = under.map(|under| format!(" within {}", number::duration(under)));
        let before = n.checked_sub(1).map(|before| &all[before]);
        let anew = match before.is_some_and(|before| !before.measures_as(revision)) {
            true => ", probed in another way",
            false => "",
        };
        format!("{since} {objective}{} over {}{anew}", under.unwrap_or_default(), revision.window)
    };
    match all {
        [] | [_] => Vec::new(),
        all => all.iter().enumerate().map(revision).collect(),
    }
}

/// The chance that the budget holds in the time ahead.
fn holds(engine: &Engine, id: &str, status: &SloStatus) -> Option<(String, String)> {
    let chance = engine.survival(id, status)?;
    // To the hundredth of a percent, cut.
    let chance = number::percent_of((chance * 1e4).floor() as i128, 10_000);
    Some((chance, number::duration(forecast::ahead(status))))
}

/// What may be claimed, with the assumption it rests on.
fn claim(status: &SloStatus) -> String {
    let Proof { since, supported_ppb, assumed_outage, earliest, .. } = status.proof;
    let claim = report::claim(status.evidence, supported_ppb, assumed_outage, earliest);
    format!("What may be claimed of the time since {since}: {claim}.")
}

fn pairs(slo: &Slo, status: &SloStatus) -> Vec<PairView> {
    let rate = |window| {
        let rate = condition::rate(status, window);
        rate.map_or_else(|| number::NO_DATA.to_owned(), number::burn)
    };
    let pairs = slo.policy.iter().flat_map(|policy| &policy.pairs).zip(&status.pairs);
    let view = |(pair, fires): (&crate::model::Pair, &bool)| PairView {
        name: pair.name(),
        tells: pair.severity.word(),
        threshold: number::burn(pair.burn_threshold(status.budget.window)),
        long: rate(pair.long),
        short: rate(pair.short),
        fires: *fires,
    };
    pairs.map(view).collect()
}

/// The time that the window covers so far.
fn stretch(slo: &Slo, status: &SloStatus) -> String {
    match &slo.window {
        Window::Rolling(length) => format!("last {}", number::duration(*length)),
        Window::Calendar(_) => format!("since {}", status.period.start),
    }
}

fn counts(slo: &Slo, status: &SloStatus) -> [(String, [String; 4]); 2] {
    let events = |parts| super::view::events(&status.budget, parts);
    let row = |t: Tally| [t.good, t.bad, t.unknown, t.excluded].map(events);
    [
        (stretch(slo, status), row(status.tally)),
        ("since the history began".to_owned(), row(status.totals)),
    ]
}
