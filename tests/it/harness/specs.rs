//! Specs that several tests start the daemon with.

/// The SLO of [`one_service`].
pub const SLO: &str = "shop/availability";

/// One service, `shop` of team `blue`, probed twice a second at `url`, with one SLO that pages
/// within five seconds of a full outage and ends the page as soon after it.
///
/// 99 % over 1 h with 10 % of the budget in 20 s fires above 18 % bad in 20 s: the eighth of
/// forty probes. A single probe that is lost to a busy machine does not page.
pub fn one_service(url: &str) -> String {
    under_policy(url, "quick", "1h")
}

/// The same service under another alert policy, such as the built-in one, and a window for it.
pub fn under_policy(url: &str, policy: &str, window: &str) -> String {
    format!(
        "\
apiVersion: nines/v1
kind: AlertPolicy
metadata: {{name: quick}}
spec:
  pairs:
    - {{severity: page, long: 20s, short: 5s, budget: 10%}}
---
apiVersion: nines/v1
kind: Service
metadata: {{name: shop, labels: {{team: blue}}}}
spec:
  description: The one service of this test.
  probes:
    - name: front
      http: {{url: \"{url}\"}}
      interval: 500ms
      timeout: 500ms
  slos:
    - {{name: availability, objective: 99%, window: {window}, alerting: {{policy: {policy}}}}}
"
    )
}
