//! The store options of a command: RocketMQ's `broker.conf` first, then the command line.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use cairnlog::{LogReader, Status, Store, StoreOptions};

use crate::failure::Failure;
use crate::progress;
use crate::queue_reader::QueueReader;

/// The options that `--conf` names, or the defaults. Names that are no store option are a
/// broker's own settings and are passed over. A store that is opened with them shows how far it is.
pub(crate) fn options(conf: Option<&Path>) -> Result<StoreOptions, Failure> {
    let mut options = options_of(conf)?;
    progress::of_recovery(&mut options);
    Ok(options)
}

fn options_of(conf: Option<&Path>) -> Result<StoreOptions, Failure> {
    let Some(path) = conf else {
        return Ok(StoreOptions::default());
    };
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("cannot read {}", path.display()), error))?;
    match StoreOptions::from_properties(&text) {
        Ok((options, _unknown)) => Ok(options),
        Err(error) => Err(Failure::failed(path.display(), error)),
    }
}

/// Opens a store that there is.
pub(crate) fn existing(store: &Path, options: &StoreOptions) -> cairnlog::Result<Store> {
    let mut options = options.clone();
    options.create_if_missing = false;
    Store::open(store, &options)
}

/// Opens a store that there is, as [`quiet`] says, for a command that looks after it.
pub(crate) fn maintained(store: &Path, options: &StoreOptions) -> cairnlog::Result<Store> {
    existing(store, &quiet(options))
}

/// The options with which an open store does nothing by itself: it neither delivers messages
/// whose time has come nor removes old files.
pub(crate) fn quiet(options: &StoreOptions) -> StoreOptions {
    let mut options = options.clone();
    options.schedule_enable = false;
    options.retention_enable = false;
    options
}

/// How long records may take to come into their queues once the store is open.
const DISPATCH_PATIENCE: Duration = Duration::from_secs(60);

/// Waits until every record of a store that was just opened is in its queue.
pub(crate) fn wait_dispatched(store: &Store) -> Result<(), Failure> {
    if store.wait_dispatched(store.durable_offset(), DISPATCH_PATIENCE)? {
        return Ok(());
    }
    let why = store.dispatch_error().map_or("it takes too long".to_owned(), |e| e.to_string());
    Err(Failure::failed("cannot bring the queues up to date", why))
}

/// Files of a store beside its log.
const STORE_FILES: [&str; 3] = ["checkpoint", "abort", "lock"];

/// How often a log is looked at whose files do not fit each other.
const LOOKS: u32 = 5;
/// The pause before each further look.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks at a store's log, without a lock. A log that a writer adds files to may seem incomplete
/// for a moment, as directories are not listed all at once: that is believed only when it stays.
pub(crate) fn reader(store: &Path, options: &StoreOptions) -> cairnlog::Result<LogReader> {
    let mut looks = 1;
    loop {
        match LogReader::open_with(store, options) {
            Err(error) if is_damage(error.status()) && looks < LOOKS => {
                looks += 1;
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

/// Whether a status speaks of the data, not of the call or the machine.
pub(crate) fn is_damage(status: Status) -> bool {
    (300..400).contains(&status.code())
}

/// Looks at a store's log as [`reader`] does. `None` for a store without a log: nothing was ever
/// appended, and its empty log directory did not survive a copy.
pub(crate) fn log(store: &Path, options: &StoreOptions) -> Result<Option<LogReader>, Failure> {
    match reader(store, options) {
        Ok(reader) => Ok(Some(reader)),
        Err(error)
            if error.status() == Status::StoreNotFound
                && STORE_FILES.iter().any(|name| store.join(name).is_file()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// How commands read by queue and by key. It takes no lock and changes nothing, so that a store
/// may be in use, by cairnlog or by RocketMQ, or may not have been closed.
pub(crate) fn queues(store: &Path, options: &StoreOptions) -> Result<QueueReader, Failure> {
    QueueReader::open(store, options)
}
