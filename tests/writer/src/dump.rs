//! Reads a store without opening it.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use cairnlog::{LogEntry, LogReader, PhysicalOffset, RecordView, StoreOptions};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Outcome;
use crate::expected::{decode_properties, hex, host_text};

/// Prints every record and blank; damage is a failure.
pub(crate) fn dump(directory: &Path, log_directories: &[&str]) -> Outcome<()> {
    let mut options = StoreOptions::default();
    options.commit_log_paths = log_directories.iter().map(PathBuf::from).collect();
    let reader = LogReader::open_with(directory, &options)?;
    let mut out = BufWriter::new(std::io::stdout());
    for entry in reader.entries(reader.min_offset()) {
        let line = match entry? {
            LogEntry::Message(message) => record_json(&message.record()),
            LogEntry::Blank { physical_offset, size_bytes } => {
                blank_json(physical_offset, size_bytes)
            }
        };
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(())
}

fn blank_json(physical_offset: PhysicalOffset, size_bytes: u32) -> Value {
    json!({"blank": true, "physical_offset": physical_offset.get(), "size": size_bytes})
}

fn record_json(record: &RecordView<'_>) -> Value {
    json!({
        "physical_offset": record.physical_offset().get(),
        "total_size": record.size_bytes(),
        "magic": record.magic(),
        "queue_id": record.queue_id(),
        "flag": record.flag(),
        "queue_offset": record.queue_offset().get(),
        "sys_flag": record.sys_flag(),
        "born_timestamp": record.born_timestamp_ms(),
        "born_host": host_text(record.born_host()),
        "store_timestamp": record.store_timestamp_ms(),
        "store_host": host_text(record.store_host()),
        "reconsume_times": record.reconsume_times(),
        "prepared_transaction_offset": record.prepared_transaction_offset(),
        "body_length": record.body().len(),
        "body_crc32": record.body_crc(),
        "body_sha256": hex(&Sha256::digest(record.body())),
        "topic": record.topic(),
        "properties": decode_properties(record.properties_raw()),
        "properties_raw_hex": hex(record.properties_raw()),
    })
}
