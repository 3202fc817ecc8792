//! From what was said, on the command line and in the settings file, to where things are. Both programs ask here.
//!
//! Always true: what a flag or its twin in the environment says comes before the file, that before the defaults.

use std::io;
use std::path::Path;

use policies::complaint::Complaints;
use policies::settings::{DEFAULT_FILE, DEFAULT_POLICIES, DEFAULT_STATE, DEFAULT_STORE, SettingsFile, parse};

use crate::absent::is_absent;
use crate::failure::{Class, Failure};
use crate::usecase::cover::Places;
use crate::usecase::host::{Effort, Settings};
use crate::usecase::terms::levels;
use crate::words::BadName;

/// `flags`, and after them the file that was named; without a name the usual one, if there is one.
pub fn said(flags: SettingsFile, named: Option<&Path>) -> Result<SettingsFile, Failure> {
    let file = match named {
        Some(path) => read(path)?.ok_or_else(|| {
            Failure::not_found(format!("settings file `{}` does not exist", path.display()))
        })?,
        None => usual(Path::new(DEFAULT_FILE))?,
    };
    Ok(flags.or(file))
}

/// The file that nobody had to name. Empty is what a power cut leaves of one that was just written, and all defaults would
/// be another store and another name of this host.
fn usual(path: &Path) -> Result<SettingsFile, Failure> {
    if std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() == 0) {
        let what = format!("settings file `{}` is empty: was it written to its end?", path.display());
        return Err(Failure::new(Class::Usage, what)
            .hint("write it again; where all defaults are meant, remove it, or write `# defaults` into it"));
    }
    Ok(read(path)?.unwrap_or_default())
}

/// `None` where there is no such file.
fn read(path: &Path) -> Result<Option<SettingsFile>, Failure> {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound && is_absent(path) => return Ok(None),
        // Without it everything would be somewhere else: another store, another name.
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::not_found(format!("settings file `{name}` is behind a link to nothing"))
                .hint("put back what the link names, or name another file with `--config`"));
        }
        Err(e) => return Err(Failure::failed(format!("read settings file `{name}`")).because(e)),
    };
    let bad = |complaints: Complaints| {
        // One line for each: the first as what is wrong, all of them in the order of the file.
        let all: Vec<String> = complaints.to_string().lines().map(str::to_owned).collect();
        Failure::new(Class::Usage, all.join("; "))
            .hint(format!("correct `{name}`, or name another file with `--config`"))
    };
    parse(&name, &text).map(Some).map_err(bad)
}

/// Where policies are, and which folders of the host may be sources.
pub fn places(said: &SettingsFile) -> Places {
    Places {
        named: said.policies.is_some(),
        policies: said.policies.clone().unwrap_or_else(|| DEFAULT_POLICIES.into()),
        folders: said.folders.clone().unwrap_or_default(),
    }
}

/// Where all else is, on this machine.
pub fn settings(said: SettingsFile) -> Result<Settings, Failure> {
    settings_on(said, &rustix::system::uname().nodename().to_string_lossy())
}

fn settings_on(said: SettingsFile, system: &str) -> Result<Settings, Failure> {
    let host = said.host.as_deref().unwrap_or(system).parse().map_err(|e: BadName| {
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
            unfinished_bytes: usual.unfinished_bytes,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let flags = SettingsFile {
            store: Some("s3://b/p".into()),
            state: Some("/flag".into()),
            docker: Some("tcp://127.0.0.1:1".into()),
            ..SettingsFile::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.toml");
        let text = "store = \"file:///f\"\nhost = \"f\"\nstate = \"/f\"\neffort.workers = 2\n";
        crate::durable::replace(&file, text.as_bytes(), 0o600).unwrap();
        let both = settings_on(said(flags, Some(&file)).unwrap(), "system").unwrap();
        assert_eq!((both.store.as_str(), both.host.as_str()), ("s3://b/p", "f"));
        assert_eq!((both.state.to_str(), both.docker.as_deref()), (Some("/flag"), Some("tcp://127.0.0.1:1")));
        assert_eq!(both.effort, Effort { workers: 2, ..Effort::default() });

        let none = settings_on(SettingsFile::default(), "system").unwrap();
        assert_eq!((none.store.as_str(), none.host.as_str()), (DEFAULT_STORE, "system"));
        assert_eq!((none.state.to_str(), none.docker), (Some(DEFAULT_STATE), None));
        assert_eq!(none.effort, Effort::default());
    }

    #[test]
    fn a_file_that_is_named_must_be_there_and_make_sense() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.toml");
        let failure = |file: &Path| said(SettingsFile::default(), Some(file)).unwrap_err();
        assert_eq!(failure(&file).class, Class::NotFound);
        crate::durable::replace(&file, b"stor = 1\nhos = 2\n", 0o600).unwrap();
        let failure = failure(&file);
        assert_eq!(failure.class, Class::Usage);
        assert!(failure.to_string().contains("; ") && failure.hint.is_some(), "{failure}");
    }

    #[test]
    fn a_link_to_nothing_is_no_host_without_settings() {
        let dir = tempfile::tempdir().unwrap();
        let (link, none) = (dir.path().join("b.toml"), dir.path().join("none.toml"));
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert_eq!(usual(&none).unwrap(), SettingsFile::default());
        for failure in [usual(&link).unwrap_err(), said(SettingsFile::default(), Some(&link)).unwrap_err()] {
            assert!(failure.to_string().contains("a link to nothing") && failure.hint.is_some(), "{failure}");
        }
    }

    #[test]
    fn an_empty_file_that_nobody_named_is_one_that_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.toml");
        crate::durable::replace(&file, b"", 0o600).unwrap();
        let failure = usual(&file).unwrap_err();
        assert!(failure.to_string().contains("is empty") && failure.hint.is_some(), "{failure}");
        assert_eq!(said(SettingsFile::default(), Some(&file)).unwrap(), SettingsFile::default());
        crate::durable::replace(&file, b"# defaults\n", 0o600).unwrap();
        assert_eq!(usual(&file).unwrap(), SettingsFile::default());
    }

    #[test]
    fn a_host_name_that_cannot_be_a_folder_is_a_usage_error_with_a_way_out() {
        let failure = settings_on(SettingsFile::default(), "a b").unwrap_err();
        assert_eq!(failure.class, Class::Usage);
        assert_eq!(
            failure.to_string(),
            "name of this host: `a b` is not a host name (letters, digits, `.`, `-`, `_`)"
        );
        assert!(failure.hint.is_some());
    }

    #[test]
    fn an_empty_docker_host_is_the_local_socket() {
        let said = SettingsFile { docker: Some(String::new()), ..SettingsFile::default() };
        assert_eq!(settings_on(said, "h").unwrap().docker, None);
    }
}
