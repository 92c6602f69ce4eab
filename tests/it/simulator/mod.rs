//! A seeded simulator: months of outages, stalls, crashes and clock steps in minutes.
//!
//! The real engine and the real schedule live in a world whose truth the oracle knows. It states:
//! no bad slot without a fault of its target; no outage longer than an interval missed by a
//! healthy monitor; good + bad + unknown + excluded = scheduled; what was durable survives; every
//! window equals a count of single slots; no alert without its reason, none later than its
//! formula. A failure prints its seed, which replays it.

mod alerts;
mod chance;
mod composites;
mod exact;
mod joint;
mod line;
mod monitor;
mod oracle;
mod process;
mod store;
mod target;
mod wire;
mod world;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};

use monitor::Simulation;
use oracle::Score;
use store::Store;
use world::{Size, World};

/// Microseconds.
const MS: i64 = 1_000;
const SECOND: i64 = 1_000 * MS;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Simulated hours of one run of the tests, unless `NINES_SIM_HOURS` says otherwise: 10,000 for
/// a release.
const HOURS: f64 = 200.0;

/// A world of a change: hours to days.
const SMALL: Size = Size { slots: 20_000, longest: 3 * DAY };
/// A world of a release: longer than any window, where its probes are slow enough.
const LARGE: Size = Size { slots: 200_000, longest: 45 * DAY };
/// A world that is lived through more than once.
const TINY: Size = Size { slots: 3_000, longest: 2 * HOUR };

/// Something that is not as it must be.
#[derive(Debug)]
struct Fault {
    /// True time.
    at: i64,
    what: String,
}

/// What came of one world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lived {
    score: Score,
    /// Processes that there were.
    lives: u64,
    /// Of everything the engine answered, if that was asked for.
    digest: Option<u64>,
}

/// Lives through one world.
fn live(world: &World, store: Store, digest: bool) -> Result<Lived, Fault> {
    let mut simulation = Simulation::new(world, store);
    simulation.digest = digest.then_some(0);
    let ran = catch_unwind(AssertUnwindSafe(|| simulation.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
        Err(Fault { at: simulation.now(), what: format!("a panic: {text}") })
    });
    let (score, lives) = (simulation.oracle.score, simulation.lives);
    ran.map(|()| Lived { score, lives, digest: simulation.digest })
}

/// Lives through the world of a seed; explains a failure with as few events as cause it.
fn try_seed(seed: u64, size: Size) -> (World, Lived) {
    let world = World::new(seed, size);
    let fault = match live(&world, Store::model(), false) {
        Ok(lived) => return (world, lived),
        Err(fault) => fault,
    };
    println!("world {seed} fails: {}", fault.what);
    let size = if size == LARGE { "NINES_SIM_HOURS=10000 " } else { "" };
    let (world, fault) = smaller(world, fault);
    let last = world.events.len().saturating_sub(TOLD);
    let events = world.events[last..].iter().map(|(at, event)| {
        format!("\n  {:>12.6} s {event:?}", (at - world.from) as f64 / SECOND as f64)
    });
    panic!(
        "world {seed}, {:.6} s after its beginning: {}\nwhat befell the monitor: {}\n\
         to see it again: {size}NINES_SIM_SEED={seed} cargo test --test it -- simulator",
        (fault.at - world.from) as f64 / SECOND as f64,
        fault.what,
        events.collect::<String>(),
    );
}

/// Takes away whatever is not needed for a failure: all that comes later, then ever smaller
/// stretches of events.
fn smaller(mut world: World, mut fault: Fault) -> (World, Fault) {
    world.events.retain(|(at, _)| *at <= fault.at);
    let (mut stretch, mut tries) = (world.events.len().div_ceil(2), TRIES);
    while stretch > 0 && tries > 0 {
        let mut end = world.events.len();
        while end > 0 && tries > 0 {
            let start = end.saturating_sub(stretch);
            let mut less = world.clone();
            less.events.drain(start..end);
            less.to = less.to.min(fault.at + HOUR);
            if let Err(other) = live(&less, Store::model(), false) {
                (world, fault) = (less, other);
            }
            (end, tries) = (start, tries - 1);
        }
        stretch /= 2;
    }
    (world, fault)
}

/// How many of the last events are told.
const TOLD: usize = 60;

/// How often a failing world is lived through again to make it smaller.
const TRIES: u32 = 60;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn the_engine_tells_the_truth_about_every_world() {
    let hours = number("NINES_SIM_HOURS").map_or(HOURS, |hours| hours as f64);
    let size = if hours > HOURS { LARGE } else { SMALL };
    if let Some(seed) = number("NINES_SIM_SEED") {
        println!("world {seed}: {:?}", try_seed(seed, size).1);
        return;
    }
    let (mut lived, mut all) = (0.0, Lived::default());
    for seed in 0.. {
        let (world, of_world) = try_seed(seed, size);
        lived += world.hours();
        all.score.add(&of_world.score);
        all.lives += of_world.lives;
        if lived >= hours {
            println!("{} worlds, {lived:.0} hours: {all:?}", seed + 1);
            break;
        }
    }
    let Score { slots, owed, due_alerts, alerts, windows, joint, overtaken: _ } = all.score;
    let enough = [slots.good, slots.bad, slots.unknown, owed, due_alerts, alerts, windows, joint];
    assert!(enough.iter().all(|n| *n > 20), "the worlds were too quiet: {all:?}");
}

#[test]
fn the_same_seed_gives_the_same_effects_to_the_byte() {
    for seed in 100..103 {
        let world = World::new(seed, TINY);
        let lives = [(); 2].map(|()| live(&world, Store::model(), true).expect("no fault"));
        assert_eq!(lives[0], lives[1], "world {seed}");
    }
}

#[test]
fn the_ledger_keeps_what_its_model_promises() {
    for seed in 200..204 {
        let world = World::new(seed, TINY);
        let of_model = live(&world, Store::model(), true).expect("no fault");
        let of_ledger = live(&world, Store::real(), true).expect("no fault");
        assert_eq!(of_model, of_ledger, "world {seed}");
    }
}
