//! The natives of reading the log, and of what was read: batches, and the pins of buffers that
//! show a body.
#![allow(
    unsafe_code,
    reason = "a direct buffer over a mapped body; the pin that Java keeps with it holds the file"
)]

use cairnlog::{
    Delivery, Error, MessageView, PhysicalOffset, QueueBatch, ReadOutcome, Result, Status,
};
use jni::Env;
use jni::objects::{JByteArray, JByteBuffer, JClass};
use jni::sys::{jint, jlong};

use crate::boundary::Outcome;
use crate::handle::{BatchHandle, Handle, PinHandle, StoreHandle};
use crate::opened::{Opened, of_either};
use crate::outcome::write_message;
use crate::store::physical_offset;
use crate::wire::Writer;

/// Bytes of the batch's handle at the start of its description.
const HANDLE_BYTES: usize = 8;

/// What came of reading the log at its end; the queues' outcomes are below 100.
const END_OF_LOG: i32 = 100;

/// Where messages that were looked up stand in for no queue and no log.
const NO_OFFSET: i64 = -1;

/// Messages that were read together. Of those handed out to a consumer, there is a delivery each.
pub(crate) struct Batch {
    messages: Vec<MessageView>,
    deliveries: Vec<Delivery>,
}

/// The one of an index, which Java took from the same batch.
fn at_index<T>(of: &[T], index: jint) -> Result<&T> {
    usize::try_from(index)
        .ok()
        .and_then(|index| of.get(index))
        .ok_or_else(|| Error::new(Status::InvalidArgument, "a batch has no message of this index"))
}

impl Batch {
    fn message(&self, index: jint) -> Result<&MessageView> {
        at_index(&self.messages, index)
    }

    pub(crate) fn delivery(&self, index: jint) -> Result<&Delivery> {
        at_index(&self.deliveries, index)
    }
}

/// Messages that were read together, and what Java is told of the read.
pub(crate) struct Given {
    messages: Vec<MessageView>,
    deliveries: Vec<Delivery>,
    outcome: i32,
    next_offset: i64,
    min_offset: i64,
    max_offset: i64,
}

impl From<QueueBatch> for Given {
    fn from(batch: QueueBatch) -> Self {
        Self {
            outcome: batch.outcome().code(),
            next_offset: batch.next_offset(),
            min_offset: batch.min_offset().to_i64(),
            max_offset: batch.max_offset().to_i64(),
            messages: batch.into_messages(),
            deliveries: Vec::new(),
        }
    }
}

impl Given {
    /// Messages that were looked up, in no queue.
    pub(crate) fn looked_up(messages: Vec<MessageView>) -> Self {
        let outcome =
            if messages.is_empty() { ReadOutcome::NoMatchedMessage } else { ReadOutcome::Found };
        Self {
            messages,
            deliveries: Vec::new(),
            outcome: outcome.code(),
            next_offset: NO_OFFSET,
            min_offset: NO_OFFSET,
            max_offset: NO_OFFSET,
        }
    }

    /// Messages that a tail came to: what it found, and the index behind the last of them.
    pub(crate) fn followed(messages: Vec<MessageView>, next_offset: i64) -> Self {
        let outcome =
            if messages.is_empty() { ReadOutcome::OffsetOverflowOne } else { ReadOutcome::Found };
        Self { outcome: outcome.code(), next_offset, ..Self::looked_up(messages) }
    }

    /// Messages that were handed out to a consumer, each with the topic it first had.
    pub(crate) fn handed_out(deliveries: Vec<Delivery>) -> Self {
        let messages = deliveries.iter().map(|delivery| delivery.message().clone()).collect();
        Self { deliveries, ..Self::looked_up(messages) }
    }

    fn of_log(store: &Opened, messages: Vec<MessageView>, next_offset: PhysicalOffset) -> Self {
        let (min_offset, max_offset) =
            of_either!(*store, it => (it.min_offset().to_i64(), it.max_offset().to_i64()));
        Self {
            outcome: if messages.is_empty() { END_OF_LOG } else { ReadOutcome::Found.code() },
            next_offset: next_offset.to_i64(),
            min_offset,
            max_offset,
            messages,
            deliveries: Vec::new(),
        }
    }

    /// Hands the messages to Java as one array: their handle, the read, the fields of each.
    pub(crate) fn give<'local>(self, env: &mut Env<'local>) -> Outcome<JByteArray<'local>> {
        self.give_with(env, |_| {})
    }

    /// As [`Given::give`], with more behind the messages.
    pub(crate) fn give_with<'local>(
        self,
        env: &mut Env<'local>,
        write_more: impl FnOnce(&mut Writer),
    ) -> Outcome<JByteArray<'local>> {
        let mut writer = Writer::with_capacity(HANDLE_BYTES + 32 + self.messages.len() * 256);
        writer.i64(0).i32(self.outcome).i64(self.next_offset);
        writer.i64(self.min_offset).i64(self.max_offset).count(self.messages.len());
        for message in &self.messages {
            write_message(&mut writer, message);
        }
        for delivery in &self.deliveries {
            writer.text(&delivery.topic());
        }
        write_more(&mut writer);
        // The array is made before the batch is given away: if it cannot be made, nothing leaks.
        let described = env.byte_array_from_slice(writer.as_slice())?;
        let batch = Batch { messages: self.messages, deliveries: self.deliveries };
        let handle = Handle::give(batch).to_le_bytes().map(u8::cast_signed);
        described.set_region(env, 0, &handle)?;
        Ok(described)
    }
}

/// Writes the table of outcomes: number and name of each.
pub(crate) fn write_outcomes(writer: &mut Writer) {
    writer.count(ReadOutcome::ALL.len() + 1);
    for outcome in ReadOutcome::ALL {
        writer.i32(outcome.code()).text(outcome.name());
    }
    writer.i32(END_OF_LOG).text("END_OF_LOG");
}

pub(crate) fn store_read_at<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    offset: jlong,
) -> Outcome<JByteArray<'local>> {
    let store = store.get()?;
    let offset = physical_offset(offset)?;
    let message = of_either!(*store, it => it.read_at(offset))?;
    let next_offset = message.record().end_offset();
    Given::of_log(store, vec![message], next_offset).give(env)
}

pub(crate) fn store_read_log<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    from: jlong,
    max_messages: jint,
    max_bytes: jint,
) -> Outcome<JByteArray<'local>> {
    let from = physical_offset(from)?;
    let limit = |value: jint| {
        usize::try_from(value)
            .map_err(|_| Error::new(Status::InvalidArgument, "a limit of readLog is negative"))
    };
    let store = store.get()?;
    let (max_messages, max_bytes) = (limit(max_messages)?, limit(max_bytes)?);
    let batch = of_either!(*store, it => it.read_log(from, max_messages, max_bytes))?;
    Given::of_log(store, batch.messages().to_vec(), batch.next_offset()).give(env)
}

pub(crate) fn batch_body<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    batch: BatchHandle,
    index: jint,
) -> Outcome<JByteArray<'local>> {
    let message = batch.get()?.message(index)?;
    Ok(env.byte_array_from_slice(message.body())?)
}

pub(crate) fn batch_pin<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    batch: BatchHandle,
    index: jint,
) -> Outcome<jlong> {
    let message = batch.get()?.message(index)?.clone();
    Ok(Handle::give(message))
}

pub(crate) fn batch_release<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    batch: BatchHandle,
) -> Outcome<()> {
    batch.release();
    Ok(())
}

pub(crate) fn pin_buffer<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    pin: PinHandle,
) -> Outcome<JByteBuffer<'local>> {
    let body = pin.get()?.body();
    let (start, length) = (body.as_ptr().cast_mut(), body.len());
    // SAFETY: the body does not move while the pin lives, and Java releases the pin only when the
    // buffer and every view of it are unreachable. Java makes it read-only before it gives it out,
    // so nothing writes through it.
    Ok(unsafe { env.new_direct_byte_buffer(start, length) }?)
}

pub(crate) fn pin_release<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    pin: PinHandle,
) -> Outcome<()> {
    pin.release();
    Ok(())
}
