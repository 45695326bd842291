//! The commit log: appending under one lock, walking, recovering.

mod append;
mod append_lock;
pub(crate) mod next_offsets;
mod prepare;
mod reader;
pub(crate) mod recover;
mod scan;
mod topics;
mod walk;
mod walk_files;

pub(crate) use append::{Appender, CommitLog, CommitLogParts, Publish};
#[cfg(feature = "fuzzing")]
pub(crate) use prepare::properties_of;
pub(crate) use prepare::{Delayed, Preparer, check_queue_id, check_topic, waits};
pub use reader::{Entries, LogEntry, LogFile, LogReader};
pub(crate) use reader::{check_places, open_listed, open_read_only, paths_of};
pub use scan::{Batch, MessageView, Scan};
pub(crate) use scan::{FollowLog, defect_at, open_scan, read_at, read_log};
pub(crate) use topics::{QueueState, TopicTable};
pub(crate) use walk::{Found, Walk, check_pages, view};
