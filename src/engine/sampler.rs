//! What the answers of a Prometheus mean: from samples on a fixed grid to counted slots.
//!
//! A sample at a point of the grid closes the slot before it. Counters are told apart by their
//! labels and each is added up by itself, so that one that begins anew hides nothing. What it
//! keeps true: every increase that an answer shows is counted exactly once, in a slot that was
//! measured; a slot without a trustworthy sample at its end is unknown, and what was counted
//! meanwhile is in the next one that is known. Pure: asks nobody and reads no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schedule::fnv_1a;
use crate::model::source::{Compare, Measure, Prometheus};
use crate::model::time::micros;
use crate::model::{Counts, Timestamp, UnknownReason, Verdict};

/// Longest time without an answer after which what was counted meanwhile still counts: the
/// shortest long look-back of the built-in policy. Beyond it nobody can say when it happened.
pub const MAX_GAP: Duration = Duration::from_secs(3_600);
/// How long a series that has gone is remembered, so that it goes on where it was.
const MAX_ABSENCE: Duration = Duration::from_secs(86_400);
/// Most series of one answer.
pub const MAX_SERIES: usize = 1_000;
/// Most series that are remembered, those that have gone included.
const MAX_REMEMBERED: usize = 4 * MAX_SERIES;
/// Beyond this a floating point number cannot tell a count from its neighbour.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Why an answer does not count. A closed set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Failure { $($(#[$doc])* $name,)* }

        impl Failure {
            /// Every failure, in the order in which metrics list them.
            pub const ALL: &'static [Failure] = &[$(Failure::$name,)*];

            /// The word used in metrics and answers.
            pub const fn word(self) -> &'static str {
                match self { $(Failure::$name => $word,)* }
            }
        }
    };
}

failures! {
    /// No server of that name, or it cannot be asked with what the operator gave us.
    Config = "config",
    /// The egress policy denies it.
    Egress = "egress",
    /// No connection.
    Connect = "connect",
    /// No complete answer within the timeout.
    Timeout = "timeout",
    /// An answer that is no success, by its status.
    Status = "status",
    /// The server says that the question is wrong, or cannot be answered.
    Query = "query",
    /// The server warns that its answer is not complete.
    Warning = "warning",
    /// Something that is no answer of a Prometheus, or larger than it may be.
    Answer = "answer",
    /// No series.
    Absent = "absent",
    /// A value that cannot be counted: not a number, negative, infinite, no whole number.
    Value = "value",
    /// Nothing new has been scraped since the slot began, or a series has gone.
    Stale = "stale",
    /// The server has started since the slot began, or shortly before.
    Restarted = "restarted",
    /// More good or bad events than events.
    Inconsistent = "inconsistent",
    /// There is nothing to compare the first answer with.
    First = "first",
    /// Asked too late to matter.
    Late = "late",
}

/// Which part of a question a sample answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Good events.
    Good,
    /// Bad events.
    Bad,
    /// All events, or the value that is compared.
    Total,
    /// When those of `Total` were scraped, in seconds since the epoch.
    Scraped,
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Which part of the question it answers.
    pub part: Part,
    /// Its labels, as one text that is the same for the same labels.
    pub labels: String,
    /// Its value.
    pub value: f64,
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The series.
    pub samples: Vec<Sample>,
    /// When the server was started, if it says.
    pub started: Option<Timestamp>,
}

/// What a sample says about the slot that it closes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// The verdict on the slot.
    pub verdict: Verdict,
    /// Why it is unknown, if it is.
    pub failure: Option<Failure>,
    /// What must be kept with the slot to go on after a restart, JSON; none if nothing changed.
    pub state: Option<String>,
}

/// Follows the counters of one SLO.
#[derive(Clone, Debug)]
pub struct Sampler {
    asked: Prometheus,
    step: Duration,
    kept: Kept,
}

/// What survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Tells what was asked from what would be asked now.
    of: u64,
    /// When the last answer spoke of, in microseconds; none before the first.
    at: Option<i64>,
    /// Up to where slots have been counted.
    until: Option<i64>,
    /// What rose since the last slot that was counted: good and bad, or one of them and all.
    pending: [u64; 2],
    /// Each counter, by a hash of its part and labels.
    series: BTreeMap<String, Counter>,
}

/// A counter as it stood: its value, and when it was last there, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counter(u64, i64);

impl Sampler {
    /// Follows what is asked every `step`; `kept` is what the last process kept, if anything,
    /// and `counted_until` where the last slot in the ledger ends that was counted.
    pub fn new(
        asked: Prometheus,
        step: Duration,
        kept: Option<&str>,
        counted_until: Option<Timestamp>,
    ) -> Self {
        let of = fnv_1a(format!("{:?} {} {step:?}", asked.measure, asked.server).bytes());
        let kept: Option<Kept> = kept.and_then(|json| serde_json::from_str(json).ok());
        // A ledger that holds a later slot has lost what belongs to it: going on from before it
        // would count twice.
        let fits =
            |kept: &Kept| kept.of == of && kept.until >= counted_until.map(Timestamp::micros);
        let kept = kept.filter(fits).unwrap_or(Kept { of, ..Kept::default() });
        Sampler { asked, step, kept }
    }

    /// Takes the answer for the first point of the grid, which closes no slot: what rose until
    /// then is counted in the next one.
    pub fn begin(&mut self, at: Timestamp, answer: Result<Answer, Failure>) -> Option<Failure> {
        let taken = answer.and_then(|answer| match self.follows() {
            true => self.follow(at, &answer),
            false => Ok(()),
        });
        taken.err()
    }

    /// What the answer for the grid point `at` says about the slot that ends there.
    pub fn sample(&mut self, at: Timestamp, answer: Result<Answer, Failure>) -> Sampled {
        let judged = answer.and_then(|answer| self.judge(at, &answer));
        let verdict = match judged {
            Ok(counts) => {
                self.kept.until = Some(at.micros());
                Verdict::Counted(counts)
            }
            Err(_) => Verdict::Unknown(UnknownReason::Source),
        };
        let changed = self.follows() && self.kept.at == Some(at.micros());
        let state = changed.then(|| self.kept());
        Sampled { verdict, failure: judged.err(), state }
    }

    /// What must be kept to go on, JSON.
    pub fn kept(&self) -> String {
        serde_json::to_string(&self.kept).expect("numbers and text always become JSON")
    }

    /// Whether there are counters to follow.
    fn follows(&self) -> bool {
        self.asked.counter && !matches!(self.asked.measure, Measure::Threshold { .. })
    }

    fn judge(&mut self, at: Timestamp, answer: &Answer) -> Result<Counts, Failure> {
        if let Measure::Threshold { op, nano, .. } = self.asked.measure {
            let good = compare(answer, op, nano)?;
            self.fresh(at, answer)?;
            return Ok(Counts { good: good.into(), bad: (!good).into(), unknown: 0 });
        }
        if self.follows() {
            self.follow(at, answer)?;
            return self.flush();
        }
        let mut sums = [0_u64; 2];
        for (sample, value) in self.values(answer)? {
            let sum = &mut sums[self.place(sample.part)];
            *sum = sum.saturating_add(value);
        }
        self.fresh(at, answer)?;
        let [good, bad] = self.parted(sums)?;
        let clip = |n: u64| u32::try_from(n).map_err(|_| Failure::Value);
        Ok(Counts { good: clip(good)?, bad: clip(bad)?, unknown: 0 })
    }

    /// Adds up what rose since the answer before. An error says that the slot which ends here is
    /// unknown; what rose then waits for the next one.
    fn follow(&mut self, at: Timestamp, answer: &Answer) -> Result<(), Failure> {
        let values = self.values(answer)?;
        let before = self.kept.at.filter(|before| at.micros() - before <= micros(MAX_GAP));
        if before.is_none() {
            self.kept.pending = [0; 2];
            self.kept.series.clear();
        }
        let mut rose = [0_u64; 2];
        for (sample, value) in values {
            let key = format!("{:?}{{{}}}", sample.part, sample.labels);
            let key = format!("{:016x}", fnv_1a(key.bytes()));
            let now = Counter(value, at.micros());
            let increase = match (self.kept.series.insert(key, now), before) {
                // One that was never there begins at zero, unless nothing was.
                (None, Some(_)) => value,
                (None, None) => 0,
                (Some(Counter(_, seen)), _) if at.micros() - seen > micros(MAX_GAP) => 0,
                (Some(Counter(known, _)), _) => value.checked_sub(known).unwrap_or(value),
            };
            let sum = &mut rose[self.place(sample.part)];
            *sum = sum.saturating_add(increase);
        }
        // What was in the answer before and is not in this one still has its time.
        let gone = self.kept.series.values().any(|counter| Some(counter.1) == before);
        for (pending, rose) in self.kept.pending.iter_mut().zip(rose) {
            *pending = pending.saturating_add(rose);
        }
        self.kept.at = Some(at.micros());
        self.forget(at);
        match before {
            None => Err(Failure::First),
            Some(_) if gone => Err(Failure::Stale),
            Some(_) => self.fresh(at, answer),
        }
    }

    /// What waits, as the counts of a slot.
    fn flush(&mut self) -> Result<Counts, Failure> {
        let [good, bad] = self.parted(self.kept.pending)?;
        let clip = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let counts = Counts { good: clip(good), bad: clip(bad), unknown: 0 };
        // What does not fit into one slot is left for the next.
        let (good, bad) = (good - u64::from(counts.good), bad - u64::from(counts.bad));
        self.kept.pending = match self.asked.measure {
            Measure::Good { .. } => [good, good + bad],
            Measure::Bad { .. } => [bad, good + bad],
            _ => [good, bad],
        };
        Ok(counts)
    }

    /// Every series with its value as a count, without those that only say when.
    fn values<'a>(&self, answer: &'a Answer) -> Result<Vec<(&'a Sample, u64)>, Failure> {
        if answer.samples.len() > 2 * MAX_SERIES {
            return Err(Failure::Answer);
        }
        let counted = || answer.samples.iter().filter(|sample| sample.part != Part::Scraped);
        let all = match self.asked.measure {
            Measure::Both { .. } => counted().next().is_some(),
            _ => counted().any(|sample| sample.part == Part::Total),
        };
        if !all {
            return Err(Failure::Absent);
        }
        counted().map(|sample| Ok((sample, whole(sample.value).ok_or(Failure::Value)?))).collect()
    }

    /// Where a part is added up.
    fn place(&self, part: Part) -> usize {
        match (&self.asked.measure, part) {
            (Measure::Both { .. }, Part::Bad) | (_, Part::Total) => 1,
            _ => 0,
        }
    }

    /// Good and bad.
    fn parted(&self, [one, other]: [u64; 2]) -> Result<[u64; 2], Failure> {
        let rest = || other.checked_sub(one).ok_or(Failure::Inconsistent);
        Ok(match self.asked.measure {
            Measure::Good { .. } => [one, rest()?],
            Measure::Bad { .. } => [rest()?, one],
            _ => [one, other],
        })
    }

    /// Whether each series was scraped since the slot began that ends at `at`, by a server that
    /// ran all the while. One that has just started answers with what it knew before it stopped
    /// until it scrapes again, which takes an interval at most.
    fn fresh(&self, at: Timestamp, answer: &Answer) -> Result<(), Failure> {
        let begin = at.minus(self.step);
        if answer.started.is_some_and(|started| started.plus(self.step) > begin) {
            return Err(Failure::Restarted);
        }
        let begin = begin.micros() as f64 / 1e6;
        let mut scraped = answer.samples.iter().filter(|sample| sample.part == Part::Scraped);
        // What is not a number is not after the beginning either.
        match scraped.all(|sample| sample.value > begin) {
            true => Ok(()),
            false => Err(Failure::Stale),
        }
    }

    /// Lets go of what has been gone for too long, and of the longest gone of too many.
    fn forget(&mut self, at: Timestamp) {
        let kept = &mut self.kept.series;
        kept.retain(|_, counter| at.micros() - counter.1 <= micros(MAX_ABSENCE));
        while kept.len() > MAX_REMEMBERED {
            let oldest = kept.iter().min_by_key(|(_, counter)| counter.1);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            kept.remove(&oldest);
        }
    }
}

/// A value as a count.
fn whole(value: f64) -> Option<u64> {
    let fits = (0.0..=MAX_COUNT).contains(&value) && value.fract() == 0.0;
    fits.then_some(value as u64)
}

/// Whether every value compares as asked.
fn compare(answer: &Answer, op: Compare, nano: u64) -> Result<bool, Failure> {
    let threshold = nano as f64 / 1e9;
    let values = || answer.samples.iter().filter(|sample| sample.part == Part::Total);
    if values().next().is_none() {
        return Err(Failure::Absent);
    }
    if values().any(|sample| sample.value.is_nan()) {
        return Err(Failure::Value);
    }
    let good = |sample: &Sample| match op {
        Compare::Below => sample.value < threshold,
        Compare::AtMost => sample.value <= threshold,
        Compare::Above => sample.value > threshold,
        Compare::AtLeast => sample.value >= threshold,
    };
    Ok(values().all(good))
}

#[cfg(test)]
mod tests;
