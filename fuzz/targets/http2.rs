//! What a target answers over HTTP/2: every answer gets a verdict, within bounds.

use std::sync::LazyLock;

use nines::model::check::HttpCheck;

use super::shared;

static CHECK: LazyLock<HttpCheck> = LazyLock::new(shared::http_check);

/// Runs one input.
pub fn run(answer: &[u8]) {
    shared::runtime().block_on(nines::probe::fuzz::http(&CHECK, answer, true));
}
