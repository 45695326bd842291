//! Consumer groups.

use std::ptr::null_mut;
use std::sync::atomic::Ordering;

use c::consumer::*;
use c::consumer_options::*;
use c::groups::*;
use c::push::*;
use cairnlog_fuzz_abi as c;

use super::args::Buffer;
use super::callbacks::{ANSWER, consume};
use super::reading::keep;
use super::storing::wait_ms;
use super::world::{Made, World, call, touch_text};
use crate::input::Input;

pub(super) fn options_new(world: &mut World, input: &mut Input<'_>) {
    let options = cairn_consumer_options_new();
    let topic = world.arena.name(input);
    let filter = world.filters.pick(input);
    let error = world.out_error(input);
    let status = call!(cairn_consumer_options_subscribe, options, topic, filter, error);
    world.settle(status);
    world.consumer_options.put(input, options);
}

pub(super) fn options_set(world: &mut World, input: &mut Input<'_>) {
    let options = world.consumer_options.pick(input);
    let which = input.below(8);
    let value = input.number();
    let enumeration = if input.u8() < 200 { (value % 3) as i32 } else { value as i32 };
    let status = match which {
        0 => call!(cairn_consumer_options_set_mode, options, enumeration),
        1 => call!(cairn_consumer_options_set_order, options, enumeration),
        2 => {
            let time = input.i64();
            call!(cairn_consumer_options_set_start_from, options, enumeration, time)
        }
        3 => call!(cairn_consumer_options_set_max_in_hand, options, value as usize),
        4 => call!(cairn_consumer_options_set_consume_timeout_ms, options, value),
        5 => call!(cairn_consumer_options_set_max_reconsume_times, options, value as i32),
        6 => call!(cairn_consumer_options_set_suspend_queue_ms, options, value),
        _ => {
            let topic = world.arena.name(input);
            let filter = world.filters.pick(input);
            let error = world.out_error(input);
            call!(cairn_consumer_options_subscribe, options, topic, filter, error)
        }
    };
    world.settle(status);
}

pub(super) fn open(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let group = world.arena.name(input);
    let options = world.consumer_options.pick(input);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_consumer_open, store, group, options, made.out(), error);
    let consumer = made.take(world.settle(status));
    world.consumers.put(input, consumer);
}

pub(super) fn poll(world: &mut World, input: &mut Input<'_>) {
    let consumer = world.consumers.pick(input);
    let (most, wait) = (input.number() as usize, wait_ms(input));
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_consumer_poll, consumer, most, wait, made.out(), error);
    keep(world, input, made, status);
}

/// Ends a delivery, which may be any message of any batch.
pub(super) fn delivery(world: &mut World, input: &mut Input<'_>) {
    let consumer = world.consumers.pick(input);
    let batch = world.batches.pick(input);
    let index = if input.u8() < 200 { input.below(4) } else { input.number() as usize };
    touch_text(call!(cairn_delivery_topic, batch, index));
    let mut done = false;
    let out_done = if input.u8() < 240 { &raw mut done } else { null_mut() };
    let end = if input.flag() { cairn_delivery_acknowledge } else { cairn_delivery_retry_later };
    let error = world.out_error(input);
    let status = call!(end, consumer, batch, index, out_done, error);
    world.settle(status);
}

pub(super) fn seek(world: &mut World, input: &mut Input<'_>) {
    let consumer = world.consumers.pick(input);
    let topic = world.arena.name(input);
    let (queue_id, offset) = (i32::from(input.u8() % 3), input.i64());
    let mut moved = false;
    let out_moved = if input.u8() < 240 { &raw mut moved } else { null_mut() };
    let error = world.out_error(input);
    let status = call!(cairn_consumer_seek, consumer, topic, queue_id, offset, out_moved, error);
    world.settle(status);
}

pub(super) fn consumer_facts(world: &mut World, input: &mut Input<'_>) {
    let consumer = world.consumers.pick(input);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_consumer_assigned, consumer, made.out(), error);
    let assigned = made.take(world.settle(status));
    for index in 0..call!(cairn_assigned_queues_len, assigned) + 1 {
        let mut out = Buffer::out::<cairn_assigned_queue>(input);
        let status = call!(cairn_assigned_queues_get, assigned, index, out.pointer());
        if world.settle(status) {
            touch_text(out.read::<cairn_assigned_queue>().topic);
        }
    }
    call!(cairn_assigned_queues_free, assigned);
    let error = world.out_error(input);
    let status = match input.below(4) {
        0 => call!(cairn_consumer_close, consumer, error),
        _ => call!(cairn_consumer_commit, consumer, error),
    };
    world.settle(status);
    let _ = call!(cairn_consumer_is_closed, consumer);
}

pub(super) fn push(world: &mut World, input: &mut Input<'_>) {
    ANSWER.store(input.i32(), Ordering::Relaxed);
    if input.u8() < 64 {
        let push = world.pushes.pick(input);
        let error = world.out_error(input);
        let status = call!(cairn_push_consumer_close, push, error);
        world.settle(status);
        return;
    }
    let store = world.stores.pick(input);
    let group = world.arena.name(input);
    let options = world.consumer_options.pick(input);
    let callback = (input.u8() < 240).then_some(consume as _);
    let threads = input.pick(&[0, 1, 2, 1025, usize::MAX]);
    let most = input.number() as usize;
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let out = made.out();
    let status = call!(
        cairn_push_consumer_start,
        store,
        group,
        options,
        callback,
        null_mut(),
        threads,
        most,
        out,
        error,
    );
    let push = made.take(world.settle(status));
    world.pushes.put(input, push);
}

pub(super) fn groups(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_groups, store, made.out(), error);
    let groups = made.take(world.settle(status));
    for index in 0..call!(cairn_groups_len, groups) + 1 {
        touch_text(call!(cairn_groups_get, groups, index));
    }
    call!(cairn_groups_free, groups);
    let group = world.arena.name(input);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_group_progress, store, group, made.out(), error);
    let progress = made.take(world.settle(status));
    for index in 0..call!(cairn_group_progress_len, progress) + 1 {
        let mut out = Buffer::out::<cairn_queue_progress>(input);
        let status = call!(cairn_group_progress_get, progress, index, out.pointer());
        if world.settle(status) {
            touch_text(out.read::<cairn_queue_progress>().topic);
        }
    }
    call!(cairn_group_progress_free, progress);
}

pub(super) fn offsets(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let (group, topic) = (world.arena.name(input), world.arena.name(input));
    let queue_id = i32::from(input.u8() % 3);
    let error = world.out_error(input);
    let mut offset = 0;
    let status = match input.below(3) {
        0 => {
            let out = if input.u8() < 240 { &raw mut offset } else { null_mut() };
            call!(cairn_store_consumer_offset, store, group, topic, queue_id, out, error)
        }
        1 => {
            let next = input.i64();
            call!(cairn_store_commit_offset, store, group, topic, queue_id, next, error)
        }
        _ => call!(cairn_store_persist_offsets, store, error),
    };
    world.settle(status);
}
