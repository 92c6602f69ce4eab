//! Who may see whom, and what the pure rooms may not know.

use super::source::{Path, Source};
use super::{none, sources};

const ADAPTER: &[&str] = &["model", "engine", "clock"];
const DAEMON: &[&str] =
    &["model", "spec", "engine", "clock", "probe", "source", "ledger", "notify", "serve"];
const CLI: &[&str] =
    &["model", "spec", "engine", "clock", "probe", "source", "ledger", "notify", "serve", "daemon"];

/// Each room, and the rooms it may name beside itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("spec", &["model"]),
    ("engine", &["model", "spec"]),
    ("probe", ADAPTER),
    ("source", ADAPTER),
    ("ledger", ADAPTER),
    ("notify", ADAPTER),
    ("serve", ADAPTER),
    ("daemon", DAEMON),
    ("cli", CLI),
];

/// Rooms that compute and do nothing else.
const PURE: &[&str] = &["model", "spec", "engine"];

/// What would be I/O, a clock, chance, or talk.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::process",
    "std::thread",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tracing",
    "rand",
    "hyper",
    "reqwest",
    "rusqlite",
    "axum",
];

/// Addresses are values; everything else in `std::net` opens something.
const ADDRESSES: &[&str] =
    &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6"];

const TALK: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "dbg!"];

#[test]
fn rooms_look_only_left() {
    none(&sources().iter().flat_map(out_of_room).collect::<Vec<_>>());
}

#[test]
fn pure_rooms_do_no_io_and_read_no_clock() {
    none(&sources().iter().flat_map(impurities).collect::<Vec<_>>());
}

/// The room a file stands in; none for the roots of the crates and for tests.
fn room(file: &str) -> Option<&str> {
    let room = file.strip_prefix("src/")?.split('/').next()?;
    let room = room.strip_suffix(".rs").unwrap_or(room);
    (room != "lib" && room != "main").then_some(room)
}

fn out_of_room(source: &Source) -> Vec<String> {
    let Some(room) = room(&source.file) else { return Vec::new() };
    let Some((_, visible)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{}: {room} is no room of the house", source.file)];
    };
    let mut told = Vec::new();
    for Path { line, words } in source.paths() {
        let place = format!("{}:{line}", source.file);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["crate", named, ..] if named != room && !visible.contains(&named) => {
                told.push(format!("{place}: {room} may not see {named}"));
            }
            ["super", ..] => {
                let ups = words.iter().take_while(|word| **word == "super").count();
                let inner = usize::from(line > source.lines_before_tests);
                if ups >= depth(&source.file) + inner {
                    told.push(format!("{place}: `super` leaves the room; say `crate::`"));
                }
            }
            _ => {}
        }
    }
    told
}

/// How many modules deep the file's own module is: 1 for `src/clock.rs` and `src/probe/mod.rs`.
fn depth(file: &str) -> usize {
    let path = file.strip_prefix("src/").unwrap_or(file);
    path.split('/').filter(|part| *part != "mod.rs").count()
}

fn impurities(source: &Source) -> Vec<String> {
    if !room(&source.file).is_some_and(|room| PURE.contains(&room)) {
        return Vec::new();
    }
    let mut told = Vec::new();
    for Path { line, words } in source.paths() {
        if line > source.lines_before_tests {
            continue;
        }
        let path = words.join("::");
        let impure = IMPURE.iter().any(|start| {
            path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        let net = path.strip_prefix("std::net::");
        let opens = net
            .is_some_and(|rest| !ADDRESSES.contains(&rest.split("::").next().unwrap_or_default()));
        if impure || opens || path == "std::net" {
            told.push(format!("{}:{line}: {path} in a pure room", source.file));
        }
    }
    for (n, line) in source.production().lines().enumerate() {
        let found = TALK.iter().filter(|word| line.contains(*word));
        told.extend(found.map(|word| format!("{}:{}: {word} in a pure room", source.file, n + 1)));
    }
    told
}

#[test]
fn layers_are_told_apart() {
    let check = |file: &str, code: &str, expect: usize| {
        let told = out_of_room(&Source::new(file, code));
        assert_eq!(told.len(), expect, "{file}: {code}: {told:?}");
    };
    check("src/probe/http.rs", "use crate::model::Tally;", 0);
    check("src/probe/http.rs", "use crate::probe::tcp;", 0);
    check("src/probe/http.rs", "use crate::ledger::Ledger;", 1);
    check("src/probe/http.rs", "use crate::{model::Tally, ledger::{A, B}};", 2);
    check("src/probe/http.rs", "use crate::spec::Problem;", 1);
    check("src/probe/http.rs", "// see crate::ledger\nlet x = \"crate::ledger::Y\";", 0);
    check("src/model/time.rs", "fn f() { crate::clock::wall_now() }", 1);
    check("src/clock.rs", "use crate::model::Timestamp;", 0);
    check("src/clock.rs", "use crate::engine::Engine;", 1);
    check("src/engine/mod.rs", "use crate::spec::Raw;", 0);
    check("src/daemon/mod.rs", "use crate::cli::Args;", 1);
    check("src/attic/mod.rs", "", 1);
    check("src/lib.rs", "pub mod anything;", 0);
    check("src/probe/http.rs", "use super::tcp;", 0);
    check("src/probe/http.rs", "use super::super::ledger;", 1);
    check("src/probe/mod.rs", "use super::ledger;", 1);
    check("src/probe/mod.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n    use super::*;\n}", 0);
    check(
        "src/probe/mod.rs",
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    use super::super::x;\n}",
        1,
    );
}

#[test]
fn impurity_is_seen_in_every_dress() {
    let check = |file: &str, code: &str, expect: usize| {
        let told = impurities(&Source::new(file, code));
        assert_eq!(told.len(), expect, "{file}: {code}: {told:?}");
    };
    check("src/engine/a.rs", "use std::fs::File;", 1);
    check("src/engine/a.rs", "use std::{collections::BTreeMap, fs, time::{Duration, Instant}};", 2);
    check("src/engine/a.rs", "let now = std::time::SystemTime::now();", 1);
    check("src/model/a.rs", "use std::net::{SocketAddr, Ipv4Addr};", 0);
    check("src/model/a.rs", "use std::net::TcpStream;", 1);
    check("src/spec/a.rs", "tracing::info!(\"x\"); println!(\"x\");", 2);
    check("src/spec/a.rs", "fn f() {}\n#[cfg(test)]\nmod tests { fn g() { println!(); } }", 0);
    check("src/probe/a.rs", "use std::net::TcpStream;", 0);
    check("src/engine/a.rs", "let operand = 1; let tokio_like = rand_x;", 0);
}
