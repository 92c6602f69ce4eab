//! HTTP targets, good and hostile: what each of them is judged to be.

use std::io::Write;

use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::server::{Act, Act::*, Server, http, ok, say, until};
use super::*;

const GOOD: Verdict = Verdict::Good;

fn bad(reason: BadReason) -> Verdict {
    Verdict::Bad(reason)
}

/// What an answer must be, in the order of the fields.
fn expect(headers: &[(&'static str, Option<&str>)], body: Option<&str>) -> HttpExpect {
    let header = |(name, value): &(&'static str, Option<&str>)| {
        (::http::HeaderName::from_static(name), value.map(str::to_owned))
    };
    let headers = headers.iter().map(header).collect();
    HttpExpect { headers, body_contains: body.map(str::to_owned), ..HttpExpect::default() }
}

/// Plays the script to one probe; returns what it observed.
async fn play(name: &str, script: Vec<Act>, expect: HttpExpect, timeout: Duration) -> Observation {
    let server = Server::start(script).await;
    let check = HttpCheck { expect, ..get(server.address) };
    let observation = probe(name, Check::Http(check), timeout).await;
    assert_eq!(server.n_accepted(), 1, "{name}: one probe, one connection, no second try");
    observation
}

#[tokio::test]
async fn an_answer_is_good_exactly_if_it_is_what_was_expected() {
    let plain = "HTTP/1.1 200 OK\r\nx-one: 1\r\nx-one: 2\r\ncontent-length: 8\r\n\r\nall fine";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                   5\r\nall f\r\n3\r\nine\r\n0\r\n\r\n";
    let to_the_end = "HTTP/1.1 200 OK\r\n\r\nall fine";
    let early = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let none: &[_] = &[];
    let one = |value| [("x-one", value)];
    let table = [
        (plain, expect(none, None), GOOD),
        (plain, expect(&one(None), Some("l fi")), GOOD),
        (plain, expect(&one(Some("2")), None), GOOD),
        (plain, expect(&one(Some("3")), None), bad(BadReason::Header)),
        (plain, expect(&[("x-two", None)], None), bad(BadReason::Header)),
        (plain, expect(none, Some("ALL")), bad(BadReason::Body)),
        (chunked, expect(none, Some("l fi")), GOOD),
        (chunked, expect(none, Some("fiine")), bad(BadReason::Body)),
        (to_the_end, expect(none, Some("all fine")), GOOD),
        (early, expect(none, None), GOOD),
        ("HTTP/1.1 204 No Content\r\n\r\n", expect(none, None), GOOD),
        ("HTTP/1.0 200 OK\r\n\r\n", expect(none, None), GOOD),
        (
            "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
            expect(none, None),
            bad(BadReason::Status),
        ),
        ("HTTP/1.1 404 No\r\n\r\nhere", expect(none, Some("?")), bad(BadReason::Status)),
    ];
    for (answer, expect, verdict) in table {
        let name = format!("{answer:?} {expect:?}");
        let observation = play(&name, http([say(answer)]), expect, AMPLE).await;
        assert_eq!(observation.verdict, verdict, "{name}: {:?}", observation.detail);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let elsewhere = Server::start(ok()).await;
    let to = elsewhere.address;
    let answer =
        format!("HTTP/1.1 302 Found\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n");
    let script = || http([say(&answer)]);
    let observation = play("302", script(), HttpExpect::default(), AMPLE).await;
    assert_eq!(observation.verdict, bad(BadReason::Status));
    let found = HttpExpect { status: vec![(302, 302)], ..HttpExpect::default() };
    assert_eq!(play("302 expected", script(), found, AMPLE).await.verdict, GOOD);
    assert_eq!(elsewhere.n_accepted(), 0);
}

/// The same text, stored or compressed.
fn gzip(text: &str, level: flate2::Compression) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    gzip.write_all(text.as_bytes()).expect("in memory");
    gzip.finish().expect("in memory")
}

#[tokio::test]
async fn a_compressed_body_is_read_as_it_came() {
    let text = "all fine".repeat(99);
    // Stored, the text stands in the bytes; compressed, it does not.
    let table =
        [(flate2::Compression::none(), GOOD), (flate2::Compression::best(), bad(BadReason::Body))];
    for (level, verdict) in table {
        let body = gzip(&text, level);
        let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ";
        let script = http([say(&format!("{head}{}\r\n\r\n", body.len())), Say(body)]);
        let observation = play("gzip", script, expect(&[], Some(&text)), AMPLE).await;
        assert_eq!(observation.verdict, verdict, "{observation:?}");
    }
}

#[tokio::test]
async fn targets_that_break_off_or_talk_nonsense_are_bad_in_their_own_way() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nall f\r\n";
    let table = [
        ("reset before the answer", vec![Reset], BadReason::Connect),
        ("closed before the answer", vec![], BadReason::Protocol),
        ("reset in the head", vec![say("HTTP/1.1 200"), Pause(50), Reset], BadReason::Protocol),
        ("closed in the head", vec![say("HTTP/1.1 200 OK\r\nx: ")], BadReason::Protocol),
        ("reset in the body", vec![say(head), say("some"), Pause(50), Reset], BadReason::Protocol),
        ("closed in the body", vec![say(head), say("some")], BadReason::Protocol),
        ("closed between chunks", vec![say(chunks)], BadReason::Protocol),
        ("no chunk size", vec![say(chunks), say("what?\r\n")], BadReason::Protocol),
        ("another protocol", vec![say("SSH-2.0-OpenSSH_9.6\r\n")], BadReason::Protocol),
        ("bytes", vec![Say(vec![0x80, 0, 0xff, 0x0a, 0x0d]), Hang], BadReason::Protocol),
        (
            "two lengths",
            vec![say("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")],
            BadReason::Protocol,
        ),
        (
            "an endless head",
            vec![say("HTTP/1.1 200 OK\r\n"), Flood("x-y: zzzzzzzzzzzzzzzzzzzzzzzzz\r\n")],
            BadReason::Protocol,
        ),
        (
            "an endless line",
            vec![say("HTTP/1.1 200 OK\r\nx: "), Flood("yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy")],
            BadReason::Protocol,
        ),
        ("endless promises", vec![Flood("HTTP/1.1 100 Continue\r\n\r\n")], BadReason::Protocol),
        (
            "endless chunk sizes",
            vec![
                say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;"),
                Flood("extensionextension"),
            ],
            BadReason::Protocol,
        ),
    ];
    for (name, acts, reason) in table {
        let observation = play(name, http(acts), HttpExpect::default(), AMPLE).await;
        assert_eq!(observation.verdict, bad(reason), "{name}: {:?}", observation.detail);
    }
}

#[tokio::test]
async fn targets_that_never_finish_are_given_up_at_the_timeout() {
    let slow_body = || vec![say("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n"), Drip("x")];
    let failed = || vec![say("HTTP/1.1 503 No\r\ncontent-length: 99\r\n\r\n"), Drip("x")];
    let timeout = BadReason::Timeout;
    let table = [
        ("never answered", vec![Hang], timeout),
        ("a slow head", vec![say("HTTP/1.1 200 OK\r\nx: "), Drip("y")], timeout),
        ("a slow body", slow_body(), timeout),
        ("a head and no body", slow_body()[..1].iter().cloned().chain([Hang]).collect(), timeout),
        ("slow promises", vec![Drip("HTTP/1.1 100 Continue\r\n\r\n")], timeout),
        ("a failure and a slow body", failed(), BadReason::Status),
    ];
    for (name, acts, reason) in table {
        let observation = play(name, http(acts), HttpExpect::default(), SHORT).await;
        assert_eq!(observation.verdict, bad(reason), "{name}: {:?}", observation.detail);
        assert_eq!(observation.latency, Some(SHORT), "{name}");
    }
}

#[tokio::test]
async fn nothing_that_is_endless_is_kept() {
    let forever = || {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        http([say(head), Flood("10\r\n0123456789abcdef\r\n")])
    };
    let table = [
        (None, GOOD, None),
        (Some("9abc"), GOOD, None),
        (Some("never"), bad(BadReason::Body), Some("the first 65536 bytes of the body lack")),
    ];
    for (body, verdict, detail) in table {
        let server = Server::start(forever()).await;
        let check = HttpCheck { expect: expect(&[], body), ..get(server.address) };
        let observation = probe("endless", Check::Http(check), AMPLE).await;
        assert_eq!(observation.verdict, verdict, "{observation:?}");
        let told = observation.detail.as_deref().unwrap_or_default();
        assert!(told.starts_with(detail.unwrap_or_default()), "{told}");
        // What was asked for, its framing, and the buffers of both sockets.
        assert!(server.n_said() < 16 << 20, "read on for {} bytes", server.n_said());
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_refuses() {
    // Bound, so that nobody else gets it meanwhile.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    let address = socket.local_addr().expect("bound").as_socket().expect("an IP address");
    let observation = probe("refused", Check::Http(get(address)), AMPLE).await;
    assert_eq!(observation.verdict, bad(BadReason::Connect), "{observation:?}");
    assert!(observation.latency.is_some_and(|latency| latency < AMPLE));
}

#[tokio::test]
async fn a_request_says_what_it_was_told_to_and_little_else() {
    let server = Server::start(ok()).await;
    let header = |name, value| {
        let name = ::http::HeaderName::from_static(name);
        (name, ::http::HeaderValue::from_static(value))
    };
    let check = HttpCheck {
        method: ::http::Method::POST,
        headers: vec![header("accept", "text/plain"), header("x-a", "1"), header("x-a", "2")],
        body: Some("hello".to_owned()),
        ..get(server.address)
    };
    assert_eq!(probe("post", Check::Http(check), AMPLE).await.verdict, GOOD);
    let heard = server.heard();
    let (head, body) = heard.split_once("\r\n\r\n").expect("a request");
    let mut lines: Vec<_> = head.split("\r\n").collect();
    lines[1..].sort_unstable();
    let (agent, host) = (concat!("user-agent: nines/", env!("CARGO_PKG_VERSION")), server.address);
    let expect = format!(
        "POST /path?query HTTP/1.1|accept: text/plain|content-length: 5|host: {host}|{agent}|\
         x-a: 1|x-a: 2"
    );
    assert_eq!((lines.join("|"), body), (expect, "hello"));
}

#[tokio::test]
async fn http2_is_spoken_to_those_who_know() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let service = hyper::service::service_fn(|request: Request| async move {
            let told = format!(
                "{:?} {} host {:?}",
                request.version(),
                request.uri(),
                request.headers().get("host")
            );
            let body = http_body_util::Full::new(bytes::Bytes::from(told));
            Ok::<_, std::convert::Infallible>(::http::Response::new(body))
        });
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            // A client that goes away is no concern of this test.
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    let told = format!("HTTP/2.0 http://{address}/path?query host None");
    let check =
        HttpCheck { version: HttpVersion::Http2, expect: expect(&[], Some(&told)), ..get(address) };
    let observation = probe("h2c", Check::Http(check.clone()), AMPLE).await;
    assert_eq!(observation.verdict, GOOD, "{observation:?}");
    let http1 = HttpCheck { version: HttpVersion::Http1, ..check.clone() };
    let observation = probe("HTTP/1.1 to HTTP/2", Check::Http(http1), AMPLE).await;
    assert_eq!(observation.verdict, bad(BadReason::Protocol), "{observation:?}");
    let server = Server::start(ok()).await;
    let observation = HttpCheck { url: get(server.address).url, ..check };
    let observation = probe("HTTP/2 to HTTP/1.1", Check::Http(observation), AMPLE).await;
    assert_eq!(observation.verdict, bad(BadReason::Protocol), "{observation:?}");
}

type Request = ::http::Request<hyper::body::Incoming>;

/// One target that is probed again and again, as a prober does it.
async fn repeatedly(script: Vec<Act>, connection: Connection, n: usize) -> (Server, Vec<Verdict>) {
    let server = Server::start(script).await;
    let check = Check::Http(HttpCheck { connection, ..get(server.address) });
    let target = Target::new(&check, AMPLE, &mut Clients::default());
    let env = Env { dns: Dns::new(&[]), clock: Clock::start(), watch: Watch::new() };
    let mut verdicts = Vec::new();
    for _ in 0..n {
        let observation = target.observe(SeriesId(1), env.clock.now(), &env).await;
        sound("repeated", &observation, AMPLE);
        verdicts.push(observation.verdict);
    }
    (server, verdicts)
}

#[tokio::test]
async fn a_warm_connection_is_one_connection_as_long_as_the_target_keeps_it() {
    let (server, verdicts) = repeatedly(ok(), Connection::Warm, 5).await;
    assert_eq!((server.n_accepted(), verdicts), (1, vec![GOOD; 5]));
    let (server, verdicts) = repeatedly(ok(), Connection::Cold, 5).await;
    assert_eq!((server.n_accepted(), verdicts), (5, vec![GOOD; 5]));
    let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (server, verdicts) = repeatedly(http([say(closing)]), Connection::Warm, 5).await;
    assert_eq!((server.n_accepted(), verdicts), (5, vec![GOOD; 5]));
}

/// How many connections to this port wait in TIME_WAIT on our side.
#[cfg(target_os = "linux")]
fn n_time_wait(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let remote = format!(":{port:04X}");
    let ours = table.lines().filter(|line| {
        let mut words = line.split_whitespace().skip(2);
        words.next().is_some_and(|to| to.ends_with(&remote)) && words.next() == Some("06")
    });
    ours.count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn cold_connections_leave_nothing_behind() {
    let (server, verdicts) = repeatedly(ok(), Connection::Cold, 50).await;
    assert_eq!((server.n_accepted(), verdicts), (50, vec![GOOD; 50]));
    assert_eq!(n_time_wait(server.address.port()), 0);
    // An ordinary client does, so we would see it.
    drop(tokio::net::TcpStream::connect(server.address).await.expect("listens"));
    let port = server.address.port();
    until("an ordinary client's rest", || (n_time_wait(port) == 1).then_some(())).await;
}

#[tokio::test]
async fn what_a_header_file_says_is_sent_and_never_told() {
    const CANARY: &str = "canary-4711";
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), format!("Bearer {CANARY}\n")).expect("writable");
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let table = [
        ("good", vec![say(ok)], "Good"),
        ("echoed as the answer", vec![Echo], "Protocol"),
        ("echoed as a header", vec![say("HTTP/1.1 200 OK\r\nx: "), Echo], "Header"),
        ("echoed as a broken head", vec![say("HTTP/1.1 200 OK\r\n : "), Echo], "Protocol"),
        ("echoed as a status", vec![say("HTTP/1.1 500 "), Echo], "Status"),
        ("echoed as a body", vec![say("HTTP/1.1 404 No\r\n\r\n"), Echo], "Status"),
        (
            "echoed as a chunk size",
            vec![say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), Echo],
            "Protocol",
        ),
    ];
    for (name, acts, word) in table {
        let server = Server::start(http(acts)).await;
        let header_files = vec![(::http::header::AUTHORIZATION, file.path().to_owned())];
        let headers: &[_] =
            if word == "Header" { &[("authorization", Some("other"))] } else { &[] };
        let check =
            HttpCheck { header_files, expect: expect(headers, None), ..get(server.address) };
        let told = format!("{check:?}");
        let observation = probe(name, Check::Http(check), AMPLE).await;
        assert!(server.heard().contains(&format!("authorization: Bearer {CANARY}\r\n")), "{name}");
        let told = format!("{told} {observation:?}");
        assert!(!told.contains(CANARY), "{name}: {told}");
        assert!(told.contains(word), "{name}: {told}");
    }
}

#[tokio::test]
async fn a_header_file_that_cannot_be_used_is_our_fault_and_tells_no_secret() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), "canary-4711\ncanary-0815").expect("writable");
    let nowhere = file.path().with_extension("not-there");
    let server = Server::start(ok()).await;
    for path in [file.path().to_owned(), nowhere] {
        let header_files = vec![(::http::header::AUTHORIZATION, path.clone())];
        let check = HttpCheck { header_files, ..get(server.address) };
        let observation = probe("header file", Check::Http(check), AMPLE).await;
        assert_eq!(observation.verdict, Verdict::Unknown(UnknownReason::LocalFault));
        let detail = observation.detail.expect("what is wrong");
        assert!(detail.contains(&path.display().to_string()), "{detail}");
        assert!(!detail.contains("canary"), "{detail}");
    }
    assert_eq!(server.n_accepted(), 0);
}
