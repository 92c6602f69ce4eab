//! Who counts in place of a probe: a Prometheus that is asked, or somebody who sends results.
//!
//! Says what is asked and expected, and does nothing of it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::name::Name;

/// Who counts in place of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A Prometheus is asked.
    Prometheus(Prometheus),
    /// Results are sent by those who have them.
    Push(Push),
}

impl Source {
    /// How long after the end of an interval it is known what was counted in it, at most.
    pub const fn patience(&self) -> Duration {
        match self {
            Source::Prometheus(_) => Duration::ZERO,
            Source::Push(push) => push.grace,
        }
    }

    /// The word for the kind, as in the spec language.
    pub const fn kind(&self) -> &'static str {
        match self {
            Source::Prometheus(_) => "prometheus",
            Source::Push(_) => "push",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Prometheus(prometheus) => write!(f, "Prometheus `{}`", prometheus.server),
            Source::Push(_) => f.write_str("results that are sent here"),
        }
    }
}

/// Results that others send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The file with the token that they must show.
    pub token_file: PathBuf,
    /// How long after the end of an interval its results are still taken.
    pub grace: Duration,
}

/// What a Prometheus is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    /// The server, by its name in the operator's config.
    pub server: Name,
    /// What is asked.
    pub measure: Measure,
    /// Whether the metrics only rise.
    pub counter: bool,
}

/// What the answers of a Prometheus mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Good events and all events.
    Good {
        /// PromQL for the good ones.
        good: String,
        /// PromQL for all.
        total: String,
    },
    /// Bad events and all events.
    Bad {
        /// PromQL for the bad ones.
        bad: String,
        /// PromQL for all.
        total: String,
    },
    /// Good events and bad events.
    Both {
        /// PromQL for the good ones.
        good: String,
        /// PromQL for the bad ones.
        bad: String,
    },
    /// A ratio that the server works out.
    Ratio {
        /// PromQL for the ratio.
        query: String,
        /// Whether it is one of good events; else of bad ones.
        of_good: bool,
    },
    /// Values, each of which is good if it compares so.
    Threshold {
        /// PromQL for the value.
        query: String,
        /// How it is compared.
        op: Compare,
        /// With what, in billionths.
        nano: u64,
    },
}

/// How a value is compared with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// Below it.
    Below,
    /// At most as much.
    AtMost,
    /// Above it.
    Above,
    /// At least as much.
    AtLeast,
}

/// A Prometheus that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: Name,
    /// Where it is, without a trailing slash, a user and a query.
    pub url: String,
    /// How we say who we are.
    pub credentials: Credentials,
    /// Certificates to trust in place of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// How long one question may take.
    pub timeout: Duration,
    /// From one question to the next.
    pub interval: Duration,
}

impl Server {
    /// Default of [`Server::timeout`].
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// Default of [`Server::interval`].
    pub const INTERVAL: Duration = Duration::from_secs(30);
}

/// How we say who we are. Secrets are in files, and read for each question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// `Authorization: Bearer`, with what the file holds.
    Bearer(PathBuf),
    /// `Authorization: Basic`.
    Basic {
        /// The name of the user.
        username: String,
        /// The file with the password.
        password_file: PathBuf,
    },
}
