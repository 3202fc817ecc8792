//! The folders of the snapshot that the comparison is in: whether they need their attributes set in the end.

use super::DeltaError;
use crate::entry::{Entry, Witness};
use crate::path::TreePath;
use crate::swap::SwapError;

/// One of them.
pub(super) struct OpenFolder {
    pub(super) entry: Entry,
    /// It has other attributes, or will have another time because of what is done in it.
    pub(super) differs: bool,
    /// Nothing may be done in it.
    fixed: bool,
}

/// The root first.
#[derive(Default)]
pub(super) struct OpenFolders(Vec<OpenFolder>);

impl OpenFolders {
    pub(super) fn push(&mut self, entry: &Entry, differs: bool, fixed: bool) {
        let entry = Entry { witness: Witness::default(), ..entry.clone() };
        self.0.push(OpenFolder { entry, differs, fixed });
    }

    pub(super) fn pop(&mut self) -> Option<OpenFolder> {
        self.0.pop()
    }

    /// Something will be made or removed at `path`.
    pub(super) fn touch(&mut self, path: &TreePath) -> Result<(), DeltaError> {
        let Some((parent, _)) = path.split_last() else { return Ok(()) };
        // Folders whose rows are all through may still lie above it.
        match self.0.iter_mut().rfind(|folder| folder.entry.path.as_bytes() == parent) {
            Some(folder) if folder.fixed => Err(fixed(&folder.entry.path)),
            Some(folder) => {
                folder.differs = true;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

pub(super) fn fixed(path: &TreePath) -> DeltaError {
    SwapError::Fixed { path: path.to_string(), why: "it is immutable or append-only" }.into()
}
