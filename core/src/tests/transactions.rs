//! Transactions on a disk that is full.

use super::fault_disk::{Call, Hits};
use super::scene::Scene;
use crate::{FlushMode, Message, Status};

/// A commit that found no space stored nothing: the transaction is open, and can be ended later.
#[test]
fn a_commit_that_fails_leaves_the_transaction_open() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    scene.disk.fail(Call::Create, "65536", Hits::From(1), libc::ENOSPC);
    let half = store.begin_transaction(&Message::new("t", &[1; 40_000])).unwrap();
    for _ in 0..3 {
        let error = half.commit().unwrap_err();
        assert_eq!((error.status(), error.appended()), (Status::DiskFull, None));
        assert_eq!(store.open_transactions().unwrap(), [half.half_offset()]);
        // Such a message does not fit either.
        let refused = store.begin_transaction(&Message::new("t", &[2; 40_000])).unwrap_err();
        assert_eq!(refused.status(), Status::DiskFull);
    }
    assert_eq!(store.next_queue_offset("t", 0).get(), 0);
    scene.disk.mend();
    let placed = half.commit().unwrap();
    assert_eq!(store.read_at(placed.physical_offset).unwrap().body(), [1; 40_000]);
    store.close().unwrap();
    assert!(scene.open().unwrap().open_transactions().unwrap().is_empty());
}

/// The message is in the log, but not the record that says so: it counts as committed, and a later
/// opening, which cannot know, finds the transaction open.
#[test]
fn a_commit_without_its_op_message_says_where_the_message_is() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    scene.disk.fail(Call::Create, "65536", Hits::From(1), libc::ENOSPC);
    let half = store.begin_transaction(&Message::new("t", &[1; 10_000])).unwrap();
    // Leaves space for the message, and for nothing behind it.
    let copy = u64::from(half.half().size_bytes);
    let used = store.max_offset().get();
    let filler = 64 * 1024 - used - copy - 60;
    let frame = store.append(&Message::new("t", &[2; 1000])).unwrap().size_bytes - 1000;
    let rest = filler as usize - 1000 - 2 * frame as usize;
    store.append(&Message::new("t", &vec![2; rest])).unwrap();
    let error = half.commit().unwrap_err();
    assert_eq!(error.status(), Status::DiskFull);
    let placed = error.appended().unwrap();
    assert_eq!(store.read_at(placed.physical_offset).unwrap().body(), [1; 10_000]);
    assert_eq!(half.commit().unwrap_err().status(), Status::NoSuchTransaction);
    scene.disk.mend();
    store.close().unwrap();
    let store = scene.open().unwrap();
    assert_eq!(store.open_transactions().unwrap(), [half.half_offset()]);
    store.rollback_transaction(half.half_offset()).unwrap();
}
