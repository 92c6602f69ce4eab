//! What an SLI measures: a probe of nines, or the metrics of a Prometheus.

use std::rc::Rc;
use std::time::Duration;

use super::Known;
use super::raw::{
    NinesSource, Op, OpenDataSource, OpenMetric, OpenObjective, OpenRatio, OpenSli, OpenSliSpec,
    PrometheusSource, RawType,
};
use crate::model::catalog::Service;
use crate::model::source::{Compare, Measure, Prometheus};
use crate::model::{Name, Probe, ProbeId};
use crate::spec::mirror::{Field, Given, Value, quoted};
use crate::spec::problem::{At, Problems};
use crate::spec::resolve::Context;
use crate::spec::tree::{Data, Node};
use crate::spec::{raw, resolve};

/// What an SLO counts.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The slots of a probe; good within the latency, if there is one.
    Probe(ProbeId, Option<Duration>),
    /// Metrics of a Prometheus.
    Prometheus(Prometheus),
}

/// The types of sources that there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nines,
    Prometheus,
}

impl Kind {
    fn of(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "nines" => Some(Kind::Nines),
            "prometheus" => Some(Kind::Prometheus),
            _ => None,
        }
    }
}

/// Looks at a data source by itself.
pub(super) fn check_source(source: &OpenDataSource, problems: &mut Problems) {
    let Some(spec) = source.spec.value() else { return };
    let (Some(kind), Some(details)) = (spec.kind.given(), spec.details.given()) else { return };
    match Kind::of(&kind.value.0) {
        None => {
            let message = format!("no SLI can use a source of type {:?}", kind.value.0);
            problems.warn(&kind.at, message).hint("`nines` and `Prometheus` are read");
        }
        Some(Kind::Nines) => {}
        Some(Kind::Prometheus) => {
            for (key, _) in pairs(&details.value.0) {
                let Data::Scalar { text, .. } = &key.data else { continue };
                if text != "server" {
                    let at = details.at.key(text, key.place);
                    let problem = problems.secret(&at, format!("`{text}` is not used"));
                    problem.expected("`server`: the name of a server in the operator's config");
                    problem.hint("where a Prometheus is and how to reach it is the operator's");
                }
            }
        }
    }
}

/// Looks at an SLI by itself, so that one that nobody uses yet is right as well.
pub(super) fn check_sli(sli: &OpenSli, known: &Known<'_>, problems: &mut Problems) {
    let Some(spec) = sli.spec.value() else { return };
    let ratio = spec.ratio.value();
    let parts = ratio.map(|ratio| [&ratio.good, &ratio.bad, &ratio.total, &ratio.raw]);
    let metrics = parts.into_iter().flatten().chain([&spec.threshold]);
    for metric in metrics.filter_map(Field::value) {
        let Some(asked) = asked(metric, known, problems) else { continue };
        match asked.kind {
            Kind::Nines => {
                let _ = NinesSource::read(&asked.spec.value.0, &asked.spec.at, problems);
            }
            Kind::Prometheus => {
                let _ = query(&asked, problems);
            }
        }
    }
}

fn pairs(node: &Node) -> &[(Rc<Node>, Rc<Node>)] {
    match &node.data {
        Data::Map(pairs) => pairs,
        _ => &[],
    }
}

/// A metric source with its type known.
struct Asked<'a> {
    kind: Kind,
    /// The server that the DataSource names.
    server: Option<Name>,
    spec: &'a Given<super::value::Query>,
}

fn asked<'a>(
    metric: &'a OpenMetric,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Option<Asked<'a>> {
    let source = metric.source.given()?;
    let spec = source.value.spec.given()?;
    let named = match &source.value.reference {
        Field::Given(name) => Some(known.sources.find(name, problems)?),
        Field::Absent => None,
        Field::Broken => return None,
    };
    let declared = named.and_then(|named| named.spec.value()).and_then(|spec| spec.kind.given());
    let kind = match (&source.value.kind, declared) {
        (Field::Given(own), Some(declared))
            if !own.value.0.eq_ignore_ascii_case(&declared.value.0) =>
        {
            let message = format!("type {:?} of a DataSource of another", own.value.0);
            problems.error(&own.at, message).expected(format!("{:?}", declared.value.0));
            return None;
        }
        (Field::Given(own), _) => own,
        (_, Some(declared)) => declared,
        _ => {
            let problem = problems.error(&source.at, "a source of no type");
            problem.expected("`metricSourceRef`, or `type: nines` or `type: Prometheus`");
            return None;
        }
    };
    let Some(known_kind) = Kind::of(&kind.value.0) else {
        let at = source.value.kind.given().map_or(&source.at, |kind| &kind.at);
        let message = format!("nines cannot ask a source of type {:?}", kind.value.0);
        problems.error(at, message).expected("`nines` or `Prometheus`");
        return None;
    };
    let server = named.and_then(|named| {
        let details = named.spec.value()?.details.value()?;
        let is = |key: &Node| matches!(&key.data, Data::Scalar { text, .. } if text == "server");
        let value = pairs(&details.0).iter().find(|(key, _)| is(key)).map(|(_, value)| value);
        match value.map(|value| &value.data) {
            Some(Data::Scalar { text, .. }) => text.parse().ok(),
            _ => super::name_of(&named.metadata).map(|name| name.value.clone()),
        }
    });
    Some(Asked { kind: known_kind, server, spec })
}

/// What an objective of an SLI counts; probes that are written out are added to the service.
/// None (and reported) if something is wrong.
pub(super) fn source(
    (name, sli): (&Given<Name>, &OpenSliSpec),
    objective: &Given<OpenObjective>,
    known: &Known<'_>,
    service: &mut Service,
    cx: &mut Context,
) -> Option<Source> {
    if let Some(ratio) = sli.ratio.given() {
        for (key, at) in [
            ("op", objective.value.op.given().map(|given| &given.at)),
            ("value", objective.value.value.given().map(|given| &given.at)),
        ] {
            if let Some(at) = at {
                let message = format!("`{key}` in an objective of a ratio");
                let problem = cx.problems.error(at, message);
                problem.expected(format!("no `{key}`: it belongs to a threshold metric"));
            }
        }
        return self::ratio(name, ratio, known, service, cx);
    }
    let metric = sli.threshold.given()?;
    let asked = asked(&metric.value, known, cx.problems);
    let compared = compared(objective, cx.problems);
    let (asked, (op, value)) = (asked?, compared?);
    match asked.kind {
        Kind::Nines => {
            let probe = probe(name, &asked, service, cx)?;
            let under = latency(op, value, cx.problems)?;
            Some(Source::Probe(probe, Some(under)))
        }
        Kind::Prometheus => {
            let (server, query) = query(&asked, cx.problems)?;
            let op = match op.value {
                Op::Lt => Compare::Below,
                Op::Lte => Compare::AtMost,
                Op::Gt => Compare::Above,
                Op::Gte => Compare::AtLeast,
            };
            let measure = Measure::Threshold { query, op, nano: value.value.nano };
            Some(Source::Prometheus(Prometheus { server, measure, counter: false }))
        }
    }
}

/// What a threshold metric is compared with.
fn compared<'a>(
    objective: &'a Given<OpenObjective>,
    problems: &mut Problems,
) -> Option<(&'a Given<Op>, &'a Given<super::value::Number>)> {
    let raw = &objective.value;
    for (key, absent) in [("op", raw.op.is_absent()), ("value", raw.value.is_absent())] {
        if absent {
            let message = format!("no `{key}` in an objective of a threshold metric");
            problems.error(&objective.at, message).expected(format!("`{key}`"));
        }
    }
    Some((raw.op.given()?, raw.value.given()?))
}

/// The latency up to which an answer is good: the value is in seconds.
fn latency(
    op: &Given<Op>,
    value: &Given<super::value::Number>,
    problems: &mut Problems,
) -> Option<Duration> {
    let micros = match op.value {
        Op::Lte => value.value.nano / 1_000,
        Op::Lt => value.value.nano.div_ceil(1_000).saturating_sub(1),
        Op::Gt | Op::Gte => {
            let problem = problems.error(&op.at, "slow answers as good ones");
            problem.expected("`lte` or `lt`: the value of a probe is its latency in seconds");
            return None;
        }
    };
    if micros == 0 {
        let problem = problems.error(&value.at, "a latency of less than a microsecond");
        problem.expected("seconds, such as 0.3");
        return None;
    }
    Some(Duration::from_micros(micros))
}

fn ratio(
    name: &Given<Name>,
    given: &Given<OpenRatio>,
    known: &Known<'_>,
    service: &mut Service,
    cx: &mut Context,
) -> Option<Source> {
    let raw = &given.value;
    if let Field::Given(metric) = &raw.raw {
        return stored(raw, metric, given, known, cx);
    }
    if let Field::Given(of) = &raw.raw_type {
        let problem = cx.problems.error(&of.at, "`rawType` without `raw`");
        problem.expected("`rawType` beside `raw` only");
    }
    if raw.good.is_absent() && raw.bad.is_absent() {
        let problem = cx.problems.error(&given.at, "`total` without `good` and `bad`");
        problem.expected(format!("one of {}", quoted(["good", "bad"])));
        return None;
    }
    let is_good = raw.good.given().is_some();
    let part = raw.good.given().or(raw.bad.given())?;
    let total = raw.total.given()?;
    let (part, total_asked) =
        (asked(&part.value, known, cx.problems), asked(&total.value, known, cx.problems));
    let (part, total_asked) = (part?, total_asked?);
    if part.kind != total_asked.kind {
        cx.problems
            .error(&total.at, "`total` comes from another type of source than the rest")
            .expected("one source for both");
        return None;
    }
    match part.kind {
        Kind::Nines => {
            let all = probe(name, &total_asked, service, cx);
            let same = probe(name, &part, service, cx);
            if all? != same.clone()? {
                let problem =
                    cx.problems.error(&part.spec.at, "another probe than that of `total`");
                problem.expected("the same probe: nines tells its good results from its bad ones");
                return None;
            }
            Some(Source::Probe(same?, None))
        }
        Kind::Prometheus => {
            let (one, all) = (query(&part, cx.problems), query(&total_asked, cx.problems));
            let ((server, one), (other, total_query)) = (one?, all?);
            if server != other {
                let problem = cx.problems.error(&total.at, "`total` comes from another server");
                problem.expected(format!("`{server}` for both"));
                return None;
            }
            let measure = match is_good {
                true => Measure::Good { good: one, total: total_query },
                false => Measure::Bad { bad: one, total: total_query },
            };
            let counter = raw.counter.value().copied().unwrap_or(false);
            Some(Source::Prometheus(Prometheus { server, measure, counter }))
        }
    }
}

/// A ratio that somebody else has worked out.
fn stored(
    raw: &OpenRatio,
    metric: &Given<OpenMetric>,
    given: &Given<OpenRatio>,
    known: &Known<'_>,
    cx: &mut Context,
) -> Option<Source> {
    if raw.raw_type.is_absent() {
        let problem = cx.problems.error(&given.at, "`raw` without `rawType`");
        problem.expected("`rawType: success` or `rawType: failure`");
    }
    let asked = asked(&metric.value, known, cx.problems)?;
    if asked.kind == Kind::Nines {
        let problem = cx.problems.error(&metric.at, "a probe gives results, not a ratio");
        problem.expected("`good` and `total` instead of `raw`");
        return None;
    }
    let (server, query) = query(&asked, cx.problems)?;
    let of_good = *raw.raw_type.value()? == RawType::Success;
    let measure = Measure::Ratio { query, of_good };
    Some(Source::Prometheus(Prometheus { server, measure, counter: false }))
}

/// What a Prometheus is asked, and which.
fn query(asked: &Asked<'_>, problems: &mut Problems) -> Option<(Name, String)> {
    let raw = PrometheusSource::read(&asked.spec.value.0, &asked.spec.at, problems)?;
    let server = match &raw.server {
        Field::Given(server) => Some(server.value.clone()),
        Field::Broken => return None,
        Field::Absent => asked.server.clone(),
    };
    if server.is_none() {
        let problem = problems.error(&asked.spec.at, "a query without a server");
        problem.expected("`server`, or a DataSource with `connectionDetails: {server: NAME}`");
    }
    Some((server?, raw.query.value()?.0.clone()))
}

/// The probe that is meant, added to the service if it is written out.
fn probe(
    name: &Given<Name>,
    asked: &Asked<'_>,
    service: &mut Service,
    cx: &mut Context,
) -> Option<ProbeId> {
    let at = &asked.spec.at;
    let raw = NinesSource::read(&asked.spec.value.0, at, cx.problems)?;
    if let Field::Given(id) = &raw.probe {
        for (key, there) in
            [("interval", !raw.interval.is_absent()), ("timeout", !raw.timeout.is_absent())]
        {
            if there {
                let message = format!("`{key}` beside the name of a probe");
                cx.problems.error(at, message).expected("the probe has its own");
            }
        }
        return named(id, service, cx.problems);
    }
    let built = written_out(name, &raw, at, service, cx)?;
    let id = built.id.clone();
    match service.probes.iter().find(|probe| probe.id == id) {
        None => service.probes.push(built),
        Some(known) if *known == built => {}
        Some(_) => {
            let message = format!("another probe {id} is there already");
            let problem = cx.problems.error(at, message);
            problem.expected("the same probe, or an SLI of another name");
            return None;
        }
    }
    Some(id)
}

fn named(
    id: &Given<crate::spec::value::Text<127>>,
    service: &Service,
    problems: &mut Problems,
) -> Option<ProbeId> {
    let text = &id.value.0;
    let of = text.split_once('/').map(|(of, _)| of);
    if of.is_some_and(|of| of != service.name.as_str()) {
        let message = format!("probe {text:?} belongs to another service");
        problems.error(&id.at, message).expected(format!("a probe of `{}`", service.name));
        return None;
    }
    let known = service.probes.iter().find(|probe| probe.id.as_str() == text);
    if known.is_none() {
        let names: Vec<&str> = service.probes.iter().map(|probe| probe.id.as_str()).collect();
        let expected = match names.is_empty() {
            true => format!("`{}` has no probes", service.name),
            false => format!("one of {}", quoted(names.iter().copied().take(12))),
        };
        problems.error(&id.at, format!("unknown probe {text:?}")).expected(expected);
    }
    known.map(|probe| probe.id.clone())
}

fn written_out(
    name: &Given<Name>,
    raw: &NinesSource,
    at: &At,
    service: &Service,
    cx: &mut Context,
) -> Option<Probe> {
    const INTERVAL: Duration = Duration::from_secs(10);
    let interval = match &raw.interval {
        Field::Absent => Field::Given(Given { value: INTERVAL, at: at.clone() }),
        other => other.clone(),
    };
    let probe = raw::Probe {
        name: Field::Given(name.clone()),
        http: raw.http.clone(),
        tcp: raw.tcp.clone(),
        tls: raw.tls.clone(),
        interval,
        timeout: raw.timeout.clone(),
    };
    let given = Given { value: probe, at: at.clone() };
    resolve::probe(Some(&service.name), &given, cx)
}
