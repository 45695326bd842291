//! Progress bars: on stderr, and only when that is a terminal.

use std::io::{self, IsTerminal};
use std::sync::Mutex;

use cairnlog::{RecoveryPhase, RecoveryProgress, StoreOptions};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over a known number of bytes, or a count that runs without an end in sight.
pub(crate) fn bytes(total: Option<u64>, what: &'static str) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(total, target).with_message(what);
    let template = match total {
        Some(_) => "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        None => "{msg} {spinner} {bytes} {bytes_per_sec}",
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Has a store that is opened with these options show how far it is, if that takes a while.
pub(crate) fn of_recovery(options: &mut StoreOptions) {
    if !io::stderr().is_terminal() {
        return;
    }
    let shown: Mutex<Option<ProgressBar>> = Mutex::new(None);
    options.on_recovery_progress(move |progress| {
        let Ok(mut shown) = shown.lock() else {
            return;
        };
        if !progress.is_complete() {
            let begin = || bytes(Some(progress.bytes_total), doing(progress));
            shown.get_or_insert_with(begin).set_position(progress.bytes_done);
        } else if let Some(bar) = shown.take() {
            bar.finish_and_clear();
        }
    });
}

fn doing(progress: RecoveryProgress) -> &'static str {
    match progress.phase {
        RecoveryPhase::Log => "checking the log",
        RecoveryPhase::Queues => "building queues and index",
        _ => "opening",
    }
}
