//! What reading by queue takes and gives besides messages: filters, outcomes, ranges.

use cairnlog::{QueueOffset, TimeBoundary};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::sync::PyOnceLock;

use crate::blocking;
use crate::errors::{OrRaise, invalid_argument};
use crate::view::MessageView;

static READ_OUTCOME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Number and name of what came of reading the log at its end; the queues' outcomes are below 100.
pub(crate) const END_OF_LOG: (i32, &str) = (100, "END_OF_LOG");

/// The member of `cairnlog.ReadOutcome` with a number.
pub(crate) fn outcome(py: Python<'_>, number: i32) -> PyResult<Bound<'_, PyAny>> {
    READ_OUTCOME.import(py, "cairnlog.outcome", "ReadOutcome")?.call1((number,))
}

/// Which messages a reader wants. A filter is made once and used for any number of reads, by any
/// thread; its text is the expression it was made from.
///
/// >>> filter = cairnlog.Filter.sql("price BETWEEN 10 AND 20 AND region IN ('north', 'west')")
/// >>> with cairnlog.Store.open(directory, flush_mode="sync") as store:
/// ...     placed = store.append("orders", b"x", properties={"price": "15", "region": "west"})
/// ...     filter.matches(store.read_at(placed.physical_offset))
/// True
#[pyclass(frozen, module = "cairnlog")]
pub(crate) struct Filter(cairnlog::Filter);

#[pymethods]
impl Filter {
    /// Wants every message.
    #[staticmethod]
    fn all() -> Self {
        Self(cairnlog::Filter::all())
    }

    /// Wants messages with one of the tags in "A || B || C"; "*" and "" want all. FilterError if
    /// the expression names no tag, or is longer than 64 KiB.
    #[staticmethod]
    fn tags(py: Python<'_>, expression: &str) -> PyResult<Self> {
        Ok(Self(cairnlog::Filter::tags(expression).or_raise(py)?))
    }

    /// Wants messages for whose properties a condition is true, as RocketMQ's SQL92 filters:
    /// AND, OR, NOT and parentheses; =, <>, <, <=, >, >=; BETWEEN, IN, CONTAINS, STARTSWITH,
    /// ENDSWITH and their NOT forms; IS NULL, IS NOT NULL; numbers, 'text', TRUE and FALSE.
    ///
    /// A property that is missing, or is text where a number is asked for, makes no condition true.
    /// TAGS and KEYS are properties, too. FilterError if the expression is malformed, its `offset`
    /// then says where, or is longer than 64 KiB.
    #[staticmethod]
    fn sql(py: Python<'_>, expression: &str) -> PyResult<Self> {
        let parsed = blocking::run(py, || cairnlog::Filter::sql(expression));
        Ok(Self(parsed.or_raise(py)?))
    }

    /// Whether every message is wanted.
    #[getter]
    fn is_all(&self) -> bool {
        self.0.is_all()
    }

    /// Whether the message is wanted.
    fn matches(&self, message: &MessageView) -> bool {
        self.0.matches(message.engine())
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("Filter({:?})", self.0.to_string())
    }
}

/// A filter as an argument: a `Filter`, or the text of a tag expression.
#[derive(FromPyObject)]
pub(crate) enum FilterArgument<'py> {
    Made(Bound<'py, Filter>),
    Tags(PyBackedStr),
}

/// The engine's filter; without an argument, every message.
pub(crate) fn filter(
    py: Python<'_>,
    argument: Option<FilterArgument<'_>>,
) -> PyResult<cairnlog::Filter> {
    match argument {
        None => Ok(cairnlog::Filter::all()),
        Some(FilterArgument::Made(filter)) => Ok(filter.get().0.clone()),
        Some(FilterArgument::Tags(expression)) => cairnlog::Filter::tags(&expression).or_raise(py),
    }
}

/// An index in a queue, which has 63 bits.
pub(crate) fn queue_offset(py: Python<'_>, offset: u64) -> PyResult<QueueOffset> {
    let most = i64::MAX;
    i64::try_from(offset).ok().and_then(QueueOffset::from_i64).ok_or_else(|| {
        invalid_argument(py, format!("an index in a queue is at most {most}: found {offset}"))
    })
}

/// The boundary with this name.
pub(crate) fn boundary(py: Python<'_>, name: &str) -> PyResult<TimeBoundary> {
    match name {
        "lower" => Ok(TimeBoundary::Lower),
        "upper" => Ok(TimeBoundary::Upper),
        _ => Err(invalid_argument(
            py,
            format!("a time boundary is \"lower\" or \"upper\": found {name:?}"),
        )),
    }
}

/// The messages a queue holds.
#[pyclass(frozen, get_all, eq, hash, module = "cairnlog")]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct QueueRange {
    /// The index of the first message.
    pub(crate) first: u64,
    /// The index that comes after the last message.
    pub(crate) next: u64,
}

#[pymethods]
impl QueueRange {
    fn __repr__(&self) -> String {
        format!("QueueRange(first={}, next={})", self.first, self.next)
    }
}
