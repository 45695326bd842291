//! Consuming by callback, on threads of the consumer's own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::consumer::{Consumer, Delivery};
use crate::error::{Error, Result};
use crate::service::{ServiceThread, Signal, panic_message};
use crate::status::Status;

/// How long a thread waits before it asks again after an error.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// How long one poll waits.
const POLL: Duration = Duration::from_secs(3600);

/// What became of messages a listener got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumeStatus {
    /// All were processed.
    Success,
    /// They are to be handed out again; see [`Consumer::retry_later`].
    RetryLater,
}

/// Gets messages. Closures `Fn(&[Delivery]) -> ConsumeStatus` are listeners.
///
/// A listener that panics has answered [`ConsumeStatus::RetryLater`]. It may use the store and the
/// consumer, and may close the [`PushConsumer`] that calls it.
pub trait MessageListener: Send + Sync {
    /// Processes messages of one queue, in their order.
    fn consume(&self, deliveries: &[Delivery]) -> ConsumeStatus;
}

impl<F: Fn(&[Delivery]) -> ConsumeStatus + Send + Sync> MessageListener for F {
    fn consume(&self, deliveries: &[Delivery]) -> ConsumeStatus {
        self(deliveries)
    }
}

/// How a listener is called.
#[derive(Debug, Clone, Copy)]
pub struct PushOptions {
    /// Threads that call the listener, from 1 to 1024. Default 4.
    pub threads: usize,
    /// Messages per call, at least 1. Default 1.
    pub max_batch: usize,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self { threads: 4, max_batch: 1 }
    }
}

/// A consumer that calls a listener; dropping it ends it.
#[derive(Debug)]
pub struct PushConsumer {
    consumer: Arc<Consumer>,
    threads: Vec<ServiceThread>,
}

impl PushConsumer {
    pub(crate) fn start(
        consumer: Consumer,
        listener: Arc<dyn MessageListener>,
        options: PushOptions,
    ) -> Result<Self> {
        if !(1..=1024).contains(&options.threads) || options.max_batch == 0 {
            let what = "a push consumer has 1 to 1024 threads and batches of at least one message";
            let found = format!("{} threads, batches of {}", options.threads, options.max_batch);
            return Err(Error::new(Status::InvalidArgument, what).expected("such", found));
        }
        let mut push = Self { consumer: Arc::new(consumer), threads: Vec::new() };
        for number in 0..options.threads {
            let consumer = Arc::clone(&push.consumer);
            let listener = Arc::clone(&listener);
            let body = move |signal: &Signal| {
                serve(&consumer, &*listener, options.max_batch, signal);
            };
            let on_panic = |message: String| tracing::error!(message, "a push consumer panicked");
            let name = format!("cairn-consume-{number}");
            push.threads.push(ServiceThread::start(&name, Arc::default(), body, on_panic)?);
        }
        Ok(push)
    }

    /// The member that is consuming.
    #[must_use]
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Lets calls of the listener end, and leaves the group. In a listener it only asks for that:
    /// the call that asks has to end, too.
    pub fn close(&self) {
        for thread in &self.threads {
            thread.stop();
        }
        self.consumer.stop_polls();
        if self.threads.iter().any(ServiceThread::is_current) {
            return;
        }
        for thread in &self.threads {
            thread.stop_and_join();
        }
        self.consumer.close();
    }
}

impl Drop for PushConsumer {
    fn drop(&mut self) {
        // In a forked child the threads are the parent's, and so is the membership.
        if !self.consumer.is_in_child() {
            self.close();
        }
    }
}

fn serve(consumer: &Consumer, listener: &dyn MessageListener, max_batch: usize, signal: &Signal) {
    while !consumer.is_at_end() {
        match consumer.poll(max_batch, POLL) {
            Ok(deliveries) if deliveries.is_empty() => {}
            Ok(deliveries) => answer(consumer, listener, &deliveries),
            Err(error) if error.status() == Status::StoreClosed => return,
            Err(error) => {
                tracing::error!(%error, group = consumer.group(), "messages cannot be read");
                if signal.rest(PAUSE_AFTER_ERROR) {
                    return;
                }
            }
        }
    }
}

fn answer(consumer: &Consumer, listener: &dyn MessageListener, deliveries: &[Delivery]) {
    let status = catch_unwind(AssertUnwindSafe(|| listener.consume(deliveries)));
    let status = status.unwrap_or_else(|cause| {
        let message = panic_message(cause);
        tracing::error!(message, group = consumer.group(), "a message listener panicked");
        ConsumeStatus::RetryLater
    });
    for delivery in deliveries {
        match status {
            ConsumeStatus::Success => {
                consumer.acknowledge(delivery);
            }
            ConsumeStatus::RetryLater => {
                if let Err(error) = consumer.retry_later(delivery) {
                    // It stays in hand, and is handed out again when its time is over.
                    let group = consumer.group();
                    tracing::error!(%error, group, "a message cannot be sent back");
                }
                if consumer.is_orderly() {
                    // Those behind it were given back together with it.
                    return;
                }
            }
        }
    }
}
