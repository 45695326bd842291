//! That the model loses what was not synced, and keeps what was.

use std::path::Path;

use super::disk::ModelDisk;
use super::journal::{Image, PAGE};
use super::survival::{Owed, Pending, Survival};
use crate::codec::Sink;
use crate::sys::disk::{Access, Disk};

const ROOT: &str = "/model";

struct Bench {
    disk: ModelDisk,
}

impl Bench {
    fn new() -> Self {
        Self { disk: ModelDisk::journaled(Path::new(ROOT), &Image::empty()) }
    }

    /// What is left of a file's bytes, if it has a name.
    fn left(self, name: &str, how: Survival) -> Option<Vec<u8>> {
        self.all_left(name, [how]).pop().flatten()
    }

    fn all_left(
        self,
        name: &str,
        hows: impl IntoIterator<Item = Survival>,
    ) -> Vec<Option<Vec<u8>>> {
        let journal = self.disk.finish();
        let mut pending = Pending::new(&journal, Owed::default());
        for step in &journal.steps {
            pending.step(&step.changes, &step.promises);
        }
        let of = |how| {
            let (image, _) = pending.survive(how);
            let left = ModelDisk::plain(Path::new(ROOT), &image).contents("");
            left.into_iter().find(|(found, _)| found == name).map(|(_, bytes)| bytes)
        };
        hows.into_iter().map(of).collect()
    }
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new(ROOT).join(name)
}

#[test]
fn a_name_is_lost_unless_its_directory_was_synced() {
    for synced in [false, true] {
        let bench = Bench::new();
        let file = bench.disk.create(&path("f"), 5).unwrap();
        file.write_all_at(b"bytes", 0).unwrap();
        file.sync_all().unwrap();
        if synced {
            bench.disk.sync_directory(Path::new(ROOT)).unwrap();
        }
        let expected = synced.then(|| b"bytes".to_vec());
        assert_eq!(bench.left("f", Survival::Nothing), expected);
    }
}

#[test]
fn stores_into_a_mapping_are_lost_unless_the_file_was_synced() {
    for (synced, how, expected) in [
        (false, Survival::Nothing, 0),
        (false, Survival::Names, 0),
        (false, Survival::Everything, 7),
        (true, Survival::Nothing, 7),
    ] {
        let bench = Bench::new();
        let file = bench.disk.create(&path("f"), 3 * PAGE as u64).unwrap();
        bench.disk.sync_directory(Path::new(ROOT)).unwrap();
        file.sync_all().unwrap();
        let region = file.map(3 * PAGE, Access::Write).unwrap();
        let mut writer = region.writer(PAGE, 8).unwrap();
        writer.put_size([7; 4]);
        writer.put(&[7; 4]);
        assert!(writer.finish());
        if synced {
            file.sync_data().unwrap();
        }
        let left = bench.left("f", how).unwrap();
        assert_eq!((left.len(), left[PAGE], left[0]), (3 * PAGE, expected, 0), "{how}");
    }
}

#[test]
fn chance_tears_pages_reorders_writes_and_leaves_renames_undone() {
    let bench = Bench::new();
    let file = bench.disk.create(&path("a"), 2 * PAGE as u64).unwrap();
    file.sync_all().unwrap();
    bench.disk.sync_directory(Path::new(ROOT)).unwrap();
    file.write_all_at(&[1; 2 * PAGE], 0).unwrap();
    file.write_all_at(&[2; 2 * PAGE], 0).unwrap();
    bench.disk.rename(&path("a"), &path("b")).unwrap();
    let hows = (1..400u64).map(|seed| Survival::Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let names = Bench { disk: bench.disk.clone() };
    let left: Vec<_> = names.all_left("a", hows);
    let found: Vec<_> = left.iter().flatten().collect();
    assert!(found.len() > 40 && found.len() < 360, "the old name is left {} times", found.len());
    let torn = |bytes: &[u8]| bytes.chunks(512).any(|sector| sector != &bytes[..512]);
    assert!(found.iter().any(|bytes| torn(&bytes[..PAGE])), "no page is torn");
    let whole = |bytes: &[u8], value: u8| bytes.iter().all(|&byte| byte == value);
    for value in [0, 1, 2] {
        let other = found
            .iter()
            .filter(|bytes| whole(&bytes[..PAGE], value) && !whole(&bytes[PAGE..], value));
        assert!(other.count() > 0, "the second page never outruns the first at {value}");
    }
    for bytes in found {
        let sectors = bytes.chunks(512);
        assert!(sectors.into_iter().all(|sector| whole(sector, sector[0])), "a torn sector");
    }
}

#[test]
fn a_sync_of_a_range_takes_no_other_pages_along() {
    let bench = Bench::new();
    let file = bench.disk.create(&path("f"), 4 * PAGE as u64).unwrap();
    bench.disk.sync_directory(Path::new(ROOT)).unwrap();
    file.sync_all().unwrap();
    let region = file.map(4 * PAGE, Access::Write).unwrap();
    for page in 0..4 {
        let mut writer = region.writer(page * PAGE, 8).unwrap();
        writer.put_size([7; 4]);
        writer.put(&[7; 4]);
        assert!(writer.finish());
    }
    file.sync_range(&region, PAGE + 4..2 * PAGE + 4).unwrap();
    let bytes = bench.left("f", Survival::Nothing).unwrap();
    let left: Vec<_> = (0..4).map(|page| bytes[page * PAGE]).collect();
    assert_eq!(left, [0, 7, 7, 0]);
}

#[test]
fn what_is_written_behind_the_end_needs_the_length() {
    let bench = Bench::new();
    let file = bench.disk.create(&path("f"), 0).unwrap();
    bench.disk.sync_directory(Path::new(ROOT)).unwrap();
    file.write_all_at(b"bytes", 0).unwrap();
    let hows = [Survival::Data, Survival::Names, Survival::Everything];
    let left = bench.all_left("f", hows);
    assert_eq!(left, [Some(vec![]), Some(vec![0; 5]), Some(b"bytes".to_vec())]);
}
