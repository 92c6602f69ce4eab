//! The gate: whether a connection is encrypted, who may ask, and what every answer carries.
//!
//! Built whole from a web config before anything is swapped, so that a wrong certificate keeps
//! what is in force. Of passwords only hashes are held. A login costs a bcrypt; one is worked on
//! at a time, a few may wait, and those that were good are remembered, so that a scraper pays
//! once and a guesser delays nobody who is known.

mod tls;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use ring::digest::{SHA256, digest};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::problem::Problem;
use crate::model::web::WebConfig;

pub use tls::GateError;

/// Logins that may wait for their bcrypt.
const MAX_WAITING: usize = 32;
/// Good logins that are remembered.
const MAX_KNOWN: usize = 256;
/// Longest user name with password that is looked at, in bytes; bcrypt itself reads 72.
const MAX_CREDENTIALS: usize = 1_024;
/// What is checked for a user who does not exist, so that the time tells nothing: a hash of cost
/// 10 of a password that nobody knows.
const NOBODY: &str = "$2b$10$WTe22HRfCAMhjdWiBJzZruZ7nhz1LkiAKmDn7BNUZYqhrGSpzWOyq";

/// Who may come in, and how.
#[derive(Default)]
pub struct Gate {
    tls: Option<tls::Tls>,
    users: Vec<(String, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    logins: Option<Logins>,
}

struct Logins {
    waiting: Semaphore,
    working: Semaphore,
    known: Mutex<VecDeque<[u8; 32]>>,
}

impl Gate {
    /// A gate as the web config has it. Reads the files that it names.
    ///
    /// # Errors
    /// A certificate or key that cannot be read or used, with its path.
    pub fn open(config: &WebConfig) -> Result<Self, GateError> {
        let header = |(name, value): &(&'static str, String)| {
            let value = HeaderValue::from_str(value).ok()?;
            Some((HeaderName::from_static(name), value))
        };
        Ok(Gate {
            tls: config.tls.as_ref().map(tls::Tls::new).transpose()?,
            users: config.users.clone(),
            headers: config.headers.iter().filter_map(header).collect(),
            logins: (!config.users.is_empty()).then(Logins::new),
        })
    }

    /// What encrypts connections; none for plain HTTP.
    pub(super) fn acceptor(&self) -> Option<&TlsAcceptor> {
        self.tls.as_ref().map(|tls| &tls.acceptor)
    }

    /// Whether a client may come in by the certificates it has shown.
    pub(super) fn admits(&self, shown: Option<&[rustls::pki_types::CertificateDer<'_>]>) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.admits(shown))
    }

    /// Whether this request may be answered.
    ///
    /// # Errors
    /// The answer that it gets instead.
    pub(super) async fn pass(
        self: &Arc<Self>,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let Some(logins) = &self.logins else { return Ok(()) };
        if has_a_lock_of_its_own(method, path) {
            return Ok(());
        }
        let (user, password) = credentials(headers).ok_or_else(stranger)?;
        let mark = mark(&user, &password);
        if logins.knows(&mark) {
            return Ok(());
        }
        let too_many = || {
            let detail = "too many logins at once; try again in a moment";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        };
        let _waiting = logins.waiting.try_acquire().map_err(|_| too_many())?;
        let _working = logins.working.acquire().await.map_err(|_| too_many())?;
        let gate = Arc::clone(self);
        let checked = tokio::task::spawn_blocking(move || gate.is_right(&user, &password)).await;
        match checked {
            Ok(true) => {
                logins.remember(mark);
                Ok(())
            }
            _ => Err(stranger()),
        }
    }

    /// Puts its headers into an answer, in place of those that are there.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    fn is_right(&self, user: &str, password: &[u8]) -> bool {
        let hash = self.users.iter().find(|(name, _)| name == user).map(|(_, hash)| hash.as_str());
        let right = bcrypt::verify(password, hash.unwrap_or(NOBODY)).unwrap_or(false);
        right && hash.is_some()
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl Logins {
    fn new() -> Self {
        Logins {
            waiting: Semaphore::new(MAX_WAITING),
            working: Semaphore::new(1),
            known: Mutex::default(),
        }
    }

    fn knows(&self, mark: &[u8; 32]) -> bool {
        self.known().contains(mark)
    }

    fn remember(&self, mark: [u8; 32]) {
        let mut known = self.known();
        if !known.contains(&mark) {
            known.truncate(MAX_KNOWN - 1);
            known.push_front(mark);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, VecDeque<[u8; 32]>> {
        // Nothing panics while it is held; what is in it is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Results that others send come with the token of their SLO, in the header that a password would
/// need; without it nothing is answered there.
fn has_a_lock_of_its_own(method: &Method, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    *method == Method::POST && matches!(parts[..], ["", "api", "v1", "slos", _, _, "results"])
}

/// The user and the password of RFC 7617.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, coded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || coded.len() > MAX_CREDENTIALS * 4 / 3 {
        return None;
    }
    let plain = STANDARD.decode(coded.trim()).ok()?;
    let colon = plain.iter().position(|byte| *byte == b':')?;
    let user = std::str::from_utf8(&plain[..colon]).ok()?.to_owned();
    Some((user, plain[colon + 1..].to_vec()))
}

fn mark(user: &str, password: &[u8]) -> [u8; 32] {
    // The length keeps `a:bc` and `ab:c` apart.
    let length = u64::try_from(user.len()).unwrap_or(u64::MAX).to_be_bytes();
    let hashed = digest(&SHA256, &[&length[..], user.as_bytes(), password].concat());
    let mut mark = [0; 32];
    mark.copy_from_slice(hashed.as_ref());
    mark
}

fn stranger() -> Problem {
    let detail = "a user and a password of the web config are needed (basic authentication)";
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

#[cfg(test)]
mod tests;
