//! HTTP requests over connections of our own: no redirects, no retries, no decompression.
//!
//! The latency ends with the last byte of the body, or with the byte at `max_body` where the
//! rest is discarded by closing. A larger body is as good as any other unless the text that is
//! expected in it does not stand in the part that was read.

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::net::{Metered, Stream, Wire};
use super::reason::{self, Failure};
use super::tls::{Alpn, Client, Clients, HANDSHAKE_MAX};
use super::trace::{Marks, Phase, Trace};
use super::{Env, net};
use crate::engine::fault::Cause;
use crate::model::BadReason;
use crate::model::check::{Connection, Endpoint, HttpCheck, HttpExpect, HttpVersion};

/// Largest head of an answer, in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// Most bytes beside the body that one answer may take: the head, interim answers, chunk sizes,
/// trailers and HTTP/2 frames. Beyond it the target is talking nonsense.
pub(super) const FRAMING_MAX: u64 = 256 * 1024;
/// How much of an answer an HTTP/2 target may send before we have read it.
const WINDOW: u32 = 64 * 1024;
/// Largest file that holds a header value.
const HEADER_FILE_MAX: u64 = 16 * 1024;
/// What we call ourselves.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("nines/", env!("CARGO_PKG_VERSION")));

/// An HTTP(S) request and the answer it must get.
pub(super) struct Http {
    endpoint: Endpoint,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    header_files: Vec<(HeaderName, PathBuf)>,
    body: Bytes,
    expect: HttpExpect,
    version: HttpVersion,
    tls: Option<Client>,
    max_body: usize,
    /// Where the connection of the probe before waits for the next; none for cold ones.
    warm: Option<Mutex<Option<Link>>>,
}

impl Http {
    pub(super) fn new(check: &HttpCheck, clients: &mut Clients) -> Self {
        let https = check.url.scheme_str() == Some("https");
        let endpoint = check.endpoint();
        let alpn = match check.version {
            HttpVersion::Auto => Alpn::Either,
            HttpVersion::Http1 => Alpn::Http1,
            HttpVersion::Http2 => Alpn::Http2,
        };
        Http {
            tls: https.then(|| clients.client(&endpoint.host, &check.tls, alpn)),
            endpoint,
            method: check.method.clone(),
            uri: check.url.clone(),
            headers: headers(check),
            header_files: check.header_files.clone(),
            body: check.body.clone().unwrap_or_default().into(),
            expect: check.expect.clone(),
            version: check.version,
            max_body: check.max_body,
            warm: (check.connection == Connection::Warm).then(Mutex::default),
        }
    }

    pub(super) async fn run(&self, trace: &mut Trace, env: &Env) -> Result<(), Failure> {
        let secrets = self.secrets().await?;
        let mut link = match self.waiting().await {
            Some(link) => link,
            None => self.open(trace, env).await?,
        };
        link.marks.reset();
        trace.enter(Phase::Exchange(link.marks.clone()));
        let body = self.exchange(&mut link, secrets, trace).await?;
        trace.stop();
        if let (Some(slot), false) = (&self.warm, body.cut) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
        }
        self.judge(&body, trace)
    }

    /// One request and the part of the answer that is read. What its head tells is judged on
    /// the way.
    async fn exchange(
        &self,
        link: &mut Link,
        secrets: Vec<(HeaderName, HeaderValue)>,
        trace: &mut Trace,
    ) -> Result<Body, Failure> {
        let request = self.request(secrets, link.sender.is_http2());
        let failed = |error: hyper::Error, marks: &Marks| {
            if error.is_incomplete_message() && !marks.answered() {
                return Failure::cut(BadReason::Protocol, "closed without an answer");
            }
            reason::talking(&error, marks.answered())
        };
        let answer = link.sender.send(request);
        let answer = drive(&mut link.driver, answer).await;
        let answer = answer.map_err(|error| failed(error, &link.marks))?;
        link.marks.answer();
        trace.judged = self.judge_head(&answer).err();
        let keep = self.expect.body_contains.is_some() && trace.judged.is_none();
        let body = read(&mut link.driver, answer.into_body(), self.max_body, keep).await;
        body.map_err(|error| failed(error, &link.marks))
    }

    fn judge(&self, body: &Body, trace: &mut Trace) -> Result<(), Failure> {
        match trace.judged.take() {
            Some(failure) => Err(failure),
            None => self.judge_body(body),
        }
    }

    /// Header values from files, read at each start so that a rotated secret is used at once.
    async fn secrets(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        let mut secrets = Vec::new();
        for (name, path) in &self.header_files {
            let wrong = |what: &dyn std::fmt::Display| {
                Failure::local(Cause::Local, format!("header file {}: {what}", path.display()))
            };
            let mut text = String::new();
            let file = tokio::fs::File::open(path).await.map_err(|error| wrong(&error))?;
            let read = file.take(HEADER_FILE_MAX).read_to_string(&mut text).await;
            read.map_err(|error| wrong(&error))?;
            if text.trim().is_empty() {
                return Err(wrong(&"is empty"));
            }
            let mut value = HeaderValue::from_str(text.trim())
                .map_err(|_| wrong(&"does not hold a header value on one line"))?;
            value.set_sensitive(true);
            secrets.push((name.clone(), value));
        }
        Ok(secrets)
    }

    fn request(&self, secrets: Vec<(HeaderName, HeaderValue)>, h2: bool) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        for (name, value) in secrets {
            request.headers_mut().insert(name, value);
        }
        if h2 {
            *request.version_mut() = Version::HTTP_2;
            *request.uri_mut() = self.uri.clone();
            // HTTP/2 carries it as :authority.
            request.headers_mut().remove(HOST);
        } else if let Some(path) = self.uri.path_and_query() {
            *request.uri_mut() = Uri::from(path.clone());
        }
        request
    }

    /// The connection of the probe before, if the target has not closed it.
    async fn waiting(&self) -> Option<Link> {
        let slot = self.warm.as_ref()?;
        let mut link = slot.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        link.sender.ready().await.then_some(link)
    }

    async fn open(&self, trace: &mut Trace, env: &Env) -> Result<Link, Failure> {
        let address = env.address(&self.endpoint, trace).await?;
        trace.enter(Phase::Connect);
        // One small packet needs no haste; everything else must not wait for acknowledgements.
        let plain = self.tls.is_none() && self.version != HttpVersion::Http2;
        let tcp = net::connect(address, !plain || !self.body.is_empty() || self.warm.is_some());
        let tcp = tcp.await?;
        let (marks, n_read_max) = (Marks::new(), FRAMING_MAX + self.max_body as u64);
        let (stream, h2) = match &self.tls {
            None => (Stream::Plain(tcp), self.version == HttpVersion::Http2),
            Some(client) => {
                // Twice, because every record has a head and a seal, and records may be small.
                let tcp = Metered::new(tcp, marks.clone(), HANDSHAKE_MAX + 2 * n_read_max);
                let tls = Box::pin(client.handshake(tcp, trace)).await?;
                let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                if self.version == HttpVersion::Http2 && !h2 {
                    let text = "the target does not offer HTTP/2";
                    return Err(Failure::bad(BadReason::Protocol, text));
                }
                (Stream::Tls(Box::new(tls)), h2)
            }
        };
        trace.enter(Phase::Exchange(marks.clone()));
        let link = Link::over(Wire::new(stream, marks.clone(), n_read_max, !h2), h2, marks);
        let mut link = link.await?;
        if self.warm.is_some()
            && let Some(driver) = link.driver.take()
        {
            // It must see the target close it while nobody is probing.
            tokio::spawn(driver);
        }
        Ok(link)
    }

    fn judge_head(&self, answer: &Response<Incoming>) -> Result<(), Failure> {
        let status = answer.status().as_u16();
        if !self.expect.status.iter().any(|(from, to)| (*from..=*to).contains(&status)) {
            let text = format!("status {status}, expected {}", ranges(&self.expect.status));
            return Err(Failure::bad(BadReason::Status, text));
        }
        for (name, value) in &self.expect.headers {
            let mut found = answer.headers().get_all(name).iter().peekable();
            if found.peek().is_none() {
                let text = format!("the answer lacks the header {name}");
                return Err(Failure::bad(BadReason::Header, text));
            }
            if let Some(value) = value
                && !found.any(|found| found.as_bytes() == value.as_bytes())
            {
                let text = format!("the header {name} has another value than expected");
                return Err(Failure::bad(BadReason::Header, text));
            }
        }
        Ok(())
    }

    fn judge_body(&self, body: &Body) -> Result<(), Failure> {
        let Some(text) = &self.expect.body_contains else { return Ok(()) };
        if String::from_utf8_lossy(&body.kept).contains(text.as_str()) {
            return Ok(());
        }
        let n = body.kept.len();
        let text = match body.cut {
            true => format!("the first {n} bytes of the body lack the expected text"),
            false => format!("the body of {n} bytes lacks the expected text"),
        };
        Err(Failure::bad(BadReason::Body, text))
    }
}

/// What every request of this probe says, secrets apart.
fn headers(check: &HttpCheck) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(check.headers.len() + check.header_files.len() + 3);
    let host = check.url.authority().map_or("", |authority| authority.as_str());
    // An authority is ASCII without control characters, so the other value never comes up.
    headers.insert(HOST, HeaderValue::from_str(host).unwrap_or(HeaderValue::from_static("")));
    headers.insert(USER_AGENT, AGENT);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    let mut ours = vec![HOST, USER_AGENT, ACCEPT];
    for (name, value) in &check.headers {
        // The first of a name replaces what we would have said, the others stand beside it.
        match ours.iter().position(|our| our == name) {
            Some(at) => drop((ours.swap_remove(at), headers.insert(name, value.clone()))),
            None => drop(headers.append(name, value.clone())),
        }
    }
    headers
}

fn ranges(ranges: &[(u16, u16)]) -> String {
    let one = |(from, to): &(u16, u16)| match from == to {
        true => from.to_string(),
        false => format!("{from}-{to}"),
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A connection that requests can be sent over.
struct Link {
    sender: Sender,
    /// What moves the bytes; none once it runs as a task of its own, or has ended.
    driver: Option<Driver>,
    marks: Arc<Marks>,
}

impl Link {
    /// Greets over a connection that has just been made.
    async fn over<S>(wire: Wire<S>, h2: bool, marks: Arc<Marks>) -> Result<Self, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let wire = TokioIo::new(wire);
        let link = match h2 {
            true => Box::pin(Link::http2(wire, marks)).await,
            false => Link::http1(wire, marks).await,
        };
        link.map_err(|error| reason::talking(&error, false))
    }

    async fn http1<S>(wire: TokioIo<Wire<S>>, marks: Arc<Marks>) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, driver) = http1::Builder::new().max_buf_size(HEAD_MAX).handshake(wire).await?;
        Ok(Link { sender: Sender::Http1(sender), driver: Some(Box::pin(driver)), marks })
    }

    async fn http2<S>(wire: TokioIo<Wire<S>>, marks: Arc<Marks>) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEAD_MAX as u32)
            .handshake(wire)
            .await?;
        Ok(Link { sender: Sender::Http2(sender), driver: Some(Box::pin(driver)), marks })
    }
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    fn is_http2(&self) -> bool {
        matches!(self, Sender::Http2(_))
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        }
    }

    /// Whether another request can be sent, once that is known.
    async fn ready(&mut self) -> bool {
        match self {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }
}

/// Awaits `future` while moving the bytes it depends on, in this task: a task for each
/// connection would cost more than the connection itself.
async fn drive<F: Future>(driver: &mut Option<Driver>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        let Some(running) = driver else { return Poll::Pending };
        if running.as_mut().poll(cx).is_ready() {
            // Its error, if any, reaches whoever waits for an answer.
            *driver = None;
        }
        future.as_mut().poll(cx)
    })
    .await
}

/// What was read of a body.
struct Body {
    /// Empty unless it was to be kept.
    kept: Vec<u8>,
    /// Whether the body goes on.
    cut: bool,
}

async fn read(
    driver: &mut Option<Driver>,
    mut incoming: Incoming,
    n_max: usize,
    keep: bool,
) -> hyper::Result<Body> {
    let mut body = Body { kept: Vec::new(), cut: false };
    let mut n_left = n_max;
    while let Some(frame) = drive(driver, incoming.frame()).await {
        let Ok(data) = frame?.into_data() else { continue };
        if keep {
            body.kept.extend_from_slice(&data[..data.len().min(n_left)]);
        }
        if data.len() > n_left {
            body.cut = true;
            break;
        }
        n_left -= data.len();
    }
    Ok(body)
}

#[cfg(test)]
impl Http {
    /// Whether a connection waits that the target has not closed.
    pub(super) async fn is_warm(&self) -> bool {
        let Some(link) = self.waiting().await else { return false };
        if let Some(slot) = &self.warm {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
        }
        true
    }
}

#[cfg(feature = "fuzzing")]
impl Http {
    /// A whole exchange over a connection that is there.
    pub(super) async fn talk<S>(
        &self,
        wire: Wire<S>,
        h2: bool,
        marks: Arc<Marks>,
        trace: &mut Trace,
    ) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut link = Link::over(wire, h2, marks).await?;
        let body = self.exchange(&mut link, Vec::new(), trace).await?;
        self.judge(&body, trace)
    }
}
