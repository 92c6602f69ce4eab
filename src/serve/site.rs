//! What is served: the handles that every request reads from.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::engine::Engine;
use crate::model::{Settings, Timestamp};

use super::own::SelfMetrics;
use super::report::Archive;
use super::results::Deliveries;

/// Everything that is served. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    /// What is known.
    pub engine: Arc<RwLock<Engine>>,
    /// The operator's choices; a reload may swap them.
    pub settings: Arc<ArcSwap<Settings>>,
    /// The monitor's numbers about itself.
    pub own: Arc<dyn SelfMetrics>,
    /// The past beyond what the engine remembers.
    pub archive: Arc<dyn Archive>,
    /// Where results go that others send.
    pub deliveries: Arc<dyn Deliveries>,
    /// Whether `/-/ready` says so.
    pub readiness: watch::Receiver<Readiness>,
    /// How the configuration was last loaded.
    pub load: watch::Receiver<Load>,
    /// Where reload and quit go.
    pub commands: mpsc::Sender<Command>,
    /// The time.
    pub clock: Clock,
}

/// Whether the monitor does its work yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet; what it is waiting for.
    Waiting(String),
    /// It does.
    Ready,
}

/// How the configuration was last loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// When that last succeeded.
    pub success_at: Timestamp,
    /// Why it failed since; what was in force before still is.
    pub failure: Option<Arc<ReloadFailure>>,
}

/// Why a reload did not take place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadFailure {
    /// The configuration is wrong, or asks for what only a restart can do: every problem.
    Refused(Vec<String>),
    /// This process or its machine is in the way.
    Failed(String),
}

impl ReloadFailure {
    /// Each problem.
    pub fn problems(&self) -> &[String] {
        match self {
            ReloadFailure::Refused(problems) => problems,
            ReloadFailure::Failed(why) => std::slice::from_ref(why),
        }
    }
}

/// What somebody asked the daemon to do.
#[derive(Debug)]
pub enum Command {
    /// Load the configuration again and say how that went.
    Reload(oneshot::Sender<Result<(), Arc<ReloadFailure>>>),
    /// Stop in good order.
    Quit,
}

impl Site {
    /// The engine, to read from; never held across an await.
    pub fn engine(&self) -> RwLockReadGuard<'_, Engine> {
        // A panic while it was written leaves numbers that are still worth showing.
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").finish_non_exhaustive()
    }
}
