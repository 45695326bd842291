//! What `verify` finds: a line of text, or a JSON object, each.

use std::path::Path;

use cairnlog::Error;
use serde::Serialize;

use crate::failure::Outcome;
use crate::output::Output;

/// One thing that is not as it should be.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    kind: &'static str,
    what: String,
    file: Option<String>,
    offset: Option<u64>,
    expected: Option<String>,
    found: Option<String>,
}

impl Finding {
    /// A finding of some kind, in words.
    pub(crate) fn new(kind: &'static str, what: &str) -> Self {
        Self { kind, what: what.to_owned(), file: None, offset: None, expected: None, found: None }
    }

    /// What the engine says about damaged data. Its text names file and values already.
    pub(crate) fn of_error(kind: &'static str, error: &Error) -> Self {
        Self {
            file: error.path().map(|path| path.display().to_string()),
            offset: error.offset(),
            ..Self::new(kind, &error.to_string())
        }
    }

    /// Names the file.
    pub(crate) fn path(mut self, path: &Path) -> Self {
        self.file = Some(path.display().to_string());
        self
    }

    /// Names the place: a physical offset for the log, else a position in the file.
    pub(crate) fn offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Says what should be there and what is.
    pub(crate) fn differs(mut self, expected: impl ToString, found: impl ToString) -> Self {
        self.expected = Some(expected.to_string());
        self.found = Some(found.to_string());
        self
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // The engine's own sentences begin with the file and have everything in them.
        let complete = self.file.as_ref().is_some_and(|file| self.what.starts_with(file.as_str()));
        if let Some(file) = self.file.as_ref().filter(|_| !complete) {
            text.push_str(&format!("{file}: "));
        }
        text.push_str(&self.what);
        if let Some(offset) = self.offset.filter(|_| !complete) {
            text.push_str(&format!(" at {offset}"));
        }
        if let (Some(expected), Some(found)) = (&self.expected, &self.found) {
            text.push_str(&format!(": expected {expected}, found {found}"));
        }
        text
    }
}

/// Prints findings as they come and counts them.
pub(crate) struct Findings {
    json: bool,
    output: Output,
    count: u64,
}

impl Findings {
    /// None yet.
    pub(crate) fn new(json: bool, output: Output) -> Self {
        Self { json, output, count: 0 }
    }

    /// Prints one.
    pub(crate) fn add(&mut self, finding: Finding) -> Outcome {
        self.count += 1;
        if self.json {
            return self.output.json(&finding);
        }
        self.output.line(finding.text())
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Gives the output back.
    pub(crate) fn into_output(self) -> Output {
        self.output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_file_offset_expected_and_found() {
        let finding = Finding::new("unit", "the unit is wrong")
            .path(Path::new("q/0"))
            .offset(20)
            .differs(1, 2);
        assert_eq!(finding.text(), "q/0: the unit is wrong at 20: expected 1, found 2");
        let error = Error::new(cairnlog::Status::Corruption, "bad magic")
            .at_path("commitlog/0")
            .at_offset(7)
            .expected("a", "b");
        assert_eq!(Finding::of_error("record", &error).text(), error.to_string());
    }
}
