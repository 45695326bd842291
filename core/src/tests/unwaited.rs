//! Appends to a synchronous store that wait for no sync: what is acknowledged survives a kill.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::fault_disk::{Call, Hits};
use super::scene::{Scene, bodies};
use crate::{Completion, CompletionSink, FlushMode, Message};

/// Keeps what it is told.
#[derive(Default)]
struct Told {
    completions: Mutex<Vec<Completion>>,
    came: Condvar,
}

impl CompletionSink for Told {
    fn complete(&self, group: Vec<Completion>) {
        self.completions.lock().extend(group);
        self.came.notify_all();
    }
}

impl Told {
    /// Waits a while for the first completion.
    fn first(&self, patience: Duration) -> Option<Completion> {
        let mut completions = self.completions.lock();
        self.came.wait_while_for(&mut completions, |told| told.is_empty(), patience);
        completions.first().cloned()
    }
}

fn scenes() -> [Scene; 2] {
    [Scene::new(FlushMode::Sync), Scene::with_pool(FlushMode::Sync, 2)]
}

fn unwaited() -> Message<'static> {
    Message::new("t", b"goes").wait_store_ok(false)
}

/// The completion was handed over before the record was written to the page cache: a program that
/// was killed in between had acknowledged a message that was lost. Writers in C that were killed at
/// random said so within a minute, since a callback runs at once.
#[test]
fn a_completion_does_not_come_before_the_record_is_committed() {
    for scene in scenes() {
        let store = scene.open().unwrap();
        let told = Arc::new(Told::default());
        let sink: Arc<dyn CompletionSink> = told.clone();
        let gate = scene.disk.hold(Call::WriteAt, "commitlog", Hits::Nth(1));
        std::thread::scope(|scope| {
            let append = scope.spawn(|| store.append_to_sink(&unwaited(), &sink, 7));
            gate.wait_for_call();
            assert!(told.first(Duration::from_millis(50)).is_none(), "it is not committed");
            assert_eq!(store.committed_offset().get(), 0);
            gate.open();
            let placed = append.join().unwrap().unwrap();
            let completion = told.first(Duration::from_secs(10)).unwrap();
            assert_eq!((completion.token, completion.result.unwrap()), (7, placed));
        });
        assert_eq!(bodies(&scene.copy().open().unwrap()), [b"goes"]);
        store.close().unwrap();
    }
}
