//! The folders of a restore that are not finished yet.
//!
//! A folder gets its owner, mode and times when nothing more goes into it, for every name made inside moves
//! its time. So each is **held**: by the rows that may still come, by each file that waits for its bytes, by
//! each link that waits for its target, and by each unfinished folder inside. The last to let go finishes it.
//!
//! Always true: a folder outlives what it holds, so a path can be told, and a closed descriptor be opened
//! again, by going up. Only some descriptors are kept, however many folders there are.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use crate::attributes::Attributes;
use crate::beneath;
use crate::path::TreePath;

/// Descriptors of folders that are kept open at once.
const OPEN_MAX: usize = 256;

/// Of a long chain that had to be opened again, so many of the innermost stay open.
const REOPENED_MAX: usize = 64;

/// What a folder takes in memory beyond names and xattrs, roughly, for the books.
const FOLDER_BYTES: usize = 192;

/// The number of the root entry, which is always the first row.
pub(crate) const ROOT: u64 = 0;

#[derive(Debug)]
struct Folder {
    parent: Option<u64>,
    name: Box<[u8]>,
    attributes: Attributes,
    holds: u64,
    fd: Option<Arc<OwnedFd>>,
}

/// A folder that nothing more goes into.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) parent: u64,
    pub(crate) name: Box<[u8]>,
    pub(crate) attributes: Attributes,
    pub(crate) fd: Arc<OwnedFd>,
}

/// All unfinished folders, by the number of their row.
#[derive(Debug)]
pub(crate) struct Folders {
    live: HashMap<u64, Folder>,
    /// Folders in the order in which they were opened; some may be gone.
    opened: VecDeque<u64>,
    bytes: usize,
}

impl Folders {
    /// Memory that the folders take, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// None yet.
    pub(crate) fn new() -> Self {
        Self { live: HashMap::new(), opened: VecDeque::new(), bytes: 0 }
    }

    /// Adds the root, whose descriptor is never closed.
    pub(crate) fn add_root(&mut self, attributes: Attributes, base: Arc<OwnedFd>) {
        let root = Folder { parent: None, name: Box::default(), attributes, holds: 1, fd: Some(base) };
        self.live.insert(ROOT, root);
    }

    /// Adds a folder that was just made, held once for the rows that may come.
    pub(crate) fn add(&mut self, number: u64, parent: u64, name: &[u8], attributes: Attributes, fd: OwnedFd) {
        self.hold(parent);
        self.bytes += FOLDER_BYTES + name.len() + attributes.heap_bytes();
        let fd = Some(Arc::new(fd));
        let folder = Folder { parent: Some(parent), name: name.into(), attributes, holds: 1, fd };
        self.live.insert(number, folder);
        self.note_opened(number);
    }

    /// Something more will go into this folder.
    pub(crate) fn hold(&mut self, number: u64) {
        if let Some(folder) = self.live.get_mut(&number) {
            folder.holds += 1;
        }
    }

    /// Lets go of a folder. The last one gets it to finish, and lets go of its parent afterwards.
    /// The root is never given out: it is finished when everything else is.
    pub(crate) fn release(&mut self, number: u64) -> io::Result<Option<Finished>> {
        let Some(folder) = self.live.get_mut(&number) else { return Ok(None) };
        folder.holds -= 1;
        let Some(parent) = folder.parent else { return Ok(None) };
        if folder.holds > 0 {
            return Ok(None);
        }
        let fd = self.fd(number)?;
        Ok(self.live.remove(&number).map(|folder| {
            self.bytes -= FOLDER_BYTES + folder.name.len() + folder.attributes.heap_bytes();
            Finished { parent, name: folder.name, attributes: folder.attributes, fd }
        }))
    }

    /// The root's attributes, and whether all other folders are finished.
    pub(crate) fn close(&mut self) -> Option<(Attributes, bool)> {
        let root = self.live.remove(&ROOT)?;
        Some((root.attributes, self.live.is_empty()))
    }

    /// An open descriptor of the folder.
    pub(crate) fn fd(&mut self, number: u64) -> io::Result<Arc<OwnedFd>> {
        let mut chain = Vec::new();
        let mut at = number;
        let mut fd = loop {
            let folder = self.live.get(&at).ok_or(Errno::NOENT)?;
            match (&folder.fd, folder.parent) {
                (Some(fd), _) => break Arc::clone(fd),
                (None, Some(parent)) => {
                    chain.push(at);
                    at = parent;
                }
                (None, None) => return Err(Errno::NOENT.into()),
            }
        };
        for (left, number) in chain.iter().enumerate().rev() {
            let Some(folder) = self.live.get_mut(number) else { return Err(Errno::NOENT.into()) };
            fd = Arc::new(beneath::open_folder(fd.as_fd(), &folder.name)?);
            if left < REOPENED_MAX {
                folder.fd = Some(Arc::clone(&fd));
                self.note_opened(*number);
            }
        }
        Ok(fd)
    }

    /// The path of something in a folder.
    pub(crate) fn path(&self, number: u64, name: &[u8]) -> TreePath {
        let mut names = vec![name];
        let mut at = Some(number);
        while let Some(folder) = at.and_then(|number| self.live.get(&number)) {
            names.push(&folder.name);
            at = folder.parent;
        }
        names.retain(|name| !name.is_empty());
        names.reverse();
        // The names came out of a checked path, so they make one again.
        TreePath::parse(names.join(&b'/')).unwrap_or_default()
    }

    fn note_opened(&mut self, number: u64) {
        self.opened.push_back(number);
        if self.opened.len() > OPEN_MAX
            && let Some(folder) = self.opened.pop_front().and_then(|oldest| self.live.get_mut(&oldest))
        {
            folder.fd = None;
        }
    }
}
