//! TCP targets: connections, greetings and answers.

use super::server::{Act, Act::*, Server, say};
use super::*;
use crate::model::check::TcpCheck;

async fn play(
    name: &str,
    script: &[Act],
    send: Option<&str>,
    expect: Option<&str>,
    timeout: Duration,
) -> Observation {
    let server = Server::start(script.to_vec()).await;
    let SocketAddr::V4(address) = server.address else { panic!("IPv4") };
    let endpoint = Endpoint { host: address.ip().to_string(), port: address.port() };
    let (send, expect) = (send.map(str::to_owned), expect.map(str::to_owned));
    probe(name, Check::Tcp(TcpCheck { endpoint, send, expect }), timeout).await
}

#[tokio::test]
async fn a_tcp_target_is_good_exactly_if_it_says_what_was_expected() {
    let (good, body) = (Verdict::Good, Verdict::Bad(BadReason::Body));
    let in_parts = [Hear("PING"), say("+PO"), Pause(50), say("NG\r\n"), Hang];
    let flood = [Hear("PING"), Flood("no such luck\r\n")];
    let greeting = [say("220 mail ready\r\n"), Hang];
    let table: [(&str, &[Act], _, _, _); 11] = [
        ("connects", &[Hang], None, None, good),
        ("greets", &greeting, None, Some("220 "), good),
        ("greets otherwise", &[say("554 no\r\n")], None, Some("220 "), body),
        ("answers", &[Hear("PING"), say("+PONG\r\n"), Hang], Some("PING\r\n"), Some("+PONG"), good),
        ("answers in parts", &in_parts, Some("PING\r\n"), Some("+PONG\r\n"), good),
        (
            "answers otherwise",
            &[Hear("PING"), say("-ERR\r\n")],
            Some("PING\r\n"),
            Some("+PONG"),
            body,
        ),
        ("talks on and on", &flood, Some("PING\r\n"), Some("+PONG"), body),
        ("only hears", &[Hear("PING"), Hang], Some("PING\r\n"), None, good),
        ("expects nothing", &greeting, None, Some(""), good),
        ("closes", &[Hear("PING")], Some("PING\r\n"), Some("+PONG"), body),
        (
            "resets",
            &[Hear("PING"), Reset],
            Some("PING"),
            Some("+"),
            Verdict::Bad(BadReason::Connect),
        ),
    ];
    for (name, script, send, expect, verdict) in table {
        let observation = play(name, script, send, expect, AMPLE).await;
        assert_eq!(observation.verdict, verdict, "{name}: {:?}", observation.detail);
    }
}

#[tokio::test]
async fn a_tcp_target_that_says_too_little_is_given_up_at_the_timeout() {
    let timeout = Verdict::Bad(BadReason::Timeout);
    for (name, script) in [("silent", [Hang]), ("slow", [Drip("+PON")])] {
        let observation = play(name, &script, None, Some("+PONG"), SHORT).await;
        assert_eq!((observation.verdict, observation.latency), (timeout, Some(SHORT)), "{name}");
    }
}
