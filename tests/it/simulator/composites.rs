//! Composites of a world: what they are made of, and how that changes from one declaration to the
//! next. Drawn from chance of their own, so that a world is otherwise what it is without them.

use std::sync::Arc;
use std::time::Duration;

use nines::model::catalog::{Method, UnknownPolicy};
use nines::model::{AlertPolicy, Catalog, Objective, Part, Probe, ProbeId, Share, Slo, SloId};
use nines::model::{Weight, Window};

use super::chance::Chance;
use super::world::{objective, policy};
use super::{DAY, HOUR, MINUTE};

/// Tells the chance of composites from that of everything else.
const SALT: u64 = 0xc0_4f05_17e5;

/// A composite as it is declared.
#[derive(Clone)]
struct Joint {
    name: String,
    window: i64,
    method: Method,
    policy: Option<Arc<AlertPolicy>>,
    parts: Vec<Piece>,
}

/// One of its parts.
#[derive(Clone)]
struct Piece {
    probes: Vec<ProbeId>,
    under: Option<Duration>,
    objective: Objective,
    unknown: UnknownPolicy,
    weight: Weight,
}

/// Adds composites to declarations that follow one another; none in a quarter of all worlds.
pub fn declare(seed: u64, probes: &[Probe], declared: &mut [Catalog]) {
    let mut chance = Chance::new(seed ^ SALT).branch();
    let n = chance.one_of(&[0, 1, 1, 2]);
    for n in 0..n {
        let mut joint = joint(&mut chance, format!("joint-{n}"), probes);
        for catalog in &mut *declared {
            joint.add_to(catalog);
            change(&mut chance, &mut joint);
        }
    }
}

fn joint(chance: &mut Chance, name: String, probes: &[Probe]) -> Joint {
    let window = chance.one_of(&[HOUR, 6 * HOUR, DAY, 7 * DAY]);
    let minutes = |n: i64| Duration::from_micros((n * MINUTE).unsigned_abs());
    let method = match chance.between(0, 3) {
        0 => Method::Timeslices {
            slice: minutes(chance.one_of(&[1, 5, 10])),
            objective: Share::from_ppb(chance.one_of(&[500_000_000, 900_000_000, 999_000_000]))
                .expect("below 100 %"),
        },
        _ => Method::Occurrences,
    };
    let ids: Vec<ProbeId> = probes.iter().map(|probe| probe.id.clone()).collect();
    // The first probe is always declared.
    let mut parts = vec![piece(chance, &ids[..1], None), piece(chance, &ids[..1], Some(100))];
    for probe in ids.iter().skip(1).take(2) {
        parts.push(piece(chance, std::slice::from_ref(probe), None));
    }
    if ids.len() > 1 {
        parts.push(piece(chance, &ids, None));
    }
    let policy = policy(chance, window);
    Joint { name, window, method, policy, parts }
}

fn piece(chance: &mut Chance, probes: &[ProbeId], under: Option<u64>) -> Piece {
    Piece {
        probes: probes.to_vec(),
        under: under.map(Duration::from_millis),
        objective: objective(chance),
        unknown: unknown(chance),
        weight: weight(chance),
    }
}

fn unknown(chance: &mut Chance) -> UnknownPolicy {
    match chance.between(0, 5) {
        0 => UnknownPolicy::Bad,
        1 => UnknownPolicy::Good,
        _ => UnknownPolicy::Exclude,
    }
}

fn weight(chance: &mut Chance) -> Weight {
    let nano = chance.one_of(&[1_000_000_000, 1_000_000_000, 500_000_000, 333_333_333, 3]);
    Weight::from_nano(nano).expect("above 0")
}

/// The next declaration: another objective, weight or policy for unknown time of a part, a part
/// less, or nobody to tell.
fn change(chance: &mut Chance, joint: &mut Joint) {
    let which = chance.between(0, joint.parts.len() as i64) as usize;
    match chance.between(0, 6) {
        0 => joint.parts[which].objective = objective(chance),
        1 => joint.parts[which].weight = weight(chance),
        2 => joint.parts[which].unknown = unknown(chance),
        3 if joint.parts.len() > 2 => _ = joint.parts.pop(),
        4 => joint.policy = policy(chance, joint.window),
        _ => {}
    }
}

impl Joint {
    fn add_to(&self, catalog: &mut Catalog) {
        let service = &mut catalog.services[0];
        let known = |id: &ProbeId| service.probes.iter().any(|probe| probe.id == *id);
        let window = Window::Rolling(Duration::from_micros(self.window.unsigned_abs()));
        let id = |name: &str| -> SloId { format!("svc/{name}").parse().expect("a valid id") };
        let mut all: Vec<(Slo, Weight)> = Vec::new();
        for (n, piece) in self.parts.iter().enumerate() {
            if !piece.probes.iter().all(known) {
                continue;
            }
            let slo = Slo {
                probes: piece.probes.clone(),
                latency_under: piece.under,
                unknown: piece.unknown,
                method: self.method,
                ..Slo::new(id(&format!("{}-{n}", self.name)), piece.objective, window.clone())
            };
            all.push((slo, piece.weight));
        }
        let part = |(slo, weight): &(Slo, Weight)| Part { slo: slo.id.clone(), weight: *weight };
        let strictest = all.iter().map(|(slo, _)| slo.objective).max().expect("two at least");
        let mut probes: Vec<ProbeId> =
            all.iter().flat_map(|(slo, _)| slo.probes.iter().cloned()).collect();
        probes.sort();
        probes.dedup();
        let whole = Slo {
            probes,
            parts: all.iter().map(part).collect(),
            method: self.method,
            policy: self.policy.clone(),
            ..Slo::new(id(&self.name), strictest, window)
        };
        service.slos.push(whole);
        service.slos.extend(all.into_iter().map(|(slo, _)| slo));
        service.slos.sort_by(|a, b| a.id.cmp(&b.id));
    }
}
