//! The order of rows, and which folder each entry belongs to.
//!
//! Rows come in path order over the whole stream, the root first, each folder before what it holds. So the
//! folders that are still open form one stack, an entry's parent is on it, and a path can come only once.

use crate::entry::{Entry, Kind};
use crate::path;
use crate::unpack::error::UnpackError;

/// Where an entry goes.
#[derive(Debug)]
pub(crate) struct Place {
    /// The entry's place in the sequence of all rows.
    pub(crate) entry: u64,
    /// The folder that holds it; the root lies in none.
    pub(crate) folder: Option<u64>,
    /// Folders for which no more rows can come, innermost first.
    pub(crate) closed: Vec<u64>,
}

/// What has been seen of the rows.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    next: u64,
    /// Path of the row before.
    before: Vec<u8>,
    /// Path of the innermost open folder.
    open: Vec<u8>,
    /// Open folders, outermost first: number, and length of the path.
    stack: Vec<(u64, usize)>,
}

impl Sequence {
    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.next
    }

    /// Places the next entry.
    pub(crate) fn place(&mut self, entry: &Entry) -> Result<Place, UnpackError> {
        let refuse = |why| Err(UnpackError::hostile(&entry.path, why));
        let number = self.next;
        if (number == 0) != entry.path.is_root() {
            return refuse(if number == 0 { "first row is not the root" } else { "a second root" });
        }
        let bytes = entry.path.as_bytes();
        if number > 0 && path::compare(&self.before, bytes).is_ge() {
            return refuse("paths out of order, or twice the same");
        }
        let mut closed = Vec::new();
        let mut folder = None;
        if let Some((parent, _name)) = entry.path.split_last() {
            while self.open.len() > parent.len() {
                let Some((number, _)) = self.stack.pop() else { break };
                closed.push(number);
                self.open.truncate(self.stack.last().map_or(0, |(_, length)| *length));
            }
            match self.stack.last() {
                Some((number, _)) if self.open == parent => folder = Some(*number),
                _ => return refuse("its folder was not sent"),
            }
        }
        if entry.kind == Kind::Folder {
            self.open.clear();
            self.open.extend_from_slice(bytes);
            self.stack.push((number, bytes.len()));
        }
        self.before.clear();
        self.before.extend_from_slice(bytes);
        self.next += 1;
        Ok(Place { entry: number, folder, closed })
    }

    /// All folders that are still open, innermost first: no more rows come.
    pub(crate) fn close(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.stack).into_iter().rev().map(|(number, _)| number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Stamp, Witness};
    use crate::path::TreePath;

    /// A name that ends in a slash is a folder.
    fn entry(name: &str) -> Entry {
        let folder = name.is_empty() || name.ends_with('/');
        Entry {
            path: TreePath::parse(name.trim_end_matches('/').as_bytes().to_vec()).unwrap(),
            kind: if folder { Kind::Folder } else { Kind::Fifo },
            mode: 0,
            uid: 0,
            gid: 0,
            modified: Stamp::default(),
            xattrs: vec![],
            witness: Witness::default(),
        }
    }

    /// Each row: the folder it belongs to, and the folders that it closes.
    #[track_caller]
    fn check(names: &[&str], want: &str) {
        let mut sequence = Sequence::default();
        let mut got = String::new();
        for name in names {
            match sequence.place(&entry(name)) {
                Ok(place) => {
                    got += &place.folder.map_or("-".to_owned(), |f| f.to_string());
                    place.closed.iter().for_each(|c| got += &format!("!{c}"));
                    got.push(' ');
                }
                Err(UnpackError::Hostile { why, .. }) => got += &why,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(got.trim(), want, "{names:?}");
    }

    #[test]
    fn every_entry_lies_in_the_folder_that_was_sent_for_it() {
        check(&["", "a/", "a/x", "b"], "- 0 1 0!1");
        check(&["", "a/", "a/b/", "a/b/c/", "a/b/c/x", "a/c", "b/", "b/x"], "- 0 1 2 3 1!3!2 0!1 6");
        check(&["", "a/", "ab/", "ab/x"], "- 0 0!1 2");
        check(&["", "a/", "ab"], "- 0 0!1");
    }

    #[test]
    fn what_no_walk_gives_is_refused() {
        check(&["a"], "first row is not the root");
        check(&["", ""], "- a second root");
        check(&["", "a/b"], "- its folder was not sent");
        check(&["", "a", "a/b"], "- 0 its folder was not sent");
        check(&["", "b", "a"], "- 0 paths out of order, or twice the same");
        check(&["", "a", "a"], "- 0 paths out of order, or twice the same");
        check(&["", "ab/", "b/", "ab/x"], "- 0 0!1 paths out of order, or twice the same");
    }
}
