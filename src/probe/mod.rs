//! Probes: open-loop, cold by default, phase by phase, and honest about whose fault it was.
//!
//! Knows no SLO and keeps no history. What it keeps true: every slot of the schedule is reported
//! exactly once; a fault of this machine is never `bad`; no probe waits for another, for the
//! engine, or for a target beyond its timeout; nothing a target sends grows without a bound; no
//! connection is made to an address that the egress policy has not seen.

mod dns;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod http;
mod meters;
mod net;
mod outbox;
mod prober;
mod reason;
mod tcp;
mod tls;
mod trace;
mod watch;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use self::dns::Dns;
pub use self::meters::{LAG_EDGES_MICROS, Lag, Meters};
pub use self::prober::{Config, Prober, StartError, descriptors, in_flight_max};
use self::reason::Failure;
use self::tls::Clients;
use self::trace::{Phase, Trace};
use self::watch::Watch;
use crate::clock::Clock;
use crate::engine::fault::Cause;
use crate::engine::isolation::Doubt;
pub use crate::engine::isolation::Report;
use crate::model::check::{Check, Endpoint};
use crate::model::time::format_duration;
use crate::model::{BadReason, Egress, Observation, Phases, SeriesId, Timestamp, Verdict};

/// How often a probe is looked at once more after its deadline, before it is given up: what has
/// arrived by then is read, even if this process got to it late.
const LAST_LOOKS: u32 = 4;

/// Probes once, now, outside of any schedule. The observation belongs to series 0.
pub async fn once(check: &Check, timeout: Duration, egress: &Egress, clock: Clock) -> Observation {
    let target = Target::new(check, timeout, &mut Clients::default());
    let env = Env::new(&[], clock, egress.clone(), Arc::default());
    target.observe(SeriesId(0), clock.now(), &env).await.observation
}

/// What all probes of one thread share.
struct Env {
    dns: Dns,
    clock: Clock,
    watch: Watch,
    egress: Egress,
    meters: Arc<Meters>,
}

impl Env {
    /// What probes share that resolve by these name servers, or by this machine's if there are
    /// none. Belongs to the runtime it is made in.
    fn new(nameservers: &[SocketAddr], clock: Clock, egress: Egress, meters: Arc<Meters>) -> Self {
        Env { dns: Dns::new(nameservers), clock, watch: Watch::new(), egress, meters }
    }

    /// The address of an endpoint that may be connected to. Whoever connects takes this one and
    /// no other: a name that is looked up again may have changed its mind.
    async fn address(&self, to: &Endpoint, trace: &mut Trace) -> Result<SocketAddr, Failure> {
        let address = match to.literal() {
            Some(literal) => literal,
            None => {
                trace.enter(Phase::Dns);
                // Asking takes more room than all the rest, and most need not.
                (Box::pin(self.dns.address(&to.host)).await?, to.port).into()
            }
        };
        self.egress.check(address).map_err(|denied| {
            self.meters.denied.fetch_add(1, Relaxed);
            Failure::local(Cause::Egress, denied.to_string())
        })?;
        Ok(address)
    }
}

/// A check with everything prepared that need not be done anew at each start.
struct Target {
    kind: Kind,
    timeout: Duration,
}

enum Kind {
    Http(Box<http::Http>),
    Tcp(tcp::Tcp),
    Tls(tls::Tls),
    Name(String),
    /// Not probed: somebody else counts.
    Elsewhere,
}

/// What a probe has found out.
struct Seen {
    observation: Observation,
    /// What others have to say before the verdict stands.
    doubt: Option<Doubt>,
    /// What of ours is to blame, if the verdict stands and is unknown.
    cause: Option<Cause>,
}

impl Target {
    fn new(check: &Check, timeout: Duration, clients: &mut Clients) -> Self {
        let kind = match check {
            Check::Http(check) => Kind::Http(Box::new(http::Http::new(check, clients))),
            Check::Tcp(check) => Kind::Tcp(tcp::Tcp::new(check)),
            Check::Tls(check) => Kind::Tls(tls::Tls::new(check, clients)),
            Check::Name(name) => Kind::Name(name.clone()),
            Check::Source(_) => Kind::Elsewhere,
        };
        Target { kind, timeout }
    }

    /// Probes now for the slot that was due at `due`. Takes at most the timeout.
    async fn observe(&self, series: SeriesId, due: Timestamp, env: &Env) -> Seen {
        let mut trace = Trace::start(self.timeout);
        let start = trace.started();
        let slept = env.clock.slept();
        let lag = env.clock.at(start).since(due);
        let result = until(trace.deadline(), pin!(self.run(&mut trace, env))).await;
        let result = result.unwrap_or_else(|| Err(self.too_slow(&mut trace)));
        let stalled = env.watch.stood_still(start) || env.clock.slept() > slept;
        let failure = result.err().map(|f| if stalled { f.stalled() } else { f });
        let certificate_not_after = trace.certificate_not_after;
        let (latency, phases) = trace.finish();
        let verdict = failure.as_ref().map_or(Verdict::Good, |failure| failure.verdict);
        let detail = failure.as_ref().map(|failure| reason::detail(&failure.detail));
        let about = failure.as_ref().and_then(Failure::doubt);
        let doubt = about.map(|about| Doubt { about, elapsed: latency });
        let cause = failure.as_ref().and_then(Failure::cause);
        // A time that our own pause is part of is not the target's.
        let measured = !stalled && !matches!(verdict, Verdict::Unknown(_));
        let latency = match verdict {
            Verdict::Bad(BadReason::Timeout) => Some(self.timeout),
            _ => measured.then_some(latency),
        };
        let phases = if measured { phases } else { Phases::default() };
        let observation = Observation {
            series,
            due,
            lag,
            latency,
            phases,
            verdict,
            detail,
            certificate_not_after,
        };
        Seen { observation, doubt, cause }
    }

    async fn run(&self, trace: &mut Trace, env: &Env) -> Result<(), Failure> {
        match &self.kind {
            Kind::Http(http) => http.run(trace, env).await,
            Kind::Tcp(tcp) => tcp.run(trace, env).await,
            Kind::Tls(tls) => tls.run(trace, env).await,
            Kind::Name(name) => {
                trace.enter(Phase::Dns);
                env.dns.address(name).await.map(drop)
            }
            Kind::Elsewhere => {
                Err(Failure::local(Cause::Local, "somebody else counts this".to_owned()))
            }
        }
    }

    fn too_slow(&self, trace: &mut Trace) -> Failure {
        if let Some(judged) = trace.judged.take() {
            return judged;
        }
        let timeout = format_duration(self.timeout);
        if trace.in_dns() {
            let detail = format!("no answer from the resolver within {timeout}");
            return Failure::local(Cause::Resolver, detail);
        }
        Failure::silent(BadReason::Timeout, format!("no complete answer within {timeout}"))
    }
}

/// The output of `future`, or none if it is not ready by the deadline and a few looks later.
async fn until<F: Future>(deadline: Instant, mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut timer = pin!(tokio::time::sleep_until(deadline));
    let mut n_looks = LAST_LOOKS;
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if n_looks == 0 {
            return Poll::Ready(None);
        }
        n_looks -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests;
