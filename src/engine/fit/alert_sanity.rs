//! Gate 9: whether the alerts of each service could guard this objective: each page can fire, and
//! fires for outages rather than for single lost probes.

use std::time::Duration;

use crate::engine::feasibility::{Fraction, budget_ratio, slots_within};
use crate::model::Slo;
use crate::model::policy::{AlertPolicy, Pair, Severity, ShortThreshold};

use super::ground::{Ask, Known, Sight, list};
use super::poisson::at_least;
use super::{Answer, Finding};

/// Pages without an outage in [`MONTH`] that a team may be asked to bear: one in a fortnight.
const MOST_NOISE: f64 = 2.0;
/// The time over which noise is told.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn judge(ask: &Ask<'_, '_>) -> Finding {
    let (mut noisiest, mut wrong, mut blind) = (None, Vec::new(), Vec::new());
    for (known, sight) in ask.sights() {
        let Some(sight) = sight else {
            blind.push(known.service.name.to_string());
            continue;
        };
        wrong.extend(dead(known, &sight));
        if noisiest.is_none_or(|(_, noise)| sight.noise > noise) {
            noisiest = Some((known, sight.noise));
        }
    }
    let noise = noisiest.map_or(0.0, |(_, noise)| noise);
    let name = noisiest.map_or("", |(known, _)| known.service.name.as_str());
    // Cut to a tenth, as an estimate deserves.
    let text = format!("{:.1}", (noise * 10.0).floor() / 10.0);
    let told = format!(
        "single lost probes of {name} page {text} times in 30 d while the objective is just met"
    );
    let (answer, sentence) = if let Some(first) = wrong.first() {
        (Answer::Fail, first.clone())
    } else if noise > MOST_NOISE {
        (Answer::Fail, told)
    } else if blind.is_empty() {
        let calm = "no single lost probe pages".to_owned();
        (Answer::Pass, if noise < 0.1 { calm } else { told })
    } else {
        (Answer::Unknown, format!("nothing is promised for {}, so nothing pages", list(&blind)))
    };
    Finding::new(answer, sentence)
        .number(noisiest.map(|_| text), "pages per 30 d")
        .fact("problems", wrong)
}

/// What would keep a service's alerts from ever paging for this objective.
fn dead(known: &Known<'_>, sight: &Sight) -> Vec<String> {
    let name = &known.service.name;
    let pages: Vec<_> =
        sight.feasibility.pairs.iter().filter(|p| p.pair.severity == Severity::Page).collect();
    if pages.is_empty() {
        return vec![format!("nobody is paged when {name} fails")];
    }
    let dead = pages.iter().filter(|pair| pair.fires_on.is_none());
    dead.map(|pair| {
        format!("the page {} of {name} can never fire at this objective", pair.pair.name())
    })
    .collect()
}

/// How many pages in 30 days are caused by single lost probes alone, while the objective is just
/// met: an upper estimate. Each lost probe pages if enough others were lost before it within both
/// windows of a pair; losses are independent, so their number is Poisson.
pub(super) fn noise_pages(slo: &Slo, intervals: &[Duration]) -> f64 {
    let Some(policy) = slo.policy.as_deref() else { return 0.0 };
    let lost = slots(MONTH, intervals) * ratio(budget_ratio(slo.objective));
    let pages = policy.pairs.iter().filter(|pair| pair.severity == Severity::Page);
    let chance: f64 = pages.map(|pair| pages_at_a_loss(slo, policy, pair, intervals)).sum();
    lost * chance.min(1.0)
}

fn pages_at_a_loss(slo: &Slo, policy: &AlertPolicy, pair: &Pair, intervals: &[Duration]) -> f64 {
    let (numerator, denominator) = pair.burn_threshold(slo.window.shortest());
    let budget = budget_ratio(slo.objective);
    let Some(long) = Fraction::new(numerator, denominator).times(budget) else { return 0.0 };
    if long.is_whole() {
        return 0.0;
    }
    let short = match policy.short_threshold {
        ShortThreshold::Same => long,
        ShortThreshold::One => budget,
    };
    let before = |length, share: Fraction, least: u64| {
        let needed =
            slots_within(length, intervals).times(share).map_or(u128::MAX, Fraction::floor);
        let others = u64::try_from(needed).unwrap_or(u64::MAX).max(least - 1);
        let mean = (slots(length, intervals) - 1.0).max(0.0) * ratio(budget_ratio(slo.objective));
        at_least(others, mean)
    };
    before(pair.long, long, 1).min(before(pair.short, short, policy.min_bad.max(1)))
}

fn slots(length: Duration, intervals: &[Duration]) -> f64 {
    ratio(slots_within(length, intervals))
}

fn ratio(fraction: Fraction) -> f64 {
    fraction.numerator as f64 / fraction.denominator as f64
}
