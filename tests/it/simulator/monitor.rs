//! The monitor: the real engine and the real schedule, between a wire and a disk that are made up.
//!
//! Threads are turns: a turn belongs to the prober, the engine or the writer, is due at a moment
//! of the process' own timeline, and waits while its thread stands still. One process is one
//! life; what it leaves behind is what the store kept.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use nines::engine::isolation::{Isolation, Reference, Report};
use nines::engine::schedule::{Due, Grid, Schedule};
use nines::engine::{Effect, Engine, Options};
use nines::model::{Catalog, Probe, ProbeId, Record, SeriesId, Timestamp, Verdict};

use super::chance::{Chance, scatter};
use super::oracle::Oracle;
use super::process::{ENGINE, Flight, PROBER, Process, WRITER, observed};
use super::store::Store;
use super::wire::{self, Uplink};
use super::world::{Event, Moment, VANTAGE, World};
use super::writer::Writer;
use super::{DAY, Fault, HOUR, MS, SECOND};

/// How long a stop waits for probes in flight.
const DRAIN: i64 = 5 * SECOND;
/// Most probes in flight.
const IN_FLIGHT_MAX: usize = 64;
/// History older than this is let go.
const RETENTION: i64 = 60 * DAY;

/// Whether a restart accounts for a slot that was lost although a later one was kept. It does
/// not: which slots lie between two others depends on the interval at that time, which history
/// does not tell. Until it does, no process is killed between the two.
const HOLES_ARE_FILLED: bool = false;

/// One world on its way.
pub struct Simulation<'w> {
    world: &'w World,
    chance: Chance,
    store: Store,
    pub oracle: Oracle<'w>,
    process: Option<Process>,
    declared: usize,
    /// True time.
    now: i64,
    next_event: usize,
    next_start: i64,
    next_check: i64,
    /// The wall clock minus true time.
    wall: i64,
    disk_refuses_until: i64,
    no_route_until: i64,
    cut_until: i64,
    /// Everything the engine answered, if somebody wants to compare.
    pub digest: Option<u64>,
    pub lives: u64,
}

impl<'w> Simulation<'w> {
    /// A world at its first moment.
    pub fn new(world: &'w World, store: Store) -> Self {
        Simulation {
            world,
            chance: Chance::new(world.seed).branch(),
            store,
            oracle: Oracle::new(world),
            process: None,
            declared: 0,
            now: world.from,
            next_event: 0,
            next_start: world.from,
            next_check: world.from + HOUR,
            wall: 0,
            disk_refuses_until: i64::MIN,
            no_route_until: i64::MIN,
            cut_until: i64::MIN,
            digest: None,
            lives: 0,
        }
    }

    /// Lives through the whole world.
    ///
    /// # Errors
    /// The first thing that is not as it must be.
    pub fn run(&mut self) -> Result<(), Fault> {
        while self.now < self.world.to {
            self.step().map_err(|what| Fault { at: self.now, what })?;
        }
        let last = self.check(true);
        last.map_err(|what| Fault { at: self.now, what })
    }

    /// True time.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// The next thing that happens anywhere.
    fn step(&mut self) -> Result<(), String> {
        let event = self.world.events.get(self.next_event).map_or(i64::MAX, |(at, _)| *at);
        let turn = match &self.process {
            Some(process) => process.next_turn().map(|(at, who)| (at - process.offset, Some(who))),
            None => Some((self.next_start, None)),
        };
        let (turn_at, who) = turn.unwrap_or((i64::MAX, None));
        let next = event.min(turn_at).min(self.next_check).min(self.world.to);
        self.now = next.max(self.now);
        if next == self.world.to {
            return Ok(());
        }
        if next == self.next_check {
            self.next_check += HOUR;
            return self.check(false);
        }
        if next == event {
            let (_, event) = self.world.events[self.next_event];
            self.next_event += 1;
            return self.befall(event);
        }
        match who {
            None => self.start(),
            Some(PROBER) => self.probe(),
            Some(ENGINE) => self.think(),
            Some(_) => {
                self.write();
                Ok(())
            }
        }
    }

    /// What befalls the monitor. What needs a running process passes by one that is down.
    fn befall(&mut self, event: Event) -> Result<(), String> {
        let now = self.now;
        match event {
            Event::Step(by) => self.wall += by,
            Event::DiskFault(length) => self.disk_refuses_until = now + length,
            Event::NoRoute(length) => {
                self.no_route_until = now + length;
                self.cut_off(now + length);
            }
            Event::CutOff(length) => {
                self.cut_until = self.cut_until.max(now + length);
                self.oracle.cut(now, self.cut_until);
                // What is on its way is lost.
                if let Some(process) = &mut self.process {
                    process.lose_answers(now + process.offset);
                }
                self.cut_off(self.cut_until);
            }
            Event::Suspend(length) => {
                if let Some(process) = &mut self.process {
                    // A stall goes on for as long afterwards as it had still to go.
                    let still = process.still.iter().max().copied().unwrap_or(i64::MIN);
                    let rest = still.saturating_sub(now + process.offset).max(0);
                    process.slept(now + process.offset);
                    process.offset -= length;
                    self.oracle.unhealthy(now, now + length + rest);
                    self.oracle.unattended(now, now + length);
                    self.oracle.anchor(now + length, process.offset);
                    self.now += length;
                }
            }
            Event::Stall(threads, length) => {
                if let Some(process) = &mut self.process {
                    if process.stand_still(threads, now + process.offset, length) {
                        self.oracle.unattended(now, now + length);
                    }
                    self.oracle.unhealthy(now, now + length);
                }
            }
            Event::Crash(Moment::Now, down) => self.crash(down),
            Event::Crash(moment, down) => {
                if let Some(process) = &mut self.process {
                    process.doomed = Some((moment, down));
                }
            }
            Event::Restart(down) => return self.stop(down),
            Event::Redeclare(down) => {
                self.check(false)?;
                self.declared = (self.declared + 1).min(self.world.declared.len() - 1);
                return self.stop(down);
            }
        }
        Ok(())
    }

    /// The monitor sees nobody from now on. References tell that from the last answer of any of
    /// them before it to the first one after it.
    fn cut_off(&mut self, until: i64) {
        let told = !self.world.references.is_empty();
        let (before, after) = if told { (SECOND, 2 * SECOND) } else { (0, 0) };
        self.oracle.unhealthy(self.now - before, until + after);
    }

    /// A new process: restores, closes the gap, begins to probe.
    fn start(&mut self) -> Result<(), String> {
        let catalog = Arc::clone(&self.world.declared[self.declared]);
        let ids: Vec<ProbeId> = catalog.probes().map(|probe| probe.id.clone()).collect();
        let series = self.store.open(&ids);
        let options =
            Options { vantage: VANTAGE.to_owned(), resend_delay: Duration::from_secs(60) };
        let mut engine = Engine::new(Arc::clone(&catalog), &series, options);
        let wall = Timestamp::from_micros(self.now + self.wall);
        let since = wall.minus(engine.memory());
        self.store.restore(&mut engine, since);
        let now = engine.resume_at(wall);
        let after = now.just_after();
        let first_due = |probe: &Probe| {
            Grid::new(&probe.id, VANTAGE, probe.interval).first_due_at_or_after(after)
        };
        let probes = scheduled(&catalog, &series);
        self.oracle.alerts.restored(&engine, now.micros())?;
        if *self.oracle.catalog != *catalog {
            self.oracle.alerts.redeclared(&engine, now.micros());
        }
        let mut schedule = Schedule::new(IN_FLIGHT_MAX);
        let offset = now.micros() - self.now;
        self.oracle.born(self.now, offset, &catalog, &probes, |probe| first_due(probe).micros());
        let mut probes = probes;
        probes.extend(numbered(&self.world.references).map(|(s, probe)| (s, probe.clone())));
        schedule.replace(probes.iter().map(|(s, p)| (*s, p)), VANTAGE, now);
        self.process = Some(Process {
            engine,
            schedule,
            probes,
            offset,
            flights: BTreeMap::new(),
            landings: BinaryHeap::new(),
            next_flight: 0,
            inbox: Vec::new(),
            isolation: isolation(self.world),
            seen: BTreeMap::new(),
            next_look: now.micros(),
            writer: Writer::default(),
            upkeep: None,
            still: [i64::MIN; 3],
            stall_end: i64::MIN,
            doomed: None,
        });
        self.lives += 1;
        let Some(process) = &mut self.process else { return Ok(()) };
        let effects = process.engine.start(first_due, now);
        self.oracle.promised(&process.engine)?;
        self.carry_out(effects)
    }

    /// `kill -9`.
    fn crash(&mut self, down: i64) {
        let Some(mut process) = self.process.take() else { return };
        if !HOLES_ARE_FILLED && process.writer.would_leave_a_hole() {
            process.doomed = Some((Moment::CaughtUp, down));
            self.process = Some(process);
            return;
        }
        let last = process.writer.killed(&mut self.chance);
        self.keep(&last);
        self.oracle.died(self.now, self.now + down);
        self.next_start = self.now + down;
    }

    /// A stop in good order: probes in flight are waited for, everything is written.
    fn stop(&mut self, down: i64) -> Result<(), String> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let until = self.now + process.offset;
        process.still = [i64::MIN; 3];
        self.start_due(&mut process, until);
        let (deadline, chance) = (until + DRAIN, &mut self.chance);
        let mut end = until;
        while let Some(Reverse((at, number))) = process.landings.pop() {
            let given_up = at > deadline || chance.once_in(50);
            end = end.max(at.min(deadline));
            let report = process.land(number, self.now + end - until, given_up);
            process.inbox.extend(report);
        }
        self.now += end - until;
        let reports = std::mem::take(&mut process.inbox);
        self.process = Some(process);
        self.observe(reports)?;
        self.give_up_waiting()?;
        self.look()?;
        let Some(process) = self.process.take() else { return Ok(()) };
        let hole = !HOLES_ARE_FILLED && process.writer.would_leave_a_hole();
        let last = process.writer.stopped(self.disk_refuses_until > self.now && !hole);
        self.keep(&last);
        self.oracle.died(self.now, self.now + down);
        self.next_start = self.now + down;
        Ok(())
    }

    /// A turn of the prober: reads what has come back, starts what is due.
    fn probe(&mut self) -> Result<(), String> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let now = self.now + process.offset;
        let before = process.inbox.len();
        // Who wakes first after a stall is chance.
        let start_first = self.chance.once_in(2);
        if start_first {
            self.start_due(&mut process, now);
        }
        while process.landings.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((_, number))) = process.landings.pop() else { break };
            let report = process.land(number, self.now, false);
            process.inbox.extend(report);
        }
        if !start_first {
            self.start_due(&mut process, now);
        }
        let fresh = &process.inbox[before..];
        let failed =
            fresh.iter().filter_map(observed).any(|o| matches!(o.verdict, Verdict::Bad(_)));
        let overtaken = fresh.iter().any(|report| process.overtakes(report));
        let doom = process.doomed;
        let engine_is_still = process.still[ENGINE] > now;
        let reports = if engine_is_still { Vec::new() } else { std::mem::take(&mut process.inbox) };
        self.process = Some(process);
        self.observe(reports)?;
        let strikes = |moment| match moment {
            Moment::AfterFailure => failed,
            Moment::OutOfOrder => overtaken,
            _ => false,
        };
        if let Some((_, down)) = doom.filter(|(moment, _)| strikes(*moment)) {
            // Early enough for the result to be lost, late enough for it to be kept.
            let most = match (overtaken, HOLES_ARE_FILLED) {
                (true, true) => 2 * SECOND,
                (true, false) => 4 * MS,
                (false, _) => 100 * MS,
            };
            let delay = self.chance.magnitude(1, most);
            self.oracle.score.overtaken += u64::from(overtaken);
            self.doom_in(delay, down);
        }
        Ok(())
    }

    fn doom_in(&mut self, delay: i64, down: i64) {
        if let Some(process) = &mut self.process {
            process.doomed = None;
        }
        self.run_until(self.now + delay);
        self.crash(down);
    }

    /// Lets the writer work for a moment; nothing else happens meanwhile.
    fn run_until(&mut self, until: i64) {
        while let Some(process) = &self.process {
            let at = process.turn(WRITER).map(|at| at - process.offset);
            let Some(at) = at.filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            self.write();
        }
        self.now = self.now.max(until);
    }

    fn start_due(&mut self, process: &mut Process, now: i64) {
        while let Some(due) = process.schedule.pop_due(Timestamp::from_micros(now)) {
            let ticket = match due {
                Due::Start(ticket) => ticket,
                Due::Missed(series, run) => {
                    process.inbox.push(Report::Missed(series, run));
                    continue;
                }
            };
            let probe = &process.probes[&ticket.series];
            let target = &self.world.targets[&probe.id];
            let salt = self.world.seed ^ u64::from(ticket.series.0).rotate_left(40);
            let jitter = scatter(ticket.due.micros().cast_unsigned() ^ salt) % (20 * MS as u64);
            let timeout = probe.timeout.as_micros() as i64;
            let uplink = match self.now {
                now if now < self.no_route_until => Uplink::NoRoute,
                now if now < self.cut_until => Uplink::Cut,
                _ => Uplink::Open,
            };
            let answer = wire::ask(target, now - process.offset, timeout, jitter as i64, uplink);
            let number = process.next_flight;
            process.next_flight += 1;
            process.landings.push(Reverse((now + answer.after, number)));
            let flight =
                Flight { ticket, start: now, truly: self.now, answer, timeout: probe.timeout };
            process.flights.insert(number, flight);
        }
    }

    /// Settles what can be settled, and hands it to the engine.
    fn observe(&mut self, reports: Vec<Report>) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let mut settled = Vec::new();
        reports.into_iter().for_each(|report| process.isolation.take(report, &mut settled));
        let now = Timestamp::from_micros(self.now + process.offset);
        process.isolation.release(now, &mut settled);
        self.hand_over(settled)
    }

    /// No more evidence will come.
    fn give_up_waiting(&mut self) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let mut settled = Vec::new();
        process.isolation.finish(&mut settled);
        self.hand_over(settled)
    }

    fn hand_over(&mut self, reports: Vec<Report>) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let mut effects = Vec::with_capacity(reports.len());
        for report in reports {
            match report {
                Report::Observed(observation) | Report::Doubted(observation, _) => {
                    let slot = (observation.due, observation.series);
                    let seen = process.seen.remove(&slot).ok_or("a probe that never started")?;
                    self.oracle.observed(&observation, seen)?;
                    process.engine.observe(observation, &mut effects);
                }
                Report::Missed(series, run) => {
                    self.oracle.missed(series, run)?;
                    process.engine.miss(series, run, &mut effects);
                }
                Report::Counted(_) => return Err("nobody else counts in here".to_owned()),
            }
        }
        self.carry_out(effects)
    }

    /// A turn of the engine: takes what waits, looks whether a second is complete.
    fn think(&mut self) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let reports = std::mem::take(&mut process.inbox);
        self.observe(reports)?;
        self.look()
    }

    fn look(&mut self) -> Result<(), String> {
        self.observe(Vec::new())?;
        let Some(process) = &mut self.process else { return Ok(()) };
        let now = self.now + process.offset;
        process.next_look = self.world.next_look(self.now) + process.offset;
        process.engine.see(process.isolation.sight());
        let effects = process.engine.tick(Timestamp::from_micros(now));
        let sliced = effects.iter().any(|e| matches!(e, Effect::Append(Record::Slice(_))));
        let doomed = process.doomed.filter(|(moment, _)| sliced && *moment == Moment::AfterSlices);
        self.oracle.looked(&process.engine, now);
        self.carry_out(effects)?;
        if let Some((_, down)) = doomed {
            let delay = self.chance.magnitude(1, 200 * MS);
            self.doom_in(delay, down);
        }
        Ok(())
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let now = self.now + process.offset;
        let mut records = Vec::new();
        for effect in effects {
            if let Some(digest) = &mut self.digest {
                let text = format!("{effect:?}");
                *digest = text.bytes().fold(*digest, |hash, b| scatter(hash ^ u64::from(b)));
            }
            match effect {
                Effect::Append(record) => {
                    if let Record::State { name, json } = &record {
                        self.oracle.transition(&process.engine, name, json)?;
                    }
                    records.push(record);
                }
                Effect::Compact(before) => process.upkeep = Some(before),
                Effect::Notify(_) => {}
            }
        }
        if !records.is_empty() {
            process.writer.submit(records, now);
        }
        Ok(())
    }

    /// A turn of the writer.
    fn write(&mut self) {
        let refuses = self.disk_refuses_until > self.now;
        let Some(process) = &mut self.process else { return };
        let now = self.now + process.offset;
        let durable = process.writer.work(now, refuses, &mut self.chance);
        let doomed = process.doomed;
        let struck = process.writer.is_committing() && self.chance.once_in(4);
        let caught_up = !process.writer.would_leave_a_hole();
        if let Some(before) = process.upkeep.filter(|_| process.writer.is_idle()) {
            process.upkeep = None;
            let oldest = before.minus(Duration::from_micros(RETENTION.unsigned_abs()));
            self.store.maintain(before, oldest);
        }
        self.keep(&durable);
        match doomed {
            Some((Moment::InCommit, down)) if struck => self.crash(down),
            Some((Moment::CaughtUp, down)) if caught_up => self.crash(down),
            _ => {}
        }
    }

    fn keep(&mut self, records: &[Record]) {
        if !records.is_empty() {
            self.store.append(records);
            self.oracle.durable(records);
        }
    }

    fn check(&mut self, last: bool) -> Result<(), String> {
        if last {
            self.oracle.finish();
        }
        let Some(process) = &self.process else { return Ok(()) };
        self.oracle.check(&process.engine, self.now)
    }
}

/// The references of a world, by the numbers that the daemon gives them.
fn isolation(world: &World) -> Isolation {
    let reference = |(series, probe): (SeriesId, &Probe)| Reference {
        name: probe.id.name().to_owned(),
        series,
        is_name: false,
    };
    let references: Vec<_> = numbered(&world.references).map(reference).collect();
    let interval = world.references.first().map_or(Duration::from_secs(1), |r| r.interval);
    Isolation::new(references, interval)
}

fn numbered(references: &[Probe]) -> impl Iterator<Item = (SeriesId, &Probe)> {
    (0..=u32::MAX).rev().map(SeriesId).zip(references)
}

fn scheduled(catalog: &Catalog, series: &BTreeMap<ProbeId, SeriesId>) -> BTreeMap<SeriesId, Probe> {
    catalog.probes().map(|probe| (series[&probe.id], probe.clone())).collect()
}
