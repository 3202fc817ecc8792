//! What happens to a path without ending the run, told with bounds: each kind is counted, and the first are named.

use serde::{Deserialize, Serialize};

use crate::path::TreePath;

/// Something about one path that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The path, printable.
    pub path: String,
    /// What happened.
    pub what: NoteKind,
    /// The reason in words, as the system gave it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl Note {
    /// Why a file is noted as changed whose content is as it was.
    pub(crate) const TOUCHED: &str = "its attributes or links changed";

    /// Whether it says that somebody wrote.
    pub fn is_of_a_write(&self) -> bool {
        match self.what {
            NoteKind::Changed => self.why != Self::TOUCHED,
            NoteKind::Vanished => true,
            NoteKind::Unreadable | NoteKind::OtherMount | NoteKind::Socket | NoteKind::Attribute => false,
        }
    }
}

/// What can happen to a path without ending the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Its content or size moved while it was read; the length at the start was kept.
    Changed,
    /// It was listed, and gone when it was opened. Usual on a live source.
    Vanished,
    /// It could not be read, and is missing from the snapshot: the snapshot is partial.
    Unreadable,
    /// A mount point inside the source: the folder is recorded, what is mounted there is not.
    OtherMount,
    /// A socket: recorded, not carried.
    Socket,
    /// An attribute could not be read or given back; the content is whole.
    Attribute,
}

/// Counts of all notes, and the first of them in words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notes {
    /// [`NoteKind::Changed`].
    pub changed: u64,
    /// [`NoteKind::Vanished`].
    pub vanished: u64,
    /// [`NoteKind::Unreadable`].
    pub unreadable: u64,
    /// [`NoteKind::OtherMount`].
    pub other_mounts: u64,
    /// [`NoteKind::Socket`].
    pub sockets: u64,
    /// [`NoteKind::Attribute`].
    pub attributes: u64,
    /// The first [`Notes::NAMED_MAX`] of each kind.
    pub named: Vec<Note>,
}

impl Notes {
    /// So many notes of each kind are told by name; the rest is counted.
    pub const NAMED_MAX: u64 = 50;

    /// Counts one, and names it while there is room.
    pub fn add(&mut self, path: &TreePath, what: NoteKind, why: impl Into<String>) {
        let count = match what {
            NoteKind::Changed => &mut self.changed,
            NoteKind::Vanished => &mut self.vanished,
            NoteKind::Unreadable => &mut self.unreadable,
            NoteKind::OtherMount => &mut self.other_mounts,
            NoteKind::Socket => &mut self.sockets,
            NoteKind::Attribute => &mut self.attributes,
        };
        *count += 1;
        if *count <= Self::NAMED_MAX {
            let path = printable_path(path);
            self.named.push(Note { path, what, why: why.into() });
        }
    }

    /// These and those of a further pass, which looked at other things.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        let Self { changed, vanished, unreadable, other_mounts, sockets, attributes, named } = more;
        self.changed += changed;
        self.vanished += vanished;
        self.unreadable += unreadable;
        self.other_mounts += other_mounts;
        self.sockets += sockets;
        self.attributes += attributes;
        self.named.extend(named);
        self
    }

    /// Whether something that should be in the snapshot is not.
    pub fn is_partial(&self) -> bool {
        self.unreadable > 0
    }
}

/// Longer paths and reasons are cut in messages.
const MESSAGE_PATH_BYTES: usize = 4096;

/// A path for people, cut to what fits into a message.
pub fn printable_path(path: &TreePath) -> String {
    cut_message(path.to_string())
}

pub(crate) fn cut_message(mut text: String) -> String {
    if text.len() > MESSAGE_PATH_BYTES {
        let end = text.floor_char_boundary(MESSAGE_PATH_BYTES);
        text.truncate(end);
        text.push('…');
    }
    text
}
