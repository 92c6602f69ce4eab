//! What an SLO may rest on in place of probes, as it is written.

use std::time::Duration;

use super::leaf::FilePath;
use super::mirror::{Rule, mirror};
use super::value::Text;
use crate::model::Name;

mirror! {
    /// Counters of a Prometheus, in place of probes: two of `good`, `bad` and `total`.
    struct PrometheusSli {
        /// The server, by its name in the operator's config.
        required "server" => server: Name;
        /// PromQL: counters of good events.
        optional "good" => good: Text<8_192>;
        /// PromQL: counters of bad events.
        optional "bad" => bad: Text<8_192>;
        /// PromQL: counters of all events.
        optional "total" => total: Text<8_192>;
        /// From one question to the next, 1s to 5m, not less than the server's scrape interval.
        /// Default: that of the server in the operator's config.
        optional "interval" => interval: Duration;
    }
    rules &[Rule::ExactlyTwo(&["good", "bad", "total"])];
}

mirror! {
    /// Results that others send, in place of probes.
    struct PushSli {
        /// The file with the token that they must show.
        required "token_file" => token_file: FilePath;
        /// The intervals for which results are expected, 1s to 1h in whole seconds: an interval
        /// without results is unknown.
        optional "interval" => interval: Duration = "1m";
        /// How long after the end of an interval its results are still taken, 1s to 1h. The SLO
        /// is evaluated up to there.
        optional "grace" => grace: Duration = "30s";
    }
}

mirror! {
    /// Which answers are fast enough.
    struct Latency {
        /// Good means succeeded and took at most this long.
        required "under" => under: Duration;
    }
}
