//! What a restore would change in a folder: a walk of it, joined with the rows of a snapshot as they come.
//!
//! Both are in path order, so one look at each side tells. Always true: nothing is opened but folders, nothing is read but
//! names and what the system says of them, and memory holds one branch of the tree and a few names.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::channel::printable_path;
use crate::entry::{Entry, Kind};
use crate::look::LOST_AND_FOUND;
use crate::names::Names;
use crate::open::Opener;
use crate::path::TreePath;
use crate::row::Rows;
use crate::stat::Stat;
use crate::unpack::UnpackError;
use crate::walk::{Step, Walk};

/// So many paths are told by name; the others are counted.
const NAMED_MAX: usize = 10;

/// How a folder differs from a snapshot, by names and what the system says of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Compared {
    /// Entries that are in the folder and not in the snapshot.
    pub only_now: u64,
    /// The first of these, printable.
    pub named: Vec<String>,
    /// Entries that are of another kind, size, time or link target.
    pub differing: u64,
    /// Entries that are in the snapshot and not in the folder.
    pub missing: u64,
    /// Of the places that it was about, those that are there, printable.
    pub there: Vec<String>,
    /// What leads to a place and is no folder, printable: nothing can be put there.
    pub blocked: Option<String>,
}

/// A comparison under way.
pub(crate) struct Comparing {
    walk: Walk,
    opener: Opener,
    top: Stat,
    here: Option<(TreePath, Stat)>,
    places: Vec<TreePath>,
    found: Compared,
}

impl Comparing {
    /// About these places and what lies beneath them; about all of it if there are none.
    pub(crate) fn new(root: OwnedFd, places: &[TreePath]) -> Result<Self, UnpackError> {
        let failed = |e: io::Error| UnpackError::Tree { deed: "list", path: ".".to_owned(), source: e };
        let top = Stat::of_open(root.as_fd()).map_err(failed)?;
        let walk = Walk::new(root, &top).map_err(failed)?;
        let mut comparing = Self {
            walk,
            opener: Opener::new(),
            top,
            here: None,
            places: places.to_vec(),
            found: Compared::default(),
        };
        comparing.look();
        Ok(comparing)
    }

    /// Joins with the next rows.
    pub(crate) fn rows(&mut self, payload: &[u8]) -> Result<(), UnpackError> {
        for row in Rows::new(payload) {
            let entry = row.map_err(|e| UnpackError::hostile("rows to compare with", e.to_string()))?;
            if !entry.path.is_root() {
                self.row(&entry);
            }
        }
        Ok(())
    }

    /// All rows came; what is left of the folder is in no snapshot.
    pub(crate) fn end(mut self) -> Compared {
        while self.here.is_some() {
            self.only_now();
        }
        self.found
    }

    fn row(&mut self, entry: &Entry) {
        while self.here.as_ref().is_some_and(|(path, _)| *path < entry.path) {
            self.only_now();
        }
        match self.here.take() {
            Some((path, stat)) if path == entry.path => {
                if differs(entry, &stat) {
                    self.found.differing += 1;
                }
                self.go_on(&path, &stat);
            }
            later => {
                self.here = later;
                self.found.missing += 1;
            }
        }
    }

    fn only_now(&mut self) {
        let Some((path, stat)) = self.here.take() else { return };
        // The file system's own folder stays where it is.
        if path.as_bytes() != LOST_AND_FOUND {
            self.found.only_now += 1;
            if self.found.named.len() < NAMED_MAX {
                self.found.named.push(printable_path(&path));
            }
        }
        self.go_on(&path, &stat);
    }

    fn go_on(&mut self, path: &TreePath, stat: &Stat) {
        match self.open(stat) {
            Some((folder, now, names)) => self.walk.enter(folder, &now, path, names),
            None => self.walk.pass(),
        }
        self.look();
    }

    /// Whether a path is at or beneath a place.
    fn is_wanted(&self, path: &TreePath) -> bool {
        self.places.is_empty() || self.places.iter().any(|place| path.is_within(place))
    }

    /// Whether a place lies beneath a path.
    fn leads_on(&self, path: &TreePath) -> bool {
        self.places.iter().any(|place| place.is_within(path))
    }

    /// A folder above a place is itself not what this is about.
    fn go_down(&mut self, path: &TreePath, stat: &Stat) {
        match self.open(stat) {
            Some((folder, now, names)) => self.walk.enter(folder, &now, path, names),
            None => {
                if !stat.kind.is_dir() || stat.mount != self.top.mount {
                    self.found.blocked = Some(printable_path(path));
                }
                self.walk.pass();
            }
        }
    }

    /// The folder at the walk's place, if it is one that can be looked into.
    fn open(&self, stat: &Stat) -> Option<(OwnedFd, Stat, Names)> {
        if !stat.kind.is_dir() || stat.mount != self.top.mount {
            return None;
        }
        let (folder, name) = self.walk.here()?;
        let (fd, now) = self.opener.open(folder, name, stat).ok()?;
        let names = Names::read(fd.as_fd(), |_name| false).ok()?;
        Some((fd, now, names))
    }

    /// Finds the next name. What vanishes or is not to be seen meanwhile is passed over: nothing is decided by it.
    fn look(&mut self) {
        while let Some(step) = self.walk.next() {
            match step {
                Step::Name(path) => {
                    let seen = self.walk.here().and_then(|(folder, name)| Stat::of_name(folder, name).ok());
                    match seen {
                        Some(stat) if self.is_wanted(&path) => {
                            if self.places.contains(&path) {
                                self.found.there.push(printable_path(&path));
                            }
                            self.here = Some((path, stat));
                            return;
                        }
                        Some(stat) if self.leads_on(&path) => self.go_down(&path, &stat),
                        Some(_) | None => self.walk.pass(),
                    }
                }
                Step::TooLong(..) => self.walk.pass(),
                Step::Lost(..) => {}
            }
        }
    }
}

fn differs(entry: &Entry, now: &Stat) -> bool {
    let (kind, size) = match &entry.kind {
        // Its time moves with what is in it, which is compared by itself.
        Kind::Folder => return now.kind != FileType::Directory,
        Kind::File { size, .. } => (FileType::RegularFile, Some(*size)),
        // Its first name was compared.
        Kind::Hardlink { .. } => return now.kind.is_dir(),
        Kind::Symlink { target } => (FileType::Symlink, Some(target.len() as u64)),
        Kind::Fifo => (FileType::Fifo, None),
        Kind::CharDevice { .. } => (FileType::CharacterDevice, None),
        Kind::BlockDevice { .. } => (FileType::BlockDevice, None),
        // Programs make theirs again.
        Kind::Socket => return false,
    };
    now.kind != kind || size.is_some_and(|size| size != now.size) || entry.modified != now.modified
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::entry::{Extent, Stamp, Witness};
    use crate::row::put_row;

    fn file(size: u64) -> Kind {
        let content = if size > 0 { vec![Extent::Hole { length: size }] } else { Vec::new() };
        Kind::File { size, content }
    }

    fn row(path: &str, now: &Path) -> Entry {
        let stat = fs::symlink_metadata(now.join(path)).ok();
        let size = stat.as_ref().map_or(1, fs::Metadata::len);
        let time = stat.and_then(|stat| stat.modified().ok()).unwrap_or(std::time::UNIX_EPOCH);
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap();
        let kind = if path.ends_with('d') { Kind::Folder } else { file(size) };
        Entry {
            path: TreePath::parse(path.as_bytes().to_vec()).unwrap(),
            kind,
            mode: 0o600,
            uid: 0,
            gid: 0,
            modified: Stamp {
                seconds: i64::try_from(since.as_secs()).unwrap(),
                nanoseconds: since.subsec_nanos(),
            },
            xattrs: Vec::new(),
            witness: Witness::default(),
        }
    }

    /// Names that end in `d` are folders.
    fn planted(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let path = dir.path().join(name);
            if name.ends_with('d') {
                fs::create_dir(path).unwrap();
            } else {
                drop(fs::File::create(path).unwrap());
            }
        }
        dir
    }

    /// Each row in a record of its own, as it may come.
    fn compared(dir: &Path, rows: &[Entry]) -> Compared {
        compared_at(dir, &[], rows)
    }

    fn compared_at(dir: &Path, places: &[&str], rows: &[Entry]) -> Compared {
        let place = |text: &&str| TreePath::parse(text.as_bytes().to_vec()).unwrap();
        let places: Vec<_> = places.iter().map(place).collect();
        let mut comparing = Comparing::new(fs::File::open(dir).unwrap().into(), &places).unwrap();
        for entry in rows {
            let mut bytes = Vec::new();
            put_row(&mut bytes, b"", entry);
            comparing.rows(&bytes).unwrap();
        }
        comparing.end()
    }

    #[test]
    fn what_exists_only_now_is_counted_and_named() {
        let now =
            planted(&["a", "d", "d/x", "d/y", "ed", "ed/n", "ed/md", "ed/md/z", "z", ".backupd-previous-d"]);
        let rows = ["a", "d", "d/x", "gone", "z"].map(|path| row(path, now.path()));
        let found = compared(now.path(), &rows);
        let want = ["d/y", "ed", "ed/md", "ed/md/z", "ed/n"].map(str::to_owned).to_vec();
        assert_eq!(found, Compared { only_now: 5, named: want, missing: 1, ..Compared::default() });
        assert_eq!(compared(now.path(), &[]).only_now, 9, "a snapshot of nothing");
    }

    #[test]
    fn another_size_time_or_kind_is_a_difference() {
        let now = planted(&["a", "b", "cd", "d"]);
        let mut rows = ["a", "b", "cd", "d"].map(|path| row(path, now.path()));
        assert_eq!(compared(now.path(), &rows), Compared::default());
        rows[0].modified.nanoseconds ^= 1;
        rows[1].kind = file(7);
        rows[2].kind = Kind::Fifo;
        rows[3].modified.nanoseconds ^= 1;
        let found = compared(now.path(), &rows);
        assert_eq!(found, Compared { differing: 3, ..Compared::default() }, "a folder's own time is none");
    }

    #[test]
    fn of_places_only_what_lies_there_counts() {
        let now = planted(&["a", "d", "d/ed", "d/ed/new", "d/ed/x", "d/other", "e", "z"]);
        let rows = ["d/ed", "d/ed/x", "e"].map(|path| row(path, now.path()));
        let found = compared_at(now.path(), &["d/ed", "e"], &rows);
        let there = ["d/ed", "e"].map(str::to_owned).to_vec();
        let named = vec!["d/ed/new".to_owned()];
        assert_eq!(found, Compared { only_now: 1, named, there, ..Compared::default() });
        let gone = compared_at(now.path(), &["d/none/x"], &[row("d/none/x", now.path())]);
        assert_eq!(gone, Compared { missing: 1, ..Compared::default() });
        let blocked = compared_at(now.path(), &["z/x"], &[row("z/x", now.path())]);
        assert_eq!((blocked.missing, blocked.blocked.as_deref()), (1, Some("z")));
    }

    #[test]
    fn many_are_named_in_part() {
        let names: Vec<String> = (10..40).map(|n| format!("f{n}")).collect();
        let now = planted(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let found = compared(now.path(), &[]);
        assert_eq!((found.only_now, found.named.len(), found.named[9].as_str()), (30, NAMED_MAX, "f19"));
    }
}
