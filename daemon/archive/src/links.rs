//! Which files were met before under another name.
//!
//! Always true: only files with several names are remembered, and each only until all of its names were
//! met. A file whose other names lie outside the source stays until the end.

use std::collections::HashMap;

use crate::path::TreePath;
use crate::stat::{Identity, Stat};

struct First {
    path: TreePath,
    /// Names that were not met yet.
    left: u32,
}

/// First names of files that have more of them.
#[derive(Default)]
pub(crate) struct Links {
    firsts: HashMap<Identity, First>,
}

impl Links {
    /// The first name of the file that was met now under a further one.
    pub(crate) fn further(&mut self, stat: &Stat) -> Option<TreePath> {
        if stat.links < 2 {
            return None;
        }
        let first = self.firsts.get_mut(&stat.identity)?;
        first.left = first.left.saturating_sub(1);
        if first.left > 0 {
            return Some(first.path.clone());
        }
        self.firsts.remove(&stat.identity).map(|first| first.path)
    }

    /// Remembers a file that is in the snapshot now, under its first name.
    pub(crate) fn remember(&mut self, stat: &Stat, path: &TreePath) {
        if stat.links > 1 {
            self.firsts.insert(stat.identity, First { path: path.clone(), left: stat.links - 1 });
        }
    }
}
