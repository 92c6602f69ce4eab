//! `nines dashboards`: the Grafana dashboards that belong to this version, written to disk.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// Every shipped file by its path below `dashboards/`.
const FILES: &[(&str, &str)] = &[
    ("nines-overview.json", include_str!("../../dashboards/nines-overview.json")),
    ("nines-slo.json", include_str!("../../dashboards/nines-slo.json")),
    (
        "provisioning/dashboards/nines.yaml",
        include_str!("../../dashboards/provisioning/dashboards/nines.yaml"),
    ),
    (
        "provisioning/datasources/prometheus.yaml",
        include_str!("../../dashboards/provisioning/datasources/prometheus.yaml"),
    ),
];

/// Writes every file below `directory` and prints their paths. Files of the same name are
/// replaced.
///
/// # Errors
/// A file cannot be written.
pub fn run(directory: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    for (name, content) in FILES {
        let path = directory.join(name);
        let parent = path.parent().unwrap_or(directory);
        std::fs::create_dir_all(parent).with_context(|| {
            format!("cannot make the directory {}; name one that can be", parent.display())
        })?;
        std::fs::write(&path, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}
