//! Prometheus rules that raise the same alerts as the daemon, from the counters it exposes.
//!
//! Pure: a catalogue in, a rule file out. Thresholds are printed from integers. The judgement is
//! the daemon's as far as PromQL can say it: same windows, same thresholds, same guard against a
//! cold start; counts are extrapolated by Prometheus and so are near, not exact. Labels are the
//! daemon's own, so that switching between the two does not page again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::engine::AlertKind;
use crate::engine::alert::{BLIND_SUMMARY, of_slo, quiet_after};
use crate::engine::evaluate::composite::joins_slices;
use crate::model::catalog::UnknownPolicy;
use crate::model::decimal;
use crate::model::maintenance::Effect;
use crate::model::objective::PPB;
use crate::model::time::format_duration;
use crate::model::{
    AlertPolicy, Catalog, Pair, Part, Probe, Service, Severity, Share, ShortThreshold, Slo, SloId,
};

/// What stands above the rules.
const HEADER: &str = "\
# Written by `nines rules`; generate it again when the specs change.
# For `alerting.mode: rules`: then Prometheus pages and nines does not.
";

/// Labels that every SLO series has, and that a sum over replicas keeps.
const BY: &str = "sum by (slo, slo_service, team)";

/// How long nines may be away before somebody is told.
const DOWN_FOR: Duration = Duration::from_secs(300);

/// How long the disk may refuse records: a remount or a clean-up takes less.
const FAILING_FOR: Duration = Duration::from_secs(120);

#[derive(Debug, Serialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Debug, Serialize)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Rule {
    Record {
        record: String,
        expr: String,
        /// Tells the records of different SLOs apart, for whoever reads the file.
        labels: BTreeMap<&'static str, String>,
    },
    Alert {
        alert: &'static str,
        expr: String,
        #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
        hold: Option<String>,
        labels: BTreeMap<&'static str, String>,
        annotations: BTreeMap<String, String>,
    },
}

/// The rule file for this catalogue: a group for each SLO that has an alert policy, and one for
/// nines itself.
///
/// # Errors
/// When the YAML cannot be written, which no catalogue is known to cause.
pub fn file(catalog: &Catalog) -> Result<String, serde_yaml::Error> {
    let of_slos = catalog.slos().filter_map(|(service, slo)| {
        let policy = slo.policy.as_deref()?;
        let effects = catalog.maintenances.iter().filter(|m| m.concerns(service.name.as_str()));
        let effects = effects.map(|maintenance| maintenance.effect).collect();
        Some(SloRules { service, slo, policy, effects }.group())
    });
    let groups = std::iter::once(own_group()).chain(of_slos).collect();
    Ok(format!("{HEADER}{}", serde_yaml::to_string(&RuleFile { groups })?))
}

/// What is not about one SLO: that nines is gone, cannot keep what it finds out, or sees nothing.
fn own_group() -> Group {
    let down = own_alert(
        "NinesDown",
        "absent(nines_build_info)",
        DOWN_FOR,
        [
            "No nines is scraped; no objective is being measured.",
            "Prometheus has no nines_build_info. Either every nines is down, or its scrape fails.",
        ],
    );
    let failing = own_alert(
        "NinesLedgerFailing",
        "max by (instance) (nines_ledger_failing) == 1",
        FAILING_FOR,
        [
            "The disk of nines does not take its history.",
            "Results wait in memory, successes are let go first, and what waits is lost if nines \
             ends. GET /-/ready says why: make room, or make the disk writable; nines goes on by \
             itself.",
        ],
    );
    let losing = own_alert(
        "NinesLedgerLosing",
        "max by (instance) (increase(nines_ledger_lost_records_total[15m])) > 0",
        Duration::ZERO,
        [
            "nines has lost results, failures among them.",
            "The disk did not take them for so long that memory ran out; their time is unknown \
             after a restart.",
        ],
    );
    let blind = own_alert(
        AlertKind::Blind.name(),
        "max by (vantage) (nines_blind) == 1",
        Duration::ZERO,
        [
            BLIND_SUMMARY,
            "No reference answers, or every slot of every probe is unknown. What fails meanwhile \
             is nobody's fault; mend the monitor's machine or its network.",
        ],
    );
    Group { name: "nines".to_owned(), rules: vec![down, failing, losing, blind] }
}

fn own_alert(
    alert: &'static str,
    expr: &str,
    hold: Duration,
    [summary, description]: [&str; 2],
) -> Rule {
    let annotations = [("summary", summary), ("description", description)];
    Rule::Alert {
        alert,
        expr: expr.to_owned(),
        hold: (!hold.is_zero()).then(|| format_duration(hold)),
        labels: BTreeMap::from([("severity", "critical".to_owned())]),
        annotations: annotations.map(|(key, text)| (key.to_owned(), text.to_owned())).into(),
    }
}

/// The counters that count as bad, and all that count.
fn counted(unknown: UnknownPolicy) -> (&'static [&'static str], &'static [&'static str]) {
    const KNOWN: &[&str] = &["nines_slo_good_total", "nines_slo_bad_total"];
    const ALL: &[&str] =
        &["nines_slo_good_total", "nines_slo_bad_total", "nines_slo_unknown_total"];
    match unknown {
        UnknownPolicy::Exclude => (&["nines_slo_bad_total"], KNOWN),
        UnknownPolicy::Bad => (&["nines_slo_bad_total", "nines_slo_unknown_total"], ALL),
        UnknownPolicy::Good => (&["nines_slo_bad_total"], ALL),
    }
}

fn sum(id: &SloId, function: &str, names: &[&str], window: Duration) -> String {
    let window = format_duration(window);
    let one = |name: &&str| format!("{BY} ({function}({name}{{slo=\"{id}\"}}[{window}]))");
    names.iter().map(one).collect::<Vec<_>>().join(" + ")
}

/// The rules of one SLO.
struct SloRules<'a> {
    service: &'a Service,
    slo: &'a Slo,
    policy: &'a AlertPolicy,
    /// What Maintenance of the service does.
    effects: BTreeSet<Effect>,
}

impl SloRules<'_> {
    fn group(&self) -> Group {
        let mut long: Vec<Duration> = self.policy.pairs.iter().map(|pair| pair.long).collect();
        long.sort_unstable();
        long.dedup();
        let ratios = self.policy.windows().into_iter().map(|window| self.ratio(window));
        let events = long.into_iter().map(|window| self.events(window));
        let burns = Severity::ALL.into_iter().flat_map(|severity| self.burns(severity));
        let rest = [self.exhausted(), self.no_data()];
        Group {
            name: format!("nines/{}", self.slo.id),
            rules: ratios.chain(events).chain(burns).chain(rest).collect(),
        }
    }

    /// The share of bad events over a window.
    fn ratio(&self, window: Duration) -> Rule {
        let of = |slo: &Slo| {
            let (bad, all) = counted(slo.unknown);
            let sum = |names: &[&str]| sum(&slo.id, "rate", names, window);
            format!("({})\n/\n({})", sum(bad), sum(all))
        };
        let parts: Vec<String> = self
            .added()
            .map(|(part, weight)| {
                let part = of(part);
                format!("({part}) * {weight}")
            })
            .collect();
        // Parts have their own names, so they are matched by what they share.
        let expr = match parts.is_empty() {
            true => of(self.slo),
            false => parts.join("\n+ on (slo_service, team)\n"),
        };
        Rule::Record { record: ratio_name(window), expr, labels: self.labels() }
    }

    /// How many events counted over a window.
    fn events(&self, window: Duration) -> Rule {
        let (_, all) = counted(self.slo.unknown);
        let expr = sum(&self.slo.id, "increase", all, window);
        Rule::Record { record: events_name(window), expr, labels: self.labels() }
    }

    fn labels(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([("slo", self.slo.id.to_string())])
    }

    /// The parts whose bad shares add up, each with what it is multiplied by: its weight, and how
    /// much stricter the whole is. None where the SLO counts by itself, or slices of all parts.
    fn added(&self) -> impl Iterator<Item = (&Slo, String)> {
        let own = self.slo.objective.budget_ppb();
        let joins = joins_slices(self.slo.method);
        self.slo.parts.iter().filter(move |_| !joins).filter_map(move |part| {
            let of = self.service.slos.iter().find(|slo| slo.id == part.slo)?;
            let numerator = i128::from(part.weight.nano()) * i128::from(own);
            let denominator = u128::from(of.objective.budget_ppb()) * u128::from(PPB);
            let factor = decimal::fixed(numerator, denominator, 18)?;
            Some((of, decimal::trim_zeros(&factor).to_owned()))
        })
    }

    /// The alert of one severity, any of its pairs: a rule for each time that they must hold.
    fn burns(&self, severity: Severity) -> Vec<Rule> {
        let pairs = self.policy.pairs.iter().filter(|pair| pair.severity == severity);
        let mut holds: Vec<Duration> = pairs.map(|pair| pair.hold).collect();
        holds.sort_unstable();
        holds.dedup();
        holds.into_iter().map(|hold| self.burn(severity, hold)).collect()
    }

    fn burn(&self, severity: Severity, hold: Duration) -> Rule {
        let of = |pair: &&Pair| pair.severity == severity && pair.hold == hold;
        let any: Vec<String> = self.policy.pairs.iter().filter(of).map(|p| self.pair(p)).collect();
        let budget = format_ppb(self.slo.objective.budget_ppb());
        let description = format!(
            "{{{{ $value | humanizePercentage }}}} of its events were bad over the window that \
             tripped; {objective} over {window} allows {budget} of them.",
            objective = self.slo.objective,
            window = self.slo.window,
        );
        let hold = (!hold.is_zero()).then(|| format_duration(hold));
        self.alert(AlertKind::of(severity), any.join("\nor\n"), hold, description)
    }

    /// Long and short window burn above the threshold, and the long one knows enough to say so:
    /// the least share of its events, or more bad ones than the threshold allows in all of it.
    fn pair(&self, pair: &Pair) -> String {
        let id = &self.slo.id;
        let burn = pair.burn_threshold(self.slo.window.shortest());
        let threshold = self.threshold(burn, 1);
        let short_threshold = match self.policy.short_threshold {
            ShortThreshold::Same => threshold.clone(),
            ShortThreshold::One => self.threshold((1, 1), 1),
        };
        let (long, short) = (ratio_of(id, pair.long), ratio_of(id, pair.short));
        let events = events_of(id, pair.long);
        let expected = self.expected(pair.long);
        let least = self.slo.min_coverage.map_or(PPB / 2, Share::ppb);
        let enough = i128::from(expected) * i128::from(least);
        let enough = decimal::ratio(enough, PPB.into()).unwrap_or_default();
        let too_many = self.threshold(burn, expected);
        let mut parts = vec![
            format!("{long} > {threshold}"),
            format!("{short} > {short_threshold}"),
            format!("({events} >= {enough} or {long} * {events} > {too_many})"),
        ];
        if self.policy.min_bad > 1 {
            let bad = sum(&self.slo.id, "increase", &["nines_slo_bad_total"], pair.short);
            // Half an event of leeway, since Prometheus extrapolates.
            parts.push(format!("({bad}) > {}.5", self.policy.min_bad - 1));
        }
        format!("(\n  {}\n)", parts.join("\n  and\n  "))
    }

    /// A burn rate times the budget times a number of events, as decimal text.
    fn threshold(&self, (numerator, denominator): (u128, u128), events: u64) -> String {
        let budget = u128::from(self.slo.objective.budget_ppb());
        let numerator = numerator.saturating_mul(budget).saturating_mul(events.into());
        let numerator = i128::try_from(numerator).unwrap_or(i128::MAX);
        // As many digits as a double can hold apart; the text is exact wherever it can be.
        let text = decimal::fixed(numerator, denominator.saturating_mul(PPB.into()), 18);
        decimal::trim_zeros(&text.unwrap_or_default()).to_owned()
    }

    /// How many slots a window has, or slices where those are counted; of what is added up, of
    /// all parts together.
    fn expected(&self, window: Duration) -> u64 {
        let mut parts = self.added().map(|(part, _)| self.expected_of(part, window)).peekable();
        match parts.peek() {
            Some(_) => parts.sum(),
            None => self.expected_of(self.slo, window),
        }
    }

    fn expected_of(&self, slo: &Slo, window: Duration) -> u64 {
        if let Some(slice) = slo.method.slice() {
            let slices = window.as_micros() / slice.as_micros().max(1);
            return u64::try_from(slices).unwrap_or(u64::MAX);
        }
        let slots = |probe: &Probe| window.as_micros() / probe.interval.as_micros().max(1);
        let counts = |probe: &&Probe| slo.probes.contains(&probe.id);
        let probes = self.service.probes.iter().filter(counts);
        probes.map(|probe| u64::try_from(slots(probe)).unwrap_or(u64::MAX)).sum()
    }

    fn probes(&self) -> impl Iterator<Item = &Probe> {
        self.service.probes.iter().filter(|probe| self.slo.probes.contains(&probe.id))
    }

    fn exhausted(&self) -> Rule {
        let id = &self.slo.id;
        let left = format!("nines_slo_error_budget_left_ratio{{slo=\"{id}\"}}");
        // What is spent; Prometheus' templates compute nothing, so the expression has to be it.
        let description = format!(
            "{{{{ if ge $value 2.0 }}}}The error budget over {window} is spent {{{{ $value | printf \
             \"%.1f\" }}}} times over.{{{{ else }}}}{{{{ $value | humanizePercentage }}}} of the error \
             budget over {window} is spent.{{{{ end }}}}",
            window = self.slo.window
        );
        // Replicas that disagree: the best of them counts, as one that has lost history sees less.
        let left = format!("max by (slo, slo_service, team) ({left})");
        let mut expr = format!("1 - {left} and {left} < 0");
        if let Some(least) = self.slo.min_coverage {
            let least = decimal::ratio(least.ppb().into(), PPB.into()).unwrap_or_default();
            let coverage = format!("nines_slo_coverage_ratio{{slo=\"{id}\"}}");
            expr.push_str(&format!("\nand on (slo)\n(max by (slo) ({coverage}) >= {least})"));
        }
        self.alert(AlertKind::Exhausted, expr, None, description)
    }

    fn no_data(&self) -> Rule {
        let interval = self.probes().map(|probe| probe.interval).max().unwrap_or_default();
        let quiet = quiet_after(interval);
        let names = ["nines_slo_good_total", "nines_slo_bad_total"];
        let id = &self.slo.id;
        let none_of = |of: &SloId| format!("{} == 0", sum(of, "increase", &names, quiet));
        let of_part = |part: &Part| {
            format!("label_replace({}, \"slo\", \"{id}\", \"\", \"\")", none_of(&part.slo))
        };
        // One part of which nothing is known leaves the whole open.
        let parts: Vec<String> = self.slo.parts.iter().map(of_part).collect();
        let expr = if parts.is_empty() { none_of(id) } else { parts.join("\nor\n") };
        let description = format!(
            "No probe of it has been good or bad for {} or longer; whether it keeps its promise is \
             unknown.",
            format_duration(quiet)
        );
        // Held as long again, because a counter that has just begun has not risen either.
        let hold = Some(format_duration(quiet));
        self.alert(AlertKind::NoData, expr, hold, description)
    }

    /// Mute while a Maintenance says so; and nobody misses data that are not to count.
    fn unless_maintained(&self, kind: AlertKind, expr: String) -> String {
        let silences = |effect: &&Effect| **effect == Effect::Mute || kind == AlertKind::NoData;
        let effects: Vec<&str> =
            self.effects.iter().filter(silences).map(|effect| effect.word()).collect();
        if effects.is_empty() {
            return expr;
        }
        let (id, effects) = (&self.slo.id, effects.join("|"));
        let goes_on = format!("nines_slo_maintenance{{slo=\"{id}\",effect=~\"{effects}\"}}");
        format!("(\n{expr}\n)\nunless on (slo)\n(max by (slo) ({goes_on}) == 1)")
    }

    /// An alert with the labels and the summary that the daemon gives it.
    fn alert(
        &self,
        kind: AlertKind,
        expr: String,
        hold: Option<String>,
        description: String,
    ) -> Rule {
        let alert = of_slo(kind, self.slo, self.service);
        let labels = alert.labels.into_iter().filter(|(key, _)| *key != "alertname");
        let annotations = alert.annotations.into_iter();
        let mut annotations: BTreeMap<String, String> =
            annotations.map(|(key, text)| (key, literal(&text))).collect();
        annotations.insert("description".to_owned(), description);
        Rule::Alert {
            alert: kind.name(),
            expr: self.unless_maintained(kind, expr),
            hold,
            labels: labels.map(|(key, text)| (key, literal(&text))).collect(),
            annotations,
        }
    }
}

/// Text that Prometheus' templates leave as it is.
fn literal(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

fn format_ppb(ppb: u32) -> String {
    let text = decimal::fixed(i128::from(ppb) * 100, PPB.into(), 7).unwrap_or_default();
    format!("{}%", decimal::trim_zeros(&text))
}

fn ratio_name(window: Duration) -> String {
    format!("slo:nines_slo_errors:ratio_rate{}", format_duration(window))
}

fn events_name(window: Duration) -> String {
    format!("slo:nines_slo_events:increase{}", format_duration(window))
}

fn ratio_of(id: &SloId, window: Duration) -> String {
    format!("{}{{slo=\"{id}\"}}", ratio_name(window))
}

fn events_of(id: &SloId, window: Duration) -> String {
    format!("{}{{slo=\"{id}\"}}", events_name(window))
}

#[cfg(test)]
mod tests;
