//! TLS targets: whom a probe trusts, and what it learns about certificates.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::server::{Act::*, Server, ok, say};
use super::*;
use crate::model::check::TlsCheck;

const GOOD: Verdict = Verdict::Good;
const BAD: Verdict = Verdict::Bad(BadReason::Tls);

/// An authority of our own, and its certificate in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("random bytes");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("signs");
        let folder = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("writable");
        Authority { issuer, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What a target of this name presents, valid from 2001 to the first day of a year.
    fn target(&self, name: &str, until: i32) -> ServerConfig {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("random bytes");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring speaks them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("the key belongs to the certificate")
    }
}

/// 2100-01-01.
const YEAR_2100: Timestamp = Timestamp::from_secs(4_102_444_800);
/// 2002-01-01.
const YEAR_2002: Timestamp = Timestamp::from_secs(1_009_843_200);

fn https(server: &Server, tls: TlsOptions) -> Check {
    let url = format!("https://{}/", server.address).parse().expect("an address makes a URL");
    Check::Http(HttpCheck { url, tls, ..get(server.address) })
}

fn handshake(server: &Server, tls: TlsOptions, min_validity: Option<Duration>) -> Check {
    let endpoint = server.address.to_string().parse().expect("an address is an endpoint");
    Check::Tls(TlsCheck { endpoint, tls, min_validity })
}

#[tokio::test]
async fn only_a_certificate_that_vouches_for_the_host_is_good() {
    let ours = Authority::new();
    let other = Authority::new();
    let name = |name: &str| Some(name.to_owned());
    let not_after = Some(YEAR_2100);
    let table = [
        ("as it should be", ours.target("127.0.0.1", 2100), None, GOOD, not_after),
        ("named", ours.target("a.test", 2100), name("a.test"), GOOD, not_after),
        ("named otherwise", ours.target("a.test", 2100), name("b.test"), BAD, None),
        ("for another host", ours.target("127.0.0.2", 2100), None, BAD, None),
        ("expired", ours.target("127.0.0.1", 2002), None, BAD, Some(YEAR_2002)),
        ("vouched for by a stranger", other.target("127.0.0.1", 2100), None, BAD, None),
    ];
    for (case, config, server_name, verdict, not_after) in table {
        let server = Server::start_tls(ok(), config).await;
        let tls = TlsOptions { server_name, ca_file: Some(ours.file()) };
        for check in [https(&server, tls.clone()), handshake(&server, tls, None)] {
            let observation = probe(case, check, AMPLE).await;
            assert_eq!(observation.verdict, verdict, "{case}: {:?}", observation.detail);
            assert_eq!(observation.certificate_not_after, not_after, "{case}");
            assert!(observation.phases.tls > Duration::ZERO, "{case}");
        }
    }
}

#[tokio::test]
async fn what_this_machine_does_not_trust_is_bad_and_what_it_cannot_read_is_unknown() {
    let ours = Authority::new();
    let server = Server::start_tls(ok(), ours.target("127.0.0.1", 2100)).await;
    let local = Verdict::Unknown(UnknownReason::LocalFault);
    let junk = ours.folder.path().join("junk.pem");
    std::fs::write(&junk, "no certificate").expect("writable");
    let missing = ours.folder.path().join("missing.pem");
    for ca_file in [junk, missing] {
        let tls = TlsOptions { server_name: None, ca_file: Some(ca_file.clone()) };
        let observation = probe("ca_file", handshake(&server, tls, None), AMPLE).await;
        assert_eq!(observation.verdict, local, "{observation:?}");
        let detail = observation.detail.expect("what is wrong");
        assert!(detail.contains(&ca_file.display().to_string()), "{detail}");
    }
    // Without any certificates of its own it could not tell, which would be its own fault.
    let trusting = !rustls_native_certs::load_native_certs().certs.is_empty();
    let observation = probe("ours", handshake(&server, TlsOptions::default(), None), AMPLE).await;
    assert_eq!(observation.verdict, if trusting { BAD } else { local }, "{observation:?}");
}

#[tokio::test]
async fn a_certificate_must_be_valid_for_as_long_as_was_asked() {
    let ours = Authority::new();
    let server = Server::start_tls(ok(), ours.target("127.0.0.1", 2100)).await;
    let left = YEAR_2100.since(crate::clock::wall_now());
    let hour = Duration::from_secs(3_600);
    for (min, verdict) in [(left - hour, GOOD), (left + hour, BAD)] {
        let tls = TlsOptions { server_name: None, ca_file: Some(ours.file()) };
        let observation = probe("validity", handshake(&server, tls, Some(min)), AMPLE).await;
        assert_eq!(observation.verdict, verdict, "{observation:?}");
        assert_eq!(observation.certificate_not_after, Some(YEAR_2100));
    }
}

#[tokio::test]
async fn targets_that_do_not_shake_hands_are_bad() {
    let ours = Authority::new();
    let plain = say("HTTP/1.1 400 Bad Request\r\n\r\n");
    let timeout = Verdict::Bad(BadReason::Timeout);
    let table = [
        ("speaks plain HTTP", vec![plain, Hang], AMPLE, BAD),
        ("closes", vec![], AMPLE, BAD),
        ("resets", vec![Pause(20), Reset], AMPLE, BAD),
        ("says nothing", vec![Hang], SHORT, timeout),
        ("floods", vec![Flood("\x16\x03\x01\x40")], AMPLE, BAD),
    ];
    for (name, script, limit, verdict) in table {
        let server = Server::start(script).await;
        let tls = TlsOptions { server_name: None, ca_file: Some(ours.file()) };
        for check in [https(&server, tls.clone()), handshake(&server, tls, None)] {
            let observation = probe(name, check, limit).await;
            assert_eq!(observation.verdict, verdict, "{name}: {:?}", observation.detail);
        }
    }
}

#[tokio::test]
async fn the_version_of_http_is_settled_in_the_handshake() {
    let ours = Authority::new();
    let with = |protocols: &[&[u8]]| {
        let mut config = ours.target("127.0.0.1", 2100);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    };
    // The target speaks HTTP/1.1 whatever it has agreed to.
    let protocol = Verdict::Bad(BadReason::Protocol);
    let table = [
        (with(&[]), HttpVersion::Auto, GOOD),
        (with(&[b"http/1.1"]), HttpVersion::Auto, GOOD),
        (with(&[b"http/1.1"]), HttpVersion::Http1, GOOD),
        (with(&[b"h2"]), HttpVersion::Auto, protocol),
        (with(&[]), HttpVersion::Http2, protocol),
        (with(&[b"http/1.1"]), HttpVersion::Http2, BAD),
    ];
    for (n, (config, version, verdict)) in table.into_iter().enumerate() {
        let server = Server::start_tls(ok(), config).await;
        let tls = TlsOptions { server_name: None, ca_file: Some(ours.file()) };
        let Check::Http(check) = https(&server, tls) else { panic!("HTTP") };
        let observation = probe("alpn", Check::Http(HttpCheck { version, ..check }), AMPLE).await;
        assert_eq!(observation.verdict, verdict, "row {n}: {observation:?}");
    }
}
