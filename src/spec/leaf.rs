//! Values that only the spec language has: URLs, statuses, sizes, windows and their like.
//!
//! Each reads itself and describes itself to editors; none looks beyond its own node.

use std::rc::Rc;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};

use super::mirror::Value;
use super::problem::{At, Problems};
use super::raw::{AlertingPolicy, CalendarWindow, SliceMethod};
use super::tree::{Data, Node};
use super::value::{Text, parsed, parsed_text, scalar, words, wrong};
use crate::model::ParseError;
use crate::model::catalog::{Impact, SupportHours, UnknownPolicy};
use crate::model::check::{Connection, HttpVersion};
use crate::model::maintenance::Effect;
use crate::model::recurrence::Civil;
use crate::model::time::parse_duration;
use crate::model::window::{Unit, Zone};
use crate::model::{Outcome, Severity, ShortThreshold, SloId, Timestamp};

words!(Impact { "hard" => Impact::Hard, "soft" => Impact::Soft });
words!(Connection { "cold" => Connection::Cold, "warm" => Connection::Warm });
words!(HttpVersion {
    "auto" => HttpVersion::Auto, "http1" => HttpVersion::Http1, "http2" => HttpVersion::Http2,
} later &["http3"]);
words!(UnknownPolicy {
    "exclude" => UnknownPolicy::Exclude, "bad" => UnknownPolicy::Bad, "good" => UnknownPolicy::Good,
});
words!(Effect { "exclude" => Effect::Exclude, "mute" => Effect::Mute });
words!(Outcome {
    "excluded" => Outcome::Excluded, "good" => Outcome::Good, "bad" => Outcome::Bad,
    "unknown" => Outcome::Unknown,
});
words!(Severity { "page" => Severity::Page, "ticket" => Severity::Ticket });
words!(ShortThreshold { "same" => ShortThreshold::Same, "1x" => ShortThreshold::One });
words!(Method {
    "GET" => Method("GET"), "HEAD" => Method("HEAD"), "POST" => Method("POST"),
    "PUT" => Method("PUT"), "PATCH" => Method("PATCH"), "DELETE" => Method("DELETE"),
    "OPTIONS" => Method("OPTIONS"),
});

/// An HTTP method.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method(pub &'static str);

/// The address of an HTTP request.
#[derive(Clone, Debug)]
pub(super) struct Url(pub http::Uri);

/// Longest URL, in bytes.
const MAX_URL: usize = 2_048;

impl Url {
    /// Reads an absolute `http` or `https` URL without user info and fragment.
    pub(super) fn parse(text: &str) -> Result<http::Uri, ParseError> {
        let fail = |expected: &str| ParseError::new(text, expected);
        if text.len() > MAX_URL {
            return Err(fail("a URL of at most 2048 bytes"));
        }
        // The URI type drops fragments without a word.
        if text.contains('#') {
            return Err(fail("a URL without a fragment (#...), which is never sent"));
        }
        let form = "a URL such as https://registry.example/v2/";
        let uri: http::Uri = text.parse().map_err(|_| fail(form))?;
        let authority = uri.authority().ok_or_else(|| fail(form))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(fail("a URL that begins with http:// or https://"));
        }
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port_ok = port.is_empty() || authority.port_u16().is_some_and(|port| port > 0);
        if authority.host().is_empty() || !port_ok {
            return Err(fail("a URL with a host, and a port from 1 to 65535 if any"));
        }
        Ok(uri)
    }
}

/// Whether a URL carries a user name or password. Looked for in the text, because errors must
/// not repeat it.
pub(super) fn has_user_info(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default().contains('@')
}

impl Value for Url {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a URL such as https://registry.example/v2/";
        let text = scalar(node, at, expected, problems)?;
        if has_user_info(text) {
            let problem = problems.secret(at, "a URL with a user name or password in it");
            problem.expected("a URL without user info; secrets never stand in specs");
            problem.hint("send it with `headersFromFile: {Authorization: token.txt}`");
            return None;
        }
        if text.contains('?') {
            // Keys to an API stand there; no report repeats them.
            problems.conceal(at);
            if let Err(error) = Url::parse(text) {
                problems.error(at, "a URL that cannot be probed").expected(error.expected);
                return None;
            }
        }
        parsed_text(node, at, expected, problems, Url::parse).map(Url)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = "^https?://[^@#/?]+([/?][^#]*)?$";
        json_schema!({"type": "string", "pattern": pattern, "maxLength": MAX_URL})
    }

    fn kind() -> String {
        "URL".to_owned()
    }
}

/// A range of HTTP status codes.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatusRange(pub u16, pub u16);

impl Value for StatusRange {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a status from 100 to 599 such as 200, 2xx or 200-299";
        parsed(node, at, expected, problems, |text| {
            let fail = || ParseError::new(text, expected);
            let code = |text: &str| {
                let code = text.parse().ok().filter(|code| (100..=599).contains(code));
                code.filter(|_| text.len() == 3).ok_or_else(fail)
            };
            if let Some(class) = text.strip_suffix("xx") {
                let first = code(&format!("{class}00"))?;
                return Ok(StatusRange(first, first + 99));
            }
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range = StatusRange(code(first)?, code(last)?);
            if range.0 > range.1 { Err(fail()) } else { Ok(range) }
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "integer", "minimum": 100, "maximum": 599},
            {"type": "string", "pattern": "^[1-5](xx|[0-9]{2}(-[1-5][0-9]{2})?)$"},
        ]})
    }

    fn kind() -> String {
        "status".to_owned()
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub usize);

/// Most of a body that may be read.
const MAX_SIZE: usize = 64 << 20;

impl Value for Size {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a size from 1B to 64MiB, such as 64KiB";
        parsed(node, at, expected, problems, |text| {
            let fail = || ParseError::new(text, expected);
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let unit: usize = match &text[digits..] {
                "B" => 1,
                "KiB" => 1 << 10,
                "MiB" => 1 << 20,
                _ => return Err(fail()),
            };
            let size = text[..digits].parse::<usize>().ok().and_then(|n| n.checked_mul(unit));
            size.filter(|size| (1..=MAX_SIZE).contains(size)).map(Size).ok_or_else(fail)
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+(B|KiB|MiB)$"})
    }

    fn kind() -> String {
        "size".to_owned()
    }
}

/// A file beside the spec; checked where the file's own directory is known.
#[derive(Clone, Debug)]
pub(super) struct FilePath(pub String);

impl Value for FilePath {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        Text::<1_024>::read(node, at, problems).map(|text| FilePath(text.0))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Text::<1_024>::schema(generator)
    }

    fn kind() -> String {
        "path".to_owned()
    }
}

/// A DNS name or an IP address, for certificates.
#[derive(Clone, Debug)]
pub(super) struct HostName(pub String);

impl Value for HostName {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a host name such as registry.example";
        parsed_text(node, at, expected, problems, |text| {
            let is_ip = text.parse::<std::net::IpAddr>().is_ok();
            let label = |label: &str| {
                let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
                !label.is_empty() && label.len() <= 63 && plain
            };
            match is_ip || text.len() <= 253 && text.split('.').all(label) {
                true => Ok(HostName(text.to_owned())),
                false => Err(ParseError::new(text, expected)),
            }
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": 253})
    }

    fn kind() -> String {
        "host name".to_owned()
    }
}

/// A time zone by its IANA name.
#[derive(Clone, Debug)]
pub(super) struct TimeZone(pub Zone);

impl Value for TimeZone {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "an IANA time zone such as Europe/Berlin or UTC";
        parsed_text(node, at, expected, problems, str::parse).map(TimeZone)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1})
    }

    fn kind() -> String {
        "time zone".to_owned()
    }
}

impl Value for Timestamp {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a moment as RFC 3339 writes it, such as 2026-12-01T02:00:00Z";
        parsed(node, at, expected, problems, |text| {
            text.parse().map_err(|_| ParseError::new(text, expected))
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time", "minLength": 17})
    }

    fn kind() -> String {
        "moment".to_owned()
    }
}

/// A moment, or a local time without a zone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    /// With an offset.
    Exact(Timestamp),
    /// Without.
    Local(Civil),
}

impl Value for Moment {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a moment such as 2026-12-01T02:00:00Z, or 2026-12-01T02:00:00 with `rrule`";
        parsed(node, at, expected, problems, |text| {
            let local = || text.parse().map(Moment::Local);
            text.parse().map(Moment::Exact).or_else(|_| local())
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 16})
    }

    fn kind() -> String {
        "moment, or local time".to_owned()
    }
}

impl Value for SloId {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        parsed_text(node, at, "an SLO such as artifact-registry/availability", problems, str::parse)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let name = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
        json_schema!({"type": "string", "pattern": format!("^{name}/{name}$")})
    }

    fn kind() -> String {
        "`service/name`".to_owned()
    }
}

impl Value for SupportHours {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "24x7, hours a day and days a week such as 8x5, or automatic";
        parsed_text(node, at, expected, problems, |text| {
            if text == "automatic" {
                return Ok(SupportHours::Automatic);
            }
            let fail = || ParseError::new(text, expected);
            let (hours, days) = text.split_once('x').ok_or_else(fail)?;
            let number = |text: &str, most: u8| {
                text.parse().ok().filter(|n| (1..=most).contains(n) && !text.starts_with('+'))
            };
            let hours = number(hours, 24).ok_or_else(fail)?;
            let days = number(days, 7).ok_or_else(fail)?;
            match (hours, days) {
                (24, 7) => Ok(SupportHours::Always),
                _ => Ok(SupportHours::Weekly { hours, days }),
            }
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([0-9]{1,2}x[1-7]|automatic)$"})
    }

    fn kind() -> String {
        "`24x7`, `8x5`, ...".to_owned()
    }
}

/// Over which time a promise is judged.
#[derive(Clone, Debug)]
pub(super) enum Window {
    /// A length of time before now.
    Rolling(Duration),
    /// The periods of a calendar.
    Calendar(CalendarWindow),
}

words!(Unit {
    "day" => Unit::Day, "week" => Unit::Week, "month" => Unit::Month,
    "quarter" => Unit::Quarter, "year" => Unit::Year,
});

impl Value for Window {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        if let Data::Map(_) = &node.data {
            return CalendarWindow::read(node, at, problems).map(Window::Calendar);
        }
        let expected = "a rolling window such as 30d, or `{calendar: month, timeZone: UTC}`";
        parsed(node, at, expected, problems, parse_duration).map(Window::Rolling)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let (rolling, calendar) = (Duration::schema(generator), CalendarWindow::schema(generator));
        json_schema!({"anyOf": [rolling, calendar]})
    }

    fn kind() -> String {
        format!("duration, or {}", CalendarWindow::kind())
    }
}

/// How observations are counted.
#[derive(Clone, Debug)]
pub(super) enum BudgetMethod {
    /// One by one.
    Occurrences,
    /// By slices of time.
    Slices(Box<SliceMethod>),
}

impl Value for BudgetMethod {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        match &node.data {
            Data::Map(_) => SliceMethod::read(node, at, problems)
                .map(|slices| BudgetMethod::Slices(Box::new(slices))),
            Data::Scalar { text, .. } if text == "timeslices" || text == "ratioTimeslices" => {
                let problem = problems.error(at, format!("`{text}` without the length of a slice"));
                problem.expected(
                    "`{timeslices: {slice: 1m, sliceObjective: 95%}}` or \
                     `{ratioTimeslices: {slice: 1m}}`",
                );
                None
            }
            _ => {
                let words = [("occurrences", BudgetMethodWord)];
                let word = super::value::word(node, at, &words, &[], problems);
                word.map(|_| BudgetMethod::Occurrences)
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let slices = SliceMethod::schema(generator);
        json_schema!({"anyOf": [{"type": "string", "enum": ["occurrences"]}, slices]})
    }

    fn kind() -> String {
        format!("`occurrences`, or {}", SliceMethod::kind())
    }
}

/// The word `occurrences`.
#[derive(Clone, Copy, Debug)]
struct BudgetMethodWord;

/// When to tell somebody.
#[derive(Clone, Debug)]
pub(super) enum Alerting {
    /// Never.
    Off,
    /// As a policy says.
    By(AlertingPolicy),
}

impl Value for Alerting {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        match &node.data {
            Data::Map(_) => AlertingPolicy::read(node, at, problems).map(Alerting::By),
            Data::Scalar { text, .. } if text == "none" || text == "off" => Some(Alerting::Off),
            _ => {
                let expected = "`{policy: NAME}`, or `none` for no alerts";
                wrong(node, at, expected, problems);
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let policy = AlertingPolicy::schema(generator);
        json_schema!({"anyOf": [{"type": "string", "enum": ["none", "off"]}, policy]})
    }

    fn kind() -> String {
        format!("{}, `none` or `off`", AlertingPolicy::kind())
    }
}
