//! A pass that is not about the whole tree: what it takes from the base, what it plants, and what it must have seen.
//!
//! Always true: what is planted comes in its place in path order, and every row of the base stands in the new table as it
//! was, or was looked at, or is gone.

use std::collections::BTreeMap;
use std::io;
use std::time::SystemTime;

use rustix::fd::{BorrowedFd, OwnedFd};

use super::Packer;
use super::put::{EMPTY, entry_of};
use crate::base::{Old, Tables};
use crate::channel::{Note, NoteKind};
use crate::descend;
use crate::entry::{Entry, Kind, Stamp, Witness};
use crate::pack::Halt;
use crate::path::TreePath;
use crate::scope::{Planted, PlantedContent, Scope};
use crate::stat::Stat;

/// A scope, as far as it was done.
pub(super) struct Scoped<'a> {
    scope: &'a Scope,
    /// Where to look, if not everywhere.
    places: Option<Vec<TreePath>>,
    /// What is still to be planted, the next one last, with whose owner and mode it gets.
    plant: Vec<(&'a Planted, Stat)>,
    /// What was not seen yet as it must be, and how it was seen.
    required: BTreeMap<&'a TreePath, (u64, Option<String>)>,
}

impl<'a> Scoped<'a> {
    pub(super) fn new(scope: &'a Scope) -> Self {
        let required = scope.require.iter().map(|file| (&file.path, (file.size, None)));
        Self { scope, places: scope.places(), plant: Vec::new(), required: required.collect() }
    }

    /// Whether a row of the base stands for what is not looked at, or is kept.
    pub(super) fn carries(&self, old: &Old, tables: &Tables<'_>) -> bool {
        let path = &old.entry.path;
        self.is_elsewhere(path) || self.scope.keeps(path) && old.is_file_to_keep(tables)
    }

    fn is_elsewhere(&self, path: &TreePath) -> bool {
        let is_outside = |places: &Vec<TreePath>| !places.iter().any(|place| path.is_within(place));
        self.places.as_ref().is_some_and(is_outside) && !self.scope.is_planted(path)
    }

    /// A further name of a file that is looked at anew might become that of another file, or of none.
    pub(super) fn may_carry(&self, entry: &Entry) -> Result<(), Halt> {
        match &entry.kind {
            Kind::Hardlink { target } if !self.is_elsewhere(target) => Err(Halt::Scope(format!(
                "`{}` is a further name of `{target}`, and only one of them is looked at anew",
                entry.path
            ))),
            Kind::Hardlink { .. }
            | Kind::Folder
            | Kind::File { .. }
            | Kind::Symlink { .. }
            | Kind::Fifo
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Socket => Ok(()),
        }
    }

    /// Hears of every entry of the snapshot.
    pub(super) fn saw(&mut self, entry: &Entry) {
        let Some((size, why)) = self.required.get_mut(&entry.path) else { return };
        *why = match &entry.kind {
            Kind::File { size: found, .. } if *found != *size => Some(format!("has {found} bytes")),
            Kind::File { .. } if entry.witness.unsteady => Some("changed while it was read".to_owned()),
            Kind::File { .. } => {
                self.required.remove(&entry.path);
                return;
            }
            Kind::Hardlink { target } => Some(format!("is a further name of `{target}`")),
            Kind::Folder
            | Kind::Symlink { .. }
            | Kind::Fifo
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Socket => Some("is no regular file".to_owned()),
        };
    }

    /// Says what is missing.
    fn complete(&self) -> Result<(), Halt> {
        let Some((path, (size, why))) = self.required.first_key_value() else { return Ok(()) };
        let more = match self.required.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more of that kind"),
        };
        let why = why.as_deref().unwrap_or("is not in the source");
        Err(Halt::Scope(format!("`{path}` is needed with {size} bytes, and {why}{more}")))
    }
}

impl Packer<'_> {
    /// Looks whose attributes that which is planted gets.
    pub(super) fn ready(&mut self, root: BorrowedFd<'_>) -> Result<(), Halt> {
        let Self { scoped: Some(scoped), opener, .. } = self else { return Ok(()) };
        let scope: &Scope = scoped.scope;
        for planted in &scope.plant {
            let stat = descend::look(root, &planted.like, opener).map_err(|source| Halt::Source {
                path: planted.like.clone(),
                action: "look at",
                source,
            })?;
            scoped.plant.push((planted, stat));
        }
        scoped.plant.sort_by(|a, b| b.0.path.cmp(&a.0.path));
        Ok(())
    }

    /// Notes that something is not as it was a moment ago, if that matters.
    pub(super) fn moved(&mut self, path: &TreePath, what: NoteKind, why: impl Into<String>) {
        if !self.is_logged(path) {
            self.writes += 1;
            self.notes.add(path, what, why);
        }
    }

    /// Notes that a file has other attributes or links than a moment ago; its content is the same, and nobody wrote.
    pub(super) fn touched(&mut self, path: &TreePath) {
        if !self.is_logged(path) {
            self.notes.add(path, NoteKind::Changed, Note::TOUCHED);
        }
    }

    fn is_logged(&self, path: &TreePath) -> bool {
        self.scoped.as_ref().is_some_and(|scoped| scoped.scope.is_logged(path))
    }

    /// Where to look, in path order; `None` if it is everywhere.
    pub(crate) fn places(&self) -> Option<Vec<TreePath>> {
        self.scoped.as_ref().and_then(|scoped| scoped.places.clone())
    }

    /// Opens the folder of something that is looked at. `None` if it is gone.
    pub(crate) fn descend(
        &mut self,
        root: BorrowedFd<'_>,
        path: &[u8],
    ) -> Result<Option<(OwnedFd, Stat)>, Halt> {
        // A folder of a path is a path.
        let path = TreePath::parse(path.to_vec()).unwrap_or_default();
        match descend::folder(root, &path, &self.opener) {
            Ok(opened) => Ok(Some(opened)),
            Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                self.moved(&path, NoteKind::Vanished, "");
                Ok(None)
            }
            Err(source) => Err(Halt::Source { path, action: "open", source }),
        }
    }

    /// Plants what comes up to this path, and says whether the walk passes over it.
    pub(crate) fn passes_over(&mut self, path: &TreePath) -> Result<bool, Halt> {
        self.plant(Some(path))?;
        Ok(self.scoped.as_ref().is_some_and(|scoped| scoped.scope.passes_over(path)))
    }

    /// Ends the entries: what is left to be planted and to be taken from the base; and nothing is missing.
    pub(super) fn complete(&mut self) -> Result<(), Halt> {
        self.plant(None)?;
        let takes_over = |scoped: &Scoped<'_>| scoped.places.is_some() || !scoped.scope.keep.is_empty();
        if self.scoped.as_ref().is_some_and(takes_over) {
            self.meet(None)?;
        }
        self.scoped.as_ref().map_or(Ok(()), Scoped::complete)
    }

    fn plant(&mut self, path: Option<&TreePath>) -> Result<(), Halt> {
        loop {
            let Some(scoped) = &mut self.scoped else { return Ok(()) };
            let is_due = |next: &mut (&Planted, Stat)| path.is_none_or(|path| next.0.path <= *path);
            let Some((planted, like)) = scoped.plant.pop_if(is_due) else { return Ok(()) };
            self.plant_one(planted, &like)?;
        }
    }

    fn plant_one(&mut self, planted: &Planted, like: &Stat) -> Result<(), Halt> {
        let mut entry = entry_of(planted.path.clone(), like, Kind::Folder, Vec::new());
        // Nothing of the source is this one.
        entry.witness = Witness { young: true, ..Witness::default() };
        match &planted.content {
            PlantedContent::File(bytes) => self.plant_file(entry, bytes),
            PlantedContent::Folder => {
                entry.mode = 0o700;
                self.put_headers(&entry, EMPTY)?;
                self.put_row(&entry)
            }
            PlantedContent::Stream => {
                entry.mode = 0o600;
                self.plant_stream(entry)
            }
        }
    }

    fn plant_stream(&mut self, mut entry: Entry) -> Result<(), Halt> {
        self.meet(Some(&entry.path))?;
        let (size, content, chunks) = self.read_stream(&entry.path)?;
        entry.modified = stamp(self.began);
        entry.witness.chunks = chunks;
        entry.kind = Kind::File { size, content: content.extents };
        self.totals.files += 1;
        self.totals.bytes += size;
        self.put_row(&entry)
    }

    fn plant_file(&mut self, mut entry: Entry, bytes: &[u8]) -> Result<(), Halt> {
        let size = bytes.len() as u64;
        let kind = |content| Kind::File { size, content };
        entry.kind = kind(Vec::new());
        entry.modified = stamp(self.began);
        self.meet(Some(&entry.path))?;
        let mut read_at = |buffer: &mut [u8], at: u64| {
            let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
            let n = rest.len().min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        };
        let (content, chunks) = self.read(&entry, None, &mut read_at)?;
        entry.witness.chunks = chunks;
        entry.kind = kind(content.extents);
        self.totals.files += 1;
        self.totals.bytes += size;
        self.put_row(&entry)
    }
}

/// As a file's time.
fn stamp(at: SystemTime) -> Stamp {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Stamp { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanoseconds: since.subsec_nanos() }
}
