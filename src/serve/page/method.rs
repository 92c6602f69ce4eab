//! What the page about the method shows: how the numbers are made, in plain words, with what the
//! running configuration says. It explains and computes nothing that the engine does not.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;

use crate::model::budget::{Budget, Counted};
use crate::model::catalog::UnknownPolicy;
use crate::model::policy::{Limit, Pair, ShortThreshold};
use crate::model::settings::Alerting;
use crate::model::{
    AlertPolicy, BadReason, Catalog, Probe, Settings, Slo, UnknownReason, Window, number,
};
use crate::serve::own::VERSION;

use super::view::window_words;

/// Most promises and reference names that are listed.
const MAX_LISTED: usize = 24;

/// The window that burn rates are shown for.
const SHOWN_WINDOW: Duration = Duration::from_secs(30 * 86_400);

/// The page.
#[derive(Debug, Template)]
#[template(path = "method.html")]
pub struct MethodPage {
    root: &'static str,
    version: &'static str,
    assets: String,
    vantage: String,
    n_probes: usize,
    n_services: usize,
    n_slos: usize,
    intervals: String,
    timeouts: String,
    bad_reasons: String,
    unknown_reasons: String,
    /// How unknown slots count, and for how many SLOs.
    unknown: Vec<(&'static str, usize)>,
    coverage: String,
    /// How events are counted, and for how many SLOs.
    methods: Vec<(&'static str, usize)>,
    n_latency: usize,
    n_sources: usize,
    n_composites: usize,
    promises: Vec<[String; 4]>,
    more_promises: usize,
    policies: Vec<PolicyView>,
    n_silent: usize,
    alerting: String,
    outages: String,
    references: Vec<String>,
    reference_interval: String,
    retention: String,
    n_maintenances: usize,
    n_corrections: usize,
    /// A budget of the running configuration, worked out.
    example: String,
}

/// One alert policy that is in use.
#[derive(Debug)]
struct PolicyView {
    name: String,
    n_slos: usize,
    pairs: Vec<[String; 5]>,
    least: String,
}

impl MethodPage {
    /// The page over what is declared and configured.
    pub fn of(catalog: &Catalog, settings: &Settings) -> Self {
        let slos: Vec<&Slo> = catalog.slos().map(|(_, slo)| slo).collect();
        let count = |is: &dyn Fn(&Slo) -> bool| slos.iter().filter(|slo| is(slo)).count();
        let probes: Vec<&Probe> =
            catalog.probes().filter(|probe| probe.check.source().is_none()).collect();
        let mut promises = promises(&slos);
        let more_promises = promises.len().saturating_sub(MAX_LISTED);
        promises.truncate(MAX_LISTED);
        let references = settings.references.targets.iter().chain(&settings.references.names);
        MethodPage {
            root: "./",
            version: VERSION,
            assets: super::assets_version(),
            vantage: settings.vantage.clone(),
            n_probes: probes.len(),
            n_services: catalog.services.len(),
            n_slos: slos.len(),
            intervals: range(probes.iter().map(|probe| probe.interval)),
            timeouts: range(probes.iter().map(|probe| probe.timeout)),
            bad_reasons: words(BadReason::ALL.iter().map(|reason| reason.word())),
            unknown_reasons: words(UnknownReason::OF_PROBES.iter().map(|reason| reason.word())),
            unknown: unknown(&slos),
            coverage: coverage(&slos),
            methods: methods(&slos),
            n_latency: count(&|slo| slo.latency_under.is_some()),
            n_sources: count(&|slo| slo.source.is_some()),
            n_composites: count(&Slo::is_composite),
            promises,
            more_promises,
            policies: policies(&slos),
            n_silent: count(&|slo| slo.policy.is_none()),
            alerting: alerting(settings),
            outages: range(slos.iter().map(|slo| slo.mean_outage)),
            references: references.take(MAX_LISTED).map(|probe| probe.check.target()).collect(),
            reference_interval: number::duration(settings.references.interval()),
            retention: number::duration(settings.retention),
            n_maintenances: catalog.maintenances.len(),
            n_corrections: catalog.corrections.len(),
            example: slos.first().map(|slo| example(slo)).unwrap_or_default(),
        }
    }
}

fn words(words: impl Iterator<Item = &'static str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// The least and the greatest of some lengths of time, in words; nothing without any.
fn range(lengths: impl Iterator<Item = Duration> + Clone) -> String {
    match (lengths.clone().min(), lengths.max()) {
        (Some(least), Some(most)) if least == most => number::duration(least),
        (Some(least), Some(most)) => {
            format!("{} to {}", number::duration(least), number::duration(most))
        }
        _ => String::new(),
    }
}

/// Those of some words that hold for any, with for how many.
fn counted<const N: usize>(words: [(&'static str, usize); N]) -> Vec<(&'static str, usize)> {
    words.into_iter().filter(|(_, n)| *n > 0).collect()
}

fn unknown(slos: &[&Slo]) -> Vec<(&'static str, usize)> {
    let n = |policy| slos.iter().filter(|slo| slo.unknown == policy).count();
    counted([
        ("they do not count", n(UnknownPolicy::Exclude)),
        ("they count as bad", n(UnknownPolicy::Bad)),
        ("they count as good", n(UnknownPolicy::Good)),
    ])
}

fn methods(slos: &[&Slo]) -> Vec<(&'static str, usize)> {
    let n = |word: &str| slos.iter().filter(|slo| slo.method.word() == word).count();
    counted([
        ("one by one", n("occurrences")),
        ("by slices of time, each good or bad as a whole", n("timeslices")),
        ("by slices of time, each by its share of good", n("ratioTimeslices")),
    ])
}

fn coverage(slos: &[&Slo]) -> String {
    let least: Vec<u32> =
        slos.iter().filter_map(|slo| slo.min_coverage.map(|share| share.ppb())).collect();
    match (least.iter().min(), least.iter().max()) {
        (Some(low), Some(high)) => {
            let (n, all) = (least.len(), slos.len());
            let (low, high) = (number::percent_ppb(*low), number::percent_ppb(*high));
            let share = if low == high { low } else { format!("{low} to {high}") };
            format!("{n} of {all} objectives give no verdict below a coverage of {share}.")
        }
        _ => "No objective sets a least coverage for its verdict.".to_owned(),
    }
}

/// Every promise there is once, the strictest first: share, window, budget, for how many.
fn promises(slos: &[&Slo]) -> Vec<[String; 4]> {
    let mut all: BTreeMap<(u32, String), (String, usize)> = BTreeMap::new();
    for slo in slos {
        let key = (slo.objective.budget_ppb(), window_words(&slo.window));
        let entry = all.entry(key).or_insert_with(|| (budget(slo), 0));
        entry.1 += 1;
    }
    let row = |((budget_ppb, window), (budget, n)): ((u32, String), (String, usize))| {
        let share = number::percent_ppb(1_000_000_000 - budget_ppb);
        [share, window, budget, number::count(n as u64)]
    };
    all.into_iter().map(row).collect()
}

/// The whole budget as time of full outage; of a calendar that of its shortest period.
fn budget(slo: &Slo) -> String {
    let window = slo.window.shortest();
    let whole = Budget::new(Counted::default(), slo.objective, window).total_time();
    let text = number::duration(whole);
    match slo.window {
        Window::Rolling(_) => text,
        Window::Calendar(_) => format!("{text} at least"),
    }
}

fn example(slo: &Slo) -> String {
    format!(
        "{} promises {} over {}: it may fail completely for {}, or half for twice as long",
        slo.id,
        number::percent_ppb(slo.objective.ppb()),
        window_words(&slo.window),
        budget(slo)
    )
}

/// Every policy in use.
fn policies(slos: &[&Slo]) -> Vec<PolicyView> {
    let mut all: BTreeMap<&str, (&AlertPolicy, usize)> = BTreeMap::new();
    for policy in slos.iter().filter_map(|slo| slo.policy.as_deref()) {
        all.entry(policy.name.as_str()).or_insert((policy, 0)).1 += 1;
    }
    let view = |(policy, n_slos): (&AlertPolicy, usize)| PolicyView {
        name: policy.name.to_string(),
        n_slos,
        pairs: policy.pairs.iter().map(|one| pair(one, policy.short_threshold)).collect(),
        least: number::count(policy.min_bad),
    };
    all.into_values().map(view).collect()
}

fn pair(pair: &Pair, short: ShortThreshold) -> [String; 5] {
    let limit = match pair.limit {
        Limit::Budget(share) => format!("{} of the budget", number::percent_ppb(share.ppb())),
        Limit::Burn { .. } => "its burn rate".to_owned(),
    };
    let short = match short {
        ShortThreshold::Same => "the same",
        ShortThreshold::One => "1x",
    };
    let burn = number::burn(pair.burn_threshold(SHOWN_WINDOW));
    [pair.name(), pair.severity.word().to_owned(), limit, burn, short.to_owned()]
}

fn alerting(settings: &Settings) -> String {
    let n = settings.alertmanagers.len();
    match (settings.alerting, n) {
        (Alerting::Direct, 0) => "No Alertmanager is configured: alerts are shown, and nobody is \
                                  told"
            .to_owned(),
        (Alerting::Direct, n) => {
            let every = number::duration(settings.resend_delay);
            let whom =
                if n == 1 { "an Alertmanager".to_owned() } else { format!("{n} Alertmanagers") };
            format!("Alerts go from here to {whom}, and again every {every} while they fire")
        }
        (Alerting::Rules, _) => "Prometheus alerts by rules that were generated from the same \
                                 specs; this process sends nothing"
            .to_owned(),
        (Alerting::Off, _) => "Alerting is off: alerts are shown, and nobody is told".to_owned(),
    }
}
