//! Reading, looking up, waiting, filters, tails.

use std::ffi::CStr;
use std::ptr::null_mut;

use c::filter::*;
use c::queue_read::*;
use c::queues::*;
use c::read::*;
use c::status::{cairn_status, cairn_status_name};
use c::tail::*;
use c::text::{cairn_property, cairn_str, cairn_str_from};
use c::version::*;
use cairnlog_fuzz_abi as c;

use super::args::Buffer;
use super::storing::wait_ms;
use super::world::{Made, World, call, touch, touch_text};
use crate::input::Input;

/// Keeps a batch, of which the numbers fit each other.
pub(super) fn keep(
    world: &mut World,
    input: &mut Input<'_>,
    made: Made<cairn_batch>,
    status: cairn_status,
) {
    let batch = made.take(world.settle(status));
    if batch.is_null() {
        return;
    }
    let outcome = call!(cairn_batch_outcome, batch);
    assert_ne!(call!(CStr::from_ptr, cairn_read_outcome_name(outcome)), c"UNKNOWN");
    let found = outcome == cairn_read_outcome::Found as i32;
    assert_eq!(call!(cairn_batch_len, batch) > 0, found);
    let _ = call!(cairn_batch_next_offset, batch);
    let (min, max) = (call!(cairn_batch_min_offset, batch), call!(cairn_batch_max_offset, batch));
    assert!(min <= max);
    world.batches.put(input, batch);
}

pub(super) fn read_at(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let offset = input.i64();
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_read_at, store, offset, made.out(), error);
    keep(world, input, made, status);
}

pub(super) fn read_log(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let (from, messages, bytes) = (input.i64(), input.number() as usize, input.number() as usize);
    let wait = wait_ms(input);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_read_log, store, from, messages, bytes, wait, made.out(), error);
    keep(world, input, made, status);
}

pub(super) fn read(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let mut request = Buffer::zeroed::<cairn_read_request>();
    request.struct_size = size_of::<cairn_read_request>() as u32;
    request.topic = world.arena.name(input);
    request.queue_id = if input.u8() < 200 { i32::from(input.u8() % 3) } else { input.i32() };
    request.offset = input.i64();
    request.max_messages = input.number() as usize;
    request.max_bytes = input.number() as usize;
    request.filter = world.filters.pick(input);
    let mut request = Buffer::of(input, &[request]);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_read, store, request.pointer(), made.out(), error);
    keep(world, input, made, status);
}

pub(super) fn query_key(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let (topic, key) = (world.arena.name(input), world.arena.text(input));
    let (begin, end) = (input.i64(), input.i64());
    let most = input.number() as usize;
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status =
        call!(cairn_store_query_key, store, topic, key, begin, end, most, made.out(), error);
    keep(world, input, made, status);
}

pub(super) fn find_by_message_id(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let (topic, id) = (world.arena.name(input), world.arena.text(input));
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_find_by_message_id, store, topic, id, made.out(), error);
    keep(world, input, made, status);
}

pub(super) fn wait_message(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let topic = world.arena.name(input);
    let (queue_id, offset, wait) = (input.i32(), input.i64(), wait_ms(input));
    let error = world.out_error(input);
    let status = call!(cairn_store_wait_message, store, topic, queue_id, offset, wait, error);
    world.settle(status);
}

pub(super) fn wait_dispatched(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let (offset, wait) = (input.i64(), wait_ms(input));
    let error = world.out_error(input);
    let status = call!(cairn_store_wait_dispatched, store, offset, wait, error);
    world.settle(status);
}

pub(super) fn queue_range(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let topic = world.arena.name(input);
    let (mut first, mut next) = (-2, -2);
    let out_first = if input.u8() < 240 { &raw mut first } else { null_mut() };
    let out_next = if input.u8() < 240 { &raw mut next } else { null_mut() };
    let queue_id = input.i32();
    let error = world.out_error(input);
    let status = call!(cairn_store_queue_range, store, topic, queue_id, out_first, out_next, error);
    if world.settle(status) {
        assert!(first <= next);
    }
}

pub(super) fn offset_at_time(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let topic = world.arena.name(input);
    let (queue_id, time, boundary) = (i32::from(input.u8() % 3), input.i64(), input.i32());
    let mut offset = 0;
    let out = if input.u8() < 240 { &raw mut offset } else { null_mut() };
    let error = world.out_error(input);
    let status =
        call!(cairn_store_offset_at_time, store, topic, queue_id, time, boundary, out, error);
    world.settle(status);
}

pub(super) fn topics(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_topics, store, made.out(), error);
    let topics = made.take(world.settle(status));
    for index in 0..call!(cairn_topics_len, topics) + 1 {
        touch_text(call!(cairn_topics_get, topics, index));
    }
    touch_text(call!(cairn_topics_get, topics, usize::MAX));
    call!(cairn_topics_free, topics);
}

pub(super) fn queues_of(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let topic = world.arena.name(input);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_queues_of, store, topic, made.out(), error);
    let queues = made.take(world.settle(status));
    for index in 0..call!(cairn_queue_ids_len, queues) {
        assert!(call!(cairn_queue_ids_get, queues, index) >= 0);
    }
    let _ = call!(cairn_queue_ids_get, queues, usize::MAX);
    call!(cairn_queue_ids_free, queues);
}

pub(super) fn tail_open(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let topic = world.arena.name(input);
    let queue_id = if input.u8() < 200 { i32::from(input.u8() % 3) } else { input.i32() };
    let (from, filter) = (input.i64(), world.filters.pick(input));
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_tail_open, store, topic, queue_id, from, filter, made.out(), error);
    let tail = made.take(world.settle(status));
    world.tails.put(input, tail);
}

pub(super) fn tail_next(world: &mut World, input: &mut Input<'_>) {
    let tail = world.tails.pick(input);
    let (most, wait) = (input.number() as usize, wait_ms(input));
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_tail_next, tail, most, wait, made.out(), error);
    keep(world, input, made, status);
    let _ = call!(cairn_tail_offset, tail);
}

pub(super) fn filter(world: &mut World, input: &mut Input<'_>) {
    let expression = world.arena.text(input);
    let from = if input.flag() { cairn_filter_from_tags } else { cairn_filter_from_sql };
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(from, expression, made.out(), error);
    let filter = made.take(world.settle(status));
    world.filters.put(input, filter);
}

/// Looks at a message of a batch in every way.
pub(super) fn view(world: &mut World, input: &mut Input<'_>) {
    let batch = world.batches.pick(input);
    let index = if input.u8() < 200 { input.below(4) } else { input.number() as usize };
    let mut out = Buffer::out::<cairn_message_view>(input);
    let view: *mut cairn_message_view = out.pointer();
    let status = call!(cairn_batch_get, batch, index, view);
    if world.settle(status) {
        let view: cairn_message_view = out.read();
        touch_text(view.topic);
        touch_text(view.tag);
        touch_text(view.keys);
        touch(view.body);
        touch(view.properties);
        if view.record_length > 0 {
            let (data, length) = (view.record_data, view.record_length as usize);
            touch(c::text::cairn_bytes { data, length });
        }
    }
    let key = world.arena.text(input);
    let mut value = cairn_str { data: std::ptr::null(), length: 0 };
    let out_value = if input.u8() < 240 { &raw mut value } else { null_mut() };
    if call!(cairn_message_view_property, view, key, out_value) {
        touch_text(value);
    }
    let mut cursor = if input.u8() < 240 { 0 } else { input.number() as usize };
    let mut property = Buffer::zeroed::<cairn_property>();
    for _ in 0..8 {
        if !call!(cairn_message_view_next_property, view, &mut cursor, &mut property) {
            break;
        }
        touch_text(property.name);
        touch_text(property.value);
    }
    let mut text = vec![0u8; input.pick(&[57, 57, 56, 0, 1000])].into_boxed_slice();
    let (id, capacity) = (text.as_mut_ptr().cast(), text.len());
    let status = call!(cairn_message_view_message_id, view, id, capacity);
    world.settle(status);
    let filter = world.filters.pick(input);
    let _ = call!(cairn_filter_matches, filter, view);
}

/// What needs no object.
pub(super) fn names(world: &mut World, input: &mut Input<'_>) {
    let number = input.i32();
    let _ = call!(CStr::from_ptr, cairn_status_name(number));
    let _ = call!(CStr::from_ptr, cairn_read_outcome_name(number));
    let _ = (cairn_version_number(), call!(CStr::from_ptr, cairn_version_string()));
    world.settle(cairn_abi_check(number.cast_unsigned()));
    let text = input.flag().then_some(c"text");
    touch_text(call!(cairn_str_from, text.map_or(std::ptr::null(), CStr::as_ptr)));
}
