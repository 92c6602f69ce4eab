//! One result of one probe.

use std::sync::Arc;
use std::time::Duration;

use super::history::SeriesId;
use super::outcome::Verdict;
use super::time::Timestamp;

/// What a probe found out in one scheduled slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Whose history this belongs to: a probe seen from a vantage.
    pub series: SeriesId,
    /// When the probe was due on its grid. The observation belongs to this moment.
    pub due: Timestamp,
    /// How long after `due` the probe really started.
    pub lag: Duration,
    /// From the start to the last byte of the answer, on the monotonic clock; the timeout for a
    /// probe that timed out; none when nothing was measured.
    pub latency: Option<Duration>,
    /// Where the latency went.
    pub phases: Phases,
    /// The judgement.
    pub verdict: Verdict,
    /// For people: what exactly went wrong, at most [`Observation::MAX_DETAIL`] bytes.
    pub detail: Option<Arc<str>>,
    /// When the first certificate of the presented chain expires.
    pub certificate_not_after: Option<Timestamp>,
}

impl Observation {
    /// Longest detail text, in bytes.
    pub const MAX_DETAIL: usize = 200;
}

/// Time spent in each phase of a probe; zero for a phase that did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Resolving the name.
    pub dns: Duration,
    /// Connecting.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// Sending the request.
    pub send: Duration,
    /// From the request sent to the first byte of the answer.
    pub wait: Duration,
    /// From the first byte of the answer to the last.
    pub receive: Duration,
}

impl Phases {
    /// The names of the phases in the order in which they happen.
    pub const NAMES: [&'static str; 6] = ["dns", "connect", "tls", "send", "wait", "receive"];

    /// The durations in the order of [`Phases::NAMES`].
    pub const fn durations(&self) -> [Duration; 6] {
        [self.dns, self.connect, self.tls, self.send, self.wait, self.receive]
    }
}
