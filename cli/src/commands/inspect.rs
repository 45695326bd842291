//! `inspect`: what a store holds, file by file. Creates, locks and changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use cairnlog::{LogEntry, LogReader, QueueKind, RecordView, StoreCheckpoint, StoreOptions};
use serde::Serialize;

use crate::arguments::{IndexSizes, Inspect, View};
use crate::commands::cat::is_in_queue;
use crate::failure::{Failure, Outcome, report};
use crate::formats::consume_queue::{ConsumeQueue, ConsumeQueues, QueueRange};
use crate::formats::index::{self, Entry, Geometry, IndexFile};
use crate::formats::name;
use crate::output::{Output, or_dash};
use crate::record_json::{BlankJson, RecordJson};
use crate::walk::Walk;
use crate::{interrupt, open};

/// Runs the command.
pub(crate) fn run(command: &Inspect, options: &StoreOptions) -> Outcome {
    let mut view = Viewer {
        command,
        reader: open::log(&command.dir, options)?,
        output: Output::new(),
        damaged: false,
    };
    match command.view {
        View::Records => view.records()?,
        View::Files => view.files()?,
        View::Queues => view.queues()?,
        View::Index => view.index()?,
        View::Checkpoint => view.checkpoint()?,
        View::Topics => view.topics()?,
    }
    view.output.flush()?;
    if view.damaged {
        return Err(Failure::Damage);
    }
    Ok(())
}

/// The geometry that the command line gives.
pub(crate) fn geometry(sizes: IndexSizes) -> Option<Geometry> {
    let (slots, items) = sizes.index_slots.zip(sizes.index_items)?;
    Some(Geometry { slots, items })
}

/// A failed read of a file or directory.
pub(crate) fn cannot_read(path: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    move |error| Failure::failed(format!("cannot read {}", path.display()), error)
}

struct Viewer<'a> {
    command: &'a Inspect,
    /// `None` for a store without a log.
    reader: Option<LogReader>,
    output: Output,
    damaged: bool,
}

impl Viewer<'_> {
    /// Walks the log; damage is told on stderr, at its place between the lines.
    fn walk(&mut self, mut look: impl FnMut(&mut Output, &LogEntry) -> Outcome) -> Outcome {
        let Some(reader) = &self.reader else {
            return Ok(());
        };
        for entry in Walk::new(reader, reader.min_offset()) {
            interrupt::check()?;
            match entry {
                Ok(entry) => look(&mut self.output, &entry)?,
                Err(error) => {
                    self.output.flush()?;
                    report(&error.to_string());
                    self.damaged = true;
                }
            }
        }
        Ok(())
    }

    fn records(&mut self) -> Outcome {
        let json = self.command.json;
        if !json {
            self.output.line(concat!(
                "physical_offset size topic queue_id queue_offset store_timestamp ",
                "body_length properties"
            ))?;
        }
        self.walk(|output, entry| match entry {
            LogEntry::Message(message) if json => output.json(&RecordJson::new(&message.record())),
            LogEntry::Message(message) => output.line(record_line(&message.record())),
            LogEntry::Blank { physical_offset, size_bytes } if json => {
                output.json(&BlankJson::new(physical_offset.get(), *size_bytes))
            }
            LogEntry::Blank { physical_offset, size_bytes } => {
                output.line(format!("{physical_offset} {size_bytes} (blank)"))
            }
        })
    }

    fn files(&mut self) -> Outcome {
        let mut contents: BTreeMap<u64, FileContent> = BTreeMap::new();
        let segment = self.reader.as_ref().map_or(0, LogReader::segment_size_bytes).max(1);
        self.walk(|_, entry| {
            let offset = match entry {
                LogEntry::Message(message) => message.record().physical_offset().get(),
                LogEntry::Blank { physical_offset, .. } => physical_offset.get(),
            };
            let start = offset - offset % segment;
            contents.entry(start).or_default().add(entry, start);
            Ok(())
        })?;
        if !self.command.json {
            self.output.line(
                "file start_offset size records used first_store_timestamp last_store_timestamp",
            )?;
        }
        for file in self.reader.as_ref().map_or(&[][..], LogReader::files) {
            let start = file.start_offset.get();
            let content = contents.remove(&start).unwrap_or_default();
            let line = FileJson {
                file: file.path.display().to_string(),
                start_offset: start,
                size: file.size_bytes,
                content,
            };
            if self.command.json {
                self.output.json(&line)?;
            } else {
                let FileJson { content, .. } = &line;
                self.output.line(format!(
                    "{} {} {} {} {} {} {}",
                    line.file,
                    line.start_offset,
                    line.size,
                    content.records,
                    content.used,
                    or_dash(content.first_store_timestamp),
                    or_dash(content.last_store_timestamp),
                ))?;
            }
        }
        Ok(())
    }

    fn topics(&mut self) -> Outcome {
        let mut topics: BTreeMap<(String, i32), TopicJson> = BTreeMap::new();
        self.walk(|_, entry| {
            if let LogEntry::Message(message) = entry {
                let record = message.record();
                let key = (record.topic().into_owned(), record.queue_id());
                topics
                    .entry(key)
                    .or_insert_with_key(|key| TopicJson::new(&key.0, key.1))
                    .add(&record);
            }
            Ok(())
        })?;
        if !self.command.json {
            self.output.line("topic queue_id records bytes min_queue_offset max_queue_offset")?;
        }
        for topic in topics.values() {
            if self.command.json {
                self.output.json(topic)?;
            } else {
                self.output.line(format!(
                    "{} {} {} {} {} {}",
                    topic.topic,
                    topic.queue_id,
                    topic.records,
                    topic.bytes,
                    or_dash(topic.min_queue_offset),
                    or_dash(topic.max_queue_offset),
                ))?;
            }
        }
        Ok(())
    }

    fn queues(&mut self) -> Outcome {
        let log_min = self.reader.as_ref().map_or(0, |reader| reader.min_offset().get());
        let queues =
            ConsumeQueues::open(&self.command.dir).map_err(cannot_read(&self.command.dir))?;
        if !self.command.json {
            self.output.line(if self.command.entries {
                "topic queue_id queue_offset physical_offset size tags_code messages"
            } else {
                "topic queue_id min_offset max_offset files"
            })?;
        }
        for mut queue in queues.queues {
            interrupt::check()?;
            if self.command.entries {
                self.units(&mut queue)?;
                continue;
            }
            let range = queue.range(log_min).map_err(cannot_read(&queue.path))?;
            let line = QueueJson::new(&queue, range);
            if self.command.json {
                self.output.json(&line)?;
            } else {
                self.output.line(format!(
                    "{} {} {} {} {}",
                    line.topic, line.queue_id, line.min_offset, line.max_offset, line.files
                ))?;
            }
        }
        for path in queues.foreign {
            report(&format!("{}: not part of a consume queue", path.display()));
            self.damaged = true;
        }
        Ok(())
    }

    fn units(&mut self, queue: &mut ConsumeQueue) -> Outcome {
        let path = queue.path.clone();
        let (topic, queue_id) = (queue.topic.clone(), queue.queue_id);
        let mut written: Outcome = Ok(());
        let (output, json) = (&mut self.output, self.command.json);
        queue
            .walk(|unit| {
                if unit.is_filler() || written.is_err() {
                    return;
                }
                let line = UnitJson {
                    topic: &topic,
                    queue_id,
                    queue_offset: unit.index,
                    messages: unit.messages,
                    physical_offset: unit.physical_offset,
                    size: unit.size,
                    tags_code: unit.tags_code,
                };
                written = if json {
                    output.json(&line)
                } else {
                    output.line(format!(
                        "{topic} {queue_id} {} {} {} {} {}",
                        line.queue_offset,
                        line.physical_offset,
                        line.size,
                        line.tags_code,
                        line.messages,
                    ))
                };
            })
            .map_err(cannot_read(&path))?;
        written
    }

    fn index(&mut self) -> Outcome {
        let (files, foreign) =
            index::files(&self.command.dir).map_err(cannot_read(&self.command.dir))?;
        if !self.command.json {
            self.output.line(if self.command.entries {
                "file number key_hash physical_offset time_difference_s previous"
            } else {
                "file slots items entries used_slots begin_physical_offset \
                 end_physical_offset begin_timestamp end_timestamp"
            })?;
        }
        for path in files {
            interrupt::check()?;
            let file = IndexFile::open(&path, geometry(self.command.index_sizes))
                .map_err(cannot_read(&path))?;
            if self.command.entries {
                self.index_entries(&file)?;
            } else {
                self.index_file(&file)?;
            }
        }
        for path in foreign {
            report(&format!("{}: not an index file", path.display()));
            self.damaged = true;
        }
        Ok(())
    }

    fn index_file(&mut self, file: &IndexFile) -> Outcome {
        let line = IndexJson::new(file);
        if self.command.json {
            return self.output.json(&line);
        }
        self.output.line(format!(
            "{} {} {} {} {} {} {} {} {}",
            line.file,
            or_dash(line.slots),
            or_dash(line.items),
            line.entries,
            line.hash_slot_count,
            line.begin_physical_offset,
            line.end_physical_offset,
            line.begin_timestamp,
            line.end_timestamp,
        ))
    }

    fn index_entries(&mut self, file: &IndexFile) -> Outcome {
        let Some(geometry) = file.geometry else {
            if file.header.entries() > 0 {
                report(&format!(
                    "{}: no number of slots fits this file: expected --index-slots and \
                     --index-items that make {} bytes",
                    file.path.display(),
                    file.size
                ));
                self.damaged = true;
            }
            return Ok(());
        };
        let cannot_read = cannot_read(&file.path);
        let mut entries = file.entries(geometry).map_err(&cannot_read)?;
        while let Some((number, entry)) = entries.next().map_err(&cannot_read)? {
            let line = EntryJson::new(name(&file.path), number, &entry);
            if self.command.json {
                self.output.json(&line)?;
            } else {
                self.output.line(format!(
                    "{} {} {} {} {} {}",
                    line.file,
                    line.number,
                    line.key_hash,
                    line.physical_offset,
                    line.time_difference_s,
                    line.previous
                ))?;
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Outcome {
        let path = self.command.dir.join("checkpoint");
        let Some(checkpoint) = StoreCheckpoint::read(&self.command.dir)? else {
            return Err(Failure::failed(path.display(), "there is no such file"));
        };
        let fields = [
            ("physic_msg_timestamp", checkpoint.physic_msg_timestamp_ms),
            ("logics_msg_timestamp", checkpoint.logics_msg_timestamp_ms),
            ("index_msg_timestamp", checkpoint.index_msg_timestamp_ms),
            ("master_flushed_offset", checkpoint.master_flushed_offset),
            ("confirm_phy_offset", checkpoint.confirm_phy_offset),
        ];
        if self.command.json {
            return self.output.json(&BTreeMap::from(fields));
        }
        for (name, value) in fields {
            self.output.line(format!("{name} {value}"))?;
        }
        Ok(())
    }
}

fn record_line(record: &RecordView<'_>) -> String {
    let properties: Vec<String> = record
        .properties()
        .map(|(name, value)| {
            format!(
                "{}={}",
                String::from_utf8_lossy(name).escape_debug(),
                String::from_utf8_lossy(value).escape_debug()
            )
        })
        .collect();
    format!(
        "{} {} {} {} {} {} {} {}",
        record.physical_offset(),
        record.size_bytes(),
        record.topic(),
        record.queue_id(),
        record.queue_offset(),
        record.store_timestamp_ms(),
        record.body().len(),
        properties.join(";"),
    )
}

#[derive(Debug, Default, Serialize)]
struct FileContent {
    records: u64,
    used: u64,
    first_store_timestamp: Option<i64>,
    last_store_timestamp: Option<i64>,
}

impl FileContent {
    fn add(&mut self, entry: &LogEntry, start: u64) {
        match entry {
            LogEntry::Message(message) => {
                let record = message.record();
                self.records += 1;
                self.used = record.end_offset().get() - start;
                self.last_store_timestamp = Some(record.store_timestamp_ms());
                if self.first_store_timestamp.is_none() {
                    self.first_store_timestamp = self.last_store_timestamp;
                }
            }
            // The blank takes all that is left.
            LogEntry::Blank { physical_offset, size_bytes } => {
                self.used = physical_offset.get() + u64::from(*size_bytes) - start
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct FileJson {
    file: String,
    start_offset: u64,
    size: u64,
    #[serde(flatten)]
    content: FileContent,
}

#[derive(Debug, Serialize)]
struct TopicJson {
    topic: String,
    queue_id: i32,
    records: u64,
    bytes: u64,
    min_queue_offset: Option<u64>,
    max_queue_offset: Option<u64>,
    first_store_timestamp: i64,
    last_store_timestamp: i64,
}

impl TopicJson {
    fn new(topic: &str, queue_id: i32) -> Self {
        Self {
            topic: topic.to_owned(),
            queue_id,
            records: 0,
            bytes: 0,
            min_queue_offset: None,
            max_queue_offset: None,
            first_store_timestamp: 0,
            last_store_timestamp: 0,
        }
    }

    fn add(&mut self, record: &RecordView<'_>) {
        if self.records == 0 {
            self.first_store_timestamp = record.store_timestamp_ms();
        }
        self.last_store_timestamp = record.store_timestamp_ms();
        self.records += 1;
        self.bytes += u64::from(record.size_bytes());
        if is_in_queue(record) {
            let offset = record.queue_offset().get();
            self.min_queue_offset = Some(self.min_queue_offset.unwrap_or(offset).min(offset));
            self.max_queue_offset = Some(self.max_queue_offset.unwrap_or(offset).max(offset));
        }
    }
}

#[derive(Debug, Serialize)]
struct QueueJson {
    topic: String,
    queue_id: i32,
    kind: &'static str,
    min_offset: u64,
    max_offset: u64,
    files: usize,
    first_physical_offset: Option<i64>,
    last_physical_offset: Option<i64>,
}

impl QueueJson {
    fn new(queue: &ConsumeQueue, range: QueueRange) -> Self {
        Self {
            topic: queue.topic.clone(),
            queue_id: queue.queue_id,
            kind: if queue.kind == QueueKind::Batch { "batch" } else { "simple" },
            min_offset: range.min_offset,
            max_offset: range.max_offset,
            files: queue.files.len(),
            first_physical_offset: range.ends.map(|(first, _)| first.physical_offset),
            last_physical_offset: range.ends.map(|(_, last)| last.physical_offset),
        }
    }
}

#[derive(Debug, Serialize)]
struct UnitJson<'a> {
    topic: &'a str,
    queue_id: i32,
    queue_offset: u64,
    messages: u64,
    physical_offset: i64,
    size: i32,
    tags_code: i64,
}

#[derive(Debug, Serialize)]
struct IndexJson {
    file: String,
    size: u64,
    slots: Option<u32>,
    items: Option<u32>,
    entries: u32,
    hash_slot_count: i32,
    index_count: i32,
    begin_timestamp: i64,
    end_timestamp: i64,
    begin_physical_offset: i64,
    end_physical_offset: i64,
}

impl IndexJson {
    fn new(file: &IndexFile) -> Self {
        let header = &file.header;
        Self {
            file: file.path.display().to_string(),
            size: file.size,
            slots: file.geometry.map(|geometry| geometry.slots),
            items: file.geometry.map(|geometry| geometry.items),
            entries: header.entries(),
            hash_slot_count: header.hash_slot_count,
            index_count: header.index_count,
            begin_timestamp: header.begin_timestamp,
            end_timestamp: header.end_timestamp,
            begin_physical_offset: header.begin_physical_offset,
            end_physical_offset: header.end_physical_offset,
        }
    }
}

#[derive(Debug, Serialize)]
struct EntryJson {
    file: String,
    number: u32,
    key_hash: i32,
    physical_offset: i64,
    time_difference_s: i32,
    previous: i32,
}

impl EntryJson {
    fn new(file: String, number: u32, entry: &Entry) -> Self {
        Self {
            file,
            number,
            key_hash: entry.key_hash,
            physical_offset: entry.physical_offset,
            time_difference_s: entry.time_difference_s,
            previous: entry.previous,
        }
    }
}
