//! The same SLOs judged twice: by the engine each second, and by a Prometheus that scrapes what
//! the engine exposes and evaluates the rules that `nines rules` writes.
//!
//! Two Prometheus processes scrape the same text at the same pace, one of them with the rules;
//! what the rules cost is the difference of their CPU time over the same stretch. Their windows
//! hold a minute or two, where in earnest they hold up to three days: that is in their favour.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nines::clock::Clock;
use nines::engine::{self, Engine};
use nines::model::check::TcpCheck;
use nines::model::{
    AlertPolicy, Catalog, Check, Observation, Phases, Probe, ProbeId, SeriesId, Service, Slo,
    Timestamp, Verdict,
};
use nines::notify::rules;
use nines::serve::exposition::{Exposition, Format};
use nines::serve::metrics;
use tokio::time::Instant;

#[allow(clippy::duplicate_mod, reason = "the tests have two benches that start programs")]
#[path = "outside.rs"]
mod outside;

use outside::{Target, ask, cpu, free, spent, start, total, wait, wait_at_most};

const PROMETHEUS: &str = "/usr/bin/prometheus";
/// From one probe of a service to the next.
const INTERVAL: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

/// How much to do.
pub struct Plan {
    /// Services, each with one probe and one SLO.
    pub n_slos: u32,
    /// From one scrape to the next, and from one evaluation of the rules to the next.
    pub every: Duration,
    /// How long is measured.
    pub measured: Duration,
}

/// What came out.
pub struct Figures {
    /// Evaluations of one SLO by the engine.
    pub ours: Cost,
    /// Evaluations of one SLO's group of rules.
    pub theirs: Cost,
    /// Rules of each SLO.
    pub n_rules: usize,
    /// How many SLOs have a five-minute ratio in Prometheus at the end.
    pub n_recorded: u32,
    setting: String,
}

/// The price of a number of evaluations.
pub struct Cost {
    /// How many.
    pub n: u64,
    /// CPU time in nanoseconds.
    pub nanos: u64,
}

impl Cost {
    fn micros_each(&self) -> f64 {
        self.nanos as f64 / 1_000.0 / self.n.max(1) as f64
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (self.ours.micros_each(), self.theirs.micros_each());
        writeln!(f, "{}, {} rules each", self.setting, self.n_rules)?;
        writeln!(f, "engine:     {ours:8.2} µs CPU per SLO and evaluation ({})", self.ours.n)?;
        writeln!(f, "Prometheus: {theirs:8.2} µs CPU per SLO and evaluation ({})", self.theirs.n)?;
        writeln!(f, "the rules found {} SLOs", self.n_recorded)?;
        write!(f, "the rules take {:.0} times the engine's CPU", theirs / ours.max(0.001))
    }
}

/// Whether Debian's package is installed.
pub fn is_installed() -> bool {
    Path::new(PROMETHEUS).exists()
}

/// Lets both evaluate for as long as the plan says.
pub fn run(plan: &Plan) -> Figures {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let catalog = catalog(plan.n_slos);
    let text = rules::file(&catalog).expect("YAML");
    let file = directory.path().join("rules.yml");
    std::fs::write(&file, &text).expect("writable");
    let mut judge = Judge::new(catalog);
    let page = Arc::clone(&judge.page);
    let exposed = serve(page);
    let plain = prometheus(&directory.path().join("plain"), exposed, plan, None);
    let ruled = prometheus(&directory.path().join("ruled"), exposed, plan, Some(&file));
    // The rules have found every SLO before anything is counted.
    wait(|| {
        judge.catch_up();
        recorded(ruled.address) == plan.n_slos
    });
    let theirs = || [&plain, &ruled].map(|one| cpu(one.process.id()));
    let (begun, before, ours) = (Instant::now(), theirs(), judge.spent);
    let (n_before, ticks_before) = (iterations(ruled.address), judge.n_ticks);
    wait_at_most(plan.measured + SECOND * 60, || {
        judge.catch_up();
        begun.elapsed() >= plan.measured
    });
    let after = theirs();
    let n_evaluated = iterations(ruled.address) - n_before;
    let [plain_cost, ruled_cost] = [0, 1].map(|which| total(&spent(&before[which], &after[which])));
    let nanos = u64::try_from((judge.spent - ours).as_nanos()).unwrap_or(u64::MAX);
    let n = (judge.n_ticks - ticks_before) * u64::from(plan.n_slos);
    let rules_of_all = text.matches("- record:").count() + text.matches("- alert:").count();
    Figures {
        ours: Cost { n, nanos },
        theirs: Cost { n: n_evaluated, nanos: ruled_cost.saturating_sub(plain_cost) },
        n_rules: rules_of_all / plan.n_slos.max(1) as usize,
        n_recorded: recorded(ruled.address),
        setting: format!(
            "{} SLOs; the engine evaluates each second, Prometheus scrapes and evaluates every {:?}",
            plan.n_slos, plan.every
        ),
    }
}

fn catalog(n_slos: u32) -> Catalog {
    let policy = AlertPolicy::workbook();
    let services = (0..n_slos).map(|n| service(n, &policy)).collect();
    Catalog { services, policies: vec![policy], ..Catalog::default() }
}

fn service(n: u32, policy: &Arc<AlertPolicy>) -> Service {
    let name = format!("service-{n:06}");
    let id: ProbeId = format!("{name}/front").parse().expect("a name");
    let endpoint = "127.0.0.1:1".parse().expect("an endpoint");
    let check = Check::Tcp(TcpCheck { endpoint, send: None, expect: None });
    let slo = Slo {
        probes: vec![id.clone()],
        policy: Some(Arc::clone(policy)),
        ..Slo::new(
            format!("{name}/availability").parse().expect("a name"),
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
        probes: vec![Probe { id, check, interval: INTERVAL, timeout: SECOND }],
        slos: vec![slo],
    }
}

/// The engine, whose probes all find their targets well.
struct Judge {
    engine: Engine,
    clock: Clock,
    /// Up to when slots have been observed and evaluated.
    until: Timestamp,
    n_slos: u32,
    spent: Duration,
    n_ticks: u64,
    page: Arc<Mutex<Vec<u8>>>,
}

impl Judge {
    fn new(catalog: Catalog) -> Self {
        let of: BTreeMap<ProbeId, SeriesId> =
            catalog.probes().zip(0..).map(|(probe, n)| (probe.id.clone(), SeriesId(n))).collect();
        let n_slos = u32::try_from(of.len()).expect("few");
        let options = engine::Options { vantage: "local".to_owned(), resend_delay: SECOND * 60 };
        let mut engine = Engine::new(Arc::new(catalog), &of, options);
        let clock = Clock::start();
        let until = clock.now().floor_second();
        engine.start(|probe| due(until, of[&probe.id].0), until);
        let page = Arc::default();
        Judge { engine, clock, until, n_slos, spent: Duration::ZERO, n_ticks: 0, page }
    }

    /// Observes and evaluates every second that has passed, and exposes what came out.
    fn catch_up(&mut self) {
        while self.until.plus(SECOND) <= self.clock.now() {
            let mut effects = Vec::new();
            let (from, to) = (self.until, self.until.plus(SECOND));
            for n in 0..self.n_slos {
                let due = due(from.floor(INTERVAL), n);
                if from <= due && due < to {
                    self.engine.observe(observation(SeriesId(n), due), &mut effects);
                }
            }
            let before = thread_cpu();
            let told = self.engine.tick(to);
            self.spent += thread_cpu().saturating_sub(before);
            drop(told);
            self.n_ticks += 1;
            self.until = to;
            let mut out = Exposition::new(Format::Text);
            metrics::write(&mut out, &self.engine, &[]);
            let text = out.finish().expect("there is no deadline");
            *self.page.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
    }
}

/// The slot of a series in the interval that begins at `from`, or the first one from then on.
fn due(from: Timestamp, n: u32) -> Timestamp {
    let phase = Duration::from_micros(u64::from(n).wrapping_mul(2_654_435_761) % 5_000_000);
    let due = from.floor(INTERVAL).plus(phase);
    if due < from { due.plus(INTERVAL) } else { due }
}

fn observation(series: SeriesId, due: Timestamp) -> Observation {
    Observation {
        series,
        due,
        lag: Duration::ZERO,
        latency: Some(Duration::from_millis(5)),
        phases: Phases::default(),
        verdict: Verdict::Good,
        detail: None,
        certificate_not_after: None,
    }
}

/// The CPU time of this thread.
fn thread_cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

/// Answers whoever asks with the page as it is, until this process ends.
fn serve(page: Arc<Mutex<Vec<u8>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let page = Arc::clone(&page);
            std::thread::spawn(move || answer(stream, &page));
        }
    });
    at
}

fn answer(stream: TcpStream, page: &Mutex<Vec<u8>>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|n| n > 0) {
        if line == "\r\n" {
            let text = page.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\n\
                 content-length: {}\r\n\r\n",
                text.len()
            );
            let said = stream.get_mut().write_all(head.as_bytes());
            if said.and_then(|()| stream.get_mut().write_all(&text)).is_err() {
                return;
            }
        }
        line.clear();
    }
}

/// A Prometheus that scrapes the page, and evaluates rules if there are any.
fn prometheus(directory: &Path, of: SocketAddr, plan: &Plan, rules: Option<&Path>) -> Target {
    std::fs::create_dir(directory).expect("writable");
    let every = plan.every.as_secs().max(1);
    let rules = rules.map_or(String::new(), |file| format!("rule_files: ['{}']\n", file.display()));
    let text = format!(
        "global: {{scrape_interval: {every}s, scrape_timeout: {every}s, \
         evaluation_interval: {every}s}}\n{rules}\
         scrape_configs: [{{job_name: nines, static_configs: [{{targets: ['{of}']}}]}}]\n"
    );
    let file = directory.join("prometheus.yml");
    std::fs::write(&file, text).expect("writable");
    let address = free();
    let mut command = Command::new(PROMETHEUS);
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", directory.join("tsdb").display()));
    command.arg(format!("--web.listen-address={address}"));
    start(command, address)
}

/// How often groups of rules have been evaluated, over all groups.
fn iterations(prometheus: SocketAddr) -> u64 {
    let text = ask(prometheus, "/metrics");
    let name = "prometheus_rule_group_iterations_total{";
    let lines = text.lines().filter(|line| line.starts_with(name));
    let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    counts.sum::<f64>() as u64
}

/// How many SLOs have a share of bad events over five minutes by the rules.
fn recorded(prometheus: SocketAddr) -> u32 {
    let query = "/api/v1/query?query=count(slo:nines_slo_errors:ratio_rate5m)";
    // It listens before it is ready, and says so in words.
    let answer = ask(prometheus, query);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let value = answer["data"]["result"][0]["value"][1].as_str();
    value.and_then(|n| n.parse().ok()).unwrap_or(0)
}
