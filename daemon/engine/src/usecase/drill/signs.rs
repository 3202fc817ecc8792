//! What a snapshot holds, by the names of its files: which database, where in it, and whose files they are.
//!
//! Always true: of a tree of any size only a few places are remembered; nothing is read but tables.

use std::sync::Arc;

use archive::entry::{Entry, Kind};
use archive::path::TreePath;

use crate::pipeline::content::{self, ContentError};
use crate::pipeline::entries::Entries;
use crate::pipeline::reading::{ReadError, Reading};

/// So many places of one kind are remembered; more than one is too many already.
const PLACES_MAX: usize = 4;

/// A file that tells a version is shorter.
const VERSION_BYTES_MAX: u64 = 128;

/// A place in a snapshot where a server has its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The folder.
    pub(crate) folder: TreePath,
    /// The file that tells.
    pub(crate) file: TreePath,
    /// Whose files these are.
    pub(crate) uid: u32,
    /// The same.
    pub(crate) gid: u32,
}

impl Place {
    /// As Docker takes a user.
    pub(crate) fn user(&self) -> String {
        format!("{}:{}", self.uid, self.gid)
    }
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Signs {
    /// Clusters of PostgreSQL.
    pub(crate) postgres: Vec<Place>,
    /// A tablespace lies outside its cluster, in another source or nowhere.
    pub(crate) tablespace: Option<TreePath>,
    /// Data folders of MySQL or MariaDB.
    pub(crate) mysql: Vec<Place>,
    /// Snapshot files of Redis.
    pub(crate) rdb: Vec<Place>,
    /// Its append-only files: manifests, and single ones of older versions.
    pub(crate) aof: Vec<Place>,
    /// The first RRD file.
    pub(crate) rrd: Option<Place>,
    /// How many of these there are.
    pub(crate) rrd_files: u64,
    /// Regular files.
    pub(crate) files: u64,
}

impl Signs {
    /// Reads the table of a snapshot.
    pub(crate) async fn of(reading: &Arc<Reading>) -> Result<Self, ReadError> {
        let mut signs = Self::default();
        let mut stream = Entries::new(Arc::clone(reading), TreePath::root());
        while let Some(batch) = stream.next().await? {
            batch.entries.iter().for_each(|entry| signs.see(entry));
        }
        Ok(signs)
    }

    fn see(&mut self, entry: &Entry) {
        match &entry.kind {
            Kind::File { .. } => self.see_file(entry),
            Kind::Symlink { .. } if is_tablespace(&entry.path) => {
                self.tablespace.get_or_insert_with(|| entry.path.clone());
            }
            Kind::Folder
            | Kind::Symlink { .. }
            | Kind::Hardlink { .. }
            | Kind::Fifo
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Socket => {}
        }
    }

    fn see_file(&mut self, entry: &Entry) {
        self.files += 1;
        let names: Vec<&[u8]> = entry.path.components().collect();
        let Some((name, above)) = names.split_last() else { return };
        let place = |up: usize| place(entry, above, up);
        let (list, found) = match *name {
            b"pg_control" if above.last() == Some(&&b"global"[..]) => (&mut self.postgres, place(1)),
            b"ibdata1" => (&mut self.mysql, place(0)),
            b"dump.rdb" => (&mut self.rdb, place(0)),
            name if name.ends_with(b".aof.manifest") => (&mut self.aof, place(1)),
            b"appendonly.aof" => (&mut self.aof, place(0)),
            name if name.ends_with(b".rrd") => {
                self.rrd_files += 1;
                if self.rrd.is_none() {
                    self.rrd = place(0);
                }
                return;
            }
            _ => return,
        };
        if list.len() < PLACES_MAX {
            list.extend(found);
        }
    }
}

/// The folder that lies `up` above the one that holds the file.
fn place(entry: &Entry, above: &[&[u8]], up: usize) -> Option<Place> {
    let names = &above[..above.len().checked_sub(up)?];
    let folder = TreePath::parse(names.join(&b'/')).ok()?;
    Some(Place { folder, file: entry.path.clone(), uid: entry.uid, gid: entry.gid })
}

fn is_tablespace(path: &TreePath) -> bool {
    let names: Vec<&[u8]> = path.components().collect();
    names.len() >= 2 && names[names.len() - 2] == b"pg_tblspc"
}

/// The content of a small file as text, if it is there.
pub(crate) async fn small_text(
    reading: &Arc<Reading>,
    folder: &TreePath,
    name: &str,
) -> Result<Option<String>, ReadError> {
    let Ok(path) = folder.join(name.as_bytes()) else { return Ok(None) };
    let Some(entry) = Entries::one(Arc::clone(reading), &path).await? else { return Ok(None) };
    let Kind::File { size, content } = entry.kind else { return Ok(None) };
    if size > VERSION_BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    match content::write(reading, &content, &mut bytes).await {
        Ok(()) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
        Err(ContentError::Read(e)) => Err(e),
        // Memory takes what is written to it.
        Err(ContentError::Write(_)) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use archive::entry::{Stamp, Witness};

    use super::*;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry {
            path: TreePath::parse(path.as_bytes().to_vec()).unwrap(),
            kind,
            mode: 0o600,
            uid: 999,
            gid: 998,
            modified: Stamp::default(),
            xattrs: Vec::new(),
            witness: Witness::default(),
        }
    }

    /// Paths of files, of links with `->` behind them.
    fn signs(paths: &[&str]) -> Signs {
        let mut signs = Signs::default();
        for path in paths {
            let entry = match path.strip_suffix("->") {
                Some(path) => entry(path, Kind::Symlink { target: b"/x".to_vec() }),
                None => entry(path, Kind::File { size: 0, content: Vec::new() }),
            };
            signs.see(&entry);
        }
        signs
    }

    fn folders(places: &[Place]) -> Vec<String> {
        places.iter().map(|place| place.folder.to_string()).collect()
    }

    #[test]
    fn databases_are_known_by_their_files_wherever_they_lie() {
        let top = signs(&["PG_VERSION", "global/pg_control", "base/1/1259", "pg_tblspc/16384->"]);
        assert_eq!((folders(&top.postgres), top.files), (vec![".".to_owned()], 3));
        assert_eq!(top.tablespace.unwrap().to_string(), "pg_tblspc/16384");
        assert_eq!(top.postgres[0].user(), "999:998");
        assert_eq!(folders(&signs(&["15/main/global/pg_control"]).postgres), ["15/main"]);
        assert_eq!(folders(&signs(&["pg_control", "x/pg_control"]).postgres), [""; 0]);
        assert_eq!(folders(&signs(&["ibdata1", "mysql/db.MAI"]).mysql), ["."]);
        let redis = signs(&["dump.rdb", "appendonlydir/appendonly.aof.manifest"]);
        assert_eq!((folders(&redis.rdb), folders(&redis.aof)), (vec![".".into()], vec![".".into()]));
        assert_eq!(folders(&signs(&["data/appendonly.aof"]).aof), ["data"]);
        assert_eq!(folders(&signs(&["x.aof.manifest"]).aof), [""; 0], "it lies in no folder of its own");
        let rrd = signs(&["a/cpu.rrd", "a/mem.rrd", "notes"]);
        assert_eq!((rrd.rrd_files, rrd.files, rrd.rrd.unwrap().file.to_string()), (2, 3, "a/cpu.rrd".into()));
    }

    #[test]
    fn few_places_are_remembered() {
        let paths: Vec<String> = (0..100).map(|n| format!("{n}/ibdata1")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        assert_eq!(signs(&paths).mysql.len(), PLACES_MAX);
    }
}
