//! Tests of the probes over loopback: targets that behave, and targets that do everything else.

mod http;
mod names;
mod prober;
mod server;
mod tcp;
mod timing;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::model::check::{Connection, HttpCheck, HttpExpect, HttpVersion, TlsOptions};

/// Enough for every target that answers at all, even on a machine that is busy.
const AMPLE: Duration = Duration::from_secs(20);
/// For targets that never finish.
const SHORT: Duration = Duration::from_millis(300);
/// How much later than its timeout a probe may be back on a machine that is busy.
const SLACK: Duration = Duration::from_secs(3);

/// A plain request that expects any 2xx.
fn get(to: SocketAddr) -> HttpCheck {
    HttpCheck {
        url: format!("http://{to}/path?query").parse().expect("an address makes a URL"),
        method: ::http::Method::GET,
        headers: Vec::new(),
        header_files: Vec::new(),
        body: None,
        expect: HttpExpect::default(),
        version: HttpVersion::Auto,
        tls: TlsOptions::default(),
        connection: Connection::Cold,
        max_body: 64 * 1024,
    }
}

/// Probes once and checks what holds for every probe, whatever its target does.
async fn probe(name: &str, check: Check, timeout: Duration) -> Observation {
    let start = Instant::now();
    let observation = once(&check, timeout, Clock::start()).await;
    assert!(start.elapsed() < timeout + SLACK, "{name}: took {:?}", start.elapsed());
    sound(name, &observation, timeout);
    observation
}

/// What holds for every observation: nothing exceeds the timeout, and the phases are all of it.
fn sound(name: &str, observation: &Observation, timeout: Duration) {
    let Some(latency) = observation.latency else {
        assert!(matches!(observation.verdict, Verdict::Unknown(_)), "{name}: {observation:?}");
        assert_eq!(observation.phases, Phases::default(), "{name}");
        return;
    };
    let sum: Duration = observation.phases.durations().iter().sum();
    assert_eq!(sum, latency, "{name}: {observation:?}");
    assert!(latency <= timeout, "{name}: {observation:?}");
    if observation.verdict == Verdict::Bad(BadReason::Timeout) {
        assert_eq!(latency, timeout, "{name}");
    }
    assert_eq!(observation.verdict == Verdict::Good, observation.detail.is_none(), "{name}");
}
