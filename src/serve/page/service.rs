//! What the page of one service shows: its objectives, how it is probed, what it needs and who
//! needs it, and its latest incidents.

use askama::Template;
use serde_json::Value;

use crate::engine::counters::Counters;
use crate::engine::{Engine, ProbeState};
use crate::model::catalog::{Dependency, Impact};
use crate::model::{BadReason, Catalog, Service, Timestamp, UnknownReason, number};
use crate::serve::condition::Condition;
use crate::serve::own::VERSION;

use super::listing::{ServiceView, condition_of, service_views};
use super::report::{IncidentRow, incident_rows};
use super::view::{Ago, ago};

/// Most incidents on the page; the page of incidents has all.
const MAX_INCIDENTS: usize = 8;

/// The page.
#[derive(Debug, Template)]
#[template(path = "service.html")]
pub struct ServicePage {
    root: &'static str,
    version: &'static str,
    assets: String,
    service: ServiceView,
    support: String,
    evaluated: Option<Ago>,
    probes: Vec<ProbeRow>,
    shows_certificates: bool,
    needs: Vec<NeedRow>,
    needed_by: Vec<NeedRow>,
    /// None if history cannot be read.
    incidents: Option<Vec<IncidentRow>>,
    more_incidents: usize,
}

/// One probe.
#[derive(Debug)]
struct ProbeRow {
    name: String,
    asks: String,
    every: String,
    last: &'static str,
    slug: &'static str,
    run: Option<Ago>,
    counted: String,
    reasons: Vec<String>,
    /// When the certificate expires, and in how long.
    certificate: Option<(String, String)>,
}

/// Something that is needed, or that needs this.
#[derive(Debug)]
struct NeedRow {
    kind: &'static str,
    /// Each with where its page is, and how it stands if that is known.
    who: Vec<(String, String, Option<Condition>)>,
    how: String,
}

impl ServicePage {
    /// The page of the service of this name; none if there is none. `incidents` are those of the
    /// last days as the API gives them, unless history cannot be read.
    pub fn of(
        engine: &Engine,
        name: &str,
        incidents: Option<&Value>,
        now: Timestamp,
    ) -> Option<Self> {
        let catalog = engine.catalog();
        let declared = catalog.service(name)?;
        let service = service_views(engine, now, |one| one.name == declared.name).pop()?;
        let mut rows = incidents.map(incident_rows);
        let more = rows.as_ref().map_or(0, |rows| rows.len().saturating_sub(MAX_INCIDENTS));
        rows.iter_mut().for_each(|rows| rows.truncate(MAX_INCIDENTS));
        let id =
            |state: &&ProbeState| declared.probes.iter().any(|probe| probe.id == state.probe.id);
        let probes: Vec<ProbeRow> =
            engine.probes().iter().filter(id).map(|state| probe(state, now)).collect();
        Some(ServicePage {
            root: "../",
            version: VERSION,
            assets: super::assets_version(),
            support: support(catalog, declared),
            evaluated: engine.last_tick().map(|at| ago(at, now)),
            shows_certificates: probes.iter().any(|probe| probe.certificate.is_some()),
            probes,
            needs: declared.depends_on.iter().map(|one| need(engine, one)).collect(),
            needed_by: needed_by(engine, name),
            incidents: rows,
            more_incidents: more,
            service,
        })
    }
}

/// What people do when it breaks, in words.
fn support(catalog: &Catalog, service: &Service) -> String {
    let tier = service.support.as_ref().and_then(|name| catalog.tier(name));
    tier.map_or_else(String::new, |tier| {
        format!(
            "Support {} ({} {}): answered within {}, repaired within {} after that.",
            tier.name,
            tier.hours,
            tier.time_zone,
            number::duration(tier.acknowledge),
            number::duration(tier.repair)
        )
    })
}

fn probe(state: &ProbeState, now: Timestamp) -> ProbeRow {
    let Counters { runs, failures, unknown, last_success, last_run, .. } = &state.counters;
    let (last, slug) = match last_success {
        Some(true) => ("Good", "meeting"),
        Some(false) => ("Bad", "missed"),
        None => ("No data", "no-data"),
    };
    let bad = BadReason::ALL.iter().map(|reason| reason.word()).zip(failures);
    let unseen = UnknownReason::ALL.iter().map(|reason| reason.word()).zip(unknown);
    let of = |what: &str, (reason, n): (&str, &u64)| {
        (*n > 0).then(|| format!("{} {what} ({reason})", number::count(*n)))
    };
    let reasons =
        bad.filter_map(|one| of("bad", one)).chain(unseen.filter_map(|one| of("unknown", one)));
    let is_source = state.probe.check.source().is_some();
    ProbeRow {
        name: state.probe.id.name().to_owned(),
        asks: state.probe.check.target(),
        every: number::duration(state.probe.interval),
        last: if is_source { "Counted elsewhere" } else { last },
        slug: if is_source { "no-objective" } else { slug },
        run: last_run.map(|at| ago(at, now)),
        counted: if is_source { String::new() } else { number::count(*runs) },
        reasons: reasons.collect(),
        certificate: state.counters.certificate_not_after.map(|at| expiry(at, now)),
    }
}

/// When a certificate expires, and how long that is from now.
fn expiry(at: Timestamp, now: Timestamp) -> (String, String) {
    let left = at.since(now);
    let text = if left.is_zero() {
        "expired".to_owned()
    } else {
        format!("in {}", number::duration(left))
    };
    (at.to_string(), text)
}

fn need(engine: &Engine, dependency: &Dependency) -> NeedRow {
    let who = dependency.of.iter().map(|name| {
        let condition = condition_of(engine, name.as_str());
        (name.to_string(), format!("service/{name}"), condition)
    });
    NeedRow { kind: "service", who: who.collect(), how: how(dependency) }
}

fn how(dependency: &Dependency) -> String {
    let impact = match dependency.impact {
        Impact::Hard => "fails without",
        Impact::Soft => "goes on with less",
    };
    match dependency.of.len() {
        1 => impact.to_owned(),
        n => format!("{} of {n}; {impact}", dependency.need),
    }
}

/// The services and applications that need this one.
fn needed_by(engine: &Engine, name: &str) -> Vec<NeedRow> {
    let catalog = engine.catalog();
    let on = |all: &[Dependency]| {
        let this = |one: &&Dependency| one.of.iter().any(|of| of.as_str() == name);
        all.iter().find(this).map(how)
    };
    let services = catalog.services.iter().filter_map(|one| {
        let (name, how) = (one.name.as_str(), on(&one.depends_on)?);
        let who = vec![(name.to_owned(), format!("service/{name}"), condition_of(engine, name))];
        Some(NeedRow { kind: "service", who, how })
    });
    let applications = catalog.applications.iter().filter_map(|one| {
        let (name, how) = (one.name.as_str(), on(&one.depends_on)?);
        let who = vec![(name.to_owned(), format!("application/{name}"), None)];
        Some(NeedRow { kind: "application", who, how })
    });
    services.chain(applications).collect()
}
