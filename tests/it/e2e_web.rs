//! The daemon behind TLS and passwords: who comes in, who does not, and what a reload changes.

use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::harness::daemon::nines;
use crate::harness::process::{Process, Ran};
use crate::harness::{Daemon, Prometheus, Target, http, specs, until};

const SOON: Duration = Duration::from_secs(60);

/// Issues certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One whose own certificate is in `name`.pem of the directory.
    fn new(directory: &Path, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("signed");
        write(directory, &format!("{name}.pem"), &certificate.pem());
        Authority { issuer: Issuer::new(params, key) }
    }

    /// A certificate with these alternative names and its key, in `file`.pem and `file`.key.
    fn issue(&self, directory: &Path, file: &str, names: &[&str]) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let leaf = params.signed_by(&key, &self.issuer).expect("signed");
        write(directory, &format!("{file}.pem"), &leaf.pem());
        write(directory, &format!("{file}.key"), &key.serialize_pem());
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).expect("writable");
}

/// A daemon that listens behind the web config in its directory.
struct Guarded {
    process: Process,
    daemon: Daemon,
    target: Target,
}

impl Guarded {
    fn start(web: impl FnOnce(&Path) -> String) -> Self {
        let target = Target::start();
        let daemon = Daemon::prepare(&specs::one_service(&target.url()), &[]);
        let directory = daemon.storage().parent().expect("a directory").to_owned();
        write(&directory, "web.yml", &web(&directory));
        let mut command = daemon.command();
        command.arg("--web.config.file").arg(directory.join("web.yml"));
        let process = Process::start("nines", &mut command, directory.join("nines.log"));
        Guarded { process, daemon, target }
    }

    fn path(&self, name: &str) -> String {
        let directory = self.daemon.storage();
        directory.parent().expect("a directory").join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("writable");
    }

    /// `nines health` with this HTTP config.
    fn health(&self, config: &str) -> Ran {
        self.write("http.yml", config);
        let url = format!("https://{}", self.daemon.address());
        let file = self.path("http.yml");
        nines(&["health", "--url", &url, "--http.config.file", &file], SOON)
    }

    #[track_caller]
    fn is_healthy(&self, config: &str) {
        until("the daemon to let us in", SOON, || {
            let ran = self.health(config);
            (ran.code == Some(0)).then_some(())
        });
    }

    #[track_caller]
    fn refuses(&self, config: &str, why: &str) {
        let ran = self.health(config);
        assert_eq!(ran.code, Some(1), "{}", ran.stdout);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    }
}

fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).expect("a hash")
}

const LOGIN: &str = "basic_auth: {username: prometheus, password_file: password}\n\
                     tls_config: {ca_file: ca.pem}\n";

#[test]
fn a_scraper_with_password_comes_in_over_tls_and_nobody_else_does() {
    let guarded = Guarded::start(|directory| {
        let authority = Authority::new(directory, "ca");
        authority.issue(directory, "server", &["127.0.0.1"]);
        write(directory, "password", "first\n");
        format!(
            "tls_server_config: {{cert_file: server.pem, key_file: server.key}}\n\
             basic_auth_users: {{prometheus: {}}}\n",
            hash("first")
        )
    });
    guarded.is_healthy(LOGIN);
    guarded.refuses("tls_config: {ca_file: ca.pem}\n", "401");
    guarded.refuses("", "certificate");
    guarded.write("password", "wrong");
    guarded.refuses(LOGIN, "401");
    guarded.write("password", "first");
    let plain = http::get(&format!("http://{}/metrics", guarded.daemon.address()));
    assert!(plain.is_err(), "plain HTTP is answered: {plain:?}");

    let scrape = format!(
        "scheme: https, tls_config: {{ca_file: {}}}, \
         basic_auth: {{username: prometheus, password_file: {}}}",
        guarded.path("ca.pem"),
        guarded.path("password")
    );
    let job = ("nines", guarded.daemon.address().to_string());
    let prometheus = Prometheus::scraping_with(&[job], &scrape);
    prometheus.wait_for("up{job=\"nines\"} == 1 and on() nines_slo_good_total > 0", SOON);
    drop(guarded.target);
}

#[test]
fn a_reload_takes_up_passwords_and_certificates_and_a_bad_one_changes_nothing() {
    let guarded = Guarded::start(|directory| {
        let authority = Authority::new(directory, "ca");
        authority.issue(directory, "server", &["127.0.0.1"]);
        write(directory, "password", "first");
        format!(
            "tls_server_config: {{cert_file: server.pem, key_file: server.key}}\n\
             basic_auth_users: {{prometheus: {}}}\n",
            hash("first")
        )
    });
    guarded.is_healthy(LOGIN);
    let good = std::fs::read_to_string(guarded.path("web.yml")).expect("there");

    let dear = format!("basic_auth_users: {{prometheus: {}}}\n", &hash("first")[..59]);
    guarded.write("web.yml", &dear);
    guarded.process.signal("HUP");
    until("the refusal in the log", SOON, || {
        let printed = guarded.process.printed();
        printed.contains("this is no bcrypt hash that is taken here").then_some(())
    });
    assert!(!guarded.process.printed().contains(&dear[32..60]), "a hash in the log");
    guarded.is_healthy(LOGIN);

    let directory = Path::new(&guarded.path("web.yml")).parent().expect("there").to_owned();
    let other = Authority::new(&directory, "other-ca");
    other.issue(&directory, "server", &["127.0.0.1"]);
    let (known, next) = (good.split_once("prometheus: ").expect("a user").0, hash("second"));
    guarded.write("web.yml", &format!("{known}prometheus: {next}}}\n"));
    guarded.process.signal("HUP");
    guarded.write("password", "second");
    guarded.is_healthy(&LOGIN.replace("ca.pem", "other-ca.pem"));
    guarded.refuses(LOGIN, "certificate");
    guarded.write("password", "first");
    guarded.refuses(&LOGIN.replace("ca.pem", "other-ca.pem"), "401");
}

#[test]
fn certificates_of_clients_are_asked_for_and_must_carry_a_known_name() {
    let guarded = Guarded::start(|directory| {
        let authority = Authority::new(directory, "ca");
        authority.issue(directory, "server", &["127.0.0.1"]);
        authority.issue(directory, "scraper", &["scraper.example"]);
        authority.issue(directory, "stranger", &["stranger.example"]);
        Authority::new(directory, "other-ca").issue(directory, "foreign", &["scraper.example"]);
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  \
         client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  \
         client_allowed_sans: [scraper.example]\n  min_version: TLS13\n"
            .to_owned()
    });
    let showing = |name: &str| {
        format!("tls_config: {{ca_file: ca.pem, cert_file: {name}.pem, key_file: {name}.key}}\n")
    };
    guarded.is_healthy(&showing("scraper"));
    for nobody in ["stranger", "foreign"] {
        guarded.refuses(&showing(nobody), "no answer");
    }
    guarded.refuses("tls_config: {ca_file: ca.pem}\n", "no answer");
    guarded.is_healthy(&showing("scraper"));
}
