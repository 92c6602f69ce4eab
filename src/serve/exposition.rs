//! A streaming writer of metric families as text 0.0.4 or OpenMetrics 1.0.0.
//!
//! Writes straight into one body: no value is kept, no sample allocates, and label sets are
//! rendered once and used by many families. A family appears with its first sample, so what has
//! no data leaves no trace. It does not know what the families mean.

use std::sync::Arc;

use tokio::time::Instant;

use crate::engine::counters::Histogram;

use super::body::Body;
use super::number::{Value, push_seconds};

/// The text formats there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// A scrape in the making.
#[derive(Debug)]
pub struct Exposition {
    body: Body,
    format: Format,
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
        let body = Body::default();
        Exposition { body, format, n_samples: 0, deadline: None, expired: false }
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
        Histograms { family, edges: Arc::default(), buckets: vec![bucket("+Inf")] }
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
        if self.format == Format::OpenMetrics {
            self.body.text().extend_from_slice(b"# EOF\n");
        }
        Ok(self.body.finish())
    }

    fn family<'a>(&'a mut self, name: &'a str, help: &'a str, kind: Kind) -> Family<'a> {
        // Looked at once a family: the largest takes a few milliseconds.
        self.expired = self.expired || self.deadline.is_some_and(|at| Instant::now() >= at);
        Family { out: self, name, help, kind, opened: false }
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
    /// The type, and the ending that the family's name loses, in a format.
    fn metadata(self, format: Format) -> (&'static str, &'static str) {
        match (self, format) {
            (Kind::Counter, Format::Text) => ("counter", ""),
            (Kind::Counter, Format::OpenMetrics) => ("counter", "_total"),
            (Kind::Info, Format::OpenMetrics) => ("info", "_info"),
            (Kind::Info, Format::Text) | (Kind::Gauge, _) => ("gauge", ""),
            (Kind::Histogram, _) => ("histogram", ""),
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
        self.write("", labels, &Labels::NONE, value);
    }

    /// Writes one sample with more labels.
    pub fn sample_with(&mut self, labels: &Labels, more: &Labels, value: impl Value) {
        self.write("", labels, more, value);
    }

    fn write(&mut self, suffix: &str, labels: &Labels, more: &Labels, value: impl Value) {
        if self.out.expired {
            return;
        }
        self.open();
        let text = self.out.body.text();
        text.extend_from_slice(self.name.as_bytes());
        text.extend_from_slice(suffix.as_bytes());
        let (labels, more) = (labels.0.as_bytes(), more.0.as_bytes());
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
        self.out.n_samples += 1;
    }

    fn open(&mut self) {
        if std::mem::replace(&mut self.opened, true) {
            return;
        }
        let (kind, ending) = self.kind.metadata(self.out.format);
        let name = self.name.strip_suffix(ending).unwrap_or(self.name);
        let is_open = self.out.format == Format::OpenMetrics;
        let mut head = format!("# HELP {name} ");
        push_escaped(&mut head, self.help, is_open);
        head.push_str("\n# TYPE ");
        head.extend([name, " ", kind, "\n"]);
        if is_open && let Some(unit) = UNITS.iter().find(|unit| ends_in_unit(name, unit)) {
            head.extend(["# UNIT ", name, " ", unit, "\n"]);
        }
        self.out.body.text().extend_from_slice(head.as_bytes());
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
        if self.edges != histogram.edges {
            self.edges = Arc::clone(&histogram.edges);
            self.buckets = self.edges.iter().map(|edge| bucket(&edge_text(*edge))).collect();
            self.buckets.push(bucket("+Inf"));
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
fn bucket(edge: &str) -> Labels {
    Labels::of(&[("le", edge)])
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

/// A rendered label set, without its braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(String);

impl Labels {
    /// No labels.
    pub const NONE: Labels = Labels(String::new());

    /// These labels in this order. Keys are valid label names; values may be anything.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        pairs.iter().fold(Labels::NONE, |labels, (key, value)| labels.and(key, value))
    }

    /// One label more.
    pub fn and(mut self, key: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        push_label(&mut self.0, key, value);
        self
    }
}

fn push_label(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str("=\"");
    push_escaped(text, value, true);
    text.push('"');
}

fn push_escaped(text: &mut String, value: &str, quotes: bool) {
    let plain = !value.bytes().any(|b| matches!(b, b'\\' | b'\n' | b'"'));
    if plain {
        text.push_str(value);
        return;
    }
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample(format: Format) -> String {
        let mut out = Exposition::new(format);
        let labels = Labels::of(&[("slo", "a/\"b\"\\\n")]);
        out.info("nines_slo_info", "Facts.").sample(&labels, true);
        out.counter("nines_probes_total", "Runs \\ so far.").sample(&labels, 7_u64);
        let mut phases = out.counter("nines_probe_phase_seconds_total", "Time.");
        phases.sample_with(&labels, &Labels::of(&[("phase", "dns")]), Duration::from_millis(1_500));
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
