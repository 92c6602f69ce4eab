//! From what went wrong to a verdict: the target's fault is bad, ours is unknown.
//!
//! Decides nothing about timing. What it keeps true: no fault of this machine becomes `bad`, and
//! no detail holds a control character, more than its bound, or a header value.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::model::{BadReason, Observation, UnknownReason, Verdict};

/// Why a probe did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    pub(super) detail: String,
    /// Whether silence or a cut connection is all we know. That may be our own doing if our loop
    /// stood still meanwhile: a server gives up on a client that does not answer.
    pub(super) silent: bool,
}

impl Failure {
    /// The target did something wrong.
    pub(super) fn bad(reason: BadReason, detail: impl Into<String>) -> Self {
        Failure { verdict: Verdict::Bad(reason), detail: detail.into(), silent: false }
    }

    /// This machine could not measure.
    pub(super) fn local(detail: impl Into<String>) -> Self {
        let verdict = Verdict::Unknown(UnknownReason::LocalFault);
        Failure { verdict, detail: detail.into(), silent: false }
    }

    /// The connection was cut, or nothing came.
    pub(super) fn silent(reason: BadReason, detail: impl Into<String>) -> Self {
        Failure { silent: true, ..Failure::bad(reason, detail) }
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

/// Whether an I/O error says that this machine lacks something, not the target.
///
/// No route to the network counts as ours. `EHOSTUNREACH` does not: see [`connecting`].
pub(super) fn is_local(error: &io::Error) -> bool {
    /// Too many open files in this process, in the system; no buffer space. The standard library
    /// has no kinds for them.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE | ENOBUFS))
        || matches!(
            error.kind(),
            ErrorKind::AddrNotAvailable
                | ErrorKind::AddrInUse
                | ErrorKind::OutOfMemory
                | ErrorKind::NetworkDown
                | ErrorKind::NetworkUnreachable
                | ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::StorageFull
        )
}

/// The failure behind an error of opening or connecting a socket. `at_once` says that the system
/// call itself failed: then nobody else was asked, and even `EHOSTUNREACH` is the word of our own
/// routing table. Coming later it is the word of a router or of the missing neighbour: bad.
pub(super) fn connecting(error: &io::Error, at_once: bool) -> Failure {
    if is_local(error) || (at_once && error.kind() == ErrorKind::HostUnreachable) {
        return Failure::local(format!("cannot open a connection: {error}"));
    }
    match error.kind() {
        ErrorKind::TimedOut => Failure::silent(BadReason::Timeout, error.to_string()),
        _ => Failure::bad(BadReason::Connect, error.to_string()),
    }
}

/// The failure behind an error while talking, once connected. `answered` says that part of an
/// answer had arrived.
pub(super) fn talking(error: &(dyn Error + 'static), answered: bool) -> Failure {
    let Some(io) = find::<io::Error>(error) else {
        return Failure::bad(BadReason::Protocol, chain(error));
    };
    if is_local(io) {
        return Failure::local(format!("cannot talk to the target: {io}"));
    }
    match io.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            let reason = if answered { BadReason::Protocol } else { BadReason::Connect };
            Failure::silent(reason, io.to_string())
        }
        ErrorKind::UnexpectedEof => Failure::silent(BadReason::Protocol, io.to_string()),
        ErrorKind::TimedOut => Failure::silent(BadReason::Timeout, io.to_string()),
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
            Failure::local(error.to_string())
        }
        Some(tls) => Failure::bad(BadReason::Tls, tls.to_string()),
        None if is_local(error) => Failure::local(format!("cannot talk to the target: {error}")),
        None if error.kind() == ErrorKind::TimedOut => {
            Failure::silent(BadReason::Timeout, error.to_string())
        }
        None if error.kind() == ErrorKind::InvalidData => {
            Failure::bad(BadReason::Tls, error.to_string())
        }
        None => Failure::silent(BadReason::Tls, format!("cut during the handshake: {error}")),
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
            ("ENETUNREACH", 101, [LOCAL, LOCAL, LOCAL]),
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
        assert_eq!((failure.verdict, failure.silent), (CONNECT, true));
        let refused = connecting(&io::Error::from(ErrorKind::ConnectionRefused), false);
        assert!(!refused.silent, "a refusal is an answer");
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
