//! What a name server answers.

/// Runs one input.
pub fn run(bytes: &[u8]) {
    nines::probe::fuzz::dns(bytes);
}
