//! Probes per CPU-second: a bare loop over sockets, the whole path from schedule to ledger, and
//! blackbox_exporter where it is installed, alone and with the Prometheus that scrapes it.
//!
//! Counts the CPU time of whole processes, kernel included, by `/proc/PID/task/*/schedstat`. The
//! target is a process of its own, so that its time is nobody's.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nines::clock::Clock;
use nines::engine::schedule::Grid;
use nines::engine::{Counted, Effect, Engine, Options};
use nines::ledger::{self, Ledger, Upkeep, Writer};
use nines::model::check::{Connection, HttpCheck, HttpExpect, HttpVersion, TlsOptions};
use nines::model::{
    AlertPolicy, Catalog, Check, Latencies, Probe, ProbeId, Record, SeriesId, Service, Slo,
    Timestamp, Verdict,
};
use nines::probe::{Config, Prober, Report};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

#[path = "blackbox.rs"]
mod blackbox;
#[allow(clippy::duplicate_mod, reason = "the tests have two benches that start programs")]
#[path = "outside.rs"]
mod outside;

use outside::{Target, cpu, spent, total};

/// Tells a process that it is the target.
pub const SERVE: &str = "NINES_BENCH_PROBE_SERVE";
/// What the target says to whatever it is asked.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
/// Probes of one service, over which it has one SLO.
const PROBES_OF_SERVICE: usize = 10;
const VANTAGE: &str = "local";

/// How much to do.
pub struct Plan {
    /// How many probes are scheduled.
    pub probes: u32,
    /// From one start of a probe to the next.
    pub interval: Duration,
    /// Before anything is measured.
    pub warm_up: Duration,
    /// How long is measured.
    pub measured: Duration,
    /// Rounds of the bare loop.
    pub bare: u32,
    /// Probes by blackbox_exporter alone.
    pub blackbox: u32,
    /// Targets that Prometheus has it probe once a second, and for how long.
    pub scraped: (u32, Duration),
}

/// What came out.
pub struct Figures {
    /// A loop that connects, asks, reads and closes.
    pub bare: Cost,
    /// The whole path.
    pub full: Cost,
    /// The exporter alone, if it is installed.
    pub blackbox: Option<Cost>,
    /// The exporter and the Prometheus that scrapes it, if they are installed.
    pub scraped: Option<(Cost, Cost)>,
    /// Slots that were due while it was measured, and how many of them were good.
    pub n_slots: (u64, u64),
    /// Those that were not good, by what they were.
    pub others: BTreeMap<String, u64>,
    /// How late the starts were.
    pub lags: Latencies,
    /// Resident memory in KiB as it was measured, and the moments in seconds.
    pub memory: Vec<(f64, f64)>,
    /// The CPU time of the whole path by thread.
    pub threads: BTreeMap<String, u64>,
    setting: String,
}

/// The price of a number of probes.
pub struct Cost {
    /// How many.
    pub n: u64,
    /// CPU time of the process, in nanoseconds.
    pub nanos: u64,
}

impl Cost {
    fn micros_each(&self) -> f64 {
        self.nanos as f64 / 1_000.0 / self.n.max(1) as f64
    }
}

/// Measures everything; `target` starts this program so that it calls [`serve`].
pub fn run(plan: &Plan, target: Command) -> Figures {
    let target = start_target(target);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    bare(target.address, plan.bare / 10);
    let bare = bare(target.address, plan.bare);
    let mut figures = runtime.block_on(full(target.address, plan, directory.path()));
    figures.bare = bare;
    if blackbox::is_installed() && plan.blackbox > 0 {
        let directory = directory.path();
        figures.blackbox = Some(blackbox::alone(target.address, plan.blackbox, directory));
        let (n_targets, measured) = plan.scraped;
        let both = blackbox::scraped(target.address, n_targets, measured, directory);
        figures.scraped = Some((both.exporter, both.prometheus));
    }
    figures
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lag = |per_cent: u32| self.lags.quantile(per_cent * 10_000).unwrap_or_default();
        let (bare, full) = (self.bare.micros_each(), self.full.micros_each());
        let (n, good) = self.n_slots;
        writeln!(f, "{}", self.setting)?;
        writeln!(f, "bare loop:  {bare:6.1} µs CPU per probe ({} probes)", self.bare.n)?;
        writeln!(f, "whole path: {full:6.1} µs CPU per probe ({} probes)", self.full.n)?;
        for (name, nanos) in self.threads.iter().filter(|(_, nanos)| **nanos > 0) {
            let each = *nanos as f64 / 1_000.0 / self.full.n.max(1) as f64;
            writeln!(f, "  of which {name:<15} {each:6.1} µs")?;
        }
        if let Some(blackbox) = &self.blackbox {
            let (each, n) = (blackbox.micros_each(), blackbox.n);
            writeln!(f, "blackbox_exporter alone: {each:6.1} µs CPU per probe ({n} probes)")?;
        }
        if let Some((exporter, prometheus)) = &self.scraped {
            let (ours, theirs) = (exporter.micros_each(), prometheus.micros_each());
            let times = (ours + theirs) / full;
            writeln!(
                f,
                "blackbox_exporter {ours:.1} µs and the Prometheus that scrapes it {theirs:.1} µs \
                 CPU per probe ({} probes): {times:.1} times the whole path",
                exporter.n
            )?;
        }
        writeln!(f, "probes per CPU-second: {:.1} % of the bare loop's", 100.0 * bare / full)?;
        let (p50, p99) = (lag(50), lag(99));
        writeln!(f, "start lag: p50 {p50:.1?}, p99 {p99:.1?}; {good} of {n} slots good")?;
        self.others.iter().try_for_each(|(what, n)| writeln!(f, "  {n} slots {what}"))?;
        let (begin, end) = (self.memory.first(), self.memory.last());
        let kib = |at: Option<&(f64, f64)>| at.map_or(0.0, |(_, kib)| *kib);
        let slope = slope(&self.memory[self.memory.len() / 2..]) * 3_600.0;
        let (begin, end) = (kib(begin), kib(end));
        write!(f, "memory: from {begin:.0} to {end:.0} KiB; in the last half {slope:+.0} KiB/h")
    }
}

/// Resident memory of this process in KiB; 0 where the system does not tell.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

/// By how much the second rises with the first, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let rise: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    if spread > 0.0 { rise / spread } else { 0.0 }
}

/// A target in a process of its own.
fn start_target(mut command: Command) -> Target {
    command.env(SERVE, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().expect("starts");
    let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    // A test harness may have written to the same line.
    let address = lines.map_while(Result::ok).find_map(|line| {
        line.split_once("serving on ").and_then(|(_, address)| address.parse().ok())
    });
    Target { process, address: address.expect("it says where it serves") }
}

/// Answers every request on a free port until the standard input ends.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("serving on {}", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        let orphaned = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
        // However reading ends, nobody is there any more.
        let _ = orphaned.await;
    });
}

async fn answer(mut stream: tokio::net::TcpStream) {
    let mut heard = Vec::new();
    let mut chunk = [0; 2_048];
    while let Ok(n @ 1..) = stream.read(&mut chunk).await {
        heard.extend_from_slice(&chunk[..n]);
        if heard.ends_with(b"\r\n\r\n") {
            heard.clear();
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
}

/// Connects, asks, reads the answer and closes without a trace, `n` times, one after the other.
fn bare(to: SocketAddr, n: u32) -> Cost {
    let request =
        format!("GET / HTTP/1.1\r\nhost: {to}\r\nuser-agent: bare\r\naccept: */*\r\n\r\n");
    let before = cpu(std::process::id());
    for _ in 0..n {
        let mut stream = TcpStream::connect(to).expect("it listens");
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = [0; 1_024];
        let mut n_read = 0;
        while n_read < ANSWER.len() {
            n_read += stream.read(&mut answer[n_read..]).expect("it answers");
        }
        assert_eq!(&answer[..n_read], ANSWER);
    }
    Cost { n: n.into(), nanos: total(&spent(&before, &cpu(std::process::id()))) }
}

/// Services of some probes each, with one SLO over all of them.
fn catalog(to: SocketAddr, plan: &Plan) -> Catalog {
    let names: Vec<_> = (0..plan.probes).map(|n| format!("p{n}")).collect();
    let services = names.chunks(PROBES_OF_SERVICE).enumerate();
    let services = services.map(|(n, names)| service(to, plan, &format!("s{n}"), names)).collect();
    Catalog { services, policies: vec![AlertPolicy::workbook()], ..Catalog::default() }
}

fn service(to: SocketAddr, plan: &Plan, name: &str, probes: &[String]) -> Service {
    let id = |probe: &String| format!("{name}/{probe}").parse::<ProbeId>().expect("a name");
    let check = Check::Http(HttpCheck {
        url: format!("http://{to}/").parse().expect("a URL"),
        method: http::Method::GET,
        headers: Vec::new(),
        header_files: Vec::new(),
        body: None,
        expect: HttpExpect::default(),
        version: HttpVersion::Auto,
        tls: TlsOptions::default(),
        connection: Connection::Cold,
        max_body: 1 << 20,
    });
    let (interval, timeout) = (plan.interval, plan.interval);
    let probe = |name| Probe { id: id(name), check: check.clone(), interval, timeout };
    let slo = Slo {
        probes: probes.iter().map(id).collect(),
        latency_under: Some(Duration::from_millis(50)),
        policy: Some(AlertPolicy::workbook()),
        ..Slo::new(
            format!("{name}/available").parse().expect("a name"),
            "99.9%".parse().expect("an objective"),
            Duration::from_secs(30 * 86_400),
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
        probes: probes.iter().map(probe).collect(),
        slos: vec![slo],
    }
}

/// What became of the slots that are due while it is measured; bounded, however many they are.
struct Seen {
    /// Slots due from the first moment on and before the second count.
    between: [AtomicI64; 2],
    count: Mutex<Count>,
}

#[derive(Clone, Default)]
struct Count {
    n: u64,
    good: u64,
    /// Those that were not good, by what they were.
    others: BTreeMap<String, u64>,
    /// Of those that were started.
    lags: Latencies,
}

impl Count {
    fn add(&mut self, verdict: Verdict, n: u64) {
        self.n += n;
        let what = match verdict {
            Verdict::Good => {
                self.good += n;
                return;
            }
            Verdict::Bad(reason) => reason.word(),
            Verdict::Unknown(reason) => reason.word(),
            Verdict::Excluded => "excluded",
            Verdict::Counted(_) => "counted",
        };
        if n > 0 {
            *self.others.entry(what.to_owned()).or_default() += n;
        }
    }
}

impl Seen {
    fn new() -> Arc<Self> {
        let between = [AtomicI64::new(i64::MAX), AtomicI64::new(i64::MAX)];
        Arc::new(Seen { between, count: Mutex::default() })
    }

    fn set(&self, which: usize, at: Timestamp) {
        self.between[which].store(at.micros(), Ordering::SeqCst);
    }

    fn count(&self) -> Count {
        self.count.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts every slot that a report accounts for.
    fn see(&self, report: &Report) {
        let [from, until] = [0, 1].map(|which: usize| self.between[which].load(Ordering::SeqCst));
        let counts = |due: Timestamp| from <= due.micros() && due.micros() < until;
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        match report {
            Report::Observed(it) | Report::Doubted(it, _) if counts(it.due) => {
                count.add(it.verdict, 1);
                count.lags.record(it.lag);
            }
            Report::Observed(_) | Report::Doubted(..) => {}
            Report::Missed(_, run) | Report::Counted(Counted { run, .. }) => {
                let due = (0..run.n).map(|k| run.start.plus(run.step * k));
                count.add(run.verdict, due.filter(|due| counts(*due)).count() as u64);
            }
        }
    }
}

/// Schedule, probes, reports, engine and ledger, as in the daemon.
async fn full(to: SocketAddr, plan: &Plan, directory: &Path) -> Figures {
    let catalog = Arc::new(catalog(to, plan));
    let clock = Clock::start();
    let ledger = Ledger::open(&directory.join("ledger"), ledger::Options::default());
    let writer = Arc::new(Writer::start(ledger.expect("a new ledger"), clock).expect("a thread"));
    let ids = catalog.probes().map(|probe| (probe.id.clone(), VANTAGE.to_owned())).collect();
    let series = writer.series(ids).expect("the disk takes them");
    let of: BTreeMap<ProbeId, SeriesId> =
        catalog.probes().map(|probe| probe.id.clone()).zip(series).collect();
    let options = Options { vantage: VANTAGE.to_owned(), resend_delay: Duration::from_secs(60) };
    let mut engine = Engine::new(Arc::clone(&catalog), &of, options);
    let now = clock.now();
    let after = now.just_after();
    let first_due =
        |probe: &Probe| Grid::new(&probe.id, VANTAGE, probe.interval).first_due_at_or_after(after);
    keep(&writer, engine.start(first_due, now));
    let (sink, inbox) = mpsc::channel(256);
    let seen = Seen::new();
    let core = core(engine, Arc::clone(&writer), clock, Arc::clone(&seen), inbox);
    let probes = catalog.probes().map(|probe| (of[&probe.id], probe.clone())).collect();
    let config = Config { vantage: VANTAGE.to_owned(), ..Config::default() };
    let prober = Prober::start(probes, clock, config, now, sink).expect("a thread");

    tokio::time::sleep(plan.warm_up).await;
    seen.set(0, clock.now());
    let (before, mut memory) = (cpu(std::process::id()), Vec::new());
    for n in 0..MEMORY_SAMPLES {
        let at = plan.measured * n / MEMORY_SAMPLES;
        memory.push((at.as_secs_f64(), resident()));
        tokio::time::sleep(plan.measured / MEMORY_SAMPLES).await;
    }
    seen.set(1, clock.now());
    let after = cpu(std::process::id());
    prober.stop().await;
    core.join().expect("the engine ended well");
    writer.stop().expect("the disk took everything");
    Figures { memory, ..figures(plan, seen.count(), (&before, &after)) }
}

/// How often memory is looked at.
const MEMORY_SAMPLES: u32 = 60;

fn figures(
    plan: &Plan,
    seen: Count,
    (before, after): (&BTreeMap<String, u64>, &BTreeMap<String, u64>),
) -> Figures {
    let Count { n, good, others, lags } = seen;
    let n_slots = (n, good);
    let threads = spent(before, after);
    let full = Cost { n: lags.len(), nanos: total(&threads) };
    let bare = Cost { n: 0, nanos: 0 };
    let setting = format!(
        "{} cold HTTP/1.1 probes every {:?} of a target on the loopback; {} SLOs, each second",
        plan.probes,
        plan.interval,
        (plan.probes as usize).div_ceil(PROBES_OF_SERVICE)
    );
    let (blackbox, scraped, memory) = (None, None, Vec::new());
    Figures { bare, full, blackbox, scraped, n_slots, others, lags, memory, threads, setting }
}

fn keep(writer: &Writer, effects: Vec<Effect>) {
    let mut records: Vec<Record> = Vec::with_capacity(effects.len());
    let mut upkeep = None;
    for effect in effects {
        match effect {
            Effect::Append(record) => records.push(record),
            Effect::Compact(before) => upkeep = Some(Upkeep::Compact(before)),
            Effect::Notify(_) => {}
        }
    }
    writer.submit(records);
    upkeep.map(|upkeep| writer.maintain(upkeep));
}

/// The engine's thread.
fn core(
    mut engine: Engine,
    writer: Arc<Writer>,
    clock: Clock,
    seen: Arc<Seen>,
    mut inbox: mpsc::Receiver<Vec<Report>>,
) -> JoinHandle<()> {
    let work = async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                reports = inbox.recv() => {
                    let Some(reports) = reports else { return };
                    let mut effects = Vec::with_capacity(reports.len());
                    for report in reports {
                        seen.see(&report);
                        match report {
                            Report::Observed(it) | Report::Doubted(it, _) => {
                                engine.observe(it, &mut effects);
                            }
                            Report::Missed(series, run) => engine.miss(series, run, &mut effects),
                            Report::Counted(it) => engine.count(it, &mut effects),
                        }
                    }
                    keep(&writer, effects);
                }
                _ = ticks.tick() => keep(&writer, engine.tick(clock.now())),
            }
        }
    };
    let thread = std::thread::Builder::new().name("engine".to_owned());
    let thread = thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(work)
    });
    thread.expect("a thread")
}
