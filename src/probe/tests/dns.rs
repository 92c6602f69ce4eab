//! Resolving against a name server that follows a script.

use std::net::UdpSocket;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use super::*;

const UNKNOWN: Verdict = Verdict::Unknown(UnknownReason::LocalFault);
const NO_NAME: Verdict = Verdict::Bad(BadReason::Dns);

/// A name server whose answer depends on the first label of the name.
struct NameServer {
    at: SocketAddr,
    n_queries: Arc<AtomicUsize>,
}

impl NameServer {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let at = socket.local_addr().expect("bound");
        let n_queries = Arc::new(AtomicUsize::new(0));
        let n = Arc::clone(&n_queries);
        std::thread::spawn(move || {
            let mut bytes = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut bytes) {
                n.fetch_add(1, Ordering::SeqCst);
                let query = Message::from_vec(&bytes[..len]).expect("a query");
                if let Some(answer) = answer_to(&query) {
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

fn answer_to(query: &Message) -> Option<Message> {
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
    let env = Env { dns: server.dns(), clock: Clock::start(), watch: Watch::new() };
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
    let env = Env { dns: server.dns(), clock: Clock::start(), watch: Watch::new() };
    let mut check = http(server.at);
    check.url = "http://mute.test.example/".parse().expect("a URL");
    let target = Target::new(&Check::Http(check), SHORT, &mut Clients::default());
    let observation = target.observe(SeriesId(0), env.clock.now(), &env).await;
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
