//! The natives of consumer groups.

use std::time::Duration;

use cairnlog::{
    ConsumeMode, ConsumeOrder, Consumer, ConsumerOptions, Delivery, Error, QueueOffset, Result,
    StartFrom, Status,
};
use jni::Env;
use jni::objects::{JByteArray, JClass};
use jni::sys::{jboolean, jint, jlong};

use crate::boundary::Outcome;
use crate::handle::{BatchHandle, ConsumerHandle, Handle, StoreHandle};
use crate::queues::{NO_INDEX, limit, queue_offset, read_filter};
use crate::reading::Given;
use crate::store::milliseconds;
use crate::wire::{Reader, Writer, utf8};

fn not_negative(value: i64, what: &'static str) -> Result<u64> {
    u64::try_from(value)
        .map_err(|_| Error::new(Status::InvalidArgument, what).expected("at least 0", value))
}

fn unknown(what: &'static str) -> Error {
    Error::new(Status::Internal, what)
}

/// Reads a group and how to consume; `io.cairnlog.ConsumerOptions.toBytes` wrote it.
fn read_options(bytes: &[u8]) -> Result<(&str, ConsumerOptions)> {
    let mut reader = Reader::new(bytes);
    let group = reader.text()?;
    let mut options = ConsumerOptions::default();
    for _ in 0..reader.length()? {
        let topic = reader.text()?;
        options = options.subscribe(topic, read_filter(&mut reader)?);
    }
    options.mode = match reader.i32()? {
        0 => ConsumeMode::Clustering,
        1 => ConsumeMode::Broadcasting,
        _ => return Err(unknown("the Java package passed no consume mode")),
    };
    options.order = match reader.i32()? {
        0 => ConsumeOrder::Concurrent,
        1 => ConsumeOrder::Orderly,
        _ => return Err(unknown("the Java package passed no consume order")),
    };
    let (start, time_ms) = (reader.i32()?, reader.i64()?);
    options.start_from = match start {
        0 => StartFrom::Last,
        1 => StartFrom::First,
        2 => StartFrom::Timestamp(time_ms),
        _ => return Err(unknown("the Java package passed no start")),
    };
    options.max_in_hand = limit(reader.i32()?, "maxInHand of a consumer is negative")?;
    options.consume_timeout_ms =
        not_negative(reader.i64()?, "consumeTimeoutMs of a consumer is negative")?;
    options.max_reconsume_times = reader.i32()?;
    options.suspend_queue_ms =
        not_negative(reader.i64()?, "suspendQueueMs of a consumer is negative")?;
    reader.finish()?;
    Ok((group, options))
}

pub(crate) fn consumer_open<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    request: JByteArray<'local>,
) -> Outcome<jlong> {
    let request = env.convert_byte_array(&request)?;
    let (group, options) = read_options(&request)?;
    let consumer = store.writer()?.consumer(group, options)?;
    Ok(Handle::give(consumer))
}

fn poll(consumer: &Consumer, max_messages: jint, wait: Duration) -> Result<Vec<Delivery>> {
    let max_messages = limit(max_messages, "a poll asks for a negative number of messages")?;
    if max_messages == 0 {
        return Err(Error::new(Status::InvalidArgument, "a poll asks for no message")
            .expected("at least 1", 0));
    }
    consumer.poll(max_messages, wait)
}

/// What was handed out; null for nothing.
pub(crate) fn consumer_poll<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    consumer: ConsumerHandle,
    max_messages: jint,
    limit_ms: jlong,
) -> Outcome<JByteArray<'local>> {
    let deliveries = poll(consumer.get()?, max_messages, milliseconds(limit_ms))?;
    if deliveries.is_empty() {
        return Ok(JByteArray::null());
    }
    Given::handed_out(deliveries).give(env)
}

pub(crate) fn consumer_acknowledge<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    consumer: ConsumerHandle,
    batch: BatchHandle,
    index: jint,
) -> Outcome<jboolean> {
    Ok(consumer.get()?.acknowledge(batch.get()?.delivery(index)?))
}

pub(crate) fn consumer_retry_later<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    consumer: ConsumerHandle,
    batch: BatchHandle,
    index: jint,
) -> Outcome<jboolean> {
    Ok(consumer.get()?.retry_later(batch.get()?.delivery(index)?)?)
}

pub(crate) fn consumer_seek<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    consumer: ConsumerHandle,
    topic: JByteArray<'local>,
    queue_id: jint,
    offset: jlong,
) -> Outcome<jboolean> {
    let topic = env.convert_byte_array(&topic)?;
    let offset = queue_offset(offset)?;
    Ok(consumer.get()?.seek(utf8(&topic)?, queue_id, offset))
}

pub(crate) fn consumer_commit<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    consumer: ConsumerHandle,
) -> Outcome<()> {
    Ok(consumer.get()?.commit()?)
}

pub(crate) fn consumer_assigned<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    consumer: ConsumerHandle,
) -> Outcome<JByteArray<'local>> {
    let assigned = consumer.get()?.assigned();
    let mut writer = Writer::default();
    writer.count(assigned.len());
    for (topic, queue_id) in &assigned {
        writer.text(topic).i32(*queue_id);
    }
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

/// Leaves the group and ends polls; the handle is released when those are out.
pub(crate) fn consumer_close<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    consumer: ConsumerHandle,
) -> Outcome<()> {
    consumer.get()?.close();
    Ok(())
}

pub(crate) fn consumer_release<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    consumer: ConsumerHandle,
) -> Outcome<()> {
    consumer.release();
    Ok(())
}

pub(crate) fn store_groups<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<JByteArray<'local>> {
    let groups = store.writer()?.groups()?;
    let mut writer = Writer::default();
    writer.texts(&groups);
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

pub(crate) fn store_group_progress<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    group: JByteArray<'local>,
) -> Outcome<JByteArray<'local>> {
    let group = env.convert_byte_array(&group)?;
    let progress = store.writer()?.group_progress(utf8(&group)?)?;
    let mut writer = Writer::default();
    writer.count(progress.len());
    for queue in &progress {
        writer
            .text(&queue.topic)
            .i32(queue.queue_id)
            .i64(queue.committed.to_i64())
            .i64(queue.min_offset.to_i64())
            .i64(queue.max_offset.to_i64())
            .u64(queue.lag());
    }
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

pub(crate) fn store_consumer_offset<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    group: JByteArray<'local>,
    topic: JByteArray<'local>,
    queue_id: jint,
) -> Outcome<jlong> {
    let (group, topic) = (env.convert_byte_array(&group)?, env.convert_byte_array(&topic)?);
    let found = store.writer()?.consumer_offset(utf8(&group)?, utf8(&topic)?, queue_id)?;
    Ok(found.map_or(NO_INDEX, QueueOffset::to_i64))
}

pub(crate) fn store_commit_offset<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    group: JByteArray<'local>,
    topic: JByteArray<'local>,
    queue_id: jint,
    offset: jlong,
) -> Outcome<()> {
    let (group, topic) = (env.convert_byte_array(&group)?, env.convert_byte_array(&topic)?);
    let offset = queue_offset(offset)?;
    Ok(store.writer()?.commit_offset(utf8(&group)?, utf8(&topic)?, queue_id, offset)?)
}

pub(crate) fn store_persist_offsets<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<()> {
    Ok(store.writer()?.persist_offsets()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(mode: i32, order: i32, start: i32, in_hand: i32, timeout_ms: i64) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.text("billing").i32(2).text("orders").i32(1).text("a || b");
        writer.text("returns").i32(0).text("*");
        writer.i32(mode).i32(order).i32(start).i64(7);
        writer.i32(in_hand).i64(timeout_ms).i32(3).i64(11);
        writer.as_slice().to_vec()
    }

    #[test]
    fn every_option_arrives() {
        let bytes = request(1, 1, 2, 5, 9);
        let (group, options) = read_options(&bytes).unwrap();
        assert_eq!(group, "billing");
        assert!(options.subscriptions.keys().eq(["orders", "returns"]));
        assert_eq!(options.mode, ConsumeMode::Broadcasting);
        assert_eq!(options.order, ConsumeOrder::Orderly);
        assert_eq!(options.start_from, StartFrom::Timestamp(7));
        assert_eq!((options.max_in_hand, options.consume_timeout_ms), (5, 9));
        assert_eq!((options.max_reconsume_times, options.suspend_queue_ms), (3, 11));
        for cut in 0..bytes.len() {
            assert!(read_options(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn impossible_options_are_refused() {
        for (bytes, status) in [
            (request(2, 0, 0, 1, 1), Status::Internal),
            (request(0, 2, 0, 1, 1), Status::Internal),
            (request(0, 0, 3, 1, 1), Status::Internal),
            (request(0, 0, 0, -1, 1), Status::InvalidArgument),
            (request(0, 0, 0, 1, -1), Status::InvalidArgument),
        ] {
            assert_eq!(read_options(&bytes).unwrap_err().status(), status);
        }
    }
}
