//! The C ABI: any sequence of calls that keeps the rules a program cannot be checked for. Objects
//! are live, closed or null, text and structs are what a wrong program passes, and nothing may
//! crash, hang or come back as a bug of cairnlog.
//!
//! What is freed is not used again, waits have an end, and callbacks do only what they may: what
//! else a program does is undefined.

mod args;
mod callbacks;
mod consuming;
mod reading;
mod storing;
mod world;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use crate::input::Input;
use crate::panics;
use callbacks::{HELD, PENDING};
use world::World;

/// A call and everything around it.
type Call = fn(&mut World, &mut Input<'_>);

/// How many calls an input makes at most.
const MAX_CALLS: usize = 96;

/// What came of each call: its number and its status.
pub type Seen = BTreeSet<(u8, i32)>;

/// Makes the calls of an input.
pub fn run(bytes: &[u8]) {
    run_and_tell(bytes);
}

/// Makes the calls of an input and tells what came of them.
pub fn run_and_tell(bytes: &[u8]) -> Seen {
    // The library's callbacks and what is counted of them belong to the whole process.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let options = cairnlog_fuzz_abi::options::cairn_options_new();
    world::call!(cairnlog_fuzz_abi::options::cairn_options_free, options);
    panics::abort_under_libfuzzer();
    let mut input = Input::new(bytes);
    let mut world = World::new();
    if input.u8() & 0xF != 0 {
        storing::open_first(&mut world);
    }
    for _ in 0..MAX_CALLS {
        if input.is_empty() {
            break;
        }
        let number = input.below(CALLS.len());
        world.current = number as u8;
        CALLS[number](&mut world, &mut input);
    }
    let seen = std::mem::take(&mut world.seen);
    drop(world);
    storing::log_to_nobody();
    assert_eq!(PENDING.swap(0, Ordering::SeqCst), 0, "an append's end was not told just once");
    assert_eq!(HELD.swap(0, Ordering::SeqCst), 0, "user data was not given back just once");
    seen
}

/// Every call, by its number in an input. New ones go to the end.
const CALLS: [Call; 64] = [
    storing::append,
    storing::append,
    storing::append_many,
    storing::append_async,
    storing::append_batch,
    storing::append_inner_batch,
    storing::queue_open,
    storing::queue_append,
    storing::queue_append_async,
    storing::items_new,
    storing::items_add,
    storing::options_new,
    storing::options_from_properties,
    storing::options_set,
    storing::options_set_numbers,
    storing::options_set_enumerations,
    storing::options_set_progress,
    storing::open,
    storing::open_reader,
    storing::plan_recovery,
    storing::recovery_of_store,
    storing::close,
    storing::store_facts,
    storing::positions,
    storing::next_queue_offset,
    storing::wait_durable,
    storing::flush,
    storing::remove_before,
    storing::remove_expired,
    storing::begin_transaction,
    storing::end_transaction,
    storing::open_transactions,
    storing::set_transaction_checker,
    storing::stats,
    storing::set_log_callback,
    storing::free,
    reading::read_at,
    reading::read_log,
    reading::read,
    reading::read,
    reading::query_key,
    reading::find_by_message_id,
    reading::wait_message,
    reading::wait_dispatched,
    reading::queue_range,
    reading::offset_at_time,
    reading::topics,
    reading::queues_of,
    reading::tail_open,
    reading::tail_next,
    reading::filter,
    reading::view,
    reading::view,
    reading::names,
    consuming::options_new,
    consuming::options_set,
    consuming::open,
    consuming::poll,
    consuming::delivery,
    consuming::seek,
    consuming::consumer_facts,
    consuming::push,
    consuming::groups,
    consuming::offsets,
];
