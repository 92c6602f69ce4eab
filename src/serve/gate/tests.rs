//! Who may come in, and who may not.

use super::*;
use crate::model::web::{Clients, Tls, TlsVersion};

fn gate() -> Arc<Gate> {
    let hash = bcrypt::hash("so secret", 4).expect("a hash");
    let config = WebConfig {
        users: vec![("ana".to_owned(), hash)],
        headers: vec![("x-frame-options", "sameorigin".to_owned())],
        ..WebConfig::default()
    };
    Arc::new(Gate::open(&config).expect("opens"))
}

fn showing(authorization: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, authorization.parse().expect("a value"));
    headers
}

fn basic(user_and_password: &str) -> HeaderMap {
    showing(&format!("Basic {}", STANDARD.encode(user_and_password)))
}

async fn status(gate: &Arc<Gate>, path: &str, headers: &HeaderMap) -> u16 {
    match gate.pass(&Method::GET, path, headers).await {
        Ok(()) => 200,
        Err(problem) => problem.status.as_u16(),
    }
}

#[tokio::test]
async fn without_users_everybody_comes_in() {
    let open = Arc::new(Gate::default());
    assert_eq!(status(&open, "/metrics", &HeaderMap::new()).await, 200);
}

#[tokio::test]
async fn only_the_right_password_of_a_user_opens() {
    let gate = gate();
    assert_eq!(status(&gate, "/metrics", &basic("ana:so secret")).await, 200);
    assert_eq!(status(&gate, "/metrics", &HeaderMap::new()).await, 401);
    for wrong in ["ana:", "ana:so secre", "ana:so secret ", "bob:so secret", ":so secret", "ana"] {
        assert_eq!(status(&gate, "/metrics", &basic(wrong)).await, 401, "{wrong:?}");
    }
    for odd in ["Basic", "Basic !", "Basic  ", "Bearer so secret", "basic YW5h"] {
        assert_eq!(status(&gate, "/metrics", &showing(odd)).await, 401, "{odd:?}");
    }
    let long = format!("ana:{}", "x".repeat(10_000));
    assert_eq!(status(&gate, "/metrics", &basic(&long)).await, 401);
}

#[tokio::test]
async fn only_results_that_are_sent_with_a_token_need_no_password() {
    let gate = gate();
    let path = "/api/v1/slos/ci/builds/results";
    let none = HeaderMap::new();
    assert!(gate.pass(&Method::POST, path, &none).await.is_ok());
    for (method, path) in [
        (Method::GET, path),
        (Method::POST, "/-/reload"),
        (Method::POST, "/api/v1/slos/ci/builds/results/more"),
        (Method::POST, "/x/api/v1/slos/ci/builds/results"),
    ] {
        assert!(gate.pass(&method, path, &none).await.is_err(), "{method} {path}");
    }
}

#[tokio::test]
async fn good_logins_are_remembered_and_bad_ones_are_not() {
    let gate = gate();
    let known = || gate.logins.as_ref().expect("there are users").known().len();
    for _ in 0..3 {
        assert_eq!(status(&gate, "/", &basic("ana:so secret")).await, 200);
        assert_eq!(status(&gate, "/", &basic("ana:wrong")).await, 401);
    }
    assert_eq!(known(), 1);
    let logins = gate.logins.as_ref().expect("there are users");
    for n in 0..2 * MAX_KNOWN {
        logins.remember(super::mark("ana", n.to_string().as_bytes()));
    }
    assert_eq!(known(), MAX_KNOWN);
}

#[tokio::test]
async fn who_is_known_does_not_wait_behind_those_who_guess() {
    let gate = gate();
    assert_eq!(status(&gate, "/", &basic("ana:so secret")).await, 200);
    let logins = gate.logins.as_ref().expect("there are users");
    let _working = logins.working.acquire().await.expect("open");
    let _waiting = logins.waiting.acquire_many(MAX_WAITING as u32).await.expect("open");
    assert_eq!(status(&gate, "/", &basic("ana:guess")).await, 503);
    assert_eq!(status(&gate, "/", &basic("ana:so secret")).await, 200);
}

#[test]
fn nobody_has_a_hash_that_is_worked_on_like_any_other() {
    assert_eq!(bcrypt::verify("any", NOBODY).map_err(|error| error.to_string()), Ok(false));
}

#[test]
fn users_and_passwords_do_not_run_into_each_other() {
    assert_ne!(super::mark("a", b"bc"), super::mark("ab", b"c"));
}

#[test]
fn configured_headers_go_before_those_of_an_answer() {
    let mut headers = HeaderMap::new();
    headers.insert("x-frame-options", HeaderValue::from_static("deny"));
    gate().mark(&mut headers);
    let all: Vec<_> = headers.get_all("x-frame-options").iter().collect();
    assert_eq!(all, ["sameorigin"]);
}

#[test]
fn files_that_do_not_make_a_server_are_named_with_their_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let other = rcgen::KeyPair::generate().expect("a key");
    std::fs::write(path("cert"), made.cert.pem()).expect("written");
    std::fs::write(path("key"), made.signing_key.serialize_pem()).expect("written");
    std::fs::write(path("other"), other.serialize_pem()).expect("written");
    std::fs::write(path("empty"), "").expect("written");
    let open = |cert: &str, key: &str| {
        let tls = Tls {
            cert_file: path(cert),
            key_file: path(key),
            clients: Clients::Anonymous,
            least: TlsVersion::Tls12,
            most: TlsVersion::Tls13,
            cipher_suites: None,
            curves: None,
            prefer_server: true,
        };
        Gate::open(&WebConfig { tls: Some(tls), ..WebConfig::default() }).map(drop)
    };
    assert!(open("cert", "key").is_ok());
    for (cert, key, told) in [
        ("nowhere", "key", "cert_file"),
        ("empty", "key", "there is no certificate in it"),
        ("cert", "nowhere", "key_file"),
        ("cert", "empty", "key_file"),
        ("cert", "other", "TLS of the web config"),
    ] {
        let error = open(cert, key).expect_err(told).to_string();
        assert!(error.contains(told), "{error}");
    }
}
