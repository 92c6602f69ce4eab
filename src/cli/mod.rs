//! The command line: one file per subcommand, one place where errors become exit codes.
//!
//! Data goes to stdout, messages to stderr. Exit codes: 0 fine, 1 the operation failed, 2 usage,
//! 3 the specs are invalid (or have warnings under `--strict`), 4 an objective is missed.

pub mod check;
pub mod probe;
pub mod schema;

mod backtest;
mod client;
mod dashboards;
mod demo;
mod fit;
mod flags;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod health;
mod ledger;
mod logging;
mod manual;
mod report;
mod rules;
mod run;
mod slo;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};

use crate::model::time::parse_duration;
use crate::model::{SloId, Timestamp};
use crate::spec::Problem;
use crate::spec::schema::Which;

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs; stable, with a `schema` key.
    Json,
}

/// What ends a command with a code of its own.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The specs or the config file are invalid.
    #[error("{}", tell(.0))]
    Invalid(Vec<Problem>),
    /// The command line asks for what does not go.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    /// That an argument is not what it should be.
    fn usage(error: impl std::fmt::Display) -> anyhow::Error {
        Failure::Usage(error.to_string()).into()
    }

    const fn code(&self) -> u8 {
        match self {
            Failure::Invalid(_) => check::INVALID,
            Failure::Usage(_) => USAGE,
        }
    }
}

/// Measures what a platform promises: probes services, keeps exact error budgets, pages on burn.
#[derive(Debug, Parser)]
#[command(name = "nines", version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Probe, evaluate, serve and page until told to stop.
    Run(run::Flags),
    /// Say whether specs are valid and whether they can do what they promise.
    Check {
        #[command(flatten)]
        specs: flags::Specs,
        /// Let warnings fail the check, too (exit code 3).
        #[arg(long)]
        strict: bool,
        /// How the report is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Probe one target once: http://, https://, tcp://host:port or tls://host:port.
    Probe {
        /// What to probe.
        target: String,
        /// How long it may take.
        #[arg(long, value_parser = parse_duration, default_value = "5s")]
        timeout: Duration,
        /// A request header to send, `Name: value`; may be repeated.
        #[arg(long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
        /// The operator's config file, for its egress policy.
        #[arg(long = "config.file", value_name = "FILE")]
        config_file: Option<PathBuf>,
        /// How the verdict is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// How the SLOs of a running daemon stand.
    #[command(subcommand)]
    Slo(SloCommand),
    /// Say whether the platform carries what its applications need, and what it can offer.
    Fit(flags::Fit),
    /// What was promised over a period, what was delivered, and what that comes to.
    Report(flags::Report),
    /// Run the daemon's own engine over any history.
    Backtest {
        #[command(flatten)]
        specs: flags::Specs,
        #[command(flatten)]
        source: flags::History,
        /// A moment whose status is told, too; may be repeated.
        #[arg(long, value_name = "TIME")]
        at: Vec<Timestamp>,
        /// How the result is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Check, export or import a ledger.
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Write Prometheus recording and alert rules that page like the daemon would.
    Rules {
        #[command(flatten)]
        specs: flags::Specs,
    },
    /// Write the Grafana dashboards and their provisioning into a directory.
    Dashboards {
        /// The directory; made if it is not there.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Show a budget burn: a small faulty platform on loopback, probed. Needs nothing.
    Demo(demo::Flags),
    /// Say whether a daemon is healthy and ready.
    Health {
        #[command(flatten)]
        daemon: flags::Url,
    },
    /// Print the JSON Schema of spec files, or of another file.
    Schema {
        /// Of the config file.
        #[arg(long, group = "which")]
        config: bool,
        /// Of the file of `--web.config.file`.
        #[arg(long, group = "which")]
        web_config: bool,
        /// Of the file of `--http.config.file`.
        #[arg(long, group = "which")]
        http_config: bool,
    },
    /// Print the completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all subcommands into a directory.
    Man {
        /// The directory; made if it is not there.
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum SloCommand {
    /// List every SLO.
    List {
        #[command(flatten)]
        daemon: flags::Url,
        /// Only those of this team.
        #[arg(long)]
        team: Option<String>,
        /// End with code 4 if this holds for any; may be repeated.
        #[arg(long, value_enum)]
        fail_on: Vec<slo::FailOn>,
        /// How the list is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show one SLO.
    Show {
        /// Its id, such as artifact-registry/availability.
        id: SloId,
        #[command(flatten)]
        daemon: flags::Url,
        /// As it stood at this moment.
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// End with code 4 if this holds; may be repeated.
        #[arg(long, value_enum)]
        fail_on: Vec<slo::FailOn>,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// An objective is missed, where the command asked.
const MISSED: u8 = 4;
/// The command line is wrong.
const USAGE: u8 = 2;

/// Runs the program.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(mut error) => {
            redact(&mut error);
            point_out(&mut error);
            // Help and version go to stdout and are fine; everything else is usage.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let mut out = Stdout(std::io::stdout());
    match dispatch(args.command, &mut out).and_then(|code| Ok(out.flush().map(|()| code)?)) {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nines: {}", causes(&error));
            ExitCode::from(error.downcast_ref::<Failure>().map_or(1, Failure::code))
        }
    }
}

/// An error with its causes, each told once: some say what caused them by themselves.
fn causes(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told.push_str(": ");
            told.push_str(&cause);
        }
    }
    told
}

/// The standard output, whose errors say that they are its.
struct Stdout(std::io::Stdout);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes).map_err(unwritable)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush().map_err(unwritable)
    }
}

fn unwritable(error: std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("cannot write to stdout: {error}"))
}

/// Takes an address out of a usage error: what was wrong with it may be that it has a password.
fn redact(error: &mut clap::Error) {
    let kind = ContextKind::InvalidValue;
    if let Some(ContextValue::String(text)) = error.get(kind)
        && (text.contains("://") || text.contains('@'))
    {
        error.insert(kind, ContextValue::String("a URL".to_owned()));
    }
}

/// Says to a path that stands alone which flag it belongs to.
fn point_out(error: &mut clap::Error) {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return };
    let is_alone = error.kind() == clap::error::ErrorKind::UnknownArgument;
    if !is_alone || argument.starts_with('-') || !Path::new(argument).exists() {
        return;
    }
    let flag = match std::env::args().nth(1).as_deref() {
        Some("run" | "check" | "report" | "backtest" | "rules") => "--specs",
        Some("ledger") => "--storage.path",
        _ => return,
    };
    let tip = format!("a path is named with '{flag}'");
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
}

fn dispatch(command: Command, out: &mut dyn Write) -> anyhow::Result<u8> {
    match command {
        Command::Run(flags) => run::run(&flags).map(|()| 0),
        Command::Check { specs, strict, format } => check::run(
            &check::Check {
                specs: specs.paths()?,
                options: specs.options()?,
                config: specs.config()?,
                strict,
                format,
                colour: colour(&std::io::stdout()),
                series_count: crate::serve::metrics::series_count,
            },
            out,
        ),
        Command::Probe { target, timeout, headers, config_file, format } => {
            let config = flags::Specs { specs: Vec::new(), config_file }.config()?;
            let egress = config.egress.unwrap_or_default();
            probe::run(&target, timeout, &headers, &egress, format, out)
        }
        Command::Slo(command) => slo_command(command, out),
        Command::Fit(flags) => fit_command(&flags, out),
        Command::Report(flags) => report_command(&flags, out),
        Command::Backtest { specs, source, at, format } => {
            backtest::run(&specs.catalog()?, &source.source()?, &at, format, out).map(|()| 0)
        }
        Command::Ledger(command) => ledger::run(&command, out),
        Command::Rules { specs } => rules::run(&specs.catalog()?, out).map(|()| 0),
        Command::Dashboards { directory } => dashboards::run(&directory, out).map(|()| 0),
        Command::Demo(flags) => demo::run(&flags, out).map(|()| 0),
        Command::Health { daemon } => health::run(&daemon.daemon()?, out).map(|()| 0),
        Command::Schema { config, web_config, http_config } => {
            let which = match (config, web_config, http_config) {
                (true, ..) => Which::Config,
                (_, true, _) => Which::WebConfig,
                (.., true) => Which::HttpConfig,
                _ => Which::Specs,
            };
            schema::json(which, out).map(|()| 0)
        }
        Command::Completions { shell } => {
            manual::completions(Args::command(), shell, out);
            Ok(0)
        }
        Command::Man { directory } => {
            manual::man(Args::command(), directory.as_deref(), out).map(|()| 0)
        }
    }
}

fn slo_command(command: SloCommand, out: &mut dyn Write) -> anyhow::Result<u8> {
    let met = match command {
        SloCommand::List { daemon, team, fail_on, format } => {
            slo::list(&daemon.daemon()?, team.as_deref(), &fail_on, format, out)?
        }
        SloCommand::Show { id, daemon, at, fail_on, format } => {
            slo::show(&daemon.daemon()?, id.as_str(), at.as_deref(), &fail_on, format, out)?
        }
    };
    Ok(if met { 0 } else { MISSED })
}

fn fit_command(flags: &flags::Fit, out: &mut dyn Write) -> anyhow::Result<u8> {
    let source = flags.source()?;
    let fits = match &flags.service {
        Some(service) => fit::service(&source, service, &flags.fail_on, flags.format, out)?,
        None => {
            let application = flags.application.as_deref();
            fit::applications(&source, application, &flags.fail_on, flags.format, out)?
        }
    };
    Ok(if fits { 0 } else { MISSED })
}

fn report_command(flags: &flags::Report, out: &mut dyn Write) -> anyhow::Result<u8> {
    let (source, wish) = (flags.source()?, flags.wish()?);
    let kept = report::run(&source, &wish, &flags.fail_on, flags.format, out)?;
    Ok(if kept { 0 } else { MISSED })
}

/// Whether to colour what goes there: a terminal, unless somebody objects.
fn colour(stream: &impl IsTerminal) -> bool {
    let objects = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !objects("NO_COLOR") && !dumb
}

/// Somebody downstream, such as `head`, has read enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    kinds.map(std::io::Error::kind).any(|kind| kind == std::io::ErrorKind::BrokenPipe)
}

/// Every problem with its place, for people.
fn tell(problems: &[Problem]) -> String {
    let colour = colour(&std::io::stderr());
    let told: Vec<String> = problems.iter().map(|problem| problem.render(colour)).collect();
    let n = problems.len();
    let s = if n == 1 { "" } else { "s" };
    format!("{n} problem{s} in specs or config\n\n{}", told.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let inner = std::io::Error::other("no such file");
        let error = anyhow::Error::new(inner).context("cannot read x: no such file").context("y");
        assert_eq!(causes(&error), "y: cannot read x: no such file");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
