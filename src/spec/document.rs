//! Files of settings: one document each, or nothing.

use std::path::Path;

use super::mirror::{Mapping, read_mapping};
use super::problem::{At, Problem, Problems, Source, lines};
use super::{SourceFile, text, tree};

/// Whether reports may repeat lines of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// They may.
    Shown,
    /// The file holds secrets.
    Hidden,
}

/// Reads a file's mapping and makes something of it; `make` gets none for an empty file, and the
/// directory to which paths are relative. Comes with warnings.
///
/// # Errors
/// Every problem in it.
pub(super) fn load<M: Mapping, T: Default>(
    file: &SourceFile,
    show: Lines,
    make: impl FnOnce(&M, &Path, &mut Problems) -> T,
) -> Result<(T, Vec<Problem>), Vec<Problem>> {
    let text = text(&file.content);
    let shown = text.as_ref().ok().filter(|_| show == Lines::Shown);
    let lines = shown.map(|text| lines(text)).unwrap_or_default();
    let mut problems = Problems::new(vec![Source { path: file.path.clone(), lines }]);
    let documents = match &text {
        Ok(text) => tree::read(0, text, &mut problems),
        Err(unreadable) => {
            unreadable.report(0, &mut problems);
            Vec::new()
        }
    };
    if let Some(second) = documents.get(1) {
        let at = At::bare(second.place);
        problems.error(&at, "a second document").expected("one document in such a file");
    }
    let directory = file.path.parent().unwrap_or(Path::new(""));
    let made = match documents.first() {
        Some(node) => read_mapping::<M>(node, &At::bare(node.place), &mut problems)
            .map(|raw| make(&raw, directory, &mut problems)),
        None => Some(T::default()),
    };
    match made {
        Some(made) if !problems.has_errors() => Ok((made, problems.finish())),
        _ => Err(problems.finish()),
    }
}
