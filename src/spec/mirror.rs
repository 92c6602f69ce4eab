//! The mirror of a file: mappings declared once, from which both the reader and the JSON Schema
//! come.
//!
//! [`mirror!`] turns one declaration into a struct and a table of keys. The reader walks that
//! table, the schema is written from it, and the reference page is compared with it, so a key
//! cannot be known to one and unknown to another. Reading never stops at a problem: a mapping is
//! always read to its end, and a field that was broken (and reported) is told from one that is
//! absent.

use std::collections::BTreeMap;
use std::rc::Rc;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map as JsonMap, Value as Json};

use super::nearest::{did_you_mean, nearest};
use super::problem::{At, Problems};
use super::tree::{Data, Node};

/// Something that can stand as a value in a file.
pub(super) trait Value: Sized {
    /// Reads it, and notes what is wrong; none if it is unusable.
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self>;

    /// What an editor needs to know about it.
    fn schema(generator: &mut SchemaGenerator) -> Schema;

    /// What it is in a reference table: `duration`, `list of Probe`.
    fn kind() -> String;
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    /// What was read.
    pub value: T,
    /// Where it stands.
    pub at: At,
}

/// What became of a key.
#[derive(Clone, Debug)]
pub(super) enum Field<T> {
    /// It is not there, and need not be.
    Absent,
    /// It was wrong or missing, and that has been reported.
    Broken,
    /// It is there, or has its default.
    Given(Given<T>),
}

impl<T> Field<T> {
    /// The value with its place, if it could be read.
    pub(super) fn given(&self) -> Option<&Given<T>> {
        match self {
            Field::Given(given) => Some(given),
            Field::Absent | Field::Broken => None,
        }
    }

    /// The value, if it could be read.
    pub(super) fn value(&self) -> Option<&T> {
        self.given().map(|given| &given.value)
    }

    /// Whether it is not there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Field::Absent)
    }
}

/// One key of a mapping.
pub(super) struct Key {
    /// As it is written.
    pub name: &'static str,
    /// Lines that explain it.
    pub doc: &'static [&'static str],
    /// Whether it must be there.
    pub required: bool,
    /// What it is when it is not there, as one would write it.
    pub default: Option<&'static str>,
    /// What its value is called.
    pub kind: fn() -> String,
    /// The schema of its value.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Key {
    /// The explanation as one line.
    pub(super) fn text(&self) -> String {
        self.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }
}

/// What must hold between the keys of a mapping.
pub(super) enum Rule {
    /// Exactly one of these is there.
    ExactlyOne(&'static [&'static str]),
    /// At most one of these is there.
    AtMostOne(&'static [&'static str]),
    /// Exactly two of these are there.
    ExactlyTwo(&'static [&'static str]),
}

/// A mapping with known keys.
pub(super) trait Mapping: Sized {
    /// Its name in the schema and in the reference.
    const NAME: &'static str;
    /// Lines that explain it.
    const DOC: &'static [&'static str];
    /// Its keys.
    const KEYS: &'static [Key];
    /// Keys of the language that this version does not read.
    const LATER: &'static [&'static str];
    /// What must hold between its keys.
    const RULES: &'static [Rule];

    /// Reads every key.
    fn from_keys(keys: &Keys<'_>, problems: &mut Problems) -> Self;
}

/// Declares a mapping: a struct of [`Field`]s with its [`Mapping`] table. A field whose name
/// begins with `_` is read for its problems only.
macro_rules! mirror {
    (
        $(#[doc = $doc:literal])+
        struct $name:ident {
            $(
                $(#[doc = $key_doc:literal])+
                $need:ident $key:literal => $field:ident: $type:ty $(= $default:literal)?;
            )+
        }
        $(later $later:expr;)?
        $(rules $rules:expr;)?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        pub(in crate::spec) struct $name {
            $(
                $(#[doc = $key_doc])+
                pub(in crate::spec) $field: $crate::spec::mirror::Field<$type>,
            )+
        }

        impl $crate::spec::mirror::Mapping for $name {
            const NAME: &'static str = stringify!($name);
            const DOC: &'static [&'static str] = &[$($doc),+];
            const KEYS: &'static [$crate::spec::mirror::Key] = &[$($crate::spec::mirror::Key {
                name: $key,
                doc: &[$($key_doc),+],
                required: $crate::spec::mirror::mirror!(@required $need),
                default: $crate::spec::mirror::mirror!(@default $($default)?),
                kind: <$type as $crate::spec::mirror::Value>::kind,
                schema: <$type as $crate::spec::mirror::Value>::schema,
            }),+];
            const LATER: &'static [&'static str] = $crate::spec::mirror::mirror!(@list $($later)?);
            const RULES: &'static [$crate::spec::mirror::Rule] =
                $crate::spec::mirror::mirror!(@list $($rules)?);

            fn from_keys(
                keys: &$crate::spec::mirror::Keys<'_>,
                problems: &mut $crate::spec::problem::Problems,
            ) -> Self {
                $name { $($field: keys.field($key, problems),)+ }
            }
        }

        impl $crate::spec::mirror::Value for $name {
            fn read(
                node: &std::rc::Rc<$crate::spec::tree::Node>,
                at: &$crate::spec::problem::At,
                problems: &mut $crate::spec::problem::Problems,
            ) -> Option<Self> {
                $crate::spec::mirror::read_mapping(node, at, problems)
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<Self>()
            }

            fn kind() -> String {
                format!("[{0}](#{1})", stringify!($name), stringify!($name).to_lowercase())
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::spec::mirror::mapping_schema::<Self>(generator)
            }
        }
    };
    (@required required) => { true };
    (@required optional) => { false };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
    (@list) => { &[] };
    (@list $list:expr) => { $list };
}
pub(super) use mirror;

/// The keys of one mapping of a file, sorted out.
pub(super) struct Keys<'a> {
    table: &'static [Key],
    found: BTreeMap<&'a str, &'a Rc<Node>>,
    /// Keys that were probably meant by unknown ones; their absence is not reported again.
    meant: Vec<&'static str>,
    /// Whether a key was not understood, so that nothing can be said about absent ones.
    strange: bool,
    /// Where the mapping stands.
    pub at: At,
}

impl<'a> Keys<'a> {
    fn sort<M: Mapping>(
        pairs: &'a [(Rc<Node>, Rc<Node>)],
        at: &At,
        problems: &mut Problems,
    ) -> Self {
        let (found, meant) = (BTreeMap::new(), Vec::new());
        let mut keys = Keys { table: M::KEYS, found, meant, strange: false, at: at.clone() };
        for (key, value) in pairs {
            match &key.data {
                Data::Scalar { text, .. } if M::KEYS.iter().any(|k| k.name == text) => {
                    keys.found.insert(text, value);
                }
                _ => keys.stranger::<M>(key, problems),
            }
        }
        keys
    }

    /// Reports a key that is not in the table.
    fn stranger<M: Mapping>(&mut self, key: &Node, problems: &mut Problems) {
        self.strange = true;
        let Data::Scalar { text, .. } = &key.data else {
            let at = At { place: key.place, path: Rc::clone(&self.at.path) };
            problems.error(&at, format!("{} as a key", key.describe())).expected(one_of::<M>());
            return;
        };
        let at = self.at.key(text, key.place);
        if M::LATER.contains(&text.as_str()) {
            let what = format!("`{text}` is not read by this version of nines");
            problems.error(&at, what).expected(one_of::<M>());
            return;
        }
        let short: String = text.chars().take(60).collect();
        let near = nearest(text, M::KEYS.iter().map(|k| k.name));
        self.meant.extend(near.and_then(|n| M::KEYS.iter().find(|k| k.name == n)).map(|k| k.name));
        let merge = (text == "<<").then_some("merge keys are not YAML 1.2; write the keys out");
        problems
            .error(&at, format!("unknown key {short:?}"))
            .expected(one_of::<M>())
            .maybe_hint(did_you_mean(text, near).or(merge.map(str::to_owned)));
    }

    /// Reads the value of a key of the table.
    pub(super) fn field<T: Value>(&self, name: &'static str, problems: &mut Problems) -> Field<T> {
        let Some(key) = self.table.iter().find(|key| key.name == name) else {
            return Field::Absent;
        };
        if let Some(node) = self.found.get(name) {
            return read_field(node, &self.at.key(name, node.place), problems);
        }
        if let Some(default) = key.default {
            let at = self.at.key(name, self.at.place);
            return read_field(&Node::plain(default, self.at.place), &at, problems);
        }
        if !key.required {
            return Field::Absent;
        }
        if !self.meant.contains(&name) {
            problems.error(&self.at, format!("missing key `{name}`")).expected(key.text());
        }
        Field::Broken
    }

    fn check_rules(&self, rules: &[Rule], problems: &mut Problems) {
        for rule in rules {
            let (names, at_least, at_most, expected) = match rule {
                Rule::ExactlyOne(names) => (names, 1, 1, "one"),
                Rule::AtMostOne(names) => (names, 0, 1, "one"),
                Rule::ExactlyTwo(names) => (names, 2, 2, "two"),
            };
            let expected = format!("{expected} of {}", quoted(names.iter().copied()));
            let there: Vec<_> =
                names.iter().filter(|name| self.found.contains_key(**name)).collect();
            if there.len() > at_most {
                let (name, others) = (there[at_most], there[..at_most].iter().map(|name| **name));
                let place = self.found.get(*name).map_or(self.at.place, |node| node.place);
                let message = format!("`{name}` stands beside {}", quoted(others));
                problems.error(&self.at.key(name, place), message).expected(expected);
            } else if there.len() < at_least && !self.strange {
                problems.error(&self.at, "a key is missing").expected(expected);
            }
        }
    }
}

fn read_field<T: Value>(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Field<T> {
    match T::read(node, at, problems) {
        Some(value) => Field::Given(Given { value, at: at.clone() }),
        None => Field::Broken,
    }
}

/// Reads a mapping to its end, whatever is wrong in it; none if it is no mapping.
pub(super) fn read_mapping<M: Mapping>(
    node: &Rc<Node>,
    at: &At,
    problems: &mut Problems,
) -> Option<M> {
    let Data::Map(pairs) = &node.data else {
        problems
            .error(at, format!("{} in place of a mapping", node.describe()))
            .expected(format!("a mapping with {}", keys_of::<M>()));
        return None;
    };
    let keys = Keys::sort::<M>(pairs, at, problems);
    keys.check_rules(M::RULES, problems);
    Some(M::from_keys(&keys, problems))
}

fn keys_of<M: Mapping>() -> String {
    quoted(M::KEYS.iter().map(|key| key.name))
}

fn one_of<M: Mapping>() -> String {
    format!("one of {}", keys_of::<M>())
}

/// `a`, `b`, `c`
pub(super) fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The schema of a mapping, written from its table.
pub(super) fn mapping_schema<M: Mapping>(generator: &mut SchemaGenerator) -> Schema {
    let mut properties = JsonMap::new();
    for key in M::KEYS {
        let mut schema = (key.schema)(generator);
        schema.insert("description".to_owned(), key.text().into());
        if let Some(default) = key.default {
            let typed = serde_json::from_str(default).unwrap_or_else(|_| Json::from(default));
            schema.insert("default".to_owned(), typed);
        }
        properties.insert(key.name.to_owned(), schema.into());
    }
    let required: Vec<_> = M::KEYS.iter().filter(|k| k.required).map(|k| k.name).collect();
    let doc = M::DOC.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let mut schema = json_schema!({
        "type": "object",
        "description": doc,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    let rules: Vec<Json> = M::RULES.iter().map(rule_schema).collect();
    if !rules.is_empty() {
        schema.insert("allOf".to_owned(), rules.into());
    }
    schema
}

fn rule_schema(rule: &Rule) -> Json {
    let one = |name: &&str| serde_json::json!({"required": [name]});
    match rule {
        Rule::ExactlyOne(names) => {
            serde_json::json!({"oneOf": names.iter().map(one).collect::<Vec<_>>()})
        }
        Rule::AtMostOne(names) => {
            let mut choices: Vec<Json> = names.iter().map(one).collect();
            let none = serde_json::json!({"not": {"anyOf": choices.clone()}});
            choices.push(none);
            serde_json::json!({"oneOf": choices})
        }
        Rule::ExactlyTwo(names) => {
            let pairs = names.iter().enumerate().flat_map(|(n, one)| {
                let both = move |other| serde_json::json!({"required": [one, other]});
                names[n + 1..].iter().map(both)
            });
            serde_json::json!({"oneOf": pairs.collect::<Vec<_>>()})
        }
    }
}
