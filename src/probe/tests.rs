//! Tests of the probes against real sockets on loopback, with servers that follow a script.

mod dns;
mod exchange;
mod flood;
mod hostile;
mod local;
mod schedule;
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::model::UnknownReason;
use crate::model::check::{
    Connection, HttpCheck, HttpExpect, HttpVersion, TcpCheck, TlsCheck, TlsOptions,
};

/// For probes that are expected to be answered, on a machine that is busy with other tests.
const LONG: Duration = Duration::from_secs(20);
/// For probes that are expected to time out.
const SHORT: Duration = Duration::from_millis(400);

/// What a server does with each connection.
type Script = fn(&mut TcpStream);

/// A server on loopback that follows a script, each connection in a thread of its own.
struct Server {
    at: SocketAddr,
    n_connections: Arc<AtomicUsize>,
}

impl Server {
    fn start(script: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let at = listener.local_addr().expect("bound");
        let n_connections = Arc::new(AtomicUsize::new(0));
        let (n, script) = (Arc::clone(&n_connections), Arc::new(script));
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                n.fetch_add(1, Ordering::SeqCst);
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(&mut stream));
            }
        });
        Server { at, n_connections }
    }

    fn n_connections(&self) -> usize {
        self.n_connections.load(Ordering::SeqCst)
    }
}

/// Reads a request up to its empty line; empty if the client went away.
fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => text.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads a request and writes these bytes; does not mind if the client went away.
fn answer(stream: &mut TcpStream, bytes: &[u8]) {
    request(stream);
    // A client that has seen enough resets the connection.
    let _ = stream.write_all(bytes);
}

/// Waits until the client goes away.
fn hold(stream: &mut TcpStream) {
    let _ = stream.set_read_timeout(None);
    while let Ok(1..) = stream.read(&mut [0; 64]) {}
}

/// Lets time pass; false once the client has gone away.
fn pause(stream: &mut TcpStream, time: Duration) -> bool {
    let _ = stream.set_read_timeout(Some(time));
    match stream.read(&mut [0; 64]) {
        Ok(n) => n > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}

fn http(at: SocketAddr) -> HttpCheck {
    HttpCheck {
        url: format!("http://{at}/path?query=1").parse().expect("a URL"),
        method: ::http::Method::GET,
        headers: Vec::new(),
        header_files: Vec::new(),
        body: None,
        expect: HttpExpect::default(),
        version: HttpVersion::Auto,
        tls: TlsOptions::default(),
        connection: Connection::Cold,
        max_body: 64 * 1024,
    }
}

fn endpoint(at: SocketAddr) -> Endpoint {
    Endpoint { host: at.ip().to_string(), port: at.port() }
}

fn tcp(at: SocketAddr, send: Option<&str>, expect: Option<&str>) -> Check {
    let (send, expect) = (send.map(str::to_owned), expect.map(str::to_owned));
    Check::Tcp(TcpCheck { endpoint: endpoint(at), send, expect })
}

/// What probes share, with these name servers or this machine's.
fn env(nameservers: &[SocketAddr]) -> Env {
    Env::new(nameservers, Clock::start(), Egress::default(), Arc::default())
}

/// Probes once and checks what holds for every observation.
async fn observe(check: &Check, timeout: Duration) -> Observation {
    let observation = once(check, timeout, &Egress::default(), Clock::start()).await;
    let sum: Duration = observation.phases.durations().iter().sum();
    match observation.latency {
        Some(latency) => {
            assert!(latency <= timeout, "{observation:?}");
            assert_eq!(sum, latency, "{observation:?}");
        }
        None => assert_eq!(observation.verdict.outcome().word(), "unknown", "{observation:?}"),
    }
    observation
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
