//! `CheckpointService`: notes up to where the log is durable, in a store without consume queues.
//! With them `FlushConsumeQueueService` does so.

use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::CheckpointFile;
use crate::error::Result;
use crate::mapped::MappedFileQueue;
use crate::service::{ServiceThread, Signal, Wake};

/// The service.
#[derive(Debug)]
pub(crate) struct CheckpointService {
    thread: ServiceThread,
}

impl CheckpointService {
    /// Starts the service: what is durable is noted about `interval` after `signal` was woken.
    pub(crate) fn start(
        log: Arc<MappedFileQueue>,
        checkpoint: Arc<CheckpointFile>,
        interval: Duration,
        signal: Arc<Signal>,
    ) -> Result<Self> {
        let body = move |signal: &Signal| {
            let mut again = None;
            while signal.wait(again) != Wake::Stopped && !signal.rest(interval) {
                let noted = checkpoint.note_durable(log.durable().get());
                again = noted.is_err().then_some(interval);
                if let Err(error) = noted {
                    tracing::error!(%error, "it cannot be noted how far the log is durable");
                }
            }
        };
        let on_panic = |message: String| {
            // The next opening only writes more of the log again.
            tracing::error!(message, "CheckpointService panicked");
        };
        let thread = ServiceThread::start("cairn-notes", signal, body, on_panic)?;
        Ok(Self { thread })
    }

    /// Ends the service.
    pub(crate) fn shutdown(&self) {
        self.thread.stop_and_join();
    }
}
