//! The schema, the reader, the examples and the reference page agree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::*;
use crate::model::source::{Credentials, Server};
use crate::spec::{Options, SourceFile, load};

fn validator(which: Which) -> jsonschema::Validator {
    jsonschema::draft202012::new(&json(which)).expect("a schema")
}

/// Every document of a YAML text as an editor sees it.
fn documents(text: &str) -> Vec<Json> {
    use serde::Deserialize;
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Json::deserialize(document).expect("YAML"))
        .filter(|document| !document.is_null())
        .collect()
}

/// Every shipped example.
fn shipped() -> BTreeMap<PathBuf, String> {
    fn walk(directory: &Path, files: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|e| e == "yaml") {
                let text = std::fs::read_to_string(&path).expect("text");
                files.insert(path, text);
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("slo-specs"), &mut files);
    assert!(files.len() >= 8, "{files:?}");
    files
}

fn sources(files: &BTreeMap<PathBuf, String>) -> Vec<SourceFile> {
    let source = |(path, text): (&PathBuf, &String)| SourceFile {
        path: path.clone(),
        root: Path::new(env!("CARGO_MANIFEST_DIR")).join("slo-specs"),
        content: text.clone().into_bytes(),
    };
    files.iter().map(source).collect()
}

/// What a config allows that names the servers of the examples.
fn with_servers() -> Options {
    let server = Server {
        name: "main".parse().expect("a name"),
        url: "http://127.0.0.1:9090".to_owned(),
        credentials: Credentials::None,
        ca_file: None,
        timeout: Server::TIMEOUT,
        interval: Server::INTERVAL,
    };
    Options { prometheus: vec![server], ..Options::default() }
}

#[test]
fn every_shipped_example_loads_without_a_warning() {
    let loaded = load(&sources(&shipped()), &with_servers());
    let told = |problems: &[crate::spec::Problem]| -> String {
        problems.iter().map(|p| p.render(false)).collect()
    };
    match loaded {
        Ok(loaded) => assert_eq!(told(&loaded.warnings), ""),
        Err(problems) => panic!("{}", told(&problems)),
    }
}

#[test]
fn the_quickstart_stands_alone_and_is_short() {
    let files = shipped();
    let (path, text) =
        files.iter().find(|(path, _)| path.ends_with("slo-specs/quickstart.yaml")).expect("there");
    assert!(text.lines().count() <= 15);
    let one = BTreeMap::from([(path.clone(), text.clone())]);
    let loaded = load(&sources(&one), &Options::default()).expect("valid");
    assert_eq!(loaded.catalog.slos().count(), 1);
}

#[test]
fn every_shipped_document_is_valid_for_an_editor() {
    let validator = validator(Which::Specs);
    for (path, text) in shipped() {
        for document in documents(&text) {
            let errors: Vec<_> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        }
    }
}

#[test]
fn a_key_that_is_misspelt_anywhere_fails_for_an_editor_and_for_the_reader() {
    /// Misspells the n-th key of a document whose mapping has known keys; false past the last.
    fn misspell(value: &mut Json, known: &BTreeSet<&str>, n: &mut usize) -> bool {
        match value {
            Json::Array(items) => items.iter_mut().any(|item| misspell(item, known, n)),
            Json::Object(map) => {
                for key in map.keys().cloned().collect::<Vec<_>>() {
                    // Free keys, and what stands below them, may be anything.
                    let free =
                        ["labels", "links", "headers", "headersFromFile", "connectionDetails"]
                            .contains(&&*key);
                    if known.contains(key.as_str()) && *n == 0 {
                        let inner = map.remove(&key).unwrap_or_default();
                        map.insert(format!("{key}x"), inner);
                        return true;
                    }
                    *n = n.saturating_sub(1);
                    if !free && map.get_mut(&key).is_some_and(|inner| misspell(inner, known, n)) {
                        return true;
                    }
                }
                false
            }
            _ => false,
        }
    }
    let validator = validator(Which::Specs);
    let mut keys = keys_of_tables(Which::Specs);
    keys.extend(keys_of_tables(Which::OpenSlo));
    let known: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
    let mut n_tried = 0;
    for text in shipped().values() {
        for document in documents(text) {
            for nth in 0.. {
                let mut wrong = document.clone();
                if !misspell(&mut wrong, &known, &mut { nth }) {
                    break;
                }
                n_tried += 1;
                assert!(!validator.is_valid(&wrong), "{wrong:#}");
                let content = wrong.to_string().into_bytes();
                let file = SourceFile { path: "a".into(), root: "".into(), content };
                assert!(load(&[file], &Options::default()).is_err(), "{wrong:#}");
            }
        }
    }
    assert!(n_tried > 150, "{n_tried}");
}

/// Every key that the reader knows, by the tables it walks.
fn keys_of_tables(which: Which) -> BTreeSet<String> {
    let key = |row: &String| row.split('`').nth(1).expect("a key").to_owned();
    described(which).iter().flat_map(|table| table.rows.iter().map(key)).collect()
}

/// The tables of a file, and those of the spec language that its own lead to.
fn described(which: Which) -> Vec<Table> {
    let schema = json(which);
    let leads_to = |table: &Table| schema["$defs"].get(table.name).is_some();
    let shared = match which {
        Which::Config => tables(Which::Specs),
        _ => Vec::new(),
    };
    tables(which).into_iter().chain(shared.into_iter().filter(leads_to)).collect()
}

/// Every key of a mapping in the schema.
fn keys_of_schema(value: &Json, keys: &mut BTreeSet<String>) {
    match value {
        Json::Object(map) => {
            // The choice of a kind names keys only to look at them.
            if let Some(Json::Object(properties)) = map.get("properties")
                && map.contains_key("additionalProperties")
            {
                keys.extend(properties.keys().cloned());
            }
            map.values().for_each(|inner| keys_of_schema(inner, keys));
        }
        Json::Array(items) => items.iter().for_each(|item| keys_of_schema(item, keys)),
        _ => {}
    }
}

#[test]
fn the_schema_knows_every_key_of_the_reader_and_no_other() {
    for which in [Which::Specs, Which::Config, Which::WebConfig, Which::HttpConfig] {
        let schema = json(which);
        let mut keys = BTreeSet::new();
        keys_of_schema(&schema, &mut keys);
        // OpenSLO's documents stand in the same files.
        let others: &[Which] = if which == Which::Specs { &[Which::OpenSlo] } else { &[] };
        let mut known = keys_of_tables(which);
        known.extend(others.iter().flat_map(|other| keys_of_tables(*other)));
        assert_eq!(keys, known, "{which:?}");
        // Every mapping of the schema has its table, so that the reference page misses none.
        let defined = schema["$defs"].as_object().map_or(0, |defs| defs.len());
        let root = usize::from(which != Which::Specs);
        let n_others: usize = others.iter().map(|other| tables(*other).len()).sum();
        assert_eq!(defined + root, described(which).len() + n_others, "{which:?}");
    }
}

#[test]
fn the_reference_page_has_every_table_row_by_row() {
    let page = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
        std::fs::read_to_string(path).expect("the page")
    };
    for (which, name) in [
        (Which::Specs, "specs.md"),
        (Which::Config, "config.md"),
        (Which::WebConfig, "web.md"),
        (Which::HttpConfig, "web.md"),
        (Which::OpenSlo, "openslo.md"),
    ] {
        let page = page(name);
        for table in tables(which) {
            assert!(page.contains(&format!("### {}\n", table.name)), "{name}: {}", table.name);
            for row in &table.rows {
                assert!(page.contains(row.as_str()), "{name} lacks, in {}:\n{row}", table.name);
            }
        }
    }
}

#[test]
fn an_editor_refuses_what_the_reader_refuses() {
    let validator = validator(Which::Specs);
    let document = |slo: &str| {
        let text = format!(
            "apiVersion: nines/v1\nkind: Service\nmetadata: {{name: a}}\nspec:\n  \
             probes: [{{name: p, tcp: {{address: \"h:1\"}}}}]\n  slos: [{{name: s, {slo}}}]\n"
        );
        let file = SourceFile { path: "a".into(), root: "".into(), content: text.clone().into() };
        let reader = load(&[file], &Options::default()).is_ok();
        let editor = documents(&text).iter().all(|document| validator.is_valid(document));
        (reader, editor)
    };
    for good in [
        "objective: 99.95%, window: 30d",
        "objective: 0.9995, window: 4w",
        "objective: \"99.9 %\", window: 3d1h, alerting: none",
        "objective: 99%, window: 30d, alerting: {policy: workbook}, probes: [p]",
        "objective: 99%, window: 30d, minCoverage: 90%",
        "objective: 99%, window: 30d, meanOutage: 90s",
        "objective: 99%, window: {calendar: month}",
        "objective: 99%, window: {calendar: week, timeZone: Europe/Berlin}",
        "objective: 99%, window: 30d, prometheus: {server: main, good: a, total: b}",
        "objective: 99%, window: 30d, prometheus: {server: main, bad: a, total: b}",
        "objective: 99%, window: 30d, prometheus: {server: main, good: a, bad: b}",
    ] {
        assert_eq!(document(good), (true, true), "{good}");
    }
    for bad in [
        "objective: 100%, window: 30d",
        "objective: 1.0, window: 30d",
        "objective: x, window: 30d",
        "objective: 99%, window: 30",
        "objective: 99%, window: {calendar: fortnight}",
        "objective: 99%, window: {calendar: month, rolling: 30d}",
        "objective: 99%",
        "objective: 99%, window: 30d, alerting: maybe",
        "objective: 99%, window: 30d, probes: []",
        "objective: 99%, window: 30d, probe: p, probes: [p]",
        "objective: 99%, window: 30d, unknown: maybe",
        "objective: 99%, window: 30d, minCoverage: most",
        "objective: 99%, window: 30d, meanOutage: 90",
        "objective: 99%, window: 30d, prometheus: {good: a, total: b}",
        "objective: 99%, window: 30d, prometheus: {server: main}",
        "objective: 99%, window: 30d, prometheus: {server: main, total: a}",
        "objective: 99%, window: 30d, prometheus: {server: main, good: a}",
        "objective: 99%, window: 30d, prometheus: {server: main, good: a, bad: b, total: c}",
    ] {
        assert_eq!(document(bad), (false, false), "{bad}");
    }
}

#[test]
fn a_config_is_valid_for_an_editor_where_it_is_for_the_reader() {
    let validator = validator(Which::Config);
    let good = "specs: a\nweb: {listen: \":1\"}\nalerting: {mode: \"off\"}\nlimits: {slos: 5}\n\
                egress: {deny: [10.0.0.0/8, \"[fd00::/8]:1-9\"]}\n";
    assert!(documents(good).iter().all(|document| validator.is_valid(document)));
    for bad in [
        "spec: a",
        "web: {listen: 1}",
        "limits: {slos: 0}",
        "prometheus: {main: {}}",
        "egress: {deny: [host]}",
    ] {
        assert!(documents(bad).iter().all(|document| !validator.is_valid(document)), "{bad}");
    }
}
