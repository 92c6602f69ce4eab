//! Connections that probes open: counted, bounded, and gone without a trace when dropped.
//!
//! Every socket lingers for zero seconds, so that dropping it resets the connection and leaves
//! no TIME_WAIT here: with it, 28,000 ports allow only 470 probes a second of one target.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::reason::{self, Failure};
use super::trace::Marks;

/// Connects. `no_delay` is for conversations of more than one small packet in a row.
pub(super) async fn connect(to: SocketAddr, no_delay: bool) -> Result<TcpStream, Failure> {
    let stream = begin(to, no_delay).map_err(|error| reason::connecting(&error, true))?;
    let done = async {
        stream.writable().await?;
        stream.take_error()?.map_or(Ok(()), Err)
    };
    done.await.map_err(|error| reason::connecting(&error, false))?;
    Ok(stream)
}

/// Everything that happens within this machine: an error in here is nobody else's word.
fn begin(to: SocketAddr, no_delay: bool) -> io::Result<TcpStream> {
    /// `EINPROGRESS` has no kind in the standard library.
    const EINPROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(to), kind, Some(Protocol::TCP))?;
    socket.set_linger(Some(Duration::ZERO))?;
    if no_delay {
        socket.set_tcp_nodelay(true)?;
    }
    match socket.connect(&SockAddr::from(to)) {
        Err(error)
            if error.raw_os_error() != Some(EINPROGRESS)
                && error.kind() != io::ErrorKind::WouldBlock =>
        {
            return Err(error);
        }
        _ => {}
    }
    TcpStream::from_std(socket.into())
}

/// A connection, in the clear or encrypted.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Metered>>),
}

/// The bytes below TLS, counted: handshakes and what else never becomes part of an answer, such
/// as tickets and key updates without end, are bounded here.
pub(super) struct Metered {
    tcp: TcpStream,
    marks: Arc<Marks>,
    n_read_max: u64,
}

impl Metered {
    /// Allows at most `n_read_max` bytes between two resets of the marks.
    pub(super) fn new(tcp: TcpStream, marks: Arc<Marks>, n_read_max: u64) -> Self {
        Metered { tcp, marks, n_read_max }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.tcp).poll_read(cx, buf);
        let n = buf.filled().len() - before;
        match n > 0 && this.marks.arrived(n) > this.n_read_max {
            true => Poll::Ready(Err(endless(this.n_read_max))),
            false => polled,
        }
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

fn endless(n_max: u64) -> io::Error {
    let text = format!("the target does not come to an end within {n_max} bytes, framing included");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    /// Does nothing: the connection is reset when it is dropped, and a farewell before that
    /// would only cost a packet.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A connection that leaves marks and gives up on a target that never stops talking.
pub(super) struct Wire<S> {
    stream: S,
    marks: Arc<Marks>,
    n_read_max: u64,
    /// Whether the first byte that arrives begins the answer. HTTP/2 talks about itself first.
    answers: bool,
}

impl<S> Wire<S> {
    /// Allows at most `n_read_max` bytes of answer between two resets of the marks.
    pub(super) fn new(stream: S, marks: Arc<Marks>, n_read_max: u64, answers: bool) -> Self {
        Wire { stream, marks, n_read_max, answers }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        let n = buf.filled().len() - before;
        if n > 0 && this.answers {
            this.marks.answer();
        }
        if n > 0 && this.marks.read(n) > this.n_read_max {
            return Poll::Ready(Err(endless(this.n_read_max)));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(_)) = polled {
            this.marks.wrote();
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
