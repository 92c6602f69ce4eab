//! Support tiers and alert policies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::parts::{whole_seconds, within};
use super::{Context, raw};
use crate::model::time::MAX_DURATION;
use crate::model::{AlertPolicy, Limit, Pair, Severity, SupportTier};
use crate::spec::mirror::Given;
use crate::spec::problem::Problems;

/// Builds every policy into the context, the built-in one first.
pub(super) fn policies(raws: &[raw::AlertPolicy], cx: &mut Context) {
    let workbook = AlertPolicy::workbook();
    cx.policies.insert(workbook.name.clone(), Arc::clone(&workbook));
    for raw in raws {
        let Some(policy) = policy(raw, cx.problems) else { continue };
        // Spelling the built-in policy out is welcome, changing it under its name is not.
        if policy.name == workbook.name && policy != *workbook {
            let Some(name) = raw.name() else { continue };
            cx.problems
                .error(&name.at, "`workbook` is built in and cannot be changed")
                .expected("another name");
        }
        cx.policies.entry(policy.name.clone()).or_insert_with(|| Arc::new(policy));
    }
}

fn policy(raw: &raw::AlertPolicy, problems: &mut Problems) -> Option<AlertPolicy> {
    let spec = raw.spec.value()?;
    let list = &spec.pairs.value()?.items;
    let mut seen: BTreeMap<(Severity, Duration, Duration), ()> = BTreeMap::new();
    let mut pairs = Vec::with_capacity(list.len());
    for given in list {
        let Some(pair) = pair(given, problems) else { continue };
        if seen.insert((pair.severity, pair.long, pair.short), ()).is_some() {
            let what = format!("a second {} pair {}", pair.severity.word(), pair.name());
            problems.error(&given.at, what).hint("keep the one with the smaller budget");
        }
        pairs.push(pair);
    }
    Some(AlertPolicy {
        name: raw.name()?.value.clone(),
        pairs,
        short_threshold: *spec.short_threshold.value()?,
        min_bad: spec.min_bad.value()?.0,
    })
}

fn pair(given: &Given<raw::Pair>, problems: &mut Problems) -> Option<Pair> {
    let raw = &given.value;
    let mut window = |given: Option<&Given<Duration>>| {
        given.and_then(|g| whole_seconds(&g.at, g.value, MAX_DURATION, problems))
    };
    let (long, short) = (window(raw.long.given()), window(raw.short.given()));
    let budget = raw.budget.given()?;
    if budget.value.ppb() == 0 {
        problems.error(&budget.at, "a budget of 0 would always fire").expected("a share above 0%");
    }
    let (long, short) = (long?, short?);
    if short >= long {
        let at = &raw.short.given()?.at;
        problems
            .error(at, "the short window is not shorter than the long one")
            .expected("a short window below the long one; a twelfth of it is usual");
        return None;
    }
    Some(Pair {
        severity: *raw.severity.value()?,
        long,
        short,
        limit: Limit::Budget(budget.value),
        hold: Duration::ZERO,
    })
}

/// Builds a support tier.
pub(super) fn tier(raw: &raw::SupportTier, cx: &mut Context) -> Option<SupportTier> {
    const MOST: Duration = Duration::from_secs(30 * 86_400);
    let spec = raw.spec.value()?;
    let mut time = |given: Option<&Given<Duration>>, least| {
        given.and_then(|given| within(given, (least, MOST), cx.problems))
    };
    let acknowledge = time(spec.acknowledge.given(), Duration::from_secs(1));
    // What fails over by itself is repaired in no time.
    let repair = time(spec.repair.given(), Duration::ZERO);
    Some(SupportTier {
        name: raw.name()?.value.clone(),
        hours: *spec.hours.value()?,
        time_zone: spec.time_zone.value()?.0.name().to_owned(),
        acknowledge: acknowledge?,
        repair: repair?,
    })
}
