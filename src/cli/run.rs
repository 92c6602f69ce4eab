//! `nines run`: the daemon.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use crate::daemon::reload::{Loaded, Source};
use crate::daemon::{Daemon, files};
use crate::model::settings::Alerting;
use crate::model::source::Measure;
use crate::model::time::parse_duration;
use crate::model::web::WebConfig;
use crate::model::{self, Settings};
use crate::serve::{Gate, ReloadFailure};
use crate::spec::config::{Config, parse_base_url, parse_listen};
use crate::spec::{self, Level, Problem, SourceFile};

use super::logging::{self, LogFormat, LogLevel};
use super::{Failure, flags};

/// Flags of the daemon. What a flag says goes before what the config file says.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    specs: flags::Specs,
    /// Where HTTP is served [default: 127.0.0.1:10099].
    #[arg(long = "web.listen-address", value_name = "ADDR", value_parser = parse_listen)]
    listen: Option<SocketAddr>,
    /// Who may come in over HTTP, and how: TLS, users and headers, in the format of Prometheus'
    /// exporter toolkit [default: everybody, in plain HTTP].
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config: Option<PathBuf>,
    /// The address by which people reach that [default: http://LISTEN-ADDRESS].
    #[arg(long = "web.external-url", value_name = "URL", value_parser = parse_base_url)]
    external_url: Option<String>,
    /// Let PUT and POST to /-/reload and /-/quit work.
    #[arg(long = "web.enable-lifecycle")]
    enable_lifecycle: bool,
    /// The ledger's directory; made if it is not there [default: nines-data].
    #[arg(long = "storage.path", value_name = "DIR")]
    storage_path: Option<PathBuf>,
    /// How long history is kept [default: 400d].
    #[arg(long = "storage.retention.time", value_name = "DURATION", value_parser = parse_duration)]
    retention: Option<Duration>,
    /// The base URL of an Alertmanager to page; may be repeated. All of them are told.
    #[arg(long = "alertmanager.url", value_name = "URL", value_parser = parse_base_url)]
    alertmanagers: Vec<String>,
    /// How often a firing alert is sent again [default: 1m].
    #[arg(long = "alerts.resend-delay", value_name = "DURATION", value_parser = parse_duration)]
    resend_delay: Option<Duration>,
    /// Look this often whether spec files or the config file have changed, and load them again if
    /// so; 0s for never [default: never].
    #[arg(
        long = "config.auto-reload-interval",
        value_name = "DURATION",
        value_parser = parse_duration,
    )]
    auto_reload_interval: Option<Duration>,
    /// Which log lines are written.
    #[arg(long = "log.level", value_enum, default_value_t)]
    log_level: LogLevel,
    /// How log lines are written.
    #[arg(long = "log.format", value_enum, default_value_t)]
    log_format: LogFormat,
}

/// Runs until a signal or a request to quit.
///
/// # Errors
/// It cannot start, or a part of it fails.
pub fn run(flags: &Flags) -> anyhow::Result<()> {
    logging::start(flags.log_level, flags.log_format);
    let loaded = settle(flags)?;
    let runtime = runtime()?;
    let source: Arc<dyn Source> = Arc::new(flags.clone());
    runtime.block_on(async {
        let daemon = Daemon::start(loaded, Some(source)).await?;
        until_told(daemon).await
    })
}

/// The runtime for HTTP and notifications; probing and evaluation have threads of their own.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the threads that serve HTTP")
}

/// Lives until SIGINT, SIGTERM or a request to quit, then stops in good order.
///
/// # Errors
/// A part fails, or what was left cannot be kept.
pub async fn until_told(mut daemon: Daemon) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let lived = loop {
        tokio::select! {
            lived = daemon.live() => break lived,
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            _ = hang_up.recv() => daemon.reload(),
        }
    };
    tracing::info!("stopping: waiting for probes in flight");
    let stopped = daemon.stop().await;
    if stopped.is_ok() && lived.is_ok() {
        tracing::info!("stopped; everything is durable");
    }
    lived.and(stopped)
}

impl Source for Flags {
    fn load(&self) -> Result<Loaded, ReloadFailure> {
        settle(self).map_err(|error| match error.downcast::<Failure>() {
            Ok(Failure::Invalid(problems)) => {
                ReloadFailure::Refused(problems.iter().map(one_line).collect())
            }
            Ok(other) => ReloadFailure::Refused(vec![other.to_string()]),
            Err(error) => ReloadFailure::Refused(vec![format!("{error:#}")]),
        })
    }

    fn fingerprint(&self) -> anyhow::Result<u64> {
        let file = self.specs.config_file()?;
        let config = flags::config(file.as_ref())?;
        let specs = files::read_specs(&self.specs.paths_or(config.specs.as_ref())?)?;
        let entry = entry(self.web_config.as_ref().or(config.web_config.as_ref()))?;
        Ok(fingerprint(file.iter().chain(&specs).chain(&entry.files)))
    }
}

/// A problem in one line: where it is, what it is, and what would be right.
fn one_line(problem: &Problem) -> String {
    let mut text = format!("{}: {}", problem.location(), problem.message);
    for (word, more) in [("expected", &problem.expected), ("hint", &problem.hint)] {
        if let Some(more) = more {
            text.push_str(&format!("; {word}: {more}"));
        }
    }
    text
}

/// A number that is the same for the same files with the same content only, but for one chance
/// in 2^64.
fn fingerprint<'a>(files: impl Iterator<Item = &'a SourceFile>) -> u64 {
    let mut hasher = DefaultHasher::new();
    files.for_each(|file| (&file.path, &file.content).hash(&mut hasher));
    hasher.finish()
}

/// Flags before config file before defaults, and the specs they name. Every file is read once.
fn settle(flags: &Flags) -> anyhow::Result<Loaded> {
    let config_file = flags.specs.config_file()?;
    let config = flags::config(config_file.as_ref())?;
    let mut settings = settings(flags, &config)?;
    let entry = entry(settings.web_config.as_ref())?;
    if entry.config.tls.is_some() && flags.external_url.is_none() && config.external_url.is_none() {
        settings.external_url = format!("https://{}", settings.listen);
    }
    let gate = Arc::new(Gate::open(&entry.config)?);
    let specs = files::read_specs(&settings.specs)?;
    let loaded = spec::load(&specs, &flags::options(&settings, &config));
    let loaded = loaded.map_err(Failure::Invalid)?;
    let unmeasured = unmeasured(&loaded, &settings);
    if !unmeasured.is_empty() {
        return Err(Failure::Invalid(unmeasured).into());
    }
    let warnings = super::check::config_warnings(&config, Some(&loaded));
    let premature = super::check::premature(&loaded, clock::wall_now());
    for warning in warnings.iter().chain(&loaded.warnings).chain(&premature) {
        tracing::warn!(place = warning.location(), "{}", warning.message);
    }
    if settings.alerting == Alerting::Direct && settings.alertmanagers.is_empty() {
        tracing::warn!("no Alertmanager is configured; alerts are shown but nobody is paged");
    }
    let fingerprint = fingerprint(config_file.iter().chain(&specs).chain(&entry.files));
    Ok(Loaded { settings, catalog: loaded.catalog, gate, fingerprint })
}

/// The web config and every file that it consists of.
pub(super) struct Entry {
    /// What it says.
    pub config: WebConfig,
    files: Vec<SourceFile>,
}

/// Reads the web config; everybody may come in without one.
///
/// # Errors
/// What cannot be read, and its problems.
pub(super) fn entry(path: Option<&PathBuf>) -> anyhow::Result<Entry> {
    let Some(path) = path else {
        return Ok(Entry { config: WebConfig::default(), files: Vec::new() });
    };
    let file = files::read_file(path)?;
    let config = spec::web_config::load(&file).map_err(Failure::Invalid)?;
    let named = config.tls.iter().flat_map(|tls| tls.files());
    let named = named.map(files::read_file).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Entry { config, files: [vec![file], named].concat() })
}

/// SLOs whose sources cannot be asked, as errors at their places.
fn unmeasured(loaded: &spec::Loaded, settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (_, slo) in loaded.catalog.slos() {
        let Some(model::Source::Prometheus(asked)) = &slo.source else { continue };
        let known = settings.prometheus.iter().any(|server| server.name == asked.server);
        let (message, hint) = match (&asked.measure, known) {
            (Measure::Ratio { .. }, _) => (
                format!("{} is a ratio that Prometheus `{}` works out", slo.id, asked.server),
                "a ratio cannot be counted: ask for `good` or `bad`, and `total`",
            ),
            (_, false) => (
                format!("{}: no Prometheus `{}` in the config file", slo.id, asked.server),
                "name the server under `prometheus` in the file of --config.file",
            ),
            _ => continue,
        };
        let warning = loaded.places.warning(slo.id.as_str(), message, Some(hint.to_owned()));
        problems.extend(warning.map(|warning| Problem { level: Level::Error, ..warning }));
    }
    problems
}

fn settings(flags: &Flags, config: &Config) -> anyhow::Result<Settings> {
    let mut settings = Settings::default();
    config.apply(&mut settings);
    settings.specs = flags.specs.paths_or(config.specs.as_ref())?;
    if let Some(listen) = flags.listen {
        settings.listen = listen;
        settings.external_url =
            config.external_url.clone().unwrap_or_else(|| format!("http://{listen}"));
    }
    if let Some(url) = &flags.external_url {
        settings.external_url.clone_from(url);
    }
    if flags.web_config.is_some() {
        settings.web_config.clone_from(&flags.web_config);
    }
    if let Some(path) = &flags.storage_path {
        settings.storage_path.clone_from(path);
    }
    if let Some(retention) = flags.retention {
        settings.retention = retention;
    }
    if !flags.alertmanagers.is_empty() {
        settings.alertmanagers.clone_from(&flags.alertmanagers);
    }
    if let Some(delay) = flags.resend_delay {
        settings.resend_delay = delay;
    }
    if let Some(interval) = flags.auto_reload_interval {
        settings.auto_reload_interval = (!interval.is_zero()).then_some(interval);
    }
    settings.enable_lifecycle |= flags.enable_lifecycle;
    Ok(settings)
}
