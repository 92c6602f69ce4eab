//! Encryption of the server's own port, and the certificates of those who come in.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CipherSuite as Suite, NamedGroup, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::model::web::{self, Certified, CipherSuite, Clients, Curve, TlsVersion};

/// Why the gate cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A file cannot be read.
    #[error("{key} {}: {why}", path.display())]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What was read does not make a server.
    #[error("TLS of the web config: {0}")]
    Tls(String),
}

/// How connections are encrypted.
pub(super) struct Tls {
    pub acceptor: TlsAcceptor,
    allowed_sans: Vec<String>,
}

impl Tls {
    pub fn new(config: &web::Tls) -> Result<Self, GateError> {
        let provider = Arc::new(provider(config));
        let versions: Vec<_> = [
            (TlsVersion::Tls13, &rustls::version::TLS13),
            (TlsVersion::Tls12, &rustls::version::TLS12),
        ]
        .into_iter()
        .filter(|(version, _)| (config.least..=config.most).contains(version))
        .map(|(_, spoken)| spoken)
        .collect();
        let unusable = |error: rustls::Error| GateError::Tls(error.to_string());
        let chain = certificates("cert_file", &config.cert_file)?;
        let key = PrivateKeyDer::from_pem_file(&config.key_file)
            .map_err(|error| unreadable("key_file", &config.key_file, &error))?;
        let (verifier, allowed_sans) = verifier(&config.clients, &provider)?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        server.ignore_client_order = config.prefer_server;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(server)), allowed_sans })
    }

    /// Whether a client with these certificates may come in; their issuer has been checked.
    pub fn admits(&self, shown: Option<&[CertificateDer<'_>]>) -> bool {
        let Some(leaf) = shown.and_then(<[_]>::first) else { return true };
        self.allowed_sans.is_empty() || sans(leaf).iter().any(|san| self.allowed_sans.contains(san))
    }
}

/// What the library holds safe, less what the web config leaves out.
fn provider(config: &web::Tls) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if let Some(chosen) = &config.cipher_suites {
        let wanted: Vec<Suite> = chosen.iter().map(|suite| suite_of(*suite)).collect();
        // Those of TLS 1.3 are no choice, as in the toolkit.
        provider
            .cipher_suites
            .retain(|known| known.tls13().is_some() || wanted.contains(&known.suite()));
    }
    if let Some(chosen) = &config.curves {
        let group = |curve: &Curve| {
            let wanted = group_of(*curve);
            provider.kx_groups.iter().find(|known| known.name() == wanted).copied()
        };
        provider.kx_groups = chosen.iter().filter_map(group).collect();
    }
    provider
}

fn suite_of(suite: CipherSuite) -> Suite {
    match suite {
        CipherSuite::EcdheEcdsaAes128 => Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheEcdsaAes256 => Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheEcdsaChacha20 => Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::EcdheRsaAes128 => Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheRsaAes256 => Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheRsaChacha20 => Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

fn group_of(curve: Curve) -> NamedGroup {
    match curve {
        Curve::P256 => NamedGroup::secp256r1,
        Curve::P384 => NamedGroup::secp384r1,
        Curve::X25519 => NamedGroup::X25519,
    }
}

/// Who judges the certificates of clients, and which names they must carry.
fn verifier(
    clients: &Clients,
    provider: &Arc<CryptoProvider>,
) -> Result<(Arc<dyn ClientCertVerifier>, Vec<String>), GateError> {
    let of = |certified: &Certified| {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("client_ca_file", &certified.ca_file)? {
            roots
                .add(certificate)
                .map_err(|error| unreadable("client_ca_file", &certified.ca_file, &error))?;
        }
        let roots = Arc::new(roots);
        Ok(WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)))
    };
    let (builder, certified) = match clients {
        Clients::Anonymous => return Ok((WebPkiClientVerifier::no_client_auth(), Vec::new())),
        Clients::IfGiven(certified) => (of(certified)?.allow_unauthenticated(), certified),
        Clients::Required(certified) => (of(certified)?, certified),
    };
    let verifier = builder
        .build()
        .map_err(|error| unreadable("client_ca_file", &certified.ca_file, &error))?;
    Ok((verifier, certified.allowed_sans.clone()))
}

/// Every certificate of a file, at least one.
fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, GateError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unreadable(key, path, &error))?;
    match found.is_empty() {
        true => Err(unreadable(key, path, &io::Error::other("there is no certificate in it"))),
        false => Ok(found),
    }
}

fn unreadable(key: &'static str, path: &Path, why: &dyn std::fmt::Display) -> GateError {
    GateError::File { key, path: path.to_owned(), why: why.to_string() }
}

/// The alternative names of a certificate as text.
fn sans(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(bytes) => {
            let v4 = || <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from);
            v4().or_else(v6).map(|address| address.to_string())
        }
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).collect()
}
