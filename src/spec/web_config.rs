//! The file of `--web.config.file`, in the format of Prometheus' exporter toolkit: who may come in
//! over HTTP, and how.
//!
//! Keys and words are that toolkit's, so that one file serves a whole fleet; what this server
//! would not do is refused by name. No report repeats a line of the file: it holds password
//! hashes. Does no I/O; paths in it are relative to its directory.

use std::path::Path;
use std::rc::Rc;

use schemars::{Schema, SchemaGenerator, json_schema};

use super::SourceFile;
use super::document::{self, Lines};
use super::mirror::{Field, Value, mirror};
use super::problem::{At, Problem, Problems};
use super::raw::FilePath;
use super::schema::{Table, table};
use super::tree::{self, Node};
use super::value::{List, Map, Text, parsed_text, words};
use crate::model::ParseError;
use crate::model::web::{Certified, CipherSuite, Clients, Curve, Tls, TlsVersion, WebConfig};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    None,
    IfGiven,
    Required,
}

/// Reads the file.
///
/// # Errors
/// Every problem in it.
pub fn load(file: &SourceFile) -> Result<WebConfig, Vec<Problem>> {
    document::load(file, Lines::Hidden, WebConfigFile::config).map(|(config, _)| config)
}

mirror! {
    /// The file of `--web.config.file`. An empty one lets everybody in over plain HTTP.
    struct WebConfigFile {
        /// How connections are encrypted. Default: not at all.
        optional "tls_server_config" => tls: TlsServerConfig;
        /// What every answer carries.
        optional "http_server_config" => http: HttpServerConfig;
        /// Users, with the bcrypt hash of their password, cost 4 to 14. Default: everybody.
        optional "basic_auth_users" => users: Map<PasswordHash, 256>;
    }
    later &["rate_limit"];
}

mirror! {
    /// How connections are encrypted.
    struct TlsServerConfig {
        /// The server's certificates, leaf first, PEM.
        required "cert_file" => cert_file: FilePath;
        /// Its private key, PEM.
        required "key_file" => key_file: FilePath;
        /// Which certificates clients show.
        optional "client_auth_type" => client_auth: ClientAuth = "NoClientCert";
        /// Who may have issued those, PEM.
        optional "client_ca_file" => client_ca_file: FilePath;
        /// Alternative names (DNS, IP address, e-mail, URI) of which a client's certificate must
        /// carry one.
        optional "client_allowed_sans" => client_allowed_sans: List<Text<255>, 1, 256>;
        /// The least version of TLS.
        optional "min_version" => min_version: TlsVersion = "TLS12";
        /// The highest version of TLS.
        optional "max_version" => max_version: TlsVersion = "TLS13";
        /// Suites that may be spoken with TLS 1.2. Default: all of these.
        optional "cipher_suites" => cipher_suites: List<CipherSuite, 0, 16>;
        /// Whether the server's order of suites decides.
        optional "prefer_server_cipher_suites" => prefer_server: bool = "true";
        /// Groups for the exchange of keys. Default: all of these.
        optional "curve_preferences" => curves: List<Curve, 0, 8>;
    }
}

mirror! {
    /// What every answer carries.
    struct HttpServerConfig {
        /// Read for the sake of shared files; this server speaks HTTP/1.1 in either case.
        optional "http2" => _http2: bool = "true";
        /// Headers of every answer.
        optional "headers" => headers: HeaderConfig;
    }
}

mirror! {
    /// Headers of every answer, in place of those that they have by default.
    struct HeaderConfig {
        /// What pages may load and run. The default lets them load what is their own.
        optional "Content-Security-Policy" => content_security_policy: HeaderText;
        /// Who may frame pages: `deny` or `sameorigin`. Default: nobody.
        optional "X-Frame-Options" => x_frame_options: FrameOptions;
        /// `nosniff`, which is also the default.
        optional "X-Content-Type-Options" => x_content_type_options: NoSniff;
        /// For browsers of another time.
        optional "X-XSS-Protection" => x_xss_protection: HeaderText;
        /// For how long browsers insist on TLS.
        optional "Strict-Transport-Security" => strict_transport_security: HeaderText;
    }
}

words!(ClientAuth {
    "NoClientCert" => ClientAuth::None,
    "VerifyClientCertIfGiven" => ClientAuth::IfGiven,
    "RequireAndVerifyClientCert" => ClientAuth::Required,
} later &["RequestClientCert", "RequireAnyClientCert"]);

words!(TlsVersion { "TLS12" => TlsVersion::Tls12, "TLS13" => TlsVersion::Tls13 });

words!(CipherSuite {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => CipherSuite::EcdheEcdsaAes128,
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => CipherSuite::EcdheEcdsaAes256,
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => CipherSuite::EcdheEcdsaChacha20,
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => CipherSuite::EcdheRsaAes128,
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => CipherSuite::EcdheRsaAes256,
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => CipherSuite::EcdheRsaChacha20,
});

words!(Curve {
    "CurveP256" => Curve::P256, "CurveP384" => Curve::P384, "X25519" => Curve::X25519,
});

#[derive(Clone, Copy, Debug)]
pub(super) struct FrameOptions(&'static str);

words!(FrameOptions {
    "deny" => FrameOptions("deny"), "sameorigin" => FrameOptions("sameorigin"),
});

#[derive(Clone, Copy, Debug)]
pub(super) struct NoSniff;

words!(NoSniff { "nosniff" => NoSniff });

/// The value of a header.
#[derive(Clone, Debug)]
pub(super) struct HeaderText(String);

impl Value for HeaderText {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "printable ASCII, 1 to 4096 bytes";
        parsed_text(node, at, expected, problems, |text| {
            let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            match printable && (1..=4_096).contains(&text.len()) {
                true => Ok(HeaderText(text.to_owned())),
                false => Err(ParseError::new(text, expected)),
            }
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": 4_096})
    }

    fn kind() -> String {
        "text".to_owned()
    }
}

/// A bcrypt hash. Its cost doubles the work of a login with each step: at 14 one takes about a
/// second.
#[derive(Clone, Debug)]
pub(super) struct PasswordHash(String);

impl PasswordHash {
    const LEAST_COST: u32 = 4;
    const MOST_COST: u32 = 14;

    fn parse(text: &str) -> Option<Self> {
        let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|version| text.strip_prefix(version));
        let (cost, salted) = rest?.split_once('$')?;
        let is_cost = cost.len() == 2
            && cost.parse().is_ok_and(|n| (Self::LEAST_COST..=Self::MOST_COST).contains(&n));
        let is_salted = salted.len() == 53
            && salted.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
        (is_cost && is_salted).then(|| PasswordHash(text.to_owned()))
    }
}

impl Value for PasswordHash {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let found = match &node.data {
            tree::Data::Scalar { text, .. } => PasswordHash::parse(text),
            _ => None,
        };
        if found.is_none() {
            let problem = problems.secret(at, "this is no bcrypt hash that is taken here");
            problem
                .expected("a hash of cost 4 to 14, such as $2y$10$ and 53 characters")
                .hint("`htpasswd -nBC 10 USER` prints one");
        }
        found
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^\\$2[aby]\\$[01][0-9]\\$[./0-9A-Za-z]{53}$"})
    }

    fn kind() -> String {
        "bcrypt hash".to_owned()
    }
}

impl WebConfigFile {
    fn config(&self, directory: &Path, problems: &mut Problems) -> WebConfig {
        let users = self.users.value().into_iter().flat_map(|users| &users.items);
        let users = users
            .filter_map(|(name, hash)| Some((name.value.clone(), hash.value()?.0.clone())))
            .collect();
        let headers = self.http.value().and_then(|http| http.headers.value());
        WebConfig {
            tls: self.tls.value().and_then(|tls| tls.tls(directory, problems)),
            users,
            headers: headers.map(HeaderConfig::headers).unwrap_or_default(),
        }
    }
}

impl TlsServerConfig {
    fn tls(&self, directory: &Path, problems: &mut Problems) -> Option<Tls> {
        let (least, most) = (*self.min_version.value()?, *self.max_version.value()?);
        if let Some(given) = self.max_version.given().filter(|_| least > most) {
            problems
                .error(&given.at, "max_version is below min_version")
                .expected("at least min_version");
        }
        let path = |path: &FilePath| directory.join(&path.0);
        let clients = self.clients(directory, problems)?;
        Some(Tls {
            cert_file: path(self.cert_file.value()?),
            key_file: path(self.key_file.value()?),
            clients,
            least,
            most,
            cipher_suites: chosen(&self.cipher_suites),
            curves: chosen(&self.curves),
            prefer_server: *self.prefer_server.value()?,
        })
    }

    fn clients(&self, directory: &Path, problems: &mut Problems) -> Option<Clients> {
        let auth = self.client_auth.given()?;
        let sans = self.client_allowed_sans.given();
        let allowed_sans = sans.iter().flat_map(|sans| &sans.value.items);
        let allowed_sans = allowed_sans.map(|san| san.value.0.clone()).collect();
        let ca_file = self.client_ca_file.given();
        if auth.value == ClientAuth::None {
            let idle = ca_file.map(|given| &given.at).or(sans.map(|given| &given.at));
            if let Some(at) = idle {
                problems
                    .error(at, "no client is asked for a certificate")
                    .expected("client_auth_type: RequireAndVerifyClientCert");
            }
            return Some(Clients::Anonymous);
        }
        let Some(ca_file) = ca_file else {
            if self.client_ca_file.is_absent() {
                problems
                    .error(&auth.at, "certificates of clients cannot be checked")
                    .expected("client_ca_file beside it");
            }
            return None;
        };
        let certified = Certified { ca_file: directory.join(&ca_file.value.0), allowed_sans };
        Some(match auth.value {
            ClientAuth::IfGiven => Clients::IfGiven(certified),
            _ => Clients::Required(certified),
        })
    }
}

impl HeaderConfig {
    fn headers(&self) -> Vec<(&'static str, String)> {
        let text = |field: &Field<HeaderText>| field.value().map(|text| text.0.clone());
        let frame = self.x_frame_options.value().map(|frame| frame.0.to_owned());
        let sniff = self.x_content_type_options.value().map(|_| "nosniff".to_owned());
        [
            ("content-security-policy", text(&self.content_security_policy)),
            ("x-frame-options", frame),
            ("x-content-type-options", sniff),
            ("x-xss-protection", text(&self.x_xss_protection)),
            ("strict-transport-security", text(&self.strict_transport_security)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// What was chosen; an empty list chooses nothing, as in the toolkit.
fn chosen<T: Copy, const MAX: usize>(list: &Field<List<T, 0, MAX>>) -> Option<Vec<T>> {
    let items = &list.value()?.items;
    (!items.is_empty()).then(|| items.iter().map(|item| item.value).collect())
}

/// The tables of the reference page.
pub(super) fn tables() -> Vec<Table> {
    vec![
        table::<WebConfigFile>(),
        table::<TlsServerConfig>(),
        table::<HttpServerConfig>(),
        table::<HeaderConfig>(),
    ]
}

/// The schema of the file.
pub(super) fn schema(generator: SchemaGenerator) -> Schema {
    generator.into_root_schema_for::<WebConfigFile>()
}

#[cfg(test)]
mod tests;
