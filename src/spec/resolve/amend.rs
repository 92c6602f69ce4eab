//! Maintenance and Corrections: when they are, what they concern, and what they say together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Context, Names, declare, names, raw, refer};
use crate::model::correction::{Act, MAX_CORRECTIONS};
use crate::model::maintenance::{MAX_MAINTENANCES, When};
use crate::model::recurrence::{Civil, MAX_LENGTH, Recurrence};
use crate::model::window::{Period, Zone};
use crate::model::{Correction, Maintenance, Name, ParseError, SloId, Timestamp};
use crate::spec::mirror::{Field, Given, quoted};
use crate::spec::nearest::did_you_mean;
use crate::spec::problem::{At, Place, Problems};

/// Builds every Maintenance, in name order; none if something in one was wrong.
pub(super) fn maintenances(
    raws: &[raw::Maintenance],
    cx: &mut Context,
) -> Option<Vec<Arc<Maintenance>>> {
    names("Maintenance", raws.iter().map(|raw| raw.name()), cx.problems);
    too_many("Maintenance", raws.len(), MAX_MAINTENANCES, cx.problems);
    let built: Vec<_> = raws.iter().map(|raw| maintenance(raw, cx)).collect();
    let mut built: Vec<_> = built.into_iter().map(|m| m.map(Arc::new)).collect::<Option<_>>()?;
    built.sort_by(|a, b| a.name.cmp(&b.name));
    Some(built)
}

fn too_many(kind: &str, n: usize, most: usize, problems: &mut Problems) {
    if n > most {
        let message = format!("{n} documents of kind {kind}, more than {most}");
        problems.error(&At::bare(Place::file(0)), message).hint("join some of them");
    }
}

fn maintenance(raw: &raw::Maintenance, cx: &mut Context) -> Option<Maintenance> {
    let spec = raw.spec.value()?;
    let listed = spec.services.value().map(|list| list.items.as_slice()).unwrap_or_default();
    let mut twice = Names::new(true);
    for service in listed {
        refer("Service", service, &cx.services, cx.problems);
        declare("service", service, &mut twice, cx.problems);
    }
    let when = spec.window.given().and_then(|window| when(window, cx.problems));
    Some(Maintenance {
        name: raw.name()?.value.clone(),
        services: listed.iter().map(|service| service.value.clone()).collect(),
        when: when?,
        effect: *spec.effect.value()?,
        reason: spec.reason.value().map(|text| text.0.clone()),
        author: spec.author.value().map(|text| text.0.clone()),
    })
}

fn when(given: &Given<raw::MaintenanceWindow>, problems: &mut Problems) -> Option<When> {
    let raw = &given.value;
    let zone = match &raw.time_zone {
        Field::Absent => Some(Zone::utc()),
        field => field.value().map(|zone| zone.0.clone()),
    };
    if let Field::Given(weekly) = &raw.weekly {
        let stray = [("start", at(&raw.start)), ("duration", at(&raw.duration))];
        strays("weekly", stray, problems);
        let read = Recurrence::weekly(&weekly.value.0, zone?);
        return told(read, &weekly.at, problems).map(|found| When::Again(Box::new(found)));
    }
    if let Field::Given(rule) = &raw.rrule {
        return by_rule(given, rule, zone, problems).map(|found| When::Again(Box::new(found)));
    }
    let end = raw.end.given()?;
    let stray = [("timeZone", at(&raw.time_zone)), ("duration", at(&raw.duration))];
    strays("end", stray, problems);
    let start = wanted(&raw.start, "end", given, "start", problems)?;
    let raw::Moment::Exact(begin) = start.value else {
        let problem = problems.error(&start.at, "a beginning without an offset");
        problem.expected("a moment such as 2026-12-01T02:00:00Z or 2026-12-01T02:00:00+01:00");
        return None;
    };
    ordered(begin, end, "start", problems).map(|end| When::Once(Period { start: begin, end }))
}

fn by_rule(
    given: &Given<raw::MaintenanceWindow>,
    rule: &Given<raw::Line>,
    zone: Option<Zone>,
    problems: &mut Problems,
) -> Option<Recurrence> {
    let raw = &given.value;
    let start = wanted(&raw.start, "rrule", given, "start", problems);
    let duration = wanted(&raw.duration, "rrule", given, "duration", problems);
    let (start, duration, zone) = (start?, duration?, zone?);
    if duration.value.is_zero() || duration.value > MAX_LENGTH {
        let message = "an occurrence of no time, or of more than a week";
        problems.error(&duration.at, message).expected("a duration above 0s and up to 7d");
        return None;
    }
    let begin = match start.value {
        raw::Moment::Exact(at) => Civil::of(at, &zone),
        raw::Moment::Local(local) => local,
    };
    told(Recurrence::by_rule(&rule.value.0, begin, duration.value, zone), &rule.at, problems)
}

fn at<T>(field: &Field<T>) -> Option<&At> {
    field.given().map(|given| &given.at)
}

/// Keys that say nothing beside another one.
fn strays<const N: usize>(beside: &str, keys: [(&str, Option<&At>); N], problems: &mut Problems) {
    for (key, at) in keys {
        if let Some(at) = at {
            let message = format!("`{key}` says nothing beside `{beside}`");
            problems.error(at, message).hint(format!("leave `{key}` out"));
        }
    }
}

/// A key that another one cannot do without.
fn wanted<'a, T, W>(
    field: &'a Field<T>,
    beside: &str,
    whole: &Given<W>,
    key: &str,
    problems: &mut Problems,
) -> Option<&'a Given<T>> {
    if field.is_absent() {
        let message = format!("`{beside}` without `{key}`");
        problems.error(&whole.at, message).expected(format!("`{key}`"));
    }
    field.given()
}

fn told<T>(read: Result<T, ParseError>, at: &At, problems: &mut Problems) -> Option<T> {
    read.map_err(|error| {
        let message = format!("{:?} cannot be used", error.found);
        problems.error(at, message).expected(error.expected);
    })
    .ok()
}

/// The end, if it is after the beginning.
fn ordered(
    begin: Timestamp,
    end: &Given<Timestamp>,
    key: &str,
    problems: &mut Problems,
) -> Option<Timestamp> {
    if end.value <= begin {
        let message = format!("an end that is not after `{key}`");
        problems.error(&end.at, message).expected(format!("a moment after {begin}"));
        return None;
    }
    Some(end.value)
}

/// Where a Correction says up to when it speaks.
pub(super) fn end(raw: &raw::Correction) -> Option<&At> {
    raw.spec.value().and_then(|spec| at(&spec.to))
}

/// Every SLO, with those that it is made of.
pub(super) type Promised = BTreeMap<SloId, Vec<SloId>>;

/// Builds every Correction, in name order; none if something in one was wrong. `promised` are the
/// SLOs, and whether those are all.
pub(super) fn corrections(
    raws: &[raw::Correction],
    promised: (Promised, bool),
    cx: &mut Context,
) -> Option<Vec<Arc<Correction>>> {
    let known = names("Correction", raws.iter().map(|raw| raw.name()), cx.problems);
    too_many("Correction", raws.len(), MAX_CORRECTIONS, cx.problems);
    let built: Vec<_> = raws.iter().map(|raw| correction(raw, &known, &promised, cx)).collect();
    circles(raws, cx.problems);
    let mut built: Vec<_> = built.into_iter().map(|c| c.map(Arc::new)).collect::<Option<_>>()?;
    overlaps(raws, &built, cx.problems);
    built.sort_by(|a, b| a.name.cmp(&b.name));
    Some(built)
}

fn correction(
    raw: &raw::Correction,
    known: &Names,
    promised: &(Promised, bool),
    cx: &mut Context,
) -> Option<Correction> {
    let given = raw.spec.given()?;
    let spec = &given.value;
    let act = match &spec.withdraws {
        Field::Given(name) => {
            let stray = [("slo", at(&spec.slo)), ("from", at(&spec.from)), ("to", at(&spec.to))];
            strays("withdraws", stray, cx.problems);
            if name.value.as_str() == raw.name()?.value.as_str() {
                cx.problems.error(&name.at, "a Correction that withdraws itself");
                return None;
            }
            // What is meant is another one: this one is no suggestion.
            let own = raw.name()?;
            let others = (!known.has(&name.value)).then(|| known.without(&own.value));
            let known = others.as_ref().unwrap_or(known);
            refer("Correction", name, known, cx.problems).then(|| Act::Withdraw(name.value.clone()))
        }
        _ => set(given, promised, cx.problems),
    };
    let (end, problems) = (spec.to.value().copied(), &mut *cx.problems);
    if let (Some(written), Some(end)) = (spec.at.given(), end)
        && written.value < end
    {
        let problem = problems.error(&written.at, "written before the time that it speaks of ends");
        problem.expected(format!("{end} or later"));
        return None;
    }
    Some(Correction {
        name: raw.name()?.value.clone(),
        act: act?,
        reason: spec.reason.value()?.0.clone(),
        author: spec.author.value()?.0.clone(),
        at: match &spec.at {
            Field::Broken => return None,
            field => field.value().copied(),
        },
    })
}

fn set(
    given: &Given<raw::CorrectionSpec>,
    (promised, complete): &(Promised, bool),
    problems: &mut Problems,
) -> Option<Act> {
    let spec = &given.value;
    let outcome = spec.outcome.given()?;
    let slo = wanted(&spec.slo, "outcome", given, "slo", problems);
    let from = wanted(&spec.from, "outcome", given, "from", problems);
    let to = wanted(&spec.to, "outcome", given, "to", problems);
    if let Some(slo) = slo.filter(|slo| *complete && !promised.contains_key(&slo.value)) {
        let known = || promised.keys().map(SloId::as_str);
        let of_service = |id: &&str| id.split('/').next() == Some(slo.value.service());
        let near: Vec<&str> = known().filter(of_service).take(8).collect();
        let problem = problems.error(&slo.at, format!("unknown SLO {:?}", slo.value.as_str()));
        if !near.is_empty() {
            problem.expected(format!("one of {}", quoted(near)));
        }
        problem.maybe_hint(did_you_mean(slo.value.as_str(), known()));
    }
    let parts = slo.and_then(|slo| promised.get(&slo.value)).filter(|parts| !parts.is_empty());
    if let Some((slo, parts)) = slo.zip(parts) {
        let message = format!("{} is made of others and has no slots of its own", slo.value);
        let parts = parts.iter().map(SloId::as_str);
        problems.error(&slo.at, message).expected(format!("one of {}", quoted(parts)));
        return None;
    }
    let (slo, from, to) = (slo?, from?, to?);
    let to = ordered(from.value, to, "from", problems)?;
    Some(Act::Set { slo: slo.value.clone(), from: from.value, to, outcome: outcome.value })
}

/// Reports Corrections that withdraw each other.
fn circles(raws: &[raw::Correction], problems: &mut Problems) {
    let pair = |raw: &raw::Correction| {
        let target = raw.spec.value()?.withdraws.given()?.clone();
        Some((raw.name()?.value.clone(), target))
    };
    let targets: BTreeMap<Name, Given<Name>> = raws.iter().filter_map(pair).collect();
    let mut done: BTreeSet<&Name> = BTreeSet::new();
    for start in targets.keys() {
        let mut way: Vec<&Name> = Vec::new();
        let mut name = start;
        while let Some(target) = targets.get(name).filter(|_| !done.contains(name)) {
            way.push(name);
            name = &target.value;
            if way.contains(&name) && way.len() > 1 {
                let message = "Corrections that withdraw each other";
                problems.error(&target.at, message).hint("write a new one in place of the last");
                break;
            }
            if way.contains(&name) {
                break;
            }
        }
        done.extend(way);
    }
}

/// Warns where two Corrections speak of the same slots of an SLO.
fn overlaps(raws: &[raw::Correction], built: &[Arc<Correction>], problems: &mut Problems) {
    let withdrawn: BTreeSet<&Name> = built.iter().filter_map(|c| c.withdraws()).collect();
    let mut by_slo: BTreeMap<&SloId, Vec<(Timestamp, Timestamp, &Correction)>> = BTreeMap::new();
    for correction in built.iter().filter(|c| !withdrawn.contains(&c.name)) {
        if let Act::Set { slo, from, to, .. } = &correction.act {
            by_slo.entry(slo).or_default().push((*from, *to, correction));
        }
    }
    for all in by_slo.values_mut() {
        all.sort_by_key(|(from, to, c)| (*from, *to, c.rank()));
        // The one that reaches furthest, of all those before.
        let mut last: Option<(Timestamp, &Correction)> = None;
        for (from, to, correction) in all.iter() {
            if let Some((_, other)) = last.filter(|(end, _)| from < end) {
                let holds = if correction.rank() > other.rank() { correction } else { other };
                let of = |raw: &&raw::Correction| {
                    raw.name().is_some_and(|name| name.value == correction.name)
                };
                if let Some(at) = raws.iter().find(of).and_then(|raw| at(&raw.spec.value()?.from)) {
                    let (other, holds) = (other.name.as_str(), holds.name.as_str());
                    let message =
                        format!("overlaps Correction {other:?}; where both speak, {holds:?} holds");
                    problems
                        .warn(at, message)
                        .hint("the one that was written later holds; part them, or say `at`");
                }
            }
            if last.is_none_or(|(end, _)| end < *to) {
                last = Some((*to, correction));
            }
        }
    }
}
