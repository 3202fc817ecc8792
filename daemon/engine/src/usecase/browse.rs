//! Looking into snapshots: list, find, print, compare. Reads tables, and of the content only what is asked for.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use archive::entry::{Entry, Kind};
use archive::path::TreePath;
use serde::Serialize;

use crate::failure::{Class, Failure};
use crate::pipeline::content::{self, Contents};
use crate::pipeline::entries::Entries;
use crate::pipeline::reading::Reading;
use crate::usecase::blame;
use crate::usecase::glob::Glob;
use crate::usecase::host::Host;
use crate::usecase::opened::{Opened, open, snapshot_id};
use crate::usecase::snapshots::{Listed, Wanted, snapshots};
use crate::words::SnapshotName;

/// Whoever prints could not: a closed pipe, a full disk.
pub(crate) fn cannot_write(e: io::Error) -> Failure {
    Failure::failed("write the output").because(e)
}

/// Calls `each` with what lies in the folder `at` (with `recursive`, all beneath it), or with the file at it.
pub async fn ls(
    host: &Host,
    name: &SnapshotName,
    at: &TreePath,
    recursive: bool,
    each: &mut (dyn FnMut(&Entry) -> io::Result<()> + Send),
) -> Result<u64, Failure> {
    let opened = open(host, name).await?;
    let depth = at.components().count();
    let all = if recursive { Entries::new } else { Entries::of_folder };
    let mut stream = all(Arc::clone(&opened.reading), at.clone());
    let (mut listed, mut found) = (0, false);
    while let Some(batch) = stream.next().await.map_err(|e| blame::read(format!("list `{name}`"), e))? {
        for entry in batch.entries.iter().filter(|entry| entry.path.is_within(at)) {
            found = true;
            let is_folder_itself = entry.path == *at && entry.kind == Kind::Folder;
            let below = entry.path.components().count() - depth;
            if !is_folder_itself && (recursive || below <= 1) {
                each(entry).map_err(cannot_write)?;
                listed += 1;
            }
        }
    }
    if !found {
        return Err(no_such_path(&opened, host, at));
    }
    Ok(listed)
}

fn no_such_path(opened: &Opened, host: &Host, path: &TreePath) -> Failure {
    let id = opened.id(host);
    Failure::not_found(format!("there is no `{path}` in `{id}`"))
        .hint(format!("`backupctl ls {id}` shows the top, `backupctl find GLOB` searches"))
}

/// Writes the content of one file and gives its length.
pub async fn cat(
    host: &Host,
    name: &SnapshotName,
    path: &TreePath,
    out: &mut (dyn Write + Send),
) -> Result<u64, Failure> {
    let opened = open(host, name).await?;
    let what = || format!("read `{path}` of `{name}`");
    let mut at = path.clone();
    // A hard link stands for its first name, which is a file or the snapshot is damaged.
    for _ in 0..2 {
        let entry =
            Entries::one(Arc::clone(&opened.reading), &at).await.map_err(|e| blame::read(what(), e))?;
        let Some(entry) = entry else { return Err(no_such_path(&opened, host, &at)) };
        match entry.kind {
            Kind::File { size, content } => {
                content::write(&opened.reading, &content, out).await.map_err(|e| match e {
                    content::ContentError::Read(e) => blame::read(what(), e),
                    content::ContentError::Write(e) => cannot_write(e),
                })?;
                return Ok(size);
            }
            Kind::Hardlink { target } => at = target,
            Kind::Folder
            | Kind::Symlink { .. }
            | Kind::Fifo
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Socket => {
                return Err(Failure::new(Class::Usage, format!("`{path}` is not a file"))
                    .hint(format!("`backupctl ls {} {path}` shows what it is", opened.id(host))));
            }
        }
    }
    Err(Failure::failed(what()).because("a hard link points to a hard link"))
}

/// Something that was searched for.
#[derive(Debug, Clone)]
pub struct Found {
    /// In which snapshot.
    pub snapshot: String,
    /// What.
    pub entry: Entry,
}

/// What came of a search.
#[derive(Debug, Default)]
pub struct Searched {
    /// So many paths matched.
    pub found: u64,
    /// Snapshots that could not be searched, or not to their end, and why.
    pub unread: Vec<(String, Failure)>,
}

/// Searches the wanted snapshots, newest first, for paths that match. One that cannot be read does not hide the others.
pub async fn find(
    host: &Host,
    glob: &str,
    wanted: &Wanted,
    each: &mut (dyn FnMut(&Found) -> io::Result<()> + Send),
) -> Result<Searched, Failure> {
    let glob = Glob::parse(glob);
    let Listed { lines, unread } = snapshots(host, wanted).await?;
    let unread = unread.into_iter().map(|one| (snapshot_id(host, &one.lineage, one.number), one.failure));
    let mut searched = Searched { found: 0, unread: unread.collect() };
    for line in lines.into_iter().rev() {
        let name = line.name();
        let opened = match open(host, &name).await {
            Ok(opened) => opened,
            Err(failure) => {
                searched.unread.push((line.id, failure));
                continue;
            }
        };
        let mut stream = Entries::new(Arc::clone(&opened.reading), TreePath::root());
        loop {
            let batch = match stream.next().await {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(e) => {
                    searched.unread.push((line.id, blame::read(format!("search `{name}`"), e)));
                    break;
                }
            };
            for entry in batch.entries.into_iter().filter(|entry| glob.matches(entry.path.as_bytes())) {
                each(&Found { snapshot: line.id.clone(), entry }).map_err(cannot_write)?;
                searched.found += 1;
            }
        }
    }
    Ok(searched)
}

/// What became of a path between two snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is only in the second.
    Added,
    /// It is only in the first.
    Removed,
    /// Its content, kind or target is another.
    Changed,
    /// Only owner, mode, time or extended attributes are others.
    Attributes,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: TreePath,
    /// What.
    pub change: Change,
    /// Size in the first, if it is there.
    pub before: Option<u64>,
    /// Size in the second, if it is there.
    pub after: Option<u64>,
}

/// Counts of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DiffTotals {
    /// Only in the second.
    pub added: u64,
    /// Only in the first.
    pub removed: u64,
    /// In both, with other content.
    pub changed: u64,
    /// In both, with other attributes alone.
    pub attributes: u64,
    /// Apparent bytes of the first.
    pub bytes_before: u64,
    /// Apparent bytes of the second.
    pub bytes_after: u64,
}

/// Compares two snapshots as streams in path order.
///
/// Content that lies at the same extents is the same. Otherwise files of one size are read and compared, so
/// that two full snapshots of an unchanged volume show no difference. Each may lie in a store of its own.
pub async fn diff(
    (at_a, a): (&Host, &SnapshotName),
    (at_b, b): (&Host, &SnapshotName),
    each: &mut (dyn FnMut(&Difference) -> io::Result<()> + Send),
) -> Result<DiffTotals, Failure> {
    let (first, second) = (open(at_a, a).await?, open(at_b, b).await?);
    let mut left = Side::new(&first, a);
    let mut right = Side::new(&second, b);
    let mut contents = (Contents::new(&first.reading), Contents::new(&second.reading));
    let mut totals = DiffTotals::default();
    loop {
        let order = match (left.peek().await?, right.peek().await?) {
            (None, None) => return Ok(totals),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(l), Some(r)) => l.path.cmp(&r.path),
        };
        let before = if order.is_le() { left.entries.pop_front() } else { None };
        let after = if order.is_ge() { right.entries.pop_front() } else { None };
        totals.bytes_before += before.as_ref().map_or(0, Entry::size);
        totals.bytes_after += after.as_ref().map_or(0, Entry::size);
        let change = match (&before, &after) {
            (Some(before), Some(after)) => {
                compare((&first.reading, &second.reading), &mut contents, before, after)
                    .await
                    .map_err(|e| blame::read(format!("compare `{a}` and `{b}`"), e))?
            }
            (Some(_), None) => Some(Change::Removed),
            (None, _) => Some(Change::Added),
        };
        let Some(change) = change else { continue };
        *match change {
            Change::Added => &mut totals.added,
            Change::Removed => &mut totals.removed,
            Change::Changed => &mut totals.changed,
            Change::Attributes => &mut totals.attributes,
        } += 1;
        let sizes = (before.as_ref().map(Entry::size), after.as_ref().map(Entry::size));
        if let Some(entry) = before.or(after) {
            let difference = Difference { path: entry.path, change, before: sizes.0, after: sizes.1 };
            each(&difference).map_err(cannot_write)?;
        }
    }
}

async fn compare(
    readings: (&Arc<Reading>, &Arc<Reading>),
    contents: &mut (Contents, Contents),
    before: &Entry,
    after: &Entry,
) -> Result<Option<Change>, crate::pipeline::reading::ReadError> {
    let same_content = match (&before.kind, &after.kind) {
        (Kind::File { size: s, content: c }, Kind::File { size, content }) => {
            // Extents name packs of one lineage; in two, or in two stores, the same numbers are different bytes.
            let (m, n) = (readings.0.manifest(), readings.1.manifest());
            let one_store = readings.0.store().name() == readings.1.store().name();
            let one_lineage = one_store && m.host == n.host && m.source == n.source;
            s == size
                && ((one_lineage && c == content)
                    || content::same(&mut contents.0, c, &mut contents.1, content).await?)
        }
        (kind, other) => kind == other,
    };
    let attributes = |e: &Entry| (e.mode, e.uid, e.gid, e.modified, e.xattrs.clone());
    Ok(match same_content {
        false => Some(Change::Changed),
        true if attributes(before) != attributes(after) => Some(Change::Attributes),
        true => None,
    })
}

/// One of two streams that are walked together.
struct Side {
    stream: Entries,
    entries: VecDeque<Entry>,
    name: String,
}

impl Side {
    fn new(opened: &Opened, name: &SnapshotName) -> Self {
        Self {
            stream: Entries::new(Arc::clone(&opened.reading), TreePath::root()),
            entries: VecDeque::new(),
            name: name.to_string(),
        }
    }

    async fn peek(&mut self) -> Result<Option<&Entry>, Failure> {
        while self.entries.is_empty() {
            let batch = self.stream.next().await;
            match batch.map_err(|e| blame::read(format!("read the entries of `{}`", self.name), e))? {
                Some(batch) => self.entries = batch.entries.into(),
                None => return Ok(None),
            }
        }
        Ok(self.entries.front())
    }
}
