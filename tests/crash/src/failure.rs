//! What can be wrong with a store after a kill.

use std::fmt;

/// The kind of a failure, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A message that was to survive is not there.
    AcknowledgedLost,
    /// A record's body, tag or key is not what was appended.
    WrongBytes,
    /// Indexes of a queue do not follow each other.
    QueueGap,
    /// A position or an index was given to another message again.
    Reused,
    /// An append was acknowledged before it was as safe as its mode says.
    FalseAcknowledgement,
    /// Messages of a thread are there twice, or not in their order.
    Order,
    /// Queues or index do not say what the log says.
    Derived,
    /// `cairnlog verify` found something.
    VerifyFinding,
    /// The store cannot be opened or read.
    Refused,
    /// A writer hangs.
    Hang,
    /// A writer failed, or said what it should not.
    Host,
    /// The test itself could not go on.
    Driver,
}

impl Kind {
    /// All of them, so that each is counted, also when it did not come.
    pub(crate) const ALL: [Self; 12] = [
        Self::AcknowledgedLost,
        Self::WrongBytes,
        Self::QueueGap,
        Self::Reused,
        Self::FalseAcknowledgement,
        Self::Order,
        Self::Derived,
        Self::VerifyFinding,
        Self::Refused,
        Self::Hang,
        Self::Host,
        Self::Driver,
    ];
}

/// Something that is wrong.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    text: String,
}

/// Or nothing is.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(crate) fn driver(text: impl Into<String>) -> Self {
        Self::new(Kind::Driver, text)
    }

    /// Adds what else is known.
    pub(crate) fn and(mut self, text: &str) -> Self {
        self.text = format!("{}; {text}", self.text);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::driver(error.to_string())
    }
}

impl From<cairnlog::Error> for Failure {
    fn from(error: cairnlog::Error) -> Self {
        Self::new(Kind::Refused, error.to_string())
    }
}
