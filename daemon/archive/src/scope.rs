//! Which part of a source a pass is about, as a recipe says that knows more of the files than their names.
//!
//! PostgreSQL's backup mode is why it is there: what the server makes anew is left out, a second pass looks at its log
//! alone, and the label that the server gave at the end stands where a restored server looks for it. And dumps: what a
//! program says, of a length that nobody knows before it has ended, becomes a file.
//!
//! Always true: what is left out leaves no trace; what is not looked at stands in the snapshot as the base has it;
//! and what is required is in it, whole and of one moment, or there is no pack.

use serde::{Deserialize, Serialize};

use crate::base::Base;
use crate::path::TreePath;

/// The part of a source that a pass is about. By default it is all of it, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// What is passed over.
    pub leave_out: Vec<LeftOut>,
    /// Only these, and what lies below them, are looked at; all else is taken from the base. Everything if `None`.
    pub only: Option<Vec<TreePath>>,
    /// Files that the base has at these paths stay in the snapshot; what is there in the source is passed over.
    pub keep: Vec<TreePath>,
    /// What is in the snapshot, whatever is in the source.
    pub plant: Vec<Planted>,
    /// Files without which there is no snapshot.
    pub require: Vec<Required>,
    /// What changes or vanishes in these folders while it is read is put right by a log that is in the snapshot, so
    /// nobody is told of it.
    pub logged: Vec<TreePath>,
}

/// Something that is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// This one, and all below it.
    At(TreePath),
    /// What is in this folder. The folder itself stays.
    Inside(TreePath),
    /// What has a name that begins so, however deep below this folder, and all below that.
    Named {
        /// The folder.
        below: TreePath,
        /// How the name begins.
        prefix: String,
    },
    /// What is in this folder, is named by capital hexadecimal digits alone, as many as these have, and stands before the
    /// first or after the last of them.
    Outside {
        /// The folder.
        folder: TreePath,
        /// The first name that stays.
        first: String,
        /// The last.
        last: String,
    },
}

/// Something that is put into the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planted {
    /// Where. What stands there in the source is passed over.
    pub path: TreePath,
    /// What.
    pub content: PlantedContent,
    /// The entry of the source whose owner it gets; a file of known bytes its mode, too.
    pub like: TreePath,
}

/// What is planted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlantedContent {
    /// A file with this content.
    File(Vec<u8>),
    /// A folder that is its owner's alone. It has the time of what it is like, so that it stays as it is.
    Folder,
    /// A file that is its owner's alone, with what the engine answers piece by piece. Only on a base: a tarball says
    /// first how long a file is.
    Stream,
}

/// A file that must be in the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Required {
    /// Where.
    pub path: TreePath,
    /// Its size.
    pub size: u64,
}

impl LeftOut {
    fn is(&self, path: &TreePath, parent: &[u8], name: &[u8]) -> bool {
        match self {
            Self::At(at) => at == path,
            Self::Inside(folder) => parent == folder.as_bytes(),
            Self::Named { below, prefix } => {
                name.starts_with(prefix.as_bytes()) && path.is_within(below) && path != below
            }
            Self::Outside { folder, first, last } => {
                let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
                parent == folder.as_bytes()
                    && name.len() == first.len()
                    && name.iter().all(is_digit)
                    && !(first.as_bytes()..=last.as_bytes()).contains(&name)
            }
        }
    }
}

impl Scope {
    /// Whether the walk passes over this path, and all below it. What lies below such a path is not asked for.
    pub(crate) fn passes_over(&self, path: &TreePath) -> bool {
        let Some((parent, name)) = path.split_last() else { return false };
        self.is_planted(path)
            || self.keep.contains(path)
            || self.leave_out.iter().any(|out| out.is(path, parent, name))
    }

    pub(crate) fn is_logged(&self, path: &TreePath) -> bool {
        self.logged.iter().any(|folder| path.is_within(folder))
    }

    /// Whether the base's row of this path stays, if it is that of a file.
    pub(crate) fn keeps(&self, path: &TreePath) -> bool {
        self.keep.contains(path) && !self.is_planted(path)
    }

    pub(crate) fn is_planted(&self, path: &TreePath) -> bool {
        self.plant.iter().any(|planted| planted.path == *path)
    }

    /// Where to look, in path order and none within another; `None` if it is everywhere.
    pub(crate) fn places(&self) -> Option<Vec<TreePath>> {
        let mut places = self.only.clone()?;
        places.sort();
        places.dedup_by(|later, earlier| later.is_within(earlier));
        Some(places).filter(|places| !places.iter().any(TreePath::is_root))
    }

    /// Says what of it cannot be done.
    pub(crate) fn check(&self, base: Option<&Base>) -> Result<(), String> {
        let mut planted: Vec<_> = self.plant.iter().map(|planted| &planted.path).collect();
        planted.sort();
        if let Some(twice) = planted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("`{}` is planted twice", twice[0]));
        }
        if planted.first().is_some_and(|first| first.is_root()) {
            return Err("a file is planted in place of the root".to_owned());
        }
        let stream = self.plant.iter().find(|planted| planted.content == PlantedContent::Stream);
        if let (Some(stream), None) = (stream, base) {
            return Err(format!("`{}` has no length yet, and there is no base", stream.path));
        }
        match (self.places(), base) {
            (Some(_), None) => Err("there is no base to take the rest from".to_owned()),
            // What is taken over is not looked at, so it would stay where it lies.
            (Some(_), Some(base)) if !base.shun.is_empty() => {
                Err("what is taken from the base may lie in a pack that is to be shunned".to_owned())
            }
            (Some(_) | None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes().to_vec()).unwrap()
    }

    #[track_caller]
    fn check(out: LeftOut, want: &[&str], stay: &[&str]) {
        let scope = Scope { leave_out: vec![out.clone()], ..Scope::default() };
        for at in want {
            assert!(scope.passes_over(&path(at)), "{at} stays, and {out:?}");
        }
        for at in stay {
            assert!(!scope.passes_over(&path(at)), "{at} is left out by {out:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_exact() {
        check(LeftOut::At(path("d/postmaster.pid")), &["d/postmaster.pid"], &["postmaster.pid", "d", ""]);
        check(
            LeftOut::Inside(path("d/pg_wal")),
            &["d/pg_wal/a", "d/pg_wal/archive_status"],
            &["d/pg_wal", "d/pg_wal2", "d/pg_wal2/a", "pg_wal/a", "d"],
        );
        check(LeftOut::Inside(path("")), &["a"], &["", "a/b"]);
        let named = |below| LeftOut::Named { below: path(below), prefix: "tmp".to_owned() };
        check(named("d"), &["d/tmp", "d/tmp1", "d/e/f/tmp.x"], &["tmp", "d", "d/atmp", "dd/tmp"]);
        check(named(""), &["tmp", "d/tmp1"], &["", "atmp"]);
        check(named("tmp"), &["tmp/tmp"], &["tmp", "tmp/a"]);
        let outside =
            LeftOut::Outside { folder: path("w"), first: "00A1".to_owned(), last: "00B0".to_owned() };
        check(
            outside,
            &["w/00A0", "w/00B1", "w/FFFF", "w/0000"],
            &["w/00A1", "w/00AF", "w/00B0", "w/00a0", "w/000", "w/00000", "w/0.00", "x/0000", "w", "0000"],
        );
    }

    #[test]
    fn places_are_in_order_and_apart() {
        let places = |only: &[&str]| {
            let only = only.iter().copied().map(path).collect();
            Scope { only: Some(only), ..Scope::default() }.places()
        };
        let want = |want: &[&str]| Some(want.iter().copied().map(path).collect::<Vec<_>>());
        assert_eq!(places(&["b", "a/x", "a", "b"]), want(&["a", "b"]));
        assert_eq!(places(&["a-", "a/x"]), want(&["a/x", "a-"]));
        assert_eq!(places(&["a", ""]), None);
        assert_eq!(places(&[]), want(&[]));
        assert_eq!(Scope::default().places(), None);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let planted = |at| Planted { path: path(at), content: PlantedContent::File(vec![]), like: path("x") };
        let twice = Scope { plant: vec![planted("a"), planted("b"), planted("a")], ..Scope::default() };
        assert!(twice.check(None).unwrap_err().contains("`a`"));
        assert!(Scope { plant: vec![planted("")], ..Scope::default() }.check(None).is_err());
        let stream = Planted { content: PlantedContent::Stream, ..planted("s") };
        let stream = Scope { plant: vec![stream], ..Scope::default() };
        assert!(stream.check(None).unwrap_err().contains("`s`"));
        assert_eq!(stream.check(Some(&Base::default())), Ok(()));
        let only = Scope { only: Some(vec![path("a")]), ..Scope::default() };
        assert!(only.check(None).is_err());
        assert_eq!(only.check(Some(&Base::default())), Ok(()));
        assert!(only.check(Some(&Base { shun: [4].into(), ..Base::default() })).is_err());
        assert_eq!(Scope { only: Some(vec![path("")]), ..Scope::default() }.check(None), Ok(()));
    }

    #[test]
    fn it_goes_over_the_channel_and_comes_back_checked() {
        let scope = Scope {
            leave_out: vec![
                LeftOut::At(TreePath::parse(b"a\xff".to_vec()).unwrap()),
                LeftOut::Outside { folder: path("w"), first: "0".to_owned(), last: "F".to_owned() },
            ],
            only: Some(vec![path("w")]),
            keep: vec![path("k")],
            plant: vec![
                Planted { path: path("l"), content: PlantedContent::File(vec![0, 255]), like: path("v") },
                Planted { path: path("s"), content: PlantedContent::Stream, like: path("") },
            ],
            require: vec![Required { path: path("w/0"), size: 16 << 20 }],
            logged: vec![path("")],
        };
        let text = serde_json::to_string(&scope).unwrap();
        assert_eq!(serde_json::from_str::<Scope>(&text).unwrap(), scope);
        let escape = text.replace(&format!("{:?}", b"w".to_vec()), &format!("{:?}", b"..".to_vec()));
        assert!(escape != text && serde_json::from_str::<Scope>(&escape).is_err());
        assert!(serde_json::from_str::<Scope>(r#"{"unknown":1}"#).is_err(), "never passed over");
    }
}
