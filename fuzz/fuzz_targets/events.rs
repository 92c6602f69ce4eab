//! Events as `nines backtest` reads them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nines::model::Catalog;

static CATALOG: LazyLock<Catalog> = LazyLock::new(nines_fuzz::catalog);

fuzz_target!(|text: &[u8]| {
    nines::cli::fuzz::events(&CATALOG, text);
});
