//! What was wrong with a piece of text, for the reader who has to mend it.

/// A text that could not be read, and what would have been accepted in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {expected}")]
pub struct ParseError {
    /// The offending text, cut to a readable length.
    pub found: String,
    /// What was expected, as a noun phrase with an example.
    pub expected: String,
}

impl ParseError {
    /// Longest excerpt of offending text that an error repeats, in characters.
    const MAX_FOUND: usize = 80;

    /// An error about `found`, where `expected` names what would have been right.
    pub fn new(found: &str, expected: impl Into<String>) -> Self {
        let found = found.chars().take(Self::MAX_FOUND).collect();
        ParseError { found, expected: expected.into() }
    }
}
