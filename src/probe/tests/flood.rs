//! Targets that flood below HTTP: TLS records and HTTP/2 frames without end.

use super::*;

const TLS: Verdict = Verdict::Bad(BadReason::Tls);
const PROTOCOL: Verdict = Verdict::Bad(BadReason::Protocol);
const TIMEOUT: Verdict = Verdict::Bad(BadReason::Timeout);

/// Waits for a first byte, says something, and then something else until the client goes away.
fn flood(stream: &mut TcpStream, begin: &[u8], again: &[u8]) {
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(begin);
    while stream.write_all(again).is_ok() {}
}

/// What it is called, what the server does, the verdict, whether that takes the whole timeout.
type Row = (&'static str, Script, Verdict, bool);

#[tokio::test]
async fn tls_records_without_end_are_bounded() {
    let rows: &[Row] = &[
        ("garbage", |s| flood(s, b"", b"\x00\xff\x13garbage"), TLS, false),
        ("plain HTTP", |s| flood(s, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"more"), TLS, false),
        ("an endless message", |s| flood(s, b"", &record(22, &[2; 4096])), TLS, false),
        // A ServerHello that says it has 16 MB, in fragments.
        (
            "a huge hello",
            |s| flood(s, &record(22, &[2, 255, 255, 255]), &record(22, &[0; 512])),
            TLS,
            false,
        ),
        ("endless warnings", |s| flood(s, b"", &record(21, &[1, 90])), TLS, false),
        ("endless cipher changes", |s| flood(s, b"", &record(20, &[1])), TLS, false),
        ("endless empty records", |s| flood(s, b"", &record(22, &[])), TLS, false),
        ("silence", hold, TIMEOUT, true),
        (
            "a byte at a time",
            |s| while pause(s, Duration::from_millis(40)) && s.write_all(&[22]).is_ok() {},
            TIMEOUT,
            true,
        ),
    ];
    for (name, script, expect, slow) in rows {
        let server = Server::start(*script);
        let timeout = if *slow { SHORT } else { LONG };
        let check = TlsCheck {
            endpoint: endpoint(server.at),
            tls: TlsOptions::default(),
            min_validity: None,
        };
        let observation = observe(&Check::Tls(check), timeout).await;
        if *name == "a byte at a time" && observation.verdict == TLS {
            continue;
        }
        assert_eq!(observation.verdict, *expect, "{name}: {observation:?}");
        assert_eq!(server.n_connections(), 1, "{name}: a hidden retry");
    }
}

/// A TLS record of this type.
fn record(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a short record").to_be_bytes();
    [&[kind, 3, 3], &length[..], bytes].concat()
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), bytes].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// `:status: 200` of the static table.
const STATUS_200: u8 = 0x88;
/// A header that is not in any table: `a: b`.
const LITERAL: &[u8] = &[0, 1, b'a', 1, b'b'];

/// Greets as HTTP/2 does, then says this, and then that until the client goes away.
fn frames(stream: &mut TcpStream, begin: &[u8], again: &[u8]) {
    let greeting = frame(SETTINGS, 0, 0, &[]);
    flood(stream, &[&greeting, begin].concat(), again);
}

/// The head of an answer that goes on.
fn head() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &[STATUS_200])
}

/// A large header that is put into the dynamic table once, and then named again and again.
fn table_bomb() -> Vec<u8> {
    let mut block = vec![STATUS_200, 0x40, 1, b'a', 0x7f, 0x80 | 0x01, 0x1e];
    block.extend([b'x'; 4_000 - 32]);
    // The length of the value: 127 + 0x01 + 0x1e * 128 = 3,968.
    block.extend([0x80 | 62; 12_000]);
    frame(HEADERS, END_HEADERS, 1, &block)
}

#[tokio::test]
async fn http2_frames_without_end_are_bounded() {
    let rows: &[(&str, Script)] = &[
        ("settings", |s| frames(s, b"", &frame(SETTINGS, 0, 0, &[]))),
        ("settings that change", |s| frames(s, b"", &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 1, 0]))),
        ("acknowledged settings", |s| frames(s, b"", &frame(SETTINGS, 1, 0, &[]))),
        ("pings", |s| frames(s, b"", &frame(PING, 0, 0, &[0; 8]))),
        ("priorities", |s| frames(s, b"", &frame(PRIORITY, 0, 1, &[0; 5]))),
        ("windows", |s| frames(s, b"", &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
        ("promises", |s| frames(s, b"", &frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]))),
        ("resets of one stream", |s| frames(s, b"", &frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]))),
        ("resets of others", |s| frames(s, b"", &frame(RST_STREAM, 0, 99, &[0, 0, 0, 8]))),
        ("farewells", |s| frames(s, b"", &frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]))),
        ("unknown frames", |s| frames(s, b"", &frame(250, 0, 0, &[0; 64]))),
        ("interim answers", |s| frames(s, b"", &frame(HEADERS, END_HEADERS, 1, b"\x08\x03103"))),
        ("continued headers", |s| {
            frames(s, &frame(HEADERS, 0, 1, &[STATUS_200]), &frame(CONTINUATION, 0, 1, LITERAL));
        }),
        ("empty continuations", |s| {
            frames(s, &frame(HEADERS, 0, 1, &[STATUS_200]), &frame(CONTINUATION, 0, 1, &[]));
        }),
        ("a header table bomb", |s| frames(s, &table_bomb(), &frame(PING, 0, 0, &[0; 8]))),
        ("empty data", |s| frames(s, &head(), &frame(DATA, 0, 1, &[]))),
        ("padding", |s| frames(s, &head(), &frame(DATA, 8, 1, &[255; 256]))),
        ("garbage", |s| flood(s, b"", b"HTTP/1.1 200 OK\r\n\r\n")),
    ];
    for (name, script) in rows {
        let server = Server::start(*script);
        let mut check = http(server.at);
        check.version = HttpVersion::Http2;
        let observation = observe(&Check::Http(check), LONG).await;
        assert_eq!(observation.verdict, PROTOCOL, "{name}: {observation:?}");
        assert_eq!(server.n_connections(), 1, "{name}: a hidden retry");
    }
}
