//! Records a second over time, across the ends of log files: the store's appends, and their floor
//! in a mapped, touched file that begins again at its end.
//!
//! Prints one JSON object with how many records came in each slice of time.
#![deny(unsafe_code)]

use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cairnlog::{Message, PhysicalOffset, Store, StoreOptions};
use clap::Parser;
use memmap2::MmapMut;
use serde::Serialize;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const TOPIC: &str = "bench";
/// Log files that the store makes ahead, and the floor's.
const FURTHER_FILES: u64 = 3;

/// Appends across rollovers and tells how many records came when.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where files are made; removed afterwards.
    directory: PathBuf,
    /// Bytes of a log file.
    #[arg(long, default_value_t = 128 << 20)]
    file_bytes: u64,
    /// How many log files are filled.
    #[arg(long, default_value_t = 10)]
    rollovers: u64,
    /// Bytes of a body.
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// Milliseconds of a slice of time.
    #[arg(long, default_value_t = 100)]
    slice_ms: u64,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Series {
    slice_ms: u64,
    records: u64,
    seconds: f64,
    floor_records: u64,
    floor_seconds: f64,
    /// Records of each slice.
    slices: Vec<u64>,
    floor_slices: Vec<u64>,
    /// When the first record of each further file was there.
    rollovers_ms: Vec<f64>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when stderr is closed.
            let _ = writeln!(io::stderr(), "cairnlog-rollovers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let path = arguments.directory.join(format!("cairnlog-rollovers-{}", std::process::id()));
    fs::create_dir_all(&path)?;
    let measured = measure(arguments, &path);
    let removed = fs::remove_dir_all(&path);
    serde_json::to_writer(io::stdout().lock(), &measured?)?;
    Ok(removed?)
}

fn measure(arguments: &Arguments, path: &Path) -> Result<Series> {
    let body: Vec<u8> = (0..arguments.size).map(|number| (number % 251) as u8).collect();
    // A virtual machine gives free memory back to its host, and to get it again takes many times as
    // long as an append: that would be measured, not the store.
    let bytes = arguments.file_bytes * (arguments.rollovers + FURTHER_FILES);
    drop(black_box(vec![1u8; usize::try_from(bytes)?]));
    let (store, rollovers_ms, record_bytes) = append(arguments, &body, &path.join("store"))?;
    let floor = copy(arguments, store.seconds(), record_bytes, &path.join("floor"))?;
    Ok(Series {
        slice_ms: arguments.slice_ms,
        records: store.records,
        seconds: store.seconds(),
        floor_records: floor.records,
        floor_seconds: floor.seconds(),
        slices: store.slices,
        floor_slices: floor.slices,
        rollovers_ms,
    })
}

/// Counts records by the time at which they came.
struct Slices {
    slice: Duration,
    began: Instant,
    ended: Instant,
    records: u64,
    slices: Vec<u64>,
}

impl Slices {
    fn new(slice_ms: u64) -> Self {
        let began = Instant::now();
        let slice = Duration::from_millis(slice_ms.max(1));
        Self { slice, began, ended: began, records: 0, slices: Vec::with_capacity(1 << 12) }
    }

    /// A record is there. Store and floor both pay for the look at the clock.
    fn record(&mut self) {
        self.ended = Instant::now();
        let number = (self.ended - self.began).as_nanos() / self.slice.as_nanos();
        while self.slices.len() as u128 <= number {
            self.slices.push(0);
        }
        if let Some(last) = self.slices.last_mut() {
            *last += 1;
        }
        self.records += 1;
    }

    fn milliseconds(&self) -> f64 {
        1000.0 * self.seconds()
    }

    fn seconds(&self) -> f64 {
        (self.ended - self.began).as_secs_f64()
    }
}

/// Appends until so many files are full. Returns when each file began, and the size of a record.
fn append(arguments: &Arguments, body: &[u8], path: &Path) -> Result<(Slices, Vec<f64>, usize)> {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = arguments.file_bytes;
    options.schedule_enable = false;
    // The floors sum up bodies alone.
    options.append_record_crc = false;
    let store = Store::open(path, &options)?;
    let queue = store.queue(TOPIC, 0)?;
    let message = Message::new(TOPIC, body);
    queue.append(&message)?;
    let record_bytes = store.read_at(PhysicalOffset::new(0))?.size_bytes() as usize;
    let (mut file, mut rollovers_ms) = (0, Vec::new());
    let mut slices = Slices::new(arguments.slice_ms);
    while file < arguments.rollovers {
        let placed = queue.append(&message)?;
        slices.record();
        let now = placed.physical_offset.get() / arguments.file_bytes;
        if now > file {
            file = now;
            rollovers_ms.push(slices.milliseconds());
        }
    }
    drop(queue);
    store.close()?;
    Ok((slices, rollovers_ms, record_bytes))
}

/// The floor: copies records and computes their CRC for as long, with no store around.
fn copy(arguments: &Arguments, seconds: f64, record_bytes: usize, path: &Path) -> Result<Slices> {
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    file.set_len(arguments.file_bytes)?;
    let mut mapping = map(&file)?;
    mapping.fill(1);
    let record = vec![7; record_bytes];
    let mut at = 0;
    let mut slices = Slices::new(arguments.slice_ms);
    while slices.seconds() < seconds {
        if at + record.len() > mapping.len() {
            at = 0;
        }
        black_box(crc32fast::hash(record.get(..arguments.size).unwrap_or(&record)));
        if let Some(place) = mapping.get_mut(at..at + record.len()) {
            place.copy_from_slice(&record);
        }
        at += record.len();
        slices.record();
    }
    Ok(slices)
}

#[allow(unsafe_code, reason = "what the store writes is mapped, too")]
fn map(file: &File) -> io::Result<MmapMut> {
    // SAFETY: this process made the file a moment ago, nobody else knows it, and it is not
    // shortened while it is mapped.
    unsafe { MmapMut::map_mut(file) }
}
