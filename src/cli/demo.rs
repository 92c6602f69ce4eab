//! `nines demo`: a budget burning within a minute, with no config and no network.
//!
//! The real daemon over a small platform on loopback that misbehaves on schedule, and a receiver
//! that prints what an Alertmanager would get. Everything is in a temporary directory that is
//! removed at the end.

mod pager;
mod platform;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::clock;
use crate::daemon::reload::Loaded;
use crate::daemon::{Daemon, history};
use crate::engine::schedule::Grid;
use crate::ledger::{self, Ledger};
use crate::model::settings::DEFAULT_LISTEN;
use crate::model::{Catalog, Latencies, Record, Run, Settings, Slice, Timestamp, Verdict};
use crate::spec::config::{parse_base_url, parse_listen};
use crate::spec::{self, SourceFile};

use super::logging::{self, LogFormat, LogLevel};
use super::{Failure, run};

use platform::Platform;

/// The demo begins with this much made-up, clean history, so that budgets are full.
const CLEAN: Duration = Duration::from_secs(3_600);

/// Flags of the demo.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Where HTTP is served [default: 127.0.0.1:10099, or a free port if that is taken].
    #[arg(long = "web.listen-address", value_name = "ADDR", value_parser = parse_listen)]
    listen: Option<SocketAddr>,
    /// A real Alertmanager to page in place of the printed lines; may be repeated.
    #[arg(long = "alertmanager.url", value_name = "URL", value_parser = parse_base_url)]
    alertmanagers: Vec<String>,
}

/// Runs until told to stop.
///
/// # Errors
/// No port or no temporary directory can be had.
pub fn run(flags: &Flags, out: &mut dyn std::io::Write) -> anyhow::Result<()> {
    logging::start(LogLevel::Warn, LogFormat::Logfmt);
    let scratch = Scratch::new()?;
    run::runtime()?.block_on(async {
        let platform = Platform::start().await?;
        let catalog = catalog(&platform)?;
        let settings = settings(flags, &scratch.0).await?;
        seed(&settings, &catalog)?;
        let loaded = Loaded { settings, catalog, gate: Arc::default(), fingerprint: 0 };
        let daemon = Daemon::start(loaded, None).await?;
        greet(&daemon, out)?;
        run::until_told(daemon).await
    })
}

fn greet(daemon: &Daemon, out: &mut dyn std::io::Write) -> anyhow::Result<()> {
    let url = format!("http://{}", daemon.address());
    writeln!(out, "nines demo: a small platform on loopback, probed twice a second\n")?;
    writeln!(out, "  watch it burn   {url}/")?;
    writeln!(out, "  metrics         {url}/metrics")?;
    writeln!(out, "  API             {url}/api/v1/slos\n")?;
    writeln!(out, "In 10 s the artifact registry begins to fail three pulls in ten; its page")?;
    writeln!(out, "comes some 12 s later and resolves once the registry has recovered. Then the")?;
    writeln!(out, "CI runners become slow. The story repeats every 3 min; Ctrl-C ends it. The")?;
    writeln!(out, "hour before the start is made up, so that budgets begin full.\n")?;
    out.flush()?;
    Ok(())
}

fn catalog(platform: &Platform) -> anyhow::Result<Catalog> {
    let file = SourceFile {
        path: PathBuf::from("platform.yaml"),
        root: PathBuf::new(),
        content: platform.specs().into_bytes(),
    };
    let loaded = spec::load(&[file], &spec::Options::default()).map_err(Failure::Invalid)?;
    Ok(loaded.catalog)
}

async fn settings(flags: &Flags, storage: &Path) -> anyhow::Result<Settings> {
    let alertmanagers = match flags.alertmanagers.is_empty() {
        true => vec![format!("http://{}", pager::start().await?)],
        false => flags.alertmanagers.clone(),
    };
    let listen = flags.listen.unwrap_or_else(default_listen);
    Ok(Settings {
        storage_path: storage.join("ledger"),
        listen,
        external_url: format!("http://{listen}"),
        alertmanagers,
        vantage: "demo".to_owned(),
        ..Settings::default()
    })
}

/// The usual address, or a free port if something is there already.
fn default_listen() -> SocketAddr {
    let bound = [DEFAULT_LISTEN, SocketAddr::new(DEFAULT_LISTEN.ip(), 0)]
        .iter()
        .find_map(|address| std::net::TcpListener::bind(address).ok());
    bound.and_then(|listener| listener.local_addr().ok()).unwrap_or(DEFAULT_LISTEN)
}

/// Writes an hour of clean history.
fn seed(settings: &Settings, catalog: &Catalog) -> anyhow::Result<()> {
    let mut ledger = Ledger::open(&settings.storage_path, ledger::Options::default())?;
    let series = history::series_of(&mut ledger, catalog, &settings.vantage)?;
    let now = clock::wall_now();
    let slice = |probe: &crate::model::Probe| {
        let grid = Grid::new(&probe.id, &settings.vantage, probe.interval);
        let (start, end) = (grid.first_due_at_or_after(now.minus(CLEAN)), now);
        let n = end.since(start).as_micros().div_ceil(probe.interval.as_micros().max(1));
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let run = Run { start, step: probe.interval, n, verdict: Verdict::Good, class: 0 };
        Some(Record::Slice(Slice {
            series: *series.get(&probe.id)?,
            start,
            end: Timestamp::max(end, run.end().minus(probe.interval)),
            thresholds: thresholds(catalog),
            runs: vec![run],
            latencies: Latencies::default(),
        }))
    };
    let slices: Vec<Record> = catalog.probes().filter_map(slice).collect();
    ledger.append(&slices)?;
    ledger.close()?;
    Ok(())
}

/// Every latency threshold in force, in microseconds, ascending.
fn thresholds(catalog: &Catalog) -> Vec<u32> {
    let under = catalog.slos().filter_map(|(_, slo)| slo.latency_under);
    let mut all: Vec<u32> = under.filter_map(|u| u32::try_from(u.as_micros()).ok()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A directory that is removed when the demo ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("nines-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make the directory {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
