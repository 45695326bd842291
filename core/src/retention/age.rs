//! How old a file of the log is.

use std::time::UNIX_EPOCH;

use crate::codec::record::CrcCheck;
use crate::commit_log::{Found, Walk, view};
use crate::mapped::{MappedFile, MappedFileQueue};

/// What was found out about the oldest file, which is looked at in every round.
#[derive(Debug, Default)]
pub(super) struct NewestTime {
    /// Where the file starts, and the time of its newest message.
    known: Option<(u64, Option<i64>)>,
}

impl NewestTime {
    /// Whether everything in a file was stored at or before a time. `next` is the file behind it.
    ///
    /// The first messages of both files mostly tell; else the file is walked, once, unless `stop`
    /// says to end. A file whose messages cannot be read is as old as its last modification; if
    /// that is unknown, too, it is young.
    pub(super) fn is_before(
        &mut self,
        log: &MappedFileQueue,
        [file, next]: [&MappedFile; 2],
        time_ms: i64,
        stop: impl Fn() -> bool,
    ) -> bool {
        let first = first_time(log, file);
        if first.is_some_and(|first| first > time_ms) {
            return false;
        }
        if first.is_some() && first_time(log, next).is_some_and(|next| next <= time_ms) {
            return true;
        }
        let newest = match self.known {
            Some((start, newest)) if start == file.start() => newest,
            _ => {
                let newest = newest_time(log, file, &stop);
                if stop() {
                    return false;
                }
                self.known = Some((file.start(), newest));
                newest
            }
        };
        newest.or_else(|| modified_ms(log, file)).is_some_and(|newest| newest <= time_ms)
    }
}

/// When the first message of a file was stored.
fn first_time(log: &MappedFileQueue, file: &MappedFile) -> Option<i64> {
    match Walk::new(log, file.start(), CrcCheck::Skip).step() {
        Found::Record(pin, layout) => Some(view(&pin, layout).store_timestamp_ms()),
        Found::Blank(..) | Found::Free | Found::Damaged(_) => None,
    }
}

/// When the newest message of a finished file was stored; `None` if not all can be read.
fn newest_time(log: &MappedFileQueue, file: &MappedFile, stop: impl Fn() -> bool) -> Option<i64> {
    let mut walk = Walk::new(log, file.start(), CrcCheck::Skip);
    let mut newest = None;
    while walk.position() < file.end() && !stop() {
        match walk.step() {
            Found::Record(pin, layout) => {
                newest = newest.max(Some(view(&pin, layout).store_timestamp_ms()));
            }
            Found::Blank(..) => {}
            Found::Free | Found::Damaged(_) => return None,
        }
    }
    newest
}

fn modified_ms(log: &MappedFileQueue, file: &MappedFile) -> Option<i64> {
    let modified = log.disk().modified(file.path()).ok()?;
    i64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}
