//! Results that are sent here: from HTTP to the post boxes, and to the disk before the answer.

use std::sync::Arc;

use crate::clock::Clock;
use crate::engine::intake::Sent;
use crate::ledger::Writer;
use crate::model::Timestamp;
use crate::serve::results::{self, Delivery, Undelivered};
use crate::source::{self, PostBoxes, PushError};

/// Takes deliveries and makes them durable.
pub struct Deliveries {
    boxes: Arc<PostBoxes>,
    writer: Arc<Writer>,
    clock: Clock,
}

impl Deliveries {
    /// To these post boxes, kept by this writer.
    pub fn new(boxes: Arc<PostBoxes>, writer: &Arc<Writer>, clock: Clock) -> Arc<Self> {
        Arc::new(Deliveries { boxes, writer: Arc::clone(writer), clock })
    }
}

impl results::Deliveries for Deliveries {
    fn deliver(&self, delivery: Delivery) -> Result<(), Undelivered> {
        let Delivery { slo, token, key, sent } = delivery;
        // Senders go by the wall clock.
        let offset = source::offset(self.clock);
        let ours = |at: Timestamp| Timestamp::from_micros(at.micros().saturating_sub(offset));
        let shift = |sent: Sent| Sent { from: ours(sent.from), to: ours(sent.to), ..sent };
        let sent: Vec<Sent> = sent.into_iter().map(shift).collect();
        let mut kept = false;
        let keep = |record| kept = self.writer.submit(vec![record]).kept == 1;
        let taken = self.boxes.deliver(&slo, (&token, &key), &sent, self.clock.now(), keep);
        taken.map_err(|error| match error {
            PushError::NotExpected(_) => Undelivered::NotExpected(error.to_string()),
            PushError::Token(_) => Undelivered::Token(error.to_string()),
            PushError::TokenFile { .. } | PushError::MakesWay(_) => {
                Undelivered::NotKept(error.to_string())
            }
            PushError::Refused(refused) => Undelivered::Refused(refused),
        })?;
        let again = |why: &str| Undelivered::NotKept(format!("not durable, send it again: {why}"));
        if !kept {
            return Err(again("too much waits for the disk"));
        }
        self.writer.flush().map_err(|error| again(&error.to_string()))
    }
}
