//! From an OpenSLO `SLO` to promises of a service: one for each of its objectives, and one of all
//! of them if it is composite.

mod composite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::measure::{self, Source};
use super::raw::{Budgeting, OpenObjective, OpenSliSpec, OpenSlo, OpenSloSpec, OpenTimeWindow};
use super::value::PolicyUse;
use super::{Known, Told, alerts, name_of};
use crate::model::catalog::{Method, NotificationTarget, Service};
use crate::model::source::{Measure, Prometheus};
use crate::model::time::format_duration;
use crate::model::window::{Calendar, Window};
use crate::model::{
    self, AlertPolicy, Name, Objective, ProbeId, Share, ShortThreshold, Slo, SloId,
};
use crate::spec::mirror::{Field, Given};
use crate::spec::problem::At;
use crate::spec::resolve::{self, Context};

type Sli<'a> = (&'a Given<Name>, &'a OpenSliSpec);

/// What the objectives of one document have in common.
struct Common<'a> {
    document: &'a OpenSlo,
    spec: &'a OpenSloSpec,
    name: &'a Given<Name>,
    window: Window,
    policy: Option<Arc<AlertPolicy>>,
    targets: Vec<NotificationTarget>,
    /// How many objectives there are.
    n: usize,
}

/// Builds every objective of one document into its service, and what they are together if that is
/// composite. Says where each is declared.
pub(super) fn add(
    document: &OpenSlo,
    known: &Known<'_>,
    policies: &BTreeMap<Name, Option<Told>>,
    services: &mut [Service],
    cx: &mut Context,
) -> Vec<(String, At)> {
    let Some(given) = document.spec.given() else { return Vec::new() };
    let spec = &given.value;
    let window = window(spec, cx);
    let told = told(spec, known, policies, cx);
    let measured = composite::indicators(given, known, cx);
    let name = name_of(&document.metadata);
    let Some(service_name) = spec.service.given() else { return Vec::new() };
    resolve::refer("Service", service_name, &cx.services, cx.problems);
    let service = services.iter_mut().find(|service| service.name == service_name.value);
    let (Some(service), Some(name)) = (service, name) else { return Vec::new() };
    let policy = window.as_ref().and_then(|window| policy(&name.value, window, &told, spec, cx));
    let Some(objectives) = spec.objectives.value() else { return Vec::new() };
    let is_composite = measured.is_composite && objectives.items.len() > 1;
    let targets: Vec<NotificationTarget> = told.into_iter().flat_map(|told| told.targets).collect();
    let told_of_whole = policy.clone().flatten();
    // Nobody is told of the objectives of a composite one by one.
    let each = |of_all: Vec<_>| if is_composite { Vec::new() } else { of_all };
    let common = window.as_ref().zip(policy).map(|(window, policy)| Common {
        document,
        spec,
        name,
        window: window.clone(),
        policy: policy.filter(|_| !is_composite),
        targets: each(targets.clone()),
        n: objectives.items.len(),
    });
    let mut built = Vec::new();
    for ((n, objective), sli) in objectives.items.iter().enumerate().zip(measured.slis) {
        let Some(sli) = sli else { continue };
        let source = measure::source(sli, objective, known, service, cx);
        let promised = objective_of(&objective.value, cx);
        let method = method(spec, objective, window.as_ref(), (&source, service), cx);
        let (Some(common), Some(source)) = (&common, source) else { continue };
        let Some((objective_ppb, method)) = promised.zip(method) else { continue };
        built.extend(promise(common, (n, objective), (source, objective_ppb, method), service, cx));
    }
    let mut places: Vec<(String, At)> =
        built.iter().map(|id| (id.to_string(), name.at.clone())).collect();
    if let Some(common) = common.filter(|common| is_composite && built.len() == common.n) {
        let whole = Common { policy: told_of_whole, targets, ..common };
        places.extend(composite::add(&whole, &built, service, cx));
    }
    places
}

/// The promise of one objective, added to its service.
fn promise(
    common: &Common<'_>,
    (n, objective): (usize, &Given<OpenObjective>),
    (source, objective_ppb, method): (Source, Objective, Method),
    service: &mut Service,
    cx: &mut Context,
) -> Option<SloId> {
    let Common { document, spec, name, .. } = common;
    let id = id(service, name, n, common.n, cx)?;
    is_free(&id, name, service, cx)?;
    let (probes, latency_under, source) = match source {
        Source::Probe(probe, under) => (vec![probe], under, None),
        Source::Prometheus(prometheus) => {
            let probes = counted((&id, name), &prometheus, method, service, cx)?;
            (probes, None, Some(model::Source::Prometheus(prometheus)))
        }
    };
    let own = objective.value.display_name.value().map(|name| name.0.clone());
    service.slos.push(Slo {
        display_name: own.or(display_name(document)),
        description: spec.description.value().map(|text| text.0.clone()),
        probes,
        latency_under,
        source,
        method,
        policy: common.policy.clone(),
        notify: common.targets.clone(),
        ..Slo::new(id.clone(), objective_ppb, common.window.clone())
    });
    Some(id)
}

fn display_name(document: &OpenSlo) -> Option<String> {
    let metadata = document.metadata.value();
    metadata.and_then(|m| m.display_name.value()).map(|name| name.0.clone())
}

/// Reports a name that another SLO of the service has.
fn is_free(id: &SloId, name: &Given<Name>, service: &Service, cx: &mut Context) -> Option<()> {
    if service.slos.iter().all(|slo| slo.id != *id) {
        return Some(());
    }
    let problem = cx.problems.error(&name.at, format!("a second SLO {id}"));
    problem.expected("a name that no other SLO of the service has");
    None
}

/// What counts for an SLO that a Prometheus measures, added to the probes of the service: a
/// ratio that the server works out has no counts, so nothing does.
fn counted(
    (id, name): (&SloId, &Given<Name>),
    prometheus: &Prometheus,
    method: Method,
    service: &mut Service,
    cx: &mut Context,
) -> Option<Vec<ProbeId>> {
    if let Measure::Ratio { .. } = prometheus.measure {
        let message = format!("{id} is a ratio that Prometheus `{}` works out", prometheus.server);
        let problem = cx.problems.warn(&name.at, message);
        problem.hint(
            "`nines run` refuses it, for a ratio cannot be counted: write `good` or `bad`, and \
             `total`; `nines backtest` replays it",
        );
        return Some(Vec::new());
    }
    let own = Given { value: id.name().parse().ok()?, at: name.at.clone() };
    let probe = resolve::of_open((&service.name, &own), prometheus, cx)?;
    if service.probes.iter().any(|other| other.id == probe.id) {
        let problem = cx.problems.error(&name.at, format!("{id} is the name of a probe, too"));
        problem.expected("a name that no probe of the service has, for an SLO with its own source");
        return None;
    }
    if method.slice().is_some_and(|slice| slice < probe.interval) {
        let interval = format_duration(probe.interval);
        let message = format!("Prometheus `{}` is asked every {interval}", prometheus.server);
        cx.problems.error(&name.at, message).expected("slices of at least that length");
        return None;
    }
    let counted = vec![probe.id.clone()];
    service.probes.push(probe);
    Some(counted)
}

/// `service/name`, or `service/name-2` for the second of several objectives.
fn id(
    service: &Service,
    name: &Given<Name>,
    n: usize,
    of: usize,
    cx: &mut Context,
) -> Option<SloId> {
    if of == 1 {
        return Some(SloId::new(&service.name, &name.value));
    }
    match format!("{}-{}", name.value, n + 1).parse() {
        Ok(numbered) => Some(SloId::new(&service.name, &numbered)),
        Err(_) => {
            let problem = cx.problems.error(&name.at, "too long for its several objectives");
            problem.expected("a name of at most 60 characters, as each gets a number");
            None
        }
    }
}

/// The promised share.
fn objective_of(raw: &OpenObjective, cx: &mut Context) -> Option<Objective> {
    let (given, whole, expected) = match (&raw.target, &raw.percent) {
        (Field::Given(target), _) => (target, 1_u64, "a target above 0 and below 1"),
        (_, Field::Given(percent)) => (percent, 100, "a percentage above 0 and below 100"),
        _ => return None,
    };
    let nano = given.value.nano;
    let exact = nano.is_multiple_of(whole);
    let objective = u32::try_from(nano / whole).ok().filter(|_| exact);
    let objective = objective.and_then(Objective::from_ppb);
    if objective.is_none() {
        let message = "a promise that is none, cannot be kept, or has too many digits";
        cx.problems
            .error(&given.at, message)
            .expected(format!("{expected}, with at most nine decimals of the ratio"));
    }
    objective
}

/// What is counted.
fn method(
    spec: &OpenSloSpec,
    objective: &Given<OpenObjective>,
    window: Option<&Window>,
    (source, service): (&Option<Source>, &Service),
    cx: &mut Context,
) -> Option<Method> {
    let raw = &objective.value;
    let budgeting = *spec.method.value()?;
    for (key, at, used) in [
        (
            "timeSliceTarget",
            raw.slice_target.given().map(|given| &given.at),
            budgeting == Budgeting::Timeslices,
        ),
        (
            "timeSliceWindow",
            raw.slice.given().map(|given| &given.at),
            budgeting != Budgeting::Occurrences,
        ),
    ] {
        if let Some(at) = at.filter(|_| !used) {
            let message = format!("`{key}` does nothing under this budgeting method");
            cx.problems.error(at, message).hint("leave it out, or choose another method");
        }
    }
    if budgeting == Budgeting::Occurrences {
        return Some(Method::Occurrences);
    }
    let missing = |key: &str, cx: &mut Context| {
        let problem = cx.problems.error(&objective.at, format!("missing key `{key}`"));
        problem.expected("what a slice is, for this budgeting method");
    };
    if raw.slice.is_absent() {
        missing("timeSliceWindow", cx);
    }
    if budgeting == Budgeting::Timeslices && raw.slice_target.is_absent() {
        missing("timeSliceTarget", cx);
    }
    let probes: Vec<_> = match source {
        Some(Source::Probe(id, _)) => service.probes.iter().filter(|p| p.id == *id).collect(),
        _ => Vec::new(),
    };
    let given = raw.slice.given()?;
    let given = Given { value: given.value.0, at: given.at.clone() };
    let slice = resolve::slice(&given, window, &probes, cx.problems);
    if budgeting == Budgeting::RatioTimeslices {
        return Some(Method::RatioTimeslices { slice: slice? });
    }
    let target = raw.slice_target.given()?;
    let share = u32::try_from(target.value.nano).ok().and_then(Share::from_ppb);
    let Some(objective) = share.filter(|share| share.ppb() > 0) else {
        let problem = cx.problems.error(&target.at, "no share of good that a slice can have");
        problem.expected("a number above 0 and at most 1");
        return None;
    };
    Some(Method::Timeslices { slice: slice?, objective })
}

/// Over which time.
fn window(spec: &OpenSloSpec, cx: &mut Context) -> Option<Window> {
    let given = spec.window.value()?.items.first()?;
    let raw = &given.value;
    let duration = raw.duration.given();
    if let Some(zero) = duration.filter(|duration| duration.value.n == 0) {
        cx.problems.error(&zero.at, "a window of no time").expected("at least 1m");
        return None;
    }
    let window = match (raw.rolling.value().copied().unwrap_or(false), raw.calendar.given()) {
        (true, Some(calendar)) => {
            let problem = cx.problems.error(&calendar.at, "`calendar` in a rolling window");
            problem.expected("one of `isRolling: true` and `calendar`");
            return None;
        }
        (false, None) if raw.calendar.is_absent() => {
            let problem = cx.problems.error(&given.at, "neither a rolling window nor a calendar's");
            problem.expected("`isRolling: true`, or `calendar` with `startTime` and `timeZone`");
            return None;
        }
        (true, None) => {
            let duration = duration?;
            let length = duration.value.length();
            if duration.value.is_uneven() {
                let message = format!("a rolling window of {} is taken", format_duration(length));
                let problem = cx.problems.warn(&duration.at, message);
                problem.hint("months and their like differ in length; write days, or a calendar");
            }
            Window::Rolling(length)
        }
        (false, _) => Window::Calendar(calendar(raw, cx)?),
    };
    let retention = cx.options.retention;
    if window.longest() > retention {
        let kept = format_duration(retention);
        cx.problems
            .error(&given.at, format!("the window {window} is longer than history is kept"))
            .expected(format!("at most {kept}"))
            .hint("the operator can keep more: `storage.retention`");
        return None;
    }
    Some(window)
}

fn calendar(raw: &OpenTimeWindow, cx: &mut Context) -> Option<Calendar> {
    let calendar = raw.calendar.value()?;
    let duration = raw.duration.given()?;
    let Some(unit) = duration.value.unit() else {
        let problem = cx.problems.error(&duration.at, "a calendar of minutes or hours");
        problem.expected("a number of d, w, M, Q or Y, such as 1M");
        return None;
    };
    let start = calendar.start.given()?;
    let zone = calendar.time_zone.value()?.0.clone();
    let text = &start.value.0;
    let plain = text.len() == 19 && text.as_bytes()[10] == b' ';
    let built = Calendar::from(unit, duration.value.n, text, zone).filter(|_| plain);
    if built.is_none() {
        let problem = cx.problems.error(&start.at, "no moment at which a period can begin");
        problem.expected("`YYYY-MM-DD HH:MM:SS`, and a duration of at most 366 units");
    }
    built
}

/// What the alert policies of an SLO come to; none (and reported) if one is wrong.
fn told(
    spec: &OpenSloSpec,
    known: &Known<'_>,
    policies: &BTreeMap<Name, Option<Told>>,
    cx: &mut Context,
) -> Option<Told> {
    let list = match &spec.policies {
        Field::Absent => return Some(Told::default()),
        Field::Broken => return None,
        Field::Given(list) => &list.value,
    };
    let mut all = (!list.broken).then(Told::default);
    for each in &list.items {
        let told = match &each.value {
            PolicyUse::Named(name) => {
                known.policies.find(name, cx.problems);
                policies.get(&name.value).cloned().flatten()
            }
            PolicyUse::Inline(inline) => {
                inline.spec.given().and_then(|spec| alerts::told(spec, known, cx.problems))
            }
        };
        all = all.zip(told).map(|(mut all, told)| {
            all.pairs.extend(told.pairs);
            all.targets.extend(told.targets);
            all.any |= told.any;
            all
        });
    }
    all.map(|mut all| {
        let mut seen: Vec<NotificationTarget> = Vec::new();
        all.targets.retain(|target| {
            let new = !seen.contains(target);
            seen.push(target.clone());
            new
        });
        all
    })
}

/// One policy of all conditions, if any of them is ever told.
fn policy(
    name: &Name,
    window: &Window,
    told: &Option<Told>,
    spec: &OpenSloSpec,
    cx: &mut Context,
) -> Option<Option<Arc<AlertPolicy>>> {
    let told = told.as_ref()?;
    let most = window.shortest();
    if let Some(pair) = told.pairs.iter().find(|pair| pair.long > most)
        && let Field::Given(policies) = &spec.policies
    {
        let long: Duration = pair.long;
        let message = format!(
            "a look-back of {} is further than the window of {window}",
            format_duration(long)
        );
        let expected = format!("at most {}", format_duration(most));
        cx.problems.error(&policies.at, message).expected(expected);
        return None;
    }
    let policy = || AlertPolicy {
        name: name.clone(),
        pairs: told.pairs.clone(),
        short_threshold: ShortThreshold::Same,
        min_bad: 1,
    };
    Some(told.any.then(|| Arc::new(policy())))
}
