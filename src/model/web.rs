//! Who may come in over HTTP, and how: the web config as it was meant.

use std::path::{Path, PathBuf};

/// Who may come in over HTTP, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebConfig {
    /// How connections are encrypted; none for plain HTTP.
    pub tls: Option<Tls>,
    /// Users by name, with the bcrypt hash of their password. Empty: everybody.
    pub users: Vec<(String, String)>,
    /// Response headers by name, with the value they have in every answer.
    pub headers: Vec<(&'static str, String)>,
}

/// How connections are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificates, leaf first, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// Which certificates clients show.
    pub clients: Clients,
    /// The least version that is spoken.
    pub least: TlsVersion,
    /// The highest version that is spoken.
    pub most: TlsVersion,
    /// What may be spoken with TLS 1.2; none for everything the library holds safe.
    pub cipher_suites: Option<Vec<CipherSuite>>,
    /// Groups for the exchange of keys; none for everything the library holds safe.
    pub curves: Option<Vec<Curve>>,
    /// Whether the server's order of suites decides.
    pub prefer_server: bool,
}

impl Tls {
    /// The files that it names.
    pub fn files(&self) -> Vec<&Path> {
        let ca_file = match &self.clients {
            Clients::Anonymous => None,
            Clients::IfGiven(certified) | Clients::Required(certified) => Some(&certified.ca_file),
        };
        [&self.cert_file, &self.key_file].into_iter().chain(ca_file).map(PathBuf::as_path).collect()
    }
}

/// Which certificates clients show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// None is asked for.
    Anonymous,
    /// One is asked for, and checked if it is shown.
    IfGiven(Certified),
    /// Nobody comes in without.
    Required(Certified),
}

/// What a client's certificate is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// Who may have issued it, PEM.
    pub ca_file: PathBuf,
    /// Alternative names of which it must carry one, if there are any.
    pub allowed_sans: Vec<String>,
}

/// A version of TLS that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// A cipher suite of TLS 1.2 that is spoken here; those of TLS 1.3 are no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the standard's registry")]
pub enum CipherSuite {
    EcdheEcdsaAes128,
    EcdheEcdsaAes256,
    EcdheEcdsaChacha20,
    EcdheRsaAes128,
    EcdheRsaAes256,
    EcdheRsaChacha20,
}

/// A group for the exchange of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the standard's registry")]
pub enum Curve {
    P256,
    P384,
    X25519,
}
