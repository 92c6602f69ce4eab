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

/// The fields of a protobuf message: number, and the bytes of a text, a message or a double.
fn fields(mut rest: &[u8]) -> Option<Vec<(u64, Vec<u8>)>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let n = match tag & 7 {
            0 => {
                found.push((tag >> 3, varint(&mut rest)?.to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            _ => return None,
        };
        let (field, after) = rest.split_at_checked(n)?;
        found.push((tag >> 3, field.to_vec()));
        rest = after;
    }
    Some(found)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The only field of this number.
fn only(message: &[u8], number: u64) -> Option<Vec<u8>> {
    let mut of = fields(message)?.into_iter().filter(|(known, _)| *known == number);
    of.next().filter(|_| of.next().is_none()).map(|(_, field)| field)
}

/// Holds a gauge with two labels in protobuf to what it was made of.
fn check_message(mut bytes: &[u8], labels: [&str; 2], about: &str, value: u64) {
    let n = varint(&mut bytes).expect("a length");
    assert_eq!(n, bytes.len() as u64);
    assert_eq!(only(bytes, 2).as_deref(), Some(about.as_bytes()));
    let metric = only(bytes, 4).expect("one sample");
    let gauge = only(&metric, 2).and_then(|gauge| only(&gauge, 1)).expect("a gauge");
    assert_eq!(gauge, (value as f64).to_le_bytes());
    let pairs = fields(&metric).expect("a message").into_iter().filter(|(known, _)| *known == 1);
    let values: Vec<_> = pairs.map(|(_, pair)| only(&pair, 2).unwrap_or_default()).collect();
    assert_eq!(values, labels.map(|label| label.as_bytes().to_vec()));
}

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let texts = <(&str, &str, &str, u64)>::arbitrary_take_rest(Unstructured::new(bytes));
    let Ok((first, second, about, value)) = texts else { return };
    // Integers beyond this are written as the floats that readers make of them.
    let value = value >> 11;
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        let mut out = Exposition::new(format);
        let labels = Labels::of(format, &[("a", first), ("b", second)]);
        out.gauge("nines_fuzz", about).sample(&labels, value);
        let written = out.finish().expect("no deadline");
        if format == Format::Protobuf {
            check_message(&written, [first, second], about, value);
            continue;
        }
        let text = String::from_utf8(written).expect("text");
        let lines: Vec<&str> = text.strip_suffix('\n').expect("an end").split('\n').collect();
        let n = if format == Format::OpenMetrics { 4 } else { 3 };
        assert_eq!(lines.len(), n, "{text:?}");
        assert_eq!(help(lines[0], format).as_deref(), Some(about), "{text:?}");
        let pairs = vec![("a".to_owned(), first.to_owned()), ("b".to_owned(), second.to_owned())];
        assert_eq!(sample(lines[2]), Some((pairs, value)), "{text:?}");
    }
}
