//! Words that may not stand in the code: panics without a reason, unfinished work, naps, and the
//! paths of one machine.

use super::source::{Function, Source};
use super::{files, none, read, sources};

/// Not in any file.
const NOWHERE: &[&str] =
    &["#[ignore", "todo!(", "unimplemented!(", "allow(dead_code", "allow(unused"];

/// Test functions that may let time pass: they poll, or are a target that is slow on purpose.
const MAY_NAP: &[&str] = &["pause", "until", "eventually", "slow_target", "stall"];

/// Folders of a machine, put together so that this line is not one of them.
const MACHINE: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

#[test]
fn production_code_does_not_unwrap() {
    none(&sources().iter().flat_map(unwraps).collect::<Vec<_>>());
}

#[test]
fn nothing_is_unfinished_or_switched_off() {
    none(&sources().iter().flat_map(unfinished).collect::<Vec<_>>());
}

#[test]
fn tests_wait_for_conditions_and_not_for_luck() {
    none(&sources().iter().flat_map(naps).collect::<Vec<_>>());
}

#[test]
fn nothing_knows_the_machine_it_was_written_on() {
    let told = files().iter().flat_map(|file| machine_paths(file, &read(file))).collect::<Vec<_>>();
    none(&told);
}

fn lines_with(source: &Source, code: &str, word: &str) -> Vec<String> {
    let found = code.lines().enumerate().filter(|(_, line)| line.contains(word));
    found.map(|(n, _)| format!("{}:{}: {word}", source.file, n + 1)).collect()
}

fn unwraps(source: &Source) -> Vec<String> {
    lines_with(source, &source.production(), ".unwrap()")
}

fn unfinished(source: &Source) -> Vec<String> {
    NOWHERE.iter().flat_map(|word| lines_with(source, &source.code, word)).collect()
}

/// Sleeping in a test, other than under tokio's paused time, where it costs nothing.
fn naps(source: &Source) -> Vec<String> {
    let functions = source.functions();
    let paused = source.code.contains("start_paused");
    let mut told = Vec::new();
    for (n, line) in source.code.lines().enumerate() {
        let line_number = n + 1;
        // A double that others may ask to sleep need not do it.
        let defines = line.contains("fn sleep(");
        let naps = !defines && line.contains("sleep(") || line.contains("sleep_until(");
        let real = line.contains("thread::sleep(") || !paused;
        if line_number <= source.lines_before_tests || !naps || !real {
            continue;
        }
        let around = functions.iter().filter(|f| (f.first..=f.last).contains(&line_number));
        let innermost = around.min_by_key(|f: &&Function| f.last - f.first);
        if !innermost.is_some_and(|f| MAY_NAP.contains(&f.name.as_str())) {
            told.push(format!("{}:{line_number}: a test that sleeps", source.file));
        }
    }
    told
}

fn machine_paths(file: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    let found = lines.filter(|(_, line)| MACHINE.iter().any(|path| line.contains(path)));
    found.map(|(n, _)| format!("{file}:{}: a path of one machine", n + 1)).collect()
}

#[test]
fn forbidden_words_are_found_where_they_matter() {
    let source = |text: &str| Source::new("src/x.rs", text);
    let tested = |text: &str| Source::new("tests/it/x.rs", text);
    assert_eq!(unwraps(&source("a.unwrap();\n")).len(), 1);
    assert_eq!(unwraps(&source("a.unwrap_or(b); // .unwrap()\n")).len(), 0);
    assert_eq!(unwraps(&source("fn a() {}\n#[cfg(test)]\nmod tests { b.unwrap(); }")).len(), 0);

    assert_eq!(unfinished(&source("#[test]\n#[ignore]\nfn a() { todo!() }")).len(), 2);
    assert_eq!(unfinished(&source("#![allow(dead_code)]\nlet a = \"todo!()\";")).len(), 1);

    assert_eq!(naps(&tested("fn a() { std::thread::sleep(x); }")).len(), 1);
    assert_eq!(naps(&tested("fn a() { tokio::time::sleep(x).await; }")).len(), 1);
    assert_eq!(naps(&tested("fn pause() { std::thread::sleep(x); }")).len(), 0);
    assert_eq!(naps(&tested("fn until() {\n    fn a() { std::thread::sleep(x); }\n}")).len(), 1);
    let paused = "#[tokio::test(start_paused = true)]\nasync fn a() { sleep(x).await; }";
    assert_eq!(naps(&tested(paused)).len(), 0);
    assert_eq!(naps(&tested(&format!("{paused}\nfn b() {{ thread::sleep(x); }}"))).len(), 1);
    assert_eq!(naps(&source("async fn a() { tokio::time::sleep(x).await; }")).len(), 0);

    let path = format!("see {}main/x", MACHINE[0]);
    assert_eq!(machine_paths("README.md", &path).len(), 1);
    assert_eq!(machine_paths("README.md", "https://example.org/x").len(), 0);
}
