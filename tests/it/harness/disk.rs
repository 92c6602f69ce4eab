//! A small disk of its own for one test: a tmpfs in a mount namespace, which ends with the test.
//!
//! Needs no privileges where users may have namespaces, and root otherwise. It outlives the
//! programs that use it, however those end.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::until;

const SOON: Duration = Duration::from_secs(10);

/// A tmpfs; gone when dropped.
pub struct SmallDisk {
    /// Lives as long as the namespace is needed.
    holder: Child,
    place: PathBuf,
    user: bool,
}

impl SmallDisk {
    /// Mounts one of this many mebibytes over a directory, for those who enter.
    pub fn mount(place: &Path, mebibytes: u32) -> Self {
        fs::create_dir_all(place).expect("a writable directory");
        let script = format!(
            "mount -t tmpfs -o size={mebibytes}m,mode=0700 tmpfs \"$0\" && \
             touch \"$0/mounted\" && exec cat"
        );
        // As an ordinary user first: then the test is the same for everybody.
        for flags in ["-Urm", "-m"] {
            let mut holder = Command::new("unshare")
                .args([flags, "sh", "-c", &script])
                .arg(place)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap_or_else(|e| panic!("cannot run unshare of the package `util-linux`: {e}"));
            let mounted = inside(&holder, place).join("mounted");
            let there = until("a disk or an error", SOON, || {
                let ended = holder.try_wait().expect("our own child").is_some();
                if mounted.exists() { Some(true) } else { ended.then_some(false) }
            });
            if there {
                fs::remove_file(mounted).expect("our own file");
                return SmallDisk { holder, place: place.to_owned(), user: flags.contains('U') };
            }
        }
        panic!(
            "no small disk: this system lets neither users nor us mount a tmpfs; run the tests \
                as root, or allow user namespaces (kernel.unprivileged_userns_clone=1)"
        );
    }

    /// What a program is started with in order to see the disk.
    pub fn launcher(&self) -> Vec<String> {
        let mut line = vec!["nsenter", "-t"];
        let pid = self.holder.id().to_string();
        line.extend([pid.as_str(), "-m"]);
        if self.user {
            line.extend(["-U", "--preserve-credentials"]);
        }
        line.into_iter().map(str::to_owned).collect()
    }

    /// The disk as this process reaches it.
    pub fn path(&self) -> PathBuf {
        inside(&self.holder, &self.place)
    }

    /// Writes until nothing fits any more.
    pub fn fill(&self) {
        let mut ballast =
            File::options().create(true).append(true).open(self.path().join("lost+found"));
        let ballast = ballast.as_mut().expect("a name costs nothing on a tmpfs");
        for size in [1 << 16, 1 << 12, 1] {
            while ballast.write_all(&vec![0x4e; size]).is_ok() {}
        }
    }

    /// Makes room again.
    pub fn empty(&self) {
        fs::remove_file(self.path().join("lost+found")).expect("it was filled");
    }

    /// Remounts it, to be read only or to be written again; nobody may be writing.
    pub fn read_only(&self, only: bool) {
        let line = self.launcher();
        let options = if only { "remount,ro" } else { "remount,rw" };
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).args(["mount", "-o", options]).arg(&self.place);
        assert!(command.status().is_ok_and(|s| s.success()), "cannot remount {options}");
    }
}

fn inside(holder: &Child, place: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
    root.join(place.strip_prefix("/").expect("scratch directories are absolute"))
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The end of its input ends it; killing it is for the case that it does not listen.
        drop(self.holder.stdin.take());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
