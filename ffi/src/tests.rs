//! What the C side cannot provoke: panics, and the table of statuses.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr};
use std::ptr;
use std::sync::{Arc, Mutex};

use engine::{
    AppendResult, Completion, Error, PhysicalOffset, QueueOffset, ReadOutcome, RecoveryPhase,
    Result, Status,
};

use crate::boundary;
use crate::callbacks::{self, Callbacks};
use crate::error::{
    cairn_error, cairn_error_appended, cairn_error_free, cairn_error_has_appended,
    cairn_error_message, cairn_error_status,
};
use crate::fence::Fence;
use crate::message::{cairn_append_result, cairn_message};
use crate::open_struct::{self, OpenStruct, OutStruct, StructArray};
use crate::queue_read::cairn_read_request;
use crate::read::{cairn_message_view, cairn_read_outcome, cairn_read_outcome_name};
use crate::recovery::cairn_recovery_report;
use crate::recovery_progress::{cairn_recovery_phase, cairn_recovery_progress};
use crate::stats::{cairn_store_stats, cairn_topic_stats};
use crate::status::{cairn_status, cairn_status_name};
use crate::store::cairn_positions;
use crate::text::{cairn_bytes, cairn_host, cairn_property, cairn_str};
use crate::transaction_checker::cairn_transaction_check;

/// A call like an exported one that fails as told.
fn call(out_error: *mut *mut cairn_error, end: impl FnOnce() -> Result<()>) -> cairn_status {
    let end = Cell::new(Some(end));
    boundary!(out_error, { end.take().map_or(Ok(()), |end| end()) })
}

#[test]
fn a_panic_becomes_a_status_and_an_error() {
    let mut error: *mut cairn_error = ptr::dangling_mut();
    let status = call(&mut error, || panic!("a bug"));
    assert_eq!(status, cairn_status::Internal);
    // SAFETY: the error was just made.
    assert_eq!(unsafe { cairn_error_status(error) }, cairn_status::Internal);
    // SAFETY: the error was just made and is used no more.
    unsafe { cairn_error_free(error) };
    assert_eq!(call(ptr::null_mut(), || panic!("a bug")), cairn_status::Internal);
    let without_error = || boundary!({ panic!("a bug") });
    assert_eq!(without_error(), cairn_status::Internal);
    let with_value = || value!(7, { panic!("a bug") });
    assert_eq!(with_value(), 7);
}

#[test]
fn a_panic_fences_the_store_for_writes_and_leaves_reads() {
    let fence = Fence::default();
    let queue = fence.clone();
    let status = call(ptr::null_mut(), || {
        let _inside = fence.enter();
        panic!("a bug")
    });
    assert_eq!(status, cairn_status::Internal);
    let status = call(ptr::null_mut(), || queue.enter_write().map(drop));
    assert_eq!(status, cairn_status::Fenced);
    let status = call(ptr::null_mut(), || {
        drop(fence.enter());
        Ok(())
    });
    assert_eq!(status, cairn_status::Ok);
}

#[test]
fn an_error_without_a_panic_fences_nothing() {
    let fence = Fence::default();
    let status = call(ptr::null_mut(), || {
        let _inside = fence.enter_write()?;
        Err(Error::new(Status::BodyEmpty, "no body"))
    });
    assert_eq!(status, cairn_status::BodyEmpty);
    assert!(fence.enter_write().is_ok());
}

#[test]
fn the_error_argument_is_cleared_first_and_set_on_failure() {
    let mut error: *mut cairn_error = ptr::dangling_mut();
    assert_eq!(call(&mut error, || Ok(())), cairn_status::Ok);
    assert!(error.is_null());
    let refusal = Error::new(Status::DiskFull, "no room").at_path("commitlog/0\0");
    assert_eq!(call(&mut error, || Err(refusal)), cairn_status::DiskFull);
    // SAFETY: the error was just made.
    let message = unsafe { cairn_error_message(error) };
    // SAFETY: the message is terminated and lives as long as the error.
    let message = unsafe { CStr::from_ptr(message) };
    assert!(message.to_str().unwrap().ends_with("no room"));
    // SAFETY: the error was made here and is used no more.
    unsafe { cairn_error_free(error) };
}

#[test]
fn every_status_has_its_number_and_name_in_c() {
    for &status in Status::ALL {
        assert_eq!(cairn_status::from(status) as i32, status.code(), "{status:?}");
        let name = cairn_status_name(status.code());
        // SAFETY: a static terminated text.
        let name = unsafe { CStr::from_ptr(name) };
        assert_eq!(name.to_str().unwrap(), status.name());
    }
    // SAFETY: a static terminated text.
    let unknown = unsafe { CStr::from_ptr(cairn_status_name(-5)) };
    assert_eq!(unknown, c"UNKNOWN");
}

#[test]
fn every_outcome_has_its_number_and_name_in_c() {
    for &outcome in ReadOutcome::ALL {
        // SAFETY: a static terminated text.
        let name = unsafe { CStr::from_ptr(cairn_read_outcome_name(outcome.code())) };
        assert_eq!(name.to_str().unwrap(), outcome.name());
    }
    let numbers = [
        (cairn_read_outcome::Found as i32, ReadOutcome::Found),
        (cairn_read_outcome::OffsetOverflowOne as i32, ReadOutcome::OffsetOverflowOne),
        (cairn_read_outcome::NoMessageInQueue as i32, ReadOutcome::NoMessageInQueue),
    ];
    for (number, outcome) in numbers {
        assert_eq!(number, outcome.code());
    }
    let ours = [(cairn_read_outcome::EndOfLog as i32, c"END_OF_LOG"), (-1, c"UNKNOWN")];
    for (number, expected) in ours {
        assert!(ReadOutcome::ALL.iter().all(|outcome| outcome.code() != number));
        // SAFETY: a static terminated text.
        assert_eq!(unsafe { CStr::from_ptr(cairn_read_outcome_name(number)) }, expected);
    }
}

#[test]
fn every_recovery_phase_has_its_number_in_c() {
    let phases = [
        (cairn_recovery_phase::Log as i32, RecoveryPhase::Log),
        (cairn_recovery_phase::Queues as i32, RecoveryPhase::Queues),
    ];
    assert_eq!(phases.len(), RecoveryPhase::ALL.len());
    for (number, phase) in phases {
        assert_eq!(number, phase.code());
    }
}

/// The header's layout, which `abi/layout.txt` lists, is that of the library's own structs.
#[test]
fn structs_are_as_long_as_the_header_says() {
    let layout = include_str!("../abi/layout.txt");
    let sizes = [
        ("cairn_str", size_of::<cairn_str>()),
        ("cairn_host", size_of::<cairn_host>()),
        ("cairn_append_result", size_of::<cairn_append_result>()),
        ("cairn_positions", size_of::<cairn_positions>()),
        ("cairn_bytes", size_of::<cairn_bytes>()),
        ("cairn_property", size_of::<cairn_property>()),
        ("cairn_message", size_of::<cairn_message>()),
        ("cairn_read_request", size_of::<cairn_read_request>()),
        ("cairn_message_view", size_of::<cairn_message_view>()),
        ("cairn_assigned_queue", size_of::<crate::consumer::cairn_assigned_queue>()),
        ("cairn_queue_progress", size_of::<crate::groups::cairn_queue_progress>()),
        ("cairn_recovery_report", size_of::<cairn_recovery_report>()),
        ("cairn_recovery_progress", size_of::<cairn_recovery_progress>()),
        ("cairn_store_stats", size_of::<cairn_store_stats>()),
        ("cairn_topic_stats", size_of::<cairn_topic_stats>()),
        ("cairn_transaction_check", size_of::<cairn_transaction_check>()),
    ];
    for (name, size) in sizes {
        let line = format!("struct {name} size {size}\n");
        assert!(layout.contains(&line), "{line}");
    }
    assert_eq!(layout.matches("struct ").count(), sizes.len());
}

/// A struct of an older and a newer program.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Probe {
    struct_size: u32,
    first: u32,
    second: u64,
}

// SAFETY: numbers only, the size first, no padding.
unsafe impl OpenStruct for Probe {
    const MIN_SIZE: usize = 8;
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct NewerProbe {
    known: Probe,
    third: u64,
}

/// Takes a probe in both ways, which must agree.
fn read(probe: *const Probe) -> Result<Probe> {
    // SAFETY: the tests pass structs as long as they say, and change none meanwhile.
    let lent = unsafe { open_struct::lend(probe, "probe") };
    // SAFETY: as before.
    let copied = unsafe { open_struct::read(probe, "probe") };
    assert_eq!(lent.as_deref().ok(), copied.as_ref().ok());
    copied
}

#[test]
fn only_what_is_laid_out_as_ours_is_borrowed_where_it_lies() {
    let probes = [Probe { struct_size: 16, first: 1, second: 2 }; 2];
    let first = probes.as_ptr();
    // SAFETY: as long as it says, and nobody changes it.
    let lent = unsafe { open_struct::lend(first, "probe") }.unwrap();
    assert!(matches!(lent, open_struct::Lent::InPlace(probe) if ptr::eq(probe, first)));
    let mut bytes = [0_u8; 2 * size_of::<Probe>()];
    let odd = bytes.as_mut_ptr().wrapping_add(1).cast::<Probe>();
    // SAFETY: the array has room for it behind its first byte.
    unsafe { odd.write_unaligned(probes[0]) };
    // SAFETY: as long as it says, and nobody changes it.
    let lent = unsafe { open_struct::lend(odd.cast_const(), "probe") }.unwrap();
    assert!(matches!(lent, open_struct::Lent::Copied(_)) || odd.is_aligned());
    assert_eq!(*lent, probes[0]);
}

#[test]
fn a_missing_tail_counts_as_zero() {
    let mut probe = Probe { struct_size: 12, first: 5, second: u64::MAX };
    assert_eq!(read(&probe).unwrap().second.to_ne_bytes().iter().filter(|&&b| b == 255).count(), 4);
    probe.struct_size = 8;
    assert_eq!(read(&probe).unwrap().second, 0);
    for size in [0, 4, 7, 5000, u32::MAX] {
        probe.struct_size = size;
        assert_eq!(read(&probe).unwrap_err().status(), Status::InvalidArgument);
    }
    assert_eq!(read(ptr::null()).unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn an_unknown_tail_must_be_zero() {
    let mut newer = NewerProbe::default();
    newer.known.struct_size = size_of::<NewerProbe>() as u32;
    newer.known.second = 9;
    let pointer = ptr::from_ref(&newer).cast();
    assert_eq!(read(pointer).unwrap().second, 9);
    newer.third = 1 << 63;
    let pointer = ptr::from_ref(&newer).cast();
    assert_eq!(read(pointer).unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn results_are_written_up_to_the_smaller_size() {
    let ours = Probe { struct_size: 16, first: 1, second: 2 };
    let mut older = Probe { struct_size: 8, first: 0, second: 77 };
    // SAFETY: as long as it says.
    unsafe { OutStruct::new(&mut older, "older") }.unwrap().write(ours);
    assert_eq!((older.struct_size, older.first, older.second), (8, 1, 77));
    let mut newer = NewerProbe::default();
    newer.known.struct_size = size_of::<NewerProbe>() as u32;
    newer.third = 78;
    let pointer = ptr::from_mut(&mut newer).cast::<Probe>();
    // SAFETY: as long as it says.
    unsafe { OutStruct::new(pointer, "newer") }.unwrap().write(ours);
    assert_eq!(newer.known.struct_size as usize, size_of::<NewerProbe>());
    assert_eq!((newer.known.second, newer.third), (2, 78));
}

#[test]
fn arrays_have_the_first_elements_stride_and_all_agree() {
    let mut newer = [NewerProbe::default(); 3];
    for (index, element) in newer.iter_mut().enumerate() {
        element.known.struct_size = size_of::<NewerProbe>() as u32;
        element.known.first = index as u32;
    }
    let pointer = newer.as_mut_ptr().cast::<Probe>();
    // SAFETY: three elements as long as they say.
    let array = unsafe { StructArray::new(pointer, 3, "newer") }.unwrap().unwrap();
    // SAFETY: nobody changes the elements.
    let third = unsafe { array.lend(2) };
    assert_eq!(third.unwrap().first, 2);
    // SAFETY: as before.
    assert!(unsafe { array.lend(3) }.is_err());
    assert!(array.out(3).is_none());
    newer[1].known.struct_size = 16;
    let pointer = newer.as_mut_ptr().cast::<Probe>();
    // SAFETY: three elements, of which each has at least the size it states.
    let refused = unsafe { StructArray::new(pointer, 3, "newer") };
    assert_eq!(refused.unwrap_err().status(), Status::InvalidArgument);
    // SAFETY: the count is refused before anything beyond the first element is looked at.
    let refused = unsafe { StructArray::new(pointer, usize::MAX, "newer") };
    assert_eq!(refused.unwrap_err().status(), Status::InvalidArgument);
    // SAFETY: an empty array is not looked at.
    let empty = unsafe { StructArray::<Probe>::new(ptr::null_mut(), 0, "none") };
    assert!(empty.unwrap().is_none());
}

#[test]
fn freeing_null_is_fine() {
    // SAFETY: null.
    unsafe { boundary::free::<cairn_error>(ptr::null_mut()) };
}

fn placed() -> AppendResult {
    AppendResult {
        physical_offset: PhysicalOffset::new(100),
        size_bytes: 50,
        queue_offset: QueueOffset::new(3),
        queue_id: 2,
        message_count: 1,
        store_timestamp_ms: 1_700_000_000_000,
        store_host: SocketAddr::from((Ipv6Addr::LOCALHOST, 10911)),
    }
}

#[test]
fn an_error_tells_where_an_appended_record_lies() {
    let timed_out = Error::new(Status::FlushTimeout, "no sync in time").with_appended(placed());
    let error = Box::into_raw(Box::new(cairn_error::from(timed_out)));
    // SAFETY: the error is live.
    assert!(unsafe { cairn_error_has_appended(error) });
    let mut result = MaybeUninit::<cairn_append_result>::zeroed();
    let head = result.as_mut_ptr().cast::<u32>();
    // SAFETY: the head of the result.
    unsafe { head.write(size_of::<cairn_append_result>() as u32) };
    // SAFETY: the error is live, the result as long as it says.
    let status = unsafe { cairn_error_appended(error, result.as_mut_ptr()) };
    assert_eq!(status, cairn_status::Ok);
    // SAFETY: numbers only, and all were set.
    let result = unsafe { result.assume_init() };
    assert_eq!((result.physical_offset, result.end_offset), (100, 150));
    assert_eq!((result.queue_offset, result.queue_id), (3, 2));
    assert_eq!(result.store_host.address_length, 16);
    // SAFETY: the error was made here and is used no more.
    unsafe { cairn_error_free(error) };
}

/// What the callback of the test below was told.
type Told = Mutex<Vec<(cairn_status, Option<i64>, bool)>>;

unsafe extern "C" fn note(
    status: cairn_status,
    result: *const cairn_append_result,
    error: *const cairn_error,
    user_data: *mut c_void,
) {
    // SAFETY: the test passes a list that outlives the calls.
    let told = unsafe { &*user_data.cast_const().cast::<Told>() };
    // SAFETY: null or borrowed for the call.
    let offset = unsafe { result.as_ref() }.map(|result| result.physical_offset);
    told.lock().unwrap().push((status, offset, error.is_null()));
}

#[test]
fn a_callback_is_told_success_and_failure() {
    let told = Told::default();
    let callbacks = Callbacks::default();
    let sink = callbacks.sink(note);
    assert!(Arc::ptr_eq(&sink, &callbacks.sink(note)), "one function, one group");
    let token = callbacks::token(ptr::from_ref(&told).cast_mut().cast());
    let lost = || Error::new(Status::Fenced, "a sync failed");
    let results = [Ok(placed()), Err(lost().with_appended(placed())), Err(lost())];
    let group = results.into_iter().map(|result| Completion { token, result }).collect();
    sink.complete(group);
    assert_eq!(
        *told.lock().unwrap(),
        [
            (cairn_status::Ok, Some(100), true),
            (cairn_status::Fenced, Some(100), false),
            (cairn_status::Fenced, None, false),
        ]
    );
}
