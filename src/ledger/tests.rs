//! Tests of the ledger as a whole: what goes in comes back, once, whatever happened meanwhile.

mod crash;
mod damage;
mod drive;
mod export;
mod fault;
mod open;
mod oracle;
mod tiers;
mod upgrade;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::batch::Entry;
use super::*;
use crate::model::{
    BadReason, Latencies, Observation, Phases, ProbeId, Run, Slice, Timestamp, UnknownReason,
    Verdict,
};

/// No reserve: most tests need none, and it costs a sync.
pub(super) fn plain() -> Options {
    Options { reserve_bytes: 0, ..Options::default() }
}

pub(super) fn open(directory: &Path) -> Ledger {
    Ledger::open(directory, plain()).expect("a ledger opens")
}

/// A directory that lives in memory where there is such a thing: tests that open hundreds of
/// ledgers would otherwise wait for hundreds of disk syncs.
pub(super) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let directory =
        if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    directory.expect("a temporary directory")
}

/// Seconds on the tests' timeline.
pub(super) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

pub(super) fn observation(series: u32, due: Timestamp, verdict: Verdict) -> Observation {
    Observation {
        series: SeriesId(series),
        due,
        lag: Duration::from_micros(137),
        latency: Some(Duration::from_micros(20_000 + u64::from(series))),
        phases: Phases { wait: Duration::from_micros(19_000), ..Phases::default() },
        verdict,
        detail: (verdict != Verdict::Good).then(|| Arc::from("got 503, expected 200")),
        certificate_not_after: None,
    }
}

pub(super) fn good(series: u32, secs: i64) -> Record {
    Record::Observation(observation(series, at(secs), Verdict::Good))
}

pub(super) fn bad(series: u32, secs: i64) -> Record {
    Record::Observation(observation(series, at(secs), Verdict::Bad(BadReason::Status)))
}

pub(super) fn gap(series: u32, secs: i64, n: u32) -> Record {
    let verdict = Verdict::Unknown(UnknownReason::NotRunning);
    let run = Run { start: at(secs), step: Duration::from_secs(5), n, verdict, class: 0 };
    Record::Gap(SeriesId(series), run)
}

/// A slice of slots every five seconds, one of which may be bad.
pub(super) fn slice(series: u32, from: i64, to: i64, bad_at: Option<i64>) -> Record {
    let step = Duration::from_secs(5);
    let mut runs: Vec<Run> = Vec::new();
    let mut latencies = Latencies::default();
    for secs in (from..to).step_by(5) {
        let bad = bad_at == Some(secs);
        let verdict = if bad { Verdict::Bad(BadReason::Timeout) } else { Verdict::Good };
        latencies.record(Duration::from_micros(20_000 + (secs * 7_919).rem_euclid(5_000) as u64));
        match runs.last_mut() {
            Some(run) if run.continues_at(at(secs), step, verdict, 0) => run.n += 1,
            _ => runs.push(Run { start: at(secs), step, n: 1, verdict, class: 0 }),
        }
    }
    let (start, end, thresholds) = (at(from), at(to), vec![300_000]);
    Record::Slice(Slice { series: SeriesId(series), start, end, thresholds, runs, latencies })
}

pub(super) fn state(name: &str, json: &str) -> Record {
    Record::State { name: name.into(), json: json.into() }
}

/// Everything that a restore hands back, as lines of text.
pub(super) fn history(ledger: &mut Ledger, since: Timestamp) -> (Vec<String>, RestoreReport) {
    let mut lines = Vec::new();
    let report = ledger.restore(since, &mut |piece| lines.push(format!("{piece:?}")));
    (lines, report.expect("the ledger is readable"))
}

/// How many slots of each outcome are known of each series: what must never be wrong.
pub(super) fn slots(ledger: &mut Ledger) -> BTreeMap<(SeriesId, Verdict), u64> {
    let mut slots = BTreeMap::new();
    let mut count = |series, verdict, n: u32| {
        *slots.entry((series, verdict)).or_default() += u64::from(n);
    };
    ledger
        .restore(Timestamp::MIN, &mut |piece| match piece {
            Restored::Slice { series, runs, .. } => {
                runs.iter().for_each(|run| count(series, run.verdict, run.n));
            }
            Restored::Observation(o) => count(o.series, o.verdict, 1),
            Restored::Gap(series, run) => count(series, run.verdict, run.n),
            Restored::State { .. } => {}
        })
        .expect("the ledger is readable");
    slots
}

prop_compose! {
    pub(super) fn any_duration()(micros in 0_u64..1 << 40) -> Duration {
        Duration::from_micros(micros)
    }
}

pub(super) fn any_verdict() -> impl Strategy<Value = Verdict> {
    let all: Vec<_> = (0..=u8::MAX).filter_map(Verdict::from_code).collect();
    prop::sample::select(all)
}

prop_compose! {
    pub(super) fn any_run()(
        start in -1_000_000_i64..4_000_000_000_000_000, step in any_duration(),
        n in 1_u32..1_000_000, verdict in any_verdict(), class: u8,
    ) -> Run {
        Run { start: Timestamp::from_micros(start), step, n, verdict, class }
    }
}

prop_compose! {
    fn any_phases()(d in prop::array::uniform6(any_duration()), zero: bool) -> Phases {
        let [dns, connect, tls, send, wait, receive] = d;
        if zero { Phases::default() } else { Phases { dns, connect, tls, send, wait, receive } }
    }
}

prop_compose! {
    fn any_observation()(
        series: u32, due in -1_000_000_i64..4_000_000_000_000_000, lag in any_duration(),
        latency in prop::option::of(any_duration()), phases in any_phases(),
        verdict in any_verdict(), detail in prop::option::of("[a-zäß ]{0,40}"),
        certificate: Option<i64>,
    ) -> Observation {
        Observation {
            series: SeriesId(series),
            due: Timestamp::from_micros(due),
            lag,
            latency,
            phases,
            verdict,
            detail: detail.map(Arc::from),
            certificate_not_after: certificate.map(Timestamp::from_micros),
        }
    }
}

pub(super) fn any_entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        any_observation().prop_map(Entry::Observation),
        (any::<u32>(), any_run()).prop_map(|(series, run)| Entry::Gap(SeriesId(series), run)),
    ]
}
