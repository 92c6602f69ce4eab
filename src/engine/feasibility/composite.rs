//! What an SLO can do that is made of others. The price of a lost probe is that of the part whose
//! costs most; a pair is fired by the part that does so first alone, or by several together where
//! none can alone.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Feasibility, Finding, Fraction, PairFeasibility, Together, assess_counting, assess_slo,
    intervals, inverse, most_slots, slots_within,
};
use crate::engine::evaluate::composite::joins_slices;
use crate::model::decimal::cmp_products;
use crate::model::policy::{AlertPolicy, Limit, Pair, ShortThreshold};
use crate::model::wide::Sum;
use crate::model::{Objective, Service, Share, Slo, Weight};

/// One of the SLOs that spend the budget.
struct Part {
    objective: Objective,
    weight: Weight,
    /// How far what it counts is apart, for each of its probes.
    intervals: Vec<Duration>,
    /// What it can do alone, held to what is told of the whole.
    alone: Feasibility,
}

/// Looks at an SLO that is made of others.
pub(super) fn assess(service: &Service, slo: &Slo) -> Feasibility {
    let of = |part: &crate::model::Part| {
        let own = service.slos.iter().find(|one| one.id == part.slo)?;
        let policy = slo.policy.as_ref().map(|policy| Arc::new(weighed(policy, part.weight)));
        let mean_outage = slo.mean_outage;
        let alone = assess_counting(service, &Slo { policy, mean_outage, ..own.clone() });
        let lost_probe = alone.lost_probe.times(factor(part.weight)).unwrap_or(inverse(None));
        Some(Part {
            objective: own.objective,
            weight: part.weight,
            intervals: intervals(service, own),
            alone: Feasibility { slo: slo.id.clone(), lost_probe, ..alone },
        })
    };
    let parts: Vec<Part> = slo.parts.iter().filter_map(of).collect();
    let dearest = parts.iter().max_by(|a, b| compare(a.alone.lost_probe, b.alone.lost_probe));
    let Some(mut all) = dearest.map(|part| part.alone.clone()) else {
        return assess_slo(slo, &[]);
    };
    let Some(policy) = &slo.policy else { return all };
    let as_declared = |pair: &mut Pair| {
        let scaled = *pair;
        let alike = |one: &&Pair| Pair { limit: scaled.limit, ..**one } == scaled;
        *pair = policy.pairs.iter().find(alike).copied().unwrap_or(scaled);
    };
    all.findings.retain_mut(|finding| match finding {
        // What one part cannot do alone, another may, or all of them together.
        Finding::Dead(_) | Finding::TooFewSlots(..) => false,
        Finding::ShortBelowInterval(pair) | Finding::OneLostProbePages(pair, _) => {
            as_declared(pair);
            true
        }
        Finding::LostProbeSpendsAll => true,
    });
    let window = slo.window.shortest();
    for (n, pair) in policy.pairs.iter().enumerate() {
        let (numerator, denominator) = pair.burn_threshold(window);
        let fires_on = parts.iter().filter_map(|part| part.alone.pairs.get(n)?.fires_on).min();
        let together = || together(&parts, slo, policy, pair);
        let Some(own) = all.pairs.get_mut(n) else { continue };
        *own = PairFeasibility {
            pair: *pair,
            burn: Fraction::new(numerator, denominator),
            fires_on,
            together: if fires_on.is_none() { together() } else { None },
            ..*own
        };
        let is_measured = parts.iter().all(|part| !part.intervals.is_empty());
        if fires_on.is_none() && own.together.is_none() && is_measured {
            all.findings.push(dead(&parts, slo, policy, pair));
        }
    }
    all
}

/// What the parts can do together of which none fires the pair alone.
fn together(parts: &[Part], slo: &Slo, policy: &AlertPolicy, pair: &Pair) -> Option<Together> {
    // Of slices that are bad for several parts, the strictest has all. Where nobody knows how often
    // a part counts, nothing is known of all.
    if joins_slices(slo.method) || parts.iter().any(|part| part.intervals.is_empty()) {
        return None;
    }
    let long = pair.burn_threshold(slo.window.shortest());
    let short = match policy.short_threshold {
        ShortThreshold::Same => long,
        ShortThreshold::One => (1, 1),
    };
    let most = most(parts);
    if !most.exceeds(long) || !most.exceeds(short) || most_bad(parts, pair) < policy.min_bad {
        return None;
    }
    // So long after the beginning, whenever each probe is due.
    let fires = |after: u128| {
        let in_short = after.min(pair.short.as_micros());
        let bad: u128 = parts.iter().map(|part| part.failed(in_short)).sum();
        burn(parts, after, pair.long).exceeds(long)
            && burn(parts, in_short, pair.short).exceeds(short)
            && bad >= u128::from(policy.min_bad)
    };
    let (mut low, mut high) = (0, pair.long.as_micros());
    if !fires(high) {
        return Some(Together::AtTimes);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if fires(middle) { high = middle } else { low = middle + 1 }
    }
    let after = Duration::from_micros(u64::try_from(high).unwrap_or(u64::MAX));
    Some(Together::Within(after.saturating_add(pair.hold)))
}

/// Why nothing fires a pair.
fn dead(parts: &[Part], slo: &Slo, policy: &AlertPolicy, pair: &Pair) -> Finding {
    let most = match joins_slices(slo.method) {
        true => parts.iter().map(|part| most_bad(std::slice::from_ref(part), pair)).max(),
        false => Some(most_bad(parts, pair)),
    };
    match most.unwrap_or_default() < policy.min_bad {
        true => Finding::TooFewSlots(*pair, policy.min_bad),
        false => Finding::Dead(*pair),
    }
}

/// The most bad events that the short window can hold.
fn most_bad(parts: &[Part], pair: &Pair) -> u64 {
    parts.iter().map(|part| most_slots(pair.short, &part.intervals)).fold(0, u64::saturating_add)
}

/// How fast the budget burns when everything fails.
fn most(parts: &[Part]) -> Sum {
    let mut sum = Sum::default();
    for part in parts {
        sum.add((part.weight.nano().into(), 1), (part.objective.budget_ppb().into(), 1));
    }
    sum
}

/// The burn rate over a look-back, so many microseconds after all parts have begun to fail, however
/// late in its interval each probe was due.
fn burn(parts: &[Part], after: u128, length: Duration) -> Sum {
    let mut sum = Sum::default();
    for part in parts {
        let slots = slots_within(length, &part.intervals);
        let bad = u128::from(part.weight.nano()) * part.failed(after);
        let budget = u128::from(part.objective.budget_ppb());
        sum.add((bad, slots.denominator), (budget, slots.numerator));
    }
    sum
}

impl Part {
    /// The fewest events of it that are bad so many microseconds after it has begun to fail.
    fn failed(&self, after: u128) -> u128 {
        self.intervals.iter().map(|interval| after / interval.as_micros().max(1)).sum()
    }
}

fn factor(weight: Weight) -> Fraction {
    Fraction::new(weight.nano().into(), Weight::ONE.nano().into())
}

fn compare(a: Fraction, b: Fraction) -> Ordering {
    cmp_products(a.numerator, b.denominator, b.numerator, a.denominator)
}

/// The same policy for one part, whose burning counts so many times: in billionths, cut toward
/// sooner.
fn weighed(policy: &AlertPolicy, weight: Weight) -> AlertPolicy {
    let part = |nano: u64| {
        let nano = u128::from(nano) * u128::from(Weight::ONE.nano()) / u128::from(weight.nano());
        u64::try_from(nano).unwrap_or(u64::MAX)
    };
    let limit = |limit: Limit| match limit {
        Limit::Burn { nano, or_equal } => Limit::Burn { nano: part(nano), or_equal },
        Limit::Budget(share) => {
            let ppb = u32::try_from(part(share.ppb().into())).unwrap_or(u32::MAX);
            Limit::Budget(Share::from_ppb(ppb.max(1)).unwrap_or(share))
        }
    };
    let pairs = policy.pairs.iter().map(|pair| Pair { limit: limit(pair.limit), ..*pair });
    AlertPolicy { pairs: pairs.collect(), ..policy.clone() }
}
