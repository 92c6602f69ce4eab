//! Values that only OpenSLO has: durations in its shorthand, plain numbers, labels with several
//! values, and whatever a data source likes.

use std::rc::Rc;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};

use super::raw::{NinesSource, OpenPolicyUse, PrometheusSource};
use crate::model::window::Unit;
use crate::model::{Name, ParseError};
use crate::spec::mirror::{Field, Given, Value};
use crate::spec::problem::{At, Problems};
use crate::spec::tree::{Data, Node};
use crate::spec::value::{List, Map, OneOrMany, Text, parsed, parsed_text, wrong};

/// Labels with one value or several.
pub(in crate::spec) type Labels = Map<OneOrMany<Text<256>, 32>, 64>;

/// Text of 1 to `MAX` characters.
#[derive(Clone, Debug)]
pub(in crate::spec) struct Chars<const MAX: usize>(pub String);

impl<const MAX: usize> Value for Chars<MAX> {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = format!("text of 1 to {MAX} characters");
        parsed_text(node, at, &expected, problems, |text| match text.chars().count() {
            n if (1..=MAX).contains(&n) => Ok(Chars(text.to_owned())),
            _ => Err(ParseError::new(text, expected.clone())),
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": MAX})
    }

    fn kind() -> String {
        "text".to_owned()
    }
}

/// A number of units of time: `5m`, `12h`, `30d`, `4w`, `1M`, `1Q`, `1Y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spec) struct Shorthand {
    /// How many; 0 is written by nobody but `alertAfter: 0m`.
    pub n: u32,
    unit: char,
}

const SHORTHAND: &str = "a whole number and one of m, h, d, w, M (months), Q (quarters), Y \
                         (years), such as 5m, 30d or 1M";

impl Shorthand {
    fn parse(text: &str) -> Result<Self, ParseError> {
        let fail = || ParseError::new(text, SHORTHAND);
        let unit = text.chars().last().filter(|unit| "mhdwMQY".contains(*unit)).ok_or_else(fail)?;
        let digits = &text[..text.len() - 1];
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let n = digits.parse().ok().filter(|_| plain).ok_or_else(fail)?;
        Ok(Shorthand { n, unit })
    }

    /// As a length of time that is always the same: months are 30 days, quarters 90, years 365,
    /// as the Go SDK takes them.
    pub(super) fn length(self) -> Duration {
        let seconds: u64 = match self.unit {
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            'M' => 30 * 86_400,
            'Q' => 90 * 86_400,
            _ => 365 * 86_400,
        };
        Duration::from_secs(u64::from(self.n).saturating_mul(seconds))
    }

    /// As units of a calendar; none for minutes and hours.
    pub(super) const fn unit(self) -> Option<Unit> {
        match self.unit {
            'd' => Some(Unit::Day),
            'w' => Some(Unit::Week),
            'M' => Some(Unit::Month),
            'Q' => Some(Unit::Quarter),
            'Y' => Some(Unit::Year),
            _ => None,
        }
    }

    /// Whether its length is the calendar's affair.
    pub(super) const fn is_uneven(self) -> bool {
        matches!(self.unit, 'M' | 'Q' | 'Y')
    }
}

impl Value for Shorthand {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        parsed(node, at, SHORTHAND, problems, Shorthand::parse)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+[mhdwMQY]$"})
    }

    fn kind() -> String {
        "duration shorthand".to_owned()
    }
}

/// How long a slice is: in the shorthand, or a plain number of minutes.
#[derive(Clone, Copy, Debug)]
pub(in crate::spec) struct SliceWindow(pub Duration);

impl Value for SliceWindow {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a number of minutes, or a duration such as 1m, 10m or 2h";
        parsed(node, at, expected, problems, |text| {
            let minutes = text.parse::<u32>().ok().filter(|_| !text.starts_with('+'));
            let length = match minutes {
                Some(minutes) => Duration::from_secs(u64::from(minutes) * 60),
                None => Shorthand::parse(text)?.length(),
            };
            Ok(SliceWindow(length))
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": "^[0-9]+[mhdwMQY]$"},
        ]})
    }

    fn kind() -> String {
        "duration shorthand, or minutes".to_owned()
    }
}

/// A plain decimal number that is not negative, in billionths; read from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spec) struct Number {
    /// Billionths.
    pub nano: u64,
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let kept = fraction.trim_end_matches('0');
        if !digits(whole) || !digits(fraction) || kept.len() > 9 {
            return None;
        }
        let fraction: u64 = format!("{kept:0<9}").parse().ok()?;
        let whole = whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?;
        Some(Number { nano: whole.checked_add(fraction)? })
    }
}

impl Value for Number {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        let expected = "a plain number, not negative, with at most nine decimals";
        let plain = matches!(node.data, Data::Scalar { plain: true, .. });
        parsed(node, at, expected, problems, |text| {
            let number = Number::parse(text).filter(|_| plain);
            number.ok_or_else(|| ParseError::new(text, expected))
        })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": 0})
    }

    fn kind() -> String {
        "number".to_owned()
    }
}

/// A mapping that is not empty, read by whoever knows what it is.
#[derive(Clone, Debug)]
pub(in crate::spec) struct Free(pub Rc<Node>);

impl Value for Free {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        match &node.data {
            Data::Map(pairs) if !pairs.is_empty() => Some(Free(Rc::clone(node))),
            _ => {
                wrong(node, at, "a mapping that is not empty", problems);
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "minProperties": 1})
    }

    fn kind() -> String {
        "mapping".to_owned()
    }
}

/// What to ask of a metric source: a mapping that is not empty, read once its type is known.
#[derive(Clone, Debug)]
pub(in crate::spec) struct Query(pub Rc<Node>);

impl Value for Query {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        Free::read(node, at, problems).map(|free| Query(free.0))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let (nines, prometheus) =
            (NinesSource::schema(generator), PrometheusSource::schema(generator));
        json_schema!({"anyOf": [nines, prometheus]})
    }

    fn kind() -> String {
        format!("{} or {}", NinesSource::kind(), PrometheusSource::kind())
    }
}

/// A list that may also be empty or nothing at all.
#[derive(Clone, Debug)]
pub(in crate::spec) struct LaxList<T, const MAX: usize> {
    /// Those that could be read.
    pub items: Vec<Given<T>>,
    /// Whether one could not.
    pub broken: bool,
}

impl<T: Value, const MAX: usize> Value for LaxList<T, MAX> {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        if node.is_null() {
            return Some(LaxList { items: Vec::new(), broken: false });
        }
        let list = List::<T, 0, MAX>::read(node, at, problems)?;
        let n = match &node.data {
            Data::List(nodes) => nodes.len(),
            _ => 0,
        };
        Some(LaxList { broken: list.items.len() < n, items: list.items })
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let list = List::<T, 0, MAX>::schema(generator);
        json_schema!({"anyOf": [list, {"type": "null"}]})
    }

    fn kind() -> String {
        List::<T, 0, MAX>::kind()
    }
}

/// An alert policy of an SLO.
#[derive(Clone, Debug)]
pub(in crate::spec) enum PolicyUse {
    /// By name.
    Named(Given<Name>),
    /// Written out.
    Inline(Box<OpenPolicyUse>),
}

impl Value for PolicyUse {
    fn read(node: &Rc<Node>, at: &At, problems: &mut Problems) -> Option<Self> {
        if matches!(node.data, Data::Scalar { .. }) {
            let name = Name::read(node, at, problems)?;
            let problem = problems.warn(at, "an alert policy as a bare name");
            problem.hint(format!("write `alertPolicyRef: {name}`, as the present schema has it"));
            return Some(PolicyUse::Named(Given { value: name, at: at.clone() }));
        }
        let each = OpenPolicyUse::read(node, at, problems)?;
        match &each.reference {
            Field::Given(name) => Some(PolicyUse::Named(name.clone())),
            Field::Broken => None,
            Field::Absent => Some(PolicyUse::Inline(Box::new(each))),
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let (name, each) = (Name::schema(generator), OpenPolicyUse::schema(generator));
        json_schema!({"anyOf": [name, each]})
    }

    fn kind() -> String {
        OpenPolicyUse::kind()
    }
}
