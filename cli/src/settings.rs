//! From flags, environment, settings file and defaults to where things are.

use std::path::Path;

use engine::failure::{Class, Failure};
use engine::usecase::cover::Places;
use engine::usecase::host::{Effort, Settings};
use engine::usecase::terms::levels;
use policies::settings::{DEFAULT_FILE, DEFAULT_POLICIES, DEFAULT_STATE, DEFAULT_STORE, SettingsFile, parse};

use crate::args::Globals;

/// Reads the settings file, and lets flags and environment come before it.
pub(crate) fn settle(globals: &Globals) -> Result<Settings, Failure> {
    merge(globals, file(globals)?, &system_name())
}

/// Where policies are, and which folders of the host may be sources.
pub(crate) fn places(globals: &Globals) -> Result<Places, Failure> {
    let file = file(globals)?;
    let named = globals.policies.clone().or(file.policies);
    Ok(Places {
        named: named.is_some(),
        policies: named.unwrap_or_else(|| DEFAULT_POLICIES.into()),
        folders: file.folders.unwrap_or_default(),
    })
}

fn file(globals: &Globals) -> Result<SettingsFile, Failure> {
    match &globals.config {
        Some(path) => read(path)?
            .ok_or_else(|| Failure::not_found(format!("settings file `{}` does not exist", path.display()))),
        None => Ok(read(Path::new(DEFAULT_FILE))?.unwrap_or_default()),
    }
}

/// `None` where there is no such file.
fn read(path: &Path) -> Result<Option<SettingsFile>, Failure> {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::failed(format!("read settings file `{name}`")).because(e)),
    };
    let bad = |complaints: policies::complaint::Complaints| {
        // One line for each: the first as what is wrong, all of them in the order of the file.
        let all: Vec<String> = complaints.to_string().lines().map(str::to_owned).collect();
        Failure::new(Class::Usage, all.join("; "))
            .hint(format!("correct `{name}`, or name another file with `--config`"))
    };
    parse(&name, &text).map(Some).map_err(bad)
}

fn merge(globals: &Globals, file: SettingsFile, system: &str) -> Result<Settings, Failure> {
    let flags = SettingsFile {
        store: globals.store.clone(),
        host: globals.host.clone(),
        state: globals.state.clone(),
        docker: globals.docker.clone(),
        ..SettingsFile::default()
    };
    let said = flags.or(file);
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

fn system_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use policies::level::Level;

    use super::*;

    fn file() -> SettingsFile {
        parse("b.toml", "store = \"file:///f\"\nhost = \"f\"\nstate = \"/f\"\neffort.level = 9\n").unwrap()
    }

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let flags = Globals {
            store: Some("s3://b/p".into()),
            state: Some("/flag".into()),
            docker: Some("tcp://127.0.0.1:1".into()),
            ..Globals::default()
        };
        let both = merge(&flags, file(), "system").unwrap();
        assert_eq!((both.store.as_str(), both.host.as_str()), ("s3://b/p", "f"));
        assert_eq!((both.state.to_str(), both.docker.as_deref()), (Some("/flag"), Some("tcp://127.0.0.1:1")));
        assert_eq!(both.effort, Effort { levels: levels(Level::Fixed(9)), ..Effort::default() });

        let none = merge(&Globals::default(), SettingsFile::default(), "system").unwrap();
        assert_eq!((none.store.as_str(), none.host.as_str()), (DEFAULT_STORE, "system"));
        assert_eq!((none.state.to_str(), none.docker), (Some(DEFAULT_STATE), None));
    }

    #[test]
    fn a_host_name_that_cannot_be_a_folder_is_a_usage_error_with_a_way_out() {
        let failure = merge(&Globals::default(), SettingsFile::default(), "a b").unwrap_err();
        assert_eq!(failure.class, Class::Usage);
        assert_eq!(
            failure.to_string(),
            "name of this host: `a b` is not a host name (letters, digits, `.`, `-`, `_`)"
        );
        assert!(failure.hint.is_some());
    }

    #[test]
    fn an_empty_docker_host_is_the_local_socket() {
        let flags = Globals { docker: Some(String::new()), ..Globals::default() };
        assert_eq!(merge(&flags, SettingsFile::default(), "h").unwrap().docker, None);
    }
}
