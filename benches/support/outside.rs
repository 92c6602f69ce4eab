//! Programs outside of this one: starting them, asking them over HTTP, and what CPU time they took.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// Longest time that a program gets to answer.
pub const START_LIMIT: Duration = Duration::from_secs(60);

/// A program that serves, ended when dropped.
pub struct Target {
    pub process: Child,
    pub address: SocketAddr,
}

impl Drop for Target {
    fn drop(&mut self) {
        // It is gone already, or it goes now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// CPU nanoseconds of every thread that a process has now, added up by name; empty where the
/// system does not tell.
pub fn cpu(pid: u32) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let nanos = read("schedstat").split(' ').next().and_then(|n| n.parse::<u64>().ok());
        *all.entry(read("comm").trim().to_owned()).or_default() += nanos.unwrap_or_default();
    }
    all
}

/// What each thread has spent meanwhile. A thread that has ended, of somebody else in the same
/// process, takes its time with it.
pub fn spent(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let spent = |(name, nanos): (&String, &u64)| {
        (name.clone(), nanos.saturating_sub(before.get(name).copied().unwrap_or_default()))
    };
    after.iter().map(spent).collect()
}

pub fn total(cpu: &BTreeMap<String, u64>) -> u64 {
    cpu.values().sum()
}

pub fn free() -> SocketAddr {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
    port.local_addr().expect("bound")
}

/// Starts a program and waits until it listens.
pub fn start(mut command: Command, address: SocketAddr) -> Target {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = Target { process: command.spawn().expect("starts"), address };
    wait(|| TcpStream::connect(address).is_ok());
    started
}

pub fn wait(done: impl FnMut() -> bool) {
    wait_at_most(START_LIMIT, done);
}

pub fn wait_at_most(limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "it takes too long");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

pub fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(address).expect("it listens"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).expect("it reads");
    read_answer(&mut stream)
}

/// One HTTP answer, by its length or in chunks.
pub fn read_answer(from: &mut impl BufRead) -> String {
    let line = |from: &mut dyn BufRead| {
        let mut line = String::new();
        from.read_line(&mut line).expect("an answer");
        line.trim_end().to_ascii_lowercase()
    };
    let head: Vec<_> =
        std::iter::repeat_with(|| line(from)).take_while(|l| !l.is_empty()).collect();
    let length = head.iter().find_map(|header| header.strip_prefix("content-length: "));
    let mut body = Vec::new();
    let mut part = |from: &mut dyn BufRead, n: usize| {
        let start = body.len();
        body.resize(start + n, 0);
        from.read_exact(&mut body[start..]).expect("an answer");
    };
    if let Some(length) = length {
        part(from, length.parse().expect("a number"));
        return String::from_utf8_lossy(&body).into_owned();
    }
    loop {
        let n = usize::from_str_radix(&line(from), 16).expect("a chunk size");
        part(from, n);
        line(from);
        if n == 0 {
            return String::from_utf8_lossy(&body).into_owned();
        }
    }
}
