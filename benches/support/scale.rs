//! A platform of many SLOs with a month of history, measured: start, memory, ticks, scrapes.
//!
//! Everything but the filled ledger is what the daemon does at start and every second. The
//! invariants are asserted at any size; times are only printed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use nines::daemon::history;
use nines::engine::{self, Effect, Engine};
use nines::ledger::{Ledger, Options, Stretch};
use nines::model::check::{Check, Connection, HttpCheck, HttpExpect, HttpVersion, TlsOptions};
use nines::model::{
    AlertPolicy, BadReason, Catalog, Latencies, Name, Observation, Phases, Probe, ProbeId, Record,
    Run, SeriesId, Service, Slice, Slo, Tally, Timestamp, Verdict,
};
use nines::serve::exposition::{Exposition, Format};
use nines::serve::metrics;
use tokio::time::Instant;

const VANTAGE: &str = "local";
const STEP: Duration = Duration::from_secs(5);
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// How much the engine closes at a time.
const SLICE: i64 = 600;
const FIRST_DAY: i64 = 20_000 * DAY;
/// Every tenth SLO is about latency, in microseconds.
const THRESHOLD: u32 = 300_000;

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Services, each with one probe and one SLO.
    pub n_slos: u32,
    /// Whole days of history before the last one.
    pub days: u32,
    /// Ticks that are measured.
    pub n_ticks: u32,
}

impl Size {
    /// The moment at which history ends.
    fn now(self) -> i64 {
        FIRST_DAY + i64::from(self.days + 1) * DAY
    }

    fn catalog(self) -> Catalog {
        let policy = AlertPolicy::workbook();
        let services = (0..self.n_slos).map(|n| service(n, &policy)).collect();
        Catalog { services, policies: vec![policy], ..Catalog::default() }
    }
}

/// Names of a fixed width, so that they are in order.
fn service(n: u32, policy: &Arc<AlertPolicy>) -> Service {
    let name: Name = format!("service-{n:06}").parse().expect("a name");
    let probe = ProbeId::new(&name, &"front".parse().expect("a name"));
    let under = is_about_latency(n).then(|| Duration::from_micros(THRESHOLD.into()));
    let slo = if under.is_some() { "latency" } else { "availability" };
    let slo = Slo {
        probes: vec![probe.clone()],
        latency_under: under,
        policy: Some(Arc::clone(policy)),
        ..Slo::new(
            format!("{name}/{slo}").parse().expect("an id"),
            if under.is_some() { "99%" } else { "99.9%" }.parse().expect("an objective"),
            Duration::from_secs(30 * DAY.unsigned_abs()),
        )
    };
    let check = Check::Http(HttpCheck {
        url: format!("https://{name}.platform.example/healthz").parse().expect("a URL"),
        method: http::Method::GET,
        headers: Vec::new(),
        header_files: Vec::new(),
        body: None,
        expect: HttpExpect::default(),
        version: HttpVersion::Auto,
        tls: TlsOptions::default(),
        connection: Connection::Cold,
        max_body: 1_048_576,
    });
    let runbook = format!("https://runbooks.platform.example/{name}");
    Service {
        name,
        display_name: None,
        labels: BTreeMap::from([("team".to_owned(), format!("team-{:02}", n % 50))]),
        description: None,
        links: BTreeMap::from([("runbook".to_owned(), runbook)]),
        support: None,
        depends_on: Vec::new(),
        probes: vec![Probe { id: probe, check, interval: STEP, timeout: Duration::from_secs(2) }],
        slos: vec![slo],
    }
}

fn is_about_latency(n: u32) -> bool {
    n % 10 == 9
}

/// A fixed sequence: the same figures every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 33
    }

    /// Microseconds: the median is 20 ms, one in about 2,000 is above 300 ms.
    fn latency(&mut self) -> u64 {
        let unit = |n: u64| (n as f64 + 0.5) / (1_u64 << 31) as f64;
        let (a, b) = (unit(self.next()), unit(self.next()));
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        (20_000.0 * (0.82 * normal).exp()) as u64
    }
}

/// When the k-th slot after a moment is due: the phase of a series is its own.
fn due(n: u32, from: i64, k: i64) -> Timestamp {
    let phase = u64::from(n).wrapping_mul(2_654_435_761) % 5_000_000;
    Timestamp::from_secs(from + k * 5).plus(Duration::from_micros(phase))
}

/// The month as a ledger keeps it: day slices, hours of the last day, short slices of the last
/// hour, and observations of the last ten minutes. About one slot in 10,000 is bad, in outages of
/// 30 s, and where latency counts one in 2,000 is slow.
pub fn fill(path: &Path, size: Size) {
    let catalog = size.catalog();
    let mut ledger = open(path);
    let series = history::series_of(&mut ledger, &catalog, VANTAGE).expect("numbers");
    let series: Vec<SeriesId> = catalog.probes().map(|probe| series[&probe.id]).collect();
    let mut random = Random(7);
    let days = (0..i64::from(size.days)).map(|day| (FIRST_DAY + day * DAY, DAY));
    let today = size.now() - DAY;
    let short = (0..DAY / SLICE - 1).map(|slice| (today + slice * SLICE, SLICE));
    let mut some = |length| (0..64).map(|_| latencies(&mut random, length / 5)).collect();
    let (of_days, of_short): (Vec<Latencies>, Vec<Latencies>) = (some(DAY), some(SLICE));
    for (from, length) in days.chain(short) {
        let some = if length == DAY { &of_days } else { &of_short };
        for first in (0..size.n_slos).step_by(1_000) {
            let slices = (first..size.n_slos.min(first + 1_000)).map(|n| {
                let latencies = some[n as usize % some.len()].clone();
                let runs = runs(n, from, length, &mut random);
                let (start, end) =
                    (Timestamp::from_secs(from), Timestamp::from_secs(from + length));
                let thresholds = if is_about_latency(n) { vec![THRESHOLD] } else { Vec::new() };
                let series = series[n as usize];
                Record::Slice(Slice { series, start, end, thresholds, runs, latencies })
            });
            ledger.append(&slices.collect::<Vec<_>>()).expect("kept");
        }
    }
    let merging = Stopwatch::start();
    for hour in (today..size.now() - HOUR).step_by(HOUR as usize) {
        ledger.roll_up(Stretch::hour_of(Timestamp::from_secs(hour))).expect("rolls up");
    }
    println!("merging the slices of an hour: CPU {:.1?}", merging.cpu() / 23);
    let seconds: Vec<i64> = (size.now() - SLICE..size.now()).collect();
    // A small platform is not to wait for thousands of commits.
    for seconds in seconds.chunks((10_000 / size.n_slos as usize).clamp(1, 600)) {
        let observations =
            seconds.iter().flat_map(|at| observations(size, &series, *at, &mut random));
        let records: Vec<_> = observations.map(Record::Observation).collect();
        ledger.append(&records).expect("kept");
    }
    ledger.close().expect("closes");
}

fn open(path: &Path) -> Ledger {
    Ledger::open(path, Options { reserve_bytes: 0, ..Options::default() }).expect("opens")
}

fn latencies(random: &mut Random, n: i64) -> Latencies {
    let mut latencies = Latencies::default();
    (0..n).for_each(|_| latencies.record_micros(random.latency(), 1));
    latencies
}

/// Good slots with interruptions: an outage of six slots in every third or so day, and single
/// slow slots.
fn runs(n: u32, from: i64, length: i64, random: &mut Random) -> Vec<Run> {
    let n_slots = (length / 5).unsigned_abs();
    let mut breaks: Vec<(u64, u64, Verdict, u8)> = Vec::new();
    for slot in (0..n_slots).step_by(360) {
        if random.next().is_multiple_of(166) {
            breaks.push((slot, 6, Verdict::Bad(BadReason::Timeout), 0));
        }
        if is_about_latency(n) && random.next().is_multiple_of(6) {
            let after = random.next() % 300.min(n_slots - 30);
            breaks.push((slot + 20 + after, 1, Verdict::Good, 1));
        }
    }
    let mut runs = Vec::new();
    let mut push = |first: u64, n: u64, verdict, class| {
        if n > 0 {
            let start = due(0, from, 0).plus(STEP * u32::try_from(first).expect("one day"));
            let n = u32::try_from(n).expect("one day");
            runs.push(Run { start, step: STEP, n, verdict, class });
        }
    };
    let mut at = 0;
    for (first, length, verdict, class) in breaks {
        push(at, first - at, Verdict::Good, 0);
        push(first, length, verdict, class);
        at = first + length;
    }
    push(at, n_slots - at, Verdict::Good, 0);
    let phase = due(n, 0, 0).since(due(0, 0, 0));
    runs.into_iter().map(|run| Run { start: run.start.plus(phase), ..run }).collect()
}

/// The results of every slot that is due in the second that begins at `at`.
fn observations(size: Size, series: &[SeriesId], at: i64, random: &mut Random) -> Vec<Observation> {
    let (from, to) = (Timestamp::from_secs(at), Timestamp::from_secs(at + 1));
    let of = |n: u32| {
        let due = due(n, at - at.rem_euclid(5), 0);
        (from <= due && due < to).then(|| observation(series[n as usize], due, random))
    };
    (0..size.n_slos).filter_map(of).collect()
}

fn observation(series: SeriesId, due: Timestamp, random: &mut Random) -> Observation {
    let latency = random.latency();
    let part = |per_mille: u64| Duration::from_micros(latency * per_mille / 1_000);
    let bad = random.next().is_multiple_of(10_000);
    Observation {
        series,
        due,
        lag: Duration::from_micros(50 + random.next() % 400),
        latency: Some(Duration::from_micros(latency)),
        phases: Phases {
            dns: part(20),
            connect: part(180),
            tls: part(400),
            send: part(5),
            wait: part(350),
            receive: part(45),
        },
        verdict: if bad { Verdict::Bad(BadReason::Status) } else { Verdict::Good },
        detail: bad.then(|| "got 503, expected 200".into()),
        certificate_not_after: Some(Timestamp::from_secs(FIRST_DAY + 400 * DAY)),
    }
}

/// Starts with that history and does what the daemon does every second.
pub fn measure(path: &Path, size: Size) {
    let before = resident();
    let started = Stopwatch::start();
    let mut ledger = open(path);
    let opened = started.wall();
    let catalog = size.catalog();
    let known = history::series_of(&mut ledger, &catalog, VANTAGE).expect("numbers");
    let series: Vec<SeriesId> = catalog.probes().map(|probe| known[&probe.id]).collect();
    let options =
        engine::Options { vantage: VANTAGE.to_owned(), resend_delay: Duration::from_secs(60) };
    let mut engine = Engine::new(Arc::new(catalog), &known, options);
    let now = Timestamp::from_secs(size.now());
    history::restore(&mut ledger, &mut engine, now).expect("readable");
    let at = |probe: &Probe| {
        let n = probe.id.service().trim_start_matches("service-").parse().expect("a number");
        due(n, size.now(), 0)
    };
    let effects = engine.start(at, now);
    // What is promised is kept at a start; slots are not, for none is missing.
    let is_gap = |effect: &Effect| matches!(effect, Effect::Append(Record::Gap(..)));
    assert!(!effects.iter().any(is_gap), "history has no gap before now");
    let (wall, cpu) = (started.wall(), started.cpu());
    println!("start-up: {wall:.1?}, of which opening {opened:.1?}; CPU {cpu:.1?}");
    let first = Instant::now();
    drop(engine.tick(now));
    println!("first tick: {:.1?}", first.elapsed());
    let memory = resident().saturating_sub(before);
    println!("segments: {}", engine.segments());
    println!("memory: {} KiB, {:.2} KiB per SLO", memory, memory as f64 / f64::from(size.n_slos));
    ticks(&mut engine, size, &series);
    let memory = resident().saturating_sub(before);
    println!("memory: {:.2} KiB per SLO after the ticks", memory as f64 / f64::from(size.n_slos));
    scrapes(&engine);
    let memory = resident().saturating_sub(before);
    println!("memory: {:.2} KiB per SLO after scrapes", memory as f64 / f64::from(size.n_slos));
}

/// Resident memory of this process in KiB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn ticks(engine: &mut Engine, size: Size, series: &[SeriesId]) {
    let mut random = Random(11);
    let mut effects = Vec::new();
    let (mut times, mut cpus, mut observed) = (Vec::new(), Vec::new(), Duration::ZERO);
    let mut n_observed = 0;
    for second in 0..i64::from(size.n_ticks) {
        let observations = observations(size, series, size.now() + second, &mut random);
        n_observed += observations.len();
        let start = Instant::now();
        for observation in observations {
            engine.observe(observation, &mut effects);
        }
        observed += start.elapsed();
        effects.clear();
        let now = Timestamp::from_secs(size.now() + second + 1);
        let start = Stopwatch::start();
        let told = engine.tick(now);
        times.push(start.wall());
        cpus.push(start.cpu());
        drop(told);
    }
    assert_eq!(engine.stats(), engine::EngineStats::default(), "every slot came once, in order");
    for (n, state) in engine.slos().iter().enumerate() {
        let status = state.status.as_ref().expect("it was evaluated");
        assert_eq!(status.totals, total(engine, state), "{n}");
        let first = due(u32::try_from(n).expect("few"), FIRST_DAY, 0);
        let expect = status.at.since(first).as_micros().div_ceil(STEP.as_micros());
        let scheduled = u128::from(status.totals.scheduled());
        assert_eq!(scheduled, expect, "SLO {n}: every slot is there once");
    }
    let all: Duration = times.iter().sum();
    times.sort();
    cpus.sort();
    let (min, median, max) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    let mean = all / size.n_ticks;
    println!("tick: min {min:.2?}, median {median:.2?}, mean {mean:.2?}, max {max:.2?}");
    println!("tick, CPU: median {:.2?}", cpus[cpus.len() / 2]);
    println!("taking an observation: {:.0?}", observed / u32::try_from(n_observed).unwrap_or(1));
}

fn total(engine: &Engine, state: &engine::SloState) -> Tally {
    let status = state.status.as_ref().expect("it was evaluated");
    engine.histories(state).before(status.at)
}

fn scrapes(engine: &Engine) {
    for (format, name) in [
        (Format::Text, "text"),
        (Format::OpenMetrics, "OpenMetrics"),
        (Format::Protobuf, "protobuf"),
    ] {
        let text = scrape(engine, name, || Exposition::new(format));
        let zipped = scrape(engine, "gzip", || Exposition::new(format).gzipped());
        let mut unzipped = Vec::new();
        let read = GzDecoder::new(&zipped[..]).read_to_end(&mut unzipped);
        read.expect("it is whole");
        assert!(text == unzipped, "both say the same");
        if format == Format::Protobuf {
            continue;
        }
        let n_lines = text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
        // Behind the last line end there is nothing.
        assert_eq!(n_lines.count() - 1, metrics::series_count(engine.catalog()));
    }
}

/// Scrapes five times; the times are medians.
fn scrape(engine: &Engine, how: &str, begin: impl Fn() -> Exposition) -> Vec<u8> {
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    let mut body = Vec::new();
    for _ in 0..5 {
        drop(std::mem::take(&mut body));
        let start = Stopwatch::start();
        let mut out = begin();
        metrics::write(&mut out, engine, &[]);
        let n_samples = out.n_samples();
        body = out.finish().expect("there is no deadline");
        walls.push(start.wall());
        cpus.push(start.cpu());
        // A platform without a forecast or without events has fewer.
        let expect = metrics::series_count(engine.catalog());
        assert_eq!(n_samples, expect, "everything has data");
    }
    walls.sort();
    cpus.sort();
    let n_bytes = body.len();
    println!("scrape, {how}: {:.1?}, CPU {:.1?}, {n_bytes} bytes", walls[2], cpus[2]);
    body
}

/// Wall time and the CPU time of this process, all its threads included.
struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        Stopwatch { wall: Instant::now(), cpu: cpu() }
    }

    fn wall(&self) -> Duration {
        self.wall.elapsed()
    }

    fn cpu(&self) -> Duration {
        cpu().saturating_sub(self.cpu)
    }
}

fn cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or(0))
}
