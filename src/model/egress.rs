//! Where probes may connect to: networks and ports that the operator allows or denies.
//!
//! Judges addresses, never names: whoever connects resolves first, asks here, and connects to the
//! very address that was judged. What it keeps true: a denial beats every permission; an address
//! that is written in another form (IPv4 within IPv6) is judged as what it reaches; the addresses
//! at which clouds hand out credentials stay closed until one of them is allowed by itself.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use super::text::ParseError;

/// What probes may reach. The default allows everything but the metadata addresses of clouds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// If there are any, an address must match one of them.
    pub allow: Vec<Rule>,
    /// An address that matches one of them is never reached.
    pub deny: Vec<Rule>,
}

impl Egress {
    /// Whether `to` may be connected to.
    ///
    /// # Errors
    /// The rule that says no.
    pub fn check(&self, to: SocketAddr) -> Result<(), Denied> {
        let (ip, inner) = forms(to.ip());
        for ip in [Some(ip), inner].into_iter().flatten() {
            if let Some(rule) = self.deny.iter().find(|rule| rule.matches(ip, to.port())) {
                return Err(Denied { to, why: Why::Rule(*rule) });
            }
            let by_name = |rule: &&Rule| rule.is_single() && rule.matches(ip, to.port());
            if is_metadata(ip) && !self.allow.iter().any(|rule| by_name(&rule)) {
                return Err(Denied { to, why: Why::Metadata });
            }
        }
        match self.allow.is_empty() || self.allow.iter().any(|rule| rule.matches(ip, to.port())) {
            true => Ok(()),
            false => Err(Denied { to, why: Why::NotAllowed }),
        }
    }
}

/// A network, and the ports in it that are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    net: IpNet,
    /// First and last port; none for every port.
    ports: Option<(u16, u16)>,
}

impl Rule {
    fn matches(&self, ip: IpAddr, port: u16) -> bool {
        self.net.contains(&ip) && self.ports.is_none_or(|(from, to)| (from..=to).contains(&port))
    }

    /// Whether it speaks of one address alone.
    fn is_single(&self) -> bool {
        self.net.prefix_len() == self.net.max_prefix_len()
    }
}

impl FromStr for Rule {
    type Err = ParseError;

    /// Reads a network or an address, with a port or a range of ports after a colon if not every
    /// port is meant. IPv6 stands in brackets then.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        const EXPECTED: &str = "a network such as 10.0.0.0/8, 10.1.2.3:443, 10.0.0.0/8:8000-8999 \
                                or [fd00::/8]:443, without bits beyond its length";
        let fail = || ParseError::new(text, EXPECTED);
        let (net, ports) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']').ok_or_else(fail)? {
                (net, "") => (net, None),
                (net, ports) => (net, Some(ports.strip_prefix(':').ok_or_else(fail)?)),
            },
            None if text.matches(':').count() == 1 => {
                let (net, ports) = text.split_once(':').ok_or_else(fail)?;
                (net, Some(ports))
            }
            None => (text, None),
        };
        let net = match net.contains('/') {
            true => net.parse().map_err(|_| fail())?,
            false => IpNet::from(net.parse::<IpAddr>().map_err(|_| fail())?),
        };
        if net != net.trunc() {
            return Err(fail());
        }
        let port = |text: &str| text.parse().ok().filter(|p| *p > 0 && !text.starts_with('+'));
        let range = |text: &str| match text.split_once('-') {
            Some((from, to)) => port(from).zip(port(to)).filter(|(from, to)| from <= to),
            None => port(text).map(|port| (port, port)),
        };
        let ports = ports.map(|ports| range(ports).ok_or_else(fail)).transpose()?;
        Ok(Rule { net: plain(net).ok_or_else(fail)?, ports })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.net, self.ports) {
            (net, None) => write!(f, "{net}"),
            (IpNet::V6(net), Some((from, to))) if from == to => write!(f, "[{net}]:{from}"),
            (IpNet::V6(net), Some((from, to))) => write!(f, "[{net}]:{from}-{to}"),
            (net, Some((from, to))) if from == to => write!(f, "{net}:{from}"),
            (net, Some((from, to))) => write!(f, "{net}:{from}-{to}"),
        }
    }
}

/// An address that may not be reached, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the egress policy denies {to}: {why}")]
pub struct Denied {
    to: SocketAddr,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Rule(Rule),
    Metadata,
    NotAllowed,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Rule(rule) => write!(f, "`{rule}` stands in egress.deny"),
            Why::Metadata => f.write_str(
                "cloud metadata is denied unless egress.allow names this address by itself",
            ),
            Why::NotAllowed => f.write_str("no rule of egress.allow matches"),
        }
    }
}

/// Where instances of a cloud find credentials and their own configuration.
const METADATA: [IpAddr; 9] = [
    // AWS, Azure, Google, Oracle, DigitalOcean, OpenStack and others.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    // AWS: credentials of tasks and of pods.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    // Azure: the platform's own channel into the machine.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Alibaba.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle, as it was before.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // AWS over IPv6: instances, pods.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // Google over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

fn is_metadata(ip: IpAddr) -> bool {
    METADATA.contains(&ip)
}

/// What an address reaches, and the IPv4 address that a gateway may make of it.
///
/// `::ffff:a.b.c.d` is the same as `a.b.c.d` to the kernel, and the unspecified address is this
/// machine. RFC 6052 (NAT64), RFC 3056 (6to4) and RFC 4291 2.5.5.1 (IPv4-compatible) carry an
/// IPv4 address to which others translate.
fn forms(ip: IpAddr) -> (IpAddr, Option<IpAddr>) {
    let ip = match ip.to_canonical() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let IpAddr::V6(v6) = ip else { return (ip, None) };
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    };
    let inner = match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 => v4(high, low),
        _ => None,
    };
    (ip, inner)
}

/// The network as addresses are judged: IPv4 within IPv6 as IPv4; none where it holds both.
fn plain(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = net else { return Some(net) };
    match v6.addr().to_ipv4_mapped() {
        Some(v4) => IpNet::new(v4.into(), v6.prefix_len().checked_sub(96)?).ok(),
        None => Some(net),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn egress(allow: &[&str], deny: &[&str]) -> Egress {
        let rules =
            |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a rule")).collect();
        Egress { allow: rules(allow), deny: rules(deny) }
    }

    #[track_caller]
    fn check(policy: &Egress, to: &str, expect: Result<(), &str>) {
        let denied = policy.check(to.parse().expect("an address")).map_err(|d| d.to_string());
        match (denied, expect) {
            (Ok(()), Ok(())) => {}
            (Err(denied), Err(part)) if denied.contains(part) => {}
            (found, _) => panic!("{to}: {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn everything_but_cloud_metadata_is_allowed_without_rules() {
        let policy = Egress::default();
        for to in ["127.0.0.1:1", "10.0.0.1:80", "[::1]:1", "169.254.1.1:80", "8.8.8.8:53"] {
            check(&policy, to, Ok(()));
        }
        for to in [
            "169.254.169.254:80",
            "[::ffff:169.254.169.254]:80",
            "[::ffff:a9fe:a9fe]:80",
            "[::169.254.169.254]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[2002:a9fe:a9fe::1]:80",
            "169.254.170.2:443",
            "100.100.100.200:80",
            "[fd00:ec2::254]:80",
        ] {
            check(&policy, to, Err("cloud metadata"));
        }
    }

    #[test]
    fn metadata_is_opened_only_by_its_own_address() {
        for wide in ["0.0.0.0/0", "169.254.0.0/16", "169.254.169.254/31"] {
            check(&egress(&[wide], &[]), "169.254.169.254:80", Err("cloud metadata"));
        }
        let policy = egress(&["169.254.169.254:80"], &[]);
        check(&policy, "169.254.169.254:80", Ok(()));
        check(&policy, "[::ffff:169.254.169.254]:80", Ok(()));
        check(&policy, "169.254.169.254:81", Err("cloud metadata"));
        check(&policy, "169.254.170.2:80", Err("cloud metadata"));
        check(&policy, "10.0.0.1:80", Err("no rule of egress.allow"));
    }

    #[test]
    fn a_denial_beats_a_permission_and_names_its_rule() {
        let policy = egress(&["10.0.0.0/8", "[fd00::/8]:443"], &["10.9.0.0/16:22-25", "10.8.0.1"]);
        check(&policy, "10.9.1.1:80", Ok(()));
        check(&policy, "10.9.1.1:22", Err("`10.9.0.0/16:22-25` stands in egress.deny"));
        check(&policy, "10.9.1.1:25", Err("egress.deny"));
        check(&policy, "[::ffff:10.9.1.1]:25", Err("egress.deny"));
        check(&policy, "10.8.0.1:1", Err("`10.8.0.1/32`"));
        check(&policy, "11.0.0.1:1", Err("no rule"));
        check(&policy, "[fd00::1]:443", Ok(()));
        check(&policy, "[fd00::1]:80", Err("no rule"));
    }

    #[test]
    fn the_unspecified_address_is_this_machine() {
        let policy = egress(&[], &["127.0.0.0/8", "::1"]);
        for to in ["0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1", "127.9.9.9:1", "[::1]:1"] {
            check(&policy, to, Err("egress.deny"));
        }
    }

    #[test]
    fn rules_are_read_and_written_alike() {
        for (text, written) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3:443", "10.1.2.3/32:443"),
            ("10.0.0.0/8:80-90", "10.0.0.0/8:80-90"),
            ("::/0", "::/0"),
            ("fd00::1", "fd00::1/128"),
            ("[fd00::/8]:443", "[fd00::/8]:443"),
            ("[fd00::1]", "fd00::1/128"),
            ("[fd00::/8]:1-2", "[fd00::/8]:1-2"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ] {
            let rule: Rule = text.parse().expect(text);
            assert_eq!(rule.to_string(), written);
            assert_eq!(written.parse(), Ok(rule));
        }
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "example.org",
            "10.0.0.0/8:0",
            "[::1",
            "10.0.0.0/8:9-1",
            "10.0.0.0/8:65536",
            "10.0.0.0/8:",
            "10.0.0.0/8:+1",
            "[::1]443",
            "::ffff:0:0/90",
            "2130706433",
            "0x7f.1",
            "127.1",
        ] {
            let read = bad.parse::<Rule>();
            assert_eq!(read.is_err(), bad != "10.0.0.0", "{bad:?}: {read:?}");
        }
    }

    proptest! {
        /// However an IPv4 address is written, the verdict is the same.
        #[test]
        fn a_mapped_address_is_judged_as_the_address_in_it(
            bits: u32, port: u16, net in 0_u32.., len in 0_u8..=32, allow: bool,
        ) {
            let net = IpNet::new(Ipv4Addr::from(net).into(), len).expect("a length").trunc();
            let rule = Rule { net, ports: None };
            let policy = match allow {
                true => Egress { allow: vec![rule], deny: Vec::new() },
                false => Egress { allow: Vec::new(), deny: vec![rule] },
            };
            let v4 = Ipv4Addr::from(bits);
            let plain = policy.check((v4, port).into()).is_ok();
            prop_assert_eq!(policy.check((v4.to_ipv6_mapped(), port).into()).is_ok(), plain);
        }
    }
}
