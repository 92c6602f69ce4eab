//! Doors for the fuzzer: what a target and a name server may send.
//!
//! Only built for it. The answer comes over memory in place of a socket; everything above that
//! is what the daemon runs.

use std::time::Duration;

use hickory_resolver::proto::op::Message;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::http::{FRAMING_MAX, Http};
use super::net::Wire;
use super::tls::{self, Clients};
use super::trace::{Marks, Phase, Trace};
use super::{dns, reason};
use crate::model::check::HttpCheck;
use crate::model::{BadReason, Observation, Verdict};

/// How long one exchange may take; time is paused, so it costs none.
const TIMEOUT: Duration = Duration::from_secs(1);
/// What the wire holds in each direction.
const WIRE: usize = 64 * 1024;

/// One exchange with a target that sends these bytes and hangs up.
pub async fn http(check: &HttpCheck, answer: &[u8], h2: bool) {
    let http = Http::new(check, &mut Clients::default());
    let (near, far) = tokio::io::duplex(WIRE);
    let marks = Marks::new();
    let n_read_max = FRAMING_MAX + check.max_body as u64;
    let wire = Wire::new(near, marks.clone(), n_read_max, !h2);
    let (mut request, mut reply) = tokio::io::split(far);
    let target = async {
        let said = reply.write_all(answer).await;
        // Whoever has seen enough has gone.
        let _ = said.and(reply.shutdown().await);
        let _ = tokio::io::copy(&mut (&mut request).take(1 << 20), &mut tokio::io::sink()).await;
        std::future::pending::<()>().await
    };
    let mut trace = Trace::start(TIMEOUT);
    trace.enter(Phase::Exchange(marks.clone()));
    let exchange = tokio::time::timeout(TIMEOUT, http.talk(wire, h2, marks.clone(), &mut trace));
    let result = tokio::select! {
        result = exchange => result,
        () = target => return,
    };
    let failure = match result {
        Ok(Ok(())) => return,
        Ok(Err(failure)) => failure,
        Err(_) => reason::Failure::silent(BadReason::Timeout, "too slow"),
    };
    assert!(matches!(failure.verdict, Verdict::Bad(_)), "not the target's fault: {failure:?}");
    let detail = reason::detail(&failure.detail);
    assert!(detail.len() <= Observation::MAX_DETAIL && !detail.chars().any(char::is_control));
    assert!(marks.read(0) <= n_read_max + WIRE as u64, "more was read than is allowed");
}

/// The answer of a name server.
pub fn dns(bytes: &[u8]) {
    if let Ok(message) = Message::from_vec(bytes) {
        let _ = dns::first_address(&message.answers);
    }
}

/// A certificate as a target presents it.
pub fn certificate(der: &[u8]) {
    let _ = tls::not_after(&CertificateDer::from(der));
}
