//! What a target presents as its certificate.

/// Runs one input.
pub fn run(der: &[u8]) {
    nines::probe::fuzz::certificate(der);
}
