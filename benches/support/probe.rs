//! Probes per CPU-second: a bare loop over sockets, the whole path from schedule to ledger, and
//! blackbox_exporter where it is installed.
//!
//! Counts the CPU time of whole processes, kernel included, by `/proc/PID/task/*/schedstat`. The
//! target is a process of its own, so that its time is nobody's.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nines::clock::Clock;
use nines::engine::schedule::Grid;
use nines::engine::{Counted, Effect, Engine, Options};
use nines::ledger::{self, Ledger, Writer};
use nines::model::check::{Connection, HttpCheck, HttpExpect, HttpVersion, TlsOptions};
use nines::model::{
    AlertPolicy, Catalog, Check, Outcome, Probe, ProbeId, Record, SeriesId, Service, Slo, Timestamp,
};
use nines::probe::{Config, Prober, Report};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// Tells a process that it is the target.
pub const SERVE: &str = "NINES_BENCH_PROBE_SERVE";
/// What the target says to whatever it is asked.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
/// Probes of one service, over which it has one SLO.
const PROBES_OF_SERVICE: usize = 10;
const VANTAGE: &str = "local";
const BLACKBOX: &str = "/usr/bin/prometheus-blackbox-exporter";

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
    /// Probes by blackbox_exporter.
    pub blackbox: u32,
}

/// What came out.
pub struct Figures {
    /// A loop that connects, asks, reads and closes.
    pub bare: Cost,
    /// The whole path.
    pub full: Cost,
    /// The exporter alone, if it is installed.
    pub blackbox: Option<Cost>,
    /// Slots that were due while it was measured, and how many of them were good.
    pub n_slots: (u64, u64),
    /// How late the starts were, ascending.
    pub lags: Vec<Duration>,
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
    let target = Target::start(target);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    bare(target.address, plan.bare / 10);
    let bare = bare(target.address, plan.bare);
    let mut figures = runtime.block_on(full(target.address, plan, directory.path()));
    figures.bare = bare;
    let exporter = Path::new(BLACKBOX).exists() && plan.blackbox > 0;
    figures.blackbox = exporter.then(|| blackbox(target.address, plan, directory.path()));
    figures
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lag = |per_cent: usize| self.lags.get(self.lags.len() * per_cent / 100).copied();
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
            writeln!(f, "blackbox_exporter: {each:6.1} µs CPU per probe ({n} probes)")?;
        }
        writeln!(f, "probes per CPU-second: {:.1} % of the bare loop's", 100.0 * bare / full)?;
        let (p50, p99) = (lag(50).unwrap_or_default(), lag(99).unwrap_or_default());
        write!(f, "start lag: p50 {p50:.1?}, p99 {p99:.1?}; {good} of {n} slots good")
    }
}

/// CPU nanoseconds of every thread that a process has now, added up by name; empty where the
/// system does not tell.
fn cpu(pid: u32) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let nanos = read("schedstat").split(' ').next().and_then(|n| n.parse::<u64>().ok());
        *all.entry(read("comm").trim().to_owned()).or_default() += nanos.unwrap_or_default();
    }
    all
}

fn total(cpu: &BTreeMap<String, u64>) -> u64 {
    cpu.values().sum()
}

/// A target in a process of its own, ended when dropped.
struct Target {
    process: Child,
    address: SocketAddr,
}

impl Target {
    fn start(mut command: Command) -> Self {
        command.env(SERVE, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        // A test harness may have written to the same line.
        let address = lines.map_while(Result::ok).find_map(|line| {
            line.split_once("serving on ").and_then(|(_, address)| address.parse().ok())
        });
        Target { process, address: address.expect("it says where it serves") }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It is gone already, or it goes now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
    let before = total(&cpu(std::process::id()));
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
    Cost { n: n.into(), nanos: total(&cpu(std::process::id())) - before }
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
        id: format!("{name}/available").parse().expect("a name"),
        display_name: None,
        description: None,
        probes: probes.iter().map(id).collect(),
        latency_under: Some(Duration::from_millis(50)),
        source: None,
        min_coverage: None,
        notify: Vec::new(),
        objective: "99.9%".parse().expect("an objective"),
        window: Duration::from_secs(30 * 86_400).into(),
        method: nines::model::catalog::Method::Occurrences,
        unknown: Default::default(),
        policy: Some(AlertPolicy::workbook()),
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

/// A slot's due time, how late it was started if it was, and whether it was good.
type Seen = (Timestamp, Option<Duration>, bool);

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
    let after = now.plus(Duration::from_micros(1));
    let first_due =
        |probe: &Probe| Grid::new(&probe.id, VANTAGE, probe.interval).first_due_at_or_after(after);
    keep(&writer, engine.start(first_due, now));
    let (sink, inbox) = mpsc::channel(256);
    let core = core(engine, Arc::clone(&writer), clock, inbox);
    let probes = catalog.probes().map(|probe| (of[&probe.id], probe.clone())).collect();
    let config = Config { vantage: VANTAGE.to_owned(), ..Config::default() };
    let prober = Prober::start(probes, clock, config, now, sink).expect("a thread");

    tokio::time::sleep(plan.warm_up).await;
    let (from, before) = (clock.now(), cpu(std::process::id()));
    tokio::time::sleep(plan.measured).await;
    let (until, after) = (clock.now(), cpu(std::process::id()));
    prober.stop().await;
    let seen = core.join().expect("the engine ended well");
    writer.stop().expect("the disk took everything");
    figures(plan, seen, (from, until), (&before, &after))
}

fn figures(
    plan: &Plan,
    mut seen: Vec<Seen>,
    (from, until): (Timestamp, Timestamp),
    (before, after): (&BTreeMap<String, u64>, &BTreeMap<String, u64>),
) -> Figures {
    seen.retain(|(due, ..)| from <= *due && *due < until);
    let mut lags: Vec<_> = seen.iter().filter_map(|(_, lag, _)| *lag).collect();
    lags.sort();
    let n_slots = (seen.len() as u64, seen.iter().filter(|(.., good)| *good).count() as u64);
    let spent = |(name, nanos): (&String, &u64)| {
        (name.clone(), nanos - before.get(name).copied().unwrap_or_default())
    };
    let threads = after.iter().map(spent).collect();
    let full = Cost { n: lags.len() as u64, nanos: total(after) - total(before) };
    let bare = Cost { n: 0, nanos: 0 };
    let setting = format!(
        "{} cold HTTP/1.1 probes every {:?} of a target on the loopback; {} SLOs, each second",
        plan.probes,
        plan.interval,
        (plan.probes as usize).div_ceil(PROBES_OF_SERVICE)
    );
    Figures { bare, full, blackbox: None, n_slots, lags, threads, setting }
}

fn keep(writer: &Writer, effects: Vec<Effect>) {
    let record = |effect| match effect {
        Effect::Append(record) => Some(record),
        _ => None,
    };
    let records: Vec<Record> = effects.into_iter().filter_map(record).collect();
    writer.submit(records);
}

/// The engine's thread; answers with everything that it saw.
fn core(
    mut engine: Engine,
    writer: Arc<Writer>,
    clock: Clock,
    mut inbox: mpsc::Receiver<Vec<Report>>,
) -> JoinHandle<Vec<Seen>> {
    let work = async move {
        let mut seen = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                reports = inbox.recv() => {
                    let Some(reports) = reports else { return seen };
                    let mut effects = Vec::with_capacity(reports.len());
                    for report in reports {
                        seen.extend(see(&report));
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

/// Every slot that a report accounts for.
fn see(report: &Report) -> Vec<Seen> {
    match report {
        Report::Observed(it) | Report::Doubted(it, _) => {
            vec![(it.due, Some(it.lag), it.verdict.outcome() == Outcome::Good)]
        }
        Report::Missed(_, run) | Report::Counted(Counted { run, .. }) => {
            (0..run.n).map(|k| (run.start.plus(run.step * k), None, false)).collect()
        }
    }
}

/// Asks the exporter to probe, over one connection, one probe after the other.
fn blackbox(to: SocketAddr, plan: &Plan, directory: &Path) -> Cost {
    let file = directory.join("blackbox.yml");
    let config = "modules: {http: {prober: http, http: {preferred_ip_protocol: ip4}}}\n";
    std::fs::write(&file, config).expect("writable");
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = port.local_addr().expect("bound");
    drop(port);
    let mut command = Command::new(BLACKBOX);
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--web.listen-address={address}"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let exporter = Target { process: command.spawn().expect("starts"), address };
    let (mut up, clock) = (None, Clock::start());
    let start = clock.now();
    while up.is_none() && clock.now().since(start) < Duration::from_secs(10) {
        std::thread::yield_now();
        up = TcpStream::connect(exporter.address).ok();
    }
    let mut stream = BufReader::new(up.expect("it listens"));
    let request = format!("GET /probe?module=http&target=http://{to}/ HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut ask = |n: u32| {
        for _ in 0..n {
            stream.get_mut().write_all(request.as_bytes()).expect("it reads");
            let text = read_answer(&mut stream);
            assert!(text.contains("\nprobe_success 1\n"), "{text}");
        }
    };
    ask(plan.blackbox / 10);
    let before = total(&cpu(exporter.process.id()));
    ask(plan.blackbox);
    let nanos = total(&cpu(exporter.process.id())) - before;
    Cost { n: plan.blackbox.into(), nanos }
}

/// One HTTP answer, by its length or in chunks.
fn read_answer(from: &mut impl BufRead) -> String {
    let line = |from: &mut dyn BufRead| {
        let mut line = String::new();
        from.read_line(&mut line).expect("an answer");
        line.trim_end().to_ascii_lowercase()
    };
    let head: Vec<_> =
        std::iter::repeat_with(|| line(from)).take_while(|l| !l.is_empty()).collect();
    let length = head.iter().find_map(|header| header.strip_prefix("content-length: "));
    let mut body = Vec::new();
    let mut part = |from: &mut dyn BufRead, n: usize| {
        let start = body.len();
        body.resize(start + n, 0);
        from.read_exact(&mut body[start..]).expect("an answer");
    };
    if let Some(length) = length {
        part(from, length.parse().expect("a number"));
        return String::from_utf8_lossy(&body).into_owned();
    }
    loop {
        let n = usize::from_str_radix(&line(from), 16).expect("a chunk size");
        part(from, n);
        line(from);
        if n == 0 {
            return String::from_utf8_lossy(&body).into_owned();
        }
    }
}
