//! The file of `--http.config.file`: how a command shows itself to a daemon that lets not
//! everybody in.
//!
//! Keys are those of Prometheus' own clients, such as promtool. Secrets are in files, which are
//! read later. Does no I/O; paths in it are relative to its directory.

use std::path::{Path, PathBuf};

use schemars::{Schema, SchemaGenerator};

use super::SourceFile;
use super::document::{self, Lines};
use super::mirror::{Field, Rule, mirror};
use super::problem::{Problem, Problems};
use super::raw::FilePath;
use super::schema::{Table, table};
use super::servers::{self, BasicAuth};
use crate::model::source::Credentials;

/// How a command shows itself to a daemon, and by what it knows that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpConfig {
    /// What is shown.
    pub credentials: Credentials,
    /// Certificates to trust in place of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// The command's own certificate and its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Reads the file.
///
/// # Errors
/// Every problem in it.
pub fn load(file: &SourceFile) -> Result<HttpConfig, Vec<Problem>> {
    document::load(file, Lines::Shown, HttpConfigFile::config).map(|(config, _)| config)
}

mirror! {
    /// The file of `--http.config.file`.
    struct HttpConfigFile {
        /// The file with a token, which is sent as `Authorization: Bearer`.
        optional "bearer_token_file" => bearer_token_file: FilePath;
        /// A user and the file with its password.
        optional "basic_auth" => basic_auth: BasicAuth;
        /// Whom to trust, and who we are.
        optional "tls_config" => tls: ClientTls;
    }
    rules &[Rule::AtMostOne(&["bearer_token_file", "basic_auth"])];
}

mirror! {
    /// Whom to trust, and who we are.
    struct ClientTls {
        /// Certificates to trust in place of the system's, PEM.
        optional "ca_file" => ca_file: FilePath;
        /// Our own certificate, PEM.
        optional "cert_file" => cert_file: FilePath;
        /// Its key, PEM.
        optional "key_file" => key_file: FilePath;
    }
    later &["insecure_skip_verify", "server_name", "min_version", "max_version"];
}

impl HttpConfigFile {
    fn config(&self, directory: &Path, problems: &mut Problems) -> HttpConfig {
        let credentials =
            servers::credentials(&self.bearer_token_file, &self.basic_auth, directory);
        let tls = self.tls.value();
        HttpConfig {
            credentials: credentials.unwrap_or_default(),
            ca_file: tls.and_then(|tls| tls.ca_file.value()).map(|path| directory.join(&path.0)),
            identity: tls.and_then(|tls| tls.identity(directory, problems)),
        }
    }
}

impl ClientTls {
    fn identity(&self, directory: &Path, problems: &mut Problems) -> Option<(PathBuf, PathBuf)> {
        let path = |path: &FilePath| directory.join(&path.0);
        match (&self.cert_file, &self.key_file) {
            (Field::Given(cert), Field::Given(key)) => Some((path(&cert.value), path(&key.value))),
            (Field::Given(alone), Field::Absent) | (Field::Absent, Field::Given(alone)) => {
                let problem = problems.error(&alone.at, "a certificate without its key, or a key");
                problem.expected("both `cert_file` and `key_file`");
                None
            }
            _ => None,
        }
    }
}

/// The tables of the reference page.
pub(super) fn tables() -> Vec<Table> {
    vec![table::<HttpConfigFile>(), table::<ClientTls>(), table::<BasicAuth>()]
}

/// The schema of the file.
pub(super) fn schema(generator: SchemaGenerator) -> Schema {
    generator.into_root_schema_for::<HttpConfigFile>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HttpConfig, Vec<String>> {
        let content = text.as_bytes().to_vec();
        let file = SourceFile { path: "/etc/http.yml".into(), root: "/etc".into(), content };
        load(&file).map_err(|problems| problems.into_iter().map(|one| one.message).collect())
    }

    #[test]
    fn what_promtool_takes_is_taken() {
        let text = "basic_auth: {username: ana, password_file: pass}\n\
                    tls_config: {ca_file: ca.pem, cert_file: me.pem, key_file: me.key}\n";
        let expect = HttpConfig {
            credentials: Credentials::Basic {
                username: "ana".to_owned(),
                password_file: "/etc/pass".into(),
            },
            ca_file: Some("/etc/ca.pem".into()),
            identity: Some(("/etc/me.pem".into(), "/etc/me.key".into())),
        };
        assert_eq!(read(text), Ok(expect));
        assert_eq!(read(""), Ok(HttpConfig::default()));
    }

    #[test]
    fn halves_and_what_would_not_be_done_are_refused() {
        let told = |text: &str| read(text).expect_err(text).join("; ");
        let half = told("tls_config: {cert_file: me.pem}");
        assert_eq!(half, "a certificate without its key, or a key");
        let lax = told("tls_config: {insecure_skip_verify: true}");
        assert_eq!(lax, "`insecure_skip_verify` is not read by this version of nines");
        let both = told("bearer_token_file: a\nbasic_auth: {username: a, password_file: b}\n");
        assert!(both.contains("bearer_token_file"), "{both}");
    }
}
