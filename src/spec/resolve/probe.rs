//! Probes: what is done to the target, how often, and what the answer must be.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::parts::within;
use super::{Context, raw};
use crate::model::catalog::Probe;
use crate::model::check::{Check, HttpCheck, HttpExpect, TcpCheck, TlsCheck, TlsOptions};
use crate::model::time::{MAX_DURATION, format_duration};
use crate::model::{Name, ProbeId};
use crate::spec::mirror::{Field, Given};
use crate::spec::problem::{At, Problems};
use crate::spec::value::Map;

/// Shortest interval.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// Longest interval.
const MAX_INTERVAL: Duration = Duration::from_secs(86_400);
/// Longest timeout that is taken where none is given.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Builds a probe; none if something in it was wrong.
pub(in crate::spec) fn probe(
    service: Option<&Name>,
    given: &Given<raw::Probe>,
    cx: &mut Context,
) -> Option<Probe> {
    let raw = &given.value;
    let check = check(&raw.http, &raw.tcp, &raw.tls, cx);
    egress(raw, check.as_ref(), cx);
    let interval = raw.interval.given();
    let interval =
        interval.and_then(|given| within(given, (MIN_INTERVAL, MAX_INTERVAL), cx.problems));
    let timeout = timeout(raw, interval, cx.problems);
    let id = ProbeId::new(service?, raw.name.value()?);
    Some(Probe { id, check: check?, interval: interval?, timeout: timeout? })
}

fn timeout(
    raw: &raw::Probe,
    interval: Option<Duration>,
    problems: &mut Problems,
) -> Option<Duration> {
    let Field::Given(given) = &raw.timeout else {
        return raw.timeout.is_absent().then_some(interval?.min(DEFAULT_TIMEOUT));
    };
    let timeout = given.value;
    if timeout.is_zero() {
        problems.error(&given.at, "a timeout of 0").expected("a duration above 0");
        return None;
    }
    let interval = interval?;
    if timeout > interval {
        let (timeout, interval) = (format_duration(timeout), format_duration(interval));
        problems
            .error(&given.at, format!("the timeout {timeout} is above the interval {interval}"))
            .expected(format!("at most {interval}"));
        return None;
    }
    Some(timeout)
}

/// Builds a check of whichever kind is there; none if something in it was wrong.
pub(super) fn check(
    http: &Field<raw::Http>,
    tcp: &Field<raw::Tcp>,
    tls: &Field<raw::Tls>,
    cx: &mut Context,
) -> Option<Check> {
    if let Field::Given(http) = http {
        return self::http(&http.value, cx).map(Check::Http);
    }
    if let Field::Given(tcp) = tcp {
        let text = |field: &Field<raw::Prose>| field.value().map(|text| text.0.clone());
        bytes_of(&tcp.value.send, cx.problems);
        let endpoint = tcp.value.address.value()?.clone();
        let (send, expect) = (text(&tcp.value.send), text(&tcp.value.expect));
        return Some(Check::Tcp(TcpCheck { endpoint, send, expect }));
    }
    let tls = &tls.given()?.value;
    let options = tls_options(&tls.server_name, &tls.ca_file, cx);
    if let Field::Given(validity) = &tls.min_validity {
        within(validity, (Duration::ZERO, MAX_DURATION), cx.problems)?;
    }
    let endpoint = tls.address.value()?.clone();
    let min_validity = tls.min_validity.value().copied();
    Some(Check::Tls(TlsCheck { endpoint, tls: options?, min_validity }))
}

/// Says at once what each probe would say: that its address is one that may not be reached. Names
/// are judged when they are resolved.
fn egress(raw: &raw::Probe, check: Option<&Check>, cx: &mut Context) {
    let at = match (&raw.http, &raw.tcp, &raw.tls) {
        (Field::Given(http), _, _) => http.value.url.given().map(|url| &url.at),
        (_, Field::Given(tcp), _) => tcp.value.address.given().map(|address| &address.at),
        (_, _, Field::Given(tls)) => tls.value.address.given().map(|address| &address.at),
        _ => None,
    };
    let literal = check.and_then(|check| check.endpoint()?.literal());
    let (Some(at), Some(literal)) = (at, literal) else { return };
    if let Err(denied) = cx.options.egress.check(literal) {
        let hint = "every probe of it will be unknown, never good or bad";
        cx.problems.warn(at, denied.to_string()).hint(hint);
    }
}

/// `\xd2` in YAML is the letter U+00D2, which leaves as two bytes. Whoever writes a binary
/// protocol should know.
fn bytes_of(send: &Field<raw::Prose>, problems: &mut Problems) {
    let Field::Given(send) = send else { return };
    if send.value.0.chars().any(|c| ('\u{80}'..='\u{ff}').contains(&c)) {
        problems
            .warn(&send.at, "text is sent as UTF-8: escapes from \\x80 to \\xff become two bytes")
            .hint("bytes above \\x7f cannot be sent alone");
    }
}

fn tls_options(
    server_name: &Field<raw::HostName>,
    ca_file: &Field<raw::FilePath>,
    cx: &mut Context,
) -> Option<TlsOptions> {
    let ca_file = match ca_file {
        Field::Given(path) => Some(cx.file(path)?),
        _ => None,
    };
    Some(TlsOptions { server_name: server_name.value().map(|name| name.0.clone()), ca_file })
}

fn http(raw: &raw::Http, cx: &mut Context) -> Option<HttpCheck> {
    let mut seen = BTreeSet::new();
    let headers = headers(&raw.headers, &mut seen, cx.problems);
    let header_files = header_files(&raw.headers_from_file, &mut seen, cx);
    let expect = expect(raw, cx.problems);
    let tls = match &raw.tls {
        Field::Given(tls) => tls_options(&tls.value.server_name, &tls.value.ca_file, cx)?,
        _ => TlsOptions::default(),
    };
    let url = raw.url.value()?.0.clone();
    if let Field::Given(tls) = &raw.tls
        && url.scheme_str() == Some("http")
    {
        let problem = cx.problems.error(&tls.at, "`tls` has no effect on an http:// URL");
        problem.expected("an https:// URL, or no `tls`");
    }
    let method = raw.method.value()?.0;
    let method = http::Method::from_bytes(method.as_bytes()).ok()?;
    Some(HttpCheck {
        url,
        method,
        headers: headers?,
        header_files: header_files?,
        body: raw.body.value().map(|body| body.0.clone()),
        expect: expect?,
        version: *raw.version.value()?,
        tls,
        connection: *raw.connection.value()?,
        max_body: raw.max_body.value()?.0,
    })
}

/// Headers that carry secrets; their values come from files.
const SECRET: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];
/// Headers that belong to the connection and the length of the body, which the probe sees to.
const OURS: [&str; 6] =
    ["connection", "content-length", "expect", "te", "transfer-encoding", "upgrade"];

/// The name of a header, checked; the same one must not be sent twice.
fn header_name(
    name: &Given<String>,
    seen: &mut BTreeSet<String>,
    problems: &mut Problems,
) -> Option<HeaderName> {
    let Ok(header) = HeaderName::from_bytes(name.value.as_bytes()) else {
        problems
            .error(&name.at, "not a header name")
            .expected("a header name such as X-Request-Id");
        return None;
    };
    if OURS.contains(&header.as_str()) {
        let message = format!("header `{header}` is set by the probe itself");
        problems.error(&name.at, message).hint("remove it");
        return None;
    }
    if !seen.insert(header.as_str().to_owned()) {
        problems.error(&name.at, format!("header `{header}` twice")).hint("keep one of them");
        return None;
    }
    Some(header)
}

fn headers(
    field: &Field<Map<crate::spec::value::Text<4_096>, 64>>,
    seen: &mut BTreeSet<String>,
    problems: &mut Problems,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let Field::Given(map) = field else { return field.is_absent().then(Vec::new) };
    let mut headers = Vec::new();
    for (name, value) in &map.value.items {
        let header = header_name(name, seen, problems);
        if header.as_ref().is_some_and(|header| SECRET.contains(&header.as_str())) {
            secret(&name.at, &name.value, problems);
            continue;
        }
        let Some(text) = value.given() else { continue };
        match (header, HeaderValue::from_str(&text.value.0)) {
            (Some(header), Ok(value)) => headers.push((header, value)),
            (None, _) => {}
            (_, Err(_)) => {
                problems.error(&text.at, "not a header value").expected("text on one line");
            }
        }
    }
    (headers.len() == map.value.items.len()).then_some(headers)
}

fn secret(at: &At, name: &str, problems: &mut Problems) {
    let problem = problems.secret(at, format!("header `{name}` carries a secret"));
    problem
        .expected("secrets in files, never in specs")
        .hint(format!("write `headersFromFile: {{{name}: FILE}}`"));
}

fn header_files(
    field: &Field<Map<raw::FilePath, 64>>,
    seen: &mut BTreeSet<String>,
    cx: &mut Context,
) -> Option<Vec<(HeaderName, PathBuf)>> {
    let Field::Given(map) = field else { return field.is_absent().then(Vec::new) };
    let mut headers = Vec::new();
    for (name, value) in &map.value.items {
        let header = header_name(name, seen, cx.problems);
        let path = value.given().and_then(|path| cx.file(path));
        headers.extend(header.zip(path));
    }
    (headers.len() == map.value.items.len()).then_some(headers)
}

fn expect(raw: &raw::Http, problems: &mut Problems) -> Option<HttpExpect> {
    let Field::Given(given) = &raw.expect else {
        return raw.expect.is_absent().then(HttpExpect::default);
    };
    let expect = &given.value;
    let mut headers = Vec::new();
    if let Field::Given(map) = &expect.headers {
        let mut seen = BTreeSet::new();
        for (name, value) in &map.value.items {
            let Ok(header) = HeaderName::from_bytes(name.value.as_bytes()) else {
                let problem = problems.error(&name.at, "not a header name");
                problem.expected("a header name such as Content-Type");
                continue;
            };
            if !seen.insert(header.as_str().to_owned()) {
                problems.error(&name.at, format!("header `{header}` twice")).hint("keep one");
            }
            let value = value.value();
            headers.extend(value.map(|value| (header, value.0.as_ref().map(|v| v.0.clone()))));
        }
    }
    let contains = expect.body.value().and_then(|body| body.contains.given());
    body_fits(raw, contains, problems);
    let status = expect.status.value()?.items.iter().map(|range| (range.value.0, range.value.1));
    let body_contains = contains.map(|text| text.value.0.clone());
    Some(HttpExpect { status: status.collect(), headers, body_contains })
}

/// What is looked for must be able to be there.
fn body_fits(raw: &raw::Http, contains: Option<&Given<raw::Prose>>, problems: &mut Problems) {
    let Some(contains) = contains else { return };
    if raw.method.value().is_some_and(|method| method.0 == "HEAD") {
        let problem = problems.error(&contains.at, "an answer to HEAD has no body");
        problem.expected("another method, or no expectation of the body");
    }
    if raw.max_body.value().is_some_and(|size| size.0 < contains.value.0.len()) {
        let problem = problems.error(&contains.at, "this text is longer than `maxBody`");
        problem.hint("raise `maxBody`");
    }
}
