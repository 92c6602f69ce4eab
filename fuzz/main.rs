//! All fuzz targets in one program; `NINES_FUZZ_TARGET` names the one that is run. See `run`.
#![no_main]

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

use targets::{ALL, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

/// The target that was asked for.
fn chosen() -> Target {
    let wanted = std::env::var("NINES_FUZZ_TARGET").unwrap_or_default();
    let found = ALL.iter().find(|(name, _)| *name == wanted);
    let names = || ALL.map(|(name, _)| name).join(", ");
    found.unwrap_or_else(|| panic!("NINES_FUZZ_TARGET is none of: {}", names())).1
}

fuzz_target!(init: TARGET.get_or_init(chosen), |bytes: &[u8]| {
    TARGET.get_or_init(chosen)(bytes);
});
