//! When the budget will be gone: an exact projection in which old failures expire.
//!
//! Dividing what is left by the burn rate forgets that a rolling window also gives back. Here
//! every past failure leaves the window on its day while new ones come in at the present rate.

use std::time::Duration;

use crate::model::budget::{Budget, Counted};
use crate::model::catalog::UnknownPolicy;
use crate::model::evidence::survival::{self, Stretch};
use crate::model::objective::PPB;
use crate::model::{Objective, Slo, Tally, Timestamp, Window};

use super::evaluate::Moment;
use super::series::EventRun;
use super::status::{Exhaustion, SloStatus};

/// The least and the greatest time to exhaustion over the look-backs that are burning and still
/// going on: each long window of the alert policy whose short window burns above 1, with the rate
/// of the latter, the present one. Never is greater than any time.
pub fn exhaustion(moment: &Moment<'_>, slo: &Slo, budget: &Budget) -> (Exhaustion, Exhaustion) {
    let both = |exhaustion| (exhaustion, exhaustion);
    if budget.counted.total() == 0 {
        return both(Exhaustion::Unknown);
    }
    if budget.is_spent() {
        return both(Exhaustion::In(Duration::ZERO));
    }
    let Some(policy) = &slo.policy else { return both(Exhaustion::Never) };
    let burning = |window| {
        let spending = moment.spending(slo, window);
        spending.burns_above((1, 1)).then_some(spending.counted)
    };
    let pairs = policy.pairs.iter();
    let rates: Vec<_> =
        pairs.filter_map(|pair| burning(pair.long).and(burning(pair.short))).collect();
    if rates.is_empty() {
        return both(Exhaustion::Never);
    }
    let times: Vec<Option<Duration>> = match slo.window {
        Window::Rolling(length) => {
            let past = Past::read(moment, slo, length, budget);
            rates.iter().map(|rate| past.project(past.pace * share(*rate))).collect()
        }
        Window::Calendar(_) => {
            let present = Present::read(moment, slo, budget);
            rates.iter().map(|rate| present.project(present.pace * share(*rate))).collect()
        }
    };
    band(&times)
}

/// The least and the greatest of these times, none of which is never.
fn band(times: &[Option<Duration>]) -> (Exhaustion, Exhaustion) {
    let told = |time: Option<Duration>| time.map_or(Exhaustion::Never, Exhaustion::In);
    let soonest = times.iter().flatten().min().copied();
    let latest = times.iter().copied().reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b)));
    (told(soonest), told(latest.flatten()))
}

/// Into how many stretches the time ahead is cut where the past leaves the window on the way:
/// what leaves within one makes room from the next one on.
const STRETCHES: u32 = 12;

/// How far ahead is looked: to the end of a calendar period, or a rolling window's length.
pub fn ahead(status: &SloStatus) -> Duration {
    match status.period.end.since(status.at) {
        Duration::ZERO => status.period.length(),
        rest => rest,
    }
}

/// The chance that the budget is not overspent at any time [`ahead`], given the outages of the
/// epoch that began at `status.proof.since`: how often they came, and what each cost. An outage
/// that goes on is taken to end now, and no time to come as unknown. None without data.
pub fn survival(moment: &Moment<'_>, slo: &Slo, status: &SloStatus) -> Option<f64> {
    let budget = &status.budget;
    if budget.counted.total() == 0 {
        return None;
    }
    match (budget.is_spent(), budget.is_safe()) {
        (true, _) => return Some(0.0),
        (_, true) => return Some(1.0),
        _ => {}
    }
    let (pace, stretches) = match slo.window {
        Window::Rolling(length) => {
            let past = Past::read(moment, slo, length, budget);
            (past.pace, past.stretches())
        }
        Window::Calendar(_) => {
            let Present { allowed, used, pace, .. } = Present::read(moment, slo, budget);
            let room = (allowed - used).max(0.0).floor() as u64;
            (pace, vec![Stretch { length: ahead(status), room }])
        }
    };
    let mut costs: Vec<u64> = moment
        .histories()
        .iter()
        .flat_map(|series| series.clip(status.proof.since, moment.at()).outages())
        .collect();
    if costs.is_empty() {
        // None was seen, or none is remembered.
        let length = status.proof.assumed_outage.as_secs_f64();
        costs.push((length * pace).ceil() as u64);
    }
    survival::chance(&status.proof.record, &costs, &stretches)
}

/// The bad share of what counted.
fn share(counted: Counted) -> f64 {
    counted.bad as f64 / counted.total().max(1) as f64
}

/// One of several SLOs that spend one budget.
#[derive(Debug)]
pub struct Spender<'a> {
    /// Its histories.
    pub moment: &'a Moment<'a>,
    /// What it promises.
    pub slo: &'a Slo,
    /// Its own budget.
    pub budget: Budget,
    /// What its own share is multiplied by.
    pub weight: f64,
    /// What counted in each of the look-backs that are burning and still going on.
    pub rates: Vec<Counted>,
}

/// The same for several SLOs that spend one budget, each the share that it spends of its own, at
/// what each allows now. None of them has spent all of it, and at least one is burning.
pub fn joint(window: &Window, spenders: &[Spender<'_>]) -> (Exhaustion, Exhaustion) {
    let n_rates = spenders.iter().map(|one| one.rates.len()).max().unwrap_or_default();
    let times: Vec<Option<Duration>> = match window {
        Window::Rolling(length) => {
            let read = |one: &Spender<'_>| {
                let past = Past::read(one.moment, one.slo, *length, &one.budget);
                let each = one.weight / past.allowed.max(f64::MIN_POSITIVE);
                (past, each)
            };
            let pasts: Vec<(Past, f64)> = spenders.iter().map(read).collect();
            let incoming = |n: usize| pace(spenders, n, |k| pasts[k].0.pace * pasts[k].1);
            let all = Past::shared(&pasts, length.as_secs_f64());
            (0..n_rates).map(|n| all.project(incoming(n))).collect()
        }
        Window::Calendar(_) => {
            let read = |one: &Spender<'_>| {
                let present = Present::read(one.moment, one.slo, &one.budget);
                let each = one.weight / present.allowed.max(f64::MIN_POSITIVE);
                (present, each)
            };
            let presents: Vec<(Present, f64)> = spenders.iter().map(read).collect();
            let incoming = |n: usize| pace(spenders, n, |k| presents[k].0.pace * presents[k].1);
            let used: f64 = presents.iter().map(|(one, each)| one.used * each).sum();
            let ends_in = presents.iter().map(|(one, _)| one.ends_in).fold(0.0, f64::max);
            let all = Present { allowed: 1.0, used, pace: 0.0, ends_in };
            (0..n_rates).map(|n| all.project(incoming(n))).collect()
        }
    };
    band(&times)
}

/// What all of them spend each second at their rates over one look-back; `each` is what one bad
/// share of each costs a second.
fn pace(spenders: &[Spender<'_>], rate: usize, each: impl Fn(usize) -> f64) -> f64 {
    let one = |(n, one): (usize, &Spender<'_>)| {
        let bad = one.rates.get(rate).copied().map_or(0.0, share);
        if bad > 0.0 { bad * each(n) } else { 0.0 }
    };
    spenders.iter().enumerate().map(one).sum()
}

/// The failures inside the window, and how much they may still grow.
#[derive(Debug)]
struct Past {
    /// (how long from now, how many bad events leave the window then), soonest first.
    expiries: Vec<(f64, f64)>,
    /// (how long from now, how many more bad events are allowed each second until then than
    /// leave), soonest first: while an older objective leaves the window.
    slopes: Vec<(f64, f64)>,
    /// Bad events in the window now.
    used: f64,
    /// Bad events allowed in the window.
    allowed: f64,
    /// Events a second.
    pace: f64,
    /// Length of the window in seconds.
    window: f64,
}

impl Past {
    fn read(moment: &Moment<'_>, slo: &Slo, length: Duration, budget: &Budget) -> Self {
        let (histories, at) = (moment.histories(), moment.at());
        let from = at.minus(length);
        let with_unknown = slo.unknown == UnknownPolicy::Bad;
        let bad = |each: Tally| Counted::of(each, slo.unknown).bad as f64;
        let mut expiries: Vec<_> = histories
            .iter()
            .flat_map(|series| series.bad_runs(from, with_unknown))
            .flat_map(|run| expiries_of(&run, bad(run.each), from))
            .collect();
        expiries.sort_by(|a, b| a.0.total_cmp(&b.0));
        let first = histories.iter().filter_map(|series| series.first()).min().unwrap_or(at);
        let covered = at.since(first.max(from)).as_secs_f64().max(1.0);
        let window = length.as_secs_f64();
        let pace = budget.counted.total() as f64 / covered;
        // A window that is not yet full is judged as it will be once it is.
        let share = |objective: Objective| f64::from(objective.budget_ppb()) / f64::from(PPB);
        let mut allowed = pace * window * share(slo.objective);
        let mut slopes = Vec::new();
        let mut revisions = moment.revisions().iter().filter(|r| r.from < at).peekable();
        while let Some(revision) = revisions.next() {
            // An older objective allows what it did until its last slot leaves the window.
            let Some(next) = revisions.peek().filter(|next| next.from > from) else { continue };
            let length = next.from.since(revision.from.max(from).max(first)).as_secs_f64();
            let more = pace * (share(slo.objective) - share(revision.objective));
            allowed -= more * length;
            slopes.push((next.from.since(from).as_secs_f64(), more));
        }
        if !slopes.is_empty() {
            // Until history itself leaves the window, nothing does.
            slopes.insert(0, (first.since(from).as_secs_f64(), 0.0));
        }
        Past { expiries, slopes, used: budget.counted.bad as f64, allowed, pace, window }
    }

    /// How much more may be bad in all until the end of each part of a window's length.
    fn stretches(&self) -> Vec<Stretch> {
        let n = if self.expiries.is_empty() && self.slopes.is_empty() { 1 } else { STRETCHES };
        let length = self.window / f64::from(n);
        let stretch = |k: u32| {
            let (from, to) = (length * f64::from(k), length * f64::from(k + 1));
            let left = self.expiries.iter().take_while(|(after, _)| *after <= from);
            let used = self.used - left.map(|(_, events)| events).sum::<f64>();
            let turns = self.slopes.iter().map(|(until, _)| until.clamp(from, to));
            let allowed = turns.chain([from, to]).map(|at| self.allowed_after(at));
            let allowed = allowed.fold(f64::INFINITY, f64::min);
            Stretch {
                length: Duration::try_from_secs_f64(length).unwrap_or(Duration::MAX),
                // Sums of floats that are whole numbers may be a hair below them.
                room: (allowed - used + 1e-6).max(0.0).floor() as u64,
            }
        };
        (0..n).map(stretch).collect()
    }

    /// Bad events allowed in the window after so many seconds.
    fn allowed_after(&self, at: f64) -> f64 {
        let (mut allowed, mut since) = (self.allowed, 0.0);
        for (until, more) in &self.slopes {
            allowed += more * (until.min(at) - since).max(0.0);
            since = since.max(*until);
        }
        allowed
    }

    /// Several pasts in shares of one budget, each with what one of its bad events costs.
    fn shared(pasts: &[(Past, f64)], window: f64) -> Self {
        let costs = pasts.iter().filter(|(past, _)| past.used > 0.0);
        let of = |(past, each): &(Past, f64)| {
            let each = *each;
            past.expiries.iter().map(move |(after, n)| (*after, n * each)).collect::<Vec<_>>()
        };
        let mut expiries: Vec<(f64, f64)> = costs.clone().flat_map(of).collect();
        expiries.sort_by(|a, b| a.0.total_cmp(&b.0));
        let used = costs.map(|(past, each)| past.used * each).sum();
        Past { expiries, slopes: Vec::new(), used, allowed: 1.0, pace: 0.0, window }
    }

    /// The time after which more than what is allowed is used, so many new failures coming in a
    /// second; none if that never happens within a window's length, after which the past is gone
    /// and only the rate itself would remain.
    fn project(&self, incoming: f64) -> Option<Duration> {
        let (mut used, mut allowed, mut since) = (self.used, self.allowed, 0.0);
        let mut slopes = self.slopes.iter().peekable();
        let mut expiries = self.expiries.iter().peekable();
        loop {
            let slope = slopes.peek().map_or(0.0, |(_, more)| *more);
            let closing = incoming - slope;
            let reached = match closing > 0.0 {
                true => since + (allowed - used).max(0.0) / closing,
                false => f64::INFINITY,
            };
            let turn = slopes.peek().map_or(f64::INFINITY, |(until, _)| *until);
            let expiry = expiries.peek().map_or(f64::INFINITY, |(after, _)| *after);
            let next = turn.min(expiry);
            if reached <= next {
                // Failures that come in from now on leave after a window's length.
                let within = reached <= self.window || next < f64::INFINITY;
                return within.then(|| Duration::try_from_secs_f64(reached).ok()).flatten();
            }
            let leaves = if expiry <= turn { expiries.next().map_or(0.0, |e| e.1) } else { 0.0 };
            if turn < expiry {
                slopes.next();
            }
            used += incoming * (next - since) - leaves;
            allowed += slope * (next - since);
            since = next;
        }
    }
}

/// The present period of a calendar: nothing leaves it, and it ends.
#[derive(Debug)]
struct Present {
    /// Bad events allowed in the period.
    allowed: f64,
    /// Bad events so far.
    used: f64,
    /// Events a second.
    pace: f64,
    /// Seconds to the end of the period.
    ends_in: f64,
}

impl Present {
    fn read(moment: &Moment<'_>, slo: &Slo, budget: &Budget) -> Self {
        let (at, period) = (moment.at(), slo.window.period(moment.at()));
        let ends_in = period.end.since(at).as_secs_f64();
        let first = moment.histories().iter().filter_map(|series| series.first()).min();
        let covered = at.since(first.unwrap_or(at).max(period.start)).as_secs_f64().max(1.0);
        let so_far = budget.counted.total() as f64;
        let pace = match budget.rest {
            0 => so_far / covered,
            rest => rest as f64 / ends_in.max(1.0),
        };
        // Where the rest cannot be told, the period is judged as if it went on at this pace.
        let all = so_far + pace * ends_in;
        let allowed = all * f64::from(slo.objective.budget_ppb()) / f64::from(PPB);
        Present { allowed, used: budget.counted.bad as f64, pace, ends_in }
    }

    /// The time after which more than what is allowed is used, so many new failures coming in a
    /// second; none if the period ends before.
    fn project(&self, incoming: f64) -> Option<Duration> {
        let reached = (self.allowed - self.used).max(0.0) / incoming;
        (reached < self.ends_in).then(|| Duration::try_from_secs_f64(reached).ok()).flatten()
    }
}

/// When the events of a run leave the window that now begins at `from`. Long runs are cut into
/// at most a hundred pieces, each of which leaves at its end: an error toward sooner.
fn expiries_of(run: &EventRun, each: f64, from: Timestamp) -> Vec<(f64, f64)> {
    let n_pieces = run.n.clamp(1, 100);
    let start = run.start.since(from).as_secs_f64();
    let step = run.step.as_secs_f64();
    (0..n_pieces)
        .map(|piece| {
            let share = |k: u32| u64::from(run.n) * u64::from(k) / u64::from(n_pieces);
            let (begin, end) = (share(piece), share(piece + 1));
            let last = end.saturating_sub(1) as f64;
            (start + step * last, each * (end - begin) as f64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::evaluate::Histories;
    use super::super::series::Series;
    use super::*;
    use crate::model::{AlertPolicy, Outcome, Pair, Severity, Share, ShortThreshold};

    const DAY: i64 = 86_400;

    fn slo() -> Slo {
        Slo {
            policy: Some(Arc::new(AlertPolicy {
                name: "test".parse().expect("valid"),
                pairs: vec![Pair {
                    severity: Severity::Page,
                    long: Duration::from_secs(3_600),
                    short: Duration::from_secs(300),
                    limit: crate::model::Limit::Budget(Share::from_ppb(20_000_000).expect("2 %")),
                    hold: Duration::ZERO,
                }],
                short_threshold: ShortThreshold::Same,
                min_bad: 1,
            })),
            ..Slo::new(
                "svc/availability".parse().expect("valid"),
                "99.9%".parse().expect("valid"),
                Duration::from_secs(30 * 86_400),
            )
        }
    }

    /// 30 days of per-second events with full outages (start, length), the last second of which
    /// has so many bad ones of 10,000. The window's budget is judged per event, so every second
    /// counts 10,000 events throughout.
    fn project(outages: &[(i64, u32)], bad: u64) -> Exhaustion {
        let mut series = Series::default();
        let second = Duration::from_secs(1);
        let tally = |outcome| Tally::of(outcome, 10_000);
        let mut now = 0;
        for &(start, length) in outages {
            let from = Timestamp::from_secs(now);
            series.push(from, second, (start - now) as u32, tally(Outcome::Good));
            series.push(Timestamp::from_secs(start), second, length, tally(Outcome::Bad));
            now = start + i64::from(length);
        }
        let from = Timestamp::from_secs(now);
        series.push(from, second, (30 * DAY - 1 - now) as u32, tally(Outcome::Good));
        let burning = Tally { good: 10_000 - bad, bad, ..Tally::ZERO };
        series.push(Timestamp::from_secs(30 * DAY - 1), second, 1, burning);
        let slo = Slo {
            policy: slo().policy.map(|policy| {
                let mut policy = (*policy).clone();
                policy.pairs[0].long = second;
                policy.pairs[0].short = second;
                Arc::new(policy)
            }),
            ..slo()
        };
        let (series, at) = ([series], Timestamp::from_secs(30 * DAY));
        let histories = Histories { series: &series, of: &[0] };
        let window = slo.window.longest();
        let counted = Counted::of(histories.window(window, at), slo.unknown);
        let budget = Budget::new(counted, slo.objective, window);
        exhaustion(&Moment::new(histories, at), &slo, &budget).0
    }

    fn days(exhaustion: Exhaustion) -> f64 {
        match exhaustion {
            Exhaustion::In(time) => time.as_secs_f64() / DAY as f64,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn old_failures_expire_before_the_budget_is_gone() {
        // 600 s of outage 29 days ago, 1,200 s five days ago, now 0.2 %: dividing what is left
        // by the rate says 4.583 days, the projection 8.056.
        let projected = days(project(&[(DAY, 600), (25 * DAY, 1_200)], 20));
        assert!((projected - 8.056).abs() < 0.002, "{projected}");
    }

    #[test]
    fn a_slow_burn_from_clean_takes_its_time() {
        // 2x from clean: half the window; 1.5x: two thirds of it.
        for (bad, expect) in [(20, 15.0), (15, 20.0)] {
            let projected = days(project(&[], bad));
            assert!((projected - expect).abs() < 0.001, "{projected}");
        }
    }

    #[test]
    fn a_rate_within_the_budget_never_exhausts_it() {
        // Half the budget used 20 days ago, now at the budget, and at eight tenths of it, for
        // which dividing what is left by the rate says 18.75 days.
        assert_eq!(project(&[(10 * DAY, 1_296)], 10), Exhaustion::Never);
        assert_eq!(project(&[(10 * DAY, 1_296)], 8), Exhaustion::Never);
    }

    #[test]
    fn look_backs_that_differ_give_a_band() {
        // The last minute burns fast, the last five less so.
        let (mut series, second) = (Series::default(), Duration::from_secs(1));
        let each = |bad| Tally { good: 1_000 - bad, bad, ..Tally::ZERO };
        let parts = [(0, 30 * DAY - 300, 0), (30 * DAY - 300, 30 * DAY - 60, 2)];
        for (start, end, bad) in parts.into_iter().chain([(30 * DAY - 60, 30 * DAY, 50)]) {
            series.push(Timestamp::from_secs(start), second, (end - start) as u32, each(bad));
        }
        let mut policy = slo().policy.map(|policy| (*policy).clone()).expect("a policy");
        let pair = |long, short| Pair {
            long: Duration::from_secs(long),
            short: Duration::from_secs(short),
            ..policy.pairs[0]
        };
        policy.pairs = vec![pair(300, 60), pair(600, 300)];
        let slo = Slo { policy: Some(Arc::new(policy)), ..slo() };
        let (series, at) = ([series], Timestamp::from_secs(30 * DAY));
        let histories = Histories { series: &series, of: &[0] };
        let counted = Counted::of(histories.window(slo.window.longest(), at), slo.unknown);
        let budget = Budget::new(counted, slo.objective, slo.window.longest());
        let (soonest, latest) = exhaustion(&Moment::new(histories, at), &slo, &budget);
        // 50x: 14.4 h of clean budget; 11.6x, the mean of five minutes: about 2.6 d.
        assert!((days(soonest) - 0.6).abs() < 0.01, "{soonest:?}");
        assert!((days(latest) - 2.58).abs() < 0.01, "{latest:?}");
    }

    /// The chance that the budget of an SLO over 30 days holds after 30 days with these outages,
    /// (start, length) in seconds; one event a second.
    fn holds(slo: &Slo, outages: &[(i64, u32)], end: i64) -> f64 {
        let (mut series, second, mut now) = (Series::default(), Duration::from_secs(1), 0);
        let each = |outcome| Tally::of(outcome, 1);
        for &(start, length) in outages {
            let from = Timestamp::from_secs(now);
            series.push(from, second, (start - now) as u32, each(Outcome::Good));
            series.push(Timestamp::from_secs(start), second, length, each(Outcome::Bad));
            now = start + i64::from(length);
        }
        series.push(Timestamp::from_secs(now), second, (end - now) as u32, each(Outcome::Good));
        let (series, at) = ([series], Timestamp::from_secs(end));
        let moment = Moment::new(Histories { series: &series, of: &[0] }, at);
        let status = super::super::evaluate::evaluate(&moment, slo, vec![false]);
        survival(&moment, slo, &status).expect("there is data")
    }

    #[test]
    fn a_budget_holds_as_often_as_outages_like_those_seen_leave_it_whole() {
        let check = |slo: &Slo, outages: &[(i64, u32)], end, expect: f64| {
            let got = holds(slo, outages, end);
            assert!((got - expect).abs() < 2e-5, "{got}, not {expect}");
        };
        let (rolling, month) = (slo(), 30 * DAY);
        // One outage of 2,000 s, 29 days ago: the second would overspend the 2,592 s until that
        // has left, which is told to the twelfth of the window; then a third would.
        let (none, one) = (0.5_f64.powf(1.5), 0.75 * 0.5_f64.powf(1.5));
        check(&rolling, &[(DAY, 2_000)], month, none + one * 27.5 / 30.0);
        // Nothing was seen: half an outage in 30 days, taken to last 300 s; nine are too many.
        let terms = (0..=8).scan(0.5_f64.sqrt(), |term, n| {
            let chance = *term;
            *term *= (0.5 + f64::from(n)) / f64::from(n + 1) / 2.0;
            Some(chance)
        });
        check(&rolling, &[], month, terms.sum());
        // Of a calendar period nothing expires: 31 days of January have 2,678.4 s, of which 2,000
        // are gone, so another outage within the day that is left is one too many.
        let calendar = Slo { window: "calendar month (UTC)".parse().expect("a window"), ..slo() };
        check(&calendar, &[(DAY, 2_000)], month, (30.0_f64 / 31.0).powf(1.5));
        assert_eq!(holds(&rolling, &[(DAY, 2_000), (5 * DAY, 600)], month), 0.0, "spent");
        assert_eq!(holds(&calendar, &[], 31 * DAY - 60), 1.0, "safe");
    }

    #[test]
    fn a_spent_budget_is_gone_now_and_no_data_gives_no_forecast() {
        assert_eq!(project(&[(DAY, 3_000)], 20), Exhaustion::In(Duration::ZERO));
        let slo = slo();
        let budget = Budget::new(Counted::default(), slo.objective, slo.window.longest());
        let histories = Histories { series: &[], of: &[] };
        let moment = Moment::new(histories, Timestamp::from_secs(0));
        let read = exhaustion(&moment, &slo, &budget);
        assert_eq!(read, (Exhaustion::Unknown, Exhaustion::Unknown));
    }
}
