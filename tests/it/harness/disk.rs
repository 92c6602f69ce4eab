//! Disks of their own for one test, each in a mount namespace that ends with the test: a small
//! tmpfs, and an ext4 that can have an error.
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

/// A mount namespace with a disk at a place. Nobody else sees the disk, so that nobody keeps it
/// when it is unmounted.
struct Mounts {
    /// Lives as long as the namespace is needed.
    holder: Child,
    place: PathBuf,
    user: bool,
}

impl Mounts {
    /// Mounts a disk by a command that finds the place in `$0`, in a namespace that is made with
    /// these flags; nothing if the system does not let us.
    fn hold(place: &Path, flags: &str, mount: &str) -> Option<Self> {
        fs::create_dir_all(place).expect("a writable directory");
        let script = format!("{mount} && touch \"$0/mounted\" && exec cat");
        let holder = Command::new("unshare")
            .args([flags, "sh", "-c", &script])
            .arg(place)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run unshare of the package `util-linux`: {e}"));
        let mut mounts = Mounts { holder, place: place.to_owned(), user: flags.contains('U') };
        let mounted = mounts.path().join("mounted");
        let there = until("a disk or an error", SOON, || {
            let ended = mounts.holder.try_wait().expect("our own child").is_some();
            if mounted.exists() { Some(true) } else { ended.then_some(false) }
        });
        there.then(|| {
            fs::remove_file(mounted).expect("our own file");
            mounts
        })
    }

    /// What a program is started with in order to see the disk.
    fn launcher(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        let mut line = vec!["nsenter", "-t", &pid, "-m"];
        if self.user {
            line.extend(["-U", "--preserve-credentials"]);
        }
        line.into_iter().map(str::to_owned).collect()
    }

    /// The place as this process reaches it.
    fn path(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.place.strip_prefix("/").expect("scratch directories are absolute"))
    }

    /// Runs a command inside that must succeed.
    fn run(&self, args: &[&str]) {
        let line = self.launcher();
        let output = Command::new(&line[0]).args(&line[1..]).args(args).output();
        let output = output.expect("nsenter starts");
        assert!(output.status.success(), "{args:?}: {output:?}");
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        // The end of its input ends it; killing it is for the case that it does not listen.
        drop(self.holder.stdin.take());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A tmpfs; gone when dropped.
pub struct SmallDisk(Mounts);

impl SmallDisk {
    /// Mounts one of this many mebibytes over a directory, for those who enter.
    pub fn mount(place: &Path, mebibytes: u32) -> Self {
        let mount = format!("mount -t tmpfs -o size={mebibytes}m,mode=0700 tmpfs \"$0\"");
        // As an ordinary user first: then the test is the same for everybody.
        let mounts = ["-Urm", "-m"].into_iter().find_map(|how| Mounts::hold(place, how, &mount));
        SmallDisk(mounts.expect(
            "no small disk: this system lets neither users nor us mount a tmpfs; run the tests \
             as root, or allow user namespaces (kernel.unprivileged_userns_clone=1)",
        ))
    }

    /// What a program is started with in order to see the disk.
    pub fn launcher(&self) -> Vec<String> {
        self.0.launcher()
    }

    /// The disk as this process reaches it.
    pub fn path(&self) -> PathBuf {
        self.0.path()
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
        let options = if only { "remount,ro" } else { "remount,rw" };
        self.0.run(&["mount", "-o", options, &self.0.place.display().to_string()]);
    }
}

/// An ext4 in a file, mounted as most systems mount it: an error makes it read-only at once, under
/// whoever is writing. Gone when dropped.
pub struct FragileDisk {
    mounts: Mounts,
    image: PathBuf,
}

const MOUNT: &str = "mount -o loop,errors=remount-ro";

impl FragileDisk {
    /// Mounts one of this many mebibytes over a directory, for those who enter.
    pub fn mount(place: &Path, mebibytes: u64) -> Self {
        let image = place.with_extension("ext4");
        let file = File::create(&image).expect("a writable directory");
        file.set_len(mebibytes << 20).expect("room for a sparse file");
        let made = Command::new(program("mkfs.ext4", "e2fsprogs")).arg("-q").arg(&image).status();
        assert!(made.expect("mkfs.ext4 starts").success());
        let mounts = Mounts::hold(place, "-m", &format!("{MOUNT} '{}' \"$0\"", image.display()));
        let mounts = mounts.expect("no ext4: it needs root and a kernel with loop devices");
        FragileDisk { mounts, image }
    }

    /// What a program is started with in order to see the disk.
    pub fn launcher(&self) -> Vec<String> {
        self.mounts.launcher()
    }

    /// Lets the file system find an error in itself.
    pub fn fail(&self) {
        let table = format!("/proc/{}/mounts", self.mounts.holder.id());
        let table = fs::read_to_string(table).expect("the holder lives");
        let place = self.mounts.place.display().to_string();
        let mut lines = table.lines().map(|line| line.split(' '));
        let device = lines.find_map(|mut words| {
            let device = words.next()?;
            (words.next()? == place).then(|| device.trim_start_matches("/dev/"))
        });
        let device = device.expect("it is mounted");
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&trigger, "a test").unwrap_or_else(|e| panic!("{trigger}: {e}"));
    }

    /// Checks it, as a boot after the error does, and mounts it again; nobody may be using it.
    pub fn repair(&self) {
        let (image, place) = (&self.image, self.mounts.place.display().to_string());
        self.mounts.run(&["umount", &place]);
        let checked = Command::new(program("e2fsck", "e2fsprogs")).arg("-fy").arg(image).output();
        let checked = checked.expect("e2fsck starts");
        // 1: errors were corrected.
        assert!(matches!(checked.status.code(), Some(0 | 1)), "{checked:?}");
        let image = image.display().to_string();
        self.mounts.run(&[MOUNT.split(' ').collect(), vec![&*image, &*place]].concat());
    }
}
