//! From what was written to the catalog: references are followed, and everything that must hold
//! between things is checked.
//!
//! Does not stop at a problem: what is broken is left out and the rest goes on being checked.
//! Where a whole document could not be read, nothing is called missing, because it may be there.

mod agreement;
mod amend;
mod application;
mod parts;
mod policy;
mod probe;
mod service;
mod source;

pub(super) use parts::{is_label_name, within};
pub(super) use probe::probe;
pub(super) use service::slice;
pub(super) use source::of_open;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::mirror::{Field, Given, Value, quoted};
use super::nearest::did_you_mean;
use super::problem::{At, Level, Place, Problems};
use super::raw;
use super::tree::{Data, Node};
use super::{Options, Places, SourceFile, openslo};
use crate::model::check::Check;
use crate::model::{AlertPolicy, Catalog, Name};

/// Everything that was read, by kind.
#[derive(Default)]
struct Documents {
    services: Vec<raw::Service>,
    tiers: Vec<raw::SupportTier>,
    policies: Vec<raw::AlertPolicy>,
    applications: Vec<raw::Application>,
    agreements: Vec<raw::Agreement>,
    maintenances: Vec<raw::Maintenance>,
    corrections: Vec<raw::Correction>,
    open: openslo::Documents,
}

/// The names of a kind and where they are declared.
pub(super) struct Names {
    declared: BTreeMap<Name, At>,
    /// Whether these are all; what is not among them does not exist.
    pub complete: bool,
}

impl Names {
    /// No name yet, and whether all will come.
    pub(super) const fn new(complete: bool) -> Self {
        Names { declared: BTreeMap::new(), complete }
    }

    fn has(&self, name: &Name) -> bool {
        self.declared.contains_key(name)
    }

    /// The others.
    fn without(&self, name: &Name) -> Self {
        let mut declared = self.declared.clone();
        declared.remove(name);
        Names { declared, complete: self.complete }
    }
}

/// What the parts need to know of the whole.
pub(super) struct Context<'a, 'p, 's> {
    files: &'a [SourceFile],
    pub options: &'a Options,
    pub services: Names,
    tiers: Names,
    policy_names: Names,
    policies: BTreeMap<Name, Arc<AlertPolicy>>,
    pub problems: &'p mut Problems<'s>,
}

/// Puts the catalog together; none if something could not be built.
pub(super) fn catalog(
    nodes: &[Rc<Node>],
    files: &[SourceFile],
    options: &Options,
    problems: &mut Problems<'_>,
) -> Option<(Catalog, Places)> {
    let mut documents = Documents::default();
    for node in nodes {
        documents.read(node, problems);
    }
    let services = documents.services.iter().map(|d| d.name());
    let services = names("Service", services.chain(documents.open.service_names()), problems);
    let tiers = names("SupportTier", documents.tiers.iter().map(|d| d.name()), problems);
    let mut policy_names =
        names("AlertPolicy", documents.policies.iter().map(|d| d.name()), problems);
    // Nothing has to refer to these, so their names are only kept apart.
    names("Application", documents.applications.iter().map(|d| d.name()), problems);
    names("Agreement", documents.agreements.iter().map(|d| d.name()), problems);
    let policies = BTreeMap::new();
    let built_in = At::bare(Place::file(0));
    policy_names.declared.entry(AlertPolicy::workbook().name.clone()).or_insert(built_in);
    let mut cx = Context { files, options, services, tiers, policy_names, policies, problems };
    policy::policies(&documents.policies, &mut cx);
    let built_tiers: Vec<_> =
        documents.tiers.iter().map(|tier| policy::tier(tier, &mut cx)).collect();
    let built: Vec<_> =
        documents.services.iter().map(|service| service::service(service, &mut cx)).collect();
    let built_applications = application::applications(&documents.applications, &mut cx);
    let maintenances = amend::maintenances(&documents.maintenances, &mut cx);
    service::cycles(&documents.services, &mut cx);
    parts::limits(&documents.services, &built, &mut cx);
    let mut places = places(&documents, cx.problems);
    let whole = built.iter().all(Option::is_some);
    let mut services: Vec<_> = built.into_iter().flatten().collect();
    let (well, of_open) = openslo::add(&documents.open, &mut services, &mut cx);
    for (id, at) in of_open {
        places.slos.insert(id, cx.problems.locate(Level::Warning, &at, String::new()));
    }
    let applications = built_applications.as_deref().unwrap_or_default();
    let all = (services.as_slice(), whole && well);
    let agreements = agreement::agreements(&documents.agreements, all, applications, &mut cx);
    let promised = services.iter().flat_map(|service| &service.slos);
    let promised = promised.map(|slo| {
        let parts = slo.parts.iter().map(|part| part.slo.clone());
        (slo.id.clone(), parts.collect())
    });
    let promised = (promised.collect(), whole && well);
    let corrections = amend::corrections(&documents.corrections, promised, &mut cx);
    if !whole || !well {
        return None;
    }
    let mut tiers: Vec<_> = built_tiers.into_iter().collect::<Option<_>>()?;
    services.sort_by(|a, b| a.name.cmp(&b.name));
    tiers.sort_by(|a, b| a.name.cmp(&b.name));
    let applications = built_applications?;
    let policies = cx.policies.into_values().collect();
    let (agreements, maintenances, corrections) = (agreements?, maintenances?, corrections?);
    let catalog =
        Catalog { services, tiers, policies, applications, agreements, maintenances, corrections };
    Some((catalog, places))
}

/// Builds a check that stands outside of any spec, in a file of the operator's; none if something
/// in it was wrong.
pub(super) fn lone_check(
    http: &Field<raw::Http>,
    tcp: &Field<raw::Tcp>,
    tls: &Field<raw::Tls>,
    file: &SourceFile,
    problems: &mut Problems<'_>,
) -> Option<Check> {
    let options = Options { allow_files_outside: true, ..Options::default() };
    let mut cx = Context {
        files: std::slice::from_ref(file),
        options: &options,
        services: Names::new(true),
        tiers: Names::new(true),
        policy_names: Names::new(true),
        policies: BTreeMap::new(),
        problems,
    };
    probe::check(http, tcp, tls, &mut cx)
}

impl Documents {
    /// Reads one document by its kind. Whatever cannot be recognised is reported.
    fn read(&mut self, node: &Rc<Node>, problems: &mut Problems) {
        let at = At::bare(node.place);
        let Data::Map(pairs) = &node.data else {
            problems.incomplete = true;
            problems
                .error(&at, format!("{} as a document", node.describe()))
                .expected("a mapping with `apiVersion`, `kind`, `metadata` and `spec`");
            return;
        };
        let find = |name: &str| {
            let is = |key: &Node| matches!(&key.data, Data::Scalar { text, .. } if text == name);
            pairs.iter().find(|(key, _)| is(key)).map(|(_, value)| value)
        };
        let text = |node: Option<&Rc<Node>>| match node.map(|node| &node.data) {
            Some(Data::Scalar { text, .. }) => text.clone(),
            _ => String::new(),
        };
        let kind = text(find("kind"));
        if let Some(version) = find("apiVersion")
            && text(Some(version)).starts_with("openslo")
        {
            let version_at = at.key("apiVersion", version.place);
            let given = text(Some(version));
            if given == openslo::API_VERSION {
                let place = find("kind").map_or(at.clone(), |node| at.key("kind", node.place));
                self.open.read(node, (&kind, &place), problems);
                return;
            }
            let short: String = given.chars().take(60).collect();
            let message = format!("`{short}` is not read by nines");
            problems.incomplete = true;
            problems.error(&version_at, message).expected(format!("`{}`", openslo::API_VERSION));
            return;
        }
        match kind.as_str() {
            "Service" => self.services.extend(raw::Service::read(node, &at, problems)),
            "SupportTier" => self.tiers.extend(raw::SupportTier::read(node, &at, problems)),
            "AlertPolicy" => self.policies.extend(raw::AlertPolicy::read(node, &at, problems)),
            "Application" => self.applications.extend(raw::Application::read(node, &at, problems)),
            "Agreement" => self.agreements.extend(raw::Agreement::read(node, &at, problems)),
            "Maintenance" => self.maintenances.extend(raw::Maintenance::read(node, &at, problems)),
            "Correction" => self.corrections.extend(raw::Correction::read(node, &at, problems)),
            kind => unknown_kind(kind, find("kind"), &at, problems),
        }
    }
}

fn reads() -> String {
    format!(
        "`apiVersion: {}` with kind {}, or `apiVersion: {}`",
        raw::API_VERSION,
        quoted(raw::KINDS),
        openslo::API_VERSION
    )
}

fn unknown_kind(kind: &str, node: Option<&Rc<Node>>, at: &At, problems: &mut Problems) {
    let at = node.map_or_else(|| at.clone(), |node| at.key("kind", node.place));
    problems.incomplete = true;
    let short: String = kind.chars().take(60).collect();
    let message = match node {
        None => "missing key `kind`".to_owned(),
        Some(_) => format!("unknown kind {short:?}"),
    };
    let hint = did_you_mean(kind, raw::KINDS);
    problems.error(&at, message).expected(reads()).maybe_hint(hint);
}

impl raw::Service {
    fn name(&self) -> Option<&Given<Name>> {
        self.metadata.value().and_then(|metadata| metadata.name.given())
    }
}

impl raw::SupportTier {
    fn name(&self) -> Option<&Given<Name>> {
        self.metadata.value().and_then(|metadata| metadata.name.given())
    }
}

impl raw::AlertPolicy {
    fn name(&self) -> Option<&Given<Name>> {
        self.metadata.value().and_then(|metadata| metadata.name.given())
    }
}

impl raw::Agreement {
    fn name(&self) -> Option<&Given<Name>> {
        self.metadata.value().and_then(|metadata| metadata.name.given())
    }
}

impl raw::Application {
    fn name(&self) -> Option<&Given<Name>> {
        self.metadata.value().and_then(|metadata| metadata.name.given())
    }
}

impl raw::Maintenance {
    fn name(&self) -> Option<&Given<Name>> {
        self.metadata.value().and_then(|metadata| metadata.name.given())
    }
}

impl raw::Correction {
    fn name(&self) -> Option<&Given<Name>> {
        self.metadata.value().and_then(|metadata| metadata.name.given())
    }
}

/// Collects names and reports those that occur twice.
fn names<'n>(
    kind: &str,
    given: impl Iterator<Item = Option<&'n Given<Name>>>,
    problems: &mut Problems,
) -> Names {
    let mut names = Names::new(!problems.incomplete);
    for name in given {
        match name {
            Some(name) => declare(kind, name, &mut names, problems),
            None => names.complete = false,
        }
    }
    names
}

/// Adds a name; reports it if it is taken.
pub(super) fn declare(kind: &str, name: &Given<Name>, names: &mut Names, problems: &mut Problems) {
    if let Some(first) = names.declared.get(&name.value) {
        let first = problems.name(first.place);
        let message = format!("a second {kind} {:?}", name.value.as_str());
        problems
            .error(&name.at, message)
            .expected("a name that no other has")
            .hint(format!("the first is at {first}"));
        return;
    }
    names.declared.insert(name.value.clone(), name.at.clone());
}

/// Reports a name that nothing has, unless it may be in what could not be read.
pub(super) fn refer(
    kind: &str,
    name: &Given<Name>,
    names: &Names,
    problems: &mut Problems,
) -> bool {
    if names.has(&name.value) {
        return true;
    }
    if names.complete {
        let text = name.value.as_str();
        let known = || names.declared.keys().map(Name::as_str);
        let expected = match names.declared.len() {
            0 => format!("there is no {kind} at all"),
            1..=MAX_NAMED => format!("one of {}", quoted(known())),
            n => format!("one of {} and {} others", quoted(known().take(MAX_NAMED)), n - MAX_NAMED),
        };
        problems
            .error(&name.at, format!("unknown {kind} {text:?}"))
            .expected(expected)
            .maybe_hint(did_you_mean(text, known()));
    }
    false
}

/// Names that a message lists at most.
const MAX_NAMED: usize = 12;

impl Context<'_, '_, '_> {
    /// The path that a spec names, seen from the directory of its file.
    fn file(&mut self, path: &Given<raw::FilePath>) -> Option<PathBuf> {
        let file = &self.files[path.at.place.file];
        let directory = file.path.parent().unwrap_or(Path::new(""));
        let full = normal(&directory.join(&path.value.0));
        if self.options.allow_files_outside || inside(&full, &normal(&file.root)) {
            return Some(full);
        }
        let message = format!("{:?} lies outside the directory of the specs", path.value.0);
        self.problems
            .error(&path.at, message)
            .expected(format!("a file below {}", shown(&file.root)))
            .hint("the operator can allow it: `allowFilesOutsideSpecs: true` in the config file");
        None
    }
}

fn shown(path: &Path) -> String {
    match path.as_os_str().is_empty() {
        true => "the current directory".to_owned(),
        false => path.display().to_string(),
    }
}

/// Whether a path lies below a directory, both without detours. Symbolic links are not followed:
/// whoever may place one in the specs' directory may place the file there as well.
fn inside(path: &Path, root: &Path) -> bool {
    match path.strip_prefix(root) {
        Ok(rest) => rest.components().all(|part| matches!(part, Component::Normal(_))),
        Err(_) => false,
    }
}

/// The path without `.` and with `..` taken back where something precedes it.
fn normal(path: &Path) -> PathBuf {
    let mut parts: Vec<Component> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                parts.pop();
            }
            (Component::ParentDir, Some(Component::RootDir)) => {}
            _ => parts.push(part),
        }
    }
    parts.iter().collect()
}

/// Where each SLO and each application is declared.
fn places(documents: &Documents, problems: &Problems) -> Places {
    let mut places = Places::default();
    let place = |at: &At| problems.locate(Level::Warning, at, String::new());
    for name in documents.applications.iter().filter_map(raw::Application::name) {
        places.applications.insert(name.value.to_string(), place(&name.at));
    }
    for correction in &documents.corrections {
        if let (Some(name), Some(to)) = (correction.name(), amend::end(correction)) {
            places.corrections.insert(name.value.to_string(), place(to));
        }
    }
    for service in &documents.services {
        let Some(name) = service.name() else { continue };
        let Some(Field::Given(slos)) = service.spec.value().map(|spec| &spec.slos) else {
            continue;
        };
        for slo in slos.value.items.iter().filter_map(|slo| slo.value.name.given()) {
            places.slos.insert(format!("{}/{}", name.value, slo.value), place(&slo.at));
        }
    }
    places
}
