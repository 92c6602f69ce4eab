//! Group commits as rows hold them: what is read is written again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| nines::ledger::fuzz::batch(body));
