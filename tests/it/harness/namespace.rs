//! A network namespace that is joined to ours by two cables: the uplink, which a test may cut,
//! and a service cable, over which the test goes on talking to what runs inside.
//!
//! Needs root. Every name and address is of this process and this test alone, and all of it is
//! gone when dropped.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::process::{program, run};

/// Longest time a change of the network takes.
const LIMIT: Duration = Duration::from_secs(20);
/// Networks of eight addresses (/29) in 198.18.0.0/16; this and the next /16 are set aside for
/// tests of network devices (RFC 2544), so nobody lives there.
const NETWORKS: u32 = 8_192;

/// A namespace.
pub struct Namespace {
    name: String,
    network: u32,
}

impl Namespace {
    /// A namespace with both cables up.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let network = std::process::id().wrapping_mul(31).wrapping_add(n) % NETWORKS;
        let name = format!("nines-{}-{n}", std::process::id());
        let namespace = Namespace { name, network };
        namespace.ip(&format!("netns add {}", namespace.name));
        namespace.inside(&["ip", "link", "set", "lo", "up"]);
        for (cable, inner) in [(Cable::Uplink, "uplink"), (Cable::Service, "service")] {
            let (outer, name) = (namespace.end(cable), &namespace.name);
            namespace.ip(&format!("link add {outer} type veth peer name {inner} netns {name}"));
            let local = namespace.address(cable, 1).to_string();
            let own = namespace.address(cable, 6).to_string();
            namespace.inside(&["ip", "addr", "add", &local, "peer", &own, "dev", inner]);
            namespace.inside(&["ip", "link", "set", inner, "up"]);
            namespace.ip(&format!("addr add {own}/29 dev {outer}"));
            namespace.ip(&format!("link set {outer} up"));
        }
        namespace.add_route();
        (0..4).for_each(|n| namespace.set_beyond(n, true));
        namespace
    }

    /// The address of the namespace on the service cable.
    pub fn service(&self) -> IpAddr {
        self.address(Cable::Service, 1)
    }

    /// One of four addresses outside, 0 to 3, beyond the uplink.
    pub fn beyond_uplink(&self, n: u8) -> IpAddr {
        self.address(Cable::Uplink, 2 + n)
    }

    /// The address of this process on the service cable.
    pub fn outside(&self) -> IpAddr {
        self.address(Cable::Service, 6)
    }

    /// The words before a command that make it run inside.
    pub fn wrapper(&self) -> Vec<String> {
        let ip = program("ip", "iproute2").display().to_string();
        [ip.as_str(), "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// Pulls the plug at the far end, or puts it in again: the namespace still has its routes.
    pub fn set_far_end(&self, up: bool) {
        let (end, state) = (self.end(Cable::Uplink), if up { "up" } else { "down" });
        self.ip(&format!("link set {end} {state}"));
    }

    /// Takes the interface inside down, or up again: without it there is no route.
    pub fn set_near_end(&self, up: bool) {
        self.inside(&["ip", "link", "set", "uplink", if up { "up" } else { "down" }]);
        if up {
            self.add_route();
        }
    }

    /// What lies beyond the uplink is reached by a gateway, as the world is: the namespace looks
    /// for one neighbour after a cut, and not for each address at a time of its own.
    fn add_route(&self) {
        let network = format!("{}/29", self.address(Cable::Uplink, 0));
        let gateway = self.address(Cable::Uplink, 6).to_string();
        self.inside(&["ip", "route", "add", &network, "via", &gateway, "dev", "uplink"]);
    }

    /// Lets one of the four addresses outside vanish, or come back: nobody answers for it.
    pub fn set_beyond(&self, n: u8, there: bool) {
        let verb = if there { "add" } else { "del" };
        let (address, end) = (self.beyond_uplink(n), self.end(Cable::Uplink));
        // Each for itself: with the first address of a network the kernel drops all others.
        self.ip(&format!("addr {verb} {address}/32 dev {end}"));
    }

    /// Writes a setting of the namespace's own, such as `ipv4/ip_local_port_range`.
    pub fn set(&self, setting: &str, value: &str) {
        self.inside(&["sh", "-c", "echo \"$0\" > /proc/sys/net/\"$1\"", value, setting]);
    }

    fn end(&self, cable: Cable) -> String {
        match cable {
            Cable::Uplink => format!("nup{}", self.network),
            Cable::Service => format!("nsv{}", self.network),
        }
    }

    fn address(&self, cable: Cable, host: u8) -> IpAddr {
        let base = match cable {
            Cable::Uplink => u32::from(Ipv4Addr::new(198, 18, 0, 0)),
            Cable::Service => u32::from(Ipv4Addr::new(198, 19, 0, 0)),
        };
        Ipv4Addr::from(base + self.network * 8 + u32::from(host)).into()
    }

    fn inside(&self, words: &[&str]) {
        let wrapper = self.wrapper();
        let mut command = Command::new(&wrapper[0]);
        command.args(&wrapper[1..]).args(words);
        self.done(&mut command, &words.join(" "));
    }

    fn ip(&self, words: &str) {
        let mut command = Command::new(program("ip", "iproute2"));
        command.args(words.split(' '));
        self.done(&mut command, words);
    }

    fn done(&self, command: &mut Command, what: &str) {
        let ran = run("ip", command, b"", LIMIT);
        assert_eq!(
            ran.code,
            Some(0),
            "`{what}` for {}: {} (network namespaces need root)",
            self.name,
            ran.stderr
        );
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cables go with it. What fails here is left to whoever cleans up the machine.
        let ip = program("ip", "iproute2");
        let _ = Command::new(&ip).args(["link", "del", &self.end(Cable::Uplink)]).status();
        let _ = Command::new(&ip).args(["link", "del", &self.end(Cable::Service)]).status();
        let _ = Command::new(&ip).args(["netns", "del", &self.name]).status();
    }
}

#[derive(Clone, Copy)]
enum Cable {
    Uplink,
    Service,
}
