//! Where a server keeps its files in a source, and what of these a copy needs: once while it writes, and once more after
//! backup mode has ended.
//!
//! Always true: folders stay when what is in them is left out, as a server does not make them again; and the control
//! file is as the server has read it, for nothing repairs one that was read while it was written.

use archive::path::TreePath;
use archive::scope::{LeftOut, Planted, PlantedContent, Required, Scope};

use super::questions::Stopped;
use super::wal::Segments;
use crate::port::docker::Mount;

/// Folders whose content a server makes anew when it starts.
const EMPTIED: [&str; 7] =
    ["pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans"];

/// Files of the running server, and what would mislead a restored one. The last two come from the end of the backup.
const AT_TOP: [&str; 4] = ["postmaster.pid", "postmaster.opts", LABEL, TABLESPACE_MAP];

/// What files and folders begin with that a server makes anew, however deep.
const NAMED: [&str; 2] = ["pgsql_tmp", "pg_internal.init"];

const LABEL: &str = "backup_label";
const TABLESPACE_MAP: &str = "tablespace_map";

/// Every data folder has it, with the owner and mode that all files of the server have.
const LIKE: &str = "PG_VERSION";

const CONTROL: &str = "global/pg_control";

/// A path of a container that is not in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// What is mounted at this point.
    Mount(String),
    /// No mount: it goes with the container.
    Container,
}

impl Elsewhere {
    /// For a person.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Mount(at) => format!("in what is mounted at `{at}`"),
            Self::Container => "in the container itself, in no volume".to_owned(),
        }
    }
}

/// Where in a source a path of a container lies that has the source mounted at `at`. The path has no links in it.
pub(super) fn within(mounts: &[Mount], at: &str, path: &str) -> Result<TreePath, Elsewhere> {
    let below = |at: &str| {
        let rest = path.strip_prefix(at.trim_end_matches('/'))?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    };
    let nearest = mounts.iter().filter(|mount| below(&mount.at).is_some()).max_by_key(|mount| mount.at.len());
    let Some(nearest) = nearest else { return Err(Elsewhere::Container) };
    let elsewhere = || Elsewhere::Mount(nearest.at.clone());
    let rest = below(at).filter(|_| nearest.at == at).ok_or_else(elsewhere)?;
    TreePath::parse(rest.as_bytes().to_vec()).map_err(|_bad| elsewhere())
}

/// Where a server keeps its files in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folders {
    /// The data folder.
    pub(super) data: TreePath,
    /// The log, wherever its link leads.
    pub(super) log: TreePath,
    /// Tablespaces in the same source.
    pub(super) tablespaces: Vec<TreePath>,
}

impl Folders {
    /// What is read while the server writes: all but its log.
    pub(super) fn first(&self) -> Scope {
        let mut leave_out = vec![LeftOut::Inside(self.log.clone())];
        leave_out.extend(EMPTIED.map(|name| LeftOut::Inside(below(&self.data, name))));
        leave_out.extend(AT_TOP.map(|name| LeftOut::At(below(&self.data, name))));
        for folder in self.with_data() {
            let named = |prefix: &str| LeftOut::Named { below: folder.clone(), prefix: prefix.to_owned() };
            leave_out.extend(NAMED.map(named));
        }
        Scope { leave_out, logged: self.with_data().cloned().collect(), ..Scope::default() }
    }

    /// What is read after backup mode has ended: the log that the copy needs, without what is too old or was made ahead.
    pub(super) fn second(&self, control: &[u8], stopped: &Stopped, needed: &Segments) -> Scope {
        let files = [
            (LABEL, stopped.label.as_slice()),
            (TABLESPACE_MAP, stopped.tablespace_map.as_slice()),
            (CONTROL, control),
        ];
        let plant = files.into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(name, bytes)| Planted {
            path: below(&self.data, name),
            content: PlantedContent::File(bytes.to_vec()),
            like: below(&self.data, LIKE),
        });
        let segment = |name: String| Required { path: below(&self.log, &name), size: needed.bytes };
        let (first, last) = (needed.first(), needed.last());
        Scope {
            leave_out: vec![LeftOut::Outside { folder: self.log.clone(), first, last }],
            only: Some(vec![self.log.clone()]),
            plant: plant.collect(),
            require: needed.names().map(segment).collect(),
            logged: vec![self.log.clone()],
            ..Scope::default()
        }
    }

    fn with_data(&self) -> impl Iterator<Item = &TreePath> {
        [&self.data].into_iter().chain(&self.tablespaces)
    }
}

/// A path of ours below a folder. Only a folder whose path is as long as one can be has nothing below it.
fn below(folder: &TreePath, path: &str) -> TreePath {
    path.split('/').fold(folder.clone(), |folder, name| folder.join(name.as_bytes()).unwrap_or(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::docker::MountOf;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_path_is_in_the_mount_that_is_nearest() {
        let mount = |at: &str| Mount { of: MountOf::Other, at: at.to_owned(), writable: true };
        let mounts = ["/var/lib/pg", "/var/lib/pg/data/pg_wal", "/other", "/var/lib/pgx/"].map(mount);
        #[track_caller]
        fn check(mounts: &[Mount], at: &str, of: &str, want: Result<&str, Elsewhere>) {
            assert_eq!(within(mounts, at, of), want.map(path), "{of} in {at}");
        }
        let elsewhere = |at: &str| Err(Elsewhere::Mount(at.to_owned()));
        check(&mounts, "/var/lib/pg", "/var/lib/pg", Ok(""));
        check(&mounts, "/var/lib/pg", "/var/lib/pg/data", Ok("data"));
        check(&mounts, "/var/lib/pg", "/var/lib/pg/data/pg_wal2", Ok("data/pg_wal2"));
        check(&mounts, "/var/lib/pg", "/var/lib/pg/data/pg_wal", elsewhere("/var/lib/pg/data/pg_wal"));
        check(&mounts, "/var/lib/pg/data/pg_wal", "/var/lib/pg/data/pg_wal/x", Ok("x"));
        check(&mounts, "/var/lib/pg/data/pg_wal", "/var/lib/pg/data", elsewhere("/var/lib/pg"));
        check(&mounts, "/var/lib/pg", "/var/lib/pgx/data", elsewhere("/var/lib/pgx/"));
        check(&mounts, "/var/lib/pgx/", "/var/lib/pgx/data", Ok("data"));
        check(&mounts, "/var/lib/pg", "/var/lib/pgdata", Err(Elsewhere::Container));
        check(&mounts, "/var/lib/pg", "relative", Err(Elsewhere::Container));
        check(&mounts, "/var/lib/pg", "/var/lib/pg/../x", elsewhere("/var/lib/pg"));
    }

    #[test]
    fn all_but_the_log_is_read_first() {
        let folders = Folders { data: path("15/main"), log: path("wal"), tablespaces: vec![path("fast")] };
        let scope = folders.first();
        assert_eq!((&scope.only, scope.plant.len()), (&None, 0));
        assert_eq!(scope.require, []);
        assert_eq!(scope.logged, [path("15/main"), path("fast")]);
        let inside = |at: &str| LeftOut::Inside(path(at));
        let named = |at: &str, prefix: &str| LeftOut::Named { below: path(at), prefix: prefix.to_owned() };
        for out in [
            inside("wal"),
            inside("15/main/pg_replslot"),
            LeftOut::At(path("15/main/postmaster.pid")),
            LeftOut::At(path("15/main/backup_label")),
            named("15/main", "pgsql_tmp"),
            named("fast", "pgsql_tmp"),
            named("15/main", "pg_internal.init"),
        ] {
            assert!(scope.leave_out.contains(&out), "{out:?}");
        }
        let at_top = Folders { data: path(""), log: path("pg_wal"), tablespaces: vec![] }.first();
        assert!(at_top.leave_out.contains(&LeftOut::At(path("postmaster.pid"))));
    }

    #[test]
    fn the_log_is_read_last_and_must_be_whole() {
        let folders = Folders { data: path("d"), log: path("d/pg_wal"), tablespaces: vec![] };
        let first = "000000010000000000000002";
        let label = format!("START WAL LOCATION: 0/2000028 (file {first})\n").into_bytes();
        let needed = Segments::needed(&label, 0x380_0000, 16 << 20).unwrap();
        let last = needed.last();
        let segment =
            |name: &str| Required { path: path("d/pg_wal").join(name.as_bytes()).unwrap(), size: 16 << 20 };
        let mut stopped =
            Stopped { at: 0x380_0000, segment: last.clone(), label, tablespace_map: Vec::new() };
        let scope = folders.second(b"control", &stopped, &needed);
        assert_eq!(scope.only, Some(vec![path("d/pg_wal")]));
        assert_eq!(scope.require, [segment(first), segment(&last)]);
        let outside = LeftOut::Outside { folder: path("d/pg_wal"), first: first.to_owned(), last };
        assert_eq!(scope.leave_out, [outside]);
        let planted = |name: &str, bytes: &[u8]| Planted {
            path: path(&format!("d/{name}")),
            content: PlantedContent::File(bytes.to_vec()),
            like: path("d/PG_VERSION"),
        };
        let control = planted("global/pg_control", b"control");
        assert_eq!(scope.plant, [planted("backup_label", &stopped.label), control]);
        stopped.tablespace_map = b"16400 /fast\n".to_vec();
        let scope = folders.second(b"control", &stopped, &needed);
        assert_eq!(scope.plant[1], planted("tablespace_map", b"16400 /fast\n"));
    }
}
