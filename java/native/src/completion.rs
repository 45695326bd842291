//! Completions of asynchronous appends, on their way to Java.
//!
//! The store's completion thread puts each group on a queue that never makes it wait. One daemon
//! thread of the Java package takes whole groups off and hands them to the executors. No thread of
//! the engine is ever attached to the virtual machine, so none can keep it from ending.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cairnlog::{Completion, CompletionSink};
use jni::Env;
use jni::objects::{JByteArray, JClass};

use crate::boundary::{Outcome, write_error};
use crate::outcome::write_append_result;
use crate::wire::Writer;

/// Groups taken off the queue in one call, at most.
const MAX_GROUPS_PER_CALL: usize = 64;

struct Queue {
    sender: Sender<Vec<Completion>>,
    receiver: Mutex<Receiver<Vec<Completion>>>,
}

static QUEUE: LazyLock<Queue> = LazyLock::new(|| {
    let (sender, receiver) = channel();
    Queue { sender, receiver: Mutex::new(receiver) }
});

struct QueueSink;

impl CompletionSink for QueueSink {
    fn complete(&self, group: Vec<Completion>) {
        // The receiver is never dropped, so the queue takes every group.
        let _ = QUEUE.sender.send(group);
    }
}

static SINK: LazyLock<Arc<dyn CompletionSink>> = LazyLock::new(|| Arc::new(QueueSink));

/// The sink of all stores; a completion is told by its token.
pub(crate) fn completion_sink() -> &'static Arc<dyn CompletionSink> {
    &SINK
}

fn write_completion(writer: &mut Writer, completion: &Completion) {
    writer.i64(completion.token.cast_signed());
    match &completion.result {
        Ok(result) => {
            writer.i32(0);
            write_append_result(writer, result);
        }
        Err(error) => {
            write_error(writer, error);
            writer.flag(error.appended().is_some());
            if let Some(result) = error.appended() {
                write_append_result(writer, &result);
            }
        }
    }
}

/// Waits for completions and returns all that are there, groups in order.
fn take_completions() -> Vec<Completion> {
    let receiver = QUEUE.receiver.lock().unwrap_or_else(PoisonError::into_inner);
    // The sender is never dropped either, so the queue ends only with the process.
    let mut taken = receiver.recv().unwrap_or_default();
    for group in receiver.try_iter().take(MAX_GROUPS_PER_CALL) {
        taken.extend(group);
    }
    taken
}

pub(crate) fn await_completions<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
) -> Outcome<JByteArray<'local>> {
    let completions = take_completions();
    let mut writer = Writer::with_capacity(4 + completions.len() * 72);
    writer.count(completions.len());
    for completion in &completions {
        write_completion(&mut writer, completion);
    }
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

#[cfg(test)]
mod tests {
    use cairnlog::{Error, Status};

    use super::*;

    #[test]
    fn groups_arrive_whole_and_in_order() {
        let completion =
            |token| Completion { token, result: Err(Error::new(Status::Fenced, "a sync failed")) };
        completion_sink().complete(vec![completion(1), completion(2)]);
        completion_sink().complete(vec![completion(3)]);
        let tokens: Vec<_> = take_completions().iter().map(|done| done.token).collect();
        assert_eq!(tokens, [1, 2, 3]);
    }
}
