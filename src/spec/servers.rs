//! The part of the operator's config that names Prometheus servers: what SLOs may be fed from.
//!
//! Keys are those of Prometheus' own clients. Secrets are in files, which are read later.

use std::path::Path;
use std::time::Duration;

use super::SourceFile;
use super::config::BaseUrl;
use super::mirror::{Field, Given, Rule, mirror};
use super::problem::Problems;
use super::raw::{FilePath, Line};
use super::resolve::within;
use super::value::Map;
use crate::model::Name;
use crate::model::source::{Credentials, Server};

mirror! {
    /// A Prometheus, or anything with its query API, that SLOs may be fed from.
    struct PrometheusServer {
        /// Where it is, without user info and query; a path prefix is kept.
        required "url" => url: BaseUrl;
        /// The file with a token, which is sent as `Authorization: Bearer`.
        optional "bearer_token_file" => bearer_token_file: FilePath;
        /// A user and the file with its password.
        optional "basic_auth" => basic_auth: BasicAuth;
        /// Certificates to trust in place of the system's, PEM.
        optional "ca_file" => ca_file: FilePath;
        /// How long one question may take, 100ms to 1m, and at most the interval.
        optional "timeout" => timeout: Duration = "10s";
        /// From one question to the next, 1s to 5m: not less than its scrape interval.
        optional "interval" => interval: Duration = "30s";
    }
    rules &[Rule::AtMostOne(&["bearer_token_file", "basic_auth"])];
}

mirror! {
    /// A user and its password.
    struct BasicAuth {
        /// The name of the user.
        required "username" => username: Line;
        /// The file with the password.
        required "password_file" => password_file: FilePath;
    }
}

/// The named servers of a config file.
pub(super) type Servers = Map<PrometheusServer, 64>;

/// The servers; none if something was wrong.
pub(super) fn servers(
    given: &Given<Servers>,
    file: &SourceFile,
    problems: &mut Problems,
) -> Option<Vec<Server>> {
    let directory = file.path.parent().unwrap_or(Path::new(""));
    let mut servers = Vec::new();
    for (key, field) in &given.value.items {
        let name: Option<Name> = key.value.parse().ok();
        if name.is_none() {
            let message = format!("{:?} as the name of a server", key.value);
            let problem = problems.error(&key.at, message);
            problem.expected("lowercase letters, digits and hyphens, at most 63");
        }
        servers.push(field.value().and_then(|raw| raw.server(name?, directory, problems)));
    }
    let mut servers = servers.into_iter().collect::<Option<Vec<Server>>>()?;
    servers.sort_by(|a, b| a.name.cmp(&b.name));
    Some(servers)
}

impl PrometheusServer {
    fn server(&self, name: Name, directory: &Path, problems: &mut Problems) -> Option<Server> {
        let timeouts = (Duration::from_millis(100), Duration::from_secs(60));
        let intervals = (Duration::from_secs(1), Duration::from_secs(300));
        let timeout = self.timeout.given().and_then(|given| within(given, timeouts, problems));
        let interval = self.interval.given().and_then(|given| within(given, intervals, problems));
        let path = |path: &FilePath| directory.join(&path.0);
        let credentials = credentials(&self.bearer_token_file, &self.basic_auth, directory);
        Some(Server {
            name,
            url: self.url.value()?.text().to_owned(),
            credentials: credentials?,
            ca_file: self.ca_file.value().map(path),
            timeout: timeout?.min(interval?),
            interval: interval?,
        })
    }
}

/// How we say who we are; none if something was wrong.
pub(super) fn credentials(
    token: &Field<FilePath>,
    basic: &Field<BasicAuth>,
    directory: &Path,
) -> Option<Credentials> {
    match (token, basic) {
        (Field::Absent, Field::Absent) => Some(Credentials::None),
        (Field::Given(token), _) => Some(Credentials::Bearer(directory.join(&token.value.0))),
        (_, Field::Given(basic)) => basic.value.credentials(directory),
        _ => None,
    }
}

impl BasicAuth {
    fn credentials(&self, directory: &Path) -> Option<Credentials> {
        Some(Credentials::Basic {
            username: self.username.value()?.0.clone(),
            password_file: directory.join(&self.password_file.value()?.0),
        })
    }
}

/// The tables of the reference page.
pub(super) fn tables() -> Vec<super::schema::Table> {
    vec![super::schema::table::<PrometheusServer>(), super::schema::table::<BasicAuth>()]
}
