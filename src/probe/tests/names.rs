//! Names: what a resolver says is the target's business, what it does not say is ours.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::server::{Server, ok};
use super::*;

const LOCAL: Verdict = Verdict::Unknown(UnknownReason::LocalFault);
const DNS: Verdict = Verdict::Bad(BadReason::Dns);

/// Response codes of RFC 1035, section 4.1.1.
const NO_ERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;

/// What a name server says.
#[derive(Clone, Debug)]
enum Says {
    /// This code and these addresses.
    Answer(u8, Vec<Ipv4Addr>),
    /// Bytes that are no answer.
    Garbage,
    /// Nothing.
    Nothing,
}

/// Answers to questions for `A`; there are never addresses of another kind.
fn answer(query: &[u8], says: &Says, n_max: usize) -> Option<Vec<u8>> {
    let Says::Answer(code, addresses) = says else {
        return matches!(says, Says::Garbage).then(|| b"no DNS".to_vec());
    };
    // The question follows the header of 12 bytes: labels, a zero byte, the type, the class.
    let end = 12 + query.get(12..)?.iter().position(|byte| *byte == 0)? + 5;
    let is_a = query.get(end - 4..end - 2)? == [0, 1];
    let addresses = if is_a { addresses.as_slice() } else { &[] };
    let fits = end + 16 * addresses.len() <= n_max;
    let addresses = if fits { addresses } else { &[] };
    let truncated = if fits { 0 } else { 2 };
    let n = u16::try_from(addresses.len()).expect("few").to_be_bytes();
    let mut answer = query[..2].to_vec();
    answer.extend([0x81 | truncated, 0x80 | code, 0, 1, n[0], n[1], 0, 0, 0, 0]);
    answer.extend(&query[12..end]);
    for address in addresses {
        // The name of the question, A, IN, 60 s, 4 bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// A name server on the loopback, by UDP and TCP.
async fn name_server(says: Says) -> SocketAddr {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let address = udp.local_addr().expect("bound");
        let Ok(tcp) = TcpListener::bind(address).await else { continue };
        tokio::spawn(by_udp(udp, says.clone()));
        tokio::spawn(by_tcp(tcp, says));
        return address;
    }
}

async fn by_udp(socket: UdpSocket, says: Says) {
    let mut query = [0; 1_500];
    while let Ok((n, from)) = socket.recv_from(&mut query).await {
        if let Some(answer) = answer(&query[..n], &says, 512) {
            socket.send_to(&answer, from).await.expect("loopback");
        }
    }
}

async fn by_tcp(listener: TcpListener, says: Says) {
    while let Ok((mut stream, _)) = listener.accept().await {
        while let Ok(n) = stream.read_u16().await {
            let mut query = vec![0; usize::from(n)];
            let heard = stream.read_exact(&mut query).await.is_ok();
            let Some(answer) = heard.then(|| answer(&query, &says, 65_535)).flatten() else {
                break;
            };
            let n = u16::try_from(answer.len()).expect("bounded").to_be_bytes();
            stream.write_all(&[&n, answer.as_slice()].concat()).await.expect("loopback");
        }
    }
}

/// Probes a name by way of such a name server.
async fn by_name(name: &str, says: Says, timeout: Duration) -> (Server, Observation) {
    let server = Server::start(ok()).await;
    let url = format!("http://{name}:{}/", server.address.port()).parse().expect("a URL");
    let check = Check::Http(HttpCheck { url, ..get(server.address) });
    let dns = Dns::new(&[name_server(says).await]);
    let env = Env { dns, clock: Clock::start(), watch: Watch::new() };
    let target = Target::new(&check, timeout, &mut Clients::default());
    let observation = target.observe(SeriesId(0), env.clock.now(), &env).await;
    sound(name, &observation, timeout);
    (server, observation)
}

#[tokio::test]
async fn what_a_resolver_says_is_bad_and_what_it_does_not_say_is_unknown() {
    let home = vec![Ipv4Addr::LOCALHOST];
    let table = [
        ("found", Says::Answer(NO_ERROR, home), AMPLE, Verdict::Good),
        ("does not exist", Says::Answer(NXDOMAIN, vec![]), AMPLE, DNS),
        ("has no address", Says::Answer(NO_ERROR, vec![]), AMPLE, DNS),
        ("the resolver fails", Says::Answer(SERVFAIL, vec![]), AMPLE, LOCAL),
        ("the resolver refuses", Says::Answer(REFUSED, vec![]), AMPLE, LOCAL),
        ("the resolver talks nonsense", Says::Garbage, SHORT, LOCAL),
        ("the resolver is silent", Says::Nothing, SHORT, LOCAL),
    ];
    for (case, says, timeout, verdict) in table {
        let (server, observation) = by_name("target.test", says, timeout).await;
        assert_eq!(observation.verdict, verdict, "{case}: {:?}", observation.detail);
        assert_eq!(server.n_accepted() == 1, verdict == Verdict::Good, "{case}");
        if verdict != LOCAL {
            assert!(observation.phases.dns > Duration::ZERO, "{case}");
        }
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_is_bad_without_asking_anybody() {
    let long = format!("{}.test", "a".repeat(64));
    let (_, observation) = by_name(&long, Says::Nothing, AMPLE).await;
    assert_eq!(observation.verdict, DNS, "{observation:?}");
}

#[tokio::test]
async fn of_a_thousand_addresses_the_first_is_probed_and_no_other() {
    let elsewhere = (1..1_000_u16).map(|n| {
        let [high, low] = n.to_be_bytes();
        Ipv4Addr::new(127, 1, high, low)
    });
    let home = || [Ipv4Addr::LOCALHOST].into_iter();
    let first: Vec<_> = home().chain(elsewhere.clone()).collect();
    assert_eq!(first.len(), 1_000);
    let (server, observation) = by_name("many.test", Says::Answer(0, first), AMPLE).await;
    assert_eq!((observation.verdict, server.n_accepted()), (Verdict::Good, 1), "{observation:?}");
    // Nobody listens there.
    let last: Vec<_> = elsewhere.chain(home()).collect();
    let (server, observation) = by_name("many.test", Says::Answer(0, last), AMPLE).await;
    let refused = Verdict::Bad(BadReason::Connect);
    assert_eq!((observation.verdict, server.n_accepted()), (refused, 0), "{observation:?}");
}

#[tokio::test]
async fn the_hosts_file_is_asked_first() {
    let (_, observation) = by_name("localhost", Says::Nothing, AMPLE).await;
    assert_eq!(observation.verdict, Verdict::Good, "{observation:?}");
}
