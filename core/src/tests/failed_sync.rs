//! A force that fails: who is told, what moves, and what the store does afterwards.

use super::fault_disk::{Call, Hits, Made};
use super::retention::eventually;
use super::scene::{SEGMENT, Scene, bodies, fill};
use crate::{FlushMode, Message, Status};

/// F1. RocketMQ's `DefaultMappedFile.flush` logged an exception of the force and moved the flushed
/// position on, so the producer got PUT_OK for data that never reached the device. After a failed
/// sync the kernel may have dropped the dirty pages: a second sync that succeeds proves nothing.
#[test]
fn f1_a_failed_force_fails_every_waiter_and_fences_the_store() {
    for scene in [Scene::new(FlushMode::Sync), Scene::with_pool(FlushMode::Sync, 2)] {
        let store = scene.open().unwrap();
        // While the first sync is held, three more appends form the next group.
        let gate = scene.disk.hold(Call::SyncData, "commitlog", Hits::Nth(1));
        scene.disk.fail(Call::SyncData, "commitlog", Hits::Nth(2), libc::EIO);
        let (safe, safe_pending) = store.begin_append(&Message::new("t", b"safe")).unwrap();
        gate.wait_for_call();
        let group: Vec<_> =
            (0..3).map(|_| store.begin_append(&Message::new("t", b"lost")).unwrap()).collect();
        let future = store.append_async(&Message::new("t", b"future")).unwrap();
        gate.open();
        safe_pending.wait().unwrap();
        for (placed, pending) in group {
            let error = pending.wait().unwrap_err();
            assert_eq!(error.status(), Status::Io);
            assert_eq!(error.os_code(), Some(libc::EIO));
            assert_eq!(error.path(), Some(&*scene.file(0)));
            assert_eq!(error.appended(), Some(placed));
        }
        let placed = future.placed();
        let error = future.wait().unwrap_err();
        // It waited for the sync that failed, so it is told of it as the others are.
        assert_eq!((error.status(), error.appended()), (Status::Io, Some(placed)));
        assert_eq!(error.os_code(), Some(libc::EIO));

        assert_eq!(store.durable_offset(), safe.end_offset());
        let end = store.max_offset();
        for status in [
            store.append(&Message::new("t", b"more")).map(|_| ()).unwrap_err(),
            store.flush().unwrap_err(),
            store.wait_durable(end, std::time::Duration::ZERO).unwrap_err(),
        ]
        .map(|error| error.status())
        {
            assert_eq!(status, Status::Fenced);
        }
        assert_eq!(store.max_offset(), end);
        assert_eq!(bodies(&store).len(), 5, "what is in the page cache is readable");

        let error = store.close().unwrap_err();
        assert_eq!(error.os_code(), Some(libc::EIO));
        assert_eq!(store.close().unwrap_err().os_code(), Some(libc::EIO));
        assert_eq!(scene.disk.count(Call::SyncData, "commitlog"), 2, "no sync is tried again");
        assert_eq!(store.durable_offset(), safe.end_offset());
        assert!(scene.path().join("abort").exists());

        drop(store);
        let store = scene.open().unwrap();
        assert!(!store.recovery_report().clean_stop);
        assert_eq!(bodies(&store).len(), 5);
        assert_eq!(store.durable_offset(), end);
        store.append(&Message::new("t", b"again")).unwrap();
        store.close().unwrap();
    }
}

/// F1 in the asynchronous service: nobody waits for its syncs, but everybody is told afterwards.
#[test]
fn f1_a_failed_background_force_fences_the_store_too() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.flush_interval_ms = 1;
    scene.options.flush_least_pages = 0;
    scene.disk.fail(Call::SyncData, "commitlog", Hits::From(1), libc::EIO);
    let store = scene.open().unwrap();
    store.append(&Message::new("t", b"first")).unwrap();
    let mut attempts = 0;
    let error = loop {
        attempts += 1;
        assert!(attempts < 10_000, "the store was not fenced");
        std::thread::sleep(std::time::Duration::from_millis(1));
        if let Err(error) = store.append(&Message::new("t", b"next")) {
            break error;
        }
    };
    assert_eq!((error.status(), error.appended()), (Status::Fenced, None));
    assert_eq!(store.durable_offset().get(), 0);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(store.flush().unwrap_err().status(), Status::Fenced);
    assert_eq!(scene.disk.count(Call::SyncData, "commitlog"), 1);
    assert_eq!(store.close().unwrap_err().os_code(), Some(libc::EIO));
}

/// After a failed sync the pages that could not be written count as clean: they are in the page
/// cache, and no sync writes them any more. An opening that found them there and synced the files
/// acknowledged what came behind them, and a power cut then took both. What was not known to be
/// durable is written once more, and only then synced.
#[test]
fn f1_reopening_writes_again_what_a_failed_sync_may_have_dropped() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 1, 1000);
    store.flush().unwrap();
    store.close().unwrap();
    drop(store);
    let store = scene.open().unwrap();
    let durable = store.durable_offset().get();
    fill(&store, 7, 20_000);
    let end = store.max_offset().get();
    assert_eq!(end / SEGMENT, 2);
    scene.disk.fail(Call::SyncData, "commitlog", Hits::From(1), libc::EIO);
    assert!(store.flush().is_err() && store.close().is_err());
    drop(store);
    scene.disk.mend();
    scene.disk.forget_calls();
    let store = scene.open().unwrap();
    assert_eq!(store.durable_offset().get(), end);
    let made = scene.disk.made();
    for start in [0, SEGMENT, 2 * SEGMENT] {
        let path = scene.file(start);
        let of_file = |call: Call| {
            let made = made.iter().filter(move |made| made.call == call);
            let path = path.clone();
            made.filter(move |made| made.path == path)
        };
        let written: u64 =
            of_file(Call::WriteAt).map(|made: &Made| made.bytes.end - made.bytes.start).sum();
        assert_eq!(written, end.min(start + SEGMENT) - durable.max(start), "file {start}");
        assert_eq!(of_file(Call::SyncData).count(), 1);
        let sync = made.iter().position(|made| made.call == Call::SyncData && made.path == path);
        let write = made.iter().rposition(|made| made.call == Call::WriteAt && made.path == path);
        assert!(write < sync, "file {start} was synced before it was written");
    }
    assert_eq!(bodies(&store).len(), 8);
    store.close().unwrap();
    // After a clean stop there is nothing to be written.
    drop(store);
    scene.disk.forget_calls();
    scene.open().unwrap().close().unwrap();
    assert_eq!(scene.disk.count(Call::WriteAt, "commitlog"), 0);
}

/// An opening after a kill writes again what is not known to be durable. A store without consume
/// queues noted that at opening and closing only, so that all of its log was written again; one
/// with them noted nothing as long as the last of what they had was not synced.
#[test]
fn what_was_durable_is_not_written_again_after_a_kill() {
    for queues in [false, true] {
        let mut scene = Scene::new(FlushMode::Async);
        scene.options.consume_queue_enable = queues;
        scene.options.flush_consume_queue_interval_ms = 200;
        let store = scene.open().unwrap();
        fill(&store, 5, 20_000);
        store.flush().unwrap();
        let durable = store.durable_offset().get();
        fill(&store, 2, 1000);
        eventually("it was noted how far the log is durable", || {
            scene.notes().durable_offset == durable
        });
        let (killed, end) = (scene.copy(), store.max_offset().get());
        let opened = killed.open().unwrap();
        assert_eq!(opened.durable_offset().get(), end);
        let made = killed.disk.made();
        let written = made.iter().filter(|made| made.call == Call::WriteAt);
        let of_log: Vec<_> = written.filter(|made| made.path == killed.file(SEGMENT)).collect();
        assert_eq!(of_log.len(), 1, "{of_log:?}");
        assert_eq!(of_log[0].bytes, durable - SEGMENT..end - SEGMENT);
        assert_eq!(bodies(&opened).len(), 7);
    }
}

/// Of pages that could not be written some may be dropped and others kept: then a hole is in the
/// log, with good records behind it, although the machine was not started anew. Behind what was
/// durable the log ends there, as after a power cut.
#[test]
fn f1_a_hole_that_a_failed_sync_left_is_cut() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 2, 1000);
    store.close().unwrap();
    drop(store);
    let store = scene.open().unwrap();
    let placed = fill(&store, 5, 1000);
    scene.disk.fail(Call::SyncData, "commitlog", Hits::From(1), libc::EIO);
    assert!(store.flush().is_err() && store.close().is_err());
    drop(store);
    scene.disk.mend();
    scene.overwrite(placed[1].get(), &[0; 1100]);
    let store = scene.open().unwrap();
    assert_eq!(store.recovery_report().end_offset, placed[1]);
    assert!(store.recovery_report().set_aside.is_some());
    assert_eq!(bodies(&store).len(), 3);
    store.close().unwrap();
}

/// The zeros over a torn tail are written to the page cache and synced. When that sync fails, the
/// cache has the zeros and the disk the tail: the next opening saw no tail, and a power cut after
/// it brought records back behind what was appended since. What was set aside once is zeroed again.
#[test]
fn f1_reopening_zeroes_again_what_a_failed_sync_may_have_left() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let starts = fill(&store, 4, 1000);
    let end = store.max_offset().get();
    let killed = scene.copy();
    store.close().unwrap();
    let cut = starts[2].get();
    killed.overwrite(cut, &[0; 60]);
    killed.overwrite(starts[3].get(), &[0; 60]);
    killed.disk.fail(Call::SyncAll, "commitlog/", Hits::From(1), libc::EIO);
    assert_eq!(killed.open().unwrap_err().os_code(), Some(libc::EIO));
    assert!(killed.bytes(cut..end).iter().all(|&byte| byte == 0));
    killed.disk.mend();
    killed.disk.forget_calls();
    let store = killed.open().unwrap();
    assert_eq!(store.max_offset().get(), cut);
    let made = killed.disk.made();
    let of_log = made.iter().filter(|made| made.path == killed.file(0));
    // The last record ends in the length of its properties, which is zero.
    let covers = |made: &Made| made.bytes.start == cut && end - 2 <= made.bytes.end;
    let of_log: Vec<_> = of_log
        .filter(|made| match made.call {
            Call::WriteAt => covers(made),
            call => call == Call::SyncAll,
        })
        .map(|made| made.call)
        .collect();
    assert_eq!(of_log, [Call::WriteAt, Call::SyncAll]);
    store.close().unwrap();
}

/// An opening synced every file of the log, and the next one those again that could not be synced:
/// files that were durable already, with nothing in them to be written.
#[test]
fn f1_opening_syncs_only_files_that_hold_what_was_not_durable() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 7, 20_000);
    assert_eq!(store.max_offset().get() / SEGMENT, 2);
    store.flush().unwrap();
    store.close().unwrap();
    drop(store);
    let store = scene.open().unwrap();
    fill(&store, 1, 1000);
    let killed = scene.copy();
    store.close().unwrap();
    killed.open().unwrap();
    for (start, syncs) in [(0, 0), (SEGMENT, 0), (2 * SEGMENT, 1)] {
        let path = format!("commitlog/{start:020}");
        assert_eq!(killed.disk.count(Call::SyncData, &path), syncs, "file {start}");
    }
    // Killed with nothing behind what was durable.
    std::fs::write(scene.path().join("abort"), "").unwrap();
    scene.disk.forget_calls();
    scene.open().unwrap();
    assert_eq!(scene.disk.count(Call::SyncData, "commitlog/"), 0);
}

/// An asynchronous append that waits for no sync was acknowledged although the write failed that
/// was to let it survive the death of the process.
#[test]
fn an_asynchronous_append_is_not_acknowledged_before_it_is_written() {
    let scene = Scene::new(FlushMode::Sync);
    let store = scene.open().unwrap();
    scene.disk.fail(Call::WriteAt, "commitlog", Hits::From(1), libc::ENOSPC);
    let message = Message::new("t", b"body").wait_store_ok(false);
    let error = store.append_async(&message).unwrap().wait().unwrap_err();
    assert_eq!((error.status(), error.os_code()), (Status::DiskFull, Some(libc::ENOSPC)));
    assert!(error.appended().is_some());
    assert!(store.close().is_err());
}

/// F2. A file that could not be held was counted as flushed. Of three files, of which the middle
/// one cannot be synced, only the first may count.
#[test]
fn f2_positions_move_only_over_files_that_were_synced() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 8, 20_000);
    assert_eq!(store.max_offset().get() / SEGMENT, 2);
    assert_eq!(store.durable_offset().get(), 0);
    let second = format!("{SEGMENT:020}");
    scene.disk.fail(Call::SyncData, &second, Hits::From(1), libc::EIO);
    let error = store.flush().unwrap_err();
    assert_eq!(error.path(), Some(&*scene.file(SEGMENT)));
    assert_eq!(store.durable_offset().get(), SEGMENT);
    assert_eq!(scene.disk.count(Call::SyncData, &format!("{:020}", 2 * SEGMENT)), 0);
    assert!(store.close().is_err());
    assert_eq!(store.durable_offset().get(), SEGMENT);
}

/// F5. `flushedWhere` and `committedWhere` were plain fields that two callers could move back.
#[test]
fn f5_positions_never_move_back_nor_overtake_each_other() {
    let mut scene = Scene::with_pool(FlushMode::Async, 3);
    scene.options.commit_interval_ms = 1;
    scene.options.flush_interval_ms = 1;
    let store = scene.open().unwrap();
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut last = [0; 3];
            let mut looks = 0u32;
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                // Read from the hindmost on, so that moves in between only widen the distances.
                let seen = [
                    store.durable_offset().get(),
                    store.committed_offset().get(),
                    store.max_offset().get(),
                ];
                assert!(seen.is_sorted(), "{seen:?}");
                assert!(
                    seen.iter().zip(&last).all(|(now, before)| now >= before),
                    "{last:?} {seen:?}"
                );
                last = seen;
                looks += 1;
            }
            looks
        });
        let writers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..100 {
                        fill(&store, 3, 500);
                        store.flush().unwrap();
                    }
                })
            })
            .collect();
        // The watcher must end even when a writer failed.
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(written.iter().all(Result::is_ok));
        assert!(watcher.join().unwrap() > 0);
    });
    assert_eq!(store.durable_offset(), store.max_offset());
}

/// F6. `flush` returned true for "nothing happened", which shutdown loops read as "done".
#[test]
fn f6_a_flush_says_whether_everything_is_durable() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    store.flush().unwrap();
    assert_eq!(scene.disk.count(Call::SyncData, "commitlog"), 0);
    fill(&store, 8, 20_000);
    store.flush().unwrap();
    assert_eq!(store.durable_offset(), store.max_offset());
    assert_eq!(scene.disk.count(Call::SyncData, "commitlog"), 3);
    store.flush().unwrap();
    assert_eq!(scene.disk.count(Call::SyncData, "commitlog"), 3);
    assert_eq!(store.stats().syncs, 3);
}

/// Each flush of an asynchronous store wrote the whole file, also what was made ready behind the
/// end, which it protected against being written: appends had to take its pages again, one by one.
#[test]
fn an_asynchronous_flush_syncs_what_is_to_be_durable_and_nothing_else() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.flush_timed = true;
    scene.options.flush_interval_ms = 1_000_000;
    let store = scene.open().unwrap();
    let [first, second, third] = [2, 1, 5].map(|count| {
        fill(&store, count, 20_000);
        store.flush().unwrap();
        store.max_offset().get()
    });
    assert!(second < SEGMENT && 2 * SEGMENT < third, "{second} {third}");
    let synced = scene.disk.made().into_iter().filter(|made| made.call == Call::SyncData);
    let of_log = synced.filter(|made| made.path.starts_with(scene.path().join("commitlog")));
    let positions: Vec<_> = of_log.map(|made| (made.path, made.bytes)).collect();
    let expected = [
        (scene.file(0), 0..first),
        (scene.file(0), first..second),
        (scene.file(0), second..SEGMENT),
        (scene.file(SEGMENT), 0..SEGMENT),
        (scene.file(2 * SEGMENT), 0..third - 2 * SEGMENT),
    ];
    assert_eq!(positions, expected);
    store.close().unwrap();
}
