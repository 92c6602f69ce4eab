//! What the oracle knows about alerts: never one without its reason, none too late.

use std::collections::BTreeMap;

use nines::engine::alert::{ALERT_STATE, Alert};
use nines::engine::{AlertKind, Engine};
use nines::model::budget::Spending;
use nines::model::objective::PPB;
use nines::model::{AlertPolicy, Outcome, Pair, Severity, ShortThreshold, Slo, SloId};

use super::joint;
use super::oracle::Oracle;
use super::{MINUTE, SECOND};

/// One firing of one alert that was told.
#[derive(Clone, Copy, Debug)]
struct Firing {
    fired_at: i64,
    /// When it resolved, or the next process began if the disk never had it.
    ended_at: Option<i64>,
}

/// What was told so far.
#[derive(Debug, Default)]
pub struct Alerts {
    firings: BTreeMap<(SloId, &'static str), Vec<Firing>>,
    streaks: BTreeMap<SloId, Streak>,
    /// What the disk has of them, by the names of their states.
    durable: BTreeMap<String, Life>,
}

/// Bad slots in a row.
#[derive(Clone, Copy, Debug)]
struct Streak {
    /// Slots due up to here have been looked at.
    until: i64,
    first: i64,
    n: u64,
}

/// The life of an alert as its state is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
struct Life {
    fired_at: Option<i64>,
    resolved_at: Option<i64>,
}

impl Alerts {
    /// What is promised changes: slots due before `now` were judged by other rules.
    pub fn redeclared(&mut self, engine: &Engine, now: i64) {
        let fresh = Streak { until: now, first: 0, n: 0 };
        self.streaks = engine.slos().iter().map(|state| (state.slo.id.clone(), fresh)).collect();
    }

    /// The disk has this state.
    pub fn durable(&mut self, name: &str, json: &str) {
        if name.starts_with(ALERT_STATE) {
            let life = serde_json::from_str(json).expect("the life of an alert");
            self.durable.insert(name.to_owned(), life);
        }
    }

    /// A new process has taken back what the disk had of its alerts, all of it. One that the disk
    /// never had was told all the same, and ended with the process that told it.
    pub fn restored(&mut self, engine: &Engine, now: i64) -> Result<(), String> {
        for alert in engine.alerts() {
            let Some(slo) = &alert.slo else { continue };
            let (fired_at, ended_at) = (alert.life.fired_at, alert.life.resolved_at);
            let had = self.durable.get(&alert.state_name()).copied().unwrap_or_default();
            if had != (Life { fired_at, resolved_at: ended_at }) {
                let (name, life) = (alert.state_name(), alert.life);
                return Err(format!("{name} goes on as {life:?}, but the disk had {had:?}"));
            }
            let firings = self.firings.entry((slo.clone(), alert.kind.name())).or_default();
            firings.retain(|known| Some(known.fired_at) != fired_at);
            firings.iter_mut().for_each(|lost| _ = lost.ended_at.get_or_insert(now));
            firings.extend(fired_at.map(|fired_at| Firing { fired_at, ended_at }));
        }
        Ok(())
    }
}

/// An alert has changed: it must have a reason to.
pub fn transition(
    oracle: &mut Oracle<'_>,
    engine: &Engine,
    name: &str,
    json: &str,
) -> Result<(), String> {
    let Some((kind, id)) = name.strip_prefix("alert/").and_then(|name| name.split_once('/')) else {
        return Ok(());
    };
    if id.is_empty() {
        return Ok(());
    }
    let all = AlertKind::OF_SLO.into_iter();
    let kind = all.into_iter().find(|known| known.name() == kind).ok_or("an alert nobody knows")?;
    let life: Life = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let Some(state) = engine.slo(id) else {
        // It has gone, and its alerts end with it.
        return life.resolved_at.map(|_| ()).ok_or("an alert of an SLO nobody knows".to_owned());
    };
    let moment = life.resolved_at.or(life.fired_at).unwrap_or_default();
    let slo = &state.slo_at(nines::model::Timestamp::from_micros(moment)).into_owned();
    let firings = oracle.alerts.firings.entry((slo.id.clone(), kind.name())).or_default();
    let fired_at = life.fired_at.ok_or("an alert that never fired")?;
    let at = life.resolved_at.unwrap_or(fired_at);
    match (life.resolved_at, firings.last_mut()) {
        (None, _) => firings.push(Firing { fired_at, ended_at: None }),
        (Some(_), Some(last)) => last.ended_at = life.resolved_at,
        (Some(_), None) => return Err(format!("{name} resolves before it fires")),
    }
    oracle.score.alerts += u64::from(life.resolved_at.is_none());
    let fires = life.resolved_at.is_none();
    let reason = match kind {
        AlertKind::NoData => quiet(oracle, &state.slo, at),
        kind => spends(oracle, slo, kind, at),
    };
    match (fires, reason) {
        (true, Reason::No) => Err(format!("{name} fires at {at} without a reason")),
        (false, Reason::Yes) => Err(format!("{name} resolves at {at} for no reason")),
        _ => Ok(()),
    }
}

/// Every alert about spending stands as its formula says, whatever came before.
pub fn standing(oracle: &mut Oracle<'_>, engine: &Engine) -> Result<(), String> {
    for state in engine.slos() {
        let Some(at) = state.status.as_ref().map(|status| status.at) else { continue };
        let slo = &state.slo_at(at).into_owned();
        let mut stands = |alert: &Alert| match spends(oracle, slo, alert.kind, at.micros()) {
            Reason::Yes => alert.is_firing(),
            Reason::No => !alert.is_firing(),
            Reason::Open => true,
        };
        if let Some(alert) = state.alerts.iter().find(|alert| !stands(alert)) {
            let (name, life) = (alert.state_name(), alert.life);
            return Err(format!("{name} does not stand as it must at {at}: {life:?}"));
        }
    }
    Ok(())
}

/// Whether what was spent is a reason for an alert.
fn spends(oracle: &mut Oracle<'_>, slo: &Slo, kind: AlertKind, at: i64) -> Reason {
    match kind {
        AlertKind::BurnFast => burns(oracle, slo, Severity::Page, at),
        AlertKind::BurnSlow => burns(oracle, slo, Severity::Ticket, at),
        AlertKind::Exhausted => exhausted(oracle, slo, at),
        AlertKind::NoData | AlertKind::Blind | AlertKind::Watchdog => Reason::Open,
    }
}

/// Whether an alert has a reason to fire, as far as the list of slots decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Yes,
    No,
    Open,
}

/// The rule of the pairs, by whole numbers.
fn burns(oracle: &mut Oracle<'_>, slo: &Slo, severity: Severity, at: i64) -> Reason {
    let Some(policy) = slo.policy.clone() else { return Reason::No };
    if slo.is_composite() {
        return burn_together(oracle, slo, &policy, severity, at);
    }
    let mut whole = Reason::No;
    for pair in policy.pairs.iter().filter(|pair| pair.severity == severity) {
        let (long, short) = (pair.long.as_micros() as i64, pair.short.as_micros() as i64);
        let threshold = pair.burn_threshold(slo.window.longest());
        let in_long = oracle.spending(slo, at - long, at);
        let in_short = oracle.spending(slo, at - short, at);
        let short_threshold = match policy.short_threshold {
            ShortThreshold::Same => threshold,
            ShortThreshold::One => (1, 1),
        };
        let holds = above(in_long, threshold)
            && above(in_short, short_threshold)
            && in_short.counted.bad >= policy.min_bad;
        let blind = in_short.counted.total() == 0;
        // A window that holds less than half of what it should may not decide.
        let expected = oracle.count(slo, at - long, at).expected();
        let young = oracle.first(slo).is_none_or(|first| first > at - long);
        let decides = !young && 2 * in_long.counted.total() >= expected;
        match (holds, blind || !decides) {
            (true, false) => return Reason::Yes,
            (true, true) => whole = Reason::Open,
            (false, _) if blind => whole = Reason::Open,
            (false, _) => {}
        }
    }
    whole
}

/// The rule of the pairs for what is made of others. What one part lacks may hold an alert, and
/// takes none away that the others have settled.
fn burn_together(
    oracle: &mut Oracle<'_>,
    slo: &Slo,
    policy: &AlertPolicy,
    severity: Severity,
    at: i64,
) -> Reason {
    let mut whole = Reason::No;
    for pair in policy.pairs.iter().filter(|pair| pair.severity == severity) {
        let (long, short) = (pair.long.as_micros() as i64, pair.short.as_micros() as i64);
        let threshold = pair.burn_threshold(slo.window.longest());
        let (in_long, _) = joint::looks(oracle, slo, (at - long, at));
        let (in_short, _) = joint::looks(oracle, slo, (at - short, at));
        let short_threshold = match policy.short_threshold {
            ShortThreshold::Same => threshold,
            ShortThreshold::One => (1, 1),
        };
        let bad: u64 = in_short.iter().map(|look| look.spending.counted.bad).sum();
        let holds = joint::spent(&in_long).above(threshold)
            && joint::spent(&in_short).above(short_threshold)
            && bad >= policy.min_bad;
        let seen = in_long.iter().all(joint::Look::is_seen);
        let decides = seen && !is_young(oracle, slo, at - long);
        match holds {
            true if decides => return Reason::Yes,
            true => whole = Reason::Open,
            false if in_short.iter().any(joint::Look::is_blind) => whole = Reason::Open,
            false => {}
        }
    }
    whole
}

/// Whether a part of it has no history at `from` yet.
fn is_young(oracle: &Oracle<'_>, slo: &Slo, from: i64) -> bool {
    // The first slice may have begun before the first slot.
    let slice = slo.method.slice().map_or(0, |slice| slice.as_micros() as i64);
    let young = |part: &Slo| oracle.first(part).is_none_or(|first| first + slice > from);
    joint::parts(oracle, slo).iter().any(|(part, _)| young(part))
}

fn exhausted_together(oracle: &mut Oracle<'_>, slo: &Slo, at: i64) -> Reason {
    let window = slo.window.longest().as_micros() as i64;
    let (looks, _) = joint::looks(oracle, slo, (at - window, at));
    let seen = looks.iter().all(joint::Look::is_seen) && !is_young(oracle, slo, at - window);
    match joint::spent(&looks).above((1, 1)) {
        true if seen => Reason::Yes,
        true => Reason::Open,
        false => Reason::No,
    }
}

/// Whether more than so many times the allowed share is bad; in whole numbers, and not by the
/// engine's own comparison.
fn above(spending: Spending, (numerator, denominator): (u128, u128)) -> bool {
    let bad = u128::from(spending.counted.bad) * u128::from(PPB) * denominator;
    bad > spending.allowed_ppb * numerator
}

fn exhausted(oracle: &mut Oracle<'_>, slo: &Slo, at: i64) -> Reason {
    if slo.is_composite() {
        return exhausted_together(oracle, slo, at);
    }
    let window = slo.window.longest().as_micros() as i64;
    let spending = oracle.spending(slo, at - window, at);
    let young = oracle.first(slo).is_none_or(|first| first > at - window);
    let expected = oracle.count(slo, at - window, at).expected();
    match above(spending, (1, 1)) {
        true if young || 2 * spending.counted.total() < expected => Reason::Open,
        true => Reason::Yes,
        false => Reason::No,
    }
}

/// Nothing known for three intervals and two minutes, or nothing told at all for as long.
fn quiet(oracle: &mut Oracle<'_>, slo: &Slo, at: i64) -> Reason {
    if slo.is_composite() {
        let parts = joint::parts(oracle, slo);
        let reason = parts.iter().map(|(part, _)| quiet(oracle, part, at));
        let open = reason.filter(|reason| *reason == Reason::Open).count() > 0;
        return if open { Reason::Open } else { Reason::No };
    }
    let lines = || slo.probes.iter().map(|probe| &oracle.lines[&oracle.series_of[probe]]);
    let interval = lines().map(|line| line.interval()).max().unwrap_or_default();
    let while_ = (3 * interval).max(2 * MINUTE);
    let known_until = lines().filter_map(|line| line.known_until()).min();
    let behind = known_until.is_none_or(|known| at + SECOND - known >= while_);
    // The look that found out was less than a second later.
    let known = oracle.count(slo, at - while_ + SECOND, at).known();
    if known > 0 && !behind { Reason::No } else { Reason::Open }
}

/// Alerts whose moment has come by the formula must have fired.
pub fn owed(oracle: &mut Oracle<'_>, engine: &Engine, now: i64) -> Result<(), String> {
    let look = oracle.look();
    let until = oracle.timeline(now) - MINUTE;
    for state in engine.slos().iter().filter(|state| !state.slo.is_composite()) {
        let slo = &state.slo;
        let ([probe], Some(policy)) = (&slo.probes[..], &slo.policy) else { continue };
        let line = &oracle.lines[&oracle.series_of[probe]];
        let threshold = slo.latency_under.map(|under| under.as_micros() as u32);
        let (interval, timeout) = (line.interval(), line.timeout());
        let before = Streak { until: i64::MIN, first: 0, n: 0 };
        let mut streak = oracle.alerts.streaks.get(&slo.id).copied().unwrap_or(before);
        let slots = line.within(streak.until.saturating_add(1), until).to_vec();
        for slot in slots {
            streak.until = slot.due;
            if slot.outcome(threshold) != Outcome::Bad {
                streak.n = 0;
                continue;
            }
            if streak.n == 0 {
                streak.first = slot.due;
            }
            streak.n += 1;
            for pair in &policy.pairs {
                if needed(slo, pair, interval) != Some(streak.n.max(1)) {
                    continue;
                }
                let deadline = slot.due + timeout + 2 * SECOND + look;
                fired_by(oracle, slo, pair, (streak.first, slot.due, deadline))?;
            }
        }
        oracle.alerts.streaks.insert(slo.id.clone(), streak);
    }
    Ok(())
}

/// How many bad slots in a row make a pair fire, whatever was before:
/// `floor(share * window * budget / interval) + 1`. None if it cannot fire on them alone.
fn needed(slo: &Slo, pair: &Pair, interval: i64) -> Option<u64> {
    let policy = slo.policy.as_ref()?;
    let nines::model::Limit::Budget(share) = pair.limit else {
        unreachable!("worlds have pairs with a share of the budget")
    };
    let budget = u128::from(slo.objective.budget_ppb()) * u128::from(share.ppb());
    let scale = u128::from(PPB) * u128::from(PPB) * interval.unsigned_abs() as u128;
    let n = (budget * slo.window.longest().as_micros() / scale + 1) as u64;
    let n = n.max(policy.min_bad);
    let slots_in = |length: std::time::Duration| length.as_micros() as u64 / interval as u64;
    let (numerator, denominator) = pair.burn_threshold(slo.window.longest());
    let can = numerator * u128::from(slo.objective.budget_ppb()) < denominator * u128::from(PPB);
    let whole = pair.long.as_micros().is_multiple_of(interval as u128);
    let fits = n <= slots_in(pair.long) && policy.min_bad <= slots_in(pair.short);
    (can && whole && fits).then_some(n)
}

fn fired_by(
    oracle: &mut Oracle<'_>,
    slo: &Slo,
    pair: &Pair,
    (first, due, deadline): (i64, i64, i64),
) -> Result<(), String> {
    let from = due - pair.long.as_micros() as i64;
    let full = oracle.first(slo).is_some_and(|began| began <= from - MINUTE);
    let seen = oracle.count(slo, from, due).unknown == 0;
    let promised = oracle.promised_throughout(slo, from - MINUTE, deadline);
    if !full || !seen || !promised || !oracle.healthy_timeline(first - MINUTE, deadline) {
        return Ok(());
    }
    oracle.score.due_alerts += 1;
    let kind = AlertKind::of(pair.severity).name();
    let firings = oracle.alerts.firings.get(&(slo.id.clone(), kind));
    let fires = |firing: &Firing| {
        firing.fired_at <= deadline && firing.ended_at.is_none_or(|ended| ended > due)
    };
    match firings.is_some_and(|firings| firings.iter().any(fires)) {
        true => Ok(()),
        false => Err(format!(
            "{} {kind} has not fired by {deadline}, for slots from {first} to {due}, pair {}",
            slo.id,
            pair.name()
        )),
    }
}
