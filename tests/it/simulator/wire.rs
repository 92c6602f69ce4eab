//! What a probe meets on the wire, and the verdict on it.
//!
//! The second half mirrors what `probe` does with an answer (`probe::Target::observe`,
//! `probe::reason`): the one piece of the product that is repeated here, because it lives between
//! sockets. Where it changes, this changes.

use std::time::Duration;

use nines::engine::isolation::{Doubt, Silence};
use nines::model::{BadReason, UnknownReason, Verdict};

use super::MS;
use super::chance::scatter;
use super::target::{State, Target};

/// What comes back, and how long after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub kind: Kind,
    pub after: i64,
}

/// Kinds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Good,
    /// The connection was refused.
    Refused,
    /// An answer that says no.
    Failed,
    /// The connection was cut.
    Cut,
    /// Nothing, until the timeout.
    Silence,
    /// This machine knew no way.
    NoRoute,
}

/// How the network of the monitor's own machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uplink {
    Open,
    /// Nothing that is sent arrives.
    Cut,
    /// This machine knows no way.
    NoRoute,
}

/// What a probe meets that starts at `start`.
pub fn ask(target: &Target, start: i64, timeout: i64, jitter: i64, uplink: Uplink) -> Answer {
    match uplink {
        Uplink::Open => {}
        Uplink::Cut => return Answer { kind: Kind::Silence, after: timeout },
        Uplink::NoRoute => return Answer { kind: Kind::NoRoute, after: MS },
    }
    let (kind, after) = match target.at(start) {
        State::Up => (Kind::Good, target.quick + jitter),
        State::Slow => (Kind::Good, target.slow + jitter),
        State::Refusing => (Kind::Refused, MS),
        State::Failing => (Kind::Failed, target.quick + jitter),
        State::Cutting => (Kind::Cut, target.quick + jitter),
        State::Silent => (Kind::Silence, timeout),
    };
    if after >= timeout {
        Answer { kind: Kind::Silence, after: timeout }
    } else {
        Answer { kind, after }
    }
}

/// What becomes of a good answer if the prober did not attend to it: some targets lose patience
/// and cut the connection, some exchanges have steps of ours that came too late.
pub fn neglect(answer: Answer, due: i64, timeout: Duration) -> Answer {
    let after = timeout.as_micros() as i64;
    match (answer.kind, scatter(due.cast_unsigned()) % 4) {
        (Kind::Good, 0) => Answer { kind: Kind::Cut, ..answer },
        (Kind::Good, 1) => Answer { kind: Kind::Silence, after },
        _ => answer,
    }
}

/// The verdict on an answer, the latency that counts, and what others have to say before the
/// verdict stands. `stalled` says that the probing thread stood still, or the machine slept, at
/// some time between the start and the moment at which the answer was read.
pub fn judge(
    answer: Answer,
    stalled: bool,
    timeout: Duration,
) -> (Verdict, Option<Duration>, Option<Doubt>) {
    let local = Verdict::Unknown(UnknownReason::LocalFault);
    let (verdict, about) = match answer.kind {
        Kind::Good => (Verdict::Good, None),
        Kind::Refused => (Verdict::Bad(BadReason::Connect), None),
        Kind::Failed => (Verdict::Bad(BadReason::Status), None),
        Kind::Cut | Kind::Silence if stalled => (local, None),
        Kind::Cut => (Verdict::Bad(BadReason::Connect), None),
        Kind::Silence => (Verdict::Bad(BadReason::Timeout), Some(Silence::Target)),
        Kind::NoRoute => (local, Some(Silence::Route)),
    };
    let elapsed = Duration::from_micros(answer.after.unsigned_abs());
    let measured = !stalled && !matches!(verdict, Verdict::Unknown(_));
    let latency = match verdict {
        Verdict::Bad(BadReason::Timeout) => Some(timeout),
        _ => measured.then_some(elapsed),
    };
    (verdict, latency, about.map(|about| Doubt { about, elapsed }))
}
