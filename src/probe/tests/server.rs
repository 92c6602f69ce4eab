//! A target that plays a script to whoever connects, and tells what it saw.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// One step of a script. At the end of the script the connection is closed politely.
#[derive(Clone, Debug)]
pub enum Act {
    /// Reads until this has arrived.
    Hear(&'static str),
    /// Writes this.
    Say(Vec<u8>),
    /// Writes what was heard.
    Echo,
    /// Does nothing for so many milliseconds.
    Pause(u64),
    /// Writes this again and again until the other side is gone.
    Flood(&'static str),
    /// Writes this again and again, a byte every 50 ms.
    Drip(&'static str),
    /// Says nothing until the other side is gone.
    Hang,
    /// Resets the connection.
    Reset,
    /// Starts over, on the same connection.
    Again,
}

use Act::*;

/// Writes text.
pub fn say(text: &str) -> Act {
    Say(text.as_bytes().to_vec())
}

/// Hears an HTTP request, then acts.
pub fn http(acts: impl IntoIterator<Item = Act>) -> Vec<Act> {
    [Hear("\r\n\r\n")].into_iter().chain(acts).collect()
}

/// Answers any number of HTTP requests on a connection.
pub fn ok() -> Vec<Act> {
    http([say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), Again])
}

/// A running target.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

/// What a target saw.
#[derive(Default)]
struct Seen {
    n_accepted: AtomicUsize,
    n_said: AtomicU64,
    heard: Mutex<Vec<u8>>,
    /// When something was last heard, and every moment just before something was said.
    moments: Mutex<(Option<Instant>, Vec<Instant>)>,
}

impl Server {
    /// Starts on a free port of the loopback.
    pub async fn start(script: Vec<Act>) -> Server {
        Server::start_with(script, None).await
    }

    /// The same behind TLS.
    pub async fn start_tls(script: Vec<Act>, tls: rustls::ServerConfig) -> Server {
        Server::start_with(script, Some(TlsAcceptor::from(Arc::new(tls)))).await
    }

    async fn start_with(script: Vec<Act>, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Seen::default());
        let theirs = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                theirs.n_accepted.fetch_add(1, Relaxed);
                let (script, seen, tls) = (script.clone(), Arc::clone(&theirs), tls.clone());
                // A client that goes away is part of what is tested.
                tokio::spawn(async move { play(stream, tls, &script, &seen).await.is_ok() });
            }
        });
        Server { address, seen, task }
    }

    /// How many connections there were.
    pub fn n_accepted(&self) -> usize {
        self.seen.n_accepted.load(Relaxed)
    }

    /// How many bytes the system has taken from us.
    pub fn n_said(&self) -> u64 {
        self.seen.n_said.load(Relaxed)
    }

    /// Everything that arrived, as text.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.seen.heard.lock().expect("whole")).into_owned()
    }

    /// When something was last heard, and every moment just before something was said.
    pub fn moments(&self) -> (Option<Instant>, Vec<Instant>) {
        std::mem::take(&mut self.seen.moments.lock().expect("whole"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(
    mut tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    script: &[Act],
    seen: &Seen,
) -> io::Result<()> {
    if let Some(tls) = tls {
        return act(&mut tls.accept(tcp).await?, script, seen).await.map(drop);
    }
    if act(&mut tcp, script, seen).await? {
        socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

/// Plays the script; says whether the connection is to be reset.
async fn act<S>(stream: &mut S, script: &[Act], seen: &Seen) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut acts = script.iter();
    while let Some(act) = acts.next() {
        match act {
            Hear(text) => hear(stream, text, seen).await?,
            Say(bytes) => write(stream, bytes, seen).await?,
            Echo => {
                let heard = seen.heard.lock().expect("whole").clone();
                write(stream, &heard, seen).await?;
            }
            Pause(ms) => pause(*ms).await,
            Flood(text) => loop {
                write(stream, text.as_bytes(), seen).await?;
            },
            Drip(text) => {
                for byte in text.bytes().cycle() {
                    write(stream, &[byte], seen).await?;
                    pause(50).await;
                }
            }
            Hang => return stream.read_to_end(&mut Vec::new()).await.map(|_| false),
            Reset => return Ok(true),
            Again => acts = script.iter(),
        }
    }
    stream.shutdown().await?;
    stream.read_to_end(&mut Vec::new()).await.map(|_| false)
}

async fn hear<S: AsyncRead + Unpin>(stream: &mut S, text: &str, seen: &Seen) -> io::Result<()> {
    let mut heard = Vec::new();
    let mut chunk = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains(text) {
        let n = stream.read(&mut chunk).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        heard.extend_from_slice(&chunk[..n]);
        seen.heard.lock().expect("whole").extend_from_slice(&chunk[..n]);
        seen.moments.lock().expect("whole").0 = Some(Instant::now());
    }
    Ok(())
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, text: &[u8], seen: &Seen) -> io::Result<()> {
    let mut left = text;
    if text.len() < 100 {
        let mut moments = seen.moments.lock().expect("whole");
        if moments.1.len() < 100 {
            moments.1.push(Instant::now());
        }
    }
    while !left.is_empty() {
        let n = stream.write(left).await?;
        seen.n_said.fetch_add(n as u64, Relaxed);
        left = &left[n..];
    }
    stream.flush().await
}

/// The slowness of a slow target, and the time between two looks.
pub async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Looks until `look` finds something; fails after 20 s without.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < super::AMPLE, "waited in vain for {what}");
        pause(10).await;
    }
}
