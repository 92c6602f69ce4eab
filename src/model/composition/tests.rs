//! The figures of published examples, and every law against a count of all states.

use proptest::prelude::*;

use super::*;

/// A service: its objective, and what it needs.
type Row<'a> = (&'a str, &'a str, Vec<Dependency>);

fn platform(rows: &[Row<'_>]) -> Platform {
    let mut rows: Vec<&Row<'_>> = rows.iter().collect();
    rows.sort_by_key(|row| row.0);
    let names: Vec<Name> = rows.iter().map(|row| row.0.parse().expect("a name")).collect();
    let index: BTreeMap<Name, usize> = names.iter().cloned().zip(0..).collect();
    let ppb = |text: &str| text.parse().ok().map(crate::model::Objective::budget_ppb);
    Platform {
        own: rows.iter().map(|row| ppb(row.1)).collect(),
        needs: rows.iter().map(|row| needs(&row.2, &index)).collect(),
        names,
        index,
    }
}

fn one(name: &str) -> Dependency {
    some(1, &[name], None)
}

fn soft(name: &str) -> Dependency {
    Dependency { impact: Impact::Soft, ..one(name) }
}

fn some(need: usize, of: &[&str], percent: Option<f64>) -> Dependency {
    Dependency {
        need,
        of: of.iter().map(|name| name.parse().expect("a name")).collect(),
        impact: Impact::Hard,
        common_cause_ppb: percent.map(|percent| (percent * 1e7).round() as u32),
    }
}

fn composed(platform: &Platform, depends_on: &[Dependency]) -> Composed {
    let structure = platform.structure(depends_on).expect("small");
    structure.composed(platform.own())
}

/// The independent availability in percent, rounded as the published figures are.
fn rounded(composed: &Composed, digits: usize) -> String {
    let lost = composed.independent.expect("known").value();
    format!("{:.digits$}", (1.0 - lost) * 100.0)
}

/// `need` of services that promise these, in percent.
fn k_of_n(need: usize, of: &[&str], percent: f64) -> Composed {
    let names: Vec<String> = (0..of.len()).map(|n| format!("s{n}")).collect();
    let rows: Vec<Row<'_>> =
        names.iter().zip(of).map(|(name, of)| (name.as_str(), *of, Vec::new())).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    composed(&platform(&rows), &[some(need, &names, Some(percent))])
}

#[test]
fn structures_have_the_worst_the_independent_and_the_best_value_of_the_table() {
    let check = |need, of: &[&str], worst: &str, independent: &str, best: &str| {
        let all = k_of_n(need, of, 0.0);
        let shown = [all.worst.availability(), all.best.availability()];
        assert_eq!(shown, [worst, best], "{need} of {of:?}");
        assert_eq!(rounded(&all, 8), independent, "{need} of {of:?}");
    };
    let (three, two, five) = ("99.9%", "99.95%", "99.999%");
    let four = "99.99%";
    check(3, &[four; 3], "0.9997", "99.97000300", "0.9999");
    check(5, &[five; 5], "0.99995", "99.99500010", "0.99999");
    check(2, &[two, four], "0.9994", "99.94000500", "0.9995");
    check(1, &[three; 2], "0.999", "99.99990000", "1");
    check(2, &[three; 3], "0.9985", "99.99970020", "1");
    check(2, &[three, two, four], "0.9994", "99.99993501", "1");
    check(3, &[three; 4], "0.998", "99.99940080", "1");
    check(4, &[three; 5], "0.9975", "99.99900200", "1");
    check(3, &[three; 5], "0.998333333", "99.99999900", "1");
}

#[test]
fn common_causes_take_the_nines_of_redundancy_away() {
    let shares = [0.0, 0.1, 1.0, 2.0, 5.0, 10.0, 20.0];
    let three = [
        "99.9999000",
        "99.9998002",
        "99.9989020",
        "99.9979040",
        "99.9949098",
        "99.9899190",
        "99.9799360",
    ];
    let four = [
        "99.9999990",
        "99.9999890",
        "99.9998990",
        "99.9997990",
        "99.9994991",
        "99.9989992",
        "99.9979994",
    ];
    for (objective, expect) in [("99.9%", three), ("99.99%", four)] {
        for (share, expect) in shares.into_iter().zip(expect) {
            let all = k_of_n(1, &[objective; 2], share);
            assert_eq!(rounded(&all, 7), expect, "{objective} at {share} %");
        }
    }
}

#[test]
fn five_nines_from_two_replicas_need_almost_no_common_cause() {
    let check = |objective: &str, percent: f64| {
        let platform = platform(&[("a", objective, vec![]), ("b", objective, vec![])]);
        let structure = platform.structure(&[some(1, &["a", "b"], None)]).expect("small");
        let group = structure.terms().next().expect("a group");
        let five = (10_000, u128::from(PPB));
        let most = structure.largest_common_cause(group, platform.own(), five);
        let most = f64::from(most.expect("some share fits")) / 1e7;
        assert!(most < percent && most > percent - 0.01, "{objective}: {most} %");
    };
    check("99.9%", 0.91);
    check("99.95%", 1.96);
    check("99.99%", 10.0);
    let mirror = platform(&[("a", "99%", vec![]), ("b", "99%", vec![])]);
    let structure = mirror.structure(&[some(1, &["a", "b"], None)]).expect("small");
    let group = structure.terms().next().expect("a group");
    let most = |ppb| structure.largest_common_cause(group, mirror.own(), (ppb, u128::from(PPB)));
    assert_eq!(most(10_000), None, "independent failures alone lose 0.01 %");
    assert_eq!(most(10_000_000), Some(PPB), "one replica alone is enough");
}

/// The application of the worked example: five nines on four hard services and a soft one.
fn worked(api: Dependency) -> (Platform, Composed) {
    let platform = platform(&[
        ("api", "99.95%", vec![]),
        ("cache", "99%", vec![]),
        ("database", "99.99%", vec![]),
        ("dns", "99.999%", vec![]),
        ("ingress-a", "99.95%", vec![]),
        ("ingress-b", "99.95%", vec![]),
    ]);
    let ingress = some(1, &["ingress-a", "ingress-b"], Some(2.0));
    let all = composed(&platform, &[api, one("database"), one("dns"), ingress, soft("cache")]);
    (platform, all)
}

#[test]
fn five_nines_on_ordinary_services_are_62_budgets_away() {
    let (_, all) = worked(one("api"));
    assert_eq!(rounded(&all, 6), "99.937982");
    assert_eq!(
        (all.worst.availability(), all.best.availability()),
        ("0.99889".into(), "0.9995".into())
    );
    let lost = all.independent.expect("known").value();
    assert_eq!(format!("{:.2}", lost * 2_592_000.0), "1607.50");
    assert_eq!(format!("{:.2}", lost / 1e-5), "62.02");
    let (_, without) = worked(soft("api"));
    assert_eq!(rounded(&without, 6), "99.987976");
    let lost = without.independent.expect("known").value();
    assert_eq!(format!("{:.2} {:.1}", lost * 2_592_000.0, lost / 1e-5), "311.66 12.0");
}

#[test]
fn a_dependency_that_spends_exactly_the_budget_does_not_break_it() {
    let (platform, _) = worked(one("api"));
    let dependencies =
        [one("api"), one("database"), one("dns"), some(1, &["ingress-a", "ingress-b"], Some(2.0))];
    let structure = platform.structure(&dependencies).expect("small");
    let five = (10_000, u128::from(PPB));
    let fits = |term: Term<'_>| {
        let all = structure.composed_term(term, platform.own());
        let independent = all.independent.expect("known").fits(five.0, five.1);
        let name = platform.name(term.services()[0]).to_owned();
        (name, all.worst.fits(five.0, five.1), independent, all.best.fits(five.0, five.1))
    };
    let told: Vec<_> = structure.terms().map(fits).collect();
    let row = |name: &str, worst, independent, best| (name.to_owned(), worst, independent, best);
    assert_eq!(
        told,
        [
            row("api", false, false, false),
            row("database", false, false, false),
            row("dns", true, true, true),
            // 2 % of common causes leave it 2.4 % above the budget; only luck keeps it within.
            row("ingress-a", false, false, true),
        ]
    );
    let ingress = structure.terms().last().expect("the group");
    let lost = structure.composed_term(ingress, platform.own()).independent.expect("known");
    assert_eq!(format!("{:.5e}", lost.value()), "1.02401e-5");
}

#[test]
fn what_two_services_share_is_counted_once() {
    let platform = platform(&[
        ("a", "99.95%", vec![one("d")]),
        ("b", "99.95%", vec![one("d")]),
        ("d", "99.99%", vec![]),
    ]);
    let series = composed(&platform, &[one("a"), one("b")]);
    assert_eq!(rounded(&series, 6), "99.890035");
    assert_eq!(series.worst.availability(), "0.9989");
    let mirrored = composed(&platform, &[some(1, &["a", "b"], Some(0.0))]);
    assert_eq!(rounded(&mirrored, 6), "99.989975");
    assert_eq!(mirrored.best.availability(), "0.9999");
    assert_eq!(mirrored.worst.availability(), "0.9994");
}

#[test]
fn regions_behind_a_router_are_as_good_as_the_router() {
    let rows = [("r", "99.99%", vec![]), ("x", "99.95%", vec![]), ("y", "99.95%", vec![])];
    let all = composed(&platform(&rows), &[one("r"), some(1, &["x", "y"], Some(0.0))]);
    assert_eq!(rounded(&all, 7), "99.9899750");
    let queue = [("d", "99.99%", vec![]), ("q", "99.9%", vec![]), ("w", "99.95%", vec![])];
    let all = composed(&platform(&queue), &[one("w"), some(1, &["d", "q"], Some(0.0))]);
    assert_eq!(rounded(&all, 5), "99.94999");
}

#[test]
fn what_promises_nothing_leaves_only_bounds() {
    let platform = platform(&[("a", "99.9%", vec![]), ("b", "nothing", vec![])]);
    let all = composed(&platform, &[one("a"), one("b")]);
    assert_eq!((all.independent, all.worst.is_whole()), (None, true));
    assert_eq!(all.best.availability(), "0.999");
    let nothing = composed(&platform, &[soft("a")]);
    assert_eq!(nothing.independent.map(Independent::value), Some(0.0));
    assert_eq!(
        (nothing.worst.percent(), nothing.worst.availability()),
        ("100 %".into(), "1".into())
    );
}

#[test]
fn every_way_to_a_service_is_told_from_the_top() {
    let rows = [("a", "99%", vec![one("b")]), ("b", "99%", vec![one("c")]), ("c", "99%", vec![])];
    let platform = platform(&rows);
    let structure = platform.structure(&[one("a")]).expect("small");
    assert_eq!(structure.way(2), [0, 1]);
    assert!(structure.way(0).is_empty() && structure.needs(2));
}

#[test]
fn a_structure_that_unfolds_without_end_is_refused_at_once() {
    // Each layer needs one of two of the next: 2^20 ways.
    let name = |layer: usize, side: usize| format!("s{layer:02}{side}");
    let below = |layer: usize| {
        let names = [name(layer + 1, 0), name(layer + 1, 1)];
        some(1, &[&names[0], &names[1]], Some(1.0))
    };
    let names: Vec<(usize, String)> =
        (0..20).flat_map(|layer| [(layer, name(layer, 0)), (layer, name(layer, 1))]).collect();
    let needs = |layer| if layer < 19 { vec![below(layer)] } else { vec![] };
    let rows: Vec<Row<'_>> =
        names.iter().map(|(layer, name)| (name.as_str(), "99%", needs(*layer))).collect();
    assert!(platform(&rows).structure(&[one("s000")]).is_none());
}

/// Which states of all leaves take the dependent down, from the declarations alone.
struct States<'a> {
    platform: &'a Platform,
    causes: BTreeMap<Vec<usize>, u32>,
}

impl<'a> States<'a> {
    fn of(platform: &'a Platform, root: &[Need]) -> Self {
        let mut states = States { platform, causes: BTreeMap::new() };
        let mut seen = BTreeSet::new();
        let mut open: Vec<Need> = root.to_vec();
        while let Some(need) = open.pop() {
            if need.need < need.of.len() {
                let mut members = need.of.clone();
                members.sort_unstable();
                let share = states.causes.entry(members).or_default();
                *share = need.common_cause_ppb.unwrap_or(DEFAULT_COMMON_CAUSE_PPB).max(*share);
            }
            for service in need.of {
                if seen.insert(service) {
                    open.extend(platform.needs[service].clone());
                }
            }
        }
        states
    }

    fn causes(&self) -> Vec<Cause> {
        let cause = |(members, share): (&Vec<usize>, &u32)| Cause {
            members: members.clone(),
            share_ppb: *share,
        };
        self.causes.iter().map(cause).collect()
    }

    fn works(&self, service: usize, down: u32) -> bool {
        let n = self.platform.names.len();
        let hit = |(i, members): (usize, &Vec<usize>)| {
            down >> (n + i) & 1 == 1 && members.contains(&service)
        };
        down >> service & 1 == 0
            && !self.causes.keys().enumerate().any(hit)
            && self.all(&self.platform.needs[service], down)
    }

    fn all(&self, needs: &[Need], down: u32) -> bool {
        needs.iter().all(|need| {
            need.of.iter().filter(|service| self.works(**service, down)).count() >= need.need
        })
    }

    /// The sum of the probabilities of every state in which `root` does not hold.
    fn count(&self, root: &[Need], leaves: &[f64]) -> f64 {
        let weight = |down: u32| -> f64 {
            let each = leaves.iter().enumerate();
            each.map(|(i, p)| if down >> i & 1 == 1 { *p } else { 1.0 - p }).product()
        };
        (0..1_u32 << leaves.len()).filter(|d| !self.all(root, *d)).map(weight).sum()
    }
}

fn needs_above(above: usize, n: usize) -> impl Strategy<Value = Vec<Need>> {
    let of = proptest::collection::btree_set(above..n, 1..=4);
    let need = (of, any::<prop::sample::Index>(), proptest::option::of(0..=PPB));
    let need = need.prop_map(|(of, need, common_cause_ppb)| {
        let of: Vec<usize> = of.into_iter().collect();
        Need { need: 1 + need.index(of.len()), of, common_cause_ppb }
    });
    proptest::collection::vec(need, 0..=2)
}

/// Up to seven services, each needing later ones, and something that needs them.
fn any_platform() -> impl Strategy<Value = (Platform, Vec<Need>)> {
    (2_usize..=7)
        .prop_flat_map(|n| {
            let own = proptest::collection::vec((1..=PPB / 2).prop_map(Some), n);
            let below: Vec<_> =
                (0..n)
                    .map(|i| {
                        if i + 1 < n { needs_above(i + 1, n).boxed() } else { Just(vec![]).boxed() }
                    })
                    .collect();
            (own, below, needs_above(0, n))
        })
        .prop_map(|(own, needs, root)| {
            let names: Vec<Name> =
                (0..own.len()).map(|i| format!("s{i}").parse().expect("a name")).collect();
            let index = names.iter().cloned().zip(0..).collect();
            (Platform { names, index, own, needs }, root)
        })
}

fn structure_of(platform: &Platform, root: &[Need]) -> Structure {
    let name = |i: &usize| platform.names[*i].clone();
    let dependency = |need: &Need| Dependency {
        need: need.need,
        of: need.of.iter().map(name).collect(),
        impact: Impact::Hard,
        common_cause_ppb: need.common_cause_ppb,
    };
    let dependencies: Vec<Dependency> = root.iter().map(dependency).collect();
    platform.structure(&dependencies).expect("small")
}

proptest! {
    #[test]
    fn the_independent_value_is_that_of_a_count_of_all_states((platform, root) in any_platform()) {
        let states = States::of(&platform, &root);
        let leaves = leaves(platform.own(), &states.causes());
        prop_assume!(leaves.len() <= 12);
        let expect = states.count(&root, &leaves);
        let structure = structure_of(&platform, &root);
        let lost = structure.composed(platform.own()).independent.expect("known").value();
        prop_assert!((lost - expect).abs() <= 1e-12 * expect.max(1e-3), "{lost} not {expect}");
    }

    #[test]
    fn no_dependence_between_leaves_leaves_the_bounds(
        (platform, root) in any_platform(),
        starts in proptest::collection::vec(0.0_f64..1.0, 7),
        stacked: bool,
        aligned: u8,
    ) {
        // Each leaf is down over an arc of a circle: one joint distribution for each choice of
        // where the arcs begin; end to end makes series worst, aligned makes groups worst.
        let states = States { platform: &platform, causes: BTreeMap::new() };
        let arc = |i: usize| f64::from(platform.own[i].unwrap_or(0)) / f64::from(PPB);
        let mut begin = 0.0;
        let arcs: Vec<(f64, f64)> = (0..platform.own.len()).map(|i| {
            let here = if stacked { begin } else { starts[i] };
            let here = if aligned >> i & 1 == 1 { 0.0 } else { here };
            begin = (here + arc(i)) % 1.0;
            (here, arc(i))
        }).collect();
        let ends = arcs.iter().flat_map(|(from, l)| [*from, (from + l) % 1.0]);
        let mut edges: Vec<f64> = ends.collect();
        edges.extend([0.0, 1.0]);
        edges.sort_by(f64::total_cmp);
        let lost: f64 = edges.windows(2).map(|pair| {
            let middle = f64::midpoint(pair[0], pair[1]);
            let is_down = |(from, l): &(f64, f64)| (middle - from).rem_euclid(1.0) < *l;
            let each = arcs.iter().enumerate();
            let down = each.fold(0, |d, (i, arc)| d | (u32::from(is_down(arc)) << i));
            if states.all(&root, down) { 0.0 } else { pair[1] - pair[0] }
        }).sum();
        let structure = structure_of(&platform, &root);
        let all = structure.composed(platform.own());
        prop_assert!(lost <= all.worst.as_f64() + 1e-9, "{lost} above {:?}", all.worst);
        prop_assert!(lost >= all.best.as_f64() - 1e-9, "{lost} below {:?}", all.best);
    }

    #[test]
    fn plain_services_in_series_reach_both_bounds(
        own in proptest::collection::vec(1..=PPB / 16, 1..8),
    ) {
        let names: Vec<String> = (0..own.len()).map(|i| format!("s{i}")).collect();
        let rows: Vec<Row<'_>> = names.iter().map(|name| (name.as_str(), "99%", vec![])).collect();
        let mut platform = platform(&rows);
        platform.own = own.iter().copied().map(Some).collect();
        let all: Vec<Dependency> = names.iter().map(|name| one(name)).collect();
        let all = composed(&platform, &all);
        let sum: u64 = own.iter().copied().map(u64::from).sum();
        let most = own.iter().copied().max().expect("one at least");
        prop_assert!(all.worst.fits(sum.into(), PPB.into()));
        prop_assert!(!all.worst.fits(u128::from(sum) - 1, PPB.into()));
        prop_assert_eq!(all.best, Bound::from_ppb(most));
        let lost = all.independent.expect("known").value();
        prop_assert!(lost <= all.worst.as_f64() * (1.0 + 1e-12));
        prop_assert!(lost >= all.best.as_f64() * (1.0 - 1e-12));
    }
}
