//! Following a store that is written meanwhile.

use std::sync::Arc;

use super::fault_disk::{FaultDisk, Hits};
use super::scene::{Scene, fill};
use crate::FlushMode;
use crate::consume_queue::{ConsumeQueues, QueueSettings, ReadableLog, Slot};
use crate::sys::disk::Access;

struct Whole;

impl ReadableLog for Whole {
    fn min(&self) -> u64 {
        0
    }

    fn end_now(&self) -> u64 {
        u64::MAX
    }
}

/// A listing of a directory in which files are made may lack any of those that were made since it
/// began, and show later ones.
#[test]
fn a_listing_that_lacks_a_file_makes_no_hole_in_a_queue() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.consume_queue_file_size_bytes = 200;
    let store = scene.open().unwrap();
    fill(&store, 95, 10);
    store.close().unwrap();
    let settings = QueueSettings {
        file_bytes: 200,
        batch_file_bytes: 460,
        max_open_files: 4,
        access: Access::Read,
    };
    for lacked in 0..10 {
        let disk = FaultDisk::default();
        disk.hide("consumequeue/t/0", &format!("{:020}", lacked * 200), Hits::Nth(1));
        let queues = ConsumeQueues::new(Arc::new(disk), scene.path(), settings);
        let queue = queues.follow("t", 0, &Whole).unwrap().unwrap();
        let there = if lacked == 9 { 90 } else { 95 };
        assert_eq!(queue.range(), 0..there, "file {lacked} was lacked");
        for number in 0..there {
            assert!(matches!(queue.unit(number).unwrap(), Slot::Unit(_)), "{lacked}: {number}");
        }
        queues.follow("t", 0, &Whole).unwrap();
        assert_eq!(queue.range(), 0..95);
    }
}
