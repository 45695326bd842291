//! What a store tells about itself.

use std::collections::HashMap;
use std::path::PathBuf;

use pyo3::prelude::*;

/// The positions of the log in bytes, each moved only forward.
#[pyclass(frozen, get_all, eq, module = "cairnlog")]
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Positions {
    /// The first readable byte.
    pub(crate) min_offset: u64,
    /// One past the last readable byte.
    pub(crate) max_offset: u64,
    /// Everything below survives the death of the process.
    pub(crate) committed_offset: u64,
    /// Everything below survives a power cut.
    pub(crate) durable_offset: u64,
}

#[pymethods]
impl Positions {
    fn __repr__(&self) -> String {
        format!(
            "Positions(min_offset={}, max_offset={}, committed_offset={}, durable_offset={})",
            self.min_offset, self.max_offset, self.committed_offset, self.durable_offset
        )
    }
}

/// What opening a store found and did, or would do.
#[pyclass(frozen, get_all, eq, module = "cairnlog")]
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct RecoveryReport {
    /// Whether the directory held no store before.
    pub(crate) created: bool,
    /// Whether the store was closed properly the last time.
    pub(crate) clean_stop: bool,
    /// The number of commit log files.
    pub(crate) files: u64,
    /// The records walked.
    pub(crate) records: u64,
    /// Where the log begins.
    pub(crate) min_offset: u64,
    /// Where the log ends, after what was cut.
    pub(crate) end_offset: u64,
    /// What was wrong at the end, if there was something behind it.
    pub(crate) damage: Option<String>,
    /// Bytes copied to `lost+found` and then set to zero.
    pub(crate) bytes_set_aside: u64,
    /// The file they were copied to.
    pub(crate) set_aside: Option<PathBuf>,
    /// Files behind the end that were removed.
    pub(crate) files_removed: u64,
    /// How long it took, in seconds.
    pub(crate) duration_seconds: f64,
}

impl From<&cairnlog::RecoveryReport> for RecoveryReport {
    fn from(report: &cairnlog::RecoveryReport) -> Self {
        Self {
            created: report.created,
            clean_stop: report.clean_stop,
            files: report.files,
            records: report.records,
            min_offset: report.min_offset.get(),
            end_offset: report.end_offset.get(),
            bytes_set_aside: report.bytes_set_aside,
            set_aside: report.set_aside.clone(),
            damage: report.damage.clone(),
            files_removed: report.files_removed,
            duration_seconds: report.duration.as_secs_f64(),
        }
    }
}

#[pymethods]
impl RecoveryReport {
    fn __repr__(&self) -> String {
        format!(
            "RecoveryReport(clean_stop={}, files={}, records={}, end_offset={}, \
             bytes_set_aside={}, duration_seconds={:.6})",
            if self.clean_stop { "True" } else { "False" },
            self.files,
            self.records,
            self.end_offset,
            self.bytes_set_aside,
            self.duration_seconds
        )
    }
}

/// What was appended to one topic since the store was opened.
#[pyclass(frozen, get_all, eq, module = "cairnlog")]
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct TopicStats {
    /// Messages appended.
    pub(crate) messages: u64,
    /// Bytes of their records.
    pub(crate) bytes: u64,
}

#[pymethods]
impl TopicStats {
    fn __repr__(&self) -> String {
        format!("TopicStats(messages={}, bytes={})", self.messages, self.bytes)
    }
}

/// Counters since the store was opened.
#[pyclass(frozen, get_all, eq, module = "cairnlog")]
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct StoreStats {
    /// Messages appended.
    pub(crate) messages: u64,
    /// Bytes of their records.
    pub(crate) bytes: u64,
    /// Appends that were refused.
    pub(crate) refused: u64,
    /// Syncs to the device.
    pub(crate) syncs: u64,
    /// Appends by the time they took, in the classes of RocketMQ's store statistics.
    pub(crate) append_latency_counts: Vec<u64>,
    /// The longest append, in milliseconds.
    pub(crate) append_latency_max_ms: u64,
    /// Delayed messages that were put into their queues.
    pub(crate) delayed_delivered: u64,
    /// Delayed messages that were passed over when their time had come, because they can never be
    /// put into a queue.
    pub(crate) delayed_undeliverable: u64,
    /// The topics appended to.
    pub(crate) topics: HashMap<String, TopicStats>,
}

impl From<cairnlog::StoreStats> for StoreStats {
    fn from(stats: cairnlog::StoreStats) -> Self {
        let topic = |topic: cairnlog::TopicStats| {
            (topic.topic, TopicStats { messages: topic.messages, bytes: topic.bytes })
        };
        Self {
            messages: stats.messages,
            bytes: stats.bytes,
            refused: stats.refused,
            syncs: stats.syncs,
            append_latency_counts: stats.append_latency_counts.to_vec(),
            append_latency_max_ms: stats.append_latency_max_ms,
            delayed_delivered: stats.delayed_delivered,
            delayed_undeliverable: stats.delayed_undeliverable,
            topics: stats.topics.into_iter().map(topic).collect(),
        }
    }
}

#[pymethods]
impl StoreStats {
    fn __repr__(&self) -> String {
        format!(
            "StoreStats(messages={}, bytes={}, refused={}, syncs={})",
            self.messages, self.bytes, self.refused, self.syncs
        )
    }
}

/// How far a group has come with one queue.
#[pyclass(frozen, get_all, eq, hash, module = "cairnlog")]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct GroupProgress {
    /// The topic.
    pub(crate) topic: String,
    /// The queue.
    pub(crate) queue_id: i32,
    /// The index the group consumes next.
    pub(crate) committed: u64,
    /// The index of the queue's first message.
    pub(crate) min_offset: u64,
    /// The index that comes after the queue's last message.
    pub(crate) max_offset: u64,
    /// Messages of the queue that the group has not consumed.
    pub(crate) lag: u64,
}

impl From<cairnlog::GroupProgress> for GroupProgress {
    fn from(progress: cairnlog::GroupProgress) -> Self {
        Self {
            lag: progress.lag(),
            queue_id: progress.queue_id,
            committed: progress.committed.get(),
            min_offset: progress.min_offset.get(),
            max_offset: progress.max_offset.get(),
            topic: progress.topic,
        }
    }
}

#[pymethods]
impl GroupProgress {
    fn __repr__(&self) -> String {
        format!(
            "GroupProgress({:?}, {}, committed={}, min_offset={}, max_offset={}, lag={})",
            self.topic, self.queue_id, self.committed, self.min_offset, self.max_offset, self.lag
        )
    }
}

/// What was removed from the commit log. The space is free once nothing read from it is kept.
#[pyclass(frozen, get_all, eq, hash, module = "cairnlog")]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct RemovedFiles {
    /// Commit log files.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl From<cairnlog::RemovedFiles> for RemovedFiles {
    fn from(removed: cairnlog::RemovedFiles) -> Self {
        Self { files: removed.files, bytes: removed.bytes }
    }
}

#[pymethods]
impl RemovedFiles {
    fn __repr__(&self) -> String {
        format!("RemovedFiles(files={}, bytes={})", self.files, self.bytes)
    }
}
