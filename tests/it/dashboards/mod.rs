//! The Grafana boards as data: read, with their variables filled in as Grafana would, and held to
//! the rules in [`lint`].

mod lint;

use std::path::Path;

use serde_json::Value;

/// A board and the name of its file, without the ending.
pub struct Board {
    /// Such as `nines-slo`.
    pub name: String,
    /// The JSON.
    pub json: Value,
}

/// One query of a panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The panel's title.
    pub panel: String,
    /// As it stands in the board.
    pub expr: String,
}

impl Board {
    /// Every query of every panel.
    pub fn queries(&self) -> Vec<Query> {
        let panels = array(&self.json["panels"]).iter();
        let queries = panels.flat_map(|panel| {
            array(&panel["targets"]).iter().map(|target| Query {
                panel: text(&panel["title"]).to_owned(),
                expr: text(&target["expr"]).to_owned(),
            })
        });
        queries.collect()
    }
}

/// Every board that is shipped, by name.
pub fn boards() -> Vec<Board> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("dashboards/ is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let json = std::fs::read(path).expect("readable");
        let json = serde_json::from_slice(&json).unwrap_or_else(|e| panic!("{name}: {e}"));
        Board { name, json }
    };
    files.iter().map(read).collect()
}

/// An expression with its variables filled in: every job and instance, this SLO, and the rate
/// interval that Grafana chooses for a scrape interval of one second.
pub fn fill(expr: &str, slo: &str) -> String {
    let service = slo.split('/').next().unwrap_or_default();
    let values = [
        ("$__rate_interval", "10s"),
        ("$instance", ".+"),
        ("$service", service),
        ("$job", ".+"),
        ("$slo", slo),
    ];
    values.iter().fold(expr.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// An array, or nothing.
fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text, or nothing.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
