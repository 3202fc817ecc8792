//! What the flags that every verb takes say, as a settings file would.

use engine::failure::Failure;
use engine::usecase::cover::Places;
use engine::usecase::host::Settings;
use engine::usecase::settled::{self, said};
use policies::settings::SettingsFile;

use crate::args::Globals;

/// Where things are.
pub(crate) fn settle(globals: &Globals) -> Result<Settings, Failure> {
    settled::settings(all(globals)?)
}

/// Where policies are, and which folders of the host may be sources.
pub(crate) fn places(globals: &Globals) -> Result<Places, Failure> {
    Ok(settled::places(&all(globals)?))
}

fn all(globals: &Globals) -> Result<SettingsFile, Failure> {
    let flags = SettingsFile {
        store: globals.store.clone(),
        host: globals.host.clone(),
        state: globals.state.clone(),
        docker: globals.docker.clone(),
        policies: globals.policies.clone(),
        ..SettingsFile::default()
    };
    said(flags, globals.config.as_deref())
}
