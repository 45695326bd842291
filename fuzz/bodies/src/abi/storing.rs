//! Options, stores, appends, transactions, retention.

use std::ptr::null_mut;
use std::sync::atomic::Ordering;

use c::append::*;
use c::batch_items::*;
use c::log::*;
use c::message::*;
use c::options::*;
use c::queue::*;
use c::recovery::*;
use c::recovery_progress::*;
use c::retention::*;
use c::stats::*;
use c::status::cairn_status;
use c::store::*;
use c::text::{cairn_bytes, cairn_str};
use c::transaction_checker::*;
use c::transactions::*;
use cairnlog::StoreOptions;
use cairnlog_fuzz_abi as c;

use super::args::{Arena, Buffer};
use super::callbacks::{ANSWER, HELD, PENDING, appended, check, log, progress, release};
use super::world::{Made, World, call, touch, touch_text};
use crate::input::Input;

/// The longest wait, in milliseconds.
const MAX_WAIT_MS: usize = 3;

/// What keeps files and waits small; a store is opened with nothing else.
const SMALL: [(&str, &str); 9] = [
    ("segment_size_bytes", "64K"),
    ("reserve_ahead_bytes", "1M"),
    ("max_hash_slot_num", "100"),
    ("max_index_num", "400"),
    ("consume_queue_file_size_bytes", "2000"),
    ("batch_consume_queue_file_size_bytes", "460"),
    ("transient_store_pool_size", "2"),
    ("warm_mapped_file_enable", "false"),
    ("delete_commit_log_files_interval_ms", "0"),
];

fn set(arena: &mut Arena, options: *mut cairn_options, name: &str, value: &str) -> cairn_status {
    let text = |bytes: cairn_bytes| cairn_str { data: bytes.data.cast(), length: bytes.length };
    let name = text(arena.given(name.as_bytes()));
    let value = text(arena.given(value.as_bytes()));
    call!(cairn_options_set, options, name, value, null_mut())
}

fn make_small(arena: &mut Arena, options: *mut cairn_options) {
    for (name, value) in SMALL {
        assert_eq!(set(arena, options, name, value), cairn_status::Ok, "{name}");
    }
}

/// What most programs begin with: a store with a few messages.
pub(super) fn open_first(world: &mut World) {
    let mut input = Input::new(&[]);
    let options = cairn_options_new();
    make_small(&mut world.arena, options);
    set(&mut world.arena, options, "transaction_timeout_ms", "1");
    set(&mut world.arena, options, "transaction_check_interval_ms", "1");
    let (path, _) = world.path(&mut input);
    let mut store = null_mut();
    let status = call!(cairn_store_open, path, options, &mut store, null_mut());
    assert_eq!(status, cairn_status::Ok);
    world.stores.put(&mut input, store);
    world.options.put(&mut input, options);
    for number in 0..3u8 {
        let mut message = Buffer::zeroed::<cairn_message>();
        message.struct_size = size_of::<cairn_message>() as u32;
        let topic = world.arena.given(b"t");
        message.topic = cairn_str { data: topic.data.cast(), length: topic.length };
        message.body = world.arena.given(&[number; 20]);
        let tag = world.arena.given(b"a");
        message.tag = cairn_str { data: tag.data.cast(), length: tag.length };
        let status = call!(cairn_store_append, store, &message, null_mut(), null_mut());
        assert_eq!(status, cairn_status::Ok);
    }
    world.settle(cairn_status::Ok);
}

pub(super) fn wait_ms(input: &mut Input<'_>) -> u64 {
    input.below(MAX_WAIT_MS + 1) as u64
}

fn placed(world: &mut World, status: cairn_status, out: &Buffer) {
    if world.settle(status) {
        let placed: cairn_append_result = out.read();
        assert!(placed.physical_offset >= 0);
        let mut text = vec![0u8; 57].into_boxed_slice();
        let mut whole = placed;
        whole.struct_size = size_of::<cairn_append_result>() as u32;
        let id = text.as_mut_ptr().cast();
        let status = call!(cairn_append_result_message_id, &whole, id, text.len());
        world.settle(status);
    }
}

pub(super) fn append(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let message = world.arena.message(input);
    let mut message = Buffer::of(input, &[message]);
    let mut out = Buffer::out::<cairn_append_result>(input);
    let error = world.out_error(input);
    let (message, place) = (message.pointer(), out.pointer());
    let status = call!(cairn_store_append, store, message, place, error);
    placed(world, status, &out);
}

pub(super) fn append_many(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let count = input.below(4);
    let messages: Vec<_> = (0..count).map(|_| world.arena.message(input)).collect();
    let mut messages = Buffer::of(input, &messages);
    let outs = vec![Buffer::zeroed::<cairn_append_result>(); count];
    let mut outs = Buffer::of(input, &outs);
    let mut done = usize::MAX;
    let out_done = if input.u8() < 240 { &raw mut done } else { null_mut() };
    let error = world.out_error(input);
    let (messages, places) = (messages.pointer(), outs.pointer());
    let status = call!(cairn_store_append_many, store, messages, count, places, out_done, error);
    if world.settle(status) && !out_done.is_null() {
        assert_eq!(done, count);
    }
}

pub(super) fn append_async(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let message = world.arena.message(input);
    let mut message = Buffer::of(input, &[message]);
    let callback = (input.u8() < 248).then_some(appended as _);
    let error = world.out_error(input);
    PENDING.fetch_add(1, Ordering::SeqCst);
    let message = message.pointer();
    let status = call!(cairn_store_append_async, store, message, callback, null_mut(), error);
    if !world.settle(status) {
        PENDING.fetch_sub(1, Ordering::SeqCst);
    }
}

fn items(world: &mut World, input: &mut Input<'_>) -> cairn_bytes {
    if input.u8() < 64 {
        return world.arena.bytes(input);
    }
    let items = world.items.pick(input);
    let bytes = call!(cairn_batch_items_bytes, items);
    touch(bytes);
    bytes
}

pub(super) fn append_batch(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let items = items(world, input);
    let shared = world.arena.message(input);
    let mut shared = Buffer::of(input, &[shared]);
    let mut out = Buffer::out::<cairn_append_result>(input);
    let error = world.out_error(input);
    let (shared, place) = (shared.pointer(), out.pointer());
    let status = call!(cairn_store_append_batch, store, shared, items, place, error);
    placed(world, status, &out);
}

pub(super) fn append_inner_batch(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let items = items(world, input);
    let shared = world.arena.message(input);
    let mut shared = Buffer::of(input, &[shared]);
    let mut out = Buffer::out::<cairn_append_result>(input);
    let error = world.out_error(input);
    let (shared, place) = (shared.pointer(), out.pointer());
    let status = call!(cairn_store_append_inner_batch, store, shared, items, place, error);
    placed(world, status, &out);
}

pub(super) fn queue_open(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let topic = world.arena.name(input);
    let queue_id = input.i32();
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_queue_open, store, topic, queue_id, made.out(), error);
    let queue = made.take(world.settle(status));
    world.queues.put(input, queue);
}

pub(super) fn queue_append(world: &mut World, input: &mut Input<'_>) {
    let queue = world.queues.pick(input);
    let message = world.arena.message(input);
    let mut message = Buffer::of(input, &[message]);
    let mut out = Buffer::out::<cairn_append_result>(input);
    let error = world.out_error(input);
    let (message, place) = (message.pointer(), out.pointer());
    let status = call!(cairn_queue_append, queue, message, place, error);
    placed(world, status, &out);
}

pub(super) fn queue_append_async(world: &mut World, input: &mut Input<'_>) {
    let queue = world.queues.pick(input);
    let message = world.arena.message(input);
    let mut message = Buffer::of(input, &[message]);
    let error = world.out_error(input);
    PENDING.fetch_add(1, Ordering::SeqCst);
    let (message, callback) = (message.pointer(), Some(appended as _));
    let status = call!(cairn_queue_append_async, queue, message, callback, null_mut(), error);
    if !world.settle(status) {
        PENDING.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) fn items_new(world: &mut World, input: &mut Input<'_>) {
    world.items.put(input, cairn_batch_items_new());
}

pub(super) fn items_add(world: &mut World, input: &mut Input<'_>) {
    let items = world.items.pick(input);
    let (body, properties) = (world.arena.bytes(input), world.arena.bytes(input));
    let error = world.out_error(input);
    let status = call!(cairn_batch_items_add, items, input.i32(), body, properties, error);
    world.settle(status);
    touch(call!(cairn_batch_items_bytes, items));
}

pub(super) fn options_new(world: &mut World, input: &mut Input<'_>) {
    world.options.put(input, cairn_options_new());
}

/// Options that name directories would let an input write anywhere.
fn names_a_path(text: &[u8]) -> bool {
    text.to_ascii_lowercase().windows(4).any(|part| part == b"path")
}

pub(super) fn options_from_properties(world: &mut World, input: &mut Input<'_>) {
    let lines = input.some_bytes();
    if names_a_path(lines) {
        return;
    }
    let bytes = world.arena.given(lines);
    let text = cairn_str { data: bytes.data.cast(), length: bytes.length };
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_options_from_properties, text, made.out(), error);
    let options = made.take(world.settle(status));
    for index in 0..call!(cairn_options_unknown_count, options) + 1 {
        touch_text(call!(cairn_options_unknown_name, options, index));
    }
    world.options.put(input, options);
}

pub(super) fn options_set(world: &mut World, input: &mut Input<'_>) {
    let options = world.options.pick(input);
    let names = StoreOptions::NAMES;
    let (ours, theirs) = names[input.below(names.len())];
    let name = if input.flag() { ours } else { theirs };
    if names_a_path(name.as_bytes()) {
        return;
    }
    let bytes = world.arena.given(name.as_bytes());
    let name = cairn_str { data: bytes.data.cast(), length: bytes.length };
    let number = input.number().to_string();
    let value = if input.flag() {
        world.arena.text(input)
    } else {
        let bytes = world.arena.given(number.as_bytes());
        cairn_str { data: bytes.data.cast(), length: bytes.length }
    };
    let error = world.out_error(input);
    let status = call!(cairn_options_set, options, name, value, error);
    world.settle(status);
}

pub(super) fn options_set_numbers(world: &mut World, input: &mut Input<'_>) {
    let options = world.options.pick(input);
    let which = input.below(5);
    let value = input.number();
    let status = match which {
        0 => call!(cairn_options_set_segment_size_bytes, options, value),
        1 => call!(cairn_options_set_sync_flush_timeout_ms, options, value),
        2 => call!(cairn_options_set_flush_interval_ms, options, value),
        3 => call!(cairn_options_set_max_message_size_bytes, options, value as u32),
        _ => call!(cairn_options_set_reserve_ahead_bytes, options, value),
    };
    world.settle(status);
}

pub(super) fn options_set_enumerations(world: &mut World, input: &mut Input<'_>) {
    let setters = [
        cairn_options_set_flush_mode,
        cairn_options_set_append_lock,
        cairn_options_set_damage_policy,
        cairn_options_set_create_if_missing,
        cairn_options_set_transient_store_pool_enable,
        cairn_options_set_append_record_crc,
        cairn_options_set_check_crc_on_recover,
        cairn_options_set_consume_queue_enable,
        cairn_options_set_message_index_enable,
        cairn_options_set_read_uncommitted,
    ];
    let options = world.options.pick(input);
    let setter = setters[input.below(setters.len())];
    let value = if input.u8() < 200 { i32::from(input.flag()) } else { input.i32() };
    let status = call!(setter, options, value);
    world.settle(status);
}

pub(super) fn options_set_progress(world: &mut World, input: &mut Input<'_>) {
    let options = world.options.pick(input);
    let callback = input.flag().then_some(progress as _);
    if callback.is_some() {
        HELD.fetch_add(1, Ordering::SeqCst);
    }
    let given = Some(release as _);
    let status = call!(cairn_options_set_recovery_progress, options, callback, given, null_mut());
    if !world.settle(status) && callback.is_some() {
        HELD.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Options to open with: none only where that cannot make files of a gigabyte.
fn to_open(world: &mut World, input: &mut Input<'_>, known: bool) -> Option<*mut cairn_options> {
    let options = world.options.pick(input);
    if options.is_null() {
        return known.then_some(options);
    }
    make_small(&mut world.arena, options);
    Some(options)
}

pub(super) fn open(world: &mut World, input: &mut Input<'_>) {
    let (path, directory) = world.path(input);
    let Some(options) = to_open(world, input, directory.join("commitlog").is_dir()) else {
        return;
    };
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_open, path, options, made.out(), error);
    let store = made.take(world.settle(status));
    world.stores.put(input, store);
}

pub(super) fn open_reader(world: &mut World, input: &mut Input<'_>) {
    let (path, _) = world.path(input);
    let options = world.options.pick(input);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_open_reader, path, options, made.out(), error);
    let store = made.take(world.settle(status));
    world.stores.put(input, store);
}

fn report(world: &mut World, input: &mut Input<'_>, recovery: *const cairn_recovery) {
    let mut out = Buffer::out::<cairn_recovery_report>(input);
    let status = call!(cairn_recovery_get, recovery, out.pointer());
    if world.settle(status) {
        let report: cairn_recovery_report = out.read();
        touch_text(report.set_aside);
        touch_text(report.damage);
    }
}

pub(super) fn plan_recovery(world: &mut World, input: &mut Input<'_>) {
    let (path, _) = world.path(input);
    let options = world.options.pick(input);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_plan_recovery, path, options, made.out(), error);
    let recovery = made.take(world.settle(status));
    report(world, input, recovery);
    call!(cairn_recovery_free, recovery);
}

pub(super) fn recovery_of_store(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let recovery = call!(cairn_store_recovery, store);
    report(world, input, recovery);
}

pub(super) fn close(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_close, store, error);
    world.settle(status);
    assert!(store.is_null() || call!(cairn_store_is_closed, store));
}

pub(super) fn store_facts(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    touch_text(call!(cairn_store_path, store));
    let _ = (call!(cairn_store_is_reader, store), call!(cairn_store_is_closed, store));
    let _ = call!(cairn_store_segment_size_bytes, store);
    let error = world.out_error(input);
    let status = call!(c::queue_read::cairn_store_check_dispatch, store, error);
    world.settle(status);
}

pub(super) fn positions(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let mut out = Buffer::out::<cairn_positions>(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_positions, store, out.pointer(), error);
    world.settle(status);
}

pub(super) fn next_queue_offset(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let topic = world.arena.name(input);
    let mut next = -2;
    let out = if input.u8() < 240 { &raw mut next } else { null_mut() };
    let queue_id = input.i32();
    let error = world.out_error(input);
    let status = call!(cairn_store_next_queue_offset, store, topic, queue_id, out, error);
    if world.settle(status) {
        assert!(next >= 0);
    }
}

pub(super) fn wait_durable(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let (offset, wait) = (input.i64(), wait_ms(input));
    let error = world.out_error(input);
    let status = call!(cairn_store_wait_durable, store, offset, wait, error);
    world.settle(status);
}

pub(super) fn flush(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_flush, store, error);
    world.settle(status);
}

pub(super) fn remove_before(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let (mut files, mut bytes) = (0, 0);
    let out_files = if input.u8() < 240 { &raw mut files } else { null_mut() };
    let out_bytes = if input.u8() < 240 { &raw mut bytes } else { null_mut() };
    let offset = input.i64();
    let error = world.out_error(input);
    let status = call!(cairn_store_remove_before, store, offset, out_files, out_bytes, error);
    world.settle(status);
}

pub(super) fn remove_expired(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let (mut files, mut bytes) = (0, 0);
    let out_files = if input.u8() < 240 { &raw mut files } else { null_mut() };
    let error = world.out_error(input);
    let status = call!(cairn_store_remove_expired, store, out_files, &mut bytes, error);
    world.settle(status);
}

pub(super) fn begin_transaction(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let message = world.arena.message(input);
    let mut message = Buffer::of(input, &[message]);
    let mut out = Buffer::out::<cairn_append_result>(input);
    let error = world.out_error(input);
    let (message, place) = (message.pointer(), out.pointer());
    let status = call!(cairn_store_begin_transaction, store, message, place, error);
    placed(world, status, &out);
}

pub(super) fn end_transaction(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let half = if input.flag() { first_open(store) } else { input.i64() };
    let mut out = Buffer::out::<cairn_append_result>(input);
    let commit = input.flag();
    let error = world.out_error(input);
    if commit {
        let status = call!(cairn_store_commit_transaction, store, half, out.pointer(), error);
        placed(world, status, &out);
    } else {
        let status = call!(cairn_store_rollback_transaction, store, half, error);
        world.settle(status);
    }
}

/// The half message of an open transaction, if there is one.
fn first_open(store: *mut cairn_store) -> i64 {
    let mut open = null_mut();
    let status = call!(cairn_store_open_transactions, store, &mut open, null_mut());
    assert_eq!(status == cairn_status::Ok, !open.is_null());
    let first = call!(cairn_open_transactions_get, open, 0);
    call!(cairn_open_transactions_free, open);
    first
}

pub(super) fn open_transactions(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_open_transactions, store, made.out(), error);
    let open = made.take(world.settle(status));
    for index in 0..call!(cairn_open_transactions_len, open) {
        assert!(call!(cairn_open_transactions_get, open, index) >= 0);
    }
    call!(cairn_open_transactions_free, open);
}

pub(super) fn set_transaction_checker(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    ANSWER.store(input.i32(), Ordering::Relaxed);
    let callback = (input.u8() < 240).then_some(check as _);
    let given = Some(release as _);
    let error = world.out_error(input);
    HELD.fetch_add(1, Ordering::SeqCst);
    let status =
        call!(cairn_store_set_transaction_checker, store, callback, given, null_mut(), error);
    if !world.settle(status) {
        HELD.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) fn stats(world: &mut World, input: &mut Input<'_>) {
    let store = world.stores.pick(input);
    let mut made = Made::new(input);
    let error = world.out_error(input);
    let status = call!(cairn_store_take_stats, store, made.out(), error);
    let stats = made.take(world.settle(status));
    let mut totals = Buffer::out::<cairn_store_stats>(input);
    let status = call!(cairn_stats_totals, stats, totals.pointer());
    world.settle(status);
    for index in 0..call!(cairn_stats_topic_count, stats) + 1 {
        let mut topic = Buffer::out::<cairn_topic_stats>(input);
        let status = call!(cairn_stats_topic, stats, index, topic.pointer());
        if world.settle(status) {
            touch_text(topic.read::<cairn_topic_stats>().topic);
        }
    }
    call!(cairn_stats_free, stats);
}

pub(super) fn set_log_callback(world: &mut World, input: &mut Input<'_>) {
    let callback = input.flag().then_some(log as _);
    let status = call!(cairn_set_log_callback, callback, null_mut(), input.i32());
    world.settle(status);
}

/// Takes the log callback back.
pub(super) fn log_to_nobody() {
    let status = call!(cairn_set_log_callback, None, null_mut(), 0);
    assert_eq!(status, cairn_status::Ok);
}

pub(super) fn free(world: &mut World, input: &mut Input<'_>) {
    match input.below(10) {
        0 => world.batches.free(input),
        1 => world.tails.free(input),
        2 => world.filters.free(input),
        3 => world.queues.free(input),
        4 => world.consumers.free(input),
        5 => world.pushes.free(input),
        6 => world.consumer_options.free(input),
        7 => world.items.free(input),
        8 => world.options.free(input),
        _ => world.stores.free(input),
    }
}
