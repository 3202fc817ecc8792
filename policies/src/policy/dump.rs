//! `[[consistency.dumps]]`: what a program inside a container says becomes a file of the snapshot.
//!
//! Always true: a program is its words, which no shell reads; and a secret is named by the file that holds it, never
//! written down here.

use std::time::Duration;

use crate::policy::key::Kind::{Text, Texts, Time};
use crate::policy::key::{Draft, Key};
use crate::policy::texts::{exact_name, line_begin, secret, word};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// Its name in the snapshot.
    pub file: String,
    /// Program and arguments.
    pub run: Vec<String>,
    /// In the container of this name; if `None`, as for hooks.
    pub container: Option<String>,
    /// In the container of this service of the source's compose project.
    pub service: Option<String>,
    /// Who it runs as; the container's own user if `None`.
    pub user: Option<String>,
    /// What is added to its environment.
    pub environment: Vec<Secret>,
    /// How a line near its end begins.
    pub ends_with: Option<String>,
    /// How long it may say nothing.
    pub max_silence: Duration,
}

/// A variable whose value is the first line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The variable.
    pub name: String,
    /// The file, on the host.
    pub file: String,
}

impl Default for Dump {
    /// `file` and `run` have no default: a file must say them.
    fn default() -> Self {
        Self {
            file: String::new(),
            run: Vec::new(),
            container: None,
            service: None,
            user: None,
            environment: Vec::new(),
            ends_with: None,
            max_silence: Duration::from_secs(600),
        }
    }
}

/// What each of them must say.
pub(crate) static REQUIRED: &[&str] = &["file", "run"];

const HOUR: u64 = 3_600;

pub(crate) static KEYS: &[Key] = &[
    Key {
        name: "file",
        about: "its name in the snapshot, where it stands in `.backupd-dump/`",
        kind: Text(|d, t| {
            let name = file_name(t)?;
            if d.consistency.dumps.iter().any(|dump| dump.file == name) {
                return Err("is the name of another dump, too".to_owned());
            }
            put(d, |dump| dump.file = name)
        }),
    },
    Key {
        name: "run",
        about: "program and arguments, run in the container; what it writes to its standard output is the file",
        kind: Texts(|d, t| word(t).and_then(|t| put(d, |dump| dump.run.push(t)))),
    },
    Key {
        name: "container",
        about: "the name of the container; if left out, the only one that writes to the source, or that with the label",
        kind: Text(|d, t| exact_name(t).and_then(|t| put(d, |dump| dump.container = Some(t)))),
    },
    Key {
        name: "service",
        about: "instead of `container`: a service of the compose project that the source belongs to",
        kind: Text(|d, t| {
            if d.consistency.dumps.last().is_some_and(|dump| dump.container.is_some()) {
                return Err("stands beside `container`; say one of the two".to_owned());
            }
            exact_name(t).and_then(|t| put(d, |dump| dump.service = Some(t)))
        }),
    },
    Key {
        name: "user",
        about: "who it runs as, `USER` or `USER:GROUP`; the container's own user if left out",
        kind: Text(|d, t| word(t).and_then(|t| put(d, |dump| dump.user = Some(t)))),
    },
    Key {
        name: "environment",
        about: "variables for it, `NAME=file:///…`: the value is the first line of that file of the host",
        kind: Texts(|d, t| secret(t).and_then(|t| put(d, |dump| dump.environment.push(t)))),
    },
    Key {
        name: "ends_with",
        about: "how one of its last lines begins; without such a line the backup fails",
        kind: Text(|d, t| line_begin(t).and_then(|t| put(d, |dump| dump.ends_with = Some(t)))),
    },
    Key {
        name: "max_silence",
        about: "how long it may say nothing, as while it waits for a lock; 10m if left out",
        kind: Time(1..=24 * HOUR, |d, t| {
            // Only an entry has keys, so there is one.
            if let Some(dump) = d.consistency.dumps.last_mut() {
                dump.max_silence = t;
            }
        }),
    },
];

/// Begins the next one, which those keys fill.
pub(crate) fn begin(draft: &mut Draft) {
    draft.consistency.dumps.push(Dump::default());
}

fn put(draft: &mut Draft, fill: impl FnOnce(&mut Dump)) -> Result<(), String> {
    draft.consistency.dumps.last_mut().map(fill).ok_or_else(|| "stands outside of a dump".to_owned())
}

fn file_name(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    if text.is_empty() || text.starts_with('.') || text.len() > 200 || !text.chars().all(fine) {
        return Err("must be the name of a file: letters, digits, `.`, `-`, `_` and `+`".to_owned());
    }
    Ok(text.to_owned())
}
