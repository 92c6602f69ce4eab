//! A world: targets with their truth, what is declared about them, and what befalls the monitor.
//!
//! Everything is drawn from the seed before the first second passes, so that a failing world can
//! be made smaller by taking events away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nines::model::catalog::UnknownPolicy;
use nines::model::check::{Check, Endpoint, TcpCheck};
use nines::model::{
    AlertPolicy, Catalog, Pair, Probe, ProbeId, Service, Severity, Share, ShortThreshold, Slo,
    Window,
};

use super::chance::Chance;
use super::composites;
use super::target::Target;
use super::{DAY, HOUR, MINUTE, MS, SECOND};

/// The place from which the monitor probes.
pub const VANTAGE: &str = "here";
/// What stands for the service of the references.
pub const REFERENCE: &str = "reference";
/// The second at which every world begins, about.
const BEGINNING: i64 = 1_769_817_600 * SECOND;

/// What befalls the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Some of its threads stand still for so long.
    Stall(Threads, i64),
    /// The machine sleeps for so long; its monotonic clock sleeps with it.
    Suspend(i64),
    /// `kill -9`; the next process comes after so long.
    Crash(Moment, i64),
    /// A stop in good order, and a start after so long.
    Restart(i64),
    /// The same, with the next declaration.
    Redeclare(i64),
    /// The wall clock is set by this much.
    Step(i64),
    /// The disk takes nothing for so long.
    DiskFault(i64),
    /// The monitor has no route to anywhere for so long.
    NoRoute(i64),
    /// Nothing that the monitor sends arrives anywhere for so long.
    CutOff(i64),
}

/// Which threads stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    All,
    Probing,
    Engine,
    Writer,
}

/// When exactly a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Whatever it does.
    Now,
    /// As soon as a failure has been handed to the engine.
    AfterFailure,
    /// In the middle of the next commit.
    InCommit,
    /// As soon as slices have been closed.
    AfterSlices,
    /// As soon as a probe is done whose predecessor is not.
    OutOfOrder,
    /// As soon as the disk has taken everything.
    CaughtUp,
}

/// All there is to one run.
#[derive(Clone, Debug)]
pub struct World {
    pub seed: u64,
    /// True time, in microseconds.
    pub from: i64,
    pub to: i64,
    /// What is declared, in turn.
    pub declared: Vec<Arc<Catalog>>,
    pub targets: BTreeMap<ProbeId, Target>,
    /// What is probed to know whether the monitor is cut off; none in most worlds.
    pub references: Vec<Probe>,
    /// Ascending by time.
    pub events: Vec<(i64, Event)>,
    /// How often the engine looks while something happens, and while nothing does. What it did
    /// not look at in time it makes up for, second by second.
    pub look: (i64, i64),
    /// Moments after which something happens for a while, ascending.
    stirs: Vec<i64>,
}

/// How large a world may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// About how many slots all its probes have.
    pub slots: i64,
    /// Longest time.
    pub longest: i64,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, size: Size) -> Self {
        let mut chance = Chance::new(seed);
        let probes = probes(&mut chance);
        let references = references(&mut chance);
        let rate: f64 =
            probes.iter().chain(&references).map(|probe| 1.0 / probe.interval.as_secs_f64()).sum();
        let longest = size.longest.max(2 * HOUR);
        let length = ((size.slots as f64 / rate) as i64 * SECOND).clamp(HOUR / 2, longest);
        let from = BEGINNING + chance.between(0, DAY);
        let to = from + length;
        let mut targets = BTreeMap::new();
        for probe in &probes {
            let pace = (chance.between(5 * MS, 60 * MS), chance.between(150 * MS, 250 * MS));
            targets.insert(probe.id.clone(), Target::new(&mut chance, (from, to), pace));
        }
        let mut declared = vec![catalog(&mut chance, &probes)];
        for _ in 0..4 {
            let next = redeclare(&mut chance, &probes, &declared[declared.len() - 1]);
            declared.push(next);
        }
        composites::declare(seed, &probes, &mut declared);
        let declared = declared.into_iter().map(Arc::new).collect();
        for reference in &references {
            // A reference may be down for a while, as long as others are not.
            let alone = reference.id == references[0].id;
            let until = if alone { to } else { from };
            let target = Target::new(&mut chance, (from, until), (5 * MS, 150 * MS));
            targets.insert(reference.id.clone(), target);
        }
        let mut events = events(&mut chance, (from, to), !references.is_empty());
        for probe in &probes {
            let target = &targets[&probe.id];
            events.extend(target.recoveries().flat_map(|at| ambush(&mut chance, probe, at)));
        }
        events.retain(|(at, _)| *at < to);
        events.sort_by_key(|(at, _)| *at);
        let look = (chance.one_of(&[200 * MS, SECOND]), chance.one_of(&[2, 10, 30]) * SECOND);
        let mut stirs: Vec<i64> = events.iter().map(|(at, _)| *at).collect();
        stirs.extend(targets.values().flat_map(Target::moments));
        stirs.sort_unstable();
        World { seed, from, to, declared, targets, references, events, look, stirs }
    }

    /// When the engine looks after it has looked at `now`.
    pub fn next_look(&self, now: i64) -> i64 {
        let n = self.stirs.partition_point(|at| *at <= now);
        let last = n.checked_sub(1).map(|last| self.stirs[last]);
        if last.is_some_and(|last| now - last < 20 * SECOND) {
            return now + self.look.0;
        }
        // Looks are regular, so that none falls together with what stirs.
        let next = self.stirs.get(n).map_or(i64::MAX, |next| next + self.look.0);
        next.min(now + self.look.1)
    }

    /// How long it lasts, in hours.
    pub fn hours(&self) -> f64 {
        (self.to - self.from) as f64 / HOUR as f64
    }
}

/// Three references in a quarter of all worlds.
fn references(chance: &mut Chance) -> Vec<Probe> {
    let n = if chance.once_in(4) { 3 } else { 0 };
    let reference = |n: i64| probe(&format!("{REFERENCE}/r{n}"), SECOND, 750 * MS);
    (0..n).map(reference).collect()
}

fn probe(id: &str, interval: i64, timeout: i64) -> Probe {
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: 1 };
    Probe {
        id: id.parse().expect("a valid id"),
        check: Check::Tcp(TcpCheck { endpoint, send: None, expect: None }),
        interval: Duration::from_micros(interval.unsigned_abs()),
        timeout: Duration::from_micros(timeout.unsigned_abs()),
    }
}

fn probes(chance: &mut Chance) -> Vec<Probe> {
    let n = chance.one_of(&[1, 1, 2, 3, 5, 8, 20]);
    let mut probes: Vec<Probe> = (0..n)
        .map(|n| {
            let interval = match n {
                0..4 => chance.one_of(&[1, 2, 5, 7, 10, 30]),
                _ => chance.one_of(&[10, 15, 30]),
            };
            let timeout = match chance.between(0, 3) {
                0 => interval * SECOND,
                1 => interval * SECOND * 3 / 4,
                _ => SECOND,
            };
            probe(&format!("svc/p{n:02}"), interval * SECOND, timeout)
        })
        .collect();
    probes.sort_by(|a, b| a.id.cmp(&b.id));
    probes
}

fn catalog(chance: &mut Chance, probes: &[Probe]) -> Catalog {
    let mut slos = vec![slo(chance, "all", probes, None)];
    for (n, probe) in probes.iter().take(2).enumerate() {
        slos.push(slo(chance, &format!("available-{n}"), std::slice::from_ref(probe), None));
    }
    for (n, probe) in probes.iter().take(1).enumerate() {
        let under = Some(Duration::from_millis(100));
        slos.push(slo(chance, &format!("fast-{n}"), std::slice::from_ref(probe), under));
    }
    slos.sort_by(|a, b| a.id.cmp(&b.id));
    let service = Service {
        name: "svc".parse().expect("a valid name"),
        display_name: None,
        labels: BTreeMap::new(),
        description: None,
        links: BTreeMap::new(),
        support: None,
        depends_on: Vec::new(),
        probes: probes.to_vec(),
        slos,
    };
    Catalog { services: vec![service], ..Catalog::default() }
}

fn slo(chance: &mut Chance, name: &str, probes: &[Probe], under: Option<Duration>) -> Slo {
    let window = chance.one_of(&[HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY]);
    let objective = objective(chance);
    Slo {
        probes: probes.iter().map(|probe| probe.id.clone()).collect(),
        latency_under: under,
        unknown: match chance.between(0, 5) {
            0 => UnknownPolicy::Bad,
            1 => UnknownPolicy::Good,
            _ => UnknownPolicy::Exclude,
        },
        policy: policy(chance, window),
        ..Slo::new(
            format!("svc/{name}").parse().expect("a valid id"),
            objective,
            Window::Rolling(Duration::from_micros(window.unsigned_abs())),
        )
    }
}

pub fn objective(chance: &mut Chance) -> nines::model::Objective {
    let text = chance.one_of(&["99%", "99.5%", "99.9%", "99.95%", "99.99%", "99.999%"]);
    text.parse().expect("a valid objective")
}

/// The workbook's pairs, or pairs that stand to the window as those do to 30 days.
pub fn policy(chance: &mut Chance, window: i64) -> Option<Arc<AlertPolicy>> {
    let mut policy = AlertPolicy::clone(&AlertPolicy::workbook());
    if window < 7 * DAY {
        let pair = |severity, long: i64, percent: u32| {
            let long = (long / MINUTE).max(1) * MINUTE;
            Pair {
                severity,
                long: Duration::from_micros(long.unsigned_abs()),
                short: Duration::from_micros((long / 6).unsigned_abs()),
                limit: nines::model::Limit::Budget(
                    Share::from_ppb(percent * 10_000_000).expect("below 100 %"),
                ),
                hold: Duration::ZERO,
            }
        };
        policy.pairs = vec![
            pair(Severity::Page, window / 60, 10),
            pair(Severity::Page, window / 20, 20),
            pair(Severity::Ticket, window / 5, 40),
        ];
    }
    policy.short_threshold = chance.one_of(&[ShortThreshold::Same, ShortThreshold::One]);
    policy.min_bad = chance.one_of(&[1, 1, 2, 3]);
    (!chance.once_in(8)).then(|| Arc::new(policy))
}

/// The next declaration: another objective, another policy for unknown time, a probe that comes
/// or goes.
fn redeclare(chance: &mut Chance, probes: &[Probe], now: &Catalog) -> Catalog {
    let mut next = now.clone();
    let service = &mut next.services[0];
    let which = chance.between(0, service.slos.len() as i64) as usize;
    match chance.between(0, 4) {
        0 => service.slos[which].objective = objective(chance),
        1 => service.slos[which].unknown = UnknownPolicy::Exclude,
        2 => service.slos[which].policy = None,
        _ => {
            // The first probe stays, so that no SLO is ever empty.
            let n = chance.between(1, probes.len() as i64 + 1) as usize;
            service.probes = probes[..n].to_vec();
            let whole = slo(chance, "all", &service.probes, None);
            let known = |id: &ProbeId| service.probes.iter().any(|probe| probe.id == *id);
            service.slos.retain(|slo| slo.probes.iter().all(known) && slo.id.name() != "all");
            service.slos.push(whole);
            service.slos.sort_by(|a, b| a.id.cmp(&b.id));
        }
    }
    next
}

fn events(chance: &mut Chance, (from, to): (i64, i64), cuts: bool) -> Vec<(i64, Event)> {
    let pause = chance.one_of(&[10 * MINUTE, HOUR, 4 * HOUR]);
    let mut events = Vec::new();
    let mut at = from + MINUTE + chance.magnitude(SECOND, pause);
    while at < to {
        let happens = match cuts && chance.once_in(3) {
            // Shorter than an interval of the references, and no reference can tell.
            true => Event::CutOff(chance.magnitude(3 * SECOND, 20 * MINUTE)),
            false => event(chance),
        };
        events.push((at, happens));
        // Troubles come together now and then: the next one may fall into this one.
        let next = if chance.once_in(4) { 20 * SECOND } else { pause };
        at += chance.magnitude(SECOND, 2 * next);
    }
    events
}

/// What makes a result overtake its predecessor, and a kill between the two: a probe that starts
/// late and waits in vain, while the target recovers and answers the next one.
fn ambush(chance: &mut Chance, probe: &Probe, recovery: i64) -> Vec<(i64, Event)> {
    let interval = probe.interval.as_micros() as i64;
    let stall = recovery - chance.between(0, interval);
    let down = chance.magnitude(200 * MS, MINUTE);
    let length = chance.between(interval / 4, interval);
    vec![
        (stall - SECOND, Event::Crash(Moment::OutOfOrder, down)),
        (stall, Event::Stall(Threads::Probing, length)),
    ]
}

fn event(chance: &mut Chance) -> Event {
    let down = chance.magnitude(200 * MS, 20 * MINUTE);
    let moment = chance.one_of(&[
        Moment::Now,
        Moment::AfterFailure,
        Moment::InCommit,
        Moment::AfterSlices,
        Moment::OutOfOrder,
    ]);
    let threads = chance.one_of(&[
        Threads::All,
        Threads::All,
        Threads::Probing,
        Threads::Engine,
        Threads::Writer,
    ]);
    match chance.between(0, 12) {
        0..3 => Event::Stall(threads, chance.magnitude(20 * MS, 5 * MINUTE)),
        3 => Event::Suspend(chance.magnitude(SECOND, 3 * HOUR)),
        4..7 => Event::Crash(moment, down),
        7 => Event::Restart(down),
        8 => Event::Redeclare(down),
        9 => Event::DiskFault(chance.magnitude(SECOND, 30 * MINUTE)),
        10 => Event::NoRoute(chance.magnitude(SECOND, 10 * MINUTE)),
        _ => {
            let most = if chance.once_in(8) { DAY } else { HOUR };
            let by = chance.magnitude(100 * MS, most);
            Event::Step(if chance.once_in(2) { -by } else { by })
        }
    }
}
