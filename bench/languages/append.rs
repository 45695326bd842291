//! Appends as the programs beside this file do: the same work, in the engine's own language.
//!
//!     cairnlog-append DIRECTORY WAY BODY_BYTES MESSAGES BURSTS [OPTION=VALUE]...
//!
//! WAY is `loop` (one prepared queue, one message a call), `named` (topic and queue by name),
//! `many` (1000 messages a call) or `flight` (512 on their way, each waited for). Every burst has a
//! store of its own, which is opened, appended to and closed again outside the measured time.
#![deny(unsafe_code)]

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairnlog::{
    Completion, CompletionSink, FlushMode, Message, QueueAppender, Store, StoreOptions,
};
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const TOPIC: &str = "bench";
/// Messages of a call that appends many.
const MANY: usize = 1000;
/// Appends on their way at most.
const IN_FLIGHT: usize = 512;
/// Appended before the clock runs: the first append makes the file.
const BEFORE: usize = 1000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(text) => match writeln!(io::stdout(), "{text}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            // Nobody is left to be told when stderr is closed.
            let _ = writeln!(io::stderr(), "cairnlog-append: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is appended, and how.
struct Work<'a> {
    way: &'a str,
    body: Vec<u8>,
    messages: usize,
}

fn run(arguments: &[String]) -> Result<String> {
    let [directory, way, size, messages, bursts, options @ ..] = arguments else {
        return Err("expected DIRECTORY WAY BODY_BYTES MESSAGES BURSTS [OPTION=VALUE]...".into());
    };
    let path = PathBuf::from(directory).join("store");
    let mut store_options = StoreOptions::default();
    store_options.append_record_crc = false;
    for option in options {
        let (name, value) = option.split_once('=').ok_or("an option is NAME=VALUE")?;
        store_options.set(name, value)?;
    }
    let size: usize = size.parse()?;
    let work = Work { way: way.as_str(), body: vec![b'x'; size], messages: messages.parse()? };
    let bursts: usize = bursts.parse()?;
    let mut sum = Figures::default();
    for _ in 0..bursts {
        let burst = work.burst(&path, &store_options)?;
        sum.elapsed += burst.elapsed;
        sum.processor += burst.processor;
        sum.syncs += burst.syncs;
    }
    let appended = work.messages * bursts;
    let report = json!({
        "mode": if store_options.flush_mode == FlushMode::Sync { "sync" } else { "async" },
        "size": size,
        "threads": 1,
        "inflight": if way == "flight" { IN_FLIGHT } else { 1 },
        "seconds": sum.elapsed.as_secs_f64(),
        "messages": appended,
        "messages_per_second": appended as f64 / sum.elapsed.as_secs_f64(),
        "thread_cpu_seconds": sum.processor.as_secs_f64(),
        "p50_ns": null,
        "p99_ns": null,
        "p999_ns": null,
        "p9999_ns": null,
        "max_ns": null,
        "syncs": sum.syncs,
        "floor_messages_per_second": null,
        "ratio_to_floor": null,
    });
    Ok(report.to_string())
}

/// What one burst took.
#[derive(Default)]
struct Figures {
    elapsed: Duration,
    /// Of the appending thread: on a busy machine it waits for a processor, too.
    processor: Duration,
    syncs: u64,
}

/// The processor time of this thread.
fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl Work<'_> {
    fn message(&self) -> Message<'_> {
        Message::new(TOPIC, &self.body)
    }

    fn burst(&self, path: &Path, options: &StoreOptions) -> Result<Figures> {
        let store = Store::open(path, options)?;
        let queue = store.queue(TOPIC, 0)?;
        self.append(&store, &queue, BEFORE)?;
        let before = store.stats().syncs;
        let (started, worked) = (Instant::now(), processor());
        self.append(&store, &queue, self.messages)?;
        let (elapsed, processor) = (started.elapsed(), processor().saturating_sub(worked));
        let syncs = store.stats().syncs - before;
        drop(queue);
        store.close()?;
        fs::remove_dir_all(path)?;
        Ok(Figures { elapsed, processor, syncs })
    }

    fn append(&self, store: &Store, queue: &QueueAppender, messages: usize) -> Result<()> {
        match self.way {
            "loop" => self.one_by_one(messages, |message| queue.append(message)),
            "named" => self.one_by_one(messages, |message| store.append(message)),
            "many" => self.many(store, messages),
            "flight" => self.in_flight(queue, messages),
            other => Err(format!("there is no way {other}").into()),
        }
    }

    fn one_by_one<T>(
        &self,
        messages: usize,
        append: impl Fn(&Message<'_>) -> cairnlog::Result<T>,
    ) -> Result<()> {
        let message = self.message();
        for _ in 0..messages {
            append(&message)?;
        }
        Ok(())
    }

    fn many(&self, store: &Store, messages: usize) -> Result<()> {
        let batch = vec![self.message(); MANY];
        let mut results = Vec::with_capacity(MANY);
        for _ in 0..messages / MANY {
            results.clear();
            store.append_many(&batch, &mut results)?;
        }
        Ok(())
    }

    fn in_flight(&self, queue: &QueueAppender, messages: usize) -> Result<()> {
        let places = Arc::new(Places::default());
        let sink: Arc<dyn CompletionSink> = Arc::clone(&places) as _;
        let message = self.message();
        let mut free = IN_FLIGHT;
        for _ in 0..messages {
            if free == 0 {
                free = places.take()?;
            }
            free -= 1;
            queue.append_to_sink(&message, &sink, 0)?;
        }
        while free < IN_FLIGHT {
            free += places.take()?;
        }
        Ok(())
    }
}

/// Counts the places that became free.
#[derive(Default)]
struct Places {
    state: Mutex<(usize, Option<cairnlog::Error>)>,
    changed: Condvar,
}

impl Places {
    /// Takes all free places, waiting until there is one.
    fn take(&self) -> Result<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.0 == 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match &state.1 {
            Some(failure) => Err(failure.clone().into()),
            None => Ok(std::mem::take(&mut state.0)),
        }
    }
}

impl CompletionSink for Places {
    fn complete(&self, group: Vec<Completion>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += group.len();
        for completion in group {
            if let Err(failure) = completion.result {
                state.1.get_or_insert(failure);
            }
        }
        self.changed.notify_one();
    }
}
