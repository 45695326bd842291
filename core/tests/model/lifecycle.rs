//! Closing, crashes, power cuts, lost files and retention.

use std::fs::OpenOptions;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cairnlog::{PhysicalOffset, Status, Store};

use crate::groups::{collect_offsets, without_transactions};
use crate::operations::{Lost, Power};
use crate::pair::{Pair, SEGMENT, copy_directory};

/// In the order in which a copy is made: what says less first.
const PARTS: [&str; 6] =
    ["config", "checkpoint", "index", "consumequeue", "batchconsumequeue", "commitlog"];
/// Where the checkpoint has cairnlog's notes, the boot in them, and how many bytes the CRC covers.
const NOTES_AT: usize = 2048;
const BOOT_AT: usize = NOTES_AT + 24;
const NOTES_BYTES: usize = 64;
/// What a power cut leaves is whole pages.
const PAGE: u64 = 4096;

impl Pair {
    /// Ends the store as it should, and opens it again, perhaps without what follows from the log.
    pub(crate) fn reopen(&mut self, lost: Lost) {
        self.persisted = collect_offsets(&self.store);
        self.leave_all();
        self.store.close().unwrap();
        self.model.delivered_stored = self.model.delivered.clone();
        lose(self.directory.path(), lost);
        self.store = Store::open(self.directory.path(), &self.options).unwrap();
        let report = self.store.recovery_report();
        assert!(report.clean_stop);
        assert!(report.damage.is_none(), "{:?}", report.damage);
        self.reopened(lost);
    }

    /// Goes on with a copy of the directory as it is now: what a kill leaves, or a power cut. What
    /// was committed, or durable, is there, and whatever else is, follows it without a gap.
    pub(crate) fn kill(&mut self, lost: Lost, power: Option<Power>) {
        let committed = self.store.committed_offset().get();
        let durable = self.store.durable_offset().get();
        let copy = tempfile::tempdir().unwrap();
        for part in PARTS {
            let (from, to) = (self.directory.path().join(part), copy.path().join(part));
            match from.is_dir() {
                true => copy_directory(&from, &to),
                false => drop(std::fs::copy(from, to)),
            }
        }
        std::fs::copy(self.directory.path().join("abort"), copy.path().join("abort")).unwrap();
        let kept = power.map(|power| {
            let kept = durable + (committed - durable) * power.kept / 1000;
            zero_log(copy.path(), kept..u64::MAX);
            pretend_another_boot(&copy.path().join("checkpoint"));
            // Without a CRC of the whole record, a hole in its properties is not seen; without the
            // checkpoint nobody knows that there may be holes, and opening refuses.
            let holes = self.options.append_record_crc && !lost.checkpoint;
            let lost = |page: &u64| holes && power.holes >> (page % 32) & 1 == 1;
            let pages = (durable / PAGE..kept.div_ceil(PAGE)).filter(lost);
            let ranges =
                pages.map(|page| (page * PAGE).max(durable)..((page + 1) * PAGE).min(kept));
            let ranges: Vec<_> = ranges.collect();
            ranges.iter().for_each(|range| zero_log(copy.path(), range.clone()));
            ranges.first().map_or(kept, |first| first.start)
        });
        lose(copy.path(), lost);
        self.leave_all();
        self.store = Store::open(copy.path(), &self.options).unwrap();
        self.directory = copy;
        let report = self.store.recovery_report();
        assert!(!report.clean_stop);
        let end = report.end_offset.get();
        let kept = kept.unwrap_or(committed);
        let whole = self.model.records.iter().rev().find(|record| record.end <= kept);
        let whole = whole.map_or(0, |record| record.end);
        assert!(end >= whole.max(durable), "{end}, but {whole} was whole and {durable} durable");
        self.model.cut(end);
        self.reopened(lost);
    }

    fn reopened(&mut self, lost: Lost) {
        self.forget_handles();
        if lost.queues {
            self.model.forget_removed();
        }
        let next = |queue_id: i32| self.model.next(&(crate::model::SCHEDULE.to_owned(), queue_id));
        let levels: Vec<_> =
            self.model.delivered.keys().map(|level| (*level, next(*level))).collect();
        for (level, next) in levels {
            for delivered in [&mut self.model.delivered, &mut self.model.delivered_stored] {
                delivered.entry(level).and_modify(|delivered| *delivered = next.min(*delivered));
            }
        }
        assert_eq!(self.store.min_offset().get(), self.model.min);
        // Offsets behind the end of their queue are set back to it.
        for ((_, queue), offset) in &mut self.persisted {
            *offset = self.model.next(queue).min(*offset);
        }
        let found = without_transactions(collect_offsets(&self.store));
        assert_eq!(found, without_transactions(self.persisted.clone()), "offsets of groups");
        self.go_on_from_offsets();
        self.settle(Vec::new());
        self.check();
    }

    pub(crate) fn remove_before(&mut self, at: usize, flushes: bool) {
        if flushes {
            self.flush();
            self.settle(Vec::new());
        }
        let end = self.store.max_offset().get();
        let beyond = PhysicalOffset::new(end + 1);
        let error = self.store.remove_before(beyond).unwrap_err();
        assert_eq!(error.status(), Status::OffsetOutOfRange);
        let offset = self.model.min + (end - self.model.min) * at as u64 / u64::from(u16::MAX);
        let removed = self.store.remove_before(PhysicalOffset::new(offset)).unwrap();
        let may_go = |pair: &Self, min: u64| min + SEGMENT <= offset.min(pair.removable());
        self.removed(removed, may_go);
    }

    pub(crate) fn remove_expired(&mut self) {
        let removed = self.store.remove_expired().unwrap();
        let (most, end) = (self.options.max_total_bytes, self.store.max_offset().get());
        let may_go = |pair: &Self, min: u64| {
            most > 0 && end - min > most && min + SEGMENT <= pair.removable()
        };
        self.removed(removed, may_go);
    }

    /// What is durable and in the queues, of all but the file that is appended to.
    fn removable(&self) -> u64 {
        self.store.durable_offset().get().min(self.store.dispatched_offset().get())
    }

    fn removed(&mut self, removed: cairnlog::RemovedFiles, may_go: impl Fn(&Self, u64) -> bool) {
        let before = self.model.min;
        let mut min = before;
        while may_go(self, min) {
            min += SEGMENT;
        }
        let found = self.store.min_offset().get();
        if self.store.durable_offset() < self.store.dispatched_offset() {
            // The queues are noted as synced only up to a position in front of which the log is
            // durable, and that may be an earlier one.
            assert!((before..=min).contains(&found) && found.is_multiple_of(SEGMENT));
            min = found;
        }
        assert_eq!(found, min, "from {before}");
        assert_eq!(removed.files, (min - before) / SEGMENT);
        assert_eq!(removed.bytes, min - before);
        self.model.min = min;
        if min > before {
            self.check();
        }
    }
}

/// Removes what follows from the log.
fn lose(directory: &Path, lost: Lost) {
    let queues = ["consumequeue", "batchconsumequeue"].map(|name| (name, lost.queues));
    for (name, lost) in queues.into_iter().chain([("index", lost.index)]) {
        let path = directory.join(name);
        if lost && path.exists() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    if lost.checkpoint {
        drop(std::fs::remove_file(directory.join("checkpoint")));
    }
}

/// Puts zeros into a range of the log: what was not written before the power was gone.
fn zero_log(directory: &Path, range: Range<u64>) {
    for entry in std::fs::read_dir(directory.join("commitlog")).unwrap() {
        let entry = entry.unwrap();
        let start: u64 = entry.file_name().to_str().unwrap().parse().unwrap();
        let at = |position: u64| position.clamp(start, start + SEGMENT) - start;
        let (begin, end) = (at(range.start), at(range.end));
        let file = OpenOptions::new().write(true).open(entry.path()).unwrap();
        file.write_all_at(&vec![0; (end - begin) as usize], begin).unwrap();
    }
}

/// Makes the checkpoint one of an earlier boot of the machine.
fn pretend_another_boot(checkpoint: &Path) {
    let mut bytes = std::fs::read(checkpoint).unwrap();
    let crc_at = NOTES_AT + NOTES_BYTES;
    assert_eq!(&bytes[NOTES_AT..NOTES_AT + 7], b"CAIRNCK");
    let crc = |bytes: &[u8]| u64::from(crc32fast::hash(&bytes[NOTES_AT..crc_at])).to_be_bytes();
    assert_eq!(bytes[crc_at..crc_at + 8], crc(&bytes));
    bytes[BOOT_AT] ^= 1;
    let changed = crc(&bytes);
    bytes[crc_at..crc_at + 8].copy_from_slice(&changed);
    std::fs::write(checkpoint, bytes).unwrap();
}
