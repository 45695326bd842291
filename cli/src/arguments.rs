//! The command line, as the user types it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use cairnlog::{Filter, StartFrom};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure::{self, Failure};

/// Append to, read, inspect, verify, recover and measure cairnlog stores: message logs in the
/// file format of Apache RocketMQ.
#[derive(Debug, Parser)]
#[command(name = "cairnlog", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Read store options from FILE, by RocketMQ's own property names (broker.conf)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) conf: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Append one message per input line
    Append(Append),
    /// Print message bodies, one per line
    Cat(Cat),
    /// Find messages by key or id
    Query(Query),
    /// Print messages as a member of a consumer group, which goes on there next time
    Consume(Consume),
    /// List topics and their queues
    Topics(Topics),
    /// Show how far each group has consumed, and how much it has left
    Groups(Groups),
    /// Show the delayed messages that wait, by level
    Delays(Delays),
    /// Remove old files of the log, and what the queues have for them
    Retain(Retain),
    /// Show what a store holds; creates, locks and changes nothing
    Inspect(Inspect),
    /// Check everything in a store; creates, locks and changes nothing
    Verify(Verify),
    /// Do what opening a store does after a crash, and report it
    Recover(Recover),
    /// Measure appends
    Bench(Bench),
}

/// When an append is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flush {
    /// Once synced to the device
    Sync,
    /// Once in the page cache
    Async,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The body is the line
    Lines,
    /// One JSON object per line
    Jsonl,
}

/// While the store is open for the command, it does what open stores do: delayed messages whose
/// time has come, also those of earlier runs, are delivered to their queues.
#[derive(Debug, Args)]
pub(crate) struct Append {
    /// The store's directory; made if it does not exist
    pub(crate) dir: PathBuf,
    /// The topic; with --format jsonl for the objects that name none
    #[arg(short, long, required_unless_present = "format")]
    pub(crate) topic: Option<String>,
    /// The queue inside the topic
    #[arg(short, long, value_name = "N", conflicts_with = "queues", default_value_t = 0,
          value_parser = clap::value_parser!(i32).range(0..))]
    pub(crate) queue: i32,
    /// Use the queues 0 to N-1 in turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) queues: Option<u32>,
    /// The tag of every message
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// The keys of every message; the next option, or --, ends them
    #[arg(long, value_name = "K", num_args = 1..)]
    pub(crate) keys: Vec<String>,
    /// Messages come to their queue after this delay: a level of --conf or RocketMQ's (1 is 1s, 18
    /// is 2h), 0 for none. A store delivers them while it is open
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) delay_level: u32,
    /// When an append is acknowledged
    #[arg(long)]
    pub(crate) flush: Option<Flush>,
    /// Append to locked private buffers first (transient store pool)
    #[arg(long)]
    pub(crate) pool: bool,
    /// Appends of a thread that may wait for their acknowledgement at the same time
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) inflight: u32,
    /// Appending threads; with more than one, messages are stored in no particular order
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: u32,
    /// Do not wait for the sync of a store with synchronous flush
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Size of the log files of a new store, as in 64M
    #[arg(long, value_name = "SIZE")]
    pub(crate) segment_size: Option<String>,
    /// What an input line holds
    #[arg(long, default_value = "lines")]
    pub(crate) format: Format,
    /// Write `line physical_offset queue_id queue_offset` here after each acknowledgement
    #[arg(long, value_name = "FILE|-")]
    pub(crate) acks: Option<PathBuf>,
    /// Print the summary as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Input; standard input without FILE, or for -
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// The store's directory
    pub(crate) dir: PathBuf,
    /// Only this topic
    #[arg(short, long)]
    pub(crate) topic: Option<String>,
    /// Only this queue; with -t in queue order
    #[arg(short, long, value_name = "N", requires = "topic")]
    pub(crate) queue: Option<i32>,
    /// Start at this physical offset, the beginning of a record
    #[arg(long, value_name = "PHYS")]
    pub(crate) from_offset: Option<u64>,
    /// Start at this index of the queue
    #[arg(long, value_name = "N", requires = "queue")]
    pub(crate) from_queue_offset: Option<u64>,
    /// Start at the first message stored at this time, in milliseconds since 1970, or later
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    pub(crate) from_time: Option<i64>,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// Print at most N messages
    #[arg(long, value_name = "N")]
    pub(crate) max: Option<u64>,
    /// Wait for new messages until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print one JSON object per message, as append --format jsonl takes it
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which messages are wanted.
#[derive(Debug, Args)]
pub(crate) struct FilterArguments {
    /// Only messages with one of these tags, as in 'new || paid'
    #[arg(long, value_name = "EXPR", conflicts_with = "sql")]
    pub(crate) tag: Option<String>,
    /// Only messages whose properties fulfil this condition, as in "price > 5 AND region = 'x'"
    #[arg(long, value_name = "EXPR")]
    pub(crate) sql: Option<String>,
}

impl FilterArguments {
    /// The filter; a malformed expression is wrong usage.
    pub(crate) fn filter(&self) -> Result<Filter, Failure> {
        let parsed = match (&self.tag, &self.sql) {
            (Some(tags), _) => Filter::tags(tags),
            (None, Some(condition)) => Filter::sql(condition),
            (None, None) => Ok(Filter::all()),
        };
        parsed.map_err(|error| Failure::Usage(format!("wrong usage: {error}")))
    }
}

/// Prints the bodies of the messages found, one per line, in the order of the log. It reads the
/// key index of the store and changes nothing.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("wanted").required(true))]
pub(crate) struct Query {
    /// The store's directory
    pub(crate) dir: PathBuf,
    /// The topic; with --id only a message of this topic
    #[arg(short, long, required_unless_present = "id")]
    pub(crate) topic: Option<String>,
    /// Messages with this key, or with this unique key of a RocketMQ client
    #[arg(long, group = "wanted")]
    pub(crate) key: Option<String>,
    /// The message with this id: RocketMQ's offset message id, or the unique key of its client;
    /// exit status 1 if there is none
    #[arg(long, value_name = "MESSAGE_ID", group = "wanted",
          conflicts_with_all = ["begin", "end", "max"])]
    pub(crate) id: Option<String>,
    /// Stored at this time, in milliseconds since 1970, or later
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) begin: i64,
    /// Stored at this time or before
    #[arg(long, value_name = "MS", default_value_t = i64::MAX, hide_default_value = true)]
    pub(crate) end: i64,
    /// At most the newest N messages
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max: u32,
    /// Print one JSON object per message, as cat --json does
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the bodies of the messages that the group has not had, one per line, and takes each for
/// consumed once it was printed. The group goes on behind it next time; after a crash it may get
/// a few again. It opens the store, which nobody else may have in use, and delivers delayed
/// messages whose time has come.
#[derive(Debug, Args)]
pub(crate) struct Consume {
    /// The store's directory
    pub(crate) dir: PathBuf,
    /// The consumer group
    #[arg(short, long)]
    pub(crate) group: String,
    /// A topic; may be given several times
    #[arg(short, long = "topic", value_name = "TOPIC", required = true)]
    pub(crate) topics: Vec<String>,
    /// Where a queue is begun of which the group has consumed nothing yet: at the first message,
    /// behind the last, or at a store time in milliseconds
    #[arg(long, value_name = "first|last|@TIME_MS", default_value = "first",
          value_parser = parse_from)]
    pub(crate) from: StartFrom,
    /// Consume at most N messages
    #[arg(long, value_name = "N")]
    pub(crate) max: Option<u64>,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// Wait for more messages until Ctrl-C
    #[arg(long, conflicts_with = "timeout")]
    pub(crate) follow: bool,
    /// Wait for more messages until none came for so many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) timeout: u64,
    /// Print one JSON object per message, as cat --json does
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_from(text: &str) -> Result<StartFrom, String> {
    match parse_reset(text) {
        Ok(ResetTo::First) => Ok(StartFrom::First),
        Ok(ResetTo::Last) => Ok(StartFrom::Last),
        Ok(ResetTo::TimeMs(time_ms)) => Ok(StartFrom::Timestamp(time_ms)),
        Ok(ResetTo::Offset(_)) | Err(_) => Err("first, last, or @ and a time".to_owned()),
    }
}

/// Removes files of the log, whole and oldest first, and what the queues have for them. The newest
/// file always stays. Only the rules that are given count; without any, those of --conf or
/// RocketMQ's: files older than 72 hours. It opens the store, which nobody else may have in use;
/// nothing else happens to it meanwhile.
#[derive(Debug, Args)]
pub(crate) struct Retain {
    /// The store's directory
    pub(crate) dir: PathBuf,
    /// Remove files whose newest message was stored at least so many hours ago
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u64).range(..=MAX_HOURS))]
    pub(crate) max_age: Option<u64>,
    /// Remove files until the log has at most this size, as in 64M
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_bytes: Option<usize>,
    /// Remove files that end at or in front of this physical offset
    #[arg(long, value_name = "OFFSET")]
    pub(crate) before: Option<u64>,
    /// Report only; change nothing. The store may be in use
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The most hours that a store takes for an age.
pub(crate) const MAX_HOURS: u64 = 8_760_000;

/// One line per queue: topic, queue id, first and next queue offset, messages, store time of the
/// last message, and from config/topics.json the permission (4 read, 2 write) and the numbers of
/// read and write queues. What is not known is a dash, in JSON null.
#[derive(Debug, Args)]
pub(crate) struct Topics {
    /// The store's directory
    pub(crate) dir: PathBuf,
    /// One JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// One line per group and queue: group, topic, queue id, the queue offset the group consumes
/// next, first and next offset of the queue, and the messages that the group has left. What is
/// not known is a dash, in JSON null. Only --reset-to changes anything; it opens the store, which
/// nobody else may have in use.
#[derive(Debug, Args)]
pub(crate) struct Groups {
    /// The store's directory
    pub(crate) dir: PathBuf,
    /// Only this group
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// Only this topic
    #[arg(short, long)]
    pub(crate) topic: Option<String>,
    /// Only this queue
    #[arg(short, long, value_name = "N", requires = "topic")]
    pub(crate) queue: Option<i32>,
    /// Let the group go on there in every queue of the topic, or in the one of --queue: at the
    /// first or behind the last message, at a queue offset, or at a store time in milliseconds
    #[arg(long, value_name = "first|last|OFFSET|@TIME_MS", requires = "group", requires = "topic",
          value_parser = parse_reset)]
    pub(crate) reset_to: Option<ResetTo>,
    /// One JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a group is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResetTo {
    /// At the first message.
    First,
    /// Behind the last message.
    Last,
    /// At this queue offset.
    Offset(u64),
    /// At the message stored around this time.
    TimeMs(i64),
}

fn parse_reset(text: &str) -> Result<ResetTo, String> {
    let parsed = match (text, text.strip_prefix('@')) {
        ("first", _) => Some(ResetTo::First),
        ("last", _) => Some(ResetTo::Last),
        (_, Some(time)) => time.parse().ok().map(ResetTo::TimeMs),
        (offset, None) => offset.parse().ok().map(ResetTo::Offset),
    };
    parsed.ok_or_else(|| "first, last, a queue offset, or @ and a time".to_owned())
}

/// One line per delay level: level, delay in milliseconds, the queue offset that is delivered
/// next, messages that wait, and when the next of them is due, in milliseconds since 1970. The
/// levels are those of --conf or RocketMQ's. What is not known is a dash, in JSON null.
#[derive(Debug, Args)]
pub(crate) struct Delays {
    /// The store's directory
    pub(crate) dir: PathBuf,
    /// One JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `inspect` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// Every record and blank of the log
    Records,
    /// The log's files
    Files,
    /// Consume queue files
    Queues,
    /// Key index files
    Index,
    /// The checkpoint file
    Checkpoint,
    /// What the log holds per topic and queue
    Topics,
}

/// Slots and entries of index files. Without them they are found out from the file.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct IndexSizes {
    /// Hash slots of an index file (RocketMQ: maxHashSlotNum)
    #[arg(long, value_name = "N", requires = "index_items",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) index_slots: Option<u32>,
    /// Entries of an index file (RocketMQ: maxIndexNum)
    #[arg(long, value_name = "N", requires = "index_slots",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) index_items: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The store's directory
    pub(crate) dir: PathBuf,
    /// What to show
    pub(crate) view: View,
    /// One JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
    /// With queues: every unit; with index: every entry
    #[arg(long)]
    pub(crate) entries: bool,
    #[command(flatten)]
    pub(crate) index_sizes: IndexSizes,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The store's directory
    pub(crate) dir: PathBuf,
    /// One JSON object per finding, and one for the summary
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) index_sizes: IndexSizes,
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// The store's directory
    pub(crate) dir: PathBuf,
    /// Report only; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Cut the log at a damaged record even if good ones lie behind it; what is cut goes to
    /// lost+found
    #[arg(long)]
    pub(crate) truncate: bool,
    /// Print the report as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Where to measure, in a directory of its own that is removed afterwards; default is the
    /// current directory
    pub(crate) dir: Option<PathBuf>,
    /// Whether appends are acknowledged from the page cache or after the sync
    #[arg(long, default_value = "async")]
    pub(crate) mode: Flush,
    /// Bytes of a body, as in 1024 or 4K
    #[arg(long, value_name = "N", default_value = "1024", value_parser = parse_size)]
    pub(crate) size: usize,
    /// Appending threads
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: u32,
    /// Appends of a thread that may wait for their acknowledgement at the same time
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) inflight: u32,
    /// How long to measure
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = parse_seconds)]
    pub(crate) seconds: f64,
    /// Measure the raw limit in turns with the appends: copy and CRC for async, pwrite and
    /// fdatasync for sync
    #[arg(long)]
    pub(crate) floor: bool,
    /// Print the result as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_size(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.get(..at), 10),
        Some((at, 'm' | 'M')) => (text.get(..at), 20),
        Some((at, 'g' | 'G')) => (text.get(..at), 30),
        _ => (Some(text), 0),
    };
    let number: Option<usize> = digits.and_then(|digits| digits.parse().ok());
    match number.and_then(|number| number.checked_mul(1 << shift)) {
        Some(size) if size > 0 => Ok(size),
        _ => Err("a size from 1 on, as in 1024 or 4K".to_owned()),
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("a number of seconds above 0, at most 86400".to_owned()),
    }
}

/// The command line, or the exit status when there is nothing to run.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    let error = match Arguments::try_parse() {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error,
    };
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = io::stdout().lock().write_all(text.as_bytes());
            Err(ExitCode::SUCCESS)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            failure::report("no command given: see cairnlog --help");
            Err(ExitCode::from(2))
        }
        _ => {
            failure::report(&one_line(&text));
            Err(ExitCode::from(2))
        }
    }
}

/// The cause out of clap's several paragraphs.
fn one_line(text: &str) -> String {
    let cause: Vec<&str> =
        text.split("\n\n").next().unwrap_or(text).lines().map(str::trim).collect();
    let cause = cause.join(" ");
    let cause = cause.strip_prefix("error: ").unwrap_or(&cause);
    format!("wrong usage: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_usage_error_is_one_line() {
        let error = Arguments::try_parse_from(["cairnlog", "append"]).unwrap_err();
        let line = one_line(&error.render().to_string());
        assert!(!line.contains('\n'));
        assert!(line.starts_with("wrong usage: "), "{line}");
        assert!(line.contains("<DIR>"), "{line}");
    }

    #[test]
    fn sizes_and_seconds_have_limits() {
        assert_eq!(parse_size("4K"), Ok(4096));
        assert!(parse_size("0").is_err());
        assert!(parse_size("x").is_err());
        assert_eq!(parse_seconds("0.5"), Ok(0.5));
        assert!(parse_seconds("0").is_err());
        assert!(parse_seconds("NaN").is_err());
    }
}
