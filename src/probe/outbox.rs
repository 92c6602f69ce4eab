//! What has been found out and not yet been taken by the engine.
//!
//! Never blocks a probe. What it keeps true: every slot that goes in comes out once, and memory
//! is bounded. While the sink is full up to [`QUEUE_MAX`] reports wait; beyond that a slot keeps
//! its place in the count but loses what was found out: runs of unknown slots, one for each
//! series as long as it lasts. Unknown for good and bad alike, as dropping only the good ones
//! would darken the picture, and dropping only the bad ones would brighten it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::meters::Meters;
use crate::engine::fault::Cause;
use crate::engine::isolation::{Doubt, Report};
use crate::model::{Observation, Outcome, Run, SeriesId, UnknownReason, Verdict};

/// Reports that wait for the sink, per probing thread: about 12 MB, or 6 s at 10,000 probes/s.
const QUEUE_MAX: usize = 65_536;
/// Reports that are handed over at once, at most.
const BATCH_MAX: usize = 1_024;

/// Reports on their way to the engine.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Report>,
    /// What did not fit, by series; adjacent runs are one.
    shed: BTreeMap<SeriesId, Vec<Run>>,
}

impl Outbox {
    /// Takes what was found out in a slot; `step` is from this slot to the next.
    pub(super) fn observed(
        &mut self,
        observation: Observation,
        doubt: Option<Doubt>,
        step: Duration,
        meters: &Meters,
    ) {
        if self.has_room() {
            self.queue.push_back(match doubt {
                None => Report::Observed(observation),
                Some(doubt) => Report::Doubted(observation, doubt),
            });
            return;
        }
        meters.shed.fetch_add(1, Relaxed);
        // A slot that was unknown without a doubt has its cause already.
        if doubt.is_some() || observation.verdict.outcome() != Outcome::Unknown {
            meters.fault(Cause::Overload, 1);
        }
        let verdict = Verdict::Unknown(UnknownReason::LocalFault);
        let run = Run { start: observation.due, step, n: 1, verdict, class: 0 };
        self.shed(observation.series, run);
    }

    /// Takes a run of slots that were not started.
    pub(super) fn missed(&mut self, series: SeriesId, run: Run) {
        match self.has_room() {
            true => self.queue.push_back(Report::Missed(series, run)),
            false => self.shed(series, run),
        }
    }

    /// Hands over as much as the sink takes without waiting.
    pub(super) fn flush(&mut self, sink: &Sender<Vec<Report>>, meters: &Meters) {
        while !self.is_empty() {
            match sink.try_reserve() {
                Ok(permit) => permit.send(self.batch()),
                Err(TrySendError::Full(())) => break,
                Err(TrySendError::Closed(())) => {
                    meters.undelivered.fetch_add(self.discard(), Relaxed);
                }
            }
        }
        meters.queued.store(self.len() as u64, Relaxed);
    }

    /// Whether everything has been handed over.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.shed.is_empty()
    }

    /// Forgets everything; returns how many slots that were.
    pub(super) fn discard(&mut self) -> u64 {
        let shed = std::mem::take(&mut self.shed);
        let n_shed: u64 = shed.values().flatten().map(|run| u64::from(run.n)).sum();
        n_shed + self.queue.drain(..).map(|report| report.n_slots()).sum::<u64>()
    }

    fn len(&self) -> usize {
        self.queue.len() + self.shed.len()
    }

    fn has_room(&self) -> bool {
        self.queue.len() < QUEUE_MAX
    }

    /// The next batch. What was shed goes first: so long as nothing is taken its runs only get
    /// longer, and once something is taken it is empty again.
    fn batch(&mut self) -> Vec<Report> {
        if self.shed.is_empty() {
            let n = self.queue.len().min(BATCH_MAX);
            return self.queue.drain(..n).collect();
        }
        let shed = std::mem::take(&mut self.shed).into_iter();
        shed.flat_map(|(series, runs)| runs.into_iter().map(move |run| (series, run)))
            .map(|(series, run)| Report::Missed(series, run))
            .collect()
    }

    fn shed(&mut self, series: SeriesId, run: Run) {
        let runs = self.shed.entry(series).or_default();
        // Slots finish nearly in order: the neighbour is among the last few.
        for known in runs.iter_mut().rev().take(4) {
            let alike = known.verdict == run.verdict && known.step == run.step;
            let Some(n) = known.n.checked_add(run.n).filter(|_| alike) else { continue };
            if known.end() == run.start {
                known.n = n;
                return;
            }
            if run.end() == known.start {
                (known.start, known.n) = (run.start, n);
                return;
            }
        }
        runs.push(run);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::model::{Phases, Timestamp};

    const STEP: Duration = Duration::from_secs(1);

    fn observation(series: u32, second: i64) -> Observation {
        Observation {
            series: SeriesId(series),
            due: Timestamp::from_secs(second),
            lag: Duration::ZERO,
            latency: None,
            phases: Phases::default(),
            verdict: Verdict::Good,
            detail: None,
            certificate_not_after: None,
        }
    }

    fn drain(sink: &mut mpsc::Receiver<Vec<Report>>) -> Vec<Report> {
        std::iter::from_fn(|| sink.try_recv().ok()).flatten().collect()
    }

    #[test]
    fn a_full_sink_costs_knowledge_but_no_slot_and_no_memory() {
        let (meters, mut outbox) = (Meters::default(), Outbox::default());
        let (sink, mut engine) = mpsc::channel(1);
        let n = QUEUE_MAX as i64 + 3_000;
        for second in 0..n {
            outbox.observed(observation(1, second), None, STEP, &meters);
            outbox.flush(&sink, &meters);
        }
        // The channel holds the first one.
        assert_eq!(meters.shed(), 2_999);
        assert_eq!(outbox.len(), QUEUE_MAX + 1, "what was shed is one run");
        let mut all = drain(&mut engine);
        while !outbox.is_empty() {
            outbox.flush(&sink, &meters);
            all.extend(drain(&mut engine));
        }
        assert_eq!(all.iter().map(Report::n_slots).sum::<u64>(), n as u64);
        let verdict = Verdict::Unknown(UnknownReason::LocalFault);
        let start = Timestamp::from_secs(QUEUE_MAX as i64 + 1);
        let run = Run { start, step: STEP, n: 2_999, verdict, class: 0 };
        assert!(all.contains(&Report::Missed(SeriesId(1), run)));
        assert_eq!((meters.queued(), meters.undelivered()), (0, 0));
    }

    #[test]
    fn slots_that_finish_out_of_order_are_still_one_run() {
        let mut outbox = Outbox::default();
        for second in [0, 2, 1, 3, 5, 4] {
            let verdict = Verdict::Unknown(UnknownReason::LocalFault);
            let start = Timestamp::from_secs(second);
            outbox.shed(SeriesId(1), Run { start, step: STEP, n: 1, verdict, class: 0 });
        }
        let runs = &outbox.shed[&SeriesId(1)];
        assert_eq!(runs.iter().map(|run| run.n).sum::<u32>(), 6);
        assert!(runs.len() <= 3, "{runs:?}");
    }

    #[test]
    fn what_nobody_takes_any_more_is_counted() {
        let (meters, mut outbox) = (Meters::default(), Outbox::default());
        let (sink, engine) = mpsc::channel(1);
        drop(engine);
        outbox.observed(observation(1, 0), None, STEP, &meters);
        let verdict = Verdict::Unknown(UnknownReason::Late);
        let run = Run { start: Timestamp::from_secs(1), step: STEP, n: 7, verdict, class: 0 };
        outbox.missed(SeriesId(1), run);
        outbox.flush(&sink, &meters);
        assert_eq!(meters.undelivered(), 8);
    }
}
