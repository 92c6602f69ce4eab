//! OpenSLO v1: all seven kinds, read into the same model as the language of nines itself.
//!
//! A service of either language takes SLOs of both. What cannot be executed as it is written is
//! refused with its place; nothing is dropped in silence. Does no I/O and connects to nothing.

mod alerts;
mod measure;
mod raw;
mod slo;
mod value;

use std::collections::BTreeMap;
use std::rc::Rc;

pub(super) use raw::{API_VERSION, KINDS};

use super::mirror::{Field, Given, Value, quoted};
use super::nearest::did_you_mean;
use super::problem::{At, Problems};
use super::resolve::{Context, Names, declare};
use super::schema::{Table, table};
use super::tree::Node;
use crate::model::catalog::{NotificationTarget, Service};
use crate::model::{Name, Pair};
use raw::{
    OpenAlertCondition, OpenAlertPolicy, OpenDataSource, OpenMetadata, OpenService, OpenSli,
    OpenSlo, OpenTarget,
};

/// Every document of the language, by kind.
#[derive(Default)]
pub(super) struct Documents {
    services: Vec<OpenService>,
    slos: Vec<OpenSlo>,
    slis: Vec<OpenSli>,
    sources: Vec<OpenDataSource>,
    policies: Vec<OpenAlertPolicy>,
    conditions: Vec<OpenAlertCondition>,
    targets: Vec<OpenTarget>,
}

impl Documents {
    /// Reads one document. `kind` is what it calls itself, `place` where it does.
    pub(super) fn read(
        &mut self,
        node: &Rc<Node>,
        (kind, place): (&str, &At),
        problems: &mut Problems,
    ) {
        let at = &At::bare(node.place);
        match kind {
            "Service" => self.services.extend(OpenService::read(node, at, problems)),
            "SLO" => self.slos.extend(OpenSlo::read(node, at, problems)),
            "SLI" => self.slis.extend(OpenSli::read(node, at, problems)),
            "DataSource" => self.sources.extend(OpenDataSource::read(node, at, problems)),
            "AlertPolicy" => self.policies.extend(OpenAlertPolicy::read(node, at, problems)),
            "AlertCondition" => {
                self.conditions.extend(OpenAlertCondition::read(node, at, problems));
            }
            "AlertNotificationTarget" => {
                self.targets.extend(OpenTarget::read(node, at, problems));
            }
            _ => {
                problems.incomplete = true;
                let short: String = kind.chars().take(60).collect();
                problems
                    .error(place, format!("unknown kind {short:?}"))
                    .expected(format!("`apiVersion: {API_VERSION}` with kind {}", quoted(KINDS)))
                    .maybe_hint(did_you_mean(kind, KINDS));
            }
        }
    }

    /// The names of the services.
    pub(super) fn service_names(&self) -> impl Iterator<Item = Option<&Given<Name>>> {
        self.services.iter().map(|service| name_of(&service.metadata))
    }
}

fn name_of(metadata: &Field<OpenMetadata>) -> Option<&Given<Name>> {
    metadata.value().and_then(|metadata| metadata.name.given())
}

/// The objects of a kind by name.
struct Kind<'a, T> {
    word: &'static str,
    names: Names,
    by_name: BTreeMap<Name, &'a T>,
}

impl<'a, T> Kind<'a, T> {
    fn of(
        word: &'static str,
        all: &'a [T],
        metadata: impl Fn(&T) -> &Field<OpenMetadata>,
        problems: &mut Problems,
    ) -> Self {
        let (mut names, mut by_name) = (Names::new(!problems.incomplete), BTreeMap::new());
        for each in all {
            match name_of(metadata(each)) {
                Some(name) => {
                    declare(word, name, &mut names, problems);
                    by_name.entry(name.value.clone()).or_insert(each);
                }
                None => names.complete = false,
            }
        }
        Kind { word, names, by_name }
    }

    /// The object of this name; none (and reported) if there is none.
    fn find(&self, name: &Given<Name>, problems: &mut Problems) -> Option<&'a T> {
        super::resolve::refer(self.word, name, &self.names, problems);
        self.by_name.get(&name.value).copied()
    }
}

/// What SLOs refer to.
struct Known<'a> {
    slis: Kind<'a, OpenSli>,
    sources: Kind<'a, OpenDataSource>,
    policies: Kind<'a, OpenAlertPolicy>,
    conditions: Kind<'a, OpenAlertCondition>,
    targets: Kind<'a, OpenTarget>,
}

/// What an alert policy comes to.
#[derive(Clone, Default)]
struct Told {
    pairs: Vec<Pair>,
    targets: Vec<NotificationTarget>,
    /// Whether anything is told at all.
    any: bool,
}

/// Adds every service and SLO to those of the other language. Says whether all is well, and
/// where each SLO is declared.
pub(super) fn add(
    documents: &Documents,
    services: &mut Vec<Service>,
    cx: &mut Context,
) -> (bool, Vec<(String, At)>) {
    let before = cx.problems.n_errors();
    let known = Known {
        slis: Kind::of("SLI", &documents.slis, |d| &d.metadata, cx.problems),
        sources: Kind::of("DataSource", &documents.sources, |d| &d.metadata, cx.problems),
        policies: Kind::of("AlertPolicy", &documents.policies, |d| &d.metadata, cx.problems),
        conditions: Kind::of("AlertCondition", &documents.conditions, |d| &d.metadata, cx.problems),
        targets: Kind::of(
            "AlertNotificationTarget",
            &documents.targets,
            |d| &d.metadata,
            cx.problems,
        ),
    };
    Kind::of("SLO", &documents.slos, |d| &d.metadata, cx.problems);
    documents.sources.iter().for_each(|source| measure::check_source(source, cx.problems));
    documents.slis.iter().for_each(|sli| measure::check_sli(sli, &known, cx.problems));
    for condition in documents.conditions.iter().filter_map(|c| c.spec.value()) {
        alerts::check(condition, cx.problems);
    }
    let policies: BTreeMap<Name, Option<Told>> = known
        .policies
        .by_name
        .iter()
        .map(|(name, policy)| {
            let told = policy.spec.given().and_then(|spec| alerts::told(spec, &known, cx.problems));
            (name.clone(), told)
        })
        .collect();
    services.extend(documents.services.iter().filter_map(service));
    let mut places = Vec::new();
    for document in &documents.slos {
        places.extend(slo::add(document, &known, &policies, services, cx));
    }
    services.iter_mut().for_each(|service| {
        service.probes.sort_by(|a, b| a.id.cmp(&b.id));
        service.slos.sort_by(|a, b| a.id.cmp(&b.id));
    });
    if let Some((_, at)) = places.last() {
        limits(services, at, cx);
    }
    (cx.problems.n_errors() == before, places)
}

fn service(document: &OpenService) -> Option<Service> {
    let metadata = document.metadata.value()?;
    Some(Service {
        name: metadata.name.value()?.clone(),
        display_name: metadata.display_name.value().map(|name| name.0.clone()),
        labels: labels(metadata),
        description: document.spec.value()?.description.value().map(|text| text.0.clone()),
        links: BTreeMap::new(),
        support: None,
        depends_on: Vec::new(),
        probes: Vec::new(),
        slos: Vec::new(),
    })
}

/// Labels, several values joined by commas.
fn labels(metadata: &OpenMetadata) -> BTreeMap<String, String> {
    let items = metadata.labels.value().map(|map| map.items.as_slice()).unwrap_or_default();
    let joined = |field: &Field<super::value::OneOrMany<super::value::Text<256>, 32>>| {
        let values = field.value()?.items.iter().map(|text| text.value.0.as_str());
        Some(values.collect::<Vec<_>>().join(","))
    };
    items.iter().filter_map(|(key, values)| Some((key.value.clone(), joined(values)?))).collect()
}

/// Reports what goes beyond the operator's limits, over both languages.
fn limits(services: &[Service], at: &At, cx: &mut Context) {
    let limits = cx.options.limits;
    let n_probes: usize = services.iter().map(|service| service.probes.len()).sum();
    let n_slos: usize = services.iter().map(|service| service.slos.len()).sum();
    let probes = services.iter().flat_map(|service| &service.probes);
    let micro = probes.map(|probe| 10_u128.pow(12) / probe.interval.as_micros().max(1));
    let starts = usize::try_from(micro.sum::<u128>().div_ceil(1_000_000)).unwrap_or(usize::MAX);
    let most = limits.starts_per_second as usize;
    for (n, most, what, key) in [
        (n_probes, limits.probes, "probes", "probes"),
        (n_slos, limits.slos, "SLOs", "slos"),
        (starts, most, "probe starts a second", "startsPerSecond"),
    ] {
        if n > most {
            let hint = format!("raise `limits.{key}` in the operator's config, or declare fewer");
            let message = format!("{n} {what}, more than the {most} that are allowed");
            cx.problems.error(at, message).hint(hint);
        }
    }
}

/// Every mapping of the language, for the reference page.
pub(super) fn tables() -> Vec<Table> {
    vec![
        table::<raw::OpenMetadata>(),
        table::<raw::OpenService>(),
        table::<raw::OpenServiceSpec>(),
        table::<raw::OpenSlo>(),
        table::<raw::OpenSloSpec>(),
        table::<raw::OpenTimeWindow>(),
        table::<raw::OpenCalendar>(),
        table::<raw::OpenObjective>(),
        table::<raw::OpenIndicator>(),
        table::<raw::OpenSli>(),
        table::<raw::OpenSliSpec>(),
        table::<raw::OpenRatio>(),
        table::<raw::OpenMetric>(),
        table::<raw::OpenMetricSource>(),
        table::<raw::NinesSource>(),
        table::<raw::PrometheusSource>(),
        table::<raw::OpenDataSource>(),
        table::<raw::OpenDataSourceSpec>(),
        table::<raw::OpenAlertPolicy>(),
        table::<raw::OpenPolicyUse>(),
        table::<raw::OpenAlertPolicySpec>(),
        table::<raw::OpenAlertCondition>(),
        table::<raw::OpenCondition>(),
        table::<raw::OpenConditionSpec>(),
        table::<raw::OpenBurn>(),
        table::<raw::OpenTarget>(),
        table::<raw::OpenTargetUse>(),
        table::<raw::OpenTargetSpec>(),
    ]
}

/// The schema of each kind, by its word.
pub(super) fn schemas(
    generator: &mut schemars::SchemaGenerator,
) -> [(&'static str, schemars::Schema); 7] {
    [
        (KINDS[0], OpenService::schema(generator)),
        (KINDS[1], OpenSlo::schema(generator)),
        (KINDS[2], OpenSli::schema(generator)),
        (KINDS[3], OpenDataSource::schema(generator)),
        (KINDS[4], OpenAlertPolicy::schema(generator)),
        (KINDS[5], OpenAlertCondition::schema(generator)),
        (KINDS[6], OpenTarget::schema(generator)),
    ]
}

#[cfg(test)]
mod tests;
