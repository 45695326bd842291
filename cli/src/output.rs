//! Standard output: buffered, one line per thing, a closed pipe told apart from other errors.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use crate::failure::{Failure, Outcome};

/// Lines on standard output.
pub(crate) struct Output {
    writer: BufWriter<Stdout>,
}

impl Output {
    /// Takes standard output.
    pub(crate) fn new() -> Self {
        Self { writer: BufWriter::with_capacity(64 * 1024, io::stdout()) }
    }

    /// Writes text and a newline.
    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> Outcome {
        writeln!(self.writer, "{text}").map_err(|error| cannot_write(&error))
    }

    /// Writes bytes and a newline.
    pub(crate) fn bytes_line(&mut self, bytes: &[u8]) -> Outcome {
        self.writer
            .write_all(bytes)
            .and_then(|()| self.writer.write_all(b"\n"))
            .map_err(|error| cannot_write(&error))
    }

    /// Writes one JSON object and a newline.
    pub(crate) fn json(&mut self, object: &impl Serialize) -> Outcome {
        serde_json::to_writer(&mut self.writer, object)
            .map_err(io::Error::from)
            .and_then(|()| self.writer.write_all(b"\n"))
            .map_err(|error| cannot_write(&error))
    }

    /// Hands over what is buffered.
    pub(crate) fn flush(&mut self) -> Outcome {
        self.writer.flush().map_err(|error| cannot_write(&error))
    }
}

/// What is not known is a dash.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn cannot_write(error: &io::Error) -> Failure {
    Failure::write("cannot write to standard output", error)
}
