//! Tells every Alertmanager what fires and what is over.
//!
//! It decides nothing: notices come from the engine. Each Alertmanager has a task and a bounded
//! queue of its own, so a slow one delays no other; within one, order is kept. What is refused
//! is never sent again; what fails is, with growing pauses, until something newer replaces it or
//! it is too old to help.

mod alertmanager;
mod queue;

pub mod rules;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::engine::Notice;

use alertmanager::Sender;
use queue::Queue;
pub use wire::Endpoint;

/// How to reach the Alertmanagers.
#[derive(Clone, Debug)]
pub struct Config {
    /// The base URLs; a path prefix is kept, user info becomes basic authentication.
    pub alertmanagers: Vec<String>,
    /// The address by which people reach this monitor, without a trailing slash.
    pub external_url: String,
    /// How long and how often is tried.
    pub patience: Patience,
}

/// How long and how often a delivery is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long one request may take.
    pub timeout: Duration,
    /// The pause after the first failure; it doubles with each failure in a row.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// Older notices are dropped: the engine sends a firing alert again long before.
    pub age_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            timeout: Duration::from_secs(10),
            pause_min: Duration::from_millis(500),
            pause_max: Duration::from_secs(30),
            age_max: Duration::from_secs(300),
        }
    }
}

/// Why a notifier could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// A base URL that cannot be used.
    #[error("alertmanager {label:?}: {problem}; write it like http://alertmanager.example:9093")]
    Url {
        /// The URL without credentials.
        label: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two base URLs that differ in their credentials at most.
    #[error("alertmanager {0:?} is listed twice; remove one of the two")]
    Twice(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client for alertmanagers could not be built: {0}")]
    Client(#[from] reqwest::Error),
}

/// What has happened to the notices for one Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its base URL without credentials.
    pub alertmanager: String,
    /// Notices that it accepted.
    pub sent: u64,
    /// Notices in requests that failed, counted at every try.
    pub errors: u64,
    /// Notices given up: refused, too old, or pushed out of a full queue.
    pub dropped: u64,
    /// Notices that wait.
    pub queue_length: usize,
    /// Whether its last answer was an acceptance; none before the first.
    pub accepting: Option<bool>,
}

/// Sends notices in the background. Dropping it aborts what is under way.
#[derive(Debug)]
pub struct Notifier {
    handle: Handle,
    stop: watch::Sender<Option<Instant>>,
    tasks: JoinSet<()>,
}

/// Puts notices in and reads the counters. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    queues: Arc<[Arc<Queue>]>,
}

impl Notifier {
    /// Starts one task per Alertmanager on the present runtime. None at all is fine.
    ///
    /// # Errors
    /// Unusable or repeated URLs, and a TLS set-up that does not work.
    pub fn start(config: &Config) -> Result<Self, NotifyError> {
        install_crypto();
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for url in &config.alertmanagers {
            let endpoint = Endpoint::parse(url)?;
            if endpoints.iter().any(|other| other.label() == endpoint.label()) {
                return Err(NotifyError::Twice(endpoint.label().to_owned()));
            }
            endpoints.push(endpoint);
        }
        let client = wire::client(config.patience.timeout)?;
        let (stop, stopped) = watch::channel(None);
        let mut tasks = JoinSet::new();
        let mut queues = Vec::new();
        for endpoint in endpoints {
            let queue = Arc::new(Queue::new(endpoint.label()));
            queues.push(Arc::clone(&queue));
            let sender = Sender {
                endpoint,
                queue,
                client: client.clone(),
                external_url: config.external_url.clone(),
                patience: config.patience,
                stopped: stopped.clone(),
            };
            tasks.spawn(sender.run());
        }
        Ok(Notifier { handle: Handle { queues: queues.into() }, stop, tasks })
    }

    /// A handle to put notices in and to read the counters.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Sends what is queued and ends; after `within` whatever is left is dropped and counted.
    pub async fn drain(mut self, within: Duration) {
        let deadline = Instant::now() + within;
        // No receiver is left when there is no Alertmanager.
        let _ = self.stop.send(Some(deadline));
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Handle {
    /// Queues notices for every Alertmanager; never waits. A notice replaces one with the same
    /// labels that still waits; a full queue loses its oldest.
    pub fn send(&self, notices: impl IntoIterator<Item = Notice>) {
        let now = Instant::now();
        for notice in notices {
            let notice = Arc::new(notice);
            for queue in self.queues.iter() {
                queue.push(Arc::clone(&notice), now);
            }
        }
    }

    /// The counters of every Alertmanager, in the order of the config.
    pub fn readings(&self) -> Vec<Reading> {
        self.queues.iter().map(|queue| queue.reading()).collect()
    }

    /// Whether pages reach anybody: at least one Alertmanager accepted the last it was sent.
    /// None while nothing was sent to any.
    pub fn delivering(&self) -> Option<bool> {
        self.readings().iter().filter_map(|reading| reading.accepting).reduce(|a, b| a || b)
    }
}

/// Makes *ring* the process's TLS provider. Doing it again does nothing.
pub fn install_crypto() {
    // An error only says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests;
