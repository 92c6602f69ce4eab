//! Resolving against a name server that follows a script.

use std::net::UdpSocket;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use super::*;
use crate::engine::isolation::Silence;

const UNKNOWN: Verdict = Verdict::Unknown(UnknownReason::LocalFault);
const NO_NAME: Verdict = Verdict::Bad(BadReason::Dns);

/// A name server whose answer depends on the first label of the name, and on how often it was
/// asked before.
struct NameServer {
    at: SocketAddr,
    n_queries: Arc<AtomicUsize>,
}

impl NameServer {
    fn start() -> Self {
        let (socket, listener) = one_port();
        let at = socket.local_addr().expect("bound");
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut length = [0; 2];
                let Ok(()) = stream.read_exact(&mut length) else { continue };
                let mut bytes = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut bytes).expect("a whole query");
                let query = Message::from_vec(&bytes).expect("a query");
                let answer = thousand_addresses(&query).to_vec().expect("encodes");
                let length = u16::try_from(answer.len()).expect("fits").to_be_bytes();
                stream.write_all(&[&length[..], &answer].concat()).expect("loopback");
            }
        });
        let n_queries = Arc::new(AtomicUsize::new(0));
        let n = Arc::clone(&n_queries);
        std::thread::spawn(move || {
            let mut bytes = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut bytes) {
                let n = n.fetch_add(1, Ordering::SeqCst);
                let query = Message::from_vec(&bytes[..len]).expect("a query");
                if let Some(answer) = answer_to(&query, n) {
                    socket.send_to(&answer.to_vec().expect("encodes"), from).expect("loopback");
                }
            }
        });
        NameServer { at, n_queries }
    }

    fn dns(&self) -> Dns {
        Dns::new(&[self.at])
    }
}

/// A port for both protocols.
fn one_port() -> (UdpSocket, TcpListener) {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let at = socket.local_addr().expect("bound");
        if let Ok(listener) = TcpListener::bind(at) {
            return (socket, listener);
        }
    }
}

fn thousand_addresses(query: &Message) -> Message {
    let asked = query.queries.first().expect("one question").clone();
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.add_query(asked.clone());
    for i in 0..1_000_u32 {
        let address = std::net::Ipv4Addr::from(0x7f00_0001 + i);
        answer.add_answer(Record::from_rdata(asked.name().clone(), 60, RData::A(A(address))));
    }
    answer
}

fn answer_to(query: &Message, n: usize) -> Option<Message> {
    let asked = query.queries.first().expect("one question").clone();
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.add_query(asked.clone());
    let label = asked.name().iter().next().map(String::from_utf8_lossy).unwrap_or_default();
    let mut add = |data| {
        answer.add_answer(Record::from_rdata(asked.name().clone(), 60, data));
    };
    match (&*label.to_lowercase(), asked.query_type()) {
        ("four", RecordType::A) => (1..=20).for_each(|i| add(RData::A(A::new(127, 0, 0, i)))),
        ("six", RecordType::AAAA) => add(RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0, 0, 1))),
        ("metadata", RecordType::A) => add(RData::A(A::new(169, 254, 169, 254))),
        ("mapped", RecordType::AAAA) => {
            add(RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0xffff, 0xa9fe, 0xa9fe)));
        }
        // Harmless at first, then something else: what a page does that attacks its reader.
        ("rebinding", RecordType::A) if n == 0 => add(RData::A(A::new(127, 0, 0, 1))),
        ("rebinding", RecordType::A) => add(RData::A(A::new(169, 254, 169, 254))),
        // Too much for a datagram.
        ("many", RecordType::A) => answer.metadata.truncation = true,
        ("absent", _) => answer.metadata.response_code = ResponseCode::NXDomain,
        ("broken", _) => answer.metadata.response_code = ResponseCode::ServFail,
        ("refused", _) => answer.metadata.response_code = ResponseCode::Refused,
        ("mute", _) => return None,
        ("half", RecordType::AAAA) => answer.metadata.response_code = ResponseCode::ServFail,
        _ => {}
    }
    Some(answer)
}

#[tokio::test]
async fn only_an_answering_resolver_can_say_that_a_name_is_missing() {
    let server = NameServer::start();
    let dns = server.dns();
    for (name, expect) in [
        ("four.test.example", Ok("127.0.0.1")),
        ("six.test.example", Ok("::1")),
        ("many.test.example", Ok("127.0.0.1")),
        ("absent.test.example", Err(NO_NAME)),
        ("empty.test.example", Err(NO_NAME)),
        ("broken.test.example", Err(UNKNOWN)),
        ("refused.test.example", Err(UNKNOWN)),
        // No IPv4 address, and nobody knows about IPv6.
        ("half.test.example", Err(UNKNOWN)),
        ("not a name..", Err(NO_NAME)),
    ] {
        let found = dns.address(name).await.map_err(|failure| failure.verdict);
        assert_eq!(found, expect.map(|ip| ip.parse().expect("an address")), "{name}");
    }
}

#[tokio::test]
async fn every_probe_asks_anew() {
    let server = NameServer::start();
    let dns = server.dns();
    for n in 1..=3 {
        dns.address("four.test.example").await.expect("it has one");
        assert_eq!(server.n_queries.load(Ordering::SeqCst), n);
    }
}

#[tokio::test]
async fn literal_addresses_and_the_hosts_file_need_no_resolver() {
    let server = NameServer::start();
    let env = super::env(&[server.at]);
    let mut trace = Trace::start(LONG);
    for (host, expect) in [("192.0.2.7", "192.0.2.7:1"), ("::1", "[::1]:1")] {
        let to = Endpoint { host: host.to_owned(), port: 1 };
        let address = env.address(&to, &mut trace).await.expect("literal");
        assert_eq!(address.to_string(), expect);
    }
    let to = Endpoint { host: "localhost".to_owned(), port: 1 };
    assert!(env.address(&to, &mut trace).await.expect("in every hosts file").ip().is_loopback());
    assert_eq!(server.n_queries.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_probe_that_times_out_in_the_resolver_is_unknown() {
    let server = NameServer::start();
    let env = super::env(&[server.at]);
    let mut check = http(server.at);
    check.url = "http://mute.test.example/".parse().expect("a URL");
    let target = Target::new(&Check::Http(check), SHORT, &mut Clients::default());
    let observation = target.observe(SeriesId(0), env.clock.now(), &env).await.observation;
    assert_eq!(observation.verdict, UNKNOWN, "{observation:?}");
    assert!(observation.detail.expect("why").contains("resolver"));
}

#[tokio::test]
async fn no_name_server_at_all_is_unknown() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let dns = Dns::new(&[socket.local_addr().expect("bound")]);
    drop(socket);
    let failure = dns.address("four.test.example").await.expect_err("nobody listens");
    assert_eq!(failure.verdict, UNKNOWN, "{failure:?}");
}

/// Probes a name at the port of a server on loopback.
async fn probe_by_name(name: &str, port: u16, env: &Env) -> Observation {
    let mut check = http(([127, 0, 0, 1], port).into());
    check.url = format!("http://{name}.test.example:{port}/").parse().expect("a URL");
    let target = Target::new(&Check::Http(check), LONG, &mut Clients::default());
    target.observe(SeriesId(0), env.clock.now(), env).await.observation
}

#[tokio::test]
async fn the_address_that_was_judged_is_the_one_that_is_probed() {
    let (names, server) = (NameServer::start(), Server::start(|s| answer(s, OK)));
    let env = super::env(&[names.at]);
    let port = server.at.port();
    let first = probe_by_name("rebinding", port, &env).await;
    assert_eq!(first.verdict, Verdict::Good, "{first:?}");
    // One lookup: the answer to a second one would have been another address.
    assert_eq!(names.n_queries.load(Ordering::SeqCst), 1);
    let second = probe_by_name("rebinding", port, &env).await;
    assert_eq!(second.verdict, UNKNOWN, "{second:?}");
    assert!(second.detail.expect("why").contains("169.254.169.254"));
    assert_eq!(server.n_connections(), 1);
}

#[tokio::test]
async fn names_of_denied_addresses_are_our_policy_and_not_the_targets_fault() {
    let names = NameServer::start();
    let env = super::env(&[names.at]);
    for (n, name) in ["metadata", "mapped"].into_iter().enumerate() {
        let observation = probe_by_name(name, 80, &env).await;
        assert_eq!(observation.verdict, UNKNOWN, "{observation:?}");
        let detail = observation.detail.expect("why");
        assert!(detail.contains("the egress policy denies"), "{detail}");
        assert_eq!(env.meters.denied(), n as u64 + 1);
    }
}

#[tokio::test]
async fn every_kind_of_probe_asks_the_policy_and_a_denied_target_sees_no_connection() {
    let server = Server::start(|s| answer(s, OK));
    let net = |text: &str| vec![text.parse().expect("a rule")];
    let tls =
        TlsCheck { endpoint: endpoint(server.at), tls: TlsOptions::default(), min_validity: None };
    let mut mapped = http(server.at);
    let port = server.at.port();
    mapped.url = format!("http://[::ffff:127.0.0.1]:{port}/").parse().expect("a URL");
    let mut unspecified = http(server.at);
    unspecified.url = format!("http://0.0.0.0:{port}/").parse().expect("a URL");
    let checks = [
        Check::Http(http(server.at)),
        Check::Http(mapped),
        Check::Http(unspecified),
        tcp(server.at, None, None),
        Check::Tls(tls),
    ];
    let denied = Egress { deny: net("127.0.0.0/8"), ..Egress::default() };
    let elsewhere = Egress { allow: net("192.0.2.0/24"), ..Egress::default() };
    for check in &checks {
        for egress in [&denied, &elsewhere] {
            let observation = once(check, LONG, egress, Clock::start()).await;
            assert_eq!(observation.verdict, UNKNOWN, "{check:?}: {observation:?}");
        }
    }
    assert_eq!(server.n_connections(), 0);
    let allowed = Egress { allow: net("127.0.0.1"), ..Egress::default() };
    for check in &checks[..4] {
        let observation = once(check, LONG, &allowed, Clock::start()).await;
        assert_eq!(observation.verdict, Verdict::Good, "{check:?}: {observation:?}");
    }
}

#[tokio::test]
async fn what_no_resolver_answers_is_doubted_and_what_one_denies_is_not() {
    let server = NameServer::start();
    let env = env(&[server.at]);
    for (name, verdict, doubt) in [
        ("four.test.example", Verdict::Good, None),
        ("absent.test.example", NO_NAME, None),
        ("broken.test.example", UNKNOWN, Some(Silence::Resolver)),
        ("mute.test.example", UNKNOWN, Some(Silence::Resolver)),
    ] {
        let target = Target::new(&Check::Name(name.to_owned()), SHORT, &mut Clients::default());
        let seen = target.observe(SeriesId(0), env.clock.now(), &env).await;
        assert_eq!(seen.observation.verdict, verdict, "{name}");
        assert_eq!(seen.doubt.map(|doubt| doubt.about), doubt, "{name}");
        assert_eq!(seen.cause.is_some(), doubt.is_some(), "{name}");
        assert!(seen.doubt.is_none_or(|doubt| doubt.elapsed <= SHORT), "{name}");
    }
}

#[tokio::test]
async fn silence_of_a_target_is_doubted_and_its_word_is_not() {
    let env = env(&[]);
    let (silent, rude) = (Server::start(hold), Server::start(|stream| answer(stream, b"no\r\n")));
    for (at, doubt) in [(silent.at, Some(Silence::Target)), (rude.at, None)] {
        let target = Target::new(&Check::Http(http(at)), SHORT, &mut Clients::default());
        let seen = target.observe(SeriesId(0), env.clock.now(), &env).await;
        assert!(matches!(seen.observation.verdict, Verdict::Bad(_)), "{:?}", seen.observation);
        assert_eq!(seen.doubt.map(|doubt| doubt.about), doubt, "{:?}", seen.observation);
    }
}
