//! What the pages of reports and of incidents show. The numbers and sentences are those of the
//! API's answer, so page and JSON cannot differ.

use askama::Template;
use serde_json::Value;

use crate::serve::own::VERSION;

/// The page of one report.
#[derive(Debug, Template)]
#[template(path = "report.html")]
pub struct ReportPage {
    root: &'static str,
    version: &'static str,
    assets: String,
    kind: String,
    name: String,
    from: String,
    to: String,
    over: bool,
    headline: String,
    need: String,
    slug: &'static str,
    slos: Vec<SloPart>,
    agreements: Vec<AgreementRow>,
    json: String,
}

/// One SLO of a report.
#[derive(Debug)]
struct SloPart {
    id: String,
    kept: String,
    slug: &'static str,
    promised: String,
    delivered: String,
    spent: String,
    of: String,
    scaled: String,
    coverage: String,
    evidence: String,
    singly: String,
    amendments: Vec<String>,
    worst: Vec<WorstRow>,
    incidents: Vec<IncidentRow>,
    left_out: u64,
}

#[derive(Debug)]
struct WorstRow {
    length: String,
    percent: String,
    start: String,
}

#[derive(Debug)]
pub struct IncidentRow {
    pub slo: String,
    pub start: String,
    pub end: String,
    pub open: bool,
    pub sentence: String,
}

#[derive(Debug)]
struct AgreementRow {
    name: String,
    customer: String,
    slo: String,
    from: String,
    kept: String,
    slug: &'static str,
    sentence: String,
    scaled: String,
}

/// The page of incidents.
#[derive(Debug, Template)]
#[template(path = "incidents.html")]
pub struct IncidentsPage {
    root: &'static str,
    version: &'static str,
    assets: String,
    headline: String,
    slug: &'static str,
    from: String,
    to: String,
    incidents: Vec<IncidentRow>,
    left_out: u64,
    query: String,
}

impl ReportPage {
    /// The page of the report that the API gives; `query` is what was asked for behind the path.
    pub fn of(report: &Value, query: &str) -> Self {
        let (kind, name) = (text(&report["scope"]["kind"]), text(&report["scope"]["name"]));
        let slos: Vec<SloPart> = items(&report["slos"]).map(slo).collect();
        let application = &report["application"];
        let need = application["objective"].as_str().map(|objective| {
            let window = text(&application["window"]);
            format!("{} needs {objective} over {window}.", text(&application["title"]))
        });
        ReportPage {
            root: "../../",
            version: VERSION,
            assets: super::assets_version(),
            from: text(&report["period"]["start"]),
            to: text(&report["period"]["end"]),
            over: report["over"] == true,
            headline: text(&report["headline"]),
            need: need.unwrap_or_default(),
            slug: worst_of(slos.iter().map(|slo| slo.slug)),
            slos,
            agreements: items(&report["agreements"]).flat_map(agreement).collect(),
            json: format!("api/v1/reports/{kind}/{name}{query}"),
            kind,
            name,
        }
    }
}

impl IncidentsPage {
    /// The page of the incidents that the API gives.
    pub fn of(answer: &Value, query: &str) -> Self {
        let incidents = incident_rows(answer);
        let open = incidents.iter().filter(|one| one.open).count();
        let headline = match (incidents.len(), open) {
            (0, _) => "No incident.".to_owned(),
            (1, 0) => "1 incident, over.".to_owned(),
            (n, 0) => format!("{n} incidents, all over."),
            (1, _) => "1 incident, going on.".to_owned(),
            (n, open) => format!("{n} incidents, {open} going on."),
        };
        IncidentsPage {
            root: "./",
            version: VERSION,
            assets: super::assets_version(),
            headline,
            slug: if open > 0 { "missed" } else { "no-objective" },
            from: text(&answer["period"]["start"]),
            to: text(&answer["period"]["end"]),
            incidents,
            left_out: answer["left_out"].as_u64().unwrap_or(0),
            query: query.to_owned(),
        }
    }
}

fn slo(slo: &Value) -> SloPart {
    let said = |key: &str| slo["sentences"][key].as_str().unwrap_or_default().to_owned();
    let worst = |one: &Value| WorstRow {
        length: text(&one["length"]),
        percent: text(&one["percent"]),
        start: text(&one["shown"]["start"]),
    };
    let lost = |one: &&Value| one["bad"].as_u64().is_some_and(|bad| bad > 0);
    let spent = said("spent");
    let (spent, of) = spent.split_once(": ").unwrap_or((&spent, ""));
    SloPart {
        id: text(&slo["slo"]),
        kept: capital(&text(&slo["kept"])),
        slug: slug(&slo["kept"]),
        promised: said("promised"),
        delivered: said("delivered"),
        spent: capital(spent),
        of: of.to_owned(),
        scaled: capital(&said("scaled")),
        coverage: said("coverage"),
        evidence: capital(&said("evidence")),
        singly: capital(&said("singly")),
        amendments: items(&slo["amendments"]).map(|one| capital(&text(&one["sentence"]))).collect(),
        worst: items(&slo["worst"]).filter(lost).map(worst).collect(),
        incidents: items(&slo["incidents"]).map(incident).collect(),
        left_out: slo["incidents_left_out"].as_u64().unwrap_or(0),
    }
}

/// The incidents that the API gives.
pub fn incident_rows(answer: &Value) -> Vec<IncidentRow> {
    items(&answer["incidents"]).map(incident).collect()
}

fn incident(incident: &Value) -> IncidentRow {
    IncidentRow {
        slo: text(&incident["slo"]),
        start: text(&incident["shown"]["start"]),
        end: text(&incident["shown"]["end"]),
        open: incident["open"] == true,
        sentence: text(&incident["sentence"]),
    }
}

fn agreement(agreement: &Value) -> Vec<AgreementRow> {
    let row = |settled: &Value| AgreementRow {
        name: text(&agreement["name"]),
        customer: text(&agreement["customer"]),
        slo: text(&agreement["slo"]),
        from: text(&settled["period"]["start"]),
        kept: capital(&text(&settled["kept"])),
        slug: slug(&settled["kept"]),
        sentence: text(&settled["sentence"]),
        scaled: capital(&text(&settled["scaled"])),
    };
    items(&agreement["periods"]).map(row).collect()
}

/// The sign and the colour of the condition that is most like it.
fn slug(kept: &Value) -> &'static str {
    match kept.as_str() {
        Some("kept") => "meeting",
        Some("broken") => "missed",
        Some("open") => "no-objective",
        _ => "no-data",
    }
}

fn worst_of(slugs: impl Iterator<Item = &'static str>) -> &'static str {
    const ORDER: [&str; 4] = ["meeting", "no-objective", "no-data", "missed"];
    let rank = |slug: &&'static str| ORDER.iter().position(|known| known == slug);
    slugs.max_by_key(rank).unwrap_or("no-data")
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
