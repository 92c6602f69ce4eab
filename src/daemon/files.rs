//! Reads spec files from disk: files and directories, recursively and in name order.
//!
//! Understands nothing of what it reads. Keeps true: every file comes once, a loop of symbolic
//! links ends, no pipe or device is opened, and no more of a file is read than specs may hold.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::spec::{MAX_FILE, MAX_FILES, SourceFile};

/// Deepest nesting of directories.
const MAX_DEPTH: usize = 32;

/// Reads the spec files that these paths name. A directory stands for every `*.yaml` and `*.yml`
/// below it, names that begin with a dot left out, as mounted config maps keep their versions
/// there; a file is read whatever its name. Paths in specs may not leave the directory that was
/// named, or the directory of the file that was.
///
/// # Errors
/// What cannot be read, too many files, too deep a directory, and no file at all.
pub fn read_specs(paths: &[PathBuf]) -> Result<Vec<SourceFile>> {
    let mut walk = Walk::default();
    for path in paths {
        let kind =
            fs::metadata(path).with_context(|| format!("cannot read specs {}", path.display()))?;
        if kind.is_dir() {
            walk.directory(path, path, 0)?;
        } else {
            walk.file(path, path.parent().unwrap_or(Path::new("")))?;
        }
    }
    if walk.files.is_empty() {
        let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        bail!("no *.yaml or *.yml file in {}; name others with --specs", named.join(", "));
    }
    Ok(walk.files)
}

/// Reads one file, such as the operator's config.
///
/// # Errors
/// What cannot be read, and what is no regular file.
pub fn read_file(path: &Path) -> Result<SourceFile> {
    let content = read(path)?;
    let root = path.parent().unwrap_or(Path::new("")).to_owned();
    Ok(SourceFile { path: path.to_owned(), root, content })
}

#[derive(Default)]
struct Walk {
    files: Vec<SourceFile>,
    /// Files and directories by their real path, so that each is read once.
    seen: BTreeSet<PathBuf>,
}

impl Walk {
    fn directory(&mut self, path: &Path, root: &Path, depth: usize) -> Result<()> {
        let context = || format!("cannot read directory {}", path.display());
        if depth > MAX_DEPTH {
            bail!("directory {} is nested more than {MAX_DEPTH} deep", path.display());
        }
        if !self.seen.insert(fs::canonicalize(path).with_context(context)?) {
            return Ok(());
        }
        let entries = fs::read_dir(path).with_context(context)?;
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.with_context(context)?.file_name());
        }
        names.sort();
        for name in names {
            let path = path.join(&name);
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let kind =
                fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
            if kind.is_dir() {
                self.directory(&path, root, depth + 1)?;
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                self.file(&path, root)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, root: &Path) -> Result<()> {
        let real =
            fs::canonicalize(path).with_context(|| format!("cannot read {}", path.display()))?;
        if !self.seen.insert(real) {
            return Ok(());
        }
        if self.files.len() == MAX_FILES {
            bail!("more than {MAX_FILES} spec files; join some of them");
        }
        let content = read(path)?;
        self.files.push(SourceFile { path: path.to_owned(), root: root.to_owned(), content });
        Ok(())
    }
}

/// At most one byte more than a spec file may hold, so that too large a file is told as such.
fn read(path: &Path) -> Result<Vec<u8>> {
    let context = || format!("cannot read {}", path.display());
    if !fs::metadata(path).with_context(context)?.is_file() {
        bail!("{} is no regular file", path.display());
    }
    let mut content = Vec::new();
    let file = fs::File::open(path).with_context(context)?;
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut content).with_context(context)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[SourceFile], below: &Path) -> Vec<String> {
        let name =
            |file: &SourceFile| file.path.strip_prefix(below).expect("below").display().to_string();
        files.iter().map(name).collect()
    }

    #[test]
    fn directories_are_read_recursively_in_name_order() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("b/deep")).expect("made");
        fs::create_dir_all(at("..2024")).expect("made");
        for name in ["z.yaml", "a.yml", "b/deep/c.yaml", "b/a.yaml", "notes.md", "..2024/x.yaml"] {
            fs::write(at(name), name).expect("written");
        }
        let files = read_specs(&[dir.path().to_owned()]).expect("read");
        assert_eq!(names(&files, dir.path()), ["a.yml", "b/a.yaml", "b/deep/c.yaml", "z.yaml"]);
        assert!(files.iter().all(|file| file.root == dir.path()));
        assert_eq!(files[0].content, b"a.yml");
    }

    #[cfg(unix)]
    #[test]
    fn loops_end_and_no_file_comes_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("a")).expect("made");
        fs::write(at("a/one.yaml"), "").expect("written");
        std::os::unix::fs::symlink("..", at("a/up")).expect("linked");
        std::os::unix::fs::symlink("one.yaml", at("a/two.yaml")).expect("linked");
        let files = read_specs(&[at("a"), dir.path().to_owned(), at("a/one.yaml")]).expect("read");
        assert_eq!(names(&files, dir.path()), ["a/one.yaml"]);
    }

    #[test]
    fn what_is_missing_empty_or_no_file_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = |path: &Path| format!("{:#}", read_specs(&[path.to_owned()]).expect_err("bad"));
        assert!(text(dir.path()).starts_with("no *.yaml or *.yml file in"));
        let missing = text(&dir.path().join("nowhere"));
        assert!(missing.contains("nowhere: No such file"), "{missing}");
        assert!(text(Path::new("/dev/null")).contains("no regular file"));
    }

    #[test]
    fn a_huge_file_is_not_read_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("huge.yaml");
        fs::File::create(&path).and_then(|file| file.set_len(1 << 40)).expect("made");
        assert_eq!(read_file(&path).expect("read").content.len(), MAX_FILE + 1);
    }
}
