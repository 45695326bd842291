//! Directory images: the files of a small store, and what an input does to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use cairnlog::fuzzing::{Place, encode_record};
use cairnlog::{Message, Store, StoreOptions};

use crate::input::Input;
use crate::scratch;

/// More than this is in no image.
const MAX_FILE_BYTES: usize = 256 << 10;
const MAX_FILES: usize = 48;
/// Of the files of a commit log.
const SEGMENT_BYTES: usize = 65_536;
/// Where the checkpoint's notes begin, and what they begin with.
const NOTES_AT: usize = 2048;
const NOTES_MAGIC: &[u8; 8] = b"CAIRNCK3";
const NOTES_BYTES: usize = 72;
/// Which of the notes tells the boot of the machine.
const BOOT_ID: usize = 3;

/// The files of a directory, by their paths in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// Reads a directory with everything in it.
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        let mut image = Self::default();
        image.read_into("", directory);
        image
    }

    fn read_into(&mut self, prefix: &str, directory: &Path) {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.read_into(&format!("{name}/"), &entry.path());
            } else {
                self.files.insert(name, std::fs::read(entry.path()).expect("a file"));
            }
        }
    }

    /// Writes the files into a directory. A file that is where another needs a directory is left
    /// out.
    pub fn write(&self, directory: &Path) {
        for (name, bytes) in &self.files {
            let path = directory.join(name);
            let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            let _ = made.and_then(|()| std::fs::write(path, bytes));
        }
    }

    /// The files in a compact form: their zeros at the end are left out.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::new();
        for (name, bytes) in &self.files {
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            for number in [name.len(), bytes.len(), used] {
                packed.extend_from_slice(&(number as u32).to_le_bytes());
            }
            packed.extend_from_slice(name.as_bytes());
            packed.extend_from_slice(&bytes[..used]);
        }
        packed
    }

    /// What [`Image::pack`] made.
    #[must_use]
    pub fn unpack(packed: &[u8]) -> Self {
        let mut input = Input::new(packed);
        let mut files = BTreeMap::new();
        while !input.is_empty() {
            let mut number = || {
                let bytes = input.bytes(4).try_into().expect("a packed image");
                u32::from_le_bytes(bytes) as usize
            };
            let (name, length, used) = (number(), number(), number());
            let name = String::from_utf8(input.bytes(name).to_vec()).expect("a name");
            let mut bytes = input.bytes(used).to_vec();
            bytes.resize(length, 0);
            files.insert(name, bytes);
        }
        Self { files }
    }

    /// The files whose path begins so, in order.
    fn names(&self, prefixes: &[&str]) -> Vec<String> {
        let wanted = |name: &&String| prefixes.iter().any(|prefix| name.starts_with(prefix));
        self.files.keys().filter(wanted).cloned().collect()
    }

    fn put(&mut self, name: &str, bytes: Vec<u8>) {
        if self.files.len() < MAX_FILES || self.files.contains_key(name) {
            self.files.insert(name.to_owned(), bytes);
        }
    }
}

/// How a machine looks at a store that it used before.
fn boot_id() -> u64 {
    static FOUND: OnceLock<u64> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let directory = scratch::directory();
        let mut options = StoreOptions::default();
        options.segment_size_bytes = SEGMENT_BYTES as u64;
        options.consume_queue_enable = false;
        let store = Store::open(directory.path(), &options).expect("a new store");
        store.close().expect("a store without messages");
        let image = Image::read(directory.path());
        image.note(BOOT_ID)
    })
}

impl Image {
    fn note(&self, index: usize) -> u64 {
        let at = NOTES_AT + index * 8;
        let field = self.files.get("checkpoint").and_then(|file| file.get(at..at + 8));
        field.and_then(|field| field.try_into().ok()).map_or(0, u64::from_be_bytes)
    }

    /// Changes one of the checkpoint's notes and makes their checksum right again.
    fn set_note(&mut self, index: usize, value: u64) {
        let mut file = self.files.get("checkpoint").cloned().unwrap_or_default();
        file.resize(4096, 0);
        if !file[NOTES_AT..].starts_with(NOTES_MAGIC) {
            file[NOTES_AT..NOTES_AT + 8].copy_from_slice(NOTES_MAGIC);
            let size = (SEGMENT_BYTES as u64).to_be_bytes();
            file[NOTES_AT + 8..NOTES_AT + 16].copy_from_slice(&size);
        }
        let at = NOTES_AT + index * 8;
        file[at..at + 8].copy_from_slice(&value.to_be_bytes());
        let end = NOTES_AT + NOTES_BYTES - 8;
        let crc = u64::from(crc32fast::hash(&file[NOTES_AT..end]));
        file[end..end + 8].copy_from_slice(&crc.to_be_bytes());
        self.put("checkpoint", file);
    }

    /// Where the used part of the log's last used file ends.
    fn log_end(&self) -> Option<(String, usize)> {
        self.names(&["commitlog/"]).into_iter().rev().find_map(|name| {
            let used = self.files[&name].iter().rposition(|byte| *byte != 0)?;
            Some((name, used + 1))
        })
    }

    /// Puts a record that nobody would append at the end of the log, its CRCs right.
    fn append_record(&mut self, input: &mut Input<'_>) {
        let first = (format!("commitlog/{:020}", 0), 0);
        let (name, at) = self.log_end().unwrap_or(first);
        let start = name.strip_prefix("commitlog/").and_then(|name| name.parse::<u64>().ok());
        let topics: [&[u8]; 6] = [
            b"t",
            b"orders",
            b"SCHEDULE_TOPIC_XXXX",
            b"RMQ_SYS_TRANS_HALF_TOPIC",
            b"RMQ_SYS_TRANS_OP_HALF_TOPIC",
            b"../t",
        ];
        let topic = if input.flag() { input.pick(&topics) } else { input.some_bytes() };
        let body = input.some_bytes();
        let raw = input.some_bytes();
        let mut message = Message::new("", body);
        message.queue_id = input.i32();
        message.sys_flag = input.i32();
        message.prepared_transaction_offset = input.i64();
        message.reconsume_times = input.i32();
        let place = Place {
            physical_offset: start.unwrap_or(0).wrapping_add(at as u64),
            queue_offset: input.number(),
            store_timestamp_ms: input.i64(),
            store_host: ([127, 0, 0, 1], 10_911).into(),
            record_crc: input.flag(),
        };
        let Ok(record) = encode_record(&message, topic, raw, place) else {
            return;
        };
        let mut file = self.files.get(&name).cloned().unwrap_or_default();
        file.resize(file.len().max(SEGMENT_BYTES), 0);
        let end = file.len().min(at + record.len());
        file[at..end].copy_from_slice(&record[..end - at]);
        self.put(&name, file);
    }

    /// A path that stays in the directory.
    fn name(&self, input: &mut Input<'_>, prefixes: &[&str]) -> Option<String> {
        if input.flag() {
            let names = self.names(prefixes);
            return (!names.is_empty()).then(|| names[input.below(names.len())].clone());
        }
        let prefix = prefixes[input.below(prefixes.len())];
        let name = match input.below(3) {
            0 => format!("{prefix}{:020}", input.number()),
            1 => format!("{prefix}t/{}/{:020}", input.number() as u32, input.number()),
            _ => format!("{prefix}{}", input.text()),
        };
        let inside = name
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != ".." && part.len() < 200);
        (inside && !name.contains('\0')).then_some(name)
    }

    /// Does one thing of an input to a file.
    fn change(&mut self, input: &mut Input<'_>, prefixes: &[&str]) {
        let what = input.below(10);
        let Some(name) = self.name(input, prefixes) else {
            return;
        };
        let mut file = self.files.get(&name).cloned().unwrap_or_default();
        let at = if file.is_empty() { 0 } else { place(input, &file) };
        match what {
            0 if !file.is_empty() => file[at] ^= input.u8(),
            1 => overwrite(&mut file, at, input.some_bytes()),
            2 => overwrite(&mut file, at, &input.number().to_be_bytes()),
            3 => overwrite(&mut file, at, &(input.number() as u32).to_be_bytes()),
            4 => file.resize((input.number() as usize).min(MAX_FILE_BYTES), 0),
            5 => {
                self.files.remove(&name);
                return;
            }
            6 => {
                // A part of the same or of another file comes once more.
                let Some(other) = self.name(input, prefixes).and_then(|name| self.files.get(&name))
                else {
                    return;
                };
                let from = if other.is_empty() { 0 } else { place(input, other) };
                let length = input.number() as usize;
                let part = other[from..other.len().min(from.saturating_add(length))].to_vec();
                overwrite(&mut file, at, &part);
            }
            7 => {
                let Some(other) = self.name(input, prefixes) else {
                    return;
                };
                let before = self.files.remove(&other);
                if let Some(before) = before {
                    self.put(&name, before);
                }
                self.put(&other, file);
                return;
            }
            8 => {
                let end = file.len().min(at.saturating_add(input.number() as usize));
                file[at..end].fill(0);
            }
            _ => file = input.some_bytes().to_vec(),
        }
        self.put(&name, file);
    }
}

/// A place in a file that is not empty: near its beginning, near the end of what is used of it, or
/// anywhere.
fn place(input: &mut Input<'_>, file: &[u8]) -> usize {
    let used = file.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
    match input.below(4) {
        0 => input.below(128.min(file.len())),
        1 => used.saturating_sub(input.below(128) + 1),
        2 => input.below(used),
        _ => input.below(file.len()),
    }
}

fn overwrite(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = (at + bytes.len()).min(MAX_FILE_BYTES);
    if at < end {
        file.resize(file.len().max(end), 0);
        file[at..end].copy_from_slice(&bytes[..end - at]);
    }
}

/// What an input makes of a directory: it begins with one of these.
fn bases() -> &'static [Image; 4] {
    static BASES: OnceLock<[Image; 4]> = OnceLock::new();
    BASES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let fixture =
            |name: &str| Image::read(&root.join("tests/fixtures").join(name).join("store"));
        let own = std::fs::read(root.join("fuzz/store.image")).expect("the image of a store");
        let own = Image::unpack(&own);
        [Image::default(), own, fixture("v533-running"), fixture("v498-features")]
    })
}

/// Builds a directory image. Only files whose path begins so are changed.
#[must_use]
pub fn build(input: &mut Input<'_>, prefixes: &[&str]) -> Image {
    let everything = prefixes.contains(&"");
    // The store of our own twice as often: the others have many files.
    let base = input.pick(if everything { &[1, 1, 1, 0, 2, 3, 1, 1][..] } else { &[1, 1, 1, 2] });
    let mut image = bases()[base].clone();
    match input.below(4) {
        0 => image.set_note(BOOT_ID, boot_id()),
        1 => image.set_note(BOOT_ID, 0),
        _ => {}
    }
    if everything && input.flag() {
        image.put("abort", b"1".to_vec());
    }
    for _ in 0..24 {
        if input.is_empty() {
            break;
        }
        match input.below(8) {
            0 if everything => image.append_record(input),
            1 if everything => {
                let index = 1 + input.below(7);
                image.set_note(index, input.number());
            }
            _ => image.change(input, prefixes),
        }
    }
    image
}
