//! Keyword arguments become the store's options, each by its name in the engine's one table.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use cairnlog::StoreOptions;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};

use crate::errors::{OrRaise, invalid_argument};

/// The options named by keyword arguments, over the defaults; `None` leaves a default.
pub(crate) fn from_keywords(
    py: Python<'_>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<StoreOptions> {
    let mut options = StoreOptions::default();
    for (name, value) in keywords.into_iter().flatten() {
        if !value.is_none() {
            set(py, &mut options, name.cast::<PyString>()?.to_str()?, &value)?;
        }
    }
    Ok(options)
}

fn set(
    py: Python<'_>,
    options: &mut StoreOptions,
    name: &str,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    if let Ok(flag) = value.cast::<PyBool>() {
        let text = if flag.is_true() { "true" } else { "false" };
        return options.set(name, text).or_raise(py);
    }
    if value.is_instance_of::<PyInt>() {
        return options.set(name, value.str()?.to_str()?).or_raise(py);
    }
    if let Ok(text) = value.cast::<PyString>() {
        return options.set(name, text.to_str()?).or_raise(py);
    }
    match name {
        "commit_log_paths" | "storePathCommitLog" => options.commit_log_paths = paths(value)?,
        "read_only_commit_log_paths" | "readOnlyCommitLogStorePaths" => {
            options.read_only_commit_log_paths = paths(value)?;
        }
        "store_host" => options.store_host = address(py, value)?,
        _ => {
            // An unknown name is reported as such, whatever its value.
            options
                .clone()
                .set(name, "0")
                .or_else(|error| {
                    let known = StoreOptions::NAMES
                        .iter()
                        .any(|(ours, theirs)| *ours == name || *theirs == name);
                    if known { Ok(()) } else { Err(error) }
                })
                .or_raise(py)?;
            return Err(PyTypeError::new_err(format!(
                "option {name} takes a number, a boolean or text: found {}",
                value.get_type().name()?
            )));
        }
    }
    Ok(())
}

/// One path, or several.
fn paths(value: &Bound<'_, PyAny>) -> PyResult<Vec<PathBuf>> {
    match value.extract::<PathBuf>() {
        Ok(path) => Ok(vec![path]),
        Err(_) => value.try_iter()?.map(|path| path?.extract()).collect(),
    }
}

/// An address given as (IP address, port).
pub(crate) fn address(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<SocketAddr> {
    let (ip, port): (String, u16) = value.extract()?;
    let parsed: Result<IpAddr, _> = ip.parse();
    parsed
        .map(|ip| SocketAddr::new(ip, port))
        .map_err(|_| invalid_argument(py, format!("an address needs an IP address: found {ip:?}")))
}
