//! From what went wrong to a verdict: the target's fault is bad, ours is unknown.
//!
//! Decides nothing about timing. What it keeps true: no fault of this machine becomes `bad`, and
//! no detail holds a control character, more than its bound, or a header value.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::engine::fault::Cause;
use crate::engine::isolation::Silence;
use crate::model::{BadReason, Observation, Verdict};

/// Why a probe did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    pub(super) detail: String,
    pub(super) proof: Proof,
}

/// What a failure proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The target said so itself.
    Word,
    /// The connection was cut. That may be our own doing if our loop stood still meanwhile: a
    /// server gives up on a client that does not answer.
    Cut,
    /// Nothing came, or a router's word that nothing can. That may be our own doing, too, if we
    /// were cut off.
    Silence,
    /// This machine could not measure.
    Ours(Cause),
}

impl Failure {
    fn new(proof: Proof, reason: BadReason, detail: impl Into<String>) -> Self {
        Failure { verdict: Verdict::Bad(reason), detail: detail.into(), proof }
    }

    /// The target did something wrong.
    pub(super) fn bad(reason: BadReason, detail: impl Into<String>) -> Self {
        Failure::new(Proof::Word, reason, detail)
    }

    /// The connection was cut.
    pub(super) fn cut(reason: BadReason, detail: impl Into<String>) -> Self {
        Failure::new(Proof::Cut, reason, detail)
    }

    /// Nothing came.
    pub(super) fn silent(reason: BadReason, detail: impl Into<String>) -> Self {
        Failure::new(Proof::Silence, reason, detail)
    }

    /// This machine could not measure.
    pub(super) fn local(cause: Cause, detail: impl Into<String>) -> Self {
        let verdict = Verdict::Unknown(cause.reason());
        Failure { verdict, detail: detail.into(), proof: Proof::Ours(cause) }
    }

    /// The same failure of a probe during which this process stood still.
    pub(super) fn stalled(self) -> Self {
        match self.proof {
            Proof::Cut | Proof::Silence | Proof::Ours(Cause::Resolver) => {
                let detail = format!("this process stood still meanwhile; {}", self.detail);
                Failure::local(Cause::Stall, detail)
            }
            Proof::Word | Proof::Ours(_) => self,
        }
    }

    /// What others have to say before the verdict stands, if anything.
    pub(super) fn doubt(&self) -> Option<Silence> {
        match self.proof {
            Proof::Silence => Some(Silence::Target),
            Proof::Ours(Cause::Route) => Some(Silence::Route),
            Proof::Ours(Cause::Resolver) => Some(Silence::Resolver),
            Proof::Word | Proof::Cut | Proof::Ours(_) => None,
        }
    }

    /// What of ours is to blame, if anything.
    pub(super) fn cause(&self) -> Option<Cause> {
        match self.proof {
            Proof::Ours(cause) => Some(cause),
            Proof::Word | Proof::Cut | Proof::Silence => None,
        }
    }
}

/// Text for people: printable, at most [`Observation::MAX_DETAIL`] bytes.
pub(super) fn detail(text: &str) -> Arc<str> {
    let mut clean = String::with_capacity(text.len().min(Observation::MAX_DETAIL));
    for char in text.chars() {
        let char = if char.is_control() { ' ' } else { char };
        if clean.len() + char.len_utf8() > Observation::MAX_DETAIL {
            break;
        }
        clean.push(char);
    }
    clean.into()
}

/// What this machine lacks, if that is what an I/O error says.
///
/// Not among them: a network or a host that cannot be reached, see [`is_unreachable`].
pub(super) fn lack(error: &io::Error) -> Option<Cause> {
    /// Too many open files in this process, in the system; no buffer space. The standard library
    /// has no kinds for them.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };
    match error.raw_os_error() {
        Some(ENFILE | EMFILE) => return Some(Cause::Descriptors),
        Some(ENOBUFS) => return Some(Cause::Memory),
        _ => {}
    }
    match error.kind() {
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => Some(Cause::Ports),
        ErrorKind::OutOfMemory => Some(Cause::Memory),
        ErrorKind::NetworkDown => Some(Cause::Route),
        ErrorKind::PermissionDenied => Some(Cause::Permission),
        ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull => Some(Cause::Local),
        _ => None,
    }
}

/// Whether an I/O error says that there is no way to the target. At once it is the word of our own
/// routing table, later that of a router or of the missing neighbour.
fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable)
}

/// The failure behind an error of opening or connecting a socket. `at_once` says that the system
/// call itself failed: then nobody else was asked, and a missing way is our own.
pub(super) fn connecting(error: &io::Error, at_once: bool) -> Failure {
    let route = || (at_once && is_unreachable(error)).then_some(Cause::Route);
    if let Some(cause) = lack(error).or_else(route) {
        return Failure::local(cause, format!("cannot open a connection: {error}"));
    }
    match error.kind() {
        ErrorKind::TimedOut => Failure::silent(BadReason::Timeout, error.to_string()),
        _ if is_unreachable(error) => Failure::silent(BadReason::Connect, error.to_string()),
        _ => Failure::bad(BadReason::Connect, error.to_string()),
    }
}

/// The failure behind an error while talking, once connected. `answered` says that part of an
/// answer had arrived.
pub(super) fn talking(error: &(dyn Error + 'static), answered: bool) -> Failure {
    let Some(io) = find::<io::Error>(error) else {
        return Failure::bad(BadReason::Protocol, chain(error));
    };
    if let Some(cause) = lack(io) {
        return Failure::local(cause, format!("cannot talk to the target: {io}"));
    }
    match io.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            let reason = if answered { BadReason::Protocol } else { BadReason::Connect };
            Failure::cut(reason, io.to_string())
        }
        ErrorKind::UnexpectedEof => Failure::cut(BadReason::Protocol, io.to_string()),
        ErrorKind::TimedOut => Failure::silent(BadReason::Timeout, io.to_string()),
        _ if is_unreachable(io) => Failure::silent(BadReason::Protocol, io.to_string()),
        _ => match find::<rustls::Error>(error) {
            Some(tls) => Failure::bad(BadReason::Tls, tls.to_string()),
            None => Failure::bad(BadReason::Protocol, chain(error)),
        },
    }
}

/// The failure behind an error of the TLS handshake.
pub(super) fn handshaking(error: &io::Error) -> Failure {
    use rustls::Error as Tls;
    match find::<Tls>(error) {
        Some(Tls::FailedToGetCurrentTime | Tls::FailedToGetRandomBytes) => {
            return Failure::local(Cause::Local, error.to_string());
        }
        Some(tls) => return Failure::bad(BadReason::Tls, tls.to_string()),
        None => {}
    }
    if let Some(cause) = lack(error) {
        return Failure::local(cause, format!("cannot talk to the target: {error}"));
    }
    match error.kind() {
        ErrorKind::TimedOut => Failure::silent(BadReason::Timeout, error.to_string()),
        ErrorKind::InvalidData => Failure::bad(BadReason::Tls, error.to_string()),
        _ if is_unreachable(error) => Failure::silent(BadReason::Tls, error.to_string()),
        _ => Failure::cut(BadReason::Tls, format!("cut during the handshake: {error}")),
    }
}

/// The first error of a chain that is a `T`, looking into what I/O errors wrap.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    let mut found = None;
    while let Some(error) = next {
        // The innermost one is the cause; what wraps it is the messenger.
        found = error.downcast_ref::<T>().or(found);
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    found
}

/// An error with its causes, without repeating what the outer one already says.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::UnknownReason;

    const LOCAL: Verdict = Verdict::Unknown(UnknownReason::LocalFault);
    const CONNECT: Verdict = Verdict::Bad(BadReason::Connect);

    /// Errno on Linux, by name: what it means when the call fails at once, later while
    /// connecting, and in the middle of an answer.
    #[cfg(target_os = "linux")]
    #[test]
    fn every_lack_of_this_machine_is_unknown_and_every_refusal_is_bad() {
        let protocol = Verdict::Bad(BadReason::Protocol);
        let timeout = Verdict::Bad(BadReason::Timeout);
        let table = [
            ("EPERM", 1, [LOCAL, LOCAL, LOCAL]),
            ("ENOMEM", 12, [LOCAL, LOCAL, LOCAL]),
            ("EACCES", 13, [LOCAL, LOCAL, LOCAL]),
            ("ENFILE", 23, [LOCAL, LOCAL, LOCAL]),
            ("EMFILE", 24, [LOCAL, LOCAL, LOCAL]),
            ("EADDRINUSE", 98, [LOCAL, LOCAL, LOCAL]),
            ("EADDRNOTAVAIL", 99, [LOCAL, LOCAL, LOCAL]),
            ("ENETDOWN", 100, [LOCAL, LOCAL, LOCAL]),
            ("ENETUNREACH", 101, [LOCAL, CONNECT, protocol]),
            ("ENOBUFS", 105, [LOCAL, LOCAL, LOCAL]),
            ("EHOSTUNREACH", 113, [LOCAL, CONNECT, protocol]),
            ("ECONNREFUSED", 111, [CONNECT, CONNECT, protocol]),
            ("ECONNRESET", 104, [CONNECT, CONNECT, protocol]),
            ("EPIPE", 32, [CONNECT, CONNECT, protocol]),
            ("ETIMEDOUT", 110, [timeout, timeout, timeout]),
        ];
        for (name, errno, expect) in table {
            let error = io::Error::from_raw_os_error(errno);
            let verdicts = [
                connecting(&error, true).verdict,
                connecting(&error, false).verdict,
                talking(&error, true).verdict,
            ];
            assert_eq!(verdicts, expect, "{name}");
        }
    }

    #[test]
    fn a_reset_before_the_answer_is_a_connect_failure_and_may_be_ours_after_a_stall() {
        let failure = talking(&io::Error::from(ErrorKind::ConnectionReset), false);
        assert_eq!((failure.verdict, failure.doubt()), (CONNECT, None));
        assert_eq!(failure.stalled().cause(), Some(Cause::Stall));
        let refused = connecting(&io::Error::from(ErrorKind::ConnectionRefused), false);
        assert_eq!(refused.clone().stalled(), refused, "a refusal is an answer");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn every_lack_has_its_cause_and_only_silence_is_doubted() {
        let table = [
            ("ENOMEM", 12, Some(Cause::Memory), None),
            ("EACCES", 13, Some(Cause::Permission), None),
            ("EMFILE", 24, Some(Cause::Descriptors), None),
            ("EADDRNOTAVAIL", 99, Some(Cause::Ports), None),
            ("ENETDOWN", 100, Some(Cause::Route), Some(Silence::Route)),
            ("ENETUNREACH", 101, Some(Cause::Route), Some(Silence::Route)),
            ("EHOSTUNREACH", 113, Some(Cause::Route), Some(Silence::Route)),
            ("ENOBUFS", 105, Some(Cause::Memory), None),
            ("ETIMEDOUT", 110, None, Some(Silence::Target)),
            ("ECONNREFUSED", 111, None, None),
        ];
        for (name, errno, cause, doubt) in table {
            let failure = connecting(&io::Error::from_raw_os_error(errno), true);
            assert_eq!((failure.cause(), failure.doubt()), (cause, doubt), "{name}");
        }
        for errno in [101, 113] {
            let failure = connecting(&io::Error::from_raw_os_error(errno), false);
            assert_eq!(failure.doubt(), Some(Silence::Target), "a router's word may be about us");
        }
    }

    #[test]
    fn a_local_fault_is_found_below_the_messenger() {
        let inner = io::Error::from(ErrorKind::PermissionDenied);
        assert_eq!(talking(&io::Error::other(inner), true).verdict, LOCAL);
        let tls = rustls::Error::General("odd".to_owned());
        let verdict = talking(&io::Error::new(ErrorKind::InvalidData, tls), true).verdict;
        assert_eq!(verdict, Verdict::Bad(BadReason::Tls));
    }

    proptest! {
        #[test]
        fn details_are_printable_and_bounded(text in "\\PC{0,150}[\\x00-\\x1f\u{7f}-\u{9f}ä]{0,100}") {
            let clean = detail(&text);
            prop_assert!(clean.len() <= Observation::MAX_DETAIL);
            prop_assert!(!clean.chars().any(char::is_control));
        }
    }
}
