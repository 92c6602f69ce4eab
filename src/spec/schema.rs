//! The JSON Schema of the files, for editors, and the tables of the reference page.
//!
//! Written from the tables that the reader walks (see `mirror`): each key is declared once, so
//! there is no second list that could drift. What needs two keys or two documents to tell, such
//! as a dangling reference, is left to the reader.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::config;
use super::http_config;
use super::mirror::Mapping;
use super::openslo;
use super::raw;
use super::web_config;

/// Which files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// Spec files.
    #[default]
    Specs,
    /// The operator's config file.
    Config,
    /// The file of `--web.config.file`.
    WebConfig,
    /// The file of `--http.config.file`.
    HttpConfig,
    /// OpenSLO documents among the spec files, for the reference page.
    OpenSlo,
}

/// The JSON Schema (draft 2020-12) of one document of such a file.
pub fn json(which: Which) -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let (mut schema, title) = match which {
        Which::Specs | Which::OpenSlo => {
            (generator.into_root_schema_for::<Document>(), "nines specs")
        }
        Which::Config => (config::schema(generator), "nines config"),
        Which::WebConfig => (web_config::schema(generator), "nines web config"),
        Which::HttpConfig => (http_config::schema(generator), "nines HTTP config"),
    };
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

/// One document of a spec file.
struct Document;

impl JsonSchema for Document {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Document".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds = [
            (raw::KINDS[0], generator.subschema_for::<raw::Service>()),
            (raw::KINDS[1], generator.subschema_for::<raw::SupportTier>()),
            (raw::KINDS[2], generator.subschema_for::<raw::AlertPolicy>()),
            (raw::KINDS[3], generator.subschema_for::<raw::Application>()),
            (raw::KINDS[4], generator.subschema_for::<raw::Agreement>()),
            (raw::KINDS[5], generator.subschema_for::<raw::Maintenance>()),
            (raw::KINDS[6], generator.subschema_for::<raw::Correction>()),
        ];
        // One branch by version and kind, so that an editor speaks of the mistake and not of
        // every kind.
        let branch = |version: &'static str| {
            move |(kind, schema): &(&str, Schema)| {
                let is = serde_json::json!({
                    "properties": {"apiVersion": {"const": version}, "kind": {"const": kind}},
                    "required": ["apiVersion", "kind"],
                });
                serde_json::json!({"if": is, "then": schema})
            }
        };
        let of_version = |version: &str, kinds: &[&str]| {
            serde_json::json!({
                "if": {"properties": {"apiVersion": {"const": version}}},
                "then": {"properties": {"kind": {"enum": kinds}}},
            })
        };
        let open = openslo::schemas(generator);
        let mut branches: Vec<_> = kinds.iter().map(branch(raw::API_VERSION)).collect();
        branches.extend(open.iter().map(branch(openslo::API_VERSION)));
        branches.push(of_version(raw::API_VERSION, &raw::KINDS));
        branches.push(of_version(openslo::API_VERSION, &openslo::KINDS));
        json_schema!({
            "type": "object",
            "properties": {"apiVersion": {"enum": [raw::API_VERSION, openslo::API_VERSION]}},
            "required": ["apiVersion", "kind", "metadata", "spec"],
            "allOf": branches,
        })
    }
}

/// A mapping of the language, for the reference page.
pub struct Table {
    /// Its name in the schema.
    pub name: &'static str,
    /// What it is.
    pub doc: String,
    /// Its keys as rows of a Markdown table: key, type, default, meaning.
    pub rows: Vec<String>,
}

/// Every mapping of such a file.
pub fn tables(which: Which) -> Vec<Table> {
    match which {
        Which::Specs => vec![
            table::<raw::Service>(),
            table::<raw::Metadata>(),
            table::<raw::ServiceSpec>(),
            table::<raw::Probe>(),
            table::<raw::Http>(),
            table::<raw::HttpExpect>(),
            table::<raw::BodyExpect>(),
            table::<raw::TlsOptions>(),
            table::<raw::Tcp>(),
            table::<raw::Tls>(),
            table::<raw::Slo>(),
            table::<raw::PrometheusSli>(),
            table::<raw::PushSli>(),
            table::<raw::CalendarWindow>(),
            table::<raw::SliceMethod>(),
            table::<raw::Timeslices>(),
            table::<raw::RatioTimeslices>(),
            table::<raw::Latency>(),
            table::<raw::AlertingPolicy>(),
            table::<raw::Dependency>(),
            table::<raw::Alternative>(),
            table::<raw::SupportTier>(),
            table::<raw::NameOnly>(),
            table::<raw::SupportTierSpec>(),
            table::<raw::AlertPolicy>(),
            table::<raw::AlertPolicySpec>(),
            table::<raw::Pair>(),
            table::<raw::Application>(),
            table::<raw::ApplicationSpec>(),
            table::<raw::Needs>(),
            table::<raw::TeamSupport>(),
            table::<raw::Agreement>(),
            table::<raw::AgreementSpec>(),
            table::<raw::CreditTier>(),
            table::<raw::Maintenance>(),
            table::<raw::MaintenanceSpec>(),
            table::<raw::MaintenanceWindow>(),
            table::<raw::Correction>(),
            table::<raw::CorrectionSpec>(),
        ],
        Which::Config => config::tables(),
        Which::WebConfig => web_config::tables(),
        Which::HttpConfig => http_config::tables(),
        Which::OpenSlo => openslo::tables(),
    }
}

/// The rows of one mapping.
pub(super) fn table<M: Mapping>() -> Table {
    let row = |key: &super::mirror::Key| {
        let default = match (key.required, key.default) {
            (true, _) => "required".to_owned(),
            (_, Some(default)) => format!("`{default}`"),
            (_, None) => String::new(),
        };
        format!("| `{}` | {} | {default} | {} |", key.name, (key.kind)(), key.text())
    };
    let doc = M::DOC.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    Table { name: M::NAME, doc, rows: M::KEYS.iter().map(row).collect() }
}

#[cfg(test)]
mod tests;
