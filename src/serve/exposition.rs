//! A streaming writer of metric families as text 0.0.4 or OpenMetrics 1.0.0.
//!
//! Writes straight into one buffer: no value is kept, no sample allocates, and label sets are
//! rendered once and used by many families. A family appears with its first sample, so what has
//! no data leaves no trace. It does not know what the families mean.

use std::fmt::Write;

use tokio::time::Instant;

use crate::engine::counters::Histogram;

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
    text: String,
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
        Exposition { text: String::new(), format, n_samples: 0, deadline: None, expired: false }
    }

    /// Stops writing at this moment; [`Exposition::finish`] then says so.
    pub fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Makes room for this many bytes, so that a large scrape is not copied while it grows.
    pub fn reserve(&mut self, bytes: usize) {
        self.text.reserve(bytes);
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
        Histograms { family: self.family(name, help, Kind::Histogram) }
    }

    /// How many samples were written so far.
    pub fn n_samples(&self) -> usize {
        self.n_samples
    }

    /// The whole text, with the end marker where the format has one.
    ///
    /// # Errors
    /// When the deadline passed first.
    pub fn finish(mut self) -> Result<String, Expired> {
        if self.expired {
            return Err(Expired);
        }
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        Ok(self.text)
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
        self.write("", labels, None, value);
    }

    /// Writes one sample with one more label.
    pub fn sample_with(&mut self, labels: &Labels, extra: (&str, &str), value: impl Value) {
        self.write("", labels, Some(extra), value);
    }

    fn write(
        &mut self,
        suffix: &str,
        labels: &Labels,
        extra: Option<(&str, &str)>,
        value: impl Value,
    ) {
        if self.out.expired {
            return;
        }
        self.open();
        let text = &mut self.out.text;
        text.push_str(self.name);
        text.push_str(suffix);
        if !labels.0.is_empty() || extra.is_some() {
            text.push('{');
            text.push_str(&labels.0);
            if let Some((key, value)) = extra {
                if !labels.0.is_empty() {
                    text.push(',');
                }
                push_label(text, key, value);
            }
            text.push('}');
        }
        text.push(' ');
        value.push_to(text);
        text.push('\n');
        self.out.n_samples += 1;
    }

    fn open(&mut self) {
        if std::mem::replace(&mut self.opened, true) {
            return;
        }
        let (kind, ending) = self.kind.metadata(self.out.format);
        let name = self.name.strip_suffix(ending).unwrap_or(self.name);
        let text = &mut self.out.text;
        text.push_str("# HELP ");
        text.push_str(name);
        text.push(' ');
        let quotes = self.out.format == Format::OpenMetrics;
        push_escaped(text, self.help, quotes);
        text.push_str("\n# TYPE ");
        text.push_str(name);
        text.push(' ');
        text.push_str(kind);
        text.push('\n');
        if self.out.format == Format::OpenMetrics
            && let Some(unit) = UNITS.iter().find(|unit| ends_in_unit(name, unit))
        {
            let _ = writeln!(text, "# UNIT {name} {unit}");
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
}

impl Histograms<'_> {
    /// Writes one histogram: its buckets cumulated, its sum in seconds and its count.
    pub fn sample(&mut self, labels: &Labels, histogram: &Histogram) {
        let mut below = 0;
        let mut edge_text = String::new();
        for (edge, count) in histogram.edges.iter().zip(&histogram.counts) {
            below += count;
            edge_text.clear();
            push_seconds(&mut edge_text, *edge);
            self.family.write("_bucket", labels, Some(("le", &edge_text)), below);
        }
        let total = histogram.total();
        self.family.write("_bucket", labels, Some(("le", "+Inf")), total);
        self.family.write("_sum", labels, None, histogram.sum.as_secs_f64());
        self.family.write("_count", labels, None, total);
    }
}

/// How many samples a histogram over this many edges has: its buckets, `+Inf`, sum and count.
pub const fn histogram_samples(n_edges: usize) -> usize {
    n_edges + 3
}

/// Whole microseconds as seconds, always with a point: the canonical form of an `le` label.
fn push_seconds(text: &mut String, micros: u64) {
    push_integer(text, micros / 1_000_000);
    text.push('.');
    let mut rest = micros % 1_000_000;
    let mut digit = 100_000;
    loop {
        push_integer(text, rest / digit);
        rest %= digit;
        digit /= 10;
        if rest == 0 {
            return;
        }
    }
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

/// Something that can be the value of a sample.
pub trait Value {
    /// Appends it as both formats write numbers.
    fn push_to(self, text: &mut String);
}

impl Value for u64 {
    fn push_to(self, text: &mut String) {
        push_integer(text, self);
    }
}

impl Value for usize {
    fn push_to(self, text: &mut String) {
        push_integer(text, self as u64);
    }
}

/// Digits without the formatting machinery, which takes several times as long.
fn push_integer(text: &mut String, mut n: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    text.push_str(std::str::from_utf8(&digits[at..]).expect("digits are ASCII"));
}

impl Value for bool {
    fn push_to(self, text: &mut String) {
        text.push(if self { '1' } else { '0' });
    }
}

impl Value for f64 {
    fn push_to(self, text: &mut String) {
        // Below 2^53 a whole number is exact as an integer, and much faster to write.
        if self.fract() == 0.0 && (0.0..9e15).contains(&self) {
            push_integer(text, self as u64);
        } else if self.is_finite() {
            let _ = write!(text, "{self}");
        } else if self.is_nan() {
            text.push_str("NaN");
        } else {
            text.push_str(if self > 0.0 { "+Inf" } else { "-Inf" });
        }
    }
}

impl Value for std::time::Duration {
    /// As seconds.
    fn push_to(self, text: &mut String) {
        self.as_secs_f64().push_to(text);
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
        phases.sample_with(&labels, ("phase", "dns"), Duration::from_millis(1_500));
        out.gauge("nines_never_seen", "Has no data.");
        out.gauge("nines_slo_exhaustion_seconds", "Left.").sample(&Labels::NONE, f64::INFINITY);
        let mut histogram = Histogram::new([1_000, 2_000_000].into());
        histogram.count(Duration::from_millis(1));
        histogram.count(Duration::from_secs(3));
        out.histogram("nines_d_seconds", "D.").sample(&Labels::NONE, &histogram);
        assert_eq!(out.n_samples(), 4 + histogram_samples(2));
        out.finish().expect("no deadline")
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
        let check = |micros, expect: &str| {
            let mut text = String::new();
            push_seconds(&mut text, micros);
            assert_eq!(text, expect);
        };
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
