//! What a probe does to its target, and what it expects to find.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::source::Source;
use super::text::ParseError;

/// One kind of probe with everything it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most probes are HTTP; a box would only cost more")]
pub enum Check {
    /// An HTTP or HTTPS request.
    Http(HttpCheck),
    /// A TCP connection, with an optional exchange of bytes.
    Tcp(TcpCheck),
    /// A TLS handshake.
    Tls(TlsCheck),
    /// A name that must have an address. No spec asks for it; see [`super::settings::References`].
    Name(String),
    /// Nothing at all: somebody else counts.
    Source(Source),
}

impl Check {
    /// Who counts, if that is somebody else.
    pub const fn source(&self) -> Option<&Source> {
        match self {
            Check::Source(source) => Some(source),
            _ => None,
        }
    }

    /// The word for the kind, as in the spec language.
    pub const fn kind(&self) -> &'static str {
        match self {
            Check::Http(_) => "http",
            Check::Tcp(_) => "tcp",
            Check::Tls(_) => "tls",
            Check::Name(_) => "name",
            Check::Source(source) => source.kind(),
        }
    }

    /// What is connected to, if anything is.
    pub fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Check::Http(check) => Some(check.endpoint()),
            Check::Tcp(check) => Some(check.endpoint.clone()),
            Check::Tls(check) => Some(check.endpoint.clone()),
            Check::Name(_) | Check::Source(_) => None,
        }
    }

    /// What is probed, for people; holds no secret.
    pub fn target(&self) -> String {
        match self {
            Check::Http(check) => without_values(&check.url),
            Check::Tcp(check) => check.endpoint.to_string(),
            Check::Tls(check) => check.endpoint.to_string(),
            Check::Name(name) => name.clone(),
            Check::Source(source) => source.to_string(),
        }
    }
}

/// A URL with the keys of its query, but not with their values, which may be keys of another
/// kind.
fn without_values(url: &http::Uri) -> String {
    let text = url.to_string();
    let Some((before, query)) = text.split_once('?') else { return text };
    let hidden = |pair: &str| match pair.split_once('=') {
        Some((key, _)) => format!("{key}=…"),
        None => "…".to_owned(),
    };
    format!("{before}?{}", query.split('&').map(hidden).collect::<Vec<_>>().join("&"))
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A DNS name, or an IP address without brackets.
    pub host: String,
    /// The port, 1 to 65535.
    pub port: u16,
}

impl Endpoint {
    /// The address, if the host is one already.
    pub fn literal(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| (ip, self.port).into())
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl std::str::FromStr for Endpoint {
    type Err = ParseError;

    /// Reads `host:port` and `[v6]:port`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fail = || ParseError::new(text, "a host and a port, such as db.example:5432");
        let (host, port) = text.rsplit_once(':').ok_or_else(fail)?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bracketed {
            Some(v6) => {
                v6.parse::<std::net::Ipv6Addr>().map(|ip| ip.to_string()).map_err(|_| fail())?
            }
            None => host.to_owned(),
        };
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(fail)?;
        let plain = bracketed.is_some()
            || host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if host.is_empty() || host.len() > 253 || !plain {
            return Err(fail());
        }
        Ok(Endpoint { host, port })
    }
}

/// An HTTP(S) request and the answer it must get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// Where to. Scheme `http` or `https`, no user info.
    pub url: http::Uri,
    /// The method.
    pub method: http::Method,
    /// Headers to send beside `Host`, `User-Agent` and `Accept`.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Header values that are read from a file at each start, so that no secret stands in a spec.
    pub header_files: Vec<(http::HeaderName, PathBuf)>,
    /// The body to send.
    pub body: Option<String>,
    /// What makes an answer good.
    pub expect: HttpExpect,
    /// Which protocol version to speak.
    pub version: HttpVersion,
    /// How TLS is verified, for `https`.
    pub tls: TlsOptions,
    /// Whether every probe opens a connection of its own.
    pub connection: Connection,
    /// How much of the body is read, in bytes.
    pub max_body: usize,
}

impl HttpCheck {
    /// What is connected to: the URL's host, at its port or the usual one of its scheme.
    pub fn endpoint(&self) -> Endpoint {
        let host = self.url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let usual = if self.url.scheme_str() == Some("https") { 443 } else { 80 };
        Endpoint { host, port: self.url.port_u16().unwrap_or(usual) }
    }
}

/// What makes an HTTP answer good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpExpect {
    /// Accepted status codes as inclusive ranges; never empty.
    pub status: Vec<(u16, u16)>,
    /// Headers that must be there, with this exact value or with any value.
    pub headers: Vec<(http::HeaderName, Option<String>)>,
    /// Text that the part of the body that is read must contain.
    pub body_contains: Option<String>,
}

impl Default for HttpExpect {
    fn default() -> Self {
        HttpExpect { status: vec![(200, 299)], headers: Vec::new(), body_contains: None }
    }
}

/// The version of HTTP a probe speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// What ALPN settles on for `https`, HTTP/1.1 for `http`.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, with prior knowledge on `http`.
    Http2,
}

/// Whether probes share a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// A fresh name lookup, connection and handshake for every probe.
    #[default]
    Cold,
    /// The connection of the probe before, if it is still there.
    Warm,
}

impl Connection {
    /// The word in the spec language and in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Connection::Cold => "cold",
            Connection::Warm => "warm",
        }
    }
}

/// How the target's certificate is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The name to ask for and to verify, if it is not the host.
    pub server_name: Option<String>,
    /// Certificates to trust in place of the system's, PEM.
    pub ca_file: Option<PathBuf>,
}

/// A TCP connection, with an optional exchange of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpCheck {
    /// Where to.
    pub endpoint: Endpoint,
    /// What to send once connected.
    pub send: Option<String>,
    /// Text that must arrive, after what was sent if something was.
    pub expect: Option<String>,
}

/// A TLS handshake and the certificate it must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsCheck {
    /// Where to.
    pub endpoint: Endpoint,
    /// How the certificate is verified.
    pub tls: TlsOptions,
    /// The least time for which every certificate of the chain must still be valid.
    pub min_validity: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_where_a_probe_goes_but_no_value_of_its_query() {
        for (url, shown) in [
            ("http://h/", "http://h/"),
            ("https://h:1/a/b?", "https://h:1/a/b?…"),
            ("http://h/?token=s3cret&x=1", "http://h/?token=…&x=…"),
            ("http://h/?s3cret", "http://h/?…"),
            ("http://h/?a=s3=cret&s3cret", "http://h/?a=…&…"),
        ] {
            assert_eq!(without_values(&url.parse().expect("a URL")), shown);
        }
    }
}
