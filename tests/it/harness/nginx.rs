//! nginx as a target that can be stopped and started, with a configuration of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Process, program};
use super::{ports, scratch};

/// Longest time nginx gets to answer after its start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running or stopped nginx.
pub struct Nginx {
    dir: TempDir,
    binary: PathBuf,
    address: SocketAddr,
    process: Option<Process>,
}

impl Nginx {
    /// Starts nginx on a free port; `/` answers 200.
    pub fn start() -> Self {
        let binary = program("nginx", "nginx");
        let (dir, address) = (scratch("nginx"), ports::free());
        let root = dir.path().display().to_string();
        let config = CONFIG.replace("ROOT", &root).replace("ADDRESS", &address.to_string());
        std::fs::write(dir.path().join("nginx.conf"), config).expect("a writable directory");
        let mut nginx = Nginx { dir, binary, address, process: None };
        nginx.resume();
        nginx
    }

    /// Its address as a URL with a path.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Stops it: connections are refused.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate();
        }
    }

    /// Starts it again on the same port and waits for its first answer.
    pub fn resume(&mut self) {
        let mut command = Command::new(&self.binary);
        command.arg("-p").arg(self.dir.path()).arg("-c").arg(self.dir.path().join("nginx.conf"));
        let log = self.dir.path().join("nginx.log");
        let mut process = Process::start("nginx", &mut command, log);
        process.answers(&self.url(), START_LIMIT);
        self.process = Some(process);
    }
}

const CONFIG: &str = "\
daemon off;
master_process off;
worker_processes 1;
pid ROOT/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path ROOT/body;
    proxy_temp_path ROOT/proxy;
    fastcgi_temp_path ROOT/fastcgi;
    uwsgi_temp_path ROOT/uwsgi;
    scgi_temp_path ROOT/scgi;
    server {
        listen ADDRESS;
        location / { default_type text/plain; return 200 \"nginx is here\\n\"; }
    }
}
";
