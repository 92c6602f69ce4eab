//! Disks of their own for one test: a small tmpfs in a mount namespace, which ends with the test,
//! and an ext4 that can have an error.
//!
//! The tmpfs needs no privileges where users may have namespaces, and root otherwise; the other
//! needs root. They outlive the programs that use them, however those end.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::process::program;
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

/// An ext4 in a file, mounted as most systems mount it: an error makes it read-only at once, under
/// whoever is writing. Gone when dropped.
pub struct FragileDisk {
    image: PathBuf,
    place: PathBuf,
}

impl FragileDisk {
    /// Mounts one of this many mebibytes over a directory.
    pub fn mount(place: &Path, mebibytes: u64) -> Self {
        fs::create_dir_all(place).expect("a writable directory");
        let image = place.with_extension("ext4");
        let file = File::create(&image).expect("a writable directory");
        file.set_len(mebibytes << 20).expect("room for a sparse file");
        let disk = FragileDisk { image, place: place.to_owned() };
        done("mkfs.ext4", "e2fsprogs", &["-q", &disk.image.display().to_string()]);
        disk.mount_again();
        disk
    }

    /// Lets the file system find an error in itself.
    pub fn fail(&self) {
        let mounts = fs::read_to_string("/proc/mounts").expect("it is Linux");
        let place = self.place.display().to_string();
        let device = mounts.lines().find_map(|line| {
            let (device, rest) = line.split_once(' ')?;
            rest.starts_with(&format!("{place} ")).then(|| device.trim_start_matches("/dev/"))
        });
        let device = device.expect("it is mounted");
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&trigger, "a test").unwrap_or_else(|e| panic!("{trigger}: {e}"));
    }

    /// Checks it, as a boot after the error does, and mounts it again; nobody may be using it.
    pub fn repair(&self) {
        done("umount", "mount", &[&self.place.display().to_string()]);
        let image = self.image.display().to_string();
        let checked = Command::new(program("e2fsck", "e2fsprogs")).args(["-fy", &image]).output();
        let checked = checked.expect("e2fsck starts");
        // 1: errors were corrected.
        assert!(matches!(checked.status.code(), Some(0 | 1)), "{checked:?}");
        self.mount_again();
    }

    fn mount_again(&self) {
        let (image, place) = (self.image.display().to_string(), self.place.display().to_string());
        done("mount", "mount", &["-o", "loop,errors=remount-ro", &image, &place]);
    }
}

impl Drop for FragileDisk {
    fn drop(&mut self) {
        // Lazily: whoever still uses it after a failed test ends on its own.
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
        let _ = fs::remove_file(&self.image);
    }
}

/// Runs a program that must succeed.
fn done(name: &str, package: &str, args: &[&str]) {
    let output = Command::new(program(name, package)).args(args).output().expect("it starts");
    assert!(output.status.success(), "{name} {args:?}, which needs root: {output:?}");
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
