//! A small platform in every state there is, for the tests of this room.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::engine::Engine;
use crate::engine::monitor::{Effect, Options};
use crate::engine::report::Question;
use crate::model::check::{
    Check, Connection, Endpoint, HttpCheck, HttpExpect, HttpVersion, TcpCheck, TlsOptions,
};
use crate::model::{
    AlertPolicy, BadReason, Catalog, Observation, Phases, Probe, ProbeId, Run, SeriesId, Service,
    Settings, Slo, Timestamp, Verdict,
};

use super::results::Undelivered;
use super::{Command, Exposition, Load, Readiness, Site};

/// The moment at which the platform is looked at.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_348_800);

const STEP: Duration = Duration::from_secs(5);
const BAD: Verdict = Verdict::Bad(BadReason::Status);

/// Slots back in time: from this many seconds before `NOW` on, this many seconds long.
struct Stretch(u64, u64, Verdict, u8);

/// A catalogue of one service.
pub fn service(name: &str, team: &str, url: &str, slos: &[(&str, &str, Option<u64>)]) -> Service {
    let service: crate::model::Name = name.parse().expect("a name");
    let probe = ProbeId::new(&service, &"probe".parse().expect("a name"));
    let slo = |(slo, objective, under_ms): &(&str, &str, Option<u64>)| Slo {
        probes: vec![probe.clone()],
        latency_under: under_ms.map(Duration::from_millis),
        policy: Some(AlertPolicy::workbook()),
        ..Slo::new(
            format!("{name}/{slo}").parse().expect("an id"),
            objective.parse().expect("an objective"),
            Duration::from_secs(30 * 86_400),
        )
    };
    let label = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    Service {
        name: service.clone(),
        display_name: None,
        labels: [("team", team), ("app.example/tier", "gold \"1\"")]
            .into_iter()
            .map(label)
            .collect(),
        description: None,
        links: BTreeMap::from([label(("runbook", "https://runbooks.example/it"))]),
        support: None,
        depends_on: Vec::new(),
        probes: vec![Probe {
            id: probe.clone(),
            check: check(url),
            interval: STEP,
            timeout: Duration::from_secs(2),
        }],
        slos: slos.iter().map(slo).collect(),
    }
}

fn check(url: &str) -> Check {
    if let Ok(endpoint) = url.parse::<Endpoint>() {
        return Check::Tcp(TcpCheck { endpoint, send: None, expect: None });
    }
    Check::Http(HttpCheck {
        url: url.parse().expect("a URL"),
        method: http::Method::GET,
        headers: Vec::new(),
        header_files: Vec::new(),
        body: None,
        expect: HttpExpect::default(),
        version: HttpVersion::Auto,
        tls: TlsOptions::default(),
        connection: Connection::Cold,
        max_body: 1_024,
    })
}

/// An engine for these services, their probes numbered in id order from 1.
pub fn engine(services: Vec<Service>) -> Engine {
    let catalog = Catalog { services, ..Catalog::default() };
    let series = catalog.probes().zip(1..).map(|(p, n)| (p.id.clone(), SeriesId(n))).collect();
    let options = Options { vantage: "local".to_owned(), resend_delay: Duration::from_secs(60) };
    Engine::new(Arc::new(catalog), &series, options)
}

/// The result of one slot.
pub fn observation(series: u32, due: Timestamp, verdict: Verdict, millis: u64) -> Observation {
    let wait = Duration::from_millis(millis);
    Observation {
        series: SeriesId(series),
        due,
        lag: Duration::from_micros(150),
        latency: Some(wait),
        phases: Phases { wait, ..Phases::default() },
        verdict,
        detail: None,
        certificate_not_after: Some(NOW.plus(Duration::from_secs(90 * 86_400))),
    }
}

/// Six services: one missed, one burning fast, one low on budget, one silent, one never seen,
/// one fine to five nines.
pub fn platform() -> Engine {
    let mut engine = engine(vec![
        service(
            "artifact-registry",
            "platform-build",
            "https://registry.example/v2/",
            &[("availability", "99.95%", None), ("latency", "99%", Some(300))],
        ),
        service(
            "ci-runners",
            "platform-build",
            "http://ci.example/healthz",
            &[("availability", "99.5%", None)],
        ),
        service("dns", "platform-net", "http://dns.example/", &[("availability", "99.999%", None)]),
        service(
            "ingress",
            "platform-net",
            "http://ingress.example/",
            &[("availability", "99.99%", None)],
        ),
        service(
            "object-store",
            "platform-data",
            "http://store.example/",
            &[("availability", "99.9%", None)],
        ),
        service("postgres", "platform-data", "db.example:5432", &[("availability", "99.9%", None)]),
    ]);
    let month = 31 * 86_400;
    let good = |from, seconds| Stretch(from, seconds, Verdict::Good, 0);
    // Burning: two minutes of outage so far, after a clean month; some slow answers before.
    restore(
        &mut engine,
        1,
        &[
            good(month, month - 86_400),
            Stretch(86_400, 4_000, Verdict::Good, 1),
            good(82_400, 82_280),
            Stretch(120, 120, BAD, 0),
        ],
    );
    // Low on budget: most of 3 h 36 min went ten days ago.
    let day10 = 10 * 86_400;
    restore(
        &mut engine,
        2,
        &[
            good(month, month - day10),
            Stretch(day10, 11_000, BAD, 0),
            good(day10 - 11_000, day10 - 11_000),
        ],
    );
    restore(&mut engine, 3, &[good(month, month)]);
    // Silent for an hour.
    restore(&mut engine, 4, &[good(month, month - 3_600)]);
    // Missed: an hour of outage a week ago against 43 min of budget.
    let week = 7 * 86_400;
    restore(
        &mut engine,
        6,
        &[
            good(month, month - week),
            Stretch(week, 3_600, BAD, 0),
            good(week - 3_600, week - 3_600),
        ],
    );
    for second in (0..60).rev() {
        engine.tick(NOW.minus(Duration::from_secs(second)));
    }
    engine
}

fn restore(engine: &mut Engine, series: u32, stretches: &[Stretch]) {
    let runs: Vec<Run> = stretches
        .iter()
        .map(|Stretch(ago, seconds, verdict, class)| Run {
            start: NOW.minus(Duration::from_secs(*ago)),
            step: STEP,
            n: u32::try_from(seconds / 5).expect("a month"),
            verdict: *verdict,
            class: *class,
        })
        .collect();
    engine.restore_slice(SeriesId(series), NOW, &[300_000], &runs);
}

/// One good observation of every probe, and an evaluation.
pub fn observe_all(engine: &mut Engine) {
    let mut effects: Vec<Effect> = Vec::new();
    for n in 1..=u32::try_from(engine.probes().len()).expect("few") {
        engine.observe(observation(n, NOW.minus(STEP), Verdict::Good, 12), &mut effects);
    }
    engine.tick(NOW);
}

/// A site over an engine at `NOW`, with what the daemon would hold.
pub struct Held {
    /// The site.
    pub site: Site,
    /// Makes it ready.
    pub ready: watch::Sender<Readiness>,
    /// What was asked of the daemon.
    pub commands: mpsc::Receiver<Command>,
}

/// Lifecycle requests are on; nothing is ready yet.
pub fn held(engine: Engine) -> Held {
    let (ready, readiness) = watch::channel(Readiness::Waiting("history is read".to_owned()));
    let (sender, commands) = mpsc::channel(1);
    let (_, load) = watch::channel(Load { success_at: NOW, failure: None });
    let settings = Settings { enable_lifecycle: true, ..Settings::default() };
    let site = Site {
        engine: Arc::new(RwLock::new(engine)),
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        own: Arc::new(|_: &mut Exposition| {}),
        archive: Arc::new(|_: &Question<'_>| Ok(BTreeMap::new())),
        deliveries: Arc::new(|_| Err(Undelivered::NotKept("nobody takes it".to_owned()))),
        readiness,
        load,
        commands: sender,
        clock: Clock::starting_at(NOW.plus(Duration::from_secs(1))),
    };
    Held { site, ready, commands }
}
