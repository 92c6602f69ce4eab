//! A TCP connection, and the bytes exchanged over it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::reason::{self, Failure};
use super::trace::{Phase, Trace};
use super::{Env, net};
use crate::model::BadReason;
use crate::model::check::TcpCheck;

/// Most bytes that are read in search of the expected text.
const ANSWER_MAX: usize = 64 * 1024;
/// Least room for what is read at once.
const CHUNK: usize = 4 * 1024;

/// A connection, with an optional exchange of bytes.
pub(super) struct Tcp {
    check: TcpCheck,
}

impl Tcp {
    pub(super) fn new(check: &TcpCheck) -> Self {
        Tcp { check: check.clone() }
    }

    pub(super) async fn run(&self, trace: &mut Trace, env: &Env) -> Result<(), Failure> {
        let address = env.address(&self.check.endpoint, trace).await?;
        trace.enter(Phase::Connect);
        let mut stream = net::connect(address, false).await?;
        if let Some(send) = &self.check.send {
            trace.enter(Phase::Send);
            let sent = stream.write_all(send.as_bytes()).await;
            sent.map_err(|error| reason::talking(&error, false))?;
        }
        let Some(expect) = self.check.expect.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        trace.enter(Phase::Wait);
        let mut answer = Vec::new();
        loop {
            // The text may have begun in what had arrived before.
            let from = answer.len().saturating_sub(expect.len());
            let first = answer.is_empty();
            answer.reserve(CHUNK);
            let read = stream.read_buf(&mut answer).await;
            let n = read.map_err(|error| reason::talking(&error, !first))?;
            if first && n > 0 {
                trace.enter(Phase::Receive);
            }
            if contains(&answer[from..], expect.as_bytes()) {
                return Ok(());
            }
            if n == 0 {
                let text = format!("closed after {} bytes without the expected text", answer.len());
                return Err(Failure::cut(BadReason::Body, text));
            }
            if answer.len() >= ANSWER_MAX {
                let text = format!("the first {ANSWER_MAX} bytes lack the expected text");
                return Err(Failure::bad(BadReason::Body, text));
            }
        }
    }
}

fn contains(answer: &[u8], text: &[u8]) -> bool {
    answer.windows(text.len()).any(|window| window == text)
}
