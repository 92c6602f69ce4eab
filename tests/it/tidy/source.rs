//! A Rust file as far as the rules need it: its code without comments and literals, the paths
//! that it names, its functions. Not a parser; rustfmt has made the text regular.

/// A Rust file.
pub struct Source {
    /// Relative to the root.
    pub file: String,
    /// As it is.
    pub text: String,
    /// The same lines with comments and the insides of literals blanked out.
    pub code: String,
    /// How many lines stand before the tests at its end; all of them if there are none.
    pub lines_before_tests: usize,
}

/// A function with its first and last line, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub first: usize,
    pub last: usize,
}

/// A path such as `crate::model::Tally`, with its line, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Path {
    pub line: usize,
    pub words: Vec<String>,
}

impl Source {
    /// Reads a file.
    pub fn new(file: &str, text: &str) -> Self {
        let code = blank(text);
        let all = code.lines().count();
        let is_test = file.starts_with("tests/") || file.ends_with("/tests.rs");
        // Only a module with a body is the end of the file; clippy sees to it that it is.
        let lines: Vec<_> = code.lines().collect();
        let tests = lines.windows(2).position(|pair| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].contains('{')
        });
        let lines_before_tests = if is_test { 0 } else { tests.unwrap_or(all) };
        Source { file: file.to_owned(), text: text.to_owned(), code, lines_before_tests }
    }

    /// The places of the modules that are declared for tests alone, without `.rs`.
    pub fn test_modules(&self) -> Vec<String> {
        let own = self.file.strip_suffix(".rs").unwrap_or(&self.file);
        let (folder, name) = own.rsplit_once('/').unwrap_or(("", own));
        let folder = if ["mod", "lib", "main"].contains(&name) { folder } else { own };
        let lines: Vec<_> = self.code.lines().collect();
        let declared = lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
        let name = |line: &str| {
            let (_, name) = line.split_once("mod ")?;
            name.strip_suffix(';').map(|name| format!("{folder}/{name}"))
        };
        declared.filter_map(|pair| name(pair[1])).collect()
    }

    /// The code that is no test.
    pub fn production(&self) -> String {
        self.code.lines().take(self.lines_before_tests).map(|line| format!("{line}\n")).collect()
    }

    /// Every function, in the order of the beginnings.
    pub fn functions(&self) -> Vec<Function> {
        functions(&self.code)
    }

    /// Every path that the code names, `use` groups taken apart.
    pub fn paths(&self) -> Vec<Path> {
        paths(&self.code)
    }
}

/// Stands for every character inside a literal.
pub const LITERAL: char = '\u{1}';

/// Blanks out comments and the insides of string and character literals; keeps every line break
/// and the place of everything else.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, edge, inside) = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => (line_end(&chars, at), ' ', ' '),
            '/' if chars.get(at + 1) == Some(&'*') => (block_end(&chars, at), ' ', ' '),
            '"' => (string_end(&chars, at), '"', LITERAL),
            'r' if raw_hashes(&chars, at).is_some() && !follows_word(&chars, at) => {
                (raw_end(&chars, at), '"', LITERAL)
            }
            '\'' => (char_end(&chars, at), '\'', LITERAL),
            _ => {
                code.push(chars[at]);
                at += 1;
                continue;
            }
        };
        for (n, c) in chars[at..end].iter().enumerate() {
            let at_edge = n == 0 || at + n + 1 == end;
            code.push(match c {
                '\n' => '\n',
                _ if at_edge => edge,
                _ => inside,
            });
        }
        at = end;
    }
    code
}

fn follows_word(chars: &[char], at: usize) -> bool {
    let before = |n: usize| at.checked_sub(n).map_or(' ', |i| chars[i]);
    // The `b` of a raw byte string is no word.
    let byte_string = before(1) == 'b' && !is_word(before(2));
    is_word(before(1)) && !byte_string
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| at + n)
}

fn block_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => depth += 1,
            ('*', Some('/')) => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The number of hashes, if a raw string begins here.
fn raw_hashes(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    (chars.get(at + 1 + hashes) == Some(&'"')).then_some(hashes)
}

fn raw_end(chars: &[char], at: usize) -> usize {
    let hashes = raw_hashes(chars, at).unwrap_or(0);
    let mut end = at + 2 + hashes;
    let closes = |i: usize| {
        chars[i] == '"'
            && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    while end < chars.len() && !closes(end) {
        end += 1;
    }
    (end + 1 + hashes).min(chars.len())
}

/// The end of a character literal; of the quote alone for a lifetime.
fn char_end(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        let after = (at + 3).min(chars.len());
        return chars[after..].iter().position(|c| *c == '\'').map_or(at + 1, |n| after + n + 1);
    }
    if chars.get(at + 2) == Some(&'\'') { at + 3 } else { at + 1 }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A word or a punctuation character with its line.
fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut tokens: Vec<(usize, String)> = Vec::new();
    for (n, line) in code.lines().enumerate() {
        let mut joined = false;
        for c in line.chars() {
            match tokens.last_mut() {
                Some((_, word)) if joined && is_word(c) => word.push(c),
                _ if !c.is_whitespace() && c != LITERAL => tokens.push((n + 1, c.to_string())),
                _ => {}
            }
            joined = is_word(c);
        }
    }
    tokens
}

fn functions(code: &str) -> Vec<Function> {
    let tokens = tokens(code);
    let word = |i: usize| tokens.get(i).map_or("", |t| t.1.as_str());
    let mut found = Vec::new();
    for (i, (first, token)) in tokens.iter().enumerate() {
        // `fn(` is a type.
        if token != "fn" || !word(i + 1).starts_with(is_word) {
            continue;
        }
        // Within brackets a `;` belongs to an array type.
        let mut inner = 0_i32;
        let open = (i..tokens.len()).find(|j| {
            inner +=
                i32::from(matches!(word(*j), "(" | "[")) - i32::from(matches!(word(*j), ")" | "]"));
            inner == 0 && matches!(word(*j), "{" | ";")
        });
        let Some(open) = open.filter(|open| word(*open) == "{") else { continue };
        let mut depth = 0_i32;
        let close = (open..tokens.len()).find(|j| {
            depth += i32::from(word(*j) == "{") - i32::from(word(*j) == "}");
            depth == 0
        });
        if let Some(close) = close {
            let name = word(i + 1).to_owned();
            found.push(Function { name, first: *first, last: tokens[close].0 });
        }
    }
    found
}

fn paths(code: &str) -> Vec<Path> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts = tokens[at].1.starts_with(is_word);
        at = if starts { path(&tokens, at, &[], &mut found) } else { at + 1 };
    }
    found
}

/// Reads one path, or tree of paths, and returns where it ends.
fn path(tokens: &[(usize, String)], at: usize, before: &[String], found: &mut Vec<Path>) -> usize {
    let word = |i: usize| tokens.get(i).map_or("", |t| t.1.as_str());
    let mut words = before.to_vec();
    let mut at = at;
    loop {
        words.push(word(at).to_owned());
        at += 1;
        if word(at) != ":" || word(at + 1) != ":" {
            break;
        }
        if word(at + 2) == "{" {
            at += 3;
            while at < tokens.len() && word(at) != "}" {
                let starts = word(at).starts_with(is_word) || word(at) == "*";
                at = if starts { path(tokens, at, &words, found) } else { at + 1 };
            }
            return at + 1;
        }
        if !word(at + 2).starts_with(is_word) && word(at + 2) != "*" {
            break;
        }
        at += 2;
    }
    if words.len() > 1 {
        let line = tokens[at - 1].0;
        found.push(Path { line, words });
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let check = |text: &str, expect: &str| {
            assert_eq!(blank(text).replace(LITERAL, "_"), expect, "{text}");
        };
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d\n */ e", "a               \n    e");
        check(r#"f("x \" y", 'z')"#, r#"f("______", '_')"#);
        check("r#\"a\"b\"# c", "\"______\" c");
        check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
        check(r"'\'' b '\u{1F600}' c", "'__' b '_________' c");
        check("for x in \"a\nb\"", "for x in \"_\n_\"");
    }

    #[test]
    fn functions_are_found_with_their_length() {
        let code = "impl A {\n    fn a(&self) -> B {\n        if x { y }\n    }\n    fn b(f: fn(u8));\n    fn c(x: [u8; 2]) {\n    }\n}\n";
        let found = functions(code);
        let spans: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.first, f.last)).collect();
        assert_eq!(spans, [("a", 2, 4), ("c", 6, 7)]);
    }

    #[test]
    fn paths_are_read_out_of_groups() {
        let code = "use crate::{model::{Tally, time::*}, probe};\nlet x = super::super::y::<T>();";
        let found: Vec<_> =
            paths(code).iter().map(|p| format!("{}:{}", p.line, p.words.join("::"))).collect();
        let expect = [
            "1:crate::model::Tally",
            "1:crate::model::time::*",
            "1:crate::probe",
            "2:super::super::y",
        ];
        assert_eq!(found, expect);
    }

    #[test]
    fn tests_at_the_end_of_a_file_are_no_production_code() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(Source::new("src/x.rs", text).production(), "fn a() {}\n");
        assert_eq!(Source::new("src/x/tests.rs", text).production(), "");
        assert_eq!(Source::new("tests/it/x.rs", text).production(), "");
        let text = "#[cfg(test)]\nmod tests;\nfn a() {}\n";
        assert_eq!(Source::new("src/x.rs", text).production(), text);
        let text = "#[cfg(test)]\npub(super) mod fixture;\nmod real;\n";
        assert_eq!(Source::new("src/a/mod.rs", text).test_modules(), ["src/a/fixture"]);
        assert_eq!(Source::new("src/a/b.rs", text).test_modules(), ["src/a/b/fixture"]);
    }
}
