//! A scripted target: it can be told to fail, to be slow, to keep silent, to refuse connections,
//! and it remembers every request that it answered, with the moment at which the answer had been
//! handed to the kernel.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::server::{Reply, Server};

/// How the target answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Behaviour {
    /// 200 at once.
    #[default]
    Good,
    /// This status at once.
    Status(u16),
    /// 200 after this time.
    Slow(Duration),
    /// Accepts the request and never answers.
    Silent,
}

/// One request that was answered.
#[derive(Clone, Debug)]
pub struct Served {
    /// What was asked for.
    pub path: String,
    /// What was answered.
    pub status: u16,
    /// When the whole answer had been written.
    pub at: Instant,
}

/// The target.
pub struct Target {
    server: Server,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    script: Mutex<Script>,
    changed: Condvar,
    log: Mutex<Vec<Served>>,
}

#[derive(Default)]
struct Script {
    all: Behaviour,
    paths: BTreeMap<String, Behaviour>,
    closing: bool,
}

impl Target {
    /// A target on a free port that is good.
    pub fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// The same at another address of this machine.
    pub fn start_at(ip: IpAddr) -> Self {
        let state = Arc::new(State::default());
        let handler = state.clone();
        let server = Server::start_at(ip, move |request| handler.answer(&request.path));
        Target { server, state }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its address as a URL without a path.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// From now on every path behaves like this.
    pub fn behave(&self, behaviour: Behaviour) {
        self.change(|script| {
            script.all = behaviour;
            script.paths.clear();
        });
    }

    /// From now on this path behaves like this.
    pub fn behave_at(&self, path: &str, behaviour: Behaviour) {
        self.change(|script| {
            script.paths.insert(path.to_owned(), behaviour);
        });
    }

    /// Refuses connections.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Accepts connections again.
    pub fn resume(&mut self) {
        self.server.resume();
    }

    /// How many connections were made to it.
    pub fn accepted(&self) -> u64 {
        self.server.accepted()
    }

    /// Every request it has answered, in the order of the answers.
    pub fn served(&self) -> Vec<Served> {
        self.state.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.state.script.lock().unwrap_or_else(PoisonError::into_inner));
        self.state.changed.notify_all();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.change(|script| script.closing = true);
    }
}

impl State {
    fn answer(self: &Arc<Self>, path: &str) -> Option<Reply> {
        let behaviour = {
            let script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
            script.paths.get(path).copied().unwrap_or(script.all)
        };
        let status = match behaviour {
            Behaviour::Good => 200,
            Behaviour::Status(status) => status,
            Behaviour::Slow(delay) => {
                self.linger(Some(delay));
                200
            }
            Behaviour::Silent => {
                self.linger(None);
                return None;
            }
        };
        let (state, path) = (self.clone(), path.to_owned());
        let written = move || {
            let at = Instant::now();
            let mut log = state.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(Served { path, status, at });
        };
        let text = if status < 400 { "good\n" } else { "bad\n" };
        Some(Reply { written: Some(Box::new(written)), ..Reply::text(status, text) })
    }

    /// Waits for `delay`, or until the target goes away.
    fn linger(&self, delay: Option<Duration>) {
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let here = |script: &mut Script| !script.closing;
        match delay {
            Some(delay) => drop(self.changed.wait_timeout_while(script, delay, here)),
            None => drop(self.changed.wait_while(script, here)),
        }
    }
}
