//! Results that are sent, over lives of processes and declarations with other intervals, against
//! a list of what was acknowledged.

use proptest::prelude::*;

use super::*;
use crate::engine::intake::{Sent, Taken};
use crate::engine::{Effect, Engine, Options};
use crate::model::check::Check;
use crate::model::{Catalog, Counts, Name, Outcome, Record, Service, Slo, SloId, Tally, Window};

const BASE: i64 = 1_800_000_000;
const ID: &str = "jobs/backups";
/// How far one turn of a life goes.
const TURN: Duration = Duration::from_millis(250);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(BASE * 1_000_000 + millis * 1_000)
}

fn name(text: &str) -> Name {
    text.parse().expect("valid")
}

/// What is declared: interval and grace in seconds.
fn declared((interval, grace): (u64, u64)) -> (Arc<Catalog>, Probe, source::Push) {
    let push = source::Push { token_file: "token".into(), grace: Duration::from_secs(grace) };
    let probe = Probe {
        id: ID.parse().expect("valid"),
        check: Check::Source(Source::Push(push.clone())),
        interval: Duration::from_secs(interval),
        timeout: Duration::from_secs(interval),
    };
    let slo = Slo {
        probes: vec![probe.id.clone()],
        source: Some(Source::Push(push.clone())),
        ..Slo::new(
            ID.parse::<SloId>().expect("valid"),
            "99%".parse().expect("valid"),
            Window::Rolling(Duration::from_secs(86_400)),
        )
    };
    let service = Service {
        name: name("jobs"),
        display_name: None,
        labels: BTreeMap::new(),
        description: None,
        links: BTreeMap::new(),
        support: None,
        depends_on: Vec::new(),
        probes: vec![probe.clone()],
        slos: vec![slo],
    };
    (Arc::new(Catalog { services: vec![service], ..Catalog::default() }), probe, push)
}

/// A process with one post box, and the disk that outlives it.
struct Life {
    declared: (u64, u64),
    engine: Engine,
    intake: Intake,
    due: Timestamp,
    /// Everything that was to be kept, in its order; how much of it is durable.
    records: Vec<Record>,
    durable: usize,
    /// Where each transaction ends that is not durable for sure.
    ends: Vec<usize>,
}

impl Life {
    fn begin(declared_as: (u64, u64), records: Vec<Record>, wall: Timestamp) -> (Life, Timestamp) {
        let (catalog, probe, _) = declared(declared_as);
        let series_of = BTreeMap::from([(probe.id.clone(), SeriesId(1))]);
        let options = Options { vantage: "here".to_owned(), resend_delay: TURN };
        let mut engine = Engine::new(catalog, &series_of, options);
        let kept = restore(&mut engine, &records);
        let now = engine.resume_at(wall);
        let series = SeriesId(1);
        let past = Past {
            next: engine.next_due(series),
            turn: engine.turn_ahead(series),
            step: engine.step(series).expect("declared"),
            counted_until: engine.counted_until(series),
        };
        let (order, runs) = resume(&(series, probe.clone()), kept, &past, now).expect("a source");
        let mut effects = Vec::new();
        for run in runs {
            engine.count(Counted { series, run, state: None }, &mut effects);
        }
        effects.extend(engine.start(|_| order.first, now));
        let intake = Intake::new(probe.interval, order.kept.as_deref(), order.first);
        let (due, durable) = (order.first, records.len());
        assert_eq!(due, due.floor(probe.interval), "on its grid");
        let ends = Vec::new();
        let mut life = Life { declared: declared_as, engine, intake, due, records, durable, ends };
        life.keep(effects);
        (life, now)
    }

    fn keep(&mut self, effects: Vec<Effect>) {
        let record = |effect| match effect {
            Effect::Append(record) => Some(record),
            _ => None,
        };
        self.records.extend(effects.into_iter().filter_map(record));
        self.ends.push(self.records.len());
    }

    fn report(&mut self, run: Run) {
        let mut effects = Vec::new();
        let counted = Counted { series: SeriesId(1), run, state: None };
        self.engine.count(counted, &mut effects);
        self.keep(effects);
    }

    /// Closes what is over, and looks.
    fn turn(&mut self, now: Timestamp) {
        let (interval, grace) = self.declared;
        let (step, grace) = (Duration::from_secs(interval), Duration::from_secs(grace));
        while self.due.plus(step).plus(grace) <= now {
            let verdict = self.intake.close(self.due);
            self.report(Run { start: self.due, step, n: 1, verdict, class: 0 });
            self.due = self.due.plus(step);
        }
        let effects = self.engine.tick(now);
        self.keep(effects);
    }

    /// Whether a delivery is acknowledged, and was not before.
    fn deliver(&mut self, key: usize, sent: &[Sent], now: Timestamp) -> Option<Taken> {
        let taken = self.intake.take(&key.to_string(), sent, now).ok()?;
        let (name, json) = (format!("{STATE}{ID}"), self.intake.kept());
        self.records.push(Record::State { name, json });
        self.durable = self.records.len();
        self.ends.clear();
        Some(taken)
    }

    /// As a reload does it, `lead` before the moment from which it holds.
    fn reload(&mut self, next: (u64, u64), now: Timestamp, lead: Duration) {
        let (_, before, _) = declared(self.declared);
        let (catalog, probe, _) = declared(next);
        let progress = Progress { due: self.due, kept: self.intake.kept() };
        let series_of = BTreeMap::from([(probe.id.clone(), SeriesId(1))]);
        if let Some(until) = progress.promised_until() {
            self.engine.promise_slots(SeriesId(1), until);
        }
        let at = now.plus(lead);
        let effects = self.engine.reload(catalog, &series_of, at);
        self.keep(effects);
        let (first, kept) = if goes_on(&before, &probe) {
            (progress.due, Some(progress.kept))
        } else {
            let (first, kept, runs) = progress.turn(&before, &probe, at);
            runs.into_iter().for_each(|run| self.report(run));
            (first, kept)
        };
        assert_eq!(first, first.floor(probe.interval), "on its grid");
        self.intake = Intake::new(probe.interval, kept.as_deref(), first);
        (self.due, self.declared) = (first, next);
    }

    /// The records that a kill leaves behind, of those that were not durable so many.
    fn killed(mut self, more: usize) -> Vec<Record> {
        let ends: Vec<usize> = [self.durable].into_iter().chain(self.ends).collect();
        self.records.truncate(ends[more % ends.len()]);
        self.records
    }
}

/// Hands records back as the ledger does; returns what the source kept.
fn restore(engine: &mut Engine, records: &[Record]) -> Option<String> {
    let mut states = BTreeMap::new();
    let mut covered = Timestamp::MIN;
    for record in records {
        match record {
            Record::State { name, json } => _ = states.insert(name.clone(), json.clone()),
            Record::Slice(slice) => covered = covered.max(slice.end),
            Record::Observation(_) | Record::Gap(..) => {}
        }
    }
    let kept = states.remove(&format!("{STATE}{ID}"));
    states.iter().for_each(|(name, json)| engine.restore_state(name, json));
    for record in records.iter().filter(|record| matches!(record, Record::Slice(_))) {
        engine.restore_record(record);
    }
    for record in records {
        if let Record::Gap(_, run) = record
            && run.start >= covered
        {
            engine.restore_record(record);
        }
    }
    engine.finish_restore();
    kept
}

/// What befalls a life after so many turns.
#[derive(Clone, Copy, Debug)]
enum Event {
    Reload((u64, u64), Duration),
    /// How long nobody runs, how far the wall clock goes back meanwhile, how much of what was not
    /// durable is there all the same, and what is declared then.
    Restart {
        down: i64,
        back: i64,
        more: usize,
        next: Option<(u64, u64)>,
    },
}

fn push() -> impl Strategy<Value = (u64, u64)> {
    (prop::sample::select(vec![1_u64, 2, 3, 4, 5, 7, 10, 60]), 1_u64..8)
}

fn event() -> impl Strategy<Value = Event> {
    let lead = prop_oneof![Just(50_u64), Just(0), 0_u64..1_500].prop_map(Duration::from_millis);
    let back = prop_oneof![4 => Just(0_i64), 1 => 0_i64..90_000];
    let restart = (0_i64..30_000, back, 0_usize..40, prop::option::of(push()));
    prop_oneof![
        (push(), lead).prop_map(|(next, lead)| Event::Reload(next, lead)),
        restart.prop_map(|(down, back, more, next)| Event::Restart { down, back, more, next }),
    ]
}

/// What is sent at a turn, if something is: how long before now in milliseconds, good and bad.
fn sent() -> impl Strategy<Value = Option<(i64, u32, u32)>> {
    prop::option::weighted(0.4, (-1_000_i64..6_000, 0_u32..9, 0_u32..3))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_counts_once_whatever_is_declared_and_whoever_dies(
        first in push(), deliveries in prop::collection::vec(sent(), 40..400),
        events in prop::collection::vec((0_usize..400, event()), 0..8),
    ) {
        let (mut life, mut now) = Life::begin(first, Vec::new(), at(0));
        let mut known: Vec<[Sent; 1]> = Vec::new();
        let (mut all, mut taken) = (Tally::ZERO, BTreeMap::new());
        for (turn, delivery) in deliveries.iter().enumerate() {
            now = now.plus(TURN);
            life.turn(now);
            for (_, event) in events.iter().filter(|(when, _)| *when == turn) {
                match *event {
                    Event::Reload(next, lead) => life.reload(next, now, lead),
                    Event::Restart { down, back, more, next } => {
                        let next = next.unwrap_or(life.declared);
                        let down = Duration::from_millis(down.unsigned_abs());
                        let back = Duration::from_millis(back.unsigned_abs());
                        let wall = now.plus(down).minus(back);
                        (life, now) = Life::begin(next, life.killed(more), wall);
                    }
                }
            }
            if let Some((ago, good, bad)) = delivery {
                let when = now.minus(Duration::from_secs(1)).plus(Duration::from_millis(2_000));
                let when = when.minus(Duration::from_millis((ago + 1_000).unsigned_abs()));
                let counts = Counts { good: *good, bad: *bad, unknown: 0 };
                known.push([Sent { from: when, to: when, counts }]);
            }
            // Whoever had no answer sends again, and whoever had one may do so, too.
            let fresh = known.len().saturating_sub(5);
            for (key, sent) in known.iter().enumerate().skip(fresh) {
                let before = taken.contains_key(&key);
                match life.deliver(key, sent, now) {
                    Some(Taken::Now) => {
                        prop_assert!(!before, "key {key} counts twice");
                        let Counts { good, bad, .. } = sent[0].counts;
                        all += Tally::of(Outcome::Good, good.into());
                        all += Tally::of(Outcome::Bad, bad.into());
                        taken.insert(key, ());
                    }
                    Some(Taken::Before) => prop_assert!(before, "key {key} was never taken"),
                    None => prop_assert!(!before, "key {key} was taken and is refused"),
                }
            }
        }
        now = now.plus(Duration::from_secs(200));
        life.turn(now);
        let state = life.engine.slo(ID).expect("declared");
        let totals = state.status.as_ref().map(|status| status.totals).unwrap_or_default();
        prop_assert_eq!((totals.good, totals.bad), (all.good, all.bad));
        prop_assert_eq!(life.engine.stats().duplicates, 0);
        prop_assert_eq!(life.engine.stats().strangers, 0);
    }
}
