//! `nines probe`: one target, once, now; no config.
//!
//! The same probes as the daemon's, outside of any schedule. Exit code 0 for good, 1 otherwise:
//! a single probe asks for no objective.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::model::check::{
    Check, Connection, Endpoint, HttpCheck, HttpExpect, HttpVersion, TcpCheck, TlsCheck, TlsOptions,
};
use crate::model::{Egress, Observation, Phases, Verdict, number};
use crate::probe;

use super::{Failure, Format};

/// How much of a body is read.
const MAX_BODY: usize = 1 << 20;

/// Probes and prints the verdict; the exit code is 0 for good and 1 for anything else.
///
/// # Errors
/// The target is not one, or the verdict cannot be printed.
pub fn run(
    target: &str,
    timeout: Duration,
    headers: &[String],
    egress: &Egress,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let check = check(target, headers).map_err(|error| Failure::usage(format!("{error:#}")))?;
    if timeout.is_zero() {
        let told = "a timeout of 0s leaves no time for an answer; give --timeout 5s or so";
        return Err(Failure::usage(told));
    }
    crate::notify::install_crypto();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let observation = runtime.block_on(probe::once(&check, timeout, egress, Clock::start()));
    match format {
        Format::Json => writeln!(out, "{}", to_json(&check, &observation))?,
        Format::Table => table(&check, &observation, out)?,
    }
    Ok(u8::from(observation.verdict != Verdict::Good))
}

fn check(target: &str, headers: &[String]) -> anyhow::Result<Check> {
    let expected = "a target is http://…, https://…, tcp://host:port or tls://host:port";
    let (scheme, rest) = target.split_once("://").with_context(|| expected.to_owned())?;
    let endpoint = || rest.trim_end_matches('/').parse::<Endpoint>();
    if !matches!(scheme, "http" | "https") && !headers.is_empty() {
        bail!("--header goes with http:// and https:// only");
    }
    match scheme {
        "http" | "https" => http(target, headers).map(Check::Http),
        "tcp" => Ok(Check::Tcp(TcpCheck { endpoint: endpoint()?, send: None, expect: None })),
        "tls" => Ok(Check::Tls(TlsCheck {
            endpoint: endpoint()?,
            tls: TlsOptions::default(),
            min_validity: None,
        })),
        other => bail!("{other:?} is no scheme that can be probed; {expected}"),
    }
}

fn http(target: &str, headers: &[String]) -> anyhow::Result<HttpCheck> {
    let url: http::Uri = target.parse().with_context(|| format!("{target:?} is no URL"))?;
    if url.host().is_none_or(str::is_empty) {
        bail!("{target:?} names no host");
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        bail!("a URL with user and password would show them; use --header instead");
    }
    let header = |text: &String| {
        let (name, value) = text.split_once(':').context("a header is written `Name: value`")?;
        let name = name.trim().parse().with_context(|| format!("{name:?} is no header name"))?;
        let value = value.trim().parse().context("a header value that cannot be sent")?;
        anyhow::Ok((name, value))
    };
    Ok(HttpCheck {
        url,
        method: http::Method::GET,
        headers: headers.iter().map(header).collect::<anyhow::Result<_>>()?,
        header_files: Vec::new(),
        body: None,
        expect: HttpExpect::default(),
        version: HttpVersion::Auto,
        tls: TlsOptions::default(),
        connection: Connection::Cold,
        max_body: MAX_BODY,
    })
}

fn to_json(check: &Check, observation: &Observation) -> Value {
    let seconds = |duration: Duration| duration.as_secs_f64();
    let phases: serde_json::Map<_, _> = Phases::NAMES
        .iter()
        .zip(observation.phases.durations())
        .map(|(name, spent)| ((*name).to_owned(), seconds(spent).into()))
        .collect();
    json!({
        "schema": "nines.probe/v1",
        "kind": check.kind(),
        "target": check.target(),
        "at": observation.due.to_string(),
        "outcome": observation.verdict.outcome().word(),
        "reason": observation.verdict.reason(),
        "detail": observation.detail.as_deref(),
        "latency_seconds": observation.latency.map(seconds),
        "phases_seconds": phases,
        "certificate_not_after": observation.certificate_not_after.map(|at| at.to_string()),
    })
}

fn table(check: &Check, observation: &Observation, out: &mut dyn Write) -> std::io::Result<()> {
    let outcome = observation.verdict.outcome().word();
    let reason = observation.verdict.reason().map(|r| format!(" ({r})")).unwrap_or_default();
    let latency = match observation.latency {
        Some(latency) => format!(" in {}", precise(latency)),
        None => String::new(),
    };
    writeln!(out, "{} {outcome}{reason}{latency}", check.target())?;
    if let Some(detail) = &observation.detail {
        writeln!(out, "  {detail}")?;
    }
    let spent = Phases::NAMES.iter().zip(observation.phases.durations());
    for (name, spent) in spent.filter(|(_, spent)| !spent.is_zero()) {
        writeln!(out, "  {name:<8} {:>10}", precise(spent))?;
    }
    if let Some(at) = observation.certificate_not_after {
        let left = number::duration(at.since(observation.due));
        writeln!(out, "  the certificate is valid until {at}, for another {left}")?;
    }
    Ok(())
}

/// A duration to the microsecond while that is short to write.
fn precise(duration: Duration) -> String {
    match duration.as_micros() {
        micros @ 0..1_000 => format!("{micros} µs"),
        micros @ 1_000..1_000_000 => format!("{}.{:03} ms", micros / 1_000, micros % 1_000),
        _ => number::duration(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart_by_their_scheme() {
        let kind = |target| check(target, &[]).map(|check| check.kind()).ok();
        assert_eq!(kind("http://127.0.0.1:80/x?y"), Some("http"));
        assert_eq!(kind("https://example.org"), Some("http"));
        assert_eq!(kind("tcp://db:5432"), Some("tcp"));
        assert_eq!(kind("tls://[::1]:443/"), Some("tls"));
        for bad in ["example.org", "ftp://x", "http://", "tcp://db", "http://u:p@h/", "tcp://:0"] {
            assert_eq!(kind(bad), None, "{bad}");
        }
        assert!(check("tcp://db:1", &["a: b".to_owned()]).is_err());
        assert!(check("http://h/", &["nonsense".to_owned()]).is_err());
    }
}
