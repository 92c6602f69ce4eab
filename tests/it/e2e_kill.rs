//! `kill -9`, again and again: no failure that was known is forgotten, and every slot is
//! accounted for, once.
//!
//! The target writes down every answer it gave. What it had answered shortly before the moment
//! up to which the daemon calls its ledger durable must be there after the kill; later answers
//! may be lost to `unknown`, never to nothing.

use std::time::Duration;

use nines::model::Timestamp;
use tokio::time::Instant;

use crate::harness::daemon::Status;
use crate::harness::exposition::Sample;
use crate::harness::{Behaviour, Daemon, Target, until};

/// How many times daemons are killed, unless `NINES_KILL_ROUNDS` says otherwise: 1000 for a
/// release.
const ROUNDS: u64 = 100;
/// Daemons that live and die side by side, since each spends its time waiting.
const LIVES: u64 = 4;

/// From an answer to the moment at which the daemon has handed it to its ledger: read, reported,
/// counted; generous for a busy machine.
const HANDED_OVER_AFTER: Duration = Duration::from_millis(250);

const PROBES: u64 = 20;
const PROBES_A_SECOND: u64 = 2 * PROBES;
const SLO: &str = "shop/availability";
const SOON: Duration = Duration::from_secs(30);

#[test]
fn no_failure_is_forgotten_and_no_slot_is_lost_over_kill_nine() {
    let rounds = match std::env::var("NINES_KILL_ROUNDS") {
        Ok(text) => text.parse().expect("NINES_KILL_ROUNDS is a number"),
        Err(_) => ROUNDS,
    };
    let failures: u64 = std::thread::scope(|scope| {
        let live = |life| {
            let its_rounds = (life..=rounds).filter(move |round| round % LIVES == life % LIVES);
            scope.spawn(|| kill_again_and_again(its_rounds))
        };
        let lives: Vec<_> = (1..=LIVES).map(live).collect();
        lives.into_iter().map(|life| life.join().expect("a life without a lost slot")).sum()
    });
    println!("{rounds} kills, {failures} failures that were durable, none lost");
    assert!(failures > rounds, "only {failures} failures were put at risk");
}

/// One daemon that is killed once a round; how many failures it had to remember.
fn kill_again_and_again(rounds: impl Iterator<Item = u64>) -> u64 {
    let target = Target::start();
    let mut daemon = Daemon::start(&specs(&target.url()), &[]);
    let origin = until("the first evaluation", SOON, || daemon.status(SLO));
    let (mut seen, mut owed, mut down, mut at_risk) = (0, 0, 0, 0);
    for round in rounds {
        fail_half(&target);
        let wanted = seen + 20 + usize::try_from(spread(round) % 100).expect("below 100");
        until("some answers", SOON, || (target.served().len() >= wanted).then_some(()));
        let durable = durable(&daemon);
        daemon.kill();
        target.behave(Behaviour::Good);
        let failed = failures(&target, &mut seen, durable - HANDED_OVER_AFTER);
        owed += failed;
        at_risk += failed;
        daemon.restart();
        let status = accounted(&daemon, origin, round);
        down += not_running(&daemon);
        // What this process was too starved to read in time is unknown by its own fault, and
        // written down as such; on an idle machine there is none of it.
        let bad = status.totals.bad - origin.totals.bad;
        let starved = status.totals.unknown - origin.totals.unknown - down;
        assert!(
            bad + starved >= owed,
            "round {round}: {owed} failures were answered, {bad} are known, {starved} unread"
        );
        every_result_was_measured(&target, status, round);
        owed = bad + starved;
    }
    at_risk
}

/// How many slots went by between the last process and this one.
fn not_running(daemon: &Daemon) -> u64 {
    let of_gap = |s: &&Sample| {
        let reason = s.labels.get("reason").map(String::as_str);
        s.name == "nines_probe_unknown_total" && reason == Some("not-running")
    };
    let exposition = daemon.metrics();
    exposition.samples.iter().filter(of_gap).map(|s| s.value as u64).sum()
}

/// Up to when everything that was handed to the ledger is durable, by the daemon's own word.
fn durable(daemon: &Daemon) -> Instant {
    let name = "nines_ledger_last_durable_timestamp_seconds";
    // A new process says so from its first commit on.
    let value = until("a first commit", SOON, || {
        daemon.metrics().samples.iter().find(|s| s.name == name).map(|s| s.value)
    });
    let at = Timestamp::from_micros((value * 1e6) as i64);
    let ago = nines::clock::wall_now().since(at);
    assert!(ago < SOON, "nothing has become durable for {ago:?}");
    Instant::now() - ago
}

/// Half of the probes fail, so that failures and successes share every commit.
fn fail_half(target: &Target) {
    for probe in 0..PROBES / 2 {
        target.behave_at(&format!("/{probe}"), Behaviour::Status(500));
    }
}

/// How many failures the target has answered up to `until` since `seen`, which moves on.
fn failures(target: &Target, seen: &mut usize, until: Instant) -> u64 {
    let served = target.served();
    let fresh = &served[*seen..];
    *seen = served.len();
    fresh.iter().filter(|s| s.status == 500 && s.at <= until).count() as u64
}

/// Waits until every slot since `origin` is accounted for, all those before this moment among
/// them; none may be counted twice.
fn accounted(daemon: &Daemon, origin: Status, round: u64) -> Status {
    let now = nines::clock::wall_now();
    let mut last = None;
    let look = || {
        let status = daemon.status(SLO)?;
        let seconds = status.at.since(origin.at).as_secs();
        let counted = status.totals.scheduled() - origin.totals.scheduled();
        let scheduled = seconds * PROBES_A_SECOND;
        assert!(counted <= scheduled, "round {round}: {counted} of {scheduled} slots: {status:?}");
        last = Some((counted, scheduled, status));
        (counted == scheduled && status.at >= now).then_some(status)
    };
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("every slot to be accounted for", SOON, look)
    }));
    found.unwrap_or_else(|panic| {
        eprintln!("round {round}: counted, scheduled, status: {last:?}");
        std::panic::resume_unwind(panic)
    })
}

/// Every good or bad slot was a connection to the target: nothing is made up.
fn every_result_was_measured(target: &Target, status: Status, round: u64) {
    let what = format!("round {round}: a connection for each of {} results", status.totals.known());
    until(&what, SOON, || (target.accepted() >= status.totals.known()).then_some(()));
}

/// A fixed scatter of the rounds' lengths (Knuth's multiplicative hash).
fn spread(round: u64) -> u64 {
    round.wrapping_mul(2_654_435_761) >> 8
}

fn specs(url: &str) -> String {
    let mut probes = String::new();
    for probe in 0..PROBES {
        probes.push_str(&format!(
            "    - {{name: p{probe}, http: {{url: \"{url}/{probe}\"}}, interval: 500ms, \
             timeout: 500ms}}\n"
        ));
    }
    format!(
        "apiVersion: nines/v1\nkind: Service\nmetadata: {{name: shop}}\nspec:\n  probes:\n{probes}  \
         slos:\n    - {{name: availability, objective: 99%, window: 1h}}\n"
    )
}

#[test]
fn a_graceful_stop_forgets_nothing_at_all() {
    let target = Target::start();
    let mut daemon = Daemon::start(&specs(&target.url()), &[]);
    let origin = until("the first evaluation", SOON, || daemon.status(SLO));
    fail_half(&target);
    until("some answers", SOON, || (target.served().len() >= 100).then_some(()));
    let asked = Instant::now();
    assert!(daemon.terminate().success(), "SIGTERM is a graceful stop");
    target.behave(Behaviour::Good);
    let owed = failures(&target, &mut 0, asked);
    daemon.restart();
    let status = accounted(&daemon, origin, 1);
    let bad = status.totals.bad - origin.totals.bad;
    assert!(bad >= owed, "{owed} failures were answered before SIGTERM, {bad} are known");
}
