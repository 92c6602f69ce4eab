//! The values of the spec language: each reads itself from a node and describes itself to
//! editors, side by side, so that the two stay one.

use std::rc::Rc;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};

use super::mirror::{Field, Given, Value};
use super::nearest::did_you_mean;
use super::problem::{At, Problems};
use super::tree::{Data, Node, yaml_type};
use crate::model::ParseError;
use crate::model::check::Endpoint;
use crate::model::time::parse_duration;
use crate::model::{Name, Objective, Share};

/// The text of a scalar, whatever YAML takes it for; none (and reported) for anything else.
pub(super) fn scalar<'a>(
    node: &'a Node,
    at: &At,
    expected: &str,
    problems: &mut Problems,
) -> Option<&'a str> {
    match &node.data {
        Data::Scalar { text, .. } if !node.is_null() => Some(text),
        _ => {
            wrong(node, at, expected, problems);
            None
        }
    }
}

/// Reports a value of the wrong type.
pub(super) fn wrong(node: &Node, at: &At, expected: &str, problems: &mut Problems) {
    let key = at.path.rsplit('.').next().unwrap_or_default();
    let what = format!("{} as `{key}`", node.describe());
    let problem = problems.error(at, what).expected(expected);
    if node.is_null() {
        problem.hint("write a value or leave the key out");
    }
}

/// Reads a scalar by a function that says what it expects.
pub(super) fn parsed<T>(
    node: &Node,
    at: &At,
    expected: &str,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, ParseError>,
) -> Option<T> {
    let text = scalar(node, at, expected, problems)?;
    match parse(text) {
        Ok(value) => Some(value),
        Err(error) => {
            wrong(node, at, &error.expected, problems);
            None
        }
    }
}

/// As [`parsed`], for values that YAML must take for text, so that editors agree.
pub(super) fn parsed_text<T>(
    node: &Node,
    at: &At,
    expected: &str,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, ParseError>,
) -> Option<T> {
    if let Data::Scalar { text, plain: true } = &node.data
        && !node.is_null()
        && yaml_type(text) != "text"
    {
        let what = format!("{} where text is expected", node.describe());
        problems.error(at, what).expected(expected).hint(format!("put it in quotes: {text:?}"));
        return None;
    }
    parsed(node, at, expected, problems, parse)
}

/// Text of 1 to `MAX` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text<const MAX: usize>(pub String);

impl<const MAX: usize> Value for Text<MAX> {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = format!("text of 1 to {MAX} bytes");
        parsed_text(node, at, &expected, problems, |text| match text.len() {
            0 => Err(ParseError::new(text, expected.clone())),
            n if n > MAX => Err(ParseError::new(text, expected.clone())),
            _ => Ok(Text(text.to_owned())),
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": MAX})
    }

    fn kind() -> String {
        "text".to_owned()
    }
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Int<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64, const MAX: u64> Value for Int<MIN, MAX> {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = format!("a whole number from {MIN} to {MAX}");
        parsed(node, at, &expected, problems, |text| {
            let plain = matches!(node.data, Data::Scalar { plain: true, .. })
                && text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse().ok().filter(|n| plain && (MIN..=MAX).contains(n));
            number.map(Int).ok_or_else(|| ParseError::new(text, expected.clone()))
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": MIN, "maximum": MAX})
    }

    fn kind() -> String {
        format!("{MIN} to {MAX}")
    }
}

impl Value for bool {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        parsed(node, at, "`true` or `false`", problems, |text| match text {
            "true" if matches!(node.data, Data::Scalar { plain: true, .. }) => Ok(true),
            "false" if matches!(node.data, Data::Scalar { plain: true, .. }) => Ok(false),
            _ => Err(ParseError::new(text, "`true` or `false`, without quotes")),
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "boolean"})
    }

    fn kind() -> String {
        "`true` or `false`".to_owned()
    }
}

impl Value for Name {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        parsed_text(node, at, "a name such as artifact-registry", problems, str::parse)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
        json_schema!({"type": "string", "maxLength": Name::MAX_LEN, "pattern": pattern})
    }

    fn kind() -> String {
        "name".to_owned()
    }
}

impl Value for Duration {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a duration such as 500ms, 5s, 1h30m, 30d or 4w";
        parsed(node, at, expected, problems, parse_duration)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let units = ["w", "d", "h", "m", "s", "ms", "us"].map(|unit| format!("([0-9]+{unit})?"));
        let pattern = format!("^{}$", units.concat());
        json_schema!({"type": "string", "minLength": 2, "pattern": pattern})
    }

    fn kind() -> String {
        "duration".to_owned()
    }
}

impl Value for Objective {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        parsed(node, at, "an objective such as 99.95% or 0.9995", problems, str::parse)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "string", "pattern": "^(([0-9]{1,2}(\\.[0-9]+)? *%)|(0\\.[0-9]+))$"},
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        ]})
    }

    fn kind() -> String {
        "objective".to_owned()
    }
}

impl Value for Share {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        parsed(node, at, "a share such as 2%", problems, str::parse)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "string", "pattern": "^(([0-9]{1,3}(\\.[0-9]+)? *%)|([01](\\.[0-9]+)?))$"},
            {"type": "number", "minimum": 0, "maximum": 1},
        ]})
    }

    fn kind() -> String {
        "share".to_owned()
    }
}

impl Value for Endpoint {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a host and a port, such as db.example:5432";
        parsed_text(node, at, expected, problems, str::parse)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = "^(\\[[0-9a-fA-F:.]+\\]|[-A-Za-z0-9._]+):[0-9]{1,5}$";
        json_schema!({"type": "string", "pattern": pattern})
    }

    fn kind() -> String {
        "`host:port`".to_owned()
    }
}

/// A list of `MIN` to `MAX` items.
#[derive(Clone, Debug)]
pub(super) struct List<T, const MIN: usize, const MAX: usize> {
    /// Those that could be read.
    pub items: Vec<Given<T>>,
}

impl<T: Value, const MIN: usize, const MAX: usize> Value for List<T, MIN, MAX> {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let Data::List(nodes) = &node.data else {
            wrong(node, at, &format!("a list: {}", Self::kind()), problems);
            return None;
        };
        if !(MIN..=MAX).contains(&nodes.len()) {
            let n = nodes.len();
            let problem = problems.error(at, format!("a list of {n}"));
            problem.expected(format!("a list of {MIN} to {MAX} items"));
            if n == 0 {
                problem.hint("leave the key out or list something");
            }
            return None;
        }
        let read = |(i, item): (usize, &Rc<Node>)| {
            let at = at.item(i, item.place);
            T::read(item, &at, problems).map(|value| Given { value, at })
        };
        Some(List { items: nodes.iter().enumerate().filter_map(read).collect() })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let items = T::schema(generator);
        json_schema!({"type": "array", "minItems": MIN, "maxItems": MAX, "items": items})
    }

    fn kind() -> String {
        format!("list of {}", T::kind())
    }
}

/// One value, or a list of 1 to `MAX`.
#[derive(Clone, Debug)]
pub(super) struct OneOrMany<T, const MAX: usize> {
    /// Those that could be read.
    pub items: Vec<Given<T>>,
}

impl<T: Value, const MAX: usize> Value for OneOrMany<T, MAX> {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let items = match &node.data {
            Data::List(_) => List::<T, 1, MAX>::read(node, at, problems)?.items,
            _ => vec![Given { value: T::read(node, at, problems)?, at: at.clone() }],
        };
        Some(OneOrMany { items })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let (one, many) = (T::schema(generator), List::<T, 1, MAX>::schema(generator));
        json_schema!({"anyOf": [one, many]})
    }

    fn kind() -> String {
        format!("{0}, or list of {0}", T::kind())
    }
}

/// A mapping with keys of the author's choice, at most `MAX`.
#[derive(Clone, Debug)]
pub(super) struct Map<T, const MAX: usize> {
    /// Keys with what became of their values, in the order of the file.
    pub items: Vec<(Given<String>, Field<T>)>,
}

/// Longest key of a [`Map`], in bytes.
const MAX_MAP_KEY: usize = 128;

impl<T: Value, const MAX: usize> Value for Map<T, MAX> {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let Data::Map(pairs) = &node.data else {
            wrong(node, at, "a mapping", problems);
            return None;
        };
        if pairs.len() > MAX {
            let expected = format!("at most {MAX} keys");
            problems.error(at, format!("{} keys", pairs.len())).expected(expected);
            return None;
        }
        let mut items = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let Data::Scalar { text, .. } = &key.data else {
                problems.error(at, format!("{} as a key", key.describe())).expected("text");
                continue;
            };
            if text.is_empty() || text.len() > MAX_MAP_KEY {
                let expected = format!("a key of 1 to {MAX_MAP_KEY} bytes");
                problems.error(&at.key("", key.place), "a bad key").expected(expected);
                continue;
            }
            let name = Given { value: text.clone(), at: at.key(text, key.place) };
            let at = at.key(text, value.place);
            let field = match T::read(value, &at, problems) {
                Some(value) => Field::Given(Given { value, at }),
                None => Field::Broken,
            };
            items.push((name, field));
        }
        Some(Map { items })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let values = T::schema(generator);
        json_schema!({"type": "object", "maxProperties": MAX, "additionalProperties": values})
    }

    fn kind() -> String {
        format!("mapping to {}", T::kind())
    }
}

/// A value that may be left empty.
#[derive(Clone, Debug)]
pub(super) struct Maybe<T>(pub Option<T>);

impl<T: Value> Value for Maybe<T> {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        match node.is_null() {
            true => Some(Maybe(None)),
            false => T::read(node, at, problems).map(|value| Maybe(Some(value))),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let value = T::schema(generator);
        json_schema!({"anyOf": [value, {"type": "null"}]})
    }

    fn kind() -> String {
        format!("{} or nothing", T::kind())
    }
}

/// Reads one of a closed set of words. Words of `later` belong to the language, but not to this
/// version.
pub(super) fn word<T: Copy>(
    node: &Node,
    at: &At,
    words: &[(&'static str, T)],
    later: &[&str],
    problems: &mut Problems,
) -> Option<T> {
    let names = || words.iter().map(|(name, _)| *name);
    let expected = format!("one of {}", super::mirror::quoted(names()));
    let text = scalar(node, at, &expected, problems)?;
    if let Some((_, value)) = words.iter().find(|(name, _)| *name == text) {
        return Some(*value);
    }
    let short: String = text.chars().take(60).collect();
    if later.contains(&text) {
        let what = format!("`{text}` is not read by this version of nines");
        problems.error(at, what).expected(expected);
    } else {
        let hint = did_you_mean(text, names());
        problems.error(at, format!("unknown word {short:?}")).expected(expected).maybe_hint(hint);
    }
    None
}

/// Makes a type of the model a closed set of words.
macro_rules! words {
    ($type:ty { $($word:literal => $value:expr),+ $(,)? } $(later $later:expr)?) => {
        impl $crate::spec::mirror::Value for $type {
            fn read(
                node: &std::rc::Rc<$crate::spec::tree::Node>,
                at: &$crate::spec::problem::At,
                problems: &mut $crate::spec::problem::Problems,
            ) -> Option<Self> {
                let words = [$(($word, $value)),+];
                let later: &[&str] = $crate::spec::mirror::mirror!(@list $($later)?);
                $crate::spec::value::word(node, at, &words, later, problems)
            }

            fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "enum": [$($word),+]})
            }

            fn kind() -> String {
                [$(concat!("`", $word, "`")),+].join(", ")
            }
        }
    };
}
pub(super) use words;
