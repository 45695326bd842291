//! Key queries: of keys that are there and keys that are not, with one index file and several.

use std::hint::black_box;
use std::ops::Range;
use std::path::Path;

use crate::amounts::Amounts;
use crate::floor::{MappedLog, Records, Table};
use crate::report::{Figure, Report};
use crate::scene::{self, Key, Random, SMALL_BODY, TOPIC, TemporaryStore, body, rates};
use crate::{Case, Result};

/// The files of the store that has several.
const FILES: u32 = 8;
/// Messages that a query wants at most: more than there are, so every file is looked at.
const WANTED: usize = 32;
/// Queries between two looks at the clock.
const QUERIES: u64 = 500;

const HIT_FLOOR: &str = "hash the key, load one slot and one entry a file, and the record";
const MISS_FLOOR: &str = "hash the key, load one slot and one entry a file";
const HIT: Figure = Figure {
    name: "query a key, one index file",
    unit: "queries/s",
    floor: HIT_FLOOR,
    target: None,
};
const HIT_OF_MANY: Figure = Figure { name: "query a key, eight index files", ..HIT };
const MISS: Figure =
    Figure { name: "query a missing key, one index file", floor: MISS_FLOOR, ..HIT };
const MISS_OF_MANY: Figure = Figure { name: "query a missing key, eight index files", ..MISS };

/// A store, what its floor loads, and its rows.
struct Indexed {
    store: TemporaryStore,
    records: Records,
    tables: Vec<Table>,
    hit: Figure,
    miss: Figure,
}

struct Keys {
    amounts: Amounts,
    stores: Vec<Indexed>,
    random: Random,
}

/// Fills two stores with keys.
pub(crate) fn prepare(path: &Path, amounts: Amounts) -> Result<Box<dyn Case>> {
    let one = Indexed::new(&path.join("one"), amounts, 1, (HIT, MISS))?;
    let many = Indexed::new(&path.join("many"), amounts, FILES, (HIT_OF_MANY, MISS_OF_MANY))?;
    Ok(Box::new(Keys { amounts, stores: vec![one, many], random: Random::new(13) }))
}

impl Indexed {
    fn new(path: &Path, amounts: Amounts, files: u32, rows: (Figure, Figure)) -> Result<Self> {
        let mut options = scene::options();
        let a_file = amounts.keys.div_ceil(files);
        // One entry of a file is never used.
        options.max_index_num = a_file + 1;
        options.max_hash_slot_num = (a_file / 4).max(1);
        let count = u64::from(amounts.keys);
        let store = TemporaryStore::new(path, &options, amounts.keys as usize * 320)?;
        store.fill(count, &body(SMALL_BODY))?;
        let records = Records {
            log: MappedLog::new(&store.log_file(), store.store.max_offset().get())?,
            units: store.units(0)?,
        };
        let tables = (0..files).map(|_| Table::new(a_file as usize)).collect();
        Ok(Self { store, records, tables, hit: rows.0, miss: rows.1 })
    }

    /// Queries keys from a range of numbers, each of which is found so often.
    fn query(&self, random: &mut Random, numbers: Range<u64>, found: usize) -> Result<u64> {
        let mut key = Key::new();
        for _ in 0..QUERIES {
            let key = key.set(numbers.start + random.below(numbers.end - numbers.start));
            if self.store.store.query_key(TOPIC, key, 0, i64::MAX, WANTED)?.len() != found {
                return Err(format!("key {key} was not found {found} times").into());
            }
        }
        Ok(QUERIES)
    }

    fn look_up(&self, random: &mut Random, count: u64, with_record: bool) -> Result<u64> {
        let (mut key, mut all) = (Key::new(), 0);
        for _ in 0..QUERIES {
            let number = random.below(count);
            let key = key.set(number).as_bytes();
            all = self.tables.iter().fold(all, |all, table| all ^ table.look_up(key));
            if with_record {
                all ^= self.records.load_head(usize::try_from(number)?);
            }
        }
        black_box(all);
        Ok(QUERIES)
    }
}

impl Case for Keys {
    fn round(&mut self, report: &mut Report) -> Result<()> {
        let (turn, count) = (self.amounts.turn, u64::from(self.amounts.keys));
        let mut floor_random = self.random.clone();
        for indexed in &self.stores {
            let rows = [(indexed.hit, 0, 1), (indexed.miss, count, 0)];
            for (figure, first, found) in rows {
                let query = &mut || indexed.query(&mut self.random, first..first + count, found);
                let floor = &mut || indexed.look_up(&mut floor_random, count, found > 0);
                let (value, floor) = rates(turn, query, floor)?;
                report.add(figure, value, floor);
            }
        }
        Ok(())
    }
}
