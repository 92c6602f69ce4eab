//! TLS handshakes: whom to trust, what was negotiated, when the certificates end.
//!
//! Never resumes a session: every handshake is a full one. The system's certificates are loaded
//! once, because building the store costs more than a handshake.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::net::Metered;
use super::reason::{self, Failure};
use super::trace::{Marks, Phase, Trace};
use super::{Env, net};
use crate::engine::fault::Cause;
use crate::model::check::{Endpoint, TlsCheck, TlsOptions};
use crate::model::time::{format_duration, micros};
use crate::model::{BadReason, Timestamp};

/// Largest `ca_file` that is read: some hundreds of certificates.
const CA_FILE_MAX: u64 = 1 << 20;
/// Most bytes that a target may say in a handshake; the longest chains take some 20 KiB.
pub(super) const HANDSHAKE_MAX: u64 = 256 * 1024;

/// The protocols that a client offers by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alpn {
    None,
    Http1,
    Http2,
    Either,
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        let protocols: &[&[u8]] = match self {
            Alpn::None => &[],
            Alpn::Http1 => &[b"http/1.1"],
            Alpn::Http2 => &[b"h2"],
            Alpn::Either => &[b"h2", b"http/1.1"],
        };
        protocols.iter().map(|protocol| protocol.to_vec()).collect()
    }
}

/// The client configurations of all probes; those that trust the same share one.
#[derive(Default)]
pub(super) struct Clients {
    known: BTreeMap<(Option<PathBuf>, Alpn), Result<Arc<ClientConfig>, String>>,
}

impl Clients {
    /// A client for this host. What is wrong with its options is told at each probe, so that one
    /// missing file does not keep every other probe from running.
    pub(super) fn client(&mut self, host: &str, options: &TlsOptions, alpn: Alpn) -> Client {
        let name = options.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("{name:?} is not a name that a certificate could carry"));
        let config = self
            .known
            .entry((options.ca_file.clone(), alpn))
            .or_insert_with(|| config(options.ca_file.as_deref(), alpn))
            .clone();
        Client { parts: name.and_then(|name| Ok((name, TlsConnector::from(config?)))) }
    }
}

fn config(ca_file: Option<&Path>, alpn: Alpn) -> Result<Arc<ClientConfig>, String> {
    let roots = match ca_file {
        Some(path) => Arc::new(roots_in(path)?),
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.protocols();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The certificates that this machine trusts, loaded when first needed.
fn system_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    match roots.is_empty() {
        true => Err("this machine trusts no certificate; install ca-certificates or set \
                     tls.ca_file"
            .to_owned()),
        false => Ok(Arc::clone(roots)),
    }
}

fn roots_in(path: &Path) -> Result<RootCertStore, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("ca_file {}: {what}", path.display());
    let mut pem = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CA_FILE_MAX).read_to_end(&mut pem))
        .map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    match roots.is_empty() {
        true => Err(wrong(&"holds no certificate in PEM form")),
        false => Ok(roots),
    }
}

/// One side of a handshake: whom to ask for and whom to trust.
pub(super) struct Client {
    parts: Result<(ServerName<'static>, TlsConnector), String>,
}

impl Client {
    /// Shakes hands and notes when the first certificate of the presented chain expires.
    pub(super) async fn handshake(
        &self,
        tcp: Metered,
        trace: &mut Trace,
    ) -> Result<TlsStream<Metered>, Failure> {
        let (name, connector) =
            self.parts.as_ref().map_err(|error| Failure::local(Cause::Local, error.as_str()))?;
        trace.enter(Phase::Tls);
        let result = connector.connect(name.clone(), tcp).await;
        let stream = result.map_err(|error| {
            trace.certificate_not_after = expired(&error);
            reason::handshaking(&error)
        })?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        trace.certificate_not_after = chain.iter().filter_map(not_after).min();
        Ok(stream)
    }
}

pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Timestamp::from_secs(certificate.validity().not_after.timestamp()))
}

/// When the certificate ended that a handshake was refused for.
fn expired(error: &std::io::Error) -> Option<Timestamp> {
    use rustls::{CertificateError, Error};
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            i64::try_from(not_after.as_secs()).ok().map(Timestamp::from_secs)
        }
        _ => None,
    }
}

/// A handshake and the certificate it must show.
pub(super) struct Tls {
    endpoint: Endpoint,
    client: Client,
    min_validity: Option<std::time::Duration>,
}

impl Tls {
    pub(super) fn new(check: &TlsCheck, clients: &mut Clients) -> Self {
        Tls {
            client: clients.client(&check.endpoint.host, &check.tls, Alpn::None),
            endpoint: check.endpoint.clone(),
            min_validity: check.min_validity,
        }
    }

    pub(super) async fn run(&self, trace: &mut Trace, env: &Env) -> Result<(), Failure> {
        let address = env.address(&self.endpoint, trace).await?;
        trace.enter(Phase::Connect);
        let tcp = net::connect(address, true).await?;
        let tcp = Metered::new(tcp, Marks::new(), HANDSHAKE_MAX);
        self.client.handshake(tcp, trace).await?;
        let (Some(min), Some(end)) = (self.min_validity, trace.certificate_not_after) else {
            return Ok(());
        };
        let now = env.clock.now();
        if end < now.plus(min) {
            let days = micros(end.since(now)) / 86_400_000_000;
            let min = format_duration(min);
            let text = format!("a certificate expires at {end}, in {days} d; expected {min}");
            return Err(Failure::bad(BadReason::Tls, text));
        }
        Ok(())
    }
}
