//! The store options of a command: RocketMQ's `broker.conf` first, then the command line.

use std::fs;
use std::path::Path;

use cairnlog::StoreOptions;

use crate::failure::Failure;

/// The options that `--conf` names, or the defaults. Names that are no store option are a
/// broker's own settings and are passed over.
pub(crate) fn options(conf: Option<&Path>) -> Result<StoreOptions, Failure> {
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
