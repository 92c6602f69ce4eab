//! One process: what is lost when it dies, and whose turn it is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use nines::engine::Engine;
use nines::engine::isolation::{Isolation, Report};
use nines::engine::schedule::{Schedule, Ticket};
use nines::model::{Observation, Phases, Probe, SeriesId, Timestamp, UnknownReason, Verdict};

use super::MS;
use super::oracle::Seen;
use super::wire::{self, Answer, Kind};
use super::world::{Moment, REFERENCE, Threads};
use super::writer::Writer;

/// Standing still for longer than this is a stall, as `probe::watch` has it.
const STALL: i64 = 100 * MS;
/// Its threads.
pub const PROBER: usize = 0;
pub const ENGINE: usize = 1;
pub const WRITER: usize = 2;

/// A probe that has been started.
pub struct Flight {
    pub ticket: Ticket,
    /// On the process' timeline, and in true time.
    pub start: i64,
    pub truly: i64,
    pub answer: Answer,
    pub timeout: Duration,
}

impl Flight {
    /// When it ends, on the process' timeline.
    pub fn end(&self) -> i64 {
        self.start + self.answer.after
    }
}

/// A running process.
pub struct Process {
    pub engine: Engine,
    pub schedule: Schedule,
    pub probes: BTreeMap<SeriesId, Probe>,
    /// Its timeline minus true time.
    pub offset: i64,
    pub flights: BTreeMap<u32, Flight>,
    /// When flights end, on its timeline.
    pub landings: BinaryHeap<Reverse<(i64, u32)>>,
    pub next_flight: u32,
    pub inbox: Vec<Report>,
    /// Verdicts that wait for evidence.
    pub isolation: Isolation,
    /// When the probes of slots that the engine has not been told of were under way.
    pub seen: BTreeMap<(Timestamp, SeriesId), Seen>,
    pub next_look: i64,
    pub writer: Writer,
    pub upkeep: Option<Timestamp>,
    /// Up to when each thread stands still.
    pub still: [i64; 3],
    /// The end of the prober's last stall.
    pub stall_end: i64,
    /// When exactly it is to be killed, and how long after that the next one comes.
    pub doomed: Option<(Moment, i64)>,
}

impl Process {
    /// Whose turn is next, and when on this process' timeline.
    pub fn next_turn(&self) -> Option<(i64, usize)> {
        [PROBER, ENGINE, WRITER].into_iter().filter_map(|who| Some((self.turn(who)?, who))).min()
    }

    pub fn turn(&self, who: usize) -> Option<i64> {
        let due = match who {
            PROBER => {
                let landing = self.landings.peek().map(|Reverse((at, _))| *at);
                let due = self.schedule.next_due().map(Timestamp::micros);
                landing.into_iter().chain(due).min()
            }
            ENGINE => Some(self.next_look),
            _ => self.writer.next(),
        };
        due.map(|due| due.max(self.still[who]))
    }

    /// Tells whether that is a stall of the prober.
    pub fn stand_still(&mut self, threads: Threads, now: i64, length: i64) -> bool {
        let who = match threads {
            Threads::All => &[PROBER, ENGINE, WRITER][..],
            Threads::Probing => &[PROBER],
            Threads::Engine => &[ENGINE],
            Threads::Writer => &[WRITER],
        };
        for who in who {
            self.still[*who] = self.still[*who].max(now + length);
        }
        let stalls = who.contains(&PROBER) && length > STALL;
        if stalls {
            self.stall_end = self.stall_end.max(now + length);
        }
        stalls
    }

    /// The machine slept at `now`: to whatever was under way that is a stall.
    pub fn slept(&mut self, now: i64) {
        self.stall_end = self.stall_end.max(now + 1);
    }

    /// A flight is over, or is given up by a stop.
    pub fn land(&mut self, number: u32, truly: i64, given_up: bool) -> Option<Report> {
        let flight = self.flights.remove(&number)?;
        self.schedule.finish(flight.ticket);
        let Ticket { series, due, .. } = flight.ticket;
        let stalled = self.stall_end > flight.start;
        let (verdict, latency, doubt) = match given_up {
            true => (Verdict::Unknown(UnknownReason::NotRunning), None, None),
            false => {
                let answer = match stalled {
                    true => wire::neglect(flight.answer, due.micros(), flight.timeout),
                    false => flight.answer,
                };
                wire::judge(answer, stalled, flight.timeout)
            }
        };
        let observation = Observation {
            series,
            due,
            lag: Duration::from_micros((flight.start - due.micros()).unsigned_abs()),
            latency,
            phases: Phases::default(),
            verdict,
            detail: None,
            certificate_not_after: None,
        };
        // A reference's run is nobody's slot.
        if self.probes[&series].id.service() != REFERENCE {
            self.seen.insert((due, series), Seen { start: flight.truly, end: truly });
        }
        Some(match doubt {
            Some(doubt) => Report::Doubted(observation, doubt),
            None => Report::Observed(observation),
        })
    }

    /// The way is cut: answers that are on their way will not come.
    pub fn lose_answers(&mut self, now: i64) {
        for flight in self.flights.values_mut().filter(|flight| flight.end() > now) {
            let after = flight.timeout.as_micros() as i64;
            flight.answer = Answer { kind: Kind::Silence, after };
        }
        let ends = self.flights.iter().map(|(number, flight)| Reverse((flight.end(), *number)));
        self.landings = ends.collect();
    }

    /// Whether a report speaks of a slot whose predecessor is still in flight.
    pub fn overtakes(&self, report: &Report) -> bool {
        let Some(observation) = observed(report) else { return false };
        let earlier =
            |f: &Flight| f.ticket.series == observation.series && f.ticket.due < observation.due;
        self.flights.values().any(earlier)
    }
}

/// What a report says of a slot that was started.
pub fn observed(report: &Report) -> Option<&Observation> {
    match report {
        Report::Observed(observation) | Report::Doubted(observation, _) => Some(observation),
        Report::Missed(..) | Report::Counted(_) => None,
    }
}
