//! The part of the operator's config that names references: what is probed to know ourselves.
//!
//! Checks are read as in specs. Decides nothing about faults; `engine::isolation` does.

use std::collections::BTreeSet;
use std::time::Duration;

use super::SourceFile;
use super::leaf::HostName;
use super::mirror::{Given, Rule, mirror};
use super::problem::{Level, Problem, Problems};
use super::raw::{Http, Tcp, Tls};
use super::resolve::{lone_check, within};
use super::schema::{Table, table};
use super::value::List;
use crate::model::check::Check;
use crate::model::settings::References;
use crate::model::{Name, Probe, ProbeId};

mirror! {
    /// What is probed to tell our own faults from those of targets. No SLO counts it.
    struct Reference {
        /// From one run to the next, 100ms to 1s. A run may take three quarters of it.
        optional "interval" => interval: Duration = "1s";
        /// Targets that keep silent all at once only if we are cut off: three or more that share
        /// nothing but us, such as the gateway, a peer, and two places outside.
        optional "targets" => targets: List<ReferenceTarget, 1, 16>;
        /// Names in unrelated zones that fail to resolve all at once only if our resolver fails.
        optional "names" => names: List<HostName, 1, 16>;
    }
}

mirror! {
    /// A target that is no target of any SLO. Any answer of it will do, a refusal too.
    struct ReferenceTarget {
        /// Its name, unique among them.
        required "name" => name: Name;
        /// An HTTP or HTTPS request.
        optional "http" => http: Http;
        /// A TCP connection.
        optional "tcp" => tcp: Tcp;
        /// A TLS handshake.
        optional "tls" => tls: Tls;
    }
    rules &[Rule::ExactlyOne(&["http", "tcp", "tls"])];
}

/// Shortest and longest interval. Two seconds settle every verdict, so a run and its timeout
/// must fit in with room to spare.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

impl Reference {
    /// The references, and where the targets among them stand; none if something was wrong.
    pub(super) fn references(
        given: &Given<Self>,
        file: &SourceFile,
        problems: &mut Problems,
    ) -> Option<(References, Vec<Problem>)> {
        let raw = &given.value;
        let interval = raw.interval.given().and_then(|given| within(given, INTERVAL, problems));
        let targets = raw.targets.value().map(|list| list.items.as_slice()).unwrap_or_default();
        let names = raw.names.value().map(|list| list.items.as_slice()).unwrap_or_default();
        let mut seen = BTreeSet::new();
        let targets: Vec<_> =
            targets.iter().map(|target| target.read(&mut seen, file, problems)).collect();
        let names: Vec<_> = names.iter().map(|name| host(name, problems)).collect();
        if targets.is_empty() && names.is_empty() {
            let problem = problems.error(&given.at, "no references");
            problem.expected("`targets`, `names`, or both");
        } else if (1..References::TARGETS_ENOUGH).contains(&targets.len()) {
            let message = format!("only {} to tell whether we are cut off", targets.len());
            problems
                .warn(&given.at, message)
                .expected("at least 3 targets that share nothing but us")
                .hint("a reference that fails alone then excuses every timeout");
        }
        let targets = targets.into_iter().collect::<Option<Vec<_>>>()?;
        let names = names.into_iter().collect::<Option<Vec<_>>>()?;
        let interval = interval?;
        let probe = |id, check| Probe { id, check, interval, timeout: interval * 3 / 4 };
        let group = |text: &str| text.parse::<Name>().ok();
        let (reference, resolver) = (group("reference")?, group("resolver")?);
        let places = targets.iter().map(|(_, _, place)| place.clone()).collect();
        let targets = targets
            .into_iter()
            .map(|(name, check, _)| probe(ProbeId::new(&reference, &name), check));
        let names = names.into_iter().enumerate().filter_map(|(n, host)| {
            Some(probe(ProbeId::new(&resolver, &group(&format!("name-{n}"))?), Check::Name(host)))
        });
        Some((References { targets: targets.collect(), names: names.collect() }, places))
    }
}

/// A target as it was read, with its place.
type Target = (Name, Check, Problem);

impl Given<ReferenceTarget> {
    fn read(
        &self,
        seen: &mut BTreeSet<Name>,
        file: &SourceFile,
        problems: &mut Problems,
    ) -> Option<Target> {
        let raw = &self.value;
        let check = lone_check(&raw.http, &raw.tcp, &raw.tls, file, problems);
        let name = raw.name.given()?;
        if !seen.insert(name.value.clone()) {
            let message = format!("a second reference {:?}", name.value.as_str());
            problems.error(&name.at, message).expected("a name that no other has");
        }
        let place = problems.locate(Level::Warning, &name.at, String::new());
        Some((name.value.clone(), check?, place))
    }
}

/// A name that DNS is asked for.
fn host(given: &Given<HostName>, problems: &mut Problems) -> Option<String> {
    let host = &given.value.0;
    if host.parse::<std::net::IpAddr>().is_ok() {
        let problem = problems.error(&given.at, "an address, which needs no resolver");
        problem.expected("a name such as one.example");
        return None;
    }
    Some(host.clone())
}

/// The table of a target, with links to the mappings of the spec language where they stand.
pub(super) fn target_table() -> Table {
    let mut table = table::<ReferenceTarget>();
    for row in &mut table.rows {
        *row = row.replace("](#", "](specs.md#");
    }
    table
}
