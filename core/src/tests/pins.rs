//! Views keep what they show.

use super::scene::{Scene, fill};
use crate::{FlushMode, Message, PhysicalOffset};

/// R5. A forced unmap under active readers crashed the process. A view keeps its file mapped: also
/// after the store was closed and the file removed from the disk.
#[test]
fn r5_a_pin_survives_closing_and_removal() {
    let scene = Scene::with_pool(FlushMode::Async, 1);
    let store = scene.open().unwrap();
    fill(&store, 10, 20_000);
    store.append(&Message::new("t", b"last").tag("tag")).unwrap();
    store.flush().unwrap();
    let views: Vec<_> =
        store.scan(PhysicalOffset::new(0)).unwrap().map(|view| view.unwrap()).collect();
    let mut scan = store.scan(PhysicalOffset::new(0)).unwrap();
    let first = scan.next().unwrap().unwrap();
    store.close().unwrap();
    drop(store);
    std::fs::remove_dir_all(scene.path()).unwrap();
    assert_eq!(views.len(), 11);
    for view in &views[..10] {
        assert_eq!(view.body(), vec![b'x'; 20_000]);
        assert_eq!(view.topic(), "t");
    }
    assert_eq!(views[10].body(), b"last");
    assert_eq!(views[10].tag().as_deref(), Some("tag"));
    let clone = std::thread::spawn(move || first.clone()).join().unwrap();
    assert_eq!(clone.bytes().len(), clone.size_bytes() as usize);
}
