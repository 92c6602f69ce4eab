//! Slices as rows hold them: what is read is written again as the same.

/// Runs one input.
pub fn run(body: &[u8]) {
    nines::ledger::fuzz::slice(body);
}
