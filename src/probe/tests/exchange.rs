//! What a probe says, what it expects, how long it says that took, and what it leaves behind.

use std::collections::BTreeSet;
use std::sync::mpsc;

use super::*;

/// A server that answers every request on every connection with `OK`, and repeats what it heard.
fn listener() -> (Server, mpsc::Receiver<String>) {
    let (heard, hear) = mpsc::channel();
    let server = Server::start(move |stream| {
        loop {
            let request = request(stream);
            if request.is_empty() || heard.send(request).is_err() || stream.write_all(OK).is_err() {
                return;
            }
        }
    });
    (server, hear)
}

#[tokio::test]
async fn a_request_says_who_asks_and_keeps_what_the_spec_says() {
    let (server, hear) = listener();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    let mut check = http(server.at);
    check.header_files = vec![(::http::header::AUTHORIZATION, file.clone())];
    check.headers = vec![
        (::http::header::HOST, "other.example".parse().expect("a value")),
        (::http::header::ACCEPT, "text/html".parse().expect("a value")),
        (::http::header::ACCEPT, "text/plain".parse().expect("a value")),
    ];
    // Rotated between two probes of the same target.
    let target = Target::new(&Check::Http(check), LONG, &mut Clients::default());
    let env = super::env(&[]);
    for token in ["Bearer first", "Bearer second"] {
        std::fs::write(&file, format!("{token}\n")).expect("a file");
        let observation = target.observe(SeriesId(0), env.clock.now(), &env).await.observation;
        assert_eq!(observation.verdict, Verdict::Good, "{observation:?}");
        let said = hear.recv().expect("a request");
        assert!(said.starts_with("GET /path?query=1 HTTP/1.1\r\n"), "{said}");
        for line in [
            "host: other.example",
            "accept: text/html",
            "accept: text/plain",
            concat!("user-agent: nines/", env!("CARGO_PKG_VERSION")),
            &format!("authorization: {token}"),
        ] {
            assert!(said.contains(&format!("\r\n{line}\r\n")), "{line} in {said}");
        }
        assert!(!said.contains("accept: */*") && !said.contains("accept-encoding"), "{said}");
    }
    let unknown = Verdict::Unknown(UnknownReason::LocalFault);
    for content in ["two\nlines", "  \n"] {
        std::fs::write(&file, content).expect("a file");
        let observation = target.observe(SeriesId(0), env.clock.now(), &env).await.observation;
        assert_eq!(observation.verdict, unknown);
        assert!(!observation.detail.expect("why").contains("two"), "a secret is not told");
    }
    std::fs::remove_file(&file).expect("it was there");
    let observation = target.observe(SeriesId(0), env.clock.now(), &env).await.observation;
    assert_eq!(observation.verdict, unknown);
}

#[tokio::test]
async fn an_answer_is_held_to_what_is_expected_of_it() {
    let server = Server::start(|stream| {
        let mut bytes =
            b"HTTP/1.1 204 OK\r\nx-a: 1\r\nx-a: 2\r\ncontent-length: 0\r\n\r\n".to_vec();
        if request(stream).starts_with("POST") {
            bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".to_vec();
            bytes.resize(bytes.len() + 99_992, b'.');
            bytes.extend(b"thetruth");
        }
        let _ = stream.write_all(&bytes);
    });
    let name = |name: &str| name.parse::<::http::HeaderName>().expect("a name");
    let check = async |change: &dyn Fn(&mut HttpCheck), expect: Verdict| {
        let mut check = http(server.at);
        change(&mut check);
        let observation = observe(&Check::Http(check), LONG).await;
        assert_eq!(observation.verdict, expect, "{observation:?}");
    };
    let header = |value: Option<&str>| (name("x-a"), value.map(str::to_owned));
    check(&|c| c.expect.headers = vec![header(None), header(Some("2"))], Verdict::Good).await;
    let bad = Verdict::Bad(BadReason::Header);
    check(&|c| c.expect.headers = vec![header(Some("3"))], bad).await;
    check(&|c| c.expect.headers = vec![(name("x-b"), None)], bad).await;
    let bad = Verdict::Bad(BadReason::Status);
    check(&|c| c.expect.status = vec![(200, 200), (301, 399)], bad).await;
    let body = |c: &mut HttpCheck, n: usize| {
        c.method = ::http::Method::POST;
        c.body = Some("question".to_owned());
        c.expect.body_contains = Some("thetruth".to_owned());
        c.max_body = n;
    };
    check(&|c| body(c, 100_000), Verdict::Good).await;
    check(&|c| body(c, 99_999), Verdict::Bad(BadReason::Body)).await;
    let absent = |c: &mut HttpCheck| {
        body(c, 100_000);
        c.expect.body_contains = Some("lies".to_owned());
    };
    check(&absent, Verdict::Bad(BadReason::Body)).await;
}

#[tokio::test]
async fn phases_are_as_long_as_the_server_says_they_were() {
    // The server's own clock tells how long it really waited; the probe must agree.
    let (waited, truth) = mpsc::channel();
    let server = Server::start(move |stream| {
        request(stream);
        let start = Instant::now();
        pause(stream, Duration::from_millis(20));
        let before_head = start.elapsed();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no");
        let head = Instant::now();
        pause(stream, Duration::from_millis(15));
        let before_end = head.elapsed();
        let _ = stream.write_all(b"k");
        let _ = waited.send((before_head, before_end));
        hold(stream);
    });
    let mut errors = Vec::new();
    for _ in 0..30 {
        let observation = observe(&Check::Http(http(server.at)), LONG).await;
        let (wait, receive) = truth.recv().expect("the server tells");
        let Phases { wait: told_wait, receive: told_receive, .. } = observation.phases;
        assert!(observation.latency >= Some(wait + receive), "{observation:?}");
        errors.push(told_wait.abs_diff(wait).max(told_receive.abs_diff(receive)));
    }
    // Somebody else's turn on the processor may come between; not thirty times.
    let best = errors.iter().min().expect("thirty");
    assert!(*best <= Duration::from_micros(300), "{errors:?}");
}

/// The clients of this server whose connections are in TIME_WAIT.
fn time_waits(server: SocketAddr) -> BTreeSet<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let port = format!(":{:04X}", server.port());
    let client = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
        (state == "06" && remote.ends_with(&port)).then(|| local.to_owned())
    };
    table.lines().filter_map(client).collect()
}

#[tokio::test]
async fn cold_probes_leave_no_time_wait_behind() {
    let (server, _hear) = listener();
    // The port may have belonged to somebody else a moment ago.
    let before = time_waits(server.at);
    for _ in 0..50 {
        let observation = observe(&Check::Http(http(server.at)), LONG).await;
        assert_eq!(observation.verdict, Verdict::Good);
    }
    for _ in 0..10 {
        observe(&tcp(server.at, Some("GET / HTTP/1.1\r\n\r\n"), Some("200 OK")), LONG).await;
    }
    assert_eq!(server.n_connections(), 60);
    assert_eq!(time_waits(server.at).difference(&before).count(), 0);
    // The measure itself: a connection that is closed politely does wait.
    let mut polite = TcpStream::connect(server.at).expect("it listens");
    polite.shutdown(std::net::Shutdown::Write).expect("connected");
    assert_eq!(polite.read(&mut [0; 8]).expect("the server closes too"), 0);
    drop(polite);
    assert_eq!(time_waits(server.at).difference(&before).count(), 1);
}

#[tokio::test]
async fn a_warm_probe_keeps_its_connection_and_replaces_a_dead_one() {
    // Two requests for each connection, then the server closes it.
    let server = Server::start(|stream| {
        answer(stream, OK);
        answer(stream, OK);
    });
    let mut check = http(server.at);
    check.connection = Connection::Warm;
    let target = Target::new(&Check::Http(check), LONG, &mut Clients::default());
    let env = super::env(&[]);
    let mut n_fresh = 0;
    for n in 1..=6 {
        let observation = target.observe(SeriesId(0), env.clock.now(), &env).await.observation;
        assert_eq!(observation.verdict, Verdict::Good, "{n}: {observation:?}");
        n_fresh += usize::from(!observation.phases.connect.is_zero());
        if n % 2 == 0 {
            // The end of the connection must have arrived: the driver's task sees it.
            eventually(async || !target.is_warm().await).await;
        }
    }
    assert_eq!((server.n_connections(), n_fresh), (3, 3));
}

/// Waits for something that another task or process does.
async fn eventually(mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..2_000 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come");
}

impl Target {
    /// Whether a connection waits for the next probe.
    async fn is_warm(&self) -> bool {
        match &self.kind {
            Kind::Http(http) => http.is_warm().await,
            _ => false,
        }
    }
}

#[tokio::test]
async fn a_probe_in_flight_takes_little_room() {
    let check = Check::Http(super::http(([127, 0, 0, 1], 1).into()));
    let target = Target::new(&check, SHORT, &mut Clients::default());
    let env = Env::new(&[], Clock::start(), Egress::default(), Arc::default());
    // Every byte is moved twice when it starts; what few probes need is in a box of its own.
    assert!(size_of_val(&target.observe(SeriesId(0), env.clock.now(), &env)) <= 2_560);
}
