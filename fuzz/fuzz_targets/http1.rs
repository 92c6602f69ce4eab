//! What a target answers over HTTP/1: every answer gets a verdict, within bounds.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nines::model::check::HttpCheck;

static CHECK: LazyLock<HttpCheck> = LazyLock::new(nines_fuzz::http_check);

fuzz_target!(|answer: &[u8]| {
    nines_fuzz::runtime().block_on(nines::probe::fuzz::http(&CHECK, answer, false));
});
