//! Targets that do everything but answer: each gets the verdict it deserves within the timeout.

use super::*;

const GOOD: Verdict = Verdict::Good;

const fn bad(reason: BadReason) -> Verdict {
    Verdict::Bad(reason)
}

/// Sends the same bytes again and again until the client goes away.
fn flood(stream: &mut TcpStream, head: &[u8], again: &[u8]) {
    answer(stream, head);
    while stream.write_all(again).is_ok() {}
}

/// Sends a head, then a byte every now and then.
fn trickle(stream: &mut TcpStream, head: &[u8]) {
    answer(stream, head);
    while pause(stream, Duration::from_millis(40)) && stream.write_all(b"x").is_ok() {}
}

/// Sends these bytes, then resets the connection.
fn reset(stream: &mut TcpStream, bytes: &[u8]) {
    answer(stream, bytes);
    // The client has to read what came before the reset: it answers a first byte with nothing,
    // so the only sign is that time passes.
    pause(stream, Duration::from_millis(50));
    socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).expect("a socket option");
}

/// One row: what it is called, what the server does, the verdict, and whether that takes the
/// whole timeout.
type Row = (&'static str, Script, Verdict, bool);

const ROWS: &[Row] = &[
    ("an honest answer", |s| answer(s, OK), GOOD, false),
    ("a body until the connection ends", |s| answer(s, b"HTTP/1.0 200 OK\r\n\r\nall"), GOOD, false),
    (
        "an endless body, by length",
        |s| flood(s, b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n", &[b'x'; 65536]),
        GOOD,
        false,
    ),
    (
        "an endless body, by chunks",
        |s| flood(s, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"4\r\nabcd\r\n"),
        GOOD,
        false,
    ),
    (
        "a compressed body, which is not inflated",
        |s| flood(s, b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", &[0x1f; 65536]),
        GOOD,
        false,
    ),
    (
        "an endless chunk size",
        |s| flood(s, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"00000000"),
        bad(BadReason::Protocol),
        false,
    ),
    (
        "endless chunk extensions",
        |s| flood(s, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"extension"),
        bad(BadReason::Protocol),
        false,
    ),
    (
        "endless headers",
        |s| flood(s, b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n"),
        bad(BadReason::Protocol),
        false,
    ),
    (
        "one endless header",
        |s| flood(s, b"HTTP/1.1 200 OK\r\nx-long: ", &[b'x'; 4096]),
        bad(BadReason::Protocol),
        false,
    ),
    (
        "endless interim answers",
        |s| flood(s, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        bad(BadReason::Protocol),
        false,
    ),
    ("garbage", |s| flood(s, b"", b"\x00\xff\x13garbage\n"), bad(BadReason::Protocol), false),
    ("a mail server", |s| answer(s, b"220 mail ESMTP\r\n"), bad(BadReason::Protocol), false),
    (
        "a wrong status",
        |s| answer(s, b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"),
        bad(BadReason::Status),
        false,
    ),
    (
        "a redirect to itself, which is not followed",
        |s| answer(s, b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"),
        bad(BadReason::Status),
        false,
    ),
    (
        "a redirect to a metadata service, which is not followed",
        |s| answer(s, b"HTTP/1.1 301 No\r\nlocation: http://169.254.169.254/\r\n\r\n"),
        bad(BadReason::Status),
        false,
    ),
    (
        "a wrong status before a body that never ends",
        |s| trickle(s, b"HTTP/1.1 500 No\r\ncontent-length: 1000\r\n\r\n"),
        bad(BadReason::Status),
        true,
    ),
    ("closed without an answer", |s| answer(s, b""), bad(BadReason::Protocol), false),
    (
        "half closed without an answer",
        |s| {
            request(s);
            s.shutdown(std::net::Shutdown::Write).expect("connected");
            hold(s);
        },
        bad(BadReason::Protocol),
        false,
    ),
    (
        "a body that ends too soon",
        |s| answer(s, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"),
        bad(BadReason::Protocol),
        false,
    ),
    ("reset instead of an answer", |s| reset(s, b""), bad(BadReason::Connect), false),
    (
        "reset within the body",
        |s| reset(s, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"),
        bad(BadReason::Protocol),
        false,
    ),
    ("accepted and never answered", hold, bad(BadReason::Timeout), true),
    (
        "a byte of the head at a time",
        |s| trickle(s, b"HTTP/1.1 200 OK\r\nx-slow: "),
        bad(BadReason::Timeout),
        true,
    ),
    (
        "a byte of the body at a time",
        |s| trickle(s, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"),
        bad(BadReason::Timeout),
        true,
    ),
];

#[tokio::test]
async fn every_hostile_target_gets_its_verdict_within_the_timeout() {
    for (name, script, expect, slow) in ROWS {
        let server = Server::start(*script);
        let timeout = if *slow { SHORT } else { LONG };
        let observation = observe(&Check::Http(http(server.at)), timeout).await;
        assert_eq!(observation.verdict, *expect, "{name}: {observation:?}");
        assert_eq!(observation.latency == Some(timeout), *slow, "{name}: {observation:?}");
        assert_eq!(observation.detail.is_none(), *expect == GOOD, "{name}: {observation:?}");
        assert_eq!(server.n_connections(), 1, "{name}: a hidden retry");
    }
}

#[tokio::test]
async fn a_listener_that_accepts_nobody_times_out() {
    // Connected by the kernel's backlog, read by nobody.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("bound");
    let observation = observe(&Check::Http(http(at)), SHORT).await;
    assert_eq!(observation.verdict, bad(BadReason::Timeout));
    assert!(observation.phases.wait > SHORT / 2, "{observation:?}");
}

#[tokio::test]
async fn a_refused_connection_is_the_targets_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("bound");
    drop(listener);
    for check in [Check::Http(http(at)), tcp(at, None, None)] {
        let observation = observe(&check, LONG).await;
        assert_eq!(observation.verdict, bad(BadReason::Connect), "{observation:?}");
    }
}

/// One row for TCP: what it is called, the server, what to send, what to expect, the verdict.
type TcpRow = (&'static str, Script, Option<&'static str>, Option<&'static str>, Verdict);

const TCP_ROWS: &[TcpRow] = &[
    ("connects", hold, None, None, GOOD),
    (
        "greets in two pieces",
        |s| {
            let _ = s.write_all(b"+OK re");
            pause(s, Duration::from_millis(30));
            let _ = s.write_all(b"ady\r\n");
            hold(s);
        },
        None,
        Some("ready"),
        GOOD,
    ),
    (
        "echoes",
        |s| {
            let mut bytes = [0; 4];
            s.read_exact(&mut bytes).expect("four bytes are sent");
            let _ = s.write_all(&bytes);
            hold(s);
        },
        Some("PING"),
        Some("PING"),
        GOOD,
    ),
    (
        "says something else",
        |s| drop(s.write_all(b"-ERR\r\n")),
        None,
        Some("+OK"),
        bad(BadReason::Body),
    ),
    ("says nothing", |_| {}, None, Some("+OK"), bad(BadReason::Body)),
    (
        "says too much",
        |s| while s.write_all(&[b'x'; 65536]).is_ok() {},
        None,
        Some("+OK"),
        bad(BadReason::Body),
    ),
    ("resets", |s| reset(s, b""), Some("PING\r\n\r\n"), Some("+OK"), bad(BadReason::Connect)),
];

#[tokio::test]
async fn tcp_probes_send_and_expect_within_bounds() {
    for (name, script, send, expect, verdict) in TCP_ROWS {
        let server = Server::start(*script);
        let observation = observe(&tcp(server.at, *send, *expect), LONG).await;
        assert_eq!(observation.verdict, *verdict, "{name}: {observation:?}");
    }
    let server = Server::start(hold);
    let observation = observe(&tcp(server.at, None, Some("+OK")), SHORT).await;
    assert_eq!(observation.verdict, bad(BadReason::Timeout));
}
