//! From flags, environment, settings file and defaults to where things are.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use engine::failure::{Class, Failure};
use engine::usecase::cover::Places;
use engine::usecase::host::{Effort, Settings};
use engine::usecase::terms::levels;
use policies::policy::Notify;
use policies::settings::{DEFAULT_FILE, DEFAULT_POLICIES, DEFAULT_STATE, DEFAULT_STORE, SettingsFile, parse};

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

/// Reads the settings file, and lets flags and environment come before it.
pub(crate) fn settle(args: &Args) -> Result<Settled, Failure> {
    let file = match &args.config {
        Some(path) => read(path)?.ok_or_else(|| {
            Failure::not_found(format!("settings file `{}` does not exist", path.display()))
        })?,
        None => read(Path::new(DEFAULT_FILE))?.unwrap_or_default(),
    };
    let flags = SettingsFile {
        store: args.store.clone(),
        host: args.host.clone(),
        state: args.state.clone(),
        docker: args.docker.clone(),
        policies: args.policies.clone(),
        listen: args.listen,
        ..SettingsFile::default()
    };
    let system = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let said = flags.or(file);
    let places = Places {
        named: said.policies.is_some(),
        policies: said.policies.clone().unwrap_or_else(|| DEFAULT_POLICIES.into()),
        folders: said.folders.clone().unwrap_or_default(),
    };
    let (listen, notify) = (said.listen, said.notify.clone().unwrap_or_default());
    Ok(Settled { host: merge(said, &system)?, places, listen, notify })
}

/// `None` where there is no such file.
fn read(path: &Path) -> Result<Option<SettingsFile>, Failure> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&name, &text)
            .map(Some)
            .map_err(|bad| Failure::new(Class::Usage, bad.to_string().replace('\n', "; "))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::failed(format!("read settings file `{name}`")).because(e)),
    }
}

fn merge(said: SettingsFile, system: &str) -> Result<Settings, Failure> {
    let host = said.host.as_deref().unwrap_or(system).parse().map_err(|e: engine::words::BadName| {
        Failure::new(Class::Usage, "name of this host")
            .because(e)
            .hint("name this host with `--host NAME` or in the settings file")
    })?;
    let usual = Effort::default();
    Ok(Settings {
        store: said.store.unwrap_or_else(|| DEFAULT_STORE.to_owned()),
        host,
        state: said.state.unwrap_or_else(|| DEFAULT_STATE.into()),
        docker: said.docker.filter(|url| !url.is_empty()),
        effort: Effort {
            levels: said.level.map_or(usual.levels, levels),
            workers: said.workers.unwrap_or(usual.workers),
            helper_memory_bytes: said.helper_memory_bytes.unwrap_or(usual.helper_memory_bytes),
            spool_bytes: said.spool_bytes.unwrap_or(usual.spool_bytes),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_said_is_the_default() {
        let none = merge(SettingsFile::default(), "system").unwrap();
        assert_eq!((none.store.as_str(), none.host.as_str()), (DEFAULT_STORE, "system"));
        assert_eq!((none.state.to_str(), none.docker), (Some(DEFAULT_STATE), None));
        assert_eq!(none.effort, Effort::default());

        let said = parse("b.toml", "host = \"vm\"\neffort.workers = 2\n").unwrap();
        let some = merge(said, "not a name").unwrap();
        assert_eq!((some.host.as_str(), some.effort.workers), ("vm", 2));
        assert_eq!(merge(SettingsFile::default(), "not a name").unwrap_err().class, Class::Usage);
    }
}
