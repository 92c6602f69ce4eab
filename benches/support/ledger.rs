//! What the ledger costs: bytes, commits, and starting with a month of history.

use std::path::Path;
use std::time::Duration;

use hdrhistogram::serialization::{Serializer, V2DeflateSerializer, V2Serializer};
use nines::ledger::{Ledger, Options, Reader, Stretch};
use nines::model::{
    BadReason, Latencies, Observation, Phases, Record, Run, SeriesId, Slice, Timestamp, Verdict,
};
use tokio::time::Instant;

/// Time between two probes of a series.
const STEP: Duration = Duration::from_secs(5);
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const FIRST_DAY: i64 = 20_000 * DAY;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Series, each with a slot every five seconds.
    pub series: u32,
    /// Days of history.
    pub days: u32,
    /// Commits of one observation, and of a second of all series.
    pub commits: (i64, i64),
}

/// Fills a ledger with healthy history and measures it.
pub fn run(plan: Plan) {
    let Plan { series, days, .. } = plan;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut random = Random(7);
    histograms(&mut random);
    commits(directory.path(), plan, &mut random);
    let path = directory.path().join("month");
    fill(&path, series, i64::from(days), &mut random);
    start(&path, series, i64::from(days));
}

fn open(path: &Path) -> Ledger {
    let options = Options { reserve_bytes: 0, ..Options::default() };
    Ledger::open(path, options).expect("opens")
}

/// A fixed sequence: the same figures every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 33
    }

    fn unit(&mut self) -> f64 {
        (self.next() as f64 + 0.5) / (1_u64 << 31) as f64
    }

    /// Microseconds, log-normal: median 20 ms, sigma 0.5.
    fn latency(&mut self) -> u64 {
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        (20_000.0 * (0.5 * normal).exp()) as u64
    }

    fn latencies(&mut self, n: i64) -> Latencies {
        let mut latencies = Latencies::default();
        (0..n).for_each(|_| latencies.record_micros(self.latency(), 1));
        latencies
    }
}

/// One observation of a healthy HTTPS target, with all its phases.
fn observation(series: u32, due: Timestamp, random: &mut Random) -> Record {
    let micros = |n: u64| Duration::from_micros(n);
    let latency = random.latency();
    let part = |per_mille: u64| micros(latency * per_mille / 1_000);
    let phases = Phases {
        dns: part(20),
        connect: part(180),
        tls: part(400),
        send: part(5),
        wait: part(350),
        receive: part(45),
    };
    let bad = random.next().is_multiple_of(10_000);
    Record::Observation(Observation {
        series: SeriesId(series),
        due,
        lag: micros(50 + random.next() % 400),
        latency: Some(micros(latency)),
        phases,
        verdict: if bad { Verdict::Bad(BadReason::Status) } else { Verdict::Good },
        detail: bad.then(|| "got 503, expected 200".into()),
        certificate_not_after: Some(Timestamp::from_secs(FIRST_DAY + i64::from(series % 97) * DAY)),
    })
}

/// When a series is due for the k-th time after a moment: its phase is its own.
fn due(series: u32, from: i64, k: i64) -> Timestamp {
    let phase = u64::from(series).wrapping_mul(2_654_435_761) % 5_000_000;
    Timestamp::from_secs(from + k * 5).plus(Duration::from_micros(phase))
}

/// A slice without a failure, or with one of 30 s.
fn slice(series: u32, from: i64, to: i64, outage: bool, latencies: Latencies) -> Record {
    let n = u32::try_from((to - from) / 5).expect("short");
    let run = |first: u32, n, verdict| {
        let start = due(series, from, i64::from(first));
        Run { start, step: STEP, n, verdict, class: 0 }
    };
    let runs = if outage {
        let bad = run(100, 6, Verdict::Bad(BadReason::Timeout));
        vec![run(0, 100, Verdict::Good), bad, run(106, n - 106, Verdict::Good)]
    } else {
        vec![run(0, n, Verdict::Good)]
    };
    let (start, end) = (Timestamp::from_secs(from), Timestamp::from_secs(to));
    let thresholds = vec![300_000];
    Record::Slice(Slice { series: SeriesId(series), start, end, thresholds, runs, latencies })
}

/// The ledger's histograms beside HdrHistogram's own interchange format.
fn histograms(random: &mut Random) {
    println!("bytes of a histogram (log-normal, 3 digits): ours | V2 | V2 deflated");
    for n in [0_i64, 60, 720, 3_600, 17_280, 86_400] {
        let latencies = random.latencies(n);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let with = slice(1, 0, 3_600, false, latencies.clone());
        let without = slice(1, 0, 3_600, false, Latencies::default());
        let mut ledger = open(directory.path());
        let bytes = |ledger: &mut Ledger, record| ledger.append(&[record]).expect("kept").bytes;
        let ours = bytes(&mut ledger, with) - bytes(&mut ledger, without);
        let hdr = latencies.to_hdr();
        let (mut v2, mut deflated) = (Vec::new(), Vec::new());
        V2Serializer::new().serialize(&hdr, &mut v2).expect("serializes");
        V2DeflateSerializer::new().serialize(&hdr, &mut deflated).expect("serializes");
        println!("  {n:>6} samples: {ours:>5} | {:>5} | {:>5}", v2.len(), deflated.len());
    }
}

/// Group commits of one second of all series, and of one failure.
fn commits(directory: &Path, plan: Plan, random: &mut Random) {
    let mut ledger = open(&directory.join("commits"));
    let n = plan.series.div_ceil(5);
    let mut seconds = |n: u32, rounds: i64| {
        let mut times = Vec::new();
        let mut bytes = 0;
        for k in 0..rounds {
            let records: Vec<_> =
                (0..n).map(|series| observation(series, due(series, k, 0), random)).collect();
            let start = Instant::now();
            bytes += ledger.append(&records).expect("kept").bytes;
            times.push(start.elapsed());
        }
        times.sort();
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("commit of {n} observations: p50 {p50:.1?}, p99 {p99:.1?}");
        bytes as f64 / f64::from(n) / rounds as f64
    };
    seconds(1, plan.commits.0);
    let bytes = seconds(n, plan.commits.1);
    println!("bytes per observation in a batch: {bytes:.1}");
}

/// Days of day slices, a day of hour slices, and an hour of observations.
fn fill(path: &Path, series: u32, days: i64, random: &mut Random) {
    let mut ledger = open(path);
    let some: Vec<_> = (0..64).map(|_| random.latencies(DAY / 5)).collect();
    for day in 0..days {
        let from = FIRST_DAY + day * DAY;
        for first in (0..series).step_by(1_000) {
            let records: Vec<_> = (first..series.min(first + 1_000))
                .map(|s| {
                    let latencies = some[(s as usize + day as usize) % some.len()].clone();
                    slice(s, from, from + DAY, random.next().is_multiple_of(20), latencies)
                })
                .collect();
            ledger.append(&records).expect("kept");
        }
    }
    let month = ledger.bytes_on_disk();
    let some: Vec<_> = (0..64).map(|_| random.latencies(HOUR / 5)).collect();
    let today = FIRST_DAY + days * DAY;
    let mut times = Vec::new();
    for hour in 0..23 {
        let from = today + hour * HOUR;
        let records: Vec<_> = (0..series)
            .map(|s| slice(s, from, from + HOUR, false, some[s as usize % some.len()].clone()))
            .collect();
        let start = Instant::now();
        ledger.append(&records).expect("kept");
        times.push(start.elapsed());
    }
    times.sort();
    println!("commit of {series} hour slices: p50 {:.1?}", times[times.len() / 2]);
    let now = today + 23 * HOUR;
    for second in 0..HOUR {
        let (phase, k) = (second % 5, second / 5);
        let due_now = (0..series).filter(|s| i64::from(s % 5) == phase);
        let records: Vec<_> = due_now.map(|s| observation(s, due(s, now, k), random)).collect();
        ledger.append(&records).expect("kept");
    }
    let all = ledger.bytes_on_disk();
    let per_series = month as f64 / f64::from(series) / days as f64 * 30.0 / 1_048_576.0;
    println!("on disk: {} MB, of which day slices {} MB", all >> 20, month >> 20);
    println!("day slices of a series and month: {per_series:.3} MiB");
    ledger.close().expect("closes");
}

/// Starting with that history, and asking for latencies.
fn start(path: &Path, series: u32, days: i64) {
    let since = Timestamp::from_secs(FIRST_DAY);
    let mut ledger = timed("open", || open(path));
    let mut slots = 0;
    let report = timed("restore everything", || {
        let mut count = |piece: nines::ledger::Restored<'_>| match piece {
            nines::ledger::Restored::Slice { runs, .. } => {
                slots += runs.iter().map(|run| u64::from(run.n)).sum::<u64>();
            }
            nines::ledger::Restored::Observation(_) => slots += 1,
            _ => {}
        };
        ledger.restore(since, &mut count).expect("readable")
    });
    println!("  {} slices, {} observations", report.slices, report.observations);
    let expect = (days * DAY + DAY) as u64 / 5 * u64::from(series);
    assert_eq!((slots, report.damage.len()), (expect, 0), "every slot is there once");
    let newest = Timestamp::from_secs(FIRST_DAY + days * DAY + 23 * HOUR);
    timed("restore the last hour only", || ledger.restore(newest, &mut |_| {}).expect("readable"));
    let reader = timed("open to read", || Reader::open(path).expect("opens"));
    let latencies = timed("latencies of one series over all slices", || {
        reader.latencies(SeriesId(7), since, newest).expect("readable")
    });
    assert_eq!(latencies.latencies.len(), (days * DAY + 23 * HOUR) as u64 / 5);
    let today = Timestamp::from_secs(FIRST_DAY + days * DAY);
    let mut steps = Vec::new();
    let start = Instant::now();
    let mut more = true;
    while more {
        let step = Instant::now();
        more = ledger.roll_up_step(Stretch::day_of(today)).expect("rolls up").more;
        steps.push(step.elapsed());
    }
    let longest = steps.iter().max().expect("at least one");
    println!("roll up a day: {:.1?}, longest step {longest:.1?}", start.elapsed());
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    loop {
        let step = Instant::now();
        let more = ledger.expire(Timestamp::from_secs(FIRST_DAY + DAY)).expect("expires").more;
        longest = longest.max(step.elapsed());
        if !more {
            break;
        }
    }
    println!("expire a day: {:.1?}, longest step {longest:.1?}", start.elapsed());
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    println!("{what}: {:.1?}", start.elapsed());
    done
}
