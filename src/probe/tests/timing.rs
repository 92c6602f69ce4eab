//! The truth about latency: never less than the target took, and hardly more.

use super::server::{Act::*, Server, http, say};
use super::*;

/// How much later than its cause an effect may be seen at best.
const NEAR: Duration = Duration::from_millis(5);
/// Attempts of which one must be near: another process may have had the processor.
const ATTEMPTS: usize = 20;

#[tokio::test]
async fn latency_is_never_below_the_truth_and_hardly_above_it() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
    let script =
        http([Pause(50), say(head), Pause(30), say("a"), Pause(30), say("b"), Pause(30), say("c")]);
    let server = Server::start(script).await;
    for attempt in 1.. {
        let start = Instant::now();
        let observation = probe("timing", Check::Http(get(server.address)), AMPLE).await;
        assert_eq!(observation.verdict, Verdict::Good, "{observation:?}");
        let (heard, said) = server.moments();
        let (heard, first, last) = (heard.expect("a request"), said[0], said[3]);
        let phases = observation.phases;
        let latency = observation.latency.expect("an answer");
        // By the target's own clock, which is ours too.
        assert!(
            first - heard >= Duration::from_millis(50) && last - first >= Duration::from_millis(90)
        );
        assert!(phases.wait >= first - heard, "{phases:?}");
        assert!(phases.wait + phases.receive >= last - heard, "{phases:?}");
        assert!(latency >= last - heard && latency <= start.elapsed(), "{latency:?}");
        let near = phases.wait < first - heard + NEAR
            && phases.receive < last - first + NEAR
            && phases.receive + NEAR > last - first
            && latency < last - start + NEAR;
        if near {
            break;
        }
        assert!(attempt < ATTEMPTS, "not once near the truth, at last {observation:?}");
    }
}
