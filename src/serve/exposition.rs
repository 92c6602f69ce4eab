//! A streaming writer of metric families as text 0.0.4, OpenMetrics 1.0.0 or delimited protobuf.
//!
//! Writes straight into one body: no value is kept, no sample allocates, and label sets are
//! rendered once and used by many families. In protobuf one family is kept until its length,
//! which stands before it, is known. A family appears with its first sample, so what has
//! no data leaves no trace. It does not know what the families mean.

use std::sync::Arc;

use tokio::time::Instant;

use crate::engine::counters::Histogram;
use crate::engine::exponential::Exponential;

use super::body::Body;
use super::number::{Value, push_seconds};
use super::protobuf;

/// The formats there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Delimited messages `io.prometheus.client.MetricFamily`, with native histograms.
    Protobuf,
}

/// A scrape in the making.
#[derive(Debug)]
pub struct Exposition {
    body: Body,
    format: Format,
    /// The message of the family under way, in protobuf.
    message: Vec<u8>,
    n_samples: usize,
    deadline: Option<Instant>,
    expired: bool,
}

/// The scraper gave up before everything was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scrape timed out before every metric was written; raise scrape_timeout")]
pub struct Expired;

impl Exposition {
    /// Nothing written yet.
    pub fn new(format: Format) -> Self {
        let (body, message) = (Body::default(), Vec::new());
        Exposition { body, format, message, n_samples: 0, deadline: None, expired: false }
    }

    /// The format, for which labels must be rendered.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Compresses what is written on the way, so that the whole text never exists.
    pub fn gzipped(mut self) -> Self {
        self.body = Body::gzipped();
        self
    }

    /// Stops writing at this moment; [`Exposition::finish`] then says so.
    pub fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Makes room for this many bytes of text, so that a large scrape is not copied while it
    /// grows.
    pub fn reserve(&mut self, bytes: usize) {
        self.body.reserve(bytes);
    }

    /// A counter; its name ends in `_total`.
    pub fn counter<'a>(&'a mut self, name: &'a str, help: &'a str) -> Family<'a> {
        debug_assert!(name.ends_with("_total"), "{name}");
        self.family(name, help, Kind::Counter)
    }

    /// A gauge.
    pub fn gauge<'a>(&'a mut self, name: &'a str, help: &'a str) -> Family<'a> {
        self.family(name, help, Kind::Gauge)
    }

    /// Facts as labels of a constant 1; its name ends in `_info`.
    pub fn info<'a>(&'a mut self, name: &'a str, help: &'a str) -> Family<'a> {
        debug_assert!(name.ends_with("_info"), "{name}");
        self.family(name, help, Kind::Info)
    }

    /// A histogram of seconds with classic buckets.
    pub fn histogram<'a>(&'a mut self, name: &'a str, help: &'a str) -> Histograms<'a> {
        let family = self.family(name, help, Kind::Histogram);
        let buckets = vec![bucket(family.out.format, "+Inf")];
        Histograms { family, edges: Arc::default(), buckets }
    }

    /// How many samples were written so far.
    pub fn n_samples(&self) -> usize {
        self.n_samples
    }

    /// The whole body, with the end marker where the format has one.
    ///
    /// # Errors
    /// When the deadline passed first.
    pub fn finish(mut self) -> Result<Vec<u8>, Expired> {
        if self.expired {
            return Err(Expired);
        }
        self.end_message();
        if self.format == Format::OpenMetrics {
            self.body.text().extend_from_slice(b"# EOF\n");
        }
        Ok(self.body.finish())
    }

    fn family<'a>(&'a mut self, name: &'a str, help: &'a str, kind: Kind) -> Family<'a> {
        // Looked at once a family: the largest takes a few milliseconds.
        self.expired = self.expired || self.deadline.is_some_and(|at| Instant::now() >= at);
        self.end_message();
        Family { out: self, name, help, kind, opened: false }
    }

    /// Writes the family that was under way, if there is one: its length is known now.
    fn end_message(&mut self) {
        if !self.message.is_empty() {
            protobuf::push_varint(self.body.text(), self.message.len() as u64);
            self.body.push(&self.message);
            self.message.clear();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Info,
    Histogram,
}

impl Kind {
    /// The type, and the ending that the family's name loses, in text or in OpenMetrics.
    fn metadata(self, is_open: bool) -> (&'static str, &'static str) {
        match (self, is_open) {
            (Kind::Counter, false) => ("counter", ""),
            (Kind::Counter, true) => ("counter", "_total"),
            (Kind::Info, true) => ("info", "_info"),
            (Kind::Info, false) | (Kind::Gauge, _) => ("gauge", ""),
            (Kind::Histogram, _) => ("histogram", ""),
        }
    }

    /// The type in protobuf, which has none for facts.
    const fn message(self) -> protobuf::Type {
        match self {
            Kind::Counter => protobuf::Type::Counter,
            Kind::Gauge | Kind::Info => protobuf::Type::Gauge,
            Kind::Histogram => protobuf::Type::Histogram,
        }
    }
}

/// One family. Dropping it ends it.
#[derive(Debug)]
pub struct Family<'a> {
    out: &'a mut Exposition,
    name: &'a str,
    help: &'a str,
    kind: Kind,
    opened: bool,
}

impl Family<'_> {
    /// Writes one sample.
    pub fn sample(&mut self, labels: &Labels, value: impl Value) {
        self.sample_with(labels, &Labels::NONE, value);
    }

    /// Writes one sample with more labels.
    pub fn sample_with(&mut self, labels: &Labels, more: &Labels, value: impl Value) {
        if self.out.format != Format::Protobuf {
            self.write("", labels, more, value);
        } else if self.begin(1) {
            let labels = [labels, more].map(|labels| labels.bytes(Format::Protobuf));
            let message = &mut self.out.message;
            protobuf::push_sample(message, self.kind.message(), labels, value.as_f64());
        }
    }

    /// Begins that many samples; whether they are to be written.
    fn begin(&mut self, n_samples: usize) -> bool {
        if self.out.expired {
            return false;
        }
        if !std::mem::replace(&mut self.opened, true) {
            self.open();
        }
        self.out.n_samples += n_samples;
        true
    }

    /// Writes one sample as text.
    fn write(&mut self, suffix: &str, labels: &Labels, more: &Labels, value: impl Value) {
        if !self.begin(1) {
            return;
        }
        let [labels, more] = [labels, more].map(|labels| labels.bytes(self.out.format));
        let text = self.out.body.text();
        text.extend_from_slice(self.name.as_bytes());
        text.extend_from_slice(suffix.as_bytes());
        if !labels.is_empty() || !more.is_empty() {
            text.push(b'{');
            text.extend_from_slice(labels);
            if !labels.is_empty() && !more.is_empty() {
                text.push(b',');
            }
            text.extend_from_slice(more);
            text.push(b'}');
        }
        text.push(b' ');
        value.push_to(text);
        text.push(b'\n');
        self.out.body.line_ended();
    }

    fn open(&mut self) {
        if self.out.format == Format::Protobuf {
            let kind = self.kind.message();
            protobuf::push_family(&mut self.out.message, self.name, self.help, kind);
            return;
        }
        let is_open = self.out.format == Format::OpenMetrics;
        let (kind, ending) = self.kind.metadata(is_open);
        let name = self.name.strip_suffix(ending).unwrap_or(self.name);
        let head = self.out.body.text();
        head.extend_from_slice(b"# HELP ");
        head.extend_from_slice(name.as_bytes());
        head.push(b' ');
        push_escaped(head, self.help, is_open);
        head.extend_from_slice(format!("\n# TYPE {name} {kind}\n").as_bytes());
        if is_open && let Some(unit) = UNITS.iter().find(|unit| ends_in_unit(name, unit)) {
            head.extend_from_slice(format!("# UNIT {name} {unit}\n").as_bytes());
        }
    }
}

/// The units that names end in.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

fn ends_in_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}

/// A family of histograms.
#[derive(Debug)]
pub struct Histograms<'a> {
    family: Family<'a>,
    edges: Arc<[u64]>,
    /// The label of each bucket over these edges: nearly all histograms have the same.
    buckets: Vec<Labels>,
}

impl Histograms<'_> {
    /// Writes one histogram: its buckets cumulated, its sum in seconds and its count.
    pub fn sample(&mut self, labels: &Labels, histogram: &Histogram) {
        self.write(labels, histogram, None);
    }

    /// Writes one histogram, and in protobuf the same values in native buckets as well.
    pub fn sample_with_spread(&mut self, labels: &Labels, of: &Histogram, spread: &Exponential) {
        self.write(labels, of, Some(spread));
    }

    fn write(&mut self, labels: &Labels, histogram: &Histogram, spread: Option<&Exponential>) {
        if self.family.out.format == Format::Protobuf {
            if self.family.begin(histogram_samples(histogram.edges.len())) {
                let message = &mut self.family.out.message;
                protobuf::push_histogram(
                    message,
                    labels.bytes(Format::Protobuf),
                    histogram,
                    spread,
                );
            }
            return;
        }
        if self.edges != histogram.edges {
            self.edges = Arc::clone(&histogram.edges);
            let format = self.family.out.format;
            self.buckets =
                self.edges.iter().map(|edge| bucket(format, &edge_text(*edge))).collect();
            self.buckets.push(bucket(format, "+Inf"));
        }
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().zip(&histogram.counts) {
            below += count;
            self.family.write("_bucket", labels, bucket, below);
        }
        self.family.write("_sum", labels, &Labels::NONE, histogram.sum);
        self.family.write("_count", labels, &Labels::NONE, below);
    }
}

/// The label of the bucket below an edge.
fn bucket(format: Format, edge: &str) -> Labels {
    Labels::of(format, &[("le", edge)])
}

/// How many samples a histogram over this many edges has: its buckets, `+Inf`, sum and count.
pub const fn histogram_samples(n_edges: usize) -> usize {
    n_edges + 3
}

/// Whole microseconds as seconds, always with a point: the canonical form of an `le` label.
fn edge_text(micros: u64) -> String {
    let mut text = Vec::new();
    push_seconds(&mut text, micros / 1_000_000, micros % 1_000_000, 6);
    if micros.is_multiple_of(1_000_000) {
        text.extend_from_slice(b".0");
    }
    String::from_utf8(text).expect("digits are ASCII")
}

/// A label set, rendered for one format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// As text without braces, or as fields of a message.
    rendered: Vec<u8>,
    format: Format,
}

impl Labels {
    /// No labels, in any format.
    pub const NONE: Labels = Labels { rendered: Vec::new(), format: Format::Text };

    /// These labels in this order. Keys are valid label names; values may be anything.
    pub fn of(format: Format, pairs: &[(&str, &str)]) -> Self {
        let none = Labels { rendered: Vec::new(), format };
        pairs.iter().fold(none, |labels, (key, value)| labels.and(key, value))
    }

    /// One label more.
    pub fn and(mut self, key: &str, value: &str) -> Self {
        if self.format == Format::Protobuf {
            protobuf::push_label(&mut self.rendered, key, value);
            return self;
        }
        if !self.rendered.is_empty() {
            self.rendered.push(b',');
        }
        push_label(&mut self.rendered, key, value);
        self
    }

    /// As bytes of the given format, which must be the one that they were rendered for.
    fn bytes(&self, format: Format) -> &[u8] {
        let is_message = |format| format == Format::Protobuf;
        let fits = is_message(self.format) == is_message(format);
        debug_assert!(self.rendered.is_empty() || fits, "labels of another format");
        &self.rendered
    }
}

fn push_label(text: &mut Vec<u8>, key: &str, value: &str) {
    text.extend_from_slice(key.as_bytes());
    text.extend_from_slice(b"=\"");
    push_escaped(text, value, true);
    text.push(b'"');
}

fn push_escaped(text: &mut Vec<u8>, value: &str, quotes: bool) {
    let plain = !value.bytes().any(|b| matches!(b, b'\\' | b'\n' | b'"'));
    if plain {
        text.extend_from_slice(value.as_bytes());
        return;
    }
    for byte in value.bytes() {
        match byte {
            b'\\' => text.extend_from_slice(b"\\\\"),
            b'\n' => text.extend_from_slice(b"\\n"),
            b'"' if quotes => text.extend_from_slice(b"\\\""),
            byte => text.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample(format: Format) -> String {
        let mut out = Exposition::new(format);
        let labels = Labels::of(format, &[("slo", "a/\"b\"\\\n")]);
        out.info("nines_slo_info", "Facts.").sample(&labels, true);
        out.counter("nines_probes_total", "Runs \\ so far.").sample(&labels, 7_u64);
        let mut phases = out.counter("nines_probe_phase_seconds_total", "Time.");
        phases.sample_with(
            &labels,
            &Labels::of(format, &[("phase", "dns")]),
            Duration::from_millis(1_500),
        );
        out.gauge("nines_never_seen", "Has no data.");
        out.gauge("nines_slo_exhaustion_seconds", "Left.").sample(&Labels::NONE, f64::INFINITY);
        let mut histogram = Histogram::new([1_000, 2_000_000].into());
        histogram.count(Duration::from_millis(1));
        histogram.count(Duration::from_secs(3));
        out.histogram("nines_d_seconds", "D.").sample(&Labels::NONE, &histogram);
        assert_eq!(out.n_samples(), 4 + histogram_samples(2));
        String::from_utf8(out.finish().expect("no deadline")).expect("text")
    }

    #[test]
    fn text_keeps_full_names_and_escapes_labels() {
        insta::assert_snapshot!(sample(Format::Text), @r###"
        # HELP nines_slo_info Facts.
        # TYPE nines_slo_info gauge
        nines_slo_info{slo="a/\"b\"\\\n"} 1
        # HELP nines_probes_total Runs \\ so far.
        # TYPE nines_probes_total counter
        nines_probes_total{slo="a/\"b\"\\\n"} 7
        # HELP nines_probe_phase_seconds_total Time.
        # TYPE nines_probe_phase_seconds_total counter
        nines_probe_phase_seconds_total{slo="a/\"b\"\\\n",phase="dns"} 1.5
        # HELP nines_slo_exhaustion_seconds Left.
        # TYPE nines_slo_exhaustion_seconds gauge
        nines_slo_exhaustion_seconds +Inf
        # HELP nines_d_seconds D.
        # TYPE nines_d_seconds histogram
        nines_d_seconds_bucket{le="0.001"} 1
        nines_d_seconds_bucket{le="2.0"} 1
        nines_d_seconds_bucket{le="+Inf"} 2
        nines_d_seconds_sum 3.001
        nines_d_seconds_count 2
        "###);
    }

    #[test]
    fn openmetrics_has_base_names_units_and_an_end() {
        insta::assert_snapshot!(sample(Format::OpenMetrics), @r###"
        # HELP nines_slo Facts.
        # TYPE nines_slo info
        nines_slo_info{slo="a/\"b\"\\\n"} 1
        # HELP nines_probes Runs \\ so far.
        # TYPE nines_probes counter
        nines_probes_total{slo="a/\"b\"\\\n"} 7
        # HELP nines_probe_phase_seconds Time.
        # TYPE nines_probe_phase_seconds counter
        # UNIT nines_probe_phase_seconds seconds
        nines_probe_phase_seconds_total{slo="a/\"b\"\\\n",phase="dns"} 1.5
        # HELP nines_slo_exhaustion_seconds Left.
        # TYPE nines_slo_exhaustion_seconds gauge
        # UNIT nines_slo_exhaustion_seconds seconds
        nines_slo_exhaustion_seconds +Inf
        # HELP nines_d_seconds D.
        # TYPE nines_d_seconds histogram
        # UNIT nines_d_seconds seconds
        nines_d_seconds_bucket{le="0.001"} 1
        nines_d_seconds_bucket{le="2.0"} 1
        nines_d_seconds_bucket{le="+Inf"} 2
        nines_d_seconds_sum 3.001
        nines_d_seconds_count 2
        # EOF
        "###);
    }

    #[test]
    fn edges_are_canonical_seconds() {
        let check = |micros, expect| assert_eq!(edge_text(micros), expect);
        check(1_000, "0.001");
        check(10_000_000, "10.0");
        check(2_500_000, "2.5");
        check(1, "0.000001");
        check(0, "0.0");
    }

    #[tokio::test(start_paused = true)]
    async fn a_scrape_past_its_deadline_says_so_instead_of_being_cut() {
        let now = Instant::now();
        let mut out = Exposition::new(Format::Text).with_deadline(Some(now));
        out.gauge("nines_x", "X.").sample(&Labels::NONE, 1_u64);
        assert_eq!(out.n_samples(), 0);
        assert_eq!(out.finish(), Err(Expired));
    }
}
