//! The chance that outages to come leave a budget whole.
//!
//! Outages come as a Poisson process whose rate is known by those that were seen alone (Gamma
//! posterior of Jeffreys' prior), and each costs what one of those did, with equal chance. Nothing
//! is drawn: what a bootstrap would estimate is summed up here, over how many outages come and
//! what they cost together. Exact where costs are whole cells of the grid; else a cost is split
//! between the two cells around it so that its mean stays, which makes many outages far below a
//! cell look like fewer and larger ones. Bounded: 128 cells, hence at most as many outages that
//! matter.

use std::time::Duration;

use super::Record;

/// Into how many cells a budget is cut at most. More change the third digit of a chance.
const MAX_CELLS: u64 = 128;
/// Terms below this share of what has been summed up no longer matter.
const NEGLIGIBLE: f64 = 1e-14;

/// A stretch of the time ahead, in which so much may have been lost in all since now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// How long it is.
    pub length: Duration,
    /// What the outages since now may have cost at its end, in the unit of the costs.
    pub room: u64,
}

/// The chance that at no time within these stretches, one after the other, outages have cost more
/// than there is room for. `costs` are those of the outages that were seen, or what one is taken
/// to cost. None without observed time and without costs.
pub fn chance(record: &Record, costs: &[u64], ahead: &[Stretch]) -> Option<f64> {
    let observed = record.observed.as_secs_f64();
    let most = ahead.iter().map(|stretch| stretch.room).max()?;
    if observed <= 0.0 || costs.is_empty() {
        return None;
    }
    let grid = Grid::new(costs, most);
    let (hits, marks) = grid.marks(costs);
    // Outages that cost no cell are left out: those that do come at a share of the rate.
    let times: Vec<f64> = ahead.iter().map(|one| one.length.as_secs_f64() * hits).collect();
    let scale = observed + times.iter().sum::<f64>();
    let shape = record.outages as f64 + 0.5;
    let mut alive = vec![vec![(observed / scale).powf(shape)]];
    for (stretch, time) in ahead.iter().zip(times) {
        let room = usize::try_from(stretch.room / grid.cell).unwrap_or(usize::MAX);
        alive = pass(alive, time / scale, &marks, shape, room);
    }
    Some(alive.iter().flatten().sum::<f64>().min(1.0))
}

/// A budget in cells.
struct Grid {
    cell: u64,
    n: usize,
}

impl Grid {
    /// Cells that every cost is a whole number of, unless those would be too many.
    fn new(costs: &[u64], most: u64) -> Self {
        let unit = costs.iter().fold(0, |a, b| gcd(a, *b)).max(1);
        let cell = unit.saturating_mul((most / unit).div_ceil(MAX_CELLS).max(1));
        Grid { cell, n: usize::try_from(most / cell).unwrap_or(usize::MAX) }
    }

    /// The share of outages that cost a cell at least, and of those, which share costs so many:
    /// as far as there is room for it.
    fn marks(&self, costs: &[u64]) -> (f64, Vec<(usize, f64)>) {
        let mut weights = vec![0.0; self.n + 2];
        let mut beyond = 0.0;
        let each = 1.0 / costs.len() as f64;
        for cost in costs {
            let (whole, rest) = (cost / self.cell, (cost % self.cell) as f64 / self.cell as f64);
            let whole = usize::try_from(whole).unwrap_or(usize::MAX);
            for (cells, weight) in [(whole, 1.0 - rest), (whole.saturating_add(1), rest)] {
                let slot = weights.get_mut(cells).unwrap_or(&mut beyond);
                *slot += weight * each;
            }
        }
        let hits = weights[1..].iter().sum::<f64>() + beyond;
        let marks = (1..=self.n).map(|cells| (cells, weights[cells] / hits));
        (hits, marks.filter(|(_, share)| *share > 0.0).collect())
    }
}

/// What is alive after a stretch. `alive[n][cells]` is the weight of `n` outages that cost so
/// many cells; the chance of another one rises with those there were, as rates that are not known
/// have it. `time` is the length of the stretch over all time, observed and ahead.
fn pass(
    alive: Vec<Vec<f64>>,
    time: f64,
    marks: &[(usize, f64)],
    shape: f64,
    room: usize,
) -> Vec<Vec<f64>> {
    let mut sums: Vec<Vec<f64>> = alive;
    sums.iter_mut().for_each(|costs| costs.truncate(room.saturating_add(1)));
    let (mut term, mut before) = (sums.clone(), f64::INFINITY);
    for k in 1..=MAX_CELLS {
        // One more outage in this stretch than in the term before.
        let mut next: Vec<Vec<f64>> = vec![Vec::new(); term.len() + 1];
        let mut added = 0.0;
        for (n, costs) in term.iter().enumerate() {
            let rate = time / k as f64 * (shape + n as f64);
            for (cost, weight) in costs.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                for (cells, share) in marks.iter().take_while(|(cells, _)| cost + cells <= room) {
                    let to = cost + cells;
                    if next[n + 1].len() <= to {
                        next[n + 1].resize(to + 1, 0.0);
                    }
                    next[n + 1][to] += rate * share * weight;
                    added += rate * share * weight;
                }
            }
        }
        let so_far: f64 = sums.iter().flatten().sum();
        add(&mut sums, &next);
        if added <= so_far * NEGLIGIBLE && added <= before {
            break;
        }
        (term, before) = (next, added);
    }
    sums
}

fn add(sums: &mut Vec<Vec<f64>>, more: &[Vec<f64>]) {
    if sums.len() < more.len() {
        sums.resize(more.len(), Vec::new());
    }
    for (sum, more) in sums.iter_mut().zip(more) {
        if sum.len() < more.len() {
            sum.resize(more.len(), 0.0);
        }
        sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(n: u64) -> Duration {
        Duration::from_secs(n * 86_400)
    }

    fn record(observed: u64, outages: u64) -> Record {
        Record { observed: days(observed), outages, ..Record::default() }
    }

    fn close(got: Option<f64>, expect: f64, within: f64, what: &str) {
        let got = got.expect("observed");
        assert!((got - expect).abs() < within, "{what}: {got}, not {expect}");
    }

    /// The chance of exactly so many outages: a negative binomial, term by term.
    fn exactly(n: u64, record: &Record, ahead: Duration) -> f64 {
        let (seen, ahead) = (record.observed.as_secs_f64(), ahead.as_secs_f64());
        let (shape, next) = (record.outages as f64 + 0.5, ahead / (seen + ahead));
        let terms = (0..n).map(|k| (shape + k as f64) / (k + 1) as f64 * next);
        terms.fold((1.0 - next).powf(shape), |chance, ratio| chance * ratio)
    }

    #[test]
    fn without_room_for_one_outage_it_is_the_chance_of_quiet() {
        for (observed, outages, ahead, expect) in [
            (30, 2, 10, 0.487_14),
            (30, 0, 30, std::f64::consts::FRAC_1_SQRT_2),
            (90, 7, 30, 0.115_60),
        ] {
            let record = record(observed, outages);
            for room in [0, 59] {
                let ahead = Stretch { length: days(ahead), room };
                let got = chance(&record, &[60, 60, 90], &[ahead]);
                close(got, expect, 5e-6, "published");
                close(got, record.quiet_chance(ahead.length).expect("observed"), 1e-12, "closed");
            }
        }
    }

    #[test]
    fn outages_alike_are_counted_by_a_negative_binomial() {
        for outages in [0, 1, 5, 40] {
            let record = record(30, outages);
            for n in [0, 1, 2, 3, 7, 60] {
                let ahead = Stretch { length: days(30), room: 300 * n + 299 };
                let expect: f64 = (0..=n).map(|k| exactly(k, &record, ahead.length)).sum();
                close(chance(&record, &[300; 3], &[ahead]), expect, 1e-10, "one length");
            }
        }
    }

    #[test]
    fn outages_of_two_lengths_are_told_apart() {
        // One of two costs 100, the other 250. With room for 200: none, or up to two short ones.
        let record = record(60, 2);
        let ahead = Stretch { length: days(30), room: 200 };
        let at = |n| exactly(n, &record, ahead.length);
        let expect = at(0) + at(1) / 2.0 + at(2) / 4.0;
        close(chance(&record, &[100, 250], &[ahead]), expect, 1e-12, "200");
        // With room for 350 also one long one, with a short one before or after it.
        let ahead = Stretch { room: 350, ..ahead };
        let expect = at(0) + at(1) + at(2) * 0.75 + at(3) / 8.0;
        close(chance(&record, &[100, 250], &[ahead]), expect, 1e-12, "350");
    }

    #[test]
    fn time_may_be_cut_anywhere_and_what_expires_makes_room() {
        let record = record(30, 3);
        let (whole, costs) = (Stretch { length: days(30), room: 700 }, [60, 300, 180]);
        let part = |length| Stretch { length: days(length), ..whole };
        let cut = [part(3), part(20), part(7)];
        let expect = chance(&record, &costs, &[whole]).expect("observed");
        close(chance(&record, &costs, &cut), expect, 1e-10, "cut");
        // No room for ten days, then room for more than ever comes: ten quiet days.
        let then = Stretch { length: days(20), room: 100_000 };
        let quiet = record.quiet_chance(days(10)).expect("observed");
        let later = chance(&record, &[1_000; 3], &[Stretch { room: 0, ..part(10) }, then]);
        close(later, quiet, 1e-9, "later");
        // With room for one, then for two: not both of the first two within ten days.
        let (one, two) = (Stretch { room: 300, ..part(10) }, Stretch { room: 600, ..part(20) });
        let third = 1.0 / 3.0;
        let month = |n| exactly(n, &record, days(30));
        let expect = month(0) + month(1) + month(2) * (1.0 - third * third);
        close(chance(&record, &[300], &[one, two]), expect, 1e-12, "one, then two");
    }

    #[test]
    fn a_fine_grid_is_near_the_exact_sum() {
        // Costs without a common measure: split over cells. Against a sum over all sequences.
        let (record, costs) = (record(30, 2), [1_009_u64, 2_503, 4_001]);
        let ahead = Stretch { length: days(15), room: 7_919 };
        let mut expect = 0.0;
        let mut sums = vec![0_u64];
        for n in 0..8 {
            let fit = sums.iter().filter(|sum| **sum <= ahead.room).count();
            expect += exactly(n, &record, ahead.length) * fit as f64 / sums.len() as f64;
            sums = sums.iter().flat_map(|sum| costs.map(|cost| sum + cost)).collect();
        }
        close(chance(&record, &costs, &[ahead]), expect, 0.01, "split");
        // Many small ones: 2,000 of one event each against room for 100 more than are expected.
        let record = Record { outages: 2_000, ..record };
        let ahead = Stretch { length: days(30), room: 2_100 };
        let got = chance(&record, &[1; 2_000], &[ahead]).expect("observed");
        // 1.6 standard deviations, or 94 %; as fewer and larger ones they spread more.
        assert!((0.6..0.95).contains(&got), "{got}");
    }

    #[test]
    fn more_room_never_hurts_and_nothing_known_says_nothing() {
        let record = record(30, 4);
        let of = |room| {
            let ahead = Stretch { length: days(30), room };
            chance(&record, &[70, 500, 3_000, 120], &[ahead]).expect("observed")
        };
        let chances: Vec<f64> = (0..40).map(|n| of(n * 70)).collect();
        // Coarser cells may cost the last digits.
        assert!(chances.windows(2).all(|pair| pair[1] > pair[0] - 0.01), "{chances:?}");
        assert!(of(u64::MAX) > 0.99 && of(u64::MAX) <= 1.0);
        let ahead = [Stretch { length: days(1), room: 5 }];
        assert_eq!(chance(&Record::default(), &[1], &ahead), None);
        assert_eq!(chance(&record, &[], &ahead), None);
    }
}
