//! Whether so much fails at once that it may be us. A hint for people: it excuses nothing.

use std::collections::BTreeSet;

use crate::model::Catalog;

use super::state::ProbeState;

/// Fewest services that fail without being related.
const UNRELATED: usize = 3;

/// Whether more than half of all targets fail, in at least three services of which none depends
/// on another.
pub fn is_suspicious(catalog: &Catalog, probes: &[ProbeState]) -> bool {
    let known = probes.iter().filter_map(|state| Some((state, state.counters.last_success?)));
    let (mut n, mut failing) = (0, Vec::new());
    for (state, success) in known {
        n += 1;
        failing.extend((!success).then_some(state));
    }
    if failing.len() * 2 <= n {
        return false;
    }
    let services: BTreeSet<&str> = failing.iter().map(|state| state.probe.id.service()).collect();
    unrelated(catalog, services) >= UNRELATED
}

/// How many groups these services fall into, if those that need each other are one.
fn unrelated(catalog: &Catalog, mut services: BTreeSet<&str>) -> usize {
    let mut groups = 0;
    while let Some(first) = services.pop_first() {
        groups += 1;
        let mut reached = vec![first];
        while let Some(one) = reached.pop() {
            let near: Vec<&str> =
                services.iter().filter(|other| related(catalog, one, other)).copied().collect();
            for other in near {
                services.remove(other);
                reached.push(other);
            }
        }
        if groups >= UNRELATED {
            break;
        }
    }
    groups
}

fn related(catalog: &Catalog, one: &str, other: &str) -> bool {
    let needs = |who: &str, whom: &str| {
        let needs = catalog.service(who).into_iter().flat_map(|service| &service.depends_on);
        needs.flat_map(|dependency| &dependency.of).any(|name| name.as_str() == whom)
    };
    needs(one, other) || needs(other, one)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::engine::counters::Counters;
    use crate::model::catalog::{Dependency, Impact, Service};
    use crate::model::check::{Check, TcpCheck};
    use crate::model::{Probe, SeriesId};

    /// Services with what they need and how their one probe stands.
    fn check(services: &[(&str, &[&str], Option<bool>)], expect: bool) {
        let service = |(name, needs, _): &(&str, &[&str], Option<bool>)| Service {
            name: name.parse().expect("valid"),
            display_name: None,
            labels: BTreeMap::new(),
            description: None,
            links: BTreeMap::new(),
            support: None,
            depends_on: needs
                .iter()
                .map(|need| Dependency {
                    need: 1,
                    of: vec![need.parse().expect("valid")],
                    impact: Impact::Hard,
                    common_cause_ppb: None,
                })
                .collect(),
            probes: Vec::new(),
            slos: Vec::new(),
        };
        let probe = |(name, _, success): &(&str, &[&str], Option<bool>)| ProbeState {
            probe: Probe {
                id: format!("{name}/p").parse().expect("valid"),
                check: Check::Tcp(TcpCheck {
                    endpoint: "127.0.0.1:1".parse().expect("valid"),
                    send: None,
                    expect: None,
                }),
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
            },
            series: SeriesId(1),
            vantage: "here".into(),
            counters: Counters { last_success: *success, ..Counters::new(&[]) },
        };
        let catalog =
            Catalog { services: services.iter().map(service).collect(), ..Catalog::default() };
        let probes: Vec<_> = services.iter().map(probe).collect();
        assert_eq!(is_suspicious(&catalog, &probes), expect, "{services:?}");
    }

    #[test]
    fn only_most_targets_of_three_unrelated_services_are_suspicious() {
        let (good, bad) = (Some(true), Some(false));
        check(&[("a", &[], bad), ("b", &[], bad), ("c", &[], bad), ("d", &[], good)], true);
        check(&[("a", &[], bad), ("b", &[], bad), ("c", &[], good)], false);
        // Three of six are not more than half; nothing is known of a seventh.
        let half: &[(&str, &[&str], Option<bool>)] = &[
            ("a", &[], bad),
            ("b", &[], bad),
            ("c", &[], bad),
            ("d", &[], good),
            ("e", &[], good),
            ("f", &[], good),
            ("g", &[], None),
        ];
        check(half, false);
        // A database takes down those that need it, and those that need them.
        check(
            &[("a", &["db"], bad), ("b", &["a"], bad), ("c", &["db"], bad), ("db", &[], bad)],
            false,
        );
        check(&[], false);
    }
}
