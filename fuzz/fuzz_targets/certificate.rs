//! What a target presents as its certificate.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| nines::probe::fuzz::certificate(der));
