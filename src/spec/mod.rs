//! Spec files and the operator's config: text in, a checked [`Catalog`] or every problem out.
//!
//! Text becomes a tree that knows its places (`tree`), the tree becomes a mirror of what was
//! written (`raw`), the mirror becomes the model (`resolve`). Does no I/O: it is handed the
//! files. Keeps true: either everything is fine and there is a whole catalog, or there is none
//! and every problem of every file is told in one go; secrets never stand in specs.

pub mod config;
mod document;
pub mod http_config;
mod leaf;
mod mirror;
mod nearest;
mod openslo;
pub mod problem;
mod raw;
mod reference;
mod resolve;
pub mod schema;
mod servers;
mod sli;
mod tree;
mod value;
pub mod web_config;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use problem::{Level, Problem};
pub use tree::{MAX_ALIASES, MAX_DEPTH, MAX_DOCUMENTS, MAX_NODES};

use crate::model::settings::{DEFAULT_RETENTION, Limits};
use crate::model::source::Server;
use crate::model::{Catalog, Egress};
use problem::{At, Place, Problems, Source};

/// Largest spec file, in bytes.
pub const MAX_FILE: usize = 1 << 20;
/// Most spec files.
pub const MAX_FILES: usize = 10_000;

/// A file as it was read, bytes and all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path, as messages name it.
    pub path: PathBuf,
    /// The directory that paths in it may not leave.
    pub root: PathBuf,
    /// What it holds. Whoever reads it may stop after [`MAX_FILE`] + 1 bytes.
    pub content: Vec<u8>,
}

/// What the operator allows specs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bounds on probes, SLOs and probe starts.
    pub limits: Limits,
    /// How long history is kept; no window may be longer.
    pub retention: Duration,
    /// Whether files named in specs may lie outside the specs' directory.
    pub allow_files_outside: bool,
    /// Where probes may connect to.
    pub egress: Egress,
    /// The Prometheus servers that SLOs may be fed from.
    pub prometheus: Vec<Server>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            limits: Limits::default(),
            retention: DEFAULT_RETENTION,
            allow_files_outside: false,
            egress: Egress::default(),
            prometheus: Vec::new(),
        }
    }
}

/// Specs that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What was declared.
    pub catalog: Catalog,
    /// What somebody should look at.
    pub warnings: Vec<Problem>,
    /// Where each SLO and each application is declared, for reports about them.
    pub places: Places,
}

/// Where things are declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    slos: BTreeMap<String, Problem>,
    applications: BTreeMap<String, Problem>,
    corrections: BTreeMap<String, Problem>,
}

impl Places {
    /// A warning about the SLO of this id, at the line that declares it.
    pub fn warning(&self, slo: &str, message: String, hint: Option<String>) -> Option<Problem> {
        self.slos.get(slo).map(|place| Problem { message, hint, ..place.clone() })
    }

    /// A warning about the end of the Correction of this name, where it stands.
    pub fn correction_warning(&self, name: &str, message: String, hint: String) -> Option<Problem> {
        let place = self.corrections.get(name);
        place.map(|place| Problem { message, hint: Some(hint), ..place.clone() })
    }

    /// A warning about the application of this name, at the line that declares it.
    pub fn application_warning(&self, name: &str, message: String) -> Option<Problem> {
        self.applications.get(name).map(|place| Problem { message, ..place.clone() })
    }
}

/// Reads spec files into a catalog.
///
/// # Errors
/// Every problem of every file, warnings included, if one of them is an error.
pub fn load(files: &[SourceFile], options: &Options) -> Result<Loaded, Vec<Problem>> {
    let texts: Vec<Result<&str, Unreadable>> = files.iter().map(|f| text(&f.content)).collect();
    let mut problems = Problems::new(sources(files, &texts));
    if files.len() > MAX_FILES {
        let message = format!("{} spec files, more than {MAX_FILES}", files.len());
        problems.error(&At::bare(Place::file(0)), message).hint("join some of them");
        return Err(problems.finish());
    }
    let mut documents = Vec::new();
    for (file, text) in texts.iter().enumerate() {
        match text {
            Ok(text) => documents.extend(tree::read(file, text, &mut problems)),
            Err(unreadable) => unreadable.report(file, &mut problems),
        }
    }
    let resolved = resolve::catalog(&documents, files, options, &mut problems);
    match resolved {
        Some((catalog, places)) if !problems.has_errors() => {
            Ok(Loaded { catalog, warnings: problems.finish(), places })
        }
        _ => Err(problems.finish()),
    }
}

fn sources<'a>(files: &[SourceFile], texts: &[Result<&'a str, Unreadable>]) -> Vec<Source<'a>> {
    let source = |(file, text): (&SourceFile, &Result<&'a str, Unreadable>)| {
        let lines = text.as_ref().map(|text| problem::lines(text)).unwrap_or_default();
        Source { path: file.path.clone(), lines }
    };
    files.iter().zip(texts).map(source).collect()
}

/// Why bytes are no text.
enum Unreadable {
    TooLarge,
    NotUtf8 { line: usize },
}

impl Unreadable {
    fn report(&self, file: usize, problems: &mut Problems) {
        problems.incomplete = true;
        let whole = Place::file(file);
        match self {
            Unreadable::TooLarge => {
                let message = format!("the file is larger than {} KiB", MAX_FILE >> 10);
                problems.error(&At::bare(whole), message).hint("split it into several files");
            }
            Unreadable::NotUtf8 { line } => {
                let place = Place { line: *line, column: 1, ..whole };
                let problem = problems.error(&At::bare(place), "not UTF-8 text");
                problem.source = None;
                problem.hint("save the file as UTF-8");
            }
        }
    }
}

/// The text of a file, without a byte order mark.
fn text(content: &[u8]) -> Result<&str, Unreadable> {
    if content.len() > MAX_FILE {
        return Err(Unreadable::TooLarge);
    }
    let text = std::str::from_utf8(content).map_err(|error| {
        let before = &content[..error.valid_up_to()];
        Unreadable::NotUtf8 { line: 1 + before.iter().filter(|b| **b == b'\n').count() }
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cfg(test)]
mod tests;
