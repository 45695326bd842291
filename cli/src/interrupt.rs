//! Ctrl-C: commands look at a flag and end in order; nothing is cut off in the middle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::failure::{Failure, INTERRUPTED_STATUS, Outcome};

/// How long a command that only reads may take to notice, e.g. while a full pipe holds it.
const GRACE: Duration = Duration::from_millis(1000);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What the first Ctrl-C means for a command. The second one always ends the process at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The command has something to flush or to remove, and gets the time it takes.
    Wait,
    /// The command only reads: it is ended if it does not notice soon.
    End,
}

/// Takes over Ctrl-C for the rest of the process.
pub(crate) fn install(interruption: Interruption) -> Outcome {
    ctrlc::set_handler(move || {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(INTERRUPTED_STATUS));
        }
        if interruption == Interruption::End {
            thread::spawn(|| {
                thread::sleep(GRACE);
                std::process::exit(i32::from(INTERRUPTED_STATUS));
            });
        }
    })
    .map_err(|error| Failure::failed("cannot take over Ctrl-C", error))
}

/// Whether Ctrl-C was pressed.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Fails with [`Failure::Interrupted`] after Ctrl-C.
pub(crate) fn check() -> Outcome {
    if interrupted() {
        return Err(Failure::Interrupted);
    }
    Ok(())
}
