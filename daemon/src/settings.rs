//! What the daemon is told, by flags as a settings file would, and by that file.

use std::net::SocketAddr;

use engine::failure::Failure;
use engine::usecase::cover::Places;
use engine::usecase::host::Settings;
use engine::usecase::settled::{places, said, settings};
use policies::policy::Notify;
use policies::settings::SettingsFile;

use crate::Args;

/// All that the daemon is told.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Where things are.
    pub(crate) host: Settings,
    /// Where policies are.
    pub(crate) places: Places,
    /// Where metrics and health are told, if anywhere.
    pub(crate) listen: Option<SocketAddr>,
    /// Who is told by policies that name nobody.
    pub(crate) notify: Notify,
}

/// Puts it together.
pub(crate) fn settle(args: &Args) -> Result<Settled, Failure> {
    let flags = SettingsFile {
        store: args.store.clone(),
        host: args.host.clone(),
        state: args.state.clone(),
        docker: args.docker.clone(),
        policies: args.policies.clone(),
        listen: args.listen,
        ..SettingsFile::default()
    };
    let mut said = said(flags, args.config.as_deref())?;
    let (listen, notify) = (said.listen, said.notify.take().unwrap_or_default());
    Ok(Settled { places: places(&said), host: settings(said)?, listen, notify })
}
