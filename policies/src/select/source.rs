//! A source as Docker describes it: the facts that selection looks at, and nothing else.
//!
//! Labels are other people's texts. They are compared, and shown escaped and cut; never obeyed beyond the
//! two labels of [`super::label`].

use std::collections::BTreeMap;

use super::label::POLICY_LABEL;

/// What compose says of a volume or container that it made.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";

/// What kind of thing a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A volume with a name that somebody gave it.
    Volume,
    /// A volume whose name Docker made up.
    Anonymous,
    /// A folder of the host that a container has mounted. Only folders under a root that the settings
    /// allow are sources; the others are not described at all.
    Folder {
        /// Absolute, without a slash at its end.
        path: String,
    },
}

/// Something that could be backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What people type and see: `db-data`, or `web:/srv/app`.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
    /// The volume's driver; `local` for folders.
    pub driver: String,
    /// The volume's labels; folders have none.
    pub labels: BTreeMap<String, String>,
    /// The containers that have it mounted, running or not.
    pub users: Vec<User>,
}

/// A container that has a source mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The container's name, without a slash.
    pub container: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where it has the source mounted.
    pub at: String,
}

impl User {
    /// The compose project that it belongs to.
    pub fn project(&self) -> Option<&str> {
        self.labels.get(PROJECT).map(String::as_str)
    }

    /// The compose service that it is.
    pub fn service(&self) -> Option<&str> {
        self.labels.get(SERVICE).map(String::as_str)
    }
}

impl Source {
    /// The compose projects that it belongs to: its own, and those of its users.
    pub fn projects(&self) -> impl Iterator<Item = &str> {
        self.labels
            .get(PROJECT)
            .map(String::as_str)
            .into_iter()
            .chain(self.users.iter().filter_map(User::project))
    }

    /// An anonymous volume that no container has: nobody can name it, and nobody will miss it by name.
    pub fn is_orphan(&self) -> bool {
        self.kind == SourceKind::Anonymous && self.users.is_empty()
    }

    /// A policy is named by a label of its own, or of a container that has it mounted.
    pub fn is_labelled(&self) -> bool {
        let mut all = std::iter::once(&self.labels).chain(self.users.iter().map(|user| &user.labels));
        all.any(|labels| labels.contains_key(POLICY_LABEL))
    }
}
