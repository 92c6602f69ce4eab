//! What an SLO measures, as a number: two declarations with the same one look at the same thing
//! in the same way.
//!
//! What is said for people only, how often it is asked, and in which file something lies is not
//! in it: what a file holds may change beneath its name. It is kept for good, so what it is made
//! of must not change: a field that is added one day may add nothing while it has its default.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::schedule::fnv_1a;
use crate::model::catalog::Method;
use crate::model::check::{Check, HttpCheck, HttpExpect, TlsOptions};
use crate::model::source::{Measure, Prometheus};
use crate::model::{Probe, ProbeId, Slo, Source};

/// What each of these probes does, as a number.
pub(super) fn of_probes<'a>(probes: impl Iterator<Item = &'a Probe>) -> BTreeMap<ProbeId, u64> {
    probes.map(|probe| (probe.id.clone(), hash(&of_probe(probe)))).collect()
}

/// What an SLO counts, given what each probe does.
pub(super) fn of_slo(slo: &Slo, checks: &BTreeMap<ProbeId, u64>) -> u64 {
    let mut text = Text::default();
    match slo.method {
        Method::Occurrences => {}
        Method::Timeslices { slice, objective } => {
            text.add("slice", slice.as_micros());
            text.add("slice-objective", objective.ppb());
        }
        Method::RatioTimeslices { slice } => text.add("ratio-slice", slice.as_micros()),
    }
    for probe in &slo.probes {
        text.add(probe.as_str(), checks.get(probe).copied().unwrap_or_default());
    }
    hash(&text.0)
}

fn hash(text: &str) -> u64 {
    fnv_1a(text.bytes())
}

/// Lines of a key and a value, in which no value can look like another line.
#[derive(Default)]
struct Text(String);

impl Text {
    fn add(&mut self, key: &str, value: impl std::fmt::Display) {
        let value = value.to_string();
        writeln!(self.0, "{key}={}:{value}", value.len()).expect("a String takes everything");
    }

    fn maybe(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }
}

fn of_probe(probe: &Probe) -> String {
    let mut text = Text::default();
    text.add("kind", probe.check.kind());
    match &probe.check {
        Check::Http(check) => http(check, &mut text),
        Check::Tcp(check) => {
            text.add("endpoint", &check.endpoint);
            text.maybe("send", check.send.as_ref());
            text.maybe("expect", check.expect.as_ref());
        }
        Check::Tls(check) => {
            text.add("endpoint", &check.endpoint);
            tls(&check.tls, &mut text);
            text.maybe("validity", check.min_validity.map(|time| time.as_micros()));
        }
        Check::Name(name) => text.add("name", name),
        Check::Source(source) => of_source(source, &mut text),
    }
    if probe.check.source().is_none() {
        text.add("timeout", probe.timeout.as_micros());
    }
    text.0
}

fn http(check: &HttpCheck, text: &mut Text) {
    let HttpCheck { url, method, headers, header_files, body, expect, .. } = check;
    text.add("url", url);
    text.add("method", method);
    for (name, value) in headers {
        text.add(name.as_str(), value.as_bytes().escape_ascii());
    }
    for (name, _) in header_files {
        text.add("secret", name);
    }
    text.maybe("body", body.as_ref());
    let HttpExpect { status, headers, body_contains } = expect;
    for (from, to) in status {
        text.add("status", format_args!("{from}-{to}"));
    }
    for (name, value) in headers {
        text.add("answer", name);
        text.maybe("answer-value", value.as_ref());
    }
    text.maybe("contains", body_contains.as_ref());
    text.add("version", format_args!("{:?}", check.version));
    tls(&check.tls, text);
    text.add("connection", check.connection.word());
    text.add("most", check.max_body);
}

fn tls(options: &TlsOptions, text: &mut Text) {
    text.maybe("server-name", options.server_name.as_ref());
    text.maybe("trust", options.ca_file.as_ref().map(|_| "own"));
}

fn of_source(source: &Source, text: &mut Text) {
    let Source::Prometheus(Prometheus { server, measure, counter }) = source else { return };
    text.add("server", server);
    text.add("counter", counter);
    let mut both = |names: [&str; 2], queries: [&String; 2]| {
        names.into_iter().zip(queries).for_each(|(name, query)| text.add(name, query));
    };
    match measure {
        Measure::Good { good, total } => both(["good", "total"], [good, total]),
        Measure::Bad { bad, total } => both(["bad", "total"], [bad, total]),
        Measure::Both { good, bad } => both(["good", "bad"], [good, bad]),
        Measure::Ratio { query, of_good } => {
            text.add("ratio", query);
            text.add("of-good", of_good);
        }
        Measure::Threshold { query, op, nano } => {
            text.add("threshold", query);
            text.add("op", format_args!("{op:?}"));
            text.add("nano", nano);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Options, SourceFile, load};

    /// A service with one probe and one SLO; the given text is put in where it says so.
    fn measured(service: &str, probe: &str, slo: &str) -> u64 {
        let text = format!(
            "apiVersion: nines/v1\nkind: Service\nmetadata: {{name: a}}\nspec:\n{service}  \
             probes: [{{name: p, {probe}}}]\n  \
             slos: [{{name: up, probe: p, window: 30d, {slo}}}]\n"
        );
        let file = SourceFile { path: "a.yaml".into(), root: "".into(), content: text.into() };
        let loaded = load(&[file], &Options::default());
        let catalog = match loaded {
            Ok(loaded) => loaded.catalog,
            Err(problems) => panic!("{}", problems[0].render(false)),
        };
        of_slo(&catalog.services[0].slos[0], &of_probes(catalog.probes()))
    }

    const HTTP: &str = "http: {url: \"http://h/\"}, interval: 5s, timeout: 2s";
    const SLO: &str = "objective: 99%";

    #[test]
    fn what_is_measured_is_the_same_whatever_is_said_about_it() {
        let plain = measured("", HTTP, SLO);
        // It is kept in ledgers, so it may never change.
        assert_eq!(plain, PLAIN);
        for (service, probe, slo) in [
            ("  description: Other words.\n", HTTP, SLO),
            ("  links: {runbook: \"https://h/\"}\n", HTTP, SLO),
            ("", "http: {url: \"http://h/\"}, interval: 9s, timeout: 2s", SLO),
            ("", HTTP, "objective: 99.9%"),
            ("", HTTP, "objective: 99%, alerting: {policy: workbook}"),
            ("", HTTP, "objective: 99%, description: More words."),
            ("", HTTP, "objective: 99%, unknown: bad"),
        ] {
            assert_eq!(measured(service, probe, slo), plain, "{service}{probe}{slo}");
        }
    }

    const PLAIN: u64 = 13_401_295_346_302_049_932;

    #[test]
    fn another_target_check_or_method_is_another_measurement() {
        let mut all = vec![measured("", HTTP, SLO)];
        for probe in [
            "http: {url: \"http://h/other\"}, interval: 5s, timeout: 2s",
            "http: {url: \"http://h/?key=2\"}, interval: 5s, timeout: 2s",
            "http: {url: \"http://h/\", method: HEAD}, interval: 5s, timeout: 2s",
            "http: {url: \"http://h/\", headers: {x-a: b}}, interval: 5s, timeout: 2s",
            "http: {url: \"http://h/\", headers: {x-a: c}}, interval: 5s, timeout: 2s",
            "http: {url: \"http://h/\", expect: {status: [204]}}, interval: 5s, timeout: 2s",
            "http: {url: \"http://h/\", expect: {body: {contains: ok}}}, interval: 5s, timeout: 2s",
            "http: {url: \"http://h/\", connection: warm}, interval: 5s, timeout: 2s",
            "http: {url: \"http://h/\"}, interval: 5s, timeout: 1s",
            "tcp: {address: \"h:80\"}, interval: 5s, timeout: 2s",
            "tcp: {address: \"h:81\"}, interval: 5s, timeout: 2s",
            "tls: {address: \"h:80\"}, interval: 5s, timeout: 2s",
        ] {
            all.push(measured("", probe, SLO));
        }
        for method in ["{slice: 1m, sliceObjective: 95%}", "{slice: 1m, sliceObjective: 96%}"] {
            let slo = format!("objective: 99%, method: {{timeslices: {method}}}");
            all.push(measured("", HTTP, &slo));
        }
        let n = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), n);
    }
}
