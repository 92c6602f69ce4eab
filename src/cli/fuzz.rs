//! A door for the fuzzer: events as `nines backtest` reads them.

use super::backtest::events;
use crate::model::{Catalog, SloId};

/// Reads events for the SLOs of a catalog; whether they were events.
pub fn events(catalog: &Catalog, mut text: &[u8]) -> bool {
    let find = |id: &str| {
        let found = catalog.slos().find(|(_, slo)| slo.id.as_str() == id);
        found.map(|(_, slo)| slo)
    };
    let known = catalog.slos().map(|(_, slo)| slo.id.clone()).map(|id: SloId| id.to_string());
    events::read(&mut text, find, &known.collect::<Vec<_>>().join(", ")).is_ok()
}
