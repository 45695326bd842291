//! The natives of what was read: batches, and the pins of buffers that show a body.
#![allow(
    unsafe_code,
    reason = "a direct buffer over a mapped body; the pin that Java keeps with it holds the file"
)]

use cairnlog::{Error, MessageView, PhysicalOffset, Result, Status};
use jni::Env;
use jni::objects::{JByteArray, JByteBuffer, JClass};
use jni::sys::{jint, jlong};

use crate::boundary::Outcome;
use crate::handle::{BatchHandle, Handle, PinHandle, StoreHandle};
use crate::outcome::write_message;
use crate::wire::Writer;

/// Bytes of the batch's handle at the start of its description.
const HANDLE_BYTES: usize = 8;

fn offset_of(offset: jlong) -> Result<PhysicalOffset> {
    PhysicalOffset::from_i64(offset).ok_or_else(|| {
        Error::new(Status::OffsetOutOfRange, "a physical offset is negative")
            .expected("at least 0", offset)
    })
}

/// Hands a batch to Java as one array: its handle, where to go on, the messages.
fn give_batch<'local>(
    env: &mut Env<'local>,
    messages: Vec<MessageView>,
    next_offset: PhysicalOffset,
) -> Outcome<JByteArray<'local>> {
    let mut writer = Writer::with_capacity(HANDLE_BYTES + 12 + messages.len() * 256);
    writer.i64(0).i64(next_offset.to_i64()).count(messages.len());
    for message in &messages {
        write_message(&mut writer, message);
    }
    // The array is made before the batch is given away: if it cannot be made, nothing leaks.
    let described = env.byte_array_from_slice(writer.as_slice())?;
    let handle = Handle::give(messages).to_le_bytes().map(u8::cast_signed);
    described.set_region(env, 0, &handle)?;
    Ok(described)
}

pub(crate) fn store_read_at<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    offset: jlong,
) -> Outcome<JByteArray<'local>> {
    let message = store.get()?.read_at(offset_of(offset)?)?;
    let next_offset = message.record().end_offset();
    give_batch(env, vec![message], next_offset)
}

pub(crate) fn store_read_log<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    from: jlong,
    max_messages: jint,
    max_bytes: jint,
) -> Outcome<JByteArray<'local>> {
    let from = offset_of(from)?;
    let limit = |value: jint| {
        usize::try_from(value)
            .map_err(|_| Error::new(Status::InvalidArgument, "a limit of readLog is negative"))
    };
    let batch = store.get()?.read_log(from, limit(max_messages)?, limit(max_bytes)?)?;
    give_batch(env, batch.messages().to_vec(), batch.next_offset())
}

fn message_of(batch: &[MessageView], index: jint) -> Result<&MessageView> {
    usize::try_from(index)
        .ok()
        .and_then(|index| batch.get(index))
        .ok_or_else(|| Error::new(Status::InvalidArgument, "a batch has no message of this index"))
}

pub(crate) fn batch_body<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    batch: BatchHandle,
    index: jint,
) -> Outcome<JByteArray<'local>> {
    let message = message_of(batch.get()?, index)?;
    Ok(env.byte_array_from_slice(message.body())?)
}

pub(crate) fn batch_pin<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    batch: BatchHandle,
    index: jint,
) -> Outcome<jlong> {
    let message = message_of(batch.get()?, index)?.clone();
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
