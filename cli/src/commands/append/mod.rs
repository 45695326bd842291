//! `append`: one message per input line.
//!
//! One thread reads the input ahead, `--threads` threads append, and with `--inflight` one thread
//! takes the completions. A line goes to `--acks` only after its message was acknowledged: after
//! the sync in a store with synchronous flush, and from the page cache in another.

mod acknowledgement;
mod input;
mod message;
mod window;
mod worker;

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cairnlog::{FlushMode, Store, StoreOptions};
use serde::Serialize;

use self::acknowledgement::{Acknowledgements, Totals};
use self::input::{InputProgress, Reader};
use self::message::Shared;
use self::window::Event;
use self::worker::{Stop, Worker};
use crate::arguments::{Append, Flush, Format};
use crate::failure::{Failure, Outcome, report};
use crate::latency::human;
use crate::{interrupt, progress};

/// Chunks read ahead.
const CHUNKS_AHEAD: usize = 16;
/// How often the main thread looks at Ctrl-C and the progress bar.
const LOOK: Duration = Duration::from_millis(50);
/// How long after Ctrl-C or a failure the threads may take to hand in what was acknowledged.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Runs the command.
pub(crate) fn run(command: &Append, mut options: StoreOptions) -> Outcome {
    check_usage(command)?;
    set_options(command, &mut options)?;
    input::check(&command.files)?;
    let max_line_bytes = max_line_bytes(command.format, options.max_message_size_bytes);
    let store = Arc::new(Store::open(&command.dir, &options)?);
    let acknowledgements = match Acknowledgements::new(command.acks.as_deref()) {
        Ok(acknowledgements) => Arc::new(acknowledgements),
        Err(failure) => {
            store.close()?;
            return Err(failure);
        }
    };
    let started = Instant::now();
    let appended = append_all(command, &store, &acknowledgements, max_line_bytes);
    let closed = store.close();
    let elapsed = started.elapsed();
    let (ran, empty_lines) = match appended {
        Ok(empty_lines) => (Ok(()), empty_lines),
        Err(failure) => (Err(failure), 0),
    };
    let summary = acknowledgements.totals(|totals| Summary::new(totals, elapsed, empty_lines));
    let written = match (&ran, summary) {
        (Err(Failure::ClosedPipe), _) | (_, None) => Ok(()),
        (_, Some(summary)) => summary.write(command),
    };
    ran?;
    closed?;
    written
}

fn check_usage(command: &Append) -> Outcome {
    if command.format == Format::Lines && command.topic.is_none() {
        return Err(Failure::Usage("wrong usage: lines need a topic: -t TOPIC".to_owned()));
    }
    if command.json && acks_to_stdout(command) {
        return Err(Failure::Usage(
            "wrong usage: --acks - and --json both claim standard output".to_owned(),
        ));
    }
    Ok(())
}

fn acks_to_stdout(command: &Append) -> bool {
    command.acks.as_deref() == Some(Path::new("-"))
}

fn set_options(command: &Append, options: &mut StoreOptions) -> Outcome {
    match command.flush {
        Some(Flush::Sync) => options.flush_mode = FlushMode::Sync,
        Some(Flush::Async) => options.flush_mode = FlushMode::Async,
        None => {}
    }
    if command.pool {
        options.transient_store_pool_enable = true;
    }
    let set = match &command.segment_size {
        Some(size) => options.set("segment_size_bytes", size),
        None => Ok(()),
    };
    set.and_then(|()| options.validate())
        .map_err(|error| Failure::Usage(format!("wrong usage: {error}")))
}

/// A text line is a body. In an object every byte may be written as six characters, and there is
/// more than the body.
fn max_line_bytes(format: Format, max_message_size_bytes: u32) -> usize {
    let body = usize::try_from(max_message_size_bytes).unwrap_or(usize::MAX);
    match format {
        Format::Lines => body,
        Format::Jsonl => body.saturating_mul(6).saturating_add(1 << 20),
    }
}

/// Returns the number of empty lines passed over.
fn append_all(
    command: &Append,
    store: &Arc<Store>,
    acknowledgements: &Arc<Acknowledgements>,
    max_line_bytes: usize,
) -> Result<u64, Failure> {
    let stop = Arc::new(Stop::default());
    let (chunk_sender, chunks) = sync_channel(CHUNKS_AHEAD);
    let chunks = Arc::new(Mutex::new(chunks));
    let (finished_sender, finished) = channel();
    let (event_sender, events) = channel();
    let worker = Worker {
        store: Arc::clone(store),
        shared: Shared::new(command),
        format: command.format,
        inflight: command.inflight as usize,
        chunks,
        acknowledgements: Arc::clone(acknowledgements),
        stop: Arc::clone(&stop),
        events: event_sender.clone(),
    };
    let mut running = 0;
    for _ in 0..command.threads {
        let (worker, finished) = (worker.clone(), finished_sender.clone());
        thread::spawn(move || finished.send(worker.run()));
        running += 1;
    }
    let acknowledged = {
        let (sender, acknowledged) = channel();
        let (stop, acknowledgements) = (Arc::clone(&stop), Arc::clone(acknowledgements));
        thread::spawn(move || sender.send(worker::acknowledge(&events, &acknowledgements, &stop)));
        acknowledged
    };
    drop(worker);
    let progress = Arc::new(InputProgress::default());
    let read = Arc::clone(&progress);
    let files = command.files.clone();
    thread::spawn(move || {
        finished_sender.send(Reader::new(chunk_sender, max_line_bytes, &read).run(&files))
    });
    running += 1;
    let bar = progress::bytes(input::total_bytes(&command.files), "appending");
    let shown = Arc::clone(&progress);
    let show = || bar.set_position(shown.bytes.load(Ordering::Relaxed));
    let appended = wait_for(running, &finished, &stop, show);
    // The workers waited for their completions, but an output that takes no more may hold some.
    let _ = event_sender.send(Event::End);
    let acknowledged = acknowledged
        .recv_timeout(if appended.is_ok() { Duration::MAX } else { STOP_GRACE })
        .unwrap_or(Ok(()));
    bar.finish_and_clear();
    appended.and(acknowledged)?;
    Ok(progress.empty_lines.load(Ordering::Relaxed))
}

/// Waits for this many threads and returns the first failure. After a failure or Ctrl-C the
/// reading thread is not waited for: it may sit in a read that nothing ends.
fn wait_for(
    mut running: usize,
    finished: &Receiver<Outcome>,
    stop: &Stop,
    show: impl Fn(),
) -> Outcome {
    let mut first: Outcome = Ok(());
    let mut deadline: Option<Instant> = None;
    while running > 0 {
        show();
        match finished.recv_timeout(LOOK) {
            Ok(outcome) => {
                running -= 1;
                if outcome.is_err() {
                    stop.stop();
                    if first.is_ok() {
                        first = outcome;
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if interrupt::interrupted() && deadline.is_none() {
            stop.stop();
            if first.is_ok() {
                first = Err(Failure::Interrupted);
            }
        }
        if stop.stopped() {
            let until = *deadline.get_or_insert_with(|| Instant::now() + STOP_GRACE);
            if running <= 1 && stop.workers() == 0 || Instant::now() >= until {
                break;
            }
        }
    }
    first
}

/// What the command did.
#[derive(Debug, Serialize)]
struct Summary {
    messages: u64,
    bytes: u64,
    seconds: f64,
    messages_per_second: f64,
    p50_ns: u64,
    p99_ns: u64,
    max_ns: u64,
    empty_lines: u64,
}

impl Summary {
    fn new(totals: &Totals, elapsed: Duration, empty_lines: u64) -> Self {
        let seconds = elapsed.as_secs_f64().max(1e-9);
        Self {
            messages: totals.messages,
            bytes: totals.body_bytes,
            seconds,
            messages_per_second: totals.messages as f64 / seconds,
            p50_ns: totals.latencies.quantile_ns(0.5),
            p99_ns: totals.latencies.quantile_ns(0.99),
            max_ns: totals.latencies.max_ns(),
            empty_lines,
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} messages, {} bytes, {:.0} messages/s, p50 {}, p99 {}, max {}",
            self.messages,
            self.bytes,
            self.messages_per_second,
            human(self.p50_ns),
            human(self.p99_ns),
            human(self.max_ns),
        );
        if self.empty_lines > 0 {
            text.push_str(&format!(", {} empty lines passed over", self.empty_lines));
        }
        text
    }

    /// Writes to standard output, or to standard error when the acknowledgements have that.
    fn write(&self, command: &Append) -> Outcome {
        if acks_to_stdout(command) {
            report(&self.text());
            return Ok(());
        }
        let line = if command.json {
            serde_json::to_string(self)
                .map_err(|error| Failure::failed("cannot write the summary", error))?
        } else {
            self.text()
        };
        writeln!(io::stdout().lock(), "{line}")
            .map_err(|error| Failure::write("cannot write to standard output", &error))
    }
}
