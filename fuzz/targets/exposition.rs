//! Metrics with labels and help of any text, read back by a parser of the format's own grammar.

use libfuzzer_sys::arbitrary::{Arbitrary, Unstructured};
use nines::serve::exposition::{Exposition, Format, Labels};

/// The text between the quotes at the start of `text`, unescaped, and what follows them.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 2..])),
            '\n' => return None,
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

/// The labels and the value of the only sample of a family.
fn sample(line: &str) -> Option<(Vec<(String, String)>, u64)> {
    let mut rest = line.strip_prefix("nines_fuzz{")?;
    let mut labels = Vec::new();
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = quoted(after)?;
        labels.push((key.to_owned(), value));
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Some((labels, after.strip_prefix("} ")?.parse().ok()?)),
        }
    }
}

/// The help of a family, unescaped. Only OpenMetrics escapes quotes in it.
fn help(line: &str, format: Format) -> Option<String> {
    let mut text = String::new();
    let mut chars = line.strip_prefix("# HELP nines_fuzz ")?.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(match chars.next()? {
                'n' => '\n',
                '\\' => '\\',
                '"' if format == Format::OpenMetrics => '"',
                _ => return None,
            }),
            c => text.push(c),
        }
    }
    Some(text)
}

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let texts = <(&str, &str, &str, u64)>::arbitrary_take_rest(Unstructured::new(bytes));
    let Ok((first, second, about, value)) = texts else { return };
    // Integers beyond this are written as the floats that readers make of them.
    let value = value >> 11;
    for format in [Format::Text, Format::OpenMetrics] {
        let mut out = Exposition::new(format);
        let labels = Labels::of(&[("a", first), ("b", second)]);
        out.gauge("nines_fuzz", about).sample(&labels, value);
        let text = String::from_utf8(out.finish().expect("no deadline")).expect("text");
        let lines: Vec<&str> = text.strip_suffix('\n').expect("an end").split('\n').collect();
        let n = if format == Format::OpenMetrics { 4 } else { 3 };
        assert_eq!(lines.len(), n, "{text:?}");
        assert_eq!(help(lines[0], format).as_deref(), Some(about), "{text:?}");
        let pairs = vec![("a".to_owned(), first.to_owned()), ("b".to_owned(), second.to_owned())];
        assert_eq!(sample(lines[2]), Some((pairs, value)), "{text:?}");
    }
}
