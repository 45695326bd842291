//! The natives of transactions, and of removing old files.

use cairnlog::RemovedFiles;
use jni::Env;
use jni::objects::{JByteArray, JClass, JLongArray};
use jni::sys::{jint, jlong};

use crate::boundary::Outcome;
use crate::handle::{ScratchAddress, StoreHandle};
use crate::message_frame::UseTopic;
use crate::outcome::write_append_result;
use crate::store::{append_with, long_array, physical_offset};
use crate::wire::Writer;

pub(crate) fn store_begin_transaction<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    scratch: ScratchAddress,
    length: jint,
    capacity: jint,
) -> Outcome<()> {
    let store = store.writer()?;
    append_with(scratch, length, capacity, UseTopic::Yes, |message| {
        store.begin_transaction(message).map(|transaction| transaction.half())
    })
}

pub(crate) fn store_commit_transaction<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    half: jlong,
) -> Outcome<JByteArray<'local>> {
    let placed = store.writer()?.commit_transaction(physical_offset(half)?)?;
    let mut writer = Writer::default();
    write_append_result(&mut writer, &placed);
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}

pub(crate) fn store_rollback_transaction<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    half: jlong,
) -> Outcome<()> {
    Ok(store.writer()?.rollback_transaction(physical_offset(half)?)?)
}

pub(crate) fn store_open_transactions<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<JLongArray<'local>> {
    let open = store.writer()?.open_transactions()?;
    let offsets: Vec<_> = open.iter().map(|offset| offset.to_i64()).collect();
    long_array(env, &offsets)
}

/// Files and bytes that were removed.
fn give_removed<'local>(
    env: &mut Env<'local>,
    removed: RemovedFiles,
) -> Outcome<JLongArray<'local>> {
    let figures =
        [removed.files, removed.bytes].map(|figure| figure.try_into().unwrap_or(i64::MAX));
    long_array(env, &figures)
}

pub(crate) fn store_remove_expired<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
) -> Outcome<JLongArray<'local>> {
    give_removed(env, store.writer()?.remove_expired()?)
}

pub(crate) fn store_remove_before<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
    store: StoreHandle,
    offset: jlong,
) -> Outcome<JLongArray<'local>> {
    give_removed(env, store.writer()?.remove_before(physical_offset(offset)?)?)
}
