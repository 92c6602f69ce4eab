//! Log lines on stderr, as operators of Prometheus expect them.

use std::fmt;

use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock;

/// Which lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// State changes and worse.
    #[default]
    Info,
    /// Unexpected but recovered, and worse.
    Warn,
    /// Somebody must act.
    Error,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// `key=value` pairs.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Begins to write log lines. Doing it again does nothing.
pub fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // Libraries are silent: what they say is said by whoever is at the other end, as often as he
    // likes. rustls has a line for each warning that a target sends.
    let filter = Targets::new().with_target("nines", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    // An error says that a subscriber is set already.
    let _ = match format {
        LogFormat::Logfmt => registry.with(lines.event_format(Logfmt)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
}

/// `time=… level=… msg="…" key=value`.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        write!(writer, "time={} level={level}", clock::wall_now())?;
        let mut fields = Fields { message: String::new(), rest: String::new() };
        event.record(&mut fields);
        writeln!(writer, " msg={}{}", quoted(&fields.message), fields.rest)
    }
}

struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.rest.push_str(&format!(" {name}={}", quoted(value))),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A value as logfmt has it: bare if it is one word, else quoted and escaped, so that nothing
/// that a target says can begin a line or a key of its own.
fn quoted(value: &str) -> String {
    let bare = |b: u8| b.is_ascii_graphic() && !b"\"=\\".contains(&b);
    match !value.is_empty() && value.bytes().all(bare) {
        true => value.to_owned(),
        false => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_break_out_of_their_line() {
        assert_eq!(quoted("registry/pull"), "registry/pull");
        assert_eq!(quoted("two words"), "\"two words\"");
        assert_eq!(quoted("x\nlevel=error"), "\"x\\nlevel=error\"");
        assert_eq!(quoted(""), "\"\"");
    }
}
