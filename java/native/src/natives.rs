//! The one table of natives, and how the virtual machine gets it.
//!
//! `JNI_OnLoad` registers what `NativeLoader` needs to compare the ABI numbers; only after they
//! agreed does `NativeLoader` have the rest registered. The virtual machine checks each name and
//! signature against `io.cairnlog.Native` then.
#![allow(
    unsafe_code,
    reason = "the library's entry point, and the promise that longs in signatures are handles"
)]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jni::objects::{JByteArray, JClass};
use jni::sys::{JNI_ERR, JNI_VERSION_1_8, jint, jlong};
use jni::{Env, JavaVM, NativeMethod, jni_str};

use crate::boundary::{self, CairnErrorPolicy, Outcome};
use crate::checker::*;
use crate::completion::await_completions;
use crate::diagnostics::{self, await_diagnostics, set_diagnostics_level};
use crate::groups::*;
use crate::handle::{
    BatchHandle, CheckerHandle, ConsumerHandle, PinHandle, QueueHandle, ScratchAddress,
    StoreHandle, TailHandle, live_objects,
};
use crate::message_frame::encode_batch_items;
use crate::outcome::write_statuses;
use crate::progress;
use crate::queues::*;
use crate::reading::*;
use crate::store::*;
use crate::transactions::*;
use crate::wire::Writer;

/// Counted up with every change of a native or a layout; `NativeLoader.ABI_VERSION` is its twin.
const ABI_VERSION: jint = 5;

/// A native of the table: static, checked, ending in the error policy. The handle types are longs
/// in Java; that Java passes live ones is the promise made by `unsafe`.
macro_rules! native {
    ($($signature:tt)*) => {
        jni::native_method! {
            error_policy = CairnErrorPolicy,
            type_map = {
                unsafe StoreHandle => long,
                unsafe QueueHandle => long,
                unsafe TailHandle => long,
                unsafe ConsumerHandle => long,
                unsafe CheckerHandle => long,
                unsafe BatchHandle => long,
                unsafe PinHandle => long,
                unsafe ScratchAddress => long,
            },
            static fn $($signature)*
        }
    };
}

/// A native of the hot path: it takes nothing from the virtual machine but numbers, and calls it
/// only to throw, so no environment is made ready for it. See [`boundary::without_env`].
macro_rules! hot_native {
    ($($signature:tt)*) => {
        jni::native_method! {
            type_map = {
                unsafe StoreHandle => long,
                unsafe QueueHandle => long,
                unsafe ScratchAddress => long,
            },
            static raw fn $($signature)*
        }
    };
}

/// What `NativeLoader` needs before the ABI numbers are known to agree.
const LOADER_NATIVES: &[NativeMethod] =
    &[native! { abi_version() -> jint }, native! { register_natives() }];

/// Everything else, in the order of `io.cairnlog.Native`.
const NATIVES: &[NativeMethod] = &[
    native! {
        store_open(request: jbyte[], listener: io.cairnlog.RecoveryProgressListener) -> jlong
    },
    native! { store_open_reader(request: jbyte[]) -> jlong },
    native! {
        store_plan_recovery(
            request: jbyte[], listener: io.cairnlog.RecoveryProgressListener) -> jbyte[]
    },
    native! { store_close(store: StoreHandle) },
    native! { store_release(store: StoreHandle) },
    hot_native! {
        store_append(store: StoreHandle, scratch: ScratchAddress, length: jint, capacity: jint)
    },
    hot_native! {
        store_append_async(
            store: StoreHandle, scratch: ScratchAddress, length: jint, capacity: jint, token: jlong)
    },
    hot_native! {
        store_append_all(store: StoreHandle, scratch: ScratchAddress, length: jint, capacity: jint)
    },
    native! {
        store_append_batch(
            store: StoreHandle, scratch: ScratchAddress, length: jint, capacity: jint,
            inner: jboolean)
    },
    native! { store_flush(store: StoreHandle) },
    native! { store_wait_durable(store: StoreHandle, end: jlong, limit_ms: jlong) -> jboolean },
    native! { store_wait_readable(store: StoreHandle, offset: jlong, limit_ms: jlong) -> jboolean },
    native! { store_positions(store: StoreHandle) -> jlong[] },
    native! { store_range(store: StoreHandle) -> jlong[] },
    native! {
        store_next_queue_offset(store: StoreHandle, topic: jbyte[], queue_id: jint) -> jlong
    },
    native! { store_segment_size_bytes(store: StoreHandle) -> jlong },
    native! { store_stats(store: StoreHandle) -> jbyte[] },
    native! { store_recovery_report(store: StoreHandle) -> jbyte[] },
    native! { store_read_at(store: StoreHandle, offset: jlong) -> jbyte[] },
    native! {
        store_read_log(
            store: StoreHandle, from: jlong, max_messages: jint, max_bytes: jint) -> jbyte[]
    },
    native! { store_read(store: StoreHandle, request: jbyte[]) -> jbyte[] },
    native! { store_query_key(store: StoreHandle, request: jbyte[]) -> jbyte[] },
    native! {
        store_find_by_message_id(store: StoreHandle, topic: jbyte[], id: jbyte[]) -> jbyte[]
    },
    native! {
        store_queue_range(store: StoreHandle, topic: jbyte[], queue_id: jint) -> jlong[]
    },
    native! {
        store_offset_at_time(
            store: StoreHandle, topic: jbyte[], queue_id: jint, time_ms: jlong,
            upper: jboolean) -> jlong
    },
    native! { store_topics(store: StoreHandle) -> jbyte[] },
    native! { store_queues_of(store: StoreHandle, topic: jbyte[]) -> jint[] },
    native! {
        store_wait_message(
            store: StoreHandle, topic: jbyte[], queue_id: jint, offset: jlong,
            limit_ms: jlong) -> jboolean
    },
    native! {
        store_wait_dispatched(store: StoreHandle, end: jlong, limit_ms: jlong) -> jboolean
    },
    native! { store_dispatched_offset(store: StoreHandle) -> jlong },
    native! { store_dispatch_error(store: StoreHandle) -> jbyte[] },
    native! { store_groups(store: StoreHandle) -> jbyte[] },
    native! { store_group_progress(store: StoreHandle, group: jbyte[]) -> jbyte[] },
    native! {
        store_consumer_offset(
            store: StoreHandle, group: jbyte[], topic: jbyte[], queue_id: jint) -> jlong
    },
    native! {
        store_commit_offset(
            store: StoreHandle, group: jbyte[], topic: jbyte[], queue_id: jint, offset: jlong)
    },
    native! { store_persist_offsets(store: StoreHandle) },
    native! {
        store_begin_transaction(
            store: StoreHandle, scratch: ScratchAddress, length: jint, capacity: jint)
    },
    native! { store_commit_transaction(store: StoreHandle, half: jlong) -> jbyte[] },
    native! { store_rollback_transaction(store: StoreHandle, half: jlong) },
    native! { store_open_transactions(store: StoreHandle) -> jlong[] },
    native! { store_set_transaction_checker(store: StoreHandle) -> jlong },
    native! { checker_next(checker: CheckerHandle) -> jbyte[] },
    native! { checker_answer(checker: CheckerHandle, answer: jint) },
    native! { checker_release(checker: CheckerHandle) },
    native! { store_remove_expired(store: StoreHandle) -> jlong[] },
    native! { store_remove_before(store: StoreHandle, offset: jlong) -> jlong[] },
    native! { check_filter(kind: jint, expression: jbyte[]) },
    native! { tail_open(store: StoreHandle, request: jbyte[]) -> jlong },
    native! { tail_next(tail: TailHandle, limit_ms: jlong) -> jbyte[] },
    native! { tail_release(tail: TailHandle) },
    native! { consumer_open(store: StoreHandle, request: jbyte[]) -> jlong },
    native! {
        consumer_poll(consumer: ConsumerHandle, max_messages: jint, limit_ms: jlong) -> jbyte[]
    },
    native! {
        consumer_acknowledge(
            consumer: ConsumerHandle, batch: BatchHandle, index: jint) -> jboolean
    },
    native! {
        consumer_retry_later(
            consumer: ConsumerHandle, batch: BatchHandle, index: jint) -> jboolean
    },
    native! {
        consumer_seek(
            consumer: ConsumerHandle, topic: jbyte[], queue_id: jint, offset: jlong) -> jboolean
    },
    native! { consumer_commit(consumer: ConsumerHandle) },
    native! { consumer_assigned(consumer: ConsumerHandle) -> jbyte[] },
    native! { consumer_close(consumer: ConsumerHandle) },
    native! { consumer_release(consumer: ConsumerHandle) },
    native! { queue_open(store: StoreHandle, topic: jbyte[], queue_id: jint) -> jlong },
    native! { queue_release(queue: QueueHandle) },
    hot_native! {
        queue_append(queue: QueueHandle, scratch: ScratchAddress, length: jint, capacity: jint)
    },
    hot_native! {
        queue_append_async(
            queue: QueueHandle, scratch: ScratchAddress, length: jint, capacity: jint, token: jlong)
    },
    native! { encode_batch_items(request: jbyte[]) -> jbyte[] },
    native! { batch_body(batch: BatchHandle, index: jint) -> jbyte[] },
    native! { batch_pin(batch: BatchHandle, index: jint) -> jlong },
    native! { batch_release(batch: BatchHandle) },
    native! { pin_buffer(pin: PinHandle) -> java.nio.ByteBuffer },
    native! { pin_release(pin: PinHandle) },
    native! { scratch_address(scratch: java.nio.ByteBuffer) -> jlong },
    native! { await_completions() -> jbyte[] },
    native! { await_diagnostics() -> jbyte[] },
    native! { set_diagnostics_level(level: jint) },
    native! { statuses() -> jbyte[] },
    native! { read_outcomes() -> jbyte[] },
    native! { live_object_count() -> jlong },
    native! { panic_for_test() },
];

/// Called by the virtual machine when it has loaded the library.
///
/// # Safety
///
/// - `vm` is the virtual machine that loads the library.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "the name is the virtual machine's")]
pub(crate) unsafe extern "system" fn JNI_OnLoad(
    vm: *mut jni::sys::JavaVM,
    _reserved: *mut c_void,
) -> jint {
    // SAFETY: the caller passes its own machine.
    let vm = unsafe { JavaVM::from_raw(vm) };
    let registered = catch_unwind(AssertUnwindSafe(|| vm.attach_current_thread(register_loader)));
    match registered {
        Ok(Ok(())) => JNI_VERSION_1_8,
        Ok(Err(_)) | Err(_) => JNI_ERR,
    }
}

fn register_loader(env: &mut Env<'_>) -> jni::errors::Result<()> {
    let loader = env.find_class(jni_str!("io/cairnlog/NativeLoader"))?;
    // SAFETY: `native!` made each entry's function to match its signature.
    unsafe { env.register_native_methods(loader, LOADER_NATIVES) }
}

fn abi_version<'local>(_env: &mut Env<'local>, _class: JClass<'local>) -> Outcome<jint> {
    Ok(ABI_VERSION)
}

fn register_natives<'local>(env: &mut Env<'local>, _class: JClass<'local>) -> Outcome<()> {
    boundary::prepare(env)?;
    progress::prepare(env)?;
    let natives = env.find_class(jni_str!("io/cairnlog/Native"))?;
    // SAFETY: `native!` made each entry's function to match its signature.
    unsafe { env.register_native_methods(natives, NATIVES) }?;
    diagnostics::install();
    Ok(())
}

fn scratch_address<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    scratch: jni::objects::JByteBuffer<'local>,
) -> Outcome<jlong> {
    let address = env.get_direct_buffer_address(&scratch)?;
    Ok((address.expose_provenance() as u64).cast_signed())
}

fn statuses<'local>(env: &mut Env<'local>, _class: JClass<'local>) -> Outcome<JByteArray<'local>> {
    let mut writer = Writer::default();
    write_statuses(&mut writer);
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

fn read_outcomes<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
) -> Outcome<JByteArray<'local>> {
    let mut writer = Writer::default();
    write_outcomes(&mut writer);
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

fn live_object_count<'local>(_env: &mut Env<'local>, _class: JClass<'local>) -> Outcome<jlong> {
    Ok(live_objects())
}

/// Panics, so that a test can see what becomes of a panic at the boundary.
#[allow(clippy::panic, reason = "to panic is this native's only purpose")]
fn panic_for_test<'local>(_env: &mut Env<'local>, _class: JClass<'local>) -> Outcome<()> {
    panic!("asked to by a test");
}
