//! The scale benchmark on a platform of twenty SLOs: what it assumes must hold, whatever it
//! takes.

#[path = "../../benches/support/scale.rs"]
mod scale;

#[test]
fn every_slot_is_counted_and_every_series_is_scraped() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let size = scale::Size { n_slos: 20, days: 2, n_ticks: 12 };
    scale::fill(directory.path(), size);
    scale::measure(directory.path(), size);
}
