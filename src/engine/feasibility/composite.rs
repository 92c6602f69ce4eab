//! What an SLO can do that is made of others: at the worst of one part failing alone. Where parts
//! fail together, everything comes sooner.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Feasibility, Finding, Fraction, assess_counting, assess_slo, budget_ratio, inverse};
use crate::model::decimal::cmp_products;
use crate::model::policy::{AlertPolicy, Limit, Pair};
use crate::model::{Part, Service, Share, Slo, Weight};

/// Looks at the part of which one lost probe costs most, held to what is told of the whole.
pub(super) fn assess(service: &Service, slo: &Slo) -> Feasibility {
    let of = |part: &Part| service.slos.iter().find(|one| one.id == part.slo);
    let alone = |part: &Part| {
        let policy = slo.policy.as_ref().map(|policy| Arc::new(weighed(policy, part.weight)));
        let mean_outage = slo.mean_outage;
        let own = assess_counting(service, &Slo { policy, mean_outage, ..of(part)?.clone() });
        let lost_probe = own.lost_probe.times(factor(part.weight)).unwrap_or(inverse(None));
        Some(Feasibility { slo: slo.id.clone(), lost_probe, ..own })
    };
    let parts = slo.parts.iter().filter_map(alone);
    let worst = parts.max_by(|a, b| compare(a.lost_probe, b.lost_probe));
    let Some(mut worst) = worst else { return assess_slo(slo, &[]) };
    // How fast the budget burns when everything fails.
    let most = slo.parts.iter().try_fold(Fraction::new(0, 1), |sum, part| {
        let all = inverse(Some(budget_ratio(of(part)?.objective)));
        sum.plus(all.times(factor(part.weight))?)
    });
    let most = most.unwrap_or(inverse(None));
    let declared: Vec<Pair> = slo.policy.iter().flat_map(|policy| policy.pairs.clone()).collect();
    let window = slo.window.shortest();
    let burn = |pair: &Pair| {
        let (numerator, denominator) = pair.burn_threshold(window);
        Fraction::new(numerator, denominator)
    };
    let as_declared = |pair: &mut Pair, of: &[Pair]| {
        let scaled = *pair;
        let alike = |one: &&Pair| Pair { limit: scaled.limit, ..**one } == scaled;
        *pair = of.iter().find(alike).copied().unwrap_or(scaled);
    };
    for (each, declared) in worst.pairs.iter_mut().zip(&declared) {
        (each.pair, each.burn) = (*declared, burn(declared));
    }
    worst.findings.retain_mut(|finding| match finding {
        Finding::Dead(pair) => {
            as_declared(pair, &declared);
            // What one part alone cannot do, all of them together may.
            compare(most, burn(pair)).is_le()
        }
        Finding::TooFewSlots(pair, _)
        | Finding::ShortBelowInterval(pair)
        | Finding::OneLostProbePages(pair, _) => {
            as_declared(pair, &declared);
            true
        }
        Finding::LostProbeSpendsAll => true,
    });
    worst
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
