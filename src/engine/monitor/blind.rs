//! Whether this monitor sees anything at all, and the alert that says when it does not.

use std::time::Duration;

use super::{Effect, Engine};
use crate::engine::alert::{self, AlertKind};
use crate::engine::isolation::Sight;
use crate::engine::series::Series;
use crate::engine::state::SloState;
use crate::model::Timestamp;

/// How long this machine is cut off before somebody is told. A link that flaps is not worth a
/// page, and five seconds are a fifth of the monthly budget at five nines.
pub const CUT_OFF_AFTER: Duration = Duration::from_secs(5);

/// Why nothing can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blindness {
    /// No reference has answered since then.
    CutOff(Timestamp),
    /// No slot of any probe has been good or bad since then, for a while.
    Unmeasured(Timestamp),
}

impl Blindness {
    /// One sentence, with the moment at which it began.
    pub fn sentence(&self) -> String {
        match self {
            Blindness::CutOff(since) => format!(
                "This monitor is cut off: no reference has answered since {}. What fails \
                 meanwhile is unknown, and nobody is paged for it.",
                since.floor_second()
            ),
            Blindness::Unmeasured(since) => format!(
                "Nothing has been measured since {}: every slot of every probe is unknown.",
                since.floor_second()
            ),
        }
    }
}

impl Engine {
    /// Takes note of what the references say.
    pub fn see(&mut self, sight: Sight) {
        self.sight = sight;
    }

    /// Why nothing can be seen at `now`; none while something can.
    pub fn blindness(&self, now: Timestamp) -> Option<Blindness> {
        if let Sight::CutOff(since) = self.sight {
            return Some(Blindness::CutOff(since));
        }
        let since = self.known_until.max(self.started)?;
        // The probe that runs most often would have seen something by now.
        let interval = self.probes.iter().map(|state| state.probe.interval).min()?;
        let quiet = alert::quiet_after(interval);
        (now.since(since) >= quiet).then_some(Blindness::Unmeasured(since))
    }

    /// After how long without anything known data is missing.
    pub(super) fn quiet(&self, state: &SloState) -> Duration {
        let lines = || state.account.lines.iter().map(|line| &self.lines[*line]);
        let open = || lines().filter(|line| !line.roll.is_complete());
        let interval = open().map(|line| line.roll.step()).max();
        let patience = open().map(|line| line.patience).max().unwrap_or_default();
        alert::quiet_after(interval.unwrap_or_default()) + patience
    }

    /// No data: nothing known in the last while, or results that do not come at all; of what is
    /// made of others, of any of them.
    pub(super) fn transit_no_data(
        &mut self,
        slo: usize,
        known: Timestamp,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let state = &self.slos[slo];
        let of_part = |part: &SloState| {
            self.known(part).is_some_and(|known| self.misses_data(part, known, now))
        };
        let blind = match state.slo.is_composite() {
            true => self.parts(state).any(of_part),
            false => self.misses_data(state, known, now),
        };
        self.slos[slo].transit(AlertKind::NoData, blind, now.floor_second(), effects);
    }

    fn misses_data(&self, state: &SloState, known: Timestamp, now: Timestamp) -> bool {
        let quiet = self.quiet(state);
        let measured = self.intervals_as_measured(state).unwrap_or(self.as_measured(state));
        let begun = measured.iter().filter_map(Series::first).min().or(self.started);
        let begun = begun.max(state.disturbed);
        let lately = measured.window(quiet, now);
        let derived = self.intervals(state).unwrap_or(self.histories(state));
        // What is to leave the SLI anyway is missed by nobody.
        let wanted = state.amended.is_none() || derived.window(quiet, now).expected() > 0;
        begun.is_some_and(|begun| now.since(begun) >= quiet)
            && (now.since(known) >= quiet || lately.known() == 0 && wanted)
    }

    /// Whether somebody is told that nothing can be seen.
    pub fn is_blind(&self) -> bool {
        self.blind.is_firing()
    }

    /// Moves the alert on. After a restart it stays as it is until something is seen.
    pub(super) fn tick_blind(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let fires = self.blind.is_firing();
        let blindness = self.blindness(now);
        let holds = match (blindness, self.sight) {
            (Some(Blindness::CutOff(since)), _) => fires || now.since(since) >= CUT_OFF_AFTER,
            (Some(Blindness::Unmeasured(_)), _) => true,
            (None, Sight::Clear | Sight::CutOff(_)) => false,
            (None, Sight::Unknown) => fires && self.known_until < self.started,
        };
        self.blind.transit(holds, now.floor_second(), effects);
        if let Some(blindness) = blindness.filter(|_| holds) {
            self.blind.annotations.insert("description".to_owned(), blindness.sentence());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::engine::{AlertKind, Options};
    use crate::model::catalog::Service;
    use crate::model::check::{Check, TcpCheck};
    use crate::model::{Catalog, Probe, Record, Run, SeriesId, UnknownReason, Verdict};

    fn at(n: i64) -> Timestamp {
        Timestamp::from_secs(1_000 + n)
    }

    /// One probe every ten seconds, started at second 0.
    fn engine() -> Engine {
        let probe = Probe {
            id: "svc/probe".parse().expect("valid"),
            check: Check::Tcp(TcpCheck {
                endpoint: "127.0.0.1:1".parse().expect("valid"),
                send: None,
                expect: None,
            }),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
        };
        let service = Service {
            name: "svc".parse().expect("valid"),
            display_name: None,
            labels: BTreeMap::new(),
            description: None,
            links: BTreeMap::new(),
            support: None,
            depends_on: Vec::new(),
            probes: vec![probe.clone()],
            slos: Vec::new(),
        };
        let catalog = Arc::new(Catalog { services: vec![service], ..Catalog::default() });
        let series = BTreeMap::from([(probe.id, SeriesId(1))]);
        let options = Options { vantage: "here".to_owned(), resend_delay: Duration::from_secs(60) };
        Engine::new(catalog, &series, options)
    }

    fn slot(engine: &mut Engine, n: i64, verdict: Verdict) {
        let step = Duration::from_secs(10);
        let run = Run { start: at(n), step, n: 1, verdict, class: 0 };
        engine.miss(SeriesId(1), run, &mut Vec::new());
    }

    #[test]
    fn a_cut_is_told_after_five_seconds_and_until_somebody_answers() {
        let mut engine = engine();
        engine.start(|_| at(0), at(0));
        engine.see(Sight::CutOff(at(10)));
        for (now, fires) in [(12, false), (14, false), (15, true), (900, true)] {
            engine.tick(at(now));
            assert_eq!(engine.is_blind(), fires, "at {now}");
        }
        let alert = engine.alerts().find(|alert| alert.kind == AlertKind::Blind).expect("one");
        assert!(alert.annotations["description"].contains("cut off"), "{alert:?}");
        assert_eq!(alert.labels["vantage"], "here");
        engine.see(Sight::Clear);
        for n in 0..90 {
            slot(&mut engine, 10 * n, Verdict::Unknown(UnknownReason::Isolated));
        }
        engine.tick(at(905));
        assert!(engine.is_blind(), "nothing has been measured yet");
        slot(&mut engine, 900, Verdict::Good);
        engine.tick(at(911));
        assert!(!engine.is_blind());
    }

    #[test]
    fn unknown_time_is_blindness_after_a_while_without_any_reference() {
        let mut engine = engine();
        engine.start(|_| at(0), at(0));
        slot(&mut engine, 0, Verdict::Good);
        let unknown = Verdict::Unknown(UnknownReason::LocalFault);
        for n in 1..30 {
            slot(&mut engine, 10 * n, unknown);
            engine.tick(at(10 * n));
            // The good slot speaks until second 10, and two minutes are the least while.
            assert_eq!(engine.is_blind(), 10 * n >= 130, "at {}", 10 * n);
        }
        let bad = Verdict::Bad(crate::model::BadReason::Connect);
        slot(&mut engine, 300, bad);
        engine.tick(at(311));
        assert!(!engine.is_blind(), "a failure is a sight as well");
    }

    #[test]
    fn a_restart_neither_ends_nor_repeats_the_alert() {
        let mut before = engine();
        before.start(|_| at(0), at(0));
        before.see(Sight::CutOff(at(0)));
        let kept: Vec<_> = before
            .tick(at(20))
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Append(Record::State { name, json }) => Some((name, json)),
                _ => None,
            })
            .collect();
        let mut after = engine();
        kept.iter().for_each(|(name, json)| after.restore_state(name, json));
        after.finish_restore();
        after.start(|_| at(30), at(30));
        after.tick(at(31));
        assert!(after.is_blind(), "nothing has been seen yet");
        after.see(Sight::CutOff(at(30)));
        after.tick(at(32));
        let alert = after.alerts().find(|alert| alert.kind == AlertKind::Blind).expect("one");
        assert_eq!(alert.fired_at(), Some(at(20)), "it began anew");
        after.see(Sight::Clear);
        after.tick(at(33));
        assert!(!after.is_blind());
    }
}
