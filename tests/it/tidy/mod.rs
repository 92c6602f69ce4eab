//! The rules of the house as a test over its source: what a reviewer would otherwise have to say
//! again and again.
//!
//! Lists of exceptions may only shrink: an entry that is no longer needed is an error. Every rule
//! is tried on a small sample, so that it is known to be able to fail.

mod dependencies;
mod docs;
mod layers;
mod shape;
mod source;
mod words;

use std::path::{Path, PathBuf};

use source::Source;

/// Where the project lies.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the project, in order.
fn sources() -> Vec<Source> {
    let files = files().into_iter().filter(|file| file.ends_with(".rs"));
    let mut sources: Vec<_> = files.map(|file| Source::new(&file, &read(&file))).collect();
    assert!(sources.len() > 20, "the walk has lost its way: {} files", sources.len());
    let only_for_tests: Vec<_> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let below = |module: &String| source.file.starts_with(&format!("{module}/"));
        let is_module = |module: &String| source.file == format!("{module}.rs");
        if only_for_tests.iter().any(|module| below(module) || is_module(module)) {
            source.lines_before_tests = 0;
        }
    }
    sources
}

/// Every file of the project that is not built, relative to the root, in order.
fn files() -> Vec<String> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    found
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                walk(&path, found);
            }
        } else if name != ".git" {
            let relative = path.strip_prefix(root()).expect("below the root");
            found.push(relative.to_string_lossy().into_owned());
        }
    }
}

/// A file's text.
fn read(file: &str) -> String {
    let bytes = std::fs::read(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Fails with every complaint, if there is one.
#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

/// Complains about what was found and is not on the list, and about what is on the list and was
/// not found.
fn ratchet(found: &[String], list: &[&str]) -> Vec<String> {
    let new = found.iter().filter(|name| !list.contains(&name.as_str()));
    let old = list.iter().filter(|name| !found.iter().any(|found| found == *name));
    let new = new.map(|name| format!("{name}: too long"));
    new.chain(old.map(|name| format!("{name}: short enough now; take it off the list"))).collect()
}

#[test]
fn ratchets_only_turn_one_way() {
    let check = |found: &[&str], list: &[&str], expect: usize| {
        let found: Vec<_> = found.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(ratchet(&found, list).len(), expect, "{found:?} {list:?}");
    };
    check(&[], &[], 0);
    check(&["a"], &["a"], 0);
    check(&["a"], &[], 1);
    check(&[], &["a"], 1);
}
