//! The natives of reading by queue, by key and by id.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cairnlog::{
    Error, Filter, MessageView, QueueOffset, ReadRequest, Result, Status, Tail, TimeBoundary,
};
use jni::Env;
use jni::objects::{JByteArray, JClass, JIntArray, JLongArray};
use jni::sys::{jboolean, jint, jlong};

use crate::boundary::{Outcome, write_error};
use crate::handle::{Handle, StoreHandle, TailHandle};
use crate::opened::of_either;
use crate::reading::Given;
use crate::store::{long_array, milliseconds, physical_offset};
use crate::wire::{Reader, Writer, utf8};

/// Messages that a tail hands over in one call, at most.
const MAX_TAIL_MESSAGES: usize = 32;

/// What Java takes for "there is none".
pub(crate) const NO_INDEX: jlong = -1;

/// The kinds of `io.cairnlog.Filter`.
fn filter_of(kind: i32, expression: &str) -> Result<Filter> {
    match kind {
        0 => Ok(Filter::all()),
        1 => Filter::tags(expression),
        2 => Filter::sql(expression),
        _ => Err(Error::new(Status::Internal, "the Java package passed no kind of filter")),
    }
}

pub(crate) fn read_filter(reader: &mut Reader<'_>) -> Result<Filter> {
    let kind = reader.i32()?;
    filter_of(kind, reader.text()?)
}

pub(crate) fn queue_offset(offset: i64) -> Result<QueueOffset> {
    QueueOffset::from_i64(offset).ok_or_else(|| {
        Error::new(Status::OffsetOutOfRange, "an index of a queue is negative")
            .expected("at least 0", offset)
    })
}

pub(crate) fn limit(value: i32, what: &'static str) -> Result<usize> {
    usize::try_from(value)
        .map_err(|_| Error::new(Status::InvalidArgument, what).expected("at least 0", value))
}

/// Reads a request to read; `io.cairnlog.ReadRequest.write` wrote it.
fn read_request(bytes: &[u8]) -> Result<ReadRequest<'_>> {
    let mut reader = Reader::new(bytes);
    let request = ReadRequest {
        topic: reader.text()?,
        queue_id: reader.i32()?,
        offset: reader.i64()?,
        max_messages: limit(reader.i32()?, "maxMessages of a read is negative")?,
        max_bytes: limit(reader.i32()?, "maxBytes of a read is negative")?,
        filter: read_filter(&mut reader)?,
    };
    reader.finish()?;
    Ok(request)
}

pub(crate) fn store_read<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    request: JByteArray<'local>,
) -> Outcome<JByteArray<'local>> {
    let request = env.convert_byte_array(&request)?;
    let request = read_request(&request)?;
    Given::from(of_either!(*store.get()?, it => it.read(&request))?).give(env)
}

pub(crate) fn store_query_key<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    request: JByteArray<'local>,
) -> Outcome<JByteArray<'local>> {
    let request = env.convert_byte_array(&request)?;
    let mut reader = Reader::new(&request);
    let (topic, key) = (reader.text()?, reader.text()?);
    let (begin_ms, end_ms) = (reader.i64()?, reader.i64()?);
    let max_messages = limit(reader.i32()?, "maxMessages of a query is negative")?;
    reader.finish()?;
    let messages =
        of_either!(*store.get()?, it => it.query_key(topic, key, begin_ms, end_ms, max_messages))?;
    Given::looked_up(messages).give(env)
}

pub(crate) fn store_find_by_message_id<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    topic: JByteArray<'local>,
    id: JByteArray<'local>,
) -> Outcome<JByteArray<'local>> {
    let (topic, id) = (env.convert_byte_array(&topic)?, env.convert_byte_array(&id)?);
    let (topic, id) = (utf8(&topic)?, utf8(&id)?);
    let found = of_either!(*store.get()?, it => it.find_by_message_id(topic, id))?;
    Given::looked_up(found.into_iter().collect()).give(env)
}

/// The first index of a queue and one past its last; null for no queue.
pub(crate) fn store_queue_range<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    topic: JByteArray<'local>,
    queue_id: jint,
) -> Outcome<JLongArray<'local>> {
    let topic = env.convert_byte_array(&topic)?;
    let topic = utf8(&topic)?;
    let Some(range) = of_either!(*store.get()?, it => it.queue_range(topic, queue_id))? else {
        return Ok(JLongArray::null());
    };
    let bounds = [range.start.to_i64(), range.end.to_i64()];
    long_array(env, &bounds)
}

pub(crate) fn store_offset_at_time<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    topic: JByteArray<'local>,
    queue_id: jint,
    time_ms: jlong,
    upper: jboolean,
) -> Outcome<jlong> {
    let topic = env.convert_byte_array(&topic)?;
    let boundary = if upper { TimeBoundary::Upper } else { TimeBoundary::Lower };
    let topic = utf8(&topic)?;
    let found =
        of_either!(*store.get()?, it => it.offset_at_time(topic, queue_id, time_ms, boundary))?;
    Ok(found.map_or(NO_INDEX, QueueOffset::to_i64))
}

pub(crate) fn store_topics<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<JByteArray<'local>> {
    let topics = of_either!(*store.get()?, it => it.topics())?;
    let mut writer = Writer::default();
    writer.texts(&topics);
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

pub(crate) fn store_queues_of<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    topic: JByteArray<'local>,
) -> Outcome<JIntArray<'local>> {
    let topic = env.convert_byte_array(&topic)?;
    let topic = utf8(&topic)?;
    let queues = of_either!(*store.get()?, it => it.queues_of(topic))?;
    let array = env.new_int_array(queues.len())?;
    array.set_region(env, 0, &queues)?;
    Ok(array)
}

pub(crate) fn store_wait_message<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    topic: JByteArray<'local>,
    queue_id: jint,
    offset: jlong,
    limit_ms: jlong,
) -> Outcome<jboolean> {
    let topic = env.convert_byte_array(&topic)?;
    let (topic, offset) = (utf8(&topic)?, queue_offset(offset)?);
    let limit = milliseconds(limit_ms);
    Ok(of_either!(*store.get()?, it => it.wait_message(topic, queue_id, offset, limit))?)
}

pub(crate) fn store_wait_dispatched<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    end: jlong,
    limit_ms: jlong,
) -> Outcome<jboolean> {
    let end = physical_offset(end)?;
    Ok(store.writer()?.wait_dispatched(end, milliseconds(limit_ms))?)
}

pub(crate) fn store_dispatched_offset<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<jlong> {
    Ok(store.writer()?.dispatched_offset().to_i64())
}

/// The error that holds up the queues, as `CairnException.read` takes it; null for none.
pub(crate) fn store_dispatch_error<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<JByteArray<'local>> {
    let Some(error) = store.writer()?.dispatch_error() else {
        return Ok(JByteArray::null());
    };
    let mut writer = Writer::default();
    write_error(&mut writer, &error);
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

/// Refuses a filter that cannot be used.
pub(crate) fn check_filter<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    kind: jint,
    expression: JByteArray<'local>,
) -> Outcome<()> {
    let expression = env.convert_byte_array(&expression)?;
    filter_of(kind, utf8(&expression)?)?;
    Ok(())
}

pub(crate) fn tail_open<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    request: JByteArray<'local>,
) -> Outcome<jlong> {
    let request = env.convert_byte_array(&request)?;
    let mut reader = Reader::new(&request);
    let (topic, queue_id) = (reader.text()?, reader.i32()?);
    let from = queue_offset(reader.i64()?)?;
    let filter = read_filter(&mut reader)?;
    reader.finish()?;
    let tail = of_either!(*store.get()?, it => it.tail(topic, queue_id, from, filter))?;
    Ok(Handle::give(Mutex::new(tail)))
}

/// Waits for a message and takes those that are there behind it.
fn take_messages(tail: &mut Tail, limit: Duration) -> Result<Vec<MessageView>> {
    let mut messages: Vec<_> = tail.next_timeout(limit)?.into_iter().collect();
    while !messages.is_empty() && messages.len() < MAX_TAIL_MESSAGES {
        match tail.next() {
            Some(Ok(message)) => messages.push(message),
            // What fails stays where it is, so the next call fails by it.
            Some(Err(_)) | None => break,
        }
    }
    Ok(messages)
}

pub(crate) fn tail_next<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    tail: TailHandle,
    limit_ms: jlong,
) -> Outcome<JByteArray<'local>> {
    let mut tail = tail.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    let messages = take_messages(&mut tail, milliseconds(limit_ms))?;
    Given::followed(messages, tail.offset().to_i64()).give(env)
}

pub(crate) fn tail_release<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    tail: TailHandle,
) -> Outcome<()> {
    tail.release();
    Ok(())
}
