//! The page hashes of a snapshot, asked for only where a file differs.

use crate::base::{Base, PagesBase, Tables};
use crate::entry::ShortHash;
use crate::pack::Halt;
use crate::path::TreePath;

/// What was not passed over yet. Paths ascend, and the parts of each.
pub(super) struct PartPages(PagesBase);

impl PartPages {
    pub(super) fn new(snapshot: &Base) -> Self {
        Self(PagesBase::new(snapshot))
    }

    /// The pages of one part of a file.
    pub(super) fn of(
        &mut self,
        path: &TreePath,
        part: u64,
        tables: &mut Tables<'_>,
    ) -> Result<Option<Vec<ShortHash>>, Halt> {
        // What belongs to files before it is passed over, most of it unfetched.
        while self.0.keep(Some(path), true, tables)?.is_some() {}
        Ok(self.0.part(path, part, tables)?.map(|row| row.pages))
    }
}
