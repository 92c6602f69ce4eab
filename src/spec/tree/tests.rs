//! Texts that want to hang, exhaust or confuse the reader of YAML.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::spec::problem::{Level, Source, lines};

/// What is told about a text: `line:column message`, and how many documents came out.
fn told(text: &str) -> (Vec<String>, usize) {
    let sources = vec![Source { path: "a.yaml".into(), lines: lines(text) }];
    let mut problems = Problems::new(sources);
    let documents = read(0, text, &mut problems);
    let list = problems.finish();
    assert!(list.iter().all(|p| p.level == Level::Error));
    let list = list.iter().map(|p| format!("{}:{} {}", p.line, p.column, p.message));
    (list.collect(), documents.len())
}

#[track_caller]
fn check(text: &str, expect: &[&str], n_documents: usize) {
    let (list, n) = told(text);
    assert_eq!(
        (list.iter().map(String::as_str).collect::<Vec<_>>(), n),
        (expect.to_vec(), n_documents)
    );
}

/// A text that must be refused for one reason within a few seconds.
#[track_caller]
fn bounded(text: &str, reason: &str) {
    let start = Instant::now();
    let (list, _) = told(text);
    assert!(list.len() == 1 && list[0].contains(reason), "{list:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_billion_laughs_are_an_error_within_the_bound() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (before, now) in "abcdefghijkl".chars().zip("bcdefghijklm".chars()) {
        text.push_str(&format!("{now}: &{now} [{}]\n", vec![format!("*{before}"); 10].join(", ")));
    }
    bounded(&text, "more than 250000 values in a file");
}

#[test]
fn an_alias_cannot_stand_inside_what_it_stands_for() {
    bounded("a: &a [*a]\n", "an alias stands inside what it stands for");
    bounded("a: *b\n", "not valid YAML");
}

#[test]
fn aliases_are_counted_and_share_what_they_stand_for() {
    let text = |n: usize| format!("a: &a x\nb: [{}]\n", vec!["*a"; n].join(", "));
    check(&text(MAX_ALIASES), &[], 1);
    bounded(&text(MAX_ALIASES + 1), "more than 1000 aliases in a file");
}

#[test]
fn nesting_is_bounded_written_out_or_by_alias() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    check(&nested(MAX_DEPTH), &[], 1);
    bounded(&nested(MAX_DEPTH + 1), "more than 64 levels of nesting");
    // The scanner has a bound of its own, which it reaches while it looks ahead.
    bounded(&"[".repeat(500_000), "recursion limit exceeded");
    bounded(&"{a: ".repeat(200_000), "recursion limit exceeded");
    bounded(&"- ".repeat(200_000), "more than 64 levels of nesting");
    let deep = format!("a: &a {}\nb: {}*a{}\n", nested(40), "[".repeat(40), "]".repeat(40));
    bounded(&deep, "more than 64 levels of nesting");
}

#[test]
fn values_and_documents_are_counted() {
    bounded(&format!("[{}]", "a,".repeat(MAX_NODES + 1)), "more than 250000 values");
    bounded(&"--- a\n".repeat(MAX_DOCUMENTS + 1), "more than 10000 documents");
}

#[test]
fn hostile_texts_end_in_good_time() {
    for text in [
        "? ".repeat(300_000),
        "&a ".repeat(300_000),
        "!t ".repeat(300_000),
        "a: \"".to_owned() + &"\\n".repeat(400_000),
        "'".repeat(900_001),
        "---\n[\n".repeat(100_000),
        "%TAG ! a\n".repeat(90_000),
        "|\n ".repeat(200_000),
        "*a ".repeat(300_000),
        "a:\n".repeat(300_000),
    ] {
        let start = Instant::now();
        told(&text);
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?} {:?}",
            &text[..8],
            start.elapsed()
        );
    }
}

#[test]
fn after_a_syntax_error_reading_goes_on_at_the_next_document() {
    let (list, n) = told("a: 1\n---\nb: [\n---\nc: 1\nc: 2\n---\n}\n---\nf: 1\n");
    assert_eq!(n, 3, "{list:?}");
    assert_eq!(list.len(), 3, "{list:?}");
    assert!(list[0].starts_with("4:1 not valid YAML"), "{list:?}");
    assert_eq!(list[1], "6:1 duplicate key \"c\"");
    assert!(list[2].starts_with("8:"), "{list:?}");
}

#[test]
fn tabs_for_indentation_are_called_by_their_name() {
    let text = "a:\n\tb: c\n";
    let mut problems = Problems::new(vec![Source { path: "a".into(), lines: lines(text) }]);
    read(0, text, &mut problems);
    let hint = problems.finish()[0].hint.clone().unwrap_or_default();
    assert!(hint.contains("use spaces"), "{hint}");
}

#[test]
fn tags_that_change_a_meaning_are_refused() {
    check("a: !!str 5\nb: ! c\n", &[], 1);
    check("a: !env HOME\n", &["1:4 tag \"!env\""], 1);
    check("a: !!binary aGk=\n", &["1:4 tag \"tag:yaml.org,2002:binary\""], 1);
    check("a: !x {}\nb: !y []\n", &["1:4 tag \"!x\"", "2:4 tag \"!y\""], 1);
}

#[test]
fn yaml_types_are_those_of_the_core_schema() {
    for number in
        ["0", "-1", "+12", "1.5", ".5", "5.", "1e3", "0x1F", "0o17", ".inf", "-.Inf", ".nan"]
    {
        assert_eq!(yaml_type(number), "the number", "{number}");
    }
    for text in [
        "1.2.3",
        "5s",
        "99%",
        "0b1",
        "1_000",
        "inf",
        "nan",
        "-",
        "+",
        ".",
        "e3",
        "0x",
        "2026-01-01",
    ] {
        assert_eq!(yaml_type(text), "text", "{text}");
    }
    assert_eq!(
        (yaml_type("True"), yaml_type("~"), yaml_type("no")),
        ("the boolean", "nothing", "text")
    );
}

#[test]
fn a_text_that_breaks_off_has_its_problem_at_its_end() {
    for (text, place) in [("a: {b:", "1:7"), ("a: [", "1:5"), ("x: 1\na: {b:", "2:7")] {
        let path = std::path::PathBuf::from("a.yaml");
        let file =
            crate::spec::SourceFile { root: path.clone(), path, content: text.as_bytes().to_vec() };
        let problems = crate::spec::load(&[file], &crate::spec::Options::default());
        let problems = problems.expect_err("no YAML");
        let last = problems.last().expect("there is one");
        assert_eq!(format!("{}:{}", last.line, last.column), place, "{text:?}: {last:?}");
    }
}
