//! A host of a store that does what it is told, one line of the standard input after the other, and
//! says in a line of JSON what came of it. Errors are told and never end the process: it ends when
//! the input does, with success.
//!
//! - `open`, `close`, `flush`;
//! - `append COUNT BYTES`: that many messages, up to the first that is refused;
//! - `dispatch`: waits until the queue has everything, for a few seconds;
//! - `offset VALUE`: commits an offset of a group, and stores it;
//! - `read`: all messages, by the log and by the queue.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

use cairnlog::{AppendResult, Message, QueueOffset, ReadRequest, Store, StoreOptions};
use serde_json::{Value, json};

use crate::Outcome;

const TOPIC: &str = "faults";
const GROUP: &str = "group";
/// How long the queue may take to get everything, when nothing keeps it.
const PATIENCE: Duration = Duration::from_secs(5);

struct Probe<'a> {
    directory: &'a Path,
    options: StoreOptions,
    store: Option<Store>,
    /// The number of the next message, which its body begins with.
    next: u64,
}

/// Does what the standard input says.
pub(crate) fn run(directory: &Path, options: &[&str]) -> Outcome<()> {
    let mut parsed = StoreOptions::default();
    let mut next = 0;
    for option in options {
        match option.split_once('=').ok_or("an option is NAME=VALUE")? {
            ("next", value) => next = value.parse()?,
            (name, value) => parsed.set(name, value)?,
        }
    }
    let mut probe = Probe { directory, options: parsed, store: None, next };
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let told = probe.obey(&words)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{told}")?;
        out.flush()?;
    }
    Ok(())
}

impl Probe<'_> {
    fn obey(&mut self, words: &[&str]) -> Outcome<Value> {
        if let ["open"] = words {
            let opened = Store::open(self.directory, &self.options);
            return Ok(match opened {
                Ok(store) => {
                    self.store = Some(store);
                    told(Ok(()))
                }
                Err(error) => told(Err(error)),
            });
        }
        let Some(store) = &self.store else {
            return Ok(json!({"error": {"status": "NOT_OPEN"}}));
        };
        Ok(match words {
            ["close"] => {
                let closed = store.close();
                self.store = None;
                told(closed)
            }
            ["flush"] => told(store.flush()),
            ["append", count, bytes] => {
                let (count, bytes) = (count.parse()?, bytes.parse()?);
                append(store, &mut self.next, count, bytes)
            }
            ["dispatch"] => match store.wait_dispatched(store.max_offset(), PATIENCE) {
                Ok(true) => told(Ok(())),
                Ok(false) => store.dispatch_error().map_or(json!({"late": true}), |e| told(Err(e))),
                Err(error) => told(Err(error)),
            },
            ["offset", value] => {
                let offset = QueueOffset::new(value.parse()?);
                let committed = store.commit_offset(GROUP, TOPIC, 0, offset);
                told(committed.and_then(|()| store.persist_offsets()))
            }
            ["read"] => read(store),
            _ => return Err(format!("there is no command {words:?}").into()),
        })
    }
}

/// What came of a call.
fn told(result: cairnlog::Result<()>) -> Value {
    match result {
        Ok(()) => json!({"error": null}),
        Err(error) => json!({"error": {
            "status": error.status().name(), "os": error.os_code(), "text": error.to_string(),
            "appended": error.appended().is_some(),
        }}),
    }
}

/// The body of a message: its number, and bytes that follow from it.
fn body(number: u64, bytes: usize) -> Vec<u8> {
    let mut body = format!("{number:010}").into_bytes();
    while body.len() < bytes {
        body.push((number as u8).wrapping_mul(31).wrapping_add(body.len() as u8));
    }
    body
}

fn append(store: &Store, next: &mut u64, count: u64, bytes: usize) -> Value {
    let mut stored = Vec::new();
    for _ in 0..count {
        let number = *next;
        *next += 1;
        let body = body(number, bytes);
        match store.append(&Message::new(TOPIC, &body).keys(&["key"])) {
            Ok(AppendResult { physical_offset, queue_offset, .. }) => {
                stored.push([number, physical_offset.get(), queue_offset.get()]);
            }
            Err(error) => {
                let mut line = told(Err(error));
                line["stored"] = json!(stored);
                line["refused"] = json!(number);
                return line;
            }
        }
    }
    json!({"error": null, "stored": stored})
}

/// All messages: number, physical offset and queue offset of each, by the log; and how many the
/// queue has. A body that is not that of its number is told as `wrong`.
fn read(store: &Store) -> Value {
    let mut found = Vec::new();
    let scan = match store.scan(store.min_offset()) {
        Ok(scan) => scan,
        Err(error) => return told(Err(error)),
    };
    for message in scan {
        let message = match message {
            Ok(message) => message,
            Err(error) => return told(Err(error)),
        };
        let record = message.record();
        let digits = record.body().get(..10).and_then(|digits| std::str::from_utf8(digits).ok());
        let number = digits.and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX);
        if record.body() != body(number, record.body().len()) {
            return json!({"error": null, "wrong": message.physical_offset().get()});
        }
        found.push([number, message.physical_offset().get(), record.queue_offset().get()]);
    }
    let mut line = match count_queued(store) {
        Ok(queued) => json!({"error": null, "queued": queued}),
        Err(error) => told(Err(error)),
    };
    line["found"] = json!(found);
    line
}

/// How many messages are in the queue.
fn count_queued(store: &Store) -> cairnlog::Result<usize> {
    let (mut queued, mut next) = (0, 0);
    loop {
        let batch = store.read(&ReadRequest::new(TOPIC, 0, next))?;
        if batch.messages().is_empty() {
            return Ok(queued);
        }
        queued += batch.messages().len();
        next = batch.next_offset();
    }
}
