//! YAML text as a tree of nodes that know where they stand.
//!
//! Knows no key and resolves no type: a scalar is its text and whether it was quoted. Keeps
//! size, depth, aliases and documents within named bounds: an alias shares its node instead of
//! copying it, and counts with everything below it.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::problem::{At, Place, Problems};

/// Deepest nesting of lists and mappings.
pub const MAX_DEPTH: usize = 64;
/// Most nodes of a file, aliases counted with everything they stand for.
pub const MAX_NODES: usize = 250_000;
/// Most aliases of a file.
pub const MAX_ALIASES: usize = 1_000;
/// Most documents of a file.
pub const MAX_DOCUMENTS: usize = 10_000;

/// A piece of a document.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub data: Data,
    size: usize,
    height: usize,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Data {
    /// Text; plain when it carries neither quotes nor a tag, so that YAML gives it a type.
    Scalar {
        /// The text with quotes and escapes resolved.
        text: String,
        /// Whether YAML gives it a type.
        plain: bool,
    },
    /// Items.
    List(Vec<Rc<Node>>),
    /// Keys and values in the order of the file.
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    /// A plain scalar that stands in no file, for defaults.
    pub(super) fn plain(text: &str, place: Place) -> Rc<Self> {
        let data = Data::Scalar { text: text.to_owned(), plain: true };
        Rc::new(Node { place, data, size: 1, height: 0 })
    }

    /// Whether there is nothing there.
    pub(super) fn is_null(&self) -> bool {
        match &self.data {
            Data::Scalar { text, plain: true } => {
                matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// What it is, in words.
    pub(super) fn describe(&self) -> String {
        match &self.data {
            _ if self.is_null() => "nothing".to_owned(),
            Data::Scalar { text, plain } => {
                let short: String = text.chars().take(60).collect();
                let kind = if *plain { yaml_type(text) } else { "text" };
                format!("{kind} {short:?}")
            }
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// What YAML's core schema takes an unquoted text for.
pub(super) fn yaml_type(text: &str) -> &'static str {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => "nothing",
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => "the boolean",
        _ if is_number(text) => "the number",
        _ => "text",
    }
}

/// Whether YAML 1.2's core schema reads this unquoted text as a number (section 10.3.2).
fn is_number(text: &str) -> bool {
    let digits = |part: &str, ok: fn(&u8) -> bool| !part.is_empty() && part.bytes().all(|b| ok(&b));
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, |b| (b'0'..=b'7').contains(b));
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, u8::is_ascii_hexdigit);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    // Rust reads exactly the same decimal numbers, beside the words for infinity and none.
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.parse::<f64>().is_ok()
}

/// Reads every document of a text. Problems are noted; what could be read is returned. After a
/// syntax error reading goes on at the next `---`.
pub(super) fn read(file: usize, text: &str, problems: &mut Problems) -> Vec<Rc<Node>> {
    let mut builder = Builder { file, ..Builder::default() };
    let (mut rest, mut line) = (text, 0);
    loop {
        match builder.read(rest, line) {
            Ok(()) => break,
            Err(Stop::Bound(place, message)) => {
                problems.error(&At::bare(place), message);
                problems.incomplete = true;
                break;
            }
            Err(Stop::Syntax(place, message)) => {
                report_syntax(place, &message, problems);
                builder.abandon();
                let Some((next, skipped)) =
                    next_document(rest, place.line.saturating_sub(line + 1))
                else {
                    break;
                };
                (rest, line) = (next, line + skipped);
            }
        }
    }
    for (place, message, hint) in std::mem::take(&mut builder.notes) {
        problems.error(&At::bare(place), message).hint(hint);
    }
    builder.documents
}

fn report_syntax(place: Place, message: &str, problems: &mut Problems) {
    let line = problems.line(place);
    let indent = &line[..line.len() - line.trim_start().len()];
    let tab = indent.contains('\t') || message.contains("tab");
    let problem = problems.error(&At::bare(place), format!("not valid YAML: {message}"));
    if tab {
        problem.hint("YAML does not allow tabs for indentation; use spaces");
    }
    problems.incomplete = true;
}

/// The text from the first `---` after this many lines on, and how many lines stand before it.
/// Never the first line, so that reading gets on.
fn next_document(text: &str, after: usize) -> Option<(&str, usize)> {
    let mut at = 0;
    for (n, line) in text.split_inclusive('\n').enumerate() {
        let marker = line.strip_prefix("---");
        if n >= after.max(1)
            && marker.is_some_and(|m| m.is_empty() || m.starts_with(char::is_whitespace))
        {
            return Some((&text[at..], n));
        }
        at += line.len();
    }
    None
}

/// Why reading of a text stopped.
enum Stop {
    Syntax(Place, String),
    Bound(Place, String),
}

/// A list or mapping that is still open.
struct Open {
    place: Place,
    anchor: usize,
    /// Items, or keys and values in turn.
    items: Vec<Rc<Node>>,
    is_map: bool,
}

#[derive(Default)]
struct Builder {
    file: usize,
    open: Vec<Open>,
    /// Finished nodes by anchor. An alias to an unfinished one, to itself that is, finds nothing.
    anchors: BTreeMap<usize, Rc<Node>>,
    n_nodes: usize,
    n_aliases: usize,
    n_documents: usize,
    documents: Vec<Rc<Node>>,
    /// What is wrong but does not stop the reading: place, message, hint.
    notes: Vec<(Place, String, String)>,
}

impl Builder {
    /// Reads a text whose first line is preceded by `above` lines of the file.
    fn read(&mut self, text: &str, above: usize) -> Result<(), Stop> {
        let mut parser: Parser<StrInput> = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|e| self.syntax(&e, above))?;
            let place = self.place(&span, above);
            self.take(event, place)?;
        }
        Ok(())
    }

    /// Forgets what was being built.
    fn abandon(&mut self) {
        self.open.clear();
        self.anchors.clear();
    }

    fn syntax(&self, error: &ScanError, above: usize) -> Stop {
        let (line, column) = (error.marker().line() + above, error.marker().col() + 1);
        let place = Place { file: self.file, line, column, width: 1 };
        Stop::Syntax(place, error.info().to_owned())
    }

    fn place(&self, span: &Span, above: usize) -> Place {
        let (start, end) = (&span.start, &span.end);
        let width = if start.line() == end.line() { end.col() - start.col() } else { usize::MAX };
        let (line, column) = (start.line() + above, start.col() + 1);
        Place { file: self.file, line, column, width: width.max(1) }
    }

    fn take(&mut self, event: Event, place: Place) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) => {
                self.n_documents += 1;
                self.anchors.clear();
                bound(self.n_documents, MAX_DOCUMENTS, "documents in a file", place)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                self.check_tag(tag.as_deref(), place);
                let data = Data::Scalar { text: text.into_owned(), plain };
                self.put(Node { place, data, size: 1, height: 0 }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), place);
                self.start(place, anchor, false)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), place);
                self.start(place, anchor, true)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    /// Only tags that change nothing are let through: `!`, `!!str`, `!!seq` and `!!map`.
    fn check_tag(&mut self, tag: Option<&Tag>, place: Place) {
        let Some(tag) = tag else { return };
        let core = tag.is_yaml_core_schema() && ["str", "seq", "map"].contains(&&*tag.suffix);
        let plain = tag.handle.is_empty() && tag.suffix == "!";
        if !core && !plain {
            let message = format!("tag {:?}", format!("{}{}", tag.handle, tag.suffix));
            self.notes.push((place, message, "specs use no tags; remove it".to_owned()));
        }
    }

    fn start(&mut self, place: Place, anchor: usize, is_map: bool) -> Result<(), Stop> {
        self.open.push(Open { place, anchor, items: Vec::new(), is_map });
        bound(self.open.len(), MAX_DEPTH, "levels of nesting", place)
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let size = 1 + open.items.iter().map(|item| item.size).sum::<usize>();
        let height = 1 + open.items.iter().map(|item| item.height).max().unwrap_or(0);
        let place = open.place;
        let data = if open.is_map { self.map(open.items) } else { Data::List(open.items) };
        // Its parts have been counted already.
        self.n_nodes -= size - 1;
        self.put(Node { place, data, size, height }, open.anchor)
    }

    fn map(&mut self, items: Vec<Rc<Node>>) -> Data {
        let mut pairs: Vec<(Rc<Node>, Rc<Node>)> = Vec::with_capacity(items.len() / 2);
        let mut seen: BTreeMap<String, Place> = BTreeMap::new();
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            if let Data::Scalar { text, .. } = &key.data {
                if let Some(first) = seen.get(text) {
                    let short: String = text.chars().take(60).collect();
                    let hint = format!("it stands on line {} already; keep one", first.line);
                    self.notes.push((key.place, format!("duplicate key {short:?}"), hint));
                    continue;
                }
                seen.insert(text.clone(), key.place);
            }
            pairs.push((key, value));
        }
        Data::Map(pairs)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Stop> {
        self.n_aliases += 1;
        bound(self.n_aliases, MAX_ALIASES, "aliases in a file", place)?;
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Stop::Bound(place, "an alias stands inside what it stands for".to_owned()));
        };
        let node = Rc::clone(node);
        bound(self.open.len() + node.height, MAX_DEPTH, "levels of nesting", place)?;
        self.count(node.size, place)?;
        self.hang(node);
        Ok(())
    }

    fn count(&mut self, n: usize, place: Place) -> Result<(), Stop> {
        self.n_nodes = self.n_nodes.saturating_add(n);
        bound(self.n_nodes, MAX_NODES, "values in a file, counted with every alias resolved", place)
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        self.count(node.size, node.place)?;
        let node = Rc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.hang(node);
        Ok(())
    }

    fn hang(&mut self, node: Rc<Node>) {
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None if node.is_null() => {}
            None => self.documents.push(node),
        }
    }
}

fn bound(n: usize, most: usize, of: &str, place: Place) -> Result<(), Stop> {
    match n > most {
        true => Err(Stop::Bound(place, format!("more than {most} {of}; split or flatten it"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
