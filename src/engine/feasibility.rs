//! What an SLO can do at all: its budget, what one lost probe costs, when its alerts fire, and
//! how long evidence takes. Arithmetic on declarations; looks at no history.
//!
//! Every decision is made on exact integers and fractions. Formulas: the closed forms for
//! multiwindow burn-rate alerts under discrete probing, one slot per probe and interval.

mod composite;

use std::time::Duration;

use crate::model::budget::{Budget, Counted};
use crate::model::decimal::{cmp_products, gcd};
use crate::model::evidence::evidence_units;
use crate::model::objective::PPB;
use crate::model::policy::{AlertPolicy, Pair, ShortThreshold};
use crate::model::{Catalog, Objective, Probe, Service, Severity, Slo, SloId};

/// A positive fraction, reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// Above the line.
    pub numerator: u128,
    /// Below the line, never 0.
    pub denominator: u128,
}

impl Fraction {
    /// `numerator / denominator`, reduced; a denominator of 0 counts as 1.
    pub fn new(numerator: u128, denominator: u128) -> Self {
        let divisor = gcd(numerator, denominator).max(1);
        let denominator = (denominator / divisor).max(1);
        Fraction { numerator: numerator / divisor, denominator }
    }

    /// The product; none beyond the range of the integers.
    pub fn times(self, other: Fraction) -> Option<Fraction> {
        // Reducing crosswise first keeps the products as small as they can be.
        let a = Fraction::new(self.numerator, other.denominator);
        let b = Fraction::new(other.numerator, self.denominator);
        let numerator = a.numerator.checked_mul(b.numerator)?;
        Some(Fraction { numerator, denominator: a.denominator.checked_mul(b.denominator)? })
    }

    fn plus(self, other: Fraction) -> Option<Fraction> {
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        let denominator = self.denominator.checked_mul(other.denominator)?;
        Some(Fraction::new(left.checked_add(right)?, denominator))
    }

    /// The largest whole number that is not above it.
    pub fn floor(self) -> u128 {
        self.numerator / self.denominator
    }

    /// Whether it is 1 or more.
    pub const fn is_whole(self) -> bool {
        self.numerator >= self.denominator
    }
}

/// What an SLO can do at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feasibility {
    /// Which SLO.
    pub slo: SloId,
    /// What can fail.
    pub event: Event,
    /// The budget as time of full outage; of a calendar, that of its shortest period.
    pub budget: Duration,
    /// How many slots are scheduled in the window; of a calendar, in its shortest period.
    pub slots: Fraction,
    /// The share of the budget that one lost probe spends.
    pub lost_probe: Fraction,
    /// What each pair of its policy can do; empty without alerts.
    pub pairs: Vec<PairFeasibility>,
    /// Fewest probes, all good and independent, that show the objective at 95 %.
    pub evidence_probes: u64,
    /// How long that many take; none beyond ten thousand years.
    pub evidence_time: Option<Duration>,
    /// How long nothing may fail until the daemon calls the objective met, where failures come
    /// as outages of the length that is declared.
    pub met_after: Duration,
    /// What somebody should look at.
    pub findings: Vec<Finding>,
}

/// What a pair of windows can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairFeasibility {
    /// The pair.
    pub pair: Pair,
    /// The burn rate above which it fires.
    pub burn: Fraction,
    /// On which failing probe of a full outage it fires; none if it never can. Of an SLO that is
    /// made of others, of one of them that fails alone: of the one that fires it first.
    pub fires_on: Option<u64>,
    /// Of an SLO that is made of others, what these can do together where none can alone.
    pub together: Option<Together>,
    /// The longest interval at which one lost probe cannot fire it, over all probes of the SLO
    /// taken together.
    pub interval_max: Duration,
}

/// What several SLOs can do together that spend one budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    /// They fire the pair at the latest so long after all of them have begun to fail.
    Within(Duration),
    /// They may fire it, but the short window is too short to hold failures of each of them at all
    /// times.
    AtTimes,
}

/// What an SLO counts, so what can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Probes, one by one.
    Probe,
    /// Slices of time.
    Slice,
    /// Intervals in which somebody else counts, each as a whole and with as much traffic as the
    /// others: what happens in one of them is seen at its end.
    Interval,
    /// What somebody else measures, nobody here knows how often.
    Unknown,
}

impl Event {
    /// The word for one.
    pub const fn word(self) -> &'static str {
        match self {
            Event::Probe => "probe",
            Event::Slice => "slice",
            Event::Interval => "interval",
            Event::Unknown => "event",
        }
    }

    /// One that is bad on its own.
    pub const fn lost(self) -> &'static str {
        match self {
            Event::Probe => "lost probe",
            Event::Slice => "bad slice",
            Event::Interval => "interval in which all fails",
            Event::Unknown => "bad event",
        }
    }
}

/// Something that arithmetic alone shows to be unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The pair cannot fire even in a full outage: it would take more than every probe failing.
    Dead(Pair),
    /// The short window never holds as many bad observations as the policy asks for.
    TooFewSlots(Pair, u64),
    /// The short window is shorter than the probes' interval, so that it is empty at times.
    ShortBelowInterval(Pair),
    /// One lost probe pages; the longest interval at which it would not.
    OneLostProbePages(Pair, Duration),
    /// One lost probe spends the whole budget.
    LostProbeSpendsAll,
}

impl Finding {
    /// The finding in words, without the SLO's name.
    pub fn message(&self, event: Event) -> String {
        match self {
            Finding::Dead(pair) => format!(
                "the {} pair {} can never fire: it asks for more errors than a full outage makes",
                pair.severity.word(),
                pair.name()
            ),
            Finding::TooFewSlots(pair, min_bad) => format!(
                "the {} pair {} can never fire: its short window has fewer {}s than minBad, \
                 which is {min_bad}",
                pair.severity.word(),
                pair.name(),
                event.word()
            ),
            Finding::ShortBelowInterval(pair) => format!(
                "the short window of the {} pair {} is shorter than the interval and is empty \
                 most of the time",
                pair.severity.word(),
                pair.name()
            ),
            Finding::OneLostProbePages(pair, _) => {
                format!("one {} pages (pair {})", event.lost(), pair.name())
            }
            Finding::LostProbeSpendsAll => format!("one {} spends the whole budget", event.lost()),
        }
    }

    /// How to mend it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Finding::Dead(_) => {
                Some("remove the pair, lower its budget, or raise the objective".to_owned())
            }
            Finding::TooFewSlots(..) => {
                Some("lower minBad, lengthen the short window, or probe more often".to_owned())
            }
            Finding::ShortBelowInterval(_) => {
                Some("lengthen the short window or probe more often".to_owned())
            }
            Finding::OneLostProbePages(_, most) => Some(format!(
                "use a policy with `minBad: 3`, or a probe at least every {}",
                crate::model::number::duration(*most)
            )),
            Finding::LostProbeSpendsAll => Some("probe more often, or promise less".to_owned()),
        }
    }
}

/// Looks at every SLO of the catalog, in its order.
pub fn assess(catalog: &Catalog) -> Vec<Feasibility> {
    let assess = |(service, slo): (&Service, &Slo)| match slo.is_composite() {
        true => composite::assess(service, slo),
        false => assess_counting(service, slo),
    };
    catalog.slos().map(assess).collect()
}

/// How far what counts for an SLO is apart, for each of its probes. Where slices are counted, they
/// are what can be bad.
fn intervals(service: &Service, slo: &Slo) -> Vec<Duration> {
    let counts = |probe: &&Probe| slo.probes.contains(&probe.id);
    let probes = service.probes.iter().filter(counts).map(|probe| probe.interval);
    slo.method.slice().map_or_else(|| probes.collect(), |slice| vec![slice])
}

/// Looks at an SLO that counts by itself.
fn assess_counting(service: &Service, slo: &Slo) -> Feasibility {
    let assessed = assess_slo(slo, &intervals(service, slo));
    match (slo.source.is_some(), assessed.event) {
        (true, Event::Probe) => Feasibility { event: Event::Interval, ..assessed },
        _ => assessed,
    }
}

/// Looks at one SLO whose probes have these intervals.
pub fn assess_slo(slo: &Slo, intervals: &[Duration]) -> Feasibility {
    let (budget_ratio, window) = (budget_ratio(slo.objective), slo.window.shortest());
    let slots = slots_within(window, intervals);
    let lost_probe = inverse(slots.times(budget_ratio));
    let policy = slo.policy.as_deref();
    let pair = |pair: &Pair| policy.map(|policy| assess_pair(slo, policy, pair, intervals));
    let pairs: Vec<PairFeasibility> =
        policy.iter().flat_map(|policy| &policy.pairs).filter_map(pair).collect();
    let findings = findings(policy, &pairs, lost_probe, intervals);
    let evidence_probes = clean_probes(slo.objective);
    // n slots at this rate take n * window / slots.
    let evidence = Fraction::new(window.as_micros(), 1)
        .times(inverse(Some(slots)))
        .and_then(|time| time.times(Fraction::new(u128::from(evidence_probes), 1)));
    let counted = Counted::default();
    Feasibility {
        slo: slo.id.clone(),
        event: match (slo.method.slice(), intervals) {
            (Some(_), _) => Event::Slice,
            (None, []) => Event::Unknown,
            (None, _) => Event::Probe,
        },
        budget: Budget::new(counted, slo.objective, window).total_time(),
        slots,
        lost_probe,
        pairs,
        evidence_probes,
        evidence_time: evidence.and_then(|time| duration(time.floor())),
        met_after: met_after(slo),
        findings,
    }
}

/// The longest time that is put into words: ten thousand years.
const MAX_MICROS: u128 = 10_000 * 366 * 86_400 * 1_000_000;

fn duration(micros: u128) -> Option<Duration> {
    let micros = u64::try_from(micros).ok().filter(|m| u128::from(*m) <= MAX_MICROS)?;
    Some(Duration::from_micros(micros))
}

pub(super) fn budget_ratio(objective: Objective) -> Fraction {
    Fraction::new(objective.budget_ppb().into(), PPB.into())
}

/// 1 / x; 1 / 0 and what was out of range count as the largest integer.
fn inverse(x: Option<Fraction>) -> Fraction {
    match x {
        Some(x) if x.numerator > 0 => Fraction::new(x.denominator, x.numerator),
        _ => Fraction { numerator: u128::MAX, denominator: 1 },
    }
}

/// How many slots the probes have within a length of time: the sum of `length / interval`. Where
/// the intervals are so unlike that the exact sum leaves the range of the integers, whole slots
/// are counted.
pub(super) fn slots_within(length: Duration, intervals: &[Duration]) -> Fraction {
    let length = length.as_micros();
    let exact = intervals.iter().try_fold(Fraction::new(0, 1), |sum, interval| {
        sum.plus(Fraction::new(length, interval.as_micros()))
            .filter(|sum| sum.denominator < u128::from(u64::MAX))
    });
    exact.unwrap_or_else(|| {
        let whole = intervals.iter().map(|interval| length / interval.as_micros().max(1));
        Fraction::new(whole.sum(), 1)
    })
}

fn assess_pair(
    slo: &Slo,
    policy: &AlertPolicy,
    pair: &Pair,
    intervals: &[Duration],
) -> PairFeasibility {
    let (numerator, denominator) = pair.burn_threshold(slo.window.shortest());
    let burn = Fraction::new(numerator, denominator);
    // The share of bad slots above which the long and the short window speak.
    let budget = budget_ratio(slo.objective);
    let long_share = burn.times(budget).unwrap_or(inverse(None));
    let short_share = match policy.short_threshold {
        ShortThreshold::Same => long_share,
        ShortThreshold::One => budget,
    };
    let needed = |share: Fraction, length| {
        slots_within(length, intervals).times(share).map_or(u128::MAX, |slots| slots.floor() + 1)
    };
    let fires_on = needed(long_share, pair.long)
        .max(needed(short_share, pair.short))
        .max(u128::from(policy.min_bad));
    let possible = !long_share.is_whole() && policy.min_bad <= most_slots(pair.short, intervals);
    // One probe in `share * long` still leaves the share at, and not above, the threshold.
    let interval = Fraction::new(pair.long.as_micros(), 1).times(long_share);
    PairFeasibility {
        pair: *pair,
        burn,
        fires_on: u64::try_from(fires_on).ok().filter(|_| possible),
        together: None,
        interval_max: interval.and_then(|i| duration(i.floor())).unwrap_or(Duration::MAX),
    }
}

/// The most slots that can lie in a window of this length.
fn most_slots(length: Duration, intervals: &[Duration]) -> u64 {
    let slots = |i: &Duration| length.as_micros().div_ceil(i.as_micros().max(1));
    u64::try_from(intervals.iter().map(slots).sum::<u128>()).unwrap_or(u64::MAX)
}

fn findings(
    policy: Option<&AlertPolicy>,
    pairs: &[PairFeasibility],
    lost_probe: Fraction,
    intervals: &[Duration],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if intervals.is_empty() {
        // Nobody knows how often something else than a probe measures.
        return findings;
    }
    if lost_probe.is_whole() {
        findings.push(Finding::LostProbeSpendsAll);
    }
    let shortest = intervals.iter().min().copied().unwrap_or_default();
    let min_bad = policy.map_or(1, |policy| policy.min_bad);
    let mut pages = None;
    for each in pairs {
        let pair = each.pair;
        if each.fires_on.is_none() && min_bad > most_slots(pair.short, intervals) {
            findings.push(Finding::TooFewSlots(pair, min_bad));
        } else if each.fires_on.is_none() {
            findings.push(Finding::Dead(pair));
        } else if pair.short < shortest {
            findings.push(Finding::ShortBelowInterval(pair));
        }
        if each.fires_on == Some(1) && pair.severity == Severity::Page {
            // The pair with the shortest limit is the one whose limit helps against all.
            let tighter =
                pages.is_none_or(|p: &PairFeasibility| each.interval_max < p.interval_max);
            pages = if tighter { Some(each) } else { pages };
        }
    }
    findings.extend(pages.map(|each| Finding::OneLostProbePages(each.pair, each.interval_max)));
    findings
}

/// The smallest n for which `(1 - b)^n <= 5 %`: with fewer probes, all good, a service that just
/// misses its objective is not ruled out.
pub fn clean_probes(objective: Objective) -> u64 {
    // 3 / b is above the answer, -ln(5 %) / b (the rule of three), for every b up to 95 %.
    let (mut low, mut high) = (0, u64::from(PPB) * 3 / u64::from(objective.budget_ppb()) + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if at_most_a_twentieth(objective, middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// Whether `good^n <= 1/20`, in fixed point that is rounded up, so that it never claims too much.
fn at_most_a_twentieth(objective: Objective, n: u64) -> bool {
    const ONE: u128 = 1 << 63;
    let times = |a: u128, b: u128| (a * b).div_ceil(ONE);
    let mut base = (ONE * u128::from(objective.ppb())).div_ceil(u128::from(PPB));
    let (mut power, mut rest) = (ONE, n);
    while rest > 0 {
        if rest & 1 == 1 {
            power = times(power, base);
        }
        base = times(base, base);
        rest >>= 1;
    }
    cmp_products(power, 20, ONE, 1).is_le()
}

/// How long nothing may fail until the evidence rule says "met".
fn met_after(slo: &Slo) -> Duration {
    let budget = f64::from(slo.objective.budget_ppb()) / f64::from(PPB);
    let seconds = evidence_units(0) * slo.mean_outage.as_secs_f64() / budget;
    Duration::from_secs(seconds.ceil() as u64)
}

#[cfg(test)]
mod tests;
