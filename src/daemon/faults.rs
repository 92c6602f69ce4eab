//! What the monitor knows of its own faults: counted by cause, told in the log, shown at a scrape.
//!
//! Holds the verdicts that wait for evidence. Judges nothing itself: `engine::isolation` does.
//! Keeps true: every change of state is one line, and what goes on is told once a minute at most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::engine::fault::{Cause, Slots};
use crate::engine::isolation::{Isolation, Reference, Sight};
use crate::engine::{Engine, Report, correlation};
use crate::model::settings::References;
use crate::model::{Probe, SeriesId, Settings, Timestamp};
use crate::probe::Meters;

/// A change of the wall clock against our timeline that is a step. NTP slews far more slowly.
const STEP_MICROS: u64 = 100_000;
/// How often the slots of one cause are told again.
const REPEAT: Duration = Duration::from_secs(60);
/// How often it is asked whether everything fails at once.
const SUSPECT: Duration = Duration::from_secs(1);

/// How often something of ours went wrong, and for how long in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spells {
    /// How often.
    pub n: u64,
    /// For how long; for steps of the wall clock how far.
    pub total: Duration,
    /// Since when it goes on, if it does.
    pub since: Option<Timestamp>,
}

impl Spells {
    fn add(&mut self, length: Duration) {
        self.n += 1;
        self.total += length;
    }

    /// Takes note of whether it goes on; says whether that changed.
    fn go_on(&mut self, since: Option<Timestamp>, now: Timestamp) -> bool {
        let before = std::mem::replace(&mut self.since, since);
        match (before, since) {
            (None, Some(_)) => self.n += 1,
            (Some(began), None) => self.total += now.since(began),
            _ => return false,
        }
        true
    }

    /// Together with what goes on at `now`.
    fn until(mut self, now: Timestamp) -> Self {
        self.total += self.since.map_or(Duration::ZERO, |since| now.since(since));
        self
    }
}

/// The faults of one process.
#[derive(Debug)]
pub struct Faults {
    clock: Clock,
    meters: Arc<Meters>,
    isolation: Mutex<Isolation>,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    restart: Spells,
    isolated: Spells,
    resolver: Spells,
    suspend: Spells,
    steps: Spells,
    stalls: u64,
    slept: Duration,
    /// By how much the wall clock was ahead of our timeline at the last look, in microseconds.
    offset: i64,
    told: Slots,
    told_at: [Option<Timestamp>; Cause::ALL.len()],
    suspicious: bool,
    suspected_at: Option<Timestamp>,
}

impl Faults {
    /// No fault yet, but for the time since `history_end` in which nobody was watching.
    pub fn new(
        settings: &Settings,
        meters: Arc<Meters>,
        clock: Clock,
        history_end: Option<Timestamp>,
    ) -> Self {
        let named = named(&settings.references);
        let references = named.into_iter().map(|(reference, _)| reference).collect();
        let isolation = Isolation::new(references, settings.references.interval());
        let mut log = Log { offset: clock.wall_offset_micros(), ..Log::default() };
        log.slept = clock.slept();
        if let Some(end) = history_end {
            let gap = clock.now().since(end);
            log.restart.add(gap);
            tracing::info!(gap_seconds = gap.as_secs(), "not running since the end of history");
        }
        Faults { clock, meters, isolation: Mutex::new(isolation), log: Mutex::new(log) }
    }

    /// Settles what these reports allow to be settled.
    pub fn sift(&self, reports: impl IntoIterator<Item = Report>) -> Vec<Report> {
        let mut settled = Vec::new();
        let mut isolation = self.isolation();
        reports.into_iter().for_each(|report| isolation.take(report, &mut settled));
        isolation.release(self.clock.now(), &mut settled);
        settled
    }

    /// Settles what is left, because no more evidence will come.
    pub fn finish(&self) -> Vec<Report> {
        let mut settled = Vec::new();
        self.isolation().finish(&mut settled);
        settled
    }

    /// How many verdicts wait for evidence.
    pub fn n_held(&self) -> usize {
        self.isolation().n_held()
    }

    /// Whether we see the world.
    pub fn sight(&self) -> Sight {
        self.isolation().sight()
    }

    /// The verdicts that wait, to read from.
    pub fn isolation(&self) -> MutexGuard<'_, Isolation> {
        // What a panic leaves half-done is a verdict that waits for longer.
        self.isolation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the prober sees of itself.
    pub fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.meters)
    }

    /// How far the wall clock is ahead of our timeline.
    pub fn wall_offset_micros(&self) -> i64 {
        self.clock.wall_offset_micros()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the people we tell have to add to our time, in whole seconds: how far the wall clock
    /// has been stepped away from our timeline.
    pub fn wall_offset_seconds(&self) -> i64 {
        let micros = self.log().offset;
        (micros + micros.signum() * 500_000) / 1_000_000
    }

    /// How many slots each cause has made unknown.
    pub fn slots(&self, engine: &Engine) -> Slots {
        let mut slots = self.meters.faults().plus(self.isolation().slots());
        let stats = engine.stats();
        slots.count(Cause::Lost, stats.lost);
        slots.count(Cause::Restart, stats.not_running);
        slots
    }

    /// What goes wrong in spells, by cause.
    pub fn spells(&self) -> [(&'static str, Spells); 6] {
        let now = self.clock.now();
        let log = self.log();
        let (n, total) = (self.meters.stalls(), self.meters.stalled());
        [
            ("stall", Spells { n, total, since: None }),
            ("suspend", log.suspend),
            ("clock-step", log.steps),
            ("isolated", log.isolated.until(now)),
            ("resolver", log.resolver.until(now)),
            ("restart", log.restart),
        ]
    }

    /// Whether so much fails at once that it may be us.
    pub fn is_suspicious(&self) -> bool {
        self.log().suspicious
    }

    /// Looks whether anything has changed, and tells it.
    pub fn look(&self, engine: &Engine) {
        let now = self.clock.now();
        let slots = self.slots(engine);
        let (sight, resolver) = {
            let isolation = self.isolation();
            (isolation.sight(), isolation.resolver_silent_since())
        };
        let mut log = self.log();
        let cut_off = match sight {
            Sight::CutOff(since) => Some(since),
            Sight::Clear | Sight::Unknown => None,
        };
        log.see_isolation(cut_off, now);
        log.see_resolver(resolver, now);
        log.see_clock(self.clock.slept(), self.clock.wall_offset_micros());
        log.see_stalls(self.meters.stalls(), self.meters.stalled());
        log.tell_slots(slots, now);
        if log.suspected_at.is_none_or(|at| now.since(at) >= SUSPECT) {
            log.suspected_at = Some(now);
            log.suspect(correlation::is_suspicious(engine.catalog(), engine.probes()));
        }
    }
}

impl Log {
    fn see_isolation(&mut self, since: Option<Timestamp>, now: Timestamp) {
        let began = self.isolated.since;
        if !self.isolated.go_on(since, now) {
            return;
        }
        match (since, began) {
            (Some(since), _) => tracing::error!(
                %since,
                "cut off: no reference answers; what fails now is unknown"
            ),
            (None, began) => tracing::warn!(
                seconds = began.map(|began| now.since(began).as_secs()),
                "connected again: a reference answers"
            ),
        }
    }

    fn see_resolver(&mut self, since: Option<Timestamp>, now: Timestamp) {
        if !self.resolver.go_on(since, now) {
            return;
        }
        match since {
            Some(since) => tracing::error!(
                %since,
                "the resolver is silent: no control name resolves; mend /etc/resolv.conf"
            ),
            None => tracing::warn!("the resolver answers again"),
        }
    }

    fn see_clock(&mut self, slept: Duration, offset: i64) {
        if let Some(length) = slept.checked_sub(self.slept).filter(|length| !length.is_zero()) {
            self.slept = slept;
            self.suspend.add(length);
            let seconds = length.as_secs_f64();
            tracing::warn!(seconds, "this machine was suspended; its slots are not-running");
        }
        let step = offset.saturating_sub(self.offset);
        if step.unsigned_abs() > STEP_MICROS {
            self.offset = offset;
            self.steps.add(Duration::from_micros(step.unsigned_abs()));
            tracing::warn!(
                step_seconds = step as f64 / 1e6,
                offset_seconds = offset as f64 / 1e6,
                "the wall clock was stepped; history goes on as if it had not been"
            );
        }
    }

    fn see_stalls(&mut self, stalls: u64, stalled: Duration) {
        if stalls > self.stalls {
            self.stalls = stalls;
            let total_seconds = stalled.as_secs_f64();
            tracing::warn!(stalls, total_seconds, "a probing thread stood still");
        }
    }

    fn tell_slots(&mut self, slots: Slots, now: Timestamp) {
        for cause in Cause::ALL {
            let fresh = slots.of(cause).saturating_sub(self.told.of(cause));
            let told_at = &mut self.told_at[cause.index()];
            if fresh == 0 || told_at.is_some_and(|at| now.since(at) < REPEAT) {
                continue;
            }
            *told_at = Some(now);
            self.told.count(cause, fresh);
            let cause = cause.word();
            tracing::warn!(cause, slots = fresh, "slots could not be measured");
        }
    }

    fn suspect(&mut self, suspicious: bool) {
        let before = std::mem::replace(&mut self.suspicious, suspicious);
        if suspicious && !before {
            tracing::warn!(
                "more than half of all targets fail, in three unrelated services or more: look \
                 at this machine first; without references that is a hint and excuses nothing"
            );
        }
    }
}

/// Every reference with the probe that runs it, under a number that no ledger gives.
pub fn named(references: &References) -> Vec<(Reference, Probe)> {
    let targets = references.targets.iter().map(|probe| (probe, false));
    let names = references.names.iter().map(|probe| (probe, true));
    let all = targets.chain(names).zip((0..=u32::MAX).rev());
    let reference = |((probe, is_name), series): ((&Probe, bool), u32)| {
        let name = match is_name {
            true => probe.check.target(),
            false => probe.id.name().to_owned(),
        };
        (Reference { name, series: SeriesId(series), is_name }, probe.clone())
    };
    all.map(reference).collect()
}
