//! Services: their labels, dependencies, probes and promises, and cycles between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::parts::{is_label_name, whole_seconds, within};
use super::{Context, Names, declare, probe, raw, refer, source};
use crate::model::catalog::{Dependency, Method, Service};
use crate::model::time::format_duration;
use crate::model::window::{Calendar, Window};
use crate::model::{AlertPolicy, Name, Pair, Probe, ProbeId, Share, Slo, SloId};
use crate::spec::mirror::{Field, Given};
use crate::spec::problem::{At, Problems};
use crate::spec::value::{Map, Text};

/// Builds a service; none if something in it was wrong.
pub(super) fn service(raw: &raw::Service, cx: &mut Context) -> Option<Service> {
    let name = raw.name().map(|name| &name.value);
    let labels = raw.metadata.value().map(|metadata| labels(&metadata.labels, cx.problems));
    let spec = raw.spec.value()?;
    if let Field::Given(tier) = &spec.support {
        refer("SupportTier", tier, &cx.tiers, cx.problems);
    }
    let depends_on = dependencies(&spec.depends_on, cx);
    let probes = Probes::build(name, &spec.probes, cx);
    let slos = slos(name, spec, &probes, cx);
    let (slos, sources) = slos.unzip();
    let metadata = raw.metadata.value()?;
    Some(Service {
        name: name?.clone(),
        display_name: metadata.display_name.value().map(|name| name.0.clone()),
        labels: labels?,
        description: spec.description.value().map(|text| text.0.clone()),
        links: links(&spec.links, cx.problems),
        support: spec.support.value().cloned(),
        depends_on,
        probes: probes.with(sources?)?,
        slos: slos?,
    })
}

/// Schemes that make a link do something, or open something that is not on the web.
const ACTIVE: [&str; 7] = ["about", "blob", "data", "file", "filesystem", "javascript", "vbscript"];

fn links<const MAX: usize, const N: usize>(
    field: &Field<Map<Text<MAX>, N>>,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let items = field.value().map(|map| map.items.as_slice()).unwrap_or_default();
    for (_, value) in items {
        let Some(text) = value.given() else { continue };
        // As a browser reads it: without controls and blanks, in any case.
        let plain = text.value.0.chars().filter(|c| !c.is_control() && !c.is_whitespace());
        let plain = plain.collect::<String>().to_ascii_lowercase();
        let scheme = plain.split_once(':').map(|(scheme, _)| scheme);
        if scheme.is_some_and(|scheme| ACTIVE.contains(&scheme)) {
            let expected = "https://, or text that is no link at all, such as \"#chat\"";
            problems.error(&text.at, "a link that could run a script").expected(expected);
        }
    }
    texts(field)
}

pub(super) fn texts<const MAX: usize, const N: usize>(
    field: &Field<Map<Text<MAX>, N>>,
) -> BTreeMap<String, String> {
    let items = field.value().map(|map| map.items.as_slice()).unwrap_or_default();
    let pair = |(key, value): &(Given<String>, Field<Text<MAX>>)| {
        value.value().map(|text| (key.value.clone(), text.0.clone()))
    };
    items.iter().filter_map(pair).collect()
}

pub(super) fn labels(
    field: &Field<Map<Text<256>, 32>>,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let items = field.value().map(|map| map.items.as_slice()).unwrap_or_default();
    for (key, value) in items {
        if !is_label_name(&key.value) {
            problems
                .error(&key.at, format!("{:?} is not a label name", key.value))
                .expected("letters, digits and `_`, not starting with a digit or `__`");
        }
        let controls = value.given().filter(|text| text.value.0.chars().any(char::is_control));
        if let Some(text) = controls {
            problems.error(&text.at, "a label value with control characters").expected("one line");
        }
    }
    texts(field)
}

type Alternatives = Vec<Given<Name>>;

/// The services a raw dependency names.
fn named(raw: &raw::Dependency) -> Alternatives {
    let one = raw.service.given().cloned();
    let many = raw.of.value().map(|of| of.items.as_slice()).unwrap_or_default();
    one.into_iter().chain(many.iter().filter_map(|a| a.value.service.given().cloned())).collect()
}

pub(super) fn dependencies<const A: usize, const B: usize>(
    field: &Field<crate::spec::value::List<raw::Dependency, A, B>>,
    cx: &mut Context,
) -> Vec<Dependency> {
    let items = field.value().map(|list| list.items.as_slice()).unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut built = Vec::new();
    for given in items {
        let of = named(&given.value);
        for name in &of {
            refer("Service", name, &cx.services, cx.problems);
            if !seen.insert(name.value.clone()) {
                let what = format!("{:?} is depended on twice", name.value.as_str());
                cx.problems.error(&name.at, what).hint("keep one of the two");
            }
        }
        built.extend(dependency(given, of, cx.problems));
    }
    built
}

fn dependency(
    given: &Given<raw::Dependency>,
    of: Alternatives,
    problems: &mut Problems,
) -> Option<Dependency> {
    let raw = &given.value;
    if raw.of.is_absent() {
        for (key, at) in [
            ("need", raw.need.given().map(|g| &g.at)),
            ("commonCause", raw.common_cause.given().map(|g| &g.at)),
        ] {
            if let Some(at) = at {
                let message = format!("`{key}` without `of`");
                problems.error(at, message).expected("`of` with the alternatives");
            }
        }
        let of: Vec<Name> = of.into_iter().map(|name| name.value).collect();
        let impact = *raw.impact.value()?;
        return (of.len() == 1).then_some(Dependency {
            need: 1,
            of,
            impact,
            common_cause_ppb: None,
        });
    }
    if !raw.service.is_absent() {
        // Both at once has been reported where the keys were read.
        return None;
    }
    let need = match &raw.need {
        Field::Given(need) => need,
        Field::Broken => return None,
        Field::Absent => {
            let problem = problems.error(&given.at, "`of` without `need`");
            problem.expected("`need`: how many of them must work");
            return None;
        }
    };
    let n = of.len() as u64;
    if need.value.0 > n {
        let message = format!("{} of {n} can never be there", need.value.0);
        problems.error(&need.at, message).expected(format!("1 to {n}"));
        return None;
    }
    if raw.common_cause.is_absent() && need.value.0 < n {
        problems
            .warn(&given.at, "no `commonCause`: 10% of the failures are taken to hit all at once")
            .hint("declare `commonCause`, the share of failures that take all of them at once");
    }
    Some(Dependency {
        need: usize::try_from(need.value.0).ok()?,
        of: of.into_iter().map(|name| name.value).collect(),
        impact: *raw.impact.value()?,
        common_cause_ppb: raw.common_cause.value().map(|share| share.ppb()),
    })
}

/// The probes of a service, and what can be said about them while some are broken.
struct Probes {
    /// All of them by name, if none is broken.
    built: Option<Vec<Probe>>,
    /// Those that could be built.
    by_name: BTreeMap<Name, Probe>,
    /// Every declared name.
    names: Names,
}

impl Probes {
    fn build<const A: usize, const B: usize>(
        service: Option<&Name>,
        field: &Field<crate::spec::value::List<raw::Probe, A, B>>,
        cx: &mut Context,
    ) -> Self {
        let items = field.value().map(|list| list.items.as_slice()).unwrap_or_default();
        let named = items.iter().all(|given| given.value.name.given().is_some());
        let complete = !matches!(field, Field::Broken) && named;
        let (mut names, mut by_name, mut all) = (Names::new(complete), BTreeMap::new(), Vec::new());
        for given in items {
            if let Some(name) = given.value.name.given() {
                declare("probe", name, &mut names, cx.problems);
            }
            let built = probe::probe(service, given, cx);
            if let (Some(probe), Some(name)) = (&built, given.value.name.value()) {
                by_name.insert(name.clone(), probe.clone());
            }
            all.push(built);
        }
        let built: Option<Vec<Probe>> = all.into_iter().collect();
        let built = built.map(|mut probes| {
            probes.sort_by(|a, b| a.id.cmp(&b.id));
            probes
        });
        Probes { built, by_name, names }
    }

    /// All of them, with what counts in place of probes.
    fn with(self, sources: Vec<Probe>) -> Option<Vec<Probe>> {
        let mut probes = self.built?;
        probes.extend(sources);
        probes.sort_by(|a, b| a.id.cmp(&b.id));
        Some(probes)
    }
}

fn slos(
    service: Option<&Name>,
    spec: &raw::ServiceSpec,
    probes: &Probes,
    cx: &mut Context,
) -> Option<(Vec<Slo>, Vec<Probe>)> {
    let items = spec.slos.value().map(|list| list.items.as_slice()).unwrap_or_default();
    let mut names = Names::new(true);
    let mut all = Vec::new();
    for given in items {
        if let Some(name) = given.value.name.given() {
            declare("SLO", name, &mut names, cx.problems);
        }
        all.push(slo(service, given, probes, cx));
    }
    let all = all.into_iter().collect::<Option<Vec<_>>>()?;
    let (mut slos, sources): (Vec<Slo>, Vec<Option<Probe>>) = all.into_iter().unzip();
    slos.sort_by(|a, b| a.id.cmp(&b.id));
    Some((slos, sources.into_iter().flatten().collect()))
}

/// Mean outage lengths that may be declared. The daemon looks once a second, so shorter outages
/// would claim what nobody saw; with longer ones even 99% takes over a year without an outage.
const MEAN_OUTAGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));

fn slo(
    service: Option<&Name>,
    given: &Given<raw::Slo>,
    probes: &Probes,
    cx: &mut Context,
) -> Option<(Slo, Option<Probe>)> {
    let raw = &given.value;
    let source = source::source(service, raw, cx);
    let counted = match &source {
        Some(None) => counted(given, probes, cx.problems),
        Some(Some(_)) => named_apart(raw, probes, cx.problems),
        None => None,
    };
    let of_source = source.iter().flatten();
    let used = counted.iter().flatten().filter_map(|name| probes.by_name.get(name));
    let used: Vec<&Probe> = used.chain(of_source).collect();
    let window = raw.window.given().and_then(|w| window(w, &used, cx));
    let latency = latency(raw, &used, cx.problems);
    let method = raw.method.given().and_then(|m| method(m, window.as_ref(), &used, cx.problems));
    let policy = alerting(raw, window.as_ref(), cx);
    if matches!(source, Some(Some(_))) {
        source::unknown(raw.unknown.given(), method, cx.problems);
    }
    let source = source?;
    let service = service?;
    let id = SloId::new(service, raw.name.value()?);
    let mut ids: Vec<_> = counted?.iter().map(|name| ProbeId::new(service, name)).collect();
    ids.sort();
    let slo = Slo {
        id,
        display_name: raw.display_name.value().map(|name| name.0.clone()),
        description: raw.description.value().map(|text| text.0.clone()),
        probes: ids,
        latency_under: latency?,
        source: source.as_ref().and_then(|probe| probe.check.source().cloned()),
        parts: Vec::new(),
        objective: *raw.objective.value()?,
        window: window?,
        method: method?,
        unknown: *raw.unknown.value()?,
        policy: policy?,
        min_coverage: min_coverage(raw, cx.problems)?,
        mean_outage: within(raw.mean_outage.given()?, MEAN_OUTAGE, cx.problems)?,
        notify: Vec::new(),
    };
    Some((slo, source))
}

/// The name under which a source counts, which is that of its SLO and must be no probe's.
fn named_apart(raw: &raw::Slo, probes: &Probes, problems: &mut Problems) -> Option<Vec<Name>> {
    let name = raw.name.given()?;
    if probes.names.declared.contains_key(&name.value) {
        let message = format!("{:?} is the name of a probe, too", name.value.as_str());
        problems
            .error(&name.at, message)
            .expected("a name that no probe of the service has, for an SLO with its own source");
        return None;
    }
    Some(vec![name.value.clone()])
}

/// The probes that count, each of which exists; none (and reported) otherwise.
fn counted(given: &Given<raw::Slo>, probes: &Probes, problems: &mut Problems) -> Option<Vec<Name>> {
    let raw = &given.value;
    let listed: Vec<&Given<Name>> = match (&raw.probe, &raw.probes) {
        (Field::Broken, _) | (_, Field::Broken) => return None,
        (Field::Given(one), _) => vec![one],
        (_, Field::Given(many)) => many.value.items.iter().collect(),
        (Field::Absent, Field::Absent) => {
            if probes.names.declared.is_empty() && probes.names.complete {
                let problem = problems.error(&given.at, "an SLO of a service without probes");
                problem.expected("`probes` in the service");
            }
            let all: Vec<Name> = probes.names.declared.keys().cloned().collect();
            return (!all.is_empty()).then_some(all);
        }
    };
    let mut names = Vec::new();
    for name in listed {
        if !refer("probe", name, &probes.names, problems) {
            continue;
        }
        if names.contains(&name.value) {
            let what = format!("probe {:?} twice", name.value.as_str());
            problems.error(&name.at, what).hint("remove one");
        }
        names.push(name.value.clone());
    }
    (!names.is_empty()).then_some(names)
}

pub(super) fn window(
    given: &Given<raw::Window>,
    probes: &[&Probe],
    cx: &mut Context,
) -> Option<Window> {
    let (at, retention) = (&given.at, cx.options.retention);
    let window = match &given.value {
        raw::Window::Rolling(length) => Window::Rolling(*length),
        raw::Window::Calendar(raw) => {
            let zone = raw.time_zone.value()?.0.clone();
            Window::Calendar(Calendar::of(*raw.calendar.value()?, zone))
        }
    };
    if !is_retained(&window, at, cx) {
        return None;
    }
    if let Window::Rolling(length) = window {
        whole_seconds(at, length, retention, cx.problems)?;
    }
    if let Some(slow) = probes.iter().max_by_key(|probe| probe.interval)
        && slow.interval > window.shortest()
    {
        let (interval, id) = (format_duration(slow.interval), &slow.id);
        cx.problems
            .error(at, format!("the window is shorter than the interval of {id}"))
            .expected(format!("at least {interval}"));
        return None;
    }
    Some(window)
}

/// Whether history is kept for as long as the window; reports it where it is not.
pub(super) fn is_retained(window: &Window, at: &At, cx: &mut Context) -> bool {
    let retention = cx.options.retention;
    if window.longest() > retention {
        let kept = format_duration(retention);
        cx.problems
            .error(at, format!("the window {window} is longer than history is kept"))
            .expected(format!("at most {kept}"))
            .hint("the operator can keep more: `storage.retention`");
    }
    window.longest() <= retention
}

fn method(
    given: &Given<raw::BudgetMethod>,
    window: Option<&Window>,
    probes: &[&Probe],
    problems: &mut Problems,
) -> Option<Method> {
    let raw::BudgetMethod::Slices(slices) = &given.value else { return Some(Method::Occurrences) };
    if let Some(raw) = slices.timeslices.value() {
        let slice = slice(raw.slice.given()?, window, probes, problems);
        let objective = raw.objective.given()?;
        if objective.value.ppb() == 0 {
            let problem = problems.error(&objective.at, "slices that are good whatever happens");
            problem.expected("a share above 0%");
            return None;
        }
        return Some(Method::Timeslices { slice: slice?, objective: objective.value });
    }
    let raw = slices.ratio.value()?;
    Some(Method::RatioTimeslices { slice: slice(raw.slice.given()?, window, probes, problems)? })
}

/// The length of a slice: whole minutes, so that history that is kept by the minute cuts none;
/// at least the longest interval, so that none is empty; at most the window.
pub(in crate::spec) fn slice(
    given: &Given<Duration>,
    window: Option<&Window>,
    probes: &[&Probe],
    problems: &mut Problems,
) -> Option<Duration> {
    const MINUTE: Duration = Duration::from_secs(60);
    let slice = given.value;
    let text = format_duration(slice);
    if slice < MINUTE || !slice.as_micros().is_multiple_of(MINUTE.as_micros()) {
        let message = format!("a slice of {text} is not a whole number of minutes");
        problems.error(&given.at, message).expected("1m, 5m, 1h and the like");
        return None;
    }
    if let Some(window) = window.filter(|window| slice > window.shortest()) {
        let message = format!("a slice of {text} is longer than the window of {window}");
        let most = format_duration(window.shortest());
        problems.error(&given.at, message).expected(format!("at most {most}"));
        return None;
    }
    if let Some(slow) = probes.iter().find(|probe| probe.interval > slice) {
        let message = format!("a slice of {text} is shorter than the interval of {}", slow.id);
        let least = format_duration(slow.interval);
        problems.error(&given.at, message).expected(format!("at least {least}"));
        return None;
    }
    Some(slice)
}

/// The least coverage, if any; none of both if it is wrong.
fn min_coverage(raw: &raw::Slo, problems: &mut Problems) -> Option<Option<Share>> {
    match &raw.min_coverage {
        Field::Absent => Some(None),
        Field::Broken => None,
        Field::Given(share) if share.value.ppb() == 0 => {
            let problem = problems.error(&share.at, "a coverage of 0 is always reached");
            problem.expected("a share above 0%, such as 90%");
            None
        }
        Field::Given(share) => Some(Some(share.value)),
    }
}

fn latency(raw: &raw::Slo, probes: &[&Probe], problems: &mut Problems) -> Option<Option<Duration>> {
    let latency = match &raw.latency {
        Field::Given(latency) => latency,
        Field::Absent => return Some(None),
        Field::Broken => return None,
    };
    let under = latency.value.under.given()?;
    if under.value.is_zero() {
        problems.error(&under.at, "a latency of 0").expected("a duration above 0");
        return None;
    }
    if let Some(probe) = probes.iter().find(|probe| probe.timeout <= under.value) {
        let (timeout, id) = (format_duration(probe.timeout), &probe.id);
        problems
            .warn(
                &under.at,
                format!("probe {id} gives up after {timeout}, so this changes nothing"),
            )
            .hint("choose a latency below the timeout, or leave it out");
    }
    Some(Some(under.value))
}

/// The policy, if any; none of both if it is wrong.
fn alerting(
    raw: &raw::Slo,
    window: Option<&Window>,
    cx: &mut Context,
) -> Option<Option<Arc<AlertPolicy>>> {
    let (policy, at) = match &raw.alerting {
        Field::Broken => return None,
        Field::Given(Given { value: raw::Alerting::Off, .. }) => return Some(None),
        Field::Given(Given { value: raw::Alerting::By(by), .. }) => {
            let name = by.policy.given()?;
            refer("AlertPolicy", name, &cx.policy_names, cx.problems);
            (cx.policies.get(&name.value)?, name.at.clone())
        }
        Field::Absent => return Some(default_alerting(raw, window?, cx)),
    };
    let policy = Arc::clone(policy);
    let window = window?;
    let most = window.shortest();
    if let Some(long) = policy.pairs.iter().map(|pair| pair.long).max().filter(|l| *l > most) {
        let (name, long) = (&policy.name, format_duration(long));
        let message =
            format!("policy `{name}` looks back {long}, further than the window of {window}");
        cx.problems
            .error(&at, message)
            .expected(format!("pairs of at most {}", format_duration(most)))
            .hint("choose a longer window, an AlertPolicy with shorter pairs, or `alerting: none`");
        return None;
    }
    Some(Some(policy))
}

/// The built-in policy, as far as it fits: pairs that look back further than the window are left
/// out, and somebody is told.
fn default_alerting(raw: &raw::Slo, window: &Window, cx: &mut Context) -> Option<Arc<AlertPolicy>> {
    let workbook = cx.policies.get(&AlertPolicy::workbook().name)?;
    let fits = |pair: &&Pair| pair.long <= window.shortest();
    let pairs: Vec<Pair> = workbook.pairs.iter().filter(fits).copied().collect();
    if pairs.len() == workbook.pairs.len() {
        return Some(Arc::clone(workbook));
    }
    let at = raw.window.given()?.at.clone();
    let (n, all, text) = (pairs.len(), workbook.pairs.len(), window.to_string());
    let message = match n {
        0 => format!(
            "a window of {text} is shorter than every pair of the default policy: no alerts"
        ),
        _ => format!(
            "{n} of {all} pairs of the default policy look back less than {text}; they alone alert"
        ),
    };
    cx.problems
        .warn(&at, message)
        .hint("name an AlertPolicy with pairs for this window, or say `alerting: none`");
    let policy = AlertPolicy { pairs, ..(**workbook).clone() };
    (n > 0).then(|| Arc::new(policy))
}

/// Reports services that need each other in a circle.
pub(super) fn cycles(services: &[raw::Service], cx: &mut Context) {
    let mut edges: BTreeMap<Name, Vec<Given<Name>>> = BTreeMap::new();
    for service in services {
        let Some(name) = service.name() else { continue };
        let list = service.spec.value().and_then(|spec| spec.depends_on.value());
        let items = list.map(|list| list.items.as_slice()).unwrap_or_default();
        edges.insert(name.value.clone(), items.iter().flat_map(|d| named(&d.value)).collect());
    }
    let mut done: BTreeSet<Name> = BTreeSet::new();
    for start in edges.keys() {
        // Depth first without recursion: the services on the way, each with its next edge.
        let mut way: Vec<(&Name, usize)> = vec![(start, 0)];
        while let Some((name, next)) = way.last_mut() {
            let edge = edges.get(*name).and_then(|list| list.get(*next));
            *next += 1;
            let Some(edge) = edge.filter(|_| !done.contains(*name)) else {
                done.insert((*name).clone());
                way.pop();
                continue;
            };
            match way.iter().position(|(on, _)| **on == edge.value) {
                Some(from) => {
                    let circle = way[from..].iter().map(|(name, _)| name.as_str());
                    let circle: Vec<&str> = circle.chain([edge.value.as_str()]).collect();
                    let message = format!("services need each other: {}", circle.join(" -> "));
                    cx.problems.error(&edge.at, message).hint("remove one of these dependencies");
                }
                None if !done.contains(&edge.value) => way.push((&edge.value, 0)),
                None => {}
            }
        }
    }
}
