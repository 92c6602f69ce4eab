//! Which of the formats we have a client prefers, by its `Accept` and `Accept-Encoding`.
//!
//! Never refuses: what nobody offers and nobody understands is answered as text 0.0.4, plain.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING};

use super::exposition::Format;

/// What a scrape is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The format to write.
    pub format: Format,
    /// The `Content-Type` to declare.
    pub content_type: String,
}

/// The escaping schemes for names; ours need none, so whichever is asked for is true of them.
const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// The best answer to the request's `Accept`.
pub fn answer(headers: &HeaderMap) -> Answer {
    let mut best: Option<(u32, Answer)> = None;
    for range in ranges(headers, ACCEPT) {
        // The first of equals wins: clients list what they like best first.
        let beats = best.as_ref().is_none_or(|(weight, _)| range.weight > *weight);
        if range.weight > 0
            && beats
            && let Some(answer) = offered(&range)
        {
            best = Some((range.weight, answer));
        }
    }
    best.map_or_else(|| text(None), |(_, answer)| answer)
}

/// Whether the response may be compressed with gzip.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for range in ranges(headers, ACCEPT_ENCODING) {
        match range.name.as_str() {
            "gzip" | "x-gzip" => return range.weight > 0,
            "*" => any = range.weight > 0,
            _ => {}
        }
    }
    any
}

/// What we have for one media range, if anything.
fn offered(range: &Range) -> Option<Answer> {
    let escaping = range.parameter("escaping").filter(|e| ESCAPINGS.contains(e));
    let version = range.parameter("version");
    match (range.name.as_str(), version) {
        ("application/openmetrics-text", None | Some("1.0.0")) => {
            Some(open_metrics("1.0.0", escaping))
        }
        ("application/vnd.google.protobuf", _) => {
            let is = |key, value| range.parameter(key) == Some(value);
            let ours = is("proto", "io.prometheus.client.metricfamily");
            (ours && is("encoding", "delimited")).then(|| protobuf(escaping))
        }
        // The draft's syntax is the same.
        ("application/openmetrics-text", Some("0.0.1")) => Some(open_metrics("0.0.1", escaping)),
        ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => Some(text(escaping)),
        _ => None,
    }
}

fn text(escaping: Option<&str>) -> Answer {
    let content_type = with_escaping("text/plain; version=0.0.4; charset=utf-8", escaping);
    Answer { format: Format::Text, content_type }
}

fn open_metrics(version: &str, escaping: Option<&str>) -> Answer {
    let base = format!("application/openmetrics-text; version={version}; charset=utf-8");
    Answer { format: Format::OpenMetrics, content_type: with_escaping(&base, escaping) }
}

fn protobuf(escaping: Option<&str>) -> Answer {
    let base = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                encoding=delimited";
    Answer { format: Format::Protobuf, content_type: with_escaping(base, escaping) }
}

fn with_escaping(base: &str, escaping: Option<&str>) -> String {
    match escaping {
        Some(scheme) => format!("{base}; escaping={scheme}"),
        None => base.to_owned(),
    }
}

/// One element of a list with weights (RFC 9110, section 12.4.2).
struct Range {
    name: String,
    parameters: Vec<(String, String)>,
    /// Thousandths.
    weight: u32,
}

impl Range {
    fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

fn ranges(headers: &HeaderMap, name: http::HeaderName) -> Vec<Range> {
    let lines = headers.get_all(name);
    let elements = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|l| l.split(','));
    elements.filter_map(range).collect()
}

fn range(element: &str) -> Option<Range> {
    let mut parts = element.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
    let mut parameters = Vec::new();
    let mut weight = 1_000;
    for part in parts {
        let Some((key, value)) = part.split_once('=') else { continue };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
        if key == "q" {
            weight = thousandths(value);
        } else {
            parameters.push((key, value.to_ascii_lowercase()));
        }
    }
    Some(Range { name, parameters, weight })
}

/// A weight from 0 to 1 as thousandths; what is none counts as 0, so that it is not chosen.
fn thousandths(text: &str) -> u32 {
    match text.parse::<f64>() {
        Ok(q) if (0.0..=1.0).contains(&q) => (q * 1_000.0).round() as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, format: Format, content_type: &str) {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(ACCEPT, accept.parse().expect("a header"));
        }
        let content_type = content_type.to_owned();
        assert_eq!(answer(&headers), Answer { format, content_type }, "{accept}");
    }

    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    const PROTOBUF: &str = "application/vnd.google.protobuf; \
                            proto=io.prometheus.client.MetricFamily; encoding=delimited";
    const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    #[test]
    fn real_scrapers_get_what_they_prefer() {
        // Prometheus 2.42.
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
             version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Format::OpenMetrics,
            OPEN,
        );
        // Prometheus 2.42 with native histograms.
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,\
             application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,\
             */*;q=0.1",
            Format::Protobuf,
            PROTOBUF,
        );
        // Prometheus 3 with native histograms.
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;escaping=allow-utf-8;q=0.6,application/openmetrics-text;\
             version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            Format::Protobuf,
            &format!("{PROTOBUF}; escaping=allow-utf-8"),
        );
        // Prometheus 3.
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;\
             escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            Format::OpenMetrics,
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        );
        // Prometheus 3 told to scrape text only.
        check(
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.4",
            Format::Text,
            TEXT,
        );
        // A browser, curl, and nobody in particular.
        check(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            Format::Text,
            TEXT,
        );
        check("*/*", Format::Text, TEXT);
        check("", Format::Text, TEXT);
    }

    #[test]
    fn weights_decide_and_the_unknown_is_passed_over() {
        check(
            "text/plain;version=0.0.4;q=0.9,application/openmetrics-text",
            Format::OpenMetrics,
            OPEN,
        );
        check("text/plain;q=0.9,application/openmetrics-text;q=0.8", Format::Text, TEXT);
        check("application/openmetrics-text;q=0,text/plain;q=0.1", Format::Text, TEXT);
        check("application/openmetrics-text;version=2.0.0", Format::Text, TEXT);
        check("image/png", Format::Text, TEXT);
        check("application/openmetrics-text;q=banana,*/*;q=0.1", Format::Text, TEXT);
        check(
            "text/plain;escaping=dots",
            Format::Text,
            "text/plain; version=0.0.4; charset=utf-8; escaping=dots",
        );
        check("text/plain;escaping=shouting", Format::Text, TEXT);
    }

    #[test]
    fn protobuf_is_written_in_the_one_way_that_was_asked_for_by_name() {
        let all = "application/vnd.google.protobuf;proto=\"io.prometheus.client.MetricFamily\";\
                   encoding=delimited;q=0.3,text/plain;q=0.2";
        check(all, Format::Protobuf, PROTOBUF);
        for other in [
            "application/vnd.google.protobuf",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=text",
            "application/vnd.google.protobuf;proto=another.Message;encoding=delimited",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0",
            "application/*",
        ] {
            check(other, Format::Text, TEXT);
        }
        let less = "text/plain;q=0.4,application/vnd.google.protobuf;\
                    proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.3";
        check(less, Format::Text, TEXT);
    }

    #[test]
    fn gzip_is_used_only_where_it_is_welcome() {
        let check = |value: &str, expect| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, value.parse().expect("a header"));
            assert_eq!(accepts_gzip(&headers), expect, "{value}");
        };
        check("gzip", true);
        check("deflate, gzip;q=0.5", true);
        check("gzip;q=0, *", false);
        check("*", true);
        check("identity", false);
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
