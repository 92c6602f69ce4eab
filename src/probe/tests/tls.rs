//! TLS handshakes with good, bad and absent certificates, and HTTP/2 over them.

use std::path::PathBuf;

use ::http::Response;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::model::check::TlsCheck;

const GOOD: Verdict = Verdict::Good;
const BAD: Verdict = Verdict::Bad(BadReason::Tls);

/// An authority that probes trust by file, and servers it certifies.
struct Authority {
    _directory: tempfile::TempDir,
    file: PathBuf,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(2100, 1, 1);
        let certificate = params.self_signed(&key).expect("signed");
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, certificate.pem()).expect("written");
        let certificate = certificate.der().clone();
        Authority { _directory: directory, file, certificate, issuer: Issuer::new(params, key) }
    }

    /// A server for `name` with a certificate until the start of that year; returns its port.
    async fn serve(&self, name: &str, until: i32, alpn: &[&[u8]]) -> SocketAddr {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer).expect("signed");
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS #8");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the defaults")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("they belong together");
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        serve(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    fn trusted(&self) -> TlsOptions {
        TlsOptions { server_name: None, ca_file: Some(self.file.clone()) }
    }
}

/// Serves HTTP/2 where that was agreed on or where there is no TLS, else HTTP/1.1.
async fn serve(acceptor: Option<TlsAcceptor>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    let service = service_fn(|request: ::http::Request<hyper::body::Incoming>| async move {
        let said = format!("{:?} {}", request.version(), request.uri());
        Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(said)))
    });
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            // Clients that do not like the certificate, or have seen enough, just go.
            tokio::spawn(async move {
                let executor = TokioExecutor::new();
                let Some(acceptor) = acceptor else {
                    let http2 = hyper::server::conn::http2::Builder::new(executor);
                    return drop(http2.serve_connection(TokioIo::new(tcp), service).await);
                };
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                    let http2 = hyper::server::conn::http2::Builder::new(executor);
                    drop(http2.serve_connection(TokioIo::new(tls), service).await);
                } else {
                    let http1 = hyper::server::conn::http1::Builder::new();
                    drop(http1.serve_connection(TokioIo::new(tls), service).await);
                }
            });
        }
    });
    at
}

fn tls(at: SocketAddr, tls: TlsOptions, min_validity: Option<Duration>) -> Check {
    Check::Tls(TlsCheck { endpoint: endpoint(at), tls, min_validity })
}

fn year(year: i16) -> Timestamp {
    format!("{year}-01-01T00:00:00Z").parse().expect("a time")
}

#[tokio::test]
async fn a_certificate_must_be_trusted_named_and_current() {
    let authority = Authority::new();
    let good = authority.serve("127.0.0.1", 2099, &[]).await;
    let named = authority.serve("registry.example", 2099, &[]).await;
    let expired = authority.serve("127.0.0.1", 2001, &[]).await;
    let day = Duration::from_secs(86_400);
    let trusted = authority.trusted();
    let asked = TlsOptions { server_name: Some("registry.example".to_owned()), ..trusted.clone() };
    let stranger = Authority::new();
    let missing = TlsOptions { ca_file: Some("/nowhere/ca.pem".into()), ..TlsOptions::default() };
    let plain = Server::start(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        hold(stream);
    });
    let unknown = Verdict::Unknown(UnknownReason::LocalFault);
    for (what, check, expect, not_after) in [
        ("good", tls(good, trusted.clone(), None), GOOD, Some(year(2099))),
        ("long enough", tls(good, trusted.clone(), Some(day)), GOOD, Some(year(2099))),
        ("too short", tls(good, trusted.clone(), Some(day * 36_500)), BAD, Some(year(2099))),
        ("wrong host", tls(named, trusted.clone(), None), BAD, None),
        ("the name asked for", tls(named, asked, None), GOOD, Some(year(2099))),
        ("expired", tls(expired, trusted.clone(), None), BAD, Some(year(2001))),
        ("unknown issuer", tls(good, stranger.trusted(), None), BAD, None),
        ("no ca_file", tls(good, missing, None), unknown, None),
        ("not TLS", tls(plain.at, trusted.clone(), None), BAD, None),
    ] {
        let observation = observe(&check, LONG).await;
        assert_eq!(observation.verdict, expect, "{what}: {observation:?}");
        assert_eq!(observation.certificate_not_after, not_after, "{what}: {observation:?}");
        assert!(expect == unknown || !observation.phases.tls.is_zero(), "{what}: {observation:?}");
    }
}

#[tokio::test]
async fn https_says_the_same_of_certificates_and_more_of_the_answer() {
    let authority = Authority::new();
    let at = authority.serve("127.0.0.1", 2099, &[b"http/1.1"]).await;
    let check = |options: TlsOptions| {
        let mut check = http(at);
        check.url = format!("https://{at}/").parse().expect("a URL");
        check.tls = options;
        Check::Http(check)
    };
    let observation = observe(&check(authority.trusted()), LONG).await;
    assert_eq!(observation.verdict, GOOD, "{observation:?}");
    assert_eq!(observation.certificate_not_after, Some(year(2099)));
    let Phases { connect, tls, wait, .. } = observation.phases;
    assert!([connect, tls, wait].iter().all(|phase| !phase.is_zero()), "{observation:?}");
    let stranger = Authority::new();
    assert_eq!(observe(&check(stranger.trusted()), LONG).await.verdict, BAD);
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_agreed_on_or_asked_for() {
    let authority = Authority::new();
    let both = authority.serve("127.0.0.1", 2099, &[b"h2", b"http/1.1"]).await;
    let old = authority.serve("127.0.0.1", 2099, &[b"http/1.1"]).await;
    let mute = authority.serve("127.0.0.1", 2099, &[]).await;
    let prior = serve(None).await;
    let not_h2 = Server::start(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        hold(stream);
    });
    let protocol = Verdict::Bad(BadReason::Protocol);
    for (what, url, version, says, expect) in [
        ("auto, both", format!("https://{both}/"), HttpVersion::Auto, "HTTP/2.0", GOOD),
        ("auto, old", format!("https://{old}/"), HttpVersion::Auto, "HTTP/1.1", GOOD),
        ("1, both", format!("https://{both}/"), HttpVersion::Http1, "HTTP/1.1", GOOD),
        ("2, both", format!("https://{both}/"), HttpVersion::Http2, "HTTP/2.0", GOOD),
        ("2, old", format!("https://{old}/"), HttpVersion::Http2, "", BAD),
        ("2, mute", format!("https://{mute}/"), HttpVersion::Http2, "", protocol),
        ("2, prior knowledge", format!("http://{prior}/"), HttpVersion::Http2, "HTTP/2.0", GOOD),
        ("2, no HTTP/2", format!("http://{}/", not_h2.at), HttpVersion::Http2, "", protocol),
    ] {
        for connection in [Connection::Cold, Connection::Warm] {
            let mut check = http(both);
            check.url = url.parse().expect("a URL");
            check.tls = authority.trusted();
            (check.version, check.connection) = (version, connection);
            check.expect.body_contains = Some(says.to_owned());
            let observation = observe(&Check::Http(check), LONG).await;
            assert_eq!(observation.verdict, expect, "{what}, {connection:?}: {observation:?}");
        }
    }
}

#[tokio::test]
async fn a_stalled_handshake_times_out_in_its_phase() {
    let server = Server::start(hold);
    let authority = Authority::new();
    let observation = observe(&tls(server.at, authority.trusted(), None), SHORT).await;
    assert_eq!(observation.verdict, Verdict::Bad(BadReason::Timeout));
    assert!(observation.phases.tls > SHORT / 2, "{observation:?}");
}
