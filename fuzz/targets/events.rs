//! Events as `nines backtest` reads them.

use std::sync::LazyLock;

use nines::model::Catalog;

use super::shared;

static CATALOG: LazyLock<Catalog> = LazyLock::new(shared::catalog);

/// Runs one input.
pub fn run(text: &[u8]) {
    nines::cli::fuzz::events(&CATALOG, text);
}
