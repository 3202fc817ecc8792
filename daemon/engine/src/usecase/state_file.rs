//! Small files of the state folder: one value each, as JSON.
//!
//! Always true: a file is the old value or the new one, whatever happens while it is written.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::durable;
use crate::failure::Failure;
use crate::usecase::host::Host;

/// Reads one; what is missing is empty. `loss` is what removing it costs.
pub fn read<T: DeserializeOwned + Default>(host: &Host, file: &str, loss: &str) -> Result<T, Failure> {
    let path = host.settings().state.join(file);
    let what = || format!("read `{}`", path.display());
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|e| Failure::failed(what()).because(e).hint(format!("`rm {}`: {loss}", path.display()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(e) => Err(Failure::failed(what()).because(e)),
    }
}

/// Replaces one. It survives a power cut after `Ok`.
pub fn write<T: Serialize>(host: &Host, file: &str, value: &T) -> Result<(), Failure> {
    let path = host.settings().state.join(file);
    let what = || format!("write `{}`", path.display());
    let bytes = serde_json::to_vec_pretty(value).map_err(|e| Failure::failed(what()).because(e))?;
    durable::replace(&path, &bytes, 0o600).map_err(|e| Failure::failed(what()).because(e))
}
