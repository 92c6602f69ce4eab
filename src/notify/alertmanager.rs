//! The task that serves one Alertmanager from its queue.
//!
//! One request at a time, so order is kept and nothing is in flight twice.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::Patience;
use super::queue::Queue;
use super::wire::{self, Delivery, Endpoint};

/// Everything the task needs.
pub struct Sender {
    pub endpoint: Endpoint,
    pub queue: Arc<Queue>,
    pub client: Client,
    pub external_url: String,
    pub patience: Patience,
    /// Until when to go on once told to stop.
    pub stopped: watch::Receiver<Option<Instant>>,
}

impl Sender {
    /// Sends until told to stop, then empties the queue until the deadline. A request that is
    /// under way is never cut off and repeated.
    pub async fn run(self) {
        tokio::select! {
            () = self.serve() => {}
            () = self.out_of_time() => {}
        }
        self.queue.give_up();
    }

    async fn serve(&self) {
        let mut stopped = self.stopped.clone();
        loop {
            let stopping = tokio::select! {
                () = self.queue.filled() => false,
                _ = stopped.wait_for(Option::is_some) => true,
            };
            self.empty().await;
            if stopping {
                return;
            }
        }
    }

    async fn out_of_time(&self) {
        let mut stopped = self.stopped.clone();
        let deadline = stopped.wait_for(Option::is_some).await.ok().and_then(|at| *at);
        if let Some(deadline) = deadline {
            sleep_until(deadline).await;
        }
    }

    /// Sends until nothing waits.
    async fn empty(&self) {
        let mut failures = 0;
        loop {
            let batch = self.queue.take(Instant::now(), self.patience.age_max);
            if batch.is_empty() {
                return;
            }
            let mut held = Held { queue: &self.queue, batch };
            let notices = held.batch.iter().map(|queued| &queued.notice);
            let body = wire::body(notices, &self.external_url);
            match wire::post(&self.client, &self.endpoint, &body).await {
                Delivery::Accepted => {
                    if failures > 0 {
                        info!(alertmanager = self.endpoint.label(), "alertmanager answers again");
                    }
                    failures = 0;
                    self.queue.count_sent(held.settle());
                }
                Delivery::Refused(answer) => {
                    let label = self.endpoint.label();
                    warn!(alertmanager = label, %answer, "alertmanager refused alerts");
                    self.queue.count_error(held.settle(), true);
                }
                Delivery::Failed(reason) => {
                    let label = self.endpoint.label();
                    warn!(alertmanager = label, %reason, "alerts could not be sent, will retry");
                    self.queue.count_error(held.batch.len(), false);
                    drop(held);
                    sleep(self.pause(failures)).await;
                    failures += 1;
                }
            }
        }
    }

    /// The pause after this many failures before the last one.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = self.patience.pause_min.saturating_mul(2_u32.saturating_pow(failures));
        doubled.min(self.patience.pause_max)
    }
}

/// A batch in flight; goes back to the queue unless it is settled, also when the task is cut off.
struct Held<'a> {
    queue: &'a Queue,
    batch: Vec<super::queue::Queued>,
}

impl Held<'_> {
    /// The batch is dealt with; says how many notices it had.
    fn settle(&mut self) -> usize {
        std::mem::take(&mut self.batch).len()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.queue.put_back(std::mem::take(&mut self.batch));
    }
}
