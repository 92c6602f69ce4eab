//! A problem in a file: where it is, what was found, what was expected, and how to mend it.
//!
//! Holds everything that a report needs, the source line included, so that printing needs no
//! second look at the files. Text from files is written without control characters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::rc::Rc;

use serde::Serialize;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It cannot be used.
    Error,
    /// It can be used, but somebody should look at it.
    Warning,
}

impl Level {
    /// The word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
        }
    }
}

/// Something wrong in a file, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub level: Level,
    /// The file, as it was named to the reader.
    pub file: PathBuf,
    /// The line, from 1; 0 when the problem is the file as a whole.
    pub line: usize,
    /// The column, from 1, in characters; 0 when the problem is the file as a whole.
    pub column: usize,
    /// The keys that lead there, such as `spec.slos[0].window`; may be empty.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would have been right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The line of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Excerpt>,
}

/// A line of a file with the part that is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The line, cut to a readable length around the part that is meant.
    pub text: String,
    /// Characters before the part that is meant.
    pub indent: usize,
    /// Characters of the part that is meant, at least 1.
    pub width: usize,
}

impl Problem {
    /// Says what would have been right.
    pub(super) fn expected(&mut self, expected: impl Into<String>) -> &mut Self {
        self.expected = Some(expected.into());
        self
    }

    /// Says how to mend it.
    pub(super) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says how to mend it, if there is something to say.
    pub(super) fn maybe_hint(&mut self, hint: Option<String>) -> &mut Self {
        self.hint = hint.or(self.hint.take());
        self
    }

    /// `file:line:column`, without what is not known.
    pub fn location(&self) -> String {
        match self.line {
            0 => self.file.display().to_string(),
            line => format!("{}:{line}:{}", self.file.display(), self.column),
        }
    }

    /// The problem for people, several lines with an end of line after each.
    pub fn render(&self, colour: bool) -> String {
        let paint = |code: &'static str| if colour { code } else { "" };
        let (bold, off) = (paint("\x1b[1m"), paint("\x1b[0m"));
        let tint = match self.level {
            Level::Error => paint("\x1b[1;31m"),
            Level::Warning => paint("\x1b[1;33m"),
        };
        let level = self.level.word();
        let mut text = format!("{tint}{level}{off}{bold}: {}{off}\n", clean(&self.message));
        let path = match self.path.is_empty() {
            true => String::new(),
            false => format!(" ({})", clean(&self.path)),
        };
        let number = self.line.to_string();
        let margin = " ".repeat(if self.source.is_some() { number.len() } else { 1 });
        let _ = writeln!(text, "{margin}--> {}{path}", clean(&self.location()));
        if let Some(source) = &self.source {
            let (indent, carets) = (" ".repeat(source.indent), "^".repeat(source.width));
            let _ = writeln!(text, "{margin} |");
            let _ = writeln!(text, "{number} | {}", source.text);
            let _ = writeln!(text, "{margin} | {indent}{tint}{carets}{off}");
        }
        for (word, line) in [("expected", &self.expected), ("hint", &self.hint)] {
            if let Some(line) = line {
                let _ = writeln!(text, "{margin} = {word}: {}", clean(line));
            }
        }
        text
    }
}

/// Control characters would let a spec write to somebody's terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A place in one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which file.
    pub file: usize,
    /// Line from 1, or 0 for the file as a whole.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// Characters that are meant.
    pub width: usize,
}

impl Place {
    /// A file as a whole.
    pub(super) const fn file(file: usize) -> Self {
        Place { file, line: 0, column: 0, width: 0 }
    }
}

/// A place with the keys that lead there.
#[derive(Clone, Debug)]
pub(super) struct At {
    /// Where it is.
    pub place: Place,
    /// Such as `spec.slos[0].window`.
    pub path: Rc<str>,
}

impl At {
    /// A place that no key leads to.
    pub(super) fn bare(place: Place) -> Self {
        At { place, path: "".into() }
    }

    /// The value of a key of this mapping.
    pub(super) fn key(&self, key: &str, place: Place) -> Self {
        let key: String = key.chars().take(MAX_KEY).collect();
        let path = match self.path.is_empty() {
            true => key.as_str().into(),
            false => format!("{}.{key}", self.path).into(),
        };
        At { place, path }
    }

    /// An item of this list.
    pub(super) fn item(&self, index: usize, place: Place) -> Self {
        At { place, path: format!("{}[{index}]", self.path).into() }
    }
}

/// Longest key that a path repeats, in characters.
const MAX_KEY: usize = 80;
/// Characters of a source line that an excerpt shows.
const MAX_EXCERPT: usize = 100;
/// Most problems that are collected over all files; the rest is counted.
pub const MAX_PROBLEMS: usize = 1_000;

/// A file's name and its lines.
pub(super) struct Source<'a> {
    /// Its name.
    pub path: PathBuf,
    /// Its lines, without their ends.
    pub lines: Vec<&'a str>,
}

impl Source<'_> {
    /// The end of the text in place of what lies behind it, where the YAML reader sees the end of
    /// a text that breaks off.
    fn clamp(&self, place: Place) -> Place {
        match self.lines.last() {
            Some(last) if place.line > self.lines.len() => {
                let (line, column) = (self.lines.len(), last.chars().count() + 1);
                Place { line, column, width: 1, ..place }
            }
            _ => place,
        }
    }
}

/// Collects problems over all files.
pub(super) struct Problems<'a> {
    sources: Vec<Source<'a>>,
    list: Vec<Problem>,
    spare: Problem,
    n_errors: usize,
    n_left_out: usize,
    /// Lines that hold a secret, by file and line; reports do not repeat them.
    secret: BTreeSet<(PathBuf, usize)>,
    /// Whether something could not be read at all, so that what seems missing may be in there.
    pub incomplete: bool,
}

impl<'a> Problems<'a> {
    /// No problem yet in these files.
    pub(super) fn new(sources: Vec<Source<'a>>) -> Self {
        let spare = Problem {
            level: Level::Error,
            file: PathBuf::new(),
            line: 0,
            column: 0,
            path: String::new(),
            message: String::new(),
            expected: None,
            hint: None,
            source: None,
        };
        Problems {
            sources,
            list: Vec::new(),
            spare,
            n_errors: 0,
            n_left_out: 0,
            secret: BTreeSet::new(),
            incomplete: false,
        }
    }

    /// Notes an error.
    pub(super) fn error(&mut self, at: &At, message: impl Into<String>) -> &mut Problem {
        self.n_errors += 1;
        self.note(Level::Error, at, message.into())
    }

    /// Notes an error about a secret. Whatever is found on its line, no report repeats the line.
    pub(super) fn secret(&mut self, at: &At, message: impl Into<String>) -> &mut Problem {
        self.conceal(at);
        self.error(at, message)
    }

    /// Something on this line may be a secret: whatever is found there, no report repeats it.
    pub(super) fn conceal(&mut self, at: &At) {
        if let Some(source) = self.sources.get(at.place.file) {
            self.secret.insert((source.path.clone(), at.place.line));
        }
    }

    /// Notes a warning.
    pub(super) fn warn(&mut self, at: &At, message: impl Into<String>) -> &mut Problem {
        self.note(Level::Warning, at, message.into())
    }

    fn note(&mut self, level: Level, at: &At, message: String) -> &mut Problem {
        let problem = self.locate(level, at, message);
        // What several others refer to is looked at more than once, and told once.
        let is_told = |known: &Problem| {
            (known.line, known.column) == (problem.line, problem.column)
                && (&known.file, &known.path) == (&problem.file, &problem.path)
                && (known.level, &known.message) == (level, &problem.message)
        };
        if self.list.iter().any(is_told) {
            self.spare = problem;
            return &mut self.spare;
        }
        if self.list.len() >= MAX_PROBLEMS {
            self.n_left_out += 1;
            self.spare = problem;
            return &mut self.spare;
        }
        self.list.push(problem);
        self.list.last_mut().unwrap_or(&mut self.spare)
    }

    /// A problem at a place, not yet noted.
    pub(super) fn locate(&self, level: Level, at: &At, message: String) -> Problem {
        let source = self.sources.get(at.place.file);
        let place = source.map_or(at.place, |source| source.clamp(at.place));
        let line = source.and_then(|source| source.lines.get(place.line.wrapping_sub(1)));
        Problem {
            level,
            file: source.map(|source| source.path.clone()).unwrap_or_default(),
            line: place.line,
            column: place.column,
            path: at.path.to_string(),
            message,
            expected: None,
            hint: None,
            source: line.map(|line| excerpt(line, &place)),
        }
    }

    /// `file:line` of a place, for messages that point at a second one.
    pub(super) fn name(&self, place: Place) -> String {
        let path = self.sources.get(place.file).map(|source| source.path.display().to_string());
        format!("{}:{}", path.unwrap_or_default(), place.line)
    }

    /// The line a place lies on.
    pub(super) fn line(&self, place: Place) -> &'a str {
        let source = self.sources.get(place.file);
        source.and_then(|s| s.lines.get(place.line.wrapping_sub(1))).copied().unwrap_or_default()
    }

    /// How many errors there are among them.
    pub(super) const fn n_errors(&self) -> usize {
        self.n_errors
    }

    /// Whether there is an error among them.
    pub(super) fn has_errors(&self) -> bool {
        self.n_errors > 0
    }

    /// Everything found, by file and line.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        if self.n_left_out > 0 {
            let (at, n) = (At::bare(Place::file(0)), self.n_left_out);
            let mut rest = self.locate(Level::Error, &at, format!("{n} more problems left out"));
            rest.hint("mend those above first");
            self.list.push(rest);
        }
        for problem in &mut self.list {
            if self.secret.contains(&(problem.file.clone(), problem.line)) {
                problem.source = None;
            }
        }
        let paths = self.sources.iter().map(|source| source.path.clone());
        let order: BTreeMap<PathBuf, usize> = paths.zip(0..).collect();
        // The note about what was left out stays last.
        let n = self.list.len().min(MAX_PROBLEMS);
        self.list[..n].sort_by_cached_key(|p| (order.get(&p.file).copied(), p.line, p.column));
        self.list
    }
}

fn excerpt(line: &str, place: &Place) -> Excerpt {
    let before = place.column.saturating_sub(1);
    let skip = if before.saturating_add(place.width) > MAX_EXCERPT {
        before.saturating_sub(20)
    } else {
        0
    };
    let text = line.chars().skip(skip).take(MAX_EXCERPT);
    let text: String = text.map(|c| if c.is_control() { ' ' } else { c }).collect();
    let shown = text.chars().count();
    let indent = (before - skip).min(shown);
    Excerpt { text, indent, width: place.width.min(shown - indent).max(1) }
}

/// Splits text at the line ends that YAML knows.
pub(super) fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        lines.push(&rest[..end]);
        let skip = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + skip..];
    }
    lines.push(rest);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_the_part_that_is_meant() {
        let line = format!("{}bad{}", "x".repeat(500), "y".repeat(500));
        let place = Place { file: 0, line: 1, column: 501, width: 3 };
        let excerpt = excerpt(&line, &place);
        let meant: String = excerpt.text.chars().skip(excerpt.indent).take(excerpt.width).collect();
        assert_eq!(meant, "bad");
        assert!(excerpt.text.chars().count() <= MAX_EXCERPT);
    }

    #[test]
    fn lines_end_as_yaml_ends_them() {
        assert_eq!(lines("a\nb\r\nc\rd\n"), ["a", "b", "c", "d", ""]);
    }

    #[test]
    fn a_spec_cannot_write_escapes_to_a_terminal() {
        let sources = vec![Source { path: "a\x1b[2J.yaml".into(), lines: vec!["\x1b[31mred"] }];
        let mut problems = Problems::new(sources);
        let at = At::bare(Place { file: 0, line: 1, column: 1, width: 4 });
        problems.error(&at, "bad \x1b]0;title\x07").hint("\x1b[1m").expected("\r");
        let text = problems.finish()[0].render(false);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }

    #[test]
    fn the_same_problem_is_told_once() {
        let mut problems = Problems::new(vec![Source { path: "a".into(), lines: vec!["xy"] }]);
        let at = |column| At::bare(Place { file: 0, line: 1, column, width: 1 });
        for column in [1, 2, 1] {
            problems.error(&at(column), "bad").hint("hint");
        }
        problems.warn(&at(1), "bad");
        assert!(problems.has_errors());
        let told: Vec<_> = problems.finish().iter().map(|p| (p.column, p.level)).collect();
        assert_eq!(told, [(1, Level::Error), (1, Level::Warning), (2, Level::Error)]);
    }

    #[test]
    fn problems_are_bounded_and_the_rest_is_counted() {
        let mut problems = Problems::new(vec![Source { path: "a".into(), lines: vec!["x"] }]);
        let at = At::bare(Place { file: 0, line: 1, column: 1, width: 1 });
        for n in 0..MAX_PROBLEMS + 5 {
            problems.error(&at, format!("bad {n}")).hint("hint");
        }
        let list = problems.finish();
        assert_eq!(list.len(), MAX_PROBLEMS + 1);
        assert_eq!(list[MAX_PROBLEMS].message, "5 more problems left out");
    }
}
