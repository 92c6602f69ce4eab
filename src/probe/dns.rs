//! From a host to the one address that is probed.
//!
//! Literal addresses and the hosts file are taken as they stand; every other name is asked for
//! anew each time, without a cache. The first address of the answer is probed, IPv4 before IPv6,
//! and no other is tried: a second attempt would hide that the first one failed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::{Hosts, TokioResolver};

use super::reason::{self, Failure};
use crate::engine::fault::Cause;
use crate::model::BadReason;

/// How long one name server is waited for before the next is asked. Shorter than the usual 5 s,
/// so that a probe with a common timeout still gets an answer from the second one.
const ATTEMPT: Duration = Duration::from_millis(1_500);

/// The names of this machine's hosts file, and its name servers.
pub(super) struct Dns {
    hosts: Hosts,
    resolver: Result<TokioResolver, String>,
}

impl Dns {
    /// Asks the name servers of this machine, or exactly these if there are any. Belongs to the
    /// runtime in which it is used first.
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        let resolver = if servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = servers.iter().map(server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
        };
        let resolver = resolver.and_then(|mut builder| {
            let options = builder.options_mut();
            options.cache_size = 0;
            options.use_hosts_file = ResolveHosts::Never;
            options.timeout = options.timeout.min(ATTEMPT);
            builder.build()
        });
        Dns {
            hosts: Hosts::from_system().unwrap_or_default(),
            resolver: resolver.map_err(|error| error.to_string()),
        }
    }

    /// The address of a host.
    ///
    /// # Errors
    /// `dns` if a resolver answered that there is none; a fault of this machine if none answered.
    pub(super) async fn address(&self, host: &str) -> Result<IpAddr, Failure> {
        let bad = |text: &str| Failure::bad(BadReason::Dns, format!("{host}: {text}"));
        let name = Name::from_utf8(host).map_err(|_| bad("not a name that DNS could know"))?;
        if let Some(address) = self.in_hosts_file(&name) {
            return Ok(address);
        }
        let resolver = self.resolver.as_ref().map_err(|error| {
            Failure::local(Cause::Local, format!("no resolver: {error}; mend /etc/resolv.conf"))
        })?;
        let mut negative = None;
        for kind in [RecordType::A, RecordType::AAAA] {
            match resolver.lookup(name.clone(), kind).await {
                Ok(found) => match first_address(found.answers()) {
                    Some(address) => return Ok(address),
                    None => negative = Some("has no address"),
                },
                Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
                    ResponseCode::NXDomain => return Err(bad("does not exist (NXDOMAIN)")),
                    _ => negative = Some("has no address"),
                },
                Err(error) => return Err(unanswered(host, &error)),
            }
        }
        Err(bad(negative.unwrap_or("has no address")))
    }

    fn in_hosts_file(&self, name: &Name) -> Option<IpAddr> {
        [RecordType::A, RecordType::AAAA].into_iter().find_map(|kind| {
            let found = self.hosts.lookup_static_host(&Query::query(name.clone(), kind))?;
            first_address(found.answers())
        })
    }
}

/// The one that is probed, however many there are.
pub(super) fn first_address(answers: &[Record]) -> Option<IpAddr> {
    answers.iter().find_map(|record| record.data.ip_addr())
}

/// No name server answered, or this machine could not ask one.
fn unanswered(host: &str, error: &NetError) -> Failure {
    let lack = match error {
        NetError::Io(error) => reason::lack(error),
        _ => None,
    };
    Failure::local(lack.unwrap_or(Cause::Resolver), format!("resolving {host}: {error}"))
}

/// A name server at any port, asked by UDP and, for long answers, by TCP.
fn server(at: &SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = at.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(on_port);
    NameServerConfig::new(at.ip(), true, connections.to_vec())
}
