//! A small HTTP/1.1 server inside the test: a thread for each connection, one request each.
//!
//! It can be stopped, so that connections are refused, and started again on the same port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest time to wait for a client to say what it wants.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client asked.
#[derive(Debug)]
pub struct Request {
    /// With the query.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What to answer.
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// Called once the whole answer has been handed to the kernel.
    pub written: Option<Box<dyn FnOnce() + Send>>,
}

impl Reply {
    /// A plain text answer.
    pub fn text(status: u16, body: &str) -> Self {
        let body = body.as_bytes().to_vec();
        Reply { status, content_type: "text/plain; charset=utf-8", body, written: None }
    }
}

/// Answers requests; none closes the connection without an answer.
type Handler = dyn Fn(&Request) -> Option<Reply> + Send + Sync;

/// A server that runs until it is stopped or dropped.
pub struct Server {
    address: SocketAddr,
    handler: Arc<Handler>,
    accepted: Arc<AtomicU64>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Server {
    /// Starts answering on a free port.
    pub fn start(handler: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), handler)
    }

    /// The same at another address of this machine.
    pub fn start_at(
        ip: IpAddr,
        handler: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let accepted = Arc::default();
        let mut address = super::ports::free();
        address.set_ip(ip);
        let mut server = Server { address, handler: Arc::new(handler), accepted, running: None };
        server.resume();
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were made to it since its first start.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Refuses connections from now on.
    pub fn stop(&mut self) {
        let Some((stopping, thread)) = self.running.take() else { return };
        stopping.store(true, Ordering::SeqCst);
        // Wakes the thread from its accept; if that fails, the thread has ended already.
        let _ = TcpStream::connect(self.address);
        thread.join().expect("the accepting thread does not panic");
    }

    /// Accepts connections again, on the same port.
    pub fn resume(&mut self) {
        if self.running.is_some() {
            return;
        }
        let listener = TcpListener::bind(self.address)
            .unwrap_or_else(|error| panic!("cannot listen on {}: {error}", self.address));
        let stopping = Arc::new(AtomicBool::new(false));
        let (stop, handler) = (stopping.clone(), self.handler.clone());
        let accepted = self.accepted.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                accepted.fetch_add(1, Ordering::SeqCst);
                let handler = handler.clone();
                // A client that goes away mid-request is its own business.
                std::thread::spawn(move || drop(answer(stream, &*handler)));
            }
        });
        self.running = Some((stopping, thread));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn answer(mut stream: TcpStream, handler: &Handler) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(request) = read(&mut stream)? else { return Ok(()) };
    let Some(reply) = handler(&request) else { return Ok(()) };
    let head = format!(
        "HTTP/1.1 {} Answer\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        reply.status,
        reply.content_type,
        reply.body.len()
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&reply.body);
    stream.write_all(&bytes)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    if let Some(written) = reply.written {
        written();
    }
    Ok(())
}

fn read(stream: &mut TcpStream) -> std::io::Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_ascii_whitespace();
    let (Some(_method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let path = path.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { path, body }))
}
