//! Composites against a naive model that walks over every slot and adds fractions by hand: over
//! missing data, policies for it, weights, all budgeting methods, and days on which clocks change.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::engine::Exhaustion;
use crate::model::catalog::{Method, Part};
use crate::model::objective::PPB;
use crate::model::window::{Calendar, Unit};
use crate::model::{
    Limit, Objective, Outcome, Pair, Severity, Share, ShortThreshold, Tally, Window,
};

const MINUTE: i64 = 60;

/// A fraction in lowest terms; numbers here are small enough for 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fraction(u128, u128);

impl Fraction {
    const ZERO: Fraction = Fraction(0, 1);

    fn plus(self, (n, d): (u128, u128)) -> Fraction {
        let (n, d) = (self.0 * d + n * self.1, self.1 * d);
        let divisor = crate::model::decimal::gcd(n, d).max(1);
        Fraction(n / divisor, d / divisor)
    }

    fn is_above(self, (n, d): (u128, u128)) -> bool {
        self.0 * d > n * self.1
    }
}

/// One part as it is drawn.
#[derive(Clone, Debug)]
struct Drawn {
    /// In seconds.
    interval: i64,
    /// Bad slots or slices that are allowed, in percent.
    budget: u32,
    /// In halves.
    weight: u64,
    unknown: UnknownPolicy,
    /// How many slots in a row were what.
    runs: Vec<(Outcome, u32)>,
}

/// A composite as it is drawn.
#[derive(Clone, Debug)]
struct World {
    parts: Vec<Drawn>,
    /// 0 for occurrences, 1 for time slices, 2 for their ratios.
    method: u8,
    /// In minutes.
    slice: i64,
    /// In percent.
    slice_objective: u32,
    /// None for a rolling window of two hours; else the day on which clocks change.
    day: Option<Day>,
    /// When it is looked at, in seconds after the window can be full.
    at: i64,
}

/// A day of Europe/Berlin on which the clocks change.
#[derive(Clone, Copy, Debug)]
struct Day {
    start: &'static str,
    hours: i64,
}

const DAYS: [Day; 2] = [
    Day { start: "2026-03-28T23:00:00Z", hours: 23 },
    Day { start: "2026-10-24T22:00:00Z", hours: 25 },
];

const WINDOW: i64 = 2 * 3_600;
const PAIRS: [(i64, i64, u64); 2] = [(3_600, 600, 2), (1_800, 1_800, 1)];

impl World {
    fn method(&self) -> Method {
        let slice = Duration::from_secs(self.slice as u64 * 60);
        let objective = Share::from_ppb(self.slice_objective * 10_000_000).expect("a share");
        match self.method {
            0 => Method::Occurrences,
            1 => Method::Timeslices { slice, objective },
            _ => Method::RatioTimeslices { slice },
        }
    }

    /// When the window that is looked at begins at the latest, and when it ends: for a rolling
    /// one, when it is looked at.
    fn window(&self) -> (i64, i64) {
        match self.day {
            None => (self.at() - WINDOW, self.at()),
            Some(day) => {
                let start = seconds(day.start);
                (start, start + day.hours * 3_600)
            }
        }
    }

    fn begin(&self) -> i64 {
        let day = self.day.map_or("2026-06-01T00:00:00Z", |day| day.start);
        seconds(day) - WINDOW
    }

    fn at(&self) -> i64 {
        self.begin() + WINDOW + self.at
    }

    fn slos(&self) -> (Slo, Vec<Slo>) {
        let window = match self.day {
            None => Window::Rolling(Duration::from_secs(WINDOW as u64)),
            Some(_) => {
                let zone = "Europe/Berlin".parse().expect("a zone");
                Window::Calendar(Calendar::of(Unit::Day, zone))
            }
        };
        let of = |name: String, budget: u32| {
            let objective = Objective::from_ppb(PPB - budget * 10_000_000).expect("a share");
            let id = format!("svc/{name}").parse().expect("an id");
            Slo { method: self.method(), ..Slo::new(id, objective, window.clone()) }
        };
        let part = |(n, drawn): (usize, &Drawn)| Slo {
            unknown: drawn.unknown,
            ..of(format!("all-{}", n + 1), drawn.budget)
        };
        let slos: Vec<Slo> = self.parts.iter().enumerate().map(part).collect();
        let weigh = |(drawn, slo): (&Drawn, &Slo)| Part {
            slo: slo.id.clone(),
            weight: Weight::from_nano(drawn.weight * 500_000_000).expect("above 0"),
        };
        let parts = self.parts.iter().zip(&slos).map(weigh).collect();
        let pair = |(long, short, burn): (i64, i64, u64)| Pair {
            severity: Severity::Page,
            long: Duration::from_secs(long as u64),
            short: Duration::from_secs(short as u64),
            limit: Limit::Burn { nano: burn * 1_000_000_000, or_equal: false },
            hold: Duration::ZERO,
        };
        let policy = AlertPolicy {
            name: "p".parse().expect("a name"),
            pairs: PAIRS.into_iter().map(pair).collect(),
            short_threshold: ShortThreshold::Same,
            min_bad: 1,
        };
        let least = self.parts.iter().map(|part| part.budget).min().expect("parts");
        let policy = Some(Arc::new(policy));
        (Slo { parts, policy, ..of("all".to_owned(), least) }, slos)
    }

    /// Every slot of a part before the moment, by hand.
    fn slots(&self, part: &Drawn) -> Vec<(i64, Outcome)> {
        let flat = part.runs.iter().flat_map(|(outcome, n)| vec![*outcome; *n as usize]);
        let due = (0..).map(|k| self.begin() + k * part.interval);
        due.zip(flat.chain(std::iter::repeat(Outcome::Good)))
            .take_while(|(due, _)| *due < self.at())
            .collect()
    }

    fn series(&self, part: &Drawn) -> Series {
        let (mut series, step) = (Series::default(), Duration::from_secs(part.interval as u64));
        for (due, outcome) in self.slots(part) {
            series.push(Timestamp::from_secs(due), step, 1, Tally::of(outcome, 1));
        }
        series
    }

    fn status(&self) -> (SloStatus, bool) {
        let (slo, slos) = self.slos();
        let series: Vec<Vec<Series>> =
            self.parts.iter().map(|part| vec![self.series(part)]).collect();
        let slots = |(slo, series): (&'_ Slo, &'_ Vec<Series>)| (slo.clone(), series.clone());
        let owned: Vec<(Slo, Vec<Series>)> = slos.iter().zip(&series).map(slots).collect();
        let parts = owned
            .iter()
            .map(|(slo, series)| Slots::of(slo, Histories { series, of: &[0] }))
            .collect();
        let at = Timestamp::from_secs(self.at());
        let subject = Subject::several(&slo, parts, at);
        (subject.status_at(at), subject.joint(at).is_exhausted())
    }
}

fn seconds(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("a time").micros() / 1_000_000
}

/// What one part has in a stretch: what counted, what of it was bad (in parts of `ONE`), what
/// should have been measured and what was left out.
#[derive(Clone, Copy, Debug, Default)]
struct Had {
    counted: u128,
    bad: u128,
    expected: u128,
    excluded: u128,
    /// Good or bad, whatever the policy for what is unknown.
    known: u128,
    /// Bad if all that is unknown was.
    worst: u128,
}

/// Divided by every number of slots that a slice has here, 1 to 12.
const ONE: u128 = 27_720;

/// What a slice, or a slot, was: how many parts of it were bad; none if it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Known(u128),
    Unknown,
    Excluded,
    Nothing,
}

/// Slots and slices of one part, as they are due, by hand.
fn pieces(world: &World, part: &Drawn) -> Vec<(i64, Piece)> {
    let slots = world.slots(part);
    if world.method == 0 {
        let piece = |outcome| match outcome {
            Outcome::Good => Piece::Known(0),
            Outcome::Bad => Piece::Known(ONE),
            Outcome::Unknown => Piece::Unknown,
            Outcome::Excluded => Piece::Excluded,
        };
        return slots.into_iter().map(|(due, outcome)| (due, piece(outcome))).collect();
    }
    // Both the epoch's grid and that of a day here begin at a whole number of slices.
    let length = world.slice * MINUTE;
    let day_start = world.window().0;
    let mut start = match world.day {
        None => world.begin().div_euclid(length) * length,
        Some(_) => world.begin(),
    };
    let mut all = Vec::new();
    while start < world.at() {
        let mut end = start + length;
        if world.day.is_some() && start < day_start {
            end = end.min(day_start);
        }
        if world.day.is_some() && start >= day_start {
            end = end.min(world.window().1);
        }
        if end > world.at() {
            break;
        }
        let count = |outcome| {
            let within = |slot: &&(i64, Outcome)| start <= slot.0 && slot.0 < end;
            slots.iter().filter(within).filter(|slot| slot.1 == outcome).count() as u128
        };
        let (good, bad) = (count(Outcome::Good), count(Outcome::Bad));
        let (unknown, excluded) = (count(Outcome::Unknown), count(Outcome::Excluded));
        let tally = (good, bad, unknown, excluded);
        all.push((end - 1, slice(world, part.unknown, tally)));
        start = end;
    }
    all
}

fn slice(world: &World, policy: UnknownPolicy, slots: (u128, u128, u128, u128)) -> Piece {
    let (mut good, mut bad, unknown, excluded) = slots;
    let expected = good + bad + unknown;
    match policy {
        UnknownPolicy::Exclude => {}
        UnknownPolicy::Bad => bad += unknown,
        UnknownPolicy::Good => good += unknown,
    }
    if expected == 0 {
        return if excluded > 0 { Piece::Excluded } else { Piece::Nothing };
    }
    if good + bad == 0 {
        return Piece::Unknown;
    }
    if world.method == 2 {
        return Piece::Known(ONE * bad / (good + bad));
    }
    let reaches = |good: u128, all: u128| good * 100 >= u128::from(world.slice_objective) * all;
    let is_good = reaches(good, good + bad);
    // Half of it was measured, or nothing could change it.
    let settled =
        if is_good { reaches(good, expected) } else { !reaches(expected - bad, expected) };
    match 2 * (good + bad) >= expected || settled {
        true if is_good => Piece::Known(0),
        true => Piece::Known(ONE),
        false => Piece::Unknown,
    }
}

/// Of slices that are bad for several, only the strictest (of equal ones the first) keeps it.
fn joined(world: &World, mut all: Vec<Vec<(i64, Piece)>>) -> Vec<Vec<(i64, Piece)>> {
    if world.method != 1 {
        return all;
    }
    for n in 0..all[0].len() {
        let is_bad = |part: usize, all: &Vec<Vec<(i64, Piece)>>| match all[part][n].1 {
            Piece::Known(bad) => bad > 0,
            Piece::Unknown => world.parts[part].unknown == UnknownPolicy::Bad,
            _ => false,
        };
        let bad: Vec<usize> = (0..all.len()).filter(|part| is_bad(*part, &all)).collect();
        let takes = bad.iter().copied().min_by_key(|part| world.parts[*part].budget);
        for part in bad {
            let bad = if Some(part) == takes { ONE } else { 0 };
            all[part][n].1 = Piece::Known(bad);
        }
    }
    all
}

fn had(pieces: &[(i64, Piece)], policy: UnknownPolicy, from: i64, to: i64) -> Had {
    let mut had = Had::default();
    for (due, piece) in pieces {
        if !(from <= *due && *due < to) {
            continue;
        }
        let (counts, bad) = match (piece, policy) {
            (Piece::Known(bad), _) => (1, *bad),
            (Piece::Unknown, UnknownPolicy::Bad) => (1, ONE),
            (Piece::Unknown, UnknownPolicy::Good) => (1, 0),
            _ => (0, 0),
        };
        had.counted += counts;
        had.bad += bad;
        had.worst += if *piece == Piece::Unknown { ONE } else { bad };
        had.known += u128::from(matches!(piece, Piece::Known(_)));
        had.expected += u128::from(matches!(piece, Piece::Known(_) | Piece::Unknown));
        had.excluded += u128::from(*piece == Piece::Excluded);
    }
    had
}

fn rest(world: &World, part: &Drawn) -> u128 {
    let Some(_) = world.day else { return 0 };
    let (start, end) = world.window();
    let (from, step) = match world.method {
        0 => (world.begin(), part.interval),
        _ => (start, world.slice * MINUTE),
    };
    let at = match world.method {
        0 => world.at(),
        // A slice that has begun is still to come.
        _ => start + (world.at() - start).div_euclid(step) * step,
    };
    (0..).map(|k| from + k * step).take_while(|due| *due < end).filter(|due| *due >= at).count()
        as u128
}

/// What each takes of the common budget: its bad share over what it allows, weighed.
fn takes(part: &Drawn, bad: u128, of: u128) -> (u128, u128) {
    (u128::from(part.weight) * bad * 100, 2 * ONE * u128::from(part.budget) * of)
}

fn check(world: &World) -> Result<(), TestCaseError> {
    let (status, exhausted) = world.status();
    let by_slots: Vec<_> = world.parts.iter().map(|part| pieces(world, part)).collect();
    let all = joined(world, by_slots);
    let stretch = |from: i64| -> Vec<Had> {
        let of = |(part, pieces): (&Drawn, &Vec<(i64, Piece)>)| {
            had(pieces, part.unknown, from, world.at())
        };
        world.parts.iter().zip(&all).map(of).collect()
    };
    let (start, _) = world.window();
    let window = stretch(start);
    let rests: Vec<u128> = world.parts.iter().map(|part| rest(world, part)).collect();
    let mut spent = Fraction::ZERO;
    for ((part, had), rest) in world.parts.iter().zip(&window).zip(&rests) {
        if had.bad > 0 {
            spent = spent.plus(takes(part, had.bad, had.counted + rest));
        }
    }
    let is_spent = spent.is_above((1, 1));
    let blind = |had: &Had| had.counted == 0 && !(had.excluded > 0 && had.expected == 0);
    let is_known = window.iter().any(|had| had.counted > 0) && !window.iter().any(blind);
    prop_assert_eq!(status.accounting.is_missed(), is_spent, "{:?} of {:?}", spent, window);
    prop_assert_eq!(
        status.accounting == crate::engine::Accounting::NoData,
        !is_spent && !is_known,
        "{:?}",
        window
    );
    // What is told is what is decided, cut up to a millionth of an event.
    let (slo, _) = world.slos();
    let budget = u128::from(slo.objective.budget_ppb());
    let most = window.iter().zip(&rests).max_by_key(|(had, rest)| had.counted + **rest);
    let told = status.budget;
    let events = most.map_or(0, |(had, rest)| had.counted + rest) * u128::from(told.parts);
    if is_known || is_spent {
        let whole = budget * events;
        let bad = (spent.0 * whole).div_ceil(spent.1).div_ceil(u128::from(PPB));
        let bad = if is_spent { bad } else { bad.min(whole / u128::from(PPB)) };
        prop_assert_eq!(u128::from(told.counted.bad), bad, "{:?} of {:?}", spent, window);
        let any = window.iter().any(|had| had.bad > 0);
        prop_assert_eq!(told.counted.bad > 0, any, "a bad event is told");
        prop_assert_eq!(told.is_spent(), is_spent);
        let shares = [status.bounds[0], told.counted, status.bounds[1]];
        let [low, sli, high] = shares.map(|counted| counted.good as f64 / counted.total() as f64);
        // To the millionth of an event that each is cut to.
        let leaves_out = world.parts.iter().all(|part| part.unknown == UnknownPolicy::Exclude);
        let lies_between = low <= sli + 1e-6 && sli <= high + 1e-6;
        // Of a calendar it is told so that it agrees with the budget of the whole period.
        let is_told = leaves_out && world.day.is_none();
        prop_assert!(!is_told || lies_between, "{} {} {}", low, sli, high);
    } else {
        prop_assert_eq!(told.counted.total(), 0, "no data is no number");
    }
    let exhausted_by_hand = match world.day {
        Some(_) => is_spent,
        None => certain(world, &window).is_above((1, 1)),
    };
    prop_assert_eq!(exhausted, exhausted_by_hand);
    for (n, (long, short, burn)) in PAIRS.into_iter().enumerate() {
        let (long, short) = (stretch(world.at() - long), stretch(world.at() - short));
        let mut goes_on = Fraction::ZERO;
        for (part, had) in world.parts.iter().zip(&short) {
            if had.bad > 0 {
                goes_on = goes_on.plus(takes(part, had.bad, had.counted));
            }
        }
        let burn = (u128::from(burn), 1);
        let enough = short.iter().map(|had| had.bad).sum::<u128>() >= ONE || world.method == 0;
        let fires = certain(world, &long).is_above(burn) && goes_on.is_above(burn) && enough;
        prop_assert_eq!(status.pairs[n], fires, "pair {}: {:?} {:?}", n, long, short);
    }
    Ok(())
}

/// What is spent at least: of a part of which less than half was measured, what is certain.
fn certain(world: &World, stretch: &[Had]) -> Fraction {
    let mut sum = Fraction::ZERO;
    for (part, had) in world.parts.iter().zip(stretch) {
        if had.bad > 0 {
            let of = if 2 * had.counted >= had.expected { had.counted } else { had.expected };
            sum = sum.plus(takes(part, had.bad, of));
        }
    }
    sum
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Good),
        3 => Just(Outcome::Bad),
        2 => Just(Outcome::Unknown),
        1 => Just(Outcome::Excluded),
    ]
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let unknown = prop_oneof![
        4 => Just(UnknownPolicy::Exclude),
        1 => Just(UnknownPolicy::Bad),
        1 => Just(UnknownPolicy::Good),
    ];
    let interval = prop::sample::select(vec![10_i64, 15, 20, 30, 60]);
    let runs = prop::collection::vec((outcome(), 1_u32..120), 1..24);
    (interval, 1_u32..60, 1_u64..6, unknown, runs).prop_map(
        |(interval, budget, weight, unknown, runs)| Drawn {
            interval,
            budget,
            weight,
            unknown,
            runs,
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    let day = prop_oneof![
        2 => Just(None),
        1 => Just(Some(DAYS[0])),
        1 => Just(Some(DAYS[1])),
    ];
    let slices = (1_i64..3, 30_u32..101);
    (prop::collection::vec(drawn(), 1..4), 0_u8..3, slices, day, 1_i64..12_000).prop_map(
        |(parts, method, (slice, slice_objective), day, at)| World {
            parts,
            method,
            slice,
            slice_objective,
            day,
            at,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_composite_is_the_weighed_sum_of_what_its_parts_spend(world in world()) {
        check(&world)?;
    }

    #[test]
    fn a_composite_of_one_part_is_that_part(mut world in world()) {
        world.parts.truncate(1);
        world.parts[0].weight = 2;
        let (whole, _) = world.status();
        let (slo, slos) = world.slos();
        let one = Slo { policy: slo.policy.clone(), ..slos[0].clone() };
        let (series, at) = ([world.series(&world.parts[0])], Timestamp::from_secs(world.at()));
        let slots = Histories { series: &series, of: &[0] };
        let alone = Subject::one(Slots::of(&one, slots), at).status_at(at);
        if whole.budget.counted.total() > 0 {
            prop_assert_eq!(whole.budget.spent_ratio(), alone.budget.spent_ratio());
            prop_assert_eq!(whole.budget.left_seconds(), alone.budget.left_seconds());
            prop_assert_eq!(whole.accounting, alone.accounting);
        }
        prop_assert_eq!(&whole.pairs, &alone.pairs);
        let fine = whole.budget.parts / alone.budget.parts;
        prop_assert_eq!(whole.tally, alone.tally.times(fine));
        prop_assert_eq!(whole.coverage.ratio(), alone.coverage.ratio());
        if whole.budget.counted.total() > 0 {
            let seconds = |exhaustion| match exhaustion {
                Exhaustion::In(left) => left.as_secs_f64(),
                Exhaustion::Never => -1.0,
                Exhaustion::Unknown => -2.0,
            };
            let apart = seconds(whole.exhaustion) - seconds(alone.exhaustion);
            prop_assert!(apart.abs() < 0.01, "{:?} {:?}", whole.exhaustion, alone.exhaustion);
        }
        let burns = |status: &SloStatus| -> Vec<_> {
            status.burns.iter().map(|burn| burn.spending().burns_above((1, 1))).collect()
        };
        prop_assert_eq!(burns(&whole), burns(&alone));
    }
}

#[test]
fn slices_of_parts_that_somebody_else_counts_are_judged_by_their_intervals() {
    let step = Duration::from_secs(60);
    let method = Method::RatioTimeslices { slice: step * 5 };
    let window = Window::Rolling(step * 100);
    let slo = Slo {
        method,
        ..Slo::new("svc/one".parse().expect("valid"), "90%".parse().expect("valid"), window)
    };
    let begin = Timestamp::from_secs(0).floor(step * 5);
    // Of each five intervals one was measured, with a thousand events.
    let (mut events, mut measured) = (Series::default(), Series::default());
    let missed = Tally::of(Outcome::Unknown, 1);
    for k in 0..100 {
        let is_measured = k % 5 == 0;
        let good = |n| if is_measured { Tally::of(Outcome::Good, n) } else { missed };
        events.push(begin.plus(step * k), step, 1, good(1_000));
        measured.push(begin.plus(step * k), step, 1, good(1));
    }
    let end = begin.plus(step * 100);
    let told = |intervals: Vec<Series>| {
        let recorded = Recorded::new(vec![events.clone()], intervals);
        Subject::one(recorded.slots(&slo), end).judged(0).before(end)
    };
    assert_eq!(told(vec![measured]), missed.times(20 * method.parts()));
    assert_eq!(told(Vec::new()).unknown, 0, "as if a slot were an event");
}
