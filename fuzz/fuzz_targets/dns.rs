//! What a name server answers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nines::probe::fuzz::dns(bytes));
