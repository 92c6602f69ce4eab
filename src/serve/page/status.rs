//! What the page about the monitor itself shows: whether it works, and what it could not see.

use std::time::Duration;

use askama::Template;

use crate::engine::Engine;
use crate::engine::counters::Histogram;
use crate::model::{Timestamp, number};
use crate::serve::faults::{FaultReading, ReferenceReading};
use crate::serve::own::{
    LedgerState, NotifierReading, OwnReading, ProberReading, REVISION, VERSION,
};
use crate::serve::site::{Load, Readiness, Site};

use super::home::STALE;
use super::view::{Ago, ago};

/// The page.
#[derive(Debug, Template)]
#[template(path = "status.html")]
pub struct StatusPage {
    root: &'static str,
    version: &'static str,
    assets: String,
    revision: &'static str,
    health: Health,
    headline: String,
    vantage: String,
    started: Ago,
    evaluated: Option<Ago>,
    loaded: Ago,
    problems: Vec<String>,
    sections: Vec<Section>,
    causes: Vec<[String; 4]>,
    /// Causes that have not come about.
    unseen: String,
    references: Vec<ReferenceRow>,
    notifiers: Vec<[String; 5]>,
}

/// How the monitor itself is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Blind,
    NotKeeping,
    Stale,
    OldConfiguration,
    Works,
}

impl Health {
    const fn words(self) -> &'static str {
        match self {
            Health::Blind => "Blind",
            Health::NotKeeping => "History is not kept",
            Health::Stale => "Out of date",
            Health::OldConfiguration => "Reload refused",
            Health::Works => "Works",
        }
    }

    /// The sign and the colour of the condition that is most like it.
    const fn slug(self) -> &'static str {
        match self {
            Health::Blind | Health::NotKeeping | Health::Stale => "missed",
            Health::OldConfiguration => "burning-slow",
            Health::Works => "meeting",
        }
    }
}

/// Numbers about one part.
#[derive(Debug)]
struct Section {
    id: &'static str,
    title: &'static str,
    /// What it is, the value, and what belongs to it.
    facts: Vec<(&'static str, String, String)>,
}

#[derive(Debug)]
struct ReferenceRow {
    name: String,
    slug: &'static str,
    words: &'static str,
    answered: String,
    silent: String,
    unmeasured: String,
}

impl StatusPage {
    /// The page as the monitor stands.
    pub fn of(site: &Site) -> Self {
        let (now, own) = (site.clock.now(), site.own.reading());
        let readiness = site.readiness.borrow().clone();
        let load = site.load.borrow().clone();
        let engine = site.engine();
        let tick = engine.last_tick();
        let (health, headline) = health(&engine, &readiness, &load, now);
        let vantage = site.settings.load().vantage.clone();
        StatusPage {
            root: "./",
            version: VERSION,
            assets: super::assets_version(),
            revision: REVISION,
            health,
            headline,
            vantage,
            started: ago(site.clock.started().floor_second(), now),
            evaluated: tick.map(|at| ago(at, now)),
            loaded: ago(load.success_at.floor_second(), now),
            problems: load.failure.iter().flat_map(|f| f.problems()).cloned().collect(),
            sections: vec![probing(&own), ledger(&own.ledger, now), engine_facts(&engine)],
            causes: causes(&own.faults),
            unseen: unseen(&own.faults),
            references: own.faults.references.iter().map(reference).collect(),
            notifiers: own.notifiers.iter().map(notifier).collect(),
        }
    }
}

/// The worst that is so, and what that means.
fn health(engine: &Engine, readiness: &Readiness, load: &Load, now: Timestamp) -> (Health, String) {
    if let Some(blindness) = engine.blindness(now) {
        return (Health::Blind, blindness.sentence());
    }
    if let Readiness::Waiting(why) = readiness {
        return (Health::NotKeeping, format!("The monitor is not ready: {why}."));
    }
    let age = engine.last_tick().map_or(Duration::ZERO, |tick| now.since(tick));
    if age > STALE {
        let age = number::duration(age);
        return (Health::Stale, format!("Nothing has been evaluated for {age}."));
    }
    if load.failure.is_some() {
        let sentence = "The last reload was refused; the configuration before it stays in force.";
        return (Health::OldConfiguration, sentence.to_owned());
    }
    (Health::Works, "The monitor does its work.".to_owned())
}

fn probing(own: &OwnReading) -> Section {
    let faults = &own.faults;
    let mut facts = Vec::new();
    for ProberReading { start_lag, missed_starts, denied, scheduler_lag, .. } in &own.probers {
        facts.push(("Started late by", lag(start_lag), mean(start_lag)));
        let missed = "slots in which no probe was started".to_owned();
        facts.push(("Not started", number::count(*missed_starts), missed));
        let woken = "the latest the scheduler woke of late".to_owned();
        facts.push(("Scheduler", number::duration(*scheduler_lag), woken));
        let denied_by = "kept from connecting by the egress policy".to_owned();
        facts.push(("Denied", number::count(*denied), denied_by));
    }
    let most = format!("of {} that may run at once", number::count(faults.in_flight_max));
    facts.push(("Running", number::count(faults.in_flight), most));
    let waiting = "until it is known whether we were cut off".to_owned();
    facts.push(("Verdicts that wait", number::count(faults.held as u64), waiting));
    let offset = Duration::from_micros(faults.clock_offset_micros.unsigned_abs());
    let way = if faults.clock_offset_micros < 0 { "behind" } else { "ahead of" };
    let way = format!("{way} the timeline of history");
    facts.push(("Wall clock", number::duration(offset), way));
    Section { id: "probing", title: "Probing", facts }
}

/// Within which time nearly all probes were started, as far as the buckets can tell.
fn lag(histogram: &Histogram) -> String {
    let total = histogram.total();
    if total == 0 {
        return number::NO_DATA.to_owned();
    }
    let mut below = 0;
    for (edge, n) in histogram.edges.iter().zip(&histogram.counts) {
        below += n;
        if u128::from(below) * 100 >= u128::from(total) * 99 {
            return format!("at most {}", number::duration(Duration::from_micros(*edge)));
        }
    }
    let last = histogram.edges.last().copied().unwrap_or_default();
    format!("more than {}", number::duration(Duration::from_micros(last)))
}

fn mean(histogram: &Histogram) -> String {
    let n = u32::try_from(histogram.total()).unwrap_or(u32::MAX);
    match histogram.sum.checked_div(n) {
        Some(mean) => format!("99 of 100 starts; {} on average", number::duration(mean)),
        None => "no probe was started yet".to_owned(),
    }
}

fn ledger(ledger: &LedgerState, now: Timestamp) -> Section {
    let durable = ledger
        .last_durable
        .map_or(number::NO_DATA.to_owned(), |at| format!("{} ago", ago(at, now).1));
    let state = match &ledger.failing {
        Some(why) => ("fails".to_owned(), why.clone()),
        None => ("takes history".to_owned(), String::new()),
    };
    let at = ledger.last_durable.map(|at| at.floor_second().to_string()).unwrap_or_default();
    let lost = "records, because the disk did not keep up for long".to_owned();
    let facts = vec![
        ("State", state.0, state.1),
        ("Everything durable", durable, at),
        ("Waiting", number::count(ledger.queue_length), "records".to_owned()),
        ("Lost", number::count(ledger.lost), lost),
        ("On disk", number::count(ledger.bytes), "bytes".to_owned()),
    ];
    Section { id: "ledger", title: "Ledger", facts }
}

fn engine_facts(engine: &Engine) -> Section {
    let n = |n: usize| number::count(n as u64);
    let catalog = engine.catalog();
    let back = number::duration(engine.memory());
    let facts = vec![
        ("Services", n(catalog.services.len()), String::new()),
        ("Objectives", n(engine.slos().len()), String::new()),
        ("Probes", n(engine.probes().len()), "sources included".to_owned()),
        ("Applications", n(catalog.applications.len()), String::new()),
        ("History in memory", back, format!("in {} runs of equal slots", n(engine.segments()))),
    ];
    Section { id: "engine", title: "What it looks after", facts }
}

/// Every cause of faults of ours: how many slots are unknown by it, how often it came in spells,
/// and for how long.
fn all_causes(faults: &FaultReading) -> impl Iterator<Item = (&'static str, u64, u64, Duration)> {
    let slots = faults.slots.iter().map(|(cause, _)| *cause);
    let others = faults.spells.iter().map(|(cause, ..)| *cause);
    let others = others.filter(|cause| faults.slots.iter().all(|(known, _)| known != cause));
    slots.chain(others).map(|cause| {
        let slots = faults.slots.iter().find(|(of, _)| *of == cause).map_or(0, |(_, n)| *n);
        let spells = faults.spells.iter().find(|(of, ..)| *of == cause);
        let (n, total) = spells.map_or((0, Duration::ZERO), |(_, n, total)| (*n, *total));
        (cause, slots, n, total)
    })
}

/// Those that came about.
fn causes(faults: &FaultReading) -> Vec<[String; 4]> {
    let seen = all_causes(faults).filter(|(_, slots, spells, _)| slots + spells > 0);
    let row = |(cause, slots, spells, total): (&'static str, u64, u64, Duration)| {
        let total = if total.is_zero() { "–".to_owned() } else { number::duration(total) };
        [cause.to_owned(), number::count(slots), number::count(spells), total]
    };
    seen.map(row).collect()
}

/// Those that did not.
fn unseen(faults: &FaultReading) -> String {
    let unseen = all_causes(faults).filter(|(_, slots, spells, _)| slots + spells == 0);
    unseen.map(|(cause, ..)| cause).collect::<Vec<_>>().join(", ")
}

fn reference(reading: &ReferenceReading) -> ReferenceRow {
    let [answered, silent, unmeasured] = reading.runs.map(number::count);
    let (slug, words) = match reading.up {
        Some(true) => ("meeting", "Answers"),
        Some(false) => ("missed", "Silent"),
        None => ("no-data", "No data"),
    };
    ReferenceRow { name: reading.name.clone(), slug, words, answered, silent, unmeasured }
}

fn notifier(reading: &NotifierReading) -> [String; 5] {
    let NotifierReading { alertmanager, sent, errors, dropped, queue_length } = reading;
    let [sent, errors, dropped] = [sent, errors, dropped].map(|n| number::count(*n));
    [alertmanager.clone(), sent, errors, dropped, number::count(*queue_length as u64)]
}
