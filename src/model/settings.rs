//! The operator's choices: where to listen, what to keep, whom to page.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Egress;
use super::catalog::Probe;
use super::source::Server;

/// The operator's config after flags, file and defaults have been put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Spec files and directories.
    pub specs: Vec<PathBuf>,
    /// The ledger's directory.
    pub storage_path: PathBuf,
    /// How long history is kept.
    pub retention: Duration,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// The address by which people reach that, without a trailing slash.
    pub external_url: String,
    /// The file that says who may come in over HTTP, and how; none for everybody.
    pub web_config: Option<PathBuf>,
    /// Whether `/-/reload` and `/-/quit` work.
    pub enable_lifecycle: bool,
    /// Who pages.
    pub alerting: Alerting,
    /// The base URLs of every Alertmanager.
    pub alertmanagers: Vec<String>,
    /// How often a firing alert is sent again.
    pub resend_delay: Duration,
    /// The name of the place from which this process probes.
    pub vantage: String,
    /// Metadata labels that reach the metrics.
    pub metric_labels: Vec<String>,
    /// Bounds on what specs may ask for.
    pub limits: Limits,
    /// Where probes may connect to.
    pub egress: Egress,
    /// What is probed to tell our own faults from those of targets.
    pub references: References,
    /// The Prometheus servers that SLOs may be fed from, by name.
    pub prometheus: Vec<Server>,
    /// How often is looked whether the configuration has changed; none for never.
    pub auto_reload_interval: Option<Duration>,
}

/// What is probed to know ourselves. No SLO counts it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct References {
    /// Targets that never keep silent all at once, unless we are cut off.
    pub targets: Vec<Probe>,
    /// Names that never fail to resolve all at once, unless our resolver fails.
    pub names: Vec<Probe>,
}

impl References {
    /// Fewest targets that are more than a coincidence.
    pub const TARGETS_ENOUGH: usize = 3;

    /// From one run of a reference to the next; the same for all of them.
    pub fn interval(&self) -> Duration {
        let any = self.targets.iter().chain(&self.names).next();
        any.map_or(DEFAULT_REFERENCE_INTERVAL, |probe| probe.interval)
    }
}

/// Who pages. One path, never both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alerting {
    /// This process, to every Alertmanager.
    #[default]
    Direct,
    /// Prometheus, by rules that `nines rules` writes.
    Rules,
    /// Nobody.
    Off,
}

/// Bounds on what specs may ask for; reaching one is a problem that `check` reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most probes.
    pub probes: usize,
    /// Most SLOs.
    pub slos: usize,
    /// Most probe starts a second over all probes.
    pub starts_per_second: u32,
}

/// Default of [`Settings::listen`]. 10099 is free in the Prometheus port allocations.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 10_099));
/// Default of [`Settings::retention`]: 400 days, so that a year can be compared with the last.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(400 * 86_400);
/// Default of [`Settings::resend_delay`], as Prometheus has it.
pub const DEFAULT_RESEND_DELAY: Duration = Duration::from_secs(60);

/// Default of [`References::interval`].
pub const DEFAULT_REFERENCE_INTERVAL: Duration = Duration::from_secs(1);

impl Default for Limits {
    fn default() -> Self {
        Limits { probes: 100_000, slos: 100_000, starts_per_second: 20_000 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            specs: Vec::new(),
            storage_path: PathBuf::from("nines-data"),
            retention: DEFAULT_RETENTION,
            listen: DEFAULT_LISTEN,
            external_url: format!("http://{DEFAULT_LISTEN}"),
            web_config: None,
            enable_lifecycle: false,
            alerting: Alerting::Direct,
            alertmanagers: Vec::new(),
            resend_delay: DEFAULT_RESEND_DELAY,
            vantage: "local".to_owned(),
            metric_labels: Vec::new(),
            auto_reload_interval: None,
            limits: Limits::default(),
            egress: Egress::default(),
            references: References::default(),
            prometheus: Vec::new(),
        }
    }
}
