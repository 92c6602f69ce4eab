//! The real `nines run` with a ledger of its own, on a free port.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nines::model::{Tally, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

use super::exposition::Exposition;
use super::process::{Process, Ran, run};
use super::{http, ports, scratch};

/// Longest time the daemon gets to be ready.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Runs `nines` to its end.
pub fn nines(args: &[&str], limit: Duration) -> Ran {
    run("nines", Command::new(BINARY).args(args), b"", limit)
}

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_nines");

/// A running, killed or stopped daemon; its specs and its ledger outlive it.
pub struct Daemon {
    process: Option<Process>,
    address: SocketAddr,
    args: Vec<String>,
    place: Place,
    dir: TempDir,
}

/// Where and how the daemon runs, if not simply here.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Words before the command line, such as `prlimit --nofile=64`. What they run must become
    /// the daemon itself, so that signals reach it.
    pub wrapper: Vec<String>,
    /// The address that it listens on; loopback without one.
    pub address: Option<IpAddr>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// The operator's config.
    pub config: Option<String>,
}

/// What the daemon says about one SLO.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// The tick it speaks of.
    pub at: Timestamp,
    /// Counts since the history began.
    pub totals: Tally,
}

impl Daemon {
    /// Starts the daemon over one spec file and waits until it is ready. `args` are added to the
    /// command line.
    pub fn start(specs: &str, args: &[&str]) -> Self {
        Self::start_at(Place::default(), specs, args)
    }

    /// The same somewhere else.
    pub fn start_at(place: Place, specs: &str, args: &[&str]) -> Self {
        let mut daemon = Self::prepare_at(place, specs, args);
        daemon.restart();
        daemon
    }

    /// The same here, with other files beside the spec file; `beside` is given the directory.
    pub fn start_beside(
        specs: &str,
        args: &[&str],
        beside: impl FnOnce(&Path) -> std::io::Result<()>,
    ) -> Self {
        let mut daemon = Self::prepare(specs, args);
        beside(&daemon.dir.path().join("specs")).expect("a writable directory");
        daemon.restart();
        daemon
    }

    /// As [`Daemon::start`], for somebody who has something to do before it runs.
    pub fn prepare(specs: &str, args: &[&str]) -> Self {
        Self::prepare_at(Place::default(), specs, args)
    }

    fn prepare_at(place: Place, specs: &str, args: &[&str]) -> Self {
        let dir = scratch("daemon");
        std::fs::create_dir(dir.path().join("specs")).expect("a writable directory");
        std::fs::write(dir.path().join("specs/specs.yaml"), specs).expect("a writable directory");
        let mut args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        if let Some(config) = &place.config {
            let path = dir.path().join("config.yml");
            std::fs::write(&path, config).expect("a writable directory");
            args.extend(["--config.file".to_owned(), path.display().to_string()]);
        }
        let mut address = ports::free();
        address.set_ip(place.address.unwrap_or(address.ip()));
        Daemon { process: None, address, args, place, dir }
    }

    /// Has it started by another program from now on, such as `nsenter`.
    pub fn launch_with(&mut self, launcher: Vec<String>) {
        self.place.wrapper = launcher;
    }

    /// Starts it again on the same port and the same ledger and waits until it is ready.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the daemon is running already");
        let mut process =
            Process::start("nines", &mut self.command(), self.dir.path().join("nines.log"));
        process.answers(&format!("{}/-/ready", self.url()), START_LIMIT);
        self.process = Some(process);
    }

    /// The command line it is started with.
    pub fn command(&self) -> Command {
        let mut words = self.place.wrapper.iter().map(String::as_str).chain([BINARY]);
        let mut command = Command::new(words.next().expect("the program, at least"));
        command.args(words).envs(self.place.environment.iter().cloned());
        command.arg("run").arg("--specs").arg(self.dir.path().join("specs"));
        command.arg("--storage.path").arg(self.storage());
        command.arg("--web.listen-address").arg(self.address.to_string()).args(&self.args);
        command
    }

    /// The directory of its specs.
    pub fn specs(&self) -> PathBuf {
        self.dir.path().join("specs")
    }

    /// Writes one of its spec files; nothing reads it before the next reload.
    pub fn write_specs(&self, name: &str, text: &str) {
        std::fs::write(self.specs().join(name), text).expect("writable");
    }

    /// Takes one of its spec files away.
    pub fn remove_specs(&self, name: &str) {
        std::fs::remove_file(self.specs().join(name)).expect("it was there");
    }

    /// Asks it over HTTP to load its configuration again.
    #[track_caller]
    pub fn reload(&self) -> http::Answer {
        http::send("POST", &format!("{}/-/reload", self.url()), &[], b"").expect("an answer")
    }

    /// Its ledger's directory.
    pub fn storage(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Ends it as a power cut of the process would: `kill -9`.
    pub fn kill(&mut self) {
        self.running().kill();
        self.process = None;
    }

    /// Asks it to stop, waits until it has, and says how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        let status = self.running().terminate();
        self.process = None;
        status
    }

    /// Sends it a signal by name.
    pub fn signal(&mut self, signal: &str) {
        self.running().signal(signal);
    }

    /// Everything it has logged.
    pub fn logged(&self) -> String {
        self.process.as_ref().map(Process::printed).unwrap_or_default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// GETs a path.
    #[track_caller]
    pub fn get(&self, path: &str) -> http::Answer {
        http::get(&format!("{}{path}", self.url()))
            .unwrap_or_else(|error| panic!("nines does not answer {path}: {error}"))
    }

    /// Scrapes it.
    #[track_caller]
    pub fn metrics(&self) -> Exposition {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        Exposition::parse(&answer.text())
    }

    /// What it says about an SLO `service/name`; none as long as it has not evaluated it.
    #[track_caller]
    pub fn status(&self, slo: &str) -> Option<Status> {
        let answer = self.get(&format!("/api/v1/slos/{slo}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["schema"], "nines.slo/v1");
        let status = &answer["slo"]["status"];
        let at = status["at"].as_str()?.parse().expect("`at` is RFC 3339");
        let count = |outcome: &str| count(&status["totals"][outcome]);
        let totals = Tally {
            good: count("good")?,
            bad: count("bad")?,
            unknown: count("unknown")?,
            excluded: count("excluded")?,
        };
        Some(Status { at, totals })
    }

    /// Everything it has logged, over all its starts.
    pub fn printed(&self) -> String {
        std::fs::read(self.dir.path().join("nines.log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Its memory as the kernel counts it, in bytes: the most it has ever had resident.
    #[track_caller]
    pub fn memory(&self) -> u64 {
        let process = self.process.as_ref().expect("the daemon is running");
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
        let status = status.expect("the daemon's own page");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("VmHWM");
        1024 * kilobytes.parse::<u64>().expect("a number")
    }

    fn running(&mut self) -> &mut Process {
        self.process.as_mut().expect("the daemon is running")
    }
}

/// A count, written as a number or, for readers without 64-bit integers, as text.
fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
