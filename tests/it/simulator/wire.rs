//! What a probe meets on the wire, and the verdict on it.
//!
//! The second half mirrors what `probe` does with an answer (`probe::Target::observe`,
//! `probe::reason`): the one piece of the product that is repeated here, because it lives between
//! sockets. Where it changes, this changes.

use std::time::Duration;

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

/// What a probe meets that starts at `start`.
pub fn ask(target: &Target, start: i64, timeout: i64, jitter: i64, no_route: bool) -> Answer {
    if no_route {
        return Answer { kind: Kind::NoRoute, after: MS };
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

/// The verdict on an answer, and the latency that counts. `stalled` says that the probing thread
/// stood still at some time between the start and the moment at which the answer was read.
pub fn judge(answer: Answer, stalled: bool, timeout: Duration) -> (Verdict, Option<Duration>) {
    let failure = match answer.kind {
        Kind::Good => None,
        Kind::Refused => Some((Verdict::Bad(BadReason::Connect), false)),
        Kind::Failed => Some((Verdict::Bad(BadReason::Status), false)),
        Kind::Cut => Some((Verdict::Bad(BadReason::Connect), true)),
        Kind::Silence => Some((Verdict::Bad(BadReason::Timeout), true)),
        Kind::NoRoute => Some((Verdict::Unknown(UnknownReason::LocalFault), false)),
    };
    let verdict = match failure {
        None => Verdict::Good,
        Some((_, true)) if stalled => Verdict::Unknown(UnknownReason::LocalFault),
        Some((verdict, _)) => verdict,
    };
    let measured = !stalled && !matches!(verdict, Verdict::Unknown(_));
    let latency = match verdict {
        Verdict::Bad(BadReason::Timeout) => Some(timeout),
        _ => measured.then(|| Duration::from_micros(answer.after.unsigned_abs())),
    };
    (verdict, latency)
}
