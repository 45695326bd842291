//! The natives of stores and prepared queues.

use std::path::PathBuf;
use std::slice;
use std::time::Duration;

use cairnlog::{
    AppendResult, EncodedBatch, Error, Message, PhysicalOffset, Result, Status, Store, StoreOptions,
};
use jni::objects::{JByteArray, JClass, JLongArray, JObject};
use jni::sys::{jboolean, jint, jlong};
use jni::{Env, EnvUnowned};

use crate::boundary::{self, Failure, Outcome};
use crate::completion::completion_sink;
use crate::handle::{Handle, QueueHandle, ScratchAddress, StoreHandle};
use crate::message_frame::{Lists, NO_MESSAGE, UseTopic, read_message, with_message};
use crate::opened::{Opened, of_either};
use crate::outcome::{APPEND_RESULT_BYTES, put_append_result, write_recovery_report, write_stats};
use crate::progress::listen;
use crate::wire::{Reader, Writer, utf8};

/// The part of the scratch memory that holds the request.
fn request(scratch: &[u8], length: jint) -> Result<&[u8]> {
    usize::try_from(length)
        .ok()
        .and_then(|length| scratch.get(..length))
        .ok_or_else(|| Error::new(Status::Internal, "a request exceeds its scratch memory"))
}

/// Puts results where the request was; the request is not needed any more.
fn respond(scratch: &mut [u8], results: &[AppendResult]) -> Result<()> {
    let room = results.len() * APPEND_RESULT_BYTES;
    let response = scratch
        .get_mut(..room)
        .ok_or_else(|| Error::new(Status::Internal, "results exceed the scratch memory"))?;
    let (places, _) = response.as_chunks_mut::<APPEND_RESULT_BYTES>();
    for (place, result) in places.iter_mut().zip(results) {
        put_append_result(place, result);
    }
    Ok(())
}

/// Reads one message, has it appended and answers with its result.
pub(crate) fn append_with(
    mut scratch: ScratchAddress,
    length: jint,
    capacity: jint,
    use_topic: UseTopic,
    append: impl FnOnce(&Message<'_>) -> Result<AppendResult>,
) -> Outcome<()> {
    let scratch = scratch.bytes(capacity)?;
    let result = with_message(request(scratch, length)?, use_topic, append)?;
    respond(scratch, slice::from_ref(&result))?;
    Ok(())
}

pub(crate) fn physical_offset(offset: jlong) -> Result<PhysicalOffset> {
    PhysicalOffset::from_i64(offset).ok_or_else(|| {
        Error::new(Status::OffsetOutOfRange, "a physical offset is negative")
            .expected("at least 0", offset)
    })
}

pub(crate) fn milliseconds(time: jlong) -> Duration {
    Duration::from_millis(u64::try_from(time).unwrap_or(0))
}

/// A request to open a store: its directory, then names and values of options.
fn read_open_request(bytes: &[u8]) -> Result<(PathBuf, StoreOptions)> {
    let mut reader = Reader::new(bytes);
    let path = PathBuf::from(reader.text()?);
    let mut options = StoreOptions::default();
    for _ in 0..reader.length()? {
        let (name, value) = (reader.text()?, reader.text()?);
        options.set(name, value)?;
    }
    reader.finish()?;
    Ok((path, options))
}

pub(crate) fn store_open<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    request: JByteArray<'local>,
    listener: JObject<'local>,
) -> Outcome<jlong> {
    let request = env.convert_byte_array(&request)?;
    let (path, mut options) = read_open_request(&request)?;
    let _listening = listen(env, &mut options, &listener)?;
    let store = Store::open(&path, &options)?;
    tracing::debug!(path = %path.display(), "opened a store for Java");
    Ok(Handle::give(Opened::Store(store)))
}

pub(crate) fn store_open_reader<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    request: JByteArray<'local>,
) -> Outcome<jlong> {
    let request = env.convert_byte_array(&request)?;
    let (path, options) = read_open_request(&request)?;
    Ok(Handle::give(Opened::Reader(Store::open_reader(path, &options)?)))
}

pub(crate) fn store_plan_recovery<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    request: JByteArray<'local>,
    listener: JObject<'local>,
) -> Outcome<JByteArray<'local>> {
    let request = env.convert_byte_array(&request)?;
    let (path, mut options) = read_open_request(&request)?;
    let _listening = listen(env, &mut options, &listener)?;
    let mut writer = Writer::default();
    write_recovery_report(&mut writer, &Store::plan_recovery(path, &options)?);
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

pub(crate) fn store_close<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<()> {
    Ok(store.get()?.close()?)
}

pub(crate) fn store_release<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<()> {
    store.release();
    Ok(())
}

pub(crate) fn store_append<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    scratch: ScratchAddress,
    length: jint,
    capacity: jint,
) {
    boundary::without_env(env, || {
        let store = store.writer()?;
        append_with(scratch, length, capacity, UseTopic::Yes, |message| store.append(message))
    });
}

pub(crate) fn store_append_async<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    scratch: ScratchAddress,
    length: jint,
    capacity: jint,
    token: jlong,
) {
    boundary::without_env(env, || {
        let store = store.writer()?;
        append_with(scratch, length, capacity, UseTopic::Yes, |message| {
            store.append_to_sink(message, completion_sink(), token.cast_unsigned())
        })
    });
}

pub(crate) fn store_append_all<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    mut scratch: ScratchAddress,
    length: jint,
    capacity: jint,
) {
    boundary::without_env(env, || {
        let store = store.writer()?;
        let scratch = scratch.bytes(capacity)?;
        let mut reader = Reader::new(request(scratch, length)?);
        let (mut messages, mut lists) = (Vec::new(), Vec::new());
        for _ in 0..reader.length()? {
            let mut message = NO_MESSAGE;
            let mut own = Lists::default();
            read_message(&mut reader, UseTopic::Yes, &mut message, &mut own)?;
            messages.push(message);
            lists.push(own);
        }
        reader.finish()?;
        for (message, own) in messages.iter_mut().zip(&lists) {
            own.lend(message);
        }
        let mut results = Vec::with_capacity(messages.len());
        let outcome = store.append_many(&messages, &mut results);
        drop(messages);
        drop(lists);
        match outcome {
            Ok(()) => Ok(respond(scratch, &results)?),
            Err(error) => Err(Failure::Core(error, results)),
        }
    });
}

pub(crate) fn store_append_batch<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    scratch: ScratchAddress,
    length: jint,
    capacity: jint,
    inner: jboolean,
) -> Outcome<()> {
    let store = store.writer()?;
    append_with(scratch, length, capacity, UseTopic::Yes, |message| {
        let batch = EncodedBatch { shared: Message { body: &[], ..*message }, items: message.body };
        if inner { store.append_inner_batch(&batch) } else { store.append_batch(&batch) }
    })
}

pub(crate) fn store_flush<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<()> {
    Ok(store.writer()?.flush()?)
}

/// Turns the end of a wait into false.
fn happened(outcome: Result<()>) -> Outcome<jboolean> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.status() == Status::WaitTimeout => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn store_wait_durable<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    end: jlong,
    limit_ms: jlong,
) -> Outcome<jboolean> {
    let end = physical_offset(end)?;
    happened(store.writer()?.wait_durable(end, milliseconds(limit_ms)))
}

pub(crate) fn store_wait_readable<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    offset: jlong,
    limit_ms: jlong,
) -> Outcome<jboolean> {
    let offset = physical_offset(offset)?;
    let limit = milliseconds(limit_ms);
    Ok(of_either!(*store.get()?, it => it.wait_readable(offset, limit))?)
}

pub(crate) fn store_positions<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<JLongArray<'local>> {
    let store = store.writer()?;
    // In this order each position is at most the next one's value at its own reading.
    let durable = store.durable_offset().to_i64();
    let committed = store.committed_offset().to_i64();
    let positions = [store.min_offset().to_i64(), durable, committed, store.max_offset().to_i64()];
    long_array(env, &positions)
}

/// Numbers as a Java array.
pub(crate) fn long_array<'local>(
    env: &mut Env<'local>,
    numbers: &[jlong],
) -> Outcome<JLongArray<'local>> {
    let array = env.new_long_array(numbers.len())?;
    array.set_region(env, 0, numbers)?;
    Ok(array)
}

/// Where the log begins and ends.
pub(crate) fn store_range<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<JLongArray<'local>> {
    let range = of_either!(*store.get()?, it => {
        [it.min_offset().to_i64(), it.max_offset().to_i64()]
    });
    long_array(env, &range)
}

pub(crate) fn store_next_queue_offset<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    topic: JByteArray<'local>,
    queue_id: jint,
) -> Outcome<jlong> {
    let topic = env.convert_byte_array(&topic)?;
    let topic = utf8(&topic)?;
    Ok(store.writer()?.next_queue_offset(topic, queue_id).to_i64())
}

pub(crate) fn store_segment_size_bytes<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<jlong> {
    Ok(of_either!(*store.get()?, it => it.segment_size_bytes()).cast_signed())
}

pub(crate) fn store_stats<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<JByteArray<'local>> {
    let mut writer = Writer::default();
    write_stats(&mut writer, &store.writer()?.stats());
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

pub(crate) fn store_recovery_report<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<JByteArray<'local>> {
    let mut writer = Writer::default();
    write_recovery_report(&mut writer, store.writer()?.recovery_report());
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

pub(crate) fn queue_open<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    topic: JByteArray<'local>,
    queue_id: jint,
) -> Outcome<jlong> {
    let topic = env.convert_byte_array(&topic)?;
    let queue = store.writer()?.queue(utf8(&topic)?, queue_id)?;
    Ok(Handle::give(queue))
}

pub(crate) fn queue_release<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    queue: QueueHandle,
) -> Outcome<()> {
    queue.release();
    Ok(())
}

pub(crate) fn queue_append<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    queue: QueueHandle,
    scratch: ScratchAddress,
    length: jint,
    capacity: jint,
) {
    boundary::without_env(env, || {
        let queue = queue.get()?;
        append_with(scratch, length, capacity, UseTopic::No, |message| queue.append(message))
    });
}

pub(crate) fn queue_append_async<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    queue: QueueHandle,
    scratch: ScratchAddress,
    length: jint,
    capacity: jint,
    token: jlong,
) {
    boundary::without_env(env, || {
        let queue = queue.get()?;
        append_with(scratch, length, capacity, UseTopic::No, |message| {
            queue.append_to_sink(message, completion_sink(), token.cast_unsigned())
        })
    });
}
