//! Who counts in place of a probe: a Prometheus that is asked, or results that others send.
//!
//! Each becomes a probe that does nothing, under the name of its SLO, so that its slots have a
//! grid, a history and a place in the ledger like all others.

use std::time::Duration;

use super::parts::within;
use super::{Context, raw};
use crate::model::catalog::{Method, Probe, UnknownPolicy};
use crate::model::check::Check;
use crate::model::source::{Measure, Prometheus, Push, Server, Source};
use crate::model::time::format_duration;
use crate::model::{Name, ProbeId};
use crate::spec::mirror::{Field, Given};
use crate::spec::problem::{At, Problems};

/// Shortest and longest interval of a source. A Prometheus looks back five minutes.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Shortest and longest interval of results that are sent.
const PUSH_INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_600));
/// Shortest and longest time for which results are waited for.
const GRACE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_600));

/// The source of an SLO that has one, as a probe; none of both if it is wrong.
pub(super) fn source(
    service: Option<&Name>,
    raw: &raw::Slo,
    cx: &mut Context,
) -> Option<Option<Probe>> {
    let built = match (&raw.prometheus, &raw.push) {
        (Field::Absent, Field::Absent) => return Some(None),
        (Field::Given(given), _) => prometheus(given, cx),
        (_, Field::Given(given)) => push(given, cx),
        _ => None,
    };
    if let Field::Given(latency) = &raw.latency {
        let problem = cx.problems.error(&latency.at, "a latency of what somebody else counts");
        problem.expected("no `latency`: count what was fast enough as good there");
        return None;
    }
    let (source, interval, timeout) = built?;
    probe((service?, raw.name.value()?), source, interval, timeout)
}

/// A source as a probe under the name of its SLO.
fn probe(
    (service, slo): (&Name, &Name),
    source: Source,
    interval: Duration,
    timeout: Duration,
) -> Option<Option<Probe>> {
    let id = ProbeId::new(service, slo);
    Some(Some(Probe { id, check: Check::Source(source), interval, timeout }))
}

fn prometheus(
    given: &Given<raw::PrometheusSli>,
    cx: &mut Context,
) -> Option<(Source, Duration, Duration)> {
    let raw = &given.value;
    let text =
        |field: &Field<crate::spec::value::Text<8_192>>| field.value().map(|text| text.0.clone());
    let measure = match (text(&raw.good), text(&raw.bad), text(&raw.total)) {
        (Some(good), None, Some(total)) => Measure::Good { good, total },
        (None, Some(bad), Some(total)) => Measure::Bad { bad, total },
        (Some(good), Some(bad), None) => Measure::Both { good, bad },
        // What is missing, or too much, has been told.
        _ => return None,
    };
    let server = raw.server.given()?;
    let (interval, timeout) = server_of(&server.value, &server.at, cx);
    let interval = match &raw.interval {
        Field::Given(given) => within(given, INTERVAL, cx.problems)?,
        Field::Broken => return None,
        Field::Absent => interval,
    };
    let server = server.value.clone();
    let source = Source::Prometheus(Prometheus { server, measure, counter: true });
    Some((source, interval, timeout.min(interval)))
}

/// Interval and timeout of a server of the operator's config. One that is not there is told: it
/// may be in a config that is not at hand.
pub(in crate::spec) fn server_of(name: &Name, at: &At, cx: &mut Context) -> (Duration, Duration) {
    let server = cx.options.prometheus.iter().find(|server| server.name == *name);
    if let Some(server) = server {
        return (server.interval, server.timeout);
    }
    let message = format!("no Prometheus {:?} in the operator's config", name.as_str());
    let problem = cx.problems.warn(at, message);
    problem.hint("`nines run` refuses this; name the server under `prometheus` in the config file");
    (Server::INTERVAL, Server::TIMEOUT)
}

/// A source of an OpenSLO as a probe.
pub(in crate::spec) fn of_open(
    (service, slo): (&Name, &Given<Name>),
    prometheus: &Prometheus,
    cx: &mut Context,
) -> Option<Probe> {
    let (interval, timeout) = server_of(&prometheus.server, &slo.at, cx);
    let source = Source::Prometheus(prometheus.clone());
    probe((service, &slo.value), source, interval, timeout.min(interval)).flatten()
}

fn push(given: &Given<raw::PushSli>, cx: &mut Context) -> Option<(Source, Duration, Duration)> {
    let raw = &given.value;
    let token_file = raw.token_file.given().and_then(|path| cx.file(path));
    let interval = raw.interval.given();
    let interval = interval.and_then(|given| within(given, PUSH_INTERVAL, cx.problems));
    let grace = raw.grace.given().and_then(|given| within(given, GRACE, cx.problems));
    let interval = whole(raw.interval.given()?, interval?, cx.problems)?;
    let source = Source::Push(Push { token_file: token_file?, grace: grace? });
    Some((source, interval, interval))
}

/// An interval in whole seconds.
fn whole(given: &Given<Duration>, interval: Duration, problems: &mut Problems) -> Option<Duration> {
    if interval.subsec_nanos() == 0 {
        return Some(interval);
    }
    let message = format!("{} is not a whole number of seconds", format_duration(interval));
    problems.error(&given.at, message).expected("a duration in whole seconds");
    None
}

/// How many events were in an interval that nobody counted is not known, so they can only be
/// left out; a slice of time that was not counted is one slice.
pub(super) fn unknown(
    given: Option<&Given<UnknownPolicy>>,
    method: Option<Method>,
    problems: &mut Problems,
) {
    let Some(given) = given else { return };
    if given.value != UnknownPolicy::Exclude && method == Some(Method::Occurrences) {
        let message = format!("`unknown: {}` for events that nobody counted", given.value.word());
        problems
            .error(&given.at, message)
            .expected("`exclude`, or a `method` that counts slices of time")
            .hint("how many events an interval had that was not counted is not known");
    }
}
