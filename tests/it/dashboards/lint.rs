//! What every board keeps to, so that it loads in any Grafana from 10 on, works with any name of
//! the data source, and can be trusted: the rules of Grafana's own dashboard linter, and ours.
//!
//! A rule is a function from a board to complaints. Grafana itself is not run here.

use std::collections::BTreeSet;

use promql_parser::parser::{Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::{Value, json};

use super::{Board, array, boards, fill, text};
use crate::metrics;

type Rule = fn(&Board) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("identity", identity),
    ("keys", known_keys),
    ("data source", data_source),
    ("variables", variables),
    ("panels", panels),
    ("precision", precision),
    ("grid", grid),
    ("queries", queries),
    ("defined variables", defined_variables),
    ("links", links),
    ("metrics", known_metrics),
];

const TOP_KEYS: &[&str] = &[
    "annotations",
    "description",
    "editable",
    "fiscalYearStartMonth",
    "graphTooltip",
    "links",
    "liveNow",
    "panels",
    "refresh",
    "schemaVersion",
    "tags",
    "templating",
    "time",
    "timepicker",
    "timezone",
    "title",
    "uid",
    "version",
    "weekStart",
];

const PANEL_KEYS: &[&str] = &[
    "datasource",
    "description",
    "fieldConfig",
    "gridPos",
    "id",
    "links",
    "options",
    "targets",
    "title",
    "transformations",
    "type",
];

/// Panels that every Grafana has, without plugins.
const PANEL_TYPES: &[&str] =
    &["bargauge", "heatmap", "stat", "state-timeline", "table", "text", "timeseries"];

/// Units of Grafana that our numbers have.
const UNITS: &[&str] =
    &["bytes", "dateTimeFromNow", "dtdurations", "none", "percentunit", "reqps", "s", "short"];

#[test]
fn boards_keep_every_rule() {
    let boards = boards();
    assert!(!boards.is_empty(), "no board was found");
    let complaints: Vec<_> = boards.iter().flat_map(complaints).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn boards_link_only_to_boards_that_exist() {
    let names: BTreeSet<_> = boards().iter().map(|board| board.name.clone()).collect();
    for board in boards() {
        for link in strings(&board.json).iter().filter_map(|s| s.strip_prefix("/d/")) {
            let uid = link.split(['/', '?']).next().unwrap_or_default();
            assert!(names.contains(uid), "{}: no board {uid}", board.name);
        }
    }
}

#[test]
fn provisioning_files_are_what_grafana_reads() {
    let read = |file: &str| -> Value {
        let path = format!("{}/dashboards/provisioning/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
    };
    let sources = read("datasources/prometheus.yaml");
    assert_eq!(
        (&sources["apiVersion"], &sources["datasources"][0]["type"]),
        (&json!(1), &json!("prometheus"))
    );
    let boards = read("dashboards/nines.yaml");
    let provider = &boards["providers"][0];
    assert_eq!((&boards["apiVersion"], &provider["type"]), (&json!(1), &json!("file")));
    assert!(provider["options"]["path"].is_string());
}

/// Each rule must object to a board that breaks it; a rule that never objects is none.
#[test]
fn every_rule_objects_to_what_it_forbids() {
    let check = |rule: &str, pointer: &str, value: Value| {
        let mut board = boards().into_iter().find(|b| b.name == "nines-slo").expect("shipped");
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = board.json.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
        match parent {
            Value::Object(fields) => drop(fields.insert(key.to_owned(), value.clone())),
            Value::Array(items) => items[key.parse::<usize>().expect("an index")] = value.clone(),
            _ => panic!("{pointer} is in no container"),
        }
        let told = complaints(&board);
        let by_rule = format!("nines-slo: {rule}: ");
        assert!(told.iter().any(|c| c.starts_with(&by_rule)), "{pointer} = {value}: {told:?}");
    };
    check("identity", "/uid", json!("other"));
    check("identity", "/tags", json!([]));
    check("identity", "/schemaVersion", json!(16));
    check("identity", "/editable", json!(true));
    check("identity", "/title", json!(""));
    check("keys", "/titel", json!("x"));
    check("keys", "/panels/0/unknown", json!(1));
    check("keys", "/panels/0/gridPos/w", json!("4"));
    check("data source", "/templating/list/0/name", json!("source"));
    check("data source", "/templating/list/0/label", json!("source"));
    check("data source", "/panels/0/datasource", json!("Prometheus"));
    check("data source", "/panels/0/targets/0/datasource", json!({"uid": "abc"}));
    check("data source", "/annotations/list/0/datasource", json!(null));
    check("variables", "/templating/list/1/multi", json!(false));
    check("variables", "/templating/list/1/allValue", json!(null));
    check("variables", "/templating/list/2/label", json!("Instance"));
    check("variables", "/templating/list/2/name", json!("pod"));
    check("variables", "/templating/list/3/refresh", json!(1));
    check("variables", "/templating/list/3/definition", json!("label_values(a{, slo)"));
    check("variables", "/templating/list/3/definition", json!("metrics(nines_slo_info)"));
    check("panels", "/panels/0/title", json!(""));
    check("panels", "/panels/0/description", json!(""));
    check("panels", "/panels/0/type", json!("graph"));
    check("panels", "/panels/0/targets", json!([]));
    check("panels", "/panels/0/fieldConfig/defaults/unit", json!("parsecs"));
    check("panels", "/panels/0/fieldConfig/defaults/noValue", json!("0"));
    check("panels", "/panels/1/id", json!(1));
    check("precision", "/panels/0/fieldConfig/defaults/decimals", json!(3));
    check("grid", "/panels/0/gridPos/w", json!(25));
    check("grid", "/panels/1/gridPos/x", json!(0));
    check("links", "/links", json!([]));
    let query = |rule: &str, expr: &str| check(rule, "/panels/0/targets/0/expr", json!(expr));
    query("queries", "sum(nines_slo_info{job=~\"$job\"");
    query("queries", "sum(nines_slo_info{job=~\"$job\"})");
    query("queries", "sum(nines_slo_info{job=~\"$job\",instance=\"$instance\"})");
    query("queries", "sum(nines_slo_good_total{job=~\"$job\",instance=~\"$instance\"})");
    query("queries", "rate(nines_slo_good_total{job=~\"$job\",instance=~\"$instance\"}[5m])");
    let deriv =
        "deriv(nines_slo_good_total{job=~\"$job\",instance=~\"$instance\"}[$__rate_interval])";
    query("queries", deriv);
    query(
        "defined variables",
        "nines_slo_info{job=~\"$job\",instance=~\"$instance\",team=\"$team\"}",
    );
    query("metrics", "nines_slo_compliance{job=~\"$job\",instance=~\"$instance\"}");
}

fn complaints(board: &Board) -> Vec<String> {
    let by_rule = RULES.iter().flat_map(|(name, rule)| {
        rule(board).into_iter().map(move |complaint| format!("{name}: {complaint}"))
    });
    by_rule.map(|complaint| format!("{}: {complaint}", board.name)).collect()
}

/// A complaint unless `holds`.
fn demand(complaints: &mut Vec<String>, holds: bool, complaint: impl FnOnce() -> String) {
    if !holds {
        complaints.push(complaint());
    }
}

fn identity(board: &Board) -> Vec<String> {
    let (json, mut told) = (&board.json, Vec::new());
    let uid = text(&json["uid"]);
    demand(&mut told, uid == board.name && uid.len() <= 40, || format!("uid {uid:?}"));
    demand(&mut told, !text(&json["title"]).is_empty(), || "no title".to_owned());
    demand(&mut told, array(&json["tags"]).contains(&json!("nines")), || "no tag nines".to_owned());
    let version = json["schemaVersion"].as_i64().unwrap_or(0);
    demand(&mut told, (39..=42).contains(&version), || format!("schemaVersion {version}"));
    demand(&mut told, json["editable"] == json!(false), || "editable".to_owned());
    told
}

fn known_keys(board: &Board) -> Vec<String> {
    let mut told = Vec::new();
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    for key in keys(&board.json) {
        demand(&mut told, TOP_KEYS.contains(&key.as_str()), || format!("unknown key {key}"));
    }
    for panel in array(&board.json["panels"]) {
        let title = text(&panel["title"]);
        for key in keys(panel) {
            let known = PANEL_KEYS.contains(&key.as_str());
            demand(&mut told, known, || format!("{title}: unknown key {key}"));
        }
        for edge in ["x", "y", "w", "h"] {
            let number = panel["gridPos"][edge].is_u64();
            demand(&mut told, number, || format!("{title}: gridPos.{edge} is no number"));
        }
    }
    told
}

fn data_source(board: &Board) -> Vec<String> {
    let mut told = Vec::new();
    let variables = array(&board.json["templating"]["list"]).iter();
    let sources: Vec<_> = variables.filter(|v| v["type"] == "datasource").collect();
    let right = sources.len() == 1
        && sources[0]["name"] == "datasource"
        && sources[0]["label"] == "Data Source"
        && sources[0]["query"] == "prometheus";
    demand(&mut told, right, || "not exactly one variable `datasource`".to_owned());
    let templated = json!({"type": "prometheus", "uid": "${datasource}"});
    for panel in array(&board.json["panels"]) {
        let targets = array(&panel["targets"]).iter();
        let all = targets.chain([panel]).all(|owner| owner["datasource"] == templated);
        demand(&mut told, all, || format!("{}: a fixed data source", text(&panel["title"])));
    }
    for annotation in array(&board.json["annotations"]["list"]) {
        let right = annotation["datasource"] == templated;
        demand(&mut told, right, || "an annotation with a fixed data source".to_owned());
    }
    told
}

fn variables(board: &Board) -> Vec<String> {
    let mut told = Vec::new();
    let list = array(&board.json["templating"]["list"]);
    for name in ["job", "instance"] {
        let variable = list.iter().find(|v| v["name"] == name);
        let right = variable.is_some_and(|v| {
            v["type"] == "query"
                && v["multi"] == true
                && v["allValue"] == ".+"
                && v["label"] == name
        });
        demand(&mut told, right, || format!("no proper variable `{name}`"));
    }
    for variable in list.iter().filter(|v| v["type"] == "query") {
        let name = text(&variable["name"]);
        demand(&mut told, variable["refresh"] == 2, || format!("{name} ignores the time range"));
        let source = &variable["datasource"]["uid"];
        demand(&mut told, source == "${datasource}", || format!("{name}: a fixed data source"));
        let query = text(&variable["definition"]);
        let same = variable["query"]["query"] == query;
        demand(&mut told, same, || format!("{name}: query and definition differ"));
        let parses = label_values(query).is_some_and(|(selector, label)| {
            let plain = label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            plain && promql_parser::parser::parse(&fill(selector, "a/b")).is_ok()
        });
        demand(&mut told, parses, || format!("{name}: not a label_values query: {query}"));
    }
    told
}

/// The selector and the label of `label_values(selector, label)`.
fn label_values(query: &str) -> Option<(&str, &str)> {
    query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(", ")
}

fn panels(board: &Board) -> Vec<String> {
    let (mut told, mut ids) = (Vec::new(), BTreeSet::new());
    for panel in array(&board.json["panels"]) {
        let title = text(&panel["title"]);
        let mut demand =
            |holds, what: &str| demand(&mut told, holds, || format!("{title}: {what}"));
        demand(!title.is_empty(), "no title");
        demand(!text(&panel["description"]).is_empty(), "no description");
        demand(PANEL_TYPES.contains(&text(&panel["type"])), "not a core panel");
        demand(!array(&panel["targets"]).is_empty(), "no query");
        demand(panel["id"].as_u64().is_some_and(|id| ids.insert(id)), "no id of its own");
        let defaults = &panel["fieldConfig"]["defaults"];
        demand(defaults["noValue"] == "no data", "does not say \"no data\"");
        let units = [text(&defaults["unit"])].into_iter().chain(
            overrides(panel).filter(|property| property["id"] == "unit").map(|p| text(&p["value"])),
        );
        for unit in units {
            demand(UNITS.contains(&unit), &format!("unknown unit {unit:?}"));
        }
    }
    told
}

/// Every property that a panel overrides for some field.
fn overrides(panel: &Value) -> impl Iterator<Item = &Value> {
    let all = array(&panel["fieldConfig"]["overrides"]).iter();
    all.flat_map(|field| array(&field["properties"]))
}

/// Ratios show at least five decimals: 99.9996 % must not read as 100 %.
fn precision(board: &Board) -> Vec<String> {
    let mut told = Vec::new();
    let enough = |decimals: &Value| decimals.as_u64().is_some_and(|n| n >= 5);
    for panel in array(&board.json["panels"]) {
        let title = text(&panel["title"]);
        let defaults = &panel["fieldConfig"]["defaults"];
        let ratio = defaults["unit"] == "percentunit";
        demand(&mut told, !ratio || enough(&defaults["decimals"]), || {
            format!("{title}: too coarse")
        });
        for field in array(&panel["fieldConfig"]["overrides"]) {
            let of = |id: &str| {
                array(&field["properties"])
                    .iter()
                    .find(|p| p["id"] == id)
                    .map(|p| p["value"].clone())
            };
            let ratio = of("unit") == Some(json!("percentunit"));
            let fine = enough(&of("decimals").unwrap_or_default());
            let name = text(&field["matcher"]["options"]);
            demand(&mut told, !ratio || fine, || format!("{title}, {name}: too coarse"));
        }
    }
    told
}

/// Panels stay within Grafana's 24 columns and do not cover each other.
fn grid(board: &Board) -> Vec<String> {
    let (mut told, mut placed) = (Vec::new(), Vec::<(u64, u64, u64, u64)>::new());
    for panel in array(&board.json["panels"]) {
        let edge = |name: &str| panel["gridPos"][name].as_u64().unwrap_or(0);
        let (x, y, w, h) = (edge("x"), edge("y"), edge("w"), edge("h"));
        let title = text(&panel["title"]);
        demand(&mut told, w > 0 && h > 0 && x + w <= 24, || format!("{title}: off the grid"));
        let free = placed
            .iter()
            .all(|(px, py, pw, ph)| x + w <= *px || px + pw <= x || y + h <= *py || py + ph <= y);
        demand(&mut told, free, || format!("{title}: covers another panel"));
        placed.push((x, y, w, h));
    }
    told
}

fn queries(board: &Board) -> Vec<String> {
    let mut told = Vec::new();
    let annotations = array(&board.json["annotations"]["list"]).iter();
    let annotations = annotations.map(|a| text(&a["expr"]).to_owned());
    for expr in board.queries().into_iter().map(|query| query.expr).chain(annotations) {
        let filled = expr.replace("$__rate_interval", "5m");
        let parsed = match promql_parser::parser::parse(&filled) {
            Ok(parsed) => parsed,
            Err(error) => {
                told.push(format!("{expr}: {error}"));
                continue;
            }
        };
        let ranges = expr.matches('[').count();
        let right = ranges == expr.matches("[$__rate_interval]").count();
        demand(&mut told, right, || format!("{expr}: a range that is not $__rate_interval"));
        let mut walk = Walk { told: Vec::new() };
        walk_expr(&mut walk, &parsed).expect("the walk has no errors");
        told.extend(walk.told.iter().map(|complaint| format!("{expr}: {complaint}")));
    }
    told
}

struct Walk {
    told: Vec<String>,
}

impl ExprVisitor for Walk {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        match expr {
            Expr::VectorSelector(selector) => {
                let counter = selector.name.as_deref().is_some_and(|n| n.ends_with("_total"));
                demand(&mut self.told, !counter, || "a counter outside rate()".to_owned());
                self.matched(selector);
            }
            Expr::MatrixSelector(matrix) => self.matched(&matrix.vs),
            Expr::Call(call) => {
                let ranged = call.args.args.iter().any(|a| matches!(**a, Expr::MatrixSelector(_)));
                let right = !ranged || ["rate", "increase"].contains(&call.func.name);
                demand(&mut self.told, right, || format!("a range in {}()", call.func.name));
            }
            _ => {}
        }
        Ok(true)
    }
}

impl Walk {
    fn matched(&mut self, selector: &VectorSelector) {
        for name in ["job", "instance"] {
            let wanted = format!("{name}=~\"${name}\"");
            let has = selector.matchers.matchers.iter().any(|m| m.to_string() == wanted);
            demand(&mut self.told, has, || format!("no matcher {wanted}"));
        }
    }
}

fn defined_variables(board: &Board) -> Vec<String> {
    let list = array(&board.json["templating"]["list"]).iter();
    let defined: BTreeSet<_> = list.map(|v| text(&v["name"]).to_owned()).collect();
    let used = strings(&board.json);
    let used: BTreeSet<_> = used.iter().flat_map(|s| variables_in(s)).collect();
    let unknown = used.iter().filter(|name| !name.starts_with("__") && !defined.contains(**name));
    unknown.map(|name| format!("${name} is not defined")).collect()
}

/// The names behind `$name` and `${name…}`.
fn variables_in(text: &str) -> Vec<&str> {
    let after = text.split('$').skip(1).map(|rest| rest.strip_prefix('{').unwrap_or(rest));
    let name = |rest: &'_ str| {
        rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
    };
    after.map(|rest| &rest[..name(rest)]).filter(|name| !name.is_empty()).collect()
}

fn links(board: &Board) -> Vec<String> {
    let mut told = Vec::new();
    let to_others = array(&board.json["links"]).iter().any(|link| {
        link["type"] == "dashboards"
            && array(&link["tags"]).contains(&json!("nines"))
            && link["keepTime"] == true
            && link["includeVars"] == true
    });
    demand(&mut told, to_others, || "no link to the other boards".to_owned());
    told
}

fn known_metrics(board: &Board) -> Vec<String> {
    let exprs: Vec<_> = strings(&board.json);
    metrics::unknown_in(&exprs.join("\n"), metrics::KNOWN)
}

/// Every text in a value, however deep.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(fields) => fields.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}
