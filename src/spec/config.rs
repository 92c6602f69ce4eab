//! The operator's config file: YAML text to the settings it names, or every problem in it.
//!
//! Reports the way specs do. Holds only what was written: flags go before it and defaults come
//! after it. Does no I/O; paths in the file are relative to the file's directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};

use super::SourceFile;
use super::document::{self, Lines};
use super::mirror::{Field, Given, Value, mirror};
use super::problem::{At, Problem, Problems};
use super::raw::{FilePath, Url, has_user_info};
use super::reference::{self, Reference};
use super::resolve::{is_label_name, within};
use super::schema::{Table, table};
use super::servers::{self, Servers};
use super::tree::{self, Node};
use super::value::{Int, List, OneOrMany, parsed_text, words};
use crate::model::check::Check;
use crate::model::settings::{Alerting, References, Settings};
use crate::model::source::Server;
use crate::model::{Catalog, Egress, Name, ParseError, Probe, egress};

/// What the operator's config file names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Spec files and directories.
    pub specs: Option<Vec<PathBuf>>,
    /// The ledger's directory.
    pub storage_path: Option<PathBuf>,
    /// How long history is kept.
    pub retention: Option<Duration>,
    /// Where HTTP is served.
    pub listen: Option<SocketAddr>,
    /// The address by which people reach that, without a trailing slash.
    pub external_url: Option<String>,
    /// The file that says who may come in over HTTP, and how.
    pub web_config: Option<PathBuf>,
    /// Who pages.
    pub alerting: Option<Alerting>,
    /// The base URLs of every Alertmanager, without a trailing slash.
    pub alertmanagers: Option<Vec<String>>,
    /// How often a firing alert is sent again.
    pub resend_delay: Option<Duration>,
    /// The name of the place from which this process probes.
    pub vantage: Option<String>,
    /// Metadata labels that reach the metrics.
    pub metric_labels: Option<Vec<String>>,
    /// Most probes.
    pub limit_probes: Option<usize>,
    /// Most SLOs.
    pub limit_slos: Option<usize>,
    /// Most probe starts a second.
    pub limit_starts_per_second: Option<u32>,
    /// Whether files named in specs may lie outside the specs' directory.
    pub allow_files_outside: Option<bool>,
    /// Where probes may connect to.
    pub egress: Option<Egress>,
    /// What is probed to tell our own faults from those of targets.
    pub references: Option<References>,
    /// The Prometheus servers that SLOs may be fed from.
    pub prometheus: Option<Vec<Server>>,
    /// What somebody should look at.
    pub warnings: Vec<Problem>,
    /// Where the targets among the references stand, in their order.
    reference_places: Vec<Problem>,
    /// How often is looked whether the configuration has changed.
    pub auto_reload_interval: Option<Duration>,
}

impl Config {
    /// Puts what the file names in place of what the settings hold. A listening address without
    /// an external URL of its own makes one.
    pub fn apply(&self, settings: &mut Settings) {
        fn put<T: Clone>(target: &mut T, given: &Option<T>) {
            if let Some(given) = given {
                target.clone_from(given);
            }
        }
        put(&mut settings.specs, &self.specs);
        put(&mut settings.storage_path, &self.storage_path);
        put(&mut settings.retention, &self.retention);
        if let Some(listen) = self.listen {
            settings.listen = listen;
            settings.external_url = format!("http://{listen}");
        }
        put(&mut settings.external_url, &self.external_url);
        if self.web_config.is_some() {
            settings.web_config.clone_from(&self.web_config);
        }
        put(&mut settings.alerting, &self.alerting);
        put(&mut settings.alertmanagers, &self.alertmanagers);
        put(&mut settings.resend_delay, &self.resend_delay);
        put(&mut settings.vantage, &self.vantage);
        put(&mut settings.metric_labels, &self.metric_labels);
        put(&mut settings.limits.probes, &self.limit_probes);
        put(&mut settings.limits.slos, &self.limit_slos);
        put(&mut settings.limits.starts_per_second, &self.limit_starts_per_second);
        put(&mut settings.egress, &self.egress);
        put(&mut settings.references, &self.references);
        put(&mut settings.prometheus, &self.prometheus);
        if self.auto_reload_interval.is_some() {
            settings.auto_reload_interval = self.auto_reload_interval;
        }
    }

    /// References on machines that some SLO watches, as warnings at their places: what is promised
    /// must not be the witness that excuses it.
    pub fn shared_with(&self, catalog: &Catalog) -> Vec<Problem> {
        let targets = self.references.iter().flat_map(|references| &references.targets);
        let shared = targets.zip(&self.reference_places).filter_map(|(target, place)| {
            let host = |check: &Check| check.endpoint().map(|endpoint| endpoint.host);
            let shared = host(&target.check)?;
            let here = |probe: &&Probe| host(&probe.check).as_ref() == Some(&shared);
            let probe = catalog.probes().find(here)?;
            let message = format!("{shared} is probed for an SLO, too, by {}", probe.id);
            let hint = "take references that share no failure with what is promised".to_owned();
            Some(Problem { message, hint: Some(hint), ..place.clone() })
        });
        shared.collect()
    }
}

/// Reads the operator's config file.
///
/// # Errors
/// Every problem in it.
pub fn load(file: &SourceFile) -> Result<Config, Vec<Problem>> {
    let make = |raw: &ConfigFile, _: &Path, problems: &mut Problems| raw.config(file, problems);
    let (config, warnings) = document::load(file, Lines::Shown, make)?;
    Ok(Config { warnings, ..config })
}

/// Reads `host:port`, `:port` for every address, and `localhost:port`.
///
/// # Errors
/// Anything else; names are not looked up.
pub fn parse_listen(text: &str) -> Result<SocketAddr, ParseError> {
    let full = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None if text.starts_with(':') => format!("0.0.0.0{text}"),
        None => text.to_owned(),
    };
    full.parse().map_err(|_| ParseError::new(text, "an address such as 127.0.0.1:10099 or :10099"))
}

/// Reads an `http://` or `https://` base URL, and cuts trailing slashes off.
///
/// # Errors
/// Anything else, user info, and URLs with a query.
pub fn parse_base_url(text: &str) -> Result<String, ParseError> {
    const EXPECTED: &str = "a URL such as http://alertmanager.example:9093, without user and query";
    if has_user_info(text) {
        // The error must not repeat a password.
        return Err(ParseError::new("a URL with user info", EXPECTED));
    }
    let url = Url::parse(text)?;
    match url.query() {
        None => Ok(text.trim_end_matches('/').to_owned()),
        Some(_) => Err(ParseError::new("a URL with a query", EXPECTED)),
    }
}

mirror! {
    /// The operator's config file. Every key has a flag or a default.
    struct ConfigFile {
        /// Spec files and directories.
        optional "specs" => specs: OneOrMany<FilePath, 64>;
        /// Where history is kept.
        optional "storage" => storage: Storage;
        /// The HTTP server.
        optional "web" => web: Web;
        /// Who pages.
        optional "alerting" => alerting: AlertingConfig;
        /// The place from which this process probes.
        optional "vantage" => vantage: Vantage;
        /// Metadata labels of services that reach the metrics, beside `team`.
        optional "labels" => labels: List<LabelName, 0, 32>;
        /// Bounds on what specs may ask for.
        optional "limits" => limits: LimitsConfig;
        /// Where probes may connect to.
        optional "egress" => egress: EgressConfig;
        /// What is probed to tell our own faults from those of targets.
        optional "reference" => reference: Reference;
        /// The Prometheus servers that SLOs may be fed from, by name.
        optional "prometheus" => prometheus: Servers;
        /// How often is looked whether spec files or this file have changed, 1s to 1d. Default:
        /// never.
        optional "autoReloadInterval" => auto_reload_interval: Duration;
        /// Whether files named in specs may lie outside the specs' directory.
        optional "allowFilesOutsideSpecs" => allow_files_outside: bool = "false";
    }
}

mirror! {
    /// Where history is kept.
    struct Storage {
        /// The ledger's directory.
        optional "path" => path: FilePath;
        /// How long history is kept, at least 1d. Default: 400d.
        optional "retention" => retention: Duration;
    }
}

mirror! {
    /// The HTTP server.
    struct Web {
        /// Where to listen. Default: `127.0.0.1:10099`.
        optional "listen" => listen: Listen;
        /// The address by which people reach it. Default: `http://` and where it listens.
        optional "externalUrl" => external_url: BaseUrl;
        /// The file that says who may come in over HTTP, and how: TLS, users, headers. Default:
        /// everybody, in plain HTTP.
        optional "configFile" => config_file: FilePath;
    }
}

mirror! {
    /// Who pages.
    struct AlertingConfig {
        /// `direct`: this process, to every Alertmanager; `rules`: Prometheus, by generated
        /// rules; `off`: nobody. Default: `direct`.
        optional "mode" => mode: Alerting;
        /// The base URLs of every Alertmanager.
        optional "alertmanagers" => alertmanagers: List<BaseUrl, 0, 16>;
        /// How often a firing alert is sent again, 1s to 1h. Default: 1m.
        optional "resendDelay" => resend_delay: Duration;
    }
}

mirror! {
    /// The place from which this process probes.
    struct Vantage {
        /// Its name. Default: `local`.
        optional "name" => name: Name;
    }
}

mirror! {
    /// Bounds on what specs may ask for.
    struct LimitsConfig {
        /// Most probes. Default: 100000.
        optional "probes" => probes: Int<1, 1_000_000>;
        /// Most SLOs. Default: 100000.
        optional "slos" => slos: Int<1, 1_000_000>;
        /// Most probe starts a second over all probes. Default: 20000.
        optional "startsPerSecond" => starts_per_second: Int<1, 1_000_000>;
    }
}

mirror! {
    /// Where probes may connect to: judged by address, after each name lookup, just before the
    /// connection is made to that very address.
    struct EgressConfig {
        /// If there are any, a target's address must match one of them. Default: every address
        /// but the metadata addresses of clouds, which only a rule for that one address opens.
        optional "allow" => allow: List<EgressRule, 0, 256>;
        /// Addresses that are never probed, whatever `allow` says.
        optional "deny" => deny: List<EgressRule, 0, 256>;
    }
}

words!(Alerting {
    "direct" => Alerting::Direct, "rules" => Alerting::Rules, "off" => Alerting::Off,
});

/// An address to listen on.
#[derive(Clone, Debug)]
pub(super) struct Listen(SocketAddr);

impl Value for Listen {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "an address such as 127.0.0.1:10099";
        parsed_text(node, at, expected, problems, |text| parse_listen(text).map(Listen))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = "^([0-9.]+|localhost|\\[[0-9a-fA-F:.]+\\])?:[0-9]{1,5}$";
        json_schema!({"type": "string", "pattern": pattern})
    }

    fn kind() -> String {
        "`host:port`".to_owned()
    }
}

/// The address of a server, without a path of its own.
#[derive(Clone, Debug)]
pub(super) struct BaseUrl(String);

impl BaseUrl {
    /// The URL without a trailing slash.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl Value for BaseUrl {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a URL such as http://alertmanager.example:9093";
        if let tree::Data::Scalar { text, .. } = &node.data {
            let what = match (has_user_info(text), text.contains('?')) {
                (true, _) => Some("a URL with a user name or password in it"),
                (_, true) => Some("a URL with a query"),
                _ => None,
            };
            if let Some(what) = what {
                problems.secret(at, what).expected("a URL without user info and query");
                return None;
            }
        }
        parsed_text(node, at, expected, problems, |text| parse_base_url(text).map(BaseUrl))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^https?://[^@#?]+$"})
    }

    fn kind() -> String {
        "URL".to_owned()
    }
}

/// A network, and the ports in it that are meant.
#[derive(Clone, Debug)]
pub(super) struct EgressRule(egress::Rule);

impl Value for EgressRule {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a network such as 10.0.0.0/8, 10.0.0.0/8:443 or [fd00::/8]:8000-8999";
        parsed_text(node, at, expected, problems, |text| text.parse().map(EgressRule))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[\\[\\]0-9a-fA-F.:/-]+$"})
    }

    fn kind() -> String {
        "network".to_owned()
    }
}

/// Labels that the metrics carry already, and those that Prometheus and alerts give a meaning.
const TAKEN: [&str; 17] = [
    "alertname",
    "alertmanager",
    "gate",
    "instance",
    "job",
    "le",
    "phase",
    "probe",
    "quantile",
    "reason",
    "service",
    "severity",
    "slo",
    "slo_service",
    "type",
    "vantage",
    "window",
];

/// The name of a metadata label that may reach the metrics.
#[derive(Clone, Debug)]
pub(super) struct LabelName(String);

impl Value for LabelName {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a label name: letters, digits and `_`, not starting with a digit or `__`";
        parsed_text(node, at, expected, problems, |text| match text {
            _ if !is_label_name(text) => Err(ParseError::new(text, expected)),
            _ if TAKEN.contains(&text) => {
                Err(ParseError::new(text, "a label that the metrics do not use already"))
            }
            _ => Ok(LabelName(text.to_owned())),
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"})
    }

    fn kind() -> String {
        "label name".to_owned()
    }
}

impl ConfigFile {
    fn config(&self, file: &SourceFile, problems: &mut Problems) -> Config {
        let directory = file.path.parent().unwrap_or(Path::new(""));
        let path = |path: &FilePath| directory.join(&path.0);
        let values = |items: &[Given<FilePath>]| items.iter().map(|p| path(&p.value)).collect();
        let (storage, web) = (self.storage.value(), self.web.value());
        let (alerting, limits) = (self.alerting.value(), self.limits.value());
        let retention = storage.and_then(|storage| storage.retention.given());
        let resend = alerting.and_then(|alerting| alerting.resend_delay.given());
        let day = Duration::from_secs(86_400);
        let urls = |list: &[Given<BaseUrl>]| list.iter().map(|url| url.value.0.clone()).collect();
        let limit = |field: &Field<Int<1, 1_000_000>>| field.value().map(|n| n.0 as usize);
        let starts = limits.and_then(|limits| limits.starts_per_second.value());
        let reference = self.reference.given();
        let references = reference.and_then(|given| Reference::references(given, file, problems));
        let servers = self.prometheus.given();
        let servers = servers.and_then(|given| servers::servers(given, file, problems));
        Config {
            specs: self.specs.value().map(|specs| values(&specs.items)),
            storage_path: storage.and_then(|storage| storage.path.value()).map(path),
            retention: bounded(retention, day, 3_660 * day, problems),
            listen: web.and_then(|web| web.listen.value()).map(|listen| listen.0),
            external_url: web.and_then(|web| web.external_url.value()).map(|url| url.0.clone()),
            web_config: web.and_then(|web| web.config_file.value()).map(path),
            alerting: alerting.and_then(|alerting| alerting.mode.value()).copied(),
            alertmanagers: alerting
                .and_then(|alerting| alerting.alertmanagers.value())
                .map(|list| urls(&list.items)),
            resend_delay: bounded(resend, Duration::from_secs(1), day / 24, problems),
            vantage: self.vantage.value().and_then(|v| v.name.value()).map(Name::to_string),
            metric_labels: self
                .labels
                .value()
                .map(|list| list.items.iter().map(|label| label.value.0.clone()).collect()),
            limit_probes: limits.and_then(|limits| limit(&limits.probes)),
            limit_slos: limits.and_then(|limits| limit(&limits.slos)),
            limit_starts_per_second: starts.and_then(|n| u32::try_from(n.0).ok()),
            allow_files_outside: self.allow_files_outside.value().copied(),
            egress: self.egress.value().map(EgressConfig::policy),
            references: references.as_ref().map(|(references, _)| references.clone()),
            reference_places: references.map(|(_, places)| places).unwrap_or_default(),
            prometheus: servers,
            warnings: Vec::new(),
            auto_reload_interval: bounded(
                self.auto_reload_interval.given(),
                Duration::from_secs(1),
                day,
                problems,
            ),
        }
    }
}

impl EgressConfig {
    fn policy(&self) -> Egress {
        let rules = |field: &Field<List<EgressRule, 0, 256>>| {
            let rules = field.value().into_iter().flat_map(|list| &list.items);
            rules.map(|rule| rule.value.0).collect()
        };
        Egress { allow: rules(&self.allow), deny: rules(&self.deny) }
    }
}

fn bounded(
    given: Option<&Given<Duration>>,
    least: Duration,
    most: Duration,
    problems: &mut Problems,
) -> Option<Duration> {
    given.and_then(|given| within(given, (least, most), problems))
}

/// The tables of the reference page.
pub(super) fn tables() -> Vec<Table> {
    let mut tables = vec![
        table::<ConfigFile>(),
        table::<Storage>(),
        table::<Web>(),
        table::<AlertingConfig>(),
        table::<Vantage>(),
        table::<LimitsConfig>(),
        table::<EgressConfig>(),
        table::<Reference>(),
        reference::target_table(),
    ];
    tables.extend(servers::tables());
    tables
}

/// The schema of the file.
pub(super) fn schema(generator: SchemaGenerator) -> Schema {
    generator.into_root_schema_for::<ConfigFile>()
}

#[cfg(test)]
mod tests;
