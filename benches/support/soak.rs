//! The engine over simulated weeks: how much history it holds at the end of each day.
//!
//! Windows of three days and the days that are held beyond them fill up in a week; from then on
//! nothing may grow, whatever the targets do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nines::engine::{self, Engine};
use nines::model::check::TcpCheck;
use nines::model::{
    AlertPolicy, BadReason, Catalog, Check, Observation, Phases, Probe, ProbeId, SeriesId, Service,
    Slo, Timestamp, Verdict,
};

const DAY: Duration = Duration::from_secs(86_400);
/// How much more is held than the window of an SLO and its alerts: [`Engine::memory`] says it.
const WINDOW: Duration = Duration::from_secs(3 * 86_400);

/// What a target is called, and whether a slot is good: its number, and how many a day has.
pub type Kind = (&'static str, fn(u32, u32) -> bool);

/// Targets of every temper.
pub const KINDS: [Kind; 3] = [
    ("healthy", |_, _| true),
    ("an outage a day", |slot, a_day| slot % a_day >= 6),
    ("flapping", |slot, _| slot.is_multiple_of(2)),
];

/// How much to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub n_series: u32,
    /// From one slot to the next, in seconds.
    pub interval: u32,
    pub days: u32,
}

/// What was held at the end of a day.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Runs of slots in memory, the most of the day.
    pub segments: usize,
    /// Resident memory of this process in KiB, the most of the day.
    pub kib: u64,
}

/// How many days it takes until as much is held as ever will be.
pub fn full_after() -> u32 {
    // The window and four days.
    (WINDOW.as_secs() / DAY.as_secs()) as u32 + 4
}

/// Simulates, and says what was held day by day.
pub fn run((_, is_good): Kind, plan: Plan) -> Vec<Held> {
    let catalog = catalog(plan);
    let of: BTreeMap<ProbeId, SeriesId> =
        catalog.probes().zip(0..).map(|(probe, n)| (probe.id.clone(), SeriesId(n))).collect();
    let options = engine::Options { vantage: "local".to_owned(), resend_delay: DAY };
    let mut engine = Engine::new(Arc::new(catalog), &of, options);
    assert_eq!(engine.memory(), DAY * full_after());
    let begin = Timestamp::from_secs(20_000 * 86_400);
    engine.start(|_| begin, begin);
    let (mut days, mut effects) = (Vec::new(), Vec::new());
    let a_day = 86_400 / plan.interval;
    // Four ticks a day: each looks at every second of the last ten minutes, which is what takes
    // time here, and forgets what no window reaches any more.
    let a_tick = a_day / 4;
    for day in 0..plan.days {
        let mut held = Held { segments: 0, kib: 0 };
        for slot in day * a_day..(day + 1) * a_day {
            let due = begin.plus(Duration::from_secs((slot * plan.interval).into()));
            let good = is_good(slot, a_day);
            for n in 0..plan.n_series {
                engine.observe(observation(SeriesId(n), due, good, slot), &mut effects);
                effects.clear();
            }
            if (slot + 1).is_multiple_of(a_tick) {
                held.segments = held.segments.max(engine.segments());
                held.kib = held.kib.max(resident());
                drop(engine.tick(due.plus(Duration::from_secs(1))));
            }
        }
        days.push(held);
    }
    days
}

fn catalog(plan: Plan) -> Catalog {
    let (policy, interval) = (AlertPolicy::workbook(), Duration::from_secs(plan.interval.into()));
    let service = |n: u32| {
        let name = format!("s{n}");
        let id: ProbeId = format!("{name}/p").parse().expect("a name");
        let endpoint = "127.0.0.1:1".parse().expect("an endpoint");
        let check = Check::Tcp(TcpCheck { endpoint, send: None, expect: None });
        let slo = Slo {
            probes: vec![id.clone()],
            policy: Some(Arc::clone(&policy)),
            ..Slo::new(
                format!("{name}/available").parse().expect("a name"),
                "99.9%".parse().expect("an objective"),
                WINDOW,
            )
        };
        Service {
            name: name.parse().expect("a name"),
            display_name: None,
            labels: BTreeMap::new(),
            description: None,
            links: BTreeMap::new(),
            support: None,
            depends_on: Vec::new(),
            probes: vec![Probe { id, check, interval, timeout: interval }],
            slos: vec![slo],
        }
    };
    Catalog {
        services: (0..plan.n_series).map(service).collect(),
        policies: vec![Arc::clone(&policy)],
        ..Catalog::default()
    }
}

fn observation(series: SeriesId, due: Timestamp, is_good: bool, slot: u32) -> Observation {
    // A thousand different latencies, so that histograms of the open slice are full.
    let latency = Duration::from_micros(u64::from(slot.wrapping_mul(2_654_435_761) % 1_000) * 37);
    let verdict = if is_good { Verdict::Good } else { Verdict::Bad(BadReason::Connect) };
    Observation {
        series,
        due,
        lag: Duration::ZERO,
        latency: Some(latency),
        phases: Phases::default(),
        verdict,
        detail: None,
        certificate_not_after: None,
    }
}

/// Resident memory of this process in KiB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Prints what was held at the end of some days.
pub fn print((name, _): Kind, plan: Plan, days: &[Held]) {
    println!("{name}: {} series, a slot every {} s", plan.n_series, plan.interval);
    for (day, held) in days.iter().enumerate().filter(|(day, _)| day % 2 == 0) {
        println!("  day {:2}: {:7} runs, {:7} KiB resident", day + 1, held.segments, held.kib);
    }
}
