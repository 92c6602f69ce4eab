//! How long, how wide, and how a file begins.

use super::source::{LITERAL, Source};
use super::{none, ratchet, sources};

/// Widest line, in characters.
const COLUMNS: usize = 100;
/// Longest file, in lines before its tests.
const FILE_LINES: usize = 600;
/// Longest function, in lines.
const FUNCTION_LINES: usize = 70;

/// Files that are longer. May only shrink.
const LONG_FILES: &[&str] = &[];
/// Functions that are longer, as `file: name`. May only shrink.
const LONG_FUNCTIONS: &[&str] = &[];

#[test]
fn files_open_by_saying_what_they_are() {
    none(&sources().iter().filter_map(without_opening).collect::<Vec<_>>());
}

#[test]
fn lines_fit() {
    none(&sources().iter().flat_map(wide_lines).collect::<Vec<_>>());
}

#[test]
fn files_stay_readable() {
    let long: Vec<_> = sources().iter().filter_map(long_file).collect();
    none(&ratchet(&long, LONG_FILES));
}

#[test]
fn functions_stay_readable() {
    let long: Vec<_> = sources().iter().flat_map(long_functions).collect();
    none(&ratchet(&long, LONG_FUNCTIONS));
}

fn without_opening(source: &Source) -> Option<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let opens = first.strip_prefix("//! ").is_some_and(|rest| !rest.trim().is_empty());
    (!opens).then(|| format!("{}: does not open with `//!`", source.file))
}

/// Lines may be wider only by literals and addresses, which cannot be broken.
fn wide_lines(source: &Source) -> Vec<String> {
    let lines = source.text.lines().zip(source.code.lines()).enumerate();
    let wide = lines.filter(|(_, (line, code))| {
        let address =
            line.split_whitespace().filter(|w| w.contains("://")).map(|w| w.chars().count());
        let comment = line.chars().count() - code.trim_end().chars().count();
        let literal = literal_columns(code);
        line.chars().count() > COLUMNS + literal + address.sum::<usize>().min(comment + literal)
    });
    wide.map(|(n, _)| format!("{}:{}: wider than {COLUMNS} columns", source.file, n + 1)).collect()
}

/// How many columns of a line stand inside string literals.
fn literal_columns(code: &str) -> usize {
    code.chars().filter(|c| *c == LITERAL).count()
}

fn long_file(source: &Source) -> Option<String> {
    let all = source.text.lines().count();
    let counted = if source.lines_before_tests == 0 { all } else { source.lines_before_tests };
    (counted > FILE_LINES).then(|| source.file.clone())
}

/// Test functions may be long tables; the others may not.
fn long_functions(source: &Source) -> Vec<String> {
    let functions = source.functions().into_iter();
    let long = functions.filter(|function| {
        function.first <= source.lines_before_tests
            && function.last - function.first + 1 > FUNCTION_LINES
    });
    long.map(|function| format!("{}: {}", source.file, function.name)).collect()
}

#[test]
fn shapes_are_measured() {
    let source = |text: &str| Source::new("src/x.rs", text);
    assert_eq!(without_opening(&source("//! Says.\nfn a() {}")), None);
    assert!(without_opening(&source("use a;")).is_some());
    assert!(without_opening(&source("//! \nuse a;")).is_some());

    let wide = |line: &str| wide_lines(&source(line)).len();
    let long = "x".repeat(101);
    assert_eq!(wide(&long), 1);
    assert_eq!(wide(&long[1..]), 0);
    assert_eq!(wide(&format!("let a = \"{long}\";")), 0);
    assert_eq!(wide(&format!("// https://example.org/{long}")), 0);
    assert_eq!(wide(&format!("// {long}")), 1);
    assert_eq!(wide(&format!("f(\"a\", {long})")), 1);

    assert_eq!(long_file(&source(&"a\n".repeat(600))), None);
    assert!(long_file(&source(&"a\n".repeat(601))).is_some());
    let tests = format!("{}#[cfg(test)]\nmod t {{\n{}", "a\n".repeat(10), "b\n".repeat(700));
    assert_eq!(long_file(&source(&tests)), None);

    let function = |lines: usize| format!("fn f() {{\n{}}}\n", "    x;\n".repeat(lines - 2));
    assert!(long_functions(&source(&function(70))).is_empty());
    assert_eq!(long_functions(&source(&function(71))), ["src/x.rs: f"]);
    assert!(
        long_functions(&source(&format!("#[cfg(test)]\nmod t {{\n{}}}", function(99)))).is_empty()
    );
}
