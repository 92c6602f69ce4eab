//! Faults of this machine: never the target's.

use std::process::Command;
use std::sync::mpsc;

use super::*;

/// Set in the child that has no descriptor left.
const CHILD: &str = "NINES_TEST_WITHOUT_DESCRIPTORS";

/// Does nothing in an ordinary run.
#[test]
fn a_child_probes_without_a_descriptor_left() {
    let Some(at) = std::env::var_os(CHILD) else { return };
    let at: SocketAddr = at.to_str().expect("text").parse().expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
    runtime.block_on(async {
        let checks = [Check::Http(http(at)), tcp(at, None, None)];
        let env = super::env(&[]);
        let targets = checks.map(|check| Target::new(&check, LONG, &mut Clients::default()));
        let mut hoard = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            hoard.push(file);
        }
        for target in &targets {
            let observation = target.observe(SeriesId(0), env.clock.now(), &env).await.observation;
            let unknown = Verdict::Unknown(UnknownReason::LocalFault);
            assert_eq!(observation.verdict, unknown, "{observation:?}");
            assert_eq!(observation.latency, None);
        }
        hoard.clear();
        for target in &targets {
            let observation = target.observe(SeriesId(0), env.clock.now(), &env).await.observation;
            assert_eq!(observation.verdict, Verdict::Good, "{observation:?}");
        }
    });
}

#[test]
fn running_out_of_descriptors_is_unknown_and_passes() {
    let server = Server::start(|stream| answer(stream, OK));
    let name = "probe::tests::local::a_child_probes_without_a_descriptor_left";
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().expect("this test is a file"))
        .arg(name)
        .env(CHILD, server.at.to_string())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn an_address_without_a_route_is_unknown() {
    // Nothing may connect to the broadcast address: EACCES, before any packet.
    let at = "255.255.255.255:80".parse().expect("an address");
    let observation = observe(&tcp(at, None, None), LONG).await;
    assert_eq!(observation.verdict, Verdict::Unknown(UnknownReason::LocalFault), "{observation:?}");
}

/// Holds up this thread, as a stop of the whole process would.
fn stand_still(time: Duration) {
    let (_open, never) = mpsc::channel::<()>();
    assert!(never.recv_timeout(time).is_err());
}

#[tokio::test]
async fn a_stall_makes_timeouts_unknown_and_answers_good_without_a_latency() {
    let timeout = Duration::from_millis(150);
    let env = Arc::new(super::env(&[]));
    let probe = async |at: SocketAddr| {
        env.watch.stamp(Instant::now());
        let target = Target::new(&Check::Http(http(at)), timeout, &mut Clients::default());
        let (now, env) = (env.clock.now(), Arc::clone(&env));
        let running =
            tokio::spawn(async move { target.observe(SeriesId(0), now, &env).await.observation });
        tokio::task::yield_now().await;
        stand_still(Duration::from_millis(300));
        running.await.expect("no panic")
    };
    let silent = Server::start(hold);
    let observation = probe(silent.at).await;
    assert_eq!(observation.verdict, Verdict::Unknown(UnknownReason::LocalFault));
    assert!(observation.detail.expect("why").contains("stood still"));
    // It connects before the stall and is answered long before it ends.
    let honest = Server::start(|stream| {
        let _ = stream.write_all(b"hello");
        hold(stream);
    });
    let target =
        Target::new(&tcp(honest.at, None, Some("hello")), timeout, &mut Clients::default());
    let (now, shared) = (env.clock.now(), Arc::clone(&env));
    env.watch.stamp(Instant::now());
    let running =
        tokio::spawn(async move { target.observe(SeriesId(0), now, &shared).await.observation });
    tokio::task::yield_now().await;
    stand_still(Duration::from_millis(300));
    let observation = running.await.expect("no panic");
    assert_eq!((observation.verdict, observation.latency), (Verdict::Good, None));
    // A refusal is an answer, whenever it is read.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let refusing = listener.local_addr().expect("bound");
    drop(listener);
    assert_eq!(probe(refusing).await.verdict, Verdict::Bad(BadReason::Connect));
}
