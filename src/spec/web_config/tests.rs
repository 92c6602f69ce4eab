//! The web config file, good and bad.

use super::*;

const HASH: &str = "$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

fn read(text: &str) -> Result<WebConfig, Vec<Problem>> {
    let content = text.as_bytes().to_vec();
    load(&SourceFile { path: "/etc/nines/web.yml".into(), root: "/etc/nines".into(), content })
}

#[track_caller]
fn check(text: &str, expect: &[&str]) {
    let problems = read(text).err().unwrap_or_default();
    let told: Vec<String> = problems
        .iter()
        .map(|p| format!("{}:{} {}: {}", p.line, p.column, p.path, p.message))
        .collect();
    assert_eq!(told, expect, "in\n{text}");
}

fn tls(more: &str) -> String {
    format!("tls_server_config:\n  cert_file: a.pem\n  key_file: /keys/a.key\n{more}")
}

#[test]
fn an_empty_file_lets_everybody_in() {
    for empty in ["", "---\n", "# nothing\n", "{}\n"] {
        assert_eq!(read(empty), Ok(WebConfig::default()), "{empty:?}");
    }
}

#[test]
fn everything_in_the_file_is_read() {
    let more = "  client_auth_type: VerifyClientCertIfGiven
  client_ca_file: ca.pem
  client_allowed_sans: [scraper.example]
  min_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  curve_preferences: [X25519, CurveP256]
  prefer_server_cipher_suites: false
http_server_config:
  http2: false
  headers: {X-Frame-Options: sameorigin, Strict-Transport-Security: max-age=31536000}
basic_auth_users:
  prometheus: HASH
";
    let config = read(&tls(more).replace("HASH", HASH)).expect("good");
    let certified = Certified {
        ca_file: "/etc/nines/ca.pem".into(),
        allowed_sans: vec!["scraper.example".to_owned()],
    };
    let expect = WebConfig {
        tls: Some(Tls {
            cert_file: "/etc/nines/a.pem".into(),
            key_file: "/keys/a.key".into(),
            clients: Clients::IfGiven(certified),
            least: TlsVersion::Tls13,
            most: TlsVersion::Tls13,
            cipher_suites: Some(vec![CipherSuite::EcdheRsaAes128]),
            curves: Some(vec![Curve::X25519, Curve::P256]),
            prefer_server: false,
        }),
        users: vec![("prometheus".to_owned(), HASH.to_owned())],
        headers: vec![
            ("x-frame-options", "sameorigin".to_owned()),
            ("strict-transport-security", "max-age=31536000".to_owned()),
        ],
    };
    assert_eq!(config, expect);
}

#[test]
fn what_would_not_be_done_is_refused_at_its_place() {
    check("tls_server_config: {cert_file: a}", &["1:20 tls_server_config: missing key `key_file`"]);
    check(
        &tls("  client_auth_type: RequireAndVerifyClientCert\n"),
        &["4:21 tls_server_config.client_auth_type: certificates of clients cannot be checked"],
    );
    check(
        &tls("  client_auth_type: RequireAnyClientCert\n"),
        &["4:21 tls_server_config.client_auth_type: `RequireAnyClientCert` is not read by this \
           version of nines"],
    );
    check(
        &tls("  client_ca_file: ca.pem\n"),
        &["4:19 tls_server_config.client_ca_file: no client is asked for a certificate"],
    );
    check(
        &tls("  min_version: TLS10\n"),
        &["4:16 tls_server_config.min_version: unknown word \"TLS10\""],
    );
    check(
        &tls("  min_version: TLS13\n  max_version: TLS12\n"),
        &["5:16 tls_server_config.max_version: max_version is below min_version"],
    );
    check("rate_limit: {}", &["1:1 rate_limit: `rate_limit` is not read by this version of nines"]);
    check(
        "http_server_config: {headers: {X-Frame-Options: maybe, Server: x}}",
        &[
            "1:49 http_server_config.headers.X-Frame-Options: unknown word \"maybe\"",
            "1:56 http_server_config.headers.Server: unknown key \"Server\"",
        ],
    );
}

#[test]
fn no_report_repeats_a_hash_or_what_stands_in_its_place() {
    let dear = HASH.replace("$10$", "$31$");
    for wrong in ["hunter2", "[hunter2]", "$2y$10$short", dear.as_str(), "12345678"] {
        let text = format!("basic_auth_users: {{ana: \"{HASH}\", bob: {wrong}}}\nrate: 1\n");
        let problems = read(&text).expect_err(wrong);
        assert_eq!(problems.len(), 2, "{problems:?}");
        let shown: String = problems.iter().map(|problem| problem.render(false)).collect();
        for secret in [HASH, wrong.trim_matches(['[', ']'])] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
