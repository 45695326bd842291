//! Recovery by several threads, held against one walk from record to record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::fault_disk::{Call, Hits};
use super::scene::{Random, SEGMENT, Scene, fill, snapshot};
use crate::checkpoint::Notes;
use crate::codec::record::CrcCheck;
use crate::commit_log::recover::{Before, WalkStart, count_in_queue, is_torn, plan_with};
use crate::commit_log::{Found, TopicTable, Walk, open_read_only, paths_of, view};
use crate::mapped::list_files;
use crate::progress::Reporter;
use crate::sys::disk::OsDisk;
use crate::{
    DamagePolicy, FlushMode, Message, RecoveryPhase, RecoveryProgress, Status, Store, StoreOptions,
};

/// A store whose log has some files of records of all kinds.
fn filled(random: &mut Random) -> Scene {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.append_record_crc = random.below(2) == 0;
    let store = scene.open().unwrap();
    let files = 2 + random.below(6);
    while store.max_offset().get() < files * SEGMENT {
        let length = [1, 100, 3000, 20_000][random.below(4) as usize];
        let body = vec![b'a' + random.below(26) as u8; 1 + random.below(length) as usize];
        let topic = format!("topic-{}", random.below(3));
        let mut message = Message::new(&topic, &body);
        message.queue_id = random.below(3) as i32;
        message.sys_flag = [0, 0, 0, 0x4, 0x8, 0xC][random.below(6) as usize];
        store.append(&message).unwrap();
    }
    let kill = scene.copy();
    store.close().unwrap();
    kill
}

/// Changes the log as crashes, disks and people do.
fn damage(scene: &Scene, random: &mut Random) {
    let files = std::fs::read_dir(scene.path().join("commitlog")).unwrap().count() as u64;
    if random.below(4) == 0 {
        // The newest record lost its last bytes, and nothing stands behind it.
        let log: Vec<u8> =
            (0..files).flat_map(|file| scene.bytes(file * SEGMENT..(file + 1) * SEGMENT)).collect();
        let end = log.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
        scene.overwrite(end - 1, &[0]);
    }
    for _ in 0..random.below(4) {
        let at = random.below(files * SEGMENT);
        let left = SEGMENT - at % SEGMENT;
        match random.below(6) {
            0 => scene.overwrite(at, &[random.below(256) as u8]),
            1 => scene.overwrite(at, &vec![0; random.below(left) as usize]),
            2 => scene.overwrite(at, &vec![0; left as usize]),
            3 => scene.overwrite(at / SEGMENT * SEGMENT, &[0; SEGMENT as usize]),
            4 => scene.overwrite(at / SEGMENT * SEGMENT + random.below(100), &[0x7F, 0xFF]),
            _ => {
                // What stood somewhere else.
                let from = random.below(files * SEGMENT);
                let length = left.min(SEGMENT - from % SEGMENT).min(1 + random.below(5000));
                scene.overwrite(at, &scene.bytes(from..from + length));
            }
        }
    }
    for file in 0..random.below(3) {
        std::fs::write(scene.file((files + file) * SEGMENT), vec![0; SEGMENT as usize]).unwrap();
    }
}

/// What a walk found: as text, so that errors and all fields count.
type Outcome = (String, BTreeMap<(String, i32), (Option<crate::QueueKind>, u64)>);

fn planned(
    scene: &Scene,
    options: &StoreOptions,
    before: Before,
    start: WalkStart,
    threads: usize,
) -> Outcome {
    let files = list_files(&OsDisk, &paths_of(scene.path(), options)).unwrap();
    let queue = open_read_only(&files).unwrap();
    let topics = TopicTable::default();
    let mut reporter = Reporter::new(&options.recovery_listener);
    let plan = plan_with(threads, &queue, options, before, start, &topics, &mut reporter);
    let plan = plan.map(|mut plan| {
        plan.report.duration = Duration::ZERO;
        plan
    });
    (format!("{plan:?}"), topics.all())
}

/// Where a walk over the whole log ends, its records, the newest time, and what stands there.
fn walked(scene: &Scene, before: Before, start: WalkStart) -> Outcome {
    let files = list_files(&OsDisk, &paths_of(scene.path(), &scene.options)).unwrap();
    let queue = open_read_only(&files).unwrap();
    let topics = TopicTable::default();
    let mut walk = Walk::new(&queue, start.position, CrcCheck::Verify);
    let (mut records, mut last_timestamp_ms) = (0, start.timestamp_ms);
    let end = loop {
        let at = walk.position();
        match walk.step() {
            Found::Record(pin, layout) => {
                let record = view(&pin, layout);
                if is_torn(&record, &before, &queue, at..walk.position()).unwrap() {
                    break at;
                }
                records += 1;
                last_timestamp_ms = record.store_timestamp_ms().max(last_timestamp_ms);
                count_in_queue(&record, &topics);
            }
            Found::Blank(..) => {}
            Found::Free | Found::Damaged(_) => break at,
        }
    };
    (format!("{records} records to {end}, {last_timestamp_ms}"), topics.all())
}

/// However many threads walk, and whatever is damaged, the outcome is that of one walk: the same
/// end, report or error, and the same next offsets, with nothing of files behind the end.
#[test]
fn many_threads_find_what_one_walk_finds() {
    let mut random = Random::seeded();
    let (mut cut, mut refused) = (0, 0);
    for _ in 0..10 {
        let whole = filled(&mut random);
        for _ in 0..25 {
            let scene = whole.copy();
            damage(&scene, &mut random);
            let mut options = scene.options.clone();
            if random.below(2) == 0 {
                options.damage_policy = DamagePolicy::Truncate;
            }
            let durable_offset = random.below(4 * SEGMENT);
            let notes = Notes { boot_id: 1, durable_offset, ..Notes::default() };
            let boot_id = Some(1 + random.below(2));
            let clean_stop = random.below(3) == 0;
            let before = Before { created: false, clean_stop, notes: Some(notes), boot_id };
            let position = [0, 0, SEGMENT][random.below(3) as usize];
            let start = WalkStart { position, timestamp_ms: 7 };
            let (plain, topics) = walked(&scene, before, start);
            let one = planned(&scene, &options, before, start, 1);
            assert_eq!(one.1, topics);
            cut += usize::from(one.0.contains("damage: Some"));
            refused += usize::from(one.0.starts_with("Err"));
            if let Some(rest) = one.0.strip_prefix("Ok(Plan { end: ") {
                let found = |name: &str| {
                    let (_, value) = one.0.split_once(&format!("{name}: ")).unwrap();
                    value.split([',', ' ']).next().unwrap().to_owned()
                };
                let end = rest.split(',').next().unwrap();
                let (records, time) = (found(" records"), found("last_timestamp_ms"));
                assert_eq!(plain, format!("{records} records to {end}, {time}"));
            }
            for threads in [2, 3, 8] {
                let many = planned(&scene, &options, before, start, threads);
                assert_eq!(many, one, "{threads} threads");
            }
        }
    }
    assert!(cut > 10 && refused > 10, "{cut} logs cut, {refused} refused");
}

/// The bytes of the queues, and of the index files in order: their names are times.
type Derived = (BTreeMap<PathBuf, Option<Vec<u8>>>, Vec<Option<Vec<u8>>>);

fn derived(path: &Path) -> Derived {
    (snapshot(&path.join("consumequeue")), snapshot(&path.join("index")).into_values().collect())
}

/// A log of more records than one batch, so that it is read ahead, and what follows from it.
fn long_log() -> (Scene, Derived) {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.segment_size_bytes = 1 << 20;
    scene.options.max_index_num = 5000;
    let store = scene.open().unwrap();
    let body = vec![b'x'; 800];
    for number in 0..10_000 {
        let key = format!("key-{number}");
        let mut message = Message::new(["a", "b"][number % 2], &body).tag("tag");
        message.queue_id = (number / 2 % 3) as i32;
        let keys = [key.as_str()];
        store.append(&message.keys(&keys)).unwrap();
    }
    assert!(store.max_offset().get() > 8 << 20);
    store.close().unwrap();
    let derived = derived(scene.path());
    (scene, derived)
}

fn forget_derived(scene: &Scene) {
    for name in ["consumequeue", "index"] {
        std::fs::remove_dir_all(scene.path().join(name)).unwrap();
    }
    scene.forget_checkpoint();
}

/// Queues and index that are built again while another thread reads ahead are those that were
/// there, byte for byte.
#[test]
fn what_is_built_again_from_a_log_read_ahead_is_the_same() {
    let (mut scene, before) = long_log();
    let (sender, told) = mpsc::channel();
    scene.options.on_recovery_progress(move |progress| {
        sender.send((std::thread::current().id(), progress)).unwrap();
    });
    forget_derived(&scene);
    let store = scene.open().unwrap();
    let end = store.max_offset().get();
    assert_eq!(store.dispatched_offset(), store.max_offset());
    assert_eq!(store.recovery_report().records, 10_000);
    store.close().unwrap();
    assert!(derived(scene.path()) == before);

    let told: Vec<(_, RecoveryProgress)> = told.try_iter().collect();
    assert!(told.iter().all(|(thread, _)| *thread == std::thread::current().id()));
    let phases = told.iter().map(|(_, progress)| progress.phase.code());
    assert!(phases.is_sorted());
    for phase in RecoveryPhase::ALL {
        let of_phase: Vec<_> = told.iter().filter(|(_, told)| told.phase == *phase).collect();
        let (_, last) = of_phase.last().unwrap();
        assert_eq!((last.bytes_done, last.bytes_total), (end, end));
        assert_eq!(of_phase.iter().filter(|(_, told)| told.is_complete()).count(), 1);
    }
}

/// R13 while the log is read ahead: a queue or index that cannot be written stops the dispatcher
/// at that batch, and nothing that was read ahead is lost or skipped.
#[test]
fn what_was_read_ahead_is_not_skipped_when_a_write_fails() {
    let (whole, before) = long_log();
    for (path, hit) in [("consumequeue", 4), ("consumequeue", 9), ("index", 1), ("index", 6)] {
        let scene = whole.copy();
        forget_derived(&scene);
        scene.disk.fail(Call::WriteAt, path, Hits::From(hit), libc::ENOSPC);
        let store = scene.open().unwrap();
        assert_eq!(store.dispatch_error().unwrap().status(), Status::DispatchBlocked);
        assert!(store.dispatched_offset() < store.max_offset());
        scene.disk.mend();
        assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(30)).unwrap());
        store.close().unwrap();
        let after = derived(scene.path());
        assert!(after.0 == before.0, "{path} {hit}");
        assert!(after.1 == before.1, "{path} {hit}");
    }
}

/// Nothing that a listener does hurts the opening: it panics, it looks at the store that is being
/// opened, it opens another one.
#[test]
fn a_listener_cannot_hurt_the_opening() {
    let mut scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 8, 20_000);
    store.close().unwrap();
    drop(store);
    let other = Arc::new(Scene::new(FlushMode::Async));
    let (sender, told) = mpsc::channel();
    let path = scene.path().to_owned();
    scene.options.on_recovery_progress(move |progress| {
        let report = Store::plan_recovery(&path, &StoreOptions::default()).unwrap();
        let locked = Store::open(&path, &StoreOptions::default()).unwrap_err();
        let store = other.open().unwrap();
        store.append(&Message::new("t", b"body")).unwrap();
        store.close().unwrap();
        sender.send((report.records, locked.status(), progress.phase)).unwrap();
        panic!("a listener's own fault");
    });
    scene.forget_checkpoint();
    let store = scene.open().unwrap();
    assert_eq!(store.recovery_report().records, 8);
    store.append(&Message::new("t", b"next")).unwrap();
    store.close().unwrap();
    let told: Vec<_> = told.try_iter().collect();
    assert_eq!(told, [(8, Status::StoreLocked, RecoveryPhase::Log)]);
}

/// A dry run tells how far it is, too, and has no queues to bring up to date.
#[test]
fn a_look_at_what_opening_would_do_tells_how_far_it_is() {
    let mut scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 8, 20_000);
    store.close().unwrap();
    scene.forget_checkpoint();
    let (sender, told) = mpsc::channel();
    scene.options.on_recovery_progress(move |progress| sender.send(progress).unwrap());
    let report = Store::plan_recovery(scene.path(), &scene.options).unwrap();
    let last = told.try_iter().last().unwrap();
    assert_eq!((last.phase, last.bytes_done), (RecoveryPhase::Log, report.end_offset.get()));
    assert!(last.is_complete());
}
