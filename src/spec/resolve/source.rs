//! Who counts in place of a probe: a Prometheus that is asked.
//!
//! Each becomes a probe that does nothing, under the name of its SLO, so that its slots have a
//! grid, a history and a place in the ledger like all others.

use std::time::Duration;

use super::parts::within;
use super::{Context, raw};
use crate::model::catalog::{Method, Probe, UnknownPolicy};
use crate::model::check::Check;
use crate::model::source::{Measure, Prometheus, Server, Source};
use crate::model::{Name, ProbeId};
use crate::spec::mirror::{Field, Given};
use crate::spec::problem::{At, Problems};

/// Shortest and longest interval of a source. A Prometheus looks back five minutes.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// The source of an SLO that has one, as a probe; none of both if it is wrong.
pub(super) fn source(
    service: Option<&Name>,
    raw: &raw::Slo,
    cx: &mut Context,
) -> Option<Option<Probe>> {
    let built = match &raw.prometheus {
        Field::Absent => return Some(None),
        Field::Given(given) => prometheus(given, cx),
        Field::Broken => None,
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
        _ => {
            let broken = [&raw.good, &raw.bad, &raw.total].into_iter();
            if !broken.clone().any(|field| matches!(field, Field::Broken)) {
                let problem = cx.problems.error(&given.at, "nothing that makes a share of good");
                problem.expected("two of `good`, `bad` and `total`");
            }
            return None;
        }
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
