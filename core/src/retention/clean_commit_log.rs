//! `CleanCommitLogService`: removes old files by itself.

use std::sync::Arc;
use std::time::Duration;

use super::Cleaner;
use crate::error::Result;
use crate::options::StoreOptions;
use crate::service::{ServiceThread, Signal, Wake};
use crate::status::Status;

/// The service's thread.
#[derive(Debug)]
pub(crate) struct CleanCommitLogService {
    thread: ServiceThread,
}

impl CleanCommitLogService {
    /// Measures the disk once, and starts the rounds.
    pub(crate) fn start(cleaner: Arc<Cleaner>, options: &StoreOptions) -> Result<Self> {
        let period = Duration::from_millis(options.clean_resource_interval_ms);
        let pause = Duration::from_millis(options.delete_commit_log_files_interval_ms);
        cleaner.measure();
        let body = move |signal: &Signal| serve(&cleaner, period, pause, signal);
        let on_panic = |message: String| {
            // What is not removed stays; nothing is lost.
            tracing::error!(message, "CleanCommitLogService panicked");
        };
        let thread = ServiceThread::start("cairn-clean", Arc::default(), body, on_panic)?;
        Ok(Self { thread })
    }

    /// Ends the service; a round that is under way ends after its current file.
    pub(crate) fn shutdown(&self) {
        self.thread.stop_and_join();
    }
}

fn serve(cleaner: &Cleaner, period: Duration, pause: Duration, signal: &Signal) {
    while signal.wait(Some(period)) != Wake::Stopped {
        match cleaner.round(|| signal.rest(pause)) {
            Err(error) if ![Status::StoreClosed, Status::Fenced].contains(&error.status()) => {
                tracing::error!(%error, "old files cannot be removed");
            }
            _ => {}
        }
    }
}
