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
