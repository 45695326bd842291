//! What the engine's files need of the rest of the engine.

/// In the place of the engine's error: only whether there is one counts here.
pub(crate) mod error {
    use std::borrow::Cow;
    use std::fmt;
    use std::io;

    use super::status::Status;

    pub(crate) type Result<T> = std::result::Result<T, Error>;

    #[derive(Debug, Clone)]
    pub(crate) struct Error(Cow<'static, str>);

    impl Error {
        pub(crate) fn new(_status: Status, what: impl Into<Cow<'static, str>>) -> Self {
            Self(what.into())
        }

        pub(crate) fn io(what: impl Into<Cow<'static, str>>, _source: io::Error) -> Self {
            Self(what.into())
        }

        pub(crate) fn with_status(self, _status: Status) -> Self {
            self
        }
    }

    impl fmt::Display for Error {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(&self.0)
        }
    }
}

/// In the place of the engine's table of statuses.
pub(crate) mod status {
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Status {
        StoreClosed,
        OutOfMemory,
        Internal,
    }
}

/// In the place of the engine's system calls.
pub(crate) mod sys {
    /// No model forks.
    pub(crate) fn forked_while_open() -> bool {
        false
    }

    pub(crate) mod disk {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Access {
            Read,
            Write,
        }
    }
}

/// In the place of the engine's options.
pub(crate) mod options {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum AppendLockKind {
        Mutex,
        Spin,
        Adaptive,
    }
}
