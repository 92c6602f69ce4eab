//! Reads the text exposition: enough to ask for samples and to look at names and labels.

use std::collections::{BTreeMap, BTreeSet};

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name, suffixes included.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// A scrape.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    /// Every sample, in order.
    pub samples: Vec<Sample>,
    /// The families that `# TYPE` lines announce.
    pub families: BTreeSet<String>,
}

impl Exposition {
    /// Reads a scrape in text format.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let mut exposition = Exposition::default();
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ").and_then(|l| l.split(' ').next()) {
                exposition.families.insert(family.to_owned());
            } else if !line.starts_with('#') && !line.is_empty() {
                let sample = sample(line).unwrap_or_else(|| panic!("no sample: {line:?}"));
                exposition.samples.push(sample);
            }
        }
        exposition
    }

    /// The sum of every sample of this name whose labels include these; none without one.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let matches = |s: &&Sample| {
            s.name == name && labels.iter().all(|(k, v)| s.labels.get(*k).is_some_and(|l| l == v))
        };
        let mut found = self.samples.iter().filter(matches).map(|s| s.value).peekable();
        found.peek().is_some().then(|| found.sum())
    }
}

fn sample(line: &str) -> Option<Sample> {
    let name_len = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_len);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(key.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = match rest.split_ascii_whitespace().next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Reads up to the closing quote; the text without escapes, and the rest.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# HELP a_total Things.\n# TYPE a_total counter\n\
                    a_total{slo=\"s/x\",why=\"a \\\"b\\\", c\"} 3\na_total{slo=\"s/y\"} 4 123\nb 1e-3\n";
        let read = Exposition::parse(text);
        assert_eq!(read.families.iter().map(String::as_str).collect::<Vec<_>>(), ["a_total"]);
        assert_eq!(read.samples[0].labels["why"], "a \"b\", c");
        assert_eq!(read.sum("a_total", &[("slo", "s/x")]), Some(3.0));
        assert_eq!(read.sum("a_total", &[]), Some(7.0));
        assert_eq!(read.sum("b", &[]), Some(0.001));
        assert_eq!(read.sum("a_total", &[("slo", "s/z")]), None);
    }
}
