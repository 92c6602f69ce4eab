//! Flags that several commands share, and what they stand for.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::clock;
use crate::daemon::files;
use crate::engine::report::Scope;
use crate::model::window::named_period;
use crate::model::worst::sizes_with;
use crate::model::{Catalog, Settings, Timestamp};
use crate::spec::config::{Config, parse_base_url};
use crate::spec::{self, Loaded, SourceFile};

use super::Failure;
use super::backtest::Source;
use super::client::Daemon;

/// Where specs are.
#[derive(Clone, Debug, Args)]
pub struct Specs {
    /// A spec file, or a directory of them (read recursively, *.yaml and *.yml); may be repeated.
    #[arg(long, value_name = "PATH")]
    pub specs: Vec<PathBuf>,
    /// The operator's config file.
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
}

impl Specs {
    /// The config file's content; defaults without a file.
    ///
    /// # Errors
    /// It cannot be read, or has problems.
    pub fn config(&self) -> anyhow::Result<Config> {
        config(self.config_file()?.as_ref())
    }

    /// The config file as it is, if one is named.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn config_file(&self) -> anyhow::Result<Option<SourceFile>> {
        self.config_file.as_deref().map(files::read_file).transpose()
    }

    /// The paths that the flags name, or else the config file.
    ///
    /// # Errors
    /// The config file's, and that none names any.
    pub fn paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        if !self.specs.is_empty() {
            return Ok(self.specs.clone());
        }
        self.paths_or(self.config()?.specs.as_ref())
    }

    /// The paths that the flags name, or else these.
    ///
    /// # Errors
    /// None names any.
    pub fn paths_or(&self, configured: Option<&Vec<PathBuf>>) -> anyhow::Result<Vec<PathBuf>> {
        let named = [Some(&self.specs), configured].into_iter().flatten();
        match named.into_iter().find(|paths| !paths.is_empty()) {
            Some(paths) => Ok(paths.clone()),
            None => Err(Failure::usage(
                "no specs are named; give --specs PATH or `specs` in the config file",
            )),
        }
    }

    /// What the operator allows specs.
    ///
    /// # Errors
    /// The config file's.
    pub fn options(&self) -> anyhow::Result<spec::Options> {
        let config = self.config()?;
        let mut settings = Settings::default();
        config.apply(&mut settings);
        Ok(options(&settings, &config))
    }

    /// Reads the specs.
    ///
    /// # Errors
    /// They cannot be read, or have problems.
    pub fn catalog(&self) -> anyhow::Result<Catalog> {
        Ok(load(&self.paths()?, &self.options()?)?.catalog)
    }
}

/// What a config file says; defaults without one.
///
/// # Errors
/// Its problems.
pub fn config(file: Option<&SourceFile>) -> anyhow::Result<Config> {
    let config = file.map(spec::config::load).transpose().map_err(Failure::Invalid)?;
    Ok(config.unwrap_or_default())
}

/// What these settings allow specs.
pub fn options(settings: &Settings, config: &Config) -> spec::Options {
    spec::Options {
        limits: settings.limits,
        retention: settings.retention,
        allow_files_outside: config.allow_files_outside.unwrap_or(false),
        egress: settings.egress.clone(),
        prometheus: settings.prometheus.clone(),
    }
}

/// Reads specs from disk into a catalogue.
///
/// # Errors
/// They cannot be read, or have problems.
pub fn load(paths: &[PathBuf], options: &spec::Options) -> anyhow::Result<Loaded> {
    let files = files::read_specs(paths)?;
    Ok(spec::load(&files, options).map_err(Failure::Invalid)?)
}

/// Which daemon is asked.
#[derive(Clone, Debug, Args)]
pub struct Url {
    /// The daemon's base URL.
    #[arg(
        long,
        env = "NINES_URL",
        default_value = "http://127.0.0.1:10099",
        value_parser = parse_base_url,
    )]
    pub url: String,
    #[command(flatten)]
    pub http: Http,
}

impl Url {
    /// It.
    ///
    /// # Errors
    /// The HTTP config's.
    pub fn daemon(&self) -> anyhow::Result<Daemon> {
        self.http.daemon(&self.url)
    }
}

/// How a command shows itself to a daemon.
#[derive(Clone, Debug, Args)]
pub struct Http {
    /// How to show ourselves to a daemon that lets not everybody in: `basic_auth`,
    /// `bearer_token_file` and `tls_config`, as promtool reads them.
    #[arg(long = "http.config.file", env = "NINES_HTTP_CONFIG_FILE", value_name = "FILE")]
    pub file: Option<PathBuf>,
}

impl Http {
    /// The daemon at this base URL.
    ///
    /// # Errors
    /// The HTTP config's.
    pub fn daemon(&self, url: &str) -> anyhow::Result<Daemon> {
        let http = match &self.file {
            Some(file) => {
                let file = files::read_file(file)?;
                spec::http_config::load(&file).map_err(Failure::Invalid)?
            }
            None => Default::default(),
        };
        Ok(Daemon { url: url.to_owned(), http })
    }
}

/// What `fit` judges, and by what.
#[derive(Clone, Debug, Args)]
pub struct Fit {
    /// Only this application, with every gate.
    pub application: Option<String>,
    /// The platform's side: what this service's promise is worth to those who need it.
    #[arg(long, value_name = "NAME", conflicts_with = "application")]
    pub service: Option<String>,
    #[command(flatten)]
    pub specs: Specs,
    /// A ledger's directory, whose history counts as well. A daemon may be writing it meanwhile.
    #[arg(long = "storage.path", value_name = "DIR")]
    pub storage_path: Option<PathBuf>,
    /// The vantage whose history is meant.
    #[arg(long, default_value = "local", requires = "storage_path")]
    pub vantage: String,
    /// Ask the daemon at this base URL, which knows its specs and its history.
    #[arg(
        long,
        conflicts_with_all = ["specs", "config_file", "storage_path"],
        value_parser = parse_base_url,
    )]
    pub url: Option<String>,
    #[command(flatten)]
    pub http: Http,
    /// End with code 4 if a gate answers this for any application; may be repeated.
    #[arg(long, value_enum)]
    pub fail_on: Vec<super::fit::FailOn>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub format: super::Format,
}

impl Fit {
    /// Whom to ask.
    ///
    /// # Errors
    /// The specs', and a ledger that cannot be read.
    pub fn source(&self) -> anyhow::Result<super::fit::Source> {
        if let Some(url) = &self.url {
            return Ok(super::fit::Source::Daemon(self.http.daemon(url)?));
        }
        let ledger = self.storage_path.clone().map(|path| (path, self.vantage.clone()));
        super::fit::Source::specs(self.specs.catalog()?, ledger)
    }
}

/// What is reported, over which time, and from where.
#[derive(Clone, Debug, Args)]
pub struct Report {
    #[command(flatten)]
    pub about: About,
    /// 2026-11, 2026-Q4, 2026-W47, 2026, 2026-11-22, this-month, last-week (also day, quarter,
    /// year), or the time before now: last-30d.
    #[arg(long, value_name = "PERIOD", default_value = "this-month")]
    pub period: String,
    /// The time zone that says when days begin. Agreements have their own.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,
    /// Further lengths whose worst window is told, beside the usual ones from 1m to 30d: 3m,62m.
    #[arg(long, value_name = "LENGTHS", default_value = "", hide_default_value = true)]
    pub worst: String,
    #[command(flatten)]
    pub specs: Specs,
    /// A ledger's directory. A daemon may be writing it meanwhile.
    #[arg(long = "storage.path", value_name = "DIR")]
    pub storage_path: Option<PathBuf>,
    /// The vantage whose history is meant.
    #[arg(long, default_value = "local", requires = "storage_path")]
    pub vantage: String,
    /// Events in place of a ledger, one JSON object a line, as `backtest` reads them; `-` is the
    /// standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "storage_path")]
    pub events: Option<PathBuf>,
    /// The daemon to ask where no ledger and no events are named.
    #[arg(
        long,
        env = "NINES_URL",
        default_value = "http://127.0.0.1:10099",
        value_parser = parse_base_url,
    )]
    pub url: String,
    #[command(flatten)]
    pub http: Http,
    /// End with code 4 if this holds for any objective or agreement; may be repeated.
    #[arg(long, value_enum)]
    pub fail_on: Vec<super::report::FailOn>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub format: super::report::Format,
}

/// What a report is about.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct About {
    /// Every objective of this service.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// What this application needs, and its agreements.
    #[arg(long, value_name = "NAME")]
    pub application: Option<String>,
    /// Every objective of this team's services.
    #[arg(long, value_name = "NAME")]
    pub team: Option<String>,
}

impl Report {
    /// Whom to ask.
    ///
    /// # Errors
    /// The specs'.
    pub fn source(&self) -> anyhow::Result<super::report::Source> {
        use super::report::Source;
        let catalog = || anyhow::Ok(Box::new(self.specs.catalog()?));
        Ok(match (&self.storage_path, &self.events) {
            (Some(path), _) => Source::Ledger(catalog()?, path.clone(), self.vantage.clone()),
            (None, Some(events)) => Source::Events(catalog()?, events.clone()),
            (None, None) if !self.specs.specs.is_empty() => {
                return Err(Failure::usage(
                    "--specs says what was promised; give --storage.path DIR or --events FILE",
                ));
            }
            (None, None) => Source::Daemon(self.http.daemon(&self.url)?),
        })
    }

    /// What is asked.
    ///
    /// # Errors
    /// There is no such time zone or period, and what is no length.
    pub fn wish(&self) -> anyhow::Result<super::report::Wish> {
        let About { service, application, team } = &self.about;
        let scope = match (service, application, team) {
            (Some(name), ..) => Scope::Service(name.clone()),
            (_, Some(name), _) => Scope::Application(name.clone()),
            (.., Some(name)) => Scope::Team(name.clone()),
            (None, None, None) => {
                return Err(Failure::usage("give --service, --application or --team"));
            }
        };
        let (period, zone) = (self.period.clone(), self.time_zone.parse().map_err(Failure::usage)?);
        named_period(&period, &zone, clock::wall_now()).map_err(Failure::usage)?;
        sizes_with(&self.worst).map_err(Failure::usage)?;
        Ok(super::report::Wish { scope, period, zone, worst: self.worst.clone() })
    }
}

/// Which history is replayed.
#[derive(Clone, Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("history").required(true).multiple(false)))]
pub struct History {
    /// Events, one JSON object a line; `-` is the standard input.
    #[arg(long, value_name = "FILE", group = "history", conflicts_with_all = ["from", "to"])]
    pub events: Option<PathBuf>,
    /// A ledger's directory. A daemon may be writing it meanwhile.
    #[arg(long = "storage.path", value_name = "DIR", group = "history")]
    pub storage_path: Option<PathBuf>,
    /// Only slots due from here on.
    #[arg(long, value_name = "TIME", requires = "storage_path")]
    pub from: Option<Timestamp>,
    /// Only slots due before this.
    #[arg(long, value_name = "TIME", requires = "storage_path")]
    pub to: Option<Timestamp>,
    /// The vantage whose history is meant.
    #[arg(long, default_value = "local", requires = "storage_path")]
    pub vantage: String,
}

impl History {
    /// What the flags name.
    ///
    /// # Errors
    /// None is named, or no time.
    pub fn source(&self) -> anyhow::Result<Source> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            return Err(Failure::usage("--from is not before --to, so there is nothing between"));
        }
        match (&self.events, &self.storage_path) {
            (Some(events), _) => Ok(Source::Events(events.clone())),
            (None, Some(path)) => Ok(Source::Ledger {
                path: path.clone(),
                vantage: self.vantage.clone(),
                from: self.from,
                to: self.to,
            }),
            (None, None) => Err(Failure::usage("give --events FILE or --storage.path DIR")),
        }
    }
}
