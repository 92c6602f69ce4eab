//! Results that others send: a post box for each SLO, emptied interval by interval.
//!
//! What it keeps true: whoever delivers has shown the token of that SLO; what must be kept is
//! handed on in the order in which it was taken. Of a token only a hash is held, and not for long.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::sync::{mpsc, oneshot};

use super::{Meters, Past, Progress, STATE};
use crate::clock::Clock;
use crate::engine::intake::{Intake, Refused, Sent};
use crate::engine::isolation::{Counted, Report};
use crate::engine::sampler::Failure;
use crate::engine::schedule::Grid;
use crate::model::source::Push;
use crate::model::{Probe, ProbeId, Record, Run, SeriesId, Timestamp, UnknownReason, Verdict};

/// Largest token, in bytes.
const MAX_TOKEN: u64 = 16 * 1024;

/// Why results are not taken.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// No SLO of this name takes results.
    #[error("no results are expected for {0}: it has no `push` in its spec")]
    NotExpected(String),
    /// Another token than that of the SLO.
    #[error("this is not the token of {0}")]
    Token(String),
    /// The file with the token cannot be read.
    #[error("the token_file of {slo} cannot be read: {source}")]
    TokenFile {
        /// The SLO.
        slo: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its post box makes way for another one.
    #[error("{0} is being declared anew, send it again")]
    MakesWay(String),
    /// The results themselves.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// The post boxes of every SLO that takes results.
#[derive(Debug, Default)]
pub struct PostBoxes(Mutex<BTreeMap<ProbeId, Arc<PostBox>>>);

/// The post box of one SLO.
#[derive(Debug)]
pub(super) struct PostBox {
    id: ProbeId,
    push: Push,
    meters: Arc<Meters>,
    held: Mutex<Held>,
}

/// What was taken, and whether that was all.
#[derive(Debug)]
struct Held {
    intake: Intake,
    shut: bool,
}

impl PostBoxes {
    /// Takes a delivery at `now`, once under its key; what must be kept before it is acknowledged
    /// is handed to `keep`. Reads a file.
    ///
    /// # Errors
    /// Why nothing of it is taken.
    pub fn deliver(
        &self,
        slo: &str,
        (token, key): (&str, &str),
        sent: &[Sent],
        now: Timestamp,
        keep: impl FnOnce(Record),
    ) -> Result<(), PushError> {
        let found = slo.parse::<ProbeId>().ok().and_then(|id| self.all().get(&id).cloned());
        let post = found.ok_or_else(|| PushError::NotExpected(slo.to_owned()))?;
        let slo = || slo.to_owned();
        let expected = read_token(&post.push.token_file)
            .map_err(|source| PushError::TokenFile { slo: slo(), source })?;
        if !is_same(digest(&SHA256, token.as_bytes()).as_ref(), expected.as_ref()) {
            return Err(PushError::Token(slo()));
        }
        let mut held = post.held();
        if held.shut {
            // Whoever goes on with what was taken would not know of this.
            return Err(PushError::MakesWay(slo()));
        }
        held.intake.take(key, sent, now)?;
        // Under the lock, so that a later state never comes before an earlier one.
        keep(Record::State { name: format!("{STATE}{}", post.id), json: held.intake.kept() });
        post.meters.request(&post.id);
        Ok(())
    }

    pub(super) fn open(
        &self,
        probe: &Probe,
        push: &Push,
        intake: Intake,
        meters: &Arc<Meters>,
    ) -> Arc<PostBox> {
        let (id, push, meters) = (probe.id.clone(), push.clone(), Arc::clone(meters));
        let held = Mutex::new(Held { intake, shut: false });
        let post = Arc::new(PostBox { id: id.clone(), push, meters, held });
        self.all().insert(id, Arc::clone(&post));
        post
    }

    pub(super) fn remove(&self, id: &ProbeId) {
        self.all().remove(id);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<ProbeId, Arc<PostBox>>> {
        // A writer cannot leave it half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PostBox {
    /// Takes nothing more from now on; returns what was taken, to go on with.
    fn shut(&self) -> String {
        let mut held = self.held();
        held.shut = true;
        held.intake.kept()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A delivery is checked before it changes anything.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hash of the token in a file.
fn read_token(path: &Path) -> std::io::Result<ring::digest::Digest> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_TOKEN).read_to_string(&mut text)?;
    match text.trim() {
        "" => Err(std::io::Error::other("it is empty")),
        token => Ok(digest(&SHA256, token.as_bytes())),
    }
}

/// Whether two hashes are the same, in the same time whichever byte differs.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b));
    one.len() == other.len() && differ == 0
}

/// Closes the intervals of one post box on time.
pub(super) struct Closer {
    pub series: SeriesId,
    pub probe: Probe,
    pub grace: Duration,
    pub post: Arc<PostBox>,
    pub meters: Arc<Meters>,
    pub clock: Clock,
    pub sink: mpsc::Sender<Vec<Report>>,
}

impl Closer {
    /// Closes each interval from `due` on once its grace is over, until told to stop.
    pub async fn follow(self, mut due: Timestamp, mut stop: oneshot::Receiver<()>) -> Progress {
        loop {
            let end = due.plus(self.probe.interval);
            tokio::select! {
                biased;
                _ = &mut stop => break,
                () = tokio::time::sleep_until(self.clock.instant(end.plus(self.grace))) => {}
            }
            let verdict = self.post.held().intake.close(due);
            let known = matches!(verdict, Verdict::Counted(_));
            self.meters.slots(&self.probe.id, known, 1);
            let failure = (!known).then_some(Failure::Absent);
            self.meters.outcome(&self.probe.id, failure, None, end);
            let run = Run { start: due, step: self.probe.interval, n: 1, verdict, class: 0 };
            due = end;
            let counted = Counted { series: self.series, run, state: None };
            if self.sink.send(vec![Report::Counted(counted)]).await.is_err() {
                break;
            }
        }
        Progress { due, kept: self.post.shut() }
    }
}

/// Where a post box goes on after a restart: the first interval whose results are still taken,
/// the runs of what was sent before that and is in no history, and what is known of deliveries.
pub(super) fn resume(
    probe: &Probe,
    push: &Push,
    kept: Option<&str>,
    past: &Past,
    now: Timestamp,
) -> (Timestamp, Vec<Run>, Option<String>) {
    let (step, grid, reason) = (probe.interval, Grid::of(probe, ""), UnknownReason::NotRunning);
    let after = now.just_after();
    let closed = after.minus(step).minus(push.grace);
    let Some(intake) = kept.and_then(Intake::read) else {
        // Nothing was ever sent.
        let next = past.next.filter(|_| past.step == step);
        let first = grid.first_due_at_or_after(next.map_or(after, |next| next.max(closed)));
        return (first, Vec::new(), None);
    };
    let next = past.next.unwrap_or(intake.closed());
    let same = intake.step() == step && past.step == step;
    let intake = if same { intake } else { turned(intake, (next, after), &grid, past) };
    let mut runs = intake.runs_before(next, reason);
    let next = grid.first_due_at_or_after(next.max(intake.begins()));
    let open = grid.first_due_at_or_after(closed.max(next));
    runs.extend(intake.runs(next, open, reason));
    (open, runs, Some(intake.kept()))
}

/// What was sent before somebody else is asked, and is in no history.
pub(super) fn left_over(kept: Option<&str>, past: &Past, now: Timestamp) -> Vec<Run> {
    let Some(intake) = kept.and_then(Intake::read) else { return Vec::new() };
    let (next, step) = (past.next.unwrap_or(intake.closed()), intake.step());
    let after = intake.promised_until(next).unwrap_or(now).max(now);
    intake.turn(after, after, step).runs_before(next, UnknownReason::NotRunning)
}

/// Results of intervals of another length, none of which is to be lost: the new ones begin after
/// them, where a reload has said that they do, or after now.
fn turned(
    intake: Intake,
    (next, after): (Timestamp, Timestamp),
    grid: &Grid,
    past: &Past,
) -> Intake {
    let step = grid.interval();
    let first = |at: Timestamp| grid.first_due_at_or_after(at.max(after));
    // What was kept of the newest slots does not end where those before them do.
    let turn = past.turn.filter(|_| intake.step() != past.step);
    match (turn, intake.promised_until(next)) {
        (Some((at, first)), _) if past.step == step => intake.turn(at, first, step),
        (Some((at, _)), _) => intake.turn(at, first(at), step),
        (None, Some(until)) => intake.turn(until.max(after), first(until), step),
        // All of it is in history, which may have gone on since.
        (None, None) if past.step == step => {
            let first = grid.first_due_at_or_after(next);
            intake.turn(first, first, step)
        }
        (None, None) => intake.turn(after, first(after), step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Counts;
    use crate::model::check::Check;
    use crate::model::source::Source;

    #[tokio::test]
    async fn what_comes_after_a_box_is_shut_is_refused_and_not_lost() {
        let dir = tempfile::tempdir().expect("writable");
        let token_file = dir.path().join("token");
        std::fs::write(&token_file, "t").expect("writable");
        let push = Push { token_file, grace: Duration::from_secs(5) };
        let probe = Probe {
            id: "jobs/backups".parse().expect("valid"),
            check: Check::Source(Source::Push(push.clone())),
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(5),
        };
        let (boxes, meters) = (PostBoxes::default(), Arc::new(Meters::default()));
        meters.expect(&probe.id);
        let clock = Clock::start();
        let at = clock.now();
        let due = at.floor(probe.interval);
        let post = boxes.open(&probe, &push, Intake::new(probe.interval, None, due), &meters);
        let deliver = |key| {
            let sent = [Sent { from: at, to: at, counts: Counts { good: 2, bad: 1, unknown: 0 } }];
            let mut kept = 0;
            let taken = boxes.deliver("jobs/backups", ("t", key), &sent, at, |_| kept += 1);
            (taken, kept)
        };
        assert!(matches!(deliver("a"), (Ok(()), 1)));
        let (stop, stopped) = oneshot::channel();
        let (sink, _reports) = mpsc::channel(1);
        let grace = push.grace;
        let (series, meters_of) = (SeriesId(1), Arc::clone(&meters));
        let closer =
            Closer { series, probe: probe.clone(), grace, post, meters: meters_of, clock, sink };
        stop.send(()).expect("it listens");
        let Progress { due: next, kept } = closer.follow(due, stopped).await;
        assert_eq!(next, due);
        // Until another box takes over, whoever sends has to send again.
        assert!(matches!(deliver("b"), (Err(PushError::MakesWay(_)), 0)));
        boxes.open(&probe, &push, Intake::new(probe.interval, Some(&kept), next), &meters);
        assert!(matches!(deliver("a"), (Ok(()), 1)));
        assert!(matches!(deliver("b"), (Ok(()), 1)));
        let requests = meters.readings().get(&probe.id).map(|reading| reading.requests);
        assert_eq!(requests, Some(3));
        let all = boxes.all().get(&probe.id).map(|post| post.shut()).expect("open");
        let intake = Intake::new(probe.interval, Some(&all), due);
        let runs = intake.runs(due, due.plus(probe.interval), UnknownReason::Source);
        let counted = Verdict::Counted(Counts { good: 4, bad: 2, unknown: 0 });
        assert_eq!(runs.iter().map(|run| run.verdict).collect::<Vec<_>>(), [counted]);
    }
}
