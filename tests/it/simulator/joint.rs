//! What the oracle knows of composites: parts counted anew from single slots, and added up as
//! decision 17 has it. Slices are walked one by one, fractions are multiplied out.

use nines::engine::{Accounting, SloStatus};
use nines::model::budget::{Counted, Spending};
use nines::model::catalog::{Method, UnknownPolicy};
use nines::model::objective::PPB;
use nines::model::{Outcome, Share, Slo, Tally};

use super::exact::Sum;
use super::oracle::Oracle;

/// In how many parts of an event a composite is told.
const FINE: u64 = 1_000_000;

/// A stretch of time, as one part of a composite has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    pub tally: Tally,
    pub spending: Spending,
    weight: u64,
}

impl Look {
    fn share(&self) -> (u128, u128) {
        let bad = u128::from(self.weight) * u128::from(self.spending.counted.bad);
        (bad, self.spending.allowed_ppb)
    }

    /// Whether nothing of it counted.
    pub fn is_blind(&self) -> bool {
        self.spending.counted.total() == 0
    }

    /// Whether at least half of what was due counted.
    pub fn is_seen(&self) -> bool {
        2 * self.spending.counted.total() >= self.tally.expected()
    }
}

/// What parts spend together: of one budget, in shares of it.
pub fn spent(looks: &[Look]) -> Sum {
    Sum::of(looks.iter().map(Look::share))
}

/// The parts of a composite, each as it is declared.
pub fn parts(oracle: &Oracle<'_>, slo: &Slo) -> Vec<(Slo, u64)> {
    let declared = |part: &nines::model::Part| {
        let found = oracle.catalog.slos().find(|(_, one)| one.id == part.slo);
        let (_, found) = found.expect("every part is declared");
        (found.clone(), part.weight.nano())
    };
    slo.parts.iter().map(declared).collect()
}

/// What is due in `[from, to)`, part by part, and what all of it is together.
pub fn looks(oracle: &mut Oracle<'_>, slo: &Slo, (from, to): (i64, i64)) -> (Vec<Look>, Tally) {
    let parts = parts(oracle, slo);
    if let Method::Timeslices { slice, objective } = slo.method {
        let slice = (slice.as_micros() as i64, objective);
        return sliced(oracle, &parts, slice, (from, to));
    }
    let look = |(part, weight): &(Slo, u64)| {
        let (tally, spending) = (oracle.count(part, from, to), oracle.spending(part, from, to));
        Look { tally, spending, weight: *weight }
    };
    let looks: Vec<Look> = parts.iter().map(look).collect();
    let tally = looks.iter().map(|look| look.tally).sum();
    (looks, tally)
}

/// The slices that end in `[from, to]`, but for one that ends at `from`: each at its last moment,
/// and if it is bad, for the strictest part for which it is.
fn sliced(
    oracle: &mut Oracle<'_>,
    parts: &[(Slo, u64)],
    (length, objective): (i64, Share),
    (from, to): (i64, i64),
) -> (Vec<Look>, Tally) {
    let weighed = |(_, weight): &(Slo, u64)| Look { weight: *weight, ..Look::default() };
    let mut looks: Vec<Look> = parts.iter().map(weighed).collect();
    let mut whole = Tally::ZERO;
    let first = parts.iter().filter_map(|(part, _)| oracle.first(part)).min();
    let Some(first) = first else { return (looks, whole) };
    let mut start = first.max(from).div_euclid(length) * length;
    while start + length <= to {
        let last = start + length - 1;
        let mut judge = |(part, _): &(Slo, u64)| {
            let tally = oracle.count(part, start, start + length);
            judged(objective, tally, part.unknown).map(|outcome| match outcome {
                Outcome::Unknown => of_unknown(part.unknown),
                outcome => outcome,
            })
        };
        let outcomes: Vec<Option<Outcome>> = parts.iter().map(&mut judge).collect();
        whole += together(&outcomes).map_or(Tally::ZERO, |outcome| Tally::of(outcome, 1));
        let promises: Vec<_> =
            parts.iter().map(|(part, _)| oracle.promised_at(part, last)).collect();
        let mut takes = None;
        for (n, outcome) in outcomes.iter().enumerate() {
            let stricter = |best: usize| promises[n].0 > promises[best].0;
            if *outcome == Some(Outcome::Bad) && takes.is_none_or(stricter) {
                takes = Some(n);
            }
        }
        for (n, outcome) in outcomes.into_iter().enumerate() {
            let Some(outcome) = outcome else { continue };
            let others = outcome == Outcome::Bad && takes != Some(n);
            let tally = Tally::of(if others { Outcome::Good } else { outcome }, 1);
            let counted = Counted::of(tally, promises[n].1);
            let allowed_ppb = u128::from(promises[n].0.budget_ppb()) * u128::from(counted.total());
            looks[n].tally += tally;
            looks[n].spending = looks[n].spending + Spending { counted, allowed_ppb };
        }
        start += length;
    }
    (looks, whole)
}

/// What a slice is for one part, by its slots; none if there are none.
fn judged(objective: Share, slots: Tally, unknown: UnknownPolicy) -> Option<Outcome> {
    let all = slots.expected();
    if all == 0 {
        return None;
    }
    let Counted { good, bad } = Counted::of(slots, unknown);
    // The share of good ones, if those that do not count had been as good or as bad as can be.
    let enough = |good: u64, of: u64| {
        u128::from(good) * u128::from(PPB) >= u128::from(objective.ppb()) * u128::from(of)
    };
    let (at_worst, at_best) = (enough(good, all), enough(all - bad, all));
    Some(match 2 * (good + bad) >= all {
        _ if good + bad == 0 => Outcome::Unknown,
        true if enough(good, good + bad) => Outcome::Good,
        true => Outcome::Bad,
        false if at_worst => Outcome::Good,
        false if !at_best => Outcome::Bad,
        false => Outcome::Unknown,
    })
}

/// What a slice that is not known is for all parts together.
fn of_unknown(unknown: UnknownPolicy) -> Outcome {
    match unknown {
        UnknownPolicy::Exclude => Outcome::Unknown,
        UnknownPolicy::Bad => Outcome::Bad,
        UnknownPolicy::Good => Outcome::Good,
    }
}

/// Compares what the engine says of an SLO that counts slices with what it must say.
pub fn compare_slices(
    oracle: &mut Oracle<'_>,
    slo: &Slo,
    status: &SloStatus,
    (length, objective): (i64, Share),
) -> Result<u64, String> {
    let (at, window) = (status.at.micros(), slo.window.longest().as_micros() as i64);
    let Some(first) = oracle.first(slo) else { return Ok(0) };
    let mut start = first.max(at - window).div_euclid(length) * length;
    let (mut tally, mut spending) = (Tally::ZERO, Spending::default());
    while start + length <= at {
        let slots = oracle.count(slo, start, start + length);
        if let Some(outcome) = judged(objective, slots, slo.unknown) {
            let (objective, unknown) = oracle.promised_at(slo, start + length - 1);
            let counted = Counted::of(Tally::of(outcome, 1), unknown);
            tally += Tally::of(outcome, 1);
            spending = spending + Spending::of(counted, objective);
        }
        start += length;
    }
    let same = (status.tally, status.budget.spending()) == (tally, spending);
    match same || oracle.may_be_coarse(window) {
        true => Ok(1),
        false => Err(format!("{}: slices {status:?}, but {tally:?} {spending:?}", slo.id)),
    }
}

fn together(outcomes: &[Option<Outcome>]) -> Option<Outcome> {
    if outcomes.iter().all(Option::is_none) {
        return None;
    }
    let any = |outcome| outcomes.contains(&Some(outcome));
    Some(match any(Outcome::Bad) {
        true => Outcome::Bad,
        false if any(Outcome::Unknown) || outcomes.contains(&None) => Outcome::Unknown,
        false => Outcome::Good,
    })
}

/// Compares what the engine says of a composite with what it must say; says how many windows.
pub fn compare(oracle: &mut Oracle<'_>, slo: &Slo, status: &SloStatus) -> Result<u64, String> {
    let (at, length) = (status.at.micros(), slo.window.longest().as_micros() as i64);
    let wrong = |what: &str, said: String, exact: String| {
        Err(format!("{} at {}: {what} {said}, but {exact}", slo.id, status.at))
    };
    let (whole, tally) = looks(oracle, slo, (at - length, at));
    if status.tally != tally.times(FINE) && !oracle.may_be_coarse(length) {
        return wrong("counts", format!("{:?}", status.tally), format!("{tally:?}"));
    }
    let shares = spent(&whole);
    let known = whole.iter().all(|look| !look.is_blind());
    let is_spent = shares.above((1, 1));
    let accounting = match (is_spent, known) {
        (true, _) => Accounting::Spent,
        (false, false) => Accounting::NoData,
        (false, true) => Accounting::WithinBudget,
    };
    let most = |looks: &[Look]| {
        looks.iter().map(|look| look.spending.counted.total()).max().unwrap_or_default()
    };
    let events = if known || is_spent { most(&whole) } else { 0 };
    let coarse = oracle.may_be_coarse(length);
    if !coarse
        && (status.accounting != accounting
            || !told(slo, status.budget.spending(), &shares, events))
    {
        let said = format!("{:?} {:?}", status.accounting, status.budget);
        return wrong("a budget of", said, format!("{accounting:?} {whole:?}"));
    }
    for burn in &status.burns {
        let length = burn.window.as_micros() as i64;
        let (looks, _) = looks(oracle, slo, (at - length, at));
        let said = Spending { counted: burn.counted, allowed_ppb: burn.allowed_ppb };
        let exact = told(slo, said, &spent(&looks), most(&looks));
        if !exact && !oracle.may_be_coarse(length) {
            return wrong("a burn of", format!("{burn:?}"), format!("{looks:?}"));
        }
    }
    if slo.method == Method::Occurrences {
        let parts = parts(oracle, slo);
        let totals: Tally = parts.iter().map(|(part, _)| oracle.count(part, i64::MIN, at)).sum();
        if status.totals != totals.times(FINE) {
            return wrong("in all", format!("{:?}", status.totals), format!("{totals:?}"));
        }
    }
    Ok(1 + status.burns.len() as u64)
}

/// Whether a budget is this share of that of so many events, cut up to a part of one; where it is
/// not more than all, not beyond the last whole part.
fn told(slo: &Slo, said: Spending, shares: &Sum, events: u64) -> bool {
    let Spending { counted: Counted { good, bad }, allowed_ppb } = said;
    let events = events * FINE;
    let budget = u128::from(slo.objective.budget_ppb()) * u128::from(events);
    let cut = shares.is(bad.into(), (budget, PPB.into()));
    let last = u128::from(bad) == budget / u128::from(PPB)
        && !shares.above((1, 1))
        && shares.is(u128::from(bad) + 1, (budget, PPB.into()));
    (cut || last) && good == events.saturating_sub(bad) && allowed_ppb == budget
}
