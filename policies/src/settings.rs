//! The settings file, `/etc/backupd/backupd.toml`: where things are on this host, and how much of it a run
//! may take. Every key may be left out; flags and environment come before the file, defaults after it.
//!
//! ```toml
//! store = "s3://bucket/prefix?region=eu-west-1"   # or file:///dir
//! host = "vm-1"                                   # this host's folder in the store
//! state = "/var/lib/backupd"                      # catalog and signing key
//! docker = "unix:///var/run/docker.sock"
//! policies = "/etc/backupd/policies"              # one file, one policy
//! folders = ["/srv"]                              # bind mounts below these are sources; others are not
//! listen = "127.0.0.1:9620"                       # metrics and health of the daemon; loopback only
//!
//! [notify]                   # for policies that name nobody themselves; as in a policy, but for `heartbeat`
//! webhook = "https://hooks.example.org/backups"
//!
//! [effort]
//! level = "adaptive"         # or a zstd level, 1 to 19, or "fast", "best"
//! workers = 0                # threads; 0 is one for each core
//! helper_memory = "192MiB"   # limit of a helper container
//! spool = "1GiB"             # of a frozen read, kept in the state folder until it is uploaded
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::de::DeTable;

use crate::complaint::{Complaints, Judge, unknown_key};
use crate::level::{Level, level};
use crate::policy::{Event, Notify, read_notify};
use crate::values::{
    docker_fine, folder_fine, host_fine, listen_fine, size, state_fine, store_fine, text_of, texts_of, whole,
    wrong_type,
};

/// Where the file is, unless somebody says otherwise.
pub const DEFAULT_FILE: &str = "/etc/backupd/backupd.toml";

/// The store that needs no one else.
pub const DEFAULT_STORE: &str = "file:///var/lib/backupd/store";

/// The state folder, unless somebody says otherwise.
pub const DEFAULT_STATE: &str = "/var/lib/backupd";

/// The folder of policies, unless somebody says otherwise.
pub const DEFAULT_POLICIES: &str = "/etc/backupd/policies";

/// What a settings file says; `None` where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingsFile {
    /// `file:///dir` or `s3://bucket/prefix?…`.
    pub store: Option<String>,
    /// This host's name in the store.
    pub host: Option<String>,
    /// The state folder, absolute.
    pub state: Option<PathBuf>,
    /// As `DOCKER_HOST`.
    pub docker: Option<String>,
    /// The folder of policies, absolute.
    pub policies: Option<PathBuf>,
    /// Folders of the host, absolute: bind mounts in them are sources.
    pub folders: Option<Vec<PathBuf>>,
    /// Where the daemon tells metrics and health; a loopback address.
    pub listen: Option<SocketAddr>,
    /// Who is told by policies that name nobody.
    pub notify: Option<Notify>,
    /// How hard to compress.
    pub level: Option<Level>,
    /// Threads, 0 to 1024; 0 is one for each core.
    pub workers: Option<u32>,
    /// Memory limit of a helper, 32 MiB to 1 TiB.
    pub helper_memory_bytes: Option<u64>,
    /// What a frozen read may keep in the state folder until it is uploaded, 32 MiB to 1 TiB.
    pub spool_bytes: Option<u64>,
}

impl SettingsFile {
    /// What `self` says, and what `other` says where `self` says nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            store: self.store.or(other.store),
            host: self.host.or(other.host),
            state: self.state.or(other.state),
            docker: self.docker.or(other.docker),
            policies: self.policies.or(other.policies),
            folders: self.folders.or(other.folders),
            listen: self.listen.or(other.listen),
            notify: self.notify.or(other.notify),
            level: self.level.or(other.level),
            workers: self.workers.or(other.workers),
            helper_memory_bytes: self.helper_memory_bytes.or(other.helper_memory_bytes),
            spool_bytes: self.spool_bytes.or(other.spool_bytes),
        }
    }
}

const TOP: [&str; 9] =
    ["store", "host", "state", "docker", "policies", "folders", "listen", "notify", "effort"];
const EFFORT: [&str; 4] = ["level", "workers", "helper_memory", "spool"];

/// Reads the text of a settings file; `file` is only named in complaints.
pub fn parse(file: &str, text: &str) -> Result<SettingsFile, Complaints> {
    let mut judge = Judge::new(text);
    let (table, broken) = DeTable::parse_recoverable(text);
    if !broken.is_empty() {
        // What a parser made of a broken file says nothing about its keys: only the breaks are told.
        for error in &broken {
            judge.blame(&error.span().unwrap_or_default(), error.message());
        }
        return judge.verdict(file, SettingsFile::default());
    }
    let mut settings = SettingsFile::default();
    for (key, value) in table.get_ref() {
        let span = value.span();
        match key.get_ref().as_ref() {
            "store" => settings.store = text_of(&mut judge, "store", value, store_fine),
            "host" => settings.host = text_of(&mut judge, "host", value, host_fine),
            "state" => {
                settings.state = text_of(&mut judge, "state", value, state_fine).map(PathBuf::from);
            }
            "docker" => settings.docker = text_of(&mut judge, "docker", value, docker_fine),
            "policies" => {
                settings.policies = text_of(&mut judge, "policies", value, state_fine).map(PathBuf::from);
            }
            "folders" => {
                let folders = texts_of(&mut judge, "folders", value, folder_fine);
                settings.folders = folders.map(|all| all.into_iter().map(PathBuf::from).collect());
            }
            "listen" => {
                let listen = text_of(&mut judge, "listen", value, listen_fine);
                settings.listen = listen.and_then(|text| text.parse().ok());
            }
            "notify" => match value.get_ref().as_table() {
                Some(table) => settings.notify = notify(&mut judge, table, &key.span()),
                None => wrong_type(&mut judge, "notify", &span, "a table", value),
            },
            "effort" => match value.get_ref().as_table() {
                Some(table) => effort(&mut judge, table, &mut settings),
                None => wrong_type(&mut judge, "effort", &span, "a table", value),
            },
            other => judge.blame(&key.span(), unknown_key(other, &TOP)),
        }
    }
    judge.verdict(file, settings)
}

/// With the keys of a policy's `[notify]`.
fn notify(judge: &mut Judge<'_>, table: &DeTable<'_>, span: &std::ops::Range<usize>) -> Option<Notify> {
    let blamed = judge.blamed();
    let draft = read_notify(judge, table);
    if let Some(span) = draft.at("notify.heartbeat") {
        judge.blame(
            &span,
            "`heartbeat` belongs into a policy: one that all share would beat on while one of them fails",
        );
    }
    if judge.blamed() == blamed && !draft.notify.tells_somebody() {
        judge.blame(span, "`[notify]` tells nobody; write `webhook` or `command` below it");
    }
    let mut notify = draft.notify;
    if notify.on.is_empty() {
        notify.on = Event::ALL.to_vec();
    }
    Some(notify)
}

fn effort(judge: &mut Judge<'_>, table: &DeTable<'_>, settings: &mut SettingsFile) {
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "level" => settings.level = level(judge, "level", value),
            "workers" => settings.workers = whole(judge, "workers", value, 0..1025),
            "helper_memory" => settings.helper_memory_bytes = size(judge, "helper_memory", value),
            "spool" => settings.spool_bytes = size(judge, "spool", value),
            other => judge.blame(&key.span(), unknown_key(other, &EFFORT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        let got = match parse("b.toml", text) {
            Ok(_) => Vec::new(),
            Err(complaints) => complaints.to_string().lines().map(str::to_owned).collect(),
        };
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            store = "s3://bucket/pre?region=eu"
            host = "vm-1.example"
            state = "/srv/state"
            docker = "tcp://127.0.0.1:2375"
            policies = "/srv/policies"
            folders = ["/srv", "/data/x"]
            listen = "[::1]:9620"
            [notify]
            webhook = "file:///etc/backupd/hook"
            command = ["/bin/tell", "x"]
            on = ["failure", "vanished"]
            [effort]
            level = 19
            workers = 0x10
            helper_memory = "1 GiB"
            spool = "64MiB"
        "#;
        let want = SettingsFile {
            store: Some("s3://bucket/pre?region=eu".into()),
            host: Some("vm-1.example".into()),
            state: Some("/srv/state".into()),
            docker: Some("tcp://127.0.0.1:2375".into()),
            policies: Some("/srv/policies".into()),
            folders: Some(vec!["/srv".into(), "/data/x".into()]),
            listen: Some("[::1]:9620".parse().unwrap()),
            notify: Some(Notify {
                webhook: Some("file:///etc/backupd/hook".into()),
                command: vec!["/bin/tell".into(), "x".into()],
                heartbeat: None,
                on: vec![Event::Failure, Event::Vanished],
            }),
            level: Some(Level::Fixed(19)),
            workers: Some(16),
            helper_memory_bytes: Some(1 << 30),
            spool_bytes: Some(64 << 20),
        };
        assert_eq!(parse("b.toml", text), Ok(want));
        assert_eq!(parse("b.toml", "# nothing\n"), Ok(SettingsFile::default()));
    }

    #[test]
    fn unknown_keys_are_errors_with_a_place_and_the_nearest_key() {
        check("stroe = \"file:///x\"", &["b.toml:1:1: unknown key `stroe`; did you mean `store`?"]);
        check(
            "[effort]\nlevel = 3\n  worker = 2\n",
            &["b.toml:3:3: unknown key `worker`; did you mean `workers`?"],
        );
        check(
            "[retention]\n",
            &[
                "b.toml:1:2: unknown key `retention`; known here: `store`, `host`, `state`, `docker`, `policies`, \
                 `folders`, `listen`, `notify`, `effort`",
            ],
        );
    }

    #[test]
    fn bad_values_are_errors_with_a_place() {
        let store = "`store` must be `file:///dir` or `s3://bucket/prefix`";
        for bad in ["/var/x", "s3://", "s3:///x", "file://x", "http://x"] {
            check(&format!("store = \"{bad}\""), &[&format!("b.toml:1:9: {store}")]);
        }
        check("store = 3", &["b.toml:1:9: `store` must be a text in quotes, not an integer"]);
        check("state = \"x\"", &["b.toml:1:9: `state` must be an absolute path"]);
        check(
            "host = \"a/b\"",
            &["b.toml:1:8: `host` must be letters, digits, `.`, `-` and `_`, at most 128 of them"],
        );
        check(
            "docker = \"/x\"",
            &["b.toml:1:10: `docker` must be as in `DOCKER_HOST`: `unix:///var/run/docker.sock`"],
        );
        check("policies = \"x\"", &["b.toml:1:12: `policies` must be an absolute path"]);
        check("folders = \"/srv\"", &["b.toml:1:11: `folders` must be a list of texts, not a string"]);
        check(
            "folders = [\"/srv\", \"/\", \"/a/../b\", 1]",
            &[
                "b.toml:1:20: `folders` must be absolute paths below `/`, without `..` or a slash at the end",
                "b.toml:1:25: `folders` must be absolute paths below `/`, without `..` or a slash at the end",
                "b.toml:1:36: `folders` must be a text in quotes, not an integer",
            ],
        );
        for bad in ["9620", "0.0.0.0:9620", "localhost:9620", "10.0.0.1:1"] {
            check(
                &format!("listen = \"{bad}\""),
                &["b.toml:1:10: `listen` must be a loopback address and a port: `127.0.0.1:9620`"],
            );
        }
        check("effort = 3", &["b.toml:1:10: `effort` must be a table, not an integer"]);
        check(
            "effort.level = \"fastest\"",
            &["b.toml:1:16: `level` must be a whole number, \"adaptive\", \"fast\" or \"best\""],
        );
        check("effort.level = 20", &["b.toml:1:16: `level` must be between 1 and 19"]);
        check("effort.workers = -1", &["b.toml:1:18: `workers` must be between 0 and 1024"]);
        check(
            "effort.level = 1.5",
            &["b.toml:1:16: `level` must be a whole number, \"adaptive\", \"fast\" or \"best\", not a float"],
        );
        check(
            "effort.helper_memory = \"1MiB\"",
            &["b.toml:1:24: `helper_memory` must be between 32MiB and 1TiB"],
        );
        check("effort.spool = \"0MiB\"", &["b.toml:1:16: `spool` must be between 32MiB and 1TiB"]);
        for bad in ["\"192\"", "\"1.5GiB\"", "\"MiB\"", "\"99999999999999TiB\"", "201326592"] {
            check(
                &format!("effort.helper_memory = {bad}"),
                &["b.toml:1:24: `helper_memory` must be a size in quotes: \"192MiB\", \"1GiB\""],
            );
        }
    }

    #[test]
    fn keys_and_passwords_in_the_store_are_refused_without_repeating_them() {
        let store = "must not carry keys: everybody may read this file; give them to the service through the \
                     AWS chain (`profile=` in the URL, its environment, a role) and write `s3://bucket/prefix`";
        for url in [
            "s3://AKIA:hunter2@bucket/x",
            "s3://bucket/x?endpoint=https://user:hunter2@host",
            "s3://bucket/x?endpoint=https%3A%2F%2Fuser%3Ahunter2%40host",
            "s3://bucket/x?secret_access_key=hunter2",
        ] {
            check(&format!("store = \"{url}\""), &[&format!("b.toml:1:9: `store` {store}")]);
        }
        check("store = \"s3://bucket/a@b?region=eu-1\"", &[]);
    }

    #[test]
    fn who_is_told_is_read_as_in_a_policy() {
        let tells = parse("b.toml", "notify.webhook = \"https://h.example/x\"").unwrap();
        assert_eq!(tells.notify.unwrap().on, Event::ALL);
        check("[notify]\n", &["b.toml:1:2: `[notify]` tells nobody; write `webhook` or `command` below it"]);
        check(
            "notify.heartbeat = \"https://h.example/x\"",
            &[
                "b.toml:1:8: `heartbeat` belongs into a policy: one that all share would beat on while one of them \
               fails",
            ],
        );
        check(
            "[notify]\nwebhok = \"https://h.example/x\"",
            &["b.toml:2:1: unknown key `webhok`; did you mean `webhook`?"],
        );
        check("notify = 1", &["b.toml:1:10: `notify` must be a table, not an integer"]);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() {
        check(
            "state = 1\nhots = \"x\"\n[effort]\nlevel = 0\n",
            &[
                "b.toml:1:9: `state` must be a text in quotes, not an integer",
                "b.toml:2:1: unknown key `hots`; did you mean `host`?",
                "b.toml:4:9: `level` must be between 1 and 19",
            ],
        );
    }

    #[test]
    fn broken_toml_is_told_with_its_place() {
        let complaints = parse("b.toml", "store = \"x\nhost = \"y\"\n").unwrap_err();
        assert_eq!((complaints.all[0].line, complaints.all[0].column), (1, 11), "{complaints}");
        let twice = parse("b.toml", "host = \"a\"\nhost = \"b\"\n").unwrap_err();
        assert_eq!(twice.all[0].line, 2, "{twice}");
    }
}
