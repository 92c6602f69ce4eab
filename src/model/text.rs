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

/// That there is nothing of this kind and name, and what there is: a dozen of it at most.
pub fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 12;
    let known: Vec<&str> = known.collect();
    let more = match known.len().saturating_sub(MOST) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    match known.is_empty() {
        true => format!("there is no {kind} {name:?}; none is declared"),
        false => {
            let few = known[..known.len().min(MOST)].join(", ");
            format!("there is no {kind} {name:?}; there are {few}{more}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let check = |known: &[&str], expect: &str| {
            let told = unknown("team", "x", known.iter().copied());
            assert_eq!(told, format!("there is no team \"x\"; {expect}"));
        };
        check(&[], "none is declared");
        check(&["a", "b"], "there are a, b");
        check(&["a"; 14], "there are a, a, a, a, a, a, a, a, a, a, a, a and 2 more");
    }
}
