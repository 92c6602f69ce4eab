//! The messages, read back by a reader of the wire format of its own, field by field.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::serve::exposition::{Exposition, Format, Labels};

/// The value of one field.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    Varint(u64),
    Double(f64),
    Bytes(Vec<u8>),
}

fn read_varint(bytes: &mut &[u8]) -> u64 {
    let mut n = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a varint ends");
        *bytes = rest;
        n |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return n;
        }
    }
    unreachable!("the loop has no end")
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(n);
    *bytes = rest;
    taken
}

/// A message as (field, value) in the order in which they stand.
fn message(mut bytes: &[u8]) -> Message {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes);
        let value = match key & 7 {
            0 => Field::Varint(read_varint(&mut bytes)),
            1 => Field::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().expect("eight"))),
            2 => {
                let n = read_varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, n).to_vec())
            }
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

fn bytes_of(fields: &[(u64, Field)], number: u64) -> Vec<&[u8]> {
    let fields = fields.iter().filter(|(n, _)| *n == number);
    fields
        .filter_map(|(_, field)| if let Field::Bytes(b) = field { Some(&b[..]) } else { None })
        .collect()
}

fn number_of(fields: &[(u64, Field)], number: u64) -> Option<f64> {
    fields.iter().find(|(n, _)| *n == number).map(|(_, field)| match field {
        Field::Varint(n) => *n as f64,
        Field::Double(x) => *x,
        Field::Bytes(_) => panic!("field {number} is no number"),
    })
}

const fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// A native histogram as its reader sees it: the count of each bucket by number.
fn native(histogram: &[(u64, Field)]) -> BTreeMap<i64, i64> {
    let deltas = bytes_of(histogram, 13).concat();
    let mut deltas = &deltas[..];
    let (mut read, mut at, mut n) = (BTreeMap::new(), 0, 0);
    for span in bytes_of(histogram, 12) {
        let span = message(span);
        at += unzigzag(number_of(&span, 1).expect("an offset") as u64);
        for _ in 0..number_of(&span, 2).expect("a length") as u64 {
            n += unzigzag(read_varint(&mut deltas));
            read.insert(at, n);
            at += 1;
        }
    }
    assert!(deltas.is_empty(), "a delta has no bucket");
    read
}

/// A message, field by field.
type Message = Vec<(u64, Field)>;

/// A family: name, type, metrics.
type Family = (String, f64, Vec<Message>);

/// The families of a body.
fn families(mut body: &[u8]) -> Vec<Family> {
    let mut families = Vec::new();
    while !body.is_empty() {
        let n = read_varint(&mut body) as usize;
        let family = message(take(&mut body, n));
        let name = String::from_utf8(bytes_of(&family, 1).concat()).expect("text");
        let metrics = bytes_of(&family, 4).into_iter().map(message).collect();
        families.push((name, number_of(&family, 3).expect("a type"), metrics));
    }
    families
}

fn labels(metric: &[(u64, Field)]) -> Vec<(String, String)> {
    let text = |bytes: Vec<&[u8]>| String::from_utf8(bytes.concat()).expect("text");
    let pair = |pair: &[u8]| (text(bytes_of(&message(pair), 1)), text(bytes_of(&message(pair), 2)));
    bytes_of(metric, 1).into_iter().map(pair).collect()
}

#[test]
fn a_body_is_one_delimited_message_for_each_family_with_data() {
    let mut out = Exposition::new(Format::Protobuf);
    let one = Labels::of(Format::Protobuf, &[("slo", "a/\"b\"\\\n"), ("team", &"x".repeat(300))]);
    out.info("nines_slo_info", "Facts.").sample(&one, true);
    let mut probes = out.counter("nines_probes_total", "Runs.");
    probes.sample(&one, 7_u64);
    probes.sample_with(&one, &Labels::of(Format::Protobuf, &[("reason", "")]), 1_u64 << 40);
    out.gauge("nines_never_seen", "Has no data.");
    out.gauge("nines_left_ratio", "Left.").sample(&Labels::NONE, -0.25);
    assert_eq!(out.n_samples(), 4);
    let read = families(&out.finish().expect("no deadline"));
    let names: Vec<_> =
        read.iter().map(|(name, kind, metrics)| (&**name, *kind, metrics.len())).collect();
    // No sample, no family; facts are a gauge.
    let expect =
        [("nines_slo_info", 1.0, 1), ("nines_probes_total", 0.0, 2), ("nines_left_ratio", 1.0, 1)];
    assert_eq!(names, expect);
    let expect =
        [("slo", "a/\"b\"\\\n".to_owned()), ("team", "x".repeat(300)), ("reason", String::new())];
    let expect = expect.map(|(key, value)| (key.to_owned(), value));
    assert_eq!(labels(&read[1].2[1]), expect);
    let value = |family: usize, metric: usize, field| {
        number_of(&message(bytes_of(&read[family].2[metric], field)[0]), 1)
    };
    assert_eq!((value(0, 0, 2), value(1, 0, 3)), (Some(1.0), Some(7.0)));
    assert_eq!((value(1, 1, 3), value(2, 0, 2)), (Some((1_u64 << 40) as f64), Some(-0.25)));
}

#[test]
fn nothing_counted_yet_is_a_native_histogram_still() {
    let classic = Histogram::new([1_000].into());
    let mut out = Exposition::new(Format::Protobuf);
    let mut family = out.histogram("nines_d_seconds", "D.");
    family.sample(&Labels::NONE, &classic);
    family.sample_with_spread(&Labels::NONE, &classic, &Exponential::default());
    let read = families(&out.finish().expect("no deadline"));
    let of = |at: usize| message(bytes_of(&read[0].2[at], 7)[0]);
    assert!(bytes_of(&of(0), 12).is_empty() && number_of(&of(0), 5).is_none(), "classic alone");
    let spans: Vec<_> = bytes_of(&of(1), 12).into_iter().map(message).collect();
    assert_eq!(spans, [vec![(1, Field::Varint(0)), (2, Field::Varint(0))]]);
    assert_eq!(number_of(&of(1), 5), Some(zigzag(4) as f64));
}

proptest! {
    #[test]
    fn both_forms_of_a_histogram_say_what_was_counted(
        nanos in prop::collection::vec(0_u64..1 << 40, 0..400), label in ".*",
    ) {
        let (mut classic, mut spread) =
            (Histogram::new([1_000, 300_000, 60_000_000].into()), Exponential::default());
        for nanos in &nanos {
            classic.count(Duration::from_nanos(*nanos));
            spread.count(Duration::from_nanos(*nanos));
        }
        let mut out = Exposition::new(Format::Protobuf);
        let label = Labels::of(Format::Protobuf, &[("probe", &label)]);
        out.histogram("nines_d_seconds", "D.").sample_with_spread(&label, &classic, &spread);
        prop_assert_eq!(out.n_samples(), 6);
        let read = families(&out.finish().expect("no deadline"));
        let histogram = message(bytes_of(&read[0].2[0], 7)[0]);
        let n = nanos.len() as f64;
        prop_assert_eq!(number_of(&histogram, 1), Some(n));
        let sum = nanos.iter().sum::<u64>() as f64 / 1e9;
        prop_assert!((number_of(&histogram, 2).expect("a sum") - sum).abs() <= sum * 1e-12);
        let read_native = native(&histogram);
        let expect = spread.buckets().iter().map(|(at, n)| (i64::from(*at), *n as i64)).collect();
        prop_assert_eq!(&read_native, &expect);
        let zeros = number_of(&histogram, 7).expect("zeros");
        prop_assert_eq!(zeros + read_native.values().sum::<i64>() as f64, n);
        for bucket in bytes_of(&histogram, 3).into_iter().map(message) {
            let edge = number_of(&bucket, 2).expect("an edge");
            let below = nanos.iter().filter(|nanos| **nanos as f64 / 1e9 <= edge).count();
            prop_assert_eq!(number_of(&bucket, 1), Some(below as f64));
        }
    }

    #[test]
    fn whole_numbers_read_back_and_their_length_is_known(n: u64) {
        let mut bytes = Vec::new();
        push_varint(&mut bytes, n);
        prop_assert_eq!(bytes.len(), varint_len(n));
        prop_assert_eq!(read_varint(&mut &bytes[..]), n);
        prop_assert_eq!(unzigzag(zigzag(n as i64)), n as i64);
    }
}

#[test]
fn a_compressed_body_is_the_plain_one() {
    use std::io::Read as _;
    let write = |mut out: Exposition| {
        let mut family = out.counter("nines_probes_total", "Runs.");
        for n in 0..5_000_u64 {
            family.sample(&Labels::of(Format::Protobuf, &[("probe", &n.to_string())]), n);
        }
        out.gauge("nines_x", "X.").sample(&Labels::NONE, 1_u64);
        out.finish().expect("no deadline")
    };
    let plain = write(Exposition::new(Format::Protobuf));
    let mut unzipped = Vec::new();
    let zipped = write(Exposition::new(Format::Protobuf).gzipped());
    flate2::read::GzDecoder::new(&zipped[..]).read_to_end(&mut unzipped).expect("gzip");
    assert!(plain == unzipped && zipped.len() < plain.len() / 4);
    assert_eq!(families(&plain)[0].2.len(), 5_000);
}

/// The samples of a metric as lines of text: what is left of the value, and the value.
fn lines(name: &str, kind: f64, metric: &[(u64, Field)]) -> Vec<(String, f64)> {
    let pairs = labels(metric);
    let line = |suffix: &str, more: Option<(&str, String)>, value| {
        let all = pairs.iter().map(|(key, value)| (key.as_str(), value.clone())).chain(more);
        let quoted =
            |text: &str| text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
        let all: Vec<_> = all.map(|(key, value)| format!("{key}=\"{}\"", quoted(&value))).collect();
        let braces = if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) };
        (format!("{name}{suffix}{braces}"), value)
    };
    let of = |field| message(bytes_of(metric, field)[0]);
    match kind as u64 {
        0 => vec![line("", None, number_of(&of(3), 1).expect("a value"))],
        1 => vec![line("", None, number_of(&of(2), 1).expect("a value"))],
        _ => {
            let histogram = of(7);
            let (count, sum) = (number_of(&histogram, 1), number_of(&histogram, 2));
            let bucket = |bucket: Message| {
                let edge = number_of(&bucket, 2).expect("an edge");
                line(
                    "_bucket",
                    Some(("le", format!("{edge:?}"))),
                    number_of(&bucket, 1).expect("n"),
                )
            };
            let buckets = bytes_of(&histogram, 3).into_iter().map(message).map(bucket);
            let last = line("_bucket", Some(("le", "+Inf".to_owned())), count.expect("a count"));
            let sum = line("_sum", None, sum.expect("a sum"));
            buckets.chain([last, sum, line("_count", None, count.expect("a count"))]).collect()
        }
    }
}

#[test]
fn protobuf_says_of_a_platform_what_text_says() {
    let mut engine = crate::serve::fixture::platform();
    crate::serve::fixture::observe_all(&mut engine);
    let scrape = |format| {
        let mut out = Exposition::new(format);
        crate::serve::metrics::write(&mut out, &engine, &["app.example/tier".to_owned()]);
        (out.n_samples(), out.finish().expect("no deadline"))
    };
    let (n, body) = scrape(Format::Protobuf);
    let of = |(name, kind, metrics): Family| {
        metrics.iter().flat_map(|metric| lines(&name, kind, metric)).collect::<Vec<_>>()
    };
    let read: Vec<(String, f64)> = families(&body).into_iter().flat_map(of).collect();
    let text = String::from_utf8(scrape(Format::Text).1).expect("text");
    let text = text.lines().filter(|line| !line.starts_with('#'));
    let text: Vec<(&str, &str)> = text.filter_map(|line| line.rsplit_once(' ')).collect();
    assert_eq!((read.len(), text.len()), (n, n));
    for ((name, value), (left, right)) in read.iter().zip(text) {
        let expect: f64 = right.parse().expect("a number");
        let same = *value == expect || (value - expect).abs() <= expect.abs() * 1e-15;
        assert!(name == left && same, "{name} {value} for {left} {right}");
    }
}
