//! Appends, and holds each acknowledgement against a model of the log.

use std::collections::HashMap;
use std::io::{BufWriter, Stdout, Write};
use std::net::SocketAddr;

use cairnlog::{AppendResult, EncodedBatch, Store, StoreOptions, encode_batch_item};
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;

use crate::Outcome;
use crate::expected::Expected;
use crate::message::{Item, OwnedMessage};

/// What a blank needs at least, and so what a record leaves in its file.
const BLANK_BYTES: u64 = 8;
/// Both inner batch bits of the system flag.
const INNER_BATCH: i32 = 0xC0;

/// A store that is written, and what is known about it without asking it.
pub(crate) struct Writer {
    store: Store,
    out: BufWriter<Stdout>,
    store_host: SocketAddr,
    record_crc: bool,
    /// A buffered store is flushed before the kill: only what was committed survives it.
    buffered: bool,
    file_size_bytes: u64,
    position: u64,
    next_offsets: HashMap<(String, i32), u64>,
    acknowledged: usize,
    kill_after: Option<usize>,
    flushed: bool,
}

impl Writer {
    pub(crate) fn new(store: Store, options: &StoreOptions, kill_after: Option<usize>) -> Self {
        Self {
            out: BufWriter::new(std::io::stdout()),
            store_host: options.store_host,
            record_crc: options.append_record_crc,
            buffered: options.transient_store_pool_enable,
            file_size_bytes: store.segment_size_bytes(),
            position: store.max_offset().get(),
            next_offsets: HashMap::new(),
            acknowledged: 0,
            kill_after,
            flushed: false,
            store,
        }
    }

    /// The bytes left in the present file.
    pub(crate) fn room(&self) -> u64 {
        self.file_size_bytes - self.position % self.file_size_bytes
    }

    pub(crate) fn file_size_bytes(&self) -> u64 {
        self.file_size_bytes
    }

    /// Where the next record goes if it fits.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The size of the record of a message.
    pub(crate) fn size_of(&self, message: &OwnedMessage) -> u64 {
        let properties = message.encoded_properties();
        self.expect(message, &message.body, message.flag, properties).size_bytes() as u64
    }

    /// Appends one message.
    pub(crate) fn put(&mut self, message: &OwnedMessage) -> Outcome<AppendResult> {
        let properties = message.encoded_properties();
        let record = self.expect(message, &message.body, message.flag, properties);
        let result = message.lend(|message| self.store.append(message))?;
        self.acknowledge(message, vec![record], result, 1)?;
        Ok(result)
    }

    /// Appends through `append_many`.
    pub(crate) fn put_many(&mut self, messages: &[OwnedMessage]) -> Outcome<()> {
        let mut results = Vec::new();
        let bare: Vec<cairnlog::Message<'_>> = messages
            .iter()
            .map(|message| {
                cairnlog::Message::new(&message.topic, &message.body).queue_id(message.queue_id)
            })
            .collect();
        self.store.append_many(&bare, &mut results)?;
        for (message, result) in messages.iter().zip(results) {
            let record = self.expect(message, &message.body, message.flag, Vec::new());
            self.acknowledge(message, vec![record], result, 1)?;
        }
        Ok(())
    }

    /// Appends a plain batch.
    pub(crate) fn put_batch(&mut self, shared: &OwnedMessage, items: &[Item]) -> Outcome<()> {
        let of_all = shared.encoded_properties();
        let records = items
            .iter()
            .map(|item| {
                let mut properties = item.properties.clone();
                if properties.last().is_some_and(|&last| last != 2) && !of_all.is_empty() {
                    properties.push(2);
                }
                properties.extend(&of_all);
                self.expect(shared, &item.body, item.flag, properties)
            })
            .collect();
        let encoded = encode(items)?;
        let result = shared.lend(|message| {
            self.store.append_batch(&EncodedBatch { shared: *message, items: &encoded })
        })?;
        self.acknowledge(shared, records, result, items.len() as u64)
    }

    /// Appends an inner batch.
    pub(crate) fn put_inner_batch(&mut self, shared: &OwnedMessage, items: &[Item]) -> Outcome<()> {
        let encoded = encode(items)?;
        let base = self.next_offset(shared);
        let mut properties = shared.encoded_properties();
        let numbers = format!("INNER_NUM\u{1}{}\u{2}INNER_BASE\u{1}{base}\u{2}", items.len());
        properties.extend(numbers.bytes());
        let mut record = self.expect(shared, &encoded, shared.flag, properties);
        record.sys_flag |= INNER_BATCH;
        let result = shared.lend(|message| {
            self.store.append_inner_batch(&EncodedBatch { shared: *message, items: &encoded })
        })?;
        self.acknowledge(shared, vec![record], result, items.len() as u64)
    }

    /// Closes the store.
    pub(crate) fn close(mut self) -> Outcome<()> {
        self.store.close()?;
        self.out.flush()?;
        Ok(())
    }

    /// The record of a message, but for what the store decides.
    fn expect(
        &self,
        message: &OwnedMessage,
        body: &[u8],
        flag: i32,
        properties: Vec<u8>,
    ) -> Expected {
        Expected {
            physical_offset: 0,
            queue_id: message.queue_id,
            flag,
            queue_offset: 0,
            sys_flag: message.sys_flag,
            born_timestamp_ms: message.born_timestamp_ms.unwrap_or(0),
            born_host: message.born_host.unwrap_or(self.store_host),
            store_timestamp_ms: 0,
            store_host: self.store_host,
            reconsume_times: message.reconsume_times,
            prepared_transaction_offset: message.prepared_transaction_offset,
            body: body.to_vec(),
            topic: message.topic.clone(),
            properties,
            record_crc: self.record_crc,
            dispatched: message.is_dispatched(),
        }
    }

    fn next_offset(&self, message: &OwnedMessage) -> u64 {
        let queue = (message.topic.clone(), message.queue_id);
        // The first time, what recovery found: the tests know what that must be.
        self.next_offsets
            .get(&queue)
            .copied()
            .unwrap_or_else(|| self.store.next_queue_offset(&message.topic, message.queue_id).get())
    }

    /// Checks where the records came to lie, prints them, and counts.
    fn acknowledge(
        &mut self,
        message: &OwnedMessage,
        mut records: Vec<Expected>,
        result: AppendResult,
        messages: u64,
    ) -> Outcome<()> {
        let size: u64 = records.iter().map(|record| record.size_bytes() as u64).sum();
        self.roll_for(size)?;
        // The model does not know the queue's next index before its first message.
        let first = match self.next_offsets.get(&(message.topic.clone(), message.queue_id)) {
            _ if !message.is_dispatched() => 0,
            Some(&next) => next,
            None => result.queue_offset.get(),
        };
        let wanted = (self.position, size, first, messages);
        let found = (
            result.physical_offset.get(),
            u64::from(result.size_bytes),
            result.queue_offset.get(),
            u64::from(result.message_count),
        );
        if wanted != found {
            return Err(format!(
                "acknowledged offset, size, index and count: expected {wanted:?}, found {found:?}"
            )
            .into());
        }
        for (number, record) in (0..).zip(&mut records) {
            record.physical_offset = self.position;
            record.queue_offset = if message.is_dispatched() { first + number } else { 0 };
            record.store_timestamp_ms = result.store_timestamp_ms;
            if message.born_timestamp_ms.is_none() {
                record.born_timestamp_ms = result.store_timestamp_ms;
            }
            self.position += record.size_bytes() as u64;
            writeln!(self.out, "{}", record.to_json())?;
        }
        if message.is_dispatched() {
            let queue = (message.topic.clone(), message.queue_id);
            self.next_offsets.insert(queue, first + messages);
        }
        self.acknowledged += records.len();
        self.maybe_die()
    }

    /// Goes to the next file if these bytes do not fit in front of a blank.
    fn roll_for(&mut self, size: u64) -> Outcome<()> {
        let room = self.room();
        if size + BLANK_BYTES > room {
            let blank = json!({"blank": true, "physical_offset": self.position, "size": room});
            writeln!(self.out, "{blank}")?;
            self.position += room;
        }
        Ok(())
    }

    /// Dies as by a crash of the process, if that was asked for and is due.
    fn maybe_die(&mut self) -> Outcome<()> {
        let Some(limit) = self.kill_after else {
            return Ok(());
        };
        if self.buffered && !self.flushed && self.acknowledged >= limit / 2 {
            self.store.flush()?;
            self.flushed = true;
            writeln!(self.out, "{}", json!({"flushed_to": self.position}))?;
        }
        if self.acknowledged >= limit {
            self.out.flush()?;
            kill_process(getpid(), Signal::KILL)?;
        }
        Ok(())
    }
}

fn encode(items: &[Item]) -> Outcome<Vec<u8>> {
    let mut encoded = Vec::new();
    for item in items {
        encode_batch_item(&mut encoded, item.flag, &item.body, &item.properties)?;
    }
    Ok(encoded)
}
