//! A program of this machine as a child of the test: found, started, signalled by its own process
//! id, killed when dropped. Its output goes to a file that is shown when the test fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::http;
use super::wait::until;

/// How many of the last lines of a program's output a failing test shows.
const SHOWN_LINES: usize = 25;

/// Longest time a program gets to stop when asked.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The path of a program, which the Debian package `package` installs.
pub fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    places.map(|place| place.join(name)).find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("`{name}` is missing: install the Debian package `{package}`, as tests/run does")
    })
}

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command`; everything it prints is appended to `output`.
    pub fn start(name: &str, command: &mut Command, output: PathBuf) -> Self {
        let file = File::options().create(true).append(true).open(&output).expect("a writable log");
        let errors = file.try_clone().expect("a second handle on the log");
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Process { name: name.to_owned(), child, output }
    }

    /// Everything it has printed so far.
    pub fn printed(&self) -> String {
        read_lossy(&self.output)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits until a GET of `url` is answered with 200; fails at once if the program ends.
    #[track_caller]
    pub fn answers(&mut self, url: &str, limit: Duration) {
        let what = format!("{} to answer {url}", self.name);
        until(&what, limit, || {
            if let Some(status) = self.ended() {
                panic!("{} ended at once: {status}\n{}", self.name, self.printed());
            }
            http::get(url).ok().filter(|answer| answer.status == 200)
        });
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        until(&what, limit, || self.ended())
    }

    /// Sends a signal by name, such as `TERM`, `HUP` or `STOP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid]).status();
        assert!(sent.is_ok_and(|s| s.success()), "cannot send SIG{signal} to {}", self.name);
    }

    /// Asks it to stop and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        if let Some(status) = self.ended() {
            return status;
        }
        self.signal("TERM");
        self.wait(STOP_LIMIT)
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let printed = self.printed();
            let lines: Vec<_> = printed.lines().collect();
            let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("--- the last lines of {} ---\n{}", self.name, last.join("\n"));
        }
    }
}

/// What a program that ran to its end said.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// Runs a program to its end with `input`; kills it and fails after `limit`.
pub fn run(name: &str, command: &mut Command, input: &[u8], limit: Duration) -> Ran {
    let dir = super::scratch("run");
    let path = |file: &str| dir.path().join(file);
    std::fs::write(path("in"), input).expect("a writable directory");
    let open = |file: &str| File::create(path(file)).expect("a writable directory");
    command.stdin(File::open(path("in")).expect("just written"));
    command.stdout(open("out")).stderr(open("err"));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
    let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until(&format!("{name} to end"), limit, || child.try_wait().expect("our own child"))
    }));
    let status = status.unwrap_or_else(|panic| {
        let _ = child.kill();
        let _ = child.wait();
        eprintln!("{}{}", read_lossy(&path("out")), read_lossy(&path("err")));
        std::panic::resume_unwind(panic)
    });
    Ran { code: status.code(), stdout: read_lossy(&path("out")), stderr: read_lossy(&path("err")) }
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
