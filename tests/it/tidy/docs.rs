//! What people read: links that lead somewhere, pages of bounded length, metrics that exist.

use super::{files, none, read, root};
use crate::metrics;

/// Longest README, and the last line by which its first command must have begun.
const README: (usize, usize) = (250, 25);
/// Longest ARCHITECTURE.
const ARCHITECTURE: usize = 200;

#[test]
fn links_between_documents_lead_somewhere() {
    let exists = |path: &str| root().join(path).exists();
    let documents = files().into_iter().filter(|file| file.ends_with(".md"));
    none(&documents.flat_map(|file| dead_links(&file, &read(&file), exists)).collect::<Vec<_>>());
}

#[test]
fn the_readme_gets_to_the_point() {
    none(&readme(&read("README.md")));
}

#[test]
fn the_architecture_fits_on_a_few_screens() {
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(lines <= ARCHITECTURE, "ARCHITECTURE.md has {lines} lines");
}

#[test]
fn documents_and_boards_name_only_metrics_that_exist() {
    let named = |file: &String| {
        let place = file.starts_with("docs/")
            || file.starts_with("deploy/")
            || file.starts_with("dashboards/")
            || !file.contains('/');
        let kind = [".md", ".json", ".yml", ".yaml"].iter().any(|ending| file.ends_with(ending));
        place && kind
    };
    let told = files().into_iter().filter(named).flat_map(|file| {
        let unknown = metrics::unknown_in(&read(&file), metrics::KNOWN);
        unknown.into_iter().map(move |complaint| format!("{file}: {complaint}"))
    });
    none(&told.collect::<Vec<_>>());
}

/// The relative links of a document that lead nowhere.
fn dead_links(file: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let relative = links.filter(|link| !link.contains("://") && !link.starts_with(['#', '<']));
    let path = |link: &str| resolve(folder, link.split('#').next().unwrap_or_default());
    let dead = relative.filter(|link| !exists(&path(link)));
    dead.map(|link| format!("{file}: a link to {link}, which is not there")).collect()
}

/// `folder/link` without `.` and `..`.
fn resolve(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn readme(text: &str) -> Vec<String> {
    let (longest, by) = README;
    let mut told = Vec::new();
    let lines = text.lines().count();
    if lines > longest {
        told.push(format!("README.md has {lines} lines, {longest} at most"));
    }
    let first = text.lines().position(|line| line.trim_start().starts_with("```"));
    if first.is_none_or(|first| first + 2 > by) {
        told.push(format!("README.md shows no command by line {by}"));
    }
    told
}

#[test]
fn documents_are_held_to_their_rules() {
    let exists = |path: &str| ["docs/a.md", "README.md"].contains(&path);
    let check = |file: &str, text: &str, expect: usize| {
        assert_eq!(dead_links(file, text, exists).len(), expect, "{file}: {text}");
    };
    check("README.md", "[a](docs/a.md) [b](https://example.org/b) [c](#c)", 0);
    check("README.md", "[a](docs/b.md)", 1);
    check("docs/x/y.md", "[a](../a.md#part) [r](../../README.md)", 0);
    check("docs/x/y.md", "[a](a.md)", 1);

    assert!(readme("# nines\n\n```sh\nnines demo\n```\n").is_empty());
    assert_eq!(readme("# nines\n").len(), 1);
    assert_eq!(readme(&format!("{}```sh\nx\n```\n", "\n".repeat(24))).len(), 1);
    assert_eq!(readme(&format!("```sh\nx\n```\n{}", "\n".repeat(250))).len(), 1);
}
