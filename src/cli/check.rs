//! `nines check`: are the specs valid, and can they do what they promise?
//!
//! Prints every problem with its place, then for each SLO what arithmetic alone can tell: its
//! budget, the price of a lost probe, when its alerts fire, how long evidence takes. Probes
//! nothing and looks at no history.

mod evidence;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Failure, Format};
use crate::clock;
use crate::daemon::files;
use crate::engine::feasibility::{self, Event, Feasibility, Fraction, Together};
use crate::engine::fit::{self, Ground};
use crate::model::correction::{Act, Correction};
use crate::model::{Catalog, Severity, Slo, Timestamp, Window, decimal, number};
use crate::serve::Gate;
use crate::spec::{self, Level, Loaded, Problem};

/// Exit code when the specs are invalid, or have warnings where those are not allowed.
pub const INVALID: u8 = 3;

/// What is checked and how it is told.
#[derive(Clone, Debug)]
pub struct Check {
    /// Spec files and directories.
    pub specs: Vec<PathBuf>,
    /// What the operator allows specs.
    pub options: spec::Options,
    /// The operator's config, whose warnings are told as well.
    pub config: spec::config::Config,
    /// Whether warnings fail the check.
    pub strict: bool,
    /// How it is told.
    pub format: Format,
    /// Whether the table is coloured.
    pub colour: bool,
    /// How many series a catalog exposes; the exporter's own count.
    pub series_count: fn(&Catalog) -> usize,
}

/// Checks and reports; the exit code is 0 or [`INVALID`].
///
/// # Errors
/// A file cannot be read, or the report cannot be written.
pub fn run(check: &Check, out: &mut dyn Write) -> anyhow::Result<u8> {
    let files = files::read_specs(&check.specs)?;
    let (mut problems, loaded) = match spec::load(&files, &check.options) {
        Ok(loaded) => (loaded.warnings.clone(), Some(loaded)),
        Err(problems) => (problems, None),
    };
    problems.extend(config_warnings(&check.config, loaded.as_ref()));
    problems.extend(entry_problems(&check.config)?);
    let findings = loaded.as_ref().map(|l| feasibility::assess(&l.catalog)).unwrap_or_default();
    problems.extend(loaded.iter().flat_map(|loaded| warnings(loaded, &findings)));
    problems.extend(loaded.iter().flat_map(unfit));
    problems.extend(loaded.iter().flat_map(|loaded| premature(loaded, clock::wall_now())));
    let report = Report { n_files: files.len(), problems, loaded, findings, check };
    match check.format {
        Format::Json => writeln!(out, "{:#}", report.json())?,
        Format::Table => report.table(out)?,
    }
    let fails = |p: &Problem| check.strict || p.level == Level::Error;
    Ok(if report.problems.iter().any(fails) { INVALID } else { 0 })
}

/// What is wrong with the web config that the config names.
///
/// # Errors
/// A file of it cannot be read or used.
fn entry_problems(config: &spec::config::Config) -> anyhow::Result<Vec<Problem>> {
    match super::run::entry(config.web_config.as_ref()) {
        Ok(entry) => {
            Gate::open(&entry.config)?;
            Ok(Vec::new())
        }
        Err(error) => match error.downcast::<Failure>() {
            Ok(Failure::Invalid(problems)) => Ok(problems),
            Ok(other) => Err(other.into()),
            Err(error) => Err(error),
        },
    }
}

/// What somebody should look at in the config, by itself and beside the specs.
pub fn config_warnings(config: &spec::config::Config, loaded: Option<&Loaded>) -> Vec<Problem> {
    let shared = loaded.map(|loaded| config.shared_with(&loaded.catalog)).unwrap_or_default();
    config.warnings.iter().cloned().chain(shared).collect()
}

/// Corrections that speak of time which is still to come.
pub fn premature(loaded: &Loaded, now: Timestamp) -> Vec<Problem> {
    let problem = |correction: &Arc<Correction>| {
        let Act::Set { to, .. } = correction.act else { return None };
        let message = format!("a Correction of time that is still to come: it is {now}");
        let hint = "declare a Maintenance for what is planned".to_owned();
        let ahead = to > now;
        ahead.then(|| loaded.places.correction_warning(correction.name.as_str(), message, hint))?
    };
    loaded.catalog.corrections.iter().filter_map(problem).collect()
}

/// What arithmetic found, as problems at the lines that declare the SLOs.
fn warnings(loaded: &Loaded, findings: &[Feasibility]) -> Vec<Problem> {
    let warning = |each: &Feasibility, finding: &feasibility::Finding| {
        let message = format!("{}: {}", each.slo, finding.message(each.event));
        loaded.places.warning(each.slo.as_str(), message, finding.hint())
    };
    let of = |each| move |finding| warning(each, finding);
    findings.iter().flat_map(|each| each.findings.iter().filter_map(of(each))).collect()
}

/// Promises and needs that declarations alone show to be impossible.
fn unfit(loaded: &Loaded) -> Vec<Problem> {
    let ground = Ground::new(&loaded.catalog, &|_| None);
    let impossible = fit::service::impossible(&ground).into_iter().filter_map(|(slo, told)| {
        let hint = "promise less, or ask more of what it depends on".to_owned();
        loaded.places.warning(slo.as_str(), format!("{slo}: {told}"), Some(hint))
    });
    let needs = fit::warnings(&ground);
    let needs =
        needs.into_iter().filter_map(|(name, told)| loaded.places.application_warning(&name, told));
    impossible.chain(needs).collect()
}

struct Report<'a> {
    n_files: usize,
    problems: Vec<Problem>,
    loaded: Option<Loaded>,
    findings: Vec<Feasibility>,
    check: &'a Check,
}

impl Report<'_> {
    fn count(&self, level: Level) -> usize {
        self.problems.iter().filter(|problem| problem.level == level).count()
    }

    fn slos(&self) -> impl Iterator<Item = (&Slo, &Feasibility)> {
        let slos = self.loaded.iter().flat_map(|loaded| loaded.catalog.slos());
        slos.map(|(_, slo)| slo).zip(&self.findings)
    }

    fn json(&self) -> Value {
        let catalog = self.loaded.as_ref().map(|loaded| &loaded.catalog);
        json!({
            "schema": "nines.check/v1",
            "valid": catalog.is_some(),
            "files": self.n_files,
            "errors": self.count(Level::Error),
            "warnings": self.count(Level::Warning),
            "problems": self.problems,
            "services": catalog.map(|catalog| catalog.services.len()),
            "applications": catalog.map(|catalog| catalog.applications.len()),
            "probes": catalog.map(|catalog| catalog.probes().count()),
            "probe_starts_per_second": catalog.and_then(starts_per_second),
            "series": catalog.map(self.check.series_count),
            "evidence_units": evidence::units(),
            "slos": self.slos().map(|(slo, each)| slo_json(slo, each)).collect::<Vec<_>>(),
        })
    }

    fn table(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        for problem in &self.problems {
            writeln!(out, "{}", problem.render(self.check.colour))?;
        }
        for (slo, each) in self.slos() {
            writeln!(out, "{}: {} over {}", slo.id, slo.objective, slo.window)?;
            for line in sentences(slo, each) {
                writeln!(out, "  {line}")?;
            }
        }
        let (errors, warnings) = (self.count(Level::Error), self.count(Level::Warning));
        if let Some(Loaded { catalog, .. }) = &self.loaded {
            writeln!(
                out,
                "{}, {}, {} ({} starts a second), {}; this config exposes {} series",
                counted(self.n_files, "file"),
                counted(catalog.services.len(), "service"),
                counted(catalog.probes().count(), "probe"),
                starts_per_second(catalog).unwrap_or_default(),
                counted(self.findings.len(), "SLO"),
                (self.check.series_count)(catalog),
            )?;
        }
        writeln!(out, "{}, {}", counted(errors, "error"), counted(warnings, "warning"))?;
        Ok(())
    }
}

fn counted(n: usize, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

/// How many probes start a second over all probes, as decimal text.
fn starts_per_second(catalog: &Catalog) -> Option<String> {
    let starts = catalog.probes().map(|p| 10_u128.pow(15) / p.interval.as_micros().max(1));
    let nano = starts.sum::<u128>();
    decimal::fixed(i128::try_from(nano).ok()?, 10_u128.pow(9), 2)
        .map(|text| decimal::trim_zeros(&text).to_owned())
}

fn sentences(slo: &Slo, each: &Feasibility) -> Vec<String> {
    let window = match slo.window {
        Window::Rolling(_) => slo.window.to_string(),
        Window::Calendar(_) => format!("the shortest {}", slo.window),
    };
    let budget = format!("{} of budget in {window}", number::duration(each.budget));
    let costs = cost(each.lost_probe);
    let source = slo.source.as_ref().map(|source| format!("counted by {source}"));
    if let (Some(source), Event::Unknown) = (&source, each.event) {
        return vec![format!("{budget}; {source}")];
    }
    let mut lines = vec![match each.event {
        Event::Slice => format!("{budget}; one bad slice costs {costs}"),
        Event::Interval => {
            format!("{budget}; one interval in which all fails costs {costs}, if traffic is even")
        }
        _ => format!("{budget}; one failed probe costs {costs}"),
    }];
    lines.extend(source);
    for severity in Severity::ALL {
        let fires = |pair: &&feasibility::PairFeasibility| pair.pair.severity == severity;
        let words = |pair| pair_words(pair, each.event);
        let pairs: Vec<String> = each.pairs.iter().filter(fires).map(words).collect();
        if !pairs.is_empty() {
            lines.push(format!("{}: {}", severity.word(), pairs.join(", ")));
        }
    }
    if each.pairs.is_empty() {
        lines.push("no alerts".to_owned());
    }
    let time = each.evidence_time.map_or("ages".to_owned(), number::duration);
    lines.push(format!(
        "proven at 95 % by {} good {}s in a row ({time}) if failures come singly, by {} \
         without one if they come as outages of {}",
        each.evidence_probes,
        each.event.word(),
        number::duration(each.met_after),
        number::duration(slo.mean_outage),
    ));
    lines
}

fn pair_words(each: &feasibility::PairFeasibility, event: Event) -> String {
    let name = each.pair.name();
    match each.fires_on {
        Some(n) => format!("{name} on failing {} {n}", event.word()),
        None => match each.together {
            Some(Together::Within(time)) => format!(
                "{name} only if several objectives fail together, within {} if all do",
                number::duration_up(time)
            ),
            Some(Together::AtTimes) => format!("{name} only if several objectives fail together"),
            None => format!("{name} never"),
        },
    }
}

/// A share of the budget, cut up.
fn cost(share: Fraction) -> String {
    let is_seen = share.times(Fraction::new(10_000, 1)).is_none_or(Fraction::is_whole);
    match i128::try_from(share.numerator) {
        Ok(_) if is_seen => number::of_budget(share.numerator, share.denominator),
        Ok(_) => "less than 0.01 % of the budget".to_owned(),
        Err(_) => "everything".to_owned(),
    }
}

fn slo_json(slo: &Slo, each: &Feasibility) -> Value {
    let pair = |pair: &feasibility::PairFeasibility| {
        json!({
            "severity": pair.pair.severity.word(),
            "pair": pair.pair.name(),
            "burn": text(pair.burn),
            "fires_on_failing_probe": pair.fires_on,
            "fires_together": pair.together.is_some(),
            "fires_together_within_seconds": match pair.together {
                Some(Together::Within(time)) => seconds(time),
                Some(Together::AtTimes) | None => None,
            },
            "one_lost_probe_interval_max_seconds": seconds(pair.interval_max),
        })
    };
    json!({
        "slo": slo.id.as_str(),
        "objective": slo.objective.ratio(),
        "window": slo.window.to_string(),
        "budget_seconds": seconds(each.budget),
        "slots": text(each.slots),
        "lost_probe_budget_ratio": text(each.lost_probe),
        "pairs": each.pairs.iter().map(pair).collect::<Vec<_>>(),
        "evidence_probes": each.evidence_probes,
        "evidence_seconds": each.evidence_time.map(seconds),
        "assumed_outage_seconds": seconds(slo.mean_outage),
        "met_after_seconds": seconds(each.met_after),
        "evidence": evidence::of_slo(slo, each),
        "findings": each.findings.iter().map(|f| f.message(each.event)).collect::<Vec<_>>(),
    })
}

fn text(fraction: Fraction) -> Option<String> {
    decimal::ratio(i128::try_from(fraction.numerator).ok()?, fraction.denominator)
}

fn seconds(duration: std::time::Duration) -> Option<String> {
    decimal::ratio(i128::try_from(duration.as_micros()).ok()?, 1_000_000)
}

#[cfg(test)]
mod tests;
