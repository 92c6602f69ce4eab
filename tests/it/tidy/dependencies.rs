//! What the dependencies may be, without the network and without other programs: licences as
//! `deny.toml` lists them, one registry and nothing else, no crate that is refused there.
//!
//! `cargo deny` knows more, advisories above all; `tests/run` runs it where it is installed.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::{none, read, root};

/// Every package that is built on this system, as cargo tells it.
fn packages() -> Vec<Value> {
    let host = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let host = String::from_utf8(host.stdout).expect("text");
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--format-version=1", "--filter-platform"]);
    let told = cargo.arg(host).current_dir(root()).output().expect("cargo runs");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let nodes = told["resolve"]["nodes"].as_array().expect("a graph");
    let built: BTreeSet<_> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = told["packages"].as_array().expect("packages").iter();
    let is_built = |package: &&Value| package["id"].as_str().is_some_and(|id| built.contains(id));
    packages.filter(is_built).cloned().collect()
}

/// The quoted words of a list in `deny.toml`, from the line that begins with `key` to the `]`.
fn list(key: &str) -> Vec<String> {
    let text = read("deny.toml");
    let from =
        text.find(&format!("\n{key} = [")).unwrap_or_else(|| panic!("no {key} in deny.toml"));
    let list = text[from..].split("\n]").next().expect("the list");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met with these licences. Knows `AND`, `OR`, `/` as an old
/// way to write `OR`, `WITH` as part of a name, and parentheses.
fn can_be_met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words: Vec<String> = Vec::new();
    let mut with = false;
    for word in spaced.split_whitespace() {
        match (words.last_mut(), with) {
            (Some(last), true) => last.push_str(&format!(" {word}")),
            (Some(last), _) if word == "WITH" => last.push_str(" WITH"),
            _ => words.push(word.to_owned()),
        }
        with = word == "WITH";
    }
    let mut rest = words.as_slice();
    either(&mut rest, allowed) && rest.is_empty()
}

fn either(words: &mut &[String], allowed: &[String]) -> bool {
    let mut met = both(words, allowed);
    while let Some(after) = words.strip_prefix(&["OR".to_owned()]) {
        *words = after;
        met |= both(words, allowed);
    }
    met
}

fn both(words: &mut &[String], allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while let Some(after) = words.strip_prefix(&["AND".to_owned()]) {
        *words = after;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[String], allowed: &[String]) -> bool {
    let Some((first, after)) = words.split_first() else { return false };
    *words = after;
    if first != "(" {
        return allowed.contains(first);
    }
    let met = either(words, allowed);
    *words = words.strip_prefix(&[")".to_owned()]).unwrap_or(&[]);
    met
}

#[test]
fn dependencies_have_licences_that_are_allowed_and_come_from_one_registry() {
    let (licences, refused) = (list("allow"), list("deny"));
    let (mut told, mut registries) = (Vec::new(), BTreeSet::new());
    let packages = packages();
    assert!(packages.len() > 100, "the graph has lost its way: {} packages", packages.len());
    for package in &packages {
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or("none");
        if !can_be_met(licence, &licences) {
            told.push(format!("{name}: the licence {licence} is not allowed in deny.toml"));
        }
        if refused.iter().any(|word| word == name) {
            told.push(format!("{name}: refused in deny.toml"));
        }
        match package["source"].as_str() {
            None if name == "nines" => {}
            Some(source) if source.starts_with("registry+") => {
                registries.insert(source.to_owned());
            }
            other => told.push(format!("{name}: comes from {other:?}, not from the registry")),
        }
    }
    assert!(registries.len() <= 1, "more than one registry: {registries:?}");
    none(&told);
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT/Apache-2.0", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND (GPL-3.0 OR Zlib)", true),
        ("(MIT OR Apache-2.0) AND BSD-3-Clause", false),
        ("GPL-3.0 OR Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0 WITH other-exception", false),
        ("MIT MIT", false),
        ("", false),
    ] {
        assert_eq!(can_be_met(expression, &allowed), met, "{expression}");
    }
}
